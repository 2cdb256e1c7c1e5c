"""Every cell against a plain NumPy loop over its equations, one row and one gate at a time, and its
gradients against central differences; the loop here knows nothing of fused weights or batches."""

from functools import partial

import numpy as np
import pytest

import nn
from autograd import Variable, grad, gradcheck, no_grad, sigmoid
from nn.cells.conv import RecurrentKernel

T, B, I, H = 4, 3, 2, 3  # noqa: E741


def sigma(a):
    return 1 / (1 + np.exp(-a))


def relu(a):
    return np.maximum(a, 0)


def norm(a, weight, bias, eps=1e-5):
    return (a - a.mean()) / np.sqrt(a.var() + eps) * weight + bias


class Gates:
    """The parameters of a cell, cut into gates: ``p.W_ih["f"]``; what is not fused under its own name."""

    def __init__(self, cell):
        for path, array in cell.state_dict().items():
            name = path.replace("weight_", "W_").replace("bias_", "b_").replace(".", "_")
            fused = path in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            value = dict(zip(cell.gates, np.split(array, len(cell.gates)), strict=True)) if fused else array
            setattr(self, name, value)
        if getattr(cell, "bias_ih", None) is None:
            self.b_ih = self.b_hh = dict.fromkeys(cell.gates, 0.0)

    def pre(self, gate, x, h):
        """W x + b + W h + b of one gate."""
        return self.W_ih[gate] @ x + self.b_ih[gate] + self.W_hh[gate] @ h + self.b_hh[gate]


# One step each, for one row: (p, x, state) -> state, as the docstring of the cell has it.


def rnn(p, x, state, f=np.tanh):
    (h,) = state
    return (f(p.pre("h", x, h)),)


def new_state(h, n, z, take):
    return (z * n + (1 - z) * h if take else z * h + (1 - z) * n,)


def gru_after(p, x, state, f=np.tanh, s=sigma, take=False):
    (h,) = state
    r, z = s(p.pre("r", x, h)), s(p.pre("z", x, h))
    n = f(p.W_ih["n"] @ x + p.b_ih["n"] + r * (p.W_hh["n"] @ h + p.b_hh["n"]))
    return new_state(h, n, z, take)


def gru_before(p, x, state, f=np.tanh, s=sigma, take=False):
    (h,) = state
    r, z = s(p.pre("r", x, h)), s(p.pre("z", x, h))
    n = f(p.pre("n", x, r * h))
    return new_state(h, n, z, take)


def gru_simple(p, x, state, f=np.tanh, s=sigma, take=False):
    (h,) = state
    z, n = s(p.pre("z", x, h)), f(p.pre("n", x, h))
    return new_state(h, n, z, take)


def mgu(p, x, state, f=np.tanh, s=sigma):
    (h,) = state
    z = s(p.pre("z", x, h))
    return ((1 - z) * h + z * f(p.pre("n", x, z * h)),)


def indrnn(p, x, state, f=relu):
    (h,) = state
    return (f(p.W_ih["h"] @ x + p.b_ih["h"] + p.W_hh["h"] * h + p.b_hh["h"]),)


def relevance_lstm(p, x, state, g_of=np.tanh, s=sigma):
    _, c = state
    r, i, f, o = (s(p.pre(gate, x, c)) for gate in "rifo")
    c = f * c + i * g_of(p.pre("g", x, r * c))
    return o * c, c


def lstm(p, x, state, g_of=np.tanh, out=np.tanh, s=sigma):
    h, c = state
    i, f, o = (s(p.pre(gate, x, h)) for gate in "ifo")
    c = f * c + i * g_of(p.pre("g", x, h))
    h = o * out(c)
    return (p.W_hr @ h if hasattr(p, "W_hr") else h), c


def peephole(p, x, state, s=sigma):
    h, c = state
    look = np.matmul if p.W_ci.ndim == 2 else np.multiply
    i = s(p.pre("i", x, h) + look(p.W_ci, c))
    f = s(p.pre("f", x, h) + look(p.W_cf, c))
    c = f * c + i * np.tanh(p.pre("g", x, h))
    o = s(p.pre("o", x, h) + look(p.W_co, c))
    return o * np.tanh(c), c


