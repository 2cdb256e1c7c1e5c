"""NumPy's own functions on Variables: ``np.tanh(v)``, ``np.concatenate([u, v])``, ``array @ v``.

`UFUNCS` and `FUNCTIONS` send a NumPy function to the operation of the same meaning. The others work on the
arrays where no Variable requires grad. Where one does, `PLAIN_UFUNCS` and `PLAIN` still do, as their answers
have no derivative (comparisons, indices, shapes, text and files), and everything else is a TypeError that
says so: no gradient is lost in silence. Through these tables the backward of a primitive, which is plain
NumPy, records itself under ``create_graph=True``.
"""

import inspect
from collections.abc import Callable
from functools import cache
from typing import Any, NoReturn

import numpy as np

from . import ops
from .core import MASKED, Variable, data_of
from .operators import plain
from .ops import matrix, numpys

UFUNCS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.add,
    np.subtract: ops.subtract,
    np.multiply: ops.multiply,
    np.true_divide: ops.divide,
    np.floor_divide: ops.floor_divide,
    np.remainder: ops.mod,
    np.fmod: ops.fmod,
    np.divmod: numpys.divmod_,
    np.modf: numpys.modf,
    np.negative: ops.negative,
    np.positive: lambda x: x,
    np.conjugate: lambda x: x,
    np.power: ops.power,
    np.float_power: ops.power,
    np.absolute: ops.absolute,
    np.fabs: ops.absolute,
    np.sign: ops.sign,
    np.copysign: ops.copysign,
    np.heaviside: ops.heaviside,
    np.square: ops.square,
    np.reciprocal: ops.reciprocal,
    np.sqrt: ops.sqrt,
    np.cbrt: ops.cbrt,
    np.maximum: ops.maximum,
    np.minimum: ops.minimum,
    np.fmax: ops.fmax,
    np.fmin: ops.fmin,
    np.floor: ops.floor,
    np.ceil: ops.ceil,
    np.trunc: ops.trunc,
    np.rint: lambda x: ops.round(x),
    np.exp: ops.exp,
    np.exp2: ops.exp2,
    np.expm1: ops.expm1,
    np.log: ops.log,
    np.log2: ops.log2,
    np.log10: ops.log10,
    np.log1p: ops.log1p,
    np.logaddexp: ops.logaddexp,
    np.logaddexp2: ops.logaddexp2,
    np.ldexp: numpys.ldexp,
    np.frexp: numpys.frexp,
    np.sin: ops.sin,
    np.cos: ops.cos,
    np.tan: ops.tan,
    np.arcsin: ops.arcsin,
    np.arccos: ops.arccos,
    np.arctan: ops.arctan,
    np.arctan2: ops.arctan2,
    np.hypot: ops.hypot,
    np.sinh: ops.sinh,
    np.cosh: ops.cosh,
    np.tanh: ops.tanh,
    np.arcsinh: ops.arcsinh,
    np.arccosh: ops.arccosh,
    np.arctanh: ops.arctanh,
    np.deg2rad: ops.deg2rad,
    np.radians: ops.deg2rad,
    np.rad2deg: ops.rad2deg,
    np.degrees: ops.rad2deg,
    np.matmul: ops.matmul,
    np.vecdot: numpys.vecdot,
}
if hasattr(np, "matvec"):  # NumPy 2.2
    UFUNCS |= {np.matvec: numpys.matvec, np.vecmat: numpys.vecmat}

REDUCTIONS: dict[np.ufunc, Callable[..., Any]] = {
    np.add: ops.sum,
    np.multiply: ops.prod,
    np.maximum: ops.max,
    np.minimum: ops.min,
}

PLAIN_UFUNCS = {
    np.equal, np.not_equal, np.less, np.less_equal, np.greater, np.greater_equal,
    np.isnan, np.isinf, np.isfinite, np.signbit, np.spacing,
    np.logical_and, np.logical_or, np.logical_not, np.logical_xor,
}  # fmt: skip

