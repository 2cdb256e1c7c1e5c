"""What each operation computes, and what it gives back to each input: one table of Python expressions.

An expression names operands as `forward` does, the output ``y`` and its gradient ``gy`` (``gy0``, ``gy1`` of
several outputs). What is printed is made from these expressions, and so is what can be run: with `FUNCTIONS`
and arrays for the names, each is a line of NumPy. An operation that is not in the table is written by its
name, and its gradient as gy ∂y/∂x.
"""

import inspect
import math
from collections.abc import Callable
from copy import copy
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...core import Array, Function, edge_type
from ...deferred import Deferred, sum_to
from ...ops import conv, elementwise, error_function, linalg, matrix, reduce, shape, ufuncs
from ...ops.reduce import axes_of


class Rule(NamedTuple):
    """The expressions of one node.

    Attributes:
        operands: the names of the inputs.
        outputs: an expression for each output.
        gradients: an expression for each input, None where there is none.
        shapes: the shapes of these; where an input was broadcast, its gradient is still to be summed.
        settings: what the expressions name besides: indices, geometries.
        note: the class's own words for its derivative, where the table has none.
    """

    operands: tuple[str, ...]
    outputs: tuple[str, ...]
    gradients: tuple[str | None, ...]
    shapes: tuple[tuple[int, ...], ...]
    settings: dict[str, Any] = {}  # noqa: RUF012 (never written to)
    note: str = ""


Made = tuple[Any, ...]  # the output, or a tuple of outputs, and the gradients of all inputs
SHARE = "gy * (({0} > {1}) + ({0} == {1}) / 2)"

