"""Calls of a program as rows of a table, which a short C function runs: NumPy's loops without its dispatch.

Where arrays are small, most of the time of a NumPy call goes into finding the loop for its arguments and the
order in which to take their elements. A recording has the same arguments each time: so both are found once,
with the help of NumPy's own iterator, and written down as numbers. `loops` says which loops may be used,
`table.c` runs the rows. A call of another kind stays a call.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from functools import cache, partial
from itertools import starmap
from math import prod
from operator import add, call
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..core import Array, ndarray
from .calls import JOINING, assign, expect, maximum, minimum, within
from .loops import FLOATS, Loop, core_steps, layout_is_known, loop_of, same
from .traced import address

Call = tuple[Any, ...]  # of a program: the function, and its arguments
Row = list[int]  # loop, data, heeded, counts, and then what `table.c` says

ERRORS = {"divide": 1, "over": 2, "under": 4, "invalid": 8}  # bits for floating-point errors, as in `table.c`
ALL = sum(ERRORS.values())
BY_POSITION: dict[Any, np.ufunc] = {maximum: np.maximum, minimum: np.minimum}
REDUCTIONS: dict[Any, np.ufunc] = {
    np.sum: np.add,
    np.max: np.maximum,
    np.min: np.minimum,
    np.add.reduce: np.add,
    np.maximum.reduce: np.maximum,
    np.minimum.reduce: np.minimum,
}
EXTREMES = np.maximum, np.minimum  # which take single numbers one by one, and arrays by vectors
OPERANDS, AXES = 4, 16  # of a row, at most
MOST_TRIED = 1 << 20  # elements of an array on which a reduction is tried
MOST_CALLS = 256  # of an elementwise loop in one row: of more and shorter ones NumPy makes less
FEWEST_FILLED, MOST_FILLED = 256, 4096  # elements for which an array is filled with one number, and of it
LIBRARY = Path(__file__).with_name("table.native")  # of no suffix that Python would import


@cache
def library() -> Any:
    """The library made of ``table.c``, or a text that says why there is none.

    ctypes lets other threads of Python run while one of its functions does.
    """
    try:
        import ctypes
    except ImportError:
        return "this interpreter has no ctypes"
    if not LIBRARY.exists():
        return "there is no table.native, which an installation with a C compiler makes of table.c"
    try:
        found = ctypes.CDLL(str(LIBRARY))
        limits = (ctypes.c_ssize_t * 2).in_dll(found, "limits")
        found.run_rows.argtypes, found.run_rows.restype = (
            [ctypes.c_ssize_t, ctypes.c_void_p],
            ctypes.c_ssize_t,
        )
    except (OSError, ValueError, AttributeError) as error:
        return f"the library of table.c does not load: {error}"
    return found if list(limits) == [OPERANDS, AXES] else "the library is of another version of table.c"


HEAD = 7  # words before the addresses


def row(loop: Loop, heeded: int, views: Sequence[Array], dims: Sequence[int], steps: Sequence[int]) -> Row:
    """A row: ``loop`` at every position of the outer axes of ``views``, which all have the same shape."""
    sizes = views[0].shape
    outer = [x for i, n in enumerate(sizes) for x in (n, *[view.strides[i] for view in views])]
    counts = len(views), len(dims), len(steps), len(sizes)
    return [loop.function, loop.data, heeded, *counts, *map(address, views), *dims, *steps, *outer]


# --- geometry -----------------------------------------------------------------------------------


def iterated(arrays: Sequence[Array]) -> Sequence[Array] | None:
    """Views of ``arrays``, of which the last is written, as NumPy walks over them.

    All have the same shape, with axes merged and in NumPy's order. None where NumPy would make a copy first,
    as it does of arrays that overlap.
    """
    flags: Any = [["readonly", "overlap_assume_elementwise"]] * len(arrays)
    flags[-1] = ["readwrite", "no_broadcast", "overlap_assume_elementwise"]
    with np.nditer(arrays, ["external_loop", "copy_if_overlap"], flags) as iterator:
        if any(a is not b for a, b in zip(iterator.operands, arrays, strict=True)):
            return None
        views = iterator.itviews
    return views if views[0].ndim <= AXES else None


def along(views: Sequence[Array]) -> tuple[list[Array], list[int], list[int]]:
    """Views without their last axis, its size, and their steps along it: what one call of a loop does."""
    if views[0].ndim == 0:
        return list(views), [1], [0] * len(views)
    return [view[..., 0] for view in views], [views[0].shape[-1]], [view.strides[-1] for view in views]


def in_one_go(arrays: Sequence[Array], views: Sequence[Array]) -> bool:
    """Do the elements of the result, and of all arguments but numbers, follow each other in the same order?

    Then NumPy calls its loop once for all, with these steps. Of one element it is not known with which.
    """
    y = arrays[-1]
    return (
        views[0].ndim == 1 and y.size > 1 and all([a.flags.forc and a.shape in ((), y.shape) for a in arrays])
    )


def plain(x: Any) -> bool:
    """Is this an array whose memory a loop may take as it is?"""
    return type(x) in (ndarray, np.memmap) and x.flags.aligned and x.dtype.isnative


def overlap(a: Array, b: Array) -> bool:
    """Do two arrays share memory, or is that hard to say?"""
    try:
        return np.shares_memory(a, b, max_work=100)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def span(shape: Sequence[int], strides: Sequence[int]) -> tuple[int, int]:
    """How many bytes before the first element of an array, and after it, the outermost others begin."""
    ends = [(n - 1) * stride for n, stride in zip(shape, strides, strict=True)]
    return sum([min(end, 0) for end in ends]), sum([max(end, 0) for end in ends])


def over_elements(loop: Loop, arrays: Sequence[Array], heeded: int) -> Row | None:
    """The row for a loop at every element; None if NumPy does it in another way."""
    views = iterated(arrays)
    if views is None or prod(views[0].shape[:-1]) > MOST_CALLS:
        return None
    if not (loop.anyhow or in_one_go(arrays, views)):
        return None
    return row(loop, heeded, *along(views))


def over_matrices(loop: Loop, arrays: Sequence[Array], heeded: int) -> Row | None:
    """The row for matmul's loop at all axes before those of the matrices; None if its arrays overlap."""
    a, b, y = arrays
    if overlap(a, y) or overlap(b, y):
        return None
    if b.ndim == 1:
        b, y = b[:, None], y[..., None]
    if a.ndim == 1:
        a, y = a[None], y[..., None, :]
    dims, steps = core_steps([a, b, y])
    views = iterated([x[..., 0, 0] for x in (a, b, y)])
    if views is None:
        return None
    outer, count, outer_steps = along(views)
    return row(loop, heeded, outer, [*count, *dims], [*outer_steps, *steps])


