"""NumPy's inner loops: where they are found, and what has to be true before one is used.

A ufunc holds an array of C functions, one for each combination of dtypes, which compute along one axis and
know nothing of Python. NumPy's header ``ufuncobject.h`` says where, as part of its binary interface. Nothing
here is believed: the layout is compared with what Python says of some ufuncs, and every loop has to give
NumPy's numbers, bit by bit, before anybody else gets it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from ..core import Array
from .traced import address

FLOATS = np.dtype("float32"), np.dtype("float64")
COUNTS = np.dtype("int32"), np.dtype("int64")
TRUTH = np.dtype("bool")
# Ufuncs of integers and bools that cannot fail: the loop of an integer power raises an error of Python's.
NEVER_FAIL = frozenset(
    [np.add, np.subtract, np.multiply, np.negative, np.maximum, np.minimum, np.absolute, np.invert]
    + [np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal]
    + [np.logical_and, np.logical_or, np.logical_not, np.logical_xor]
    + [np.bitwise_and, np.bitwise_or, np.bitwise_xor]
)


# The first fields of ``PyUFuncObject``, after the header that all objects of Python have: names and C types
FIELDS = (
    *(("nin", "int"), ("nout", "int"), ("nargs", "int"), ("identity", "int")),
    *(("functions", "void **"), ("data", "void **")),
    *(("ntypes", "int"), ("reserved1", "int")),
    *(("name", "char *"), ("types", "unsigned char *")),
)


class Loop(NamedTuple):
    """A C function and what NumPy keeps for it, as addresses."""

    function: int
    data: int
    anyhow: bool = True  # are the numbers the same however elements lie, and however many there are?


@cache
def struct(fields: tuple[tuple[str, str], ...]) -> Any:
    """A class of ctypes for a struct of C."""
    import ctypes

    kinds = {
        "int": ctypes.c_int,
        "void *": ctypes.c_void_p,
        "void **": ctypes.POINTER(ctypes.c_void_p),
        "char *": ctypes.c_char_p,
        "unsigned char *": ctypes.POINTER(ctypes.c_ubyte),
    }
    members = [(name, kinds[kind]) for name, kind in fields]
    return type("Head", (ctypes.Structure,), {"_fields_": members})


def head(ufunc: np.ufunc) -> Any:
    return struct(FIELDS).from_address(id(ufunc) + object.__basicsize__)


def numbers(head: Any, i: int) -> list[int]:
    """The numbers of the dtypes of loop i."""
    return head.types[i * head.nargs : (i + 1) * head.nargs]


@cache
def layout_is_known() -> bool:
    """Do the fields hold what Python says of some ufuncs?

    Pointers are followed only after all numbers before them are right, and only in NumPy 2, whose binary
    interface fixes the fields.
    """
    return np.lib.NumpyVersion(np.__version__) < "3.0.0" and all(
        describes(head(ufunc), ufunc) for ufunc in (np.add, np.matmul, np.tanh, np.isfinite)
    )


def describes(head: Any, ufunc: np.ufunc) -> bool:
    """Does a head hold what Python says of ``ufunc``?"""
    if any(getattr(head, name) != getattr(ufunc, name) for name in ("nin", "nout", "nargs", "ntypes")):
        return False
    if not (head.functions and head.data and head.types and head.name == ufunc.__name__.encode()):
        return False
    expected = [[np.dtype(c).num for c in types.replace("->", "")] for types in ufunc.types]
    return [numbers(head, i) for i in range(head.ntypes)] == expected


@cache
def loop_of(ufunc: np.ufunc, dtypes: tuple[np.dtype, ...]) -> Loop | None:
    """The loop that NumPy runs on arrays of ``dtypes``, results included; None if it cannot be trusted."""
    if not layout_is_known() or not eligible(ufunc, dtypes):
        return None
    found = search(ufunc, dtypes)
    if found is None:
        return None
    if ufunc is np.matmul:
        return found if trusted_product(found, dtypes[0]) else None
    if not trusted(found, ufunc, dtypes):
        return None
    return found._replace(anyhow=independent(found, ufunc, dtypes))


def eligible(ufunc: np.ufunc, dtypes: tuple[np.dtype, ...]) -> bool:
    """Is this a ufunc of NumPy's own that takes these dtypes without casting, and raises no errors?"""
    if getattr(np, ufunc.__name__, None) is not ufunc or (ufunc.signature and ufunc is not np.matmul):
        return False
    if ufunc.nout != 1 or len(dtypes) != ufunc.nargs:
        return False
    known = FLOATS if ufunc is np.matmul else (*FLOATS, *COUNTS, TRUTH)
    if not all(dtype in known and dtype.isnative for dtype in dtypes):
        return False
    if dtypes[0] not in FLOATS and ufunc not in NEVER_FAIL:
        return False
    try:
        return ufunc.resolve_dtypes((*dtypes[:-1], None)) == dtypes
    except TypeError:
        return False


def search(ufunc: np.ufunc, dtypes: tuple[np.dtype, ...]) -> Loop | None:
    """The first loop of exactly these dtypes, which is the one that NumPy takes."""
    its, wanted = head(ufunc), [dtype.num for dtype in dtypes]
    for i in range(its.ntypes):
        if numbers(its, i) == wanted and its.functions[i]:
            return Loop(its.functions[i], its.data[i] or 0)
    return None


# --- trials -------------------------------------------------------------------------------------