FUNCTIONS: dict[Callable[..., Any], Callable[..., Any]] = {
    np.where: lambda condition, *ab: ops.where(condition, *ab) if ab else np.nonzero(data_of(condition)),
    np.clip: numpys.clip_,
    np.amax: ops.max,
    np.amin: ops.min,
    np.around: ops.round,
    np.real: lambda val: val,
    np.real_if_close: lambda a: a,
    np.linalg.outer: ops.outer,
    np.linalg.matmul: ops.matmul,
    np.linalg.tensordot: ops.tensordot,
    np.linalg.matrix_transpose: ops.matrix_transpose,
    np.linalg.vecdot: numpys.vecdot,
    np.linalg.cross: numpys.linalg_cross,
    np.linalg.diagonal: numpys.linalg_diagonal,
    np.linalg.trace: numpys.linalg_trace,
}
_BY_NAME = """
    append array_split atleast_1d atleast_2d atleast_3d average broadcast_to column_stack concatenate
    convolve copy cross cumprod cumsum diag diagonal diff dot dstack einsum expand_dims flip hstack inner
    kron matrix_transpose max mean median meshgrid min moveaxis nan_to_num outer pad percentile prod ptp
    quantile ravel repeat reshape roll round sinc sort split squeeze stack std sum swapaxes take
    take_along_axis tensordot tile trace transpose tril triu unstack astype var vstack
"""
_FROM_NUMPYS = """
    apply_along_axis apply_over_axes bincount block broadcast_arrays choose compress corrcoef correlate
    cov cumulative_prod cumulative_sum delete diagflat dsplit ediff1d extract fliplr flipud geomspace
    gradient hsplit insert interp linspace logspace nancumprod nancumsum nanmax nanmean nanmedian nanmin
    nanpercentile nanprod nanquantile nanstd nansum nanvar partition poly polyadd polyder polyint polymul
    polysub polyval resize rollaxis rot90 select trapezoid trim_zeros unique unwrap vander vdot vsplit
"""
_FROM_LINALG = """
    cholesky det eigh eigvalsh inv matrix_norm matrix_power multi_dot norm slogdet solve svd svdvals
    vector_norm
"""
for _names, _theirs, _ours in (
    (_BY_NAME, np, ops),
    (_FROM_NUMPYS, np, numpys),
    (_FROM_LINALG, np.linalg, matrix),
    ("cond tensorinv tensorsolve", np.linalg, numpys),
):
    for _name in _names.split():
        if hasattr(_theirs, _name):  # some are younger than NumPy 2.0
            FUNCTIONS[getattr(_theirs, _name)] = getattr(_ours, _name)
if hasattr(np, "fix"):  # deprecated since NumPy 2.5
    FUNCTIONS[np.fix] = lambda x: ops.trunc(x)

PLAIN = {
    np.shape, np.ndim, np.size, np.result_type, np.can_cast, np.common_type, np.min_scalar_type,
    np.iscomplexobj, np.isrealobj, np.linalg.matrix_rank, np.zeros_like, np.ones_like, np.full_like,
    np.empty_like, np.argmax, np.argmin, np.nanargmax, np.nanargmin, np.argsort, np.argpartition,
    np.lexsort, np.searchsorted, np.digitize, np.argwhere, np.flatnonzero, np.nonzero, np.count_nonzero,
    np.isin, np.any, np.all, np.diag_indices_from, np.tril_indices_from, np.triu_indices_from, np.isclose,
    np.allclose, np.array_equal, np.array_equiv, np.isneginf, np.isposinf, np.isreal, np.iscomplex,
    np.shares_memory, np.may_share_memory, np.array2string, np.array_repr, np.array_str, np.save,
    np.savez, np.savez_compressed, np.savetxt,
}  # fmt: skip

IN_PLACE = {np.copyto, np.fill_diagonal, np.place, np.put, np.put_along_axis, np.putmask}


