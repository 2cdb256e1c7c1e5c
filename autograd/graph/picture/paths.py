"""The paths of one dependency in a drawing: by which ways does this value reach that one?

Every path is a term of the chain rule. What lies on none of them fades.
"""

from collections.abc import Hashable, Iterable

from ...core import Function, Variable
from ..fold import Fold
from ..lanes import NUMBER, SUBSCRIPTS, Cell, Lanes
from ..lanes import Arrow as CellArrow
from ..query import paths as number_of_paths
from ..reading import Item, Output, Reading
from . import dot
from .flows import Parts
from .marks import Marked, Marks
from .vertices import Arrow, Elided, Vertex

ON = {"color": dot.PATH, "penwidth": "3"}
OFF = {"color": dot.FADED, "penwidth": "1"}
OFF_VERTEX = {"fillcolor": "white", "color": dot.FADED, "fontcolor": dot.FADED_TEXT}


class Paths:
    """What lies between two values of a reading.

    Attributes:
        start: the output where paths start.
        between: operations on the paths, those that ``start`` is an output of left out.
        words: how many paths there are.

    Raises:
        ValueError: there is no path.
    """

    def __init__(self, reading: Reading, end: Variable, start: Variable):
        self.reading, self.start, self.end = reading, reading.source_of(start), reading.source_of(end)
        after: set[Item] = set()
        for node in reading.nodes:
            if any(self._is_start(s) or s[0] in after for s in reading.sources[node]):
                after.add(node)
        before: set[Item] = {self.end[0]}
        for node in reversed(reading.nodes):
            if node in before:
                before.update([item for item, _ in reading.sources[node]])
        self.between = after & before
        names = [_name(reading, v) or word for v, word in ((start, "start"), (end, "end"))]
        if self.end[0] not in after:
            raise ValueError(
                f"draw expected paths=(end, start) with a path from {names[0]} to {names[1]} in the graph"
                " that is drawn, got none: is it cut, or are they the wrong way round?"
            )
        self.names = names
        self.words = self._words(number_of_paths(start, end))

    def _is_start(self, output: Output) -> bool:
        return output[0] is self.start[0] and output[1] == self.start[1]

    def cells(self, lanes: Lanes) -> tuple[set[Cell], set[CellArrow], str]:
        """The cells on the paths, the arrows between them, and how many paths over these there are."""
        first = lanes.cells_of(self.start)
        members = lanes.members.items()
        first = first or {cell for cell, own in members if any(self._uses_start(node) for node in own)}
        last = lanes.cells_of(self.end)
        for i, (_, v) in enumerate(self.reading.results):
            if self._is_end(self.reading.source_of(v)):
                last |= lanes.result_cells.get(i, set())
        arrows = [a for a in lanes.arrows if not lanes.is_cut(a)]
        ahead, behind = _reached(arrows, first, 1), _reached(arrows, last, 0)
        found = {a for a in arrows if a.tail in ahead and a.head in behind}
        return ahead & behind, found, self._words(_count(found, first & behind, last))

    def _words(self, count: int) -> str:
        return f"{count} path{'s' * (count != 1)} from {self.names[0]} to {self.names[1]}"

    def _is_end(self, output: Output) -> bool:
        return output[0] is self.end[0] and output[1] == self.end[1]

    def _uses_start(self, node: Function) -> bool:
        """Is the start among its inputs, by itself or in an expression of parameters?"""
        waiting: list[Output] = list(self.reading.sources[node])
        while waiting:
            output = waiting.pop()
            if self._is_start(output):
                return True
            if isinstance(output[0], Function) and output[0].place.step is None:
                inner = self.reading.sources[output[0]]
                waiting += inner if len(inner) == 1 else []
        return False


def _name(reading: Reading, v: Variable) -> str:
    """The name of a value with its step."""
    item, _ = reading.source_of(v)
    step = item.place.step if isinstance(item, Function) else None
    has_number = step is None or NUMBER.search(v.name or "")
    return (v.name or "") + ("" if has_number or not v.name else str(step).translate(SUBSCRIPTS))


def _count(arrows: set[CellArrow], first: set[Cell], last: set[Cell]) -> int:
    """The number of paths over some arrows."""
    into: dict[Cell, list[Cell]] = {}
    missing: dict[Cell, int] = {}  # how many tails of a cell are not counted yet
    for a in arrows:
        into.setdefault(a.tail, []).append(a.head)
        missing[a.head] = missing.get(a.head, 0) + 1
    counts = dict.fromkeys(first, 1)
    waiting = [cell for cell in {*into, *first} if cell not in missing]
    while waiting:
        cell = waiting.pop()
        for head in into.get(cell, ()):
            counts[head] = counts.get(head, 0) + counts.get(cell, 0)
            missing[head] -= 1
            if not missing[head]:
                waiting.append(head)
    ends = [cell for cell in last if cell not in into]
    return sum([counts.get(cell, 0) for cell in ends])


def _reached(arrows: Iterable[CellArrow], cells: set[Cell], way: int) -> set[Cell]:
    """All cells that arrows lead to from some (way 1), or from which they lead there (way 0)."""
    onwards: dict[Cell, list[Cell]] = {}
    for a in arrows:
        onwards.setdefault(a[1 - way], []).append(a[way])
    reached, waiting = set[Cell](), list(cells)
    while waiting:
        cell = waiting.pop()
        if cell not in reached:
            reached.add(cell)
            waiting += onwards.get(cell, [])
    return reached


class PathMarks(Marks):
    """The marks of a drawing that shows paths: what is on them stands out, all else fades."""

    def __init__(self, reading: Reading, parts: Parts, given: Marked, paths: Paths, fold: Fold | None):
        super().__init__(reading, parts, given)
        of = fold.of if fold else lambda item: item
        self.paths = paths
        self.between = {of(item) for item in paths.between}
        self.on = {*self.between, of(paths.start[0])}
        self.end, self.start = of(paths.end[0]), of(paths.start[0])

        self._touched: set[Vertex] | None = None

    def faded(self, vertex: Vertex, arrows: Iterable[Arrow]) -> dot.Look:
        """The look of a vertex, such as a copy of a weight in a step, that no path touches."""
        if self._touched is None:
            self._touched = {v for a in arrows if self._is_on(a) for v in (a.tail, a.head)}
        return {} if vertex in self._touched else OFF_VERTEX

    def vertex(self, vertex: Hashable) -> tuple[list[str], dot.Look]:
        words, look = super().vertex(vertex)
        return words, {**(ON if vertex in self.on else OFF_VERTEX), **look}

    def arrow(self, *arrows: Hashable) -> dot.Look:
        is_on = any(isinstance(a, Arrow) and self._is_on(a) for a in arrows)
        return {**(ON if is_on else OFF), **super().arrow(*arrows)}

    def _is_on(self, a: Arrow) -> bool:
        tail, head = a.tail.item, a.head.item
        if isinstance(tail, Elided):
            tail = tail.what[0]
        if isinstance(head, Elided):
            return tail in self.on
        if tail is self.start and isinstance(tail, Function) and a.k != self.paths.start[1]:
            return False
        return tail in self.on and (head in self.between or (isinstance(head, int) and tail is self.end))
