"""Characters or words? Two language models of one size read the same sentences, one in letters, one in words.

    python -m examples.chars_or_words            # half a minute, and pictures in runs/chars_or_words/
    python -m examples.chars_or_words --quick    # two seconds, with little to show

A model over characters needs no <unk>: it spells names that it never saw, with a vocabulary of a few letters.
But its sequences are longer: an epoch costs more, and what belongs together is farther apart (Ng, *Sequence
Models*, week 1). All of that is measured on the sentences of examples/word_lm.py, where a verb tells "pear"
from "pair", with up to six more words between the two. Both models pay for every character: where one has
only <unk>, the frequencies of letters spell the name.
"""

import time
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from examples.shared.figures import save
from examples.shared.graphs import many_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from examples.shared.text import ngram_bits
from examples.word_lm import ALIKE, NAMES, WHICH, WordLM, log_p, sentence, swapped
from nn.data import BucketLoader, Vocabulary
from nn.functional import cross_entropy

UNSEEN = set(NAMES[::4])  # names that only the test has
FARTHER = [0, 2, 4, 6]  # words put between a verb and what it decides; training has up to two


def farther(text: str, more: int, rng: np.random.Generator) -> str:
    """The sentence with more words before the one that sounds like another."""
    words = text.split()
    (at,) = [k for k, word in enumerate(words) if word in ALIKE]
    return " ".join([*words[:at], *rng.choice(WHICH, more), *words[at:]])


def sentences(count: int, unseen: bool, words: list[int], rng: Any, but: Any = ()) -> list[str]:
    """Different sentences but those, each with a name that is not in training, or none of them."""
    found: dict[str, None] = {}
    while len(found) < count:
        text = sentence(rng)
        if bool(UNSEEN & set(text.split())) == unseen and " and " not in text:  # a verb has to decide
            text = farther(text, int(rng.choice(words)), rng)
            found |= {} if text in but else {text: None}
    return list(found)


def train(model: WordLM, rows: list[np.ndarray], epochs: int, name: str, seed: int) -> float:
    """Learn the sentences; returns the seconds that one epoch took."""
    optimizer, start = optim.Adam(model.parameters(), lr=3e-3), time.perf_counter()
    batches = BucketLoader(rows, 32, shuffle=True, rng=seed)
    for x, lengths in tqdm((batch for _ in range(epochs) for batch in batches), name, leave=False):
        inside = np.arange(1, len(x))[:, None] < lengths
        scores, y = model(x[:-1])[0], x[1:].reshape(-1)
        optimizer.zero_grad()
        cross_entropy(scores.reshape(len(y), -1), y, mask=inside.reshape(-1)).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return (time.perf_counter() - start) / epochs


def spelling(texts: list[str], test: list[str], words: Vocabulary) -> float:
    """Bits for the letters of unknown words, each as frequent as in the texts, with one to end the word."""
    letters, counts = np.unique(list(" ".join(texts)), return_counts=True)
    bits = dict(zip(letters, -np.log2(counts / counts.sum()), strict=True))
    unknown = [word for text in test for word in text.split() if words.encode(word)[0] == words.UNK]
    return sum(bits.get(c, np.log2(len(" ".join(texts)))) for word in unknown for c in f"{word} ")


def draw(right: dict[str, list[float]]) -> Any:
    from matplotlib.figure import Figure

    axes = Figure(figsize=(6, 3.4), layout="constrained").subplots()
    for name, shares in right.items():
        axes.plot(FARTHER, shares, "o-", label=name)
    axes.axhline(0.5, color="black", linestyle=":", label="guessing")
    axes.axvspan(-0.2, 2.2, color="0.92", label="in training")
    axes.set(xlabel="more words in between", ylabel="right of two alike", xticks=FARTHER, ylim=(0.4, 1.03))
    axes.legend()
    return axes.figure


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "chars_or_words", __doc__, quick="few sentences", out="for the pictures")
    count, epochs, tests = (150, 2, 20) if options.quick else (3000, 8, 300)
    nn.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    texts = sentences(count, False, [0, 1, 2], rng)
    known = sentences(tests, False, [0, 1, 2], rng, but=set(texts))
    names = sentences(tests, True, [0, 1, 2], rng)
    far = [sentences(tests, False, [k], rng, but=set(texts)) for k in FARTHER]
    kinds = {"words": Vocabulary.build(texts), "characters": Vocabulary.build(texts, "character")}
    columns = ["vocabulary", "parameters", "steps", "bits/char", "new names"]
    figures: Figures = {what: {} for what in columns + [f"pear/pair +{k}" for k in FARTHER]}
    seconds = {}
    for (name, tokens), size in zip(kinds.items(), (64, 99), strict=True):

        def rows(texts: list[str], tokens: Any = tokens) -> list[np.ndarray]:
            return [tokens.encode(text, bos=True, eos=True) for text in texts]

        model = WordLM(len(tokens), size)
        seconds[name] = train(model, rows(texts), epochs, name, options.seed)
        steps = np.mean([len(row) - 1 for row in rows(known)])
        found = [len(tokens), sum(p.size for p in model.parameters()), steps]
        for test in (known, names):
            extra = spelling(texts, test, tokens) if name == "words" else 0.0
            found.append((extra - log_p(model, rows(test)).sum() / np.log(2)) / sum(len(t) + 1 for t in test))
        for test in far:
            found.append(np.mean(log_p(model, rows(test)) > log_p(model, rows([*map(swapped, test)]))))
        for column, value in zip(figures.values(), found, strict=True):
            column[name] = float(value)
    encode = kinds["characters"].encode
    stream, *held = (np.concatenate([encode(f"{text}\n") for text in some]) for some in (texts, known, names))
    for what, test in zip(columns[3:], held, strict=True):
        figures[what]["trigram of characters"] = ngram_bits(3, stream, test, len(kinds["characters"]))
    print("seconds per epoch:", ", ".join(f"{s:.1f} in {name}" for name, s in seconds.items()))
    right = {name: [figures[f"pear/pair +{k}"][name] for k in FARTHER] for name in kinds}
    save(draw(right), options.out / "chars_or_words.svg")
    outputs = many_to_many([(c, encode(c)) for c in "the"], model.embedding, model.lstm, model.linear)
    save_graph(outputs, model, options.out / "graph.svg")
    return report("words or characters", figures)


if __name__ == "__main__":
    main()