def norm_rnn(p, x, state, f=np.tanh):
    (h,) = state
    return (f(norm(p.W_ih["h"] @ x + p.W_hh["h"] @ h, p.norm_weight, p.norm_bias)),)


def norm_gru(p, x, state, f=np.tanh, s=sigma, take=False):
    (h,) = state
    rz = norm(np.concatenate([p.W_ih[k] @ x for k in "rz"]), p.norm_ih_weight, p.norm_ih_bias)
    rz = rz + norm(np.concatenate([p.W_hh[k] @ h for k in "rz"]), p.norm_hh_weight, p.norm_hh_bias)
    r, z = np.split(s(rz), 2)
    n = f(
        norm(p.W_ih["n"] @ x, p.norm_in_weight, p.norm_in_bias)
        + r * norm(p.W_hh["n"] @ h, p.norm_hn_weight, p.norm_hn_bias)
    )
    return new_state(h, n, z, take)


def norm_lstm(p, x, state, s=sigma):
    h, c = state
    a = norm(np.concatenate([p.W_ih[k] @ x for k in "ifgo"]), p.norm_ih_weight, p.norm_ih_bias)
    a = a + norm(np.concatenate([p.W_hh[k] @ h for k in "ifgo"]), p.norm_hh_weight, p.norm_hh_bias)
    i, f, g, o = np.split(a, 4)
    c = s(f) * c + s(i) * np.tanh(g)
    return s(o) * np.tanh(norm(c, p.norm_c_weight, p.norm_c_bias)), c


