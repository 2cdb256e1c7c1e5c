"""Reverse mode: the walk from results back to leaves, and its two faces `backward` and `grad`.

Nodes carry the order in which they were made, so a parent always has a smaller number than its
children. Going through the nodes from the largest number to the smallest, the gradient of a node's
output is complete when its turn comes. That is all; everything else here is bookkeeping.
"""

from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Any

import numpy as np

from .core import (
    CONSTANTS,
    Function,
    Mark,
    Slot,
    Variable,
    asarray,
    edge_type,
    isarray,
    marking,
    ndarray,
    untracked,
)
from .deferred import SMALL, Deferred, Stretched, sum_to
from .modes import enable_grad, local

# --- reverse mode -------------------------------------------------------------------------------


def walk(
    seeds: Sequence[tuple[Any, Any]],
    sink: dict[Any, Any],
    *,
    targets: set[Any] | None = None,
    stops: frozenset[Any] = frozenset(),
    retain_graph: bool = False,
    create_graph: bool = False,
) -> None:
    """Reverse mode: carry gradients from ``seeds``, pairs (edge, gradient), back to where they end.

    The gradients of leaves are summed into ``sink``, by leaf. With ``targets``, a set of leaves, nodes
    and slots, only what is on a path to one of them is visited, and the sink gets theirs.
    The walk does not go on behind ``stops``, a set of the same kind.
    """
    grads: dict[Any, Any] = {}  # by node, summed up so far; of a node with several outputs a dict by output
    nodes = _ancestors([edge for edge, _ in seeds], stops)
    alive, passing = (None, None) if targets is None else _on_paths(nodes, targets)
    thread = local.thread
    outer = thread.recording, thread.place, thread.sink, thread.scratch
    try:
        thread.recording, thread.sink, thread.scratch = create_graph, sink, {}
        for edge, g in seeds:
            if alive is not None and edge not in alive:
                continue
            if create_graph and not isinstance(g, Variable):
                g = untracked(g)
                if g.size == 1 and g.item() == 1.0:
                    g.name = "1"  # dL/dL, to a drawing
            elif not create_graph and isinstance(g, Variable):
                g = g._data
            _add(edge, g, grads, sink, stops)
        while nodes:
            node = nodes.pop()
            gy = grads.pop(node, None)
            if gy is None:
                continue
            if node.several:
                gy = [_array(gy.get(k)) for k in range(len(node.out_dtype))]
            elif isinstance(gy, Deferred):
                gy = gy.array()
            if node.marks is not None or targets is not None:
                gy = _attended(node, gy, sink, targets)
                if gy is None or (passing is not None and node not in passing):
                    continue
            if node.several:
                gy = _without_gaps(node, gy)
            thread.place = node.place
            try:
                values: Any = node.saved
                if create_graph:
                    thread.place = node.place.back()
                    values = node.values_as_variables()
                elif node.on_leaf or values is None:
                    values = node.values()
                gxs = node.backward(gy, *values)
                if gxs.__class__ is not tuple:
                    gxs = (gxs,)
                if thread.instruments:
                    gxs = _observed(thread.instruments, node, gy, gxs)
                edges: Any = node.edges
                if len(gxs) != len(edges):
                    raise ValueError(f"expected {len(edges)} gradients, one per input, got {len(gxs)}")
                for edge, g in zip(edges, gxs):  # noqa: B905 (strict= costs a tenth of the loop)
                    if g is None or (alive is not None and edge not in alive):
                        continue
                    if (
                        isinstance(edge, Function)
                        and g.shape == edge.out_shape
                        and (g.dtype is edge.out_dtype or g.dtype == edge.out_dtype)
                        and not stops  # which may be nodes
                    ):  # most edges: what _add would do, without the call
                        before = grads.get(edge)
                        grads[edge] = g if before is None else before + g
                    else:
                        _add(edge, g, grads, sink, stops, node)
            except Exception as error:
                error.add_note(f"in the backward pass of {node.describe()}")
                raise
            if not retain_graph:
                node.saved = None
    finally:
        thread.recording, thread.place, thread.sink, thread.scratch = outer


