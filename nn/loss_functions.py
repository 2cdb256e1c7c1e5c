"""Losses as functions, all of them compositions of operations; `functional` offers them to users.

x is the output of a model, target the output that was wanted. ``reduction`` is "mean", "sum" or "none".
Numbers of a target are used in the dtype of x. CTC has a file of its own, `ctc`; the modules are in `losses`.

Every loss takes sequences as recurrent layers give them, (T, B, ...), or (B, T, ...) under ``batch_first``:
``lengths`` (B) says how many steps of each row count, ``mask`` (T, B) which, or which elements if it has more
axes; with both, the steps in both. The others cost nothing, get no gradient, and may hold anything, NaN too.
A "mean" divides by the number of elements that count, over all sequences together: a longer sequence weighs
more. For a mean of means, take "none", which is 0 where nothing counts.
"""

from typing import Any

import numpy as np

from autograd import Variable, absolute, getitem, log, log_softmax, mean, minimum, softplus, subtract, where
from autograd import sum as sum_
from autograd.extend import Array, Operand, Value, alike, as_array, binary, data_of, unary

from .masks import over, steps_that_count


@binary
def mse_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """Mean squared error: (x - target)², x and target of one shape.

    Args:
        reduction: "mean", "sum" or "none".
        mask: bools of x's shape, or of its first axes; False does not count.
        lengths: (B), the steps that count in each row of x (T, B, ...), or (B, T, ...) if batch_first.

    >>> x = Variable([1.0, 5.0])
    >>> loss = nn.functional.mse_loss(x, [1.0, 2.0])
    >>> loss.item(), ag.grad(loss, x).data  # 2 (x - target) / 2
    (4.5, array([0., 3.]))
    """
    who = "mse_loss"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    d = subtract(x, t)
    return reduce(who, d * d, reduction, on)


@binary
def l1_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """Mean absolute error: |x - target|, arguments as in `mse_loss`; the derivative at 0 is 0.

    >>> nn.functional.l1_loss(Variable([1.0, 5.0]), [1.0, 2.0]).item()
    1.5
    """
    who = "l1_loss"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    return reduce(who, absolute(subtract(x, t)), reduction, on)


@binary
def huber_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    delta: float = 1.0,
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """d²/2 for errors d = |x - target| up to delta, and beyond it the straight line delta (d - delta/2).

    Other arguments as in `mse_loss`.

    Raises:
        ValueError: shapes differ, or delta is not above 0.

    >>> nn.functional.huber_loss(Variable([1.0, 10.0]), [0.0, 0.0], "none").data
    array([0.5, 9.5])
    """
    if not delta > 0:
        raise ValueError(f"huber_loss expected delta above 0, got {delta}")
    who = "huber_loss"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    d = absolute(subtract(x, t))
    m = minimum(d, float(delta))
    return reduce(who, m * (d - 0.5 * m), reduction, on)


