"""NumPy's averages, order statistics and running products: compositions."""

import math
from typing import Any

import numpy as np

from ..core import Operand, Value, alike, data_of
from .arrange import diagonal, sort
from .elementwise import add, divide, lerp, multiply, subtract, where
from .linalg import tensordot
from .reduce import Axis, axes_of, in_wide, max, mean, min, sum
from .shape import (
    as_value,
    broadcast_to,
    concatenate,
    getitem,
    moveaxis,
    normalize_axis,
    reshape,
    shape_of,
    take_along_axis,
)
from .signatures import binary, unary

# --- products and sums ----------------------------------------------------------------------------


@unary
def cumprod(x: Operand, axis: int | None = None) -> Value:
    """Running products along axis; of the flattened array when axis is None.

    Zeros have the right derivative: no division is involved, log n multiplications of whole arrays are.

    >>> x = Variable([2.0, 0.0, 5.0])
    >>> y = ag.cumprod(x)
    >>> y.data, ag.grad(y.sum(), x).data  # y is [a, a b, a b c]
    (array([2., 0., 0.]), array([ 1., 12.,  0.]))
    """
    if axis is None or shape_of(x) == ():
        return cumprod(reshape(x, (-1,)), 0)
    x = as_value(x)
    axis = normalize_axis(axis, x.ndim)
    n, before, step = x.shape[axis], (slice(None),) * axis, 1
    while step < n:  # y[i] holds the product of the `step` elements that end at i, or of all there are
        head = getitem(x, (*before, slice(step)))
        tail = multiply(getitem(x, (*before, slice(step, None))), getitem(x, (*before, slice(-step))))
        x, step = concatenate([head, tail], axis), 2 * step
    return x


@unary
def trace(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The sum of the diagonal.

    >>> ag.trace(Variable([[1.0, 2.0], [3.0, 4.0]])).item()
    5.0
    """
    return sum(diagonal(x, offset, axis1, axis2), -1)


@binary
def inner(a: Operand, b: Operand) -> Value:
    """The sum of products over the last axes of a and b.

    >>> ag.inner(Variable([[1.0, 2.0], [3.0, 4.0]]), [10.0, 1.0]).data
    array([12., 34.])
    """
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    return tensordot(as_value(a), as_value(b), ((-1,), (-1,)))


# --- averages -------------------------------------------------------------------------------------


@unary
def average(
    x: Operand,
    axis: Axis = None,
    weights: Operand | None = None,
    returned: bool = False,
    keepdims: bool = False,
) -> Value:
    """The mean, each element counted by its weight: weights of x's shape, or of the length of axis.

    With ``returned`` a pair: the average and the sum of the weights.

    >>> w = Variable([1.0, 3.0])
    >>> y = ag.average(np.array([10.0, 20.0]), weights=w)
    >>> y.item(), ag.grad(y, w).data
    (17.5, array([-1.875,  0.625]))
    """
    x = as_value(x)
    if weights is None:
        y: Any = mean(x, axis, keepdims)
        total: Any = alike(np.full(y.shape, float(x.size) / np.maximum(y.size, 1)), y)
    else:
        w = _weights(x, axis, weights)
        total = sum(w, axis, keepdims)
        if np.any(np.equal(total, 0)):
            raise ZeroDivisionError("average expected weights whose sum is not 0")
        y = divide(sum(multiply(x, w), axis, keepdims), total)
    both: Any = (y, total)
    return both if returned else y


def _weights(x: Value, axis: Axis, weights: Operand) -> Value:
    w = as_value(weights)
    if w.shape == x.shape:
        return w
    axes = axes_of(axis, x.ndim)
    if axis is None or w.shape != tuple([x.shape[i] for i in axes]):
        raise ValueError(
            f"average expected weights of shape {x.shape}, or of the lengths of axis, got {w.shape}"
            f" with axis={axis}"
        )
    w = reshape(w, [n if i in axes else 1 for i, n in enumerate(x.shape)])
    return broadcast_to(w, x.shape)


@unary
def ptp(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The largest element minus the smallest, over axis; ties share the gradient.

    >>> x = Variable([3.0, 1.0, 7.0])
    >>> y = ag.ptp(x)
    >>> y.item(), ag.grad(y, x).data
    (6.0, array([ 0., -1.,  1.]))
    """
    x = as_value(x)
    return subtract(max(x, axis, keepdims), min(x, axis, keepdims))


# --- order statistics -----------------------------------------------------------------------------


@unary
def median(x: Operand, axis: Axis = None, keepdims: bool = False) -> Value:
    """The middle element over axis, or the mean of the middle two; NaN where there is one.

    Of equal elements those get the gradient that a stable sort puts in the middle.

    >>> x = Variable([3.0, 1.0, 7.0, 4.0])
    >>> y = ag.median(x)
    >>> y.item(), ag.grad(y, x).data
    (3.5, array([0.5, 0. , 0. , 0.5]))
    """
    return quantile(x, 0.5, axis, keepdims=keepdims)


@unary
def quantile(x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False) -> Value:
    """What a part q of the elements over axis lies below, linearly between neighbours; NaN if one is.

    Several q, a sequence, make a new first axis.

    >>> ag.quantile(Variable([3.0, 1.0, 7.0, 4.0]), [0.0, 0.5, 1.0]).data
    array([1. , 3.5, 7. ])
    """
    return ordered(x, "quantile", q, axis, method, keepdims)


@unary
def percentile(
    x: Operand, q: Any, axis: Axis = None, method: str = "linear", keepdims: bool = False
) -> Value:
    """`quantile` with q in percent.

    >>> ag.percentile(Variable([3.0, 1.0, 7.0, 4.0]), 50).item()
    3.5
    """
    return ordered(x, "percentile", np.true_divide(data_of(q), 100), axis, method, keepdims)


@in_wide
def ordered(x: Any, who: str, q: Any, axis: Axis, method: str, keepdims: bool, skip: bool = False) -> Any:
    """`quantile`; without the NaN of each row when ``skip``."""
    if method != "linear":
        raise ValueError(f"{who} on a Variable has method 'linear' only, got {method!r}")
    x, q = as_value(x), np.asarray(data_of(q))
    if np.any(q < 0) or np.any(q > 1):
        raise ValueError(f"{who} expected q between 0 and {'100' if who.endswith('percentile') else '1'}")
    axes = axes_of(axis, x.ndim)
    rest = [n for i, n in enumerate(x.shape) if i not in axes]
    kept = [1 if i in axes else n for i, n in enumerate(x.shape)]
    count = math.prod([x.shape[i] for i in axes])
    rows = sort(reshape(moveaxis(x, axes, range(-len(axes), 0)), (*rest, count)))
    if count == 0:
        rows = add(sum(rows, -1, keepdims=True), np.nan)
    is_nan = np.isnan(rows)
    n = np.sum(~is_nan, -1, keepdims=True) if skip else alike(np.full((*rest, 1), rows.shape[-1]), rows)
    at = alike(q.ravel(), n) * (n - 1).clip(0)  # (..., number of q)
    below, above = np.floor(at).astype(np.intp), np.ceil(at).astype(np.intp)
    a, b = take_along_axis(rows, below, -1), take_along_axis(rows, above, -1)
    with np.errstate(invalid="ignore"):  # between infinities
        y = lerp(a, b, (at - below).astype(rows.dtype))
    y = where(np.logical_or(below == above, np.logical_and(np.isinf(b), np.equal(a, b))), a, y)
    if not skip:
        y = where(is_nan[..., -1:], np.nan, y)
    return reshape(moveaxis(y, -1, 0), (*q.shape, *(kept if keepdims else rest)))
