"""Heat of the cells view: sizes of the gradients that arrive at cells and flow over arrows between them."""

import math
from collections.abc import Hashable

import numpy as np

from ...checking.watching import watch as Watch
from ...core import Array, Function
from ..lanes import Arrow, Cell, Lanes, Port, Use
from ..timesteps import Frame
from .flows import Parts, size_of
from .heat import Heat


class HeatOfCells(Heat):
    """Of a cell: the gradient of all its values that leave it. Of an arrow: what its head gives to its tail.

    Where one operation outside of the cells hands a gradient to several of them (a convolution to the places
    of its input), an arrow alone is not told apart; a bar that carries all of them is.
    """

    def __init__(self, lanes: Lanes, watch: Watch, vmin: float | None, vmax: float | None):
        self.watch, self.lanes = watch, lanes
        self._carriers: dict[Use, set[Arrow]] = {}
        self._leaving: dict[Cell, dict[Port, None]] = {}
        for arrow, uses in lanes.arrows.items():
            for use in uses:
                self._carriers.setdefault(use, set()).add(arrow)
                self._leaving.setdefault(arrow.tail, {})[use.port] = None
        self._flaws = {
            cell: [(f, n) for n in own for f in watch.flaws(n)] for cell, own in lanes.members.items()
        }
        self._flaws = {cell: own for cell, own in self._flaws.items() if own}
        self._flows = dict.fromkeys(lanes.arrows, {})
        self.parts = Parts((), (), lambda item: item, lambda *_: None, lambda item: False, lambda node: ())
        every = [self._sizes(arrow) for arrow in lanes.arrows] + [self.vertex(cell) for cell in lanes.cells]
        self.set_scale([size for sizes in every for size in sizes], vmin, vmax)

    def vertex(self, vertex: Hashable, frame: Frame | None = None) -> list[float]:
        """The size of the gradient of what leaves a cell."""
        assert isinstance(vertex, Cell)
        ports = self._leaving.get(vertex, {})
        if not ports and vertex in self.lanes.members:  # the result
            ends = [n for n in self.lanes.members[vertex] if self.watch.gradient(n) is not None]
            return [1.0 * size_of(np.asarray(self.watch.gradient(ends[-1])))] if ends else []
        gs = [g for port in ports if (g := self._arrived(port)) is not None]
        return [math.hypot(*map(size_of, gs))] if gs else []

    def _arrived(self, port: Port) -> Array | None:
        item, k = port.output
        g = self.watch.gradient(item) if isinstance(item, Function) else None
        return None if g is None else _at(g[k] if isinstance(g, tuple) else g, port)

    def _sizes(self, *arrows: Hashable) -> list[float]:
        given = self._given(*arrows)
        if given is None:
            return []
        return [math.hypot(*map(size_of, given.values()))] if given else []

    def _given(self, *arrows: Hashable) -> dict[Port, Array] | None:
        """What arrows bring to every value at their tails; None if that is not told apart."""
        sums: dict[Port, Array] = {}
        for use in dict.fromkeys(
            [use for a in arrows if isinstance(a, Arrow) for use in self.lanes.arrows[a]]
        ):
            g = self._contribution(use)
            if g is None:
                continue
            if not self._carriers[use] <= set(arrows) and np.any(g):
                return None
            sums[use.port] = g if use.port not in sums else sums[use.port] + g
        return sums

    def _contribution(self, use: Use) -> Array | None:
        if use.node is None:
            return None
        g = self.watch.contribution(*self.lanes.reading.inputs(use.node)[use.at])
        return None if g is None else _at(g, use.port)

    def _unknown(self, *arrows: Hashable) -> bool:
        return self._given(*arrows) is None


def _at(g: Array, port: Port) -> Array:
    return g if port.axis < 0 else np.take(g, port.place, axis=port.axis)
