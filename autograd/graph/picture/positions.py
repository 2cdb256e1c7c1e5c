"""One step of an unrolled network is laid out, and all others repeat its positions.

Graphviz lays out two small graphs: one step with a port for every line that enters or leaves it, and what
stands outside of the steps around one box that is as wide as all of them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import dist, sqrt
from typing import NamedTuple

from . import dot
from .placed import Head, Line, Placed, Point, graph

GAP, LANE, BEND, PAD = 12.0, 14.0, 9.0, 10.0  # points: between frames, between lines, of corners, in frames
ROOM = 20.0  # points above and below frames
FINE = 5  # places in a step where a line from outside may end in the layout of the rest


class Misplaced(Exception):
    """Something stands in the way of what goes from step to step."""


class Place(NamedTuple):
    """A slot, which all steps have, in one of them."""

    slot: str
    step: int


class Route(NamedTuple):
    """The way of an arrow.

    Attributes:
        tail, head, look: as in DOT.
        inside: its line in the layout of a step, and the number of that step.
        outside: its line in the layout of the rest.
        port: where it comes into the step from the side.
    """

    tail: str
    head: str
    look: str
    inside: str = ""
    step: int = 0
    outside: str = ""
    port: str = ""


@dataclass
class Repeated:
    """An unrolled network with steps alike; ``write`` finds all positions.

    Attributes:
        up: do arrows point up?
        frames: the looks of the steps.
        vertices: identifier -> statement, of what stands in the steps or beside them.
        places: of the vertices in the steps.
        states: vertex beside the first or the last step -> the port that it leads to.
        sides: port -> 1 if it is on the left of a step, -1 if on the right.
        uneven: slots with labels that differ from step to step.
        routes: all arrows.
        step: statements of the layout of one step.
        outside: of the layout of the rest: what is drawn.
        around: of its lines, by their ids; F:p is where they enter or leave the steps.
        ranks: of what stands in one row there.
        source: DOT of the drawing that this is another layout of.
    """

    up: bool
    frames: list[str]
    vertices: dict[str, str]
    places: dict[str, Place]
    states: dict[str, str]
    sides: dict[str, int]
    uneven: set[str]
    routes: list[Route]
    step: list[str]
    outside: list[str]
    around: dict[str, str]
    ranks: list[str]
    source: str = ""

    def change(self, statement: Callable[[str], str]) -> None:
        """Put other statements in the place of all."""
        self.frames = [statement(text) for text in self.frames]
        self.vertices = {ident: statement(text) for ident, text in self.vertices.items()}
        self.outside = [statement(text) for text in self.outside]
        self.around = {line: statement(text) for line, text in self.around.items()}
        self.routes = [route._replace(look=statement(route.look)) for route in self.routes]
        self.step = [statement(text) for text in self.step]

    def write(self, layout: Callable[[str], bytes], head: Head) -> str:
        """DOT with all positions; ``layout`` makes Graphviz's JSON of DOT. "" if they cannot be alike."""
        try:
            return _Written(self, layout, head).text
        except Misplaced:
            return ""


# --- positions ------------------------------------------------------------------------------------


