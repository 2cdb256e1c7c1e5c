"""Every wrapper around every cell, and around each other, against loops that do by hand what they say.

The loops take one row and one step at a time and know the cell by its ``step`` alone; what a wrapper adds,
the masks it draws included, is written out here.
"""

from types import SimpleNamespace

import numpy as np
import pytest

import nn
from autograd import Variable, no_grad
from autograd.bptt.rtrl import bptt, finite_differences, rtrl
from nn.recurrent import as_variable
from tests.nn.test_cells import check_gradients

T, B, N = 5, 3, 4
LENGTHS = [5, 2, 0]
F64 = {"dtype": np.float64}
CELLS = {  # inputs and outputs of one size, so that Residual fits as well
    "rnn": lambda: nn.RNNCell(N, N, **F64),
    "gru": lambda: nn.GRUCell(N, N, **F64),
    "gru before": lambda: nn.GRUCell(N, N, reset="before", **F64),
    "gru simple": lambda: nn.GRUCell(N, N, reset=None, **F64),
    "lstm": lambda: nn.LSTMCell(N, N, **F64),
    "lstm projected": lambda: nn.LSTMCell(N, 6, proj_size=N, **F64),
    "peephole": lambda: nn.PeepholeLSTMCell(N, N, full=True, **F64),
    "norm rnn": lambda: nn.LayerNormRNNCell(N, N, **F64),
    "norm gru": lambda: nn.LayerNormGRUCell(N, N, **F64),
    "norm lstm": lambda: nn.LayerNormLSTMCell(N, N, **F64),
    "textbook hidden": lambda: nn.TextbookCell(N, 6, N, **F64),
    "textbook output": lambda: nn.TextbookCell(N, 6, N, "output", **F64),
    "jordan": lambda: nn.JordanCell(N, 6, N, **F64),
    "stacked": lambda: nn.StackedCells([nn.LSTMCell(N, 6, **F64), nn.GRUCell(6, N, **F64)]),
    "deep": lambda: nn.DeepRNNCell(N, N, 2, 3, 1, skip=True, **F64),
    "skip": lambda: nn.SkipRNNCell(N, N, 3, **F64),
    "clockwork": lambda: nn.ClockworkCell(N, N, (1, 3), **F64),
    "scrn": lambda: nn.SCRNCell(N, 3, 1, **F64),
    "irnn": lambda: nn.IRNNCell(N, N, **F64),
    "gru take": lambda: nn.GRUCell(N, N, update="take", **F64),
    "mgu": lambda: nn.MGUCell(N, N, **F64),
    "indrnn": lambda: nn.IndRNNCell(N, N, **F64),
    "coupled": lambda: nn.CoupledLSTMCell(N, N, **F64),
    "slstm": lambda: nn.SLSTMCell(N, N, **F64),
    "recurrent highway": lambda: nn.RecurrentHighwayCell(N, N, 3, **F64),
    "relevance lstm": lambda: nn.RelevanceLSTMCell(N, N, **F64),
    "attention": lambda: attention(),
    "conv rnn": lambda: nn.ConvRNNCell(N, N, dims=1, **F64),
    "conv gru": lambda: nn.ConvGRUCell(N, N, (3, 1), reset="before", **F64),
    "conv lstm": lambda: nn.ConvLSTMCell(N, N, dims=1, peephole=(5,), **F64),
}
WRAPPERS = {
    "zoneout": lambda cell: nn.Zoneout(cell, 0.3),
    "variational": lambda cell: nn.VariationalDropout(cell, 0.3, 0.4),
    "residual": nn.Residual,
    "learned": nn.LearnedState,
    "highway": nn.Highway,
}


def attention():
    """Inputs of N numbers, outputs [h context] of 3 + 1."""
    return nn.AttentionCell(nn.GRUCell(N + 1, 3, **F64), nn.AdditiveAttention(3, 1, 2, **F64))


