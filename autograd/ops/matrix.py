"""numpy.linalg: inverse, determinant, factorisations and norms, of matrices and of batches of them.

The derivatives are those of Giles (2008), "Collected matrix derivative results for forward and reverse mode
algorithmic differentiation". Axes before the last two count matrices. Users find these in `autograd.linalg`.
"""

from collections.abc import Sequence
from functools import reduce as fold
from typing import Any, NamedTuple

import numpy as np

from ..core import Function, Operand, Value, Variable, alike, asarray, data_of, untracked
from .arrange import matrix_transpose
from .elementwise import absolute, power, sqrt, square, where
from .linalg import matmul
from .reduce import max, min, sum
from .shape import as_value, expand_dims, moveaxis, normalize_axes, reshape, shape_of
from .signatures import binary, unary


def _t(x: Value) -> Any:
    return np.swapaxes(x, -1, -2)


def check_square(who: str, x: Operand) -> None:
    """Raise unless x is a square matrix or a batch of them."""
    shape = shape_of(x)
    if len(shape) < 2 or shape[-1] != shape[-2]:
        raise np.linalg.LinAlgError(f"{who} expected square matrices (..., N, N), got shape {shape}")


class Inv(Function):
    symbol, rule = "⁻¹", "gx = -yᵀ gy yᵀ"

    def forward(self, x):
        return np.linalg.inv(x)

    def backward(self, gy, y):
        yt = _t(y)
        return -np.matmul(np.matmul(yt, gy), yt)


class Solve(Function):
    symbol, rule = "A⁻¹ b", "gb = A⁻ᵀ gy, gA = -gb yᵀ"
    broadcasts = True

    def forward(self, a, b):
        return np.linalg.solve(a, b)

    def backward(self, gy, y, a):
        gb = np.linalg.solve(_t(a), gy)
        return -np.matmul(gb, _t(y)) if self.needs(0) else None, gb


class Det(Function):
    symbol, rule = "det", "gx = gy y x⁻ᵀ"

    def forward(self, x):
        return np.linalg.det(x)

    def backward(self, gy, y, x):
        return np.expand_dims(gy * y, (-1, -2)) * _t(np.linalg.inv(x))


class LogDet(Function):
    symbol, rule = "log|det|", "gx = gy x⁻ᵀ"

    def forward(self, x):
        return np.linalg.slogdet(x)[1]

    def backward(self, gy, x):
        return np.expand_dims(gy, (-1, -2)) * _t(np.linalg.inv(x))


class Cholesky(Function):
    symbol, rule = "cholesky", "gx = y⁻ᵀ φ(yᵀ gy) y⁻¹, made symmetric"

    def forward(self, x):
        return np.linalg.cholesky(x)

    def backward(self, gy, y):
        half = np.tril(np.ones(y.shape[-2:], y.dtype)) - 0.5 * np.eye(y.shape[-1], dtype=y.dtype)
        half = alike(half, y)
        yt = _t(y)
        s = np.linalg.solve(yt, np.matmul(yt, gy) * half)
        s = _t(np.linalg.solve(yt, _t(s)))
        return 0.5 * (s + _t(s))


class Eigh(Function):
    symbol, rule = "eigh", "gx = v (gw + f ∘ vᵀ gv) vᵀ, f = 1 / (w' - w)"

    def forward(self, x):
        return tuple(np.linalg.eigh(x))

    def backward(self, gy, y):
        (gw, gv), (w, v) = gy, y
        eye = alike(np.eye(w.shape[-1], dtype=w.dtype), w)
        inner = column_of(gw) * eye + over_gaps((1.0 - eye) * np.matmul(_t(v), gv), w)
        return np.matmul(np.matmul(v, inner), _t(v))


