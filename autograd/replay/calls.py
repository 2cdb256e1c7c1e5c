"""The `Tape`: all NumPy calls of a run on `Traced` arrays, in a form that can be called again.

A decision that Python takes from the values of arrays is a call too: a replay asks again, and stops where
the answer is another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from ..core import Array, memory, ndarray
from .traced import (
    BLANK,
    BLANK_BOOL,
    NESTS,
    UNSEEN,
    CaptureError,
    Diverged,
    Traced,
    Tree,
    address,
    flat,
    tree_map,
    untraced,
)

NOT_SET = dict.fromkeys(("divide", "over", "under", "invalid"), "call")  # how errors are handled meanwhile
NONE: dict[str, Any] = {}
NUMBERS = frozenset([float, int, bool])
Call = tuple[Callable[..., Any], Any, dict[str, Any]]  # function, arguments, keyword arguments


class Region:
    """The description of an array made during a recording: a tape holds no memory."""

    __slots__ = ("dtype", "number", "offset", "shape", "strides")

    def __init__(
        self, number: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype
    ):
        self.number, self.offset = number, offset  # which memory, and how many bytes into it
        self.shape, self.strides, self.dtype = shape, strides, dtype

    def at(self, number: int, offset: int) -> Region:
        """The same array in another memory."""
        return Region(number, self.offset + offset, self.shape, self.strides, self.dtype)


class Tape:
    """The calls of one run, in order, with a `Region` for every array that they made."""

    def __init__(self) -> None:
        self.decisions = 0  # how often values of arrays decided something
        self.calls: list[Call] = []
        self.kinds: list[Any] = []  # of every call, the operation that makes it, as a `Kind`; or None
        self.kind: Any = None  # of what runs now
        self.sizes: list[int] = []  # bytes of every memory that the run made, by number
        self.numbers: dict[int, tuple[int, ref[Any]]] = {}  # by the id of a memory: its number, a reference
        self.shapes: dict[tuple[int, ...], tuple[int, ...]] = {}
        self.traced: list[ref[Traced]] = []
        self.states: dict[int, tuple[Traced, Array]] = {}  # arrays that the run may change, by id
        self.generators: set[np.random.Generator] = set()  # that the run drew from

    def watch(self, a: Array) -> Traced:
        """A Traced array with the numbers of ``a``."""
        if a.dtype.hasobject:
            raise CaptureError("arrays of Python objects cannot be recorded: compute with numbers")
        watched: Traced
        if a.dtype == bool:  # NumPy makes no array of objects over the memory of another
            watched = np.broadcast_to(BLANK_BOOL, a.shape).view(Traced)
        else:
            watched = ndarray.__new__(Traced, a.shape, BLANK.dtype, BLANK, 0, (0,) * a.ndim)
        watched.tape, watched.array = self, a
        self.traced.append(ref(watched))
        return watched

    def watch_state(self, a: Array) -> Traced:
        """A Traced array for one that outlives the run, which may change it: that changes a copy."""
        watched = self.watch(a)
        self.states[id(watched)] = watched, a
        return watched

    def changed(self) -> list[tuple[Array, Traced]]:
        """The states that the run has changed, each with what it is now."""
        return [(a, state) for state, a in self.states.values() if state.array is not a]

    def left(self) -> list[Traced]:
        """The Traced arrays that somebody still refers to."""
        return [array for array in [reference() for reference in self.traced] if array is not None]

    def made(self, a: Any) -> Traced:
        """A Traced array for a new array or NumPy scalar."""
        scalar = isinstance(a, np.generic)
        if scalar:
            a = np.asarray(a)
        owner = memory(a)
        number = len(self.sizes)
        self.numbers[id(owner)] = number, ref(owner)
        self.sizes.append(owner.nbytes)
        watched = self.watch(a)
        watched.scalar = scalar
        if a is owner:
            watched.region = self.region_at(a, number, 0)
        return watched

    def number(self, owner: Any) -> int | None:
        """The number of a memory that the run made; None for any other."""
        number, reference = self.numbers.get(id(owner), (None, None))
        return number if reference is not None and reference() is owner else None

    def region(self, x: Any) -> Any:
        """The Region of an array that the run made; anything else as it is."""
        if not isinstance(x, ndarray):
            return x
        if not isinstance(x, Traced):
            return self.region_of(x)
        if x.region is None:
            x.region = self.region_of(x.array)
        return x.region

    def region_of(self, a: Array) -> Region | Array:
        """The Region of an ordinary array, or the array if the run did not make its memory."""
        owner = memory(a)
        if owner is BLANK or owner is BLANK_BOOL:
            raise CaptureError(UNSEEN)
        number = self.number(owner)
        if number is None:
            return a
        return self.region_at(a, number, 0 if a is owner else address(a) - address(owner))

    def region_at(self, a: Array, number: int, offset: int) -> Region:
        shape, strides, known = a.shape, a.strides, self.shapes.setdefault  # one tuple for all that are equal
        return Region(number, offset, known(shape, shape), known(strides, strides), a.dtype)

    def note(self, function: Callable[..., Any], args: Tree, kwargs: Tree) -> None:
        """Add a call to the list, within the ``np.errstate`` that the captured function set around it.

        Where it set none, `recording` has set "call".
        """
        if (errstate := np.geterr()) != NOT_SET:
            own = {kind: what for kind, what in errstate.items() if what != "call"}
            function, args = within, (own, function, *args)
        self.kinds.append(self.kind)
        kwargs = tree_map(self.region, kwargs) if kwargs else NONE
        regions = [
            x.region
            if x.__class__ is Traced and x.region is not None
            else tree_map(self.region, x)
            if isinstance(x, NESTS)
            else self.region(x)
            for x in args
        ]
        self.calls.append((function, tuple(regions), kwargs))

    def decide(self, function: Callable[..., Any], args: Tree, kwargs: Tree) -> Any:
        """The answer of a function that gives no array. Replays go on only where the answer is the same."""
        args, kwargs = tree_map(untraced, (args, kwargs))
        answer = function(*args, **kwargs)
        self.decisions += 1
        self.note(expect, (answer, function, args, kwargs), {})
        return answer

    def check_own(self, a: Array, function: Callable[..., Any]) -> None:
        """Raise unless the run made ``a``, into which ``function`` is about to write, or ``a`` is a state."""
        owner = memory(untraced(a))
        if self.number(owner) is not None:
            return
        state, _ = self.states.get(id(a), (None, None))
        if state is None or sum([memory(kept) is owner for _, kept in self.states.values()]) > 1:
            raise CaptureError(
                f"{function.__name__} writes into an array that the captured function was given or that"
                " outlives it, and is no attribute of a module: compute a new one, and return it if it is"
                " wanted later"
            )
        own = self.made(state.array.copy())
        self.note(np.copyto, (own, state), {})
        state.array, state.region = own.array, own.region

    def ufunc(
        self, ufunc: np.ufunc, method: str, args: tuple[Any, ...], out: Any, kwargs: dict[str, Any]
    ) -> Any:
        """Call a ufunc, or one of its methods such as reduce, and note the call."""
        if out is None and not kwargs and method == "__call__" and ufunc.nout == 1:
            arrays = [x.array for x in args if x.__class__ is Traced and not x.python_number]
            if len(arrays) == len(args):  # mostly
                result = self.made(ufunc(*arrays))
                self.note(BY_NAME.get(ufunc, ufunc), (*args, result), NONE)
                return result
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        numbers = all([x.python_number if type(x) is Traced else type(x) in NUMBERS for x in args])
        if out is not None and getattr(out[0], "scalar", False):
            out = None  # n += 1 makes another scalar
        args = promote(args)
        arrays = [x.array if x.__class__ is Traced else tree_map(untraced, x) for x in args]
        kwargs = tree_map(untraced, kwargs) if kwargs else NONE
        if method == "at":
            self.check_own(args[0], ufunc.at)
            function(untraced(args[0]), *arrays[1:], **kwargs)
            return self.note(function, args, kwargs)
        if out is not None:
            self.check_own(out[0], ufunc)
            function(*arrays, **kwargs, out=tuple(map(untraced, out)))
            results = tuple([x if isinstance(x, Traced) else self.watch(x) for x in out])
        else:
            made = function(*arrays, **kwargs)
            results = tuple(map(self.made, made)) if isinstance(made, tuple) else (self.made(made),)
            for result in results:
                result.python_number = numbers
        args = quick_numbers(args, results[0].array.dtype)
        if kwargs or method != "__call__":
            self.note(function, args, {**kwargs, "out": results})
        else:
            self.note(BY_NAME.get(function, function), (*args, *results), {})
        return results if len(results) > 1 else results[0]

    def function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call any other function of NumPy's, or a method of arrays, and note the call."""
        scalar = getattr(args[0], "scalar", False) if args else False
        args = promote(args)
        changed = args[0] if function in IN_PLACE else kwargs.get("out")
        if changed is not None:
            self.check_own(changed, function)
        args, kwargs = tree_map(untraced, (args, kwargs))
        if function in ABOUT_SHAPES:
            return function(*args, **kwargs)
        if changed is not None:
            result = function(*args, **kwargs)
            self.note(function, args, kwargs)  # now that it has not raised
            return None if result is None else self.watch(untraced(changed))
        for x in args:
            if isinstance(x, np.random.Generator):
                self.generators.add(x)
        result = function(*args, **kwargs)
        written = args if function is np.nan_to_num else args[1:]
        if isinstance(result, ndarray) and any(result is x for x in written):
            raise CaptureError(
                f"{function.__name__} writes into an array that it is given: pass out= by its name, or copy"
            )
        if function in BY_VALUES:
            result = result.copy()
        given = {id(memory(x)) for x in flat((args, kwargs)) if isinstance(x, ndarray)}
        if isinstance(result, (tuple, list)) and all(isinstance(x, (ndarray, np.generic)) for x in result):
            if all(id(memory(x)) in given for x in result):
                return tree_map(self.watch, result)
            if any(id(memory(x)) in given for x in result):
                raise CaptureError(f"{function.__name__} gives views and new arrays: use another function")
            parts = [self.made(x.copy()) for x in result]  # of which several may be parts of one array
            self.note(assign_all, (parts, function, args, kwargs), {})
            following = iter(parts)
            return tree_map(lambda _: next(following), result)
        if not isinstance(result, (ndarray, np.generic)):
            return self.decide(function, args, kwargs)
        if isinstance(result, ndarray) and id(memory(result)) in given:
            view = self.watch(result)
            view.scalar = scalar
            return view
        result = self.made(result)
        if function in FILLED:
            self.note(np.copyto, (result, FILLED[function]), {})
        elif function in COPIES or (function in RESHAPES and not kwargs and not isinstance(args[-1], str)):
            self.note(np.copyto, (result.reshape(args[0].shape), args[0], "unsafe"), {})
        elif function in WITH_OUT:
            if function in JOINING:
                kwargs.pop("dtype", None)  # not allowed together with out, which has the dtype
            self.note(function, args, {**kwargs, "out": result})
        elif function is not np.empty_like:
            self.note(assign, (result, function, args, kwargs), {})
        return result


