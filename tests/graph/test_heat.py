"""Heat in drawings: what flows over every arrow, against gradients that the engine computes another way."""

import math
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
import nn
from autograd import Parameter, Variable
from autograd.core import Constant, Slot, computed
from autograd.graph import draw
from autograd.graph.fold import Fold
from autograd.graph.picture import dot
from autograd.graph.picture.folded import folded as folded_view
from autograd.graph.picture.heat import Heat
from autograd.graph.picture.modular import modules
from autograd.graph.picture.names import Names
from autograd.graph.picture.unrolled import unrolled as unrolled_view
from autograd.graph.reading import Reading, results_of
from autograd.graph.timesteps import Rows

RNG = np.random.default_rng


def constant(*shape, name=None):
    return Variable(RNG(sum(shape)).normal(size=shape), requires_grad=False, name=name)


def weight(*shape, name=None):
    return Parameter(RNG(7 + sum(shape)).normal(size=shape) / math.sqrt(shape[0]), name=name)


def watched(loss, retain_graph=False):
    with ag.watch() as watch:
        loss.backward(retain_graph=retain_graph)
    return watch


def unrolled(loss, watch, **options):
    """The unrolled view with its heat, as `draw` makes them."""
    reading = Reading(results_of(loss)).join_sums()
    view = unrolled_view(reading, Rows(reading), heated=True, **options)
    return view, Heat(reading, watch, view.parts)


def folded(loss, watch, **options):
    reading = Reading(results_of(loss)).join_sums()
    view = folded_view(Fold(reading), heated=True, **options)
    return view, Heat(reading, watch, view.parts)


def size_of(heat, arrow):
    (size,) = heat._sizes(arrow)
    return size


# --- every arrow of a dozen models ----------------------------------------------------------------


def layer(rnn, features, x=None):
    model = nn.Sequential(nn.Recurrent(rnn), nn.Linear(features, 2)) if isinstance(rnn, nn.Cell) else rnn
    with ag.stepwise():
        y = model(constant(3, 2, 4) if x is None else x)
    return ag.mean((y[0] if isinstance(y, tuple) else y) ** 2.0)


def plain_loop(T=4):
    W, U = weight(3, 3, name="W"), weight(2, 3, name="U")
    h, states = constant(1, 3, name="h0"), []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(constant(1, 2, name="x") @ U + h @ W)
            h.name = "h"
            states.append(h)
    return states


def conv_lstm():
    return layer(
        nn.Recurrent(nn.ConvLSTMCell(1, 2, 3, peephole=(4, 4), dtype=float)), 2, constant(3, 1, 1, 4, 4)
    )


def attention():
    model = nn.EncoderDecoder(5, 5, 3, 4, dtype=float)
    with ag.stepwise():
        y = model(np.array([[1, 2], [3, 4], [0, 1]]), np.array([[0, 0], [1, 2], [3, 3]]))
    return ag.mean(y**2.0)


def tree():
    model = nn.Recursive(nn.ChildSumTreeLSTMCell(3, 4, dtype=float))
    a, b, c, d = RNG(0).normal(size=(4, 3))
    return ag.sum(model(((a, b), (c, (d, a))))[0] ** 2.0)


def used_twice():
    """A weight as it is, transposed, and normalised before the loop; a value squared."""
    W, g = weight(3, 3, name="W"), Parameter(np.full((3,), 1.5), name="g")
    V = g * W / ag.sqrt(ag.sum(W * W, axis=0))
    h = constant(2, 3)
    for t in range(3):
        with ag.step(t):
            h = ag.tanh(h @ W + (h @ W.T) @ V)
    return ag.sum(h * h)


def numbers():
    """Python numbers before and after, a sum of parts of another shape."""
    x, b = Variable(RNG(1).normal(size=(2, 3)), name="x"), weight(3, name="b")
    h = 1.0 - x * 0.5
    return ag.mean((2.0 * h + b - 3.0 / (x * x + 1.0)) ** 2.0) + sum([ag.sum(h * b) for _ in range(3)])


def several_outputs():
    """Splits whose parts are used once, twice and not at all; indices of a stack, a stack taken apart."""
    x, W = Variable(RNG(1).normal(size=(2, 6)), name="x"), weight(2, 2, name="W")
    a, b, _ = ag.split(x, 3, axis=1)
    states = [a]
    for t in range(3):
        with ag.step(t):
            states.append(ag.tanh(states[-1] @ W + b))
    first, *_, last = ag.unstack(ag.stack(states[1:]))
    return ag.sum(first * last) + (ag.stack(states)[2] ** 2.0).sum()


