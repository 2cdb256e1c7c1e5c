"""From a view with frames to a scene: the unrolled view, the folded view, and "ops", which has none."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ...core import Function, Parameter
from ...ops import elementwise
from ..fold import Fold, name_of
from ..reading import Item, Leaf, Reading
from ..timesteps import Frame
from . import cell, dot
from .backward import Backward
from .flows import Parts
from .formula import in_lines
from .labels import MOVERS, Hide, Labels, is_named
from .layout import Link, add_links, flow_look, frames_in_order, heights, last_rows
from .paths import PathMarks
from .repeated import Edge, repeated
from .scene import Path, Scene
from .vertices import Arrow, Copies, Diagram, Drawn, Elided, Steps, Vertex, arrow_of

CUT_WORDS = "dashed arrow with a bar: the value flows on, its gradient is cut"


@dataclass(frozen=True)
class Style:
    """What the views draw each in its own way.

    Attributes:
        titles: of every frame, what is written on its row.
        paths: of every frame that is drawn, where it is in the scene, and its look.
        look_of: the look of an arrow, given the usual one and whether colours show gradients.
        notes: what shapes and colours mean, in words.
        shared: leaves that several steps use, each of which has a colour.
        levels: of every row, how high it stands; empty where time does not run across the arrows.
        plain_links: arrows between frames that look like any others.
        is_cell: one step is drawn alone, its state running from side to side.
        elided: what is written on vertices that stand for hidden steps.
    """

    titles: Mapping[Frame, str]
    paths: Mapping[Frame, tuple[Path, dot.Look]]
    look_of: Callable[[Arrow, dot.Look, bool], dot.Look]
    notes: Callable[[Labels], list[str]]
    shared: Collection[Leaf] = ()
    levels: Sequence[int] = ()
    plain_links: Collection[Arrow] = ()
    is_cell: bool = False
    elided: Mapping[Vertex, str] = field(default_factory=dict)


class View(NamedTuple):
    """All that is drawn, before it has labels."""

    reading: Reading | Fold
    steps: Steps
    copies: Copies
    diagram: Diagram
    style: Style
    parts: Parts  # which arrow shows what, for `Heat`
    fixed: Collection[Item] | None = None  # whose shapes are the same for any number of steps; None: all

    @property
    def idents(self) -> dict[Vertex, str]:
        """The identifiers of the vertices."""
        return self.diagram.idents

    @property
    def arrows(self) -> list[Arrow]:
        """All arrows, in the order of creation."""
        return self.diagram.arrows


def framed_scene(view: View, labels: Labels, direction: str | None) -> Scene:
    """A view, ready to be written."""
    style = view.style
    scene = Scene(direction or ("BT" if view.steps.frames and not style.is_cell else "LR"))
    labels.use(view.copies.origins.values())
    drawn = [view.copies.leaf(item) for item, _ in view.idents]
    labels.parameters([item for item in drawn if isinstance(item, Leaf)], style.shared)
    paths = _open_frames(view, scene, {"labeljust": "l"} if labels.backward else {})
    texts: dict[Vertex, tuple[str, str]] = {}
    for vertex, ident in view.idents.items():
        kind, look = _vertex_look(vertex, view, labels, scene.reversed)
        if isinstance(labels.marks, PathMarks):
            look = {**look, **labels.marks.faded(vertex, view.arrows)}
        text = dot.node(ident, kind, look)
        texts[vertex] = (ident, text)
        scene.add(text, paths[vertex.frame])
    if style.is_cell and view.steps.gaps:
        scene.newrank = True
        for side in cell.ends(view.idents, view.arrows):
            scene.add(f"{{rank=same; {'; '.join(side)}}}")
    is_vertical = bool(view.steps.frames) and scene.direction in ("BT", "TB")
    rows = last_rows(view.arrows, len(view.reading.results)) if is_vertical else []
    edges = _add_arrows(view, labels, scene, paths, {vertex for row in rows for vertex in row})
    scene.first += (ranks := [f"{{rank=same; {'; '.join([view.idents[v] for v in row])}}}" for row in rows])
    if is_vertical and len(style.levels) == 1 and not view.steps.gaps:
        looks = {frame: style.paths[frame][1] for frame in view.steps.frames}
        scene.repeated = repeated(looks, texts, edges, ranks, scene.direction == "BT")
    labels.explain(scene)
    if notes := style.notes(labels):
        scene.notes.append("   ·   ".join(notes))
    return scene


def _open_frames(view: View, scene: Scene, more: dot.Look) -> dict[Frame | None, Path]:
    """Open the frames; rows of one sequence each stand in a frame of their own."""
    paths: dict[Frame | None, Path] = {None: (), **dict.fromkeys(view.steps.gaps, ())}
    for frame, (path, look) in view.style.paths.items():
        if path[:-1] and path[:-1] not in scene:
            title = dot.escape(dot.clean(view.style.titles[frame]))
            scene.open(path[:-1], {**dot.FRAME, "bgcolor": "white", "label": title})
        scene.open(path, {**look, **more})
        paths[frame] = path
    return paths


def _vertex_look(vertex: Vertex, view: View, labels: Labels, reversed: bool) -> dot.Styled:
    """The style and the attributes of a vertex."""
    item, frame = vertex
    title = view.style.titles[frame] if frame else ""
    if isinstance(item, int):
        return labels.result(item)
    if isinstance(item, Elided):
        name = name_of(*item.what) or labels.names.states.get(item.what, "⋯")
        label = dot.lines(name, view.style.elided.get(vertex, ""))
        return "elided", {"label": label}
    if not isinstance(item, Function):
        return labels.leaf(item, inside=title)
    if item in view.copies.transposed:
        leaf, mark = view.copies.transposed[item]
        return labels.leaf(leaf, mark, item.out_shape, inside=title)
    return labels.operation(item, reversed, frame)


def _add_arrows(
    view: View,
    labels: Labels,
    scene: Scene,
    paths: Mapping[Frame | None, Path],
    last: Collection[Vertex],
) -> dict[Arrow, Edge]:
    """Write all arrows; returns them, those between frames without what keeps frames in place."""
    upright = bool(view.steps.frames and view.style.levels) and scene.direction in ("BT", "TB")
    state = cell.state_path(view.arrows) if view.style.is_cell else set()
    edges: dict[Arrow, Edge] = {}
    for a in view.arrows:
        if a.is_link and upright:
            link = {**dot.LINKED, **flow_look(labels, a)}
            edges[a] = (_tail(a, view, labels), view.idents[a.head], link)
            continue
        look = _arrow_look(a, view, labels, upright)
        if labels.backward is not None:
            look = {**look, **_given_back(a, labels.backward, view)}
        elif a in state and not a.cut:
            look = {**look, **({} if labels.arrow_heat else dot.STATE), "weight": "60"}
        path = paths[a.head.frame] if a.tail.frame == a.head.frame is not None else ()
        ends = _tail(a, view, labels), view.idents[a.head]
        if a.head in last and not isinstance(a.tail.item, Function | Elided):
            ends, look = ends[::-1], {**look, "dir": "back"}  # above the row, not between frames
        edges[a] = (*ends, look)
        scene.add(dot.edge(*ends, look), path)
    if upright:
        _add_links(view, labels, scene, paths)
    return edges


def _given_back(a: Arrow, backward: Backward, view: View) -> dot.Look:
    """The look of an arrow that shows what comes back over it."""
    tail, head = a.tail.item, a.head.item
    if isinstance(head, Elided | int):
        text = backward.gradient((tail, a.k)) if isinstance(tail, Function) else ""
    else:
        sources = view.reading.sources[head]
        own = [at for at, (item, k) in enumerate(sources) if _is_drawn_as(item, a, view.copies) and k == a.k]
        at = a.at if a.at in own or not own else own[0]  # none: the arrow runs on through what is left out
        text = backward.equation(head, at) if isinstance(head, Function) and not a.cut else ""
    label = {"label": dot.lines(*in_lines(text))} if text else {}
    return {**dot.BACKWARD, **label, "dir": "back"} if not a.cut else {}


def _is_drawn_as(item: Item, a: Arrow, copies: Copies) -> bool:
    own = a.tail.item.what[0] if isinstance(a.tail.item, Elided) else a.tail.item
    return item is own or copies.origins.get(item, (item, 0))[0] is own


def _tail(a: Arrow, view: View, labels: Labels) -> str:
    """Where an arrow starts, in DOT."""
    ident = view.idents[a.tail]
    return f"{ident}:p{a.k}" if labels.has_ports(a.tail.item) else ident


def _arrow_look(a: Arrow, view: View, labels: Labels, upright: bool) -> dot.Look:
    look: dot.Look = {}
    if a.is_link:
        look = dot.LINKED
    elif upright and a.tail.frame is not None and labels.has_ports(a.tail.item):
        look = {"weight": "2"}  # keeps the gates of a cell in one row
    if heat := labels.arrow_heat:
        look = {**look, **heat.edge(a, known=heat.vertex(*a.tail))}
    look = view.style.look_of(a, {**look, **dot.CUT} if a.cut else look, heat is not None)
    return labels.marked(look, a)


def _add_links(view: View, labels: Labels, scene: Scene, paths: Mapping[Frame | None, Path]) -> None:
    """Put frames of one level side by side, draw the links."""
    scene.newrank = True
    levels, idents = view.style.levels, view.idents
    level: list[Arrow] = []
    for a in [a for a in view.arrows if a.is_link]:
        if a.tail.frame and a.head.frame and levels[a.tail.frame.row] == levels[a.head.frame.row]:
            level.append(a)
        else:  # to a row above: an arrow like any other
            look = {} if a in view.style.plain_links else dot.LINKED
            look = {**look, **flow_look(labels, a)}
            scene.add(dot.edge(_tail(a, view, labels), idents[a.head], look))
    height, beside = heights(view.arrows, level)
    for end, other in beside.items():
        scene.add(f"{{rank=same; {idents[end]}; {idents[other]}}}")
    rises = [height.get(a.head, 0) - height.get(a.tail, 0) for a in level]
    links = [
        Link(a, _tail(a, view, labels), idents[a.head], paths[a.head.frame], rise)
        for a, rise in zip(level, rises, strict=True)
    ]
    add_links(scene, links, labels)
    frames = [frame for frame in view.steps.frames if paths[frame]]
    scene.first += frames_in_order(view.arrows, idents, frames, levels)


# --- what both kinds of views tell `Heat` ---------------------------------------------------------


def hidden_by(hide: Hide, copies: Copies, reading: Reading | Fold) -> Callable[[Drawn], bool]:
    """Is an item left out? One that is drawn as a leaf if the leaf is, a sum of biases if all of them are."""

    def is_named_itself(item: Drawn) -> bool:
        leaf = copies.leaf(item)
        return bool(hide) and not isinstance(leaf, int | Elided) and is_named(leaf, hide)

    gone: set[Drawn] = set()
    for node in reading.nodes if hide else ():
        sources = [item for item, _ in reading.sources[node]]
        if isinstance(node, (elementwise.Add, *MOVERS)) and all(
            item in gone or (isinstance(item, Parameter) and is_named(item, hide)) for item in sources
        ):
            gone.add(node)
    return lambda item: item in gone or is_named_itself(item)


def finder(steps: Steps, copies: Copies, diagram: Diagram) -> Callable[..., Arrow | None]:
    """Finds the arrow from output ``k`` of an item to a head in a frame, as its input ``at``, or None."""
    drawn = {(a.tail.item, a.k, a.head, a.at): a for a in diagram.arrows}  # a leaf may stand in another frame

    def find(item: Item, k: int, head: Item | int, at: int, frame: Frame | None) -> Arrow | None:
        if head in copies.transposed:
            return None
        a = arrow_of(item, k, Vertex(head, frame), at, steps, copies)
        return None if a is None else drawn.get((a.tail.item, a.k, a.head, a.at))

    return find
