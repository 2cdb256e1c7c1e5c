"""The size of the gradient per layer and time step of a whole model: where it fades, where it grows.

The gradient of a layer at step t is that of all outputs which leave it there: the output of a node counts
if a node of another layer or another step uses it. For an LSTM these are h_t and c_t together.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...checking.watching import watch
from ...core import Array, Function, Slot, Variable, source
from ...engine import key_of, walk
from ...graph.tables import as_html, as_text
from ..plotting import axes, heatmap
from .common import leaves_of, nodes_behind

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Flow:
    """Gradient norms by layer and time step, from `gradient_flow`.

    Attributes:
        norms: (layers, steps); NaN where a layer has nothing at that step.
        layers: the scopes of the rows, in the order of the forward pass; "" is the top level.
        steps: (steps,), the time steps of the columns.
        outside: norms of the outputs that belong to no step, by scope.

    >>> with ag.stepwise():
    ...     y, _ = nn.RNN(1, 3, 2)(np.ones((4, 1, 1), "f"))
    >>> flow = bptt.gradient_flow(y[-1].sum())
    >>> flow.layers, flow.norms.shape, flow.lags
    (['l0', 'l1'], (2, 4), array([3, 2, 1, 0]))
    """

    norms: Array
    layers: list[str]
    steps: Array
    outside: dict[str, float]

    @property
    def lags(self) -> Array:
        """The distance of each column from the last step."""
        return self.steps.max() - self.steps

    def __repr__(self) -> str:
        return f"Flow: |gradient|, layers down, steps to the right\n{self._table(as_text)}"

    def _repr_html_(self) -> str:
        return self._table(as_html, "|gradient| of what leaves a layer at a step", "layer \\ step")

    def _table(self, write: Callable[..., str], *words: str) -> str:
        return write(self.norms, self._names, self.steps, *words)

    @property
    def _names(self) -> list[str]:
        return [name or "(model)" for name in self.layers]

    def plot(self, ax: "Axes | None" = None, **scale: Any) -> "Axes":
        """A heatmap: layers down, time to the right. Returns matplotlib axes.

        ``vmin``, ``vmax`` or a matplotlib ``norm`` set the scale of colours, so that panels can share one.
        """
        ax = heatmap(ax, self.norms, list(self.steps), self._names, "|gradient|", **scale)
        ax.set(xlabel="step", ylabel="layer")
        return ax

    def plot_lags(self, ax: "Axes | None" = None) -> "Axes":
        """One curve per layer against the distance from the last step. Returns matplotlib axes."""
        ax = axes(ax)
        for name, row in zip(self._names, self.norms, strict=True):
            _curve(ax, self.lags, row, name)
        return _finish(ax)


def plot_lags(flows: Mapping[str, Flow], layer: int = -1, ax: "Axes | None" = None) -> "Axes":
    """The curves of several models in one picture, for one layer of each. Returns matplotlib axes.

    >>> x = np.ones((9, 1, 1), "f")
    >>> def flow(kind):
    ...     return bptt.gradient_flow(nn.Recurrent(kind(1, 4))(x)[0][-1].sum())
    >>> ax = bptt.plot_lags({"RNN": flow(nn.RNNCell), "LSTM": flow(nn.LSTMCell)}, layer=0)
    >>> [line.get_label() for line in ax.lines]
    ['RNN', 'LSTM']
    """
    ax = axes(ax)
    for name, flow in flows.items():
        _curve(ax, flow.lags, flow.norms[layer], name)
    return _finish(ax)


def _curve(ax: "Axes", lags: Array, norms: Array, label: str) -> None:
    there = norms > 0  # zero and NaN have no logarithm
    ax.plot(lags[there], norms[there], marker="o", markersize=3, label=label)


def _finish(ax: "Axes") -> "Axes":
    ax.set(xlabel="steps before the last", ylabel="|gradient|", yscale="log")
    ax.legend()
    return ax


def gradient_flow(loss: Variable) -> Flow:
    """The norm of the gradient at the outputs of each layer at each time step, by one backward pass.

    A layer is a scope, the dotted path of a module; nodes of the top level are one layer too.

    Raises:
        ValueError: nothing in the graph belongs to a time step.
        RuntimeError: the loss is outside any graph, or an earlier pass released the saved arrays.

    >>> h = Variable(1.0)
    >>> for t in range(4):
    ...     with ag.step(t):
    ...         h = 0.5 * h
    >>> bptt.gradient_flow(h * 1.0).norms  # each step back halves the gradient
    array([[0.125, 0.25 , 0.5  , 1.   ]])
    """
    nodes = nodes_behind("gradient_flow", [loss], ["the loss"])
    start = key_of(loss)
    leaving = {start}
    for node in nodes:
        for edge in node.edges:
            child = source(edge)[0]
            if isinstance(child, Function) and _group(child) != _group(node):
                leaving.add(edge)
    squares: dict[tuple[str, int | None], float] = {}
    with watch() as w:
        walk([(start, np.ones_like(loss.data))], {}, targets=leaves_of(nodes), retain_graph=True)
    for edge in leaving:
        node, k = edge if edge.__class__ is Slot else (edge, None)
        g: Any = w.gradient(node)
        if g is not None:
            g = g if k is None else g[k]
            squares[_group(node)] = squares.get(_group(node), 0.0) + float(np.square(g, dtype=float).sum())
    steps = np.array(sorted({step for _, step in squares if step is not None}), int)
    if not steps.size:
        raise ValueError(
            "gradient_flow: nothing behind the loss belongs to a time step: recurrent layers mark their"
            " steps; put `with autograd.step(t):` around each step of a loop of your own"
        )
    order = dict.fromkeys(node.place.scope for node in nodes)
    layers = [
        scope for scope in order if any(group[0] == scope and group[1] is not None for group in squares)
    ]
    norms = [[np.sqrt(squares.get((scope, t), np.nan)) for t in steps] for scope in layers]
    outside = {scope: float(np.sqrt(square)) for (scope, step), square in squares.items() if step is None}
    return Flow(np.array(norms), layers, steps, outside)


def _group(node: Function) -> tuple[str, int | None]:
    return node.place.scope, node.place.step
