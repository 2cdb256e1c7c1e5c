"""The first thing that went wrong in a recurrent model: at which step, in which layer and gate, and why.

    with first_bad_step(limit=1e4, model=net):
        loss = ...
        loss.backward()

`autograd.detect_anomaly` finds the operation; this module reports it in the terms of the model. An operation
that was handed a NaN is not to blame: the report then names the weight that holds it, with its gate, or the
input, with its step and row. An unstable recurrence shows in the spectral radius of its matrix: far above 1
the state or its gradient explodes.
"""

import html
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from ..checking.anomaly import detect_anomaly
from ..core import (
    SCALARS,
    Array,
    Constant,
    Function,
    Operand,
    Parameter,
    Slot,
    Variable,
    as_array,
    computed,
    edge_type,
    source,
)
from ..graph.picture.draw import draw
from ..graph.picture.names import scopes_of
from ..graph.picture.notebook import text_and_picture
from ..graph.picture.render import Drawing
from ..ops.elementwise import Add, Binary, Unary
from ..ops.linalg import AddMM, Linear, MatMul
from ..ops.shape import Contiguous, Split, Transpose


class Origin(NamedTuple):
    """An operand that was not finite before the operation ran."""

    operand: str
    kind: str
    elements: str
    gate: str | None = None
    step: int | None = None
    row: int | None = None


class BadStep(FloatingPointError):
    """The first NaN, infinity or too large norm, raised by `first_bad_step`; the message tells all of it.

    Attributes:
        kind: "NaN", "infinity" or "norm".
        backward: was it a gradient?
        step, layer, gate, op: the place of the operation; None where there is none.
        operand, row: the weight, input or result that was bad before ``op`` met it, and for data the row of
            the batch; ``gate`` is then that of the weight's bad rows, ``step`` that of the data. None if
            ``op`` made it.
        names: the names of all inputs.
        ranges: smallest and largest finite element of every input, or of the gradients that arrived.
        norm: the norm of the bad result or gradient; not finite for the first two kinds.
        radii: the spectral radius of the layer's recurrent matrix, by gate.
        source: the line of code that made the call.

    >>> cell = nn.LSTMCell(1, 2)
    >>> cell.weight_hh.data[3] = np.nan  # of the rows i, i, f, f, g, g, o, o
    >>> try:
    ...     with bptt.first_bad_step(model=cell):
    ...         h, c = cell(np.ones((1, 1), "f"))
    ... except bptt.BadStep as bad:
    ...     print(bad.kind, bad.operand, bad.gate)
    NaN weight_hh f
    """

    def __init__(self, node: Function, **found: Any):
        origin: Origin | None = found["origin"]
        self.step, self.layer, self.op = node.place.step, node.place.scope, node.label
        self.kind: str = found["kind"]
        self.backward: bool = found["backward"]
        self.gate: str | None = found["gate"]
        self.names: list[str] = found["names"]
        self.ranges: list[tuple[float, float] | None] = found["ranges"]
        self.norm: float = found["norm"]
        self.radii: dict[str, float] = found["radii"]
        self.source: str = found["source"]
        self.operand: str | None = origin.operand if origin else None
        self.row: int | None = origin.row if origin else None
        self._node, self._model = node, found["model"]
        text = self._text(found["matrix"], origin)
        if origin:
            self.kind, self.gate = origin.kind, origin.gate
            self.step = self.step if origin.step is None else origin.step
        super().__init__(text)

    def draw(self, view: Literal["unrolled", "folded", "ops"] = "unrolled", back: int = 2) -> Drawing:
        """The graph behind the operation, which is marked red.

        Args:
            view: as in `graph.draw`.
            back: in the unrolled view, how many steps before that of the operation are drawn.

        Of a gradient it shows what the pass had still to go through: the operation is the last in it.
        """
        node = self._node
        edge: Any = Slot(node, 0) if node.multi_output else node
        last = node.place.step
        steps = range(max(0, last - back), last + 1) if view == "unrolled" and last is not None else None
        what = f"{self.kind} in {'the gradient it gives' if self.backward else 'its result'}"
        if self.operand:
            what = f"meets {self.operand}: {self.kind}"
        return draw(
            computed(np.empty(edge_type(edge)[0]), edge),
            view=view,
            steps=steps,
            params=self._model,
            mark={node: what},
        )

    def _repr_html_(self) -> str:
        return text_and_picture(str(self), self.draw()) or f"<pre>{html.escape(str(self))}</pre>"

    def _text(self, matrix: str, origin: Origin | None) -> str:
        lines = []
        what = f"norm {self.norm:.3g}" if self.kind == "norm" else self.kind
        first = f"{what} first in {'the gradient given by ' if self.backward else ''}{self.op}"
        if origin:
            head = [
                f"{origin.kind} in {origin.operand}",
                f"gate{'s' * (', ' in origin.gate)} {origin.gate}" if origin.gate else "",
                f"step {origin.step}" if origin.step is not None else "",
                f"row {origin.row} of the batch" if origin.row is not None else "",
                origin.elements,
            ]
            lines.append(", ".join([h for h in head if h]))
            first = f"met first by {'the gradient of ' if self.backward else ''}{self.op}"
        where = [
            first,
            f"at step {self.step}" if self.step is not None else "outside of all steps",
            f"in {self.layer}" if self.layer else "at the top level",
            f"gate {self.gate}" if self.gate else "",
        ]
        lines.append(", ".join([w for w in where if w]))
        for name, found in zip(self.names, self.ranges, strict=True):
            spread = f"from {found[0]:.4g} to {found[1]:.4g}" if found else "without finite elements"
            lines.append(f"{name}: {spread}")
        if self.radii:
            radii = ", ".join([f"{gate} {r:.3g}".strip() for gate, r in self.radii.items()])
            lines.append(f"spectral radius of {matrix}: {radii}")
        return "\n".join([*lines, self.source])


