"""What is measured: the cases by name, and the numbers that go in, the same for every candidate.

Everything is float32 and named as in PyTorch: weight_ih (G*H, I), weight_hh (G*H, H), bias_ih and bias_hh
(G*H) with gates i,f,g,o (LSTM) and r,z,n (GRU). NumPy only, as this file is imported in every worker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

SIZES = {  # T, B, I, H
    "S1": (35, 20, 64, 64),
    "S2": (100, 32, 128, 128),
    "S3": (100, 32, 256, 256),
    "S4": (50, 64, 512, 512),
    "S5": (200, 1, 64, 64),
}
IMAGES = {  # batch, channels in, height and width, kernel; twice as many channels out
    "large-k3": (8, 64, 40, 3),
    "large-k5": (8, 64, 40, 5),
    "medium-k3": (4, 16, 32, 3),
    "medium-k5": (4, 16, 32, 5),
    "tiny-k3": (1, 8, 16, 3),
    "tiny-k5": (1, 8, 16, 5),
}
VIDEO = (10, 4, 16, 32)  # T, B, channels in; 2 C hidden channels; height and width, kernel 3
QUICK = (6, 3, 5, 4)
GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
CHARACTERS = 96


@dataclass(frozen=True)
class Case:
    """One thing to do, once per call, by every candidate.

    ``kind`` says what: "backward" (forward and all parameter gradients), "second" (the backward pass
    alone), "inference", "chain" (T scalar operations and back), "training" (a whole training step of a
    character model), "sums" (that of the model of docs/training.md), "conv" (conv2d with same padding, and
    both gradients), "convlstm" (ConvLSTM2d, forward and all parameter gradients) or "memory" (the peak of a
    "backward" instead of its time).
    """

    name: str
    kind: str
    size: tuple[int, int, int, int]
    candidates: tuple[str, ...]
    cell: str = "LSTM"

    @property
    def group(self) -> str:
        """What the case is listed under: the name up to its size."""
        return self.name.partition("-")[0]

    @property
    def label(self) -> str:
        return self.name.partition("-")[2]


@dataclass
class Task:
    """A case as one candidate does it.

    Attributes:
        run: what is timed; gets the result of ``before``, if there is one.
        results: what this candidate computes, to be compared with ours: gradients, outputs, a loss.
        before: done before every run, and not timed.
        calls: runs per timing, for what is too short to time once.
    """

    run: Callable[..., Any]
    results: Callable[[], Arrays]
    before: Callable[[], Any] | None = None
    calls: int = 1


TORCH = ("torch-fused", "torch-cell", "torch-ops")
SMALL = ("dezero", "hips", "mygrad")


def _cases() -> list[Case]:
    cases = []
    for cell in GATES:
        others = SMALL if cell == "LSTM" else ()
        for label, size in SIZES.items():
            names = ("ours", "ours-capture", "ours-table", "floor", *TORCH, "jax", *others)
            cases.append(Case(f"{cell.lower()}-{label}", "backward", size, names, cell))
    for label in ("S1", "S3", "S5"):
        names = ("ours", "ours-capture", "ours-table", "floor", *TORCH, "jax", *SMALL)
        cases.append(Case(f"inference-{label}", "inference", SIZES[label], names))
    for length in (1, 100):
        cases.append(Case(f"chain-{length}", "chain", (length, 1, 1, 1), ("ours", "torch-ops", *SMALL)))
    names = ("ours", "ours-capture", "ours-table", "floor", "torch-fused", "torch-cell", "jax")
    cases.append(Case("training-charlm", "training", (64, 32, 128, 256), names))
    names = ("ours", "ours-capture", "ours-table", "torch-fused", "torch-cell")
    cases.append(Case("training-sums", "sums", (8, 16, 1, 32), names))
    names = ("ours", "ours-capture", "ours-table", "floor", *TORCH, "jax", *SMALL)
    cases.append(Case("memory-T1000", "memory", (1000, 32, 256, 256), names))
    for T in (200, 2_000, 20_000, 100_000):
        names = ("ours", "ours-pause-gc", "floor", "torch-fused", "torch-cell")
        cases.append(Case(f"length-{T}", "backward", (T, 1, 64, 64), names))
    names = ("ours", "ours-create-graph", "torch-cell", "torch-cell-create-graph", "torch-ops",
             "torch-ops-create-graph")  # fmt: skip
    cases.append(Case("second-S5", "second", SIZES["S5"], names))
    names = ("ours", "ours-capture", "ours-table", "torch-ops")
    cases += [Case(f"conv2d-{label}", "conv", size, names) for label, size in IMAGES.items()]
    cases.append(Case("convlstm-k3", "convlstm", VIDEO, names))
    return cases


CASES = {case.name: case for case in _cases()}


def select(patterns: Sequence[str], quick: bool = False) -> list[Case]:
    """The cases that patterns name: "lstm-S1", a group as "lstm", or with wildcards "*-S1".

    Raises:
        ValueError: a pattern names none.
    """
    for pattern in patterns:
        if not any(_named(case, pattern) for case in CASES.values()):
            raise ValueError(f"no case is called {pattern!r}: choose from {', '.join(CASES)}")
    chosen = [case for case in CASES.values() if not patterns or any(_named(case, p) for p in patterns)]
    return [replace(case, size=tuple(map(min, case.size, QUICK))) for case in chosen] if quick else chosen


def _named(case: Case, pattern: str) -> bool:
    return pattern == case.group or fnmatch(case.name, pattern)


def arrays(case: Case) -> Arrays:
    """The inputs of a case: x, gy (the gradient of the output), and the parameters by name."""
    rng = np.random.default_rng(1)
    T, B, I, H = case.size  # noqa: E741

    def uniform(*shape: int) -> np.ndarray:
        return (rng.random(shape, np.float32) * 2 - 1) * np.float32(H**-0.5)

    def normal(*shape: int) -> np.ndarray:
        return (rng.random((4, *shape), np.float32) - 0.5).sum(0, dtype=np.float32) * np.float32(3**0.5)

    if case.kind == "chain":
        return {"a": np.full((), 0.999, np.float32), "b": np.ones((), np.float32)}
    if case.kind == "conv":
        B, C, S, k = case.size
        return {"x": normal(B, C, S, S), "weight": uniform(2 * C, C, k, k), "gy": normal(B, 2 * C, S, S)}
    if case.kind == "convlstm":
        T, B, C, S = case.size
        n, H = 8 * C, 2 * C
        return {
            "weight_ih": uniform(n, C, 3, 3),
            "weight_hh": uniform(n, H, 3, 3),
            "bias_ih": uniform(n),
            "bias_hh": uniform(n),
            "x": normal(T, B, C, S, S),
            "gy": normal(T, B, H, S, S),
        }
    n = GATES[case.cell] * H
    result = {
        "weight_ih": uniform(n, I),
        "weight_hh": uniform(n, H),
        "bias_ih": uniform(n),
        "bias_hh": uniform(n),
    }
    if case.kind == "training":
        result |= {
            "embedding": normal(CHARACTERS, I),
            "weight": uniform(CHARACTERS, H),
            "bias": uniform(CHARACTERS),
            "text": rng.integers(0, CHARACTERS, (T + 1, B)),
        }
    elif case.kind == "sums":
        x = normal(T, B, I)
        result |= {"weight": uniform(1, H), "bias": uniform(1), "x": x, "y": x.sum((0, 2))[:, None]}
    else:
        result |= {"x": normal(T, B, I), "gy": normal(T, B, H)}
    return result


PARAMETERS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
TRAINING = {"lr": 2e-3, "clip": 0.25}  # so small that it clips in every step
