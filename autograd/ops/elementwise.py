"""Elementwise primitives: one class each, forward above backward, and the function users call.

Two-operand ones broadcast; the walk sums their gradients back. A backward uses only operations that
are themselves differentiable, so every order of derivative follows from these lines.
"""

from typing import Any, overload

import numpy as np
from numpy.typing import DTypeLike

from ..core import Array, Function, Operand, Plain, Value, Variable, constant
from .signatures import binary, ternary, unary


class Unary(Function):
    """One array in, one of the same shape out."""


class Binary(Function):
    """Two arrays in, broadcast against each other."""

    broadcasts = True


# --- arithmetic ---------------------------------------------------------------------------------


class Add(Binary):
    symbol, rule = "+", "ga = gy, gb = gy"

    def forward(self, a, b):
        return np.add(a, b)

    def backward(self, gy):
        return gy, gy


class Sub(Binary):
    symbol, rule = "−", "ga = gy, gb = -gy"

    def forward(self, a, b):
        return np.subtract(a, b)

    def backward(self, gy):
        return gy, -gy if self.needs(1) else None


class Mul(Binary):
    symbol, rule = "×", "ga = gy b, gb = gy a"

    def forward(self, a, b):
        return np.multiply(a, b)

    def backward(self, gy, a, b):
        return gy * b if self.needs(0) else None, gy * a if self.needs(1) else None


class Div(Binary):
    symbol, rule = "/", "ga = gy / b, gb = -gy y / b"

    def forward(self, a, b):
        return np.true_divide(a, b)

    def backward(self, gy, y, b):
        ga = gy / b
        return ga, -ga * y if self.needs(1) else None


class Neg(Unary):
    symbol, rule = "−", "gx = -gy"

    def forward(self, x):
        return np.negative(x)

    def backward(self, gy):
        return -gy


class Power(Unary):
    """x to a constant power; `ArrayPower` is the case where the exponent is an array too."""

    symbol, rule = "xⁿ", "gx = gy n xⁿ⁻¹"

    def __init__(self, n: float):
        self.n = n
        self.symbol = f"x^{n:g}"

    def forward(self, x):
        return np.power(x, self.n)

    def backward(self, gy, x):
        if self.n == 0:
            return gy * 0.0
        return gy * (self.n * x ** (self.n - 1))


class ArrayPower(Binary):
    symbol, rule = "aᵇ", "ga = gy b aᵇ⁻¹, gb = gy y log a"

    def forward(self, a, b):
        return np.power(a, b)

    def backward(self, gy, y, a, b):
        zero = np.equal(b, 0)  # a⁰ is 1 also at a = 0
        ga = np.where(zero, 0.0, gy * b * a ** np.where(zero, 1.0, b - 1.0)) if self.needs(0) else None
        if not self.needs(1):
            return ga, None
        flat = np.logical_and(np.equal(a, 0), np.greater_equal(b, 0))  # 0ᵇ does not change with b
        with np.errstate(divide="ignore", invalid="ignore"):  # NaN below a = 0, infinite at 0 where b < 0
            log_a = np.log(np.where(flat, gy.dtype.type(1), a))  # a number takes the dtype of gy
            return ga, np.where(flat, 0.0, gy * y * log_a)


class Abs(Unary):
    symbol, rule = "|x|", "gx = gy sign x"

    def forward(self, x):
        return np.absolute(x)

    def backward(self, gy, x):
        return gy * np.sign(x)


class Sign(Unary):
    symbol, rule = "sign", "gx = 0"

    def forward(self, x):
        return np.sign(x)

    def backward(self, gy):
        return gy * 0.0


class Square(Unary):
    symbol, rule = "x²", "gx = 2 gy x"

    def forward(self, x):
        return np.square(x)

    def backward(self, gy, x):
        return 2.0 * gy * x


class Reciprocal(Unary):
    symbol, rule = "1/x", "gx = -gy y²"

    def forward(self, x):
        return np.reciprocal(x)

    def backward(self, gy, y):
        return -gy * y * y


class Sqrt(Unary):
    symbol, rule = "√", "gx = gy / 2y"

    def forward(self, x):
        return np.sqrt(x)

    def backward(self, gy, y):
        return gy / (2.0 * y)


# --- choosing -----------------------------------------------------------------------------------


