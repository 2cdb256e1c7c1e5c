"""The examples about gradients in time: remedies, the adding problem, truncation, forecasting."""

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

import nn
import optim
from autograd import Variable, grad, stepwise
from autograd.bptt import flow
from examples import adding_problem, cliff, forecasting, gradient_flow, remedies, truncated_bptt
from examples.shared import tasks
from nn.functional import cross_entropy, one_hot
from tests.examples.figures import assert_figures


@pytest.mark.parametrize("example", [remedies, adding_problem, truncated_bptt, forecasting, cliff])
def test_runs_to_its_end(example, capsys, tmp_path):
    assert_figures(example.main(["--quick", "--out", str(tmp_path / "new" / "folder")]))
    assert capsys.readouterr().out.strip()
    name = example.__name__.partition(".")[2]
    pictures = {picture.stem: picture for picture in (tmp_path / "new" / "folder").iterdir()}
    assert set(pictures) == {name} | ({"graph"} if example is forecasting else set())
    for picture in pictures.values():
        assert {".svg": b"<svg", ".png": b"\x89PNG"}[picture.suffix] in picture.read_bytes()


# --- the flow of gradients through four cells -------------------------------------------------------


def test_all_panels_of_the_cells_have_one_scale(rng):
    """A number has the same colour in each of the eight panels: that of its place on the one scale."""
    import matplotlib

    matplotlib.use("Agg")
    chains, tables, T = {}, {}, 8
    for name, kind in gradient_flow.CELLS.items():
        nn.manual_seed(0)
        cell = kind.make(gradient_flow.SYMBOLS, 4)
        with stepwise():
            y, _ = nn.Recurrent(cell)(gradient_flow.batch(T, 1, rng)[0])
        chains[name] = flow.jacobian_chain(y)
        tables[name] = flow.decompose([(h * h).sum() for h in y], cell.weight_hh)
    figure = gradient_flow.compare(chains, tables)
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 8
    norms = [found.norms for found in (*chains.values(), *tables.values())]
    low = min(n[n > 0].min() for n in norms)
    high = max(n.max() for n in norms)
    for image in images:
        shown = image.get_array()
        assert any(np.array_equal(shown.filled(0.0), n) for n in norms)
        share = np.log(shown.compressed() / low) / np.log(high / low)
        drawn = image.to_rgba(shown)[~shown.mask]
        np.testing.assert_allclose(drawn, matplotlib.colormaps["viridis"](share), atol=1 / 100)


# --- the adding problem ---------------------------------------------------------------------------


@pytest.mark.full
def test_the_identity_relu_rnn_learns_150_steps_where_the_tanh_rnn_does_not():
    nn.manual_seed(1)
    with np.errstate(over="ignore", invalid="ignore"):
        irnn = adding_problem.train(adding_problem.irnn(64), 150, 1500, 1e-3, enough=0.08, seed=1)
    updates, error = irnn[-1]
    assert error < 0.08 and updates < 1500
    nn.manual_seed(1)
    tanh = adding_problem.train(nn.RNNCell(2, 64), 150, updates, 1e-3, enough=0.0, seed=1)
    assert tanh[-1][0] == updates
    assert 0.14 < tanh[-1][1] < 0.25
    x, y = tasks.adding(150, 400, np.random.default_rng(99))
    assert np.mean((y - 1) ** 2) > 0.14 and x.shape == (150, 400, 2)


def test_the_long_lstm_keeps_a_memory_for_about_its_time():
    nn.manual_seed(0)
    cell = adding_problem.long_lstm(2000, 150)
    bias = cell.gate("bias_ih", "f").data + cell.gate("bias_hh", "f").data
    f = 1 / (1 + np.exp(-bias.astype(float)))
    times = -1 / np.log(f)  # f^time = 1/e
    assert times.max() < 150 and times.min() > 1
    assert abs(times.mean() - 75) < 5
    np.testing.assert_allclose(cell.gate("bias_ih", "i").data + cell.gate("bias_hh", "i").data, -bias)


