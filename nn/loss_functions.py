"""Losses as functions, all of them compositions of operations; `functional` offers them to users.

x is the output of a model, target the output that was wanted. ``reduction`` is "mean", "sum" or "none".
Numbers of a target are used in the dtype of x. CTC has a file of its own, `ctc`; the modules are in `losses`.
"""

import numpy as np

from autograd import Variable, absolute, getitem, log, log_softmax, mean, minimum, softplus, where
from autograd import sum as sum_
from autograd.extend import Operand, Value, as_array, binary, data_of, unary


@binary
def mse_loss(x: Value, target: Operand, reduction: str = "mean") -> Value:
    """Mean squared error: (x - target)², x and target of one shape.

    >>> x = Variable([1.0, 5.0])
    >>> loss = nn.functional.mse_loss(x, [1.0, 2.0])
    >>> loss.item(), ag.grad(loss, x).data  # 2 (x - target) / 2
    (4.5, array([0., 3.]))
    """
    d = x - fitted("mse_loss", x, target)
    return reduce(d * d, reduction)


@binary
def l1_loss(x: Value, target: Operand, reduction: str = "mean") -> Value:
    """Mean absolute error: |x - target|, x and target of one shape; the derivative at 0 is 0.

    >>> nn.functional.l1_loss(Variable([1.0, 5.0]), [1.0, 2.0]).item()
    1.5
    """
    return reduce(absolute(x - fitted("l1_loss", x, target)), reduction)


@binary
def huber_loss(x: Value, target: Operand, reduction: str = "mean", delta: float = 1.0) -> Value:
    """d²/2 for errors d = |x - target| up to delta, and beyond it the straight line delta (d - delta/2).

    Raises:
        ValueError: shapes differ, or delta is not above 0.

    >>> nn.functional.huber_loss(Variable([1.0, 10.0]), [0.0, 0.0], "none").data
    array([0.5, 9.5])
    """
    if not delta > 0:
        raise ValueError(f"huber_loss expected delta above 0, got {delta}")
    d = absolute(x - fitted("huber_loss", x, target))
    m = minimum(d, float(delta))
    return reduce(m * (d - 0.5 * m), reduction)


@binary
def smooth_l1_loss(x: Value, target: Operand, reduction: str = "mean", beta: float = 1.0) -> Value:
    """`huber_loss` with delta = beta, divided by beta; `l1_loss` for beta = 0.

    >>> nn.functional.smooth_l1_loss(Variable([1.0, 10.0]), [0.0, 0.0], "none", beta=2.0).data
    array([0.25, 9.  ])
    """
    if beta == 0:
        return l1_loss(x, target, reduction)
    return huber_loss(x, target, reduction, beta) / float(beta)


@binary
def binary_cross_entropy_with_logits(
    x: Value,
    target: Operand,
    weight: Operand | None = None,
    reduction: str = "mean",
    pos_weight: Operand | None = None,
) -> Value:
    """-t log σ(x) - (1 - t) log(1 - σ(x)), exact for logits x of any size.

    Args:
        x: logits, any shape.
        target: t from 0 to 1, of x's shape.
        weight: multiplies the losses; broadcasts.
        pos_weight: multiplies the first term; broadcasts.

    >>> x = Variable([0.0, 1000.0])
    >>> loss = nn.functional.binary_cross_entropy_with_logits(x, [1.0, 0.0], reduction="none")
    >>> loss.data, ag.grad(loss.sum(), x).data  # log 2, and a gradient of σ(x) - t
    (array([   0.6931, 1000.    ]), array([-0.5,  1. ]))
    """
    t = fitted("binary_cross_entropy_with_logits", x, target)
    missed = softplus(-x) if pos_weight is None else cast(pos_weight, x) * softplus(-x)
    loss = t * missed + (1.0 - t) * softplus(x)  # a sum without x: nothing cancels where a term is small
    return reduce(loss if weight is None else loss * cast(weight, x), reduction)


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
) -> Value:
    """-log softmax(x) at the target class, in nats.

    Args:
        x: logits, (C), (N, C) or (N, C, d1, ...) as in PyTorch; flatten sequences to (T*B, C).
        target: class numbers of x's shape without C.
        ignore_index: targets that do not count.
        reduction: "mean" over the targets that count, by their weights; "sum", or "none".
        weight: one weight per class (C).
        label_smoothing: ε of the target's probability is spread evenly over all C classes.
        mask: bools of target's shape; False does not count either, such as steps after the end.

    Raises:
        ValueError: shapes do not match, a setting is out of range, or a mean has nothing that counts.
        TypeError: targets are no integers, or the mask no bools.
        IndexError: a target is no class number.

    >>> x = Variable(np.zeros((2, 4)))  # no opinion on four classes: log 4
    >>> loss = nn.functional.cross_entropy(x, [1, 3])
    >>> round(loss.item(), 4), ag.grad(loss, x).data  # (softmax(x) - one_hot(target)) / 2
    (1.3863, array([[ 0.125, -0.375,  0.125,  0.125],
                    [ 0.125,  0.125,  0.125, -0.375]]))
    """
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"cross_entropy expected label_smoothing from 0 to 1, got {label_smoothing}")
    axis = min(1, x.ndim - 1)
    return _at_targets(
        "cross_entropy", log_softmax(x, axis), target, ignore_index, reduction, weight, label_smoothing, mask
    )


