"""The first thing that went wrong in a recurrent model: at which step, in which layer and gate, and why.

    with first_bad_step(limit=1e4, model=net):
        loss = ...
        loss.backward()

`autograd.detect_anomaly` finds the operation; here it is put into the terms of the model. An unstable
recurrence shows in the spectral radius of its matrix: far above 1 the state or its gradient explodes.
"""

from typing import Any

import numpy as np

from ..anomaly import detect_anomaly
from ..core import Constant, Function, Slot, Variable, edge_type, plain
from ..ops.elementwise import Add, Binary, Unary
from ..ops.linalg import AddMM, Linear, MatMul
from ..ops.shape import Split


class BadStep(FloatingPointError):
    """What `first_bad_step` raises; the message tells all of it.

    Attributes:
        kind: "NaN", "infinity" or "norm".
        backward: was it a gradient?
        step, layer, gate, op: where; None where there is none.
        ranges: smallest and largest finite element of every input, or of the gradients that arrived.
        norm: of what went wrong; not finite for the first two kinds.
        radii: the spectral radius of the layer's recurrent matrix, by gate.
        source: the line of code that made the call.
    """

    def __init__(self, node: Function, **found: Any):
        self.step, self.layer, self.op = node.place.step, node.place.scope, node.label
        self.kind: str = found["kind"]
        self.backward: bool = found["backward"]
        self.gate: str | None = found["gate"]
        self.ranges: list[tuple[float, float] | None] = found["ranges"]
        self.norm: float = found["norm"]
        self.radii: dict[str, float] = found["radii"]
        self.source: str = found["source"]
        super().__init__(self._text(found["matrix"]))

    def _text(self, matrix: str) -> str:
        what = f"norm {self.norm:.3g}" if self.kind == "norm" else self.kind
        where = [
            f"{what} first in {'the gradient given by ' if self.backward else ''}{self.op}",
            f"at step {self.step}" if self.step is not None else "outside of all steps",
            f"in {self.layer}" if self.layer else "at the top level",
            f"gate {self.gate}" if self.gate else "",
        ]
        lines = [", ".join([w for w in where if w])]
        word = "gradient that arrived" if self.backward else "input"
        for i, found in enumerate(self.ranges):
            spread = f"from {found[0]:.4g} to {found[1]:.4g}" if found else "without finite elements"
            lines.append(f"{word} {i}: {spread}")
        if self.radii:
            radii = ", ".join([f"{gate} {r:.3g}".strip() for gate, r in self.radii.items()])
            lines.append(f"spectral radius of {matrix}: {radii}")
        return "\n".join([*lines, self.source])


