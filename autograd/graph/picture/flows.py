"""What flows where in a drawing: gradients of a watched pass, sorted by the vertices and arrows of a view.

Over an arrow flows the contribution that its head gives to its tail, not the whole gradient there.
Contributions to one output that share an arrow are added up; those to several stand side by side, as the
parts of one long vector. What is left out of the drawing hands on what it got.
"""

import math
from collections.abc import Callable, Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

import numpy as np

from ...checking.watching import Flaw
from ...checking.watching import watch as Watch
from ...core import Array, Constant, Function
from ...deferred import Deferred, sum_to
from ..reading import Item, Output, Reading
from ..timesteps import Frame


class _Unknown(Enum):
    UNKNOWN = "cannot be told from the rest"


UNKNOWN: Final = _Unknown.UNKNOWN
Flow = Array | _Unknown


@dataclass(frozen=True)
class Parts:
    """Which parts of the recorded graph the vertices and arrows of a view show.

    Attributes:
        vertices: all that are drawn: what an item is drawn as, and its frame.
        arrows: all that are drawn.
        vertex: of an item, what it is drawn as, or part of.
        arrow: of output k of an item, and of the node in a frame (or the result, by number) that has it as
            its input ``at``: the arrow between them, or None. Called as arrow(item, k, head, at, frame).
        is_hidden: is an item left out?
        frames: of a node, where it is drawn.
        copies: nodes that are drawn several times, each linear in its gradient.
        is_folded: are all steps drawn as one? Then a vertex or arrow has a size for each of them.
        boxes: vertices that stand for many operations and have no colour themselves.
    """

    vertices: Collection[tuple[Hashable, Frame | None]]
    arrows: Collection[Hashable]
    vertex: Callable[[Item], Hashable]
    arrow: Callable[[Item, int, Item | int, int, Frame | None], Hashable]
    is_hidden: Callable[[Item], bool]
    frames: Callable[[Function], Iterable[Frame | None]]
    copies: Collection[Item] = ()
    is_folded: bool = False
    boxes: Collection[Hashable] = ()