def make(name):
    cell, rng = CELLS[name](), np.random.default_rng(1)
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.5, p.shape)
    return cell.over(cell.attention.remember(rng.normal(size=(2, B, 1)))) if name == "attention" else cell


def sequence(name, rng, steps=T):
    places = {"conv rnn": (5,), "conv gru": (3, 2), "conv lstm": (5,)}.get(name, ())
    return rng.normal(size=(steps, B, N, *places))


def by_hand(cell, x, step, state=None, reverse=False, lengths=None):
    """The loop, one step of the whole batch after the other: ``step(x_t, state) -> state``."""
    state = cell.initial_state(x) if state is None else state
    outputs = np.zeros((len(x), *state[0].shape))
    for t in range(len(x))[:: -1 if reverse else 1]:
        new = step(x[t], state)
        on = np.arange(len(x))[t] < np.array(lengths if lengths is not None else [len(x)] * B)
        rows = [on.reshape(-1, *[1] * (n.ndim - 1)) for n in new]
        state = tuple(np.where(r, n.data, np.asarray(s)) for r, n, s in zip(rows, new, state, strict=True))
        outputs[t] = np.where(rows[0], new[0].data, 0)
    return outputs, state


def check(layer, x, step, cell, **options):
    y, last = layer(x, lengths=options.get("lengths"))
    expected, state = by_hand(cell, x, step, **options)
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=1e-12)
    for got, want in zip(last, state, strict=True):
        np.testing.assert_allclose(got.data, want, rtol=0, atol=1e-12)


# --- each wrapper around every cell: what it says, step by step -----------------------------------

BOTH = pytest.mark.parametrize(("reverse", "lengths"), [(False, None), (False, LENGTHS), (True, LENGTHS)])


@BOTH
@pytest.mark.parametrize("name", CELLS)
def test_residual(name, reverse, lengths, rng):
    cell, x = make(name), sequence(name, rng)
    wrapped, fixed = nn.Residual(cell), cell.prepare(x)

    def step(x_t, state):
        inner = cell.step(cell.project(Variable(x_t)), tuple(map(as_variable, state[1:])), fixed)
        return (Variable(x_t) + inner[0], *inner)

    check(nn.Recurrent(wrapped, reverse), x, step, wrapped, reverse=reverse, lengths=lengths)


@BOTH
@pytest.mark.parametrize("name", [name for name in CELLS if not name.startswith("conv")])
def test_highway(name, reverse, lengths, rng):
    cell, x = make(name), sequence(name, rng)
    wrapped, fixed = nn.Highway(cell), cell.prepare(x)
    W, b = rng.normal(size=(N, N)), rng.normal(size=N)
    wrapped.weight_t.data, wrapped.bias_t.data = W, b

    def step(x_t, state):
        inner = cell.step(cell.project(Variable(x_t)), tuple(map(as_variable, state[1:])), fixed)
        t = 1 / (1 + np.exp(-(x_t @ W.T + b)))
        return (Variable(t * inner[0].data + (1 - t) * x_t), *inner)

    check(nn.Recurrent(wrapped, reverse), x, step, wrapped, reverse=reverse, lengths=lengths)


@BOTH
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_zoneout(name, training, reverse, lengths, rng):
    cell, x = make(name), sequence(name, rng)
    wrapped = nn.Zoneout(cell, 0.3, rng=np.random.default_rng(2)).train(training)
    fixed, masks = cell.prepare(x), np.random.default_rng(2)

    def step(x_t, state):
        new = cell.step(cell.project(Variable(x_t)), tuple(map(as_variable, state)), fixed)
        result = []
        for old, n in zip(state, new, strict=True):
            old, m = np.asarray(old), 0.3
            if n.dtype.kind == "i":  # a count goes on
                m = 0
            elif training:
                m = masks.random(n.shape, dtype=np.float32) < 0.3
            result.append(Variable(m * old + (1 - m) * n.data))
        return result

    check(nn.Recurrent(wrapped, reverse), x, step, cell, reverse=reverse, lengths=lengths)