class Maximum(Binary):
    symbol, rule = "max", "ga = gy [a > b], gb = gy [b > a]; ties share"

    def forward(self, a, b):
        return np.maximum(a, b)

    def backward(self, gy, a, b):
        return gy * share(a, b, gy.dtype), gy * share(b, a, gy.dtype)


class Minimum(Binary):
    symbol, rule = "min", "ga = gy [a < b], gb = gy [b < a]; ties share"

    def forward(self, a, b):
        return np.minimum(a, b)

    def backward(self, gy, a, b):
        return gy * share(b, a, gy.dtype), gy * share(a, b, gy.dtype)


def share(a: Any, b: Any, dtype: Any) -> Any:
    """The part of the gradient that goes to a: 0 where a < b, ½ at ties, else 1, also where one is NaN."""
    return 1.0 - 0.5 * np.add(np.less(a, b), np.less_equal(a, b), dtype=dtype)


class Where(Function):
    symbol, rule = "where", "ga = gy where c, gb = gy where not c"
    broadcasts = True

    def forward(self, condition, a, b):
        return np.where(condition, a, b)

    def backward(self, gy, condition):
        return None, np.where(condition, gy, 0.0), np.where(condition, 0.0, gy)


class Lerp(Function):
    symbol, rule = "(1−w)·a + w·b", "ga = gy (1 - w), gb = gy w, gw = gy (b - a)"
    broadcasts = True

    def forward(self, a, b, w):
        return a + w * (b - a)

    def backward(self, gy, a, b, w):
        gb = gy * w
        return gy - gb, gb, gy * (b - a) if self.needs(2) else None


class Clip(Unary):
    symbol, rule = "clip", "gx = gy [lo ≤ x ≤ hi]"

    def __init__(self, lo: float | None, hi: float | None):
        self.lo, self.hi = lo, hi

    def forward(self, x):
        return np.clip(x, self.lo, self.hi)

    def backward(self, gy, x):
        inside = np.ones_like(x, dtype=bool)
        if self.lo is not None:
            inside &= np.greater_equal(x, self.lo)
        if self.hi is not None:
            inside &= np.less_equal(x, self.hi)
        return gy * inside


class Relu(Unary):
    symbol, rule = "relu", "gx = gy [y > 0]"

    def forward(self, x):
        return np.maximum(x, 0.0)

    def backward(self, gy, y):
        return gy * np.not_equal(y, 0.0)  # y is never negative; a NaN passes its gradient on


# --- exponentials and friends -------------------------------------------------------------------


class Exp(Unary):
    symbol, rule = "exp", "gx = gy y"

    def forward(self, x):
        return np.exp(x)

    def backward(self, gy, y):
        return gy * y


class Expm1(Unary):
    symbol, rule = "expm1", "gx = gy (y + 1)"

    def forward(self, x):
        return np.expm1(x)

    def backward(self, gy, y):
        return gy * (y + 1.0)


class Log(Unary):
    symbol, rule = "log", "gx = gy / x"

    def forward(self, x):
        return np.log(x)

    def backward(self, gy, x):
        return gy / x


class Log1p(Unary):
    symbol, rule = "log1p", "gx = gy / (1 + x)"

    def forward(self, x):
        return np.log1p(x)

    def backward(self, gy, x):
        return gy / (1.0 + x)


class Sin(Unary):
    symbol, rule = "sin", "gx = gy cos x"

    def forward(self, x):
        return np.sin(x)

    def backward(self, gy, x):
        return gy * np.cos(x)


class Cos(Unary):
    symbol, rule = "cos", "gx = -gy sin x"

    def forward(self, x):
        return np.cos(x)

    def backward(self, gy, x):
        return -gy * np.sin(x)


class Tanh(Unary):
    symbol, rule = "tanh", "gx = gy (1 - y²)"

    def forward(self, x):
        return np.tanh(x)

    def backward(self, gy, y):
        return gy - gy * y * y


# By dtype: an x beyond which σ(x) is 1 and at which eˣ is still finite; and the number 1. Ufuncs take 0-d
# arrays faster than Python numbers.
SATURATED = {c: (np.array(10.0 if c == "e" else 45.0, c), np.array(1.0, c)) for c in "efd"}


