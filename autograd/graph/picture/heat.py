"""Heat: what a watched backward pass carried, as colours and widths of a drawing.

`Flows` has the numbers; here are one scale for all of them, the looks of vertices and arrows, and the legend.
"""

import math
from collections.abc import Collection, Hashable

from ...checking.watching import watch as Watch
from ...core import Function
from ..reading import Item, Output, Reading
from ..timesteps import Frame
from . import dot
from .flows import UNKNOWN, Flow, Flows, Parts, add, size_of

MOST_TICKS = 7


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
        self.watch, self.parts = watch, parts
        flows = Flows(reading, watch, parts)
        self._flows, self._vertices, self._flaws = flows.arrows, flows.vertices, flows.flaws
        every = [self._sizes(arrow) for arrow in parts.arrows] + [self.vertex(*v) for v in parts.vertices]
        self.set_scale([size for sizes in every for size in sizes], vmin, vmax)

    def set_scale(self, sizes: list[float], vmin: float | None, vmax: float | None) -> None:
        """Set the ends of the scale, given all sizes that are drawn."""
        self.sizes = sizes
        regular = [size for size in self.sizes if 0 < size < math.inf]
        low = vmin or min(regular, default=0.0)
        self.low = min(low, vmax or low)
        self.high = vmax or max([*regular, self.low])

    # -- sizes

    def vertex(self, vertex: Hashable, frame: Frame | None = None) -> list[float]:
        """The sizes of the gradients that arrived at a vertex: one, or one per step."""
        sizes = list(self._vertices.get((vertex, frame), {}).values())
        return sizes if self.parts.is_folded or not sizes else [math.hypot(*sizes)]

    def _sizes(self, *arrows: Hashable) -> list[float]:
        """The sizes of what flows over an arrow, or over several that run together."""
        together: dict[Hashable, dict[Output, Flow]] = {}
        for arrow in arrows:
            for step, flow in self._flows.get(arrow, {}).items():
                for output, g in flow.items():
                    add(together.setdefault(step, {}), output, g)
        known = [[g for g in flow.values() if g is not UNKNOWN] for flow in together.values()]
        complete = [gs for gs, flow in zip(known, together.values(), strict=True) if len(gs) == len(flow)]
        return [math.hypot(*map(size_of, gs)) for gs in complete]

    def _at(self, size: float) -> float:
        """Where on the scale, from 0 to 1."""
        if self.high <= self.low:
            return float(size >= self.high)
        at = (math.log(size) - math.log(self.low)) / (math.log(self.high) - math.log(self.low))
        return min(max(at, 0.0), 1.0)

    # -- looks

    def fill(self, vertex: Hashable, frame: Frame | None) -> dot.Look:
        """The colours of a vertex; one without a gradient stays white."""
        sizes = self.vertex(vertex, frame)
        look = _filled(dot.between(dot.HEAT, self._at(max(sizes)))) if _regular(sizes) else {}
        if sizes and not look:
            look = _filled(dot.FLAWED) if any(sizes) else dict(dot.NO_HEAT)
        return {**look, **self.outline(vertex)}

    def outline(self, vertex: Hashable) -> dot.Look:
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

    def edge(self, *arrows: Hashable, known: Collection[float] = ()) -> dot.Look:
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

    def legend(self) -> list[dot.Styled]:
        """The ticks of the scale from low to high, and the marks that the drawing uses."""
        small = {"fontsize": "10", "height": "0.2", "margin": "0.06,0.02"}
        ticks = self._ticks()
        found: list[dot.Styled] = []
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


def _number(item: Item | None) -> float:
    """The place of a node in the order of creation; leaves come before all, and nothing after all."""
    return item.number if isinstance(item, Function) else math.inf if item is None else -math.inf


def _regular(sizes: Collection[float]) -> bool:
    """Do these have a place on a logarithmic scale?"""
    return any(sizes) and all(map(math.isfinite, sizes))


def _filled(fill: str) -> dot.Look:
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
