"""Operations that move elements without changing them: reshape, transpose, join, split, pad, index.

They come in adjoint pairs (stack and unstack, split and concatenate, an indexed read and an indexed
add), each being the backward of the other, so every order of derivative is there.
"""

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import Any, overload

import numpy as np

from ..core import Array, Function, Operand, Plain, Value, Variable, alike, as_array, isarray
from ..deferred import Scatter, add_at
from .elementwise import astype, where
from .signatures import unary

normalize_axis = np.lib.array_utils.normalize_axis_index
normalize_axes = np.lib.array_utils.normalize_axis_tuple


def shape_of(x: Operand) -> tuple[int, ...]:
    """np.shape without the detour through NumPy's dispatch, for what has a shape already."""
    return x.shape if isinstance(x, (Variable, np.ndarray)) else np.shape(x)


def as_value(x: Operand) -> Value:
    """A Variable or an array as it is, anything else made an array."""
    y: Any = x if isinstance(x, Variable) or isarray(x) else np.asarray(x)
    return y


class Reshape(Function):
    symbol, rule = "reshape", "gx = gy, reshaped back"

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x):
        self.x_shape = shape_of(x)
        return np.reshape(x, self.shape)

    def backward(self, gy):
        return np.reshape(gy, self.x_shape)


class Transpose(Function):
    symbol, rule = "ᵀ", "gx = gyᵀ"

    def __init__(self, axes: tuple[int, ...] | None = None):
        self.axes = axes

    def forward(self, x):
        return np.transpose(x, self.axes)

    def backward(self, gy):
        if self.axes is None:
            return np.transpose(gy)
        axes = [a % gy.ndim for a in self.axes]
        return np.transpose(gy, tuple([axes.index(i) for i in range(gy.ndim)]))


class Contiguous(Function):
    """The same elements in row-major memory: a copy, unless they are already."""

    symbol, rule = "copy", "gx = gy"

    def forward(self, x):
        return x if x.flags.c_contiguous else x.copy()

    def backward(self, gy):
        return gy


class BroadcastTo(Function):
    symbol, rule = "broadcast", "gx = gy, summed over the copies"
    broadcasts = True

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def forward(self, x):
        return np.broadcast_to(x, self.shape)

    def backward(self, gy):
        return gy


class Concatenate(Function):
    symbol, rule = "concat", "each its part of gy"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs):
        y = np.concatenate(xs, axis=self.axis)
        self.ends = tuple(accumulate([shape_of(x)[self.axis] for x in xs[:-1]]))
        return y

    def backward(self, gy):
        return Split(self.ends, self.axis)(gy)


class Split(Function):
    symbol, rule = "split", "gx = the gy joined"

    def __init__(self, ends: tuple[int, ...], axis: int):
        self.ends, self.axis = ends, axis

    def forward(self, x):
        return tuple([x[part] for part in parts_of(self.ends, self.axis, x.ndim)])

    def backward(self, gy):
        return np.concatenate(gy, axis=self.axis)


@lru_cache
def parts_of(ends: tuple[int, ...], axis: int, ndim: int) -> tuple[tuple[Any, ...], ...]:
    """The indices of the parts of an axis cut at ``ends``; cached, as recurrent loops ask at every step."""
    axis = normalize_axis(axis, ndim)
    before = (...,) if axis == ndim - 1 else (slice(None),) * axis
    return tuple([(*before, slice(start, end)) for start, end in pairwise((0, *ends, None))])


class Stack(Function):
    symbol, rule = "stack", "each its slice of gy"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, *xs):
        return np.stack(xs, axis=self.axis, dtype=np.result_type(*xs))

    def backward(self, gy):
        return unstack(gy, self.axis)


class Unstack(Function):
    symbol, rule = "unstack", "gx = the gy stacked"

    def __init__(self, axis: int):
        self.axis = axis

    def forward(self, x):
        return tuple(np.moveaxis(x, self.axis, 0))

    def backward(self, gy):
        return np.stack(gy, axis=self.axis)


class Flip(Function):
    symbol, rule = "flip", "gx = gy, flipped"

    def __init__(self, axis: int | tuple[int, ...] | None):
        self.axis = axis

    def forward(self, x):
        return np.flip(x, self.axis)

    def backward(self, gy):
        return np.flip(gy, self.axis)


