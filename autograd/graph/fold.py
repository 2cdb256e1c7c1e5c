"""Folding: repeated steps become one body with delays, found by structure in any Python loop.

The nodes in the order of their making are a word; a loop is a stretch of it that repeats. A repetition
counts as a loop if every iteration is wired like the one before: to itself, to an earlier iteration (a
delay), to the same nodes outside, to its own slice of a sequence or its own input. Where an iteration
has something else instead of a delay, the loop starts. A `Fold` is read like a `Reading`.
"""

import re
from collections.abc import Iterable
from typing import Any

from ..core import Constant, Function, Parameter, Variable
from ..ops.shape import Concatenate, Index, Stack, Unstack
from .reading import Item, Reading
from .timesteps import Frame

Delays = set[int | None]  # how many steps an arrow goes, 0 within one; None where a loop starts
MOST_TRIED = 48  # periods tried per starting point
MOST_WORK = 60  # comparisons per node, over all starting points


class Loop:
    """``size`` iterations of ``period`` nodes from position ``start`` on; ``down``: steps count down."""

    def __init__(self, start: int, period: int, size: int, down: bool):
        self.start, self.period, self.size, self.down = start, period, size, down
        self.frame = Frame(start, 0)


class Fold:
    """A reading with its loops folded: the second iteration of a loop stands for all.

    ``delays[tail, k, head]`` tells how many steps an arrow goes. ``times`` are leaves that hold all steps,
    with the axis of time, and ``counts`` how many items each one left stands for.
    """

    def __init__(self, reading: Reading):
        self.reading = reading
        self.results: list[tuple[str, Variable]] = []
        self.sums = reading.sums
        self.loops: list[Loop] = []
        self.times: dict[Item, int] = {}
        self.names: dict[Item, str] = {}  # of inputs that are others in every step
        self.inputs: set[Item] = set()  # stand for another one in every step
        self._of: dict[Item, Item] = {}  # what stands for what
        self._where: dict[Item, tuple[Loop, int, int]] = {}  # node -> loop, iteration, position in the body
        self._find()
        self.nodes: list[Function] = []
        self.sources: dict[Function, list[tuple[Item, int]]] = {}
        self.delays: dict[tuple[Item, int, Item], Delays] = {}
        self.counts: dict[Item, int] = {}
        self._connect()
        self.frame = {n: self._where[n][0].frame for n in self.nodes if n in self._where}
        self.series: set[int] = set()  # results that stand for one of every step
        self.marked: dict[tuple[Item, int], str] = {}  # names by users, for all that an output stands for
        self._merge_results()
        self._share_names()

    def source_of(self, v: Variable) -> tuple[Item, int]:
        """As of a `Reading`."""
        item, k = self.reading.source_of(v)
        return self.of(item), k

    def of(self, item: Item) -> Item:
        """What stands for an item of the reading."""
        return self._of.get(item, item)

    def arrow(self, item: Item, k: int, head: Any) -> tuple[Item, int, Any]:
        """What stands for the arrow from output ``k`` of an item to a node of the reading, or a result."""
        if isinstance(item, Unstack) and head in self._where and item not in self._where:
            k = 0  # one part of a sequence stands for all
        return self.of(item), k, self.result_of[head] if isinstance(head, int) else self.of(head)

    def leaves(self) -> set[Item]:
        """All leaves and constants."""
        return {item for own in self.sources.values() for item, _ in own if not isinstance(item, Function)}

    def delay(self, item: Item, head: Item) -> int | None:
        """How many steps before ``head`` an item of the reading was made; None outside of their loop."""
        there, here = self._where.get(item), self._where.get(head)
        return here[1] - there[1] if here and there and here[0] is there[0] else None

    def is_delayed(self, item: Item, head: Item) -> bool:
        """Does ``item`` stand in an earlier iteration of the loop that ``head`` is in?"""
        there, here = self._where.get(item), self._where.get(head)
        return bool(there and here) and there[0] is here[0] and there[1] < here[1]  # type: ignore[index]

    def words(self, delays: Iterable[int | None], head: Item) -> str:
        """How a folded picture names delays into ``head``: t−1, or t+1 in a loop from the last step."""
        there = self._where.get(head)
        sign = "+" if there and there[0].down else "−"
        return ", ".join([f"t{sign}{d}" for d in sorted({d for d in delays if d})])

    def directions(self) -> str:
        """What the delays of all loops mean; "" if there are none."""
        heads = [h for (_, _, h), delays in self.delays.items() if any(delays) and h in self._where]
        down = {self._where[h][0].down for h in heads}
        if len(down) > 1:
            return "from the step before (t−1) or after (t+1)"
        return f"from the step {'after' if down.pop() else 'before'}" if down else ""

    # -- finding loops

    def _find(self) -> None:
        nodes = self.reading.nodes
        signs = [
            (type(n), n.symbol, n.place.scope, n.place.step is None, len(n.edges), n.out_shape) for n in nodes
        ]
        steps = [n.place.step for n in nodes]
        starts = [step is None or i == 0 or step != steps[i - 1] for i, step in enumerate(steps)]
        after: list[int] = [0] * len(nodes)  # the next node of the same signature; 0 for none
        last: dict[Any, int] = {}
        for i in range(len(nodes) - 1, -1, -1):
            after[i] = last.get(signs[i], 0)
            last[signs[i]] = i
        i, work = 0, MOST_WORK * len(nodes)
        while i < len(nodes) and work > 0:
            periods: list[tuple[int, int]] = []  # coverage and minus the period
            j = i
            for _ in range(MOST_TRIED if starts[i] else 0):
                j = after[j]
                if not j or any(covered > j - i for covered, _ in periods):
                    break
                same = 0
                while starts[j] and j + same < len(nodes) and signs[i + same] == signs[j + same]:
                    same += 1
                work -= same + 1
                if same >= j - i:
                    periods.append(((1 + same // (j - i)) * (j - i), i - j))
            for covered, period in sorted(periods, reverse=True):
                down = (steps[i] or 0) > (steps[i - period] or 0)
                loop = Loop(i, -period, covered // -period, down)
                work -= covered
                if self._wire(loop):
                    self.loops.append(loop)
                    i += covered
                    break
            else:
                i += 1

    def _wire(self, loop: Loop) -> bool:
        """Is every iteration wired like the others? If so, note what stands for what."""
        nodes, size = self.reading.nodes, loop.size
        where: dict[Item, tuple[Loop, int, int]] = {}
        of: dict[Item, Item] = {}
        for n in range(size):
            for b in range(loop.period):
                node = nodes[loop.start + n * loop.period + b]
                where[node] = loop, n, b
                of[node] = nodes[loop.start + loop.period + b]
        steps = {nodes[loop.start + n * loop.period].place.step for n in range(size)}
        shared = own = False
        moves = len(steps) > 1  # does anything but an index tell iterations apart?
        for b in range(loop.period):
            rows = [self.reading.sources[nodes[loop.start + n * loop.period + b]] for n in range(size)]
            if len({len(row) for row in rows[1:]}) != 1:
                return False
            for position in range(len(rows[1])):
                found = [(n, *row[position]) for n, row in enumerate(rows) if position < len(row)]
                ways = [(n, item, self._way(item, k, n, where)) for n, item, k in found]
                inside = [way for n, _, way in ways if way[0] == "inside" and n]
                usual = inside[-1] if inside else ways[-1][2]
                moves = moves or usual[0] in ("slice", "other") or (usual[0] == "inside" and usual[1] != 0)
                others = [(n, item) for n, item, way in ways if way != usual]
                if not others:
                    shared = shared or isinstance(found[0][1], Variable)
                elif usual[0] == "inside":
                    delay = usual[1]
                    cuts = [item for n, item in others if n >= delay]
                    if not delay or not all(isinstance(item, Constant) for item in cuts):
                        return False
                    if cuts:  # the loop starts again, as with truncated backpropagation
                        of.update(dict.fromkeys(cuts, cuts[0]))
                        self.names.setdefault(cuts[0], cuts[0].name or "cut")
                elif len({item for _, item, _ in ways[1:]}) == 1 and size > 2:
                    continue  # only the first iteration has another
                else:
                    items = [item for _, item, _ in ways]
                    if any(isinstance(i, Function | Parameter) for i in items):
                        return False
                    if len({i.shape for i in items}) > 1:
                        return False
                    own, moves = own or any(isinstance(i, Variable) for i in items), True
                    of.update(dict.fromkeys(items, items[1]))
                    self.inputs.add(items[1])
                    self._name(items)
        if own and not shared:
            return False  # equal layers with weights of their own are no loop
        if not moves and not all(map(self._takes_steps, nodes[loop.start : loop.start + loop.period])):
            return False
        self._where.update(where)
        self._of.update(of)
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
            loop, _, b = self._where.get(item, (None, 0, 0))
            scope = item.place.scope if isinstance(item, Function) else ""
            made.add((loop, b, k, scope))
        whole = isinstance(source, Stack) and len(node.out_shape) == len(source.out_shape)  # y[..., :n]
        return len(made) == 1 and not whole

    def _way(self, item: Item, k: int, n: int, where: dict[Item, tuple[Loop, int, int]]) -> tuple[Any, ...]:
        """How iteration ``n`` reaches an input, in words that fit every iteration."""
        if item in where:
            _, m, b = where[item]
            return "inside", n - m, b, k
        if item in self._where:
            other, _, b = self._where[item]
            return "other", other, b, k
        return ("slice", item) if isinstance(item, Unstack) else ("same", id(item), k)

    def _name(self, items: list[Item]) -> None:
        names = [i.name or "" for i in items]
        if len(set(names)) > 1:
            self.names[items[1]] = series_name(names)

    # -- the folded graph

    def _connect(self) -> None:
        of, where = self._of, self._where
        known: set[Item] = set()
        for node in self.reading.nodes:
            head = of.setdefault(node, node)
            here = where.get(node)
            if head not in known:
                known.add(head)
                self.nodes.append(head)
                self.sources[head] = []
            self.counts[head] = self.counts.get(head, 0) + 1
            for item, k in self.reading.sources[node]:
                there = where.get(item)
                if here and isinstance(item, Unstack) and not there:
                    source = self.reading.sources[item][0][0]
                    if not isinstance(source, Function):
                        self.times[source] = item.axis % len(source.shape)
                tail = self.of(item)
                delay: int | None = 0
                if here and there and here[0] is there[0]:
                    delay = here[1] - there[1]
                elif here and (here[1] == 0 or isinstance(item, Constant)) and not self._again(here, tail):
                    delay = None
                arrow = self.arrow(item, k, node)
                if arrow not in self.delays:
                    self.delays[arrow] = set()
                    self.sources[head].append(arrow[:2])
                self.delays[arrow].add(delay)
        self.nodes.sort(key=lambda n: n.number)

    def _merge_results(self) -> None:
        """One result for those that are the same output of every step of a loop."""
        alike: dict[tuple[Item, int], list[tuple[str, Variable]]] = {}
        for path, v in self.reading.results:
            alike.setdefault(self.source_of(v), []).append((path, v))
        names = {source: self._name_of_all(same) for source, same in alike.items()}
        self.result_of: dict[int, int] = {}  # number of a result of the reading -> its number here
        merged: dict[tuple[Item, int], int] = {}
        for i, (path, v) in enumerate(self.reading.results):
            source = self.source_of(v)
            self.result_of[i] = merged.get(source, len(self.results))
            if source in merged:
                continue
            if (name := names[source]) is not None:
                merged[source] = len(self.results)
            self.results.append((path if name is None else name, v))
        self.series = set(merged.values())

    def _name_of_all(self, same: list[tuple[str, Variable]]) -> str | None:
        """The name of results that are the same output of every step; None if they are fewer."""
        sources = [self.reading.source_of(v) for _, v in same]
        if len(same) < 2 or len({id(item) for item, _ in sources}) != self.counts.get(self.of(sources[0][0])):
            return None
        own, given = [name_of(*source) for source in sources], [path for path, _ in same]
        return series_name(own if all(own) and all(path.endswith("]") for path in given) else given)

    def _share_names(self) -> None:
        named: dict[tuple[Item, int], list[str]] = {}
        for node in self.reading.nodes:
            for k in node.annotations:
                if name := name_of(node, k):
                    named.setdefault((self.of(node), k), []).append(name)
        for (item, k), names in named.items():
            if len(names) == self.counts[item]:
                self.marked[item, k] = series_name(names)

    def _again(self, here: tuple[Loop, int, int], tail: Item) -> bool:
        """Does the second iteration use ``tail`` in the same place, so that it is no start?"""
        loop, _, b = here
        later = self.reading.nodes[loop.start + loop.period + b]
        return any(self._of.get(item, item) is tail for item, _ in self.reading.sources[later])


def name_of(item: Item, k: int) -> str:
    """The name that a user gave to an output of a node."""
    return (item.name_of(k) or "") if isinstance(item, Function) else ""


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
