"""The live page in a browser: its operations, whole models, and every control against the engine."""

from contextlib import contextmanager

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, bptt
from autograd.bptt import live
from autograd.bptt.live.table import ANSWERS, SETTINGS, Kept
from tests.cases.browser import chromium
from tests.cases.op_cases import CASES

T, N, H = 7, 2, 4
NO_MATCH = {  # what stays a film
    "ComplexLinearScan", "JoinedScan", "Inv", "Solve", "Det", "LogDet", "Cholesky", "Eigh", "SVD"
}  # fmt: skip


@pytest.fixture(scope="module")
def driver():
    with chromium() as driver:
        yield driver


def opened(driver, page, path, loss, params=None):
    driver.get(page.save(loss, path, params).as_uri())
    assert driver.get_log("browser") == []


# --- every operation ------------------------------------------------------------------------------


def weighted_sum(ys):
    """A loss that depends on every element of the outputs in another way."""
    rng, loss = np.random.default_rng(7), 0.0
    for y in ys if isinstance(ys, tuple | list) else (ys,):
        if y.requires_grad:
            loss = loss + (y * rng.standard_normal(y.shape)).sum()
    return loss


def test_every_operation_of_the_table_forward_and_back(driver, tmp_path):
    tables, names, unknown = [], [], set()
    for case in CASES:
        for shapes in (case.shapes, *case.also):
            with ag.instrumented(Kept()) as kept:
                loss = weighted_sum(case.f(*[Variable(a) for a in case.inputs(shapes)]))
            table = live.table(loss, kept)
            if "unknown" in table:
                unknown |= {name.partition(" ")[0] for name in table["unknown"]}
            else:
                tables.append(table)
                names.append(f"{case.name} {shapes}")
    assert unknown == NO_MATCH
    assert len(tables) > 1000
    path = tmp_path / "operations.html"
    path.write_text(
        f"<!DOCTYPE html><title>operations</title><script>{live.parts()['ENGINE']}</script>"
        f"<script>const TABLES = {live._for_script(tables)};</script>",
        encoding="utf-8",
    )
    driver.get(path.as_uri())
    worst = driver.execute_script("return TABLES.map(t => engine.check(engine.read(t)))")
    assert driver.get_log("browser") == []
    bad = [(name, d) for name, d in zip(names, worst, strict=True) if d is None or not d < 1e-12]
    assert bad == []
    ran = {name for table in tables for name in table["ops"]}
    claimed = {cls.__name__ for cls in SETTINGS}
    assert set(driver.execute_script("return Object.keys(engine.OPS)")) == claimed | set(ANSWERS)
    assert claimed <= ran <= claimed | set(ANSWERS)


def test_a_recorded_backward_pass(driver, tmp_path, rng):
    x, w = Variable(rng.normal(size=(2, 2, 5))), Variable(rng.normal(size=(3, 2, 3)))
    with live.record() as page:
        y = ag.tanh(ag.conv1d(x, w, stride=2, padding=1)).sum()
        gx, gw = ag.grad(y, [x, w], create_graph=True)
        loss = (gx * gx).sum() + (gw * gw).sum()
    assert {"ConvWeight", "ConvTranspose"} <= set(page.data(loss)["models"][0]["ops"])
    opened(driver, page, tmp_path / "conv.html", loss)
    assert driver.execute_script("return bptt.check()") < 1e-12


# --- whole models ---------------------------------------------------------------------------------


class Net(nn.Module):
    """A layer over time, and a head on its last output."""

    def __init__(self, rnn, size):
        self.rnn, self.head = rnn, nn.Linear(size, 1, dtype=np.float64)

    def forward(self, x):
        return self.head(self.rnn(x)[0][-1])


class Custom(nn.Cell):
    """A cell of elementwise operations."""

    def __init__(self):
        self.input_size, self.hidden_size = N, H
        self.W = nn.Parameter(np.random.default_rng(2).normal(size=(N, H)))
        self.U = nn.Parameter(np.random.default_rng(3).normal(size=(H, H)))

    @property
    def output_size(self):
        return H

    def initial_state(self, x):
        return (np.zeros((1, H)), np.zeros((1, H)))

    def step(self, x, state, fixed):
        h, m = state
        a = x @ self.W + h @ self.U
        m = ag.softplus(m) * 0.5 + ag.arctan(a) ** 2
        return ag.sin(a) * ag.exp(-m) + ag.silu(h), ag.maximum(m, 0.1)