class Pad(Function):
    symbol, rule = "pad", "gx = the inner part of gy"

    def __init__(self, width: tuple[tuple[int, int], ...], value: float):
        self.width, self.value = width, value

    def forward(self, x):
        return np.pad(x, self.width, constant_values=self.value)

    def backward(self, gy):
        inner = [slice(lo, n - hi) for (lo, hi), n in zip(self.width, gy.shape, strict=True)]
        return gy[tuple(inner)]


# --- indexing -----------------------------------------------------------------------------------


class Index(Function):
    symbol, rule = "x[i]", "gx = gy, added at i"
    index: Any

    def __init__(self, index: Any):
        self.index = index

    def forward(self, x):
        self.x_shape = x.shape
        return x[self.index]

    def backward(self, gy, index):
        if isinstance(gy, Variable):
            return scatter_add(gy, index, self.x_shape)
        return Scatter(self.x_shape, index, gy)


class ScatterAdd(Function):
    symbol, rule = "add at i", "gx = gy[i]"
    broadcasts = True
    index: Any

    def __init__(self, index: Any, shape: tuple[int, ...]):
        self.index, self.shape = index, shape

    def forward(self, x):
        y = np.zeros_like(x, shape=self.shape)
        add_at(y, self.index, x)
        return y

    def backward(self, gy, index):
        return gy[index]


def plain_index(index: Any) -> Any:
    """An index as NumPy takes it: all sequences of integers or bools, and Variables, become arrays."""
    if isinstance(index, tuple):
        return tuple([_plain_part(part) for part in index])
    return _plain_part(index)


def _plain_part(part: Any) -> Any:
    if part is None or part is Ellipsis or isinstance(part, int | slice | np.generic):
        return part
    part = part.data if isinstance(part, Variable) else part if isarray(part) else np.asarray(part)
    return part.astype(np.intp) if part.size == 0 and part.dtype.kind == "f" else part  # an empty list


def _shape(shape: int | Sequence[int]) -> tuple[int, ...]:
    return tuple(shape) if isinstance(shape, Sequence | np.ndarray) else (operator.index(shape),)


# --- what users call ----------------------------------------------------------------------------


@unary
def reshape(x: Operand, shape: int | Sequence[int]) -> Value:
    """The same elements in another shape; one entry may be -1.

    >>> ag.reshape(Variable([1.0, 2.0, 3.0, 4.0]), (2, -1))
    Variable([[1., 2.],
              [3., 4.]], creator=Reshape)
    """
    return Reshape(_shape(shape))(x)


@unary
def transpose(x: Operand, axes: Sequence[int] | None = None) -> Value:
    """x with its axes in another order, reversed by default.

    >>> x = Variable(np.ones((2, 3, 4)))
    >>> ag.transpose(x).shape, ag.transpose(x, (1, 0, 2)).shape
    ((4, 3, 2), (3, 2, 4))
    """
    return Transpose(None if axes is None else tuple(axes))(x)


@unary
def contiguous(x: Operand) -> Value:
    """x in row-major memory, which matrix products read fastest; for transposed weights.

    >>> W = Variable(np.ones((2, 3)))
    >>> W.T.data.flags.c_contiguous, ag.contiguous(W.T).data.flags.c_contiguous
    (False, True)
    """
    return Contiguous()(x)


@unary
def swapaxes(x: Operand, axis1: int, axis2: int) -> Value:
    """x with two axes exchanged.

    >>> ag.swapaxes(Variable(np.ones((2, 3, 4))), 0, -1).shape
    (4, 3, 2)
    """
    ndim = len(shape_of(x))
    i, j, axes = normalize_axis(axis1, ndim), normalize_axis(axis2, ndim), list(range(ndim))
    axes[i], axes[j] = j, i
    return transpose(x, axes)


