"""What did it look back at? A character model closes brackets, and its gates and input gradients say how.

    python -m examples.brackets            # half a minute, and a picture in runs/brackets/
    python -m examples.brackets --quick    # two seconds, with little to show

An LSTM reads letters and brackets of three kinds, nested up to four deep, and predicts the next character.
To close a bracket rightly it has to know which one was opened, many characters before. Karpathy, Johnson &
Fei-Fei (2015, *Visualizing and understanding recurrent networks*) found units that keep count. Here that is
measured: how well the best unit of the state tells how many brackets are open, and whether a closing's
gradient is largest at the bracket that it closes. It need not be: a gradient tells what a small change of an
input does, and a model that is sure answers none. Exchanging pairs of brackets, one pair at a time, tells
which one counted.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import Variable, bptt, log_softmax, no_grad
from autograd.bptt.plotting import heatmap
from examples.shared.figures import save
from examples.shared.graphs import many_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy

OPENING, CLOSING = "([{", ")]}"
ALPHABET = "abcde" + OPENING + CLOSING
LENGTH, DEEPEST = 40, 4


def text(rng: np.random.Generator) -> str:
    """LENGTH characters in which every closing bracket is that of the newest open one."""
    found, open_ = "", ""
    for kind, letter, bracket in zip(
        rng.random(LENGTH), rng.integers(5, size=LENGTH), rng.integers(3, size=LENGTH), strict=True
    ):
        if kind < 0.2 and len(open_) < DEEPEST:
            open_ += OPENING[bracket]
            found += open_[-1]
        elif kind < 0.4 and open_:
            found += CLOSING[OPENING.index(open_[-1])]
            open_ = open_[:-1]
        else:
            found += ALPHABET[letter]
    return found


def pairs(read: str) -> dict[int, int]:
    """Position of a closing bracket -> that of the one which it closes."""
    found, open_ = {}, []
    for k, letter in enumerate(read):
        if letter in OPENING:
            open_.append(k)
        elif letter in CLOSING:
            found[k] = open_.pop()
    return found


def depths(read: str) -> np.ndarray:
    """How many brackets are open after every character."""
    return np.cumsum([(c in OPENING) - (c in CLOSING) for c in read])


def indices(texts: list[str]) -> np.ndarray:
    return np.array([[ALPHABET.index(c) for c in row] for row in texts]).T


class Model(nn.Module):
    """Characters (T, B) -> scores (T, B, 11) of the next one; keeps what the LSTM read and did."""

    def __init__(self, hidden: int):
        self.embedding = nn.Embedding(len(ALPHABET), 16)
        self.lstm = nn.LSTM(16, hidden)
        self.readout = nn.Linear(hidden, len(ALPHABET))

    def forward(self, x: np.ndarray) -> tuple[Variable, Variable, Variable]:
        seen = self.embedding(x)
        y, _ = self.lstm(seen)
        return self.readout(y), y, seen


def train(model: Model, updates: int, rng: np.random.Generator) -> None:
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    for k in tqdm(range(updates), "model", leave=False):
        x = indices([text(rng) for _ in range(32)])
        optimizer.zero_grad()
        cross_entropy(model(x[:-1])[0], x[1:], axis=-1).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 1e-2 * (1 - k / updates)
        optimizer.step()


def closed_rightly(model: Model, texts: list[str]) -> float:
    """The share of closing brackets that are the likeliest of the three."""
    with no_grad():
        scores = model(indices(texts)[:-1])[0].data
    kinds = [ALPHABET.index(c) for c in CLOSING]
    right = [
        CLOSING[scores[k - 1, b, kinds].argmax()] == read[k]
        for b, read in enumerate(texts)
        for k in pairs(read)
    ]
    return float(np.mean(right))


def looked_back(model: Model, read: str) -> tuple[bptt.InputGradients, list[int]]:
    """The gradients of log P(its kind | a closing one) of all closings with respect to what was read."""
    x, closings = indices([read]), list(pairs(read))
    scores, _, seen = model(x[:-1])
    log_p = log_closings(scores)
    ys = [log_p[k - 1, 0, CLOSING.index(read[k])] for k in closings]
    return bptt.input_gradients(ys, seen), closings


def log_closings(scores: Variable) -> Variable:
    """Scores (T, B, 11) -> log P(kind of bracket | a closing one), (T, B, 3)."""
    return log_softmax(scores[..., -len(CLOSING) :], -1)


def exchanged(model: Model, read: str) -> np.ndarray:
    """How far log P of every closing falls when a pair of brackets is of another kind.

    A table (closings, characters); the entry of a pair stands at its opening bracket.
    """
    closed_at = {own: k for k, own in pairs(read).items()}
    variants = []
    for j in (j for j, letter in enumerate(read[:-1]) if letter in OPENING):
        for opening, closing in zip(OPENING, CLOSING, strict=True):
            row = read[:j] + opening + read[j + 1 :]
            if (k := closed_at.get(j)) is not None:
                row = row[:k] + closing + row[k + 1 :]
            variants.append((j, row))
    with no_grad():
        log_p = log_closings(model(indices([row for _, row in variants])[:-1])[0]).data
    unchanged = [row for _, row in variants].index(read)
    found = np.zeros((len(pairs(read)), len(read) - 1))
    for row, k in enumerate(pairs(read)):
        now = log_p[k - 1, :, CLOSING.index(read[k])]
        for (j, variant), value in zip(variants, now, strict=True):
            if variant != read and j < k:
                found[row, j] = max(found[row, j], now[unchanged] - value)
    return found


def pointing(sizes: np.ndarray, read: str) -> list[bool]:
    """Of closings with several openings before them: is a table's largest entry among these its own?"""
    right = []
    for row, (k, own) in zip(sizes, pairs(read).items(), strict=True):
        before = [j for j in range(k) if read[j] in OPENING]
        if len(before) > 1:
            right.append(max(before, key=lambda j: row[j]) == own)
    return right


