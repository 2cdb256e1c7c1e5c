"""Names for the parts of a state: which layer, which direction, h or c."""

from collections import namedtuple
from typing import Any

from autograd import unstack

from .module import Module
from .recurrent import Bidirectional, Cell, Recurrent, Stacked, as_variable
from .rnn import Layers


class LayerState:
    """The state of one layer: ``forward``, ``backward`` or both, each with its parts by name."""

    def __init__(self, **directions: Any):
        vars(self).update(directions)

    def __getattr__(self, name: str) -> Any:
        there = " and ".join([f".{direction}" for direction in vars(self)])
        raise AttributeError(f"the state of this layer has {there}, got .{name}")

    def __repr__(self) -> str:
        lines = []
        for name, state in vars(self).items():
            parts = [f"{part} {value.shape}" for part, value in state._asdict().items()]
            lines.append(f"{name}: {', '.join(parts)}")
        return "; ".join(lines)


class NamedState:
    """The state of a recurrent module: ``state.layer(0).forward.h``; `named_state` makes it."""

    def __init__(self, layers: list[LayerState]):
        self.layers = layers

    def layer(self, k: int) -> LayerState:
        """The state of layer k, counted from the input; -1 is the last.

        Raises:
            IndexError: there is no such layer.
        """
        if not -len(self.layers) <= k < len(self.layers):
            raise IndexError(f"a state of {len(self.layers)} layers has no layer {k}")
        return self.layers[k]

    def __repr__(self) -> str:
        return "\n".join([f"layer {k}: {layer!r}" for k, layer in enumerate(self.layers)])


def named_state(module: Module, state: Any) -> NamedState:
    """The parts of a state that ``module`` returned, by layer, direction and name.

    ``module`` itself keeps working with the state as it is; this is for looking, and for building on a part.
    The parts are Variables in the graph. Their names are `Cell.parts`, for most cells h, or h and c; a name
    that comes again, as the y of a wrapper around a wrapper, becomes y_2.

    Args:
        module: RNN, GRU, LSTM, their relatives of convolutions, `Recurrent`, `Bidirectional` or `Stacked`.
        state: the second of the two results of calling it.

    Raises:
        TypeError: another module. ValueError: the state of another module.

    >>> lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    >>> y, state = lstm(np.ones((5, 2, 3), "f"))
    >>> state = nn.named_state(lstm, state)
    >>> state
    layer 0: forward: h (2, 4), c (2, 4); backward: h (2, 4), c (2, 4)
    layer 1: forward: h (2, 4), c (2, 4); backward: h (2, 4), c (2, 4)
    >>> np.array_equal(state.layer(1).forward.h.data, y.data[-1, :, :4])
    True
    """
    if isinstance(module, Layers):
        parts = state if isinstance(state, tuple | list) else (state,)
        cells = [cell for _, cell in module.cells()]
        states = list(zip(*[unstack(as_variable(part)) for part in parts], strict=True))
        if len(states) != len(cells):
            raise ValueError(_other(module, f"{len(cells)} layers and directions", len(states)))
        named = [_cell_state(cell, s) for cell, s in zip(cells, states, strict=True)]
        if not module.bidirectional:
            return NamedState([LayerState(forward=s) for s in named])
        pairs = zip(named[::2], named[1::2], strict=True)
        return NamedState([LayerState(forward=ahead, backward=back) for ahead, back in pairs])
    if isinstance(module, Stacked):
        if len(state) != len(module.layers):
            raise ValueError(_other(module, f"{len(module.layers)} layers", len(state)))
        inner = [named_state(layer, s) for layer, s in zip(module.layers, state, strict=True)]
        return NamedState([layer for one in inner for layer in one.layers])
    if isinstance(module, Bidirectional):
        ahead, back = state
        ahead = _cell_state(module.forward_layer.cell, ahead)
        return NamedState([LayerState(forward=ahead, backward=_cell_state(module.backward_layer.cell, back))])
    if isinstance(module, Recurrent):
        one = _cell_state(module.cell, state)
        return NamedState([LayerState(backward=one) if module.reverse else LayerState(forward=one)])
    raise TypeError(
        "named_state expected an RNN, GRU or LSTM, or Recurrent, Bidirectional or Stacked layers,"
        f" got {type(module).__name__}"
    )


def _cell_state(cell: Cell, state: Any) -> Any:
    """The parts of the state of one cell as a named tuple."""
    if len(state) != len(cell.parts):
        raise ValueError(_other(cell, f"{len(cell.parts)} parts, {', '.join(cell.parts)}", len(state)))
    before = [cell.parts[:k].count(name) for k, name in enumerate(cell.parts)]
    names = [f"{name}_{n + 1}" if n else name for name, n in zip(cell.parts, before, strict=True)]
    return namedtuple("State", names)(*state)


def _other(module: Module, expected: str, got: int) -> str:
    return f"named_state expected a state of {type(module).__name__} with {expected}, got {got}"
