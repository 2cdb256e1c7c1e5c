"""Labels and looks of vertices: symbols, names, shapes, values, gradients. Not where vertices stand.

Every view asks `Labels` for the style and the attributes of its vertices, so that an operation or a
parameter looks the same in all of them.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterable
from typing import Any, TypeVar

import numpy as np

from ...core import SCALARS, Array, Constant, Function, Parameter, Variable, source
from ...ops import elementwise, reduce, shape
from ..fold import Fold, name_of
from ..reading import Item, Leaf, Output, Reading
from ..timesteps import Frame
from . import dot
from .details import saved_lines, setting_lines
from .formula import FORMULAS, formula, in_lines
from .heat import Heat
from .marks import Marks
from .names import Names, symbol
from .scene import Scene
from .times import Times

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
MOST_PORTS = 32  # a node with more outputs in use is drawn without a field for each
DETAILS = {"saved": saved_lines, "attributes": setting_lines}  # what of an operation `show` can ask for
LONGEST = 200  # letters of a line that a user's function writes on a vertex
Hide = Collection[str | Item]  # kinds, operations and items that are left out
T = TypeVar("T")
Label = Callable[[Any], str | None]  # from a Function or a leaf to what is written on its vertex


class Labels:
    """Styles and attributes of the vertices of one drawing.

    ``fixed`` are the items whose shapes and numbers are the same for any number of steps; no others are
    shown. None: all of them. ``label`` replaces what is written on operations and leaves, unless it gives
    None or, where one vertex stands for several steps, another text for each.
    """

    def __init__(
        self,
        reading: Reading | Fold,
        names: Names,
        show: Collection[str] = (),
        heat: Heat | Times | None = None,
        fixed: Collection[Item] | None = None,
        label: Label | None = None,
        marks: Marks | None = None,
    ):
        self.reading, self.names, self.show, self.heat, self.fixed = reading, names, show, heat, fixed
        self.arrow_heat = heat if isinstance(heat, Heat) else None  # what colours arrows
        self.label, self.marks = label, marks
        self.fold = reading if isinstance(reading, Fold) else None
        self._folded = _members(self.fold) if self.fold and (label or show) else {}
        self.backward: Any = None  # a `Backward`: what arrows give back, where they show it
        self.used: dict[Function, set[int]] = {}  # outputs in use
        for sources in (*reading.sources.values(), [reading.source_of(v) for _, v in reading.results]):
            self.use(sources)
        self.ends = {reading.source_of(v)[0] for _, v in reading.results}
        self.tints: dict[Leaf, dot.Look] = {}
        self.orders = _orders(reading) if "order" in show else {}

    def use(self, sources: Iterable[Output]) -> None:
        """Note that arrows start at these outputs."""
        for item, k in sources:
            if isinstance(item, Function) and item.multi_output:
                self.used.setdefault(item, set()).add(k)

    def parameters(self, leaves: Iterable[Leaf], shared: Collection[Leaf] = ()) -> None:
        """Give every parameter, and other leaves that several steps use, a colour and a short name.

        Where colours show gradients, they show nothing else.
        """
        own = [leaf for leaf in dict.fromkeys(leaves) if leaf in shared or self.names.is_parameter(leaf)]
        self.tints = {leaf: dot.tint(i) for i, leaf in enumerate(own) if not self.heat}
        self.names.shorten(own)

    def kind(self, item: object) -> str:
        """One of parameter, variable, constant, mover, operation; result for a number."""
        return "parameter" if self.names.is_parameter(item) else kind_of(item)

    def is_fixed(self, item: Item) -> bool:
        """Are its shape and its numbers the same for any number of steps?"""
        return self.fixed is None or item in self.fixed

    def _in_all_steps(self, item: Item, text_of: Callable[[Any], T]) -> list[T]:
        """What ``text_of`` gives for all items that are drawn as this one, each text once."""
        return list(dict.fromkeys([text_of(each) for each in self._folded.get(item, [item])]))

    def _given(self, item: Item) -> list[str] | None:
        """The lines that the user's function gives a vertex; None if its label is the usual one."""
        if self.label is None:
            return None
        first, *others = self._in_all_steps(item, self._text_of)
        if others or first is None:
            return None
        return [dot.clean(line, LONGEST) for line in first.split("\n")]

    def _text_of(self, item: Item) -> str | None:
        text = self.label(item) if self.label else None
        if text is None or isinstance(text, str):
            return text
        who = item.describe() if isinstance(item, Function) else f"{self.kind(item)} {self.names.full(item)}"
        got = type(text).__name__
        raise TypeError(
            f"draw expected label to return a str, or None for the usual label, got {got} for {who}"
        )

    def mark(self, vertex: Hashable) -> tuple[list[str], dot.Look]:
        """The words and the border of a vertex that the user points out."""
        return self.marks.vertex(vertex) if self.marks else ([], {})

    def marked(self, look: dot.Look, arrow: Hashable) -> dot.Look:
        """The look of an arrow, with what the user has marked it with."""
        mark = self.marks.arrow(arrow) if self.marks else {}
        labels = [own["label"] for own in (mark, look) if "label" in own]
        return {**look, **mark, **({"label": ", ".join(labels)} if labels else {})}

    # -- the three sorts of vertices

    def result(self, i: int) -> dot.Styled:
        """The style and the attributes of result ``i``."""
        path, v = self.reading.results[i]
        node, _ = source(v._edge)
        series = self.fold is not None and i in self.fold.series  # then one Variable stands for many
        name = dot.clean(path or (v.name if not series else None) or "result")
        is_fixed = not isinstance(node, Function) or self.is_fixed(node)
        extra = [_value(v.data)] if "value" in self.show and is_fixed and not series else []
        grad = None if series else v.grad
        extra += [_gradient(grad.data)] if grad is not None and "grad" in self.show else []
        if "dtype" in self.show:
            extra.append(str(v.dtype))
        values = {
            "label": dot.lines(name, _shape(v.shape) if is_fixed else "", *extra),
            "tooltip": dot.lines("result", f"{v.dtype}"),
        }
        return "result", values

    def leaf(
        self, leaf: Leaf, mark: str = "", shape: tuple[int, ...] | None = None, inside: str = ""
    ) -> dot.Styled:
        """Those of a leaf; ``mark`` is appended to its name, the title ``inside`` left out of it."""
        kind, shape = self.kind(leaf), leaf.shape if shape is None else shape
        axis = self.fold.times.get(leaf, -1) if self.fold else -1  # time, whose length is T
        is_fixed = kind == "parameter" or axis >= 0 or self.is_fixed(leaf)
        series = self.fold.input_names.get(leaf) if self.fold else None
        full, short = (self.names.full(leaf), self.names.short(leaf)) if series is None else (series, series)
        label = dot.clean(short.removeprefix(f"{inside}."))
        label = symbol(label) if self.backward else label
        if not label and isinstance(leaf, Constant) and leaf.origin is not None:
            label = "cut"
        size = _shape(shape, axis) if is_fixed else ""
        scalar = "scalar" if is_fixed and not (label or size) else ""
        about = f"({_shape(shape, axis, ', ')}) {leaf.dtype}" if is_fixed else str(leaf.dtype)
        lines = self._lines_of_leaf(leaf, kind, is_fixed)
        given = self._given(leaf)
        head = [label + mark if label else "", size or scalar]
        if given is not None:
            head = [given[0] + mark, *given[1:]]
        words, border = self.mark(leaf)
        values = {
            "label": dot.lines(*head, *lines, *words),
            "tooltip": dot.lines(dot.clean(full, 200), kind, about, "transposed" if mark else ""),
        }
        outline = self.heat.outline(leaf) if self.heat else {}
        return kind, {**values, **self.tints.get(leaf, {}), **outline, **border}

    def _lines_of_leaf(self, leaf: Leaf, kind: str, is_fixed: bool) -> list[str]:
        """The step that a constant was cut from, and what ``show`` and heat ask for."""
        lines: list[str] = []
        if isinstance(leaf, Constant) and leaf.origin is not None and self.fold is None:
            place = leaf.origin[2]
            lines += [f"of {place.unit} = {place.step}"] if place.step is not None else []
        if "dtype" in self.show:
            lines.append(str(leaf.dtype))
        if "count" in self.show and kind == "parameter":
            lines.append(f"{math.prod(leaf.shape):,} numbers")
        if isinstance(leaf, Variable) and is_fixed and not (self.fold and leaf in self.fold.inputs):
            if "value" in self.show:
                lines.append(_value(leaf.data))
            if "grad" in self.show and leaf.grad is not None:
                lines.append(_gradient(leaf.grad.data))
        return lines + (self.heat.lines(leaf) if self.heat else [])

    def operation(self, node: Function, reversed: bool, frame: Frame | None = None) -> dot.Styled:
        """Those of an operation; a record with one field per output in use where there are several."""
        symbol, kind, names = dot.clean(self._symbol(node)), self.kind(node), self._own_names(node)
        head = in_lines(symbol) if self.backward else [symbol]
        given = self._given(node)
        words, border = self.mark(node)
        lines = [*(self._lines(node, frame) if self.is_fixed(node) else []), *words]
        values = {"tooltip": self._tooltip(node, frame)}
        if self.heat:
            born = self.heat.lines(node, frame)
            lines += born
            values.update({**self.heat.fill(node, frame), **({"fontsize": "11"} if born else {})})
        elif self.orders.get(node):
            values["fillcolor"] = dot.ORDERS[min(self.orders[node], len(dot.ORDERS) - 1)]
        values.update(border)
        if self.has_ports(node):
            head = head if given is None else given
            return "outputs", {**values, "label": self._record(node, [*head, *lines], names, reversed)}
        if given is not None:
            head, names = given, {}
        elif (
            node.multi_output
            and len(self.used.get(node, ())) == 1
            and not (self.fold and not self.is_fixed(node))
        ):
            (k,) = self.used[node]
            names.setdefault(k, self._port(node, k, {}))
        values["label"] = dot.lines(*head, ", ".join(names.values()), *lines)
        if names or lines or len(head) > 1 or len(head[0].partition("_")[0]) > 2:
            return kind, values
        return ("short", values) if kind == "operation" else (kind, {**values, "fontsize": "13"})

    def _tooltip(self, node: Function, frame: Frame | None) -> str:
        what = ["a sum", "every term gets gy"] if node in self.reading.sums else [node.label, node.rule]
        shape = f"{node.out_shape} " if self.is_fixed(node) else ""
        place = str(node.place) if self.fixed is None else node.place.scope
        about = [dot.clean(text, 200) for text in (*what, f"{shape}{_dtypes(node)}", place)]
        return dot.lines(*about, *(self.heat.words(node, frame) if self.heat else []))

    def _record(self, node: Function, head: list[str], names: dict[int, str], reversed: bool) -> str:
        """The label of a node with a field for every output in use."""
        ports = [(k, dot.escape_field(self._port(node, k, names))) for k in sorted(self.used[node])]
        fields = "|".join([f"<p{k}> {port}" for k, port in ports])
        parts = ["\\n".join([dot.escape_field(text) for text in head if text]), f"{{{fields}}}"]
        return "{" + "|".join(parts[::-1] if reversed else parts) + "}"

    def _own_names(self, node: Function) -> dict[int, str]:
        """The names that users gave to outputs; not of a result, which shows its name itself."""
        if node in self.ends and not node.multi_output:
            return {}
        names = {k: self._own_name(node, k) for k in node.annotations}
        return {k: dot.clean(name) for k, name in names.items() if name}

    def _own_name(self, node: Function, k: int) -> str:
        """The name that a user gave to an output; of all steps that it stands for."""
        return name_of(node, k) if self.fold is None else self.fold.output_names.get((node, k), "")

    def has_ports(self, item: object) -> bool:
        """Does every output in use have a field of its own?"""
        used = len(self.used.get(item, ())) if isinstance(item, Function) and item.multi_output else 0
        return 1 < used <= MOST_PORTS

    def _port(self, node: Function, k: int, names: dict[int, str]) -> str:
        return names.get(k) or self.names.gates.get((node, k)) or str(k)

    def _lines(self, node: Function, frame: Frame | None) -> list[str]:
        """The lines that ``show`` asks for."""
        lines = []
        if "shape" in self.show:
            shapes = node.out_shape if node.multi_output else (node.out_shape,)
            lines.append(" ".join([_shape(s) for s in shapes[:4]]) + (" …" if len(shapes) > 4 else ""))
        if "dtype" in self.show:
            lines.append(_dtypes(node))
        for what, lines_of in DETAILS.items():
            if what in self.show:
                first, *others = self._in_all_steps(node, lines_of)
                lines += [line for line in first if all(line in other for other in others)]
        if "count" in self.show and self.fold and self.fold.counts[node] > 1:
            lines.append(f"{self.fold.counts[node]} times")
        if "grad" in self.show and self.heat and (size := self.heat.size(node, frame)):
            lines.append(f"|g| = {size}")
        return lines

    def _symbol(self, node: Function) -> str:
        """The symbol of an operation with the Python numbers among its operands."""
        if node in self.reading.sums:
            return "Σ"
        if isinstance(node, FORMULAS):
            return formula(node, self.reading, self.names)
        symbol = node.symbol or node.label
        numbers = [f"{e:g}" if e.__class__ in SCALARS else "" for e in node.edges]
        if not any(numbers):
            gate = self.names.gate(node, 0) if isinstance(node, elementwise.Unary) else ""
            return f"{symbol}_{gate}" if gate and len(symbol) == 1 and symbol.isalpha() else symbol
        if isinstance(node, elementwise.Div) and not self.is_fixed(node):
            first = self.reading.sources[node][:1]
            if first and isinstance(first[0][0], reduce.Sum):  # a mean, over all steps among others
                numbers = ["n" if n else "" for n in numbers]
        if len(numbers) == 2 and isinstance(node, elementwise.Binary):
            return " ".join([s for s in (numbers[0], symbol, numbers[1]) if s])
        return f"{symbol}({', '.join([n or '·' for n in numbers])})"

    # -- explanations

    def explain(self, scene: Scene) -> None:
        """Say what colours mean, where they mean more than the name in the same place."""
        if self.heat:
            scene.legend = self.heat.title()
            scene.swatches += self.heat.legend()
        elif self.orders:
            words = ["forward", "first derivative", "second derivative", "third derivative", "higher"]
            most = min(max(self.orders.values()), len(words) - 1)
            small = {"fontsize": "10", "height": "0.2"}
            scene.swatches += [
                ("operation", {"label": words[i], "fillcolor": dot.ORDERS[i], **small})
                for i in range(most + 1)
            ]


