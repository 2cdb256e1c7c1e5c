"""Convolution, transposed convolution, pooling and normalisation of images, as layers.

Names, arguments, defaults, shapes and initial weights are PyTorch's: channels first, (B, C, L),
(B, C, H, W) or (B, C, D, H, W), or the same without B. What is computed is a cross-correlation; see
`autograd.conv1d`. Recurrent cells of convolutions are in `cells.conv`.
"""

import math
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, avg_pool1d, avg_pool2d, max_pool1d, max_pool2d, reshape
from autograd.extend import Array, Operand, Padding, Size, Value, conv, conv_transpose, pads, per_axis

from . import init
from .layers import BatchNorm1d, as_input, check_float
from .module import Module

X = TypeVar("X", Variable, Array)


class _Convolution(Module):
    """Base of all convolutions: one weight, one bias, and their initial values."""

    n: int  # spatial axes

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Padding,
        dilation: Size,
        groups: int,
        bias: bool,
        dtype: DTypeLike,
    ):
        who, n = type(self).__name__, self.n
        for name, channels in (("in_channels", in_channels), ("out_channels", out_channels)):
            if channels < 1 or groups < 1 or channels % groups:
                raise ValueError(f"{who} expected {name} that groups={groups} divides, got {channels}")
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(who, "kernel_size", n, kernel_size, 1)
        self.stride = per_axis(who, "stride", n, stride, 1)
        self.dilation = per_axis(who, "dilation", n, dilation, 1)
        pads(who, n, padding, self.kernel_size, self.stride, self.dilation)
        self.padding = padding if isinstance(padding, str) else per_axis(who, "padding", n, padding, 0)
        self.weight = Parameter(np.empty(self.weight_shape(), dtype))
        self.bias = Parameter(np.empty(out_channels, dtype)) if bias else None
        self.reset_parameters()

    def weight_shape(self) -> tuple[int, ...]:
        return self.out_channels, self.in_channels // self.groups, *self.kernel_size

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√(elements of x that one output sees), as PyTorch counts them."""
        fan_in = math.prod(self.weight.shape[1:])
        init.fan_in_uniform_(self.weight, fan_in, rng)
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, fan_in, rng)

    def checked(self, x: Operand) -> Value:
        """x as a Variable or an array; raises unless it is an image, or a batch of them, with the right
        channels and dtype."""
        x, n, C = as_input(x, self), self.n, self.in_channels
        if x.ndim not in (n + 1, n + 2) or x.shape[-n - 1] != C:
            axes = ", ".join("DHW"[-n:] if n > 1 else "L")
            raise ValueError(
                f"{type(self).__name__} expected x of shape (B, {C}, {axes}) or ({C}, {axes}), got {x.shape}"
            )
        check_float(type(self).__name__, x, self.weight)
        return x

    def extra_repr(self) -> str:
        none = (1,) * self.n
        options = {"padding": self.padding, "dilation": self.dilation, "groups": self.groups}
        shown = [f"{k}={v}" for k, v in options.items() if v not in (none, (0,) * self.n, 1)]
        shown += [] if self.bias is not None else ["bias=False"]
        sizes = (
            f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"
        )
        return ", ".join([sizes, *shown])


class _Conv(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )

    def forward(self, x: Operand) -> Variable:
        x = self.checked(x)
        return conv(self.n, x, self.weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Conv1d(_Conv):
    """Cross-correlation over one axis: x (B, C, L) -> (B, O, P); weight (O, C/groups, K), bias (O).

    Arguments are those of `autograd.conv1d`; padding may also be "same", "valid" or "causal".

    >>> layer = nn.Conv1d(3, 4, kernel_size=5, stride=2)
    >>> layer(np.zeros((2, 3, 11), "f")).shape, layer.weight.shape
    ((2, 4, 4), (4, 3, 5))
    """

    n = 1


class Conv2d(_Conv):
    """Cross-correlation over two axes: x (B, C, H, W) -> (B, O, *P); weight (O, C/groups, *K), bias (O).

    Arguments are those of `autograd.conv1d`; sizes are one number, or one per axis.

    >>> layer = nn.Conv2d(3, 4, kernel_size=(3, 5), padding="same")
    >>> layer(np.zeros((2, 3, 8, 6), "f")).shape
    (2, 4, 8, 6)
    """

    n = 2


class Conv3d(_Conv):
    """Cross-correlation over three axes: x (B, C, D, H, W) -> (B, O, *P); see `Conv2d`.

    >>> nn.Conv3d(1, 4, kernel_size=2)(np.zeros((2, 1, 3, 8, 6), "f")).shape
    (2, 4, 2, 7, 5)
    """

    n = 3


class CausalConv1d(Conv1d):
    """`Conv1d` whose output at p sees x up to stride * p and nothing later; with stride 1, as long as x.

    The building block of WaveNet: a stack with dilations 1, 2, 4, ... and kernels of 2 sees twice as far
    with every layer.

    >>> layer, x = nn.CausalConv1d(1, 1, kernel_size=2, bias=False), np.zeros((1, 1, 5), "f")
    >>> _ = nn.init.ones_(layer.weight)
    >>> x[0, 0, 2] = 1.0
    >>> layer(x).data  # an input reaches its own place and the next
    array([[[0., 0., 1., 1., 0.]]], dtype=float32)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        super().__init__(
            in_channels, out_channels, kernel_size, stride, "causal", dilation, groups, bias, dtype
        )


