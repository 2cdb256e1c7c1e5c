"""Matrix products. The gradient of a weight is returned as `Outer`, so that its uses are joined."""

from typing import Any, overload
from weakref import ref

import numpy as np

from ..core import Array, Function, Operand, Plain, Value, Variable, alike
from ..deferred import Outer, rows
from ..modes import local
from .elementwise import multiply
from .shape import expand_dims, getitem, normalize_axes, reshape, shape_of, squeeze, transpose
from .signatures import binary, ternary, weighted

MANY = 1024  # rows from which a product gains nothing by waiting for others; it would only hold its arrays
OFTEN = 2  # uses of a weight from which a transposed copy pays


def outer_sum(a: Value, b: Value) -> Value | Outer:
    """Σ aᵀ b over all leading axes: a (..., I), b (..., O) -> (I, O)."""
    if isinstance(a, Variable) or isinstance(b, Variable) or a.size >= MANY * a.shape[-1]:
        return rows(a).T @ rows(b)
    return Outer(a, b)


@binary
def product(a: Value, w: Value) -> Value:
    """a (..., I) times w (I, O) as one matrix product, which is faster than one per leading index."""
    if a.ndim == 2:
        return a @ w
    return np.reshape(rows(a) @ w, (*a.shape[:-1], w.shape[-1]))


class Uses:
    """Counts how often a backward pass asks for the transpose of one array; holds the copy it gets."""

    __slots__ = ("copy", "count", "of")
    copy: Array | None

    def __init__(self, w: Array):
        self.of, self.count, self.copy = ref(w), 0, None  # a view would keep w alive


def transposed(w: Value) -> Value:
    """wᵀ; a row-major copy from the `OFTEN`-th time on in one backward pass: products with it are faster."""
    cache = local.thread.pass_cache
    if cache is None or not isinstance(w, np.ndarray):
        return w.T
    uses = cache.get(id(w))
    if uses is None or uses.of() is not w:  # another array may have had this id before
        uses = cache[id(w)] = Uses(w)
    uses.count += 1
    if uses.count == OFTEN:
        uses.copy = w.T.copy()
    return w.T if uses.copy is None else uses.copy


def added(y: Array, c: Array) -> Array:
    """y + c, in the memory of y where the result fits into it."""
    if c.__class__ is not y.__class__ or (c.dtype is not y.dtype and np.result_type(y, c) != y.dtype):
        return y + c
    y += c
    return y


class MatMul(Function):
    """a (..., N, I) @ b (..., I, M); vectors are made matrices by `matmul` below."""

    symbol, rule = "@", "ga = gy bᵀ, gb = aᵀ gy"
    broadcasts = True

    def forward(self, a, b):
        return product(a, b) if b.ndim == 2 else np.matmul(a, b)

    def backward(self, gy, a, b):
        if b.ndim == 2:
            ga = product(gy, transposed(b)) if self.needs(0) else None
            return ga, outer_sum(a, gy) if self.needs(1) else None
        ga = np.matmul(gy, np.swapaxes(b, -1, -2)) if self.needs(0) else None
        return ga, np.matmul(np.swapaxes(a, -1, -2), gy) if self.needs(1) else None


class AddMM(Function):
    """a + x @ w: a is broadcast, x (..., I), w (I, O)."""

    symbol, rule = "+ x W", "ga = gy, gx = gy Wᵀ, gW = xᵀ gy"
    broadcasts = True

    def forward(self, a, x, w):
        return added(product(x, w), a)

    def backward(self, gy, x, w):
        gx = product(gy, transposed(w)) if self.needs(1) else None
        return gy, gx, outer_sum(x, gy) if self.needs(2) else None


class Linear(Function):
    """x wᵀ (+ b): x (..., I), w (O, I), b (O)."""

    symbol, rule = "x Wᵀ + b", "gx = gy W, gW = gyᵀ x, gb = gy"
    broadcasts = True

    def forward(self, x, w, b=None):
        y = product(x, w.T)
        if b is None:
            return y
        return added(y, b)

    def backward(self, gy, x, w):
        gx = product(gy, w) if self.needs(0) else None
        gw = outer_sum(gy, x) if self.needs(1) else None
        return (gx, gw, gy)[: len(self.edges)]