TABLE: dict[type[Function], Made] = {
    elementwise.Add: ("a + b", "gy", "gy"),
    elementwise.Sub: ("a - b", "gy", "-gy"),
    elementwise.Mul: ("a * b", "gy * b", "gy * a"),
    elementwise.Div: ("a / b", "gy / b", "-gy * y / b"),
    elementwise.Neg: ("-x", "-gy"),
    elementwise.ArrayPower: ("a ** b", "gy * b * a ** (b - 1)", "gy * y * log(a)"),
    elementwise.Abs: ("abs(x)", "gy * sign(x)"),
    elementwise.Sign: ("sign(x)", "0 * gy"),
    elementwise.Square: ("x ** 2", "2 * gy * x"),
    elementwise.Reciprocal: ("1 / x", "-gy * y ** 2"),
    elementwise.Sqrt: ("sqrt(x)", "gy / (2 * y)"),
    elementwise.Maximum: ("maximum(a, b)", SHARE.format("a", "b"), SHARE.format("b", "a")),
    elementwise.Minimum: ("minimum(a, b)", SHARE.format("b", "a"), SHARE.format("a", "b")),
    elementwise.Where: ("where(condition, a, b)", None, "where(condition, gy, 0)", "where(condition, 0, gy)"),
    elementwise.Lerp: ("(1 - w) * a + w * b", "gy * (1 - w)", "gy * w", "gy * (b - a)"),
    elementwise.Relu: ("relu(x)", "gy * (y > 0)"),
    elementwise.Exp: ("exp(x)", "gy * y"),
    elementwise.Expm1: ("exp(x) - 1", "gy * (y + 1)"),
    elementwise.Log: ("log(x)", "gy / x"),
    elementwise.Log1p: ("log(1 + x)", "gy / (1 + x)"),
    elementwise.Sin: ("sin(x)", "gy * cos(x)"),
    elementwise.Cos: ("cos(x)", "-gy * sin(x)"),
    elementwise.Tanh: ("tanh(x)", "gy * (1 - y ** 2)"),
    elementwise.Sigmoid: ("sigmoid(x)", "gy * y * (1 - y)"),
    elementwise.Silu: ("x * sigmoid(x)", "gy * (sigmoid(x) + y * (1 - sigmoid(x)))"),
    elementwise.Softplus: ("log(1 + exp(x))", "gy * sigmoid(x)"),
    error_function.Erf: ("erf(x)", "gy * 1.1283791670955126 * exp(-x ** 2)"),
    error_function.Erfc: ("1 - erf(x)", "-gy * 1.1283791670955126 * exp(-x ** 2)"),
    ufuncs.Tan: ("tan(x)", "gy * (1 + y ** 2)"),
    ufuncs.Sinh: ("sinh(x)", "gy * cosh(x)"),
    ufuncs.Cosh: ("cosh(x)", "gy * sinh(x)"),
    ufuncs.Arcsin: ("arcsin(x)", "gy / sqrt(1 - x ** 2)"),
    ufuncs.Arccos: ("arccos(x)", "-gy / sqrt(1 - x ** 2)"),
    ufuncs.Arctan: ("arctan(x)", "gy / (1 + x ** 2)"),
    ufuncs.Arctan2: ("arctan2(a, b)", "gy * b / (a ** 2 + b ** 2)", "-gy * a / (a ** 2 + b ** 2)"),
    ufuncs.Arcsinh: ("arcsinh(x)", "gy / sqrt(1 + x ** 2)"),
    ufuncs.Arccosh: ("arccosh(x)", "gy / sqrt(x ** 2 - 1)"),
    ufuncs.Arctanh: ("arctanh(x)", "gy / (1 - x ** 2)"),
    ufuncs.Hypot: ("sqrt(a ** 2 + b ** 2)", "gy * a / y", "gy * b / y"),
    ufuncs.Cbrt: ("cbrt(x)", "gy / (3 * y ** 2)"),
    ufuncs.Log2: ("log2(x)", "gy / (x * log(2))"),
    ufuncs.Log10: ("log10(x)", "gy / (x * log(10))"),
    ufuncs.Exp2: ("2 ** x", "gy * y * log(2)"),
    ufuncs.LogAddExp: ("log(exp(a) + exp(b))", "gy * exp(a - y)", "gy * exp(b - y)"),
    ufuncs.LogAddExp2: ("log2(2 ** a + 2 ** b)", "gy * 2 ** (a - y)", "gy * 2 ** (b - y)"),
    ufuncs.Mod: ("mod(a, b)", "gy", "-gy * (a - y) / b"),
    ufuncs.Fmod: ("fmod(a, b)", "gy", "-gy * (a - y) / b"),
    ufuncs.FloorDivide: ("floor(a / b)", "0 * gy", "0 * gy"),
    ufuncs.Copysign: ("abs(a) * sign(b)", "gy * sign(a) * sign(b)", "0 * gy"),
    ufuncs.Floor: ("floor(x)", "0 * gy"),
    ufuncs.Ceil: ("ceil(x)", "0 * gy"),
    ufuncs.Trunc: ("trunc(x)", "0 * gy"),
    ufuncs.Copy: ("x", "gy"),
    matrix.Inv: ("inv(x)", "-T(y) @ gy @ T(y)"),
    matrix.Solve: ("inv(a) @ b", "-T(inv(a)) @ gy @ T(y)", "T(inv(a)) @ gy"),
    matrix.Det: ("det(x)", "expand(gy * y, (-2, -1)) * T(inv(x))"),
    matrix.LogDet: ("log(abs(det(x)))", "expand(gy, (-2, -1)) * T(inv(x))"),
    matrix.Cholesky: ("cholesky(x)", "sym(T(inv(y)) @ half(T(y) @ gy) @ inv(y))"),
    linalg.MatMul: ("a @ b", "gy @ T(b)", "T(a) @ gy"),
    linalg.AddMM: ("a + x @ w", "gy", "gy @ T(w)", "outer(x, gy)"),
    linalg.Linear: ("x @ T(w) + b", "gy @ w", "outer(gy, x)", "gy"),
    shape.Contiguous: ("x", "gy"),
    conv.Conv: (
        "conv(x, w, geometry) + c",
        "conv_transpose(gy, w, geometry)",
        "conv_weight(x, gy, geometry)",
        "gy",
    ),
    conv.ConvTranspose: (
        "conv_transpose(z, w, geometry)",
        "conv(gy, w, geometry)",
        "conv_weight(gy, z, geometry)",
    ),
    conv.ConvWeight: (
        "conv_weight(x, z, geometry)",
        "conv_transpose(z, gy, geometry)",
        "conv(x, gy, geometry)",
    ),
}


