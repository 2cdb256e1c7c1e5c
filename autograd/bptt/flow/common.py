"""Shared by the tables: checks of arguments, and states behind a stack."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...core import Array, Function, Variable, edge_type, source
from ...engine import _ancestors, key_of
from ...ops.shape import Contiguous, Flip, Index, Reshape, Split, Stack, Transpose, Unstack, parts_of

MOVES = Contiguous, Flip, Index, Reshape, Split, Transpose, Unstack


def nodes_behind(who: str, results: Sequence[Variable], names: Iterable[str]) -> list[Function]:
    """All nodes behind ``results``, the first made first.

    Raises:
        RuntimeError: a result is outside any graph, or an earlier pass released what was saved.
    """
    for y, name in zip(results, names, strict=True):
        if not y.requires_grad or y.is_leaf:
            raise RuntimeError(
                f"{who}: {name} was not computed from anything that requires grad: compute it outside of"
                " no_grad(), without detach(), from Variables"
            )
    nodes = _ancestors([key_of(y) for y in results])
    for node in nodes:
        if node.saved is None:
            raise RuntimeError(
                f"{who}: an earlier backward pass released what {node.describe()} had saved: call {who}"
                " before backward(), pass retain_graph=True to backward(), or compute the result again"
            )
    return nodes


def leaves_of(nodes: Iterable[Function]) -> set[Variable]:
    """The leaves that require grad. A walk with these as targets leaves ``.grad`` of intermediates alone."""
    return {edge for node in nodes for edge in node.edges if isinstance(edge, Variable)}


def scalar_losses(who: str, losses: Variable | Sequence[Variable]) -> list[Variable]:
    """One Variable of one element per loss; a Variable with one axis is taken apart."""
    given = list(losses) if not isinstance(losses, Variable) or losses.ndim else [losses]
    if not given:
        raise ValueError(f"{who} expected at least one loss, got none")
    for t, loss in enumerate(given):
        if not isinstance(loss, Variable):
            raise TypeError(f"{who} expected Variables, got {type(loss).__name__} for loss {t}")
        if loss.size != 1:
            raise ValueError(
                f"{who} expected losses of one element, got shape {loss.shape} for loss {t}: sum() it"
            )
    return given


# --- states behind a stack ----------------------------------------------------------------------


def state_behind(edge: Any) -> Any:
    """The edge of the stacked array that ``edge`` reads out again; else ``edge`` itself.

    A loop stacks its states into y, and goes on from the states. y[t] and the parts that `unstack` gives
    have their values, but nothing was computed from them: as a state y[t] would seem to lead nowhere.
    """
    while (found := read_out(edge)) is not None and (source := input_at(*found)) is not None:
        edge = source
    return edge


def read_out(edge: Any) -> tuple[Stack, Array, Array] | None:
    """The stack whose elements ``edge`` only moves or chooses from; None if there is none.

    With it two arrays of the shape of ``edge``: for each element the number of the stack's input that it
    comes from, and its flat position in that input.
    """
    moves = []
    node, k = source(edge)
    while isinstance(node, MOVES) and node.edges and node.saved is not None:
        moves.append((node, k))
        (edge,) = node.edges
        node, k = source(edge)
    if not isinstance(node, Stack) or not node.edges:
        return None
    count, shape = len(node.edges), edge_type(node.edges[0])[0]
    inputs = np.arange(count).reshape(count, *[1] * len(shape))
    places = np.arange(math.prod(shape)).reshape(shape)
    both = [np.moveaxis(np.broadcast_to(a, (count, *shape)), 0, node.axis) for a in (inputs, places)]
    for move, k in reversed(moves):
        both = [_moved(move, k, a) for a in both]
    return node, both[0], both[1]


def _moved(move: Function, k: int, x: Array) -> Array:
    """Output ``k`` of a node that moves elements, for ``x`` as its input."""
    if isinstance(move, Index):
        return np.asarray(x[move.saved[0]])  # type: ignore[index]
    if isinstance(move, Unstack):
        return np.moveaxis(x, move.axis, 0)[k]
    if isinstance(move, Split):
        return x[parts_of(move.ends, move.axis, x.ndim)[k]]
    return move.forward(x)


def input_at(stack: Stack, inputs: Array, places: Array) -> Any:
    """The input of a stack that consists of exactly these elements, in their order; None if none does."""
    edges: Any = stack.edges
    size = math.prod(edge_type(edges[0])[0])
    if inputs.size != size or not size or np.any(inputs != inputs.flat[0]):
        return None
    return edges[inputs.flat[0]] if np.array_equal(places.ravel(), np.arange(size)) else None
