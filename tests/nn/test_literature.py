"""Cells and networks of the literature: values against plain NumPy loops, gradients, and what papers claim.

The loops here are one row at a time and know nothing of fused weights, batches or the protocol of cells.
"""

import numpy as np
import pytest

import nn
import optim
from autograd import Variable, grad, gradcheck, jacobian, no_grad, sigmoid, step
from autograd.graph import query
from examples.shared import tasks
from nn.functional import binary_cross_entropy_with_logits

T, B, I, H, O = 5, 3, 2, 4, 3  # noqa: E741
F64 = {"dtype": np.float64}


def sigma(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.maximum(a, 0)


def steep(a):
    return sigma(3.0 * a)


def STEEP(a):
    return sigmoid(3.0 * a)


# One step each, for one row: (p, x, state) -> state, p the state dict.


def textbook(p, x, state, g=lambda a: a, f=np.tanh):
    h = f(p["b"] + p["W"] @ state[-1] + p["U"] @ x)
    o = g(p["c"] + p["V"] @ h)
    return (o, h) if len(state) == 2 else (o,)


def stacked(p, x, state):
    h2, h1 = state
    h1 = np.tanh(
        p["cells.0.weight_ih"] @ x + p["cells.0.bias_ih"] + p["cells.0.weight_hh"] @ h1 + p["cells.0.bias_hh"]
    )
    h2 = np.tanh(
        p["cells.1.weight_ih"] @ h1
        + p["cells.1.bias_ih"]
        + p["cells.1.weight_hh"] @ h2
        + p["cells.1.bias_hh"]
    )
    return h2, h1


def deep(p, x, state, f=np.tanh):
    u = f(p["into.0.weight"] @ x + p["into.0.bias"])
    u = p["into.1.weight"] @ u + p["into.1.bias"]
    a = f(p["weight_hh.0"] @ state[1] + p["bias_hh.0"])
    a = f(p["weight_hh.1"] @ a + p["bias_hh.1"])
    h = f(u + p["weight_hh.2"] @ a + p["weight_skip"] @ state[1])
    return f(p["out.0.weight"] @ h + p["out.0.bias"]), h


def pre(p, x, h):
    return p["weight_ih"] @ x + p["bias_ih"] + p["weight_hh"] @ h + p["bias_hh"]


def skip(p, x, state, f=np.tanh):
    h1, h2, h3 = state
    return f(pre(p, x, h1) + p["weight_skip"] @ h3), h1, h2


def clockwork(p, x, state, f=np.tanh):
    h, t = state
    W, n = p["weight_hh"], H // 2
    new = h.copy()
    for g, period in enumerate((1, 3)):
        if round(t[0]) % period == 0:
            a = p["weight_ih"] @ x + p["bias_ih"] + p["bias_hh"]
            for other in range(g, 2):  # itself and the slower ones
                a[g * n : g * n + n] += W[g * n : g * n + n, other * n : other * n + n] @ h[other * n :][:n]
            new[g * n : g * n + n] = f(a[g * n : g * n + n])
    return new, t + 1


def scrn(p, x, state, f=sigma):
    h, s = state[0][:H], state[0][H:]
    s = 0.1 * p["weight_is"] @ x + 0.9 * s
    h = f(p["weight_sh"] @ s + p["weight_ih"] @ x + p["weight_hh"] @ h)
    return (np.concatenate([h, s]),)


def recurrent_highway(p, x, state, f=np.tanh, s=sigma):
    (h,) = state
    for layer in range(3):
        n, t = np.split(
            p[f"weight_hh.{layer}"] @ h + p[f"bias.{layer}"] + (layer == 0) * p["weight_ih"] @ x, 2
        )
        h = f(n) * s(t) + h * (1 - s(t))
    return (h,)


CASES = {
    "textbook hidden": (lambda: nn.TextbookCell(I, H, O, **F64), textbook),
    "textbook output": (lambda: nn.TextbookCell(I, H, O, "output", **F64), textbook),
    "jordan": (lambda: nn.JordanCell(I, H, O, **F64), lambda p, x, s: textbook(p, x, s, sigma)),
    "jordan relu": (
        lambda: nn.JordanCell(I, H, O, nonlinearity="relu", **F64),
        lambda p, x, s: textbook(p, x, s, sigma, relu),
    ),
    "stacked": (lambda: nn.StackedCells([nn.RNNCell(I, H, **F64), nn.RNNCell(H, O, **F64)]), stacked),
    "deep": (lambda: nn.DeepRNNCell(I, H, 2, 3, 1, skip=True, **F64), deep),
    "deep relu": (
        lambda: nn.DeepRNNCell(I, H, 2, 3, 1, skip=True, activation="relu", **F64),
        lambda p, x, s: deep(p, x, s, relu),
    ),
    "recurrent highway": (lambda: nn.RecurrentHighwayCell(I, H, 3, **F64), recurrent_highway),
    "recurrent highway relu steep": (
        lambda: nn.RecurrentHighwayCell(I, H, 3, activation="relu", recurrent_activation=STEEP, **F64),
        lambda p, x, s: recurrent_highway(p, x, s, relu, steep),
    ),
    "skip": (lambda: nn.SkipRNNCell(I, H, 3, **F64), skip),
    "skip relu": (
        lambda: nn.SkipRNNCell(I, H, 3, nonlinearity="relu", **F64),
        lambda p, x, s: skip(p, x, s, relu),
    ),
    "clockwork": (lambda: nn.ClockworkCell(I, H, (1, 3), **F64), clockwork),
    "clockwork relu": (
        lambda: nn.ClockworkCell(I, H, (1, 3), nonlinearity="relu", **F64),
        lambda p, x, s: clockwork(p, x, s, relu),
    ),
    "scrn": (lambda: nn.SCRNCell(I, H, O, alpha=0.9, **F64), scrn),
    "scrn tanh": (
        lambda: nn.SCRNCell(I, H, O, alpha=0.9, activation="tanh", **F64),
        lambda p, x, s: scrn(p, x, s, np.tanh),
    ),
    "irnn": (lambda: nn.IRNNCell(I, H, **F64), lambda p, x, s: (relu(pre(p, x, s[0])),)),
}


def make(name, seed=0):
    factory, reference = CASES[name]
    cell, rng = factory(), np.random.default_rng(seed)
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.6, p.shape)
    return cell, reference


