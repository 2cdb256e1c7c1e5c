"""Where gradients come from in time, for four cells on one task: tables, pictures, a film of both passes.

    python -m examples.gradient_flow                 # into runs/gradient_flow, about ten seconds
    python -m examples.gradient_flow --quick --out DIR

The task is to name the first symbol of a sequence after its last, so that all of the gradient has to come
the whole way. The cells are fresh, as at the first step of training.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import autograd as ag
import nn
from autograd import Variable
from autograd.bptt import flow, player
from autograd.bptt.rtrl import bptt, finite_differences, rtrl
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy

SYMBOLS = 4


class Cell(NamedTuple):
    """What is compared: how to make the cell, and why it is here."""

    make: Callable[[int, int], nn.Cell]
    why: str


def irnn(inputs: int, hidden: int) -> nn.Cell:
    """Le, Jaitly & Hinton (2015): ReLU, and the identity as recurrent matrix."""
    cell = nn.RNNCell(inputs, hidden, nonlinearity="relu", dtype=np.float64)
    cell.weight_hh.data = np.eye(hidden)
    return cell


CELLS = {
    "tanh RNN": Cell(
        lambda n, h: nn.RNNCell(n, h, dtype=np.float64), "every step multiplies by W diag(1 - h²)"
    ),
    "ReLU, identity": Cell(irnn, "every step multiplies by 1 where the unit is on"),
    "GRU": Cell(lambda n, h: nn.GRUCell(n, h, dtype=np.float64), "z carries the state over"),
    "LSTM": Cell(
        lambda n, h: nn.LSTMCell(n, h, dtype=np.float64, forget_bias=2.0), "f carries the memory over"
    ),
}


class Classifier(nn.Module):
    """A recurrent layer, and scores for the symbols at its last step."""

    def __init__(self, cell: nn.Cell):
        self.recurrent = nn.Recurrent(cell)
        self.head = nn.Linear(cell.hidden_size, SYMBOLS, dtype=np.float64)

    def forward(self, x: np.ndarray) -> tuple[Variable, Variable]:
        """One-hot symbols x (T, B, symbols) -> scores (B, symbols) and all outputs (T, B, H)."""
        y, _ = self.recurrent(x)
        return self.head(y[-1]), y


def batch(steps: int, size: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random one-hot sequences (T, B, symbols), and the first symbol of each."""
    symbols = rng.integers(SYMBOLS, size=(steps, size))
    return np.eye(SYMBOLS)[symbols], symbols[0]


def main(argv: list[str] | None = None) -> Figures:
    """Compare, print, draw."""
    options = arguments(argv, "gradient_flow", __doc__, quick="short sequences", out="for the pictures")
    steps, hidden = (8, 4) if options.quick else (40, 16)
    options.out.mkdir(parents=True, exist_ok=True)

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    rng = np.random.default_rng(options.seed)
    x, first = batch(steps, 8, rng)
    flows, chains, tables = {}, {}, {}
    lags = sorted({0, steps // 4, steps // 2, steps - 1})
    figures: Figures = {f"dL/dh, {lag} steps back": {} for lag in lags} | {"‖dh_T/dh_1‖": {}}
    for name, cell in CELLS.items():
        nn.manual_seed(options.seed)
        model = Classifier(cell.make(SYMBOLS, hidden))
        with ag.stepwise():
            scores, _ = model(x)
            _, y = model(x[:, :1])  # a batch of one: its Jacobians are those of the cell
        flows[name] = flow.gradient_flow(cross_entropy(scores, first))
        chains[name] = flow.jacobian_chain(y)
        losses = [(y[t] * y[t]).sum() for t in range(steps)]
        tables[name] = flow.decompose(losses, model.recurrent.cell.weight_hh)
        norms = dict(zip(flows[name].lags, flows[name].norms[-1], strict=True))
        for column, norm in zip(
            figures.values(), [norms[k] for k in lags] + [chains[name].norms[-1, 0]], strict=True
        ):
            column[name] = float(norm)
        print(f"{name:16}{cell.why}")
    compare(chains, tables).savefig(options.out / "cells.png")
    flow.plot_lags(flows).figure.savefig(options.out / "lags.png")

    nn.manual_seed(options.seed)
    truncation(steps, hidden, rng).figure.savefig(options.out / "truncation.png")
    three_ways(rng)
    film(options.out / "player.html")
    pyplot.close("all")
    print(f"pictures: {', '.join(sorted(p.name for p in options.out.iterdir()))} in {options.out}\n")
    return report(f"{steps} steps, {hidden} units", figures)


def compare(chains: dict[str, flow.Chain], tables: dict[str, flow.Decomposition]) -> Any:
    """A figure with a column per cell. All panels have one scale of colours: equal numbers look equal."""
    from matplotlib import colors, pyplot

    norm = colors.LogNorm()
    norm.autoscale(np.concatenate([found.norms.ravel() for found in (*chains.values(), *tables.values())]))
    width = 4.2 * len(chains)
    figure, axes = pyplot.subplots(2, len(chains), figsize=(width, 7), layout="constrained", squeeze=False)
    for i, name in enumerate(chains):
        chains[name].plot(axes[0, i], norm=norm).set_title(name)
        tables[name].plot(axes[1, i], norm=norm)
    return figure


def truncation(steps: int, hidden: int, rng: np.random.Generator) -> Any:
    """What truncated backpropagation loses, for the LSTM with a loss at every step."""
    cell = CELLS["LSTM"].make(SYMBOLS, hidden)
    x, _ = batch(steps, 8, rng)
    targets = rng.normal(size=(steps, 8, hidden))
    with ag.stepwise():
        y, _ = nn.Recurrent(cell)(x)
    losses = [((y[t] - targets[t]) * (y[t] - targets[t])).mean() for t in range(steps)]
    table = flow.decompose(losses, cell.weight_hh)
    print("\ntruncated BPTT against the full gradient of the LSTM's recurrent weight")
    for k, error, cosine in list(zip(*table.bias(), strict=True))[:: max(1, steps // 8)]:
        print(f"  {k:3} steps back: relative error {error:.1e}, cosine {cosine:.6f}")
    return table.plot_bias()


def three_ways(rng: np.random.Generator) -> None:
    """Backwards, forwards and by differences: the same number."""
    cell = CELLS["GRU"].make(SYMBOLS, 4)
    x, _ = batch(6, 2, rng)

    def step(t: int, h: Any) -> tuple[Any, Variable]:
        h = cell(Variable(x[t], requires_grad=False), h)
        return h, (h * h).sum()

    h, params = Variable(np.zeros((2, 4)), requires_grad=False), list(cell.parameters())
    back = bptt(step, h, 6, params)
    print("\nthree ways to the gradient of a GRU: largest difference from backpropagation through time")
    for way in (rtrl, finite_differences):
        gap = max([np.abs(a - b).max() for a, b in zip(way(step, h, 6, params), back, strict=True)])
        print(f"  {way.__name__:20} {gap:.1e}")


def film(path: Path) -> None:
    """Both passes of a small LSTM with a loss at every step, to be opened in a browser."""
    nn.manual_seed(0)
    net = nn.LSTM(2, 3, dtype=np.float64)
    with player.film(params=net, title="An LSTM over five steps, forward and back") as film:
        y, _ = net(np.random.default_rng(0).normal(size=(5, 1, 2)))
        loss = sum([(h * h).sum() for h in y])
    film.save(loss, path)


if __name__ == "__main__":
    main()
