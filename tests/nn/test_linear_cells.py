"""Cells that are linear in their state, by the loop and by the scan, and memories that the loop alone runs.

Each against a plain NumPy loop over its equations, one row at a time, with weights cut by hand; and the scan
against the loop, whatever is asked of the layer.
"""

import numpy as np
import pytest

import nn
from autograd import Variable, capture, grad, graph, stepwise
from nn.recurrent import State
from tests.nn.test_cells import check_gradients, random_state

T, B, I, H = 7, 4, 2, 3  # noqa: E741
F64 = {"dtype": np.float64}


def sigma(a):
    return 1 / (1 + np.exp(-a))


def softplus(a):
    return np.log1p(np.exp(a))


def parts(cell, x, count):
    return np.split(cell.weight_ih.data @ x + (0 if cell.bias_ih is None else cell.bias_ih.data), count)


# One step each, for one row: (cell, x, state) -> state, as the docstring of the cell has it.


def min_gru(cell, x, state):
    z, n = parts(cell, x, 2)
    z = (1 - cell.lower_bound) * sigma(z)
    return ((1 - z) * state[0] + z * cell.activation(n),)


def min_lstm(cell, x, state):
    f, i, n = parts(cell, x, 3)
    f, i = sigma(f), sigma(i)
    return ((f * state[0] + i * n) / (f + i),)


def sru(cell, x, state):
    f, r, c = parts(cell, x, 3)
    f, r = sigma(f), sigma(r)
    c = f * state[1] + (1 - f) * c
    skip = x if cell.weight_skip is None else cell.weight_skip.data @ x
    return r * np.tanh(c) + (1 - r) * skip, c


def rg_lru(cell, x, state):
    r, i, u = parts(cell, x, 3)
    a = sigma(cell.decay.data) ** (8 * sigma(r))
    return (a * state[0] + np.sqrt(1 - a**2) * sigma(i) * u,)


def lru(cell, x, state):
    λ = np.exp(-np.exp(cell.nu.data) + 1j * np.exp(cell.theta.data))
    b = (cell.B_re.data + 1j * cell.B_im.data) @ x
    h = λ * (state[1] + 1j * state[2]) + np.exp(cell.gamma.data) * b
    y = ((cell.C_re.data + 1j * cell.C_im.data) @ h).real + cell.D.data @ x
    return y, h.real, h.imag


def selective(cell, x, state):
    N, channels = cell.state_size, cell.hidden_size
    u, step, rest = np.split(cell.weight_ih.data @ x, [channels, 2 * channels])
    B_x, C_x = rest[:N], rest[N:]
    s, y = state[1].copy(), np.zeros(channels)
    for c in range(channels):
        Δ = softplus(step[c] + cell.bias_step.data[c])
        for n in range(N):
            s[c, n] = np.exp(-Δ * np.exp(cell.log_A.data[c, n])) * s[c, n] + Δ * u[c] * B_x[n]
        y[c] = s[c] @ C_x + cell.D.data[c] * u[c]
    return y, s


def gates(cell, x, h, count):
    return np.split(
        cell.weight_ih.data @ x + cell.bias_ih.data + cell.weight_hh.data @ h + cell.bias_hh.data, count
    )


def coupled(cell, x, state):
    h, c = state
    f, g, o = gates(cell, x, h, 3)
    c = sigma(f) * c + (1 - sigma(f)) * np.tanh(g)
    return sigma(o) * np.tanh(c), c


def slstm(cell, x, state):
    """By the equations that overflow, on c e^m and n e^m."""
    h, c, n, m = state
    i, f, z, o = gates(cell, x, h, 4)
    whole_c = sigma(f) * c * np.exp(m) + np.exp(i) * np.tanh(z)
    whole_n = sigma(f) * n * np.exp(m) + np.exp(i)
    m = np.maximum(np.log(sigma(f)) + m, i)
    return sigma(o) * whole_c / whole_n, whole_c / np.exp(m), whole_n / np.exp(m), m


def delta_net(cell, x, state):
    K, rows = cell.key_size, cell.hidden_size
    q, k, v, β = np.split(cell.weight_ih.data @ x + cell.bias_ih.data, [K, 2 * K, 2 * K + rows])
    q, k, β = q / np.linalg.norm(q), k / np.linalg.norm(k), sigma(β[0])
    S = state[1] @ (np.eye(K) - β * np.outer(k, k)) + β * np.outer(v, k)
    return S @ q, S


