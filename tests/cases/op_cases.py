"""One table of operations: each row says how to call one, on what, and what NumPy and PyTorch make of it.

The checks that run over every row are in `test_ops` and `test_parity_torch`. A new operation needs a row
here, and with ``torch=`` stored values from `tests.golden.make_torch_golden`. The references are plain NumPy
and share no code with the operations; ``torch`` is a function of the module and its tensors, given only where
PyTorch has the operation.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

import autograd as ag

# --- where inputs come from: functions of a generator and a shape ----------------------------------


def normal(rng, shape):
    return np.asarray(rng.standard_normal(shape))


def positive(rng, shape):
    return np.asarray(rng.uniform(0.5, 2.0, shape))


def away(rng, shape):
    """Of either sign and not near 0, where the operation has a kink or a pole."""
    return np.asarray(rng.uniform(0.3, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def distinct(rng, shape):
    """No two within 0.1 of each other, so that the largest is the largest in a neighbourhood."""
    size = int(np.prod(shape))
    return (rng.permutation(size) * 0.1 - 1.03).reshape(shape)


def some_zeros(rng, shape):
    """Each line along the last axis has a different number of exact zeros."""
    x = away(rng, shape)
    x.reshape(-1)[:: max(1, x.size // 3)] = 0.0
    return x


# --- the table ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """One operation in one setting."""

    name: str
    f: Callable[..., Any]  # on Variables
    ref: Callable[..., Any]  # on arrays, by NumPy
    domains: tuple[Callable[..., Any], ...]
    shapes: tuple[tuple[int, ...], ...]
    torch: Callable[..., Any] | None = None
    order: int = 2  # of the highest derivative that is checked
    also: tuple[tuple[tuple[int, ...], ...], ...] = ()  # more shapes: 0-d and zero-size above all

    def inputs(self, shapes=None, seed=0):
        """The input arrays, in float64."""
        rng = np.random.default_rng(seed)
        return [domain(rng, shape) for domain, shape in zip(self.domains, shapes or self.shapes, strict=True)]


CASES: list[Case] = []


def row(name, f, ref, *inputs, **more):
    """Add a row; ``inputs`` are pairs (domain, shape)."""
    domains, shapes = zip(*inputs, strict=True)
    CASES.append(Case(name, f, ref, domains, shapes, **more))


def unary(name, f, ref, domain, torch):
    """An elementwise function: checked to third order, on 0-d and zero-size arrays too."""
    row(name, f, ref, (domain, (3, 4)), torch=torch, order=3, also=(((),), ((0, 3),), ((1,),)))


def binary(name, f, ref, domain_a, domain_b, torch):
    """An elementwise function of two arrays that broadcast."""
    more = (((), ()), ((), (3,)), ((0, 3), (3,)), ((2, 1, 3), (4, 1)), ((1,), ()))
    row(name, f, ref, (domain_a, (3, 4)), (domain_b, (3, 4)), torch=torch, order=3, also=more)


def erf_free_gelu(x):
    return x / (1.0 + np.exp(-2.0 * np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3)))


def logistic(x):
    return 1.0 / (1.0 + np.exp(-x))


# arithmetic

binary("add", ag.add, lambda a, b: a + b, normal, normal, lambda t, a, b: a + b)
binary("subtract", ag.subtract, lambda a, b: a - b, normal, normal, lambda t, a, b: a - b)
binary("multiply", ag.multiply, lambda a, b: a * b, normal, normal, lambda t, a, b: a * b)
binary("divide", ag.divide, lambda a, b: a / b, normal, away, lambda t, a, b: a / b)
binary("power of arrays", ag.power, lambda a, b: a**b, positive, normal, lambda t, a, b: a**b)
binary("maximum", ag.maximum, np.maximum, normal, normal, lambda t, a, b: t.maximum(a, b))
binary("minimum", ag.minimum, np.minimum, normal, normal, lambda t, a, b: t.minimum(a, b))
unary("negative", ag.negative, lambda x: -x, normal, lambda t, x: -x)
unary("absolute", ag.absolute, np.abs, away, lambda t, x: x.abs())
unary("sign", ag.sign, np.sign, away, lambda t, x: x.sign())
unary("square", ag.square, lambda x: x * x, normal, lambda t, x: x.square())
unary("reciprocal", ag.reciprocal, lambda x: 1.0 / x, away, lambda t, x: x.reciprocal())
unary("sqrt", ag.sqrt, np.sqrt, positive, lambda t, x: x.sqrt())
unary("power 3", lambda x: ag.power(x, 3), lambda x: x * x * x, normal, lambda t, x: x**3)
unary("power 1.5", lambda x: ag.power(x, 1.5), lambda x: x * np.sqrt(x), positive, lambda t, x: x**1.5)
unary("power -2", lambda x: ag.power(x, -2), lambda x: 1 / (x * x), away, lambda t, x: x**-2)
unary("power 1", lambda x: ag.power(x, 1), lambda x: x, normal, lambda t, x: x**1)
unary("power 0", lambda x: ag.power(x, 0), np.ones_like, normal, lambda t, x: x**0)
unary("number to a power", lambda x: 2.0**x, np.exp2, normal, lambda t, x: 2.0**x)
unary("scalars", lambda x: 1.0 - (x * 2 + 3) / 4, lambda x: 0.25 - x / 2, normal, lambda t, x: 0.25 - x / 2)
unary("sum of itself", lambda x: x + x, lambda x: 2 * x, normal, lambda t, x: x + x)

# choosing

row(
    "lerp",
    ag.lerp,
    lambda a, b, w: (1 - w) * a + w * b,
    (normal, (3, 4)),
    (normal, (3, 4)),
    (normal, (3, 4)),
    torch=lambda t, a, b, w: t.lerp(a, b, w),
)
row(
    "lerp: broadcast",
    lambda a, b, w: ag.lerp(a, b, w),
    lambda a, b, w: (1 - w) * a + w * b,
    (normal, (4,)),
    (normal, (3, 1)),
    (normal, (2, 1, 1)),
    torch=lambda t, a, b, w: t.lerp(a, b, w),
)
row(
    "lerp: by a number",
    lambda a, b: ag.lerp(a, b, 0.25),
    lambda a, b: 0.75 * a + 0.25 * b,
    (normal, (3, 4)),
    (normal, (4,)),
    torch=lambda t, a, b: t.lerp(a, b.expand(3, 4), 0.25),
)
row(
    "where",
    lambda a, b: ag.where(np.arange(4) % 2 == 0, a, b),
    lambda a, b: np.stack([a[:, 0], b[:, 1], a[:, 2], b[:, 3]], 1),
    (normal, (3, 4)), (normal, (3, 4)),
    torch=lambda t, a, b: t.where(t.arange(4) % 2 == 0, a, b),
)  # fmt: skip
row(
    "where, broadcasting",
    lambda a, b: ag.where(np.array([[True], [False]]), a, b),
    lambda a, b: np.stack([np.broadcast_to(a, (3,)), np.broadcast_to(b, (3,))]),
    (normal, (3,)), (normal, ()),
    torch=lambda t, a, b: t.where(t.tensor([[True], [False]]), a, b),
)  # fmt: skip
unary("clip", lambda x: ag.clip(x, -0.5, 0.5), lambda x: np.fmin(np.fmax(x, -0.5), 0.5), normal,
      lambda t, x: x.clip(-0.5, 0.5))  # fmt: skip
unary("clip below", lambda x: ag.clip(x, 0.1), lambda x: np.fmax(x, 0.1), normal, lambda t, x: x.clip(0.1))
row(
    "clip by arrays",
    lambda x, lo, hi: ag.clip(x, lo, hi),
    lambda x, lo, hi: np.fmin(np.fmax(x, lo), hi),
    (normal, (3, 4)), (away, (3, 1)), (positive, (4,)),
    torch=lambda t, x, lo, hi: x.clip(lo, hi),
)  # fmt: skip
unary("relu", ag.relu, lambda x: x * (x > 0), away, lambda t, x: x.relu())
unary("leaky_relu", lambda x: ag.leaky_relu(x, 0.1), lambda x: np.fmax(x, 0.1 * x), away,
      lambda t, x: t.nn.functional.leaky_relu(x, 0.1))  # fmt: skip
unary("elu", lambda x: ag.elu(x, 1.3), lambda x: np.where(x > 0, x, 1.3 * (np.exp(x) - 1)), away,
      lambda t, x: t.nn.functional.elu(x, 1.3))  # fmt: skip

# exponentials and friends

unary("exp", ag.exp, np.exp, normal, lambda t, x: x.exp())
unary("expm1", ag.expm1, lambda x: np.exp(x) - 1.0, normal, lambda t, x: x.expm1())
unary("log", ag.log, np.log, positive, lambda t, x: x.log())
unary("log1p", ag.log1p, lambda x: np.log(1.0 + x), positive, lambda t, x: x.log1p())
unary("sin", ag.sin, np.sin, normal, lambda t, x: x.sin())
unary("cos", ag.cos, np.cos, normal, lambda t, x: x.cos())
unary("tanh", ag.tanh, np.tanh, normal, lambda t, x: x.tanh())
unary("sigmoid", ag.sigmoid, logistic, normal, lambda t, x: x.sigmoid())
unary("softplus", ag.softplus, lambda x: np.log(1.0 + np.exp(x)), normal,
      lambda t, x: t.nn.functional.softplus(x))  # fmt: skip
unary("softplus with beta", lambda x: ag.softplus(x, 2.0), lambda x: np.log(1.0 + np.exp(2 * x)) / 2, normal,
      lambda t, x: t.nn.functional.softplus(x, 2.0))  # fmt: skip
unary("softplus with a threshold", lambda x: ag.softplus(x, 2.0, 1.0),
      lambda x: np.where(2 * x > 1, x, np.log(1.0 + np.exp(2 * x)) / 2), normal,
      lambda t, x: t.nn.functional.softplus(x, 2.0, 1.0))  # fmt: skip
unary("silu", ag.silu, lambda x: x * logistic(x), normal, lambda t, x: t.nn.functional.silu(x))
unary("erf", ag.erf, np.vectorize(math.erf, "d"), normal, lambda t, x: t.erf(x))
unary("erfc", ag.erfc, np.vectorize(math.erfc, "d"), normal, lambda t, x: t.erfc(x))
unary("gelu", ag.gelu, np.vectorize(lambda x: x * NormalDist().cdf(x), "d"), normal,
      lambda t, x: t.nn.functional.gelu(x))  # fmt: skip
unary("gelu, tanh form", lambda x: ag.gelu(x, "tanh"), erf_free_gelu, normal,
      lambda t, x: t.nn.functional.gelu(x, approximate="tanh"))  # fmt: skip

# reductions

AXES = (None, 0, -1, (0, 2), (-1, 1), ())
REDUCED = (((0, 3, 2),), ((2, 0, 2),), ((1, 1, 1),))
SOME = (((1, 1, 1),), ((2, 1, 3),))


def axes_rows(name, f, ref, domain, torch, also=SOME, **more):
    for axis in AXES:
        for keepdims in (False, True):
            row(
                f"{name} over {axis}{' kept' if keepdims else ''}",
                lambda x, axis=axis, keepdims=keepdims: f(x, axis=axis, keepdims=keepdims),
                lambda x, axis=axis, keepdims=keepdims: ref(x, axis=axis, keepdims=keepdims),
                (domain, (2, 3, 4)),
                torch=None
                if torch is None or axis == ()
                else lambda t, x, axis=axis, keepdims=keepdims: torch(
                    t, x, (0, 1, 2) if axis is None else axis, keepdims
                ),
                also=also,
                **more,
            )


axes_rows("sum", ag.sum, np.sum, normal, lambda t, x, d, k: x.sum(d, k), also=REDUCED)
axes_rows("mean", ag.mean, np.mean, normal, lambda t, x, d, k: x.mean(d, k))
axes_rows("var", ag.var, np.var, normal, lambda t, x, d, k: x.var(d, correction=0, keepdim=k))
axes_rows("max", ag.max, np.max, distinct, lambda t, x, d, k: x.amax(d, k))
axes_rows("min", ag.min, np.min, distinct, lambda t, x, d, k: x.amin(d, k))
axes_rows("prod", ag.prod, np.prod, some_zeros, None, also=REDUCED)
axes_rows(
    "logsumexp",
    ag.logsumexp,
    lambda x, axis, keepdims: np.log(np.sum(np.exp(x), axis=axis, keepdims=keepdims)),
    normal,
    lambda t, x, d, k: x.logsumexp(d, k),
)
for reduction, reference in ((ag.sum, np.sum), (ag.max, np.max), (ag.prod, np.prod), (ag.mean, np.mean)):
    row(f"{reduction.__name__} of 0-d", reduction, reference, (normal, ()))
row("var, ddof", lambda x: ag.var(x, 1, ddof=1), lambda x: np.var(x, 1, ddof=1), (normal, (3, 4)),
    torch=lambda t, x: x.var(1))  # fmt: skip
row("std", lambda x: ag.std(x, 1, ddof=1), lambda x: np.std(x, 1, ddof=1), (normal, (3, 4)),
    torch=lambda t, x: x.std(1))  # fmt: skip
row("std of all", ag.std, np.std, (normal, (3, 4)), torch=lambda t, x: x.std(correction=0))
row("prod of positives", lambda x: ag.prod(x, 1), lambda x: np.prod(x, 1), (positive, (3, 5)), order=3,
    torch=lambda t, x: x.prod(1))  # fmt: skip
for axis in (0, 1, -1):
    row(f"cumsum along {axis}", lambda x, axis=axis: ag.cumsum(x, axis), lambda x, axis=axis: x.cumsum(axis),
        (normal, (3, 4)), torch=lambda t, x, axis=axis: x.cumsum(axis), also=(((0, 3),),))  # fmt: skip
    row(f"softmax over {axis}", lambda x, axis=axis: ag.softmax(x, axis),
        lambda x, axis=axis: np.exp(x) / np.exp(x).sum(axis, keepdims=True),
        (normal, (3, 4)), torch=lambda t, x, axis=axis: x.softmax(axis), order=3)  # fmt: skip
    row(f"log_softmax over {axis}", lambda x, axis=axis: ag.log_softmax(x, axis),
        lambda x, axis=axis: x - np.log(np.exp(x).sum(axis, keepdims=True)),
        (normal, (3, 4)), torch=lambda t, x, axis=axis: x.log_softmax(axis), order=3)  # fmt: skip
row("cumsum of all", ag.cumsum, lambda x: np.cumsum(x), (normal, (3, 4)), also=(((),), ((0,),)))

# products

for a, b in [
    ((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((2, 3), (3, 4)), ((5, 2, 3), (3, 4)), ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)), ((2, 3), (5, 3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 1, 2, 3), (6, 3, 4)),
    ((1, 2, 3), (5, 3, 4)), ((0, 3), (3, 4)), ((2, 0), (0, 4)), ((5, 2, 0), (0, 4)), ((0, 2, 3), (3, 4)),
    ((5, 2, 0), (5, 0, 3)), ((0,), (0,)),
]:  # fmt: skip
    row(f"matmul {a} {b}", ag.matmul, np.matmul, (normal, a), (normal, b), torch=lambda t, a, b: a @ b)
for a, b in [((), (3,)), ((3,), ()), ((3,), (3,)), ((2, 3), (3, 4)), ((2, 3), (3,)), ((2, 3, 4), (4,)),
             ((2, 3, 4), (5, 4, 2))]:  # fmt: skip
    row(f"dot {a} {b}", ag.dot, np.dot, (normal, a), (normal, b))
row("outer", ag.outer, np.outer, (normal, (3,)), (normal, (4,)), torch=lambda t, a, b: t.outer(a, b),
    also=(((2, 2), (3,)), ((0,), (3,)), ((), ())))  # fmt: skip
for axes, a, b in [
    (2, (4, 2, 3), (2, 3, 5)), (0, (2,), (3, 2)), (1, (2, 3), (3,)), (((0, 1), (1, 0)), (2, 3, 4), (3, 2)),
    ((1, 0), (2, 3), (3, 4)), (((-1,), (1,)), (2, 3), (4, 3)), (2, (2, 3), (2, 3)), (1, (2, 0), (0, 3)),
]:  # fmt: skip
    row(f"tensordot {axes} {a} {b}", lambda a, b, axes=axes: ag.tensordot(a, b, axes),
        lambda a, b, axes=axes: np.tensordot(a, b, axes), (normal, a), (normal, b))  # fmt: skip
for subscripts, *shapes in [
    ("ij,jk->ik", (2, 3), (3, 4)), ("ij,jk", (2, 3), (3, 4)), ("ij->ji", (2, 3)), ("ij->", (2, 3)),
    ("ii->i", (3, 3)), ("ii", (3, 3)), ("i,j->ij", (2,), (3,)), ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("...ij,jk->...ik", (5, 2, 3), (3, 4)), ("ij,kl->", (2, 3), (3, 2)), ("ijk->j", (2, 3, 4)),
    ("i,ij,j->", (2,), (2, 3), (3,)), ("iij,j->i", (3, 3, 2), (2,)), ("i...,i...->...", (3, 2), (3, 2)),
    ("ij,ij->ij", (2, 3), (2, 3)), ("...i->...", (2, 3)), ("ba", (2, 3)), ("i,i->", (0,), (0,)),
    (",i->i", (), (3,)), ("ij,jk->ik", (2, 1), (3, 4)), ("ij,j->", (1, 3), (1,)),
    ("a...,...b", (2, 3), (3, 4)), ("...,...", (2, 1), (3,)),
]:  # fmt: skip
    row(
        f"einsum {subscripts} {' '.join(map(str, shapes))}",
        lambda *xs, s=subscripts: ag.einsum(s, *xs),
        lambda *xs, s=subscripts: np.einsum(s, *xs),
        *[(normal, shape) for shape in shapes],
        torch=lambda t, *xs, s=subscripts: t.einsum(s, *xs),
    )
row("linear", ag.linear, lambda x, w, b: x @ w.T + b, (normal, (5, 3)), (normal, (4, 3)), (normal, (4,)),
    torch=lambda t, *xs: t.nn.functional.linear(*xs),
    also=(((3,), (4, 3), (4,)), ((2, 5, 3), (4, 3), (4,)), ((0, 3), (4, 3), (4,)), ((2, 5, 0), (4, 0), (4,)),
          ((5, 3), (4, 3), ())))  # fmt: skip
row("linear without bias", ag.linear, lambda x, w: np.einsum("...i,oi->...o", x, w),
    (normal, (2, 5, 3)), (normal, (4, 3)), torch=lambda t, x, w: t.nn.functional.linear(x, w),
    also=(((3,), (4, 3)), ((0, 3), (4, 3))))  # fmt: skip
row("addmm", ag.addmm, lambda c, x, w: c + x @ w, (normal, (5, 4)), (normal, (5, 3)), (normal, (3, 4)),
    torch=lambda t, c, x, w: t.addmm(c, x, w),
    also=(((4,), (5, 3), (3, 4)), ((5, 1), (5, 3), (3, 4)), ((), (2, 5, 3), (3, 4)), ((4,), (3,), (3, 4)),
          ((4,), (2, 5, 0), (0, 4)), ((4,), (0, 3), (3, 4))))  # fmt: skip

# shapes

ODD = (((0, 3, 2),), ((1, 1, 1),))
for name, f, ref, torch in [
    ("reshape", lambda x: ag.reshape(x, (4, -1)), lambda x: x.ravel().reshape(4, 6),
     lambda t, x: x.reshape(4, -1)),
    ("transpose", ag.transpose, lambda x: np.einsum("abc->cba", x), lambda t, x: x.permute(2, 1, 0)),
    ("transpose by axes", lambda x: ag.transpose(x, (1, -1, 0)), lambda x: np.einsum("abc->bca", x),
     lambda t, x: x.permute(1, 2, 0)),
    ("swapaxes", lambda x: ag.swapaxes(x, 0, -1), lambda x: np.einsum("abc->cba", x),
     lambda t, x: x.swapaxes(0, -1)),
    ("moveaxis", lambda x: ag.moveaxis(x, 0, -1), lambda x: np.einsum("abc->bca", x),
     lambda t, x: x.moveaxis(0, -1)),
    ("moveaxis, several", lambda x: ag.moveaxis(x, (0, 1), (-1, 0)), lambda x: np.einsum("abc->bca", x),
     lambda t, x: x.moveaxis((0, 1), (-1, 0))),
    ("expand_dims", lambda x: ag.expand_dims(x, (0, -1)), lambda x: x[None, ..., None],
     lambda t, x: x[None, ..., None]),
    ("flip", ag.flip, lambda x: x[::-1, ::-1, ::-1], lambda t, x: x.flip(0, 1, 2)),
    ("flip one", lambda x: ag.flip(x, 1), lambda x: x[:, ::-1], lambda t, x: x.flip(1)),
    ("broadcast_to", lambda x: ag.broadcast_to(x, (5, *x.shape)), lambda x: np.stack([x] * 5),
     lambda t, x: x.expand(5, *x.shape)),
    ("split", lambda x: ag.split(x, np.int64(2), 0), lambda x: (x[:1], x[1:]), lambda t, x: x.split(1, 0)),
    ("split at", lambda x: ag.split(x, [1, 3], -1), lambda x: (x[..., :1], x[..., 1:3], x[..., 3:]),
     lambda t, x: t.tensor_split(x, (1, 3), -1)),
    ("split, one used", lambda x: ag.split(x, [1, 3], -1)[1], lambda x: x[..., 1:3], None),
    ("unstack", lambda x: ag.unstack(x, 1), lambda x: (x[:, 0], x[:, 1], x[:, 2]), lambda t, x: x.unbind(1)),
    ("unstack, one used", lambda x: ag.unstack(x, -1)[2] * 1.0, lambda x: x[:, :, 2], None),
    ("pad", lambda x: ag.pad(x, ((1, 0), (0, 2), (0, 0)), constant_values=0.5),
     lambda x: np.concatenate([np.full((1, 5, 4), 0.5), np.concatenate([x, np.full((2, 2, 4), 0.5)], 1)]),
     lambda t, x: t.nn.functional.pad(x, (0, 0, 0, 2, 1, 0), value=0.5)),
    ("pad all", lambda x: ag.pad(x, 1), lambda x: np.pad(x, 1),
     lambda t, x: t.nn.functional.pad(x, (1,) * 6)),
    ("roll", lambda x: ag.roll(x, 1, 1), lambda x: x[:, [2, 0, 1]], lambda t, x: x.roll(1, 1)),
    ("roll backwards", lambda x: ag.roll(x, -5, -1), lambda x: x[..., [1, 2, 3, 0]],
     lambda t, x: x.roll(-5, -1)),
    ("roll all", lambda x: ag.roll(x, 3), lambda x: np.roll(x, 3), lambda t, x: x.roll(3)),
    ("roll two axes", lambda x: ag.roll(x, (1, 2), (0, 2)), lambda x: np.roll(x, (1, 2), (0, 2)),
     lambda t, x: x.roll((1, 2), (0, 2))),
    ("tile", lambda x: ag.tile(x, (2, 1, 3)), lambda x: np.tile(x, (2, 1, 3)), lambda t, x: x.tile(2, 1, 3)),
    ("tile, more axes", lambda x: ag.tile(x, (2, 1, 1, 2)), lambda x: np.tile(x, (2, 1, 1, 2)),
     lambda t, x: x.tile(2, 1, 1, 2)),
    ("tile the last", lambda x: ag.tile(x, 2), lambda x: np.concatenate([x, x], -1), lambda t, x: x.tile(2)),
    ("repeat", lambda x: ag.repeat(x, 2, 1), lambda x: x[:, [0, 0, 1, 1, 2, 2]],
     lambda t, x: x.repeat_interleave(2, 1)),
    ("repeat unevenly", lambda x: ag.repeat(x, [0, 2, 1], 1), lambda x: x[:, [1, 1, 2]],
     lambda t, x: x.repeat_interleave(t.tensor([0, 2, 1]), 1)),
    ("repeat all", lambda x: ag.repeat(x, 3), lambda x: np.repeat(x.ravel(), 3),
     lambda t, x: x.repeat_interleave(3)),
    ("tril", lambda x: ag.tril(x, 1), lambda x: np.stack([np.tril(m, 1) for m in x]), lambda t, x: x.tril(1)),
    ("triu", ag.triu, lambda x: np.stack([np.triu(m) for m in x]), lambda t, x: x.triu()),
    ("cast", lambda x: ag.astype(x, x.dtype), lambda x: x, lambda t, x: x.to(x.dtype)),
    ("contiguous", lambda x: ag.ops.contiguous(x.T), lambda x: x.T,
     lambda t, x: x.permute(2, 1, 0).contiguous()),
]:  # fmt: skip
    row(name, f, ref, (normal, (2, 3, 4)), torch=torch)
for name, f, ref in [
    ("reshape", lambda x: ag.reshape(x, -1), np.ravel),
    ("transpose", ag.transpose, np.transpose),
    ("expand_dims", lambda x: ag.expand_dims(x, 0), lambda x: x[None]),
    ("squeeze", ag.squeeze, np.squeeze),
    ("flip", ag.flip, np.flip),
    ("roll", lambda x: ag.roll(x, 2), lambda x: np.roll(x, 2)),
    ("tile", lambda x: ag.tile(x, 2), lambda x: np.tile(x, 2)),
    ("repeat", lambda x: ag.repeat(x, 2), lambda x: np.repeat(x, 2)),
    ("broadcast_to", lambda x: ag.broadcast_to(x, (2, *x.shape)), lambda x: np.stack([x, x])),
    ("contiguous", ag.ops.contiguous, lambda x: x),
    ("cast", lambda x: ag.astype(x, x.dtype), lambda x: x),
]:
    row(f"{name} of odd shapes", f, ref, (normal, (1, 2, 1)), also=(((),), ((0, 2),), ((2, 0, 1),), ((1,),)))
row("pad of nothing", lambda x: ag.pad(x, ((1, 0), (0, 2))), lambda x: np.zeros((x.shape[0] + 1, 2)),
    (normal, (2, 0)))  # fmt: skip
row("squeeze an axis", lambda x: ag.squeeze(x, 1), lambda x: x[:, 0], (normal, (2, 1, 3)),
    torch=lambda t, x: x.squeeze(1), also=(((0, 1, 1),),))  # fmt: skip
row("concatenate", lambda a, b: ag.concatenate([a, b], -1), lambda a, b: np.hstack([a, b]),
    (normal, (3, 2)), (normal, (3, 4)), torch=lambda t, a, b: t.cat([a, b], -1),
    also=(((3, 0), (3, 2)), ((0, 2), (0, 1))))  # fmt: skip
row("concatenate one twice", lambda a, b: ag.concatenate([a, b, a]), lambda a, b: np.vstack([a, b, a]),
    (normal, (3, 2)), (normal, (1, 2)), torch=lambda t, a, b: t.cat([a, b, a]))  # fmt: skip
row("concatenate flat", lambda a, b: ag.concatenate([a, b], None), lambda a, b: np.append(a, b),
    (normal, (3, 2)), (normal, (3,)), also=(((), ()), ((0,), (2, 2))))  # fmt: skip
row("stack", lambda a, b: ag.stack([a, b], 1), lambda a, b: np.concatenate([a[:, None], b[:, None]], 1),
    (normal, (3, 4)), (normal, (3, 4)), torch=lambda t, a, b: t.stack([a, b], 1),
    also=(((3, 0), (3, 0)),))  # fmt: skip
row("stack of 0-d", lambda a, b: ag.stack([a, b, a * 2.0]), lambda a, b: np.array([a, b, 2 * a]),
    (normal, ()), (normal, ()), torch=lambda t, a, b: t.stack([a, b, 2 * a]))  # fmt: skip

# indexing

WHICH = np.array([[2, 0], [2, 2]])
MASK = np.arange(12).reshape(3, 4) % 5 < 2
for name, index in [
    ("int", 1), ("negative", -1), ("slice", slice(1, None)), ("strided", slice(None, None, -2)),
    ("element", (1, 2)), ("newaxis", (None, 1)), ("ellipsis", (..., 2)), ("nothing", ()),
    ("empty", slice(5, 9)),
    ("list", [0, 2, 0]), ("array", WHICH), ("pair", (WHICH, 1)), ("two arrays", (WHICH, np.array([1, 3]))),
    ("mixed", (slice(1, 3), WHICH)), ("mask", MASK), ("row mask", (MASK[:, 0], slice(2))), ("no rows", []),
    ("tuple in a tuple", ((0, 0, 2),)), ("np.int64", np.int64(1)), ("0-d array", np.array(1)),
    ("range", (range(2), range(2))), ("true", True), ("list of bools", [True, False, True]),
]:  # fmt: skip
    row(f"index: {name}", lambda x, i=index: x[i], lambda x, i=index: x[i], (normal, (3, 4)))
    row(f"scatter_add: {name}", lambda x, i=index: ag.scatter_add(x[i], i, (3, 4)),
        lambda x, i=index: np.stack([
            [np.sum(x[i][np.arange(12).reshape(3, 4)[i] == 4 * a + b]) for b in range(4)] for a in range(3)
        ]), (normal, (3, 4)))  # fmt: skip
row("index of 0-d", lambda x: x[...] + x[None][0], lambda x: 2 * x, (normal, ()))
row("scatter_add, broadcasting", lambda x: ag.scatter_add(x, [0, 2, 0], (4, 2)),
    lambda x: np.stack([2 * x, 0 * x, x, 0 * x]), (normal, (2,)))  # fmt: skip
row("take_along_axis", lambda x: ag.take_along_axis(x, np.array([[0, 0], [3, 1], [2, 2]]), 1),
    lambda x: np.stack([x[0, [0, 0]], x[1, [3, 1]], x[2, [2, 2]]]), (normal, (3, 4)),
    torch=lambda t, x: t.take_along_dim(x, t.tensor([[0, 0], [3, 1], [2, 2]]), 1))  # fmt: skip
row("take_along_axis, broadcasting", lambda x: ag.take_along_axis(x, np.array([[1, 1, 0]]), -1),
    lambda x: x[:, [1, 1, 0]], (normal, (3, 4)))  # fmt: skip
row("take_along_axis of all", lambda x: ag.take_along_axis(x, np.array([5, 5, 0]), None),
    lambda x: x.ravel()[[5, 5, 0]], (normal, (3, 4)))  # fmt: skip


def written(x, index, value):
    x = x.copy()
    x[index] = value
    return x


for name, index, shape in [
    ("int", 1, (4,)), ("slice", slice(1, None), (2, 4)), ("broadcast", slice(1, None), ()),
    ("element", (1, 2), ()), ("mask", MASK, (6,)), ("mask, one value", MASK, ()),
    ("array", (np.array([2, 0]),), (2, 4)), ("twice", ([1, 1, 0], [2, 2, 3]), (3,)),
]:  # fmt: skip
    row(f"index_update: {name}", lambda x, v, i=index: ag.index_update(x, i, v),
        lambda x, v, i=index: written(x, i, v), (normal, (3, 4)), (normal, shape))  # fmt: skip
row("index_update of 0-d", lambda x, v: ag.index_update(x, (), v * 1.0) + x, lambda x, v: v + x,
    (normal, ()), (normal, ()))  # fmt: skip

# linear recurrences, as the sum over all earlier steps of what is left of them


def sum_over_steps(a, b, h0=0.0, reverse=False):
    """h_t = a_0 ... a_t h0 + Σ_s a_{s+1} ... a_t b_s, over axis 0, of real or complex numbers."""
    a, b = (np.broadcast_to(x, np.broadcast_shapes(np.shape(a), np.shape(b))) for x in (a, b))
    a, b = (a[::-1], b[::-1]) if reverse else (a, b)
    steps = [
        np.prod(a[: t + 1], axis=0) * h0 + sum(np.prod(a[s + 1 : t + 1], axis=0) * b[s] for s in range(t + 1))
        for t in range(len(b))
    ]
    h = np.stack(steps) if steps else np.zeros(b.shape)
    return h[::-1] if reverse else h


STEPS, ROW = (normal, (4, 2, 3)), (normal, (2, 3))
row("linear_scan", ag.linear_scan, sum_over_steps, STEPS, STEPS, ROW, order=3,
    also=(((1, 3), (1, 3), (3,)), ((3,), (3,), ()), ((4, 2), (1, 2), (2,)), ((0, 2), (0, 2), (2,)),
          ((3, 0), (3, 0), (0,)), ((2, 3), (4, 2, 3), (3,)), ((4, 2, 3), (3,), ()),
          ((), (3,), ())))  # fmt: skip
row("linear_scan in reverse", lambda a, b, h: ag.linear_scan(a, b, h, reverse=True),
    lambda a, b, h: sum_over_steps(a, b, h, reverse=True), STEPS, STEPS, ROW, order=3,
    also=(((1, 3), (1, 3), (3,)), ((0, 2), (0, 2), (2,)), ((3,), (4, 2, 3), (3,))))  # fmt: skip
row("linear_scan from zeros", ag.linear_scan, sum_over_steps, STEPS, STEPS, order=3,
    also=(((3,), (3,)), ((3,), (4, 2, 3))))  # fmt: skip
for axis in (1, -1):
    row(f"linear_scan along {axis}", lambda a, b, axis=axis: ag.linear_scan(a, b, axis=axis, reverse=True),
        lambda a, b, axis=axis: np.moveaxis(
            sum_over_steps(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0), reverse=True), 0, axis
        ), STEPS, STEPS, also=(((1, 1, 1), (1, 1, 1)),))  # fmt: skip


class Alone:
    """A communicator of one process; several are in `tests.cases.replicas_cases`."""

    def Get_rank(self):
        return 0

    def Get_size(self):
        return 1


for reverse in (False, True):
    row(f"linear_scan_across{' in reverse' if reverse else ''}",
        lambda a, b, reverse=reverse: ag.linear_scan_across(a, b, Alone(), reverse=reverse),
        lambda a, b, reverse=reverse: sum_over_steps(a, b, reverse=reverse), STEPS, STEPS, order=3,
        also=(((1, 3), (1, 3)), ((3,), (4, 2, 3)), ((4, 1), (4, 3))))  # fmt: skip


def pairs(f, reverse):
    """``f`` of complex numbers, from and to their parts."""

    def of_parts(a_re, a_im, b_re, b_im, h_re, h_im):
        h = f(a_re + 1j * a_im, b_re + 1j * b_im, h_re + 1j * h_im, reverse)
        return h.real.astype(b_re.dtype), h.imag.astype(b_re.dtype)

    return of_parts


for reverse in (False, True):
    row(f"complex_linear_scan{' in reverse' if reverse else ''}",
        lambda *x, reverse=reverse: ag.complex_linear_scan(x[:2], x[2:4], x[4:], reverse=reverse),
        pairs(sum_over_steps, reverse), STEPS, STEPS, STEPS, STEPS, ROW, ROW, order=3,
        also=(((1, 2),) * 4 + ((2,),) * 2, ((3,),) * 2 + ((4, 2, 3),) * 2 + ((2, 3), (3,)),
              ((0, 2),) * 4 + ((2,),) * 2))  # fmt: skip
row("complex_linear_scan from zeros, along 1", lambda *x: ag.complex_linear_scan(x[:2], x[2:], axis=1),
    lambda *x: pairs(lambda *c: np.moveaxis(
        sum_over_steps(np.moveaxis(c[0], 1, 0), np.moveaxis(c[1], 1, 0)), 0, 1), False)(*x, 0.0, 0.0),
    *[(normal, (2, 4, 3))] * 4, order=2)  # fmt: skip

# several operations at once: how they meet in one graph

row("a weight used by a product, a transposed product and an indexed read",
    lambda x, w: ag.sum(ag.tanh(x @ w) @ w.T) + ag.sum(w[[0, 2, 0]] * w[1]),
    lambda x, w: np.sum(np.tanh(x @ w) @ w.T) + np.sum(w[[0, 2, 0]] * w[1]),
    (normal, (5, 3)), (normal, (3, 4)),
    torch=lambda t, x, w: (t.tanh(x @ w) @ w.T).sum() + (w[[0, 2, 0]] * w[1]).sum())  # fmt: skip
row("a recurrence of 40 steps",
    lambda x, w: recurrence(ag.tanh, x, w), lambda x, w: recurrence(np.tanh, x, w),
    (normal, (2, 3)), (normal, (3, 3)), torch=lambda t, x, w: recurrence(t.tanh, x, w))  # fmt: skip


def recurrence(tanh, x, w):
    h = x
    for _ in range(40):
        h = tanh(h @ w * 0.5 + x)
    return h


from tests.cases import conv_cases, numpy_cases  # noqa: E402, F401  (their rows join the table)
