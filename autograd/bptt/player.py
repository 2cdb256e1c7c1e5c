"""The backward pass as a film: `record` writes one HTML file that plays it on the unrolled picture.

    player.record(loss, "bptt.html", params=model)

A frame is one Function firing: the gradient that arrives, the local rule, what is added to each input,
and the gradients of shared weights filling up use by use. The file needs no network and no server; the
page itself is `player.html`, and this module fills in the picture and the numbers.
"""

import base64
import html
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core import SCALARS, Array, Constant, Function, Variable, as_array, edge_type, source
from ..engine import joined, key_of, walk
from ..graph.picture.framed import framed_scene
from ..graph.picture.labels import Labels
from ..graph.picture.names import Names
from ..graph.picture.render import picture
from ..graph.picture.unrolled import unrolled
from ..graph.picture.vertices import Vertex
from ..graph.reading import Reading, results_of
from ..graph.timesteps import Rows
from ..modes import instrumented
from ..ops.shape import Contiguous, Reshape, Transpose
from .flow.common import leaves_of, nodes_behind

MOST = 24  # rows and columns of an array that are shown; norms are of the whole
Edge = Any  # the place where gradients add up: a leaf, a node, or one output (node, k) of a node


@dataclass(frozen=True)
class Frame:
    """One Function firing.

    Attributes:
        node: the Function; its ``label``, ``rule`` and ``place`` say what and where.
        gys: the gradients that arrived, one per output.
        places: for each input the edge at which its gradient adds up; None for one without a gradient.
        gxs: for each input the gradient that this Function adds there.
        sums: for each input the sum there so far, this gradient included.

    >>> x = Variable([3.0])
    >>> (frame,) = bptt.player.record(x * x).frames
    >>> frame.node.rule, frame.gys, frame.gxs
    ('ga = gy b, gb = gy a', [array([1.])], [array([3.]), array([3.])])
    >>> frame.sums  # both inputs are x
    [array([3.]), array([6.])]
    """

    node: Function
    gys: list[Array]
    places: list[Edge | None]
    gxs: list[Array | None]
    sums: list[Array | None]


@dataclass
class Recording:
    """A backward pass, frame by frame; ``save`` writes the page.

    Attributes:
        loss: the Variable that it started from.
        frames: in the order in which the engine went.
        uses: for each leaf the contribution of every use: pairs (number of the frame, gradient).

    >>> x = Variable(3.0, name="x")
    >>> film = bptt.player.record(x * x * x)  # dy/dx = 9 + 2 · 9
    >>> [(frame, g.item()) for frame, g in film.uses[x]]  # the last product fires first
    [(0, 9.0), (1, 9.0), (1, 9.0)]
    """

    loss: Variable
    title: str
    names: Any
    frames: list[Frame] = field(default_factory=list)
    uses: dict[Variable, list[tuple[int, Array]]] = field(default_factory=dict)

    def html(self) -> str:
        """The whole page as text."""
        page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
        drawn = _Picture(self.loss, self.names)
        data = json.dumps(_Data(self, drawn).content(), ensure_ascii=False, separators=(",", ":"))
        parts = {"TITLE": html.escape(self.title), "PICTURE": drawn.svg, "DATA": data.replace("<", "\\u003c")}
        return re.sub("|".join([f"%{part}%" for part in parts]), lambda m: parts[m[0][1:-1]], page)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to ``path``; the file appears complete or not at all."""
        path = Path(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            beside.write_text(self.html(), encoding="utf-8")
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
        return path


def record(
    loss: Variable,
    path: str | os.PathLike[str] | None = None,
    *,
    params: Any = None,
    title: str = "Backpropagation through time",
) -> Recording:
    """Run the backward pass of ``loss`` and write it as a film to ``path``, one self-contained HTML file.

    Run the forward pass under ``with autograd.stepwise():``, so that every use of a weight is in its step.
    Neither ``.grad`` nor the graph change: ``loss.backward()`` can follow.

    Args:
        loss: a Variable of one element.
        path: where to write; None to only record.
        params: names for leaves, as in `draw`: a dict name -> Variable, or a module.

    Raises:
        ValueError: the loss has several elements.
        RuntimeError: it is outside any graph, or an earlier pass released the saved arrays.

    >>> rnn = nn.RNN(1, 2)
    >>> with ag.stepwise():
    ...     y, _ = rnn(np.ones((3, 1, 1), "f"))
    >>> film = bptt.player.record(y.sum(), "bptt.html", params=rnn)
    >>> [len(uses) for uses in film.uses.values()]  # each parameter is used at every step
    [3, 3, 3, 3]
    """
    if not isinstance(loss, Variable) or loss.size != 1:
        raise ValueError("record expected a loss of one element: sum() it first")
    nodes = nodes_behind("record", [loss], ["the loss"])
    recording = Recording(loss, title, params)
    recorder = _Recorder(recording, _prepared(nodes))
    with instrumented(recorder):
        walk([(key_of(loss), np.ones_like(loss.data))], {}, targets=leaves_of(nodes), retain_graph=True)
    recorder.carry_back()
    if path is not None:
        recording.save(path)
    return recording


class _Recorder:
    """The instrument: adds a frame for every node that the walk visits."""

    def __init__(self, recording: Recording, prepared: dict[Function, Variable]):
        self.recording, self.prepared = recording, prepared
        self.sums: dict[Edge, Array] = {}
        self.found: list[tuple[int, Edge, Array]] = []

    def forward(self, node: Function, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Nothing to record of a forward pass, which only a checkpoint repeats."""

    def backward(self, node: Function, gys: tuple[Array, ...], gxs: list[Array | None]) -> None:
        """Called by the walk for every node."""
        places: list[Edge | None] = []
        sums: list[Array | None] = []
        for edge, g in zip(node.edges, gxs, strict=True):
            place = None if g is None else edge
            places.append(place)
            if g is not None:
                self.sums[place] = self.sums[place] + g if place in self.sums else g
                if node not in self.prepared and (isinstance(edge, Variable) or edge in self.prepared):
                    self.found.append((len(self.recording.frames), edge, g))
            sums.append(None if place is None else self.sums[place])
        self.recording.frames.append(Frame(node, list(gys), places, list(gxs), sums))

    def carry_back(self) -> None:
        """Note every use of a leaf; gradients of its transposed form are carried to the leaf's layout."""
        for frame, edge, g in self.found:
            leaf = edge if isinstance(edge, Variable) else self.prepared[edge]
            if edge is not leaf:
                sink: dict[Any, Any] = {}
                walk([(edge, g)], sink, targets={leaf}, retain_graph=True)
                g = as_array(joined(sink[leaf]))
            self.recording.uses.setdefault(leaf, []).append((frame, g))


