"""The folded view: every loop a frame with one body in it, delays as blue arrows marked t−1.

No label depends on the number of steps: shapes and numbers are shown only where they cannot.
"""

from collections.abc import Callable, Iterable, Mapping
from itertools import product

from ...core import Variable
from ...ops.shape import Index
from ..fold import Delays, Fold
from ..reading import Item, Leaf
from ..timesteps import Frame, shared_titles
from . import dot, vertices
from .flows import Parts
from .framed import CUT_WORDS, Style, View, finder, hidden_by
from .labels import Hide, Labels
from .scene import Path
from .vertices import Arrow, Copies, Diagram, Drawn, Join


def folded(fold: Fold, hide: Hide = (), heated: bool = False) -> View:
    """Vertices, arrows and frames of a fold."""
    steps = vertices.choose(fold.frame, [loop.frame for loop in fold.loops])
    copies = vertices.copy(fold, steps, lambda node: not heated)
    diagram = vertices.connect(fold, steps, copies)
    once = dict.fromkeys([a._replace(at=0) for a in diagram.arrows])  # for all inputs from the same tail
    diagram = diagram._replace(arrows=list(once))
    is_hidden = hidden_by(hide, copies, fold)
    diagram, joins = vertices.hide(diagram, {vertex for vertex in diagram.idents if is_hidden(vertex.item)})
    style = _style(fold, diagram.arrows, delays_of_arrows(fold, joins))
    parts = _parts(fold, diagram, finder(steps, copies, diagram), is_hidden)
    return View(fold, steps, copies, diagram, style, parts, _fixed(fold, copies, diagram))


def delays_of_arrows(fold: Fold, joins: Iterable[Join]) -> dict[tuple[Drawn, int, Drawn], Delays]:
    """The delays of every arrow by its ends; those of an arrow over hidden vertices add up."""
    delays: dict[tuple[Drawn, int, Drawn], Delays] = {ends: own for ends, own in fold.delays.items()}

    def ends_of(a: Arrow) -> tuple[Drawn, int, Drawn]:
        return a.tail.item, a.k, a.head.item

    for before, after, arrow in joins:
        pairs = product(delays.get(ends_of(before), {0}), delays.get(ends_of(after), {0}))
        both = {None if d is None or e is None else d + e for d, e in pairs}
        delays[ends_of(arrow)] = delays.get(ends_of(arrow), set()) | both
    return delays


def _fixed(fold: Fold, copies: Copies, diagram: Diagram) -> set[Item]:
    """Items whose shapes and numbers are the same for any number of steps."""
    indexed = [own for node, own in fold.sources.items() if isinstance(node, Index)]
    by_parts = {item for own in indexed for item, _ in own}
    leaves = {item for item, frame in diagram.idents if frame and isinstance(item, Variable)}
    every_step_uses_all_of_it = leaves - by_parts
    return {*fold.frame, *copies.nodes, *fold.inputs, *every_step_uses_all_of_it}


def _parts(
    fold: Fold, diagram: Diagram, find: Callable[..., Arrow | None], is_hidden: Callable[[Item], bool]
) -> Parts:
    """Of every step: items of the reading are drawn as those that they are folded to."""

    def arrow(item: Item, k: int, head: Item | int, at: int, frame: Frame | None) -> Arrow | None:
        item, k, head = fold.arrow(item, k, head)
        frame = None if isinstance(head, int) else fold.frame.get(head)
        return find(item, k, head, 0, frame)

    return Parts(
        vertices=diagram.idents.keys(),
        arrows=diagram.arrows,
        vertex=fold.of,
        arrow=arrow,
        is_hidden=lambda item: is_hidden(fold.of(item)),
        frames=lambda node: [fold.frame.get(fold.of(node))],
        is_folded=True,
    )


# --- what the view draws in its own way -----------------------------------------------------------


def _style(fold: Fold, arrows: list[Arrow], delays: Mapping[tuple[Drawn, int, Drawn], Delays]) -> Style:
    def delays_of(a: Arrow) -> Delays:
        return delays.get((a.tail.item, a.k, a.head.item), {0})

    def look_of(a: Arrow, usual: dot.Look, heated: bool) -> dot.Look:
        return _look(a, delays_of(a), fold, usual, heated)

    def notes(labels: Labels) -> list[str]:
        directions = fold.directions()
        starts = any(delays_of(a) == {None} and not a.cut for a in arrows)
        found = [f"blue{' words' if labels.arrow_heat else ''}: {directions}"] if directions else []
        found += ["dotted: at the first step"] if starts else []
        return found + ([CUT_WORDS] if any(a.cut for a in arrows) else [])

    frames = [loop.frame for loop in fold.loops]
    scopes = [[n.place.scope for n in fold.nodes if fold.frame.get(n) == own] for own in frames]
    titles = dict(zip(frames, shared_titles(scopes), strict=True))
    return Style(titles, _paths(fold, titles), look_of, notes, shared=_shared(fold))


def _paths(fold: Fold, titles: Mapping[Frame, str]) -> dict[Frame, tuple[Path, dot.Look]]:
    """One frame per loop."""
    paths: dict[Frame, tuple[Path, dot.Look]] = {}
    for loop in fold.loops:
        title = titles[loop.frame]
        label = (f"{title}: " if title else "") + "every step" + (", last first" if loop.down else "")
        paths[loop.frame] = (f"loop{loop.start}",), {**dot.FRAME, "label": dot.escape(dot.clean(label))}
    return paths


def _shared(fold: Fold) -> set[Leaf]:
    """Leaves that every step uses."""
    used = {tail for (tail, _, head), delays in fold.delays.items() if 0 in delays and head in fold.frame}
    return {item for item in used - fold.inputs if isinstance(item, Variable)}


def _look(a: Arrow, delays: Delays, fold: Fold, usual: dot.Look, heated: bool) -> dot.Look:
    """Delays and starts look unlike other arrows."""
    free = {"constraint": "false"} if a.is_link else {}  # does not count for ranks
    if words := fold.words(delays, a.head.item):
        return {**usual, **delay(words, usual if heated else None), "constraint": "false"}
    if delays != {None}:
        return {} if a.is_link and not heated else usual
    if a.cut:
        return {**usual, **free}
    if heated:
        return {**usual, "style": "dotted", "arrowhead": "empty"}
    start = {**usual, "color": dot.GREY, "style": "dotted", "arrowhead": "empty", **free}
    return {**start, "penwidth": "2"} if a.is_link else start


def delay(words: str, heat: dot.Look | None) -> dot.Look:
    """The look of an arrow from an earlier step; one that shows heat keeps its colour and numbers."""
    if heat is None:
        return {"color": dot.LINK, "fontcolor": dot.LINK, "penwidth": "2", "label": f"  {words}"}
    numbers = f":{heat['label']}" if "label" in heat else ""
    return {"fontcolor": dot.LINK, "label": f"  {words}{numbers}"}
