"""What a drawing points out: vertices and arrows in a colour of their own, with words."""

from collections.abc import Hashable, Mapping

from ...core import SCALARS, Function, Variable
from ..reading import Reading
from . import dot
from .flows import Parts

Marked = Mapping[Variable | Function | tuple[Function, int], str]


class Marks:
    """The vertices and arrows of a view that are marked, with the words on them.

    Args:
        given: words by what they are about: a Variable, a node, or a node and the number of an input.
    """

    def __init__(self, reading: Reading, parts: Parts, given: Marked):
        self.vertices: dict[Hashable, str] = {}
        self.arrows: dict[Hashable, str] = {}
        for what, words in given.items():
            if isinstance(what, tuple):
                self.arrows.update(dict.fromkeys(_arrows(reading, parts, *what), words))
            else:
                item = reading.source_of(what)[0] if isinstance(what, Variable) else what
                self.vertices[parts.vertex(reading.joined.get(item, item))] = words

    def vertex(self, vertex: Hashable) -> tuple[list[str], dot.Look]:
        """The words on a vertex, and its border."""
        words = self.vertices.get(vertex)
        return ([], {}) if words is None else ([words] if words else [], dict(dot.MARKED))

    def arrow(self, *arrows: Hashable) -> dot.Look:
        """The look of an arrow, or of a line that several share."""
        words = [self.arrows[arrow] for arrow in arrows if arrow in self.arrows]
        if not words:
            return {}
        text = ", ".join(dict.fromkeys([dot.escape(dot.clean(w)) for w in words if w]))
        label = {"label": f"  {text}", "fontcolor": dot.MARKED["color"], "fontsize": "11"} if text else {}
        return {**dot.MARKED, "style": "solid", **label}


def check(given: Marked) -> None:
    """Raise what `draw` raises where marks are none."""
    for what in given:
        if isinstance(what, Variable | Function):
            continue
        if not (isinstance(what, tuple) and len(what) == 2 and isinstance(what[0], Function)):
            raise TypeError(
                "draw expected mark to be a dict of words by Variables, Functions, or pairs (Function, number"
                f" of an input), got the key {what!r}"
            )
        node, i = what
        if not 0 <= i < len(node.edges) or node.edges[i].__class__ in SCALARS:
            raise ValueError(
                f"draw expected mark to name an input of {node.describe()} that is no Python number, got {i}"
            )


def _arrows(reading: Reading, parts: Parts, node: Function, i: int) -> list[Hashable]:
    """The arrows that show input ``i`` of a node; none where it is left out."""
    head = reading.joined.get(node, node)
    if (node, i) not in (inputs := reading.inputs(head)):
        return []
    at = inputs.index((node, i))
    item, k = reading.sources[head][at]
    found = [parts.arrow(item, k, head, at, frame) for frame in parts.frames(head)]
    return [arrow for arrow in found if arrow is not None]
