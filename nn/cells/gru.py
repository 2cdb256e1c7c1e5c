"""The gated recurrent unit: a gate for what to forget, and one for what to renew."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable, lerp, linear, sigmoid, split
from autograd.extend import Value

from ..recurrent import State
from .base import Activation, GatedCell, RecurrentWeight


class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the form of PyTorch and cuDNN:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z = σ(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))     candidate
        h' = (1 - z) ∘ n + z ∘ h

    The literature has three candidates and two meanings of z. ``reset`` says where r acts:

        "after"    the product with W_hn, as above. The default: one product makes all gates.
        "before"   n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn), the form of Cho et al. and of most
                   courses; weights trained under one form do not fit the other.
        None       n = tanh(W_in x + b_in + W_hn h + b_hn), the simplified GRU: no r at all.

    Here z = 1 keeps the old state, as in PyTorch and Keras. Cho's first paper and courses that write
    h' = Γ ∘ n + (1 - Γ) ∘ h mean Γ = 1 - z. As 1 - σ(a) = σ(-a), that is no other cell: negate the rows
    of gate z in all weights and biases to go from one to the other.

    Args:
        reset: see above.
        activation: what stands for tanh; a name or a function.

    >>> cell, h = nn.GRUCell(2, 3), np.array([[0.1, 0.2, 0.3]], "f")
    >>> _ = nn.init.constant_(cell.gate("bias_ih", "z"), 100.0)  # z = 1: the old state is kept
    >>> cell(np.ones((1, 2), "f"), h).data
    array([[0.1, 0.2, 0.3]], dtype=float32)
    """

    gates: tuple[str, ...] = ("r", "z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        reset: str | None = "after",
        activation: Activation = "tanh",
    ):
        if reset not in ("after", "before", None):
            raise ValueError(f"GRUCell expected reset 'after', 'before' or None, got {reset!r}")
        self.reset = reset
        if reset is None:
            self.gates = "z", "n"
        super().__init__(input_size, hidden_size, bias, dtype, activation=activation)

    def prepare(self, x: Value) -> Any:
        if self.reset == "before":
            W_rz, W_n = split(self.weight_hh, [2 * self.hidden_size])
            return RecurrentWeight(W_rz), RecurrentWeight(W_n)
        return super().prepare(x)

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """W_ih x + b_ih, the gates and the candidate apart; b_hh too, unless r acts on it."""
        after = self.reset == "after"
        x = linear(x, self.weight_ih, self.bias_ih) if after else super().project(x)
        return split(x, [x.shape[-1] - self.hidden_size], axis=-1)

    def step(self, x: tuple[Variable, ...], state: State, W_hh: Any) -> State:
        x_rz, x_n = x
        (h,) = state
        if self.reset == "after":
            h_rz, h_n = split(W_hh.plus(self.bias_hh, h), [2 * self.hidden_size], axis=-1)
            r, z = split(sigmoid(x_rz + h_rz), 2, axis=-1)
            n = self.activation(x_n + r * h_n)
        elif self.reset == "before":
            W_rz, W_n = W_hh
            r, z = split(sigmoid(W_rz.plus(x_rz, h)), 2, axis=-1)
            n = self.activation(W_n.plus(x_n, r * h))
        else:
            x_z, (h_z, h_n) = x_rz, split(W_hh(h), 2, axis=-1)
            z = sigmoid(x_z + h_z)
            n = self.activation(x_n + h_n)
        return (lerp(n, h, z),)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset == "after" else f", reset={self.reset!r}")
