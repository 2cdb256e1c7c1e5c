"""Deliberately wrong engines: each must make one of the suite's kinds of check fail.

A check is a function that passes on the engine as it is. A mutant replaces one piece of it. If a mutant
survives, either the check became too weak or the piece is no longer used.
"""

import numpy as np
import pytest

import autograd as ag
from autograd import GradientError, Variable, core, deferred, engine, grad, gradcheck
from autograd.ops import elementwise, linalg, reduce, shape

RNG = np.random.default_rng(0)
X, W, B = RNG.standard_normal((4, 3)), RNG.standard_normal((3, 3)), RNG.standard_normal(3)
CAUGHT = (GradientError, ValueError, AssertionError, RuntimeError)


# --- checks ------------------------------------------------------------------------------------------


def diamond():
    """A late use of an early node, over paths of different length."""

    def f(x):
        early = ag.tanh(x)
        late = early
        for _ in range(3):
            late = ag.sin(late) + late * 0.5
        return late * early

    gradcheck(f, X)


def reuse():
    gradcheck(lambda x: x * x + ag.exp(x * 0.3) * x, X)


def broadcasting():
    gradcheck(lambda x, b: ag.tanh(x + b) * b, X, B)


def recurrence():
    """More uses of a weight than are joined at a time."""

    def f(x, w, b):
        h, rows = x, 0.0
        for t in range(deferred.CHUNK + 3):
            h = ag.tanh(ag.linear(h, w, b) + x[[0, 1, 1, 3]])
            rows = rows + w[[t % 2, t % 3, 0]]
        return h + ag.sum(ag.tanh(rows))

    gradcheck(f, X, W, B)


def second_order():
    gradcheck(lambda x, w: ag.sum(ag.sigmoid(x @ w) * ag.square(x)), X, W, order=2)


def outputs():
    """Several outputs, one unused, one used twice."""

    def f(x):
        a, _, c = ag.unstack(x, 1)
        return a * c + ag.exp(c)

    gradcheck(f, X)


def cut():
    x = Variable(X)
    h = x * 2.0
    y = h * h + x
    h.unchain()
    y.backward(np.ones_like(X))
    assert np.array_equal(x.grad.data, np.ones_like(X))


def accumulation():
    x = Variable(X)
    for _ in range(2):
        (x * x).sum().backward()
    assert np.allclose(x.grad.data, 4 * X)


def changed_leaf():
    x = Variable(X.copy())
    y = (x * x).sum()
    x.data += 1.0
    with pytest.raises(RuntimeError):
        y.backward()


def release():
    x = Variable(X)
    y = (x * x).sum()
    y.backward()
    with pytest.raises(RuntimeError):
        y.backward()


def dtype():
    x = Variable(X.astype(np.float32))
    assert grad((x * np.ones(3)).sum(), x).dtype == np.float32


CHECKS = [
    diamond, reuse, broadcasting, recurrence, second_order, outputs, cut, accumulation, changed_leaf, release,
    dtype,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS, ids=lambda f: f.__name__)
def test_the_engine_passes(check):
    check()


# --- mutants: (what is replaced, by what, the checks that must notice) ----------------------------------


def no_topological_order(original):
    """Every other node first: parents may come before their children."""

    def shuffled(*args):
        nodes = original(*args)
        return nodes[::2] + nodes[1::2]

    return shuffled


def reversed_order(original):
    return lambda *args: original(*args)[::-1]


def overwrites(where):
    """The last contribution alone, at leaves or at nodes."""

    def mutate(original):
        def add(self, edges, gs, node=None):
            for edge, g in zip(edges, gs, strict=True):
                if isinstance(edge, where):
                    (self.sink if isinstance(edge, Variable) else self.sums).pop(edge, None)
                original(self, [edge], [g], node)

        return add

    return mutate


def no_cast(original):
    def add(self, edges, gs, node=None):
        for edge, g in zip(edges, gs, strict=True):
            if isinstance(edge, Variable):
                self.sink[edge] = g
            else:
                original(self, [edge], [g], node)

    return add


def drops_one_element(original):
    def join(parts):
        return original(parts[:-1] if len(parts) > 1 else parts)

    return staticmethod(join)


MUTANTS = {
    "no topological order": (engine, "_ancestors", no_topological_order, [diamond, reuse]),
    "reversed order": (engine, "_ancestors", reversed_order, [diamond]),
    "overwrite instead of add, at a leaf": (engine.Arrived, "add", overwrites(Variable), [reuse, recurrence]),
    "overwrite instead of add, at a node": (engine.Arrived, "add", overwrites(core.Function), [diamond]),
    "no un-broadcast": (engine, "sum_to", lambda f: lambda g, shape: g, [broadcasting]),
    "un-broadcast takes the first": (
        engine, "sum_to",
        lambda f: lambda g, shape: np.reshape(np.ravel(g)[: int(np.prod(shape))], shape), [broadcasting],
    ),
    "joins all but the last product": (deferred.Outer, "join", drops_one_element, [recurrence]),
    "joins all but the last read": (deferred.Scatter, "join", drops_one_element, [recurrence]),
    "repeated indices overwrite": (
        shape, "add_at", lambda f: lambda out, index, g: out.__setitem__(index, g), [
            lambda: gradcheck(lambda x: ag.scatter_add(x, [0, 0, 1, 1], (2, 3)) * 1.0, X, order=2),
            lambda: np.testing.assert_array_equal(ag.scatter_add(np.ones(2), [0, 0], (1,)), [2.0]),
        ],
    ),
    "no cast": (engine.Arrived, "add", no_cast, [dtype, reuse]),
    "saved values are constants in a recorded pass": (
        core.Function, "values_as_variables", lambda f: lambda self: self.values(), [second_order],
    ),
    "leaves are not checked": (core.Function, "values", lambda f: lambda self: self.saved, [changed_leaf]),
    "nothing is cut": (core.Function, "cut", lambda f: lambda self, k: None, [cut]),
    "tanh' = 1 - y": (
        elementwise.Tanh, "backward", lambda f: lambda self, gy, y: gy - gy * y, [diamond, recurrence],
    ),
    "sigmoid', wrong in the second order only": (
        elementwise.Sigmoid, "backward",
        lambda f: lambda self, gy, y: gy * getattr(y, "data", y) * (1.0 - y), [second_order],
    ),
    "matmul forgets a transpose": (
        linalg.MatMul, "backward", lambda f: lambda self, gy, a, b: (gy @ b, a.T @ gy), [second_order],
    ),
    "sum gives the mean's gradient": (
        reduce.Sum, "backward", lambda f: lambda self, gy: f(self, gy) * 0.5, [second_order],
    ),
    "unstack forgets an output": (
        shape.Unstack, "backward",
        lambda f: lambda self, gy: f(self, (gy[0], gy[1], gy[2] * 0.0)), [outputs],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MUTANTS)
def test_a_wrong_engine_is_noticed(name, monkeypatch):
    where, attribute, mutate, checks = MUTANTS[name]
    monkeypatch.setattr(where, attribute, mutate(getattr(where, attribute)))
    for check in checks:
        with pytest.raises(CAUGHT + (pytest.fail.Exception,)):
            check()
