"""Reductions over axes, and the softmax family. ``axis`` is None, an int or a tuple, as in NumPy."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate

import numpy as np

from ..core import Array, Function, Operand, Value
from .elementwise import astype, sqrt, where
from .shape import concatenate, flip, moveaxis, normalize_axes, reshape, shape_of
from .signatures import P, unary

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """``axis`` as a tuple of non-negative numbers, checked as NumPy checks them."""
    if axis is None:
        return tuple(range(ndim))
    return normalize_axes(axis, ndim)


class Reduction(Function):
    """Base of reductions: keeps the shape that a gradient needs to be broadcast over the reduced axes."""

    def __init__(self, axis: Axis = None, keepdims: bool = False):
        self.axis, self.keepdims = axis, keepdims

    def kept(self, x: Array) -> tuple[int, ...]:
        """The output shape under keepdims."""
        axes = axes_of(self.axis, x.ndim)
        return tuple([1 if i in axes else n for i, n in enumerate(x.shape)])


class Sum(Reduction):
    symbol, rule = "Σ", "gx = gy on every summand"

    def forward(self, x):
        self.x_shape, self.kept_shape = x.shape, self.kept(x)
        return np.sum(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy):
        return np.broadcast_to(np.reshape(gy, self.kept_shape), self.x_shape)


class Max(Reduction):
    symbol, rule = "max", "gx = gy [x = y] / number of ties"
    reduce: Callable[..., Array] = staticmethod(np.max)

    def forward(self, x):
        self.kept_shape = self.kept(x)
        return self.reduce(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy, y, x):
        hit = np.equal(x, np.reshape(y, self.kept_shape))
        ties = np.sum(hit, axis=axes_of(self.axis, x.ndim), keepdims=True)
        return np.reshape(gy, self.kept_shape) * (hit / ties).astype(gy.dtype)


class Min(Max):
    symbol = "min"
    reduce = staticmethod(np.min)


class LogSumExp(Reduction):
    symbol, rule = "log Σ exp", "gx = gy softmax(x)"

    def forward(self, x):
        self.kept_shape = self.kept(x)
        top = np.max(x, axis=self.axis, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)  # all -inf is a sum of zeros, not a NaN
        with np.errstate(divide="ignore", over="ignore"):  # only next to an inf can anything overflow
            y = np.log(np.sum(np.exp(x - top), axis=self.axis, keepdims=True)) + top
        return y if self.keepdims else np.squeeze(y, axes_of(self.axis, x.ndim))

    def backward(self, gy, y, x):
        y = np.reshape(y, self.kept_shape)
        # where every term is -inf the sum does not depend on any of them to first order
        y = np.where(np.equal(y, -np.inf), 0.0, y)
        with np.errstate(invalid="ignore"):  # the derivative by an inf is NaN
            return np.reshape(gy, self.kept_shape) * np.exp(x - y)


class Softmax(Function):
    symbol, rule = "softmax", "gx = y (gy - Σ gy y)"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        y = np.exp(x - np.max(x, axis=self.axis, keepdims=True))
        y /= np.sum(y, axis=self.axis, keepdims=True)
        return y

    def backward(self, gy, y):
        gx = gy * y
        return gx - y * np.sum(gx, axis=self.axis, keepdims=True)


class LogSoftmax(Function):
    symbol, rule = "log softmax", "gx = gy - exp(y) Σ gy"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        y = x - np.max(x, axis=self.axis, keepdims=True)
        y -= np.log(np.sum(np.exp(y), axis=self.axis, keepdims=True))
        return y

    def backward(self, gy, y):
        return gy - np.exp(y) * np.sum(gy, axis=self.axis, keepdims=True)


class Cumsum(Function):
    symbol, rule = "cumsum", "gx = sum of the gy from here on"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        return np.cumsum(x, axis=self.axis)

    def backward(self, gy):
        return flip(np.cumsum(flip(gy, self.axis), axis=self.axis), self.axis)


# --- what users call ----------------------------------------------------------------------------


@unary
def sum(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The sum over axis (all elements by default).

    >>> x = Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> ag.sum(x).item(), x.sum(axis=0)
    (10.0, Variable([4., 6.], creator=Sum))
    """
    return Sum(axis, keepdims)(x)


def in_wide(f: Callable[Concatenate[Any, P], Value]) -> Callable[Concatenate[Any, P], Value]:
    """Compute ``f`` in float32 where x is float16, whose sums end at 65504, and in float64 where x holds
    integers, whose differences wrap around."""

    @wraps(f)
    def wide(x: Any, *args: P.args, **kwargs: P.kwargs) -> Value:
        dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
        if dtype.kind in "biu":
            return f(astype(x, np.float64), *args, **kwargs)
        if dtype == np.float16:
            return astype(f(astype(x, np.float32), *args, **kwargs), dtype)
        return f(x, *args, **kwargs)

    return wide


