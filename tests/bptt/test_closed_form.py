"""The pages of `formulas`, one step and through time, against the gradients of `nn`'s cells.

No cell has a backward: reverse mode over the graph gives every one of these numbers. Arrays are in the
columns of the course, so those of the library appear transposed.
"""

import inspect

import numpy as np
import pytest

import nn
from autograd import Variable, concatenate, sigmoid, tanh
from autograd.bptt import formulas

N_X, N_A, M, T_X = 3, 4, 5, 6
CELLS = {
    "rnn": (nn.RNNCell, {}),
    "lstm": (nn.LSTMCell, {}),
    "lstm without tanh": (nn.LSTMCell, {"output_activation": "identity"}),
    "gru": (nn.GRUCell, {"reset": "before"}),
}


def equal(got, want):
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-13)


def without_the_last_tanh():
    """The page of the LSTM with a = Γo ∘ c: equations 7 to 10 and 20 change as `formulas` says."""
    text = inspect.getsource(formulas.lstm)
    for right, wrong in (("(1 - tanh(c_next) ** 2)", "1"), ("tanh(c_next)", "c_next")):
        assert right in text
        text = text.replace(right, wrong)
    scope = {"np": np, "tanh": np.tanh, "sigmoid": formulas.sigmoid}
    exec(text, scope)
    return scope["lstm"]


def page_of(kind):
    return without_the_last_tanh() if kind == "lstm without tanh" else getattr(formulas, kind)


@pytest.fixture
def cell(kind, rng):
    make, options = CELLS[kind]
    cell = make(N_X, N_A, dtype=np.float64, **options)
    for p in cell.parameters():
        p.data = rng.normal(size=p.shape)
    nn.init.zeros_(cell.bias_hh)  # the course has one bias
    return cell


def by_the_names_of_the_page(cell, what):
    """The weights of a cell ("data") or their gradients ("grad"), as its page calls and shapes them."""
    found = {}
    for gate in cell.gates:
        ih, hh, b = (getattr(cell.gate(name, gate), what) for name in ("weight_ih", "weight_hh", "bias_ih"))
        if isinstance(cell, nn.LSTMCell):
            name = {"g": "c"}.get(gate, gate)
            found |= {f"W{name}": np.hstack([hh, ih]), f"b{name}": b[:, None]}
        elif isinstance(cell, nn.GRUCell):
            found |= {f"W{gate}": ih, f"U{gate}": hh, f"b{gate}": b[:, None]}
        else:
            found |= {"Wax": ih, "Waa": hh, "ba": b[:, None]}
    return found


def names_of_states(kind):
    return ["a", "c"] if "lstm" in kind else ["a"]


@pytest.mark.parametrize("kind", CELLS)
def test_every_gradient_of_a_step(kind, cell, rng):
    names = names_of_states(kind)
    x, *state = (rng.normal(size=(n, M)) for n in [N_X] + [N_A] * len(names))
    arriving = [rng.normal(size=(N_A, M)) for _ in names]
    x_, state_ = Variable(x.T), [Variable(s.T) for s in state]
    z = cell.project(x_)  # a term of every sum in front of a σ or tanh, so it has the gradient of the sum
    zs = z if isinstance(z, tuple) else (z,)
    for part in zs:
        part.retain_grad()
    new = cell.step(z, tuple(state_), cell.prepare(x_))
    sum((s * d.T).sum() for s, d in zip(new, arriving, strict=True)).backward()

    weights = by_the_names_of_the_page(cell, "data")
    g = page_of(kind)(
        x=x,
        **{f"{name}_prev": s for name, s in zip(names, state, strict=True)},
        **weights,
        **{f"d{name}_next": d for name, d in zip(names, arriving, strict=True)},
    )
    for name, s, before in zip(names, new, state_, strict=True):
        equal(s.data.T, g[f"{name}_next"])
        equal(before.grad.data.T, g[f"d{name}_prev"])  # 19, 20
    equal(x_.grad.data.T, g["dx"])  # 21
    for name, gradient in by_the_names_of_the_page(cell, "grad").items():
        equal(gradient, g[f"d{name}"])  # 11 to 18
    gates = {  # 7 to 10
        "rnn": ["dtanh"], "gru": ["dzr", "dzz", "dzn"], "lstm": ["dgamma_u", "dgamma_f", "dp_c", "dgamma_o"]
    }[kind.split()[0]]  # fmt: skip
    equal(np.hstack([part.grad.data for part in zs]).T, np.concatenate([g[name] for name in gates]))


