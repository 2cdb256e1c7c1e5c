"""Convolution, pooling and their layers equal PyTorch's: values, gradients, second gradients.

Skipped where PyTorch is not installed.
"""

import itertools

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, grad

torch = pytest.importorskip("torch")
F = torch.nn.functional

SIZES = {1: (7,), 2: (7, 6), 3: (5, 5, 5)}
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")


def differences(f, theirs, arrays):
    """The largest differences in value, gradients, and the gradients of a function of the gradients."""
    ours, tensors = [Variable(a) for a in arrays], [torch.tensor(a, requires_grad=True) for a in arrays]
    y, ty = f(*ours), theirs(*tensors)
    assert y.shape == tuple(ty.shape)
    g = np.random.default_rng(1).standard_normal(y.shape)
    ours.append(Variable(g))
    tensors.append(torch.tensor(g, requires_grad=True))
    first = grad(y, ours[:-1], gradients=ours[-1], create_graph=True)
    first_t = torch.autograd.grad(ty, tensors[:-1], tensors[-1], create_graph=True)
    second = grad(sum(ag.sum(ag.sin(a)) for a in first), ours, allow_unused=True)
    second_t = torch.autograd.grad(sum(a.sin().sum() for a in first_t), tensors, allow_unused=True)
    pairs = [[(y, ty)], list(zip(first, first_t, strict=True)), list(zip(second, second_t, strict=True))]
    return [max(_difference(a, b) for a, b in part) for part in pairs]