@unary
def moveaxis(x: Operand, source: int | Sequence[int], destination: int | Sequence[int]) -> Value:
    """x with the axes at source moved to destination; the others keep their order.

    >>> ag.moveaxis(Variable(np.ones((2, 3, 4))), 0, -1).shape
    (3, 4, 2)
    """
    ndim = len(shape_of(x))
    sources, destinations = (normalize_axes(a, ndim) for a in (source, destination))
    order = [i for i in range(ndim) if i not in sources]
    for to, axis in sorted(zip(destinations, sources, strict=True)):
        order.insert(to, axis)
    return transpose(x, order)


@unary
def expand_dims(x: Operand, axis: int | tuple[int, ...]) -> Value:
    """x with new axes of length 1 at axis.

    >>> ag.expand_dims(Variable([1.0, 2.0]), -1).shape
    (2, 1)
    """
    return reshape(x, np.expand_dims(_stand_in(x), axis).shape)


@unary
def squeeze(x: Operand, axis: int | tuple[int, ...] | None = None) -> Value:
    """x without its axes of length 1, or without those named.

    >>> ag.squeeze(Variable(np.ones((1, 3, 1)))).shape
    (3,)
    """
    return reshape(x, np.squeeze(_stand_in(x), axis).shape)


def _stand_in(x: Operand) -> Array:
    """An array of x's shape that takes no memory, to ask NumPy what a call does to a shape."""
    return np.broadcast_to(np.empty(()), shape_of(x))


@unary
def broadcast_to(x: Operand, shape: int | Sequence[int]) -> Value:
    """x stretched to shape by the rules of broadcasting.

    >>> x = Variable([1.0, 2.0])
    >>> y = ag.broadcast_to(x, (3, 2))
    >>> y.shape, ag.grad(y.sum(), x).data
    ((3, 2), array([3., 3.]))
    """
    return BroadcastTo(_shape(shape))(x)


@overload
def concatenate(xs: Sequence[Variable], axis: int | None = 0) -> Variable: ...
@overload
def concatenate(xs: Sequence[Plain], axis: int | None = 0) -> Array: ...
@overload
def concatenate(xs: Sequence[Operand], axis: int | None = 0) -> Value: ...
def concatenate(xs: Sequence[Operand], axis: int | None = 0) -> Value:
    """The arrays of xs joined along an existing axis; flattened first when axis is None.

    >>> ag.concatenate([Variable([1.0, 2.0]), [3.0]])
    Variable([1., 2., 3.], creator=Concatenate)
    """
    if axis is None:
        return Concatenate(0)(*[reshape(x, (-1,)) for x in xs])
    return Concatenate(axis)(*xs)