class Attention(nn.Module):
    """An encoder, and a decoder that looks back at it with softmax weights."""

    def __init__(self):
        self.encoder = nn.GRU(N, H, dtype=np.float64)
        self.cell = nn.LSTMCell(H, H, dtype=np.float64)
        self.head = nn.Linear(H, N, dtype=np.float64)

    def forward(self, x):
        keys, _ = self.encoder(x)
        h, c, losses = keys[-1], keys[0], 0.0
        for t in range(4):
            with ag.step(t):
                a = ag.softmax((keys * h).sum(-1), 0)
                h, c = self.cell((a[:, :, None] * keys).sum(0), (h, c))
                losses = losses - ag.log_softmax(self.head(h))[:, t % N].sum()
        return losses


def mlp(x):
    nn.manual_seed(4)
    net = nn.Sequential(nn.Linear(N, 6, dtype=np.float64), nn.ReLU(), nn.Linear(6, 3, dtype=np.float64))
    return net, lambda: nn.functional.cross_entropy(net(x[:, 0]), np.arange(T) % 3)


def over_time(make):
    def build(x):
        nn.manual_seed(5)
        net = make()
        return net, lambda: ag.square(net(x) - 1.0).sum()

    return build


def conv_lstm(x):
    nn.manual_seed(6)
    net = nn.ConvLSTM2d(1, 2, 3, dtype=np.float64)
    images = np.random.default_rng(1).normal(size=(4, 1, 1, 5, 5))
    return net, lambda: ag.square(net(images)[0]).mean()


def wavenet(x):
    nn.manual_seed(7)
    net = nn.WaveNet(N, N, channels=4, layers=3, dtype=np.float64)
    series = x.transpose(1, 2, 0)
    return net, lambda: ag.square(net(series)[:, :, :-1] - series[:, :, 1:]).mean()


def tree(x):
    nn.manual_seed(8)
    net = nn.Recursive(nn.ChildSumTreeLSTMCell(N, H, dtype=np.float64))
    a, b, c, d = x[:4, 0]
    return net, lambda: ag.square(net([((a, b), c), (d, a)])[0]).sum()


def bidirectional():
    return Net(nn.LSTM(N, H, bidirectional=True, dtype=np.float64), 2 * H)


MODELS = {
    "MLP": mlp,
    "RNN": over_time(lambda: Net(nn.RNN(N, H, dtype=np.float64), H)),
    "GRU": over_time(lambda: Net(nn.GRU(N, H, dtype=np.float64), H)),
    "LSTM of two layers": over_time(lambda: Net(nn.LSTM(N, H, 2, dtype=np.float64), H)),
    "bidirectional": over_time(bidirectional),
    "attention": lambda x: (net := Attention(), lambda: net(x)),
    "ConvLSTM": conv_lstm,
    "WaveNet": wavenet,
    "tree": tree,
    "cell of its own": over_time(lambda: Net(nn.Recurrent(Custom()), H)),
}
LOOPS = {"RNN": ["h"], "GRU": ["h"], "cell of its own": ["h", "c"]}


def inputs():
    return np.random.default_rng(0).normal(size=(T, 1, N))


@pytest.mark.parametrize("name", MODELS)
def test_models_are_what_the_engine_computed(driver, tmp_path, name):
    net, run = MODELS[name](inputs())
    with live.record() as page:
        loss = run()
    opened(driver, page, tmp_path / "page.html", loss, net)
    assert driver.execute_script("return bptt.check()") < 1e-9
    assert "✓" in driver.find_element("css selector", ".live-status").text
    loss.backward()
    found = driver.execute_script("return bptt.gradients()")
    assert set(found) == {name for name, p in net.named_parameters() if p.grad is not None}
    for key, p in net.named_parameters():
        if p.grad is not None:
            np.testing.assert_allclose(found[key], np.ravel(p.grad.data), rtol=1e-12, atol=1e-14)
    states = driver.execute_script("return bptt.view.models[0].graph.states.map(s => s.name)")
    assert states == LOOPS.get(name, states)
    assert states


CELLS = """
    ClockworkCell CoupledLSTMCell DeepRNNCell DeltaNetCell GRUCell IRNNCell IndRNNCell LMUCell LRUCell
    LSTMCell LayerNormGRUCell LayerNormLSTMCell LayerNormRNNCell MGUCell MinGRUCell MinLSTMCell
    PeepholeLSTMCell RGLRUCell RNNCell RecurrentHighwayCell RelevanceLSTMCell SLSTMCell SRUCell
    SelectiveSSMCell
"""


