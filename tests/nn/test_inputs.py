"""What layers take besides Variables: arrays, lists, tables that turn into arrays. Arrays in initialisers."""

import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import nn
from autograd import Variable

F64 = {"dtype": np.float64}


class Table:
    """As much of a DataFrame as layers may ask for."""

    def __init__(self, values):
        self.values = np.asarray(values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


ROWS = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.5]]
STEPS = [[[0.5, -1.0, 2.0, 1.0], [1.5, 0.25, -0.5, 2.0]], [[-0.5, 1.0, 1.0, 0.0], [0.5, 0.75, -1.5, 3.0]]]
LAYERS = {
    "Linear": (lambda **o: nn.Linear(3, 2, **o), ROWS),
    "LayerNorm": (lambda **o: nn.LayerNorm(3, **o), ROWS),
    "LayerNorm without weights": (lambda **o: nn.LayerNorm(3, elementwise_affine=False), ROWS),
    "BatchNorm1d": (lambda **o: nn.BatchNorm1d(3, **o), ROWS),
    "BatchNorm2d": (lambda **o: nn.BatchNorm2d(2, **o), [STEPS]),
    "Conv1d": (lambda **o: nn.Conv1d(2, 3, 2, **o), STEPS),
    "Conv2d": (lambda **o: nn.Conv2d(2, 3, 2, **o), STEPS),
    "Conv3d": (lambda **o: nn.Conv3d(1, 2, 2, **o), [STEPS]),
    "CausalConv1d": (lambda **o: nn.CausalConv1d(2, 3, 2, **o), STEPS),
    "ConvTranspose1d": (lambda **o: nn.ConvTranspose1d(2, 3, 2, **o), STEPS),
    "ConvTranspose2d": (lambda **o: nn.ConvTranspose2d(2, 3, 2, **o), STEPS),
    "MaxPool1d": (lambda **o: nn.MaxPool1d(2), STEPS),
    "MaxPool2d": (lambda **o: nn.MaxPool2d(2), STEPS),
    "AvgPool1d": (lambda **o: nn.AvgPool1d(2), STEPS),
    "AvgPool2d": (lambda **o: nn.AvgPool2d(2), STEPS),
    "Dropout": (lambda **o: nn.Dropout(0.5).eval(), ROWS),
    "Flatten": (lambda **o: nn.Flatten(), STEPS),
    "Sequential": (lambda **o: nn.Sequential(nn.Linear(4, 2, **o), nn.ReLU()), STEPS),
    "ReLU": (lambda **o: nn.ReLU(), ROWS),
    "Softmax": (lambda **o: nn.Softmax(), ROWS),
    "LSTM": (lambda **o: nn.LSTM(4, 3, **o), STEPS),
    "Recurrent": (lambda **o: nn.Recurrent(nn.GRUCell(4, 3, **o)), STEPS),
    "LSTMCell": (lambda **o: nn.LSTMCell(3, 2, **o), ROWS),
}


def parts(y):
    found = []
    for part in y if isinstance(y, tuple | list) else (y,):
        found += parts(part) if isinstance(part, tuple | list) else [getattr(part, "data", part)]
    return [np.asarray(part) for part in found]


@pytest.mark.parametrize("name", LAYERS)
def test_arrays_lists_and_tables(name):
    make, values = LAYERS[name]
    layer, x = make(**F64), np.array(values)
    expected = parts(layer(Variable(x)))
    for given in (x, values, Table(x), tuple(values)):
        for a, b in zip(parts(layer(given)), expected, strict=True):
            assert_array_equal(a, b)


@pytest.mark.parametrize("name", LAYERS)
def test_numbers_in_lists_take_the_dtype_of_the_weights(name):
    make, values = LAYERS[name]
    layer = make()
    if not list(layer.parameters()):
        pytest.skip("no weights")
    expected = parts(layer(np.array(values, np.float32)))
    for a, b in zip(parts(layer(values)), expected, strict=True):
        assert a.dtype == np.float32
        assert_array_equal(a, b)
    for given in (np.array(values), Table(values)):  # these have a dtype, and it is another one
        with pytest.raises(TypeError, match="float64 input: use x.astype"):
            layer(given)


def test_whole_numbers_in_lists():
    layer = nn.Linear(2, 1)
    assert_array_equal(layer([[1, 2]]).data, layer(np.array([[1.0, 2.0]], "f")).data)


INITIALISERS = [
    name for name in nn.init.__all__ if name.endswith("_") and name not in ("forget_bias_", "constant_")
]


@pytest.mark.parametrize("name", INITIALISERS)
def test_initialisers_fill_arrays(name):
    f = getattr(nn.init, name)
    more = {"fan_in": 4} if "fan_in" in inspect.signature(f).parameters else {}
    array, p = np.full((3, 4), 7.0, np.float32), nn.Parameter(np.full((3, 4), 7.0, np.float32))
    nn.manual_seed(1)
    assert f(array, **more) is array
    nn.manual_seed(1)
    f(p, **more)
    assert_array_equal(array, p.data)
    assert not (array == 7.0).any()


def test_constants_fill_arrays():
    a = np.zeros((2, 3))[:, 1:]
    nn.init.constant_(a, 2.5)
    assert_array_equal(a.base[:, 0], 0.0)
    assert_array_equal(a, 2.5)
