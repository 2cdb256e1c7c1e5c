"""Models out of ``.keras`` files, as Keras 3 writes them: settings from JSON, weights from HDF5, no code.

Every layer is one of those known here, made from its settings, and its weights are found by the name that
Keras gives it in the file. A setting that would change the numbers and has no counterpart is an error that
names the layer. Arrays have the sizes that the settings promise before parameters of those sizes are made.
"""

import json
import os
from collections.abc import Callable, Sequence
from typing import Any

from autograd import concatenate, flip, softmax
from autograd.extend import Array, Operand

from ..cells import GRUCell, LSTMCell, RNNCell, VariationalDropout
from ..functional import activation_function
from ..io import Path_, bytes_of, members_of_keras
from ..keras import load_keras_weights
from ..layers import Dropout, Embedding, Linear, as_input
from ..module import Module
from ..recurrent import Bidirectional, Recurrent
from .hdf5 import read_hdf5

Settings = dict[str, Any]
Weights = list[Array]

NAMES = {  # of the layers that are known, as they are called in a file of weights
    "Activation": "activation", "Bidirectional": "bidirectional", "Dense": "dense", "Dropout": "dropout",
    "Embedding": "embedding", "GRU": "gru", "InputLayer": "input_layer", "LSTM": "lstm",
    "SimpleRNN": "simple_rnn",
}  # fmt: skip
ACTIVATIONS = {"linear": "identity", "swish": "silu"} | {
    name: name for name in ("elu", "gelu", "relu", "sigmoid", "silu", "softplus", "tanh")
}
FREE = {  # settings that do not change the numbers of a model that is trained
    "activity_regularizer", "batch_shape", "bias_constraint", "bias_initializer", "bias_regularizer", "dtype",
    "embeddings_constraint", "embeddings_initializer", "embeddings_regularizer", "implementation",
    "kernel_constraint", "kernel_initializer", "kernel_regularizer", "name", "recurrent_constraint",
    "recurrent_initializer", "recurrent_regularizer", "seed", "trainable", "unit_forget_bias", "unroll",
    "zero_output_for_mask",
}  # fmt: skip
SIZES = ("input_dim", "output_dim", "units")
SWITCHES = ("go_backwards", "reset_after", "return_sequences", "use_bias")
GATES = {"SimpleRNN": 1, "GRU": 3, "LSTM": 4}
MERGES: dict[str, Callable[[Any, Any], Any]] = {
    "concat": lambda a, b: concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) * 0.5,
}


def from_keras(path: Path_) -> "KerasModel":
    """A model from a ``.keras`` file of Keras 3, in its layout (B, T, ...), with the same numbers.

    Known are Embedding, SimpleRNN, GRU, LSTM, Bidirectional, Dense, Dropout and Activation, one after the
    other, in a Sequential or a Functional model. `nn.load` gives the weights of other models as arrays.

    Args:
        path: the file. Needs the package h5py.

    Raises:
        ValueError: the file is damaged, or holds a layer, or a setting of one, that is not known here.

    >>> from pathlib import Path
    >>> golden = Path(nn.__file__).parents[1] / "tests" / "golden"
    >>> nn.from_keras(golden / "keras_chain.keras")(np.array([[3, 1, 2]])).shape
    (1, 3)
    """
    data = bytes_of(path)
    try:
        members = members_of_keras(data)
        config = json.loads(members["config.json"])
        arrays = read_hdf5(members["model.weights.h5"])
        return _model(config, arrays)
    except ImportError:
        raise
    except Exception as error:  # a damaged file fails in many ways, and all mean the same
        raise ValueError(
            f"{os.fspath(path)} is damaged or no model of layers that are known here: {error}"
        ) from error


class KerasModel(Module):
    """The layers of a Keras model, one after the other; as `from_keras` makes it.

    ``layers`` is a dict of modules by Keras' names. ``eval()`` switches dropout off, as ``predict`` does.

    >>> from nn.interop.keras_files import KerasModel
    >>> model = KerasModel({"dense": nn.Linear(3, 2)})
    >>> model(np.ones((1, 3), "f")).shape
    (1, 2)
    """

    def __init__(self, layers: dict[str, Module]):
        self.layers = layers

    def forward(self, x: Operand) -> Any:
        y: Any = as_input(x, self)
        for layer in self.layers.values():
            y = layer(y)
        return y


