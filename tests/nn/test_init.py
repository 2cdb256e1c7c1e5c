"""Initialisers: their distributions, and gate by gate."""

import math

import numpy as np
import pytest

import nn
from autograd import Variable
from nn import init

SHAPE = (60, 40)


def fresh(shape=SHAPE, dtype=np.float64):
    return nn.Parameter(np.full(shape, np.nan, dtype))


def generator():
    return np.random.default_rng(7)


VARIANCES = {  # fan_in 40, fan_out 60
    "uniform_": (lambda p, rng: init.uniform_(p, -1.0, 3.0, rng=rng), 1.0, 16 / 12),
    "normal_": (lambda p, rng: init.normal_(p, 2.0, 0.5, rng=rng), 2.0, 0.25),
    "xavier_uniform_": (lambda p, rng: init.xavier_uniform_(p, rng=rng), 0.0, 2 / 100),
    "xavier_normal_": (lambda p, rng: init.xavier_normal_(p, 3.0, rng=rng), 0.0, 18 / 100),
    "kaiming_uniform_": (lambda p, rng: init.kaiming_uniform_(p, rng=rng), 0.0, 2 / 40),
    "kaiming_normal_": (lambda p, rng: init.kaiming_normal_(p, mode="fan_out", rng=rng), 0.0, 2 / 60),
    "kaiming tanh": (
        lambda p, rng: init.kaiming_normal_(p, nonlinearity="tanh", rng=rng),
        0.0,
        (5 / 3) ** 2 / 40,
    ),
    "lecun_uniform_": (lambda p, rng: init.lecun_uniform_(p, rng=rng), 0.0, 1 / 40),
    "lecun_normal_": (lambda p, rng: init.lecun_normal_(p, rng=rng), 0.0, 1 / 40),
    "fan_in_uniform_": (lambda p, rng: init.fan_in_uniform_(p, 40, rng=rng), 0.0, 1 / 40 / 3),
}


@pytest.mark.parametrize("name", VARIANCES)
def test_mean_and_variance(name):
    initialise, mean, variance = VARIANCES[name]
    p = fresh()
    assert initialise(p, generator()) is p
    n, std = p.size, math.sqrt(variance)
    assert abs(p.data.mean() - mean) < 4 * std / math.sqrt(n)
    assert abs(p.data.var() / variance - 1) < 4 * math.sqrt(2 / n)
    again = initialise(fresh(), generator())
    np.testing.assert_array_equal(p.data, again.data)
    nn.manual_seed(1)
    default = initialise(fresh(), None).data
    nn.manual_seed(1)
    np.testing.assert_array_equal(default, initialise(fresh(), None).data)


# --- what layers and cells start with -------------------------------------------------------------


def every(start, names):
    """The same start of several parameters."""
    return dict.fromkeys(names.split(), start)


