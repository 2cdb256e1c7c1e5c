"""What changed between two graphs: one picture of both, red what only the first has, green the second.

Nodes are matched in the order of their making, as lines are in a comparison of two texts, by what they
do and where; arrows by their ends. A cut, a `detach` or one more step stands out.
"""

from difflib import SequenceMatcher
from typing import Any, Literal

from ...core import Function
from ..reading import Item, Reading, results_of
from . import dot
from .labels import Labels
from .names import Names
from .render import Drawing
from .scene import Scene

LONG = 4000  # nodes; longer graphs are matched by their beginnings and ends alone


def diff(a: Any, b: Any, *, params: Any = None, direction: Literal["LR", "RL", "TB", "BT"] = "LR") -> Drawing:
    """The graphs behind ``a`` and ``b`` in one drawing.

    Args:
        a, b: Variables, or Variables in lists, tuples and dicts, as for `draw`.
        params: names for leaves, as for `draw`.
        direction: where the arrows point.

    Red and dashed: only in ``a``. Green and heavy: only in ``b``.
    """
    first, second = Reading(results_of(a)), Reading(results_of(b))
    scene = Scene(direction)
    twins = _twins(first, second)
    idents: dict[tuple[int, Item], str] = {}  # (which graph, item); items of both under 0
    shown: dict[str, tuple[int, str, dict[str, str]]] = {}
    arrows: dict[tuple[str, int, str], set[int]] = {}

    for side, reading in enumerate((first, second)):
        names = Names(reading, params)
        labels = Labels(reading, names)
        sources = [item for n in reading.nodes for item, _ in reading.sources[n]]
        labels.parameters([item for item in sources if not isinstance(item, Function)])

        def vertex(item: Item, side: int = side, labels: Labels = labels) -> str:
            twin = twins.get(item, item) if side else item
            key = (0, twin) if (0, twin) in idents else (side, item)
            if key not in idents:
                idents[key] = f"v{len(idents)}"
                if isinstance(item, Function):
                    look = labels.operation(item, scene.reversed)
                else:
                    look = labels.result(item) if isinstance(item, int) else labels.leaf(item)
                shown[idents[key]] = (side, *look)
            elif key[0] != side:
                shown[idents[key]] = (2, *shown[idents[key]][1:])
            return idents[key]

        for node in reading.nodes:
            head = vertex(node)
            for item, k in reading.sources[node]:
                arrows.setdefault((vertex(item), k, head), set()).add(side)
        for i, (_, v) in enumerate(reading.results):
            item, k = reading.source_of(v)
            arrows.setdefault((vertex(item), k, vertex(i)), set()).add(side)

    looks: list[dict[str, str]] = [
        {"color": border, "fontcolor": border, "fillcolor": fill} for fill, border in (dot.REMOVED, dot.ADDED)
    ]
    looks[0]["style"], looks[1]["penwidth"] = "dashed,filled", "2"
    looks.append({})
    for ident, (side, style, values) in shown.items():
        scene.add(dot.node(ident, style, {**values, **looks[side]}))
    for (tail, k, head), sides in arrows.items():
        colour = {} if len(sides) == 2 else {"color": (dot.REMOVED, dot.ADDED)[min(sides)][1]}
        if sides == {0}:
            colour["style"] = "dashed"
        elif sides == {1}:
            colour["penwidth"] = "2"
        ports = shown[tail][1] == "outputs" and f"<p{k}>" in shown[tail][2]["label"]
        scene.add(dot.edge(f"{tail}:p{k}" if ports else tail, head, colour))
    single = {side for side, _, _ in shown.values()}
    single.update([side for own in arrows.values() if len(own) == 1 for side in own])
    told = [word for side, word in enumerate(("red, dashed: gone", "green, heavy: new")) if side in single]
    scene.notes.append("   ·   ".join(told) or "no difference")
    return scene.drawing()


def _twins(first: Reading, second: Reading) -> dict[Item, Item]:
    """Item of the second graph -> the item of the first that it corresponds to."""
    a, b = first.nodes, second.nodes
    signs = [[(n.label, n.symbol, str(n.place), n.out_shape) for n in nodes] for nodes in (a, b)]
    twins: dict[Item, Item] = {}
    if max(len(a), len(b)) <= LONG:
        for block in SequenceMatcher(None, signs[0], signs[1], autojunk=False).get_matching_blocks():
            for i in range(block.size):
                twins[b[block.b + i]] = a[block.a + i]
    else:
        n = 0
        while n < min(len(a), len(b)) and signs[0][n] == signs[1][n]:
            twins[b[n]] = a[n]
            n += 1
        m = 0
        while m < min(len(a), len(b)) - n and signs[0][-1 - m] == signs[1][-1 - m]:
            twins[b[-1 - m]] = a[-1 - m]
            m += 1
    taken: set[Item] = set()
    for node in b:  # leaves and constants that stand in the same place
        if node in twins:
            for (ours, _), (theirs, _) in zip(second.sources[node], first.sources[twins[node]], strict=False):
                if isinstance(ours, Function) or type(ours) is not type(theirs):
                    continue
                if ours.shape == theirs.shape and ours not in twins and theirs not in taken:
                    twins[ours] = theirs
                    taken.add(theirs)
    for i in range(min(len(first.results), len(second.results))):
        twins[i] = i
    return twins
