"""NumPy's other elementwise functions: trigonometric, hyperbolic, more logarithms, remainders, rounding.

Those that networks are made of are in `elementwise`. What is constant between its jumps, such as `round`, has
the derivative 0.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..core import Function, Operand, Value, data_of
from .elementwise import Binary, Unary, divide, maximum, minimum, multiply, sign, sin, subtract, where
from .signatures import binary, unary

LN2, LN10 = math.log(2.0), math.log(10.0)


# --- trigonometric and hyperbolic ---------------------------------------------------------------


class Tan(Unary):
    symbol, rule = "tan", "gx = gy (1 + y²)"

    def forward(self, x):
        return np.tan(x)

    def backward(self, gy, y):
        return gy * (1.0 + y * y)


class Sinh(Unary):
    symbol, rule = "sinh", "gx = gy cosh x"

    def forward(self, x):
        return np.sinh(x)

    def backward(self, gy, x):
        return gy * np.cosh(x)


class Cosh(Unary):
    symbol, rule = "cosh", "gx = gy sinh x"

    def forward(self, x):
        return np.cosh(x)

    def backward(self, gy, x):
        return gy * np.sinh(x)


class Arcsin(Unary):
    symbol, rule = "arcsin", "gx = gy / √(1 - x²)"

    def forward(self, x):
        return np.arcsin(x)

    def backward(self, gy, x):
        return gy / np.sqrt((1.0 - x) * (1.0 + x))  # 1 - x² has no digits left near ±1


class Arccos(Unary):
    symbol, rule = "arccos", "gx = -gy / √(1 - x²)"

    def forward(self, x):
        return np.arccos(x)

    def backward(self, gy, x):
        return -gy / np.sqrt((1.0 - x) * (1.0 + x))


class Arctan(Unary):
    symbol, rule = "arctan", "gx = gy / (1 + x²)"

    def forward(self, x):
        return np.arctan(x)

    def backward(self, gy, x):
        r = np.hypot(x, 1.0)  # x² may overflow
        return gy / r / r


class Arctan2(Binary):
    symbol, rule = "arctan2", "ga = gy b / (a² + b²), gb = -gy a / (a² + b²)"

    def forward(self, a, b):
        return np.arctan2(a, b)

    def backward(self, gy, a, b):
        r = np.hypot(a, b)
        g = gy / r
        return g * (b / r) if self.needs(0) else None, -g * (a / r) if self.needs(1) else None


class Arcsinh(Unary):
    symbol, rule = "arcsinh", "gx = gy / √(1 + x²)"

    def forward(self, x):
        return np.arcsinh(x)

    def backward(self, gy, x):
        return gy / np.hypot(x, 1.0)


class Arccosh(Unary):
    symbol, rule = "arccosh", "gx = gy / √(x² - 1)"

    def forward(self, x):
        return np.arccosh(x)

    def backward(self, gy, x):
        return gy / (np.sqrt(x - 1.0) * np.sqrt(x + 1.0))


class Arctanh(Unary):
    symbol, rule = "arctanh", "gx = gy / (1 - x²)"

    def forward(self, x):
        return np.arctanh(x)

    def backward(self, gy, x):
        return gy / ((1.0 - x) * (1.0 + x))


class Hypot(Binary):
    symbol, rule = "√(a² + b²)", "ga = gy a / y, gb = gy b / y; 0 at 0"

    def forward(self, a, b):
        return np.hypot(a, b)

    def backward(self, gy, y, a, b):
        g = gy / np.where(np.equal(y, 0.0), 1.0, y)
        return g * a if self.needs(0) else None, g * b if self.needs(1) else None


# --- roots, logarithms and powers ---------------------------------------------------------------


class Cbrt(Unary):
    symbol, rule = "∛", "gx = gy / 3y²"

    def forward(self, x):
        return np.cbrt(x)

    def backward(self, gy, y):
        return gy / (3.0 * y * y)


class Log2(Unary):
    symbol, rule = "log₂", "gx = gy / (x log 2)"

    def forward(self, x):
        return np.log2(x)

    def backward(self, gy, x):
        return gy / (LN2 * x)


class Log10(Unary):
    symbol, rule = "log₁₀", "gx = gy / (x log 10)"

    def forward(self, x):
        return np.log10(x)

    def backward(self, gy, x):
        return gy / (LN10 * x)


class Exp2(Unary):
    symbol, rule = "2ˣ", "gx = gy y log 2"

    def forward(self, x):
        return np.exp2(x)

    def backward(self, gy, y):
        return gy * (LN2 * y)


class LogAddExp(Binary):
    symbol, rule = "log(eᵃ + eᵇ)", "ga = gy exp(a - y), gb = gy exp(b - y)"
    power: Callable[..., Any] = staticmethod(np.exp)

    def forward(self, a, b):
        return np.logaddexp(a, b)

    def backward(self, gy, y, a, b):
        y = np.where(np.equal(y, -np.inf), 0.0, y)  # both are: to first order it depends on neither
        with np.errstate(invalid="ignore"):  # the derivative by an inf is NaN
            ga = gy * self.power(a - y) if self.needs(0) else None
            return ga, gy * self.power(b - y) if self.needs(1) else None


class LogAddExp2(LogAddExp):
    symbol, rule = "log₂(2ᵃ + 2ᵇ)", "ga = gy 2^(a - y), gb = gy 2^(b - y)"
    power = staticmethod(np.exp2)

    def forward(self, a, b):
        return np.logaddexp2(a, b)


# --- remainders, signs and rounding -------------------------------------------------------------


class Mod(Binary):
    symbol, rule = "mod", "ga = gy, gb = -gy (a - y) / b"

    def forward(self, a, b):
        return np.mod(a, b)

    def backward(self, gy, y, a, b):
        return gy, -gy * np.rint((a - y) / b) if self.needs(1) else None  # that is how often b fits into a


class Fmod(Mod):
    symbol = "fmod"

    def forward(self, a, b):
        return np.fmod(a, b)


class FloorDivide(Binary):
    symbol, rule = "//", "ga = 0, gb = 0"

    def forward(self, a, b):
        return np.floor_divide(a, b)

    def backward(self, gy):
        return gy * 0.0, gy * 0.0


class Copysign(Binary):
    symbol, rule = "copysign", "ga = gy sign(a y), gb = 0"

    def forward(self, a, b):
        return np.copysign(a, b)

    def backward(self, gy, y, a):
        return gy * (np.sign(a) * np.sign(y)) if self.needs(0) else None, gy * 0.0


class Rounding(Unary):
    """Base of functions that are constant between their jumps."""

    rule = "gx = 0"

    def backward(self, gy):
        return gy * 0.0


class Floor(Rounding):
    symbol = "floor"

    def forward(self, x):
        return np.floor(x)


class Ceil(Rounding):
    symbol = "ceil"

    def forward(self, x):
        return np.ceil(x)


class Trunc(Rounding):
    symbol = "trunc"

    def forward(self, x):
        return np.trunc(x)


class Round(Rounding):
    symbol = "round"

    def __init__(self, decimals: int = 0):
        self.decimals = decimals

    def forward(self, x):
        return np.round(x, self.decimals)


class Copy(Function):
    symbol, rule = "copy", "gx = gy"

    def forward(self, x):
        return np.array(x) if not hasattr(x, "copy") else x.copy()

    def backward(self, gy):
        return gy


# --- what users call ----------------------------------------------------------------------------


@unary
def tan(x: Operand) -> Value:
    """tan x, x in radians.

    >>> x = Variable([0.0, np.pi / 4])
    >>> ag.tan(x), ag.grad(ag.tan(x).sum(), x).data  # 1 + tan² x
    (Variable([0., 1.], creator=Tan), array([1., 2.]))
    """
    return Tan()(x)


@unary
def sinh(x: Operand) -> Value:
    """(eˣ - e⁻ˣ) / 2.

    >>> ag.sinh(Variable([0.0, 1.0]))
    Variable([0.    , 1.1752], creator=Sinh)
    """
    return Sinh()(x)


@unary
def cosh(x: Operand) -> Value:
    """(eˣ + e⁻ˣ) / 2.

    >>> ag.cosh(Variable([0.0, 1.0]))
    Variable([1.    , 1.5431], creator=Cosh)
    """
    return Cosh()(x)


@unary
def arcsin(x: Operand) -> Value:
    """The angle within ±π/2 whose sine is x.

    >>> x = Variable([0.0, 0.6])
    >>> ag.grad(ag.arcsin(x).sum(), x).data  # 1 / √(1 - x²)
    array([1.  , 1.25])
    """
    return Arcsin()(x)


@unary
def arccos(x: Operand) -> Value:
    """The angle between 0 and π whose cosine is x.

    >>> ag.arccos(Variable([1.0, 0.0]))
    Variable([0.    , 1.5708], creator=Arccos)
    """
    return Arccos()(x)


@unary
def arctan(x: Operand) -> Value:
    """The angle within ±π/2 whose tangent is x.

    >>> x = Variable([0.0, 1.0])
    >>> ag.grad(ag.arctan(x).sum(), x).data  # 1 / (1 + x²)
    array([1. , 0.5])
    """
    return Arctan()(x)


@binary
def arctan2(a: Operand, b: Operand) -> Value:
    """The angle of the point with ordinate a and abscissa b, within ±π; NaN is its derivative at 0, 0.

    >>> ag.arctan2(Variable([1.0, 1.0]), [1.0, -1.0])
    Variable([0.7854, 2.3562], creator=Arctan2)
    """
    return Arctan2()(a, b)


@unary
def arcsinh(x: Operand) -> Value:
    """The number whose sinh is x.

    >>> ag.arcsinh(ag.sinh(Variable([0.5, -2.0]))).data
    array([ 0.5, -2. ])
    """
    return Arcsinh()(x)


@unary
def arccosh(x: Operand) -> Value:
    """The number ≥ 0 whose cosh is x, for x ≥ 1.

    >>> ag.arccosh(ag.cosh(Variable([0.5, 2.0]))).data
    array([0.5, 2. ])
    """
    return Arccosh()(x)


@unary
def arctanh(x: Operand) -> Value:
    """The number whose tanh is x, for x within ±1.

    >>> ag.arctanh(ag.tanh(Variable([0.5, -2.0]))).data
    array([ 0.5, -2. ])
    """
    return Arctanh()(x)


@binary
def hypot(a: Operand, b: Operand) -> Value:
    """√(a² + b²) without overflow, broadcasting; the derivative where both are 0 is taken as 0.

    >>> a = Variable([3.0, 0.0])
    >>> y = ag.hypot(a, [4.0, 0.0])
    >>> y.data, ag.grad(y.sum(), a).data
    (array([5., 0.]), array([0.6, 0. ]))
    """
    return Hypot()(a, b)


@unary
def cbrt(x: Operand) -> Value:
    """The cube root, of negative numbers too.

    >>> ag.cbrt(Variable([8.0, -27.0]))
    Variable([ 2., -3.], creator=Cbrt)
    """
    return Cbrt()(x)


@unary
def log2(x: Operand) -> Value:
    """The logarithm to base 2.

    >>> ag.log2(Variable([1.0, 8.0]))
    Variable([0., 3.], creator=Log2)
    """
    return Log2()(x)


@unary
def log10(x: Operand) -> Value:
    """The logarithm to base 10.

    >>> ag.log10(Variable([1.0, 1000.0]))
    Variable([0., 3.], creator=Log10)
    """
    return Log10()(x)


@unary
def exp2(x: Operand) -> Value:
    """2ˣ.

    >>> ag.exp2(Variable([0.0, 3.0]))
    Variable([1., 8.], creator=Exp2)
    """
    return Exp2()(x)


@binary
def logaddexp(a: Operand, b: Operand) -> Value:
    """log(eᵃ + eᵇ) without overflow, broadcasting.

    >>> (ag.logaddexp(Variable([1000.0]), 1000.0) - 1000.0).data  # log 2
    array([0.6931])
    """
    return LogAddExp()(a, b)


@binary
def logaddexp2(a: Operand, b: Operand) -> Value:
    """log₂(2ᵃ + 2ᵇ) without overflow, broadcasting.

    >>> ag.logaddexp2(Variable(1000.0), 1000.0).item()
    1001.0
    """
    return LogAddExp2()(a, b)


@binary
def mod(a: Operand, b: Operand) -> Value:
    """What division leaves, with the sign of b; the derivative by b is -⌊a/b⌋.

    >>> a, b = Variable(7.5), Variable(2.0)
    >>> y = ag.mod(a, b)
    >>> y.item(), [g.item() for g in ag.grad(y, [a, b])]
    (1.5, [1.0, -3.0])
    """
    return Mod()(a, b)


@binary
def fmod(a: Operand, b: Operand) -> Value:
    """What division leaves, with the sign of a.

    >>> ag.fmod(Variable([-7.5]), 2.0).data, ag.mod(Variable([-7.5]), 2.0).data
    (array([-1.5]), array([0.5]))
    """
    return Fmod()(a, b)


@binary
def floor_divide(a: Operand, b: Operand) -> Value:
    """The largest whole number not above a / b; the derivative is 0.

    >>> ag.floor_divide(Variable([7.5, -7.5]), 2.0)
    Variable([ 3., -4.], creator=FloorDivide)
    """
    return FloorDivide()(a, b)


@binary
def copysign(a: Operand, b: Operand) -> Value:
    """|a| with the sign of b; the derivative by b is 0.

    >>> ag.copysign(Variable([1.0, -2.0]), -0.0)
    Variable([-1., -2.], creator=Copysign)
    """
    return Copysign()(a, b)


@unary
def floor(x: Operand) -> Value:
    """The largest whole number not above x; the derivative is 0.

    >>> ag.floor(Variable([1.7, -1.2]))
    Variable([ 1., -2.], creator=Floor)
    """
    return Floor()(x)


@unary
def ceil(x: Operand) -> Value:
    """The smallest whole number not below x; the derivative is 0.

    >>> ag.ceil(Variable([1.2, -1.7]))
    Variable([ 2., -1.], creator=Ceil)
    """
    return Ceil()(x)


@unary
def trunc(x: Operand) -> Value:
    """x without what stands behind the point; the derivative is 0.

    >>> ag.trunc(Variable([1.7, -1.7]))
    Variable([ 1., -1.], creator=Trunc)
    """
    return Trunc()(x)


@unary
def round(x: Operand, decimals: int = 0) -> Value:
    """x to so many decimals, halves to even; the derivative is 0.

    >>> ag.round(Variable([1.25, 2.5])), ag.round(Variable([1.234]), 2).data
    (Variable([1., 2.], creator=Round), array([1.23]))
    """
    return Round(decimals)(x)


@unary
def copy(x: Operand) -> Value:
    """The same numbers in memory of their own.

    >>> x = Variable([1.0, 2.0])
    >>> y = ag.copy(x)
    >>> np.shares_memory(x, y), ag.grad(y.sum(), x).data
    (False, array([1., 1.]))
    """
    return Copy()(x)


# --- compositions -------------------------------------------------------------------------------


@unary
def nan_to_num(
    x: Operand, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Value:
    """x with numbers for NaN and infinities, by default 0 and the largest of the dtype; no gradient there.

    >>> x = Variable([np.nan, 2.0, np.inf])
    >>> y = ag.nan_to_num(x, posinf=9.0)
    >>> y.data, ag.grad(y.sum(), x).data
    (array([0., 2., 9.]), array([0., 1., 0.]))
    """
    return where(np.isfinite(x), x, np.nan_to_num(data_of(x), nan=nan, posinf=posinf, neginf=neginf))


@binary
def fmax(a: Operand, b: Operand) -> Value:
    """The larger of a and b, and of a number and NaN the number; equal ones share the gradient.

    >>> ag.fmax(Variable([1.0, np.nan]), [3.0, 2.0]).data
    array([3., 2.])
    """
    return where(np.isnan(a), b, where(np.isnan(b), a, maximum(a, b)))


@binary
def fmin(a: Operand, b: Operand) -> Value:
    """The smaller of a and b, and of a number and NaN the number; equal ones share the gradient.

    >>> ag.fmin(Variable([1.0, np.nan]), [3.0, 2.0]).data
    array([1., 2.])
    """
    return where(np.isnan(a), b, where(np.isnan(b), a, minimum(a, b)))


@unary
def deg2rad(x: Operand) -> Value:
    """Degrees as radians.

    >>> ag.deg2rad(Variable([180.0])).data
    array([3.1416])
    """
    return multiply(x, math.pi / 180.0)


@unary
def rad2deg(x: Operand) -> Value:
    """Radians as degrees.

    >>> ag.rad2deg(Variable([np.pi])).data
    array([180.])
    """
    return multiply(x, 180.0 / math.pi)


@unary
def sinc(x: Operand) -> Value:
    """sin(πx) / πx, which is 1 at 0.

    >>> ag.sinc(Variable([0.0, 0.5])).data
    array([1.    , 0.6366])
    """
    zero = np.equal(x, 0.0)
    angle = multiply(where(zero, 1.0, x), math.pi)
    return where(zero, 1.0, divide(sin(angle), angle))


@binary
def heaviside(x: Operand, h: Operand) -> Value:
    """0 below x = 0, 1 above and h there; the derivative by x is 0.

    >>> ag.heaviside(Variable([-2.0, 0.0, 3.0]), 0.5).data
    array([0. , 0.5, 1. ])
    """
    return where(np.equal(x, 0.0), h, multiply(0.5, subtract(sign(x), -1.0)))
