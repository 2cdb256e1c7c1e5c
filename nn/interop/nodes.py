"""What the nodes of an ONNX graph compute, by operations of this library; `reading` has those with weights.

A function gets the inputs of a node (Variables or arrays; None where one is left out) and its attributes, and
gives one value, or a tuple of them. Names and defaults are those of opset 13 and later.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

import autograd as ag
from autograd import Variable
from autograd.extend import Array, as_array, to_host

MOST = 2**26  # numbers that a node may make out of a shape alone

Attributes = dict[str, Any]
NODES: dict[str, Callable[[list[Any], Attributes], Any]] = {}


SETTINGS = {  # the attributes that an operator may have; others would change the numbers unnoticed
    "ArgMax": "axis keepdims", "Cast": "to saturate", "Concat": "axis", "ConstantOfShape": "value",
    "Dropout": "seed", "Elu": "alpha", "Flatten": "axis", "Gather": "axis", "GatherElements": "axis",
    "Gelu": "approximate", "Gemm": "alpha beta transA transB",
    "LayerNormalization": "axis epsilon stash_type",
    "LeakyRelu": "alpha", "LogSoftmax": "axis", "Reshape": "allowzero", "Shape": "start end",
    "Softmax": "axis", "Split": "axis num_outputs", "Transpose": "perm",
}  # fmt: skip
ONE_OUTPUT = ("Dropout", "LayerNormalization")  # of which the others are not computed here


def simple(name: str, f: Callable[..., Any]) -> None:
    """Know an operator without attributes."""
    NODES[name] = lambda xs, a: f(*xs)


def node(f: Callable[..., Any]) -> Callable[..., Any]:
    """Know an operator by the name of its function."""
    NODES[f.__name__] = f
    return f


for _name, _f in dict[str, Any]({
    "Abs": ag.absolute, "Add": ag.add, "Ceil": ag.ceil, "Cos": ag.cos, "Erf": ag.erf,
    "Exp": ag.exp, "Floor": ag.floor, "Log": ag.log, "MatMul": ag.matmul, "Mul": ag.multiply,
    "Neg": ag.negative, "Reciprocal": ag.reciprocal, "Relu": ag.relu, "Round": ag.round,
    "Sigmoid": ag.sigmoid, "Sign": ag.sign, "Sin": ag.sin, "Softplus": ag.softplus, "Sqrt": ag.sqrt,
    "Sub": ag.subtract, "Tanh": ag.tanh, "Where": ag.where, "Identity": lambda x: x,
    "Equal": np.equal, "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "Less": np.less,
    "LessOrEqual": np.less_equal, "And": np.logical_and, "Or": np.logical_or, "Not": np.logical_not,
    "Size": lambda x: np.array(x.size, np.int64),
}).items():  # fmt: skip
    simple(_name, _f)


def integers(x: Any) -> list[int]:
    """The numbers of a shape, of axes or of indices."""
    return [int(n) for n in np.atleast_1d(to_host(as_array(x)))]


def axes(xs: list[Any], a: Attributes) -> tuple[int, ...] | None:
    """The axes of a reduction: its second input, or an attribute of older opsets; None for all."""
    given = xs[1] if len(xs) > 1 and xs[1] is not None else a.get("axes")
    found = () if given is None else tuple(integers(given))
    return found or None


@node
def Div(xs: list[Any], a: Attributes) -> Any:
    y, dtype = ag.divide(*xs), xs[0].dtype
    return y if dtype.kind == "f" else y.astype(dtype)  # of integers it rounds towards zero


@node
def Pow(xs: list[Any], a: Attributes) -> Any:
    return cast(ag.power(*xs), xs[0].dtype)


@node
def Softmax(xs: list[Any], a: Attributes) -> Any:
    return ag.softmax(xs[0], a.get("axis", -1))


@node
def LogSoftmax(xs: list[Any], a: Attributes) -> Any:
    return ag.log_softmax(xs[0], a.get("axis", -1))


@node
def LeakyRelu(xs: list[Any], a: Attributes) -> Any:
    return ag.leaky_relu(xs[0], a.get("alpha", 0.01))


@node
def Elu(xs: list[Any], a: Attributes) -> Any:
    return ag.elu(xs[0], a.get("alpha", 1.0))


@node
def Gelu(xs: list[Any], a: Attributes) -> Any:
    return ag.gelu(xs[0], a.get("approximate", b"none").decode())


@node
def Clip(xs: list[Any], a: Attributes) -> Any:
    lowest, highest = [*xs[1:], None, None][:2]
    return ag.clip(xs[0], lowest, highest)


@node
def Max(xs: list[Any], a: Attributes) -> Any:
    return functools.reduce(ag.maximum, xs)


@node
def Min(xs: list[Any], a: Attributes) -> Any:
    return functools.reduce(ag.minimum, xs)


@node
def Sum(xs: list[Any], a: Attributes) -> Any:
    return functools.reduce(ag.add, xs)


def reduction(name: str, f: Callable[..., Any]) -> None:
    """Know a reduction."""

    def reduce(xs: list[Any], a: Attributes) -> Any:
        along = axes(xs, a)
        if along is None and a.get("noop_with_empty_axes", 0):
            return xs[0]
        return f(xs[0], along, keepdims=bool(a.get("keepdims", 1)))

    NODES[name] = reduce


for _name, _f in {
    "ReduceMax": ag.ops.max, "ReduceMean": ag.mean, "ReduceMin": ag.ops.min, "ReduceProd": ag.prod,
    "ReduceSum": ag.ops.sum, "ReduceLogSumExp": ag.logsumexp,
}.items():  # fmt: skip
    reduction(_name, _f)
    SETTINGS[_name] = "axes keepdims noop_with_empty_axes"


@node
def Gather(xs: list[Any], a: Attributes) -> Any:
    return ag.take(xs[0], as_array(xs[1]), a.get("axis", 0))


@node
def GatherElements(xs: list[Any], a: Attributes) -> Any:
    x, index, axis = xs[0], as_array(xs[1]), a.get("axis", 0) % xs[0].ndim
    grid = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    return x[(*grid[:axis], index, *grid[axis + 1 :])]


@node
def ArgMax(xs: list[Any], a: Attributes) -> Any:
    axis = a.get("axis", 0)
    y = np.argmax(as_array(xs[0]), axis).astype(np.int64)
    return np.expand_dims(y, axis) if a.get("keepdims", 1) else y


@node
def Transpose(xs: list[Any], a: Attributes) -> Any:
    return ag.transpose(xs[0], a.get("perm"))


@node
def Reshape(xs: list[Any], a: Attributes) -> Any:
    shape = integers(xs[1])
    if not a.get("allowzero", 0):
        shape = [xs[0].shape[i] if n == 0 else n for i, n in enumerate(shape)]
    return ag.reshape(xs[0], shape)


@node
def Flatten(xs: list[Any], a: Attributes) -> Any:
    shape = xs[0].shape
    at = a.get("axis", 1)
    return ag.reshape(xs[0], (math.prod(shape[:at]), math.prod(shape[at:])))


@node
def Squeeze(xs: list[Any], a: Attributes) -> Any:
    return ag.squeeze(xs[0], tuple(integers(xs[1])) if len(xs) > 1 else None)


@node
def Unsqueeze(xs: list[Any], a: Attributes) -> Any:
    return ag.expand_dims(xs[0], tuple(integers(xs[1])))


@node
def Concat(xs: list[Any], a: Attributes) -> Any:
    return ag.concatenate(xs, a["axis"])


@node
def Split(xs: list[Any], a: Attributes) -> Any:
    axis = a.get("axis", 0)
    if len(xs) > 1 and xs[1] is not None:
        return tuple(ag.split(xs[0], np.cumsum(integers(xs[1]))[:-1].tolist(), axis))
    size = -(-xs[0].shape[axis] // a["outputs"])
    return tuple(ag.split(xs[0], [size * k for k in range(1, a["outputs"])], axis))


@node
def Slice(xs: list[Any], a: Attributes) -> Any:
    x, starts, ends = xs[0], integers(xs[1]), integers(xs[2])
    along = integers(xs[3]) if len(xs) > 3 and xs[3] is not None else list(range(len(starts)))
    steps = integers(xs[4]) if len(xs) > 4 else [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, along, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


@node
def Shape(xs: list[Any], a: Attributes) -> Any:
    return np.array(xs[0].shape[a.get("start", 0) : a.get("end")], np.int64)


@node
def ConstantOfShape(xs: list[Any], a: Attributes) -> Any:
    value = a.get("value", np.zeros(1, np.float32))
    return np.full(affordable(integers(xs[0])), value[0], value.dtype)


@node
def Expand(xs: list[Any], a: Attributes) -> Any:
    return ag.broadcast_to(xs[0], affordable(np.broadcast_shapes(xs[0].shape, tuple(integers(xs[1])))))


@node
def Range(xs: list[Any], a: Attributes) -> Any:
    start, limit, step = [as_array(x).item() for x in xs]
    count = max(0, math.ceil((limit - start) / step))
    return (start + np.arange(*affordable([count])) * step).astype(xs[0].dtype)


def affordable(shape: Any) -> Any:
    """A shape that a node names, if an array of it may be made."""
    if math.prod(shape) > MOST:
        raise ValueError(f"it makes an array of shape {tuple(shape)}, more than {MOST:,} numbers")
    return shape


@node
def Dropout(xs: list[Any], a: Attributes) -> Any:
    if len(xs) > 2 and xs[2] is not None and bool(as_array(xs[2])):
        raise ValueError("it drops numbers, as in training: export the model in evaluation")
    return xs[0]


@node
def LayerNormalization(xs: list[Any], a: Attributes) -> Any:
    x, axis = xs[0], a.get("axis", -1)
    along = tuple(range(axis % x.ndim, x.ndim))
    d = x - ag.mean(x, along, keepdims=True)
    y = d / ag.sqrt(ag.mean(d * d, along, keepdims=True) + a.get("epsilon", 1e-5)) * xs[1]
    return y if len(xs) < 3 or xs[2] is None else y + xs[2]


def cast(x: Any, dtype: np.dtype[Any]) -> Any:
    """x in another type; only floating-point numbers keep their graph."""
    if x.dtype == dtype:
        return x
    if isinstance(x, Variable) and dtype.kind == "f":
        return ag.astype(x, dtype)
    y: Array = as_array(x).astype(dtype)
    return y