def _add(
    edge: Any, g: Any, grads: dict[Any, Any], sink: dict[Any, Any], stops: frozenset[Any], node: Any = None
) -> None:
    """Add ``g``, which ``node`` gives to ``edge``, to what has arrived there, in its shape and dtype."""
    if edge.__class__ in CONSTANTS:
        return
    shape, dtype = edge_type(edge)
    if g.shape != shape or (g.dtype is not dtype and g.dtype != dtype):
        g = _fitted(g, shape, dtype, node)
    where, key = grads, edge
    if isinstance(edge, Variable) or (stops and edge in stops):
        where = sink
    elif edge.__class__ is Slot:
        of, key = edge
        where = grads.setdefault(of, {})
    before = where.get(key)
    where[key] = g if before is None else before + g


def _ancestors(edges: Iterable[Any], stops: frozenset[Any] = frozenset()) -> list[Function]:
    """All nodes behind ``edges``, the first made first."""
    seen: set[Any] = set()
    nodes: list[Function] = []  # nearly in order already, so that sorting costs little
    waiting: list[Any] = [edges]
    while waiting:
        for edge in waiting.pop():
            if stops and edge in stops:
                continue
            if edge.__class__ is Slot:
                edge = edge.node
            elif not isinstance(edge, Function):
                continue
            if edge not in seen:
                seen.add(edge)
                nodes.append(edge)
                waiting.append(edge.edges)
    nodes.sort(key=attrgetter("number"))
    return nodes


def _on_paths(nodes: list[Function], targets: set[Any]) -> tuple[set[Any], set[Any]]:
    """What leads to a target: all keys and nodes, targets included; and the nodes whose inputs do."""
    alive, passing = set(targets), set()
    alive.update(target.node for target in targets if target.__class__ is Slot)
    for node in nodes:
        if node.hides or any(edge in alive for edge in node.edges or ()):
            passing.add(node)
            alive.add(node)
            if node.several:
                alive.update(Slot(node, k) for k in range(len(node.out_dtype)))
    return alive, passing


def key_of(x: Variable) -> Any:
    """What the gradient of a Variable that tracks is filed under: its edge, or itself for a leaf."""
    return x if x._edge is None else x._edge


def _array(g: Any) -> Any:
    return g.array() if isinstance(g, Deferred) else g


def _without_gaps(node: Function, gs: list[Any]) -> tuple[Any, ...]:
    """Zeros for the unused outputs, so that no operation has to invent them."""
    for k, g in enumerate(gs):
        if g is None:
            zeros = np.zeros(node.out_shape[k], node.out_dtype[k])
            gs[k] = untracked(zeros) if local.thread.recording else zeros
    return tuple(gs)


def _attended(node: Function, gy: Any, sink: dict[Any, Any], targets: set[Any] | None) -> Any:
    """``gy`` after hooks, retained and sunk where somebody asked for it; None past a cut."""
    marks = node.marks or {}
    if not node.several:
        gy = _marked(gy, marks.get(0), targets is None)
        if targets is not None and node in targets and gy is not None:
            sink[node] = gy
        return gy
    gs = [_marked(g, marks.get(k), targets is None) for k, g in enumerate(gy)]
    for k, g in enumerate(gs):
        if targets is not None and (node, k) in targets and g is not None:
            sink[node, k] = g
    return None if all(g is None for g in gs) else gs


def _marked(g: Any, mark: Mark | None, store: bool) -> Any:
    """A finished gradient after the hooks; None past a cut."""
    if g is None or mark is None or not (mark.cut or mark.hooks or mark.retain):
        return g
    if mark.cut:
        return None
    raw = not isinstance(g, Variable)
    finished = _finish(mark, g)
    if mark.retain and store:
        _accumulate(mark, own(finished), not raw)
    if mark.cut:  # by a hook, just now
        return None
    return finished._data if raw else finished


def _finish(mark: Mark | None, g: Any) -> Variable:
    """A gradient as the Variable that users see, after the hooks."""
    g = _array(g)
    if not isinstance(g, Variable):
        g = untracked(asarray(g))
    if mark is None or not mark.hooks:
        return g
    g = own(g)
    for hook in tuple(mark.hooks.values()):
        new = hook(g)
        if new is not None:
            new = new if isinstance(new, Variable) else Variable(new, requires_grad=False)
            if new.shape != g.shape:
                raise ValueError(f"hook {hook!r} returned shape {new.shape}, expected {g.shape}")
            g = new if new.dtype == g.dtype else new.astype(g.dtype)
    return own(g)  # a hook may have kept what it got or gave


