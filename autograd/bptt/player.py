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
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..core import SCALARS, Constant, Function, Variable, edge_type, source
from ..engine import key_of, walk
from ..graph.picture.labels import Labels
from ..graph.picture.names import Names
from ..graph.picture.render import picture
from ..graph.picture.unrolled import Unrolled
from ..graph.reading import Reading, results_of
from ..graph.timesteps import Rows
from ..modes import instrumented
from ..ops.shape import Contiguous, Reshape, Transpose
from .flow.common import leaves_of, nodes_behind, settled

MOST = 24  # rows and columns of an array that are shown; norms are of the whole
Place = Any  # where gradients are summed up: a leaf, a node, or one output (node, k) of a node


@dataclass(frozen=True)
class Frame:
    """One Function firing.

    Attributes:
        node: the Function; its ``label``, ``rule`` and ``place`` say what and where.
        gys: the gradients that arrived, one per output.
        places: per input where its gradient is summed up; None for one without a gradient.
        gxs: what is added there.
        sums: what has been added there in all so far, this included.
    """

    node: Function
    gys: list[np.ndarray]
    places: list[Place | None]
    gxs: list[np.ndarray | None]
    sums: list[np.ndarray | None]


@dataclass
class Recording:
    """A backward pass, frame by frame; ``save`` writes the page.

    Attributes:
        loss: the Variable that it started from.
        frames: in the order in which the engine went.
        uses: per leaf, what each use of it contributed: pairs (number of the frame, gradient).
    """

    loss: Variable
    title: str
    names: Any
    frames: list[Frame] = field(default_factory=list)
    uses: dict[Variable, list[tuple[int, np.ndarray]]] = field(default_factory=dict)

    def html(self) -> str:
        """The whole page as text."""
        page = Path(__file__).with_suffix(".html").read_text(encoding="utf-8")
        drawn = _Picture(self.loss, self.names)
        data = json.dumps(_Data(self, drawn).content(), ensure_ascii=False, separators=(",", ":"))
        parts = {"TITLE": html.escape(self.title), "PICTURE": drawn.svg, "DATA": data.replace("<", "\\u003c")}
        return re.sub("|".join([f"%{part}%" for part in parts]), lambda m: parts[m[0][1:-1]], page)

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page; it appears complete or not at all."""
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
    """The instrument: takes down every node as the walk comes by."""

    def __init__(self, recording: Recording, prepared: dict[Function, Variable]):
        self.recording, self.prepared = recording, prepared
        self.sums: dict[Place, np.ndarray] = {}
        self.found: list[tuple[int, Any, np.ndarray]] = []

    def forward(self, node: Function, inputs: Any, outputs: Any) -> None:
        """What a checkpoint computes again is no news."""

    def backward(self, node: Function, gys: tuple[Any, ...], gxs: list[Any]) -> None:
        """Called by the walk for every node."""
        places: list[Place | None] = []
        added: list[np.ndarray | None] = []
        sums: list[np.ndarray | None] = []
        for edge, g in zip(node.edges, gxs, strict=True):
            place = None if g is None else edge
            places.append(place)
            added.append(g)
            if place is not None:
                self.sums[place] = self.sums[place] + g if place in self.sums else g
                if node not in self.prepared and (isinstance(edge, Variable) or edge in self.prepared):
                    self.found.append((len(self.recording.frames), edge, g))
            sums.append(None if place is None else self.sums[place])
        self.recording.frames.append(Frame(node, list(gys), places, added, sums))

    def carry_back(self) -> None:
        """Note every use of a leaf, those of its transposed form in the leaf's own layout."""
        for frame, edge, g in self.found:
            leaf = edge if isinstance(edge, Variable) else self.prepared[edge]
            if edge is not leaf:
                sink: dict[Any, Any] = {}
                walk([(edge, g)], sink, targets={leaf}, retain_graph=True)
                g = settled(sink[leaf])
            self.recording.uses.setdefault(leaf, []).append((frame, g))