def test_the_cells_of_nn_run_in_the_page(driver, tmp_path):
    x, losses = np.random.default_rng(0).normal(size=(5, 2, 3)), {}
    with live.record() as page:
        for name in CELLS.split():
            nn.manual_seed(0)
            layer = nn.Recurrent(getattr(nn, name)(3, 4, dtype=np.float64))
            losses[name] = ag.square(layer(x)[0][-1] - 0.3).sum()
    opened(driver, page, tmp_path / "cells.html", losses)
    found = driver.execute_script("return bptt.view.models.map(m => [m.title, engine.check(m.graph)])")
    assert [name for name, _ in found] == CELLS.split()
    assert [(name, d) for name, d in found if not d < 1e-12] == []


# --- what sliders show is what the engine computes there ------------------------------------------


class Lab:
    """Three models side by side on one page; their arrays can be changed as sliders change them."""

    def __init__(self):
        self.x = inputs()
        self.nets = {}
        for cls in (nn.RNNCell, nn.GRUCell, nn.LSTMCell):
            nn.manual_seed(3)
            self.nets[cls.__name__[:-4]] = Net(nn.Recurrent(cls(N, H, dtype=np.float64)), H)

    def losses(self):
        return {name: ag.square(net(self.x) - 1.0).sum() for name, net in self.nets.items()}

    def parameters(self, name):
        return dict(self.nets[name].named_parameters())

    @contextmanager
    def changed(self, change):
        """Inside, ``change(title, parameters)`` has changed every model, in place."""
        before = {p: p.data.copy() for net in self.nets.values() for p in net.parameters()}
        x = self.x.copy()
        for name in self.nets:
            change(name, self.parameters(name))
        try:
            yield
        finally:
            for p, data in before.items():
                p.data = data
            self.x = x

    def agrees(self, driver):
        """Compare losses, gradients and the sizes of dL/dh_t of the page with those of the engine now."""
        for name, net in self.nets.items():
            net.zero_grad()
            with ag.stepwise():
                loss = ag.square(net(self.x) - 1.0).sum()
            norms = bptt.gradient_flow(loss) if name == "RNN" else None
            loss.backward()
            assert driver.execute_script("return bptt.loss(arguments[0])", name) == pytest.approx(
                loss.item(), rel=1e-11
            )
            found = driver.execute_script("return bptt.gradients(arguments[0])", name)
            for key, p in net.named_parameters():
                want = np.zeros(p.size) if p.grad is None else p.grad.data.ravel()
                np.testing.assert_allclose(found[key], want, rtol=1e-10, atol=1e-13, err_msg=f"{name} {key}")
            if norms is not None:  # of a plain RNN the state is all that leaves a step
                shown = driver.execute_script("return bptt.view.models[0].now.map(s => engine.norm(s.g))")
                (row,) = [norms.norms[i] for i, layer in enumerate(norms.layers) if "rnn" in layer]
                np.testing.assert_allclose(shown[-len(row) :], row, rtol=1e-10)


@pytest.fixture(scope="module")
def lab(driver, tmp_path_factory):
    lab = Lab()
    with live.record() as page:
        losses = lab.losses()
    lab.path = page.save(losses, tmp_path_factory.mktemp("lab") / "lab.html", lab.nets)
    return lab


@pytest.fixture
def shown(driver, lab):
    driver.get(lab.path.as_uri())
    yield lab
    assert driver.get_log("browser") == []


def set_control(driver, name, value):
    """Move a slider, or choose, as a user does: the value and then the event."""
    driver.execute_script(
        "const e = document.querySelector(`[data-control=${arguments[0]}]`);"
        "e.value = arguments[1]; e.dispatchEvent(new Event('input'));",
        name,
        str(value),
    )


def scaled(weight, factor):
    def change(name, parameters):
        parameters[weight].data = parameters[weight].data * factor

    return change


@pytest.mark.parametrize("factor", [0.0, 0.5, 2.0, 8.0])
def test_scale_of_the_recurrent_weight(driver, shown, factor):
    set_control(driver, "scale", factor)
    with shown.changed(scaled("rnn.cell.weight_hh", factor)):
        shown.agrees(driver)


