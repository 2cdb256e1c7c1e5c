"""Truncated backpropagation through time: what it leaves out, what it saves, and the cliff of learning.

    python -m examples.truncated_bptt            # a minute
    python -m examples.truncated_bptt --quick    # two seconds, with little to show

Forward over the whole sequence; backward every k1 steps, and k2 steps far (Williams & Peng 1990). Of the
gradient Σ_t Σ_k G[t, k], of the loss of step t by the use of the weights in step k, the terms with t - k < k2
are left if k1 = 1. Memory is that of k2 steps, however long the sequence is. What is lost is seen on a task
with a known lag: repeat the sign of 8 steps ago. The term that says so has t - k = 8; k2 = 9 is enough and
k2 = 8 is not, though to begin with the two gradients point in nearly the same direction.
"""

import tracemalloc
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import autograd as ag
import nn
import optim
from autograd.bptt import flow
from examples.shared.measure import Figures, report
from examples.shared.options import arguments

LAG = 8


def echo(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Signs x (T, B, 1), and those of LAG steps before; 0 at first."""
    x = rng.choice([-1.0, 1.0], (T, B, 1))
    return x, np.concatenate([np.zeros((LAG, B, 1)), x])[:T]


class Echo(nn.Module):
    def __init__(self, hidden: int):
        self.cell, self.readout = nn.RNNCell(1, hidden, dtype=float), nn.Linear(hidden, 1, dtype=float)

    def step(self, x: np.ndarray, y: np.ndarray, h: Any) -> tuple[Any, Any]:
        return (h := self.cell(x, h)), ((self.readout(h) - y) ** 2).mean()

    def truncated(self, x: np.ndarray, y: np.ndarray, k1: int, k2: int) -> list[float]:
        """The loss of every step; the truncated gradient is left in ``.grad``."""
        (start,) = self.cell.initial_state(x)
        return flow.truncated_bptt(lambda t, h: self.step(x[t], y[t], h), start, len(x), k1, k2)


def compare(k2: int) -> tuple[float, float, float]:
    """Changes of the losses, and of the gradient from the terms of small lag; its cosine to all terms."""
    nn.manual_seed(0)
    model, (x, y), h, losses = Echo(16), echo(24, 4, np.random.default_rng(0)), None, []
    for t in range(len(x)):
        with ag.step(t):
            h, loss = model.step(x[t], y[t], h)
        losses.append(loss)
    table = flow.decompose(losses, model.cell.weight_hh)
    near = table.by_lag()[:k2].sum(0)
    change = max(np.abs(np.subtract(model.truncated(x, y, 1, k2), list(map(float, losses)))))
    return change, np.abs(model.cell.weight_hh.grad.data - near).max(), table.bias()[2][k2 - 1]


def peak(T: int, k2: int) -> float:
    """The most memory, in megabytes, that one pass over T steps takes."""
    model, data = Echo(64), echo(T, 32, np.random.default_rng(0))
    tracemalloc.start()
    model.truncated(*data, k2, k2)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most / 1e6


def learn(k2: int, updates: int, seed: int = 0) -> float:
    """The mean squared error on new sequences after training with a horizon of k2 steps."""
    nn.manual_seed(seed)
    model, rng = Echo(32), np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in tqdm(range(updates), f"k2 = {k2}", leave=False):
        optimizer.zero_grad()
        model.truncated(*echo(32, 32, rng), 1, k2)
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    with ag.no_grad():
        return float(np.mean(model.truncated(*echo(32, 200, np.random.default_rng([seed, 1])), 1, 1)[LAG:]))


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "truncated_bptt", __doc__, quick="few updates", out="for the picture")
    updates, lengths = (3, [50, 100]) if options.quick else (150, [50, 100, 200, 400, 800])
    horizons = [2, 20] if options.quick else [*range(1, 13), 16, 20]
    print("k2   change of a loss   gradient minus terms with lag < k2   cosine to the full gradient")
    for k2 in (2, 5, 8, 9):
        print("{:2}{:19.1e}{:37.1e}{:30.4f}".format(k2, *compare(k2)))
    print("\nmost megabytes in use" + "".join([f"{f'{T} steps':>12}" for T in lengths]))
    left, right = Figure(figsize=(9, 3.6), layout="constrained").subplots(1, 2)
    for name, k in {"k1 = k2 = 5": 5, "k1 = k2 = 20": 20, "not truncated": 10**6}.items():
        peaks = [peak(T, k) for T in lengths]
        print(f"{name:21}" + "".join([f"{most:12.2f}" for most in peaks]))
        left.plot(lengths, peaks, marker="o", label=name)
    errors = [learn(k2, updates, options.seed) for k2 in horizons]
    guess = float(np.mean(echo(32, 200, np.random.default_rng([options.seed, 1]))[1][LAG:] ** 2))
    found = {f"k2 = {k2}": error for k2, error in zip(horizons, errors, strict=True)} | {"always 0": guess}
    left.set(xlabel="steps T", ylabel="most memory, MB", ylim=0)
    left.legend()
    right.plot(horizons, errors, marker="o")
    right.axhline(guess, color="black", linestyle="--", label="always 0")
    right.axvline(LAG + 1, color="gray", linestyle=":", label=f"lag + 1 = {LAG + 1}")
    right.set(xlabel="steps back k2", ylabel="squared error", yscale="log", xticks=range(1, 22, 4))
    right.legend()
    options.out.mkdir(parents=True, exist_ok=True)
    left.figure.savefig(options.out / "truncated_bptt.svg", metadata={"Date": None})
    print()
    return report(f"echo of {LAG} steps ago, {updates} updates", {"squared error": found})


if __name__ == "__main__":
    main()
