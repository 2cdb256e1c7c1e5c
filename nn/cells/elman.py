"""The Elman network: one layer, and nothing but it between h and the next h."""

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable

from ..recurrent import State
from .base import Activation, GatedCell, RecurrentWeight


class RNNCell(GatedCell):
    """Elman network:

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Args:
        nonlinearity: "tanh", "relu", another name or a function: what stands for tanh.
        zero_bias: start with biases of zero; by default they are random, as in PyTorch.

    >>> cell, x, h = nn.RNNCell(2, 3, bias=False), np.ones((1, 2), "f"), np.ones((1, 3), "f")
    >>> np.allclose(cell(x, h).data, np.tanh(x @ cell.weight_ih.data.T + h @ cell.weight_hh.data.T))
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: DTypeLike = np.float32,
        *,
        zero_bias: bool = False,
    ):
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity, zero_bias=zero_bias)

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        (h,) = state
        return (self.activation(W_hh.plus(x, h)),)
