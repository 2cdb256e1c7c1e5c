"""Tables of where gradients come from: against closed forms, step by step Jacobians and known powers."""

import matplotlib
import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import flow

matplotlib.use("Agg")
T, B, N, H = 5, 2, 3, 4
CELLS = {
    "rnn": nn.RNNCell,
    "relu": lambda *a, **k: nn.RNNCell(*a, nonlinearity="relu", **k),
    "gru": nn.GRUCell,
    "lstm": nn.LSTMCell,
    "lstm with projection": lambda *a, **k: nn.LSTMCell(*a, proj_size=2, **k),
    "peephole": nn.PeepholeLSTMCell,
    "layer norm": nn.LayerNormLSTMCell,
}


def make(name):
    nn.manual_seed(1)
    return CELLS[name](N, H, dtype=np.float64)


def squares(y):
    """One loss per step; each step has its own size, so that no two entries are equal by accident."""
    return [(y[t] * y[t]).sum() * (1.0 + 0.3 * t) for t in range(len(y))]


def run(module, x):
    with ag.stepwise():
        y, _ = module(x)
    return squares(y), y


def total(losses):
    result = losses[0]
    for loss in losses[1:]:
        result = result + loss
    return result


def by_formula(cell, x, name):
    """G[t, k] = dL_t/ds_t · ∏ ds_j/ds_{j-1} · ∂s_k/∂W from Jacobians of single steps, s the whole state."""
    W = dict(cell.named_parameters())[name]
    state = tuple(Variable(s.data) for s in cell.initial_state(Variable(x)))
    sizes = [s.size for s in state]
    n = sum(sizes)

    def step(t, weight, *parts):
        original, places = W.data, [m for m in cell.modules() for k, v in vars(m).items() if v is W]
        key = name.rpartition(".")[2]
        for m in places:
            object.__setattr__(m, key, weight)
        try:
            assert places and original is W.data
            new = cell(Variable(x[t]), parts if len(parts) > 1 else parts[0])
        finally:
            for m in places:
                object.__setattr__(m, key, W)
        return new if isinstance(new, tuple) else (new,)

    moves, immediate, gs = [], [], []
    for t in range(len(x)):
        rows = ag.jacobian(lambda *a, t=t: step(t, *a), W, *state)
        immediate.append(np.concatenate([r[0].data.reshape(-1, *W.shape) for r in rows]))
        moves.append(
            np.block(
                [[r[1 + j].data.reshape(-1, sizes[j]) for j in range(len(state))] for r in rows],
            )
        )
        state = tuple(Variable(s.data) for s in step(t, W, *state))
        g = np.zeros(n)
        g[: sizes[0]] = 2 * (1.0 + 0.3 * t) * state[0].data.ravel()
        gs.append(g)
    table = np.zeros((len(x), len(x), *W.shape))
    for t in range(len(x)):
        g = gs[t]
        for k in range(t, -1, -1):
            table[t, k] = np.tensordot(g, immediate[k], 1)
            g = g @ moves[k]
    return table


# --- decompose ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_every_entry_is_the_closed_form(name, rng):
    cell, x = make(name), rng.normal(size=(T, B, N))
    losses, _ = run(nn.Recurrent(cell), x)
    for parameter, W in cell.named_parameters():
        table = flow.decompose(losses, W)
        assert table.table.shape == (T, T, *W.shape)
        np.testing.assert_allclose(table.table, by_formula(cell, x, parameter), rtol=1e-10, atol=1e-13)
        assert not table.norms[np.triu_indices(T, 1)].any()
        assert table.norms[np.tril_indices(T, -1)].any()
    total(losses).backward()
    for _, W in cell.named_parameters():
        np.testing.assert_allclose(flow_total(cell, x, W), W.grad.data, rtol=1e-12, atol=1e-14)


def flow_total(cell, x, W):
    losses, _ = run(nn.Recurrent(cell), x)
    return flow.decompose(losses, W).total


def test_the_elman_network_against_the_textbook(rng):
    """Every entry by hand, in NumPy: dL_t/dh_t ∏ diag(1 - h_j²) W, then diag(1 - h_k²) and h_{k-1}."""
    W, U = Variable(rng.normal(size=(H, H)) * 0.5, name="W"), Variable(rng.normal(size=(N, H)))
    xs, C = rng.normal(size=(T, B, N)), rng.normal(size=(T, B, H))
    h, hs, losses = Variable(np.zeros((B, H)), requires_grad=False), [], []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(xs[t] @ U + h @ W)
            losses.append((h * C[t]).sum())
        hs.append(h.data)
    expected = np.zeros((T, T, H, H))
    for t in range(T):
        g = C[t]
        for k in range(t, -1, -1):
            ga = g * (1 - hs[k] ** 2)
            expected[t, k] = (hs[k - 1] if k else np.zeros((B, H))).T @ ga
            g = ga @ W.data.T
    table = flow.decompose(losses, W)
    np.testing.assert_allclose(table.table, expected, rtol=1e-12, atol=1e-15)
    lagged = [sum(expected[t, t - lag] for t in range(lag, T)) for lag in range(T)]
    np.testing.assert_allclose(table.by_lag(), lagged, atol=1e-14)
    np.testing.assert_allclose(table.by_use(), expected.sum(0), atol=1e-14)
    np.testing.assert_allclose(table.by_loss(), expected.sum(1), atol=1e-14)
    np.testing.assert_allclose(table.norms, np.linalg.norm(expected, axis=(2, 3)), atol=1e-14)
    assert table.lags.tolist() == [0, 1, 2, 3, 4]
    assert table.steps.tolist() == table.times.tolist() == [0, 1, 2, 3, 4]


