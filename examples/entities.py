"""Many to many: who and what is a name in "Yesterday, Harry Potter met Hermione Granger"?

    python -m examples.entities            # a quarter of a minute, and its graph in runs/entities/
    python -m examples.entities --quick    # a second, with little to show

One label per word: person, place, organisation or none (Ng, *Sequence Models*, week 1). No name of the test
was seen in training: a word outside of the vocabulary is <unk>, with a capital letter or without, and the
rest has to come from the words around it. "Teddy Roosevelt was a president" and "Teddy bears are on sale"
begin alike: who reads from left to right has to answer too early, a bidirectional network has read on.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import concatenate
from examples.shared.graphs import many_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.data import Vocabulary
from nn.functional import cross_entropy

LABELS = ["none", "person", "place", "organisation"]
FORMS = """0 bears are on sale | 0 , as we all know , tastes of nothing | Yesterday , 0 cakes were sold out
| 1 was a president | 1 , as we all know , plays the piano | Yesterday , 1 met 1 | 1 went to 2 with 1
| 2 is a city near 2 | 2 , as we all know , has two rivers | Yesterday , 2 was flooded | They left 2 for 2
| 3 makes cars in 2 | 3 , as we all know , pays no taxes | Yesterday , 3 bought 3 | She works for 3 in 2
| The book by 1 is about 2 | He wrote to 1 about 3 | In 2 , 3 hired 1 | Nobody from 3 called 1"""
WORDS = Vocabulary.build([word for word in FORMS.lower().split() if word.isalpha() or word == ","])
SYLLABLES = [["mor", "va", "ki", "tel", "do", "run"], ["sa", "bel", "li", "gra", "nu", "per"]]
SAID = ["Yesterday , Harry Potter met Hermione Granger", "Teddy Roosevelt was a president"]
SAID += ["Teddy bears are on sale"]


def sentence(rng: np.random.Generator, held_out: bool) -> tuple[list[str], list[int]]:
    """Words and their labels; whatever it names, a name has one word or two."""

    def name() -> str:  # such as Morvaki
        return "".join(rng.choice(SYLLABLES[held_out], 3)).capitalize()

    words, labels = [], []
    for word in rng.choice(FORMS.split("|")).split():
        new = [name() for _ in range(rng.integers(1, 3))] if word.isdigit() else [word]
        words += new
        labels += [int(word) if word.isdigit() else 0] * len(new)
    return words, labels


def encode(rows: list[list[str]]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Numbers (T, B) of the words, whether they begin with a capital (T, B), and lengths (B)."""
    x = nn.pad_sequence([WORDS.encode([word.lower() for word in row]) for row in rows])
    capital = nn.pad_sequence([np.array([word[0].isupper() for word in row]) for row in rows])
    return x, capital, np.array([len(row) for row in rows])


def batch(count: int, held_out: bool, rng: np.random.Generator) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
    rows, labels = zip(*[sentence(rng, held_out) for _ in range(count)], strict=True)
    return encode(rows), nn.pad_sequence(labels)


class Tagger(nn.Module):
    def __init__(self, size: int, bidirectional: bool):
        self.embedding = nn.Embedding(len(WORDS), 16)
        self.gru = nn.GRU(16 + 1, size, bidirectional=bidirectional)
        self.readout = nn.Linear(size * (1 + bidirectional), len(LABELS))

    def see(self, words: tuple[np.ndarray, np.ndarray]) -> Any:
        x, capital = words
        return concatenate([self.embedding(x), capital[..., None].astype(np.float32)], -1)

    def forward(self, x: np.ndarray, capital: np.ndarray, lengths: np.ndarray) -> Any:
        return self.readout(self.gru(self.see((x, capital)), None, lengths)[0])


def spans(labels: np.ndarray, label: int) -> set[tuple[int, int, int]]:
    """The names of one kind in labels (T, B), as (column, first word, word after the last)."""
    edges = np.diff(np.pad((labels == label).astype(int), ((1, 1), (0, 0))), axis=0).T
    return {(b, i, j) for (b, i), (_, j) in zip(np.argwhere(edges > 0), np.argwhere(edges < 0), strict=True)}


def f1(found: set[Any], right: set[Any]) -> float:  # the harmonic mean of precision and recall
    return 2 * len(found & right) / max(len(found) + len(right), 1)


def train(model: Tagger, updates: int, title: str, seed: int = 0) -> None:
    rng, optimizer = np.random.default_rng(seed), optim.Adam(model.parameters(), lr=5e-3)
    for _ in tqdm(range(updates), title, leave=False):
        (x, capital, lengths), y = batch(32, False, rng)
        scores = model(x, capital, lengths).reshape(-1, len(LABELS))
        inside = np.arange(len(x))[:, None] < lengths
        optimizer.zero_grad()
        cross_entropy(scores, y.reshape(-1), mask=inside.reshape(-1)).backward()
        optimizer.step()


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "entities", __doc__, quick="few updates", out="folder for the picture")
    updates = 40 if options.quick else 800
    nn.manual_seed(options.seed)
    models = {"forward": Tagger(52, False), "bidirectional": Tagger(32, True)}
    for title, model in models.items():
        train(model, updates, title, options.seed)
    # The baseline: the label that a word, or an unknown one with or without capital, had most often.
    (x, capital, _), y = batch(1000, False, np.random.default_rng([options.seed, 1]))
    table = np.zeros((len(WORDS), 2, len(LABELS)))
    np.add.at(table, (x, capital.astype(int), y), 1)
    test, right = batch(500, True, np.random.default_rng([options.seed, 2]))
    tagged = {"lookup": table[test[0], test[1].astype(int)].argmax(-1)}
    inside = np.arange(len(right))[:, None] < test[2]
    tagged |= {title: model(*test).data.argmax(-1) * inside for title, model in models.items()}
    figures: Figures = {}
    for k, label in list(enumerate(LABELS))[1:]:
        figures[label] = {title: f1(spans(found, k), spans(right, k)) for title, found in tagged.items()}
    for words in map(str.split, SAID):
        for title, model in models.items():
            labels = model(*encode([words])).data[:, 0].argmax(-1).tolist()
            print(f"{title:14}", *(w + f"/{LABELS[k]}" * (k > 0) for w, k in zip(words, labels, strict=True)))
    words = ["He", "met", "Harry"]
    tokens = [*zip(words, zip(*encode([words])[:2], strict=True), strict=True)]
    outputs = many_to_many(tokens, model.see, model.gru, model.readout)
    save_graph(outputs, model, options.out / "graph.svg", hide=["mover", "parameter"])
    return report("F1 of whole names", figures)


if __name__ == "__main__":
    main()
