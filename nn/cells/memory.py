"""Memories whose recurrence is no product of numbers: for the loop over time alone, each says why.

An LSTM with one gate for two, one with exponential gates, a matrix that is corrected, and a window over the
past in polynomials. As everywhere, shapes are x (B, I) and h (B, H), and every ``step`` is its docstring
line by line.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import (
    Parameter,
    Variable,
    exp,
    expand_dims,
    lerp,
    linear,
    maximum,
    sigmoid,
    softplus,
    split,
    sqrt,
)
from autograd import sum as sum_
from autograd.extend import Array, Value, alike

from .. import init
from ..functional import activation_function
from ..recurrent import Cell, State, zeros
from .base import Activation, GatedCell, RecurrentWeight, unless


class CoupledLSTMCell(GatedCell):
    """LSTM whose input gate is what the forget gate leaves, 1 - f (CIFG of Greff et al. 2017):

        [f g o] = W_ih x + b_ih + W_hh h + b_hh
        f, o = σ(f), σ(o)
        g = tanh(g)
        c' = f ∘ c + (1 - f) ∘ g
        h' = o ∘ tanh(c')

    Three quarters of the weights of an LSTM, and a memory that stays within ±1.

    Args:
        activation: what stands for tanh in g; a name or a function.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero.

    >>> cells = nn.CoupledLSTMCell(2, 3), nn.LSTMCell(2, 3)
    >>> [sum(p.size for p in cell.parameters()) for cell in cells]
    [63, 84]
    """

    gates = ("f", "g", "o")
    nonlinear = "its gates see h, through W_hh"

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, self.hidden_size)

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        σ = self.recurrent_activation
        h, c = state
        f, g, o = split(W_hh.plus(x, h), 3, axis=-1)
        f, o = σ(f), σ(o)
        g = self.activation(g)
        c = lerp(g, c, f)
        h = o * self.activation(c)
        return h, c


class SLSTMCell(GatedCell):
    """sLSTM (Beck et al. 2024, xLSTM): an input gate that is an exponential, and a normaliser.

        [i f z o] = W_ih x + b_ih + W_hh h + b_hh
        c' = σ(f) ∘ c + e^i ∘ tanh(z)         memory
        n' = σ(f) ∘ n + e^i                   how much has been written into it
        h' = σ(o) ∘ c' / n'

    e^i has no upper end, so that one input can outweigh all before it. So that it does not overflow, c and n
    are held divided by e^m (appendix A.2), which h does not notice:

        m' = max(log σ(f) + m, i)
        c' = e^(log σ(f) + m - m') ∘ c + e^(i - m') ∘ tanh(z)        and n' in the same way

    The state is (h, c, n, m), of zeros at first.

    Args:
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for σ of o. That of f is σ, whose logarithm is computed.
        zero_bias: start with biases of zero.

    >>> cell = nn.SLSTMCell(2, 3)
    >>> nn.init.constant_(cell.gate("bias_ih", "i"), 500.0).shape  # e^500 would be infinite
    (3,)
    >>> y, _ = nn.Recurrent(cell)(np.ones((4, 1, 2), "f"))
    >>> bool(np.abs(y.data).max() < 1)
    True
    """

    gates = ("i", "f", "z", "o")
    nonlinear = "its gates see h, through W_hh"

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c", "n", "m"

    def initial_state(self, x: Value) -> State:
        return tuple([zeros(x, self.hidden_size) for _ in self.parts])

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        h, c, n, m = state
        i, f, z, o = split(W_hh.plus(x, h), 4, axis=-1)
        log_f = -softplus(-f)
        m, kept = maximum(log_f + m, i), log_f + m
        f, i = exp(kept - m), exp(i - m)
        c = f * c + i * self.activation(z)
        n = f * n + i
        h = self.recurrent_activation(o) * c / n
        return h, c, n, m


class DeltaNetCell(Cell):
    """Matrix memory that is corrected (DeltaNet: Schlag et al. 2021, Yang et al. 2024):

        [q k v β] = W_ih x + b_ih;  q, k of length 1, β = σ(β) a number
        S' = S + β (v - S k) kᵀ        what S has stored under k becomes v, as far as β says
        y = S' q

    One step of gradient descent on ½ |S k - v|² with the learning rate β: the delta rule. The state is
    (y, S) with S (B, H, K). Its recurrence is linear in S, with the matrix 1 - β k kᵀ for a.

    Args:
        input_size, hidden_size, key_size: I, H and K; K is H by default.

    >>> cell = nn.DeltaNetCell(2, 3, key_size=4)
    >>> y, (_, S) = nn.Recurrent(cell)(np.ones((5, 1, 2), "f"))
    >>> y.shape, S.shape
    ((5, 1, 3), (1, 3, 4))
    """

    nonlinear = "its state is multiplied by a matrix, 1 - β k kᵀ, and not element by element"

    def __init__(
        self, input_size: int, hidden_size: int, key_size: int | None = None, dtype: DTypeLike = np.float32
    ):
        K = hidden_size if key_size is None else key_size
        if min(input_size, hidden_size, K) < 1:
            raise ValueError(
                "DeltaNetCell expected an input_size, a hidden_size and a key_size of at least 1,"
                f" got {input_size}, {hidden_size} and {K}"
            )
        self.input_size, self.hidden_size, self.key_size = input_size, hidden_size, K
        self.weight_ih = Parameter(np.empty((2 * K + hidden_size + 1, input_size), dtype))
        self.bias_ih = Parameter(np.empty(2 * K + hidden_size + 1, dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√I."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.input_size, rng)

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", "S"

    def initial_state(self, x: Value) -> State:
        S = alike(np.zeros((x.shape[1], self.hidden_size, self.key_size), x.dtype), x)
        return zeros(x, self.hidden_size), Variable(S, requires_grad=False, name="0")

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """q, k, v and β."""
        K, H = self.key_size, self.hidden_size
        q, k, v, β = split(linear(x, self.weight_ih, self.bias_ih), [K, 2 * K, 2 * K + H], axis=-1)
        return unit(q), unit(k), v, sigmoid(β)

    def step(self, x: tuple[Variable, ...], state: State, fixed: None) -> State:
        q, k, v, β = x
        S = state[-1]
        error = v - times(S, k)
        S = S + expand_dims(β * error, -1) * expand_dims(k, -2)
        return times(S, q), S

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.key_size}"


def unit(x: Variable) -> Variable:
    """x / |x| for each row; a row of zeros stays one."""
    return x / sqrt(sum_(x * x, axis=-1, keepdims=True) + 1e-12)


def times(S: Variable, k: Variable) -> Variable:
    """S k for each row: (B, H, K) and (B, K) -> (B, H)."""
    return sum_(S * expand_dims(k, -2), axis=-1)


class LMUCell(Cell):
    """Legendre memory unit (Voelker et al. 2019): the last θ steps of a signal as a polynomial.

        u = e_xᵀ x + e_hᵀ h + e_mᵀ m
        m' = Ā m + B̄ u
        h' = tanh(W_x x + W_h h + W_m m')

    Ā (M, M) and B̄ (M) are constants: with them m holds the coefficients of u over the last θ steps in the
    first M Legendre polynomials, as well as M numbers can. They are those of θ m˙ = A m + B u over one step,
    A_ij = (2i + 1) (-1 if i < j else (-1)^(i-j+1)), B_i = (2i + 1) (-1)^i. The state is (h, m).

    Args:
        input_size, hidden_size, memory_size: I, H and M; M is H by default.
        theta: θ, the length of the window in steps.
        nonlinearity: what stands for tanh; a name or a function.

    Raises:
        ValueError: a size below 1, or a window of no length.

    >>> cell = nn.LMUCell(1, 4, memory_size=6, theta=100.0)
    >>> _ = nn.init.zeros_(cell.e_h)  # the memory sees x alone
    >>> x = np.sin(np.arange(200.0) / 15)[:, None, None].astype("f")
    >>> _, (h, m) = nn.Recurrent(cell)(x)
    >>> then = cell.window(0.5) @ m.data[0] / cell.e_x.data[0]  # half a window ago: 50 steps
    >>> bool(abs(then - x[149, 0]) < 0.03)
    True
    """

    nonlinear = "its memory is multiplied by a matrix, Ā, and sees h"
    A_bar: Array
    B_bar: Array

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        memory_size: int | None = None,
        theta: float = 100.0,
        dtype: DTypeLike = np.float32,
        *,
        nonlinearity: Activation = "tanh",
    ):
        I, H, M = input_size, hidden_size, hidden_size if memory_size is None else memory_size  # noqa: E741
        if min(I, H, M) < 1 or theta <= 0:
            raise ValueError(
                "LMUCell expected an input_size, a hidden_size and a memory_size of at least 1 and a theta"
                f" above 0, got {I}, {H}, {M} and {theta}"
            )
        self.input_size, self.hidden_size, self.memory_size, self.theta = I, H, M, theta
        self.nonlinearity = activation_function("LMUCell", nonlinearity)
        self.e_x, self.e_h, self.e_m = (Parameter(np.empty(n, dtype)) for n in (I, H, M))
        self.W_x, self.W_h, self.W_m = (Parameter(np.empty((H, n), dtype)) for n in (I, H, M))
        for name, table in zip(("A_bar", "B_bar"), legendre(M, theta, self.e_x.dtype), strict=True):
            self.register_buffer(name, table, persistent=False)
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """As in the paper: e_x and e_h uniform within ±√(3/fan-in), e_m zeros, matrices by Xavier's rule."""
        for p in (self.e_x, self.e_h):
            bound = (3 / p.size) ** 0.5
            init.uniform_(p, -bound, bound, rng)
        init.zeros_(self.e_m)
        for p in (self.W_x, self.W_h, self.W_m):
            init.xavier_normal_(p, rng=rng)

    def window(self, r: float) -> Array:
        """P_0(2r - 1) ... P_{M-1}(2r - 1), whose product with m is u of r θ steps ago; r from 0 to 1."""
        values: Array = np.polynomial.legendre.legvander(np.array([2 * r - 1]), self.memory_size - 1)[0]
        return values

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "m"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, self.memory_size)

    def prepare(self, x: Value) -> tuple[RecurrentWeight, ...]:
        weights = expand_dims(self.e_h, 0), expand_dims(self.e_m, 0), self.W_h, self.W_m
        return tuple([RecurrentWeight(weight) for weight in weights])

    def project(self, x: Variable) -> tuple[Variable, Variable]:
        """e_xᵀ x and W_x x."""
        return x @ expand_dims(self.e_x, -1), linear(x, self.W_x)

    def step(self, x: tuple[Variable, Variable], state: State, fixed: Any) -> State:
        (u, W_x), (e_h, e_m, W_h, W_m) = x, fixed
        h, m = state
        u = e_m.plus(e_h.plus(u, h), m)
        m = m @ self.A_bar.T + u * self.B_bar
        h = self.nonlinearity(W_m.plus(W_h.plus(W_x, h), m))
        return h, m

    def extra_repr(self) -> str:
        sizes = f"{self.input_size}, {self.hidden_size}, {self.memory_size}, theta={self.theta}"
        return ", ".join([sizes, *unless("nonlinearity", self.nonlinearity, "tanh")])


def legendre(size: int, theta: float, dtype: DTypeLike) -> tuple[Array, Array]:
    """Ā and B̄: what one step of θ m˙ = A m + B u does, u being the same throughout the step."""
    i, j = np.indices((size, size))
    A = (2 * i + 1) * np.where(i < j, -1.0, (-1.0) ** (i - j + 1))
    B = ((2 * i + 1) * (-1.0) ** i)[:, :1]
    both = np.zeros((size + 1, size + 1))  # e^[[A B] [0 0]] = [[Ā B̄] [0 1]]
    both[:size] = np.hstack([A, B]) / theta
    halvings = max(0, int(np.ceil(np.log2(np.abs(both).sum(1).max()))) + 4)
    step = term = np.eye(size + 1)
    for n in range(1, 13):  # e^X by its series where X is small, and then squared
        term = term @ both / (n * 2.0**halvings)
        step = step + term
    for _ in range(halvings):
        step = step @ step
    return step[:size, :size].astype(dtype), step[:size, size].astype(dtype)