def test_all_layers_and_directions(rng):
    nn.manual_seed(0)
    net = nn.LSTM(N, H, num_layers=2, bidirectional=True, dtype=np.float64)
    losses, _ = run(net, rng.normal(size=(T, B, N)))
    tables = {name: flow.decompose(losses, W) for name, W in net.named_parameters()}
    total(losses).backward()
    for name, W in net.named_parameters():
        np.testing.assert_allclose(tables[name].total, W.grad.data, rtol=1e-11, atol=1e-13)
    top = tables["weight_hh_l1_reverse"]
    assert not top.norms[np.tril_indices(T, -1)].any()  # from its own end: no loss reaches earlier steps
    assert top.norms[0, T - 2] > 0
    assert top.lags.tolist() == [-3, -2, -1, 0]  # its first state is zero


def test_convolutional(rng):
    nn.manual_seed(0)
    net = nn.ConvLSTM2d(2, 3, 3, dtype=np.float64)
    with ag.stepwise():
        y, _ = net(rng.normal(size=(4, 2, 2, 5, 5)))
    losses = squares(y)
    tables = {name: flow.decompose(losses, W) for name, W in net.named_parameters()}
    total(losses).backward()
    for name, W in net.named_parameters():
        np.testing.assert_allclose(tables[name].total, W.grad.data, rtol=1e-11, atol=1e-13)
        assert not tables[name].norms[np.triu_indices(4, 1)].any()


def test_a_weight_prepared_before_the_loop_is_carried_back_through_the_preparation(rng):
    """Normalised, masked and transposed once: the uses are those of the result, the table is of W."""
    W, h, losses = Variable(rng.normal(size=(H, H))), Variable(rng.normal(size=(1, H))), []
    prepared = ag.transpose(W / ag.sqrt((W * W).sum()) * (rng.random((H, H)) > 0.3))
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(h @ prepared)
            losses.append(h.sum())
    table = flow.decompose(losses, W)
    assert table.table.shape == (T, T, H, H)
    total(losses).backward()
    np.testing.assert_allclose(table.total, W.grad.data, rtol=1e-12, atol=1e-15)
    assert not table.norms[np.triu_indices(T, 1)].any()


def test_two_uses_in_one_step_are_two_columns(rng):
    W, h = Variable(rng.normal(size=(H, H))), Variable(rng.normal(size=(1, H)))
    for t in range(3):
        with ag.step(t):
            h = ag.tanh(ag.tanh(h @ W) @ W)
    table = flow.decompose(h.sum(), W)
    assert table.steps.tolist() == [0, 0, 1, 1, 2, 2]
    assert table.norms.shape == (1, 6)
    np.testing.assert_allclose(table.total, ag.grad(h.sum(), W).data, rtol=1e-12)


def count_walks(monkeypatch):
    from autograd.bptt.flow import table as module

    calls = []

    def counted(seeds, sink, **options):
        calls.append(len(seeds))
        return walk(seeds, sink, **options)

    walk = module.walk
    monkeypatch.setattr(module, "walk", counted)
    return calls


def test_costs_one_backward_per_loss_or_one_for_the_uses(rng, monkeypatch):
    U = Variable(rng.normal(size=(N, H)))
    W, h, losses = Variable(rng.normal(size=(H, H))), Variable(np.zeros((B, H))), []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(rng.normal(size=(B, N)) @ U + h @ W)
            losses.append(h.sum())
    calls = count_walks(monkeypatch)
    table = flow.decompose(losses, W)
    assert calls == [*[1] * T, 1]  # and through one node, to see why the first column is zero
    calls.clear()
    uses = flow.decompose(losses, W, only_uses=True)
    assert calls == [T, 1]
    assert uses.table.shape == (1, T, H, H)
    np.testing.assert_allclose(uses.by_use(), table.by_use(), rtol=1e-12, atol=1e-15)
    with pytest.raises(ValueError, match="without it for lags"):
        uses.by_lag()