class Sigmoid(Unary):
    symbol, rule = "σ", "gx = gy y (1 - y)"

    def forward(self, x):
        top, one = SATURATED.get(x.dtype.char if hasattr(x, "dtype") else "d", SATURATED["d"])
        if not isinstance(x, np.ndarray):
            top, one = top.item(), one.item()
        y = np.exp(np.minimum(x, top))  # (1 + tanh(x/2)) / 2 has no digits left where eˣ is small
        y /= y + one
        return y

    def backward(self, gy, y):
        gx = gy * y
        gx -= gx * y
        return gx


class Silu(Unary):
    symbol, rule = "silu", "gx = gy (σ + y (1 - σ)), σ = σ(x)"

    def forward(self, x):
        top, _ = SATURATED.get(x.dtype.char if hasattr(x, "dtype") else "d", SATURATED["d"])
        e = np.exp(0.5 * np.minimum(x, top if isinstance(x, np.ndarray) else top.item()))
        return x * e * (e / (1.0 + e * e))  # x √eˣ √eˣ / (1 + eˣ): eˣ may be too small where x eˣ is not

    def backward(self, gy, y, x):
        s = sigmoid(x)
        return gy * (s + y * (1.0 - s))


class Softplus(Unary):
    symbol, rule = "softplus", "gx = gy σ(x)"

    def forward(self, x):
        return np.logaddexp(x, 0.0)

    def backward(self, gy, x):
        return gy * sigmoid(x)


class Cast(Unary):
    """The same numbers in another floating-point type."""

    symbol, rule = "cast", "gx = gy"

    def __init__(self, dtype: DTypeLike):
        self.dtype = np.dtype(dtype)

    def forward(self, x):
        return x.astype(self.dtype)

    def backward(self, gy):
        return gy  # the walk casts every gradient to the dtype of its input


# --- what users call ----------------------------------------------------------------------------


@binary
def add(a: Operand, b: Operand) -> Value:
    """a + b, broadcasting.

    >>> ag.add(Variable([1.0, 2.0]), 10.0)
    Variable([11., 12.], creator=Add)
    """
    return Add()(a, b)


@binary
def subtract(a: Operand, b: Operand) -> Value:
    """a - b, broadcasting.

    >>> ag.subtract(10.0, Variable([1.0, 2.0]))
    Variable([9., 8.], creator=Sub)
    """
    return Sub()(a, b)


@binary
def multiply(a: Operand, b: Operand) -> Value:
    """a * b elementwise, broadcasting.

    >>> x, y = Variable(3.0), Variable(5.0)
    >>> [g.item() for g in ag.grad(ag.multiply(x, y), [x, y])]
    [5.0, 3.0]
    """
    return Mul()(a, b)


@binary
def divide(a: Operand, b: Operand) -> Value:
    """a / b elementwise, broadcasting.

    >>> ag.divide(Variable([1.0, 2.0]), 4.0)
    Variable([0.25, 0.5 ], creator=Div)
    """
    return Div()(a, b)


@unary
def negative(x: Operand) -> Value:
    """-x.

    >>> ag.negative(Variable([1.0, -2.0]))
    Variable([-1.,  2.], creator=Neg)
    """
    return Neg()(x)


@binary
def power(a: Operand, b: Operand) -> Value:
    """a to the power b, broadcasting; b may be a number, an array or a Variable.

    >>> x = Variable(2.0)
    >>> ag.power(x, 3), ag.grad(ag.power(x, 3), x).data  # 3 x²
    (Variable(8., creator=Power), array(12.))
    """
    if isinstance(b, Variable) or np.ndim(b) > 0:
        return ArrayPower()(a, b)
    return Power(constant(b))(a)


@unary
def absolute(x: Operand) -> Value:
    """|x|; the derivative at 0 is 0.

    >>> x = Variable([-3.0, 0.0, 2.0])
    >>> ag.grad(ag.abs(x).sum(), x).data
    array([-1.,  0.,  1.])
    """
    return Abs()(x)


@unary
def sign(x: Operand) -> Value:
    """-1, 0 or 1; the derivative is 0 everywhere.

    >>> ag.sign(Variable([-3.0, 0.0, 2.0]))
    Variable([-1.,  0.,  1.], creator=Sign)
    """
    return Sign()(x)


