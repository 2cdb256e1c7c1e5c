"""Formulas on arrows that point back: evaluated with the numbers of a pass, each is what flowed there."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Parameter, Variable, graph
from autograd.core import Function
from autograd.graph.picture.backward import Backward, _products
from autograd.graph.picture.names import Names
from autograd.graph.reading import Reading, results_of
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
    told = 0
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
    assert told >= 6


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
    assert 'label="dz ∘ y"' in source
    assert 'label="dz ∘ x"' in source
    assert source.count('dir="back"') == 3
    assert "what an operation gives back" in source


def test_a_value_with_two_uses_has_the_sum_of_both():
    x = Variable(2.0, name="x")
    h = ag.exp(x)
    y = ag.sin(h) + ag.cos(h)
    y.name = "y"
    source = graph.draw(y, view="ops", show={"backward"}).source
    (line,) = [line for line in source.splitlines() if "v0 ->" in line]
    assert "(dy ∘ cos exp(x) − dy ∘ sin exp(x)) ∘ exp(x)" in line


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
