"""How every output of a sequence depends on every earlier input: what a reader looked back at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ...core import Array, Variable, as_array
from ...engine import joined, key_of, walk
from ...graph.tables import as_html, as_text
from ..plotting import heatmap
from .common import nodes_behind, scalar_losses

if TYPE_CHECKING:
    from matplotlib.axes import Axes


@dataclass(frozen=True, repr=False)
class InputGradients:
    """The table of `input_gradients`: one row per output, one column per step of the input.

    Attributes:
        table: (outputs,) + x.shape, the gradient of every output with respect to x, time first.

    >>> x, h, ys = Variable(np.ones((3, 1))), 0.0, []
    >>> for t in range(3):
    ...     h = 0.5 * h + x[t]
    ...     ys.append(h * 1.0)
    >>> bptt.input_gradients(ys, x)  # halved by every step between
    InputGradients, table of shape (3, 3, 1): |dy_t/dx_k|, output t down, input k to the right
          0    1  2
    0     1    0  0
    1   0.5    1  0
    2  0.25  0.5  1
    """

    table: Array

    @property
    def norms(self) -> Array:
        """(outputs, T): the Euclidean norm of every output's gradient with respect to every x_k."""
        return np.sqrt(np.square(self.table).sum(axis=tuple(range(2, self.table.ndim))))

    def __repr__(self) -> str:
        head = f"InputGradients, table of shape {self.table.shape}"
        return f"{head}: |dy_t/dx_k|, output t down, input k to the right\n{self._written(as_text)}"

    def _repr_html_(self) -> str:
        return self._written(as_html, "|dy_t/dx_k|, output t by input k", "t \\ k")

    def _written(self, write: Any, *words: str) -> str:
        outputs, steps = self.table.shape[:2]
        return write(self.norms, range(outputs), range(steps), *words)

    def plot(
        self,
        ax: "Axes | None" = None,
        outputs: Sequence[str] | None = None,
        inputs: Sequence[str] | None = None,
        **scale: Any,
    ) -> "Axes":
        """A heatmap of the norms: outputs down, inputs to the right. Returns matplotlib axes.

        Args:
            outputs, inputs: what stands at the rows and columns, such as the letters of a text; by default
                numbers.
            scale: ``vmin``, ``vmax`` or a matplotlib ``norm``, so that panels can share one.
        """
        rows, columns = self.table.shape[:2]
        ax = heatmap(ax, self.norms, range(columns), range(rows), "|dy_t/dx_k|", **scale)
        for axis, names in ((ax.yaxis, outputs), (ax.xaxis, inputs)):
            if names is not None:
                axis.set_ticks(range(len(names)), list(names))
        ax.set(xlabel="input k", ylabel="output t")
        return ax


def input_gradients(outputs: Variable | Sequence[Variable], x: Variable) -> InputGradients:
    """The gradient of every output with respect to a sequence of inputs, one backward pass per output.

    Args:
        outputs: Variables of one element each, such as the score of the letter that a model wrote at step
            t; or a Variable with one axis.
        x: (T, ...), what the network read: a leaf that requires grad, or for indices the result of an
            embedding.

    Raises:
        RuntimeError: an output is outside any graph, or an earlier pass released the saved arrays.
        ValueError: an output has several elements; no output depends on x, or x has no axis of time.

    >>> x = Variable(np.ones((4, 1, 2), "f"))
    >>> y, h = nn.RNN(2, 3)(x)
    >>> bptt.input_gradients(y.sum(axis=(1, 2)), x).norms.shape
    (4, 4)
    """
    ys = scalar_losses("input_gradients", outputs)
    nodes_behind("input_gradients", ys, [f"output {t}" for t in range(len(ys))])
    if not x.ndim or not x.requires_grad:
        raise ValueError(
            "input_gradients expected x of shape (T, ...) that requires grad, got"
            f" shape {x.shape} with requires_grad={x.requires_grad}: Variable(x) of floats does, and so does"
            " the result of an embedding"
        )
    edge = key_of(x)
    table = np.zeros((len(ys), *x.shape), x.dtype)
    for row, y in zip(table, ys, strict=True):
        sink: dict[Any, Any] = {}
        walk([(key_of(y), np.ones_like(y.data))], sink, targets={edge}, retain_graph=True)
        if edge in sink:
            row[...] = as_array(joined(sink[edge]))
    if not table.any():
        raise ValueError(
            "input_gradients: no output depends on x: pass the Variable that the forward pass read, itself"
        )
    return InputGradients(table)
