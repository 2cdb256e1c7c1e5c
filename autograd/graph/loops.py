"""Finding loops: repeated steps are found by structure in any Python loop.

The nodes in the order of their making are a word; a loop is a stretch of it that repeats. A repetition
counts as a loop if every iteration is wired like the one before: to itself, to an earlier iteration (a
delay), to the same nodes outside, to its own slice of a sequence or its own input. Where an iteration
has something else instead of a delay, the loop starts.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from ..core import Constant, Function, Parameter, Variable
from ..ops.shape import Concatenate, Index, Stack, Unstack
from .reading import Item, Leaf, Reading
from .timesteps import Frame

MOST_TRIED = 48  # periods tried per starting point
MOST_WORK = 60  # comparisons per node, over all starting points


class Loop:
    """``size`` iterations of ``period`` nodes from number ``start`` on; ``down``: steps count down."""

    def __init__(self, start: int, period: int, size: int, down: bool):
        self.start, self.period, self.size, self.down = start, period, size, down
        self.frame = Frame(start, 0)

    def iteration(self, n: int) -> range:
        """The numbers of its nodes."""
        return range(self.start + n * self.period, self.start + (n + 1) * self.period)


class Position(NamedTuple):
    """Where a node stands: in which iteration of which loop, and how many nodes after its first."""

    loop: Loop
    iteration: int
    offset: int


class Loops(NamedTuple):
    """The loops of a graph.

    Attributes:
        loops: in the order of their nodes.
        positions: of every node in a loop.
        stands_for: node or leaf of any iteration -> the one of the second iteration, that stands for all.
        inputs: leaves and constants among these, each of which stands for another one in every step.
        names: of those, their common names.
    """

    loops: list[Loop]
    positions: dict[object, Position]
    stands_for: dict[Item, Item]
    inputs: set[Leaf]
    names: dict[Leaf, str]


def find_loops(reading: Reading) -> Loops:
    """The loops of a graph, the longest stretch first at every node where one may start."""
    found = Loops([], {}, {}, set(), {})
    word = _Word(reading.nodes)
    i, work = 0, MOST_WORK * len(reading.nodes)
    while i < len(reading.nodes) and work > 0:
        periods, compared = word.periods(i)
        work -= compared
        for covered, period in sorted(periods, key=lambda p: (-p[0], p[1])):
            work -= covered
            loop = Loop(i, period, covered // period, word.counts_down(i, i + period))
            wiring = _Wiring(loop, reading, found)
            if wiring.is_alike():
                found.loops.append(loop)
                found.positions.update(wiring.found.positions)
                found.stands_for.update(wiring.found.stands_for)
                found.inputs.update(wiring.found.inputs)
                found.names.update(wiring.found.names)
                i += covered
                break
        else:
            i += 1
    return found


class _Word:
    """Nodes as letters: equal ones do the same in the same module."""

    def __init__(self, nodes: Sequence[Function]):
        self.letters = [
            (type(n), n.symbol, n.place.scope, n.place.step is None, len(n.edges), n.out_shape) for n in nodes
        ]
        self.steps = steps = [n.place.step for n in nodes]
        self.may_start = [step is None or i == 0 or step != steps[i - 1] for i, step in enumerate(steps)]
        self.next: list[int] = [0] * len(nodes)  # the next node of the same letter; 0 for none
        last: dict[Any, int] = {}
        for i in range(len(nodes) - 1, -1, -1):
            self.next[i] = last.get(self.letters[i], 0)
            last[self.letters[i]] = i

    def counts_down(self, i: int, j: int) -> bool:
        """Is the later of two nodes in an earlier step?"""
        return (self.steps[i] or 0) > (self.steps[j] or 0)

    def periods(self, i: int) -> tuple[list[tuple[int, int]], int]:
        """What repeats from a node on: pairs (nodes covered, period); and how many comparisons it took."""
        periods: list[tuple[int, int]] = []
        j, compared = i, 0
        for _ in range(MOST_TRIED if self.may_start[i] else 0):
            j = self.next[j]
            if not j or any(covered > j - i for covered, _ in periods):
                break
            same = self._same(i, j)
            compared += same + 1
            if same >= j - i:
                periods.append(((1 + same // (j - i)) * (j - i), j - i))
        return periods, compared

    def _same(self, i: int, j: int) -> int:
        """How many letters from two nodes on are the same."""
        same = 0
        if self.may_start[j]:
            while j + same < len(self.letters) and self.letters[i + same] == self.letters[j + same]:
                same += 1
        return same


class _Wiring:
    """How the iterations of a stretch of nodes are wired; ``found`` is what comes of it if they are alike."""

    def __init__(self, loop: Loop, reading: Reading, outside: Loops):
        self.loop, self.reading, self.outside = loop, reading, outside
        self.found = Loops([loop], {}, {}, set(), {})
        for n in range(loop.size):
            for offset, (i, second) in enumerate(zip(loop.iteration(n), loop.iteration(1), strict=True)):
                self.found.positions[reading.nodes[i]] = Position(loop, n, offset)
                self.found.stands_for[reading.nodes[i]] = reading.nodes[second]
        starts = [reading.nodes[loop.iteration(n)[0]] for n in range(loop.size)]
        self.advances = len({node.place.step for node in starts}) > 1  # by more than an index
        self.has_shared = False  # leaves that all iterations use
        self.has_own = False  # leaves that are others in every iteration

    def is_alike(self) -> bool:
        """Is every iteration wired like the others?"""
        loop, nodes, sources = self.loop, self.reading.nodes, self.reading.sources
        for offset in range(loop.period):
            rows = [sources[nodes[loop.iteration(n)[offset]]] for n in range(loop.size)]
            if len({len(row) for row in rows[1:]}) != 1:
                return False
            for at in range(len(rows[1])):
                given = [(n, *row[at]) for n, row in enumerate(rows) if at < len(row)]
                if not self._is_same_input(given):
                    return False
        if self.has_own and not self.has_shared:
            return False  # equal layers with weights of their own are no loop
        return self.advances or all(self._takes_steps(nodes[i]) for i in loop.iteration(0))

    def _is_same_input(self, given: list[tuple[int, Item, int]]) -> bool:
        """Do all iterations get one input alike? Given as pairs (item, k), each with its iteration."""
        relations = [self._relation(n, item, k) for n, item, k in given]
        inside = [r for (n, _, _), r in zip(given, relations, strict=True) if r[0] == "inside" and n]
        usual = inside[-1] if inside else relations[-1]
        kind, delay, *_ = usual
        self.advances = self.advances or kind in ("slice", "other loop") or (kind == "inside" and delay != 0)
        others = [(n, item) for (n, item, _), r in zip(given, relations, strict=True) if r != usual]
        if not others:
            self.has_shared = self.has_shared or isinstance(given[0][1], Variable)
            return True
        if kind == "inside":
            return delay != 0 and self._starts_again([item for n, item in others if n >= delay])
        items = [item for _, item, _ in given]
        is_only_first = len(set(items[1:])) == 1 and self.loop.size > 2
        return is_only_first or self._are_inputs(items)

    def _relation(self, n: int, item: Item, k: int) -> tuple[Any, ...]:
        """How iteration ``n`` reaches an input, in words that fit every iteration."""
        if position := self.found.positions.get(item):
            return "inside", n - position.iteration, position.offset, k
        if position := self.outside.positions.get(item):
            return "other loop", position.loop, position.offset, k
        return ("slice", item) if isinstance(item, Unstack) else ("same", id(item), k)

    def _starts_again(self, cuts: list[Item]) -> bool:
        """Is there a constant wherever a delay is missing, as with truncated backpropagation?"""
        constants = [item for item in cuts if isinstance(item, Constant)]
        if constants:
            self.found.stands_for.update(dict.fromkeys(constants, constants[0]))
            self.found.names.setdefault(constants[0], constants[0].name or "cut")
        return len(constants) == len(cuts)

    def _are_inputs(self, items: list[Item]) -> bool:
        """Are these leaves or constants alike, one for every iteration?"""
        leaves = [item for item in items if not isinstance(item, Function | Parameter)]
        if len(leaves) < len(items) or len({leaf.shape for leaf in leaves}) > 1:
            return False
        self.advances = True
        self.has_own = self.has_own or any(isinstance(leaf, Variable) for leaf in leaves)
        self.found.stands_for.update(dict.fromkeys(leaves, leaves[1]))
        self.found.inputs.add(leaves[1])
        names = [leaf.name or "" for leaf in leaves]
        if len(set(names)) > 1:
            self.found.names[leaves[1]] = series_name(names)
        return True

    def _takes_steps(self, node: Function) -> bool:
        """Can an index stand for time? Not one that takes apart what is not one thing in every step, such
        as the last states of two directions.
        """
        source = self.reading.sources[node][0][0] if isinstance(node, Index) else None
        if not isinstance(source, Stack | Concatenate):
            return True
        made = set()
        for item, k in self.reading.sources[source]:
            position = self.outside.positions.get(item)
            scope = item.place.scope if isinstance(item, Function) else ""
            made.add((position.loop if position else None, position.offset if position else 0, k, scope))
        is_whole = isinstance(source, Stack) and len(node.out_shape) == len(source.out_shape)  # y[..., :n]
        return len(made) == 1 and not is_whole


def series_name(names: list[str]) -> str:
    """One name for all: h₁, h₂, ... or h[0], h[1], ... are hₜ; "" for those that have nothing in common."""
    if len(set(names)) == 1:
        return names[0]
    parts = [re.split(r"([0-9₀-₉]+)", name) for name in names]
    if len(set(map(len, parts))) > 1:
        return ""
    differ = [i for i, part in enumerate(zip(*parts, strict=True)) if len(set(part)) > 1]
    if len(differ) != 1 or differ[0] % 2 == 0:  # not one number
        return ""
    before, after = "".join(parts[0][: differ[0]]), "".join(parts[0][differ[0] + 1 :])
    return f"{before.rstrip('_[(')}ₜ{after.lstrip('])')}"
