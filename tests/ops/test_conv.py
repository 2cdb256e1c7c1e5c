"""Convolution and pooling beyond the table of operations: algorithms against each other, edges, errors.

Layers too. Where PyTorch is needed, the tests are in `test_conv_torch`.
"""

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
import nn
from autograd import Variable, grad, gradcheck
from autograd.ops import conv as module
from tests.cases.conv_cases import correlation, transposed


def normal(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# --- every way of computing the same ----------------------------------------------------------------


@st.composite
def settings_of_conv(draw):
    """Arrays and arguments of any convolution that has a result."""
    n = draw(st.integers(1, 3))
    groups = draw(st.integers(1, 2))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * n))
    options = {
        name: draw(st.integers(low, 3)) for name, low in [("stride", 1), ("padding", 0), ("dilation", 1)]
    }
    least = [max(1, options["dilation"] * (k - 1) + 1 - 2 * options["padding"]) for k in kernel]
    size = [m + draw(st.integers(0, 3)) for m in least]
    x = normal(draw(st.integers(1, 2)), groups * draw(st.integers(1, 2)), *size)
    w = normal(groups * draw(st.integers(1, 2)), x.shape[1] // groups, *kernel, seed=1)
    return x, w, {**options, "groups": groups}


@given(settings_of_conv(), st.sampled_from([1, 1 << 10, 1 << 24]), st.booleans())
@settings(max_examples=80)
def test_values_and_gradients_of_any_shape_by_every_path(setting, workspace, one_product):
    """Whatever the size of the workspace, and whether the adjoint is one product or one per tap."""
    x, w, options = setting
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "WORKSPACE", workspace)
        patch.setattr(module, "TAPS_FROM", 1000 if one_product else 0)
        u, v = Variable(x), Variable(w)
        y = getattr(ag, f"conv{x.ndim - 2}d")(u, v, **options)
        assert_allclose(y.data, correlation(x, w, **options), atol=1e-12)
        g = normal(*y.shape, seed=2)
        gu, gv = grad(y, [u, v], gradients=g)
        # the form is linear in each of the three, and the same whichever is left out
        form = np.sum(y.data * g)
        assert_allclose([np.sum(gu.data * x), np.sum(gv.data * w)], [form, form], atol=1e-9)
        d, e = normal(*x.shape, seed=3), normal(*w.shape, seed=4)
        assert_allclose(np.sum(gu.data * d), np.sum(correlation(d, w, **options) * g), atol=1e-9)
        assert_allclose(np.sum(gv.data * e), np.sum(correlation(x, e, **options) * g), atol=1e-9)


@given(settings_of_conv(), st.booleans())
@settings(max_examples=40)
def test_transposed_convolutions_of_any_shape(setting, one_product):
    z, w, options = setting
    w = normal(z.shape[1], 2, *w.shape[2:])
    size = [
        (m - 1) * options["stride"] + options["dilation"] * (k - 1) + 1
        for m, k in zip(z.shape[2:], w.shape[2:], strict=True)
    ]
    options["padding"] = min(options["padding"], (min(size) - 1) // 2)
    options["output_padding"] = max(options["stride"], options["dilation"]) - 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "TAPS_FROM", 1000 if one_product else 0)
        y = getattr(ag, f"conv_transpose{z.ndim - 2}d")(z, w, **options)
    assert_allclose(y, transposed(z, w, **options), atol=1e-12)


def test_transposed_convolution_is_the_adjoint():
    x, w = normal(2, 4, 9, 8), normal(6, 4, 3, 2, seed=1)
    y = ag.conv2d(x, w, stride=2, padding=1)
    z = normal(*y.shape, seed=2)
    back = ag.conv_transpose2d(z, w, stride=2, padding=1, output_padding=(0, 0))
    assert back.shape == x.shape
    assert np.sum(y * z) == pytest.approx(np.sum(x * back))


def test_third_derivatives():
    gradcheck(
        lambda x, w: ag.conv1d(ag.square(x), ag.square(w), padding="same"),
        normal(1, 2, 3),
        normal(2, 2, 2),
        order=3,
    )
    gradcheck(
        lambda x, w: ag.square(ag.conv_transpose1d(x, w, stride=2)), normal(1, 2, 2), normal(2, 1, 2), order=3
    )