def test_leaves_everything_as_it_was(rng):
    cell = make("lstm")
    losses, _ = run(nn.Recurrent(cell), rng.normal(size=(T, B, N)))
    before = ag.grad(losses, cell.weight_hh, retain_graph=True).data
    flow.decompose(losses, cell.weight_hh)
    assert all(p.grad is None for p in cell.parameters())
    total(losses).backward()
    np.testing.assert_array_equal(cell.weight_hh.grad.data.shape, before.shape)
    np.testing.assert_allclose(cell.weight_hh.grad.data, before, rtol=1e-12)


def test_losses_as_one_vector_and_times(rng):
    cell, x = make("gru"), rng.normal(size=(T, B, N))
    losses, _ = run(nn.Recurrent(cell), x)
    one = flow.decompose(ag.stack(losses), cell.weight_hh)
    np.testing.assert_array_equal(one.table, flow.decompose(losses, cell.weight_hh).table)
    late = flow.decompose(losses[2:], cell.weight_hh, times=[2, 3, 4])
    np.testing.assert_array_equal(late.table, one.table[2:])
    assert late.lag[0].tolist() == [2, 1, 0, -1, -2]
    with pytest.raises(ValueError, match="one time per loss, 5 of them, got 2"):
        flow.decompose(losses, cell.weight_hh, times=[1, 2])


def test_losses_in_one_vector_keep_their_steps(rng):
    """A loss that was stacked and is read out again belongs to the step that it was computed in."""
    W, h, losses = Variable(rng.normal(size=(H, H))), Variable(rng.normal(size=(1, H))), []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(h @ W)
            losses.append((h * h).sum())
    late = flow.decompose(losses[2:], W)
    assert late.times.tolist() == [2, 3, 4]
    vector = ag.stack(losses)
    for given in (ag.stack(losses[2:]), vector[2:], list(vector[2:]), [vector[t] for t in (2, 3, 4)]):
        found = flow.decompose(given, W)
        assert found.times.tolist() == [2, 3, 4]
        np.testing.assert_allclose(found.table, late.table, rtol=1e-9, atol=1e-15)
        np.testing.assert_allclose(found.by_lag(), late.by_lag(), rtol=1e-9, atol=1e-15)


@pytest.mark.parametrize("name", CELLS)
def test_a_column_of_zeros_says_why(name, rng):
    """With h_0 = 0 the first use of a recurrent weight multiplies zeros; with another h_0 it does not."""
    cell, x = make(name), rng.normal(size=(T, B, N))
    x[3] = 0.0
    for start in (None, tuple([rng.normal(size=s.shape) for s in cell.initial_state(Variable(x))])):
        with ag.stepwise():
            y, _ = nn.Recurrent(cell)(x, start)
        table = flow.decompose(squares(y), cell.weight_hh)
        assert table.idle == ({0: "the initial state is 0"} if start is None else {})
        assert table.norms[:, 0].any() == (start is not None)
        assert flow.decompose(squares(y), cell.weight_ih).idle == {3: "x is 0"}
        assert not any(flow.decompose(squares(y), b).idle for n, b in cell.named_parameters() if "bias" in n)


def test_zeros_of_another_cause_are_not_explained(rng):
    """Losses that end early, units that are off, a loop in reverse, and names of one's own."""
    W, h0 = Variable(rng.normal(size=(H, H))), Variable(np.zeros((1, H)), requires_grad=False, name="h0")

    def losses(h, f, order=range(T)):
        found = []
        for t in order:
            with ag.step(t):
                h = f(h @ W + 1.0)
                found.append(h.sum())
        return found

    assert flow.decompose(losses(h0, ag.tanh), W).idle == {0: "the initial state is 0"}
    assert flow.decompose(losses(h0, ag.tanh, range(T)[::-1]), W).idle == {T - 1: "the initial state is 0"}
    off = flow.decompose(losses(Variable(np.ones((1, H))), lambda h: ag.maximum(h - 100.0, 0.0)), W)
    assert not off.norms.any()
    assert off.idle == dict.fromkeys(range(1, T), "what the weight multiplies is 0")  # step 0 meets ones
    assert off.plot().get_xlabel().endswith("\nk = 1, 2, 3, 4: zero, as what the weight multiplies is 0")


def test_errors_say_what_to_do(rng):
    cell, x = make("rnn"), rng.normal(size=(T, B, N))
    losses, _ = run(nn.Recurrent(cell), x)
    with pytest.raises(
        ValueError, match=r"no loss depends on the weight other of shape \(2,\): pass the par"
    ):
        flow.decompose(losses, Variable(np.ones(2), name="other"))
    with pytest.raises(RuntimeError, match="loss 1 was not computed from anything that requires grad"):
        flow.decompose([losses[0], losses[1].detach()], cell.weight_hh)
    with pytest.raises(ValueError, match="expected losses of one element, got shape"):
        flow.decompose([cell.weight_hh * 2.0], cell.weight_hh)
    with pytest.raises(TypeError, match="expected Variables, got float for loss 0"):
        flow.decompose([1.0], cell.weight_hh)
    with pytest.raises(ValueError, match="at least one loss"):
        flow.decompose([], cell.weight_hh)
    with pytest.raises(ValueError, match="expected W to be a leaf.*got the result of Transpose of shape"):
        flow.decompose(losses, ag.transpose(cell.weight_hh))
    with pytest.raises(
        TypeError, match=r"got str 'weight_hh': pass dict\(model.named_parameters\(\)\)\['wei"
    ):
        flow.decompose(losses, "weight_hh")
    assert dict(cell.named_parameters())["weight_hh"] is cell.weight_hh
    with pytest.raises(TypeError, match=r"a Variable, got RNNCell: pass dict\(model.named_parameters"):
        flow.decompose(losses, cell)
    total(losses).backward()
    with pytest.raises(RuntimeError, match=r"call decompose before backward\(\), pass retain_graph"):
        flow.decompose(losses, cell.weight_hh)


