"""The module view: boxes for modules, nested by their paths, with their parameters counted inside.

It is made from the folded graph, so a recurrent layer is one box with an arrow to itself, at any number
of steps. What happens outside of all modules is drawn operation by operation.
"""

import math
from collections.abc import Collection, Container, Iterable, Iterator, Mapping
from itertools import product
from typing import Any, NamedTuple

from ...core import Constant, Function
from ..fold import Delays, Fold
from ..reading import Item, Leaf
from ..timesteps import Frame
from . import dot
from .flows import Parts
from .folded import delay
from .labels import Hide, Labels, is_named
from .names import Names, Params, scopes_of
from .scene import Path, Scene

Vertex = Path | int | Item  # a box by its path, a result by its number, or an item outside of all boxes
Arrow = tuple[Vertex, Vertex]


class Modules(NamedTuple):
    """All that is drawn, before it has labels."""

    reading: Fold
    vertices: list[Vertex]
    arrows: dict[Arrow, list[str]]  # with the delays that are written on them
    around: dict[Vertex, Path]  # of an operation outside of all boxes, the frame that it is in
    parameters: dict[Path, set[Leaf]]  # of every box, what it uses
    parts: Parts  # which arrow shows what, for `Heat`


class Edge(NamedTuple):
    """From the vertex of an item to that of an operation, or a result, that has it as an input."""

    tail: Vertex
    head: Vertex
    delays: Delays
    user: Item | int


def modules(fold: Fold, names: Names, depth: int | None = None, hide: Hide = ()) -> Modules:
    """The graph by modules; ``depth`` is how many levels of their tree are told apart."""
    box, around = _boxes(fold, depth)
    edges = list(_edges(fold, names, box, hide))
    gone = {node for node in fold.nodes if node not in box and is_named(node, hide)}
    arrows: dict[Arrow, list[str]] = {}
    for edge in _without(gone, edges):
        delays = arrows.setdefault((edge.tail, edge.head), [])
        if (words := fold.words(edge.delays, edge.user)) and words not in delays:
            delays.append(words)
    ends = [end for arrow in arrows for end in arrow]
    outside = [node for node in fold.nodes if node not in box and node not in gone]
    vertices = list(dict.fromkeys([*box.values(), *outside, *ends]))
    parameters: dict[Path, set[Leaf]] = {}
    for node, path in box.items():
        used = {item for item, _ in fold.sources[node] if names.is_parameter(item)}
        parameters.setdefault(path, set()).update(used)
    left_out = gone | {leaf for leaf in fold.leaves() if is_named(leaf, hide)}
    parts = _parts(fold, box, left_out, arrows.keys(), vertices)
    return Modules(fold, vertices, arrows, around, parameters, parts)


def _boxes(fold: Fold, depth: int | None) -> tuple[dict[Item, Path], dict[Vertex, Path]]:
    """Of every node the box that it is in, if any, and the frame around it or its box."""
    scopes = {n.place.scope for n in fold.nodes}
    inner = {s[:i] for s in scopes for i, c in enumerate(s) if c == "."}  # scopes with others inside
    if depth is not None:
        inner = {s for s in inner if s.count(".") + 1 < depth}
    box: dict[Item, Path] = {}
    around: dict[Vertex, Path] = {}
    for node in fold.nodes:
        path = tuple(node.place.scope.split(".")) if node.place.scope else ()
        path = path if depth is None else path[:depth]
        if path and ".".join(path) not in inner:
            box[node] = path
        around[node] = path[:-1] if node in box else path
    return box, around


def _edges(fold: Fold, names: Names, box: Mapping[Item, Path], hide: Hide) -> Iterator[Edge]:
    """Every input but parameters of boxes, leaves that are hidden, and zeros that a layer starts from."""
    alike: dict[Any, Constant] = {}
    for node in fold.nodes:
        for item, k in fold.sources[node]:
            delays = fold.delays[item, k, node]
            is_inside = node in box and names.is_parameter(item)
            is_start = isinstance(item, Constant) and delays == {None}
            if is_inside or is_start or (not isinstance(item, Function) and is_named(item, hide)):
                continue
            tail: Vertex = box.get(item, item)
            if isinstance(item, Constant):  # the same for all who start with zeros, say
                tail = alike.setdefault((item.name, item.shape), item)
            yield Edge(tail, box.get(node, node), delays, node)
    for i, (_, v) in enumerate(fold.results):
        item, _ = fold.source_of(v)
        yield Edge(box.get(item, item), i, {0}, i)


def _without(gone: Container[Vertex], edges: Iterable[Edge]) -> Iterator[Edge]:
    """Connect what hidden operations depend on to what depends on them; delays add up."""
    into: dict[Vertex, list[Edge]] = {}
    for edge in edges:
        into.setdefault(edge.head, []).append(edge)
    for last in [edge for edge in edges if edge.head not in gone]:
        waiting, seen = [last], set[tuple[Vertex, Vertex]]()
        while waiting:
            edge = waiting.pop()
            if edge.tail not in gone:
                yield edge
                continue
            for before in reversed(into.get(edge.tail, [])):
                if before.tail not in gone or (before.tail, edge.tail) not in seen:
                    seen.add((before.tail, edge.tail))
                    pairs = product(before.delays, edge.delays)
                    both = {None if d is None or e is None else d + e for d, e in pairs}
                    waiting.append(Edge(before.tail, edge.head, both, edge.user))


