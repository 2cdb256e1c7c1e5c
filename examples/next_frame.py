"""What comes next? Two handwritten digits bounce around, and a ConvLSTM predicts the next frame.

    python -m examples.next_frame              # trains for a few minutes, writes runs/next_frame/
    python -m examples.next_frame --quick      # the same in seconds, with little to show

The digits are scans of real handwriting (scikit-learn's 8x8 digits) on a larger canvas. The digits of the
test sequences were written by hand as well, and none of them was seen in training. Two predictors that
know nothing have to be beaten: the last frame once more, and every pixel's last change once more.

From top to bottom: the sequences, the model, training, the comparison, pictures, the command line.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import Variable, mean, multiply, no_grad, reshape, sigmoid, softplus, stepwise
from examples.shared.digits import labelled_digits
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from nn.data import bouncing

Predictor = Callable[[np.ndarray], np.ndarray]  # frames (T, B, 1, S, S) -> the frame after each of them

# --- sequences ----------------------------------------------------------------------------------


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits (N, 8, 8) with values from 0 to 1: 1,497 to train with and 300 to test with."""
    training, _, test, _ = labelled_digits()
    return training, test


def bounce(rng: np.random.Generator, digits: np.ndarray, T: int, B: int, size: int) -> np.ndarray:
    """B sequences of T frames in which two digits bounce: (T, B, 1, size, size), values from 0 to 1."""
    shown = digits[rng.integers(0, len(digits), 2 * B)]
    return bouncing(shown.reshape(B, 2, *digits.shape[1:]), T, size, rng)


# --- the model ----------------------------------------------------------------------------------


