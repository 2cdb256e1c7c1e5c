"""The short examples: each runs to its end, prints its metric beside a baseline, and says what is true."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")

import autograd as ag
import nn
from autograd.graph import query
from examples import bptt_by_hand, define_and_run, polynomials, shifted_positions, tree_vs_chain
from examples.shared import tasks
from nn.tree import height
from tests.examples.figures import assert_figures

EXAMPLES = [bptt_by_hand, define_and_run, polynomials, shifted_positions, tree_vs_chain]


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_runs_to_its_end(example, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_figures(example.main(["--quick"]))
    assert capsys.readouterr().out.strip()
    if example is shifted_positions:
        assert "<svg" in (tmp_path / "runs/shifted_positions/graph.svg").read_text(encoding="utf-8")


def test_examples_are_listed():
    root = Path(__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-m", "examples"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    for example in EXAMPLES:
        assert f"python -m {example.__name__} " in out
        assert example.__doc__.partition("\n")[0] in out


def test_formulas_by_hand_and_the_engine_agree(capsys, rng):
    apart = bptt_by_hand.main(["--quick"])["largest distance to by hand"]
    assert apart["gradients by the engine"] < 1e-13 < apart["gradients by finite differences"] < 1e-6
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert {row[0] for row in rows if row and len(row[0]) == 1} == set("UWbVc")  # every weight is compared
    p = {"U": np.ones((2, 1)), "W": np.eye(2), "b": np.zeros(2), "V": np.ones((2, 2)), "c": np.zeros(2)}
    x, y = tasks.parity(3, 4, rng)
    loss, _ = bptt_by_hand.by_hand(p, x, y)
    assert loss == pytest.approx(np.log(2))  # equal rows of V: both classes are always as likely


def test_a_declared_expression_runs_later():
    a, b = define_and_run.Variable("a"), define_and_run.Variable("b")
    f = define_and_run.compile(a * b + define_and_run.Constant(1.0) + a * a)
    assert f(a=2.0, b=5.0) == 15.0
    assert f.__doc__.count("a * a") == 1
    with pytest.raises(TypeError, match="no value yet"):
        bool(a)


def test_the_compiler_computes_nothing_twice():
    a = define_and_run.Variable("a")
    f = define_and_run.compile(define_and_run.tanh(a) * define_and_run.tanh(a))
    assert f.__doc__.count("tanh") == 1 and f(a=0.3) == pytest.approx(np.tanh(0.3) ** 2)
    long = a
    for _ in range(3000):  # no recursion
        long = long + 1
    assert define_and_run.compile(long)(a=0) == 3000


@pytest.mark.parametrize("declare", [
    lambda a, b: a * b - a + 2,
    lambda a, b: define_and_run.tanh(a * b) * a - b * 0.5,
    lambda a, b: define_and_run.tanh(define_and_run.tanh(a) - b * b) + a * a * a,
])  # fmt: skip
def test_declared_gradients_are_those_of_differences(declare):
    a, b = define_and_run.Variable("a"), define_and_run.Variable("b")
    end, at, eps = declare(a, b), np.array([0.3, -0.8]), 1e-6
    value = define_and_run.compile(end)
    found = define_and_run.compile(*define_and_run.gradient(end, a, b))(*at)
    for k, step in enumerate(np.eye(2) * eps):
        expected = (value(*(at + step)) - value(*(at - step))) / (2 * eps)
        assert float(found[k]) == pytest.approx(expected, rel=1e-7)


def test_declared_first_and_recorded_by_running_give_the_same():
    a, b = define_and_run.Variable("a"), define_and_run.Variable("b")
    c = a + b
    d = c + define_and_run.Constant(1)
    f = define_and_run.compile(d)
    assert f(a=2, b=3) == 6
    u, v = np.linspace(-2, 2, 5), np.linspace(3, 7, 5)
    x, y = ag.Variable(u), ag.Variable(v)
    by_run = x + y + 1
    np.testing.assert_array_equal(f(a=u, b=v), by_run.data)
    by_run.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones(5))
    np.testing.assert_array_equal(y.grad.data, np.ones(5))


def test_every_input_has_a_loop_of_its_own_length():
    lengths = []
    for x_value, w_value in [(0.1, 0.2), (0.5, 0.9), (-2.0, 0.9), (0.01, 0.99)]:
        x, w = ag.Variable(x_value), ag.Variable(w_value)
        h, steps = define_and_run.settle(x, w)
        h.backward()
        end = float(h.data)
        slope = define_and_run.settled_slope(end, w_value)
        np.testing.assert_allclose(x.grad.data, slope, rtol=2e-6)
        np.testing.assert_allclose(w.grad.data, slope * end, rtol=2e-6)  # as dh/dw = h · dh/dx
        assert len(query.consumers(h, x)) == steps  # x is used once in every step
        lengths.append(steps)
    assert len(set(lengths)) == 4


def test_a_convolution_multiplies_polynomials(capsys):
    assert polynomials.by_hand([1, 2, 3], [4, 5, 6]).tolist() == [4, 13, 28, 27, 18]
    polynomials.main(["--quick"])
    lines = capsys.readouterr().out.splitlines()
    assert all("[ 4. 13. 28. 27. 18.]" in line for line in [*lines[:3], lines[4]])
    assert "[ 4. 13. 28. 27. 18.]" not in lines[3]  # what layers compute is a correlation


def test_expressions_are_read_and_written(rng):
    MAX, MIN, SUM = tree_vs_chain.MAX, tree_vs_chain.MIN, tree_vs_chain.SUM
    tree = (MAX, 3, (MIN, (SUM, 8, 9), 5))
    assert tree_vs_chain.value(tree) == 5
    assert len(tree_vs_chain.words(tree)) == 3 * 3 + 4
    assert height(tree) == 3
    for levels in range(6):
        assert height(tree_vs_chain.expression(levels, rng)) == levels


def test_years_stand_where_they_should(rng):
    x, y = shifted_positions.batch(50, 3, 5, rng)
    assert x.shape == (shifted_positions.LENGTH, 50) and y.shape == (50,)
    at, row = np.nonzero(x < 10)
    assert sorted(row) == list(range(50)) and set(at) == {3, 4, 5}
    np.testing.assert_array_equal(x[at, row], y[row])


@pytest.mark.full
def test_only_the_recurrent_network_finds_a_year_at_a_new_position():
    middle = shifted_positions.LENGTH // 2
    seen = shifted_positions.batch(400, 1, middle - 1, np.random.default_rng(1))
    unseen = shifted_positions.batch(400, middle, shifted_positions.LENGTH - 1, np.random.default_rng(2))
    right = {}
    for model in (shifted_positions.FeedForward, shifted_positions.Recurrent):
        nn.manual_seed(0)
        made = model(16)
        shifted_positions.train(made, 300, model.__name__)
        assert shifted_positions.accuracy(made, *seen) > 0.99
        right[model] = shifted_positions.accuracy(made, *unseen)
    assert right[shifted_positions.FeedForward] < 0.2 and right[shifted_positions.Recurrent] > 0.8
