"""Truncated backpropagation: what it leaves out is read from the table, and what it runs is the same."""

import weakref

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import flow

T, B, N, H = 9, 2, 3, 4
CELLS = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}


def problem(name, rng):
    """A cell and ``step(t, state) -> (state, loss)`` over T random inputs."""
    nn.manual_seed(2)
    cell = CELLS[name](N, H, dtype=np.float64)
    x, C = rng.normal(size=(T, B, N)), rng.normal(size=(T, B, H))

    def step(t, state):
        new = cell(Variable(x[t], requires_grad=False), state)
        return new, ((new[0] if isinstance(new, tuple) else new) * C[t]).sum()

    state = cell.initial_state(Variable(x))
    return cell, step, state if len(state) > 1 else state[0], x, C


def full(step, state):
    losses = []
    for t in range(T):
        with ag.step(t):
            state, loss = step(t, state)
        losses.append(loss)
    return losses


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("k1, k2", [(1, 1), (1, 3), (2, 4), (3, 3), (4, 7), (4, 9), (1, 20)])
def test_what_runs_is_what_the_table_says(name, k1, k2, rng):
    cell, step, state, _, _ = problem(name, rng)
    losses = full(step, state)
    tables = {n: flow.decompose(losses, W) for n, W in cell.named_parameters()}
    values = flow.truncated_bptt(step, state, T, k1, k2)
    assert values == [float(loss) for loss in losses]  # to the last bit
    for n, W in cell.named_parameters():
        np.testing.assert_allclose(tables[n].truncated(k2, k1), W.grad.data, rtol=1e-11, atol=1e-13)