def call(loop: Loop, arrays: Sequence[Array], dims: Sequence[int], steps: Sequence[int]) -> None:
    """Run a loop once."""
    import ctypes

    words = [np.array(x, np.intp) for x in ([address(a) for a in arrays], dims, steps)]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)(loop.function)
    function(*map(address, words), loop.data)


def samples(dtype: np.dtype, n: int, turn: int) -> Array:
    """Numbers for a trial, in an order of their own for each ``turn``."""
    if dtype in FLOATS:
        edges = [0.0, -0.0, 1.0, -1.0, 0.5, 2.0, np.inf, -np.inf, np.nan, 1e-30, -1e30, 88.0, -90.0, 1e-42]
        x = np.concatenate([edges, np.linspace(-6, 6, 91), np.geomspace(1e-3, 1e3, 60)])
    else:
        x = np.arange(-40, 41) if dtype in COUNTS else np.arange(2)
    order = np.random.default_rng(turn).permutation(max(n, len(x))) % len(x)
    return x.astype(dtype)[order[:n]]


def same(a: Array, b: Array) -> bool:
    """Are two arrays equal bit by bit? NaNs count as equal."""
    if a.dtype in FLOATS:
        a, b = np.where(np.isnan(a), np.nan, a), np.where(np.isnan(b), np.nan, b)
    return a.tobytes() == b.tobytes()


N = 131  # elements of a trial: some vectors of the processor's, and a rest


@np.errstate(all="ignore")
def tried(
    loop: Loop, ufunc: np.ufunc, dtypes: Sequence[np.dtype], strides: Sequence[int], n: int = N
) -> bool:
    """Does a loop give NumPy's numbers, on arrays whose elements lie ``strides`` apart, n at a time?"""
    arrays = []
    for turn, (dtype, stride) in enumerate(zip(dtypes, strides, strict=True)):
        x = samples(dtype, 2 * N, turn)
        arrays.append(x[::stride][:N] if stride else np.broadcast_to(x[:1], N))
    *xs, y = arrays
    expected = ufunc(*[x.copy() for x in xs])
    y[...] = ~expected if y.dtype == TRUTH else 1 - expected  # other numbers
    for i in range(0, N, n):
        call(loop, [a[i:] for a in arrays], [n], [a.strides[0] for a in arrays])
    return same(y, expected)


@np.errstate(all="ignore")
def trusted(loop: Loop, ufunc: np.ufunc, dtypes: tuple[np.dtype, ...]) -> bool:
    """Does a loop give NumPy's numbers where elements follow each other, or are a single one?"""
    ways = itertools.product((1, 0), repeat=ufunc.nin)
    if not all([tried(loop, ufunc, dtypes, (*way, 1)) for way in ways if any(way)]):
        return False
    xs = [samples(dtype, N, turn) for turn, dtype in enumerate(dtypes[:-1])]
    expected = ufunc(*xs)
    for i, x in enumerate(xs):  # into an argument
        if x.dtype == dtypes[-1]:
            into = x.copy()
            arrays = [*xs[:i], into, *xs[i + 1 :], into]
            call(loop, arrays, [N], [a.itemsize for a in arrays])
            if not same(into, expected):
                return False
    return True


def independent(loop: Loop, ufunc: np.ufunc, dtypes: tuple[np.dtype, ...]) -> bool:
    """Does it also where elements lie apart, or backwards, or come one by one?

    Else the numbers may depend on how somebody cuts arrays into parts: some loops compute several elements
    at a time, where these follow each other, in another way than one.
    """
    ways = itertools.product((1, 2, -1, 0), repeat=ufunc.nin)
    return tried(loop, ufunc, dtypes, [1] * len(dtypes), 1) and all(
        [tried(loop, ufunc, dtypes, (*way, step)) for way in ways for step in (1, 2, -1) if any(way)]
    )


def core_steps(arrays: Sequence[Array]) -> tuple[list[int], list[int]]:
    """The sizes and strides of two matrices and their product, as the loop of matmul takes them."""
    a, b, _ = arrays
    sizes = [a.shape[-2], a.shape[-1], b.shape[-1]]
    # as NumPy says it: an axis of one element has no stride
    return sizes, [
        s if n > 1 else 0 for x in arrays for n, s in zip(x.shape[-2:], x.strides[-2:], strict=True)
    ]


def matrices(dtype: np.dtype, rows: int, columns: int) -> Iterator[Array]:
    """One matrix in all orders in memory that a program may meet."""
    x = samples(dtype, 6 * rows * columns, rows)
    x = np.where(np.isfinite(x) & (abs(x) < 100), x, 1).astype(dtype)
    yield x[: rows * columns].reshape(rows, columns)
    yield x[: rows * columns].reshape(columns, rows).T
    yield x[: 3 * rows * columns].reshape(rows, 3 * columns)[:, columns : 2 * columns]
    yield x.reshape(2 * rows, 3 * columns)[::2, ::3]


@np.errstate(all="ignore")
def trusted_product(loop: Loop, dtype: np.dtype) -> bool:
    """Does the loop of matmul give NumPy's numbers, for vectors, transposed and strided matrices too?"""
    for m, n, p in itertools.product((1, 3, 17), repeat=3):
        for a, b in itertools.product(matrices(dtype, m, n), matrices(dtype, n, p)):
            expected, out = np.matmul(a, b), np.full((m, p), np.nan, dtype)
            dims, steps = core_steps([a, b, out])
            call(loop, [a, b, out], [1, *dims], [0, 0, 0, *steps])
            if not same(out, expected):
                return False
    return True