def random_state(cell, rng, rows=B):
    state = tuple(rng.normal(size=s.shape) for s in cell.initial_state(np.zeros((1, rows, I))))
    if isinstance(cell, nn.ClockworkCell):
        state = state[0], rng.integers(0, 9, (rows, 1))
    return state


@pytest.mark.parametrize("name", CASES)
def test_cell_equals_the_loop_over_its_equations(name, rng):
    cell, reference = make(name)
    x, state = rng.normal(size=(T, B, I)), random_state(cell, rng)
    y, last = nn.Recurrent(cell)(x, state)
    p, rows = cell.state_dict(), [tuple(s[b] for s in state) for b in range(B)]
    for t in range(T):
        rows = [reference(p, x[t, b], row) for b, row in enumerate(rows)]
        np.testing.assert_allclose(y.data[t], [row[0] for row in rows], rtol=0, atol=1e-13)
    for got, *want in zip(last, *rows, strict=True):
        np.testing.assert_allclose(got.data, want, rtol=0, atol=1e-13)


def through(module, run, parameters):
    """``run(*inputs)`` as a function of inputs and parameters, for `gradcheck`."""
    places = [(owner, name) for _, owner, name, p in module._state() if isinstance(p, nn.Parameter)]

    def put(owner, name, value):
        if "." in name:  # an entry of a list
            name, index = name.split(".")
            getattr(owner, name)[int(index)] = value
        else:
            object.__setattr__(owner, name, value)

    def f(*values):
        cut = len(values) - len(parameters)
        try:
            for place, value in zip(places, values[cut:], strict=True):
                put(*place, value)
            return run(*values[:cut])
        finally:
            for place, value in zip(places, parameters, strict=True):
                put(*place, value)

    return f


def check(module, run, *inputs):
    parameters = list(module.parameters())
    gradcheck(through(module, run, parameters), *inputs, *[p.data.copy() for p in parameters], order=2)


def tree_case(cell):
    layer = nn.Recursive(cell)
    return layer, lambda x: layer([((x[0], x[1]), x[2]), (x[1], (x[2], x[0])), x[0]])[0], (3, I)


def attention_case():
    cell = nn.GRUCell(I + O, H, **F64)
    layer = nn.AttentionCell(cell, nn.AdditiveAttention(H, O, 2, **F64))

    def run(x, values):
        memory = layer.attention.remember(values, [3, 2])
        return nn.Recurrent(layer.over(memory))(x)[0]

    return layer, run, (3, 2, I), (3, 2, O)


def translation_case(attention):
    model = nn.EncoderDecoder(4, 5, 2, 2, attention=attention, **F64)
    source, target = np.array([[1, 2], [3, 0], [2, 1]]), np.array([[0, 0], [4, 2]])
    return model, lambda: model(source, target, [3, 2])


def front_case():
    layer = nn.ConvFront(nn.GRU(O, H, **F64), I, O, 2, 2, **F64)
    return layer, lambda x: layer(x, None, [5, 3])[0], (5, 2, I)


def wavenet_case():
    layer = nn.WaveNet(I, O, 2, layers=2, **F64)
    return layer, layer, (2, I, 5)


NETWORKS = {
    "recursive": lambda: tree_case(nn.RecursiveCell(I, H, **F64)),
    "child-sum tree lstm": lambda: tree_case(nn.ChildSumTreeLSTMCell(I, H, **F64)),
    "n-ary tree lstm": lambda: tree_case(nn.NaryTreeLSTMCell(I, H, 3, **F64)),
    "wavenet": wavenet_case,
    "convolution in front": front_case,
    "attention": attention_case,
    "encoder-decoder": lambda: translation_case(False),
    "encoder-decoder with attention": lambda: translation_case(True),
}


@pytest.mark.parametrize("name", [*CASES, *NETWORKS])
def test_gradients_to_second_order(name, rng):
    if name in NETWORKS:
        module, run, *shapes = NETWORKS[name]()
        for p in module.parameters():
            p.data = rng.normal(0.0, 0.6, p.shape)
        check(module, run, *[rng.normal(size=shape) for shape in shapes])
        return
    cell, _ = make(name)
    state = random_state(cell, rng, 2)
    count = state[1:] if isinstance(cell, nn.ClockworkCell) else ()  # a count of steps is no number to vary

    def run(x, *state):
        y, last = nn.Recurrent(cell)(x, (*state, *count))
        return y, *last[: len(state)]

    check(cell, run, rng.normal(size=(3, 2, I)), *state[: len(state) - len(count)])


