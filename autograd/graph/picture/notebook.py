"""Variables show themselves in notebooks, once `autograd.graph` is imported: their value and their graph."""

import html
from collections.abc import Iterable
from typing import Any

from ...core import Variable
from .draw import draw
from .render import Drawing, RendererNotFound, TooSlow, picture

MOST_NODES = 300  # a larger graph is folded: a cell of a notebook should not take seconds


def _repr_mimebundle_(
    self: Variable, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> dict[str, Any]:
    bundle = {"text/plain": repr(self)}
    if not self.is_leaf and (page := text_and_picture(repr(self), draw(self, max_nodes=MOST_NODES))):
        bundle["text/html"] = page
    return bundle


def text_and_picture(text: str, drawing: Drawing) -> str | None:
    """HTML of a text with a drawing below it; None where the drawing cannot be rendered."""
    try:
        svg = picture(drawing, "svg").decode("utf-8")
    except (RendererNotFound, TooSlow):
        return None
    return f"<pre>{html.escape(text)}</pre>{svg[svg.index('<svg') :]}"


Variable._repr_mimebundle_ = _repr_mimebundle_  # type: ignore[attr-defined]
