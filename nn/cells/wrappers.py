"""Wrappers: a cell around a cell. Each is a `Cell`, so they nest, and any loop unrolls them.

Masks are constants in the graph. Where randomness is involved, ``rng`` names the generator; without it
the library's default is used (`nn.manual_seed`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from autograd import Parameter, Variable, broadcast_to, lerp, reshape, where
from autograd.extend import Value

from ..functional import dropout_mask
from ..module import kind_of
from ..random import uniform
from ..recurrent import Cell, State, as_variable, checked_parts, is_count, zeros
from .base import RecurrentWeight


class Wrapper(Cell):
    """A cell that does what the cell in it does; subclasses change a part of that."""

    nonlinear = "a wrapper acts step by step; scan the cell in it"

    def __init__(self, cell: Cell):
        if not isinstance(cell, Cell):
            raise TypeError(f"{type(self).__name__} expected a Cell, got {kind_of(cell)}")
        self.cell = cell
        self.input_size, self.hidden_size = cell.input_size, cell.hidden_size

    @property
    def output_size(self) -> int:
        return self.cell.output_size

    @property
    def parts(self) -> tuple[str, ...]:
        return self.cell.parts

    def check(self, x: Value, single: bool = False) -> None:
        self.cell.check(x, single)

    def initial_state(self, x: Value) -> State:
        return self.cell.initial_state(x)

    def prepare(self, x: Value) -> Any:
        return self.cell.prepare(x)

    def project(self, x: Variable) -> Any:
        return self.cell.project(x)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        return self.cell.step(x, state, fixed)

    def extra_repr(self) -> str:
        return ""

    def one_state(self) -> State:
        """The cell's initial state for one row, which shows its parts and sizes."""
        weight = next(self.parameters(), None)
        dtype = np.float32 if weight is None else weight.dtype
        return tuple(map(as_variable, self.cell.initial_state(np.zeros((1, 1, self.input_size), dtype))))


class LearnedState(Wrapper):
    """Makes the initial state a parameter: every sequence starts from it, and it is trained.

    ``initial`` is a list with one parameter per part of the state, which starts as the cell's own initial
    state; over images it has one number per channel. For a count there is None instead: it starts as always.
    A state that the caller passes in takes its place.

    >>> cell = nn.LearnedState(nn.RNNCell(2, 3))
    >>> y, _ = nn.Recurrent(cell)(np.ones((4, 5, 2), "f"))
    >>> y.sum().backward()
    >>> cell.initial[0].grad.shape  # one state for all five rows
    (3,)
    """

    def __init__(self, cell: Cell):
        super().__init__(cell)
        self.initial = [None if is_count(s) else Parameter(np.array(s.data[0])) for s in self.one_state()]

    def initial_state(self, x: Value) -> State:
        pairs = zip(self.initial, self.cell.initial_state(x), strict=True)
        return tuple([s if p is None else spread(p, s.shape) for p, s in pairs])


class Residual(Wrapper):
    """Adds the input of each step to its output, outside of the recurrence:

        h' = cell(x, h)
        y = x + h'

    The state is (y, h', ...): its first part is the output, and the cell's own state comes behind it.

    Raises:
        ValueError: input and output of the cell differ in size.

    >>> x = np.ones((1, 3), "f")
    >>> y, h = nn.Residual(nn.RNNCell(3, 3))(x)
    >>> np.array_equal(y.data, x + h.data)
    True
    """

    def __init__(self, cell: Cell):
        super().__init__(cell)
        if cell.input_size != cell.output_size:
            raise ValueError(
                f"Residual expected a cell with equal sizes of input and output,"
                f" got {cell.input_size} and {cell.output_size}"
            )

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", *self.cell.parts

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.output_size), *self.cell.initial_state(x)

    def project(self, x: Variable) -> tuple[Variable, Any]:
        return x, self.cell.project(x)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        x, projected = x
        inner = checked_parts(self.cell, self.cell.step(projected, state[1:], fixed), len(state) - 1)
        return x + inner[0], *inner