@pytest.mark.parametrize("name", CASES)
def test_lengths_float32_and_reverse(name, rng):
    cell, _ = make(name)
    cell.to_dtype(np.float32)
    x = rng.normal(size=(T, B, I)).astype(np.float32)
    for reverse in (False, True):
        with no_grad():
            y, last = nn.Recurrent(cell, reverse=reverse)(x, lengths=[T, 2, 0])
            alone, state = nn.Recurrent(cell, reverse=reverse)(x[:2, 1:2])
        assert y.dtype == np.float32 and all(s.dtype in (np.float32, np.int64) for s in last)
        np.testing.assert_allclose(y.data[:2, 1:2], alone.data, atol=1e-6)
        assert not y.data[2:, 1].any() and not y.data[:, 2].any()
        for got, want in zip(last, state, strict=True):
            np.testing.assert_allclose(got.data[1:2], want.data, atol=1e-6)


# --- what is fed back -----------------------------------------------------------------------------


def test_the_three_patterns_differ_in_what_crosses_a_step(rng):
    x = rng.normal(size=(4, 1, I))
    for feedback in ("hidden", "output"):
        cell = nn.TextbookCell(I, H, O, feedback, **F64)
        y, state = nn.Recurrent(cell)(x)
        np.testing.assert_array_equal(state[0].data, y.data[-1])
        # behind one output at the end there is every hidden state, but an earlier output only if fed back
        assert set(query.nodes_per_step(state[0])) - {None} == {0, 1, 2, 3}
        used = [node.place.step for node in query.consumers(state[0], of=cell.V)]
        assert used == ([3] if feedback == "hidden" else [0, 1, 2, 3])


def test_a_jordan_network_knows_only_what_its_output_shows(rng):
    cell, _ = make("jordan")
    cell.V.data = np.zeros((O, H))  # the output shows nothing of h
    y = Variable(rng.normal(size=(B, O)))
    _, (last,) = nn.Recurrent(cell)(rng.normal(size=(2, B, I)), (y,))
    assert not grad(last.sum(), [y])[0].data.any()


def test_teacher_forcing_needs_no_gradient_across_steps(rng):
    cell, _ = make("jordan")
    x, right = rng.normal(size=(T, B, I)), rng.random((T + 1, B, O))
    outputs = []
    for t in range(T):
        with step(t):
            outputs.append(cell(x[t], right[t]))
    for t, y in enumerate(outputs):
        assert set(query.nodes_per_step(y)) <= {t, None}
    free, _ = nn.Recurrent(cell)(x, right[0])
    np.testing.assert_allclose(outputs[0].data, free.data[0], atol=1e-14)


def test_a_jordan_network_learns_parity_from_a_teacher_and_then_runs_free():
    nn.manual_seed(0)
    cell, rng = nn.JordanCell(1, 8, 1), np.random.default_rng(0)
    optimizer = optim.Adam(cell.parameters(), lr=0.05)
    for _ in range(300):
        x, y = tasks.parity(16, 16, rng)
        y = y[..., None].astype(np.float32)
        before = np.concatenate([np.zeros_like(y[:1]), y[:-1]])
        error = cell(x.reshape(-1, 1), before.reshape(-1, 1)) - y.reshape(-1, 1)  # all steps at once
        optimizer.zero_grad()
        (error * error).mean().backward()
        optimizer.step()
    x, y = tasks.parity(100, 32, rng)
    with no_grad():
        free, _ = nn.Recurrent(cell)(x)
    np.testing.assert_array_equal(free.data[..., 0] > 0.5, y == 1)
    assert np.square(error.data).mean() < 1e-3


def test_an_elman_network_learns_parity_through_its_hidden_state():
    nn.manual_seed(0)
    rng, rnn, readout = np.random.default_rng(0), nn.Recurrent(nn.RNNCell(1, 16)), nn.Linear(16, 1)
    parameters = [*rnn.parameters(), *readout.parameters()]
    optimizer = optim.Adam(parameters, lr=0.01)
    for _ in range(400):
        x, y = tasks.parity(8, 32, rng)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(readout(rnn(x)[0])[..., 0], y).backward()
        optim.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    x, y = tasks.parity(16, 200, rng)  # twice as long
    with no_grad():
        found = readout(rnn(x)[0]).data[..., 0] > 0
    assert np.mean(found == y) > 0.99


# --- how deep a step is ---------------------------------------------------------------------------


def test_a_lower_group_does_not_hear_the_upper_one(rng):
    cell, _ = make("stacked")
    x = rng.normal(size=(1, 1, I))

    def groups(s):
        _, (h2, h1) = nn.Recurrent(cell)(x, (s[None, H:], s[None, :H]))
        return np.concatenate([h1[0], h2[0]])

    J = jacobian(groups, rng.normal(size=H + O)).data
    assert not J[:H, H:].any() and J[H:, :H].all() and J[:H, :H].all() and J[H:, H:].all()


def test_stacked_cells_are_stacked_layers(rng):
    cells = [nn.LSTMCell(I, H, **F64), nn.GRUCell(H, O, **F64)]
    x = rng.normal(size=(T, B, I))
    by_step, state = nn.Recurrent(nn.StackedCells(cells))(x, lengths=[5, 2, 0])
    by_layer, states = nn.Stacked(cells)(x, lengths=[5, 2, 0])
    np.testing.assert_allclose(by_step.data, by_layer.data, atol=1e-14)
    for a, b in zip(state, [*states[1], *states[0]], strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-14)


def path(cell, n=1):
    """Operations on the shortest way from a state to the one n steps later."""
    h = Variable(np.zeros((1, H)))
    state = (h, *cell.initial_state(np.zeros((1, 1, I)))[1:])
    _, last = nn.Recurrent(cell)(np.ones((n, 1, I)), state)
    return len(query.shortest_path(h, last[0]))