class Flows:
    """What a watched pass carried.

    Attributes:
        arrows: arrow -> step (None if not folded) -> output -> the sum of the contributions to it.
        vertices: vertex and frame -> node -> the size of the gradient that arrived there.
        flaws: vertex -> NaN and infinity in it, each with the item that has it.
    """

    def __init__(self, reading: Reading, watch: Watch, parts: Parts):
        self.reading, self.watch, self.parts = reading, watch, parts
        self.arrows: dict[Hashable, dict[Hashable, dict[Output, Flow]]] = {}
        self.vertices: dict[Hashable, dict[Function, float]] = {}
        self.flaws: dict[Hashable, list[tuple[Flaw, Item]]] = {}
        self._drawn = {vertex for vertex, _ in parts.vertices}
        self._shares: dict[tuple[Item, Frame | None], dict[int, Flow]] = {}  # copy -> output -> what it got
        self._uses: dict[Output, list[tuple[Function, int]]] = {}
        for node in reversed(reading.nodes):
            for source, giver in zip(reading.sources[node], reading.inputs(node), strict=True):
                self._uses.setdefault(source, []).append(giver)
        for i, (_, v) in enumerate(reading.results):
            source = reading.source_of(v)
            self._give(i, 0, None, source, self._from_outside(*source))
        for node in reversed(reading.nodes):
            self._note_flaws(node)
            if not parts.is_hidden(node):
                self._give_all(node)

    def _give_all(self, node: Function) -> None:
        """Note what arrived at a node, in every frame where it is drawn, and what it gave to its inputs."""
        vertex = self.parts.vertex(node)
        for frame in self.parts.frames(node):
            arrived, given = self._arrived(node), self._given(node)
            if node in self.parts.copies:
                arrived, given = self._answer(node, self._shares.get((node, frame), {}))
            if arrived is not None and vertex not in self.parts.boxes:
                self.vertices.setdefault((vertex, frame), {})[node] = math.hypot(*map(size_of, arrived))
            for at, (source, g) in enumerate(zip(self.reading.sources[node], given, strict=True)):
                self._give(node, at, frame, source, g)

    def _give(self, head: Function | int, at: int, frame: Frame | None, to: Output, g: Flow | None) -> None:
        """Add what a node in a frame, or the outside of a result, gave to its input ``at``."""
        for item, k, part in self._onwards(to, g):
            if item in self.parts.copies and part is not None:
                add(self._shares.setdefault((item, frame), {}), k, part)
            if (arrow := self.parts.arrow(item, k, head, at, frame)) is not None:
                step = (item, k, head) if self.parts.is_folded else None
                flow = self.arrows.setdefault(arrow, {}).setdefault(step, {})
                if part is not None and not isinstance(item, Constant):  # which has been cut off
                    add(flow, (item, k), part)

    def _onwards(self, to: Output, g: Flow | None) -> Iterator[tuple[Item, int, Flow | None]]:
        """A contribution at the outputs that are drawn, after all operations that are left out."""
        is_hidden = self.parts.is_hidden
        if not is_hidden(to[0]):
            yield *to, g
            return
        waiting: dict[Item, dict[int, Flow | None]] = {to[0]: {to[1]: g}}
        while nodes := [node for node in waiting if isinstance(node, Function)]:
            node = max(nodes, key=lambda n: n.number)
            _, given = self._answer(node, waiting.pop(node))
            for source, part in zip(self.reading.sources[node], given, strict=True):
                if not is_hidden(source[0]):
                    yield *source, part
                elif part is not None:
                    add(waiting.setdefault(source[0], {}), source[1], part)

    def _note_flaws(self, node: Function) -> None:
        """Note where a node and its leaves are not finite, at vertices that are drawn."""
        leaves = [item for item, _ in self.reading.sources[node] if not isinstance(item, Function)]
        places: list[tuple[Item, Hashable]] = [(leaf, self.parts.vertex(leaf)) for leaf in leaves]
        parts = self.reading.sums.get(node, [node])
        for item, vertex in [*[(part, self.parts.vertex(node)) for part in parts], *places]:
            if isinstance(vertex, Function) and vertex not in self._drawn:
                continue
            for flaw in self.watch.flaws(item):
                known = self.flaws.setdefault(vertex, [])
                if not any(item is other and flaw == same for same, other in known):
                    known.append((flaw, item))

    # -- what the pass recorded

    def _given(self, node: Function) -> Sequence[Flow | None]:
        """What a node gave to each of its sources."""
        return [self.watch.contribution(*giver) for giver in self.reading.inputs(node)]

    def _arrived(self, node: Function) -> Sequence[Array] | None:
        """The gradients that arrived at the outputs of a node."""
        g = self.watch.gradient(node)
        return None if g is None else g if isinstance(g, tuple) else (g,)

    def _from_outside(self, item: Item, k: int) -> Flow | None:
        """What arrived at a result, less what drawn operations gave to it."""
        arrived = self._arrived(item) if isinstance(item, Function) else None
        if arrived is None or not isinstance(item, Function):
            return None
        given = [self.watch.contribution(*giver) for giver in self._uses.get((item, k), ())]
        gs = [g for g in given if g is not None]
        if not gs:
            return arrived[k]
        if k in item.annotations and item.annotations[k].hooks:
            return UNKNOWN
        rest = arrived[k] - sum(gs[1:], gs[0])
        rounding = len(gs) * float(np.finfo(rest.dtype).eps) * sum(map(size_of, gs))
        return np.zeros_like(rest) if size_of(rest) <= rounding else rest

    def _answer(
        self, node: Function, share: Mapping[int, Flow | None]
    ) -> tuple[Sequence[Array] | None, Sequence[Flow | None]]:
        """For a share of what arrived at a node: all of it, and what the node gives to each source for that.

        Known where the share is all or nothing, and where the node is linear and had to save no array.
        """
        total, given = self._arrived(node), self._given(node)
        unknown = [None if g is None else UNKNOWN for g in given]
        known = {k: g for k, g in share.items() if g is not None and g is not UNKNOWN}
        if total is None or not any(g is not None for g in share.values()):
            return None, [None for _ in given]
        if any(g is UNKNOWN for g in share.values()):
            return None, unknown
        gys = tuple([known.get(k, np.zeros_like(g)) for k, g in enumerate(total)])
        if all(np.array_equal(a, b, equal_nan=True) for a, b in zip(gys, total, strict=True)):
            return gys, given
        if not any(map(np.any, gys)):
            return gys, [None if g is None else np.zeros_like(g) for g in given]
        return (gys, self._linear(node, gys, given)) if is_linear(node) else (None, unknown)

    def _linear(
        self, node: Function, gys: tuple[Array, ...], given: Sequence[Flow | None]
    ) -> list[Flow | None]:
        """What a linear node gives to each source for given gradients."""
        gxs: Any = gys * len(given)  # of a joined sum
        if node not in self.reading.sums:
            gxs = node.backward(gys if node.multi_output else gys[0])
            gxs = gxs if isinstance(gxs, tuple) else (gxs,)
            gxs = [gxs[i] for _, i in self.reading.inputs(node)]
        pairs = zip(gxs, given, strict=True)
        return [None if g is None or g is UNKNOWN else _unbroadcast(gx, g.shape) for gx, g in pairs]


def is_linear(node: Function) -> bool:
    """Is what a node gives to its inputs a linear function of its gradient, known without saved arrays?"""
    return not node._names and not any(notes.hooks for notes in node.annotations.values())


def add(to: dict[Any, Any], key: Any, g: Flow) -> None:
    """Add to one of several sums; what is unknown makes it unknown."""
    before: Flow | None = to.get(key)
    to[key] = UNKNOWN if g is UNKNOWN or before is UNKNOWN else g if before is None else before + g


def size_of(g: Array) -> float:
    """The norm of an array, also where its squares would be too large or too small."""
    most = float(np.max(np.abs(g), initial=0.0))
    return most * float(np.linalg.norm(np.asarray(g, float) / most)) if 0 < most < math.inf else most


def _unbroadcast(g: Array | Deferred, shape: tuple[int, ...]) -> Array:
    """What a backward gave, as an array in the shape of the input."""
    g = g.array() if isinstance(g, Deferred) else g
    return g if g.shape == shape else sum_to(g, shape)
