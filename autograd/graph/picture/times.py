"""Heat by time: what a `profile` found, as colours of the vertices of a drawing.

The time of a vertex is that of its own operations, forward and backward; that of a vertex or box which stands
for several of them is their sum. So all vertices of a drawing add up to what its title says.
"""

from collections.abc import Hashable

from ...profiling import profile as Profile
from ...profiling import time_text
from ..reading import Leaf, Reading
from ..timesteps import Frame
from . import dot
from .flows import Parts

TICKS = 5  # of the legend


class Times:
    """The times of the operations in one drawing, on a scale from 0 or ``vmin`` to the longest or ``vmax``,
    in seconds. To `Labels` it is what `Heat` is, but that arrows take no time."""

    def __init__(
        self,
        reading: Reading,
        profile: Profile,
        parts: Parts,
        vmin: float | None = None,
        vmax: float | None = None,
    ):
        self.parts, self.block = parts, profile.time
        self.seconds: dict[tuple[Hashable, Frame | None], float] = {}
        self.hidden = 0.0  # seconds of operations that are not drawn
        drawn = {(vertex, frame) for vertex, frame in parts.vertices}
        for node in reading.nodes:
            found = [profile.seconds(part) for part in reading.sums.get(node, [node])]
            known = [seconds for seconds in found if seconds is not None]
            vertex, (frame, *_) = parts.vertex(node), parts.frames(node)
            if known and (vertex, frame) in drawn and not parts.is_hidden(node):
                self.seconds[vertex, frame] = self.seconds.get((vertex, frame), 0.0) + sum(known)
            else:
                self.hidden += sum(known)
        self.high = max(self.seconds.values(), default=0.0) if vmax is None else vmax
        self.low = min(vmin or 0.0, self.high)

    def fill(self, vertex: Hashable, frame: Frame | None) -> dot.Look:
        """The colours of a vertex; one that did not run in the profiled block stays white."""
        seconds = self.seconds.get((vertex, frame))
        return {} if seconds is None else self._filled(seconds)

    def _filled(self, seconds: float) -> dot.Look:
        length = self.high - self.low
        fill = dot.between(dot.HEAT, (seconds - self.low) / length if length > 0 else 1.0)
        return {"fillcolor": fill, "fontcolor": dot.legible_on(fill)}

    def outline(self, vertex: Hashable) -> dot.Look:
        """The colours of a box."""
        return self.fill(vertex, None) if isinstance(vertex, tuple) else {}

    def lines(self, vertex: Hashable, frame: Frame | None = None) -> list[str]:
        """The time of what stands for several operations; that of a single one is in its tooltip."""
        if not (self.parts.is_folded or isinstance(vertex, tuple)) or isinstance(vertex, Leaf):
            return []
        seconds = self.seconds.get((vertex, frame))
        return [] if seconds is None else [time_text(seconds)]

    def words(self, vertex: Hashable, frame: Frame | None) -> list[str]:
        """For a tooltip."""
        seconds = self.seconds.get((vertex, frame))
        return ["not profiled" if seconds is None else f"{time_text(seconds)} forward and backward"]

    def size(self, vertex: Hashable, frame: Frame | None) -> str:
        """No gradient."""
        return ""

    def title(self) -> list[str]:
        """What the colours mean, and how much of the time they show."""
        together = time_text(sum(self.seconds.values()))
        words = [
            "time of an operation, forward and backward",
            f"all drawn: {together} of {time_text(self.block)} in the profiled block",
        ]
        if self.hidden:
            words.append(f"of operations that are not drawn: {time_text(self.hidden)}")
        if self.parts.is_folded:
            words.append("all steps together")
        return words

    def legend(self) -> list[dot.Styled]:
        """Ticks of the scale at equal distances."""
        if not self.high > self.low:
            return []
        small = {"fontsize": "10", "height": "0.2", "margin": "0.06,0.02"}
        found: list[dot.Styled] = []
        longest = max(self.seconds.values(), default=0.0)
        shortest = min(self.seconds.values(), default=self.low)
        for i in range(TICKS):
            tick = self.low + (self.high - self.low) * i / (TICKS - 1)
            beyond = "≤ " if i == 0 and shortest < tick else "≥ " if i == TICKS - 1 and longest > tick else ""
            found.append(("operation", {"label": beyond + time_text(tick), **small, **self._filled(tick)}))
        return found
