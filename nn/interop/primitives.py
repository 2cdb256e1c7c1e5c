"""How each primitive is written in ONNX, and the register for those of users.

A translation is a function of the graph that is written, the node that was recorded, and the names of its
inputs; it returns the name of the output, or a list of names. The table goes by the names of the classes in
`autograd.ops`, `translations` by the classes of users.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from autograd.extend import Array, Function

if TYPE_CHECKING:
    from .recording import Graph

Translation = Callable[..., Any]
T = TypeVar("T", bound=Translation)

translations: dict[type[Function], Translation] = {}  # of users' operations
LAST, FIRST = np.iinfo(np.int64).max, np.iinfo(np.int64).min  # ends of an axis of any length


def onnx_translation(operation: type[Function]) -> Callable[[T], T]:
    """Register how `to_onnx` writes an operation of your own: a decorator.

    The function gets the graph to write into, the recorded node and the names of its inputs, and returns the
    name of the output. ``graph.add(operator, *names, **attributes)`` writes a node of ONNX,
    ``graph.constant(array)`` stores numbers, ``graph.ints(*numbers)`` a shape or axes.

    Raises:
        TypeError: ``operation`` is no subclass of Function.

    >>> class Softsign(ag.Function):
    ...     def forward(self, x):
    ...         return x / (1.0 + np.abs(x))
    ...     def backward(self, gy, x):
    ...         return gy / np.square(1.0 + np.abs(x))
    >>> @nn.onnx_translation(Softsign)
    ... def _(graph, node, x):
    ...     return graph.add("Softsign", x)
    """
    if not (isinstance(operation, type) and issubclass(operation, Function)):
        raise TypeError(f"onnx_translation expected a subclass of autograd.Function, got {operation!r}")

    def register(translate: T) -> T:
        translations[operation] = translate
        return translate

    return register


def translation_of(node: Function) -> Translation | None:
    """The translation of a recorded node, if there is one."""
    kind = type(node)
    if kind in translations:
        return translations[kind]
    return TABLE.get(kind.__name__) if kind.__module__.startswith("autograd.") else None


# --- kinds of translations ------------------------------------------------------------------------


def elementwise(op: str) -> Translation:
    """The operator of that name, on inputs of the dtype of the result."""

    def translate(g: "Graph", node: Any, *xs: str) -> Any:
        return g.add(op, *[g.cast(x, node.out_dtype) for x in xs])

    return translate


def number(g: "Graph", node: Any, value: float) -> str:
    """A constant of the dtype of the result."""
    return g.constant(np.array(value, node.out_dtype))


def composed(f: Callable[..., Any]) -> Translation:
    """``f`` of a calculator that writes operators for what it is asked to compute, and of the inputs."""

    def translate(g: "Graph", node: Any, *xs: str) -> Any:
        def op(name: str, *args: Any) -> Any:
            return g.add(name, *[a if isinstance(a, str) else number(g, node, a) for a in args])

        return f(op, *[g.cast(x, node.out_dtype) for x in xs])

    return translate


def reduction(op: str) -> Translation:
    def translate(g: "Graph", node: Any, x: str) -> Any:
        ndim = len(g.shape(x))
        axes = range(ndim) if node.axis is None else np.atleast_1d(node.axis) % max(ndim, 1)
        if len(axes) == 0:
            return x
        return g.add(op, x, g.ints(*axes), keepdims=int(node.keepdims))

    return translate


# --- shapes ---------------------------------------------------------------------------------------


def reshape(g: "Graph", node: Any, x: str) -> Any:
    empty = {"allowzero": 1} if 0 in node.out_shape else {}
    return g.add("Reshape", x, g.ints(*node.out_shape), **empty)


def transpose(g: "Graph", node: Any, x: str) -> Any:
    ndim = len(g.shape(x))
    axes = range(ndim)[::-1] if node.axes is None else [a % ndim for a in node.axes]
    if ndim < 2:
        return x
    return g.add("Transpose", x, perm=[int(a) for a in axes])


def concatenate(g: "Graph", node: Any, *xs: str) -> Any:
    axis = node.axis % len(node.out_shape)
    return g.add("Concat", *[g.cast(x, node.out_dtype) for x in xs], axis=axis)


def several(g: "Graph", op: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
    """The names of the outputs, also if there is one."""
    made = g.add(op, *inputs, outputs=outputs, **attributes)
    return [made] if outputs == 1 else made


def split(g: "Graph", node: Any, x: str) -> Any:
    axis = node.axis % len(g.shape(x))
    sizes = [shape[axis] for shape in node.out_shape]
    return several(g, "Split", x, g.ints(*sizes), outputs=len(sizes), axis=axis)


def unstack(g: "Graph", node: Any, x: str) -> Any:
    axis, n = node.axis % len(g.shape(x)), len(node.out_shape)
    parts = several(g, "Split", x, g.ints(*[1] * n), outputs=n, axis=axis)
    return [g.add("Squeeze", part, g.ints(axis)) for part in parts]


def stack(g: "Graph", node: Any, *xs: str) -> Any:
    axis = node.axis % len(node.out_shape)
    rows = [g.add("Unsqueeze", g.cast(x, node.out_dtype), g.ints(axis)) for x in xs]
    return g.add("Concat", *rows, axis=axis)


def flip(g: "Graph", node: Any, x: str) -> Any:
    ndim = len(g.shape(x))
    axes = [int(a) for a in (range(ndim) if node.axis is None else np.atleast_1d(node.axis) % ndim)]
    starts, ends = g.ints(*[-1] * len(axes)), g.ints(*[FIRST] * len(axes))
    return g.add("Slice", x, starts, ends, g.ints(*axes), g.ints(*[-1] * len(axes)))


def pad(g: "Graph", node: Any, x: str) -> Any:
    before, behind = zip(*node.width, strict=True)
    return g.add("Pad", x, g.ints(*before, *behind), number(g, node, node.value))


def index(g: "Graph", node: Any, x: str) -> Any:
    return indexed(g, x, node.saved[0])


def indexed(g: "Graph", x: str, where: Any) -> Any:
    """x[where]: slices, integers, new axes, and arrays of integers."""
    parts = list(where) if isinstance(where, tuple) else [where]
    taken = sum(part is not None and part is not Ellipsis for part in parts)
    rest = [slice(None)] * (len(g.shape(x)) - taken)
    dots = next((i for i, part in enumerate(parts) if part is Ellipsis), len(parts))
    parts[dots : dots + 1] = rest
    arrays = [
        i for i, part in enumerate(parts) if isinstance(part, np.ndarray | np.generic) and np.ndim(part)
    ]
    if any(
        isinstance(p, bool | np.bool_) or (i in arrays and p.dtype.kind == "b") for i, p in enumerate(parts)
    ):
        raise NotImplementedError("to_onnx: an index of booleans has no translation: use where(mask, x, 0.0)")
    axis = 0
    new: list[int] = []
    gone: list[int] = []
    starts: list[int] = []
    ends: list[int] = []
    axes: list[int] = []
    steps: list[int] = []
    for part in parts:
        if part is None:
            new.append(axis + len(new) - len(gone))
            continue
        if isinstance(part, int | np.integer) or (isinstance(part, np.ndarray) and part.ndim == 0):
            at = int(part)
            gone.append(axis)
            part = slice(at, at + 1 if at != -1 else None)
        if isinstance(part, slice) and part != slice(None):
            step = 1 if part.step is None else part.step
            start, end = (0, LAST) if step > 0 else (LAST, FIRST)
            starts.append(start if part.start is None else part.start)
            ends.append(end if part.stop is None else part.stop)
            axes.append(axis)
            steps.append(step)
        axis += 1
    if arrays and (gone or new):
        raise NotImplementedError(
            "to_onnx: an index of arrays and of integers or new axes has no translation"
        )
    if starts:
        x = g.add("Slice", x, g.ints(*starts), g.ints(*ends), g.ints(*axes), g.ints(*steps))
    if gone:
        x = g.add("Squeeze", x, g.ints(*gone))
    if new:
        x = g.add("Unsqueeze", x, g.ints(*new))
    if len(arrays) == 1:
        x = g.add("Gather", x, g._recording.name_of(parts[arrays[0]]), axis=arrays[0])
    elif arrays:
        if arrays != list(range(len(arrays))):
            raise NotImplementedError("to_onnx: an index of several arrays has to begin at the first axis")
        x = g.add("GatherND", x, _coordinates(g, [parts[i] for i in arrays]))
    return x


def _coordinates(g: "Graph", arrays: list[Array]) -> str:
    """Arrays of integers, broadcast against each other, side by side as a last axis."""
    shape = np.broadcast_shapes(*[a.shape for a in arrays])
    names = [g.cast(g._recording.name_of(a), np.int64) for a in arrays]
    wide = [g.add("Expand", name, g.ints(*shape)) for name in names]
    joined: str = g.add("Concat", *[g.add("Unsqueeze", name, g.ints(-1)) for name in wide], axis=len(shape))
    return joined


# --- products -------------------------------------------------------------------------------------


def linear(g: "Graph", node: Any, x: str, w: str, *b: str) -> Any:
    if len(g.shape(x)) == 2:
        return g.add("Gemm", x, w, *b, transB=1)
    y = g.add("MatMul", x, g.add("Transpose", w, perm=[1, 0]))
    return g.add("Add", y, *b) if b else y


def addmm(g: "Graph", node: Any, c: str, x: str, w: str) -> Any:
    if len(g.shape(x)) == 2 and len(g.shape(c)) <= 2:
        return g.add("Gemm", x, w, c)
    return g.add("Add", g.add("MatMul", x, w), c)


def conv(g: "Graph", node: Any, x: str, w: str, *c: str) -> Any:
    q = node.geometry
    axes = zip(q.size, q.out, q.kernel, q.stride, q.dilation, q.before, strict=True)
    behind = []
    for size, out, k, s, d, b in axes:
        same = (size + 2 * b - d * (k - 1) - 1) // s + 1 == out  # as many behind as in front
        behind.append(b if same else max(s * (out - 1) + d * (k - 1) + 1 - b - size, 0))
    y = g.add(
        "Conv", x, w, pads=[*q.before, *behind], kernel_shape=list(q.kernel), strides=list(q.stride),
        dilations=list(q.dilation), group=q.groups,
    )  # fmt: skip
    return g.add("Add", y, *c) if c else y


def conv_transpose(g: "Graph", node: Any, z: str, w: str) -> Any:
    q = node.geometry
    spare = [reach - b - size for reach, b, size in zip(q.reach, q.before, q.size, strict=True)]
    return g.add(
        "ConvTranspose", z, w, pads=[*q.before, *[max(s, 0) for s in spare]], kernel_shape=list(q.kernel),
        strides=list(q.stride), dilations=list(q.dilation), group=q.groups,
        output_padding=[max(-s, 0) for s in spare],
    )  # fmt: skip


# --- the rest -------------------------------------------------------------------------------------


def where(g: "Graph", node: Any, condition: str, a: str, b: str) -> Any:
    a, b = g.cast(a, node.out_dtype), g.cast(b, node.out_dtype)
    return g.add("Where", g.cast(condition, np.bool_), a, b)


def clip(g: "Graph", node: Any, x: str) -> Any:
    lo, hi = ["" if end is None else number(g, node, end) for end in (node.lo, node.hi)]
    return g.add("Clip", x, lo, hi) if hi else g.add("Clip", x, lo)


def rounded(g: "Graph", node: Any, x: str) -> Any:
    scale = number(g, node, 10.0**node.decimals)
    return g.add("Div", g.add("Round", g.add("Mul", x, scale)), scale) if node.decimals else g.add("Round", x)


def along(op: str) -> Translation:
    return lambda g, node, x: g.add(op, x, axis=node.axis % len(node.out_shape))


def logaddexp(op: Any, a: str, b: str) -> Any:
    return op(
        "Add", op("Max", a, b), op("Log", op("Add", 1.0, op("Exp", op("Neg", op("Abs", op("Sub", a, b))))))
    )


def log1p(op: Any, x: str) -> Any:
    """log(1 + x) · x / ((1 + x) - 1), which is exact to a rounding; x where 1 + x is 1 (Kahan)."""
    y = op("Add", x, 1.0)
    d = op("Sub", y, 1.0)
    none = op("Equal", d, 0.0)
    return op("Where", none, x, op("Div", op("Mul", op("Log", y), x), op("Where", none, 1.0, d)))


def expm1(op: Any, x: str) -> Any:
    """eˣ - 1 as tanh(x/2) (eˣ + 1), whose error is small relative to the result."""
    return op("Mul", op("Tanh", op("Mul", x, 0.5)), op("Add", op("Exp", x), 1.0))


SAME = """
    Add Sub Mul Div Neg Abs Sign Reciprocal Sqrt Relu Exp Log Sin Cos Tan Tanh Sigmoid Softplus Erf Sinh Cosh
    Floor Ceil MatMul
