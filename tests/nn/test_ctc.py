"""CTC: equal to the sum over all paths, right to second order, and trainable."""

import itertools

import numpy as np
import pytest

import nn
import nn.functional as F
import optim
from autograd import Variable, grad, gradcheck, log_softmax


def collapse(path, blank):
    """Repetitions dropped, then blanks."""
    return [k for k, _ in itertools.groupby(path) if k != blank]


def brute_force(log_probs, target, blank):
    """-log of the sum of the probabilities of all paths (T, C) that collapse to the target."""
    T, C = log_probs.shape
    total = sum(
        np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
        for path in itertools.product(range(C), repeat=T)
        if collapse(path, blank) == list(target)
    )
    return -np.log(total) if total else np.inf


def logits(rng, *shape):
    return log_softmax(rng.normal(size=shape) * 2, -1)


@pytest.mark.parametrize("blank", [0, 2])
@pytest.mark.parametrize("target", [[], [1], [1, 1], [3, 1], [1, 3, 1], [3, 3, 3], [1, 1, 3, 3]])
def test_equals_the_sum_over_all_paths(target, blank, rng):
    for T in (1, 2, 4, 5):
        lp = logits(rng, T, 4)
        ours = F.ctc_loss(Variable(lp), np.array(target, int), T, len(target), blank, "none")
        assert ours.item() == pytest.approx(brute_force(lp, target, blank), rel=1e-12)


def test_all_label_sequences_together_have_probability_one(rng):
    lp = logits(rng, 4, 3)
    targets = [t for n in range(5) for t in itertools.product([1, 2], repeat=n)]
    losses = [F.ctc_loss(lp, np.array(t, int), 4, len(t), reduction="none") for t in targets]
    assert sum(np.exp(-loss) for loss in losses) == pytest.approx(1, rel=1e-12)


def batch(rng):
    """Logits (T, B, C), targets (B, S), lengths: an empty target, repetitions, one that only just fits."""
    x = rng.normal(size=(9, 5, 6))
    targets = rng.integers(1, 6, size=(5, 4))
    targets[2] = [3, 3, 5, 5]
    return x, targets, np.array([9, 7, 6, 1, 9]), np.array([4, 2, 4, 1, 0])


def test_impossible_targets(rng):
    x, targets, n, m = batch(rng)
    n[2] = 5  # two repetitions need two blanks, so six steps
    a = Variable(x)
    y = F.ctc_loss(log_softmax(a, -1), targets, n, m, reduction="none")
    assert np.isinf(y.data[2]) and np.isfinite(np.delete(y.data, 2)).all()
    (g,) = grad(y.sum(), [a])
    assert np.isfinite(g.data).all() and not g.data[:, 2].any()
    each = np.where(np.isinf(y.data), 0.0, y.data) / np.maximum(m, 1)
    y = F.ctc_loss(log_softmax(a, -1), targets, n, m, zero_infinity=True)
    assert y.item() == pytest.approx(each.mean(), rel=1e-12)


def test_first_and_second_derivatives(rng):
    x, targets, n, m = batch(rng)
    for loss in (
        lambda x: F.ctc_loss(log_softmax(x, -1), targets[:, :2], n, np.minimum(m, 2)),
        lambda x: F.ctc_loss(x, targets, n, m, reduction="sum"),  # unnormalised scores, too
    ):
        gradcheck(loss, x)
    x, targets, n, m = x[:4, :2, :3], np.array([[1, 1], [2, 1]]), np.array([4, 3]), np.array([2, 2])
    gradcheck(lambda x: F.ctc_loss(log_softmax(x, -1), targets, n, m), x, order=2)


def test_probabilities_of_zero_and_long_sequences():
    lp = np.log(np.full((3, 2), 0.5))
    lp[1] = [-np.inf, 0.0]
    a = Variable(lp)
    y = F.ctc_loss(a, np.array([1]), 3, 1, reduction="none")
    assert y.item() == pytest.approx(0.0, abs=1e-12)  # whatever stands around the 1
    y.backward()
    assert np.isfinite(a.grad.data).all()
    long = Variable(np.full((400, 1, 30), -np.log(30), np.float32))
    y = F.ctc_loss(long, np.tile(np.arange(1, 30), 2)[None], np.array([400]), np.array([58]))
    y.backward()
    assert np.isfinite(y.item()) and np.isfinite(long.grad.data).all() and y.dtype == np.float32


def test_learns_labels_without_alignment(rng):
    x = rng.normal(size=(8, 3, 5))
    targets, n, m = np.array([[1, 2, 2], [3, 1, 0], [2, 0, 0]]), np.full(3, 8), np.array([3, 2, 1])
    model = nn.Linear(5, 4, dtype=np.float64)
    optimizer = optim.Adam(model.parameters(), lr=0.3)
    for _ in range(60):
        loss = F.ctc_loss(log_softmax(model(Variable(x, requires_grad=False)), -1), targets, n, m)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    best = model(Variable(x, requires_grad=False)).data.argmax(-1)
    assert [collapse(best[:, b].tolist(), 0) for b in range(3)] == [[1, 2, 2], [3, 1], [2]]


LP = np.full((4, 2, 3), -1.0)
N, M, S = np.array([4, 4]), np.array([2, 1]), np.array([[1, 2], [1, 0]])


@pytest.mark.parametrize(("args", "error", "words"), [
    ((LP[0, 0], S, N, M), ValueError, "log_probs"),
    ((LP, S, N[:1], M), ValueError, "input_lengths"),
    ((LP, S, N + 1, M), ValueError, "input_lengths"),
    ((LP, S, N * 0, M), ValueError, "input_lengths"),
    ((LP, S, N * 1.0, M), TypeError, "input_lengths"),
    ((LP, S, N, M - 2), ValueError, "target_lengths"),
    ((LP, S, N, M + 1), ValueError, "targets of shape"),
    ((LP, S[:1], N, M), ValueError, "targets of shape"),
    ((LP, np.array([1, 2]), N, M), ValueError, "3 labels"),
    ((LP, S + 1, N, M), ValueError, "labels from 0 to 2"),
    ((LP, S - 1, N, M), ValueError, "blank"),
    ((LP, S * 1.0, N, M), TypeError, "integer"),
    ((LP, S, N, M, 3), ValueError, "blank"),
    ((LP, S, N, M, 0, "average"), ValueError, "reduction"),
])  # fmt: skip
def test_errors(args, error, words):
    with pytest.raises(error, match=words):
        F.ctc_loss(Variable(args[0]), *args[1:])


def test_nan_after_the_end_of_an_input_reaches_neither_loss_nor_gradient(rng):
    logp = np.log(np.full((6, 2, 4), 0.25)) + 0.1 * rng.normal(size=(6, 2, 4))
    logp[4:, 1] = np.nan
    x, targets = Variable(logp), [[1, 2, 3], [2, 2, 0]]
    losses = F.ctc_loss(x, targets, [6, 4], [3, 2], reduction="none")
    alone = F.ctc_loss(Variable(logp[:4, 1]), [2, 2], 4, 2, reduction="none")
    np.testing.assert_allclose(losses.data[1], alone.item(), rtol=1e-12)
    g = grad(losses.sum(), x).data
    assert np.isfinite(g).all() and not g[4:, 1].any() and g[4:, 0].any()
