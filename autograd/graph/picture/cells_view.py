"""The cells view: one box per layer and step on a grid, as lectures draw recurrent networks.

`lanes` contracts the graph, `grid` says where cells stand, and this writes them down, every position fixed:
all steps look the same.
"""

import math
from collections.abc import Collection
from typing import Any, NamedTuple

from ...core import Function
from ..lanes import SUBSCRIPTS, Arrow, Cell, Lane, Lanes, Port
from . import dot
from .finish import LEAST, SLIDE
from .grid import Rows
from .heat_of_cells import HeatOfCells
from .names import Names, Params, scopes_of
from .paths import OFF, OFF_VERTEX, ON, Paths
from .render import Drawing

ROW, BOX, GAP = 62.0, 32.0, 26.0  # points: between rows, height of a box, between boxes
WIDE = 960.0  # points, which are 1280 pixels
FONT, SMALL = 16.0, 12.0  # points
PARALLEL = 12.8  # between two arrows side by side
MOST_PARALLEL = 2  # of more parts of a state, all names stand on one arrow
CUT_WORDS = "dashed, with a bar: the value flows on, its gradient is cut"
HEAD = 9.0  # length of the head of an arrow
Line = list[tuple[float, float]]  # its ends


class Box(NamedTuple):
    """A rectangle by its middle."""

    x: float
    y: float
    w: float
    h: float