class Zoneout(Wrapper):
    """Units that keep their old value now and then (Krueger et al. 2017):

        s' = m ∘ s + (1 - m) ∘ cell(x, s)      m = 1 with probability p, drawn anew for every step

    In evaluation mode m is p, its mean. Unlike dropout, what is not updated is remembered. Counts go on.

    Args:
        p: one probability, or one for each part of the state: (h, c) for an LSTM. That of a count is 0.

    Raises:
        ValueError: not one probability per part of the state, or one above 0 for a count.

    >>> cell, h = nn.Zoneout(nn.RNNCell(2, 3), p=1.0), np.array([[0.1, 0.2, 0.3]], "f")
    >>> cell(np.ones((1, 2), "f"), h).data  # p = 1 keeps everything
    array([[0.1, 0.2, 0.3]], dtype=float32)
    """

    def __init__(self, cell: Cell, p: float | Sequence[float] = 0.1, rng: np.random.Generator | None = None):
        super().__init__(cell)
        counts = [is_count(s) for s in self.one_state()]
        self.p = tuple(p) if isinstance(p, Sequence) else tuple([0.0 if count else p for count in counts])
        if len(self.p) != len(counts) or not all(0 <= q <= 1 for q in self.p):
            raise ValueError(f"Zoneout expected {len(counts)} probabilities between 0 and 1, got {p}")
        for k, (q, count) in enumerate(zip(self.p, counts, strict=True)):
            if q and count:
                raise ValueError(
                    f"Zoneout cannot stop part {k} of the state of {type(cell).__name__}, which counts:"
                    f" expected a probability of 0 for it, got {q}"
                )
        self.rng = rng

    def step(self, x: Any, state: State, fixed: Any) -> State:
        new = checked_parts(self.cell, self.cell.step(x, state, fixed), len(state))
        return tuple([self.zone(s, n, p) for s, n, p in zip(state, new, self.p, strict=True)])

    def zone(self, old: Variable, new: Variable, p: float) -> Variable:
        if p == 0:
            return new
        if not self.training:
            return lerp(new, old, p)
        return where(uniform(new.shape, new, self.rng) < p, old, new)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class VariationalDropout(Wrapper):
    """Dropout with one mask for a whole sequence (Gal & Ghahramani 2016), in training mode:

        s' = cell(m_x ∘ x, s)   with m_h ∘ h for h wherever it is multiplied by a recurrent weight

    The masks are made once per sequence (in ``prepare``) and differ from row to row. m_h acts in products
    alone: the c of an LSTM and the h of a GRU in z ∘ h pass unmasked. Whatever is fed back is masked, h or,
    in a `JordanCell`, the output; weights of one size share m_h.

    Args:
        cell: one whose ``prepare`` gives its recurrent weights as `RecurrentWeight`, as all in this library.
        dropout: probability of a zero in m_x.
        recurrent_dropout: probability of a zero in m_h. The rest of a mask is 1/(1-p).

    Raises:
        TypeError: on the first sequence, when ``prepare`` gives no `RecurrentWeight`.

    >>> layer = nn.Recurrent(nn.VariationalDropout(nn.LSTMCell(2, 3), 0.5, 0.5))
    >>> x = np.ones((4, 1, 2), "f")
    >>> np.array_equal(layer(x)[0].data, layer(x)[0].data)  # new masks for every sequence
    False
    >>> np.array_equal(layer.eval()(x)[0].data, layer(x)[0].data)
    True
    """

    def __init__(
        self,
        cell: Cell,
        dropout: float = 0.0,
        recurrent_dropout: float = 0.0,
        rng: np.random.Generator | None = None,
    ):
        super().__init__(cell)
        if not (0 <= dropout <= 1 and 0 <= recurrent_dropout <= 1):
            raise ValueError(
                "VariationalDropout expected probabilities between 0 and 1,"
                f" got {dropout} and {recurrent_dropout}"
            )
        self.dropout, self.recurrent_dropout, self.rng = dropout, recurrent_dropout, rng

    def prepare(self, x: Value) -> tuple[Any, Variable | None]:
        fixed, m_x = self.cell.prepare(x), None
        if self.training and self.dropout:
            m_x = self.mask(x.shape[1:], self.dropout, x)
        if self.training and self.recurrent_dropout:
            masks: dict[int, Variable] = {}

            def mask_for(weight: RecurrentWeight) -> Variable:
                shape = x.shape[1], weight.size, *x.shape[3:]
                if weight.size not in masks:
                    masks[weight.size] = self.mask(shape, self.recurrent_dropout, x)
                return masks[weight.size]

            fixed = masked(fixed, mask_for)
            if not masks:
                raise TypeError(
                    f"VariationalDropout found no recurrent weight to mask in {type(self.cell).__name__}:"
                    " let its prepare return nn.RecurrentWeight(self.weight_hh), and use that in step"
                )
        return fixed, m_x

    def mask(self, shape: tuple[int, ...], p: float, x: Value) -> Variable:
        return Variable(dropout_mask(shape, p, x, self.rng), requires_grad=False, name="mask")

    def project(self, x: Variable) -> Any:
        # `prepare` has drawn m_x, which `step` gets: with a mask, the step projects
        return x if self.training and self.dropout else self.cell.project(x)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        fixed, m_x = fixed
        if m_x is not None:
            x = self.cell.project(x * m_x)
        return self.cell.step(x, state, fixed)

    def extra_repr(self) -> str:
        return f"dropout={self.dropout}, recurrent_dropout={self.recurrent_dropout}"


def masked(fixed: Any, mask_for: Callable[[RecurrentWeight], Variable]) -> Any:
    """``fixed`` with a mask in each of its recurrent weights."""
    if isinstance(fixed, RecurrentWeight):
        return fixed.masked(mask_for(fixed))
    return tuple([masked(part, mask_for) for part in fixed]) if isinstance(fixed, tuple) else fixed


def spread(p: Variable, shape: tuple[int, ...]) -> Variable:
    """The state p of one row, repeated for all rows and places: (B, *p.shape, *S)."""
    places = [1] * (len(shape) - 1 - p.ndim)
    return broadcast_to(reshape(p, (*p.shape, *places)) if places else p, shape)
