"""Cells whose products are convolutions, for sequences of images.

Shapes: x (T, B, C, *S) with one to three spatial axes, states (B, H, *S). The equations are those of the
other cells, with * for a convolution (as layers mean it, see `autograd.conv1d`) that keeps the size of the
image. As there, ``project`` convolves all T inputs in one call.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, lerp, reshape, split
from autograd.extend import Operand, Size, Value, conv, per_axis

from .. import init
from ..functional import activation_function
from ..layers import check_float
from ..recurrent import State, StateLike, as_variable, tree_map, zeros
from .base import Activation, GatedCell, RecurrentWeight, unless
from .gru import check_update, form_of


class RecurrentKernel(RecurrentWeight):
    """A recurrent weight W (O, H, *K): ``W(h)`` is the convolution W * h, ``W.plus(x, h)`` is x + W * h."""

    __slots__ = ()

    def __init__(self, weight: Variable):
        self.weight, self.mask = weight, None

    @property
    def size(self) -> int:
        return self.weight.shape[1]

    def plus(self, x: Variable | None, h: Variable) -> Variable:
        if self.mask is not None:
            h = self.hidden(h)
        return conv(h.ndim - 2, h, self.weight, x, 1, "same", 1, 1)


class ConvCell(GatedCell):
    """Base of the cells: W_ih (gates*H, C, *K), W_hh (gates*H, H, *K') and both biases.

    Args:
        input_size, hidden_size: C and H, the channels of the input and of the state.
        kernel_size: K, one number or one per axis. The image is padded with zeros so that its size
            stays; an even kernel sees one element more behind than in front.
        bias: add the biases?
        state_kernel_size: K', of the convolution of the state; by default as kernel_size.
        dims: spatial axes, 1 to 3.
        activation, recurrent_activation, zero_bias: as in `LSTMCell` and `GRUCell`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: Size = 3,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        state_kernel_size: Size | None = None,
        dims: int = 2,
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        who = type(self).__name__
        if dims not in (1, 2, 3):
            raise ValueError(f"{who} expected dims of 1, 2 or 3, got {dims!r}")
        self.dims = dims
        self.kernel_size = per_axis(who, "kernel_size", dims, kernel_size, 1)
        if state_kernel_size is None:
            state_kernel_size = self.kernel_size
        self.state_kernel_size = per_axis(who, "state_kernel_size", dims, state_kernel_size, 1)
        super().__init__(
            input_size,
            hidden_size,
            bias,
            dtype,
            activation=activation,
            recurrent_activation=recurrent_activation,
            zero_bias=zero_bias,
        )

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = Parameter(np.empty((rows, self.input_size, *self.kernel_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, recurrent_size, *self.state_kernel_size), dtype))
        self.bias_ih = Parameter(np.empty(rows, dtype)) if bias else None
        self.bias_hh = Parameter(np.empty(rows, dtype)) if bias else None

    def fan_in(self, name: str) -> int:
        """The elements that one output sees: C K for W_ih, H K' for W_hh and the biases."""
        if name == "weight_ih":
            return self.input_size * math.prod(self.kernel_size)
        return self.hidden_size * math.prod(self.state_kernel_size)

    def check(self, x: Value, single: bool = False) -> None:
        who, C = type(self).__name__, self.input_size
        if x.ndim != 3 + self.dims or x.shape[2] != C:
            axes = ", ".join("DHW"[-self.dims :] if self.dims > 1 else "L")
            expected = f"(B, {C}, {axes}) or ({C}, {axes})" if single else f"(T, B, {C}, {axes})"
            raise ValueError(
                f"{who} expected input of shape {expected}, got {x.shape[single:]}"
                + (": Recurrent(cell) takes sequences" if single else "")
            )
        check_float(who, x, self.weight_ih)

    def forward(self, input: Operand, hx: StateLike | None = None) -> Any:
        """One step by itself: input (B, C, *S) or (C, *S) -> the new state, bare (h) or as a tuple (h, c)."""
        x = as_variable(input)
        if x.ndim == self.dims + 1:
            one = super().forward(x[None], tree_map(lambda s: as_variable(s)[None], hx))
            return tree_map(lambda s: s[0], one)
        return super().forward(x, hx)

    def prepare(self, x: Value) -> Any:
        return RecurrentKernel(self.weight_hh)

    def project(self, x: Variable) -> Any:
        """W_ih * x + b_ih + b_hh for all gates."""
        bias = None if self.bias_ih is None or self.bias_hh is None else self.bias_ih + self.bias_hh
        return self.convolve_input(x, bias)

    def convolve_input(self, x: Variable, bias: Variable | None) -> Variable:
        """W_ih * x + bias, for one step or a sequence: all images as one batch."""
        lead, image = x.shape[: -self.dims - 1], x.shape[-self.dims - 1 :]
        y = conv(self.dims, reshape(x, (math.prod(lead), *image)), self.weight_ih, bias, 1, "same", 1, 1)
        return y if len(lead) == 1 else reshape(y, (*lead, *y.shape[1:]))

    def form(self) -> list[str]:
        other = self.state_kernel_size != self.kernel_size
        return [
            *super().form(),
            f"kernel_size={self.kernel_size}",
            *([f"state_kernel_size={self.state_kernel_size}"] if other else []),
        ]


class ConvRNNCell(ConvCell):
    """Elman network of convolutions:

        h' = tanh(W_ih * x + b_ih + W_hh * h + b_hh)

    Args:
        nonlinearity: "tanh", "relu", another name or a function: what stands for tanh.

    Other arguments are those of `ConvCell`.

    >>> cell = nn.ConvRNNCell(3, 4, kernel_size=5)
    >>> cell(np.zeros((2, 3, 8, 6), "f")).shape, cell.weight_ih.shape  # the image keeps its size
    ((2, 4, 8, 6), (4, 3, 5, 5))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: Size = 3,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: DTypeLike = np.float32,
        *,
        state_kernel_size: Size | None = None,
        dims: int = 2,
        zero_bias: bool = False,
    ):
        super().__init__(
            input_size, hidden_size, kernel_size, bias, dtype,
            state_kernel_size=state_kernel_size, dims=dims, activation=nonlinearity, zero_bias=zero_bias,
        )  # fmt: skip

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        (h,) = state
        return (self.activation(W_hh.plus(x, h)),)


class ConvGRUCell(ConvCell):
    """Gated recurrent unit of convolutions:

        r = σ(W_ir * x + b_ir + W_hr * h + b_hr)              reset gate
        z = σ(W_iz * x + b_iz + W_hz * h + b_hz)              update gate
        n = tanh(W_in * x + b_in + r ∘ (W_hn * h + b_hn))     candidate
        h' = (1 - z) ∘ n + z ∘ h

    With ``reset="before"`` the candidate is that of Ballas et al. (2016), who introduced this network:
    n = tanh(W_in * x + b_in + W_hn * (r ∘ h) + b_hn). With ``update="take"``, z = 1 takes the new state:
    h' = z ∘ n + (1 - z) ∘ h. The default is the form of `GRUCell`, which it equals on images of one element.
    Other arguments are those of `ConvCell`.

    >>> cell = nn.ConvGRUCell(3, 4, state_kernel_size=1, dims=1)
    >>> cell(np.zeros((2, 3, 8), "f")).shape, cell.weight_ih.shape, cell.weight_hh.shape
    ((2, 4, 8), (12, 3, 3), (12, 4, 1))
    """

    gates = ("r", "z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: Size = 3,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        reset: str = "after",
        update: str = "keep",
        **options: Any,
    ):
        if reset not in ("after", "before"):
            raise ValueError(f"ConvGRUCell expected reset 'after' or 'before', got {reset!r}")
        check_update("ConvGRUCell", update)
        self.reset, self.update = reset, update
        super().__init__(input_size, hidden_size, kernel_size, bias, dtype, **options)

    def prepare(self, x: Value) -> Any:
        if self.reset == "before":
            W_rz, W_n = split(self.weight_hh, [2 * self.hidden_size])
            return RecurrentKernel(W_rz), RecurrentKernel(W_n)
        return super().prepare(x)

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """W_ih * x + b_ih, the gates and the candidate apart; b_hh too, unless r acts on it."""
        after = self.reset == "after"
        x = self.convolve_input(x, self.bias_ih) if after else super().project(x)
        return split(x, [2 * self.hidden_size], axis=-self.dims - 1)

    def step(self, x: tuple[Variable, ...], state: State, W_hh: Any) -> State:
        σ = self.recurrent_activation
        x_rz, x_n = x
        (h,) = state
        if self.reset == "after":
            h_rz, h_n = split(W_hh.plus(self.bias_hh, h), [2 * self.hidden_size], axis=1)
            r, z = split(σ(x_rz + h_rz), 2, axis=1)
            n = self.activation(x_n + r * h_n)
        else:
            W_rz, W_n = W_hh
            r, z = split(σ(W_rz.plus(x_rz, h)), 2, axis=1)
            n = self.activation(W_n.plus(x_n, r * h))
        return (lerp(n, h, z) if self.update == "keep" else lerp(h, n, z),)

    def form(self) -> list[str]:
        return [*super().form(), *form_of(self.reset, self.update)]


class ConvLSTMCell(ConvCell):
    """Long short-term memory of convolutions (Shi et al. 2015), where peepholes are optional:

        [i f g o] = W_ih * x + b_ih + W_hh * h + b_hh
        i = σ(i + W_ci ∘ c)
        f = σ(f + W_cf ∘ c)
        g = tanh(g)
        c' = f ∘ c + i ∘ g
        o = σ(o + W_co ∘ c')
        h' = o ∘ tanh(c')

    Args:
        peephole: the size of the images, (H, W) in two dimensions: adds weight_ci, weight_cf and
            weight_co, each (hidden_size, *peephole), one weight for every element of c. A 1 instead
            of a size shares weights along that axis. Peepholes start as zeros. None: no peepholes.
        forget_bias: start with this bias in the forget gate; by default it is random, as in `LSTMCell`.

    Other arguments are those of `ConvCell`. On images of one element this is `LSTMCell`, with peepholes
    `PeepholeLSTMCell`.

    >>> cell = nn.ConvLSTMCell(3, 4, peephole=(8, 6))
    >>> h, c = cell(np.zeros((2, 3, 8, 6), "f"))
    >>> c.shape, cell.weight_ih.shape, cell.weight_ci.shape
    ((2, 4, 8, 6), (16, 3, 3, 3), (4, 8, 6))
    """

    gates = ("i", "f", "g", "o")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        kernel_size: Size = 3,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        peephole: Sequence[int] | None = None,
        output_activation: Activation = "tanh",
        forget_bias: float | None = None,
        dims: int = 2,
        **options: Any,
    ):
        who = type(self).__name__
        if forget_bias is not None and not bias:
            raise ValueError(f"{who}: forget_bias={forget_bias} cannot act with bias=False")
        self.peephole = None if peephole is None else per_axis(who, "peephole", dims, peephole, 1)
        self.output_activation = activation_function(who, output_activation)
        self.forget_bias = forget_bias
        super().__init__(input_size, hidden_size, kernel_size, bias, dtype, dims=dims, **options)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        if self.peephole:
            shape = self.hidden_size, *self.peephole
            self.weight_ci = Parameter(np.empty(shape, dtype))
            self.weight_cf = Parameter(np.empty(shape, dtype))
            self.weight_co = Parameter(np.empty(shape, dtype))

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """As for every `ConvCell`; peepholes are zeros."""
        super().reset_parameters(rng)
        if self.peephole:
            for peephole in (self.weight_ci, self.weight_cf, self.weight_co):
                init.zeros_(peephole)
        if self.forget_bias is not None:
            init.forget_bias_(self, self.forget_bias)

    def check(self, x: Value, single: bool = False) -> None:
        super().check(x, single)
        size = x.shape[3:]
        if self.peephole and any(p not in (1, m) for p, m in zip(self.peephole, size, strict=True)):
            raise ValueError(
                f"{type(self).__name__} with peepholes expected images of size {self.peephole}, got {size}"
            )

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, self.hidden_size)

    def prepare(self, x: Value) -> Any:
        peepholes = (self.weight_ci, self.weight_cf, self.weight_co) if self.peephole else None
        return RecurrentKernel(self.weight_hh), peepholes

    def step(self, x: Variable, state: State, fixed: Any) -> State:
        W_hh, peepholes = fixed
        σ = self.recurrent_activation
        h, c = state
        i, f, g, o = split(W_hh.plus(x, h), 4, axis=1)
        if peepholes:
            W_ci, W_cf, W_co = peepholes
            i = i + W_ci * c
            f = f + W_cf * c
        i, f = σ(i), σ(f)
        g = self.activation(g)
        c = f * c + i * g
        if peepholes:
            o = o + W_co * c
        o = σ(o)
        h = o * self.output_activation(c)
        return h, c

    def form(self) -> list[str]:
        return [
            *super().form(),
            *([] if self.peephole is None else [f"peephole={self.peephole}"]),
            *unless("output_activation", self.output_activation, "tanh"),
        ]
