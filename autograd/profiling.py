"""Where the time of a pass goes: by operation, by module, by time step, and by vertex of its graph.

A `profile` makes the calls of forward and backward itself while it is entered, and reads a clock before and
after each. Outside nothing is timed, and nothing is left on the graph.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, Literal, NamedTuple
from weakref import ref

import numpy as np

from .core import Function, Variable, asarray, data_of, memory
from .deferred import Deferred
from .modes import Place, local

By = Literal["operation", "scope", "step"]
Sort = Literal["time", "calls", "bytes", "name"]
BY = ("operation", "scope", "step")
SORT = ("time", "calls", "bytes", "name")


class Cost:
    """What all calls of one kind took: how many they were, seconds, bytes."""

    __slots__ = ("calls", "nbytes", "seconds")

    def __init__(self) -> None:
        self.calls, self.seconds, self.nbytes = 0, 0.0, 0


class Kind(NamedTuple):
    """What calls are counted together: those of one operation, at one place, in one direction."""

    operation: str
    scope: str
    step: int | None
    unit: str  # that steps are counted in
    backward: bool


class Row(NamedTuple):
    """One line of a table: calls of forward and backward, the seconds of each, and the bytes of both."""

    name: str
    calls: int
    backward_calls: int
    forward: float
    backward: float
    nbytes: int

    @property
    def seconds(self) -> float:
        """Forward and backward."""
        return self.forward + self.backward


class profile:
    """Times every operation while it is entered: ``with profile() as p: model(x).backward()``.

    Args:
        clock: gives seconds. `time.process_time` instead of the default counts the processor's time of all
            threads, which other programs on the machine disturb less.

    Printed, it is `table`. The time of an operation is that of its forward and its backward, without other
    operations that these call, as `checkpoint` does. A gradient that the pass defers, as that of a weight, is
    computed for many uses at once; each use gets an equal share of that time and of the bytes. What is left,
    the line "between operations", is Python: of the model, of this engine, and the sums of gradients. The
    profile's own work is in no line; it makes small operations a little slower all the same, since caches
    are colder. Bytes are those of arrays that forward and backward returned, where these do not lie in the
    memory of what they were given, as a view does; what an operation allocates and frees inside is not among
    them.

    A step that `capture` replays is made call by call meanwhile, also where it runs as a table otherwise: its
    lines, such as "Mul, captured", count NumPy's calls and the bytes that these write, for the operations
    that made them. A step that is captured in the block is the line "recording by capture".

    A profile sees the thread that entered it, operations under `no_grad` included, and no operation on
    plain arrays. Entered again, it adds up. `graph.draw` shows what it found: ``draw(loss, heat=p)``.

    Raises:
        RuntimeError: it was entered a second time before it was left.

    >>> w = Variable([1.0, 2.0])
    >>> with ag.profile() as p:
    ...     (w * w + w).sum().backward()
    >>> [(row.name, row.calls, row.backward_calls, row.nbytes) for row in p.rows(sort="name")]
    [('Add', 1, 1, 16), ('Mul', 1, 1, 48), ('Sum', 1, 1, 8)]
    """

    def __init__(self, clock: Callable[[], float] = time.perf_counter):
        self.between = 0.0  # seconds in the block that no operation took
        self._clock = clock
        self._costs: dict[Kind, Cost] = {}
        self._seconds: dict[int, float] = {}  # by number of the node
        self._new: list[tuple[ref[Function], float]] = []  # forward calls whose nodes had no number yet
        self._spans: list[float] = []  # of what runs now, the innermost last: seconds so far
        self._at = 0.0  # when the clock was read last
        self._outer: Any = None

    def __enter__(self) -> profile:
        if self._spans:
            raise RuntimeError("this profile is entered already: make one for each thread and each block")
        self._outer, local.thread.meter = local.thread.meter, self
        self._spans.append(0.0)
        self._at = self._clock()
        return self

    def __exit__(self, *exc: object) -> None:
        self._pause()
        self.between += self._spans.pop()
        self._note_new()
        local.thread.meter, self._outer = self._outer, None

    # -- called by the engine

    def forward(self, node: Function, arrays: Sequence[Any]) -> Any:
        """Call ``node.forward`` and time it."""
        self._pause()
        outer, cost = self._outer, self._cost(_kind(node, local.thread.place, False))
        compute = partial(node.forward, *arrays) if outer is None else partial(outer.forward, node, arrays)

        def charge(seconds: float, y: Any) -> Any:
            cost.seconds += seconds
            cost.nbytes += new_bytes(y, arrays)
            self._new.append((ref(node), seconds))
            return y

        return self._timed(compute, charge)

    def backward(self, node: Function, gy: Any) -> Any:
        """Call ``node.backward`` and time it."""
        values = node.values_as_variables() if local.thread.recording else node.values()
        self._pause()
        outer, cost = self._outer, self._cost(_kind(node, node.place, True))
        compute = partial(node.backward, gy, *values) if outer is None else partial(outer.backward, node, gy)

        def charge(seconds: float, gxs: Any) -> tuple[Any, ...]:
            cost.seconds += seconds
            cost.nbytes += new_bytes(gxs, (gy, *values))
            self._add(node.number, seconds)
            return shared(gxs, self, cost, node.number)

        return self._timed(compute, charge)

    def replay(self, made: tuple[Any, ...], kind: Kind | None, nbytes: int) -> None:
        """Make a NumPy call of a replay and time it, for the operation that made it when it was recorded."""
        function, *args = made
        if kind is None:
            function(*args)
            return
        self._pause()
        cost = self._cost(kind._replace(operation=f"{kind.operation}, captured"))

        def charge(seconds: float, result: Any) -> None:
            cost.seconds += seconds
            cost.nbytes += nbytes

        self._timed(partial(function, *args), charge)

    def record(self, record: Callable[..., Any], *args: Any) -> Any:
        """Record a captured function, without a look inside."""
        self._pause()
        thread = local.thread
        place = thread.place
        cost = self._cost(Kind("recording by capture", place.scope, place.step, place.unit, False))

        def charge(seconds: float, made: Any) -> Any:
            cost.seconds += seconds
            thread.meter = self
            return made

        thread.meter = None
        return self._timed(partial(record, *args), charge)

    def join(self, parts: list[Shared]) -> Any:
        """Compute a deferred gradient, and share out what that takes among the nodes that gave its parts."""
        joined = partial(type(parts[0].g).join, [part.g for part in parts])
        if not self._spans:
            return joined()
        self._pause()

        def charge(seconds: float, total: Any) -> Any:
            nbytes = 0 if total is None else total.nbytes
            for i, part in enumerate(parts):
                part.whose.seconds += seconds / len(parts)
                part.whose.nbytes += nbytes * (i + 1) // len(parts) - nbytes * i // len(parts)
                self._add(part.number, seconds / len(parts))
            return total

        return self._timed(joined, charge)

    # -- the clock

    def _timed(self, compute: Callable[[], Any], charge: Callable[[float, Any], Any]) -> Any:
        """Run ``compute`` and return what ``charge`` makes of the seconds that it took by itself and of what
        it gave (None if it raised). Expects the clock to be stopped."""
        self._note_new()
        self._spans.append(0.0)
        try:
            self._at = self._clock()
            made = compute()
        except BaseException:
            self._pause()
            charge(self._spans.pop(), None)
            self._at = self._clock()
            raise
        self._pause()
        made = charge(self._spans.pop(), made)
        self._at = self._clock()
        return made

    def _pause(self) -> None:
        self._spans[-1] += self._clock() - self._at

    def _cost(self, kind: Kind) -> Cost:
        cost = self._costs.get(kind)
        if cost is None:
            cost = self._costs[kind] = Cost()
        cost.calls += 1
        return cost

    def _note_new(self) -> None:
        """Nodes get their numbers when their forward is over; by now they have them."""
        for reference, seconds in self._new:
            node = reference()
            if node is not None and node.number >= 0:
                self._add(node.number, seconds)
        self._new.clear()

    def _add(self, number: int, seconds: float) -> None:
        self._seconds[number] = self._seconds.get(number, 0.0) + seconds

    # -- what was found

    @property
    def time(self) -> float:
        """Seconds in the block, without those of the profile itself."""
        return self.between + sum([cost.seconds for cost in self._costs.values()])

    def seconds(self, of: Variable | Function) -> float | None:
        """What a node, or that of a computed Variable, took forward and backward; None if it did not run.

        >>> x = Variable(2.0)
        >>> with ag.profile() as p:
        ...     y = x * x
        >>> p.seconds(y) > 0, p.seconds(y * x)
        (True, None)
        """
        node = of.creator if isinstance(of, Variable) else of
        if node is None:
            raise ValueError(
                "seconds expected a computed Variable or a Function, got a leaf: it takes no time"
            )
        return self._seconds.get(node.number)

    def rows(self, by: By = "operation", sort: Sort | None = None, limit: int | None = None) -> list[Row]:
        """The lines of `table`, as data.

        >>> w = Variable(2.0)
        >>> with ag.profile() as p:
        ...     for t in range(3):
        ...         with ag.step(t):
        ...             w = w * w
        >>> [(row.name, row.calls) for row in p.rows(by="step")]
        [('t = 0', 1), ('t = 1', 1), ('t = 2', 1)]
        """
        for name, got, known in (("by", by, BY), ("sort", sort, (*SORT, None))):
            if got not in known:
                raise ValueError(f"profile expected {name} to be one of {known}, got {got!r}")
        if limit is not None and limit < 1:
            raise ValueError(f"profile expected a limit of at least 1, got {limit}")
        found: dict[Any, Row] = {}
        for kind, cost in self._costs.items():
            key = (kind.step is None, kind.unit, kind.step) if by == "step" else getattr(kind, by)
            row = found.get(key) or Row(_name(kind, by), 0, 0, 0.0, 0.0, 0)
            found[key] = _plus(row, kind.backward, cost)
        if sort is None and by == "step":
            return [found[key] for key in sorted(found)][:limit]
        return sorted(found.values(), key=_ORDERS[sort or "time"])[:limit]

    def table(self, by: By = "operation", sort: Sort | None = None, limit: int | None = None) -> str:
        """What was found, as text.

        Args:
            by: "operation", "scope" (the path of a module; its own operations, without those of modules in
                it) or "step" (of `autograd.step`).
            sort: "time", "calls" or "bytes", the largest first, or "name". By default steps stand in order,
                and the rest is sorted by time.
            limit: at most so many lines; the others are added up in one more.

        Raises:
            ValueError: an argument has none of these values.

        >>> with ag.profile() as p:
        ...     y = Variable([3.0, 4.0]) * 2.0
        >>> print(p.table())  # doctest: +ELLIPSIS
        operation             calls  backward calls ...
        Mul                       1               0 ...
        """
        rows, shown = self.rows(by, sort), self.rows(by, sort, limit)
        if hidden := rows[len(shown) :]:
            shown.append(_sum(f"{len(hidden)} more", hidden))
        whole = self.time or 1.0
        lines: list[tuple[str, ...]] = [
            (by, "calls", "backward calls", "time", "%", "forward", "backward", "bytes")
        ]
        for row in shown:
            share = f"{100 * row.seconds / whole:.1f}"
            times = time_text(row.seconds), share, time_text(row.forward), time_text(row.backward)
            lines.append((row.name, f"{row.calls:,}", f"{row.backward_calls:,}", *times, _bytes(row.nbytes)))
        rest = f"{100 * self.between / whole:.1f}"
        lines.append(("between operations", "", "", time_text(self.between), rest, "", "", ""))
        total = _sum("total", rows)
        calls = f"{total.calls:,}", f"{total.backward_calls:,}"
        times = time_text(self.time), "100.0", time_text(total.forward), time_text(total.backward)
        lines.append(("total", *calls, *times, _bytes(total.nbytes)))
        return "\n".join(_aligned(lines))

    def __repr__(self) -> str:
        return self.table()


class Shared(Deferred):
    """A deferred gradient ``g`` that tells a meter ``whose`` it is when it is computed."""

    __slots__ = ("g", "meter", "number", "whose")

    def __init__(self, g: Deferred, meter: Any, whose: Any, number: int):
        self.g, self.meter, self.whose, self.number = g, meter, whose, number
        self.shape, self.dtype = g.shape, g.dtype

    @staticmethod
    def join(parts: list[Any]) -> Any:
        return parts[0].meter.join(parts)


@cache
def _shared_kind(kind: Any) -> type[Shared]:
    """One class for every class of deferred gradients: contributions of one class are joined."""
    return type(f"Shared{kind.__name__}", (Shared,), {"__slots__": ()})


def shared(gxs: Any, meter: Any, whose: Any, number: int) -> tuple[Any, ...]:
    """What a backward gave, with deferred gradients as `Shared` ones; sums of such are some already."""

    def share(g: Any) -> Any:
        if not isinstance(g, Deferred) or type(g).join is Deferred.join:
            return g
        kind: Any = type(g)
        return _shared_kind(kind)(g, meter, whose, number)

    return tuple(map(share, gxs if isinstance(gxs, tuple) else (gxs,)))


def new_bytes(made: Any, given: Iterable[Any]) -> int:
    """The bytes of all memory that ``made`` lies in and ``given`` does not."""
    known = {id(memory(a)) for a in _arrays(given)}
    owners = {id(owner): getattr(owner, "nbytes", a.nbytes) for a in _arrays(made) for owner in [memory(a)]}
    return sum([nbytes for owner, nbytes in owners.items() if owner not in known])


def _arrays(nest: Any) -> Iterator[Any]:
    """The arrays of a nest of tuples and lists, and those of its Variables."""
    for x in nest if isinstance(nest, (tuple, list)) else (nest,):
        if isinstance(x, (tuple, list)):
            yield from _arrays(x)
        elif isinstance(x := asarray(data_of(x)), np.ndarray):
            yield x


class Kinds:
    """The meter of a recording: tells its tape which operation the calls that follow belong to."""

    def __init__(self, tape: Any):
        self.tape = tape

    def forward(self, node: Function, arrays: Sequence[Any]) -> Any:
        """Call ``node.forward``, whose calls are of that operation."""
        return self._during(_kind(node, local.thread.place, False), partial(node.forward, *arrays))

    def backward(self, node: Function, gy: Any) -> tuple[Any, ...]:
        """Call ``node.backward``, whose calls are of that operation."""
        values = node.values_as_variables() if local.thread.recording else node.values()
        kind = _kind(node, node.place, True)
        gxs = self._during(kind, partial(node.backward, gy, *values))
        return shared(gxs, self, kind, node.number)

    def join(self, parts: list[Shared]) -> Any:
        """Compute a deferred gradient: for the place that all parts have in common."""
        kind = parts[0].whose
        if any(part.whose.scope != kind.scope for part in parts):
            kind = kind._replace(scope="")
        if any(part.whose.step != kind.step for part in parts):
            kind = kind._replace(step=None)
        return self._during(kind, partial(type(parts[0].g).join, [part.g for part in parts]))

    def _during(self, kind: Kind, compute: Callable[[], Any]) -> Any:
        outer, self.tape.kind = self.tape.kind, kind
        try:
            return compute()
        finally:
            self.tape.kind = outer


def _kind(node: Function, place: Place, backward: bool) -> Kind:
    return Kind(node.label, place.scope, place.step, place.unit, backward)


# --- rows and tables ------------------------------------------------------------------------------

_ORDERS: dict[str, Callable[[Row], Any]] = {
    "time": lambda row: (-row.seconds, row.name),
    "calls": lambda row: (-row.calls - row.backward_calls, row.name),
    "bytes": lambda row: (-row.nbytes, row.name),
    "name": lambda row: row.name,
}


def _name(kind: Kind, by: By) -> str:
    if by == "step":
        return "no step" if kind.step is None else f"{kind.unit} = {kind.step}"
    return kind.operation if by == "operation" else kind.scope or "top level"


def _plus(row: Row, backward: bool, cost: Cost) -> Row:
    name, calls, backward_calls, before, after, nbytes = row
    if backward:
        backward_calls, after = backward_calls + cost.calls, after + cost.seconds
    else:
        calls, before = calls + cost.calls, before + cost.seconds
    return Row(name, calls, backward_calls, before, after, nbytes + cost.nbytes)


def _sum(name: str, rows: list[Row]) -> Row:
    numbers: list[Any] = [sum(column) for column in zip(*[row[1:] for row in rows], strict=True)]
    return Row(name, *(numbers or (0, 0, 0.0, 0.0, 0)))


def _aligned(lines: list[tuple[str, ...]]) -> list[str]:
    """Columns side by side: the first begins, all others end together."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = [
        [line[0].ljust(widths[0]), *[text.rjust(n) for text, n in zip(line[1:], widths[1:], strict=True)]]
        for line in lines
    ]
    return ["  ".join(line).rstrip() for line in padded]


def time_text(seconds: float) -> str:
    """Three digits and a unit."""
    if not seconds:
        return "0 s"
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= 0.9995 * size:
            return f"{_digits(seconds / size)} {unit}"
    return f"{_digits(seconds * 1e6)} µs"


def _bytes(n: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= 0.9995 * size:
            return f"{_digits(n / size)} {unit}"
    return f"{n:.0f} B"


def _digits(x: float) -> str:
    return f"{x:.{2 if x < 9.995 else 1 if x < 99.95 else 0}f}"
