"""Arrays that concatenate and stack join are computed where the joined array has them.

An eager run copies them. A program chooses the memory of its arrays, and may read an array to which nobody
writes any more from one place as well as from another: so parts lie in the joined array from the start, and
a joined array whose parts already lie in one piece is that piece.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import prod
from typing import Any, NamedTuple

import numpy as np

from .calls import JOINING, Call, Region, expect, outputs
from .traced import NESTS, tree_map


class Join(NamedTuple):
    """A call that writes ``parts`` one after the other into ``whole``."""

    made: Call
    parts: list[Region]
    whole: Region
    axis: int

    def size(self, part: Region) -> int:
        """How long a part is along the axis."""
        return 1 if self.made[0] is np.stack else part.shape[self.axis]

    def slots(self) -> Iterator[tuple[Region, int, bool]]:
        """Every part, its offset in the memory of the whole, and whether it lies in memory as there."""
        at, strides = self.whole.offset, list(self.whole.strides)
        step = strides.pop(self.axis) if self.made[0] is np.stack else strides[self.axis]
        for part in self.parts:
            axes = zip(part.shape, part.strides, strides, strict=True)
            yield part, at, part.dtype == self.whole.dtype and all([n == 1 or a == b for n, a, b in axes])
            at += step * self.size(part)

    def of(self, neighbours: list[Region], at: int) -> Call:
        """The call that writes only some neighbours, the first of them to ``at``."""
        function, _, kwargs = self.made
        shape = list(self.whole.shape)
        shape[self.axis] = sum(map(self.size, neighbours))
        out = Region(self.whole.number, at, tuple(shape), self.whole.strides, self.whole.dtype)
        return function, (neighbours,), {**kwargs, "out": out}


def join_of(made: Call) -> Join | None:
    """What a call joins; None for another call."""
    function, args, kwargs = made
    whole, axis = kwargs.get("out"), kwargs.get("axis", 0)
    if function not in JOINING or len(args) != 1 or not isinstance(args[0], (tuple, list)):
        return None
    if not (isinstance(axis, int) and isinstance(whole, Region)):
        return None
    if not all([isinstance(part, Region) for part in args[0]]):
        return None
    return Join(made, list(args[0]), whole, axis)


def joined_in_place(
    calls: list[Call], wanted: list[Any], sizes: list[int]
) -> tuple[list[Call], list[Any], list[int], list[list[int]]]:
    """Let joined arrays be computed in place where that changes no number.

    That is where all is written into a part before the join, and nothing into the whole but by the join.
    Large arrays choose first. Where fewer than half of the parts can lie in the whole, all are copied.
    Returns the calls, and for each its place in the list before; and for each, and the arrays wanted at last,
    the numbers of the memories that they use.
    """
    uses = [numbers_in((*args, kwargs) if kwargs else args) for _, args, kwargs in calls]
    uses.append(numbers_in(wanted))
    joins = [(i, join) for i, made in enumerate(calls) if (join := join_of(made)) is not None]
    joins.sort(key=lambda found: -sizes[found[1].whole.number])
    joined = {x.number for _, join in joins for x in (*join.parts, join.whole)}
    first: dict[int, int] = {}  # by memory: the first call that uses it
    written: dict[int, int] = {}  # and the last that writes into it
    for i, made in enumerate(calls):
        if not joined.isdisjoint(uses[i]):
            for number in uses[i]:
                first.setdefault(number, i)
            for number in written_by(made):
                written[number] = i
    homes: dict[int, tuple[int, int]] = {}  # by memory: the one of which it is a part, and the offset there
    instead: dict[int, list[Call]] = {}  # of joins in place: calls for the parts that are still copied

    def home(x: Any) -> Any:
        while x.__class__ is Region and x.number in homes:
            x = x.at(*homes[x.number])
        return x

    for i, join in joins:
        whole = join.whole.number
        if first[whole] != i or written[whole] != i:
            continue
        settled = {part.number for part in join.parts if written.get(part.number, i) < i}
        if whole not in homes and (place := in_one_piece(join, settled, home, sizes)):
            homes[whole], instead[i] = place, []
            continue
        moves, others = moved_parts(join, settled - homes.keys(), sizes)
        if 2 * len(moves) >= len(join.parts) > 0:
            homes |= moves
            instead[i] = others

    rest: list[Call] = []
    kept: list[int] = []
    for i, made in enumerate(calls):
        moved = not homes.keys().isdisjoint(uses[i])
        here = instead.get(i, [made])
        rest += [tree_map(home, one) for one in here] if moved else here
        kept += [i] * len(here)
    wanted = [home(x) for x in wanted]
    known = [
        uses[i] if made is calls[i] else numbers_in(made[1:]) for i, made in zip(kept, rest, strict=True)
    ]
    return rest, wanted, kept, [*known, numbers_in(wanted)]


def in_one_piece(
    join: Join, settled: set[int], home: Callable[[Region], Region], sizes: list[int]
) -> tuple[int, int] | None:
    """The memory in which all parts lie as in the whole, and the offset there; None if they do not."""
    whole, places = join.whole, set()
    for part, at, fits in join.slots():
        if not fits or part.number not in settled:
            return None
        here = home(part)
        places.add((here.number, here.offset - at))
    entire = prod(whole.shape) * whole.dtype.itemsize == sizes[whole.number]
    return places.pop() if len(places) == 1 and entire else None


def moved_parts(
    join: Join, movable: set[int], sizes: list[int]
) -> tuple[dict[int, tuple[int, int]], list[Call]]:
    """The ``movable`` parts that fit into the whole, each with its place there; calls that copy the rest."""
    moves: dict[int, tuple[int, int]] = {}
    others: list[tuple[list[Region], int]] = []  # neighbours, and where the first of them goes
    neighbours: list[Region] | None = None
    for part, at, fits in join.slots():
        entire = part.offset == 0 and prod(part.shape) * part.dtype.itemsize == sizes[part.number]
        if fits and entire and part.number in movable and part.number not in moves:
            moves[part.number] = join.whole.number, at
            neighbours = None
        elif neighbours is None:
            neighbours = [part]
            others.append((neighbours, at))
        else:
            neighbours.append(part)
    return moves, [join.of(*some) for some in others]


def written_by(made: Call) -> list[int]:
    """The numbers of the memories into which a call writes, or may write."""
    return numbers_in(made[1:] if made[0] is expect else [outputs(*made)])


def numbers_in(x: Any) -> list[int]:
    """The numbers of the memories that the regions of a nest lie in."""
    found: list[int] = []
    for part in x.values() if isinstance(x, dict) else x:
        if part.__class__ is Region:
            found.append(part.number)
        elif isinstance(part, NESTS):
            found += numbers_in(part)
    return found
