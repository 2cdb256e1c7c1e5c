"""Optimizers and gradient clipping, in PyTorch's names. Works on Variables; knows nothing of modules."""

from .clip import clip_grad_norm_
from .optimizer import Optimizer
from .optimizers import SGD, Adam, AdamW

__all__ = ["SGD", "Adam", "AdamW", "Optimizer", "clip_grad_norm_"]
