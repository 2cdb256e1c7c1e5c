"""Labels of a path, and errors counted in labels."""

from typing import Any

BLANK = 0  # labels count from 1


def collapse(path: Any) -> list[int]:
    """Repetitions are one, and blanks are none: [0, 3, 3, 0, 3, 1] -> [3, 3, 1]."""
    return [int(k) for k, before in zip(path, [BLANK, *path], strict=False) if k not in (before, BLANK)]


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
