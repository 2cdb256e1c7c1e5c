"""What results of `autograd.bptt` say of themselves at a prompt and in a notebook, and pictures of them."""

import re
import tracemalloc
from html.parser import HTMLParser

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, bptt, graph
from autograd.bptt.derivations import RNN, check
from autograd.bptt.rtrl import Memory
from autograd.bptt.rtrl import memory as measured
from autograd.graph.tables import as_html, as_text


class Cells(HTMLParser):
    """The rows of all tables: pairs of a text and the opacity of its background, None where it has none."""

    def __init__(self, page):
        super().__init__()
        self.rows, self.captions, self._into = [], [], None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            found = re.search(r"rgba\((\d+),.*,([0-9.]+)\)", dict(attributes).get("style", ""))
            self.rows[-1].append(["", found and (found[1], float(found[2]))])
            self._into = self.rows[-1][-1]
        elif tag == "caption":
            self.captions.append("")
            self._into = None

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self._into = None

    def handle_data(self, data):
        if self._into is not None:
            self._into[0] += data
        elif self.captions:
            self.captions[-1] += data


def losses_of(T, rng):
    nn.manual_seed(0)
    lstm = nn.LSTM(2, 4)
    with ag.stepwise():
        y, _ = lstm(rng.normal(size=(T, 1, 2)).astype("f"))
        return lstm, y, [(h * h).sum() for h in y]


# --- tables ---------------------------------------------------------------------------------------


def test_a_table_of_text_has_the_numbers_under_their_columns():
    values = np.array([[1.0, 0.0], [0.126, np.nan]])
    assert as_text(values, ["a", "b"], [3, 4]) == "      3  4\na     1  0\nb  0.13"


def test_a_long_table_shows_its_ends():
    rows = as_text(np.arange(400.0).reshape(20, 20), range(20), range(20)).split("\n")
    assert len(rows) == 8
    assert rows[0].split() == ["0", "1", "2", "3", "⋯", "16", "17", "18", "19"]
    assert rows[-1].split() == ["19", *["3.8e+02"] * 4, "⋯", *["4e+02"] * 4]
    assert rows[4].strip() == "⋯"


def test_colours_are_logarithmic_and_zeros_have_none():
    page = Cells(as_html(np.array([[1.0, 10.0, 100.0, 0.0]]), ["r"], "abcd", "sizes"))
    (_, one), (_, ten), (_, hundred), zero = page.rows[1][1:]
    assert one[1] < ten[1] < hundred[1]
    assert ten[1] - one[1] == pytest.approx(hundred[1] - ten[1], abs=0.011)
    assert zero == ["0", None]
    assert page.captions == ["sizes; colour: logarithmic, 1 to 100"]


def test_signs_have_colours_of_their_own_on_a_linear_scale():
    page = Cells(as_html(np.array([[-2.0, 1.0, 2.0]]), ["r"], "abc", "x"))
    (_, minus), (_, one), (_, two) = page.rows[1][1:]
    assert minus[0] != one[0] == two[0] and minus[1] == two[1]
    assert one[1] - 0.1 == pytest.approx((two[1] - 0.1) / 2, abs=0.011)
    assert page.captions == ["x; colour: linear, ±2"]


def test_tables_that_share_limits_share_colours():
    limits = (1.0, 100.0)
    alone = Cells(as_html(np.array([[10.0]]), ["r"], "a", "x", limits=limits)).rows[1][1][1]
    beside = Cells(as_html(np.array([[1.0, 10.0, 100.0]]), ["r"], "abc", "x")).rows[1][2][1]
    assert alone == beside


def test_a_name_cannot_be_markup():
    assert "<b>" not in as_html(np.ones((1, 1)), ["<b>"], ["<b>"], "<b>", "<b>")


# --- reprs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [3, 40])
def test_at_a_prompt_no_result_takes_more_than_ten_lines(T, rng):
    lstm, y, losses = losses_of(T, rng)
    W = dict(lstm.named_parameters())["weight_hh_l0"]
    x = Variable(rng.normal(size=(T, 1, 2)).astype("f"))
    results = [
        bptt.decompose(losses, W),
        bptt.jacobian_chain(y),
        bptt.gradient_flow(sum(losses)),
        bptt.gates(y, lstm),
        bptt.input_gradients([h.sum() for h in lstm(x)[0]], x),
        graph.query.receptive_field(sum(losses)),
        check(RNN, {f"d{n}": lambda v: 1 / 0 for n in ("tanh", "Wax", "Waa", "ba", "x", "a_prev")}),
    ]
    for result in results:
        assert 1 < len(repr(result).split("\n")) <= 10, type(result).__name__