def test_scale_of_another_weight_and_both(driver, shown):
    set_control(driver, "scale-of", "weight_ih")
    set_control(driver, "scale", 1.5)
    with shown.changed(scaled("rnn.cell.weight_ih", 1.5)):
        shown.agrees(driver)
    set_control(driver, "scale-of", "recurrent")
    assert driver.execute_script("return bptt.view.scale.value") == "1"
    set_control(driver, "scale", 2)
    with (
        shown.changed(scaled("rnn.cell.weight_ih", 1.5)),
        shown.changed(scaled("rnn.cell.weight_hh", 2.0)),
    ):
        shown.agrees(driver)


@pytest.mark.parametrize("gate, model, first", [("f", "LSTM", H), ("n", "GRU", 2 * H), ("r", "GRU", 0)])
def test_bias_of_a_gate(driver, shown, gate, model, first):
    def change(name, parameters):
        if name == model:
            bias = parameters["rnn.cell.bias_ih"].data.copy()
            bias[first : first + H] -= 1.5
            parameters["rnn.cell.bias_ih"].data = bias

    set_control(driver, "gate-of", gate)
    set_control(driver, "gate", -1.5)
    with shown.changed(change):
        shown.agrees(driver)


def test_an_entry_of_a_weight(driver, shown):
    def change(name, parameters):
        W = parameters["rnn.cell.weight_hh"].data.copy()
        W[3, 1] = -2.25
        parameters["rnn.cell.weight_hh"].data = W

    set_control(driver, "row", 3)
    set_control(driver, "column", 1)
    set_control(driver, "entry", -2.25)
    with shown.changed(change):
        shown.agrees(driver)
    text = driver.execute_script("return bptt.view.slope.textContent")
    g = driver.execute_script("return bptt.gradients('RNN')['rnn.cell.weight_hh']")[3 * H + 1]
    assert f"RNN {g:.3g}"[:8].replace("-", "−") in text


def test_an_entry_of_x(driver, shown):
    set_control(driver, "entry-of", "x")
    set_control(driver, "row", 4)
    set_control(driver, "column", 1)
    set_control(driver, "entry", 1.75)
    with shown.changed(lambda name, parameters: shown.x.__setitem__((4, 0, 1), 1.75)):
        shown.agrees(driver)


@pytest.mark.parametrize("window", [1, 2, 3])
def test_truncation_is_that_of_recurrent_layers(driver, shown, window):
    set_control(driver, "window", window)
    for net in shown.nets.values():
        net.rnn.truncate = window
    try:
        shown.agrees(driver)
    finally:
        for net in shown.nets.values():
            net.rnn.truncate = None
    set_control(driver, "window", T)
    shown.agrees(driver)


def test_windows_cut_states_and_not_the_sum_of_losses(driver, tmp_path):
    """In a loop that carries both, as a training loop by hand does."""
    nn.manual_seed(2)
    cell, x = nn.LSTMCell(N, H, dtype=np.float64), inputs()

    def run(window):
        h, c, loss = np.zeros((1, H)), np.zeros((1, H)), 0.0
        for t in range(T):
            with ag.step(t):
                if t and t % window == 0:
                    h, c = h.detach(), c.detach()
                h, c = cell(x[t], (h, c))
                loss = loss + ag.square(h - 0.5).sum()
        return loss

    with live.record() as page:
        loss = run(T)
    opened(driver, page, tmp_path / "windows.html", loss, cell)
    set_control(driver, "window", 2)
    run(2).backward()
    found = driver.execute_script("return bptt.gradients()")
    for name, p in cell.named_parameters():
        np.testing.assert_allclose(found[name], p.grad.data.ravel(), rtol=1e-10, atol=1e-13)


def test_gradients_by_the_step_of_use_are_those_of_decompose(driver, shown):
    set_control(driver, "scale", 1.6)
    with shown.changed(scaled("rnn.cell.weight_hh", 1.6)), ag.stepwise():
        for name, loss in shown.losses().items():
            table = bptt.decompose(loss, shown.parameters(name)["rnn.cell.weight_hh"])
            uses = driver.execute_script("return bptt.uses(arguments[0], 'recurrent')", name)
            np.testing.assert_array_equal([use["step"] for use in uses], table.steps)
            np.testing.assert_allclose([use["norm"] for use in uses], table.norms[0], rtol=1e-10)


