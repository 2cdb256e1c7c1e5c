"""A language model over words: is it the apple and pear salad, or the apple and pair salad?

    python -m examples.word_lm            # ten seconds, and its graph in runs/word_lm/
    python -m examples.word_lm --quick    # a second, with little to show

Both sound the same, and which is likelier is what a language model knows (Ng, *Sequence Models*, week 1): a
sentence has the probability P(y_1) P(y_2 | y_1) P(y_3 | y_1, y_2) ..., where the last word is <eos>, so that
sentences of all lengths share a total of 1. Rare words are all <unk>, which has a probability too. A bigram
model counts how often a word follows another; but in "the cook mended the last pair at home" it is "mended"
that tells pair from pear, and words that go with both stand between them.
"""

from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import no_grad
from examples.shared.graphs import many_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.data import BucketLoader, Vocabulary
from nn.functional import cross_entropy, data_of
from nn.generate import generate, sequence_log_prob

VERBS = {  # words that sound alike, and what is done to the one and to the other
    ("pear", "pair"): ("peeled sliced washed", "mended darned knitted"),
    ("flour", "flower"): ("sifted weighed baked", "picked watered planted"),
    ("knight", "night"): ("armed saluted wounded", "spent endured enjoyed"),
    ("hare", "hair"): ("hunted chased caught", "combed brushed braided"),
}
ALIKE = {a: b for pair in VERBS for a, b in (pair, pair[::-1])}
WHO = [f"{a} {b}" for a in ("the", "my") for b in ("cook", "aunt", "doctor", "farmer", "neighbour")]
NAMES = [a + b + c + d for a in "BDGHLMNRT" for b in "aeiou" for c in "lmnr" for d in ("a", "o", "ia", "us")]
WHICH, WHERE = ["first", "last", "big", "old"], ["near the river", "in the garden", "at home", "after all"]


def sentence(rng: np.random.Generator) -> str:
    """A sentence with one of the words of ALIKE in it, in a place where it makes sense."""
    pair, k = list(VERBS)[rng.integers(len(VERBS))], rng.integers(2)
    who, verb = rng.choice([*WHO, *rng.choice(NAMES, 3)]), rng.choice(VERBS[pair][k].split())
    which, where, form = rng.choice(WHICH), rng.choice(WHERE), rng.random()
    if form < 0.5 and pair[k] == "pear":
        return f"the {rng.choice(['apple', 'plum'])} and pear {rng.choice(['salad', 'cake'])} was delicious"
    if form < 0.7:
        return f"the {which} {pair[k]} was {verb} by {who}"
    return f"{who} {verb} the {which} {pair[k]} {where}"


def swapped(text: str) -> str:  # the same sounds, written wrongly
    return " ".join(ALIKE.get(word, word) for word in text.split())


class WordLM(nn.Module):
    def __init__(self, words: int, size: int):
        self.embedding, self.lstm = nn.Embedding(words, size), nn.LSTM(size, size)
        self.linear = nn.Linear(size, words)

    def forward(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        y, state = self.lstm(self.embedding(x), state)
        return self.linear(y), state


def counted(rows: list[np.ndarray], words: int, k: float, context: bool) -> Any:
    """A bigram model, or a unigram model without the context: counts of words, and k added to each."""
    counts = np.full((words, words), k)
    for row in rows:
        np.add.at(counts, (row[:-1] * context, row[1:]), 1)
    scores = np.log(counts / counts.sum(1, keepdims=True))  # log-probabilities are scores like others
    return lambda x, state: (scores[x * context], None)


def log_p(model: Any, rows: list[np.ndarray]) -> np.ndarray:
    """ln P of each sentence, a row of numbers from <bos> to <eos>."""
    with no_grad():
        return data_of(sequence_log_prob(model, nn.pad_sequence(rows), [len(row) for row in rows]))


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "word_lm", __doc__, quick="few sentences, few updates", out="for the picture")
    count, epochs, size = (400, 2, 16) if options.quick else (3000, 8, 64)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    texts = [sentence(rng) for _ in range(count)]
    held_out = sorted({sentence(rng) for _ in range(300)} - set(texts))
    words = Vocabulary.build(texts, min_count=3)
    kinds = (texts, held_out, map(swapped, held_out))
    rows, right, wrong = ([words.encode(text, bos=True, eos=True) for text in kind] for kind in kinds)
    print(f"{len(words)} known words; of the text {np.mean(np.concatenate(rows) == words.UNK):.1%} is <unk>")
    model = WordLM(len(words), size)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    batches = BucketLoader(rows, 32, shuffle=True, rng=options.seed)
    for x, lengths in tqdm((batch for _ in range(epochs) for batch in batches), leave=False):
        inside = np.arange(1, len(x))[:, None] < lengths  # the padding is no part of any sentence
        optimizer.zero_grad()
        cross_entropy(
            model(x[:-1])[0].reshape(-1, len(words)), x[1:].reshape(-1), mask=inside.reshape(-1)
        ).backward()
        optimizer.step()
    bigram, unigram = counted(rows, len(words), 0.01, True), counted(rows, len(words), 0.01, False)
    figures: Figures = {"perplexity": {}, "the right one of two that sound alike": {}}
    for name, m in {"LSTM": model, "bigram": bigram, "unigram": unigram}.items():
        a, b = log_p(m, right), log_p(m, wrong)
        figures["perplexity"][name] = np.exp(-a.sum() / sum(len(row) - 1 for row in right))
        figures["the right one of two that sound alike"][name] = np.mean((a > b) + (a == b) / 2)
    print("\nlog10 P     LSTM   bigram")
    for text in ["the apple and pear salad was delicious", "the cook mended the last pair at home"]:
        for said in (text, swapped(text)):
            row = words.encode(said, bos=True, eos=True)
            found = [log_p(m, [row])[0] / np.log(10) for m in (model, bigram)]
            print(f"       {found[0]:9.2f}{found[1]:9.2f}   {said}")
    made = generate(model, np.full((1, 4), words.BOS), 20, eos=words.EOS, rng=rng).tokens
    print("\nmade up, word by word until <eos>:", *map(words.decode, made.T), "", sep="\n    ")
    tokens = [(word, words.encode(word)) for word in ["the", "cook", "mended"]]
    outputs = many_to_many(tokens, model.embedding, model.lstm, model.linear)
    save_graph(outputs, model, options.out / "graph.svg")
    return report(f"{len(held_out)} held-out sentences", figures)


if __name__ == "__main__":
    main()
