"""Losses that leave a margin: distances, similarities and scores need only be far enough on the right side.

Compositions, in PyTorch's names; `functional` offers them. ``reduction``, ``mask``, ``lengths`` and
``batch_first`` are those of `loss_functions`. Targets of two kinds are 1 and -1; another number is an error.
"""

import math
from typing import Any

import numpy as np

from autograd import (
    absolute,
    broadcast_to,
    expand_dims,
    maximum,
    minimum,
    relu,
    softplus,
    sqrt,
    subtract,
    take_along_axis,
    where,
)
from autograd import max as max_
from autograd import sum as sum_
from autograd.extend import Array, Operand, Value, alike, as_array, binary, unary

from .loss_functions import (
    at_classes,
    cast,
    class_axis,
    class_numbers,
    class_weights,
    compared,
    fitted,
    reduce,
    weights_at,
)
from .masks import over, steps_that_count

# --- distances and similarities ---------------------------------------------------------------------


@binary
def cosine_similarity(x1: Value, x2: Operand, dim: int = 1, eps: float = 1e-8) -> Value:
    """x1 · x2 / (|x1| |x2|) over axis dim; lengths below eps count as eps. Broadcasts.

    >>> nn.functional.cosine_similarity(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))  # 45°
    array([0.7071])
    """
    x2 = cast(x2, x1)
    shape = np.broadcast_shapes(x1.shape, x2.shape)
    both = [broadcast_to(x, shape) for x in (x1, x2)]
    a, b = (x / sqrt(maximum(sum_(x * x, dim, keepdims=True), eps * eps)) for x in both)
    y: Value = sum_(a * b, dim)
    return y


