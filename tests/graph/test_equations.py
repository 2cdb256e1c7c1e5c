"""Equations: every line holds, with the values that were recorded and the gradients that flowed.

What is printed and what is evaluated here come from one expression; that it is printed right is tested
apart, by reading printed lines back.
"""

import ast
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
import nn
from autograd import Function, Parameter, Variable, graph
from autograd.core import Constant
from autograd.graph.equations import FUNCTIONS
from autograd.graph.equations.rules import SETTINGS
from autograd.graph.equations.writing import Symbol, Writer
from autograd.modes import instrumented
from tests.cases import conv_cases  # noqa: F401  (adds its rows to the table)
from tests.cases.op_cases import CASES


class Values:
    """An instrument that keeps what went into every operation and what came out."""

    def __init__(self):
        self.of_node, self.of_constant = {}, {}

    def forward(self, node, inputs, outputs):
        self.of_node[node.number] = outputs
        for edge, x in zip(node.edges, inputs, strict=True):
            if isinstance(edge, Constant):
                self.of_constant[id(edge)] = x

    def backward(self, node, gys, gxs):
        pass

    def __getitem__(self, source):
        item, k = source
        if isinstance(item, Function):
            return self.of_node[item.number][k]
        if isinstance(item, Constant):
            if item.origin is not None and item.origin[0] in self.of_node:
                return self.of_node[item.origin[0]][item.origin[1]]
            return self.of_constant[id(item)]
        return item.data


class Series(dict):
    """Values by step; those of other steps are 0, or what they are said to be."""

    def __init__(self, values, fill):
        super().__init__(values)
        self.fill = np.full_like(next(iter(values.values())), fill)

    def __missing__(self, step):
        return self.fill


def holds(formula, values, watch=None, leaves=(), rtol=1e-9):
    """Evaluate every equation in turn; returns how many single equations held."""
    known = {**FUNCTIONS, **SETTINGS, **formula.settings}
    for name, source in formula.sources.items():
        if isinstance(source, dict):
            known[name] = Series({t: values[s] for t, s in source.items()}, 1.0)
        else:
            known[name] = values[source]
    gradients = {id(leaf): leaf.grad.data for leaf in leaves}

    def gradient(source):
        item, k = source
        if isinstance(item, Function):
            g = watch.gradient(item)
            return None if g is None else g[k] if isinstance(g, tuple) else g
        return gradients.get(id(item))

    if watch is not None:
        for name, source in formula.sources.items():
            if isinstance(source, dict):
                found = {t: g for t, s in source.items() if (g := gradient(s)) is not None}
                if found:
                    known[f"g_{name}"] = Series(found, 0.0)
            elif (g := gradient(source)) is not None:
                known[f"g_{name}"] = g
    count = 0
    for equation in formula.equations:
        target, tree = ast.unparse(equation.target), ast.unparse(equation.tree)
        steps = [None] if equation.steps is None else eval(ast.unparse(equation.steps))
        for t in steps:
            got = np.asarray(eval(tree, {**known, "t": t}))
            name, _, rest = target.partition("[")
            if rest and int(eval(rest[:-1], {"t": t})) not in known[name]:  # what h was before the loop
                known[name][eval(rest[:-1], {"t": t})] = got
                continue
            expected = np.asarray(eval(target, {**known, "t": t}))
            if got.shape != expected.shape:  # a number where an array has the same number everywhere
                assert got.size == 1, f"{target} = {tree}"
            scale = np.abs(expected).max(initial=0.0)
            assert_allclose(
                got, expected + 0 * got, rtol, rtol * scale, err_msg=f"{target} = {tree}, t = {t}"
            )
            count += 1
    return count


