"""A define-by-run automatic-differentiation engine in NumPy.

    from autograd import Variable

    x = Variable(3.0)
    y = x * x + 2.0
    y.backward()
    x.grad            # Variable(6.)

`Variable` and `Function` are in `core`, reverse mode in `engine`, the operations in `ops`, what tells
the engine how to behave in `modes`. Pictures of graphs are drawn by `autograd.graph`, and `autograd.bptt`
shows where gradients come from in time; both are imported when they are first used.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING as _TYPE_CHECKING

from . import installation as _installation  # noqa: F401  first: it tells whose files the others are
from . import linalg as linalg
from . import missing, numpy_api, operators
from .checking.anomaly import detect_anomaly
from .checking.differences import GradientError, gradcheck
from .checking.watching import Flaw, Use, watch
from .checkpointing import checkpoint
from .core import Function, Parameter, Variable
from .engine import backward, grad
from .functional import hessian, hvp, jacobian, jvp, vjp
from .host import to_host
from .malloc import keep_freed_memory
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
from .ops import absolute as abs  # noqa: F401
from .ops import max as max
from .ops import min as min
from .ops import power as pow  # noqa: F401
from .ops import round as round
from .ops import sum as sum
from .profiling import profile
from .replay.capture import capture
from .replay.traced import CaptureError

if _TYPE_CHECKING:
    from . import bptt as bptt
    from . import graph as graph
else:

    def __getattr__(name: str) -> object:
        """`graph` and `bptt`, which would make importing the engine take half as long again."""
        if name in ("bptt", "graph"):
            return _import_module(f"{__name__}.{name}")
        raise missing.of_the_module(name)


def __dir__() -> list[str]:
    return sorted({*globals(), "bptt", "graph"})


__version__ = "0.1.0"

operators.bind()
numpy_api.bind()
missing.bind()

# What `from autograd import *` gives. `abs`, `max`, `min`, `pow`, `round` and `sum` are there by name alone,
# as they would take the place of Python's own.
__all__ = [  # noqa: RUF022
    # a graph: what it is made of, and the way back over it
    "Variable",
    "Parameter",
    "Function",
    "backward",
    "grad",
    # functions of functions
    "jacobian",
    "hessian",
    "vjp",
    "jvp",
    "hvp",
    # modes: what is recorded, and where in a model
    "no_grad",
    "enable_grad",
    "is_grad_enabled",
    "scope",
    "step",
    "stepwise",
    "is_stepwise",
    # looking at a pass
    "gradcheck",
    "GradientError",
    "detect_anomaly",
    "watch",
    "Use",
    "Flaw",
    "instrumented",
    # time and memory
    "profile",
    "capture",
    "CaptureError",
    "checkpoint",
    "pause_gc",
    "keep_freed_memory",
    # arrays of other types than NumPy's
    "to_host",
    # operations
    *(name for name in _operations if name not in ("max", "min", "round", "sum")),
]
