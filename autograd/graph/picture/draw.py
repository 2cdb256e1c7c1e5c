"""`draw`: from a Variable to the picture of the graph behind it, as DOT text.

A graph is read (`reading`), turned into vertices, arrows and frames by a view (`unrolled`, `folded`,
`modular`), and then into text (`scene`, `dot`). All loops, no recursion; nothing is numbered by address.
"""

import math
from collections.abc import Callable, Collection
from functools import partial
from typing import Literal

from ...checking.watching import watch as Watch
from ...core import Function, Variable
from ...profiling import profile as Profile
from ..fold import Fold
from ..lanes import Lanes
from ..reading import Item, Nest, Reading, results_of
from ..timesteps import Rows
from .backward import Backward
from .cells_view import cells_drawing
from .dot import INK, clean
from .finish import SMALL, About, enlarged, themed, themed_values
from .folded import folded
from .framed import View, framed_scene
from .heat import Heat
from .heat_of_cells import HeatOfCells
from .labels import DETAILS, Hide, Label, Labels
from .marks import Marked, Marks, check
from .modular import Modules, module_scene, modules
from .names import Names, Params
from .paths import PathMarks, Paths
from .render import Drawing
from .scene import Scene
from .times import Times
from .unrolled import unrolled
from .vertices import Elided

VIEWS = ("unrolled", "cells", "folded", "module", "ops")
THEMES = (None, "light", "dark")
DIRECTIONS = ("LR", "RL", "TB", "BT")
SOON = 200  # vertices; smaller graphs are laid out in less than a second
BACKWARD_WORDS = "red: what an operation gives back to its inputs; dh is the gradient of h, ∘ elementwise"
NO_BIASES = "left out: biases, to which a gradient goes on as it is"
NO_PARAMETERS = "left out: parameters"
SHOW = {"shape", "dtype", "value", "grad", "count", "order", "saved", "attributes", "backward", "folded"}


