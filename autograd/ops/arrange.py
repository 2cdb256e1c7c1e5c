"""NumPy's other ways to join, cut, pick and order elements: compositions of the operations of `shape`."""

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Operand, Value, alike, data_of
from .elementwise import multiply, subtract
from .shape import (
    as_value,
    broadcast_to,
    concatenate,
    getitem,
    moveaxis,
    normalize_axis,
    plain_index,
    reshape,
    scatter_add,
    shape_of,
    split,
    take_along_axis,
    transpose,
)
from .signatures import binary, each, joining, unary


def beside(x: Value, value: Operand) -> Value:
    """value as an array that is joined with x: a number does not widen x's dtype."""
    return alike(np.asarray(value, x.dtype), x) if isinstance(value, float | int) else as_value(value)


# --- axes -----------------------------------------------------------------------------------------


def _each(xs: tuple[Operand, ...], shape: Any) -> Any:
    """One value reshaped, or a tuple of them."""
    ys = tuple([reshape(as_value(x), shape(shape_of(x))) for x in xs])
    return ys[0] if len(ys) == 1 else ys


@each
def atleast_1d(*xs: Operand) -> Value:
    """x with one axis or more; of several a tuple.

    >>> ag.atleast_1d(Variable(3.0)).shape
    (1,)
    """
    return _each(xs, lambda shape: shape or (1,))


@each
def atleast_2d(*xs: Operand) -> Value:
    """x with two axes or more, new ones in front; of several a tuple.

    >>> ag.atleast_2d(Variable([1.0, 2.0, 3.0])).shape
    (1, 3)
    """
    return _each(xs, lambda shape: (1,) * (2 - len(shape)) + shape)


@each
def atleast_3d(*xs: Operand) -> Value:
    """x with three axes or more: (N,) becomes (1, N, 1), (M, N) becomes (M, N, 1); of several a tuple.

    >>> ag.atleast_3d(Variable([1.0, 2.0])).shape, ag.atleast_3d(np.ones((2, 5))).shape
    ((1, 2, 1), (2, 5, 1))
    """
    return _each(xs, lambda shape: (1, *shape, 1)[: 2 + len(shape)] if len(shape) == 1 else _behind(shape))


def _behind(shape: tuple[int, ...]) -> tuple[int, ...]:
    return shape + (1,) * (3 - len(shape))


@unary
def ravel(x: Operand) -> Value:
    """All elements in one axis.

    >>> ag.ravel(Variable([[1.0, 2.0], [3.0, 4.0]])).data
    array([1., 2., 3., 4.])
    """
    return reshape(x, (-1,))


def meshgrid(*xs: Operand, sparse: bool = False, indexing: str = "xy") -> tuple[Any, ...]:
    """Coordinates of a grid from those along its axes: one array per axis, all of the grid's shape.

    Args:
        sparse: leave them to be broadcast, each with its own axis alone.
        indexing: "xy" exchanges the first two axes, "ij" does not.

    >>> x, y = ag.meshgrid(Variable([1.0, 2.0, 3.0]), [10.0, 20.0])
    >>> x.shape, y[:, 0]
    ((2, 3), array([10., 20.]))
    """
    if indexing not in ("xy", "ij"):
        raise ValueError(f"meshgrid expected indexing 'xy' or 'ij', got {indexing!r}")
    n = len(xs)
    order = [1, 0, *range(2, n)] if indexing == "xy" and n > 1 else list(range(n))
    place = [order.index(i) for i in range(n)]
    ys: list[Any] = [
        reshape(as_value(x), [-1 if i == k else 1 for i in range(n)]) for k, x in zip(place, xs, strict=True)
    ]
    if not sparse:
        grid = np.broadcast_shapes(*[shape_of(y) for y in ys])
        ys = [broadcast_to(y, grid) for y in ys]
    return tuple(ys)


# --- joining and cutting --------------------------------------------------------------------------


def _all(xs: Sequence[Operand], at_least: Any) -> list[Any]:
    return [at_least(x) for x in xs]


@joining
def vstack(xs: Sequence[Operand]) -> Value:
    """The arrays of xs one below the other; vectors are rows.

    >>> ag.vstack([Variable([1.0, 2.0]), [3.0, 4.0]]).data
    array([[1., 2.],
           [3., 4.]])
    """
    return concatenate(_all(xs, atleast_2d), 0)