@unary
@in_wide
def mean(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The arithmetic mean over axis.

    >>> x = Variable([[1.0, 2.0], [3.0, 6.0]])
    >>> ag.mean(x).item(), x.mean(axis=0).data
    (3.0, array([2., 4.]))
    """
    return sum(x, axis, keepdims) / _count(x, axis)


@unary
@in_wide
def var(x: Value, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Value:
    """The mean squared deviation from the mean; divides by N - ddof, NumPy's default is N.

    >>> x = Variable([1.0, 3.0])
    >>> ag.var(x).item(), ag.var(x, ddof=1).item()  # PyTorch divides by N - 1
    (1.0, 2.0)
    """
    d = x - mean(x, axis, keepdims=True)
    return sum(d * d, axis, keepdims) / (_count(x, axis) - ddof)


@unary
@in_wide
def std(x: Value, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Value:
    """The square root of `var`; where all elements are equal, the derivative is taken as 0.

    >>> ag.std(Variable([1.0, 5.0])).item()
    2.0
    """
    v = var(x, axis, ddof, keepdims)
    positive = np.greater(v, 0.0)
    return where(positive, sqrt(where(positive, v, 1.0)), v)


def _count(x: Operand, axis: Axis) -> int:
    shape = shape_of(x)
    return math.prod([shape[i] for i in axes_of(axis, len(shape))])


@unary
def max(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The largest element over axis; ties share the gradient.

    >>> x = Variable([[1.0, 7.0], [7.0, 2.0]])
    >>> ag.max(x).item(), ag.grad(ag.max(x), x).data
    (7.0, array([[0. , 0.5],
            [0.5, 0. ]]))
    """
    return Max(axis, keepdims)(x)


@unary
def min(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The smallest element over axis; ties share the gradient.

    >>> ag.min(Variable([[1.0, 7.0], [5.0, 2.0]]), axis=1).data
    array([1., 2.])
    """
    return Min(axis, keepdims)(x)


@unary
def prod(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The product over axis. Factors of zero have the right derivative (no division is involved).

    >>> x = Variable([2.0, 0.0, 5.0])
    >>> ag.prod(x).item(), ag.grad(ag.prod(x), x).data
    (0.0, array([ 0., 10.,  0.]))
    """
    x = x if hasattr(x, "dtype") else np.asarray(x)
    if x.dtype.kind in "biu":
        x = astype(x, np.prod(np.empty(0, x.dtype)).dtype)  # of small integers, NumPy's are int64
    shape = shape_of(x)
    axes = axes_of(axis, len(shape))
    rest = tuple([n for i, n in enumerate(shape) if i not in axes])
    kept = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    y = reshape(moveaxis(x, axes, range(-len(axes), 0)), (*rest, _count(x, axis)))
    if y.shape[-1] == 0:
        y = sum(y, -1) + 1
    while (n := y.shape[-1] if y.ndim > len(rest) else 1) > 1:  # multiply halves, log n times
        half = y[..., : n // 2] * y[..., n // 2 : n - n % 2]
        y = concatenate([half, y[..., n - 1 :]], -1) if n % 2 else half
    return reshape(y, kept if keepdims else rest)


@unary
@in_wide
def logsumexp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """log Σ eˣ over axis without overflow; -inf entries count as zero.

    >>> round(ag.logsumexp(Variable([1000.0, 1000.0])).item() - 1000.0, 4)  # log 2
    0.6931
    """
    return LogSumExp(axis, keepdims)(x)


@unary
@in_wide
def softmax(x: Operand, axis: int = -1) -> Value:
    """eˣ / Σ eˣ over axis, without overflow.

    >>> ag.softmax(Variable([0.0, 0.0, np.log(2.0)]))
    Variable([0.25, 0.25, 0.5 ], creator=Softmax)
    """
    return Softmax(axis)(x)


@unary
@in_wide
def log_softmax(x: Operand, axis: int = -1) -> Value:
    """log softmax(x) over axis, without overflow or log of zero.

    >>> ag.log_softmax(Variable([0.0, 1000.0]))
    Variable([-1000.,     0.], creator=LogSoftmax)
    """
    return LogSoftmax(axis)(x)


@unary
def cumsum(x: Operand, axis: int | None = None) -> Value:
    """Running sums along axis; of the flattened array when axis is None.

    >>> x = Variable([1.0, 2.0, 3.0])
    >>> ag.cumsum(x).data, ag.grad(ag.cumsum(x).sum(), x).data
    (array([1., 3., 6.]), array([3., 2., 1.]))
    """
    return Cumsum(0)(reshape(x, (-1,))) if axis is None or shape_of(x) == () else Cumsum(axis)(x)
