"""The NumPy calls of a run, as a list: what was done to `Traced` arrays, and how to say it again.

What Python decides by the values of arrays is a call too: it is decided again, and a replay that comes to
another answer stops.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

import numpy as np

from .traced import (
    BLANK,
    BLANK_TRUTH,
    UNSEEN,
    Array,
    CaptureError,
    Otherwise,
    Traced,
    Tree,
    address,
    bare,
    flat,
    memory,
    ndarray,
    tree_map,
)

Call = tuple[Callable[..., Any], Any, dict[str, Any]]  # function, arguments, keyword arguments


class Place:
    """An array made during a recording, by what makes it up: a tape holds no memory."""

    __slots__ = ("dtype", "number", "offset", "shape", "strides")

    def __init__(self, number: int, offset: int, shape: tuple[int, ...], strides: Any, dtype: Any):
        self.number, self.offset = number, offset  # of the memory, and into it in bytes
        self.shape, self.strides, self.dtype = shape, strides, dtype

    def at(self, number: int, offset: int) -> Place:
        """The same array somewhere else."""
        return Place(number, self.offset + offset, self.shape, self.strides, self.dtype)


class Tape:
    """The calls of one run, in order, with `Place` for the arrays that it made."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.sizes: list[int] = []  # bytes of every memory that was made, by number
        self.numbers: dict[int, tuple[int, Any]] = {}  # of every memory, by its id; and a reference
        self.traced: list[Any] = []  # references to all Traced arrays
        self.generators: set[np.random.Generator] = set()  # that were drawn from

    def watch(self, a: Array) -> Any:
        """A Traced array with the numbers of ``a``."""
        if a.dtype.hasobject:
            raise CaptureError("arrays of Python objects cannot be recorded: compute with numbers")
        blank = BLANK_TRUTH if a.dtype == bool else BLANK
        watched: Any = np.broadcast_to(blank, a.shape).view(Traced)
        watched.tape, watched.array = self, a
        self.traced.append(ref(watched))
        return watched

    def left(self) -> list[Traced]:
        """The Traced arrays that are still referred to."""
        return [array for array in [reference() for reference in self.traced] if array is not None]

    def made(self, a: Any) -> Any:
        """The new array or NumPy scalar ``a`` as a Traced array."""
        scalar = isinstance(a, np.generic)
        a = np.asarray(a)
        owner = memory(a)
        self.numbers[id(owner)] = len(self.sizes), ref(owner)
        self.sizes.append(owner.nbytes)
        watched = self.watch(a)
        watched.scalar = scalar
        return watched

    def number(self, owner: Any) -> int | None:
        """The number of a memory that was made during the recording; None for any other."""
        number, reference = self.numbers.get(id(owner), (None, None))
        return number if reference is not None and reference() is owner else None

    def place(self, x: Any) -> Any:
        """An array made during the recording as a Place; anything else as it is."""
        if not isinstance(x, ndarray):
            return x
        x = bare(x)
        owner = memory(x)
        if owner is BLANK or owner is BLANK_TRUTH:
            raise CaptureError(UNSEEN)
        number = self.number(owner)
        if number is None:
            return x
        return Place(number, address(x) - address(owner), x.shape, x.strides, x.dtype)

    def note(self, function: Any, args: Tree, kwargs: Tree) -> None:
        """Add a call to the list, with what the function said about floating-point errors around it (where
        it said nothing there is "call", as `recording` has set it)."""
        said = {kind: what for kind, what in np.geterr().items() if what != "call"}
        if said:
            function, args = under, (said, function, *args)
        self.calls.append((function, tree_map(self.place, args), tree_map(self.place, kwargs)))

    def decide(self, function: Any, args: Tree, kwargs: Tree) -> Any:
        """What a function says of arrays that is no array. Replays go on only where it says the same."""
        args, kwargs = tree_map(bare, (args, kwargs))
        answer = function(*args, **kwargs)
        self.note(expect, (answer, function, args, kwargs), {})
        return answer

    def check_own(self, a: Array, function: Any) -> None:
        """Raise unless ``a``, into which ``function`` is about to write, was made during the recording."""
        if self.number(memory(a)) is None:
            raise CaptureError(
                f"{function.__name__} writes into an array that the captured function was given or that"
                " outlives it, as batch normalisation does in training: compute a new one, and return it if"
                " it is wanted later"
            )

    def ufunc(self, ufunc: Any, method: str, args: Any, out: Any, kwargs: Any) -> Any:
        """Call a ufunc, or one of its methods such as reduce, and note it."""
        function = ufunc if method == "__call__" else getattr(ufunc, method)
        weak = all(x.weak if isinstance(x, Traced) else type(x) in (float, int, bool) for x in args)
        if out is not None and getattr(out[0], "scalar", False):
            out = None  # n += 1 makes another one
        args, out, kwargs = tree_map(bare, (strong(args), out, kwargs))
        if method == "at":
            self.check_own(args[0], ufunc.at)
            function(*args, **kwargs)
            return self.note(function, args, kwargs)
        if out is not None:
            self.check_own(out[0], ufunc)
            function(*args, **kwargs, out=out)
            results = tuple(map(self.watch, out))
        else:
            results = function(*args, **kwargs)
            results = tuple(map(self.made, results if isinstance(results, tuple) else (results,)))
            for result in results:
                result.weak = weak
        args = quick_numbers(args, results[0].dtype)
        if kwargs or method != "__call__":
            self.note(function, args, {**kwargs, "out": results})
        else:
            self.note(BY_NAME.get(function, function), (*args, *results), {})
        return results if len(results) > 1 else results[0]

    def function(self, function: Any, args: Any, kwargs: Any) -> Any:
        """Call any other function of NumPy's, or a method of arrays, and note it."""
        scalar = getattr(args[0], "scalar", False) if args else False
        args, kwargs = tree_map(bare, (strong(args), kwargs))
        if function in ABOUT_SHAPES:
            return function(*args, **kwargs)
        changed = args[0] if function in IN_PLACE else kwargs.get("out")
        if changed is not None:
            self.check_own(changed, function)
            result = function(*args, **kwargs)
            self.note(function, args, kwargs)  # now that it has not raised
            return None if result is None else self.watch(changed)
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
        if isinstance(result, (tuple, list)) and all(isinstance(part, ndarray) for part in result):
            if not all(id(memory(part)) in given for part in result):
                raise CaptureError(f"{function.__name__} makes several arrays at once: use another function")
            return type(result)(map(self.watch, result))
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
                kwargs.pop("dtype", None)  # not allowed together with out, which says as much
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
BY_VALUES = frozenset([np.trim_zeros, np.real_if_close])  # which part of an array they are a view of
RESHAPES = frozenset([np.reshape, ndarray.reshape])  # to a copy, where the result cannot be a view
JOINING = frozenset([np.concatenate, np.stack])
WITH_OUT = JOINING.union([np.sum, np.mean, np.max, np.min, np.einsum, np.take, np.dot, np.cumsum])


