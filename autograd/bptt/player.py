"""A film of a forward and a backward pass: one HTML file that plays what the engine did.

    with player.film(params=model) as film:
        loss = ...
    film.save(loss, "bptt.html")

Forward, a frame is one Function computing its output; backward, it is one Function firing: the gradient that
arrives, the local rule, what is added to each input, and the gradients of shared weights filling up use by
use. The last frame is their sum. `record` is the short form, of a loss that is there already: without the
numbers of the forward pass, as the graph keeps only what backward asks for. The file needs no network and
no server; what it looks like is in the folder `film`.
"""

import html
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np

from ..core import SCALARS, Array, Function, Variable, as_array
from ..engine import joined, key_of, walk
from ..modes import instrumented, stepwise
from ..ops.shape import Contiguous, Reshape, Transpose
from .film.losses import Seeds, adds_up, losses_of
from .film.page import page_of
from .flow.common import leaves_of, nodes_behind
from .live.table import Kept, table

MOST_LOSSES = 24  # losses whose gradients are followed one by one; of more, so many, evenly spread
TITLE = "Backpropagation through time"
Edge = Any  # the place where gradients add up: a leaf, a node, or one output (node, k) of a node


@dataclass(frozen=True)
class Computed:
    """One Function in the forward pass: the arrays that it got and those that it gave.

    Attributes:
        node: the Function.
        xs: its inputs, constants among them; numbers as they are.
        ys: its outputs.

    >>> with bptt.player.film() as film:
    ...     y = Variable([3.0], name="x") * 2.0
    >>> (step,) = film.record(y).forward
    >>> step.node.symbol, step.xs, step.ys
    ('×', [array([3.]), 2.0], [array([6.])])
    """

    node: Function
    xs: list[Any]
    ys: list[Array]


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
class Pass:
    """A backward pass, frame by frame.

    Attributes:
        name: of what it started from, as L or L_3.
        frames: in the order in which the engine went; of a single loss those that its gradient reaches.
        uses: for each leaf the contribution of every use: pairs (number of the frame, gradient).
        seeds: what it started from, pairs (edge, gradient).

    >>> losses = [Variable(x, name="x") * 2.0 for x in (1.0, 2.0)]
    >>> film = bptt.player.record(sum(losses))
    >>> [(part.name, len(part.frames)) for part in film.parts]  # the gradient of each loss alone
    [('L_{0}', 1), ('L_{1}', 1)]
    """

    name: str
    frames: list[Frame] = field(default_factory=list)
    uses: dict[Variable, list[tuple[int, Array]]] = field(default_factory=dict)
    seeds: Seeds = field(default_factory=list)


@dataclass
class Recording:
    """A backward pass, frame by frame, and what was recorded of the forward pass; ``save`` writes the page.

    Attributes:
        loss: the Variable that it started from.
        frames: in the order in which the engine went.
        uses: for each leaf the contribution of every use: pairs (number of the frame, gradient).
        forward: the forward pass in the order of its calls, if a `film` was running.
        parts: where the loss is a sum of losses, the passes of these alone; at most `MOST_LOSSES`, evenly
            spread. They add up to the whole one.
        grads: what ``loss.backward()`` adds to ``.grad`` of each leaf, from a pass that nothing watches.
        live: of a film, the graph as `bptt.live` writes it, with which the page computes by itself.

    >>> x = Variable(3.0, name="x")
    >>> film = bptt.player.record(x * x * x)  # dy/dx = 9 + 2 · 9
    >>> [(frame, g.item()) for frame, g in film.uses[x]]  # the last product fires first
    [(0, 9.0), (1, 9.0), (1, 9.0)]
    """

    loss: Variable
    title: str
    names: Any
    whole: Pass
    forward: list[Computed] = field(default_factory=list)
    parts: list[Pass] = field(default_factory=list)
    grads: dict[Variable, Array] = field(default_factory=dict)
    live: dict[str, Any] | None = None

    @property
    def frames(self) -> list[Frame]:
        return self.whole.frames

    @property
    def uses(self) -> dict[Variable, list[tuple[int, Array]]]:
        return self.whole.uses

    def html(self) -> str:
        """The whole page as text."""
        return page_of(self)

    def _repr_html_(self) -> str:
        """The page in a frame of its own, which stays in a notebook that is exported."""
        style = "width: 100%; aspect-ratio: 16 / 9; min-height: 30em; border: 0"
        return f'<iframe srcdoc="{html.escape(self.html())}" style="{style}"></iframe>'

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


