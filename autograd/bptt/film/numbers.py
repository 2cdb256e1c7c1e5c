"""What the page knows, as JSON: the graph with its names, both passes, and every array once."""

import base64
import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import SCALARS, Array, Constant, Function, Variable, source
from ...graph.picture.dot import tint
from ...graph.picture.names import PRODUCTS, Names
from ...graph.reading import Reading, results_of
from ...graph.timesteps import Rows
from .losses import signed_terms
from .names import ValueNames, letters_of
from .scenes import Scenes

if TYPE_CHECKING:
    from ..player import Pass, Recording

MOST = 32  # rows and columns of an array that are shown; norms are of the whole
MOST_SEEDED = 1000  # numbers from which the pass of a loss starts, for the page to compute it
MOST_KEPT = 30_000  # numbers: passes of single losses with more than these are written as norms alone


class Content:
    """The data of the page of a recording."""

    def __init__(self, recording: "Recording"):
        self.recording = recording
        self.reading = Reading(results_of(recording.loss)).join_sums()
        self.leaf_names = Names(self.reading, recording.names)
        self.rows = Rows(self.reading)
        self.names = ValueNames(self.reading, self.leaf_names, self.rows, recording.names)
        self.names.name_losses(recording.loss, signed_terms(recording.loss.creator))
        self.scenes = Scenes(self.reading, self.rows, self.names)
        self.arrays: dict[Any, int] = {}  # by shapes and bytes
        self.shapes: dict[Any, int] = {}
        self.encoded: list[int] = []  # of each array, the number of its shapes
        self.nodes = self._all_nodes()
        self.number = {node: i for i, node in enumerate(self.nodes)}
        self.leaves: dict[Variable, int] = {}
        self.constants: dict[Constant, int] = {}
        self.kinds: dict[Any, int] = {}
        self.scopes: dict[str, int] = {}
        self.seen: dict[Constant, Any] = {}  # the values of constants
        self.recurrent: set[Any] = set()

    def _all_nodes(self) -> list[Function]:
        """All Functions in the order of their calls, also those that a checkpoint calls again."""
        found = dict.fromkeys([c.node for c in self.recording.forward])
        found.update(dict.fromkeys([frame.node for frame in self.recording.frames]))
        return sorted(found, key=lambda node: node.number)

    def content(self) -> dict[str, Any]:
        """All of it as a dict, for JSON."""
        self.recurrent = self._recurrent()
        nodes = [self._node(node) for node in self.nodes]
        forward = self._forward()
        passes = [self._pass(self.recording.whole, True)]
        size = sum(
            sum(g.size for g in f.gxs if g is not None) for p in self.recording.parts for f in p.frames
        )
        passes += [self._pass(part, size <= MOST_KEPT) for part in self.recording.parts]
        weights, states = self._weights(), self._states()
        groups = [
            [g.scene, g.title, g.step, [self._ref(ref) for ref in g.refs], g.row] for g in self.scenes.groups
        ]
        return {
            "most": MOST,
            "unit": self._unit(),
            "loss": float(self.recording.loss.data.item()),
            "kinds": list(self.kinds),
            "scopes": list(self.scopes),
            "nodes": nodes,
            "leaves": [self._leaf(leaf) for leaf in self.leaves],
            "constants": [self._constant(c) for c in self.constants],
            "forward": forward,
            "passes": passes,
            "weights": weights,
            "states": states,
            "groups": groups,
            "grads": [
                [self.leaves[leaf], self._array(g), *self._gap(leaf, g)]
                for leaf, g in self.recording.grads.items()
            ],
            "scenes": self.scenes.laid_out(),
            "arrays": self.encoded,
            "shapes": list(self.shapes),
            "numbers": base64.b64encode(b"".join([key[1] for key in self.arrays])).decode("ascii"),
        }

    # -- the graph

    def _node(self, node: Function) -> list[Any]:
        """Kind, group, the node that is drawn for it, step, scope, inputs.

        The kind has what is the same in all steps: label, symbol, rule and its letters, names of the outputs,
        equation.
        """
        drawn = self.reading.joined.get(node, node)
        outputs = range(len(node.out_dtype)) if node.multi_output else (0,)
        kind = (
            node.label,
            node.symbol or node.label,
            node.rule,
            tuple(letters_of(node)),
            node.multi_output,
            tuple([self.names.of(drawn, k) for k in outputs]),
            self.names.equation(node),
        )
        return [
            self.kinds.setdefault(kind, len(self.kinds)),
            self.scenes.group_of.get(drawn, -1),
            self.number.get(drawn, -1),
            self.names.step(node),
            self.scopes.setdefault(node.place.scope, len(self.scopes)),
            [self._edge(edge) for edge in node.edges],
        ]

    def _edge(self, edge: Any) -> Any:
        """A number as it is; [node, output], ["l", leaf, name, shape] or ["c", constant]."""
        if edge.__class__ in SCALARS:
            return float(edge)
        item, k = source(edge)
        if isinstance(item, Function):
            return [self.number.get(item, -1), k]
        return self._ref(("l", item, "")) if isinstance(item, Variable) else self._ref(("c", item))

    def _ref(self, ref: tuple[Any, ...]) -> list[Any]:
        kind, item, *rest = ref
        if kind == "n":
            return ["n", self.number.get(item, -1)]
        if kind == "v":
            return ["v", self.number.get(item, -1), *rest]
        if kind == "l":
            return ["l", self.leaves.setdefault(item, len(self.leaves)), *rest]
        if kind == "c":
            return ["c", self.constants.setdefault(item, len(self.constants))]
        return ["m", *[self._ref(one) for one in ref[1:]]]

    def _leaf(self, leaf: Variable) -> dict[str, Any]:
        return {
            "name": self.leaf_names.full(leaf) or "input",
            "label": self.names.of(leaf),
            "shape": list(leaf.shape),
            "value": self._array(leaf.data),
            "parameter": self.leaf_names.is_parameter(leaf),
        }

    def _constant(self, constant: Constant) -> dict[str, Any]:
        value = self.seen.get(constant)
        return {
            "label": self.names.of(constant),
            "step": self.names.inputs.get(constant),
            "shape": list(constant.shape),
            "value": None if value is None else self._array(value),
        }

    # -- the passes

    def _forward(self) -> list[list[int]] | None:
        """The outputs of every node; None without numbers of the forward pass."""
        if not self.recording.forward:
            return None
        outputs: list[list[int]] = [[] for _ in self.nodes]
        for step in self.recording.forward:
            outputs[self.number[step.node]] = [self._array(y) for y in step.ys]
            for edge, x in zip(step.node.edges, step.xs, strict=True):
                if isinstance(edge, Constant):
                    self.seen[edge] = x
        return outputs

    def _pass(self, kept: "Pass", is_whole: bool) -> dict[str, Any]:
        """What fires, the gradients that arrive, and those that are given; norms where arrays are cut.

        What fires is written as runs of the newest-first order of all nodes: where each begins and ends.
        """
        frames = kept.frames
        found: dict[str, Any] = {
            "name": kept.name,
            "full": is_whole,
            "runs": _runs([self.number[f.node] for f in frames]),
            "norms": [_norm(f.gys) for f in frames] if is_whole else _packed([_norm(f.gys) for f in frames]),
            "uses": [],
        }
        if is_whole:
            found["gys"] = [[self._array(g) for g in f.gys] for f in frames]
            found["gxs"] = [
                [
                    None if g is None or total is None else [self._array(g), *self._cut(g, total)]
                    for g, total in zip(f.gxs, f.sums, strict=True)
                ]
                for f in frames
            ]
        else:
            if sum([g.size for _, g in kept.seeds]) <= MOST_SEEDED:  # the page can compute the numbers
                found["seeds"] = [self._seed(edge, g) for edge, g in kept.seeds]
            found["states"] = [
                [i, k, self._array(g)]
                for i, f in enumerate(frames)
                for k, g in enumerate(f.gys)
                if (f.node, k) in self.names.states
            ]
        for leaf, uses in kept.uses.items():
            total = sum([g for _, g in uses])
            if is_whole:
                own: list[Any] = [[i, _norm([g]), self._turned(g, frames[i].gxs)] for i, g in uses]
            else:  # in the order of the whole pass, whose frames are known
                own = [_norm([g], 3) for _, g in uses]
            number = self.leaves.setdefault(leaf, len(self.leaves))
            shown = is_whole or leaf in self.recurrent
            found["uses"].append([number, self._array(total) if shown else None, _norm([total]), own])
        return found

    def _seed(self, edge: Any, g: Array) -> list[Any]:
        """Where a pass starts, for the engine of the page: the node, which output, and the gradient there."""
        node, k = source(edge)
        return [self.number[node], k, [float(f"{v:.9g}") for v in np.ravel(g)]]

    def _turned(self, g: Array, gxs: Iterable[Array | None]) -> int:
        """The number of a gradient in the layout of a leaf; −1 − n for array n of the frame, transposed."""
        for gx in gxs:
            if gx is not None and gx is not g and gx.ndim == 2 and np.array_equal(gx.T, g):
                return -1 - self._array(gx)
        return self._array(g)

    def _cut(self, g: Array, total: Array) -> list[float]:
        """The norms of a gradient and of the sum so far, where the page does not have all their numbers."""
        is_cut = g.shape[-1:] > (MOST,) or g.size > MOST * MOST or g.size > MOST * (g.shape or (1,))[-1]
        return [_norm([g]), _norm([total])] if is_cut else []

    def _gap(self, leaf: Variable, g: Array) -> tuple[float, bool]:
        """The largest difference between a gradient and the sum of what its uses give; is it rounding?"""
        gap = np.abs(sum([part for _, part in self.recording.uses[leaf]]) - g)
        size = float(np.max(np.abs(g), initial=0.0))
        largest = float(np.max(gap, initial=0.0))
        return float(f"{largest:.2g}"), largest <= 1000 * float(np.finfo(g.dtype).eps) * size

    # -- weights and states

    def _unit(self) -> str:
        """What steps count: t, or the height in a tree."""
        units = dict.fromkeys([node.place.unit for node in self.nodes if node.place.step is not None])
        return next(iter(units)) if len(units) == 1 else "t"

    def _weights(self) -> list[dict[str, Any]]:
        """The leaves that are used, the recurrent weights first, then other parameters by their uses."""
        recurrent, uses = self.recurrent, self.recording.uses

        def order(leaf: Variable) -> tuple[bool, bool, bool, int, int]:
            return (
                not self.leaf_names.is_parameter(leaf),
                leaf not in recurrent,
                leaf.ndim < 2,
                -len(uses[leaf]),
                -max([frame for frame, _ in uses[leaf]]),  # what the model used first fires last
            )

        found = []
        for i, leaf in enumerate(sorted(uses, key=order)):
            gates = next(
                (m.gates for m in self._gated() if any(p is leaf for _, p in m.named_parameters())), ()
            )
            rows = leaf.shape[0] if leaf.shape else 0
            if not (isinstance(gates, tuple) and len(gates) > 1 and rows and rows % len(gates) == 0):
                gates = ()
            colours = tint(i)
            found.append(
                {
                    "leaf": self.leaves.setdefault(leaf, len(self.leaves)),
                    "gates": list(gates),
                    "recurrent": leaf in recurrent,
                    "fill": colours["fillcolor"],
                    "line": colours["color"],
                }
            )
        return found

    def _gated(self) -> list[Any]:
        """The modules with fused gates, the innermost first."""
        modules = [m for m in self.names.modules.values() if getattr(m, "gates", ())]
        cells = [
            c for m in self.names.modules.values() if getattr(c := getattr(m, "cell", None), "gates", ())
        ]
        return [m for m in (*reversed(modules), *cells) if hasattr(m, "named_parameters")]

    def _recurrent(self) -> set[Any]:
        """The weights by which a state is multiplied."""
        found: set[Any] = set()
        states, step = set(self.names.states), self.names.step
        for node in self.reading.nodes:
            sources = self.reading.sources[node]
            reads = [item for item, k in sources if (item, k) in states and step(item) != step(node)]
            if isinstance(node, PRODUCTS) and reads:
                for item, _ in sources:
                    found.add(self.names.transposed[item][0] if item in self.names.transposed else item)
        return {leaf for leaf in found if isinstance(leaf, Variable) and leaf.ndim > 1}  # a bias is added

    def _states(self) -> list[dict[str, Any]]:
        """For each state of each loop its values by step, in the order of the steps."""
        found: dict[tuple[Any, ...], dict[int, tuple[Function, int]]] = {}
        for (node, k), part in self.names.states.items():
            step = node.place.step
            if isinstance(node, Function) and step is not None and node in self.number:
                key = (self.rows.frame[node].row, node.place.scope, part)
                found.setdefault(key, {})[step] = (node, k)
        first: dict[str, int] = {}  # scopes in the order in which they were entered
        for (_, scope, _), own in found.items():
            oldest = min([node.number for node, _ in own.values()])
            first[scope] = min(first.get(scope, oldest), oldest)
        short = _without_beginning({scope for _, scope, _ in found})
        return [
            {
                "name": part,
                "where": short[scope],
                "axes": max([len(_shape_of(*output)) for output in own.values()]),
                "steps": sorted(own),
                "values": [[self.number[own[t][0]], own[t][1]] for t in sorted(own)],
            }
            for (_, scope, part), own in sorted(
                found.items(), key=lambda x: (x[0][0], first[x[0][1]], x[0][2] != "h")
            )
        ]

    # -- arrays

    def _array(self, g: Any) -> int:
        """The number of an array in the list of the page, which has equal arrays once."""
        flat = np.asarray(g, np.float32)
        flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim > 1 else flat.reshape(1, -1)
        shown = np.ascontiguousarray(flat[:MOST, :MOST])
        key = (*shown.shape, *flat.shape), shown.astype("<f4").tobytes()
        if key not in self.arrays:
            self.arrays[key] = len(self.encoded)
            self.encoded.append(self.shapes.setdefault(key[0], len(self.shapes)))
        return self.arrays[key]


