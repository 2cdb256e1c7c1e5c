"""Arrays whose use is noted.

`Traced` arrays speak NumPy's dispatch protocols: whatever is done to them is done, and noted on the `Tape`
of `calls`. Nests of tuples, lists and dicts, in which arrays come and go, are walked here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy
from functools import wraps
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from .calls import Tape

ndarray = np.ndarray
Array = Any
Tree = Any  # nested tuples, lists and dicts


class CaptureError(RuntimeError):
    """A function did something that a list of NumPy calls cannot repeat."""


class Otherwise(Exception):
    """A replay has come to values on which the function would have decided otherwise."""


class Traced(ndarray):
    """An array whose use is noted. What is made of it, views included, is Traced as well.

    Its numbers are in ``array``. Its own memory is one blank element, with which nothing can be computed: so
    what reads it without asking, such as ``np.asarray``, ends in an error, and not in numbers of which the
    tape knows nothing.
    """

    tape: Tape
    array: Array
    scalar = False  # is it what NumPy gives as a scalar? Those cannot be written into
    weak = False  # is it from item()? Like a Python number it gives way to the dtype of an array

    def __array_finalize__(self, other: Any) -> None:
        if isinstance(other, Traced):  # NumPy is making a view, or a copy of nothing
            raise CaptureError(
                f"an array of shape {other.shape} is used in a way that cannot be seen: use NumPy's functions"
            )

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any) -> Any:
        if any(hasattr(x, "__array_ufunc__") and not isinstance(x, (ndarray, np.generic)) for x in inputs):
            return NotImplemented  # it is the turn of somebody else, such as a Variable
        return self.tape.ufunc(ufunc, method, inputs, out, kwargs)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
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

    def __eq__(self, other: Any) -> Any:  # these two do not always ask the protocols
        return np.equal(self, other)

    def __ne__(self, other: Any) -> Any:
        return np.not_equal(self, other)

    def item(self, *index: Any) -> Any:
        """The element as what a Python number is to NumPy; one index counts through all axes, as in NumPy."""
        where = index[0] if len(index) == 1 and isinstance(index[0], tuple) else index
        element: Any = self[where] if len(where) == self.ndim else self.reshape(-1)[where or 0]
        element.weak = True
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
    def refuse(self: Traced, *args: Any, **kwargs: Any) -> Any:
        raise CaptureError(
            f"{name} reads the values of an array of shape {self.shape}, and what Python makes of them cannot"
            " be replayed: do it outside of the function, or with NumPy"
        )

    return refuse


def _answered(name: str) -> Any:
    return property(lambda self: getattr(self.array, name))


def _hidden(name: str) -> Any:
    return property(_refused(name))


# What NumPy does without asking the protocols. All other methods of arrays are made of ufuncs.
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


def by_protocol(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` of an array and more, as one of NumPy's: a tape notes it as a whole."""

    @wraps(function)
    def dispatched(x: Any, *args: Any) -> Any:
        if isinstance(x, Traced):
            return x.tape.function(function, (x, *args), {})
        return function(x, *args)

    return dispatched


def bare(x: Any) -> Any:
    """A Traced array as an ordinary one with its numbers; anything else as it is."""
    return x.array if isinstance(x, Traced) else x


class NoTruth:
    """What is neither true nor false, and not to be compared."""

    def __bool__(self, *others: Any) -> Any:
        raise CaptureError(UNSEEN)

    __eq__ = __ne__ = __bool__


UNSEEN = (
    "np.asarray, or another function that cannot be seen, took an array for an ordinary one: leave it as it"
    " is, and use NumPy's functions on it"
)
BLANK = np.zeros((), [("no number", [("at all", "V1")])])  # of a dtype that no ufunc takes
BLANK_TRUTH = np.array(NoTruth(), object)  # for bools: NumPy sees a truth in an element of any other dtype


def memory(a: Array) -> Any:
    """What owns the memory of a view."""
    while getattr(a, "base", None) is not None:  # not only arrays: as_strided puts something in between
        a = a.base
    return a


def address(a: Array) -> int:
    return a.__array_interface__["data"][0]


def tree_map(f: Callable[[Any], Any], x: Tree) -> Tree:
    """The same nest with ``f`` of everything in it."""
    if isinstance(x, (tuple, list)):
        parts = [tree_map(f, part) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    if isinstance(x, dict):
        mapped = {} if type(x) is dict else copy(x)  # an OrderedDict stays one, a defaultdict its default
        mapped.update([(key, tree_map(f, part)) for key, part in x.items()])
        return mapped
    return f(x)


def flat(x: Tree) -> Iterator[Any]:
    """Everything in a nest, in order."""
    if isinstance(x, (tuple, list, dict)):
        for part in x.values() if isinstance(x, dict) else x:
            yield from flat(part)
    else:
        yield x
