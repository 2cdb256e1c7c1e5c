"""A list of NumPy calls that can be run again, over one block of memory.

A `Program` places every array of a tape in the block, where arrays that are never needed at the same time
share memory, and makes the calls of the tape on them: through `table`s where that is possible and gives the
same numbers.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property, partial
from itertools import starmap
from math import prod
from operator import call
from typing import Any

import numpy as np

from ..core import Array, ndarray
from .calls import BY_NAME, JOINING, Call, Region, Tape, within
from .table import Tables, tables_of
from .traced import NESTS, address, tree_map

ALIGNED = 64  # bytes: a line of the processor's cache
NOT_YET = "it has not run yet"
TABLES = True  # benchmarks and tests set it to False, to record programs that run as NumPy calls


class Program:
    """The calls of a tape on arrays of its own. ``results`` are the arrays for those in ``wanted``."""

    def __init__(self, tape: Tape, wanted: list[Any]):
        calls, wanted, kept, uses = joined_in_place(tape.calls, [tape.region(x) for x in wanted], tape.sizes)
        self.kinds = [tape.kinds[i] for i in kept]  # of every call, the operation that made it
        offsets, self.nbytes = shared_memory(uses, tape.sizes)
        self.block = np.empty(self.nbytes + ALIGNED, np.uint8)
        start = -address(self.block) % ALIGNED
        arrays: dict[Any, Array] = {}

        def bind(x: Any) -> Any:
            if not isinstance(x, Region):
                return x
            key = start + offsets[x.number] + x.offset, x.shape, x.strides, x.dtype
            if key not in arrays:
                arrays[key] = ndarray(x.shape, x.dtype, self.block, key[0], x.strides)
            return arrays[key]

        self.calls: list[tuple[Any, ...]] = []
        for function, args, kwargs in calls:
            if kwargs:
                function = partial(function, **tree_map(bind, kwargs))
            bound = [tree_map(bind, x) if isinstance(x, NESTS) else bind(x) for x in args]
            self.calls.append((function, *bound))
        self.results = [bind(x) for x in wanted]
        self.generators = tape.generators
        self.tables: Tables | None = None  # what runs in place of the calls
        self.why = NOT_YET  # if there is a table: which calls stay calls; if there is none: the reason

    @property
    def how(self) -> str:
        return "calls" if self.tables is None else "table"

    def run(self) -> None:
        """Do again what the calls do.

        Raises:
            Diverged: a call gives another answer than in the recording.
        """
        states = self.states()
        if self.why is NOT_YET:
            tables, self.why = tables_of(self.calls) if TABLES else (None, "tables are switched off")
            results = tables and self.tried(tables)
            rewind(states)
            deque(starmap(call, self.calls), maxlen=0)
            if results == [a.tobytes() for a in self.results]:
                self.tables = tables
            elif tables:
                self.why = "the table did not give the numbers of the calls"
        elif self.tables is None or not self.tables.run():
            rewind(states)
            deque(starmap(call, self.calls), maxlen=0)

    def tried(self, tables: Tables) -> list[bytes] | None:
        """The results by tables. Memory that they forget to write is full of NaN."""
        self.block.fill(255)
        try:
            with np.errstate(all="ignore"):
                tables.run()
        except Exception:  # the calls will tell, if it is theirs
            return None
        return [a.tobytes() for a in self.results]

    def states(self) -> dict[np.random.Generator, Any]:
        """The states of the generators of random numbers from which the calls draw."""
        return {g: g.bit_generator.state for g in self.generators}

    def run_metered(self, meter: Any) -> None:
        """Make all calls again by way of a meter, such as a `profile`, which is told whose each is."""
        for made, kind, nbytes in zip(self.calls, self.kinds, self.writes, strict=True):
            meter.replay(made, kind, nbytes)

    @cached_property
    def writes(self) -> list[int]:
        """The bytes that every call writes."""
        return list(map(written, self.calls))


def rewind(states: dict[np.random.Generator, Any]) -> None:
    """Put generators of random numbers back to where they were."""
    for generator, state in states.items():
        generator.bit_generator.state = state


def written(made: tuple[Any, ...]) -> int:
    """The bytes of the arrays into which a call of a `Program` writes."""
    function: Any = made[0]
    args, kwargs = list(made[1:]), {}
    if isinstance(function, partial):
        function, kwargs = function.func, function.keywords
    if function is within:
        function, args = args[1], args[2:]
    out = kwargs.get("out", args[:1])
    if isinstance(function, np.ufunc) and "out" not in kwargs:
        out = args[function.nin :]
    elif function in BY_NAME.values():
        out = args[-1:]
    return sum(
        [a.nbytes for a in (out if isinstance(out, (tuple, list)) else [out]) if isinstance(a, ndarray)]
    )


def joined_in_place(
    calls: list[Call], wanted: list[Any], sizes: list[int]
) -> tuple[list[Call], list[Any], list[int], list[list[int]]]:
    """Let parts of concatenate and stack calls be computed straight into slices of the result.

    Those are parts that no later call needs, that lie in memory as the slices do, and only where no earlier
    call touches the result. Where half of the parts are, the call is dropped, and others join what is left.
    Returns the calls, and for each its place in the list before; and for each, and the arrays wanted at last,
    the numbers of the memories that they use.
    """
    uses = [numbers_in((*args, kwargs) if kwargs else args) for _, args, kwargs in calls]
    uses.append(numbers_in(wanted))
    used = [(i, number) for i, numbers in enumerate(uses) for number in numbers]
    first, last = {number: i for i, number in reversed(used)}, {number: i for i, number in used}
    homes: dict[int, tuple[int, int]] = {}  # by part: the whole, and the offset into it
    rest: list[Call] = []
    kept: list[int] = []
    for i, made in enumerate(calls):
        moves: dict[int, tuple[int, int]] = {}
        left = [made]
        if (joined := parts_of(made)) is not None and first[joined[1].number] == i:
            free = {part.number for part in joined[0] if last[part.number] == i}
            moves, others = moved_parts(made, *joined, free, sizes)
            if 2 * len(moves) >= len(joined[0]) > 0:
                homes |= moves
                left = others
        rest += left
        kept += [i] * len(left)

    def home(x: Any) -> Any:
        while isinstance(x, Region) and x.number in homes:
            x = x.at(*homes[x.number])
        return x

    moved = {i for i, number in used if number in homes}
    rest = [tree_map(home, made) if i in moved else made for i, made in zip(kept, rest, strict=True)]
    wanted = [home(x) for x in wanted]
    uses = [numbers_in(made[1:]) if i in moved else uses[i] for i, made in zip(kept, rest, strict=True)]
    return rest, wanted, kept, [*uses, numbers_in(wanted)]


def numbers_in(x: Any) -> list[int]:
    """The numbers of the memories that the regions of a nest lie in."""
    found: list[int] = []
    for part in x.values() if isinstance(x, dict) else x:
        if part.__class__ is Region:
            found.append(part.number)
        elif isinstance(part, NESTS):
            found += numbers_in(part)
    return found


def parts_of(made: Call) -> tuple[list[Region], Region, int] | None:
    """Parts, result and axis of a call that joins; None for another call."""
    function, args, kwargs = made
    whole, axis = kwargs.get("out"), kwargs.get("axis", 0)
    if function not in JOINING or len(args) != 1 or not isinstance(args[0], (tuple, list)):
        return None
    if not (isinstance(axis, int) and isinstance(whole, Region)):
        return None
    if not all(isinstance(part, Region) for part in args[0]):
        return None
    return list(args[0]), whole, axis


def moved_parts(
    made: Call, parts: list[Region], whole: Region, axis: int, free: set[int], sizes: list[int]
) -> tuple[dict[int, tuple[int, int]], list[Call]]:
    """The parts that can be computed in ``whole``, each with its place there, and calls that join the others.

    ``free`` are the memories that no later call uses.
    """
    function, _, kwargs = made
    at, strides = whole.offset, list(whole.strides)
    step = strides[axis] if function is np.concatenate else strides.pop(axis)
    moves: dict[int, tuple[int, int]] = {}
    others: list[tuple[int, list[Region]]] = []  # neighbours, and where the first of them goes
    before = None
    for part in parts:
        same = zip(part.shape, part.strides, strides, strict=True)
        if (
            part.number in free
            and part.number not in moves
            and part.dtype == whole.dtype
            and part.offset == 0
            and prod(part.shape) * part.dtype.itemsize == sizes[part.number]  # the whole of its memory
            and all(n == 1 or a == b for n, a, b in same)
        ):
            moves[part.number] = whole.number, at
            before = None
        elif before is None:
            before = [part]
            others.append((at, before))
        else:
            before.append(part)
        at += step * (part.shape[axis] if function is np.concatenate else 1)
    calls: list[Call] = []
    for at, neighbours in others:
        shape = list(whole.shape)
        shape[axis] = sum([part.shape[axis] if function is np.concatenate else 1 for part in neighbours])
        out = Region(whole.number, at, tuple(shape), whole.strides, whole.dtype)
        calls.append((function, (neighbours,), {**kwargs, "out": out}))
    return moves, calls


def shared_memory(uses: list[list[int]], sizes: list[int]) -> tuple[dict[int, int], int]:
    """An offset into one block for every memory, and the size of the block.

    ``uses`` lists for each call the memories that it uses, by number. A memory is free before its first use
    and after its last.
    """
    spans: dict[int, list[int]] = {}  # first and last use
    for now, used in enumerate(uses):
        for number in used:
            spans.setdefault(number, [now, now])[1] = now
    starting: list[list[int]] = [[] for _ in uses]
    ending: list[list[int]] = [[] for _ in uses]
    for number, (first, last) in spans.items():
        starting[first].append(number)
        ending[last].append(number)

    room = {number: max(1, -(-sizes[number] // ALIGNED)) * ALIGNED for number in spans}
    offsets: dict[int, int] = {}
    gaps: dict[int, int] = {}  # free stretches: the start for every end, in the order of becoming free
    ends: dict[int, int] = {}  # and the end for every start
    top = 0
    for started, ended in zip(starting, ending, strict=True):
        for number in started:
            size = room[number]
            end = next((end for end, start in reversed(gaps.items()) if end - start >= size), None)
            if end is None:
                offsets[number] = top
                top += size
                continue
            offsets[number] = start = gaps[end]
            del ends[start]
            if start + size == end:
                del gaps[end]
            else:
                gaps[end], ends[start + size] = start + size, end
        for number in ended:
            start, end = offsets[number], offsets[number] + room[number]
            if start in gaps:
                start = gaps.pop(start)
                del ends[start]
            if end in ends:
                end = ends.pop(end)
                del gaps[end]
            gaps[end], ends[start] = start, end
    return offsets, top