def test_a_use_that_spans_steps_asks_for_stepwise(rng):
    net = nn.RNN(N, H, num_layers=2, dtype=np.float64)
    y, _ = net(rng.normal(size=(T, B, N)))
    weights = dict(net.named_parameters())
    with pytest.raises(ValueError, match=r"several time steps at once.*autograd.stepwise\(\)"):
        flow.decompose(squares(y), weights["weight_ih_l1"])
    h = Variable(np.ones((1, H)))
    W = Variable(rng.normal(size=(H, H)))
    for _ in range(3):
        h = ag.tanh(h @ W)
    with pytest.raises(ValueError, match=r"belongs to a time step.*with autograd.step\(t\)"):
        flow.decompose(h.sum(), W)


def test_checkpoint_hides_uses(rng):
    W, h = Variable(rng.normal(size=(H, H))), Variable(np.ones((1, H)))
    with ag.step(0):
        h = ag.checkpoint(lambda h: ag.tanh(h @ W), h)
    with pytest.raises(ValueError, match="without checkpoint"):
        flow.decompose(h.sum(), W)


# --- jacobian_chain -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rnn", "relu", "gru"])
def test_the_chain_is_the_product_of_its_steps(name, rng):
    cell, x = make(name), rng.normal(size=(T, 1, N))
    _, y = run(nn.Recurrent(cell), x)
    chain = flow.jacobian_chain(y)
    h, steps = np.zeros((1, H)), []
    for t in range(T):
        steps.append(ag.jacobian(lambda h, t=t: cell(Variable(x[t]), h), h).data.reshape(H, H))
        h = cell(Variable(x[t]), Variable(h)).data
    for t in range(T):
        expected = np.eye(H)
        for k in range(t, -1, -1):
            np.testing.assert_allclose(chain.jacobians[t, k], expected, rtol=1e-10, atol=1e-14)
            expected = expected @ steps[k]
    assert not chain.norms[np.triu_indices(T, 1)].any()
    np.testing.assert_allclose(chain.norms, np.linalg.norm(chain.jacobians, 2, axis=(2, 3)), atol=1e-14)
    np.testing.assert_allclose(chain.singular_values[..., 0], chain.norms)
    assert (chain.spectral_radii <= chain.norms + 1e-12).all()


def test_the_chain_of_an_lstm_is_a_block_of_the_product_over_both_states(rng):
    """dh_t/dh_k goes through h and c; the product of the Jacobians of (h, c) holds it top left."""
    cell, x = make("lstm"), rng.normal(size=(T, 1, N))
    _, y = run(nn.Recurrent(cell), x)
    chain = flow.jacobian_chain(y)
    state, steps = [np.zeros((1, H)), np.zeros((1, H))], []
    for t in range(T):
        rows = ag.jacobian(lambda h, c, t=t: cell(Variable(x[t]), (h, c)), *state)
        steps.append(np.block([[part.data.reshape(H, H) for part in row] for row in rows]))
        state = [s.data for s in cell(Variable(x[t]), tuple(map(Variable, state)))]
    for t in range(T):
        expected = np.eye(2 * H)
        for k in range(t, -1, -1):
            np.testing.assert_allclose(chain.jacobians[t, k], expected[:H, :H], rtol=1e-10, atol=1e-14)
            expected = expected @ steps[k]


def test_the_memory_path_of_an_lstm_apart_from_its_gates(rng):
    """dc_t/dc_k along the memory alone is the product of the forget gates, and nothing else."""
    cell, x = make("lstm"), rng.normal(size=(T, 1, N))
    state, hs, cs, forget = cell.initial_state(Variable(x)), [], [], []
    for t in range(T):
        a = x[t] @ cell.weight_ih.data.T + state[0].data @ cell.weight_hh.data.T
        a = a + cell.bias_ih.data + cell.bias_hh.data
        forget.append(1 / (1 + np.exp(-a[0, H : 2 * H])))
        state = cell(Variable(x[t]), state)
        hs.append(state[0])
        cs.append(state[1])
    whole, memory = flow.jacobian_chain(cs), flow.jacobian_chain(cs, without=hs)
    for t in range(T):
        for k in range(t + 1):
            product = np.diag(np.prod(forget[k + 1 : t + 1], axis=0) * np.ones(H))
            np.testing.assert_allclose(memory.jacobians[t, k], product, rtol=1e-12, atol=1e-16)
    gates = whole - memory
    assert (gates.norms[np.tril_indices(T, -1)] > 1e-6).all()
    assert not gates.norms[np.arange(T), np.arange(T)].any()
    g = ag.grad(cs[-1].sum(), cs[0], retain_graph=True, without=hs)
    np.testing.assert_allclose(g.data.ravel(), np.diag(memory.jacobians[-1, 0]), rtol=1e-12)


