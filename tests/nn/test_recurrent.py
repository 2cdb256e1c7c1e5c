"""The loop over time and what is built from it: Recurrent, Bidirectional, Stacked, wrappers around cells."""

import numpy as np
import pytest

import nn
from autograd import Variable, capture, concatenate, grad, stepwise
from autograd.core import Function
from autograd.graph.reading import Reading, results_of
from nn import recurrent
from tests.nn.test_cells import CASES, check_gradients, make, run_reference

T, B, I, H = 5, 3, 2, 3  # noqa: E741


def cell_of(name="lstm", **changes):
    cell, _ = make(name)
    return cell


def x_of(rng, size=I, steps=T):
    return rng.normal(size=(steps, B, size))


def gradients(module, *ys):
    """The gradients of all parameters, from a fixed loss that weighs every element of ys differently."""
    module.zero_grad()
    sum((y * np.cos(np.arange(y.size)).reshape(y.shape)).sum() for y in ys).backward()
    return [p.grad.data for p in module.parameters()]


def nodes_behind(y):
    """All nodes of the graph that y was computed by."""
    seen, stack = set(), [y.creator]
    while stack:
        node = stack.pop()
        if isinstance(node, Function) and node not in seen:
            seen.add(node)
            stack += [getattr(edge, "node", edge) for edge in node.edges]
    return seen


# --- Recurrent ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_reverse_runs_from_the_other_end_and_leaves_outputs_at_their_time(name, rng):
    cell, reference = make(name)
    x = x_of(rng)
    y, state = nn.Recurrent(cell, reverse=True)(x)
    zeros = tuple(np.zeros(s.shape) for s in state)
    expected, last = run_reference(cell, reference, x[::-1], zeros)
    np.testing.assert_allclose(y.data, expected[::-1], atol=1e-13)
    np.testing.assert_allclose(state[0].data, last[0], atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_lengths_of_any_cell_in_both_directions(name, rng):
    cell, reference = make(name)
    x, lengths = x_of(rng), [2, 0, 5]
    for reverse in (False, True):
        y, state = nn.Recurrent(cell, reverse=reverse)(x, lengths=lengths)
        for b, n in enumerate(lengths):
            row = x[:n, b : b + 1][:: -1 if reverse else 1]
            zeros = tuple(np.zeros((1, *s.shape[1:])) for s in state)
            if n == 0:
                expected, last = np.zeros((0, 1, y.shape[-1])), zeros
            else:
                expected, last = run_reference(cell, reference, row, zeros)
            np.testing.assert_allclose(y.data[:n, b], expected[:: -1 if reverse else 1, 0], atol=1e-13)
            assert not y.data[n:, b].any()
            for s, want in zip(state, last, strict=True):
                np.testing.assert_allclose(s.data[b], want[0], atol=1e-13)


def test_batch_first_swaps_input_and_output_only(rng):
    cell = cell_of()
    x = x_of(rng)
    y, (h, c) = nn.Recurrent(cell)(x, lengths=[1, 5, 3])
    y_b, (h_b, c_b) = nn.Recurrent(cell, batch_first=True)(x.swapaxes(0, 1), lengths=[1, 5, 3])
    np.testing.assert_array_equal(y.data.swapaxes(0, 1), y_b.data)
    np.testing.assert_array_equal(h.data, h_b.data)
    np.testing.assert_array_equal(c.data, c_b.data)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("lengths", [None, [2, 0, 5]])
@pytest.mark.parametrize("name", CASES)
def test_a_sequence_projected_in_pieces_is_the_same(name, lengths, reverse, rng, monkeypatch):
    cell, _ = make(name)
    layer, x = nn.Recurrent(cell, reverse=reverse), x_of(rng)
    y, _ = layer(x, lengths=lengths)
    want = gradients(layer, y)
    calls, project = [], type(cell).project
    monkeypatch.setattr(type(cell), "project", lambda self, x: calls.append(len(x)) or project(self, x))
    largest = max(x.shape[2], *[s[0].size for s in cell.initial_state(x)])
    monkeypatch.setattr(recurrent, "PIECE", 2 * B * largest)
    in_pieces, _ = layer(x, lengths=lengths)
    assert len(calls) == 3 and sum(calls) == T
    np.testing.assert_allclose(in_pieces.data, y.data, atol=1e-14)
    for got, g in zip(gradients(layer, in_pieces), want, strict=True):
        np.testing.assert_allclose(got, g, atol=1e-12)


@pytest.mark.parametrize("k", [1, 2, 3, 5, 7])
def test_truncation_cuts_gradients_and_nothing_else(k, rng):
    """Equal to windows of k steps run by hand with the state detached between them."""
    cell, x = cell_of(), x_of(rng)
    y, state = nn.Recurrent(cell, truncate=k)(x)
    whole, last = nn.Recurrent(cell)(x)
    np.testing.assert_array_equal(y.data, whole.data)
    np.testing.assert_array_equal(state[1].data, last[1].data)
    got = gradients(cell, y)
    state, outputs = None, []
    for start in range(0, T, k):
        y, state = nn.Recurrent(cell)(x[start : start + k], state)
        state = nn.detach(state)
        outputs.append(y)
    for g, want in zip(got, gradients(cell, concatenate(outputs)), strict=True):
        np.testing.assert_allclose(g, want, atol=1e-13)
    full = gradients(cell, whole)
    same = all(np.allclose(g, w, atol=1e-10) for g, w in zip(got, full, strict=True))
    assert same == (k >= T)


@pytest.mark.parametrize("name", CASES)
def test_stepwise_gives_the_same_numbers_with_every_node_in_its_step(name, rng):
    cell, _ = make(name)
    x = x_of(rng)
    y, _ = nn.Recurrent(cell)(x)
    want = gradients(cell, y)
    with stepwise():
        y_steps, _ = nn.Recurrent(cell)(x)
    np.testing.assert_allclose(y_steps.data, y.data, atol=1e-13)
    for g, w in zip(gradients(cell, y_steps), want, strict=True):
        np.testing.assert_allclose(g, w, atol=1e-12)
    with stepwise():
        y_steps, _ = nn.Recurrent(cell)(x)
    steps = {node.place.step for node in nodes_behind(y_steps) if node.label in ("AddMM", "MatMul", "Linear")}
    assert steps == set(range(T))


def test_a_state_is_a_value_and_layers_keep_none(rng):
    layer, x = nn.Recurrent(cell_of()), x_of(rng)
    before = set(vars(layer)) | set(vars(layer.cell))
    a, state = layer(x)
    b, _ = layer(x)
    np.testing.assert_array_equal(a.data, b.data)
    c, _ = layer(x, state)
    assert np.abs(c.data - a.data).max() > 1e-6
    assert set(vars(layer)) | set(vars(layer.cell)) == before


def test_detach_keeps_the_form_of_a_state():
    h = Variable(np.ones(2)) * 2.0
    state = nn.detach([(h, h), None, ((h,), h)])
    assert isinstance(state, list) and isinstance(state[0], tuple) and state[1] is None
    assert state[2][0][0].is_leaf and not state[2][0][0].requires_grad


def test_a_cell_of_ones_own_needs_only_step(rng):
    class Sum(nn.Cell):
        """s' = s + x."""

        input_size = hidden_size = 2

        def step(self, x, state, fixed):
            return (state[0] + x,)

    x = Variable(x_of(rng))
    y, (s,) = nn.Recurrent(Sum())(x)
    np.testing.assert_allclose(y.data, np.cumsum(x.data, axis=0))
    s.sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones(x.shape))
    Lazy = type("Lazy", (nn.Cell,), {"input_size": 2, "hidden_size": 2})
    with pytest.raises(NotImplementedError, match=r"Lazy must define step\(x, state, fixed\)"):
        Lazy()(np.zeros((1, 2)))


