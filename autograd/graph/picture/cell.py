"""How a single step is drawn: as books draw a cell, its state running through it from side to side."""

from ...ops import elementwise
from .layout import Arrow, Elided, Key
from .scene import Scene


def at_the_ends(idents: dict[Key, str], arrows: list[Arrow], scene: Scene) -> None:
    """Put what comes from the step before on one side, and what goes to the next on the other."""
    scene.newrank = True
    height: dict[Key, int] = {}
    depth: dict[Key, int] = {}
    for a in arrows:  # in the order of creation
        height[a.head] = max(height.get(a.head, 0), height.get(a.tail, 0) + 1)
    for a in reversed(arrows):
        depth[a.tail] = max(depth.get(a.tail, 0), depth.get(a.head, 0) + 1)
    inside = [key for key in idents if not isinstance(key[0], Elided)]
    heads = {a.head for a in arrows}
    for far, into in ((depth, False), (height, True)):
        stubs = [i for key, i in idents.items() if isinstance(key[0], Elided) and (key in heads) == into]
        if stubs and not into:
            stubs.append(idents[max(inside, key=lambda key: far.get(key, 0))])
        if stubs:
            scene.add(f"{{rank=same; {'; '.join(stubs)}}}")


def highway(arrows: list[Arrow]) -> set[Arrow]:
    """The arrows of the shortest way of a state through a step by elementwise operations alone."""
    into: dict[Key, list[Arrow]] = {}
    for a in arrows:
        into.setdefault(a.head, []).append(a)
    best: list[Arrow] = []
    for end in [a for a in arrows if isinstance(a.head[0], Elided) and not isinstance(a.tail[0], Elided)]:
        ways, seen = [[end]], {end.tail}
        while ways:  # by breadth
            way = ways.pop(0)
            first = way[0].tail
            if isinstance(first[0], Elided):
                if not best or len(way) < len(best):
                    best = way
                break
            if isinstance(first[0], elementwise.Binary):
                for a in into.get(first, []):
                    if a.tail not in seen:
                        seen.add(a.tail)
                        ways.append([a, *way])
    return set(best)