@pytest.mark.parametrize(
    "w, expected", [(1.0, 1.0), (1.01, 20959.155637813827), (0.99, 4.317124741065786e-05), (0.01, 0.0)]
)
def test_a_thousand_steps_of_one_number(w, expected):
    weight, h = Variable(w), Variable(1.0)
    hs = [h]
    for _ in range(1000):
        h = weight * h
        hs.append(h)
    chain = flow.jacobian_chain(hs, at=[-1])
    assert chain.times.tolist() == [1000]
    np.testing.assert_allclose(chain.norms[0, 0], expected, rtol=1e-9)
    np.testing.assert_allclose(chain.spectral_radii[0], w ** np.arange(1000, -1, -1), rtol=1e-9)


def test_spectral_radii_are_absolute_values_of_eigenvalues():
    """h' = R h with R = -0.9, and with R a rotation by a right angle, whose eigenvalues are imaginary."""
    for R, radius in ((-0.9 * np.eye(2), 0.9), (np.array([[0.0, -0.5], [0.5, 0.0]]), 0.5)):
        hs = [Variable(np.ones((1, 2)))]
        for _ in range(3):
            hs.append(hs[-1] @ R)
        chain = flow.jacobian_chain(hs, at=[-1])
        np.testing.assert_allclose(chain.spectral_radii[0], radius ** np.arange(3, -1, -1), rtol=1e-12)


@pytest.mark.parametrize("w", [0.9, 0.5])
def test_the_gradient_of_a_deep_linear_network_is_a_power(w):
    """50 layers h = W h with W = w I: the gradient of the first input shrinks by w per layer."""
    layers, x = 50, Variable(np.ones((1, H)))
    weights = [Variable(w * np.eye(H)) for _ in range(layers)]
    hs = [x]
    for W in weights:
        hs.append(hs[-1] @ W)
    chain = flow.jacobian_chain(hs, at=[-1])
    np.testing.assert_allclose(
        chain.jacobians[0], [w ** (layers - k) * np.eye(H) for k in range(layers + 1)], rtol=1e-12
    )
    hs[-1].sum().backward()
    np.testing.assert_allclose(x.grad.data, w**layers, rtol=1e-12)
    for W in weights:  # dL/dW = h_{k-1}ᵀ w^(L-k), one power less than the output, in every layer
        np.testing.assert_allclose(W.grad.data, w ** (layers - 1), rtol=1e-12)


def read_out(y):
    """The ways in which a program gets at h_t again, once a loop has stacked its states."""
    rows, swapped = len(y), ag.swapaxes(y, 0, 1)
    return {
        "unstack": list(y),
        "index": [y[t] for t in range(rows)],
        "index from the end": [y[t - rows] for t in range(rows)],
        "index with slices": [y[t, :, :] for t in range(rows)],
        "slice": [y[t : t + 1] for t in range(rows)],
        "array of indices": [y[np.array([t])] for t in range(rows)],
        "batch first": [swapped[:, t] for t in range(rows)],
        "split": ag.split(y, rows),
        "again": list(ag.stack([y[t] for t in range(rows)])),
        "back from batch first": ag.swapaxes(swapped, 0, 1),
        "part by part": ag.unstack(y[: rows - 1]) + (y[-1],),
    }


@pytest.mark.parametrize("how", read_out(np.zeros((2, 2, 2))))
def test_a_state_read_out_of_the_stack_is_the_state(how, rng):
    """Against `grad` between the states of a loop by hand."""
    W, h, hs = Variable(rng.normal(size=(H, H))), Variable(rng.normal(size=(1, H))), []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(h @ W + rng.normal(size=(1, H)))
        hs.append(h)
    expected = np.zeros((T, T, H, H))
    for t in range(T):
        for i in range(H):
            gs = ag.grad(hs[t][0, i], hs[: t + 1], retain_graph=True)
            expected[t, : t + 1, i] = [g.data[0] for g in gs]
    assert np.abs(expected[np.tril_indices(T, -1)]).max(axis=(1, 2)).min() > 1e-4
    chain = flow.jacobian_chain(read_out(ag.stack(hs))[how])
    np.testing.assert_allclose(chain.jacobians, expected, rtol=1e-12, atol=1e-15)


