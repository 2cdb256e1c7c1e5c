"""How frames stand side by side when time runs across the arrows, and how links between them run.

Graphviz aligns frames only if links between them do not count for ranks, and then routes a long link
around the whole picture; what stands here are the few hidden points and edges that make it draw
columns of equal height with short links.
"""

from collections.abc import Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

from ...core import Function
from ..reading import Item
from ..timesteps import Frame
from . import dot
from .labels import Labels
from .scene import Path, Scene

if TYPE_CHECKING:
    from .unrolled import Unrolled

Group = Frame | None  # None outside of all steps
Key = tuple[Item, Group]


class Elided(NamedTuple):
    """Stands for all values that lead into or out of steps that are not drawn."""

    first: Frame
    last: Frame
    what: Any


class Arrow(NamedTuple):
    """From output ``k`` of one vertex to another vertex; over a ``cut`` one goes no gradient."""

    tail: Key
    k: int
    head: Key
    at: int = 0  # which of several inputs from the same tail
    cut: bool = False

    @property
    def is_link(self) -> bool:
        """Does it lead from one time step to another?"""
        return None not in (self.tail[1], self.head[1]) and self.tail[1] != self.head[1]


def place_upright(
    view: "Unrolled", scene: Scene, labels: Labels, links: list[Arrow], paths: Mapping[Group, Path]
) -> None:
    """Put frames of one level side by side, draw the links."""
    scene.newrank = True
    levels = view.rows.levels if view.rows else [0]
    level = [a for a in links if a.tail[1] and a.head[1] and levels[a.tail[1].row] == levels[a.head[1].row]]
    across = set(level)
    for a in links:
        if a not in across:  # to a row above: an arrow like any other
            look = {} if view.goes_back(a) else {"color": dot.LINK, "penwidth": "2"}
            scene.add(dot.edge(view.tail(a, labels), view.idents[a.head], {**look, **_heat(labels, a)}))
    _links(view, scene, labels, level, paths)
    scene.first += _in_order(view, levels, paths)


def _heat(labels: Labels, *arrows: Arrow) -> dict[str, str]:
    if arrows[0].cut:
        return dot.CUT
    return labels.heat.edge(*arrows) if labels.heat else {}


def _links(
    view: "Unrolled", scene: Scene, labels: Labels, links: list[Arrow], paths: Mapping[Group, Path]
) -> None:
    """Links between frames that stand side by side.

    A link over more than one rank is broken at a joint in the frame where it ends: it crosses over to the
    joint on the level where it starts, and runs up or down inside the frame. Links are written from the
    lower to the higher end, as the layout wants.
    """
    height: dict[Key, int] = {}
    stubs = [a for a in links if not isinstance(a.tail[0], Function) or not isinstance(a.head[0], Function)]
    for a in view.arrows:  # in the order of creation: tails are complete
        if not a.is_link:
            height[a.head] = max(height.get(a.head, 0), height.get(a.tail, 0) + 1)
    for a in stubs:
        stub, other = (a.tail, a.head) if not isinstance(a.tail[0], Function) else (a.head, a.tail)
        if stub not in height and view.idents[other]:
            height[stub] = height.get(other, 0)
            scene.add(f"{{rank=same; {view.idents[stub]}; {view.idents[other]}}}")

    def joint_of(a: Arrow) -> tuple[Key, int, Group, bool, bool] | None:
        """The joint that a link runs through, if it needs one."""
        rise = height.get(a.head, 0) - height.get(a.tail, 0)
        return (a.tail, a.k, a.head[1], rise > 0, a.cut) if abs(rise) > 1 else None

    sharing: dict[Any, list[Arrow]] = {}
    for a in links:
        sharing.setdefault(joint_of(a), []).append(a)
    joints: dict[Any, str] = {}
    for a in links:
        tail, head, path = view.tail(a, labels), view.idents[a.head], paths[a.head[1]]
        look = {"color": dot.LINK, "penwidth": "2", **_heat(labels, a)}
        rise = height.get(a.head, 0) - height.get(a.tail, 0)
        key = joint_of(a)
        if key is None:
            flat = {**look, "constraint": "false"}
            ends, way = ((head, tail), {"dir": "back"}) if rise < 0 else ((tail, head), {})
            scene.add(dot.edge(*ends, {**flat, **way}))
            continue
        joint = joints.get(key)
        if joint is None:
            joint = joints[key] = f"j{len(joints)}"
            both = {"color": dot.LINK, "penwidth": "2", **_heat(labels, *sharing[key])}
            scene.add(dot.node(joint, "joint", {"color": both["color"], "fillcolor": both["color"]}), path)
            ends = (tail, joint) if rise > 0 else (joint, tail)
            scene.add(dot.edge(*ends, {**both, "dir": "none", "weight": "3"}))
        if rise > 0:
            scene.add(dot.edge(joint, head, {**look, "weight": "0"}), path)
        else:
            scene.add(dot.edge(head, joint, {**look, "dir": "back", "weight": "0"}), path)


