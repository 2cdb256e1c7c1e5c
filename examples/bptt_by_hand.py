"""Backpropagation through time, written by hand, and the same gradients from a graph nobody wrote.

    python -m examples.bptt_by_hand            # a minute
    python -m examples.bptt_by_hand --quick    # a second

Every course on recurrent networks ends with the page of formulas below (Goodfellow et al. 2016, section
10.2.2, equations 10.18 to 10.28, with the batch as rows). They are right, they take an evening, and each
new cell needs a new page. Reverse mode over the unrolled loop gives the same numbers for any cell. Which line
of a page is wrong, and why, says `autograd.bptt.derivations.check` with the exercise RNN_CLASSIFIER.
"""

import time

import numpy as np

import nn
from examples.shared import tasks
from examples.shared.measure import Figures, report
from examples.shared.options import arguments

Arrays = dict[str, np.ndarray]


def by_hand(p: Arrays, x: np.ndarray, y: np.ndarray) -> tuple[float, Arrays]:
    """The loss of an RNN over x (T, B, I) with classes y (T, B), and its gradients. Only NumPy."""
    T, B, _ = x.shape
    h, probabilities, loss = [np.zeros((B, p["W"].shape[0]))], [], 0.0
    for t in range(T):
        h.append(np.tanh(p["b"] + h[-1] @ p["W"].T + x[t] @ p["U"].T))  # a = b + W h + U x, h' = tanh(a)
        o = p["c"] + h[-1] @ p["V"].T  # o = c + V h'
        e = np.exp(o - o.max(1, keepdims=True))
        probabilities.append(e / e.sum(1, keepdims=True))
        loss -= np.log(probabilities[-1][np.arange(B), y[t]]).sum() / (T * B)

    g = {name: np.zeros_like(value) for name, value in p.items()}
    gh = np.zeros_like(h[0])  # what the future says about h
    for t in reversed(range(T)):  # from right to left: the T of BPTT
        go = probabilities[t].copy()
        go[np.arange(B), y[t]] -= 1.0  # 10.18: softmax and cross-entropy together
        go /= T * B
        gh = gh + go @ p["V"]  # 10.21: h counts now, through o, and later, through the next h
        ga = gh * (1.0 - h[t + 1] ** 2)  # tanh' = 1 - tanh²
        g["c"] += go.sum(0)  # 10.22
        g["b"] += ga.sum(0)  # 10.23
        g["V"] += go.T @ h[t + 1]  # 10.24
        g["W"] += ga.T @ h[t]  # 10.26: the same W in every step, so its gradients add up
        g["U"] += ga.T @ x[t]  # 10.28
        gh = ga @ p["W"]
    return loss, g


def by_engine(model: nn.Recurrent, x: np.ndarray, y: np.ndarray) -> tuple[float, Arrays]:
    """The same from the graph. These lines do not change when the cell does."""
    model.zero_grad()
    o, _ = model(x)
    loss = nn.functional.cross_entropy(o.reshape(-1, o.shape[-1]), y.reshape(-1))
    loss.backward()
    return float(loss.data), {name: p.grad.data for name, p in model.cell.named_parameters()}


def by_differences(p: Arrays, x: np.ndarray, y: np.ndarray, name: str, eps: float = 1e-6) -> np.ndarray:
    """One gradient by moving every weight up and down: slow, inexact, and impossible to get wrong."""
    g = np.zeros_like(p[name])
    for place in np.ndindex(g.shape):
        value = p[name][place]
        p[name][place] = value + eps
        up, _ = by_hand(p, x, y)
        p[name][place] = value - eps
        down, _ = by_hand(p, x, y)
        p[name][place] = value
        g[place] = (up - down) / (2 * eps)
    return g


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a - b).max() / np.abs(b).max())


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "bptt_by_hand", __doc__, quick="fewer steps and updates")
    T, B, H, updates = (8, 16, 8, 40) if options.quick else (10, 64, 24, 3000)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    model = nn.Recurrent(nn.TextbookCell(1, H, 2, dtype=np.float64))
    p = model.cell.state_dict()  # U, W, b, V, c: a copy, which the formulas by hand will train
    x, y = tasks.parity(T, B, rng)
    x = x.astype(np.float64)

    _, hand = by_hand(p, x, y)
    _, engine = by_engine(model, x, y)
    apart: Figures = {"the engine": {}, "finite differences": {}}
    for name in hand:
        apart["the engine"][name] = distance(engine[name], hand[name])
        apart["finite differences"][name] = distance(by_differences(p, x, y, name), hand[name])
    report("relative distance to the gradients by hand", apart)

    # If the gradients are the same, so is the training: two copies of one network learn the parity of a
    # stream of bits, one with each set of gradients.
    took = {"hand": 0.0, "engine": 0.0}
    losses = []
    for _ in range(updates):
        x, y = tasks.parity(T, B, rng)
        x = x.astype(np.float64)
        start = time.perf_counter()
        loss_hand, hand = by_hand(p, x, y)
        middle = time.perf_counter()
        loss_engine, engine = by_engine(model, x, y)
        took["hand"] += middle - start
        took["engine"] += time.perf_counter() - middle
        losses.append((loss_hand, loss_engine))
        for name, weight in model.cell.named_parameters():
            p[name] -= 0.5 * hand[name]
            weight.data = weight.data - 0.5 * engine[name]

    # Not for ever: on its way through the steep part of the loss, training doubles any difference many
    # times over, those of rounding as well.
    marks = [1, 10, 30, 100, 300, 1000, 3000]

    def gap(k: int) -> str:
        return f"{abs(losses[k - 1][0] - losses[k - 1][1]):.0e} (update {k})"

    first, last = losses[0][0], np.mean(losses[-10:], axis=0)
    print("losses apart by", ", ".join(gap(k) for k in marks if k <= updates))
    ms = {name: f"{seconds / updates * 1e3:.2f} ms" for name, seconds in took.items()}
    print(f"an update: {ms['hand']} by hand, {ms['engine']} with the engine")
    loss = {"at first": first, "by hand": last[0], "with the engine": last[1], "guessing": np.log(2)}
    worst = {f"gradients by {name}": max(gaps.values()) for name, gaps in apart.items()}
    return report(f"after {updates} updates", {"loss": loss, "largest distance to by hand": worst})


if __name__ == "__main__":
    main()
