"""Long short-term memory whose gates look at the memory itself."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, linear, split
from autograd.extend import Value

from ..recurrent import State
from .base import RecurrentWeight
from .lstm import LSTMCell


class PeepholeLSTMCell(LSTMCell):
    """LSTM whose gates see the memory (Gers & Schmidhuber 2000): i and f the old one, o the new one.

        [i f g o] = W_ih x + b_ih + W_hh h + b_hh
        i = σ(i + w_ci ∘ c)
        f = σ(f + w_cf ∘ c)
        g = tanh(g)
        c' = f ∘ c + i ∘ g
        o = σ(o + w_co ∘ c')
        h' = o ∘ tanh(c')

    With ``full=True`` the peepholes are matrices: W_ci c, W_cf c and W_co c'. The default is the
    diagonal form of the first paper and of the ConvLSTM paper, 3H weights more than an LSTM; textbooks
    that write W_cᵀ c mean the full one, 3H² more. The peepholes start uniform within ±1/√H, as the
    rest; `init.zeros_` makes this an `LSTMCell`. Other arguments are those of `LSTMCell`.

    >>> [name for name, _ in nn.PeepholeLSTMCell(2, 3, bias=False).named_parameters()]
    ['weight_ih', 'weight_hh', 'weight_ci', 'weight_cf', 'weight_co']
    >>> nn.PeepholeLSTMCell(2, 3).weight_ci.shape, nn.PeepholeLSTMCell(2, 3, full=True).weight_ci.shape
    ((3,), (3, 3))
    """

    weight_ci: Parameter
    weight_cf: Parameter
    weight_co: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        full: bool = False,
        dtype: DTypeLike = np.float32,
        **options: Any,
    ):
        self.full = full
        super().__init__(input_size, hidden_size, bias, dtype=dtype, **options)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        H = self.hidden_size
        for name in ("weight_ci", "weight_cf", "weight_co"):
            setattr(self, name, Parameter(np.empty((H, H) if self.full else H, dtype)))

    def prepare(self, x: Value) -> tuple[RecurrentWeight, Variable, Variable, Variable]:
        return RecurrentWeight(self.weight_hh), self.weight_ci, self.weight_cf, self.weight_co

    def step(self, x: Variable, state: State, fixed: Any) -> State:
        W_hh, w_ci, w_cf, w_co = fixed
        σ, look = self.recurrent_activation, linear if self.full else lambda c, w: w * c
        h, c = state
        i, f, g, o = split(W_hh.plus(x, h), 4, axis=-1)
        i = σ(i + look(c, w_ci))
        f = σ(f + look(c, w_cf))
        g = self.activation(g)
        c = f * c + i * g
        o = σ(o + look(c, w_co))
        h = o * self.output_activation(c)
        return (linear(h, self.weight_hr) if self.proj_size else h), c

    def form(self) -> list[str]:
        return [*super().form(), *(["full=True"] if self.full else [])]
