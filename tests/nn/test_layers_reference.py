"""Layers against their definitions, written out in plain NumPy: activations, norms, convolution, pooling,
dropout, attention, and the ranges in which weights start. The names are those of PyTorch's state dicts."""

import math
from statistics import NormalDist

import numpy as np
import pytest

import nn
from autograd import Variable, grad
from nn import init
from tests.cases.conv_cases import correlation, transposed

F64 = {"dtype": np.float64}
X = np.random.default_rng(0).normal(size=(3, 4, 2)) * 2


def sigma(x):
    return 1 / (1 + np.exp(-x))


def softmax(x, axis):
    return np.exp(x) / np.exp(x).sum(axis, keepdims=True)


ACTIVATIONS = {  # the layer, its function, its derivative where it has one by element
    "tanh": (nn.Tanh(), np.tanh, lambda x: 1 - np.tanh(x) ** 2),
    "sigmoid": (nn.Sigmoid(), sigma, lambda x: sigma(x) * (1 - sigma(x))),
    "relu": (nn.ReLU(), lambda x: np.where(x > 0, x, 0), lambda x: x > 0),
    "leaky relu": (nn.LeakyReLU(), lambda x: np.where(x > 0, x, 0.01 * x),
                   lambda x: np.where(x > 0, 1, 0.01)),
    "leaky relu 0.3": (nn.LeakyReLU(0.3), lambda x: np.where(x > 0, x, 0.3 * x),
                       lambda x: np.where(x > 0, 1, 0.3)),
    "elu": (nn.ELU(), lambda x: np.where(x > 0, x, np.exp(x) - 1), lambda x: np.where(x > 0, 1, np.exp(x))),
    "elu 0.7": (nn.ELU(0.7), lambda x: np.where(x > 0, x, 0.7 * (np.exp(x) - 1)),
                lambda x: np.where(x > 0, 1, 0.7 * np.exp(x))),
    "softplus": (nn.Softplus(), lambda x: np.log(1 + np.exp(x)), sigma),
    "softplus 2": (nn.Softplus(2.0), lambda x: np.log(1 + np.exp(2 * x)) / 2, lambda x: sigma(2 * x)),
    "silu": (nn.SiLU(), lambda x: x * sigma(x), lambda x: sigma(x) * (1 + x * (1 - sigma(x)))),
    "softplus with a threshold": (nn.Softplus(2.0, 1.0),
                                  lambda x: np.where(2 * x > 1, x, np.log(1 + np.exp(2 * x)) / 2),
                                  lambda x: np.where(2 * x > 1, 1.0, sigma(2 * x))),
    "gelu": (nn.GELU(), np.vectorize(lambda x: x * NormalDist().cdf(x)),
             np.vectorize(lambda x: NormalDist().cdf(x) + x * NormalDist().pdf(x))),
    "gelu tanh": (nn.GELU("tanh"),
             lambda x: x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))), None),
    "identity": (nn.Identity(), lambda x: x, np.ones_like),
    "softmax 1": (nn.Softmax(1), lambda x: softmax(x, 1), None),
    "softmax": (nn.Softmax(), lambda x: softmax(x, -1), None),
    "log softmax 0": (nn.LogSoftmax(0), lambda x: np.log(softmax(x, 0)), None),
    "log softmax": (nn.LogSoftmax(), lambda x: np.log(softmax(x, -1)), None),
    "flatten": (nn.Flatten(), lambda x: x.reshape(3, 8), None),
    "flatten 0 1": (nn.Flatten(0, 1), lambda x: x.reshape(12, 2), None),
    "flatten -2": (nn.Flatten(-2), lambda x: x.reshape(3, 8), None),
}  # fmt: skip


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_layers_without_parameters_are_their_functions(name):
    layer, function, derivative = ACTIVATIONS[name]
    x = Variable(X)
    y = layer(x * 1.0)
    np.testing.assert_allclose(y.data, function(X), rtol=1e-12, atol=1e-14)
    assert not layer.state_dict()
    if derivative is not None:
        np.testing.assert_allclose(grad(y.sum(), x).data, derivative(X), rtol=1e-11, atol=1e-14)


def filled(layer, seed=1):
    """The layer with other weights than it started with, and those by name."""
    rng = np.random.default_rng(seed)
    for p in layer.parameters():
        p.data = rng.normal(size=p.shape)
    return layer, layer.state_dict()


@pytest.mark.parametrize("shape", [(3,), (5, 3), (2, 5, 3)])
@pytest.mark.parametrize("bias", [True, False])
def test_linear(shape, bias):
    layer, p = filled(nn.Linear(3, 4, bias, **F64))
    assert list(p) == ["weight", "bias"][: 1 + bias]
    x = np.random.default_rng(2).normal(size=shape)
    want = np.array([[p["weight"][o] @ row for o in range(4)] for row in x.reshape(-1, 3)])
    np.testing.assert_allclose(layer(x).data.reshape(-1, 4), want + p.get("bias", 0.0), rtol=1e-12)