def _norm(arrays: Iterable[Any], digits: int = 7) -> float:
    """The norm of all numbers together."""
    squares = [float(np.sum(np.square(np.asarray(g, np.float64)))) for g in arrays]
    return float(f"{math.sqrt(sum(squares)):.{digits}g}") or 0


def _shape_of(node: Function, k: int) -> tuple[int, ...]:
    found: Any = node.out_shape[k] if node.multi_output else node.out_shape
    return tuple(found)


def _without_beginning(scopes: set[str]) -> dict[str, str]:
    """Dotted names without the parts with which all of them begin; of one name nothing is left."""
    parts = {scope: scope.split(".") for scope in scopes}
    same = 0
    while len({tuple(p[: same + 1]) for p in parts.values()}) == 1 and all(
        len(p) > same for p in parts.values()
    ):
        same += 1
    return {scope: ".".join(p[same:]) for scope, p in parts.items()}


def _packed(norms: list[float]) -> str:
    """Norms to a thousandth: their logarithms as whole numbers of 16 bits, in base64; 0 is 0."""
    logs = [round(1000 * (math.log10(v) + 40)) if 1e-40 < v < 1e25 else 0 for v in norms]
    return base64.b64encode(np.array(logs, "<u2").tobytes()).decode("ascii")


def _runs(numbers: list[int]) -> list[int]:
    """Numbers that mostly go down by one, as the first and the last of every run."""
    found: list[int] = []
    for number in numbers:
        if found and found[-1] == number + 1:
            found[-1] = number
        else:
            found += [number, number]
    return found
