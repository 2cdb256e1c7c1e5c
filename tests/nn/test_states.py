"""Parts of a state by layer, direction and name."""

import numpy as np
import pytest

import nn
from autograd import Variable

T, B, I, H = 4, 3, 2, 5  # noqa: E741


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_packed_states_of_pytorchs_layers(kind, bidirectional, rng):
    layer = getattr(nn, kind)(I, H, 3, bidirectional=bidirectional)
    _, packed = layer(rng.normal(size=(T, B, I)).astype("f"))
    state = nn.named_state(layer, packed)
    parts = packed if isinstance(packed, tuple) else (packed,)
    directions = ("forward", "backward")[: 1 + bidirectional]
    for k in range(3):
        for d, direction in enumerate(directions):
            named = getattr(state.layer(k), direction)
            assert named._fields == ("h", "c")[: len(parts)]
            for part, value in zip(parts, named, strict=True):
                np.testing.assert_array_equal(value.data, part.data[k * len(directions) + d])
    np.testing.assert_array_equal(state.layer(-1).forward.h.data, state.layer(2).forward.h.data)


def test_a_named_part_is_in_the_graph(rng):
    layer = nn.LSTM(I, H, 2, bidirectional=True)
    _, state = layer(rng.normal(size=(T, B, I)).astype("f"))
    nn.named_state(layer, state).layer(0).backward.c.sum().backward()
    grads = {name for name, p in layer.named_parameters() if p.grad is not None and p.grad.data.any()}
    assert grads == {f"{name}_l0_reverse" for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}


def test_one_sequence_without_a_batch_axis(rng):
    layer = nn.GRU(I, H)
    _, h = layer(rng.normal(size=(T, I)).astype("f"))
    np.testing.assert_array_equal(nn.named_state(layer, h).layer(0).forward.h.data, h.data[0])


def test_layers_of_cells(rng):
    x = rng.normal(size=(T, B, I)).astype("f")
    one = nn.Recurrent(nn.LSTMCell(I, H))
    _, state = one(x)
    assert nn.named_state(one, state).layer(0).forward.c is state[1]
    back = nn.Recurrent(nn.LSTMCell(I, H), reverse=True)
    _, state = back(x)
    assert nn.named_state(back, state).layer(0).backward.c is state[1]
    stack = nn.Stacked(
        [nn.Bidirectional(nn.GRUCell(I, H), nn.LSTMCell(I, H)), back.__class__(nn.RNNCell(10, H))]
    )
    _, states = stack(x)
    named = nn.named_state(stack, states)
    assert named.layer(0).backward.c is states[0][1][1] and named.layer(1).forward.h is states[1][0]
    assert repr(named) == (
        "layer 0: forward: h (3, 5); backward: h (3, 5), c (3, 5)\nlayer 1: forward: h (3, 5)"
    )


PARTS = {
    "gru": (lambda: nn.GRUCell(I, I), "h"),
    "peephole": (lambda: nn.PeepholeLSTMCell(I, I), "h c"),
    "conv lstm": (lambda: nn.ConvLSTMCell(I, I, dims=1), "h c"),
    "relevance": (lambda: nn.RelevanceLSTMCell(I, I), "h c"),
    "textbook": (lambda: nn.TextbookCell(I, H, I), "o h"),
    "jordan": (lambda: nn.JordanCell(I, H, I), "o"),
    "stacked": (lambda: nn.StackedCells([nn.LSTMCell(I, H), nn.GRUCell(H, I)]), "h_1 h_0 c_0"),
    "deep": (lambda: nn.DeepRNNCell(I, I, output_depth=1), "y h"),
    "deep, no output": (lambda: nn.DeepRNNCell(I, I), "h"),
    "skip": (lambda: nn.SkipRNNCell(I, I, 3), "h h_2 h_3"),
    "clockwork": (lambda: nn.ClockworkCell(I, I, (1, 2)), "h t"),
    "scrn": (lambda: nn.SCRNCell(I, 1, 1), "h"),
    "indrnn": (lambda: nn.IndRNNCell(I, I), "h"),
    "minGRU": (lambda: nn.MinGRUCell(I, I), "h"),
    "minLSTM": (lambda: nn.MinLSTMCell(I, I), "h"),
    "SRU": (lambda: nn.SRUCell(I, I), "h c"),
    "RG-LRU": (lambda: nn.RGLRUCell(I, I), "h"),
    "LRU": (lambda: nn.LRUCell(I, H, I), "y re im"),
    "selective": (lambda: nn.SelectiveSSMCell(I, I, 3), "y s"),
    "coupled": (lambda: nn.CoupledLSTMCell(I, I), "h c"),
    "sLSTM": (lambda: nn.SLSTMCell(I, I), "h c n m"),
    "DeltaNet": (lambda: nn.DeltaNetCell(I, I), "y S"),
    "LMU": (lambda: nn.LMUCell(I, I), "h m"),
    "highway in time": (lambda: nn.RecurrentHighwayCell(I, I), "h"),
}
WRAPPERS = {
    "": (lambda cell: cell, ""),
    "residual": (nn.Residual, "y "),
    "highway": (nn.Highway, "y "),
    "zoneout": (lambda cell: nn.Zoneout(cell, 0.0), ""),
    "learned, dropped": (lambda cell: nn.LearnedState(nn.VariationalDropout(cell, 0.1)), ""),
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
@pytest.mark.parametrize("name", PARTS)
def test_every_cell_names_the_parts_of_its_state(name, wrapper):
    make, parts = PARTS[name]
    if (name, wrapper) == ("conv lstm", "highway"):
        pytest.skip("a highway leads past vectors alone")
    wrap, first = WRAPPERS[wrapper]
    layer = nn.Recurrent(wrap(make()))
    _, state = layer(np.zeros((T, B, I, *([3] if name == "conv lstm" else [])), "f"))
    named = nn.named_state(layer, state).layer(0).forward
    assert " ".join(named._fields) == first + (parts.replace("y", "y_2") if first else parts)
    assert all(a is b for a, b in zip(named, state, strict=True))


def test_attention_names_its_output_too():
    cell = nn.AttentionCell(nn.LSTMCell(3, 2), nn.AdditiveAttention(2, 1, 2))
    assert cell.parts == ("y", "h", "c")


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: nn.named_state(nn.LSTM(I, H), np.ones((2, 1, H))), ValueError, "LSTM with 1 layers .* got 2"),
    (lambda: nn.named_state(nn.Recurrent(nn.LSTMCell(I, H)), (Variable(np.ones(H)),)), ValueError,
     "LSTMCell with 2 parts, h, c, got 1"),
    (lambda: nn.named_state(nn.Stacked([nn.RNNCell(I, H)]), []), ValueError, "Stacked with 1 layers, got 0"),
    (lambda: nn.named_state(nn.Linear(2, 3), ()), TypeError, "expected an RNN, GRU or LSTM, .* got Linear"),
    (lambda: nn.named_state(nn.GRU(I, H), np.ones((1, 1, H))).layer(1), IndexError, "has no layer 1"),
    (lambda: nn.named_state(nn.GRU(I, H), np.ones((1, 1, H))).layer(0).backward, AttributeError,
     "has .forward, got .backward"),
    (lambda: nn.named_state(nn.GRU(I, H), np.ones((1, 1, H))).layer(0).forward.c, AttributeError, "'c'"),
])  # fmt: skip
def test_bad_input_says_who_expected_and_got(call, error, words):
    with pytest.raises(error, match=words):
        call()
