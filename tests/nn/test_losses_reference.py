"""Losses against their definitions, written out element by element in plain NumPy and Python.

The definitions are those of the papers and of PyTorch's documentation; nothing here calls the library but
the tests at the end of each part.
"""

import itertools
import math

import numpy as np
import pytest

import nn.functional as F
import nn.losses as L
from autograd import Variable, log_softmax

# --- losses of one element at a time ----------------------------------------------------------------


def squared(x, t):
    return (x - t) ** 2


def absolute(x, t):
    return abs(x - t)


def huber(x, t, delta):
    d = abs(x - t)
    return d * d / 2 if d <= delta else delta * (d - delta / 2)


def smooth_l1(x, t, beta):
    d = abs(x - t)
    return d * d / (2 * beta) if d < beta else d - beta / 2


def binary_cross_entropy(x, t, weight=1.0, pos_weight=1.0):
    p = 1 / (1 + math.exp(-x))
    return -weight * (pos_weight * t * math.log(p) + (1 - t) * math.log(1 - p))


def divergence(x, t):
    return t * (math.log(t) - x) if t > 0 else 0.0


def divergence_of_logs(x, t):
    return math.exp(t) * (t - x)


def reduced(losses, reduction):
    """What stays of an array of losses."""
    total = sum(losses.ravel().tolist())
    return {"none": losses, "sum": total, "mean": total / losses.size, "batchmean": total / len(losses)}[
        reduction
    ]


RNG = np.random.default_rng(3)
X, T = RNG.normal(size=(5, 4)) * 2, RNG.normal(size=(5, 4))
P = RNG.random((5, 4)) * (RNG.random((5, 4)) > 0.2)
P[0, 0], P[0, 1] = 0.0, 1.0
LOGP = X - np.log(np.exp(X).sum(-1, keepdims=True))
WEIGHT, POSITIVE = np.array([0.5, 2.0, 0.0, 1.5]), np.array([3.0, 0.25, 1.0, 2.0])

ELEMENTWISE = {  # module, function, x, target, settings, definition, more reductions
    "mse": (L.MSELoss, F.mse_loss, X, T, {}, np.vectorize(squared)),
    "l1": (L.L1Loss, F.l1_loss, X, T, {}, np.vectorize(absolute)),
    "huber": (L.HuberLoss, F.huber_loss, X, T, {}, np.vectorize(lambda x, t: huber(x, t, 1.0))),
    "huber 0.4": (L.HuberLoss, F.huber_loss, X, T, {"delta": 0.4},
                  np.vectorize(lambda x, t: huber(x, t, 0.4))),
    "smooth l1": (L.SmoothL1Loss, F.smooth_l1_loss, X, T, {},
                  np.vectorize(lambda x, t: smooth_l1(x, t, 1.0))),
    "smooth l1 2.5": (L.SmoothL1Loss, F.smooth_l1_loss, X, T, {"beta": 2.5},
                      np.vectorize(lambda x, t: smooth_l1(x, t, 2.5))),
    "smooth l1 0": (L.SmoothL1Loss, F.smooth_l1_loss, X, T, {"beta": 0.0}, np.vectorize(absolute)),
    "bce": (L.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, X, P, {},
            np.vectorize(binary_cross_entropy)),
    "bce weight": (L.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, X, P, {"weight": WEIGHT},
                   lambda x, t: np.vectorize(binary_cross_entropy)(x, t, WEIGHT)),
    "bce pos_weight": (L.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, X, P,
                       {"pos_weight": POSITIVE},
                       lambda x, t: np.vectorize(binary_cross_entropy)(x, t, 1.0, POSITIVE)),
    "bce both": (L.BCEWithLogitsLoss, F.binary_cross_entropy_with_logits, X, P,
                 {"weight": WEIGHT, "pos_weight": POSITIVE},
                 lambda x, t: np.vectorize(binary_cross_entropy)(x, t, WEIGHT, POSITIVE)),
    "kl": (L.KLDivLoss, F.kl_div, LOGP, P, {}, np.vectorize(divergence)),
    "kl of logs": (L.KLDivLoss, F.kl_div, LOGP, T, {"log_target": True}, np.vectorize(divergence_of_logs)),
}  # fmt: skip


