"""A recorded graph as a table of operations, leaves, constants and shapes, which a page can run by itself.

`Kept` is the instrument that keeps, while a model runs, what a graph does not: the arrays of constants, and
the comparisons that some of them come from, which the page makes anew. `table` writes the graph of a loss as
a dict for JSON. Arrays are texts (base64 of float64, or of int32 for positions), each of them once. What
moves elements (reshape, split, indexing, ...) is written as positions: for every element of an output the
place that it comes from.
"""

import base64
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ...checking.watching import watch
from ...core import SCALARS, Array, Constant, Function, Variable, as_array, edge_type, source
from ...engine import joined, key_of, walk
from ...graph.picture.names import Names, scopes_of
from ...graph.reading import Reading, results_of
from ...graph.timesteps import Rows
from ...ops import conv, elementwise, error_function, linalg, reduce, scan, shape, ufuncs
from ..flow.common import leaves_of, nodes_behind

# Of products the number of the input x and that of the weight.
PRODUCTS: dict[Any, tuple[int, int]] = {
    linalg.Linear: (0, 1), linalg.AddMM: (1, 2), linalg.MatMul: (0, 1), conv.Conv: (0, 1)
}  # fmt: skip


class Answer(NamedTuple):
    """A comparison: the name of NumPy's function, what it was called on, and the answer."""

    name: str
    inputs: tuple[Any, ...]
    value: Any


ANSWERS = (
    "equal", "not_equal", "less", "less_equal", "greater", "greater_equal", "isnan", "isinf", "isfinite",
    "signbit", "logical_and", "logical_or", "logical_not", "logical_xor",
)  # fmt: skip


