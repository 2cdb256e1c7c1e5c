"""Models from ONNX files: weights into modules of this library, and what surrounds them as its operations.

LSTM, GRU and RNN become `Recurrent` layers of the cells, a Gather from a table `Embedding`, a product with a
matrix `Linear`; the nodes of `nodes` compute the rest. A file is checked as it is read: an array has the
bytes that its shape needs, and nothing lies in other files. What is not known is named with its place.
"""

import math
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from autograd import Parameter, Variable, stack, swapaxes
from autograd.extend import Array, Operand, as_array, to_host

from ..cells import GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from ..functional import Activation, activation_function
from ..io import bytes_of
from ..layers import Embedding, Linear
from ..module import Module
from ..recurrent import Recurrent
from .nodes import NODES, ONE_OUTPUT, SETTINGS, Attributes, cast

DTYPES = {1: "<f4", 2: "u1", 3: "i1", 4: "<u2", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8",
          12: "<u4", 13: "<u8", 16: "<u2"}  # fmt: skip
FIELDS = {1: "float_data", 11: "double_data", 7: "int64_data", 12: "uint64_data", 13: "uint64_data"}
OLDEST = 13  # the opset from which on axes are inputs, and a softmax has one axis

GATES = {"LSTM": ("i", "o", "f", "g"), "GRU": ("z", "r", "n"), "RNN": ("h",)}
ACTIVATIONS = {"Tanh": "tanh", "Sigmoid": "sigmoid", "Relu": "relu", "Softplus": "softplus"}


