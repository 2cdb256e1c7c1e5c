"""Weights in Keras' layout against Keras' equations, written here in NumPy from its documentation."""

import numpy as np
import pytest

import nn
from autograd import Variable
from nn.keras import keras_weights, load_keras_weights

T, B, I, H = 6, 3, 4, 5  # noqa: E741


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def keras_rnn(x, kernel, recurrent, bias):
    h = np.zeros((B, H))
    ys = []
    for x_t in x:
        h = np.tanh(x_t @ kernel + bias + h @ recurrent)
        ys.append(h)
    return np.stack(ys)


def keras_lstm(x, kernel, recurrent, bias):
    h, c, ys = np.zeros((B, H)), np.zeros((B, H)), []
    for x_t in x:
        z = x_t @ kernel + h @ recurrent + bias
        z0, z1, z2, z3 = np.split(z, 4, axis=1)  # i, f, c, o
        c = sigmoid(z1) * c + sigmoid(z0) * np.tanh(z2)
        h = sigmoid(z3) * np.tanh(c)
        ys.append(h)
    return np.stack(ys)


def keras_gru(x, kernel, recurrent, bias):
    """reset_after=True: two biases; the reset gate acts on the recurrent product and its bias."""
    h, ys = np.zeros((B, H)), []
    for x_t in x:
        x_z, x_r, x_h = np.split(x_t @ kernel + bias[0], 3, axis=-1)
        r_z, r_r, r_h = np.split(h @ recurrent + bias[1], 3, axis=-1)
        z, r = sigmoid(x_z + r_z), sigmoid(x_r + r_r)
        hh = np.tanh(x_h + r * r_h)
        h = z * h + (1 - z) * hh
        ys.append(h)
    return np.stack(ys)


def keras_gru_before(x, kernel, recurrent, bias):
    """reset_after=False: one bias; the reset gate acts on the state."""
    h, ys = np.zeros((B, H)), []
    for x_t in x:
        x_z, x_r, x_h = np.split(x_t @ kernel + bias, 3, axis=-1)
        z = sigmoid(x_z + h @ recurrent[:, :H])
        r = sigmoid(x_r + h @ recurrent[:, H : 2 * H])
        hh = np.tanh(x_h + (r * h) @ recurrent[:, 2 * H :])
        h = z * h + (1 - z) * hh
        ys.append(h)
    return np.stack(ys)


CASES = {
    "rnn": (lambda: nn.RNN(I, H, dtype=np.float64), keras_rnn, 1, ()),
    "lstm": (lambda: nn.LSTM(I, H, dtype=np.float64), keras_lstm, 4, ()),
    "gru": (lambda: nn.GRU(I, H, dtype=np.float64), keras_gru, 3, (2,)),
    "gru, z takes": (lambda: nn.GRU(I, H, update="take", dtype=np.float64), keras_gru, 3, (2,)),
    "gru, reset before, z takes": (
        lambda: nn.GRU(I, H, reset="before", update="take", dtype=np.float64), keras_gru_before, 3, ()
    ),
    "gru, reset before": (
        lambda: nn.Recurrent(nn.GRUCell(I, H, dtype=np.float64, reset="before")), keras_gru_before, 3, ()
    ),
}  # fmt: skip


def output(layer, x):
    return layer(Variable(x, requires_grad=False))[0].data


@pytest.mark.parametrize("case", CASES)
def test_weights_of_keras_give_what_keras_computes(case, rng):
    make, reference, gates, rows = CASES[case]
    shapes = [(I, gates * H), (H, gates * H), (*rows, gates * H)]
    weights = [rng.normal(size=s) for s in shapes]
    layer, x = make(), rng.normal(size=(T, B, I))
    load_keras_weights(layer, weights)
    np.testing.assert_allclose(output(layer, x), reference(x, *weights), rtol=1e-12, atol=1e-14)
    for ours, theirs in zip(keras_weights(layer), weights, strict=True):  # and back, bit by bit
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("case", CASES)
def test_our_weights_in_the_layout_of_keras_compute_the_same(case, rng):
    make, reference, _, _ = CASES[case]
    layer, x = make(), rng.normal(size=(T, B, I))
    before = layer.state_dict()
    weights = keras_weights(layer)
    np.testing.assert_allclose(reference(x, *weights), output(layer, x), rtol=1e-12, atol=1e-14)
    weights[0][...] = 0
    assert all(np.array_equal(v, before[k]) for k, v in layer.state_dict().items())  # they are copies


