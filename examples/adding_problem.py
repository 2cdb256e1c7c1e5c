"""The adding problem at 150 steps: what an RNN needs at the start of training so that it can remember at all.

    python -m examples.adding_problem            # two minutes
    python -m examples.adding_problem --quick    # two seconds, with little to show

Of 150 random numbers two are marked; add them (Hochreiter & Schmidhuber 1997). Always answering 1 has a mean
squared error of 1/6, and whoever has forgotten the first number does hardly better. A tanh RNN forgets: at
every step its state is squashed and multiplied by a random matrix, and so is the gradient on its way back.
Le, Jaitly & Hinton (2015) take ReLU, and for the random matrix the identity: nothing is forgotten at first.

A gate holds a number only while it is open: f = 0.73, a bias of 1, leaves 0.73^75 = 6e-11 of it after half a
sequence. Gates with f^τ = 1/e, for a τ up to 150 of its own in each unit, remember (Tallec & Ollivier 2018):
these initial biases, ln(τ - 1) of f and -ln(τ - 1) of i, are all that sets the two LSTMs here apart.
"""

from pathlib import Path

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import Variable, no_grad
from examples.shared import tasks
from examples.shared.measure import Figures, report
from examples.shared.options import arguments

Curve = list[tuple[int, float]]


class Adder(nn.Module):
    """Reads x (T, B, 2), and answers with one number (B, 1) after the last step."""

    def __init__(self, cell: nn.Cell):
        self.recurrent, self.readout = nn.Recurrent(cell), nn.Linear(cell.hidden_size, 1)

    def forward(self, x: np.ndarray) -> Variable:
        y, _ = self.recurrent(x)
        return self.readout(y[-1])


def irnn(hidden: int) -> nn.Cell:
    """With input weights of 0.1 a thousand updates do; those of the paper, 0.001, take many more."""
    cell = nn.IRNNCell(2, hidden)
    nn.init.normal_(cell.weight_ih, std=0.1)
    return cell


def long_lstm(hidden: int, T: int) -> nn.Cell:
    """An LSTM whose units forget at rates of their own, from at once to after T steps."""
    cell = nn.LSTMCell(2, hidden)
    bias = np.log(nn.default_rng(None).uniform(1, max(2, T - 1), hidden)).astype(np.float32)
    for gate, value in {"f": bias, "i": -bias}.items():  # what is kept for long is seldom written
        cell.gate("bias_ih", gate).data = value
        cell.gate("bias_hh", gate).data = 0
    return cell


def train(cell: nn.Cell, T: int, updates: int, lr: float, enough: float, seed: int = 0) -> Curve:
    """(updates, held-out error) along the way; ends early once the error is below ``enough``."""
    rng, (x_test, y_test) = np.random.default_rng(seed), tasks.adding(T, 400, np.random.default_rng(99))
    model, curve = Adder(cell), []
    optimizer = optim.Adam(model.parameters(), lr=lr)
    for k in tqdm(range(updates + 1), leave=False):
        if k % 25 == 0:
            with no_grad():
                curve.append((k, float(((model(x_test) - y_test) ** 2).mean())))
            if curve[-1][1] < enough:
                return curve
        x, y = tasks.adding(T, 16, rng)
        optimizer.zero_grad()
        ((model(x) - y) ** 2).mean().backward()
        # Without squashing, gradients can grow as 1.1^150, and now and then as 1.9^150, which float32 calls
        # infinite. Clipping is for the former; the latter has no direction left to go in.
        if np.isfinite(optim.clip_grad_norm_(model.parameters(), 1.0)):
            optimizer.param_groups[0]["lr"] = lr * (1 - 0.9 * k / updates)
            optimizer.step()
    return curve


def draw(curves: dict[str, Curve], guess: float, path: Path) -> None:
    from matplotlib.figure import Figure

    axes = Figure(figsize=(7, 4), layout="constrained").subplots()
    for k, (name, curve) in enumerate(curves.items()):  # two that learn nothing lie on each other
        axes.plot(*np.array(curve).T, label=name, linewidth=4 - 0.8 * k)
    axes.axhline(guess, color="black", linestyle=":", label="always the mean")
    axes.set(xlabel="updates", ylabel="held-out mean squared error", yscale="log", ylim=(3e-3, 1), xlim=0)
    axes.legend(loc="lower left")
    axes.figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(
        argv, "adding_problem", __doc__, quick="short sequences and few updates", out="for the picture"
    )
    T, updates, hidden = (20, 50, 16) if options.quick else (150, 1500, 64)
    cells = {  # an LSTM has four times the weights, so it has half the units
        "tanh RNN": (lambda: nn.RNNCell(2, hidden), 1e-3),
        "ReLU and identity": (lambda: irnn(hidden), 1e-3),
        "LSTM, forget bias 1": (lambda: nn.LSTMCell(2, hidden // 2, forget_bias=1.0), 1e-2),
        f"LSTM, biases for {T} steps": (lambda: long_lstm(hidden // 2, T), 1e-2),
    }
    curves = {}
    for name, (make, lr) in cells.items():
        nn.manual_seed(options.seed)
        with np.errstate(over="ignore", invalid="ignore"):
            curves[name] = train(make(), T, updates, lr, 0.01, options.seed)
    guess = float(np.mean((tasks.adding(T, 400, np.random.default_rng(99))[1] - 1) ** 2))
    options.out.mkdir(parents=True, exist_ok=True)
    draw(curves, guess, options.out / "adding_problem.svg")
    error = {name: curve[-1][1] for name, curve in curves.items()} | {"always the mean": guess}
    took: dict[str, float] = {name: curve[-1][0] for name, curve in curves.items()}
    return report(f"the sum of two out of {T} numbers", {"mean squared error": error, "updates": took})


if __name__ == "__main__":
    main()