# --- remedies ---------------------------------------------------------------------------------------


def test_norms_are_those_of_a_loop_by_hand():
    T = 7
    nn.manual_seed(0)
    model = remedies.Reader(nn.RNNCell(remedies.WORDS, 5))
    x, y = tasks.agreement(T, 32, np.random.default_rng([0, 1]))
    h, states = None, []
    for words in one_hot(x, remedies.WORDS).astype(np.float32):
        h = model.recurrent.cell(words, h)
        states.append(h)
    gs = grad(cross_entropy(model.readout(h), y), states)
    expected = np.array([np.linalg.norm(g.data) for g in gs])[::-1]
    np.testing.assert_allclose(remedies.norms(model, T), expected / expected[0], rtol=1e-4)


def test_remedies_keep_a_gradient_that_the_tanh_rnn_loses():
    left = {}
    for name, make in remedies.CELLS.items():
        nn.manual_seed(0)
        left[name] = remedies.norms(remedies.Reader(make(remedies.WORDS, 32)), 52)[50]
    assert left.pop("tanh RNN") < 1e-10 and left.pop("GRU") < 1e-8 and left.pop("LSTM, f bias 1") < 1e-3
    assert len(left) == 7 and all(g > 1e-3 for g in left.values())


@pytest.mark.parametrize("name, learns", [("ReLU and identity", True), ("tanh RNN", False)])
def test_what_keeps_a_gradient_learns(name, learns):
    nn.manual_seed(0)
    model = remedies.Reader(remedies.CELLS[name](remedies.WORDS, 32))
    right, _ = remedies.train(model, 60, 150, optim.Adam(model.parameters(), lr=2e-3), clip=1.0)
    assert right > 0.95 if learns else right < 0.6


@pytest.mark.parametrize("clip, finite", [(np.inf, False), (1.0, True)])
def test_clipping_decides_if_training_goes_on(clip, finite):
    nn.manual_seed(0)
    model = remedies.Reader(remedies.identity(remedies.WORDS, 32, scale=1.1))
    with np.errstate(over="ignore", invalid="ignore"):
        _, seen = remedies.train(model, 60, 20, optim.SGD(model.parameters(), lr=0.01), clip)
    assert seen[0] > 1000 and np.isfinite(seen[-1]) == finite
    assert np.isfinite(model.readout.weight.data).all() == finite


# --- the cliff --------------------------------------------------------------------------------------


def test_the_loss_has_a_wall_between_two_plains():
    w, b = Variable(np.full(2001, 5.0)), Variable(np.linspace(-3.6, -1.6, 2001))
    height = cliff.loss(w, b)
    (slope,) = np.abs([g.data for g in grad(height.sum(), [b])])
    (wall,) = np.nonzero(slope > 1)[0][[0]]
    assert -2.63 < b.data[wall] < -2.6 and (slope > 1).sum() < 10
    assert height.data[: wall - 5].min() > 0.33 and height.data[wall + 15 :].max() < 0.09
    x = 0.5
    for _ in range(cliff.STEPS):
        x = 5.0 / (1 + np.exp(-x)) + b.data[7]
    np.testing.assert_allclose(height.data[7], (1 / (1 + np.exp(-x)) - 0.7) ** 2, rtol=1e-12)


def test_clipping_decides_where_a_step_from_the_wall_lands():
    w, b, height, norm = cliff.descend(np.inf, 50).T
    assert norm[0] > 100 and height[0] > 0.1
    step = np.hypot(np.diff(w), np.diff(b))
    np.testing.assert_allclose(step[0], cliff.RATE * norm[0], rtol=1e-6)
    assert height[-1] > 0.089 and norm[-1] < 1e-8 and step[1:].max() < 1e-8  # far away, and there it stays
    w, b, height, norm = cliff.descend(1.0, 200).T
    step = np.hypot(np.diff(w), np.diff(b))
    np.testing.assert_allclose(step[0], cliff.RATE, rtol=1e-6)
    assert step.max() < 1.001 * cliff.RATE and height[1] < 0.02 and height[-1] < 1e-3


