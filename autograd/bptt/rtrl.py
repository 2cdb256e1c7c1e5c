"""Three ways to one gradient of a recurrent network, from the same unchanged step.

    step(t, state) -> (state, loss)      one step of any model: a cell, a loss, all that lies between

`bptt` goes back in time over the unrolled graph, `rtrl` carries the derivative of the state forward with
the state (Williams & Zipser 1989), `finite_differences` only evaluates. They check one another, as they
share nothing but the step. A state is a Variable or a nest of tuples of Variables.
"""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import modes
from ..core import Array, Variable
from ..engine import grad
from .plotting import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

State = Any  # a Variable, or a nest of tuples and lists of Variables
Step = Callable[[int, State], tuple[State, Variable]]


def bptt(step: Step, state: State, T: int, params: Sequence[Variable]) -> list[Array]:
    """The gradient of the sum of all losses: reverse mode over the whole unrolled graph.

    Memory grows with T; it takes the time of a few forward passes.

    >>> w = Variable(0.5)
    >>> def step(t, h):
    ...     h = w * h
    ...     return h, h * 1.0
    >>> bptt.rtrl.bptt(step, Variable(1.0), 3, [w])  # of w + w² + w³: 1 + 2 w + 3 w²
    [array(2.75)]
    """
    losses = []
    for t in range(T):
        with modes.step(t):
            state, loss = step(t, state)
        losses.append(loss)
    starts = [loss for loss in losses if loss.requires_grad]
    gs = grad(starts, params, retain_graph=True, allow_unused=True)  # a graph behind the state stays usable
    return [np.zeros_like(p.data) if g is None else g.data for p, g in zip(params, gs, strict=True)]


def rtrl(step: Step, state: State, T: int, params: Sequence[Variable]) -> list[Array]:
    """The gradient of `bptt` by real-time recurrent learning, which never goes back in time.

    With s_t the state as one vector of n elements and θ all P parameters as one,

        M_t = ∂s_t/∂s_{t-1} M_{t-1} + ∂s_t/∂θ            (n, P), the derivative ds_t/dθ
        dL/dθ = Σ_t  ∂L_t/∂s_{t-1} M_{t-1} + ∂L_t/∂θ

    where ∂ is immediate, within one step. Memory does not depend on T; a step costs n + 1 backward passes
    through itself and a product of (n, n) with (n, P). ``step`` may use Variables of earlier steps only
    through its state.

    >>> w = Variable(0.5)
    >>> def step(t, h):
    ...     h = w * h
    ...     return h, h * 1.0
    >>> bptt.rtrl.rtrl(step, Variable(1.0), 3, [w])  # of w + w² + w³: 1 + 2 w + 3 w²
    [array(2.75)]
    """
    _, M = _jacobians(floats_of(state), [], params)  # zero, unless the state was computed from parameters
    total = np.zeros(M.shape[1])
    for t in range(T):
        fresh = map_state(lambda s: Variable(s.data), state)
        with modes.step(t):
            state, loss = step(t, fresh)
        old = floats_of(fresh)
        by_state, by_params = _jacobians([loss], old, params)
        total += (by_state @ M + by_params)[0]
        by_state, by_params = _jacobians(floats_of(state), old, params)
        M = by_state @ M + by_params
    ends = np.cumsum([p.size for p in params])
    return [g.reshape(p.shape) for g, p in zip(np.split(total, ends[:-1]), params, strict=True)]


def finite_differences(
    step: Step, state: State, T: int, params: Sequence[Variable], eps: float = 1e-4
) -> list[Array]:
    """The gradient of `bptt` by evaluation alone: (8 (L₊₁ - L₋₁) - (L₊₂ - L₋₂)) / 12ε for every element.

    L₊ₖ is the sum of the losses with the element moved by kε. The error is of order ε⁴; in float64 and for
    losses around 1 about ten digits remain. It takes four forward passes per element.

    >>> w = Variable(0.5)
    >>> def step(t, h):
    ...     h = w * h
    ...     return h, h * 1.0
    >>> bptt.rtrl.finite_differences(step, Variable(1.0), 3, [w])  # of w + w² + w³: 1 + 2 w + 3 w²
    [array(2.75)]
    """

    def run() -> float:
        with modes.no_grad():
            now, losses = state, 0.0
            for t in range(T):
                with modes.step(t):
                    now, loss = step(t, now)
                losses += float(loss)
        return losses

    result = []
    for p in params:
        original, g = p.data, np.zeros(p.shape)
        try:
            for i in np.ndindex(p.shape):
                values = {}
                for k in (-2, -1, 1, 2):
                    moved = np.array(original)
                    moved[i] += k * eps
                    p.data = moved
                    values[k] = run()
                g[i] = (8 * (values[1] - values[-1]) - (values[2] - values[-2])) / (12 * eps)
        finally:
            p.data = original
        result.append(g)
    return result


