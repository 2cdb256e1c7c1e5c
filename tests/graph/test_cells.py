"""The cells view: lanes and arrows against gradients and closed forms, positions, heat, themes and slides."""

import re

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Parameter, Variable, graph
from autograd.graph.lanes import Cell, Lane, Lanes
from autograd.graph.picture import cells_view, dot, finish, grid
from autograd.graph.picture.heat_of_cells import HeatOfCells
from autograd.graph.picture.names import Names
from autograd.graph.picture.paths import Paths
from autograd.graph.reading import Reading, results_of
from autograd.graph.series import Series, through


class Tagger(nn.Module):
    """A recurrent layer, and a linear one at every step."""

    def __init__(self, rnn, features=4):
        self.rnn, self.head = rnn, nn.Linear(features, 2)

    def forward(self, x):
        return self.head(self.rnn(x)[0])


def ones(*shape):
    return np.ones(shape, np.float32)


def inputs(steps, batch=1, size=3):
    return [Variable(np.random.default_rng(t).normal(size=(batch, size)), name=f"x{t}") for t in range(steps)]


def plain(T=4, names=True):
    """The network of Goodfellow's figure 10.3, in float64, with its arrays and its states."""
    rng = np.random.default_rng(0)
    W, U, V = (
        Parameter(0.4 * rng.normal(size=s), name=n) for s, n in (((3, 3), "W"), ((2, 3), "U"), ((3, 2), "V"))
    )
    h, hs, losses = Variable(np.zeros((1, 3)), requires_grad=False, name="h0"), [], []
    for t in range(T):
        with ag.step(t):
            x = Variable(rng.normal(size=(1, 2)), requires_grad=False, name=f"x{t}")
            h = ag.tanh(x @ U + h @ W)
            o = h @ V
            loss = ag.square(o - Variable(rng.normal(size=(1, 2)), requires_grad=False, name="y")).sum()
            if names:
                h.name, o.name, loss.name = "h", "o", "L"
            hs.append(h)
            losses.append(loss)
    return sum(losses), (W, U, V), hs


def lanes_of(y):
    return Lanes(Reading(results_of(y)).join_sums())


def word(cell):
    """Short for a cell."""
    return cell.lane.name or cell.lane.scope or cell.lane.kind, cell.step


def arrows_of(y):
    return {(word(a.tail), word(a.head)) for a in lanes_of(y).arrows}


# --- lanes ----------------------------------------------------------------------------------------


def test_named_values_of_a_loop_are_rows():
    loss, *_ = plain(3)
    expected = set()
    for t in range(3):
        expected |= {(("x", t), ("h", t)), (("h", t), ("o", t)), (("o", t), ("L", t)), (("y", t), ("L", t))}
        expected |= {(("h", t), ("h", t + 1))} if t < 2 else set()
        expected |= {(("L", t), ("L", None))}
    assert arrows_of(loss) == expected | {(("h", 0), ("h", 0))}  # h0, an input


def test_a_layer_and_what_follows_it_are_rows():
    with ag.stepwise():
        y = Tagger(nn.LSTM(3, 4, num_layers=2))(ones(3, 2, 3))
    found = arrows_of(-ag.mean(ag.log_softmax(y)[..., 0]))
    expected = set()
    for t in range(3):
        path = [("x", t), ("rnn.l0", t), ("rnn.l1", t), ("head", t), ("loss", t), ("L", None)]
        expected |= set(zip(path, path[1:], strict=False))
        expected |= {((f"rnn.l{n}", t), (f"rnn.l{n}", t + 1)) for n in (0, 1) if t < 2}
    assert found == expected


@pytest.mark.parametrize("stepwise", [True, False])
def test_a_projection_of_all_inputs_at_once_is_part_of_every_step(stepwise):
    model = Tagger(nn.LSTM(3, 4))
    with ag.stepwise() if stepwise else ag.enable_grad():
        found = arrows_of(model(ones(3, 2, 3)).sum())
    assert (("x", 1), ("rnn.l0", 1)) in found
    assert (("rnn.l0", 1), ("rnn.l0", 2)) in found
    assert len(found) == 3 + 2 + 3 + 3


def test_two_directions_share_their_inputs_and_run_against_each_other():
    with ag.stepwise():
        y = Tagger(nn.GRU(3, 4, bidirectional=True), 8)(ones(3, 2, 3))
    found, lanes = arrows_of(y.sum()), lanes_of(y.sum())
    ahead, back = "rnn.l0.forward_layer", "rnn.l0.backward_layer"
    assert {(a, b) for a, b in found if a[0] == b[0]} == {
        *[((ahead, t), (ahead, t + 1)) for t in (0, 1)],
        *[((back, t + 1), (back, t)) for t in (0, 1)],
    }
    assert [lane.scope for lane in lanes.backwards] == [back]
    assert sum(cell.lane.kind == "input" for cell in lanes.cells) == 3


def test_a_loop_without_names_and_modules_is_a_row_below_its_losses():
    loss, *_ = plain(3, names=False)
    found = arrows_of(loss)
    assert {(("cell", t), ("cell", t + 1)) for t in (0, 1)} <= found
    assert {(("x", t), ("cell", t)) for t in range(3)} <= found
    assert {(("cell", t), ("L", t)) for t in range(3)} <= found


