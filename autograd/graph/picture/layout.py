"""How frames stand side by side when time runs across the arrows, and how links between them run.

Graphviz aligns frames only if links between them do not count for ranks, and then routes a long link
around the whole picture; what stands here are the few hidden points and edges that make it draw
columns of equal height with short links.
"""

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import NamedTuple

from ...core import Function
from ..timesteps import Frame
from . import dot
from .labels import Labels
from .scene import Path, Scene
from .vertices import Arrow, Vertex

Joint = tuple[Vertex, int, Frame | None, bool, bool]  # tail, output, frame of the heads, up? cut?


class Link(NamedTuple):
    """An arrow between two frames that stand side by side, as it is to be written."""

    arrow: Arrow
    tail: str  # in DOT, with the port that it starts from
    head: str
    path: Path  # of the frame where it ends
    rise: int  # ranks from its tail up to its head

    @property
    def joint(self) -> Joint | None:
        """What the links through one joint have in common; None for a link that needs none."""
        a = self.arrow
        return (a.tail, a.k, a.head.frame, self.rise > 0, a.cut) if abs(self.rise) > 1 else None


def heights(
    arrows: Iterable[Arrow], links: Iterable[Arrow]
) -> tuple[dict[Vertex, int], dict[Vertex, Vertex]]:
    """How many ranks each vertex stands above what it depends on in its frame.

    Leaves, and what stands for hidden steps, are as high as what they are linked to, which comes second.
    """
    height: dict[Vertex, int] = {}
    beside: dict[Vertex, Vertex] = {}
    for a in arrows:  # in the order of creation: tails are complete
        if not a.is_link:
            height[a.head] = max(height.get(a.head, 0), height.get(a.tail, 0) + 1)
    for a in links:
        end, other = (a.head, a.tail) if isinstance(a.tail.item, Function) else (a.tail, a.head)
        if not isinstance(end.item, Function) and end not in height:
            height[end] = height.get(other, 0)
            beside[end] = other
    return height, beside


def add_links(scene: Scene, links: Iterable[Link], labels: Labels) -> None:
    """Draw the links between frames that stand side by side.

    A link over more than one rank is broken at a joint in the frame where it ends: it crosses over to the
    joint on the level where it starts, and runs up or down inside the frame. Links are written from the
    lower to the higher end, as the layout wants.
    """
    sharing: dict[Joint | None, list[Arrow]] = {}
    for link in links:
        sharing.setdefault(link.joint, []).append(link.arrow)
    joints: dict[Joint, str] = {}
    for link in links:
        look = {**dot.LINKED, **flow_look(labels, link.arrow)}
        if link.joint is None:
            down = link.rise < 0
            ends = (link.head, link.tail) if down else (link.tail, link.head)
            scene.add(dot.edge(*ends, {**look, "constraint": "false", **({"dir": "back"} if down else {})}))
            continue
        if link.joint not in joints:
            joint = joints[link.joint] = f"j{len(joints)}"
            both = {**dot.LINKED, **flow_look(labels, *sharing[link.joint])}
            both.pop("label", "")  # stands on the arrows that go on from here
            fill = {"color": both["color"], "fillcolor": both["color"]}
            scene.add(dot.node(joint, "joint", fill), link.path)
            ends = (link.tail, joint) if link.rise > 0 else (joint, link.tail)
            scene.add(dot.edge(*ends, {**both, "dir": "none", "weight": "3"}))
        joint = joints[link.joint]
        if link.rise > 0:
            scene.add(dot.edge(joint, link.head, {**look, "weight": "0"}), link.path)
        else:
            scene.add(dot.edge(link.head, joint, {**look, "dir": "back", "weight": "0"}), link.path)


def flow_look(labels: Labels, *arrows: Arrow) -> dot.Look:
    """What an arrow, or a line that several share, shows of the gradient that flows there, and its mark."""
    marked = labels.marks.arrow(*arrows) if labels.marks else {}
    if arrows[0].cut:
        return {**dot.CUT, **marked}
    return {**labels.arrow_heat.edge(*arrows), **marked} if labels.arrow_heat else marked


def frames_in_order(
    arrows: Iterable[Arrow],
    idents: Mapping[Vertex, str],
    frames: Sequence[Frame],
    levels: Sequence[int],
) -> list[str]:
    """A hidden row of points under the frames of a level: keeps them in order and above what enters them.

    Graphviz orders frames as it first finds them, so this comes first in the text, step by step.
    """
    enters, above = _under_frames(arrows, idents, frames)
    points = {frame: f"t{i}" for i, frame in enumerate(frames)}
    statements = [dot.node(point, "hidden", {"group": point}) for point in points.values()]
    for level in sorted(set(levels)):
        chain = " -> ".join([points[f] for f in frames if levels[f.row] == level])
        statements.append(f'{{rank=same; {chain} [style="invis"]}}' if "->" in chain else chain)
    if enters:  # one such edge is enough; more of them cross others and disturb the order
        ident, frame = max(reversed(enters.items()), key=itemgetter(1))
        statements.append(dot.edge(ident, points[frame], {"style": "invis", "weight": "0"}))
    for frame, point in points.items():
        statements += [f'{head} [group="{point}"]' for head in above[frame][:1]]  # no frame passes another
        statements += [dot.edge(point, head, {"style": "invis", "weight": "2"}) for head in above[frame]]
    return [s for s in statements if s]


def _under_frames(
    arrows: Iterable[Arrow], idents: Mapping[Vertex, str], frames: Iterable[Frame]
) -> tuple[dict[str, Frame], dict[Frame, list[str]]]:
    """What enters frames from outside, with the first frame that it enters; what each starts with."""
    first: dict[Frame, Vertex] = {}  # the operation that a step starts with
    above: dict[Frame, list[str]] = {frame: [] for frame in frames}
    enters: dict[str, Frame] = {}
    depends: set[Vertex] = set()  # on some step
    for a in arrows:
        frame = a.head.frame
        if a.tail.frame is not None or a.tail in depends:
            depends.add(a.head)
        if frame is None or frame not in above:
            continue
        if a.tail.frame is None and a.tail not in depends:
            ident = idents[a.tail]
            enters[ident] = min(frame, enters.get(ident, frame))
        elif a.tail.frame == frame and first.setdefault(frame, a.head) == a.head:
            above[frame].append(idents[a.tail])
    for vertex, ident in idents.items():  # of steps that are not drawn
        if vertex.frame in above and not (above[vertex.frame] or isinstance(vertex.item, Function)):
            above[vertex.frame].append(ident)
    return enters, above


def last_rows(arrows: Iterable[Arrow], results: int) -> list[list[Vertex]]:
    """What follows the last step, operation by operation: one row above the frames each, not a tower."""
    consumers: dict[Vertex, list[Vertex]] = {}
    needs: dict[Vertex, list[Vertex]] = {}
    for a in arrows:
        consumers.setdefault(a.tail, []).append(a.head)
        if isinstance(a.tail.item, Function):
            needs.setdefault(a.head, []).append(a.tail)
    rows = []
    for i in range(results):
        vertex = Vertex(i, None)
        chain = [vertex]
        while len(set(needs.get(vertex, []))) == 1:
            vertex = needs[vertex][0]
            collects = any(
                tail.frame is not None for tail in needs.get(vertex, [])
            )  # Graphviz loses its edges
            if vertex.frame is not None or collects or len(set(consumers[vertex])) > 1:
                break
            chain.append(vertex)
        if len(chain) > 1:
            rows.append(chain[::-1])
    return rows