MODELS = {
    "RNN": lambda: layer(nn.RNN(4, 3, dtype=float), 3),
    "deep RNN": lambda: layer(nn.RNN(4, 3, num_layers=2, dtype=float), 3),
    "GRU": lambda: layer(nn.GRU(4, 3, dtype=float), 3),
    "LSTM": lambda: layer(nn.LSTM(4, 3, dtype=float), 3),
    "bidirectional": lambda: layer(nn.LSTM(4, 3, bidirectional=True, dtype=float), 6),
    "attention": attention,
    "ConvLSTM": conv_lstm,
    "tree": tree,
    "WaveNet": lambda: ag.mean(nn.WaveNet(2, 3, 4, layers=3, dtype=float)(constant(2, 2, 9)) ** 2.0),
    "residual": lambda: layer(nn.Recurrent(nn.Residual(nn.GRUCell(4, 4, dtype=float))), 4),
    "truncated": lambda: layer(nn.Recurrent(nn.RNNCell(4, 3, dtype=float), truncate=2), 3),
    "used twice": used_twice,
    "several outputs": several_outputs,
    "numbers": numbers,
    "one of a stack": lambda: (ag.stack(plain_loop())[3] ** 2.0).sum(),
}


def every_arrow(make, view_of, **options):
    """How far what flows into values is from their gradients at most, and how many arrows there are."""
    nn.manual_seed(0)
    loss = make()
    view, heat = view_of(loss, watched(loss, retain_graph=True), **options)
    arrived = {}
    for arrow in view.arrows:
        flows = heat._flows.get(arrow, {}).values()
        assert arrow.cut or isinstance(arrow.tail[0], Constant) or any(flows), "an arrow without a number"
        for flow in flows:
            for value, g in flow.items():
                arrived[value] = arrived[value] + g if value in arrived else g
    keys = [Slot(item, k) if getattr(item, "multi_output", False) else item for item, k in arrived]
    xs = [key if isinstance(key, Variable) else computed(_zeros(key), key) for key in keys]
    gs = ag.grad(loss, xs, retain_graph=True)
    worst = 0.0
    for g, total in zip(gs, arrived.values(), strict=True):
        worst = max(worst, np.abs(g.data - total).max() / max(np.abs(g.data).max(), 1e-300))
    return worst, len(view.arrows)


def _zeros(key):
    node, k = key if isinstance(key, Slot) else (key, None)
    return np.zeros(node.out_shape if k is None else node.out_shape[k])


@pytest.mark.parametrize("name", MODELS)
def test_what_flows_into_a_value_adds_up_to_its_gradient(name):
    worst, arrows = every_arrow(MODELS[name], unrolled)
    assert worst < 1e-12
    assert arrows > 8
    assert every_arrow(MODELS[name], folded)[0] < 1e-12


@pytest.mark.parametrize("hide", [{"mover"}, {"constant", "Transpose"}, {"Sigmoid", "Add"}])
@pytest.mark.parametrize("name", ["LSTM", "attention", "several outputs", "used twice", "numbers"])
def test_it_does_so_around_what_is_left_out(name, hide):
    assert every_arrow(MODELS[name], unrolled, hide=hide)[0] < 1e-12
    assert every_arrow(MODELS[name], folded, hide=hide)[0] < 1e-12


@pytest.mark.parametrize("name", ["LSTM", "attention", "residual", "several outputs"])
@pytest.mark.parametrize("steps", [{1}, {0, 2}])
def test_stubs_of_steps_that_are_not_drawn_carry_what_flows_there(name, steps):
    """What flows into a value that is drawn, from steps that are not, is part of its gradient."""
    nn.manual_seed(0)
    loss = MODELS[name]()
    view, heat = unrolled(loss, watched(loss), steps=steps)
    stubs = [a for a in view.arrows if type(a.tail[0]).__name__ == "Elided"]
    assert stubs
    assert all(heat._sizes(a) for a in stubs if a.head[1] is not None)
    for item, frame in view.idents:
        if (
            isinstance(item, ag.Function)
            and frame in view.steps.shown
            and not item.multi_output
            and item not in view.copies.nodes
        ):
            flows = [
                heat._flows[a][None][item, 0] for a in view.arrows if a.tail[0] is item and a.tail[1] == frame
            ]
            assert_allclose(sum(flows), heat.watch.gradient(item), rtol=1e-10)


# --- single arrows --------------------------------------------------------------------------------


def test_a_path_that_is_not_used_is_exactly_zero():
    states = plain_loop()
    loss = (ag.stack(states)[3] ** 2.0).sum()
    view, heat = unrolled(loss, watched(loss))
    into_stack = [a for a in view.arrows if isinstance(a.head[0], ag.Function) and a.head[0].label == "Stack"]
    assert [size_of(heat, a) > 0 for a in into_stack] == [False, False, False, True]
    assert all(heat.vertex(a.tail[0], a.tail[1])[0] > 0 for a in into_stack)  # by way of the next step
    source = draw(loss, watch=heat.watch).source
    assert len(re.findall(r'\|contribution\| = 0".*style="dashed" penwidth="0.6"', source)) >= 3