def _prepared(nodes: Iterable[Function]) -> dict[Function, Variable]:
    """The nodes that bring a leaf into another layout once, before a loop: node -> leaf."""
    found: dict[Function, Variable] = {}
    for node in nodes:
        if node.place.step is None and isinstance(node, Transpose | Contiguous | Reshape):
            (edge,) = node.edges or (None,)
            if isinstance(edge, Variable):
                found[node] = edge
            elif isinstance(edge, Function) and edge in found:
                found[node] = found[edge]
    return found


# --- the picture ----------------------------------------------------------------------------------


class _Picture:
    """The unrolled drawing as SVG, and its vertices by what they stand for."""

    def __init__(self, loss: Variable, params: Any):
        self.reading = Reading(results_of(loss)).join_sums()
        self.labels = Labels(self.reading, Names(self.reading, params))
        self.view = unrolled(self.reading, Rows(self.reading))
        drawing = framed_scene(self.view, self.labels, None).drawing()
        self.svg = _lean(picture(drawing, "svg").decode("utf-8"))
        self.transposed = self.view.copies.transposed  # node -> the leaf that it is drawn as, and ᵀ
        self.idents: dict[Any, list[str]] = {}
        for (item, _), ident in self.view.idents.items():
            self.idents.setdefault(item, []).append(ident)

    def of(self, node: Function) -> list[str]:
        """The vertices of an operation: none if the picture leaves it out, several if it is copied."""
        node = self.reading.joined.get(node, node)
        if node in self.idents or node not in self.transposed:
            return self.idents.get(node, [])
        leaf, _ = self.transposed[node]  # drawn as one with what copies or transposes it further
        same = [other for other, (source, _) in self.transposed.items() if source is leaf]
        return [ident for other in same for ident in self.idents.get(other, [])]

    def source(self, edge: Edge, head: Function) -> list[str]:
        """The vertices from which an edge starts, in the step of its head."""
        item, _ = self.reading.source(edge)
        item, head = self.reading.joined.get(item, item), self.reading.joined.get(head, head)
        own = self.view.idents.get(Vertex(item, self.view.steps.frame.get(head)))
        return [own] if own else self.idents.get(item, [])

    def name(self, place: Edge) -> str:
        """The name of the value at which gradients add up."""
        if isinstance(place, Variable):
            return self.labels.names.full(place) or "input"
        node, k = source(place)
        gate = self.labels.names.gates.get((node, k))
        which = f" [{gate or k}]" if node.multi_output else ""
        return node.name_of(k) or (self.of_leaf(node) or node.symbol or node.label) + which

    def of_leaf(self, node: Function) -> str:
        """The name of a leaf that a node only brings into another layout."""
        leaf, mark = self.transposed.get(node, (None, ""))
        return (self.labels.names.full(leaf) or "input") + mark if leaf is not None else ""