def from_onnx(model: Any) -> "OnnxModel":
    """A model from an ONNX file, or from an ``onnx.ModelProto``, with the same inputs and outputs.

    Known are LSTM, GRU and RNN with everything but ``clip``, ``input_forget`` and unusual activations, and
    what surrounds them in language models: Gather, MatMul, Gemm, Softmax, elementwise functions, reductions,
    shapes, LayerNormalization. Weights of floating-point type become Parameters.

    Args:
        model: a path, or the model itself. Needs the package onnx.

    Raises:
        ValueError: the file is damaged, its arrays lie in other files or have other sizes than they should,
            or it has an operator, a setting or an opset that is not known here.

    >>> from pathlib import Path
    >>> golden = Path(nn.__file__).parents[1] / "tests" / "golden"
    >>> model = nn.from_onnx(golden / "torch_lstm_lm.onnx")
    >>> model.inputs, model(np.array([[1, 2, 3]])).shape
    (['x'], (1, 3, 11))
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError("from_onnx needs the package onnx: pip install 'bptt[interop]'") from error
    who = "from_onnx"
    try:
        if not isinstance(model, onnx.ModelProto):
            who = os.fspath(model)
            model = onnx.load_model_from_string(bytes_of(model))
        return OnnxModel(*_read(model))
    except OSError:
        raise
    except Exception as error:  # a damaged file fails in many ways, and all mean the same
        raise ValueError(f"{who} is damaged or no model that is known here: {error}") from error


class Step:
    """A node: a function of its inputs, or with the module of this name a function of module and inputs."""

    def __init__(
        self, place: str, compute: Callable[..., Any], inputs: list[str], outputs: list[str], layer: str = ""
    ):
        self.place, self.compute, self.inputs, self.outputs = place, compute, inputs, outputs
        self.layer = layer  # a copy of the model has modules of its own under the same names


class OnnxModel(Module):
    """A model that `from_onnx` read. Call it with an array per input, in order; several outputs are a tuple.

    Attributes:
        layers: the modules by the names of their nodes. weights: Parameters by the names of other arrays.
        inputs, outputs: names, in order.
    """

    def __init__(
        self,
        layers: dict[str, Module],
        weights: dict[str, Any],
        constants: dict[str, Array],
        steps: list[Step],
        inputs: list[str],
        outputs: list[str],
    ):
        self.layers, self.weights = layers, weights
        self.constants, self.steps = constants, steps
        self.inputs, self.outputs = inputs, outputs

    def forward(self, *inputs: Operand) -> Any:
        if len(inputs) != len(self.inputs):
            raise ValueError(f"OnnxModel expected inputs {', '.join(self.inputs)}, got {len(inputs)}")
        arrays = [x if isinstance(x, Variable) else as_array(x) for x in inputs]
        values: dict[str, Any] = {
            **self.constants,
            **self.weights,
            **dict(zip(self.inputs, arrays, strict=True)),
        }
        for step in self.steps:
            try:
                xs = [values[name] if name else None for name in step.inputs]
                ys = step.compute(self.layers[step.layer], xs) if step.layer else step.compute(xs)
            except Exception as error:
                error.add_note(f"in {step.place} of an ONNX model")
                raise
            values.update(zip(step.outputs, ys if isinstance(ys, tuple) else (ys,), strict=False))
        ys = tuple([values[name] for name in self.outputs])
        return ys if len(ys) > 1 else ys[0]

    def extra_repr(self) -> str:
        return f"{', '.join(self.inputs)} -> {', '.join(self.outputs)}"


class OnnxRecurrent(Module):
    """One operator LSTM, GRU or RNN: a layer per direction. Its inputs are X, lengths, and initial states."""

    def __init__(self, directions: list[Recurrent], batch_first: bool):
        self.directions, self.batch_first = directions, batch_first

    def forward(self, x: Any, lengths: Any, states: list[Any]) -> tuple[Any, ...]:
        if self.batch_first:
            x, states = swapaxes(x, 0, 1), [None if s is None else swapaxes(s, 0, 1) for s in states]
        ys, lasts = [], []
        for d, layer in enumerate(self.directions):
            given = [None if s is None else s[d] for s in states]
            if any(s is not None for s in given):  # those that are left out are zeros
                zeros = layer.cell.initial_state(x)
                state: Any = tuple([z if s is None else s for s, z in zip(given, zeros, strict=True)])
            else:
                state = None
            y, last = layer(x, state, lengths)
            ys.append(y)
            lasts.append(last)
        y, parts = stack(ys, 1), [stack(list(part), 0) for part in zip(*lasts, strict=True)]
        if self.batch_first:  # (B, T, directions, H) and (B, directions, H)
            return (y.transpose((2, 0, 1, 3)), *[swapaxes(part, 0, 1) for part in parts])
        return (y, *parts)


# --- arrays ---------------------------------------------------------------------------------------


def array_of(tensor: Any, place: str) -> Array:
    """The array of a TensorProto whose bytes are those that its shape needs."""
    if tensor.data_location or tensor.external_data:
        raise ValueError(f"{place} lies in another file: save the model in one file")
    if tensor.data_type not in DTYPES:
        raise ValueError(f"{place} is of type {tensor.data_type}, which is not known here")
    shape, dtype = tuple(tensor.dims), np.dtype(DTYPES[tensor.data_type])
    size = math.prod(shape)
    if min(shape, default=0) < 0:
        raise ValueError(f"{place} has the shape {shape}")
    if tensor.HasField("raw_data"):
        found = len(tensor.raw_data)
        if found == size * dtype.itemsize:
            array = np.frombuffer(tensor.raw_data, dtype).reshape(shape).astype(dtype.newbyteorder("="))
    else:
        field = getattr(tensor, FIELDS.get(tensor.data_type, "int32_data"))
        found = len(field) * dtype.itemsize
        if len(field) == size:
            if tensor.data_type in (10, 16):  # their bits, as integers
                array = (
                    np.array(field, np.uint16).view("<f2" if tensor.data_type == 10 else "<u2").reshape(shape)
                )
            else:
                array = np.array(field, dtype.newbyteorder("=")).reshape(shape)
    if found != size * dtype.itemsize:
        raise ValueError(f"{place} of shape {shape} has {found:,} bytes, not {size * dtype.itemsize:,}")
    if tensor.data_type == 16:  # bfloat16: the upper half of a float32
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array


def _attributes(node: Any, place: str) -> Attributes:
    """The settings of a node by name; graphs in them are not known."""
    found: Attributes = {}
    for a in node.attribute:
        kinds = {1: "f", 2: "i", 3: "s", 6: "floats", 7: "ints", 8: "strings"}
        if a.type == 4:
            found[a.name] = array_of(a.t, f"{place}, {a.name},")
        elif a.type in kinds:
            value = getattr(a, kinds[a.type])
            found[a.name] = list(value) if a.type > 5 else value
        else:
            raise ValueError(f"{place} has {a.name}, a setting of a kind that is not known here")
    return found


# --- the graph ------------------------------------------------------------------------------------


class Reader:
    """What has been read of a graph so far."""

    def __init__(self, arrays: dict[str, Array]):
        self.arrays = arrays  # of the file, and of nodes that are constants
        self.layers: dict[str, Module] = {}
        self.made: dict[tuple[str, ...], str] = {}  # a table that is read twice is one module

    def taken(self, name: str) -> Array | None:
        """The array of that name, None where it is left out or computed."""
        return self.arrays.get(name) if name else None


def _read(model: Any) -> tuple[Any, ...]:
    graph = model.graph
    if model.functions or graph.sparse_initializer:
        raise ValueError("it has functions of its own or sparse arrays, which are not known here")
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version < OLDEST:
            raise ValueError(
                f"it is of opset {opset.version}: export it with opset_version={OLDEST} or later"
            )
    arrays: dict[str, Array] = {}
    for tensor in graph.initializer:
        if tensor.name in arrays or not tensor.name:
            raise ValueError(f"it has two arrays {tensor.name!r}, or one without a name")
        arrays[tensor.name] = array_of(tensor, f"array {tensor.name!r}")
    inputs = [x.name for x in graph.input if x.name not in arrays]
    outputs = [y.name for y in graph.output]
    reader, steps, known = Reader(arrays), [], {"", *arrays, *inputs}
    for node in graph.node:
        place = f"node {node.name or ', '.join(node.output)!r} ({node.op_type})"
        if node.domain not in ("", "ai.onnx"):
            raise ValueError(f"{place} is of {node.domain}, which is not known here")
        if missing := [name for name in node.input if name not in known]:
            raise ValueError(f"{place} uses {missing[0]!r}, which nothing before it gives")
        if again := [name for name in node.output if name in known and name]:
            raise ValueError(f"{place} gives {again[0]!r}, which is there already")
        known.update(node.output[:1] if node.op_type in ONE_OUTPUT else node.output)
        attributes = _attributes(node, place)
        if node.op_type == "Constant":
            arrays[node.output[0]] = _constant(attributes, place)
        else:
            steps.append(_step(node, attributes, place, reader))
    if missing := [name for name in outputs if name not in known]:
        raise ValueError(f"its output {missing[0]!r} is computed by no node")
    used = {name for step in steps for name in step.inputs} | set(outputs)
    stored = {tensor.name for tensor in graph.initializer}
    left = {name: array for name, array in arrays.items() if name in used}
    trained = {
        name for name, array in left.items() if array.dtype.kind == "f" and array.ndim and name in stored
    }
    weights = {name: Parameter(array, name=name) for name, array in left.items() if name in trained}
    constants = {name: array for name, array in left.items() if name not in trained}
    return reader.layers, weights, constants, steps, inputs, outputs


def _constant(attributes: Mapping[str, Any], place: str) -> Array:
    for name, dtype in (("value", None), ("value_float", np.float32), ("value_int", np.int64),
                        ("value_floats", np.float32), ("value_ints", np.int64)):  # fmt: skip
        if name in attributes:
            array: Array = np.asarray(attributes[name], dtype)
            return array
    raise ValueError(f"{place} has no value that is known here")


def _step(node: Any, attributes: Attributes, place: str, reader: Reader) -> Step:
    """A node as a step; its weights in a module where it has some."""
    kind, inputs, outputs = node.op_type, list(node.input), list(node.output)
    given = next((y for y in outputs if y), "")  # of one node alone, which names of nodes need not be
    name = node.name if node.name and node.name not in reader.layers else given
    for setting in attributes if kind not in GATES else ():
        if setting not in SETTINGS.get(kind, "").split() and kind in SETTINGS.keys() | NODES.keys():
            raise ValueError(f"{place} has the setting {setting}, which is not known here")
    if kind in GATES:
        reader.layers[name] = _recurrent(kind, inputs, attributes, place, reader)
        return Step(place, _run, [inputs[0], *_rest(inputs, (4, 5, 6))], outputs, name)
    if (made := _with_weights(kind, inputs, attributes, name, reader)) is not None:
        layer, x = made
        return Step(place, lambda module, xs: module(xs[0]), [x], outputs, layer)
    if kind == "Cast":
        if attributes["to"] not in DTYPES or attributes["to"] == 16:
            raise ValueError(f"{place} is to type {attributes['to']}, which is not known here")
        dtype = np.dtype(DTYPES[attributes["to"]]).newbyteorder("=")
        return Step(place, lambda xs: cast(xs[0], dtype), inputs, outputs)
    if kind == "Gemm":
        return Step(place, lambda xs: _gemm(xs, attributes), inputs, outputs)
    if kind not in NODES:
        raise ValueError(f"{place} is an operator that is not known here")
    if kind == "Split":
        attributes = {**attributes, "outputs": len(outputs)}
    compute = NODES[kind]
    return Step(place, lambda xs: compute(xs, attributes), inputs, outputs)


def _rest(inputs: list[str], places: tuple[int, ...]) -> list[str]:
    return [inputs[k] if k < len(inputs) else "" for k in places]


def _gemm(xs: list[Any], a: Attributes) -> Any:
    left = xs[0].T if a.get("transA", 0) else xs[0]
    right = xs[1].T if a.get("transB", 0) else xs[1]
    y = left @ right
    y = y if a.get("alpha", 1.0) == 1.0 else y * a["alpha"]
    if len(xs) < 3 or xs[2] is None:
        return y
    return y + (xs[2] if a.get("beta", 1.0) == 1.0 else xs[2] * a["beta"])


def _with_weights(
    kind: str, inputs: list[str], a: Attributes, name: str, reader: Reader
) -> tuple[str, str] | None:
    """The name of the module that a node is, a table or a product with a matrix, and its input."""
    if kind == "Gather":
        table = reader.taken(inputs[0])
        if table is None or table.dtype.kind != "f" or table.ndim != 2 or a.get("axis", 0):
            return None
        if reader.taken(inputs[1]) is not None:
            return None
        key: tuple[str, ...] = (kind, inputs[0])
        if key not in reader.made:
            rows, columns = table.shape
            reader.made[key], reader.layers[name] = name, Embedding(rows, columns, dtype=table.dtype)
            reader.layers[name].load_state_dict({"weight": table})
        return reader.made[key], inputs[1]
    if kind not in ("MatMul", "Gemm") or reader.taken(inputs[0]) is not None:
        return None
    matrix, bias = reader.taken(inputs[1]), reader.taken(inputs[2]) if len(inputs) > 2 else None
    if matrix is None or matrix.dtype.kind != "f" or matrix.ndim != 2:
        return None
    if kind == "Gemm":
        plain = a.get("alpha", 1.0) == 1.0 and a.get("beta", 1.0) == 1.0 and not a.get("transA", 0)
        if not plain or (len(inputs) > 2 and (bias is None or bias.ndim != 1)):
            return None
        matrix = matrix if a.get("transB", 0) else matrix.T
    else:
        matrix = matrix.T
    key = (kind, *inputs[1:], str(a.get("transB", 0)))
    if key not in reader.made:
        rows, columns = matrix.shape
        state = {"weight": matrix} | ({} if bias is None else {"bias": bias})
        linear = Linear(columns, rows, bias is not None, matrix.dtype)
        linear.load_state_dict(state)
        reader.made[key], reader.layers[name] = name, linear
    return reader.made[key], inputs[0]


# --- recurrent operators --------------------------------------------------------------------------


def _run(layer: OnnxRecurrent, xs: list[Any]) -> Any:
    x, lengths, *states = xs
    parts = len(layer.directions[0].cell.parts)
    return layer(x, None if lengths is None else to_host(as_array(lengths)), states[:parts])


def _recurrent(kind: str, inputs: list[str], a: Attributes, place: str, reader: Reader) -> OnnxRecurrent:
    """The layers of an operator, one for each direction, with its weights."""
    W, R, B, P = (reader.taken(name) for name in _rest(inputs, (1, 2, 3, 7)))
    if (
        W is None
        or R is None
        or (B is None and len(inputs) > 3 and inputs[3])
        or (P is None and len(inputs) > 7 and inputs[7])
    ):
        raise ValueError(f"{place} has weights that the graph computes: expected arrays of the file")
    known = {"activations", "direction", "hidden_size", "layout", "linear_before_reset"}
    for name, value in a.items():
        if name not in known and not (name == "input_forget" and value == 0):
            raise ValueError(f"{place} has the setting {name}={value!r}, which is not known here")
    direction = a.get("direction", b"forward").decode()
    ways = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}
    if direction not in ways:
        raise ValueError(f"{place} has direction={direction!r}")
    D, H, G = len(ways[direction]), R.shape[-1] if R.ndim else 0, len(GATES[kind])
    shapes = [(D, G * H, W.shape[-1] if W.ndim else 0), (D, G * H, H), (D, 2 * G * H), (D, 3 * H)]
    for array, shape in zip((W, R, B, P), shapes, strict=True):
        if array is not None and (array.shape != shape or array.dtype != W.dtype or array.dtype.kind != "f"):
            raise ValueError(f"{place} expected weights of shape {shape}, got {array.shape} {array.dtype}")
    if not H or a.get("hidden_size", H) != H:
        raise ValueError(f"{place} has hidden_size={a.get('hidden_size')!r} and weights for {H}")
    names = [x.decode() for x in a.get("activations", [])]
    usual = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"], "RNN": ["Tanh"]}[kind]
    names = names or usual * D
    if len(names) != len(usual) * D or not set(names) <= set(ACTIVATIONS):
        raise ValueError(f"{place} expected activations out of {', '.join(ACTIVATIONS)}, got {names}")
    layers = []
    for d, reverse in enumerate(ways[direction]):
        functions = [
            activation_function(place, ACTIVATIONS[n]) for n in names[d * len(usual) :][: len(usual)]
        ]
        cell = _cell(kind, W.shape[-1], H, B is not None, P is not None, functions, a, W.dtype)
        cell.load_state_dict(_state(kind, cell.gates, [None if x is None else x[d] for x in (W, R, B, P)]))
        layers.append(Recurrent(cell, reverse))
    return OnnxRecurrent(layers, bool(a.get("layout", 0)))


def _cell(
    kind: str,
    size: int,
    H: int,
    bias: bool,
    peep: bool,
    functions: list[Activation],
    a: Attributes,
    dtype: Any,
) -> Any:
    if kind == "RNN":
        return RNNCell(size, H, bias, functions[0], dtype)
    options: Any = {"recurrent_activation": functions[0], "activation": functions[1], "dtype": dtype}
    if kind == "GRU":
        reset = "after" if a.get("linear_before_reset", 0) else "before"
        return GRUCell(size, H, bias, reset=reset, **options)
    return (PeepholeLSTMCell if peep else LSTMCell)(size, H, bias, output_activation=functions[2], **options)


def _state(kind: str, gates: tuple[str, ...], arrays: list[Array | None]) -> dict[str, Array]:
    """A cell's state dict from W, R, B and P of one direction, with rows in the order of its gates."""
    W, R, B, P = arrays
    assert W is not None and R is not None
    H = R.shape[-1]

    def moved(rows: Array) -> Array:
        return np.concatenate([rows[(k := GATES[kind].index(gate)) * H : (k + 1) * H] for gate in gates])

    state = {"weight_ih": moved(W), "weight_hh": moved(R)}
    if B is not None:
        half = len(gates) * H
        state |= {"bias_ih": moved(B[:half]), "bias_hh": moved(B[half:])}
    if P is not None:
        state |= {f"weight_c{gate}": P[k * H : (k + 1) * H] for k, gate in enumerate("iof")}
    return state
