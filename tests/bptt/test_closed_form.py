"""The backward passes of the RNN and the LSTM as courses derive them, equation by equation, and that
reverse mode over the graph gives every one of these numbers, though no cell has a backward.

Everything in this file's formulas is in the columns of the course (Ng, Sequence Models, week 1): x (n_x, m),
a and c (n_a, m), weights on the stacked vector [a_prev; x]. Γu is our gate i, Γf is f, Γo is o, c̃ is g.

Handed-down notes of that course have slips, and the formulas below are the right ones:
  * a = Γo * c is another cell than a = Γo * tanh(c), ours with ``output_activation="identity"``. Its
    equations 7 to 10 and 20 have 1 for 1 - tanh²(c_next) and c_next for tanh(c_next).
  * Equation 8 is called dc̃ but contains the factor 1 - c̃²: it is the gradient before the tanh (dpc̃ in
    equations 11 to 21), not that of c̃.
  * The LSTM has no relevance gate: a Γr inside c̃ is the GRU's, and the gates see a_prev, not c_prev.
  * Where update and forget swap names, check against c = Γu * c̃ + Γf * c_prev.
  * db sums over the examples of the batch and keeps its axis (``keepdims``, with an s); in a sequence all
    parameter gradients are sums over time too.
  * For one step of equation 19 and 21 the same gradients meet different columns of the weights: the first
    n_a for da_prev, the rest for dx.
"""

import numpy as np
import pytest

import nn
from autograd import Variable, concatenate, sigmoid, tanh

N_X, N_A, M, T_X = 3, 4, 5, 6


def sigma(z):
    return 1 / (1 + np.exp(-z))


# --- the RNN --------------------------------------------------------------------------------------


def rnn_cell_backward(da_next, a_next, a_prev, x, Wax, Waa):
    """The six formulas for a_next = tanh(Wax x + Waa a_prev + ba)."""
    dtanh = da_next * (1 - a_next**2)
    return {
        "dtanh": dtanh,
        "dWax": dtanh @ x.T,
        "dWaa": dtanh @ a_prev.T,
        "dba": np.sum(dtanh, axis=-1, keepdims=True),
        "dx": Wax.T @ dtanh,
        "da_prev": Waa.T @ dtanh,
    }


def rnn_backward(da, a, a0, x, Wax, Waa):
    """Backpropagation through time: da (n_a, m, T_x) is what each step's own loss says about a."""
    total = {"dWax": 0.0, "dWaa": 0.0, "dba": 0.0}
    dx, da_prev = np.zeros(x.shape), np.zeros(a0.shape)
    for t in reversed(range(x.shape[2])):
        before = a[:, :, t - 1] if t else a0
        g = rnn_cell_backward(da[:, :, t] + da_prev, a[:, :, t], before, x[:, :, t], Wax, Waa)
        da_prev, dx[:, :, t] = g["da_prev"], g["dx"]
        total = {k: total[k] + g[k] for k in total}
    return {**total, "dx": dx, "da0": da_prev}


# --- the LSTM -------------------------------------------------------------------------------------


def lstm_cell_forward(x, a_prev, c_prev, W, b, out=np.tanh):
    """W and b by gate (f, u, c, o), each weight (n_a, n_a + n_x): the values that backward needs."""
    z = np.concatenate([a_prev, x])
    Gf, Gu, Go = (sigma(W[k] @ z + b[k]) for k in "fuo")
    cct = np.tanh(W["c"] @ z + b["c"])
    c_next = Gf * c_prev + Gu * cct
    return {"Gf": Gf, "Gu": Gu, "Go": Go, "cct": cct, "c_next": c_next, "a_next": Go * out(c_next)}