ZERO, F64 = {"zero_bias": True, "dtype": np.float64}, {"dtype": np.float64}
STARTS = {  # what each parameter is drawn from: the n of ±1/√n, (mean, std) of a normal, or a constant
    "linear": (lambda: nn.Linear(25, 300, **F64), every(25, "weight bias")),
    "embedding": (lambda: nn.Embedding(300, 25, **F64), every((0.0, 1.0), "weight")),
    "rnn": (lambda: nn.RNNCell(90, 80, **F64), every(80, "weight_ih weight_hh bias_ih bias_hh")),
    "lstm": (lambda: nn.LSTMCell(90, 80, proj_size=40, **F64), every(80, "weight_ih weight_hh weight_hr")),
    "conv gru": (
        lambda: nn.ConvGRUCell(5, 7, 3, state_kernel_size=5, **F64),
        {"weight_ih": 5 * 9} | every(7 * 25, "weight_hh bias_ih bias_hh"),
    ),
    "textbook": (lambda: nn.TextbookCell(90, 80, 70, **F64), every(80, "U W V") | every(0.0, "b c")),
    "textbook, random": (
        lambda: nn.TextbookCell(90, 80, 70, zero_bias=False, **F64), every(80, "U W V b c")
    ),
    "jordan": (lambda: nn.JordanCell(90, 80, 70, **F64), every(80, "U W V") | every(0.0, "b c")),
    "deep": (
        lambda: nn.DeepRNNCell(90, 80, 2, 3, 1, skip=True, **F64),
        every(80, "into.0.weight into.0.bias into.1.weight weight_hh.0 weight_hh.2 bias_hh.1")
        | every(80, "weight_skip out.0.weight out.0.bias"),
    ),
    "deep, zero": (
        lambda: nn.DeepRNNCell(90, 80, 2, 3, 1, **ZERO),
        every(80, "into.0.weight weight_hh.1") | every(0.0, "into.0.bias into.1.bias bias_hh.0 out.0.bias"),
    ),
    "scrn": (lambda: nn.SCRNCell(90, 80, 70, **F64), every(80, "weight_ih weight_hh weight_is weight_sh")),
    "irnn": (
        lambda: nn.IRNNCell(90, 80, **F64), {"weight_ih": (0.0, 0.001)} | every(0.0, "bias_ih bias_hh")
    ),
    "recurrent highway": (
        lambda: nn.RecurrentHighwayCell(90, 80, 2, **F64), every(80, "weight_ih weight_hh.0 weight_hh.1")
    ),
    "highway": (lambda: nn.Highway(nn.RNNCell(80, 80, **F64)), {"weight_t": 80, "bias_t": -1.0}),
    "recursive": (lambda: nn.RecursiveCell(90, 80, 3, **F64), every(80, "W U b b_U")),
    "child-sum": (lambda: nn.ChildSumTreeLSTMCell(90, 80, **F64), every(80, "W U b")),
    "n-ary": (lambda: nn.NaryTreeLSTMCell(90, 80, 3, **F64), every(80, "W U b")),
    "recursive, zero": (lambda: nn.RecursiveCell(90, 80, **ZERO), every(80, "W U") | every(0.0, "b b_U")),
    "child-sum, zero": (lambda: nn.ChildSumTreeLSTMCell(90, 80, **ZERO), every(80, "W U") | every(0.0, "b")),
    "n-ary, zero": (lambda: nn.NaryTreeLSTMCell(90, 80, 3, **ZERO), every(80, "W U") | every(0.0, "b")),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_initial_ranges_to_three_standard_errors(name):
    make, expected = STARTS[name]
    nn.manual_seed(5)
    module = make()
    state = module.state_dict()
    for path, start in expected.items():
        values, n = state[path].ravel(), state[path].size
        if isinstance(start, float):
            np.testing.assert_array_equal(values, start)
        elif isinstance(start, tuple):
            mean, std = start
            assert abs(values.mean() - mean) < 3 * std / math.sqrt(n), path
            assert abs(values.var() / std**2 - 1) < 3 * math.sqrt(2 / n), path
        else:  # uniform: the standard error of the variance a²/3 is a² √(4/45n)
            a = 1 / math.sqrt(start)
            assert abs(values.mean()) < 3 * a / math.sqrt(3 * n), path
            assert abs(values.var() - a**2 / 3) < 3 * a**2 * math.sqrt(4 / 45 / n), path
            assert a * (1 - 8 / n) < np.abs(values).max() <= a, path


def test_weights_of_an_indrnn_start_between_0_and_1():
    w = nn.IndRNNCell(2, 5000).weight_hh.data
    assert 0 <= w.min() < 0.002 and 0.998 < w.max() <= 1
    assert abs(w.mean() - 0.5) < 3 / math.sqrt(12 * 5000)


@pytest.mark.parametrize("make", [
    nn.RNNCell, nn.GRUCell, nn.LSTMCell, nn.PeepholeLSTMCell, nn.MGUCell, nn.IndRNNCell, nn.RelevanceLSTMCell,
    nn.CoupledLSTMCell, nn.SLSTMCell,
    nn.ConvRNNCell, nn.ConvGRUCell, nn.ConvLSTMCell, nn.ClockworkCell,
    lambda *sizes, **options: nn.SkipRNNCell(*sizes, 2, **options),
])  # fmt: skip
def test_biases_of_every_cell_may_start_at_zero(make):
    nn.manual_seed(3)
    usual, zero = make(4, 8).state_dict(), make(4, 8, zero_bias=True)
    assert all(usual[name].all() for name in ("bias_ih", "bias_hh"))
    for _ in range(2):
        state = zero.state_dict()
        assert not state["bias_ih"].any() and not state["bias_hh"].any() and state["weight_ih"].all()
        zero.reset_parameters()
    nn.manual_seed(3)
    again = make(4, 8, zero_bias=True).state_dict()
    np.testing.assert_array_equal(again["weight_hh"], usual["weight_hh"])  # and nothing else changes


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM, nn.ConvLSTM2d])
def test_biases_of_every_layer_may_start_at_zero(make):
    layer = make(3, 4, num_layers=2, bidirectional=True, zero_bias=True)
    biases = [value for name, value in layer.state_dict().items() if name.startswith("bias")]
    assert len(biases) == 8 and not any(value.any() for value in biases)


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.PeepholeLSTMCell, nn.ConvLSTMCell])
def test_a_forget_bias_goes_before_zero_biases(make):
    cell = make(3, 4, forget_bias=2.0, zero_bias=True)
    total = cell.bias_ih.data + cell.bias_hh.data
    np.testing.assert_array_equal(total, np.repeat([0, 2, 0, 0], 4))


