"""Vowels out of a sound, without being told when each was said: connectionist temporal classification.

    python -m examples.tones            # three quarters of a minute
    python -m examples.tones --quick    # two seconds, with little to show

A vowel is known by two frequencies (Peterson & Barney 1952). Here vowels are chords of random length, some
with a pause in front, in noise, and a speaker's frequencies are all higher or lower by a factor. The network
gets spectra, and the vowels in their order. When each was said it has to find out: the CTC loss (Graves et
al. 2006) adds up the probabilities of all alignments, with a blank for "nothing new". The baseline is told
the alignment: it looks for the nearest mean spectrum, vowel or silence, and drops runs that are too short.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import log_softmax, no_grad, stepwise
from examples.shared.ctc import BLANK, collapse, error_rate
from examples.shared.figures import save
from examples.shared.graphs import save_graph
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from examples.shared.sounds import FRAME, HOP, RATE, VOWELS, speak
from nn.functional import ctc_loss


class Listener(nn.Module):
    """Spectra (T, B, 65) -> log-probabilities of blank and vowels (P, B, 7), about half as many steps."""

    def __init__(self, hidden: int):
        self.gru = nn.ConvFront(nn.GRU(hidden, hidden, bidirectional=True), FRAME // 2 + 1, hidden, 4, 2)
        self.readout = nn.Linear(2 * hidden, len(VOWELS) + 1)

    def forward(self, x: Any, lengths: Any) -> tuple[Any, np.ndarray]:
        return log_softmax(self.readout(self.gru(x, None, lengths)[0]), -1), self.gru.steps(lengths)


def train(model: Listener, known: list[Any], updates: int, rng: np.random.Generator) -> None:
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for k in tqdm(range(updates), "listener", leave=False):
        spectra, labels, _ = zip(*[known[i] for i in rng.integers(len(known), size=16)], strict=True)
        log_p, steps = model(nn.pad_sequence(spectra), np.array([*map(len, spectra)]))
        optimizer.zero_grad()
        ctc_loss(log_p, np.concatenate(labels), steps, [*map(len, labels)], BLANK).backward()
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.param_groups[0]["lr"] = 5e-3 * (1 - k / updates)
        optimizer.step()


def listen(model: Listener, spectra: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Log-probabilities (P, 7) of blank and vowels for each of many sounds."""
    with no_grad():
        log_p, steps = model(nn.pad_sequence(spectra), np.array([*map(len, spectra)]))
    return [log_p.data[: steps[b], b] for b in range(len(spectra))]


def nearest(spectra: np.ndarray, means: np.ndarray, shortest: int) -> list[int]:
    """The baseline: the nearest of the mean spectra for each, runs of fewer than ``shortest`` dropped."""
    path = ((spectra[:, None] - means) ** 2).sum(-1).argmin(-1)
    runs = np.split(path, np.flatnonzero(np.diff(path)) + 1)
    return collapse(np.concatenate([run for run in runs if len(run) >= shortest] or [[]]))


def draw(spectra: np.ndarray, labels: list[int], log_p: np.ndarray) -> Any:
    """What is heard, and below it the probability of each vowel at each step."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.6), layout="constrained")
    top, below = figure.subplots(2, 1, sharex=True, height_ratios=(1.2, 1))
    extent = HOP / 2 / RATE, (len(spectra) + 0.5) * HOP / RATE, 0, RATE / 2000
    top.imshow(spectra.T, "magma", aspect="auto", interpolation="none", origin="lower", extent=extent)
    top.set(ylabel="kHz", title=f"said: {' '.join(VOWELS[k - 1] for k in labels)}")
    lines = below.plot((2 * np.arange(len(log_p)) + 2.5) * HOP / RATE, np.exp(log_p))
    lines[BLANK].set(color="0.7", linestyle=":")
    below.set(xlabel="seconds", ylabel="probability", ylim=(0, 1.05))
    figure.legend(lines, ["blank", *VOWELS], loc="outside right lower", frameon=False)
    return figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(
        argv, "tones", __doc__, out="folder for the picture", quick="few updates of a small model"
    )
    hidden, updates, count = (16, 10, 15) if given.quick else (48, 800, 200)
    nn.manual_seed(given.seed)
    rng = np.random.default_rng(given.seed)
    known, unseen = [speak(rng) for _ in range(5 * count)], [speak(rng) for _ in range(count)]
    model = Listener(hidden)
    train(model, known, updates, rng)
    spectra, truth, heard = zip(*known, strict=True)
    x, at = np.concatenate(spectra), np.concatenate(heard)  # what the baseline is told
    means = np.stack([x[at == k].mean(0) for k in range(len(VOWELS) + 1)])
    tried = {n: error_rate([nearest(s, means, n) for s in spectra], truth) for n in range(1, 7)}
    n, (spectra, truth, _) = min(tried, key=lambda n: tried[n]), zip(*unseen, strict=True)
    rows = listen(model, spectra)
    k = max(range(count), key=lambda k: len(truth[k]))  # the longest
    save(draw(spectra[k], truth[k], rows[k]), given.out / "tones.svg")
    with stepwise():
        said, _ = model(spectra[k][:12, None], np.array([12]))
    save_graph({"log P of vowels": said}, model, given.out / "graph.svg", view="folded")
    heard = {
        "likeliest path": [nn.ctc_decode(row)[0].tokens for row in rows],
        "beam search": [nn.ctc_decode(row, None, "beam_search", 8)[0].tokens for row in rows],
        "nearest mean spectrum": [nearest(s, means, n) for s in spectra],
    }
    errors = {name: error_rate(found, truth) for name, found in heard.items()}
    return report(f"{count} sounds not heard before", {"edits per vowel": errors})


if __name__ == "__main__":
    main()
