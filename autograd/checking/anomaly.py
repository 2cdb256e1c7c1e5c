"""Finding the first operation that went wrong: NaN, infinity, or a leaf written into behind the graph's back.

Everything here costs nothing outside ``with detect_anomaly():``, because source lines and checksums are
recorded only inside.
"""

import linecache
import sys
import zlib
from types import FrameType
from typing import Any

import numpy as np

from ..core import Function, Variable, data_of
from ..modes import instrumented

_OURS = ("autograd", "nn", "optim")


class detect_anomaly(instrumented):
    """Inside, the first operation whose result or gradient is not finite raises FloatingPointError.

    The message has the operation, its scope and step, the range of its inputs, and the source line of
    the forward call. An element of a leaf that changed between its use and the backward pass raises
    RuntimeError; replacing a whole leaf is noticed without this as well.

    Enter it around forward *and* backward: what was computed outside has no source line.

    >>> with np.errstate(divide="ignore"), ag.detect_anomaly():  # doctest: +ELLIPSIS
    ...     ag.log(Variable([1.0, 0.0]))
    Traceback (most recent call last):
    FloatingPointError: infinity first in Log(shapes (2,)) at top level: input 0 from 0 to 1
    ...
    """

    __slots__ = ("_lines", "_sums")

    def __init__(self) -> None:
        super().__init__(self)
        self._lines: dict[int, str] = {}  # by node number
        self._sums: dict[int, list[tuple[Variable, int]]] = {}

    def forward(self, node: Function, inputs: list[Any], outputs: tuple[Any, ...]) -> None:
        """Called for every recorded call: remember where it was, check what it gave."""
        self._lines[node.number] = _source_line()
        self._sums[node.number] = [(leaf, _checksum(leaf)) for leaf in node.leaves]
        for y in outputs:
            if not np.isfinite(y).all():
                seen = "; ".join(f"input {i} {_range(x)}" for i, x in enumerate(inputs))
                raise FloatingPointError(
                    f"{_kind(y)} first in {node.describe()}: {seen}\n{self._where(node)}"
                )

    def backward(self, node: Function, gys: tuple[Any, ...], gxs: list[Any]) -> None:
        """Called for every node of a backward pass: check its leaves and what it gives to its inputs."""
        for leaf, before in self._sums.get(node.number, ()):
            if _checksum(leaf) != before:
                raise RuntimeError(
                    f"elements of leaf {leaf.name or '(unnamed)'} {leaf.shape} were changed after"
                    f" {node.describe()} used it\n{self._where(node)}"
                )
        for i, g in enumerate(gxs):
            if g is not None and not np.isfinite(data_of(g)).all():
                seen = ", ".join(_range(gy) for gy in gys)
                raise FloatingPointError(
                    f"{_kind(data_of(g))} first in the gradient of input {i} of {node.describe()}:"
                    f" the gradient that arrived was {seen}\n{self._where(node)}"
                )

    def _where(self, node: Function) -> str:
        return self._lines.get(node.number, "(called outside detect_anomaly: no source line)")


def _checksum(leaf: Variable) -> int:
    return zlib.crc32(np.ascontiguousarray(leaf.data).view(np.uint8).data)


def _kind(y: Any) -> str:
    return "NaN" if np.isnan(y).any() else "infinity"


def _range(x: Any) -> str:
    x = np.asarray(data_of(x))
    finite = x[np.isfinite(x)] if x.dtype.kind == "f" else x
    text = f"from {finite.min():.4g} to {finite.max():.4g}" if finite.size else "without finite elements"
    return text if finite.size == x.size else f"{text} and {x.size - finite.size} not finite"


def _source_line() -> str:
    """The line outside `autograd` that made the call, and the one outside this library if it is another."""
    frames = []
    frame: FrameType | None = sys._getframe(1)
    inside: tuple[str, ...] = ("autograd",)
    while frame is not None:
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package not in inside:
            frames.append(_line(frame))
            if package not in _OURS:
                break
            inside = _OURS
        frame = frame.f_back
    return "\n".join(f"{word} {line}" for word, line in zip(("at", "called from"), frames, strict=False))


def _line(frame: FrameType) -> str:
    code = frame.f_code
    text = linecache.getline(code.co_filename, frame.f_lineno).strip()
    return f"{code.co_filename}:{frame.f_lineno} in {code.co_name}: {text}"