def lmu(cell, x, state):
    h, m = state
    u = cell.e_x.data @ x + cell.e_h.data @ h + cell.e_m.data @ m
    M, θ = cell.memory_size, cell.theta
    fine = 20000  # Euler's method in small steps
    A = [[(2 * i + 1) * (-1 if i < j else (-1) ** (i - j + 1)) for j in range(M)] for i in range(M)]
    B_of = np.array([(2 * i + 1) * (-1) ** i for i in range(M)])
    step = np.eye(M) + np.array(A) / θ / fine
    rest = np.linalg.solve(np.array(A), (np.linalg.matrix_power(step, fine) - np.eye(M)) @ B_of)
    m = np.linalg.matrix_power(step, fine) @ m + rest * u
    return np.tanh(cell.W_x.data @ x + cell.W_h.data @ h + cell.W_m.data @ m), m


LINEAR = {
    "minGRU": (lambda **o: nn.MinGRUCell(I, H, **o), min_gru),
    "minGRU tanh, bounded": (lambda **o: nn.MinGRUCell(I, H, lower_bound=0.6, activation="tanh", **o), None),
    "minGRU no bias": (lambda **o: nn.MinGRUCell(I, H, bias=False, **o), min_gru),
    "minLSTM": (lambda **o: nn.MinLSTMCell(I, H, **o), min_lstm),
    "SRU": (lambda **o: nn.SRUCell(I, H, **o), sru),
    "SRU of one size": (lambda **o: nn.SRUCell(I, I, **o), sru),
    "RG-LRU": (lambda **o: nn.RGLRUCell(I, H, **o), rg_lru),
    "LRU": (lambda **o: nn.LRUCell(I, H, 5, **o), lru),
    "selective": (lambda **o: nn.SelectiveSSMCell(I, H, 2, **o), selective),
}
LOOPS = {
    "coupled": (lambda **o: nn.CoupledLSTMCell(I, H, **o), coupled),
    "sLSTM": (lambda **o: nn.SLSTMCell(I, H, **o), slstm),
    "DeltaNet": (lambda **o: nn.DeltaNetCell(I, H, 4, **o), delta_net),
    "LMU": (lambda **o: nn.LMUCell(I, H, 2, theta=5.0, **o), lmu),
}
every_linear = pytest.mark.parametrize("name", LINEAR)


def make(name, seed=0, **options):
    factory, reference = {**LINEAR, **LOOPS}[name]
    cell, rng = factory(**(options or F64)), np.random.default_rng(seed)
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.6, p.shape).astype(p.dtype)
    return cell, reference or (lambda cell, x, s: min_gru(cell, x, s))


def by_hand(cell, reference, x, state):
    rows = [tuple(s[b] for s in state) for b in range(x.shape[1])]
    outputs = []
    for x_t in x:
        rows = [reference(cell, x_t[b], row) for b, row in enumerate(rows)]
        outputs.append([row[0] for row in rows])
    return np.array(outputs), tuple(np.array(part) for part in zip(*rows, strict=True))


@pytest.mark.parametrize("name", [*LINEAR, *LOOPS])
def test_cell_equals_the_loop_over_its_equations(name, rng):
    cell, reference = make(name)
    if name == "minGRU tanh, bounded":
        cell.activation = np.tanh
    x, state = rng.normal(size=(T, B, I)), random_state(cell, rng)
    state = tuple(s[:B] for s in (np.concatenate([s, s]) for s in state))
    y, last = nn.Recurrent(cell)(x, state)
    expected, expected_last = by_hand(cell, reference, x, state)
    tolerance = {"LMU": 1e-4, "DeltaNet": 1e-9}.get(name, 1e-12)  # Euler's method; a length of 1 plus 1e-12
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=tolerance)
    for got, want in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(got.data, want, rtol=0, atol=tolerance)
    one = cell(x[0], state)
    one = one if isinstance(one, tuple) else (one,)
    for got, want in zip(one, nn.Recurrent(cell)(x[:1], state)[1], strict=True):
        np.testing.assert_allclose(got.data, want.data, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", [*LINEAR, *LOOPS])
def test_gradients_to_second_order(name, rng):
    cell, _ = make(name)
    check_gradients(cell, rng)
    if name in LINEAR:
        check_gradients(
            cell, rng, run=lambda x, *s: (lambda y, last: (y, *last))(*nn.Recurrent(cell, scan=True)(x, s))
        )


# --- the scan is the loop ---------------------------------------------------------------------------

LENGTHS = [7, 3, 0, 1]
STARTS = np.zeros((T, B), bool)
STARTS[[0, 2, 5, 1], [1, 0, 0, 1]] = True


def same(one, other, tolerance):
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape and a.dtype == b.dtype
        size = max(1.0, np.abs(b).max(initial=0))
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * size)


