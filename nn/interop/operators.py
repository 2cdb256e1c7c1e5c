"""Cells that ONNX has an operator for, in the operator's order of gates.

    ours             ONNX
    LSTM  i f g o    i o f c      peepholes i o f
    GRU   r z n      z r h        z = 1 keeps the old state, as here
    RNN   h          i

An operator takes weights (directions, gates*H, ...) and the two biases side by side.
"""

from typing import Any

import numpy as np

from autograd.extend import Array

from ..cells import GatedCell, GRUCell, LSTMCell, PeepholeLSTMCell, RNNCell
from ..cells.gru import negate_z

ROWS = {"LSTM": ("i", "o", "f", "g"), "GRU": ("z", "r", "n"), "RNN": ("h",)}
ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softplus": "Softplus"}


def operator_of(cell: Any) -> tuple[str, dict[str, Any]] | None:
    """The operator that computes a cell, and its attributes; None if there is none.

    A subclass may compute anything, so that the class has to be one of the four.
    """
    kind = type(cell)
    functions: tuple[Any, ...]
    if kind is LSTMCell or kind is PeepholeLSTMCell:
        if cell.proj_size or getattr(cell, "full", False):
            return None
        op, functions = "LSTM", (cell.recurrent_activation, cell.activation, cell.output_activation)
        attributes: dict[str, Any] = {}
    elif kind is GRUCell:
        if cell.reset is None:
            return None
        op, functions = "GRU", (cell.recurrent_activation, cell.activation)
        attributes = {"linear_before_reset": int(cell.reset == "after")}
    elif kind is RNNCell:
        op, functions, attributes = "RNN", (cell.activation,), {}
    else:
        return None
    names = [ACTIVATIONS.get(getattr(f, "__name__", "")) for f in functions]
    if None in names:
        return None
    usual = ["Tanh"] if op == "RNN" else ["Sigmoid", "Tanh", "Tanh"][: len(names)]
    if names != usual:
        attributes["activations"] = names
    return op, {"hidden_size": cell.hidden_size, **attributes}


def weights_of(op: str, cells: list[GatedCell]) -> dict[str, Array]:
    """W, R, and where there are any B and P, of the one cell or the two of both directions."""
    ours: dict[str, Array] = {
        "W": np.stack([_rows(op, cell, cell.weight_ih.data) for cell in cells]),
        "R": np.stack([_rows(op, cell, cell.weight_hh.data) for cell in cells]),
    }
    pairs = [
        [_rows(op, cell, b.data) for b in (cell.bias_ih, cell.bias_hh) if b is not None] for cell in cells
    ]
    if pairs[0]:
        ours["B"] = np.stack([np.concatenate(pair) for pair in pairs])
    if isinstance(cells[0], PeepholeLSTMCell):
        peepholes = [[getattr(cell, f"weight_c{gate}").data for gate in "iof"] for cell in cells]
        ours["P"] = np.stack([np.concatenate(rows) for rows in peepholes])
    return ours


def _rows(op: str, cell: GatedCell, weight: Array) -> Array:
    """The rows of a fused parameter in the order of the operator."""
    H = cell.hidden_size
    if isinstance(cell, GRUCell) and cell.update == "take":
        weight = negate_z(cell, weight)  # 1 - σ(a) is σ(-a)
    return np.concatenate([weight[k * H : (k + 1) * H] for k in map(cell.gates.index, ROWS[op])])
