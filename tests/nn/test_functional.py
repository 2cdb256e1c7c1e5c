"""Stateless functions of nn: padding, embedding, one-hot, dropout, layer_norm. Losses have their own."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn
import nn.functional as F
from autograd import Variable, gradcheck

# --- padding --------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(
    lengths=st.lists(st.integers(0, 5), min_size=1, max_size=5),
    rest=st.lists(st.integers(0, 3), max_size=2),
    batch_first=st.booleans(),
    value=st.floats(-2, 2),
)
def test_unpad_undoes_pad(lengths, rest, batch_first, value):
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(n, *rest)) for n in lengths]
    padded = nn.pad_sequence(sequences, batch_first, value)
    assert isinstance(padded, np.ndarray)
    rows = padded if batch_first else np.swapaxes(padded, 0, 1)
    assert rows.shape == (len(lengths), max(lengths), *rest)
    for row, sequence in zip(rows, sequences, strict=True):
        np.testing.assert_array_equal(row[: len(sequence)], sequence)
        assert (row[len(sequence) :] == value).all()
    for a, b in zip(nn.unpad_sequence(padded, lengths, batch_first), sequences, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_go_through_padding(rng):
    def f(*xs):
        padded = nn.pad_sequence(xs, padding_value=3.0)
        return padded * padded, *nn.unpad_sequence(padded, [2, 0, 3])

    gradcheck(f, *[rng.normal(size=(n, 2)) for n in (2, 0, 3)])


def test_padding_keeps_the_dtype_and_takes_lists():
    assert nn.pad_sequence([np.ones(2, np.float32), np.ones(3, np.float32)]).dtype == np.float32
    np.testing.assert_array_equal(nn.pad_sequence([[1, 2], [3]], batch_first=True), [[1, 2], [3, 0]])
    assert nn.pad_sequence([np.array([1, 2])]).dtype.kind == "i"


# --- the rest -------------------------------------------------------------------------------------


def test_layer_norm_has_zero_mean_and_unit_variance_per_sample(rng):
    x = rng.normal(3.0, 5.0, (4, 2, 50))
    for shape in (50, (50,), (2, 50)):
        y = F.layer_norm(Variable(x), shape).data
        axes = (-1,) if shape != (2, 50) else (-2, -1)
        np.testing.assert_allclose(y.mean(axes), 0, atol=1e-13)
        np.testing.assert_allclose(y.var(axes), 1, atol=1e-5)
    gradcheck(
        lambda x, w, b: F.layer_norm(x, 4, w, b), *[rng.normal(size=s) for s in [(3, 4), 4, 4]], order=2
    )


def test_layer_norm_of_a_constant_row_is_the_bias():
    y = F.layer_norm(Variable(np.full((2, 4), 7.0)), 4, None, np.arange(4.0))
    np.testing.assert_array_equal(y.data, np.tile(np.arange(4.0), (2, 1)))


def test_one_hot():
    y = F.one_hot([[0, 2], [1, 1]], 3)
    assert y.dtype == np.float32 and y.shape == (2, 2, 3)
    np.testing.assert_array_equal(y.argmax(-1), [[0, 2], [1, 1]])
    assert F.one_hot(np.zeros((2, 0), int), 3, np.float64).shape == (2, 0, 3)


def test_embedding_adds_up_repeated_rows(rng):
    gradcheck(lambda w: F.embedding([1, 1, 0], w), rng.normal(size=(3, 2)))
    weight = Variable(rng.normal(size=(3, 2)))
    F.embedding(np.array([1, 1, 2]), weight, padding_idx=2).sum().backward()
    np.testing.assert_array_equal(weight.grad.data, [[0, 0], [2, 2], [0, 0]])
    assert F.embedding(np.zeros((0,)), weight).shape == (0, 2)


def test_dropout_keeps_the_mean_and_the_mask_in_the_gradient(rng):
    x = Variable(rng.normal(size=(100, 100)))
    y = F.dropout(x, 0.25, rng=rng)
    y.sum().backward()
    kept = y.data != 0
    np.testing.assert_allclose(y.data[kept], x.data[kept] / 0.75, rtol=1e-15)
    np.testing.assert_allclose(x.grad.data, kept / 0.75, rtol=1e-15)
    assert F.dropout(x, 0.25, training=False) is x


def test_activations_are_found_by_name_or_given():
    for name, f in F.ACTIVATIONS.items():
        assert F.activation_function("Cell", name) is f is getattr(F, name)
    assert F.activation_function("Cell", np.sin) is np.sin


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.pad_sequence([]), ValueError, "at least one sequence"),
        (lambda: nn.pad_sequence([np.ones((2, 3)), np.ones((2, 4))]), ValueError, r"\[\(2, 3\), \(2, 4\)\]"),
        (lambda: nn.pad_sequence([np.ones(())]), ValueError, "shape \\(T, ...\\)"),
        (lambda: nn.unpad_sequence(np.ones((3, 2)), [1]), ValueError, r"lengths expected shape \(2,\)"),
        (lambda: nn.unpad_sequence(np.ones((3, 2)), [1, 4]), ValueError, "from 0 to T=3, got 1 to 4"),
        (lambda: nn.unpad_sequence(np.ones((3, 2)), [1.0, 2.0]), TypeError, "expected integers, got float64"),
        (lambda: F.one_hot([3], 3), IndexError, "one_hot expected indices from 0 to 2, got 3 to 3"),
        (lambda: F.embedding([3], np.ones((3, 2))), IndexError, "embedding expected indices from 0 to 2"),
        (lambda: F.dropout(Variable([1.0]), -0.1), ValueError, "dropout expected a probability"),
        (lambda: F.activation_function("Me", "swish"), ValueError, "Me expected an activation out of tanh"),
    ],
)
def test_bad_input_says_who_expected_and_got(call, error, message):
    with pytest.raises(error, match=message):
        call()