def own(g: Any) -> Any:
    """A gradient in memory of its own, for users to keep and to write into.

    Gradients on their way share memory where the mathematics lets them: those of a + b are one array.
    """
    if isinstance(g, Deferred):  # has none yet
        return g
    if not isinstance(g, Variable):
        return g.copy("K")
    if g._edge is None:  # a leaf that the pass was started from: only an operation leads back to it
        with enable_grad():
            return g * 1.0
    copied = untracked(g._data.copy("K"))
    copied._edge = g._edge
    return copied


def _accumulate(mark: Mark, g: Variable, record: bool) -> None:
    """Add to the gradient that a mark keeps, whatever other threads add meanwhile."""
    while True:
        before = mark.grad
        total = g if before is None else _sum(before, g, record)
        with marking:  # nothing runs in here that could wait for anything
            if mark.grad is before:
                mark.grad = total
                return


def _sum(a: Variable, b: Variable, record: bool) -> Variable:
    with enable_grad():
        return a + b if record else untracked(asarray(a._data + b._data))


def _observed(instruments: Iterable[Any], node: Function, gy: Any, gxs: Any) -> tuple[Any, ...]:
    """Show the instruments what a node received and what it gives to each input."""
    given: list[Any] = []
    for edge, g in zip(node.edges or (), gxs, strict=True):
        nothing = g is None or edge.__class__ in CONSTANTS
        given.append(None if nothing else _array(_fitted(g, *edge_type(edge), node)))
    for instrument in instruments:
        instrument.backward(node, gy if node.several else (gy,), given)
    return tuple(given)


def _fitted(g: Any, shape: tuple[int, ...], dtype: Any, node: Any) -> Any:
    """``g`` in the shape and dtype of what it is the gradient of, if it can be brought there."""
    g = _array(g)
    if g.shape != shape:
        stretched = g.shape[g.ndim - len(shape) :]
        if not (
            node is not None
            and node.broadcasts
            and g.ndim >= len(shape)
            and all(n in (1, m) for n, m in zip(shape, stretched, strict=True))
        ):
            who = "the pass starts from" if node is None else f"{node.label}.backward returned"
            raise ValueError(f"{who} a gradient of shape {g.shape}, expected {shape}")
        if g.size <= SMALL and g.dtype == dtype and not isinstance(g, Variable):
            return Stretched(g, shape)
        g = sum_to(g, shape)
    return g if g.dtype == dtype else g.astype(dtype)


def _seed(who: str, y: Variable, gradient: Any) -> tuple[Any, Any]:
    """The pair (edge, gradient) to start a walk at ``y``."""
    if not y.requires_grad:
        raise RuntimeError(
            f"{who} on a Variable that does not require grad: it was not computed from any Variable that"
            " does, or under no_grad(), or it was detached"
        )
    if gradient is None:
        if y.size != 1:
            raise RuntimeError(
                f"{who} on shape {y.shape} needs the gradient to start from: sum() the result first,"
                " or pass gradient="
            )
        gradient = np.ones_like(y._data)
    shape = np.shape(gradient)
    if shape != y.shape:
        raise ValueError(f"{who} expected a gradient of shape {y.shape}, got {shape}")
    if not isinstance(gradient, Variable):
        gradient = gradient if isarray(gradient) else np.asarray(gradient)
    if gradient.dtype != y.dtype:
        gradient = gradient.astype(y.dtype)
    if gradient.__class__ is np.ndarray and gradient.strides != y._data.strides:
        given, gradient = gradient, np.empty_like(y._data)  # in one memory layout, NumPy is faster
        gradient[...] = given
    return y._edge if y._edge is not None else y, gradient