class film:
    """Inside the block, every recorded call is kept with its numbers, for a film of both passes.

    The block runs as under `autograd.stepwise`, so that every use of a weight is in its step. Copies of all
    arrays that Functions get and give are kept until the film is gone: film small models.

    Args:
        params: names for leaves, as in `draw`: a dict name -> Variable, or a module.
        title: the heading of the page.

    >>> rnn = nn.RNN(1, 2)
    >>> with bptt.player.film(params=rnn) as film:
    ...     y, _ = rnn(np.ones((3, 1, 1), "f"))
    ...     loss = sum([(h * h).sum() for h in y])
    >>> path = film.save(loss, "bptt.html")
    >>> recording = film.record(loss)  # the same as objects
    >>> len(recording.forward), len(recording.frames), len(recording.parts)
    (25, 25, 3)
    """

    def __init__(self, params: Any = None, title: str = TITLE):
        self.params, self.title = params, title
        self._computed: dict[Function, Computed] = {}
        self._blocks: list[Any] = []
        self._kept = Kept()

    def __enter__(self) -> Self:
        self._blocks += [stepwise(), instrumented(self), instrumented(self._kept)]
        for block in self._blocks[-3:]:
            block.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        for _ in range(3):
            self._blocks.pop().__exit__(*exc)

    def forward(self, node: Function, inputs: Sequence[Any], outputs: Sequence[Array]) -> None:
        """Called by the engine after every recorded call."""
        xs = [x if x.__class__ in SCALARS else np.array(x) for x in inputs]
        self._computed[node] = Computed(node, xs, [np.array(y) for y in outputs])

    def backward(self, node: Function, gys: tuple[Array, ...], gxs: list[Array | None]) -> None:
        """Called by the engine for a backward pass inside the block, of which nothing is kept."""

    def record(self, loss: Variable) -> Recording:
        """The film of ``loss`` as objects; neither ``.grad`` nor the graph change.

        Raises:
            ValueError: the loss has several elements, or was computed outside of the block.
            RuntimeError: it is outside any graph, or an earlier pass released the saved arrays.
        """
        recording = record(loss, params=self.params, title=self.title)
        if loss.creator not in self._computed:
            raise ValueError(
                "film.record expected a loss that was computed inside of the with block, got one from outside"
                " of it: compute it in there, or use player.record(loss), whose forward pass has no numbers"
            )
        nodes = nodes_behind("record", [loss], ["the loss"])
        recording.forward += [self._computed[node] for node in nodes if node in self._computed]
        if len(recording.forward) == len(nodes):  # else the page could not compute the loss
            recording.live = table(loss, self._kept, self.params)
        return recording

    def save(self, loss: Variable, path: str | os.PathLike[str]) -> Path:
        """Record ``loss`` and write the page to ``path``; errors as of `record`."""
        return self.record(loss).save(path)


def record(
    loss: Variable,
    path: str | os.PathLike[str] | None = None,
    *,
    params: Any = None,
    title: str = TITLE,
) -> Recording:
    """Run the backward pass of ``loss`` and write it as a film to ``path``, one self-contained HTML file.

    Run the forward pass under ``with autograd.stepwise():``, so that every use of a weight is in its step.
    Neither ``.grad`` nor the graph change: ``loss.backward()`` can follow. A film that has the numbers of the
    forward pass as well is a `film`.

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
    prepared, leaves = _prepared(nodes), leaves_of(nodes)
    seed = [(key_of(loss), np.ones_like(loss.data))]
    recording = Recording(loss, title, params, _pass("L", seed, prepared, leaves))
    sink: dict[Any, Any] = {}
    walk(seed, sink, targets=leaves, retain_graph=True)
    recording.grads.update({leaf: as_array(joined(sink[leaf])) for leaf in recording.uses if leaf in sink})
    losses = losses_of(loss, nodes, recording.whole)
    if adds_up([seed for _, seeds in losses for seed in seeds], recording.whole, leaves):
        spread = np.linspace(0, len(losses) - 1, min(len(losses), MOST_LOSSES)).round()
        for t, seeds in [losses[int(i)] for i in spread]:
            recording.parts.append(_pass(f"L_{{{t}}}", seeds, prepared, leaves, is_part=True))
    if path is not None:
        recording.save(path)
    return recording


def _pass(
    name: str,
    seeds: Seeds,
    prepared: Mapping[Function, Variable],
    leaves: set[Variable],
    is_part: bool = False,
) -> Pass:
    """Walk back from ``seeds`` and keep what every node does; of a part not those that zeros alone reach."""
    recorder = _Recorder(Pass(name, seeds=seeds), prepared, is_part)
    with instrumented(recorder):
        walk(seeds, {}, targets=leaves, retain_graph=True)
    recorder.carry_back()
    return recorder.kept


class _Recorder:
    """The instrument: adds a frame for every node that the walk visits."""

    def __init__(self, kept: Pass, prepared: Mapping[Function, Variable], is_part: bool):
        self.kept, self.prepared, self.is_part = kept, prepared, is_part
        self.sums: dict[Edge, Array] = {}
        self.found: list[tuple[int, Edge, Array]] = []

    def forward(self, node: Function, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Nothing to record of a forward pass, which only a checkpoint repeats."""

    def backward(self, node: Function, gys: tuple[Array, ...], gxs: list[Array | None]) -> None:
        """Called by the walk for every node."""
        if self.is_part and not any([np.any(g) for g in gys]):
            return  # as where an output is taken apart: the steps behind a loss get zeros
        places: list[Edge | None] = []
        sums: list[Array | None] = []
        for edge, g in zip(node.edges, gxs, strict=True):
            place = None if g is None else edge
            places.append(place)
            if g is not None:
                self.sums[place] = self.sums[place] + g if place in self.sums else g
                if node not in self.prepared and (isinstance(edge, Variable) or edge in self.prepared):
                    self.found.append((len(self.kept.frames), edge, g))
            sums.append(None if place is None else self.sums[place])
        self.kept.frames.append(Frame(node, list(gys), places, list(gxs), sums))

    def carry_back(self) -> None:
        """Note every use of a leaf; gradients of its transposed form are carried to the leaf's layout."""
        for frame, edge, g in self.found:
            leaf = edge if isinstance(edge, Variable) else self.prepared[edge]
            if edge is not leaf:
                sink: dict[Any, Any] = {}
                walk([(edge, g)], sink, targets={leaf}, retain_graph=True)
                g = as_array(joined(sink[leaf]))
            self.kept.uses.setdefault(leaf, []).append((frame, g))


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