def test_two_ways_of_very_different_size():
    h = ag.tanh(Variable(np.array([1.0, 2.0, 3.0]), name="x"))
    loss = (h * 1e-6).sum() + (h * 1e3).sum()
    view, heat = unrolled(loss, watched(loss))
    found = sorted(size_of(heat, a) for a in view.arrows if a.tail[0] is h.creator)
    assert_allclose(found, [1e-6 * math.sqrt(3), 1e3 * math.sqrt(3)])
    source = draw(loss, watch=heat.watch).source
    widths = [float(w) for w in re.findall(r'n0 -> n\d+ .*penwidth="([\d.]+)"', source)]
    assert sorted(widths) == [0.6, 4.0]


def test_the_two_paths_of_an_lstm_are_told_apart():
    """By way of the next memory, and by way of the output: against passes that leave one of them out."""
    cell = nn.LSTMCell(2, 3, dtype=float)
    xs = RNG(0).normal(size=(4, 1, 2))
    state, fixed = cell.initial_state(xs), cell.prepare(xs)
    memories, outputs = [], []
    for t in range(4):
        with ag.step(t):
            state = cell.step(cell.project(Variable(xs[t], requires_grad=False)), state, fixed)
            outputs.append(state[0])
            memories.append(state[1])
    loss = sum((h * h).sum() for h in outputs)
    view, heat = unrolled(loss, watched(loss, retain_graph=True))
    for c, h in zip(memories[:-1], outputs[:-1], strict=True):
        arrows = {a.head[0].label: size_of(heat, a) for a in view.arrows if a.tail[0] is c.creator}
        assert set(arrows) == {"Tanh", "Mul"}
        by_memory = ag.grad(loss, c, without=[h], retain_graph=True)
        by_output = ag.grad(loss, c, retain_graph=True).data - by_memory.data
        assert_allclose(arrows["Mul"], np.linalg.norm(by_memory.data), rtol=1e-12)
        assert_allclose(arrows["Tanh"], np.linalg.norm(by_output), rtol=1e-12)


def test_what_comes_from_outside_of_the_drawing_is_on_the_arrow_to_the_result():
    states = plain_loop()
    loss = (states[1] ** 2.0).sum() + (states[3] ** 2.0).sum()
    view, heat = unrolled(states, watched(loss))
    found = [size_of(heat, a) for a in view.arrows if isinstance(a.head[0], int)]
    expected = [0.0, np.linalg.norm(2 * states[1].data), 0.0, np.linalg.norm(2 * states[3].data)]
    assert_allclose(found, expected, rtol=1e-12)
    assert found[2] == 0.0  # all of its gradient comes from the drawn step after it


def test_no_gradient_flows_over_a_cut():
    states = plain_loop()
    h = states[1].detach()
    loss = (h * states[3]).sum()
    view, heat = unrolled(loss, watched(loss))
    cuts = [a for a in view.arrows if a.cut]
    assert len(cuts) == 1
    assert not any(heat._sizes(a) for a in cuts)
    assert draw(loss, watch=heat.watch).source.count("normaltee") == 2


def test_arrows_that_fork_where_nothing_is_drawn():
    """A linear operation is told apart into its ways, another one is not, and the drawing says so."""
    x = Variable(np.array([1.0, 2.0]), name="x")

    def fork(f):
        y = f(x)
        loss = (y * 2.0).sum() + (y * 3.0).sum()
        return loss, watched(loss)

    loss, watch = fork(lambda x: x.reshape(2, 1))
    view, heat = unrolled(loss, watch, hide={"Reshape"})
    assert_allclose(sorted(size_of(heat, a) for a in view.arrows if a.tail[0] is x), np.sqrt([8.0, 18.0]))
    loss, watch = fork(ag.tanh)
    source = draw(loss, watch=watch, hide={"Tanh"}).source
    assert source.count('tooltip="not told apart"') == 2
    assert "operations left out, not told apart" in source


def test_operations_left_out_hand_on_all_that_they_got():
    """y is used by sin and by the product, both left out: its share is complete only after both."""
    x = Variable(np.array([0.5, 1.0]), name="x")
    y = ag.exp(x)
    loss = (y * ag.sin(y)).sum()
    view, heat = unrolled(loss, watched(loss), hide={"Exp", "Sin", "Mul"})
    (arrow,) = [a for a in view.arrows if a.tail[0] is x]
    assert_allclose(size_of(heat, arrow), np.linalg.norm(x.grad.data), rtol=1e-12)


def test_of_an_operation_with_a_hook_shares_are_unknown():
    x = Variable(np.array([1.0, 2.0]), name="x")
    y = x.reshape(2, 1)
    y.register_hook(lambda g: g.clip(-1.0, 1.0))
    loss = (y * 2.0).sum() + (y * 3.0).sum()
    source = draw(loss, watch=watched(loss), hide={"Reshape"}).source
    assert source.count('tooltip="not told apart"') == 2