class first_bad_step(detect_anomaly):
    """Inside, the first NaN, infinity or exploding norm raises `BadStep`, on the way forward or back.

    Args:
        limit: the largest Euclidean norm that a result or a gradient may have; None: any.
        model: a module, for the names of gates and parameters.

    Enter it around forward and backward. Costs nothing outside.
    """

    __slots__ = ("_limit", "_matrices", "_model")

    def __init__(self, limit: float | None = None, model: Any = None):
        if limit is not None and not limit > 0:
            raise ValueError(f"first_bad_step expected a positive limit, got {limit}")
        super().__init__()
        self._limit, self._model = limit, model
        self._matrices: dict[str, tuple[Variable, bool]] = {}  # by scope: the matrix; is it certain?

    def forward(self, node: Function, inputs: list[Any], outputs: tuple[Any, ...]) -> None:
        """Called for every recorded call."""
        self._note_matrix(node)
        try:
            super().forward(node, inputs, outputs)
        except FloatingPointError:
            raise self._report(node, inputs, outputs, backward=False) from None
        if self._limit is not None and max(map(_norm, outputs)) > self._limit:
            raise self._report(node, inputs, outputs, backward=False)

    def backward(self, node: Function, gys: tuple[Any, ...], gxs: list[Any]) -> None:
        """Called for every node of a backward pass."""
        given = [g for g in gxs if g is not None]
        try:
            super().backward(node, gys, gxs)
        except FloatingPointError:
            raise self._report(node, gys, given, backward=True) from None
        if self._limit is not None and given and max(map(_norm, given)) > self._limit:
            raise self._report(node, gys, given, backward=True)

    def _report(self, node: Function, seen: Any, bad: Any, backward: bool) -> BadStep:
        arrays = [_plain(b) for b in bad]
        kinds = ["NaN" if np.isnan(a).any() else "infinity" if np.isinf(a).any() else "norm" for a in arrays]
        matrix, radii = self._radii(node.place.scope)
        return BadStep(
            node,
            kind=next((kind for kind in ("NaN", "infinity") if kind in kinds), "norm"),
            backward=backward,
            gate=self._gate(node),
            ranges=[_range(x) for x in seen],
            norm=max(map(_norm, arrays)),
            radii=radii,
            matrix=matrix,
            source=self._where(node),
        )

    # -- the recurrent matrix

    def _note_matrix(self, node: Function) -> None:
        """Remember, per layer, the matrix that multiplies something of another time step."""
        if not isinstance(node, MatMul | AddMM | Linear) or node.place.step is None:
            return
        edges = node.edges or ()
        x, w = edges[1:3] if isinstance(node, AddMM) else edges[:2]
        for matrix, other in ((_leaf(w), x), (_leaf(x), w)):
            if matrix is None or len(matrix.shape) != 2 or max(matrix.shape) % max(min(matrix.shape), 1):
                continue
            source = other.node if isinstance(other, Slot) else other
            steps = isinstance(source, Function) and source.place.step not in (None, node.place.step)
            first = (
                isinstance(source, Constant) and not self._matrices.get(node.place.scope, (None, False))[1]
            )
            if steps or first:  # at the first step the state is a constant, as the input is: a guess
                self._matrices[node.place.scope] = matrix, steps

    def _radii(self, scope: str) -> tuple[str, dict[str, float]]:
        if scope not in self._matrices:
            return "", {}
        leaf, _ = self._matrices[scope]
        W = leaf.data if leaf.shape[0] >= leaf.shape[1] else leaf.data.T
        blocks = np.split(W, W.shape[0] // W.shape[1])
        gates = self._names(W.shape[0]) or [str(i) for i in range(len(blocks))]
        if len(gates) != len(blocks):
            gates = [str(i) for i in range(len(blocks))]
        names = dict((p, n) for n, p in self._model.named_parameters()) if self._model is not None else {}
        radii = [
            float(np.abs(np.linalg.eigvals(b)).max()) if np.isfinite(b).all() else np.nan for b in blocks
        ]
        keys = [""] if len(blocks) == 1 else [f"gate {g}" for g in gates]
        return names.get(leaf) or leaf.name or "the recurrent matrix", dict(zip(keys, radii, strict=True))

    # -- gates

    def _names(self, rows: int) -> tuple[str, ...]:
        """The gates of a cell whose fused weights have so many rows."""
        for module in self._model.modules() if self._model is not None else ():
            gates = getattr(module, "gates", ())
            if gates and len(gates) * module.hidden_size == rows:
                return tuple(gates)
        return ()

    def _gate(self, node: Function) -> str | None:
        """Which part of a split the node works on, by name if the model has one."""
        found = dict.fromkeys([part for edge in node.edges or () if (part := _part(edge, node)) is not None])
        texts = []
        for start, size, rows in found:
            names = self._names(rows)
            each = rows // len(names) if names else size
            if names:
                texts.append(", ".join(names[start // each : -(-(start + size) // each)]))
            else:
                texts.append(
                    f"{start // each} of {rows // each}" if rows % each == 0 else f"rows from {start}"
                )
        return " and ".join(texts) or None


def _part(edge: Any, node: Function) -> tuple[int, int, int] | None:
    """(start, size, rows): what an edge is of a vector that was split in the same step, if it is."""
    start, size, rows = 0, 0, 0
    while True:
        source = edge.node if isinstance(edge, Slot) else edge
        if not isinstance(source, Function) or source.place.step != node.place.step:
            break
        if isinstance(source, Split) and isinstance(edge, Slot):
            axis = source.axis
            widths = [shape[axis] for shape in source.out_shape]
            start += sum(widths[: edge.k])
            size = size or widths[edge.k]
            rows = sum(widths)
        elif not isinstance(source, Unary | Add) and not (rows and isinstance(source, Binary)):
            break
        here = (e for e in source.edges or () if _step(e) == node.place.step)
        edge = next(here, None)
    return (start, size, rows) if rows else None


def _step(edge: Any) -> int | None:
    source = edge.node if isinstance(edge, Slot) else edge
    return source.place.step if isinstance(source, Function) else None


def _leaf(edge: Any) -> Variable | None:
    """The leaf behind an operand that was only moved about before the loop: transposed, copied."""
    while isinstance(edge, Function) and edge.place.step is None and len(edge.edges or ()) == 1:
        if np.prod(edge.out_shape) != np.prod(edge_type((edge.edges or ())[0])[0]):
            return None
        edge = (edge.edges or ())[0]
    return edge if isinstance(edge, Variable) else None


def _plain(x: Any) -> np.ndarray:
    return np.asarray(plain(x))


def _norm(x: Any) -> float:
    return float(np.linalg.norm(_plain(x)))


def _range(x: Any) -> tuple[float, float] | None:
    x = _plain(x)
    finite = x[np.isfinite(x)]
    return (float(finite.min()), float(finite.max())) if finite.size else None
