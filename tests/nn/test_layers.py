"""Layers without time: values and gradients against stored ones of PyTorch and NumPy, and their errors."""

from pathlib import Path

import numpy as np
import pytest

import nn
from autograd import Variable, gradcheck

GOLDEN = dict(np.load(Path(__file__).parents[1] / "golden" / "torch_layers.npz"))


F64 = {"dtype": np.float64}


# --- initial weights, to three standard deviations of each estimate -------------------------------


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("inputs", "outputs"), [(3, 20_000), (400, 200), (5_000, 20)])
def test_linear_starts_uniform_within_the_root_of_its_inputs(inputs, outputs, again):
    nn.manual_seed(8)
    layer = nn.Linear(inputs, outputs, **F64)
    if again:
        layer.reset_parameters(np.random.default_rng(8))
    a, weight, bias = 1 / np.sqrt(inputs), layer.weight.data.ravel(), layer.bias.data
    for w in (weight, bias):
        n = w.size
        assert np.abs(w).max() <= a
        assert abs(w.mean()) < 3 * a / np.sqrt(3 * n)
        assert abs(w.var() - a * a / 3) < 3 * a * a * np.sqrt(4 / 45 / n)
        assert np.abs(w).max() > a * (1 - 7 / n)  # all of n draws are below it once in 1,100 times
    assert abs(np.corrcoef(weight[: bias.size], bias)[0, 1]) < 3 / np.sqrt(bias.size)  # draws of their own


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize(("rows", "size"), [(50, 2_000), (30_000, 3)])
def test_embedding_starts_standard_normal(rows, size, again):
    nn.manual_seed(8)
    layer = nn.Embedding(rows, size, padding_idx=7, **F64)
    if again:
        layer.reset_parameters(np.random.default_rng(8))
    assert not layer.weight.data[7].any()
    w = np.delete(layer.weight.data, 7, 0).ravel()
    n = w.size
    assert abs(w.mean()) < 3 / np.sqrt(n)
    assert abs(w.var() - 1) < 3 * np.sqrt(2 / n)
    assert abs(np.mean(w**4) - 3) < 3 * np.sqrt(96 / n)


# --- values ---------------------------------------------------------------------------------------


def test_norms_equal_what_torch_gave_when_it_was_asked():
    g = GOLDEN
    for name, module, shape in [
        ("layer_norm", nn.LayerNorm(6, **F64), (5, 2, 6)),
        ("batch_norm", nn.BatchNorm1d(6, **F64), (10, 6)),
    ]:
        module.load_state_dict({"weight": g["weight"], "bias": g["bias"]}, strict=False)
        x = Variable(g["x"].reshape(shape))
        module(x.detach() * 2.0)
        y = module(x)
        y.backward(g["gy"].reshape(shape))
        got = {f"{name} y": y, f"{name} grad x": x.grad}
        got |= {f"{name} grad {k}": p.grad for k, p in module.named_parameters()}
        got |= {f"{name} buffer {k}": Variable(b) for k, b in module.named_buffers()}
        got |= {f"{name} eval": module.eval()(x)}
        assert got.keys() == {k for k in g if k.startswith(name)}
        for key, value in got.items():
            np.testing.assert_allclose(value.data, g[key], rtol=0, atol=1e-12, err_msg=key)


def test_gradients_of_the_norms_to_second_order(rng):
    for module, shape in [(nn.LayerNorm(4, **F64), (3, 4)), (nn.BatchNorm1d(3, **F64), (4, 3, 2))]:
        gradcheck(module, rng.normal(size=shape), order=2)


def test_batch_norm_in_float32_stays_there_and_rests_in_evaluation(rng):
    module = nn.BatchNorm1d(3)
    x = rng.normal(size=(8, 3)).astype(np.float32)
    assert module(x * 2).dtype == np.float32
    module.eval()
    before = module.state_dict()
    assert module(Variable(x)).dtype == np.float32
    for name, array in module.state_dict().items():
        np.testing.assert_array_equal(array, before[name])
        assert array.dtype == (np.int64 if name == "num_batches_tracked" else np.float32), name
    module.load_state_dict(before)
    assert int(module.num_batches_tracked) == 1
    module.train()(x)
    assert int(module.num_batches_tracked) == 2


