"""Steps that look alike, found in an unrolled network, and how one that stands for all is to be laid out.

What a step hands to the next runs level: at one end of its row stands the operation that it comes from, at
the other the port where it arrives in the next step. No two of such rows are one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import zip_longest
from typing import Any

from ...core import Function
from ..timesteps import Frame
from . import dot
from .positions import Place, Repeated, Route
from .vertices import Arrow, Elided, Vertex

LEAST = 3  # steps that are alike, but for what some lack or have besides
MOST = 1.5  # times as many vertices in all steps together as in one of those
WEIGHT = 10  # of a line, against 1 of what keeps a row in order; Graphviz does not heed 0 there
ORDER, TOWER = {"style": "invis"}, {"style": "invis", "weight": f"{2 * WEIGHT}"}
LABEL = re.compile(r'(?<=[ \[])label="((?:[^"\\]|\\.)*)"')
THIN = set("iljtf.,:;|!'()[]{} I\\")
Texts = Mapping[Vertex, tuple[str, str]]  # identifiers and statements
Edge = tuple[str, str, dot.Look]  # tail, head and look in DOT
Key = tuple[Any, ...]  # what a vertex is in its step
Pairs = Iterable[tuple[str, str]]  # of which the second is above the first


class _Unlike(Exception):
    """Steps differ, or are not joined from each to the next."""


def repeated(
    frames: Mapping[Frame, dot.Look],
    texts: Texts,
    edges: Mapping[Arrow, Edge],
    ranks: Sequence[str],
    up: bool,
) -> Repeated | None:
    """An unrolled network as steps that are alike; None if they are not.

    Args:
        frames: the steps in their order, with their looks.
        texts: identifiers and statements of the vertices.
        edges: what is written for the arrows.
        ranks: statements about what stands outside of the steps in one row.
        up: do arrows point up?
    """
    has_gap = any(isinstance(vertex.item, Elided) for vertex in texts)
    if has_gap or any("label" in look for *_, look in edges.values()):
        return None
    try:
        return _Steps(frames, texts, edges, ranks, up).plan
    except _Unlike:
        return None


class _Steps:
    def __init__(
        self,
        frames: Mapping[Frame, dot.Look],
        texts: Texts,
        edges: Mapping[Arrow, Edge],
        ranks: Iterable[str],
        up: bool,
    ):
        self.texts, self.edges, self.last = texts, edges, len(frames) - 1
        self.places = _places(texts, edges, {frame: i for i, frame in enumerate(frames)})
        self.slots = list(dict.fromkeys([place.slot for place in self.places.values()]))
        self.sides: dict[str, int] = {}
        self.entries: dict[tuple[str, int], str] = {}  # slot and number of an input -> port
        self.inside: dict[tuple[str, str], None] = {}  # slots that an arrow in a step joins
        for a in edges:
            self._note(a)
        self.states = self._states()
        self.towers: list[tuple[str, str]] = []  # slots that stand one above the other
        self.ranks = self._ranks()  # of slots, and of ports
        self.ranks.update({port: self.ranks[port[1:]] for port in self.sides}, title=-1)
        self.top = max(self.ranks.values()) + 1
        self.lines: dict[str, str] = {}  # of one step, by their ids
        self.ways: set[tuple[str, bool]] = set()  # slots and ports that have a line up (True) or down
        self.around: dict[str, str] = {}  # outside
        self.after = self._after()
        before = {a.tail for a in edges if a.head in self.places}
        self.over = {v for v in texts if v not in before and not isinstance(v.item, Function)}
        beside = {**self.places, **self.states}
        variants: dict[str, list[str]] = {}  # of the vertex in each slot
        for v, (slot, _) in self.places.items():
            variants.setdefault(slot, []).append(slot + texts[v][1][len(texts[v][0]) :])
        self.plan = Repeated(
            up=up,
            frames=[dot.attributes(look) for look in frames.values()],
            vertices={ident: text for v, (ident, text) in texts.items() if v in beside},
            places={texts[v][0]: place for v, place in self.places.items()},
            states={texts[v][0]: port for v, port in self.states.items()},
            sides=self.sides,
            uneven={slot for slot, own in variants.items() if len(set(map(_label, own))) > 1},
            routes=[self._route(a, *edge) for a, edge in edges.items()],
            step=[
                *self._vertices(variants, [look["label"] for look in frames.values()]),
                *self._order(),
                *self.lines.values(),
            ],
            outside=[text for v, (_, text) in texts.items() if v not in beside],
            around=self.around,
            ranks=list(ranks),
        )

    # -- what goes from step to step

    def _note(self, a: Arrow) -> None:
        """Note the port of an arrow from one step to the next, and the ends of one inside of a step."""
        tail, head = self.places.get(a.tail), self.places.get(a.head)
        if tail and head and tail.step == head.step:
            self.inside[tail.slot, head.slot] = None
        elif a.is_link:
            if not tail or not head or abs(tail.step - head.step) != 1 or ":" in self.edges[a][0]:
                raise _Unlike
            port, side = f"i{tail.slot}", head.step - tail.step
            known = self.entries.setdefault((head.slot, a.at), port), self.sides.setdefault(port, side)
            if known != (port, side):
                raise _Unlike

    def _states(self) -> dict[Vertex, str]:
        """What stands beside the first step or the last one, and the port that it leads to."""
        ports: dict[Vertex, set[str]] = {}
        for a in [a for a in self.edges if a.tail not in self.places]:
            head = self.places.get(a.head)
            port = self.entries.get((head.slot, a.at), "") if head else ""
            ports.setdefault(a.tail, set()).add(port)
            if head and port and head.step != (0 if self.sides[port] > 0 else self.last):
                raise _Unlike
        alone = {v: own.pop() for v, own in ports.items() if len(own) == 1}
        states = {v: port for v, port in alone.items() if port and not isinstance(v.item, Function)}
        if len(set(states.values())) < len(states):
            raise _Unlike  # one would stand behind the other
        return states

    def _after(self) -> set[Vertex]:
        """What stands outside and depends on a step."""
        after: set[Vertex] = set()
        for a in self.edges:  # in the order of creation
            if a.tail in after and a.head in self.places:
                raise _Unlike  # a way from step to step over something outside
            if a.head not in self.places and (a.tail in self.places or a.tail in after):
                after.add(a.head)
        return after

    # -- rows

    def _ranks(self) -> dict[str, int]:
        """The row of every slot, counted in the direction of the arrows."""
        heads = {port[1:]: list[str]() for port in self.sides}
        for (slot, _), port in self.entries.items():
            heads[port[1:]].append(slot)
        above = {
            pair: 2 if pair[0] in heads.get(pair[0], ()) else 1 for pair in self.inside
        }  # 2: a row is free
        states = _reached(above, [slot for own in heads.values() for slot in own])  # need the step before
        for u in [u for u in heads if self.sides[f"i{u}"] < 0]:  # back in time: above what runs forth
            for v in [v for v in heads if self.sides[f"i{v}"] > 0]:
                free = [slot for slot in heads[u] if v not in _reached(above, [slot])]
                down = [(high, low) for low, high in above]
                higher = _reached(down, free) - _reached(down, [v])
                above.update({(v, slot): 1 for slot in self.slots if slot in higher})
                self.towers = [(v, slot) for slot in free[:1]]
        least = dict.fromkeys(self.slots, 0)
        ranks = _heights(least, above)
        while doubles := [u for i, u in enumerate(heads) if ranks[u] in [ranks[v] for v in [*heads][:i]]]:
            least[doubles[0]] = ranks[doubles[0]] + 1
            ranks = _heights(least, above)
        for slot in sorted(self.slots, key=lambda slot: -ranks[slot]):  # near to what needs it
            users = [ranks[head] for tail, head in above if tail == slot]
            if users and slot not in states and slot not in heads:
                ranks[slot] = min(users) - 1
        order = {rank: i for i, rank in enumerate(sorted(set(ranks.values())))}
        return {slot: order[rank] for slot, rank in ranks.items()}

    # -- lines

    def _route(self, a: Arrow, tail: str, head: str, look: dot.Look) -> Route:
        """The way of an arrow; adds what the two layouts need for it."""
        at, to = self.places.get(a.tail), self.places.get(a.head)
        start = at.slot + tail[len(self.texts[a.tail][0]) :] if at else ""
        number, plain = str(len(self.around)), {**look, "dir": "none"}
        route = Route(tail, head, dot.attributes(look))
        if at and to and at.step == to.step:
            return route._replace(inside=self._line(start, to.slot, a.at, look), step=at.step)
        if to and (port := self.entries.get((to.slot, a.at))):
            line = self._line(port, to.slot, a.at, look)
            is_beside = at or a.tail in self.states
            lane = "" if is_beside else self._outside(f"{tail} {port}", tail, "F:p", plain)
            return route._replace(inside=line, step=to.step, outside=lane, port=port)
        if to:
            port = f"b_{to.slot}_{a.at}"
            self.ranks[port] = -1
            line = self._line(port, to.slot, a.at, look)
            way = self._outside(number, tail, "F:p", plain)
            return route._replace(inside=line, step=to.step, outside=way)
        if at:
            port = f"t_{at.slot}_{a.k}"
            self.ranks[port] = self.top
            line = self._line(start, port, 0, plain)
            way = self._outside(number, "F:p", head, look)
            return route._replace(inside=line, step=at.step, outside=way)
        if a.head in self.after and a.tail in self.over and "dir" not in look:
            tail, head, look = (
                head,
                tail,
                {**look, "dir": "back"},
            )  # above what needs it, not beside the steps
        return Route(tail, head, dot.attributes(look), outside=self._outside(number, tail, head, look))

    def _line(self, tail: str, head: str, at: int, look: dot.Look) -> str:
        """Add a line to the layout of a step, written upwards, or from left to right; returns its id."""
        rise = self.ranks[head] - self.ranks[tail.partition(":")[0]]
        line, weight = f"{tail} {head} {at}", WEIGHT * int(look.get("weight", "1"))
        look = {**look, "minlen": str(abs(rise)), "weight": str(weight), "id": line}
        is_down = (rise or self.sides.get(tail, 1)) < 0
        edge = dot.edge(head, tail, {**look, "dir": "back"}) if is_down else dot.edge(tail, head, look)
        self.lines.setdefault(line, edge)
        for name, other in ((tail.partition(":")[0], rise), (head, -rise)):
            self.ways.add((name, other > 0))
        return line

    def _outside(self, line: str, tail: str, head: str, look: dot.Look) -> str:
        """Add a line to the layout of what is outside; returns its id."""
        self.around.setdefault(line, dot.edge(tail, head, {**look, "id": line}))
        return line

    # -- the layout of a step

    def _vertices(self, variants: Mapping[str, Sequence[str]], titles: Iterable[str]) -> list[str]:
        """One vertex for each slot, a title, and ports."""
        size = {"fontsize": dot.FRAME["fontsize"], "width": "0", "height": "0"}
        title = [dot.node("title", "caption", {**size, "label": title}) for title in titles]
        ports = [name for name in self.ranks if name not in variants and name != "title"]
        states = [self.texts[v][1] for v in self.states]  # for their sizes
        return (
            states
            + [_widest(own) for own in (*variants.values(), title)]
            + [dot.node(p, "hidden", {}) for p in ports]
        )

    def _order(self) -> list[str]:
        """What keeps vertices in their rows, and rows in order."""
        rows: dict[int, list[str]] = {}
        for name, rank in self.ranks.items():
            rows.setdefault(rank, []).append(name)
        pairs = []
        for port, side in self.sides.items():
            first, last = (port, port[1:]) if side > 0 else (port[1:], port)
            inner = [name for name in rows[self.ranks[port]] if name not in (first, last)]
            pairs += [(first, v) for v in inner] + [(v, last) for v in inner] or [(first, last)]
        near = {self.ranks[low] for low, high in self.inside if self.ranks[high] == self.ranks[low] + 1}
        loose = [rank for rank in range(self.top - 1) if rank not in near]
        pairs += [("title", rows[0][0]), *[(rows[rank][0], rows[rank + 1][0]) for rank in loose]]
        out = [f"{{rank=same; {'; '.join(row)}}}" for row in rows.values()]
        out += [dot.edge(*pair, ORDER) for pair in pairs]
        out += [dot.edge(*pair, TOWER) for pair in self.towers]
        away = {**ORDER, "minlen": "2"}  # where they widen no row
        out += [dot.edge(rows[self.top - 1][0], self.texts[v][0], away) for v in self.states]
        ordered = [name for port in self.sides for name in rows[self.ranks[port]]]
        for i, (name, up) in enumerate([(n, up) for n in ordered for up in (True, False)]):
            if (name, up) not in self.ways:  # Graphviz keeps the order of what has lines on both sides
                end = f"h{i}"
                out += [dot.node(end, "hidden", {}), dot.edge(*((name, end) if up else (end, name)), ORDER)]
        return out


# --- what vertices are in their steps -------------------------------------------------------------


def _places(texts: Texts, arrows: Iterable[Arrow], steps: Mapping[Frame | None, int]) -> dict[Vertex, Place]:
    """The vertices in steps; what comes in for a state, or follows the last step alone, is none of them."""
    keys = _keys(texts, arrows)
    linked = {(keys.get(a.head), a.at) for a in arrows if a.is_link}
    keys = {v: key for v, key in keys.items() if isinstance(v.item, Function) or key[:2] not in linked}
    contents: dict[Frame | None, set[Key]] = {frame: set() for frame in steps}
    for v, key in keys.items():
        contents[v.frame].add(key)
    usual = Counter([frozenset(own) for own in contents.values()]).most_common(1)[0][0]
    alike = [own for own in contents.values() if own <= usual or usual <= own]
    slots: dict[Key, str] = {}
    places: dict[Vertex, Place] = {}
    outside: set[tuple[Frame | None, Key]] = set()
    for v, key in keys.items():
        item = v.item
        is_own = (
            item.place.step is not None if isinstance(item, Function) else (v.frame, key[0]) not in outside
        )
        if key in usual or is_own:
            places[v] = Place(slots.setdefault(key, texts[v][0]), steps[v.frame])
        else:
            outside.add((v.frame, key))
    if not all(contents.values()) or len(alike) < LEAST or len(slots) > MOST * len(usual):
        raise _Unlike
    return places


def _keys(vertices: Iterable[Vertex], arrows: Iterable[Arrow]) -> dict[Vertex, Key]:
    """What vertices are in their steps: operations by kind, module and order; leaves by their first use."""
    seen: Counter[Any] = Counter()
    keys: dict[Vertex, Key] = {}
    for v in vertices:
        if v.frame is not None and isinstance(v.item, Function):
            what = (type(v.item), v.item.place.scope)
            keys[v] = (*what, seen[v.frame, what])
            seen[v.frame, what] += 1
    for a in arrows:
        if a.tail not in keys and a.tail.frame is not None and a.head in keys:
            use = (keys[a.head], a.at)
            keys[a.tail] = (*use, seen[a.tail.frame, use])
            seen[a.tail.frame, use] += 1
    return keys


def _widest(statements: Sequence[str]) -> str:
    """One statement with room for the labels of all."""
    labels = [_label(text) for text in statements]
    widest = max(range(len(labels)), key=lambda i: _width(labels[i]))
    lines = zip_longest(*[label.split("\\n") for label in dict.fromkeys(labels)], fillvalue="")
    label = "\\n".join([max(line, key=_width) for line in lines])
    return LABEL.sub(lambda _: f'label="{label}"', statements[widest])


def _label(statement: str) -> str:
    found = LABEL.search(statement)
    return found[1] if found else ""


def _width(text: str) -> float:
    return sum([0.3 if c in THIN else 0.8 if c in "mwMW" else 0.58 for c in text])


# --- rows -----------------------------------------------------------------------------------------


def _heights(least: Mapping[str, int], above: Mapping[tuple[str, str], int]) -> dict[str, int]:
    """How high everything stands: so far above what it has to, and at least as high as is said."""
    heights = dict(least)
    for _ in range(2 * len(heights) + max(heights.values()) + 1):
        before = dict(heights)
        for (low, high), rows in above.items():
            heights[high] = max(heights[high], heights[low] + rows)
        if heights == before:
            return heights
    raise _Unlike  # steps contradict each other


def _reached(above: Pairs, start: Iterable[str]) -> set[str]:
    """What stands above something, and that itself."""
    reached: set[str] = set()
    new = set(start)
    while new:
        reached |= new
        new = {high for low, high in above if low in reached} - reached
    return reached