class Dense(Linear):
    """A linear layer with an activation."""

    def __init__(self, size: tuple[int, int], bias: bool, activation: Callable[[Any], Any], dtype: Any):
        super().__init__(*size, bias, dtype)
        self.activation = activation

    def forward(self, x: Operand) -> Any:
        return self.activation(super().forward(x))


class Activation(Module):
    """An activation by itself."""

    def __init__(self, activation: Callable[[Any], Any]):
        self.activation = activation

    def forward(self, x: Operand) -> Any:
        return self.activation(x)


class OneWay(Module):
    """A recurrent layer as Keras has it: the outputs in the order of the loop, or the last of them."""

    def __init__(self, layer: Recurrent, sequences: bool):
        self.layer, self.sequences = layer, sequences

    def forward(self, x: Operand) -> Any:
        y, _ = self.layer(x)
        y = flip(y, 1) if self.layer.reverse else y
        return y if self.sequences else y[:, -1]


class BothWays(Module):
    """A bidirectional layer as Keras has it: outputs at their time, or the last of each direction."""

    def __init__(self, layer: Bidirectional, sequences: bool, merge: str):
        self.layer, self.sequences, self.merge = layer, sequences, merge

    def forward(self, x: Operand) -> Any:
        (ahead, back), _ = self.layer(x)
        return MERGES[self.merge](*((ahead, back) if self.sequences else (ahead[:, -1], back[:, 0])))


# --- from settings to layers ----------------------------------------------------------------------


def _model(config: Settings, arrays: dict[str, Array]) -> KerasModel:
    layers: dict[str, Module] = {}
    count: dict[str, int] = {}
    left = {path for path in arrays if not path.startswith("optimizer/")}
    for entry in _chain(config):
        kind, settings = entry["class_name"], entry["config"]
        name = settings.get("name", kind)
        place = f"layer {name!r} ({kind})"
        if kind not in NAMES or entry.get("registered_name") or not isinstance(name, str):
            raise ValueError(f"{place} is of a kind that is not known: expected {', '.join(NAMES)}")
        at = NAMES[kind] + (f"_{count[kind]}" if count.get(kind) else "")  # the second lstm is lstm_1
        count[kind] = count.get(kind, 0) + 1
        own = [path for path in arrays if path.startswith(f"layers/{at}/")]
        left -= set(own)
        made = _layer(place, kind, settings, [arrays[path] for path in own])
        if name in layers:
            raise ValueError(f"{place} has the name of another layer")
        if made is not None:
            layers[name] = made
    if left:
        raise ValueError(f"there are weights which no layer has: {', '.join(sorted(left))}")
    return KerasModel(layers).eval()


def _chain(config: Settings) -> list[Settings]:
    """The layers of a model in which each follows the one before."""
    if config["class_name"] not in ("Sequential", "Functional"):
        raise ValueError(f"expected a Sequential or a Functional model, got {config['class_name']}")
    layers: list[Settings] = config["config"]["layers"]
    if config["class_name"] == "Functional":
        before = None
        for entry in layers:
            nodes = entry["inbound_nodes"]
            tensors = [arg["config"]["keras_history"][0] for node in nodes for arg in node["args"]]
            if tensors != ([] if before is None else [before]) or any(
                node["kwargs"].get("mask") for node in nodes
            ):
                raise ValueError(f"layer {entry['name']!r} does not follow the one before it alone")
            before = entry["name"]
    return layers


def _layer(place: str, kind: str, settings: Settings, weights: Weights) -> Module | None:
    """The layer of a kind, with its weights; None for an input."""
    if kind in GATES:
        return OneWay(_recurrent(place, kind, settings, weights), settings["return_sequences"])
    if kind == "Bidirectional":
        return _both_ways(place, settings, weights)
    if kind == "Embedding":
        _check(place, settings, "input_dim", "output_dim")
        _expect(place, weights, [(settings["input_dim"], settings["output_dim"])])
        rows, columns = weights[0].shape
        embedding = Embedding(rows, columns, dtype=weights[0].dtype)
        embedding.load_state_dict({"weight": weights[0]})
        return embedding
    if kind == "Dense":
        _check(place, settings, "units", "activation", "use_bias")
        inputs, units, bias = len(weights[0]), settings["units"], settings["use_bias"]
        _expect(place, weights, [(inputs, units), *[(units,)] * bias])
        dense = Dense((inputs, units), bias, _activation(place, settings["activation"]), weights[0].dtype)
        dense.load_state_dict({"weight": weights[0].T} | ({"bias": weights[1]} if bias else {}))
        return dense
    _expect(place, weights, [])
    if kind == "Dropout":
        _check(place, settings, "rate")
        return Dropout(settings["rate"])
    if kind == "Activation":
        _check(place, settings, "activation")
        return Activation(_activation(place, settings["activation"]))
    _check(place, settings)
    return None


