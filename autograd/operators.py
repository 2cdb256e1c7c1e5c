"""What Variable can do beyond being a node: operators, and NumPy's and PyTorch's methods.

`Methods` is written as a class so that readers, editors and type checkers see plain definitions; its
contents are moved into Variable when the package is imported, because the operations need Variable
first. There are no in-place operators: ``x += y`` rebinds x to a new Variable. On a Parameter, which a
module and an optimizer hold as well, that would change nothing: an error, `refuse_in_place`.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from . import engine, ops
from .core import Array, Operand, Parameter, Variable, data_of
from .modes import local


def plain(ufunc: np.ufunc, *inputs: Any) -> Any:
    """The answer of a ufunc that has no derivative, as comparisons have none, on arrays for Variables.

    Instruments with a method ``answered(ufunc, inputs, answer)`` are told of it.
    """
    answer = ufunc(*map(data_of, inputs))
    for instrument in local.thread.instruments:
        if (answered := getattr(instrument, "answered", None)) is not None:
            answered(ufunc, inputs, answer)
    return answer


class Methods:
    """The methods of Variable that are defined by operations."""

    __slots__ = ()
    if TYPE_CHECKING:
        data: Array

    backward = engine.backward

    # -- operators

    __add__ = ops.add
    __sub__ = ops.subtract
    __mul__ = ops.multiply
    __truediv__ = ops.divide
    __floordiv__ = ops.floor_divide
    __mod__ = ops.mod
    __pow__ = ops.power
    __matmul__ = ops.matmul
    __neg__ = ops.negative
    __abs__ = ops.absolute
    __getitem__ = ops.getitem

    def __radd__(self: Any, other: Operand) -> Variable:
        return ops.add(other, self)

    def __rsub__(self: Any, other: Operand) -> Variable:
        return ops.subtract(other, self)

    def __rmul__(self: Any, other: Operand) -> Variable:
        return ops.multiply(other, self)

    def __rtruediv__(self: Any, other: Operand) -> Variable:
        return ops.divide(other, self)

    def __rfloordiv__(self: Any, other: Operand) -> Variable:
        return ops.floor_divide(other, self)

    def __rmod__(self: Any, other: Operand) -> Variable:
        return ops.mod(other, self)

    def __rpow__(self: Any, other: Operand) -> Variable:
        return ops.power(other, self)

    def __rmatmul__(self: Any, other: Operand) -> Variable:
        return ops.matmul(other, self)

    def __pos__(self: Any) -> Variable:
        return self

    def __iter__(self: Any) -> Iterator[Variable]:
        return iter(ops.unstack(self))

    def __setitem__(self, index: Any, value: Any) -> NoReturn:
        raise TypeError(
            "a Variable cannot be written into: use y = autograd.index_update(x, index, value), or write"
            " into x.data outside the graph"
        )

    # comparisons are elementwise and give arrays of bools, as they have no derivative

    def __eq__(self, other: object) -> Array:  # type: ignore[override]
        return plain(np.equal, self, other)

    def __ne__(self, other: object) -> Array:  # type: ignore[override]
        return plain(np.not_equal, self, other)

    def __lt__(self, other: Operand) -> Array:
        return plain(np.less, self, other)

    def __le__(self, other: Operand) -> Array:
        return plain(np.less_equal, self, other)

    def __gt__(self, other: Operand) -> Array:
        return plain(np.greater, self, other)

    def __ge__(self, other: Operand) -> Array:
        return plain(np.greater_equal, self, other)

    # -- methods

    sum = ops.sum
    mean = ops.mean
    var = ops.var
    std = ops.std
    max = ops.max
    min = ops.min
    prod = ops.prod
    cumsum = ops.cumsum
    softmax = ops.softmax
    log_softmax = ops.log_softmax
    logsumexp = ops.logsumexp
    exp = ops.exp
    log = ops.log
    sqrt = ops.sqrt
    sin = ops.sin
    cos = ops.cos
    tanh = ops.tanh
    sigmoid = ops.sigmoid
    relu = ops.relu
    abs = ops.absolute
    clip = ops.clip
    dot = ops.dot
    swapaxes = ops.swapaxes
    squeeze = ops.squeeze
    repeat = ops.repeat
    take = ops.take
    diagonal = ops.diagonal
    trace = ops.trace
    cumprod = ops.cumprod
    round = ops.round
    copy = ops.copy
    astype = ops.astype

    def reshape(self: Any, *shape: Any) -> Variable:
        """The same elements in another shape: ``x.reshape(2, -1)`` or ``x.reshape((2, -1))``."""
        return ops.reshape(self, shape[0] if len(shape) == 1 else shape)

    def transpose(self: Any, *axes: Any) -> Variable:
        """The axes in another order, reversed by default: ``x.transpose(1, 0)`` or with a tuple."""
        if len(axes) == 1 and not isinstance(axes[0], int):
            axes = axes[0]
        return ops.transpose(self, axes or None)

    def flatten(self: Any) -> Variable:
        """All elements in one axis."""
        return ops.reshape(self, (-1,))

    ravel = flatten

    @property
    def T(self: Any) -> Variable:
        """The axes in reverse order."""
        return ops.transpose(self)

    @property
    def mT(self: Any) -> Variable:
        """The last two axes exchanged."""
        return ops.swapaxes(self, -1, -2)

    def argmax(self, axis: int | None = None) -> Any:
        """Indices of the largest elements, an array."""
        return self.data.argmax(axis)

    def argmin(self, axis: int | None = None) -> Any:
        """Indices of the smallest elements, an array."""
        return self.data.argmin(axis)

    def tolist(self) -> Any:
        """The values as nested Python lists."""
        return self.data.tolist()


def refuse_in_place(self: Variable, other: Operand) -> NoReturn:
    """What ``p += y`` and its kin do on a Parameter."""
    raise TypeError(
        f"an in-place operator on Parameter {self.name or '(unnamed)'} {self.shape} would make a new Variable"
        " and leave the parameter as it is: write p.data -= lr * p.grad.data, or let an optimizer of optim"
        " do it; for a new value, y = p + ..."
    )


IN_PLACE = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")


def bind() -> None:
    """Move the contents of `Methods` into Variable."""
    for name in IN_PLACE:
        setattr(Parameter, f"__i{name}__", refuse_in_place)
    skip = {"__module__", "__qualname__", "__doc__", "__slots__", "__dict__", "__weakref__", "__hash__"}
    for name, method in vars(Methods).items():
        if name not in skip:
            setattr(Variable, name, method)
