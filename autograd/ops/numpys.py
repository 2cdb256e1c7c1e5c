"""What NumPy has and few models need: compositions that are reached by NumPy's names alone, ``np.NAME(x)``.

Arguments have NumPy's names and defaults. The tables of `numpy_api` lead here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import alike, data_of
from .arrange import array_split, atleast_1d, atleast_2d, cross, diag, diagonal, take
from .conv import convolve as convolved
from .elementwise import absolute, add, clip, divide, exp, log, multiply, power, sqrt, square, subtract, where
from .linalg import matmul, tensordot
from .matrix import inv, norm, solve
from .reduce import axes_of, cumsum, max, mean, min, prod, sum
from .shape import (
    as_value,
    broadcast_to,
    concatenate,
    expand_dims,
    flip,
    getitem,
    moveaxis,
    normalize_axis,
    plain_index,
    reshape,
    scatter_add,
    shape_of,
    squeeze,
    stack,
    swapaxes,
    take_along_axis,
    transpose,
    unstack,
)
from .statistics import cumprod, ordered
from .ufuncs import floor_divide, mod, trunc


def _vector(who: str, x: Any) -> tuple[int, ...]:
    """The shape of a vector; of anything else an error."""
    if len(shape_of(x)) != 1:
        raise ValueError(f"{who} on a Variable expected a vector, got shape {shape_of(x)}")
    return shape_of(x)


# --- elementwise ----------------------------------------------------------------------------------


def divmod_(a: Any, b: Any) -> Any:
    """The whole quotient, and what is left."""
    return floor_divide(a, b), mod(a, b)


def modf(x: Any) -> Any:
    """What stands behind the point, and before it."""
    finite = where(np.isinf(x), 0.0, x)
    return subtract(finite, trunc(finite)), trunc(x)


def ldexp(x: Any, n: Any) -> Any:
    """x 2ⁿ for integers n."""
    return multiply(x, np.ldexp(as_value(x).dtype.type(1), plain_index(n)))


def frexp(x: Any) -> Any:
    """x as a mantissa within ±1 and an exponent of 2; the exponents are integers, and have no gradient."""
    exponent = np.frexp(data_of(x))[1]
    return ldexp(x, -exponent), exponent


def vecdot(a: Any, b: Any, axis: int = -1) -> Any:
    """The products of vectors along axis."""
    have, want = shape_of(a)[axis], shape_of(b)[axis]
    if have != want:
        raise ValueError(f"vecdot expected vectors of one length along axis {axis}, got {have} and {want}")
    return sum(multiply(a, b), axis)


def matvec(a: Any, x: Any) -> Any:
    """Matrices times vectors."""
    return squeeze(matmul(a, expand_dims(x, -1)), -1)


def vecmat(x: Any, a: Any) -> Any:
    """Vectors times matrices."""
    return squeeze(matmul(expand_dims(x, -2), a), -2)


def vdot(a: Any, b: Any) -> Any:
    """The product of two arrays as vectors."""
    return matmul(reshape(a, (-1,)), reshape(b, (-1,)))


def unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: float = 6.283185307179586) -> Any:
    """Angles without jumps: what is added is constant between jumps."""
    plain = data_of(p)
    return add(p, np.unwrap(plain, discont, axis, period=period) - plain)


# --- without NaN ----------------------------------------------------------------------------------


def _without_nan(x: Any, otherwise: float) -> Any:
    return where(np.isnan(x), otherwise, x)


def _count(x: Any, axis: Any, keepdims: bool) -> Any:
    return np.sum(~np.isnan(data_of(x)), axis=axis, keepdims=keepdims).astype(x.dtype)


def nansum(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The sum of what is not NaN."""
    return sum(_without_nan(a, 0.0), axis, keepdims)


