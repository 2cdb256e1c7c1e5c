"""Reductions over axes, and the softmax family. ``axis`` is None, an int or a tuple, as in NumPy."""

import math
from collections.abc import Callable
from functools import wraps
from typing import Any

import numpy as np

from ..core import Array, Function
from .elementwise import astype, sqrt, where
from .shape import concatenate, flip, moveaxis, normalize_axes, reshape, shape_of

Axis = int | tuple[int, ...] | None


def axes_of(axis: Axis, ndim: int) -> tuple[int, ...]:
    """The axes as a tuple of non-negative numbers, checked as NumPy checks them."""
    if axis is None:
        return tuple(range(ndim))
    return normalize_axes(axis, ndim)


class Reduction(Function):
    """Base of reductions: remembers how to put the reduced axes back as axes of length 1."""

    def __init__(self, axis: Axis = None, keepdims: bool = False):
        self.axis, self.keepdims = axis, keepdims

    def kept(self, x: Array) -> tuple[int, ...]:
        """The output shape under keepdims."""
        axes = axes_of(self.axis, x.ndim)
        return tuple([1 if i in axes else n for i, n in enumerate(x.shape)])


class Sum(Reduction):
    symbol, rule = "Σ", "gx = gy on every summand"

    def forward(self, x: Array) -> Array:
        self.x_shape, self.kept_shape = x.shape, self.kept(x)
        return np.sum(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy: Any) -> Any:
        return np.broadcast_to(np.reshape(gy, self.kept_shape), self.x_shape)


class Max(Reduction):
    symbol, rule = "max", "gx = gy [x = y] / number of ties"
    reduce: Callable[..., Array] = staticmethod(np.max)

    def forward(self, x: Array) -> Array:
        self.kept_shape = self.kept(x)
        return self.reduce(x, axis=self.axis, keepdims=self.keepdims)

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        hit = np.equal(x, np.reshape(y, self.kept_shape))
        ties = np.sum(hit, axis=axes_of(self.axis, x.ndim), keepdims=True)
        return np.reshape(gy, self.kept_shape) * (hit / ties).astype(gy.dtype)


class Min(Max):
    symbol = "min"
    reduce = staticmethod(np.min)


class LogSumExp(Reduction):
    symbol, rule = "log Σ exp", "gx = gy softmax(x)"

    def forward(self, x: Array) -> Array:
        self.kept_shape = self.kept(x)
        top = np.max(x, axis=self.axis, keepdims=True)
        top = np.where(np.isfinite(top), top, 0.0)  # all -inf is a sum of zeros, not a NaN
        with np.errstate(divide="ignore", over="ignore"):  # only next to an inf can anything overflow
            y = np.log(np.sum(np.exp(x - top), axis=self.axis, keepdims=True)) + top
        return y if self.keepdims else np.squeeze(y, axes_of(self.axis, x.ndim))

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        y = np.reshape(y, self.kept_shape)
        # where every term is -inf the sum does not depend on any of them to first order
        y = np.where(np.equal(y, -np.inf), 0.0, y)
        with np.errstate(invalid="ignore"):  # the derivative by an inf is NaN
            return np.reshape(gy, self.kept_shape) * np.exp(x - y)


class Softmax(Function):
    symbol, rule = "softmax", "gx = y (gy - Σ gy y)"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = np.exp(x - np.max(x, axis=self.axis, keepdims=True))
        y /= np.sum(y, axis=self.axis, keepdims=True)
        return y

    def backward(self, gy: Any, y: Any) -> Any:
        gx = gy * y
        return gx - y * np.sum(gx, axis=self.axis, keepdims=True)


class LogSoftmax(Function):
    symbol, rule = "log softmax", "gx = gy - exp(y) Σ gy"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        y = x - np.max(x, axis=self.axis, keepdims=True)
        y -= np.log(np.sum(np.exp(y), axis=self.axis, keepdims=True))
        return y

    def backward(self, gy: Any, y: Any) -> Any:
        return gy - np.exp(y) * np.sum(gy, axis=self.axis, keepdims=True)


class Cumsum(Function):
    symbol, rule = "cumsum", "gx = sum of the gy from here on"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x: Array) -> Array:
        return np.cumsum(x, axis=self.axis)

    def backward(self, gy: Any) -> Any:
        return flip(np.cumsum(flip(gy, self.axis), axis=self.axis), self.axis)


# --- what users call ----------------------------------------------------------------------------


def sum(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The sum over axis (all elements by default)."""
    return Sum(axis, keepdims)(x)


def in_wide(f: Callable[..., Any]) -> Callable[..., Any]:
    """``f`` in float32 where x is float16, whose sums end at 65504, and in float64 where x are integers,
    whose differences wrap around."""

    @wraps(f)
    def wide(x: Any, *args: Any, **kwargs: Any) -> Any:
        dtype = x.dtype if hasattr(x, "dtype") else np.asarray(x).dtype
        if dtype.kind in "biu":
            return f(astype(x, np.float64), *args, **kwargs)
        if dtype == np.float16:
            return astype(f(astype(x, np.float32), *args, **kwargs), dtype)
        return f(x, *args, **kwargs)

    return wide


@in_wide
def mean(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The arithmetic mean over axis."""
    return sum(x, axis, keepdims) / _count(x, axis)


@in_wide
def var(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The mean squared deviation from the mean; divides by N - ddof, NumPy's default is N."""
    d = x - mean(x, axis, keepdims=True)
    return sum(d * d, axis, keepdims) / (_count(x, axis) - ddof)


@in_wide
def std(x: Any, axis: Axis = None, ddof: int = 0, keepdims: bool = False) -> Any:
    """The square root of `var`; where all elements are equal, the derivative is taken as 0."""
    v = var(x, axis, ddof, keepdims)
    positive = np.greater(v, 0.0)
    return where(positive, sqrt(where(positive, v, 1.0)), v)


def _count(x: Any, axis: Axis) -> int:
    shape = shape_of(x)
    return math.prod([shape[i] for i in axes_of(axis, len(shape))])


def max(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The largest element over axis; ties share the gradient."""
    return Max(axis, keepdims)(x)


def min(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The smallest element over axis; ties share the gradient."""
    return Min(axis, keepdims)(x)


def prod(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """The product over axis. Factors of zero have the right derivative (no division is involved)."""
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


@in_wide
def logsumexp(x: Any, axis: Axis = None, keepdims: bool = False) -> Any:
    """log Σ eˣ over axis without overflow; -inf entries count as zero."""
    return LogSumExp(axis, keepdims)(x)


@in_wide
def softmax(x: Any, axis: int = -1) -> Any:
    """eˣ / Σ eˣ over axis, without overflow."""
    return Softmax(axis)(x)


@in_wide
def log_softmax(x: Any, axis: int = -1) -> Any:
    """log softmax(x) over axis, without overflow or log of zero."""
    return LogSoftmax(axis)(x)


def cumsum(x: Any, axis: int | None = None) -> Any:
    """Running sums along axis; of the flattened array when axis is None."""
    return Cumsum(0)(reshape(x, (-1,))) if axis is None else Cumsum(axis)(x)
