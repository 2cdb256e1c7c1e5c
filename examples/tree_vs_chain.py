"""The shape of a network should be the shape of its data: a tree LSTM against an LSTM on nested expressions.

    python -m examples.tree_vs_chain            # a minute
    python -m examples.tree_vs_chain --quick    # two seconds, with little to show

What is max(3, min(7, 5))? An LSTM reads "( max 3 ( min 7 5 ) )" from left to right and has to find out what
brackets mean; a tree LSTM (Tai et al. 2015) is applied along the brackets, so that operands meet their
operator however far apart they were written. It is the shortest path that differs: the number of brackets
for the one, the number of words for the other (Goodfellow et al. 2016, section 10.6). Both are trained
on expressions of up to three levels and then asked about deeper ones. The task is a small version of
ListOps (Nangia & Bowman 2018).
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import no_grad
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy
from nn.tree import Tree, flatten, height

MAX, MIN, SUM, OPEN, CLOSE, WORDS = 10, 11, 12, 13, 14, 15  # after the digits, which are 0 to 9
MEANS = {MAX: max, MIN: min, SUM: lambda a, b: (a + b) % 10}


def expression(levels: int, rng: np.random.Generator) -> Tree:
    """A random expression of exactly so many levels: a digit, or (operator, expression, expression)."""
    if levels == 0:
        return int(rng.integers(10))
    pair = [levels - 1, int(rng.integers(levels))]
    first, second = rng.permutation(pair)
    return int(rng.choice(list(MEANS))), expression(int(first), rng), expression(int(second), rng)


def value(tree: Tree) -> int:
    return MEANS[tree[0]](value(tree[1]), value(tree[2])) if isinstance(tree, tuple) else tree


def words(tree: Tree) -> list[int]:
    """What the chain reads: brackets and all."""
    if not isinstance(tree, tuple):
        return [tree]
    return [OPEN, tree[0], *words(tree[1]), *words(tree[2]), CLOSE]


def batch(count: int, levels: list[int], rng: np.random.Generator) -> tuple[list[Tree], np.ndarray]:
    trees = [expression(int(rng.choice(levels)), rng) for _ in range(count)]
    return trees, np.array([value(t) for t in trees])


class Along(nn.Module):
    """A tree LSTM: the leaves are digits and operators, every pair of brackets is a node."""

    def __init__(self, hidden: int):
        self.tree = nn.Recursive(nn.NaryTreeLSTMCell(hidden, hidden, arity=3), nn.Embedding(WORDS, hidden))
        self.readout = nn.Linear(hidden, 10)

    def forward(self, trees: list[Tree]) -> Any:
        h, _ = self.tree(trees)
        return self.readout(h)


class LeftToRight(nn.Module):
    """An LSTM over the words; the last state answers."""

    def __init__(self, hidden: int):
        self.embedding, self.lstm = nn.Embedding(WORDS, hidden), nn.LSTM(hidden, hidden)
        self.readout = nn.Linear(hidden, 10)

    def forward(self, trees: list[Tree]) -> Any:
        rows = [np.array(words(t)) for t in trees]
        x, lengths = nn.pad_sequence(rows), [len(r) for r in rows]
        _, (h, _) = self.lstm(self.embedding(x), None, lengths)
        return self.readout(h[0])


def train(model: nn.Module, name: str, updates: int, count: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for k in tqdm(range(updates), name, leave=False):
        trees, y = batch(count, [1, 2] if k < updates // 3 else [1, 2, 3], rng)
        optimizer.zero_grad()
        cross_entropy(model(trees), y).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - k / updates)
        optimizer.step()


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "tree_vs_chain", __doc__, quick="few updates of small models")
    hidden, chain, updates, count = (16, 27, 30, 32) if options.quick else (48, 82, 1500, 64)
    nn.manual_seed(options.seed)
    models = {"tree LSTM": Along(hidden), "LSTM": LeftToRight(chain)}  # of about as many parameters
    for name, model in models.items():
        print(f"{name}: {sum(p.size for p in model.parameters()):,} parameters")
        train(model, name, updates, count, options.seed)

    # Right answers by depth; the baseline is the answer that is most often right at that depth.
    figures: Figures = {}
    rng = np.random.default_rng([options.seed, 1])
    for levels in [1, 2, 3, 4, 5]:
        trees, y = batch(100 if options.quick else 500, [levels], rng)
        right = {"always the same": np.bincount(y).max() / len(y)}
        for name, model in models.items():
            with no_grad():
                right[name] = float(np.mean(model(trees).data.argmax(-1) == y))
        right["(words to read)"] = float(np.mean([len(words(t)) for t in trees]))
        figures[f"depth {levels}" + ", unseen" * (levels > 3)] = right
        assert len(flatten(trees)[1]) == max(map(height, trees)) == levels
    return report("right answers", figures)


if __name__ == "__main__":
    main()
