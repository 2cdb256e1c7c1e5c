"""Which time steps stand where: loops over time, told apart by the order in which they were recorded.

A step number alone does not say enough: an encoder and a decoder both count from 0. Nodes of one scope
whose steps run on in one direction are one loop; loops whose nodes mix are one as well. Loops stand in
the same row of frames when each step of one depends on no other step of the other (layers on top of
each other, the two directions over a sequence). A row that depends on another through nodes outside of
all steps stands above it, and so does the recorded backward pass of a row; else to its right. A node
outside of all steps that needs nothing but one step stands in that step.
"""

from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from ..core import Function
from .reading import Item, Reading


class Frame(NamedTuple):
    """A time step of a row; frames sort in the order in which they stand."""

    row: int
    step: int


class Rows:
    """The frames of a reading.

    Attributes:
        frame: of every node in a step.
        frames: in the order in which they stand.
        levels, titles: of every row, how high it stands, and what tells it apart from others.
        units: of every row, what its steps count.
        orders: of every row; of a recorded backward pass above 0.
    """

    def __init__(self, reading: Reading):
        self.frame: dict[Item, Frame] = {}
        self.levels: list[int] = []
        self.units: list[str] = []
        self.orders: list[int] = []
        self._sources = reading.sources
        self._steps: list[set[int]] = []
        self._scopes: list[set[str]] = []
        self._last_row: dict[Item, int] = {}  # that a node outside of all steps depends on
        outside = deque([n for n in reading.nodes if n.place.step is None])
        for loop in _loops(reading.nodes):
            between = self._note_until(loop, outside)
            self._place(loop)
            for node in between:
                self._last_row.pop(node, None)
                self._note(node)
        for node in outside:
            self._note(node)
        self.frames = [Frame(row, step) for row, own in enumerate(self._steps) for step in sorted(own)]
        self.titles = _titles(self._scopes, self.orders)

    def _note_until(self, loop: list[Function], outside: deque[Function]) -> list[Function]:
        """Note nodes outside of all steps up to the end of a loop; returns those that need the loop."""
        inside: set[Function] = set(loop)
        between: dict[Function, None] = {}
        while outside and outside[0].number < loop[-1].number:
            node = outside.popleft()
            needs_loop = any(item in inside or item in between for item, _ in self._sources[node])
            if needs_loop:
                between[node] = None
            self._note(node, may_stand_in_step=not needs_loop)
        return list(between)

    def _note(self, node: Function, may_stand_in_step: bool = True) -> None:
        """Put a node outside of all steps into the only step that it needs, or note the last row it needs."""
        frames = {self.frame[s] for s, _ in self._sources[node] if s in self.frame}
        rows = [frame.row for frame in frames]
        rows += [self._last_row[s] for s, _ in self._sources[node] if s in self._last_row]
        is_alone = len(frames) == len(rows) == 1 and self.orders[rows[0]] == node.place.order
        if may_stand_in_step and is_alone:
            self.frame[node] = frames.pop()
        elif rows:
            self._last_row[node] = max(rows)

    def _place(self, loop: list[Function]) -> None:
        """Put a loop into the last row, if no step needs another step there, or into a new one."""
        through, direct = self._needs(loop)
        steps, order, last = {n.place.step or 0 for n in loop}, loop[0].place.order, len(self.levels) - 1
        joins = last >= 0 and through < last and order == self.orders[last]
        if not (joins and direct.get(last, steps == self._steps[last])):
            below = [self.levels[row] + (self.orders[row] < order) for row in direct]
            below += [self.levels[through] + 1] if through >= 0 else []
            self.levels.append(max(below, default=0))
            self.units.append(loop[0].place.unit)
            self.orders.append(order)
            self._steps.append(set())
            self._scopes.append(set())
        self._steps[-1] |= steps
        self._scopes[-1] |= {n.place.scope for n in loop}
        for node in loop:
            self.frame[node] = Frame(len(self.levels) - 1, node.place.step or 0)

    def _needs(self, loop: list[Function]) -> tuple[int, dict[int, bool]]:
        """The last row that a loop needs by way of nodes outside, or -1; and of every row that its steps
        need themselves, whether each needs no other step than its own.
        """
        inside = set(loop)
        through, direct = -1, dict[int, bool]()
        for node in loop:
            for item, _ in self._sources[node]:
                if item in self._last_row:
                    through = max(through, self._last_row[item])
                elif item in self.frame and item not in inside:
                    row, step = self.frame[item]
                    direct[row] = direct.get(row, True) and step == node.place.step
        return through, direct


def _loops(nodes: list[Function]) -> list[list[Function]]:
    """The loops over time, in the order in which they start; each in the order of its nodes."""
    visits: dict[tuple[str, int], list[list[Function]]] = {}  # per scope, runs of nodes made in one place
    for node in nodes:
        if node.place.step is not None:
            runs = visits.setdefault((node.place.scope, node.place.order), [])
            if runs and runs[-1][0].place is node.place:
                runs[-1].append(node)
            else:
                runs.append([node])
    found = [loop for runs in visits.values() for loop in _of_one_direction(runs)]
    merged: list[list[Function]] = []
    end = -1
    for loop in sorted(found, key=lambda loop: loop[0].number):
        if merged and loop[0].number < end:
            merged[-1] += loop
        else:
            merged.append(loop)
        end = max(end, loop[-1].number)
    return [sorted(loop, key=lambda n: n.number) for loop in merged]


def _of_one_direction(runs: list[list[Function]]) -> Iterator[list[Function]]:
    """Loops whose steps run on in one direction."""
    loop: list[list[Function]] = []
    direction = 0
    for run in runs:
        change = _sign(run, loop[-1]) if loop else 0
        if change and direction and change != direction:
            again = len(loop) > 1 and not _sign(loop[-1], loop[-2])  # 0 1 2 | 2 1 0
            start = [loop.pop()] if again else []
            yield [node for run in loop for node in run]
            loop, direction = start, change if start else 0
        loop.append(run)
        direction = direction or change
    yield [node for run in loop for node in run]


def _sign(run: list[Function], before: list[Function]) -> int:
    change = (run[0].place.step or 0) - (before[0].place.step or 0)
    return (change > 0) - (change < 0)


def _titles(scopes: list[set[str]], orders: list[int]) -> list[str]:
    """What tells rows apart: by their scopes, and a recorded backward pass by what it goes back over."""
    titles = shared_titles([sorted(own) for own in scopes])
    if len(set(orders)) > 1:
        paths = [title or ".".join(_shared(sorted(own))) for title, own in zip(titles, scopes, strict=True)]
        titles = ["backward of " * n + (path or "forward") for n, path in zip(orders, paths, strict=True)]
    return titles


def _shared(scopes: list[str]) -> list[str]:
    """The parts that all paths start with."""
    parts = [s.split(".") for s in scopes]
    n = 0
    while all(len(p) > n and p[n] == parts[0][n] for p in parts):
        n += 1
    return parts[0][:n]


def shared_titles(scopes: list[list[str]]) -> list[str]:
    """What tells groups of nodes apart: the paths common to each, without what all share at both ends."""
    paths = [_shared(own) for own in scopes]
    if len(paths) < 2:
        return [""] * len(paths)
    start = len(_shared([".".join(p) for p in paths]))
    backwards = [p[start:][::-1] for p in paths]
    end = len(_shared([".".join(p) for p in backwards])) if all(backwards) else 0
    return [".".join(p[start : len(p) - end]) for p in paths]