def test_what_is_known_does_not_make_the_rest_known():
    """Folded, x by way of tanh and x itself share one arrow to the product."""
    x = Variable(np.array([1.0, 2.0]), name="x")
    y = ag.tanh(x)
    loss = (y * x).sum() + (y * 3.0).sum()
    view, heat = folded(loss, watched(loss), hide={"Tanh"})
    sizes = [heat._sizes(a) for a in view.arrows if a.tail[0] is x]
    assert sizes == [[], []]


def test_rounding_is_not_something_from_outside():
    """Two passes: sums per pass and sums per use differ in their last digits."""
    W, x = Variable(np.array([0.1, 0.7]), name="W"), Variable(np.array([1.0, 1.0]), name="x")
    h = W * x
    loss = (h * 0.1 + (h * 0.3) * h).sum()
    with ag.watch() as watch:
        loss.backward(np.float64(0.1), retain_graph=True)
        loss.backward(np.float64(0.7), retain_graph=True)
    view, heat = unrolled([h, loss], watch)
    (arrow,) = [a for a in view.arrows if a.tail[0] is h.creator and a.head[0] == 0]
    assert size_of(heat, arrow) == 0.0


def test_a_hook_does_not_hide_what_flows():
    x = Variable(np.array([1.0, 2.0]), name="x")
    h = x * 2.0
    h.register_hook(lambda g: g * 10.0)
    loss = h.sum()
    view, heat = unrolled(loss, watched(loss))
    sizes = {(a.tail[0], a.head[0]): size_of(heat, a) for a in view.arrows}
    assert_allclose(sizes[h.creator, loss.creator], math.sqrt(2))
    assert_allclose(sizes[x, h.creator], 20 * math.sqrt(2))


def test_sizes_beyond_the_squares_of_floats():
    x = Variable(np.array([1.0, 1.0]), name="x")
    loss = (x * 1e-200).sum() + (x * 1e200).sum()
    _, heat = unrolled(loss, watched(loss))
    assert_allclose([heat.low, heat.high], [1e-200 * math.sqrt(2), 1e200 * math.sqrt(2)])


def test_drawing_with_a_watch_leaves_the_graph_as_it_is():
    loss = MODELS["LSTM"]()
    before = draw(loss).source
    watch = watched(loss)
    first = draw(loss, watch=watch).source
    for view in ("folded", "module", "ops"):
        draw(loss, watch=watch, view=view)
    assert draw(loss, watch=watch).source == first
    assert draw(loss).source == before


# --- folded ---------------------------------------------------------------------------------------


def test_a_folded_arrow_tells_the_smallest_and_the_largest_step():
    states = plain_loop(6)
    loss = (states[-1] ** 2.0).sum()
    watch = watched(loss, retain_graph=True)
    view, heat = folded(loss, watch)
    (arrow,) = [a for a in view.arrows if 1 in view.reading.delays.get((a.tail[0], a.k, a.head[0]), ())]
    expected = [np.linalg.norm(ag.grad(loss, h, retain_graph=True).data) for h in states[:-1]]
    assert_allclose(sorted(heat._sizes(arrow)), sorted(expected), rtol=1e-12)
    source = draw(loss, watch=watch, view="folded").source
    small, large = re.search(r't−1:  ([\d.e-]+) … ([\d.e-]+)"', source).groups()
    assert_allclose([float(small), float(large)], [min(expected), max(expected)], rtol=0.06)
    assert "numbers: smallest … largest" in source


def test_results_of_every_step_are_one_with_the_step_as_subscript():
    def states(T, name):
        hs = plain_loop(T)
        for t, h in enumerate(hs, 1):
            h.name = name(t)
        return hs

    hs = states(4, lambda t: f"h{t}")
    source = draw(hs, view="folded").source
    assert 'label="hₜ' in source
    assert source.count('"result') == 1
    assert source == draw(states(12, lambda t: f"h_{t}"), view="folded").source
    inside = draw(ag.sum(hs[-1]), view="folded").source
    assert "hₜ" in inside
    assert "h2" not in inside
    assert "yₜ" in draw(dict(zip(["y₀", "y₁", "y₂", "y₃"], plain_loop(), strict=True)), view="folded").source
    words = draw(states(3, lambda t: ["the", "cat", "sat"][t - 1])[-1] * 1.0, view="folded").source
    assert "cat" not in words


def test_one_named_step_gives_no_name_to_all():
    states = plain_loop()
    states[1].name = "probe"
    assert "probe" not in draw(ag.sum(states[-1]), view="folded").source
    some = draw([states[1], states[3]], view="folded").source
    assert some.count('"result') == 2


@pytest.mark.parametrize("T", [1, 2, 5])
def test_the_last_states_of_two_directions_are_no_loop(T):
    rnn, V = nn.GRU(3, 4, bidirectional=True, dtype=float), weight(4, 2)
    h = rnn(constant(T, 2, 3))[1]
    both = draw(ag.concatenate([h[0], h[1]], axis=-1), view="folded").source
    assert both.count("every step") == (2 if T > 1 else 0)
    assert len(re.findall(r'label="x\[i\]', both)) == 2
    assert draw(h[0] @ V + h[1] @ V, view="folded").source.count('label="@"') == 2
    y = rnn(constant(T, 2, 3))[0]
    assert len(re.findall(r'label="x\[i\]', draw(y[..., :4] * y[..., 4:], view="folded").source)) == 2


