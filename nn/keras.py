"""Weights in the layout of Keras: ``layer.get_weights()`` of SimpleRNN, GRU and LSTM, read and written.

Keras multiplies from the other side and orders gates in its own way:

    kernel (I, gates·H)             our weight_ih, transposed
    recurrent_kernel (H, gates·H)   our weight_hh, transposed
    bias                            SimpleRNN, LSTM and GRU(reset_after=False): (gates·H), the sum of our two;
                                    GRU(reset_after=True), Keras' default: (2, 3H), our bias_ih and bias_hh

    LSTM    i f c o     where we and PyTorch have i f g o: the same
    GRU     z r h       where we and PyTorch have r z n

z = 1 keeps the old state in Keras: the rows of z in a cell with update="take" are negated on the way.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from autograd.extend import Array, Operand

from .cells import GRUCell, LSTMCell, RNNCell
from .cells.gru import negate_z
from .module import Module

ORDER = {RNNCell: ("h",), GRUCell: ("z", "r", "n"), LSTMCell: ("i", "f", "g", "o")}


def keras_weights(module: Module) -> list[Array]:
    """The weights of a recurrent module as the list that ``set_weights`` of Keras takes.

    Args:
        module: a cell, `Recurrent`, or RNN, GRU or LSTM. Several layers and directions follow each other:
            first layer, its reverse, second layer, ...

    Raises:
        TypeError: it holds something that has no counterpart in Keras.

    >>> [w.shape for w in nn.keras.keras_weights(nn.GRU(2, 3))]
    [(2, 9), (3, 9), (2, 9)]
    """
    weights = []
    for cell in _cells(module):
        order, state = _order(cell), _keeping(cell, cell.state_dict())
        weights += [
            _move(cell, state[name], cell.gates, order).T.copy() for name in ("weight_ih", "weight_hh")
        ]
        if cell.bias_ih is not None:
            pair = [_move(cell, state[name], cell.gates, order) for name in ("bias_ih", "bias_hh")]
            weights.append(np.stack(pair) if _two_biases(cell) else pair[0] + pair[1])
    return weights


def load_keras_weights(module: Module, weights: Sequence[Operand]) -> None:
    """Copy ``get_weights()`` of a Keras layer, or of several in the order above, into a recurrent module.

    A single bias goes to bias_ih, and bias_hh becomes zero. Everything is checked before anything changes.

    Raises:
        ValueError: the number of arrays or a shape does not fit.
        TypeError: the module holds something that has no counterpart in Keras.

    >>> lstm = nn.LSTM(2, 1)
    >>> nn.keras.load_keras_weights(lstm, [np.ones((2, 4)), np.ones((1, 4)), np.array([1.0, 2.0, 3.0, 4.0])])
    >>> lstm.state_dict()["bias_ih_l0"]
    array([1., 2., 3., 4.], dtype=float32)
    """
    cells = list(_cells(module))
    expected = [shape for cell in cells for shape in _shapes(cell)]
    arrays = [np.asarray(w) for w in weights]
    if [a.shape for a in arrays] != expected:
        raise ValueError(
            f"load_keras_weights expected arrays of shapes {expected} for {type(module).__name__},"
            f" got {[a.shape for a in arrays]}"
        )
    states, rest = [], iter(arrays)
    for cell in cells:
        order = _order(cell)
        state = {name: _move(cell, next(rest).T, order, cell.gates) for name in ("weight_ih", "weight_hh")}
        if cell.bias_ih is not None:
            bias = next(rest)
            pair = bias if _two_biases(cell) else np.stack([bias, np.zeros_like(bias)])
            state["bias_ih"], state["bias_hh"] = (_move(cell, b, order, cell.gates) for b in pair)
        states.append(_keeping(cell, state))
    before = [cell.state_dict() for cell in cells]
    try:
        for cell, state in zip(cells, states, strict=True):
            cell.load_state_dict(state)
    except ValueError:  # no numbers, or too large ones
        for cell, state in zip(cells, before, strict=True):
            cell.load_state_dict(state)
        raise


def _cells(module: Module) -> Iterator[Any]:
    """The cells of a module in Keras' order; TypeError if it holds any other parameter."""
    cells = [m for m in module.modules() if type(m) in ORDER and not getattr(m, "proj_size", 0)]
    known = {id(p) for cell in cells for p in cell.parameters()}
    odd = next((path for path, p in module.named_parameters() if id(p) not in known), None)
    if odd is not None or not cells:
        raise TypeError(
            f"Keras' layout is known for cells of type RNNCell, GRUCell and LSTMCell without proj_size;"
            f" {type(module).__name__} has {odd or 'none of them'}"
        )
    yield from cells


def _keeping(cell: Any, state: dict[str, Array]) -> dict[str, Array]:
    """The state of a cell with z as Keras means it, or back from there: both negate its rows."""
    if getattr(cell, "update", "keep") == "keep":
        return state
    return {name: negate_z(cell, rows) for name, rows in state.items()}


def _order(cell: Any) -> tuple[str, ...]:
    """The gates in Keras' order."""
    return tuple(gate for gate in ORDER[type(cell)] if gate in cell.gates)


def _move(cell: Any, rows: Array, old: Sequence[str], new: Sequence[str]) -> Array:
    """Rows (gates·H, ...) from one order of the gates to another; a copy."""
    H = cell.hidden_size
    return np.concatenate([rows[(k := old.index(gate)) * H : (k + 1) * H] for gate in new])


def _two_biases(cell: Any) -> bool:
    return isinstance(cell, GRUCell) and cell.reset == "after"


def _shapes(cell: Any) -> list[tuple[int, ...]]:
    """The shapes of the weights of the layer in Keras."""
    I, H, rows = cell.input_size, cell.hidden_size, len(cell.gates) * cell.hidden_size  # noqa: E741
    biases = [] if cell.bias_ih is None else [(2, rows) if _two_biases(cell) else (rows,)]
    return [(I, rows), (H, rows), *biases]