def counting(model: Model, texts: list[str]) -> float:
    """The correlation of the state's best unit with the number of open brackets."""
    with no_grad():
        states = model(indices(texts))[1].data
    units = states.reshape(-1, states.shape[-1]).T
    known = np.stack([depths(read) for read in texts], axis=1).ravel()
    return float(np.nanmax([abs(np.corrcoef(unit, known)[0, 1]) for unit in units]))


def figures_of(model: Model, texts: list[str]) -> list[float]:
    """Closed rightly; the largest gradient at its own; the largest effect at its own; best unit."""
    gradients = [right for read in texts for right in pointing(looked_back(model, read)[0].norms, read)]
    effects = [right for read in texts for right in pointing(exchanged(model, read), read)]
    return [
        closed_rightly(model, texts),
        float(np.mean(gradients)),
        float(np.mean(effects)),
        counting(model, texts),
    ]


def draw(model: Model, read: str) -> Any:
    """The forget gate, by what it has to do with depth; and for every closing gradients, and what counts."""
    from matplotlib.figure import Figure

    found, closings = looked_back(model, read)
    gates = bptt.gates(model(indices([read]))[1], model)
    forget = gates.values["lstm.l0"]["f"]
    with np.errstate(invalid="ignore"):
        of_depth = [abs(np.corrcoef(unit, depths(read))[0, 1]) for unit in forget[:, 0].T]
    best = bptt.Gates({"lstm.l0": {"f": forget[:, :, np.argsort(of_depth)[::-1][:16]]}}, gates.steps)
    figure = Figure(figsize=(11, 9.5), layout="constrained")
    top, middle, below = figure.subplots(3, 1, height_ratios=(1, 1.2, 1.2))
    best.plot("f", top, labels=read)
    top.set(title="forget gate: the 16 units that have most to do with depth", xlabel="", yticks=[])
    names = [f"{read[k]} at {k}" for k in closings]
    found.plot(middle, outputs=names, inputs=read[:-1])
    heatmap(below, exchanged(model, read), read[:-1], names, "fall of log P")
    below.set_xticks(range(len(read) - 1), read[:-1])
    below.set_yticks(range(len(names)), names)
    middle.set_title("the gradient of its log-probability by every character read before")
    below.set_title("how far its log-probability falls when a pair of brackets is of another kind")
    for ax in (middle, below):
        ax.plot(list(pairs(read).values()), range(len(names)), "ro", markerfacecolor="none", markersize=9)
        ax.set(xlabel="", ylabel="closing (a ring: what it closes)")
    return figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(
        argv, "brackets", __doc__, out="folder for the pictures", quick="few updates of a small model"
    )
    hidden, updates, count = (16, 10, 10) if given.quick else (64, 500, 50)
    nn.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    model = Model(hidden)
    unseen = [text(rng) for _ in range(count)]
    before = figures_of(model, unseen)
    train(model, updates, rng)
    save(draw(model, max(unseen, key=lambda read: len(pairs(read)))), given.out / "brackets.svg")
    tokens = [(letter, np.array([ALPHABET.index(letter)])) for letter in "[a(b)"]
    outputs = many_to_many(tokens, model.embedding, model.lstm, model.readout)
    save_graph(outputs, model, given.out / "graph.svg", hide=["mover", "parameter"])
    what = "closed rightly", "gradient at its own", "exchange at its own", "best unit against depth"
    rows = {"LSTM": figures_of(model, unseen), "before training": before}
    return report(f"{count} texts", {w: {m: row[i] for m, row in rows.items()} for i, w in enumerate(what)})


if __name__ == "__main__":
    main()
