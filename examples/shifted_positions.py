"""Why a network for sequences shares its weights over time: "In 2019 I went to Russia".

    python -m examples.shifted_positions            # half a minute, and its graph in runs/shifted_positions/
    python -m examples.shifted_positions --quick    # a second, with little to show

"I went to Nepal in 2009" and "In 2009, I went to Nepal" say the same: the year should be found wherever it
stands (Goodfellow et al. 2016, introduction to chapter 10). A feed-forward network over the whole sentence
has weights of its own for every position, and learns the year at each of them anew. It is the case of one
input and one output, "one to one", with nothing recurrent. Here no training sentence has its year behind the
middle, and then the same facts are told the other way round.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import no_grad
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy, one_hot

YEARS = [str(year) for year in range(2010, 2020)]
PLACES = ["Russia", "Nepal", "Peru", "Iceland", "Ghana", "Japan"]
FILLERS = ["yesterday", "with", "my", "friends", "by", "train", "and", "then", "home", "again"]
VOCABULARY = [*YEARS, *PLACES, *FILLERS, "in", "I", "went", "to", ""]
NUMBER = {word: k for k, word in enumerate(VOCABULARY)}
LENGTH = 16  # words in the longest sentence


def sentence(year_at: int, rng: np.random.Generator) -> list[str]:
    """A sentence with "in" and a year at positions year_at - 1 and year_at, of up to LENGTH words."""
    told = ["I", "went", "to", str(rng.choice(PLACES))]
    length = int(rng.integers(max(year_at + 1, 6), LENGTH + 1))
    rest = [*told, *rng.choice(FILLERS, length - 2 - len(told))]
    return [*rest[: year_at - 1], "in", str(rng.choice(YEARS)), *rest[year_at - 1 :]]


def batch(count: int, first: int, last: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Words x (T, B) as numbers, and which year it is, y (B), for years at positions first to last."""
    said = [sentence(int(rng.integers(first, last + 1)), rng) for _ in range(count)]
    rows = np.array([[NUMBER[word] for word in [*row, *[""] * (LENGTH - len(row))]] for row in said])
    return rows.T, rows[rows < len(YEARS)]  # years are the first ten words, and there is one per sentence


class FeedForward(nn.Module):
    """All words side by side into one hidden layer: position 3 and position 13 share nothing."""

    def __init__(self, hidden: int):
        size = LENGTH * len(VOCABULARY)
        self.layers = nn.Sequential(
            nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Tanh(), nn.Linear(hidden, 10)
        )

    def forward(self, x: np.ndarray) -> Any:
        words = one_hot(x, len(VOCABULARY)).astype(np.float32)
        return self.layers(nn.Flatten()(np.swapaxes(words, 0, 1)))


class Recurrent(nn.Module):
    """The same weights at every word; what is said is remembered, not where."""

    def __init__(self, hidden: int):
        self.gru, self.readout = nn.GRU(len(VOCABULARY), hidden), nn.Linear(hidden, 10)

    def forward(self, x: np.ndarray) -> Any:
        lengths = (x != NUMBER[""]).sum(0)
        _, h = self.gru(one_hot(x, len(VOCABULARY)).astype(np.float32), None, lengths)
        return self.readout(h[0])


def accuracy(model: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    with no_grad():
        return float(np.mean(model(x).data.argmax(-1) == y))


def train(model: nn.Module, updates: int, name: str, seed: int = 0) -> None:
    """On sentences with the year before the middle."""
    rng = np.random.default_rng(seed)
    # Weight decay, as a GRU that has learned too well when a year comes does not expect it later.
    optimizer = optim.AdamW(model.parameters(), lr=0.02, weight_decay=0.3)
    for k in tqdm(range(updates), name, leave=False):
        x, y = batch(32, 1, LENGTH // 2 - 1, rng)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 0.02 * (1 - k / updates)
        optimizer.step()


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "shifted_positions", __doc__, quick="few updates", out="for the picture")
    hidden, updates = 16, 60 if options.quick else 1500
    nn.manual_seed(seed := options.seed)
    middle = LENGTH // 2
    tests = {
        "years where they were in training": batch(400, 1, middle - 1, np.random.default_rng([seed, 1])),
        "years at other positions": batch(400, middle, LENGTH - 1, np.random.default_rng([seed, 2])),
    }
    print("trained on  ", *sentence(1, np.random.default_rng(3)))
    print("tested on   ", *sentence(LENGTH - 1, np.random.default_rng(4)))

    figures: Figures = {what: {"guessing": np.bincount(y).max() / len(y)} for what, (_, y) in tests.items()}
    for name, model in {"feed-forward": FeedForward(hidden), "GRU": Recurrent(hidden)}.items():
        train(model, updates, name, seed)
        for what, test in tests.items():
            figures[what][name] = accuracy(model, *test)
        if name == "feed-forward":
            save_graph(
                {"year": model(batch(1, 1, 1, np.random.default_rng(0))[0])}, model, options.out / "graph.svg"
            )
    return report("the right year out of ten", figures)


if __name__ == "__main__":
    main()
