"""Convolutions over time: WaveNet, which replaces the recurrence, and a layer in front of a recurrent one."""

from typing import Any

import numpy as np

from autograd import moveaxis, relu, sigmoid, tanh

from .conv import CausalConv1d, Conv1d
from .functional import as_array, data_of
from .module import Module
from .recurrent import as_variable


class GatedBlock(Module):
    """One layer of a `WaveNet`: x (B, C, L) -> the next x (B, C, L), and what goes to the output (B, S, L).

    z = tanh(W_f * x) ∘ σ(W_g * x)      * looks at x_p, x_{p-dilation}, ... and nothing later
    x' = x + W_r z + b_r
    skip = W_s z + b_s
    """

    def __init__(self, channels: int, skip_channels: int, kernel_size: int, dilation: int, dtype: Any):
        self.filter = CausalConv1d(channels, channels, kernel_size, dilation=dilation, dtype=dtype)
        self.gate = CausalConv1d(channels, channels, kernel_size, dilation=dilation, dtype=dtype)
        self.residual = Conv1d(channels, channels, 1, dtype=dtype)
        self.skip = Conv1d(channels, skip_channels, 1, dtype=dtype)

    def forward(self, x: Any) -> tuple[Any, Any]:
        z = tanh(self.filter(x)) * sigmoid(self.gate(x))
        return x + self.residual(z), self.skip(z)


class WaveNet(Module):
    """Dilated causal convolutions with gates, residuals and skip connections (van den Oord et al. 2016):

        x = W_in x + b_in
        x, s_l = block_l(x)                           dilation 1, 2, 4, ..., 2^(layers-1), and again
        y = W_2 relu(W_1 relu(Σ_l s_l) + b_1) + b_2

    x (B, I, L) -> y (B, O, L), where y at p depends on x up to p; to predict x at p + 1, compare the two
    shifted by one. All steps are computed at once; what it cannot do is to see farther back than
    ``receptive_field`` steps, which doubles with every layer where parameters only add up.

    Args:
        in_channels, out_channels: I and O. channels, skip_channels: of the blocks.
        layers: blocks until the dilation starts at 1 again. stacks: how often it does.
        kernel_size: of the dilated convolutions.
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
        dtype: Any = np.float32,
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
        """How many steps of x, the present one included, an output depends on."""
        return 1 + (self.kernel_size - 1) * sum(self.dilations)

    def forward(self, x: Any) -> Any:
        x = self.into(x)
        x, total = self.blocks[0](x)
        for block in self.blocks[1:]:
            x, skip = block(x)
            total = total + skip
        return self.out(relu(self.hidden(relu(total))))


class ConvFront(Module):
    """A convolution over time in front of a recurrent layer, which then has fewer steps to take:

        z_p = relu(W * x_{stride p}, ..., x_{stride p + kernel_size - 1} + b)
        y, state = layer(z)

    x (T, B, in_channels) -> y (P, B, ...) with P = ⌊(T - kernel_size) / stride⌋ + 1 steps; lengths shrink
    in the same way (`steps`), so padding is never seen.

    Args:
        layer: anything called as ``y, state = layer(z, state, lengths)`` over z (P, B, out_channels).
        in_channels, out_channels, kernel_size, stride: of the convolution.

    Raises:
        ValueError: x has another size, or fewer than kernel_size steps.
    """

    def __init__(
        self,
        layer: Module,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 2,
        stride: int = 2,
        dtype: Any = np.float32,
    ):
        self.conv = Conv1d(in_channels, out_channels, kernel_size, stride, dtype=dtype)
        self.layer = layer
        self.kernel_size, self.stride = kernel_size, stride

    def steps(self, length: Any) -> Any:
        """The number of steps, an integer or an array of them, that is left of ``length`` steps."""
        return np.maximum((data_of(length) - self.kernel_size) // self.stride + 1, 0)

    def forward(self, x: Any, state: Any = None, lengths: Any = None) -> tuple[Any, Any]:
        x = as_variable(x, "x")
        if x.ndim != 3 or x.shape[2] != self.conv.in_channels or len(x) < self.kernel_size:
            raise ValueError(
                f"ConvFront expected input of shape (T, B, {self.conv.in_channels}) with T of at least"
                f" {self.kernel_size}, got {x.shape}"
            )
        z = relu(self.conv(moveaxis(x, 0, 2)))
        lengths = None if lengths is None else self.steps(as_array(lengths))
        return self.layer(moveaxis(z, 2, 0), state, lengths)
