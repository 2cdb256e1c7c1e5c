"""The log of gradient norms: its numbers, what has no gradient, and its table."""

import math

import numpy as np
import pytest

import nn
import optim
from autograd import Parameter, Variable


def test_norms_of_every_parameter_step_by_step(rng):
    model, unused = nn.GRU(3, 4, dtype=np.float64), Parameter(np.ones(2))
    log = optim.GradientNorms([*model.named_parameters(), ("unused", unused)])
    for scale in (1.0, 10.0, 0.1):
        model.zero_grad()
        (scale * model(rng.normal(size=(5, 2, 3)))[0]).sum().backward()
        newest = log.record()
        assert newest.pop("unused") is None
        for name, p in model.named_parameters():
            expected = math.sqrt(sum(g * g for g in p.grad.data.ravel().tolist()))
            assert newest[name] == log.history[name][-1] == pytest.approx(expected, rel=1e-12)
    assert all(len(norms) == 3 for norms in log.history.values()) and log.history["unused"] == [None] * 3
    before = dict(newest)
    total = optim.clip_grad_norm_(model.parameters(), 1e-3)
    assert math.hypot(*before.values()) == pytest.approx(total, rel=1e-12)
    assert log.history["weight_ih_l0"][-1] == before["weight_ih_l0"] > log.record()["weight_ih_l0"]


def test_other_norms():
    w = Parameter(np.array([3.0, -4.0]))
    w.grad = Variable(np.array([3.0, -4.0]))
    for norm_type, expected in ((1, 7.0), (2, 5.0), (math.inf, 4.0)):
        assert optim.GradientNorms([("w", w)], norm_type).record() == {"w": pytest.approx(expected)}


def test_the_table():
    w, b = Parameter(np.zeros(2)), Parameter(np.zeros(1))
    log = optim.GradientNorms({"layer.weight": w, "bias": b}.items())
    for norm in (None, 4.0, 1000.0, 0.25):
        w.grad = None if norm is None else Variable(np.array([0.0, norm]))
        log.record()
    assert [line.split() for line in str(log).splitlines()] == [
        ["parameter", "last", "smallest", "median", "largest", "without"],
        ["layer.weight", "0.25", "0.25", "4", "1e+03", "1"],
        ["bias", "-", "-", "-", "-", "4"],
    ]
    assert len({len(line) for line in str(log).splitlines()}) == 1


@pytest.mark.parametrize(("given", "error", "words"), [
    (([("w", Parameter(np.ones(1)))] * 2,), ValueError, "'w' twice"),
    (([Parameter(np.ones(1))],), TypeError, "named_parameters"),
    (([("w", np.ones(1))],), TypeError, "named_parameters"),
    (([], 0), ValueError, "norm_type"),
])  # fmt: skip
def test_errors(given, error, words):
    with pytest.raises(error, match=words):
        optim.GradientNorms(*given)
