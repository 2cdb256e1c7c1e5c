"""Connectionist temporal classification (Graves et al. 2006): the probability of a label sequence whose
alignment with the input is unknown, from operations alone.

A path gives one symbol per step; dropping repetitions and then blanks turns it into labels. The loss is
-log of the sum over all paths that give the target, by dynamic programming over the target with blanks
around every label, l' = (␣, l1, ␣, l2, ␣, ...), in the log domain:

    α(t, s) = log-probability of all beginnings of paths that are at l'(s) at step t
            = logsumexp(α(t-1, s), α(t-1, s-1), α(t-1, s-2)) + logp(t, l'(s))

where the jump from s-2 is open only to a label other than l'(s-2), and log p = logsumexp of α at the last
two positions, at the last step. `ctc_decode` goes the other way, from log-probabilities to labels.
"""

from typing import Any, NamedTuple

import numpy as np

from autograd import getitem, logsumexp, mean, pad, stack, unstack, where
from autograd.extend import Array, Operand, Value, alike, as_array, data_of, to_host, unary

from .loss_functions import reduce
from .masks import check_lengths


@unary
def ctc_loss(
    log_probs: Value,
    targets: Operand,
    input_lengths: Operand,
    target_lengths: Operand,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Value:
    """-log p(targets | log_probs), summed over all alignments, in nats.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence: log-probabilities of the C symbols at each step.
        targets: labels without blanks, (B, S) padded or all in one row (the sum of target_lengths); (S)
            for one sequence.
        input_lengths: steps of each sequence, integers from 1 to T, (B); a number for one sequence.
        target_lengths: labels of each target, integers from 0 to S, (B); a number for one sequence.
        blank: the symbol that stands for none.
        reduction: "mean" divides each loss by the length of its target (at least 1) and averages; "sum",
            or "none" for the losses (B).
        zero_infinity: an impossible target (too long for its input) costs 0 rather than infinity. Its
            gradient is zero in either case.

    Raises:
        ValueError: shapes, lengths or labels do not fit. TypeError: they are no integers.

    >>> log_probs = Variable(np.log(np.full((2, 1, 3), 1 / 3)))  # two steps, one row, two labels and a blank
    >>> loss = nn.functional.ctc_loss(log_probs, [[1]], [2], [1], reduction="sum")
    >>> round(9 * ag.exp(-loss).item(), 4)  # of nine paths: 1 1, blank 1 and 1 blank
    3.0
    """
    if log_probs.ndim not in (2, 3):
        raise ValueError(f"ctc_loss expected log_probs (T, B, C) or (T, C), got shape {log_probs.shape}")
    if log_probs.ndim == 2:
        one_row = np.reshape(to_host(targets), (1, -1))
        n, m = [np.reshape(to_host(k), -1) for k in (input_lengths, target_lengths)]
        y = ctc_loss(log_probs[:, None], one_row, n, m, blank, "none", zero_infinity)
        return (
            y[0]
            if reduction == "none"
            else reduce("ctc_loss", y / _divisor(target_lengths, reduction, log_probs), reduction)
        )
    T, B, C = log_probs.shape
    n = _lengths("input_lengths", input_lengths, B, 1, T)
    m = _lengths("target_lengths", target_lengths, B, 0, None)
    labels = _labels(targets, m, B, C, blank)

    # l' of every row, and where it may be entered from two positions before
    extended = _between(labels, blank)
    L = extended.shape[1]
    differs = labels[:, 1:] != labels[:, :-1]
    skip = _between(np.concatenate([np.zeros((B, L // 2), bool)[:, :1], differs], 1), False)
    skip = alike(skip, log_probs)

    rows = np.arange(B)
    scores = unstack(getitem(log_probs, (slice(None), rows[:, None], extended)))  # T times (B, L)
    a = where(alike(np.arange(L) < 2, log_probs), scores[0], -np.inf)
    ragged = bool((n < T).any())
    for t in range(1, T):
        before = pad(a, ((0, 0), (2, 0)), constant_values=-np.inf)
        ways = [a, before[:, 1:-1], where(skip, before[:, :-2], -np.inf)]
        new = logsumexp(stack(ways), 0) + scores[t]
        a = where(alike((t < n)[:, None], log_probs), new, a) if ragged else new
    last = getitem(a, (rows, 2 * m))
    label = where(alike(m > 0, log_probs), getitem(a, (rows, np.maximum(2 * m - 1, 0))), -np.inf)
    loss = -logsumexp(stack([last, label]), 0)
    if zero_infinity:
        loss = where(np.isinf(data_of(loss)), 0.0, loss)
    return (
        mean(loss / _divisor(m, reduction, log_probs))
        if reduction == "mean"
        else reduce("ctc_loss", loss, reduction)
    )


def _divisor(lengths: Operand, reduction: str, like: Value) -> Array | float:
    """The number that a mean divides each loss by: the length of its target, at least 1."""
    return alike(np.maximum(to_host(lengths), 1).astype(np.float32), like) if reduction == "mean" else 1.0


def _lengths(what: str, lengths: Operand, B: int, least: int, most: int | None) -> Array:
    """The lengths as an array of B integers from ``least`` to ``most``, or an error."""
    k = to_host(as_array(lengths))
    if k.shape != (B,):
        raise ValueError(f"ctc_loss expected {what} of shape ({B},), got {k.shape}")
    if k.dtype.kind not in "iu" and B:
        raise TypeError(f"ctc_loss expected {what} to be integers, got {k.dtype}")
    if B and (k.min() < least or (most is not None and k.max() > most)):
        bound = "at least" if most is None else "from"
        upper = "" if most is None else f" to T={most}"
        raise ValueError(f"ctc_loss expected {what} {bound} {least}{upper}, got {k.min()} to {k.max()}")
    return k.astype(np.intp)


def _labels(targets: Operand, lengths: Array, B: int, C: int, blank: int) -> Array:
    """The targets as one padded array (B, S) with S the largest length, checked."""
    if not 0 <= blank < C:
        raise ValueError(f"ctc_loss expected blank from 0 to {C - 1}, got {blank}")
    t = to_host(as_array(targets))
    if t.dtype.kind not in "iu" and t.size:
        raise TypeError(f"ctc_loss expected integer targets, got {t.dtype}")
    S = int(lengths.max(initial=0))
    inside = np.arange(S) < lengths[:, None]
    if t.ndim == 1:
        if t.size != lengths.sum():
            raise ValueError(f"ctc_loss expected {lengths.sum()} labels in one row, got {t.size}")
        starts = np.cumsum(lengths) - lengths
        padded = np.take(t, np.where(inside, starts[:, None] + np.arange(S), 0)) if t.size else inside
    elif t.ndim == 2 and len(t) == B and t.shape[1] >= S:
        padded = t[:, :S]
    else:
        raise ValueError(f"ctc_loss expected targets of shape ({B}, at least {S}), got {t.shape}")
    if (inside & ((padded < 0) | (padded >= C) | (padded == blank))).any():
        raise ValueError(f"ctc_loss expected labels from 0 to {C - 1} other than the blank, {blank}")
    return np.where(inside, padded, blank).astype(np.intp)


def _between(x: Array, filling: int) -> Array:
    """x (B, S) with ``filling`` before, between and after its columns, (B, 2 S + 1)."""
    B, S = x.shape
    pairs = np.stack([np.full((B, S), filling, x.dtype), x], 2)
    return np.concatenate([np.reshape(pairs, (B, 2 * S)), np.full((B, 1), filling, x.dtype)], 1)


# --- decoding ---------------------------------------------------------------------------------------


class CTCHypothesis(NamedTuple):
    """Labels that `ctc_decode` read.

    Attributes:
        tokens: the labels, without blanks.
        score: log-probability in nats; of the path under "greedy", else of all paths that were followed.

    >>> nn.ctc_decode(np.log([[0.1, 0.9], [0.8, 0.2]]))[0].tokens
    [1]
    """

    tokens: list[int]
    score: float


def ctc_decode(
    log_probs: Operand,
    input_lengths: Operand | None = None,
    strategy: str = "greedy",
    beam_width: int = 100,
    top_paths: int = 1,
    blank: int = 0,
) -> list[Any]:
    """Read labels out of log-probabilities: the best hypotheses, the best one first.

    The likeliest path need not have the likeliest labels, as paths of the same labels add up. "beam_search"
    adds them (prefix search, Graves et al. 2006; Hannun et al. 2014), "greedy" does not.

    Args:
        log_probs: (T, B, C), or (T, C) for one sequence.
        input_lengths: steps of each sequence, (B); all T by default.
        strategy: "greedy" takes the likeliest symbol of every step; "beam_search" keeps the ``beam_width``
            likeliest beginnings of labels.
        top_paths: how many hypotheses a beam search gives, at most beam_width.
        blank: the symbol that stands for none.

    Returns:
        A list of `CTCHypothesis` for (T, C); for (T, B, C) a list of such lists, one per row.

    Raises:
        ValueError: shapes, lengths or settings do not fit, or a log-probability that counts is NaN.

    >>> log_probs = np.log([[0.6, 0.4], [0.6, 0.4]])  # two steps, a blank and a label
    >>> nn.ctc_decode(log_probs)[0].tokens  # blank, blank has .36
    []
    >>> best = nn.ctc_decode(log_probs, strategy="beam_search")[0]
    >>> best.tokens, round(float(np.exp(best.score)), 4)  # three paths have a 1
    ([1], 0.64)
    """
    x = np.asarray(to_host(log_probs), float)
    if x.ndim not in (2, 3):
        raise ValueError(f"ctc_decode expected log_probs (T, B, C) or (T, C), got shape {x.shape}")
    if strategy not in ("greedy", "beam_search"):
        raise ValueError(f"ctc_decode expected strategy 'greedy' or 'beam_search', got {strategy!r}")
    if not 1 <= top_paths <= beam_width:
        raise ValueError(f"ctc_decode expected top_paths from 1 to {beam_width=}, got {top_paths}")
    if x.ndim == 2:
        x = x[:, None]
    T, B, C = x.shape
    if not 0 <= blank < C:
        raise ValueError(f"ctc_decode expected blank from 0 to {C - 1}, got {blank}")
    n = check_lengths(
        np.full(B, T) if input_lengths is None else np.reshape(to_host(input_lengths), -1), T, B
    )
    rows = [x[:k, b] for b, k in enumerate(n)]
    if any(np.isnan(row).any() for row in rows):
        raise ValueError("ctc_decode expected log-probabilities, got NaN")
    if strategy == "greedy":
        found = [[_likeliest_path(row, blank)] for row in rows]
    else:
        found = [_prefix_search(row, beam_width, blank)[:top_paths] for row in rows]
    return found if np.ndim(data_of(log_probs)) == 3 else found[0]


def _likeliest_path(x: Array, blank: int) -> CTCHypothesis:
    """The labels of the likeliest path through (T, C)."""
    path = x.argmax(-1)
    starts = (path != blank) & (path != np.concatenate([[blank], path[:-1]]))
    return CTCHypothesis(path[starts].tolist(), float(x.max(-1, initial=-np.inf).sum()))


def _prefix_search(x: Array, width: int, blank: int) -> list[CTCHypothesis]:
    """The ``width`` likeliest labels, best first, of paths through (T, C).

    For every beginning of labels that is kept, p_blank is the log-probability of its paths up to now that
    end in a blank, and p_label of those that end in its last label.
    """
    beams: list[tuple[int, ...]] = [()]
    p_blank, p_label = np.zeros(1), np.full(1, -np.inf)
    for scores in x:
        last = np.array([beam[-1] if beam else blank for beam in beams])
        total = np.logaddexp(p_blank, p_label)
        stay_blank, stay_label = total + scores[blank], p_label + scores[last]
        longer = total[:, None] + scores  # by one label; by the last one again only after a blank
        rows = np.arange(len(beams))
        longer[rows, last] = p_blank + scores[last]
        longer[:, blank] = -np.inf
        index = {beam: i for i, beam in enumerate(beams)}
        for i, beam in enumerate(beams):  # one beam, longer by a label, may be another
            j = index.get(beam[:-1]) if beam else None
            if j is not None:
                stay_label[i] = np.logaddexp(stay_label[i], longer[j, beam[-1]])
                longer[j, beam[-1]] = -np.inf
        stay = np.logaddexp(stay_blank, stay_label)
        every = np.concatenate([stay, longer.ravel()])
        best = np.argsort(-every, kind="stable")[:width]
        best = best[: max(np.count_nonzero(every[best] > -np.inf), 1)]
        old, new = best[best < len(beams)], best[best >= len(beams)] - len(beams)
        parent, label = np.divmod(new, len(scores))
        kept = [beams[i] for i in old] + [(*beams[i], k) for i, k in zip(parent, label.tolist(), strict=True)]
        p_blank = np.concatenate([stay_blank[old], np.full(len(new), -np.inf)])
        p_label = np.concatenate([stay_label[old], longer[parent, label]])
        beams = kept
    total = np.logaddexp(p_blank, p_label)
    return [CTCHypothesis(list(beams[i]), float(total[i])) for i in np.argsort(-total, kind="stable")]