def test_deeper_transitions_lengthen_the_path_and_skips_shorten_it():
    lengths = [path(nn.DeepRNNCell(I, H, hidden_depth=k, **F64)) for k in (1, 2, 3)]
    assert lengths == [2, 4, 6]
    assert path(nn.DeepRNNCell(I, H, hidden_depth=3, skip=True, **F64)) == 2
    assert path(nn.RNNCell(I, H, **F64), 12) == 24
    assert path(nn.SkipRNNCell(I, H, 4, **F64), 12) == 2 * 3


def test_a_gradient_over_50_steps_is_larger_with_skips(rng):
    def norm(cell):
        for p in cell.parameters():
            p.data = 0.5 * np.eye(*p.shape) if p.ndim == 2 else np.zeros(p.shape)
        state = tuple(Variable(np.zeros((1, H))) for _ in cell.initial_state(np.zeros((1, 1, I))))
        y, _ = nn.Recurrent(cell)(np.zeros((50, 1, I)), state)
        return np.abs(grad(y[-1].sum(), [state[0]])[0].data).max()

    plain, skipping = norm(nn.RNNCell(I, H, **F64)), norm(nn.SkipRNNCell(I, H, 5, **F64))
    assert plain == pytest.approx(0.5**50)
    assert skipping > 1e10 * plain


# --- memory without gates -------------------------------------------------------------------------


def test_a_recurrent_highway_of_depth_one_is_a_simplified_gru(rng):
    """The gates in another order, and an update gate that takes."""
    highway = nn.RecurrentHighwayCell(I, H, 1, **F64)
    gru = nn.GRUCell(I, H, reset=None, update="take", **F64)
    state = highway.state_dict()
    swap = np.r_[H : 2 * H, 0:H]
    gru.load_state_dict(
        {
            "weight_ih": state["weight_ih"][swap], "weight_hh": state["weight_hh.0"][swap],
            "bias_ih": state["bias.0"][swap], "bias_hh": np.zeros(2 * H),
        }
    )  # fmt: skip
    x, h = rng.normal(size=(T, B, I)), rng.normal(size=(B, H))
    np.testing.assert_allclose(
        nn.Recurrent(highway)(x, h)[0].data, nn.Recurrent(gru)(x, h)[0].data, rtol=0, atol=1e-14
    )


def test_a_recurrent_highway_starts_with_its_gates_mostly_closed():
    cell = nn.RecurrentHighwayCell(I, H, 3, transform_bias=-3.0, zero_bias=True)
    for b in cell.bias:
        np.testing.assert_array_equal(b.data, [0] * H + [-3] * H)
    for b in nn.RecurrentHighwayCell(I, H, 3).bias:
        assert b.data[:H].all() and (b.data[H:] == -2).all()
    assert repr(nn.RecurrentHighwayCell(2, 3, 4, activation="relu")) == (
        "RecurrentHighwayCell(2, 3, depth=4, activation=relu)"
    )


def test_depth_in_a_highway_step_leaves_a_short_path():
    """Layers that are closed add operations to the path and take nothing from the gradient."""
    for depth in (1, 4):
        cell = nn.RecurrentHighwayCell(I, H, depth, transform_bias=-40.0, **F64)
        h = Variable(np.ones((1, H)))
        _, (last,) = nn.Recurrent(cell)(np.ones((50, 1, I)), h)
        np.testing.assert_allclose(grad(last.sum(), [h])[0].data, 1.0, rtol=1e-12)


@pytest.mark.parametrize("scale", [0.9, 1.0, 1.1])
def test_units_of_an_indrnn_pass_gradients_by_powers_of_their_own_weight(scale, rng):
    cell = nn.IndRNNCell(I, H, **F64)
    cell.weight_hh.data = scale * np.array([1.0, 0.9, 0.5, 0.0])
    for p in (cell.weight_ih, cell.bias_ih, cell.bias_hh):
        p.data = np.abs(p.data)  # relu stays open
    x = np.abs(rng.normal(size=(30, 1, I)))
    J = jacobian(lambda h: nn.Recurrent(cell)(x, h[None])[1][0][0], 1 + rng.random(H)).data
    np.testing.assert_allclose(J, np.diag(cell.weight_hh.data**30), rtol=1e-12, atol=0)


def test_a_minimal_unit_is_a_gru_with_one_gate(rng):
    mgu = nn.MGUCell(I, H, **F64)
    gru = nn.GRUCell(I, H, reset="before", update="take", **F64)
    for name, rows in mgu.state_dict().items():
        z, n = np.split(rows, 2)
        getattr(gru, name).data = np.concatenate([z, z, n])
    x = rng.normal(size=(T, B, I))
    np.testing.assert_allclose(nn.Recurrent(mgu)(x)[0].data, nn.Recurrent(gru)(x)[0].data, rtol=0, atol=1e-14)


def test_clockwork_groups_move_on_their_beat_only(rng):
    cell = nn.ClockworkCell(I, 6, (1, 2, 5), **F64)
    y, (_, t) = nn.Recurrent(cell)(rng.normal(size=(20, B, I)))
    assert (t.data == 20).all()
    for g, period in enumerate((1, 2, 5)):
        moved = np.diff(y.data[:, :, 2 * g : 2 * g + 2], axis=0).any(axis=(1, 2))
        np.testing.assert_array_equal(moved, np.arange(1, 20) % period == 0)


