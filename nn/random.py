"""The source of randomness: one NumPy Generator, unless a function or layer is given another."""

from typing import Any

import numpy as np

from autograd.extend import Array, Operand, alike, as_array, by_protocol

_default = np.random.default_rng(0)


def manual_seed(seed: int) -> np.random.Generator:
    """Start the default generator anew; equal seeds give equal initial weights, masks and samples.

    >>> a = nn.manual_seed(3).normal(size=4)
    >>> b = nn.manual_seed(3).normal(size=4)
    >>> np.array_equal(a, b)
    True
    """
    _default.bit_generator.state = np.random.default_rng(seed).bit_generator.state
    return _default


def default_rng(rng: np.random.Generator | None = None) -> np.random.Generator:
    """``rng`` itself, or the default generator when it is None.

    >>> own = np.random.default_rng(7)
    >>> nn.default_rng(own) is own, nn.default_rng() is nn.manual_seed(0)
    (True, True)
    """
    return _default if rng is None else rng


def uniform(shape: tuple[int, ...], x: Operand, rng: np.random.Generator | None = None) -> Array:
    """float32 numbers from 0 to 1, of x's type of array; a captured function draws them at every call."""
    return _uniform(as_array(x), shape, default_rng(rng))


@by_protocol
def _uniform(x: Array, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    return alike(rng.random(shape, dtype=np.float32), x)


def get_rng_state() -> dict[str, Any]:
    """The state of the default generator: numbers and strings, ready for a checkpoint.

    >>> state = nn.get_rng_state()
    >>> before = nn.default_rng().normal()
    >>> nn.set_rng_state(state)
    >>> nn.default_rng().normal() == before
    True
    """
    return dict(_default.bit_generator.state)


def set_rng_state(state: dict[str, Any]) -> None:
    """Put the default generator into a state from `get_rng_state`.

    Raises:
        ValueError: it is no such state.

    >>> saved = {"rng": nn.get_rng_state(), "epoch": 3}
    >>> nn.save(saved, "run.npz")
    >>> nn.set_rng_state(nn.load("run.npz")["rng"])
    """
    try:
        _default.bit_generator.state = state
    except Exception as error:  # NumPy raises several kinds, and all mean the same
        raise ValueError(f"set_rng_state expected what get_rng_state gives: {error}") from error