@overload
def split(x: Variable, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Variable, ...]: ...
@overload
def split(x: Plain, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Array, ...]: ...
def split(x: Operand, indices_or_sections: int | Sequence[int], axis: int = 0) -> tuple[Value, ...]:
    """A tuple of parts of x along axis: so many equal ones, or cut at the given indices.

    >>> x = Variable([1.0, 2.0, 3.0, 4.0])
    >>> [y.data for y in ag.split(x, 2)], [y.data for y in ag.split(x, [1])]
    ([array([1., 2.]), array([3., 4.])], [array([1.]), array([2., 3., 4.])])
    """
    if isinstance(indices_or_sections, int | np.integer):
        n, sections = shape_of(x)[axis], indices_or_sections
        if sections < 1 or n % sections:
            raise ValueError(f"split expected sections that divide axis {axis} of length {n}, got {sections}")
        return Split(tuple(range(n // sections, n, n // sections)) if n else (0,) * (sections - 1), axis)(x)
    ends = tuple([slice(end).indices(shape_of(x)[axis])[1] for end in indices_or_sections])
    if any(before > after for before, after in pairwise(ends)):
        raise ValueError(f"split expected increasing indices, got {list(indices_or_sections)}")
    return Split(ends, axis)(x)


@overload
def stack(xs: Sequence[Variable], axis: int = 0) -> Variable: ...
@overload
def stack(xs: Sequence[Plain], axis: int = 0) -> Array: ...
@overload
def stack(xs: Sequence[Operand], axis: int = 0) -> Value: ...
def stack(xs: Sequence[Operand], axis: int = 0) -> Value:
    """The arrays of xs, all of one shape, joined along a new axis.

    >>> x, y = Variable([1.0, 2.0]), Variable([3.0, 4.0])
    >>> ag.stack([x, y], axis=1).data
    array([[1., 3.],
           [2., 4.]])
    """
    return Stack(axis)(*xs)


@overload
def unstack(x: Variable, axis: int = 0) -> tuple[Variable, ...]: ...
@overload
def unstack(x: Plain, axis: int = 0) -> tuple[Array, ...]: ...
def unstack(x: Operand, axis: int = 0) -> tuple[Value, ...]:
    """A tuple of the slices of x along axis. What iterating over a Variable does.

    >>> first, second = ag.unstack(Variable([[1.0, 2.0], [3.0, 4.0]]), axis=1)
    >>> first.data, second.data
    (array([1., 3.]), array([2., 4.]))
    """
    shape = shape_of(x)
    if not shape:
        raise TypeError("a 0-d Variable cannot be iterated over")
    return Unstack(axis)(x) if shape[axis] else ()


@unary
def flip(x: Operand, axis: int | tuple[int, ...] | None = None) -> Value:
    """x in reverse order along axis, along all axes by default.

    >>> ag.flip(Variable([1.0, 2.0, 3.0]))
    Variable([3., 2., 1.], creator=Flip)
    """
    return Flip(axis)(x)


@unary
def pad(x: Operand, pad_width: Any, mode: str = "constant", constant_values: float = 0.0) -> Value:
    """x with constant borders; pad_width as in numpy.pad: n, (before, after), or a pair per axis.

    >>> ag.pad(Variable([1.0, 2.0]), (1, 2))
    Variable([0., 1., 2., 0., 0.], creator=Pad)
    """
    if mode != "constant":
        raise TypeError(f"pad has mode 'constant' only, got {mode!r}: index or concatenate instead")
    width = np.broadcast_to(np.asarray(pad_width), (len(shape_of(x)), 2))
    return Pad(tuple([(int(lo), int(hi)) for lo, hi in width]), constant_values)(x)


@unary
def getitem(x: Operand, index: Any) -> Value:
    """x[index] with everything NumPy takes; repeated integer indices add up in the gradient.

    >>> x = Variable([1.0, 2.0, 3.0])
    >>> ag.grad(x[[0, 0, 2]].sum(), x).data
    array([2., 0., 1.])
    """
    return Index(plain_index(index))(x)


@unary
def scatter_add(x: Operand, index: Any, shape: Sequence[int]) -> Value:
    """Zeros of shape with x added at index: the adjoint of x[index].

    >>> ag.scatter_add(Variable([1.0, 10.0, 5.0]), [0, 0, 2], (3,))
    Variable([11.,  0.,  5.], creator=ScatterAdd)
    """
    return ScatterAdd(plain_index(index), tuple(shape))(x)


@unary
def take_along_axis(x: Operand, indices: Any, axis: int | None = -1) -> Value:
    """The elements of x at integer indices along axis, matched with x on the other axes.

    >>> x = Variable([[1.0, 7.0], [5.0, 2.0]])
    >>> ag.take_along_axis(x, np.argmax(x, 1)[:, None], 1).data
    array([[7.],
           [5.]])
    """
    if axis is None:
        return take_along_axis(reshape(x, (-1,)), np.ravel(plain_index(indices)), 0)
    indices, ndim = plain_index(indices), len(shape_of(x))
    if indices.ndim != ndim:
        raise ValueError(f"take_along_axis expected {ndim} axes of indices, got shape {indices.shape}")
    grid: list[Any] = list(np.ogrid[tuple(slice(n) for n in shape_of(x))])
    grid[normalize_axis(axis, ndim)] = indices
    return getitem(x, tuple(grid))


@overload
def index_update(x: Variable, index: Any, value: Operand) -> Variable: ...
@overload
def index_update(x: Array, index: Any, value: Variable) -> Variable: ...
@overload
def index_update(x: Array, index: Any, value: Plain) -> Array: ...
def index_update(x: Value, index: Any, value: Operand) -> Value:
    """A copy of x with value written at index, as ``y = x.copy(); y[index] = value``.

    Where an index names an element twice, the last value wins and gets the gradient, as in NumPy.

    >>> x = Variable([1.0, 2.0, 3.0])
    >>> y = ag.index_update(x, 1, 0.0)
    >>> y.data, ag.grad(y.sum(), x).data
    (array([1., 0., 3.]), array([1., 0., 1.]))
    """
    index = plain_index(index)
    source = alike(np.full(shape_of(x), -1), x)  # which element of value lands where
    shape = source[index].shape
    source[index] = alike(np.arange(math.prod(shape)).reshape(shape), x)
    if 0 in shape:
        return x
    value = astype(value if isinstance(value, Variable) else as_array(value, x), x.dtype)
    landed = getitem(reshape(broadcast_to(value, shape), (-1,)), np.maximum(source, 0))
    return where(source >= 0, landed, x)


# --- compositions -------------------------------------------------------------------------------


@unary
def roll(x: Value, shift: Any, axis: Any = None) -> Value:
    """x with its elements moved by shift along axis, those that fall off coming back in front.

    Tuples move along several axes; without an axis the flattened array is moved.

    >>> ag.roll(Variable([1.0, 2.0, 3.0]), 1)
    Variable([3., 1., 2.], creator=Reshape)
    """
    if axis is None:
        return reshape(roll(reshape(x, (-1,)), np.sum(shift), 0), shape_of(x))
    if np.ndim(shift) or np.ndim(axis):
        for s, a in np.broadcast(shift, axis):
            x = roll(x, int(s), int(a))
        return x
    n = shape_of(x)[axis]
    if n == 0 or shift % n == 0:
        return x
    head, tail = split(x, [n - shift % n], axis)
    return concatenate([tail, head], axis)


@unary
def repeat(x: Operand, repeats: int | Sequence[int] | Array, axis: int | None = None) -> Value:
    """x with every element (or slice along axis) repeated.

    >>> ag.repeat(Variable([1.0, 2.0]), 2).data, ag.tile(Variable([1.0, 2.0]), 2).data
    (array([1., 1., 2., 2.]), array([1., 2., 1., 2.]))
    """
    if axis is None:
        return repeat(reshape(x, (-1,)), repeats, 0)
    axis = normalize_axis(axis, len(shape_of(x)))
    which = np.repeat(np.arange(shape_of(x)[axis]), repeats)
    return getitem(x, (*[slice(None)] * axis, which))


@unary
def tile(x: Operand, reps: int | Sequence[int]) -> Value:
    """x laid out reps times along each axis.

    >>> ag.tile(Variable([1.0, 2.0]), (2, 1))
    Variable([[1., 2.],
              [1., 2.]], creator=Reshape)
    """
    reps = (reps,) if isinstance(reps, int) else tuple(reps)
    ndim = max(len(reps), len(shape_of(x)))
    reps = (1,) * (ndim - len(reps)) + reps
    shape = (1,) * (ndim - len(shape_of(x))) + shape_of(x)
    pairs = [k for r, n in zip(reps, shape, strict=True) for k in (r, n)]
    single = [k for n in shape for k in (1, n)]
    out = [r * n for r, n in zip(reps, shape, strict=True)]
    return reshape(broadcast_to(reshape(x, single), pairs), out)


@unary
def tril(x: Operand, k: int = 0) -> Value:
    """x with zeros above the k-th diagonal of its last two axes.

    >>> ag.tril(Variable([[1.0, 2.0], [3.0, 4.0]])).data
    array([[1., 0.],
           [3., 4.]])
    """
    return where(_triangle(x, k), x, 0)


@unary
def triu(x: Operand, k: int = 0) -> Value:
    """x with zeros below the k-th diagonal of its last two axes.

    >>> ag.triu(Variable([[1.0, 2.0], [3.0, 4.0]]), 1).data
    array([[0., 2.],
           [0., 0.]])
    """
    return where(_triangle(x, k - 1), 0, x)


def _triangle(x: Operand, k: int) -> Array:
    """True on and below the k-th diagonal of x's last two axes; of a square for a vector, as in NumPy."""
    shape = shape_of(x)
    on = np.tri(shape[-2] if len(shape) > 1 else shape[-1], shape[-1], k=k, dtype=bool)
    return alike(on, x)