def test_clockwork_weights_are_block_upper_triangular_and_stay_so(rng):
    cell = nn.ClockworkCell(I, 6, (1, 2, 4), **F64)
    below = np.kron(np.tril(np.ones((3, 3)), -1), np.ones((2, 2))) == 1
    assert not cell.weight_hh.data[below].any() and cell.weight_hh.data[~below].all()
    nn.Recurrent(cell)(rng.normal(size=(9, B, I)))[0].sum().backward()
    assert not cell.weight_hh.grad.data[below].any() and cell.weight_hh.grad.data[~below].all()


def test_a_clock_goes_on_over_chunks(rng):
    layer = nn.Recurrent(nn.ClockworkCell(I, H, (1, 3), **F64))
    x = rng.normal(size=(10, B, I))
    whole, _ = layer(x)
    first, state = layer(x[:4])
    second, _ = layer(x[4:], state)
    np.testing.assert_array_equal(whole.data, np.concatenate([first.data, second.data]))


@pytest.mark.parametrize("alpha", [0.95, 0.5, 1.0])
def test_the_context_of_an_scrn_fades_as_a_power_of_alpha(alpha, rng):
    cell = nn.SCRNCell(I, H, O, alpha, **F64)
    start = Variable(rng.normal(size=(1, H + O)))
    _, (last,) = nn.Recurrent(cell)(rng.normal(size=(40, 1, I)), start)
    for k in range(O):
        (g,) = grad(last[0, H + k], [start], retain_graph=True)
        expected = np.zeros((1, H + O))
        expected[0, H + k] = alpha**40
        np.testing.assert_allclose(g.data, expected, rtol=1e-13, atol=0)
    if alpha == 1:
        np.testing.assert_array_equal(last.data[:, H:], start.data[:, H:])


@pytest.mark.parametrize("scale", [1.0, 0.9])
def test_an_irnn_starts_as_a_memory(scale, rng):
    cell = nn.IRNNCell(I, H, scale=scale, **F64)
    x, h = 0.1 * rng.normal(size=(150, 1, I)), 1 + rng.random(H)

    def last(h):
        cell.weight_ih.data = np.abs(cell.weight_ih.data)  # so that no sum becomes negative
        return nn.Recurrent(cell)(np.abs(x), h[None])[1][0][0]

    np.testing.assert_allclose(jacobian(last, h).data, scale**150 * np.eye(H), rtol=1e-12, atol=0)
    np.testing.assert_array_equal(nn.IRNNCell(I, H).weight_hh.data, np.eye(H, dtype="f"))


# --- trees ----------------------------------------------------------------------------------------


def plain_tree(p, tree, f=np.tanh):
    """The recursive definition: (h,) of the plain network."""
    if not isinstance(tree, tuple):
        return (f(p["W"] @ tree + p["b"]),)
    return (f(p["U"] @ np.concatenate([plain_tree(p, t, f)[0] for t in tree]) + p["b_U"]),)


def child_sum_tree(p, tree, f=np.tanh, out=np.tanh, s=sigma):
    W, U, b = (np.split(p[name], 4) for name in ("W", "U", "b"))
    if not isinstance(tree, tuple):
        i, o, g = (W[k] @ tree + b[k] for k in range(3))
        c = s(i) * f(g)
    else:
        children = [child_sum_tree(p, t, f, out, s) for t in tree]
        total = sum(h for h, _ in children)
        i, o, g = (U[k] @ total + b[k] for k in range(3))
        c = s(i) * f(g) + sum(s(U[3] @ h + b[3]) * c for h, c in children)
    return s(o) * out(c), c


def n_ary_tree(p, tree, f=np.tanh, out=np.tanh, s=sigma, arity=3):
    gates = 3 + arity
    W, b = np.split(p["W"], gates), np.split(p["b"], gates)
    U = [np.split(rows, arity, axis=1) for rows in np.split(p["U"], gates)]
    children = [n_ary_tree(p, t, f, out, s) for t in tree] if isinstance(tree, tuple) else []
    a = [b[k] + sum(U[k][j] @ h for j, (h, _) in enumerate(children)) for k in range(gates)]
    if not children:
        a = [a[k] + W[k] @ tree for k in range(gates)]
    c = s(a[0]) * f(a[2]) + sum(s(a[3 + j]) * c for j, (_, c) in enumerate(children))
    return s(a[1]) * out(c), c


TREE_OPTIONS = {"activation": "relu", "output_activation": "identity", "recurrent_activation": STEEP, **F64}


def random_leaves(count):
    rng = np.random.default_rng(1)
    return [rng.normal(size=I) for _ in range(count)]


@pytest.mark.parametrize(
    ("cell", "reference", "mixed"),
    [
        (lambda: nn.RecursiveCell(I, H, **F64), plain_tree, False),
        (lambda: nn.ChildSumTreeLSTMCell(I, H, **F64), child_sum_tree, True),
        (lambda: nn.NaryTreeLSTMCell(I, H, 3, **F64), n_ary_tree, True),
        (
            lambda: nn.RecursiveCell(I, H, activation="relu", **F64),
            lambda p, tree: plain_tree(p, tree, relu),
            False,
        ),
        (
            lambda: nn.ChildSumTreeLSTMCell(I, H, **TREE_OPTIONS),
            lambda p, tree: child_sum_tree(p, tree, relu, lambda c: c, steep),
            True,
        ),
        (
            lambda: nn.NaryTreeLSTMCell(I, H, 3, **TREE_OPTIONS),
            lambda p, tree: n_ary_tree(p, tree, relu, lambda c: c, steep),
            True,
        ),
    ],
)
def test_trees_equal_the_recursive_definition(cell, reference, mixed):
    cell, (a, b, c, d) = cell(), random_leaves(4)
    trees = [((a, b), (c, d)), (a, (b, (c, d))), (((a, b), c), d), a]
    if mixed:
        trees += [(a, (b,), (c, d, a)), ((((a,),),), b)]
    h, state = nn.Recursive(cell)(trees)
    for k, tree in enumerate(trees):
        for got, want in zip(state, reference(cell.state_dict(), tree), strict=True):
            np.testing.assert_allclose(got.data[k], want, rtol=0, atol=1e-14)
        alone, _ = nn.Recursive(cell)(tree)
        np.testing.assert_allclose(alone.data, h.data[k], rtol=0, atol=1e-14)