@pytest.mark.parametrize("cell", [nn.SLSTMCell(3, 4), nn.LRUCell(3, 4), nn.RNNCell(3, 4)])
def test_a_cell_in_a_loop_by_itself_is_a_row_below_its_losses(cell):
    with ag.stepwise():
        y, _ = nn.Recurrent(cell)(ones(3, 1, 3))
    found = arrows_of(ag.square(y).sum())
    expected = {(("cell", t), ("cell", t + 1)) for t in (0, 1)} | {
        (("loss", t), ("L", None)) for t in range(3)
    }
    for t in range(3):
        expected |= {(("x", t), ("cell", t)), (("cell", t), ("loss", t))}
    assert found == expected
    name = type(cell).__name__.removesuffix("Cell")
    loop = nn.Recurrent(cell)
    drawing = graph.draw(ag.square(y).sum(), params=loop, view="cells")
    assert [label for label, *_ in nodes_of(drawing).values()].count(name) == 3


def recorded(kind):
    """A cell that keeps every state that its step returns."""

    class Recorded(kind):
        def step(self, x, state, fixed):
            self.states.append(super().step(x, state, fixed))
            return self.states[-1]

    return Recorded


@pytest.mark.parametrize("kind", [nn.LSTMCell, nn.SLSTMCell, nn.LRUCell, nn.SRUCell, nn.LayerNormLSTMCell])
@pytest.mark.parametrize("masked", [False, True])
def test_parts_of_a_state_are_those_that_the_step_of_a_cell_returns(kind, masked):
    cell = recorded(kind)(4, 4)
    cell.states, layer = [], nn.Recurrent(cell)
    with ag.stepwise():
        y, last = layer(ones(3, 2, 4), lengths=[3, 2] if masked else None)
    reading = Reading(results_of([y, *last])).join_sums()
    states = Names(reading, layer).states
    for state in [*cell.states[: 2 if masked else 3], last]:
        found = [states.get(reading.source_of(part)) for part in state]
        assert found == list(cell.parts)


def test_of_two_parts_that_no_loop_has_noted_the_first_leaves_the_cell():
    cell = recorded(nn.LSTMCell)(4, 4)
    cell.states, layer = [], nn.Recurrent(cell)
    y, _ = layer(ones(3, 2, 4))
    reading = Reading(results_of(y)).join_sums()
    states = Names(reading, layer).states
    found = [[states.get(reading.source_of(part)) for part in state] for state in cell.states[:2]]
    assert found == [["h", "c"]] * 2


def test_more_than_two_parts_stand_on_one_arrow_in_the_order_of_the_cell():
    layer = nn.Recurrent(nn.SLSTMCell(3, 4))
    with ag.stepwise():
        loss = ag.square(layer(ones(3, 1, 3))[0]).sum()
    source = graph.draw(loss, params=layer, view="cells").source
    assert source.count('label="h, c, n, m"') == 2
    cell = graph.draw(loss, params=layer, steps={1}).source
    for part in "hcnm":
        assert rf'label="{part}\nt = 0"' in cell
        assert rf'label="{part}\nt = 2"' in cell


def both_ways(layers):
    model = Tagger(nn.LSTM(3, 4, num_layers=layers, bidirectional=True), 8)
    with ag.stepwise():
        return model(ones(4, 1, 3)).sum(), model


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("size", [None, "slide"])
def test_no_arrow_runs_through_the_letters_of_a_state(layers, size):
    loss, model = both_ways(layers)
    source = graph.draw(loss, params=model, view="cells", size=size).source
    arrows = re.findall(r'(\w+) -> (\w+) \[pos="e,([^"]*)"(.*)\]', source)  # the end comes first
    letters, lines = [], []
    for tail, head, pos, rest in arrows:
        points = np.array([p.split(",") for p in pos.split()], float)
        lines.append(np.linspace(points[1], points[0], 200))
        if found := re.search(r'label="([hc])" lp="([-\d.]+),([-\d.]+)" fontsize="([\d.]+)"', rest):
            x, y, small = map(float, found.groups()[1:])
            line = np.mean([p[1] for p in points])
            assert (y > line) == (found[1] == "h")  # above the upper arrow, below the lower one
            letters.append((x, y, 0.3 * small + 1.8, 0.39 * small, f"{found[1]} of {tail} -> {head}"))
    assert len(letters) == 2 * 2 * layers * 3
    for x, y, w, h, what in letters:
        for line in lines:
            inside = (abs(line[:, 0] - x) < w) & (abs(line[:, 1] - y) < h)
            assert not inside.any(), what


def test_two_runs_of_one_layer_do_not_share_their_inputs():
    rnn = nn.RNN(3, 4)
    with ag.stepwise():
        first, second = rnn(ones(2, 1, 3))[0], rnn(ones(2, 1, 3))[0]
    assert sum(cell.lane.kind == "input" for cell in lanes_of([first, second]).cells) == 4


