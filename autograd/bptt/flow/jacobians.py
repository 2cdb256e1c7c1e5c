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
from ...engine import _ancestors, key_of, walk
from .common import heatmap, input_at, nodes_behind, read_out, settled, state_behind


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

    def plot(self, ax: Any = None, **scale: Any) -> Any:
        """A heatmap of the norms: t down, k to the right. Returns matplotlib axes.

        ``vmin``, ``vmax`` or a matplotlib ``norm`` set the scale of colours, so that panels can share one.
        """
        columns = range(self.jacobians.shape[1])
        ax = heatmap(ax, self.norms, columns, list(self.times), "‖dh_t/dh_k‖₂", **scale)
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
        hs: the states in the order of the loop, all of one shape; or what a loop stacked from them, as the
            y that recurrent layers return. A part of y stands for the state that it was stacked from.
        at: the positions t to differentiate; by default all.
        without: leave out all paths through these. For an LSTM, ``jacobian_chain(cs, without=hs)`` is the
            path along the memory, dc_t/dc_k = ∏ diag(f_j), and the rest comes through the gates.

    Raises:
        ValueError: no states, or of several shapes, or a stacked y that was computed from on; nothing leads
            from any state to a later one.
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
    _check_links(states, rows, blocked)
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


def _check_links(states: list[Any], rows: Iterable[int], blocked: frozenset[Any]) -> None:
    """Raise if nothing leads from a state to a later one, or nothing passes through what is blocked."""
    later = [t for t in rows if t > 0]
    used = (_used([states[t]]) for t in later)  # found one by one: nearly always the first is enough
    if later and not any(not u.isdisjoint(states[:t]) for t, u in zip(later, used, strict=True)):
        raise ValueError(
            "jacobian_chain: no state was computed from an earlier one, so that all dh_t/dh_k would be zero:"
            " pass what the loop itself hands from step to step, in the order in which it runs (for a layer"
            " that runs in reverse y[::-1])"
        )
    if later and blocked and _used([states[t] for t in later]).isdisjoint(blocked):
        raise ValueError(
            "jacobian_chain: no state was computed from anything in without: pass what the loop itself hands"
            " from step to step"
        )


def _used(edges: list[Any]) -> set[Any]:
    """All edges behind some."""
    return {edge for node in _ancestors(edges) for edge in node.edges}


def _states(what: str, given: Variable | Iterable[Variable]) -> list[Any]:
    """The edges of states given one by one, or stacked."""
    states: list[Any]
    if isinstance(given, Variable):
        nodes_behind("jacobian_chain", [given], [what])
        stack, *both = read_out(given._edge) or (None, np.array(0), np.array(0))
        states = [None]
        if stack is not None and both[0].ndim:
            states = [input_at(stack, *row) for row in zip(*both, strict=True)]
        if any(state is None for state in states):
            raise ValueError(
                f"jacobian_chain expected {what} as a list of states, or as the y that a recurrent layer"
                f" returned, not computed from on; got the result of {given.creator.label}"  # type: ignore[union-attr]
            )
        states = [state_behind(state) for state in states]
    else:
        states = []
        computed = []
        for k, h in enumerate(given):
            if not isinstance(h, Variable) or not h.requires_grad:
                raise RuntimeError(f"jacobian_chain: {what}[{k}] is a constant: no gradient reaches it")
            states.append(state_behind(key_of(h)))
            computed += [] if h.is_leaf else [(h, f"{what}[{k}]")]
        if computed:
            nodes_behind("jacobian_chain", *zip(*computed, strict=True))
    for k, state in enumerate(states):
        if not isinstance(state, Function | tuple | Variable):
            raise RuntimeError(f"jacobian_chain: {what}[{k}] is a constant: no gradient reaches it")
    return states