def test_a_verdict_of_many_mistakes_says_how_many_more():
    mistake = check(RNN, {"dba": lambda v: v.dtanh}).mistakes[0]
    verdict = bptt.derivations.Verdict([mistake] * 30, ["dx"])
    lines = repr(verdict).split("\n")
    assert len(lines) == 10 and lines[-2] == "⋯ and 22 more" and lines[-1] == "right: dx"
    assert len(str(verdict).split("\n")) == 31


def test_a_table_in_a_notebook_has_the_numbers_of_the_result(rng):
    lstm, _, losses = losses_of(5, rng)
    G = bptt.decompose(losses, dict(lstm.named_parameters())["weight_hh_l0"])
    page = Cells(G._repr_html_())
    assert [row[0][0] for row in page.rows] == ["t \\ k", *"01234"]
    shown = np.array([[float(text) for text, _ in row[1:]] for row in page.rows[1:]])
    np.testing.assert_allclose(shown, G.norms, rtol=0.06)
    assert "k = 0: zero, as the initial state is 0" in page.captions[0]
    assert repr(G).endswith("\nk = 0: zero, as the initial state is 0")


def test_a_field_names_leaves_constants_and_steps():
    W, h = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)), requires_grad=False, name="h")
    for t in range(9):
        with ag.step(t):
            h = h @ W
    field = graph.query.receptive_field(h)
    words = "leaves: W (2, 2)", "constants: h (1, 2)", "steps: 0, 1, 2, 3, 4, ⋯, 8 (9 of them)"
    assert repr(field) == "\n  ".join(["Field", *words])
    cells = [[text for text, _ in row] for row in Cells(field._repr_html_()).rows]
    assert [": ".join(row) for row in cells] == list(words)


# --- verdicts and bad steps -----------------------------------------------------------------------


def test_a_verdict_shows_yours_right_and_their_difference():
    verdict = check(
        RNN, {"da_prev": lambda v: v.Waa @ v.dtanh, "dba": lambda v: v.dtanh, "dx": lambda v: 1 / 0}
    )
    transposed, too_long, raising = verdict.mistakes
    page = Cells(transposed._repr_html_())
    assert [caption.split(";")[0] for caption in page.captions] == ["yours", "right", "difference"]
    axs = transposed.plot()
    yours, right, difference = [np.asarray(ax.images[0].get_array()) for ax in axs]
    np.testing.assert_array_equal(yours, transposed.got)
    np.testing.assert_array_equal(right, transposed.expected)
    np.testing.assert_array_equal(difference, transposed.got - transposed.expected)
    limits = {ax.images[0].get_clim() for ax in axs}
    assert limits == {(-np.abs([yours, right, difference]).max(), np.abs([yours, right, difference]).max())}
    assert {ax.images[0].get_clim() for ax in transposed.plot(vmin=-1, vmax=2)} == {(-1, 2)}
    assert [len(ax.images) for ax in too_long.plot()] == [1, 1, 0]  # another shape has no difference
    assert [ax.get_title() for ax in raising.plot()] == ["yours: none", "dx: right", "difference: none"]
    assert len(verdict.plot()) == 3
    assert verdict._repr_html_().count("is wrong at step") == 3


def test_a_bad_step_marks_its_operation():
    W, h = Variable(np.eye(2) * 3, name="W"), Variable(np.ones((1, 2)))
    with pytest.raises(bptt.BadStep) as caught, bptt.first_bad_step(limit=1e3):
        for t in range(50):
            with ag.step(t):
                h = h @ W
    bad = caught.value
    assert bad.step == 5  # √2 · 3⁶ is the first above a thousand
    source = bad.draw().source
    assert [f"t = {t}" in source for t in range(2, 7)] == [False, True, True, True, False]
    marked = [line for line in source.split("\n") if "norm in its result" in line]
    assert len(marked) == 1 and "penwidth" in marked[0]
    assert "t = 0" in bad.draw(back=10).source
    assert "<svg" in bad._repr_html_() and "norm 1.03e+03 first in MatMul" in bad._repr_html_()


