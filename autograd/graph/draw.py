"""`draw`: from a Variable to the picture of the graph behind it, as DOT text.

A graph is read (`reading`), turned into vertices, arrows and frames by a view (`unrolled`, `folded`,
`modular`), and then into text (`scene`, `dot`). All loops, no recursion; nothing is numbered by address.
"""

from collections.abc import Collection
from typing import Any, Literal

from ..watch import watch as Watch
from .fold import Fold
from .folded import Folded
from .labels import Labels
from .loops import Rows
from .modular import module_scene
from .names import Names
from .reading import Reading, results_of
from .render import Drawing
from .scene import Scene
from .unrolled import Unrolled

VIEWS = ("unrolled", "folded", "module", "ops")
DIRECTIONS = ("LR", "RL", "TB", "BT")
SOON = 200  # vertices; smaller graphs are laid out in less than a second
SHOW = {"shape", "dtype", "value", "grad", "count", "order"}


def draw(
    y: Any,
    *,
    params: Any = None,
    view: Literal["unrolled", "folded", "module", "ops"] = "unrolled",
    depth: int | None = None,
    steps: Collection[int] | int | None = None,
    show: Collection[str] = (),
    hide: Collection[Any] = (),
    direction: Literal["LR", "RL", "TB", "BT"] | None = None,
    max_nodes: int = 2000,
    watch: Watch | None = None,
) -> Drawing:
    """The graph behind ``y`` as a `graphviz.Digraph`, ready to look at, also after ``backward``.

    Args:
        y: a Variable, or Variables in lists, tuples and dicts; names in dicts become labels.
        params: names for leaves: a dict name -> Variable, or anything with ``named_parameters()`` (a
            module; the gates of its cells get their names as well). A leaf that is not in it shows its
            own ``name``, a parameter behind the path of the module that uses it.
        view: "unrolled": a frame for every time step, with copies of the parameters it uses.
            "folded": every loop once, its state fed back by arrows marked t−1; the same picture for any
            number of steps. "module": boxes for modules. "ops": every operation, without frames.
        depth: in the module view, how many levels of the tree of modules are told apart.
        steps: in the unrolled view, which steps to draw: the first so many, or the numbers of those
            wanted, below 0 from the end. A single step is drawn as a cell, its state running across.
        show: more lines on the vertices: "shape", "dtype", "value" (of leaves and results), "grad",
            "count" (of the numbers in a parameter; of steps, in the folded view); "order" colours every
            result's part of the graph, for derivatives of a series [y, dy, ddy].
        hide: what to leave out: "constant", "variable", "parameter", "mover" (reshape, split, stack and
            the like), names of operations ("Transpose"), or leaves. Arrows run on through operations.
        direction: where the arrows point. By default to the right; with time steps to the top, time
            running to the right.
        max_nodes: more vertices than these are folded, which the picture says. So is one whose layout
            takes too long (see `render`).
        watch: what `autograd.watch` recorded of a backward pass: colour and width show the size of the
            gradient at every operation and arrow, on a logarithmic scale.

    Time steps are those of ``autograd.step(t)``. Run loops over layers under ``autograd.stepwise()`` to
    have everything in its step.

    Raises:
        TypeError: y holds something that is no Variable, or params is no source of names.
        ValueError: another argument has none of the values above.
    """
    for name, got, known in (("view", view, VIEWS), ("direction", direction, (None, *DIRECTIONS))):
        if got not in known:
            raise ValueError(f"draw expected {name} {_or(known)}, got {got!r}")
    if isinstance(show, str) or not set(show) <= SHOW:
        raise ValueError(f"draw expected show to be a set of {_or(sorted(SHOW))}, got {show!r}")
    if isinstance(hide, str):
        raise ValueError(f"draw expected hide to be a list or set, got {hide!r}: write {{{hide!r}}}")
    if depth is not None and depth < 1:
        raise ValueError(f"draw expected depth of at least 1, got {depth}")
    reading = Reading(results_of(y)).join_sums()
    names = Names(reading, params)
    show = set(show)
    if view in ("unrolled", "ops"):
        rows = Rows(reading) if view == "unrolled" else None
        unrolled = Unrolled(reading, rows if rows and rows.frames else None, steps, hide)
        vertices = len(unrolled.idents)
        if vertices <= max_nodes:
            drawing = unrolled.scene(Labels(reading, names, show, watch), direction).drawing()
            if vertices > SOON:  # now, so that a drawing holds no graph
                why = f"folded: the layout of its {vertices} vertices takes too long"
                folded = _folded(reading, names, show, watch, hide, direction, why).drawing()
                drawing.simpler += (lambda: folded,)
            return drawing
        why = f"folded: its {vertices} vertices are more than max_nodes={max_nodes}"
        return _folded(reading, names, show, watch, hide, direction, why).drawing()
    if view == "folded":
        return _folded(reading, names, show, watch, hide, direction, "").drawing()
    fold = Fold(reading)
    labels = Labels(fold, names, show, watch, fold)
    labels.free = None
    return module_scene(fold, labels, params, depth, hide, direction).drawing()


def _folded(
    reading: Reading,
    names: Names,
    show: set[str],
    watch: Watch | None,
    hide: Collection[Any],
    direction: str | None,
    why: str,
) -> Scene:
    fold = Fold(reading)
    scene = Folded(fold, hide).scene(Labels(fold, names, show, watch, fold), direction)
    scene.notes += [why] if why else []
    return scene


def _or(values: Collection[str | None]) -> str:
    words = [repr(v) for v in values if v is not None]
    return f"{', '.join(words[:-1])} or {words[-1]}"
