"""Elementwise primitives: one class each, forward above backward, and the function users call.

Two-operand ones broadcast; the walk sums their gradients back. A backward uses only operations that
are themselves differentiable, so every order of derivative follows from these lines.
"""

from typing import Any

import numpy as np

from ..core import Array, Function, Variable, constant


class Unary(Function):
    """One array in, one of the same shape out."""


class Binary(Function):
    """Two arrays in, broadcast against each other."""

    broadcasts = True


# --- arithmetic ---------------------------------------------------------------------------------


class Add(Binary):
    symbol, rule = "+", "ga = gy, gb = gy"

    def forward(self, a: Array, b: Array) -> Array:
        return np.add(a, b)

    def backward(self, gy: Any) -> Any:
        return gy, gy


class Sub(Binary):
    symbol, rule = "−", "ga = gy, gb = -gy"

    def forward(self, a: Array, b: Array) -> Array:
        return np.subtract(a, b)

    def backward(self, gy: Any) -> Any:
        return gy, -gy if self.needs(1) else None


class Mul(Binary):
    symbol, rule = "×", "ga = gy b, gb = gy a"

    def forward(self, a: Array, b: Array) -> Array:
        return np.multiply(a, b)

    def backward(self, gy: Any, a: Any, b: Any) -> Any:
        return gy * b if self.needs(0) else None, gy * a if self.needs(1) else None


class Div(Binary):
    symbol, rule = "/", "ga = gy / b, gb = -gy y / b"

    def forward(self, a: Array, b: Array) -> Array:
        return np.true_divide(a, b)

    def backward(self, gy: Any, y: Any, b: Any) -> Any:
        ga = gy / b
        return ga, -ga * y if self.needs(1) else None


class Neg(Unary):
    symbol, rule = "−", "gx = -gy"

    def forward(self, x: Array) -> Array:
        return np.negative(x)

    def backward(self, gy: Any) -> Any:
        return -gy


class Power(Unary):
    """x to a constant power; `ArrayPower` is the case where the exponent is an array too."""

    symbol, rule = "xⁿ", "gx = gy n xⁿ⁻¹"

    def __init__(self, n: float):
        self.n = n
        self.symbol = f"x^{n:g}"

    def forward(self, x: Array) -> Array:
        return np.power(x, self.n)

    def backward(self, gy: Any, x: Any) -> Any:
        if self.n == 0:
            return gy * 0.0
        return gy * (self.n * x ** (self.n - 1))


class ArrayPower(Binary):
    symbol, rule = "aᵇ", "ga = gy b aᵇ⁻¹, gb = gy y log a"

    def forward(self, a: Array, b: Array) -> Array:
        return np.power(a, b)

    def backward(self, gy: Any, y: Any, a: Any, b: Any) -> Any:
        zero = np.equal(b, 0)  # a⁰ is 1 also at a = 0
        ga = np.where(zero, 0.0, gy * b * a ** np.where(zero, 1.0, b - 1.0)) if self.needs(0) else None
        if not self.needs(1):
            return ga, None
        flat = np.logical_and(np.equal(a, 0), np.greater_equal(b, 0))  # 0ᵇ does not change with b
        with np.errstate(divide="ignore", invalid="ignore"):  # NaN below a = 0, infinite at 0 where b < 0
            log_a = np.log(np.where(flat, np.ones((), gy.dtype), a))  # a number takes the dtype of gy
            return ga, np.where(flat, 0.0, gy * y * log_a)


