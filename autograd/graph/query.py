"""Questions about a graph, answered without drawing it: who uses what, which way, how far back.

    from autograd.graph import query

    query.consumers(loss, of=h)          # the operations that use h
    query.shortest_path(h0, loss)        # the operations between them
    query.paths(w, loss)                 # in how many ways w reaches the loss
    query.receptive_field(y)             # the leaves and steps that y depends on
    query.nodes_per_step(loss)           # {None: 7, 0: 12, 1: 12}

A graph is what lies behind a Variable, or Variables in lists, tuples and dicts, as for `draw`. All loops,
no recursion.
"""

from collections import Counter, deque
from typing import Any, NamedTuple

from ..core import Constant, Function, Variable
from .reading import Item, Reading, results_of


class Field(NamedTuple):
    """What a value depends on: leaves that track, constants, and the steps of the nodes in between."""

    leaves: list[Variable]
    constants: list[Constant]
    steps: list[int]


def consumers(y: Any, of: Variable) -> list[Function]:
    """The operations behind ``y`` that take ``of`` as an input, oldest first."""
    reading = Reading(results_of(y))
    wanted = reading.source_of(of)
    return [n for n in reading.nodes if any(_same(s, wanted) for s in reading.sources[n])]


def shortest_path(start: Variable, end: Any) -> list[Function] | None:
    """The operations of a shortest way from ``start`` to ``end``, both ends included if computed.

    None if ``end`` does not depend on ``start``; [] if they are the same leaf.
    """
    reading = Reading(results_of(end))
    goal = reading.source_of(start)
    queue = deque(reading.source_of(v) for _, v in reading.results)
    towards: dict[tuple[Item, int], tuple[Item, int] | None] = dict.fromkeys(queue)
    while queue:
        here = queue.popleft()
        if _same(here, goal):
            path: list[Item] = []
            step: tuple[Item, int] | None = here
            while step is not None:
                path.append(step[0])
                step = towards[step]
            return [n for n in path if isinstance(n, Function)]
        for source in reading.sources.get(here[0], ()):
            if source not in towards:
                towards[source] = here
                queue.append(source)
    return None


def paths(start: Variable, end: Any) -> int:
    """The number of different ways from ``start`` to ``end``: terms of the chain rule, as it were.

    It doubles with every branch, so it is a Python integer of any size. A value that is used twice by
    one operation counts twice.
    """
    reading = Reading(results_of(end))
    goal = reading.source_of(start)
    ways: dict[Item, int] = {}

    def to(source: tuple[Item, int]) -> int:
        return 1 if _same(source, goal) else ways.get(source[0], 0)

    for node in reading.nodes:
        ways[node] = sum([to(source) for source in reading.sources[node]])
    return sum([to(reading.source_of(v)) for _, v in reading.results])


def receptive_field(y: Any) -> Field:
    """All that ``y`` depends on. Each list is in the order of first use."""
    reading = Reading(results_of(y))
    items = [item for n in reading.nodes for item, _ in reading.sources[n]]
    items += [reading.source_of(v)[0] for _, v in reading.results]
    unique = dict.fromkeys(items)
    steps = {n.place.step for n in reading.nodes} - {None}
    return Field(
        [item for item in unique if isinstance(item, Variable)],
        [item for item in unique if isinstance(item, Constant)],
        sorted(step for step in steps if step is not None),
    )


def nodes_per_step(y: Any) -> dict[int | None, int]:
    """How many operations were recorded in each time step; those outside of all steps under None."""
    counts = Counter(n.place.step for n in Reading(results_of(y)).nodes)
    return dict(sorted(counts.items(), key=lambda c: (c[0] is not None, c[0] or 0)))


def _same(a: tuple[Item, int], b: tuple[Item, int]) -> bool:
    """Variables compare elementwise, so identity it is."""
    return a[0] is b[0] and a[1] == b[1]
