"""The unrolled view: one frame per time step, side by side, each with its own copies of the parameters.

The picture grows in one direction only and needs no long lines. Vertices, arrows and frames are found
here; `layout` says how frames and the links between them are laid out. The view "ops" is the same
without frames.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ...core import Constant, Function, Variable
from ...ops import shape
from ..fold import Fold, name_of
from ..reading import Item, Reading
from ..timesteps import Frame, Rows
from . import dot
from .cell import at_the_ends, highway
from .heat import Heat, is_linear
from .labels import Labels, kind_of
from .layout import Arrow, Elided, Group, Key, last_rows, place_upright
from .scene import Scene

MOST_COPIED = 8  # an expression of parameters with more nodes is not copied into every step


class Unrolled:
    """Vertices, arrows and frames. A vertex is a pair (item, frame): a copied item has several."""

    side_by_side = True  # does time run across the arrows?

    def __init__(
        self,
        reading: Reading | Fold,
        rows: Rows | None,
        steps: Collection[int] | int | None = None,
        hide: Collection[Any] = (),
        heat: Heat | None = None,
    ):
        self.reading, self.rows, self.hide, self.heat = reading, rows, hide, heat
        self.frame = rows.frame if rows else {}
        self.frames = list(rows.frames) if rows else []
        self.shown = self._choose(steps)
        self.runs = self._runs()
        self.origins = reading.origins() if isinstance(reading, Reading) else {}
        self.groups: dict[Function, list[Group]] = {}
        self.copied: set[Function] = set()
        self.turned: dict[Function, tuple[Item, str]] = {}  # drawn like a leaf: the leaf, its transpose
        if self.frames:
            self._copy_into_steps()
        self.idents: dict[Key, str] = {}
        self.reached: dict[Key, set[Frame]] = {}  # what stands for hidden steps -> those that it leads to
        self.arrows: list[Arrow] = []
        self._connect()
        self._leave_out()

    # -- what stands where

    def _choose(self, steps: Collection[int] | int | None) -> set[Frame]:
        """The frames that are drawn; numbers below 0 count from the last step."""
        if steps is None:
            return set(self.frames)
        shown: set[Frame] = set()
        for row in {f.row for f in self.frames}:
            own = [f for f in self.frames if f.row == row]
            if isinstance(steps, int):
                shown.update(own[:steps])
            else:
                wanted = {own[-1].step + 1 + t if t < 0 else t for t in steps}
                shown.update([f for f in own if f.step in wanted])
        if not shown and self.frames:
            last = self.frames[-1].step
            raise ValueError(f"draw expected steps between 0 and {last} to show, got {steps!r}")
        return shown

    def _runs(self) -> dict[Frame, tuple[Frame, Frame]]:
        """Hidden frame -> the first and the last of the hidden frames in a row that it is part of."""
        runs: dict[Frame, tuple[Frame, Frame]] = {}
        run: list[Frame] = []
        for i, frame in enumerate(self.frames):
            if frame in self.shown:
                continue
            after = self.frames[i + 1] if i + 1 < len(self.frames) else None
            run.append(frame)
            if after is None or after in self.shown or after.row != frame.row:
                runs.update(dict.fromkeys(run, (run[0], run[-1])))
                run = []
        return runs

    def _copy_into_steps(self) -> None:
        """Decide which nodes outside of the steps are copied into them, like the leaves they come from."""
        size: dict[Function, int] = {}  # of expressions of leaves alone, outside of all steps
        for node in self.reading.nodes:
            sources = [item for item, _ in self.reading.sources[node]]
            if node in self.frame or any(isinstance(s, Function) and s not in size for s in sources):
                continue
            if any(s in self.origins for s in sources):
                continue
            n = 1 + sum([size.get(s, 0) for s in sources])
            if n > MOST_COPIED or not sources:
                continue
            size[node] = n
            leaf, mark = self.turned.get(sources[0], (sources[0], ""))
            if isinstance(node, shape.Transpose | shape.Contiguous) and not isinstance(leaf, Function):
                self.turned[node] = leaf, mark + ("ᵀ" if isinstance(node, shape.Transpose) else "")
        uses: dict[tuple[Item, int], set[Group]] = {}  # per output, the groups that need it
        for _, v in self.reading.results:
            uses[self.reading.source_of(v)] = {None}
        for node in reversed(self.reading.nodes):
            groups: set[Group] = {self.frame.get(node)}
            if node in size:
                outputs = len(node.out_dtype) if node.multi_output else 1
                per_output = [uses.get((node, k), set()) for k in range(outputs)]
                most = max([len(s - {None}) for s in per_output], default=0)
                if most >= (1 if node in self.turned else 2) and self._may_copy(node):
                    self.copied.add(node)
                    groups = set[Group]().union(*per_output)
            self.groups[node] = sorted(groups, key=_order)
            for item, k in self.reading.sources[node]:
                if isinstance(item, Function):
                    uses.setdefault((item, k), set()).update(groups)
        self.turned = {n: t for n, t in self.turned.items() if n in self.copied}
        self.origins = {c: o for c, o in self.origins.items() if o[0] not in self.copied}

    def _may_copy(self, node: Function) -> bool:
        """Can what flows through each copy be told?"""
        return self.heat is None or node in self.turned or (self.side_by_side and is_linear(node))

    def _vertex(self, item: Item, group: Group) -> Key:
        """The vertex of ``item`` for a consumer in ``group``."""
        if isinstance(item, Function) and item not in self.turned:
            return item, group if item in self.copied else self.frame.get(item)
        return item, group

    def _arrow(self, item: Item, k: int, head: Key, at: int = 0) -> Arrow | None:
        """The arrow to ``head`` as its input ``at``: a shorter one where one end is in a step that is not
        drawn, None where both are.
        """
        cut = isinstance(item, Constant) and item.origin is not None
        item, k = self.origins.get(item, (item, k))
        tail = self.frame.get(item) if isinstance(item, Function) else None
        if tail in self.runs and head[1] in self.runs:
            return None
        if tail in self.runs:
            what = (item, k) if head[1] is not None else head
            return Arrow(self._stub(tail, what), 0, head, cut=cut)
        if head[1] in self.runs:
            stub = self._stub(head[1], (item, k))
            return None if tail is None else Arrow((item, tail), k, stub, cut=cut)
        return Arrow(self._vertex(item, head[1]), k, head, at, cut)

    def _stub(self, frame: Frame, what: Any) -> Key:
        first, last = self.runs[frame]
        key = Elided(first, last, what), first
        self.reached.setdefault(key, set()).add(frame)
        return key

    def _connect(self) -> None:
        """Give every vertex its identifier and collect the arrows, in the order of creation."""
        number = {frame: i for i, frame in enumerate(self.frames)}
        leaves: dict[Item, str] = {}
        elided: dict[Key, str] = {}

        def suffix(group: Group) -> str:
            return "" if group is None else f"_{number[group]}"

        def connect(arrow: Arrow | None) -> None:
            if arrow is None:
                return
            for key in (arrow.tail, arrow.head):
                item, group = key
                if isinstance(item, Elided):
                    self.idents.setdefault(key, elided.setdefault(key, f"e{len(elided)}"))
                elif key not in self.idents:
                    self.idents[key] = leaves.setdefault(item, f"v{len(leaves)}") + suffix(group)
            self.arrows.append(arrow)

        for i, node in enumerate(self.reading.nodes):
            for group in self.groups.get(node, [None]) if node not in self.turned else ():
                if group not in self.runs:
                    self.idents[node, group] = f"n{i}{suffix(group) if node in self.copied else ''}"
        for node in self.reading.nodes:
            if node not in self.turned:
                for group in self.groups.get(node, [None]):
                    for at, (item, k) in enumerate(self.reading.sources[node]):
                        connect(self._arrow(item, k, (node, group), at))
        for i, (_, v) in enumerate(self.reading.results):
            if self.frame.get(self.reading.source_of(v)[0]) in self.runs:
                continue  # as little to be seen as the step that it comes from
            self.idents[i, None] = f"y{i}"
            connect(self._arrow(*self.reading.source_of(v), (i, None)))
        self.arrows = list(dict.fromkeys(self.arrows))

    def _leave_out(self) -> None:
        """Take vertices away; what led to them leads on to what they led to."""
        gone = {key for key in self.idents if self._is_hidden(key[0])}
        if not gone:
            return
        into: dict[Key, list[Arrow]] = {}
        for a in self.arrows:
            into.setdefault(a.head, []).append(a)
        arrows: dict[Arrow, None] = {}
        for first in [a for a in self.arrows if a.head not in gone]:
            waiting, seen = [first], {first}
            while waiting:
                a = waiting.pop()
                if a.tail not in gone:
                    arrows[a] = None
                    continue
                ways = [self._joined(way, a) for way in reversed(into.get(a.tail, []))]
                new = [way for way in ways if way is not None and way not in seen]
                seen.update(new)
                waiting += new
        self.arrows = list(arrows)
        ends = {key for a in self.arrows for key in (a.tail, a.head)}
        elided = {key for key in self.idents if isinstance(key[0], Elided)}
        self.idents = {k: ident for k, ident in self.idents.items() if k not in gone | (elided - ends)}

    def _joined(self, way: Arrow, a: Arrow) -> Arrow | None:
        """One arrow for two with a vertex between them that is left out."""
        tail, head = way.tail, a.head
        if isinstance(head[0], Elided):  # stands for the uses of one value in some steps
            if not isinstance(tail[0], Function):
                return None
            head = head[0]._replace(what=(tail[0], way.k)), head[1]
            self._rename(a.head, head)
        if isinstance(tail[0], Elided) and tail[0].what == a.tail:  # stands for all that goes to one vertex
            tail = tail[0]._replace(what=a.head), tail[1]
            self._rename(way.tail, tail)
        at = 0 if isinstance(tail[0], Elided) or isinstance(head[0], Elided) else a.at
        return Arrow(tail, way.k, head, at, way.cut or a.cut)

    def _rename(self, stub: Key, new: Key) -> None:
        """Let another stub stand for the same steps."""
        self.idents.setdefault(new, f"{self.idents[stub]}_{len(self.idents)}")
        self.reached.setdefault(new, set()).update(self.reached[stub])

    def _measure(self, heat: Heat) -> None:
        """Find what flows over the arrows."""
        drawn = {(a.tail[0], a.k, a.head, a.at): a for a in self.arrows}  # a leaf may stand in another frame

        def arrow(item: Item, k: int, head: Any, at: int, group: Group) -> Arrow | None:
            a = None if head in self.turned else self._arrow(item, k, (head, group), at)
            return None if a is None else drawn.get((a.tail[0], a.k, a.head, a.at))

        copies = {n: self.groups[n] for n in self.copied if n not in self.turned}
        self._carry(heat, arrow, copies)

    def _carry(
        self, heat: Heat, arrow: Callable[..., Arrow | None], copies: Mapping[Any, list[Group]]
    ) -> None:
        heat.measure(
            self.arrows,
            self.idents,
            arrow,
            spot=lambda item: item,
            gone=self._is_hidden,
            frame=self.frame.get,
            copies=copies,
        )

    def _is_hidden(self, item: Item) -> bool:
        if not self.hide or isinstance(item, int | Elided):
            return False
        leaf = self.turned[item][0] if item in self.turned else item
        return hidden(leaf, self.hide)

    # -- the picture

    def is_cell(self, direction: str | None) -> bool:
        """One step alone is drawn as books draw a cell: the state runs through it from side to side."""
        return len(self.shown) == 1 and direction in (None, "LR", "RL")

    def scene(self, labels: Labels, direction: str | None) -> Scene:
        """All of it, ready to be written."""
        if self.heat:
            self._measure(self.heat)
        cell = self.cell = self.is_cell(direction)
        labels.use(self.origins.values())
        scene = Scene(direction or ("BT" if self.frames and not cell else "LR"))
        leaves = [self.turned[item][0] if item in self.turned else item for item, _ in self.idents]
        labels.parameters([i for i in leaves if not isinstance(i, Function | int | Elided)], self.tied())
        for path, look in self.paths().values():
            if path[:-1] and path[:-1] not in scene._looks:
                title = dot.escape(dot.clean(path[0].partition(" ")[2]))
                scene.open(path[:-1], {**dot.FRAME, "bgcolor": "white", "label": title})
            scene.open(path, look)
        paths: dict[Group, tuple[str, ...]] = {g: path for g, (path, _) in self.paths().items()}
        paths[None] = ()
        paths.update({frame: () for frame in self.runs if frame not in paths})
        for key, ident in self.idents.items():
            labels.inside, labels.group = self.title(key[1]), key[1]
            scene.add(dot.node(ident, *self._look(key, labels, scene.reversed)), paths[key[1]])
        if cell and self.runs:
            at_the_ends(self.idents, self.arrows, scene)
        upright = self.side_by_side and scene.direction in ("BT", "TB") and bool(self.frames)
        links = [a for a in self.arrows if a.is_link]
        rows = last_rows(self) if self.frames and scene.direction in ("BT", "TB") else []
        last = {key for row in rows for key in row}
        straight = highway(self.arrows) if cell and not upright else set()
        for a in self.arrows:
            if a.is_link and upright:
                continue
            look = self.arrow_look(a, labels, upright)
            if a in straight and not a.cut:
                look = {**look, **({} if labels.heat else dot.STATE), "weight": "60"}
            where = paths[a.head[1]] if a.tail[1] == a.head[1] is not None else ()
            ends = self.tail(a, labels), self.idents[a.head]
            if a.head in last and not isinstance(
                a.tail[0], Function | Elided
            ):  # above the row, not between frames
                ends, look = ends[::-1], {**look, "dir": "back"}
            scene.add(dot.edge(*ends, look), where)
        if upright and self.rows:
            place_upright(self, scene, labels, links, paths)
        scene.first += [f"{{rank=same; {'; '.join([self.idents[k] for k in row])}}}" for row in rows]
        self.explain(scene, labels, any(not a.cut for a in links))
        return scene

    def tied(self) -> set[Item]:
        """Leaves that several steps use."""
        in_frames: list[Item] = [i for i, group in self.idents if group and isinstance(i, Variable)]
        return {item for item, n in Counter(in_frames).items() if n > 1}

    def title(self, group: Group) -> str:
        """What is written on the row of a frame."""
        return self.rows.titles[group.row] if self.rows and group else ""

    def when(self, first: Frame, last: Frame | None = None) -> str:
        """The name of a step, or of several in a row."""
        unit = self.rows.units[first.row] if self.rows else "t"
        return f"{unit} = {first.step}" + (f" … {last.step}" if last and last != first else "")

    def goes_back(self, a: Arrow) -> bool:
        """Does it lead from a step into the recorded backward pass of the same step?"""
        tail, head = a.tail[1], a.head[1]
        if not (self.rows and tail and head) or tail.step != head.step:
            return False
        return self.rows.orders[tail.row] != self.rows.orders[head.row]

    def arrow_look(self, a: Arrow, labels: Labels, upright: bool) -> dict[str, str]:
        """What an arrow looks like."""
        gates = labels.has_ports(a.tail[0]) and a.tail[1] is not None
        look = {"weight": "2"} if gates and upright else {}  # keeps the gates of a cell in one row
        if a.is_link:
            look = {"color": dot.LINK, "penwidth": "2"}
        if labels.heat:
            look = {**look, **labels.heat.edge(a, known=labels.heat.vertex(*a.tail))}
        return {**look, **dot.CUT} if a.cut else look

    def paths(self) -> dict[Frame, tuple[tuple[str, ...], dict[str, str]]]:
        """Every frame's path and look; rows of one sequence each stand in a frame of their own."""
        paths = {}
        for i, frame in enumerate(self.frames):
            title = self.title(frame)
            outer = (f"{frame.row} {title}",) if title else ()
            if frame in self.shown:
                look = {"label": self.when(frame), **dot.FRAME}
            elif self.runs[frame][0] == frame and not self.cell:
                look = {"label": self.when(*self.runs[frame]), **dot.ELIDED_FRAME}
            else:
                continue
            paths[frame] = ((*outer, f"t{i}"), look)
        return paths

    def _look(self, key: Key, labels: Labels, reversed: bool) -> tuple[str, dict[str, str]]:
        item = key[0]
        if isinstance(item, int):
            return labels.result(item)
        if isinstance(item, Elided):
            step = self.when(min(self.reached[key]), max(self.reached[key])) if self.cell else ""
            return "elided", {"label": dot.lines(name_of(*item.what) or "⋯", step)}
        if item in self.turned:
            leaf, mark = self.turned[item]
            return labels.leaf(leaf, mark, item.out_shape)
        if not isinstance(item, Function):
            return labels.leaf(item)
        return labels.operation(item, reversed)

    def tail(self, arrow: Arrow, labels: Labels) -> str:
        """Where an arrow starts, in DOT."""
        ident = self.idents[arrow.tail]
        return f"{ident}:p{arrow.k}" if labels.has_ports(arrow.tail[0]) else ident

    def cut_words(self) -> list[str]:
        """What arrows with a bar mean, if there are any."""
        cut = any(a.cut for a in self.arrows)
        return ["dashed arrow with a bar: the value flows on, its gradient is cut"] if cut else []

    def explain(self, scene: Scene, labels: Labels, links: bool) -> None:
        """What shapes and colours mean; nothing where the picture explains itself."""
        labels.explain(scene)
        kinds = {labels.kind(self.turned[i][0] if i in self.turned else i) for i, _ in self.idents}
        told = []
        units = set(self.rows.units) if self.rows else set()
        step = units.pop() if len(units) == 1 and "t" not in units else "step"
        if self.frames and labels.tints:
            told.append(f"one colour: one parameter, with a copy in every {step} that uses it")
        if "constant" in kinds and self.frames:
            told.append("dashed: a constant")
        if links and not labels.heat:
            told.append(f"blue: from one {step} to another")
        told += self.cut_words()
        scene.notes += ["   ·   ".join(told)] if told else []


def hidden(item: Item, hide: Collection[Any]) -> bool:
    """Does ``hide`` name this item: by kind, by operation, or itself?"""
    words = {kind_of(item), item.label if isinstance(item, Function) else ""}
    return any(h in words if isinstance(h, str) else h is item for h in hide)


def _order(group: Group) -> tuple[bool, Frame]:
    return group is None, group or Frame(0, 0)
