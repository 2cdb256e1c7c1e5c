"""What the gates of a recurrent network did: their values over a sequence, units by time.

The graph keeps them: a nonlinearity its output, a product its factors. So they are read from a graph that
was recorded anyway, before a backward pass releases it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core import Array, Function, isarray
from ..graph.picture.names import HasParameters, Names, scopes_of
from ..graph.reading import Item, Nest, Output, Reading, results_of
from ..ops.elementwise import Cast, Neg, Unary
from ..ops.shape import Split
from .plotting import axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class Gates:
    """The gates of all layers over a sequence, from `gates`.

    Attributes:
        values: by the scope of the layer and the name of the gate an array (T, B, H).
        steps: by the scope of the layer its time steps, in order.

    >>> gru = nn.GRU(2, 3)
    >>> y, _ = gru(np.ones((4, 1, 2), "f"))
    >>> found = bptt.gates(y, gru)
    >>> found
    Gates
      l0: r, z, n of shape (4, 1, 3)
    >>> bool((found.values["l0"]["z"] < 1).all())
    True
    """

    values: Mapping[str, Mapping[str, Array]]
    steps: Mapping[str, list[int]]

    def __repr__(self) -> str:
        lines = [
            f"  {scope or '(model)'}: {', '.join(own)} of shape {next(iter(own.values())).shape}"
            for scope, own in self.values.items()
        ]
        return "\n".join(["Gates", *(lines if len(lines) < 10 else [*lines[:8], f"  ⋯ {len(lines)} layers"])])

    def plot(
        self,
        gate: str,
        ax: "Axes | None" = None,
        *,
        layer: str | None = None,
        row: int = 0,
        labels: "list[str] | str | None" = None,
        vmin: float | None = None,
        vmax: float | None = None,
    ) -> "Axes":
        """A heatmap of one gate: units down, time to the right. Returns matplotlib axes.

        Args:
            layer: the scope of the layer; by default the first.
            row: which sequence of the batch.
            labels: what stands below the steps, such as the letters that were read.
            vmin, vmax: the ends of the scale; by default 0 and 1, or -1 and 1 where values are below 0.

        Raises:
            KeyError: there is no such layer or gate.
        """
        scope = next(iter(self.values)) if layer is None else layer
        if gate not in self.values.get(scope, ()):
            known = "; ".join([f"{name or '(model)'}: {', '.join(own)}" for name, own in self.values.items()])
            raise KeyError(f"Gates.plot knows no gate {gate!r} of layer {scope!r}: there are {known}")
        shown = self.values[scope][gate][:, row].T
        is_signed = bool((shown < 0).any())
        vmin, vmax = (-1.0 if is_signed else 0.0) if vmin is None else vmin, 1.0 if vmax is None else vmax
        ax = axes(ax)
        image = ax.imshow(
            shown,
            aspect="auto",
            cmap="RdBu_r" if is_signed else "viridis",
            interpolation="nearest",
            vmin=vmin,
            vmax=vmax,
        )
        ax.figure.colorbar(image, ax=ax, label=gate)
        steps = self.steps[scope]
        if labels is not None:
            ax.set_xticks(range(len(steps)), list(labels))
        else:
            every = max(1, -(-len(steps) // 12))
            ax.set_xticks(range(0, len(steps), every), [str(t) for t in steps[::every]])
        ax.set(xlabel="step", ylabel="unit", title=f"{scope or 'gate'} {gate}".strip())
        return ax


def gates(y: Nest, model: HasParameters) -> Gates:
    """The values of all gates behind ``y``, as the first nonlinear operation gave them.

    Args:
        y: what the model returned, or a loss computed from it, before ``backward`` releases the graph.
        model: the module, for the gates of its cells (``cell.gates``) and the names of its layers.

    Raises:
        RuntimeError: an earlier pass released the saved arrays.
        ValueError: nothing behind y is a gate of the model.

    >>> lstm = nn.LSTM(2, 3, num_layers=2)
    >>> y, _ = lstm(np.ones((5, 1, 2), "f"))
    >>> found = bptt.gates(y, lstm)
    >>> list(found.values), found.values["l1"]["f"].shape
    (['l0', 'l1'], (5, 1, 3))
    """
    reading = Reading(results_of(y))
    names = Names(reading, model)
    kept = _kept(reading)
    found: dict[str, dict[str, dict[int, Array]]] = {}
    released = False
    bent: set[Item] = set()  # nonlinear operations, and splits of what they gave
    for node in reading.nodes:
        if (
            isinstance(node, Unary)
            and not isinstance(node, Cast | Neg)
            or isinstance(node, Split)
            and reading.sources[node][0][0] in bent
        ):
            bent.add(node)
        for k in range(len(node.out_shape) if node.multi_output else 1):
            gate, step = names.gate(node, k), node.place.step
            if node not in bent or not gate or step is None:
                continue
            released |= node.saved is None
            by_step = found.setdefault(node.place.scope, {}).setdefault(gate, {})
            if (node, k) in kept:
                by_step.setdefault(step, kept[node, k])
    known = {scope: {gate: at for gate, at in own.items() if at} for scope, own in found.items()}
    found = {scope: own for scope, own in known.items() if own}
    if released:
        raise RuntimeError(
            "gates: an earlier backward pass released the values: call gates before backward(), or pass"
            " retain_graph=True to it"
        )
    if not found:
        raise ValueError(
            "gates found no gate of the model behind y: pass what this model returned; its cells need"
            " `gates`, as those of nn.LSTM and nn.GRU have"
        )
    order = [gate for module in scopes_of(model).values() for gate in getattr(module, "gates", ())]

    def place(item: tuple[str, Any]) -> int:
        return order.index(item[0])

    values = {
        scope: {gate: np.stack([at[t] for t in sorted(at)]) for gate, at in sorted(own.items(), key=place)}
        for scope, own in found.items()
    }
    return Gates(values, {scope: sorted(next(iter(own.values()))) for scope, own in found.items()})


def _kept(reading: Reading) -> dict[Output, Array]:
    """The forward values that the graph keeps for backward: of inputs, and of a node's own output."""
    found: dict[Output, Array] = {}
    for node in reading.nodes:
        saved: Any = node.saved or ()
        for at, i in node.saved_inputs():
            if at < len(saved) and isarray(saved[at]):
                item, k = reading.source(node.edges[i])
                if isinstance(item, Function):
                    found.setdefault((item, k), saved[at])
        for name, value in zip(node._names, saved, strict=False):
            if name == "y" and isarray(value):
                found[node, 0] = value
    return found
