"""The gradient of a shared weight, taken apart: which loss sent how much through which use of it.

For a recurrent network h_t = f(h_{t-1}, x_t; W) with losses L_t (Goodfellow, Bengio & Courville, Deep
Learning, 10.2.2; Werbos 1990) the gradient is a double sum, and the table holds its terms:

    dL/dW = Σ_t Σ_k G[t, k],    G[t, k] = dL_t/dh_t · dh_t/dh_k · ∂h_k/∂W

with ∂h_k/∂W immediate: the derivative by W in step k alone, h_{k-1} held fixed. Only so is the textbook's
sum over k right; a total derivative would count the earlier uses of W again. One backward pass per loss
fills a row, because the engine sees every use of a leaf by itself; nothing is differentiated here, so that
any loop has a table.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import Array, Constant, Function, Slot, Variable, as_array, edge_type, source
from ...engine import joined, key_of, walk
from ...graph.tables import as_html, as_text
from ...modes import instrumented
from ..plotting import axes, heatmap
from .common import nodes_behind, scalar_losses, state_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPWISE = (
    "run the forward pass under `with autograd.stepwise():`, and a loop of your own with"
    " `with autograd.step(t):` around each step"
)


@dataclass(frozen=True, repr=False)
class Decomposition:
    """The table of `decompose`: one row per loss, one column per use of the weight.

    Attributes:
        table: (T, K) + W.shape, the gradient of loss t through use k alone.
        times: (T,), the time step of every loss; None if the losses were not kept apart.
        steps: (K,), the time step of every use, in order.
        idle: why a column k is zero, for those in which the weight multiplies zeros: with h_0 = 0
            {0: "the initial state is 0"}.

    >>> W, h, losses = Variable(0.5), Variable(1.0, requires_grad=False), []
    >>> for t in range(3):
    ...     with ag.step(t):
    ...         h = W * h
    ...         losses.append(h * 1.0)
    >>> G = bptt.decompose(losses, W)
    >>> G.table  # dL_t/dW through the use at step k: 0.5ᵗ through each of t + 1 uses
    array([[1.  , 0.  , 0.  ],
           [0.5 , 0.5 , 0.  ],
           [0.25, 0.25, 0.25]])
    >>> print(G.by_lag(), G.truncated(k2=2), G.total)  # truncation leaves out lag 2
    [1.75 0.75 0.25] 2.5 2.75
    """

    table: Array
    times: Array | None
    steps: Array
    idle: Mapping[int, str] = field(default_factory=dict)

    @property
    def norms(self) -> Array:
        """(T, K): the Euclidean norm of every entry."""
        return np.sqrt(np.square(self.table).sum(axis=tuple(range(2, self.table.ndim))))

    @property
    def total(self) -> Array:
        """The sum of all entries: the gradient of the sum of the losses."""
        return self.table.sum(axis=(0, 1))

    def by_use(self) -> Array:
        """(K,) + W.shape: the gradient of all losses together through each use."""
        return self.table.sum(axis=0)

    def by_loss(self) -> Array:
        """(T,) + W.shape: the gradient of each loss through all uses together."""
        return self.table.sum(axis=1)

    @property
    def lag(self) -> Array:
        """(T, K): the number of steps from a use to the loss; negative in a loop that runs backwards."""
        if self.times is None:
            raise ValueError("only_uses=True did not keep the losses apart: decompose without it for lags")
        return self.times[:, None] - self.steps

    @property
    def lags(self) -> Array:
        """All lags in order, one per row of `by_lag`; below 0 only if a loss depends on later steps."""
        carrying = self.lag[self.norms > 0]
        first = int(carrying.min(initial=0))
        last = int(self.lag.max()) if first == 0 or (carrying > 0).any() else 0
        return np.arange(first, last + 1)

    def by_lag(self) -> Array:
        """(lags,) + W.shape: the sum of the entries with the same distance in time, see `lags`."""
        return np.stack([self.table[self.lag == lag].sum(axis=0) for lag in self.lags])

    def truncated(self, k2: int, k1: int = 1) -> Array:
        """The gradient of truncated backpropagation: every k1 steps the newest losses, k2 steps back.

        With k1 = 1 it is the sum of all entries with a lag below k2. In general, where e is the last step
        of the window of k1 losses that t is in, it sums the uses with e - k2 < k <= t (Williams & Peng
        1990); a last window that ends before its k1-th loss has the e of a whole one.

        Raises:
            ValueError: not 1 <= k1 <= k2, or a loop that runs backwards.
        """
        lag = self.lag
        if not 1 <= k1 <= k2:
            raise ValueError(f"truncated expected 1 <= k1 <= k2, got k1={k1} and k2={k2}")
        if (self.norms[lag < 0] > 0).any():
            raise ValueError("truncated expected a loop forward in time: here losses depend on later steps")
        assert self.times is not None
        first = min(self.times.min(), self.steps.min())
        ends = first + ((self.times - first) // k1 + 1) * k1 - 1
        return self.table[ends[:, None] - self.steps < k2].sum(axis=0)

    def bias(self, k1: int = 1) -> tuple[Array, Array, Array]:
        """The error of truncation: ``(k2, relative error, cosine)`` against the full gradient.

        k2 runs from k1 to the whole length. The error is |g_k - g| / |g|, the cosine that of the angle
        between the truncated gradient g_k and the full one g; NaN where one of them is zero.
        """
        full = self.total
        ks = np.arange(k1, max(int(self.lag.max()) + k1, k1) + 1)
        parts = np.stack([self.truncated(int(k), k1) for k in ks]).reshape(len(ks), -1)
        norm, norms = np.linalg.norm(full), np.linalg.norm(parts, axis=1)
        with np.errstate(invalid="ignore", divide="ignore"):
            error = np.linalg.norm(parts - full.ravel(), axis=1) / norm
            return ks, error, parts @ full.ravel() / (norms * norm)

    def __repr__(self) -> str:
        head = f"Decomposition, table of shape {self.table.shape}: |G[t, k]|, loss t down, use k to the right"
        return "\n".join([head, as_text(self.norms, self._rows, self.steps), *self._reasons[:1]])

    def _repr_html_(self) -> str:
        caption = "|G[t, k]|, the gradient of the loss at step t through the use of the weight at step k"
        caption = "; ".join([caption, *self._reasons])
        return as_html(self.norms, self._rows, self.steps, caption, corner="t \\ k")

    @property
    def _rows(self) -> list[Any]:
        return ["all"] if self.times is None else list(self.times)

    @property
    def _reasons(self) -> list[str]:
        """Why columns are zero, a line for each reason."""
        lines = []
        for reason in dict.fromkeys(self.idle.values()):
            steps = [str(self.steps[k]) for k, why in self.idle.items() if why == reason]
            lines.append(f"k = {', '.join(steps[:6])}{', …' * (len(steps) > 6)}: zero, as {reason}")
        return lines

    def plot(self, ax: "Axes | None" = None, **scale: Any) -> "Axes":
        """A heatmap of the norms: losses down, uses to the right. Returns matplotlib axes.

        ``vmin``, ``vmax`` or a matplotlib ``norm`` set the scale of colours, so that panels can share one.
        """
        ax = heatmap(ax, self.norms, list(self.steps), self._rows, "|G[t, k]|", **scale)
        ax.set(xlabel="\n".join(["use of the weight at step k", *self._reasons]), ylabel="loss at step t")
        return ax

    def plot_bias(self, ax: "Axes | None" = None, k1: int = 1) -> "Axes":
        """Relative error and cosine of the truncated gradient against k2. Returns matplotlib axes."""
        ks, error, cosine = self.bias(k1)
        ax = axes(ax)
        ax.plot(ks, error, marker="o", markersize=3, label="relative error")
        ax.plot(ks, cosine, marker="s", markersize=3, label="cosine")
        ax.set(xlabel="steps back, k₂", ylim=(min(0.0, np.nanmin(cosine)) - 0.02, None))
        ax.legend()
        return ax


def decompose(
    losses: Variable | Sequence[Variable],
    W: Variable,
    *,
    times: Sequence[int] | None = None,
    only_uses: bool = False,
) -> Decomposition:
    """The table G[t, k] of the gradient of ``W``: every loss t by every use k. Its sum is ``W.grad``.

    It takes one backward pass per loss, or a single one with ``only_uses``. A weight that was prepared
    before the loop (transposed, split, masked) counts as used where the prepared form is used.

    Args:
        losses: one Variable of one element per step, or a Variable with one axis, or a single loss.
        W: a leaf, the shared weight.
        times: the time step of each loss; by default the step in which it was computed, or if some were
            computed outside of all steps, the position in the list.
        only_uses: do not keep the losses apart; the table has one row.

    Raises:
        ValueError: no loss depends on W, a use belongs to no time step, or is hidden in a checkpoint.
        RuntimeError: a loss is outside any graph, or an earlier pass released the saved arrays.

    >>> rnn = nn.RNN(2, 4)
    >>> with ag.stepwise():  # every use of a weight in its own step
    ...     y, _ = rnn(np.ones((3, 1, 2), "f"))
    >>> G = bptt.decompose([h.sum() for h in y], dict(rnn.named_parameters())["weight_hh_l0"])
    >>> G.table.shape, G.idle
    ((3, 3, 4, 4), {0: 'the initial state is 0'})
    """
    given = scalar_losses("decompose", losses)
    if not isinstance(W, Variable):
        name = repr(W) if isinstance(W, str) else '"weight_hh_l0"'
        raise TypeError(
            f"decompose expected W to be the weight itself, a Variable, got {type(W).__name__}"
            f"{f' {name}' if isinstance(W, str) else ''}: pass dict(model.named_parameters())[{name}]"
        )
    if W._edge is not None:
        raise ValueError(
            "decompose expected W to be a leaf that requires grad, as parameters are, got"
            f" {f'the result of {W.creator.label}' if W.creator else 'a constant'} of shape {W.shape}"
        )
    nodes = nodes_behind("decompose", given, [f"loss {t}" for t in range(len(given))])
    columns = _uses(nodes, W)
    if times is None:
        computed_in = [_step_of(loss) for loss in given]
        times = range(len(given)) if None in computed_in else computed_in  # type: ignore[assignment]
    elif len(times) != len(given):
        raise ValueError(f"decompose expected one time per loss, {len(given)} of them, got {len(times)}")
    seeds = [(key_of(loss), np.ones_like(loss.data)) for loss in given]
    rows = [seeds] if only_uses else [[seed] for seed in seeds]
    table = np.zeros((len(rows), len(columns), *W.shape), W.dtype)
    for row, starts in zip(table, rows, strict=True):
        seen = _Seen(columns)
        with instrumented(seen):
            walk(starts, {}, targets={W}, retain_graph=True)
        for (node, i), g in seen.found.items():
            row[columns[node, i]] += _carried(node.edges[i], g, W)
    steps = np.array([node.place.step for node, _ in columns])
    return Decomposition(table, None if only_uses else np.array(times), steps, _idle(list(columns), table))


class _Seen:
    """An instrument that keeps the gradients given to certain inputs (node, i)."""

    def __init__(self, wanted: Iterable[tuple[Function, int]]):
        self.inputs: dict[Function, list[int]] = {}
        for node, i in wanted:
            self.inputs.setdefault(node, []).append(i)
        self.found: dict[tuple[Function, int], Array] = {}

    def forward(self, node: Function, inputs: Sequence[Array], outputs: Sequence[Array]) -> None:
        """Nothing to keep from the forward pass."""

    def backward(self, node: Function, gys: tuple[Array, ...], gxs: list[Array | None]) -> None:
        """Called by the walk for every node."""
        for i in self.inputs.get(node, ()):
            if (g := gxs[i]) is not None:
                self.found[node, i] = g


def _uses(nodes: list[Function], W: Variable) -> dict[tuple[Function, int], int]:
    """The uses of W or of a prepared form of it: inputs (node, i), with their columns in the order of time.

    A prepared form is computed before the loop: from leaves alone and outside of all steps.
    """
    before: set[Function] = set()
    derived: set[Any] = {W}
    found = []
    for node in nodes:
        if node.has_hidden_inputs:
            raise ValueError(
                f"decompose cannot see the uses inside {node.describe()}: run the forward pass without"
                " checkpoint"
            )
        edges = node.edges
        behind = [source(edge)[0] for edge in edges]
        parents = [parent for parent in behind if isinstance(parent, Function)]
        mine = [i for i, edge in enumerate(edges) if edge in derived]
        if node.place.step is None and before.issuperset(parents):
            before.add(node)
            if mine:
                outputs = range(len(node.out_dtype))
                derived.update([Slot(node, k) for k in outputs] if node.multi_output else [node])
            continue
        found += [(node, i) for i in mine]
    name = f"the weight {W.name or ''}".strip()
    if not found:
        if len(derived) > 1:
            raise ValueError(f"decompose: no use of {name} belongs to a time step: {STEPWISE}")
        raise ValueError(
            f"decompose: no loss depends on {name} of shape {W.shape}: pass the parameter that the forward"
            " pass used, itself and not a copy"
        )
    for node, _ in found:
        if node.place.step is None:
            raise ValueError(
                f"decompose: {node.describe()} uses {name} for several time steps at once, or for none:"
                f" {STEPWISE}"
            )
    found.sort(key=lambda use: (use[0].place.step, use[0].number, use[1]))
    return {use: column for column, use in enumerate(found)}


def _idle(uses: list[tuple[Function, int]], table: Array) -> dict[int, str]:
    """The columns that are zero for every gradient, and the operand whose zeros are the reason."""
    recurrent = any(_meets_another_step(node, i) for node, i in uses)
    found = {}
    for k, (node, i) in enumerate(uses):
        edges, saved = node.edges, node.saved or ()
        zeros = [edges[j] for at, j in node.saved_inputs() if j != i and not np.any(saved[at])]
        if not zeros or table[:, k].any() or not _blocks(node, edges[i]):
            continue
        name = zeros[0].name if isinstance(zeros[0], Constant | Variable) else None
        if recurrent and isinstance(zeros[0], Constant | Variable):
            found[k] = "the initial state is 0"
        else:
            found[k] = f"{name} is 0" if name else "what the weight multiplies is 0"
    return found


def _meets_another_step(node: Function, i: int) -> bool:
    """Does a node combine a weight, its input ``i``, with the result of another time step?"""
    others = [source(edge)[0] for j, edge in enumerate(node.edges) if j != i]
    return any(isinstance(o, Function) and o.place.step not in (None, node.place.step) for o in others)


def _blocks(node: Function, edge: Any) -> bool:
    """Does a node give zeros to the input ``edge`` even for a gradient of random numbers?"""
    rng = np.random.default_rng(0)
    outputs = [Slot(node, k) for k in range(len(node.out_dtype))] if node.multi_output else [node]
    seeds = [(y, rng.normal(size=edge_type(y)[0])) for y in outputs]
    stops = frozenset([e for e in node.edges if isinstance(e, Function | Slot)])
    sink: dict[Any, Any] = {}
    walk(seeds, sink, targets={edge}, stops=stops, retain_graph=True)
    return edge not in sink or not as_array(joined(sink[edge])).any()


def _carried(edge: Any, g: Array, W: Variable) -> Array:
    """The gradient ``g`` of a prepared form of W, such as its transpose, carried back to W."""
    if edge is W:
        return g
    sink: dict[Any, Any] = {}
    walk([(edge, g)], sink, targets={W}, retain_graph=True)
    return as_array(joined(sink[W])) if W in sink else np.zeros_like(W.data)


def _step_of(loss: Variable) -> int | None:
    edge = state_behind(loss._edge)
    node = source(edge)[0]
    return node.place.step if isinstance(node, Function) else None