def backward(
    y: Variable, gradient: Any = None, retain_graph: bool = False, create_graph: bool = False
) -> None:
    """Add the gradient of ``y`` with respect to every leaf to ``leaf.grad``. Also ``y.backward()``.

    Args:
        gradient: what to start from, an array of y's shape; 1 for a scalar.
        retain_graph: keep the saved arrays, so that another backward pass can follow.
        create_graph: record the pass itself, for higher derivatives. The gradients then hold the
            graph, a reference cycle; prefer `grad`, which leaves nothing behind on the leaves.

    Raises:
        RuntimeError: y is a leaf or outside any graph, has more than one element and no
            ``gradient``, or the saved arrays were released by an earlier pass.
        ValueError: ``gradient`` has another shape.
    """
    if y.requires_grad and y.is_leaf:
        raise RuntimeError("backward on a leaf: it was not computed from anything; call it on a result of it")
    sink: dict[Any, Any] = {}
    seeds = [_seed("backward", y, gradient)]
    walk(seeds, sink, retain_graph=retain_graph or create_graph, create_graph=create_graph)
    for leaf in list(sink):
        deposit(leaf, own(sink.pop(leaf)), create_graph)


def reverse(who: str, y: Variable) -> dict[Variable, Any]:
    """The gradients of ``y`` as arrays of their own, by leaf; ``who`` asks."""
    sink: dict[Any, Any] = {}
    walk([_seed(who, y, None)], sink)
    # while `capture` records, arrays are of another class: what replays make of those is copied anyway
    return {leaf: asarray(_array(own(g) if g.__class__ is ndarray else g)) for leaf, g in sink.items()}


def deposit(leaf: Variable, g: Any, create_graph: bool = False) -> None:
    """Add a gradient, in memory of its own, to ``leaf.grad``, after the hooks."""
    if local.thread.reads is not None:
        local.thread.reads.grad(leaf)
    mark = leaf.mark()
    _accumulate(mark, _finish(mark, g), create_graph)


def grad(
    ys: Variable | Sequence[Variable],
    xs: Variable | Sequence[Variable],
    gradients: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
    without: Iterable[Variable] = (),
) -> Any:
    """The gradient of ``ys`` (summed) with respect to ``xs``: leaves or intermediates.

    Leaves every ``.grad`` as it is. Returns one Variable for a single x, else a list in its order.

    Args:
        gradients: what to start from, one array per y (or one for a single y); 1 for a scalar.
        create_graph: record the pass, so that the result can be differentiated again.
        retain_graph: keep the saved arrays for another pass; default: the value of create_graph.
        allow_unused: give None for an x that no y depends on, instead of raising.
        without: leave out every path that passes through one of these (a y or an x may be among them:
            paths start at the one and end at the other).

    Raises:
        RuntimeError: some x is not part of the graph of any y; see also `Variable.backward`.
    """
    one_y, one_x = isinstance(ys, Variable), isinstance(xs, Variable)
    ys_list: list[Variable] = [ys] if one_y else list(ys)  # type: ignore[list-item]
    xs_list: list[Variable] = [xs] if one_x else list(xs)  # type: ignore[list-item]
    starts = [gradients] if one_y else [None] * len(ys_list) if gradients is None else list(gradients)
    for x in xs_list:
        if not x.requires_grad:
            raise RuntimeError(f"grad with respect to {x.name or 'a Variable'} that does not require grad")
    keys = [key_of(x) for x in xs_list]
    sink: dict[Any, Any] = {}
    walk(
        [_seed("grad", y, g) for y, g in zip(ys_list, starts, strict=True)],
        sink,
        targets=set(keys),
        stops=frozenset([key_of(v) for v in without if v.requires_grad]) - {key_of(y) for y in ys_list},
        retain_graph=create_graph if retain_graph is None else retain_graph,
        create_graph=create_graph,
    )
    found: dict[Any, Variable] = {}
    result: list[Variable | None] = []
    for x, key in zip(xs_list, keys, strict=True):
        if key in found:  # the same x again
            result.append(own(found[key]))
        elif key in sink:
            found[key] = _finish(x._mark if x._edge is None else None, own(sink.pop(key)))
            result.append(found[key])
        elif allow_unused:
            result.append(None)
        else:
            raise RuntimeError(
                f"no y depends on {x.name or 'x'} of shape {x.shape}: pass allow_unused=True to get None"
            )
    return result[0] if one_x else result
