"""What an operation returns, for type checkers: a Variable if an operand is one, else an array.

    @binary
    def add(a: Operand, b: Operand) -> Value: ...

    add(x, 2.0)        # Variable, where x is one
    add(array, 2.0)    # Array

A decorator gives its function back as it is and tells the checker how many operands come first; settings,
such as an axis, follow them. A method of Variable made of such a function (``__add__ = add``) returns a
Variable.
"""

from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, Protocol, cast, overload

from ..core import Array, Operand, Plain, Value, Variable

P = ParamSpec("P")  # the settings


class UnaryOperation(Protocol[P]):
    __name__: str

    @overload
    def __call__(self, x: Variable, /, *args: P.args, **kwargs: P.kwargs) -> Variable: ...
    @overload
    def __call__(self, x: Plain, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, x: Variable, owner: Any) -> Callable[P, Variable]: ...


class BinaryOperation(Protocol[P]):
    __name__: str

    @overload
    def __call__(self, a: Variable, b: Operand, /, *args: P.args, **kwargs: P.kwargs) -> Variable: ...
    @overload
    def __call__(self, a: Plain, b: Variable, /, *args: P.args, **kwargs: P.kwargs) -> Variable: ...
    @overload
    def __call__(self, a: Plain, b: Plain, /, *args: P.args, **kwargs: P.kwargs) -> Array: ...
    def __get__(self, x: Variable, owner: Any) -> Callable[Concatenate[Operand, P], Variable]: ...


class JoiningOperation(Protocol):
    __name__: str

    @overload
    def __call__(self, xs: Sequence[Variable], /) -> Variable: ...
    @overload
    def __call__(self, xs: Sequence[Plain], /) -> Array: ...
    @overload
    def __call__(self, xs: Sequence[Operand], /) -> Value: ...


class EachOperation(Protocol):
    __name__: str

    @overload
    def __call__(self, x: Variable, /) -> Variable: ...
    @overload
    def __call__(self, x: Plain, /) -> Array: ...
    @overload
    def __call__(self, a: Operand, b: Operand, /, *more: Operand) -> tuple[Value, ...]: ...


class TernaryOperation(Protocol):
    @overload
    def __call__(self, a: Variable, b: Operand, c: Operand, /) -> Variable: ...
    @overload
    def __call__(self, a: Plain, b: Variable, c: Operand, /) -> Variable: ...
    @overload
    def __call__(self, a: Plain, b: Plain, c: Variable, /) -> Variable: ...
    @overload
    def __call__(self, a: Plain, b: Plain, c: Plain, /) -> Array: ...


class WeightedOperation(Protocol[P]):
    @overload
    def __call__(
        self, x: Variable, weight: Operand, bias: Operand | None = None, *args: P.args, **kwargs: P.kwargs
    ) -> Variable: ...
    @overload
    def __call__(
        self, x: Plain, weight: Variable, bias: Operand | None = None, *args: P.args, **kwargs: P.kwargs
    ) -> Variable: ...
    @overload
    def __call__(
        self, x: Plain, weight: Plain, bias: Variable, *args: P.args, **kwargs: P.kwargs
    ) -> Variable: ...
    @overload
    def __call__(
        self, x: Plain, weight: Plain, bias: Plain | None = None, *args: P.args, **kwargs: P.kwargs
    ) -> Array: ...


def unary(f: Callable[Concatenate[Any, P], Value]) -> UnaryOperation[P]:
    """One operand, then settings."""
    return cast(Any, f)


def binary(f: Callable[Concatenate[Any, Any, P], Value]) -> BinaryOperation[P]:
    """Two operands, then settings."""
    return cast(Any, f)


def joining(f: Callable[[Any], Value]) -> JoiningOperation:
    """A sequence of operands."""
    return cast(Any, f)


def each(f: Callable[..., Value]) -> EachOperation:
    """One operand, or several whose results are a tuple."""
    return cast(Any, f)


def ternary(f: Callable[[Any, Any, Any], Value]) -> TernaryOperation:
    """Three operands."""
    return cast(Any, f)


def weighted(f: Callable[Concatenate[Any, Any, Any, P], Value]) -> WeightedOperation[P]:
    """An input, a weight and perhaps a bias, then settings."""
    return cast(Any, f)
