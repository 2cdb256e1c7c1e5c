"""A define-by-run automatic-differentiation engine in NumPy.

    from autograd import Variable

    x = Variable(3.0)
    y = x * x + 2.0
    y.backward()
    x.grad            # Variable(6.)

`Variable` and `Function` are in `core`, reverse mode in `engine`, the operations in `ops`, what tells
the engine how to behave in `modes`. Pictures of graphs are drawn by `autograd.graph`.
"""

from . import installation as _installation  # noqa: F401  first: it tells whose files the others are
from . import numpy_api, operators
from .anomaly import detect_anomaly
from .capture import capture
from .checkpoint import checkpoint
from .core import Function, Parameter, Variable
from .engine import backward, grad
from .functional import hessian, hvp, jacobian, jvp, vjp
from .gradcheck import GradientError, gradcheck
from .heap import keep_freed_memory
from .modes import (
    enable_grad,
    instrumented,
    is_grad_enabled,
    is_stepwise,
    no_grad,
    pause_gc,
    scope,
    step,
    stepwise,
)
from .ops import *  # noqa: F403
from .ops import __all__ as _operations
from .ops import absolute as abs
from .ops import power as pow
from .tape import CaptureError
from .watch import Flaw, Use, watch

operators.bind()
numpy_api.bind()

__all__ = [
    "CaptureError",
    "Flaw",
    "Function",
    "GradientError",
    "Parameter",
    "Use",
    "Variable",
    "abs",
    "backward",
    "capture",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "grad",
    "gradcheck",
    "hessian",
    "hvp",
    "instrumented",
    "is_grad_enabled",
    "is_stepwise",
    "jacobian",
    "jvp",
    "keep_freed_memory",
    "no_grad",
    "pause_gc",
    "pow",
    "scope",
    "step",
    "stepwise",
    "vjp",
    "watch",
    *_operations,
]
