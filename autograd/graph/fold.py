"""Folding: repeated steps become one body with delays. A `Fold` is read like a `Reading`."""

from collections.abc import Iterable

from ..core import Constant, Function, Variable
from ..ops.shape import Unstack
from .loops import Position, find_loops, series_name
from .reading import Item, Leaf, Output, Reading
from .timesteps import Frame

Delays = set[int | None]  # how many steps an arrow goes, 0 within one; None where a loop starts


class Fold:
    """A reading with its loops folded: the second iteration of a loop stands for all.

    Attributes:
        loops: in the order of their nodes; ``frame`` is that of every node in one.
        nodes, sources, results: as of a reading; a result that all steps have is one, and in ``series``.
        delays: of every arrow (tail, k, head), how many steps it goes.
        counts: of every node, how many it stands for.
        times: leaves that hold all steps, with the axis of time.
        inputs: leaves and constants that stand for another one in every step.
        input_names, output_names: names that fit all steps; those of outputs are given by users.
    """

    def __init__(self, reading: Reading):
        self.reading, self.sums = reading, reading.sums
        found = find_loops(reading)
        self.loops, self.inputs, self.input_names = found.loops, found.inputs, found.names
        self._positions, self._stands_for = found.positions, found.stands_for
        self.sources: dict[Item, list[Output]] = {}
        self.delays: dict[tuple[Item, int, Item | int], Delays] = {}
        self.counts: dict[Item, int] = {}
        self.times: dict[Leaf, int] = {}
        self._connect()
        self.frame: dict[Item, Frame] = {
            n: self._positions[n].loop.frame for n in self.nodes if n in self._positions
        }
        self.results: list[tuple[str, Variable]] = []
        self.result_of: dict[int, int] = {}  # number of a result of the reading -> its number here
        self.series: set[int] = set()
        self._merge_results()
        self.output_names = self._shared_names()

    def source_of(self, v: Variable) -> Output:
        """As of a `Reading`."""
        item, k = self.reading.source_of(v)
        return self.of(item), k

    def of(self, item: Item) -> Item:
        """The item that stands for an item of the reading."""
        return self._stands_for.get(item, item)

    def arrow(self, item: Item, k: int, head: Item | int) -> tuple[Item, int, Item | int]:
        """The arrow that stands for that from output ``k`` of an item to a node or a result."""
        if self._takes_parts(item, head):
            k = 0  # one part of a sequence stands for all
        return self.of(item), k, self.result_of[head] if isinstance(head, int) else self.of(head)

    def leaves(self) -> set[Leaf]:
        """All leaves and constants."""
        return {item for own in self.sources.values() for item, _ in own if not isinstance(item, Function)}

    def delay(self, item: Item, head: object) -> int | None:
        """How many steps before ``head`` an item of the reading was made; None outside of their loop."""
        tail_at, head_at = self._positions.get(item), self._positions.get(head)
        if tail_at is None or head_at is None or tail_at.loop is not head_at.loop:
            return None
        return head_at.iteration - tail_at.iteration

    def words(self, delays: Iterable[int | None], head: object) -> str:
        """How a folded picture names delays into ``head``: t−1, or t+1 in a loop from the last step."""
        position = self._positions.get(head)
        sign = "+" if position and position.loop.down else "−"
        return ", ".join([f"t{sign}{d}" for d in sorted({d for d in delays if d})])

    def directions(self) -> str:
        """What the delays of all loops mean; "" if there are none."""
        heads = [head for (_, _, head), delays in self.delays.items() if any(delays)]
        down = {self._positions[head].loop.down for head in heads if head in self._positions}
        if len(down) > 1:
            return "from the step before (t−1) or after (t+1)"
        return f"from the step {'after' if down.pop() else 'before'}" if down else ""

    # -- how it is made

    def _connect(self) -> None:
        for node in self.reading.nodes:
            head = self._stands_for.setdefault(node, node)
            self.sources.setdefault(head, [])
            self.counts[head] = self.counts.get(head, 0) + 1
            for item, k in self.reading.sources[node]:
                if isinstance(item, Unstack) and self._takes_parts(item, node):
                    source = self.reading.sources[item][0][0]
                    if not isinstance(source, Function):
                        self.times[source] = item.axis % len(source.shape)
                arrow = self.arrow(item, k, node)
                if arrow not in self.delays:
                    self.delays[arrow] = set()
                    self.sources[head].append(arrow[:2])
                self.delays[arrow].add(self._delay_or_start(item, node))
        nodes = [item for item in self.sources if isinstance(item, Function)]
        self.nodes = sorted(nodes, key=lambda n: n.number)

    def _takes_parts(self, item: Item, head: object) -> bool:
        """Does every iteration of a loop take its part of a sequence?"""
        return isinstance(item, Unstack) and head in self._positions and item not in self._positions

    def _delay_or_start(self, item: Item, head: Function) -> int | None:
        """The delay of an arrow: 0 within a step and outside of loops, None where a loop starts."""
        delay, position = self.delay(item, head), self._positions.get(head)
        if delay is not None or position is None:
            return delay or 0
        may_start = position.iteration == 0 or isinstance(item, Constant)
        return None if may_start and not self._is_used_again(self.of(item), position) else 0

    def _is_used_again(self, item: Item, position: Position) -> bool:
        """Does the second iteration use an item in the same place, so that it is no start?"""
        later = self.reading.nodes[position.loop.iteration(1)[position.offset]]
        return any(self.of(source) is item for source, _ in self.reading.sources[later])

    def _merge_results(self) -> None:
        """One result for those that are the same output of every step of a loop."""
        alike: dict[Output, list[tuple[str, Variable]]] = {}
        for path, v in self.reading.results:
            alike.setdefault(self.source_of(v), []).append((path, v))
        names = {source: self._name_of_all(same) for source, same in alike.items()}
        merged: dict[Output, int] = {}
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

    def _shared_names(self) -> dict[Output, str]:
        """Of every output that users named in all steps, the name that fits all."""
        named: dict[Output, list[str]] = {}
        for node in self.reading.nodes:
            for k in node.annotations:
                if name := name_of(node, k):
                    named.setdefault((self.of(node), k), []).append(name)
        everywhere = {key: names for key, names in named.items() if len(names) == self.counts[key[0]]}
        return {key: series_name(names) for key, names in everywhere.items()}


def name_of(item: Item, k: int) -> str:
    """The name that a user gave to an output of a node."""
    return (item.name_of(k) or "") if isinstance(item, Function) else ""
