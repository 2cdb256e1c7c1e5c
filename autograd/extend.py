"""The one door for those who extend the library: operations of their own, and code that works on arrays.

    from autograd.extend import Array, Function, data_of

    class Softsign(Function):
        symbol, rule = "softsign", "gx = gy / (1 + |x|)²"

        def forward(self, x):
            return x / (1.0 + np.abs(x))

        def backward(self, gy, x):
            return gy / np.square(1.0 + np.abs(x))

`Function` explains how to write such a class. A backward may return a deferred gradient, `Outer` for a
weight matrix or `Scatter` for an indexed read: the walk joins many of them into few large operations.
`data_of`, `as_array` and `isarray` serve functions that take Variables, arrays and numbers alike, which
annotations call an `Operand`; what they return is a `Value`. `alike` makes a constant an array of the type
of what it meets. `unary` and `binary` decorate such functions, to
tell a type checker that the result is a Variable where an operand is one. A replay runs functions decorated
with `by_protocol` again; `recorder` returns the recorder of a running `capture`. `hint` lets a class say what
to write for names that it has not. The packages `nn` and
`optim` use what stands here and in `autograd`, and nothing else.
"""

from .core import Array, Function, Operand, Value, alike, as_array, data_of, isarray
from .deferred import Deferred, Outer, Scatter
from .host import to_host
from .missing import hint
from .modes import recorder
from .ops.conv import Padding, Size, conv, conv_transpose, pads, per_axis
from .ops.signatures import binary, unary
from .replay.traced import by_protocol

__all__ = [
    "Array",
    "Deferred",
    "Function",
    "Operand",
    "Outer",
    "Padding",
    "Scatter",
    "Size",
    "Value",
    "alike",
    "as_array",
    "binary",
    "by_protocol",
    "conv",
    "conv_transpose",
    "data_of",
    "hint",
    "isarray",
    "pads",
    "per_axis",
    "recorder",
    "to_host",
    "unary",
]
