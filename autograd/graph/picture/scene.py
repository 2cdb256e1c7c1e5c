"""A drawing in the making: statements sorted into frames, frames into frames, and a legend.

The views fill it and know no syntax of clusters; it knows nothing of what is drawn.
"""

from collections.abc import Mapping

from . import dot
from .positions import Repeated
from .render import Drawing

Path = tuple[str, ...]  # of a frame: the names of the frames around it, and its own


class Scene:
    """Collects DOT statements; ``drawing`` puts them together."""

    def __init__(self, direction: str):
        self.direction = direction
        self.first: list[str] = []  # what comes before all frames: Graphviz lays out in order of appearance
        self.notes: list[str] = []  # explanations in words, under the picture
        self.swatches: list[dot.Styled] = []  # explanations in colour: style, values
        self.legend: list[str] = []  # what the colours are about
        self.newrank = False
        self.look: dict[str, str] = {}  # of the whole drawing
        self.repeated: Repeated | None = None  # the same with steps alike
        self._looks: dict[Path, Mapping[str, str]] = {(): {}}
        self._own: dict[Path, list[str]] = {(): []}

    @property
    def reversed(self) -> bool:
        """Do arrows run against the order of reading?"""
        return self.direction in ("BT", "RL")

    def __contains__(self, path: Path) -> bool:
        return path in self._looks

    def open(self, path: Path, look: Mapping[str, str]) -> None:
        """Make a frame; the frame around it is there already."""
        self._looks[path] = look
        self._own[path] = []

    def add(self, statement: str, path: Path = ()) -> None:
        """Put a statement into a frame."""
        self._own[path].append(statement)

    def body(self) -> list[str]:
        """All statements."""
        inner: dict[Path, list[str]] = {path: [] for path in self._looks}
        numbers = {path: i - 1 for i, path in enumerate(self._looks)}
        for path in sorted(self._looks, key=len, reverse=True):
            if path:
                content = inner[path] + self._own[path]
                inner[path[:-1]] += dot.cluster(f"c{numbers[path]}", self._looks[path], content)
        return [*self.first, *inner[()], *self._own[()], *self._legend()]

    def _legend(self) -> list[str]:
        row = bool(self.legend) and self.direction in ("BT", "TB")  # as its title is wide, it lies
        swatches = list(reversed(self.swatches)) if self.reversed and not row else self.swatches
        nodes = [dot.node(f"l{i}", style, values) for i, (style, values) in enumerate(swatches)]
        if len(nodes) < 2 and not self.legend:
            return nodes
        chain = " -> ".join([f"l{i}" for i in range(len(nodes))]) + ' [style="invis"]'
        top = "b" if self.direction == "BT" else "t"
        title = {**dot.LEGEND_TITLE, "label": dot.lines(*self.legend), "labelloc": top} if self.legend else {}
        content = [*nodes, f"{{rank=same; {chain}}}" if row else chain]
        return dot.cluster("legend", {**dot.LEGEND_FRAME, **title}, content)

    def drawing(self) -> Drawing:
        """All of it as DOT."""
        drawing = self._drawing({}, self.notes)
        drawing.simpler = (self._straight,)
        if self.repeated:
            self.repeated.outside += [*_note(self.notes), *self._legend()]
            drawing.repeated = self.repeated
        return drawing

    def _straight(self) -> Drawing:
        words = "straight lines: the layout of curves takes too long"
        return self._drawing(dot.STRAIGHT, [*self.notes, words])

    def _drawing(self, look: Mapping[str, str], notes: list[str]) -> Drawing:
        attributes = {**dot.GRAPH, "rankdir": self.direction, **self.look, **look}
        if self.newrank:
            attributes["newrank"] = "true"
        body = [f"\t{statement}\n" for statement in [*_note(notes), *self.body()]]
        return Drawing(graph_attr=attributes, node_attr=dot.NODE, edge_attr=dot.EDGE, body=body)


def _note(notes: list[str]) -> list[str]:
    label = "\\n".join([dot.escape(note) for note in notes])
    return [f"graph [{dot.attributes({**dot.NOTE, 'label': label})}]"] if notes else []