def through_time(page, weights, da, x, **state):
    """Backpropagation through time with a page; da (n_a, m, T) is the gradient of each step's loss by a."""
    T, states = x.shape[2], [state]
    arriving = {f"d{name.replace('prev', 'next')}": np.zeros(a.shape) for name, a in state.items()}
    for t in range(T):
        v = page(x=x[:, :, t], **states[t], **weights, **arriving)
        states.append({name: v[name.replace("prev", "next")] for name in state})
    total, dx = {f"d{name}": 0.0 for name in weights}, np.zeros(x.shape)
    for t in reversed(range(T)):
        arriving["da_next"] = arriving["da_next"] + da[:, :, t]
        g = page(x=x[:, :, t], **states[t], **weights, **arriving)
        arriving = {name: g[name.replace("next", "prev")] for name in arriving}
        total, dx[:, :, t] = {name: total[name] + g[name] for name in total}, g["dx"]
    return {**total, "dx": dx, "da0": arriving["da_next"]}


@pytest.mark.parametrize("kind", CELLS)
def test_backpropagation_through_time(kind, cell, rng):
    """As `formulas` says: da_prev of the next step is added, and gradients of parameters are summed."""
    x, a0, da = (rng.normal(size=s) for s in [(N_X, M, T_X), (N_A, M), (N_A, M, T_X)])
    state = {f"{name}_prev": a for name, a in zip(names_of_states(kind), [a0, 0 * a0], strict=False)}
    x_, a_ = Variable(x.transpose(2, 1, 0)), Variable(a0.T)
    y, _ = nn.Recurrent(cell)(x_, (a_, np.zeros((M, N_A)))[: len(state)])
    y.backward(da.transpose(2, 1, 0))
    g = through_time(page_of(kind), by_the_names_of_the_page(cell, "data"), da, x, **state)
    for name, gradient in by_the_names_of_the_page(cell, "grad").items():
        np.testing.assert_allclose(gradient, g[f"d{name}"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(x_.grad.data.transpose(2, 1, 0), g["dx"], rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(a_.grad.data.T, g["da0"], rtol=1e-10, atol=1e-11)


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


@pytest.mark.parametrize("kind", ["lstm"])
def test_the_slips_are_slips(kind, cell, rng):
    """Each of them gives other numbers, so this file would notice."""
    x, a_prev, c_prev, da, dc = (rng.normal(size=(n, M)) for n in (N_X, N_A, N_A, N_A, N_A))
    weights = by_the_names_of_the_page(cell, "data")
    right, other_cell = (
        page(x, a_prev, c_prev, **weights, da_next=da, dc_next=dc)
        for page in (formulas.lstm, without_the_last_tanh())
    )
    for name in ("dgamma_o", "dp_c", "dgamma_u", "dgamma_f", "dc_prev"):
        assert np.abs(right[name] - other_cell[name]).max() > 1e-2
    of_the_candidate = right["dp_c"] / (1 - right["cct"] ** 2)  # what the name dc̃ would mean
    assert np.abs(of_the_candidate - right["dp_c"]).max() > 1e-2


def test_the_derivative_of_tanh():
    x = Variable(np.linspace(-3, 3, 13))
    y = tanh(x)
    y.sum().backward()
    equal(x.grad.data, 1 - np.tanh(x.data) ** 2)


@pytest.mark.parametrize("kind", ["lstm"])
def test_the_course_and_the_library_agree_on_the_constant_error_carousel(kind, cell, rng):
    """Equation 20 with da_next = 0: the gradient that flows from c to c_prev is Γf and nothing else."""
    state = Variable(np.zeros((M, N_A))), Variable(rng.normal(size=(M, N_A)))
    x = rng.normal(size=(M, N_X))
    _, c = cell(x, state)
    c.sum().backward()
    weights = by_the_names_of_the_page(cell, "data")
    one, zero = np.ones((N_A, M)), np.zeros((N_A, M))
    g = formulas.lstm(x.T, zero, state[1].data.T, **weights, da_next=zero, dc_next=one)
    equal(state[1].grad.data.T, g["f"])
    equal(g["dc_prev"], g["f"])