class NextFrame(nn.Module):
    """Two ConvLSTMs with BatchNorm behind each, and a convolution to one score per pixel.

    Frames are cut into blocks of 2x2 pixels that become channels: four times fewer places for the
    recurrent part, and as many numbers.
    """

    def __init__(self, hidden: int):
        self.first = nn.ConvLSTM2d(4, hidden, 3)
        self.first_norm = nn.BatchNorm2d(hidden)
        self.second = nn.ConvLSTM2d(hidden, hidden, 3)
        self.second_norm = nn.BatchNorm2d(hidden)
        self.scores = nn.Conv2d(hidden, 4, 3, padding="same")

    def forward(self, frames: Any, states: Any = (None, None)) -> tuple[Variable, Any]:
        """Frames (T, B, 1, S, S) -> for each the scores of the frame after it, and the states."""
        T, B, _, S, _ = frames.shape
        blocks = reshape(frames, (T, B, S // 2, 2, S // 2, 2)).transpose(0, 1, 3, 5, 2, 4)
        h, one = self.first(reshape(blocks, (T, B, 4, S // 2, S // 2)), states[0])
        h, two = self.second(each_frame(self.first_norm, h), states[1])
        z = each_frame(self.scores, each_frame(self.second_norm, h))
        z = reshape(z, (T, B, 2, 2, S // 2, S // 2)).transpose(0, 1, 4, 2, 5, 3)
        return reshape(z, frames.shape), (one, two)


def each_frame(layer: nn.Module, x: Any) -> Any:
    """A layer for images on a sequence of them, (T, B, C, H, W): all frames as one batch."""
    y = layer(reshape(x, (-1, *x.shape[2:])))
    return reshape(y, (*x.shape[:2], *y.shape[1:]))


def cross_entropy(scores: Any, target: np.ndarray) -> Any:
    """Binary cross-entropy in nats per pixel, of grey values as probabilities: log(1 + eᶻ) - y z."""
    return mean(softplus(scores) - multiply(scores, target))


# --- training -----------------------------------------------------------------------------------


class Options(NamedTuple):
    """What a run depends on."""

    size: int = 20  # of the canvas
    length: int = 12  # frames of a sequence
    hidden: int = 32
    batch: int = 16
    steps: int = 700
    lr: float = 6e-3  # at the first step; it falls to 0 along a straight line
    test: int = 200  # sequences to compare on
    seed: int = 0


QUICK = Options(length=6, hidden=8, batch=4, steps=30, lr=0.02, test=20)


def train(model: NextFrame, digits: np.ndarray, options: Options, rng: np.random.Generator) -> None:
    """Learn to predict every frame but the first from those before it."""
    optimizer = optim.Adam(model.parameters(), lr=options.lr)
    calm = 0.2 if sys.stderr.isatty() else 10  # seconds between two updates of the bar
    bar = tqdm(range(options.steps), unit="step", mininterval=calm)
    for step in bar:
        optimizer.param_groups[0]["lr"] = options.lr * (1 - step / options.steps)
        frames = bounce(rng, digits, options.length, options.batch, options.size)
        scores, _ = model(frames[:-1])
        loss = cross_entropy(scores, frames[1:])
        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        bar.set_postfix_str(f"cross-entropy {loss.item():.4f}", refresh=False)


def predictor(model: NextFrame, batch: int = 50) -> Predictor:
    """The trained model as a function of arrays."""

    def predict(frames: np.ndarray) -> np.ndarray:
        parts = np.array_split(frames, max(1, frames.shape[1] // batch), axis=1)
        with no_grad():
            return np.concatenate([sigmoid(model(part)[0]).data for part in parts], 1)

    model.eval()
    return predict


# --- what it has to beat --------------------------------------------------------------------------


def copy(frames: np.ndarray) -> np.ndarray:
    """The frame seen last, once more."""
    return frames


def extrapolate(frames: np.ndarray) -> np.ndarray:
    """Every pixel goes on as it went from the last frame but one to the last."""
    return np.clip(2 * frames - np.concatenate([frames[:1], frames[:-1]]), 0, 1)


class Errors(NamedTuple):
    """How far predictions are from what came; per pixel, from the third frame on."""

    cross_entropy: float  # nats; not 0 even for the frame itself, whose grey values count as uncertain
    squared: float


def errors(predict: Predictor, frames: np.ndarray, doubt: float = 1e-6) -> Errors:
    """Compare with what came. Probabilities are kept within ``doubt`` and 1 - doubt."""
    p, y = predict(frames[:-1])[1:], frames[2:]
    p = np.clip(p, 1e-6, 1 - 1e-6).astype(np.float64)
    squared = float(np.mean((p - y) ** 2))
    p = np.clip(p, doubt, 1 - doubt)
    return Errors(float(-np.mean(y * np.log(p) + (1 - y) * np.log1p(-p))), squared)


def best_doubt(predict: Predictor, frames: np.ndarray) -> float:
    """The doubt with which a predictor does best on training sequences: certainty costs it dearly."""
    return float(min(np.geomspace(1e-4, 0.3, 30), key=lambda d: errors(predict, frames, d).cross_entropy))


def compare(predict: Predictor, training: np.ndarray, test: np.ndarray) -> dict[str, Errors]:
    """The errors of the model and of both baselines on test sequences."""
    return {
        "ConvLSTM": errors(predict, test),
        "last frame again": errors(copy, test, best_doubt(copy, training)),
        "last change again": errors(extrapolate, test, best_doubt(extrapolate, training)),
    }


def dream(model: NextFrame, frames: np.ndarray, count: int) -> np.ndarray:
    """The model goes on by itself: count frames, each predicted from the one it predicted before."""
    dreamt = []
    with no_grad():
        scores, states = model(frames)
        for _ in range(count):
            dreamt.append(sigmoid(scores[-1:]).data)
            scores, states = model(dreamt[-1], tuple(states))
    return np.concatenate(dreamt)


# --- pictures -----------------------------------------------------------------------------------


def draw_sheet(predict: Predictor, frames: np.ndarray, path: Path) -> None:
    """A contact sheet: the true frames of each sequence above the predicted ones, time to the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    predicted = predict(frames[:-1])
    T, B = frames.shape[:2]
    rows = 3 * B
    figure = Figure(figsize=(0.8 * (T - 1) + 1, 0.84 * rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, T - 1, squeeze=False)
    for b in range(B):
        kinds = [("true", frames[1:, b, 0]), ("predicted", predicted[:, b, 0])]
        kinds.append(("last frame", frames[:-1, b, 0]))
        for k, (name, images) in enumerate(kinds):
            for t, (axes, image) in enumerate(zip(grid[3 * b + k], images, strict=True)):
                axes.imshow(image, cmap="gray", vmin=0, vmax=1)
                axes.set(xticks=[], yticks=[])
                if t == 0:
                    axes.set_ylabel(name, rotation=0, ha="right", va="center")
                if b == k == 0:
                    axes.set_title(f"{t + 2}", fontsize=9)
    figure.suptitle("frame")
    figure.savefig(path, dpi=110)


def draw_film(model: NextFrame, frames: np.ndarray, path: Path, scale: int = 6) -> None:
    """An animated GIF: true frames on top, predicted ones below.

    In the first half every frame is predicted from the true ones before it. From then on, on red ground,
    the model sees only what it has predicted itself.
    """
    from PIL import Image

    T, B, _, S, _ = frames.shape
    half = T // 2
    alone = dream(model, frames[:half], T - half)
    predicted = np.concatenate([predictor(model)(frames[: half - 1]), alone])
    pictures = []
    for t in range(T - 1):
        picture = np.full((2 * (S + 2), B * (S + 2), 3), 40, np.uint8)
        if t >= half - 1:
            picture[S + 2 :] = 180, 40, 40
        for b in range(B):
            for row, image in enumerate((frames[t + 1, b, 0], predicted[t, b, 0])):
                top, left = row * (S + 2) + 1, b * (S + 2) + 1
                picture[top : top + S, left : left + S] = np.round(255 * image)[..., None]
        pictures.append(Image.fromarray(picture.repeat(scale, 0).repeat(scale, 1)))
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=250, loop=0)


# --- the command line ---------------------------------------------------------------------------


def read_options(arguments: Sequence[str] | None) -> tuple[Options, Path]:
    parser = argparse.ArgumentParser(
        prog="python -m examples.next_frame",
        description="Predict the next frame of two bouncing handwritten digits with stacked ConvLSTMs.",
    )
    parser.add_argument("--out", metavar="DIR", default="runs/next_frame", help="folder for all files")
    parser.add_argument("--steps", metavar="N", type=int, help=f"updates (default {Options().steps})")
    parser.add_argument("--seed", metavar="N", type=int, default=0, help="of weights and sequences")
    parser.add_argument("--quick", action="store_true", help="a small model for a few seconds")
    given = parser.parse_args(arguments)
    options = (QUICK if given.quick else Options())._replace(seed=given.seed)
    if given.steps is not None:
        if given.steps < 1:
            parser.error(f"--steps expected at least 1, got {given.steps}")
        options = options._replace(steps=given.steps)
    return options, Path(given.out)


def main(arguments: Sequence[str] | None = None) -> Figures:
    """Train, compare, draw; returns the errors."""
    options, folder = read_options(arguments)
    folder.mkdir(parents=True, exist_ok=True)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    training, held_out = load_digits()
    model = NextFrame(options.hidden)
    count = sum(p.size for p in model.parameters())
    print(f"{count:,} parameters, {len(training)} digits to train with, {len(held_out)} others to test with")

    start = time.perf_counter()
    train(model, training, options, rng)
    print(f"trained for {time.perf_counter() - start:.0f} s")
    nn.save(model.state_dict(), folder / "model.npz")

    def sequences(digits: np.ndarray, T: int = options.length) -> np.ndarray:
        return bounce(np.random.default_rng([options.seed, T]), digits, T, options.test, options.size)

    predict, test = predictor(model), sequences(held_out)
    result = compare(predict, sequences(training), test)
    result["(the frame itself)"] = errors(lambda _: test[1:], test)
    draw_sheet(predict, test[:, :3], folder / "frames.png")
    draw_film(model, sequences(held_out, 2 * options.length)[:, :4], folder / "frames.gif")
    print(f"wrote frames.png, frames.gif and model.npz to {folder}")
    with stepwise():
        save_graph({"scores": model(test[:6, :1])[0]}, model, folder / "graph.svg", view="folded")
    print()
    nats = {name: error.cross_entropy for name, error in result.items()}
    squared = {name: error.squared for name, error in result.items()}
    return report(f"{options.test} test sequences, per pixel", {"nats": nats, "squared error": squared})


if __name__ == "__main__":
    main()