class SVD(Function):
    symbol, rule = "svd", "gx = u (gs + (f ∘ uᵀgu) s + s (f ∘ vᵀgv)) vᵀ + what is outside of u and v"

    def forward(self, x):
        return tuple(np.linalg.svd(x, full_matrices=False))

    def backward(self, gy, y):
        (gu, gs, gvh), (u, s, vh) = gy, y
        ut, v, gv = _t(u), _t(vh), _t(gvh)
        eye = alike(np.eye(s.shape[-1], dtype=s.dtype), s)
        row, column = np.expand_dims(s, -2), np.expand_dims(s, -1)
        left, right = np.matmul(ut, gu), np.matmul(vh, gv)
        left, right = over_gaps(left - _t(left), s * s), over_gaps(right - _t(right), s * s)
        gx = np.matmul(np.matmul(u, eye * column_of(gs) + left * row + column * right), vh)
        gx = gx + np.matmul(divided(gu - np.matmul(u, np.matmul(ut, gu)), row), vh)
        return gx + np.matmul(u, _t(divided(gv - np.matmul(v, np.matmul(vh, gv)), row)))


def column_of(x: Value) -> Any:
    return np.expand_dims(x, -1)


def divided(a: Value, b: Value) -> Any:
    """a / b, and 0 where both are: what nothing asks for does no harm."""
    return a / np.where(np.logical_and(np.equal(a, 0.0), np.equal(b, 0.0)), 1.0, b)


def over_gaps(a: Value, w: Value) -> Any:
    """a with element i, j divided by w[j] - w[i]."""
    return divided(a, np.expand_dims(w, -2) - np.expand_dims(w, -1))


# --- what users call ----------------------------------------------------------------------------


@unary
def inv(x: Operand) -> Value:
    """The inverse of a matrix. To multiply by it, `solve` is faster and more accurate.

    >>> ag.linalg.inv(Variable([[2.0, 0.0], [0.0, 4.0]])).data
    array([[0.5 , 0.  ],
           [0.  , 0.25]])
    """
    check_square("inv", x)
    return Inv()(as_value(x))


@binary
def solve(a: Operand, b: Operand) -> Value:
    """The y with a @ y = b: a (..., N, N), b (N,) or (..., N, K).

    >>> a = Variable([[2.0, 0.0], [0.0, 4.0]])
    >>> ag.linalg.solve(a, [2.0, 2.0]).data
    array([1. , 0.5])
    """
    check_square("solve", a)
    a, b = as_value(a), as_value(b)
    if b.ndim == 1:
        y = solve(a, expand_dims(b, -1))
        return reshape(y, y.shape[:-1])
    return Solve()(a, b)


@unary
def det(x: Operand) -> Value:
    """The determinant. Its gradient asks for the inverse: a singular matrix raises LinAlgError there.

    >>> x = Variable([[1.0, 2.0], [3.0, 4.0]])
    >>> y = ag.linalg.det(x)
    >>> round(y.item(), 4), ag.grad(y, x).data  # the cofactors
    (-2.0, array([[ 4., -3.],
           [-2.,  1.]]))
    """
    check_square("det", x)
    return Det()(as_value(x))


class SlogdetResult(NamedTuple):
    """What `slogdet` returns."""

    sign: Any
    logabsdet: Any


def slogdet(x: Operand) -> SlogdetResult:
    """Sign and logarithm of the determinant, which may itself be too large or small; no gradient by the sign.

    >>> sign, logabsdet = ag.linalg.slogdet(Variable([[2.0, 0.0], [0.0, -4.0]]))
    >>> sign.item(), round(logabsdet.item(), 4)  # log 8
    (-1.0, 2.0794)
    """
    check_square("slogdet", x)
    x = as_value(x)
    y = LogDet()(x)
    s = np.linalg.slogdet(data_of(x))[0]
    return SlogdetResult(untracked(asarray(s)) if isinstance(y, Variable) else s, y)


@unary
def cholesky(x: Operand, upper: bool = False) -> Value:
    """The lower triangular L with L @ Lᵀ = x, of a symmetric positive definite x; its transpose when upper.

    Only the lower triangle of x is read; the gradient is symmetric, as x is.

    >>> ag.linalg.cholesky(Variable([[4.0, 0.0], [0.0, 9.0]])).data
    array([[2., 0.],
           [0., 3.]])
    """
    check_square("cholesky", x)
    y = Cholesky()(matrix_transpose(as_value(x)) if upper else as_value(x))
    return matrix_transpose(y) if upper else y


