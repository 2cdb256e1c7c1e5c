"""NumPy's own functions on Variables: ``np.tanh(v)``, ``np.concatenate([u, v])``, ``array @ v``.

Three tables. `UFUNCS` and `FUNCTIONS` send a NumPy function to the operation of the same meaning;
`PLAIN` are answered from the arrays, since they have no derivative. Everything else is a TypeError
that says so. Through these tables the backward of a primitive, which is plain NumPy, records itself
under ``create_graph=True``.
"""

import inspect
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from . import ops
from .core import MASKED, Variable, data_of

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.negative: ops.negative,
    np.positive: lambda x: x,
    np.power: ops.power,
    np.float_power: ops.power,
    np.absolute: ops.absolute,
    np.fabs: ops.absolute,
    np.sign: ops.sign,
    np.square: ops.square,
    np.reciprocal: ops.reciprocal,
    np.sqrt: ops.sqrt,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.exp: ops.exp,
    np.expm1: ops.expm1,
    np.log: ops.log,
    np.log1p: ops.log1p,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.tanh: ops.tanh,
    np.matmul: ops.matmul,
}

REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.sum,
    np.multiply: ops.prod,
    np.maximum: ops.max,
    np.minimum: ops.min,
}

PLAIN_UFUNCS = {
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.isnan, np.isinf, np.isfinite, np.signbit,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
}  # fmt: skip

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.sum: ops.sum,
    np.mean: ops.mean,
    np.var: ops.var,
    np.std: ops.std,
    np.max: ops.max,
    np.amax: ops.max,
    np.min: ops.min,
    np.amin: ops.min,
    np.prod: ops.prod,
    np.cumsum: ops.cumsum,
    np.where: lambda condition, *ab: ops.where(condition, *ab) if ab else np.nonzero(data_of(condition)),
    np.clip: ops.clip,
    np.dot: ops.dot,
    np.outer: ops.outer,
    np.einsum: ops.einsum,
    np.convolve: ops.convolve,
    np.tensordot: ops.tensordot,
    np.reshape: ops.reshape,
    np.ravel: lambda x: ops.reshape(x, (-1,)),
    np.transpose: ops.transpose,
    np.swapaxes: ops.swapaxes,
    np.moveaxis: ops.moveaxis,
    np.expand_dims: ops.expand_dims,
    np.squeeze: ops.squeeze,
    np.broadcast_to: ops.broadcast_to,
    np.concatenate: ops.concatenate,
    np.stack: ops.stack,
    np.split: ops.split,
    np.flip: ops.flip,
    np.pad: ops.pad,
    np.roll: ops.roll,
    np.tile: ops.tile,
    np.repeat: ops.repeat,
    np.tril: ops.tril,
    np.triu: ops.triu,
    np.take_along_axis: ops.take_along_axis,
}
if hasattr(np, "unstack"):  # NumPy 2.1
    FUNCTIONS[np.unstack] = lambda x, axis=0: ops.unstack(x, axis)
    FUNCTIONS[np.astype] = ops.astype

PLAIN = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast,
    np.zeros_like, np.ones_like, np.full_like, np.empty_like,
    np.argmax, np.argmin, np.argsort, np.count_nonzero, np.nonzero, np.any, np.all,
    np.isclose, np.allclose, np.array_equal, np.shares_memory, np.may_share_memory,
}  # fmt: skip


def array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol for ufuncs: ``np.add(x, v)``, ``array * v``, ``np.add.reduce(v)``."""
    if method == "__call__":
        if ufunc in UFUNCS and not kwargs:
            return UFUNCS[ufunc](*inputs)
        if ufunc in PLAIN_UFUNCS and not kwargs:
            return ufunc(*map(data_of, inputs))
    elif method == "reduce" and ufunc in REDUCTIONS and kwargs.keys() <= {"axis", "keepdims"}:
        return REDUCTIONS[ufunc](*inputs, **{"axis": 0, **kwargs})
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if "out" in kwargs:
        raise TypeError(f"{name} cannot write a Variable into an array: use arr = arr + v, not arr += v")
    known = {"axis", "keepdims"} if method == "reduce" else set()
    if kwargs.keys() - known and (ufunc in UFUNCS or ufunc in PLAIN_UFUNCS):
        unknown = ", ".join(k for k in kwargs if k not in known)
        raise TypeError(f"{name} on a Variable does not take {unknown}=: {_WAY_OUT}")
    raise TypeError(f"{name} has no derivative here: {_WAY_OUT}")


def array_function(self: Variable, func: Callable[..., Any], types: Any, args: Any, kwargs: Any) -> Any:
    """NumPy's protocol for all other functions: ``np.sum(v)``, ``np.concatenate([u, v])``."""
    op = FUNCTIONS.get(func)
    if op is not None:
        names, positional = _SIGNATURES[func]
        if len(args) <= positional and kwargs.keys() <= names:
            return op(*args, **kwargs)
    elif func in PLAIN:
        return func(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
    name = f"{func.__module__.replace('numpy', 'np')}.{func.__name__}"
    if op is None:
        raise TypeError(f"{name} has no derivative here: {_WAY_OUT}")
    if len(args) > positional:
        raise TypeError(f"{name} on a Variable takes {positional} positional arguments, got {len(args)}")
    unknown = [k for k, v in kwargs.items() if k not in names and v is not None]
    if unknown:
        raise TypeError(f"{name} on a Variable does not take {', '.join(unknown)}=: {_WAY_OUT}")
    return op(*args, **{k: v for k, v in kwargs.items() if k in names})


_WAY_OUT = "use operations listed in autograd, or x.data for a plain array outside the graph"


def _plain(x: Any) -> Any:
    return type(x)(map(_plain, x)) if isinstance(x, list | tuple) else data_of(x)


def _signature(func: Callable[..., Any], op: Callable[..., Any]) -> tuple[set[str], int]:
    """The keywords of ``op``, and how many positional arguments mean the same to NumPy and to it."""
    ours = list(inspect.signature(op).parameters.values())
    if any(p.kind is p.VAR_POSITIONAL for p in ours):
        return set(), 99
    names = [p.name for p in ours]
    try:
        theirs = list(inspect.signature(func).parameters)
    except ValueError:  # written in C
        return set(names), len(names)
    same = 1
    while same < min(len(names), len(theirs)) and names[same] == theirs[same]:
        same += 1
    return set(names), same


_SIGNATURES = {func: _signature(func, op) for func, op in FUNCTIONS.items()}


def masked(self: Variable) -> NoReturn:
    """Raise: np.ma asks no protocol, but takes ``_data`` of its operands and asks them for ``_mask``."""
    raise TypeError(MASKED)


def bind() -> None:
    """Give Variable the two protocols."""
    Variable._mask = property(masked)  # type: ignore[attr-defined]
    Variable.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
    Variable.__array_function__ = array_function  # type: ignore[attr-defined]