@pytest.mark.parametrize("reduction", ["none", "sum", "mean", "batchmean"])
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_elementwise_losses_are_their_definition(name, reduction):
    module, function, x, t, settings, definition = ELEMENTWISE[name]
    if reduction == "batchmean" and module is not L.KLDivLoss:
        with pytest.raises(ValueError, match="reduction"):
            function(x, t, **settings, reduction=reduction)
        return
    want = reduced(definition(x, t), reduction)
    for got in (
        function(Variable(x), t, **settings, reduction=reduction),
        module(**settings, reduction=reduction)(Variable(x), t),
    ):
        np.testing.assert_allclose(got.data, want, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_mean_is_the_default(name):
    module, function, x, t, settings, definition = ELEMENTWISE[name]
    want = reduced(definition(x, t), "mean")
    assert function(Variable(x), t, **settings).item() == pytest.approx(want, rel=1e-12)
    assert module(**settings)(Variable(x), t).item() == pytest.approx(want, rel=1e-12)


def test_gradients_of_means_in_closed_form():
    n = X.size
    p, d = 1 / (1 + np.exp(-X)), X - T
    for function, t, want in [
        (F.mse_loss, T, 2 * d / n),
        (F.l1_loss, T, np.sign(d) / n),
        (F.huber_loss, T, np.clip(d, -1, 1) / n),
        (F.binary_cross_entropy_with_logits, P, (p - P) / n),
        (F.kl_div, P, -P / n),
    ]:
        x = Variable(X)
        function(x, t).backward()
        np.testing.assert_allclose(x.grad.data, want, rtol=1e-12, atol=1e-15)


# --- class numbers ----------------------------------------------------------------------------------


def at_classes(logp, target, reduction, weight=None, ignore_index=-100, smoothing=0.0, mask=None):
    """Cross-entropy of log-probabilities (N, C, ...) and targets (N, ...), one target after the other:

    l = (1-ε) w_t (-log p_t) + ε/C Σ_c w_c (-log p_c), and the mean is Σ l / Σ w_t over those that count.
    """
    C = logp.shape[1]
    weight = np.ones(C) if weight is None else weight
    losses, weights = np.zeros(target.shape), 0.0
    for at in np.ndindex(target.shape):
        t = target[at]
        if t == ignore_index or (mask is not None and not mask[at]):
            continue
        row = [logp[(at[0], c, *at[1:])] for c in range(C)]
        own = -weight[t] * row[t]
        spread = -sum(w * value for w, value in zip(weight, row, strict=True))
        losses[at] = (1 - smoothing) * own + smoothing / C * spread
        weights += weight[t]
    return {"none": losses, "sum": losses.sum(), "mean": losses.sum() / weights}[reduction]


def targets(shape, ignored):
    t = np.random.default_rng(4).integers(0, 4, shape)
    t.flat[1] = t.flat[5] = ignored
    return t


@pytest.mark.parametrize("shape", [(7,), (3, 4), (2, 2, 3)])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 0.25, 1.5])], ids=["alike", "weighted"])
@pytest.mark.parametrize("ignored", [-100, 2])
@pytest.mark.parametrize("smoothing", [0.0, 0.3, 1.0])
def test_cross_entropy_is_its_definition(shape, reduction, weight, ignored, smoothing):
    x = np.random.default_rng(5).normal(size=(shape[0], 4, *shape[1:]))
    t = targets(shape, ignored)
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    settings = {"weight": weight, "ignore_index": ignored, "reduction": reduction}
    want = at_classes(logp, t, reduction, weight, ignored, smoothing)
    module = L.CrossEntropyLoss(**settings, label_smoothing=smoothing)
    for got in (
        F.cross_entropy(Variable(x), t, **settings, label_smoothing=smoothing),
        module(Variable(x), t),
    ):
        np.testing.assert_allclose(got.data, want, rtol=1e-12, atol=1e-14)
    if not smoothing:
        for got in (F.nll_loss(Variable(logp), t, **settings), L.NLLLoss(**settings)(Variable(logp), t)):
            np.testing.assert_allclose(got.data, want, rtol=1e-12, atol=1e-14)


def test_masks_of_functions_and_modules_are_left_out_of_the_mean():
    x, t = np.random.default_rng(5).normal(size=(7, 4)), targets((7,), -100)
    mask = np.array([True, True, False, True, True, True, False])
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    for reduction in ("none", "sum", "mean"):
        want = at_classes(logp, t, reduction, mask=mask)
        for got in (
            F.cross_entropy(x, t, reduction=reduction, mask=mask),
            L.CrossEntropyLoss(reduction=reduction)(x, t, mask),
            F.nll_loss(logp, t, reduction=reduction, mask=mask),
            L.NLLLoss(reduction=reduction)(logp, t, mask),
        ):
            np.testing.assert_allclose(got, want, rtol=1e-12)


