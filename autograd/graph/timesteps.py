"""Which time steps stand where: loops over time, told apart by the order in which they were recorded.

A step number alone does not say enough: an encoder and a decoder both count from 0. Nodes of one scope
whose steps run on in one direction are one loop; loops whose nodes mix are one as well. Loops stand in
the same row of frames when each step of one depends on no other step of the other (layers on top of
each other, the two directions over a sequence). A row that depends on another through nodes outside of
all steps stands above it, and so does the recorded backward pass of a row; else to its right. A node
outside of all steps that needs nothing but one step stands in that step.
"""

from typing import NamedTuple

from ..core import Function
from .reading import Reading


class Frame(NamedTuple):
    """A time step of a row; frames sort in the order in which they stand."""

    row: int
    step: int


class Rows:
    """The frames of a reading: ``frame[node]``, ``frames`` in order, and per row a level and a title."""

    def __init__(self, reading: Reading):
        self.frame: dict[Function, Frame] = {}
        self.levels: list[int] = []
        self.units: list[str] = []  # what the steps of a row count
        self.orders: list[int] = []  # of a row of a recorded backward pass above 0
        scopes: list[set[str]] = []
        steps: list[set[int]] = []
        outside: dict[Function, int] = {}  # the last row that a node outside of all steps depends on
        waiting = iter([n for n in reading.nodes if n.place.step is None])
        ahead = next(waiting, None)
        for loop in _loops(reading.nodes):
            inside = set(loop)
            between: dict[Function, None] = {}  # nodes outside that need this loop, which has no row yet
            while ahead is not None and ahead.number < loop[-1].number:
                if any(s in inside or s in between for s, _ in reading.sources[ahead]):
                    between[ahead] = None
                self._note(ahead, reading, outside, ahead not in between)
                ahead = next(waiting, None)
            through = -1  # the last row that reaches this loop by way of nodes outside
            direct: dict[int, bool] = {}  # row -> do steps depend on the same step only?
            for node in loop:
                for item, _ in reading.sources[node]:
                    if item in outside:
                        through = max(through, outside[item])
                    elif item in self.frame and item not in inside:
                        row, step = self.frame[item]
                        direct[row] = direct.get(row, True) and step == node.place.step
            own = {n.place.step for n in loop if n.place.step is not None}
            order = loop[0].place.order
            last = len(self.levels) - 1
            joins = last >= 0 and through < last and direct.get(last, own == steps[last])
            joins = joins and order == self.orders[last]
            row = last if joins else last + 1
            if not joins:
                below = [self.levels[r] + (self.orders[r] < order) for r in direct]
                below += [self.levels[through] + 1] if through >= 0 else []
                self.levels.append(max(below, default=0))
                self.units.append(loop[0].place.unit)
                self.orders.append(order)
                steps.append(set())
                scopes.append(set())
            steps[row] |= own
            scopes[row] |= {n.place.scope for n in loop}
            for node in loop:
                self.frame[node] = Frame(row, node.place.step or 0)
            for node in between:
                outside.pop(node, None)
                self._note(node, reading, outside)
        while ahead is not None:
            self._note(ahead, reading, outside)
            ahead = next(waiting, None)
        self.frames = [Frame(row, step) for row, own in enumerate(steps) for step in sorted(own)]
        self.titles = _titles(scopes, self.orders)

    def _note(
        self, node: Function, reading: Reading, outside: dict[Function, int], settled: bool = True
    ) -> None:
        """Put a node outside of all steps into the only step that it needs, or note the last row it needs."""
        frames = {self.frame[s] for s, _ in reading.sources[node] if s in self.frame}
        rows = [frame.row for frame in frames]
        rows += [outside[s] for s, _ in reading.sources[node] if s in outside]
        if settled and len(frames) == len(rows) == 1 and self.orders[rows[0]] == node.place.order:
            self.frame[node] = frames.pop()
        elif rows:
            outside[node] = max(rows)


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
    found: list[list[Function]] = []
    for runs in visits.values():
        loop: list[list[Function]] = []
        direction = 0
        for run in runs:
            change = _sign(run, loop[-1]) if loop else 0
            if change and direction and change != direction:
                again = len(loop) > 1 and not _sign(loop[-1], loop[-2])  # 0 1 2 | 2 1 0
                start = [loop.pop()] if again else []
                found.append([node for r in loop for node in r])
                loop, direction = start, change if start else 0
            loop.append(run)
            direction = direction or change
        found.append([node for r in loop for node in r])
    merged: list[list[Function]] = []
    ends = -1
    for loop_nodes in sorted(found, key=lambda loop: loop[0].number):
        if merged and loop_nodes[0].number < ends:
            merged[-1] += loop_nodes
        else:
            merged.append(loop_nodes)
        ends = max(ends, loop_nodes[-1].number)
    return [sorted(loop, key=lambda n: n.number) for loop in merged]


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
    turned = [p[start:][::-1] for p in paths]
    end = len(_shared([".".join(p) for p in turned])) if all(turned) else 0
    return [".".join(p[start : len(p) - end]) for p in paths]
