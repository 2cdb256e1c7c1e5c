"""Optimizers, learning-rate schedules and gradient clipping, in PyTorch's names. Knows nothing of modules."""

from autograd import installation as _installation  # noqa: F401  tells if another autograd took its place

from . import lr_scheduler
from .clip import clip_grad_norm_, clip_grad_value_
from .norms import GradientNorms
from .optimizer import Optimizer
from .optimizers import SGD, Adadelta, Adagrad, Adam, AdamW, NAdam, RAdam, RMSprop
from .replicas import Replicas

__all__ = [
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "GradientNorms",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Replicas",
    "clip_grad_norm_",
    "clip_grad_value_",
    "lr_scheduler",
]
