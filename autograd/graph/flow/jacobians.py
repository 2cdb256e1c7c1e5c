"""How one state depends on another: all Jacobians dh_t/dh_k, whose norms tell if gradients vanish.

    dh_t/dh_k = ∏_{k < j <= t} dh_j/dh_{j-1}

for a state that depends on the one before alone. The product shrinks or grows geometrically with the lag
when the largest singular value, or in the long run the spectral radius, of its factors stays below or
above 1 (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core import Function, Variable, edge_type
from ...engine import key_of, walk
from ...ops.shape import Stack
from .common import heatmap, nodes_behind, settled


@dataclass(frozen=True)
class Chain:
    """All Jacobians between states; n elements per state.

    Attributes:
        jacobians: (rows, T, n, n); [r, k] is dh_t/dh_k for t = times[r], zero where k > t.
        times: (rows,), the positions t that were asked for.
    """

    jacobians: np.ndarray
    times: np.ndarray

    @property
    def singular_values(self) -> np.ndarray:
        """(rows, T, n), the largest first."""
        return np.linalg.svd(self.jacobians, compute_uv=False)

    @property
    def norms(self) -> np.ndarray:
        """(rows, T): the largest singular value, how much a gradient can grow on its way."""
        return self.singular_values.max(axis=-1)

    @property
    def spectral_radii(self) -> np.ndarray:
        """(rows, T): the largest absolute eigenvalue."""
        return np.abs(np.linalg.eigvals(self.jacobians)).max(axis=-1)

    def __sub__(self, other: "Chain") -> "Chain":
        """All paths without those of ``other``: ``jacobian_chain(cs) - jacobian_chain(cs, without=hs)``."""
        if not np.array_equal(self.times, other.times) or self.jacobians.shape != other.jacobians.shape:
            raise ValueError("the difference of two chains needs the same states and times in both")
        return Chain(self.jacobians - other.jacobians, self.times)

    def plot(self, ax: Any = None) -> Any:
        """A heatmap of the norms: t down, k to the right. Returns matplotlib axes."""
        columns = range(self.jacobians.shape[1])
        ax = heatmap(ax, self.norms, columns, list(self.times), "‖dh_t/dh_k‖₂")
        ax.set(xlabel="state k", ylabel="state t")
        return ax


def jacobian_chain(
    hs: Variable | Sequence[Variable],
    *,
    at: Sequence[int] | None = None,
    without: Variable | Iterable[Variable] = (),
) -> Chain:
    """The Jacobians dh_t/dh_k between all states, one backward pass per element of each h_t.

    A state of shape (B, H) is one vector of n = B·H elements; use a batch of one for an (H, H) Jacobian.

    Args:
        hs: the states in the order of time, all of one shape; or what a loop stacked from them, as the y
            that recurrent layers return.
        at: the positions t to differentiate; by default all.
        without: leave out all paths through these. For an LSTM, ``jacobian_chain(cs, without=hs)`` is the
            path along the memory, dc_t/dc_k = ∏ diag(f_j), and the rest comes through the gates.

    Raises:
        ValueError: no states, or of several shapes, or a stacked y that was computed from on.
        RuntimeError: a state is outside any graph, or an earlier pass released the saved arrays.
    """
    states = _states("hs", hs)
    if not states:
        raise ValueError("jacobian_chain expected at least one state, got none")
    shapes = {edge_type(state)[0] for state in states}
    if len(shapes) > 1:
        raise ValueError(f"jacobian_chain expected states of one shape, got {sorted(shapes)}")
    ((shape, dtype),) = {edge_type(state) for state in states}
    n = int(np.prod(shape))
    T = len(states)
    rows = range(T) if at is None else [range(T)[t] for t in at]
    blocked = frozenset(_states("without", without))
    jacobians = np.zeros((len(rows), T, n, n), dtype)
    for row, t in enumerate(rows):
        for i in range(n):
            seed = np.zeros(shape, dtype)
            seed.flat[i] = 1.0
            sink: dict[Any, Any] = {}
            stops = blocked - {states[t]}
            walk([(states[t], seed)], sink, targets=set(states[: t + 1]), stops=stops, retain_graph=True)
            for k in range(t + 1):
                if states[k] in sink:
                    jacobians[row, k, i] = settled(sink[states[k]]).ravel()
    return Chain(jacobians, np.array(rows))


def _states(what: str, given: Variable | Iterable[Variable]) -> list[Any]:
    """The edges of states given one by one, or stacked."""
    if isinstance(given, Variable):
        nodes_behind("jacobian_chain", [given], [what])
        node = given._edge
        if not isinstance(node, Stack) or node.axis != 0 or not node.edges:
            raise ValueError(
                f"jacobian_chain expected {what} as a list of states, or as the y that a recurrent layer"
                f" returned, not computed from on; got the result of {given.creator.label}"  # type: ignore[union-attr]
            )
        states = list(node.edges)
    else:
        states = []
        computed = []
        for k, h in enumerate(given):
            if not isinstance(h, Variable) or not h.requires_grad:
                raise RuntimeError(f"jacobian_chain: {what}[{k}] is a constant: no gradient reaches it")
            states.append(key_of(h))
            computed += [] if h.is_leaf else [(h, f"{what}[{k}]")]
        if computed:
            nodes_behind("jacobian_chain", *zip(*computed, strict=True))
    for k, state in enumerate(states):
        if not isinstance(state, Function | tuple | Variable):
            raise RuntimeError(f"jacobian_chain: {what}[{k}] is a constant: no gradient reaches it")
    return states
