"""Heat: what a watched backward pass carried, as colours and widths of a drawing.

An arrow shows what flows over it: the contribution that its head gives to its tail, not the whole
gradient there. Contributions to one value that share an arrow are added up before their size is taken;
those to several values stand side by side, as the parts of one long vector. Which recorded edge is part
of which arrow is told by the view; here are the numbers, one scale for all of them, and its legend.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...checking.watching import Flaw
from ...checking.watching import watch as Watch
from ...core import SCALARS, Constant, Function
from ...deferred import Deferred, sum_to
from ..reading import Item, Output, Reading
from ..timesteps import Frame
from . import dot

MOST_TICKS = 7
UNKNOWN: Any = object()  # in the place of an array: what flows there cannot be told from the rest


@dataclass(frozen=True)
class Parts:
    """Which parts of the recorded graph the vertices and arrows of a view show.

    Attributes:
        vertices: all that are drawn: what an item is drawn as, and its frame.
        arrows: all that are drawn.
        vertex: of an item, what it is drawn as, or part of.
        arrow: of output k of an item, and of the node in a frame (or the result, by number) that has it as
            its input ``at``: the arrow between them, or None. Called as arrow(item, k, head, at, frame).
        is_hidden: is an item left out? What it is given goes on to its own inputs.
        frames: of a node, where it is drawn.
        copies: nodes that are drawn several times, each linear in its gradient.
        is_folded: are all steps drawn as one? Then a vertex or arrow has a size for each of them.
        boxes: vertices that stand for many operations and have no colour themselves.
    """

    vertices: Collection[tuple[Hashable, Any]]
    arrows: Collection[Hashable]
    vertex: Callable[[Item], Hashable]
    arrow: Callable[[Item, int, Any, int, Any], Hashable]
    is_hidden: Callable[[Item], bool]
    frames: Callable[[Function], Iterable[Frame | None]]
    copies: Collection[Item] = ()
    is_folded: bool = False
    boxes: Collection[Hashable] = ()


class Heat:
    """The sizes of gradients in one drawing, on a logarithmic scale.

    Args:
        vmin, vmax: the ends of the scale; by default the smallest and the largest size drawn.
    """

    def __init__(
        self,
        reading: Reading,
        watch: Watch,
        parts: Parts,
        vmin: float | None = None,
        vmax: float | None = None,
    ):
        self.reading, self.watch, self.parts = reading, watch, parts
        self._flows: dict[Hashable, dict[Any, dict[Output, Any]]] = {}  # arrow -> step -> output -> array
        self._vertices: dict[Hashable, dict[Function, float]] = {}
        self._flaws: dict[Hashable, list[tuple[Flaw, Item]]] = {}
        self._uses: dict[Output, list[tuple[Function, int]]] = {}
        for node in reversed(reading.nodes):
            for source, giver in zip(reading.sources[node], self._givers(node), strict=True):
                self._uses.setdefault(source, []).append(giver)
        self._drawn = {vertex for vertex, _ in parts.vertices}
        self._measure()
        every = [self._sizes(arrow) for arrow in parts.arrows] + [self.vertex(*v) for v in parts.vertices]
        self.sizes = [size for sizes in every for size in sizes]  # all that are drawn
        regular = [size for size in self.sizes if 0 < size < math.inf]
        low = vmin or min(regular, default=0.0)
        self.low = min(low, vmax or low)
        self.high = vmax or max([*regular, self.low])

    # -- what flows where

    def _measure(self) -> None:
        """Sort everything that flows by the arrows and vertices that are drawn."""
        arrived_at: dict[tuple[Function, Any], dict[int, Any]] = {}  # copy -> output -> its share
        for i, (_, v) in enumerate(self.reading.results):
            source = self.reading.source_of(v)
            self._give(i, 0, None, source, self._from_outside(*source), arrived_at)
        for node in reversed(self.reading.nodes):
            sources, vertex = self.reading.sources[node], self.parts.vertex(node)
            self._note_flaws(node)
            for frame in () if self.parts.is_hidden(node) else self.parts.frames(node):
                arrived: Any = self._arrived(node)
                given = self._given(node)
                if node in self.parts.copies:
                    arrived, given = self._shared(node, arrived_at.get((node, frame), {}))
                if arrived is not None and vertex not in self.parts.boxes:
                    size = math.hypot(*map(_size, arrived))
                    self._vertices.setdefault((vertex, frame), {})[node] = size
                for at, g in enumerate(given):
                    self._give(node, at, frame, sources[at], g, arrived_at)

    def _give(self, head: Any, at: int, frame: Any, to: Output, g: Any, arrived_at: dict[Any, Any]) -> None:
        """Add what a node in a frame, or the outside of a result, gave to its input ``at``."""
        for item, k, part in self._onwards(to, g):
            if item in self.parts.copies and part is not None:
                _add(arrived_at.setdefault((item, frame), {}), k, part)
            if (arrow := self.parts.arrow(item, k, head, at, frame)) is not None:
                step = (item, k, head) if self.parts.is_folded else None
                flow = self._flows.setdefault(arrow, {}).setdefault(step, {})
                if part is not None and not isinstance(item, Constant):  # which has been cut off
                    _add(flow, (item, k), part)

    def _note_flaws(self, node: Function) -> None:
        """Note where a node and its leaves are not finite, at vertices that are drawn."""
        vertex = self.parts.vertex(node)
        leaves = [item for item, _ in self.reading.sources[node] if not isinstance(item, Function)]
        spots = [(part, vertex) for part in self.reading.sums.get(node, [node])]
        for item, spot in [*spots, *[(leaf, self.parts.vertex(leaf)) for leaf in leaves]]:
            if isinstance(spot, Function) and spot not in self._drawn:
                continue
            for flaw in self.watch.flaws(item):
                found = self._flaws.setdefault(spot, [])
                if not any(item is other and flaw == known for known, other in found):
                    found.append((flaw, item))

    def _givers(self, node: Function) -> list[tuple[Function, int]]:
        """Which input of which recorded node each source of a node is: of a joined sum, of its parts."""
        inner = set(self.reading.sums.get(node, ()))
        return [
            (part, i)
            for part in self.reading.sums.get(node, [node])
            for i, edge in enumerate(part.edges)
            if edge.__class__ not in SCALARS and not (inner and self.reading.source(edge)[0] in inner)
        ]

    def _given(self, node: Function) -> list[Any]:
        """What a node gave to each of its sources."""
        return [self.watch.contribution(*giver) for giver in self._givers(node)]

    def _arrived(self, node: Function) -> tuple[Any, ...] | None:
        g: Any = self.watch.gradient(node)
        return None if g is None else g if isinstance(g, tuple) else (g,)

    def _from_outside(self, item: Item, k: int) -> Any:
        """What arrived at a result, less what drawn operations gave to it."""
        arrived = self._arrived(item) if isinstance(item, Function) else None
        if arrived is None or not isinstance(item, Function):
            return None
        gs = [
            g for giver in self._uses.get((item, k), ()) if (g := self.watch.contribution(*giver)) is not None
        ]
        if not gs:
            return arrived[k]
        if k in item.annotations and item.annotations[k].hooks:
            return UNKNOWN
        rest = arrived[k] - sum(gs[1:], gs[0])
        rounding = len(gs) * float(np.finfo(rest.dtype).eps) * sum(map(_size, gs))
        return np.zeros_like(rest) if _size(rest) <= rounding else rest

    def _onwards(self, to: Output, g: Any) -> Iterator[tuple[Item, int, Any]]:
        """A contribution at the values that are drawn, after all operations that are left out."""
        is_hidden = self.parts.is_hidden
        if not is_hidden(to[0]):
            yield *to, g
            return
        waiting: dict[Item, dict[int, Any]] = {to[0]: {to[1]: g}}
        while nodes := [node for node in waiting if isinstance(node, Function)]:
            node = max(nodes, key=lambda n: n.number)
            _, given = self._shared(node, waiting.pop(node))
            for source, part in zip(self.reading.sources[node], given, strict=True):
                if not is_hidden(source[0]):
                    yield *source, part
                elif part is not None:
                    _add(waiting.setdefault(source[0], {}), source[1], part)

    def _shared(self, node: Function, parts: Mapping[int, Any]) -> tuple[Any, list[Any]]:
        """A share of what arrived at a node, per output, and what it gives to each input for that.

        Known where the share is all or nothing, and where the node is linear and had to save no array.
        """
        total, given = self._arrived(node), self._given(node)
        share = {k: g for k, g in parts.items() if g is not None}
        if total is None or not share:
            return None, [None for _ in given]
        if any(g is UNKNOWN for g in share.values()):
            return None, [g if g is None else UNKNOWN for g in given]
        gys = tuple([share.get(k, np.zeros_like(g)) for k, g in enumerate(total)])
        if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(gys, total, strict=True)):
            return gys, given
        if not any(map(np.any, gys)):
            return gys, [None if g is None else np.zeros_like(g) for g in given]
        if is_linear(node):
            gxs: Any = gys * len(given)  # of a joined sum
            if node not in self.reading.sums:
                gxs = node.backward(gys if node.multi_output else gys[0])
                gxs = gxs if isinstance(gxs, tuple) else (gxs,)
                gxs = [gxs[i] for _, i in self._givers(node)]
            return gys, [
                None if g is None else unbroadcast(gx, g.shape) for gx, g in zip(gxs, given, strict=True)
            ]
        return None, [g if g is None else UNKNOWN for g in given]

    # -- sizes

    def vertex(self, vertex: Hashable, frame: Frame | None = None) -> list[float]:
        """The sizes of the gradients that arrived at a vertex: one, or one per step."""
        sizes = list(self._vertices.get((vertex, frame), {}).values())
        return sizes if self.parts.is_folded or not sizes else [math.hypot(*sizes)]

    def _sizes(self, *arrows: Hashable) -> list[float]:
        """The sizes of what flows over an arrow, or over several that run together."""
        together: dict[Any, dict[Output, Any]] = {}
        for arrow in arrows:
            for part, flow in self._flows.get(arrow, {}).items():
                for value, g in flow.items():
                    _add(together.setdefault(part, {}), value, g)
        known = [flow.values() for flow in together.values() if not any(g is UNKNOWN for g in flow.values())]
        return [math.hypot(*map(_size, flow)) for flow in known]

    def _at(self, size: float) -> float:
        """Where on the scale, from 0 to 1."""
        if self.high <= self.low:
            return float(size >= self.high)
        at = (math.log(size) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return min(max(at, 0.0), 1.0)

    # -- looks

    def fill(self, vertex: Hashable, frame: Frame | None) -> dict[str, str]:
        """The colours of a vertex; one without a gradient stays white."""
        sizes = self.vertex(vertex, frame)
        look = _filled(dot.between(dot.HEAT, self._at(max(sizes)))) if _regular(sizes) else {}
        if sizes and not look:
            look = _filled(dot.FLAWED) if any(sizes) else dict(dot.NO_HEAT)
        return {**look, **self.outline(vertex)}

    def outline(self, vertex: Hashable) -> dict[str, str]:
        """The border of a vertex where NaN or infinity is; all that a leaf or a box shows."""
        found = [flaw.born for flaw, _ in self._flaws.get(vertex, ())]
        return dict(dot.BORN if any(found) else dot.PASSED if found else dot.NOTHING)

    def lines(self, vertex: Hashable, frame: Frame | None = None) -> list[str]:
        """What a vertex says: sizes that differ from step to step, and what was born there."""
        lines = [text] if (text := self._spread(self.vertex(vertex, frame))) else []
        first: dict[str, Item] = {}  # where each kind was born first
        for flaw, item in self._flaws.get(vertex, ()):
            kind = f"{'gradient ' if flaw.backward else ''}{flaw.kind}"
            if flaw.born and _number(item) < _number(first.get(kind)):
                first[kind] = item
        has_steps = self.parts.is_folded or self.parts.boxes
        for kind, item in first.items():
            words = f"{kind} born here"
            if isinstance(item, Function):
                words = f"{kind} born in {item.label}" if vertex in self.parts.boxes else words
                words += f", t = {item.place.step}" if has_steps and item.place.step is not None else ""
            lines.append(words)
        return lines

    def size(self, vertex: Hashable, frame: Frame | None) -> str:
        """The size of the gradient that arrived at a vertex, "" where none did."""
        return _range(self.vertex(vertex, frame))

    def words(self, vertex: Hashable, frame: Frame | None) -> list[str]:
        """For a tooltip: the size, and what is not finite and was only passed on."""
        size = self.size(vertex, frame)
        about = f"|gradient| = {size}" if size else "no gradient"
        passed = dict.fromkeys([(f.kind, f.backward) for f, _ in self._flaws.get(vertex, ()) if not f.born])
        return [about, *[f"{kind} in its {'gradient' if b else 'value'}, passed on" for kind, b in passed]]

    def edge(self, *arrows: Hashable, known: Collection[float] = ()) -> dict[str, str]:
        """The look of an arrow, or of a line that several share; ``known`` are sizes that its tail tells."""
        sizes = self._sizes(*arrows)
        if not sizes:
            return {
                "color": dot.NO_FLOW,
                "tooltip": "not told apart" if self._unknown(*arrows) else "no gradient",
            }
        look = {"tooltip": f"|contribution| = {_range(sizes)}"}
        if sorted(sizes) != sorted(known) and (text := self._spread(sizes)):
            look |= {"label": f"  {text}", "fontcolor": dot.GREY, "fontsize": "8"}
        if not any(sizes):
            return {**look, "color": dot.NO_FLOW, "style": "dashed", "penwidth": "0.6"}
        if not _regular(sizes):
            return {**look, "color": dot.FLAW, "penwidth": "2"}
        at = self._at(max(sizes))
        return {**look, "color": dot.between(dot.HEAT, at), "penwidth": f"{0.6 + 3.4 * at:.1f}"}

    def flow(self, *arrows: Hashable) -> str:
        """The size of what flows over an arrow; "" where there is none."""
        return _range(self._sizes(*arrows))

    def _unknown(self, *arrows: Hashable) -> bool:
        flows = [flow for arrow in arrows for flow in self._flows.get(arrow, {}).values()]
        return any(g is UNKNOWN for flow in flows for g in flow.values())

    def _spread(self, sizes: list[float]) -> str:
        return _range(sizes) if self.parts.is_folded and len(set(map(_short, sizes))) > 1 else ""

    # -- the legend

    def title(self) -> list[str]:
        """What the colours mean."""
        words = ["size of the gradient, on a logarithmic scale", "of an arrow: what flows over it"]
        if self.parts.is_folded:
            words.append("colour: the largest of all steps; numbers: smallest … largest")
        elif self.parts.boxes:
            words.append("all values and all steps together")
        return words

    def legend(self) -> list[tuple[str, dict[str, str]]]:
        """The ticks of the scale from low to high, and the marks that the drawing uses."""
        small = {"fontsize": "10", "height": "0.2", "margin": "0.06,0.02"}
        ticks = self._ticks()
        found: list[tuple[str, dict[str, str]]] = []
        if 0.0 in self.sizes:
            found.append(("operation", {"label": "0", **small, **dot.NO_HEAT}))
        for i, tick in enumerate(ticks):
            below = i == 0 and any(0 < size < tick for size in self.sizes)
            above = i == len(ticks) - 1 and any(tick < size < math.inf for size in self.sizes)
            label = f"{'≤ ' if below else '≥ ' if above else ''}{_short(tick)}"
            fill = _filled(dot.between(dot.HEAT, self._at(tick)))
            found.append(("operation", {"label": label, **small, **fill}))
        if not all(map(math.isfinite, self.sizes)):
            found.append(("operation", {"label": "gradient NaN, inf", **small, **_filled(dot.FLAWED)}))
        born = [flaw.born for flaws in self._flaws.values() for flaw, _ in flaws]
        if False in born:
            found.append(("operation", {"label": "NaN, inf passed on", **small, **dot.PASSED}))
        if True in born:
            found.append(("operation", {"label": "NaN, inf born here", **small, **dot.BORN}))
        if any(self._unknown(arrow) for arrow in self._flows):
            words = "grey arrow: runs through\noperations left out, not told apart"
            found.append(("caption", {"label": dot.lines(*words.split("\n"))}))
        return found

    def _ticks(self) -> list[float]:
        """Both ends, and powers of ten between them."""
        if not self.high > self.low > 0:
            return [self.high] if self.high > 0 else []
        first, last = math.log10(self.low), math.log10(self.high)
        every = math.ceil((last - first) / (MOST_TICKS - 2)) or 1
        powers = [n for n in range(math.ceil(first), math.floor(last) + 1) if n % every == 0]
        near = 0.3 * every  # of an end, which has a tick itself
        return [self.low, *[10.0**n for n in powers if first + near < n < last - near], self.high]


# --- small parts --------------------------------------------------------------------------------


def is_linear(node: Function) -> bool:
    """Is what a node gives to its inputs a linear function of its gradient, known without saved arrays?"""
    return not node._names and not any(notes.hooks for notes in node.annotations.values())


def _number(item: Item | None) -> float:
    """The place of a node in the order of creation; leaves come before all, and nothing after all."""
    return item.number if isinstance(item, Function) else math.inf if item is None else -math.inf


def _add(to: dict[Any, Any], key: Any, g: Any) -> None:
    before = to.get(key)
    to[key] = UNKNOWN if g is UNKNOWN or before is UNKNOWN else g if before is None else before + g


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """What a backward gave, as an array in the shape of the input that it is for."""
    g = g.array() if isinstance(g, Deferred) else g
    return g if g.shape == shape else sum_to(g, shape)


def _size(g: Any) -> float:
    """The norm of an array, also where its squares would be too large or too small."""
    most = float(np.max(np.abs(g), initial=0.0))
    return most * float(np.linalg.norm(np.asarray(g, float) / most)) if 0 < most < math.inf else most


def _regular(sizes: Collection[float]) -> bool:
    """Do these have a place on a logarithmic scale?"""
    return any(sizes) and all(map(math.isfinite, sizes))


def _filled(fill: str) -> dict[str, str]:
    return {"fillcolor": fill, "fontcolor": dot.legible_on(fill)}


def _short(size: float) -> str:
    """Two digits are enough."""
    if math.isnan(size):
        return "NaN"
    if 0.01 <= size < 1e4 or not 0 < size < math.inf:
        return f"{float(f'{size:.2g}'):g}"
    number, _, exponent = f"{size:.1e}".replace(".0e", "e").partition("e")
    return f"{number}e{int(exponent)}"


def _range(sizes: Collection[float]) -> str:
    """One size as it is, several from the smallest to the largest."""
    if not all(map(math.isfinite, sizes)):
        return ", ".join(dict.fromkeys([_short(size) for size in sizes if not math.isfinite(size)]))
    ends = [_short(size) for size in (min(sizes), max(sizes))] if sizes else []
    return " … ".join(dict.fromkeys(ends))
