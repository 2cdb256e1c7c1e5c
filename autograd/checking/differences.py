"""Is a gradient right? Compares reverse mode with central differences, to any order.

Two evaluations per order, whatever the sizes: the derivative of one random combination of the outputs
along one random direction of the inputs. For the next order the same question is asked of the gradient
itself, as a function of the inputs and of the gradients it was started from. Any function of Variables
will do, so users check their own Functions as the tests of this package do theirs.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..core import Array, Variable
from ..engine import grad
from ..modes import enable_grad


class GradientError(ValueError):
    """A gradient differs from central differences."""


def gradcheck(
    f: Callable[..., Any],
    *arrays: Any,
    order: int = 1,
    rng: np.random.Generator | None = None,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    eps: float = 1e-5,
) -> None:
    """Check the derivatives of ``f`` at ``arrays`` up to ``order``; returns nothing when they are right.

    ``f`` takes as many Variables and returns a Variable or a tuple of them, and must give the same
    result each time it is called. Floating-point arrays are checked in float64; others are passed
    through as they are. There should be no kink within ``eps`` of the point, since differences and
    derivatives disagree there.

    Args:
        order: 1 checks the gradient, 2 also the gradient of the gradient, and so on.
        rng: where the random directions come from; the same ones every time by default.
        atol, rtol: the difference allowed is ``atol + rtol * |derivative|``.
        eps: the step of the differences.

    Raises:
        GradientError: names the order, the inputs concerned, both values and their relative error; or
            a gradient has another shape than its input.
        TypeError: f returned something else than Variables.

    >>> ag.gradcheck(lambda x: x * ag.tanh(x), np.array([0.5, -1.0]), order=3)  # says nothing: all is right
    >>> ag.gradcheck(lambda x: x * x.detach(), np.array([3.0]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    autograd.checking.differences.GradientError: order 1: the derivative with respect to input 0 is wrong: ...
    """
    rng = np.random.default_rng(0) if rng is None else rng
    points = [_as_float64(a) for a in arrays]
    with enable_grad():
        for n in range(1, order + 1):
            ys = _outputs(f, *map(_leaf, points))
            starts = [np.asarray(rng.standard_normal(y.shape)) for y in ys]
            directions = [rng.standard_normal(np.shape(p)) for p in points]
            _check(f, points, starts, directions, n, atol, rtol, eps)
            f, points = _gradient_of(f, len(points)), [*points, *starts]


def _check(
    f: Callable[..., Any],
    points: Sequence[Any],
    starts: Sequence[Array],
    directions: Sequence[Array],
    order: int,
    atol: float,
    rtol: float,
    eps: float,
) -> None:
    which = [i for i, p in enumerate(points) if _is_float(p)]
    gradients = dict(zip(which, _gradients(f, points, starts, which), strict=True))
    places = list(zip(points, directions, strict=True))

    def compare(inputs: Sequence[int]) -> tuple[float, float, bool]:
        plus, minus = (
            _combined(f, [_step(p, s, d) if i in inputs else p for i, (p, d) in enumerate(places)], starts)
            for s in (eps, -eps)
        )
        expected = (plus - minus) / (2.0 * eps)
        got = sum(float(np.sum(gradients[i] * directions[i])) for i in inputs)
        return expected, got, bool(abs(expected - got) <= atol + rtol * max(abs(expected), abs(got)))

    expected, got, right = compare(which)
    if right:
        return
    wrong = [i for i in which if not compare([i])[2]] or which
    error = abs(expected - got) / max(abs(expected), abs(got), atol)
    raise GradientError(
        f"order {order}: the derivative with respect to input {', '.join(map(str, wrong))} is wrong:"
        f" expected {expected:.10g} by central differences, got {got:.10g}, relative error {error:.2g}"
    )


def _combined(f: Callable[..., Any], points: Sequence[Any], starts: Sequence[Array]) -> float:
    """A fixed combination of all outputs: the number whose derivative is checked."""
    ys = _outputs(f, *map(_leaf, points))
    return sum(float(np.sum(y.data * s)) for y, s in zip(ys, starts, strict=True))


def _gradients(
    f: Callable[..., Any], points: Sequence[Any], starts: Sequence[Array], which: Sequence[int]
) -> list[Array]:
    """The gradient of `_combined` for the inputs ``which``, by reverse mode; zeros where there is none."""
    xs = list(map(_leaf, points))
    ys = _outputs(f, *xs)
    pairs = [(y, s) for y, s in zip(ys, starts, strict=True) if y.requires_grad]
    found: list[Variable | None] = [None] * len(which)
    if pairs and which:
        found = grad(
            [y for y, _ in pairs], [xs[i] for i in which], gradients=[s for _, s in pairs], allow_unused=True
        )
    for i, g in zip(which, found, strict=True):
        if g is not None and g.shape != points[i].shape:
            raise GradientError(f"input {i}: expected a gradient of shape {points[i].shape}, got {g.shape}")
    return [np.zeros_like(points[i]) if g is None else g.data for i, g in zip(which, found, strict=True)]


def _gradient_of(f: Callable[..., Any], inputs: int) -> Callable[..., Any]:
    """The gradient of ``f`` as a function of the same inputs and of the gradients it is started from."""

    def gradient(*values: Any) -> tuple[Variable, ...]:
        xs, starts = values[:inputs], values[inputs:]
        pairs = [(y, s) for y, s in zip(_outputs(f, *xs), starts, strict=True) if y.requires_grad]
        tracked = [x for x in xs if isinstance(x, Variable) and x.requires_grad]
        if not pairs or not tracked:
            return ()
        ys, gys = [y for y, _ in pairs], [s for _, s in pairs]
        found = grad(ys, tracked, gradients=gys, create_graph=True, allow_unused=True)
        return tuple([g for g in found if g is not None])

    return gradient


def _outputs(f: Callable[..., Any], *xs: Any) -> tuple[Variable, ...]:
    ys = f(*xs)
    ys = (ys,) if isinstance(ys, Variable) else ys
    if not isinstance(ys, tuple | list) or not all(isinstance(y, Variable) for y in ys):
        raise TypeError(f"expected a function that returns Variables, got {type(ys).__name__} from {f!r}")
    return tuple(ys)


def _is_float(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind == "f"


def _step(point: Array, size: float, direction: Array) -> Array:
    return np.asarray(point + size * direction)  # an array also where it is 0-d


def _as_float64(a: Any) -> Array:
    a = a.data if isinstance(a, Variable) else np.asarray(a)
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def _leaf(a: Any) -> Any:
    return Variable(a) if _is_float(a) else a