def test_paths_are_left_out_as_well_through_states_read_out_of_a_stack(rng):
    cell, x = make("lstm"), rng.normal(size=(T, 1, N))
    state, hs, cs = cell.initial_state(Variable(x)), [], []
    for t in range(T):
        state = cell(Variable(x[t]), state)
        hs.append(state[0])
        cs.append(state[1])
    expected = flow.jacobian_chain(cs, without=hs).jacobians
    assert not np.allclose(expected, flow.jacobian_chain(cs).jacobians)
    for how, given in read_out(ag.stack(hs)).items():
        found = flow.jacobian_chain(list(ag.stack(cs)), without=given)
        np.testing.assert_array_equal(found.jacobians, expected, err_msg=how)


def test_states_from_which_nothing_leads_on_are_no_chain(rng):
    """Each of these was the identity, without a word."""
    x = rng.normal(size=(T, B, N))
    nn.manual_seed(0)
    both, _ = nn.LSTM(N, H, bidirectional=True, dtype=np.float64)(x)
    back, _ = nn.Recurrent(make("rnn"), reverse=True)(x)
    padded, _ = nn.Recurrent(make("rnn"))(x, lengths=[T, 0])
    ahead, (h,) = nn.Recurrent(make("rnn"))(x)
    copies = [y * 1.0 for y in ahead]
    for hs in (list(both), back, list(back), padded, copies, [h[0] for h in ahead]):
        with pytest.raises(ValueError, match=r"no state was computed from an earlier one.*y\[::-1\]"):
            flow.jacobian_chain(hs)
    with pytest.raises(ValueError, match="not computed from on; got the result of Concatenate"):
        flow.jacobian_chain(both)
    with pytest.raises(ValueError, match="no state was computed from anything in without"):
        flow.jacobian_chain(ahead, without=copies)
    found = flow.jacobian_chain(back[::-1]).jacobians
    g = ag.grad(back[0, 0, 1], back[2], retain_graph=True, allow_unused=True)
    assert g is None  # back[2] is a copy too
    np.testing.assert_array_equal(found, flow.jacobian_chain(list(back)[::-1]).jacobians)
    assert np.abs(found[-1, 0]).max() > 1e-6
    assert flow.jacobian_chain(ahead, at=[0]).norms.tolist() == [[1.0] + [0.0] * (T - 1)]


def test_chain_errors(rng):
    _, y = run(nn.Recurrent(make("rnn")), rng.normal(size=(T, B, N)))
    with pytest.raises(ValueError, match="not computed from on; got the result of Mul"):
        flow.jacobian_chain(y * 2.0)
    with pytest.raises(ValueError, match="at least one state"):
        flow.jacobian_chain([])
    with pytest.raises(ValueError, match="states of one shape"):
        flow.jacobian_chain([y[0], y[0, 0]])
    with pytest.raises(RuntimeError, match=r"hs\[1\] is a constant"):
        flow.jacobian_chain([y[0], y[1].detach()])
    y.sum().backward()
    with pytest.raises(RuntimeError, match="call jacobian_chain before backward"):
        flow.jacobian_chain(y)


# --- gradient_flow ------------------------------------------------------------------------------


def test_the_norm_at_every_layer_and_step(rng):
    """Against gradients kept at the states themselves, in a stack of two layers by hand."""
    W = [Variable(rng.normal(size=(H, H)) * 0.5) for _ in range(4)]
    h = [Variable(np.zeros((B, H))), Variable(np.zeros((B, H)))]
    kept = []
    for t in range(T):
        with ag.step(t):
            below = rng.normal(size=(B, H))
            for k in range(2):
                with ag.scope(f"layer{k}"):
                    h[k] = ag.tanh(below @ W[2 * k] + h[k] @ W[2 * k + 1])
                h[k].retain_grad()
                kept.append(h[k])
                below = h[k]
    loss = (h[1] * h[1]).sum()
    norms = flow.gradient_flow(loss)
    loss.backward()
    expected = np.array([np.linalg.norm(v.grad.data) if v.grad is not None else 0 for v in kept])
    assert norms.layers == ["layer0", "layer1"]
    np.testing.assert_allclose(norms.norms, expected.reshape(T, 2).T, rtol=1e-12)
    assert norms.lags.tolist() == [4, 3, 2, 1, 0]
    assert norms.outside == {"": 1.0}


def test_the_flow_through_layers_of_a_model(rng):
    nn.manual_seed(0)
    net = nn.LSTM(N, H, num_layers=2, dtype=np.float64)
    y, _ = net(rng.normal(size=(T, B, N)))
    norms = flow.gradient_flow((y[-1] * y[-1]).sum())
    assert norms.layers == ["l0", "l1"]
    assert norms.norms.shape == (2, T)
    assert (norms.norms[:, -1] > norms.norms[:, 0]).all()


def test_flow_errors(rng):
    x = Variable(rng.normal(size=3))
    with pytest.raises(ValueError, match=r"put `with autograd.step\(t\):` around"):
        flow.gradient_flow((x * x).sum())
    with pytest.raises(RuntimeError, match="the loss was not computed"):
        flow.gradient_flow(x.detach())