def test_a_bad_gradient_marks_the_operation_that_gave_it():
    x = Variable(np.array([4.0, 0.0]), name="x")
    with np.errstate(divide="ignore"), pytest.raises(bptt.BadStep) as caught, bptt.first_bad_step():
        ag.sqrt(x).sum().backward()
    (marked,) = [line for line in caught.value.draw().source.split("\n") if "infinity in" in line]
    assert "the gradient it gives" in marked and "√" in marked


# --- truncation and memory ------------------------------------------------------------------------


@pytest.mark.parametrize("T, k1, k2", [(9, 1, 3), (9, 2, 5), (10, 4, 4), (3, 2, 8)])
def test_windows_are_those_of_truncated_bptt(T, k1, k2):
    """Read from what it does: at which steps W is used by each pass, and which losses start it."""
    W, passes = Variable(0.5), []

    class Look:
        def forward(self, node, inputs, outputs):
            """Nothing to see."""

        def backward(self, node, gys, gxs):
            passes[-1].add((node.label, node.place.step))

    def step(t, h):
        if t % k1 == 0:
            passes.append(set())
        h = W * h
        return h, ag.square(h)

    with ag.instrumented(Look()):
        bptt.truncated_bptt(step, Variable(1.0, requires_grad=False), T, k1, k2)
    seen = [
        (min(t for label, t in p if label == "Mul"), *sorted(t for label, t in p if label == "Square"))
        for p in passes
    ]
    windows = bptt.flow.windows(T, k1, k2)
    assert seen == [(max(first, 0), *range(start, end)) for first, start, end in windows]


def test_the_picture_of_windows_has_a_bar_for_losses_and_one_for_the_steps_before():
    ax = bptt.flow.plot_windows(9, 2, 5)
    bars = [(bar.get_x() + 0.5, bar.get_width()) for bar in ax.patches]
    assert bars[2:4] == [(2, 2), (0, 2)] and bars[-2:] == [(8, 1), (5, 3)]
    with pytest.raises(ValueError, match=r"windows expected 1 <= k1 <= k2, got k1=3 and k2=2"):
        bptt.flow.plot_windows(9, 3, 2)


def test_memory_of_bptt_grows_by_the_states_and_that_of_rtrl_does_not(rng):
    nn.manual_seed(0)
    cell = nn.RNNCell(1, 6, dtype=np.float64)
    x = Variable(rng.normal(size=(100, 4, 1)), requires_grad=False)

    def step(t, h):
        h = cell(x[t], h)
        return h, h.sum()

    params = [p for name, p in cell.named_parameters() if "bias" in name]
    found = measured(step, Variable(np.zeros((4, 6))), [25, 50, 100], params)
    a, b, c = found.bptt
    assert c - b == pytest.approx(2 * (b - a), rel=0.2)
    assert c - b > 50 * 4 * 6 * 8  # at least the states
    assert found.rtrl[2] - found.rtrl[0] < 0.1 * (c - a)
    assert not tracemalloc.is_tracing()


def test_the_picture_of_memory_has_both_curves():
    bptt_line, rtrl_line = Memory([1, 2], [1000, 2000], [500, 500]).plot().lines
    assert list(bptt_line.get_ydata()) == [1.0, 2.0] and list(rtrl_line.get_ydata()) == [0.5, 0.5]


# --- gates and inputs -----------------------------------------------------------------------------


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def test_gates_of_an_lstm_are_those_of_a_loop_in_numpy(rng):
    T, B, H = 6, 2, 3
    nn.manual_seed(1)
    lstm = nn.LSTM(2, H, dtype=np.float64)
    x = rng.normal(size=(T, B, 2))
    found = bptt.gates(lstm(x)[0], lstm)
    p = {name: w.data for name, w in lstm.named_parameters()}
    h, c = np.zeros((B, H)), np.zeros((B, H))
    for t in range(T):
        z = x[t] @ p["weight_ih_l0"].T + p["bias_ih_l0"] + h @ p["weight_hh_l0"].T + p["bias_hh_l0"]
        i, f, g, o = np.split(z, 4, axis=1)
        i, f, g, o = sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)
        c = f * c + i * g
        h = o * np.tanh(c)
        for gate, value in zip("ifgo", (i, f, g, o), strict=True):
            np.testing.assert_allclose(found.values["l0"][gate][t], value, atol=1e-12)
    assert list(found.values["l0"]) == list("ifgo") and found.steps == {"l0": list(range(T))}