@joining
def hstack(xs: Sequence[Operand]) -> Value:
    """The arrays of xs side by side: joined along the second axis, vectors along their only one.

    >>> ag.hstack([Variable([1.0, 2.0]), [3.0]]).data
    array([1., 2., 3.])
    """
    ys = _all(xs, atleast_1d)
    return concatenate(ys, 0 if ys and ys[0].ndim == 1 else 1)


@joining
def dstack(xs: Sequence[Operand]) -> Value:
    """The arrays of xs one behind the other, joined along the third axis.

    >>> ag.dstack([Variable([1.0, 2.0]), [3.0, 4.0]]).shape
    (1, 2, 2)
    """
    return concatenate(_all(xs, atleast_3d), 2)


@joining
def column_stack(xs: Sequence[Operand]) -> Value:
    """The arrays of xs side by side, vectors as columns.

    >>> ag.column_stack([Variable([1.0, 2.0]), [3.0, 4.0]]).data
    array([[1., 3.],
           [2., 4.]])
    """
    return concatenate([x if np.ndim(x) > 1 else reshape(as_value(x), (-1, 1)) for x in xs], 1)


@binary
def append(x: Operand, values: Operand, axis: int | None = None) -> Value:
    """values behind x along axis; both flattened when axis is None.

    >>> ag.append(Variable([1.0, 2.0]), 3.0).data
    array([1., 2., 3.])
    """
    x = as_value(x)
    return concatenate([x, beside(x, values)], axis)