@BOTH
@pytest.mark.parametrize("name", CELLS)
def test_learned_state(name, reverse, lengths, rng):
    cell, x = make(name), sequence(name, rng)
    wrapped, fixed = nn.LearnedState(cell), cell.prepare(x)
    start = []
    for p, s in zip(wrapped.initial, cell.initial_state(x), strict=True):
        if p is None:
            assert s.dtype == np.int64
            start.append(s.data)
            continue
        assert p.shape == s.shape[1:2] and not p.data.any()
        p.data = rng.normal(size=p.shape)
        start.append(np.zeros(s.shape) + p.data.reshape(1, -1, *[1] * (s.ndim - 2)))

    def step(x_t, state):
        return cell.step(cell.project(Variable(x_t)), tuple(map(as_variable, state)), fixed)

    layer = nn.Recurrent(wrapped, reverse)
    check(layer, x, step, cell, state=tuple(start), reverse=reverse, lengths=lengths)
    y, last = layer(x, lengths=lengths)
    sum((s * s).sum() for s in (y, *last) if s.requires_grad).backward()
    assert any(p.grad is not None and p.grad.data.any() for p in wrapped.initial if p is not None)


WEIGHTS = {  # what a recurrent weight is multiplied by has as many numbers as it has columns
    "lstm projected": ["weight_hh"], "textbook hidden": ["W"], "textbook output": ["W"], "jordan": ["W"],
    "deep": ["weight_hh.0", "weight_hh.1", "weight_hh.2", "weight_skip"],
    "skip": ["weight_hh", "weight_skip"], "scrn": ["weight_hh", "weight_sh"],
    "stacked": ["cells.0.weight_hh", "cells.1.weight_hh"],
    "recurrent highway": ["weight_hh.0", "weight_hh.1", "weight_hh.2"],
    "attention": ["cell.weight_hh"],
}  # fmt: skip


@BOTH
@pytest.mark.parametrize("name", [name for name in CELLS if not name.startswith("conv")])
def test_variational_dropout(name, reverse, lengths, rng):
    """A masked h times W is h times W with its columns scaled; so each row has weights of its own."""
    cell, x = make(name), sequence(name, rng)
    wrapped = nn.VariationalDropout(cell, 0.3, 0.4, rng=np.random.default_rng(2))
    y, last = nn.Recurrent(wrapped, reverse)(x, lengths=lengths)

    draw = np.random.default_rng(2)
    m_x = (draw.random((B, N), dtype=np.float32) >= 0.3) / 0.7
    weights = [p for path, p in cell.named_parameters() if path in WEIGHTS.get(name, ["weight_hh"])]
    assert len(weights) == len(WEIGHTS.get(name, ["weight_hh"]))
    columns = [4] if name == "scrn" else list(dict.fromkeys(w.shape[-1] for w in weights))
    m_h = {n: (draw.random((B, n), dtype=np.float32) >= 0.4) / 0.6 for n in columns}
    before = [w.data.copy() for w in weights]
    for b in range(B):
        for w, data in zip(weights, before, strict=True):
            if name == "scrn":  # one product of [h s], with [R P]
                w.data = data * m_h[4][b][:3] if w is cell.weight_hh else data * m_h[4][b][3:]
            else:
                w.data = data * m_h[w.shape[-1]][b]
        with no_grad():
            n = None if lengths is None else np.full(B, lengths[b])
            alone, state = nn.Recurrent(cell, reverse)(x * m_x[b], lengths=n)
        np.testing.assert_allclose(y.data[:, b], alone.data[:, b], rtol=0, atol=1e-12)
        for got, want in zip(last, state, strict=True):
            np.testing.assert_allclose(got.data[b], want.data[b], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ["conv rnn", "conv gru", "conv lstm"])