@binary
def smooth_l1_loss(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    beta: float = 1.0,
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """`huber_loss` with delta = beta, divided by beta; `l1_loss` for beta = 0.

    >>> nn.functional.smooth_l1_loss(Variable([1.0, 10.0]), [0.0, 0.0], "none", beta=2.0).data
    array([0.25, 9.  ])
    """
    steps: Any = {"mask": mask, "lengths": lengths, "batch_first": batch_first}
    if beta == 0:
        return l1_loss(x, target, reduction, **steps)
    return huber_loss(x, target, reduction, beta, **steps) / float(beta)


@binary
def binary_cross_entropy_with_logits(
    x: Value,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    pos_weight: Operand | None = None,
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """-t log σ(x) - (1 - t) log(1 - σ(x)), exact for logits x of any size.

    Args:
        x: logits, any shape.
        target: t from 0 to 1, of x's shape.
        weight: multiplies the losses; broadcasts.
        pos_weight: multiplies the first term; broadcasts.
        mask, lengths, batch_first: as in `mse_loss`.

    >>> x = Variable([0.0, 1000.0])
    >>> loss = nn.functional.binary_cross_entropy_with_logits(x, [1.0, 0.0], reduction="none")
    >>> loss.data, ag.grad(loss.sum(), x).data  # log 2, and a gradient of σ(x) - t
    (array([   0.6931, 1000.    ]), array([-0.5,  1. ]))
    """
    who = "binary_cross_entropy_with_logits"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    missed = softplus(-x) if pos_weight is None else cast(pos_weight, x) * softplus(-x)
    loss = t * missed + (1.0 - t) * softplus(x)  # a sum without x: nothing cancels where a term is small
    return reduce(who, loss if weight is None else loss * cast(weight, x), reduction, on)


@unary
def cross_entropy(
    x: Value,
    target: Operand,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    weight: Operand | None = None,
    label_smoothing: float = 0.0,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
    axis: int | None = None,
) -> Value:
    """-log softmax(x) at the target class, in nats; of probabilities t of the classes, -Σ t log softmax(x).

    Args:
        x: logits, (C), (N, C) or (N, C, d1, ...) as in PyTorch, or sequences (T, B, C) with axis=-1.
        target: class numbers of x's shape without C; or probabilities, floats of x's shape.
        ignore_index: class numbers that do not count.
        reduction: "mean" over the targets that count, of class numbers by their weights; "sum", or "none".
        weight: one weight per class (C).
        label_smoothing: ε of the target's probability is spread evenly over all C classes.
        mask: bools of target's shape, or of its first axes; False does not count.
        lengths: (B), the steps that count in each row of targets (T, B), or (B, T) if batch_first.
        axis: of the classes; by default 1 as in PyTorch, and the last one with lengths.

    Raises:
        ValueError: shapes do not match, a setting is out of range, or a mean has nothing that counts.
        TypeError: class numbers or ignore_index are no integers, or the mask no bools.
        IndexError: a target is no class number.

    >>> x = Variable(np.zeros((2, 4)))  # no opinion on four classes: log 4
    >>> loss = nn.functional.cross_entropy(x, [1, 3])
    >>> round(loss.item(), 4), ag.grad(loss, x).data  # (softmax(x) - one_hot(target)) / 2
    (1.3863, array([[ 0.125, -0.375,  0.125,  0.125],
                    [ 0.125,  0.125,  0.125, -0.375]]))
    >>> x, y = Variable(np.zeros((5, 2, 4))), np.zeros((5, 2), int)  # two sequences, of five steps and one
    >>> loss = nn.functional.cross_entropy(x, y, lengths=[5, 1], reduction="none")
    >>> np.count_nonzero(loss.data, axis=0)
    array([5, 1])
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy expected label_smoothing from 0 to 1, got {label_smoothing}")
    who, axis = "cross_entropy", class_axis("cross_entropy", x, lengths, axis)
    check_ignored(who, ignore_index)
    if are_probabilities(target, x):
        if ignore_index >= 0:
            raise ValueError(f"{who} has no ignore_index={ignore_index} for probabilities: use mask")
        p, on = cast(target, x), steps_that_count(who, without(x.shape, axis), mask, lengths, batch_first, x)
        if on is not None:
            on = np.broadcast_to(over(on, x.ndim - 1), without(x.shape, axis))
            counts = np.expand_dims(on, axis)
            x, p = where(counts, x, 0.0), where(counts, p, 0.0)
        if label_smoothing:
            p = p * (1.0 - label_smoothing) + label_smoothing / x.shape[axis]
        if weight is not None:
            p = p * class_weights(who, weight, x, axis)
        return reduce(who, -sum_(p * log_softmax(x, axis), axis), reduction, on)
    t, on = class_numbers(who, x, axis, target, ignore_index, mask, lengths, batch_first)
    if on is not None:
        x = where(np.expand_dims(on, axis), x, 0.0)
    return at_targets(who, log_softmax(x, axis), axis, t, on, reduction, weight, label_smoothing)


@unary
def nll_loss(
    x: Value,
    target: Operand,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    weight: Operand | None = None,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
    axis: int | None = None,
) -> Value:
    """-x at the target class, x being log-probabilities; arguments and errors as in `cross_entropy`.

    >>> x = Variable(np.log([[0.25, 0.75], [0.5, 0.5]]))
    >>> loss = nn.functional.nll_loss(x, [1, 0], reduction="sum")
    >>> round(ag.exp(-loss).item(), 4)  # .75 · .5
    0.375
    """
    who, axis = "nll_loss", class_axis("nll_loss", x, lengths, axis)
    check_ignored(who, ignore_index)
    t, on = class_numbers(who, x, axis, target, ignore_index, mask, lengths, batch_first)
    return at_targets(who, x, axis, t, on, reduction, weight)


@binary
def kl_div(
    x: Value,
    target: Operand,
    reduction: str = "mean",
    log_target: bool = False,
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """Kullback-Leibler divergence t (log t - x), with x log-probabilities and t = target probabilities.

    Args:
        x: log-probabilities, any shape.
        target: probabilities of x's shape; their logarithms under log_target.
        reduction: "batchmean", the sum divided by the length of the first axis, is the divergence as it is
            defined; of sequences, the sum divided by the number of steps that count (True in the mask).
            "mean" divides by the number of elements.
        mask, lengths, batch_first: as in `mse_loss`.

    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> loss = nn.functional.kl_div(Variable(np.log(q)), p, "batchmean")
    >>> round(ag.exp(loss).item() ** 2, 4)  # 2 · 2/3
    1.3333
    """
    who = "kl_div"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    if log_target:
        loss = np.exp(t) * (t - x)
    else:
        some = np.greater(data_of(t), 0)  # 0 log 0 is 0, whatever x
        loss = where(some, t * (log(where(some, t, 1.0)) - where(some, x, 0.0)), 0.0)
    if reduction == "batchmean":
        rows = len(x) if on is None else on.sum().item()
        return reduce(who, loss, "sum", on) / max(rows, 1)
    return reduce(who, loss, reduction, on)


@binary
def binary_cross_entropy(
    x: Value,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """-t log x - (1 - t) log(1 - x) of probabilities x; as in PyTorch, no logarithm is below -100.

    The slope of a logarithm is at most 1e12. `binary_cross_entropy_with_logits` needs neither bound.

    Args:
        x: probabilities, any shape.
        target: t from 0 to 1, of x's shape.
        weight: multiplies the losses; broadcasts.
        mask, lengths, batch_first: as in `mse_loss`.

    Raises:
        ValueError: shapes differ, or x is not from 0 to 1.

    >>> x = Variable([0.5, 0.0])
    >>> nn.functional.binary_cross_entropy(x, [1.0, 1.0], reduction="none").data
    array([  0.6931, 100.    ])
    """
    who = "binary_cross_entropy"
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    p = data_of(x)
    if np.any((p < 0) | (p > 1)):
        raise ValueError(f"{who} expected x from 0 to 1, got {p.min()} to {p.max()}: for logits, use"
                         " binary_cross_entropy_with_logits")  # fmt: skip
    loss = -(t * log_of_probability(x) + (1.0 - t) * log_of_probability(1.0 - x))
    return reduce(who, loss if weight is None else cast(weight, x) * loss, reduction, on)


def log_of_probability(p: Value) -> Value:
    """log p, at least -100, with a slope of at most 1e12."""
    a = data_of(p)
    least = max(1e-12, float(np.finfo(a.dtype).tiny))
    low, positive = np.less(a, least), np.greater(a, 0)
    floor = np.where(positive, np.maximum(np.log(np.where(positive, a, 1.0)), -100.0), -100.0)
    return where(low, floor + (p - a) / least, log(where(low, 1.0, p)))


@binary
def gaussian_nll_loss(
    x: Value,
    target: Operand,
    var: Operand,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
    *,
    mask: Operand | None = None,
    lengths: Operand | None = None,
    batch_first: bool = False,
) -> Value:
    """(log v + (x - target)² / v) / 2 with v = max(var, eps), for a mean x and a variance that a model gives.

    Args:
        x, target: of one shape.
        var: a number, or of x's shape, or of that with a last axis of length 1, or without it: one variance
            for all that stands there. Gradients pass as if there was no eps, as in PyTorch.
        full: add log(2π) / 2, the part that is constant.
        mask, lengths, batch_first: as in `mse_loss`.

    Raises:
        ValueError: shapes do not fit, var is negative somewhere, or eps is not above 0.

    >>> x, var = Variable([1.0, 3.0]), Variable([1.0, 4.0])
    >>> loss = nn.functional.gaussian_nll_loss(x, [0.0, 1.0], var, reduction="sum")
    >>> [g.data.tolist() for g in ag.grad(loss, [x, var])]  # d/v, and (1 - d²/v) / 2v
    [[1.0, 0.5], [0.0, 0.0]]
    """
    who = "gaussian_nll_loss"
    if not eps > 0:
        raise ValueError(f"{who} expected eps above 0, got {eps}")
    v = cast(var, x)
    if v.shape == x.shape[:-1] and v.ndim:
        v = v[..., None]
    if v.shape not in (x.shape, (*x.shape[:-1], 1), ()):
        raise ValueError(f"{who} expected var of x's shape {x.shape}, or with 1 as the last, got {v.shape}")
    x, t, on = compared(who, x, target, mask, lengths, batch_first)
    if on is not None:
        v = where(over(on, x.ndim), v, 1.0)
    a = data_of(v)
    if np.any(a < 0):
        raise ValueError(f"{who} expected variances of at least 0, got {a.min()}")
    v = v + np.maximum(cast(eps, x) - a, 0.0)
    d = subtract(x, t)
    loss = 0.5 * (log(v) + d * d / v)
    return reduce(who, loss + 0.5 * np.log(2 * np.pi).item() if full else loss, reduction, on)


# --- what they share ----------------------------------------------------------------------------


def class_axis(who: str, x: Value, lengths: Operand | None, axis: int | None) -> int:
    """The axis of the classes, from 0."""
    if axis is None:
        axis = min(1, x.ndim - 1) if lengths is None else -1
    if not -x.ndim <= axis < x.ndim:
        raise ValueError(f"{who} expected the axis of the classes in shape {x.shape}, got {axis}")
    return axis % x.ndim


def check_ignored(who: str, ignore_index: Any) -> None:
    """Raise unless ignore_index is a number: PyTorch's functions have the weight in its place."""
    if not isinstance(ignore_index, int | np.integer):
        got = type(ignore_index).__name__
        raise TypeError(f"{who} expected ignore_index to be an integer, got {got}: pass weight= by its name")


def are_probabilities(target: Operand, x: Value) -> bool:
    """Is the target floats of x's shape, and not class numbers?"""
    t = data_of(target) if isinstance(target, Variable) else as_array(target)
    return bool(t.shape == x.shape and t.dtype.kind == "f")


def without(shape: tuple[int, ...], axis: int) -> tuple[int, ...]:
    """The shape without one of its axes."""
    return shape[:axis] + shape[axis + 1 :]


def class_weights(who: str, weight: Operand, x: Value, axis: int) -> Value:
    """One weight per class, to be multiplied with x."""
    w = cast(weight, x)
    if w.shape != (C := x.shape[axis],):
        raise ValueError(f"{who} expected one weight per class, shape ({C},), got {w.shape}")
    return w.reshape(-1, *[1] * (x.ndim - 1 - axis))


def weights_at(weights: Value, t: Array) -> Array:
    """The weights of `class_weights` for the class numbers t."""
    w: Array = np.take_along_axis(weights.reshape(-1), t.reshape(-1), 0).reshape(t.shape)
    return w


def at_classes(x: Value, axis: int, t: Array) -> Value:
    """x at the class numbers t."""
    grid = list(np.ogrid[tuple(slice(n) for n in t.shape)])
    return getitem(x, (*grid[:axis], t, *grid[axis:]))


def class_numbers(
    who: str,
    x: Value,
    axis: int,
    target: Operand,
    ignore_index: int | None,
    mask: Operand | None,
    lengths: Operand | None,
    batch_first: bool,
) -> tuple[Array, Array | None]:
    """The targets as indices, 0 where they do not count; and which count, None if all do."""
    t, C, expected = as_array(target, x), x.shape[axis], without(x.shape, axis)
    if t.shape != expected:
        hint = ": for classes on the last axis use axis=-1" if t.shape == x.shape[:-1] else ""
        raise ValueError(
            f"{who} expected targets of shape {expected} for logits {x.shape}, got {t.shape}{hint}"
        )
    if t.dtype.kind not in "iu" and t.size:
        raise TypeError(f"{who} expected class numbers, integers, as targets, got {t.dtype}")
    counts = t != ignore_index if ignore_index is not None else alike(np.ones(t.shape, bool), t)
    on = steps_that_count(who, t.shape, mask, lengths, batch_first, x)
    if on is not None:
        counts = counts & over(on, t.ndim)
    t = np.where(counts, t, 0).astype(np.intp)
    if t.size and (t.min() < 0 or t.max() >= C):
        raise IndexError(f"{who} expected targets from 0 to {C - 1}, got {t.min()} to {t.max()}")
    return t, None if t.size and counts.all() else counts


def at_targets(
    who: str,
    logp: Value,
    axis: int,
    t: Array,
    on: Array | None,
    reduction: str,
    weight: Operand | None,
    smoothing: float = 0.0,
) -> Value:
    """-logp at the target classes t, smoothed, where they count."""
    C = logp.shape[axis]
    loss = -at_classes(logp, axis, t)
    if smoothing:
        loss = loss * (1.0 - smoothing)
    w = at = None
    if weight is not None:
        w = class_weights(who, weight, logp, axis)
        at = weights_at(w, t)
        loss = loss * at
    if smoothing:
        loss = loss - sum_(logp if w is None else logp * w, axis) * (smoothing / C)
    return reduce(who, loss, reduction, on, at)


def reduce(
    who: str, loss: Value, reduction: str, on: Array | None = None, weights: Array | None = None
) -> Value:
    """The mean, the sum, or the losses themselves, of those that count.

    Args:
        on: bools of the loss's shape, or of its first axes; None if all count.
        weights: of the loss's shape, by the sum of which a mean divides.

    Raises:
        ValueError: another reduction, or a mean where nothing counts.
    """
    if on is not None:
        on = over(on, loss.ndim)
        loss = where(on, loss, 0.0)
    if reduction == "none":
        return loss
    if reduction == "sum":
        return sum_(loss)
    if reduction != "mean":
        raise ValueError(f"reduction expected 'mean', 'sum' or 'none', got {reduction!r}")
    if on is None and weights is None:
        return mean(loss)
    each = np.broadcast_to(alike(np.array(1), loss) if weights is None else weights, loss.shape)
    total = np.where(True if on is None else on, each, 0).sum().item()
    if not total:
        raise ValueError(f"{who}: no target counts, so there is no mean; skip this batch, or use 'sum'")
    return sum_(loss) / total


def cast(values: Operand, x: Value) -> Value:
    """Constants in the dtype of x; a Variable as it is."""
    return values if isinstance(values, Variable) else as_array(values, x).astype(x.dtype, copy=False)


def compared(
    who: str, x: Value, target: Operand, mask: Operand | None, lengths: Operand | None, batch_first: bool
) -> tuple[Value, Value, Array | None]:
    """x and the target in one shape and dtype, 0 where they do not count, and which elements count."""
    t, on = fitted(who, x, target), steps_that_count(who, x.shape, mask, lengths, batch_first, x)
    if on is None:
        return x, t, None
    each = over(on, x.ndim)
    return where(each, x, 0.0), where(each, t, 0.0), on


def fitted(who: str, x: Value, target: Operand) -> Value:
    """The target in the dtype of x, or ValueError for another shape: broadcasting hides mistakes here."""
    t = cast(target, x)
    if t.shape != x.shape:
        raise ValueError(f"{who} expected a target of x's shape {x.shape}, got {t.shape}")
    return t
