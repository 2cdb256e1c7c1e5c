"""Checkpointing: trade time for memory by computing a part of the graph again on the way back."""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np

from .core import Function, Variable
from .engine import key_of, walk
from .modes import enable_grad, local, no_grad

Rng = np.random.Generator
Y = TypeVar("Y")  # a Variable or a tuple of them


class Checkpoint(Function):
    """fn(*xs), keeping only xs: backward builds the graph of fn again, walks it and drops it."""

    symbol, rule = "checkpoint", "fn again, then its backward"
    has_hidden_inputs = True  # fn may use parameters that are not among xs

    def __init__(self, fn: Callable[..., Any], rngs: Iterable[Rng]):
        self.fn = fn
        self.rngs = [(rng, rng.bit_generator.state) for rng in rngs]

    def forward(self, *xs):
        with no_grad():
            y = self.fn(*[Variable(x, requires_grad=False) if hasattr(x, "dtype") else x for x in xs])
        return tuple([part.data for part in y]) if isinstance(y, tuple) else y.data

    def backward(self, gy, *xs):
        create_graph = local.thread.recording
        if not create_graph:  # arrays: leaves of a graph of their own
            xs = tuple([Variable(x, self.needs(i)) if hasattr(x, "dtype") else x for i, x in enumerate(xs)])
        y = self._again(xs)
        seeds = zip(y, gy, strict=True) if isinstance(y, tuple) else [(y, gy)]
        starts = [(key_of(part), g) for part, g in seeds if part.requires_grad]
        keys = [key_of(x) if isinstance(x, Variable) and x.requires_grad else None for x in xs]
        ends = frozenset(key for key in keys if key is not None)
        sink: dict[Any, Any] = {}
        outer = local.thread.sink
        walk(starts, sink, stops=ends, retain_graph=create_graph, create_graph=create_graph)
        gxs = tuple([None if key is None else sink.pop(key, None) for key in keys])
        for leaf, g in sink.items():  # leaves that fn takes from around it
            outer[leaf] = g if outer.get(leaf) is None else outer[leaf] + g
        return gxs

    def _again(self, xs):
        """Call fn a second time, with the random numbers of the first."""
        now = [(rng, rng.bit_generator.state) for rng, _ in self.rngs]
        try:
            for rng, state in self.rngs:
                rng.bit_generator.state = state
            with enable_grad():
                return self.fn(*xs)
        finally:
            for rng, state in now:
                rng.bit_generator.state = state


def checkpoint(fn: Callable[..., Y], *xs: Any, rng: Rng | Iterable[Rng] = ()) -> Y:
    """fn(*xs) with the same values and gradients, but without keeping what fn computes in between.

    Args:
        fn: takes Variables, gives a Variable or a tuple of them; called again in the backward pass, so it
            must compute the same both times. Parameters that it takes from around it get their
            gradients too.
        rng: the generators fn draws from; they are set back for the second call.

    >>> f = lambda x: ag.tanh(ag.exp(x))
    >>> x = Variable([0.0, 1.0])
    >>> y = ag.checkpoint(f, x)
    >>> y, np.array_equal(ag.grad(y.sum(), x).data, ag.grad(f(x).sum(), x).data)
    (Variable([0.7616, 0.9913], creator=Checkpoint), True)
    """
    return Checkpoint(fn, [rng] if isinstance(rng, Rng) else rng)(*xs)
