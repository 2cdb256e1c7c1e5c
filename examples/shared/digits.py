"""Handwritten digits (scikit-learn's, 8x8 pixels), and sentences about what is to be seen in them."""

from typing import Any

import numpy as np


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
