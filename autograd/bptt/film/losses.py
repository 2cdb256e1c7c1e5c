"""Which losses a loss is the sum of, and from where the backward pass of each alone starts."""

from typing import Any

import numpy as np

from ...core import SCALARS, Array, Function, Variable, as_array, edge_type, source
from ...engine import joined, walk
from ...ops.elementwise import Add, Div, Mul, Sub
from ...ops.reduce import Sum
from ...ops.shape import Stack

Seeds = list[tuple[Any, Array]]  # edges and gradients, for `walk`


def losses_of(loss: Variable, nodes: list[Function], whole: Any) -> list[tuple[int, Seeds]]:
    """What a loss is the sum of: numbers, and seeds for the pass of each alone; [] if it is one loss.

    The terms of a sum of numbers; else what arrives at the states of each step that are stacked into the
    output of a loop, L_t being the part of the loss that comes in by h_t.
    """
    terms = terms_of(loss.creator)
    if len(terms) < 2:
        entries = _entries(nodes, whole)
        return sorted(entries.items()) if len(entries) > 1 else []
    arrived = {frame.node: frame.gys for frame in whole.frames}
    ends = [source(edge) for edge in terms]
    return [
        (t, [(edge, arrived[node][k])]) for t, (edge, (node, k)) in enumerate(zip(terms, ends, strict=True))
    ]


def terms_of(node: Function | None) -> list[Any]:
    """The edges to the terms of a sum of numbers, the first first, behind a factor if there is one."""
    return [edge for edge, _ in signed_terms(node)]


def signed_terms(node: Function | None) -> list[tuple[Any, bool]]:
    """The same with whether each is added; else it is subtracted, as where log p is taken off a loss."""
    while isinstance(node, Mul | Div) and any(e.__class__ in SCALARS for e in node.edges):
        node, _ = source(next(e for e in node.edges if e.__class__ not in SCALARS))
    if isinstance(node, Sum) and isinstance(node.edges[0], Stack):
        node = node.edges[0]
        if edge_type(node.edges[0])[0] != ():
            return []
        return [(e, True) for e in node.edges if isinstance(source(e)[0], Function)]
    found: list[tuple[Any, bool]] = []
    waiting: list[tuple[Any, bool]] = [(node, True)]
    while waiting:  # the last first
        edge, is_added = waiting.pop()
        if isinstance(edge, Add | Sub) and np.prod(edge.out_shape) == 1:
            first, second = edge.edges
            waiting += [(first, is_added), (second, is_added == isinstance(edge, Add))]
        elif isinstance(source(edge)[0], Function):
            found.append((edge, is_added))
    return found[::-1]


def _entries(nodes: list[Function], whole: Any) -> dict[int, Seeds]:
    """Step -> where the loss comes in there, and with what: inputs of the stacks that lead to no step."""
    leads_on: set[Function] = set()  # to a node in a step
    for node in reversed(nodes):
        if node in leads_on or node.place.step is not None:
            leads_on.update([source(e)[0] for e in node.edges if isinstance(source(e)[0], Function)])
    found: dict[int, Seeds] = {}
    for frame in whole.frames:
        if isinstance(frame.node, Stack) and frame.node not in leads_on:
            for edge, g in zip(frame.places, frame.gxs, strict=True):
                node, _ = source(edge)
                if isinstance(node, Function) and node.place.step is not None and g is not None:
                    found.setdefault(node.place.step, []).append((edge, g))
    return found


def adds_up(seeds: Seeds, whole: Any, leaves: set[Variable]) -> bool:
    """Do passes from these seeds add up to the whole one, at the weights that are used in steps?"""
    sink: dict[Any, Any] = {}
    walk(seeds, sink, targets=leaves, retain_graph=True)
    for leaf, uses in whole.uses.items():
        if any(whole.frames[i].node.place.step is None for i, _ in uses):
            continue
        total = sum([g for _, g in uses])
        given = as_array(joined(sink[leaf])) if leaf in sink else np.zeros(leaf.shape)
        if not np.allclose(given, total, rtol=1e-3, atol=1e-5 * float(np.abs(total).max(initial=0.0))):
            return False
    return True
