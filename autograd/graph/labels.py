"""What a vertex says and looks like: symbols, names, shapes, values, gradients. Not where it stands.

Every view asks `Labels` for the style and the attributes of its vertices, so that an operation or a
parameter looks the same in all of them.
"""

import math
from collections.abc import Collection, Iterable
from typing import Any

import numpy as np

from ..core import SCALARS, Constant, Function, Parameter, Slot, Variable
from ..ops import elementwise, reduce, shape
from ..watch import watch as Watch
from . import dot
from .fold import Fold
from .formula import FORMULAS, formula
from .names import Names
from .reading import Item, Reading

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
Look = tuple[str, dict[str, str]]  # style and attributes


class Labels:
    """Styles and attributes of the vertices of one drawing.

    ``fold`` is given for drawings that must not depend on the number of steps, with ``free``, the items
    whose shapes and numbers can be told there.
    """

    def __init__(
        self,
        reading: Reading | Fold,
        names: Names,
        show: Collection[str] = (),
        watch: Watch | None = None,
        fold: Fold | None = None,
    ):
        self.reading, self.names, self.show, self.fold = reading, names, show, fold
        self.free: Collection[Item] | None = None if fold is None else set()
        self.inside = ""  # the title of the frame that is being filled: names in it go without
        self.used: dict[Function, set[int]] = {}  # outputs in use
        for sources in (*reading.sources.values(), [reading.source_of(v) for _, v in reading.results]):
            self.use(sources)
        self.ends = {reading.source_of(v)[0] for _, v in reading.results}
        self.tints: dict[Item, dict[str, str]] = {}
        self.heat = Heat(reading, watch) if watch is not None else None
        self.orders = _orders(reading) if "order" in show else {}

    def use(self, sources: Iterable[tuple[Item, int]]) -> None:
        """Note that arrows start at these outputs."""
        for item, k in sources:
            if isinstance(item, Function) and item.several:
                self.used.setdefault(item, set()).add(k)

    def parameters(self, leaves: list[Item], tied: Collection[Item] = ()) -> None:
        """Give every parameter, and other leaves that several steps use, a colour and a short name.

        Where colours show gradients, they show nothing else.
        """
        own = [leaf for leaf in dict.fromkeys(leaves) if leaf in tied or self.names.is_parameter(leaf)]
        self.tints = {leaf: dot.tint(i) for i, leaf in enumerate(own) if not self.heat}
        self.names.shorten(own)

    def kind(self, item: Item) -> str:
        """One of parameter, variable, constant, mover, operation; result for a number."""
        return "parameter" if self.names.is_parameter(item) else kind_of(item)

    # -- the three sorts of vertices

    def result(self, i: int) -> Look:
        """Of result ``i``."""
        path, v = self.reading.results[i]
        edge = v._edge
        node, k = (edge.node, edge.k) if isinstance(edge, Slot) else (edge, 0)
        marks = node.marks if isinstance(node, Function) else {0: v._mark} if v._mark else None
        own = marks[k].name if marks and k in marks else None
        name = dot.clean(path or own or "result")
        told = self.free is None or not isinstance(node, Function) or node in self.free
        extra = [_value(v.data)] if "value" in self.show and told else []
        grad = v._mark.grad if isinstance(node, Variable) and v._mark else None
        extra += [_gradient(grad.data)] if grad is not None and "grad" in self.show else []
        if "dtype" in self.show:
            extra.append(str(v.dtype))
        values = {
            "label": dot.lines(name, _shape(v.shape) if told else "", *extra),
            "tooltip": dot.lines("result", f"{v.dtype}"),
        }
        return "result", values

    def leaf(self, leaf: Item, mark: str = "", shape: tuple[int, ...] | None = None) -> Look:
        """Of a leaf or constant; ``mark`` is appended to the name."""
        shape = leaf.shape if shape is None else shape
        axis = self.fold.times.get(leaf, -1) if self.fold else -1  # time, whose length is T
        name, kind = self.names.full(leaf), self.kind(leaf)
        if self.fold and leaf in self.fold.names:
            name = self.fold.names[leaf]
        short = name if self.fold and leaf in self.fold.names else self.names.short(leaf)
        label = dot.clean(short.removeprefix(f"{self.inside}."))
        told = self.free is None or kind == "parameter" or leaf in self.free or axis >= 0
        size = _shape(shape, axis) if told else ""
        about = [dot.clean(name, 200), kind]
        about += [f"({_shape(shape, axis, ', ')}) {leaf.dtype}"] if told else [str(leaf.dtype)]
        extra = [str(leaf.dtype)] if "dtype" in self.show else []
        if isinstance(leaf, Constant) and (origin := leaf.origin) is not None:
            label = label or "cut"
            place = origin[2]
            if place.step is not None and self.fold is None:
                extra.insert(0, f"of {place.unit} = {place.step}")
        if "count" in self.show and kind == "parameter":
            extra.append(f"{math.prod(leaf.shape):,} numbers")
        if isinstance(leaf, Variable) and told:
            if "value" in self.show:
                extra.append(_value(leaf.data))
            if "grad" in self.show and leaf._mark is not None and leaf._mark.grad is not None:
                extra.append(_gradient(leaf._mark.grad.data))
        name_line = label + (mark if label else "")
        empty = "" if label or size or not told else "scalar"
        values = {
            "label": dot.lines(name_line, size or empty, *extra),
            "tooltip": dot.lines(*about, "transposed" if mark else ""),
        }
        return kind, {**values, **self.tints.get(leaf, {})}

    def operation(self, node: Function, reversed: bool, extra: str = "") -> Look:
        """Of a node; a record with one field per output in use where there are several."""
        told = self.free is None or node in self.free
        names = {
            k: dot.clean(mark.name)
            for k, mark in (node.marks or {}).items()
            if mark.name and (node.several or node not in self.ends)  # the result itself shows its name
        }
        label = dot.clean(self._symbol(node))
        style = self.kind(node)
        more = self._more(node) if told else []
        rule = f"{node.out_shape} " if told else ""
        place = str(node.place) if self.free is None else node.place.scope
        what = [node.label, node.rule]
        if node in self.reading.sums:
            what = ["a sum", "every term gets gy"]
        about = [*what, f"{rule}{_dtypes(node)}", place]
        values = {"tooltip": dot.lines(*[dot.clean(a, 200) for a in about])}
        if self.heat:
            values.update(self.heat.fill(node))
            values["tooltip"] += f"\\n{self.heat.words(node)}"
        elif self.orders.get(node):
            values["fillcolor"] = dot.ORDERS[min(self.orders[node], len(dot.ORDERS) - 1)]
        if self.has_ports(node):
            ports = [(k, dot.escape_field(self._port(node, k, names))) for k in sorted(self.used[node])]
            fields = "|".join([f"<p{k}> {port}" for k, port in ports])
            head = "\\n".join([dot.escape_field(t) for t in (label, *more, extra) if t])
            parts = [head, f"{{{fields}}}"]
            values["label"] = "{" + "|".join(parts[::-1] if reversed else parts) + "}"
            return "outputs", values
        if node.several and len(self.used.get(node, ())) == 1 and (told or self.fold is None):
            (k,) = self.used[node]
            names.setdefault(k, self._port(node, k, {}))
        values["label"] = dot.lines(label, ", ".join(names.values()), *more, extra)
        if not (names or more or extra) and len(label) <= 2:
            if style == "operation":
                style = "short"
            else:
                values["fontsize"] = "13"
        return style, values

    def has_ports(self, item: Item) -> bool:
        """Does every output in use have a field of its own?"""
        used = len(self.used.get(item, ())) if isinstance(item, Function) and item.several else 0
        return 1 < used <= MOST_PORTS

    def _port(self, node: Function, k: int, names: dict[int, str]) -> str:
        return names.get(k) or self.names.gates.get((node, k)) or str(k)

    def _more(self, node: Function) -> list[str]:
        """The lines that ``show`` asks for."""
        more = []
        if "shape" in self.show:
            shapes = node.out_shape if node.several else (node.out_shape,)
            more.append(" ".join([_shape(s) for s in shapes[:4]]) + (" …" if len(shapes) > 4 else ""))
        if "dtype" in self.show:
            more.append(_dtypes(node))
        if "count" in self.show and self.fold and self.fold.counts[node] > 1:
            more.append(f"{self.fold.counts[node]} times")
        if "grad" in self.show and self.heat and (norm := self.heat.norm(node)) is not None:
            more.append(f"|g| = {norm:.2g}")
        return more

    def _symbol(self, node: Function) -> str:
        """The symbol of an operation with the Python numbers among its operands."""
        if node in self.reading.sums:
            return "Σ"
        if isinstance(node, FORMULAS):
            return formula(node, self.reading, self.names)
        symbol = node.symbol or node.label
        numbers = [f"{e:g}" if e.__class__ in SCALARS else "" for e in node.edges or ()]
        if not any(numbers):
            return symbol
        if self.free is not None and node not in self.free and isinstance(node, elementwise.Div):
            first = self.reading.sources[node][:1]
            if first and isinstance(first[0][0], reduce.Sum):  # a mean, over all steps among others
                numbers = ["n" if n else "" for n in numbers]
        if len(numbers) == 2 and isinstance(node, elementwise.Binary):
            return " ".join([s for s in (numbers[0], symbol, numbers[1]) if s])
        return f"{symbol}({', '.join([n or '·' for n in numbers])})"

    # -- explanations

    def swatches(self) -> list[Look]:
        """What colours mean, where they mean more than the name in the same place."""
        if self.heat:
            return [self.heat.legend()]
        if not self.orders:
            return []
        words = ["forward", "first derivative", "second derivative", "third derivative", "higher"]
        most = min(max(self.orders.values()), len(words) - 1)
        small = {"fontsize": "10", "height": "0.2"}
        return [
            ("operation", {"label": words[i], "fillcolor": dot.ORDERS[i], **small}) for i in range(most + 1)
        ]


