"""Tables of numbers: a few lines of text for a prompt, and HTML for a notebook, in which colour is size.

Neither needs a package for plots. What is left out of a long table is told by ⋯ in its place.
"""

import html
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..core import Array

Names = Sequence[Any] | Array  # of rows or columns
GAP = "⋯"
MOST_ROWS, MOST_COLUMNS = 6, 8  # of a table of text
MOST_CELLS = 24  # along an axis of a table in HTML
POSITIVE, NEGATIVE = "230,97,1", "58,117,196"  # red, green and blue
CELL = "padding:.1em .4em;text-align:right"


def as_text(values: Array, rows: Names, columns: Names) -> str:
    """At most eight lines: the numbers under their columns; nothing stands where a number is NaN."""
    across = _shown(len(columns), MOST_COLUMNS)
    lines = [["", *[GAP if k is None else str(columns[k]) for k in across]]]
    for r in _shown(len(rows), MOST_ROWS):
        name = GAP if r is None else str(rows[r])
        lines.append(
            [name, *["" if r is None else GAP if k is None else _number(values[r, k]) for k in across]]
        )
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    texts = ["  ".join(text.rjust(w) for text, w in zip(line, widths, strict=True)) for line in lines]
    return "\n".join([text.rstrip() for text in texts])


def as_html(
    values: Array,
    rows: Names,
    columns: Names,
    caption: str,
    corner: str = "",
    limits: tuple[float, float] | None = None,
) -> str:
    """A table whose cells are coloured by size: on a logarithmic scale where no number is below 0, else on
    a linear one with a colour for each sign. The caption says which, and from where to where.

    Args:
        values: (rows, columns); nothing stands where a number is NaN.
        corner: what rows and columns are, above the names of the rows.
        limits: the ends of the scale of sizes, for tables that share one; by default those of ``values``.
    """
    sizes = np.abs(values[np.isfinite(values) & (values != 0)])
    if limits is None:
        limits = (float(sizes.min()), float(sizes.max())) if sizes.size else (1.0, 1.0)
    is_signed = bool((values < 0).any())
    scale = f"linear, ±{limits[1]:.3g}" if is_signed else f"logarithmic, {limits[0]:.3g} to {limits[1]:.3g}"
    head, *body = [
        [(r, k) for k in [-1, *_shown(len(columns), MOST_CELLS)]]
        for r in [-1, *_shown(len(rows), MOST_CELLS)]
    ]
    lines = [f'<tr><th style="{CELL}">{html.escape(corner)}</th>']
    lines += [f'<th style="{CELL}">{_name(columns, k)}</th>' for _, k in head[1:]]
    for cells in body:
        lines.append(f'</tr><tr><th style="{CELL}">{_name(rows, cells[0][0])}</th>')
        for r, k in cells[1:]:
            if r is None or k is None:
                lines.append(f'<td style="{CELL}">{GAP}</td>')
                continue
            look = f"{CELL};{_colour(float(values[r, k]), limits, is_signed)}"
            lines.append(f'<td style="{look}">{_number(values[r, k])}</td>')
    text = html.escape(f"{caption}; colour: {scale}" if sizes.size else caption)
    return (
        '<table style="border-collapse:collapse;font-variant-numeric:tabular-nums">'
        f'<caption style="text-align:left;white-space:nowrap">{text}</caption>{"".join(lines)}</tr></table>'
    )


def _shown(length: int, most: int) -> list[int | None]:
    """The places of the first and the last entries, with None between where some are left out."""
    if length <= most:
        return list(range(length))
    last = most // 2
    return [*range(most - last), None, *range(length - last, length)]


def _name(names: Names, k: int | None) -> str:
    return GAP if k is None else html.escape(str(names[k]))


def _number(x: float) -> str:
    return "" if math.isnan(x) else "0" if x == 0 else f"{x:.2g}"


def _colour(x: float, limits: tuple[float, float], is_signed: bool) -> str:
    """The background of a cell; none for 0 and for what is not finite."""
    if x == 0 or not math.isfinite(x):
        return ""
    low, high = limits
    size = min(max(abs(x), low), high)
    share = size / high
    if not is_signed:
        share = math.log(size / low) / math.log(high / low) if high > low else 1.0
    return f"background:rgba({NEGATIVE if x < 0 else POSITIVE},{0.1 + 0.7 * share:.2f})"
