"""Recurrent cells and layers of convolutions: against loops in NumPy, dense cells, and their own parts."""

from functools import partial

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
import nn
from autograd import Variable, grad, gradcheck
from tests.cases.conv_cases import correlation

IMAGES = {1: (5,), 2: (4, 3), 3: (3, 2, 3)}
KINDS = ("RNN", "GRU", "LSTM")


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def layer_of(kind, n, *args, **options):
    return getattr(nn, f"Conv{kind}{n}d")(*args, dtype=np.float64, **options)


def same(x, w, b):
    """The convolution of the cells, by its definition."""
    spans = [k - 1 for k in w.shape[2:]]
    x = np.pad(x, [(0, 0), (0, 0), *[(s // 2, s - s // 2) for s in spans]])
    return correlation(x, w, b)


def σ(x):
    return 1 / (1 + np.exp(-x))


# --- one step, written out in NumPy -----------------------------------------------------------------


def rnn_step(p, x, h):
    return (np.tanh(same(x, p["weight_ih"], p["bias_ih"]) + same(h, p["weight_hh"], p["bias_hh"])),)


def relu(x):
    return np.maximum(x, 0)


def gru_step(p, x, h, f=np.tanh, σ=σ, take=False):
    x_r, x_z, x_n = np.split(same(x, p["weight_ih"], p["bias_ih"]), 3, 1)
    h_r, h_z, h_n = np.split(same(h, p["weight_hh"], p["bias_hh"]), 3, 1)
    r, z = σ(x_r + h_r), σ(x_z + h_z)
    n = f(x_n + r * h_n)
    return (z * n + (1 - z) * h if take else (1 - z) * n + z * h,)


def gru_before_step(p, x, h, σ=σ, take=False):
    x_r, x_z, x_n = np.split(same(x, p["weight_ih"], p["bias_ih"]), 3, 1)
    w_r, w_z, w_n = np.split(p["weight_hh"], 3)
    b_r, b_z, b_n = np.split(p["bias_hh"], 3)
    r, z = σ(x_r + same(h, w_r, b_r)), σ(x_z + same(h, w_z, b_z))
    n = np.tanh(x_n + same(r * h, w_n, b_n))
    return (z * n + (1 - z) * h if take else (1 - z) * n + z * h,)


def lstm_step(p, x, h, c, g_of=np.tanh, σ=σ):
    z = same(x, p["weight_ih"], p["bias_ih"]) + same(h, p["weight_hh"], p["bias_hh"])
    i, f, g, o = np.split(z, 4, 1)
    c_new = σ(f + p.get("weight_cf", 0) * c) * c + σ(i + p.get("weight_ci", 0) * c) * g_of(g)
    return σ(o + p.get("weight_co", 0) * c_new) * np.tanh(c_new), c_new


def steep(x):
    return σ(3 * x)


STEEP = {"recurrent_activation": lambda x: ag.sigmoid(3.0 * x)}
STEPS = [
    ("RNN", {}, rnn_step),
    ("GRU", {}, gru_step),
    ("GRU", {"activation": "relu"}, partial(gru_step, f=relu)),
    ("GRU", {"reset": "before"}, gru_before_step),
    ("LSTM", {}, lstm_step),
    ("LSTM", {"activation": "relu"}, partial(lstm_step, g_of=relu)),
    ("LSTM", {"peephole": True}, lstm_step),
    ("GRU", {"update": "take", **STEEP}, partial(gru_step, take=True, σ=steep)),
    ("GRU", {"reset": "before", "update": "take", **STEEP}, partial(gru_before_step, take=True, σ=steep)),
    ("LSTM", {"peephole": True, **STEEP}, partial(lstm_step, σ=steep)),
]


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind, options, reference", STEPS)
def test_equals_a_loop_in_numpy(kind, options, reference, n):
    if options.get("peephole"):
        options = {**options, "peephole": IMAGES[n]}
    layer = layer_of(kind, n, 2, 3, 3, state_kernel_size=2, **options)
    for k, p in enumerate(layer.parameters()):
        p.data = normal(*p.shape, seed=k) * 0.4
    (_, cell), *_ = layer.cells()
    x = normal(4, 2, 2, *IMAGES[n], seed=9)
    y, _ = layer(x)
    parameters = {name: p.data for name, p in cell.named_parameters()}
    state = tuple(s.data for s in cell.initial_state(x))
    for t in range(4):
        one = cell(x[t], tuple(map(Variable, state)) if len(state) > 1 else Variable(state[0]))
        state = reference(parameters, x[t], *state)
        assert_allclose(y.data[t], state[0], atol=1e-10)
        assert_allclose((one[0] if kind == "LSTM" else one).data, state[0], atol=1e-10)


# --- on images of one element -----------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(
    "conv_cell, options, dense",
    [
        (nn.ConvLSTMCell, {"peephole": 1}, nn.PeepholeLSTMCell),
        (nn.ConvLSTMCell, {}, nn.LSTMCell),
        (nn.ConvGRUCell, {}, nn.GRUCell),
        (nn.ConvRNNCell, {}, nn.RNNCell),
    ],
)
def test_on_one_element_it_is_the_dense_cell(conv_cell, options, dense, n):
    """Only the middle of a kernel meets the element; with a kernel of 1, all of the weight does."""
    if "peephole" in options:
        options = {"peephole": (1,) * n}
    for kernel in (1, 3):
        cell = conv_cell(3, 4, kernel, dims=n, dtype=np.float64, **options)
        small = dense(3, 4, dtype=np.float64)
        assert [name for name, _ in cell.named_parameters()] == [name for name, _ in small.named_parameters()]
        for k, (p, q) in enumerate(zip(cell.parameters(), small.parameters(), strict=True)):
            p.data = normal(*p.shape, seed=k)
            middle = p.data[(..., *[kernel // 2] * n)] if p.data.ndim == n + 2 else p.data
            q.data = middle.reshape(q.shape)
        x, ones = Variable(normal(5, 2, 3)), (1,) * n
        y, state = nn.Recurrent(small)(x)
        z, images = nn.Recurrent(cell)(x.reshape(5, 2, 3, *ones))
        assert_allclose(z.data, y.data.reshape(*y.shape, *ones), atol=1e-10)
        for s, image in zip(state, images, strict=True):
            assert_allclose(image.data, s.data.reshape(*s.shape, *ones), atol=1e-10)
        weight = cell.weight_hh
        ours, dense_gradient = grad(ag.sum(z * z), weight), grad(ag.sum(y * y), small.weight_hh)
        middle = ours.data[(..., *[kernel // 2] * n)]
        assert_allclose(middle, dense_gradient.data, atol=1e-10)
        assert np.count_nonzero(ours.data) <= middle.size


# --- through the same loops as every other cell -------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_layers_lengths_and_directions(kind, n):
    nn.manual_seed(1)
    layer = layer_of(kind, n, 2, 3, num_layers=2, bidirectional=True)
    x, lengths = normal(5, 3, 2, *IMAGES[n]), [5, 2, 0]
    y, state = layer(x, lengths=lengths)
    assert y.shape == (5, 3, 6, *IMAGES[n])
    parts = state if isinstance(state, tuple) else (state,)
    assert all(s.shape == (4, 3, 3, *IMAGES[n]) for s in parts)
    for b, length in enumerate(lengths):  # every row as if it were alone
        assert not y.data[length:, b].any()
        if length:
            alone, last = layer(x[:length, b])
            assert_allclose(y.data[:length, b], alone.data, atol=1e-12)
            for s, one in zip(parts, last if isinstance(last, tuple) else (last,), strict=True):
                assert_allclose(s.data[:, b], one.data, atol=1e-12)
    first = layer_of(kind, n, 2, 3, num_layers=2, bidirectional=True, batch_first=True)
    first.load_state_dict(layer.state_dict())
    assert_allclose(first(x.swapaxes(0, 1), lengths=lengths)[0].data.swapaxes(0, 1), y.data, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_stacked_equals_layers_by_hand(kind):
    layer = layer_of(kind, 2, 2, 3, num_layers=2)
    x = normal(4, 2, 2, *IMAGES[2])
    h = Variable(x)
    for _, cell in layer.cells():
        h, _ = nn.Recurrent(cell)(h)
    assert_allclose(layer(x)[0].data, h.data)


@pytest.mark.parametrize("kind, options, reference", STEPS)
def test_gradients(kind, options, reference):
    if options.get("peephole"):
        options = {**options, "peephole": (3,)}
    layer = layer_of(kind, 1, 1, 2, 2, state_kernel_size=3, **options)
    (_, cell), *_ = layer.cells()
    names, parameters = zip(*cell.named_parameters(), strict=True)
    for k, p in enumerate(parameters):
        p.data = normal(*p.shape, seed=k) * 0.5

    def loss(x, *values):
        for name, value in zip(names, values, strict=True):
            object.__setattr__(cell, name, value)
        return layer(x, lengths=[2, 1])[0]

    gradcheck(loss, normal(2, 2, 1, 3), *[p.data for p in parameters])


class Calls:
    """An instrument that keeps the nodes of a forward pass."""

    def __init__(self):
        self.nodes = []

    def forward(self, node, inputs, outputs):
        self.nodes.append(node)

    def backward(self, node, gys, gxs):
        pass


@pytest.mark.parametrize("kind", KINDS)
def test_inputs_of_all_steps_are_convolved_in_one_call(kind):
    layer, x = layer_of(kind, 2, 2, 3), Variable(normal(6, 2, 2, *IMAGES[2]))
    with ag.instrumented(Calls()) as calls:
        y, _ = layer(x)
    convolutions = [node for node in calls.nodes if node.label == "Conv"]
    assert len(convolutions) == 1 + 6
    assert convolutions[0].out_shape[0] == 12 and convolutions[0].place.step is None
    with ag.instrumented(Calls()) as calls, ag.stepwise():
        z, _ = layer(x)
    assert len([node for node in calls.nodes if node.label == "Conv"]) == 2 * 6
    assert_allclose(z.data, y.data, atol=1e-12)


def test_second_derivatives_through_time():
    layer = layer_of("LSTM", 1, 1, 1, 2, peephole=(2,))
    gradcheck(lambda x: layer(x)[0], normal(2, 1, 1, 2), order=2)


def test_wrappers_take_them():
    nn.manual_seed(0)
    x = normal(3, 2, 2, *IMAGES[2]).astype(np.float32)
    cells = [
        nn.Zoneout(nn.ConvLSTMCell(2, 2), 0.3),
        nn.Residual(nn.ConvGRUCell(2, 2)),
        nn.VariationalDropout(nn.ConvGRUCell(2, 2, reset="before"), 0.3, 0.3),
    ]
    for cell in cells:
        y, _ = nn.Recurrent(cell)(x, lengths=[3, 1])
        assert y.shape == (3, 2, 2, *IMAGES[2]) and np.isfinite(y.data).all()


def test_a_peephole_of_one_is_shared_along_its_axis():
    shared = nn.ConvLSTMCell(2, 3, peephole=(1, 1), dtype=np.float64)
    full = nn.ConvLSTMCell(2, 3, peephole=(4, 3), dtype=np.float64)
    for k, (p, q) in enumerate(zip(shared.parameters(), full.parameters(), strict=True)):
        p.data = normal(*p.shape, seed=k)
        q.data = np.broadcast_to(p.data, q.shape).copy()
    x = normal(3, 2, 2, 4, 3)
    assert_allclose(nn.Recurrent(shared)(x)[0].data, nn.Recurrent(full)(x)[0].data)
    assert nn.Recurrent(shared)(normal(3, 2, 2, 6, 5))[0].shape == (3, 2, 3, 6, 5)


def test_initial_weights():
    cell = nn.ConvLSTMCell(2, 8, 5, state_kernel_size=3, peephole=(4, 4), forget_bias=1.0)
    assert not cell.weight_co.data.any()
    assert_array_equal(cell.gate("bias_ih", "f").data + cell.gate("bias_hh", "f").data, np.ones(8))
    for p, seen in ((cell.weight_ih, 2 * 25), (cell.weight_hh, 8 * 9)):
        assert 0.9 / np.sqrt(seen) < np.abs(p.data).max() <= 1 / np.sqrt(seen)
    assert all(p.dtype == np.float32 for p in cell.parameters())
    layer = nn.ConvLSTM2d(2, 3)
    assert layer(np.zeros((2, 1, 2, 4, 4), np.float32))[0].dtype == np.float32
    assert list(layer.state_dict()) == ["weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]


X = np.zeros((3, 2, 2, 5, 4), np.float32)


@pytest.mark.parametrize(
    "call, error, words",
    [
        (
            lambda: nn.ConvLSTM2d(2, 3)(X[..., 0, 0]),
            ValueError,
            ["ConvLSTM2d", "(T, B, 2, H, W)", "(3, 2, 2)"],
        ),
        (lambda: nn.ConvGRU2d(3, 3)(X), ValueError, ["ConvGRU2d", "(T, B, 3, H, W)", "(3, 2, 2, 5, 4)"]),
        (lambda: nn.Recurrent(nn.ConvRNNCell(3, 3))(X), ValueError, ["ConvRNNCell", "(T, B, 3, H, W)"]),
        (lambda: nn.ConvRNNCell(2, 3)(X), ValueError, ["ConvRNNCell", "(B, 2, H, W)", "Recurrent(cell)"]),
        (lambda: nn.ConvLSTM2d(2, 3)(X.astype(float)), TypeError, ["ConvLSTMCell", "float32", "float64"]),
        (lambda: nn.ConvLSTM2d(2, 3, peephole=(5, 5))(X), ValueError, ["(5, 5)", "(5, 4)"]),
        (lambda: nn.ConvLSTM2d(2, 3, peephole=(5,)), ValueError, ["peephole", "(5,)"]),
        (lambda: nn.ConvLSTM2d(2, 3)(X, (X[:1], X[:1])), ValueError, ["(1, 2, 3, 5, 4)", "(1, 2, 2, 5, 4)"]),
        (lambda: nn.ConvLSTMCell(2, 3, dims=4), ValueError, ["ConvLSTMCell", "dims", "4"]),
        (lambda: nn.ConvLSTMCell(2, 3, (3, 3, 3)), ValueError, ["kernel_size", "(3, 3, 3)"]),
        (lambda: nn.ConvGRUCell(2, 3, reset="never"), ValueError, ["'before'", "'never'"]),
        (
            lambda: nn.ConvLSTMCell(2, 3, bias=False, forget_bias=1.0),
            ValueError,
            ["forget_bias", "bias=False"],
        ),
        (lambda: nn.ConvLSTM2d(2, 0), ValueError, ["hidden_size", "0"]),
    ],
)
def test_errors_say_who_expected_and_got(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