def test_attention_is_a_row_that_reads_every_place():
    with ag.stepwise():
        y = nn.EncoderDecoder(20, 30, 4, 4)(np.ones((3, 1), int), np.ones((2, 1), int))
    found = arrows_of(y.sum())
    ahead, back = "encoder.l0.forward_layer", "encoder.l0.backward_layer"
    for t in (0, 1):
        read = {a for a, b in found if b == ("decoder.attention", t)}
        assert {(lane, s) for lane in (ahead, back) for s in range(3)} <= read
        assert (("decoder.attention", t), ("decoder", t)) in found
        assert (("target", t), ("decoder", t)) in found
    assert (("decoder", 0), ("decoder.attention", 1)) in found
    assert {a for a, b in found if b == ("bridge", None)} == {(back, 0)}  # the half that has read everything


def test_places_of_dilated_convolutions_read_the_places_that_the_dilation_says():
    net = nn.WaveNet(1, 1, channels=2, layers=3)
    found = arrows_of(net(ones(1, 1, 9)))
    for k, dilation in enumerate(net.dilations):
        before = f"blocks.{k - 1}" if k else "into"
        for p in range(9):
            read = {a for a, b in found if b == (f"blocks.{k}", p) and a[0] == before}
            assert read == {(before, q) for q in (p, p - dilation) if q >= 0}


def test_a_tree_is_a_tree():
    layer = nn.Recursive(nn.RecursiveCell(2, 3))
    a, b, c, d, e = np.eye(5, 2, dtype="f")
    lanes = lanes_of(layer(((a, b), (c, (d, e))))[0].sum())
    found = {
        ((x.tail.step, x.tail.part), (x.head.step, x.head.part))
        for x in lanes.arrows
        if x.tail.lane.kind == "cell"
    }
    leaves = {((0, 0), (1, 0)), ((0, 1), (1, 0)), ((0, 3), (1, 1)), ((0, 4), (1, 1))}
    assert found == leaves | {
        ((0, 2), (2, 0)),
        ((1, 1), (2, 0)),
        ((1, 0), (3, 0)),
        ((2, 0), (3, 0)),
        ((3, 0), (None, -1)),
    }


def bidirectional(xs):
    net = nn.GRU(3, 4, num_layers=2, bidirectional=True, dtype="f8")
    return list(ag.square(net(ag.stack(xs))[0]))


def one_direction_of_two(xs):
    net = nn.RNN(3, 4, bidirectional=True, dtype="f8")
    ahead, _ = ag.split(net(ag.stack(xs))[0], 2, axis=-1)
    return list(ahead * 2.0)


def wave(xs):
    net = nn.WaveNet(3, 2, channels=2, layers=2, dtype="f8")
    return list(ag.moveaxis(net(ag.moveaxis(ag.stack(xs), 0, 2)), 2, 0))


def two_layers(xs):
    net = nn.LSTM(3, 4, num_layers=2, dtype="f8")
    with ag.stepwise():
        return list(net(ag.stack(xs))[0])


@pytest.mark.parametrize("model", [bidirectional, one_direction_of_two, wave, two_layers])
def test_arrows_lead_from_inputs_to_outputs_as_gradients_do(model):
    nn.manual_seed(0)
    xs = inputs(5)
    ys = model(xs)
    lanes = lanes_of(ys)
    after = {}
    for arrow in lanes.arrows:
        after.setdefault(arrow.tail, []).append(arrow.head)
    for t, x in enumerate(xs):
        reached, waiting = set(), [c for c in lanes.cells if c.lane.kind == "input" and c.step == t]
        while waiting:
            cell = waiting.pop()
            if cell not in reached:
                reached.add(cell)
                waiting += after.get(cell, [])
        for s, y in enumerate(ys):
            matters = (
                np.any(ag.grad(y.sum(), x, allow_unused=True, retain_graph=True).data)
                if depends(y, x)
                else False
            )
            assert (
                any(c.lane.kind == "result" and c.lane.name == "y" and c.step == s for c in reached)
                == matters
            )


def depends(y, x):
    return any(leaf is x for leaf in graph.query.receptive_field(y).leaves)


def test_weights_on_arrows():
    loss, (W, U, V), _ = plain(2)
    lanes = lanes_of(loss)
    weights = {(word(a.tail), word(a.head)): list(own) for a, own in lanes.weights.items()}
    assert weights[("x", 1), ("h", 1)][0] is U
    assert weights[("h", 0), ("h", 1)][0] is W
    assert weights[("h", 1), ("o", 1)][0] is V


# --- series ---------------------------------------------------------------------------------------


CASES = [  # an operation on (5, 2, 3), its axis of time: 0
    lambda x: ag.tanh(x),
    lambda x: x * np.ones(3),
    lambda x: ag.linear(x, Parameter(np.ones((4, 3)))),
    lambda x: x @ np.ones((3, 4)),
    lambda x: ag.transpose(x, (2, 0, 1)),
    lambda x: ag.moveaxis(x, 0, -1),
    lambda x: ag.reshape(x, (5, 6)),
    lambda x: x[1:4],
    lambda x: x[:, 1],
    lambda x: x[::-1, ..., 0],
    lambda x: x[..., 0],
    lambda x: ag.flip(x, 0),
    lambda x: x.sum(axis=1),
    lambda x: x.max(axis=-1, keepdims=True),
    lambda x: ag.cumsum(x, 0),
    lambda x: ag.softmax(x, axis=0),
    lambda x: ag.softmax(x, axis=-1),
    lambda x: ag.concatenate([x, x], 1),
    lambda x: ag.concatenate([x[:2], x], 0),
    lambda x: ag.einsum("tbi,oi->tob", x, np.ones((4, 3))),
    lambda x: ag.pad(x, ((2, 1), (0, 0), (0, 0))),
    lambda x: ag.split(x, [2], axis=0)[1],
]