@unary
def square(x: Operand) -> Value:
    """x².

    >>> x = Variable([1.0, 3.0])
    >>> ag.grad(ag.square(x).sum(), x).data  # 2 x
    array([2., 6.])
    """
    return Square()(x)


@unary
def reciprocal(x: Operand) -> Value:
    """1 / x.

    >>> ag.reciprocal(Variable([2.0, 4.0]))
    Variable([0.5 , 0.25], creator=Reciprocal)
    """
    return Reciprocal()(x)


@unary
def sqrt(x: Operand) -> Value:
    """√x.

    >>> x = Variable([4.0, 9.0])
    >>> ag.grad(ag.sqrt(x).sum(), x).data  # 1 / 2√x
    array([0.25  , 0.1667])
    """
    return Sqrt()(x)


@binary
def maximum(a: Operand, b: Operand) -> Value:
    """The larger of a and b, broadcasting; equal ones share the gradient.

    >>> x = Variable([-1.0, 2.0, 5.0])
    >>> y = ag.maximum(x, 2.0)
    >>> y, ag.grad(y.sum(), x).data
    (Variable([2., 2., 5.], creator=Maximum), array([0. , 0.5, 1. ]))
    """
    return Maximum()(a, b)


@binary
def minimum(a: Operand, b: Operand) -> Value:
    """The smaller of a and b, broadcasting; equal ones share the gradient.

    >>> ag.minimum(Variable([-1.0, 2.0, 5.0]), 2.0)
    Variable([-1.,  2.,  2.], creator=Minimum)
    """
    return Minimum()(a, b)


@ternary
def where(condition: Operand, a: Operand, b: Operand) -> Value:
    """a where condition holds, else b; the three broadcast against each other.

    >>> x = Variable([1.0, 2.0, 3.0])
    >>> ag.where(x > 1.5, x, 0.0)
    Variable([0., 2., 3.], creator=Where)
    """
    return Where()(condition, a, b)


@ternary
def lerp(a: Operand, b: Operand, w: Operand) -> Value:
    """From a to b as w goes from 0 to 1: a + w (b - a), which is (1 - w) a + w b; broadcasting.

    >>> ag.lerp(Variable(10.0), 20.0, [0.0, 0.25, 1.0])
    Variable([10. , 12.5, 20. ], creator=Lerp)
    """
    return Lerp()(a, b, w)


@overload
def clip(x: Variable, a_min: Operand | None = None, a_max: Operand | None = None) -> Variable: ...
@overload
def clip(x: Plain, a_min: Plain | None = None, a_max: Plain | None = None) -> Array: ...
@overload
def clip(x: Plain, a_min: Variable | None = None, a_max: Variable | None = None) -> Variable: ...
def clip(x: Operand, a_min: Operand | None = None, a_max: Operand | None = None) -> Value:
    """x held within bounds, either of which may be None.

    Bounds that are numbers pass the gradient where x is equal to them. Arrays and Variables broadcast,
    get a gradient of their own and share it where x is equal to them, as in `maximum`.

    >>> x = Variable([-3.0, 0.5, 1.0, 7.0])
    >>> y = ag.clip(x, 0.0, 1.0)
    >>> y, ag.grad(y.sum(), x).data
    (Variable([0. , 0.5, 1. , 1. ], creator=Clip), array([0., 1., 1., 0.]))
    """
    bounds: Any = (a_min, a_max)
    if all(not isinstance(b, Variable) and np.ndim(b) == 0 for b in bounds):
        return Clip(*[None if b is None else constant(b) for b in bounds])(x)
    y: Any = x if a_min is None else maximum(x, a_min)
    return y if a_max is None else minimum(y, a_max)


@unary
def relu(x: Operand) -> Value:
    """max(x, 0); the derivative at 0 is 0.

    >>> x = Variable([-1.0, 0.0, 2.0])
    >>> ag.relu(x), ag.grad(ag.relu(x).sum(), x).data
    (Variable([0., 0., 2.], creator=Relu), array([0., 0., 1.]))
    """
    return Relu()(x)


@unary
def exp(x: Operand) -> Value:
    """eˣ.

    >>> ag.exp(Variable([0.0, 1.0]))
    Variable([1.    , 2.7183], creator=Exp)
    """
    return Exp()(x)