ABOUT_SHAPES = frozenset(
    [np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.shares_memory, np.may_share_memory]
)
IN_PLACE = frozenset(
    [np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask]
    + [getattr(ndarray, name) for name in ("__setitem__", "fill", "partition", "put", "resize", "sort")]
)
FILLED = {np.zeros_like: False, np.ones_like: True}
COPIES = frozenset([np.copy, ndarray.astype, ndarray.copy])
BY_VALUES = frozenset([np.trim_zeros, np.real_if_close])  # values decide what the result is a view of
RESHAPES = frozenset([np.reshape, ndarray.reshape])  # they copy where the result cannot be a view
JOINING = frozenset([np.concatenate, np.stack])
WITH_OUT = JOINING.union([np.sum, np.mean, np.max, np.min, np.einsum, np.take, np.dot, np.cumsum])


def assign(out: Array, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Write the result of a function without an ``out`` of its own into ``out``."""
    result = function(*args, **kwargs)
    if result.shape != out.shape or result.dtype != out.dtype:  # as x[x > 0] and np.emath.sqrt(x) may
        raise Diverged
    out[...] = result


def assign_all(outs: list[Array], function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Write the results of a function that makes several arrays into ``outs``."""
    for out, result in zip(outs, function(*args, **kwargs), strict=True):
        assign(out, np.asarray, (result,), {})


def maximum(a: Array, b: Array, out: Array) -> None:
    """np.maximum, which takes ``out`` by name only; three positional arguments take less time."""
    np.maximum(a, b, out=out)


def minimum(a: Array, b: Array, out: Array) -> None:
    """np.minimum, as above."""
    np.minimum(a, b, out=out)


BY_NAME: dict[Any, Callable[..., None]] = {np.maximum: maximum, np.minimum: minimum}


def expect(answer: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Raise unless a function gives the answer that it gave in the recording."""
    if function(*args, **kwargs) != answer:
        raise Diverged


def within(errstate: dict[str, Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a function within ``np.errstate(**errstate)``, as the recording did."""
    with np.errstate(**errstate):
        function(*args, **kwargs)


def outputs(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The arguments of a noted call into which it writes."""
    if function is within:
        _, function, *args = args
    if "out" in kwargs:
        return kwargs["out"]
    if isinstance(function, np.ufunc):
        return args[function.nin :]
    return args[-1:] if function in BY_NAME.values() else args[:1]


def promote(args: Any) -> Any:
    """``args`` with elements from item() cast to the dtype that NumPy gives Python numbers among these."""
    numbers = [x.__class__ is Traced and x.python_number for x in args]
    if True not in numbers:
        return args
    pairs = list(zip(args, numbers, strict=True))
    dtypes = [x.dtype.type(0).item() if n else x.dtype for x, n in pairs if isinstance(x, ndarray)]
    dtype = np.result_type(*dtypes)
    return tuple([x.tape.watch(untraced(x)).astype(dtype) if n else x for x, n in pairs])


def quick_numbers(args: tuple[Any, ...], result: np.dtype) -> tuple[Any, ...]:
    """``args`` with Python floats as 0-d arrays, which ufuncs take faster.

    They have the same effect: where a float would change ``result``, the dtype of the result, they stay.
    """
    if float not in map(type, args):
        return args
    arrays = [untraced(x) for x in args if isinstance(x, ndarray)]
    if not any(x.dtype.kind == "f" for x in arrays):
        return args
    dtype = np.result_type(*arrays)
    if result.kind == "f" and result != dtype:  # the ufunc computes in another precision
        return args
    return tuple([np.array(x, dtype) if type(x) is float else x for x in args])
