"""Per-thread state of the engine: what is recorded, and where in the model a call happens.

One slotted object per thread holds everything; a Function call fetches it once. The context managers
below replace a field on entry and put the old value back on exit, also when an exception passes
through. Nothing here knows what a Variable or a Function is.
"""

import gc
import threading
from contextlib import ContextDecorator
from typing import Any


class Place:
    """Where a node was made: a dotted ``scope``; a ``step``, counted in ``unit``s, or None; and ``order``,
    by how many recorded backward passes."""

    __slots__ = ("_back", "order", "scope", "step", "unit")

    def __init__(self, scope: str, step: int | None, unit: str = "t", order: int = 0):
        self.scope = scope
        self.step = step
        self.unit = unit
        self.order = order
        self._back: Place | None = None

    def back(self) -> "Place":
        """The place of what a recorded backward pass computes for the nodes made here: always the same."""
        if self._back is None:
            self._back = Place(self.scope, self.step, self.unit, self.order + 1)
        return self._back

    def __repr__(self) -> str:
        step = "" if self.step is None else f" step {self.step}"
        return f"{self.scope or 'top level'}{step}"


class Thread:
    """The engine's state in one thread; the values set here are what a new thread starts with."""

    __slots__ = ("instruments", "meter", "place", "pass_cache", "reads", "recording", "sink", "stepwise")

    def __init__(self) -> None:
        self.recording = True  # do calls build a graph?
        self.place = Place("", None)  # copied (one reference) into every node
        self.stepwise = False  # do loops keep everything inside its time step?
        self.instruments: tuple[Any, ...] = ()  # called after each forward and each backward
        self.meter: Any = None  # makes the calls of forward and backward, as `profile` does; or None
        self.reads: Any = None  # is told what a function that is captured reads; or None
        self.pass_cache: Any = None  # a dict for what primitives keep until the running backward pass ends
        self.sink: Any = None  # where the running backward pass puts the gradients of leaves


class _Local(threading.local):
    def __init__(self) -> None:
        self.thread = Thread()


local = _Local()


class _Setting(ContextDecorator):
    """Sets one field of the thread's state inside a ``with`` block or a decorated function."""

    field: str
    value: Any

    def _recreate_cm(self) -> "_Setting":
        return type(self)()  # a decorated function may call itself: one manager per call

    def __init__(self) -> None:
        self._outer: Any = None  # a chain of pairs: the same manager may be entered twice

    def __enter__(self) -> None:
        self._outer = getattr(local.thread, self.field), self._outer
        setattr(local.thread, self.field, self.value)

    def __exit__(self, *exc: object) -> None:
        before, self._outer = self._outer
        setattr(local.thread, self.field, before)


class no_grad(_Setting):
    """Inside, operations compute values and record no graph. Also a decorator.

    >>> w = Variable(3.0)
    >>> with ag.no_grad():
    ...     y = w * w
    >>> y.requires_grad, (w * w).requires_grad
    (False, True)
    """

    field, value = "recording", False


class enable_grad(_Setting):
    """Inside, operations record again, within a ``no_grad`` block. Also a decorator.

    >>> w = Variable(3.0)
    >>> with ag.no_grad(), ag.enable_grad():
    ...     y = w * w
    >>> y.requires_grad
    True
    """

    field, value = "recording", True


class stepwise(_Setting):
    """Inside, recurrent loops do all the work of a step within that step.

    By default the projection of the inputs is one product for the whole sequence, so that one use of
    its weight belongs to no step. Drawings of the unrolled graph and per-step tables want every use
    in its step: run the forward pass under ``with stepwise():``.

    >>> rnn, x = nn.RNN(2, 3), np.zeros((5, 1, 2), "f")  # five steps
    >>> W_ih = dict(rnn.named_parameters())["weight_ih_l0"]
    >>> with ag.watch() as seen, ag.stepwise():
    ...     rnn(x)[0].sum().backward()
    >>> [use.step for use in seen.uses(W_ih)]  # else a single use, in no step
    [0, 1, 2, 3, 4]
    """

    field, value = "stepwise", True