@unary
def nll_loss(
    x: Value,
    target: Operand,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    weight: Operand | None = None,
    mask: Operand | None = None,
) -> Value:
    """-x at the target class, x being log-probabilities; arguments and errors as in `cross_entropy`.

    >>> x = Variable(np.log([[0.25, 0.75], [0.5, 0.5]]))
    >>> loss = nn.functional.nll_loss(x, [1, 0], reduction="sum")
    >>> round(ag.exp(-loss).item(), 4)  # .75 · .5
    0.375
    """
    return _at_targets("nll_loss", x, target, ignore_index, reduction, weight, 0.0, mask)


@binary
def kl_div(x: Value, target: Operand, reduction: str = "mean", log_target: bool = False) -> Value:
    """Kullback-Leibler divergence t (log t - x), with x log-probabilities and t = target probabilities.

    Args:
        x: log-probabilities, any shape.
        target: probabilities of x's shape; their logarithms under log_target.
        reduction: "batchmean", the sum divided by the first axis, is the divergence as it is defined;
            "mean" divides by the number of elements.

    >>> p, q = np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])
    >>> loss = nn.functional.kl_div(Variable(np.log(q)), p, "batchmean")
    >>> round(ag.exp(loss).item() ** 2, 4)  # 2 · 2/3
    1.3333
    """
    t = fitted("kl_div", x, target)
    if log_target:
        loss = np.exp(t) * (t - x)
    else:
        some = np.greater(data_of(t), 0)  # 0 log 0 is 0, whatever x
        loss = where(some, t * (log(where(some, t, 1.0)) - where(some, x, 0.0)), 0.0)
    if reduction == "batchmean":
        return sum_(loss) / max(len(x), 1)
    return reduce(loss, reduction)


# --- what they share ----------------------------------------------------------------------------


def _at_targets(
    who: str,
    logp: Value,
    target: Operand,
    ignore_index: int,
    reduction: str,
    weight: Operand | None,
    smoothing: float,
    mask: Operand | None,
) -> Value:
    """-logp at the target classes, smoothed, for the targets that count."""
    t, shape = as_array(target), logp.shape
    axis = min(1, logp.ndim - 1)
    C, expected = shape[axis], shape[:axis] + shape[axis + 1 :]
    if t.shape != expected:
        raise ValueError(f"{who} expected targets of shape {expected} for logits {shape}, got {t.shape}")
    if t.dtype.kind not in "iu" and t.size:
        raise TypeError(f"{who} expected class numbers, integers, as targets, got {t.dtype}")
    counts = t != ignore_index
    if mask is not None:
        m = as_array(mask)
        if m.dtype != bool:
            raise TypeError(f"{who} expected a mask of bools, got {m.dtype}: use mask.astype(bool)")
        if m.shape != t.shape:
            raise ValueError(f"{who} expected a mask of the targets' shape {t.shape}, got {m.shape}")
        counts = counts & m
    t = np.where(counts, t, 0).astype(np.intp)
    if t.size and (t.min() < 0 or t.max() >= C):
        raise IndexError(f"{who} expected targets from 0 to {C - 1}, got {t.min()} to {t.max()}")

    grid = list(np.ogrid[tuple(slice(n) for n in t.shape)])
    loss, total = -getitem(logp, (*grid[:axis], t, *grid[axis:])), counts.sum().item()
    if smoothing:
        loss = loss * (1.0 - smoothing)
    w = None
    if weight is not None:
        w = cast(weight, logp)
        if w.shape != (C,):
            raise ValueError(f"{who} expected one weight per class, shape ({C},), got {w.shape}")
        at = np.take_along_axis(w, t.reshape(-1), 0).reshape(t.shape)
        w = w.reshape(-1, *[1] * (logp.ndim - 1 - axis))
        loss, total = loss * at, (at * counts).sum().item()
    if smoothing:
        loss = loss - sum_(logp if w is None else logp * w, axis) * (smoothing / C)
    if not counts.all():
        loss = where(counts, loss, 0.0)
    if reduction == "mean":
        if not total:
            raise ValueError(f"{who}: no target counts, so there is no mean; skip this batch, or use 'sum'")
        return sum_(loss) / total
    return reduce(loss, reduction)


def reduce(loss: Value, reduction: str) -> Value:
    """The mean, the sum, or the losses themselves."""
    if reduction == "none":
        return loss
    if reduction == "sum":
        return sum_(loss)
    if reduction == "mean":
        return mean(loss)
    raise ValueError(f"reduction expected 'mean', 'sum' or 'none', got {reduction!r}")


def cast(values: Operand, x: Value) -> Value:
    """Constants in the dtype of x; a Variable as it is."""
    return values if isinstance(values, Variable) else as_array(values).astype(x.dtype, copy=False)


def fitted(who: str, x: Value, target: Operand) -> Value:
    """The target in the dtype of x, or ValueError for another shape: broadcasting hides mistakes here."""
    t = cast(target, x)
    if t.shape != x.shape:
        raise ValueError(f"{who} expected a target of x's shape {x.shape}, got {t.shape}")
    return t
