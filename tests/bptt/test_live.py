"""The table of a live page, and its file; what a browser makes of them is in `test_live_page`."""

import base64
import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import live


def lstm(steps=20, size=8):
    nn.manual_seed(0)
    net = nn.Sequential(nn.LSTM(2, size, dtype=np.float64))
    head = nn.Linear(size, 1, dtype=np.float64)
    x = np.random.default_rng(0).normal(size=(steps, 1, 2))
    with live.record() as page:
        y, _ = net(x)
        loss = ag.square(head(y[-1]) - 1.0).sum()
    return net, loss, page


def test_one_file_without_network_that_is_not_large(tmp_path):
    net, loss, page = lstm()
    path = page.save(loss, tmp_path / "live.html", net, title="A <b> & c")
    text = path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["live.html"]
    assert len(text.encode()) < 400_000
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|https?://(?!www\.w3\.org/)", text)
    assert not re.search("%(TITLE|DATA|CSS|ENGINE|PAGE)%", text)
    assert "<title>A &lt;b&gt; &amp; c</title>" in text


def test_texts_of_a_model_stay_data(tmp_path):
    with live.record() as page:
        loss = (Variable([1.0], name="</script><b>%PAGE%") * 2.0).sum()
    text = page.html(loss)
    assert "</script><b>" not in text
    assert text.count("%PAGE%") == 1


def test_the_table_of_a_small_graph():
    x = Variable([1.0, 2.0], name="x")
    with live.record() as page:
        loss = (x[1] * np.array(3.0) + x[0]).sum()
    (model,) = page.data(loss)["models"]
    assert model["ops"] == ["Index", "Mul", "Add", "Sum"]
    assert [leaf["name"] for leaf in model["leaves"]] == ["x", ""]
    assert [leaf["kind"] for leaf in model["leaves"]] == ["weight", "constant"]
    assert model["nodes"][1][1] == [[0, 0], 1]  # output 0 of the first node, and the second leaf
    assert model["expected"]["loss"] == 7.0
    assert [(s["name"], len(s["items"])) for s in model["states"]] == [("y of operations", 5)]


def test_what_a_loop_carries_is_a_state():
    _, loss, page = lstm(steps=3, size=2)
    (model,) = page.data(loss)["models"]
    assert [s["name"] for s in model["states"]] == ["h", "c"]
    assert [[item["step"] for item in s["items"]] for s in model["states"]] == [[0, 1, 2]] * 2
    assert {tuple(link[2:]) for link in model["links"]} == {(0, 1), (1, 2)}


def test_a_sum_of_losses_over_the_loop_is_no_state():
    h, loss = Variable([1.0], name="w"), 0.0
    with live.record() as page:
        for t in range(3):
            with ag.step(t):
                h = ag.tanh(h)
                loss = loss + h.sum()
    (model,) = page.data(loss)["models"]
    assert [(s["name"], s["axis"], len(s["items"])) for s in model["states"]] == [("h", "t", 3)]


def test_the_places_of_a_reversed_loop_count_from_its_start():
    nn.manual_seed(0)
    rnn = nn.Recurrent(nn.RNNCell(1, 2), reverse=True)
    with live.record() as page:
        loss = rnn(np.ones((3, 1, 1), "f"))[0].sum()
    (model,) = page.data(loss)["models"]
    assert {tuple(link[2:]) for link in model["links"]} == {(0, 1), (1, 2)}


def test_constants_are_copied_when_they_are_used():
    """A loop may read its inputs into one array, which holds the last of them in the end."""
    w, x = Variable([2.0], name="w"), np.zeros(1)
    losses = []
    with live.record() as page:
        for value in (3.0, 5.0):
            x[:] = value
            losses.append(w + x)
        loss = sum(losses).sum()
    (model,) = page.data(loss)["models"]
    numbers = [np.frombuffer(base64.b64decode(text)) for text in model["numbers"]]
    assert {3.0, 5.0} <= {float(a[0]) for a in numbers}


def test_a_value_that_was_detached_is_the_output_of_its_node():
    x = Variable([1.0], name="x")
    with live.record() as page:
        y = ag.exp(x)
        loss = (y * y.detach()).sum()
    (model,) = page.data(loss)["models"]
    assert model["nodes"][1][1] == [[0, 0], [0, 0, 1]]


def test_errors_say_what_to_do():
    x = Variable([1.0, 2.0])
    with live.record() as page:
        y = x + np.array([1.0, 2.0])
        loss = y.sum()
    with pytest.raises(ValueError, match=r"one element: sum\(\) it first"):
        page.html(y)
    outside = (x + np.array([1.0, 2.0])).sum()
    with pytest.raises(RuntimeError, match=r"compute the loss inside of `with live.record\(\) as page:`"):
        page.html(outside)
    with pytest.raises(RuntimeError, match="the loss was not computed from anything"):
        page.html(Variable(1.0))
    with pytest.raises(ValueError, match=r"the titles of the losses, \['a'\], got \['b'\]"):
        page.html({"a": loss}, {"b": None})
    loss.backward()
    with pytest.raises(RuntimeError, match=r"call live before backward\(\)"):
        page.html(loss)


def test_recording_leaves_no_trace():
    x = Variable([1.0, 2.0])
    with live.record() as page:
        loss = ag.exp(x).sum()
    page.html(loss)
    assert x.grad is None
    loss.backward()
    np.testing.assert_allclose(x.grad.data, np.exp([1.0, 2.0]))


def test_what_the_page_cannot_run_is_counted():
    x = Variable(np.eye(2))
    with live.record() as page:
        loss = (ag.linalg.inv(x) @ ag.linalg.inv(x)).sum() + ag.checkpoint(ag.exp, x).sum()

    class Tanh(ag.Function):  # not the one of ours
        def forward(self, x):
            return x

        def backward(self, gy):
            return gy

    assert page.data(loss)["models"] == [{"title": "", "unknown": ["Inv (2 times)", "Checkpoint"]}]
    with live.record() as page:
        loss = Tanh()(x).sum()
    assert page.data(loss)["models"] == [{"title": "", "unknown": ["Tanh"]}]


def test_a_hundred_steps_take_work_in_proportion():
    from tests.cases.costs import calls

    def cost(steps):
        _, loss, page = lstm(steps)
        return calls(lambda: page.data(loss))

    few, many = cost(20), cost(80)
    assert many < 5 * few
