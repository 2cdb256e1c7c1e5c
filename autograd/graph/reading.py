"""Reading a graph: which nodes lie behind some results, and what each of their inputs is an output of.

Pictures are made from a reading, not from Variables. It differs from the recorded graph in two places: a
cut output is a constant, as it is to the backward pass, and taking apart what was just put together
(unstack of stack) is nothing at all. For a picture, `join_sums` makes a chain of additions one sum. All
loops, no recursion.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Union

from ..core import SCALARS, UNTRACKED, Constant, Function, Slot, Value, Variable, edge_type, source
from ..ops.elementwise import Add
from ..ops.shape import Stack, Unstack

LONG = 3  # additions; from so many on, or from 0 on, a chain of them is one sum
Leaf = Variable | Constant
Item = Function | Leaf  # what a vertex stands for
Output = tuple[Item, int]  # which output of a node; 0 of a leaf
Nest = Union[Value, Sequence["Nest"], Mapping[Any, "Nest"]]  # noqa: UP007 - of Variables; refers to itself


def results_of(y: Nest) -> list[tuple[str, Variable]]:
    """The Variables in a nest of lists, tuples and dicts, each with its path in it."""
    found = []
    stack: list[tuple[str, Any]] = [("", y)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, Variable):
            found.append((path, value))
        elif isinstance(value, Mapping):
            inner = [(f"{path}.{k}" if path else str(k), v) for k, v in value.items()]
            stack.extend(reversed(inner))
        elif isinstance(value, list | tuple):
            inner = [(f"{path or 'y'}[{i}]", v) for i, v in enumerate(value)]
            stack.extend(reversed(inner))
        else:
            raise TypeError(
                f"draw expected a Variable or a list, tuple or dict of Variables,"
                f" got {type(value).__name__}{f' at {path}' if path else ''}"
            )
    return found


class Reading:
    """The graph behind some results.

    Attributes:
        nodes: oldest first.
        sources: of every node, the outputs that it has as inputs; Python numbers are left out.
        results: pairs of a label and a Variable.
        sums: last addition of a chain that was joined -> the chain; ``joined``: addition -> the last of it.
    """

    def __init__(self, results: list[tuple[str, Variable]]):
        self.results = results
        self._stand_ins: dict[Any, Constant] = {}
        self.sources: dict[Item, list[Output]] = {}
        stack = [self.source_of(v)[0] for _, v in results]
        while stack:
            item = stack.pop()
            if isinstance(item, Function) and item not in self.sources:
                edges = [e for e in item.edges if e.__class__ not in SCALARS]
                self.sources[item] = sources = [self.source(e) for e in edges]
                stack.extend([source for source, _ in sources])
        nodes = [item for item in self.sources if isinstance(item, Function)]
        self.nodes: list[Function] = sorted(nodes, key=attrgetter("number"))
        self.sums: dict[Item, list[Function]] = {}
        self.joined: dict[Item, Function] = {}

    def join_sums(self) -> "Reading":
        """Let the last of a chain of additions, as ``sum(losses)`` makes them, stand for all of it.

        Only of additions one right after the other: a total that a loop carries along is a state.
        """
        for chain in self._chains():
            starts_from_0 = any(e.__class__ in SCALARS for node in chain for e in node.edges)
            if len(chain) >= LONG or starts_from_0:
                inner, last = set[Item](chain), chain[-1]
                terms = [output for node in chain for output in self.sources[node] if output[0] not in inner]
                for node in chain[:-1]:
                    del self.sources[node]
                self.sources[last] = terms
                self.sums[last] = chain
                self.joined.update(dict.fromkeys(chain, last))
        self.nodes = [node for node in self.nodes if node in self.sources]
        return self

    def _chains(self) -> list[list[Function]]:
        """Additions each of which adds to the one right before it, and is all that uses it."""
        uses = Counter([item for node in self.nodes for item, _ in self.sources[node]])
        uses.update([self.source_of(v)[0] for _, v in self.results])
        chains: dict[Function, list[Function]] = {}  # by their last addition
        before: Function | None = None
        for node in self.nodes:
            if _adds(node):
                chains[node] = [node]
                follows = any(item is before for item, _ in self.sources[node])
                if follows and before in chains and uses[before] == 1 and _same_sum(before, node):
                    chains[node] = chains.pop(before) + chains[node]
            before = node
        return list(chains.values())

    def source_of(self, v: Variable) -> Output:
        """Which output of which item a Variable is."""
        if v._edge is None:
            return v, 0
        if v._edge is UNTRACKED:  # it was never used, so nothing describes it yet
            return self._stand_in(v, Constant(v.name, v.shape, v.dtype, v._origin())), 0
        return self.source(v._edge)

    def source(self, edge: Any) -> Output:
        """Which output of which item an edge leads to."""
        while edge.__class__ is Slot and isinstance(edge.node, Unstack) and edge.node.edges:
            stacked = edge.node.edges[0]  # unstack(stack(xs))[k] is xs[k]
            if not (isinstance(stacked, Stack) and stacked.axis == edge.node.axis and stacked.edges):
                break
            if edge.node.annotations or stacked.annotations:
                break
            edge = stacked.edges[edge.k]
        node, k = source(edge)
        if isinstance(node, Function) and node.is_cut(k):
            origin = node.number, k, node.place
            return self._stand_in((node, k), Constant(node.name_of(k), *edge_type(edge), origin)), 0
        return node, k

    def _stand_in(self, key: Any, constant: Constant) -> Constant:
        return self._stand_ins.setdefault(key, constant)

    def inputs(self, node: Function) -> list[tuple[Function, int]]:
        """Which input of which recorded node each source of a node is: of a joined sum, of its parts."""
        inner = set(self.sums.get(node, ()))
        return [
            (part, i)
            for part in self.sums.get(node, [node])
            for i, edge in enumerate(part.edges)
            if edge.__class__ not in SCALARS and not (inner and self.source(edge)[0] in inner)
        ]

    def origins(self) -> dict[Item, tuple[Function, int]]:
        """Constant -> the output from which it was cut, where the graph holds that all the same."""
        numbers = {node.number: node for node in self.nodes}
        ends = {item for sources in self.sources.values() for item, _ in sources}
        found = {c: c.origin for c in ends if isinstance(c, Constant) and c.origin is not None}
        return {c: (numbers[number], k) for c, (number, k, _) in found.items() if number in numbers}


def _adds(node: Function) -> bool:
    """Is it an addition of Variables, or one to the 0 that Python's sum starts from?"""
    return isinstance(node, Add) and all(e.__class__ not in SCALARS or e == 0 for e in node.edges)


def _same_sum(a: Function, b: Function) -> bool:
    """May two additions be one sum? If they are in one place, and the value between has no name or hook."""
    place = a.place.step, a.place.order, a.out_shape, a.out_dtype
    return not a.annotations and place == (b.place.step, b.place.order, b.out_shape, b.out_dtype)
