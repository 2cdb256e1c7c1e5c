"""Convolutions over time: WaveNet in place of a recurrence, and one in front of a recurrent layer."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable, moveaxis, relu, sigmoid, tanh
from autograd.extend import Array, Operand, Value, as_array

from .conv import CausalConv1d, Conv1d
from .module import Module
from .recurrent import as_variable


class GatedBlock(Module):
    """One layer of a `WaveNet`: x (B, C, L) -> the next x (B, C, L), and its part of the output (B, S, L).

    z = tanh(W_f * x) ∘ σ(W_g * x)      * looks at x_p, x_{p-dilation}, ... and nothing later
    x' = x + W_r z + b_r
    skip = W_s z + b_s
    """

    def __init__(self, channels: int, skip_channels: int, kernel_size: int, dilation: int, dtype: DTypeLike):
        self.filter = CausalConv1d(channels, channels, kernel_size, dilation=dilation, dtype=dtype)
        self.gate = CausalConv1d(channels, channels, kernel_size, dilation=dilation, dtype=dtype)
        self.residual = Conv1d(channels, channels, 1, dtype=dtype)
        self.skip = Conv1d(channels, skip_channels, 1, dtype=dtype)

    def forward(self, x: Variable) -> tuple[Variable, Variable]:
        z = tanh(self.filter(x)) * sigmoid(self.gate(x))
        return x + self.residual(z), self.skip(z)


class WaveNet(Module):
    """Dilated causal convolutions with gates, residuals and skip connections (van den Oord et al. 2016):

        x = W_in x + b_in
        x, s_l = block_l(x)                           dilation 1, 2, 4, ..., 2^(layers-1), and again
        y = W_2 relu(W_1 relu(Σ_l s_l) + b_1) + b_2

    x (B, I, L) -> y (B, O, L), where y at p depends on x up to p; to predict x at p + 1, compare the two
    shifted by one. All steps are computed at once. An output sees ``receptive_field`` steps and no more;
    a further layer doubles that number and adds parameters.

    Args:
        in_channels, out_channels: I and O. channels, skip_channels: of the blocks.
        layers: blocks until the dilation starts at 1 again. stacks: how often it does.
        kernel_size: of the dilated convolutions.

    >>> net = nn.WaveNet(1, 1, channels=4, layers=3)
    >>> x = Variable(np.ones((1, 1, 20), "f"))
    >>> gx = ag.grad(net(x)[0, 0, 12], x).data
    >>> net.receptive_field, np.flatnonzero(gx)
    (8, array([ 5,  6,  7,  8,  9, 10, 11, 12]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        channels: int = 32,
        skip_channels: int | None = None,
        layers: int = 6,
        stacks: int = 1,
        kernel_size: int = 2,
        dtype: DTypeLike = np.float32,
    ):
        if layers < 1 or stacks < 1:
            raise ValueError(f"WaveNet expected at least 1 layer and 1 stack, got {layers} and {stacks}")
        skip_channels = channels if skip_channels is None else skip_channels
        self.kernel_size = kernel_size
        self.dilations = [2**k for _ in range(stacks) for k in range(layers)]
        self.into = Conv1d(in_channels, channels, 1, dtype=dtype)
        self.blocks = [GatedBlock(channels, skip_channels, kernel_size, d, dtype) for d in self.dilations]
        self.hidden = Conv1d(skip_channels, skip_channels, 1, dtype=dtype)
        self.out = Conv1d(skip_channels, out_channels, 1, dtype=dtype)

    @property
    def receptive_field(self) -> int:
        """The number of steps of x, the present one included, on which an output depends."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    def forward(self, x: Value) -> Variable:
        x, total = self.blocks[0](self.into(x))
        for block in self.blocks[1:]:
            x, skip = block(x)
            total = total + skip
        return self.out(relu(self.hidden(relu(total))))


class ConvFront(Module):
    """A convolution over time in front of a recurrent layer, which then has fewer steps to take:

        z_p = relu(W * x_{stride p}, ..., x_{stride p + kernel_size - 1} + b)
        y, state = layer(z)

    x (T, B, in_channels) -> y (P, B, ...) with P = ⌊(T - kernel_size) / stride⌋ + 1 steps; `steps` shrinks
    the lengths in the same way, so that the layer never reads padding.

    Args:
        layer: anything called as ``y, state = layer(z, state, lengths)`` over z (P, B, out_channels).
        in_channels, out_channels, kernel_size, stride: of the convolution.

    Raises:
        ValueError: x has another size, or fewer than kernel_size steps.

    >>> layer = nn.ConvFront(nn.GRU(8, 4), in_channels=3, out_channels=8, kernel_size=4, stride=2)
    >>> y, h = layer(np.ones((100, 2, 3), "f"))
    >>> y.shape, layer.steps([100, 7, 3])
    ((49, 2, 4), array([49,  2,  0]))
    """

    def __init__(
        self,
        layer: Module,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 2,
        stride: int = 2,
        dtype: DTypeLike = np.float32,
    ):
        self.conv = Conv1d(in_channels, out_channels, kernel_size, stride, dtype=dtype)
        self.layer = layer
        self.kernel_size, self.stride = kernel_size, stride

    def steps(self, length: Operand) -> Array:
        """The number of steps, an integer or an array of them, that is left of ``length`` steps."""
        return np.maximum((as_array(length) - self.kernel_size) // self.stride + 1, 0)

    def forward(self, x: Operand, state: Any = None, lengths: Operand | None = None) -> tuple[Any, Any]:
        x = as_variable(x, "x")
        if x.ndim != 3 or x.shape[2] != self.conv.in_channels or len(x) < self.kernel_size:
            raise ValueError(
                f"ConvFront expected input of shape (T, B, {self.conv.in_channels}) with T of at least"
                f" {self.kernel_size}, got {x.shape}"
            )
        z = relu(self.conv(moveaxis(x, 0, 2)))
        lengths = None if lengths is None else self.steps(lengths)
        return self.layer(moveaxis(z, 2, 0), state, lengths)
