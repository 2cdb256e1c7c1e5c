"""The steps of an optimizer, replayed like those of a function: the update of every parameter in one program.

A step is taken eagerly, and again by the program from the same numbers; a program that does not come to the
same bits is not used. What differs from step to step (rates, corrections by the count) the optimizer computes
in Python, and the program reads from arrays. The program computes in memory of its own, and its results are
copied into parameters and state at the end: a step is taken as a whole or not at all.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol

import numpy as np

from ..core import Array, Variable, ndarray
from ..engine import accumulate_grad
from .calls import Tape
from .program import Program
from .recording import Gradients
from .sources import Draws, layout
from .traced import CaptureError
from .turns import RECORDING, Turn

State = dict[str, Any]  # the memory of one parameter: arrays, and counts that `numbers` keeps
Group = Mapping[str, Any]  # settings by name
Parts = list[tuple[Variable, Array, State, Group]]  # parameters, gradients, memories, settings
TRIES = 4  # steps that are recorded even if none was replayed; one more for every ten replays


class Optimizer(Protocol):
    """What capture asks of an optimizer; `optim.Optimizer` has it."""

    state: dict[int, State]

    def zero_grad(self) -> None: ...
    def clip_grad_norm_(self, max_norm: float) -> float: ...
    def step(self) -> None: ...
    def due(self) -> Iterator[tuple[Variable, Array, State, Group]]: ...
    def numbers(self, state: State, group: Group) -> Group: ...
    def update(self, p: Array, g: Array, state: State, group: Group) -> None: ...


def accumulate(gradients: Gradients) -> None:
    """Add gradients to those of the leaves, as ``backward`` does."""
    for leaf, g in gradients.items():
        accumulate_grad(leaf, g)


class Updates:
    """The part of a training step behind the backward pass; ``optimizer.step()`` by a program where one is
    known to repeat it."""

    def __init__(self, optimizer: Optimizer, max_norm: float | None):
        self.optimizer, self.max_norm = optimizer, max_norm
        self.turn = Turn()  # the memory of the program serves one step at a time
        self.program: UpdateProgram | None = None
        self.replays = 0
        self.tries = math.inf if overrides_step(type(optimizer)) else 0

    def train(self, gradients: Gradients) -> None:
        """Give the leaves these gradients, clip those of the optimizer's parameters, and update these."""
        with self.turn.lock:
            self.turn.holder = threading.get_ident()
            self.optimizer.zero_grad()
            accumulate(gradients)
            if self.max_norm is not None:
                self.optimizer.clip_grad_norm_(self.max_norm)
            with RECORDING.lock:  # else another recording may have put other arrays into the leaves for now
                RECORDING.holder = threading.get_ident()
                self.step()

    def step(self) -> None:
        """``optimizer.step()``"""
        parts = list(self.optimizer.due())
        if self.program is not None and self.program.fits(parts):
            self.replays += 1
            self.program.replay(parts)
        elif self.tries > TRIES + self.replays // 10:
            self.optimizer.step()
        else:
            self.tries += 1
            self.program = recorded_step(self.optimizer, parts)


def overrides_step(kind: type) -> bool:
    """Does a subclass define a ``step`` of its own, beside that which goes through `due`?"""
    for base in kind.__mro__:
        if "due" in vars(base):
            return False
        if "step" in vars(base):
            return True
    return True


def recorded_step(optimizer: Optimizer, parts: Parts) -> UpdateProgram | None:
    """Take a step; returns a program for the next, or None where it would not be certain to repeat them."""
    attributes, draws = attributes_of(optimizer), Draws()
    before = Snapshot(parts)
    optimizer.step()
    after = Snapshot(parts)
    if not holds(optimizer, attributes) or draws.since() or not before.same_arrays(after):
        return None  # it would not do the same again, as the first step that makes a momentum
    try:
        before.put_back()
        program = UpdateProgram(optimizer, parts)
        before.put_back()  # noting has counted
        with np.errstate(all="ignore"):  # the eager step has warned
            program.replay(parts)
        return program if after.holds() else None
    except Exception:  # a replay would not do; the eager step did
        return None
    finally:
        after.put_back()


def attributes_of(optimizer: Optimizer) -> list[tuple[str, Any]]:
    """What an optimizer holds beside its state."""
    return [(name, x) for name, x in vars(optimizer).items() if name != "state"]


def holds(optimizer: Optimizer, attributes: list[tuple[str, Any]]) -> bool:
    now = vars(optimizer)
    return all([now.get(name) is x for name, x in attributes])


class Snapshot:
    """Parameters and their memories at some moment, in copies."""

    def __init__(self, parts: Parts):
        self.states = [(state, dict(state)) for _, _, state, _ in parts]
        arrays = [p.data for p, *_ in parts] + [
            x for _, entries in self.states for x in entries.values() if isinstance(x, ndarray)
        ]
        self.copies = [(a, a.copy()) for a in arrays]

    def same_arrays(self, other: Snapshot) -> bool:
        """Did the same arrays hold the numbers of both moments?"""
        pairs = zip(self.copies, other.copies, strict=False)
        return len(self.copies) == len(other.copies) and all(
            [layout(a) == layout(b) for (a, _), (b, _) in pairs]
        )

    def holds(self) -> bool:
        """Are the numbers now those of the moment, bit by bit?"""
        return all([a.tobytes() == kept.tobytes() for a, kept in self.copies]) and all(
            [
                state.keys() == entries.keys() and counts(state) == counts(entries)
                for state, entries in self.states
            ]
        )

    def put_back(self) -> None:
        """Write the numbers of the moment into the arrays."""
        for state, entries in self.states:
            state.clear()
            state.update(entries)
        for a, kept in self.copies:
            a[...] = kept


