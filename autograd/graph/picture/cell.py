"""How a single step is drawn: as books draw a cell, its state running through it from side to side."""

from collections.abc import Iterable, Mapping

from ...ops import elementwise
from .vertices import Arrow, Elided, Vertex


def ends(idents: Mapping[Vertex, str], arrows: list[Arrow]) -> list[list[str]]:
    """What comes from the step before, to stand on one side, and what goes to the next, on the other."""
    height: dict[Vertex, int] = {}
    depth: dict[Vertex, int] = {}
    for a in arrows:  # in the order of creation
        height[a.head] = max(height.get(a.head, 0), height.get(a.tail, 0) + 1)
    for a in reversed(arrows):
        depth[a.tail] = max(depth.get(a.tail, 0), depth.get(a.head, 0) + 1)
    heads = {a.head for a in arrows}
    elided = [vertex for vertex in idents if isinstance(vertex.item, Elided)]
    inside = [vertex for vertex in idents if not isinstance(vertex.item, Elided)]
    before = [idents[vertex] for vertex in elided if vertex not in heads]
    after = [idents[vertex] for vertex in elided if vertex in heads]
    if before:
        before.append(idents[max(inside, key=lambda vertex: depth.get(vertex, 0))])
    return [side for side in (before, after) if side]


def state_path(arrows: Iterable[Arrow]) -> set[Arrow]:
    """The arrows of the shortest way of a state through a step by elementwise operations alone."""
    into: dict[Vertex, list[Arrow]] = {}
    for a in arrows:
        into.setdefault(a.head, []).append(a)
    best: list[Arrow] = []
    for end in [a for a in arrows if isinstance(a.head.item, Elided) and not isinstance(a.tail.item, Elided)]:
        found = _shortest(end, into)
        if found and (not best or len(found) < len(best)):
            best = found
    return set(best)


def _shortest(end: Arrow, into: Mapping[Vertex, list[Arrow]]) -> list[Arrow]:
    """The arrows from the step before to one that leaves the step; [] if there is no such way."""
    paths, seen = [[end]], {end.tail}
    while paths:  # by breadth
        path = paths.pop(0)
        first = path[0].tail
        if isinstance(first.item, Elided):
            return path
        if isinstance(first.item, elementwise.Binary):
            for a in into.get(first, []):
                if a.tail not in seen:
                    seen.add(a.tail)
                    paths.append([a, *path])
    return []