def lstm_cell_backward(da_next, dc_next, x, a_prev, c_prev, W, v, tanh_out=True):
    """Equations 7 to 21; ``v`` is what the forward pass gave."""
    Gf, Gu, Go, cct, c_next = (v[k] for k in ("Gf", "Gu", "Go", "cct", "c_next"))
    out = np.tanh(c_next) if tanh_out else c_next
    slope = 1 - np.tanh(c_next) ** 2 if tanh_out else 1.0
    n_a, z = len(a_prev), np.concatenate([a_prev, x])
    d = {
        "o": da_next * out * Go * (1 - Go),  # 7
        "c": (dc_next * Gu + Go * slope * Gu * da_next) * (1 - cct**2),  # 8
        "u": (dc_next * cct + Go * slope * cct * da_next) * Gu * (1 - Gu),  # 9
        "f": (dc_next * c_prev + Go * slope * c_prev * da_next) * Gf * (1 - Gf),  # 10
    }
    return {
        **{f"dgamma_{k}": d[k] for k in "ocuf"},
        **{f"dW{k}": d[k] @ z.T for k in "fuco"},  # 11 to 14
        **{f"db{k}": np.sum(d[k], axis=1, keepdims=True) for k in "fuco"},  # 15 to 18
        "da_prev": sum(W[k][:, :n_a].T @ d[k] for k in "fuco"),  # 19
        "dc_prev": dc_next * Gf + Go * slope * Gf * da_next,  # 20
        "dx": sum(W[k][:, n_a:].T @ d[k] for k in "fuco"),  # 21
    }


def lstm_backward(da, x, a0, W, b):
    """Backpropagation through time of the LSTM with a state that starts at a0 and c = 0."""
    T = x.shape[2]
    a_prev, c_prev, cache = a0, np.zeros(a0.shape), []
    for t in range(T):
        v = lstm_cell_forward(x[:, :, t], a_prev, c_prev, W, b)
        cache.append((a_prev, c_prev, v))
        a_prev, c_prev = v["a_next"], v["c_next"]
    total = {f"d{p}{k}": 0.0 for p in "Wb" for k in "fuco"}
    dx, da_prev, dc_prev = np.zeros(x.shape), np.zeros(a0.shape), np.zeros(a0.shape)
    for t in reversed(range(T)):
        g = lstm_cell_backward(da[:, :, t] + da_prev, dc_prev, x[:, :, t], *cache[t][:2], W, cache[t][2])
        da_prev, dc_prev, dx[:, :, t] = g["da_prev"], g["dc_prev"], g["dx"]
        total = {k: total[k] + g[k] for k in total}
    return {**total, "dx": dx, "da0": da_prev}


# --- against the graph ----------------------------------------------------------------------------

GATES = {"i": "u", "f": "f", "g": "c", "o": "o"}  # ours: the course's


