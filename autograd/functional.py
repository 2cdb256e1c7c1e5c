"""Derivatives of functions: vector-Jacobian and Jacobian-vector products, Jacobians, Hessians.

Compositions of `grad`; nothing here knows an operation. Each takes a function of Variables and the
arrays or Variables to evaluate it at, and changes neither their graphs nor their ``.grad``. With
``create_graph=True`` the results can be differentiated again, also with respect to Variables that ``f``
takes from around it.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from . import ops
from .core import Operand, Value, Variable, alike, data_of
from .engine import grad
from .modes import enable_grad
from .ops.shape import as_value

Y = TypeVar("Y")  # what the function returns: a Variable or a tuple of them


@overload
def vjp(
    f: Callable[[Variable], Y], x: Operand, /, *, create_graph: bool = False
) -> tuple[Y, Callable[..., Variable]]: ...
@overload
def vjp(
    f: Callable[..., Y], x: Operand, y: Operand, /, *xs: Operand, create_graph: bool = False
) -> tuple[Y, Callable[..., tuple[Variable, ...]]]: ...
def vjp(f: Callable[..., Y], *xs: Operand, create_graph: bool = False) -> tuple[Y, Callable[..., Any]]:
    """The value of ``f`` at ``xs`` and its pullback: reverse mode, one product vᵀJ per call.

    Returns ``(y, pull)``. ``pull(v)``, v of y's shape (one per output where f returns a tuple), gives
    the gradient of ``sum(v * y)`` in the shape of x; a tuple where there are several xs. It may be
    called any number of times. An x that y does not depend on gets zeros.

    Raises:
        TypeError: f returned something else than Variables, or an x is not floating point.
        ValueError: v has another shape than y.

    >>> y, pull = ag.vjp(lambda x: x * x, np.array([1.0, 2.0, 3.0]))
    >>> pull([1.0, 0.0, 10.0]).data  # vᵀ J, J = diag(2 x)
    array([ 2.,  0., 60.])
    """
    inputs = _inputs(xs, create_graph)
    with enable_grad():
        value = f(*inputs)
    ys = _outputs(f, value)

    def pull(*vs: Any) -> Any:
        """The gradient with respect to the inputs, started from one array per output."""
        if len(vs) == 1 and isinstance(vs[0], tuple | list) and not isinstance(value, Variable):
            (vs,) = vs
        if len(vs) != len(ys):
            raise ValueError(f"the pullback expected {len(ys)} arrays, one per output, got {len(vs)}")
        return _like(xs, _pull(ys, inputs, vs, create_graph))

    return _results(value, create_graph), pull


def jvp(f: Callable[..., Y], xs: Operand, vs: Operand, create_graph: bool = False) -> tuple[Y, Y]:
    """The value of ``f`` at ``xs`` and its exact derivative in the direction ``vs``: ``(y, J v)``.

    ``xs`` is one array or Variable or a sequence of them, ``vs`` the same in the same shapes; J v has
    the shape of y. Forward mode out of two reverse passes: the pullback is linear in what it is
    started from, and its own pullback is J.

    Raises:
        ValueError: a direction has another shape than its x.

    >>> y, Jv = ag.jvp(lambda x: x * x, np.array([1.0, 2.0, 3.0]), np.array([1.0, 0.0, 10.0]))
    >>> Jv.data
    array([ 2.,  0., 60.])
    """
    xs, vs = _sequence(xs), _sequence(vs)
    inputs, directions = _inputs(xs, create_graph), _directions("jvp", xs, vs)
    with enable_grad():
        value = f(*inputs)
        ys = _outputs(f, value)
        starts = [Variable(np.ones_like(y.data)) for y in ys]
        pairs = [(g, v) for g, v in zip(_pull(ys, inputs, starts, True), directions, strict=True)]
        pairs = [(g, v) for g, v in pairs if g.requires_grad]
    tangents = _pull([g for g, _ in pairs], starts, [v for _, v in pairs], create_graph)
    Jv: Any = tangents[0] if isinstance(value, Variable) else tuple(tangents)
    return _results(value, create_graph), Jv


@overload
def jacobian(f: Callable[[Variable], Y], x: Operand, /, *, create_graph: bool = False) -> Y: ...
@overload
def jacobian(
    f: Callable[..., Variable], x: Operand, y: Operand, /, *xs: Operand, create_graph: bool = False
) -> tuple[Variable, ...]: ...
@overload
def jacobian(
    f: Callable[..., tuple[Variable, ...]], x: Operand, y: Operand, /, *xs: Operand,
    create_graph: bool = False,
) -> tuple[tuple[Variable, ...], ...]: ...  # fmt: skip
def jacobian(f: Callable[..., Any], *xs: Operand, create_graph: bool = False) -> Any:
    """All first derivatives of ``f`` at ``xs``, by one reverse pass per element of the output.

    The Jacobian of y with respect to x has shape ``y.shape + x.shape``, with ∂y[i]/∂x[j] at [i, j]. A
    tuple of them where there are several xs; one of those per output where f returns a tuple.

    >>> ag.jacobian(lambda x: x[:2] * x[2], np.array([1.0, 2.0, 3.0])).data
    array([[3., 0., 1.],
           [0., 3., 2.]])
    """
    inputs = _inputs(xs, create_graph)
    with enable_grad():
        value = f(*inputs)
    rows = [_like(xs, _rows(y, inputs, create_graph)) for y in _outputs(f, value)]
    return rows[0] if isinstance(value, Variable) else tuple(rows)


@overload
def hessian(f: Callable[[Variable], Variable], x: Operand, /, *, create_graph: bool = False) -> Variable: ...
@overload
def hessian(
    f: Callable[..., Variable], x: Operand, y: Operand, /, *xs: Operand, create_graph: bool = False
) -> tuple[tuple[Variable, ...], ...]: ...
def hessian(f: Callable[..., Variable], *xs: Operand, create_graph: bool = False) -> Any:
    """All second derivatives of ``f`` at ``xs``; f returns one element.

    Shape ``x.shape + x.shape``; with several xs a tuple of tuples, [i][j] of shape
    ``xs[i].shape + xs[j].shape``.

    Raises:
        ValueError: f returned more than one element.

    >>> ag.hessian(lambda x: x[0] * x[0] * x[1], np.array([1.0, 5.0])).data
    array([[10.,  2.],
           [ 2.,  0.]])
    """

    def gradient(*inputs: Any) -> Any:
        y = _one_element("hessian", f, f(*inputs))
        return _like(xs, _pull([y], inputs, [np.ones_like(y.data)], True))

    return jacobian(gradient, *xs, create_graph=create_graph)


@overload
def hvp(
    f: Callable[[Variable], Variable], xs: Value | float, vs: Value | float, create_graph: bool = False
) -> tuple[Variable, Variable]: ...
@overload
def hvp(
    f: Callable[..., Variable], xs: Sequence[Operand], vs: Sequence[Operand], create_graph: bool = False
) -> tuple[Variable, tuple[Variable, ...]]: ...
def hvp(f: Callable[..., Variable], xs: Operand, vs: Operand, create_graph: bool = False) -> Any:
    """The value of ``f`` at ``xs`` and its Hessian times ``vs``, without the Hessian: ``(y, H v)``.

    f returns one element. ``xs`` and ``vs`` as in `jvp`; H v has the shape of x, a tuple where ``xs``
    is a sequence. Two reverse passes: the gradient of ``sum(gradient * v)``.

    >>> y, Hv = ag.hvp(lambda x: x[0] * x[0] * x[1], np.array([1.0, 5.0]), np.ones(2))
    >>> Hv.data
    array([12.,  2.])
    """
    one = isinstance(xs, Variable) or not isinstance(xs, tuple | list)
    xs, vs = _sequence(xs), _sequence(vs)
    inputs, directions = _inputs(xs, create_graph), _directions("hvp", xs, vs)
    with enable_grad():
        y = _one_element("hvp", f, f(*inputs))
        gradients = _pull([y], inputs, [np.ones_like(y.data)], True)
        pairs = [(g, v) for g, v in zip(gradients, directions, strict=True) if g.requires_grad]
    products = _pull([g for g, _ in pairs], inputs, [v for _, v in pairs], create_graph)
    return _results(y, create_graph), products[0] if one else tuple(products)


# --- what they share ------------------------------------------------------------------------------


def _pull(
    ys: Sequence[Variable], xs: Sequence[Variable], vs: Sequence[Operand], create_graph: bool
) -> list[Variable]:
    """One gradient per x of ``sum(v * y)`` over all pairs; zeros where y does not depend on x."""
    pairs = [(y, v) for y, v in zip(ys, vs, strict=True) if y.requires_grad]
    gs: list[Variable | None] = [None] * len(xs)
    if pairs:
        gs = grad(
            [y for y, _ in pairs],
            xs,
            gradients=[v for _, v in pairs],
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
        )
    return [
        Variable(np.zeros_like(x.data), requires_grad=False) if g is None else g
        for x, g in zip(xs, gs, strict=True)
    ]


def _rows(y: Variable, xs: Sequence[Variable], create_graph: bool) -> list[Variable]:
    """The Jacobian of y with respect to each x."""
    rows = []
    for k in range(y.size):
        start = np.zeros_like(y.data)
        start.flat[k] = 1.0
        rows.append(_pull([y], xs, [start], create_graph))
    shapes = [y.shape + x.shape for x in xs]
    if not rows:
        return [
            Variable(alike(np.zeros(s, x.dtype), x), requires_grad=False)
            for s, x in zip(shapes, xs, strict=True)
        ]
    columns = zip(*rows, strict=True)
    with enable_grad():
        return [ops.reshape(ops.stack(column), s) for column, s in zip(columns, shapes, strict=True)]


def _inputs(xs: Iterable[Operand], create_graph: bool) -> list[Variable]:
    """Fresh Variables to call f with, so that only paths through f count."""
    inputs = []
    for x in xs:
        if create_graph and isinstance(x, Variable) and x.requires_grad:
            with enable_grad():
                inputs.append(ops.reshape(x, x.shape))
        else:
            inputs.append(Variable(data_of(x), requires_grad=True))
    return inputs


def _outputs(f: Callable[..., Any], value: Any) -> tuple[Variable, ...]:
    ys = (value,) if isinstance(value, Variable) else value
    if not isinstance(ys, tuple | list) or not all(isinstance(y, Variable) for y in ys):
        raise TypeError(f"expected a function that returns Variables, got {type(value).__name__} from {f!r}")
    return tuple(ys)


def _one_element(who: str, f: Callable[..., Any], value: Any) -> Variable:
    (y, *more) = _outputs(f, value)
    if more or y.size != 1:
        raise ValueError(f"{who} expected a function with one element, got shape {y.shape} from {f!r}")
    return y


def _directions(who: str, xs: Sequence[Operand], vs: Sequence[Operand]) -> list[Value]:
    shapes = [np.shape(data_of(x)) for x in xs], [np.shape(data_of(v)) for v in vs]
    if shapes[0] != shapes[1]:
        raise ValueError(f"{who} expected directions of shapes {shapes[0]}, got {shapes[1]}")
    return [as_value(v) for v in vs]


def _sequence(xs: Operand) -> Sequence[Operand]:
    return xs if isinstance(xs, tuple | list) else (xs,)


def _like(xs: Sequence[Operand], results: Sequence[Any]) -> Any:
    """The only result for a single x, else a tuple."""
    return results[0] if len(xs) == 1 else tuple(results)


def _results(value: Any, create_graph: bool) -> Any:
    """The value of f, detached unless the graph was asked for."""
    if create_graph:
        return value
    return value.detach() if isinstance(value, Variable) else tuple([y.detach() for y in value])