def kind_of(item: object) -> str:
    """The kind of an item by its type alone."""
    if isinstance(item, int):
        return "result"
    if isinstance(item, Function):
        return "mover" if isinstance(item, MOVERS) else "operation"
    if isinstance(item, Parameter):
        return "parameter"
    return "constant" if isinstance(item, Constant) else "variable"


def is_named(item: Item, hide: Hide) -> bool:
    """Does ``hide`` name this item: by kind, by operation, or itself?"""
    words = {kind_of(item), item.label if isinstance(item, Function) else ""}
    return any(h in words if isinstance(h, str) else h is item for h in hide)


# --- small parts --------------------------------------------------------------------------------


def _members(fold: Fold) -> dict[Item, list[Item]]:
    """Item of a fold -> all items of the reading that it stands for."""
    sources = fold.reading.sources
    members: dict[Item, list[Item]] = {}
    for item in dict.fromkeys([*fold.reading.nodes, *[item for own in sources.values() for item, _ in own]]):
        members.setdefault(fold.of(item), []).append(item)
    return members


def _orders(reading: Reading | Fold) -> dict[Function, int]:
    """Node -> the number of the first result that it lies behind: of a derivative, its order."""
    orders: dict[Function, int] = {}
    for i, (_, v) in enumerate(reading.results):
        stack = [reading.source_of(v)[0]]
        while stack:
            item = stack.pop()
            if isinstance(item, Function) and item not in orders:
                orders[item] = i
                stack += [source for source, _ in reading.sources[item]]
    return orders


def _shape(shape: tuple[int, ...], axis: int = -1, between: str = "×") -> str:
    return between.join(["T" if i == axis else str(n) for i, n in enumerate(shape)])


def _dtypes(node: Function) -> str:
    return ", ".join(dict.fromkeys(map(str, node.out_dtype))) if node.multi_output else str(node.out_dtype)


def _value(a: Array) -> str:
    """Few numbers as they are, many by mean and standard deviation."""
    if a.size <= 4:
        return " ".join([f"{float(n):.3g}" for n in np.ravel(a)])
    return f"{float(np.mean(a)):.2g} ± {float(np.std(a)):.2g}"


def _gradient(g: Array) -> str:
    return f"grad {_value(g)}" if g.size <= 4 else f"|grad| = {float(np.linalg.norm(g)):.2g}"
