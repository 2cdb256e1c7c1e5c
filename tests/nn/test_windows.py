"""The warning where a state is carried through a stream and never detached."""

import gc
import warnings

import numpy as np
import pytest

import nn
from autograd import no_grad
from nn import windows

LAYERS = {
    "recurrent": (lambda: nn.Recurrent(nn.LSTMCell(2, 3)), (4, 1, 2)),
    "rows first": (lambda: nn.Recurrent(nn.GRUCell(2, 3), batch_first=True), (1, 4, 2)),
    "lstm": (lambda: nn.LSTM(2, 3, num_layers=2), (4, 1, 2)),
    "gru, rows first": (lambda: nn.GRU(2, 3, batch_first=True), (1, 4, 2)),
    "rnn, one sequence": (lambda: nn.RNN(2, 3), (4, 2)),
    "stack": (lambda: nn.Stacked([nn.GRUCell(2, 3), nn.RNNCell(3, 3)]), (4, 1, 2)),
    "images": (lambda: nn.ConvLSTM1d(2, 3, 3), (4, 1, 2, 5)),
}


@pytest.fixture(autouse=True)
def limit():
    before = nn.warn_after_windows(3)
    yield
    nn.warn_after_windows(before)


def run(layer, shape, count, between=lambda state: state):
    """How many warnings each of ``count`` windows gives, and the last state."""
    state, numbers = None, []
    for _ in range(count):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            _, state = layer(np.ones(shape, "f"), between(state))
        numbers.append(len(seen))
    return numbers, state


@pytest.mark.parametrize("name", LAYERS)
def test_one_graph_over_more_windows_than_the_limit(name):
    make, shape = LAYERS[name]
    layer, warned = make(), 2 if name == "stack" else 1  # by each of two layers
    assert run(layer, shape, 6)[0] == [0, 0, 0, warned, 0, 0]
    assert run(layer, shape, 6, nn.detach)[0] == [0] * 6
    with no_grad():
        assert run(layer, shape, 6)[0] == [0] * 6
    nn.warn_after_windows(None)
    assert run(layer, shape, 6)[0] == [0] * 6


def test_the_message():
    layer, state = nn.GRU(2, 3), None
    nn.warn_after_windows(1)
    _, state = layer(np.ones((4, 1, 2), "f"), state)
    with pytest.warns(UserWarning, match=r"^GRU: one graph spans 2 windows.*nn.detach\(state\)") as seen:
        layer(np.ones((4, 1, 2), "f"), state)
    assert seen[0].filename == __file__


def test_single_steps_are_a_loop_over_time_and_no_windows():
    layer = nn.GRU(2, 3)
    numbers, state = run(layer, (1, 1, 2), 10)
    assert numbers == [0] * 10
    for expected in (0, 0, 0, 1):  # and windows after them are counted
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            _, state = layer(np.ones((2, 1, 2), "f"), state)
            _, state = layer(np.ones((1, 1, 2), "f"), state)
        assert len(seen) == expected


def test_a_truncated_layer_cuts_its_graph_itself():
    assert run(nn.Recurrent(nn.GRUCell(2, 3), truncate=2), (4, 1, 2), 6)[0] == [0] * 6
    assert run(nn.Recurrent(nn.GRUCell(2, 3), truncate=4), (4, 1, 2), 6)[0] == [0, 0, 0, 1, 0, 0]


def test_a_count_goes_with_its_graph():
    gc.collect()
    before = len(windows._spans)
    _, state = run(nn.LSTM(2, 3), (4, 1, 2), 3)
    assert len(windows._spans) > before
    del state
    gc.collect()
    assert len(windows._spans) == before


def test_a_limit_is_at_least_one():
    with pytest.raises(ValueError, match="limit of at least 1"):
        nn.warn_after_windows(0)
    assert nn.warn_after_windows(7) == 3 and nn.warn_after_windows(3) == 7