def check(f, leaves, fold=False, params=None, rtol=1e-9):
    with instrumented(values := Values()):
        y = f()
    result = graph.formula(y, wrt=list(leaves), params=params, fold=fold)
    for x in leaves:
        x.grad = None
    with ag.watch() as watch:
        ag.backward(y, np.ones_like(y.data), retain_graph=True)
    assert holds(result, values, watch, leaves, rtol) > 0
    assert holds(graph.formula(y, params=params, fold=fold), values, rtol=rtol) > 0
    assert len(result.lines) == len(result.text.splitlines()) == len(result.code)
    return result


def scalar(ys):
    """A number that depends on all of the outputs."""
    parts = [ag.sum(y * np.linspace(0.5, 1.5, y.size).reshape(y.shape)) for y in ys]
    return sum(parts[1:], parts[0])


BY_NAME = "eig|svd|norm of matrices, (2|-2|nuc)|(complex_)?linear_scan"  # all others have rules of their own


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_every_operation_is_written_as_something_true(case):
    arrays = case.inputs()
    xs = [Parameter(a, name=f"x{i}") for i, a in enumerate(arrays)]

    def f():
        ys = case.f(*xs)
        return scalar(ys if isinstance(ys, tuple | list) else (ys,))

    result = check(f, xs, rtol=1e-7)
    by_name = re.match(BY_NAME, case.name) is not None
    assert ("vjp" in "".join(result.code)) == by_name


# --- what is printed ------------------------------------------------------------------------------


def elman(steps=4, named_start=True):
    """A loss of an Elman network, and its leaves."""
    rng = np.random.default_rng(0)
    W = Parameter(rng.normal(size=(3, 3)), name="W_hh")
    U = Parameter(rng.normal(size=(2, 3)), name="W_xh")
    b = Parameter(rng.normal(size=3), name="b")

    def loss():
        h = Variable(np.ones((2, 3)), requires_grad=False, name="h₀" if named_start else "s")
        for t in range(steps):
            with ag.step(t):
                x = Variable(rng.normal(size=(2, 2)), requires_grad=False, name="x")
                h = ag.tanh(x @ U + h @ W + b)
                h.name = "h"
        L = ag.square(h - 1.0).sum()
        L.name = "L"
        return L

    return loss, [W, U, b]


def lines(result):
    """The text without what only aligns it."""
    return [re.sub(" +", " ", line.strip()) for line in result.text.splitlines()]


def test_an_elman_network():
    loss, (W, U, b) = elman(3, named_start=False)
    assert lines(graph.formula(loss())) == [
        "h₀ = tanh(x₀ W_xh + s W_hh + b)",
        "h₁ = tanh(x₁ W_xh + h₀ W_hh + b)",
        "h₂ = tanh(x₂ W_xh + h₁ W_hh + b)",
        "L = Σ (h₂ − 1)²",
    ]
    assert lines(graph.formula(loss(), fold=True)) == [
        "h₋₁ = s",
        "hₜ = tanh(xₜ W_xh + hₜ₋₁ W_hh + b) t = 0, 1, 2",
        "L = Σ (h₂ − 1)²",
    ]
    result = check(loss, [W, b], fold=True)
    assert lines(result) == [
        "h₋₁ = s",
        "zₜ = xₜ W_xh + hₜ₋₁ W_hh + b t = 0, 1, 2",
        "hₜ = tanh(zₜ) t = 0, 1, 2",
        "L = Σ (h₂ − 1)²",
        "gL = 1",
        "ghₜ = [t = 2] 2 gL (hₜ − 1) + gzₜ₊₁ W_hhᵀ t = 0, 1, 2",
        "gzₜ = ghₜ ∘ (1 − hₜ²) t = 0, 1, 2",
        "gW_hh = Σₜ hₜ₋₁ᵀ gzₜ",
        "gb = Σₜ Σ₀ gzₜ",
    ]
    assert result.lines[1:3] == [
        r"z_{t} = x_{t}\, W_{xh} + h_{t - 1}\, W_{hh} + b\qquad t = 0, 1, 2",
        r"h_{t} = \tanh\left(z_{t}\right)\qquad t = 0, 1, 2",
    ]
    assert result.lines[-2] == r"\bar{W}_{hh} = \sum_{t=0}^{2} h_{t - 1}^{\top}\, \bar{z}_{t}"
    assert result.code[-2] == "g_W_hh = total((T(h[t - 1]) @ g_z[t] for t in range(0, 3)))"
    assert result.latex.startswith("\\begin{aligned}\nh_{-1} &= s \\\\\n")
    assert result._repr_latex_() == f"$$\n{result.latex}\n$$"