@unary
def expm1(x: Operand) -> Value:
    """eˣ - 1, exact for small x.

    >>> float(ag.expm1(1e-20)), float(ag.exp(1e-20) - 1.0)
    (1e-20, 0.0)
    """
    return Expm1()(x)


@unary
def log(x: Operand) -> Value:
    """The natural logarithm.

    >>> x = Variable([1.0, 2.0])
    >>> ag.grad(ag.log(x).sum(), x).data  # 1 / x
    array([1. , 0.5])
    """
    return Log()(x)


@unary
def log1p(x: Operand) -> Value:
    """log(1 + x), exact for small x.

    >>> float(ag.log1p(1e-20)), float(ag.log(1.0 + 1e-20))
    (1e-20, 0.0)
    """
    return Log1p()(x)


@unary
def sin(x: Operand) -> Value:
    """sin x, x in radians.

    >>> ag.sin(Variable([0.0, np.pi / 2]))
    Variable([0., 1.], creator=Sin)
    """
    return Sin()(x)


@unary
def cos(x: Operand) -> Value:
    """cos x, x in radians.

    >>> ag.cos(Variable([0.0, np.pi]))
    Variable([ 1., -1.], creator=Cos)
    """
    return Cos()(x)


@unary
def tanh(x: Operand) -> Value:
    """tanh x.

    >>> x = Variable([0.0, 1.0])
    >>> ag.tanh(x), ag.grad(ag.tanh(x).sum(), x).data  # 1 - tanh² x
    (Variable([0.    , 0.7616], creator=Tanh), array([1.  , 0.42]))
    """
    return Tanh()(x)


@unary
def sigmoid(x: Operand) -> Value:
    """σ(x) = 1 / (1 + e⁻ˣ), without overflow for any x.

    >>> ag.sigmoid(Variable([-1000.0, 0.0, 2.0]))
    Variable([0.    , 0.5   , 0.8808], creator=Sigmoid)
    """
    return Sigmoid()(x)


@unary
def softplus(x: Operand, beta: float = 1.0, threshold: float | None = None) -> Value:
    """log(1 + e^(beta x)) / beta, without overflow for any x.

    With a threshold, x itself where beta x is above it, as in PyTorch, whose default of 20 changes 2e-9.

    Raises:
        ValueError: beta is not above 0.

    >>> ag.softplus(Variable([-1000.0, 0.0, 1000.0]))
    Variable([   0.    ,    0.6931, 1000.    ], creator=Softplus)
    >>> ag.softplus(Variable([0.0, 2.0]), beta=2.0, threshold=3.0)  # log 2 / 2, and x
    Variable([0.3466, 2.    ], creator=Where)
    """
    if not beta > 0:
        raise ValueError(f"softplus expected beta above 0, got {beta}")
    z = x if beta == 1 else multiply(x, beta)
    y = Softplus()(z) if beta == 1 else divide(Softplus()(z), beta)
    return y if threshold is None else where(np.greater(z, threshold), x, y)


@unary
def leaky_relu(x: Operand, negative_slope: float = 0.01) -> Value:
    """x where positive, else negative_slope times x.

    >>> ag.leaky_relu(Variable([-2.0, 3.0]))
    Variable([-0.02,  3.  ], creator=Where)
    """
    return where(np.greater(x, 0.0), x, multiply(negative_slope, x))


@unary
def elu(x: Operand, alpha: float = 1.0) -> Value:
    """x where positive, else alpha (eˣ - 1).

    >>> ag.elu(Variable([-1.0, 3.0]))
    Variable([-0.6321,  3.    ], creator=Where)
    """
    positive = np.greater(x, 0.0)
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


@unary
def silu(x: Operand) -> Value:
    """x σ(x), also known as swish.

    >>> ag.silu(Variable([-1.0, 0.0, 2.0]))
    Variable([-0.2689,  0.    ,  1.7616], creator=Silu)
    """
    return Silu()(x)


@unary
def astype(x: Operand, dtype: DTypeLike) -> Value:
    """x in another dtype. To integers or bools the result is a constant.

    >>> ag.astype(Variable([1.5, -1.5]), np.float32)
    Variable([ 1.5, -1.5], dtype=float32, creator=Cast)
    """
    return Cast(dtype)(x)
