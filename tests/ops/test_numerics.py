"""Numbers at the edge: tails, infinities, NaN, float16, small integers, and what NumPy refuses.

The references are extended precision, closed forms and NumPy; one test compares a grid with PyTorch.
"""

import itertools
import math
from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Variable, capture
from autograd.engine import grad
from nn.functional import binary_cross_entropy_with_logits

inf, nan = np.inf, np.nan
Long = np.longdouble
EDGES = np.array([-inf, -1.0, -0.0, 0.0, 0.5, 1.0, inf, nan])
RANGE = {np.float16: 12.0, np.float32: 100.0, np.float64: 760.0}  # beyond, eˣ is 0 or too large
STRICT = {np.float16: 2e-3, np.float32: 1e-6, np.float64: 1e-15}


# --- tails ------------------------------------------------------------------------------------------


def logistic(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, Long(1)) / (1 + e)


def soft(x):
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


def grid(dtype, low=-inf, high=inf):
    """Numbers of every sign and size at which exponentials matter."""
    top = RANGE[dtype]
    fine = np.geomspace(float(np.finfo(dtype).tiny), top, 20_000)
    x = np.concatenate([np.linspace(-top, top, 100_001), fine, -fine]).astype(dtype)
    return x[(x > low) & (x < high)]


def worst(y, exact, dtype):
    """The largest relative error of ``y`` where the exact value is a normal number."""
    size = np.abs(exact)
    normal = (size >= np.finfo(dtype).tiny) & (size <= np.finfo(dtype).max)
    assert y.dtype == dtype and normal.any()
    return np.max(np.abs(y.astype(Long) - exact)[normal] / size[normal])


@pytest.mark.skipif(np.finfo(Long).eps > 1e-18, reason="needs numbers longer than float64")
@pytest.mark.parametrize("dtype", RANGE)
@pytest.mark.parametrize(
    "f, exact, low, high",
    [
        (ag.sigmoid, logistic, -inf, inf),
        (ag.softplus, soft, -inf, inf),
        (ag.tanh, np.tanh, -inf, inf),
        (ag.elu, lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))), -inf, inf),
        (ag.expm1, np.expm1, -inf, 10.0),
        (ag.exp, np.exp, -inf, 10.0),
        (ag.log1p, np.log1p, -1.0, inf),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_relative_accuracy_over_the_whole_range(f, exact, low, high, dtype):
    x = grid(dtype, low, high)
    assert worst(f(x), exact(x.astype(Long)), dtype) < STRICT[dtype]


@pytest.mark.skipif(np.finfo(Long).eps > 1e-18, reason="needs numbers longer than float64")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_products_with_a_sigmoid_keep_its_tail(dtype):
    x = grid(dtype)
    assert worst(ag.silu(x), x.astype(Long) * logistic(x.astype(Long)), dtype) < STRICT[dtype]
    x, pi = grid(dtype, low=-9.0), 4 * np.arctan(Long(1))
    z = np.sqrt(8 / pi) * (x.astype(Long) + Long("0.044715") * x.astype(Long) ** 3)
    exact = x.astype(Long) * logistic(z)  # of -66 rounded, e⁻⁶⁶ has lost 6 bits
    assert worst(ag.gelu(x, "tanh"), exact, dtype) < 200 * np.finfo(dtype).eps


def test_errors_of_the_error_function():
    """Relative errors on a dense grid, against the C library: two roundings, and of erfc those of z²."""
    sizes = np.concatenate([np.linspace(0.0, 27.0, 100_001), np.geomspace(1e-300, 1.0, 10_001)])
    for dtype, bound in ((np.float64, 4e-16), (np.float32, 2e-7), (np.float16, 1e-3)):
        x = np.unique(np.concatenate([-sizes, sizes]).astype(dtype))
        wide = x.astype(float)
        exact = np.vectorize(math.erf)(wide)
        y = ag.erf(x)
        normal = np.abs(exact) >= np.finfo(dtype).tiny
        assert y.dtype == dtype
        assert np.max(np.abs(y - exact)[normal] / np.abs(exact)[normal]) < bound
        exact = np.vectorize(math.erfc)(wide)
        y = ag.erfc(x)
        normal = exact >= np.finfo(dtype).tiny
        error = np.abs(y - exact)[normal] / exact[normal]
        assert y.dtype == dtype and normal[0]  # of erfc, z² in e^(-z²) is rounded
        assert np.max(error / (1 + wide[normal] ** 2)) < 2 * bound
        half = -x[x < 0] * math.sqrt(2)  # gelu of the left tail keeps its digits too
        tail = ag.gelu(-half)
        exact = np.vectorize(lambda x: -x / 2 * math.erfc(x / math.sqrt(2)))(half.astype(float))
        normal = np.abs(exact) >= np.finfo(dtype).tiny
        error = np.abs(tail - exact)[normal] / np.abs(exact)[normal]
        assert np.max(error / (1 + half[normal].astype(float) ** 2)) < 2 * bound


