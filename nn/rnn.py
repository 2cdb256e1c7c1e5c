"""RNN, GRU and LSTM as in PyTorch: arguments, shapes, defaults and names in the state dict.

Each is a stack of (bi)directional `Recurrent` layers over its cell; what remains here is to translate
between PyTorch's packed states (layers * directions, B, H) and names (weight_ih_l0_reverse) and ours.
"""

import re
import warnings
from collections.abc import Iterator
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, stack, swapaxes, unstack
from autograd.extend import Operand, as_array, hint, to_host

from .cells import GatedCell, GRUCell, LSTMCell, RNNCell
from .layers import as_input
from .module import Module
from .recurrent import (
    Bidirectional,
    Recurrent,
    Stacked,
    StateLike,
    as_variable,
    check_dropout,
    check_state,
    exporting,
    tree_map,
)
from .windows import count_windows

Packed = TypeVar("Packed")  # the states of all layers and directions: h_n, or (h_n, c_n)


class Layers(Module, Generic[Packed]):
    """Base of the three: layers of one cell, in one direction or two, with PyTorch's states and names.

    >>> lstm = nn.LSTM(2, 3)
    >>> lstm.weight_hh_l0 is lstm.stack.layers[0].cell.weight_hh
    True
    """

    cell_type: type[GatedCell]
    dims = 0  # axes of space behind the features; the convolutional layers have some

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        **cell_options: Any,
    ):
        if num_layers < 1:
            raise ValueError(f"{type(self).__name__} expected at least one layer, got {num_layers}")
        check_dropout(type(self).__name__, dropout, max(num_layers, 2))
        if dropout and num_layers == 1:
            warnings.warn(
                f"{type(self).__name__}: dropout={dropout} does nothing, as it acts between layers and there"
                " is only one: use nn.Dropout on the output, or VariationalDropout(cell)",
                stacklevel=3,  # where the layer was made
            )
            dropout = 0.0
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.bidirectional = bias, batch_first, bidirectional
        layers: list[Module] = []
        for _ in range(num_layers):
            directions = range(1 + bidirectional)
            cells = [self.cell_type(input_size, hidden_size, bias=bias, **cell_options) for _ in directions]
            layers.append(Bidirectional(cells[0], cells[1]) if bidirectional else Recurrent(cells[0]))
            input_size = sum(cell.output_size for cell in cells)
        self.stack = Stacked(layers, dropout)
        for k, layer in enumerate(layers):
            layer.rename(f"l{k}")
        self.stack.rename("")  # the path of a node is encoder.l0, not encoder.stack.layers.0

    def cells(self) -> Iterator[tuple[str, GatedCell]]:
        """The cells with PyTorch's suffixes, in PyTorch's order: l0, l0_reverse, l1, ..."""
        for k, layer in enumerate(self.stack.layers):
            if self.bidirectional:
                yield f"l{k}", layer.forward_layer.cell
                yield f"l{k}_reverse", layer.backward_layer.cell
            else:
                yield f"l{k}", layer.cell

    def _state(
        self, prefix: str = "", above: tuple[Module, ...] = ()
    ) -> Iterator[tuple[str, Module, str, Any]]:
        for suffix, cell in self.cells():
            for name, owner, attribute, value in cell._state("", (*above, self)):
                yield f"{prefix}{name}_{suffix}", owner, attribute, value
        for name, value in self._own():  # what a subclass has beside the cells
            yield prefix + name, self, name, value
        for name, child in self.named_children():
            if child is not self.stack and child not in above and child is not self:
                yield from child._state(f"{prefix}{name}.", (*above, self))

    def _place(self, name: str) -> tuple[Module, str] | None:
        """The cell and its attribute that hold the parameter which the state dict calls ``name``, or None."""
        if found := re.fullmatch(r"(.+)_(l\d+(?:_reverse)?)", name):
            cell = dict(self.cells()).get(found[2])
            if cell is not None and isinstance(vars(cell).get(found[1], ""), Parameter | None):
                return cell, found[1]
        return None

    def __getattr__(self, name: str) -> Any:
        """Parameters under PyTorch's names, ``lstm.weight_hh_l0``: those of the state dict."""
        place = self._place(name)
        value = None if place is None else getattr(*place)
        return object.__getattribute__(self, name) if value is None else value

    def __setattr__(self, name: str, value: Any) -> None:
        place = self._place(name)
        if place is None:
            super().__setattr__(name, value)
        else:
            setattr(*place, value)

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H, every layer and direction."""
        for _, cell in self.cells():
            cell.reset_parameters(rng)

    def forward(
        self,
        input: Operand,
        hx: StateLike | None = None,
        lengths: Operand | None = None,
        starts: Operand | None = None,
    ) -> tuple[Variable, Packed]:
        x, n = as_variable(as_input(input, self), "x"), self.dims
        if x.ndim not in (n + 2, n + 3) or x.shape[-n - 1] != self.input_size:
            axes = ", ".join([str(self.input_size), *("DHW"[-n:] if n > 1 else "L"[:n])])
            batch = "(B, T" if self.batch_first else "(T, B"
            raise ValueError(
                f"{type(self).__name__} expected input of shape {batch}, {axes}) or (T, {axes}),"
                f" got {x.shape}"
            )
        single, given = x.ndim == n + 2, hx  # one sequence without a batch axis
        if single:
            x = x[:, None]
            hx = tree_map(lambda s: as_variable(s)[:, None], hx)
            lengths = None if lengths is None else np.atleast_1d(to_host(lengths))
            starts = None if starts is None else as_array(starts)[:, None]
        elif self.batch_first:
            x = swapaxes(x, 0, 1)
            starts = None if starts is None else np.swapaxes(as_array(starts), 0, 1)
        y, last = self._run(x, hx, lengths, starts)
        if single:
            y, last = y[:, 0], tree_map(lambda s: s[:, 0], last)
        elif self.batch_first:
            y = swapaxes(y, 0, 1)
        count_windows(type(self).__name__, given, last, len(x))
        return y, last

    def _run(self, x: Variable, hx: Any, lengths: Any, starts: Any) -> tuple[Variable, Any]:
        """All layers over x (T, B, ...): the outputs and the packed last states."""
        if exporting.recorder is not None and not exporting.recorder.quiet:
            written = exporting.recorder.layers(self, x, hx, lengths, starts)
            if written is not None:
                return written
        y, states = self.stack(x, self._unpack(hx, x), lengths, starts)
        return y, self._pack(states)

    def _unpack(self, hx: StateLike | None, x: Variable) -> list[Any] | None:
        """PyTorch's state, one array per part (h, c) over all layers, as one tuple per cell."""
        if hx is None:
            return None
        parts = tuple(map(as_variable, hx if isinstance(hx, tuple | list) else (hx,)))
        cells = [cell for _, cell in self.cells()]
        expected = [(len(cells), *s.shape) for s in cells[0].initial_state(x)]
        check_state(type(self).__name__, parts, expected, [x.dtype] * len(expected))
        states = list(zip(*map(unstack, parts), strict=True))
        return list(zip(states[::2], states[1::2], strict=True)) if self.bidirectional else states

    def _pack(self, states: list[Any]) -> Any:
        flat = [s for pair in states for s in pair] if self.bidirectional else states
        parts = tuple([stack(part) for part in zip(*flat, strict=True)])
        return parts if len(parts) > 1 else parts[0]

    def extra_repr(self) -> str:
        options = {"num_layers": 1, "batch_first": False, "bidirectional": False}
        shown = [f"{k}={getattr(self, k)}" for k, default in options.items() if getattr(self, k) != default]
        _, cell = next(self.cells())
        return ", ".join([str(self.input_size), str(self.hidden_size), *shown, *cell.form()])

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"


