"""Clipping against exploding gradients. New gradients replace the old ones; no array is written into."""

import math
from collections.abc import Iterable

import numpy as np

from autograd import Variable
from autograd.extend import Array, as_array


def clip_grad_norm_(
    parameters: Variable | Iterable[Variable],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> float:
    """Scale all gradients together so that their joint norm is at most max_norm.

    Returns the norm before clipping, of all gradients taken as one vector: (Σ |g|ᵖ)^(1/p) with p =
    ``norm_type``, the largest |g| for ``math.inf``. Parameters without a gradient do not count. Huge
    gradients are measured without overflow.

    Raises:
        ValueError: max_norm is negative or no number, or norm_type is not above 0.
        RuntimeError: the norm is NaN or infinite, under ``error_if_nonfinite``; nothing has changed.

    >>> w = nn.Parameter([1.5, 2.0])
    >>> (w * w).sum().backward()
    >>> optim.clip_grad_norm_([w], max_norm=1.0), w.grad.data  # (3, 4) has the norm 5
    (5.0, array([0.6, 0.8]))
    """
    if not max_norm >= 0:
        raise ValueError(f"clip_grad_norm_ expected max_norm of at least 0, got {max_norm}")
    if not norm_type > 0:
        raise ValueError(f"clip_grad_norm_ expected norm_type above 0, got {norm_type}")
    params, norm_type = _with_gradients(parameters), float(norm_type)
    norms = np.array([gradient_norm(p.grad.data, norm_type) for p in params if p.grad is not None])
    norm = gradient_norm(norms, norm_type)
    if error_if_nonfinite and not math.isfinite(norm):
        raise RuntimeError(
            f"clip_grad_norm_: the norm of the gradients is {norm}; autograd.detect_anomaly() finds out why"
        )
    scale = float(max_norm) / (norm + 1e-6)  # a number of NumPy's would widen the gradients
    if scale < 1 or math.isnan(scale):
        with np.errstate(invalid="ignore"):  # an infinite gradient times 0 is NaN, as in PyTorch
            for p in params:
                if p.grad is not None:
                    p.grad = Variable(as_array(p.grad.data * scale), requires_grad=False)
    return norm


def clip_grad_value_(parameters: Variable | Iterable[Variable], clip_value: float) -> None:
    """Hold every element of every gradient within ±clip_value.

    Raises:
        ValueError: clip_value is negative or no number.

    >>> w = nn.Parameter([0.25, -2.0])
    >>> (w * w).sum().backward()
    >>> optim.clip_grad_value_([w], 1.0)
    >>> w.grad.data
    array([ 0.5, -1. ])
    """
    if not clip_value >= 0:
        raise ValueError(f"clip_grad_value_ expected clip_value of at least 0, got {clip_value}")
    bound = float(clip_value)
    for p in _with_gradients(parameters):
        if p.grad is not None:
            p.grad = Variable(as_array(np.clip(p.grad.data, -bound, bound)), requires_grad=False)


def _with_gradients(parameters: Variable | Iterable[Variable]) -> list[Variable]:
    """The parameters that have a gradient."""
    params = [parameters] if isinstance(parameters, Variable) else list(parameters)
    return [p for p in params if p.grad is not None]


def gradient_norm(g: Array, p: float) -> float:
    """The p-norm of all elements."""
    if g.size == 0:
        return 0.0
    if p == 2:
        norm = math.sqrt(np.vdot(g, g))
        if 1e-18 < norm < math.inf:
            return norm
    top = max(float(np.max(g)), -float(np.min(g)))
    if p == math.inf or top == 0 or not math.isfinite(top):
        return top
    return top * float(np.sum(np.abs(g / top, dtype=np.float64) ** p)) ** (1 / p)
