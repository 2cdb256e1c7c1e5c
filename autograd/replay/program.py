"""A list of NumPy calls that can be run again, over one block of memory.

A `Program` places every array of a tape in the block, where arrays that are never needed at the same time
share memory, and makes the calls of the tape on them: through `table`s where that is possible and gives the
same numbers.
"""

from __future__ import annotations

from collections import deque
from functools import cached_property, partial
from itertools import starmap
from operator import call
from typing import Any

import numpy as np

from ..core import Array, ndarray
from .calls import Region, Tape, outputs
from .joined import joined_in_place
from .table import Tables, tables_of
from .traced import NESTS, address, flat, tree_map

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
    return sum([a.nbytes for a in flat(outputs(function, args, kwargs)) if isinstance(a, ndarray)])


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