def _in_order(view: "Unrolled", levels: list[int], paths: Mapping[Group, Path]) -> list[str]:
    """A hidden row of points under the frames of a level: keeps them in order and above what enters them.

    Graphviz orders frames as it first finds them, so this comes first in the text, step by step.
    """
    frames = [f for f in view.frames if paths.get(f)]
    bottom: dict[Group, Key] = {}  # the operation that a step starts with
    above: dict[Group, list[str]] = {frame: [] for frame in frames}
    below: dict[str, Frame] = {}  # what enters, with the first step that it enters
    after: set[Key] = set()  # what depends on some step
    for tail, _, head, *_ in view.arrows:
        frame = head[1]
        if tail[1] is not None or tail in after:
            after.add(head)
        if frame is None or frame not in above:
            continue
        if tail[1] is None and tail not in after:
            ident = view.idents[tail]
            below[ident] = min(frame, below.get(ident, frame))
        elif tail[1] == frame and bottom.setdefault(frame, head) == head:
            above[frame].append(view.idents[tail])
    for key, ident in view.idents.items():
        if key[1] in above and not (above[key[1]] or isinstance(key[0], Function)):
            above[key[1]].append(ident)  # of steps that are not drawn
    points = {frame: f"t{i}" for i, frame in enumerate(frames)}
    statements = [dot.node(point, "hidden", {"group": point}) for point in points.values()]
    for level in sorted(set(levels)):
        chain = " -> ".join([points[f] for f in frames if levels[f.row] == level])
        statements.append(f'{{rank=same; {chain} [style="invis"]}}' if "->" in chain else chain)
    if below:  # one such edge is enough; more of them cross others and disturb the order
        ident, frame = max(reversed(below.items()), key=itemgetter(1))
        statements.append(dot.edge(ident, points[frame], {"style": "invis", "weight": "0"}))
    for frame, point in points.items():
        statements += [f'{head} [group="{point}"]' for head in above[frame][:1]]  # no frame passes another
        statements += [dot.edge(point, head, {"style": "invis", "weight": "2"}) for head in above[frame]]
    return [s for s in statements if s]


def last_rows(view: "Unrolled") -> list[list[Key]]:
    """What follows the last step, operation by operation: one row above the frames each, not a tower."""
    consumers: dict[Key, list[Key]] = {}
    needs: dict[Key, list[Key]] = {}
    for a in view.arrows:
        consumers.setdefault(a.tail, []).append(a.head)
        if isinstance(a.tail[0], Function):
            needs.setdefault(a.head, []).append(a.tail)
    rows = []
    for i in range(len(view.reading.results)):
        key: Key = (i, None)
        chain = [key]
        while len(set(needs.get(key, []))) == 1:
            key = needs[key][0]
            collects = any(tail[1] is not None for tail in needs.get(key, []))  # Graphviz loses its edges
            if key[1] is not None or collects or len(set(consumers[key])) > 1:
                break
            chain.append(key)
        if len(chain) > 1:
            rows.append(chain[::-1])
    return rows