class _Written:
    def __init__(self, plan: Repeated, layout: Callable[[str], bytes], head: Head):
        self.plan, self.n, self.up = plan, len(plan.frames), 1 if plan.up else -1
        self.step = Placed(layout(graph(head, plan.step)))
        if not self._is_in_order():
            raise Misplaced
        left, right, low, high = self.step.box({"title", *[place.slot for place in plan.places.values()]})
        self.left, self.right, self.low, self.high = left - PAD, right + PAD, low - PAD, high + PAD
        self.pitch = round(self.right - self.left + GAP, 2)
        self.away: dict[str, float] = {}  # line or state beside the steps -> how far from them
        rooms = [self._room(side) for side in (1, -1)]
        wide, room = sum(rooms) + self.n * self.pitch - GAP, min(ROOM + 2 * self.n, 4 * ROOM)
        sides = {self._side(route) for route in plan.routes if route.inside and route.outside}
        low, high = self.low - room * (-1 in sides), self.high + room * (1 in sides)
        size = {"width": f"{wide / 72:.4f}", "height": f"{(high - low) / 72:.4f}"}
        ports = "|".join([f"<p{i}>" for i in range(FINE * self.n)])
        box = dot.node("F", "operation", {**size, "fixedsize": "true", "shape": "record", "label": ports})
        fields = {
            r.outside: int(self._entry(r, *rooms) / wide * FINE * self.n) for r in plan.routes if r.outside
        }
        around = [text.replace("F:p", f"F:p{fields[line]}") for line, text in plan.around.items()]
        self.rest = Placed(layout(graph(head, [*plan.outside, box, *around, *plan.ranks])))
        x, y = self.rest.at.pop("F")
        self.x, self.y = round(x - wide / 2 + rooms[0] - self.left, 2), round(y - (low + high) / 2, 2)
        self.free = {side: self._free(side) for side in (-1, 1)}
        self.fans: dict[str, list[str]] = {}  # vertex outside -> its lines to or from steps
        for r in sorted(plan.routes, key=lambda r: r.step):
            if r.inside and r.outside:
                self.fans.setdefault(self._far(r), []).append(r.outside)
        statements = [f"graph [{dot.attributes(self.rest.whole)}]", *self._steps(), *self._outside()]
        statements += [f'{r.tail} -> {r.head} [{r.look} pos="{self._way(r)}"]' for r in plan.routes]
        self.text = graph({**head, "graph": {**head["graph"], "layout": "nop2"}}, statements)

    def _is_in_order(self) -> bool:
        """Is the way free from every value that goes to the next step, and to where it arrives?"""
        at = self.step.at
        slots = {place.slot for place in self.plan.places.values()}
        for port, side in self.plan.sides.items():
            (x, y), (end, _) = at[port[1:]], at[port]
            row = [a for a, b in [at[slot] for slot in slots] if abs(b - y) < 1]
            if any(side * a > side * x or side * a < side * end for a in row):
                return False
        return True

    def _room(self, side: int) -> float:
        """Place what comes in from one side of all steps; returns the room that it takes."""
        level = {port: self.step.at[port][1] for port, own in self.plan.sides.items() if own == side}
        lanes = {
            r.outside: self.up * level[r.port] for r in self.plan.routes if r.outside and r.port in level
        }
        for i, lane in enumerate(sorted(lanes, key=lambda lane: lanes[lane])):  # so that none cross
            self.away[lane] = GAP / 2 + LANE * (i + 0.5)
        states = {state: level[port] for state, port in self.plan.states.items() if port in level}
        wide = GAP + max([self.step.size[state][0] for state in states], default=0.0)
        room = GAP / 2 + LANE * len(lanes)
        columns: list[float] = []  # how high they are filled
        for state in sorted(states, key=lambda state: states[state]):
            y, half = states[state], self.step.size[state][1] / 2
            i = next((i for i, top in enumerate(columns) if top < y - half), len(columns))
            columns[i : i + 1] = [y + half + PAD / 2]
            self.away[state] = room + wide * (i + 0.5)
        return room + wide * len(columns) if lanes or states else 0.0

    def _entry(self, route: Route, left: float, right: float) -> float:
        """Where a line from or to what is outside comes in, from the left edge of all, given the rooms."""
        if route.port:
            away, all_steps = self.away[route.outside], self.n * self.pitch - GAP
            return left - away if self.plan.sides[route.port] > 0 else left + all_steps + away
        if not route.inside:
            return 0.0
        x, _ = self.step.lines[route.inside].points[0 if route.head in self.plan.places else -1]
        return left + route.step * self.pitch + x - self.left

    def _border(self, side: int) -> float:
        """The lower (-1) or the upper (1) edge of all steps."""
        return self.y + (self.high if side > 0 else self.low)

    def _free(self, side: int) -> float:
        """How near what stands below (-1) or above (1) the steps comes to them."""
        border, size = side * self._border(side), self.rest.size
        ends = [side * y - size[v][1] / 2 for v, (_, y) in self.rest.at.items()]
        return side * min([end for end in ends if end > border], default=border + GAP)

    def _edge(self, port: str) -> tuple[int, float]:
        """The side of a port, and where the steps begin there."""
        side = self.plan.sides[port]
        return side, self.x + (self.left if side > 0 else self.right + (self.n - 1) * self.pitch)

    def _point(self, ident: str) -> Point:
        """The middle of a vertex in a step or beside one."""
        if ident in self.plan.places:
            slot, step = self.plan.places[ident]
            x, y = self.step.at[slot]
            return x + self.x + step * self.pitch, y + self.y
        port = self.plan.states[ident]
        side, edge = self._edge(port)
        return edge - side * self.away[ident], self.step.at[port][1] + self.y

    def _steps(self) -> list[str]:
        contents: list[list[str]] = [[] for _ in range(self.n + 1)]
        for ident, text in self.plan.vertices.items():
            slot, step = self.plan.places.get(ident, Place("", self.n))
            (x, y), size = self._point(ident), ""
            if slot in self.plan.uneven:
                wide, high = self.step.size[slot]
                size = f' width="{wide / 72:.5f}" height="{high / 72:.5f}" fixedsize="true"'
            contents[step] += [text, f'{ident} [pos="{x:.2f},{y:.2f}"{size}]']
        low, high, (middle, title) = self._border(-1), self._border(1), self._title()
        for i, look in enumerate(self.plan.frames):
            x = self.x + i * self.pitch
            box = f"{x + self.left:.2f},{low:.2f},{x + self.right:.2f},{high:.2f}"
            at = f'graph [{look} bb="{box}" lp="{x + middle:.2f},{title + self.y:.2f}"]'
            contents[i] = [f"subgraph cluster_c{i} {{", at, *contents[i], "}"]
        return [text for content in contents for text in content]

    def _title(self) -> Point:
        """Where titles stand: in the middle if no line comes in there."""
        (x, y), middle = self.step.at["title"], (self.left + self.right) / 2
        lines = [at[0] for name, at in self.step.at.items() if name.startswith("b_")]
        is_free = all(abs(a - middle) > self.step.size["title"][0] / 2 + PAD for a in lines)
        return (middle, y) if is_free else (x, y)

    def _outside(self) -> list[str]:
        at = [f'{ident} [pos="{x:.2f},{y:.2f}"]' for ident, (x, y) in self.rest.at.items()]
        frames = self.rest.frames.items()
        return [
            *self.plan.outside,
            *at,
            *[f"subgraph {c} {{graph [{dot.attributes(b)}]}}" for c, b in frames],
        ]

    # -- lines

    def _side(self, route: Route) -> int:
        """Whether the part of a line outside is below the steps (-1) or above them (1)."""
        return -self.up if route.head in self.plan.places else self.up

    def _way(self, route: Route) -> str:
        if not route.inside:
            return self.rest.ways[route.outside]
        line = self.step.lines[route.inside].moved(self.x + route.step * self.pitch, self.y)
        if route.port:
            line = self._from_side(route, line)
        elif route.outside and route.head in self.plan.places:
            line = self._to(route, line.points[0][0]).then(line)
        elif route.outside:
            line = line.then(self._to(route, line.points[-1][0]))
        return line.written()

    def _far(self, route: Route) -> str:
        """The end of an arrow that is not in a step, without its port."""
        return (route.tail if route.head in self.plan.places else route.head).partition(":")[0]

    def _to(self, route: Route, x: float) -> Line:
        """The part of a line outside of the steps, which it enters or leaves at ``x``."""
        line, far, side = self.rest.lines[route.outside], self._far(route), self._side(route)
        is_out, middle = side == self.up, (self.free[side] + self._border(side)) / 2
        points, tip = line.points[::-1] if is_out else line.points, line.tip
        knots = [side * (y - self.free[side]) > -1.0 for _, y in points[::3]]  # not beside what is there
        near = 3 * (knots.index(False) - 1) if False in knots else 0
        if near <= 0 and ":" not in route.tail:  # the lines of one vertex start, or end, side by side
            fan, (a, b), (wide, high) = self.fans[far], self.rest.at[far], self.rest.size[far]
            by = (fan.index(route.outside) - (len(fan) - 1) / 2) * min(8.0, 0.6 * wide / len(fan))
            if line.tip:
                high *= sqrt(1 - (2 * by / wide) ** 2) if far in self.rest.round else 1
                tip = (a + by, b - side * high / 2)
                b = tip[1] - side * dist(line.tip, points[0])
            points = [(a + by, b)]
        points = points[: max(near, 0) + 1]
        points += [(points[-1][0], middle), (x, middle), (x, self._border(side))]
        return Line(points[::-1] if is_out else points, tip)

    def _from_side(self, route: Route, line: Line) -> Line:
        """The line of what comes in at a port: level, then on round a corner."""
        side, edge = self._edge(route.port)
        x, y = line.points[0][0], self.step.at[route.port[1:]][1] + self.y
        line = Line([(x - side * BEND, y), (x, y), *line.points[2:]], line.tip)
        if not route.outside:
            return Line([(self._point(route.tail)[0], y)]).then(line)
        rise = edge - side * self.away[route.outside]
        corner = [(rise, y - self.up * BEND), (rise, y), (rise, y), (rise + side * BEND, y)]
        return self._to(route, rise).then(Line(corner)).then(line)