class first_bad_step(detect_anomaly):
    """A block in which the first NaN, infinity or exploding norm raises `BadStep`, in forward or backward.

    Args:
        limit: the largest Euclidean norm that a result or a gradient may have; None: any.
        model: a module, for the names of gates and parameters.

    Enter it around forward and backward. Outside it costs nothing.

    >>> h = Variable(1.0)
    >>> try:
    ...     with bptt.first_bad_step(limit=1e3):
    ...         for t in range(100):
    ...             with ag.step(t):
    ...                 h = 2.0 * h
    ... except bptt.BadStep as bad:
    ...     print(bad.kind, bad.step, bad.norm)  # 2¹⁰
    norm 9 1024.0
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

    def _report(
        self, node: Function, seen: Sequence[Operand], bad: Sequence[Operand], backward: bool
    ) -> BadStep:
        arrays = [as_array(b) for b in bad]
        kinds = [_kind(a) for a in arrays]
        matrix, radii = self._radii(node.place.scope)
        edges: Any = node.edges
        names = [f"gradient that arrived {i}" for i in range(len(seen))] if backward else self._operands(node)
        operands = [e.data if isinstance(e, Variable) else 0.0 for e in edges] if backward else seen
        return BadStep(
            node,
            kind=next((kind for kind in ("NaN", "infinity") if kind in kinds), "norm"),
            backward=backward,
            gate=self._gate(node),
            origin=self._origin(node, operands) or (self._given(seen) if backward else None),
            names=names,
            ranges=[_range(x) for x in seen],
            norm=max(map(_norm, arrays)),
            radii=radii,
            matrix=matrix,
            source=self._where(node),
            model=self._model,
        )

    # -- its origin

    def _origin(self, node: Function, operands: Iterable[Operand]) -> Origin | None:
        """The first operand of a node that is not finite."""
        edges: Any = node.edges
        for i, (edge, x) in enumerate(zip(edges, map(as_array, operands), strict=True)):
            bad = np.argwhere(~np.isfinite(x))
            if not len(bad):
                continue
            found = Origin(self._operands(node)[i], _kind(x), _elements(bad, x.size))
            if isinstance(edge, Function | Slot):
                return found
            if self._is_weight(edge):
                return found._replace(gate=self._gates_of_rows(edge, bad[:, 0]) if x.ndim else None)
            step, row = node.place.step, None
            module = scopes_of(self._model).get(node.place.scope)
            recurrent = hasattr(module, "cell") or hasattr(module, "initial_state")
            if recurrent and step is None and x.ndim > 2:  # a whole sequence (T, B, ...)
                step, row = int(bad[0, 0]), int(bad[0, 1])
            elif x.ndim > 1 and step is not None and (recurrent or i == _left(node)):
                row = int(bad[0, 0])
            return found._replace(step=step, row=row)
        return None

    def _given(self, gys: Iterable[Operand]) -> Origin | None:
        """The gradient that arrived, if it is not finite although every node gave finite ones."""
        for x in map(as_array, gys):
            if len(bad := np.argwhere(~np.isfinite(x))):
                where = f"{_elements(bad, x.size)} (see gradient= of backward, and hooks)".strip()
                return Origin("the gradient that arrived", _kind(x), where)
        return None

    def _is_weight(self, edge: Any) -> bool:
        return isinstance(edge, Parameter) or edge in self._parameters()

    def _parameters(self) -> dict[Any, str]:
        """Parameter -> name."""
        return {p: n for n, p in self._model.named_parameters()} if self._model is not None else {}

    def _gates_of_rows(self, weight: Variable, rows: Array) -> str | None:
        """The gates to which rows of a fused weight belong."""
        for module in self._model.modules() if self._model is not None else ():
            gates = getattr(module, "gates", ())
            if len(gates) > 1 and any(v is weight for v in vars(module).values()):
                if len(gates) * module.hidden_size != weight.shape[0]:
                    return None
                return ", ".join([gates[k] for k in np.unique(rows // module.hidden_size)])
        return None

    def _operands(self, node: Function) -> list[str]:
        """The names of a node's inputs."""
        edges: Any = node.edges
        return [self._operand(node, i, edge) for i, edge in enumerate(edges)]

    def _operand(self, node: Function, i: int, edge: Any) -> str:
        if edge.__class__ in SCALARS:
            return f"{edge:g}"
        shape = edge_type(edge)[0]
        if isinstance(edge, Constant):
            return edge.name or f"a constant of shape {shape}"
        if isinstance(edge, Variable):
            sort = "weight" if self._is_weight(edge) else "variable"
            return self._parameters().get(edge) or edge.name or f"a {sort} of shape {shape}"
        child, k = source(edge)
        step = child.place.step
        when = "" if step is None else f" of step {step}"
        if name := child.name_of(k):
            return f"{name}{when}"
        transposed = False
        while isinstance(edge, Transpose | Contiguous) and edge.edges:
            transposed ^= isinstance(edge, Transpose)
            (edge,) = edge.edges
        if isinstance(edge, Variable):
            return self._operand(node, i, edge) + "ᵀ" * transposed
        if (part := _part(edge, node)) is not None:
            return f"gate {self._gate_name(*part)}{when}"
        if step is not None and step != node.place.step:
            return f"{'h' if i == _left(node) else 'the state'}{when}"
        return f"the result of {child.label}{when}"

    # -- the recurrent matrix

    def _note_matrix(self, node: Function) -> None:
        """Remember, per layer, the matrix that multiplies a result of another time step."""
        edges, left = node.edges, _left(node)
        if left is None or node.place.step is None:
            return
        x, w = edges[left : left + 2]
        for matrix, other in ((_leaf(w), x), (_leaf(x), w)):
            if matrix is None or len(matrix.shape) != 2 or max(matrix.shape) % max(min(matrix.shape), 1):
                continue
            child = source(other)[0]
            steps = isinstance(child, Function) and child.place.step not in (None, node.place.step)
            first = isinstance(child, Constant) and not self._matrices.get(node.place.scope, (None, False))[1]
            if steps or first:  # a guess at the first step, where the state is a constant like the input
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
        """The gates of a cell whose fused weights have ``rows`` rows."""
        for module in self._model.modules() if self._model is not None else ():
            gates = getattr(module, "gates", ())
            if gates and len(gates) * module.hidden_size == rows:
                return tuple(gates)
        return ()

    def _gate(self, node: Function) -> str | None:
        """The part of a split on which the node works, by name if the model has one."""
        found = dict.fromkeys([part for edge in node.edges if (part := _part(edge, node)) is not None])
        return " and ".join([self._gate_name(*part) for part in found]) or None

    def _gate_name(self, start: int, size: int, rows: int) -> str:
        if names := self._names(rows):
            each = rows // len(names)
            return ", ".join(names[start // each : -(-(start + size) // each)])
        return f"{start // size} of {rows // size}" if rows % size == 0 else f"rows from {start}"


def _left(node: Function) -> int | None:
    """The number of a product's left operand, which has one row per element of the batch."""
    return 1 if isinstance(node, AddMM) else 0 if isinstance(node, MatMul | Linear) else None


def _kind(x: Array) -> str:
    return "NaN" if np.isnan(x).any() else "infinity" if np.isinf(x).any() else "norm"


def _elements(bad: Array, size: int) -> str:
    """The bad elements in words, from their indices (n, axes)."""
    first = bad[0].tolist()
    if len(bad) == 1:
        return f"element {first}" if first else ""
    return f"{len(bad)} of {size} elements, the first {first}"


def _part(edge: Any, node: Function) -> tuple[int, int, int] | None:
    """(start, size, rows): the rows that an edge takes of a vector, if that was split in the same step."""
    start, size, rows = 0, 0, 0
    while True:
        child = source(edge)[0]
        if not isinstance(child, Function) or child.place.step != node.place.step:
            break
        if isinstance(child, Split) and isinstance(edge, Slot):
            axis = child.axis
            widths = [shape[axis] for shape in child.out_shape]
            start += sum(widths[: edge.k])
            size = size or widths[edge.k]
            rows = sum(widths)
        elif not isinstance(child, Unary | Add) and not (rows and isinstance(child, Binary)):
            break
        here = (e for e in child.edges if _step(e) == node.place.step)
        edge = next(here, None)
    return (start, size, rows) if rows else None


def _step(edge: Any) -> int | None:
    child = source(edge)[0]
    return child.place.step if isinstance(child, Function) else None


def _leaf(edge: Any) -> Variable | None:
    """The leaf behind an operand that was only transposed or copied before the loop."""
    while isinstance(edge, Function) and edge.place.step is None and len(edge.edges) == 1:
        if np.prod(edge.out_shape) != np.prod(edge_type(edge.edges[0])[0]):
            return None
        edge = edge.edges[0]
    return edge if isinstance(edge, Variable) else None


def _norm(x: Operand) -> float:
    return float(np.linalg.norm(as_array(x)))


def _range(x: Operand) -> tuple[float, float] | None:
    a: Array = as_array(x)
    finite = a[np.isfinite(a)]
    return (float(finite.min()), float(finite.max())) if finite.size else None
