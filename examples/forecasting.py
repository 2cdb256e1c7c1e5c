"""Forecasting time series: an RNN, an LSTM and a WaveNet against linear autoregression and the last value.

    python -m examples.forecasting            # a minute
    python -m examples.forecasting --quick    # two seconds, with little to show

Every series is a sum of two waves of random frequency and phase, and noise (Géron, "Hands-On Machine
Learning", chapter 15): which waves is to be found out from 50 values. Networks learn to predict one step, at
all steps at once; for ten steps they are fed with what they predict, mistakes add up, and a better model of
the waves shows. A WaveNet (van den Oord et al. 2016) has no state: it sees its receptive field, which doubles
with every layer and ends where the gradient of its output is zero.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import autograd as ag
import nn
import optim
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments

SEEN, AHEAD, ORDER, NOISE = 50, 10, 30, 0.1  # ORDER is the number of coefficients of the autoregression
Predict = Callable[[np.ndarray], np.ndarray]  # x (T, B, 1) -> the next value after every step, or the last


def series(B: int, rng: np.random.Generator) -> np.ndarray:
    """(SEEN + AHEAD, B, 1): two waves, of 10 to 20 and of 20 to 40 radians in all, and noise."""
    t, (f1, f2, p1, p2) = np.linspace(0, 1, SEEN + AHEAD)[:, None], rng.random((4, B))
    waves = 0.5 * np.sin((t - p1) * (10 + 10 * f1)) + 0.2 * np.sin((t - p2) * (20 + 20 * f2))
    return (waves + NOISE * (rng.random(waves.shape) - 0.5))[:, :, None].astype(np.float32)


class Recurrent(nn.Module):
    def __init__(self, layer: Any):
        self.layer, self.readout = layer, nn.Linear(layer.hidden_size, 1)

    def forward(self, x: Any) -> Any:
        return self.readout(self.layer(x)[0])


class Convolutional(nn.Module):
    def __init__(self, layers: int, channels: int):
        self.wavenet = nn.WaveNet(1, 1, channels, layers=layers)

    def forward(self, x: Any) -> Any:
        return ag.moveaxis(self.wavenet(ag.moveaxis(x, 0, 2)), 2, 0)


def train(model: nn.Module, name: str, updates: int, lr: float, seed: int = 0) -> Predict:
    rng, optimizer = np.random.default_rng(seed), optim.Adam(model.parameters(), lr=lr)
    for k in tqdm(range(updates), name, leave=False):
        x = series(32, rng)
        optimizer.zero_grad()
        ((model(x[:-1]) - x[1:])[10:] ** 2).mean().backward()  # the first steps are a guess for everybody
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = lr * (1 - k / updates)
        optimizer.step()
    return ag.no_grad()(lambda x: model(x).data)


def autoregression(x: np.ndarray) -> Predict:
    """x_t = Σ_k a_k x_{t-k} + c, by least squares over all windows of the series x."""
    windows = np.lib.stride_tricks.sliding_window_view(x[:, :, 0], ORDER + 1, axis=0).reshape(-1, ORDER + 1)
    *a, c = np.linalg.lstsq(np.c_[windows[:, :-1], np.ones(len(windows))], windows[:, -1])[0]
    return lambda x: np.tensordot(a, x[-ORDER:], 1)[None] + c


def forecast(predict: Predict, x: np.ndarray) -> np.ndarray:
    """The next AHEAD values (AHEAD, B, 1), each predicted from those before it, its own ones included."""
    for _ in range(AHEAD):
        x = np.concatenate([x, predict(x)[-1:]])
    return x[-AHEAD:]


def receptive_field(model: Convolutional) -> int:
    """How many inputs the last output depends on, by its gradient."""
    x = ag.Variable(np.random.default_rng(0).normal(size=(2 * SEEN, 1, 1)).astype(np.float32))
    return int(np.count_nonzero(ag.grad(model(x)[-1].sum(), x).data))


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(
        argv, "forecasting", __doc__, quick="few updates of small models", out="for the pictures"
    )
    updates, hidden = (20, 8) if options.quick else (1800, 32)
    nn.manual_seed(seed := options.seed)
    wavenet = Convolutional(5, hidden // 2)
    print("the WaveNet sees", wavenet.wavenet.receptive_field, "steps, by gradient", receptive_field(wavenet))
    predictors = {
        "the last value again": lambda x: x,
        "linear autoregression": autoregression(series(2000, np.random.default_rng([seed, 1]))),
        "RNN, two layers": train(Recurrent(nn.RNN(1, hidden, 2)), "RNN", updates, 5e-3, seed),
        "LSTM": train(lstm := Recurrent(nn.LSTM(1, hidden)), "LSTM", updates, 1e-2, seed),
        "WaveNet": train(wavenet, "WaveNet", updates, 5e-3, seed),
    }
    test = series(500, np.random.default_rng([seed, 2]))
    axes = Figure(figsize=(8, 4), layout="constrained").subplots()
    axes.plot(test[:, 0, 0], color="black", marker=".", label="what came")
    figures: Figures = {"one step": {}, f"mean of {AHEAD} steps": {}, f"the {AHEAD}th": {}}
    for name, predict in predictors.items():
        ahead = forecast(predict, test[:SEEN])
        errors = ((ahead - test[SEEN:]) ** 2).mean((1, 2))
        for column, error in zip(figures.values(), (errors[0], errors.mean(), errors[-1]), strict=True):
            column[name] = float(error)
        axes.plot(range(SEEN, SEEN + AHEAD), ahead[:, 0, 0], marker=".", label=name)
    figures["one step"]["(variance of the noise)"] = NOISE**2 / 12
    axes.set(xlabel="step", xlim=(30, SEEN + AHEAD))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    options.out.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(options.out / "forecasting.svg", metadata={"Date": None})
    with ag.stepwise():
        save_graph({"what comes next": lstm(test[:6, :1])}, lstm, options.out / "graph.svg", view="folded")
    return report("mean squared error", figures)


if __name__ == "__main__":
    main()