@dataclass(frozen=True)
class Memory:
    """Peak memory in bytes by the number of steps, from `memory`.

    >>> found = bptt.rtrl.Memory([10, 20], bptt=[3000, 6000], rtrl=[900, 900])
    >>> found.plot().get_ylabel()
    'peak memory in KB'
    """

    lengths: list[int]
    bptt: list[int]
    rtrl: list[int]

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Both against T. Returns matplotlib axes."""
        ax = axes(ax)
        ax.plot(self.lengths, np.array(self.bptt) / 1e3, "o-", label="bptt: grows with T")
        ax.plot(self.lengths, np.array(self.rtrl) / 1e3, "s-", label="rtrl: a matrix dh/dθ, whatever T")
        ax.set(xlabel="steps T", ylabel="peak memory in KB", ylim=(0, None))
        ax.legend()
        return ax


def memory(step: Step, state: State, lengths: Sequence[int], params: Sequence[Variable]) -> Memory:
    """What `bptt` and `rtrl` take at their peak, beyond what was there before, for several numbers of steps.

    It counts what Python and NumPy allocate (`tracemalloc`), so that it takes some times as long as both.

    >>> w = Variable(0.5)
    >>> found = bptt.rtrl.memory(lambda t, h: (w * h, h * 1.0), Variable(1.0), [20, 200], [w])
    >>> found.bptt[1] > 5 * found.bptt[0], found.rtrl[1] - found.rtrl[0] < found.bptt[1] / 5
    (True, True)
    """

    def peak(method: Callable[..., object], T: int) -> int:
        gc.collect()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        method(step, state, T, params)
        return tracemalloc.get_traced_memory()[1] - before

    was_tracing = tracemalloc.is_tracing()
    if not was_tracing:
        tracemalloc.start()
    try:
        for method in (bptt, rtrl):
            method(step, state, 1, params)  # what is made once and kept does not count
        found = Memory(list(lengths), [peak(bptt, T) for T in lengths], [peak(rtrl, T) for T in lengths])
    finally:
        if not was_tracing:
            tracemalloc.stop()
    return found


def _jacobians(
    ys: Sequence[Variable], states: Sequence[Variable], params: Sequence[Variable]
) -> tuple[Array, Array]:
    """The Jacobians of all elements of ``ys`` by the states and by the parameters, as matrices."""
    xs = [*states, *params]
    rows = []
    for y in ys:
        for i in range(y.size):
            seed = np.zeros_like(y.data)
            seed.flat[i] = 1.0
            gs: list[Any] = [None] * len(xs)
            if y.requires_grad:
                gs = grad(y, xs, gradients=seed, retain_graph=True, allow_unused=True)
            flat = [np.zeros(x.size) if g is None else g.data.ravel() for x, g in zip(xs, gs, strict=True)]
            rows.append(np.concatenate(flat))
    n = sum(s.size for s in states)
    jacobian = np.stack(rows)
    return jacobian[:, :n], jacobian[:, n:]


# --- states ---------------------------------------------------------------------------------------


def parts_of(state: State) -> list[Variable]:
    """The Variables of a state, in order."""
    if isinstance(state, tuple | list):
        return [part for item in state for part in parts_of(item)]
    return [state]


def floats_of(state: State) -> list[Variable]:
    """The Variables of a state that can have a derivative; a count of steps has none."""
    return [part for part in parts_of(state) if part.dtype.kind == "f"]


def map_state(fn: Callable[[Variable], Any], state: State) -> State:
    """The nest ``state`` with ``fn`` applied to every Variable."""
    if isinstance(state, tuple | list):
        return type(state)([map_state(fn, item) for item in state])
    return fn(state)
