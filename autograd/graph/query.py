"""Questions about a graph, answered without drawing it: who uses what, which path, how far back.

    from autograd.graph import query

    query.consumers(loss, of=h)          # the operations that use h
    query.shortest_path(h0, loss)        # the operations between them
    query.paths(w, loss)                 # how many paths lead from w to the loss
    query.receptive_field(y)             # the leaves and steps that y depends on
    query.nodes_per_step(loss)           # {None: 7, 0: 12, 1: 12}

A graph is what lies behind a Variable, or Variables in lists, tuples and dicts, as for `draw`. All loops,
no recursion.
"""

import html
from collections import Counter, deque
from typing import NamedTuple

from ..core import Constant, Function, Variable
from .reading import Item, Nest, Output, Reading, results_of

__all__ = ["Field", "consumers", "nodes_per_step", "paths", "receptive_field", "shortest_path"]

MOST = 6  # entries of a list that are written out


class Field(NamedTuple):
    """What a value depends on: leaves that track, constants, and the steps of the nodes in between.

    >>> graph.query.receptive_field(Variable(1.0, name="w") * np.ones(3)).leaves
    [Variable(1., name='w')]
    """

    leaves: list[Variable]
    constants: list[Constant]
    steps: list[int]

    def __repr__(self) -> str:
        lines = [f"{words}: {_listed(texts)}" for words, texts in self._texts()]
        return "Field\n" + "\n".join(["  " + line for line in lines])

    def _repr_html_(self) -> str:
        rows = [
            f'<tr><th style="text-align:left">{words}</th><td>{html.escape(_listed(texts))}</td></tr>'
            for words, texts in self._texts()
        ]
        return f"<table>{''.join(rows)}</table>"

    def _texts(self) -> list[tuple[str, list[str]]]:
        return [
            ("leaves", [f"{leaf.name or '(unnamed)'} {leaf.shape}" for leaf in self.leaves]),
            ("constants", [f"{leaf.name or '(unnamed)'} {leaf.shape}" for leaf in self.constants]),
            ("steps", [str(step) for step in self.steps]),
        ]


def _listed(texts: list[str]) -> str:
    """A list in a line: the first and the last of it, and how many there are."""
    if len(texts) > MOST:
        texts = [*texts[: MOST - 1], "⋯", f"{texts[-1]} ({len(texts)} of them)"]
    return ", ".join(texts) or "none"


def consumers(y: Nest, of: Variable) -> list[Function]:
    """The operations behind ``y`` that take ``of`` as an input, oldest first.

    >>> x = Variable(2.0)
    >>> [node.label for node in graph.query.consumers(ag.exp(x) + ag.sin(x), of=x)]
    ['Exp', 'Sin']
    """
    reading = Reading(results_of(y))
    wanted = reading.source_of(of)
    return [n for n in reading.nodes if any(_same(s, wanted) for s in reading.sources[n])]


def shortest_path(start: Variable, end: Nest) -> list[Function] | None:
    """The operations of a shortest path from ``start`` to ``end``, both ends included if computed.

    None if ``end`` does not depend on ``start``; [] if they are the same leaf.

    >>> x = Variable(2.0)
    >>> [node.label for node in graph.query.shortest_path(x, ag.exp(ag.sin(x)) * x)]
    ['Mul']
    """
    reading = Reading(results_of(end))
    goal = reading.source_of(start)
    queue = deque(reading.source_of(v) for _, v in reading.results)
    user: dict[Output, Output | None] = dict.fromkeys(queue)  # of every output, what was seen to use it first
    while queue:
        output = queue.popleft()
        if _same(output, goal):
            path, after = [output[0]], user[output]
            while after is not None:
                path.append(after[0])
                after = user[after]
            return [n for n in path if isinstance(n, Function)]
        for source in reading.sources.get(output[0], ()):
            if source not in user:
                user[source] = output
                queue.append(source)
    return None


def paths(start: Variable, end: Nest) -> int:
    """The number of different paths from ``start`` to ``end``: terms of the chain rule, as it were.

    It doubles with every branch, so it is a Python integer of any size. A value that is used twice by
    one operation counts twice.

    >>> w, h = Variable(0.5), Variable(1.0)
    >>> for _ in range(3):
    ...     h = ag.tanh(w * h)
    >>> graph.query.paths(w, h)  # one for every step that uses it
    3
    """
    reading = Reading(results_of(end))
    goal = reading.source_of(start)
    numbers: dict[Item, int] = {}  # of paths to every node

    def to(source: Output) -> int:
        return 1 if _same(source, goal) else numbers.get(source[0], 0)

    for node in reading.nodes:
        numbers[node] = sum([to(source) for source in reading.sources[node]])
    return sum([to(reading.source_of(v)) for _, v in reading.results])


def receptive_field(y: Nest) -> Field:
    """All that ``y`` depends on. Each list is in the order of first use.

    >>> w, h = Variable(0.5), Variable(1.0)
    >>> for t in range(5):
    ...     with ag.step(t):
    ...         h = ag.tanh(w * (h.detach() if t == 3 else h))
    >>> graph.query.receptive_field(h).steps  # what is before the cut is out of sight
    [3, 4]
    """
    reading = Reading(results_of(y))
    items = [item for n in reading.nodes for item, _ in reading.sources[n]]
    items += [reading.source_of(v)[0] for _, v in reading.results]
    unique = dict.fromkeys(items)
    steps = {n.place.step for n in reading.nodes if n.place.step is not None}
    return Field(
        [item for item in unique if isinstance(item, Variable)],
        [item for item in unique if isinstance(item, Constant)],
        sorted(steps),
    )


def nodes_per_step(y: Nest) -> dict[int | None, int]:
    """How many operations were recorded in each time step; those outside of all steps under None.

    >>> h = Variable(1.0)
    >>> for t in range(3):
    ...     with ag.step(t):
    ...         h = ag.tanh(h)
    >>> graph.query.nodes_per_step(h * h)
    {None: 1, 0: 1, 1: 1, 2: 1}
    """
    counts = Counter(n.place.step for n in Reading(results_of(y)).nodes)
    return dict(sorted(counts.items(), key=lambda c: (c[0] is not None, c[0] or 0)))


def _same(a: Output, b: Output) -> bool:
    """Variables compare elementwise, so identity it is."""
    return a[0] is b[0] and a[1] == b[1]
