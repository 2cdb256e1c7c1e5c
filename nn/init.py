"""Initialisers: each fills a parameter in place and returns it. They never touch the graph."""

import math
from typing import Any

import numpy as np

from autograd import Variable

from .random import default_rng

Rng = np.random.Generator | None


def _fill(p: Variable, values: Any) -> Variable:
    p.data[...] = values
    p.data = p.data  # a new version: see Variable.data
    return p


def uniform_(p: Variable, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> Variable:
    """Uniform on [a, b)."""
    return _fill(p, default_rng(rng).uniform(a, b, p.shape))


def normal_(p: Variable, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> Variable:
    """Normal with the given mean and standard deviation."""
    return _fill(p, default_rng(rng).normal(mean, std, p.shape))


def constant_(p: Variable, value: float) -> Variable:
    """The same value everywhere."""
    return _fill(p, value)


def zeros_(p: Variable) -> Variable:
    """Zeros."""
    return _fill(p, 0.0)


def ones_(p: Variable) -> Variable:
    """Ones."""
    return _fill(p, 1.0)


def fan_in_uniform_(p: Variable, fan_in: int, rng: Rng = None) -> Variable:
    """Uniform within ±1/√fan_in, PyTorch's default for linear and recurrent layers."""
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(p, -bound, bound, rng)
