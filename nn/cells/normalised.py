"""Cells with layer normalisation (Ba, Kiros & Hinton 2016).

Where it acts is the paper's choice in each of the three. The biases are those of the norms.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable, lerp, linear, split

from ..layers import LayerNorm
from ..recurrent import State
from .base import Activation, GatedCell, RecurrentWeight
from .gru import GRUCell
from .lstm import LSTMCell


class LayerNormRNNCell(GatedCell):
    """Elman network with its sum normalised:

        h' = tanh(LN(W_ih x + W_hh h))

    LN is `LayerNorm` over the H sums, with its gain and bias.

    Args:
        bias: has the norm a bias?
        nonlinearity: what stands for tanh; a name or a function.

    >>> cell = nn.LayerNormRNNCell(2, 3)
    >>> before = cell(np.ones((1, 2), "f"))
    >>> cell.weight_ih.data = cell.weight_ih.data * 100  # the norm takes the scale of the weights away
    >>> np.allclose(cell(np.ones((1, 2), "f")).data, before.data, atol=1e-3)
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: DTypeLike = np.float32,
    ):
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, False, dtype)
        self.norm = LayerNorm(self.hidden_size, bias=bias, dtype=dtype)

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        (h,) = state
        return (self.activation(self.norm(W_hh.plus(x, h))),)


class LayerNormGRUCell(GRUCell):
    """`GRUCell` (reset="after") with every product normalised, the two gates together:

        [r z] = σ(LN(W_i,rz x) + LN(W_h,rz h))
        n = tanh(LN(W_in x) + r ∘ LN(W_hn h))
        h' = (1 - z) ∘ n + z ∘ h        with update="take": z ∘ n + (1 - z) ∘ h

    The four norms are norm_ih, norm_hh (size 2H) and norm_in, norm_hn (size H). Other arguments are those of
    `GRUCell`.

    >>> cell = nn.LayerNormGRUCell(2, 3)
    >>> {name: norm.weight.shape for name, norm in cell.named_children()}
    {'norm_ih': (6,), 'norm_hh': (6,), 'norm_in': (3,), 'norm_hn': (3,)}
    """

    norm_ih: LayerNorm
    norm_hh: LayerNorm
    norm_in: LayerNorm
    norm_hn: LayerNorm

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        update: str = "keep",
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
    ):
        super().__init__(
            input_size,
            hidden_size,
            bias,
            dtype,
            update=update,
            activation=activation,
            recurrent_activation=recurrent_activation,
        )

    convention = None  # nobody else has it in layers to compare with

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, False, dtype)
        H = self.hidden_size
        for name, size in {"norm_ih": 2 * H, "norm_hh": 2 * H, "norm_in": H, "norm_hn": H}.items():
            setattr(self, name, LayerNorm(size, bias=bias, dtype=dtype))

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """LN(W_ih x), the gates and the candidate apart."""
        x_rz, x_n = super().project(x)
        return self.norm_ih(x_rz), self.norm_in(x_n)

    def step(self, x: tuple[Variable, ...], state: State, W_hh: RecurrentWeight) -> State:
        σ = self.recurrent_activation
        x_rz, x_n = x
        (h,) = state
        h_rz, h_n = split(W_hh(h), [2 * self.hidden_size], axis=-1)
        r, z = split(σ(x_rz + self.norm_hh(h_rz)), 2, axis=-1)
        n = self.activation(x_n + r * self.norm_hn(h_n))
        return (lerp(n, h, z) if self.update == "keep" else lerp(h, n, z),)


class LayerNormLSTMCell(LSTMCell):
    """`LSTMCell` with both products normalised over all gates together, and the memory on its way out:

        [i f g o] = LN(W_ih x) + LN(W_hh h)
        i, f, o = σ(i), σ(f), σ(o)
        g = tanh(g)
        c' = f ∘ c + i ∘ g
        h' = o ∘ tanh(LN(c'))

    The memory itself is not normalised, so that it can carry numbers over time. The norms are norm_ih,
    norm_hh (size 4H) and norm_c (size H). Some implementations normalise each gate by itself or share
    one norm; this is the paper's form. Other arguments are those of `LSTMCell`.

    >>> cell = nn.LayerNormLSTMCell(2, 3)
    >>> {name: norm.weight.shape for name, norm in cell.named_children()}
    {'norm_ih': (12,), 'norm_hh': (12,), 'norm_c': (3,)}
    """

    norm_ih: LayerNorm
    norm_hh: LayerNorm
    norm_c: LayerNorm

    biases = ("norm_ih.bias", "norm_hh.bias")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        **options: Any,
    ):
        super().__init__(input_size, hidden_size, bias, dtype=dtype, **options)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, False, dtype)
        H = self.hidden_size
        for name, size in {"norm_ih": 4 * H, "norm_hh": 4 * H, "norm_c": H}.items():
            setattr(self, name, LayerNorm(size, bias=bias, dtype=dtype))

    def project(self, x: Variable) -> Variable:
        """LN(W_ih x) for all gates."""
        return self.norm_ih(linear(x, self.weight_ih))

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        σ = self.recurrent_activation
        h, c = state
        i, f, g, o = split(x + self.norm_hh(W_hh(h)), 4, axis=-1)
        i, f, o = σ(i), σ(f), σ(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(self.norm_c(c))
        return (linear(h, self.weight_hr) if self.proj_size else h), c