def test_steps_taken_from_a_sequence_by_index_are_a_loop():
    y, V = nn.RNN(3, 4, dtype=float)(constant(6, 2, 3))[0], weight(4, 2)
    losses = [ag.sum((y[t] @ V) ** 2.0) for t in range(6)]
    assert draw(losses, view="folded").source.count('label="@"') == 1


def test_an_arrow_leaves_out_sizes_that_its_tail_has():
    states = plain_loop(4)
    loss = (states[-1] ** 2.0).sum()
    view, heat = folded(loss, watched(loss))
    (arrow,) = [
        a for a in view.arrows if getattr(a.head[0], "label", "") == "Tanh"
    ]  # the only use of the sum
    assert " … " in heat.edge(arrow)["label"]
    assert "label" not in heat.edge(arrow, known=heat.vertex(*arrow.tail))


# --- modules --------------------------------------------------------------------------------------


class Translator(nn.Module):
    def __init__(self):
        self.encoder, self.decoder, self.head = (
            nn.LSTM(3, 4, dtype=float),
            nn.LSTM(2, 4, dtype=float),
            nn.Linear(4, 2, dtype=float),
        )

    def forward(self, x, y):
        values, self.state = self.encoder(x)
        self.out = self.decoder(y, self.state)[0]
        return self.head(self.out)


def test_the_module_view_shows_what_flows_between_modules():
    nn.manual_seed(0)
    model = Translator()
    loss = ag.mean(model(RNG(0).normal(size=(5, 2, 3)), RNG(1).normal(size=(4, 2, 2))) ** 2.0)
    watch = watched(loss, retain_graph=True)
    reading = Reading(results_of(loss)).join_sums()
    heat = Heat(reading, watch, modules(Fold(reading), Names(reading, model)).parts)
    between = {key: size_of(heat, key) for key in heat._flows if heat._sizes(key)}
    encoder, decoder = ("encoder", "l0"), ("decoder", "l0")
    state = [g.data for g in ag.grad(loss, model.state, retain_graph=True)]
    assert_allclose(between[encoder, decoder], math.hypot(*map(np.linalg.norm, state)), rtol=1e-12)
    out = ag.grad(loss, model.out, retain_graph=True).data
    assert_allclose(between[decoder, ("head",)], np.linalg.norm(out), rtol=1e-12)
    source = draw(loss, params=model, watch=watch, view="module").source
    assert f'label="  {np.linalg.norm(out):.2g}"' in source
    assert "all values and all steps together" in source
    assert source.count("t−1:  ") == 2


def test_an_operation_outside_of_modules_has_the_size_of_all_steps_together():
    states = plain_loop(4)
    loss = (states[-1] ** 2.0).sum()
    watch = watched(loss, retain_graph=True)
    reading = Reading(results_of(loss)).join_sums()
    fold = Fold(reading)
    heat = Heat(reading, watch, modules(fold, Names(reading, None)).parts)
    norms = [np.linalg.norm(ag.grad(loss, h, retain_graph=True).data) for h in states]
    assert_allclose(heat.vertex(fold.of(states[0].creator)), [math.hypot(*norms)], rtol=1e-12)


def test_the_arrow_of_a_module_to_itself_is_what_flows_from_step_to_step():
    states = []
    W = weight(3, 3)
    h = constant(1, 3)
    with ag.scope("cell"):
        for t in range(4):
            with ag.step(t):
                h = ag.tanh(ag.tanh(h) @ W)
                states.append(h)
    loss = sum((h * h).sum() for h in states)
    watch = watched(loss, retain_graph=True)
    expected = []
    for before, after in zip(states, states[1:], strict=False):
        whole = ag.grad(loss, before, retain_graph=True).data
        expected.append(np.linalg.norm(whole - 2 * before.data))
        assert after is not before
    source = draw(loss, watch=watch, view="module").source
    assert f"t−1:  {math.hypot(*expected):.2g}" in source


# --- NaN and infinity -----------------------------------------------------------------------------


def born(source):
    found = re.findall(r'label="([^"]* born [^"]*)"', source)
    return [text for text in found if text != "NaN, inf born here"]  # which is the legend's


def log_of_zero():
    W, h = Variable(0.5 * np.eye(2), name="W"), constant(1, 2, name="h0")
    with ag.watch() as watch, np.errstate(all="ignore"):
        for t in range(4):
            with ag.step(t), ag.scope("net"):
                h = ag.tanh(h @ W)
                h = ag.log(h - h.data) if t == 1 else h
        loss = (h * h).sum()
        loss.backward()
    return loss, watch