def all_of(layer, x, state, **options):
    """Outputs, last state, and the gradients of a loss that weighs every number of them differently."""
    layer.zero_grad()
    x, state = Variable(x), None if state is None else tuple(map(Variable, state))
    y, last = layer(x, state, **options)
    found: State = (y, *last)
    sum((z * np.cos(np.arange(z.size)).reshape(z.shape).astype(z.dtype)).sum() for z in found).backward()
    leaves = [x, *(state or ()), *layer.parameters()]
    zero = [np.zeros(p.shape, p.dtype) if p.grad is None else p.grad.data for p in leaves]
    return [z.data for z in found], zero


@pytest.mark.parametrize("options", [
    {}, {"lengths": LENGTHS}, {"starts": STARTS}, {"lengths": LENGTHS, "starts": STARTS},
    {"lengths": [0] * B}, {"lengths": [T] * B},
], ids=["", "lengths", "starts", "both", "all of length 0", "all whole"])  # fmt: skip
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float32, 1e-6), (np.float64, 1e-12)])
@every_linear
def test_scan_equals_loop(name, dtype, tolerance, given, reverse, options, rng):
    cell, _ = make(name, dtype=dtype)
    x = rng.normal(size=(T, B, I)).astype(dtype)
    for b, n in enumerate(options.get("lengths", [T] * B)):
        x[n:, b] = np.nan
    state = None
    if given:
        state = tuple(
            rng.normal(size=s.shape).astype(dtype) for s in cell.initial_state(np.zeros((1, B, I), dtype))
        )
    values, gradients = all_of(nn.Recurrent(cell, reverse), x, state, **options)
    scanned, their_gradients = all_of(nn.Recurrent(cell, reverse, scan=True), x, state, **options)
    same(scanned, values, tolerance)
    same(their_gradients, gradients, 10 * tolerance)


@every_linear
def test_a_scan_of_two_hundred_steps(name, rng):
    cell = LINEAR[name][0](**F64)  # as it starts, with eigenvalues near 1 where a cell has them
    x = rng.normal(size=(200, 2, I))
    values, gradients = all_of(nn.Recurrent(cell), x, None)
    scanned, their_gradients = all_of(nn.Recurrent(cell, scan=True), x, None)
    same(scanned, values, 1e-12)
    same(their_gradients, gradients, 1e-11)


@every_linear
def test_a_scan_batch_first_of_nothing_and_by_steps(name, rng):
    cell, _ = make(name)
    x = rng.normal(size=(T, B, I))
    y, last = nn.Recurrent(cell, scan=True)(x, lengths=LENGTHS)
    swapped, last_b = nn.Recurrent(cell, batch_first=True, scan=True)(x.swapaxes(0, 1), lengths=LENGTHS)
    np.testing.assert_array_equal(swapped.data.swapaxes(0, 1), y.data)
    same([s.data for s in last_b], [s.data for s in last], 0)
    empty, kept = nn.Recurrent(cell, scan=True)(x[:0], last)
    assert empty.shape == (0, *y.shape[1:])
    same([s.data for s in kept], [s.data for s in last], 0)
    with stepwise():
        by_steps, _ = nn.Recurrent(cell, scan=True)(x, lengths=LENGTHS)
    np.testing.assert_allclose(by_steps.data, y.data, rtol=0, atol=1e-12)
    assert by_steps.creator.place.step is None and graph.query.nodes_per_step(by_steps)[T - 1] > 2


@every_linear
def test_a_captured_scan(name, rng):
    cell, _ = make(name)
    layer = nn.Recurrent(cell, scan=True)
    step = capture(lambda x: (layer(x)[0] ** 2).sum())
    for _ in range(3):
        x = rng.normal(size=(T, B, I))
        cell.zero_grad()
        loss, got = step(x), None
        got = [p.grad.data.copy() for p in cell.parameters()]
        cell.zero_grad()
        again = (layer(x)[0] ** 2).sum()
        again.backward()
        np.testing.assert_allclose(loss.data, again.data, rtol=1e-13)
        same(got, [p.grad.data for p in cell.parameters()], 1e-12)