def array_split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Any, ...]:
    """`split` into so many parts whose lengths differ by one at most, or at the given indices.

    >>> [y.data for y in ag.array_split(Variable([1.0, 2.0, 3.0]), 2)]
    [array([1., 2.]), array([3.])]
    """
    if np.ndim(indices_or_sections):
        return split(as_value(x), indices_or_sections, axis)
    n, sections = shape_of(x)[axis], operator.index(indices_or_sections)  # type: ignore[arg-type]
    if sections < 1:
        raise ValueError(f"array_split expected one section or more, got {sections}")
    ends = np.cumsum([n // sections + (i < n % sections) for i in range(sections)])
    return split(as_value(x), ends[:-1].tolist(), axis)


# --- picking and ordering -------------------------------------------------------------------------


@unary
def take(x: Operand, indices: Any, axis: int | None = None, mode: str = "raise") -> Value:
    """The elements (or slices along axis) of x at integer indices, repeated ones too.

    mode "wrap" counts indices on around the axis, "clip" takes the last one for those beyond.

    >>> ag.take(Variable([[1.0, 2.0], [3.0, 4.0]]), [1, 1], axis=0).data
    array([[3., 4.],
           [3., 4.]])
    """
    if axis is None:
        return take(reshape(x, (-1,)), indices, 0, mode)
    axis = normalize_axis(axis, len(shape_of(x)))
    indices, n = plain_index(indices), shape_of(x)[axis]
    if mode != "raise":
        indices = np.mod(indices, n) if mode == "wrap" else np.clip(indices, 0, n - 1)
    return getitem(x, (*[slice(None)] * axis, indices))


@unary
def diagonal(x: Operand, offset: int = 0, axis1: int = 0, axis2: int = 1) -> Value:
    """The elements of x whose index along axis2 is larger by offset than that along axis1, as a last axis.

    >>> ag.diagonal(Variable([[1.0, 2.0], [3.0, 4.0]])).data
    array([1., 4.])
    """
    x = moveaxis(x, (axis1, axis2), (-2, -1))
    rows, columns = _on_diagonal(x.shape[-2], x.shape[-1], offset)
    return getitem(x, (..., rows, columns))


def _on_diagonal(rows: int, columns: int, k: int) -> tuple[Any, Any]:
    first = (max(-k, 0), max(k, 0))
    i = np.arange(max(min(rows - first[0], columns - first[1]), 0))
    return i + first[0], i + first[1]


@unary
def diag(x: Operand, k: int = 0) -> Value:
    """The k-th diagonal of a matrix; of a vector, the matrix that has it there and zeros elsewhere.

    >>> ag.diag(Variable([1.0, 2.0])).data
    array([[1., 0.],
           [0., 2.]])
    """
    shape = shape_of(x)
    if len(shape) == 2:
        return diagonal(x, k)
    if len(shape) != 1:
        raise ValueError(f"diag expected a vector or a matrix, got shape {shape}")
    n = shape[0] + abs(k)
    return scatter_add(x, _on_diagonal(n, n, k), (n, n))


@unary
def diff(x: Operand, n: int = 1, axis: int = -1, prepend: Any = None, append: Any = None) -> Value:
    """The differences of neighbours along axis, n times; prepend and append are put at the ends before.

    >>> ag.diff(Variable([1.0, 4.0, 9.0, 16.0])).data, ag.diff(Variable([1.0, 4.0, 9.0]), 2).data
    (array([3., 5., 7.]), array([2.]))
    """
    x = as_value(x)
    if n < 0:
        raise ValueError(f"diff expected a number of times, got {n}")
    if n == 0:
        return x
    axis = normalize_axis(axis, x.ndim)
    ends = [None if end is None else beside(x, end) for end in (prepend, append)]
    ends = [
        broadcast_to(end, [1 if i == axis else m for i, m in enumerate(x.shape)])
        if end is not None and end.ndim == 0
        else end
        for end in ends
    ]
    parts = [part for part in (ends[0], x, ends[1]) if part is not None]
    x = concatenate(parts, axis) if len(parts) > 1 else x
    before = (slice(None),) * axis
    for _ in range(n):
        x = subtract(getitem(x, (*before, slice(1, None))), getitem(x, (*before, slice(-1))))
    return x


@unary
def sort(x: Operand, axis: int | None = -1, kind: str | None = None, stable: bool | None = None) -> Value:
    """x in rising order along axis, of the flattened array when axis is None; NaN comes last.

    The gradient goes back to where each element came from; equal ones keep their order.

    >>> x = Variable([3.0, 1.0, 2.0])
    >>> y = ag.sort(x)
    >>> y.data, ag.grad((y * [10.0, 20.0, 30.0]).sum(), x).data
    (array([1., 2., 3.]), array([30., 10., 20.]))
    """
    if axis is None:
        return sort(reshape(x, (-1,)))
    return take_along_axis(x, np.argsort(data_of(x), axis, kind="stable"), axis)


# --- products that lay out ------------------------------------------------------------------------


@binary
def kron(a: Operand, b: Operand) -> Value:
    """The Kronecker product: a with every element replaced by its product with b.

    >>> ag.kron(Variable([1.0, 10.0]), [1.0, 2.0]).data
    array([ 1.,  2., 10., 20.])
    """
    n = max(np.ndim(a), np.ndim(b))
    left, right = [(1,) * (n - np.ndim(x)) + shape_of(x) for x in (a, b)]
    spread_a = [k for m in left for k in (m, 1)]
    spread_b = [k for m in right for k in (1, m)]
    y = multiply(reshape(as_value(a), spread_a), reshape(as_value(b), spread_b))
    return reshape(y, [i * j for i, j in zip(left, right, strict=True)])


@binary
def cross(
    a: Operand, b: Operand, axisa: int = -1, axisb: int = -1, axisc: int = -1, axis: int | None = None
) -> Value:
    """The vector product of vectors of three elements, along the given axes, or all along axis.

    >>> ag.cross(Variable([1.0, 0.0, 0.0]), [0.0, 1.0, 0.0]).data
    array([0., 0., 1.])
    """
    if axis is not None:
        axisa = axisb = axisc = axis
    u, v = moveaxis(as_value(a), axisa, -1), moveaxis(as_value(b), axisb, -1)
    if u.shape[-1] != 3 or v.shape[-1] != 3:
        raise ValueError(f"cross expected vectors of 3 elements, got {u.shape} and {v.shape} (vectors last)")
    next_, last = [1, 2, 0], [2, 0, 1]
    y = subtract(
        multiply(getitem(u, (..., next_)), getitem(v, (..., last))),
        multiply(getitem(u, (..., last)), getitem(v, (..., next_))),
    )
    return moveaxis(y, -1, axisc) if y.ndim > 1 else y


@unary
def matrix_transpose(x: Operand) -> Value:
    """The last two axes exchanged, of a batch of matrices.

    >>> ag.matrix_transpose(Variable(np.ones((5, 2, 3)))).shape
    (5, 3, 2)
    """
    ndim = len(shape_of(x))
    if ndim < 2:
        raise ValueError(f"matrix_transpose expected two axes or more, got shape {shape_of(x)}")
    return transpose(x, (*range(ndim - 2), ndim - 1, ndim - 2))
