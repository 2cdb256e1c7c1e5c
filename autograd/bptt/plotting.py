"""Axes and heatmaps for what `plot` methods draw, which needs matplotlib."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def axes(ax: "Axes | None" = None, width: float = 6.0, height: float = 4.5) -> "Axes":
    """``ax``, or the axes of a new figure."""
    return row_of_axes(1, width, height)[0] if ax is None else ax


def row_of_axes(count: int, width: float = 3.0, height: float = 2.6) -> "Sequence[Axes]":
    """The axes of a new figure, side by side, each of this size in inches."""
    try:
        from matplotlib import pyplot
    except ImportError:
        raise ImportError(
            'pictures need matplotlib: pip install "bptt[examples]". The tables themselves are NumPy arrays'
        ) from None
    figure, axs = pyplot.subplots(
        1, count, figsize=(count * width, height), layout="constrained", squeeze=False
    )
    return list(axs[0])


def heatmap(
    ax: "Axes | None",
    table: Array,
    columns: Sequence[Any],
    rows: Sequence[Any],
    label: str,
    vmin: float | None = None,
    vmax: float | None = None,
    norm: Any = None,
) -> "Axes":
    """Norms on a logarithmic colour scale; zeros and missing entries stay white.

    Equal numbers have equal colours in all panels with the same ``vmin`` and ``vmax``, the ends of the
    scale, or the same matplotlib ``norm``. The default scale of a panel runs from its smallest entry to its
    largest.
    """
    ax = axes(ax)
    shown = np.ma.masked_where(~(np.isfinite(table) & (table > 0)), table)
    if norm is None and shown.count():
        norm = "log"
    image = ax.imshow(
        shown, aspect="auto", cmap="viridis", interpolation="nearest", vmin=vmin, vmax=vmax, norm=norm
    )
    low, high = image.get_clim()
    below, above = np.any(shown < low), np.any(shown > high)
    extend = "both" if below and above else "min" if below else "max" if above else "neither"
    ax.figure.colorbar(image, ax=ax, label=label, extend=extend)
    for axis, values in ((ax.xaxis, columns), (ax.yaxis, rows)):
        every = max(1, -(-len(values) // 12))
        axis.set_ticks(range(0, len(values), every), [str(v) for v in values[::every]])
    return ax