def _parts(
    fold: Fold,
    box: Mapping[Item, Path],
    left_out: Container[Item],
    arrows: Collection[Arrow],
    vertices: Iterable[Vertex],
) -> Parts:
    """Between the boxes, over all steps."""

    def vertex(item: Item) -> Vertex:
        return box.get(fold.of(item), fold.of(item))

    def arrow(item: Item, k: int, head: Item | int, at: int, frame: Frame | None) -> Arrow | None:
        end = fold.result_of[head] if isinstance(head, int) else vertex(head)
        if _equal(vertex(item), end) and not _is_later(fold, item, head):
            return None  # inside of the box
        return vertex(item), end

    return Parts(
        vertices=[(vertex, None) for vertex in vertices],
        arrows=arrows,
        vertex=vertex,
        arrow=arrow,
        is_hidden=lambda item: fold.of(item) in left_out,
        frames=lambda node: [None],
        boxes=set(box.values()),
    )


def _is_later(fold: Fold, item: Item, head: Item | int) -> bool:
    """Is a node in a later step than one that it depends on?"""
    steps = [node.place.step for node in (item, head) if isinstance(node, Function)]
    return bool(fold.delay(item, head)) if None in steps else len(set(steps)) > 1


def _equal(a: Vertex, b: Vertex) -> bool:
    """Variables compare elementwise, paths by what they say."""
    return a is b or (isinstance(a, tuple) and isinstance(b, tuple) and a == b)


# --- the picture ----------------------------------------------------------------------------------


def module_scene(view: Modules, labels: Labels, params: Params, direction: str | None) -> Scene:
    """The view, ready to be written; classes of modules are found in ``params``."""
    scene = Scene(direction or "LR")
    for path in sorted({p[:i] for p in view.around.values() for i in range(1, len(p) + 1)}):
        scene.open(path, {**dot.FRAME, "bgcolor": "white", "label": dot.escape(dot.clean(path[-1]))})
    labels.parameters([v for v in view.vertices if not isinstance(v, tuple | int | Function)])
    classes = {scope: type(getattr(m, "cell", m)).__name__ for scope, m in scopes_of(params).items()}
    idents: dict[Vertex, str] = {}
    for i, vertex in enumerate(view.vertices):
        path = vertex[:-1] if isinstance(vertex, tuple) else view.around.get(vertex, ())
        letter = "m" if isinstance(vertex, tuple) else "n"
        idents[vertex] = f"y{vertex}" if isinstance(vertex, int) else f"{letter}{i}"
        scene.add(
            dot.node(idents[vertex], *_vertex_look(vertex, view, labels, classes, scene.reversed)), path
        )
    for (tail, head), delays in view.arrows.items():
        if delays or not _equal(tail, head):
            values = _arrow_look((tail, head), ", ".join(delays), labels)
            scene.add(dot.edge(idents[tail], idents[head], values))
    if any(view.arrows.values()):
        scene.notes.append(f"blue{' words' if labels.arrow_heat else ''}: {view.reading.directions()}")
    labels.explain(scene)
    return scene


def _vertex_look(
    vertex: Vertex, view: Modules, labels: Labels, classes: Mapping[str, str], reversed: bool
) -> dot.Styled:
    """The style and the attributes of a vertex."""
    if isinstance(vertex, int):
        return labels.result(vertex)
    if isinstance(vertex, tuple):
        return _box_look(vertex, classes.get(".".join(vertex), ""), view.parameters[vertex], labels)
    return labels.operation(vertex, reversed) if isinstance(vertex, Function) else labels.leaf(vertex)


def _box_look(path: Path, kind: str, parameters: Iterable[Leaf], labels: Labels) -> dot.Styled:
    numbers = sum([math.prod(p.shape) for p in parameters])
    lines = [dot.clean(path[-1]), kind, f"{numbers:,} parameters" if numbers else ""]
    tooltip = {"tooltip": dot.lines(dot.clean(".".join(path), 200), kind)}
    if labels.heat:
        lines += labels.heat.lines(path)
        tooltip |= labels.heat.outline(path)
    words, border = labels.mark(path)
    return "module", {"label": dot.lines(*lines, *words), **tooltip, **border}


def _arrow_look(arrow: Arrow, delays: str, labels: Labels) -> dot.Look:
    look: dot.Look = {}
    if labels.arrow_heat:
        look = labels.arrow_heat.edge(arrow)
        if size := labels.arrow_heat.flow(arrow):
            look |= {"label": f"  {size}", "fontcolor": dot.GREY}
    if delays:
        look |= delay(delays, look if labels.arrow_heat else None)
        if not _equal(*arrow):
            look["constraint"] = "false"
    return labels.marked(look, arrow)
