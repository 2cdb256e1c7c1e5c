"""Four ways through h_t = a_t h_{t-1} + b_t, composed of operations: one after the other, and side by side.

Two steps of such a recurrence are one: (a₁, b₁) and then (a₂, b₂) is (a₂ a₁, a₂ b₁ + b₂). Joining steps this
way is associative, so that it may be done in any order, as sums may be: the functions differ in the order.
Work is the number of products; depth is how many of them have to wait for each other, which is the time that
a machine with a core for every number takes.

    loop             T products           T deep
    hillis_steele    about 2 T log₂ T     log₂ T deep
    blelloch         about 3 T            2 log₂ T deep
    chunks           about 3 T            C + T/C deep, for chunks of C steps

All compute what `autograd.linear_scan` does, up to rounding, and have a gradient as any composition has one.
Logarithms, whose sums are products, are no fifth way: b has to be positive, and over 1000 steps of gates
around 1/2 a running sum of exp(log b - Σ log a) leaves nothing of h even in float64, a running log Σ exp four
digits in float32.
"""

import math
from collections.abc import Callable
from operator import attrgetter
from typing import Any

import numpy as np

from ..core import Operand, Value, Variable, source
from ..graph.reading import Reading, results_of
from ..modes import step
from ..ops import concatenate, reshape, stack, unstack


def loop(a: Value, b: Value, h0: Operand = 0.0) -> Value:
    """One step after the other; a and b (T, ...) of one shape, h0 of the shape of a step.

    >>> bptt.scans.loop(np.full(3, 0.5), np.ones(3), 4.0)
    array([3.  , 2.5 , 2.25])
    """
    h: Any = h0
    states = []
    for t, (a_t, b_t) in enumerate(zip(unstack(a), unstack(b), strict=True)):
        with step(t):
            h = a_t * h + b_t
        states.append(h)
    return stack(states)


def hillis_steele(a: Value, b: Value, h0: Operand = 0.0) -> Value:
    """Each step joined with that 1, 2, 4, ... before it (Hillis & Steele 1986): log₂ T rounds of T joins.

    >>> bptt.scans.hillis_steele(np.full(3, 0.5), np.ones(3), 4.0)
    array([3.  , 2.5 , 2.25])
    """
    b, reach = started(a, b, h0), 1
    while reach < len(b):
        b = concatenate([b[:reach], a[reach:] * b[:-reach] + b[reach:]])
        a = concatenate([a[:reach], a[reach:] * a[:-reach]])
        reach *= 2
    return b


def blelloch(a: Value, b: Value, h0: Operand = 0.0) -> Value:
    """Pairs of steps joined, the same again for the pairs, and the steps between filled in (Blelloch 1990).

    >>> bptt.scans.blelloch(np.full(3, 0.5), np.ones(3), 4.0)
    array([3.  , 2.5 , 2.25])
    """
    return of_pairs(a, started(a, b, h0))


def of_pairs(a: Any, b: Any) -> Any:
    """All h_t, from h_0 = b_0."""
    if len(b) == 1:
        return b
    whole = len(b) // 2 * 2
    a_even, a_odd, b_even, b_odd = a[0:whole:2], a[1:whole:2], b[0:whole:2], b[1:whole:2]
    odd = of_pairs(a_odd * a_even, a_odd * b_even + b_odd)
    even = concatenate([b[:1], a[2::2] * odd[: (len(b) - 1) // 2] + b[2::2]])
    h = reshape(stack([even[: whole // 2], odd], 1), (whole, *b.shape[1:]))
    return concatenate([h, even[-1:]]) if whole < len(b) else h


def chunks(a: Value, b: Value, h0: Operand = 0.0, size: int = 16) -> Value:
    """Chunks of ``size`` steps side by side, then a loop from chunk to chunk, then the states within.

    Raises:
        ValueError: chunks have no step.

    >>> bptt.scans.chunks(np.full(3, 0.5), np.ones(3), 4.0, size=2)
    array([3.  , 2.5 , 2.25])
    """
    if size < 1:
        raise ValueError(f"chunks expected a size of at least 1 step, got {size}")
    T, row = len(b), b.shape[1:]
    count = -(-T // size)
    if rest := count * size - T:  # steps that change nothing
        a = concatenate([a, np.ones((rest, *row), a.dtype)])
        b = concatenate([b, np.zeros((rest, *row), b.dtype)])
    a_each, b_each = (unstack(reshape(x, (count, size, *row)), 1) for x in (a, b))
    a_so_far: Any = a_each[0]
    b_so_far: Any = b_each[0]
    products, sums = [a_so_far], [b_so_far]
    for a_k, b_k in zip(a_each[1:], b_each[1:], strict=True):
        a_so_far, b_so_far = a_k * a_so_far, a_k * b_so_far + b_k
        products.append(a_so_far)
        sums.append(b_so_far)
    h: Any = np.zeros(row, b.dtype) + h0
    before = []
    for a_c, b_c in zip(unstack(a_so_far), unstack(b_so_far), strict=True):
        before.append(h)
        h = a_c * h + b_c
    within = stack(products, 1) * reshape(stack(before), (count, 1, *row)) + stack(sums, 1)
    return reshape(within, (count * size, *row))[:T]


def work_and_depth(way: Callable[..., Any], T: int) -> tuple[int, int]:
    """How many products ``way`` makes in T steps, and how many stand one behind the other, by its graph.

    >>> for way in bptt.scans.WAYS.values():
    ...     print(way.__name__, *bptt.scans.work_and_depth(way, 64))
    loop 64 64
    hillis_steele 611 7
    blelloch 183 13
    chunks 187 19
    """
    y = way(Variable(np.full(T, 0.5)), Variable(np.ones(T)))
    nodes: Any = sorted(Reading(results_of(y)).sources, key=attrgetter("number"))
    work, behind = 0, dict[Any, int]()
    for node in nodes:
        product = node.label == "Mul"
        work += math.prod(node.out_shape) if product else 0
        behind[node] = product + max([behind.get(source(edge)[0], 0) for edge in node.edges], default=0)
    return work, max(behind.values())


def started(a: Any, b: Any, h0: Operand) -> Any:
    """b with h_0 in the place of b_0."""
    return concatenate([a[:1] * h0 + b[:1], b[1:]])


WAYS: dict[str, Callable[..., Value]] = {
    "loop": loop,
    "Hillis-Steele": hillis_steele,
    "Blelloch": blelloch,
    "chunks": chunks,
}
