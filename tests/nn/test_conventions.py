"""Weights as courses and frameworks write them, against their equations, written here as they stand there."""

import numpy as np
import pytest

import nn
from autograd import sigmoid
from nn import conventions

T, B, I, H = 5, 3, 2, 4  # noqa: E741
F64 = {"dtype": np.float64}


def σ(a):
    return 1 / (1 + np.exp(-a))


def loop(step, x, *state):
    """x (T, B, I): a step each, of the whole batch."""
    outputs = []
    for x_t in x:
        state = step(x_t, *state)
        outputs.append(state[0])
    return np.array(outputs)


# Ng: columns. Each function takes rows and turns them into columns, as the course has them.


def ng_rnn(p, x):
    def step(x, a):
        a = np.tanh(p["Waa"] @ a.T + p["Wax"] @ x.T + p["ba"])
        return (a.T,)

    return loop(step, x, np.zeros((B, H)))


def ng_gru(p, x):
    def step(x, c):
        c, x = c.T, x.T
        cx = np.concatenate([c, x])
        Γu = σ(p["Wu"] @ cx + p["bu"])
        Γr = σ(p["Wr"] @ cx + p["br"]) if "Wr" in p else 1.0  # the simplified one has no Γr
        tilde = np.tanh(p["Wc"] @ np.concatenate([Γr * c, x]) + p["bc"])
        return ((Γu * tilde + (1 - Γu) * c).T,)

    return loop(step, x, np.zeros((B, H)))


def ng_lstm(p, x):
    def step(x, a, c):
        ax = np.concatenate([a.T, x.T])
        tilde = np.tanh(p["Wc"] @ ax + p["bc"])
        Γu, Γf, Γo = (σ(p["W" + k] @ ax + p["b" + k]) for k in "ufo")
        c = Γu * tilde + Γf * c.T
        return (Γo * np.tanh(c)).T, c.T

    return loop(step, x, np.zeros((B, H)), np.zeros((B, H)))


# Géron: rows, W_xᵀ x as x W_x


def geron_rnn(p, x):
    return loop(lambda x, h: (np.tanh(x @ p["W_x"] + h @ p["W_y"] + p["b"]),), x, np.zeros((B, H)))


def geron_gru(p, x):
    def step(x, h):
        r, z = (σ(x @ p["W_x" + k] + h @ p["W_h" + k] + p["b_" + k]) for k in "rz")
        g = np.tanh(x @ p["W_xg"] + (r * h) @ p["W_hg"] + p["b_g"])
        return (z * h + (1 - z) * g,)

    return loop(step, x, np.zeros((B, H)))


def geron_lstm(p, x):
    def step(x, h, c):
        i, f, o = (σ(x @ p["W_x" + k] + h @ p["W_h" + k] + p["b_" + k]) for k in "ifo")
        c = f * c + i * np.tanh(x @ p["W_xg"] + h @ p["W_hg"] + p["b_g"])
        return o * np.tanh(c), c

    return loop(step, x, np.zeros((B, H)), np.zeros((B, H)))


CASES = {
    "Ng rnn": ("Ng", lambda: nn.RNNCell(I, H, **F64), ng_rnn),
    "Ng gru": ("Ng", lambda: nn.GRUCell(I, H, reset="before", update="take", **F64), ng_gru),
    "Ng gru that keeps": ("Ng", lambda: nn.GRUCell(I, H, reset="before", **F64), ng_gru),
    "Ng simplified gru": ("Ng", lambda: nn.GRUCell(I, H, reset=None, update="take", **F64), ng_gru),
    "Ng lstm": ("Ng", lambda: nn.LSTMCell(I, H, **F64), ng_lstm),
    "Géron rnn": ("Géron", lambda: nn.RNNCell(I, H, **F64), geron_rnn),
    "Géron gru": ("Géron", lambda: nn.GRUCell(I, H, reset="before", **F64), geron_gru),
    "Géron gru that takes": (
        "Géron", lambda: nn.GRUCell(I, H, reset="before", update="take", **F64), geron_gru
    ),
    "Géron lstm": ("Géron", lambda: nn.LSTMCell(I, H, **F64), geron_lstm),
}  # fmt: skip
ALL = [*((convention, make) for convention, make, _ in CASES.values())] + [
    (name, make)
    for name in ("PyTorch", "Keras")
    for make in (
        lambda: nn.RNNCell(I, H, **F64),
        lambda: nn.GRUCell(I, H, **F64),
        lambda: nn.GRUCell(I, H, update="take", **F64),
        lambda: nn.LSTMCell(I, H, **F64),
        lambda: nn.LSTMCell(I, H, bias=False, **F64),
    )
]


def bits(weights):
    return {name: (w.shape, w.tobytes()) for name, w in weights.items()}


@pytest.mark.parametrize("name", CASES)
def test_weights_compute_in_the_equations_of_the_convention_what_the_cell_does(name, rng):
    convention, make, equations = CASES[name]
    nn.manual_seed(1)
    cell, x = make(), rng.normal(size=(T, B, I))
    given = conventions.weights(cell, convention)
    y = nn.Recurrent(cell)(x)[0].data
    np.testing.assert_allclose(equations(given, x), y, rtol=0, atol=1e-14)
    for w in given.values():  # they are copies
        w[...] = np.nan
    np.testing.assert_array_equal(nn.Recurrent(cell)(x)[0].data, y)


