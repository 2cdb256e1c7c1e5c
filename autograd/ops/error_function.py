"""The error function, of which NumPy has none: `erf`, and `erfc`, which keeps its digits where erf is near 1.

With z = |x| and u = z / (z + 3), which takes [0, ∞) to [0, 1),

    erfc z = e^(-z²) (1 + u p(2u - 1)) / (1 + 2z)      (after Shepherd & Laframboise 1981)

and near 0, where 1 - erfc loses the digits of erf,

    erf x = x q(x²)                       |x| < 1

p and q are Chebyshev interpolants as polynomials, the highest power first; for float32 and float16 shorter
ones are enough. The relative error is at most two roundings for erf, and about 2 + x² for erfc x, where that
of the exponent is felt.
"""

import numpy as np

from ..core import Operand, Value
from .elementwise import Unary, sigmoid
from .signatures import unary

# fmt: off
P = (
    1.5841931306675047e-09, 4.055712598963224e-10, -1.6249913922382482e-08, -1.0473993692567524e-08,
    9.098315769601024e-08, 1.1293119198460761e-07, -3.9133005515012636e-07, -8.422118461796156e-07,
    1.5511710340501592e-06, 5.393869528038713e-06, -6.853822675563807e-06, -3.334743265418285e-05,
    4.3245068312598854e-05, 0.0002069536804060021, -0.000417272896876208, -0.001142391657672355,
    0.004919772305996115, 0.00013901132760321675, -0.047680041157321836, 0.1842960958451647,
    -0.42284342267620406, 0.6821337400817293, -0.7772583287886217, 0.5060161165394593,
)
Q = (
    -4.230945824295338e-12, 8.709045129053106e-11, -1.216456005728345e-09, 1.4792401209404813e-08,
    -1.6364642158167616e-07, 1.6462045441468418e-06, -1.4925647567519332e-05, 0.00012055332902888736,
    -0.000854832702193483, 0.0052239776254232985, -0.02686617064512984, 0.1128379167095512,
    -0.37612638903183754, 1.1283791670955126,
)
SHORT_P = (
    2.891387373e-05, 0.0001312352258, -0.0004030522295, -0.001065111871, 0.004912816687,
    0.0001007406568, -0.04767845934, 0.1843048528, -0.4228435563, 0.6821329981, -0.7772583269,
    0.5060161268,
)
SHORT_Q = (
    7.875875063e-05, -0.0008016864287, 0.005189087423, -0.02685421201, 0.1128359472, -0.3761262667,
    1.128379166,
)
# fmt: on
SLOPE = 1.1283791670955126  # 2/√π, the derivative of erf at 0


def polynomial(coefficients, x):
    """The polynomial of x by Horner's rule; a new array."""
    y = x * coefficients[0]
    y += coefficients[1]
    for c in coefficients[2:]:
        y *= x
        y += c
    return y


def floating(x):
    """x in a dtype wide enough to compute in, and the dtype of the result."""
    dtype = getattr(x, "dtype", np.dtype(float))
    if dtype.kind != "f":
        return np.multiply(x, 1.0), np.dtype(float)
    return (x.astype(np.float32) if dtype.char == "e" else x), dtype


def erfc_of_size(x):
    """erfc |x|."""
    z = np.minimum(np.absolute(x), 30.0)  # beyond, e^(-z²) is 0
    u = z / (z + 3.0)
    y = polynomial(SHORT_P if z.dtype.char == "f" else P, 2.0 * u - 1.0)
    y *= u
    y += 1.0
    y *= np.exp(-z * z)
    y /= 1.0 + 2.0 * z
    return y


class Erf(Unary):
    symbol, rule = "erf", "gx = gy 2/√π exp(-x²)"

    def forward(self, x):
        x, dtype = floating(x)
        z = np.minimum(np.absolute(x), 1.0)
        q = polynomial(SHORT_Q if dtype.char in "ef" else Q, z * z)
        y = np.where(np.less(z, 1.0), x * q, np.copysign(1.0 - erfc_of_size(x), x))
        return y.astype(dtype)

    def backward(self, gy, x):
        return gy * (SLOPE * np.exp(-x * x))


class Erfc(Unary):
    symbol, rule = "erfc", "gx = -gy 2/√π exp(-x²)"

    def forward(self, x):
        x, dtype = floating(x)
        y = erfc_of_size(x)
        return np.where(np.less(x, 0.0), 2.0 - y, y).astype(dtype)

    def backward(self, gy, x):
        return gy * (-SLOPE * np.exp(-x * x))


@unary
def erf(x: Operand) -> Value:
    """The error function 2/√π ∫₀ˣ exp(-s²) ds.

    >>> x = Variable([-np.inf, 0.0, 1.0])
    >>> ag.erf(x), ag.grad(ag.erf(x).sum(), x).data  # 2/√π exp(-x²)
    (Variable([-1.    ,  0.    ,  0.8427], creator=Erf), array([0.    , 1.1284, 0.4151]))
    """
    return Erf()(x)


@unary
def erfc(x: Operand) -> Value:
    """1 - erf x, with all digits where that is small.

    >>> float(1.0 - ag.erf(10.0)), round(1e45 * float(ag.erfc(10.0)), 2)
    (0.0, 2.09)
    """
    return Erfc()(x)


@unary
def gelu(x: Value, approximate: str = "none") -> Value:
    """x Φ(x), Φ the distribution function of a standard normal number (Hendrycks & Gimpel 2016).

    ``approximate="tanh"`` is their x/2 (1 + tanh z) = x σ(2z) with z = √(2/π) (x + 0.044715 x³).

    Raises:
        ValueError: another name than "none" and "tanh".

    >>> ag.gelu(Variable([-1.0, 0.0, 2.0]))
    Variable([-0.1587,  0.    ,  1.9545], creator=Mul)
    >>> ag.gelu(Variable([-1.0, 0.0, 2.0]), approximate="tanh")
    Variable([-0.1588,  0.    ,  1.9546], creator=Mul)
    """
    if approximate == "none":
        return x * (0.5 * erfc(-0.7071067811865476 * x))
    if approximate == "tanh":
        return x * sigmoid(1.5957691216057308 * (x + 0.044715 * x * x * x))
    raise ValueError(f"gelu expected approximate='none' or 'tanh', got {approximate!r}")
