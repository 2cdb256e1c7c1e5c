"""Recurrent cells of the literature beyond the gated ones: what else may be fed back, and how often.

The forms of Goodfellow, Bengio & Courville (Deep Learning, 2016, chapter 10): what is fed back
(`TextbookCell`, `JordanCell`), how deep a step is (`StackedCells`, `DeepRNNCell`), how far back it looks
(`SkipRNNCell`). And cells that remember by other means than gates: `ClockworkCell`, `SCRNCell`, `IRNNCell`.
As everywhere, shapes are x (B, I) and h (B, H), and every ``step`` is its docstring line by line.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, concatenate, linear, split, where
from autograd.extend import Array, Value, alike

from .. import init
from ..functional import activation_function, data_of
from ..layers import Linear
from ..module import kind_of
from ..recurrent import Cell, State, checked_parts, zeros
from .base import Activation, GatedCell, RecurrentWeight, unless
from .elman import RNNCell

# --- what is fed back -----------------------------------------------------------------------------


class TextbookCell(Cell):
    """The recurrent network of the book, output included (Goodfellow et al. 2016, equations 10.8 to 10.10):

        a = b + W h + U x       feedback="hidden", figure 10.3
        a = b + W o + U x       feedback="output", figure 10.4: the past is known by its outputs alone
        h' = tanh(a)
        o' = c + V h'

    The state is (o, h) or (o,). The softmax is left to the loss, as `nn.functional.cross_entropy` has it.
    Figure 10.5, one output at the end of a sequence, is no other cell: it is ``state[0]`` of
    ``y, state = Recurrent(cell)(x)``, and outputs in between that nobody asks for get no gradient.

    Parameters are named as in the book: U (H, I), W (H, H) or (H, O), V (O, H), b (H), c (O).

    Args:
        input_size, hidden_size, output_size: I, H and O.
        feedback: see above.
        nonlinearity: what stands for tanh; a name or a function.
        output_nonlinearity: of o'; none by default.
        zero_bias: start with b and c of zero, as courses do; False draws them as the weights.

    Raises:
        ValueError: feedback is neither "hidden" nor "output", or a size is too small.

    >>> y, (o, h) = nn.Recurrent(nn.TextbookCell(2, 4, 3))(np.ones((5, 1, 2), "f"))
    >>> y.shape, o.shape, h.shape
    ((5, 1, 3), (1, 3), (1, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        feedback: str = "hidden",
        dtype: DTypeLike = np.float32,
        *,
        nonlinearity: Activation = "tanh",
        output_nonlinearity: Activation = "identity",
        zero_bias: bool = True,
    ):
        who = type(self).__name__
        if feedback not in ("hidden", "output"):
            raise ValueError(f"{who} expected feedback 'hidden' or 'output', got {feedback!r}")
        if input_size < 0 or min(hidden_size, output_size) < 1:
            raise ValueError(
                f"{who} expected an input_size of at least 0, a hidden_size and an output_size of at least 1,"
                f" got {input_size}, {hidden_size} and {output_size}"
            )
        self.input_size, self.hidden_size, self.feedback = input_size, hidden_size, feedback
        self._output_size, self.zero_bias = output_size, zero_bias
        self.nonlinearity = activation_function(who, nonlinearity)
        self.output_nonlinearity = activation_function(who, output_nonlinearity)
        fed_back = hidden_size if feedback == "hidden" else output_size
        self.U = Parameter(np.empty((hidden_size, input_size), dtype))
        self.W = Parameter(np.empty((hidden_size, fed_back), dtype))
        self.b = Parameter(np.empty(hidden_size, dtype))
        self.V = Parameter(np.empty((output_size, hidden_size), dtype))
        self.c = Parameter(np.empty(output_size, dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H; with zero_bias, b and c are zeros."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.hidden_size, rng)
        if self.zero_bias:
            init.zeros_(self.b)
            init.zeros_(self.c)

    @property
    def output_size(self) -> int:
        return self._output_size

    @property
    def parts(self) -> tuple[str, ...]:
        return ("o", "h") if self.feedback == "hidden" else ("o",)

    def initial_state(self, x: Value) -> State:
        o = zeros(x, self.output_size)
        return (o, zeros(x, self.hidden_size)) if self.feedback == "hidden" else (o,)

    def prepare(self, x: Value) -> RecurrentWeight:
        return RecurrentWeight(self.W)

    def project(self, x: Variable) -> Variable:
        """b + U x."""
        return linear(x, self.U, self.b)

    def step(self, x: Variable, state: State, W: RecurrentWeight) -> State:
        a = W.plus(x, state[-1])
        h = self.nonlinearity(a)
        o = self.output_nonlinearity(linear(h, self.V, self.c))
        return (o, h) if self.feedback == "hidden" else (o,)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}, feedback={self.feedback!r}"


class JordanCell(TextbookCell):
    """Jordan network (Jordan 1986): the output is fed back, and nothing else.

        h' = tanh(b + W y + U x)
        y' = σ(c + V h')

    The state is (y,). Where the right outputs are known, they can stand for y in training (teacher
    forcing): ``cell(x_t, y_right)`` for every t, and then no gradient has to cross a time step.

    Args:
        nonlinearity, output_nonlinearity: what stands for tanh and σ; names or functions.
        zero_bias: as in `TextbookCell`.

    >>> y, (last,) = nn.Recurrent(nn.JordanCell(2, 4, 3))(np.ones((5, 1, 2), "f"))
    >>> np.array_equal(y.data[-1], last.data)  # the state is the output
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int,
        dtype: DTypeLike = np.float32,
        *,
        nonlinearity: Activation = "tanh",
        output_nonlinearity: Activation = "sigmoid",
        zero_bias: bool = True,
    ):
        super().__init__(
            input_size,
            hidden_size,
            output_size,
            "output",
            dtype,
            nonlinearity=nonlinearity,
            output_nonlinearity=output_nonlinearity,
            zero_bias=zero_bias,
        )

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}"


# --- how deep a step is, and how far back it looks ------------------------------------------------


class StackedCells(Cell):
    """A hierarchy of groups of hidden units as one cell (Goodfellow et al. 2016, figure 10.13a):

        h1' = cell1(x, h1)
        h2' = cell2(h1', h2)        and so on; a group sees the groups below it and itself

    What `Stacked` does layer by layer, this does step by step: for decoders, which need the output of the
    top before the next input is known. The state has the parts of the top cell first, those of the lowest
    last, so that ``state[0]`` is the output of the top. Dropout goes around the cells in it, not around it.

    Raises:
        ValueError: no cells, or an output that does not fit the next input. TypeError: not cells.

    >>> cell = nn.StackedCells([nn.GRUCell(2, 4), nn.RNNCell(4, 3)])
    >>> top, bottom = cell(np.ones((1, 2), "f"))  # one step of both
    >>> top.shape, bottom.shape
    ((1, 3), (1, 4))
    """

    def __init__(self, cells: Sequence[Cell]):
        for cell in cells:
            if not isinstance(cell, Cell):
                raise TypeError(f"StackedCells expected cells, got {kind_of(cell)}")
        if not cells:
            raise ValueError("StackedCells expected at least one cell, got none")
        for k, (lower, upper) in enumerate(zip(cells, cells[1:], strict=False)):
            if lower.output_size != upper.input_size:
                raise ValueError(
                    f"StackedCells: cell {k} gives {lower.output_size} numbers,"
                    f" cell {k + 1} expected {upper.input_size}"
                )
        self.cells = list(cells)
        self.input_size, self.hidden_size = cells[0].input_size, cells[-1].hidden_size

    @property
    def output_size(self) -> int:
        return self.cells[-1].output_size

    def inputs(self, x: Value) -> list[Value]:
        """x, which is the input of the lowest cell, and zeros in the shape of the inputs of the others."""
        shapes = [(1, x.shape[1], cell.input_size) for cell in self.cells[1:]]
        return [x, *[alike(np.zeros(shape, x.dtype), x) for shape in shapes]]

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple([f"{name}_{k}" for k, cell in reversed([*enumerate(self.cells)]) for name in cell.parts])

    def initial_state(self, x: Value) -> State:
        parts = [cell.initial_state(like) for cell, like in zip(self.cells, self.inputs(x), strict=True)]
        return tuple([part for state in reversed(parts) for part in state])

    def prepare(self, x: Value) -> Any:
        pairs = list(zip(self.cells, self.inputs(x), strict=True))
        counts = [len(cell.initial_state(like)) for cell, like in pairs]
        return tuple([cell.prepare(like) for cell, like in pairs]), tuple(counts)

    def project(self, x: Variable) -> Any:
        return self.cells[0].project(x)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        new: State = ()
        for k, (cell, own, count) in enumerate(zip(self.cells, *fixed, strict=True)):
            h = cell.step(cell.project(new[0]) if k else x, state[len(state) - count :], own)
            state, new = state[: len(state) - count], (*checked_parts(cell, h, count), *new)
        return new

    def extra_repr(self) -> str:
        return ""


class DeepRNNCell(Cell):
    """Perceptrons in the three places of a step (Pascanu et al. 2014; Goodfellow et al., figure 10.13b, c):

        u = W_in tanh(... tanh(W_in1 x + b_in1)) + b_in        input to hidden, input_depth products
        a = W_hh tanh(... tanh(W_hh1 h + b_hh1))               hidden to hidden, hidden_depth products
        h' = tanh(u + a)                                       with skip: tanh(u + a + W_skip h)
        y = tanh(W_out ... tanh(W_out1 h' + b_out1) + b_out)   hidden to output, output_depth products

    A deeper transition makes the path from one step to the next longer, by two operations or more per
    product; the skip connection makes it short again. All layers have H units. The state is (y, h), or
    (h,) with output_depth=0.

    Args:
        input_depth, hidden_depth: at least 1. output_depth: at least 0.
        skip: add the product with W_skip.
        activation: what stands for tanh, everywhere; a name or a function.
        zero_bias: start with biases of zero; by default they are drawn as the weights.

    >>> cell = nn.DeepRNNCell(2, 4, hidden_depth=3, output_depth=1)
    >>> y, h = cell(np.ones((1, 2), "f"))
    >>> y.shape, len(cell.into), len(cell.weight_hh), len(cell.out)
    ((1, 4), 1, 3, 1)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        input_depth: int = 1,
        hidden_depth: int = 2,
        output_depth: int = 0,
        skip: bool = False,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        zero_bias: bool = False,
    ):
        if min(input_depth, hidden_depth) < 1 or output_depth < 0:
            raise ValueError(
                "DeepRNNCell expected an input_depth and a hidden_depth of at least 1, an output_depth of at"
                f" least 0, got {input_depth}, {hidden_depth} and {output_depth}"
            )
        H = hidden_size
        self.input_size, self.hidden_size, self.skip = input_size, hidden_size, skip
        self.activation, self.zero_bias = activation_function("DeepRNNCell", activation), zero_bias
        self.into = [Linear(H if k else input_size, H, dtype=dtype) for k in range(input_depth)]
        self.out = [Linear(H, H, dtype=dtype) for _ in range(output_depth)]
        self.weight_hh = [Parameter(np.empty((H, H), dtype)) for _ in range(hidden_depth)]
        self.bias_hh = [Parameter(np.empty(H, dtype)) for _ in range(hidden_depth - 1)]
        self.weight_skip = Parameter(np.empty((H, H), dtype)) if skip else None
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H; with zero_bias, biases are zeros."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.hidden_size, rng)
            if self.zero_bias and p.ndim == 1:
                init.zeros_(p)

    @property
    def parts(self) -> tuple[str, ...]:
        return ("y", "h") if self.out else ("h",)

    def initial_state(self, x: Value) -> State:
        return tuple([zeros(x, self.hidden_size) for _ in range(2 if self.out else 1)])

    def prepare(self, x: Value) -> tuple[tuple[RecurrentWeight, ...], RecurrentWeight | None]:
        W_skip = None if self.weight_skip is None else RecurrentWeight(self.weight_skip)
        return tuple([RecurrentWeight(w) for w in self.weight_hh]), W_skip

    def project(self, x: Variable) -> Variable:
        """u: the input through its own layers."""
        for layer in self.into[:-1]:
            x = self.activation(layer(x))
        return self.into[-1](x)

    def step(self, x: Variable, state: State, fixed: Any) -> State:
        (*deep, W_last), W_skip = fixed
        h = a = state[-1]
        for W, b in zip(deep, self.bias_hh, strict=True):
            a = self.activation(W.plus(b, a))
        a = W_last.plus(x, a)
        h = self.activation(a if W_skip is None else W_skip.plus(a, h))
        y = h
        for layer in self.out:
            y = self.activation(layer(y))
        return (y, h) if self.out else (h,)

    def extra_repr(self) -> str:
        depths = f"{len(self.into)}, {len(self.weight_hh)}, {len(self.out)}"
        parts = [f"{self.input_size}, {self.hidden_size}, {depths}"]
        parts += ["skip=True"] if self.skip else []
        parts += ["zero_bias=True"] if self.zero_bias else []
        return ", ".join([*parts, *unless("activation", self.activation, "tanh")])


class SkipRNNCell(GatedCell):
    """Skip connections through time (Lin et al. 1996; Goodfellow et al. 2016, section 10.9.1):

        h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh + W_skip h_{t-lag})

    From h_t back to h_{t-n} there is a path of about n / lag steps, along which a gradient fades slower.
    The state is (h_{t-1}, ..., h_{t-lag}).

    Args:
        lag: at least 2.
        nonlinearity: what stands for tanh; a name or a function.
        zero_bias: start with biases of zero.

    >>> y, state = nn.Recurrent(nn.SkipRNNCell(2, 4, lag=3))(np.ones((5, 1, 2), "f"))
    >>> [np.array_equal(h.data, y.data[t]) for h, t in zip(state, (4, 3, 2))]
    [True, True, True]
    """

    weight_skip: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        lag: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: DTypeLike = np.float32,
        *,
        zero_bias: bool = False,
    ):
        if lag < 2:
            raise ValueError(f"SkipRNNCell expected a lag of at least 2 steps, got {lag}")
        self.lag = lag
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity, zero_bias=zero_bias)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        self.weight_skip = Parameter(np.empty((self.hidden_size, recurrent_size), dtype))

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", *[f"h_{k}" for k in range(2, self.lag + 1)]

    def initial_state(self, x: Value) -> State:
        return tuple([zeros(x, self.hidden_size) for _ in range(self.lag)])

    def prepare(self, x: Value) -> tuple[RecurrentWeight, RecurrentWeight]:
        return RecurrentWeight(self.weight_hh), RecurrentWeight(self.weight_skip)

    def step(self, x: Variable, state: State, fixed: tuple[RecurrentWeight, RecurrentWeight]) -> State:
        W_hh, W_skip = fixed
        h, *_, h_lag = state
        h = self.activation(W_skip.plus(W_hh.plus(x, h), h_lag))
        return h, *state[:-1]

    def form(self) -> list[str]:
        return [*super().form(), f"lag={self.lag}"]


