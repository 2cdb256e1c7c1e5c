"""`draw`: from a Variable to the picture of the graph behind it, as DOT text.

A graph is read (`reading`), becomes vertices, arrows and time steps (`Picture`, here) and then text
(`dot`). A time step is a frame with its own small copies of the parameters, and frames stand side by
side in order, so that the picture grows in one direction only and needs no long lines. All loops, no
recursion; nothing is numbered by address.
"""

from collections.abc import Iterator
from operator import itemgetter
from typing import Any, Literal, NamedTuple

from ..core import SCALARS, Constant, Function, Parameter, Slot, Variable
from ..ops import elementwise, shape
from . import dot
from .reading import Item, Reading, names_of, results_of
from .render import Drawing

MOVERS = (  # these move numbers without changing them, and are drawn small
    elementwise.Cast,
    shape.BroadcastTo,
    shape.Concatenate,
    shape.Contiguous,
    shape.Flip,
    shape.Reshape,
    shape.Split,
    shape.Stack,
    shape.Transpose,
    shape.Unstack,
)
MOST_PORTS = 32  # a node with more outputs is drawn without a field for each
MOST_COPIED = 8  # an expression of parameters with more nodes is not copied into every step

Group = int | None  # a time step, or None outside of all steps
Key = tuple[Item, Group]


def draw(y: Any, *, params: Any = None, direction: Literal["LR", "RL", "TB", "BT"] | None = None) -> Drawing:
    """The graph behind ``y`` as a `graphviz.Digraph`, ready to look at, also after ``backward``.

    Args:
        y: a Variable, or Variables in lists, tuples and dicts; names in dicts become labels.
        params: names for leaves: a dict name -> Variable, or anything with ``named_parameters()``
            (a module). A leaf that is not in it shows its own ``name``.
        direction: where the arrows point. By default to the right; in a graph with time steps to the
            top, with time running to the right.

    Nodes that were made inside ``autograd.step(t)`` stand in a frame for t; parameters are copied into
    each frame. Run loops over layers under ``autograd.stepwise()`` to have everything in its step.

    Raises:
        TypeError: y holds something that is no Variable, or params is no source of names.
        ValueError: direction is none of the four.
    """
    if direction not in (None, "LR", "RL", "TB", "BT"):
        raise ValueError(f"draw expected direction 'LR', 'RL', 'TB' or 'BT', got {direction!r}")
    picture = Picture(Reading(results_of(y)), names_of(params))
    return picture.drawing(direction or ("BT" if picture.steps else "LR"))


class Arrow(NamedTuple):
    """From an output of one vertex to another vertex."""

    tail: Key
    k: int
    head: Key