def test_variational_dropout_over_images(name, rng):
    """Equal to the cell with its state masked before each of its products."""
    cell, x = make(name), sequence(name, rng)
    wrapped = nn.VariationalDropout(cell, 0.0, 0.4, rng=np.random.default_rng(2))
    y, _ = nn.Recurrent(wrapped)(x)
    m = (np.random.default_rng(2).random((B, N, *x.shape[3:]), dtype=np.float32) >= 0.4) / 0.6

    def masked(part):
        if isinstance(part, nn.RecurrentWeight):
            return SimpleNamespace(plus=lambda x, h: part.plus(x, h * m))
        return tuple(map(masked, part)) if isinstance(part, tuple) else part

    fixed = masked(cell.prepare(x))

    def step(x_t, state):
        return cell.step(cell.project(Variable(x_t)), tuple(map(as_variable, state)), fixed)

    expected, _ = by_hand(cell, x, step)
    np.testing.assert_allclose(y.data, expected, rtol=0, atol=1e-12)


# --- highways ---------------------------------------------------------------------------------------


def test_a_highway_starts_mostly_open(rng):
    wrapped = nn.Highway(nn.GRUCell(N, N))
    np.testing.assert_array_equal(wrapped.bias_t.data, np.full(N, -1.0))
    assert 0.5 / np.sqrt(N) < np.abs(wrapped.weight_t.data).max() <= 1 / np.sqrt(N)
    assert wrapped.weight_t.dtype == np.float32
    assert repr(nn.Highway(nn.RNNCell(2, 2), -3.0)).startswith("Highway(\n  transform_bias=-3.0")