@pytest.mark.parametrize("i", range(len(CASES)))
def test_places_that_an_operation_reads_are_those_that_get_a_gradient(i):
    x = Variable(np.random.default_rng(i).normal(size=(5, 2, 3)))
    steps = []
    for t, part in enumerate(ag.unstack(x)):
        with ag.step(t):
            steps.append(ag.tanh(part))
    y = CASES[i](ag.stack(steps))
    reading = Reading([("y", y)])
    series = Series(reading)
    node, k = reading.source_of(y)
    assert (node, k) in series
    axis = series.axis[node, k]
    for place in range(series.size((node, k))):
        part = y[(slice(None),) * axis + (place,)]
        g = ag.grad(
            (part * np.random.default_rng(0).normal(size=part.shape)).sum(), x, retain_graph=True
        ).data
        read, waiting = set(), [(node, k, place)]
        while waiting:
            at_node, out, at_place = waiting.pop()
            for at, source in enumerate(reading.sources[at_node]):
                if isinstance(at_node, ag.ops.shape.Stack) and source not in series:
                    read |= {at_place}
                elif source in series:
                    waiting += [(*source, p) for p in series.reads(at_node, out, at, at_place)]
        assert read == set(np.flatnonzero(np.abs(g).sum((1, 2))))


def test_through_none_where_an_axis_is_summed():
    x, w = Variable(np.ones((2, 3))), Variable(np.ones((3, 4)))
    y = x @ w
    reading = Reading([("y", y)])
    node, _ = reading.source_of(y)
    assert [through(node, 0, (x, 0), a) for a in (0, 1)] == [0, None]
    assert [through(node, 1, (w, 0), a) for a in (0, 1)] == [None, 1]


# --- heat -----------------------------------------------------------------------------------------


def test_heat_is_what_backpropagation_through_time_by_hand_gives():
    loss, (W, U, V), hs = plain(4)
    H = [h.data.copy() for h in hs]
    targets = [2 * (h @ V.data) for h in H]
    lanes = lanes_of(loss)
    ys = {
        a.tail.step: u.port.output[0]
        for a, uses in lanes.arrows.items()
        if a.tail.lane.name == "y"
        for u in uses
    }
    assert len(ys) == 4
    with ag.watch() as watch:
        loss.backward()
    heat = HeatOfCells(lanes, watch, None, None)
    do = [2 * d for d in _errors(hs, V)]
    dh = [None] * 4
    for t in range(4)[::-1]:
        dh[t] = do[t] @ V.data.T
        if t < 3:
            dh[t] = dh[t] + (dh[t + 1] * (1 - H[t + 1] ** 2)) @ W.data.T
    cells = {word(cell): cell for cell in lanes.cells if cell.lane.kind == "cell"}
    arrows = {(word(a.tail), word(a.head)): a for a in lanes.arrows if a.tail.lane.kind == "cell"}
    for t in range(4):
        assert np.allclose(heat.vertex(cells["h", t]), np.linalg.norm(dh[t]))
        assert np.allclose(heat.vertex(cells["o", t]), np.linalg.norm(do[t]))
        assert np.allclose(heat._sizes(arrows[("h", t), ("o", t)]), np.linalg.norm(do[t] @ V.data.T))
        if t < 3:
            back = (dh[t + 1] * (1 - H[t + 1] ** 2)) @ W.data.T
            assert np.allclose(heat._sizes(arrows[("h", t), ("h", t + 1)]), np.linalg.norm(back))
    assert targets


def _errors(hs, V):
    rng = np.random.default_rng(0)
    for shape in ((3, 3), (2, 3), (3, 2)):
        rng.normal(size=shape)
    found = []
    for h in hs:
        rng.normal(size=(1, 2))
        found.append(h.data @ V.data - rng.normal(size=(1, 2)))
    return found


def test_the_result_has_the_gradient_that_the_pass_starts_with():
    *_, last = cut_at(None)[0]
    lanes = lanes_of(last)
    with ag.watch() as watch:
        last.backward(np.array([[3.0, 4.0]]))
    heat = HeatOfCells(lanes, watch, None, None)
    assert heat.vertex(next(cell for cell in lanes.cells if word(cell) == ("h", 3))) == [5.0]