class _ConvTranspose(_Convolution):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        dtype: DTypeLike = np.float32,
    ):
        who = type(self).__name__
        self.output_padding = per_axis(who, "output_padding", self.n, output_padding, 0)
        padding = per_axis(who, "padding", self.n, padding, 0)
        super().__init__(
            in_channels, out_channels, kernel_size, stride, padding, dilation, groups, bias, dtype
        )

    def weight_shape(self) -> tuple[int, ...]:
        return self.in_channels, self.out_channels // self.groups, *self.kernel_size

    def forward(self, x: Operand) -> Variable:
        x = self.checked(x)
        assert not isinstance(self.padding, str)
        return conv_transpose(
            self.n,
            x,
            self.weight,
            self.bias,
            self.stride,
            self.padding,
            self.output_padding,
            self.groups,
            self.dilation,
        )


class ConvTranspose1d(_ConvTranspose):
    """The adjoint of a `Conv1d`: x (B, C, L) -> (B, O, P); weight (C, O/groups, K), bias (O).

    Arguments are those of `autograd.conv_transpose1d`.

    >>> nn.ConvTranspose1d(4, 3, kernel_size=5, stride=2)(np.zeros((2, 4, 4), "f")).shape
    (2, 3, 11)
    """

    n = 1


class ConvTranspose2d(_ConvTranspose):
    """The adjoint of a `Conv2d`: x (B, C, H, W) -> (B, O, *P); weight (C, O/groups, *K), bias (O).

    Arguments are those of `autograd.conv_transpose1d`; sizes are one number, or one per axis.

    >>> nn.ConvTranspose2d(4, 3, kernel_size=2, stride=2)(np.zeros((1, 4, 5, 6), "f")).shape
    (1, 3, 10, 12)
    """

    n = 2


class _Pool(Module):
    """Base of the pools: the size of the windows, and their steps."""

    def __init__(self, kernel_size: Size, stride: Size | None, padding: Size, ceil_mode: bool):
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class _MaxPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.dilation = dilation


class MaxPool1d(_MaxPool):
    """The largest element of every window; see `autograd.max_pool1d`.

    >>> nn.MaxPool1d(2)(np.array([[[1.0, 5.0, 3.0, 2.0]]]))
    array([[[5., 3.]]])
    """

    def forward(self, x: X) -> X:
        return max_pool1d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class MaxPool2d(_MaxPool):
    """The largest element of every window; see `autograd.max_pool1d`.

    >>> nn.MaxPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 5.,  7.],
             [13., 15.]]]])
    """

    def forward(self, x: X) -> X:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode)


class _AvgPool(_Pool):
    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ):
        super().__init__(kernel_size, stride, padding, ceil_mode)
        self.count_include_pad = count_include_pad


class AvgPool1d(_AvgPool):
    """The mean of every window; see `autograd.avg_pool1d`.

    >>> nn.AvgPool1d(2)(np.array([[[1.0, 5.0, 3.0, 2.0]]]))
    array([[[3. , 2.5]]])
    """

    def forward(self, x: X) -> X:
        options = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return avg_pool1d(x, self.kernel_size, *options)


class AvgPool2d(_AvgPool):
    """The mean of every window; see `autograd.avg_pool1d`.

    >>> nn.AvgPool2d(2)(np.arange(16.0).reshape(1, 1, 4, 4))
    array([[[[ 2.5,  4.5],
             [10.5, 12.5]]]])
    """

    def forward(self, x: X) -> X:
        options = self.stride, self.padding, self.ceil_mode, self.count_include_pad
        return avg_pool2d(x, self.kernel_size, *options)


class BatchNorm2d(BatchNorm1d):
    """`BatchNorm1d` for images: each channel of x (N, C, H, W), over the batch and all its places.

    >>> y = nn.BatchNorm2d(3)(np.arange(96, dtype="f").reshape(2, 3, 4, 4))
    >>> np.allclose(y.data.mean((0, 2, 3)), 0, atol=1e-6), np.allclose(y.data.std((0, 2, 3)), 1)
    (True, True)
    """

    def forward(self, x: Operand) -> Value:
        x = as_input(x, self)
        if x.ndim != 4 or x.shape[1] != self.num_features:
            C = self.num_features
            raise ValueError(f"BatchNorm2d expected x of shape (N, {C}, H, W), got {x.shape}")
        N, C, H, W = x.shape
        return reshape(super().forward(reshape(x, (N, C, H * W))), x.shape)
