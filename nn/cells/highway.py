"""Highway connections: gates that let a state pass without a product, from step to step or layer to layer."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, lerp, linear, sigmoid, split
from autograd.extend import Value

from .. import init
from ..functional import activation_function
from ..recurrent import Cell, State, checked_parts, zeros
from .base import Activation, Gate, RecurrentWeight, unless
from .wrappers import Wrapper


class RecurrentHighwayCell(Cell):
    """Recurrent highway network (Zilly et al. 2017): a step of L layers, each of which may be passed by.

        s_0 = h
        [n t] = W_ih x + R_l s_{l-1} + b_l       for l = 1 ... L; W_ih x for l = 1 alone
        s_l = σ(t) ∘ tanh(n) + (1 - σ(t)) ∘ s_{l-1}
        h' = s_L

    The carry gate is 1 minus the transform gate t, as in the paper's experiments. W_ih (2H, I) is weight_ih,
    R_l (2H, H) and b_l (2H) are weight_hh[l-1] and bias[l-1].

    Args:
        depth: L, layers per step; at least 1.
        transform_bias: initial bias of t; below 0 the state mostly passes, and so do gradients.
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for σ.
        zero_bias: start with zeros in the other biases; by default they are drawn as the weights.

    >>> cell = nn.RecurrentHighwayCell(2, 3, depth=4, transform_bias=-100.0)
    >>> cell(np.ones((1, 2), "f"), np.array([[1.0, 2.0, 3.0]], "f")).data  # everything passes
    array([[1., 2., 3.]], dtype=float32)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        depth: int = 2,
        dtype: DTypeLike = np.float32,
        *,
        transform_bias: float = -2.0,
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        who, H = type(self).__name__, hidden_size
        if min(input_size, hidden_size, depth) < 1:
            raise ValueError(
                f"{who} expected an input_size, a hidden_size and a depth of at least 1,"
                f" got {input_size}, {hidden_size} and {depth}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.transform_bias, self.zero_bias = transform_bias, zero_bias
        self.activation = activation_function(who, activation)
        self.recurrent_activation = activation_function(who, recurrent_activation)
        self.weight_ih = Parameter(np.empty((2 * H, input_size), dtype))
        self.weight_hh = [Parameter(np.empty((2 * H, H), dtype)) for _ in range(depth)]
        self.bias = [Parameter(np.empty(2 * H, dtype)) for _ in range(depth)]
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H; the biases of t are transform_bias."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.hidden_size, rng)
        for b in self.bias:
            if self.zero_bias:
                init.zeros_(b)
            init.constant_(Gate(b, slice(self.hidden_size, None)), self.transform_bias)

    def prepare(self, x: Value) -> tuple[RecurrentWeight, ...]:
        return tuple([RecurrentWeight(R) for R in self.weight_hh])

    def project(self, x: Variable) -> Variable:
        """W_ih x + b_1."""
        return linear(x, self.weight_ih, self.bias[0])

    def step(self, x: Variable, state: State, fixed: Any) -> State:
        σ = self.recurrent_activation
        (s,) = state
        for R, x_l in zip(fixed, [x, *self.bias[1:]], strict=True):
            n, t = split(R.plus(x_l, s), 2, axis=-1)
            s = lerp(s, self.activation(n), σ(t))
        return (s,)

    def extra_repr(self) -> str:
        return ", ".join(
            [
                f"{self.input_size}, {self.hidden_size}, depth={len(self.weight_hh)}",
                *unless("activation", self.activation, "tanh"),
                *unless("recurrent_activation", self.recurrent_activation, "sigmoid"),
            ]
        )


class Highway(Wrapper):
    """Lets the input of each step pass by the cell, as far as a gate says (Srivastava et al. 2015):

        h' = cell(x, h)
        t = σ(W_t x + b_t)
        y = t ∘ h' + (1 - t) ∘ x

    A stack of such layers starts as a short path from the bottom to the top. The state is (y, h', ...): its
    first part is the output, and the cell's own state comes behind it.

    Args:
        cell: one whose output has the size of its input.
        transform_bias: initial bias of the gate; below 0 the input mostly passes.

    Raises:
        ValueError: input and output of the cell differ in size.

    >>> x = np.array([[1.0, 2.0, 3.0]], "f")
    >>> y, h = nn.Highway(nn.RNNCell(3, 3), transform_bias=-100.0)(x)
    >>> y.data  # the cell is passed by
    array([[1., 2., 3.]], dtype=float32)
    """

    def __init__(self, cell: Cell, transform_bias: float = -1.0):
        super().__init__(cell)
        if cell.input_size != cell.output_size:
            raise ValueError(
                f"Highway expected a cell with equal sizes of input and output,"
                f" got {cell.input_size} and {cell.output_size}"
            )
        self.transform_bias = transform_bias
        n, dtype = cell.input_size, self.one_state()[0].dtype
        self.weight_t = init.fan_in_uniform_(Parameter(np.empty((n, n), dtype)), n)
        self.bias_t = init.constant_(Parameter(np.empty(n, dtype)), transform_bias)

    def check(self, x: Value, single: bool = False) -> None:
        super().check(x, single)
        if x.ndim != 3:
            raise ValueError(
                f"Highway expected steps of vectors, (T, B, {self.input_size}), got {x.shape}:"
                " over images, nn.Residual(cell) adds the input"
            )

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", *self.cell.parts

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.output_size), *self.cell.initial_state(x)

    def project(self, x: Variable) -> tuple[Variable, Variable, Any]:
        return x, sigmoid(linear(x, self.weight_t, self.bias_t)), self.cell.project(x)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        x, t, projected = x
        inner = checked_parts(self.cell, self.cell.step(projected, state[1:], fixed), len(state) - 1)
        return lerp(x, inner[0], t), *inner

    def extra_repr(self) -> str:
        return f"transform_bias={self.transform_bias}"
