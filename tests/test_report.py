"""The report on the first bad step: put in at a chosen step, layer, gate and operation, found there."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.graph.report import BadStep, first_bad_step


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
    assert text.startswith("infinity first in Exp, at step 37, in encoder, gate g\ninput 0: from ")
    assert f"spectral radius of encoder.cell.weight_hh: gate i {radii[0]:.3g}, gate f" in text
    assert re.search(r"at .*cells\.py:\d+ in step: g = self\.activation\(g\)\n", text)
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