def _recurrent(place: str, kind: str, settings: Settings, weights: Weights) -> Recurrent:
    """A recurrent layer of Keras with its weights, and with outputs at their time."""
    _check(place, settings, "units", "activation", "recurrent_activation", "use_bias", "reset_after",
           "dropout", "recurrent_dropout", "return_sequences", "go_backwards")  # fmt: skip
    H, rows, inputs, bias = (
        settings["units"],
        GATES[kind] * settings["units"],
        len(weights[0]),
        settings["use_bias"],
    )
    after = settings.get("reset_after", False)
    _expect(place, weights, [(inputs, rows), (H, rows), *[(2, rows) if after else (rows,)] * bias])
    activation, dtype = _activation(place, settings["activation"]), weights[0].dtype
    if kind == "SimpleRNN":
        cell: Any = RNNCell(inputs, H, bias, activation, dtype)
    else:
        gate = _activation(place, settings["recurrent_activation"])
        options: Any = {"activation": activation, "recurrent_activation": gate}
        options |= (
            {"output_activation": activation} if kind == "LSTM" else {"reset": "after" if after else "before"}
        )
        cell = (LSTMCell if kind == "LSTM" else GRUCell)(inputs, H, bias, dtype=dtype, **options)
    load_keras_weights(cell, weights)
    masks = settings["dropout"], settings["recurrent_dropout"]
    return Recurrent(VariationalDropout(cell, *masks) if any(masks) else cell, settings["go_backwards"], True)


def _both_ways(place: str, settings: Settings, weights: Weights) -> BothWays:
    _check(place, settings, "layer", "backward_layer", "merge_mode")
    if settings["merge_mode"] not in MERGES:
        raise ValueError(f"{place} expected merge_mode {', '.join(MERGES)}, got {settings['merge_mode']!r}")
    half = len(weights) // 2
    parts: list[Any] = []
    for entry, own in ((settings["layer"], weights[:half]), (settings["backward_layer"], weights[half:])):
        if entry["class_name"] not in GATES or entry.get("registered_name"):
            raise ValueError(f"{place} is over {entry['class_name']}: expected {', '.join(GATES)}")
        parts.append(_recurrent(place, entry["class_name"], entry["config"], own))
    sequences = settings["layer"]["config"]["return_sequences"]
    if settings["backward_layer"]["config"]["return_sequences"] != sequences:
        raise ValueError(f"{place} returns the sequence in one direction alone")
    return BothWays(Bidirectional(parts[0], parts[1], merge=None), sequences, settings["merge_mode"])


def _check(place: str, settings: Settings, *used: str) -> None:
    """Raise for a setting that is neither used nor free nor off, or is of a wrong type."""
    for name, value in settings.items():
        if name in used:
            wanted = int if name in SIZES else bool if name in SWITCHES else type(value)
            if type(value) is not wanted or (wanted is int and value < 1):
                raise ValueError(f"{place} has {name}={value!r}")
        elif name == "dtype" and "mixed" in json.dumps(value):
            raise ValueError(f"{place} computes in mixed precision, {value!r}")
        elif name not in FREE and value not in (None, False):
            raise ValueError(f"{place} has the setting {name}={value!r}, which is not known here")


def _expect(place: str, weights: Weights, shapes: Sequence[tuple[int, ...]]) -> None:
    """Raise unless the weights have these shapes and one floating-point type."""
    got = [w.shape for w in weights]
    if (
        got != list(shapes)
        or len({w.dtype for w in weights}) > 1
        or any(w.dtype.kind != "f" for w in weights)
    ):
        raise ValueError(f"{place} expected weights of shapes {list(shapes)}, got {got}")


def _activation(place: str, name: Any) -> Callable[[Any], Any]:
    if name == "softmax":
        return softmax
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(
            f"{place} expected an activation out of softmax, {', '.join(ACTIVATIONS)}, got {name!r}"
        )
    return activation_function(place, ACTIVATIONS[name])