class Picture:
    """Vertices, arrows and time steps. A vertex is a pair (item, group): a copied item has several."""

    def __init__(self, reading: Reading, names: dict[Variable, str]):
        self.reading, self.names = reading, names
        self.ends = {reading.source_of(v)[0] for _, v in reading.results}
        steps = {n.place.step for n in reading.nodes if n.place.step is not None}
        self.steps = {step: i for i, step in enumerate(sorted(steps))}  # with their place in the row
        self.groups: dict[Function, list[Group]] = {}
        self.copied: set[Function] = set()
        self.turned: dict[Function, tuple[Item, str]] = {}  # drawn like a leaf: the leaf, its transpose
        if self.steps:
            self._copy_into_steps()
        self.idents: dict[Any, str] = {}
        self.arrows: list[Arrow] = []
        self._connect()
        self.tints: dict[Variable, dict[str, str]] = {}
        leaves = [leaf for leaf in self._leaves() if self._is_parameter(leaf)]
        for i, leaf in enumerate(leaves):
            self.tints[leaf] = dot.tint(i)
        self._shorten({self._name(leaf) for leaf in leaves} - {""})

    # -- what stands where

    def _copy_into_steps(self) -> None:
        """Decide which nodes outside of the steps are copied into them, like the leaves they come from."""
        size: dict[Function, int] = {}  # of expressions of leaves alone, outside of all steps
        for node in self.reading.nodes:
            sources = [item for item, _ in self.reading.sources[node]]
            if node.place.step is not None or any(isinstance(s, Function) and s not in size for s in sources):
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
            groups: set[Group] = {node.place.step}
            if node in size:
                outputs = len(node.out_dtype) if node.several else 1
                per_output = [uses.get((node, k), set()) for k in range(outputs)]
                most = max([len(s - {None}) for s in per_output], default=0)
                if most >= (1 if node in self.turned else 2):
                    self.copied.add(node)
                    groups = set[Group]().union(*per_output)
            self.groups[node] = sorted(groups, key=_order)
            for item, k in self.reading.sources[node]:
                if isinstance(item, Function):
                    uses.setdefault((item, k), set()).update(groups)
        self.turned = {n: t for n, t in self.turned.items() if n in self.copied}

    def _connect(self) -> None:
        """Give every vertex its identifier and collect the arrows, in the order of creation."""
        for number, node in enumerate(self.reading.nodes):
            for group in self.groups.get(node, [None]) if node not in self.turned else ():
                suffix = self._suffix(group) if node in self.copied else ""
                self.idents[node, group] = f"n{number}{suffix}"
        leaves: dict[Item, str] = {}
        for node in self.reading.nodes:
            if node in self.turned:
                continue
            for group in self.groups.get(node, [None]):
                for item, k in self.reading.sources[node]:
                    self.arrows.append(Arrow(self._place(item, group, leaves), k, (node, group)))
        for i, (_, v) in enumerate(self.reading.results):
            item, k = self.reading.source_of(v)
            self.idents[i, None] = f"y{i}"
            self.arrows.append(Arrow(self._place(item, None, leaves), k, (i, None)))

    def _place(self, item: Item, group: Group, leaves: dict[Item, str]) -> Key:
        """The vertex of ``item`` for a consumer in ``group``."""
        if isinstance(item, Function) and item not in self.turned:
            return item, group if item in self.copied else item.place.step
        key = item, group
        if key not in self.idents:
            ident = leaves.setdefault(item, f"v{len(leaves)}")
            self.idents[key] = ident + self._suffix(group)
        return key

    def _suffix(self, group: Group) -> str:
        return "" if group is None else f"_{self.steps[group]}"

    # -- what it says

    def _leaves(self) -> list[Item]:
        """The leaves and constants, in the order in which they are first used."""
        items = [self.turned[item][0] if item in self.turned else item for item, _ in self.idents]
        return [item for item in dict.fromkeys(items) if not isinstance(item, Function | int)]

    def _is_parameter(self, item: Item) -> bool:
        return isinstance(item, Parameter) or (isinstance(item, Variable) and item in self.names)

    def _name(self, item: Item) -> str:
        if isinstance(item, Constant):
            return item.name or ""
        return self.names.get(item) or (item._mark.name if item._mark else None) or ""

    def _shorten(self, names: set[str]) -> None:
        """Find the shortest end of every dotted name that no other name has."""
        ends: dict[str, int] = {}
        for name in names:
            for end in _ends(name):
                ends[end] = ends.get(end, 0) + 1
        self.short = {n: next((e for e in _ends(n) if ends[e] == 1), n) for n in names}

    def _vertex(self, key: Key) -> str:
        item, group = key
        if isinstance(item, int):
            return self._result(item)
        if item in self.turned:
            leaf, mark = self.turned[item]
            return self._leaf(key, leaf, mark, item.out_shape)
        if not isinstance(item, Function):
            return self._leaf(key, item, "", item.shape)
        return self._operation(key, item)

    def _result(self, i: int) -> str:
        path, v = self.reading.results[i]
        edge = v._edge
        node, k = (edge.node, edge.k) if isinstance(edge, Slot) else (edge, 0)
        marks = node.marks if isinstance(node, Function) else {0: v._mark} if v._mark else None
        own = marks[k].name if marks and k in marks else None
        name = dot.clean(path or own or "result")
        values = {"label": dot.lines(name, _shape(v.shape)), "tooltip": dot.lines("result", f"{v.dtype}")}
        return dot.node(self.idents[i, None], "result", values)

    def _leaf(self, key: Key, leaf: Item, mark: str, shape: tuple[int, ...]) -> str:
        name = self._name(leaf)
        label = dot.clean(self.short.get(name, name))
        values = {
            "label": dot.lines(label + (mark if label else ""), _shape(shape) or ("" if label else "scalar"))
        }
        if self._is_parameter(leaf):
            kind = "parameter"
            values.update(self.tints[leaf])
        else:
            kind = "constant" if isinstance(leaf, Constant) else "variable"
        about = [dot.clean(name, 200), kind, f"{leaf.shape} {leaf.dtype}", "transposed" if mark else ""]
        values["tooltip"] = dot.lines(*about)
        return dot.node(self.idents[key], kind, values)

    def _operation(self, key: Key, node: Function) -> str:
        names = {
            k: dot.clean(mark.name)
            for k, mark in (node.marks or {}).items()
            if mark.name and (node.several or node not in self.ends)  # the result itself shows its name
        }
        about = [node.label, node.rule, f"{node.out_shape} {_dtypes(node)}", str(node.place)]
        values = {"tooltip": dot.lines(*[dot.clean(a, 200) for a in about])}
        label = dot.clean(_with_scalars(node))
        style = "mover" if isinstance(node, MOVERS) else "operation"
        if self._has_ports(node):
            style = "outputs"
            fields = "|".join(
                [f"<p{k}> {dot.escape_field(names.get(k, str(k)))}" for k in range(len(node.out_dtype))]
            )
            parts = [dot.escape_field(label), f"{{{fields}}}"]
            values["label"] = "{" + "|".join(reversed(parts) if self.reversed else parts) + "}"
        elif names:
            values["label"] = dot.lines(label, ", ".join(names.values()))
        else:
            values["label"] = dot.lines(label)
            if style == "operation" and len(label) <= 2:
                style = "short"
            elif style == "mover" and len(label) <= 2:
                values["fontsize"] = "13"
        return dot.node(self.idents[key], style, values)

    @staticmethod
    def _has_ports(item: Item) -> bool:
        return isinstance(item, Function) and item.several and 1 < len(item.out_dtype) <= MOST_PORTS

    # -- the text

    def drawing(self, direction: str) -> Drawing:
        """All of it as DOT."""
        self.reversed = direction in ("BT", "RL")
        upright = direction in ("BT", "TB") and bool(self.steps)  # time runs across the arrows
        frames: dict[Group, list[str]] = {step: [] for step in [*self.steps, None]}
        for key in self.idents:
            frames[key[1]].append(self._vertex(key))
        links = [a for a in self.arrows if _is_link(a)]
        outside = frames.pop(None)
        for arrow in self.arrows:
            if not _is_link(arrow):
                where = frames[arrow.head[1]] if arrow.tail[1] == arrow.head[1] is not None else outside
                gates = self._has_ports(arrow.tail[0]) and where is not outside
                look = {"weight": "2"} if gates else {}  # keeps the gates of a cell in one row
                where.append(dot.edge(self._tail(arrow), self.idents[arrow.head], look))
        if upright:
            self._upright_links(links, frames, outside)
        else:
            style = {"color": dot.LINK, "penwidth": "2"}
            outside += [dot.edge(self._tail(a), self.idents[a.head], style) for a in links]
        body = self._in_order() if upright else []
        for i, (step, statements) in enumerate(frames.items()):
            look = {"label": f"t = {step}", **dot.FRAME}
            body += dot.cluster(f"t{i}", look, statements)
        body += outside
        body += self._legend(bool(links))
        graph_attr = {**dot.GRAPH, "rankdir": direction}
        if upright:
            graph_attr["newrank"] = "true"
        lines = [f"\t{statement}\n" for statement in body]
        return Drawing(graph_attr=graph_attr, node_attr=dot.NODE, edge_attr=dot.EDGE, body=lines)

    def _tail(self, arrow: Arrow) -> str:
        ident = self.idents[arrow.tail]
        return f"{ident}:p{arrow.k}" if self._has_ports(arrow.tail[0]) else ident

    def _upright_links(self, links: list[Arrow], frames: dict[Group, list[str]], outside: list[str]) -> None:
        """Links between frames that stand side by side.

        Graphviz ranks one frame like the next only if links do not count for ranks, and then routes a
        long link around the whole picture. So a link over more than one rank is broken at a joint in
        the frame where it ends: it crosses over to the joint on the level where it starts, and runs up or
        down inside the frame. Links are written from the lower to the higher end, as the layout wants.
        """
        height: dict[Key, int] = {}
        for a in self.arrows:  # in the order of creation: tails are complete
            if not _is_link(a):
                height[a.head] = max(height.get(a.head, 0), height.get(a.tail, 0) + 1)
        look = {"color": dot.LINK, "penwidth": "2"}
        joints: dict[tuple[Key, int, Group, bool], str] = {}
        for a in links:
            tail, head, step = self._tail(a), self.idents[a.head], a.head[1]
            rise = height.get(a.head, 0) - height.get(a.tail, 0)
            if abs(rise) <= 1:
                flat = {**look, "constraint": "false"}
                outside.append(
                    dot.edge(head, tail, {**flat, "dir": "back"}) if rise < 0 else dot.edge(tail, head, flat)
                )
                continue
            key = a.tail, a.k, step, rise > 0
            joint = joints.get(key)
            if joint is None:
                joint = joints[key] = f"j{len(joints)}"
                frames[step].append(dot.node(joint, "joint", {}))
                ends = (tail, joint) if rise > 0 else (joint, tail)
                outside.append(dot.edge(*ends, {**look, "dir": "none", "weight": "3"}))
            if rise > 0:
                frames[step].append(dot.edge(joint, head, {**look, "weight": "0"}))
            else:
                frames[step].append(dot.edge(head, joint, {**look, "dir": "back", "weight": "0"}))

    def _in_order(self) -> list[str]:
        """A hidden row of points under the frames, which keeps them in order and above what enters them.

        Graphviz orders frames as it first finds them, so this comes first in the text, step by step.
        """
        bottom: dict[Group, Key] = {}  # the operation that a step starts with
        above: dict[Group, list[str]] = {step: [] for step in self.steps}
        below: dict[str, int] = {}  # what enters, with the first step that it enters
        after: set[Key] = set()  # what depends on some step
        for tail, _, head in self.arrows:
            step = head[1]
            if tail[1] is not None or tail in after:
                after.add(head)
            if step is None:
                continue
            if tail[1] is None and tail not in after:
                ident = self.idents[tail]
                below[ident] = min(step, below.get(ident, step))
            elif tail[1] == step and bottom.setdefault(step, head) == head:
                above[step].append(self.idents[tail])
        points = {step: f"t{i}" for step, i in self.steps.items()}
        chain = " -> ".join(points.values())
        statements = [dot.node(point, "hidden", {}) for point in points.values()]
        statements.append(f'{{rank=same; {chain} [style="invis"]}}')
        if below:  # one such edge is enough; more of them cross others and disturb the order
            ident, step = max(reversed(below.items()), key=itemgetter(1))
            statements.append(dot.edge(ident, points[step], {"style": "invis", "weight": "0"}))
        for step, point in points.items():
            statements += [dot.edge(point, head, {"style": "invis", "weight": "2"}) for head in above[step]]
        return statements

    def _legend(self, links: bool) -> list[str]:
        """What shapes and colours mean; nothing where the picture explains itself."""
        if not (links or self.tints):
            return []
        present = {self._kind(item) for item, _ in self.idents}
        entries: list[tuple[str, dict[str, str]]] = []
        for kind in ("parameter", "variable", "constant"):
            if kind in present:
                entries.append((kind, {"label": kind, **(dot.tint(0) if kind == "parameter" else {})}))
        if "mover" in present:
            entries.append(("mover", {"label": "moves data"}))
        if links:
            entries.append(("caption", {"label": "→ step to step", "fontcolor": dot.LINK}))
        if self.reversed:
            entries.reverse()
        nodes = [dot.node(f"l{i}", kind, values) for i, (kind, values) in enumerate(entries)]
        chain = " -> ".join([f"l{i}" for i in range(len(entries))])
        return dot.cluster("legend", dot.LEGEND_FRAME, [*nodes, f'{chain} [style="invis"]'])

    def _kind(self, item: Item) -> str:
        if isinstance(item, int):
            return "result"
        leaf = self.turned[item][0] if item in self.turned else item
        if self._is_parameter(leaf):
            return "parameter"
        if isinstance(leaf, Function):
            return "mover" if isinstance(leaf, MOVERS) else "operation"
        return "constant" if isinstance(leaf, Constant) else "variable"


# --- small parts --------------------------------------------------------------------------------


def _is_link(arrow: Arrow) -> bool:
    """Does the arrow lead from one time step to another?"""
    return None not in (arrow.tail[1], arrow.head[1]) and arrow.tail[1] != arrow.head[1]


def _order(group: Group) -> tuple[bool, int]:
    return group is None, group or 0


def _ends(name: str) -> Iterator[str]:
    """The last part of a dotted name, the last two, and so on."""
    parts = name.split(".")
    return (".".join(parts[-n:]) for n in range(1, len(parts) + 1))


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join([str(n) for n in shape])


def _dtypes(node: Function) -> str:
    return ", ".join([str(d) for d in node.out_dtype]) if node.several else str(node.out_dtype)


def _with_scalars(node: Function) -> str:
    """The symbol of an operation with the Python numbers among its operands."""
    symbol = node.symbol or node.label
    numbers = [f"{e:g}" if e.__class__ in SCALARS else "" for e in node.edges or ()]
    if not any(numbers):
        return symbol
    if len(numbers) == 2 and isinstance(node, elementwise.Binary):
        return " ".join([s for s in (numbers[0], symbol, numbers[1]) if s])
    return f"{symbol}({', '.join([n or '·' for n in numbers])})"