"""  # called the same in ONNX
TABLE: dict[str, Translation] = {
    **{name: elementwise(name) for name in SAME.split()},
    "Arcsin": elementwise("Asin"),
    "Arccos": elementwise("Acos"),
    "Arctan": elementwise("Atan"),
    "Arcsinh": elementwise("Asinh"),
    "Arccosh": elementwise("Acosh"),
    "Arctanh": elementwise("Atanh"),
    "Maximum": elementwise("Max"),
    "Minimum": elementwise("Min"),
    "ArrayPower": elementwise("Pow"),
    "Contiguous": lambda g, node, x: x,
    "Copy": lambda g, node, x: x,
    "Square": composed(lambda op, x: op("Mul", x, x)),
    "Expm1": composed(expm1),
    "Log1p": composed(log1p),
    "Log2": composed(lambda op, x: op("Div", op("Log", x), math.log(2.0))),
    "Log10": composed(lambda op, x: op("Div", op("Log", x), math.log(10.0))),
    "Exp2": composed(lambda op, x: op("Pow", 2.0, x)),
    "Erfc": composed(lambda op, x: op("Sub", 1.0, op("Erf", x))),
    "Silu": composed(lambda op, x: op("Mul", x, op("Sigmoid", x))),
    "Trunc": composed(lambda op, x: op("Mul", op("Sign", x), op("Floor", op("Abs", x)))),
    "Cbrt": composed(lambda op, x: op("Mul", op("Sign", x), op("Pow", op("Abs", x), 1 / 3))),
    "Lerp": composed(lambda op, a, b, w: op("Add", a, op("Mul", w, op("Sub", b, a)))),
    "Hypot": composed(lambda op, a, b: op("Sqrt", op("Add", op("Mul", a, a), op("Mul", b, b)))),
    "LogAddExp": composed(logaddexp),
    "Mod": composed(lambda op, a, b: op("Sub", a, op("Mul", b, op("Floor", op("Div", a, b))))),
    "FloorDivide": composed(lambda op, a, b: op("Floor", op("Div", a, b))),
    "Power": lambda g, node, x: g.add("Pow", x, number(g, node, node.n)),
    "Cast": lambda g, node, x: g.add("Cast", x, to=node.dtype),
    "Clip": clip,
    "Round": rounded,
    "Where": where,
    "Reshape": reshape,
    "Transpose": transpose,
    "BroadcastTo": lambda g, node, x: g.add("Expand", x, g.ints(*node.out_shape)),
    "Concatenate": concatenate,
    "Split": split,
    "Unstack": unstack,
    "Stack": stack,
    "Flip": flip,
    "Pad": pad,
    "Index": index,
    "Linear": linear,
    "AddMM": addmm,
    "Einsum": lambda g, node, *xs: g.add("Einsum", *xs, equation=f"{','.join(node.operands)}->{node.output}"),
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "Sum": reduction("ReduceSum"),
    "Max": reduction("ReduceMax"),
    "Min": reduction("ReduceMin"),
    "LogSumExp": reduction("ReduceLogSumExp"),
    "Softmax": along("Softmax"),
    "LogSoftmax": along("LogSoftmax"),
    "Cumsum": lambda g, node, x: g.add("CumSum", x, g.constant(np.int64(node.axis))),
}


# --- what no graph records: comparisons, integers and bools ---------------------------------------


def plain(op: str) -> Translation:
    return lambda g, *xs: g.add(op, *xs)


def logical(op: str) -> Translation:
    return lambda g, *xs: g.add(op, *[g.cast(x, np.bool_) for x in xs])


UFUNCS: dict[np.ufunc, Translation] = {
    np.equal: plain("Equal"),
    np.not_equal: lambda g, a, b: g.add("Not", g.add("Equal", a, b)),
    np.less: plain("Less"),
    np.less_equal: plain("LessOrEqual"),
    np.greater: plain("Greater"),
    np.greater_equal: plain("GreaterOrEqual"),
    np.isnan: plain("IsNaN"),
    np.isinf: plain("IsInf"),
    np.logical_and: logical("And"),
    np.logical_or: logical("Or"),
    np.logical_xor: logical("Xor"),
    np.logical_not: logical("Not"),
    np.add: plain("Add"),
    np.subtract: plain("Sub"),
    np.multiply: plain("Mul"),
    np.remainder: plain("Mod"),
    np.maximum: plain("Max"),
    np.minimum: plain("Min"),
}


def _astype(g: "Graph", name: str, x: Array, y: Array, *settings: Any) -> Any:
    return g.add("Cast", name, to=y.dtype)


def _reshape(g: "Graph", name: str, x: Array, y: Array, *settings: Any) -> Any:
    return g.add("Reshape", name, g.ints(*y.shape))


def _transpose(g: "Graph", name: str, x: Array, y: Array, order: Any) -> Any:
    return g.add("Transpose", name, perm=[int(a) % x.ndim for a in order])


METHODS: dict[str, Translation] = {
    "transpose": _transpose,
    "astype": _astype,
    "reshape": _reshape,
    "getitem": lambda g, name, x, y, where: indexed(g, name, where),
}
