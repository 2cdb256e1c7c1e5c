"""What the tables share: checks of what they are given, and the pictures. matplotlib only when drawing."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...core import Function, Variable, edge_type, source
from ...deferred import Deferred
from ...engine import _ancestors, key_of
from ...ops.shape import Contiguous, Flip, Index, Reshape, Split, Stack, Transpose, Unstack, parts_of

MOVES = Contiguous, Flip, Index, Reshape, Split, Transpose, Unstack


def nodes_behind(who: str, results: Sequence[Variable], names: Iterable[str]) -> list[Function]:
    """All nodes behind some results, the first made first.

    Raises:
        RuntimeError: a result is outside any graph, or an earlier pass released what was saved.
    """
    for y, name in zip(results, names, strict=True):
        if not y.requires_grad or y.is_leaf:
            raise RuntimeError(
                f"{who}: {name} was not computed from anything that requires grad: compute it outside of"
                " no_grad(), without detach(), from Variables"
            )
    nodes = _ancestors([key_of(y) for y in results])
    for node in nodes:
        if node.saved is None:
            raise RuntimeError(
                f"{who}: an earlier backward pass released what {node.describe()} had saved: call {who}"
                " before backward(), pass retain_graph=True to backward(), or compute the result again"
            )
    return nodes


def leaves_of(nodes: Iterable[Function]) -> set[Variable]:
    """The leaves that track. As targets of a walk they leave the ``.grad`` of kept intermediates alone."""
    return {edge for node in nodes for edge in node.edges if isinstance(edge, Variable)}


def scalar_losses(who: str, losses: Variable | Sequence[Variable]) -> list[Variable]:
    """One Variable of one element per loss; a Variable with one axis is taken apart."""
    given = list(losses) if not isinstance(losses, Variable) or losses.ndim else [losses]
    if not given:
        raise ValueError(f"{who} expected at least one loss, got none")
    for t, loss in enumerate(given):
        if not isinstance(loss, Variable):
            raise TypeError(f"{who} expected Variables, got {type(loss).__name__} for loss {t}")
        if loss.size != 1:
            raise ValueError(
                f"{who} expected losses of one element, got shape {loss.shape} for loss {t}: sum() it"
            )
    return given


# --- what was read out of a stack ---------------------------------------------------------------


def state_behind(edge: Any) -> Any:
    """The edge of the array that was stacked and is read out again here; else the edge itself.

    A loop stacks its states into y, and goes on from the states. What y[t] or `unstack` give has their
    values, but nothing was computed from it: as a state it would seem to lead nowhere.
    """
    while (found := read_out(edge)) is not None and (source := input_at(*found)) is not None:
        edge = source
    return edge


def read_out(edge: Any) -> tuple[Stack, np.ndarray, np.ndarray] | None:
    """The stack whose elements an edge only moves about or chooses from; for each of them the number of the
    input of the stack that it is from, and its place there.
    """
    moves = []
    node, k = source(edge)
    while isinstance(node, MOVES) and node.edges and node.saved is not None:
        moves.append((node, k))
        (edge,) = node.edges
        node, k = source(edge)
    if not isinstance(node, Stack) or not node.edges:
        return None
    count, shape = len(node.edges), edge_type(node.edges[0])[0]
    inputs = np.arange(count).reshape(count, *[1] * len(shape))
    places = np.arange(math.prod(shape)).reshape(shape)
    both = [np.moveaxis(np.broadcast_to(a, (count, *shape)), 0, node.axis) for a in (inputs, places)]
    for move, k in reversed(moves):
        both = [_moved(move, k, a) for a in both]
    return node, both[0], both[1]


def _moved(move: Function, k: int, x: np.ndarray) -> np.ndarray:
    """Output ``k`` of a node that moves elements, for other elements."""
    if isinstance(move, Index):
        return np.asarray(x[move.saved[0]])  # type: ignore[index]
    if isinstance(move, Unstack):
        return np.moveaxis(x, move.axis, 0)[k]
    if isinstance(move, Split):
        return x[parts_of(move.ends, move.axis, x.ndim)[k]]
    return move.forward(x)


def input_at(stack: Stack, inputs: np.ndarray, places: np.ndarray) -> Any:
    """The input of a stack that has exactly these elements, in their order; None if none has."""
    edges: Any = stack.edges
    size = math.prod(edge_type(edges[0])[0])
    if inputs.size != size or not size or np.any(inputs != inputs.flat[0]):
        return None
    return edges[inputs.flat[0]] if np.array_equal(places.ravel(), np.arange(size)) else None


def settled(g: Any) -> np.ndarray:
    """What a walk left in its sink, as an array."""
    return np.asarray(g.array() if isinstance(g, Deferred) else g)


# --- pictures -----------------------------------------------------------------------------------


def axes(ax: Any = None, width: float = 6.0, height: float = 4.5) -> Any:
    """``ax``, or the axes of a new figure."""
    if ax is not None:
        return ax
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            'pictures need matplotlib: pip install "bptt[examples]". The tables themselves are NumPy arrays'
        ) from None
    return pyplot.subplots(figsize=(width, height), layout="constrained")[1]


def heatmap(
    ax: Any,
    table: np.ndarray,
    columns: Sequence[Any],
    rows: Sequence[Any],
    label: str,
    vmin: float | None = None,
    vmax: float | None = None,
    norm: Any = None,
) -> Any:
    """Norms on a logarithmic colour scale; zeros and missing entries stay white.

    Equal numbers have equal colours in all panels with the same ``vmin`` and ``vmax``, the ends of the
    scale, or the same matplotlib ``norm``. By default a panel has its own, from its smallest entry to its
    largest.
    """
    ax = axes(ax)
    shown = np.ma.masked_where(~(np.isfinite(table) & (table > 0)), table)
    if norm is None and shown.count():
        norm = "log"
    image = ax.imshow(
        shown, aspect="auto", cmap="viridis", interpolation="nearest", vmin=vmin, vmax=vmax, norm=norm
    )
    below, above = np.any(shown < image.norm.vmin), np.any(shown > image.norm.vmax)
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        every = max(1, -(-len(values) // 12))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
    return ax