CHOICES = {
    "leaky_relu": ag.leaky_relu,
    "elu": ag.elu,
    "softplus with a threshold": lambda a: ag.softplus(a, threshold=1.0),
    "fmax": lambda a: ag.fmax(a, -0.1 * a),
    "a mask of comparisons": lambda a: a * (a > 0.1) - ag.where(a <= -0.2, ag.square(a), 0.5),
    "of what gives no gradient": lambda a: ag.where(ag.exp(a) != 1.0, a, 2.0) * (ag.sin(a) >= 0.3),
    "std of a number": lambda a: a * ag.std(a) + ag.where(a.sum() < 0.0, a, 3.0 * a),
    "of two values": lambda a: ag.where(a < ag.sin(a * 3.0), a, ag.nan_to_num(a * 2.0)),
}


@pytest.mark.parametrize("name", CHOICES)
def test_comparisons_are_made_anew(driver, tmp_path, name):
    """The choices that were recorded would be others after a move of the slider."""
    W = Variable(np.random.default_rng(5).normal(size=(3, 3)), name="W")
    x = np.random.default_rng(6).normal(size=(2, 3))

    def run():
        a = CHOICES[name](x @ W)
        return ag.square(CHOICES[name](a + x) - 0.3).sum()

    with live.record() as page:
        loss = run()
    opened(driver, page, tmp_path / "choices.html", loss)
    assert driver.execute_script("return bptt.check()") < 1e-12
    set_control(driver, "scale", 7.5)
    set_control(driver, "row", 1)
    set_control(driver, "column", 1)
    set_control(driver, "entry", -3)
    W.data = W.data * 7.5
    W.data[1, 1] = -3.0
    loss = run()
    loss.backward()
    assert driver.execute_script("return bptt.loss()") == pytest.approx(loss.item(), rel=1e-11)
    found = driver.execute_script("return bptt.gradients()")["W"]
    np.testing.assert_allclose(found, W.grad.data.ravel(), rtol=1e-9, atol=1e-10)


def test_presets(driver, shown):
    def press(name):
        driver.find_element("css selector", f"[data-preset={name}]").click()

    press("vanish")
    with shown.changed(scaled("rnn.cell.weight_hh", 0.3)):
        shown.agrees(driver)
    press("forget")

    def change(name, parameters):
        if name == "LSTM":
            bias = parameters["rnn.cell.bias_ih"].data.copy()
            bias[H : 2 * H] += 3.0
            parameters["rnn.cell.bias_ih"].data = bias

    with shown.changed(change):
        shown.agrees(driver)
    press("explode")
    factor = float(driver.execute_script("return bptt.view.scale.value"))
    with shown.changed(scaled("rnn.cell.weight_hh", factor)):
        shown.agrees(driver)
    first = "return bptt.view.models.map(m => engine.norm(m.now[0].g))"
    exploded = driver.execute_script(first)
    press("start")
    shown.agrees(driver)
    assert max(exploded) > max(driver.execute_script(first))
    press("truncate")
    assert driver.execute_script("return bptt.view.settings.window") == 2
    assert driver.execute_script(first) == [0, 0, 0]


# --- a move of a slider costs what it must --------------------------------------------------------


def test_moves_compute_in_the_arrays_of_the_move_before(driver, shown):
    """With the numbers of a run in arrays of its own, whatever moved before."""
    held, different = driver.execute_script(
        """const [, , m] = bptt.view.models, held = [], different = [];
        const other = i => m.graph.leaves.map(l => ({...l, data: l.data.map(v => v * (1 + i / 9))}));
        [Infinity, 3, 1, Infinity, 2, Infinity, Infinity].forEach((window, i) => {
            m.current = other(i);
            const pooled = m.result = engine.run(m.graph, m.current, window, m.arraysOfRuns);
            const fresh = engine.run(m.graph, m.current, window);
            held.push(new Set(m.arraysOfRuns));
            const numbers = r => JSON.stringify([r.values, r.gradients, r.ofLeaves].map(list =>
                list.flat().map(x => x && [x.shape, ...x.data])));
            if (numbers(pooled) !== numbers(fresh)) different.push(window);
        });
        const [before, last] = held.slice(-2);
        return [[...last].filter(x => !before.has(x)).length, different]"""
    )
    assert different == []
    assert held == 0


