"""Smaller than a GRU: one gate, or no matrix in the recurrence."""

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, lerp, split
from autograd.extend import Value

from .. import init
from ..recurrent import State
from .base import Activation, GatedCell, RecurrentWeight


class MGUCell(GatedCell):
    """Minimal gated unit (Zhou et al. 2016): a GRU with one gate, which resets and updates.

        z = σ(W_iz x + b_iz + W_hz h + b_hz)
        n = tanh(W_in x + b_in + W_hn (z ∘ h) + b_hn)
        h' = (1 - z) ∘ h + z ∘ n

    The paper calls the gate f. z = 1 takes the new state and lets the candidate see all of the old one: it is
    `GRUCell` with reset="before", update="take" and r = z. Two matrix products per step instead of three.

    Args:
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero; by default they are random, as in `GRUCell`.

    >>> cells = nn.MGUCell(2, 3), nn.GRUCell(2, 3), nn.LSTMCell(2, 3)
    >>> [sum(p.size for p in cell.parameters()) for cell in cells]  # two, three and four times 21
    [42, 63, 84]
    """

    gates = ("z", "n")

    def prepare(self, x: Value) -> tuple[RecurrentWeight, RecurrentWeight]:
        W_z, W_n = split(self.weight_hh, 2)
        return RecurrentWeight(W_z), RecurrentWeight(W_n)

    def project(self, x: Variable) -> tuple[Variable, Variable]:
        """W_ih x + b_ih + b_hh, the gate and the candidate apart."""
        return split(super().project(x), 2, axis=-1)

    def step(self, x: tuple[Variable, Variable], state: State, fixed: tuple[RecurrentWeight, ...]) -> State:
        σ, (W_z, W_n) = self.recurrent_activation, fixed
        x_z, x_n = x
        (h,) = state
        z = σ(W_z.plus(x_z, h))
        n = self.activation(W_n.plus(x_n, z * h))
        return (lerp(h, n, z),)


class RecurrentDiagonal(RecurrentWeight):
    """A recurrent weight w (H) of units that see themselves alone: ``w(h)`` is w ∘ h."""

    __slots__ = ()

    def __init__(self, weight: Variable):
        self.weight, self.mask = weight, None

    def plus(self, x: Variable | None, h: Variable) -> Variable:
        if self.mask is not None:
            h = self.hidden(h)
        return self.weight * h if x is None else x + self.weight * h


class IndRNNCell(GatedCell):
    """Independently recurrent network (Li et al. 2018): every unit sees itself alone.

        h' = relu(W_ih x + b_ih + w_hh ∘ h + b_hh)

    w_hh (H) is a vector. dh_T/dh_0 is diagonal, the T-th power of w_hh where relu is open: it neither
    vanishes nor explodes while the numbers are close to 1, and each can be clipped by itself. Units meet in
    the next layer.

    Args:
        nonlinearity: what stands for relu; a name or a function.
        zero_bias: start with biases of zero; by default they are random, as in `RNNCell`.

    >>> cell = nn.IndRNNCell(1, 3, bias=False)
    >>> cell.weight_hh.data = np.array([0.5, 1.0, 2.0], "f")
    >>> y, _ = nn.Recurrent(cell)(np.zeros((3, 1, 1), "f"), np.full((1, 3), 8.0, "f"))
    >>> y.data[-1]  # 8 w³
    array([[ 1.,  8., 64.]], dtype=float32)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "relu",
        dtype: DTypeLike = np.float32,
        *,
        zero_bias: bool = False,
    ):
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity, zero_bias=zero_bias)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        self.weight_hh = Parameter(np.empty(self.hidden_size, dtype))

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """As in `RNNCell`, and w_hh uniform from 0 to 1, so that units remember for different times."""
        super().reset_parameters(rng)
        init.uniform_(self.weight_hh, 0.0, 1.0, rng)

    def prepare(self, x: Value) -> RecurrentDiagonal:
        return RecurrentDiagonal(self.weight_hh)

    def step(self, x: Variable, state: State, w_hh: RecurrentDiagonal) -> State:
        (h,) = state
        return (self.activation(w_hh.plus(x, h)),)
