"""Variables show themselves in notebooks, once `autograd.graph` is imported: their value and their graph."""

import html
from collections.abc import Iterable
from typing import Any

from ...core import Variable
from .draw import draw
from .render import RendererNotFound, TooSlow, picture

MOST_NODES = 300  # a larger graph is folded: a cell of a notebook should not take seconds


def _repr_mimebundle_(
    self: Variable, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
) -> dict[str, Any]:
    bundle = {"text/plain": repr(self)}
    if not self.is_leaf:
        try:
            svg = picture(draw(self, max_nodes=MOST_NODES), "svg").decode("utf-8")
        except (RendererNotFound, TooSlow):
            return bundle
        bundle["text/html"] = f"<pre>{html.escape(repr(self))}</pre>{svg[svg.index('<svg') :]}"
    return bundle


Variable._repr_mimebundle_ = _repr_mimebundle_  # type: ignore[attr-defined]
