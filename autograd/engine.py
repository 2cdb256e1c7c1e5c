"""Reverse mode: the walk from results back to leaves, and its two faces `backward` and `grad`.

Nodes carry the order in which they were made, so a parent always has a smaller number than its
children. Going through the nodes from the largest number to the smallest, the gradient of a node's
output is complete when its turn comes. That is all; everything else here is bookkeeping.
"""

from collections.abc import Iterable, Sequence
from copy import copy
from operator import attrgetter
from typing import Any, Literal, NoReturn, overload

import numpy as np

from .core import (
    CONSTANTS,
    Annotations,
    Function,
    Slot,
    Variable,
    alike,
    annotating,
    asarray,
    data_of,
    edge_type,
    isarray,
    ndarray,
    untracked,
)
from .deferred import Deferred, sum_to
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
    nodes = _ancestors([edge for edge, _ in seeds], stops)
    arrived = Arrived(nodes, sink, targets, stops)  # before the nodes are taken one by one
    outer = local.thread
    try:
        local.thread = thread = copy(outer)  # the modes of this pass
        thread.recording, thread.sink, thread.pass_cache = create_graph, sink, {}
        arrived.add([edge for edge, _ in seeds], [_seed_of(g, create_graph) for _, g in seeds])
        while nodes:
            node = nodes.pop()  # whatever used its outputs had larger numbers: its gradient is complete
            gy = arrived.take(node)
            if gy is None:
                continue
            thread.place = node.place.back() if create_graph else node.place
            try:
                gxs = (
                    node.backward(gy, *(node.values_as_variables() if create_graph else node.values()))
                    if thread.meter is None
                    else thread.meter.backward(node, gy)
                )
                if gxs.__class__ is not tuple:
                    gxs = (gxs,) if gxs.__class__ is not list else _refused(node, "a list")
                if thread.instruments:
                    gxs = _observed(thread.instruments, node, gy, gxs)
                arrived.add(node.edges, gxs, node)
            except Exception as error:
                error.add_note(f"in the backward pass of {node.describe()}")
                raise
            if not retain_graph:
                node.saved = None
    finally:
        local.thread = outer


class Arrived:
    """The gradients that have arrived so far, summed up by edge, and which edges matter to a pass."""

    __slots__ = ("alive", "passing", "sink", "stops", "sums", "targets")

    def __init__(
        self, nodes: list[Function], sink: dict[Any, Any], targets: set[Any] | None, stops: frozenset[Any]
    ):
        self.sums: dict[Any, Any] = {}  # of nodes and slots; those of leaves and stops are in the sink
        self.sink, self.targets, self.stops = sink, targets, stops
        self.alive: set[Any] | None = None
        if targets is not None:
            self.alive, self.passing = _on_paths(nodes, targets)

    def add(self, edges: Sequence[Any], gs: Sequence[Any], node: Function | None = None) -> None:
        """Add what ``node`` gives to its edges, each in the shape and dtype of what the edge stands for."""
        if len(gs) != len(edges) and node is not None:
            _refused(node, f"{len(gs)}")
        for edge, g in zip(edges, gs):  # noqa: B905 (strict= costs a tenth of a pass)
            if g is None or edge.__class__ in CONSTANTS:
                continue
            if self.alive is not None and edge not in self.alive:
                continue
            if isinstance(edge, Function):  # nearly always: what edge_type would say
                shape, dtype, sums = edge.out_shape, edge.out_dtype, self.sums
            else:
                (shape, dtype), sums = edge_type(edge), self.sink if isinstance(edge, Variable) else self.sums
            if self.stops and edge in self.stops:  # the pass ends here as it does at a leaf
                sums = self.sink
            if g.shape != shape or (g.dtype is not dtype and g.dtype != dtype):
                g = unbroadcast(g, shape, dtype, node)
            before = sums.get(edge)
            sums[edge] = g if before is None else before + g

    def take(self, node: Function) -> Any:
        """The finished gradient of a node, after hooks and cuts; None if the pass does not go through it. Of
        several outputs a tuple, with zeros for the unused ones, so that no operation has to invent them."""
        if node.multi_output:
            outputs = range(len(node.out_dtype))  # below, (node, k) is the key Slot(node, k), made faster
            gys = [self._finish(node, k, self.sums.pop((node, k), None)) for k in outputs]
            if (like := next((gy for gy in gys if gy is not None), None)) is None:
                return None
            return tuple([_zeros(node, k, like) if gy is None else gy for k, gy in enumerate(gys)])
        gy = self.sums.pop(node, None)
        if gy.__class__ is ndarray and self.targets is None and not node.annotations:
            return gy  # nearly always there is nothing left to do
        return self._finish(node, 0, gy)

    def _finish(self, node: Function, k: int, gy: Any) -> Any:
        """What has arrived at output ``k``, joined, after hooks, and handed in if it is a target."""
        gy = joined(gy)
        if gy is not None and k in node.annotations:
            gy = apply_annotations(node.annotations[k], gy, self.targets is None)
        if self.targets is not None and gy is not None:
            edge = Slot(node, k) if node.multi_output else node
            if edge in self.targets:
                self.sink[edge] = gy
            if node not in self.passing:
                return None
        return gy