@pytest.mark.parametrize(("convention", "make"), ALL)
def test_going_there_and_back_is_exact_to_the_bit(convention, make, rng):
    nn.manual_seed(1)
    one, other, x = make(), make(), rng.normal(size=(T, B, I))
    given = conventions.weights(one, convention)
    conventions.load_weights(other, convention, given)
    assert bits(conventions.weights(other, convention)) == bits(given)
    y, z = (nn.Recurrent(cell)(x)[0].data for cell in (one, other))
    assert y.tobytes() == z.tobytes()  # the same outputs, though a pair of biases became one


def test_pytorchs_names_are_those_of_the_state_dict():
    cell = nn.LSTMCell(I, H)
    assert bits(conventions.weights(cell, "PyTorch")) == bits(cell.state_dict())
    assert list(conventions.weights(cell, "Keras")) == ["kernel", "recurrent_kernel", "bias"]


# --- the two meanings of z ------------------------------------------------------------------------

GRUS = {
    "after": lambda **o: nn.GRUCell(I, H, **o),
    "before": lambda **o: nn.GRUCell(I, H, reset="before", **o),
    "simplified": lambda **o: nn.GRUCell(I, H, reset=None, **o),
    "no bias": lambda **o: nn.GRUCell(I, H, bias=False, **o),
    "norm": lambda **o: nn.LayerNormGRUCell(I, H, **o),
    "conv": lambda **o: nn.ConvGRUCell(I, H, dims=1, **o),
}


@pytest.mark.parametrize("name", GRUS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-14), (np.float32, 1e-6)])
def test_set_update_changes_the_meaning_and_not_the_function(name, dtype, tolerance, rng):
    cell = GRUS[name](dtype=dtype)
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.8, p.shape).astype(dtype)
    places = (5,) if name == "conv" else ()
    x = rng.normal(size=(T, B, I, *places)).astype(dtype)
    before, y = bits(cell.state_dict()), nn.Recurrent(cell)(x)[0].data
    assert conventions.set_update(cell, "take") is cell and cell.update == "take"
    np.testing.assert_allclose(nn.Recurrent(cell)(x)[0].data, y, rtol=0, atol=tolerance)
    assert bits(cell.state_dict()) != before
    conventions.set_update(cell, "take")  # nothing left to do
    np.testing.assert_allclose(nn.Recurrent(cell)(x)[0].data, y, rtol=0, atol=tolerance)
    conventions.set_update(cell, "keep")
    assert bits(cell.state_dict()) == before
    assert nn.Recurrent(cell)(x)[0].data.tobytes() == y.tobytes()


def test_the_same_weights_under_the_other_meaning_are_another_cell(rng):
    keep, take = nn.GRUCell(I, H), nn.GRUCell(I, H, update="take")
    take.load_state_dict(keep.state_dict())
    x, h = np.ones((1, I), "f"), np.ones((1, H), "f")
    assert np.abs(keep(x, h).data - take(x, h).data).max() > 1e-2


def test_set_update_reaches_every_gru_of_a_model_once(rng):
    gru = nn.GRU(I, H, 2, bidirectional=True)
    model = nn.Sequential(gru, nn.Linear(2 * H, 1))
    first, second = (cell for _, cell in list(gru.cells())[:2])
    second.weight_ih = first.weight_ih  # two cells with one weight: its rows are negated once
    x = rng.normal(size=(T, B, I)).astype("f")
    y = gru(x)[0].data
    conventions.set_update(model, "take")
    assert [cell.update for _, cell in gru.cells()] == ["take"] * 4
    np.testing.assert_allclose(gru(x)[0].data, y, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: conventions.set_update(nn.LSTM(2, 3), "take"), ValueError, "no GRU in LSTM"),
    (lambda: conventions.set_update(nn.GRU(2, 3), "new"), ValueError, "set_update expected update 'keep'"),
    (lambda: conventions.set_update(nn.GRU(2, 3, recurrent_activation="softplus"), "take"), ValueError,
     r"recurrent_activation sigmoid, .* got softplus in GRUCell"),
    (lambda: conventions.weights(nn.GRUCell(2, 3), "Ng"), ValueError,
     r"Ng writes a GRU with reset 'before' or None, got GRUCell\(2, 3, .* no weights of the one form"),
    (lambda: conventions.weights(nn.GRUCell(2, 3, reset=None), "Keras"), ValueError, "'after' or 'before'"),
    (lambda: conventions.weights(nn.GRUCell(2, 3), "Graves"), ValueError, "Keras, Ng, Géron, got 'Gr"),
    (lambda: conventions.weights(nn.LSTM(2, 3), "Ng"), TypeError, "take its cells"),
    (lambda: conventions.weights(nn.LSTMCell(2, 3, proj_size=2), "Ng"), TypeError, "without proj_size"),
    (lambda: conventions.load_weights(nn.RNNCell(2, 3), "Ng", {"Waa": np.ones((3, 3))}), ValueError,
     r"RNNCell\(2, 3\), as Ng has it, {'Waa': \(3, 3\), 'Wax': .*}, got {'Waa': \(3, 3\)}"),
])  # fmt: skip
def test_bad_input_says_who_expected_and_got(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_a_refused_change_changes_nothing():
    model = nn.Sequential(nn.GRU(I, H), nn.GRU(H, H, recurrent_activation=lambda a: sigmoid(2.0 * a)))
    before = bits(model.state_dict())
    with pytest.raises(ValueError, match="got <lambda>"):
        conventions.set_update(model, "take")
    assert bits(model.state_dict()) == before and next(model[0].cells())[1].update == "keep"
    cell = nn.LSTMCell(I, H)
    before = bits(cell.state_dict())
    given = conventions.weights(cell, "Géron")
    with pytest.raises(ValueError, match="expected"):
        conventions.load_weights(cell, "Géron", {**given, "W_xi": given["W_xi"].T})
    assert bits(cell.state_dict()) == before
