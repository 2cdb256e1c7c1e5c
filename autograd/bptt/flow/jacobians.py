"""How one state depends on another: all Jacobians dh_t/dh_k, whose norms tell if gradients vanish.

    dh_t/dh_k = ∏_{k < j <= t} dh_j/dh_{j-1}

for a state that depends on the one before alone. The product shrinks with the lag, geometrically, when the
largest singular value of its factors stays below 1, and grows when that stays above 1; in the long run
their spectral radius counts (Bengio, Simard & Frasconi 1994; Pascanu, Mikolov & Bengio 2013).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import Array, Function, Variable, as_array, edge_type
from ...engine import _ancestors, joined, key_of, walk
from ...graph.tables import as_html, as_text
from ..plotting import heatmap
from .common import input_at, nodes_behind, read_out, state_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Chain:
    """All Jacobians between states, from `jacobian_chain`; n elements per state.

    Attributes:
        jacobians: (rows, T, n, n); [r, k] is dh_t/dh_k for t = times[r], zero where k > t.
        times: (rows,), the positions t that were asked for.

    >>> A, h = np.array([[0.5, 2.0], [0.0, 0.5]]), Variable([1.0, 1.0])
    >>> hs = [h := A @ h for t in range(4)]
    >>> chain = bptt.jacobian_chain(hs, at=[3])
    >>> chain.norms  # of A³, A², A and 1: A stretches before it shrinks,
    array([[1.5103, 2.0308, 2.118 , 1.    ]])
    >>> chain.spectral_radii  # as its eigenvalues say that it will
    array([[0.125, 0.25 , 0.5  , 1.   ]])
    """

    jacobians: Array
    times: Array

    @property
    def singular_values(self) -> Array:
        """(rows, T, n), the largest first."""
        return np.linalg.svd(self.jacobians, compute_uv=False)

    @property
    def norms(self) -> Array:
        """(rows, T): the largest singular value, the factor by which a gradient can grow on its way."""
        return self.singular_values.max(axis=-1)

    @property
    def spectral_radii(self) -> Array:
        """(rows, T): the largest absolute eigenvalue."""
        return np.abs(np.linalg.eigvals(self.jacobians)).max(axis=-1)

    def __sub__(self, other: "Chain") -> "Chain":
        """The paths that ``other`` lacks: ``jacobian_chain(cs) - jacobian_chain(cs, without=hs)``."""
        if not np.array_equal(self.times, other.times) or self.jacobians.shape != other.jacobians.shape:
            raise ValueError("the difference of two chains needs the same states and times in both")
        return Chain(self.jacobians - other.jacobians, self.times)

    def __repr__(self) -> str:
        head = f"Chain, jacobians of shape {self.jacobians.shape}: ‖dh_t/dh_k‖₂, t down, k to the right"
        return f"{head}\n{as_text(self.norms, self.times, range(self.jacobians.shape[1]))}"

    def _repr_html_(self) -> str:
        columns = range(self.jacobians.shape[1])
        return as_html(self.norms, self.times, columns, "‖dh_t/dh_k‖₂, state t by state k", corner="t \\ k")

    def plot(self, ax: "Axes | None" = None, **scale: Any) -> "Axes":
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
        hs: the states in the order of the loop, all of one shape; or a stack of them, as the y that
            recurrent layers return. A part of y stands for the state that it was stacked from.
        at: the positions t to differentiate; by default all.
        without: leave out all paths through these. For an LSTM, ``jacobian_chain(cs, without=hs)`` is the
            path along the memory, dc_t/dc_k = ∏ diag(f_j), and the rest comes through the gates.

    Raises:
        ValueError: no states, or of several shapes, or a stacked y that was computed from on; nothing leads
            from any state to a later one.
        RuntimeError: a state is outside any graph, or an earlier pass released the saved arrays.

    >>> h = Variable([1.0])
    >>> hs = [h := 0.5 * h for t in range(3)]
    >>> bptt.jacobian_chain(hs).jacobians[:, :, 0, 0]  # 0.5 to the power of the lag
    array([[1.  , 0.  , 0.  ],
           [0.5 , 1.  , 0.  ],
           [0.25, 0.5 , 1.  ]])
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
                    jacobians[row, k, i] = as_array(joined(sink[states[k]])).ravel()
    return Chain(jacobians, np.array(rows))


def _check_links(states: list[Any], rows: Iterable[int], blocked: frozenset[Any]) -> None:
    """Raise if no state leads to a later one, or no path passes through a blocked edge."""
    later = [t for t in rows if t > 0]
    used = (_used([states[t]]) for t in later)  # searched one by one: nearly always the first is enough
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
    """All edges behind ``edges``."""
    return {edge for node in _ancestors(edges) for edge in node.edges}


def _states(what: str, given: Variable | Iterable[Variable]) -> list[Any]:
    """The edges of the given states, which come one by one or stacked."""
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