def _prepared(nodes: Iterable[Function]) -> dict[Function, Variable]:
    """Leaves in another layout, made once before a loop: node -> leaf."""
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
    """The unrolled drawing as SVG, and which of its vertices stand for what."""

    def __init__(self, loss: Variable, params: Any):
        self.reading = Reading(results_of(loss)).join_sums()
        self.labels = Labels(self.reading, Names(self.reading, params), set(), None)
        rows = Rows(self.reading)
        self.unrolled = Unrolled(self.reading, rows if rows.frames else None)
        drawing = self.unrolled.scene(self.labels, None).drawing()
        self.svg = _lean(picture(drawing, "svg").decode("utf-8"))
        self.idents: dict[Any, list[str]] = {}
        for (item, _), ident in self.unrolled.idents.items():
            self.idents.setdefault(item, []).append(ident)

    def of(self, node: Function) -> list[str]:
        """The vertices of an operation: none if the picture leaves it out, several if it is copied."""
        node = self.reading.joined.get(node, node)
        if node in self.idents or node not in self.unrolled.turned:
            return self.idents.get(node, [])
        leaf, _ = self.unrolled.turned[node]  # drawn as one with what copies or transposes it further
        same = [other for other, (source, _) in self.unrolled.turned.items() if source is leaf]
        return [ident for other in same for ident in self.idents.get(other, [])]

    def source(self, edge: Any, head: Function) -> list[str]:
        """The vertices that an edge starts from, those of the step of its head."""
        item, _ = self.reading.source(edge)
        item, head = self.reading.joined.get(item, item), self.reading.joined.get(head, head)
        own = self.unrolled.idents.get((item, self.unrolled.frame.get(head)))
        return [own] if own else self.idents.get(item, [])

    def name(self, place: Place) -> str:
        """What a place is called."""
        if isinstance(place, Variable):
            return self.labels.names.full(place) or "input"
        node, k = source(place)
        gate = self.labels.names.gates.get((node, k))
        which = f" [{gate or k}]" if node.multi_output else ""
        return node.name_of(k) or (self.of_leaf(node) or node.symbol or node.label) + which

    def of_leaf(self, node: Function) -> str:
        """The name of a leaf that a node only brings into another layout."""
        leaf, mark = self.unrolled.turned.get(node, (None, ""))
        return (self.labels.names.full(leaf) or "input") + mark if leaf is not None else ""


def _lean(svg: str) -> str:
    """Only the <svg> element, without what the page says by itself."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.S)
    return re.sub(r' font-family="[^"]*"', "", svg)


# --- the numbers ----------------------------------------------------------------------------------


class _Data:
    """What the page reads: frames, places, weights, and every array once."""

    def __init__(self, recording: Recording, drawn: _Picture):
        self.recording, self.drawn = recording, drawn
        self.arrays: dict[Any, int] = {}
        self.encoded: list[Any] = []
        self.places: dict[Place, int] = {}

    def content(self) -> dict[str, Any]:
        """All of it, for JSON."""
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

    def _operand(self, edge: Any) -> str:
        if edge.__class__ in SCALARS:
            return f"{edge:g}"
        if isinstance(edge, Constant):
            return edge.name or "constant"
        return self.drawn.name(edge)

    def _place(self, place: Place) -> dict[str, Any]:
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

    def _array(self, g: np.ndarray) -> int:
        """The number of an array among those written; equal ones are written once."""
        flat = np.asarray(g, np.float32)
        flat = flat.reshape(-1, flat.shape[-1]) if flat.ndim > 1 else flat.reshape(1, -1)
        shown = np.ascontiguousarray(flat[:MOST, :MOST])
        key = shown.shape, flat.shape, shown.tobytes()
        if key not in self.arrays:
            self.arrays[key] = len(self.encoded)
            text = base64.b64encode(shown.astype("<f4").tobytes()).decode("ascii")
            self.encoded.append([*shown.shape, *flat.shape, text])
        return self.arrays[key]


def _norm(g: np.ndarray) -> float:
    return float(f"{np.linalg.norm(g):.7g}")