def rule_of(node: Function) -> Rule:
    """The expressions of a node."""
    operands = _operands(node)
    shapes = [edge_type(edge)[0] for edge in node.edges]
    made: Made | None = None
    if (make := MAKERS.get(type(node))) is not None:
        made = make(node, shapes)
    elif type(node) in TABLE:
        made = TABLE[type(node)]
    if made is None:
        return _by_name(node, operands, shapes)
    if len(operands) == 2 and isinstance(node, conv.Conv | linalg.Linear):  # without a bias
        made = (made[0].rpartition(" + ")[0], *made[1:3])
    settings = {name: getattr(node, name) for name in ("geometry",) if hasattr(node, name)}
    if isinstance(node, shape.Index | shape.ScatterAdd) and node.saved:
        settings["index"] = node.saved[0]
    outputs = made[0] if isinstance(made[0], tuple) else (made[0],)
    return Rule(operands, outputs, made[1:], tuple(_shapes(node, shapes)), settings)


def _operands(node: Function) -> tuple[str, ...]:
    """The names of a node's inputs: those of `forward`, numbered where it takes any number."""
    parameters = list(inspect.signature(type(node).forward).parameters.values())[1:]
    names = [p.name for p in parameters if p.kind is not p.VAR_POSITIONAL]
    rest = [p.name for p in parameters if p.kind is p.VAR_POSITIONAL]
    names += [f"{rest[0]}{i}" for i in range(len(node.edges) - len(names))] if rest else []
    return tuple(names[: len(node.edges)])