def test_layers_of_layers_scan(rng):
    a, b = make("minGRU")[0], make("RG-LRU")[0]
    x = rng.normal(size=(T, B, I))
    loop = nn.Bidirectional(nn.Recurrent(a), nn.Recurrent(b, reverse=True))
    scan = nn.Bidirectional(nn.Recurrent(a, scan=True), nn.Recurrent(b, reverse=True, scan=True))
    np.testing.assert_allclose(scan(x, lengths=LENGTHS)[0].data, loop(x, lengths=LENGTHS)[0].data, atol=1e-12)
    assert "scan=True" in repr(scan)


@pytest.mark.parametrize(("make_layer", "error", "words"), [
    (lambda: nn.Recurrent(nn.GRUCell(I, H), scan=True), TypeError,
     r"Recurrent\(scan=True\) expected an nn.LinearCell, got GRUCell: its step is not written as h' = a ∘ h"),
    (lambda: nn.Recurrent(nn.CoupledLSTMCell(I, H), scan=True), TypeError,
     "CoupledLSTMCell: its gates see h"),
    (lambda: nn.Recurrent(nn.SLSTMCell(I, H), scan=True), TypeError, "SLSTMCell: its gates see h"),
    (lambda: nn.Recurrent(nn.DeltaNetCell(I, H), scan=True), TypeError, "multiplied by a matrix, 1 - β k kᵀ"),
    (lambda: nn.Recurrent(nn.LMUCell(I, H), scan=True), TypeError, "multiplied by a matrix, Ā"),
    (lambda: nn.Recurrent(nn.LearnedState(nn.MinGRUCell(I, H)), scan=True), TypeError, "acts step by step"),
    (lambda: nn.Recurrent(nn.MinGRUCell(I, H), truncate=2, scan=True), ValueError, "no loop for truncate"),
    (lambda: nn.MinGRUCell(I, H, lower_bound=1.0), ValueError, "from 0 to below 1, got 1.0"),
    (lambda: nn.LRUCell(I, H, r_min=0.9, r_max=0.5), ValueError, "0 <= r_min < r_max <= 1"),
    (lambda: nn.LRUCell(I, 0), ValueError, "LRUCell expected an input_size"),
    (lambda: nn.SelectiveSSMCell(I, H, 0), ValueError, "SelectiveSSMCell expected an input_size"),
    (lambda: nn.DeltaNetCell(I, 0), ValueError, "DeltaNetCell expected an input_size"),
    (lambda: nn.LMUCell(I, H, theta=0), ValueError, "a theta above 0, got 2, 3, 3 and 0"),
    (lambda: nn.LinearCell().coefficients(None, None), NotImplementedError, "must define coefficients"),
])  # fmt: skip
def test_bad_input_says_who_expected_and_got(make_layer, error, words):
    with pytest.raises(error, match=words):
        make_layer()


# --- what the docstrings say ------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "bound"), [("minGRU tanh, bounded", 0.6), ("minGRU", 0.0)])
def test_a_lower_bound_holds_for_any_weights(name, bound, rng):
    cell, _ = make(name)
    a, _ = cell.coefficients(cell.project(Variable(rng.normal(0, 30, (100, B, I)))), None)
    assert bound <= a.data.min() < bound + 1e-3 and a.data.max() <= 1


def test_gates_of_a_min_lstm_share_out_one(rng):
    cell = nn.MinLSTMCell(I, H, activation=np.ones_like, **F64)
    a, b = cell.coefficients(cell.project(Variable(rng.normal(size=(5, B, I)))), None)
    np.testing.assert_allclose(a.data + b.data, 1.0, rtol=1e-15)


def test_the_gradient_of_a_linear_cell_is_the_product_of_its_a(rng):
    cell, _ = make("RG-LRU")
    h0, x = Variable(rng.normal(size=(B, H))), Variable(rng.normal(size=(T, B, I)))
    a, _ = cell.coefficients(cell.project(x), cell.prepare(x))
    _, (h,) = nn.Recurrent(cell, scan=True)(x, h0)
    np.testing.assert_allclose(grad(h.sum(), h0).data, np.prod(a.data, axis=0), rtol=1e-12)


