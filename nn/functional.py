"""Stateless layers and losses, all of them compositions of operations. Names and shapes are PyTorch's."""

from typing import Any

import numpy as np

from autograd import Variable, getitem, linear, log_softmax, mean, multiply, sigmoid, softmax, tanh, where
from autograd import sum as sum_

from .random import default_rng

__all__ = [
    "cross_entropy",
    "dropout",
    "embedding",
    "linear",
    "log_softmax",
    "one_hot",
    "sigmoid",
    "softmax",
    "tanh",
]


def plain(x: Any) -> Any:
    """The array of a Variable, anything else as it is."""
    return x.data if isinstance(x, Variable) else x


def dropout(x: Any, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None) -> Any:
    """Zero each element with probability p and scale the rest by 1/(1-p), while training."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout expected a probability between 0 and 1, got {p}")
    if not training or p == 0:
        return x
    return multiply(x, dropout_mask(x.shape, p, x.dtype, rng))


def dropout_mask(
    shape: tuple[int, ...], p: float, dtype: Any, rng: np.random.Generator | None = None
) -> np.ndarray:
    """Zeros with probability p, else 1/(1-p)."""
    if p == 1:
        return np.zeros(shape, dtype)
    kept = default_rng(rng).random(shape, dtype=np.float32) >= p
    return np.multiply(kept, 1 / (1 - p), dtype=dtype)


def embedding(indices: Any, weight: Any, padding_idx: int | None = None) -> Any:
    """Row ``indices[...]`` of weight (V, E): result (..., E). Row ``padding_idx`` gets no gradient.

    Raises:
        TypeError: the indices are not integers.
        IndexError: an index is negative or not below V.
    """
    i = np.asarray(plain(indices))
    if i.dtype.kind not in "iu" and i.size:
        raise TypeError(f"embedding expected integer indices, got {i.dtype}")
    n = weight.shape[0]
    if i.size and (i.min() < 0 or i.max() >= n):
        raise IndexError(f"embedding expected indices from 0 to {n - 1}, got {i.min()} to {i.max()}")
    y = getitem(weight, i.astype(np.intp, copy=False))
    return y if padding_idx is None else where((i == padding_idx)[..., None], plain(y), y)


def one_hot(indices: Any, num_classes: int, dtype: Any = np.float32) -> np.ndarray:
    """indices (...) -> (..., num_classes), zeros with a one at each index."""
    i = np.asarray(indices)
    if i.size and (i.min() < 0 or i.max() >= num_classes):
        raise IndexError(f"one_hot expected indices from 0 to {num_classes - 1}, got {i.min()} to {i.max()}")
    return np.eye(num_classes, dtype=dtype)[i]


def cross_entropy(x: Any, target: Any, ignore_index: int = -100, reduction: str = "mean") -> Any:
    """-log softmax(x) at the target class, in nats.

    Args:
        x: logits, (C), (N, C) or (N, C, d1, ...) as in PyTorch; flatten sequences to (T*B, C).
        target: class numbers of x's shape without C.
        ignore_index: targets that do not count.
        reduction: "mean" over the targets that count, "sum", or "none".

    Raises:
        ValueError: shapes do not match, or ``reduction`` is none of the three.
        IndexError: a target is no class number.
    """
    t = np.asarray(plain(target))
    axis = 1 if x.ndim > 1 else 0
    expected = x.shape[:axis] + x.shape[axis + 1 :]
    if t.shape != expected:
        raise ValueError(
            f"cross_entropy expected targets of shape {expected} for logits {x.shape}, got {t.shape}"
        )
    counts = t != ignore_index
    if counts.all():
        counts = None
    else:
        t = np.where(counts, t, 0)
    if t.size and (t.min() < 0 or t.max() >= x.shape[axis]):
        raise IndexError(
            f"cross_entropy expected targets from 0 to {x.shape[axis] - 1}, got {t.min()} to {t.max()}"
        )
    grid = list(np.ogrid[tuple(slice(n) for n in t.shape)])
    loss = -getitem(log_softmax(x, axis), (*grid[:axis], t, *grid[axis:]))
    if counts is not None:
        loss = loss * counts
    return reduce(loss, reduction, counts)


def reduce(loss: Any, reduction: str, counts: np.ndarray | None = None) -> Any:
    """The mean (over the entries that count), the sum, or the losses themselves."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return sum_(loss)
    if reduction == "mean":
        return mean(loss) if counts is None else sum_(loss) / float(counts.sum())
    raise ValueError(f"reduction expected 'mean', 'sum' or 'none', got {reduction!r}")
