"""Measures over many batches, against one mean over all tokens."""

import math

import numpy as np
import pytest

import nn
from autograd import Variable


def test_perplexity_is_that_of_all_tokens_together(rng):
    """Batches of unlike sizes, padded and not: the mean of their means would be another number."""
    metric, ours, nats = nn.Perplexity(axis=-1), nn.Perplexity(ignore_index=2), []
    for T, lengths in ((6, [6, 1, 3]), (2, [0, 2, 1]), (1, None)):
        x, t = rng.normal(size=(T, 3, 4)) * 3, rng.integers(0, 4, size=(T, 3))
        inside = np.ones((T, 3), bool) if lengths is None else np.arange(T)[:, None] < np.array(lengths)
        x[~inside], t[~inside] = np.nan, 99
        metric.update(Variable(x), t, lengths=lengths)
        ours.update(x[inside], t[inside])
        for logits, k in zip(x[inside], t[inside], strict=True):
            nats.append((math.log(sum(math.exp(z) for z in logits)) - logits[k], k))
    assert metric.compute() == pytest.approx(math.exp(np.mean([n for n, _ in nats])), rel=1e-12)
    assert ours.compute() == pytest.approx(math.exp(np.mean([n for n, k in nats if k != 2])), rel=1e-12)
    metric.reset()
    metric.update(np.zeros((2, 3, 7)), np.ones((2, 3), int), mask=np.ones((2, 3), bool))
    assert metric.compute() == pytest.approx(7)


def test_rows_of_a_batch():
    metric = nn.Perplexity(batch_first=True)
    metric.update(np.log([[[0.5, 0.5], [1e-9, 1.0], [1e-9, 1.0]]]), [[0, 0, 0]], lengths=[1])
    assert metric.compute() == pytest.approx(2)


def test_what_was_held_impossible_is_infinitely_perplexing():
    metric = nn.Perplexity()
    with pytest.raises(ValueError, match="Perplexity has seen no tokens"):
        metric.compute()
    metric.update(np.array([[0.0, 1e6]]), [0])
    assert metric.compute() == math.inf
    with pytest.raises(ValueError, match="Perplexity expected targets"):
        metric.update(np.zeros((3, 2)), [0])
