"""The unrolled view: one frame per time step, side by side, each with its own copies of the parameters.

The picture grows in one direction only and needs no long lines. The view "ops" is the same without frames.
"""

from collections import Counter
from collections.abc import Callable, Collection

from ...core import Variable
from ..reading import Item, Leaf, Reading
from ..timesteps import Frame, Rows
from . import dot, vertices
from .flows import Parts, is_linear
from .framed import CUT_WORDS, Style, View, finder, hidden_by
from .labels import Hide, Labels
from .scene import Path
from .vertices import Arrow, Copies, Diagram, Steps


def unrolled(
    reading: Reading,
    rows: Rows | None,
    steps: Collection[int] | int | None = None,
    hide: Hide = (),
    direction: str | None = None,
    heated: bool = False,
    timed: bool = False,
) -> View:
    """Vertices, arrows and frames of a reading; without ``rows``, of the view "ops".

    With ``heated``, a node is copied only if the gradient of each copy is known; with ``timed``, none is, so
    that its time is shown once.
    """
    chosen = vertices.choose(rows.frame if rows else {}, rows.frames if rows else [], steps)
    copies = vertices.copy(reading, chosen, lambda node: not timed and (not heated or is_linear(node)))
    diagram = vertices.connect(reading, chosen, copies)
    is_hidden = hidden_by(hide, copies, reading)
    diagram, _ = vertices.hide(diagram, {vertex for vertex in diagram.idents if is_hidden(vertex.item)})
    style = _style(rows, chosen, copies, diagram, direction)
    return View(reading, chosen, copies, diagram, style, _parts(chosen, copies, diagram, is_hidden))


def _parts(steps: Steps, copies: Copies, diagram: Diagram, is_hidden: Callable[[Item], bool]) -> Parts:
    return Parts(
        vertices=diagram.idents.keys(),
        arrows=diagram.arrows,
        vertex=lambda item: item,
        arrow=finder(steps, copies, diagram),
        is_hidden=is_hidden,
        frames=lambda node: [None] if node in copies.transposed else copies.frames[node],
        copies=copies.nodes - copies.transposed.keys(),
    )


# --- what the view draws in its own way -----------------------------------------------------------


def _style(rows: Rows | None, steps: Steps, copies: Copies, diagram: Diagram, direction: str | None) -> Style:
    def notes(labels: Labels) -> list[str]:
        return _notes(labels, set(rows.units if rows else ()), steps, copies, diagram)

    if rows is None:
        return Style({}, {}, _usual, notes)
    is_cell = len(steps.shown) == 1 and direction in (None, "LR", "RL")
    return Style(
        titles={frame: rows.titles[frame.row] for frame in steps.frames},
        paths=_paths(rows, steps, is_cell),
        look_of=_usual,
        notes=notes,
        shared=_shared(diagram),
        levels=rows.levels,
        plain_links={a for a in diagram.arrows if _goes_back(a, rows)},
        is_cell=is_cell,
        elided={v: _when(rows, min(t), max(t)) for v, t in diagram.elided.items()} if is_cell else {},
    )


def _usual(a: Arrow, usual: dot.Look, heated: bool) -> dot.Look:
    return usual


def _when(rows: Rows, first: Frame, last: Frame) -> str:
    """The name of a step, or of several in a row."""
    unit = rows.units[first.row]
    return f"{unit} = {first.step}" + (f" … {last.step}" if last != first else "")


def _paths(rows: Rows, steps: Steps, is_cell: bool) -> dict[Frame, tuple[Path, dot.Look]]:
    """Every frame's path and look, one for a gap; rows with titles stand in frames of their own."""
    paths: dict[Frame, tuple[Path, dot.Look]] = {}
    for i, frame in enumerate(steps.frames):
        is_gap = frame in steps.gaps
        first, last = steps.gaps.get(frame, (frame, frame))
        if frame != first or (is_gap and is_cell):
            continue
        title = rows.titles[frame.row]
        outer = (f"{frame.row} {title}",) if title else ()
        look = {"label": _when(rows, first, last), **(dot.ELIDED_FRAME if is_gap else dot.FRAME)}
        paths[frame] = (*outer, f"t{i}"), look
    return paths


def _shared(diagram: Diagram) -> set[Leaf]:
    """Leaves that several steps use."""
    uses = Counter([item for item, frame in diagram.idents if frame and isinstance(item, Variable)])
    return {item for item, n in uses.items() if n > 1}


def _goes_back(a: Arrow, rows: Rows) -> bool:
    """Does it lead from a step into the recorded backward pass of the same step?"""
    tail, head = a.tail.frame, a.head.frame
    if tail is None or head is None or tail.step != head.step:
        return False
    return rows.orders[tail.row] != rows.orders[head.row]


def _notes(labels: Labels, units: set[str], steps: Steps, copies: Copies, diagram: Diagram) -> list[str]:
    """What shapes and colours mean; nothing where the picture explains itself."""
    step = units.pop() if len(units) == 1 and "t" not in units else "step"
    kinds = {labels.kind(copies.leaf(item)) for item, _ in diagram.idents}
    notes = []
    if steps.frames and labels.tints:
        notes.append(f"one colour: one parameter, with a copy in every {step} that uses it")
    if steps.frames and "constant" in kinds:
        notes.append("dashed: a constant")
    plain = not labels.arrow_heat and labels.backward is None
    if plain and any(a.is_link and not a.cut for a in diagram.arrows):
        notes.append(f"blue: from one {step} to another")
    if any(a.cut for a in diagram.arrows):
        notes.append(CUT_WORDS)
    return notes