def test_contributions_over_the_arrows_of_a_cell_add_up_to_its_gradient():
    with ag.stepwise():
        model = Tagger(nn.LSTM(3, 4, num_layers=2))
        logits = model(np.random.default_rng(0).normal(size=(4, 2, 3)).astype("f"))
    loss = -ag.mean(ag.log_softmax(logits)[..., 0])
    lanes = lanes_of(loss)
    with ag.watch() as watch:
        loss.backward(retain_graph=True)
    heat, compared = HeatOfCells(lanes, watch, None, None), 0
    for cell in lanes.cells:
        own = [a for a in lanes.arrows if a.tail == cell]
        if cell.lane.kind == "cell" and own:
            sums = heat._given(*own)
            for port, g in sums.items():
                node, k = port.output
                users = [
                    n
                    for n in lanes.members[cell]
                    for s, i in lanes.reading.sources[n]
                    if (s is node and i == k)
                ]
                if not users:  # c goes into h of its own step as well
                    assert np.allclose(g, heat._arrived(port), atol=1e-7)
                    compared += 1
    assert compared == 4 + 4 + 4
    for t in range(4):
        (cell,) = [cell for cell in lanes.cells if word(cell) == ("head", t)]
        assert np.allclose(heat.vertex(cell), np.linalg.norm(watch.gradient(logits)[t]))


def test_what_several_places_share_is_not_told_apart_unless_all_are_asked_for():
    nn.manual_seed(0)  # at every other seed relu lets nothing through, and zeros can be told apart
    x = Variable(np.random.default_rng(0).normal(size=(1, 1, 6)))
    loss = ag.square(nn.WaveNet(1, 1, channels=2, layers=2, dtype="f8")(x)).sum()
    lanes = lanes_of(loss)
    with ag.watch() as watch:
        loss.backward()
    heat = HeatOfCells(lanes, watch, None, None)
    a, b = [a for a in lanes.arrows if word(a.tail) == ("into", 2) and a.head.lane.scope == "blocks.0"]
    assert heat._given(a) is None
    assert np.allclose(heat._sizes(a, b), heat.vertex(a.tail))


# --- paths ----------------------------------------------------------------------------------------


def with_parts(T=4):
    """Losses, weights, and the values of every step by name."""
    rng, values = np.random.default_rng(0), {}
    W, U, V = (
        Parameter(rng.normal(size=s), name=n) for s, n in (((3, 3), "W"), ((2, 3), "U"), ((3, 2), "V"))
    )
    h = Variable(np.zeros((1, 3)), requires_grad=False, name="h0")
    for t in range(T):
        with ag.step(t):
            h = ag.tanh(Variable(rng.normal(size=(1, 2)), requires_grad=False, name="x") @ U + h @ W)
            o = h @ V
            loss = ag.square(o).sum()
            for name, value in (("h", h), ("o", o), ("L", loss)):
                value.name = name
                values[name, t] = value
    return values, {"W": W, "U": U, "V": V}


def every_path(reading, end, start):
    """All paths by trying them: lists of nodes, from the end."""
    found, waiting = [], [[reading.source_of(end)]]
    while waiting:
        path = waiting.pop()
        item, k = path[-1]
        if item is reading.source_of(start)[0] and k == reading.source_of(start)[1]:
            found.append([node for node, _ in path[:-1]])
        else:
            waiting += [[*path, source] for source in reading.sources.get(item, ())]
    return found


@pytest.mark.parametrize(("start", "count"), [("U", 3), ("W", 3), ("V", 1)])
def test_paths_are_those_that_trying_all_finds(start, count):
    values, weights = with_parts()
    total = sum(values["L", t] for t in range(4))
    end, start = values["L", 2], weights[start]
    reading = Reading(results_of(total)).join_sums()
    tried = every_path(reading, end, start)
    paths = Paths(reading, end, start)
    assert len(tried) == count
    assert paths.between == {node for path in tried for node in path}
    assert paths.words == f"{count} path{'s' * (count > 1)} from {start.name} to L₂"


@pytest.mark.parametrize("name", ["W", "U", "V"])
def test_cells_on_a_path_have_a_gradient_of_the_end_and_lead_on_the_start(name):
    values, weights = with_parts()
    total, start, end = sum(values["L", t] for t in range(4)), weights[name], values["L", 2]
    lanes = lanes_of(total)
    on, arrows, words = Paths(lanes.reading, end, start).cells(lanes)
    for (kind, t), value in values.items():
        behind = value is end or depends(end, value) or reaches(end, value)
        uses = depends(value, start)
        assert (any(word(cell) == (kind, t) for cell in on)) == (behind and uses)
    assert all(a.tail in on and a.head in on for a in arrows)
    assert words == f"{1 if name == 'V' else 3} path{'s' * (name != 'V')} from {name} to L₂"


def reaches(end, value):
    return graph.query.shortest_path(value, end) is not None


def test_paths_from_one_state_to_a_later_one():
    values, _ = with_parts()
    total = sum(values["L", t] for t in range(4))
    lanes = lanes_of(total)
    on, arrows, _ = Paths(lanes.reading, values["h", 3], values["h", 1]).cells(lanes)
    assert {word(cell) for cell in on} == {("h", 1), ("h", 2), ("h", 3)}
    assert {(word(a.tail), word(a.head)) for a in arrows} == {(("h", 1), ("h", 2)), (("h", 2), ("h", 3))}


def test_the_receptive_field_of_one_output_of_a_wavenet():
    net = nn.WaveNet(1, 1, channels=2, layers=3)
    x = Variable(ones(1, 1, 12), name="x")
    y = net(x)[0, 0, 10]
    lanes = lanes_of(y)
    on, _, _ = Paths(lanes.reading, y, x).cells(lanes)
    assert {c.step for c in on if c.lane.kind == "input"} == set(range(11 - net.receptive_field, 11))
    assert {c.step for c in on if c.lane.kind == "result"} == {10}