def test_gradient_of_cross_entropy_in_closed_form():
    """softmax - target, for the smoothed target too, by the number of targets that count."""
    x, t = np.random.default_rng(5).normal(size=(7, 4)), targets((7,), -100)
    counts = t != -100
    for smoothing in (0.0, 0.2):
        goal = np.eye(4)[np.where(counts, t, 0)] * (1 - smoothing) + smoothing / 4
        p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
        v = Variable(x)
        F.cross_entropy(v, t, label_smoothing=smoothing).backward()
        np.testing.assert_allclose(v.grad.data, (p - goal) * counts[:, None] / counts.sum(), atol=1e-15)


# --- CTC: all alignments, one by one ----------------------------------------------------------------


def alignments(T, labels, C, blank=0):
    """The paths of T symbols that become the labels when repetitions and then blanks are dropped."""
    for path in itertools.product(range(C), repeat=T):
        if [k for k, _ in itertools.groupby(path) if k != blank] == list(labels):
            yield path


def by_alignments(log_probs, labels, blank):
    """-log Σ over alignments of Π p, for one sequence (T, C)."""
    p = np.exp(log_probs)
    total = sum(
        math.prod(p[range(len(path)), path]) for path in alignments(*_sizes(log_probs, labels), blank)
    )
    return -math.log(total) if total else math.inf


def _sizes(log_probs, labels):
    return len(log_probs), labels, log_probs.shape[1]


def ctc(log_probs, rows, lengths, blank, reduction, zero_infinity=False):
    """The loss of a batch (T, B, C): each row by itself, of its own steps alone."""
    losses = [by_alignments(log_probs[:n, b], rows[b], blank) for b, n in enumerate(lengths)]
    losses = [0.0 if zero_infinity and loss == math.inf else loss for loss in losses]
    if reduction == "none":
        return np.array(losses)
    if reduction == "sum":
        return sum(losses)
    return sum(loss / max(len(row), 1) for loss, row in zip(losses, rows, strict=True)) / len(rows)


ROWS, LENGTHS = [[1, 2, 2], [2], [], [1, 1], [2, 1]], [5, 4, 3, 3, 1]  # the last one does not fit


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("reduction", ["none", "sum", "mean"])
@pytest.mark.parametrize("zero_infinity", [False, True])
def test_ctc_of_rows_of_different_lengths_is_the_sum_over_their_alignments(blank, reduction, zero_infinity):
    rows = [[0 if k == blank else k for k in row] for row in ROWS]
    lp = log_softmax(np.random.default_rng(6).normal(size=(5, 5, 3)) * 1.5, -1)
    padded = np.full((5, 4), 2 - blank)  # what stands behind the labels does not matter
    for b, row in enumerate(rows):
        padded[b, : len(row)] = row
    flat, counts = np.array([k for row in rows for k in row]), np.array([len(row) for row in rows])
    want = ctc(lp, rows, LENGTHS, blank, reduction, zero_infinity)
    assert np.isinf(want).any() or zero_infinity
    module = L.CTCLoss(blank, reduction, zero_infinity)
    for labels in (padded, flat):
        got = module(Variable(lp), labels, np.array(LENGTHS), counts)
        np.testing.assert_allclose(got.data, want, rtol=1e-12)
        again = F.ctc_loss(lp, labels, np.array(LENGTHS), counts, blank, reduction, zero_infinity)
        np.testing.assert_array_equal(got.data, again)


def test_ctc_of_one_sequence_divides_by_the_number_of_its_labels():
    lp = log_softmax(np.random.default_rng(7).normal(size=(4, 3)), -1)
    for labels in ([1, 2], [1], []):
        want = by_alignments(lp, labels, 0)
        of = {r: F.ctc_loss(Variable(lp), np.array(labels, int), 4, len(labels), 0, r).item()
              for r in ("none", "sum", "mean")}  # fmt: skip
        assert of == pytest.approx({"none": want, "sum": want, "mean": want / max(len(labels), 1)}, rel=1e-12)


def test_gradient_of_ctc_is_how_often_alignments_use_a_symbol():
    """dL/dlog p(t, k) = -(expected number of alignments at k in step t), and nothing behind a row's end."""
    lp = log_softmax(np.random.default_rng(8).normal(size=(4, 2, 3)), -1)
    rows, lengths = [[1, 2], [2]], [4, 3]
    v = Variable(lp)
    F.ctc_loss(v, np.array([[1, 2], [2, 0]]), np.array(lengths), np.array([2, 1]), reduction="sum").backward()
    for b, (row, n) in enumerate(zip(rows, lengths, strict=True)):
        used, total = np.zeros((4, 3)), 0.0
        for path in alignments(n, row, 3):
            p = math.exp(sum(lp[t, b, k] for t, k in enumerate(path)))
            used[range(n), path] += p
            total += p
        np.testing.assert_allclose(v.grad.data[:, b], -used / total, atol=1e-14)