def test_the_error_function_at_the_ends():
    x = np.array([-inf, -0.0, 0.0, inf, nan, -3e38, 3e38], np.float32)
    with np.errstate(all="raise", under="ignore"):
        y, z = ag.erf(x), ag.erfc(x)
    assert_array_equal(y, np.array([-1, 0, 0, 1, nan, -1, 1]))
    assert_array_equal(z, np.array([2, 1, 1, 0, nan, 2, 0]))
    assert np.signbit(y[1]) and not np.signbit(y[2])
    assert ag.erf(1) == ag.erf(np.int8(1)) == pytest.approx(math.erf(1), rel=1e-15)
    with pytest.raises(ValueError, match="gelu expected approximate='none' or 'tanh', got 'erf'"):
        ag.gelu(x, "erf")
    with pytest.raises(ValueError, match="softplus expected beta above 0, got -1"):
        ag.softplus(x, -1.0)


@pytest.mark.parametrize("dtype", RANGE)
def test_sigmoid_at_the_ends(dtype):
    x = np.array([-inf, -1e4, 0.0, 1e4, inf, nan], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        y = ag.sigmoid(x)
    assert y.dtype == dtype
    assert_array_equal(y, [0.0, 0.0, 0.5, 1.0, 1.0, nan])
    big_endian = x.astype(x.dtype.newbyteorder())
    assert_array_equal(ag.sigmoid(big_endian), y)


def test_log_of_a_small_sigmoid():
    for dtype in (np.float32, np.float64):
        x = Variable(np.array([-20.0, -50.0, -80.0], dtype))
        y = ag.log(ag.sigmoid(x))
        assert_allclose(y.data, x.data, rtol=1e-6)
        assert_allclose(grad(ag.sum(y), x).data, [1.0, 1.0, 1.0], rtol=1e-6)
        first = grad(ag.sum(ag.sigmoid(x)), x, create_graph=True)
        assert_allclose(first.data, np.exp(x.data), rtol=1e-6)
        assert_allclose(grad(ag.sum(first), x).data, np.exp(x.data), rtol=1e-6)


def test_sigmoid_is_replayed():
    x = np.array([-1e4, -50.0, 0.0, nan, 1e4], np.float32)
    p = ag.Parameter(np.ones(5, np.float32))
    f = capture(lambda x: ag.sum(ag.sigmoid(x * p) * np.arange(5, dtype=np.float32)))
    f(np.zeros(5, np.float32))
    p.grad = None
    f(x)
    assert_allclose(p.grad.data, [0.0, np.exp(-50.0) * -50.0, 0.0, nan, 0.0], rtol=1e-6)


@pytest.mark.parametrize("pos_weight", [None, 1.0, 3.0])
def test_the_loss_of_a_sure_and_right_logit(pos_weight):
    """-log σ(x) at t = 1 and -log σ(-x) at t = 0 are e⁻ˣ for large x, not a difference of large numbers."""
    x, t = np.array([40.0, -40.0, 40.0, -40.0], np.float32), np.array([1.0, 0.0, 0.0, 1.0], np.float32)
    v = Variable(x)
    y = binary_cross_entropy_with_logits(v, t, reduction="none", pos_weight=pos_weight)
    w = np.array([pos_weight or 1.0, 1.0, 1.0, pos_weight or 1.0])
    assert_allclose(y.data, w * [np.exp(-40.0), np.exp(-40.0), 40.0, 40.0], rtol=1e-6)
    slopes = w * [-np.exp(-40.0), np.exp(-40.0), 1.0, -1.0]
    assert_allclose(grad(ag.sum(y), v).data, slopes, rtol=1e-6)


# --- infinities and NaN -------------------------------------------------------------------------------


def test_logsumexp_at_infinity():
    """As PyTorch: nothing but the infinite term counts, and its own derivative is unknown."""
    x = Variable(np.array([[inf, 0.0, 1.0], [0.0, inf, 1e4], [nan, 0.0, 1.0], [-inf, 2.0, -inf]]))
    y = ag.logsumexp(x, axis=1)
    assert_array_equal(y.data, [inf, inf, nan, 2.0])
    y.backward(np.array([3.0, 3.0, 3.0, 3.0]))
    expected = [[nan, 0.0, 0.0], [0.0, nan, 0.0], [nan, nan, nan], [0.0, 3.0, 0.0]]
    assert_array_equal(x.grad.data, expected)


def test_relu_shows_a_nan():
    x = Variable(np.array([-inf, -1.0, 0.0, 2.0, inf, nan]))
    y = ag.relu(x)
    y.backward(np.full(6, 5.0))
    assert_array_equal(y.data, [0.0, 0.0, 0.0, 2.0, inf, nan])
    assert_array_equal(x.grad.data, [0.0, 0.0, 0.0, 5.0, 5.0, 5.0])


@pytest.mark.parametrize("f, sign", [(ag.maximum, 1.0), (ag.minimum, -1.0)])
def test_maximum_and_minimum_show_a_nan(f, sign):
    a = Variable(np.array([nan, 1.0, nan, 1.0, 1.0, 2.0, inf, -inf], np.float32) * np.float32(sign))
    b = Variable(np.array([1.0, nan, nan, 1.0, 2.0, 1.0, inf, nan], np.float32) * np.float32(sign))
    y = f(a, b)
    y.backward(np.full(8, 4.0))
    assert_array_equal(y.data, np.array([nan, nan, nan, 1.0, 2.0, 2.0, inf, nan]) * sign)
    assert_array_equal(a.grad.data, [4.0, 4.0, 4.0, 2.0, 0.0, 4.0, 2.0, 4.0])
    assert_array_equal(b.grad.data, [4.0, 4.0, 4.0, 2.0, 4.0, 0.0, 2.0, 4.0])
    assert a.grad.dtype == np.float32


def test_exponents_of_bases_that_are_not_positive():
    """d aᵇ/db is aᵇ log a: NaN below 0, and at 0 flat from b = 0 on, infinite below."""
    a = np.array([-2.0, -1.0, 0.0, 0.0, 0.0, -0.0, 0.0, nan, 2.0])
    b = Variable(np.array([2.0, -1.0, 2.0, 0.0, -1.0, -1.0, nan, 2.0, 3.0]))
    with np.errstate(divide="ignore"):
        y = ag.power(a, b)
    y.backward(np.ones(9))
    expected = [nan, nan, 0.0, 0.0, -inf, inf, nan, nan, 8 * np.log(2.0)]
    assert_allclose(b.grad.data, expected)
    for base, slopes in ((0.0, [0.0, 0.0]), (-2.0, [nan, nan]), (2.0, np.log(2.0) * np.array([1.0, 4.0]))):
        x = Variable(np.array([0.0, 2.0]))
        (base**x).sum().backward()
        assert_allclose(x.grad.data, slopes)


def test_bases_with_exponents_that_are_not_positive():
    a, b = Variable(np.array([-2.0, 0.0, 0.0, -1.0])), np.array([-1.0, 0.0, 1.0, 0.0])
    (a**b).sum().backward()
    assert_allclose(a.grad.data, [-0.25, 0.0, 1.0, 0.0])


def test_complex_averages_stay_numpys():
    z = np.array([1 + 2j, 3 - 4j])
    assert ag.mean(z) == np.mean(z) and ag.prod(z) == np.prod(z)


def test_std_of_equal_elements():
    x = Variable(np.array([[2.0, 2.0, 2.0], [1.0, 2.0, 3.0]]))
    y = ag.std(x, axis=1)
    y.backward(np.ones(2))
    assert_allclose(y.data, [0.0, np.sqrt(2 / 3)])
    assert_allclose(x.grad.data, [[0.0, 0.0, 0.0], np.array([-1.0, 0.0, 1.0]) / 3 / np.sqrt(2 / 3)])


def edges(how_many):
    columns = np.array(list(itertools.product(np.append(EDGES, 2.0), repeat=how_many)))
    return [np.ascontiguousarray(column) for column in columns.T]


def of_stack(f, stack, *xs):
    return f(stack(xs), 0)


def test_edges_against_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    on_one = {
        name: getattr(torch, name, None) or getattr(F, name)
        for name in (
            ["square", "reciprocal", "sqrt", "exp", "expm1", "log", "log1p", "sin", "cos", "tanh", "sigmoid"]
            + ["relu", "leaky_relu", "softplus", "silu", "erf", "erfc"]
        )
    }
    cases = [(name, getattr(ag, name), f, 1) for name, f in on_one.items()]
    cases += [
        ("gelu", lambda x, a=a: ag.gelu(x, a), partial(F.gelu, approximate=a), 1) for a in ("none", "tanh")
    ]
    cases += [(f"x^{n}", lambda x, n=n: x**n, lambda x, n=n: x**n, 1) for n in (-2, -1, 0, 1, 1.5, 2, 3)]
    cases += [
        (f"{a}^x", lambda x, a=a: a**x, lambda x, a=a: torch.pow(torch.tensor(a, dtype=x.dtype), x), 1)
        for a in (-2.0, -1.0, 0.0, 0.5, 1.0, 2.0)
    ]
    cases.append(("clip", lambda x: ag.clip(x, -0.5, 1.0), lambda x: x.clamp(-0.5, 1.0), 1))
    for name in ("maximum", "minimum", "multiply", "divide", "add", "subtract"):
        cases.append((name, getattr(ag, name), getattr(torch, name), 2))
    cases.append(("power", ag.power, torch.pow, 2))
    over = {
        "softmax": "softmax",
        "log_softmax": "log_softmax",
        "cumsum": "cumsum",
        "sum": "sum",
        "mean": "mean",
    }
    for name, theirs in {**over, "max": "amax", "min": "amin", "prod": "prod"}.items():
        ours, theirs = getattr(ag, name), getattr(torch, theirs)
        cases.append((name, partial(of_stack, ours, ag.stack), partial(of_stack, theirs, torch.stack), 3))
    for name, ours, theirs, how_many in cases:
        arrays = edges(how_many)
        xs, tensors = [Variable(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
        with np.errstate(all="ignore"):
            y = ours(*xs)
            y.backward(np.ones(y.shape))
        z = theirs(*tensors)
        z.backward(torch.ones_like(z))
        assert_allclose(
            y.data, z.detach().numpy(), rtol=1e-7, atol=1e-8, err_msg=name
        )  # softplus: x from 20 on
        for x, tensor in zip(xs, tensors, strict=True):
            assert_allclose(x.grad.data, tensor.grad.numpy(), rtol=1e-7, atol=1e-12, err_msg=name)


# --- narrow numbers -----------------------------------------------------------------------------------


def test_averages_of_float16_do_not_overflow():
    a = np.linspace(100.0, 300.0, 1000).astype(np.float16)
    exact = a.astype(np.float64)
    x = Variable(a)
    for f, reference in ((ag.mean, np.mean), (ag.var, np.var), (ag.std, np.std)):
        y = f(x)
        assert y.dtype == np.float16
        assert_allclose(y.data, reference(exact), rtol=1e-3)
    assert_allclose(grad(ag.mean(x), x).data, np.full(1000, 1e-3), rtol=1e-3)
    assert_allclose(
        grad(ag.std(x), x).data, (exact - exact.mean()) / 1000 / exact.std(), rtol=1e-2, atol=1e-6
    )


def test_softmax_of_many_float16():
    x = Variable(np.zeros(100_000, np.float16))
    assert_allclose(ag.softmax(x).data, 1e-5, rtol=1e-2)
    assert_allclose(ag.log_softmax(x).data, -np.log(1e5), rtol=1e-3)
    assert_allclose(ag.logsumexp(x).data, np.log(1e5), rtol=1e-3)
    assert ag.softmax(x).dtype == ag.logsumexp(x).dtype == np.float16
    assert_allclose(grad(ag.logsumexp(x), x).data, 1e-5, rtol=1e-2)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int32, np.uint64])
def test_reductions_of_integers_are_as_wide_as_numpys(dtype):
    a = np.array([[100, 3, 7], [5, 120, 2]]).astype(dtype)
    for x in (a, Variable(a), a[:, :0]):
        plain = a[:, :0] if x.shape == (2, 0) else a
        for f, reference in (
            (ag.sum, np.sum),
            (ag.prod, np.prod),
            (ag.cumsum, np.cumsum),
            (ag.mean, np.mean),
        ):
            if reference is np.mean and not plain.size:
                continue
            for axis in (None, 0, 1) if plain.size else (0, 1):
                y, expected = f(x, axis=axis), reference(plain, axis=axis)
                y = y.data if isinstance(y, Variable) else y
                assert y.dtype == expected.dtype
                assert_array_equal(y, expected)


def test_softmax_and_gelu_of_integers_do_not_wrap_around():
    x = np.array([-100, 100], np.int8)
    assert_allclose(ag.softmax(x), [np.exp(-200.0), 1.0])
    assert_allclose(ag.log_softmax(x), [-200.0, 0.0], atol=1e-12)
    assert_allclose(ag.logsumexp(x), 100.0)
    assert_allclose(ag.gelu(x), [0.0, 100.0])
    assert_allclose(ag.gelu(np.array([10, 2], np.int8)), ag.gelu(np.array([10.0, 2.0])))


@pytest.mark.parametrize("dtype", [np.int8, np.uint16, np.float16, np.float32])
def test_triangles_keep_the_dtype(dtype):
    a = np.arange(12).reshape(3, 4).astype(dtype)
    for f, reference in ((ag.tril, np.tril), (ag.triu, np.triu)):
        y = f(Variable(a), 1)
        assert y.dtype == dtype
        assert_array_equal(y.data, reference(a, 1))


# --- what NumPy refuses -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subscripts, shapes",
    [
        ("ii", [(2, 3)]), ("ii", [(1, 3)]), ("ii->i", [(3, 1)]), ("iij,j->i", [(2, 3, 4), (4,)]),
        ("ii", [(3, 3, 2)]), ("ii", [(3,)]), ("ij", [(3,)]), ("i...i", [(3,)]), ("ij,jk", [(2, 3), (4, 5)]),
        ("i...->i", [(2, 3)]), ("...,i->i", [(2,), (3,)]), ("ij->k", [(2, 3)]), ("ij->ii", [(2, 3)]),
        ("i1", [(2, 3)]), ("i.j", [(2, 3)]), ("ij>i", [(2, 3)]), ("i,j", [(2,)]),
    ],
)  # fmt: skip
def test_einsum_refuses_what_numpy_refuses(subscripts, shapes):
    arrays = [np.ones(shape) for shape in shapes]
    with pytest.raises(ValueError):
        np.einsum(subscripts, *arrays)
    with pytest.raises(ValueError):
        ag.einsum(subscripts, *map(Variable, arrays))
    with pytest.raises(ValueError):
        ag.einsum(subscripts, *arrays)


