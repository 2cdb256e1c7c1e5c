"""Series: values outside of time steps that hold one entry per step along an axis.

A stack of the states of all steps, what a layer makes of all its inputs at once, and every value inside a
causal convolution have an axis of time. `Series` finds it, and `reads` says of every operation on such a
value which places of its input a place of its output is made from.
"""

import math

from ..core import Function, Parameter
from ..ops import linalg, reduce, shape
from ..ops.conv import Conv
from .reading import Item, Output, Reading

Shape = tuple[int, ...]


class Series:
    """Which outputs of a reading have an axis of time.

    Attributes:
        axis: output of a node or leaf -> that axis.
        unknown: indexings whose index a backward pass has released; they seem to read every place.
    """

    def __init__(self, reading: Reading):
        self.reading = reading
        self.axis: dict[Output, int] = {}
        self.unknown: set[Function] = set()
        for node in reading.nodes:
            sources = reading.sources[node]
            if _is_outside(node) and isinstance(node, Conv) and len(node.geometry.out) == 1:
                self._set_back(sources[0], 2)
            if _is_outside(node) and isinstance(node, shape.Unstack):
                self._set_back(sources[0], node.axis % len(shape_of(*sources[0])))
        for node in reading.nodes:
            if _is_outside(node):
                self._set_on(node)

    def __contains__(self, output: Output) -> bool:
        return output in self.axis

    def size(self, output: Output) -> int:
        """How many places an output with an axis of time has."""
        return shape_of(*output)[self.axis[output]]

    def reads(self, node: Function, k: int, at: int, place: int) -> list[int]:
        """The places of source ``at``, a series, from which output ``k`` has what is at ``place``.

        An output without an axis of time has ``place`` -1.
        """
        source = self.reading.sources[node][at]
        axis, size, everything = self.axis[source], self.size(source), list(range(self.size(source)))
        if isinstance(node, shape.Unstack) and node.axis % len(shape_of(*source)) == axis:
            return [k]
        if isinstance(node, shape.Index):
            return self._indexed(node, source, place)
        if (node, k) not in self.axis:
            return everything
        if through(node, at, source, axis, k) != self.axis[node, k]:
            return everything
        if isinstance(node, shape.Flip) and axis in _axes(node.axis, len(shape_of(*source))):
            return [size - 1 - place]
        if isinstance(node, Conv):
            g = node.geometry
            first = place * g.stride[0] - g.before[0]
            return [
                p for p in range(first, first + g.kernel[0] * g.dilation[0], g.dilation[0]) if 0 <= p < size
            ]
        if isinstance(node, shape.Concatenate) and node.axis % len(shape_of(*source)) == axis:
            sources = self.reading.sources[node]
            place -= sum([shape_of(*other)[axis] for other in sources[:at]])
            return [place] if 0 <= place < size else []
        if isinstance(node, shape.Split) and node.axis % len(shape_of(*source)) == axis:
            return [place + (0, *node.ends)[k]]
        if isinstance(node, shape.Pad):
            place -= node.width[axis][0]
            return [place] if 0 <= place < size else []
        if isinstance(node, reduce.Cumsum) and node.axis % len(shape_of(*source)) == axis:
            return everything[: place + 1]
        if (
            isinstance(node, reduce.Softmax | reduce.LogSoftmax)
            and node.axis % len(shape_of(*source)) == axis
        ):
            return everything
        return [place]

    def _indexed(self, node: Function, source: Output, place: int) -> list[int]:
        axis, size = self.axis[source], self.size(source)
        part = _part(node, axis, len(shape_of(*source)))
        if part is None:
            if (node, 0) in self.axis and place >= 0:
                return [place]
            self.unknown.add(node)
            return list(range(size))
        if isinstance(part, int):
            return [part % size]
        chosen = list(range(size))[part]
        return chosen if place < 0 else [chosen[place]]

    def _set_on(self, node: Function) -> None:
        """Find the axis of time of a node's outputs from those of its sources."""
        sources = self.reading.sources[node]
        for k, size in enumerate(_out_shapes(node)):
            if (node, k) in self.axis:
                continue
            if isinstance(node, shape.Stack) and not any(source in self.axis for source in sources):
                if any(_is_part(item) for item, _ in sources):
                    self.axis[node, k] = node.axis % len(size)
                continue
            for at, source in enumerate(sources):
                axis = self.axis.get(source)
                found = None if axis is None else through(node, at, source, axis, k)
                if found is not None:
                    self.axis[node, k] = found
                    break

    def _set_back(self, output: Output, axis: int) -> None:
        """Note the axis of an output, and of what it is made from, place by place."""
        waiting = [(output, axis)]
        while waiting:
            output, axis = waiting.pop()
            item, k = output
            if output in self.axis or isinstance(item, Parameter):
                continue
            if isinstance(item, Function) and not _is_outside(item):
                continue
            self.axis[output] = axis
            if not isinstance(item, Function):
                continue
            for at, source in enumerate(self.reading.sources[item]):
                axes = range(len(shape_of(*source)))
                waiting += [(source, a) for a in axes if through(item, at, source, a, k) == axis][:1]