def test_where_values_stop_being_finite_is_marked():
    loss, watch = log_of_zero()
    source = draw(loss, watch=watch).source
    assert born(source) == ["log\\ninf born here"]
    marks = re.findall(r'color="#a3006f" penwidth="([\d.]+)" tooltip|penwidth="(4.5)"', source)
    assert marks
    thick = [line for line in source.splitlines() if f'penwidth="{dot.BORN["penwidth"]}"' in line]
    assert len(thick) == 2  # the vertex and the legend
    thin = [line for line in source.splitlines() if f'penwidth="{dot.PASSED["penwidth"]}"' in line]
    assert len(thin) > 6  # what it was passed to, and the legend
    assert "NaN, inf born here" in source
    assert "NaN, inf passed on" in source
    assert born(draw(loss, watch=watch, view="folded", max_nodes=1).source)[0].endswith("t = 1")
    assert any("born in Log, t = 1" in text for text in born(draw(loss, watch=watch, view="module").source))


def test_a_gradient_that_is_born_infinite_is_marked_on_the_way_back():
    a, b = Variable(np.array([1.0, 2.0]), name="a"), Variable(np.array([1.0, 4.0]), name="b")
    loss = (ag.sqrt((a - b) ** 2.0) * 1.0).sum()
    with np.errstate(all="ignore"):
        watch = watched(loss)
    assert born(draw(loss, watch=watch).source) == ["√\\ngradient inf born here"]
    assert np.isnan(a.grad.data).any()  # 0 times infinity, of the square: passed on, not born


def test_a_weight_that_is_not_finite_is_where_it_was_born():
    W, x = Parameter(np.array([[np.nan, 1.0]]), name="W"), constant(2, 1, name="x")
    with ag.watch() as watch:
        loss = ag.sum(x @ W)
        loss.backward()
    assert born(draw(loss, watch=watch).source) == ["W\\n1×2\\nNaN born here"]


def test_inputs_of_several_steps_that_are_not_finite_are_one_in_the_folded_view():
    W, h = weight(2, 2, name="W"), constant(1, 2, name="h0")
    with ag.watch() as watch:
        for t in range(4):
            x = Variable(np.full((1, 2), np.nan if t in (1, 2) else 1.0), name="x")
            h = ag.tanh(x + h @ W)
        h.sum().backward()
    assert born(draw(h.sum(), watch=watch, view="folded").source) == ["x\\n1×2\\nNaN born here"]


def test_finite_drawings_say_nothing_of_it():
    loss = plain_loop()[-1].sum()
    source = draw(loss, watch=watched(loss)).source
    assert "NaN" not in source
    assert dot.FLAW not in source


# --- colours and the legend -----------------------------------------------------------------------


def contrast(a, b):
    low, high = sorted((dot.luminance(a), dot.luminance(b)))
    return (high + 0.05) / (low + 0.05)


def test_colours_are_far_apart_and_text_on_them_is_legible():
    assert contrast(dot.HEAT[0], dot.HEAT[-1]) > 7
    fills = [dot.between(dot.HEAT, i / 200) for i in range(201)]
    assert all(contrast(fill, dot.legible_on(fill)) >= 4.5 for fill in [*fills, dot.FLAWED])
    brightness = [dot.luminance(fill) for fill in fills]
    assert brightness == sorted(brightness, reverse=True)
    assert_allclose(dot.luminance("#ffffff"), 1.0)
    assert_allclose(contrast("#000000", "#ffffff"), 21.0)
    assert_allclose(contrast("#777777", "#ffffff"), 4.48, atol=0.005)  # a known pair


def test_every_filled_vertex_has_legible_text():
    loss = MODELS["LSTM"]()
    watch = watched(loss)
    for view in ("unrolled", "folded", "ops"):
        found = 0
        for line in draw(loss, watch=watch, view=view).source.splitlines():
            if "|gradient| = " in line:
                fill, ink = (re.findall(rf'{word}="(\S+)"', line)[-1] for word in ("fillcolor", "fontcolor"))
                assert contrast("#ffffff" if fill == "white" else fill, ink) >= 4.5
                found += 1
        assert found > 15


def test_the_legend_has_ticks_on_a_logarithmic_scale():
    x = Variable(np.array([1.0]), name="x")
    loss = (x * 1e-4).sum() + (x * 1e2).sum() + 0.0 * x.sum()
    source = draw(loss, watch=watched(loss)).source
    assert "logarithmic" in source
    ticks = dict(re.findall(r'l\d+ \[.*label="([^"]*)".*fillcolor="(#\w+|white)"', source))
    assert ticks["0"] == "white"
    assert ticks["1e-4"] == dot.HEAT[0]
    assert ticks["100"] == dot.HEAT[-1]
    for label, at in {"0.01": 1 / 3, "1": 2 / 3}.items():
        assert ticks[label] == dot.between(dot.HEAT, at)