def test_many_moves_are_drawn_once_and_the_elements_stay(driver, shown):
    found = driver.execute_async_script(
        """const done = arguments[0], view = bptt.view, draw = view.draw;
        const frame = () => new Promise(requestAnimationFrame);
        const elements = () => [...document.querySelectorAll(".live-charts *")];
        const move = value => { view.scale.value = value; view.scale.dispatchEvent(new Event("input")); };
        let times = 0;
        view.draw = () => { times++; draw.call(view); };
        (async () => {
            move(1.2); await frame(); await frame();
            const curve = () => view.flow.svg.querySelectorAll("polyline")[1].getAttribute("points");
            const before = elements(), points = curve();
            times = 0;
            for (const value of [1.25, 1.3, 1.35, 1.3]) move(value);
            await frame(); await frame();
            const kept = new Set(before), after = elements();
            delete view.draw;
            done([times, after.filter(e => !kept.has(e)).map(e => e.outerHTML), before.length,
                curve() !== points]);
        })();"""
    )
    times, fresh, count, moved = found
    assert times == 1
    assert fresh == []
    assert count > 60
    assert moved


def test_the_gradient_of_a_leaf_that_is_brought_into_another_layout(driver, tmp_path, rng):
    """By the step of use: several layouts in one step, and one that repeats elements."""
    W = Variable(rng.normal(size=(3, 3)), name="W")
    with live.record() as page:
        turned, twice = W.T, ag.broadcast_to(W.reshape(1, 3, 3), (2, 3, 3))
        h, loss = rng.normal(size=(2, 3)), 0.0
        for t in range(3):
            with ag.step(t):
                h = ag.tanh(h if t == 2 else h @ turned + (h @ W if t == 1 else 0.5))
                loss = loss + (h[:, None] @ twice).sum() * (t + 1.0)
    opened(driver, page, tmp_path / "layouts.html", loss, {"W": W})
    uses = driver.execute_script("return bptt.uses(0, 'W')")
    table = bptt.decompose(loss, W)
    by_step = [table.by_use()[table.steps == t].sum(axis=0) for t in range(3)]
    assert [use["step"] for use in uses] == [0, 1, 2]
    np.testing.assert_allclose(
        [use["norm"] for use in uses], [np.linalg.norm(g) for g in by_step], rtol=1e-12
    )


# --- the page as a page ---------------------------------------------------------------------------


def test_keyboard_alone(driver, shown):
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        for key in keys:
            ActionChains(driver).send_keys(getattr(Keys, key, key)).perform()

    def focused():
        return driver.execute_script(
            "const e = document.activeElement; return e.dataset.control || e.dataset.preset || e.id"
        )

    reached = []
    for _ in range(40):
        press("TAB")
        if (at := focused()) in reached:
            break
        reached.append(at)
        if at == "scale":
            before = driver.execute_script("return bptt.loss('RNN')")
            press("ARROW_RIGHT", "ARROW_RIGHT")
            assert driver.execute_script("return bptt.view.settings.scale.recurrent") > 1
            assert driver.execute_script("return bptt.loss('RNN')") != before
        elif at == "gate":
            press("ARROW_LEFT")
            assert driver.execute_script("return bptt.view.settings.gate.f") == pytest.approx(-0.1)
        elif at == "row":
            press("ARROW_UP")
            assert driver.execute_script("return bptt.view.row.value") == "1"
        elif at == "entry":
            press("HOME")
            assert driver.execute_script("return Object.keys(bptt.view.settings.entry).length") == 1
        elif at == "window":
            press("HOME")
            assert driver.execute_script("return bptt.view.settings.window") == 1
        elif at == "log":
            press(" ")
            assert driver.execute_script("return bptt.view.isLog") is False
        elif at == "state":
            press("ARROW_DOWN")
            assert driver.execute_script("return bptt.view.series") == 1
        elif at == "theme":
            dark = "return document.documentElement.classList.contains('dark')"
            was = driver.execute_script(dark)
            press("ENTER")
            assert driver.execute_script(dark) is not was
    presets = ["start", "vanish", "explode", "forget", "truncate"]
    controls = ["scale-of", "scale", "gate-of", "gate", "entry-of", "entry", "row", "column", "window"]
    assert set(reached) >= {"theme", *presets, *controls, "state", "log"}
    while focused() != "start":
        press("TAB")
    press("ENTER")
    assert driver.execute_script("return bptt.view.settings.scale") == {}
    shown.agrees(driver)


