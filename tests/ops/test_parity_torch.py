"""The same numbers as PyTorch: values, gradients and second gradients of every row that PyTorch has."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
from autograd import Variable, grad
from autograd.functional import hessian, hvp, jacobian, jvp, vjp
from tests.autograd.test_functional import layer
from tests.cases import conv_cases  # noqa: F401  (adds its rows to the table)
from tests.cases.op_cases import CASES

torch = pytest.importorskip("torch")

ROWS = [case for case in CASES if case.torch is not None]


def tuple_of(ys):
    return tuple(ys) if isinstance(ys, tuple | list) else (ys,)


@pytest.mark.parametrize("case", ROWS, ids=[case.name for case in ROWS])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_values_and_two_gradients(case, dtype):
    arrays = [a.astype(dtype) for a in case.inputs(seed=11)]
    rng = np.random.default_rng(12)
    xs, ts = list(map(Variable, arrays)), [torch.tensor(a, requires_grad=True) for a in arrays]
    ys, us = tuple_of(case.f(*xs)), tuple_of(case.torch(torch, *ts))
    close = {"rtol": 1e-9, "atol": 1e-11} if dtype is np.float64 else {"rtol": 2e-4, "atol": 2e-5}
    starts = []
    for y, u in zip(ys, us, strict=True):
        assert y.shape == tuple(u.shape) and y.dtype == dtype
        assert_allclose(y.data, u.detach().numpy(), **close)
        starts.append(rng.standard_normal(y.shape).astype(dtype))

    gs = grad(ys, xs, gradients=starts, create_graph=True)
    hs = torch.autograd.grad(us, ts, [torch.tensor(s) for s in starts], create_graph=True)
    for g, h in zip(gs, hs, strict=True):
        assert g.dtype == dtype
        assert_allclose(g.data, h.detach().numpy(), **close)

    directions = [rng.standard_normal(g.shape).astype(dtype) for g in gs]
    second = [(g, d) for g, d in zip(gs, directions, strict=True) if g.requires_grad]
    theirs = [(h, torch.tensor(d)) for h, d in zip(hs, directions, strict=True) if h.requires_grad]
    mine = [None] * len(xs)
    if second:
        mine = grad([g for g, _ in second], xs, gradients=[d for _, d in second], allow_unused=True)
    other = [None] * len(ts)
    if theirs:
        other = torch.autograd.grad([h for h, _ in theirs], ts, [d for _, d in theirs], allow_unused=True)
    for a, b, x in zip(mine, other, xs, strict=True):
        a = np.zeros(x.shape) if a is None else a.data
        b = np.zeros(x.shape) if b is None else b.numpy(force=True)
        assert_allclose(a, b, rtol=close["rtol"] * 10, atol=close["atol"] * 10)


def test_most_rows_are_compared():
    assert len(ROWS) > 150


def test_a_network_trained_by_both_stays_the_same():
    """Twenty steps of gradient descent on a recurrent network, in float64, weight by weight."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(s) * 0.4 for s in [(3, 5), (5, 5), (5,), (5, 2)]]
    xs, target = rng.standard_normal((6, 4, 3)), rng.standard_normal((4, 2))

    def loss(lib, wx, wh, b, wo, steps, goal):
        h = 0.0
        for x in steps:
            h = lib.tanh(x @ wx + h @ wh + b if isinstance(h, Variable | torch.Tensor) else x @ wx + b)
        return lib.mean((h @ wo - goal) ** 2)

    ours = [Variable(w) for w in weights]
    theirs = [torch.tensor(w, requires_grad=True) for w in weights]
    for _ in range(20):
        loss(ag, *ours, xs, target).backward()
        loss(torch, *theirs, torch.tensor(xs), torch.tensor(target)).backward()
        for p, q in zip(ours, theirs, strict=True):
            p.data = p.data - 0.2 * p.grad.data
            p.grad = None
            with torch.no_grad():
                q -= 0.2 * q.grad
            q.grad = None
            assert_allclose(p.data, q.detach().numpy(), rtol=1e-10, atol=1e-12)


def test_functional_equals_pytorch(rng):
    F = torch.autograd.functional
    x, w = rng.standard_normal(3), rng.standard_normal((2, 3))
    u, v = rng.standard_normal(3), rng.standard_normal((2, 3))
    tx, tw, tu, tv = map(torch.tensor, (x, w, u, v))

    def f(x, w):
        return ag.sum(ag.square(layer(x, w)))

    def theirs(x, w):
        return (torch.tanh(w @ x) ** 2).sum()

    pairs = [
        (jacobian(layer, x, w), F.jacobian(lambda x, w: torch.tanh(w @ x), (tx, tw))),
        (vjp(layer, x, w)[1](u[:2]), F.vjp(lambda x, w: torch.tanh(w @ x), (tx, tw), tu[:2])[1]),
        (jvp(layer, (x, w), (u, v))[1:], F.jvp(lambda x, w: torch.tanh(w @ x), (tx, tw), (tu, tv))[1:]),
        (hvp(f, (x, w), (u, v))[1], F.hvp(theirs, (tx, tw), (tu, tv))[1]),
        (sum(hessian(f, x, w), ()), sum(F.hessian(theirs, (tx, tw)), ())),
    ]
    for ours, expected in pairs:
        for a, b in zip(ours, expected, strict=True):
            assert_allclose(a.data, b.numpy(), rtol=1e-10, atol=1e-12)