def test_no_memory_stays_behind_and_little_is_needed(monkeypatch):
    """Columns of windows, 25 times the image here, exist a workspace at a time, and not after the call."""
    import tracemalloc

    monkeypatch.setattr(module, "WORKSPACE", 1 << 20)
    x, w = (
        Variable(a) for a in (normal(4, 8, 64, 64, dtype=np.float32), normal(8, 8, 5, 5, dtype=np.float32))
    )
    image = x.data.nbytes
    ag.conv2d(x, w, padding=2)
    tracemalloc.start()
    try:
        y = ag.conv2d(x, w, padding=2)
        assert tracemalloc.get_traced_memory()[0] < 1.1 * image  # the result
        gx, gw = grad(y, [x, w], gradients=np.ones_like(y.data))
        now, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert now < 2.5 * image and peak < 6 * image + (2 << 20)


# --- meanings ---------------------------------------------------------------------------------------


def test_convolve_multiplies_polynomials():
    for method in ("direct", "fft", "auto"):
        y = ag.convolve(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, 6.0]), method=method)
        assert_allclose(y, [4, 13, 28, 27, 18], rtol=1e-14)
    assert_array_equal(ag.convolve([1, 2, 3], [4, 5, 6]), [4, 13, 28, 27, 18])
    # layers do not flip: theirs is a correlation
    x, w = np.array([[[1.0, 2.0, 3.0]]]), np.array([[[4.0, 5.0, 6.0]]])
    assert_array_equal(ag.conv1d(x, w, padding=2)[0, 0], [6, 17, 32, 23, 12])


@given(st.lists(st.integers(1, 9), min_size=1, max_size=3), st.data())
@settings(max_examples=40)
def test_convolve_directly_and_by_fourier_transforms(shape, data):
    other = [data.draw(st.integers(1, 9)) for _ in shape]
    a, v = normal(*shape), normal(*other, seed=1)
    mode = data.draw(st.sampled_from(["full", "same", "valid"]))
    u, w = Variable(a), Variable(v)
    direct, fft = (ag.convolve(u, w, mode, method) for method in ("direct", "fft"))
    assert_allclose(fft.data, direct.data, atol=1e-12)
    g = normal(*direct.shape, seed=2)
    for one, two in zip(grad(direct, [u, w], gradients=g), grad(fft, [u, w], gradients=g), strict=True):
        assert_allclose(two.data, one.data, atol=1e-12)
    if len(shape) == 1:
        assert_allclose(direct.data, np.convolve(a, v, mode), atol=1e-12)


def test_convolve_takes_the_fast_way_for_long_operands_only(monkeypatch):
    ways = []
    original = module.Convolve.__init__
    monkeypatch.setattr(
        module.Convolve, "__init__", lambda self, fft: (ways.append(fft), original(self, fft))[1]
    )
    long, short = normal(5000), normal(100)
    assert_allclose(ag.convolve(long, long), np.convolve(long, long), atol=1e-9)
    ag.convolve(long, short)
    ag.convolve(np.arange(1000), np.arange(1000))  # integers stay exact
    assert ways == [True, False, False]
    assert ag.convolve(long.astype(np.float32), long.astype(np.float32)).dtype == np.float32


def test_causal_convolution_reads_no_later_step():
    x, w = Variable(normal(1, 2, 10)), normal(3, 2, 3, seed=1)
    y = ag.conv1d(x, w, padding="causal", dilation=2)
    assert y.shape == (1, 3, 10)
    for t in range(10):
        g = grad(y[0, :, t].sum(), x, retain_graph=True).data[0]
        reads = np.flatnonzero(np.any(g != 0, axis=0))
        assert_array_equal(reads, [s for s in (t - 4, t - 2, t) if s >= 0])


def test_same_padding_of_an_even_kernel_puts_the_odd_zero_behind():
    x = np.arange(1.0, 5.0).reshape(1, 1, 4)
    assert_array_equal(ag.conv1d(x, np.ones((1, 1, 2)), padding="same")[0, 0], [3, 5, 7, 4])
    assert_array_equal(ag.conv1d(x, np.ones((1, 1, 2)), padding="causal")[0, 0], [1, 3, 5, 7])


def test_the_first_of_equal_elements_gets_the_gradient_of_a_maximum():
    x = Variable(np.zeros((1, 1, 2, 4)))
    g = grad(ag.max_pool2d(x, 2).sum(), x).data[0, 0]
    assert_array_equal(g, [[1, 0, 1, 0], [0, 0, 0, 0]])