# --- pictures -----------------------------------------------------------------------------------


def test_pictures(rng):
    cell = make("rnn")
    losses, y = run(nn.Recurrent(cell), rng.normal(size=(T, B, N)))
    table = flow.decompose(losses, cell.weight_hh)
    ax = table.plot()
    assert ax.get_xlabel() == "use of the weight at step k\nk = 0: zero, as the initial state is 0"
    shown = np.asarray(ax.images[0].get_array().filled(np.nan))
    below = np.nonzero(table.norms)
    np.testing.assert_array_equal(shown[below], table.norms[below])
    assert np.isnan(shown).sum() == T * T - len(below[0])
    norms = flow.gradient_flow(total(losses))
    for ax in (
        table.plot_bias(),
        flow.jacobian_chain(y).plot(),
        norms.plot(),
        norms.plot_lags(),
        flow.plot_lags({"rnn": norms}),
    ):
        ax.figure.canvas.draw()


def colours(ax):
    """RGBA of every cell as it is drawn, and of a tick of the scale beside it by its number."""
    (image,) = ax.images
    scale = image.colorbar
    return image.to_rgba(image.get_array()), lambda v: scale.cmap(scale.norm(v))


def panels(rng):
    """Every heatmap there is, with the numbers that it shows: gradients of two very different sizes."""
    for scale in (1.0, 1e-5):
        cell = make("rnn")
        cell.weight_hh.data = cell.weight_hh.data * scale
        losses, y = run(nn.Recurrent(cell), rng.normal(size=(T, B, N)))
        for tool in (
            flow.decompose(losses, cell.weight_hh),
            flow.jacobian_chain(y),
            flow.gradient_flow(losses[-1]),
        ):
            yield tool.plot, tool.norms


@pytest.mark.parametrize("how", ["vmin and vmax", "norm"])
def test_equal_numbers_have_equal_colours_in_all_panels(how, rng):
    found = list(panels(rng))
    every = np.concatenate([norms[norms > 0] for _, norms in found])
    low, high = every.min(), every.max()
    assert high / low > 1e10
    shared = matplotlib.colors.LogNorm(low, high)
    scale = {"vmin": low, "vmax": high} if how == "vmin and vmax" else {"norm": shared}
    viridis, probe = matplotlib.colormaps["viridis"], np.geomspace(low, high, 7)
    for plot, norms in found:
        drawn, tick = colours(plot(**scale))
        seen = norms > 0
        share = (np.log(norms[seen]) - np.log(low)) / (np.log(high) - np.log(low))
        np.testing.assert_allclose(drawn[seen], viridis(share), atol=1 / 100)
        np.testing.assert_allclose(drawn[seen], tick(norms[seen]))
        assert not drawn[~seen, 3].any()  # nothing is drawn there
        np.testing.assert_allclose(tick(probe), viridis(np.linspace(0, 1, 7)), atol=1 / 100)
    own = [colours(plot())[0][norms > 0] for plot, norms in found[:4:3]]
    assert all((c == viridis(1.0)).all(-1).any() and (c == viridis(0.0)).all(-1).any() for c in own)


def test_numbers_beyond_the_scale_and_none_at_all(rng):
    chain = flow.Chain(np.array([1e-3, 1.0, 0.0, 1e3]).reshape(1, 4, 1, 1), np.array([3]))
    scales = {"both": (1e-2, 1e2), "min": (1e-2, None), "max": (None, 1e2), "neither": (1e-3, 1e3)}
    for extend, (vmin, vmax) in scales.items():
        ax = chain.plot(vmin=vmin, vmax=vmax)
        assert ax.images[0].colorbar.extend == extend
        drawn, _ = colours(ax)
        assert drawn[0, 2, 3] == 0 and drawn[0, [0, 1, 3], 3].all()
    with pytest.raises(ValueError, match="norm"):
        chain.plot(vmin=1.0, norm=matplotlib.colors.LogNorm(1, 2))
    for empty in (np.zeros((1, 4, 1, 1)), np.ones((1, 4, 1, 1))):
        flow.Chain(empty, np.array([3])).plot().figure.canvas.draw()


def test_without_matplotlib_the_error_names_it(rng, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "matplotlib", None)
    W = Variable(np.ones((1, 1)))
    with ag.step(0):
        loss = (W * W).sum()
    with pytest.raises(ImportError, match=r'pip install "bptt\[examples\]"'):
        flow.decompose(loss, W).plot()


# --- the example --------------------------------------------------------------------------------


def test_the_example(tmp_path, capsys):
    from examples import gradient_flow

    gradient_flow.main(["--quick", "--out", str(tmp_path)])
    text = capsys.readouterr().out
    assert all(name in text for name in gradient_flow.CELLS)
    assert {p.name for p in tmp_path.iterdir()} == {"cells.png", "lags.png", "truncation.png", "player.html"}
    page = (tmp_path / "player.html").read_text(encoding="utf-8")
    assert '"forward":[[' in page  # the film starts at x
    assert page.count('"name":"L_{') == 5  # the pass of every loss


