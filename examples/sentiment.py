"""Many to one: did they like it? A GRU reads "boring at first but in the end wonderful" to its end.

    python -m examples.sentiment            # a quarter of a minute, and pictures in runs/sentiment/
    python -m examples.sentiment --quick    # a second, with little to show

"Completely lacking in good taste, good service and good ambience" has three times "good" in it (Ng, *Sequence
Models*, week 2). A bag of words cannot know what a "not" belongs to, nor which of two opinions counts. A GRU
reads in order, and is trained to answer after every word, so that its opinion can be watched as it turns.
"""

import zlib
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import sigmoid
from examples.shared.graphs import many_to_one, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.data import Vocabulary
from nn.functional import binary_cross_entropy_with_logits, one_hot

BLAME = ["bad", "boring", "dull", "silly", "awful", "slow", "predictable", "tired"]
PRAISE = ["good", "wonderful", "funny", "clever", "moving", "brilliant", "charming", "fresh"]
NOT = ["not", "not at all", "never", "far from", "anything but"]
WHAT = ["film", "plot", "music", "acting", "dialogue", "ending", "cast", "story"]
ONE = ["the {0} was {3}", "i think the {0} was {3}"]
TWO = ["the {0} was {2} at first but in the end {3}", "although the {0} was {2} the {1} was {3}"]
TWO += ["the {0} was {3} although the {1} was {2}"]  # {3} is the opinion that counts
TWO += ["the {0} was {2} at first and in the end {3}"]  # where they agree
KINDS = {"one opinion": (0, 0), "one, negated": (0, 1), "two opinions": (1, 0), "two, one negated": (1, 1)}
WORDS = Vocabulary.build([*BLAME, *PRAISE, *NOT, *WHAT, *(form.format(*[""] * 4) for form in ONE + TWO)])
SHOWN = ["the film was not at all good", "the plot was boring at first but in the end wonderful"]


def sentence(two: int, negation: int, rng: np.random.Generator) -> tuple[str, int]:
    """A sentence with one opinion or two, one of them negated or none, and 1 if its author liked it."""
    liked, k = int(rng.integers(2)), int(rng.integers(2)) if two else 1
    form, opinions = rng.choice(TWO if two else ONE), []
    for meant, negated in [(liked ^ (form != TWO[3]), negation and k == 0), (liked, negation and k == 1)]:
        word = rng.choice(PRAISE if meant != negated else BLAME)
        opinions.append(f"{rng.choice(NOT)} {word}" if negated else word)
    return form.format(*rng.permutation(WHAT)[:2], *opinions), liked


def batch(count: int, kind: str, held_out: bool, rng: np.random.Generator) -> tuple[Any, Any, Any]:
    """Words x (T, B) with their lengths (B), and labels (B); every fifth text is held out from training."""
    found: list[tuple[np.ndarray, int]] = []
    while len(found) < count:
        text, liked = sentence(*KINDS[kind or rng.choice(["one opinion", *KINDS])], rng)
        if (zlib.crc32(text.encode()) % 5 == 0) == held_out and text not in SHOWN:
            found.append((WORDS.encode(text), liked))
    rows, labels = zip(*found, strict=True)
    return nn.pad_sequence(rows), np.array([len(row) for row in rows]), np.array(labels)


class Reader(nn.Module):  # gives scores (T, B), the opinion after each word
    def __init__(self, size: int):
        self.embedding, self.gru = nn.Embedding(len(WORDS), size), nn.GRU(size, size)
        self.readout = nn.Linear(size, 1)

    def forward(self, x: np.ndarray, lengths: Any) -> Any:
        return self.readout(self.gru(self.embedding(x), None, lengths)[0])[..., 0]


class BagOfWords(nn.Module):  # the same, of a logistic regression on how often each word occurred so far
    def __init__(self) -> None:
        self.readout = nn.Linear(len(WORDS), 1)

    def forward(self, x: np.ndarray, lengths: Any) -> Any:
        return self.readout(one_hot(x, len(WORDS)).cumsum(0))[..., 0]


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, (text, p) in zip(figure.subplots(len(curves)), curves.items(), strict=True):
        axes.bar(range(len(p)), p - 0.5, 0.7, 0.5, color=np.where(p > 0.5, "tab:green", "tab:red"))
        axes.set(xticks=range(len(p)), xticklabels=text.split(), xlim=(-0.6, 10.6), ylim=(0, 1))
        axes.axhline(0.5, color="black", linewidth=0.8)
    figure.supylabel("P(liked) after each word")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(
        argv, "sentiment", __doc__, quick="few updates of small models", out="folder for the picture"
    )
    size, updates, count = (16, 60, 100) if options.quick else (32, 1200, 500)
    nn.manual_seed(options.seed)
    models = {"GRU": Reader(size), "bag of words": BagOfWords()}
    for name, model in models.items():
        rng, optimizer = np.random.default_rng(options.seed), optim.Adam(model.parameters(), lr=5e-3)
        for _ in tqdm(range(updates), name, leave=False):
            x, lengths, y = batch(32, "", False, rng)
            left = lengths - 1 - np.arange(len(x))[:, None]  # words that are still to come
            counts = left >= 0 if name == "GRU" else left == 0  # a bag can do better asked once, at the end
            optimizer.zero_grad()
            binary_cross_entropy_with_logits(model(x, lengths), y + 0 * x, counts).backward()
            optimizer.step()
    figures: Figures = {}
    for kind in KINDS:
        x, lengths, y = batch(count, kind, True, np.random.default_rng([options.seed, 1]))
        liked = {name: m(x, lengths).data[lengths - 1, range(count)] > 0 for name, m in models.items()}
        liked["always liked"] = y >= 0
        figures[kind] = {name: float(np.mean(answers == y)) for name, answers in liked.items()}
    curves = {}
    for text in SHOWN:
        curves[text] = sigmoid(models["GRU"](WORDS.encode(text)[:, None], None)).data[:, 0]
        print(*(f"{word} {p:.2f} " for word, p in zip(text.split(), curves[text], strict=True)))
    draw(curves, options.out / "sentiment.svg")
    words, gru = [(word, WORDS.encode(word)) for word in ["film", "was", "good"]], models["GRU"]
    save_graph(many_to_one(words, gru.embedding, gru.gru, gru.readout), gru, options.out / "graph.svg")
    return report("right on held-out sentences", figures)


if __name__ == "__main__":
    main()