@pytest.mark.parametrize("view", ["unrolled", "folded", "ops", "cells"])
def test_what_is_on_no_path_fades(view):
    values, weights = with_parts()
    source = graph.draw(values["L", 3], view=view, paths=(values["L", 3], weights["U"])).source
    assert dot.PATH in source
    assert dot.FADED in source
    assert "4 paths from U to L₃" in source


def test_copies_of_a_weight_in_steps_without_a_path_fade():
    values, weights = with_parts()
    total = sum(values["L", t] for t in range(4))
    source = graph.draw(total, paths=(values["L", 2], weights["U"])).source
    copies = [line for line in source.splitlines() if 'label="U' in line]
    assert [dot.PATH in line for line in copies] == [True, True, True, False]


def cut_at(step, T=4):
    W, h, hs = Parameter(0.5 * np.eye(2), name="W"), Variable(np.ones((1, 2)), name="h0"), []
    for t in range(T):
        with ag.step(t):
            h = ag.tanh((h.detach() if t == step else h) @ W)
            h.name = "h"
            hs.append(h)
    return hs, W


def test_a_cut_is_no_path_and_has_a_bar():
    hs, W = cut_at(2)
    lanes = lanes_of(hs)
    assert [(word(a.tail), word(a.head)) for a in lanes.arrows if lanes.is_cut(a)] == [(("h", 1), ("h", 2))]
    on, _, words = Paths(lanes.reading, hs[3], W).cells(lanes)
    assert {word(cell) for cell in on} == {("h", 2), ("h", 3)}
    assert words == "2 paths from W to h₃"
    source = graph.draw(hs, view="cells").source
    assert len(re.findall(r"->.*dashed", source)) == len(re.findall(r"^\s*k\d+ \[", source, re.M)) == 1
    assert "its gradient is cut" in source


def test_no_heat_goes_over_a_cut():
    hs, _ = cut_at(2)
    loss = sum(h.sum() for h in hs)
    lanes = lanes_of(loss)
    with ag.watch() as watch:
        loss.backward()
    heat = HeatOfCells(lanes, watch, None, None)
    sizes = {(a.tail.step, a.head.step): heat._sizes(a) for a in lanes.arrows if a.tail.lane == a.head.lane}
    assert sizes[1, 2] == []
    assert sizes[0, 1][0] > 0
    assert sizes[2, 3][0] > 0


def test_paths_that_are_none():
    values, weights = with_parts(2)
    with pytest.raises(ValueError, match="a path from L₁ to U"):
        graph.draw(values["L", 1], paths=(weights["U"], values["L", 1]))
    with pytest.raises(TypeError, match=r"paths to be \(end, start\)"):
        graph.draw(values["L", 1], paths=weights["U"])
    with pytest.raises(ValueError, match="through operations"):
        graph.draw(values["L", 1], view="module", paths=(values["L", 1], weights["U"]))


# --- the picture ----------------------------------------------------------------------------------


def nodes_of(drawing):
    found = re.findall(
        r'^\s*(\w+) \[label="([^"]*)" pos="([-\d.]+),([-\d.]+)" width="([\d.]+)"', drawing.source, re.M
    )
    return {ident: (label, float(x), float(y), 72 * float(w)) for ident, label, x, y, w in found}


def at(drawing, label):
    (found,) = [(x, y) for text, x, y, _ in nodes_of(drawing).values() if text == label]
    return found


def test_all_steps_look_the_same():
    drawing = graph.draw(plain(5)[0], view="cells")
    columns = [at(drawing, f"h{s}")[0] for s in "₀₁₂₃₄"]
    assert np.allclose(np.diff(columns), columns[1] - columns[0])
    for name in "xhoL":
        places = [at(drawing, name + s) for s in "₀₁₂₃₄"]
        assert len({y for _, y in places}) == 1
        assert [x for x, _ in places] == columns
    idents = {text: ident for ident, (text, *_) in nodes_of(drawing).items()}
    shapes = set()
    for tail, head in zip("₀₁₂₃", "₁₂₃₄", strict=True):
        (pos,) = re.findall(
            rf"{idents['h' + tail]} -> {idents['h' + head]} \[pos=\"e,([^\"]*)\"", drawing.source
        )
        points = np.array([p.split(",") for p in pos.split()], float)
        assert len(set(points[:, 1])) == 1  # straight
        shapes.add(tuple(np.round(points[:, 0] - columns["₀₁₂₃".index(tail)], 3)))
    assert len(shapes) == 1


def test_inputs_stand_below_and_losses_above():
    drawing = graph.draw(plain(3)[0], view="cells")
    heights = [at(drawing, name)[1] for name in ("x₁", "h₁", "o₁", "L₁", "L")]
    assert heights == sorted(heights)
    assert len(set(heights)) == 5
    assert at(drawing, "h₋₁")[0] < at(drawing, "h₀")[0]
    assert {"U", "V", "W"} <= set(re.findall(r'label="([UVW])"', drawing.source))