def _difference(a, b):
    if b is None:  # PyTorch found no path, or a zero one
        return 0.0 if a is None else float(np.abs(a.data).max())
    return float(np.abs((0.0 if a is None else a.data) - b.detach().numpy()).max())


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3])
def test_grid_of_convolutions(n, kernel):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(ag, f"conv{n}d"), getattr(F, f"conv{n}d")
    paddings = [0, 1, 2, "same", "valid", tuple(range(n))]
    for stride, padding, dilation, groups in itertools.product((1, 2), paddings, (1, 2), (1, 2)):
        if padding == "same" and stride > 1:
            continue
        x = rng.standard_normal((2, 4, *SIZES[n]))
        w = rng.standard_normal((6, 4 // groups, *[kernel] * n))
        rest = stride, padding, dilation, groups
        off = differences(
            lambda x, w, b, rest=rest: ours(x, w, b, *rest),
            lambda x, w, b, rest=rest: theirs(x, w, b, *rest),
            (x, w, rng.standard_normal(6)),
        )
        assert max(off) < 1e-10, (rest, off)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kernel", [2, 3])
def test_grid_of_transposed_convolutions(n, kernel):
    rng = np.random.default_rng(0)
    ours, theirs = getattr(ag, f"conv_transpose{n}d"), getattr(F, f"conv_transpose{n}d")
    for stride, padding, dilation, groups in itertools.product((1, 2, 3), (0, 1), (1, 2), (1, 2)):
        for extra in {0, stride - 1, dilation - 1}:
            x = rng.standard_normal((2, 4, *[3, 4, 2][:n]))
            w = rng.standard_normal((4, 3, *[kernel] * n))
            rest = stride, padding, extra, groups, dilation
            off = differences(
                lambda x, w, b, rest=rest: ours(x, w, b, *rest),
                lambda x, w, b, rest=rest: theirs(x, w, b, *rest),
                (x, w, rng.standard_normal(3 * groups)),
            )
            assert max(off) < 1e-10, (rest, off)


@pytest.mark.parametrize("n", [1, 2])
def test_grid_of_pooling(n):
    rng = np.random.default_rng(0)
    for kernel, stride, padding, ceil in itertools.product((1, 2, 3), (None, 1, 2, 3), (0, 1), (False, True)):
        if 2 * padding > kernel:
            continue
        x = rng.permutation(2 * 3 * 7 * 6).reshape(2, 3, 42 if n == 1 else 7, *[6] * (n - 1)) * 0.1
        for dilation in (1, 2):
            off = differences(
                lambda x, o=(kernel, stride, padding, dilation, ceil): getattr(ag, f"max_pool{n}d")(x, *o),
                lambda x, o=(kernel, stride, padding, dilation, ceil): getattr(F, f"max_pool{n}d")(x, *o),
                (x,),
            )
            assert max(off) < 1e-12, (kernel, stride, padding, dilation, ceil)
        for counted in (True, False):
            off = differences(
                lambda x, o=(kernel, stride, padding, ceil, counted): getattr(ag, f"avg_pool{n}d")(x, *o),
                lambda x, o=(kernel, stride, padding, ceil, counted): getattr(F, f"avg_pool{n}d")(x, *o),
                (x,),
            )
            assert max(off) < 1e-11, (kernel, stride, padding, ceil, counted)


# --- layers -----------------------------------------------------------------------------------------

LAYERS = [
    ("Conv1d", (4, 6, 3), {"stride": 2, "padding": 1, "groups": 2}, (2, 4, 9)),
    ("Conv2d", (4, 6, (3, 2)), {"dilation": (1, 2), "padding": "same"}, (2, 4, 5, 6)),
    ("Conv3d", (2, 3, 2), {"bias": False}, (2, 2, 3, 4, 3)),
    ("Conv2d", (4, 6, 3), {}, (4, 5, 6)),
    ("ConvTranspose1d", (4, 6, 3), {"stride": 2, "output_padding": 1, "groups": 2}, (2, 4, 5)),
    ("ConvTranspose2d", (4, 3, (3, 2)), {"padding": 1, "dilation": 2}, (2, 4, 5, 4)),
    ("MaxPool1d", (3,), {"stride": 2, "padding": 1}, (2, 3, 8)),
    ("MaxPool2d", (2,), {"ceil_mode": True, "dilation": 2}, (2, 3, 8, 7)),
    ("AvgPool1d", (3, 2), {"padding": 1, "count_include_pad": False}, (2, 3, 8)),
    ("AvgPool2d", (2,), {}, (2, 3, 8, 7)),
    ("BatchNorm2d", (3,), {"momentum": 0.2, "eps": 1e-3}, (4, 3, 5, 2)),
    ("BatchNorm2d", (3,), {"affine": False, "momentum": None}, (4, 3, 5, 2)),
]


@pytest.mark.parametrize("name, args, options, shape", LAYERS, ids=lambda v: v if isinstance(v, str) else "")
def test_layer_takes_the_weights_and_gives_the_numbers_of_pytorch(name, args, options, shape):
    theirs = getattr(torch.nn, name)(*args, **options).double()
    mine = getattr(nn, name)(*args, **options).to_dtype(np.float64)
    assert {k: v.shape for k, v in mine.state_dict().items()} == {
        k: tuple(v.shape) for k, v in theirs.state_dict().items()
    }
    mine.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    for training in (True, True, False):
        mine.train(training)
        theirs.train(training)
        data = rng.permutation(np.arange(np.prod(shape)) * 0.1 - 3.0).reshape(shape)
        x, tx = Variable(data), torch.tensor(data, requires_grad=True)
        y, ty = mine(x), theirs(tx)
        g = rng.standard_normal(ty.shape)
        for p in mine.parameters():
            p.grad = None
        theirs.zero_grad()
        y.backward(g)
        ty.backward(torch.tensor(g))
        np.testing.assert_allclose(y.data, ty.detach().numpy(), atol=1e-11)
        np.testing.assert_allclose(x.grad.data, tx.grad.numpy(), atol=1e-10)
        for (path, p), (their_path, tp) in zip(
            mine.named_parameters(), theirs.named_parameters(), strict=True
        ):
            assert path == their_path
            np.testing.assert_allclose(p.grad.data, tp.grad.numpy(), atol=1e-10)
    for key, value in theirs.state_dict().items():
        np.testing.assert_allclose(mine.state_dict()[key], value.numpy(), atol=1e-12, err_msg=key)


@pytest.mark.parametrize("name, args", [("Conv2d", (8, 16, 5)), ("ConvTranspose1d", (8, 16, 5))])
def test_initial_weights_have_the_range_of_pytorch(name, args):
    theirs, mine = getattr(torch.nn, name)(*args), getattr(nn, name)(*args)
    for p, tp in zip(mine.parameters(), theirs.parameters(), strict=True):
        assert p.dtype == np.float32
        bound = 1.0001 / np.sqrt(np.prod(theirs.weight.shape[1:]))  # of float32
        assert 0.7 * bound < np.abs(p.data).max() <= bound
        assert float(tp.detach().abs().max()) <= bound


# --- recurrent layers -------------------------------------------------------------------------------


def conv_lstm_of_primitives(x, h, c, parameters, peepholes):
    w_ih, w_hh, b_ih, b_hh = parameters
    outputs = []
    for x_t in x:
        z = F.conv2d(x_t, w_ih, b_ih, padding="same") + F.conv2d(h, w_hh, b_hh, padding="same")
        i, f, g, o = z.chunk(4, 1)
        w_ci, w_cf, w_co = peepholes or (0.0, 0.0, 0.0)
        i, f, g = torch.sigmoid(i + w_ci * c), torch.sigmoid(f + w_cf * c), torch.tanh(g)
        c = f * c + i * g
        h = torch.sigmoid(o + w_co * c) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs), h, c


@pytest.mark.parametrize("peephole", [None, (5, 4)])
def test_conv_lstm_equals_one_of_pytorch_primitives(peephole):
    rng = np.random.default_rng(0)
    layer = nn.ConvLSTM2d(2, 3, (3, 2), state_kernel_size=(3, 5), peephole=peephole, dtype=np.float64)
    for p in layer.parameters():
        p.data = rng.standard_normal(p.shape) * 0.3
    x, h, c = (rng.standard_normal(s) for s in ((4, 2, 2, 5, 4), (1, 2, 3, 5, 4), (1, 2, 3, 5, 4)))
    mine = [Variable(a) for a in (x, h, c)]
    y, (h_n, c_n) = layer(mine[0], (mine[1], mine[2]))
    theirs = [torch.tensor(a, requires_grad=True) for a in (x, h, c)]
    weights = [torch.tensor(p.data, requires_grad=True) for p in layer.parameters()]
    assert len(weights) == (7 if peephole else 4)
    ty, th, tc = conv_lstm_of_primitives(theirs[0], theirs[1][0], theirs[2][0], weights[:4], weights[4:])
    for ours, other in ((y, ty), (h_n[0], th), (c_n[0], tc)):
        np.testing.assert_allclose(ours.data, other.detach().numpy(), atol=1e-10)
    loss = ag.sum(ag.sin(y)) + ag.sum(c_n * c_n)
    (torch.sin(ty).sum() + (tc * tc).sum()).backward()
    leaves = [*mine, *layer.parameters()]
    for ours, other in zip(grad(loss, leaves), [*theirs, *weights], strict=True):
        np.testing.assert_allclose(ours.data, other.grad.numpy(), atol=1e-10)