# --- rows that start again ------------------------------------------------------------------------

STARTS = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0], [0, 0, 0], [1, 0, 1]], bool)  # (T, B)


def pieces(starts, length):
    """The ranges of one row between its starts."""
    cuts = [0, *[t for t in range(1, length) if starts[t]], length]
    return list(zip(cuts, cuts[1:], strict=False))


@pytest.mark.parametrize("lengths", [None, [5, 3, 0]])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_a_row_that_starts_again_is_computed_as_if_its_pieces_were_alone(name, reverse, lengths, rng):
    cell, reference = make(name)
    x = x_of(rng)
    y, last = nn.Recurrent(cell, reverse)(x, lengths=lengths, starts=STARTS)
    for b in range(B):
        n = T if lengths is None else lengths[b]
        zeros = tuple(np.zeros((1, *s.shape[1:])) for s in last)
        state = zeros
        for start, end in pieces(STARTS[:, b], n)[:: -1 if reverse else 1]:
            if start == end:
                continue
            row = x[start:end, b : b + 1][:: -1 if reverse else 1]
            expected, state = run_reference(cell, reference, row, zeros)
            np.testing.assert_allclose(
                y.data[start:end, b], expected[:: -1 if reverse else 1, 0], rtol=0, atol=1e-13
            )
        assert not y.data[n:, b].any()
        for s, want in zip(last, state, strict=True):
            np.testing.assert_allclose(s.data[b], want[0], rtol=0, atol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_a_given_state_belongs_to_the_first_piece_alone(reverse, rng):
    cell, x = cell_of(), x_of(rng)
    state = tuple(rng.normal(size=(B, H)) for _ in range(2))
    y, _ = nn.Recurrent(cell, reverse)(x, state, starts=STARTS)
    z, _ = nn.Recurrent(cell, reverse)(x, starts=STARTS)
    whole, _ = nn.Recurrent(cell, reverse)(x, state)
    differs = np.abs(y.data - z.data).max(-1) > 0
    begins = np.concatenate([STARTS[1:], np.zeros((1, B), bool)])[::-1] if reverse else STARTS
    before = np.cumsum(begins, 0) == 0
    np.testing.assert_array_equal(differs, before[::-1] if reverse else before)
    np.testing.assert_array_equal(y.data[differs], whole.data[differs])


@pytest.mark.parametrize("scan", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
def test_nothing_starts_in_the_padding(reverse, scan, rng):
    layer = nn.Recurrent(nn.MinGRUCell(I, H, dtype=np.float64), reverse, scan=scan)
    x, state, lengths = x_of(rng), (rng.normal(size=(B, H)),), np.array([3, 2, 0])
    starts = np.arange(T)[:, None] >= lengths
    y, (last,) = layer(x, state, lengths=lengths, starts=starts)
    for b, n in enumerate(lengths):
        if n:
            alone, (h,) = layer(x[:n, b : b + 1], (state[0][b : b + 1],))
            np.testing.assert_allclose(y.data[:n, b], alone.data[:, 0], atol=1e-13)
        np.testing.assert_allclose(last.data[b], h.data[0] if n else state[0][b], atol=1e-13)


@pytest.mark.parametrize("reverse", [False, True])
def test_no_gradient_crosses_a_start(reverse, rng):
    cell, x = cell_of(), Variable(x_of(rng))
    y, _ = nn.Recurrent(cell, reverse)(x, starts=STARTS)
    for t in range(T):
        for b in range(B):
            (g,) = grad(y[t, b].sum(), [x], retain_graph=True)
            reached = np.abs(g.data).max(-1) > 0
            start, end = next(p for p in pieces(STARTS[:, b], T) if p[0] <= t < p[1])
            want = np.zeros((T, B), bool)
            want[t:end, b] = reverse
            want[start : t + 1, b] |= not reverse
            want[t, b] = True
            np.testing.assert_array_equal(reached, want)


def test_a_learned_state_is_trained_by_every_start(rng):
    cell, x = nn.LearnedState(cell_of("rnn")), x_of(rng)
    y, _ = nn.Recurrent(cell)(x, starts=np.ones((T, B), bool))
    y.sum().backward()
    once = cell.initial[0].grad.data.copy()
    cell.initial[0].grad = None
    y, _ = nn.Recurrent(cell)(x.reshape(1, T * B, I))
    y.sum().backward()
    np.testing.assert_allclose(once, cell.initial[0].grad.data, atol=1e-13)


def test_starts_in_every_loop_and_layer(rng):
    x = x_of(rng)
    a, b = cell_of("gru"), cell_of("gru")
    both, _ = nn.Bidirectional(a, b)(x, starts=STARTS)
    one, _ = nn.Recurrent(a)(x, starts=STARTS)
    two, _ = nn.Recurrent(b, reverse=True)(x, starts=STARTS)
    np.testing.assert_array_equal(both.data, np.concatenate([one.data, two.data], -1))
    layer = nn.LSTM(I, H, 2, bidirectional=True, dtype=np.float64)
    y, _ = layer(x, starts=STARTS)
    for row in range(B):
        for start, end in pieces(STARTS[:, row], T):
            alone, _ = layer(x[start:end, row])
            np.testing.assert_allclose(y.data[start:end, row], alone.data, rtol=0, atol=1e-13)
    single, _ = layer(x[:, 0], starts=STARTS[:, 0])
    np.testing.assert_allclose(single.data, y.data[:, 0], rtol=0, atol=1e-13)
    first = nn.LSTM(I, H, 2, bidirectional=True, batch_first=True, dtype=np.float64)
    first.load_state_dict(layer.state_dict())
    swapped, _ = first(x.swapaxes(0, 1), starts=STARTS.T)
    np.testing.assert_array_equal(swapped.data.swapaxes(0, 1), y.data)
    cell = cell_of()
    z, _ = nn.Recurrent(cell, batch_first=True)(x.swapaxes(0, 1), starts=STARTS.T)
    np.testing.assert_array_equal(
        z.data.swapaxes(0, 1), nn.Recurrent(cell, truncate=2)(x, starts=STARTS)[0].data
    )
    with stepwise():
        w, _ = nn.Recurrent(cell)(x, starts=STARTS)
    np.testing.assert_allclose(w.data.swapaxes(0, 1), z.data, rtol=0, atol=1e-13)
    empty, _ = nn.Recurrent(cell)(x[:0], starts=STARTS[:0])
    assert empty.shape == (0, B, H)


def test_a_captured_loop_follows_other_starts(rng):
    cell, x = cell_of(), x_of(rng)
    layer = nn.Recurrent(cell)
    step = capture(lambda x, starts: (layer(x, starts=starts)[0] ** 2).sum())
    for starts in (STARTS, np.zeros((T, B), bool), STARTS[::-1].copy(), STARTS):
        cell.zero_grad()
        loss = step(x, starts)
        got = [p.grad.data.copy() for p in cell.parameters()]
        y, _ = layer(x, starts=starts)
        np.testing.assert_allclose(loss.data, (y.data**2).sum(), rtol=1e-13)
        cell.zero_grad()
        (y**2).sum().backward()
        for g, p in zip(got, cell.parameters(), strict=True):
            np.testing.assert_allclose(g, p.grad.data, rtol=0, atol=1e-12)


# --- Bidirectional --------------------------------------------------------------------------------


@pytest.mark.parametrize("merge", ["concat", "sum", "mul", "mean", None])
def test_bidirectional_is_both_directions_merged(merge, rng):
    a, b = cell_of("gru"), cell_of("gru")
    x, lengths = x_of(rng), [5, 2, 4]
    y1, s1 = nn.Recurrent(a)(x, lengths=lengths)
    y2, s2 = nn.Recurrent(b, reverse=True)(x, lengths=lengths)
    y, (ahead, back) = nn.Bidirectional(a, b, merge=merge)(x, lengths=lengths)
    merged = {
        "concat": lambda: np.concatenate([y1.data, y2.data], -1),
        "sum": lambda: y1.data + y2.data,
        "mul": lambda: y1.data * y2.data,
        "mean": lambda: (y1.data + y2.data) / 2,
    }
    if merge is None:
        np.testing.assert_array_equal(y[0].data, y1.data)
        np.testing.assert_array_equal(y[1].data, y2.data)
    else:
        np.testing.assert_allclose(y.data, merged[merge](), atol=1e-15)
    np.testing.assert_array_equal(ahead[0].data, s1[0].data)
    np.testing.assert_array_equal(back[0].data, s2[0].data)


def test_the_graph_of_a_bidirectional_network_is_acyclic(rng):
    """Time runs both ways, calls do not: what a node needs was there before it."""
    with stepwise():
        y, states = nn.Bidirectional(cell_of(), cell_of())(Variable(x_of(rng)))
    loss = sum((s * s).sum() for pair in states for s in pair) + y.sum()
    sources = Reading(results_of(loss)).sources
    edges = [(s, node) for node in sources for s, _ in sources[node] if isinstance(s, Function)]
    assert len(edges) > len(sources) > 2 * T * 10
    assert all(parent.number < node.number for parent, node in edges)
    moves = [(p.place.step, n.place.step) for p, n in edges]
    steps = {move for move in moves if None not in move and move[0] != move[1]}
    assert steps == {(t, t + 1) for t in range(T - 1)} | {(t + 1, t) for t in range(T - 1)}


def test_bidirectional_takes_different_cells_and_passes_states_on(rng):
    layer = nn.Bidirectional(cell_of("lstm"), nn.Recurrent(cell_of("norm gru"), reverse=True))
    x = x_of(rng)
    y, state = layer(x)
    assert y.shape == (T, B, 2 * H) and [len(s) for s in state] == [2, 1]
    y2, _ = layer(x, state)
    assert np.abs(y2.data - y.data).max() > 1e-6


# --- Stacked --------------------------------------------------------------------------------------


def test_stacked_layers_have_their_own_sizes_and_equal_a_hand_made_stack(rng):
    cells = [nn.LSTMCell(I, 4, dtype=np.float64), nn.GRUCell(4, 6, dtype=np.float64), cell_of_size(6, 3)]
    x = x_of(rng)
    y, states = nn.Stacked(cells)(x, lengths=[5, 1, 0])
    z = x
    for cell in cells:
        z, _ = nn.Recurrent(cell)(z, lengths=[5, 1, 0])
    np.testing.assert_array_equal(y.data, z.data)
    assert [s[0].shape[-1] for s in states] == [4, 6, 3]
    again, _ = nn.Stacked(cells)(x, states)
    assert np.abs(again.data - y.data).max() > 1e-6


def cell_of_size(inputs, outputs):
    return nn.RNNCell(inputs, outputs, dtype=np.float64)


def test_num_layers_equals_stacked_cells(rng):
    whole = nn.LSTM(I, H, 3, dtype=np.float64)
    cells = [cell for _, cell in whole.cells()]
    x = x_of(rng)
    np.testing.assert_array_equal(whole(x)[0].data, nn.Stacked(cells)(x)[0].data)


def test_stacked_residual_adds_where_shapes_agree(rng):
    cells = [cell_of_size(I, H), cell_of_size(H, H)]
    x = x_of(rng)
    y, _ = nn.Stacked(cells, residual=True)(x)
    first, _ = nn.Recurrent(cells[0])(x)  # I != H: nothing to add
    second, _ = nn.Recurrent(cells[1])(first)
    np.testing.assert_allclose(y.data, first.data + second.data, atol=1e-15)


def test_stacked_dropout_uses_the_generator_it_is_given(rng):
    cells = [cell_of_size(I, H), cell_of_size(H, H)]
    x = x_of(rng)
    runs = [nn.Stacked(cells, 0.5, rng=np.random.default_rng(seed))(x)[0].data for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert np.abs(runs[0] - runs[2]).max() > 0


# --- wrappers -------------------------------------------------------------------------------------

WRAPPERS = {
    "zoneout": lambda cell: nn.Zoneout(cell, 0.3),
    "variational": lambda cell: nn.VariationalDropout(cell, 0.3, 0.3),
    "residual": nn.Residual,
    "learned": nn.LearnedState,
}
SQUARE = {
    "rnn": lambda: nn.RNNCell(H, H, dtype=np.float64),
    "gru": lambda: nn.GRUCell(H, H, dtype=np.float64),
    "gru before": lambda: nn.GRUCell(H, H, reset="before", dtype=np.float64),
    "lstm": lambda: nn.LSTMCell(H, H, dtype=np.float64),
    "peephole": lambda: nn.PeepholeLSTMCell(H, H, full=True, dtype=np.float64),
    "norm gru": lambda: nn.LayerNormGRUCell(H, H, dtype=np.float64),
    "norm lstm": lambda: nn.LayerNormLSTMCell(H, H, dtype=np.float64),
}


@pytest.mark.parametrize("cell", SQUARE)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_gradients_through_every_wrapper_around_every_cell(wrapper, cell, rng):
    wrapped = WRAPPERS[wrapper](SQUARE[cell]())

    def run(x, *state):
        wrapped.rng = np.random.default_rng(5)  # the same masks every time
        y, last = nn.Recurrent(wrapped)(x, state)
        return y, *last

    check_gradients(wrapped, rng, order=1, run=run)


@pytest.mark.parametrize("cell", SQUARE)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_wrappers_run_in_any_loop(wrapper, cell, rng):
    wrapped = [WRAPPERS[wrapper](SQUARE[cell]()) for _ in range(3)]
    layer = nn.Stacked([nn.Bidirectional(wrapped[0], wrapped[1], merge="sum"), wrapped[2]])
    nn.manual_seed(1)
    y, states = layer(x_of(rng, H), lengths=[3, 0, 5])
    assert y.shape == (T, B, H) and not y.data[:, 1].any() and not y.data[3:, 0].any()
    y.sum().backward()
    empty, _ = layer(np.zeros((0, B, H)), states)
    assert empty.shape == (0, B, H)
    with stepwise():
        layer.eval()(x_of(rng, H), lengths=[3, 0, 5])


@pytest.mark.parametrize("cell", SQUARE)
@pytest.mark.parametrize("wrapper", ["variational", "zoneout"])
def test_random_wrappers_do_nothing_at_probability_zero(wrapper, cell, rng):
    inner = SQUARE[cell]()
    wrapped = nn.Zoneout(inner, 0.0) if wrapper == "zoneout" else nn.VariationalDropout(inner)
    x = x_of(rng, H)
    np.testing.assert_array_equal(nn.Recurrent(wrapped)(x)[0].data, nn.Recurrent(inner)(x)[0].data)


@pytest.mark.parametrize("cell", SQUARE)
def test_variational_dropout_has_one_mask_per_sequence_and_row(cell, rng):
    """Equal to masking by hand: the input, and the h of every product, by zeroed columns of weights."""
    inner = SQUARE[cell]()
    wrapped = nn.VariationalDropout(inner, 0.5, 0.25, rng=np.random.default_rng(3))
    x = x_of(rng, H)
    y, _ = nn.Recurrent(wrapped)(x)
    masks = np.random.default_rng(3)
    m_x = (masks.random((B, H), dtype=np.float32) >= 0.5) * 2.0
    m_h = (masks.random((B, H), dtype=np.float32) >= 0.25) / 0.75
    assert 0 < (m_x == 0).sum() < B * H and 0 < (m_h == 0).sum() < B * H
    weight_hh = inner.weight_hh.data.copy()
    for b in range(B):  # a masked h times W is h times W with columns scaled
        inner.weight_hh.data = weight_hh * m_h[b]
        alone, _ = nn.Recurrent(inner)(x[:, b : b + 1] * m_x[b])
        np.testing.assert_allclose(y.data[:, b], alone.data[:, 0], atol=1e-14)


def test_variational_dropout_draws_anew_for_each_sequence_and_rests_in_evaluation(rng):
    inner = SQUARE["lstm"]()
    layer = nn.Recurrent(nn.VariationalDropout(inner, 0.5, 0.5))
    x = x_of(rng, H)
    assert np.abs(layer(x)[0].data - layer(x)[0].data).max() > 0
    np.testing.assert_array_equal(layer.eval()(x)[0].data, nn.Recurrent(inner)(x)[0].data)


def test_variational_dropout_leaves_the_memory_of_a_gru_alone(rng):
    """With z at 1 the h is copied, masked or not; scaled memory would explode."""
    cell = SQUARE["gru"]()
    nn.init.constant_(cell.gate("bias_ih", "z"), 1e3)
    h = rng.normal(size=(B, H))
    _, (last,) = nn.Recurrent(nn.VariationalDropout(cell, 0.5, 0.5))(x_of(rng, H, 200), (h,))
    np.testing.assert_allclose(last.data, h, atol=1e-12)


def test_variational_dropout_refuses_a_cell_without_recurrent_weights(rng):
    class Plain(nn.Cell):
        input_size = hidden_size = H

        def step(self, x, state, fixed):
            return (state[0] + x,)

    message = r"no recurrent weight to mask in Plain: let its prepare return nn.RecurrentWeight\(self.weight"
    with pytest.raises(TypeError, match=message):
        nn.Recurrent(nn.VariationalDropout(Plain(), recurrent_dropout=0.5))(x_of(rng, H))


def test_zoneout_keeps_units_in_training_and_averages_in_evaluation(rng):
    cell = SQUARE["lstm"]()
    wrapped = nn.Zoneout(cell, (0.25, 0.75), rng=np.random.default_rng(2))
    x, state = rng.normal(size=(B, H)), (rng.normal(size=(B, H)), rng.normal(size=(B, H)))
    plain, zoned = cell(x, state), wrapped(x, state)
    masks = np.random.default_rng(2)
    for old, new, got, p in zip(state, plain, zoned, wrapped.p, strict=True):
        kept = masks.random((B, H), dtype=np.float32) < p
        np.testing.assert_array_equal(got.data, np.where(kept, old, new.data))
    for old, new, got, p in zip(state, plain, wrapped.eval()(x, state), wrapped.p, strict=True):
        np.testing.assert_allclose(got.data, p * old + (1 - p) * new.data, atol=1e-15)
    wrapped = nn.Zoneout(cell, 1.0)
    y, last = nn.Recurrent(wrapped)(x_of(rng, H), state)
    np.testing.assert_array_equal(last[1].data, state[1])  # nothing is ever updated


def test_zoneout_keeps_about_as_many_units_as_it_says(rng):
    cell = nn.RNNCell(H, 50, dtype=np.float64)
    h = rng.normal(size=(200, 50))
    new = nn.Zoneout(cell, 0.3)(rng.normal(size=(200, H)), h)
    kept = (new.data == h).mean()
    assert abs(kept - 0.3) < 4 * np.sqrt(0.21 / h.size)


def test_residual_adds_the_input_outside_of_the_recurrence(rng):
    cell = SQUARE["lstm"]()
    x = x_of(rng, H)
    y, (last, h, c) = nn.Recurrent(nn.Residual(cell))(x)
    plain, (h_plain, c_plain) = nn.Recurrent(cell)(x)
    np.testing.assert_allclose(y.data, x + plain.data, atol=1e-15)
    np.testing.assert_array_equal(last.data, y.data[-1])
    np.testing.assert_array_equal(h.data, h_plain.data)
    np.testing.assert_array_equal(c.data, c_plain.data)


def test_a_learned_state_starts_every_row_and_gets_their_gradients(rng):
    cell = nn.LearnedState(SQUARE["lstm"]())
    assert [k for k in cell.state_dict() if k.startswith("initial")] == ["initial.0", "initial.1"]
    for p in cell.initial:
        p.data = rng.normal(size=p.shape)
    x = x_of(rng, H)
    h0 = [Variable(np.tile(p.data, (B, 1))) for p in cell.initial]
    y, _ = nn.Recurrent(cell.cell)(x, tuple(h0))
    y.sum().backward()
    y_learned, _ = nn.Recurrent(cell)(x)
    np.testing.assert_array_equal(y.data, y_learned.data)
    y_learned.sum().backward()
    for p, h in zip(cell.initial, h0, strict=True):
        np.testing.assert_allclose(p.grad.data, h.grad.data.sum(0), atol=1e-14)
    given = np.zeros((B, H)), np.zeros((B, H))
    np.testing.assert_array_equal(
        nn.Recurrent(cell)(x, given)[0].data, nn.Recurrent(cell.cell)(x, given)[0].data
    )


def test_wrappers_nest(rng):
    cell = nn.LearnedState(nn.Zoneout(nn.VariationalDropout(nn.Residual(SQUARE["gru"]()), 0.2, 0.2), 0.1))
    y, state = nn.Recurrent(cell)(x_of(rng, H))
    assert y.shape == (T, B, H) and len(state) == 2 == len(cell.initial)
    y.sum().backward()
    assert all(p.grad is not None for p in cell.parameters())


class Summed(nn.Cell):
    """A cell that gives its recurrent weight an h of another size than the weight has."""

    input_size = hidden_size = 1

    def __init__(self, weight, size):
        self.weight, self.size = nn.Parameter(weight), size

    def prepare(self, x):
        return nn.RecurrentWeight(self.weight)

    def step(self, x, state, W):
        h = state[0] if self.size == 1 else concatenate([state[0]] * self.size, 1)
        return (W.plus(x, h),)


def test_a_mask_is_not_stretched_over_an_h_of_another_size(rng):
    """An h of one feature took every mask: without one, the product itself would have refused it."""
    x = Variable(rng.normal(size=(2, B, 1)))
    wrapped = nn.VariationalDropout(Summed(rng.normal(size=(1, 4)), 1), recurrent_dropout=0.5)
    with pytest.raises(
        ValueError, match=r"RecurrentWeight expected h of size 4, as its weight has, got \(3, 1\)"
    ):
        nn.Recurrent(wrapped)(x)
    right = nn.VariationalDropout(Summed(rng.normal(size=(1, 4)), 4), recurrent_dropout=0.5)
    assert nn.Recurrent(right)(x)[0].shape == (2, B, 1)


class Sizeless(nn.Cell):
    def step(self, x, state, fixed):
        return state


# --- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: nn.Recurrent(cell_of(), truncate=0), ValueError, "truncate of at least 1 step, got 0"),
        (
            lambda: nn.Recurrent(cell_of())(np.zeros((T, I))),
            ValueError,
            r"LSTMCell expected .*\(T, B, 2\), got",
        ),
        (lambda: nn.Recurrent(cell_of())(np.zeros((T, B, 4))), ValueError, r"got \(5, 3, 4\)"),
        (
            lambda: nn.Recurrent(cell_of())(np.zeros((T, B, I)), (np.zeros((B, H)),)),
            ValueError,
            r"LSTMCell expected a state of shapes \[\(3, 3\), \(3, 3\)\], got \[\(3, 3\)\]",
        ),
        (lambda: nn.Bidirectional(cell_of(), cell_of(), merge="max"), ValueError, "merge .* got 'max'"),
        (lambda: nn.Bidirectional(cell_of(), nn.Recurrent(cell_of())), ValueError, "reverse=True"),
        (lambda: nn.Bidirectional(nn.LSTM(2, 3), cell_of()), TypeError, "Recurrent layers, got LSTM"),
        (
            lambda: nn.Bidirectional(cell_of(), cell_of())(np.zeros((T, B, I)), 0),
            ValueError,
            "expected a pair of states",
        ),
        (lambda: nn.Stacked([]), ValueError, "at least one layer"),
        (lambda: nn.Stacked([cell_of()], dropout=0.5), ValueError, "Stacked: dropout=0.5 cannot act"),
        (lambda: nn.Stacked([cell_of()] * 2, dropout=-1), ValueError, "Stacked expected a dropout prob"),
        (
            lambda: nn.Stacked([cell_of()])(np.zeros((T, B, I)), [None, None]),
            ValueError,
            "Stacked expected 1 states, one per layer, got 2",
        ),
        (lambda: nn.Stacked([nn.LSTMCell]), TypeError, r"the class LSTMCell: make one, LSTMCell\(\.\.\.\)"),
        (lambda: nn.Stacked([cell_of(), None]), TypeError, "Stacked expected layers or cells, got NoneType"),
        (
            lambda: nn.Recurrent(nn.GRUCell),
            TypeError,
            "Recurrent expected a Cell, got the class GRUCell: make",
        ),
        (lambda: nn.Recurrent(nn.LSTM(2, 3)), TypeError, "Recurrent expected a Cell, got LSTM"),
        (lambda: nn.Bidirectional(nn.GRUCell, cell_of()), TypeError, "layers, got the class GRUCell: make"),
        (lambda: nn.Zoneout(nn.GRUCell), TypeError, "Zoneout expected a Cell, got the class GRUCell: make"),
        (lambda: nn.StackedCells([nn.GRUCell]), TypeError, "expected cells, got the class GRUCell: make"),
        (lambda: nn.Sequential(nn.Tanh), TypeError, "expected modules, got the class Tanh: make one, Tanh"),
        (
            lambda: nn.Recurrent(Sizeless())(np.ones((T, B, I))),
            AttributeError,
            "Sizeless has no attribute 'input_size': set it in __init__: the number of features",
        ),
        (lambda: nn.Zoneout(Sizeless()), AttributeError, "Sizeless has no attribute 'input_size': set it"),
        (lambda: Sizeless().output_size, AttributeError, "Sizeless has no attribute 'hidden_size': set it"),
        (
            lambda: nn.RecurrentWeight(Variable(np.ones(3))),
            ValueError,
            r"a matrix \(O, H\), got shape \(3,\)",
        ),
        (lambda: nn.Residual(cell_of()), ValueError, "equal sizes of input and output, got 2 and 3"),
        (lambda: nn.Zoneout(cell_of(), 1.5), ValueError, "Zoneout expected 2 probabilities"),
        (lambda: nn.Zoneout(cell_of(), (0.1,)), ValueError, "Zoneout expected 2 probabilities"),
        (lambda: nn.VariationalDropout(cell_of(), 2.0), ValueError, "VariationalDropout expected prob"),
        (lambda: nn.Zoneout(nn.LSTM(2, 3)), TypeError, "Zoneout expected a Cell, got LSTM"),
        (
            lambda: nn.Recurrent(cell_of())(np.ones((T, B, I)), starts=np.ones(B, bool)),
            ValueError,
            r"starts expected shape \(5, 3\), one per step and row, got \(3,\)",
        ),
        (
            lambda: nn.Recurrent(cell_of())(np.ones((T, B, I)), starts=np.ones((T, B))),
            TypeError,
            "starts expected booleans, got float64",
        ),
    ],
)
def test_bad_input_says_who_expected_and_got(call, error, message):
    with pytest.raises(error, match=message):
        call()


# --- what no other test would notice ----------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_truncation_in_reverse_counts_from_where_the_loop_starts(k, rng):
    """Windows of k steps from the last step on, by hand: for T = 5 and k = 2 these are 4 3, 2 1 and 0."""
    cell, x = cell_of(), x_of(rng)
    y, _ = nn.Recurrent(cell, reverse=True, truncate=k)(x)
    state, outputs = None, []
    for end in range(T, 0, -k):
        part, state = nn.Recurrent(cell, reverse=True)(x[max(end - k, 0) : end], state)
        state = nn.detach(state)
        outputs.insert(0, part)
    whole = concatenate(outputs)
    np.testing.assert_array_equal(y.data, whole.data)
    got, full = gradients(cell, y), gradients(cell, nn.Recurrent(cell, reverse=True)(x)[0])
    for g, want in zip(got, gradients(cell, whole), strict=True):
        np.testing.assert_allclose(g, want, atol=1e-13)
    same = all(np.allclose(g, w, atol=1e-10) for g, w in zip(got, full, strict=True))
    assert same == (k == T)


def test_stacked_residual_is_around_every_layer_of_equal_sizes(rng):
    cells = [cell_of_size(H, H) for _ in range(3)]
    x = x_of(rng, H)
    y, _ = nn.Stacked(cells, residual=True)(x)
    want = x
    for cell in cells:
        want = want + nn.Recurrent(cell)(want)[0].data
    np.testing.assert_allclose(y.data, want, atol=1e-14)


@pytest.mark.parametrize("name", SQUARE)
def test_a_learned_state_starts_as_the_cell_itself_does(name, rng):
    cell, x = SQUARE[name](), x_of(rng, H)
    learned = nn.LearnedState(cell)
    assert all(not p.data.any() for p in learned.initial)
    np.testing.assert_array_equal(nn.Recurrent(learned)(x)[0].data, nn.Recurrent(cell)(x)[0].data)


def test_a_learned_state_of_a_cell_that_starts_elsewhere(rng):
    class Late(nn.Cell):
        input_size = hidden_size = H

        def initial_state(self, x):
            return np.full((x.shape[1], H), 0.5), np.full((x.shape[1], H), -2.0)

        def step(self, x, state, fixed):
            return x + state[0], state[1]

    first, second = nn.LearnedState(Late()).initial
    assert first.data.tolist() == [0.5] * H and second.data.tolist() == [-2.0] * H
