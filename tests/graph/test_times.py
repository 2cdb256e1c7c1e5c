"""Heat by time: every vertex shows its own seconds, and all of them add up to what the title says."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Function, Variable
from autograd.graph import draw
from autograd.graph.fold import Fold
from autograd.graph.picture import dot
from autograd.graph.picture.folded import folded
from autograd.graph.picture.modular import modules
from autograd.graph.picture.names import Names
from autograd.graph.picture.times import Times
from autograd.graph.picture.unrolled import unrolled
from autograd.graph.reading import Reading, results_of
from autograd.graph.timesteps import Rows


class Work(Function):
    """2 x, in the given seconds forward and backward."""

    symbol = "work"

    def __init__(self, clock, forward, backward):
        self.clock, self.times = clock, (forward, backward)

    def forward(self, x):
        self.clock[0] += self.times[0]
        return x * 2.0

    def backward(self, gy):
        self.clock[0] += self.times[1]
        return gy * 2.0


def loop(steps=3):
    """A loss and its profile: in step t, 1 + t seconds forward and 10 back; 100 in a module before it."""
    clock = [0.0]
    x = Variable(1.0, name="x")
    with ag.profile(lambda: clock[0]) as p:
        with ag.scope("first"):
            x = Work(clock, 60.0, 40.0)(x)
        for t in range(steps):
            with ag.scope("cell"), ag.step(t):
                x = Work(clock, 1.0 + t, 10.0)(x)
        clock[0] += 1000.0
        x.backward()
    return x, p


def times(view, y, p, **options):
    reading = Reading(results_of(y)).join_sums()
    if view == "module":
        drawn = modules(Fold(reading), Names(reading, None), None, ())
    elif view == "folded":
        drawn = folded(Fold(reading), heated=True, **options)
    else:
        drawn = unrolled(reading, Rows(reading) if view == "unrolled" else None, timed=True, **options)
    return Times(reading, p, drawn.parts)


def colours(source):
    """Fill colours by label, in the order of the source, without the legend."""
    body = source[: source.index("cluster_legend")] if "cluster_legend" in source else source
    nodes = re.findall(r"^\s*[nm]\d\w* \[(.*)\]", body, re.M)
    return [(_last("label", node), _last("fillcolor", node)) for node in nodes]


def _last(name, attributes):
    """The value of an attribute: of several, the last counts."""
    return ([None] + re.findall(rf'{name}="([^"]*)"', attributes))[-1]


def test_every_step_has_its_own_time():
    y, p = loop()
    found = times("unrolled", y, p)
    assert sorted(found.seconds.values()) == [11.0, 12.0, 13.0, 100.0]
    assert {frame.step if frame else None: s for (_, frame), s in found.seconds.items()} == {
        0: 11.0,
        1: 12.0,
        2: 13.0,
        None: 100.0,
    }
    assert (found.low, found.high, found.hidden) == (0.0, 100.0, 0.0)
    text = draw(y, heat=p).source
    assert colours(text) == [("work", dot.between(dot.HEAT, s / 100)) for s in (11.0, 12.0, 13.0, 100.0)]
    assert "all drawn: 136 s of 1136 s in the profiled block" in text
    assert "11.0 s forward and backward" in text  # a tooltip


def test_a_folded_vertex_has_the_time_of_all_steps():
    y, p = loop()
    assert sorted(times("folded", y, p).seconds.values()) == [36.0, 100.0]
    found = colours(draw(y, view="folded", heat=p).source)
    assert (r"work\n36.0 s", dot.between(dot.HEAT, 0.36)) in found
    assert (r"work\n100 s", dot.between(dot.HEAT, 1.0)) in found
    assert r"all steps together" in draw(y, view="folded", heat=p).source


def test_a_box_has_the_time_of_all_that_is_in_it():
    y, p = loop()
    found = times("module", y, p)
    assert {vertex[-1]: s for (vertex, _), s in found.seconds.items()} == {"first": 100.0, "cell": 36.0}
    boxes = dict(colours(draw(y, view="module", heat=p).source))
    assert boxes[r"cell\n36.0 s"] == dot.between(dot.HEAT, 0.36)


@pytest.mark.parametrize("view", ["unrolled", "folded", "module", "ops"])
def test_what_is_drawn_and_what_is_not_add_up(view):
    lstm, x = nn.LSTM(3, 4, num_layers=2), np.ones((4, 2, 3), "f")
    with ag.profile() as p, ag.stepwise():
        y = (lstm(x)[0] * 2.0).sum()
        y.backward()
    reading = Reading(results_of(y))
    whole = sum(p.seconds(node) for node in reading.nodes)
    found = times(view, y, p)
    assert sum(found.seconds.values()) + found.hidden == pytest.approx(whole)
    assert found.hidden < 0.5 * whole
    assert whole < sum(row.seconds for row in p.rows())  # the last states are not behind y
    source = draw(y, view=view, heat=p).source
    assert ("that are not drawn" in source) == (found.hidden > 0)


def test_operations_that_are_left_out_are_told():
    y, p = loop()
    source = draw(y * 1.0, heat=p, hide=["Work"]).source
    assert "all drawn: 0 s of 1136 s" in source and "of operations that are not drawn: 136 s" in source


def test_sums_that_are_drawn_as_one_add_up():
    a, ticks = [Variable(float(i)) for i in range(4)], iter(range(10**6))
    with ag.profile(lambda: float(next(ticks))) as p:  # every call takes a second
        y = a[0] + a[1] + a[2] + a[3]
        y.backward()
    assert list(times("ops", y, p).seconds.values()) == [6.0]


def test_ends_of_the_scale():
    y, p = loop()
    source = draw(y, heat=p, vmin=12.0, vmax=52.0).source
    legend = source[source.index("cluster_legend") :]
    labels = re.findall(r'label="([^"]*)"', legend)
    assert labels[1:] == ["≤ 12.0 s", "22.0 s", "32.0 s", "42.0 s", "≥ 52.0 s"]
    fills = [dot.between(dot.HEAT, at) for at in (0.0, 0.0, 1 / 40, 1.0)]  # 11, 12, 13 and 100 seconds
    assert [fill for _, fill in colours(source)] == fills


def test_what_did_not_run_stays_white():
    y, p = loop()
    with ag.step(7):
        z = y * 3.0
    source = draw(z, heat=p).source
    assert "not profiled" in source and dict(colours(source))["× 3"] is None


def test_arrows_look_as_without_heat():
    y, p = loop()
    arrows = [re.findall(r"^\s*\w+ -> .*$", draw(y, heat=heat).source, re.M) for heat in (None, p)]
    assert arrows[0] == arrows[1] != []


def test_errors_say_what_to_pass():
    y, p = loop()
    with ag.watch() as w:
        loop()
    with pytest.raises(TypeError, match="expected heat to be a profile, got watch: pass it as watch="):
        draw(y, heat=w)
    with pytest.raises(ValueError, match="expected watch= or heat=, got both"):
        draw(y, heat=p, watch=w)
    with pytest.raises(ValueError, match=r"expected vmin above 0, got 0$"):
        draw(y, heat=p, vmin=0)
    with pytest.raises(ValueError, match="expected vmax with watch= or heat="):
        draw(y, vmax=1.0)
