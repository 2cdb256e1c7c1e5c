"""Questions about graphs, against graphs small enough to answer by hand; and the comparison of two."""

import numpy as np
import pytest

import autograd as ag
from autograd import Variable
from autograd.graph import diff, query


def diamond():
    """x -> exp, sin -> their product -> sum."""
    x = Variable(np.ones(3), name="x")
    a, b = ag.exp(x), ag.sin(x)
    return x, a, b, ag.sum(a * b)


def loop(T, cut=None):
    W, h = Variable(np.eye(3), name="W"), Variable(np.ones((1, 3)), name="h0")
    states = [h]
    for t in range(T):
        with ag.step(t):
            if t == cut:
                h = h.detach()
            h = ag.tanh(h @ W)
            states.append(h)
    return W, states


def labels(nodes):
    return [n.label for n in nodes]


def test_consumers():
    x, a, _, y = diamond()
    assert labels(query.consumers(y, of=x)) == ["Exp", "Sin"]
    assert labels(query.consumers(y, of=a)) == ["Mul"]
    assert query.consumers(y, of=Variable(1.0)) == []
    W, states = loop(4)
    assert [n.place.step for n in query.consumers(states[-1], of=W)] == [0, 1, 2, 3]


def test_consumers_of_one_output_of_several():
    a, b = ag.split(ag.exp(Variable(np.ones(4))), 2)
    y = [ag.sin(a), ag.cos(b)]
    assert labels(query.consumers(y, of=a)) == ["Sin"]
    assert labels(query.consumers(y, of=b)) == ["Cos"]


def test_shortest_path():
    W, states = loop(5)
    assert labels(query.shortest_path(W, states[-1])) == ["MatMul", "Tanh"]
    assert [n.place.step for n in query.shortest_path(W, states[-1])] == [4, 4]
    assert len(query.shortest_path(states[0], states[-1])) == 10
    assert labels(query.shortest_path(states[4], states[5])) == ["Tanh", "MatMul", "Tanh"]
    assert query.shortest_path(states[5], states[4]) is None
    assert query.shortest_path(W, W) == []


def test_the_shortest_of_two_ways_is_found_whichever_is_made_first():
    for short_first in (True, False):
        x = Variable(np.ones(2))
        long = np.sin(np.exp(np.tanh(x)))
        y = np.cos(x) * long if short_first else long * np.cos(x)
        assert labels(query.shortest_path(x, y)) == ["Cos", "Mul"]


def test_the_way_of_one_output_leads_through_what_uses_it():
    """Split gives a and b; sin uses a, cos uses b."""
    a, b = ag.split(ag.exp(Variable(np.ones(4))), 2)
    for y in (ag.sin(a) + ag.cos(b), ag.cos(b) + ag.sin(a)):
        assert labels(query.shortest_path(a, y)) == ["Split", "Sin", "Add"]
        assert labels(query.shortest_path(b, y)) == ["Split", "Cos", "Add"]
    assert query.shortest_path(b, ag.sin(a)) is None
    assert query.shortest_path(b, [ag.sin(a), b]) == [b.creator]


def test_number_of_paths():
    x, a, _, y = diamond()
    assert query.paths(x, y) == 2
    assert query.paths(a, y) == 1
    assert query.paths(y, y) == 1
    W, states = loop(7)
    assert query.paths(W, states[-1]) == 7
    v = x
    for _ in range(100):
        v = v + v
    assert query.paths(x, v) == 2**100


def test_number_of_paths_against_all_of_them():
    rng = np.random.default_rng(0)
    values = [Variable(1.0)]
    parents = {0: []}
    for n in range(1, 12):
        i, j = (int(k) for k in rng.integers(0, n, 2))
        values.append(values[i] * values[j])
        parents[n] = [i, j]
    ways = [[0]]
    found = 0
    while ways:
        ways = [[*way, n] for way in ways for n, ps in parents.items() for p in ps if p == way[-1]]
        found += sum(way[-1] == 11 for way in ways)
    assert query.paths(values[0], values[-1]) == found > 1


def test_receptive_field():
    W, states = loop(6, cut=2)
    field = query.receptive_field(states[-1])
    assert [leaf.name for leaf in field.leaves] == ["W"]
    assert len(field.constants) == 1
    assert field.steps == [2, 3, 4, 5]
    assert query.receptive_field(W).leaves[0] is W


def test_nodes_per_step():
    _, states = loop(3)
    assert query.nodes_per_step(ag.sum(states[-1])) == {None: 1, 0: 2, 1: 2, 2: 2}


def test_long_graphs_need_no_recursion():
    W, states = loop(20_000)
    assert query.paths(W, states[-1]) == 20_000
    assert len(query.shortest_path(states[0], states[-1])) == 40_000


# --- the comparison -----------------------------------------------------------------------------

RED, GREEN = "#b3261e", "#1b7a3d"


def test_the_same_graph_twice_has_no_difference():
    (_, a), (_, b) = loop(3), loop(3)
    source = diff(a[-1], b[-1]).source
    assert "no difference" in source
    assert RED not in source
    assert GREEN not in source


def test_one_more_step_is_green():
    (_, a), (_, b) = loop(3), loop(4)
    source = diff(a[-1], b[-1]).source
    new = [line for line in source.splitlines() if f'fontcolor="{GREEN}"' in line]
    assert sorted(label for label in ("@", "tanh") for line in new if f'label="{label}"' in line) == [
        "@",
        "tanh",
    ]
    assert len(new) == 2
    turned = diff(b[-1], a[-1]).source
    assert len([line for line in turned.splitlines() if f'fontcolor="{RED}"' in line]) == 2


def test_what_a_cut_takes_away_is_red():
    (_, a), (_, b), (_, c) = loop(4), loop(4, cut=2), loop(4)
    red = [line for line in diff(a[-1], b[-1]).source.splitlines() if f'fontcolor="{RED}"' in line]
    assert sum("MatMul" in line for line in red) == 2
    c[2].unchain()
    assert diff(a[-1], c[-1]).source.count(f'fontcolor="{RED}"') == len(red)


@pytest.mark.parametrize("cut, direction", [(None, "LR"), (3, "BT")])
def test_long_graphs_are_compared_by_their_ends(cut, direction):
    (_, a), (_, b) = loop(3000), loop(3000, cut)
    source = diff(a[-1], b[-1], direction=direction).source
    assert ("no difference" in source) == (cut is None)