def assign(out: Array, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Make the result of a call that has no ``out`` of its own the content of ``out``."""
    result = function(*args, **kwargs)
    if result.shape != out.shape or result.dtype != out.dtype:  # as of x[x > 0], np.emath.sqrt(x)
        raise Otherwise
    out[...] = result


def maximum(a: Any, b: Any, out: Array) -> None:
    """np.maximum, which takes ``out`` by name only; as a function of three arguments it is called faster."""
    np.maximum(a, b, out=out)


def minimum(a: Any, b: Any, out: Array) -> None:
    """np.minimum, as above."""
    np.minimum(a, b, out=out)


BY_NAME = {np.maximum: maximum, np.minimum: minimum}


def expect(answer: Any, function: Callable[..., Any], args: Any, kwargs: Any) -> None:
    """Go on only if a function says of its arrays what it said in the recording."""
    if function(*args, **kwargs) != answer:
        raise Otherwise


def under(said: dict[str, Any], function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """Call a function as it was called in the recording, within ``np.errstate``."""
    with np.errstate(**said):
        function(*args, **kwargs)


def strong(args: Any) -> Any:
    """``args`` with elements that were read off as numbers in the dtype to which they give way."""
    weak = [isinstance(x, Traced) and x.weak for x in args]
    if not any(weak):
        return args
    pairs = [(x, w) for x, w in zip(args, weak, strict=True) if isinstance(x, ndarray)]
    dtype = np.result_type(*[x.dtype.type(0).item() if w else x.dtype for x, w in pairs])
    return tuple([x.tape.watch(bare(x)).astype(dtype) if w else x for x, w in zip(args, weak, strict=True)])


def quick_numbers(args: tuple[Any, ...], result: Any) -> tuple[Any, ...]:
    """``args`` with Python floats as 0-d arrays of the same effect, which ufuncs take faster; ``result`` is
    the dtype of what comes out."""
    arrays = [x for x in args if isinstance(x, ndarray)]
    if not any(x.dtype.kind == "f" for x in arrays):
        return args
    dtype = np.result_type(*arrays)
    if result.kind == "f" and result != dtype:  # computed in another precision
        return args
    return tuple([np.array(x, dtype) if type(x) is float else x for x in args])
