"""What changed between two graphs: one picture of both, red what only the first has, green the second.

Nodes are matched in the order of their making, as lines are in a comparison of two texts, by what they
do and where; arrows by their ends. A cut, a `detach` or one more step stands out.
"""

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Literal

from ...core import Function
from ..reading import Item, Leaf, Nest, Reading, results_of
from . import dot
from .labels import Labels
from .names import Names, Params
from .render import Drawing
from .scene import Scene

LONG = 4000  # nodes; longer graphs are matched by their beginnings and ends alone


def diff(
    a: Nest, b: Nest, *, params: Params = None, direction: Literal["LR", "RL", "TB", "BT"] = "LR"
) -> Drawing:
    """The graphs behind ``a`` and ``b`` in one drawing.

    Args:
        a, b: Variables, or Variables in lists, tuples and dicts, as for `draw`.
        params: names for leaves, as for `draw`.
        direction: where the arrows point.

    Red and dashed: only in ``a``. Green and heavy: only in ``b``.

    >>> h = ag.exp(Variable(1.0, name="x"))
    >>> drawing = graph.diff(ag.tanh(h) * h, ag.tanh(h) * h.detach())
    >>> drawing.source.count('style="dashed"')  # one of the two arrows from h is gone
    1
    """
    first, second = Reading(results_of(a)), Reading(results_of(b))
    scene = Scene(direction)
    looks: dict[Item | int, dot.Styled] = {}  # of every vertex; the item of the first, if both have it
    graphs: dict[Item | int, set[int]] = {}  # which of the two have it
    arrows: dict[tuple[Item | int, int, Item | int], set[int]] = {}
    for i, (reading, same) in enumerate([(first, {}), (second, _matches(first, second))]):
        labels = Labels(reading, Names(reading, params))
        sources = [item for node in reading.nodes for item, _ in reading.sources[node]]
        labels.parameters([item for item in sources if not isinstance(item, Function)])
        for tail, k, head in _arrows(reading):
            ends: tuple[Item | int, ...] = (tail, head) if isinstance(head, int) else (head, tail)
            for item in ends:
                vertex: Item | int = same.get(item, item)
                if vertex not in looks:
                    looks[vertex] = _look(item, labels, scene.reversed)
                graphs.setdefault(vertex, set()).add(i)
            arrows.setdefault((same.get(tail, tail), k, same.get(head, head)), set()).add(i)
    idents = {vertex: f"v{i}" for i, vertex in enumerate(looks)}
    for vertex, (style, values) in looks.items():
        scene.add(dot.node(idents[vertex], style, {**values, **_vertex_colours(graphs[vertex])}))
    for (start, k, end), own in arrows.items():
        style, values = looks[start]
        port = f":p{k}" if style == "outputs" and f"<p{k}>" in values["label"] else ""
        scene.add(dot.edge(f"{idents[start]}{port}", idents[end], _arrow_colours(own)))
    single = {i for own in (*graphs.values(), *arrows.values()) if len(own) == 1 for i in own}
    words = [word for i, word in enumerate(("red, dashed: gone", "green, heavy: new")) if i in single]
    scene.notes.append("   ·   ".join(words) or "no difference")
    return scene.drawing()


def _arrows(reading: Reading) -> Iterator[tuple[Item, int, Item | int]]:
    """From output k of an item to every node and result; a result by its number."""
    for node in reading.nodes:
        for item, k in reading.sources[node]:
            yield item, k, node
    for i, (_, v) in enumerate(reading.results):
        yield *reading.source_of(v), i


def _look(item: Item | int, labels: Labels, reversed: bool) -> dot.Styled:
    if isinstance(item, Function):
        return labels.operation(item, reversed)
    return labels.result(item) if isinstance(item, int) else labels.leaf(item)


def _vertex_colours(graphs: set[int]) -> dot.Look:
    if len(graphs) == 2:
        return {}
    fill, border = (dot.REMOVED, dot.ADDED)[min(graphs)]
    colours = {"color": border, "fontcolor": border, "fillcolor": fill}
    return {**colours, **({"style": "dashed,filled"} if graphs == {0} else {"penwidth": "2"})}


def _arrow_colours(graphs: set[int]) -> dot.Look:
    if len(graphs) == 2:
        return {}
    _, colour = (dot.REMOVED, dot.ADDED)[min(graphs)]
    return {"color": colour, **({"style": "dashed"} if graphs == {0} else {"penwidth": "2"})}


def _matches(first: Reading, second: Reading) -> dict[Item | int, Item | int]:
    """Item of the second graph -> the item of the first that it corresponds to."""
    nodes = [(first.nodes[i], second.nodes[j]) for i, j in _matching_nodes(first, second)]
    matches: dict[Item | int, Item | int] = {theirs: own for own, theirs in nodes}
    taken: set[Leaf] = set()
    for own, theirs in nodes:
        for (leaf, _), (same, _) in zip(second.sources[theirs], first.sources[own], strict=False):
            if isinstance(leaf, Function) or isinstance(same, Function) or type(leaf) is not type(same):
                continue
            if leaf.shape == same.shape and leaf not in matches and same not in taken:
                matches[leaf] = same
                taken.add(same)
    return matches


def _matching_nodes(first: Reading, second: Reading) -> list[tuple[int, int]]:
    """Pairs of numbers of nodes that do the same in the same place, in an order that both have."""
    a, b = [[(n.label, n.symbol, str(n.place), n.out_shape) for n in g.nodes] for g in (first, second)]
    if max(len(a), len(b)) <= LONG:
        blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
        return [(block.a + i, block.b + i) for block in blocks for i in range(block.size)]
    n, shorter = 0, min(len(a), len(b))
    while n < shorter and a[n] == b[n]:
        n += 1
    m = 0
    while m < shorter - n and a[-1 - m] == b[-1 - m]:
        m += 1
    return [*[(i, i) for i in range(n)], *[(len(a) - i, len(b) - i) for i in range(1, m + 1)]]