def test_every_control_has_a_name_and_every_picture_a_text(driver, shown):
    names = driver.execute_script(
        """return [...document.querySelectorAll("input, select, button, [role=img]")].map(e =>
            e.getAttribute("aria-label") || e.textContent
            || [...e.labels || []].map(l => l.textContent).join())"""
    )
    assert len(names) > 20
    assert all(name.strip() for name in names)
    assert driver.execute_script("return bptt.view.scaleOf.selectedOptions[0].textContent") == "Wₕₕ"
    title, ticks, time = driver.execute_async_script(
        """const [done] = arguments, texts = () => [...document.querySelectorAll(".live-flow text")];
        const {useTitle, time} = bptt.view, look = () => texts().length
            ? done([useTitle.textContent, texts().map(e => e.textContent), time.textContent])
            : requestAnimationFrame(look);
        look();"""
    )
    assert title == "|∂L/∂Wₕₕ| by step of use"
    assert "10−1" in ticks  # 10 and a raised −1
    assert time == ""  # that of a move, and there was none


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080)])
def test_it_fits_and_no_text_is_small(driver, shown, size):
    width, height = size
    driver.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        driver.get("about:blank")
        driver.get(shown.path.as_uri())
        smallest, overflow = driver.execute_script(
            """const has = e => [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
            const texts = [...document.querySelectorAll("*")].filter(e =>
                e.checkVisibility() && has(e) && !e.closest("script, style"));
            return [Math.min(...texts.map(e => parseFloat(getComputedStyle(e).fontSize))),
                texts.filter(e => e.tagName !== "OPTION").map(e => [e.textContent, e.getBoundingClientRect()])
                .filter(([, b]) => b.right > innerWidth + 1 || b.bottom > innerHeight + 1)
                .map(([text]) => text)]"""
        )
        assert smallest >= 14
        assert overflow == []
        assert driver.execute_script("return document.documentElement.scrollHeight <= innerHeight")
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_pointing_at_a_map_tells_its_number(driver, shown):
    value = driver.execute_script(
        """const m = bptt.view.models[2], box = m.h.getBoundingClientRect();
        m.h.dispatchEvent(new PointerEvent("pointermove", {clientX: box.left + 3.5 / 7 * box.width,
            clientY: box.top + 1.5 / 4 * box.height}));
        return [bptt.view.readout.textContent, m.now[3].h.data[1]]"""
    )
    assert value[0].startswith("LSTM state, step 3, unit 1: ")
    assert float(value[0].rpartition(" ")[2].replace("−", "-")) == pytest.approx(value[1], rel=1e-3)


def test_a_float32_model_differs_by_its_rounding(driver, tmp_path):
    nn.manual_seed(0)
    net = Net(nn.LSTM(N, H), H)
    net.head = nn.Linear(H, 1)
    with live.record() as page:
        loss = ag.square(net(inputs().astype("f")) - 1.0).sum()
    opened(driver, page, tmp_path / "float32.html", loss, net)
    assert 1e-12 < driver.execute_script("return bptt.check()") < 1e-5
    assert "✓ as the engine in float32" in driver.find_element("css selector", ".live-status").text


def test_a_page_that_is_wrong_says_so(driver, tmp_path, shown):
    text = shown.path.read_text(encoding="utf-8")
    path = tmp_path / "wrong.html"
    path.write_text(
        text.replace("Tanh: [Math.tanh, (g, y) => g -", "Tanh: [Math.tanh, (g, y) => 1.001 * g -")
    )
    driver.get(path.as_uri())
    assert "✗ not as the engine" in driver.find_element("css selector", ".live-status").text
    assert driver.execute_script("return bptt.check()") > 1e-5


def test_a_model_that_cannot_run_is_named_beside_those_that_can(driver, tmp_path):
    W = Variable(np.eye(2) * 2.0, name="W")
    with live.record() as page:
        losses = {"inverse": ag.linalg.inv(W).sum(), "product": (W @ W).sum()}
    driver.get(page.save(losses, tmp_path / "two.html").as_uri())
    text = driver.find_element("css selector", ".live-unknown").text
    assert text == "inverse cannot run here: the page has no Inv."
    assert driver.execute_script("return bptt.view.models.map(m => m.title)") == ["product"]
    assert driver.find_element("css selector", ".live-use svg").size["height"] > 100
    assert driver.execute_script("return document.documentElement.scrollHeight <= innerHeight")
    assert driver.execute_script("return bptt.check()") < 1e-12
    assert driver.get_log("browser") == []