class EighResult(NamedTuple):
    """What `eigh` returns."""

    eigenvalues: Any
    eigenvectors: Any


def eigh(x: Operand) -> EighResult:
    """Eigenvalues, rising, and eigenvectors (columns) of a symmetric matrix.

    Only the lower triangle of x is read. Where eigenvalues are equal the eigenvectors have no
    derivative. Their sign is free, so a loss should not depend on it.

    >>> w, v = ag.linalg.eigh(Variable([[2.0, 0.0], [0.0, 1.0]]))
    >>> w.data
    array([1., 2.])
    """
    check_square("eigh", x)
    return EighResult(*Eigh()(as_value(x)))


@unary
def eigvalsh(x: Operand) -> Value:
    """The eigenvalues of a symmetric matrix, rising.

    >>> x = Variable([[2.0, 0.0], [0.0, 1.0]])
    >>> ag.grad(ag.linalg.eigvalsh(x)[1], x).data
    array([[1., 0.],
           [0., 0.]])
    """
    return eigh(x).eigenvalues


@unary
def matrix_power(x: Operand, n: int) -> Value:
    """The n-th power of a matrix, by repeated squaring; of its inverse for negative n.

    >>> ag.linalg.matrix_power(Variable([[1.0, 1.0], [0.0, 1.0]]), 5).data
    array([[1., 5.],
           [0., 1.]])
    """
    check_square("matrix_power", x)
    x = as_value(x)
    if n < 0:
        return matrix_power(inv(x), -n)
    if n == 0:
        return x * 0.0 + alike(np.eye(x.shape[-1], dtype=x.dtype), x)
    y: Any = None
    while n:
        if n % 2:
            y = x if y is None else matmul(y, x)
        n //= 2
        x = matmul(x, x) if n else x
    return y


def multi_dot(xs: Sequence[Operand]) -> Any:
    """The product of several matrices, from the left; the first and the last may be vectors.

    >>> ag.linalg.multi_dot([Variable([1.0, 2.0]), np.eye(2), [3.0, 4.0]]).item()
    11.0
    """
    return fold(matmul, [as_value(x) for x in xs])


# --- norms --------------------------------------------------------------------------------------


