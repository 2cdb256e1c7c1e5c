"""Reading what a network trained with CTC says, and counting its errors."""

from collections import defaultdict
from typing import Any

import numpy as np

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