def draw(
    y: Nest,
    *,
    params: Params = None,
    view: Literal["unrolled", "cells", "folded", "module", "ops"] = "unrolled",
    depth: int | None = None,
    steps: Collection[int] | int | None = None,
    show: Collection[str] = (),
    label: Label | None = None,
    mark: Marked | None = None,
    paths: tuple[Variable, Variable] | None = None,
    hide: Hide = (),
    direction: Literal["LR", "RL", "TB", "BT"] | None = None,
    max_nodes: int = 2000,
    watch: Watch | None = None,
    heat: Profile | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    theme: Literal["light", "dark"] | None = None,
    size: Literal["slide"] | None = None,
) -> Drawing:
    """The graph behind ``y`` as a `graphviz.Digraph`, ready to look at, also after ``backward``.

    Args:
        y: a Variable, or Variables in lists, tuples and dicts; names in dicts become labels.
        params: names for leaves: a dict name -> Variable, or anything with ``named_parameters()`` (a
            module; the gates of its cells get their names as well). A leaf that is not in it shows its
            own ``name``, a parameter behind the path of the module that uses it.
        view: "unrolled": a frame for every time step, with copies of the parameters it uses.
            "folded": every loop once, its state fed back by arrows marked t−1; the same picture for any
            number of steps. "cells": one box per layer and step on a grid, with the inputs below and the
            loss above; a module in a loop is a row, and so is every value that the loop gives a name.
            "module": boxes for modules. "ops": every operation, without frames.
        depth: in the module view, how many levels of the tree of modules are told apart.
        steps: in the unrolled and the cells view, which steps to draw: the first so many, or the numbers of
            those wanted, below 0 from the end. A single step is drawn as a cell, its state running across.
        show: more lines on the vertices: "shape", "dtype", "value" (of leaves and results), "grad",
            "count" (of the numbers in a parameter; of steps, in the folded view); "order" colours every
            result's part of the graph, for derivatives of a series [y, dy, ddy]. "saved": the arrays that
            an operation keeps for backward, by the names of backward's arguments, or that a pass has
            released them; "attributes": its settings, such as axis=1. A folded view shows of both what
            is the same in every step and for any number of them; a module view has no such lines.
            "backward": arrows of one step (``steps={1}``) or of "ops" point back, each with what its
            operation gives to that input: its rule with the names at hand. "folded": beside the cells
            view, one step that stands for all.
        label: a function of a Function or a leaf (a Variable; for what needs no gradient, a Constant with
            name, shape and dtype) that returns the text of its vertex, or None for the usual one. Lines
            of ``show`` and ``watch`` follow it. In the folded and the module view, a vertex that stands
            for several steps gets a text only if it is the same for all of them. Boxes and results keep
            their labels, and a weight that is used transposed its ᵀ.
        mark: words by what they point out: a Variable, a Function, or a pair (Function, number of an input)
            for the arrow to that input. What is left out of a drawing shows no mark.
        paths: (end, start): the ways by which the value of ``start``, a leaf or an intermediate, reaches
            ``end``, each a term of the chain rule; all else fades. Not in the module view.
        hide: what to leave out: "constant", "variable", "parameter", "mover" (reshape, split, stack and
            the like), names of operations ("Transpose"), or leaves. Arrows run on through operations.
        direction: where the arrows point. By default to the right; with time steps to the top, time
            running to the right.
        max_nodes: more vertices than these are folded, which the picture says. So is one whose layout
            takes too long (see `render`).
        watch: what `autograd.watch` recorded of a backward pass. The colour of an operation is the size
            (norm) of the gradient that arrived there; colour and width of an arrow are the size of what
            flows over it: of the contribution that its head gives to its tail. Contributions to one
            value that share an arrow are added up first; what is left out (``hide``, transposed weights,
            a stack taken apart) hands on what it got. An arrow to a result shows what comes from
            outside of the drawing, for a loss its 1. What is exactly 0 is dashed, grey is what no
            gradient reached. In the folded view, sizes differ from step to step: it writes the smallest
            and the largest, and colours by the largest; in the module view, all values and steps count
            together. Where NaN or infinity was born is marked: on the way back, and, if the watch was
            entered before it, in the forward pass.
        heat: what `autograd.profile` found. The colour of an operation is its own time, forward and
            backward; of what stands for several, in the folded and the module view, the sum of theirs, which
            it also writes. The title says how much of the block's time the drawing shows. White is what did
            not run in the block; a captured step has no graph to draw.
        vmin, vmax: the ends of the logarithmic scale of ``watch``, or, in seconds, of the linear one of
            ``heat``; with the same ones, the same size has the same colour in several drawings. By default
            the smallest (for times 0) and the largest drawn.

        theme: "light" or "dark", for pages of that colour; the background is transparent. None: on white.
        size: "slide": 1280 x 720 pixels with no text below 18. Steps that have no room are left out; where
            the operations of one step have none, the cells view stands for them. Where arrows point back,
            movers, then biases, then all parameters without room are left out.

    Rendered, the unrolled view lays one step out and repeats it, where at least three are alike: steps have
    their vertices in the same places, and what one hands to the next runs level. So it is for one loop, or
    several side by side, from bottom to top or top to bottom, without a gap and without words on arrows; all
    else, and ``.source``, has the layout that Graphviz finds.

    Time steps are those of ``autograd.step(t)``. Run loops over layers under ``autograd.stepwise()`` to
    have everything in its step.

    Raises:
        TypeError: y holds something that is no Variable, params is no source of names, heat is no profile,
            label is no function or returns something else than text, or a key of mark is none of those above.
        ValueError: another argument has none of the values above, there are both a watch and heat, or the
            cells view gets one that is about operations (show, label, mark, hide, direction, heat).

    >>> rnn = nn.RNN(2, 3)
    >>> with ag.stepwise():
    ...     y, _ = rnn(np.ones((4, 1, 2), "f"))
    >>> drawings = [graph.draw(y, params=rnn, view=view) for view in ("unrolled", "folded")]
    >>> [drawing.source.count('label="tanh') for drawing in drawings]
    [4, 1]
    """
    _check(view, direction, show, hide, depth, label)
    _check_look(theme, size)
    check(mark or {})
    reading = Reading(results_of(y)).join_sums()
    names = Names(reading, params)
    _check_scale(watch, heat, vmin, vmax)
    ways = None if paths is None else Paths(reading, *_pair(paths, view))
    said = [] if ways is None else [ways.words]
    sized = _Sized(reading, view, theme, size == "slide")

    def labels_of(drawn: View | Modules, fixed: Collection[Item] | None = None) -> Labels:
        heated: Heat | Times | None = None if watch is None else Heat(reading, watch, drawn.parts, vmin, vmax)
        if heat is not None:
            heated = Times(reading, heat, drawn.parts, vmin, vmax)
        marks = Marks(reading, drawn.parts, mark) if mark else None
        if ways is not None:
            fold = drawn.reading if isinstance(drawn.reading, Fold) else None
            marks = PathMarks(reading, drawn.parts, mark or {}, ways, fold)
        return Labels(drawn.reading, names, set(show), heated, fixed, label, marks)

    def folded_drawing(*notes: str) -> Drawing:
        loops = folded(Fold(reading), hide, watch is not None or heat is not None)
        scene = framed_scene(loops, labels_of(loops, loops.fixed), direction or sized.direction)
        scene.notes += [*notes, *said]
        return sized(scene.drawing())

    def cells() -> Drawing:
        lanes = Lanes(reading)
        warm = None if watch is None else HeatOfCells(lanes, watch, vmin, vmax)
        names.shorten([leaf for own in lanes.weights.values() for leaf in own])
        return sized(
            cells_drawing(lanes, names, params, steps, warm, size == "slide", ways, "folded" in show)
        )

    if view == "cells":
        _check_cells(set(show) - {"folded"}, label, mark, hide, direction, heat)
        return cells()
    if view == "module":
        boxes = modules(Fold(reading), names, depth, hide)
        return sized(module_scene(boxes, labels_of(boxes), params, direction or sized.direction).drawing())
    if view == "folded":
        drawing = folded_drawing()
        drawing.smaller = (partial(_itself, cells()),) if size else ()
        return drawing
    rows = Rows(reading) if view == "unrolled" else None

    def scene_of(whole: View) -> Scene:
        labels = labels_of(whole)
        if "backward" in show:
            shown = whole.steps.shown
            if len(shown) > 1:
                raise ValueError(
                    f"draw shows what arrows give back in one step, got {len(shown)}: use steps={{1}}, say"
                )
            step = next(iter(shown)).step if shown else None
            whole_names = [item for item, _ in whole.idents if not isinstance(item, int | Elided | Function)]
            names.shorten([item for item in whole_names if names.is_parameter(item)])
            labels.backward = Backward(reading, names, step)
        scene = framed_scene(whole, labels, direction)
        if "backward" in show:
            scene.look = {"pad": "0.02", "ranksep": "0.03"}  # labels on arrows have their room
        scene.notes += [*said, *([BACKWARD_WORDS] if "backward" in show else [])]
        return scene

    def drawing_of(
        chosen: Collection[int] | int | None, hide: Hide = hide, words: str = ""
    ) -> tuple[Drawing, int]:
        whole = unrolled(reading, rows, chosen, hide, direction, watch is not None, heat is not None)
        if len(whole.idents) > max_nodes:
            more = f"folded: its {len(whole.idents)} vertices are more than max_nodes={max_nodes}"
            return folded_drawing(more), 0
        scene = scene_of(whole)
        scene.notes += [words] if words else []
        return sized(scene.drawing()), len(whole.idents)

    drawing, vertices = drawing_of(steps)
    if vertices > SOON:  # now, so that a drawing holds no graph
        simpler = folded_drawing(f"folded: the layout of its {vertices} vertices takes too long")
        drawing.simpler += (lambda: simpler,)
    if size:
        if "backward" in show:
            biases = Backward(reading, names).passed_on()
            few = [
                drawing_of(steps, [*hide, "mover"])[0],
                drawing_of(steps, [*hide, "mover", *biases], NO_BIASES)[0],
                drawing_of(steps, [*hide, "mover", "parameter"], NO_PARAMETERS)[0],
            ]
        else:
            few = [drawing_of(c)[0] for c in _fewer(rows, steps)] + [folded_drawing(), cells()]
        drawing.smaller = tuple([partial(_itself, one) for one in few])
    return drawing


