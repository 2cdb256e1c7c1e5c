"""Which way does it go? Video activity recognition: many frames, one answer.

    python -m examples.video            # a minute
    python -m examples.video --quick    # two seconds, with little to show

A handwritten digit (scikit-learn's) goes in one of eight directions, and what leaves the canvas comes in on
the other side; another digit jumps about, and every frame has snow of its own. No frame shows the answer: a
convolution finds what is where, and a recurrence over its maps (ConvGRU: Ballas et al. 2016, after the
ConvLSTM of Shi et al. 2015) what has become of it. The digits of the test were never seen in training.

Beside it: the same network given the last frame only; and the rule "where does the centre of brightness go?"
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import no_grad, relu, softmax, stepwise
from examples.next_frame import each_frame, load_digits
from examples.shared.figures import save
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy

ARROWS = "→↗↑↖←↙↓↘"
WAYS = 2 * np.array([(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)])  # rows, columns
SIZE, FRAMES = 20, 6


def clips(count: int, digits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Clips (T, B, 1, S, S) with values from 0 to 1, and the number of the direction of each, (B)."""
    way = rng.integers(len(WAYS), size=count)
    path = rng.integers(SIZE, size=(count, 2)) + WAYS[way] * np.arange(FRAMES)[:, None, None]  # (T, B, 2)
    jumps = rng.integers(SIZE, size=path.shape)
    shape = FRAMES, count, 1, SIZE, SIZE
    x = np.where(rng.random(shape) < 0.1, rng.random(shape), 0).astype(np.float32)  # snow
    for places in (path, jumps):
        shown = np.pad(digits[rng.integers(len(digits), size=count)], ((0, 0), (0, SIZE - 8), (0, SIZE - 8)))
        for t, b in np.ndindex(FRAMES, count):
            np.maximum(x[t, b, 0], np.roll(shown[b], places[t, b], (0, 1)), out=x[t, b, 0])
    return x, way


class Watcher(nn.Module):
    """Clips (T, B, 1, S, S) of any length -> scores (B, 8), from the last state."""

    def __init__(self, hidden: int):
        self.see, self.norm = nn.Conv2d(1, hidden, 4, stride=2, padding=1), nn.BatchNorm2d(hidden)
        self.gru, self.readout = nn.ConvGRU2d(hidden, hidden, 3), nn.Linear(hidden, len(WAYS))

    def forward(self, x: Any) -> Any:
        _, h = self.gru(relu(each_frame(self.norm, each_frame(self.see, x))))
        return self.readout(h[0].mean((2, 3)))  # what has happened, wherever it was


def rule(x: np.ndarray) -> np.ndarray:
    """The direction nearest to the way of the centre of brightness; as borders meet, places are angles."""
    turn = np.exp(2j * np.pi * np.arange(SIZE) / SIZE)
    z = np.stack([x[:, :, 0].sum(3) @ turn, x[:, :, 0].sum(2) @ turn], -1)  # rows, columns: (T, B, 2)
    step = np.angle((z[1:] * z[:-1].conj()).sum(0))
    return (step @ WAYS.T / np.linalg.norm(WAYS, axis=1)).argmax(-1)


def train(model: Watcher, frames: int, digits: np.ndarray, updates: int, count: int, seed: int = 0) -> None:
    rng = np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for k in tqdm(range(updates), leave=False):
        x, way = clips(count, digits, rng)
        optimizer.zero_grad()
        cross_entropy(model(x[-frames:]), way).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / updates)
        optimizer.step()
    model.eval()


def draw(x: np.ndarray, way: np.ndarray, p: np.ndarray) -> Any:
    """Clips (T, B, 1, S, S) as strips, and what the network answers."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 1.5 * len(way)), layout="constrained")
    grid = figure.subplots(len(way), 2, width_ratios=(3.6, 1))
    for b, (left, right) in enumerate(grid):
        left.imshow(np.hstack([np.pad(frame, 1, constant_values=1) for frame in x[:, b, 0]]), cmap="gray")
        left.axis("off")
        right.bar(range(len(WAYS)), p[b], color=["C2" if k == way[b] else "C7" for k in range(len(WAYS))])
        right.set(ylim=(0, 1), yticks=(0, 1), xticks=range(len(WAYS)), xticklabels=ARROWS)
    grid[0, 0].set_title("clips of digits not seen before")
    grid[0, 1].set_title("answer, green: right")
    return figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(
        argv, "video", __doc__, out="folder for the picture", quick="few updates of a small model"
    )
    hidden, updates, count = (4, 12, 8) if given.quick else (12, 700, 32)
    nn.manual_seed(given.seed)
    digits, others = load_digits()
    x, way = clips(100 if given.quick else 400, others, np.random.default_rng([given.seed, 1]))
    right = {"always the same": np.mean(way == np.bincount(way).argmax()), "rule": np.mean(rule(x) == way)}
    for name, frames in {"last frame": 1, "ConvGRU": FRAMES}.items():
        model = Watcher(hidden)
        train(model, frames, digits, updates, count, given.seed)
        with no_grad():
            p = softmax(model(x[-frames:]), -1).data
        right[name] = np.mean(p.argmax(-1) == way)
    save(draw(x[:, :3], way[:3], p[:3]), given.out / "video.png")
    with stepwise():
        save_graph({"direction": model(x[:3, :1])}, model, given.out / "graph.svg")
    right = {name: float(share) for name, share in right.items()}
    return report(f"{len(way)} clips of digits not seen before", {"the right one of 8 directions": right})


if __name__ == "__main__":
    main()
