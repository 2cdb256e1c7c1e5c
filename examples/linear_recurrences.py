"""Linear recurrences: what is gained, in time and for the gradient, where no gate sees the state.

    python -m examples.linear_recurrences            # four minutes
    python -m examples.linear_recurrences --quick    # five seconds, with little to show

There h' = a ∘ h + b, and `nn.Recurrent(cell, scan=True)` computes all steps in one operation. Measured are
the time of a step; the work of other orders of the same sum, and how much of it has to wait; what is left of
a gradient k steps back, in fresh cells; and who learns the sum of two among 400 numbers, and digits read
pixel by pixel.

Linear is not long: a fresh minGRU halves its state at every step, and so its gradient. An |a| near 1 carries
far, as that of RG-LRU and LRU is from the start. And a gate is not a memory: the LRU has none, reads digits
best, and cannot leave out what is not to be added, while GRU and minGRU learn to shut theirs.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from tqdm import tqdm

import autograd as ag
import nn
import optim
from autograd import Variable, no_grad
from autograd.bptt import scans
from examples.shared import tasks
from examples.shared.digits import labelled_digits
from examples.shared.figures import save
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy, mse_loss

Make = Callable[[int, int], nn.Cell]
GATED: dict[str, Make] = {"tanh RNN": nn.RNNCell, "GRU": nn.GRUCell, "LSTM": nn.LSTMCell}
LINEAR: dict[str, Make] = {"minGRU": nn.MinGRUCell, "RG-LRU": nn.RGLRUCell, "LRU": nn.LRUCell}
CELLS = GATED | LINEAR
BACK = (1, 2, 5, 10, 20, 50, 100, 200)


class Reader(nn.Module):
    """Reads x (T, B, I), each step through a layer of its own, and answers (B, O) after the last."""

    def __init__(self, name: str, inputs: int, hidden: int, outputs: int):
        cell = CELLS[name](hidden, hidden)
        self.encoder, self.layer = nn.Linear(inputs, hidden), nn.Recurrent(cell, scan=name in LINEAR)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Any) -> Variable:
        return self.readout(self.layer(ag.relu(self.encoder(x)))[0][-1])


def times(T: int, size: int) -> dict[str, float]:
    """Microseconds of a step, forward and back, of a minGRU layer run in four ways."""
    cell, x, found = nn.MinGRUCell(size, size), np.ones((T, 8, size), np.float32), {}
    for name in ("loop", "scan", "captured loop", "captured scan"):
        layer, took = nn.Recurrent(cell, scan="scan" in name), []
        loss = lambda x, layer=layer: (layer(x)[0] ** 2).mean()  # noqa: E731
        run = ag.capture(loss) if "captured" in name else lambda x, loss=loss: loss(x).backward()
        for _ in range(6):
            start = time.process_time()
            run(x)
            took.append(time.process_time() - start)
        found[name] = min(took[2:]) / T * 1e6
    return found


def gradient_left(cell: nn.Cell, T: int, rng: np.random.Generator) -> float:
    """The length of what a gradient of length 1 at the last state leaves at the first, T steps before."""
    x = rng.standard_normal((T, 16, cell.input_size), np.float32)
    first = tuple([Variable(np.array(s.data)) for s in cell.initial_state(x)])
    kept = slice(cell.parts[0] == "y", None)  # y is an output that is not fed back
    last = nn.Recurrent(cell)(x, first)[1][kept]
    g = [rng.standard_normal(s.shape, np.float32) for s in last]
    back = ag.grad(last, first[kept], gradients=g)
    return float(np.sqrt(sum([(s.data**2).sum() for s in back]) / sum([(s**2).sum() for s in g])))


def train(model: nn.Module, loss: Any, batch: Callable[[], Any], updates: int) -> np.ndarray:
    """The mean loss of every twentieth of a training."""
    optimizer, seen, step = optim.Adam(model.parameters()), [], ag.capture(lambda x, y: loss(model(x), y))
    for k in tqdm(range(updates), leave=False):
        optimizer.zero_grad()
        seen.append(float(step(*batch()).data))
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / updates)
        optimizer.step()
    return np.mean(np.reshape(seen, (20, -1)), axis=1)


def draw(lines: list[Any], λ: dict[str, np.ndarray], a: np.ndarray, marks: np.ndarray) -> Any:
    """Four panels of lines, the eigenvalues of an LRU, and a gate of an RG-LRU while it reads."""
    from matplotlib.figure import Figure as Canvas

    axes = Canvas(figsize=(13, 7.4), layout="constrained").subplots(2, 3).ravel()
    for ax, (curves, title, xlabel, scale) in zip(axes, lines, strict=False):
        for name, (x, y) in curves.items():
            ax.plot(x, y, "o-", ms=3, label=name)
        ax.set(title=title, xlabel=xlabel, xscale=scale, yscale="log")
        ax.legend(frameon=False, fontsize=8)
    turn = np.linspace(0, 2 * np.pi, 200)
    axes[4].plot(np.cos(turn), np.sin(turn), "k", lw=0.5)
    for name, values in λ.items():
        axes[4].plot(values.real, values.imag, "o", ms=4, alpha=0.7, label=name)
    axes[4].set(title="eigenvalues of the LRU that reads digits", aspect="equal")
    axes[4].legend(frameon=False)
    axes[2].set(ylim=(1e-12, 9))
    shown = axes[5].imshow(1 - a[:, a.mean(0).argsort()].T, aspect="auto", norm="log", interpolation="none")
    axes[5].plot(marks, np.full(len(marks), -0.5), "v", color="crimson", clip_on=False)
    axes[5].set(title="1 - a of the RG-LRU that adds; red: numbers to add", xlabel="step", ylabel="units")
    axes[5].figure.colorbar(shown, ax=axes[5])
    return axes[5].figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(argv, "linear_recurrences", __doc__, out="for the picture", quick="few and short runs")
    T, hidden, updates, size = (20, 8, 20, 8) if given.quick else (400, 32, 1000, 64)
    lengths = (10, 30) if given.quick else (30, 100, 300, 1000)
    nn.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    took = [times(n, size) for n in lengths]
    cost = {name: [scans.work_and_depth(way, n) for n in lengths] for name, way in scans.WAYS.items()}
    columns = {f"{n} steps": found for n, found in zip(lengths, took, strict=True)}
    report("µs per step", columns)
    for what, k in (("products", 0), ("in a row", 1)):
        report(what, {f"{n} steps": {w: cost[w][i][k] for w in cost} for i, n in enumerate(lengths)})
    left = {name: [gradient_left(make(size, size), n, rng) for n in BACK] for name, make in CELLS.items()}

    images, digits, unseen, right = labelled_digits()
    pixels, test = (p.reshape(len(p), 64, 1).swapaxes(0, 1) for p in (images, unseen))
    x_test, y_test = tasks.adding(T, 300, np.random.default_rng(99))
    some = lambda: (lambda rows: (pixels[:, rows], digits[rows]))(rng.integers(len(digits), size=50))  # noqa: E731
    curves, error, accuracy, λ = {}, {}, {}, {}
    for name in CELLS:
        adder, reader = Reader(name, 2, hidden, 1), Reader(name, 1, hidden, 10)
        if isinstance(cell := reader.layer.cell, nn.LRUCell):
            λ = {"before": cell.eigenvalues()}
        curves[name] = train(adder, mse_loss, lambda: tasks.adding(T, 16, rng), updates)
        train(reader, cross_entropy, some, updates)
        with no_grad():
            error[name] = float(np.mean((adder(x_test).data - y_test) ** 2))
            accuracy[name] = float(np.mean(reader(test).data.argmax(-1) == right))
        if isinstance(cell, nn.LRUCell):
            λ["after"] = cell.eigenvalues()
        if isinstance(cell := adder.layer.cell, nn.RGLRUCell):
            x = ag.relu(adder.encoder(x_test[:, :1]))
            a = cell.coefficients(cell.project(x), cell.prepare(x))[0].data[:, 0]
    error["always the mean"] = float(np.mean((y_test - 1) ** 2))
    linear = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    train(linear, cross_entropy, lambda: (lambda x, y: (x.swapaxes(0, 1), y))(*some()), updates)
    accuracy["all pixels, linear"] = float(np.mean(linear(unseen).data.argmax(-1) == right))
    accuracy["the most frequent"] = float(np.mean(right == np.bincount(digits).argmax()))
    products = {way: list(zip(*found, strict=True))[::-1] for way, found in cost.items()}
    lines = [
        ({w: (lengths, [t[w] for t in took]) for w in took[0]}, "µs per step, both ways", "steps", "log"),
        (products, "products", "of them in a row", "log"),
        ({c: (BACK, values) for c, values in left.items()}, "left of a gradient of 1", "steps back", "log"),
        ({c: (np.linspace(0, updates, 20), curve) for c, curve in curves.items()},
         f"the sum of two of {T} numbers: squared error", "updates", "linear"),
    ]  # fmt: skip
    save(draw(lines, λ, a, np.flatnonzero(x_test[:, 0, 1])), given.out / "linear_recurrences.svg")
    steps = (1, 10, 50, 200)
    figures = {f"gradient left {n} back": {c: left[c][BACK.index(n)] for c in left} for n in steps}
    return report(f"T = {T}", {**figures, "adding, squared error": error, "digits, right": accuracy})


if __name__ == "__main__":
    main()