def shape_of(item: Item, k: int) -> Shape:
    """The shape of output ``k`` of an item."""
    return _out_shapes(item)[k] if isinstance(item, Function) else tuple(item.shape)


def through(node: Function, at: int, source: Output, axis: int, k: int = 0) -> int | None:
    """Where an axis of source ``at`` is in output ``k`` of a node; None if it is not there any more."""
    before, after = shape_of(*source), _out_shapes(node)[k]
    kept = list(range(len(before)))
    if isinstance(node, shape.Transpose):
        axes = kept[::-1] if node.axes is None else [a % len(before) for a in node.axes]
        return axes.index(axis)
    if isinstance(node, shape.Concatenate | shape.Split | shape.Flip | shape.Contiguous | shape.Pad):
        return axis
    if isinstance(node, shape.Stack):
        return axis + (node.axis % len(after) <= axis)
    if isinstance(node, shape.Unstack):
        own = node.axis % len(before)
        return None if own == axis else axis - (own < axis)
    if isinstance(node, shape.Index):
        return _kept_by_index(node, axis, before, after)
    if isinstance(node, reduce.Reduction):
        axes = _axes(node.axis, len(before))
        if axis in axes:
            return None
        return axis if node.keepdims else axis - sum([a < axis for a in axes])
    if isinstance(node, shape.Reshape):
        ahead = math.prod(before[:axis])
        places = [b for b in range(len(after)) if math.prod(after[:b]) == ahead and after[b] == before[axis]]
        return places[0] if places else None
    if isinstance(node, Conv):
        return (axis if axis != 1 else None) if at == 0 else None
    if isinstance(node, linalg.Einsum):
        letter = node.operands[at][axis : axis + 1]
        return node.output.index(letter) if letter and letter in node.output else None
    if _is_contracted(node, at, axis, len(before)):
        return None
    axis += len(after) - len(before)
    return axis if axis >= 0 and after[axis] == before[axis - len(after) + len(before)] else None


def _is_contracted(node: Function, at: int, axis: int, ndim: int) -> bool:
    """Does a product sum over this axis?"""
    if isinstance(node, linalg.Linear):
        return axis == ndim - 1 if at == 0 else at == 1
    if isinstance(node, linalg.AddMM):
        return axis == ndim - 1 if at == 1 else at == 2
    if isinstance(node, linalg.MatMul):
        return axis == ndim - 1 - at
    return False


def _kept_by_index(node: Function, axis: int, before: Shape, after: Shape) -> int | None:
    part = _part(node, axis, len(before))
    if isinstance(part, int):
        return None
    if part is None:  # of a released index: where sizes leave no doubt
        if len(after) == len(before):
            return axis if after[axis] == before[axis] else None
        gone_one = [a for a in range(len(before)) if before[:a] + before[a + 1 :] == after]
        return axis - (gone_one[0] < axis) if gone_one and axis not in gone_one else None
    gone = [isinstance(_part(node, a, len(before)), int) for a in range(axis)]
    return axis - sum(gone)


def _part(node: Function, axis: int, ndim: int) -> int | slice | None:
    """What an index takes along an axis; None where that is not known, or is an array."""
    index = node.saved[0] if node.saved else getattr(node, "index", None)
    if index is None:
        return None
    index = index if isinstance(index, tuple) else (index,)
    if any(not (isinstance(i, int | slice) or i is Ellipsis) for i in index):
        return None
    if Ellipsis in index:
        i = index.index(Ellipsis)
        index = (*index[:i], *[slice(None)] * (ndim - len(index) + 1), *index[i + 1 :])
    return index[axis] if axis < len(index) else slice(None)


def _axes(axis: int | tuple[int, ...] | None, ndim: int) -> list[int]:
    axes = range(ndim) if axis is None else (axis,) if isinstance(axis, int) else axis
    return [a % ndim for a in axes]


def _out_shapes(node: Function) -> tuple[Shape, ...]:
    return node.out_shape if node.multi_output else (node.out_shape,)


def _is_outside(node: Function) -> bool:
    """Is it outside of all steps of time? The steps of a tree are its heights, each with a row of nodes."""
    return node.place.step is None or node.place.unit != "t"


def _is_part(item: Item) -> bool:
    """Was it made in a step, or taken out of a series?"""
    return isinstance(item, Function) and (item.place.step is not None or isinstance(item, shape.Unstack))
