"""What the examples of seeing and hearing share: digits, sentences about them, reading CTC, pictures."""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

# --- handwritten digits ---------------------------------------------------------------------------


def labelled_digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images (N, 8, 8) from 0 to 1 and digits (N): 1,497 to train with, then 300 others to test with."""
    from sklearn.datasets import load_digits

    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))
    images, digits = (data.images[order] / 16).astype(np.float32), data.target[order]
    return images[300:], digits[300:], images[:300], digits[:300]


DIGITS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
HOLES = ["", " with a hole", " with two holes"]


def holes(image: np.ndarray) -> int:
    """How many pieces of paper the ink cuts off from the outside; a corner is enough to get through."""
    from scipy.ndimage import label  # scikit-learn comes with it

    return int(label(np.pad(image < 0.3, 1, constant_values=True), np.ones((3, 3)))[1]) - 1


def lean(image: np.ndarray) -> float:
    """How far the ink goes to the right for every pixel up: -cov(row, column) / var(row)."""
    row, column = np.indices(image.shape)
    covariance = np.cov(row.ravel(), column.ravel(), aweights=image.ravel())
    return float(-covariance[0, 1] / covariance[0, 0])


def captions(images: np.ndarray, digits: np.ndarray, usual: Any = None) -> tuple[list[str], Any]:
    """A sentence for every image, and what is usual for a kind: quartiles (2, 10, 2) of ink and lean."""
    ink, slope = facts = np.array([[image.sum(), lean(image)] for image in images]).T
    if usual is None:  # so it is among the images given
        usual = [[np.quantile(f[digits == d], (0.25, 0.75)) for d in range(10)] for f in facts]
    sentences = []
    for k, d in enumerate(digits):
        (light, heavy), (left, right) = usual[0][d], usual[1][d]
        weight = "thin " if ink[k] < light else "bold " if ink[k] > heavy else ""
        side = " leaning left" if slope[k] < left else " leaning right" if slope[k] > right else ""
        rest = f"{weight}{DIGITS[d]}{HOLES[min(holes(images[k]), 2)]}{side}"
        sentences.append(("an " if rest[0] == "e" else "a ") + rest)
    return sentences, usual


# --- what a network trained with CTC says ---------------------------------------------------------

BLANK = 0  # labels count from 1


def collapse(path: Any) -> list[int]:
    """Repetitions are one, and blanks are none: [0, 3, 3, 0, 3, 1] -> [3, 3, 1]."""
    return [int(k) for k, before in zip(path, [BLANK, *path], strict=False) if k not in (before, BLANK)]


def beam_search(log_p: np.ndarray, width: int) -> list[int]:
    """The likeliest labels, from log-probabilities (T, C): paths with the same labels are added up."""
    beams = {(): (0.0, -np.inf)}  # of a beginning: log p of its paths that end in a blank, and in a label
    for row in log_p.astype(float):
        new: Any = defaultdict(lambda: [-np.inf, -np.inf])
        for labels, (blank, label) in beams.items():
            both, last = np.logaddexp(blank, label), labels[-1] if labels else BLANK
            new[labels][0] = np.logaddexp(new[labels][0], both + row[BLANK])
            for k in range(1, len(row)):
                if k == last:  # once more is the same label, unless a blank is between
                    new[labels][1] = np.logaddexp(new[labels][1], label + row[k])
                longer = new[*labels, k]
                longer[1] = np.logaddexp(longer[1], (blank if k == last else both) + row[k])
        beams = dict(sorted(new.items(), key=lambda beam: -np.logaddexp(*beam[1]))[:width])
    return list(next(iter(beams)))


def edits(a: list[int], b: list[int]) -> int:
    """How many labels to insert, drop or replace to make b of a (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        old, row = row, [i]
        for j, y in enumerate(b, 1):
            row.append(min(old[j] + 1, row[-1] + 1, old[j - 1] + (x != y)))
    return row[-1]


def error_rate(found: Any, truth: Any) -> float:
    """Edits per label, over many sequences of labels."""
    return sum(map(edits, found, truth)) / sum(map(len, truth))


# --- pictures -------------------------------------------------------------------------------------


def save(figure: Any, path: Path) -> None:
    """Write a picture, its text as text, into a folder that need not exist."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, dpi=90)
    print(f"wrote {path}")
