"""Recurrent weights as PyTorch, Keras, Ng and Géron write them, and a GRU's two meanings of z.

    PyTorch    weight_ih (gates·H, I), weight_hh (gates·H, H), bias_ih, bias_hh: our state dict
    Keras      kernel (I, gates·H), recurrent_kernel (H, gates·H), bias, see `nn.keras`
    Ng         per gate a matrix (H, H + I) for [a; x] and a column (H, 1): Wc bc, Wu bu, Wr br of a GRU,
               Wc bc, Wu bu, Wf bf, Wo bo of an LSTM; Waa (H, H), Wax (H, I), ba of an RNN
    Géron      per gate two matrices for rows and a bias: W_xr (I, H), W_hr (H, H), b_r (H), and so on for
               r, z, g of a GRU and i, f, g, o of an LSTM; W_x, W_y, b of an RNN

In Ng's GRU, Γu = 1 takes the new state; in the others z = 1 keeps the old one. Weights move bit for bit: they
are copied, transposed, ordered and negated, and nothing of that rounds. Three things cannot be:

- The outputs of a GRU that changed its meaning of z. 1 - σ(a) is σ(-a), but not to the last bit.
- A pair of biases where a convention has one bias. It is their sum, with which the cell computes anyway, so
  outputs are the same bit for bit; which part was b_ih and which b_hh is lost.
- reset="before" and "after". They are different functions, and no weights of the one give the other.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from autograd import sigmoid
from autograd.extend import Array, Operand

from .cells import GRUCell, LayerNormGRUCell, LSTMCell, RNNCell
from .cells.gru import check_update, negate_z
from .init import M
from .keras import keras_weights, load_keras_weights

LETTERS: dict[str, dict[type, dict[str, str]]] = {  # our gate -> the letter of the convention
    "Ng": {
        GRUCell: {"n": "c", "z": "u", "r": "r"},
        LSTMCell: {"g": "c", "i": "u", "f": "f", "o": "o"},
    },
    "Géron": {
        GRUCell: {"r": "r", "z": "z", "n": "g"},
        LSTMCell: {"i": "i", "f": "f", "g": "g", "o": "o"},
    },
}
RESETS: dict[str, tuple[str | None, ...]] = {  # the forms of a GRU that each has
    "PyTorch": ("after",),
    "Keras": ("after", "before"),
    "Ng": ("before", None),
    "Géron": ("before",),
}
KERAS = ("kernel", "recurrent_kernel", "bias")


def weights(cell: Any, convention: str) -> dict[str, Array]:
    """The weights of a cell by the names and in the shapes of a convention; copies.

    Args:
        cell: an RNNCell, GRUCell or LSTMCell; of a layer, ``for _, cell in lstm.cells()``.
        convention: "PyTorch", "Keras", "Ng" or "Géron", see above.

    Raises:
        TypeError: another cell. ValueError: the convention has no such form.

    >>> cell = nn.GRUCell(2, 3, reset="before")
    >>> {name: w.shape for name, w in nn.conventions.weights(cell, "Ng").items()}
    {'Wc': (3, 5), 'bc': (3, 1), 'Wu': (3, 5), 'bu': (3, 1), 'Wr': (3, 5), 'br': (3, 1)}
    """
    _check(cell, convention)
    if convention == "Keras":
        return dict(zip(KERAS, keras_weights(cell), strict=False))
    state = _meaning(cell, convention, cell.state_dict())
    if convention == "PyTorch":
        return state
    W_ih, W_hh = _by_gate(cell, state["weight_ih"]), _by_gate(cell, state["weight_hh"])
    b = _by_gate(cell, state["bias_ih"] + state["bias_hh"]) if cell.bias else {}
    named: dict[str, Array] = {}
    for gate, names in _names(cell, convention).items():
        parts = [*_matrices(cell, convention, W_ih[gate], W_hh[gate])]
        if cell.bias:
            parts.append(b[gate][:, None] if convention == "Ng" else b[gate])
        named.update(zip(names, [part.copy() for part in parts], strict=False))
    return named


def load_weights(cell: Any, convention: str, given: Mapping[str, Operand]) -> None:
    """Copy weights that `weights` gave, or that a course has, into a cell.

    A single bias becomes b_ih, and b_hh zero. Where the convention and the cell mean different things by z,
    its rows are negated. Everything is checked before anything changes.

    Raises:
        TypeError: another cell. ValueError: the convention has no such form, or a name or shape does not fit.

    >>> ours, theirs = nn.LSTMCell(2, 3), nn.LSTMCell(2, 3)
    >>> nn.conventions.load_weights(ours, "Géron", nn.conventions.weights(theirs, "Géron"))
    >>> np.array_equal(ours(np.ones((1, 2), "f"))[0].data, theirs(np.ones((1, 2), "f"))[0].data)
    True
    """
    _check(cell, convention)
    arrays = {name: np.asarray(w) for name, w in given.items()}
    got = {name: w.shape for name, w in arrays.items()}
    expected = {name: w.shape for name, w in weights(cell, convention).items()}
    if got != expected:
        raise ValueError(f"load_weights expected for {cell!r}, as {convention} has it, {expected}, got {got}")
    if convention == "Keras":
        load_keras_weights(cell, [arrays[name] for name in expected])
        return
    if convention != "PyTorch":
        arrays = _fused(cell, convention, arrays)
    cell.load_state_dict(_meaning(cell, convention, arrays))


def set_update(module: M, update: str) -> M:
    """Let every GRU in ``module`` mean ``update`` by its z, and compute the same function as before.

    The rows of gate z are negated, for 1 - σ(a) = σ(-a): in weights and biases, or, with layer norms, in the
    gains and biases of the norms. Going back gives the same weights bit for bit. The outputs agree up to the
    rounding of σ.

    Args:
        module: a GRUCell, ConvGRUCell or LayerNormGRUCell, or anything that contains some.
        update: "keep" or "take", see `GRUCell`.

    Returns:
        ``module``.

    Raises:
        ValueError: no such cell, or one whose gates have another function than σ.

    >>> gru, x = nn.GRU(2, 3), np.ones((4, 1, 2), "f")
    >>> before = gru(x)[0].data
    >>> nn.conventions.set_update(gru, "take")
    GRU(2, 3, update='take')
    >>> np.allclose(gru(x)[0].data, before, atol=1e-6)
    True
    """
    check_update("set_update", update)
    cells: list[Any] = [
        m for m in module.modules() if hasattr(m, "update") and "z" in getattr(m, "gates", ())
    ]
    if not cells:
        raise ValueError(f"set_update found no GRU in {type(module).__name__}")
    for cell in cells:
        if cell.recurrent_activation is not sigmoid:
            name = getattr(cell.recurrent_activation, "__name__", "?")
            raise ValueError(
                "set_update expected gates with recurrent_activation sigmoid, for which 1 - σ(a) = σ(-a),"
                f" got {name} in {type(cell).__name__}"
            )
    negated: set[int] = set()
    for cell in cells:
        if cell.update != update:
            for name, p in dict(cell.named_parameters()).items():
                fused = name.startswith("norm_") if isinstance(cell, LayerNormGRUCell) else True
                if fused and p.shape[0] >= 2 * cell.hidden_size and id(p) not in negated:
                    negated.add(id(p))  # two cells may share one
                    gate = cell.gate(name, "z")
                    gate.data = -gate.data
            cell.update = update
    return module


def _check(cell: Any, convention: str) -> None:
    """Raise unless ``convention`` is known and writes such a cell."""
    if convention not in RESETS:
        raise ValueError(f"expected a convention out of {', '.join(RESETS)}, got {convention!r}")
    if type(cell) not in (RNNCell, GRUCell, LSTMCell) or getattr(cell, "proj_size", False):
        raise TypeError(
            f"conventions are known for RNNCell, GRUCell and LSTMCell without proj_size, got {cell!r}:"
            " of a layer, take its cells, for _, cell in layer.cells()"
        )
    if type(cell) is GRUCell and cell.reset not in RESETS[convention]:
        forms = " or ".join([repr(reset) for reset in RESETS[convention]])
        raise ValueError(
            f"{convention} writes a GRU with reset {forms}, got {cell!r}: no weights of the one form compute"
            " the other, so train that form"
        )


def _meaning(cell: Any, convention: str, state: dict[str, Array]) -> dict[str, Array]:
    """``state`` with gate z as the convention means it, or back from there: both negate its rows."""
    update = "take" if convention == "Ng" else "keep"
    if type(cell) is not GRUCell or cell.update == update:
        return state
    return {name: negate_z(cell, rows) for name, rows in state.items()}


def _names(cell: Any, convention: str) -> dict[str, tuple[str, ...]]:
    """Our gates in the order of the convention, with the names of its weights, the bias last."""
    if type(cell) is RNNCell:
        return {"h": ("Waa", "Wax", "ba") if convention == "Ng" else ("W_x", "W_y", "b")}
    names = ("W{0}", "b{0}") if convention == "Ng" else ("W_x{0}", "W_h{0}", "b_{0}")
    letters = {k: v for k, v in LETTERS[convention][type(cell)].items() if k in cell.gates}
    return {gate: tuple([name.format(letter) for name in names]) for gate, letter in letters.items()}


def _matrices(cell: Any, convention: str, W_ih: Array, W_hh: Array) -> tuple[Array, ...]:
    """The matrices of one gate as the convention has them."""
    if convention == "Géron":
        return W_ih.T, W_hh.T
    return (W_hh, W_ih) if type(cell) is RNNCell else (np.concatenate([W_hh, W_ih], 1),)


def _fused(cell: Any, convention: str, given: Mapping[str, Array]) -> dict[str, Array]:
    """Weights of a convention as our state dict, which has the gates one after the other."""
    W_ih, W_hh, b = {}, {}, {}
    for gate, names in _names(cell, convention).items():
        first, *rest = [given[name] for name in names if name in given]
        if convention == "Géron":
            W_ih[gate], W_hh[gate] = first.T, rest[0].T
        elif type(cell) is RNNCell:
            W_hh[gate], W_ih[gate] = first, rest[0]
        else:
            W_hh[gate], W_ih[gate] = np.split(first, [cell.hidden_size], 1)
        if cell.bias:
            b[gate] = rest[-1].reshape(-1)
    fused = {"weight_ih": W_ih, "weight_hh": W_hh, **({"bias_ih": b} if cell.bias else {})}
    state = {name: np.concatenate([gates[k] for k in cell.gates]) for name, gates in fused.items()}
    return state | ({"bias_hh": np.zeros_like(state["bias_ih"])} if cell.bias else {})


def _by_gate(cell: Any, rows: Array) -> dict[str, Array]:
    return dict(zip(cell.gates, np.split(rows, len(cell.gates)), strict=True))
