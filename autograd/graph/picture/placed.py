"""What Graphviz says about a layout, as numbers: the points of vertices, lines and frames."""

import json
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from . import dot

Point = tuple[float, float]
Head = Mapping[str, Mapping[str, str]]  # attributes of all graphs, nodes and edges


class Line(NamedTuple):
    """A Bezier curve, and the tip of its arrow."""

    points: list[Point]
    tip: Point | None = None

    def moved(self, x: float, y: float) -> "Line":
        """The same curve elsewhere."""
        tip = self.tip and (self.tip[0] + x, self.tip[1] + y)
        return Line([(a + x, b + y) for a, b in self.points], tip)

    def then(self, line: "Line") -> "Line":
        """Both curves, with a straight line from one to the other."""
        return Line([*self.points, self.points[-1], line.points[0], *line.points], line.tip)

    def written(self) -> str:
        """As it stands in DOT."""
        points = [f"{x:.2f},{y:.2f}" for x, y in self.points]
        return " ".join([f"e,{self.tip[0]:.2f},{self.tip[1]:.2f}", *points] if self.tip else points)


class Placed:
    """A layout in Graphviz's JSON, read.

    Attributes:
        at, size: of vertices, by identifier: the middle; width and height.
        round: circles and ellipses.
        lines, ways: of arrows, by their ids: the curve, which ends at the tip if there is one; as in DOT.
        frames: boxes and places of titles, by the names of clusters.
        whole: the same of the drawing.
    """

    def __init__(self, text: bytes):
        found = json.loads(text)
        objects = found.get("objects", [])
        nodes = [o for o in objects if "pos" in o]
        edges = [edge for edge in found.get("edges", []) if "id" in edge]
        self.at = {o["name"]: _points(o["pos"])[0] for o in nodes}
        self.size = {o["name"]: (72 * float(o["width"]), 72 * float(o["height"])) for o in nodes}
        self.round = {o["name"] for o in nodes if o.get("shape") in ("circle", "ellipse")}
        self.lines = {edge["id"]: _line(edge["pos"]) for edge in edges}
        self.ways = {edge["id"]: edge["pos"] for edge in edges}
        self.frames = {o["name"]: _places(o) for o in objects if "bb" in o}
        self.whole = _places(found)

    def box(self, names: Collection[str]) -> tuple[float, float, float, float]:
        """The box around some vertices and all lines: left, right, low, high."""
        boxes = [(self.at[name], self.size[name]) for name in names]
        points = [(x + s * w / 2, y + s * h / 2) for (x, y), (w, h) in boxes for s in (-1, 1)]
        points += [point for line in self.lines.values() for point in line.points]
        xs, ys = [x for x, _ in points], [y for _, y in points]
        return min(xs), max(xs), min(ys), max(ys)


def _places(found: Mapping[str, str]) -> dot.Look:
    return {name: found[name] for name in ("bb", "lp") if name in found}


def _points(text: str) -> list[Point]:
    parts = [part.split(",")[-2:] for part in text.split()]
    return [(round(float(x), 2), round(float(y), 2)) for x, y in parts]


def _line(text: str) -> Line:
    points = _points(text)
    if text[0] == "s":
        return Line(points[:0:-1], points[0])
    return Line(points[1:], points[0]) if text[0] == "e" else Line(points)


def graph(head: Head, statements: Iterable[str]) -> str:
    """DOT text."""
    first = [f"{kind} [{dot.attributes(values)}]" for kind, values in head.items()]
    return "\n".join(["digraph {", *first, *statements, "}"])