@pytest.mark.parametrize("shape", [(6, 6), (7, 3), (3, 7), (4, 3, 2)])
def test_orthogonal_rows_or_columns(shape):
    p = init.orthogonal_(fresh(shape), gain=2.0, rng=generator())
    m = p.data.reshape(shape[0], -1)
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    np.testing.assert_allclose(gram, 4.0 * np.eye(len(gram)), atol=1e-13)


def test_constants():
    assert (init.zeros_(fresh()).data == 0).all() and (init.ones_(fresh()).data == 1).all()
    assert (init.constant_(fresh(), 2.5).data == 2.5).all()
    np.testing.assert_array_equal(init.eye_(fresh((2, 3))).data, np.eye(2, 3))


def test_other_seeds_give_other_numbers():
    drawn = []
    for seed in (0, 1, 2, 1):
        assert nn.manual_seed(seed) is nn.default_rng()
        drawn.append(nn.Linear(3, 4).weight.data)
    assert not any(np.array_equal(drawn[a], drawn[b]) for a, b in ((0, 1), (0, 2), (1, 2)))
    np.testing.assert_array_equal(drawn[1], drawn[3])


def test_writing_makes_a_new_version_and_keeps_the_array():
    """A graph built before notices; whoever shares the memory sees the new values."""
    p = nn.Parameter(np.ones((2, 2)))
    array, y = p.data, (p * p).sum()
    init.zeros_(p)
    assert np.shares_memory(array, p.data) and not array.any()
    with pytest.raises(RuntimeError, match="was replaced or changed"):
        y.backward()


# --- gates ----------------------------------------------------------------------------------------


def test_gates_are_views_by_name():
    cell = nn.LSTMCell(3, 4)
    for k, name in enumerate("ifgo"):
        gate = cell.gate("weight_hh", name)
        assert gate.shape == (4, 4) and np.shares_memory(gate.data, cell.weight_hh.data)
        np.testing.assert_array_equal(gate.data, cell.weight_hh.data[4 * k : 4 * k + 4])
        assert gate.grad is None
    y, _ = cell(np.ones((2, 3), "f"), (np.ones((2, 4), "f"), np.ones((2, 4), "f")))
    y.sum().backward()
    np.testing.assert_array_equal(cell.gate("weight_hh", "o").grad, cell.weight_hh.grad.data[12:])
    cell.gate("bias_ih", "f").data = 5.0
    np.testing.assert_array_equal(cell.bias_ih.data.reshape(4, 4)[1], 5.0)
    assert (cell.bias_ih.data.reshape(4, 4)[[0, 2, 3]] != 5).all()


def test_the_gates_of_every_cell():
    assert nn.RNNCell(2, 3).gates == ("h",)
    assert nn.GRUCell(2, 3).gates == nn.LayerNormGRUCell(2, 3).gates == ("r", "z", "n")
    assert nn.GRUCell(2, 3, reset=None).gates == ("z", "n")
    assert nn.PeepholeLSTMCell(2, 3).gates == ("i", "f", "g", "o")


def test_writing_a_gate_is_noticed_by_a_graph_built_before():
    cell = nn.LSTMCell(2, 3)
    y, _ = cell(np.ones((1, 2), "f"))
    init.zeros_(cell.gate("weight_ih", "f"))
    y, _ = cell(Variable(np.ones((1, 2), "f")))
    init.zeros_(cell.gate("weight_ih", "i"))
    with pytest.raises(RuntimeError, match="weight_ih"):
        y.sum().backward()


def test_per_gate_orthogonal_differs_from_orthogonal_on_the_fused_matrix():
    cell = nn.LSTMCell(8, 16, dtype=np.float64)
    assert init.per_gate(cell, "weight_hh", init.orthogonal_, rng=generator()) is cell
    for gate in cell.gates:
        w = cell.gate("weight_hh", gate).data
        np.testing.assert_allclose(w @ w.T, np.eye(16), atol=1e-13)
    assert np.abs(cell.gate("weight_hh", "i").data - cell.gate("weight_hh", "o").data).max() > 0.1
    init.orthogonal_(cell.weight_hh, rng=generator())
    w = cell.gate("weight_hh", "i").data
    assert np.abs(w @ w.T - np.eye(16)).max() > 0.1