class Abs(Unary):
    symbol, rule = "|x|", "gx = gy sign x"

    def forward(self, x: Array) -> Array:
        return np.absolute(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return gy * np.sign(x)


class Sign(Unary):
    symbol, rule = "sign", "gx = 0"

    def forward(self, x: Array) -> Array:
        return np.sign(x)

    def backward(self, gy: Any) -> Any:
        return gy * 0.0


class Square(Unary):
    symbol, rule = "x²", "gx = 2 gy x"

    def forward(self, x: Array) -> Array:
        return np.square(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return 2.0 * gy * x


class Reciprocal(Unary):
    symbol, rule = "1/x", "gx = -gy y²"

    def forward(self, x: Array) -> Array:
        return np.reciprocal(x)

    def backward(self, gy: Any, y: Any) -> Any:
        return -gy * y * y


class Sqrt(Unary):
    symbol, rule = "√", "gx = gy / 2y"

    def forward(self, x: Array) -> Array:
        return np.sqrt(x)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy / (2.0 * y)


# --- choosing -----------------------------------------------------------------------------------


class Maximum(Binary):
    symbol, rule = "max", "ga = gy [a > b], gb = gy [b > a]; ties share"

    def forward(self, a: Array, b: Array) -> Array:
        return np.maximum(a, b)

    def backward(self, gy: Any, a: Any, b: Any) -> Any:
        return gy * share(a, b, gy.dtype), gy * share(b, a, gy.dtype)


class Minimum(Binary):
    symbol, rule = "min", "ga = gy [a < b], gb = gy [b < a]; ties share"

    def forward(self, a: Array, b: Array) -> Array:
        return np.minimum(a, b)

    def backward(self, gy: Any, a: Any, b: Any) -> Any:
        return gy * share(b, a, gy.dtype), gy * share(a, b, gy.dtype)


def share(a: Any, b: Any, dtype: Any) -> Any:
    """0 where a < b, ½ where they are equal, else 1: a NaN wins over every number, for both."""
    return 1.0 - 0.5 * np.add(np.less(a, b), np.less_equal(a, b), dtype=dtype)


class Where(Function):
    symbol, rule = "where", "ga = gy where c, gb = gy where not c"
    broadcasts = True

    def forward(self, condition: Array, a: Array, b: Array) -> Array:
        return np.where(condition, a, b)

    def backward(self, gy: Any, condition: Any) -> Any:
        return None, np.where(condition, gy, 0.0), np.where(condition, 0.0, gy)


class Lerp(Function):
    symbol, rule = "(1−w)·a + w·b", "ga = gy (1 - w), gb = gy w, gw = gy (b - a)"
    broadcasts = True

    def forward(self, a: Array, b: Array, w: Array) -> Array:
        return a + w * (b - a)

    def backward(self, gy: Any, a: Any, b: Any, w: Any) -> Any:
        gb = gy * w
        return gy - gb, gb, gy * (b - a) if self.needs(2) else None


class Clip(Unary):
    symbol, rule = "clip", "gx = gy [lo ≤ x ≤ hi]"

    def __init__(self, lo: Any, hi: Any):
        self.lo, self.hi = lo, hi

    def forward(self, x: Array) -> Array:
        return np.clip(x, self.lo, self.hi)

    def backward(self, gy: Any, x: Any) -> Any:
        inside = np.ones_like(x, dtype=bool)
        if self.lo is not None:
            inside &= np.greater_equal(x, self.lo)
        if self.hi is not None:
            inside &= np.less_equal(x, self.hi)
        return gy * inside


class Relu(Unary):
    symbol, rule = "relu", "gx = gy [y > 0]"

    def forward(self, x: Array) -> Array:
        return np.maximum(x, 0.0)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy * np.not_equal(y, 0.0)  # y is never negative, and what is made of NaN has a gradient


# --- exponentials and friends -------------------------------------------------------------------


class Exp(Unary):
    symbol, rule = "exp", "gx = gy y"

    def forward(self, x: Array) -> Array:
        return np.exp(x)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy * y


class Expm1(Unary):
    symbol, rule = "expm1", "gx = gy (y + 1)"

    def forward(self, x: Array) -> Array:
        return np.expm1(x)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy * (y + 1.0)


class Log(Unary):
    symbol, rule = "log", "gx = gy / x"

    def forward(self, x: Array) -> Array:
        return np.log(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return gy / x


class Log1p(Unary):
    symbol, rule = "log1p", "gx = gy / (1 + x)"

    def forward(self, x: Array) -> Array:
        return np.log1p(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return gy / (1.0 + x)


class Sin(Unary):
    symbol, rule = "sin", "gx = gy cos x"

    def forward(self, x: Array) -> Array:
        return np.sin(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return gy * np.cos(x)


class Cos(Unary):
    symbol, rule = "cos", "gx = -gy sin x"

    def forward(self, x: Array) -> Array:
        return np.cos(x)

    def backward(self, gy: Any, x: Any) -> Any:
        return -gy * np.sin(x)


class Tanh(Unary):
    symbol, rule = "tanh", "gx = gy (1 - y²)"

    def forward(self, x: Array) -> Array:
        return np.tanh(x)

    def backward(self, gy: Any, y: Any) -> Any:
        return gy - gy * y * y


# By dtype: an x from which on σ is 1, while its eˣ is still finite; and 1. Ufuncs take 0-d arrays faster than
# Python numbers.
SATURATED = {c: (np.array(10.0 if c == "e" else 45.0, c), np.array(1.0, c)) for c in "efd"}


class Sigmoid(Unary):
    symbol, rule = "σ", "gx = gy y (1 - y)"

    def forward(self, x: Array) -> Array:
        top, one = SATURATED.get(x.dtype.char if hasattr(x, "dtype") else "d", SATURATED["d"])
        if not isinstance(x, np.ndarray):
            top, one = top.item(), one.item()
        y = np.exp(np.minimum(x, top))  # of (1 + tanh(x/2)) / 2 nothing is left where eˣ is small
        y /= y + one
        return y

    def backward(self, gy: Any, y: Any) -> Any:
        gx = gy * y
        gx -= gx * y
        return gx


class Silu(Unary):
    symbol, rule = "silu", "gx = gy (σ + y (1 - σ)), σ = σ(x)"

    def forward(self, x: Array) -> Array:
        e = np.exp(
            0.5 * np.minimum(x, SATURATED.get(getattr(x, "dtype", np.dtype("d")).char, SATURATED["d"])[0])
        )
        return x * e * (e / (1.0 + e * e))  # x √eˣ √eˣ / (1 + eˣ): eˣ may be too small where x eˣ is not

    def backward(self, gy: Any, y: Any, x: Any) -> Any:
        s = sigmoid(x)
        return gy * (s + y * (1.0 - s))


class Softplus(Unary):
    symbol, rule = "softplus", "gx = gy σ(x)"

    def forward(self, x: Array) -> Array:
        return np.logaddexp(x, 0.0)

    def backward(self, gy: Any, x: Any) -> Any:
        return gy * sigmoid(x)


class Cast(Unary):
    """The same numbers in another floating-point type."""

    symbol, rule = "cast", "gx = gy"

    def __init__(self, dtype: Any):
        self.dtype = np.dtype(dtype)

    def forward(self, x: Array) -> Array:
        return x.astype(self.dtype)

    def backward(self, gy: Any) -> Any:
        return gy  # the walk casts every gradient to the dtype of its input


# --- what users call ----------------------------------------------------------------------------


def add(a: Any, b: Any) -> Any:
    """a + b, broadcasting."""
    return Add()(a, b)


def subtract(a: Any, b: Any) -> Any:
    """a - b, broadcasting."""
    return Sub()(a, b)


def multiply(a: Any, b: Any) -> Any:
    """a * b elementwise, broadcasting."""
    return Mul()(a, b)


def divide(a: Any, b: Any) -> Any:
    """a / b elementwise, broadcasting."""
    return Div()(a, b)


def negative(x: Any) -> Any:
    """-x."""
    return Neg()(x)


def power(a: Any, b: Any) -> Any:
    """a to the power b, broadcasting; b may be a number, an array or a Variable."""
    if isinstance(b, Variable) or np.ndim(b) > 0:
        return ArrayPower()(a, b)
    return Power(constant(b))(a)


def absolute(x: Any) -> Any:
    """|x|; the derivative at 0 is 0."""
    return Abs()(x)


def sign(x: Any) -> Any:
    """-1, 0 or 1; the derivative is 0 everywhere."""
    return Sign()(x)


def square(x: Any) -> Any:
    """x²."""
    return Square()(x)


def reciprocal(x: Any) -> Any:
    """1 / x."""
    return Reciprocal()(x)


def sqrt(x: Any) -> Any:
    """√x."""
    return Sqrt()(x)


def maximum(a: Any, b: Any) -> Any:
    """The larger of a and b, broadcasting; equal ones share the gradient."""
    return Maximum()(a, b)


def minimum(a: Any, b: Any) -> Any:
    """The smaller of a and b, broadcasting; equal ones share the gradient."""
    return Minimum()(a, b)


def where(condition: Any, a: Any, b: Any) -> Any:
    """a where condition holds, else b; the three broadcast against each other."""
    return Where()(condition, a, b)


def lerp(a: Any, b: Any, w: Any) -> Any:
    """From a to b as w goes from 0 to 1: a + w (b - a), which is (1 - w) a + w b; broadcasting."""
    return Lerp()(a, b, w)


def clip(x: Any, a_min: Any = None, a_max: Any = None) -> Any:
    """x held within bounds, either of which may be None.

    Bounds that are numbers pass the gradient where x is equal to them. Arrays and Variables broadcast,
    get a gradient of their own and share it where x is equal to them, as in `maximum`.
    """
    bounds = (a_min, a_max)
    if all(not isinstance(b, Variable) and np.ndim(b) == 0 for b in bounds):
        return Clip(*[None if b is None else constant(b) for b in bounds])(x)
    x = x if a_min is None else maximum(x, a_min)
    return x if a_max is None else minimum(x, a_max)


def relu(x: Any) -> Any:
    """max(x, 0); the derivative at 0 is 0."""
    return Relu()(x)


def exp(x: Any) -> Any:
    """eˣ."""
    return Exp()(x)


def expm1(x: Any) -> Any:
    """eˣ - 1, exact for small x."""
    return Expm1()(x)


def log(x: Any) -> Any:
    """The natural logarithm."""
    return Log()(x)


def log1p(x: Any) -> Any:
    """log(1 + x), exact for small x."""
    return Log1p()(x)


def sin(x: Any) -> Any:
    """sin x, x in radians."""
    return Sin()(x)


def cos(x: Any) -> Any:
    """cos x, x in radians."""
    return Cos()(x)


def tanh(x: Any) -> Any:
    """tanh x."""
    return Tanh()(x)


def sigmoid(x: Any) -> Any:
    """σ(x) = 1 / (1 + e⁻ˣ), without overflow for any x."""
    return Sigmoid()(x)


def softplus(x: Any) -> Any:
    """log(1 + eˣ), without overflow for any x."""
    return Softplus()(x)


def leaky_relu(x: Any, negative_slope: float = 0.01) -> Any:
    """x where positive, else negative_slope times x."""
    return where(np.greater(x, 0.0), x, negative_slope * x)


def elu(x: Any, alpha: float = 1.0) -> Any:
    """x where positive, else alpha (eˣ - 1)."""
    positive = np.greater(x, 0.0)
    return where(positive, x, alpha * expm1(where(positive, 0.0, x)))


def silu(x: Any) -> Any:
    """x σ(x), also known as swish."""
    return Silu()(x)


def gelu(x: Any) -> Any:
    """x Φ(x) in its tanh form: x/2 (1 + tanh(z)) = x σ(2z), z = √(2/π) (x + 0.044715 x³)."""
    return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))


def astype(x: Any, dtype: Any) -> Any:
    """x in another dtype. To integers or bools the result is a constant."""
    return Cast(dtype)(x)