F64 = {"dtype": np.float64}
STEEP = {"recurrent_activation": lambda a: sigmoid(3.0 * a), **F64}  # gates with another function than σ
steep = {"s": lambda a: sigma(3.0 * a)}
CASES = {
    "rnn": (lambda: nn.RNNCell(I, H, **F64), rnn),
    "rnn relu": (
        lambda: nn.RNNCell(I, H, nonlinearity="relu", **F64),
        lambda p, x, s: rnn(p, x, s, relu),
    ),
    "rnn no bias": (lambda: nn.RNNCell(I, H, bias=False, **F64), rnn),
    "rnn own function": (
        lambda: nn.RNNCell(I, H, nonlinearity=np.sin, **F64),
        lambda p, x, s: rnn(p, x, s, np.sin),
    ),
    "gru": (lambda: nn.GRUCell(I, H, **F64), gru_after),
    "gru no bias": (lambda: nn.GRUCell(I, H, bias=False, **F64), gru_after),
    "gru before": (lambda: nn.GRUCell(I, H, reset="before", **F64), gru_before),
    "gru simple": (lambda: nn.GRUCell(I, H, reset=None, **F64), gru_simple),
    "gru relu": (
        lambda: nn.GRUCell(I, H, activation="relu", **F64),
        lambda p, x, s: gru_after(p, x, s, relu),
    ),
    "gru before relu": (
        lambda: nn.GRUCell(I, H, reset="before", activation="relu", **F64),
        lambda p, x, s: gru_before(p, x, s, relu),
    ),
    "gru simple relu": (
        lambda: nn.GRUCell(I, H, reset=None, activation="relu", **F64),
        lambda p, x, s: gru_simple(p, x, s, relu),
    ),
    "lstm": (lambda: nn.LSTMCell(I, H, **F64), lstm),
    "lstm no bias": (lambda: nn.LSTMCell(I, H, bias=False, **F64), lstm),
    "lstm projected": (lambda: nn.LSTMCell(I, H, proj_size=2, **F64), lstm),
    "lstm identity out": (
        lambda: nn.LSTMCell(I, H, output_activation="identity", **F64),
        lambda p, x, s: lstm(p, x, s, out=lambda a: a),
    ),
    "lstm softplus": (
        lambda: nn.LSTMCell(I, H, activation="softplus", **F64),
        lambda p, x, s: lstm(p, x, s, g_of=lambda a: np.log1p(np.exp(a))),
    ),
    "peephole": (lambda: nn.PeepholeLSTMCell(I, H, **F64), peephole),
    "peephole full": (lambda: nn.PeepholeLSTMCell(I, H, full=True, **F64), peephole),
    "norm rnn": (lambda: nn.LayerNormRNNCell(I, H, **F64), norm_rnn),
    "norm rnn relu": (
        lambda: nn.LayerNormRNNCell(I, H, nonlinearity="relu", **F64),
        lambda p, x, s: norm_rnn(p, x, s, relu),
    ),
    "norm gru relu": (
        lambda: nn.LayerNormGRUCell(I, H, activation="relu", **F64),
        lambda p, x, s: norm_gru(p, x, s, relu),
    ),
    "norm gru": (lambda: nn.LayerNormGRUCell(I, H, **F64), norm_gru),
    "norm lstm": (lambda: nn.LayerNormLSTMCell(I, H, **F64), norm_lstm),
    "gru take": (lambda: nn.GRUCell(I, H, update="take", **F64), partial(gru_after, take=True)),
    "gru before take": (
        lambda: nn.GRUCell(I, H, reset="before", update="take", **F64), partial(gru_before, take=True)
    ),
    "gru simple take": (
        lambda: nn.GRUCell(I, H, reset=None, update="take", **F64), partial(gru_simple, take=True)
    ),
    "norm gru take": (
        lambda: nn.LayerNormGRUCell(I, H, update="take", **F64), partial(norm_gru, take=True)
    ),
    "gru steep": (lambda: nn.GRUCell(I, H, **STEEP), partial(gru_after, **steep)),
    "gru before steep": (lambda: nn.GRUCell(I, H, reset="before", **STEEP), partial(gru_before, **steep)),
    "gru simple steep": (lambda: nn.GRUCell(I, H, reset=None, **STEEP), partial(gru_simple, **steep)),
    "lstm steep": (lambda: nn.LSTMCell(I, H, **STEEP), partial(lstm, **steep)),
    "peephole steep": (lambda: nn.PeepholeLSTMCell(I, H, **STEEP), partial(peephole, **steep)),
    "norm gru steep": (lambda: nn.LayerNormGRUCell(I, H, **STEEP), partial(norm_gru, **steep)),
    "norm lstm steep": (lambda: nn.LayerNormLSTMCell(I, H, **STEEP), partial(norm_lstm, **steep)),
    "mgu": (lambda: nn.MGUCell(I, H, **F64), mgu),
    "mgu no bias": (lambda: nn.MGUCell(I, H, bias=False, **F64), mgu),
    "mgu steep relu": (
        lambda: nn.MGUCell(I, H, activation="relu", **STEEP), partial(mgu, f=relu, **steep)
    ),
    "indrnn": (lambda: nn.IndRNNCell(I, H, **F64), indrnn),
    "indrnn tanh": (
        lambda: nn.IndRNNCell(I, H, bias=False, nonlinearity="tanh", **F64), partial(indrnn, f=np.tanh)
    ),
    "relevance lstm": (lambda: nn.RelevanceLSTMCell(I, H, **F64), relevance_lstm),
    "relevance lstm steep relu": (
        lambda: nn.RelevanceLSTMCell(I, H, activation="relu", **STEEP),
        partial(relevance_lstm, g_of=relu, **steep),
    ),
}  # fmt: skip


def make(name, seed=0):
    """The cell of a case with all its parameters random (norms start as ones and zeros), and its loop."""
    factory, reference = CASES[name]
    rng = np.random.default_rng(seed)
    cell = factory()
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.6, p.shape)
    return cell, reference


def random_state(cell, rng):
    x = np.zeros((1, B, cell.input_size))
    return tuple(rng.normal(size=s.shape) for s in cell.initial_state(x))


def run_reference(cell, reference, x, state):
    """Outputs (T, B, ...) and last state by the plain loop."""
    p = Gates(cell)
    rows = [tuple(s[b] for s in state) for b in range(x.shape[1])]
    outputs = []
    for x_t in x:
        rows = [reference(p, x_t[b], row) for b, row in enumerate(rows)]
        outputs.append([row[0] for row in rows])
    return np.array(outputs), tuple(np.array(part) for part in zip(*rows, strict=True))