# --- memory without gates -------------------------------------------------------------------------


class ClockworkCell(GatedCell):
    """Clockwork RNN (Koutník et al. 2014): groups of units, each with a clock of its own.

        h'_g = tanh(W_ih x + b_ih + W_hh h + b_hh)_g    if t mod T_g = 0
        h'_g = h_g                                      otherwise

    Groups are ordered by period, and a group sees itself and the slower ones: W_hh is block upper
    triangular, its other entries stay zero and get no gradient. A group with a period of n holds its state
    for n steps exactly, and the path of a gradient through it is n times shorter. (All groups are computed
    in all steps here, so it is the memory of the paper and not its savings.)

    The state is (h, t); t (B, 1), integers, counts steps from 0 in every row by itself, so that it goes on
    across chunks of a long sequence.

    Args:
        periods: T_g of every group, ascending; hidden_size is a multiple of their number.
        nonlinearity: what stands for tanh; a name or a function.
        zero_bias: start with biases of zero.

    Raises:
        ValueError: the periods do not ascend from at least 1, or do not divide the units.

    >>> y, (h, t) = nn.Recurrent(nn.ClockworkCell(2, 4, periods=(1, 2)))(np.ones((4, 1, 2), "f"))
    >>> np.array_equal(y.data[2, 0, 2:], y.data[3, 0, 2:]), t.data  # the slow group rests at t = 3
    (True, array([[4]]))
    """

    period: Array
    connected: Array

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        periods: Sequence[int] = (1, 2, 4, 8),
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: DTypeLike = np.float32,
        *,
        zero_bias: bool = False,
    ):
        self.periods = tuple(periods)
        if not self.periods or self.periods[0] < 1 or list(self.periods) != sorted(set(self.periods)):
            raise ValueError(f"ClockworkCell expected periods that ascend from at least 1, got {periods}")
        if hidden_size % len(self.periods):
            raise ValueError(
                f"ClockworkCell expected a hidden_size that its {len(self.periods)} groups can share,"
                f" got {hidden_size}"
            )
        period = np.repeat(self.periods, hidden_size // len(self.periods))
        self.register_buffer("period", period, persistent=False)
        self.register_buffer("connected", period[:, None] <= period, persistent=False)
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity, zero_bias=zero_bias)

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H, and zero where no connection is."""
        super().reset_parameters(rng)
        self.weight_hh.data *= self.connected
        self.weight_hh.data = self.weight_hh.data  # a new version: see Variable.data

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "t"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, 1, np.int64)

    def prepare(self, x: Value) -> RecurrentWeight:
        return RecurrentWeight(where(self.connected, self.weight_hh, 0.0))

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        h, t = state
        on = data_of(t) % self.period == 0
        h = where(on, self.activation(W_hh.plus(x, h)), h)
        return h, t + 1

    def form(self) -> list[str]:
        return [*super().form(), f"periods={self.periods}"]


class SCRNCell(GatedCell):
    """Structurally constrained recurrent network (Mikolov et al. 2015): a part of the state changes slowly.

        s' = (1 - α) B x + α s          context: no weights and no squashing in its recurrence
        h' = σ(P s' + A x + R h)        hidden units

    The output and the state are [h s], of H + S numbers: `nn.Linear` over it is the paper's U h + V s. What
    s holds fades as α^t exactly, whatever the weights are. A, R, B and P are weight_ih (H, I),
    weight_hh (H, H), weight_is (S, I) and weight_sh (H, S); there are no biases.

    Args:
        hidden_size, context_size: H and S.
        alpha: α, how much of the context stays; 1 freezes it.
        activation: what stands for σ; a name or a function.

    >>> h0 = np.array([[0.0, 0.0, 0.0, 8.0]], "f")  # three hidden units, and a context that starts at 8
    >>> y, _ = nn.Recurrent(nn.SCRNCell(2, 3, 1, alpha=0.5))(np.zeros((3, 1, 2), "f"), h0)
    >>> y.data[:, 0, 3]
    array([4., 2., 1.], dtype=float32)
    """

    weight_is: Parameter
    weight_sh: Parameter

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        context_size: int,
        alpha: float = 0.95,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "sigmoid",
    ):
        if context_size < 1 or not 0 <= alpha <= 1:
            raise ValueError(
                "SCRNCell expected a context_size of at least 1 and an alpha between 0 and 1,"
                f" got {context_size} and {alpha}"
            )
        self.context_size, self.alpha = context_size, alpha
        super().__init__(input_size, hidden_size, False, dtype, activation=activation)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        self.weight_is = Parameter(np.empty((self.context_size, self.input_size), dtype))
        self.weight_sh = Parameter(np.empty((self.hidden_size, self.context_size), dtype))

    @property
    def output_size(self) -> int:
        return self.hidden_size + self.context_size

    def initial_state(self, x: Value) -> State:
        return (zeros(x, self.output_size),)

    def prepare(self, x: Value) -> RecurrentWeight:
        RP = concatenate([self.weight_hh, self.weight_sh], 1)  # one product for h and the new s
        return RecurrentWeight(RP)

    def project(self, x: Variable) -> tuple[Variable, Variable]:
        """A x and (1 - α) B x."""
        return linear(x, self.weight_ih), (1 - self.alpha) * linear(x, self.weight_is)

    def step(self, x: tuple[Variable, Variable], state: State, RP: RecurrentWeight) -> State:
        A_x, B_x = x
        h, s = split(state[0], [self.hidden_size], axis=-1)
        s = B_x + self.alpha * s
        h = self.activation(RP.plus(A_x, concatenate([h, s], -1)))
        return (concatenate([h, s], -1),)

    def extra_repr(self) -> str:
        sizes = f"{self.input_size}, {self.hidden_size}, {self.context_size}, alpha={self.alpha}"
        return ", ".join([sizes, *unless("activation", self.activation, "sigmoid")])


class IRNNCell(RNNCell):
    """ReLU RNN that starts as a memory (Le, Jaitly & Hinton 2015):

        h' = relu(W_ih x + b_ih + W_hh h + b_hh)        at first W_hh = scale I, b = 0, W_ih tiny

    As long as h is positive, dh_T/dh_0 is the identity to start with: gradients neither vanish nor explode.

    Args:
        scale: of the identity; below 1 for tasks that need a shorter memory.

    >>> y, _ = nn.Recurrent(nn.IRNNCell(1, 2))(np.zeros((100, 1, 1), "f"), np.array([[1.0, 2.0]], "f"))
    >>> y.data[-1]  # still there after 100 steps
    array([[1., 2.]], dtype=float32)
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        scale: float = 1.0,
        dtype: DTypeLike = np.float32,
    ):
        self.scale = scale
        super().__init__(input_size, hidden_size, bias, "relu", dtype)

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """W_hh = scale I, zero biases, W_ih normal with a standard deviation of 0.001."""
        init.normal_(self.weight_ih, std=0.001, rng=rng)
        init.eye_(self.weight_hh)
        self.weight_hh.data = self.scale * self.weight_hh.data
        for b in (self.bias_ih, self.bias_hh):
            if b is not None:
                init.zeros_(b)