def _lean(svg: str) -> str:
    """The <svg> element alone, without comments and fonts, which the page sets itself."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.S)
    return re.sub(r' font-family="[^"]*"', "", svg)


# --- the numbers ----------------------------------------------------------------------------------


class _Data:
    """The data of the page: frames, places, weights, and every array once."""

    def __init__(self, recording: Recording, drawn: _Picture):
        self.recording, self.drawn = recording, drawn
        self.arrays: dict[Any, int] = {}
        self.encoded: list[Any] = []
        self.places: dict[Edge, int] = {}

    def content(self) -> dict[str, Any]:
        """The data as a dict, for JSON."""
        frames = [self._frame(f) for f in self.recording.frames]
        return {
            "loss": float(self.recording.loss),
            "start": self.drawn.idents.get(0, []),
            "frames": frames,
            "places": [self._place(p) for p in self.places],
            "weights": self._weights(),
            "arrays": self.encoded,
        }

    def _frame(self, frame: Frame) -> dict[str, Any]:
        node = frame.node
        inputs = []
        for edge, place, g, total in zip(node.edges, frame.places, frame.gxs, frame.sums, strict=True):
            entry: dict[str, Any] = {"name": self._operand(edge), "shape": list(edge_type(edge)[0])}
            if place is not None and g is not None and total is not None:
                entry["place"] = self.places.setdefault(place, len(self.places))
                entry["idents"] = self.drawn.source(edge, node)
                entry["g"], entry["norm"], entry["sum"] = self._array(g), _norm(g), _norm(total)
            inputs.append(entry)
        return {
            "op": node.label,
            "symbol": node.symbol or node.label,
            "rule": node.rule,
            "scope": node.place.scope,
            "step": node.place.step,
            "idents": self.drawn.of(node),
            "gys": [{"g": self._array(g), "norm": _norm(g), "shape": list(g.shape)} for g in frame.gys],
            "inputs": inputs,
        }

    def _operand(self, edge: Edge) -> str:
        if edge.__class__ in SCALARS:
            return f"{edge:g}"
        if isinstance(edge, Constant):
            return edge.name or "constant"
        return self.drawn.name(edge)

    def _place(self, place: Edge) -> dict[str, Any]:
        node = source(place)[0]
        step = node.place.step if isinstance(node, Function) else None
        return {"name": self.drawn.name(place), "step": step, "shape": list(edge_type(place)[0])}

    def _weights(self) -> list[dict[str, Any]]:
        uses = self.recording.uses
        order = sorted(uses, key=lambda leaf: not self.drawn.labels.names.is_parameter(leaf))
        result = []
        for leaf in order:
            total, steps = np.zeros(leaf.shape), []
            for frame, g in uses[leaf]:
                total = total + g
                steps.append({"frame": frame, "g": self._array(g), "norm": _norm(g), "sum": _norm(total)})
            tint = self.drawn.labels.tints.get(leaf, {})
            result.append(
                {
                    "name": self.drawn.name(leaf),
                    "shape": list(leaf.shape),
                    "uses": steps,
                    "fill": tint.get("fillcolor", "#dddddd"),
                    "line": tint.get("color", "#888888"),
                }
            )
        return result

    def _array(self, g: Array) -> int:
        """The number of an array in the list of the page, which has equal arrays once."""
        flat = np.asarray(g, np.float32)
        flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim > 1 else flat.reshape(1, -1)
        shown = np.ascontiguousarray(flat[:MOST, :MOST])
        key = shown.shape, flat.shape, shown.tobytes()
        if key not in self.arrays:
            self.arrays[key] = len(self.encoded)
            text = base64.b64encode(shown.astype("<f4").tobytes()).decode("ascii")
            self.encoded.append([*shown.shape, *flat.shape, text])
        return self.arrays[key]


def _norm(g: Array) -> float:
    return float(f"{np.linalg.norm(g):.7g}")
