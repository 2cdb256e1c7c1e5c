"""The folded view: every loop a frame with one body in it, delays as blue arrows marked t−1.

No label depends on the number of steps: shapes and numbers are told only where they cannot.
"""

from collections.abc import Callable, Collection, Mapping
from itertools import product
from typing import Any

from ...core import Variable
from ...ops.shape import Index
from ..fold import Fold
from ..reading import Item
from ..timesteps import Frame, shared_titles
from . import dot
from .heat import Heat
from .labels import Labels
from .layout import Arrow, Key
from .scene import Path, Scene
from .unrolled import Unrolled


class _Loops:
    """The frames of the loops, as `Rows` has those of the steps."""

    def __init__(self, fold: Fold):
        self.frame = fold.frame
        self.frames = [loop.frame for loop in fold.loops]
        self.levels: list[int] = []
        scopes = {f: [n.place.scope for n, g in fold.frame.items() if f == g] for f in self.frames}
        titles = shared_titles(list(scopes.values()))
        self.titles: Any = {f.row: title for f, title in zip(self.frames, titles, strict=True)}


class Folded(Unrolled):
    """The same with loops for steps."""

    side_by_side = False

    def __init__(self, fold: Fold, hide: Collection[Any] = (), heat: Heat | None = None):
        self.fold = fold
        self.bends = dict(fold.bends)
        rows: Any = _Loops(fold) if fold.loops else None
        super().__init__(fold, rows, None, hide, heat)

    def tied(self) -> set[Item]:
        """Leaves that every step uses."""
        every = {
            tail for (tail, _, head), delays in self.fold.bends.items() if 0 in delays and head in self.frame
        }
        return {item for item in every - self.fold.inputs if isinstance(item, Variable)}

    def is_cell(self, direction: str | None) -> bool:
        """It is not."""
        return False

    def scene(self, labels: Labels, direction: str | None) -> Scene:
        """As of the unrolled view."""
        indexed = [own for node, own in self.fold.sources.items() if isinstance(node, Index)]
        by_parts = {item for own in indexed for item, _ in own}
        leaves = {item for item, group in self.idents if group and isinstance(item, Variable)}
        steady = leaves - by_parts  # every step uses all of it
        labels.free = {*self.fold.frame, *self.copied, *self.fold.inputs, *steady}
        return super().scene(labels, direction)

    def _arrow(self, item: Item, k: int, head: Key, at: int = 0) -> Arrow | None:
        """One for all inputs from the same tail."""
        return super()._arrow(item, k, head)

    def _delays(self, a: Arrow) -> set[int | None]:
        return self.bends.get((a.tail[0], a.k, a.head[0]), {0})

    def _joined(self, way: Arrow, a: Arrow) -> Arrow | None:
        """With the delays of both ways."""
        joined = super()._joined(way, a)
        if joined is not None:
            pairs = product(self._delays(way), self._delays(a))
            both = {None if d is None or e is None else d + e for d, e in pairs}
            key = joined.tail[0], joined.k, joined.head[0]
            self.bends[key] = self.bends.get(key, set()) | both
        return joined

    def _carry(self, heat: Heat, arrow: Callable[..., Arrow | None], copies: Mapping[Any, Any]) -> None:
        """In every step."""

        def folded(item: Item, k: int, head: Any, at: int, group: Any) -> Arrow | None:
            tail, k, head = self.fold.arrow(item, k, head)
            return arrow(tail, k, head, 0, self.frame.get(head))

        heat.measure(
            self.arrows,
            self.idents,
            folded,
            spot=self.fold.of,
            gone=lambda item: self._is_hidden(self.fold.of(item)),
            frame=lambda node: self.frame.get(self.fold.of(node)),
            apart=True,
        )

    def paths(self) -> dict[Frame, tuple[Path, dict[str, str]]]:
        """One frame per loop."""
        paths: dict[Frame, tuple[Path, dict[str, str]]] = {}
        for loop in self.fold.loops:
            title = self.title(loop.frame)
            label = f"{title}: every step" if title else "every step"
            if loop.down:
                label += ", last first"
            paths[loop.frame] = (f"loop{loop.start}",), {**dot.FRAME, "label": dot.escape(dot.clean(label))}
        return paths

    def arrow_look(self, a: Arrow, labels: Labels, upright: bool) -> dict[str, str]:
        """Delays and starts look unlike other arrows."""
        look = super().arrow_look(a, labels, upright)
        delays = self._delays(a)
        words = self.fold.words(delays, a.head[0])
        if words:
            return {**look, **delay(words, look if labels.heat else None), "constraint": "false"}
        if delays == {None} and a.cut:
            return {**look, "constraint": "false"} if a.is_link else look
        if delays == {None}:
            look = look if labels.heat else {**look, "color": dot.GREY}
            start = {**look, "style": "dotted", "arrowhead": "empty"}
            return (
                {**start, "constraint": "false", "penwidth": "2"} if a.is_link and not labels.heat else start
            )
        return {} if a.is_link and not labels.heat else look

    def explain(self, scene: Scene, labels: Labels, links: bool) -> None:
        """As of the unrolled view."""
        labels.explain(scene)
        told = []
        if words := self.fold.directions():
            told.append(f"blue{' words' if labels.heat else ''}: {words}")
        if any(self._delays(a) == {None} and not a.cut for a in self.arrows):
            told.append("dotted: at the first step")
        told += self.cut_words()
        scene.notes += ["   ·   ".join(told)] if told else []


def delay(words: str, heat: Mapping[str, str] | None) -> dict[str, str]:
    """The look of an arrow from an earlier step; one that shows heat keeps its colour and numbers."""
    if heat is None:
        return {"color": dot.LINK, "fontcolor": dot.LINK, "penwidth": "2", "label": f"  {words}"}
    numbers = f":{heat['label']}" if "label" in heat else ""
    return {"fontcolor": dot.LINK, "label": f"  {words}{numbers}"}