# --- from calls to rows -------------------------------------------------------------------------


NEW = object()  # for a call that no earlier one is like


class Facts(NamedTuple):
    """What a row has to know of an array; which is kept, so that no other one gets its id."""

    array: Array
    layout: int  # the same number for the same shape, strides and dtype
    start: int
    low: int  # the memory that it spans
    high: int


class Writer:
    """Writes calls as rows. ``constants`` holds the arrays that it makes for numbers of Python's.

    Most calls of a program differ from an earlier one in their addresses only: ``plans`` has rows by layouts.
    """

    def __init__(self) -> None:
        self.constants: list[Array] = []
        self.facts: dict[int, Facts] = {}
        self.layouts: dict[Any, tuple[int, int, int]] = {}  # a number for each, and the bytes that it spans
        self.plans: dict[Any, tuple[Row, Row, Row] | None] = {}  # head, addresses from the starts, and rest
        self.filled: dict[Any, Array] = {}  # by shape and dtype: memory for what the next row reads

    def rows(self, function: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> list[Row] | None:
        """The rows for a call; None if it has to stay one."""
        heeded = ALL
        if function is within:
            errstate, function, *args = args
            if set(errstate.values()) != {"ignore"}:
                return None
            heeded -= sum(ERRORS[kind] for kind in errstate)
        function = BY_POSITION.get(function, function)
        if isinstance(function, np.ufunc):
            if kwargs.keys() == {"out"}:
                args, kwargs = [*args, *kwargs["out"]], {}
            if kwargs or function.nout != 1 or len(args) != function.nargs:
                return None
            known = self.as_before(function, args, heeded)
            if known is not NEW:
                return known
            return (self.product if function is np.matmul else self.elementwise)(function, args, heeded)
        if function is np.copyto and not kwargs:
            return self.copy(args[1], args[0])
        if function is assign and args[1] is np.where and len(args[2]) == 3 and not args[3] and not kwargs:
            return self.where(args[2], args[0])
        if function in JOINING and len(args) <= 2 and kwargs.keys() <= {"out", "axis"}:
            return self.join(function, args[0], *args[1:], **kwargs)
        if function in REDUCTIONS:
            return self.reduction(function, args, kwargs, heeded)
        return None

    def constant(self, x: Any, dtype: np.dtype) -> Array:
        """An array without axes that holds a number."""
        a = np.empty((), dtype)
        np.copyto(a, x, "unsafe")
        self.constants.append(a)
        return a

    def elementwise(self, ufunc: np.ufunc, args: Sequence[Any], heeded: int) -> list[Row] | None:
        kinds = tuple([type(x) if type(x) in (int, float) else getattr(x, "dtype", None) for x in args])
        dtypes = resolved(ufunc, kinds)
        loop = dtypes and loop_of(ufunc, dtypes)
        if not dtypes or not loop:
            return None
        arrays = [
            x if isinstance(x, ndarray) else self.constant(x, dtype)
            for x, dtype in zip(args, dtypes, strict=True)
        ]
        if ufunc in EXTREMES:
            return self.extremes(ufunc, loop, arrays, heeded)
        return self.over(ufunc, loop, arrays, heeded)

    def extremes(self, ufunc: np.ufunc, loop: Loop, arrays: Sequence[Array], heeded: int) -> list[Row] | None:
        """Maximum or minimum: with a single number, of an array that is first filled with it."""
        y = arrays[-1]
        shape = y.shape if all([a.flags.c_contiguous for a in arrays]) else y.shape[-1:]
        one = [i for i, x in enumerate(arrays) if x.ndim == 0]
        if len(one) == 1 and y.size >= FEWEST_FILLED and prod(shape) <= MOST_FILLED:
            if (key := (shape, y.dtype)) not in self.filled:
                self.filled[key] = np.empty(*key)
            fill = self.copy(arrays[one[0]], self.filled[key])
            rows = self.over(
                ufunc, loop, [*arrays[: one[0]], self.filled[key], *arrays[one[0] + 1 :]], heeded
            )
            if fill is not None and rows is not None:
                return fill + rows
        return self.over(ufunc, loop, arrays, heeded)

    def over(self, what: Any, loop: Loop, arrays: Sequence[Array], heeded: int = 0) -> list[Row] | None:
        """One row: ``loop``, which is that of ``what``, at every element."""
        if not all(map(plain, arrays)):
            return None
        return self.planned(what, over_elements, loop, arrays, heeded) if arrays[-1].size else []

    def product(self, ufunc: np.ufunc, args: Sequence[Any], heeded: int) -> list[Row] | None:
        if not all(map(plain, args)) or not all(x.size for x in args):
            return None
        loop = loop_of(ufunc, tuple([x.dtype for x in args]))
        return None if loop is None else self.planned(ufunc, over_matrices, loop, args, heeded)

    def planned(
        self, what: Any, make: Callable[..., Row | None], loop: Loop, arrays: Sequence[Array], heeded: int
    ) -> list[Row] | None:
        """The row that ``make`` gives, or an earlier one with the addresses of these arrays."""
        known = self.as_before(what, arrays, heeded)
        if known is not NEW:
            return known
        made = make(loop, arrays, heeded)
        if plan := self.plan_of(what, arrays, heeded):
            key, starts = plan
            k = HEAD + len(starts)
            self.plans[key] = None
            if made is not None:
                offsets = [at - start for at, start in zip(made[HEAD:k], starts, strict=True)]
                self.plans[key] = made[:HEAD], offsets, made[k:]
        return None if made is None else [made]

    def as_before(self, what: Any, args: Sequence[Any], heeded: int) -> Any:
        """What an earlier call with arrays like these came to, at the addresses of these; else NEW."""
        plan = self.plan_of(what, args, heeded)
        if plan is None or plan[0] not in self.plans:
            return NEW
        found = self.plans[plan[0]]
        if found is None:
            return None
        head, offsets, rest = found
        return [[*head, *map(add, offsets, plan[1]), *rest]]

    def plan_of(self, what: Any, args: Sequence[Any], heeded: int) -> tuple[Any, list[int]] | None:
        """What calls that differ in addresses only have in common, and the addresses.

        None if an argument is no plain array, or shares memory with the result and is not the result itself.
        """
        facts = [self.facts.get(id(x)) or self.facts_of(x) for x in args]
        y = facts[-1]
        if not y or not all(facts):
            return None
        if any([x is not y and x.low < y.high and y.low < x.high for x in facts]):  # type: ignore[union-attr]
            return None
        layouts = [(x.layout, x is y) for x in facts]  # type: ignore[union-attr]
        return (what, heeded, *layouts), [x.start for x in facts]  # type: ignore[union-attr]

    def facts_of(self, a: Any) -> Facts | None:
        """The facts of a plain array."""
        if not plain(a):
            return None
        key, start = (a.shape, a.strides, a.dtype), address(a)
        if key not in self.layouts:
            low, high = span(a.shape, a.strides)
            self.layouts[key] = len(self.layouts), low, high + a.itemsize
        layout, low, high = self.layouts[key]
        self.facts[id(a)] = Facts(a, layout, start, start + low, start + high)
        return self.facts[id(a)]

    def copy(self, x: Any, y: Array) -> list[Row] | None:
        """Rows that write ``x`` into ``y``."""
        if isinstance(x, (bool, int, float)):
            x = self.constant(x, y.dtype)
        if not isinstance(x, ndarray) or x.dtype != y.dtype or y.dtype.itemsize not in (1, 2, 4, 8):
            return None
        return self.over(np.copyto, own_loop("copy", y.dtype.itemsize), [x, y])

    def where(self, args: Sequence[Any], y: Array) -> list[Row] | None:
        condition, *both = args
        a, b = [self.constant(x, y.dtype) if type(x) in (bool, int, float) else x for x in both]
        if not all(isinstance(x, ndarray) for x in (condition, a, b)) or condition.dtype != np.bool_:
            return None
        if not a.dtype == b.dtype == y.dtype or y.dtype.itemsize not in (1, 2, 4, 8):
            return None
        return self.over(np.where, own_loop("where", y.dtype.itemsize), [condition, a, b, y])

    def join(self, function: Any, parts: Any, axis: Any = 0, *, out: Array) -> list[Row] | None:
        """Copies of parts to their places in ``out``."""
        rows: list[Row] = []
        if not isinstance(parts, (tuple, list)) or not isinstance(axis, int):
            return None
        turned, at = np.moveaxis(out, axis, 0), 0
        for part in parts:
            if not isinstance(part, ndarray):
                return None
            part = np.moveaxis(part, axis, 0) if function is np.concatenate else part[None]
            copied = self.copy(part, turned[at : at + len(part)])
            if copied is None:
                return None
            rows, at = rows + copied, at + len(part)
        return rows

    def reduction(
        self, function: Any, args: Sequence[Any], kwargs: dict[str, Any], heeded: int
    ) -> list[Row] | None:
        """Rows that reduce an array of floats, tried before on other numbers in arrays that lie the same."""
        settings = dict(kwargs)
        y, axis, keepdims = settings.pop("out"), settings.pop("axis", None), settings.pop("keepdims", False)
        x, y = args[0], y[0] if isinstance(y, tuple) else y
        if settings.pop("dtype", None) is not None or settings.pop("where", True) is not True or settings:
            return None
        if len(args) > 1 or not (plain(x) and plain(y)) or x.dtype != y.dtype or x.dtype not in FLOATS:
            return None
        if not 0 < x.size <= MOST_TRIED or not x.ndim:
            return None
        given: Any = range(x.ndim) if axis is None else axis if isinstance(axis, tuple) else (axis,)
        axes = sorted([i % x.ndim for i in given])
        whole = y if keepdims else np.expand_dims(y, tuple(axes))
        loop = loop_of(REDUCTIONS[function], (x.dtype,) * 3)
        if loop is None or not axes or overlap(x, y):
            return None
        if not reduces(function, loop, x.dtype, x.shape, x.strides, whole.strides, tuple(axes)):
            return None
        return reduced(loop, x, whole, axes, self.constant(0, x.dtype), heeded)


def reduced(
    loop: Loop, x: Array, y: Array, axes: Sequence[int], zero: Array, heeded: int
) -> list[Row] | None:
    """Rows that put the start of a reduction into ``y``, and then take in every element of ``x``."""
    add = loop_of(np.add, (x.dtype,) * 3)
    first = x[tuple([slice(0, 1) if i in axes else slice(None) for i in range(x.ndim)])]
    start = Writer().copy(zero if loop == add else first, y)
    kept = y[(*[0 if i in axes else slice(None) for i in range(x.ndim)], ...)]
    places = iter(range(kept.ndim))
    y_axes = [-1 if i in axes else next(places) for i in range(x.ndim)]
    flags: Any = [["readwrite"], ["readonly"]]
    both: Any = [y_axes, list(range(x.ndim))]
    with np.nditer([kept, x], ["external_loop", "reduce_ok"], flags, op_axes=both) as iterator:
        into, of = iterator.itviews
    if start is None or of.ndim > AXES:
        return None
    return [*start, row(loop, heeded, *along([into, of, into]))]


@cache
def reduces(
    function: Any,
    loop: Loop,
    dtype: np.dtype,
    shape: tuple[int, ...],
    strides: tuple[int, ...],
    result_strides: tuple[int, ...],
    axes: tuple[int, ...],
) -> bool:
    """Do the rows of a reduction give NumPy's numbers? The order of summation is in them."""
    rng, zero = np.random.default_rng(0), np.zeros((), dtype)
    result_shape = tuple([1 if i in axes else n for i, n in enumerate(shape)])
    for _ in range(8 if prod(shape) < 1000 else 2):  # few sums of few numbers tell one order from another
        x = scratch(rng, dtype, shape, strides)
        expected, found = (scratch(rng, dtype, result_shape, result_strides) for _ in range(2))
        function(x, axis=axes, keepdims=True, out=expected)
        rows = reduced(loop, x, found, axes, zero, 0)
        if rows is None:
            return False
        Table(rows).run()
        if not same(expected, found):
            return False
    return True


def scratch(rng: np.random.Generator, dtype: np.dtype, shape: Sequence[int], strides: Sequence[int]) -> Array:
    """An array of its own with these strides, filled with numbers of several sizes."""
    low, high = span(shape, strides)
    n = (high - low) // dtype.itemsize + 1
    memory = (rng.normal(size=n) * 10 ** rng.uniform(-2, 2, n)).astype(dtype)
    return ndarray(tuple(shape), dtype, memory, -low, tuple(strides))


@cache
def resolved(ufunc: np.ufunc, kinds: tuple[Any, ...]) -> tuple[np.dtype, ...] | None:
    """The dtypes of the loop for arguments of these dtypes, or of Python's number types; None if it casts."""
    if any(kind is None for kind in kinds):
        return None
    try:
        dtypes = ufunc.resolve_dtypes((*kinds[:-1], None))
    except TypeError:
        return None
    # a dtype equals the type of Python's numbers that it is the dtype of
    casts = [kind != dtype for kind, dtype in zip(kinds, dtypes, strict=True) if not isinstance(kind, type)]
    return None if any(casts) else dtypes


@cache
def own_loop(name: str, itemsize: int) -> Loop:
    """A loop of ``table.c``."""
    import ctypes

    return Loop(
        ctypes.cast(getattr(library(), f"{name}_uint{8 * itemsize}_t"), ctypes.c_void_p).value or 0, 0
    )


# --- running ------------------------------------------------------------------------------------


class Table:
    """Rows that run one after the other."""

    def __init__(self, rows: Sequence[Row]):
        words = np.array([word for row in rows for word in row], np.intp)
        self.words, run_rows = words, library().run_rows
        self.run: Callable[[], int] = partial(run_rows, len(rows), address(words))
        """Run all rows; returns the floating-point errors that count, as bits of `ERRORS`."""


class Tables:
    """Tables, and before each of them the calls that stay calls."""

    def __init__(self, parts: list[tuple[list[Call], Table]], constants: list[Array]):
        self.parts, self.constants = parts, constants

    def run(self) -> bool:
        """Run everything, up to the first floating-point error of which NumPy would tell. Was there none?

        What NumPy says of it depends on the call: where there was one, the calls have to be made.
        """
        heard = [kind for kind, how in np.geterr().items() if how != "ignore"]
        bits = sum([ERRORS[kind] for kind in heard])
        told: list[Any] = []
        settings: dict[str, Any] = dict.fromkeys(heard, "call")
        with np.errstate(call=lambda *what: told.append(what), **settings):
            try:
                for calls, table in self.parts:
                    deque(starmap(call, calls), maxlen=0)
                    if table.run() & bits:
                        return False
            except Exception:
                if not told:
                    raise
        return not told


def tables_of(calls: Sequence[Call]) -> tuple[Tables | None, str]:
    """Tables that do what ``calls`` do, and which calls stay calls; or None, and the reason."""
    if isinstance(library(), str):
        return None, str(library())
    if not layout_is_known():
        return None, f"NumPy {np.__version__} does not keep its loops where they are looked for"
    writer, kept = Writer(), Counter[str]()
    parts: list[tuple[list[Call], list[Row]]] = [([], [])]
    for made in calls:
        rows = writer.rows(*unpacked(made))
        if rows is not None:
            parts[-1][1].extend(rows)
            continue
        kept[name_of(made)] += 1
        if parts[-1][1]:
            parts.append(([], []))
        parts[-1][0].append(made)
    stay = f"of {len(calls)} calls {kept.total()} stay calls of NumPy" + ": " * bool(kept)
    stay += ", ".join([f"{n} {name}" for name, n in kept.most_common()])
    if not any(rows for _, rows in parts):
        return None, stay
    constants = [*writer.constants, *writer.filled.values()]
    return Tables([(before, Table(rows)) for before, rows in parts], constants), stay


def unpacked(made: Call) -> tuple[Any, Sequence[Any], dict[str, Any]]:
    """Function, arguments and keyword arguments of a call."""
    function, *args = made
    return (function.func, args, function.keywords) if isinstance(function, partial) else (function, args, {})


def name_of(made: Call) -> str:
    """The name of the NumPy function that a call comes down to."""
    function, args, _ = unpacked(made)
    while function in (assign, expect, within):  # a result, an answer or an errstate comes first
        _, function, *args = args
    owner = getattr(function, "__self__", None)
    return f"{owner.__name__}.{function.__name__}" if isinstance(owner, np.ufunc) else function.__name__