def test_embedding_equals_one_hot_times_weight(rng):
    module = nn.Embedding(7, 3, **F64)
    i = rng.integers(0, 7, (4, 5))
    gy = rng.normal(size=(4, 5, 3))
    y = module(i)
    y.backward(gy)
    got = module.weight.grad.data
    module.zero_grad()
    want = Variable(nn.functional.one_hot(i, 7, np.float64)) @ module.weight
    want.backward(gy)
    np.testing.assert_allclose(y.data, want.data)
    np.testing.assert_allclose(got, module.weight.grad.data, atol=1e-14)


@pytest.mark.parametrize("padding_idx", [2, -5])
def test_padding_row_is_zero_and_gets_no_gradient(padding_idx):
    module = nn.Embedding(7, 3, padding_idx=padding_idx)
    assert module.padding_idx == 2 and not module.weight.data[2].any()
    y = module([[1, 2], [2, 3]])
    assert not y.data[0, 1].any()
    y.sum().backward()
    assert (module.weight.grad.data.sum(1) != 0).tolist() == [False, True, False, True, False, False, False]


def test_dropout(rng):
    x = np.ones((200, 100), np.float32)
    y = nn.Dropout(0.3, rng=np.random.default_rng(0))(Variable(x))
    assert y.dtype == np.float32 and set(np.unique(y.data)) == {np.float32(0), np.float32(1 / 0.7)}
    assert abs((y.data == 0).mean() - 0.3) < 4 * np.sqrt(0.21 / x.size)
    again = nn.Dropout(0.3, rng=np.random.default_rng(0))(Variable(x))
    np.testing.assert_array_equal(y.data, again.data)
    a = Variable(x)
    z = nn.Dropout(0.5)(a)
    z.sum().backward()
    np.testing.assert_array_equal(a.grad.data, z.data)
    module = nn.Dropout(0.5).eval()
    assert module(a) is a
    assert not nn.Dropout(1.0)(a).data.any() and nn.Dropout(0.0)(a) is a


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: nn.Linear(3, 4)(np.ones((2, 5), "f")),
            ValueError,
            r"Linear expected input of size 3",
        ),
        (lambda: nn.Linear(3, 4)(np.ones((2, 3))), TypeError, "Linear has float32 parameters, got float64"),
        (
            lambda: nn.LayerNorm(4)(np.ones((2, 3), "f")),
            ValueError,
            r"\(\.\.\., 4\), got \(2, 3\)",
        ),
        (lambda: nn.LayerNorm(3)(np.ones((2, 3))), TypeError, "LayerNorm has float32"),
        (
            lambda: nn.BatchNorm1d(3)(np.ones((2, 4), "f")),
            ValueError,
            r"\(N, 3\) or .* got \(2, 4\)",
        ),
        (lambda: nn.BatchNorm1d(3)(np.ones((1, 3), "f")), ValueError, "more than one value per feature"),
        (lambda: nn.BatchNorm1d(3)(np.ones((4, 3))), TypeError, "BatchNorm1d has float32"),
        (lambda: nn.Embedding(4, 2)([4]), IndexError, "indices from 0 to 3, got 4 to 4"),
        (lambda: nn.Embedding(4, 2)([-1]), IndexError, "got -1"),
        (lambda: nn.Embedding(4, 2)([0.5]), TypeError, "expected integer indices, got float64"),
        (lambda: nn.Embedding(4, 2, padding_idx=4), ValueError, "padding_idx within 4 rows, got 4"),
        (lambda: nn.Dropout(1.5), ValueError, "Dropout expected a probability between 0 and 1, got 1.5"),
        (lambda: nn.GELU("erf"), ValueError, "GELU expected approximate='none' or 'tanh', got 'erf'"),
        (lambda: nn.Softplus(0.0), ValueError, "positive beta"),
    ],
)
def test_bad_input_says_who_expected_and_got(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_repr():
    assert repr(nn.Linear(2, 3)) == "Linear(2, 3, bias=True)"
    assert repr(nn.Embedding(2, 3, padding_idx=1)) == "Embedding(2, 3, padding_idx=1)"
    assert repr(nn.LayerNorm(3)) == "LayerNorm((3,), eps=1e-05, elementwise_affine=True)"
    assert repr(nn.Softmax(1)) == "Softmax(dim=1)" and repr(nn.Tanh()) == "Tanh()"