# --- norms ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shape", "eps", "affine", "bias"), [
    (2, 1e-5, True, True), ((4, 2), 1e-5, True, True), (2, 0.5, True, False), ((4, 2), 1e-2, False, True),
])  # fmt: skip
def test_layer_norm_takes_samples_one_by_one(shape, eps, affine, bias):
    layer, p = filled(nn.LayerNorm(shape, eps, affine, bias, **F64))
    assert list(p) == ["weight", "bias"][: affine * (1 + bias)]
    axes = 2 if isinstance(shape, tuple) else 1
    want = np.empty_like(X)
    for at in np.ndindex(X.shape[: X.ndim - axes]):
        one = X[at]
        spread = sum((one.ravel() - one.mean()) ** 2) / one.size
        want[at] = (one - one.mean()) / math.sqrt(spread + eps) * p.get("weight", 1.0) + p.get("bias", 0.0)
    np.testing.assert_allclose(layer(X).data, want, rtol=1e-12, atol=1e-14)


def batch_norm(x, p, mean, var, eps):
    """Every feature (axis 1) with a mean and a variance of its own."""
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        y[:, c] = (x[:, c] - mean[c]) / math.sqrt(var[c] + eps)
        y[:, c] = y[:, c] * (p["weight"][c] if "weight" in p else 1) + (p["bias"][c] if "bias" in p else 0)
    return y


@pytest.mark.parametrize("shape", [(7, 3), (4, 3, 5), (2, 3, 4, 2)])
@pytest.mark.parametrize("momentum", [0.1, 0.3, None])
@pytest.mark.parametrize(("affine", "track"), [(True, True), (False, True), (True, False)])
def test_batch_norm_over_three_batches_and_in_evaluation(shape, momentum, affine, track):
    kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
    layer, p = filled(kind(3, 1e-3, momentum, affine, track, **F64))
    buffers = ["running_mean", "running_var", "num_batches_tracked"] if track else []
    assert list(p) == (["weight", "bias"] if affine else []) + buffers
    rng, axes = np.random.default_rng(3), (0, 2, 3)[: len(shape) - 1]
    mean, var, n = np.zeros(3), np.ones(3), np.prod(shape) // 3
    for batch in range(1, 4):
        x = rng.normal(batch, batch, shape)
        m, v = x.mean(axes), x.var(axes)
        np.testing.assert_allclose(layer(x).data, batch_norm(x, p, m, v, 1e-3), rtol=1e-11, atol=1e-13)
        new = 1 / batch if momentum is None else momentum
        mean, var = (1 - new) * mean + new * m, (1 - new) * var + new * v * n / (n - 1)  # the unbiased one
    state = layer.eval().state_dict()
    x = rng.normal(size=shape)
    if track:
        np.testing.assert_allclose(state["running_mean"], mean, rtol=1e-12)
        np.testing.assert_allclose(state["running_var"], var, rtol=1e-12)
        assert state["num_batches_tracked"] == 3
        want = batch_norm(x, p, mean, var, 1e-3)
    else:
        want = batch_norm(x, p, x.mean(axes), x.var(axes), 1e-3)
    np.testing.assert_allclose(layer(x).data, want, rtol=1e-11, atol=1e-13)


# --- convolution and pooling ------------------------------------------------------------------------


CONVOLUTIONS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 9)),
    ("Conv1d", (4, 6, 2), {"dilation": 3}, (2, 4, 9)),
    ("Conv2d", (4, 6, 3), {"padding": 2, "stride": 2}, (2, 4, 5, 6)),
    ("Conv3d", (2, 3, 2), {"bias": False}, (2, 2, 3, 4, 3)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    ("ConvTranspose1d", (4, 2, 2), {"stride": 3, "padding": 1, "output_padding": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 3, 3), {"padding": 1, "dilation": 2}, (2, 4, 5, 4)),
]


@pytest.mark.parametrize("name, sizes, options, shape", CONVOLUTIONS, ids=lambda v: str(v)[:16])
def test_convolutional_layers_are_sums_over_taps(name, sizes, options, shape):
    layer, p = filled(getattr(nn, name)(*sizes, **options, **F64))
    x = np.random.default_rng(4).normal(size=shape)
    options = {k: v for k, v in options.items() if k != "bias"}
    definition = transposed if "Transpose" in name else correlation
    want = definition(x, p["weight"], p.get("bias", 0.0), **options)
    np.testing.assert_allclose(layer(x).data, want, rtol=1e-11, atol=1e-12)
    if x.shape[0] > 1:  # one image without a batch axis
        np.testing.assert_allclose(layer(x[0]).data, want[0], rtol=1e-11, atol=1e-12)


def pooled(x, n, kernel, stride, padding, dilation, ceil, value):
    """Window by window: ``value(elements inside the image, number of places inside image and padding)``."""
    sizes = []
    for size in x.shape[-n:]:
        steps = (size + 2 * padding - dilation * (kernel - 1) - 1) / stride
        count = (math.ceil(steps) if ceil else math.floor(steps)) + 1
        sizes.append(
            count - (ceil and (count - 1) * stride >= size + padding)
        )  # none begins behind the image
    y = np.empty((*x.shape[:-n], *sizes))
    for at in np.ndindex(y.shape):
        places = []
        for axis, p in enumerate(at[-n:]):
            size = x.shape[axis - n]
            along = [p * stride - padding + dilation * k for k in range(kernel)]
            places.append(([i for i in along if 0 <= i < size], sum(i < size + padding for i in along)))
        inside = x[at[:-n]][np.ix_(*[own for own, _ in places])]
        y[at] = value(inside, math.prod(count for _, count in places))
    return y


