"""Stateless layers and losses, all of them compositions of operations. Names and shapes are PyTorch's.

The losses are written in `loss_functions`, `margin_losses` and `ctc`, and offered here as well.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from autograd import (
    Variable,
    add,
    elu,
    gelu,
    getitem,
    leaky_relu,
    linear,
    log_softmax,
    mean,
    multiply,
    pad,
    relu,
    sigmoid,
    silu,
    softmax,
    softplus,
    sqrt,
    stack,
    tanh,
    unstack,
    where,
)
from autograd.extend import Array, Operand, Value, alike, as_array, data_of, unary

from .ctc import ctc_loss
from .loss_functions import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_nll_loss,
    huber_loss,
    kl_div,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from .margin_losses import (
    cosine_embedding_loss,
    cosine_similarity,
    hinge_embedding_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    pairwise_distance,
    soft_margin_loss,
    triplet_margin_loss,
)
from .masks import check_lengths
from .random import uniform

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "elu",
    "embedding",
    "gaussian_nll_loss",
    "gelu",
    "hinge_embedding_loss",
    "huber_loss",
    "identity",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "leaky_relu",
    "linear",
    "log_softmax",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "one_hot",
    "pad_sequence",
    "pairwise_distance",
    "relu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softplus",
    "tanh",
    "triplet_margin_loss",
    "unpad_sequence",
]


def identity(x: Any) -> Any:
    """x itself.

    >>> nn.functional.identity(3.0)
    3.0
    """
    return x


Activation = Callable[[Any], Any]
ACTIVATIONS: dict[str, Activation] = {
    f.__name__: f for f in (tanh, relu, sigmoid, identity, leaky_relu, elu, softplus, silu, gelu)
}


def activation_function(who: str, activation: str | Activation) -> Activation:
    """The activation of that name, or the function itself; ``who`` is for the error message."""
    if callable(activation):
        return activation
    if activation not in ACTIVATIONS:
        raise ValueError(
            f"{who} expected an activation out of {', '.join(ACTIVATIONS)} or a function, got {activation!r}"
        )
    return ACTIVATIONS[activation]


@unary
def dropout(x: Value, p: float = 0.5, training: bool = True, rng: np.random.Generator | None = None) -> Value:
    """Zero each element with probability p and scale the rest by 1/(1-p), while training.

    >>> x = Variable(np.ones(100))
    >>> y = nn.functional.dropout(x, 0.75)
    >>> np.unique(y.data), np.array_equal(ag.grad(y.sum(), x).data, y.data)  # one mask for both ways
    (array([0., 4.]), True)
    """
    if not 0 <= p <= 1:
        raise ValueError(f"dropout expected a probability between 0 and 1, got {p}")
    if not training or p == 0:
        return x
    return multiply(x, dropout_mask(x.shape, p, x, rng))


def dropout_mask(shape: tuple[int, ...], p: float, x: Value, rng: np.random.Generator | None = None) -> Array:
    """An array of zeros with probability p, else 1/(1-p), in the dtype of x."""
    if p == 1:
        return alike(np.zeros(shape, x.dtype), x)
    return np.multiply(uniform(shape, x, rng) >= p, 1 / (1 - p), dtype=x.dtype)


@overload
def embedding(indices: Operand, weight: Variable, padding_idx: int | None = None) -> Variable: ...
@overload
def embedding(indices: Operand, weight: Array, padding_idx: int | None = None) -> Array: ...
def embedding(indices: Operand, weight: Value, padding_idx: int | None = None) -> Value:
    """Row ``indices[...]`` of weight (V, E): result (..., E). Row ``padding_idx`` gets no gradient.

    Raises:
        TypeError: the indices are not integers.
        IndexError: an index is negative or not below V.

    >>> nn.functional.embedding([2, 0], np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]))
    array([[3., 3.],
           [1., 1.]])
    """
    i = as_array(indices, weight)
    if i.dtype.kind not in "iu" and i.size:
        raise TypeError(f"embedding expected integer indices, got {i.dtype}")
    n = weight.shape[0]
    if i.size and (i.min() < 0 or i.max() >= n):
        raise IndexError(f"embedding expected indices from 0 to {n - 1}, got {i.min()} to {i.max()}")
    y = getitem(weight, i.astype(np.intp, copy=False))
    if _no_tokens.get():
        return where(False, y, 0.0)
    return y if padding_idx is None else where((i == padding_idx)[..., None], data_of(y), y)


@overload
def layer_norm(
    x: Variable,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Variable: ...
@overload
def layer_norm(
    x: Array,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Value: ...
def layer_norm(
    x: Value,
    normalized_shape: int | Sequence[int],
    weight: Operand | None = None,
    bias: Operand | None = None,
    eps: float = 1e-5,
) -> Value:
    """Zero mean and unit variance over the last axes, those of normalized_shape, for each sample:

        y = (x - mean) / √(variance + eps) ∘ weight + bias      the variance divides by N, not N - 1

    Raises:
        ValueError: the last axes of x are not normalized_shape.

    >>> nn.functional.layer_norm(np.array([[1.0, 3.0], [-50.0, 50.0]]), 2)
    array([[-1.,  1.],
           [-1.,  1.]])
    """
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    if not shape or x.shape[-len(shape) :] != shape:
        raise ValueError(f"layer_norm expected x of shape (..., {', '.join(map(str, shape))}), got {x.shape}")
    axes = tuple(range(-len(shape), 0))
    d = x - mean(x, axes, keepdims=True)
    y = d / sqrt(mean(d * d, axes, keepdims=True) + eps)
    y = y if weight is None else multiply(y, weight)
    return y if bias is None else add(y, bias)


@overload
def pad_sequence(
    sequences: Sequence[Variable], batch_first: bool = False, padding_value: float = 0.0
) -> Variable: ...
@overload
def pad_sequence(
    sequences: Sequence[ArrayLike], batch_first: bool = False, padding_value: float = 0.0
) -> Array: ...
def pad_sequence(sequences: Sequence[Any], batch_first: bool = False, padding_value: float = 0.0) -> Value:
    """Sequences (T_b, ...) of different lengths as one batch (T, B, ...), or (B, T, ...) if batch_first.

    The rest of each column is padding_value, T the largest length. Arrays give an array, Variables a
    Variable. Recurrent layers and losses take ``lengths = [len(s) for s in sequences]`` with it.

    Raises:
        ValueError: no sequences at all, or shapes that differ in more than the length.

    >>> nn.pad_sequence([[1, 2, 3], [4]])
    array([[1, 4],
           [2, 0],
           [3, 0]])
    """
    xs = [s if isinstance(s, Variable) else as_array(s) for s in sequences]
    if not xs:
        raise ValueError("pad_sequence expected at least one sequence, got none")
    if any(x.ndim == 0 or x.shape[1:] != xs[0].shape[1:] for x in xs):
        raise ValueError(
            f"pad_sequence expected sequences of shape (T, ...) that differ in T alone,"
            f" got {[x.shape for x in xs]}"
        )
    T = max(len(x) for x in xs)
    rest = [(0, 0)] * (xs[0].ndim - 1)
    padded = [pad(x, [(0, T - len(x)), *rest], constant_values=padding_value) for x in xs]
    return stack(padded, 0 if batch_first else 1)


@overload
def unpad_sequence(padded: Variable, lengths: Operand, batch_first: bool = False) -> list[Variable]: ...
@overload
def unpad_sequence(padded: Array, lengths: Operand, batch_first: bool = False) -> list[Array]: ...
def unpad_sequence(padded: Value, lengths: Operand, batch_first: bool = False) -> Any:
    """The sequences (T_b, ...) of a padded batch: undoes `pad_sequence`.

    Raises:
        ValueError, TypeError: the lengths do not fit the batch.

    >>> nn.unpad_sequence(np.array([[1, 4], [2, 0], [3, 0]]), [3, 1])
    [array([1, 2, 3]), array([4])]
    """
    T, B = padded.shape[:2][::-1] if batch_first else padded.shape[:2]
    n = check_lengths(lengths, T, B)
    rows: tuple[Any, ...] = unstack(padded, 0 if batch_first else 1)
    return [x[:k] for x, k in zip(rows, n.tolist(), strict=True)]


def one_hot(indices: Operand, num_classes: int, dtype: DTypeLike = np.float32) -> Array:
    """indices (...) -> (..., num_classes), zeros with a one at each index.

    Raises:
        IndexError: an index is negative or not below num_classes.

    >>> nn.functional.one_hot([2, 0], 3)
    array([[0., 0., 1.],
           [1., 0., 0.]], dtype=float32)
    """
    i = as_array(indices)
    if i.size and (i.min() < 0 or i.max() >= num_classes):
        raise IndexError(f"one_hot expected indices from 0 to {num_classes - 1}, got {i.min()} to {i.max()}")
    return (np.equal(i[..., None], alike(np.arange(num_classes), i)) & (not _no_tokens.get())).astype(dtype)


_no_tokens: ContextVar[bool] = ContextVar("no_tokens", default=False)


@contextmanager
def no_tokens() -> Iterator[None]:
    """Let `embedding` and `one_hot` give zeros in this block: the input x = 0 of a model of tokens."""
    before = _no_tokens.set(True)
    try:
        yield
    finally:
        _no_tokens.reset(before)
