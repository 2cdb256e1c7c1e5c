"""Folding: any loop becomes one body, and nothing in its text tells how often it ran."""

import contextlib
import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.graph import draw
from autograd.graph.fold import Fold
from autograd.graph.reading import Reading, results_of
from tests.cases.costs import calls


def constant(*shape, name=None):
    return Variable(np.ones(shape), requires_grad=False, name=name)


def elman(T, marked=True, loss=True):
    """A plain loop: x and a loss at every step, with or without marked steps."""
    W, U = Variable(np.eye(3), name="W"), Variable(np.ones((2, 3)), name="U")
    h, total = Variable(np.ones((1, 3)), name="h0"), 0.0
    for t in range(T):
        with ag.step(t) if marked else contextlib.nullcontext():
            h = ag.tanh(constant(1, 2, name=f"x{t}") @ U + h @ W)
            total = total + (h * h).sum()
    return (total if loss else h), None


class Model(nn.Module):
    def __init__(self, rnn, features=5):
        self.rnn, self.head = rnn, nn.Linear(features, 4)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


class Translator(nn.Module):
    def __init__(self):
        self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(2, 4)

    def forward(self, x, y):
        return self.decoder(y, self.encoder(x)[1])[0]


def layer(T, rnn, features=5, stepwise=True):
    model = Model(rnn, features)
    with ag.stepwise() if stepwise else contextlib.nullcontext():
        y = model(np.ones((T, 2, 3), "f"))
    return ag.mean(ag.log_softmax(y)[..., 0]), model


def translate(T):
    model = Translator()
    return ag.mean(model(np.ones((T, 2, 3), "f"), np.ones((T + 1, 2, 2), "f"))), model


LOOPS = {
    "marked": lambda T: elman(T),
    "plain": lambda T: elman(T, marked=False),
    "state": lambda T: elman(T, marked=False, loss=False),
    "rnn": lambda T: layer(T, nn.RNN(3, 5)),
    "gru": lambda T: layer(T, nn.GRU(3, 5)),
    "lstm": lambda T: layer(T, nn.LSTM(3, 5)),
    "projected at once": lambda T: layer(T, nn.LSTM(3, 5), stepwise=False),
    "deep": lambda T: layer(T, nn.LSTM(3, 5, num_layers=2)),
    "bidirectional": lambda T: layer(T, nn.GRU(3, 5, bidirectional=True), 10),
    "both": lambda T: layer(T, nn.RNN(3, 5, num_layers=2, bidirectional=True), 10, stepwise=False),
    "encoder and decoder": translate,
}


def folded(T, loop):
    y, params = LOOPS[loop](T)
    return draw(y, params=params, view="folded").source


@pytest.mark.parametrize("loop", LOOPS)
def test_the_text_does_not_depend_on_the_number_of_steps(loop):
    source = folded(3, loop)
    assert "t−1" in source
    assert source == folded(10, loop) == folded(100, loop)


@pytest.mark.parametrize("loop", ["plain", "state", "gru", "lstm"])
def test_two_steps_are_a_loop_already(loop):
    source = folded(2, loop)
    assert source.count("every step") == 1 and "t−1" in source


@pytest.mark.parametrize("loop, loops", [("plain", 1), ("deep", 2), ("both", 4), ("encoder and decoder", 2)])
def test_every_loop_is_found_once(loop, loops):
    assert folded(7, loop).count("every step") == loops


def test_a_loop_without_marks_folds_like_one_with():
    assert folded(5, "plain") == folded(5, "marked")


def test_another_body_is_another_text():
    def run(f):
        h, W = constant(1, 3), Variable(np.eye(3), name="W")
        for _ in range(5):
            h = f(h @ W)
        return draw(h, view="folded").source

    assert run(ag.tanh) != run(ag.sigmoid)


def test_delays_and_starts_stand_where_they_belong():
    source = folded(9, "state")
    delays = re.findall(r"(n\d+) -> (n\d+) .*t−1", source)
    assert len(delays) == 1
    (tail, head), symbols = delays[0], dict(re.findall(r'^\t+(n\d+) \[.*label="([^"]*)"', source, re.M))
    assert (symbols[tail], symbols[head]) == ("tanh", "@")
    start = re.findall(r"(v\w+) -> (n\d+) \[.*dotted", source)
    assert [end for _, end in start] == [head]


