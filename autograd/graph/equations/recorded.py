"""What equations are made of: the nodes behind a result, their rules and operands, and who uses what."""

from collections.abc import Sequence
from typing import Any

from ...core import SCALARS, Function
from ..loops import Loop, find_loops
from ..reading import Item, Output, Reading
from .rules import Rule, rule_of


class Recorded:
    """A graph as the equations see it.

    Args:
        reading: the graph.
        wanted: the values whose gradients are asked for.

    Attributes:
        loops: of the graph.
        rules: of its nodes.
        operands: of every node, its inputs: values and numbers.
        uses: of every value, the nodes that use it, and as which input.
        results: with the names that they have been given.
        on_path: the nodes that depend on what is wanted.
    """

    def __init__(self, reading: Reading, wanted: Sequence[Output]):
        self.reading, self.wanted, self._wanted = reading, list(wanted), set(wanted)
        self.loops = find_loops(reading)
        self._steps = {loop: self._counted(loop) for loop in self.loops.loops}
        self.rules = {node: self._rule(node) for node in reading.nodes}
        self.operands = {node: self._operands(node) for node in reading.nodes}
        self.results = {reading.source_of(v): path or v.name or "" for path, v in reading.results}
        self.uses: dict[Output, list[tuple[Function, int]]] = {}
        for node, operands in self.operands.items():
            for i, value in enumerate(operands):
                if isinstance(value, tuple):
                    self.uses.setdefault(value, []).append((node, i))
        self.on_path: set[Item] = set()
        for node in reading.nodes:
            if any(self.leads(value) for value in self.operands[node]):
                self.on_path.add(node)

    def leads(self, value: Any) -> bool:
        """Is a gradient of this value asked for, or needed for one?"""
        return isinstance(value, tuple) and (value in self._wanted or value[0] in self.on_path)

    def is_wanted(self, value: Output) -> bool:
        """Is its gradient asked for?"""
        return value in self._wanted

    def group(self, node: Function) -> tuple[Any, int | None]:
        """What a node is one of, and in which step: in a loop, the same operation of all steps."""
        if (position := self.loops.positions.get(node)) is None:
            return node, None
        return (position.loop.start, position.offset), self._steps[position.loop][position.iteration]

    def _rule(self, node: Function) -> Rule:
        if node not in self.reading.sums:
            return rule_of(node)
        names = tuple([f"s{i}" for i in range(len(self.reading.sources[node]))])
        return Rule(names, (" + ".join(names),), ("gy",) * len(names), (node.out_shape,) * len(names))

    def _operands(self, node: Function) -> list[Any]:
        """The inputs of a node: values, and numbers."""
        if node in self.reading.sums:
            return list(self.reading.sources[node])
        return [e if e.__class__ in SCALARS else self.reading.source(e) for e in node.edges]

    def _counted(self, loop: Loop) -> list[int]:
        """The steps of a loop's iterations, or their numbers."""
        steps = [self.reading.nodes[loop.iteration(n)[0]].place.step for n in range(loop.size)]
        known = [step for step in steps if step is not None]
        return known if len(set(known)) == loop.size else list(range(loop.size))


def shape_of(item: Item, k: int) -> tuple[int, ...]:
    """The shape of a value."""
    if isinstance(item, Function) and item.multi_output:
        return item.out_shape[k]
    return item.out_shape if isinstance(item, Function) else item.shape