def test_gradients_follow_the_backward_pass():
    loss, (W, U, b) = elman(2, named_start=False)
    assert [line.partition(" =")[0] for line in lines(check(loss, [W]))] == [
        *("z₀", "h₀", "z₁", "h₁", "L"),
        *("gL", "gh₁", "gz₁", "gh₀", "gz₀", "gW_hh"),
    ]


def test_a_name_that_would_be_taken_for_a_step_puts_steps_above():
    loss, (W, U, b) = elman(3)
    text = lines(check(loss, [W], fold=True))
    assert text[:3] == [
        "h⁽⁻¹⁾ = h₀",
        "z⁽ᵗ⁾ = x⁽ᵗ⁾ W_xh + h⁽ᵗ⁻¹⁾ W_hh + b t = 0, 1, 2",
        "h⁽ᵗ⁾ = tanh(z⁽ᵗ⁾) t = 0, 1, 2",
    ]
    assert r"\left(1 - \left(h^{(t)}\right)^{2}\right)" in graph.formula(loss(), wrt=W, fold=True).latex
    assert r"{h^{(t - 1)}}^{\top}" in graph.formula(loss(), wrt=W, fold=True).latex


def test_the_equations_in_the_documents_are_those_of_the_code(capsys):
    page = (Path(__file__).parents[2] / "docs" / "drawing.md").read_text(encoding="utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.S) if "graph.formula" in block]
    exec(code, {})
    (shown,) = re.findall(r"```math\n(.*?)\n```", page, re.S)
    out = capsys.readouterr().out
    assert shown in out
    (said,) = re.findall(r"# as text: (.*)", code)
    assert said in out


def test_more_steps_are_as_many_lines():
    few, many = (graph.formula(elman(T)[0](), fold=True) for T in (3, 40))
    assert [line.replace("39", "2") for line in lines(many)][0] == lines(few)[0]
    assert len(lines(many)) == len(lines(few)) == 3


MODELS = {
    "rnn": lambda: nn.RNN(3, 4, dtype=float),
    "gru": lambda: nn.GRU(3, 4, dtype=float),
    "lstm": lambda: nn.LSTM(3, 4, dtype=float),
    "projected": lambda: nn.LSTM(3, 4, proj_size=2, dtype=float),
    "stacked": lambda: nn.LSTM(3, 4, num_layers=2, dtype=float),
    "both ways": lambda: nn.RNN(3, 4, bidirectional=True, dtype=float),
}


@pytest.mark.parametrize("stepwise", [False, True])
@pytest.mark.parametrize("fold", [False, True])
@pytest.mark.parametrize("name", MODELS)
def test_layers(name, fold, stepwise, rng):
    nn.manual_seed(0)
    model, x = MODELS[name](), rng.normal(size=(4, 2, 3))

    def loss():
        with ag.stepwise() if stepwise else ag.enable_grad():
            y, state = model(x)
        return scalar([y, *(state if isinstance(state, tuple) else [state])])

    result = check(loss, list(model.parameters()), fold=fold, params=model)
    if fold:  # nothing is left over for single steps
        assert not [line for line in result.code if re.match(r"\w+\[[0-4]\]", line) and "LSTM" in name]
        assert len(result.equations) < 25 * len(list(model.parameters()))


def test_an_lstm_by_its_equations(rng):
    nn.manual_seed(0)
    model, x = nn.LSTM(3, 4, dtype=float), rng.normal(size=(5, 2, 3))
    with ag.stepwise():
        y, _ = model(x)
        losses = [ag.square(h).sum() for h in y]
    W = dict(model.named_parameters())["weight_hh_l0"]
    text = lines(graph.formula(sum(losses), wrt=W, params=model, fold=True))
    for equation in (
        "iₜ = σ(z_iₜ)",
        "fₜ = σ(z_fₜ)",
        "gₜ = tanh(z_gₜ)",
        "cₜ = fₜ ∘ cₜ₋₁ + iₜ ∘ gₜ",
        "hₜ = oₜ ∘ tanh(cₜ)",
        "gfₜ = gcₜ ∘ cₜ₋₁",
        "gcₜ = ghₜ ∘ oₜ ∘ (1 − tanh(cₜ)²) + gcₜ₊₁ ∘ fₜ₊₁",
        "gz_fₜ = gfₜ ∘ fₜ ∘ (1 − fₜ)",
    ):
        assert f"{equation} t = 0, …, 4" in text


def test_a_start_that_is_computed_gets_its_gradient(rng):
    nn.manual_seed(0)
    encoder, decoder = nn.RNN(3, 4, dtype=float), nn.RNN(2, 4, dtype=float)
    x, z = rng.normal(size=(4, 2, 3)), rng.normal(size=(3, 2, 2))

    def loss():
        with ag.stepwise():
            _, state = encoder(x)
            y, _ = decoder(z, state)
        return scalar([y])

    for fold in (False, True):
        check(loss, [*encoder.parameters(), *decoder.parameters()], fold=fold)


def test_a_state_that_is_detached_ends_the_sum(rng):
    """Windows of truncated backpropagation differ in their first step, so that steps stay apart."""
    W = Parameter(rng.normal(size=(3, 3)), name="W")

    def loss():
        h, losses = Variable(rng.normal(size=(1, 3)), requires_grad=False, name="h₀"), []
        for t in range(6):
            with ag.step(t):
                h = ag.tanh((h.detach() if t % 2 == 0 else h) @ W)
                losses.append(ag.square(h).sum())
        return sum(losses)

    for fold in (False, True):
        check(loss, [W], fold=fold)


def test_intermediate_values_may_be_asked_for(rng):
    x = Parameter(rng.normal(size=(2, 3)), name="x")
    h = ag.tanh(x)
    h.name = "h"
    L = ag.sum(h * h * x)
    text = lines(graph.formula(L, wrt=[h]))
    assert text[-1].startswith("gh = ") and not any(line.startswith("gx") for line in text)


def test_gradients_of_results_that_are_no_numbers_start_from_what_is_given(rng):
    x = Parameter(rng.normal(size=(2, 3)), name="x")
    y = ag.exp(x)
    y.name = "y"
    assert lines(graph.formula(y, wrt=x)) == ["y = exp(x)", "gx = gy ∘ y"]


def test_a_value_with_a_name_has_a_line_of_its_own():
    x = Parameter(1.0, name="x")
    u = x * 2.0
    assert lines(graph.formula(ag.exp(u))) == ["y = exp(2 x)"]
    u.name = "u"
    assert lines(graph.formula(ag.exp(u))) == ["u = 2 x", "y = exp(u)"]


def test_two_values_of_one_name_are_numbered():
    a, b = Variable(2.0, name="w"), Variable(3.0, name="w")
    assert lines(graph.formula(a * b + a, wrt=b)) == ["y = w w_2 + w", "gy = 1", "gw_2 = gy w"]


def test_ties_share(rng):
    a, b = (Parameter(np.array([1.0, 2.0, 3.0]), name=name) for name in "ab")
    check(lambda: ag.sum(ag.maximum(a, b) * ag.minimum(a, b[::-1])), [a, b])
    check(lambda: ag.max(ag.stack([a, b])), [a, b])


def test_broadcasting_is_summed_over_the_axes_that_were_stretched(rng):
    a, b = Parameter(rng.normal(size=(4, 1)), name="a"), Parameter(rng.normal(size=(2, 1, 3)), name="b")
    y = a * b
    y.name = "y"
    assert lines(graph.formula(y, wrt=[a, b])) == ["y = a ∘ b", "ga = Σ₀,₂ gy ∘ b", "gb = Σ₁ gy ∘ a"]


class Softsign(Function):
    symbol, rule = "softsign", "gx = gy / (1 + |x|)²"

    def forward(self, x):
        return x / (1 + np.abs(x))

    def backward(self, gy, x):
        return gy / np.square(1 + np.abs(x))


class Halves(Function):
    rule = "gx = the gy joined"

    def forward(self, x):
        return x[:1], x[1:]

    def backward(self, gy):
        return np.concatenate(gy)


@pytest.mark.parametrize("fold", [False, True])
def test_operations_of_others_go_by_their_names(rng, fold):
    W = Parameter(rng.normal(size=(2, 2)), name="W")

    def loss():
        h = Variable(np.ones((2, 2)), requires_grad=False, name="s")
        for _ in range(4):
            h = Softsign()(h @ W)
        a, b = Halves()(h)
        return ag.sum(a * b)

    result = check(loss, [W], fold=fold)
    text = result.text
    assert "softsign(" in text and "∂h" in text and "(ga, gv) ∂Halves/∂h" in text
    assert "gx = gy / (1 + |x|)²" in text
    assert r"\operatorname{softsign}" in result.latex and r"\frac{\partial h_" in result.latex
    if fold:
        assert sum("softsign(" in line for line in text.splitlines()) == 1


def test_a_formula_can_be_made_after_the_backward_pass(rng):
    x = Parameter(rng.normal(size=4), name="x")
    y = ag.sum(x[1:] * x[[0, 2, 2]])
    before = graph.formula(y, wrt=x).text
    assert "x[1:]" in before
    y.backward()
    assert "x[i]" in graph.formula(y, wrt=x).text


def test_the_graph_stays_as_it_is(rng):
    loss, (W, *_) = elman()
    L = loss()
    source = graph.draw(L).source
    graph.formula(L, wrt=W, fold=True)
    assert graph.draw(L).source == source


def test_many_steps_do_not_recurse(rng):
    W = Parameter(np.eye(2) * 0.9, name="W")
    h = Variable(np.ones((1, 2)), requires_grad=False)
    for _ in range(3000):
        h = h @ W
    assert len(graph.formula(h, fold=True).lines) == 2
    y = x = Parameter(np.ones(2), name="x")
    for _ in range(1500):  # no loop: nothing tells the iterations apart
        y = ag.tanh(y) if y.creator is None or y.creator.label == "Exp" else ag.exp(y)
    assert graph.formula(y, wrt=x).lines


def test_errors_say_what_to_do(rng):
    x, y = Parameter(1.0, name="x"), Parameter(2.0, name="y")
    with pytest.raises(TypeError, match="formula expected wrt to be a Variable or a list of those, got str"):
        graph.formula(x * x, wrt="x")
    with pytest.raises(TypeError, match="formula expected a Variable with wrt=, got list"):
        graph.formula([x * x], wrt=x)
    with pytest.raises(ValueError, match="formula found no y .* behind y"):
        graph.formula(x * x, wrt=y)
    with pytest.raises(ValueError, match="run the forward pass without checkpoint"):
        graph.formula(ag.checkpoint(lambda x: x * x, x), wrt=x)


# --- reading back ---------------------------------------------------------------------------------


def random_tree(rng, depth):
    """An expression of 3 × 3 matrices."""
    if depth == 0 or rng.random() < 0.15:
        return ast.Name(str(rng.choice(["A", "B", "C"])))
    kind = rng.integers(6)
    if kind == 0:
        return ast.UnaryOp(ast.USub(), random_tree(rng, depth - 1))
    if kind == 1:
        return ast.BinOp(random_tree(rng, depth - 1), ast.Pow(), ast.Constant(2))
    sign = [ast.Add, ast.Sub, ast.Mult, ast.Div, ast.MatMult][rng.integers(5)]
    return ast.BinOp(random_tree(rng, depth - 1), sign(), random_tree(rng, depth - 1))


def test_printed_lines_mean_what_they_were_printed_from(rng):
    """Parentheses, above all: text is made Python again by replacing signs, and evaluated."""
    write = Writer({name: Symbol(name, shape=(3, 3)) for name in "ABC"}, {}, False)
    values = {name: rng.uniform(0.5, 1.5, (3, 3)) for name in "ABC"}
    seen = 0
    for _ in range(600):
        tree = random_tree(rng, 4)
        text = write(tree)
        python = re.sub(r"(?<=[A-C)²]) (?=[A-C(])", " @ ", text)
        python = python.replace("−", "-").replace("∘", "*").replace("²", "**2")
        with np.errstate(all="ignore"):
            expected, got = eval(ast.unparse(tree), values), eval(python, values)
        assert_allclose(got, expected, 1e-6, err_msg=f"{ast.unparse(tree)} was written as {text}")
        seen += "(" in text
    assert seen > 100


def test_latex_is_understood(rng):
    """By matplotlib, whose mathematics is a part of LaTeX's."""
    parser = pytest.importorskip("matplotlib.mathtext").MathTextParser("path")
    loss, leaves = elman()
    written = list(graph.formula(loss(), wrt=leaves, fold=True).lines)
    kinds = {re.split("[ :,]", case.name)[0]: case for case in CASES}
    for case in kinds.values():
        xs = [Parameter(a, name=f"x_{i}") for i, a in enumerate(case.inputs())]
        ys = case.f(*xs)
        written += graph.formula(scalar(ys if isinstance(ys, tuple | list) else (ys,)), wrt=xs).lines
    alike = {re.sub(r"\d+", "0", line): line for line in written if len(line) < 150}
    for line in alike.values():
        parser.parse(f"${line}$")


@pytest.mark.parametrize(
    "name, latex",
    [
        ("W_hh", "W_{hh}"),
        ("σ", r"\sigma"),
        ("ŷ", r"\hat{y}"),
        ("h₁₂", "h_{12}"),
        ("loss", r"\mathrm{loss}"),
        ("my loss", r"\mathrm{my\ loss}"),
        ("y′", "y'"),
        ("Ω", r"\Omega"),
    ],
)
def test_names_in_latex(name, latex):
    x = Parameter(1.0, name=name)
    (line,) = graph.formula(ag.exp(x)).lines
    assert line == rf"y = \exp\left({latex}\right)"


@pytest.mark.parametrize(
    "names, expected",
    [
        (("h[0]", "h[1]", "h[2]"), ["h₀ =", "h₁ =", "h₂ ="]),
        (("h", "h", "h"), ["h₀ =", "h₁ =", "h₂ ="]),
        (("h₁", "h₂", "h₃"), None),  # the numbers are not those of the steps
        (("foo", "bar", "baz"), None),
    ],
)
def test_names_with_the_number_of_their_step_are_one_name(names, expected):
    w, h = ag.Variable(0.5, name="w"), ag.Variable(1.0, requires_grad=False, name="start")
    for t, name in enumerate(names):
        with ag.step(t):
            h = ag.tanh(h * w)
            h.name = name
    text = str(graph.formula(h.sum(), wrt=w))
    if expected is None:
        assert not any(f"{name}₀" in text or f"{name}₁" in text for name in names)
        assert "h₀" not in text and "h₁ = tanh" not in text
    else:
        assert all(line in text for line in expected), text