# --- what no other test would notice ----------------------------------------------------------------


def linear_chain(matrices):
    """States h_{k+1} = M_k h_k of one row, from h_0 = 1."""
    hs = [Variable(np.ones((1, len(matrices[0]))))]
    for M in matrices:
        hs.append(hs[-1] @ M.T)
    return hs


def test_paths_past_all_other_states_are_the_single_steps(rng):
    """Without paths through any state, what is left is a state itself and the step that led to it."""
    matrices = [rng.normal(size=(3, 3)) for _ in range(4)]
    hs = linear_chain(matrices)
    chain = flow.jacobian_chain(hs, without=hs)
    for t in range(5):
        for k in range(5):
            want = np.eye(3) if k == t else matrices[k] if k == t - 1 else np.zeros((3, 3))
            np.testing.assert_allclose(chain.jacobians[t, k], want, atol=1e-15)


def test_the_spectral_radius_is_the_largest_wherever_it_stands():
    """Products of triangular matrices are triangular, with the products of their diagonals."""
    diagonals = np.array([[0.1, -0.9, 0.5], [0.2, 0.8, -0.3], [-0.7, 0.6, 0.1]])
    matrices = [np.diag(d) + np.triu(np.ones((3, 3)), 1) for d in diagonals]
    chain = flow.jacobian_chain(linear_chain(matrices), at=[-1])
    want = [np.abs(np.prod(diagonals[k:], axis=0)).max() for k in range(4)]
    np.testing.assert_allclose(chain.spectral_radii[0], want, rtol=1e-12)


@pytest.mark.parametrize("steps, want", [([3, 5, 6], [3, 5, 6]), ([None, 5, 6], [0, 1, 2])])
def test_times_are_the_steps_of_the_losses_or_else_their_places(steps, want):
    """Losses at steps 3, 5 and 6; and where one of them belongs to no step, their places in the list."""
    w, h, losses = Variable(2.0), Variable(1.0), []
    for t in range(7):
        with ag.step(t):
            h = w * h
            if t in steps:
                losses.append(h * 0.5)
    losses = [h * 0.5] * steps.count(None) + losses
    table = flow.decompose(losses, w)
    assert table.times.tolist() == want
    assert table.lag.tolist() == [[t - k for k in range(7)] for t in want]


def test_all_values_that_leave_a_layer_count_together(rng):
    """Of an LSTM by hand h and c go on to the next step: the norm there is that of both side by side."""
    W, h, c, kept = Variable(rng.normal(size=(N + H, 4 * H))), np.zeros((B, H)), np.zeros((B, H)), []
    for t in range(T):
        with ag.step(t), ag.scope("lstm"):
            i, f, g, o = ag.split(ag.concatenate([rng.normal(size=(B, N)), h], -1) @ W, 4, axis=-1)
            c = ag.sigmoid(f) * c + ag.sigmoid(i) * ag.tanh(g)
            h = ag.sigmoid(o) * ag.tanh(c)
        kept.append((h, c))
    for part in sum(kept, ()):
        part.retain_grad()
    loss = (h * h).sum()
    norms = flow.gradient_flow(loss)
    loss.backward()
    for t, (h, c) in enumerate(kept[:-1]):
        expected = np.linalg.norm([h.grad.data, c.grad.data])
        np.testing.assert_allclose(norms.norms[0, t], expected, rtol=1e-12)
        assert expected > 1.01 * max(np.linalg.norm(h.grad.data), np.linalg.norm(c.grad.data))


def test_a_part_that_stays_in_the_layer_does_not_count():
    """a and b come from one split; a leaves the layer as it is, b as exp(b)."""
    x = Variable(np.arange(4.0))
    with ag.step(0), ag.scope("layer"):
        a, b = ag.split(ag.tanh(x), 2)
        e = ag.exp(b)
    loss = (a * [3.0, 4.0]).sum() + (e * [0.0, 12.0]).sum()
    found = flow.gradient_flow(loss)
    assert found.norms.tolist() == [[13.0]]  # of (3, 4) and (0, 12); that of b would be another


def test_what_only_looks_like_a_state_is_none(rng):
    """The elements of a state in another order, or of two states in places of one: both have its shape."""
    hs = linear_chain([rng.normal(size=(2, 2))] * 2)
    hs = [ag.concatenate([h, h * 2.0]) for h in hs]  # a batch of two rows, of two elements each
    y = ag.stack(hs)
    for other in (ag.swapaxes(y, 1, 2), y[:, ::-1], y[[[0, 1], [1, 2]], [[0, 1], [0, 1]]]):
        assert other.shape[1:] == hs[0].shape
        with pytest.raises(ValueError, match="or as the y that a recurrent layer returned, not compute"):
            flow.jacobian_chain(other)