class Kept:
    """An instrument that keeps the arrays of constants, and comparisons, by node and input.

    >>> from autograd.bptt.live import Kept
    >>> with ag.instrumented(Kept()) as kept:
    ...     y = Variable([1.0]) + np.array([2.0])
    >>> kept.constants[y.creator, 1]
    array([2.])
    """

    def __init__(self) -> None:
        self.constants: dict[tuple[Function, int], Array] = {}
        self.comparisons: dict[tuple[Function, int], Answer] = {}
        self._answers: dict[int, Answer] = {}  # by the identity of the array
        self._number: Answer | None = None  # the last that was no array

    def answered(self, ufunc: np.ufunc, inputs: tuple[Any, ...], answer: Any) -> None:
        """Called for every comparison."""
        found = Answer(ufunc.__name__, inputs, answer)
        if found.name not in ANSWERS or not any(isinstance(x, Variable) and x.requires_grad for x in inputs):
            return
        if isinstance(answer, np.ndarray):
            self._answers[id(answer)] = found
        else:
            self._number = found

    def forward(self, node: Function, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Called for every operation that is recorded."""
        for i, (edge, x) in enumerate(zip(node.edges, inputs, strict=True)):
            if edge.__class__ is bool and self._number is not None and self._number.value == edge:
                self.comparisons[node, i] = self._number
            if edge.__class__ is Constant:
                if (known := self._answers.get(id(x))) is not None:
                    self.comparisons[node, i] = known
                self.constants[node, i] = np.array(x)  # a copy: the array may be written into later

    def backward(self, node: Function, gys: tuple[Array, ...], gxs: list[Array | None]) -> None:
        """Nothing to keep of a backward pass."""


# --- settings of operations -----------------------------------------------------------------------


def _moves(node: Function) -> dict[str, Any]:
    """Where the elements of outputs come from in the inputs, laid end to end; -1 is the value of a pad."""
    places, end = [], 0
    for edge in node.edges:
        of = edge_type(edge)[0]
        size = int(np.prod(of))
        places.append(np.arange(end, end + size).reshape(of))
        end += size
    if isinstance(node, shape.Index):
        found: Any = places[0][node.saved[0]]  # type: ignore[index]
    elif isinstance(node, shape.Pad):
        found = np.pad(places[0], node.width, constant_values=-1)
    elif isinstance(node, shape.Contiguous):
        found = places[0]
    else:
        found = node.forward(*places)
    outputs = found if isinstance(found, tuple) else (found,)
    if len(outputs) == len(places) == 1 and np.array_equal(np.ravel(found), np.arange(end)):
        return {}  # as they are
    value = {"value": float(node.value)} if isinstance(node, shape.Pad) else {}
    return {"from": [np.ravel(at).astype("<i4") for at in outputs], **value}


def _scatter(node: Any) -> dict[str, Any]:
    at = np.arange(int(np.prod(node.out_shape))).reshape(node.out_shape)[node.saved[0]]
    return {"to": [np.ravel(at).astype("<i4")], "shape": list(at.shape)}


def _axes(node: Any) -> dict[str, Any]:
    of = edge_type(node.edges[0])[0]
    return {"axes": list(reduce.axes_of(node.axis, len(of)))}


def _geometry(node: Any) -> dict[str, Any]:
    g = node.geometry
    fields = ("size", "out", "kernel", "stride", "dilation", "before")
    return {**{name: list(getattr(g, name)) for name in fields}, "groups": g.groups}


def _attributes(*names: str) -> Callable[[Any], dict[str, Any]]:
    return lambda node: {name: getattr(node, name) for name in names}


def _nothing(node: Function) -> dict[str, Any]:
    return {}


def _scan(node: Any) -> dict[str, Any]:
    return {"axis": node.axis, "reverse": node.reverse}


# What the page can run, and the settings of each operation. The names are those of engine.js, as a test says.
SETTINGS: dict[type[Function], Callable[[Any], dict[str, Any]]] = {
    **{
        found: _nothing
        for module in (elementwise, ufuncs, error_function)
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, Function) and hasattr(found, "forward")
    },
    elementwise.Power: _attributes("n"),
    elementwise.Clip: _attributes("lo", "hi"),
    elementwise.Cast: lambda node: {"dtype": node.dtype.name},
    ufuncs.Round: _attributes("decimals"),
    **{
        moving: _moves
        for moving in (
            shape.Reshape, shape.Transpose, shape.Contiguous, shape.BroadcastTo, shape.Concatenate,
            shape.Split, shape.Stack, shape.Unstack, shape.Flip, shape.Pad, shape.Index,
        )
    },
    shape.ScatterAdd: _scatter,
    **{
        reducing: _axes
        for reducing in (
            reduce.Sum, reduce.Max, reduce.Min, reduce.LogSumExp, reduce.Softmax, reduce.LogSoftmax,
            reduce.Cumsum,
        )
    },
    scan.LinearScan: _scan,
    linalg.AddMM: _nothing,
    linalg.Linear: _nothing,
    linalg.MatMul: _nothing,
    linalg.Einsum: _attributes("operands", "output"),
    conv.Conv: _geometry,
    conv.ConvTranspose: _geometry,
    conv.ConvWeight: _geometry,
    conv.Convolve: _nothing,
}  # fmt: skip


def is_known(node: Function) -> bool:
    """Can the page run this operation?"""
    if isinstance(node, scan.Scan) and node.late:
        return False
    if isinstance(node, elementwise.Cast):
        return node.dtype.name in ("float32", "float64")
    return type(node) in SETTINGS


def unknown(nodes: Iterable[Function]) -> list[str]:
    """The operations that the page cannot run, each with how often it is there."""
    counts: dict[str, int] = {}
    for node in nodes:
        if not is_known(node):
            counts[node.label] = counts.get(node.label, 0) + 1
    return [name if count == 1 else f"{name} ({count} times)" for name, count in counts.items()]


# --- the table ------------------------------------------------------------------------------------


def table(loss: Variable, kept: Kept, params: Any = None, title: str = "") -> dict[str, Any]:
    """The graph of a loss as a dict for JSON; with ``unknown`` alone where the page cannot run it.

    Raises:
        ValueError: the loss has several elements.
        RuntimeError: it is outside any graph, an earlier pass released the saved arrays, or a constant was
            not kept, as the loss was computed outside of the ``with`` block.

    >>> from autograd.bptt.live import Kept, table
    >>> with ag.instrumented(Kept()) as kept:
    ...     loss = (Variable([3.0], name="x") * 2.0).sum()
    >>> found = table(loss, kept)
    >>> found["ops"], found["expected"]["loss"], [leaf["name"] for leaf in found["leaves"]]
    (['Mul', 'Sum'], 6.0, ['x', ''])
    """
    if not isinstance(loss, Variable) or loss.size != 1:
        raise ValueError("live expected a loss of one element: sum() it first")
    nodes = _nodes(loss, kept)
    if missing := unknown(nodes):
        return {"title": title, "unknown": missing}
    return _Table(loss, nodes, kept, params).content(title)


def _nodes(loss: Variable, kept: Kept) -> list[Function]:
    """All nodes behind a loss, and behind what was compared to choose between them."""
    nodes, results, names = list[Function](), [loss], ["the loss"]
    while True:
        nodes, before = nodes_behind("live", results, names), len(results)
        there = set(nodes)
        for (node, _), answer in kept.comparisons.items():
            for x in answer.inputs if node in there else ():
                if isinstance(x, Variable) and x.creator is not None and x.creator not in there:
                    results.append(x)
                    names.append("a value that was compared")
        if len(results) == before:
            return nodes


class _Table:
    def __init__(self, loss: Variable, nodes: list[Function], kept: Kept, params: Any):
        self.loss, self.nodes, self.kept, self.params = loss, nodes, kept, params
        self.number: dict[Function, int] = {}
        self.rows: list[list[Any]] = []
        self.by_count = {node.number: node for node in nodes}
        reading = Reading(results_of(loss))
        self.names = Names(reading, params)
        frame = Rows(reading).frame
        self.frame = {n: frame[n] for n in nodes if n in frame and n.place.step is not None}
        self.numbers, self.places, self.shapes, self.settings, self.ops = (_Once() for _ in range(5))
        self.leaves: list[dict[str, Any]] = []
        self.of: dict[Variable, int] = {}
        self.constants: dict[Any, int] = {}
        self.answers: dict[int, int] = {}

    def content(self, title: str) -> dict[str, Any]:
        for node in self.nodes:
            row = self._row(node)
            self.number[node] = len(self.rows)
            self.rows.append(row)
        parts = {scope: getattr(module, "parts", None) for scope, module in scopes_of(self.params).items()}
        states = _states(self.nodes, self.frame, parts)
        expected = self._expected(states)
        return {
            "title": title,
            "dtype": np.dtype(self.loss.dtype).name,
            "nodes": self.rows,
            "leaves": self.leaves,
            "links": self._links(),
            "states": [
                {**s, "items": [{"node": self.number[n], "k": k, "step": t} for n, k, t in s["items"]]}
                for s in states
            ],
            "inputs": self._inputs(),
            "recurrent": self._recurrent(),
            "gates": self._gates(),
            "steps": len({frame.step for frame in self.frame.values()}),
            "expected": expected,
            "ops": self.ops.found,
            "settings": self.settings.found,
            "shapes": self.shapes.found,
            "places": self.places.found,
            "numbers": self.numbers.found,
        }

    def _row(self, node: Function) -> list[Any]:
        at = {
            key: [self.places.add(_text(a)) for a in value] if key in ("from", "to") else value
            for key, value in SETTINGS[type(node)](node).items()
        }
        shapes = node.out_shape if node.multi_output else (node.out_shape,)
        inputs = [self._input(node, i) for i in range(len(node.edges))]
        out = [self.shapes.add(list(s)) for s in shapes]
        return [self.ops.add(node.label), inputs, out, self.settings.add(at), node.place.step]

    def _input(self, node: Function, i: int) -> Any:
        """The number of a leaf, or [number of a node, which output]; with a 1 behind if no gradient flows."""
        edge = node.edges[i]
        if (answer := self.kept.comparisons.get((node, i))) is not None:
            return self._compared(answer, node.place.step)
        if edge.__class__ in SCALARS:
            return self._constant(np.array(float(edge)), "", None)
        if isinstance(edge, Variable):
            return self._variable(edge)
        if isinstance(edge, Constant):
            if edge.origin is not None and edge.origin[0] in self.by_count:
                return [self.number[self.by_count[edge.origin[0]]], edge.origin[1], 1]
            if (node, i) not in self.kept.constants:
                raise RuntimeError(
                    f"live: the graph does not keep the constant {edge.name or '(unnamed)'} {edge.shape} of"
                    f" {node.describe()}: compute the loss inside of `with live.record() as page:`"
                )
            x = self.kept.constants[node, i]
            is_input = x.dtype.kind == "f" and bool(x.any()) and PRODUCTS.get(type(node), (-1, -1))[0] == i
            name = edge.name or ("x" if is_input else "")
            return self._constant(x, name, node.place.step if is_input else None, is_input)
        head, k = source(edge)
        return [self.number[head], k]

    def _variable(self, leaf: Variable) -> int:
        if leaf not in self.of:
            self.of[leaf] = self._leaf(self.names.full(leaf), "weight", leaf.data, None)
        return self.of[leaf]

    def _compared(self, answer: Answer, step: int | None) -> list[int]:
        """A row of its own for a comparison, which gives no gradient."""
        if id(answer.value) not in self.answers:
            inputs = [self._value(x) for x in answer.inputs]
            out = [self.shapes.add(list(np.shape(answer.value)))]
            self.answers[id(answer.value)] = len(self.rows)
            self.rows.append([self.ops.add(answer.name), inputs, out, self.settings.add({}), step])
        return [self.answers[id(answer.value)], 0, 1]

    def _value(self, x: Any) -> Any:
        """What was compared."""
        if not isinstance(x, Variable) or not x.requires_grad:
            return self._constant(np.asarray(as_array(x)), "", None)
        if x.is_leaf:
            return self._variable(x)
        node, k = source(x._edge)
        return [self.number[node], k, 1]

    def _constant(self, x: Array, name: str, step: int | None, is_input: bool = False) -> int:
        key = name, step, is_input, x.shape, x.tobytes()
        if key not in self.constants:
            self.constants[key] = self._leaf(name, "input" if is_input else "constant", x, step)
        return self.constants[key]

    def _leaf(self, name: str, kind: str, x: Array, step: int | None) -> int:
        of, data = self.shapes.add(list(x.shape)), self.numbers.add(_text(np.asarray(x, "<f8")))
        self.leaves.append({"name": name, "kind": kind, "shape": of, "data": data, "step": step})
        return len(self.leaves) - 1

    def _links(self) -> list[list[int]]:
        """The inputs that come from another step of the same loop, with the places of both steps in it."""
        loops: dict[tuple[int, bool], list[tuple[Function, int, int, int]]] = {}  # by row and direction
        for node in self.nodes:
            for i, edge in enumerate(node.edges):
                tail = source(edge)[0]
                if not isinstance(tail, Function) or not edge_type(edge)[0]:
                    continue  # a number is a sum of losses, which windows do not end
                if _is_link(self.frame, tail, node):
                    row, head = self.frame[node]
                    before = self.frame[tail].step
                    loops.setdefault((row, head > before), []).append((node, i, before, head))
        found = []
        for (_, forward), links in loops.items():
            if any(abs(head - before) != 1 for *_, before, head in links):
                return []  # a tree, or a loop that skips: there are no windows of steps
            steps = [step for *_, before, head in links for step in (before, head)]
            start = min(steps) if forward else max(steps)
            found += [[self.number[n], i, abs(b - start), abs(h - start)] for n, i, b, h in links]
        return found

    def _inputs(self) -> list[dict[str, Any]]:
        """The inputs x, whose entries a slider can change as those of weights: of all steps together."""
        groups: dict[Any, list[int]] = {}
        for n, leaf in enumerate(self.leaves):
            if leaf["kind"] == "input":
                groups.setdefault((leaf["name"], leaf["shape"]), []).append(n)
        found = []
        for (name, _), numbers in groups.items():
            numbers.sort(key=lambda n: self.leaves[n]["step"] or 0)
            found.append({"name": name, "leaves": numbers})
        return found

    def _recurrent(self) -> int | None:
        """The weight that most often meets what comes from another step; else the first matrix."""
        counts: dict[int, int] = {}
        carried: set[Any] = set()  # nodes between what another step gave and the product that it meets
        for node in self.nodes:
            x, w = PRODUCTS.get(type(node), (-1, -1))
            tails = [source(edge)[0] for edge in node.edges]
            links = [
                t in carried or (isinstance(t, Function) and _is_link(self.frame, t, node)) for t in tails
            ]
            if x >= 0 and links[x] and (leaf := _leaf_behind(node.edges[w])) in self.of:
                counts[self.of[leaf]] = counts.get(self.of[leaf], 0) + 1
            elif x < 0 and any(links) and node in self.frame:
                carried.add(node)
        if counts:
            return max(counts, key=lambda n: counts[n])
        matrices = [
            n for n, leaf in enumerate(self.leaves)
            if leaf["kind"] == "weight" and len(self.shapes.found[leaf["shape"]]) > 1
        ]  # fmt: skip
        return matrices[0] if matrices else None

    def _gates(self) -> list[dict[str, Any]]:
        """The biases of gates: name, leaf, first and last row; one bias of each cell that has several."""
        found = []
        for module in scopes_of(self.params).values():
            gates = getattr(module, "gates", ())
            if not isinstance(gates, tuple) or len(gates) < 2:
                continue
            for _, p in module.named_parameters():
                if p in self.of and p.ndim == 1 and p.size % len(gates) == 0:
                    size = p.size // len(gates)
                    found += [
                        {"gate": gate, "leaf": self.of[p], "rows": [i * size, (i + 1) * size]}
                        for i, gate in enumerate(gates)
                    ]
                    break
        return [g for i, g in enumerate(found) if g not in found[:i]]

    def _expected(self, states: list[dict[str, Any]]) -> dict[str, Any]:
        """The engine's numbers: the loss, and the gradients of leaves and states."""
        sink: dict[Any, Any] = {}
        wanted = {(node, k) for s in states for node, k, _ in s["items"]}
        with watch() as seen:
            start = [(key_of(self.loss), np.ones_like(self.loss.data))]
            walk(start, sink, targets=leaves_of(self.nodes), retain_graph=True)
        flows = {}
        for node, k in wanted:
            g: Any = seen.gradient(node)
            g = g[k] if isinstance(g, tuple) and node.multi_output else g
            of = node.out_shape[k] if node.multi_output else node.out_shape
            flows[node, k] = self._numbers(np.zeros(of) if g is None else as_array(g))
        summed = {x: as_array(joined(sink[x])) if x in sink else np.zeros(x.shape) for x in self.of}
        return {
            "loss": float(self.loss.item()),
            "gradients": [self._numbers(g) for g in summed.values()],
            "flows": [[flows[node, k] for node, k, _ in s["items"]] for s in states],
        }

    def _numbers(self, x: Array) -> int:
        return self.numbers.add(_text(np.asarray(x, "<f8")))


class _Once:
    """A list without repeats; `add` returns the place in it."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self._place: dict[str, int] = {}

    def add(self, x: Any) -> int:
        key = x if isinstance(x, str) else json.dumps(x)
        if key not in self._place:
            self._place[key] = len(self.found)
            self.found.append(x)
        return self._place[key]


def _text(x: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(x).tobytes()).decode("ascii")


def _leaf_behind(edge: Any) -> Any:
    """The leaf that an edge leads to, by way of nodes that only move elements."""
    while not isinstance(edge, Variable):
        node = source(edge)[0]
        if SETTINGS.get(type(node)) is not _moves or len(node.edges) != 1:
            return None
        (edge,) = node.edges
    return edge


# --- states ---------------------------------------------------------------------------------------


def _is_link(frame: Any, tail: Function, head: Function) -> bool:
    """Do two nodes stand in different steps of one row?"""
    if tail not in frame or head not in frame:
        return False
    return frame[tail].row == frame[head].row and frame[tail].step != frame[head].step


def _states(nodes: list[Function], frame: Any, parts: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What loops carry from step to step; without a loop the outputs of products, or of all operations.

    Of every series the name, and items (node, output, step). The last step of a loop carries nothing on: its
    part of a series is the node at the same place in the step. ``parts`` names the states of a scope.
    """
    of_step: dict[Any, list[Function]] = {}  # nodes of a kind in a step of a scope
    for node in nodes:
        if node in frame:
            of_step.setdefault((*frame[node], node.place.scope, node.label), []).append(node)
    carried: dict[Any, None] = {}
    used_elsewhere = set()
    for node in nodes:
        for edge in node.edges:
            tail, k = source(edge)
            if not isinstance(tail, Function) or tail not in frame:
                continue
            is_link = _is_link(frame, tail, node)
            tail, k = _before_moves(tail, k, frame)
            shape = tail.out_shape[k] if tail.multi_output else tail.out_shape
            there = of_step[*frame[tail], tail.place.scope, tail.label]
            key = frame[tail].row, tail.place.scope, tail.label, k, there.index(tail) - len(there)
            if is_link and shape:  # a number is a sum of losses
                carried[key] = None
            elif node not in frame or not _is_inside(node.place.scope, tail.place.scope):
                used_elsewhere.add(key)
    found = []
    for key in carried:
        row, scope, label, k, place = key
        items = []
        for (r, step, s, name), there in of_step.items():
            if (r, s, name) == (row, scope, label) and len(there) >= -place:
                node = there[place]
                if k == 0 or (node.multi_output and k < len(node.out_shape)):
                    items.append((node, k, step))
        items.sort(key=lambda item: item[2])
        found.append({"scope": scope, "is_output": key in used_elsewhere, "items": items})
    if not found:
        layers = [node for node in nodes if type(node) in PRODUCTS]
        what = "layer" if layers else "operation"
        items = [(node, 0, step) for step, node in enumerate(layers or nodes)]
        return [{"name": f"y of {what}s", "axis": what, "items": items}]
    scopes = list(dict.fromkeys(series["scope"] for series in found))
    for series in found:
        same = [s for s in found if s["scope"] == series["scope"]]
        series["letter"] = _letter(series, same, parts.get(series["scope"]))
        of = f" of {_end(series['scope'], scopes)}" if len(scopes) > 1 else ""
        series["name"] = series["letter"] + of
    found.sort(key=lambda series: series["letter"] != "h")
    return [{"name": s["name"], "axis": s["items"][0][0].place.unit, "items": s["items"]} for s in found]


def _before_moves(node: Function, k: int, frame: Any) -> tuple[Function, int]:
    """The output whose elements an output consists of, in the same step."""
    while SETTINGS.get(type(node)) is _moves and len(node.edges) == 1:
        before, j = source(node.edges[0])
        if frame.get(before) != frame[node]:
            break
        node, k = before, j
    return node, k


def _letter(series: dict[str, Any], same: list[dict[str, Any]], parts: Any) -> str:
    """The name of a state among those of one cell, whose parts have names with that of the output first."""
    parts = parts if isinstance(parts, tuple) and parts else ("h", "c")
    if len(same) == 1 or (series["is_output"] and [s["is_output"] for s in same].count(True) == 1):
        return parts[0]
    rest = [s for s in same if not s["is_output"]]
    if len(same) == len(parts) == 2 and len(rest) == 1:
        return parts[1]
    return f"state {same.index(series) + 1}"


def _is_inside(scope: str, outer: str) -> bool:
    return not outer or scope == outer or scope.startswith(f"{outer}.")


def _end(scope: str, scopes: list[str]) -> str:
    """The shortest end of a dotted scope that no other has."""
    parts = scope.split(".")
    ends = [".".join(parts[-n:]) for n in range(1, len(parts) + 1)]
    alone = [end for end in ends if sum(s == end or s.endswith(f".{end}") for s in scopes) == 1]
    return alone[0] if scope and alone else scope or "the model"