@pytest.mark.parametrize("n", [1, 2])
@pytest.mark.parametrize("kernel, stride, padding", [(2, None, 0), (3, 2, 1), (3, 1, 0), (2, 3, 1)])
@pytest.mark.parametrize("ceil", [False, True])
def test_pooling_layers_look_through_windows(n, kernel, stride, padding, ceil):
    x = np.random.default_rng(5).permutation(2 * 3 * 42).reshape(2, 3, *[(42,), (7, 6)][n - 1]) * 0.1 - 9.0
    place = x, n, kernel, stride or kernel, padding
    for dilation in (1, 2):
        layer = getattr(nn, f"MaxPool{n}d")(kernel, stride, padding, dilation, ceil)
        want = pooled(*place, dilation, ceil, lambda inside, _: inside.max())
        np.testing.assert_array_equal(layer(Variable(x)).data, want)
    for counted in (True, False):
        layer = getattr(nn, f"AvgPool{n}d")(kernel, stride, padding, ceil, counted)
        got = layer(Variable(x)).data
        want = pooled(*place, 1, ceil, lambda inside, n, c=counted: inside.sum() / (n if c else inside.size))
        np.testing.assert_allclose(got, want, rtol=1e-12)


# --- chance -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_dropout_zeroes_as_often_as_it_says_and_keeps_the_mean(p):
    n = 40_000
    y = nn.Dropout(p, np.random.default_rng(1))(Variable(np.full(n, 3.0))).data
    assert abs((y == 0).mean() - p) < 5 * math.sqrt(p * (1 - p) / n)
    np.testing.assert_allclose(y[y != 0], 3.0 / (1 - p), rtol=1e-6)
    assert abs(y.mean() - 3.0) < 5 * 3.0 * math.sqrt(p / (1 - p) / n)


@pytest.mark.parametrize("layer, fan_in", [
    (nn.Linear(25, 400), 25), (nn.Conv1d(6, 200, 4, groups=2), 12), (nn.Conv2d(4, 100, (3, 2)), 24),
    (nn.ConvTranspose1d(300, 8, 5), 40), (nn.RNN(50, 16, num_layers=2), 16), (nn.GRU(50, 25), 25),
    (nn.LSTM(3, 36, bidirectional=True), 36),
], ids=lambda v: type(v).__name__)  # fmt: skip
def test_weights_start_uniform_within_one_over_the_root_of_the_fan_in(layer, fan_in):
    bound = 1 / math.sqrt(fan_in)
    numbers = np.concatenate([p.data.ravel() for p in layer.parameters()])
    assert bound * 0.99 < np.abs(numbers).max() <= bound * (1 + 1e-6)
    assert abs(numbers.var() / (bound**2 / 3) - 1) < 0.1 and abs(numbers.mean()) < 0.1 * bound


def test_embedding_starts_normal():
    numbers = nn.Embedding(300, 40).weight.data
    assert abs(numbers.mean()) < 0.05 and abs(numbers.std() - 1) < 0.05


def test_gains_and_bounds():
    for name, gain in {"linear": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}.items():
        assert init.calculate_gain(name) == pytest.approx(gain)
    assert init.calculate_gain("leaky_relu", 0.5) == pytest.approx(math.sqrt(2 / 1.25))
    shape = (50, 30, 5)  # fan_in 150, fan_out 250
    for fill, variance in [
        (init.xavier_uniform_, 2 / 400),
        (lambda p, rng: init.xavier_uniform_(p, 3.0, rng=rng), 18 / 400),
        (init.kaiming_uniform_, 2 / 150),
        (lambda p, rng: init.kaiming_uniform_(p, mode="fan_out", rng=rng), 2 / 250),
        (lambda p, rng: init.kaiming_uniform_(p, 0.5, rng=rng), 2 / 1.25 / 150),
        (init.lecun_uniform_, 1 / 150),
    ]:
        p = nn.Parameter(np.empty(shape))
        fill(p, rng=np.random.default_rng(0))
        assert np.abs(p.data).max() == pytest.approx(math.sqrt(3 * variance), rel=1e-3)


def test_orthogonal_matrices_are_uniform():
    """Any element is as often negative as positive, and no direction is preferred: Q and -Q are alike."""
    rng = np.random.default_rng(0)
    drawn = np.stack([init.orthogonal_(nn.Parameter(np.empty((3, 3))), rng=rng).data for _ in range(600)])
    np.testing.assert_allclose(drawn.mean(0), 0, atol=5 / math.sqrt(3 * 600))
    np.testing.assert_allclose((drawn**2).mean(0), 1 / 3, atol=0.06)
    assert 0.4 < (np.linalg.det(drawn) > 0).mean() < 0.6
