"""Backpropagation through time, real-time recurrent learning and finite differences agree on one step."""

import tracemalloc

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt.rtrl import bptt, finite_differences, rtrl

T, B, N, H = 5, 2, 2, 3
CELLS = {
    "rnn": nn.RNNCell,
    "gru": nn.GRUCell,
    "lstm": nn.LSTMCell,
    "projection": lambda *a, **k: nn.LSTMCell(*a, proj_size=2, **k),
    "peephole": nn.PeepholeLSTMCell,
}


def problem(name, rng, T=T):
    nn.manual_seed(3)
    cell = CELLS[name](N, H, dtype=np.float64)
    x, C = rng.normal(size=(T, B, N)), rng.normal(size=(T, B, cell.output_size))

    def step(t, state):
        new = cell(Variable(x[t], requires_grad=False), state)
        return new, ((new[0] if isinstance(new, tuple) else new) * C[t]).sum()

    state = cell.initial_state(Variable(x))
    return step, state if len(state) > 1 else state[0], list(cell.parameters())


@pytest.mark.parametrize("name", CELLS)
def test_three_ways_one_gradient(name, rng):
    step, state, params = problem(name, rng)
    back = bptt(step, state, T, params)
    forward = rtrl(step, state, T, params)
    numeric = finite_differences(step, state, T, params)
    for p, b, f, n in zip(params, back, forward, numeric, strict=True):
        assert b.shape == f.shape == n.shape == p.shape
        assert np.abs(b).max() > 1e-3
        np.testing.assert_allclose(f, b, rtol=1e-11, atol=1e-13)
        np.testing.assert_allclose(n, b, rtol=1e-8, atol=1e-8)
        assert p.grad is None


def test_a_loop_by_hand_with_a_nested_state(rng):
    w, v = Variable(0.7), Variable(-0.4)

    def step(t, state):
        a, (b, c) = state
        a, b = ag.tanh(a * w + b), b * v + ag.sin(a)
        return (a, (b, c)), a * b * (t + 1)

    state = Variable(0.3), (Variable(0.5), Variable(2.0))
    back = bptt(step, state, 6, [w, v])
    np.testing.assert_allclose(rtrl(step, state, 6, [w, v]), back, rtol=1e-12)
    np.testing.assert_allclose(finite_differences(step, state, 6, [w, v]), back, rtol=1e-8)


def test_a_step_that_cuts_its_state_is_told_apart(rng):
    """The ways share only the step: with a detached state forward values stay and derivatives change."""
    step, state, params = problem("rnn", rng)

    def cut(t, state):
        return step(t, state.detach())

    back, numeric = bptt(cut, state, T, params), finite_differences(cut, state, T, params)
    np.testing.assert_allclose(rtrl(cut, state, T, params)[0], back[0], rtol=1e-11, atol=1e-13)
    assert np.abs(numeric[0] - back[0]).max() > 1e-3


def test_a_parameter_without_influence_gets_zeros(rng):
    step, state, params = problem("rnn", rng)
    other = Variable(np.ones(2))
    for way in (bptt, rtrl, finite_differences):
        assert not way(step, state, T, [*params, other])[-1].any()


def test_memory_of_rtrl_does_not_grow_with_time(rng):
    peaks = {}
    for way in (rtrl, bptt):
        for length in (10, 60):
            step, state, params = problem("rnn", rng, length)
            tracemalloc.start()
            way(step, state, length, params)
            peaks[way, length] = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
    assert peaks[rtrl, 60] < 1.5 * peaks[rtrl, 10]
    assert peaks[bptt, 60] > 2.5 * peaks[bptt, 10]


@pytest.mark.parametrize("learned", ["as it is", "computed"])
def test_a_first_state_that_is_learned(learned, rng):
    """The state before the first step is a parameter, or computed from one."""
    step, _, params = problem("gru", rng)
    h0 = Variable(rng.normal(size=(B, H)))
    state = h0 if learned == "as it is" else ag.tanh(h0 * 2.0)
    h = Variable(state.data)
    (expected,) = finite_differences(step, h, T, [h])
    if learned == "computed":
        expected = expected * (1 - state.data**2) * 2.0
    back = bptt(step, state, T, [h0, *params])
    np.testing.assert_allclose(back[0], expected, rtol=1e-8, atol=1e-8)
    for f, b in zip(rtrl(step, state, T, [h0, *params]), back, strict=True):
        np.testing.assert_allclose(f, b, rtol=1e-11, atol=1e-13)