def test_gates_of_a_gru_by_layer(rng):
    T, H = 4, 3
    nn.manual_seed(1)
    gru = nn.GRU(2, H, num_layers=2, dtype=np.float64)
    x = rng.normal(size=(T, 1, 2))
    y, _ = gru(x)
    found = bptt.gates((y * y).sum(), gru)
    p = {name: w.data for name, w in gru.named_parameters()}
    for layer in range(2):
        h, states = np.zeros((1, H)), []
        for t in range(T):
            a = x[t] @ p[f"weight_ih_l{layer}"].T + p[f"bias_ih_l{layer}"]
            b = h @ p[f"weight_hh_l{layer}"].T + p[f"bias_hh_l{layer}"]
            (ar, az, an), (br, bz, bn) = np.split(a, 3, axis=1), np.split(b, 3, axis=1)
            r, z = sigmoid(ar + br), sigmoid(az + bz)
            n = np.tanh(an + r * bn)
            h = (1 - z) * n + z * h
            states.append(h)
            for gate, value in zip("rzn", (r, z, n), strict=True):
                np.testing.assert_allclose(found.values[f"l{layer}"][gate][t], value, atol=1e-12)
        x = np.stack(states)


def test_the_picture_of_a_gate_has_units_down_and_time_to_the_right(rng):
    lstm, y, _ = losses_of(7, rng)
    found = bptt.gates(y, lstm)
    ax = found.plot("f", labels="letters")
    np.testing.assert_array_equal(ax.images[0].get_array(), found.values["l0"]["f"][:, 0].T)
    assert ax.images[0].get_clim() == (0, 1) and [t.get_text() for t in ax.get_xticklabels()] == list(
        "letters"
    )
    assert found.plot("g").images[0].get_clim() == (-1, 1)
    assert found.plot("f", vmin=0.4, vmax=0.6).images[0].get_clim() == (0.4, 0.6)
    with pytest.raises(KeyError, match="knows no gate 'z' of layer 'l0': there are l0: i, f, g, o"):
        found.plot("z")


def test_gates_of_a_released_graph_and_of_no_gates(rng):
    lstm, y, losses = losses_of(3, rng)
    sum(losses).backward()
    with pytest.raises(RuntimeError, match="released the values: call gates before"):
        bptt.gates(y, lstm)
    rnn = nn.RNN(2, 3)
    with pytest.raises(ValueError, match="found no gate of the model behind y"):
        bptt.gates(rnn(np.ones((3, 1, 2), "f"))[0], rnn)


def test_input_gradients_are_the_jacobian_of_a_linear_network():
    T, A, U = 5, np.array([[0.5, 1.0], [0.0, 0.8]]), np.array([[1.0, 2.0], [3.0, -1.0]])
    x, h, ys = Variable(np.ones((T, 2))), Variable(np.zeros(2)), []
    for t in range(T):
        h = A @ h + U @ x[t]
        ys.append(h[0] + 2.0 * h[1])
    found = bptt.input_gradients(ys, x)
    for t in range(T):
        for k in range(T):
            right = np.array([1.0, 2.0]) @ np.linalg.matrix_power(A, t - k) @ U if k <= t else np.zeros(2)
            np.testing.assert_allclose(found.table[t, k], right)
            assert found.norms[t, k] == pytest.approx(np.hypot(*right))
    assert x.grad is None
    ax = found.plot(outputs="abcde", inputs="vwxyz", vmin=0.1, vmax=1.0)
    assert [t.get_text() for t in ax.get_xticklabels()] == list("vwxyz")
    assert [t.get_text() for t in ax.get_yticklabels()] == list("abcde")


def test_inputs_may_come_from_an_embedding(rng):
    embedding, rnn = nn.Embedding(5, 3), nn.RNN(3, 4)
    x = embedding(np.array([[1], [1], [2]]))
    y, _ = rnn(x)
    found = bptt.input_gradients(y[:, 0, 0], x)
    assert found.table.shape == (3, 3, 1, 3)
    assert (found.norms[np.triu_indices(3, 1)] == 0).all() and (found.norms[np.tril_indices(3)] > 0).all()


def test_input_gradients_teaches():
    x = Variable(np.ones((3, 1)))
    with pytest.raises(ValueError, match="no output depends on x"):
        bptt.input_gradients([Variable(2.0) * 3.0], x)
    with pytest.raises(ValueError, match=r"of shape \(T, ...\) that requires grad, got shape \(3, 1\) with"):
        bptt.input_gradients([x[0].sum()], x.detach())
