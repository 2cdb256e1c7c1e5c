"""The Elman network: one layer, and nothing but it between h and the next h."""

from typing import Any

import numpy as np

from ..recurrent import State
from .base import Activation, GatedCell


class RNNCell(GatedCell):
    """Elman network:

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Args:
        nonlinearity: "tanh", "relu", another name or a function: what stands for tanh.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: Any = np.float32,
    ):
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity)

    def step(self, x: Any, state: State, W_hh: Any) -> State:
        (h,) = state
        return (self.activation(W_hh.plus(x, h)),)
