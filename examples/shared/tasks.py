"""Synthetic tasks for the study of memory in recurrent networks; every example draws its batches here.

Each function takes sizes and a NumPy Generator and returns arrays for one batch, time-major, inputs float32
and class numbers int64. T is the number of steps, B the batch size. Nothing here knows of models.
"""

import numpy as np

Rng = np.random.Generator


def adding(T: int, B: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """The adding problem (Hochreiter & Schmidhuber 1997): add the two marked of T random numbers.

    Returns x (T, B, 2), a number from [0, 1) and a mark at each step, one mark in either half; and y (B, 1),
    the sum of the two marked numbers. Always answering 1 has a mean squared error of 1/6.
    """
    _need(T >= 2, f"adding needs at least 2 steps, got {T}")
    x = np.zeros((T, B, 2), np.float32)
    x[:, :, 0] = rng.random((T, B), np.float32)
    rows, first, second = np.arange(B), rng.integers(0, T // 2, B), rng.integers(T // 2, T, B)
    x[first, rows, 1] = x[second, rows, 1] = 1
    return x, (x[first, rows, 0] + x[second, rows, 0])[:, None]


def copy(T: int, B: int, rng: Rng, symbols: int = 8, length: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """The copy task: remember ``length`` symbols over T blank steps, and repeat them when told to.

    Returns numbers x and y (T + 2·length, B) below symbols + 2. x: the symbols 1..symbols, T - 1 blanks (0),
    the signal to start (symbols + 1), ``length`` blanks. y: T + length blanks, then the symbols. Guessing
    without memory has a mean cross-entropy of length · ln(symbols) / (T + 2·length) nats.
    """
    _need(
        T >= 1 and symbols >= 1 and length >= 1, f"copy needs sizes of at least 1, got {T, symbols, length}"
    )
    what = rng.integers(1, symbols + 1, (length, B))
    x, y = np.zeros((T + 2 * length, B), np.int64), np.zeros((T + 2 * length, B), np.int64)
    x[:length], y[-length:] = what, what
    x[T + length - 1] = symbols + 1
    return x, y


def parity(T: int, B: int, rng: Rng) -> tuple[np.ndarray, np.ndarray]:
    """Is the number of ones so far odd?

    Returns bits x (T, B, 1), and y (T, B), 0 or 1, the parity of x[: t + 1]. Every bit counts, however old.
    """
    bits = rng.integers(0, 2, (T, B))
    return bits[:, :, None].astype(np.float32), np.cumsum(bits, 0) % 2


def agreement(T: int, B: int, rng: Rng, words: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """Number agreement: a subject, T - 1 distracting words, and then which form of the verb?

    "The keys to the cabinet ... are": returns words x (T, B) below words + 2, where the first is the
    subject, singular (0) or plural (1), and the others are from 2 to words + 1; and y (B), the number of the
    subject. The gap between the two is T steps.
    """
    _need(T >= 1 and words >= 1, f"agreement needs sizes of at least 1, got {T, words}")
    x = rng.integers(2, words + 2, (T, B))
    x[0] = rng.integers(0, 2, B)
    return x, x[0].copy()


def sine(T: int, B: int, rng: Rng, noise: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """The next value of a sine wave of unknown phase and frequency.

    Returns x and y (T, B, 1), y one step ahead of x. Each column has its own phase and a period from 10 to
    40 steps; x, not y, has normal noise of the given standard deviation.
    """
    phase, period = rng.uniform(0, 2 * np.pi, B), rng.uniform(10, 40, B)
    wave = np.sin(phase + 2 * np.pi * np.arange(T + 1)[:, None] / period)[:, :, None]
    x = wave[:-1] + noise * rng.normal(size=(T, B, 1))
    return x.astype(np.float32), wave[1:].astype(np.float32)


def _need(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)