@binary
def pairwise_distance(
    x1: Value, x2: Operand, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Value:
    """The p-norm of x1 - x2 + eps over the last axis, as in PyTorch; broadcasts.

    Raises:
        ValueError: p is not above 0.

    >>> nn.functional.pairwise_distance(np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    array([5.])
    """
    if not p > 0:
        raise ValueError(f"pairwise_distance expected p above 0, got {p}")
    d = subtract(x1, cast(x2, x1)) + eps
    if p == 2:
        return sqrt(sum_(d * d, -1, keepdims=keepdim))
    if p == math.inf:
        return max_(absolute(d), -1, keepdims=keepdim)
    total = sum_(absolute(d) ** p, -1, keepdims=keepdim)
    return total if p == 1 else total ** (1.0 / p)


# --- losses -----------------------------------------------------------------------------------------


@binary
def cosine_embedding_loss(
    x1: Value,
    x2: Operand,
    target: Operand,
    margin: float = 0.0,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """1 - cos(x1, x2) for a target of 1, and max(0, cos - margin) for one of -1.

    Args:
        x1, x2: of one shape, (..., E).
        target: 1 or -1, of their shape without E.
        mask, lengths, batch_first: as in `mse_loss`, for the axes without E.

    >>> x1, x2 = Variable([[1.0, 0.0], [1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    >>> nn.functional.cosine_embedding_loss(x1, x2, [1, -1], margin=0.25, reduction="none").data
    array([1.  , 0.75])
    """
    who = "cosine_embedding_loss"
    (a, b), on = vectors(who, [x1, x2], mask, lengths, batch_first)
    same = are_positive(who, target, a.shape[:-1], on, a)
    cos: Any = sum_(a * b, -1) / sqrt((sum_(a * a, -1) + 1e-12) * (sum_(b * b, -1) + 1e-12))  # PyTorch's ε
    return reduce(who, where(same, 1.0 - cos, relu(cos - margin)), reduction, on)


@binary
def margin_ranking_loss(
    x1: Value,
    x2: Operand,
    target: Operand,
    margin: float = 0.0,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """max(0, margin - target (x1 - x2)): a target of 1 wants x1 above x2, one of -1 below.

    All of one shape; other arguments as in `mse_loss`.

    >>> x1 = Variable([2.0, 2.0])
    >>> nn.functional.margin_ranking_loss(x1, [0.0, 1.5], [1, 1], margin=1.0, reduction="none").data
    array([0. , 0.5])
    """
    who = "margin_ranking_loss"
    x1, x2, on = compared(who, x1, x2, mask, lengths, batch_first)
    sign = np.where(are_positive(who, target, x1.shape, on, x1), cast(1.0, x1), -1.0)
    return reduce(who, relu(margin - sign * subtract(x1, x2)), reduction, on)


@unary
def hinge_embedding_loss(
    x: Value,
    target: Operand,
    margin: float = 1.0,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """A distance x itself for a target of 1, and max(0, margin - x) for one of -1.

    >>> nn.functional.hinge_embedding_loss(Variable([0.25, 0.25]), [1, -1], reduction="none").data
    array([0.25, 0.75])
    """
    who = "hinge_embedding_loss"
    x, on = counted(who, x, mask, lengths, batch_first)
    same = are_positive(who, target, x.shape, on, x)
    return reduce(who, where(same, x, relu(margin - x)), reduction, on)


@unary
def soft_margin_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """log(1 + exp(-target x)), targets 1 and -1; exact for scores x of any size.

    >>> nn.functional.soft_margin_loss(Variable([0.0, -1000.0]), [1, 1], reduction="none").data
    array([   0.6931, 1000.    ])
    """
    who = "soft_margin_loss"
    x, on = counted(who, x, mask, lengths, batch_first)
    same = are_positive(who, target, x.shape, on, x)
    return reduce(who, softplus(where(same, -x, x)), reduction, on)


@unary
def multi_margin_loss(
    x: Value,
    target: Operand,
    p: int = 1,
    margin: float = 1.0,
    weight: Operand | None = None,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
    axis: int | None = None,
) -> Value:
    """Σ max(0, margin - x at the target class + x at another)ᵖ / C over the other classes.

    Args:
        x: scores of C classes; target: class numbers; both, and axis, as in `cross_entropy`.
        p: 1 or 2.
        weight: of the target's class, (C).

    >>> x = Variable([[1.0, 0.5, -3.0]])
    >>> nn.functional.multi_margin_loss(x, [0]).item() * 3
    0.5
    """
    who, axis = "multi_margin_loss", class_axis("multi_margin_loss", x, lengths, axis)
    if p not in (1, 2):
        raise ValueError(f"{who} expected p to be 1 or 2, got {p}")
    t, on = class_numbers(who, x, axis, target, None, mask, lengths, batch_first)
    if on is not None:
        x = where(np.expand_dims(on, axis), x, 0.0)
    C = x.shape[axis]
    m = relu(margin - expand_dims(at_classes(x, axis, t), axis) + x)
    classes = alike(np.arange(C), x).reshape(-1, *[1] * (x.ndim - 1 - axis))
    loss = sum_(where(classes == np.expand_dims(t, axis), 0.0, m if p == 1 else m * m), axis) / C
    if weight is not None:
        loss = loss * weights_at(class_weights(who, weight, x, axis), t)
    return reduce(who, loss, reduction, on)


@unary
def multilabel_margin_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """Σ max(0, 1 - x at a target class + x at a class that is none) / C over all such pairs.

    Args:
        x: scores (..., C).
        target: of x's shape, the numbers of some classes and then -1; what follows that does not matter.

    >>> x = Variable([0.0, 2.0, 0.5])
    >>> nn.functional.multilabel_margin_loss(x, [1, 2, -1]).item() * 3  # 2 is far above 0, 0.5 is not
    0.5
    """
    who = "multilabel_margin_loss"
    t = as_array(target, x)
    if not x.ndim or t.shape != x.shape:
        raise ValueError(f"{who} expected x and targets of one shape (..., C), got {x.shape} and {t.shape}")
    if t.dtype.kind not in "iu":
        raise TypeError(f"{who} expected class numbers, integers, as targets, got {t.dtype}")
    (x,), on = vectors(who, [x], mask, lengths, batch_first)
    if on is not None:
        t = np.where(over(on, x.ndim), t, -1)
    listed = np.cumprod(t >= 0, -1).astype(bool)
    if np.any(listed & (t >= (C := x.shape[-1]))):
        raise IndexError(f"{who} expected classes from 0 to {C - 1}, got {t.max()}")
    t = np.where(listed, t, 0)
    wanted = ((t[..., None] == alike(np.arange(C), t)) & listed[..., None]).any(-2)
    own = take_along_axis(x, t, -1)
    m = relu(1.0 - expand_dims(own, -1) + expand_dims(x, -2))
    pairs = listed[..., None] & ~wanted[..., None, :]
    return reduce(who, sum_(where(pairs, m, 0.0), (-2, -1)) / C, reduction, on)


@unary
def multilabel_soft_margin_loss(
    x: Value,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """The mean over C classes of -t log σ(x) - (1 - t) log(1 - σ(x)).

    Args:
        x: logits (..., C).
        target: t from 0 to 1, of x's shape.
        weight: multiplies the terms; broadcasts.

    >>> x = Variable([[0.0, 1000.0]])
    >>> nn.functional.multilabel_soft_margin_loss(x, [[1.0, 1.0]]).item() * 2  # log 2
    0.6931471805599453
    """
    who = "multilabel_soft_margin_loss"
    t = fitted(who, x, target)
    (x, t), on = vectors(who, [x, t], mask, lengths, batch_first)
    loss = t * softplus(-x) + (1.0 - t) * softplus(x)
    if weight is not None:
        loss = loss * cast(weight, x)
    return reduce(who, sum_(loss, -1) / x.shape[-1], reduction, on)


@binary
def triplet_margin_loss(
    anchor: Value,
    positive: Operand,
    negative: Operand,
    margin: float = 1.0,
    p: float = 2.0,
    eps: float = 1e-6,
    swap: bool = False,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """max(0, |anchor - positive| - |anchor - negative| + margin) (Balntas et al. 2016).

    Args:
        anchor, positive, negative: of one shape, (..., E); distances are `pairwise_distance`'s.
        swap: the negative's distance is that from the positive where it is smaller.
        mask, lengths, batch_first: as in `mse_loss`, for the axes without E.

    >>> a, p, n = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 5.5]])
    >>> round(nn.functional.triplet_margin_loss(Variable(a), p, n).item(), 4)  # 5 - 5.5 + 1
    0.5
    """
    who = "triplet_margin_loss"
    if not margin > 0:
        raise ValueError(f"{who} expected margin above 0, got {margin}")
    (a, b, c), on = vectors(who, [anchor, positive, negative], mask, lengths, batch_first)
    near, far = pairwise_distance(a, b, p, eps), pairwise_distance(a, c, p, eps)
    if swap:
        far = minimum(far, pairwise_distance(b, c, p, eps))
    return reduce(who, relu(near - far + margin), reduction, on)


# --- what they share --------------------------------------------------------------------------------


def counted(
    who: str, x: Value, mask: Operand | None, lengths: Operand | None, batch_first: bool
) -> tuple[Value, Array | None]:
    """x, 0 where it does not count, and which elements count."""
    on = steps_that_count(who, x.shape, mask, lengths, batch_first, x)
    return (x, None) if on is None else (where(over(on, x.ndim), x, 0.0), on)


def vectors(
    who: str, xs: list[Any], mask: Operand | None, lengths: Operand | None, batch_first: bool
) -> tuple[list[Any], Array | None]:
    """Vectors on the last axis, in the shape and dtype of the first ones, 0 where they do not count."""
    xs = [xs[0], *[cast(x, xs[0]) for x in xs[1:]]]
    if any(x.shape != xs[0].shape for x in xs) or not xs[0].ndim:
        raise ValueError(f"{who} expected vectors of one shape (..., E), got {[x.shape for x in xs]}")
    on = steps_that_count(who, xs[0].shape[:-1], mask, lengths, batch_first, xs[0])
    if on is not None:
        xs = [where(over(on, x.ndim), x, 0.0) for x in xs]
    return xs, on


def are_positive(who: str, target: Operand, shape: tuple[int, ...], on: Array | None, like: Value) -> Array:
    """Which targets are 1; the others that count have to be -1."""
    t = as_array(target, like)
    if t.shape != shape:
        raise ValueError(f"{who} expected targets of shape {shape}, got {t.shape}")
    positive = t == 1
    right = positive | (t == -1)
    if not np.all(right if on is None else right | ~over(on, t.ndim)):
        raise ValueError(f"{who} expected targets 1 and -1; for 0 and 1, pass 2 * target - 1")
    return positive
