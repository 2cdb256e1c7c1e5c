"""Layers, initialisers, names in state dicts and files are PyTorch's.

Skipped where PyTorch is not installed.
"""

import numpy as np
import pytest

import nn
from autograd import Variable
from nn import init
from tests.nn.test_init import fresh, generator
from tests.nn.test_layers import F64

torch = pytest.importorskip("torch")


def equal_torch(ours, theirs, x, tolerance=1e-13):
    """Same state dict, output and gradients of a module of each kind."""
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    a, b = Variable(x), torch.tensor(x, requires_grad=True)
    y, want = ours(a * 1.0), theirs(b)
    np.testing.assert_allclose(y.data, want.detach().numpy(), rtol=0, atol=tolerance)
    gy = np.random.default_rng(1).normal(size=y.shape)
    y.backward(gy)
    want.backward(torch.tensor(gy))
    np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=0, atol=tolerance)
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=0, atol=tolerance, err_msg=name)
    for name, buffer in theirs.state_dict().items():
        np.testing.assert_allclose(ours.state_dict()[name], buffer.numpy(), rtol=0, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("Linear", (3, 4), (5, 3)),
        ("Linear", (3, 4, False), (2, 5, 3)),
        ("LayerNorm", (6,), (5, 6)),
        ("LayerNorm", ((2, 6),), (5, 2, 6)),
        ("LayerNorm", (6, 1e-3, False), (5, 6)),
        ("LayerNorm", (6, 1e-5, True, False), (5, 6)),
        ("BatchNorm1d", (4,), (7, 4)),
        ("BatchNorm1d", (4,), (3, 4, 5)),
        ("BatchNorm1d", (4, 1e-5, None), (7, 4)),
        ("BatchNorm1d", (4, 1e-5, 0.3, False), (7, 4)),
        ("BatchNorm1d", (4, 1e-5, 0.3, True, False), (7, 4)),
    ],
)
def test_layers_with_parameters_equal_torch(name, arguments, shape, rng):
    ours = getattr(nn, name)(*arguments, **F64)
    theirs = getattr(torch.nn, name)(*arguments, dtype=torch.float64)
    for p in theirs.parameters():
        torch.nn.init.normal_(p, generator=torch.Generator().manual_seed(0))
    x = rng.normal(size=shape)
    equal_torch(ours, theirs, x)
    equal_torch(ours.train(), theirs.train(), 3 * x + 1)  # running averages, for the one that has them
    equal_torch(ours.eval(), theirs.eval(), x)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("Tanh", ()),
        ("Sigmoid", ()),
        ("ReLU", ()),
        ("LeakyReLU", ()),
        ("LeakyReLU", (0.3,)),
        ("ELU", ()),
        ("ELU", (0.7,)),
        ("Softplus", ()),
        ("Softplus", (2.0,)),
        ("SiLU", ()),
        ("Softplus", (2.0, 1.0)),
        ("GELU", ()),
        ("GELU", ("tanh",)),
        ("Softmax", (1,)),
        ("Softmax", (-1,)),
        ("LogSoftmax", (0,)),
        ("Identity", ()),
        ("Flatten", ()),
        ("Flatten", (0, 1)),
        ("Flatten", (-2,)),
    ],
)
def test_layers_without_parameters_equal_torch(name, arguments, rng):
    x = rng.normal(size=(3, 4, 2)) * 2
    equal_torch(getattr(nn, name)(*arguments), getattr(torch.nn, name)(*arguments), x)


def test_padding_equals_torch(rng):
    sequences = [rng.normal(size=(n, 2)) for n in (2, 4, 1)]
    for batch_first in (False, True):
        want = torch.nn.utils.rnn.pad_sequence(list(map(torch.tensor, sequences)), batch_first, -1.0)
        np.testing.assert_array_equal(nn.pad_sequence(sequences, batch_first, -1.0), want.numpy())


def test_bounds_gains_and_fans_are_torchs():
    for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"):
        param = (0.2,) if name == "leaky_relu" else ()
        assert init.calculate_gain(name, *param) == pytest.approx(
            torch.nn.init.calculate_gain(name, *param), abs=1e-15
        )
    for name in ("xavier_uniform_", "kaiming_uniform_"):
        p, t = fresh((50, 30, 5)), torch.empty(50, 30, 5)
        getattr(init, name)(p, rng=generator())
        getattr(torch.nn.init, name)(t, generator=torch.Generator().manual_seed(0))
        assert np.abs(p.data).max() == pytest.approx(float(t.abs().max()), rel=2e-3)


def test_state_dicts_of_containers_are_torchs():
    def build(lib):
        class Net(lib.Module):
            def __init__(self):
                super().__init__()
                self.layers = lib.ModuleList([lib.Linear(2, 2), lib.GRU(2, 3)])
                self.heads = lib.ModuleDict(
                    {"x": lib.Linear(3, 1), "y": lib.Sequential(lib.Linear(3, 2), lib.Tanh())}
                )

        return Net()

    ours, theirs = build(nn), build(torch.nn)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict({k: torch.from_numpy(v) for k, v in ours.state_dict().items()})


def test_pytorch_reads_our_safetensors_and_we_read_theirs(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    ours, theirs = nn.LSTM(3, 4, 2, bidirectional=True), torch.nn.LSTM(3, 4, 2, bidirectional=True)
    nn.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(files.load_file(tmp_path / "ours.safetensors"))
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(x)[0].data, theirs(torch.tensor(x))[0].detach().numpy(), atol=1e-6)

    theirs.reset_parameters()
    files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    ours.load_state_dict(nn.load(tmp_path / "theirs.safetensors"))
    np.testing.assert_allclose(ours(x)[0].data, theirs(torch.tensor(x))[0].detach().numpy(), atol=1e-6)


def test_bfloat16_becomes_float32(tmp_path):
    files = pytest.importorskip("safetensors.torch")
    x = torch.tensor([1.0, -2.5, 3.1415926, float("inf"), 1e-40, 1e38])
    files.save_file({"x": x.bfloat16(), "h": x.half()}, tmp_path / "x.safetensors")
    back = nn.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(back["x"], x.bfloat16().float().numpy())
    assert back["x"].dtype == np.float32 and back["h"].dtype == np.float16
