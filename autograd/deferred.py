"""Gradient contributions that are added up before they are computed.

A weight used at T time steps receives T products aᵀb. Computed one by one they are T small matrix
products and T additions; kept as pairs (a, b) and joined they are one product per `CHUNK` uses. A
`backward` may therefore return an `Outer` or a `Scatter` instead of an array. Contributions add up with
``+`` like arrays, and the walk turns the sum into an array when somebody reads it. Only NumPy here: a pass
that builds a graph of its own (``create_graph=True``) never sees these.
"""

import math
from typing import Any

import numpy as np

CHUNK = 32  # uses joined at a time: nearly all of the speed, and memory stays bounded

Array = np.ndarray  # or an array of another type that implements NumPy's dispatch protocols


class Deferred:
    """One contribution: knows its ``shape`` and ``dtype``, and how several of its kind are joined."""

    __slots__ = ("dtype", "shape")
    __array_ufunc__ = None  # ``array + deferred`` must reach __radd__ below

    shape: tuple[int, ...]
    dtype: np.dtype

    @staticmethod
    def join(parts: list[Any]) -> Array:
        """The sum of contributions of one kind and shape, as an array."""
        raise NotImplementedError

    def array(self) -> Array:
        return self.join([self])

    def __add__(self, other: "Deferred | Array") -> "RunningSum":
        return RunningSum(self) + other

    __radd__ = __add__


class Outer(Deferred):
    """Σ aᵀ b over all leading axes: a (..., I), b (..., O) -> (I, O). The gradient of a weight.

    >>> from autograd.extend import Outer
    >>> g = Outer(np.array([[1.0, 2.0]]), np.array([[10.0, 1.0]]))  # aᵀ b, not computed yet
    >>> (g + Outer(np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]))).array()
    array([[10.,  1.],
           [21.,  2.]])
    """

    __slots__ = ("a", "b")

    def __init__(self, a: Array, b: Array):
        self.a, self.b = a, b
        self.shape = (a.shape[-1], b.shape[-1])
        self.dtype = a.dtype if a.dtype is b.dtype else np.result_type(a, b)

    @staticmethod
    def join(parts: list["Outer"]) -> Array:
        a, b = ([rows(getattr(p, side)) for p in reversed(parts)] for side in "ab")  # as they were used
        if len(parts) == 1:
            return a[0].T @ b[0]
        return np.concatenate(a).T @ np.concatenate(b)


class Scatter(Deferred):
    """Zeros of ``shape`` with ``g`` added at ``index``. The gradient of an indexed read.

    >>> from autograd.extend import Scatter
    >>> Scatter((4,), np.array([0, 0, 3]), np.array([1.0, 10.0, 5.0])).array()
    array([11.,  0.,  0.,  5.])
    """

    __slots__ = ("g", "index")

    def __init__(self, shape: tuple[int, ...], index: Any, g: Array):
        self.index, self.g = index, g
        self.shape, self.dtype = shape, g.dtype

    @staticmethod
    def join(parts: list["Scatter"]) -> Array:
        total = np.zeros_like(parts[0].g, shape=parts[0].shape)
        for part in parts:
            add_at(total, part.index, part.g)
        return total


class RunningSum(Deferred):
    """A running sum of contributions of any kind, owned by the walk that makes it."""

    __slots__ = ("total", "waiting")

    def __init__(self, first: Deferred):
        self.shape, self.dtype = first.shape, first.dtype
        self.total: Array | None = None
        self.waiting: dict[type, list[Any]] = {type(first): [first]}

    def __add__(self, other: Deferred | Array) -> "RunningSum":
        parts = self.waiting.get(other.__class__)
        if parts is not None and len(parts) < CHUNK - 1:  # nearly always
            parts.append(other)
            return self
        array: Array | None = None
        if isinstance(other, RunningSum):
            for parts in other.waiting.values():
                for part in parts:
                    self += part
            array = other.total
        elif isinstance(other, Deferred):
            parts = self.waiting.setdefault(type(other), [])
            parts.append(other)
            if len(parts) == CHUNK:
                del self.waiting[type(other)]
                array = type(other).join(parts)
        else:
            array = other
        if array is not None:
            self.total = array if self.total is None else self.total + array
        return self

    __radd__ = __add__

    def array(self) -> Array:
        for kind, parts in self.waiting.items():
            joined = kind.join(parts)  # type: ignore[attr-defined]
            self.total = joined if self.total is None else self.total + joined
        self.waiting = {}
        assert self.total is not None
        return self.total


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Undo broadcasting: sum ``g`` over the axes along which ``shape`` was stretched."""
    if extra := g.ndim - len(shape):
        g = np.sum(g, axis=tuple(range(extra)))
    ones = tuple([i for i, n in enumerate(shape) if n == 1 != g.shape[i]])
    return np.sum(g, axis=ones, keepdims=True) if ones else g


def rows(x: Any) -> Any:
    """x (..., N), an array or a Variable, as a matrix (rows, N)."""
    if x.ndim == 2:
        return x
    return np.reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))  # -1 is ambiguous when N is 0


def add_at(out: Array, index: Any, g: Array) -> None:
    """``out[index] += g`` in place, with repeated integer indices adding up."""
    parts = index if isinstance(index, tuple) else (index,)
    if any(getattr(part, "ndim", 0) and part.dtype != bool for part in parts):
        np.add.at(out, index, g)
    else:  # slices, single integers and masks name every element at most once
        out[index] += g
