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


# --- decoding ---------------------------------------------------------------------------------------------


def by_labels(log_probs, blank):
    """All label sequences with their log-probability, summed over all paths, the likeliest first."""
    T, C = log_probs.shape
    sums = {}
    for path in itertools.product(range(C), repeat=T):
        labels = tuple(collapse(path, blank))
        sums[labels] = sums.get(labels, 0.0) + np.exp(sum(log_probs[t, k] for t, k in enumerate(path)))
    return sorted(((np.log(p), list(labels)) for labels, p in sums.items()), reverse=True)


@pytest.mark.parametrize("blank", [0, 1, 2])
def test_a_wide_beam_finds_all_labels_with_the_sum_over_their_paths(blank, rng):
    for T in (0, 1, 2, 5):
        lp = logits(rng, T, 3)
        want = by_labels(lp, blank)
        found = nn.ctc_decode(lp, None, "beam_search", 1000, 1000, blank)
        assert [h.tokens for h in found] == [labels for _, labels in want]
        np.testing.assert_allclose([h.score for h in found], [p for p, _ in want], rtol=1e-10, atol=1e-14)
        for h in found[:3] if T else ():
            loss = F.ctc_loss(lp, np.array(h.tokens, int), T, len(h.tokens), blank, "none")
            assert h.score == pytest.approx(-loss.item(), rel=1e-10)


def in_a_dict(log_probs, width, blank):
    """Prefix search as in Hannun et al. 2014, one label after the other."""
    beams = {(): (0.0, -np.inf)}
    for row in log_probs:
        new = {}

        def add(labels, which, score, new=new):
            both = list(new.get(labels, (-np.inf, -np.inf)))
            both[which] = np.logaddexp(both[which], score)
            new[labels] = tuple(both)

        for labels, (p_blank, p_label) in beams.items():
            for k, score in enumerate(row):
                if k == blank:
                    add(labels, 0, np.logaddexp(p_blank, p_label) + score)
                elif labels and k == labels[-1]:
                    add(labels, 1, p_label + score)
                    add((*labels, k), 1, p_blank + score)
                else:
                    add((*labels, k), 1, np.logaddexp(p_blank, p_label) + score)
        beams = dict(sorted(new.items(), key=lambda beam: -np.logaddexp(*beam[1]))[:width])
    return [(list(labels), np.logaddexp(*p)) for labels, p in beams.items()]


@pytest.mark.parametrize("width", [1, 2, 3, 7])
@pytest.mark.parametrize("blank", [0, 3])
def test_a_narrow_beam_keeps_the_likeliest_beginnings(width, blank, rng):
    for _ in range(5):
        lp = logits(rng, 12, 4)
        found = nn.ctc_decode(lp, None, "beam_search", width, width, blank)
        want = in_a_dict(lp, width, blank)
        assert [h.tokens for h in found] == [labels for labels, _ in want]
        np.testing.assert_allclose([h.score for h in found], [p for _, p in want], rtol=1e-12)


def test_the_likeliest_path(rng):
    for blank in (0, 3):
        lp = logits(rng, 20, 4)
        (found,) = nn.ctc_decode(lp, blank=blank)
        assert found.tokens == collapse(lp.argmax(1), blank)
        assert found.score == pytest.approx(lp.max(1).sum(), rel=1e-12)
    path = [0, 3, 3, 0, 3, 1, 1]
    assert nn.ctc_decode(np.log(np.eye(4)[path] + 1e-9))[0].tokens == [3, 3, 1]
    unsure = np.log([[0.6, 0.4]] * 2)  # the likeliest path is blank, but three paths say 1
    assert nn.ctc_decode(unsure)[0].tokens == []
    assert nn.ctc_decode(unsure, strategy="beam_search")[0].tokens == [1]


@pytest.mark.parametrize("strategy", ["greedy", "beam_search"])
def test_rows_of_a_batch_are_read_up_to_their_lengths(strategy, rng):
    lp, lengths = logits(rng, 7, 4, 5), [7, 3, 0, 5]
    alone = [nn.ctc_decode(lp[:n, b], None, strategy, 6) for b, n in enumerate(lengths)]
    lp[3:, 1] = np.nan
    assert nn.ctc_decode(Variable(lp), lengths, strategy, 6) == alone
    assert alone[2] == [([], 0.0)]
    assert nn.ctc_decode(lp[:, 1], 3, strategy, 6) == alone[1]
    assert all(type(k) is int for row in alone for h in row for k in h.tokens)


def test_symbols_that_cannot_be_are_not_read():
    lp = np.full((4, 3), -np.inf)
    lp[[0, 1, 2, 3], [1, 0, 1, 2]] = 0.0
    with np.errstate(all="raise"):
        found = nn.ctc_decode(lp, None, "beam_search", 10, 10)
    assert found == [([1, 1, 2], 0.0)] == nn.ctc_decode(lp)


@pytest.mark.parametrize(("call", "words"), [
    (lambda x: nn.ctc_decode(x[0, 0]), r"\(T, B, C\) or \(T, C\), got shape \(3,\)"),
    (lambda x: nn.ctc_decode(x, strategy="beam"), "'greedy' or 'beam_search', got 'beam'"),
    (lambda x: nn.ctc_decode(x, top_paths=0), "top_paths from 1 to beam_width=100, got 0"),
    (lambda x: nn.ctc_decode(x, None, "beam_search", 3, 4), "top_paths from 1 to beam_width=3, got 4"),
    (lambda x: nn.ctc_decode(x, blank=3), "blank from 0 to 2, got 3"),
    (lambda x: nn.ctc_decode(x, [4, 4]), "lengths expected shape"),
    (lambda x: nn.ctc_decode(x, [5]), "0 to T=4"),
    (lambda x: nn.ctc_decode(x * np.nan), "got NaN"),
])  # fmt: skip
def test_decoding_says_what_is_wrong(call, words):
    with pytest.raises(ValueError, match=words):
        call(np.zeros((4, 1, 3)))
