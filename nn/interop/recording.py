"""A run of a model, written down as nodes of ONNX, and what several runs of other sizes have in common.

`Recording` is an instrument: it sees every recorded operation and translates it. It knows a value by the
memory it lies in. Comparisons and the arithmetic of integers are no operations of a graph; the arrays that
the model runs on, `Seen`, tell of them. Nothing here knows which numbers depend on the length of an axis: the
model runs once for each free axis with another length. `unify` checks that all runs wrote the same nodes, and
`solve` finds the length in a number that changed.
"""

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autograd import Variable
from autograd.extend import Array, Function

from ..recurrent import exporting
from .primitives import METHODS, UFUNCS, translation_of

Sizes = dict[str, int]  # the length of every free axis


@dataclass
class Node:
    """One node of ONNX; an attribute may be the `Body` of a loop."""

    op: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]
    place: str  # where in the model
    scope: str = ""  # the path of the module


@dataclass
class Body:
    """What a loop does in every step."""

    nodes: list[Node] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)


@dataclass
class Constant:
    """An array that no node makes, and the operation that first used it."""

    name: str
    value: Array
    place: str


class Graph:
    """What a translation writes its nodes into; names stand for values.

    ``add`` writes a node, ``constant`` and ``ints`` store numbers. Lengths of axes in them may be written as
    they are in this run: those that belong to a free axis are found by other runs.

    >>> from nn.interop.recording import Recording
    >>> graph = Recording().graph
    >>> graph.add("Relu", graph.constant(np.array([-1.0, 2.0])))
    'relu_2'
    """

    def __init__(self, recording: "Recording"):
        self._recording = recording

    def add(self, op: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Write a node; the name of its output, or a list of names if there are several."""
        recording = self._recording
        names = [recording.fresh(op.lower()) for _ in range(outputs)]
        recording.body.nodes.append(
            Node(op, list(inputs), names, attributes, recording.place, recording.scope)
        )
        if recording.live.intersection(inputs):
            recording.live.update(names)
        return names[0] if outputs == 1 else names

    def constant(self, value: Any, hint: str = "constant") -> str:
        """Store an array; its name."""
        recording = self._recording
        array = np.array(value)
        name = recording.fresh(hint)
        recording.constants.append(Constant(name, array, recording.place))
        recording.infos[name] = array.dtype, array.shape
        return name

    def ints(self, *values: int) -> str:
        """Store integers, such as a shape or axes, as ONNX takes them."""
        return self.constant(np.array(values, np.int64), "sizes")

    def cast(self, x: str, dtype: Any) -> str:
        """x in this dtype; x itself if it has it already, as far as that is known."""
        if self._recording.infos.get(x, (None,))[0] == np.dtype(dtype):
            return x
        y: str = self.add("Cast", x, to=np.dtype(dtype))
        self._recording.infos[y] = np.dtype(dtype), self.shape(x)
        return y

    def shape(self, x: str) -> tuple[int, ...]:
        """The shape that a value had in this run: that of an input of an operation, or of a constant."""
        shape: tuple[int, ...] = self._recording.infos[x][1]
        return shape


class Recording:
    """The nodes of one run, its constants, and what it knows of every value."""

    def __init__(self, taken: Collection[str] = ()):
        self.taken = set(taken)  # names that are given outside
        self.body = Body()
        self.graph = Graph(self)
        self.constants: list[Constant] = []
        self.infos: dict[str, tuple[Any, tuple[int, ...]]] = {}  # dtype and shape of every value
        self.names: dict[Any, str] = {}  # by memory
        self.live: set[str] = set()  # names of what depends on an input
        self.alive: list[Any] = []  # arrays whose memory must not be given to others
        self.parameters: dict[str, Array] = {}
        self.place, self.scope = "top level", ""
        self.told: set[str] = set()  # names of what only NumPy computed
        self.counts: list[Array] = []  # inputs that are no floating-point numbers
        self.quiet = False
        self.count = 0

    def fresh(self, hint: str) -> str:
        """A name that nothing has yet."""
        self.count += 1
        name = f"{hint}_{self.count}"
        return name if name not in self.taken else self.fresh(hint)

    def bind(self, a: Array, name: str) -> None:
        """Let ``name`` stand for the array ``a``."""
        self.names[address(a)] = name
        self.infos[name] = a.dtype, a.shape
        self.alive.append(a)

    def parameter(self, path: str, a: Array) -> None:
        """Note that the array ``a`` is a parameter or buffer of the model."""
        if address(a) not in self.names:
            name = f"{path}_of_the_model" if path in self.taken else path
            self.taken.add(name)
            self.bind(a, name)
            self.parameters[name] = a

    def input(self, a: Array, name: str) -> None:
        """Note that the array ``a`` is an input of the model, or of the body of a loop."""
        self.bind(a, name)
        self.live.add(name)
        self.body.inputs.append(name)
        if a.dtype.kind != "f":
            self.counts.append(a)

    def output(self, source: str, name: str, a: Any) -> str:
        """Give a value the name of an output, of the model or of the body of a loop."""
        self.body.nodes.append(Node("Identity", [source], [name], {}, self.place, self.scope))
        self.infos[name] = a.dtype, a.shape
        return name

    def find(self, a: Any) -> str | None:
        """The name of an array, if it has one."""
        return self.names.get(address(a)) if isinstance(a, np.ndarray) else None

    def name_of(self, a: Any, dtype: Any = None) -> str:
        """The name of an array or number; of one that nothing made, that of a constant."""
        if (name := self.find(a)) is not None:
            return name
        if isinstance(a, Seen) or any(np.may_share_memory(a, count) for count in self.counts):
            raise ValueError(changing(self.place, np.shape(a)))
        if isinstance(a, bool | np.ndarray):
            dtype = None
        name = self.graph.constant(np.asarray(a, dtype))
        if isinstance(a, np.ndarray):
            self.bind(a, name)
        return name

    def depends(self, a: Any) -> bool:
        """Does an array depend on an input, as far as is known?"""
        return self.find(a) in self.live

    # -- as an instrument

    def forward(self, node: Function, arrays: Sequence[Any], outputs: Sequence[Array]) -> None:
        """Translate one recorded operation."""
        if self.quiet:
            return
        self.place, self.scope = node.describe(), node.place.scope
        translate = translation_of(node)
        if translate is None:
            if not any(map(self.depends, arrays)):
                return  # its value is stored where it is used
            raise NotImplementedError(untranslated(node))
        dtype = node.out_dtype[0] if node.multi_output else node.out_dtype
        made = translate(self.graph, node, *[self.name_of(a, dtype) for a in arrays])
        names = [made] if isinstance(made, str) else list(made)
        for a, name in zip(outputs, names, strict=True):
            self.bind(a, name)

    def _ignore(self, node: Function, gys: Any, gxs: Any) -> None:
        """Instruments see walks back too; one inside of a model is in no file, unless it is recorded."""

    backward = _ignore

    # -- what `Seen` tells

    def call(self, ufunc: np.ufunc, inputs: Sequence[Any], y: Array) -> None:
        """Note a comparison, or arithmetic of integers."""
        if self.quiet or y.dtype.kind not in "biu" or ufunc not in UFUNCS or self.unknown(*inputs):
            return
        if not any(map(self.depends, inputs)):
            return
        self.place = f"np.{ufunc.__name__}"
        common = np.result_type(*inputs)
        names = [self.graph.cast(self.name_of(x, common), common) for x in inputs]
        self.tell(y, UFUNCS[ufunc](self.graph, *names))

    def unknown(self, *xs: Any) -> bool:
        """Is there an array that depends on the inputs, and that no node computes?"""
        return any(isinstance(x, Seen) and self.find(x) is None for x in xs)

    def where(self, condition: Any, a: Any, b: Any, y: Array) -> None:
        """Note np.where of a condition that depends on the inputs."""
        if self.quiet or self.find(condition) not in self.told or self.unknown(a, b):
            return
        self.place = "np.where"
        names = [self.graph.cast(self.name_of(x, y.dtype), y.dtype) for x in (a, b)]
        self.tell(y, self.graph.add("Where", self.graph.cast(self.name_of(condition), np.bool_), *names))

    def tell(self, y: Array, name: str) -> None:
        """Let ``name`` stand for an array that only NumPy computed."""
        self.bind(y, name)
        self.told.add(name)

    def method(self, name: str, x: Array, y: Any, *settings: Any) -> None:
        """Note what a method of an array of integers or bools made of it."""
        if self.quiet or not self.depends(x) or not isinstance(y, np.ndarray) or self.find(y) is not None:
            return
        if x.dtype.kind in "biu" or self.find(x) in self.told:
            self.place = f"numpy.ndarray.{name}"
            self.tell(y, METHODS[name](self.graph, self.name_of(x), x, y, *settings))

    # -- parts of a run

    @contextmanager
    def silence(self) -> Iterator[None]:
        """Write nothing down inside."""
        before, self.quiet = self.quiet, True
        try:
            yield
        finally:
            self.quiet = before

    @contextmanager
    def inside(self, body: Body) -> Iterator[None]:
        """Write into the body of a loop inside; what it computes has no name outside."""
        outer, names, self.body = self.body, dict(self.names), body
        try:
            yield
        finally:
            self.body, self.names = outer, names


def untranslated(node: Function) -> str:
    """What to do about an operation that has no translation."""
    who = type(node).__name__
    return (
        f"to_onnx: {node.describe()} has no translation to ONNX. Register one before the export:"
        f" @nn.onnx_translation({who}) above def translate(graph, node, x): return graph.add('Operator', x)"
    )


def changing(place: str, shape: tuple[int, ...]) -> str:
    """What to do about an array that is no constant, and that no node computes."""
    return (
        f"to_onnx: {place} uses an array of shape {shape} that changes with the inputs, or with the length of"
        " a free axis, in a way that is not recorded. Compute it by operations on Variables, or hand it over"
        " as an input, as it is used; an axis that need not be free is left out of free="
    )


def address(a: Array) -> Any:
    """What tells one value from another: where it lies in memory, and how it is read there."""
    return a.__array_interface__["data"][0], a.shape, a.strides, a.dtype.str


class Seen(np.ndarray):
    """An array that tells the running export what NumPy does with it that no graph records."""

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: tuple[Any, ...] = (), **kwargs: Any
    ) -> Any:
        if any(isinstance(x, Variable) for x in inputs):
            return NotImplemented
        plain = [x.view(np.ndarray) if isinstance(x, Seen) else x for x in inputs]
        if out:
            kwargs["out"] = tuple([y.view(np.ndarray) if isinstance(y, Seen) else y for y in out])
        y = seen(getattr(ufunc, method)(*plain, **kwargs))
        if out:
            return out[0] if len(out) == 1 else out
        if method == "__call__" and not kwargs and isinstance(y, Seen) and exporting.recorder is not None:
            exporting.recorder.call(ufunc, inputs, y)
        return y

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        y = super().__array_function__(func, types, args, kwargs)
        if func in CONSTANTS:
            return y.view(np.ndarray) if isinstance(y, Seen) else y
        y = seen(y)
        if func is np.where and isinstance(y, Seen) and exporting.recorder is not None:
            exporting.recorder.where(*args, y)
        return y

    def _told(self, name: str, y: Any, *settings: Any) -> Any:
        if exporting.recorder is not None:
            exporting.recorder.method(name, self, y, *settings)
        return y

    def astype(self, dtype: Any, *args: Any, **kwargs: Any) -> Any:
        return self._told("astype", super().astype(dtype, *args, **kwargs))

    def reshape(self, *shape: Any, **kwargs: Any) -> Any:
        return self._told("reshape", super().reshape(*shape, **kwargs))

    def transpose(self, *axes: Any) -> Any:
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = tuple(range(self.ndim))[::-1] if order is None or not order else order
        return self._told("transpose", super().transpose(*axes), order)

    def swapaxes(self, axis1: Any, axis2: Any) -> Any:
        order = list(range(self.ndim))
        order[axis1], order[axis2] = order[axis2], order[axis1]
        return self._told("transpose", super().swapaxes(axis1, axis2), order)

    @property
    def T(self) -> Any:
        return self.transpose()

    def __getitem__(self, index: Any) -> Any:
        return self._told("getitem", super().__getitem__(index), index)


CONSTANTS = {
    np.zeros_like,
    np.ones_like,
    np.full_like,
    np.empty_like,
}  # what they make depends on shapes alone


def seen(y: Any) -> Any:
    """Arrays as those that tell; anything else as it is."""
    if isinstance(y, tuple | list):
        return type(y)(map(seen, y)) if type(y) in (tuple, list) else y
    return y.view(Seen) if type(y) is np.ndarray else y


# --- what runs have in common ---------------------------------------------------------------------


@dataclass(frozen=True)
class Length:
    """c · (product of the lengths of free axes) + d."""

    c: int
    axes: tuple[str, ...]
    d: int

    def __str__(self) -> str:
        return "*".join(self.axes) if (self.c, self.d) == (1, 0) else ""


def solve(values: Sequence[Any], runs: Sequence[Sizes]) -> Length | int | None:
    """The number that is ``values[r]`` where the free axes are as long as ``runs[r]`` says, or None.

    The runs are the first, one for each axis in which it alone is longer, and one in which all are.
    """
    first = values[0]
    if all(v == first for v in values):
        return int(first) if first == int(first) else None
    axes = [axis for axis, v in zip(runs[0], values[1:], strict=False) if v != first]
    if not axes:
        return None
    if len(axes) == 1:
        k = list(runs[0]).index(axes[0]) + 1
        c = (values[k] - first) / (runs[k][axes[0]] - runs[0][axes[0]])
        d = first - c * runs[0][axes[0]]
    else:
        c, d = first / math.prod([runs[0][axis] for axis in axes]), 0
    fits = all(v == c * math.prod([run[a] for a in axes]) + d for v, run in zip(values, runs, strict=True))
    return Length(int(c), tuple(axes), int(d)) if fits and c == int(c) and d == int(d) else None


def unify(bodies: Sequence[Body]) -> None:
    """Raise unless all runs wrote the same nodes."""
    first = bodies[0]
    for nodes in zip(*[body.nodes for body in bodies], strict=False):
        node = nodes[0]
        inner = [name for name, value in node.attributes.items() if isinstance(value, Body)]
        for other in nodes[1:]:
            plain = [{k: v for k, v in n.attributes.items() if k not in inner} for n in (node, other)]
            if (node.op, node.inputs, node.outputs, plain[0]) != (
                other.op,
                other.inputs,
                other.outputs,
                plain[1],
            ):
                raise ValueError(differs(node))
        for name in inner:
            unify([n.attributes[name] for n in nodes])
    if len({len(body.nodes) for body in bodies}) > 1 or any(body.outputs != first.outputs for body in bodies):
        raise ValueError(differs(first.nodes[-1] if first.nodes else None))


def differs(node: Node | None) -> str:
    where = "" if node is None else f" ({node.op} of {node.place})"
    return (
        f"to_onnx: the model computes something else where a free axis has another length{where}. A loop over"
        " an axis is written out step by step: give it to nn.Recurrent, which becomes a loop of any length,"
        " or leave the axis out of free="
    )
