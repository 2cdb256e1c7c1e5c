"""What users point out in a drawing: arrows and vertices, with words."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, graph
from autograd.graph.picture.dot import MARKED

COLOUR = MARKED["color"]


def statements(drawing, words):
    """The statements of a drawing in which ``words`` stand."""
    return [line.strip() for line in drawing.source.splitlines() if words in line]


def ends(drawing, words):
    """The labels at the two ends of the arrows that say ``words``."""
    labels = dict(re.findall(r'^\s*(\w+) \[.*?label="(.*?)"', drawing.source, re.M))
    found = []
    for line in statements(drawing, words):
        tail, head = re.match(r"(\w+)(?::\w+)? -> (\w+)", line).groups()
        found.append((labels[tail], labels[head]))
    return found


def network(steps=3):
    W, U = Variable(0.5 * np.eye(2), name="W"), Variable(np.ones((2, 2)), name="U")
    h, hs = Variable(np.zeros((1, 2)), requires_grad=False, name="s"), []
    for t in range(steps):
        with ag.step(t):
            h = ag.tanh(Variable(np.ones((1, 2)), requires_grad=False, name="x") @ U + h @ W)
        h.name = "h"
        hs.append(h)
    return W, U, hs


def product(h):
    """The product of the state before and W, behind a state."""
    return h.creator.edges[0].edges[1]


@pytest.mark.parametrize("view", ["unrolled", "ops"])
def test_an_arrow_from_a_leaf(view):
    W, U, hs = network()
    drawing = graph.draw(hs[-1], view=view, mark={(product(hs[1]), 1): "here"})
    (line,) = statements(drawing, "here")
    assert COLOUR in line and MARKED["penwidth"] in line
    assert ends(drawing, "here") == [("W\\n2×2", "@")]
    if view == "unrolled":
        assert re.match(r"v\d+_1 -> ", line)  # in its own step alone


def test_an_arrow_between_steps_says_it_once():
    """Where it is drawn in two parts, both have the colour."""
    W, U, hs = network()
    plain, marked = (graph.draw(hs[-1], mark=mark) for mark in (None, {(product(hs[2]), 0): "here"}))
    assert len(statements(marked, "here")) == 1
    coloured = [line for line in statements(marked, COLOUR) if "->" in line]
    assert len(coloured) == 2 and COLOUR not in plain.source


@pytest.mark.parametrize("view", ["folded", "module"])
def test_one_step_stands_for_all(view):
    W, U, hs = network(5)
    drawing = graph.draw(hs[-1], view=view, mark={(product(hs[3]), 0): "here"})
    assert ends(drawing, "here") == [("tanh", "@")]
    (line,) = statements(drawing, "here")
    assert "t−1" in line  # the words that stand there anyway stay
    assert COLOUR in line


def test_an_arrow_that_is_hidden_shows_nothing():
    W, U, hs = network()
    assert COLOUR not in graph.draw(hs[-1], hide=[W], mark={(product(hs[1]), 1): "here"}).source


def test_an_arrow_from_a_transposed_weight():
    W, h, products = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)), requires_grad=False), []
    turned = W.T
    for t in range(3):
        with ag.step(t):
            products.append(h @ turned)
            h = ag.tanh(products[-1])
    drawing = graph.draw(h, mark={(products[1].creator, 1): "here", (turned.creator, 0): "nowhere"})
    assert ends(drawing, "here") == [("Wᵀ\\n2×2", "@")]
    assert "nowhere" not in drawing.source  # no arrow leads to what is drawn as a leaf


def test_an_arrow_that_is_drawn_in_every_step_is_marked_in_all():
    W, h = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)), requires_grad=False)
    double = W * 2.0
    for t in range(3):
        with ag.step(t):
            h = ag.tanh(h @ double)
    assert ends(graph.draw(h, mark={(double.creator, 0): "here"}), "here") == [("W\\n2×2", "× 2")] * 3


def test_a_term_of_a_sum_that_is_drawn_as_one():
    xs = [Variable(1.0, name=f"x{i}") for i in range(5)]
    total = sum(xs)
    inner = total.creator.edges[0].edges[0]  # (((0 + x0) + x1) + x2) of five
    drawing = graph.draw(total, mark={(inner, 1): "here"})
    assert ends(drawing, "here") == [("x2", "Σ")]
    assert graph.draw(total, mark={inner: "there"}).source.count("there") == 1


def test_vertices_are_marked_by_variable_and_by_node():
    W, U, hs = network()
    drawing = graph.draw(hs[-1], mark={W: "the weight", hs[0]: "the first", product(hs[1]): ""})
    weights = statements(drawing, "the weight")
    assert len(weights) == 3 and all(COLOUR in line for line in weights)  # a copy in every step
    (first,) = statements(drawing, "the first")
    assert "tanh" in first and COLOUR in first
    assert len([line for line in statements(drawing, COLOUR) if 'label="@"' in line]) == 1


def test_a_box_shows_what_is_marked_in_it():
    layer = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    y = layer(np.ones((1, 2), "f"))
    drawing = graph.draw(ag.sum(y), params=layer, view="module", mark={y: "here"})
    (line,) = statements(drawing, "here")
    assert "Tanh" in line and COLOUR in line


def test_marks_and_heat_go_together():
    W, U, hs = network()
    loss = ag.sum(hs[-1])
    with ag.watch() as watch:
        loss.backward()
    drawing = graph.draw(loss, watch=watch, mark={(product(hs[1]), 1): "here"})
    (line,) = statements(drawing, "here")
    assert COLOUR in line and "|contribution|" in line


def test_marking_changes_nothing_else():
    W, U, hs = network()
    plain, marked = graph.draw(hs[-1]).source, graph.draw(hs[-1], mark={hs[0]: "here"}).source
    assert len(plain.splitlines()) == len(marked.splitlines())
    assert sum(a != b for a, b in zip(plain.splitlines(), marked.splitlines(), strict=True)) == 1


@pytest.mark.parametrize(
    "key, error, words",
    [
        ("W", TypeError, "pairs .Function, number of an input., got the key 'W'"),
        ((1, 2), TypeError, "got the key"),
        (("node", 5), ValueError, "name an input of .*MatMul.* got 5"),
        (("scaled", 1), ValueError, "no Python number, got 1"),
    ],
)
def test_what_is_no_mark(key, error, words):
    W, U, hs = network()
    y = hs[-1] * 2.0
    nodes = {"node": product(hs[1]), "scaled": y.creator}
    key = (nodes[key[0]], key[1]) if key[0] in nodes else key
    with pytest.raises(error, match=words):
        graph.draw(y, mark={key: "here"})
