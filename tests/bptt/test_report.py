"""The report on the first bad step: put in at a chosen step, layer, gate and operation, found there."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt.report import BadStep, first_bad_step


def identity_rnn(scale, H=3):
    nn.manual_seed(0)
    net = nn.RNN(2, H, nonlinearity="relu", dtype=np.float64)
    (_, cell), *_ = net.cells()
    cell.weight_hh.data = np.eye(H) * scale
    return net


class Model(nn.Module):
    def __init__(self, cell):
        self.encoder = nn.Recurrent(cell)

    def forward(self, x):
        return self.encoder(x)[0]


def test_infinity_in_a_gate_names_step_layer_gate_and_source(rng):
    nn.manual_seed(0)
    model = Model(nn.LSTMCell(2, 4, dtype=np.float64, activation=ag.exp))
    cell = model.encoder.cell
    cell.gate("weight_ih", "g").data = np.full((4, 2), 10.0)
    x = rng.normal(size=(50, 1, 2)) * 0.1
    x[37] = 50.0
    with np.errstate(over="ignore"), pytest.raises(BadStep) as caught, first_bad_step(model=model):
        model(x)
    found = caught.value
    assert (found.kind, found.step, found.layer, found.gate, found.op) == (
        "infinity",
        37,
        "encoder",
        "g",
        "Exp",
    )
    ((low, high),) = found.ranges
    assert 900 < low <= high < 1100
    W = cell.weight_hh.data.reshape(4, 4, 4)
    radii = [np.abs(np.linalg.eigvals(w)).max() for w in W]
    assert list(found.radii) == ["gate i", "gate f", "gate g", "gate o"]
    np.testing.assert_allclose(list(found.radii.values()), radii)
    text = str(found)
    assert text.startswith("infinity first in Exp, at step 37, in encoder, gate g\ngate g of step 37: from ")
    assert f"spectral radius of encoder.cell.weight_hh: gate i {radii[0]:.3g}, gate f" in text
    assert re.search(r"at .*lstm\.py:\d+ in step: g = self\.activation\(g\)\n", text)
    assert re.search(r"called from .*test_report\.py:\d+ in forward: return self\.encoder", text)


def test_nan_in_the_input_is_found_at_its_step(rng):
    net = identity_rnn(0.9)
    x = rng.normal(size=(6, 1, 2))
    x[4, 0, 1] = np.nan
    with ag.stepwise(), pytest.raises(BadStep) as caught, first_bad_step(model=net):
        net(x)
    assert (caught.value.kind, caught.value.step, caught.value.op) == ("NaN", 4, "Linear")
    assert caught.value.ranges[0] == (x[4, 0, 0], x[4, 0, 0])  # the finite part of it
    with pytest.raises(BadStep, match="outside of all steps, in l0"), first_bad_step():
        net(x)


def caught_in(run, **options):
    with np.errstate(all="ignore"), pytest.raises(BadStep) as caught, first_bad_step(**options):
        run()
    return caught.value


@pytest.mark.parametrize("value, kind", [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
@pytest.mark.parametrize("layer", [nn.LSTM, nn.GRU])
@pytest.mark.parametrize("weight", ["weight_ih", "weight_hh", "bias_ih", "bias_hh"])
@pytest.mark.parametrize("stepwise", [False, True])
def test_a_bad_weight_is_named_with_its_gate(value, kind, layer, weight, stepwise, rng):
    """Not the operation that happens to meet it first, such as the transpose before the loop."""
    nn.manual_seed(0)
    net, x = layer(2, 4, num_layers=2, dtype=np.float64), rng.normal(size=(5, 3, 2))
    _, (_, cell) = net.cells()
    for gate in cell.gates:
        original = getattr(cell, weight).data.copy()
        broken = cell.gate(weight, gate).data.copy()
        broken[(1,) * broken.ndim] = value
        cell.gate(weight, gate).data = broken
        row = cell.gates.index(gate) * 4 + 1
        with ag.stepwise() if stepwise else ag.enable_grad():
            found = caught_in(lambda: net(x), model=net)
        element = [row, 1] if weight.startswith("weight") else [row]
        assert (found.kind, found.operand, found.gate, found.row) == (kind, f"{weight}_l1", gate, None)
        assert str(found).startswith(f"{kind} in {weight}_l1, gate {gate}, element {element}\nmet first by ")
        getattr(cell, weight).data = original
    net(x)


def test_bad_rows_of_several_gates_and_weights_without_gates(rng):
    nn.manual_seed(0)
    net, x = nn.LSTM(2, 4, dtype=np.float64), rng.normal(size=(5, 3, 2))
    ((_, cell),) = net.cells()
    cell.gate("weight_ih", "f").data = np.full((4, 2), np.nan)
    cell.gate("weight_ih", "o").data = np.full((4, 2), np.inf)
    found = caught_in(lambda: net(x), model=net)
    assert found.gate == "f, o"
    assert str(found).startswith("NaN in weight_ih_l0, gates f, o, 16 of 32 elements, the first [4, 0]\n")
    assert caught_in(lambda: net(x)).operand == "weight_ih"  # without the model by its own name
    head = nn.Linear(3, 2, dtype=np.float64)
    head.weight.data = np.array([[1.0, np.nan, 2.0], [1.0, 2.0, 3.0]])
    found = caught_in(lambda: head(rng.normal(size=(4, 3))), model=head)
    assert (found.operand, found.gate) == ("weight", None)
    assert str(found).startswith("NaN in weight, element [0, 1]\nmet first by Linear, outside of all steps")


@pytest.mark.parametrize("value, kind", [(np.nan, "NaN"), (np.inf, "infinity")])
@pytest.mark.parametrize("given", ["array", "leaf", "batch first"])
@pytest.mark.parametrize("stepwise", [False, True])
def test_bad_data_are_named_with_step_and_row(value, kind, given, stepwise, rng):
    nn.manual_seed(0)
    net = nn.GRU(2, 4, dtype=np.float64, batch_first=given == "batch first")
    x = rng.normal(size=(6, 3, 2))
    x[4, 1, 0] = value
    x = Variable(x, name="inputs") if given == "leaf" else x.swapaxes(0, 1) if given == "batch first" else x
    with ag.stepwise() if stepwise else ag.enable_grad():
        found = caught_in(lambda: net(x), model=net)
    assert (found.kind, found.step, found.row, found.gate) == (kind, 4, 1, None)
    if given != "batch first":
        assert found.operand == ("inputs" if given == "leaf" else "x")
    assert f"{found.operand}, step 4, row 1 of the batch, element [" in str(found)


def test_where_time_and_rows_are_not_known_elements_alone_are_told(rng):
    nn.manual_seed(0)
    net, x = nn.RNN(2, 4, dtype=np.float64), rng.normal(size=(6, 3, 2))
    x[4, 1, 0] = np.inf
    found = caught_in(lambda: net(x))  # without a model nobody knows that the first axis is time
    assert (found.operand, found.step, found.row) == ("x", None, None)
    assert str(found).startswith(
        "infinity in x, element [4, 1, 0]\nmet first by Linear, outside of all steps, in l0"
    )
    U, column = Variable(rng.normal(size=(3, 2))), np.array([[1.0], [np.nan]])
    with ag.step(2):
        found = caught_in(lambda: U @ column)
    assert (found.operand, found.step, found.row) == ("a constant of shape (2, 1)", 2, None)


def test_operands_by_their_names(rng):
    """Overflow in the product with h, of a cell and of loops by hand: names given, and names known."""
    net = identity_rnn(1e200)
    found = caught_in(lambda: net(np.ones((9, 1, 2))), model=net)
    assert found.op == "AddMM" and found.operand is None
    assert found.names[1:] == [f"h of step {found.step - 1}", "weight_hh_l0ᵀ"]

    W = Variable(np.eye(2) * 1e200, name="W")

    def loop(name):
        h = Variable(np.ones((1, 2)), requires_grad=False, name="h0")
        for t in range(6):
            with ag.step(t):
                h = ag.maximum(h @ W * 2.0, 0.0)
                h.name = name

    for name, called in (("s", "s"), (None, "h")):
        found = caught_in(lambda name=name: loop(name))
        assert (found.step, found.op, found.names) == (1, "MatMul", [f"{called} of step 0", "W"])
        assert f"\n{called} of step 0: from 2e+200 to 2e+200\nW: from 0 to 1e+200\n" in str(found)
    found = caught_in(lambda: ag.exp(W) * 2.0)
    assert found.names == ["W"]


def test_bad_values_on_the_way_back_alone(rng):
    x = Variable(np.ones(3))
    found = caught_in(lambda: (x * 2.0).backward(np.array([1.0, np.nan, 2.0])))
    assert (found.operand, found.backward) == ("the gradient that arrived", True)
    assert "NaN in the gradient that arrived, element [1] (see gradient= of backward, and hooks)" in str(
        found
    )
    w = Variable(np.array([1.0, np.nan]), name="w")
    y = (w * w).sum()
    found = caught_in(y.backward)
    assert found.operand == "w"
    assert str(found).startswith(
        "NaN in w, element [1]\nmet first by the gradient of Mul, outside of all steps"
    )


def test_an_exploding_state_and_its_spectral_radius(rng):
    net = identity_rnn(1.5)
    x = np.ones((40, 1, 2))
    norms = np.linalg.norm(net(x)[0].data, axis=(1, 2))
    expected = int(np.argmax(norms > 1e3))
    with pytest.raises(BadStep) as caught, first_bad_step(limit=1e3, model=net):
        net(x)
    found = caught.value
    assert (found.kind, found.step, found.layer, found.backward) == ("norm", expected, "l0", False)
    assert found.norm > 1e3
    np.testing.assert_allclose(list(found.radii.values()), [1.5])
    assert "spectral radius of weight_hh_l0: 1.5" in str(found)


def test_an_exploding_gradient_in_a_loop_by_hand(rng):
    W = Variable(np.eye(2) * 2.0, name="W")
    h, hs = Variable(np.full((1, 2), 1e-9)), []
    with pytest.raises(BadStep) as caught, first_bad_step(limit=100.0):
        for t in range(20):
            with ag.step(t):
                h = ag.tanh(h @ W)
            hs.append(h)
        h.sum().backward()
    found = caught.value
    # |dL/dh_k| = √2 · 2^(19 - k), about: above 100 first where the product of step 13 gives it on
    assert (found.kind, found.step, found.op, found.backward) == ("norm", 13, "MatMul", True)
    assert found.radii == {"": 2.0}
    assert "norm 181 first in the gradient given by MatMul, at step 13" in str(found)
    assert "gradient that arrived 0: from 64 to 64" in str(found)
    assert "spectral radius of W: 2\n" in str(found)


def test_infinity_on_the_way_back():
    x = Variable(0.0)
    with np.errstate(divide="ignore"), pytest.raises(BadStep) as caught, first_bad_step():
        ag.sqrt(x).backward()
    assert (caught.value.kind, caught.value.op, caught.value.backward) == ("infinity", "Sqrt", True)
    assert caught.value.step is None
    assert "outside of all steps, at the top level" in str(caught.value)


def gates_of(net, rng):
    """(operation, gate) of every node of step 1 that belongs to a known gate, in order."""
    found = []

    class Look(first_bad_step):
        def forward(self, node, inputs, outputs):
            super().forward(node, inputs, outputs)
            if node.place.step == 1 and self._gate(node):
                found.append((node.label, self._gate(node)))

    with Look(model=net):
        net(rng.normal(size=(3, 1, 2)))
    return found


def test_gates_of_cells(rng):
    assert gates_of(nn.Recurrent(nn.LSTMCell(2, 3, dtype=np.float64)), rng) == [
        ("Sigmoid", "i"),
        ("Sigmoid", "f"),
        ("Sigmoid", "o"),
        ("Tanh", "g"),
        ("Mul", "f"),
        ("Mul", "i and g"),
        ("Mul", "o"),
    ]
    assert gates_of(nn.Recurrent(nn.GRUCell(2, 3, dtype=np.float64)), rng) == [
        ("Add", "r, z"),
        ("Sigmoid", "r, z"),
        ("Split", "r, z"),
        ("Mul", "r and n"),
        ("Lerp", "z"),
    ]


def test_without_a_model_gates_are_counted(rng):
    with pytest.raises(BadStep) as caught, first_bad_step(limit=10.0), ag.step(0):
        i, f, g, o = ag.split(Variable(np.ones((1, 8))), 4, axis=-1)
        ag.exp(g) * 100.0
    assert caught.value.gate == "2 of 4"


def test_a_sound_model_passes_and_costs_nothing_outside(rng):
    net = identity_rnn(1.0)
    with first_bad_step(limit=1e6, model=net):
        y, _ = net(rng.normal(size=(5, 2, 2)))
        y.sum().backward()
    assert np.isfinite(dict(net.named_parameters())["weight_hh_l0"].grad.data).all()
    with pytest.raises(ValueError, match="positive limit, got 0"):
        first_bad_step(limit=0)


def test_a_leaf_written_into_is_still_told():
    x = Variable(np.ones(3), name="x")
    with pytest.raises(RuntimeError, match="elements of leaf x"), first_bad_step():
        y = (x * x).sum()
        x.data[0] = 2.0
        y.backward()


class Two(ag.Function):
    """A product of two that hands back gradients which are given to it."""

    def __init__(self, *gradients):
        self.gradients = gradients

    def forward(self, a, b):
        return a * b

    def backward(self, gy):
        return tuple([np.full(gy.shape, g) for g in self.gradients])


@pytest.mark.parametrize("gradients", [(np.inf, np.nan), (np.nan, np.inf)])
def test_nan_comes_before_infinity(gradients):
    """Where one gradient is NaN and the other infinite, NaN is told, whichever comes first."""
    a, b = Variable(np.ones(2)), Variable(np.ones(2))
    with pytest.raises(BadStep) as caught, first_bad_step(limit=10.0):
        Two(*gradients)(a, b).sum().backward()
    assert caught.value.kind == "NaN"
    assert str(caught.value).startswith("NaN first in the gradient given by Two")


@pytest.mark.parametrize("gradients", [(3.0, 40.0), (40.0, 3.0)])
def test_the_norm_is_the_largest_of_all_that_was_given(gradients):
    a, b = Variable(np.ones(4)), Variable(np.ones(4))
    with pytest.raises(BadStep) as caught, first_bad_step(limit=10.0):
        Two(*gradients)(a, b).sum().backward()
    assert (caught.value.kind, caught.value.norm) == ("norm", 80.0)  # √4 · 40