class _Picture:
    """The cells view of some lanes in rows."""

    def __init__(
        self,
        rows: Rows,
        names: Names,
        params: Params,
        steps: Collection[int] | int | None,
        heat: HeatOfCells | None,
        paths: Paths | None = None,
        scale: float = 1.0,
        most: int | None = None,
        compact: bool = False,
        beside: bool = False,
    ):
        self.rows, self.lanes = rows, rows.lanes
        lanes = self.lanes
        self.names, self.heat, self.paths = names, heat, paths
        self.on = paths.cells(lanes) if paths else None
        self.modules = scopes_of(params)
        self.font, self.small = FONT * scale, SMALL * scale
        own = lanes.lanes()
        self.titles = {lane: self._title(lane) for lane in own}
        self.compact, self.width, self.column = compact, 0.0, 0.0
        room = self._measure()
        if room < self.times() and steps is None and most is None:
            self.compact = True
            if (room := self._measure()) < self.times():  # steps are left out: there is room for words
                self.compact = False
                room = self._measure()
        self.grid = self.rows.grid(steps, most or room, self._side())
        while (
            steps is None and most is None and room > 3 and self._breadth() > WIDE
        ):  # what stands beside steps
            room -= 1
            self.grid = self.rows.grid(steps, room, self._side())
        if any(cell.part >= 0 for cell in lanes.cells):
            self.column = self.width + 14
        self.boxes = {cell: self._box(cell, *at) for cell, at in self.grid.at.items()}
        self.folded = self._folded_boxes() if beside else {}
        self.idents = {cell: f"c{i}" for i, cell in enumerate(lanes.cells) if cell in self.boxes}
        self.out: list[str] = []
        self.has_cut = False
        self._alone: set[Arrow] = set()  # drawn arrows that run over no bar
        self.lines: dict[Arrow, Line] = {}  # those of them that are straight
        self.lowered: list[Line] = []  # the ends of those that come down between columns
        self.tints = {lane: dot.tint(i) for i, lane in enumerate([x for x in own if x.kind == "cell"])}

    def _side(self) -> float:
        """How far two lanes of one height stand from the middle of their column."""
        return (self.width / 3 + 5) / self.column

    def _breadth(self) -> float:
        columns = [column for column, _ in self.grid.at.values()]
        words = max([self._width(title) for title in self.titles.values()]) if self.compact else 0.0
        return (max(columns) - min(columns)) * self.column + self.width + words if columns else 0.0

    def times(self) -> int:
        """How many steps there are."""
        return len({cell.step for cell in self.lanes.cells if cell.lane.kind == "cell"})

    def _measure(self) -> int:
        """Set the width of boxes and columns; returns how many columns have room."""
        widths = [self._width(self._text(cell)) for cell in self.lanes.cells]
        self.width = max([36.0, *widths])
        self.column = self.width + (12.0 if self.compact else GAP)
        self.column += 24.0 if self.lanes.cut else 0.0  # room for the bars of a cut
        if not self.compact and (states := self._states()):
            listed = [self._width(own) * self.small / self.font for own in states if "," in own]
            self.column += 16.0 if self.lanes.backwards else 8.0
            self.column = max([self.column, *[self.width + 2 * HEAD + w for w in listed]])
        sides: dict[Lane, dict[Lane, float]] = {}
        for head, tails in self.rows.into.items():
            for tail, own in tails.items() if head.kind != "input" else ():
                if tail.kind == "input" and tail not in self.lanes.initial:
                    widths = [self._width(self._text(a.tail)) - 6 for a in own if a.tail.step is not None]
                    sides.setdefault(head, {}).update({tail: max(widths)} if widths else {})
        beside = [sum(own.values()) * len(own) / 2 + 4 for own in sides.values() if len(own) > 1]
        self.column = max([self.column, *beside])
        words = max([self._width(title) for title in self.titles.values()]) if self.compact else 0.0
        return int((WIDE - self.width - words) // self.column) + 1

    def smallest_text(self) -> float:
        """On a slide, in pixels."""
        boxes = [*self.boxes.values(), *self.folded.values()]
        wide = max([b.x + b.w / 2 for b in boxes]) - min([b.x - b.w / 2 for b in boxes]) + 12
        wide += max([self._width(title) for title in self.titles.values()]) if self.compact else 0
        high = max([b.y for b in boxes]) - min([b.y for b in boxes]) + 46
        has_notes = self.grid.gaps or self.paths or self.lanes.cut
        high += 64 if self.heat else 40 if has_notes else 0
        has_small = self.heat or has_notes or not self.compact
        return (self.small if has_small else self.font) * min(SLIDE[0] / wide, SLIDE[1] / high)

    # -- texts

    def _title(self, lane: Lane) -> str:
        """What is written on the cells of a lane, without their step."""
        if lane.name:
            return lane.name
        if lane.kind == "loss":
            return "L"
        module = self._cell(lane)
        if not lane.scope and not hasattr(module, "parts"):
            return "h"
        parts = [
            p for p in lane.scope.split(".") if not p.isdigit() and not (p[:1] == "l" and p[1:].isdigit())
        ]
        word = parts[-1] if parts else "h"
        word = type(module).__name__.removesuffix("Cell") if module is not None else word
        word = {"forward_layer": "RNN", "backward_layer": "RNN"}.get(word, word)
        if any(
            lane in self.lanes.backwards or other in self.lanes.backwards for other in self._siblings(lane)
        ):
            word += " ←" if lane in self.lanes.backwards else " →"
        word = "attention" if word.endswith("Attention") else word
        return dot.clean(word, 16)

    def _siblings(self, lane: Lane) -> list[Lane]:
        around = lane.scope.rpartition(".")[0]
        return [
            x
            for x in self.lanes.lanes()
            if x.kind == "cell" and around and x.scope.rpartition(".")[0] == around
        ]

    def _text(self, cell: Cell) -> str:
        """What is written on a cell: a letter with its step, or the name of a module."""
        lane, title = cell.lane, self.titles[cell.lane]
        is_letter = bool(lane.name) or lane.kind in ("loss", "result") or title == "h"
        if lane in self.lanes.initial:
            return title + "₋₁" if not any(c in "₀₁₂₃₄₅₆₇₈₉" for c in title) else title
        if not is_letter and self.compact:
            return ""
        if not is_letter or len(title) > 8 or (cell.step is None and cell.part < 0):
            return title
        if cell.part >= 0:
            return title + str(cell.part + 1).translate(SUBSCRIPTS) if lane.kind == "input" else title
        return title + str(cell.step).translate(SUBSCRIPTS)

    def _width(self, text: str) -> float:
        subs = sum([c in "₀₁₂₃₄₅₆₇₈₉₋" for c in text])
        return (0.58 * (len(text) - subs) + 0.36 * subs) * self.font + 14

    def _states(self) -> set[str]:
        """What is written on arrows from one step of a lane to the next."""
        own = [a for lane in self.rows.cells for a in self.rows.from_step_to_step(lane)]
        return {word for a in own for word in self._state_names(a)}

    def _state_names(self, a: Arrow) -> list[str]:
        """The names of what goes from one step of a lane to the next: two for two arrows, or all on one."""
        ports = self._ports(a)
        names = [self.names.of(*port.output) or self.names.states.get(port.output, "") for port in ports]
        names = [name for name in names if name and name != a.tail.lane.name]
        if len(ports) == 1 or len(names) < len(ports):
            return []
        if len(names) <= MOST_PARALLEL or self.compact:
            return names if len(names) <= MOST_PARALLEL else []
        order = [*self._parts(a.tail.lane), *names]
        return [", ".join(sorted(dict.fromkeys(names), key=order.index))]

    def _parts(self, lane: Lane) -> tuple[str, ...]:
        """The parts of the state of a lane, in the order of its cell."""
        return getattr(self._cell(lane), "parts", ())

    def _cell(self, lane: Lane) -> Any:
        """The module of a lane, of a loop its cell; None if it is not known."""
        module = self.modules.get(lane.scope)
        return getattr(module, "cell", module)

    def _ports(self, a: Arrow) -> list[Port]:
        """The values that go over an arrow."""
        found = list(dict.fromkeys([use.port for use in self.lanes.arrows[a]]))
        return sorted(found, key=lambda p: p.output[0].number if isinstance(p.output[0], Function) else -1)

    def _weight(self, a: Arrow) -> str:
        """The one parameter on an arrow, if its name is short."""
        own = [self.names.short(leaf) for leaf in self.lanes.weights.get(a, ())]
        return (
            own[0]
            if len(own) == 1
            and 0 < len(own[0]) <= 5
            and own[0] not in ("W", "U")
            or len(own) == 1
            and len(own[0]) <= 2
            else ""
        )

    # -- boxes

    def _box(self, cell: Cell, column: float, row: float) -> Box:
        text = self._text(cell)
        w = self.width if cell.lane.kind == "cell" else max(self._width(text) - 6, 24)
        return Box(column * self.column, row * ROW, w, BOX if cell.lane.kind == "cell" else 24)

    def _node(self, ident: str, text: str, box: Box, look: dot.Look) -> None:
        values = {
            "label": dot.escape(text),
            "pos": f"{box.x:.1f},{box.y:.1f}",
            "width": f"{box.w / 72:.3f}",
            "height": f"{box.h / 72:.3f}",
            "fixedsize": "true",
            "fontsize": f"{self.font:g}",
            "margin": "0",
            **look,
        }
        self.out.append(f"{ident} [{dot.attributes(values)}]")

    def _look(self, cell: Cell) -> dot.Look:
        lane = cell.lane
        faded = self.on is not None and cell not in self.on[0]
        if lane.kind in ("input", "result"):
            colour = {"fontcolor": dot.FADED_TEXT} if faded else {}
            return {**colour, "shape": "plaintext", "style": "", "tooltip": dot.escape(self._tooltip(cell))}
        look = {"penwidth": "1.5", "tooltip": dot.escape(self._tooltip(cell))}
        if lane.kind == "loss":
            look |= {"shape": "ellipse", "fillcolor": "#ececec", "color": dot.GREY}
        else:
            look |= self.tints[lane]
        if self.heat:
            look |= {"fillcolor": "white", **self.heat.fill(cell, None)}
        if self.on is not None:
            look |= OFF_VERTEX if faded else ON
        return look

    def _tooltip(self, cell: Cell) -> str:
        count = len(self.lanes.members.get(cell, ()))
        place = cell.lane.name or cell.lane.scope or cell.lane.kind
        step = "" if cell.step is None else f", step {cell.step}"
        text = f"{place}{step}" + (f": {count} operations" if count else "")
        return text + (f"; |gradient| = {size}" if self.heat and (size := self.heat.size(cell, None)) else "")

    # -- arrows

    def _line(
        self, tail: str, head: str, points: list[tuple[float, float]], look: dot.Look, arrow: bool = True
    ) -> None:
        """An arrow along a straight line (two points) or a curve (four)."""
        if len(points) == 2:
            (x, y), (u, v) = points
            points = [(x, y), (x + (u - x) / 3, y + (v - y) / 3), (u - (u - x) / 3, v - (v - y) / 3), (u, v)]
        start = ""
        if arrow:
            (px, py), (x, y) = points[2], points[3]
            length = math.hypot(x - px, y - py) or 1.0
            points[3] = x - HEAD * (x - px) / length, y - HEAD * (y - py) / length
            start = f"e,{x:.1f},{y:.1f} "
        values = {"pos": start + " ".join([f"{x:.1f},{y:.1f}" for x, y in points]), **look}
        if not arrow:
            values["dir"] = "none"
        if "label" in look:
            values["lp"] = look["lp"]
        self.out.append(dot.edge(tail, head, values))

    def _ends(self, a: Box, b: Box, offset: float = 0.0) -> Line:
        """From the border of one box to that of another."""
        if offset:
            a, b = a._replace(y=a.y + offset), b._replace(y=b.y + offset)
        return [_border(a, b.x, b.y), _border(b, a.x, a.y, 1.5)]

    def _arrow(self, a: Arrow) -> None:
        tail, head = self.boxes[a.tail], self.boxes[a.head]
        look = self._arrow_look(a)
        ids = self.idents[a.tail], self.idents[a.head]
        recurrent = self._is_recurrent(a)
        if self._descends(a):
            self._lower(ids, a, look)
            return
        if a not in self.lines:
            self._bend(ids, tail, head, look, recurrent)
            return
        names = self._state_names(a) if recurrent else []
        weight = "" if names else self._weight(a)
        for i, words in enumerate(names or [weight]):
            points = self._ends(tail, head, (i - (len(names) - 1) / 2) * PARALLEL if names else 0.0)
            label: dot.Look = {}
            if words:
                spot = _point(*self._beside(a, points, words, i == len(names) - 1 or not names))
                label = {"label": dot.escape(words), "lp": spot, "fontsize": f"{self.small:g}"}
            self._line(*ids, points, {**look, **label})
        if self.lanes.is_cut(a):
            (x, y), (u, v) = self._ends(tail, head)
            bar = {"fillcolor": dot.CUT["color"], "color": dot.CUT["color"], "style": "filled"}
            self._node(f"k{len(self.out)}", "", Box(0.75 * x + 0.25 * u, 0.75 * y + 0.25 * v, 3, 18), bar)
            self.has_cut = True

    def _beside(self, a: Arrow, points: Line, words: str, is_above: bool) -> tuple[float, float]:
        """Where the words on an arrow stand; on a level one where no other arrow runs."""
        (x, y), (u, v) = points
        if y == v:
            y += (0.75 if is_above else -0.75) * self.small
            spots = [(x + at * (u - x), y) for at in (0.5, 0.4, 0.6, 0.3, 0.7)]
            return self._free(a, spots, 0.3 * self.small * len(words) + 2)
        at, length = 0.5, math.hypot(u - x, v - y)
        away = self.small * (0.7 + 0.3 * len(words) * abs(v - y) / length)  # from the line, to its left
        if a.tail.step is None and abs(v - y) > abs(u - x) > 1:  # one of several from one place
            at, away = 0.4, 0.65 * self.small
        if abs(v - y) > 1.2 * ROW:  # near the lower end, the way up on its right
            at, away = (0.22, -away) if v > y else (0.78, away)
        away *= -1 if u - x < -1 else 1
        across = -(v - y) / length, (u - x) / length
        x, y = x + at * (u - x), y + at * (v - y)
        spots = [(x + side * away * across[0], y + side * away * across[1]) for side in (1, -1)]
        return self._free(a, spots, 0.3 * self.small * len(words))

    def _free(self, a: Arrow, spots: Line, half: float) -> tuple[float, float]:
        """The first of some places for words of a width that no other arrow crosses, or the first of all."""
        lines = [line for other, line in self.lines.items() if other != a]
        free = [at for at in spots if not any(_meets(line, at, half, 0.4 * self.small) for line in lines)]
        broad = half + HEAD  # these end in the head of an arrow
        free = [at for at in free if not any(_meets(to, at, broad, 0.4 * self.small) for to in self.lowered)]
        return [*free, spots[0]][0]

    def _is_recurrent(self, a: Arrow) -> bool:
        """Does it lead from a step of a lane to another, side by side?"""
        return a.tail.lane == a.head.lane and self.grid.at[a.tail][1] == self.grid.at[a.head][1]

    def _is_straight(self, a: Arrow) -> bool:
        columns = abs(self.grid.at[a.head][0] - self.grid.at[a.tail][0])
        return not (self._is_recurrent(a) and columns > 1.01 or self._is_blocked(a) or self._descends(a))

    def _descends(self, a: Arrow) -> bool:
        """Does it lead from an input above other cells down to the next column?"""
        (c, r), (d, s) = self.grid.at[a.tail], self.grid.at[a.head]
        is_free = a.tail.lane.kind == "input" and a.tail.lane not in self.lanes.initial
        return is_free and r - s > 1.5 and 0.5 < abs(d - c) < 1.5

    def _is_blocked(self, a: Arrow) -> bool:
        """Does a box stand between two others of one column?"""
        (c, r), (d, s) = self.grid.at[a.tail], self.grid.at[a.head]
        low, high = min(r, s), max(r, s)
        if high - low < 2:
            return False
        for cell, (column, row) in self.grid.at.items():
            if low < row < high and cell.lane.kind != "input":
                at = c + (d - c) * (row - r) / (s - r)
                if abs(column - at) * self.column < self.boxes[cell].w / 2 + 2:
                    return True
        return False

    def _lower(self, ids: tuple[str, str], a: Arrow, look: dot.Look) -> None:
        """Draw an arrow down between two columns."""
        tail, middle = self.boxes[a.tail], (self.boxes[a.tail].x + self.boxes[a.head].x) / 2
        points = self._between_columns(a)
        if weight := self._weight(a):
            side = 1 if middle > tail.x else -1
            spot = _point(middle + side * 0.8 * self.small, tail.y - 1.5 * ROW)
            look = {**look, "label": dot.escape(weight), "lp": spot, "fontsize": f"{self.small:g}"}
        self._line(*ids, points, look)

    def _between_columns(self, a: Arrow) -> Line:
        """A curve down between two columns."""
        tail, head = self.boxes[a.tail], self.boxes[a.head]
        side = 1 if head.x > tail.x else -1
        start = tail.x + side * (tail.w / 2 - 5), tail.y - 7
        end = head.x - side * (head.w / 2 - 5), head.y + head.h / 2 + 1.5
        middle = (tail.x + head.x) / 2
        return [start, (middle + side * 4, start[1] - 8), (end[0] - side * 15, end[1] + 0.7 * ROW), end]

    def _bend(self, ids: tuple[str, str], a: Box, b: Box, look: dot.Look, sideways: bool) -> None:
        if sideways:
            lift = ROW * 0.62
            y = a.y + a.h / 2
            points = [
                (a.x, y),
                (a.x + (b.x - a.x) * 0.2, y + lift),
                (a.x + (b.x - a.x) * 0.8, y + lift),
                (b.x, y + 1.5),
            ]
        else:
            out = self.column * 0.62
            points = [
                (a.x + a.w / 2, a.y + 4),
                (a.x + out, a.y + (b.y - a.y) * 0.25),
                (b.x + out, a.y + (b.y - a.y) * 0.75),
                (b.x + b.w / 2 + 1.5, b.y - 4),
            ]
        self._line(*ids, points, look)

    def _arrow_look(self, *arrows: Arrow) -> dot.Look:
        recurrent = all(a.tail.lane == a.head.lane and a.tail.part < 0 for a in arrows)
        look: dot.Look = {
            "color": dot.LINK if recurrent else dot.INK,
            "penwidth": "2.2" if recurrent else "1.5",
        }
        if self.heat and all(a.head.lane.kind != "result" and a.tail.lane.kind != "input" for a in arrows):
            look |= {"penwidth": "1", **self.heat.edge(*arrows)}
            look.pop("label", None)
        if all(self.lanes.is_cut(a) for a in arrows):
            look |= {"color": dot.CUT["color"], "style": "dashed", "penwidth": "2"}
        if self.on is not None:
            look |= ON if any(a in self.on[1] for a in arrows) else OFF
        return look

    # -- all of it

    def drawing(self) -> Drawing:
        for cell, box in self.boxes.items():
            self._node(self.idents[cell], self._text(cell), box, self._look(cell))
        self._row_titles()
        self._bars()
        drawn = [a for a in self.lanes.arrows if a.tail in self.boxes and a.head in self.boxes]
        self._alone.update([a for a in drawn if a not in self.grid.by_bar])
        straight = [a for a in drawn if a in self._alone and self._is_straight(a)]
        self.lines = {a: self._ends(self.boxes[a.tail], self.boxes[a.head]) for a in straight}
        curves = [self._between_columns(a) for a in drawn if a in self._alone and self._descends(a)]
        self.lowered = [points[2:] for points in curves]
        for a in drawn:
            if a in self._alone:
                self._arrow(a)
        self._gaps()
        if self.folded:
            self._fold()
        return self._finished()

    # -- the same folded, beside it

    def _folded_boxes(self) -> dict[Lane, Box]:
        """A box for every lane that has one in every step, left of all others."""
        left = min([box.x - box.w / 2 for box in self.boxes.values()]) - 2.1 * self.column
        found: dict[Lane, Box] = {}
        for cell, box in self.boxes.items():
            is_first = cell.step is not None and cell.part < 0 and cell.lane not in found
            if is_first and cell.lane not in self.lanes.initial:
                column, _ = self.grid.at[cell]
                found[cell.lane] = box._replace(x=left + (column - round(column)) * self.column)
        return found

    def _fold(self) -> None:
        """One step that stands for all: arrows to a later one lead back, in blue."""
        idents = {lane: f"f{i}" for i, lane in enumerate(self.folded)}
        for lane, box in self.folded.items():
            look = self._look(next(cell for cell in self.boxes if cell.lane == lane))
            self._node(idents[lane], self.titles[lane], box, look)
        drawn: set[tuple[Lane, Lane, bool]] = set()
        for a in self.lanes.arrows:
            tail, head = a.tail.lane, a.head.lane
            delayed = a.tail.step != a.head.step
            if tail not in idents or head not in idents or (tail, head, delayed) in drawn:
                continue
            drawn.add((tail, head, delayed))
            start, end, weight = self.folded[tail], self.folded[head], self._weight(a)
            ends, words = (
                (idents[tail], idents[head]),
                {"fontsize": f"{self.small:g}", "label": dot.escape(weight)},
            )
            look = {"color": dot.LINK if delayed else dot.INK, "penwidth": "2.2" if delayed else "1.5"}
            if not delayed:
                points = self._ends(start, end)
                (x, y), (u, v) = points
                at, side = (0.22, 1) if abs(v - y) > 1.2 * ROW else (0.5, -1)  # not on what stands between
                beside = side * (0.5 * self.small + 3)
                words["lp"] = _point(x + at * (u - x) + beside, y + at * (v - y))
            else:
                x, out = start.x + start.w / 2, 0.75 * self.column
                rise = 7.0 if tail == head else 0.0
                points = [
                    (x, start.y + rise),
                    (x + out, start.y + 3.5 * rise),
                    (end.x + end.w / 2 + out, end.y - 3.5 * rise),
                    (end.x + end.w / 2 + 1.5, end.y - rise),
                ]
                words["lp"] = _point(x + 0.75 * out + 0.9 * self.small, (start.y + end.y) / 2)
            self._line(*ends, points, {**look, **(words if weight else {})})
        right = max(box.x + box.w / 2 for box in self.folded.values())
        y = sum(box.y for box in self.folded.values()) / len(self.folded)
        first = min(box.x - box.w / 2 for box in self.boxes.values())
        spot = Box((right + first) / 2 + 0.22 * self.column, y, 40, 30)
        look = {"shape": "plaintext", "style": "", "fontcolor": dot.GREY, "fontsize": f"{1.8 * self.font:g}"}
        self._node("unfold", "⇒", spot, look)

    def _row_titles(self) -> None:
        """The names of modules, left of their rows, where boxes have no room for them."""
        left: dict[Lane, Box] = {}
        for cell, box in self.boxes.items():
            if self.compact and not self._text(cell) and (cell.lane not in left or box.x < left[cell.lane].x):
                left[cell.lane] = box
        width = max([self._width(self.titles[lane]) for lane in left], default=0.0)
        for i, (lane, box) in enumerate(left.items()):
            spot = Box(box.x - (box.w + width) / 2 - 2, box.y, width, box.h)
            self._node(f"r{i}", self.titles[lane], spot, {"shape": "plaintext", "style": ""})

    def _bars(self) -> None:
        for i, (bar, (row, first, last)) in enumerate(self.grid.bars.items()):
            x, y = (first + last) / 2 * self.column, row * ROW
            box = Box(x, y, (last - first) * self.column + self.width, 10)
            self._node(
                f"b{i}", "", box, {"fillcolor": "#dde3e8", "color": "#9aa4ad", "tooltip": "every step"}
            )
            over = [a for a, own in self.grid.by_bar.items() if own == bar]
            for end, up in ((0, True), (1, False)):
                by_cell: dict[Cell, list[Arrow]] = {}
                for a in over:
                    if a[end] in self.boxes:
                        by_cell.setdefault(a[end], []).append(a)
                for cell, own in by_cell.items():
                    place = self.boxes[cell]
                    spot = Box(min(max(place.x, x - box.w / 2), x + box.w / 2), y, 4, 10)
                    points = self._ends(place, spot) if up else self._ends(spot, place)
                    ends = (self.idents[cell], f"b{i}") if up else (f"b{i}", self.idents[cell])
                    self._line(*ends, points, self._arrow_look(*own))

    def _gaps(self) -> None:
        """The dots between steps, and the arrows into and out of what they stand for."""
        for i, ((column, row), lanes) in enumerate(self.grid.stubs.items()):
            box = Box(column * self.column, row * ROW, 30, 20)
            self._node(f"e{i}", "⋯", box, {"shape": "plaintext", "style": "", "fontcolor": dot.GREY})
            for lane in lanes:
                own = self.rows.from_step_to_step(lane)
                for cell, at in self.grid.at.items():
                    if cell.lane != lane or abs(at[0] - column) > 1.01 or not own:
                        continue
                    leaves = any(a.tail == cell and a.head not in self.boxes for a in own)
                    enters = any(a.head == cell and a.tail not in self.boxes for a in own)
                    look = {"color": dot.LINK, "penwidth": "2.2"}
                    if leaves:
                        self._line(self.idents[cell], f"e{i}", self._ends(self.boxes[cell], box), look)
                    if enters:
                        self._line(f"e{i}", self.idents[cell], self._ends(box, self.boxes[cell]), look)

    def _finished(self) -> Drawing:
        notes = [self.on[2]] if self.on else []
        for first, last in self.grid.gaps.values():
            notes.append(f"⋯ step {first}" if first == last else f"⋯ steps {first} to {last}")
        if self.has_cut:
            notes.append(CUT_WORDS)
        if self.lanes.unknown:
            notes.append(
                "x[i]: which steps it reads is released by backward; draw before it, or retain the graph"
            )
        if self.heat:
            self._legend()
            if any(
                self.heat.edge(a).get("tooltip") == "not told apart"
                for a in self.lanes.arrows
                if a in self._alone
            ):
                notes.append("grey arrow: several share one operation, not told apart")
        if notes:
            low = min([box.y for box in self.boxes.values()], default=0) - (78 if self.heat else 40)
            x = max([box.x + box.w / 2 for box in self.boxes.values()], default=0) / 2
            text = "   ·   ".join(dict.fromkeys(notes))
            box = Box(x, low, self.small * 0.5 * len(text), 16)
            self._node(
                "note",
                text,
                box,
                {"shape": "plaintext", "style": "", "fontsize": f"{self.small:g}", "fontcolor": dot.GREY},
            )
        attributes = {
            "bgcolor": dot.GRAPH["bgcolor"],
            "layout": "nop2",
            "outputorder": "edgesfirst",
            "splines": "true",
        }
        edges = {**dot.EDGE, "arrowsize": "0.9", "fontcolor": dot.INK, "fontsize": f"{self.small:g}"}
        body = [f"\t{line}\n" for line in self.out]
        return Drawing(graph_attr=attributes, node_attr=dot.NODE, edge_attr=edges, body=body)

    def _legend(self) -> None:
        heat = self.heat
        if heat is None:
            return
        swatches = [(style, values) for style, values in heat.legend() if style != "caption"]
        middle = max([box.x + box.w / 2 for box in self.boxes.values()], default=0) / 2
        low = min([box.y for box in self.boxes.values()], default=0)
        width = (
            max([self._width(values.get("label", "")) for _, values in swatches], default=0)
            * self.small
            / self.font
            + 8
        )
        for i, (_, values) in enumerate(swatches):
            x = middle + (i - (len(swatches) - 1) / 2) * (width + 4)
            look = {
                k: v
                for k, v in values.items()
                if k in ("fillcolor", "fontcolor", "color", "style", "penwidth")
            }
            self._node(
                f"l{i}",
                "",
                Box(x, low - 40, width, 22),
                {**look, "label": values.get("label", ""), "fontsize": f"{self.small:g}"},
            )
        title = heat.title()[0]
        box = Box(middle, low - 62, self.small * 0.5 * len(title), 16)
        self._node(
            "lt",
            title,
            box,
            {"shape": "plaintext", "style": "", "fontsize": f"{self.small:g}", "fontcolor": dot.GREY},
        )


def _meets(line: Line, spot: tuple[float, float], w: float, h: float) -> bool:
    """Does a line meet the rectangle of half sizes w and h around a spot?"""
    (x, y), (u, v) = line
    dx, dy, mx, my = (u - x) / 2, (v - y) / 2, (u + x) / 2 - spot[0], (v + y) / 2 - spot[1]
    is_near = abs(mx) <= w + abs(dx) and abs(my) <= h + abs(dy)
    return is_near and abs(mx * dy - my * dx) <= w * abs(dy) + h * abs(dx)


def _point(x: float, y: float) -> str:
    return f"{x:.1f},{y:.1f}"


def _border(box: Box, x: float, y: float, gap: float = 0.0) -> tuple[float, float]:
    """Where a line from the middle of a box to a point leaves the box."""
    dx, dy = x - box.x, y - box.y
    if not dx and not dy:
        return box.x, box.y
    at = min([h / abs(d) for h, d in ((box.w / 2 + gap, dx), (box.h / 2 + gap, dy)) if d])
    return box.x + dx * at, box.y + dy * at


def cells_drawing(
    lanes: Lanes,
    names: Names,
    params: Params,
    steps: Collection[int] | int | None = None,
    heat: HeatOfCells | None = None,
    slide: bool = False,
    paths: Paths | None = None,
    beside: bool = False,
) -> Drawing:
    """The cells view as DOT, all positions fixed; on a slide with so many steps as can be read.

    ``beside``: the same folded stands to its left.
    """
    rows = Rows(lanes)
    picture = _Picture(rows, names, params, steps, heat, paths, beside=beside)
    if slide:
        recurs = any(a.tail.lane == a.head.lane for a in lanes.arrows)
        column = picture.column if recurs else 48.0
        for most in range(min(picture.times(), int(WIDE / column) + 4), 2, -1):
            for compact in (False,) if recurs else (False, True):
                for scale in (1.0, 1.15, 1.3, 1.45):
                    picture = _Picture(rows, names, params, steps, heat, paths, scale, most, compact, beside)
                    if picture.smallest_text() >= LEAST:
                        return picture.drawing()
    return picture.drawing()
