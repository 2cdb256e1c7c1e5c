"""Reading a graph: which nodes lie behind some results, and where each of their edges starts.

The picture is made from what stands here, not from Variables directly. A reading differs from the
recorded graph in two places: a cut output is a constant, as it is to the backward pass, and taking apart
what was just put together (unstack of stack) is nothing at all. For a picture, `join_sums` makes a chain
of additions one sum. All loops, no recursion.
"""

from collections.abc import Mapping
from operator import attrgetter
from typing import Any

from ..core import SCALARS, UNTRACKED, Constant, Function, Slot, Variable, edge_type, source
from ..ops.elementwise import Add
from ..ops.shape import Stack, Unstack

LONG = 3  # additions; from so many on, or from 0 on, a chain of them is one sum
Item = Any  # what a vertex stands for: a Function, a leaf Variable or a Constant


def results_of(y: Any) -> list[tuple[str, Variable]]:
    """The Variables in a nest with their labels, in order."""
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
    """The graph behind some results: its nodes, oldest first, and the true source of every edge."""

    def __init__(self, results: list[tuple[str, Variable]]):
        self.results = results
        self._stand_ins: dict[Any, Constant] = {}
        self.sources: dict[Function, list[tuple[Item, int]]] = {}  # of the inputs that are no scalars
        stack = [self.source_of(v)[0] for _, v in results]
        while stack:
            item = stack.pop()
            if isinstance(item, Function) and item not in self.sources:
                edges = [e for e in item.edges if e.__class__ not in SCALARS]
                self.sources[item] = sources = [self.source(e) for e in edges]
                stack.extend([source for source, _ in sources])
        self.nodes = sorted(self.sources, key=attrgetter("number"))
        self.sums: dict[Function, list[Function]] = {}  # last addition of a chain -> the chain
        self.joined: dict[Item, Function] = {}  # addition -> the last of its chain

    def join_sums(self) -> "Reading":
        """Let the last of a chain of additions, as ``sum(losses)`` makes them, stand for all of it.

        Only of additions one right after the other: a total that a loop carries along is a state.
        """
        uses: dict[Item, list[Function]] = {}
        for node in self.nodes:
            for item, _ in self.sources[node]:
                uses.setdefault(item, []).append(node)
        for _, v in self.results:
            uses.setdefault(self.source_of(v)[0], []).append(None)  # type: ignore[arg-type]
        chains: dict[Function, list[Function]] = {}
        for before, node in zip([None, *self.nodes], self.nodes, strict=False):
            if _adds(node):
                chains[node] = [node]
                for item, _ in self.sources[node]:
                    if item is before and item in chains and len(uses[item]) == 1 and _same_sum(item, node):
                        chains[node] = chains.pop(item) + chains[node]
        for last, chain in chains.items():
            starts = any(e.__class__ in SCALARS for node in chain for e in node.edges)
            if len(chain) >= LONG or starts:
                inner = set(chain)
                terms = [source for node in chain for source in self.sources[node] if source[0] not in inner]
                for node in chain[:-1]:
                    del self.sources[node]
                self.sources[last] = terms
                self.sums[last] = chain
                self.joined.update(dict.fromkeys(chain, last))
        self.nodes = [node for node in self.nodes if node in self.sources]
        return self

    def source_of(self, v: Variable) -> tuple[Item, int]:
        """The item that a Variable is an output of, and which one."""
        if v._edge is None:
            return v, 0
        if v._edge is UNTRACKED:  # it was never used, so nothing describes it yet
            return self._stand_in(v, Constant(v.name, v.shape, v.dtype, v._origin())), 0
        return self.source(v._edge)

    def source(self, edge: Any) -> tuple[Item, int]:
        """The item that an edge starts from, and which of its outputs."""
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

    def origins(self) -> dict[Item, tuple[Function, int]]:
        """Constant -> the output that it was detached from, where that is part of the graph all the same."""
        numbers = {node.number: node for node in self.nodes}
        ends = {item for sources in self.sources.values() for item, _ in sources}
        found = {c: c.origin for c in ends if isinstance(c, Constant) and c.origin is not None}
        return {c: (numbers[number], k) for c, (number, k, _) in found.items() if number in numbers}


def _adds(node: Function) -> bool:
    """Is it an addition of Variables, or one to the 0 that Python's sum starts from?"""
    return isinstance(node, Add) and all(e.__class__ not in SCALARS or e == 0 for e in node.edges)


def _same_sum(a: Function, b: Function) -> bool:
    """May the addition b go on where a left off: in the same place, and nobody looks at what is between?"""
    here = a.place.step, a.place.order, a.out_shape, a.out_dtype
    return not a.annotations and here == (b.place.step, b.place.order, b.out_shape, b.out_dtype)
