"""What leaves and gates are called: by module path where there is one, else by their own name.

A name is shown as short as it stays apart from all others; the full one is in the tooltip. A module is
whatever has ``named_parameters()``; the gates of a cell are what the module that owns a fused weight, or
the scope, lists as ``gates``, followed through products, elementwise operations and splits.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol, TypeGuard

from ...core import Constant, Function, Parameter, Variable
from ...ops import elementwise, shape
from ...ops.conv import Conv
from ...ops.linalg import AddMM, Linear, MatMul
from ..reading import Item, Leaf, Output, Reading


class HasParameters(Protocol):
    """A module, or what looks like one."""

    def named_parameters(self) -> Iterable[tuple[str, Variable]]: ...


Params = Mapping[str, Variable] | HasParameters | None  # names for leaves
PRODUCTS = AddMM, Conv, Linear, MatMul
KEEPERS = (*PRODUCTS, elementwise.Binary, elementwise.Unary, shape.Contiguous, shape.Transpose)


class Fused(NamedTuple):
    """Gates that lie side by side in one array."""

    gates: tuple[str, ...]
    size: int  # of each


def names_of(params: Params) -> dict[Variable, str]:
    """Leaf -> name, from a dict name -> leaf or a module."""
    if params is None:
        return {}
    if hasattr(params, "named_parameters"):
        pairs = list(params.named_parameters())
    elif isinstance(params, Mapping):
        pairs = list(params.items())
    else:
        raise TypeError(
            "draw expected params to be a dict name -> Variable or a module, got " + type(params).__name__
        )
    for name, p in pairs:
        if not isinstance(p, Variable):
            raise TypeError(
                f"draw expected a Variable for the name {name!r} in params, got {type(p).__name__}"
            )
    return {p: str(name) for name, p in reversed(pairs)}


def scopes_of(module: Any) -> dict[str, Any]:
    """Scope -> module, as calls of the tree below ``module`` set scopes; the outermost of each."""
    found: dict[str, Any] = {}
    if not hasattr(module, "named_children"):
        return found
    todo, seen = [("", module)], set()
    while todo:
        scope, m = todo.pop(0)
        if id(m) in seen:
            continue
        seen.add(id(m))
        found.setdefault(scope, m)
        for name, child in m.named_children():
            own = getattr(child, "_name", name)
            todo.append((f"{scope}.{own}" if scope and own else scope or own, child))
    return found


class Names:
    """Names of the leaves of a reading, and of the gates in it."""

    def __init__(self, reading: Reading, params: Params):
        self.given = names_of(params)
        self._in_scope: dict[Leaf, str] = {}
        for node in reading.nodes:
            for item, _ in reading.sources[node]:
                if isinstance(item, Parameter) and item not in self.given:
                    scope = node.place.scope
                    if item.name:
                        self._in_scope.setdefault(item, f"{scope}.{item.name}" if scope else item.name)
        scopes = scopes_of(params)
        self._gates = _gates(reading, scopes)
        self.states = _states(reading, scopes)
        self.gates = {key: " ".join(g) for key, g in self._gates.items() if isinstance(key[0], shape.Split)}
        self._short: dict[str, str] = {}

    def is_parameter(self, item: object) -> TypeGuard[Variable]:
        """Is it a weight, and not an input?"""
        return isinstance(item, Parameter) or (isinstance(item, Variable) and item in self.given)

    def full(self, item: Leaf) -> str:
        """The name of a leaf or constant; "" where there is none."""
        if isinstance(item, Constant):
            return item.name or ""
        return self.given.get(item) or self._in_scope.get(item) or item.name or ""

    def of(self, item: Item, k: int) -> str:
        """The name of output ``k`` of an operation, or of a leaf or constant, as short as it is shown."""
        if not isinstance(item, Function):
            return self.short(item)
        return item.name_of(k) or ""

    def gate(self, item: Item, k: int) -> str:
        """The gate that this is, before or after its nonlinearity; "" if it is none or several."""
        gates = self.gates_in(item, k)
        return gates[0] if len(gates) == 1 else ""

    def gates_in(self, item: Item, k: int) -> tuple[str, ...]:
        """The gates that lie side by side in an output of an operation, before or after nonlinearities."""
        return self._gates.get((item, k), ()) if isinstance(item, Function) else ()

    def fused(self, item: Item) -> tuple[str, ...]:
        """The gates that lie side by side in the only output of an operation, if there are several."""
        gates = self.gates_in(item, 0)
        return gates if len(gates) > 1 else ()

    def short(self, item: Leaf) -> str:
        """The shortest end of the name that no other parameter has."""
        name = self.full(item)
        return self._short.get(name, name)

    def shorten(self, leaves: Iterable[Leaf]) -> None:
        """Find the short names, given all parameters that are drawn."""
        names = {self.full(leaf) for leaf in leaves} - {""}
        ends: dict[str, int] = {}
        for name in names:
            for end in _ends(name):
                ends[end] = ends.get(end, 0) + 1
        self._short = {n: next((e for e in _ends(n) if ends[e] == 1), n) for n in names}


def symbol(name: str) -> str:
    """The letter of equations for a parameter of a cell: W_ih for "l0.weight_ih"; else the name itself."""
    name = re.sub(r"^(?:\w+\.)*weight_(\w+?)(?:_l\d+)?$", r"W_\1", name)
    return re.sub(r"^(?:\w+\.)*bias_(\w+?)(?:_l\d+)?$", r"b_\1", name)


def _ends(name: str) -> Iterator[str]:
    """The last part of a dotted name, the last two, and so on."""
    parts = name.split(".")
    return (".".join(parts[-n:]) for n in range(1, len(parts) + 1))


def _states(reading: Reading, scopes: dict[str, Any]) -> dict[Output, str]:
    """What goes from one step of a cell to its next -> the part of the state that it is.

    A loop under `stepwise` has noted it. Else, of two parts the first is what leaves the cell as its output
    as well; of more it is not known.
    """
    onwards: dict[tuple[str, int | None], dict[Output, None]] = {}
    outward = {reading.source_of(v) for _, v in reading.results}
    for node in reading.nodes:
        for item, k in reading.sources[node]:
            if isinstance(item, Function) and item.place.step is not None:
                if item.place.scope != node.place.scope or node.place.step is None:
                    outward.add((item, k))
                elif item.place.step != node.place.step:
                    onwards.setdefault((item.place.scope, item.place.step), {})[item, k] = None
    found: dict[Output, str] = {}
    for (scope, _), outputs in onwards.items():
        cell = scopes.get(scope)
        parts: tuple[str, ...] = getattr(getattr(cell, "cell", cell), "parts", ())
        leaves = [output in outward for output in outputs]
        if len(parts) == len(outputs) == 1:
            found.update(dict.fromkeys(outputs, parts[0]))
        elif len(parts) == len(outputs) == 2 and sum(leaves) == 1:
            found.update({o: parts[0] if out else parts[1] for o, out in zip(outputs, leaves, strict=True)})
    noted = [(node, k, notes.part) for node in reading.nodes for k, notes in node.annotations.items()]
    return {**found, **{(node, k): part for node, k, part in noted if part}}


def _gates(reading: Reading, scopes: dict[str, Any]) -> dict[Output, tuple[str, ...]]:
    """Output -> the gates in it: from the fused weights of cells on, and of what is split in their scopes."""
    cells, fused = _cells(scopes)
    for node in reading.nodes if cells else ():
        inputs = reading.sources[node]
        if isinstance(node, PRODUCTS):  # the gates are those of its weight or bias, never of its input
            x = 1 if isinstance(node, AddMM) else 0
            inputs = [*inputs[:x], *inputs[x + 1 :]]
        known = next((fused[source] for source in inputs if source in fused), None)
        if isinstance(node, shape.Split):
            fused.update(_split(node, known or cells.get(node.place.scope)))
        elif known and isinstance(node, shape.Unstack):  # of what was projected for all steps at once
            fused.update({(node, k): known for k in range(len(node.out_shape))})
        elif known and isinstance(node, KEEPERS):
            is_masked = len(known.gates) == 1 and isinstance(node, elementwise.Mul)  # no longer that gate
            if len(known.gates) * known.size in node.out_shape and not is_masked:
                fused[node, 0] = known
    return {output: gates for output, (gates, _) in fused.items()}


def _cells(scopes: dict[str, Any]) -> tuple[dict[str, Fused], dict[Output, Fused]]:
    """The gates of the cells by their scopes, and by their fused weights."""
    cells: dict[str, Fused] = {}
    weights: dict[Output, Fused] = {}
    for scope, module in scopes.items():
        fused = Fused(getattr(module, "gates", ()), getattr(module, "hidden_size", 0))
        if isinstance(fused.gates, tuple) and len(fused.gates) > 1 and fused.size:
            cells[scope] = fused
            cells.setdefault(scope.rpartition(".")[0], fused)  # a loop calls the cell's step itself
            rows = len(fused.gates) * fused.size
            weights.update({(p, 0): fused for _, p in module.named_parameters() if p.shape[:1] == (rows,)})
    return cells, weights


def _split(node: shape.Split, fused: Fused | None) -> Iterator[tuple[Output, Fused]]:
    """The gates in every output of a split, if all its parts together are those of a cell."""
    widths = [part[node.axis] for part in node.out_shape]
    if not fused or len(fused.gates) * fused.size != sum(widths):
        return
    (gates, size), start = fused, 0
    for k, width in enumerate(widths):
        yield (node, k), Fused(gates[start // size : (start + width) // size], size)
        start += width