def test_initial_decays():
    nn.manual_seed(0)
    a = 1 / (1 + np.exp(-nn.RGLRUCell(2, 4000, **F64).decay.data)) ** 8
    assert 0.9 <= a.min() < 0.9005 and 0.9985 < a.max() <= 0.999 and abs(a.mean() - 0.9495) < 0.002
    cell = nn.LRUCell(4, 4000, 3, r_min=0.5, r_max=0.8, max_phase=1.0, **F64)
    λ = cell.eigenvalues()
    assert 0.5 <= np.abs(λ).min() < 0.502 and 0.799 < np.abs(λ).max() <= 0.8
    assert abs((np.abs(λ) ** 2).mean() - (0.25 + 0.64) / 2) < 0.005  # uniform over the area
    assert np.angle(λ).min() > 0 and 0.99 < np.angle(λ).max() <= 1
    np.testing.assert_allclose(np.exp(2 * cell.gamma.data), 1 - np.abs(λ) ** 2, rtol=1e-10)
    for p, variance in ((cell.B_re, 1 / 8), (cell.B_im, 1 / 8), (cell.C_re, 1 / 4000)):
        np.testing.assert_allclose(p.data.var(), variance, rtol=0.05)
    cell = nn.SelectiveSSMCell(2, 4000, 3, min_step=0.01, max_step=1.0, **F64)
    first = softplus(cell.bias_step.data)
    assert 0.01 <= first.min() < 0.0102 and 0.98 < first.max() <= 1 and abs(np.log10(first).mean() + 1) < 0.04
    np.testing.assert_allclose(np.exp(cell.log_A.data[7]), [1, 2, 3])


def test_an_lru_keeps_the_size_of_white_noise():
    nn.manual_seed(0)
    cell = nn.LRUCell(50, 200, r_min=0.8, r_max=0.95, **F64)
    _, (_, re, im) = nn.Recurrent(cell, scan=True)(np.random.default_rng(0).normal(size=(300, 20, 50)))
    assert abs(np.mean(re.data**2 + im.data**2) - 1) < 0.1


def test_an_slstm_does_not_overflow_where_its_gates_do(rng):
    cell, _ = make("sLSTM", dtype=np.float32)
    nn.init.constant_(cell.gate("bias_ih", "i"), 300.0)
    layer, x = nn.Recurrent(cell), Variable(rng.normal(size=(T, B, I)).astype("f"))
    y, _ = layer(x)
    high = y.data
    assert np.isfinite(high).all() and np.isfinite(grad(y.sum(), x).data).all()
    nn.init.constant_(cell.gate("bias_ih", "i"), 0.0)
    np.testing.assert_allclose(layer(x)[0].data[0], high[0], rtol=1e-4)  # it is the normaliser that counts


def test_a_delta_net_stores_under_a_key_and_replaces():
    cell = nn.DeltaNetCell(4, 2, 2, **F64)
    nn.init.zeros_(cell.weight_ih)
    K = 2
    weight = np.zeros((2 * K + 3, 4))
    weight[[0, 1, 2, 3], [0, 1, 0, 1]] = 1.0  # query and key are the first two numbers, the value the others
    weight[[4, 5], [2, 3]] = 1.0
    cell.weight_ih.data = weight
    cell.bias_ih.data = np.array([0, 0, 0, 0, 0, 0, 40.0])  # β = 1
    x = np.array([[1, 0, 5, 6], [0, 1, 7, 8], [1, 0, -1, -2]], float)[:, None]
    y, (_, S) = nn.Recurrent(cell)(x)
    np.testing.assert_allclose(y.data[:, 0], x[:, 0, 2:], atol=1e-10)  # what was stored comes back at once
    np.testing.assert_allclose(S.data[0], [[-1, 7], [-2, 8]], atol=1e-10)


def test_a_legendre_memory_holds_a_window():
    cell = nn.LMUCell(1, 2, 12, theta=64.0, **F64)
    nn.init.zeros_(cell.e_h)
    nn.init.ones_(cell.e_x)
    t = np.arange(300.0)
    x = np.sin(t / 9) + 0.3 * np.cos(t / 23)
    _, (_, m) = nn.Recurrent(cell)(x[:, None, None])
    for r in (0.1, 0.25, 0.5, 0.75, 0.9):  # the input is held over each step, so it lags by half of one
        then = np.sin((299.5 - r * 64) / 9) + 0.3 * np.cos((299.5 - r * 64) / 23)
        assert abs(cell.window(r) @ m.data[0] - then) < 0.01


def test_a_coupled_lstm_is_an_lstm_whose_gates_share_out_one(rng):
    coupled_cell, _ = make("coupled")
    lstm = nn.LSTMCell(I, H, **F64)
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        for gate in "fgo":
            lstm.gate(name, gate).data = coupled_cell.gate(name, gate).data
        lstm.gate(name, "i").data = -coupled_cell.gate(name, "f").data  # σ(-f) = 1 - σ(f)
    x = rng.normal(size=(T, B, I))
    np.testing.assert_allclose(
        nn.Recurrent(coupled_cell)(x)[0].data, nn.Recurrent(lstm)(x)[0].data, rtol=0, atol=1e-14
    )