def test_overlapping_maxima_add_up_and_nan_is_seen():
    x = Variable(np.array([[0.0, 5.0, 1.0, 2.0]]))
    y = ag.max_pool1d(x, 3, 1, padding=1)
    assert_array_equal(y.data, [[5, 5, 5, 2]])
    assert_array_equal(grad(y.sum(), x).data, [[0, 3, 0, 1]])
    assert np.isnan(ag.max_pool1d(np.array([[np.nan, 1.0]]), 2)).all()


def test_maximum_of_negative_numbers_is_not_the_padding():
    assert_array_equal(ag.max_pool1d(np.full((1, 4), -3.0), 2, 2, padding=1), [[-3, -3, -3]])


def test_channels_last_memory_is_kept_through_a_network():
    """What makes the rows of the matrix products contiguous without a copy."""
    x = Variable(normal(2, 3, 6, 6))
    y = ag.tanh(ag.conv2d(x, Variable(normal(4, 3, 3, 3)), padding=1))
    assert np.moveaxis(y.data, 1, -1).flags.c_contiguous


def test_untracked_and_plain_operands():
    x, w = normal(1, 2, 5), normal(3, 2, 2)
    assert isinstance(ag.conv1d(x, w), np.ndarray)
    assert isinstance(ag.max_pool1d(x, 2), np.ndarray) and isinstance(ag.avg_pool1d(x, 2), np.ndarray)
    y = ag.conv1d(Variable(x, requires_grad=False), Variable(w))
    (g,) = [n for n in (y.creator.backward(np.ones(y.shape), x, w))[:1]]
    assert g is None  # no work for what wants no gradient


# --- errors -----------------------------------------------------------------------------------------

IMAGE, WEIGHT = np.zeros((2, 4, 6, 5)), np.zeros((6, 4, 3, 3))


@pytest.mark.parametrize(
    "call, words",
    [
        (lambda: ag.conv2d(IMAGE[:, :3], WEIGHT), ["conv2d", "4 channels", "(2, 3, 6, 5)"]),
        (lambda: ag.conv2d(IMAGE[0, 0], WEIGHT), ["(B, C, H, W) or (C, H, W)", "(6, 5)"]),
        (lambda: ag.conv1d(IMAGE, WEIGHT[..., 0]), ["conv1d", "(B, C, L)", "(2, 4, 6, 5)"]),
        (lambda: ag.conv3d(IMAGE, WEIGHT), ["conv3d", "5 axes", "(6, 4, 3, 3)"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, groups=4), ["divide 6 output channels", "4"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, groups=0), ["groups", "0"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, groups=2), ["8 channels", "2 groups"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, np.zeros(4)), ["bias", "(6,)", "(4,)"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, dilation=3), ["(6, 5)", "(3, 3)", "at least 1"]),
        (lambda: ag.conv2d(IMAGE[..., :0], WEIGHT), ["(6, 0)"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, dilation=0), ["dilation", "at least 1", "got 0"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, stride=(1, 2, 3)), ["stride", "(1, 2, 3)"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, stride=1.5), ["stride", "1.5"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, padding=-1), ["padding", "-1"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, padding="some"), ["'same'", "'some'"]),
        (lambda: ag.conv2d(IMAGE, WEIGHT, 2, padding="same", stride=2), ["'same'", "stride 1"]),
        (lambda: ag.conv_transpose2d(IMAGE, WEIGHT), ["conv_transpose2d", "6 channels", "(2, 4, 6, 5)"]),
        (lambda: ag.conv_transpose2d(IMAGE, WEIGHT[:4], output_padding=1), ["output_padding", "got (1, 1)"]),
        (lambda: ag.conv_transpose2d(IMAGE, WEIGHT[:4], padding=4), ["conv_transpose2d", "at least 1"]),
        (lambda: ag.conv_transpose2d(IMAGE, WEIGHT[:4], groups=3), ["divide 4 input channels"]),
        (lambda: ag.max_pool2d(IMAGE, 3, padding=2), ["max_pool2d", "half", "2"]),
        (lambda: ag.max_pool2d(IMAGE, 7), ["max_pool2d", "(6, 5)", "(7, 7)"]),
        (lambda: ag.avg_pool1d(IMAGE, 2), ["avg_pool1d", "(B, C, L)"]),
        (lambda: ag.avg_pool2d(IMAGE, 0), ["kernel_size", "got 0"]),
        (lambda: ag.convolve([1.0], [[1.0]]), ["convolve", "(1,)", "(1, 1)"]),
        (lambda: ag.convolve([], [1.0]), ["convolve", "(0,)"]),
        (lambda: ag.convolve([1.0], [1.0], "half"), ["'valid'", "'half'"]),
        (lambda: ag.convolve([1.0], [1.0], method="slow"), ["'fft'", "'slow'"]),
    ],
)
def test_errors_say_who_expected_and_got(call, words):
    with pytest.raises(ValueError) as caught:
        call()
    for word in words:
        assert word in str(caught.value)


