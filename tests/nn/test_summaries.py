"""The table of a model: its numbers against counts by hand, and that the model stays as it was."""

import numpy as np
import pytest

import nn


class Model(nn.Module):
    def __init__(self, rnn, features):
        self.rnn, self.drop, self.head = rnn, nn.Dropout(0.5), nn.Linear(features, 4)

    def forward(self, x):
        y, _ = self.rnn(x)
        return self.head(self.drop(y))


T, B, I, H = 7, 2, 3, 5  # noqa: E741


@pytest.mark.parametrize("kind, gates", [(nn.RNN, 1), (nn.GRU, 3), (nn.LSTM, 4)])
def test_numbers_of_a_recurrent_layer(kind, gates):
    table = nn.summary(Model(kind(I, H), H), (T, B, I))
    rows = {row.path: row for row in table.rows}
    assert rows["rnn"].parameters == gates * (H * I + H * H + 2 * H)
    assert rows["rnn"].multiply_adds == T * B * gates * (H * I + H * H)
    assert rows["head"].parameters == 4 * H + 4
    assert rows["head"].multiply_adds == T * B * 4 * H
    assert table.parameters == rows["rnn"].parameters + rows["head"].parameters
    assert table.multiply_adds == rows["rnn"].multiply_adds + rows["head"].multiply_adds


def test_the_gates_of_gru_and_lstm_can_be_read_off():
    assert "GRUCell, gates r z n" in str(nn.summary(nn.GRU(I, H)))
    assert "LSTMCell, gates i f g o" in str(nn.summary(nn.LSTM(I, H)))


def test_text():
    lines = str(nn.summary(Model(nn.LSTM(I, H), H), (T, B, I))).splitlines()
    assert lines[0].split() == ["module", "parameters", "weights", "output", "multiply-adds"]
    head = next(line for line in lines if "head (Linear)" in line)
    assert head.split() == ["head", "(Linear)", "24", "4×5", "7×2×4", "280"]
    assert any("(7×2×5, (1×2×5, 1×2×5))" in line for line in lines)


def test_the_shapes_of_weights():
    """The table of the course: W_aa (100, 100) and W_ax (100, 10000) beside each other are (100, 10100)."""
    (row,) = nn.summary(nn.RNNCell(10_000, 100)).rows
    assert row.weights == [(100, 10_000), (100, 100)]
    assert "100×10000, 100×100" in str(nn.summary(nn.RNNCell(10_000, 100)))
    rows = {row.path: row.weights for row in nn.summary(Model(nn.LSTM(I, H), H)).rows}
    assert rows["rnn"] == rows[""] == [] and [(20, 3), (20, 5)] in rows.values()
    assert rows["head"] == [(4, 5)]
    assert nn.summary(nn.DeepRNNCell(I, H, 2, 3, 1)).rows[0].weights == [(5, 5)] * 3  # in a list


def test_depth_leaves_out_lower_levels():
    table = nn.summary(Model(nn.LSTM(I, H, num_layers=2), H), (T, B, I), depth=1)
    assert [row.path for row in table.rows] == ["", "rnn", "drop", "head"]


def test_without_input_there_are_only_parameters():
    table = nn.summary(nn.LSTM(I, H))
    assert "output" not in str(table)
    assert table.parameters == 4 * (H * I + H * H + 2 * H)
    assert table.multiply_adds == 0


def test_convolutions_and_frozen_parameters_count():
    model = nn.Sequential(nn.Linear(8, 6), nn.Linear(6, 2)).requires_grad_(False)
    assert nn.summary(model, np.ones((3, 8), "f")).multiply_adds == 3 * (8 * 6 + 6 * 2)
    cell = nn.ConvLSTMCell(1, 2, 3)
    assert nn.summary(nn.Recurrent(cell), (T, 1, 1, 4, 4)).multiply_adds == T * 16 * 8 * 9 * (1 + 2)


def test_a_cell_by_itself_counts_once():
    table = nn.summary(nn.LSTMCell(I, H), (B, I))
    assert table.multiply_adds == B * 4 * (H * I + H * H)
    assert "(2×5, 2×5)" in str(table)


def test_shared_parameters_count_once():
    tied = nn.Linear(4, 4)
    model = nn.Sequential(tied, nn.Tanh(), tied)
    assert nn.summary(model, (2, 4)).parameters == 20
    assert nn.summary(model, (2, 4)).multiply_adds == 2 * 2 * 16


def test_the_model_stays_as_it_was():
    model = Model(nn.LSTM(I, H), H)
    before = [dict(vars(m)) for m in model.modules()]
    nn.summary(model, (T, B, I))
    with pytest.raises(ValueError, match="expected input"):
        nn.summary(model, (T, B, I + 1))
    assert all(list(vars(m).items()) == list(b.items()) for m, b in zip(model.modules(), before, strict=True))
    assert model.training
    assert all(p.grad is None for p in model.parameters())


def test_dropout_does_not_draw_numbers():
    model = Model(nn.LSTM(I, H), H)
    state = nn.get_rng_state()
    nn.summary(model, (T, B, I))
    assert nn.get_rng_state() == state


def test_a_notebook_shows_a_table():
    model = Model(nn.GRU(I, H), H)
    page = nn.summary(model, (T, B, I))._repr_html_()
    assert page.count("<tr>") == 8
    assert "gates r z n" in page
    assert page.count("<tr>") == model._repr_html_().count("<tr>")
    assert "multiply" not in model._repr_html_()


def test_html_is_escaped():
    class Odd(nn.Module):
        def __init__(self):
            setattr(self, "<b>", nn.Linear(1, 1))

    assert "<b>" not in Odd()._repr_html_()


@pytest.mark.parametrize("kind, gates", [(nn.RNNCell, 1), (nn.GRUCell, 3), (nn.LSTMCell, 4)])
def test_a_cell_in_a_loop_counts_its_projection_of_the_input(kind, gates):
    """The loop calls project once and step T times; both products are the cell's."""
    rows = {row.path: row for row in nn.summary(nn.Recurrent(kind(I, H)), (T, B, I)).rows}
    assert rows["cell"].multiply_adds == T * B * gates * (H * I + H * H) == rows[""].multiply_adds
