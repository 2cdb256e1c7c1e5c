"""What the tables share: checks of what they are given, and the pictures. matplotlib only when drawing."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...core import Function, Variable
from ...deferred import Deferred
from ...engine import _ancestors, key_of


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
    return {edge for node in nodes for edge in node.edges or () if isinstance(edge, Variable)}


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


def heatmap(ax: Any, table: np.ndarray, columns: Sequence[Any], rows: Sequence[Any], label: str) -> Any:
    """Norms on a logarithmic colour scale; zeros and missing entries stay white."""
    ax = axes(ax)
    positive = table[np.isfinite(table) & (table > 0)]
    shown = np.log10(np.where(table > 0, table, np.nan)) if positive.size else np.full(table.shape, np.nan)
    image = ax.imshow(shown, aspect="auto", cmap="viridis", interpolation="nearest")
    ax.figure.colorbar(image, ax=ax, label=f"log₁₀ {label}")
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        every = max(1, -(-len(values) // 12))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
    return ax