def _refused(node: Function, got: str) -> NoReturn:
    expected = f"a tuple of {len(node.edges)}, a gradient or None for each input"
    raise ValueError(f"{node.label}.backward expected to return {expected}, got {got}")


def _seed_of(g: Any, create_graph: bool) -> Any:
    """A gradient to start from as an array, or as a Variable for a pass that records."""
    if not create_graph:
        return data_of(g)
    if not isinstance(g, Variable):
        g = untracked(g)
        if g.size == 1 and g.item() == 1.0:
            g.name = "1"  # dL/dL, to a drawing
    return g


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
    """Two sets for a pass that goes to targets alone: ``alive``, the edges and nodes whose gradient is
    wanted, as they are targets or a path leads from them to one; and ``passing``, the nodes on such a path,
    whose backward has to run. A target from which no path leads on is alive and not passing."""
    alive, passing = set(targets), set()
    alive.update(target.node for target in targets if target.__class__ is Slot)
    for node in nodes:
        if node.has_hidden_inputs or any(edge in alive for edge in node.edges):
            passing.add(node)
            alive.add(node)
            if node.multi_output:
                alive.update(Slot(node, k) for k in range(len(node.out_dtype)))
    return alive, passing


def key_of(x: Variable) -> Any:
    """The key of a Variable's gradient in a walk: its edge, or the Variable itself for a leaf."""
    return x if x._edge is None else x._edge


def joined(g: Any) -> Any:
    """A gradient as an array: a deferred sum is computed, anything else is one already."""
    return g.array() if isinstance(g, Deferred) else g


def _zeros(node: Function, k: int, like: Any) -> Any:
    zeros = alike(np.zeros(node.out_shape[k], node.out_dtype[k]), like)
    return untracked(zeros) if local.thread.recording else zeros


def apply_annotations(notes: Annotations, g: Any, keep: bool) -> Any:
    """A finished gradient after the hooks, kept where somebody asked for that; None past a cut."""
    if notes.cut:
        return None
    finished = apply_hooks(notes, g)
    if notes.retain and keep:
        _accumulate(notes, own(finished), isinstance(g, Variable))
    if notes.cut:  # by a hook, just now
        return None
    return finished if isinstance(g, Variable) else finished._data


def apply_hooks(notes: Annotations | None, g: Any) -> Variable:
    """A gradient as the Variable that users see, after the hooks."""
    g = joined(g)
    if not isinstance(g, Variable):
        g = untracked(asarray(g))
    if notes is None or not notes.hooks:
        return g
    g = own(g)
    for hook in tuple(notes.hooks.values()):
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


def _accumulate(notes: Annotations, g: Variable, record: bool) -> None:
    """Add to the gradient that annotations keep, whatever other threads add meanwhile."""
    while True:
        before = notes.grad
        total = g if before is None else _sum(before, g, record)
        with annotating:  # nothing runs in here that could wait for anything
            if notes.grad is before:
                notes.grad = total
                return


def _sum(a: Variable, b: Variable, record: bool) -> Variable:
    with enable_grad():
        return a + b if record else untracked(asarray(a._data + b._data))