def test_a_gradient_reaches_the_bottom_of_a_stack_of_highways_undiminished(rng):
    """Thirty layers: past them it arrives as it left, through them a power of a half is left."""
    x = Variable(rng.normal(size=(1, 1, N)))

    def reach(wrap):
        cells = [wrap(nn.RNNCell(N, N, **F64)) for _ in range(30)]
        for cell in cells:
            (getattr(cell, "cell", cell)).weight_ih.data = 0.5 * np.eye(N)
        x.grad = None
        nn.Stacked(cells)(x)[0].sum().backward()
        return np.abs(x.grad.data).max()

    assert reach(lambda cell: cell) < 0.5**30
    assert reach(lambda cell: nn.Highway(cell, -30.0)) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: nn.Highway(nn.RNNCell(2, 3)), "Highway expected a cell with equal sizes .* got 2 and 3"),
    (lambda: nn.Recurrent(nn.Highway(nn.ConvRNNCell(2, 2)))(np.ones((1, 1, 2, 3, 3), "f")),
     r"Highway expected steps of vectors, \(T, B, 2\), got \(1, 1, 2, 3, 3\): over images, nn.Residual"),
])  # fmt: skip
def test_a_highway_says_what_it_expected(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- wrappers around wrappers ---------------------------------------------------------------------


@pytest.mark.parametrize("inner", WRAPPERS)
@pytest.mark.parametrize("outer", WRAPPERS)
@pytest.mark.parametrize("name", CELLS)
def test_pairs_run_in_both_directions_and_a_short_row_is_as_if_alone(name, outer, inner, rng):
    if name.startswith("conv") and "highway" in (outer, inner):
        pytest.skip("a highway leads past vectors alone")
    layer = nn.Bidirectional(*[WRAPPERS[outer](WRAPPERS[inner](make(name))) for _ in range(2)])
    x, lengths = sequence(name, rng, 3), [3, 1, 0]
    y, states = layer(x, lengths=lengths)
    assert y.shape == (3, B, 2 * N, *x.shape[3:])
    assert not y.data[1:, 1].any() and not y.data[:, 2].any()
    (y * y).sum().backward()
    counts = [part.data[:, 0].tolist() for state in states for part in state if part.dtype.kind == "i"]
    assert counts == ([lengths] * 2 if name == "clockwork" else [])
    layer.eval()
    with no_grad():
        y, _ = layer(x, lengths=lengths)
        short, _ = layer(x[:1])
    np.testing.assert_allclose(y.data[0, 1], short.data[0, 1], rtol=0, atol=1e-12)
    assert y.data[0, 1].any()


@pytest.mark.parametrize(
    "name", ["textbook hidden", "jordan", "skip", "scrn", "mgu", "indrnn", "recurrent highway"]
)
@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_gradients(wrapper, name, rng):
    wrapped = WRAPPERS[wrapper](make(name))

    def run(x, *state):
        wrapped.rng = np.random.default_rng(5)  # the same masks every time
        y, last = nn.Recurrent(wrapped)(x, state)
        return y, *last

    check_gradients(wrapped, rng, order=1, run=run)


def test_masks_of_two_variational_dropouts_multiply(rng):
    cell, x = make("rnn"), sequence("rnn", rng)
    inner = nn.VariationalDropout(cell, 0.0, 0.4, rng=np.random.default_rng(2))
    outer = nn.VariationalDropout(inner, 0.0, 0.5, rng=np.random.default_rng(3))
    y, _ = nn.Recurrent(outer)(x)
    m = (np.random.default_rng(2).random((B, N), dtype=np.float32) >= 0.4) / 0.6
    m = m * (np.random.default_rng(3).random((B, N), dtype=np.float32) >= 0.5) * 2
    W = cell.weight_hh.data.copy()
    for b in range(B):
        cell.weight_hh.data = W * m[b]
        np.testing.assert_allclose(
            y.data[:, b], nn.Recurrent(cell)(x[:, b : b + 1])[0].data[:, 0], atol=1e-12
        )


# --- counts ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_a_clock_beyond_2048_steps_in_half_precision(dtype, rng):
    cell = nn.ClockworkCell(1, 2, (1, 3), dtype=dtype)
    cell.activation = np.tanh
    state = np.zeros((1, 2), dtype), np.array([[4095]])
    y, (_, t) = nn.Recurrent(cell)(rng.normal(size=(7, 1, 1)).astype(dtype), state)
    assert t.data.tolist() == [[4102]] and y.dtype == dtype
    moved = np.diff(y.data[:, 0, 1].astype(float)) != 0
    assert moved.tolist() == [(4096 + k) % 3 == 0 for k in range(6)]


@pytest.mark.parametrize("wrap", [nn.Zoneout, lambda c: nn.Zoneout(nn.Residual(nn.LearnedState(c)), 0.9)])
def test_wrappers_leave_a_clock_alone(wrap, rng):
    cell = wrap(make("clockwork"))
    for mode in (True, False):
        _, state = nn.Recurrent(cell.train(mode))(sequence("clockwork", rng), lengths=LENGTHS)
        assert state[-1].data.tolist() == [[5], [2], [0]]
    assert all(not path.endswith("initial.1") for path in cell.state_dict())
    with pytest.raises(ValueError, match="cannot stop part 1 of the state of ClockworkCell, .* got 0.5"):
        nn.Zoneout(make("clockwork"), (0.5, 0.5))
    assert nn.Zoneout(make("clockwork"), (0.5, 0.0)).p == (0.5, 0.0)


def test_a_count_given_as_something_else_is_refused(rng):
    with pytest.raises(TypeError, match=r"ClockworkCell expected a int64 state .* got float64 \(part 1"):
        nn.Recurrent(make("clockwork"))(sequence("clockwork", rng), (np.zeros((B, N)), np.zeros((B, 1))))


def test_real_time_learning_goes_past_a_count(rng):
    cell, x = make("clockwork"), rng.normal(size=(T, 2, N))

    def step(t, state):
        new = cell(Variable(x[t], requires_grad=False), state)
        return new, (new[0] * new[0]).sum()

    start, params = cell.initial_state(x), list(cell.parameters())
    back = bptt(step, start, T, params)
    for f, b, n in zip(
        rtrl(step, start, T, params), back, finite_differences(step, start, T, params), strict=True
    ):
        np.testing.assert_allclose(f, b, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(n, b, rtol=1e-7, atol=1e-8)


# --- cells of one's own ---------------------------------------------------------------------------


class Own(nn.Cell):
    """s' = s + x, with whatever initial state and result of a step a test wants."""

    input_size = hidden_size = N

    def __init__(self, start, result=None):
        self.start, self.result = start, result

    def initial_state(self, x):
        return self.start(x)

    def step(self, x, state, fixed):
        s = state[0] + (x if state[0].ndim == 2 else x[..., None])
        return (s, *state[1:]) if self.result is None else self.result(s)


def test_initial_states_may_be_plain_arrays(rng):
    own = Own(lambda x: (np.zeros((x.shape[1], N)), np.full((x.shape[1], 1), 7)))
    x = rng.normal(size=(T, B, N))
    for wrapped in (own, nn.LearnedState(own), nn.Zoneout(own, 0.0), nn.LearnedState(nn.Residual(own))):
        y, state = nn.Recurrent(wrapped, truncate=2)(x, lengths=LENGTHS)
        assert isinstance(state[0], Variable) and state[-1].data.tolist() == [[7]] * B
        expected = np.cumsum(x, 0) + (x if len(state) == 3 else 0)
        np.testing.assert_allclose(y.data[:, 0], expected[:, 0], atol=1e-14)
    assert nn.detach((np.ones(2), None, 3))[2] == 3


def test_a_learned_state_may_have_any_number_of_axes(rng):
    own = Own(lambda x: (np.zeros((x.shape[1], N, 3)), np.zeros((x.shape[1], 2, 0, 2)), np.zeros(x.shape[1])))
    learned = nn.LearnedState(own)
    assert [p.shape for p in learned.initial] == [(N, 3), (2, 0, 2), ()]
    learned.initial[0].data = rng.normal(size=(N, 3))
    x = rng.normal(size=(T, B, N))
    y, (last, *_) = nn.Recurrent(learned)(x)
    np.testing.assert_allclose(y.data, learned.initial[0].data + np.cumsum(x, 0)[..., None], atol=1e-14)
    last.sum().backward()
    np.testing.assert_array_equal(learned.initial[0].grad.data, np.full((N, 3), B))
    with no_grad():
        assert nn.Recurrent(learned)(x[:, :0])[0].shape == (T, 0, N, 3)


@pytest.mark.parametrize(("result", "error", "words"), [
    (lambda s: (s,), ValueError, r"Own.step expected to return a state of 2 parts, .* got 1"),
    (lambda s: (s, s, s), ValueError, r"Own.step expected to return a state of 2 parts, .* got 3"),
    (lambda s: (), ValueError, r"Own.step expected .* got 0"),
    (lambda s: s, TypeError, r"Own.step expected to return a tuple, .* got Variable"),
    (lambda s: None, TypeError, r"Own.step expected to return a tuple, .* got NoneType"),
])  # fmt: skip
@pytest.mark.parametrize("wrap", [
    lambda cell: cell, nn.LearnedState, nn.VariationalDropout, nn.Residual, lambda c: nn.Zoneout(c, 0.5),
    nn.Highway,
    lambda cell: nn.StackedCells([nn.RNNCell(N, N, **F64), cell]),
])  # fmt: skip
def test_a_step_of_another_number_of_parts_names_the_cell(wrap, result, error, words, rng):
    own = Own(lambda x: (np.zeros((x.shape[1], N)), np.zeros((x.shape[1], N))), result)
    cell = wrap(own)
    if type(cell) in (nn.LearnedState, nn.VariationalDropout):  # these hand on what the cell gives
        words = words.replace("Own", type(cell).__name__)
    for call in (
        lambda: nn.Recurrent(cell)(np.ones((T, B, N))),
        lambda: nn.Recurrent(cell)(np.ones((T, B, N)), lengths=LENGTHS),
        lambda: cell(np.ones((B, N))),
    ):
        with pytest.raises(error, match=words):
            call()