class instrumented:
    """Inside, ``instrument`` sees every call of this thread; used by watching and debugging tools.

    An instrument has ``forward(node, inputs, outputs)`` (recorded calls only) and
    ``backward(node, gys, gxs)``, one array per output and one gradient or None per input.

    >>> class Count:
    ...     calls = 0
    ...     def forward(self, node, inputs, outputs):
    ...         self.calls += 1
    >>> with ag.instrumented(Count()) as count:
    ...     y = Variable(2.0) * 3.0 + 1.0
    >>> count.calls
    2
    """

    __slots__ = ("_instrument", "_outer")

    def __init__(self, instrument: Any):
        self._instrument = instrument
        self._outer: Any = None

    def __enter__(self) -> Any:
        outer = local.thread.instruments
        self._outer = outer, self._outer
        local.thread.instruments = (*outer, self._instrument)
        return self._instrument

    def __exit__(self, *exc: object) -> None:
        local.thread.instruments, self._outer = self._outer


class scope:
    """Nodes made inside belong to module ``name``; nested scopes join with dots.

    >>> with ag.scope("encoder"), ag.scope("cell"):
    ...     y = Variable(1.0) * 2.0
    >>> y.creator.place.scope
    'encoder.cell'
    """

    __slots__ = ("_name", "_outer")

    def __init__(self, name: str):
        self._name = name
        self._outer: Any = None

    def __enter__(self) -> None:
        thread = local.thread
        outer = thread.place
        self._outer = outer, self._outer
        path = f"{outer.scope}.{self._name}" if outer.scope else self._name
        thread.place = Place(path, outer.step, outer.unit, outer.order)

    def __exit__(self, *exc: object) -> None:
        local.thread.place, self._outer = self._outer


class step:
    """Nodes made inside belong to time step ``t``: ``for t, x in enumerate(xs): with step(t): ...``

    ``unit`` is what pictures write before the number, where it counts something other than time.

    >>> h = Variable(1.0)
    >>> for t in range(3):
    ...     with ag.step(t):
    ...         h = h * 2.0
    >>> h.creator.place.step
    2
    """

    __slots__ = ("_outer", "_t", "_unit")

    def __init__(self, t: int, unit: str = "t"):
        self._t, self._unit = t, unit
        self._outer: Any = None

    def __enter__(self) -> None:
        thread = local.thread
        outer = thread.place
        self._outer = outer, self._outer
        thread.place = Place(outer.scope, self._t, self._unit, outer.order)

    def __exit__(self, *exc: object) -> None:
        local.thread.place, self._outer = self._outer


def is_grad_enabled() -> bool:
    """Whether calls in this thread record a graph.

    >>> with ag.no_grad():
    ...     inside = ag.is_grad_enabled()
    >>> inside, ag.is_grad_enabled()
    (False, True)
    """
    return local.thread.recording


def recorder() -> Any:
    """What `capture` watches the reads of a function with; None while it records none.

    >>> from autograd.extend import recorder
    >>> recorder() is None  # no capture records
    True
    """
    return local.thread.reads


def is_stepwise() -> bool:
    """Whether loops in this thread keep all work inside its time step (see `stepwise`).

    >>> with ag.stepwise():
    ...     inside = ag.is_stepwise()
    >>> inside, ag.is_stepwise()
    (True, False)
    """
    return local.thread.stepwise


class pause_gc(ContextDecorator):
    """Inside, Python's cyclic garbage collector rests. Graphs have no cycles and do not need it.

    With very long sequences the collector scans the growing graph again and again; a training step of
    20,000 time steps spends half its time there. Never switched on by the library itself.

    >>> import gc
    >>> with ag.pause_gc():
    ...     inside = gc.isenabled()
    >>> inside, gc.isenabled()
    (False, True)
    """

    def __enter__(self) -> None:
        self._was_enabled = gc.isenabled()
        gc.disable()

    def __exit__(self, *exc: object) -> None:
        if self._was_enabled:
            gc.enable()