# --- truncation -------------------------------------------------------------------------------------


def test_the_echo_comes_later(rng):
    x, y = truncated_bptt.echo(20, 3, rng)
    assert x.shape == y.shape == (20, 3, 1) and set(np.unique(x)) == {-1.0, 1.0}
    np.testing.assert_array_equal(y[truncated_bptt.LAG :], x[: -truncated_bptt.LAG])
    assert not y[: truncated_bptt.LAG].any()


@pytest.mark.parametrize("k2", [1, 8, 20])
def test_truncation_changes_no_value_and_keeps_the_near_terms(k2):
    change, gap, cosine = truncated_bptt.compare(k2)
    assert change == 0 and gap < 1e-14
    assert (cosine > 1 - 1e-9) == (k2 == 20)


def test_memory_is_bounded_by_the_horizon():
    truncated_bptt.peak(20, 5)
    short, long = truncated_bptt.peak(50, 5), truncated_bptt.peak(200, 5)
    assert long < 1.2 * short < truncated_bptt.peak(50, 1000) < 0.4 * truncated_bptt.peak(200, 1000)


@pytest.mark.full
def test_one_step_decides_what_can_be_learned():
    lag = truncated_bptt.LAG
    assert truncated_bptt.learn(lag, 60) > 0.7
    assert truncated_bptt.learn(lag + 1, 60) < 0.4


# --- forecasting ------------------------------------------------------------------------------------


def test_series_are_two_waves_and_noise(rng):
    x = forecasting.series(400, rng)
    assert x.shape == (forecasting.SEEN + forecasting.AHEAD, 400, 1) and x.dtype == np.float32
    assert np.abs(x).max() <= 0.5 + 0.2 + forecasting.NOISE / 2
    assert abs(x.var() - (0.5**2 + 0.2**2) / 2) < 0.02


def test_autoregression_continues_waves_without_noise():
    t = np.arange(100)[:, None, None]
    x = np.sin(0.3 * t + np.array([0.0, 1.0, 2.0])[:, None])  # x_t = 2 cos(0.3) x_{t-1} - x_{t-2}
    ahead = forecasting.forecast(forecasting.autoregression(x), x[:80])
    np.testing.assert_allclose(ahead, x[80 : 80 + forecasting.AHEAD], atol=1e-6)


def test_a_forecast_feeds_on_itself():
    x = np.ones((4, 2, 1))
    ahead = forecasting.forecast(lambda x: 2 * x, x)
    np.testing.assert_array_equal(ahead[:, 0, 0], 2.0 ** np.arange(1, forecasting.AHEAD + 1))


@pytest.mark.parametrize("layers", [1, 3, 5])
def test_the_field_of_the_wavenet_is_what_its_gradient_says(layers):
    nn.manual_seed(0)
    model = forecasting.Convolutional(layers, 6)
    assert forecasting.receptive_field(model) == model.wavenet.receptive_field == 2**layers


def test_the_wavenet_sees_nothing_later(rng):
    nn.manual_seed(0)
    x = Variable(rng.normal(size=(12, 1, 1)).astype(np.float32))
    g = grad(forecasting.Convolutional(2, 4)(x)[6].sum(), x).data[:, 0, 0]
    assert np.all(g[3:7] != 0) and not g[7:].any() and not g[:3].any()


def test_a_short_training_beats_the_last_value():
    nn.manual_seed(0)
    predict = forecasting.train(forecasting.Recurrent(nn.RNN(1, 16)), "RNN", 250, 1e-2)
    test = forecasting.series(200, np.random.default_rng(2))
    error = {}
    for name, p in {"RNN": predict, "last": lambda x: x}.items():
        ahead = forecasting.forecast(p, test[: forecasting.SEEN])
        error[name] = ((ahead - test[forecasting.SEEN :]) ** 2).mean((1, 2))
    assert error["RNN"][0] < 0.7 * error["last"][0]
    assert error["RNN"].mean() < 0.5 * error["last"].mean()