class Einsum(Function):
    """A sum of products over labelled axes; no label twice in one operand (see `einsum`)."""

    symbol, rule = "einsum", "einsum of gy with the other operands"
    broadcasts = True

    def __init__(self, operands: list[str], output: str):
        self.operands, self.output = operands, output
        self.symbol = f"{','.join(operands)}→{output}"

    def forward(self, *xs):
        return np.einsum(f"{','.join(self.operands)}->{self.output}", *xs)

    def backward(self, gy, *xs):
        return tuple([self._gradient(i, gy, xs) if self.needs(i) else None for i in range(len(xs))])

    def _gradient(self, i, gy, xs):
        others = [(s, x) for j, (s, x) in enumerate(zip(self.operands, xs, strict=True)) if j != i]
        others.insert(0, (self.output, gy))
        widest = {label: n for s, x in others for label, n in zip(s, x.shape, strict=True) if n != 1}
        for label, n in zip(self.operands[i], xs[i].shape, strict=True):
            if widest.get(label) != n:  # summed in this operand alone: gy spreads over it
                others.append((label, alike(np.ones(n, gy.dtype), gy)))
        labels, values = zip(*others, strict=True)
        return np.einsum(f"{','.join(labels)}->{self.operands[i]}", *values)


# --- what users call ----------------------------------------------------------------------------


@binary
def matmul(a: Operand, b: Operand) -> Value:
    """a @ b: vectors, matrices and batches of matrices, in every combination NumPy allows.

    >>> ag.matmul(Variable([[1.0, 2.0], [3.0, 4.0]]), [10.0, 1.0])
    Variable([12., 34.], creator=Reshape)
    >>> ag.matmul(Variable(np.ones((5, 2, 3))), np.ones((3, 4))).shape
    (5, 2, 4)
    """
    m, n = len(shape_of(a)), len(shape_of(b))
    if m > 1 and n > 1:
        return MatMul()(a, b)
    if m == 0 or n == 0:
        raise ValueError("matmul expected at least one axis on either side, got a scalar: use *")
    if m == 1:
        return squeeze(matmul(expand_dims(a, 0), b), -2 if n > 1 else 0)
    return squeeze(MatMul()(a, expand_dims(b, 1)), -1)


@ternary
def addmm(c: Operand, x: Operand, w: Operand) -> Value:
    """c + x @ w in one call: c broadcasts to the result, x (..., I), w (I, O).

    >>> W = Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> ag.addmm([0.5, 0.5], np.array([[1.0, 1.0]]), W)
    Variable([[4.5, 6.5]], creator=AddMM)
    """
    return AddMM()(c, x, w)


@weighted
def linear(x: Operand, weight: Operand, bias: Operand | None = None) -> Value:
    """x weightᵀ + bias: x (..., in), weight (out, in), bias (out), result (..., out).

    >>> W, b = Variable([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), Variable([0.0, 0.0, 100.0])
    >>> ag.linear(np.ones((1, 2)), W, b)
    Variable([[  3.,   7., 111.]], creator=Linear)
    """
    have, want = shape_of(x), shape_of(weight)
    if len(want) != 2 or have[-1:] != want[1:]:
        raise ValueError(f"linear expected x (..., in) and weight (out, in), got {have} and {want}")
    return Linear()(x, weight) if bias is None else Linear()(x, weight, bias)


@binary
def outer(a: Operand, b: Operand) -> Value:
    """The products of every element of a with every element of b, both flattened.

    >>> ag.outer(Variable([1.0, 2.0]), [3.0, 4.0, 5.0])
    Variable([[ 3.,  4.,  5.],
              [ 6.,  8., 10.]], creator=Mul)
    """
    return multiply(reshape(a, (-1, 1)), reshape(b, (1, -1)))


@binary
def dot(a: Operand, b: Operand) -> Value:
    """numpy.dot: inner product of vectors, matrix product, sum over a's last and b's last but one axis.

    >>> ag.dot(Variable([1.0, 2.0]), [3.0, 4.0]).item()
    11.0
    """
    if np.ndim(a) == 0 or np.ndim(b) == 0:
        return multiply(a, b)
    if np.ndim(a) <= 2 and np.ndim(b) <= 2:
        return matmul(a, b)
    return tensordot(a, b, ((-1,), (-2 if np.ndim(b) > 1 else -1,)))