def test_layers_and_directions_follow_each_other(rng):
    layer = nn.GRU(I, H, 2, bidirectional=True, dtype=np.float64)
    weights = keras_weights(layer)
    assert [w.shape for w in weights] == [(I, 15), (H, 15), (2, 15)] * 2 + [(2 * H, 15), (H, 15), (2, 15)] * 2
    x = y = rng.normal(size=(T, B, I))
    for k in (0, 6):
        ahead, back = keras_gru(y, *weights[k : k + 3]), keras_gru(y[::-1], *weights[k + 3 : k + 6])[::-1]
        y = np.concatenate([ahead, back], -1)
    other = nn.GRU(I, H, 2, bidirectional=True, dtype=np.float64)
    load_keras_weights(other, weights)
    np.testing.assert_allclose(output(other, x), y, rtol=1e-12)


def test_without_bias_and_in_float32():
    layer = nn.LSTM(I, H, bias=False)
    weights = keras_weights(layer)
    assert len(weights) == 2 and weights[0].dtype == np.float32
    other = nn.LSTM(I, H, bias=False)
    load_keras_weights(other, weights)
    for name, value in other.state_dict().items():
        np.testing.assert_array_equal(value, layer.state_dict()[name])


@pytest.mark.parametrize("damage", [
    lambda w: w[:2], lambda w: [*w, w[0]], lambda w: [w[0].T, *w[1:]], lambda w: [w[0], w[1], w[2][0]],
    lambda w: [w[0], w[1], np.full(w[2].shape, "a")], lambda w: [w[0], w[1], w[2] + 1j],
    lambda w: [w[0], w[1], w[2] * 1e300],
])  # fmt: skip
def test_wrong_weights_are_refused_and_change_nothing(damage):
    layer = nn.GRU(I, H, 1)
    before = layer.state_dict()
    weights = [np.ones(w.shape) for w in keras_weights(layer)]
    with pytest.raises(ValueError, match="expected|too large"):
        load_keras_weights(layer, damage(weights))
    assert all(np.array_equal(v, before[k]) for k, v in layer.state_dict().items())


@pytest.mark.parametrize("module", [
    nn.Linear(2, 3), nn.LSTM(4, 5, proj_size=2), nn.Stacked([nn.LSTMCell(2, 3), nn.PeepholeLSTMCell(3, 3)]),
])  # fmt: skip
def test_what_keras_does_not_have(module):
    with pytest.raises(TypeError, match="Keras"):
        keras_weights(module)
    with pytest.raises(TypeError, match="Keras"):
        load_keras_weights(module, [])


def test_a_single_bias_goes_to_bias_ih_as_it_is(rng):
    """Not only the sum counts: bias_hh is zero, and no rounding comes between."""
    for make, gates, order in (
        (lambda: nn.RNNCell(I, H, dtype=np.float64), 1, [0]),
        (lambda: nn.LSTMCell(I, H, dtype=np.float64), 4, [0, 1, 2, 3]),
        (lambda: nn.GRUCell(I, H, dtype=np.float64, reset="before"), 3, [1, 0, 2]),
    ):
        cell, bias = make(), rng.normal(size=gates * H)
        load_keras_weights(cell, [np.zeros((I, gates * H)), np.zeros((H, gates * H)), bias])
        np.testing.assert_array_equal(cell.bias_ih.data.reshape(gates, H), bias.reshape(gates, H)[order])
        assert not cell.bias_hh.data.any()