def test_the_truncated_gradient_is_the_sum_over_small_lags(rng):
    cell, step, state, _, _ = problem("lstm", rng)
    table = flow.decompose(full(step, state), cell.weight_hh)
    by_lag = table.by_lag()
    for k in range(1, T + 1):
        np.testing.assert_allclose(table.truncated(k), by_lag[:k].sum(0), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_windows_are_those_of_a_truncated_layer(k, rng):
    cell, step, state, x, C = problem("gru", rng)
    table = flow.decompose(full(step, state), cell.weight_hh)
    y, _ = nn.Recurrent(cell, truncate=k)(x)
    np.testing.assert_array_equal(y.data, nn.Recurrent(cell)(x)[0].data)
    (y * C).sum().backward()
    windows = table.lag * 0 == 0
    windows &= table.times[:, None] // k == table.steps // k
    np.testing.assert_allclose(table.table[windows].sum(0), cell.weight_hh.grad.data, rtol=1e-11)


@pytest.mark.parametrize("k", [1, 2, 4, 5, 9, 20])
def test_windows_of_equal_k_are_those_of_a_truncated_layer_and_of_a_detached_state(k, rng):
    """Nine steps: the last of the windows is a part of one for k = 2, 4 and 5."""
    cell, step, state, x, C = problem("lstm", rng)
    nn.Recurrent(cell, truncate=k)(x)[0].backward(C)
    expected = {n: W.grad.data for n, W in cell.named_parameters()}
    cell.zero_grad()
    flow.truncated_bptt(step, state, T, k, k)
    for n, W in cell.named_parameters():
        np.testing.assert_allclose(W.grad.data, expected[n], rtol=1e-11, atol=1e-14)
    cell.zero_grad()
    for begin in range(0, T, k):
        y, state = nn.Recurrent(cell)(x[begin : begin + k], nn.detach(state))
        y.backward(C[begin : begin + k])
    for n, W in cell.named_parameters():
        np.testing.assert_allclose(W.grad.data, expected[n], rtol=1e-11, atol=1e-14)


def test_a_last_window_goes_back_as_far_before_its_beginning_as_the_others(rng):
    """k1 = 4, k2 = 6 over nine steps: losses 0-3 back to 0, 4-7 to 2, and 8 to 6."""
    cell, step, state, _, _ = problem("gru", rng)
    table = flow.decompose(full(step, state), cell.weight_hh)
    first = np.array([0, 0, 0, 0, 2, 2, 2, 2, 6])[:, None]
    expected = table.table[table.steps >= first].sum(0)
    np.testing.assert_allclose(table.truncated(6, 4), expected, rtol=1e-12)
    flow.truncated_bptt(step, state, T, 4, 6)
    np.testing.assert_allclose(cell.weight_hh.grad.data, expected, rtol=1e-11)


def test_bias(rng):
    cell, step, state, _, _ = problem("rnn", rng)
    table = flow.decompose(full(step, state), cell.weight_hh)
    ks, error, cosine = table.bias()
    assert ks.tolist() == list(range(1, T + 1))
    g, one = table.total, table.truncated(1)
    np.testing.assert_allclose(error[0], np.linalg.norm(one - g) / np.linalg.norm(g))
    np.testing.assert_allclose(cosine[0], (one * g).sum() / np.linalg.norm(one) / np.linalg.norm(g))
    assert error[0] > 1e-3
    assert error[-1] < 1e-12
    np.testing.assert_allclose(cosine[-1], 1.0, rtol=1e-12)
    ks, error, _ = table.bias(k1=3)
    assert ks[0] == 3
    assert error[-1] < 1e-12


def test_old_steps_are_freed():
    w, alive = Variable(0.9), []

    def step(t, h):
        gone = [ref() is None for ref in alive]
        assert all(gone[: max(0, t - 5)]), t
        h = ag.tanh(h * w)
        alive.append(weakref.ref(h.creator))
        return h, h * h

    flow.truncated_bptt(step, Variable(1.0, requires_grad=False), 30, 2, 3)
    assert np.isfinite(w.grad.data)


def test_a_first_state_that_is_learned_stays_a_leaf_and_gets_the_near_terms(rng):
    """dL_t/dh_0 is known from losses that are no more than k2 steps away."""
    cell, step, _, _, _ = problem("gru", rng)
    h0, k2 = Variable(rng.normal(size=(B, H)), name="h0"), 3
    losses = full(step, h0)
    expected = sum(ag.grad(losses[t], h0, retain_graph=True).data for t in range(k2))
    flow.truncated_bptt(step, h0, T, 1, k2)
    assert h0.requires_grad
    np.testing.assert_allclose(h0.grad.data, expected, rtol=1e-12)


@pytest.mark.parametrize("pack", [lambda h, c: ag.stack([h, c]), lambda h, c: tuple(ag.stack([h, c]))])
def test_states_packed_into_one_array(pack, rng):
    """What a step hands on as one array, or reads out of one, is cut in the same places."""
    cell, step, state, _, _ = problem("lstm", rng)
    expected = flow.decompose(full(step, state), cell.weight_hh).truncated(4, 2)

    def packed(t, state):
        state, loss = step(t, tuple(state))
        return pack(*state), loss

    flow.truncated_bptt(packed, pack(*state), T, 2, 4)
    np.testing.assert_allclose(cell.weight_hh.grad.data, expected, rtol=1e-11)


def test_errors(rng):
    cell, step, state, _, _ = problem("rnn", rng)
    table = flow.decompose(full(step, state), cell.weight_hh)
    for call in (lambda: table.truncated(2, 3), lambda: flow.truncated_bptt(step, state, T, 3, 2)):
        with pytest.raises(ValueError, match="1 <= k1 <= k2, got k1=3 and k2=2"):
            call()
    nn.manual_seed(0)
    net = nn.RNN(N, H, bidirectional=True, dtype=np.float64)
    with ag.stepwise():
        y, _ = net(rng.normal(size=(T, B, N)))
    back = dict(net.named_parameters())["weight_hh_l0_reverse"]
    with pytest.raises(ValueError, match="losses depend on later steps"):
        flow.decompose([y[t].sum() for t in range(T)], back).truncated(2)
