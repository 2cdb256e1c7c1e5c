"""Time: the protocol of a cell, and the loops that unroll any cell over a sequence.

A cell is one step. `Recurrent` is the only loop over time in the library; where a cell is linear in its
state, it computes all steps by one `linear_scan` as well. `Bidirectional` and `Stacked` compose layers that
map (x, state, lengths) to (y, state). Nothing here or in any cell defines a backward: the graph of the
unrolled loop, walked back, is backpropagation through time.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from autograd import (
    Variable,
    complex_linear_scan,
    concatenate,
    is_stepwise,
    linear_scan,
    split,
    stack,
    step,
    swapaxes,
    unstack,
    where,
)
from autograd.extend import Array, Operand, Value, alike, as_array, hint, to_host

from .functional import check_lengths, dropout, identity
from .layers import as_input, check_float
from .module import Module, kind_of
from .windows import count_windows

State = tuple[Variable, ...]
StateLike = Operand | Sequence[Operand]  # one part by itself, or all parts
Nest = TypeVar("Nest")  # a Variable, or tuples and lists of them


class _Exporting(threading.local):
    """What writes the running model down, as `nn.to_onnx` does; it takes loops as they are, not unrolled."""

    recorder: Any = None


exporting = _Exporting()

PIECE = 2**21  # numbers; a sequence with more of them, in x or in the states, is projected in pieces


class Cell(Module):
    """One step of a recurrent network. ``state`` is always a tuple, and ``state[0]`` is the output.

    Subclasses set ``input_size`` and ``hidden_size`` and write the four methods below. Sequences are
    time-major, x (T, B, input_size). A part of the state that holds integers is a count: it gets no
    gradient, and wrappers neither mask nor learn it.

    >>> class Leaky(nn.Cell):
    ...     input_size = hidden_size = 1
    ...
    ...     def step(self, x, state, fixed):
    ...         (h,) = state
    ...         return (0.5 * h + x,)
    >>> y, (h,) = nn.Recurrent(Leaky())(np.ones((3, 1, 1)))
    >>> y.data.ravel()
    array([1.  , 1.5 , 1.75])
    """

    input_size: int
    hidden_size: int
    nonlinear = "its step is not written as h' = a ∘ h + b, as that of an nn.LinearCell"  # why no scan

    @property
    def output_size(self) -> int:
        """The size of ``state[0]``."""
        return self.hidden_size

    @property
    def parts(self) -> tuple[str, ...]:
        """The names of the parts of a state, for `named_state`."""
        return ("h",)

    def initial_state(self, x: Value) -> State:
        """The state before the first step of the sequence x: zeros unless a cell knows better."""
        return (zeros(x, self.hidden_size),)

    def prepare(self, x: Value) -> Any:
        """Make what all steps of a sequence x share: transposed weights, dropout masks."""
        return None

    def project(self, x: Variable) -> Any:
        """Compute the part of a step that does not depend on the state, for one step or a whole sequence.

        The result is what ``step`` takes as x: a Variable, or a nest of tuples of them.
        """
        return x

    def step(self, x: Any, state: State, fixed: Any) -> State:
        """The new state, from the projected x of one step, the old state and what ``prepare`` made."""
        raise NotImplementedError(f"{type(self).__name__} must define step(x, state, fixed)")

    def check(self, x: Value, single: bool = False) -> None:
        """Raise unless a sequence x fits this cell; ``single`` says that x (1, B, ...) is one step."""
        if x.ndim != 3 or x.shape[-1] != self.input_size:
            size = self.input_size
            expected = f"(B, {size}) or ({size},)" if single else f"(T, B, {size})"
            raise ValueError(
                f"{type(self).__name__} expected input of shape {expected}, got {x.shape[single:]}"
                + (": Recurrent(cell) takes sequences" if single else "")
            )
        weight = next(self.parameters(), None)
        if weight is not None:
            check_float(type(self).__name__, x, weight)

    def forward(self, input: Operand, hx: StateLike | None = None) -> Any:
        """One step by itself: input (B, input_size) or (input_size) -> the new state.

        A state of one part is given and returned bare, h; one of several as a tuple, (h, c).
        """
        x = as_variable(as_input(input, self))
        if x.ndim == 1:
            one = self.forward(x[None], tree_map(lambda s: as_variable(s)[None], hx))
            return tree_map(lambda s: s[0], one)
        sequence = x[None]
        self.check(sequence, single=True)
        state = given_state(self, hx, self.initial_state(sequence))
        new = checked_parts(self, self.step(self.project(x), state, self.prepare(sequence)), len(state))
        return new if len(new) > 1 else new[0]

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


hint(
    Cell,
    {
        "input_size": "  # set it in __init__: the number of features of x, (T, B, input_size)",
        "hidden_size": "  # set it in __init__: the size of h, (B, hidden_size)",
    },
)


class LinearCell(Cell):
    """A cell with h' = a ∘ h + b, where a and b come from x alone: for any loop, and for `linear_scan`.

    Subclasses write ``coefficients``, which gives a and b. The same lines serve one step (B, ...) and, with
    ``Recurrent(cell, scan=True)``, a whole sequence (T, B, ...). Where the output is another than h, they
    write ``state_of``. Complex numbers are pairs (real part, imaginary part), and the last two parts of the
    state then are h.

    >>> class Leaky(nn.LinearCell):
    ...     input_size = hidden_size = 1
    ...
    ...     def coefficients(self, x, fixed):
    ...         return 0.5, x
    >>> y, (h,) = nn.Recurrent(Leaky(), scan=True)(np.ones((3, 1, 1)))
    >>> y.data.ravel()
    array([1.  , 1.5 , 1.75])
    """

    def coefficients(self, x: Any, fixed: Any) -> tuple[Any, Any]:
        """a and b, from the projected x of one step or of all and what ``prepare`` made."""
        raise NotImplementedError(f"{type(self).__name__} must define coefficients(x, fixed)")

    def state_of(self, h: Any, x: Any, fixed: Any) -> State:
        """The state, output first, from the h of one step or of all: (h,) unless a cell knows better."""
        return h if isinstance(h, tuple) else (h,)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        a, b = self.coefficients(x, fixed)
        return self.state_of(advance(a, b, state), x, fixed)

    def scan(self, x: Any, state: State, fixed: Any, reverse: bool, resets: Sequence[Any] = ()) -> State:
        """The states after every step of a sequence: each part with an axis T in front.

        ``resets`` are pairs of a mask (T, B) and the state from which the steps start where it is True.
        """
        a, b = self.coefficients(x, fixed)
        for on, start in resets:
            a, b = restart(a, b, on, start)
        if isinstance(a, tuple):
            return self.state_of(complex_linear_scan(a, b, (state[-2], state[-1]), reverse=reverse), x, fixed)
        return self.state_of(linear_scan(a, b, state[-1], reverse=reverse), x, fixed)


def advance(a: Any, b: Any, state: State) -> Any:
    """a h + b for the h at the end of a state; complex numbers are pairs."""
    if not isinstance(a, tuple):
        return a * state[-1] + b
    (c, s), (u, v), (p, q) = a, b, state[-2:]
    return c * p - s * q + u, s * p + c * q + v


def restart(a: Any, b: Any, on: Array, state: State) -> tuple[Any, Any]:
    """The a and b of the recurrence that goes on from ``state`` at the steps (T, B) where ``on``."""
    fresh = advance(a, b, state)
    if isinstance(a, tuple):
        on = per_row(on, b[0])
        b = tuple([where(on, x, y) for x, y in zip(fresh, b, strict=True)])
        return tuple([x * (~on).astype(b[0].dtype) for x in a]), b
    on = per_row(on, b)
    return a * (~on).astype(b.dtype), where(on, fresh, b)


class Recurrent(Module):
    """Unrolls a cell over a sequence.

    Args:
        cell: any `Cell`.
        reverse: run from the last step to the first; outputs stay at their time.
        batch_first: x and y are (B, T, ...) instead of (T, B, ...).
        truncate: cut the graph every so many steps, for truncated backpropagation through time.
        scan: compute all steps by one `linear_scan`, for a `LinearCell`: the same numbers in less time, most
            of all where rows are few. Under `stepwise` it is the loop, with every operation in its step.

    Raises:
        TypeError: scan for a cell whose step is not linear in its state.
        ValueError: truncate below 1, or with scan, which has no loop to cut.

    Call: ``y, state = layer(x, state=None, lengths=None, starts=None)`` with x (T, B, I), y (T, B, H). A row
    that has reached its length keeps its state and gives zeros. ``starts`` (T, B), booleans, resets rows:
    where it is True, another sequence starts in that row, and is computed as if it were alone, in reverse as
    well.

    >>> layer = nn.Recurrent(nn.LSTMCell(2, 3))
    >>> y, (h, c) = layer(np.ones((4, 2, 2), "f"), lengths=[4, 1])
    >>> np.abs(y.data[:, 1]).sum(-1) > 0  # the second row ends after one step
    array([ True, False, False, False])
    >>> np.array_equal(h.data[1], y.data[0, 1])  # and keeps its state
    True
    """

    def __init__(
        self,
        cell: Cell,
        reverse: bool = False,
        batch_first: bool = False,
        truncate: int | None = None,
        scan: bool = False,
    ):
        if not isinstance(cell, Cell):
            raise TypeError(f"Recurrent expected a Cell, got {kind_of(cell)}")
        if truncate is not None and truncate < 1:
            raise ValueError(f"Recurrent expected truncate of at least 1 step, got {truncate}")
        if scan and not isinstance(cell, LinearCell):
            raise TypeError(
                f"Recurrent(scan=True) expected an nn.LinearCell, got {type(cell).__name__}: {cell.nonlinear}"
            )
        if scan and truncate is not None:
            raise ValueError(
                "Recurrent: scan=True computes all steps at once and has no loop for truncate to cut: call"
                " the layer on one window after the other, with nn.detach(state) in between"
            )
        self.cell, self.reverse, self.batch_first = cell, reverse, batch_first
        self.truncate, self.scan = truncate, scan

    def forward(
        self,
        x: Operand,
        state: StateLike | None = None,
        lengths: Operand | None = None,
        starts: Operand | None = None,
    ) -> tuple[Variable, State]:
        sequence = as_variable(as_input(x, self), "x")
        if self.batch_first:
            sequence = swapaxes(sequence, 0, 1)
            starts = None if starts is None else np.swapaxes(as_array(starts), 0, 1)
        self.cell.check(sequence)
        step_by_step = is_stepwise() or exporting.recorder is not None
        if isinstance(self.cell, LinearCell) and self.scan and len(sequence) and not step_by_step:
            y, last = scan(self.cell, sequence, state, lengths, self.reverse, starts)
        else:
            y, last = unroll(self.cell, sequence, state, lengths, self.reverse, self.truncate, starts)
        steps, cut = len(sequence), self.truncate is not None and len(sequence) > self.truncate
        count_windows("Recurrent", state, last, steps, cut)
        return (swapaxes(y, 0, 1) if self.batch_first else y), last

    def extra_repr(self) -> str:
        options = {
            "reverse": self.reverse,
            "batch_first": self.batch_first,
            "truncate": self.truncate,
            "scan": self.scan,
        }
        return ", ".join(f"{k}={v}" for k, v in options.items() if v)


def unroll(
    cell: Cell,
    x: Variable,
    state: StateLike | None = None,
    lengths: Operand | None = None,
    reverse: bool = False,
    truncate: int | None = None,
    starts: Operand | None = None,
) -> tuple[Variable, State]:
    """The loop over time: x (T, B, ...) -> outputs (T, B, ...) and the last state."""
    if exporting.recorder is not None and not exporting.recorder.quiet:
        return exporting.recorder.loop(cell, x, state, lengths, reverse, starts)
    T, B = x.shape[:2]
    running = None if lengths is None else running_rows(lengths, T, B)
    resets = None if starts is None else alike(rows_to_reset(starts, T, B, reverse, running), x)
    live: Any = None if running is None else alike(running, x)  # to choose by; running is to decide by
    if T == 0:  # no row takes this one step: the state stays, and every gradient is there and zero
        one = as_variable(concatenate([x, alike(np.zeros((1, *x.shape[1:]), x.dtype), x)]))
        y, last = unroll(cell, one, state, np.zeros(B, int), reverse)
        return y[:0], last
    if running is not None and not running.all():  # the padding may hold anything, NaN as well
        x = named(where(per_row(live, x), x, 0), "x")
    initial = tuple(map(as_variable, cell.initial_state(x)))
    state = given_state(cell, state, initial)
    fixed = cell.prepare(x)
    if is_stepwise():
        early, late = identity, lambda z: cell.project(named(z, "x"))
    else:
        early, late = cell.project, identity
    times = range(T)[::-1] if reverse else range(T)
    outputs: list[Any] = [None] * T
    for count, (t, z) in enumerate(zip(times, inputs_of(x, early, state, reverse), strict=True)):
        with step(t):
            if truncate and count and count % truncate == 0:
                state = detach(state)
            if resets is not None:
                state = choose(resets[t], initial, state)
            new = checked_parts(cell, cell.step(late(z), state, fixed), len(state))
            if running is None or running[t].all():
                state, outputs[t] = new, new[0]
            else:
                state = choose(live[t], new, state)
                outputs[t] = where(per_row(live[t], new[0]), new[0], 0.0)
            if is_stepwise():
                note_parts(cell, state)
    return stack(outputs), state


def scan(
    cell: LinearCell,
    x: Variable,
    state: StateLike | None = None,
    lengths: Operand | None = None,
    reverse: bool = False,
    starts: Operand | None = None,
) -> tuple[Variable, State]:
    """What `unroll` gives, for a cell that is linear in its state, without the loop."""
    T, B = x.shape[:2]
    running = None if lengths is None else running_rows(lengths, T, B)
    resets = None if starts is None else alike(rows_to_reset(starts, T, B, reverse, running), x)
    if running is not None and running.all():
        running = None
    live: Any = None if running is None else alike(running, x)
    if running is not None:
        x = named(where(per_row(live, x), x, 0), "x")
    initial = tuple(map(as_variable, cell.initial_state(x)))
    state = given_state(cell, state, initial)
    begin = [] if resets is None else [(resets, initial)]
    if reverse and running is not None:  # rows start where their padding ends
        ends = running & ~np.concatenate([running[1:], np.zeros((1, B), bool)])
        begin.append((alike(ends, x), state))
    parts = cell.scan(cell.project(x), state, cell.prepare(x), reverse, begin)
    if running is None:
        return parts[0], tuple([part[0 if reverse else -1] for part in parts])
    ended = np.zeros(B, int) if reverse else np.maximum(np.sum(running, axis=0) - 1, 0)
    last = tuple([part[ended, np.arange(B)] for part in parts])
    return where(per_row(live, parts[0]), parts[0], 0.0), choose(live[0], last, state)


class Bidirectional(Module):
    """Two layers over the same sequence, one from each end.

    Args:
        forward_layer, backward_layer: `Recurrent` layers or cells; the second runs in reverse.
        merge: how the two outputs become one: "concat" (features or channels, axis 2), "sum", "mul", "mean",
            or None for the pair.

    Call: ``y, (state_forward, state_backward) = layer(x, state=None, lengths=None, starts=None)``.

    >>> layer = nn.Bidirectional(nn.GRUCell(2, 3), nn.LSTMCell(2, 4))
    >>> y, ((h_forward,), (h_backward, c_backward)) = layer(np.ones((5, 1, 2), "f"))
    >>> y.shape, np.array_equal(y.data[0, :, 3:], h_backward.data)  # the backward half ends at time 0
    ((5, 1, 7), True)
    """

    def __init__(
        self, forward_layer: Cell | Recurrent, backward_layer: Cell | Recurrent, merge: str | None = "concat"
    ):
        if merge not in ("concat", "sum", "mul", "mean", None):
            raise ValueError(f"Bidirectional expected merge concat, sum, mul, mean or None, got {merge!r}")
        if isinstance(forward_layer, Cell):
            forward_layer = Recurrent(forward_layer)
        if isinstance(backward_layer, Cell):
            backward_layer = Recurrent(backward_layer, reverse=True)
        for layer in (forward_layer, backward_layer):
            if not isinstance(layer, Recurrent):
                raise TypeError(f"Bidirectional expected cells or Recurrent layers, got {kind_of(layer)}")
        if forward_layer.reverse or not backward_layer.reverse:
            raise ValueError("Bidirectional expected the second of two Recurrent layers to have reverse=True")
        self.forward_layer: Recurrent = forward_layer
        self.backward_layer: Recurrent = backward_layer
        self.merge = merge

    def forward(
        self,
        x: Operand,
        state: Sequence[StateLike | None] | None = None,
        lengths: Operand | None = None,
        starts: Operand | None = None,
    ) -> tuple[Any, tuple[State, State]]:
        if state is not None and not (isinstance(state, tuple | list) and len(state) == 2):
            raise ValueError(f"Bidirectional expected a pair of states, one per direction, got {state!r}")
        ahead, back = (None, None) if state is None else state
        y1, ahead = self.forward_layer(x, ahead, lengths, starts)
        y2, back = self.backward_layer(x, back, lengths, starts)
        merged = {
            "concat": lambda: concatenate([y1, y2], 2),
            "sum": lambda: y1 + y2,
            "mul": lambda: y1 * y2,
            "mean": lambda: (y1 + y2) * 0.5,
            None: lambda: (y1, y2),
        }[self.merge]()
        return merged, (ahead, back)

    def extra_repr(self) -> str:
        return f"merge={self.merge!r}"


class Stacked(Module):
    """Layers one on top of the other, each with its own size.

    Args:
        layers: anything called as ``y, state = layer(x, state, lengths)``; cells become `Recurrent`.
        dropout: probability of zeroing an output between two layers.
        residual: add a layer's input to its output where the shapes agree.
        rng: where the dropout masks come from; the library's default generator if None.

    Call: ``y, states = stack(x, states=None, lengths=None, starts=None)``, one state per layer.

    >>> layer = nn.Stacked([nn.RNNCell(2, 8), nn.Bidirectional(nn.GRUCell(8, 3), nn.GRUCell(8, 3))])
    >>> y, states = layer(np.ones((5, 1, 2), "f"))
    >>> y.shape, len(states)
    ((5, 1, 6), 2)
    """

    def __init__(
        self,
        layers: Sequence[Module],
        dropout: float = 0.0,
        residual: bool = False,
        rng: np.random.Generator | None = None,
    ):
        if not layers:
            raise ValueError("Stacked expected at least one layer, got none")
        for layer in layers:
            if isinstance(layer, type) or not callable(layer):
                raise TypeError(f"Stacked expected layers or cells, got {kind_of(layer)}")
        check_dropout("Stacked", dropout, len(layers))
        self.layers: list[Any] = [Recurrent(x) if isinstance(x, Cell) else x for x in layers]
        self.dropout, self.residual, self.rng = dropout, residual, rng

    def forward(
        self,
        x: Any,
        states: Sequence[Any] | None = None,
        lengths: Operand | None = None,
        starts: Operand | None = None,
    ) -> tuple[Any, list[Any]]:
        if states is None:
            states = [None] * len(self.layers)
        if len(states) != len(self.layers):
            raise ValueError(f"Stacked expected {len(self.layers)} states, one per layer, got {len(states)}")
        new: list[Any] = []
        options = {} if starts is None else {"starts": starts}
        for i, (layer, state) in enumerate(zip(self.layers, states, strict=True)):
            if i > 0 and self.dropout:
                x = dropout(x, self.dropout, self.training, self.rng)
            y, state = layer(x, state, lengths, **options)
            x = x + y if self.residual and x.shape == y.shape else y
            new.append(state)
        return x, new

    def extra_repr(self) -> str:
        options = {"dropout": self.dropout, "residual": self.residual}
        return ", ".join(f"{k}={v}" for k, v in options.items() if v)


def check_dropout(who: str, p: float, layers: int) -> None:
    """Raise unless p is a probability, and there are two layers for dropout to act between."""
    if not 0 <= p <= 1:
        raise ValueError(f"{who} expected a dropout probability between 0 and 1, got {p}")
    if p and layers == 1:
        raise ValueError(
            f"{who}: dropout={p} cannot act, it stands between layers and there is only one:"
            " use dropout=0 with an nn.Dropout on the output, or VariationalDropout(cell)"
        )


# --- small parts --------------------------------------------------------------------------------


def as_variable(x: Operand, name: str | None = None) -> Variable:
    """x as a Variable; an array becomes a constant with a name for drawings."""
    return x if isinstance(x, Variable) else Variable(x, requires_grad=False, name=name)


def named(x: Variable, name: str) -> Variable:
    """x, called ``name`` in drawings if it is a constant without a name."""
    if x.is_leaf and x.name is None:
        x.name = name
    return x


def note_parts(cell: Cell, state: State) -> None:
    """Let drawings know which part of a state each Variable is, or was first."""
    if len(cell.parts) == len(state):
        for name, part in zip(cell.parts, state, strict=True):
            if not part.is_leaf:
                notes = part.annotate()
                notes.part = notes.part or name


def zeros(x: Value, size: int, dtype: DTypeLike | None = None) -> Variable:
    """A constant state of zeros: (B, size) for a sequence x (T, B, I), of images (B, size, *S).

    Its dtype is that of x unless it is given.
    """
    shape = x.shape[1], *x.shape[3:], size  # channels last in memory, as from `conv`
    data = alike(np.zeros(shape, x.dtype if dtype is None else dtype), x)
    return Variable(np.moveaxis(data, -1, 1), requires_grad=False, name="0")


def tree_map(fn: Callable[[Any], Any], tree: Any) -> Any:
    """``fn`` of every leaf of nested tuples; None stays None."""
    if tree is None:
        return None
    return tuple([tree_map(fn, t) for t in tree]) if isinstance(tree, tuple) else fn(tree)


def detach(state: Nest) -> Nest:
    """The same state outside the graph: what truncated backpropagation carries to the next window.

    ``state`` is a Variable or a nest of tuples and lists of Variables. Anything else in it stays as it is.

    >>> w = nn.Parameter([2.0])
    >>> h, c = nn.detach((3.0 * w, 4.0 * w))
    >>> c
    Variable([8.], requires_grad=False)
    """
    nest: Any = state
    if isinstance(nest, tuple | list):
        nest = type(nest)([detach(s) for s in nest])
    elif isinstance(nest, Variable):
        nest = nest.detach()
    return nest


def given_state(cell: Cell, state: StateLike | None, initial: State) -> State:
    """``state`` as a tuple of Variables, or ``initial`` if there is none.

    Raises:
        ValueError: the state has other parts or shapes than the initial one. TypeError: other dtypes.
    """
    initial = tuple(map(as_variable, initial))
    if state is None:
        return initial
    parts = tuple(map(as_variable, state if isinstance(state, tuple | list) else (state,)))
    check_state(type(cell).__name__, parts, [s.shape for s in initial], [s.dtype for s in initial])
    return parts


def check_state(
    who: str, parts: State, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[np.dtype[Any]]
) -> None:
    """Raise unless the parts of a state have the expected shapes and dtypes."""
    got = [s.shape for s in parts]
    if got != list(shapes):
        raise ValueError(f"{who} expected a state of shapes {list(shapes)}, got {got}")
    for k, (s, dtype) in enumerate(zip(parts, dtypes, strict=True)):
        if s.dtype != dtype:
            raise TypeError(
                f"{who} expected a {dtype} state for {dtypes[0]} input, got {s.dtype} (part {k} of it)"
            )


def checked_parts(cell: Cell, new: Any, count: int) -> State:
    """The state ``new`` that ``cell.step`` returned, if it has ``count`` parts as the one before.

    Raises:
        TypeError: it is no tuple. ValueError: it has another number of parts.
    """
    if not isinstance(new, tuple | list):
        who, got = type(cell).__name__, type(new).__name__
        raise TypeError(
            f"{who}.step expected to return a tuple, the parts of the new state: return (h,), got {got}"
        )
    if len(new) != count:
        raise ValueError(
            f"{type(cell).__name__}.step expected to return a state of {count} parts, as initial_state does,"
            f" got {len(new)}"
        )
    return tuple(new)


def is_count(part: Value) -> bool:
    """Does this part of a state count something, as integers do, instead of being computed with?"""
    return part.dtype.kind in "iub"


def inputs_of(x: Variable, project: Callable[[Any], Any], state: State, reverse: bool) -> Iterator[Any]:
    """The projected x of each step, in the order of the loop.

    A very long sequence is projected piece by piece, and each piece is gone when its steps are done.
    """
    T = len(x)
    numbers = max([x.size, *[T * s.size for s in state]])
    pieces = min(T, -(-numbers // PIECE))
    ends = [T * k // pieces for k in range(1, pieces)]
    parts = [named(part, "x") for part in split(x, ends)] if ends else [x]
    for part in reversed(parts) if reverse else parts:
        steps = steps_of(project(part))
        yield from reversed(steps) if reverse else steps


def steps_of(projected: Any) -> Sequence[Any]:
    """The projection of a sequence as the projections of its steps."""
    if isinstance(projected, tuple):
        return list(zip(*map(steps_of, projected), strict=True))
    return unstack(projected)


def per_row(on: Array, x: Value) -> Array:
    """``on`` (..., B) with axes of length 1 appended, to choose among rows of x (..., B, ...)."""
    return on.reshape(*on.shape, *[1] * (x.ndim - on.ndim))


def choose(on: Array, new: State, old: State) -> State:
    """The parts of ``new`` in the rows where ``on`` (B) is True, those of ``old`` in the others."""
    return tuple([where(per_row(on, n), n, s) for n, s in zip(new, old, strict=True)])


def rows_to_reset(starts: Operand, T: int, B: int, reverse: bool, running: Array | None) -> Array:
    """(T, B): does row b start from the initial state at step t?

    Where a sequence starts at t, the one before it ends at t - 1, and in reverse starts there. None starts
    where the row has ended.

    Raises:
        ValueError: starts have another shape. TypeError: they are no booleans.
    """
    mask = to_host(as_array(starts))
    if mask.shape != (T, B):
        raise ValueError(f"starts expected shape ({T}, {B}), one per step and row, got {mask.shape}")
    if mask.dtype.kind != "b":
        raise TypeError(f"starts expected booleans, got {mask.dtype}")
    if running is not None:
        mask = mask & running
    return np.concatenate([mask[1:], np.zeros((1, B), bool)]) if reverse else mask


def running_rows(lengths: Operand, T: int, B: int) -> Array:
    """(T, B): does row b still run at step t?"""
    return np.arange(T)[:, None] < check_lengths(lengths, T, B)
