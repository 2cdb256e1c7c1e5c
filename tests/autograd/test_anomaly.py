"""`detect_anomaly` names the first operation that went wrong, where it was called, and when."""

import gc
import re
import threading

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, detect_anomaly


@pytest.mark.parametrize(("value", "kind"), [(-1.0, "NaN"), (0.0, "infinity")])
def test_forward(value, kind):
    x = Variable(np.array([1.0, value]))
    with pytest.raises(FloatingPointError) as caught, detect_anomaly(), np.errstate(all="ignore"):
        with ag.scope("encoder"), ag.step(3):
            y = ag.log(x * 2.0)  # the line
        y.sum()
    text = str(caught.value)
    assert re.match(rf"{kind} first in Log\(shapes \(2,\)\) at encoder step 3", text)
    assert f"from {min(2, 2 * value):.4g} to 2" in text
    assert "test_anomaly.py" in text and "# the line" in text


def test_backward():
    x = Variable(np.array([0.0, 4.0]))
    with pytest.raises(FloatingPointError) as caught, detect_anomaly(), np.errstate(all="ignore"):
        ag.sqrt(x).sum().backward()
    assert "infinity first in the gradient of input 0 of Sqrt(shapes (2,))" in str(caught.value)
    assert "ag.sqrt(x).sum()" in str(caught.value)


def test_both_lines_of_a_layer():
    layer = nn.LSTM(2, 3)
    layer.stack.layers[0].cell.weight_hh.data[0, 0] = np.nan
    with pytest.raises(FloatingPointError) as caught, detect_anomaly():
        layer(np.ones((4, 1, 2), "f"))  # the user's line
    text = str(caught.value)
    assert "base.py" in text and "# the user's line" in text


def test_elements_written_into_a_saved_leaf():
    w = Variable(np.ones(3), name="w")
    with detect_anomaly():
        y = (w * w).sum()
        w.data[1] = 5.0
        with pytest.raises(RuntimeError, match=r"elements of leaf w \(3,\) were changed"):
            y.backward()


def test_elements_written_into_a_leaf_of_which_a_view_is_saved():
    w, x = Variable(np.ones((3, 2)), name="w"), Variable(np.ones((1, 2)))
    with detect_anomaly():
        y = (x @ w.T).sum()
        w.data[1] = 5.0
        with pytest.raises(RuntimeError, match=r"elements of leaf w \(3, 2\) were changed"):
            y.backward()


def test_finite_work_passes_and_nothing_is_left():
    x = Variable(np.ones(3))
    with detect_anomaly():
        (ag.exp(x) * x).sum().backward()
    assert x.grad is not None
    with np.errstate(all="ignore"):
        ag.log(x * 0.0)  # outside again: silent


def test_only_this_thread_is_watched():
    found = []

    def other():
        with np.errstate(all="ignore"):
            found.append(ag.log(Variable(np.zeros(1))).data[0])

    with detect_anomaly():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert found == [-np.inf]


def test_pause_gc_puts_the_collector_back():
    assert gc.isenabled()
    with ag.pause_gc():
        assert not gc.isenabled()
        with ag.pause_gc():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), ag.pause_gc():
        1 / 0  # noqa: B018
    assert gc.isenabled()

    @ag.pause_gc()
    def off():
        return gc.isenabled()

    assert off() is False and gc.isenabled()


def test_inputs_are_counted_from_zero():
    a, b = Variable(np.array([1.0, 2.0])), Variable(np.array([0.0, 4.0]))
    with pytest.raises(FloatingPointError) as caught, detect_anomaly(), np.errstate(all="ignore"):
        a / b
    assert "infinity first in Div" in str(caught.value)
    assert "input 0 from 1 to 2; input 1 from 0 to 4" in str(caught.value)


@pytest.mark.parametrize("first", [True, False])
def test_gradients_are_counted_as_their_inputs(first):
    """1/y of a small y is finite, its derivative -1/y² is not: the other input's gradient is fine."""
    x, y = Variable(np.ones(1)), Variable(np.full(1, 1e-200))
    with pytest.raises(FloatingPointError) as caught, detect_anomaly(), np.errstate(all="ignore"):
        (x / y if first else ag.power(y, Variable(np.full(1, -1.0)))).sum().backward()
    assert f"infinity first in the gradient of input {1 if first else 0} of" in str(caught.value)


def test_nan_is_told_where_there_is_infinity_as_well():
    x = Variable(np.array([0.0, -1.0, 1.0]))
    wrong = pytest.raises(FloatingPointError, match="^NaN first in Log")
    with wrong, detect_anomaly(), np.errstate(all="ignore"):
        ag.log(x)