def nanprod(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The product of what is not NaN."""
    return prod(_without_nan(a, 1.0), axis, keepdims)


def nancumsum(a: Any, axis: Any = None) -> Any:
    """Running sums of what is not NaN."""
    return cumsum(_without_nan(a, 0.0), axis)


def nancumprod(a: Any, axis: Any = None) -> Any:
    """Running products of what is not NaN."""
    return cumprod(_without_nan(a, 1.0), axis)


def nanmax(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The largest of what is not NaN; NaN where all are."""
    y = max(_without_nan(a, -np.inf), axis, keepdims)
    return where(_count(a, axis, keepdims) == 0, np.nan, y)


def nanmin(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The smallest of what is not NaN; NaN where all are."""
    y = min(_without_nan(a, np.inf), axis, keepdims)
    return where(_count(a, axis, keepdims) == 0, np.nan, y)


def nanmean(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The mean of what is not NaN; NaN where all are."""
    n = _count(a, axis, keepdims)
    return divide(nansum(a, axis, keepdims=keepdims), np.where(n > 0, n, np.nan).astype(a.dtype))


def nanvar(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    """The variance of what is not NaN; NaN where that is no more than ddof."""
    n = _count(a, axis, keepdims) - ddof
    d = subtract(a, nanmean(a, axis, keepdims=True))
    total = nansum(square(_without_nan(d, 0.0)), axis, keepdims=keepdims)
    return divide(total, np.where(n > 0, n, np.nan).astype(a.dtype))


def nanstd(a: Any, axis: Any = None, *, ddof: int = 0, keepdims: bool = False) -> Any:
    """The square root of `nanvar`; where all elements are equal the derivative is taken as 0."""
    v = nanvar(a, axis, ddof=ddof, keepdims=keepdims)
    zero = np.equal(v, 0.0)
    return where(zero, v, sqrt(where(zero, 1.0, v)))


def nanmedian(a: Any, axis: Any = None, *, keepdims: bool = False) -> Any:
    """The median of what is not NaN."""
    return ordered(a, "nanmedian", 0.5, axis, "linear", keepdims, True)


def nanquantile(a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """The quantile of what is not NaN."""
    return ordered(a, "nanquantile", data_of(q), axis, method, keepdims, True)


def nanpercentile(a: Any, q: Any, axis: Any = None, *, method: str = "linear", keepdims: bool = False) -> Any:
    """The percentile of what is not NaN."""
    return ordered(a, "nanpercentile", np.true_divide(data_of(q), 100), axis, method, keepdims, True)


# --- statistics and integrals ---------------------------------------------------------------------


def clip_(a: Any, a_min: Any = None, a_max: Any = None, *, min: Any = None, max: Any = None) -> Any:  # noqa: A002
    """`clip`, by the keywords of the array API too."""
    return clip(a, a_min if min is None else min, a_max if max is None else max)


def cov(m: Any, y: Any = None, rowvar: bool = True, bias: bool = False, ddof: int | None = None) -> Any:
    """Covariances of the rows of m (and y)."""
    x = atleast_2d(m)
    x = transpose(x) if not rowvar and x.shape[0] != 1 else x
    if x.shape[0] == 0:
        return np.empty((0, 0), x.dtype)
    if y is not None:
        other = atleast_2d(y)
        other = transpose(other) if not rowvar and other.shape[0] != 1 else other
        x = concatenate([x, other], 0)
    d = subtract(x, mean(x, 1, keepdims=True))
    free = x.shape[1] - ((0 if bias else 1) if ddof is None else ddof)
    c = divide(matmul(d, transpose(d)), float(free) if free > 0 else 0.0)
    return reshape(c, ()) if c.shape == (1, 1) else c


def corrcoef(x: Any, y: Any = None, rowvar: bool = True) -> Any:
    """Correlations of the rows of x (and y)."""
    c = cov(x, y, rowvar)
    if c.ndim == 0:
        return divide(c, c)
    s = sqrt(diag(c))
    return clip(divide(divide(c, expand_dims(s, 1)), s), -1.0, 1.0)


def trapezoid(y: Any, x: Any = None, dx: float = 1.0, axis: int = -1) -> Any:
    """The integral of y over axis by the trapezoidal rule."""
    y = moveaxis(as_value(y), axis, -1)
    if x is None:
        d: Any = dx
    elif len(shape_of(x)) == 1:
        d = subtract(getitem(x, slice(1, None)), getitem(x, slice(-1)))
    else:
        x = moveaxis(x, axis, -1)
        d = subtract(x[..., 1:], x[..., :-1])
    return sum(multiply(multiply(add(y[..., 1:], y[..., :-1]), d), 0.5), -1)


def cumulative_sum(x: Any, *, axis: int | None = None, include_initial: bool = False) -> Any:
    """Running sums, with a 0 in front if include_initial."""
    return _initial(cumsum(x, axis), axis, 0.0 if include_initial else None)


def cumulative_prod(x: Any, *, axis: int | None = None, include_initial: bool = False) -> Any:
    """Running products, with a 1 in front if include_initial."""
    return _initial(cumprod(x, axis), axis, 1.0 if include_initial else None)


def _initial(y: Any, axis: int | None, first: float | None) -> Any:
    if first is None:
        return y
    axis = normalize_axis(0 if axis is None else axis, y.ndim)
    shape = [1 if i == axis else n for i, n in enumerate(y.shape)]
    return concatenate([alike(np.full(shape, first, y.dtype), y), y], axis)


def ediff1d(ary: Any, to_end: Any = None, to_begin: Any = None) -> Any:
    """The differences of neighbours in the flattened array, between to_begin and to_end."""
    x = reshape(ary, (-1,))
    parts = [to_begin, subtract(x[1:], x[:-1]), to_end]
    return concatenate([reshape(part, (-1,)) for part in parts if part is not None])


def gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """NumPy's differences, which are linear in f: a matrix along each axis, of NumPy's own coefficients."""
    f = as_value(f)
    axes = axes_of(axis, f.ndim)
    steps = varargs * len(axes) if len(varargs) == 1 else varargs or (1.0,) * len(axes)
    if len(steps) != len(axes):
        raise TypeError(f"gradient expected a spacing for each of {len(axes)} axes, got {len(varargs)}")
    found = []
    for axis, step in zip(axes, steps, strict=True):
        unit = np.eye(f.shape[axis], dtype=f.dtype)
        matrix = np.gradient(unit, data_of(step), axis=0, edge_order=edge_order).astype(f.dtype)
        found.append(moveaxis(tensordot(alike(matrix, f), f, ((1,), (axis,))), 0, axis))
    return found[0] if len(found) == 1 else tuple(found)


def interp(x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None) -> Any:
    """The polygon through the points (xp, fp), at x; differentiable by all of them."""
    shape, x, xp, fp = shape_of(x), reshape(x, (-1,)), as_value(xp), as_value(fp)
    i = np.clip(np.searchsorted(data_of(xp), data_of(x), "right") - 1, 0, xp.shape[0] - 2)
    x0, x1, f0, f1 = [np.take_along_axis(a, k, 0) for a in (xp, fp) for k in (i, i + 1)]
    y = add(f0, multiply(subtract(x, x0), divide(subtract(f1, f0), subtract(x1, x0))))
    y = where(np.less(x, data_of(xp)[0]), fp[0] if left is None else left, y)
    y = where(np.greater(x, data_of(xp)[-1]), fp[-1] if right is None else right, y)
    return reshape(y, shape)


def correlate(a: Any, v: Any, mode: str = "valid") -> Any:
    """Products of a with v moved along it."""
    (n,), (m,) = _vector("correlate", a), _vector("correlate", v)
    if mode != "full" and m > n:
        return flip(correlate(v, a, mode))
    return convolved(as_value(a), flip(v), mode)


# --- polynomials, highest power first -------------------------------------------------------------


def polyval(p: Any, x: Any) -> Any:
    """The polynomial with coefficients p at x, by Horner's rule."""
    y: Any = multiply(x, 0.0)
    for c in unstack(as_value(p)):
        y = add(multiply(y, x), c)
    return y


def polyadd(a1: Any, a2: Any) -> Any:
    """The coefficients of the sum."""
    a, b = atleast_1d(a1, a2)
    n = int(np.maximum(a.shape[0], b.shape[0]))
    a, b = [concatenate([alike(np.zeros(n - c.shape[0], c.dtype), c), c]) for c in (a, b)]
    return add(a, b)


def polysub(a1: Any, a2: Any) -> Any:
    """The coefficients of the difference."""
    return polyadd(a1, multiply(a2, -1.0))


def polymul(a1: Any, a2: Any) -> Any:
    """The coefficients of the product."""
    _vector("polymul", atleast_1d(a1)), _vector("polymul", atleast_1d(a2))
    return convolved(atleast_1d(a1), atleast_1d(a2))


def polyder(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th derivative."""
    for _ in range(m):
        p = as_value(p)
        powers = np.arange(p.shape[0] - 1.0, 0.0, -1.0).astype(p.dtype)
        p = multiply(getitem(p, slice(-1)), alike(powers, p))
    return p


def polyint(p: Any, m: int = 1) -> Any:
    """The coefficients of the m-th integral, without constants."""
    for _ in range(m):
        p = as_value(p)
        powers = np.arange(float(p.shape[0]), 0.0, -1.0).astype(p.dtype)
        p = concatenate([divide(p, alike(powers, p)), alike(np.zeros(1, p.dtype), p)])
    return p


def poly(seq_of_zeros: Any) -> Any:
    """The coefficients of the polynomial with the given zeros."""
    zeros = as_value(seq_of_zeros)
    _vector("poly", zeros)
    y: Any = alike(np.ones(1, zeros.dtype), zeros)
    for zero in unstack(zeros):
        y = convolved(y, stack([alike(np.ones((), zeros.dtype), zeros), multiply(zero, -1.0)]))
    return y


def vander(x: Any, N: int | None = None, increasing: bool = False) -> Any:  # noqa: N803 (NumPy's name)
    """Powers of x side by side, the highest first."""
    x, (n,) = as_value(x), _vector("vander", x)
    count = n if N is None else N
    powers = [add(multiply(x, 0.0), 1.0)]
    while len(powers) < count:
        powers.append(multiply(powers[-1], x))
    return stack((powers if increasing else powers[::-1])[:count] if count else powers[:0], 1)


# --- ranges ---------------------------------------------------------------------------------------


def linspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True) -> Any:
    """So many numbers from start to stop, evenly spaced, along a new first axis."""
    a, b = [float(x) if isinstance(x, float | int) else as_value(x) for x in (start, stop)]
    dtypes = [x.dtype for x in (a, b) if not isinstance(x, float | int)]
    dtype = np.result_type(*dtypes) if all(dtype.kind == "f" for dtype in dtypes) and dtypes else float
    w = np.linspace(0.0, 1.0, num, endpoint, dtype=dtype)
    w = w.reshape(-1, *[1] * len(np.broadcast_shapes(shape_of(a), shape_of(b))))
    return add(multiply(a, 1.0 - w), multiply(b, w))


def logspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True, base: Any = 10.0) -> Any:
    """Powers of base with exponents from start to stop."""
    return power(base, linspace(start, stop, num, endpoint))


def geomspace(start: Any, stop: Any, num: int = 50, endpoint: bool = True) -> Any:
    """So many numbers from start to stop, each the same multiple of the one before."""
    s = np.sign(data_of(start))
    if np.any(s != np.sign(data_of(stop))):
        raise ValueError("geomspace on a Variable expected start and stop of one sign")
    return multiply(s, exp(linspace(log(absolute(start)), log(absolute(stop)), num, endpoint)))


# --- layouts --------------------------------------------------------------------------------------


def fliplr(m: Any) -> Any:
    """Columns in reverse order."""
    return flip(m, 1)


def flipud(m: Any) -> Any:
    """Rows in reverse order."""
    return flip(m, 0)


def rot90(m: Any, k: int = 1, axes: Sequence[int] = (0, 1)) -> Any:
    """A plane turned by 90 degrees k times."""
    a, b = axes
    if k % 4 == 2:
        return flip(flip(m, a), b)
    turned = swapaxes(flip(m, b) if k % 4 == 1 else m, a, b) if k % 4 else as_value(m)
    return flip(turned, b) if k % 4 == 3 else turned


def rollaxis(a: Any, axis: int, start: int = 0) -> Any:
    """An axis moved in front of another."""
    n = len(shape_of(a))
    axis, start = normalize_axis(axis, n), start + n if start < 0 else start
    return moveaxis(a, axis, start - 1 if axis < start else start)


def resize(a: Any, new_shape: Any) -> Any:
    """The elements in another shape, from the first again where there are too few."""
    shape = (new_shape,) if isinstance(new_shape, int) else tuple(new_shape)
    n = int(np.prod(shape_of(a)))
    return reshape(getitem(reshape(a, (-1,)), np.arange(int(np.prod(shape))) % (n or 1)), shape)


def diagflat(v: Any, k: int = 0) -> Any:
    """The matrix with the flattened array on its k-th diagonal."""
    return diag(reshape(v, (-1,)), k)


def broadcast_arrays(*args: Any) -> Any:
    """All stretched to one shape."""
    shape = np.broadcast_shapes(*[shape_of(x) for x in args])
    return tuple([broadcast_to(as_value(x), shape) for x in args])


def block(arrays: Any) -> Any:
    """A matrix put together from blocks in nested lists."""

    def depth(x: Any) -> int:
        return 1 + depth(x[0]) if isinstance(x, list) else 0

    def ndim(x: Any) -> int:
        return int(np.max([ndim(part) for part in x])) if isinstance(x, list) else len(shape_of(x))

    def joined(x: Any, axis: int) -> Any:
        if isinstance(x, list):
            return concatenate([joined(part, axis + 1) for part in x], axis)
        x = as_value(x)
        return reshape(x, (1,) * (axes - x.ndim) + x.shape)

    levels = depth(arrays)
    axes = int(np.maximum(levels, ndim(arrays)))
    return joined(arrays, -levels)


def _sections(x: Any, indices_or_sections: Any, axis: int) -> Any:
    if np.ndim(indices_or_sections) == 0 and shape_of(x)[axis] % int(indices_or_sections):
        n = shape_of(x)[axis]
        raise ValueError(f"split expected sections that divide {n}, got {indices_or_sections}")
    return array_split(x, indices_or_sections, axis)


def vsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the first axis."""
    return _sections(ary, indices_or_sections, 0)


def hsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the second axis, of a vector along its only one."""
    return _sections(ary, indices_or_sections, 1 if len(shape_of(ary)) > 1 else 0)


def dsplit(ary: Any, indices_or_sections: Any) -> Any:
    """Parts along the third axis."""
    return _sections(ary, indices_or_sections, 2)


# --- choosing -------------------------------------------------------------------------------------


def compress(condition: Any, a: Any, axis: int | None = None) -> Any:
    """What lies where condition holds."""
    return take(a, np.flatnonzero(data_of(condition)), axis)


def extract(condition: Any, arr: Any) -> Any:
    """The elements where condition holds, flattened."""
    return take(arr, np.flatnonzero(data_of(condition)))


def choose(a: Any, choices: Any) -> Any:
    """From the arrays of choices, at every place the one with the number in a."""
    number, parts = plain_index(a), [as_value(x) for x in choices]
    y = parts[0]
    if number.min() < 0 or number.max() >= len(parts):
        raise ValueError(f"choose expected numbers below {len(parts)}")
    for i, part in enumerate(parts[1:], 1):
        y = where(number == i, part, y)
    return broadcast_to(y, np.broadcast_shapes(number.shape, y.shape))


def select(condlist: Any, choicelist: Any, default: Any = 0.0) -> Any:
    """At every place the first choice whose condition holds."""
    y = default
    for condition, choice in reversed(list(zip(condlist, choicelist, strict=True))):
        y = where(condition, choice, y)
    return y


def delete(arr: Any, obj: Any, axis: int | None = None) -> Any:
    """What is left without the given indices."""
    n = int(np.prod(shape_of(arr))) if axis is None else shape_of(arr)[axis]
    return take(arr, np.delete(np.arange(n), obj), axis)


def insert(arr: Any, obj: Any, values: Any, axis: int | None = None) -> Any:
    """values put in before the given indices."""
    x = reshape(arr, (-1,)) if axis is None else as_value(arr)
    axis = normalize_axis(0 if axis is None else axis, x.ndim)
    if np.ndim(obj) == 0 and x.ndim > 1:
        raise TypeError("insert on a Variable takes a list of indices where there is an axis: [i] for i")
    n = x.shape[axis]
    m = len(np.insert(np.zeros(n), obj, np.zeros(shape_of(values)) if x.ndim == 1 else 0.0)) - n
    new = broadcast_to(as_value(values), [m if i == axis else k for i, k in enumerate(x.shape)])
    return take(concatenate([x, new], axis), np.insert(np.arange(n), obj, np.arange(n, n + m)), axis)


def partition(a: Any, kth: Any, axis: int | None = -1) -> Any:
    """The kth element in its place, smaller ones in front of it."""
    if axis is None:
        return partition(reshape(a, (-1,)), kth)
    return take_along_axis(as_value(a), np.argpartition(data_of(a), kth, axis), axis)


def unique(ar: Any) -> Any:
    """The different elements in rising order; of equal ones the first gets the gradient."""
    return take(ar, np.unique(data_of(ar), return_index=True)[1])


def bincount(x: Any, weights: Any = None, minlength: int = 0) -> Any:
    """How often every number is in x, or the sum of its weights."""
    number = plain_index(x)
    counts = np.bincount(number, None, minlength)
    return counts if weights is None else scatter_add(weights, number, counts.shape)


def trim_zeros(filt: Any, trim: str = "fb") -> Any:
    """A vector without zeros at its ends."""
    (n,) = _vector("trim_zeros", filt)
    there = np.flatnonzero(data_of(filt))
    first, last = (there[0], there[-1] + 1) if there.size else (n, n)
    return getitem(
        filt, slice(int(first) if "f" in trim.lower() else 0, int(last) if "b" in trim.lower() else n)
    )


def apply_along_axis(func1d: Callable[..., Any], axis: int, arr: Any, *args: Any, **kwargs: Any) -> Any:
    """A function of vectors, applied to every one along axis."""
    x = moveaxis(as_value(arr), axis, -1)
    rest = x.shape[:-1]
    rows = [func1d(row, *args, **kwargs) for row in unstack(reshape(x, (-1, x.shape[-1])))]
    y = stack(rows)
    y = reshape(y, (*rest, *y.shape[1:]))
    inner = y.ndim - len(rest)
    first = normalize_axis(axis, len(rest) + 1)
    return moveaxis(y, range(len(rest), y.ndim), range(first, first + inner)) if inner else y


def apply_over_axes(func: Callable[..., Any], a: Any, axes: Any) -> Any:
    """A reduction, applied over one axis after the other, which are kept."""
    for axis in np.atleast_1d(axes).tolist():
        y = func(a, axis)
        a = y if len(shape_of(y)) == len(shape_of(a)) else expand_dims(y, axis)
    return a


# --- numpy.linalg ---------------------------------------------------------------------------------


def cond(x: Any, p: Any = None) -> Any:
    """The condition of a matrix: the norm of it times that of its inverse."""
    if p in (None, 2):
        return divide(norm(x, 2, (-2, -1)), norm(x, -2, (-2, -1)))
    return multiply(norm(x, p, (-2, -1)), norm(inv(x), p, (-2, -1)))


def tensorsolve(a: Any, b: Any, axes: Any = None) -> Any:
    """The x with tensordot(a, x, x.ndim) = b."""
    x = as_value(a)
    if axes is not None:
        x = moveaxis(x, axes, range(x.ndim - len(axes), x.ndim))
    shape = x.shape[len(shape_of(b)) - x.ndim :]
    n = int(np.prod(shape))
    return reshape(solve(reshape(x, (n, n)), reshape(b, (-1,))), shape)


def tensorinv(a: Any, ind: int = 2) -> Any:
    """The inverse for tensordot over ind axes."""
    shape = shape_of(a)
    n = int(np.prod(shape[ind:]))
    return reshape(inv(reshape(a, (n, n))), shape[ind:] + shape[:ind])


def linalg_diagonal(x: Any, *, offset: int = 0) -> Any:
    """The diagonal of the last two axes."""
    return diagonal(x, offset, -2, -1)


def linalg_trace(x: Any, *, offset: int = 0) -> Any:
    """The sum of the diagonal of the last two axes."""
    return sum(linalg_diagonal(x, offset=offset), -1)


def linalg_cross(x1: Any, x2: Any, *, axis: int = -1) -> Any:
    """The vector product."""
    return cross(x1, x2, axis=axis)