def _shapes(node: Function, shapes: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """The shapes of a rule's gradients, before what was broadcast is summed."""
    if not node.broadcasts:
        return shapes
    out = node.out_shape
    if isinstance(node, linalg.MatMul | matrix.Solve):
        return [(*out[:-2], *s[-2:]) for s in shapes]
    if isinstance(node, linalg.AddMM):
        return [out, (*out[:-1], shapes[1][-1]), shapes[2]]
    if isinstance(node, linalg.Linear):
        return [shapes[0], shapes[1], out][: len(shapes)]
    if isinstance(node, conv.Conv):
        return [shapes[0], shapes[1], out][: len(shapes)]
    if isinstance(node, linalg.Einsum):
        return [tuple([n for n in _widths(node, shapes, labels)]) for labels in node.operands]
    if isinstance(node, shape.ScatterAdd):
        return [np.broadcast_to(0.0, out)[node.saved[0]].shape if node.saved else shapes[0]]
    return [out for _ in shapes]


# --- operations with settings ---------------------------------------------------------------------


def _power(node: Any, shapes: Any) -> Made:
    n = node.n
    if n in (0, 1):
        return (f"x ** {n!r}", "gy" if n == 1 else "0 * gy")
    return (f"x ** ({n!r})", "2 * gy * x" if n == 2 else f"{n!r} * gy * x ** ({n - 1!r})")


def _clip(node: Any, shapes: Any) -> Made:
    inside = [f"(x >= {node.lo!r})"] if node.lo is not None else []
    inside += [f"(x <= {node.hi!r})"] if node.hi is not None else []
    return (f"clip(x, {node.lo!r}, {node.hi!r})", " * ".join(["gy", *inside]))


def _kept(node: Any, shapes: Any, name: str) -> str:
    """An output or its gradient with the axes over which it was reduced."""
    axes = axes_of(node.axis, len(shapes[0]))
    return name if node.keepdims or not axes else f"expand({name}, {axes})"


def _reduced(node: Any, shapes: Any, f: str) -> str:
    axes = axes_of(node.axis, len(shapes[0]))
    return f"{f}(x, {None if len(axes) == len(shapes[0]) else axes}, {node.keepdims})"


def _sum(node: Any, shapes: Any) -> Made:
    return (_reduced(node, shapes, "sum"), f"spread({_kept(node, shapes, 'gy')}, {shapes[0]})")


def _max(node: Any, shapes: Any) -> Made:
    gy, y, axes = _kept(node, shapes, "gy"), _kept(node, shapes, "y"), axes_of(node.axis, len(shapes[0]))
    return (_reduced(node, shapes, node.symbol), f"{gy} * (x == {y}) / sum(x == {y}, {axes}, True)")


def _logsumexp(node: Any, shapes: Any) -> Made:
    gy, y = _kept(node, shapes, "gy"), _kept(node, shapes, "y")
    return (f"log({_reduced(node, shapes, 'sum').replace('(x,', '(exp(x),')})", f"{gy} * exp(x - {y})")


def _softmax(node: Any, shapes: Any) -> Made:
    axis = node.axis % max(len(shapes[0]), 1)
    return (f"softmax(x, {axis})", f"y * (gy - sum(gy * y, ({axis},), True))")


def _log_softmax(node: Any, shapes: Any) -> Made:
    axis = node.axis % max(len(shapes[0]), 1)
    return (f"log(softmax(x, {axis}))", f"gy - exp(y) * sum(gy, ({axis},), True)")


def _cumsum(node: Any, shapes: Any) -> Made:
    axis = node.axis % max(len(shapes[0]), 1)
    return (f"cumsum(x, {axis})", f"flip(cumsum(flip(gy, {axis}), {axis}), {axis})")


def _cast(node: Any, shapes: Any) -> Made:
    return (f"cast(x, '{node.dtype}')", "gy")


def _round(node: Any, shapes: Any) -> Made:
    return (f"round(x, {node.decimals})" if node.decimals else "round(x)", "0 * gy")


def _reshape(node: Any, shapes: Any) -> Made:
    return (f"reshape(x, {node.out_shape})", f"reshape(gy, {shapes[0]})")


def _transpose(node: Any, shapes: Any) -> Made:
    ndim = len(shapes[0])
    axes = tuple(range(ndim))[::-1] if node.axes is None else tuple([a % ndim for a in node.axes])
    if axes == (1, 0):
        return ("T(x)", "T(gy)")
    back = tuple([axes.index(i) for i in range(ndim)])
    return (f"transpose(x, {axes})", f"transpose(gy, {back})")


def _broadcast(node: Any, shapes: Any) -> Made:
    return (f"spread(x, {node.out_shape})", "gy")


def _concatenate(node: Any, shapes: Any) -> Made:
    axis = node.axis % len(node.out_shape)
    ends = [0, *np.cumsum([s[axis] for s in shapes]).tolist()]
    parts = [f"part(gy, {a}, {b}, {axis})" for a, b in pairwise(ends)]
    return (_joined("concat", "xs", len(shapes), axis), *parts)


def _split(node: Any, shapes: Any) -> Made:
    axis = node.axis % len(shapes[0])
    ends = pairwise([0, *node.ends, shapes[0][axis]])
    parts = tuple([f"part(x, {a}, {b}, {axis})" for a, b in ends])
    return (parts, _joined("concat", "gy", len(parts), axis))


def _stack(node: Any, shapes: Any) -> Made:
    axis = node.axis % len(node.out_shape)
    picks = [f"pick(gy, {i}, {axis})" for i in range(len(shapes))]
    return (_joined("stack", "xs", len(shapes), axis), *picks)


def _unstack(node: Any, shapes: Any) -> Made:
    axis = node.axis % len(shapes[0])
    parts = tuple([f"pick(x, {k}, {axis})" for k in range(shapes[0][axis])])
    return (parts, _joined("stack", "gy", len(parts), axis))


def _joined(f: str, letter: str, n: int, axis: int) -> str:
    return f"{f}([{', '.join([f'{letter}{i}' for i in range(n)])}], {axis})"


def _flip(node: Any, shapes: Any) -> Made:
    axes = axes_of(node.axis, len(shapes[0]))
    return (f"flip(x, {axes})", f"flip(gy, {axes})")


def _pad(node: Any, shapes: Any) -> Made:
    inner = ", ".join([f"{lo}:{lo + n}" for (lo, _), n in zip(node.width, shapes[0], strict=True)])
    return (f"pad(x, {node.width}, {node.value!r})", f"gy[{inner}]" if inner else "gy")


def _at(node: Any, shapes: Any) -> Made:
    index = _written(node)
    read = f"x[{index}]" if index else "at(x, index)"
    return (read, f"scatter(gy, {f's_[{index}]' if index else 'index'}, {shapes[0]})")


def _scatter(node: Any, shapes: Any) -> Made:
    index = _written(node)
    where = f"s_[{index}]" if index else "index"
    return (f"scatter(x, {where}, {node.out_shape})", f"gy[{index}]" if index else "at(gy, index)")


def _written(node: Any) -> str:
    """An index of numbers, slices and ellipses as it stands in brackets; "" for others, and after release."""
    if not node.saved:
        return ""
    index = node.saved[0]
    words = []
    for part in index if isinstance(index, tuple) else (index,):
        if isinstance(part, slice):
            ends = ["" if n is None else str(n) for n in (part.start, part.stop, part.step)]
            words.append(":".join(ends[: 2 if part.step is None else 3]))
        elif part is Ellipsis or part is None:
            words.append("..." if part is Ellipsis else "None")
        elif isinstance(part, int | np.integer) and not isinstance(part, bool):
            words.append(str(int(part)))
        else:
            return ""
    return ", ".join(words)


def _einsum(node: Any, shapes: Any) -> Made | None:
    names = [f"xs{i}" for i in range(len(shapes))]
    gradients = []
    for i, own in enumerate(node.operands):
        others = [(node.output, "gy", node.out_shape)]
        others += [(s, names[j], shapes[j]) for j, s in enumerate(node.operands) if j != i]
        width: dict[str, int] = {}  # of every label, in what the gradient is made of
        for labels, _, sizes in others:
            width.update({label: n for label, n in zip(labels, sizes, strict=True) if n != 1})
        for label, n in zip(own, shapes[i], strict=True):
            if label not in "".join([s for s, _, _ in others]) or (n != 1 and label not in width):
                others.append((label, f"ones({n})", (n,)))  # summed in this operand alone
        subscripts = f"{','.join([s for s, _, _ in others])}->{own}"
        gradients.append(f"einsum('{subscripts}', {', '.join([name for _, name, _ in others])})")
    subscripts = f"{','.join(node.operands)}->{node.output}"
    return (f"einsum('{subscripts}', {', '.join(names)})", *gradients)


def _widths(node: Any, shapes: Any, labels: str) -> list[int]:
    """How wide the gradient of an operand is along each label: where it was 1, it may have been stretched."""
    found: dict[str, int] = {}
    for i, own in enumerate(node.operands):
        for label, n in zip(own, shapes[i], strict=True):
            found[label] = max(found.get(label, n), n) if n != 0 and found.get(label) != 0 else 0
    return [found[label] for label in labels]


def _convolve(node: Any, shapes: Any) -> Made:
    gradients = []
    for own, other, name in ((shapes[0], shapes[1], "v"), (shapes[1], shapes[0], "a")):
        inner = ", ".join([f"{n - 1}:{n - 1 + m}" for n, m in zip(other, own, strict=True)])
        gradients.append(f"convolve(gy, flip({name}, {tuple(range(len(other)))}))[{inner}]")
    return ("convolve(a, v)", *gradients)


MAKERS: dict[type[Function], Callable[[Any, Any], Made | None]] = {
    elementwise.Power: _power,
    elementwise.Clip: _clip,
    elementwise.Cast: _cast,
    ufuncs.Round: _round,
    linalg.Einsum: _einsum,
    reduce.Sum: _sum,
    reduce.Max: _max,
    reduce.Min: _max,
    reduce.LogSumExp: _logsumexp,
    reduce.Softmax: _softmax,
    reduce.LogSoftmax: _log_softmax,
    reduce.Cumsum: _cumsum,
    shape.Reshape: _reshape,
    shape.Transpose: _transpose,
    shape.BroadcastTo: _broadcast,
    shape.Concatenate: _concatenate,
    shape.Split: _split,
    shape.Stack: _stack,
    shape.Unstack: _unstack,
    shape.Flip: _flip,
    shape.Pad: _pad,
    shape.Index: _at,
    shape.ScatterAdd: _scatter,
    conv.Convolve: _convolve,
}


# --- operations that are not in the table ---------------------------------------------------------


def _by_name(node: Function, operands: tuple[str, ...], shapes: list[tuple[int, ...]]) -> Rule:
    """name(x, ...), and gy ∂y/∂x."""
    given = ", ".join(operands)
    outputs: tuple[str, ...] = (f"run({given})",)
    gy, y = "gy", "y"
    if node.multi_output:
        several = range(len(node.out_shape))
        outputs = tuple([f"pick(run({given}), {k}, 0)" for k in several])
        gy, y = f"({', '.join([f'gy{k}' for k in several])},)", "0"
    gradients = tuple([f"vjp({i}, {gy}, {y}, {given})" for i in range(len(operands))])
    settings = {"run": _Run(node), "vjp": _Gradient(node)}
    return Rule(operands, outputs, gradients, tuple(shapes), settings, node.rule)


class _Again:
    """A node that can be run once more, on arrays."""

    def __init__(self, node: Function):
        self.node = node
        self.name = node.symbol if node.symbol.isidentifier() else node.label


class _Run(_Again):
    def __call__(self, *xs: Array) -> Any:
        """The output."""
        return copy(self.node).forward(*xs)


class _Gradient(_Again):
    def __call__(self, i: int, gy: Any, _: Any, *xs: Array) -> Array:
        """The gradient of input ``i``."""
        again = copy(self.node)
        y = again.forward(*xs)
        gxs = again.backward(gy, *again._pick(again, y, xs))
        g = gxs[i] if isinstance(gxs, tuple) else gxs
        return sum_to(g.array() if isinstance(g, Deferred) else g, np.shape(xs[i]))


# --- what the expressions call --------------------------------------------------------------------


def _outer(a: Array, b: Array) -> Array:
    """Σ aᵀ b over all leading axes."""
    return np.reshape(a, (-1, np.shape(a)[-1])).T @ np.reshape(b, (-1, np.shape(b)[-1]))


def _scatter_into(x: Array, index: Any, shape: tuple[int, ...]) -> Array:
    y = np.zeros(shape, np.asarray(x).dtype)
    np.add.at(y, index, x)
    return y


def _softmax_of(x: Array, axis: int) -> Array:
    e = np.exp(x - np.max(x, axis, keepdims=True)) if np.size(x) else np.asarray(x)
    return e / np.sum(e, axis, keepdims=True)


def _part(x: Array, start: int, stop: int, axis: int) -> Array:
    return x[(slice(None),) * axis + (slice(start, stop),)]


def _pick(x: Any, k: int, axis: int) -> Any:
    return x[k] if isinstance(x, tuple) else np.take(x, k, axis)


def _half(x: Array) -> Array:
    """The lower triangle, with half of the diagonal."""
    return np.tril(x) - 0.5 * np.eye(x.shape[-1]) * x


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "T": lambda x: np.swapaxes(x, -1, -2) if np.ndim(x) > 1 else x,
    "abs": np.abs,
    "arccos": np.arccos,
    "arccosh": np.arccosh,
    "arcsin": np.arcsin,
    "arcsinh": np.arcsinh,
    "arctan": np.arctan,
    "arctan2": np.arctan2,
    "arctanh": np.arctanh,
    "at": lambda x, index: x[index],
    "cast": lambda x, dtype: x.astype(dtype),
    "cbrt": np.cbrt,
    "ceil": np.ceil,
    "cholesky": np.linalg.cholesky,
    "clip": np.clip,
    "concat": np.concatenate,
    "conv": conv.correlate,
    "conv_transpose": conv.spread,
    "conv_weight": conv.meet,
    "convolve": lambda a, v: conv.Convolve(False).forward(a, v),
    "cos": np.cos,
    "cosh": np.cosh,
    "cumsum": np.cumsum,
    "det": np.linalg.det,
    "detach": lambda x: x,
    "einsum": np.einsum,
    "erf": np.vectorize(math.erf, "d"),
    "exp": np.exp,
    "expand": np.expand_dims,
    "flip": np.flip,
    "floor": np.floor,
    "fmod": np.fmod,
    "half": _half,
    "inv": np.linalg.inv,
    "log": np.log,
    "log10": np.log10,
    "log2": np.log2,
    "max": lambda x, axes, keepdims: np.max(x, axes, keepdims=keepdims),
    "maximum": np.maximum,
    "min": lambda x, axes, keepdims: np.min(x, axes, keepdims=keepdims),
    "minimum": np.minimum,
    "mod": np.mod,
    "ones": np.ones,
    "outer": _outer,
    "pad": lambda x, width, value: np.pad(x, width, constant_values=value),
    "part": _part,
    "pick": _pick,
    "relu": lambda x: np.maximum(x, 0),
    "reshape": np.reshape,
    "round": np.round,
    "scatter": _scatter_into,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "sign": np.sign,
    "sin": np.sin,
    "sinh": np.sinh,
    "softmax": _softmax_of,
    "spread": np.broadcast_to,
    "sqrt": np.sqrt,
    "stack": np.stack,
    "sym": lambda x: (x + np.swapaxes(x, -1, -2)) / 2,
    "tan": np.tan,
    "trunc": np.trunc,
    "sum": lambda x, axes, keepdims: np.sum(x, axes, keepdims=keepdims),
    "tanh": np.tanh,
    "total": lambda terms: sum(terms),
    "transpose": np.transpose,
    "unbroadcast": lambda g, axes, shape: sum_to(np.asarray(g), shape),
    "where": np.where,
    "zeros": np.zeros,
}  # fmt: skip


SETTINGS = {"s_": np.s_}  # an index that stands for itself