def counts(state: State) -> State:
    return {name: value for name, value in state.items() if not isinstance(value, ndarray)}


class UpdateProgram:
    """The updates of all parameters that have a gradient, noted while they are computed once.

    Raises:
        CaptureError: an update decides by the values of arrays or reads a count.
    """

    def __init__(self, optimizer: Optimizer, parts: Parts):
        self.optimizer = optimizer
        self.attributes = attributes_of(optimizer)
        tape = Tape()
        with np.errstate(all="call", call=lambda *_: None):  # an errstate of an update is part of its calls
            self.parts = [Part(optimizer, tape, *part) for part in parts]
        if tape.decisions:
            raise CaptureError(f"{type(optimizer).__name__}.update decides by the values of arrays")
        self.entries = [(part.state, *entry) for part in self.parts for entry in part.entries]
        read = {(id(part.group), name): part.group for part in self.parts for name in part.read}
        self.settings = [(group, name, group.get(name)) for (_, name), group in read.items()]
        results = [result for part in self.parts for result in part.results()]
        self.targets, self.program = [a for a, _ in results], Program(tape, [work for _, work in results])

    def fits(self, parts: Parts) -> bool:
        """Would a step go the same way: the same arrays, and the same settings where `update` reads them?"""
        return (
            len(parts) == len(self.parts)
            and holds(self.optimizer, self.attributes)
            and all([known.fits(*part) for known, part in zip(self.parts, parts, strict=True)])
            and all([state.get(name) is x for state, name, x in self.entries])
            and all([group.get(name) == x for group, name, x in self.settings])
        )

    def replay(self, parts: Parts) -> None:
        """Take a step."""
        for part, (_, g, _, _) in zip(self.parts, parts, strict=True):
            part.load(g, self.optimizer.numbers)
        self.program.run()
        for target, result in zip(self.targets, self.program.results, strict=True):
            np.copyto(target, result)
        for part in self.parts:
            part.renew()


class Part:
    """One parameter in a program, with the arrays from which the program reads gradient and numbers."""

    def __init__(self, optimizer: Optimizer, tape: Tape, p: Variable, g: Array, state: State, group: Group):
        self.p, self.state, self.group = p, state, group
        self.data, self.layout, self.gradient = p.data, layout(p.data), np.array(g)
        numbers = optimizer.numbers(state, group)
        self.names, self.numbers = list(numbers), np.array(list(numbers.values()), p.dtype)
        self.entries = [(name, x) for name, x in state.items() if x is None or isinstance(x, ndarray)]
        self.memory = Memory({name: x if x is None else tape.watch(x).copy() for name, x in self.entries})
        self.work = tape.watch(p.data).copy()
        own = {name: tape.watch(self.numbers[i, ...]) for i, name in enumerate(self.names)}
        settings = Settings({**group, **own})
        optimizer.update(self.work, tape.watch(self.gradient), self.memory, settings)
        self.read = settings.read - own.keys()

    def results(self) -> Iterator[tuple[Array, Array]]:
        """The arrays of the optimizer, each with that of the tape that holds the new numbers."""
        yield self.p.data, self.work
        yield from [(x, self.memory[name]) for name, x in self.entries if x is not None]
        del self.work, self.memory

    def fits(self, p: Variable, g: Array, state: State, group: Group) -> bool:
        """Are these the same parameter, memory and group, wherever their numbers are?"""
        return (
            p is self.p
            and state is self.state
            and group is self.group
            and g.dtype == self.gradient.dtype
            and (p.data is self.data or layout(p.data) == self.layout)
        )

    def load(self, g: Array, numbers: Callable[[State, Group], Group]) -> None:
        """Bring gradient and numbers of this step to where the program reads them."""
        np.copyto(self.gradient, g)
        found = numbers(self.state, self.group)
        self.numbers[:] = [found[name] for name in self.names]

    def renew(self) -> None:
        """Make a new version of the parameter, as an eager step does."""
        self.p.data = self.p.data
        self.data = self.p.data


class Memory(dict[str, Any]):
    """The arrays in the memory of a parameter, as `update` sees them while it is noted."""

    def __missing__(self, name: str) -> NoReturn:
        raise CaptureError(f"an update reads {name}, which is no array: use it in numbers()")


class Settings(Mapping[str, Any]):
    """A group, with the names that were ``read``."""

    def __init__(self, group: Group):
        self.group, self.read = group, set[str]()

    def __getitem__(self, name: str) -> Any:
        self.read.add(name)
        return self.group[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.group)

    def __len__(self) -> int:
        return len(self.group)