def equal(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


@pytest.fixture
def rnn(rng):
    cell = nn.RNNCell(N_X, N_A, dtype=np.float64)
    nn.init.zeros_(cell.bias_hh)  # the course has one bias
    return cell


@pytest.fixture
def lstm(rng):
    cell = nn.LSTMCell(N_X, N_A, dtype=np.float64)
    nn.init.zeros_(cell.bias_hh)
    return cell


def course_weights(cell):
    """W and b by the course's gates, on [a_prev; x], b a column."""
    W, b = {}, {}
    for ours, theirs in GATES.items():
        W[theirs] = np.hstack([cell.gate("weight_hh", ours).data, cell.gate("weight_ih", ours).data])
        b[theirs] = cell.gate("bias_ih", ours).data[:, None]
    return W, b


def test_every_formula_of_the_rnn_step(rnn, rng):
    x, a_prev, da = (rng.normal(size=s) for s in [(N_X, M), (N_A, M), (N_A, M)])
    x_, a_ = Variable(x.T), Variable(a_prev.T)
    z = rnn.project(x_)  # the sum before the tanh is z + Waa a_prev, so its gradient is that of z
    z.retain_grad()
    (a_next,) = rnn.step(z, (a_,), rnn.prepare(x_))
    a_next.backward(da.T)

    Wax, Waa = rnn.weight_ih.data, rnn.weight_hh.data
    equal(a_next.data.T, np.tanh(Wax @ x + Waa @ a_prev + rnn.bias_ih.data[:, None]))
    g = rnn_cell_backward(da, a_next.data.T, a_prev, x, Wax, Waa)
    equal(z.grad.data.T, g["dtanh"])
    equal(rnn.weight_ih.grad.data, g["dWax"])
    equal(rnn.weight_hh.grad.data, g["dWaa"])
    equal(rnn.bias_ih.grad.data[:, None], g["dba"])
    equal(x_.grad.data.T, g["dx"])
    equal(a_.grad.data.T, g["da_prev"])


def test_backpropagation_through_time_of_the_rnn(rnn, rng):
    x, a0, da = (rng.normal(size=s) for s in [(N_X, M, T_X), (N_A, M), (N_A, M, T_X)])
    x_, a_ = Variable(x.transpose(2, 1, 0)), Variable(a0.T)
    y, _ = nn.Recurrent(rnn)(x_, (a_,))
    y.backward(da.transpose(2, 1, 0))
    g = rnn_backward(da, y.data.transpose(2, 1, 0), a0, x, rnn.weight_ih.data, rnn.weight_hh.data)
    equal(rnn.weight_ih.grad.data, g["dWax"])
    equal(rnn.weight_hh.grad.data, g["dWaa"])
    equal(rnn.bias_ih.grad.data[:, None], g["dba"])
    equal(x_.grad.data.transpose(2, 1, 0), g["dx"])
    equal(a_.grad.data.T, g["da0"])


@pytest.mark.parametrize("output", ["tanh", "identity"])
def test_equations_7_to_21_of_the_lstm_step(output, rng):
    lstm = nn.LSTMCell(N_X, N_A, dtype=np.float64, output_activation=output)
    nn.init.zeros_(lstm.bias_hh)
    x, a_prev, c_prev, da, dc = (rng.normal(size=(n, M)) for n in (N_X, N_A, N_A, N_A, N_A))
    x_, a_, c_ = Variable(x.T), Variable(a_prev.T), Variable(c_prev.T)
    z = lstm.project(x_)
    z.retain_grad()
    a_next, c_next = lstm.step(z, (a_, c_), lstm.prepare(x_))
    ((a_next * da.T).sum() + (c_next * dc.T).sum()).backward()

    W, b = course_weights(lstm)
    v = lstm_cell_forward(x, a_prev, c_prev, W, b, np.tanh if output == "tanh" else lambda c: c)
    equal(a_next.data.T, v["a_next"])
    equal(c_next.data.T, v["c_next"])
    g = lstm_cell_backward(da, dc, x, a_prev, c_prev, W, v, tanh_out=output == "tanh")
    for k, (ours, theirs) in enumerate(GATES.items()):
        rows = slice(k * N_A, (k + 1) * N_A)
        equal(z.grad.data.T[rows], g[f"dgamma_{theirs}"])  # 7 to 10
        dW = np.hstack([lstm.gate("weight_hh", ours).grad, lstm.gate("weight_ih", ours).grad])
        equal(dW, g[f"dW{theirs}"])  # 11 to 14
        equal(lstm.gate("bias_ih", ours).grad[:, None], g[f"db{theirs}"])  # 15 to 18
    equal(a_.grad.data.T, g["da_prev"])  # 19
    equal(c_.grad.data.T, g["dc_prev"])  # 20
    equal(x_.grad.data.T, g["dx"])  # 21


def test_backpropagation_through_time_of_the_lstm(lstm, rng):
    x, a0, da = (rng.normal(size=s) for s in [(N_X, M, T_X), (N_A, M), (N_A, M, T_X)])
    x_, a_ = Variable(x.transpose(2, 1, 0)), Variable(a0.T)
    y, _ = nn.Recurrent(lstm)(x_, (a_, np.zeros((M, N_A))))
    y.backward(da.transpose(2, 1, 0))
    g = lstm_backward(da, x, a0, *course_weights(lstm))
    for ours, theirs in GATES.items():
        dW = np.hstack([lstm.gate("weight_hh", ours).grad, lstm.gate("weight_ih", ours).grad])
        equal(dW, g[f"dW{theirs}"])
        equal(lstm.gate("bias_ih", ours).grad[:, None], g[f"db{theirs}"])
    equal(x_.grad.data.transpose(2, 1, 0), g["dx"])
    equal(a_.grad.data.T, g["da0"])


@pytest.mark.parametrize("kind", ["rnn", "gru", "lstm"])
def test_one_weight_on_the_stacked_vector_is_both_weights_side_by_side(kind, rng):
    """W_a [a, x] = W_aa a + W_ax x, with W_a = [W_aa | W_ax]: values, and gradients cut at column n_a."""
    cells = {"rnn": nn.RNNCell, "gru": nn.GRUCell, "lstm": nn.LSTMCell}
    options = {"reset": "before"} if kind == "gru" else {}
    cell = cells[kind](N_X, N_A, dtype=np.float64, **options)
    W = {g: Variable(np.hstack([cell.gate(f"weight_{p}", g).data for p in ("hh", "ih")])) for g in cell.gates}
    b = {g: Variable(cell.gate("bias_ih", g).data + cell.gate("bias_hh", g).data) for g in cell.gates}
    assert all(w.shape == (N_A, N_A + N_X) for w in W.values())
    x, *state = [Variable(rng.normal(size=(M, n))) for n in [N_X, *[N_A] * (1 + (kind == "lstm"))]]
    x_, *state_ = [Variable(v.data) for v in (x, *state)]

    def a(gate, h):
        return concatenate([h, x_], -1) @ W[gate].T + b[gate]

    h = state_[0]
    if kind == "rnn":
        new = [tanh(a("h", h))]
    elif kind == "gru":
        r, z = sigmoid(a("r", h)), sigmoid(a("z", h))
        new = [(1 - z) * tanh(a("n", r * h)) + z * h]
    else:
        c = sigmoid(a("f", h)) * state_[1] + sigmoid(a("i", h)) * tanh(a("g", h))
        new = [sigmoid(a("o", h)) * tanh(c), c]
    (split,) = nn.Recurrent(cell)(x[None], tuple(state))[1:]
    directions = [rng.normal(size=(M, N_A)) for _ in new]
    for got, want in zip(split, new, strict=True):
        equal(got.data, want.data)
    sum((s * d).sum() for s, d in zip(split, directions, strict=True)).backward()
    sum((s * d).sum() for s, d in zip(new, directions, strict=True)).backward()
    for gate in cell.gates:
        equal(cell.gate("weight_hh", gate).grad, W[gate].grad.data[:, :N_A])
        equal(cell.gate("weight_ih", gate).grad, W[gate].grad.data[:, N_A:])
        equal(cell.gate("bias_ih", gate).grad, b[gate].grad.data)
    for one, other in zip((x, *state), (x_, *state_), strict=True):
        equal(one.grad.data, other.grad.data)


def test_the_slips_are_slips(rng):
    """Each of them gives other numbers than the graph, so this file would notice."""
    x, a_prev, c_prev, da, dc = (rng.normal(size=(n, M)) for n in (N_X, N_A, N_A, N_A, N_A))
    W = {k: rng.normal(size=(N_A, N_A + N_X)) for k in "fuco"}
    b = {k: rng.normal(size=(N_A, 1)) for k in "fuco"}
    v = lstm_cell_forward(x, a_prev, c_prev, W, b)
    right = lstm_cell_backward(da, dc, x, a_prev, c_prev, W, v)
    other_cell = lstm_cell_backward(da, dc, x, a_prev, c_prev, W, v, tanh_out=False)
    assert all(np.abs(right[f"dgamma_{k}"] - other_cell[f"dgamma_{k}"]).max() > 1e-2 for k in "ocuf")
    of_the_candidate = right["dgamma_c"] / (1 - v["cct"] ** 2)  # what the name dc̃ would mean
    assert np.abs(of_the_candidate - right["dgamma_c"]).max() > 1e-2


def test_the_derivative_of_tanh():
    x = Variable(np.linspace(-3, 3, 13))
    y = tanh(x)
    y.sum().backward()
    equal(x.grad.data, 1 - np.tanh(x.data) ** 2)


def test_the_course_and_the_library_agree_on_the_constant_error_carousel(lstm, rng):
    """Equation 20 with da_next = 0: what flows from c to c_prev is Γf and nothing else."""
    state = Variable(np.zeros((M, N_A))), Variable(rng.normal(size=(M, N_A)))
    x = rng.normal(size=(M, N_X))
    nn.init.zeros_(lstm.weight_hh)
    _, c = lstm(x, state)
    c.sum().backward()
    W, b = course_weights(lstm)
    equal(state[1].grad.data.T, lstm_cell_forward(x.T, np.zeros((N_A, M)), state[1].data.T, W, b)["Gf"])