def test_ticks_keep_apart():
    x = Variable(np.array([1.0]), name="x")
    loss = (x * 0.9).sum() + (x * 110.0).sum()
    ticks = re.findall(r'l\d+ \[.*label="([^"]*)"', draw(loss, watch=watched(loss)).source)
    assert ticks == ["0.9", "10", "110"]  # neither 1 nor 100, which are next to the ends


def test_sizes_off_the_scale_look_like_its_ends():
    x = Variable(np.array([1.0]), name="x")
    loss = (x * 1e-3).sum() + (x * 1e3).sum()
    source = draw(loss, watch=watched(loss), vmin=0.1, vmax=10.0).source
    assert 'label="≤ 0.1"' in source and 'label="≥ 10"' in source
    looks = dict(re.findall(r'\|contribution\| = (\S+)" color="(#\w+)"', source))
    assert (looks["1e-3"], looks["1000"]) == (dot.HEAT[0], dot.HEAT[-1])
    widths = dict(re.findall(r'\|contribution\| = (\S+)" color="#\w+" penwidth="(\S+)"', source))
    assert (widths["1e-3"], widths["1000"]) == ("0.6", "4.0")


def test_equal_sizes_have_equal_colours_on_one_scale():
    def picture(scales, **options):
        x = Variable(np.array([1.0]), name="x")
        loss = sum((x * s).sum() for s in scales)
        return draw(loss, watch=watched(loss), **options).source

    def colour(source, size):
        return re.findall(rf'\|contribution\| = {size}" color="(#\w+)" penwidth="([\d.]+)"', source)[0]

    scales = (0.01, 5.0), (5.0, 3e4)
    apart = [picture(s) for s in scales]
    assert len({colour(source, "5") for source in apart}) == 2
    shared = [picture(s, vmin=1e-3, vmax=1e3) for s in scales]
    assert len({colour(source, "5") for source in shared}) == 1
    assert colour(shared[1], "3e4")[0] == dot.HEAT[-1]
    assert 'label="≥ 1000"' in shared[1]
    assert 'label="1000"' in shared[0]


def test_ends_of_the_scale_are_checked():
    loss = plain_loop()[-1].sum()
    watch = watched(loss)
    with pytest.raises(ValueError, match="vmin with watch="):
        draw(loss, vmin=1.0)
    with pytest.raises(ValueError, match="vmax above 0"):
        draw(loss, watch=watch, vmax=-1.0)
    with pytest.raises(ValueError, match="vmin below vmax, got 2.0 and 1.0"):
        draw(loss, watch=watch, vmin=2.0, vmax=1.0)


def test_passes_under_one_watch_add_up():
    x = Variable(np.array([1.0, 2.0]), name="x")
    h = x * 3.0
    loss = h.sum()
    with ag.watch() as watch:
        loss.backward(retain_graph=True)
        loss.backward()
    assert_allclose(watch.gradient(h), [2.0, 2.0])
    assert_allclose(watch.contribution(h.creator, 0), x.grad.data)
    assert watch.contribution(h.creator, 1) is None


def test_what_was_watched_is_not_the_users_gradient():
    x = Variable(np.array([1.0, 2.0]), name="x")
    loss = (x * 3.0).sum()
    watch = watched(loss)
    x.grad.data[...] = 0.0
    assert_allclose(watch.uses(x)[0].grad, [3.0, 3.0])


def test_the_folded_drawing_kept_ready_has_its_own_numbers():
    loss = (plain_loop(80)[-1] ** 2.0).sum()
    watch = watched(loss)

    def numbers(drawing):
        return re.findall(r"\|contribution\| = ([^\"]*)", drawing.source)

    drawing = draw(loss, watch=watch)
    (folded,) = [d for d in (make() for make in drawing.simpler) if "every step" in d.source]
    assert numbers(folded) == numbers(draw(loss, watch=watch, view="folded"))
    assert len(numbers(drawing)) > 200
    assert len(numbers(folded)) < 20


# --- what no other test would notice ----------------------------------------------------------------


def test_a_line_that_links_share_carries_all_that_flows_over_them():
    """s is used twice far up in the next step, by u s and by + s: over the shared line flows u + 1."""
    s = constant(2, name="s0")
    f = Variable(np.full(2, 0.5), name="f")
    for t in range(3):
        with ag.step(t):
            before, s = s, ag.exp(ag.tanh(s * f))
            u = ag.sin(ag.cos(s))
            o = u * before + before
    loss = o.sum()
    source = draw(loss, watch=watched(loss)).source
    shared = re.findall(r'\w+ -> j\d+ \[.*tooltip="\|contribution\| = ([^"]*)".*dir="none"', source)
    assert shared == [f"{np.linalg.norm(u.data + 1.0):.2g}"]


