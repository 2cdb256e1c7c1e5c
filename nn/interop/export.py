"""`to_onnx`: a model as an ONNX file, with axes of any length.

The model runs once for each free axis, and once more, always with other lengths and other numbers; see
`recording`. A number that changed from run to run with a length is computed from the shapes of the inputs in
the file; an array that changed otherwise depends on the inputs in a way that was not recorded, an error.
"""

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

import autograd
from autograd import Variable, enable_grad, instrumented
from autograd.extend import Array, as_array, data_of

from ..attention import EncoderDecoder
from ..io import Path_, replacing
from ..module import Module
from ..recurrent import Recurrent, exporting
from ..rnn import Layers
from .pooling import pools_written
from .recording import Body, Constant, Length, Node, Seen, Sizes, changing, solve, unify
from .scan import Writer, flat

USUAL = ("output", "h_n", "c_n")  # names of outputs
OPSET, IR_VERSION = 21, 10  # of ONNX 1.16, onnxruntime 1.18 and newer

Axes = tuple[str | None, ...]  # of one input: the names of its free axes, None for one that stays as it is


def to_onnx(
    model: Module,
    inputs: Any,
    path: Path_,
    names: Sequence[str] | None = None,
    free: Sequence[str | None] | Mapping[str, Sequence[str | None]] | None = None,
) -> None:
    """Write what ``model`` computes, in evaluation mode, as an ONNX file (opset 21, IR version 10).

    RNN, GRU, LSTM and loops of their cells become ONNX's operators, a loop of any other `Cell` a Scan with
    the cell's ``step`` as its body, everything else the recorded operations one by one. Inputs are named as
    the arguments of ``forward``; weights as in the state dict, where no operator wants them reordered.

    Args:
        inputs: what ``forward`` takes: an array, a tuple of arguments, or a dict of them by name. Shapes and
            dtypes count, and of integers the range: others between the same ends are tried.
        path: the file; it is written beside the old one and then takes its place.
        names: of the outputs, in the order of ``forward``; by default output, and h_n and c_n or the parts
            of a state.
        free: the names of the leading axes whose length stays free, for the first input. By default
            ("T", "B") for models with recurrent layers, ("B", "T") with batch_first, else ("B",). Lengths
            have the axis B and states theirs. A dict gives every input its own; None is an axis that is not
            free.

    Raises:
        NotImplementedError: an operation has no translation; see `onnx_translation`.
        ValueError: the model unrolls a free axis by itself, or what it computes depends on the inputs or on a
            length in a way that is not recorded. TypeError: inputs that are no arrays.
        ImportError: the package ``onnx`` is not installed.

    >>> model = nn.LSTM(3, 4)
    >>> nn.to_onnx(model, np.ones((5, 2, 3), "f"), "lstm.onnx")
    >>> import onnx
    >>> [node.op_type for node in onnx.load("lstm.onnx").graph.node][0]
    'LSTM'
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("to_onnx needs the package onnx: pip install 'bptt[interop]'") from error
    if not isinstance(model, Module):
        raise TypeError(f"to_onnx expected a Module, got {type(model).__name__}")
    arguments = Arguments(model, inputs, free)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        runs = arguments.sizes()
        recordings = [_run(model, arguments, sizes, seed, names) for seed, sizes in enumerate(runs)]
    finally:
        for module, mode in modes:
            object.__setattr__(module, "training", mode)
    file = File(arguments, recordings, runs)
    proto = file.proto(type(model).__name__)
    onnx.checker.check_model(proto, full_check=True)
    with replacing(path) as target:
        target.write(proto.SerializeToString(deterministic=True))


# --- arguments ------------------------------------------------------------------------------------


class Arguments:
    """The inputs of a model by name, and which of their axes are free."""

    def __init__(self, model: Module, inputs: Any, free: Any):
        signature = inspect.signature(model.forward)
        if isinstance(inputs, Mapping):
            self.bound = signature.bind(**inputs)
        else:
            self.bound = signature.bind(*inputs) if isinstance(inputs, tuple) else signature.bind(inputs)
        self.arrays: dict[str, Array] = {}
        self.argument: dict[str, str] = {}  # the argument of forward in which an array is
        self.nests = {k: self._named(model, k, k, v) for k, v in self.bound.arguments.items()}
        if not self.arrays:
            raise TypeError("to_onnx expected at least one array among the inputs")
        self.axes = {name: self._axes(model, name, free) for name in self.arrays}
        self.lengths: Sizes = {}
        for name, a in self.arrays.items():
            for axis, n in zip(self.axes[name], a.shape, strict=False):
                if axis is not None and self.lengths.setdefault(axis, n) != n:
                    raise ValueError(
                        f"to_onnx: the axis {axis} has length {n} in {name}, and {self.lengths[axis]} in"
                        " another input: name them apart with a dict,"
                        " free={'source': ('S', 'B'), 'target': ('T', 'B')}"
                    )

    def _named(self, model: Module, argument: str, name: str, value: Any) -> Any:
        """The nest of names for a nest of arrays; None for what is no array."""
        if isinstance(value, tuple | list) and any(
            _is_array(v) or isinstance(v, tuple | list) for v in value
        ):
            given = ["h_0", "c_0"] if isinstance(model, Layers) and argument == "hx" else []
            parts = [given[i] if i < len(given) else f"{name}_{i}" for i in range(len(value))]
            return tuple(
                [self._named(model, argument, part, v) for part, v in zip(parts, value, strict=True)]
            )
        if not _is_array(value):
            return None
        if isinstance(model, Layers) and name == "hx":
            name = "h_0"
        a = np.asarray(as_array(value))
        if a.dtype.kind not in "fiub":
            raise TypeError(f"to_onnx expected numbers in {name}, got {a.dtype}")
        self.arrays[name], self.argument[name] = a, argument
        return name

    def _axes(self, model: Module, name: str, free: Any) -> Axes:
        """The axes of one input."""
        argument, ndim = self.argument[name], self.arrays[name].ndim
        if isinstance(free, Mapping):
            known = {*self.argument, *self.argument.values()}
            if unknown := sorted(free.keys() - known):
                raise ValueError(f"to_onnx: free has axes of {unknown}, the inputs are {list(self.arrays)}")
            return tuple(free.get(name, free.get(argument, ())))[:ndim]
        if free is None and isinstance(model, EncoderDecoder):
            own: dict[str, Axes] = {"source": ("S", "B"), "target": ("T", "B"), "lengths": ("B",)}
            return own[argument]
        loops = [m for m in model.modules() if isinstance(m, Layers | Recurrent)]
        batch_first = bool(loops) and loops[0].batch_first
        recurrent = isinstance(model, EncoderDecoder) or bool(loops)
        single = isinstance(model, Layers) and next(iter(self.arrays.values())).ndim == model.dims + 2
        if free is None:
            free = (
                ("B",) if not recurrent else ("T",) if single else ("B", "T") if batch_first else ("T", "B")
            )
        time_first = recurrent and not batch_first
        rows = () if single else free[time_first : time_first + 1]  # the axis of the batch
        if argument == "lengths":
            return tuple(rows)
        if argument in ("hx", "state", "states") and recurrent:
            return (None, *rows) if isinstance(model, Layers) else tuple(rows)
        return tuple(free)[:ndim]

    def sizes(self) -> list[Sizes]:
        """The lengths of the free axes in every run: see `solve`."""
        base = {axis: max(n, 2) for axis, n in self.lengths.items()}
        longer = [{**base, axis: n + 1} for axis, n in base.items()]
        return [base, *longer, {axis: n + 2 + k for k, (axis, n) in enumerate(base.items())}]

    def sample(self, name: str, sizes: Sizes, rng: np.random.Generator) -> Array:
        """Numbers such as those of an input, with free axes as long as ``sizes`` says."""
        a = self.arrays[name]
        free = (*self.axes[name], *[None] * (a.ndim - len(self.axes[name])))
        shape = tuple([n if axis is None else sizes[axis] for axis, n in zip(free, a.shape, strict=True)])
        if a.dtype.kind in "iu" and a.size:
            low, high = int(a.min()), int(a.max())
            if low == high:  # others are needed, to see what depends on them
                low, high = min(low, 0), max(high, 1)
            return rng.integers(low, high, shape, a.dtype, endpoint=True)
        if a.dtype.kind == "b":
            return rng.random(shape) < 0.5
        chosen = rng.choice(a.ravel(), shape) if a.size else np.zeros(shape)
        return (chosen * rng.uniform(0.5, 1.0, shape) + 0.01 * rng.random(shape)).astype(a.dtype)


def _is_array(value: Any) -> bool:
    return isinstance(value, Variable | np.ndarray)


# --- runs -----------------------------------------------------------------------------------------


def _run(model: Module, arguments: Arguments, sizes: Sizes, seed: int, names: Sequence[str] | None) -> Writer:
    """One run of the model, written down."""
    recording, rng = Writer([*arguments.arrays, *(names or USUAL)]), np.random.default_rng(seed)
    given: dict[str, Any] = {}
    for name in arguments.arrays:
        a = np.array(arguments.sample(name, sizes, rng)).view(Seen)
        given[name] = Variable(a, requires_grad=True, name=name) if a.dtype.kind == "f" else a
        recording.input(a, name)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        array = data_of(value)
        recording.parameter(name, array)
    bound = arguments.bound
    filled = {k: _filled(v, given, bound.arguments[k]) for k, v in arguments.nests.items()}
    call = inspect.BoundArguments(bound.signature, OrderedDict(filled))
    before, exporting.recorder = exporting.recorder, recording
    try:
        with (
            enable_grad(),
            instrumented(recording),
            pools_written(model, recording),
            np.errstate(all="ignore"),  # the numbers are any
        ):
            y = model(*call.args, **call.kwargs)
    finally:
        exporting.recorder = before
    outputs = [data_of(part) for part in flat(_untied(y))]
    called = list(names) if names is not None else _output_names(model, len(outputs))
    if len({*called, *arguments.arrays} - {""}) != len(outputs) + len(arguments.arrays):
        raise ValueError(
            f"to_onnx expected {len(outputs)} names, one for each output and none of"
            f" {list(arguments.arrays)}, got {called}"
        )
    recording.place = "the outputs"
    for name, output in zip(called, outputs, strict=True):
        value = np.asanyarray(output)
        recording.body.outputs.append(recording.output(recording.name_of(value), name, value))
    return recording


def _filled(nest: Any, given: dict[str, Any], plain: Any) -> Any:
    """The nest of names with the values of a run; what had no name as it was."""
    if isinstance(nest, tuple):
        return tuple([_filled(part, given, p) for part, p in zip(nest, plain, strict=True)])
    return plain if nest is None else given[nest]


def _untied(y: Any) -> Any:
    """Dicts as tuples of their values."""
    if isinstance(y, dict):
        return tuple(map(_untied, y.values()))
    return tuple(map(_untied, y)) if isinstance(y, tuple | list) else y


def _output_names(model: Module, count: int) -> list[str]:
    if count == 1:
        return ["output"]
    if isinstance(model, Layers):
        return ["output", "h_n", "c_n"][:count]
    if isinstance(model, Recurrent) and len(set(model.cell.parts)) == count - 1:
        return ["output", *[f"{part}_n" for part in model.cell.parts]]
    return ["output", *[f"output_{k}" for k in range(1, count)]]


# --- the file -------------------------------------------------------------------------------------


class File:
    """The nodes that all runs have in common, with lengths computed from the shapes of the inputs."""

    def __init__(self, arguments: Arguments, recordings: list[Writer], runs: list[Sizes]):
        unify([r.body for r in recordings])
        self.arguments, self.recordings, self.runs = arguments, recordings, runs
        self.first = recordings[0]
        self.nodes: list[Node] = []  # those that compute lengths
        self.stored: dict[str, Array] = {}
        self.lengths: dict[Any, str] = {}
        self.targets = {n.inputs[1]: n.inputs[0] for n in _every(self.first.body) if n.op == "Reshape"}
        used = _used(self.first.body)
        for name, array in self.first.parameters.items():
            if name in used:
                self.stored[name] = array
        for constants in zip(*[r.constants for r in recordings], strict=False):
            if constants[0].name in used:
                self.constant(constants)

    def constant(self, constants: Sequence[Constant]) -> None:
        """Store an array, or compute it from lengths of free axes, or raise."""
        name, arrays = constants[0].name, [c.value for c in constants]
        first = arrays[0]
        if all(a.shape == first.shape and np.array_equal(a, first, equal_nan=True) for a in arrays):
            self.stored[name] = first
        elif all(a.ndim == 1 and a.dtype == np.int64 and a.shape == first.shape for a in arrays):
            lengths = [solve([a[i] for a in arrays], self.runs) for i in range(len(first))]
            self.sizes(name, lengths, constants[0])
        elif all(a.ndim == 0 for a in arrays):
            self.number(f"{name}_length", solve(arrays, self.runs), constants[0])
            self.made("Cast", [f"{name}_length"], name, to=first.dtype)
        else:
            self.expanded(name, arrays, constants[0])

    def expanded(self, name: str, arrays: list[Array], constant: Constant) -> None:
        """An array that is the same all along the axes whose length changed."""
        first = arrays[0]
        changed = [
            i for i in range(first.ndim) if len({a.shape[i] for a in arrays if a.ndim == first.ndim}) > 1
        ]
        rows = [a[tuple([slice(1) if i in changed else slice(None) for i in range(a.ndim)])] for a in arrays]
        same = all(a.ndim == first.ndim and np.array_equal(a, np.broadcast_to(r, a.shape), equal_nan=True)
                   for a, r in zip(arrays, rows, strict=True))  # fmt: skip
        if not same or not all(np.array_equal(row, rows[0], equal_nan=True) for row in rows):
            if first.dtype.kind in "iu" and all(np.array_equal(a.ravel(), np.arange(a.size)) for a in arrays):
                self.counted(name, arrays, constant)
                return
            raise ValueError(changing(constant.place, first.shape))
        lengths = [solve([a.shape[i] for a in arrays], self.runs) for i in range(first.ndim)]
        self.stored[f"{name}_row"] = rows[0]
        self.sizes(f"{name}_shape", lengths, constant)
        self.made("Expand", [f"{name}_row", f"{name}_shape"], name)

    def counted(self, name: str, arrays: list[Array], constant: Constant) -> None:
        """0, 1, 2, ... up to a length, in any shape."""
        self.stored[f"{name}_0"], self.stored[f"{name}_1"] = np.array(0, np.int64), np.array(1, np.int64)
        self.number(f"{name}_length", solve([a.size for a in arrays], self.runs), constant)
        self.made("Range", [f"{name}_0", f"{name}_length", f"{name}_1"], f"{name}_range")
        self.made("Cast", [f"{name}_range"], f"{name}_cast", to=arrays[0].dtype)
        lengths = [solve([a.shape[i] for a in arrays], self.runs) for i in range(arrays[0].ndim)]
        self.sizes(f"{name}_shape", lengths, constant)
        self.made("Reshape", [f"{name}_cast", f"{name}_shape"], name)

    def number(self, name: str, n: Length | int | None, constant: Constant) -> None:
        """A length as a number, of no axes."""
        self.stored[f"{name}_axes"] = np.array([], np.int64)
        self.made("Reshape", [self.length(n, constant), f"{name}_axes"], name)

    def sizes(self, name: str, lengths: list[Any], constant: Constant) -> None:
        """A vector of lengths; a Reshape has its own words for those that stay, and for one that is left."""
        if name in self.targets:
            shape = self.shape_of(self.targets[name])
            short = [0 if i < len(shape) and n == shape[i] and n is not None and n != 0 else n
                     for i, n in enumerate(lengths)]  # fmt: skip
            open_ = [i for i, n in enumerate(short) if not isinstance(n, int)]
            if len(open_) <= 1:
                self.stored[name] = np.array([-1 if i in open_ else n for i, n in enumerate(short)], np.int64)
                return
        self.made("Concat", [self.length(n, constant) for n in lengths], name, axis=0)

    def length(self, n: Length | int | None, constant: Constant) -> str:
        """The name of a length, as a vector of one."""
        if n is None:
            raise ValueError(
                f"to_onnx: {constant.place} uses a number that depends on the inputs, or on the length of a"
                " free axis otherwise than by c · length + d: leave that axis out of free="
            )
        if n in self.lengths:
            return self.lengths[n]
        name = self.lengths[n] = self.first.fresh("length")
        if isinstance(n, int):
            self.stored[name] = np.array([n], np.int64)
        elif (n.c, n.d) == (1, 0) and len(n.axes) == 1:
            source, k = self.where(n.axes[0])
            self.made("Shape", [source], name, start=k, end=k + 1)
        elif n.d:
            self.made(
                "Add", [self.length(Length(n.c, n.axes, 0), constant), self.length(n.d, constant)], name
            )
        elif n.c != 1:
            self.made("Mul", [self.length(Length(1, n.axes, 0), constant), self.length(n.c, constant)], name)
        else:
            halves = [Length(1, axes, 0) for axes in (n.axes[:-1], n.axes[-1:])]
            self.made("Mul", [self.length(half, constant) for half in halves], name)
        return name

    def where(self, axis: str) -> tuple[str, int]:
        """An input that has this free axis, and at which place."""
        return next((name, free.index(axis)) for name, free in self.arguments.axes.items() if axis in free)

    def made(self, op: str, inputs: list[str], output: str, **attributes: Any) -> None:
        """Write a node that computes a length, or something from lengths."""
        self.nodes.append(Node(op, inputs, [output], attributes, "lengths of free axes"))

    def shape_of(self, name: str) -> list[Length | int | None]:
        """The shape of a value, with free lengths."""
        shapes = [r.infos[name][1] for r in self.recordings] if name in self.first.infos else [()]
        if len({len(shape) for shape in shapes}) > 1:
            return []
        return [solve(values, self.runs) for values in zip(*shapes, strict=True)]

    # -- protos

    def proto(self, title: str) -> Any:
        """The model as ONNX's own object."""
        from onnx import helper, numpy_helper

        body = self.first.body
        nodes = [*self.nodes, *_named(_alive(body), body)]
        used = {name for node in nodes for name in _inputs(node)}
        stored = [numpy_helper.from_array(np.ascontiguousarray(a).reshape(a.shape), name)
                  for name, a in self.stored.items() if name in used]  # fmt: skip
        graph = helper.make_graph(
            [self.node(k, node) for k, node in enumerate(nodes)],
            title,
            [self.value(name) for name in body.inputs],
            [self.value(name) for name in body.outputs],
            stored,
        )
        return helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="bptt",
            producer_version=autograd.__version__,
        )

    def node(self, k: int, node: Node, where: str = "") -> Any:
        from onnx import helper

        path = node.scope.replace(".", "/")
        name_of_node = "/".join([part for part in (where, path, f"{node.op}_{k}") if part])
        attributes = dict(node.attributes)
        for name, value in attributes.items():
            if isinstance(value, Body):
                steps = _named(_alive(value), value)
                inner = [self.node(i, n, name_of_node) for i, n in enumerate(steps)]
                inputs, outputs = [[self.value(n) for n in ns] for ns in (value.inputs, value.outputs)]
                attributes[name] = helper.make_graph(inner, "step", inputs, outputs)
            elif isinstance(value, np.dtype):
                attributes[name] = helper.np_dtype_to_tensor_dtype(value)
        return helper.make_node(node.op, node.inputs, node.outputs, name_of_node, **attributes)

    def value(self, name: str) -> Any:
        """The type of a value: its dtype and shape, with the names of free axes."""
        from onnx import helper

        dtype = self.first.infos[name][0]
        shape = [
            None if n is None else str(n) or None if isinstance(n, Length) else n for n in self.shape_of(name)
        ]
        return helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), shape)