hint(Layers, {"flatten_parameters": "x  # leave it out: weights are used as they lie in memory"})


class RNN(Layers[Variable]):
    """Elman network, layers of `RNNCell`.

    Call: ``output, h_n = layer(x, h_0=None, lengths=None, starts=None)``

    x (T, B, I) or (T, I) -> output (T, B, D*H); states (L*D, B, H). With lengths (B), integers, a row that
    has reached its length keeps its state and gives zeros. With starts (T, B), booleans, another sequence
    starts where it is True, see `Recurrent`. `named_state` gives the parts of a state by name.

    Args:
        input_size, hidden_size: I and H, the sizes of the input and of the state.
        num_layers: L, layers on top of each other.
        nonlinearity: "tanh" or "relu".
        bias: add the biases?
        batch_first: x and output are (B, T, ...) instead of (T, B, ...); states never are.
        dropout: probability of zeroing an output between two layers; of a single one, a UserWarning.
        bidirectional: D = 2 directions per layer, their outputs side by side; else D = 1.
        cell_options: other keywords of the cell.

    Raises:
        ValueError: a size, shape or length does not fit. TypeError: a dtype does not.

    >>> y, h = nn.RNN(3, 4, num_layers=2, bidirectional=True)(np.zeros((5, 2, 3), "f"))
    >>> y.shape, h.shape
    ((5, 2, 8), (4, 2, 4))
    """

    cell_type = RNNCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        **cell_options: Any,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"RNN expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}:"
                " Stacked([RNNCell(..., nonlinearity)]) takes any"
            )
        options = {"nonlinearity": nonlinearity, "dtype": dtype, **cell_options}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )


class GRU(Layers[Variable]):
    """Gated recurrent unit, layers of `GRUCell`; arguments, call and errors are those of `RNN`.

    Other keywords are those of the cell: ``reset``, ``update``, ``activation``, ``recurrent_activation`` and
    ``zero_bias``. The default is PyTorch's form.

    >>> layer = nn.GRU(3, 4)
    >>> y, h = layer(np.ones((5, 2, 3), "f"), lengths=[5, 3])
    >>> np.array_equal(h.data[0, 1], y.data[2, 1])  # the second row ends after three steps
    True
    >>> list(layer.state_dict())
    ['weight_ih_l0', 'weight_hh_l0', 'bias_ih_l0', 'bias_hh_l0']
    >>> nn.GRU(3, 4, reset="before", update="take")
    GRU(3, 4, reset='before', update='take', convention='Chung, Ng')
    """

    cell_type = GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        dtype: DTypeLike = np.float32,
        **cell_options: Any,
    ):
        options = {"dtype": dtype, **cell_options}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )


class LSTM(Layers[tuple[Variable, Variable]]):
    """Long short-term memory, layers of `LSTMCell`; arguments, call and errors are those of `RNN`.

    Call: ``output, (h_n, c_n) = layer(x, (h_0, c_0)=None, lengths=None, starts=None)``

    Args:
        proj_size: P > 0 feeds back a projection of h of that size: output (T, B, D*P), h_n (L*D, B, P).
        cell_options: other keywords of the cell: ``activation``, ``output_activation``,
            ``recurrent_activation``, ``forget_bias`` and ``zero_bias``.

    >>> y, (h, c) = nn.LSTM(3, 4, proj_size=2)(np.zeros((5, 2, 3), "f"))
    >>> y.shape, h.shape, c.shape
    ((5, 2, 2), (1, 2, 2), (1, 2, 4))
    """

    cell_type = LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        dtype: DTypeLike = np.float32,
        **cell_options: Any,
    ):
        self.proj_size = proj_size
        options = {"proj_size": proj_size, "dtype": dtype, **cell_options}
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, **options
        )