def test_a_hundred_steps_are_left_out_in_the_middle():
    with ag.stepwise():
        model = Tagger(nn.LSTM(3, 4, num_layers=2))
        y = model(ones(100, 2, 3))
    drawing = graph.draw(y.sum(), params=model, view="cells")
    labels = [label for label, *_ in nodes_of(drawing).values()]
    places = [(x - w / 2, x + w / 2) for label, x, _, w in nodes_of(drawing).values() if label[:1] != "⋯"]
    assert max(b for _, b in places) - min(a for a, _ in places) <= 960  # points: 1280 pixels
    assert "x₀" in labels and "x₉₉" in labels and "x₅₀" not in labels
    assert any(label.startswith("⋯ steps") for label in labels)
    with ag.stepwise():
        both = Tagger(
            nn.GRU(3, 4, num_layers=2, bidirectional=True), 8
        )  # its lanes stand beside their columns
        wide = graph.draw(both(ones(40, 1, 3)).sum(), params=both, view="cells")
    ends = [(x - w / 2, x + w / 2) for label, x, _, w in nodes_of(wide).values() if label[:1] != "⋯"]
    assert max(b for _, b in ends) - min(a for a, _ in ends) <= 960
    few = graph.draw(y.sum(), params=model, view="cells", steps=[0, 1, -1])
    assert [label for label, *_ in nodes_of(few).values() if label[:1] == "x"] == ["x₀", "x₁", "x₉₉"]


def test_boxes_of_a_tree_stand_over_the_middle_of_their_children():
    layer = nn.Recursive(nn.RecursiveCell(2, 3))
    a, b, c = np.eye(3, 2, dtype="f")
    drawing = graph.draw(layer(((a, b), c))[0].sum(), view="cells")
    x = [at(drawing, f"x{s}")[0] for s in "₁₂₃"]
    boxes = sorted((x, y) for label, x, y, _ in nodes_of(drawing).values() if label == "h")
    assert x == sorted(x)
    assert ((x[0] + x[1]) / 2) in [place for place, _ in boxes]
    assert "t =" not in drawing.source


def test_attention_runs_over_a_bar_and_a_decoder_without_it_stands_to_the_right():
    source, target = np.ones((3, 1), int), np.ones((3, 1), int)
    with ag.stepwise():
        with_bar, without = nn.EncoderDecoder(9, 9, 4, 4), nn.EncoderDecoder(9, 9, 4, 4, attention=False)
        drawings = [graph.draw(m(source, target).sum(), params=m, view="cells") for m in (with_bar, without)]
    assert re.search(r"^\s*b0 \[", drawings[0].source, re.M)
    assert not re.search(r"^\s*b0 \[", drawings[1].source, re.M)
    assert at(drawings[1], "source₂")[0] < at(drawings[1], "target₀")[0]
    assert at(drawings[0], "source₂")[1] < at(drawings[0], "target₀")[1]


def test_states_of_a_layer_drawn_as_a_cell_have_their_names():
    with ag.stepwise():
        lstm, gru = Tagger(nn.LSTM(3, 4)), Tagger(nn.GRU(3, 4))
        sources = [graph.draw(m(ones(3, 1, 3)), params=m, steps={1}).source for m in (lstm, gru)]
    names = [re.findall(r'label="(\w|⋯)\\nt = (\d)"', source) for source in sources]
    states = [sorted(pair for pair in own if pair[0] != "⋯") for own in names]  # ⋯: outputs of other steps
    assert states[0] == [("c", "0"), ("c", "2"), ("h", "0"), ("h", "2")]
    assert states[1] == [("h", "0"), ("h", "2")]
    (product,) = re.findall(r'(n\d+) .*label="\+ h Wᵀ"', sources[0])
    (state,) = re.findall(rf"(e\d) -> {product} ", sources[0])
    assert re.search(rf'{state} .*label="h\\nt = 0"', sources[0])  # and c goes to the product with f


def test_one_folded_step_stands_beside_all():
    drawing = graph.draw(plain(4)[0], view="cells", show={"folded"})
    places = {label: x for label, x, _, _ in nodes_of(drawing).values()}
    assert max(places[name] for name in "xho") < places["h₋₁"] < places["h₀"]
    ident = next(i for i, (label, *_) in nodes_of(drawing).items() if label == "h")
    (loop,) = re.findall(rf"^\s*{ident} -> {ident} \[(.*)\]", drawing.source, re.M)
    assert 'label="W"' in loop and dot.LINK in loop
    with pytest.raises(ValueError, match="beside the view 'cells'"):
        graph.draw(plain(2)[0], show={"folded"})


def test_state_names_of_a_layer():
    with ag.stepwise():
        model = Tagger(nn.LSTM(3, 4))
        source = graph.draw(model(ones(3, 1, 3)).sum(), params=model, view="cells").source
    assert len(re.findall(r'label="h"', source)) == len(re.findall(r'label="c"', source)) == 2


@pytest.mark.parametrize(
    "given", [{"show": {"shape"}}, {"label": str}, {"hide": {"constant"}}, {"direction": "LR"}, {"mark": {}}]
)
def test_what_is_about_operations_is_refused(given):
    x = Variable(1.0)
    if given.get("mark") == {}:
        given = {"mark": {x: "here"}}
    with pytest.raises(ValueError, match=f"no {next(iter(given))}= in the cells view"):
        graph.draw(x * 2.0, view="cells", **given)