class Heat:
    """The size of gradients as colour and width, on a logarithmic scale from the smallest to the largest."""

    def __init__(self, reading: Reading | Fold, watch: Watch):
        self._norms: dict[Item, dict[int, float]] = {}
        self._uses: dict[tuple[Item, int], float] = {}
        for node in reading.nodes:
            if (g := watch.gradient(node)) is not None:
                parts = g if node.several and isinstance(g, tuple) else (g,)
                self._norms[node] = {k: float(np.linalg.norm(part)) for k, part in enumerate(parts)}
            for leaf, _ in reading.sources[node]:
                if isinstance(leaf, Variable) and (leaf, -1) not in self._uses:
                    self._uses[leaf, -1] = 0.0
                    for use in watch.uses(leaf):
                        before = self._uses.get((leaf, use.number), 0.0)
                        self._uses[leaf, use.number] = math.hypot(before, float(np.linalg.norm(use.grad)))
        every = [n for norms in self._norms.values() for n in norms.values()]
        sizes = [n for n in [*every, *self._uses.values()] if n > 0 and math.isfinite(n)]
        self.low, self.high = (min(sizes), max(sizes)) if sizes else (0.0, 0.0)

    def norm(self, node: Function) -> float | None:
        """Of the gradient that arrived at the outputs of a node."""
        norms = self._norms.get(node)
        return None if norms is None else math.hypot(*norms.values())

    def _at(self, norm: float) -> float:
        if not norm > 0 or self.high <= self.low:
            return 0.0 if not norm > 0 else 1.0
        return (math.log(norm) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))

    def fill(self, node: Function) -> dict[str, str]:
        """The colour of a node; one without a gradient stays white."""
        norm = self.norm(node)
        return {} if norm is None else {"fillcolor": dot.between(dot.HEAT, self._at(norm))}

    def words(self, node: Function) -> str:
        """The size of a gradient for a tooltip."""
        norm = self.norm(node)
        return "no gradient" if norm is None else f"|gradient| = {norm:.3g}"

    def edge(self, item: Item, k: int, consumer: Any) -> dict[str, str]:
        """The look of an arrow: from output ``k`` of a node, or from a leaf to its consumer."""
        if isinstance(item, Function):
            norm = self._norms.get(item, {}).get(k)
        else:
            norm = self._uses.get((item, getattr(consumer, "number", -2)))
        if norm is None:
            return {"color": "#c4c4c4"}
        at = self._at(norm)
        return {"color": dot.between(dot.HEAT_EDGE, at), "penwidth": f"{0.6 + 3.4 * at:.1f}"}

    def legend(self) -> Look:
        """A strip of the colours."""
        strip = ":".join([dot.between(dot.HEAT, i / 8) for i in range(9)])
        label = dot.lines(f"size of the gradient, {self.low:.0e} to {self.high:.0e}")
        values = {
            "label": label,
            "style": "striped",
            "color": "#d0d0d0",
            "fillcolor": strip,
            "fontsize": "10",
        }
        return "operation", values


def kind_of(item: Item) -> str:
    """The kind of an item by its type alone."""
    if isinstance(item, int):
        return "result"
    if isinstance(item, Function):
        return "mover" if isinstance(item, MOVERS) else "operation"
    if isinstance(item, Parameter):
        return "parameter"
    return "constant" if isinstance(item, Constant) else "variable"


# --- small parts --------------------------------------------------------------------------------


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
    return ", ".join(dict.fromkeys(map(str, node.out_dtype))) if node.several else str(node.out_dtype)


def _value(a: Any) -> str:
    """Few numbers as they are, many by mean and standard deviation."""
    if a.size <= 4:
        return " ".join([f"{float(n):.3g}" for n in np.ravel(a)])
    return f"{float(np.mean(a)):.2g} ± {float(np.std(a)):.2g}"


def _gradient(g: Any) -> str:
    return f"grad {_value(g)}" if g.size <= 4 else f"|grad| = {float(np.linalg.norm(g)):.2g}"
