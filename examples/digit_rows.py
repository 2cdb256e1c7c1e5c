"""Reading a digit line by line: what it is, said after every row of pixels.

    python -m examples.digit_rows            # three quarters of a minute
    python -m examples.digit_rows --quick    # a second, with little to show

A picture is a sequence if one says so. A GRU reads scans of handwritten digits (scikit-learn's, 8x8 pixels)
from top to bottom, eight steps of eight pixels, and answers after each; an LSTM reads them pixel by pixel and
has to remember what stood above (64 steps; Le et al. 2015 have 784). The last answer counts: many to one.

Beside it are eight logistic regressions, one for each number of rows: a weight of a linear classifier belongs
to a place, while the recurrent networks have one set of weights for all rows.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import Variable, no_grad, softmax
from examples.shared.digits import labelled_digits
from examples.shared.figures import save
from examples.shared.graphs import many_to_one, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy

SIZE = 8  # rows, and pixels in a row


class Reader(nn.Module):
    """Images (B, 8, 8) -> scores (8, B, 10), the k-th from the first k + 1 rows."""

    def __init__(self, layer: nn.Module, pixels: int):
        self.layer, self.pixels, self.readout = layer, pixels, nn.Linear(layer.hidden_size, 10)

    def forward(self, images: np.ndarray) -> Any:
        y, _ = self.layer(images.reshape(len(images), -1, self.pixels).swapaxes(0, 1))
        per_row = SIZE // self.pixels
        return self.readout(y[per_row - 1 :: per_row])


class Rows(nn.ModuleList):
    """The baseline: the same from a linear classifier of its own for every number of rows."""

    def forward(self, images: np.ndarray) -> Any:
        return np.stack([linear(images.reshape(len(images), -1)[:, : linear.in_features]) for linear in self])


def train(
    model: nn.Module, images: np.ndarray, digits: np.ndarray, updates: int, noise: float, seed: int = 0
) -> None:
    rng = np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for k in tqdm(range(updates), leave=False):
        some = rng.integers(len(images), size=64)
        scores = model(images[some] + noise * rng.standard_normal((64, SIZE, SIZE), "f"))
        optimizer.zero_grad()
        cross_entropy(scores.reshape(-1, 10), np.tile(digits[some], SIZE)).backward()  # an answer per row
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / updates)
        optimizer.step()


def draw(right: dict[str, np.ndarray], images: np.ndarray, p: np.ndarray) -> Any:
    """Accuracy by rows read, and beside the rows of some digits what was believed when they had been read."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.5, 3.6), layout="constrained")
    curves, beliefs = figure.subfigures(1, 2, width_ratios=(1, 1.6))
    axes = curves.subplots()
    for name, values in right.items():
        axes.plot(range(1, SIZE + 1), values, "k:" if name == "majority" else "o-", ms=4, label=name)
    axes.set(xlabel="rows read", title="right, of 300 held-out digits", ylim=(0, 1))
    axes.legend(frameon=False)
    for k, (left, axes) in enumerate(beliefs.subplots(2, 4, width_ratios=(1, 1.25) * 2).reshape(-1, 2)):
        left.imshow(images[k], cmap="gray_r")
        axes.imshow(p[:, k], cmap="Blues", vmin=0, vmax=1)
        left.set(xticks=[], yticks=[])
        axes.set(xticks=range(0, 10, 3), yticks=[])
    beliefs.suptitle("held-out digits, and the GRU's probabilities of 0 to 9 after each row", fontsize=11)
    return figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(
        argv, "digit_rows", __doc__, out="folder for the picture", quick="few updates of small models"
    )
    hidden, updates = (16, 20) if given.quick else (64, 1200)

    nn.manual_seed(given.seed)
    images, digits, unseen, y = labelled_digits()
    linear = [nn.Linear(SIZE * (k + 1), 10) for k in range(SIZE)]
    rows, pixels = nn.GRU(SIZE, hidden), nn.LSTM(1, hidden)
    nn.init.forget_bias_(pixels, 1.0)  # to forget little at first: 64 steps are many
    models = {"GRU, rows": Reader(rows, SIZE), "LSTM, pixels": Reader(pixels, 1), "logistic": Rows(linear)}
    right = {}
    for name, model in models.items():
        # With noise digits are not learnt by heart; it would only harm the linear ones.
        train(model, images, digits, updates, 0.0 if name == "logistic" else 0.15, given.seed)
        with no_grad():
            right[name] = np.mean(model(unseen).data.argmax(-1) == y, axis=1)
    right["majority"] = np.full(SIZE, np.mean(y == np.bincount(digits).argmax()))

    some = unseen[[int(np.argmax(y == d)) for d in (3, 5, 8, 9)]]
    with no_grad():
        p = softmax(models["GRU, rows"](some), -1).data
    save(draw(right, some, p), given.out / "digit_rows.svg")
    reader = models["GRU, rows"]
    three = [(f"row {k + 1}", Variable(some[0, k : k + 1], requires_grad=False)) for k in range(3)]
    outputs = many_to_one(three, lambda row: row, reader.layer, reader.readout)
    save_graph(outputs, reader, given.out / "graph.svg")
    figures = {
        f"row {k + 1}": {name: float(values[k]) for name, values in right.items()} for k in range(SIZE)
    }
    return report("right, of 300 held-out digits", figures)


if __name__ == "__main__":
    main()