@pytest.mark.parametrize("name", CASES)
def test_cell_equals_the_loop_over_its_equations(name, rng):
    cell, reference = make(name)
    x, state = rng.normal(size=(T, B, I)), random_state(cell, rng)
    y, last = nn.Recurrent(cell)(x, state)
    expected, expected_last = run_reference(cell, reference, x, state)
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=1e-13)
    for got, want in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(got.data, want, rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_one_step_by_itself_equals_one_step_of_the_loop(name, rng):
    cell, reference = make(name)
    x, state = rng.normal(size=(1, B, I)), random_state(cell, rng)
    new = cell(x[0], state)
    new = new if isinstance(new, tuple) else (new,)
    for got, want in zip(new, run_reference(cell, reference, x, state)[1], strict=True):
        np.testing.assert_allclose(got.data, want, rtol=0, atol=1e-13)
    single = cell(x[0, 1], tuple(s[1] for s in state))  # one row, without a batch axis
    single = single if isinstance(single, tuple) else (single,)
    for got, want in zip(single, new, strict=True):
        np.testing.assert_allclose(got.data, want.data[1], rtol=0, atol=1e-13)


def function_of(module, run):
    """``run`` as a function of (inputs..., parameters...), for `gradcheck`."""
    parameters_of = [entry for entry in module._state() if isinstance(entry[3], nn.Parameter)]
    places = [(owner, name) for _, owner, name, _ in parameters_of]

    def f(*values):
        given, parameters = values[: len(values) - len(places)], values[len(values) - len(places) :]
        before = [value for _, _, _, value in parameters_of]
        try:
            for place, value in zip(places, parameters, strict=True):
                put(*place, value)
            return run(*given)
        finally:
            for place, value in zip(places, before, strict=True):
                put(*place, value)

    return f


def put(owner, name, value):
    if "." in name:  # an entry of a list
        name, index = name.split(".")
        getattr(owner, name)[int(index)] = value
    else:
        object.__setattr__(owner, name, value)


def check_gradients(cell, rng, order=2, run=None):
    x, state = rng.normal(size=(3, 2, cell.input_size)), random_state(cell, rng)
    state = tuple(s[:2] for s in state)

    def default(x, *state):
        y, last = nn.Recurrent(cell)(x, state)
        return y, *last

    parameters = [p.data.copy() for p in cell.parameters()]
    # differences over 1e-5 are off by 1e-6 where the three numbers that are normalised differ little
    gradcheck(function_of(cell, run or default), x, *state, *parameters, order=order, eps=2e-6)


@pytest.mark.parametrize("name", CASES)
def test_gradients_of_every_cell_to_second_order(name, rng):
    cell, _ = make(name)
    check_gradients(cell, rng)


def test_the_gradient_check_of_this_file_sees_a_wrong_cell(rng):
    class Wrong(nn.RNNCell):
        def step(self, x, state, W):
            (h,) = super().step(x, state, W)
            return (h + 0.001 * (h.detach() * h.detach()),)  # the second summand gets no gradient

    cell = Wrong(I, H, **F64)
    with pytest.raises(ValueError, match="order 1"):
        check_gradients(cell, rng, order=1)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 3, 3)])
def test_a_recurrent_weight_multiplies_and_adds_with_its_masks(shape, rng):
    W = rng.normal(size=shape)
    image = (5, 6) if len(shape) > 2 else ()
    h, x, m = (
        rng.normal(size=(B, 3, *image)),
        rng.normal(size=(B, 4, *image)),
        rng.normal(size=(B, 3, *image)),
    )

    def times(h):
        if not image:
            return h @ W.T
        padded = np.pad(h, [(0, 0), (0, 0), (1, 1), (1, 1)])
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (2, 3))
        return np.einsum("bchwij,ocij->bohw", windows, W)

    weight = (RecurrentKernel if image else nn.RecurrentWeight)(Variable(W))
    assert weight.size == 3
    for got, want in [
        (weight(h), times(h)),
        (weight.plus(Variable(x), Variable(h)), x + times(h)),
        (weight.plus(None, h), times(h)),
        (weight.masked(m)(h), times(m * h)),
        (weight.masked(m).masked(m).plus(Variable(x), Variable(h)), x + times(m * m * h)),
    ]:
        np.testing.assert_allclose(got.data, want, atol=1e-13)


# --- what the docstrings say about forms ----------------------------------------------------------


