"""What a view with frames draws, as data: vertices, each in a frame or in none, and arrows between them.

    choose    which time steps are drawn
    copy      which items are drawn once in every step that uses them
    connect   the vertices and the arrows between them
    hide      the same without vertices that are left out

The unrolled view, the folded view and "ops" all go this way; `framed` writes them down.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ...core import Constant, Function
from ...ops import shape
from ..fold import Fold
from ..reading import Item, Leaf, Output, Reading
from ..timesteps import Frame

MOST_COPIED = 8  # an expression of parameters with more nodes is not copied into every step


class Elided(NamedTuple):
    """Stands for steps that are not drawn, in arrows that lead into them or out of them."""

    first: Frame
    last: Frame
    what: Any  # the output that they use or give, or the vertex outside of all steps that they lead to


Drawn = Item | Elided | int  # a result by its number


class Vertex(NamedTuple):
    """What is drawn in a frame, or outside of all frames; an item that is copied makes several vertices."""

    item: Drawn
    frame: Frame | None


class Arrow(NamedTuple):
    """From output ``k`` of one vertex to another vertex; no gradient comes back over one that is ``cut``."""

    tail: Vertex
    k: int
    head: Vertex
    at: int = 0  # which of several inputs from the same tail
    cut: bool = False

    @property
    def is_link(self) -> bool:
        """Does it lead from one frame to another?"""
        return None not in (self.tail.frame, self.head.frame) and self.tail.frame != self.head.frame


# --- which steps are drawn ------------------------------------------------------------------------


class Steps(NamedTuple):
    """Where nodes stand and which frames are drawn."""

    frame: Mapping[Item, Frame]
    frames: list[Frame]
    shown: set[Frame]
    gaps: dict[Frame | None, tuple[Frame, Frame]]  # hidden frame -> first and last of the hidden in a row


def choose(
    frame: Mapping[Item, Frame], frames: list[Frame], wanted: Collection[int] | int | None = None
) -> Steps:
    """The first so many steps of every row, or those with the given numbers, below 0 from the last one."""
    if wanted is None or not frames:
        return Steps(frame, frames, set(frames), {})
    shown: set[Frame] = set()
    for row in {f.row for f in frames}:
        own = [f for f in frames if f.row == row]
        if isinstance(wanted, int):
            shown.update(own[:wanted])
        else:
            numbers = {own[-1].step + 1 + t if t < 0 else t for t in wanted}
            shown.update([f for f in own if f.step in numbers])
    if not shown:
        last = frames[-1].step
        raise ValueError(f"draw expected steps between 0 and {last} to show, got {wanted!r}")
    return Steps(frame, frames, shown, _gaps(frames, shown))


def _gaps(frames: Sequence[Frame], shown: set[Frame]) -> dict[Frame | None, tuple[Frame, Frame]]:
    gaps: dict[Frame | None, tuple[Frame, Frame]] = {}
    gap: list[Frame] = []
    for frame, after in zip(frames, [*frames[1:], None], strict=True):
        if frame in shown:
            continue
        gap.append(frame)
        if after is None or after in shown or after.row != frame.row:
            gaps.update(dict.fromkeys(gap, (gap[0], gap[-1])))
            gap = []
    return gaps


# --- what is copied into steps --------------------------------------------------------------------


class Copies(NamedTuple):
    """Which items are drawn several times, and which are drawn as another one."""

    frames: dict[Item, list[Frame | None]]  # of every node, where it is drawn
    nodes: set[Item]  # those outside of all steps that are drawn in every step that uses them
    transposed: dict[Drawn, tuple[Leaf, str]]  # of these, drawn as a leaf: that leaf and the mark ᵀ
    origins: dict[Item, tuple[Function, int]]  # cut constant -> the output in the graph that it was

    def leaf(self, item: Drawn) -> Drawn:
        """The leaf that an item is drawn as; the item if it is drawn as itself."""
        return self.transposed[item][0] if item in self.transposed else item


def copy(reading: Reading | Fold, steps: Steps, may_copy: Callable[[Function], bool]) -> Copies:
    """Decide which nodes outside of all steps are copied into them, as leaves are.

    Those are transposed leaves, and small expressions of leaves that several steps use, if ``may_copy``.
    """
    origins = reading.origins() if isinstance(reading, Reading) else {}
    sizes = _sizes_of_expressions(reading, steps, origins)
    transposed = _transposed_leaves(reading, sizes)
    frames: dict[Item, list[Frame | None]] = {}
    nodes: set[Item] = set()
    users: dict[Output, set[Frame | None]] = {}  # per output, the frames that need it
    for _, v in reading.results:
        users[reading.source_of(v)] = {None}
    for node in reversed(reading.nodes):
        own: set[Frame | None] = {steps.frame.get(node)}
        outputs = len(node.out_dtype) if node.multi_output else 1
        per_output = [users.get((node, k), set()) for k in range(outputs)]
        most = max([len(needing - {None}) for needing in per_output])
        if node in transposed and most > 0 or node in sizes and most > 1 and may_copy(node):
            nodes.add(node)
            own = set[Frame | None]().union(*per_output)
        frames[node] = sorted(own, key=_outside_last)
        for item, k in reading.sources[node]:
            if isinstance(item, Function):
                users.setdefault((item, k), set()).update(own)
    transposed = {node: leaf for node, leaf in transposed.items() if node in nodes}
    origins = {constant: value for constant, value in origins.items() if value[0] not in nodes}
    return Copies(frames, nodes, transposed, origins)


def _sizes_of_expressions(
    reading: Reading | Fold, steps: Steps, origins: Collection[Item]
) -> dict[Item, int]:
    """Node outside of all steps -> number of nodes of its expression, if leaves alone are in it."""
    sizes: dict[Item, int] = {}
    for node in reading.nodes:
        sources = [item for item, _ in reading.sources[node]]
        inner = [item for item in sources if isinstance(item, Function)]
        if node in steps.frame or not sources or any(item not in sizes for item in inner):
            continue
        size = 1 + sum([sizes[item] for item in inner])
        if size <= MOST_COPIED and not any(item in origins for item in sources):
            sizes[node] = size
    return sizes


def _transposed_leaves(reading: Reading | Fold, among: Iterable[Item]) -> dict[Drawn, tuple[Leaf, str]]:
    """Node -> the leaf that it only brings into another layout, and ᵀ if it is transposed there."""
    found: dict[Drawn, tuple[Leaf, str]] = {}
    for node in among:
        if isinstance(node, shape.Transpose | shape.Contiguous):
            item, _ = reading.sources[node][0]
            leaf, mark = found.get(item, (item, ""))
            if not isinstance(leaf, Function):
                found[node] = leaf, mark + ("ᵀ" if isinstance(node, shape.Transpose) else "")
    return found


def _outside_last(frame: Frame | None) -> tuple[bool, Frame]:
    return frame is None, frame or Frame(0, 0)


# --- vertices and arrows --------------------------------------------------------------------------


class Diagram(NamedTuple):
    """All vertices with their identifiers, and all arrows, in the order of creation."""

    idents: dict[Vertex, str]
    arrows: list[Arrow]
    elided: dict[Vertex, set[Frame]]  # vertex that stands for a gap -> the steps in it that it leads to


def connect(reading: Reading | Fold, steps: Steps, copies: Copies) -> Diagram:
    """The vertices of nodes, results and leaves, and what stands for steps that are not drawn."""
    suffix: dict[Frame | None, str] = {frame: f"_{i}" for i, frame in enumerate(steps.frames)}
    suffix[None] = ""
    idents: dict[Vertex, str] = {}
    arrows: dict[Arrow, None] = {}
    elided: dict[Vertex, set[Frame]] = {}
    leaves: dict[Drawn, str] = {}
    for i, node in enumerate(reading.nodes):
        for frame in copies.frames[node] if node not in copies.transposed else ():
            if frame not in steps.gaps:
                idents[Vertex(node, frame)] = f"n{i}{suffix[frame] if node in copies.nodes else ''}"
    for item, k, head, at in _edges(reading, steps, copies):
        if isinstance(head.item, int):
            idents[head] = f"y{head.item}"
        arrow = arrow_of(item, k, head, at, steps, copies)
        if arrow is None:
            continue
        for vertex in (arrow.tail, arrow.head):
            if isinstance(vertex.item, Elided):
                idents.setdefault(vertex, f"e{len(elided)}")
                elided.setdefault(vertex, set()).update(_hidden_ends(item, head, steps, copies))
            elif vertex not in idents:
                idents[vertex] = leaves.setdefault(vertex.item, f"v{len(leaves)}") + suffix[vertex.frame]
        arrows[arrow] = None
    return Diagram(idents, list(arrows), elided)


def _edges(reading: Reading | Fold, steps: Steps, copies: Copies) -> Iterator[tuple[Item, int, Vertex, int]]:
    """Every input of a vertex, and every result: item, output, vertex, and number of the input."""
    for node in reading.nodes:
        for frame in copies.frames[node] if node not in copies.transposed else ():
            for at, (item, k) in enumerate(reading.sources[node]):
                yield item, k, Vertex(node, frame), at
    for i, (_, v) in enumerate(reading.results):
        item, k = reading.source_of(v)
        if steps.frame.get(item) not in steps.gaps:  # else it is as hidden as its step
            yield item, k, Vertex(i, None), 0


def arrow_of(item: Item, k: int, head: Vertex, at: int, steps: Steps, copies: Copies) -> Arrow | None:
    """The arrow from output ``k`` of an item to ``head``, as its input ``at``.

    An end in a step that is not drawn is an `Elided`; there is no arrow between two of them.
    """
    cut = isinstance(item, Constant) and item.origin is not None
    item, k = copies.origins.get(item, (item, k))
    home = steps.frame.get(item)
    before, after = steps.gaps.get(home), steps.gaps.get(head.frame)
    if before and after:
        return None
    if before:
        what = (item, k) if head.frame is not None else head
        return Arrow(Vertex(Elided(*before, what), before[0]), 0, head, cut=cut)
    if after:
        gap = Vertex(Elided(*after, (item, k)), after[0])
        return None if home is None else Arrow(Vertex(item, home), k, gap, cut=cut)
    is_drawn_once = isinstance(item, Function) and item not in copies.nodes
    return Arrow(Vertex(item, home if is_drawn_once else head.frame), k, head, at, cut)


def _hidden_ends(item: Item, head: Vertex, steps: Steps, copies: Copies) -> set[Frame]:
    """The hidden ones of the steps that an edge connects."""
    item, _ = copies.origins.get(item, (item, 0))
    ends = steps.frame.get(item), head.frame
    return {frame for frame in ends if frame is not None and frame in steps.gaps}


# --- what is left out -----------------------------------------------------------------------------


class Join(NamedTuple):
    """One arrow in the place of two that led to a hidden vertex and on from it."""

    before: Arrow
    after: Arrow
    arrow: Arrow


def hide(diagram: Diagram, gone: set[Vertex]) -> tuple[Diagram, list[Join]]:
    """Remove hidden vertices and connect their predecessors to their successors.

    Returns the joins as well, in the order in which they were made.
    """
    joins: list[Join] = []
    if not gone:
        return diagram, joins
    idents, elided = dict(diagram.idents), {v: set(steps) for v, steps in diagram.elided.items()}
    into: dict[Vertex, list[Arrow]] = {}
    for a in diagram.arrows:
        into.setdefault(a.head, []).append(a)
    arrows: dict[Arrow, None] = {}
    for last in [a for a in diagram.arrows if a.head not in gone]:
        waiting, seen = [last], {last}
        while waiting:
            after = waiting.pop()
            if after.tail not in gone:
                arrows[after] = None
                continue
            pairs = [(before, _joined(before, after)) for before in reversed(into.get(after.tail, []))]
            new = [Join(before, after, arrow) for before, arrow in pairs if arrow is not None]
            for join in new:
                _name_elided(join, idents, elided)
            joins += new
            waiting += [join.arrow for join in new if join.arrow not in seen]
            seen.update([join.arrow for join in new])
    unused = elided.keys() - {vertex for a in arrows for vertex in (a.tail, a.head)}
    idents = {vertex: ident for vertex, ident in idents.items() if vertex not in gone | unused}
    return Diagram(idents, list(arrows), elided), joins


def _joined(before: Arrow, after: Arrow) -> Arrow | None:
    """One arrow for two with a hidden vertex between them."""
    tail, head = before.tail, after.head
    if isinstance(head.item, Elided):  # stands for the uses of one value in some steps
        if not isinstance(tail.item, Function):
            return None
        head = Vertex(head.item._replace(what=(tail.item, before.k)), head.frame)
    if isinstance(tail.item, Elided) and tail.item.what == after.tail:  # for all that goes to one vertex
        tail = Vertex(tail.item._replace(what=after.head), tail.frame)
    at = 0 if isinstance(tail.item, Elided) or isinstance(head.item, Elided) else after.at
    return Arrow(tail, before.k, head, at, before.cut or after.cut)


def _name_elided(join: Join, idents: dict[Vertex, str], elided: dict[Vertex, set[Frame]]) -> None:
    """Give an `Elided` at an end of a joined arrow its identifier and its steps."""
    for old, new in ((join.after.head, join.arrow.head), (join.before.tail, join.arrow.tail)):
        if isinstance(new.item, Elided):
            idents.setdefault(new, f"{idents[old]}_{len(idents)}")
            elided.setdefault(new, set()).update(elided[old])