def test_two_steps_back_is_a_longer_delay():
    W, states = Variable(np.eye(3), name="W"), [constant(1, 3), constant(1, 3)]
    for _ in range(8):
        states.append(ag.tanh(states[-1] @ W + states[-2]))
    source = draw(states[-1], view="folded").source
    assert "t−1" in source
    assert "t−2" in source


def test_a_loop_from_the_last_step_says_so():
    source = folded(4, "bidirectional")
    assert source.count("last first") == 1
    assert "t+1" in source


def test_inputs_of_the_steps_become_one_with_a_common_name():
    source = folded(4, "plain")
    assert 'label="xₜ' in source
    assert "x1" not in source


def test_inputs_that_track_are_inputs_too():
    def run(T):
        W, h = Variable(np.eye(3), name="W"), constant(1, 3, name="h0")
        for t in range(T):
            h = ag.tanh(Variable(np.ones((1, 3)), name=f"x[{t}]") + h @ W)
        return draw(h, view="folded").source

    assert run(3) == run(12)
    assert 'label="xₜ' in run(3)


def test_a_sequence_that_tracks_has_T_for_its_length():
    def run(T, axis):
        x, h = Variable(np.ones((2, 3, T) if axis else (T, 2, 3)), name="x"), constant(2, 3)
        W = Variable(np.eye(3), name="W")
        for x_t in ag.unstack(x, axis):
            h = ag.tanh(x_t + h @ W)
        return draw(h.sum(), view="folded").source

    assert "T×2×3" in run(4, 0) and run(4, 0) == run(9, 0)
    assert "2×3×T" in run(4, -1) and run(4, -1) == run(9, -1)


def test_a_repetition_that_is_no_loop_leaves_no_trace():
    """Two starts that look like inputs, until what follows them turns out to be wired otherwise."""
    xs, W, V = (
        [constant(1, 2) for _ in range(3)],
        Variable(np.eye(2), name="W"),
        Variable(np.eye(2), name="V"),
    )
    h, ys = constant(1, 2), {}
    for t in range(3):
        h = ys[t] = ag.tanh(xs[t] + h @ W)
    h = constant(1, 2)
    for t in reversed(range(3)):
        h = ag.tanh(xs[t] + h @ V)
        ys[t] = ys[t] + h
    source = draw(list(ys.values()), view="folded").source
    assert 'label="cut' not in source  # nothing is


def test_layers_with_weights_of_their_own_are_no_loop():
    x = constant(2, 3)
    for _ in range(5):
        x = ag.tanh(x @ Variable(np.eye(3)))
    assert "every step" not in draw(x, view="folded").source


def test_truncation_folds_with_a_start_at_every_cut():
    rnn = nn.Recurrent(nn.RNNCell(3, 5), truncate=4)
    sources = {draw(rnn(np.ones((T, 2, 3), "f"))[0], view="folded").source for T in (9, 40)}
    assert len(sources) == 1
    assert "t−1" in sources.pop()


def test_counts_are_told_on_request():
    y, _ = elman(6)
    assert "6 times" in draw(y, view="folded", show={"count"}).source


def test_what_stands_for_what_covers_every_node():
    y, _ = layer(10, nn.LSTM(3, 5))
    reading = Reading(results_of(y))
    fold = Fold(reading)
    assert sum(fold.counts[n] for n in fold.nodes) == len(reading.nodes)
    assert len(fold.nodes) < len(reading.nodes) / 4


def test_above_the_limit_a_drawing_folds_and_says_so():
    y, _ = elman(50)
    source = draw(y, max_nodes=100).source
    assert "more than max_nodes=100" in source
    assert "every step" in source
    assert 'label="every step"' not in draw(y, max_nodes=1000).source


@pytest.mark.full
def test_a_hundred_thousand_nodes_fold_with_work_in_proportion():
    def work(steps):
        y, _ = elman(steps, loss=False)
        return calls(lambda: draw(y, view="folded").source)

    assert work(800) < 4.4 * work(200)
    y, _ = elman(20_000, loss=False)
    assert draw(y, view="folded").source.count("->") < 20


@pytest.mark.parametrize("name", ["sequence", "deep net"])
def test_what_does_not_fold_takes_work_in_proportion_as_well(name):
    def work(steps):
        x = constant(2, 3)
        for t in range(steps):
            w = Variable(np.eye(3))
            x = ag.tanh(x @ w) if name == "deep net" or t * t % 7 else ag.exp(x @ w)
        return calls(lambda: draw(x, view="folded", max_nodes=10**6))

    assert work(800) < 4.4 * work(200)