def test_per_gate_reaches_all_cells_of_a_model_and_takes_single_gates():
    model = nn.Sequential(nn.Linear(4, 4), nn.LSTM(4, 5, 2, bidirectional=True, dtype=np.float64))
    lstm = model[1]
    init.per_gate(model, "weight_ih", init.xavier_uniform_, rng=generator())
    for _, cell in lstm.cells():  # the fans are those of one gate
        bound = math.sqrt(6 / (5 + cell.input_size))
        assert bound * 0.8 < np.abs(cell.weight_ih.data).max() < bound
    before = lstm.state_dict()
    init.per_gate(lstm, "bias_ih", init.constant_, gates="fo", value=3.0)
    for name, array in lstm.state_dict().items():
        if name.startswith("bias_ih"):
            rows = array.reshape(4, 5)
            assert (rows[[1, 3]] == 3).all()
            np.testing.assert_array_equal(rows[[0, 2]], before[name].reshape(4, 5)[[0, 2]])
        else:
            np.testing.assert_array_equal(array, before[name])


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.PeepholeLSTMCell, nn.LayerNormLSTMCell])
def test_forget_bias_is_the_sum_of_both_biases(make):
    cell = make(3, 4, forget_bias=1.0)
    first, second = (cell.gate(name, "f").data for name in cell.biases)
    assert (first == 1).all() and (second == 0).all()
    cell.reset_parameters()
    assert (cell.gate(cell.biases[0], "f").data == 1).all()


@pytest.mark.parametrize("make", [nn.LSTMCell, nn.PeepholeLSTMCell, nn.LayerNormLSTMCell, nn.ConvLSTMCell])
def test_forget_bias_is_the_one_that_was_asked_for(make):
    cell = make(3, 4, forget_bias=2.5)
    total = sum(cell.gate(name, "f").data for name in cell.biases)
    np.testing.assert_array_equal(total, np.full(4, 2.5))


def test_forget_bias_of_a_whole_model():
    lstm = init.forget_bias_(nn.LSTM(3, 4, 2), 2.0)
    for _, cell in lstm.cells():
        total = cell.gate("bias_ih", "f").data + cell.gate("bias_hh", "f").data
        assert (total == 2).all()


class Own(nn.Cell):
    """Names its gates and has no rows for them."""

    input_size = hidden_size = 2
    gates = ("i", "f")

    def __init__(self):
        self.bias_ih = nn.Parameter(np.ones(4))


class OwnGated(nn.GatedCell):
    gates = ("i", "f")

    def step(self, x, state, W_hh):
        return state


@pytest.mark.parametrize(
    "initialise",
    [lambda m: init.forget_bias_(m, 3.0), lambda m: init.per_gate(m, "bias_ih", init.constant_, value=3.0)],
)
def test_gates_of_a_cell_that_is_no_gated_cell(initialise):
    model = nn.Sequential(nn.LSTM(2, 3), Own())
    before = model.state_dict()
    with pytest.raises(
        TypeError, match=r"the gates i, f of Own apart: let it subclass nn\.GatedCell, or write"
    ):
        initialise(model)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
    assert initialise(OwnGated(2, 3)).gate("bias_ih", "f").data.tolist() == [3.0] * 3


def test_reset_parameters_with_a_generator_is_reproducible():
    for module in (nn.LSTM(3, 4, 2), nn.GRUCell(3, 4), nn.Linear(3, 4), nn.Embedding(5, 4, padding_idx=1)):
        module.reset_parameters(generator())
        first = module.state_dict()
        module.reset_parameters(generator())
        for name, array in module.state_dict().items():
            np.testing.assert_array_equal(array, first[name])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: init.xavier_uniform_(fresh((3,))), r"xavier_uniform_ expected a weight .* got \(3,\)"),
        (lambda: init.orthogonal_(fresh((3,))), r"orthogonal_ expected a weight"),
        (lambda: init.kaiming_normal_(fresh((0, 3))), r"kaiming_normal_ expected a weight"),
        (lambda: init.kaiming_normal_(fresh(), mode="fan"), "mode 'fan_in' or 'fan_out', got 'fan'"),
        (lambda: init.calculate_gain("gelu"), "calculate_gain expected one of linear, .* got 'gelu'"),
        (lambda: init.eye_(fresh((2, 2, 2))), "eye_ expected a matrix"),
        (lambda: nn.GRUCell(2, 3).gate("weight_hh", "f"), "GRUCell has the gates r, z, n, got 'f'"),
        (lambda: nn.GRUCell(2, 3).gate("weight", "r"), "GRUCell has no parameter 'weight'"),
        (lambda: nn.GRUCell(2, 3, bias=False).gate("bias_ih", "r"), "has no parameter 'bias_ih'"),
        (lambda: nn.LSTMCell(2, 4, proj_size=3).gate("weight_hr", "f"), "has no parameter 'weight_hr' with"),
        (
            lambda: init.per_gate(nn.Linear(2, 3), "weight", init.zeros_),
            "found no cell .* in Linear",
        ),
        (lambda: init.forget_bias_(nn.GRU(2, 3)), "no cell with a forget gate in GRU"),
    ],
)
def test_bad_input_says_who_expected_and_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()
