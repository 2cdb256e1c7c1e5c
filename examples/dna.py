"""Which bases of a stretch of DNA belong to a gene? Only who has read on to the stop codon can know.

    python -m examples.dna            # three quarters of a minute, and pictures in runs/dna/
    python -m examples.dna --quick    # a second, with little to show

AGCCCCTGTGAGGAACTAG: one label per base, as in Ng's course *Sequence Models* (week 1). Here a gene is an open
reading frame: ATG, any number of triplets, and then the first TAA, TAG or TGA in the same frame. An ATG that
no stop follows is no gene. So there are two things to know about a base: is there a start before it, in
which of three frames, and is there a stop after it, in that frame? An LSTM that reads from left to right
knows the first one, and can only guess the second.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import no_grad, sigmoid, stepwise
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import binary_cross_entropy_with_logits

BASES = "ACGT"
GENE = re.compile("ATG(?:[ACGT]{3})*?(?:TAA|TAG|TGA)")


def inside(sequence: str) -> np.ndarray:
    """1 for each base that belongs to a gene; genes are found from left to right and do not overlap."""
    labels = np.zeros(len(sequence), np.int64)
    for gene in GENE.finditer(sequence):
        labels[slice(*gene.span())] = 1
    return labels


def triplets(sequence: str) -> np.ndarray:
    """A number below 192 for each base: its left neighbour, itself, its right neighbour, and its frame."""
    x = np.array([BASES.index(base) for base in sequence])  # what could be learned too, but takes longer
    return 16 * np.roll(x, 1) + 4 * x + np.roll(x, -1) + 64 * (np.arange(len(x)) % 3)


def batch(T: int, B: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Random bases (T, B), a start planted in each column, a stop in every other one; and labels (T, B)."""
    rows = []
    for k in range(B):
        row, at = rng.choice(list(BASES), T), int(rng.integers(T // 2))
        row[at : at + 3] = list("ATG")
        if k % 2:
            stop = at + 3 * int(rng.integers(1, (T - at) // 3))
            row[stop : stop + 3] = list(rng.choice(["TAA", "TAG", "TGA"]))
        rows.append("".join(row))
    return np.stack([triplets(row) for row in rows], 1), np.stack([inside(row) for row in rows], 1)


class Labeller(nn.Module):  # the hidden layer can ask whether start and stop are in the same frame
    def __init__(self, size: int, bidirectional: bool):
        self.embedding, self.lstm = nn.Embedding(192, 16), nn.LSTM(16, size, bidirectional=bidirectional)
        nn.init.forget_bias_(self.lstm, 1.0)  # a start has to be remembered for long
        states = size * (1 + bidirectional)
        self.readout = nn.Sequential(nn.Linear(states, 32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x: np.ndarray) -> Any:
        return self.readout(self.lstm(self.embedding(x))[0])[..., 0]


def train(model: Labeller, T: int, updates: int, name: str, seed: int = 0) -> None:
    rng, optimizer = np.random.default_rng(seed), optim.Adam(model.parameters())
    for k in tqdm(range(updates), name, leave=False):
        x, y = batch(T, 64, rng)
        optimizer.param_groups[0]["lr"] = 0.01 * (1 - k / updates)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(model(x), y).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()


def f1(found: np.ndarray, right: np.ndarray) -> float:
    return float(2 * np.sum(found & right) / max(np.sum(found) + np.sum(right), 1))


def draw(sequence: str, curves: dict[str, np.ndarray], path: Path) -> None:
    import matplotlib
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, (name, p) in zip(figure.subplots(len(curves), sharex=True), curves.items(), strict=True):
        axes.fill_between(range(len(p)), p, step="mid", color="tab:green" if name == "true" else "tab:blue")
        axes.set(ylim=(0, 1), yticks=[0, 1], ylabel=name, xticks=range(len(p)), xticklabels=sequence)
        axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("a held-out sequence, and the probability that a base belongs to a gene")
    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, metadata={"Date": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(
        argv, "dna", __doc__, quick="few updates of small models", out="folder for the picture"
    )
    T, size, updates = (30, 8, 20) if options.quick else (36, 16, 900)
    nn.manual_seed(options.seed)
    models = {"forward": Labeller(3 * size, False), "bidirectional": Labeller(2 * size, True)}
    for name, model in models.items():
        train(model, T, updates, name, options.seed)
    x, y = batch(T, 500, np.random.default_rng([options.seed, 1]))
    with no_grad():
        p = {"true": y, **{name: sigmoid(model(x)).data for name, model in models.items()}}
    found = {"never a gene": y < 0, "always a gene": y >= 0, **{name: p[name] > 0.5 for name in models}}
    # To look at: the sequence for which it mattered most to know the future.
    k = int(np.argmax(np.abs(p["forward"] - y).sum(0) - 2 * np.abs(p["bidirectional"] - y).sum(0)))
    sequence = [BASES[number // 4 % 4] for number in x[:, k]]
    draw(sequence, {name: values[:, k] for name, values in p.items()}, options.out / "dna.svg")
    with stepwise():
        save_graph({"gene?": model(x[:6, :1])}, model, options.out / "graph.svg", view="folded")
    right = {name: float(np.mean(labels == y)) for name, labels in found.items()}
    return report("held-out sequences", {"right bases": right, "F1": {k: f1(v, y) for k, v in found.items()}})


if __name__ == "__main__":
    main()
