"""Linear recurrences h_t = a_t h_{t-1} + b_t along an axis, of real and of complex numbers, over processes.

With no function around h, the adjoint of such a recurrence is another one, from the other end: each of the
operations is the whole of its own backward, at every order. Algorithms that compute the same in fewer
rounds are in `autograd.bptt.scans`, composed of other operations.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np

from ..core import Function, Operand, Value, alike
from ..modes import is_stepwise, recorder, step
from .shape import as_value, broadcast_to, normalize_axis, stack, unstack
from .signatures import binary

TAG = 1986  # of messages between processes
Pair = tuple[Any, Any]  # the real and the imaginary part of complex numbers


def recurrence(a, b, h0, axis, reverse, late):
    """All h_t = a_t h_{t-1} + b_t, row by row; if late, h_t = a_{t-1} h_{t-1} + b_t and h_0 = b_0."""
    shape = np.broadcast_shapes(np.shape(a), np.shape(b))
    a, b = (np.moveaxis(np.broadcast_to(x, shape), axis, 0) for x in (a, b))
    first = end_of(0, reverse)
    start = b[first] if late else a[first] * h0 + b[first]
    h = np.empty_like(np.concatenate([a[first], start]), shape=b.shape)
    h[first] = start
    order = range(len(b))[::-1] if reverse else range(len(b))
    for before, t in pairwise(order):
        row = h[t, ...]
        np.multiply(a[before if late else t, ...], h[before, ...], out=row)
        np.add(row, b[t, ...], out=row)
    return np.moveaxis(h, 0, axis)


def end_of(axis, reverse):
    """The index of the first step along an axis, or of none where there is none."""
    return (*[slice(None)] * axis, slice(-1, None) if reverse else slice(1))


class Scan(Function):
    """Base of the two recurrences: where their steps are, and at which of its two ends a step has its a."""

    broadcasts = True

    def __init__(self, axis: int, reverse: bool, late: bool = False):
        self.axis, self.reverse, self.late = axis, reverse, late

    def adjoint(self):
        """The recurrence of the gradients."""
        return type(self)(self.axis, not self.reverse, not self.late)

    def first(self, x):
        """The first step, or none where there is none."""
        return x[end_of(self.axis, self.reverse)]

    def before(self, y, h0):
        """What y was a step before: h0 before the first."""
        if y.shape[self.axis] == 0:
            return y
        rest = y[(*[slice(None)] * self.axis, slice(1, None) if self.reverse else slice(-1))]
        row = np.expand_dims(h0 if hasattr(h0, "dtype") else alike(np.asarray(h0, y.dtype), y), self.axis)
        return np.concatenate([rest, row] if self.reverse else [row, rest], self.axis)

    def zeros(self, y):
        """A row of zeros: what the gradient is beyond the last step."""
        return alike(np.zeros((*y.shape[: self.axis], *y.shape[self.axis + 1 :]), y.dtype), y)


class LinearScan(Scan):
    symbol, rule = "scan", "λ_t = gy_t + a_{t+1} λ_{t+1}; ga_t = λ_t y_{t-1}, gb = λ, gh0 = a_0 λ_0"

    def forward(self, a, b, h0):
        return recurrence(a, b, h0, self.axis, self.reverse, self.late)

    def backward(self, gy, y, a, h0):
        adjoint, zero = self.adjoint(), self.zeros(gy)
        λ = adjoint(a, gy, zero)
        if self.late:
            return y * adjoint.before(λ, zero), λ, None
        gh0 = None
        if self.needs(2):  # a sum over one step, or of none
            gh0 = np.sum(self.first(np.broadcast_to(a, y.shape)) * self.first(λ), axis=self.axis)
        return λ * self.before(y, h0), λ, gh0


class ComplexLinearScan(Scan):
    """The same for complex numbers: pairs of real and imaginary parts come and go."""

    symbol, rule = "scan ℂ", "λ_t = gy_t + ā_{t+1} λ_{t+1}; ga_t = λ_t ȳ_{t-1}, gb = λ, gh0 = ā_0 λ_0"

    def forward(self, a_re, a_im, b_re, b_im, h_re, h_im):
        a, b, h0 = a_re + 1j * a_im, b_re + 1j * b_im, h_re + 1j * h_im
        h = recurrence(a, b, h0, self.axis, self.reverse, self.late)
        return h.real.copy(), h.imag.copy()

    def backward(self, gy, y, a_re, a_im, h_re, h_im):
        adjoint, zero = self.adjoint(), self.zeros(gy[0])
        λ = adjoint(a_re, -a_im, *gy, zero, zero)
        if self.late:
            before = adjoint.before(λ[0], zero), adjoint.before(λ[1], zero)
            return (*times_conjugate(before, y), *λ, None, None)
        ga = times_conjugate(λ, (self.before(y[0], h_re), self.before(y[1], h_im)))
        if not self.needs(4) and not self.needs(5):
            return (*ga, *λ, None, None)
        a = [self.first(np.broadcast_to(x, y[0].shape)) for x in (a_re, a_im)]
        gh_re, gh_im = times_conjugate((self.first(λ[0]), self.first(λ[1])), a)
        return (*ga, *λ, np.sum(gh_re, axis=self.axis), np.sum(gh_im, axis=self.axis))


class JoinedScan(Scan):
    """A LinearScan over the stretches of all processes, as one sequence."""

    symbol, rule = "scan of all", "λ_t = gy_t + a_{t+1} λ_{t+1}; ga_t = λ_t y_{t-1}, gb = λ"

    def __init__(self, comm: Any, axis: int, reverse: bool, late: bool = False):
        super().__init__(axis, reverse, late)
        self.comm = comm

    def adjoint(self):
        return type(self)(self.comm, self.axis, not self.reverse, not self.late)

    def forward(self, a, b):
        zero = self.zeros(np.broadcast_to(b, np.broadcast_shapes(np.shape(a), np.shape(b))))
        y = recurrence(a, b, zero, self.axis, self.reverse, self.late)
        product, last = np.prod(np.broadcast_to(a, y.shape), axis=self.axis), self.last(y)
        if self.late:
            last = self.last(np.broadcast_to(a, y.shape)) * last
        before = state_before(self.comm, product, last, self.reverse)
        if before is None:
            return y
        if not self.late:
            return recurrence(a, b, before, self.axis, self.reverse, self.late)
        b = np.array(np.broadcast_to(b, y.shape), y.dtype)
        b[end_of(self.axis, self.reverse)] += np.expand_dims(before, self.axis)
        return recurrence(a, b, zero, self.axis, self.reverse, self.late)

    def last(self, y):
        """The last step."""
        return np.sum(y[end_of(self.axis, not self.reverse)], axis=self.axis)

    def backward(self, gy, y, a):
        adjoint = self.adjoint()
        λ = adjoint(a, gy)
        if self.late:
            return y * adjoint.before(λ, Passed(self.comm, adjoint.reverse)(adjoint.last(λ))), λ
        return λ * self.before(y, Passed(self.comm, self.reverse)(self.last(y))), λ


class Passed(Function):
    """What the process before has: zeros in the first. In reverse, of the process behind."""

    symbol, rule = "passed", "gx = gy of the next process"

    def __init__(self, comm: Any, reverse: bool):
        self.comm, self.reverse = comm, reverse

    def forward(self, x):
        place, size = place_in(self.comm, self.reverse)
        sent = send(self.comm, x, place + 1, self.reverse) if place + 1 < size else None
        y = receive(self.comm, place - 1, self.reverse) if place else np.zeros_like(x)
        if sent is not None:
            sent.wait()
        return y

    def backward(self, gy):
        return Passed(self.comm, not self.reverse)(gy)


def place_in(comm, reverse):
    """Where in the row of processes this one stands, and how many there are."""
    size = comm.Get_size()
    if size > 1 and recorder() is not None:
        raise RuntimeError(
            "linear_scan_across asks other processes, which cannot be captured: run this step without capture"
        )
    return (size - 1 - comm.Get_rank() if reverse else comm.Get_rank()), size


def send(comm, x, place, reverse):
    """Begin to send x to the process at a place."""
    return comm.isend(x, dest=comm.Get_size() - 1 - place if reverse else place, tag=TAG)


def receive(comm, place, reverse):
    return comm.recv(source=comm.Get_size() - 1 - place if reverse else place, tag=TAG)


def state_before(comm, product, last, reverse):
    """What the stretches before this process's lead to; None in the first.

    A stretch turns the state h before it into ``product`` h + ``last``. Each process joins its own with
    those that reach back 1, 2, 4, ... processes: an exclusive scan in log₂ p rounds, as MPI_Exscan makes.
    """
    place, size = place_in(comm, reverse)
    factor, before, reach = 1.0, 0.0, 1
    while reach < size:
        sent = send(comm, (product, last), place + reach, reverse) if place + reach < size else None
        if place >= reach:
            a, b = receive(comm, place - reach, reverse)
            factor, before = factor * a, factor * b + before
            product, last = product * a, product * b + last
        if sent is not None:
            sent.wait()
        reach *= 2
    return before if place else None


def times_conjugate(x, y):
    """x ȳ."""
    return x[0] * y[0] + x[1] * y[1], x[1] * y[0] - x[0] * y[1]


# --- what users call ----------------------------------------------------------------------------


@binary
def linear_scan(
    a: Operand, b: Operand, h0: Operand | None = None, axis: int = 0, reverse: bool = False
) -> Value:
    """All h_t = a_t h_{t-1} + b_t along an axis: a linear recurrence, elementwise, in one operation.

    a and b broadcast to the shape of the result: an a of shape (H,) is the same at every step. The gradient
    of b_t is λ_t = gh_t + a_{t+1} λ_{t+1}, the same recurrence from the other end; that of a_t is
    λ_t h_{t-1} (Martin & Cundy 2018, Parallelizing Linear Recurrent Neural Nets Over Sequence Length).
    Under `stepwise` the steps are operations of their own, each in its time step.

    Args:
        a, b: (T, ...) for axis=0.
        h0: what comes before the first step: zeros by default, else of the shape of one step.
        axis: where the steps are.
        reverse: run from the last step to the first, h_t = a_t h_{t+1} + b_t.

    Raises:
        ValueError: the shapes of a, b and h0 do not fit, or there is no such axis.

    >>> b = Variable([1.0, 0.0, 0.0, 1.0])
    >>> ag.linear_scan(0.5, b).data
    array([1.   , 0.5  , 0.25 , 1.125])
    >>> ag.grad(ag.linear_scan(0.5, b, reverse=True).sum(), b).data
    array([1.   , 1.5  , 1.75 , 1.875])
    """
    a, b = as_value(a) if hasattr(a, "shape") else a, as_value(b)
    shape, axis = shape_of_steps("linear_scan", axis, a, b)
    start = state_of("linear_scan", h0, shape, axis, b)
    if is_stepwise() and shape[axis]:
        (h,) = by_steps(lambda s, x: (x[0] * s[0] + x[1],), [a, b], [start], shape, axis, reverse)
        return h
    y: Value = LinearScan(axis, reverse)(a, b, start)
    return y


@binary
def linear_scan_across(a: Operand, b: Operand, comm: Any, axis: int = 0, reverse: bool = False) -> Value:
    """`linear_scan` over a sequence of which every process has a stretch: time shared by processes.

    Rank 0 has the first steps, the last rank the last ones, and stretches may differ in length. Each process
    scans its own, log₂ p rounds of one message of two rows tell it the state before it, forward, and as many
    the gradient behind it, back (`optim.Replicas` shares a batch instead, and is what to take first). The
    state before the first step is zero; for another, add a_0 h_0 to b_0. All processes have to call this and
    its backward in the same order. Messages go over ``comm`` itself, and are waited for without limit.

    Args:
        a, b: (T, ...) for axis=0, with the T of this process.
        comm: an mpi4py communicator.
        axis, reverse: as in `linear_scan`.

    Raises:
        ValueError: the shapes do not fit, there is no such axis, or a process has no step.
        RuntimeError: `capture` records: what other processes say cannot be replayed.

    >>> b = np.array([1.0, 0.0, 0.0, 1.0])
    >>> class Rank0Of1:  # MPI.COMM_WORLD of mpi4py, in a run of several processes
    ...     Get_rank, Get_size = lambda self: 0, lambda self: 1
    >>> ag.linear_scan_across(0.5, b, Rank0Of1())
    array([1.   , 0.5  , 0.25 , 1.125])
    """
    a, b = as_value(a) if hasattr(a, "shape") else a, as_value(b)
    shape, axis = shape_of_steps("linear_scan_across", axis, a, b)
    if not shape[axis]:
        raise ValueError("linear_scan_across expected at least one step in every process, got none")
    y: Value = JoinedScan(comm, axis, reverse)(a, b)
    return y


def complex_linear_scan(
    a: Pair, b: Pair, h0: Pair | None = None, axis: int = 0, reverse: bool = False
) -> tuple[Any, Any]:
    """`linear_scan` of complex numbers, each a pair of reals: all h_t = a_t h_{t-1} + b_t.

    With a = r e^{iθ} the state turns by θ at every step while it fades by r, which no product with a real
    number does. a, b, h0 and the result are pairs (real part, imaginary part); all else is as in
    `linear_scan`.

    Raises:
        TypeError: one of them is no pair. ValueError: shapes do not fit, or there is no such axis.

    >>> quarter = 0.0, 1.0  # i: a quarter of a turn
    >>> re, im = ag.complex_linear_scan(quarter, (Variable([1.0, 0.0, 0.0]), np.zeros(3)))
    >>> re.data, im.data
    (array([ 1.,  0., -1.]), array([0., 1., 0.]))
    """
    for name, pair in {"a": a, "b": b, "h0": (0.0, 0.0) if h0 is None else h0}.items():
        if not (isinstance(pair, tuple | list) and len(pair) == 2):
            raise TypeError(
                f"complex_linear_scan expected {name} as a pair (real part, imaginary part),"
                f" got {type(pair).__name__}"
            )
    parts = [as_value(x) if hasattr(x, "shape") else x for x in (*a, *b)]
    shape, axis = shape_of_steps("complex_linear_scan", axis, *parts)
    like = as_value(next((x for x in parts if hasattr(x, "dtype")), 0.0))
    start = [state_of("complex_linear_scan", x, shape, axis, like) for x in h0 or (None, None)]
    if is_stepwise() and shape[axis]:
        re, im = by_steps(turn, parts, start, shape, axis, reverse)
    else:
        re, im = ComplexLinearScan(axis, reverse)(*parts, *start)
    return re, im


def turn(h: Any, x: Any) -> Pair:
    """a h + b of complex numbers."""
    (p, q), (c, s, u, v) = h, x
    return c * p - s * q + u, s * p + c * q + v


def shape_of_steps(who: str, axis: int, *parts: Any) -> tuple[tuple[int, ...], int]:
    """The shape of the result and the axis of its steps, counted from the front."""
    shapes = [np.shape(x) if not hasattr(x, "shape") else x.shape for x in parts]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(
            f"{who} expected a and b of shapes that broadcast, got {', '.join(map(str, shapes))}"
        ) from None
    if not shape:
        raise ValueError(f"{who} expected a and b with an axis of steps, got numbers")
    return shape, normalize_axis(axis, len(shape))


def state_of(who: str, h0: Any, shape: tuple[int, ...], axis: int, like: Any) -> Value:
    """The state before the first step in the shape of a step."""
    row = shape[:axis] + shape[axis + 1 :]
    if h0 is None or not hasattr(h0, "shape"):
        dtype = like.dtype if like.dtype.kind == "f" else None
        return alike(np.full(row, 0.0 if h0 is None else h0, dtype), like)
    if h0.shape == row:
        return as_value(h0)
    try:
        return broadcast_to(h0, row)
    except ValueError:
        raise ValueError(f"{who} expected h0 of the shape of a step, {row}, got {h0.shape}") from None


def by_steps(
    f: Callable[[Any, Any], Any], parts: list[Any], h: Any, shape: tuple[int, ...], axis: int, reverse: bool
) -> list[Value]:
    """The recurrence h' = f(h, x) as a loop of operations, each in its time step."""
    rows = [unstack(broadcast_to(x, shape), axis) for x in parts]
    found: list[Any] = [None] * shape[axis]
    for t in range(shape[axis])[:: -1 if reverse else 1]:
        with step(t):
            found[t] = h = f(h, [x[t] for x in rows])
    return [stack(list(part), axis) for part in zip(*found, strict=True)]