def test_reset_before_and_after_are_different_cells():
    before, _ = make("gru before")
    after, _ = make("gru")
    after.load_state_dict(before.state_dict())
    x, h = np.ones((1, I)), np.ones((1, H))
    assert np.abs(before(x, h).data - after(x, h).data).max() > 1e-3


def test_peephole_with_zero_peepholes_is_an_lstm(rng):
    cell, _ = make("peephole")
    plain = nn.LSTMCell(I, H, **F64)
    plain.load_state_dict({name: cell.state_dict()[name] for name in plain.state_dict()})
    for w in (cell.weight_ci, cell.weight_cf, cell.weight_co):
        nn.init.zeros_(w)
    x = rng.normal(size=(B, I))
    for a, b in zip(cell(x), plain(x), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-15)


def test_full_peephole_with_diagonal_matrices_is_the_diagonal_one(rng):
    cell, _ = make("peephole")
    full, _ = make("peephole full")
    state = cell.state_dict()
    for name in ("weight_ci", "weight_cf", "weight_co"):
        state[name] = np.diag(state[name])
    full.load_state_dict(state)
    x, state = rng.normal(size=(B, I)), random_state(cell, rng)
    for a, b in zip(cell(x, state), full(x, state), strict=True):
        np.testing.assert_allclose(a.data, b.data, atol=1e-15)


def test_a_gru_that_keeps_everything_copies_its_state_for_1000_steps(rng):
    for reset in ("after", "before", None):
        cell = nn.GRUCell(I, H, reset=reset, **F64)
        nn.init.constant_(cell.gate("bias_ih", "z"), 1e3)
        h = Variable(rng.normal(size=(B, H)))
        _, (last,) = nn.Recurrent(cell)(rng.normal(size=(1000, B, I)), (h,))
        np.testing.assert_allclose(last.data, h.data, rtol=0, atol=1e-12)
        for k in range(H):  # a row of dh_T/dh_0 for each unit: the identity
            (row,) = grad(last[:, k].sum(), [h], retain_graph=True)
            np.testing.assert_allclose(row.data, np.tile(np.eye(H)[k], (B, 1)), rtol=0, atol=1e-12)


def test_an_lstm_with_open_forget_gate_keeps_its_memory_for_1000_steps(rng):
    cell = nn.LSTMCell(I, H, **F64)
    nn.init.constant_(cell.gate("bias_ih", "f"), 1e3)
    nn.init.constant_(cell.gate("bias_ih", "i"), -1e3)
    state = Variable(np.zeros((B, H))), Variable(rng.normal(size=(B, H)))
    _, (_, c) = nn.Recurrent(cell)(rng.normal(size=(1000, B, I)), state)
    np.testing.assert_array_equal(c.data, state[1].data)
    for k in range(H):  # dc_T/dc_0 is the identity
        (row,) = grad(c[:, k].sum(), [state[1]], retain_graph=True)
        np.testing.assert_array_equal(row.data, np.tile(np.eye(H)[k], (B, 1)))


