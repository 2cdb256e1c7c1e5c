"""Activations as modules, for `Sequential`; each calls the function of its name. They have no parameters."""

from autograd import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh
from autograd.extend import Value

from .module import Weightless


class Tanh(Weightless):
    """tanh x.

    >>> nn.Tanh()(np.array([0.0, 1.0, 100.0]))
    array([0.    , 0.7616, 1.    ])
    """

    def forward(self, x: Value) -> Value:
        return tanh(x)


class Sigmoid(Weightless):
    """1 / (1 + e⁻ˣ).

    >>> nn.Sigmoid()(np.array([-1000.0, 0.0, np.log(3)]))
    array([0.  , 0.5 , 0.75])
    """

    def forward(self, x: Value) -> Value:
        return sigmoid(x)


class ReLU(Weightless):
    """max(x, 0).

    >>> nn.ReLU()(np.array([-2.0, 3.0]))
    array([0., 3.])
    """

    def forward(self, x: Value) -> Value:
        return relu(x)


class LeakyReLU(Weightless):
    """x where positive, else negative_slope x.

    >>> nn.LeakyReLU(0.1)(np.array([-2.0, 3.0]))
    array([-0.2,  3. ])
    """

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Value) -> Value:
        return leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Weightless):
    """x where positive, else alpha (eˣ - 1).

    >>> nn.ELU()(np.array([-1000.0, -np.log(2), 3.0]))
    array([-1. , -0.5,  3. ])
    """

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Value) -> Value:
        return elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softplus(Weightless):
    """log(1 + e^(beta x)) / beta, exact for all x.

    With a threshold, x itself where beta x is above it. PyTorch's default of 20 changes less than 3e-9.

    Raises:
        ValueError: beta is not above 0.

    >>> nn.Softplus()(np.array([-1000.0, 0.0, 1000.0]))  # log 2 at 0
    array([   0.    ,    0.6931, 1000.    ])
    """

    def __init__(self, beta: float = 1.0, threshold: float | None = None):
        if beta <= 0:
            raise ValueError(f"Softplus expected a positive beta, got {beta}")
        self.beta, self.threshold = beta, threshold

    def forward(self, x: Value) -> Value:
        return softplus(x, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}" + ("" if self.threshold is None else f", threshold={self.threshold}")


class SiLU(Weightless):
    """x σ(x), also known as swish.

    >>> nn.SiLU()(np.array([0.0, np.log(3)])) / np.log(3)
    array([0.  , 0.75])
    """

    def forward(self, x: Value) -> Value:
        return silu(x)


class GELU(Weightless):
    """x Φ(x), or its tanh form with ``approximate="tanh"``; see `gelu`.

    Raises:
        ValueError: another name than "none" and "tanh".

    >>> nn.GELU()(np.array([-1.0, 0.0, 1.0]))  # Φ(1) = .84
    array([-0.1587,  0.    ,  0.8413])
    """

    def __init__(self, approximate: str = "none"):
        if approximate not in ("none", "tanh"):
            raise ValueError(f"GELU expected approximate='none' or 'tanh', got {approximate!r}")
        self.approximate = approximate

    def forward(self, x: Value) -> Value:
        return gelu(x, self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Softmax(Weightless):
    """eˣ / Σ eˣ over axis dim.

    >>> nn.Softmax()(np.log([1.0, 2.0, 5.0]))
    array([0.125, 0.25 , 0.625])
    """

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Value) -> Value:
        return softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log softmax(x) over axis dim.

    >>> np.exp(nn.LogSoftmax()(np.log([1.0, 2.0, 5.0])))
    array([0.125, 0.25 , 0.625])
    """

    def forward(self, x: Value) -> Value:
        return log_softmax(x, self.dim)
