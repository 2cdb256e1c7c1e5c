"""The checker is itself checked: it must see small errors, at every order, and accept what is right."""

import numpy as np
import pytest

import autograd as ag
from autograd import Function, GradientError, engine, gradcheck, no_grad


def away_from_zero(rng, shape):
    """Numbers from 1 to 2: of a derivative that is nearly 0, atol allows more than one part in 2000."""
    return 1.0 + np.asarray(rng.random(shape))


class Cube(Function):
    """x³ with a gradient that is off by a factor, of first or of second order."""

    symbol, rule = "x³", "gx = 3 gy x²"

    def __init__(self, factor=1.0, order=1):
        self.factor, self.order = factor, order

    def forward(self, x):
        return x**3

    def backward(self, gy, x):
        if self.order == 1:
            return gy * (3.0 * self.factor) * x * x
        return gy * 3.0 * WrongSquare(self.factor)(x)


class WrongSquare(Function):
    symbol, rule = "x²", "gx = 2 gy x"

    def __init__(self, factor):
        self.factor = factor

    def forward(self, x):
        return np.square(x)

    def backward(self, gy, x):
        return gy * 2.0 * self.factor * x


@pytest.mark.parametrize("shape", [(), (3,), (4, 5), (50, 20)])
@pytest.mark.parametrize("factor", [1.0005, 0.9995])
def test_notices_a_gradient_wrong_by_one_part_in_2000(shape, factor, rng):
    x = away_from_zero(rng, shape)
    with pytest.raises(GradientError, match=r"order 1: .*input 0 .*expected .*got .*relative error 0\.0005"):
        gradcheck(lambda x: Cube(factor)(x), x)
    gradcheck(lambda x: Cube()(x), x, order=3)


@pytest.mark.parametrize("shape", [(), (3,), (4, 5)])
def test_notices_a_second_derivative_wrong_by_one_part_in_2000(shape, rng):
    x = away_from_zero(rng, shape)
    gradcheck(lambda x: Cube(1.0005, order=2)(x), x, order=1)
    with pytest.raises(GradientError, match="order 2"):
        gradcheck(lambda x: Cube(1.0005, order=2)(x), x, order=2)


def test_notices_an_error_in_one_element_and_names_the_input(rng):
    class OneWrong(Function):
        symbol, rule = "*", "ga = gy b, gb = gy a"

        def forward(self, a, b):
            return a * b

        def backward(self, gy, a, b):
            gb = gy * a
            return gy * b, gb * (1.0 + 0.0005 * (np.arange(gb.size).reshape(gb.shape) == 7))

    arrays = away_from_zero(rng, (3, 4)), away_from_zero(rng, (3, 4))
    with pytest.raises(GradientError, match="input 1 is wrong"):
        gradcheck(lambda a, b: OneWrong()(a, b), *arrays)


def test_notices_a_missing_gradient(rng):
    with pytest.raises(GradientError, match=r"input 1 is wrong.*got 0"):
        gradcheck(lambda a, b: a * 0.0 + b.detach() ** 2, np.ones(3), rng.standard_normal(3))


def test_notices_a_gradient_of_another_shape(rng, monkeypatch):
    """Its product with the direction may be right all the same."""
    monkeypatch.setattr(engine, "sum_to", lambda g, shape: g)
    with pytest.raises(GradientError, match=r"input 1: expected a gradient of shape \(4,\), got \(3, 4\)"):
        gradcheck(lambda a, b: a + b, np.ones((3, 4)), np.ones(4))


def test_notices_nan():
    with pytest.raises(GradientError, match="nan"), np.errstate(all="ignore"):
        gradcheck(lambda x: ag.sqrt(x - 1.0), np.zeros(2))


def test_accepts_what_is_right_to_third_order(rng):
    a, b = rng.standard_normal((3, 4)), rng.standard_normal((4, 2))
    gradcheck(lambda a, b: (ag.tanh(a @ b), ag.sigmoid(a).sum()), a, b, order=3)


def test_accepts_constants_float32_lists_and_several_outputs(rng):
    gradcheck(lambda x: ag.Variable(np.ones(2)) * 2.0 + x.sum() * 0.0, np.ones(3))
    gradcheck(lambda x: x.detach() * 0.0, np.ones(3))
    gradcheck(ag.tanh, rng.standard_normal(5).astype(np.float32), order=2)
    gradcheck(lambda x, i: ag.square(x)[i], [1.0, 2.0, 3.0], np.array([0, 0, 2]), order=2)
    gradcheck(lambda x: [x * 2.0, x * x], ag.Variable([1.0, 2.0]), order=2)


def test_works_inside_no_grad():
    with no_grad():
        gradcheck(ag.exp, np.ones(3), order=2)


def test_does_not_change_the_arrays(rng):
    x = rng.standard_normal(4)
    before = x.copy()
    x.flags.writeable = False
    gradcheck(ag.exp, x, order=2)
    assert np.array_equal(x, before)


@pytest.mark.parametrize("f", [lambda x: x.data, lambda x: 1.0, lambda x: [x, 2.0], lambda x: None])
def test_refuses_functions_of_something_else(f):
    with pytest.raises(TypeError, match="returns Variables"):
        gradcheck(f, np.ones(2))


def test_same_directions_every_time():
    messages = set()
    for _ in range(3):
        with pytest.raises(GradientError) as caught:
            gradcheck(lambda x: Cube(1.1)(x), np.arange(4.0))
        messages.add(str(caught.value))
    assert len(messages) == 1