def test_identity_initialised_relu_rnn_passes_gradients_unchanged(rng):
    cell = nn.RNNCell(H, H, nonlinearity="relu", **F64)
    nn.init.eye_(cell.weight_hh)
    for p in (cell.weight_ih, cell.bias_ih, cell.bias_hh):
        nn.init.zeros_(p)
    h = Variable(rng.random((B, H)) + 0.5)
    _, (last,) = nn.Recurrent(cell)(rng.normal(size=(150, B, H)), (h,))
    np.testing.assert_array_equal(last.data, h.data)
    last.sum().backward()
    np.testing.assert_array_equal(h.grad.data, np.ones((B, H)))


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.RNNCell(I, 0), "RNNCell expected an input_size .* got 2 and 0"),
        (
            lambda: nn.RNNCell(I, H, nonlinearity="tan"),
            "RNNCell expected an activation out of tanh, .* 'tan'",
        ),
        (lambda: nn.GRUCell(I, H, reset="maybe"), "GRUCell expected reset 'after', 'before' or None"),
        (lambda: nn.GRUCell(I, H, update="maybe"), "GRUCell expected update 'keep' .* 'maybe'"),
        (lambda: nn.ConvGRUCell(I, H, update=None), "ConvGRUCell expected update 'keep'.* got None"),
        (lambda: nn.LSTMCell(I, H, recurrent_activation="s"), "LSTMCell expected an activation out of"),
        (lambda: nn.GRU(I, H, bias=False, zero_bias=True), "GRUCell: zero_bias=True cannot act with bias=F"),
        (lambda: nn.LSTMCell(I, H, proj_size=3), "LSTMCell expected proj_size from 0 to below 3, got 3"),
        (lambda: nn.LSTMCell(I, H, output_activation="x"), "LSTMCell expected an activation"),
        (lambda: nn.LSTMCell(I, H, bias=False, forget_bias=1.0), "forget_bias=1.0 cannot act"),
        (
            lambda: nn.LSTMCell(I, H)(np.zeros((B, 5), "f")),
            r"LSTMCell expected input of .*\(B, 2\).*\(3, 5\)",
        ),
        (
            lambda: nn.LSTMCell(I, H)(np.zeros((1, B, I), "f")),
            r"got \(1, 3, 2\): Recurrent\(cell\) takes seq",
        ),
        (
            lambda: nn.GRUCell(I, H)(np.zeros((B, I), "f"), np.zeros((B, 4), "f")),
            r"\[\(3, 3\)\], got \[\(3, 4\)",
        ),
        (lambda: nn.LSTMCell(I, H)(np.zeros((B, I), "f"), np.zeros((B, H), "f")), "state of shapes"),
    ],
)
def test_bad_input_says_who_expected_and_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_mixed_precision_is_refused_rather_than_computed():
    cell = nn.LSTMCell(I, H)
    with pytest.raises(TypeError, match=r"LSTMCell has float32 parameters, got float64 input: use x.astype"):
        cell(np.zeros((B, I)))
    with pytest.raises(TypeError, match="expected a float32 state for float32 input, got float64"):
        cell(np.zeros((B, I), "f"), (np.zeros((B, H)), np.zeros((B, H))))


def test_repr_tells_the_form():
    assert repr(nn.GRUCell(2, 3)) == "GRUCell(2, 3, convention='PyTorch, Keras')"
    assert repr(nn.GRUCell(2, 3, reset="before")) == "GRUCell(2, 3, reset='before', convention='Cho, Géron')"
    assert repr(nn.GRUCell(2, 3, update="take", bias=False)) == "GRUCell(2, 3, bias=False, update='take')"
    assert repr(nn.GRUCell(2, 3, reset="before", update="take")) == (
        "GRUCell(2, 3, reset='before', update='take', convention='Chung, Ng')"
    )
    assert repr(nn.GRU(2, 3, 2, bidirectional=True, reset=None, update="take", activation="relu")) == (
        "GRU(2, 3, num_layers=2, bidirectional=True, activation=relu, reset=None, update='take',"
        " convention='Ng, simplified')"
    )
    assert repr(nn.LSTM(2, 3, proj_size=2, recurrent_activation="softplus", zero_bias=True)) == (
        "LSTM(2, 3, zero_bias=True, recurrent_activation=softplus, proj_size=2)"
    )
    assert repr(nn.ConvGRUCell(2, 3, update="take")) == "ConvGRUCell(2, 3, kernel_size=(3, 3), update='take')"
    assert repr(nn.LSTMCell(2, 3, proj_size=1, output_activation="identity")) == (
        "LSTMCell(2, 3, proj_size=1, output_activation=identity)"
    )
    assert repr(nn.PeepholeLSTMCell(2, 3, bias=False, full=True)) == (
        "PeepholeLSTMCell(2, 3, bias=False, full=True)"
    )
    assert repr(nn.RNNCell(2, 3, nonlinearity="relu")) == "RNNCell(2, 3, activation=relu)"


@pytest.mark.parametrize("name", CASES)
def test_no_cell_defines_a_backward_and_float32_stays(name, rng):
    cell, _ = make(name)
    assert not any("backward" in vars(base) for base in type(cell).__mro__)
    cell.to_dtype(np.float32)
    with no_grad():
        y, state = nn.Recurrent(cell)(rng.normal(size=(T, B, I)).astype(np.float32))
    assert y.dtype == np.float32 and all(s.dtype == np.float32 for s in state)