# --- layers -----------------------------------------------------------------------------------------


def test_a_stack_of_causal_convolutions_sees_twice_as_far_with_every_layer():
    stack = nn.Sequential(*[nn.CausalConv1d(1, 1, 2, dilation=2**k, dtype=np.float64) for k in range(4)])
    x = Variable(normal(1, 1, 40))
    y = stack(x)
    assert y.shape == x.shape
    reads = np.flatnonzero(grad(y[0, 0, 30].sum(), x).data)
    assert_array_equal(reads, np.arange(15, 31))  # 2⁴ = 16 steps, up to now


def test_layers_are_reproducible_and_say_what_they_are():
    nn.manual_seed(3)
    one = nn.Conv2d(2, 4, 3, padding="same", groups=2, bias=False)
    nn.manual_seed(3)
    two = nn.Conv2d(2, 4, 3, padding="same", groups=2, bias=False)
    assert_array_equal(one.weight.data, two.weight.data)
    assert repr(one) == "Conv2d(2, 4, kernel_size=(3, 3), stride=(1, 1), padding=same, groups=2, bias=False)"
    assert repr(nn.MaxPool2d(2)) == "MaxPool2d(kernel_size=2, stride=2, padding=0)"
    assert repr(nn.CausalConv1d(1, 2, 2, dilation=4)).endswith("padding=causal, dilation=(4,))")


def test_a_small_network_learns():
    """Where the dot is: convolution, normalisation, pooling and a linear layer together."""
    import optim

    nn.manual_seed(0)
    rng = np.random.default_rng(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(128, 4),
    )
    optimizer = optim.Adam(model.parameters(), lr=0.02)

    def batch():
        x = rng.standard_normal((32, 1, 8, 8)).astype(np.float32) * 0.3
        at = rng.integers(0, 8, (32, 2))
        x[np.arange(32), 0, at[:, 0], at[:, 1]] += 3.0
        return x, (at[:, 0] >= 4) * 2 + (at[:, 1] >= 4)

    for _ in range(60):
        x, target = batch()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), target).backward()
        optimizer.step()
    model.eval()
    x, target = batch()
    assert np.mean(model(x).data.argmax(1) == target) > 0.9


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, ["Conv2d", "in_channels", "groups=2", "got 3"]),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), ValueError, ["out_channels", "got 3"]),
        (lambda: nn.Conv1d(4, 4, (3, 3)), ValueError, ["Conv1d", "kernel_size", "(3, 3)"]),
        (lambda: nn.Conv1d(4, 4, 3, padding="full"), ValueError, ["Conv1d", "'causal'", "'full'"]),
        (lambda: nn.Conv1d(4, 4, 3)(np.zeros((2, 3, 9), np.float32)), ValueError, ["(B, 4, L)", "(2, 3, 9)"]),
        (lambda: nn.Conv1d(4, 4, 3)(np.zeros((2, 4, 9))), TypeError, ["Conv1d", "float32", "float64"]),
        (
            lambda: nn.ConvTranspose2d(4, 4, 3)(np.zeros((4, 9), np.float32)),
            ValueError,
            ["(B, 4, H, W)", "(4, 9)"],
        ),
        (lambda: nn.ConvTranspose2d(4, 4, 3, padding=-1), ValueError, ["ConvTranspose2d", "padding", "-1"]),
        (
            lambda: nn.BatchNorm2d(3)(np.zeros((2, 3, 9), np.float32)),
            ValueError,
            ["(N, 3, H, W)", "(2, 3, 9)"],
        ),
    ],
)
def test_errors_of_layers(call, error, words):
    with pytest.raises(error) as caught:
        call()
    for word in words:
        assert word in str(caught.value)