@unary
def norm(x: Operand, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Value:  # noqa: A002
    """The norm of vectors or matrices; by default the square root of the sum of all squares.

    Args:
        ord: of vectors a number p, or inf, -inf, 0; of matrices "fro", 1, -1, inf, -inf, 2, -2 or "nuc".
        axis: where vectors lie, or the two axes of matrices. Without, x is one vector or one matrix.

    The derivative where the norm is 0 is taken as 0, as in PyTorch.

    >>> x = Variable([3.0, 4.0])
    >>> ag.linalg.norm(x).item(), ag.grad(ag.linalg.norm(x), x).data
    (5.0, array([0.6, 0.8]))
    """
    x = as_value(x)
    if axis is None:
        if ord is None:
            y = _length(reshape(x, (-1,)), 2, (0,), False)
            return reshape(y, (1,) * x.ndim) if keepdims else y
        if x.ndim not in (1, 2):
            raise ValueError(
                f"norm with ord={ord!r} expected a vector or a matrix, or axis, got shape {x.shape}"
            )
        axis = tuple(range(x.ndim))
    axes = normalize_axes(axis, x.ndim)
    if len(axes) == 1 or (ord is None and len(axes) == 2):
        return _length(x, 2 if ord is None else ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError(f"norm expected one axis of vectors or two of matrices, got axis={axis}")
    return _size(x, ord, axes, keepdims)


def vector_norm(x: Operand, axis: Any = None, keepdims: bool = False, ord: Any = 2) -> Any:  # noqa: A002
    """The norm over one or more axes, taken as those of one vector; over all by default.

    >>> ag.linalg.vector_norm(Variable([[3.0, 4.0]])).item()
    5.0
    """
    x = as_value(x)
    axes = tuple(range(x.ndim)) if axis is None else normalize_axes(axis, x.ndim)
    return _length(x, ord, axes, keepdims)


@unary
def matrix_norm(x: Operand, keepdims: bool = False, ord: Any = "fro") -> Value:  # noqa: A002
    """The norm of matrices over the last two axes: ord "fro", 1, -1, inf, -inf, 2, -2 or "nuc".

    >>> ag.linalg.matrix_norm(Variable([[1.0, -2.0], [3.0, 4.0]]), ord=1).item()  # the largest column
    6.0
    """
    x = as_value(x)
    return _size(x, ord, (x.ndim - 2, x.ndim - 1), keepdims)


def _length(x: Any, p: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The p-norm of vectors."""
    if isinstance(p, str):
        raise ValueError(f"norm expected a number as ord of vectors, got {p!r}")
    if p == np.inf or p == -np.inf:
        return (max if p > 0 else min)(absolute(x), axes, keepdims)
    if p == 0:
        return sum(where(np.not_equal(x, 0), 1.0, x * 0.0), axes, keepdims)
    if p == 1:
        return sum(absolute(x), axes, keepdims)
    total = sum(square(x) if p == 2 else power(absolute(x), float(p)), axes, keepdims)
    if p < 0:
        return power(total, 1.0 / p)
    positive = np.greater(total, 0.0)
    inside = where(positive, total, 1.0)
    return where(positive, sqrt(inside) if p == 2 else power(inside, 1.0 / p), total)


def _size(x: Any, kind: Any, axes: tuple[int, ...], keepdims: bool) -> Any:
    """The norm of matrices."""
    rows, columns = axes
    if kind in ("fro", "f"):
        return _length(x, 2, axes, keepdims)
    if kind in (1, -1, np.inf, -np.inf):
        over, then = (rows, columns) if abs(kind) == 1 else (columns, rows)
        return (max if kind > 0 else min)(sum(absolute(x), over, True), axes, keepdims)
    if kind in (2, -2, "nuc"):
        values = svdvals(moveaxis(x, axes, (-2, -1)))
        y = sum(values, -1) if kind == "nuc" else values[..., 0 if kind == 2 else -1]
        return reshape(y, [1 if i in axes else n for i, n in enumerate(x.shape)]) if keepdims else y
    raise ValueError(
        f"norm expected 'fro', 'nuc', 1, -1, 2, -2, inf or -inf as ord of matrices, got {kind!r}"
    )


# --- singular values ----------------------------------------------------------------------------


class SVDResult(NamedTuple):
    """What `svd` returns."""

    U: Any
    S: Any
    Vh: Any


def svd(x: Operand, full_matrices: bool = True) -> SVDResult:
    """The singular value decomposition: x = (U * S) @ Vh, S falling.

    With full_matrices U and Vh are square, and what is added has no derivative: a TypeError if x requires
    grad.

    Where singular values are equal U and Vh have no derivative. Their signs are free, so a loss should not
    depend on them.

    >>> U, S, Vh = ag.linalg.svd(Variable([[0.0, 3.0], [2.0, 0.0]]), full_matrices=False)
    >>> S.data, ((U * S) @ Vh).data
    (array([3., 2.]), array([[0., 3.],
           [2., 0.]]))
    """
    if not full_matrices:
        return SVDResult(*SVD()(as_value(x)))
    if isinstance(x, Variable) and x.requires_grad:
        raise TypeError("svd of what requires grad needs full_matrices=False, as the rest has no derivative")
    return SVDResult(*np.linalg.svd(data_of(x)))


@unary
def svdvals(x: Operand) -> Value:
    """The singular values of a matrix, falling.

    >>> ag.linalg.svdvals(Variable([[0.0, 3.0], [2.0, 0.0]])).data
    array([3., 2.])
    """
    return svd(x, full_matrices=False).S