def test_children_of_a_child_sum_have_no_order_and_those_of_an_n_ary_tree_have():
    a, b = random_leaves(2)
    child_sum = nn.Recursive(nn.ChildSumTreeLSTMCell(I, H, **F64))
    n_ary = nn.Recursive(nn.NaryTreeLSTMCell(I, H, **F64))
    np.testing.assert_allclose(child_sum((a, b))[0].data, child_sum((b, a))[0].data, atol=1e-15)
    assert np.abs(n_ary((a, b))[0].data - n_ary((b, a))[0].data).max() > 1e-3


@pytest.mark.parametrize("count", [1, 2, 3, 8, 13, 64])
def test_chain_and_balanced_tree_have_the_depths_of_the_book(count):
    """τ against O(log τ), in the tree and in the graph (Goodfellow et al. 2016, section 10.6)."""
    assert nn.tree.height(nn.tree.chain(range(count))) == count - 1
    assert nn.tree.height(nn.tree.balanced(range(count))) == int(np.ceil(np.log2(count)))
    assert nn.tree.flatten([nn.tree.balanced(range(count))])[0] == list(range(count))
    layer = nn.Recursive(nn.RecursiveCell(I, H, **F64))
    for shaped in (nn.tree.chain(random_leaves(count)), nn.tree.balanced(random_leaves(count))):
        h, _ = layer(shaped)
        rounds = [node.place.step for node in query.consumers(h, of=layer.cell.U)]  # all nodes of a height
        assert rounds == list(range(1, nn.tree.height(shaped) + 1))


def test_high_trees_need_no_recursion():
    layer = nn.Recursive(nn.RecursiveCell(1, 1), leaves=lambda ids: np.asarray(ids, np.float32)[:, None])
    h, _ = layer(nn.tree.chain(range(3000)))
    h.sum().backward()
    assert np.isfinite(layer.cell.U.grad.data).all()
    assert nn.tree.height(nn.tree.chain(range(50_000))) == 49_999


def test_leaves_may_be_numbers_of_an_embedding():
    embedding = nn.Embedding(5, I)
    layer = nn.Recursive(nn.NaryTreeLSTMCell(I, H), embedding)
    h, _ = layer([(1, (2, 3)), 4])
    assert h.shape == (2, H)
    h.sum().backward()
    assert [row.any() for row in embedding.weight.grad.data] == [False, True, True, True, True]


# --- convolutions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layers, stacks, kernel", [(1, 1, 2), (4, 1, 2), (3, 2, 2), (2, 1, 3)])
def test_no_output_of_a_wavenet_sees_its_future_and_the_field_is_what_it_says(layers, stacks, kernel, rng):
    net = nn.WaveNet(1, 1, 3, layers=layers, stacks=stacks, kernel_size=kernel, **F64)
    field = net.receptive_field
    if (stacks, kernel) == (1, 2):
        assert field == 2**layers
    for w in net.parameters():
        w.data = np.abs(w.data)  # no relu is off, no two ways cancel
    x = Variable(rng.normal(size=(1, 1, field + 6)))
    p = field + 2
    (g,) = grad(net(x)[0, 0, p], [x])
    seen = np.flatnonzero(g.data[0, 0])
    np.testing.assert_array_equal(seen, np.arange(p - field + 1, p + 1))


def test_wavenet_equals_a_loop(rng):
    net = nn.WaveNet(I, O, 3, skip_channels=4, layers=2, **F64)
    p, x = net.state_dict(), rng.normal(size=(I, 7))

    def dot(name, x):
        return p[f"{name}.weight"][:, :, 0] @ x + p[f"{name}.bias"][:, None]

    h, total = dot("into", x), 0.0
    for k, dilation in enumerate((1, 2)):
        old = np.zeros_like(h)
        old[:, dilation:] = h[:, :-dilation]
        f, g = (
            p[f"blocks.{k}.{name}.weight"][:, :, 0] @ old
            + p[f"blocks.{k}.{name}.weight"][:, :, 1] @ h
            + p[f"blocks.{k}.{name}.bias"][:, None]
            for name in ("filter", "gate")
        )
        z = np.tanh(f) * sigma(g)
        h, total = h + dot(f"blocks.{k}.residual", z), total + dot(f"blocks.{k}.skip", z)
    y = dot("out", np.maximum(dot("hidden", np.maximum(total, 0)), 0))
    np.testing.assert_allclose(net(Variable(x[None])).data[0], y, atol=1e-14)


@pytest.mark.parametrize("kernel, stride", [(2, 2), (2, 1), (3, 2), (4, 3)])
def test_a_convolution_in_front_shortens_the_sequence(kernel, stride, rng):
    layer = nn.ConvFront(nn.GRU(O, H, **F64), I, O, kernel, stride, **F64)
    x = rng.normal(size=(11, B, I))
    y, h = layer(x, lengths=[11, 7, 1])
    assert len(y) == (11 - kernel) // stride + 1 == layer.steps(11)
    alone, last = layer(x[:7, 1:2])
    np.testing.assert_allclose(y.data[: len(alone), 1:2], alone.data, atol=1e-14)
    np.testing.assert_allclose(h.data[:, 1:2], last.data, atol=1e-14)
    assert not h.data[:, 2].any()


