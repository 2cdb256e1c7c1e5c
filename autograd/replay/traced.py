"""`Traced` arrays, which note on a tape what is done to them; and nests of tuples, lists and dicts.

They speak NumPy's dispatch protocols: the `Tape` of `calls` makes every call and notes it. Functions here
walk the nests in which arrays come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import copy
from functools import wraps
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast

import numpy as np

from ..core import Array, ndarray

if TYPE_CHECKING:
    from .calls import Region, Tape

Tree = Any  # nested tuples, lists and dicts, and what is in them
F = TypeVar("F", bound=Callable[..., Any])


class CaptureError(RuntimeError):
    """A captured function did something that a list of NumPy calls cannot repeat.

    >>> w = Variable(2.0)
    >>> step = ag.capture(lambda x: w * np.random.normal())
    >>> step(1.0)
    Traceback (most recent call last):
    autograd.replay.traced.CaptureError: <lambda> draws random numbers by itself, which a replay would
    not: pass them as an argument, or draw masks as Dropout does (or did another thread draw some
    meanwhile?)
    """


class Diverged(Exception):
    """The values of a replay would have led the function to another decision than in the recording."""


class Traced(ndarray):
    """An array that notes its use. Results computed from it, views included, are Traced as well.

    Its numbers are in ``array``. Its own memory is one blank element that no ufunc takes: so a function that
    reads the memory without asking, as ``np.asarray`` does, ends in an error, and not in numbers of which
    the tape knows nothing.
    """

    tape: Tape
    array: Array
    scalar = False  # does NumPy give a scalar here? Those cannot be written into
    region: Region | Array | None = None  # what the tape has for it, once it was asked
    python_number = False  # is it from item()? Like a Python number it gives way to the dtype of an array

    def __array_finalize__(self, other: object) -> None:
        if isinstance(other, Traced):  # NumPy makes a view of the blank element, or a copy
            raise CaptureError(
                f"an array of shape {other.shape} is used in a way that cannot be seen: use NumPy's functions"
            )

    def __array_ufunc__(
        self, ufunc: np.ufunc, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        if any([not isinstance(x, (ndarray, np.generic)) and hasattr(x, "__array_ufunc__") for x in inputs]):
            return NotImplemented  # another class answers, such as Variable
        return self.tape.ufunc(ufunc, method, inputs, out, kwargs)

    def __array_function__(
        self, function: Callable[..., Any], types: Iterable[type], args: Any, kwargs: Mapping[str, Any]
    ) -> Any:
        if not all(issubclass(t, ndarray) for t in types):
            return NotImplemented
        return self.tape.function(function, args, kwargs)

    def __getitem__(self, index: Any) -> Any:
        parts = index if isinstance(index, tuple) else (index,)
        if len(parts) == self.ndim and all(isinstance(part, int | np.integer) for part in parts):
            element = self.tape.function(ndarray.__getitem__, (self, (*parts, ...)), {})
            element = element if self.scalar else element.copy()
            element.scalar = True
            return element
        return self.tape.function(ndarray.__getitem__, (self, index), {})

    def __setitem__(self, index: Any, value: Any) -> None:
        self.tape.function(ndarray.__setitem__, (self, index, value), {})

    def __eq__(self, other: Any) -> Any:  # NumPy's == and != do not always ask the protocols
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def item(self, *index: Any) -> Any:
        """One element, which promotes like a Python number; a single index counts through all axes."""
        where = index[0] if len(index) == 1 and isinstance(index[0], tuple) else index
        element: Any = self[where] if len(where) == self.ndim else self.reshape(-1)[where or 0]
        element.python_number = True
        return element

    T: Any = property(lambda self: self.transpose())
    mT: Any = property(lambda self: self.swapaxes(-1, -2))
    real: Any = property(lambda self: self.tape.function(np.real, (self,), {}))
    imag: Any = property(lambda self: self.tape.function(np.imag, (self,), {}))


def _noted(name: str) -> Callable[..., Any]:
    method = getattr(ndarray, name)
    return lambda self, *args, **kwargs: self.tape.function(method, (self, *args), kwargs)


def _decided(name: str) -> Callable[..., Any]:
    method = getattr(ndarray, name)
    return lambda self: self.tape.decide(method, (self,), {})


def _refused(name: str) -> Callable[..., Any]:
    def refuse(self: Traced, *args: object, **kwargs: object) -> NoReturn:
        raise CaptureError(
            f"{name} reads the values of an array of shape {self.shape}, and what Python makes of them cannot"
            " be replayed: do it outside of the function, or with NumPy"
        )

    return refuse


def _answered(name: str) -> property:
    return property(attrgetter(f"array.{name}"))


def _hidden(name: str) -> property:
    return property(_refused(name))


# Methods for which NumPy does not ask the protocols. All others are made of ufuncs.
NOTED = (
    "argmax argmin argpartition argsort astype choose clip compress copy cumprod cumsum diagonal dot fill"
    " flatten nonzero partition put ravel repeat reshape resize round searchsorted sort squeeze swapaxes take"
    " trace transpose view __copy__ __deepcopy__"
)
DECIDED = "__bool__ __complex__ __float__ __index__ __int__"
ANSWERED = "dtype flags itemsize nbytes shape strides"  # the same at every replay, and read-only here
REFUSED = (
    "__contains__ __dlpack__ __format__ __reduce__ __reduce_ex__ __setstate__ byteswap dump dumps getfield"
    " setfield setflags to_device tobytes tofile tolist"
)
HIDDEN = "__array_interface__ __array_struct__ base ctypes data flat"
for _names, _of in (
    (NOTED, _noted), (DECIDED, _decided), (ANSWERED, _answered), (REFUSED, _refused), (HIDDEN, _hidden)
):  # fmt: skip
    for _name in _names.split():
        setattr(Traced, _name, _of(_name))


def by_protocol(function: F) -> F:
    """Let a tape note ``function``, of an array and more, as one call, like a function of NumPy's.

    Without it a tape notes the calls inside, and refuses what those do with the values of arrays.

    >>> from autograd.extend import by_protocol
    >>> @by_protocol
    ... def rank(x):
    ...     return np.array(sorted(x.tolist()).index(x[0]))
    >>> w = Variable(2.0)
    >>> step = ag.capture(lambda x: w * rank(x))
    >>> float(step(np.array([5.0, 1.0, 9.0]))), float(step(np.array([5.0, 1.0, 3.0])))
    (2.0, 4.0)
    """

    @wraps(function)
    def dispatched(x: Any, *args: Any) -> Any:
        if isinstance(x, Traced):
            return x.tape.function(function, (x, *args), {})
        return function(x, *args)

    return cast(F, dispatched)


def untraced(x: Any) -> Any:
    """An ordinary array with the numbers of a Traced one; anything else as it is."""
    return x.array if isinstance(x, Traced) else x


class Unreadable:
    """A value that is neither true nor false, and not to be compared."""

    def __bool__(self, *others: object) -> NoReturn:
        raise CaptureError(UNSEEN)

    __eq__ = __ne__ = __bool__


UNSEEN = (
    "np.asarray, or another function that cannot be seen, took an array for an ordinary one: leave it as it"
    " is, and use NumPy's functions on it"
)
BLANK = np.zeros((), [("no number", [("at all", "V1")])])  # of a dtype that no ufunc takes
BLANK.flags.writeable = False
BLANK_BOOL = np.array(Unreadable(), object)  # for bools: NumPy sees a truth in elements of other dtypes


NESTS = tuple, list, dict


def address(a: Array) -> int:
    """Where the first element of an array lies."""
    return a.__array_interface__["data"][0]


def tree_map(f: Callable[[Any], Any], x: Tree) -> Tree:
    """The same nest with ``f`` applied to every item."""
    if not isinstance(x, NESTS):
        return f(x)
    if isinstance(x, (tuple, list)):
        parts = [tree_map(f, part) if isinstance(part, NESTS) else f(part) for part in x]
        if type(x) is tuple:
            return tuple(parts)
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if not x and type(x) is dict:
        return {}
    mapped = {} if type(x) is dict else copy(x)  # an OrderedDict stays one, a defaultdict its default
    mapped.update([(key, tree_map(f, part)) for key, part in x.items()])
    return mapped


def flat(x: Tree) -> Iterator[Any]:
    """The items of a nest, in order."""
    if not isinstance(x, NESTS):
        yield x
        return
    for part in x.values() if isinstance(x, dict) else x:
        if not isinstance(part, NESTS):
            yield part
        elif part:
            yield from flat(part)
