"""The source of randomness: one NumPy Generator that everything uses unless it is given another."""

from typing import Any

import numpy as np

from autograd.extend import as_array, by_protocol

_default = np.random.default_rng(0)


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator anew; equal seeds give equal initial weights, masks and samples."""
    _default.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _default


def default_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """``rng`` itself, or the default generator when it is None."""
    return _default if rng is None else rng


def uniform(shape: tuple[int, ...], x: Any, rng: np.random.Generator | None = None) -> Any:
    """Numbers from 0 to 1 for a computation with x, in float32: what is captured draws them at every call."""
    return _uniform(as_array(x), shape, default_rng(rng))


@by_protocol
def _uniform(x: Any, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.random(shape, dtype=np.float32)


def get_rng_state() -> dict[str, Any]:
    """The state of the default generator: numbers and strings, ready for a checkpoint."""
    return dict(_default.bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the default generator where `get_rng_state` found it; ValueError for anything else."""
    try:
        _default.bit_generator.state = state
    except Exception as error:  # NumPy raises several kinds, and all mean the same
        raise ValueError(f"set_rng_state expected what get_rng_state gives: {error}") from error