# --- encoder and decoder --------------------------------------------------------------------------


def test_attention_equals_its_formula_and_ignores_padding(rng):
    attention = nn.AdditiveAttention(H, O, 6, **F64)
    p, q, values = attention.state_dict(), rng.normal(size=(2, B, H)), rng.normal(size=(T, B, O))
    lengths = [5, 3, 1]
    context, weights = attention(q, attention.remember(values, lengths))
    assert context.shape == (2, B, O) and weights.shape == (2, T, B)
    for t in range(2):
        for b in range(B):
            m = values[: lengths[b], b]
            e = [
                p["v.weight"][0]
                @ np.tanh(p["of_query.weight"] @ q[t, b] + p["of_memory.weight"] @ row + p["of_memory.bias"])
                for row in m
            ]
            a = np.exp(e) / np.exp(e).sum()
            np.testing.assert_allclose(weights.data[t, :, b], np.pad(a, (0, T - len(a))), atol=1e-14)
            np.testing.assert_allclose(context.data[t, b], a @ m, atol=1e-14)


def test_a_cell_with_attention_equals_a_loop(rng):
    inner = nn.RNNCell(I + O, H, **F64)
    cell = nn.AttentionCell(inner, nn.AdditiveAttention(H, O, 6, **F64))
    x, values, h0 = rng.normal(size=(T, B, I)), rng.normal(size=(4, B, O)), rng.normal(size=(B, H))
    bound = cell.over(cell.attention.remember(values))
    y, state = nn.Recurrent(bound)(x, (np.zeros((B, H + O)), h0))
    p, a = inner.state_dict(), cell.attention.state_dict()
    for b in range(B):
        h, m = h0[b], values[:, b]
        for t in range(T):
            keys = m @ a["of_memory.weight"].T + a["of_memory.bias"] + a["of_query.weight"] @ h
            e = np.exp(np.tanh(keys) @ a["v.weight"][0])
            context = e / e.sum() @ m
            h = np.tanh(pre(p, np.concatenate([x[t, b], context]), h))
            np.testing.assert_allclose(y.data[t, b], [*h, *context], atol=1e-14)
        np.testing.assert_allclose(state[1].data[b], h, atol=1e-14)
    assert {id(q) for q in bound.parameters()} == {id(q) for q in cell.parameters()}


@pytest.mark.parametrize("attention", [True, False])
def test_source_and_target_may_differ_in_length_and_padding_is_not_seen(attention, rng):
    model = nn.EncoderDecoder(6, 7, 3, H, attention=attention, **F64)
    source, target = rng.integers(0, 6, (5, 2)), rng.integers(0, 7, (3, 2))
    logits = model(source, target, [5, 2])
    assert logits.shape == (3, 2, 7)
    alone = model(source[:2, 1:], target[:, 1:])
    np.testing.assert_allclose(logits.data[:, 1:], alone.data, atol=1e-13)


@pytest.mark.parametrize("attention", [True, False])
def test_decoding_starts_from_what_the_backward_half_says_about_place_0(attention, rng):
    """h_0 = tanh(W m_0 + b), m_0 being the backward encoder's output where it has read the whole source."""
    model = nn.EncoderDecoder(6, 7, 3, H, attention=attention, **F64)
    source = rng.integers(0, 6, (5, 2))
    p = model.state_dict()
    outputs, last = model.encoder(Variable(p["source.weight"][source]))
    want = np.tanh(last.data[1] @ p["bridge.weight"].T + p["bridge.bias"])
    np.testing.assert_allclose(outputs.data[0, :, H:], last.data[1], atol=1e-15)
    np.testing.assert_allclose(model.encode(source)[0][-1].data, want, atol=1e-14)


def test_teacher_forcing_and_decoding_step_by_step_agree(rng):
    model = nn.EncoderDecoder(6, 7, 3, H, **F64)
    source, target = rng.integers(0, 6, (5, 2)), rng.integers(0, 7, (4, 2))
    state, rows = model.encode(source, [5, 3]), []
    for t in range(4):
        logits, state = model.decode(target[t : t + 1], state)
        rows.append(logits.data[0])
    np.testing.assert_allclose(model(source, target, [5, 3]).data, rows, atol=1e-14)
    weights = model.attend(source, target, [5, 3])
    assert weights.shape == (4, 5, 2) and not weights.data[:, 3:, 1].any()
    np.testing.assert_allclose(weights.data.sum(1), 1, atol=1e-12)