@binary
def tensordot(a: Operand, b: Operand, axes: Any = 2) -> Value:
    """The sum of products over the given pairs of axes, or over the last and first ``axes`` ones.

    >>> a, b = Variable(np.ones((2, 3, 4))), np.ones((4, 3, 5))
    >>> ag.tensordot(a, b, ((1, 2), (1, 0))).shape
    (2, 5)
    """
    shape_a, shape_b = shape_of(a), shape_of(b)
    try:
        pair = tuple(axes)
    except TypeError:  # a number
        pair = range(-axes, 0), range(axes)
    if len(pair) != 2:
        raise ValueError(f"tensordot expected a number of axes or a pair (axes of a, axes of b), got {axes}")
    axes_a, axes_b = normalize_axes(pair[0], len(shape_a)), normalize_axes(pair[1], len(shape_b))
    summed = [shape_a[i] for i in axes_a]
    if summed != [shape_b[i] for i in axes_b]:
        raise ValueError(
            f"tensordot expected equal lengths over axes {axes_a} of {shape_a} and {axes_b} of {shape_b}"
        )
    rest_a = [i for i in range(len(shape_a)) if i not in axes_a]
    rest_b = [i for i in range(len(shape_b)) if i not in axes_b]
    out = [shape_a[i] for i in rest_a], [shape_b[i] for i in rest_b]
    n, k, m = (int(np.prod(s)) for s in (out[0], summed, out[1]))
    left = reshape(transpose(a, (*rest_a, *axes_a)), (n, k))
    right = reshape(transpose(b, (*axes_b, *rest_b)), (k, m))
    return reshape(MatMul()(left, right), (*out[0], *out[1]))


@overload
def einsum(subscripts: str, *xs: Variable) -> Variable: ...
@overload
def einsum(subscripts: str, *xs: Plain) -> Array: ...
@overload
def einsum(subscripts: str, *xs: Operand) -> Value: ...
def einsum(subscripts: str, *xs: Operand) -> Value:
    """numpy.einsum with a subscript string; ellipses and repeated labels (diagonals) included.

    >>> a, b = Variable([[1.0, 2.0], [3.0, 4.0]]), Variable([10.0, 1.0])
    >>> ag.einsum("ij,j->i", a, b)
    Variable([12., 34.], creator=Einsum)
    >>> ag.einsum("ii", a).item()  # the trace
    5.0
    """
    left, arrow, output = subscripts.replace(" ", "").partition("->")
    operands = left.split(",")
    if len(operands) != len(xs):
        raise ValueError(f"einsum expected {len(operands)} operands for {subscripts!r}, got {len(xs)}")
    spare = [c for c in "ABCDEFGHIJKLMNOPQRSTUVWXYZ" if c not in subscripts]
    widths = [np.ndim(x) - len(s.replace("...", "")) for s, x in zip(operands, xs, strict=True)]
    widest = max([w for w, s in zip(widths, operands, strict=True) if "..." in s], default=0)
    dots = "".join(spare[:widest])
    operands = [
        s.replace("...", dots[widest - w :] if w else "") for s, w in zip(operands, widths, strict=True)
    ]
    for labels, x in zip(operands, xs, strict=True):
        shape = np.shape(x)
        if len(labels) != len(shape):
            raise ValueError(
                f"einsum expected {len(labels)} axes for {labels!r} in {subscripts!r}, got {shape}"
            )
        if any(n != shape[labels.index(c)] for c, n in zip(labels, shape, strict=True)):
            raise ValueError(f"einsum expected one length per label of {labels!r}, got {shape}")
    if arrow and dots and "..." not in output:
        raise ValueError(f"einsum expected '...' in the output of {subscripts!r}: sums are over labels")
    if not arrow:
        every = "".join(operands)
        output = dots + "".join(sorted(c for c in set(every) - set(dots) if every.count(c) == 1))
    output = output.replace("...", dots)
    pairs = [_diagonal(s, x) for s, x in zip(operands, xs, strict=True)]
    return Einsum([s for s, _ in pairs], output)(*[x for _, x in pairs])


def _diagonal(labels: str, x: Operand) -> tuple[str, Operand]:
    """``labels`` without repeats, and x with the diagonal taken over repeated ones."""
    if len(set(labels)) == len(labels):
        return labels, x
    once = "".join(dict.fromkeys(labels))
    grid = np.ogrid[tuple(slice(np.shape(x)[labels.index(c)]) for c in once)]
    return once, getitem(x, tuple(grid[once.index(c)] for c in labels))