def _itself(drawing: Drawing) -> Drawing:
    return drawing


def _fewer(rows: Rows | None, steps: Collection[int] | int | None) -> list[Collection[int]]:
    """Choices of steps for a slide: the first ones and the last one, ever fewer."""
    most = max([frame.step for frame in rows.frames], default=0) if rows else 0
    return [(*range(n), -1) for n in (4, 3, 2, 1) if n < most] if steps is None else []


class _Sized:
    """Puts a theme, a size, a title and a description on drawings of one graph."""

    def __init__(self, reading: Reading, view: str, theme: str | None, slide: bool):
        self.theme, self.slide = theme, slide
        self.direction = "LR" if slide else None  # slides are wider than high
        ends = ", ".join([clean(path or v.name or "result") for path, v in reading.results[:3]])
        steps = {n.place.step for n in reading.nodes if n.place.step is not None}
        words = [f"{len(reading.nodes)} operations", f"{len(steps)} steps" if steps else ""]
        title = f"Graph of {ends}, {view} view"
        self.about = About(title, f"{title}: {', '.join([w for w in words if w])}.", slide)

    def __call__(self, drawing: Drawing) -> Drawing:
        drawing.about = self.about
        if self.theme:
            drawing.edge_attr.setdefault("fontcolor", INK)
            for values in (drawing.graph_attr, drawing.node_attr, drawing.edge_attr):
                values.update(themed_values(values, self.theme))
            drawing.graph_attr["bgcolor"] = "transparent"
            self._change(drawing, partial(themed, theme=self.theme))
        if self.slide and drawing.graph_attr.get("layout") != "nop2":
            self._change(drawing, enlarged)
            for values in (drawing.node_attr, drawing.edge_attr):
                values["fontsize"] = f"{max(float(values['fontsize']), SMALL):g}"
        if drawing.repeated:
            drawing.repeated.source = drawing.source
        simpler = drawing.simpler
        drawing.simpler = tuple([partial(self._of, make) for make in simpler])
        return drawing

    def _change(self, drawing: Drawing, statement: Callable[[str], str]) -> None:
        drawing.body[:] = [statement(line) for line in drawing.body]
        if drawing.repeated:
            drawing.repeated.change(statement)

    def _of(self, make: Callable[[], Drawing]) -> Drawing:
        return self(make())


