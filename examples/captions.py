"""Show and tell: a sentence about a picture of a digit, with facts that are in the pixels.

    python -m examples.captions            # half a minute
    python -m examples.captions --quick    # two seconds, with little to show

One to many. A convolutional network looks at the picture once; what it has seen is the first state of a GRU
that writes until it writes <eos> (as Vinyals et al. 2015, "Show and Tell"). The pictures are scans of
handwritten digits (scikit-learn's, 8x8 pixels). People said which digit it is; the rest of a caption is
computed: thin or bold by the amount of ink, leaning by second moments, both among digits of its kind, and
holes that the paper around does not reach. Only what is remarkable is said, so lengths differ. And "an" comes
before "eight", but not before "thin eight": to write the first word is to know how to go on.
"""

from textwrap import fill
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from examples.shared.digits import DIGITS, captions, labelled_digits
from examples.shared.figures import save
from examples.shared.graphs import one_to_many, save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.data import Vocabulary
from nn.functional import cross_entropy
from nn.generate import greedy


class Captioner(nn.Module):
    def __init__(self, words: int, hidden: int):
        see = nn.Conv2d(1, hidden // 4, 3, padding="same"), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()
        self.see = nn.Sequential(*see, nn.Linear(4 * hidden, hidden), nn.Tanh())
        self.embedding, self.gru = nn.Embedding(words, 16), nn.GRU(16, hidden)
        self.readout = nn.Linear(hidden, words)

    def look(self, images: np.ndarray) -> Any:
        """Images (B, 8, 8) -> the first state of the GRU, (1, B, H)."""
        return self.see(images[:, None])[None]

    def forward(self, words: Any, state: Any) -> tuple[Any, Any]:
        """Words (T, B) -> scores (T, B, V) for the word after each: what `nn.generate` asks for."""
        y, state = self.gru(self.embedding(words), state)
        return self.readout(y), state


def score(written: list[str], truth: list[str]) -> dict[str, float]:
    """How often all of it is right, the digit, the ink, the holes, the lean."""
    groups = {"digit": DIGITS, "ink": ["thin", "bold"], "holes": ["hole", "holes"], "lean": ["left", "right"]}
    pairs = [({*w.split()}, {*t.split()}) for w, t in zip(written, truth, strict=True)]
    right = {"all": np.equal(written, truth)}
    right |= {name: [w & {*g} == t & {*g} for w, t in pairs] for name, g in groups.items()}
    return {name: float(np.mean(found)) for name, found in right.items()}


def draw(images: np.ndarray, written: list[str], truth: list[str]) -> Any:
    """Digits and what was written about them; below a mistake, in red, what is true."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.8), layout="constrained")
    for axes, image, says, true in zip(figure.subplots(2, 5).flat, images, written, truth, strict=False):
        axes.imshow(image, cmap="gray_r")
        text = fill(says, 30) + ("" if says == true else f"\n(true: {fill(true, 24)})")
        axes.set_title(text, y=-0.06, va="top", fontsize=10, color="k" if says == true else "tab:red")
        axes.set(xticks=[], yticks=[])
    return figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(
        argv, "captions", __doc__, out="folder for the picture", quick="few updates of a small model"
    )
    hidden, updates = (32, 25) if given.quick else (96, 2500)

    nn.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    images, digits, unseen, which = labelled_digits()
    told, usual = captions(images, digits)
    truth, _ = captions(unseen, which, usual)
    vocabulary = Vocabulary.build(told)
    words = nn.pad_sequence([vocabulary.encode(t, bos=True, eos=True) for t in told])  # <pad> is 0
    model = Captioner(len(vocabulary), hidden)
    optimizer = optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1)
    for k in tqdm(range(updates), leave=False):
        some = rng.integers(len(images), size=64)
        noisy = images[some] + 0.1 * rng.standard_normal((64, 8, 8), "f")
        scores, _ = model(words[:-1, some], model.look(noisy))  # fed with the true words, not with its own
        optimizer.zero_grad()
        y = words[1:, some].reshape(-1)
        cross_entropy(scores.reshape(len(y), -1), y, vocabulary.PAD).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 3e-3 * (1 - k / updates)
        optimizer.step()

    start = np.full((1, len(unseen)), vocabulary.BOS)
    written = greedy(model, start, words.shape[0], eos=vocabulary.EOS, state=model.look(unseen)).tokens.T
    near = ((unseen[:, None] - images) ** 2).sum((2, 3)).argmin(1)
    rows = {
        "written": [vocabulary.decode(row) for row in written],
        "caption of the nearest picture": [told[k] for k in near],
        "the most frequent caption": [max(told, key=told.count)] * len(unseen),
    }
    some = [int(np.argmax(which == d)) for d in range(10)]
    figure = draw(unseen[some], [rows["written"][k] for k in some], [truth[k] for k in some])
    save(figure, given.out / "captions.svg")
    state, word = model.look(unseen[:1])[0], vocabulary.tokens.__getitem__
    outputs = one_to_many([("<bos>", start[:, 0])], model.embedding, model.gru, model.readout, word, state)
    save_graph(outputs, model, given.out / "graph.svg", hide=["mover", "parameter"])
    scores = {name: score(sentences, truth) for name, sentences in rows.items()}
    figures = {part: {name: scores[name][part] for name in rows} for part in scores["written"]}
    return report("right, of 300 held-out pictures", figures)


if __name__ == "__main__":
    main()
