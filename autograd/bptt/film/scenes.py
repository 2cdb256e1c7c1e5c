"""Which operations are drawn together, and where each of them stands.

A group is a time step, or one module of it where that is too much to be seen at once; what each loss does
with its part of an output; and what is left outside of all steps. Its scene has the operations, the weights
and constants that they read, and ports: values that come from other groups or go there. Groups that differ
by the number of their step alone share a scene, so that a film of 100 steps has a handful of layouts.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ...core import SCALARS, Function, Parameter, Variable
from ...graph.picture.labels import MOVERS
from ...graph.picture.render import TooSlow, layout
from ...graph.reading import Item, Output, Reading
from ...graph.timesteps import Rows
from ...ops.elementwise import Binary
from ...ops.shape import Contiguous, Transpose, Unstack
from .names import ValueNames

MOST_DRAWN = 20  # operations in a scene; a step with more is one for every module in it
MOST_PORTS = 5  # ports of one kind at one operation; more are drawn as one
MOST_LAID_OUT = 150  # vertices for Graphviz; more stand in columns
MOST_LETTERS = 16  # of the name of a value at a port; for a longer one stands the symbol
WIDE = 890  # pixels: from there on, columns stand closer
LETTER, SMALL, HEIGHT = 9.8, 8.1, 34.0  # widths and height of text, in pixels

Ref = tuple[Any, ...]  # what a vertex stands for: ("n", node), ("v", node, k), ("l", leaf), ("c", constant)


class Shape(NamedTuple):
    """What is drawn: the same for all groups that share a layout."""

    vertices: tuple[tuple[str, str], ...]  # kind and label
    arrows: tuple[tuple[int, int], ...]
    slots: tuple[Any, ...]  # which operation each vertex is, or by which of its inputs or outputs it is there

    def slots_of_arrows(self) -> set[Any]:
        """The arrows by the slots of their ends."""
        return {(self.slots[a], self.slots[b]) for a, b in self.arrows}

    @property
    def operations(self) -> tuple[str, ...]:
        """The labels of the operations."""
        return tuple([label for kind, label in self.vertices if kind in ("op", "mover")])


@dataclass
class Group:
    """Operations that are drawn together.

    Attributes:
        title: the module, or what it is about.
        step: the number of the time step or of the loss; None outside of all.
        nodes: oldest first.
        scene: the number of its scene.
        refs: what each vertex of the scene stands for.
    """

    title: str
    step: int | None
    row: int
    nodes: list[Function] = field(default_factory=list)
    scene: int = -1
    refs: list[Ref] = field(default_factory=list)


class Scenes:
    """The groups of a reading, and the layouts that they share."""

    def __init__(self, reading: Reading, rows: Rows, names: ValueNames):
        self.reading, self.rows, self.names = reading, rows, names
        names.transposed.update(_transposed(reading, rows))
        self.groups = self._groups()
        self.group_of = {node: i for i, group in enumerate(self.groups) for node in group.nodes}
        self.users: dict[Output, list[Function]] = {}
        for node in reading.nodes:
            for output in reading.sources[node]:
                self.users.setdefault(output, []).append(node)
        self.results = {reading.source_of(v) for _, v in reading.results}
        self.shapes: dict[Shape, int] = {}
        for i, group in enumerate(self.groups):
            shape, group.refs = self._drawn(i, group)
            group.scene = self.shapes.setdefault(shape, len(self.shapes))

    def laid_out(self) -> list[dict[str, Any]]:
        """The scenes with the positions of everything in them."""
        largest: dict[Any, Shape] = {}  # a step that reads a constant for a state stands as the others do
        drawn = Counter([group.scene for group in self.groups])
        for shape in sorted(self.shapes, key=lambda s: (-len(s.slots), -drawn[self.shapes[s]])):
            largest.setdefault(shape.operations, shape)
        models = {
            shape: model if shape.slots_of_arrows() <= model.slots_of_arrows() else shape
            for shape in self.shapes
            for model in [largest[shape.operations]]
        }
        sizes: dict[Shape, dict[Any, tuple[int, int]]] = {}  # a slot is as wide as its widest label
        for shape, model in models.items():
            own = sizes.setdefault(model, {})
            for slot, (kind, label) in zip(shape.slots, shape.vertices, strict=True):
                own[slot] = max(own.get(slot, (0, 0)), _size(kind, label))
        layouts = {model: _layout(model, own) for model, own in sizes.items()}
        found = []
        for shape in self.shapes:
            model, layout = models[shape], layouts[models[shape]]
            at = {slot: i for i, slot in enumerate(model.slots)}
            path = dict(zip(model.arrows, layout["paths"], strict=True))
            pairs = [(at[shape.slots[a]], at[shape.slots[b]]) for a, b in shape.arrows]
            found.append(
                {
                    "vertices": shape.vertices,
                    "arrows": shape.arrows,
                    "size": layout["size"],
                    "places": [layout["places"][at[slot]] for slot in shape.slots],
                    "paths": [path[pair] for pair in pairs],
                }
            )
        return found

    # -- groups

    def _groups(self) -> list[Group]:
        found: dict[Any, Group] = {}
        branch: dict[Item, set[Output]] = {}  # parts of taken-apart values that a node outside depends on
        sizes: dict[Any, int] = {}
        for node in self.reading.nodes:
            frame = self.rows.frame.get(node)
            sizes[frame] = sizes.get(frame, 0) + 1
        for node in self.reading.nodes:
            if node in self.names.transposed:
                continue
            frame = self.rows.frame.get(node)
            scope = node.place.scope if sizes[frame] > MOST_DRAWN else ""
            if frame is not None:
                key: Any = (0, *frame, scope)
                title = scope or self.rows.titles[frame.row]
                group = found.setdefault(key, Group(title, frame.step, frame.row))
            else:
                of = branch[node] = self._branches(node, branch)
                ((unstack, k),) = of if len(of) == 1 else ((None, None),)
                key = (1, unstack, k, scope)
                group = found.setdefault(key, Group(scope, k, -1))
            group.nodes.append(node)
        for group in found.values():
            if not group.title:
                scopes = list(dict.fromkeys([node.place.scope for node in group.nodes if node.place.scope]))
                group.title = scopes[0] if len(scopes) == 1 else ""
        return list(found.values())

    def _branches(self, node: Function, known: dict[Item, set[Output]]) -> set[Output]:
        found: set[Output] = set()
        for item, k in self.reading.sources[node]:
            found |= {(item, k)} if isinstance(item, Unstack) else known.get(item, set())
            if len(found) > 1:
                break
        return found

    # -- vertices and arrows

    def _drawn(self, number: int, group: Group) -> tuple[Shape, list[Ref]]:
        vertices: dict[Ref, tuple[str, str]] = {}
        arrows: dict[tuple[Ref, Ref], None] = {}
        for node in group.nodes:
            vertices["n", node] = ("mover" if isinstance(node, MOVERS) else "op", self._symbol(node))
        for node in group.nodes:
            ports = []
            for item, k in self.reading.sources[node]:
                ref = self._ref(item, k)
                if isinstance(item, Function) and self.group_of.get(item) == number:
                    arrows[("n", item), ("n", node)] = None
                elif ref[0] == "v":
                    ports.append(ref)
                else:
                    kind = "weight" if isinstance(item, Variable) and ref[0] == "l" else "constant"
                    if ref[0] == "l" and not self.names.names.is_parameter(ref[1]):
                        kind = "variable"
                    vertices.setdefault(ref, (kind, self._label(group, item, k)))
                    arrows[ref, ("n", node)] = None
            self._add_ports(group, "in", ports, ("n", node), vertices, arrows)
        for node in group.nodes:
            outputs = range(len(node.out_dtype)) if node.multi_output else (0,)
            out = [("v", node, k) for k in outputs if self._leaves(node, k, number)]
            self._add_ports(group, "out", out, ("n", node), vertices, arrows)
        order = {ref: i for i, ref in enumerate(vertices)}
        pairs = tuple([(order[a], order[b]) for a, b in arrows])
        slots = self._slots(list(vertices), pairs)
        refs = [ref[1:] if ref[0] in ("in", "out") else ref for ref in vertices]
        return Shape(tuple(vertices.values()), pairs, slots), refs

    def _slots(self, refs: list[Ref], arrows: Iterable[tuple[int, int]]) -> tuple[Any, ...]:
        """Of an operation its number; of another vertex which input of the first operation that has it, or
        which output it is."""
        slots: list[Any] = [i if ref[0] == "n" else None for i, ref in enumerate(refs)]
        for a, b in arrows:
            if slots[a] is None:
                sources = list(enumerate(self.reading.sources[refs[b][1]]))
                ends = {self._ref(*source): i for i, source in reversed(sources)}
                inner = refs[a][1:] if refs[a][0] in ("in", "out") else refs[a]
                slots[a] = ("in", b, ends.get(inner, -1))
            if slots[b] is None:
                slots[b] = ("out", a, refs[b][-1] if refs[b][1] != "m" else -1)
        return tuple(slots)

    def _leaves(self, node: Function, k: int, group: int) -> bool:
        """Is this output a result, or used in another group?"""
        return (node, k) in self.results or any(
            [self.group_of.get(user) != group for user in self.users.get((node, k), ())]
        )

    def _add_ports(
        self,
        group: Group,
        kind: str,
        refs: list[Ref],
        at: Ref,
        vertices: dict[Ref, tuple[str, str]],
        arrows: dict[tuple[Ref, Ref], None],
    ) -> None:
        """A vertex for each value that comes in or goes out, or one for all of them."""
        refs = list(dict.fromkeys(refs))
        labels = [self._label(group, *ref[1:]) for ref in refs]
        keys: list[Ref] = [(kind, *ref) for ref in refs]
        if len(refs) > MOST_PORTS:
            keys = [(kind, "m", *refs)]
            labels = [f"{labels[0]} … {labels[-1]}"]
        for key, label in zip(keys, labels, strict=True):
            is_result = kind == "out" and key[1] == "v" and key[2:] in self.results
            vertices.setdefault(key, ("result" if is_result else kind, label))
            arrows[(key, at) if kind == "in" else (at, key)] = None

    def _ref(self, item: Item, k: int) -> Ref:
        if item in self.names.transposed:
            return "l", self.names.transposed[item][0], self.names.transposed[item][1]
        if isinstance(item, Function):
            return "v", self.reading.joined.get(item, item), k
        return ("l", item, "") if isinstance(item, Variable) else ("c", item)

    def _label(self, group: Group, item: Item, k: int) -> str:
        text = self.names.at_step(item, k, self.names.step(group.nodes[-1]))
        if len(re.sub(r"[_{}@]", "", text)) > MOST_LETTERS and isinstance(item, Function):
            text = item.symbol or item.label
        if group.row < 0 and group.step is not None:  # of one loss
            text = text.replace(f"{{{group.step}}}", "{@}")
        return text

    def _symbol(self, node: Function) -> str:
        """The symbol of an operation, with the gate that it makes and the numbers among its operands."""
        if node in self.reading.sums:
            return "Σ"
        symbol = node.symbol or node.label
        if len(symbol) > 11:
            symbol = symbol.replace(" ", "").replace("·", "")
        numbers = [f"{e:g}".replace("-", "−") for e in node.edges if e.__class__ in SCALARS]
        if numbers and isinstance(node, Binary):
            first = node.edges[0].__class__ in SCALARS
            return f"{numbers[0]} {symbol}" if first else f"{symbol} {numbers[0]}"
        gate = self.names.names.gate(node, 0) if not isinstance(node, (Binary, *MOVERS)) else ""
        return f"{symbol}_{{{gate}}}" if gate and len(symbol) <= 4 else symbol


def _transposed(reading: Reading, rows: Rows) -> dict[Item, tuple[Variable, str]]:
    """Nodes that only bring a weight into another layout, or outside of all steps any leaf: drawn as that."""
    found: dict[Item, tuple[Any, str]] = {}
    for node in reading.nodes:
        if isinstance(node, Transpose | Contiguous):
            for item, _ in reading.sources[node]:
                leaf, mark = found.get(item, (item, ""))
                if isinstance(leaf, Parameter) or (isinstance(leaf, Variable) and node not in rows.frame):
                    found[node] = leaf, mark + ("ᵀ" if isinstance(node, Transpose) else "")
    return found


# --- where things stand ---------------------------------------------------------------------------


def _size(kind: str, label: str) -> tuple[int, int]:
    """Width and height of a vertex; numbers of steps have room for two digits, so that steps look alike."""
    label = re.sub(r"\d+|@[+-]?\d*", "00", label)
    small = sum(len(part) for part in re.findall(r"_\{(.*?)\}", label))
    large = len(re.sub(r"_\{.*?\}", "", label))
    width = LETTER * large + SMALL * small
    if kind == "op" and width <= 34:
        return 40, 40
    return round(max(38.0, width + 16)), round(HEIGHT if kind != "mover" else 30)


def _layout(shape: Shape, sizes: Mapping[Any, tuple[int, int]]) -> dict[str, Any]:
    """Width, height, the place and size of every vertex, and the path of every arrow; y runs down."""
    kinds = [kind for kind, _ in shape.vertices]
    vertices = tuple([(kind, sizes[slot]) for kind, slot in zip(kinds, shape.slots, strict=True)])
    arrows = shape.arrows
    if len(vertices) <= MOST_LAID_OUT:
        try:
            for apart in (0.4, 0.3, 0.2):  # inches between columns
                svg = layout(_dot(vertices, arrows, apart), "svg").decode("utf-8")
                found = _read(svg, len(vertices), arrows)
                if found["size"][0] <= WIDE:
                    break
            return found
        except TooSlow:
            pass
    return _in_columns(vertices, arrows)


def _dot(
    vertices: Iterable[tuple[str, tuple[int, int]]], arrows: Iterable[tuple[int, int]], apart: float
) -> str:
    lines = [
        "digraph {",
        f"rankdir=LR; nodesep=0.2; ranksep={apart}; splines=true;",
        'node [shape=box, fixedsize=true, label=""]; edge [arrowhead=none];',
    ]
    ends: dict[str, list[str]] = {"in": [], "out": []}
    for i, (kind, (w, h)) in enumerate(vertices):
        shape = ", shape=ellipse" if w == h == 40 else ""
        lines.append(f"v{i} [width={w / 72:.3f}, height={h / 72:.3f}{shape}];")
        ends.get({"result": "out"}.get(kind, kind), []).append(f"v{i}")
    lines += [f"v{a} -> v{b};" for a, b in arrows]
    for rank, side in (("min", "in"), ("max", "out")):
        if ends[side]:
            lines.append(f"{{rank={rank}; {'; '.join(ends[side])}}}")
    return "\n".join([*lines, "}"])


def _read(svg: str, count: int, arrows: tuple[tuple[int, int], ...]) -> dict[str, Any]:
    """The numbers of a picture that Graphviz has made."""
    width, height = map(float, re.search(r'viewBox="0\.00 0\.00 ([\d.]+) ([\d.]+)"', svg).groups())  # type: ignore[union-attr]
    dx, dy = map(float, re.search(r"translate\(([-\d.]+)[ ,]([-\d.]+)\)", svg).groups())  # type: ignore[union-attr]
    places: list[list[int]] = [[0, 0, 0, 0]] * count
    paths: dict[tuple[int, int], str] = {}
    for title, body in re.findall(r"<title>(.*?)</title>\s*(<[^g].*?)</g>", svg, re.S):
        if "&#45;&gt;" in title or "->" in title:
            a, b = map(int, re.findall(r"v(\d+)", title))
            d = re.search(r' d="(.*?)"', body)
            if d:
                paths[a, b] = re.sub(
                    r"(-?[\d.]+),(-?[\d.]+)",
                    lambda m: f"{float(m[1]) + dx:.0f},{float(m[2]) + dy:.0f}",
                    d[1],
                )
        elif title[:1] == "v":
            i = int(title[1:])
            if round_ := re.search(r'cx="([-\d.]+)" cy="([-\d.]+)" rx="([\d.]+)" ry="([\d.]+)"', body):
                x, y, rx, ry = map(float, round_.groups())
            else:
                points = re.search(r'points="(.*?)"', body)
                pairs = (
                    [tuple(map(float, p.split(","))) for p in points[1].split()] if points else [(0.0, 0.0)]
                )
                xs, ys = [p[0] for p in pairs], [p[1] for p in pairs]
                x, y = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
                rx, ry = (max(xs) - min(xs)) / 2, (max(ys) - min(ys)) / 2
            places[i] = [round(x + dx), round(y + dy), round(2 * rx), round(2 * ry)]
    return {"size": [round(width), round(height)], "places": places, "paths": [paths[a] for a in arrows]}


def _in_columns(
    vertices: tuple[tuple[str, tuple[int, int]], ...], arrows: tuple[tuple[int, int], ...]
) -> dict[str, Any]:
    """Every vertex in the column behind its inputs, with straight arrows: for scenes that are too large."""
    inputs: dict[int, list[int]] = {}
    for a, b in arrows:
        inputs.setdefault(b, []).append(a)
    column = [0] * len(vertices)
    for _ in range(len(vertices)):
        before = list(column)
        for b, own in inputs.items():
            column[b] = max([column[a] + 1 for a in own])
        if column == before:
            break
    widths = [
        max([w for c, (_, (w, _)) in zip(column, vertices, strict=True) if c == i], default=0)
        for i in range(max(column) + 1)
    ]
    filled = [0] * len(widths)
    places = []
    for c, (_, (w, h)) in zip(column, vertices, strict=True):
        places.append([sum(widths[:c]) + 40 * c + widths[c] // 2 + 8, 30 + 48 * filled[c], w, h])
        filled[c] += 1
    paths = []
    for a, b in arrows:
        (x, y, w, _), (to, down, wide, _) = places[a], places[b]
        paths.append(f"M{x + w // 2},{y}L{to - wide // 2},{down}")
    size = [sum(widths) + 40 * len(widths), 30 + 48 * max(filled)]
    return {"size": size, "places": places, "paths": paths}