@pytest.mark.parametrize("given", [{"theme": "blue"}, {"size": "poster"}])
def test_unknown_looks(given):
    with pytest.raises(ValueError, match=f"expected {next(iter(given))} "):
        graph.draw(Variable(1.0) * 2.0, **given)


# --- themes, slides, SVG --------------------------------------------------------------------------


def contrast(a, b):
    low, high = sorted([dot.luminance(a), dot.luminance(b)])
    return (high + 0.05) / (low + 0.05)


def test_dark_colours_are_as_legible_as_light_ones():
    page = finish.DARK
    for colour in (dot.INK, dot.GREY, dot.LINK):
        assert contrast(finish.dark(colour), page) > 4.5
    for i in range(30):
        fill = finish.dark(dot.tint(i)["fillcolor"])
        assert contrast(finish.dark(dot.INK), fill) > 4.5
    for at_ in np.linspace(0, 1, 21):
        fill = dot.between(dot.HEAT, at_)
        assert contrast(finish.dark(fill), finish.dark(dot.legible_on(fill))) > 3


def test_a_theme_has_no_background_and_leaves_no_light_fill():
    loss = plain(2)[0]
    for view in ("cells", "unrolled", "folded", "module", "ops"):
        light, dark = (graph.draw(loss, view=view, theme=theme) for theme in ("light", "dark"))
        assert light.graph_attr["bgcolor"] == dark.graph_attr["bgcolor"] == "transparent"
        assert '"white"' not in dark.source
        assert "white" in str(graph.draw(loss, view=view).graph_attr["bgcolor"])


def wide_models():
    with ag.stepwise():
        deep = Tagger(nn.LSTM(3, 4, num_layers=2))
        yield deep(ones(60, 1, 3)).sum(), deep
        both = Tagger(nn.GRU(3, 4, num_layers=2, bidirectional=True), 8)
        yield both(ones(12, 1, 3)).sum(), both
        translator = nn.EncoderDecoder(9, 9, 4, 4)
        yield translator(np.ones((9, 1), int), np.ones((9, 1), int)).sum(), translator
    yield plain(30)[0], None


@pytest.mark.parametrize("i", range(4))
@pytest.mark.parametrize("view", ["cells", "unrolled"])
def test_text_on_slides_can_be_read(i, view):
    y, params = list(wide_models())[i]
    svg = graph.render.__globals__["picture"](
        graph.draw(y, params=params, view=view, size="slide"), "svg"
    ).decode()
    assert 'width="1280" height="720"' in svg
    left, top, width, height = map(float, re.search(r'viewBox="([^"]+)"', svg)[1].split())
    assert width / height == pytest.approx(1280 / 720, rel=1e-3)
    sizes = [float(s) for s in re.findall(r'font-size="([\d.]+)"', svg)]
    assert min(sizes) * 1280 / width >= 18 - 1e-6


def test_rows_are_found_once_for_all_sizes_that_a_slide_tries(monkeypatch):
    found = []

    class Counted(grid.Rows):
        def _place(self, lane):
            found.append(lane)
            super()._place(lane)

    monkeypatch.setattr(cells_view, "Rows", Counted)
    with ag.stepwise():
        y = nn.EncoderDecoder(9, 9, 4, 4)(np.ones((30, 1), int), np.ones((30, 1), int)).sum()
    graph.draw(y, view="cells", size="slide")
    assert len(found) == len(set(found)) > 4


def test_pictures_are_as_wide_as_their_page_and_say_what_they_are():
    x = Variable(np.ones((1, 2)), requires_grad=False, name="x")
    h = ag.tanh(x @ Parameter(np.ones((2, 2)), name="W_hh"))
    h.name = "a < b"
    svg = graph.render.__globals__["picture"](graph.draw(h), "svg").decode()
    head = re.search(r"<svg [^>]*>", svg)[0]
    assert "pt" not in head
    assert "max-width:100%" in head
    assert "<title>Graph of a &lt; b, unrolled view</title>" in svg
    assert "<desc>Graph of a &lt; b, unrolled view: 2 operations.</desc>" in svg
    assert '>W<tspan dy="0.25em" font-size="70%">hh</tspan>' in svg
    assert finish._with_subscripts("h W_hh + b") == (
        'h W<tspan dy="0.25em" font-size="70%">hh</tspan><tspan dy="-0.175em"> + b</tspan>'
    )
    assert finish._with_subscripts("weight_hh a_b_c") == "weight_hh a_b_c"


def test_a_released_index_is_told_by_sizes_or_not_at_all():
    with ag.stepwise():
        y = Tagger(nn.RNN(3, 4))(ones(3, 3, 3))
    clear, unclear = ag.log_softmax(y)[..., 0].sum(), y[1].sum()
    for loss in (clear, unclear):
        loss.backward(retain_graph=loss is clear)
    assert not lanes_of(clear).unknown
    assert lanes_of(unclear).unknown
    assert "released by backward" in graph.draw(unclear, view="cells").source


def test_lanes_and_cells_are_plain_values():
    lane = Lane("cell", 0, "rnn", "")
    assert Cell(lane, 1) == Cell(lane, 1, -1)