def _every(body: Body) -> list[Node]:
    """All nodes, those in bodies of loops too."""
    found = []
    for node in body.nodes:
        found.append(node)
        for value in node.attributes.values():
            found += _every(value) if isinstance(value, Body) else []
    return found


def _inputs(node: Node) -> list[str]:
    """What a node reads, in its body too."""
    inner = [
        name
        for v in node.attributes.values()
        if isinstance(v, Body)
        for n in _alive(v)
        for name in _inputs(n)
    ]
    return [*node.inputs, *inner]


def _alive(body: Body) -> list[Node]:
    """The nodes that lead to an output."""
    wanted, kept = set(body.outputs), []
    for node in reversed(body.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(_inputs(node))
            kept.append(node)
    return kept[::-1]


def _named(nodes: list[Node], body: Body) -> list[Node]:
    """The same nodes, without those that only give an output of the body its name."""
    made = {name for node in nodes for name in node.outputs if node.op != "Identity"}
    inside = {name for node in nodes for name in _inputs(node) if name not in node.inputs}
    called: dict[str, str] = {}
    for node in nodes:
        if node.op == "Identity" and node.outputs[0] in body.outputs:
            source = node.inputs[0]
            if source in made - inside and source not in called:
                called[source] = node.outputs[0]
    kept = [node for node in nodes if node.op != "Identity" or called.get(node.inputs[0]) != node.outputs[0]]
    rename = [[[called.get(name, name) for name in names] for names in (n.inputs, n.outputs)] for n in kept]
    return [replace(n, inputs=i, outputs=o) for n, (i, o) in zip(kept, rename, strict=True)]


def _used(body: Body) -> set[str]:
    return {name for node in _alive(body) for name in _inputs(node)}
