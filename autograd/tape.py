"""The NumPy calls of a run as a list that can be run again; what `capture` is made of. Only NumPy here.

`Traced` arrays speak NumPy's dispatch protocols: whatever is done to them is done, and noted on a `Tape`.
A `Program` gives every array on a tape a place in one block of memory, shared by arrays that are never
needed at the same time, and makes the same calls on those. What Python decides by the values of arrays is
decided again, and a replay that comes to another answer stops.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from copy import copy
from functools import partial, wraps
from itertools import starmap
from math import prod
from operator import call
from typing import Any
from weakref import ref

import numpy as np

ndarray = np.ndarray
Array = Any
Tree = Any  # nested tuples, lists and dicts
Call = tuple[Callable[..., Any], Any, dict[str, Any]]  # function, arguments, keyword arguments

ALIGNED = 64  # bytes: a line of the processor's cache


class CaptureError(RuntimeError):
    """A function did something that a list of NumPy calls cannot repeat."""


class Otherwise(Exception):
    """A replay has come to values on which the function would have decided otherwise."""


# --- arrays whose use is noted ------------------------------------------------------------------


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


# --- what was done to them ----------------------------------------------------------------------


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
        it said nothing there is "call", as `capture` has set it)."""
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


# --- doing it again -----------------------------------------------------------------------------


class Program:
    """The calls of a tape on arrays of its own. ``results`` is what became of ``wanted``."""

    def __init__(self, tape: Tape, wanted: list[Any]):
        calls, wanted = joined_in_place(tape.calls, [tape.place(x) for x in wanted], tape.sizes)
        offsets, self.nbytes = shared_memory([*map(flat, calls), wanted], tape.sizes)
        block = np.empty(self.nbytes + ALIGNED, np.uint8)
        start = -address(block) % ALIGNED
        arrays: dict[Any, Array] = {}

        def bind(x: Any) -> Any:
            if not isinstance(x, Place):
                return x
            key = start + offsets[x.number] + x.offset, x.shape, x.strides, x.dtype
            if key not in arrays:
                arrays[key] = ndarray(x.shape, x.dtype, block, key[0], x.strides)
            return arrays[key]

        self.calls: list[tuple[Any, ...]] = []
        for function, args, kwargs in calls:
            args, kwargs = tree_map(bind, (args, kwargs))
            self.calls.append((partial(function, **kwargs) if kwargs else function, *args))
        self.results = [bind(x) for x in wanted]

    def run(self) -> None:
        """Make all calls again.

        Raises:
            Otherwise: the arrays do not lead where they led in the recording.
        """
        deque(starmap(call, self.calls), maxlen=0)


def joined_in_place(calls: list[Call], wanted: list[Any], sizes: list[int]) -> tuple[list[Call], list[Any]]:
    """The same without calls that join arrays which can be made in their parts of the whole to begin with:
    nothing needs them later, there they lie in memory as they would by themselves, and the whole is new."""
    used = [(i, x) for i, uses in enumerate([*calls, wanted]) for x in flat(uses) if isinstance(x, Place)]
    first, last = {x.number: i for i, x in reversed(used)}, {x.number: i for i, x in used}
    homes: dict[int, tuple[int, int]] = {}  # of a part: the whole, and where in it
    rest: list[Call] = []
    for i, (function, args, kwargs) in enumerate(calls):
        whole, axis = kwargs.get("out"), kwargs.get("axis", 0)
        parts = args[0] if function in JOINING and len(args) == 1 else ()
        moves: dict[int, tuple[int, int]] = {}
        if (
            isinstance(parts, (tuple, list))
            and parts
            and isinstance(axis, int)
            and isinstance(whole, Place)
            and first[whole.number] == i
            and all(isinstance(part, Place) for part in parts)
        ):
            at, strides = whole.offset, list(whole.strides)
            step = strides[axis] if function is np.concatenate else strides.pop(axis)
            for part in parts:
                same = zip(part.shape, part.strides, strides, strict=True)
                if (
                    last[part.number] == i
                    and part.dtype == whole.dtype
                    and part.offset == 0
                    and prod(part.shape) * part.dtype.itemsize == sizes[part.number]  # all of a memory
                    and all(n == 1 or a == b for n, a, b in same)
                ):
                    moves[part.number] = whole.number, at
                at += step * (part.shape[axis] if function is np.concatenate else 1)
        if moves and len(moves) == len(parts):
            homes |= moves
        else:
            rest.append((function, args, kwargs))

    def home(x: Any) -> Any:
        while isinstance(x, Place) and x.number in homes:
            x = x.at(*homes[x.number])
        return x

    return tree_map(home, rest), [home(x) for x in wanted]


def shared_memory(uses: list[Any], sizes: list[int]) -> tuple[dict[int, int], int]:
    """Where in one block everything may lie, from what is used at each point in time; and its size."""
    spans: dict[int, list[int]] = {}
    for now, used in enumerate(uses):
        for x in used:
            if isinstance(x, Place):
                spans.setdefault(x.number, [now, now])[1] = now
    starting: list[list[int]] = [[] for _ in uses]
    ending: list[list[int]] = [[] for _ in uses]
    for number, (first, last) in spans.items():
        starting[first].append(number)
        ending[last].append(number)

    room = {number: max(1, -(-sizes[number] // ALIGNED)) * ALIGNED for number in spans}
    offsets: dict[int, int] = {}
    gaps: list[list[int]] = []  # free stretches, start and end; the one freed last is last
    top = 0
    for started, ended in zip(starting, ending, strict=True):
        for number in started:
            gap = next((gap for gap in reversed(gaps) if gap[1] - gap[0] >= room[number]), None)
            if gap is None:
                offsets[number] = top
                top += room[number]
            else:
                offsets[number] = gap[0]
                gap[0] += room[number]
                if gap[0] == gap[1]:
                    gaps.remove(gap)
        for number in ended:
            start, end = offsets[number], offsets[number] + room[number]
            for gap in [gap for gap in gaps if gap[1] == start or gap[0] == end]:
                start, end = min(start, gap[0]), max(end, gap[1])
                gaps.remove(gap)
            gaps.append([start, end])
    return offsets, top