@pytest.mark.parametrize(
    "axes", [(1, 0, 2), (1,), (), [[0], [0], [1]], ((0, 1), (0,)), ((0, 0), (0, 0)), (5, 0)]
)
def test_tensordot_refuses_what_numpy_refuses(axes):
    a = np.ones((2, 2, 2))
    with pytest.raises((ValueError, IndexError)):
        np.tensordot(a, a, axes)
    with pytest.raises((ValueError, IndexError)):
        ag.tensordot(Variable(a), a, axes)


def test_tensordot_over_a_number_that_numpy_made():
    a = np.arange(12.0).reshape(3, 4)
    assert_array_equal(ag.tensordot(Variable(a), a.T, np.int64(1)).data, np.tensordot(a, a.T, 1))


m = np.ma.masked_array([1.0, 2.0, 3.0], mask=[False, True, False])


@pytest.mark.parametrize("tracked", [True, False])
@pytest.mark.parametrize(
    "call",
    [
        lambda v: m * v, lambda v: v * m, lambda v: m + v, lambda v: v - m, lambda v: m / v, lambda v: v**m,
        lambda v: m @ v, lambda v: v @ m, lambda v: m > v, lambda v: m == v, lambda v: m.__imul__(v),
        lambda v: np.multiply(m, v), lambda v: np.ma.multiply(m, v), lambda v: np.ma.exp(v),
        lambda v: np.where(m, v, 0.0), lambda v: np.concatenate([v, m]), lambda v: ag.einsum("i,i", v, m),
        lambda v: v * np.ma.masked, lambda v: v * m[1:2], lambda v: Variable(m),
        lambda v: setattr(v, "data", m),
    ],
)  # fmt: skip
def test_masked_arrays_are_refused(call, tracked):
    """A gradient knows no mask, and np.ma takes the numbers out of a Variable without asking."""
    with pytest.raises(TypeError, match=r"filled"):
        call(Variable(np.ones(3), requires_grad=tracked))


def test_masked_arrays_among_themselves_are_numpys():
    assert_array_equal(ag.exp(m).mask, m.mask)