def test_a_vertex_for_all_steps_has_the_norm_of_all_together():
    """In the module view an operation outside of modules is one vertex, with gradients of all its steps."""
    states = plain_loop(6)
    loss = (states[-1] ** 2.0).sum()
    watch = watched(loss, retain_graph=True)
    gradients = [ag.grad(loss, h, retain_graph=True).data for h in states]
    (size,) = re.findall(r'"Tanh.*\|gradient\| = ([^"]*)"', draw(loss, watch=watch, view="module").source)
    assert size == f"{np.linalg.norm(gradients):.2g}"


def test_what_rounding_leaves_does_not_come_from_outside():
    """h is drawn as a result, and all of its gradient is from operations that are drawn, in two passes:
    (.1 + .2) + (.3 + .4), which is not ((.4 + .3) + .2) + .1."""
    x = Variable(np.ones(2), name="x")
    h = x * 1.0
    first = (h * 0.1).sum() + (h * 0.2).sum()
    second = (h * 0.3).sum() + (h * 0.4).sum()
    with ag.watch() as watch:
        first.backward(retain_graph=True)
        second.backward()
    assert watch.gradient(h)[0] - (((0.4 + 0.3) + 0.2) + 0.1) == 2**-53
    view, heat = unrolled([h, first, second], watch)
    (arrow,) = [a for a in view.arrows if a.head[0] == 0]
    assert size_of(heat, arrow) == 0.0


def test_operations_left_out_pass_on_what_they_have_been_given_by_all():
    """tanh is used by the product, and both by the sum: the sum and the product come before it."""
    x = Variable(np.array([1.0, 2.0]), name="x")
    y = ag.tanh(x)
    loss = ag.sum(y + y * 2.0)
    view, heat = unrolled(loss, watched(loss), hide={"Tanh", "Mul", "Add"})
    (arrow,) = [a for a in view.arrows if a.tail[0] is x]
    assert_allclose(size_of(heat, arrow), np.linalg.norm(3 / np.cosh([1.0, 2.0]) ** 2))


def test_an_operation_with_a_hook_is_not_told_apart():
    """What a hook would make of a part of the gradient is not known: here it forgets all but the sign."""
    x = Variable(np.array([1.0, 2.0]), name="x")
    y = x.reshape(2, 1)
    y.register_hook(lambda g: np.sign(g))
    loss = (y * 2.0).sum() + (y * 3.0).sum()
    source = draw(loss, watch=watched(loss), hide={"Reshape"}).source
    assert source.count('tooltip="not told apart"') == 2


@pytest.mark.parametrize("tanh_last", [True, False])
def test_what_is_known_in_part_is_not_known(tanh_last):
    """exp(tanh(x) - x) gives x a part by way of tanh, which others use as well, and a part beside it."""
    x = Variable(np.array([1.0, 2.0]), name="x")
    if tanh_last:
        beside, y = -x, ag.tanh(x)
    else:
        y, beside = ag.tanh(x), -x
    loss = ag.sum(ag.exp(y + beside)) + ag.sum(y * 3.0)
    source = draw(loss, watch=watched(loss), hide={"Tanh", "Neg", "Add"}).source
    assert source.count('tooltip="not told apart"') == 2  # from x to exp and to the product with 3


def test_ticks_keep_away_from_the_ends():
    x = Variable(np.array([1.0]), name="x")
    loss = (x * 0.009).sum() + (x * 110.0).sum()
    source = draw(loss, watch=watched(loss)).source
    ticks = re.findall(r'\bl\d+ \[.*label="([^"]*)"', source)
    assert ticks == ["9e-3", "0.1", "1", "10", "110"]  # not 0.01 and 100


def test_sizes_beyond_either_end_have_its_colour():
    x = Variable(np.array([1.0]), name="x")
    loss = sum((x * 10.0**n).sum() for n in range(-4, 5))
    source = draw(loss, watch=watched(loss), vmin=0.01, vmax=100.0).source
    for size, colour, width in (("1e-4", dot.HEAT[0], "0.6"), ("1e4", dot.HEAT[-1], "4.0")):
        assert f'|contribution| = {size}" color="{colour}" penwidth="{width}"' in source
    ticks = re.findall(r'\bl\d+ \[.*label="([^"]*)"', source)
    assert (ticks[0], ticks[-1]) == ("≤ 0.01", "≥ 100")


def test_an_arrow_does_not_repeat_what_its_tail_tells():
    """In a folded loop the product has one arrow, over which all of its gradient flows; h has two."""
    loss = (plain_loop(6)[-1] ** 2.0).sum()
    source = draw(loss, watch=watched(loss), view="folded").source
    told = dict(re.findall(r'(n\d+) \[.*label="\S+?\\n(?:h\\n)?([\d.]+ … [\d.]+)"', source))
    assert len(told) == 4
    arrows = re.findall(r'(n\d+) -> n\d+ \[tooltip="\|contribution\| = ([^"]*)"( label)?', source)
    inside = [
        (size == told[tail], bool(label)) for tail, size, label in arrows if tail in told and "…" in size
    ]
    assert sorted(inside) == [(False, True), (True, False), (True, False), (True, False)]
