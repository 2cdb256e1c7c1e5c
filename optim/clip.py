"""Clipping against exploding gradients. New gradients replace the old ones; no array is written into."""

import math
from collections.abc import Iterable

import numpy as np

from autograd import Variable


def clip_grad_norm_(
    parameters: Variable | Iterable[Variable], max_norm: float, error_if_nonfinite: bool = False
) -> float:
    """Scale all gradients together so that their joint Euclidean norm is at most max_norm.

    Returns the norm before clipping. Parameters without a gradient do not count.

    Raises:
        ValueError: max_norm is negative or no number.
        RuntimeError: the norm is NaN or infinite, under ``error_if_nonfinite``.
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_ expected max_norm of at least 0, got {max_norm}")
    params = [parameters] if isinstance(parameters, Variable) else list(parameters)
    grads = [(p, p.grad.data) for p in params if p.grad is not None]
    norm = math.sqrt(sum(float(np.vdot(g, g)) for _, g in grads))
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(f"clip_grad_norm_: the norm of the gradients is {norm}")
    scale = max_norm / (norm + 1e-6)
    if scale < 1 or math.isnan(scale):
        for p, g in grads:
            p.grad = Variable(g * scale, requires_grad=False)
    return norm