def array_ufunc(self: Variable, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol for ufuncs: ``np.add(x, v)``, ``array * v``, ``np.add.reduce(v)``."""
    out = kwargs.get("out", ())
    if method == "__call__":
        if ufunc in UFUNCS and not kwargs:
            return UFUNCS[ufunc](*inputs)
        if ufunc in PLAIN_UFUNCS and not kwargs:
            return plain(ufunc, *inputs)
    elif method == "reduce" and ufunc in REDUCTIONS and kwargs.keys() <= {"axis", "keepdims"}:
        return REDUCTIONS[ufunc](*inputs, **{"axis": 0, **kwargs})
    name = f"np.{ufunc.__name__}" + ("" if method == "__call__" else f".{method}")
    if _variables(out) or (method == "at" and isinstance(inputs[0], Variable)):
        raise TypeError(f"{name} cannot write into a Variable: {_WRITE}")
    if not any(x.requires_grad for x in _variables((inputs, kwargs))):
        return getattr(ufunc, method)(*map(_plain, inputs), **{k: _plain(x) for k, x in kwargs.items()})
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
        names, positional, first, defaults = _signature(func)
        if not args and first in kwargs:
            args, kwargs = (kwargs[first],), {k: x for k, x in kwargs.items() if k != first}
        known = {k: x for k, x in kwargs.items() if k in names or not _is_default(x, defaults.get(k))}
        if len(args) <= positional and known.keys() <= names:
            try:
                return op(*args, **known)
            except (TypeError, ValueError):  # perhaps a setting that NumPy has and the operation has not
                if any(x.requires_grad for x in _variables((args, kwargs))):
                    raise
    name = f"{func.__module__.replace('numpy', 'np')}.{func.__name__}"
    if (func in IN_PLACE and args and isinstance(args[0], Variable)) or _variables(kwargs.get("out")):
        raise TypeError(f"{name} cannot write into a Variable: {_WRITE}")
    if func in PLAIN or not any(x.requires_grad for x in _variables((args, kwargs))):
        return func(*map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})
    if op is None:
        raise TypeError(f"{name} has no derivative here: {_WAY_OUT}")
    if len(args) > positional:
        raise TypeError(f"{name} on a Variable takes {positional} positional arguments, got {len(args)}")
    unknown = ", ".join(k for k in known if k not in names)
    raise TypeError(f"{name} on a Variable does not take {unknown}=: {_WAY_OUT}")


def _is_default(x: Any, default: Any) -> bool:
    """Is an argument what NumPy takes without it? None means so everywhere."""
    return x is None or (isinstance(x, str | bool | int) and type(x) is type(default) and x == default)


_WAY_OUT = "use operations listed in autograd, or x.data for a plain array outside the graph"
_WRITE = "use y = autograd.index_update(x, index, value), or write into x.data outside the graph"


def _variables(x: Any) -> list[Variable]:
    """The Variables in nested tuples, lists and dicts."""
    if isinstance(x, Variable):
        return [x]
    if isinstance(x, list | tuple | dict):
        return [v for part in (x.values() if isinstance(x, dict) else x) for v in _variables(part)]
    return []


def _plain(x: Any) -> Any:
    """What it is with arrays for Variables, also in nested tuples, lists and dicts."""
    if isinstance(x, dict):
        return {k: _plain(part) for k, part in x.items()}
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError(MASKED)
    if not isinstance(x, list | tuple):
        return data_of(x)
    return [_plain(part) for part in x] if isinstance(x, list) else tuple(map(_plain, x))


@cache
def _signature(func: Callable[..., Any]) -> tuple[set[str], int, str, dict[str, Any]]:
    """The keywords of the operation for a NumPy function, how many positional arguments mean the same to
    both, NumPy's name of the first, and NumPy's defaults."""
    ours = list(inspect.signature(FUNCTIONS[func]).parameters.values())
    try:
        theirs = list(inspect.signature(func).parameters.values())
    except ValueError:  # written in C
        theirs = ours
    defaults = {p.name: p.default for p in theirs}
    if any(p.kind is p.VAR_POSITIONAL for p in ours):
        return {p.name for p in ours if p.kind is p.KEYWORD_ONLY}, 99, "", defaults
    same = 1
    for a, b in zip(ours[1:], theirs[1:], strict=False):
        if a.name != b.name and b.kind is not b.POSITIONAL_ONLY:
            break
        same += 1
    return {p.name for p in ours}, same, theirs[0].name, defaults


def masked(self: Variable) -> NoReturn:
    """Raise: np.ma asks no protocol, but takes ``_data`` of its operands and asks them for ``_mask``."""
    raise TypeError(MASKED)


def bind() -> None:
    """Give Variable the two protocols."""
    Variable._mask = property(masked)  # type: ignore[attr-defined]
    Variable.__array_ufunc__ = array_ufunc  # type: ignore[attr-defined]
    Variable.__array_function__ = array_function  # type: ignore[attr-defined]