def _check(
    view: str,
    direction: str | None,
    show: Collection[str],
    hide: Hide,
    depth: int | None,
    label: Label | None,
) -> None:
    for name, got, known in (("view", view, VIEWS), ("direction", direction, (None, *DIRECTIONS))):
        if got not in known:
            raise ValueError(f"draw expected {name} {_or(known)}, got {got!r}")
    if isinstance(show, str) or not set(show) <= SHOW:
        raise ValueError(f"draw expected show to be a set of {_or(sorted(SHOW))}, got {show!r}")
    if view == "module" and (of_operations := sorted(DETAILS.keys() & set(show))):
        raise ValueError(
            f"draw shows {_or(of_operations)} on operations, and boxes of the module view stand for many:"
            " use view 'unrolled', 'folded' or 'ops'"
        )
    if "folded" in show and view != "cells":
        raise ValueError(f"draw shows the folded graph beside the view 'cells', got view {view!r}")
    if "backward" in show and view not in ("unrolled", "ops"):
        raise ValueError(
            f"draw shows what arrows give back in the views 'unrolled' and 'ops', got view {view!r}"
        )
    if label is not None and not callable(label):
        raise TypeError(
            "draw expected label to be a function from a Function or a leaf to text, got"
            f" {type(label).__name__}: for one leaf use params={{name: leaf}}"
        )
    if isinstance(hide, str):
        raise ValueError(f"draw expected hide to be a list or set, got {hide!r}: write {{{hide!r}}}")
    if depth is not None and depth < 1:
        raise ValueError(f"draw expected depth of at least 1, got {depth}")


def _pair(paths: object, view: str) -> tuple[Variable, Variable]:
    is_pair = isinstance(paths, tuple) and len(paths) == 2 and all(isinstance(v, Variable) for v in paths)
    if not is_pair:
        raise TypeError(f"draw expected paths to be (end, start), two Variables, got {type(paths).__name__}")
    if view == "module":
        raise ValueError(
            "draw shows paths through operations: use view 'unrolled', 'cells', 'folded' or 'ops'"
        )
    return paths  # type: ignore[return-value]


def _check_look(theme: str | None, size: str | None) -> None:
    for name, got, known in (("theme", theme, THEMES), ("size", size, (None, "slide"))):
        if got not in known:
            raise ValueError(f"draw expected {name} {_or(known)}, got {got!r}")


def _check_cells(
    show: Collection[str],
    label: Label | None,
    mark: Marked | None,
    hide: Hide,
    direction: str | None,
    heat: Profile | None,
) -> None:
    given = {"show": show, "label": label, "mark": mark, "hide": hide, "direction": direction, "heat": heat}
    for name, got in given.items():
        if got is not None and (name == "heat" or got):
            raise ValueError(
                f"draw takes no {name}= in the cells view, whose boxes stand for many operations: use view"
                " 'unrolled', 'folded' or 'ops'"
            )


def _check_scale(watch: Watch | None, heat: Profile | None, vmin: float | None, vmax: float | None) -> None:
    if heat is not None and not isinstance(heat, Profile):
        hint = ": pass it as watch=" if isinstance(heat, Watch) else ""
        raise TypeError(f"draw expected heat to be a profile, got {type(heat).__name__}{hint}")
    if heat is not None and watch is not None:
        raise ValueError("draw expected watch= or heat=, got both: a colour is a gradient or a time")
    for name, end in (("vmin", vmin), ("vmax", vmax)):
        if end is not None and watch is None and heat is None:
            raise ValueError(f"draw expected {name} with watch= or heat=, whose colours it scales")
        if end is not None and not 0 < end < math.inf:
            why = ", as its scale is logarithmic" if heat is None else ""
            raise ValueError(f"draw expected {name} above 0{why}, got {end}")
    if vmin is not None and vmax is not None and vmin >= vmax:
        raise ValueError(f"draw expected vmin below vmax, got {vmin} and {vmax}")


def _or(values: Collection[str | None]) -> str:
    words = [repr(v) for v in values if v is not None]
    return " or ".join([text for text in (", ".join(words[:-1]), words[-1]) if text])
