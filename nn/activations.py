"""Activations as modules, for `Sequential`; each calls the function of its name. They have no parameters."""

from typing import Any

from autograd import elu, gelu, leaky_relu, log_softmax, relu, sigmoid, silu, softmax, softplus, tanh

from .module import Module


class Tanh(Module):
    """tanh x."""

    def forward(self, x: Any) -> Any:
        return tanh(x)


class Sigmoid(Module):
    """1 / (1 + e⁻ˣ)."""

    def forward(self, x: Any) -> Any:
        return sigmoid(x)


class ReLU(Module):
    """max(x, 0)."""

    def forward(self, x: Any) -> Any:
        return relu(x)


class LeakyReLU(Module):
    """x where positive, else negative_slope x."""

    def __init__(self, negative_slope: float = 0.01):
        self.negative_slope = negative_slope

    def forward(self, x: Any) -> Any:
        return leaky_relu(x, self.negative_slope)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}"


class ELU(Module):
    """x where positive, else alpha (eˣ - 1)."""

    def __init__(self, alpha: float = 1.0):
        self.alpha = alpha

    def forward(self, x: Any) -> Any:
        return elu(x, self.alpha)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}"


class Softplus(Module):
    """log(1 + e^(beta x)) / beta; exact for all x, so PyTorch's threshold is not needed."""

    def __init__(self, beta: float = 1.0):
        if beta <= 0:
            raise ValueError(f"Softplus expected a positive beta, got {beta}")
        self.beta = beta

    def forward(self, x: Any) -> Any:
        return softplus(x) if self.beta == 1 else softplus(x * self.beta) / self.beta

    def extra_repr(self) -> str:
        return f"beta={self.beta}"


class SiLU(Module):
    """x σ(x), also known as swish."""

    def forward(self, x: Any) -> Any:
        return silu(x)


class GELU(Module):
    """x Φ(x) in its tanh form, PyTorch's ``approximate="tanh"``; NumPy has no erf for the other."""

    def __init__(self, approximate: str = "tanh"):
        if approximate != "tanh":
            raise ValueError(f"GELU has approximate='tanh' only, got {approximate!r}")

    def forward(self, x: Any) -> Any:
        return gelu(x)


class Softmax(Module):
    """eˣ / Σ eˣ over axis dim."""

    def __init__(self, dim: int = -1):
        self.dim = dim

    def forward(self, x: Any) -> Any:
        return softmax(x, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Softmax):
    """log softmax(x) over axis dim."""

    def forward(self, x: Any) -> Any:
        return log_softmax(x, self.dim)
