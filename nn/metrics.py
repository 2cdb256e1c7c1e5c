"""Measures of a model over many batches: every token weighs the same, whatever its batch."""

import math
from typing import Any

from autograd.extend import Operand, Value, data_of

from .loss_functions import class_axis, class_numbers, cross_entropy


class Perplexity:
    """exp of the mean cross-entropy per token: the number of equally likely tokens that is as hard to guess.

    Args:
        ignore_index, batch_first, axis: as in `functional.cross_entropy`.

    Call ``update`` for every batch and ``compute`` at the end; ``reset`` starts anew. No graph is kept.

    >>> metric = nn.Perplexity()
    >>> metric.update(np.zeros((9, 4)), np.zeros(9, int))  # nine tokens, no opinion on four classes
    >>> metric.update(np.log([[0.5, 0.25, 0.25]]), [0])  # one token
    >>> round(metric.compute() ** 10 / 4**9, 4)
    2.0
    """

    def __init__(self, ignore_index: int = -100, *, batch_first: bool = False, axis: int | None = None):
        self.ignore_index, self.batch_first, self.axis = ignore_index, batch_first, axis
        self.reset()

    def reset(self) -> None:
        """Forget all batches."""
        self.nats, self.tokens = 0.0, 0

    def update(
        self, x: Value, target: Operand, mask: Operand | None = None, lengths: Operand | None = None
    ) -> None:
        """Add a batch of logits and class numbers; arguments and errors as in `functional.cross_entropy`."""
        x, ignored, rows = data_of(x), self.ignore_index, self.batch_first
        axis = class_axis("Perplexity", x, lengths, self.axis)
        t, on = class_numbers("Perplexity", x, axis, target, ignored, mask, lengths, rows)
        steps: Any = {"mask": mask, "lengths": lengths, "batch_first": rows}
        self.nats += float(cross_entropy(x, target, ignored, "sum", axis=axis, **steps))
        self.tokens += t.size if on is None else int(on.sum())

    def compute(self) -> float:
        """The perplexity of all tokens so far; infinite where a token had no probability at all.

        Raises:
            ValueError: there are none.
        """
        if not self.tokens:
            raise ValueError("Perplexity has seen no tokens that count: call update(x, target) first")
        try:
            return math.exp(self.nats / self.tokens)
        except OverflowError:
            return math.inf