def _observed(instruments: Iterable[Any], node: Function, gy: Any, gxs: Any) -> tuple[Any, ...]:
    """Show the instruments what a node received and what it gives to each input."""
    given: list[Any] = []
    if len(gxs) != len(node.edges):
        _refused(node, f"{len(gxs)}")
    for edge, g in zip(node.edges, gxs, strict=True):
        nothing = g is None or edge.__class__ in CONSTANTS
        given.append(None if nothing else joined(unbroadcast(g, *edge_type(edge), node)))
    for instrument in instruments:
        instrument.backward(node, gy if node.multi_output else (gy,), given)
    return tuple(given)


def unbroadcast(g: Any, shape: tuple[int, ...], dtype: Any, node: Any) -> Any:
    """``g`` in the shape and dtype of what it is the gradient of, if it can be brought there."""
    g = joined(g)
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

    >>> w = Variable(3.0)
    >>> for _ in range(2):
    ...     ag.backward(w * w)
    >>> w.grad.item()  # 2 w, added up over two passes
    12.0
    """
    if y.requires_grad and y.is_leaf:
        raise RuntimeError("backward on a leaf: it was not computed from anything; call it on a result of it")
    sink: dict[Any, Any] = {}
    seeds = [_seed("backward", y, gradient)]
    walk(seeds, sink, retain_graph=retain_graph or create_graph, create_graph=create_graph)
    for leaf in list(sink):
        accumulate_grad(leaf, own(sink.pop(leaf)), create_graph)


def reverse(who: str, y: Variable) -> dict[Variable, Any]:
    """The gradients of ``y`` as arrays of their own, by leaf; ``who`` asks."""
    sink: dict[Any, Any] = {}
    walk([_seed(who, y, None)], sink)
    # while `capture` records, arrays are of another class: what replays make of those is copied anyway
    return {leaf: asarray(joined(own(g) if g.__class__ is ndarray else g)) for leaf, g in sink.items()}


def accumulate_grad(leaf: Variable, g: Any, create_graph: bool = False) -> None:
    """Add a gradient, in memory of its own, to ``leaf.grad``, after the hooks."""
    if local.thread.reads is not None:
        local.thread.reads.grad(leaf)
    notes = leaf.annotate()
    _accumulate(notes, apply_hooks(notes, g), create_graph)


Variables = Variable | Sequence[Variable]


@overload
def grad(
    ys: Variables, xs: Variable, gradients: Any = None, create_graph: bool = False,
    retain_graph: bool | None = None, allow_unused: Literal[False] = False, without: Iterable[Variable] = (),
) -> Variable: ...  # fmt: skip
@overload
def grad(
    ys: Variables, xs: Sequence[Variable], gradients: Any = None, create_graph: bool = False,
    retain_graph: bool | None = None, allow_unused: Literal[False] = False, without: Iterable[Variable] = (),
) -> list[Variable]: ...  # fmt: skip
@overload
def grad(
    ys: Variables, xs: Variable, gradients: Any = None, create_graph: bool = False,
    retain_graph: bool | None = None, *, allow_unused: bool, without: Iterable[Variable] = (),
) -> Variable | None: ...  # fmt: skip
@overload
def grad(
    ys: Variables, xs: Sequence[Variable], gradients: Any = None, create_graph: bool = False,
    retain_graph: bool | None = None, *, allow_unused: bool, without: Iterable[Variable] = (),
) -> list[Variable | None]: ...  # fmt: skip
def grad(
    ys: Variables,
    xs: Variables,
    gradients: Any = None,
    create_graph: bool = False,
    retain_graph: bool | None = None,
    allow_unused: bool = False,
    without: Iterable[Variable] = (),
) -> Variable | None | list[Variable] | list[Variable | None]:
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

    >>> x = Variable(3.0)
    >>> first = ag.grad(x**3, x, create_graph=True)
    >>> first.item(), ag.grad(first, x).item()  # 3 x², 6 x
    (27.0, 18.0)
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
            found[key] = apply_hooks(x._annotations if x._edge is None else None, own(sink.pop(key)))
            result.append(found[key])
        elif allow_unused:
            result.append(None)
        else:
            raise RuntimeError(
                f"no y depends on {x.name or 'x'} of shape {x.shape}: pass allow_unused=True to get None"
            )
    return result[0] if one_x else result