@pytest.mark.parametrize("attention", [True, False])
def test_generation_takes_the_decoder(attention, rng):
    model = nn.EncoderDecoder(6, 7, 3, H, attention=attention, **F64)
    source, start = rng.integers(0, 6, (5, 2)), np.zeros((1, 2), int)
    with no_grad():
        greedy = nn.generate.greedy(model.decode, start, 4, state=model.encode(source))
        beams = nn.generate.beam_search(model.decode, start, 4, 7**4, state=model.encode(source))
    assert greedy.tokens.shape == (4, 2)
    assert (beams.log_probs[:, 0] >= greedy.log_probs.sum(0) - 1e-12).all()


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.TextbookCell(I, H, O, "both"), "TextbookCell expected feedback .* got 'both'"),
        (lambda: nn.JordanCell(I, H, 0), "JordanCell expected .* got 2, 4 and 0"),
        (lambda: nn.StackedCells([]), "at least one cell"),
        (lambda: nn.StackedCells([nn.RNNCell(2, 3)] * 2), "cell 0 gives 3 .* cell 1 expected 2"),
        (lambda: nn.DeepRNNCell(I, H, 0), "input_depth .* got 0, 2 and 0"),
        (lambda: nn.SkipRNNCell(I, H, 1), "lag of at least 2 steps, got 1"),
        (lambda: nn.ClockworkCell(I, H, (2, 1)), r"ascend from at least 1, got \(2, 1\)"),
        (lambda: nn.ClockworkCell(I, 5, (1, 2)), "hidden_size that its 2 groups can share, got 5"),
        (lambda: nn.SCRNCell(I, H, O, 1.5), "alpha between 0 and 1, got 3 and 1.5"),
        (lambda: nn.RecursiveCell(I, H, 0), "RecursiveCell expected an arity of at least 1, got 0"),
        (lambda: nn.NaryTreeLSTMCell(I, H, activation="x"), "NaryTreeLSTMCell expected an activation out of"),
        (lambda: nn.DeepRNNCell(I, H, activation="x"), "DeepRNNCell expected an activation out of"),
        (lambda: nn.RecurrentHighwayCell(I, H, 0), "a depth of at least 1, got 2, 4 and 0"),
        (lambda: nn.Recursive(nn.RecursiveCell(I, H))(()), "every node to have children"),
        (lambda: nn.Recursive(nn.RecursiveCell(I, H))([]), "at least one tree, got an empty list"),
        (lambda: nn.Recursive(nn.RecursiveCell(I, H))((*[np.ones(I, "f")] * 3,)), "of 2 children, got 3"),
        (lambda: nn.Recursive(nn.NaryTreeLSTMCell(I, H))((*[np.ones(I, "f")] * 3,)), "at most 2 .* got 3"),
        (lambda: nn.Recursive(nn.RecursiveCell(I, H))(np.ones(5, "f")), r"leaves of .*\(2,\), got \(5,\)"),
        (lambda: nn.tree.chain([]), "at least one leaf, got none"),
        (lambda: nn.WaveNet(1, 1, layers=0), "at least 1 layer and 1 stack, got 0 and 1"),
        (lambda: nn.ConvFront(nn.GRU(3, 4), 2, 3)(np.ones((1, 2, 2), "f")), r"at least 2, got \(1, 2, 2\)"),
        (lambda: nn.AdditiveAttention(2, 3, 4).remember(np.ones((2, 2, 2), "f")), r"\(S, B, 3\), got \(2, 2"),
        (lambda: nn.AttentionCell(nn.GRUCell(2, 3), nn.AdditiveAttention(3, 4, 5)), "least 4 .* got 2 and"),
        (
            lambda: nn.AttentionCell(nn.GRUCell(6, 3), nn.AdditiveAttention(3, 4, 5))(np.ones((1, 2), "f")),
            "no memory to look at",
        ),
        (
            lambda: nn.EncoderDecoder(3, 3, 2, 2, False).attend(*np.ones((2, 1, 1), int)),
            "attention=True",
        ),
    ],
)  # fmt: skip
def test_bad_input_says_who_expected_and_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    "call", [lambda: nn.StackedCells([nn.GRU(2, 3)]), lambda: nn.Recursive(nn.RNNCell(2, 3))]
)
def test_wrong_kinds_are_type_errors(call):
    with pytest.raises(TypeError, match="expected"):
        call()


# --- what no other test would notice ----------------------------------------------------------------


@pytest.mark.parametrize("kernel, stride", [(2, 2), (3, 1)])
def test_a_convolution_in_front_equals_a_loop_over_its_formula(kernel, stride, rng):
    layer = nn.ConvFront(nn.GRU(O, H, **F64), I, O, kernel, stride, **F64)
    W, b = layer.conv.weight.data, layer.conv.bias.data
    x = rng.normal(size=(9, B, I))
    z = [
        np.maximum(b + sum(x[p + j] @ W[:, :, j].T for j in range(kernel)), 0)
        for p in range(0, 9 - kernel + 1, stride)
    ]
    assert 0 < np.mean(np.array(z) == 0) < 1  # some are on either side of relu's kink
    want, last = layer.layer(np.array(z))
    y, h = layer(x)
    np.testing.assert_allclose(y.data, want.data, atol=1e-14)
    np.testing.assert_allclose(h.data, last.data, atol=1e-14)


def test_attend_shows_with_which_weights_each_step_looks(rng):
    """The query of step t is h before it: α_t = softmax_s vᵀ tanh(W_q h_{t-1} + W_m m_s + b)."""
    model = nn.EncoderDecoder(6, 7, 3, H, **F64)
    source, target = rng.integers(0, 6, (5, 2)), rng.integers(0, 7, (4, 2))
    a = model.decoder.attention.state_dict()
    state, want = model.encode(source), []
    memory = state[1][0].data
    for t in range(4):
        query = a["of_query.weight"] @ state[0][1].data.T
        keys = np.einsum("hm,sbm->shb", a["of_memory.weight"], memory) + a["of_memory.bias"][:, None]
        e = np.exp(np.einsum("h,shb->sb", a["v.weight"][0], np.tanh(query + keys)))
        want.append(e / e.sum(0))
        _, state = model.decode(target[t : t + 1], state)
    steps = np.abs(np.diff(want, axis=0)).max(axis=(1, 2))
    assert steps.min() > 1e-6  # no step looks as the one before
    np.testing.assert_allclose(model.attend(source, target).data, want, atol=1e-13)
