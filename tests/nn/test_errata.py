"""What the relevance gate of one set of notes changes in an LSTM; `cases.relevance_lstm` trains both."""

from collections import Counter

import numpy as np
import pytest

import nn
from autograd import Variable, grad
from autograd.core import Function
from autograd.graph.reading import Reading, results_of
from nn.init import constant_

T, B, I, H = 6, 3, 2, 4  # noqa: E741
F64 = {"dtype": np.float64}


def pair(rng):
    """The cell of the notes, and an LSTM without the last tanh that has the same i, f, g and o."""
    notes, lstm = nn.RelevanceLSTMCell(I, H, **F64), nn.LSTMCell(I, H, output_activation="identity", **F64)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        for gate in lstm.gates:
            lstm.gate(name, gate).data = notes.gate(name, gate).data
    return notes, lstm, rng.normal(size=(T, B, I))


def test_it_is_an_lstm_where_its_extra_gate_is_open_and_nothing_is_hidden(rng):
    """With r = o = 1 and h = c there is nothing left in which they differ."""
    notes, lstm, x = pair(rng)
    constant_(notes.gate("bias_ih", "r"), 1e3)
    for cell in (notes, lstm):
        constant_(cell.gate("bias_ih", "o"), 1e3)
    np.testing.assert_allclose(
        nn.Recurrent(notes)(x)[0].data, nn.Recurrent(lstm)(x)[0].data, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("opened", ["r", "o", ""])
def test_with_the_same_weights_it_is_another_cell_otherwise(opened, rng):
    notes, lstm, x = pair(rng)
    for cell in (notes, lstm):
        if opened in cell.gates:
            constant_(cell.gate("bias_ih", opened), 1e3)
    difference = nn.Recurrent(notes)(x)[0].data - nn.Recurrent(lstm)(x)[0].data
    assert np.abs(difference).max() > 1e-3


def test_the_output_is_not_fed_back(rng):
    notes, lstm, x = pair(rng)
    for cell, fed_back in ((notes, False), (lstm, True)):
        h, c = Variable(rng.normal(size=(B, H))), Variable(rng.normal(size=(B, H)))
        y, _ = nn.Recurrent(cell)(x, (h, c))
        of_h, of_c = grad(y.sum(), [h, c], allow_unused=True)
        assert (of_h is not None) == fed_back and of_c.data.any()


def test_the_memory_does_not_know_what_the_output_gate_did(rng):
    for cell, knows in zip(pair(rng), (False, True), strict=False):
        x = rng.normal(size=(T, B, I))
        c = nn.Recurrent(cell)(x)[1][1].data
        constant_(cell.gate("bias_ih", "o"), -5.0)
        assert (not np.array_equal(nn.Recurrent(cell)(x)[1][1].data, c)) == knows


def test_a_fifth_block_of_weights():
    sizes = [sum(p.size for p in cell(8, 16).parameters()) for cell in (nn.RelevanceLSTMCell, nn.LSTMCell)]
    assert sizes[0] == 1.25 * sizes[1]


def test_two_products_per_step_one_after_the_other(rng):
    for cell, products in zip(pair(rng), (2, 1), strict=False):
        y, _ = nn.Recurrent(cell)(rng.normal(size=(T, B, I)))
        nodes = [node for node in Reading(results_of(y)).sources if isinstance(node, Function)]
        steps = Counter(node.place.step for node in nodes if node.label == "AddMM")
        assert steps == dict.fromkeys(range(T), products)


def test_nothing_keeps_memory_and_output_within_one(rng):
    """All gates open and a candidate of one: the memory counts steps, and so does the output."""
    for cell, largest in ((nn.RelevanceLSTMCell(I, H, **F64), 100.0), (nn.LSTMCell(I, H, **F64), 1.0)):
        for gate in cell.gates:
            constant_(cell.gate("bias_ih", gate), 1e3)
        y, (_, c) = nn.Recurrent(cell)(rng.normal(size=(100, B, I)))
        np.testing.assert_array_equal(c.data, np.full((B, H), 100.0))
        np.testing.assert_allclose(y.data[-1], largest, rtol=1e-12)
