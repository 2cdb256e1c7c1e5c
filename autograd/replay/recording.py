"""Recording a function, checking the recording against an eager run, and replaying it."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import Any

import numpy as np

from ..core import Array, Variable, data_of, ndarray, untracked
from ..engine import reverse
from ..malloc import LARGEST, release_freed_memory
from ..modes import local
from ..profiling import Kinds
from .calls import Tape
from .program import Program, rewind
from .sources import Draws, Sources, named
from .traced import CaptureError, Diverged, Tree, flat, tree_map
from .turns import RECORDING, being_recorded

Gradients = dict[Variable, Array]  # by leaf


def way_back(result: Tree) -> Gradients:
    """The gradients of the loss, which is the first part of ``result``; none under `no_grad`."""
    if not local.thread.recording:
        return {}
    loss = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(loss, Variable):
        raise TypeError(
            "capture expected the function to return a loss, or a tuple that begins with a loss, got"
            f" {type(loss).__name__}"
        )
    if loss.size != 1:
        raise RuntimeError(
            f"capture expected a loss of one element, got shape {loss.shape}: sum() or mean() it, or call"
            " under no_grad() where no gradients are wanted"
        )
    return reverse("capture", loss)


def record(fn: Callable[..., Any], given: Tree) -> tuple[Recording, Tree, Gradients]:
    """Run ``fn`` eagerly and record it on other numbers; returns the recording, the result and gradients."""
    sources, draws = Sources(fn, given), Draws()
    result, gradients = sources.reading(run, fn, given)
    drawn = draws.since()
    sources.settle(gradients)
    for other in (reversed_order, nearby):
        draws.remember()
        more = True
        while more:
            recording = traced(fn, given, sources, other)
            starts, expected = draws.of(recording.generators), (result, gradients)
            rewind(starts)
            more = sources.settle()  # on other numbers fn may read more leaves
        kept = [(a, a.copy()) for a, _ in recording.states]
        try:
            after: list[Array] = []
            if starts or kept:  # compare with a run that draws the same numbers, from the same state
                expected = sources.reading(run, fn, given)
                after = [a.copy() for a, _ in kept]
                write(kept)
                draws.remember()
                rewind(starts)
            replayed, found = recording.replay(given)
            states = [a.copy() for a, _ in kept]
            if draws.since() or drawn - {id(g.bit_generator) for g in starts}:
                raise CaptureError(
                    f"{named(fn)} draws random numbers by itself, which a replay would not: pass them as an"
                    " argument, or draw masks as Dropout does (or did another thread draw some meanwhile?)"
                )
        except Diverged:  # the other numbers led to another decision
            continue
        except CaptureError:
            raise
        except Exception as error:
            raise CaptureError(f"a call of NumPy's in {named(fn)} cannot be repeated: {error!r}") from error
        finally:
            rewind(starts)
            write(kept)
        wanted = {leaf: expected[1].get(leaf) for leaf in found}  # without leaves that fn itself makes
        check(fn, (replayed, found, states), (expected[0], wanted, after))
        sources.remember()
        return recording, result, gradients
    raise CaptureError(
        f"{named(fn)} takes float(), int() or a decision from the values of an array, and another one where"
        " they differ by a little: return the array and do that outside, or use where()"
    )


def run(fn: Callable[..., Any], given: Tree) -> tuple[Tree, Gradients]:
    """Run ``fn`` eagerly; returns its result, in memory of its own, and the gradients of the loss."""
    args, kwargs = substitute(given, copies(given))
    y = fn(*args, **kwargs)
    gradients = way_back(y)
    return substitute(y, [a.copy() for a in arrays_in(y)]), gradients


def traced(
    fn: Callable[..., Any], given: Tree, sources: Sources, other: Callable[[Array], Array]
) -> Recording:
    """Record the NumPy calls of ``fn`` and of its backward pass, on ``other(a)`` for each given array."""
    tape = Tape()
    buffers = copies(given)
    for buffer in buffers:
        buffer[...] = other(buffer)

    def noted() -> tuple[Tree, Gradients]:
        args, kwargs = substitute(given, [tape.watch(buffer) for buffer in buffers])
        local.thread.meter = Kinds(tape)
        with np.errstate(all="call", call=lambda *_: None):  # an errstate of fn's own is part of its calls
            y = fn(*args, **kwargs)
            return y, way_back(y)

    try:
        being_recorded[:] = [sources]
        sources.substitute(tape.watch, tape.watch_state)
        y, gxs = sources.reading(noted)
        sources.check_substitutes(tape.states)
        gxs = {
            leaf: g for leaf, g in gxs.items() if leaf in sources.leaves
        }  # without those that fn itself makes
        recording = Recording(tape, buffers, y, gxs, sources)
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            f"{named(fn)} runs as it is, but not while its use of NumPy is noted, on other numbers: {error!r}"
        ) from error
    finally:
        sources.put_back()
        being_recorded.clear()
    del y, gxs
    tape.states.clear()
    if tape.left():
        gc.collect()
    for array in tape.left():
        raise CaptureError(
            f"{named(fn)} keeps an array of shape {array.shape} in a list or an attribute, where a replay"
            " cannot renew it: return it instead"
        )
    if recording.program.nbytes > LARGEST:  # it takes memory from the system, not what the run has freed
        del tape
        release_freed_memory()
    return recording


# On other numbers, an array that fn computes differs from one that it merely keeps. They should lead Python
# to the same decisions: the same numbers in another order have the same extremes and sums, others are close.


def reversed_order(a: Array) -> Array:
    b = np.reshape(np.ravel(a)[::-1], a.shape)
    return 0.9 * b + 0.05 if a.dtype.kind == "f" and np.array_equal(a, b) else b


def nearby(a: Array) -> Array:
    return a * (1 + 2**-7) + 2**-9 if a.dtype.kind == "f" else reversed_order(a)


def check(fn: Callable[..., Any], found: Tree, expected: Tree) -> None:
    """Raise unless a replay found the numbers that the eager run gave."""
    pair = [[data_of(x) for x in flat(tree)] for tree in (found, expected)]
    if len(pair[0]) != len(pair[1]) or not all(map(repeats, *pair)):
        raise CaptureError(
            f"a replay does not repeat the result of {named(fn)}: it draws random numbers by itself (Dropout"
            " may), depends on what it did before, or computes with what capture cannot see, as Variables are"
            " that do not require grad. Do that outside, and pass what comes of it as an argument"
        )


def repeats(a: Any, b: Any) -> bool:
    """Are ``a`` and ``b`` equal, up to rounding?"""
    numbers = ndarray, np.generic, float
    if not (isinstance(a, numbers) and isinstance(b, numbers)):
        return a is b or (type(a) is type(b) and bool(a == b))
    a, b = np.asarray(a), np.asarray(b)
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if b.dtype.kind != "f":
        return np.array_equal(a, b)
    precision = np.sqrt(np.finfo(b.dtype).eps)
    size = np.max(np.abs(b), where=np.isfinite(b), initial=0.0)
    return np.allclose(a, b, precision, precision * size, equal_nan=True)


# --- replaying ----------------------------------------------------------------------------------


class Recording:
    """A program, its inputs (buffers for the arguments, sources) and its outputs (result, gradients)."""

    def __init__(self, tape: Tape, buffers: list[Array], y: Tree, gxs: Gradients, sources: Sources):
        results = [x for x in flat(y) if isinstance(x, (Variable, ndarray))]
        changed = tape.changed()
        news = [state for _, state in changed]
        self.program = Program(tape, [*map(data_of, results), *gxs.values(), *news])
        self.buffers = buffers
        self.result = substitute(y, self.program.results[: len(results)])
        self.exports = [export(x) for x in results]
        rest = self.program.results[len(results) :]
        self.gradients = dict(zip(gxs, rest, strict=False))
        self.states = [(a, new) for (a, _), new in zip(changed, rest[len(gxs) :], strict=True)]
        self.sources = sources
        self.generators = tape.generators  # that replays draw from

    def fits(self) -> bool:
        """Does ``fn`` still read the same objects, in the same memory? Optimizers write in place."""
        with RECORDING.lock:  # else another recording may have put other arrays there for now
            return self.sources.unchanged()

    def replay(self, given: Tree) -> tuple[Tree, Gradients]:
        """Run the program on ``given``; returns result and gradients, in memory that is the caller's."""
        for buffer, x in zip(self.buffers, arrays_in(given), strict=True):
            buffer[...] = x
        before = {g: g.bit_generator.state for g in self.generators}
        try:
            if local.thread.meter is None:
                self.program.run()
            else:
                self.program.run_metered(local.thread.meter)
        except Diverged:
            rewind(before)  # the next replay or recording draws these numbers again
            raise
        write(self.states)
        arrays = [export(a) for export, a in zip(self.exports, arrays_in(self.result), strict=True)]
        return substitute(self.result, arrays), {leaf: g.copy() for leaf, g in self.gradients.items()}


def write(numbers: list[tuple[Array, Array]]) -> None:
    """Write into each array the numbers of another."""
    for a, new in numbers:
        np.copyto(a, new)


def copies(given: Tree) -> list[Array]:
    """Copies of the argument arrays for the function: contiguous, and not in the caller's memory."""
    for a in arrays_in(given):
        if type(a) not in (ndarray, np.memmap):
            raise CaptureError(f"capture takes arrays of NumPy's own type, got {type(a).__name__}")
    return [np.array(a, order="C") for a in arrays_in(given)]


def arrays_in(x: Tree) -> list[Array]:
    """The arrays of a nest, and those of its Variables, in order."""
    return [data_of(part) for part in flat(x) if isinstance(part, (Variable, ndarray))]


def export(x: Any) -> Callable[[Array], Any]:
    """A function that copies the array of a result ``x``, to an array or to the number that ``fn`` gives."""
    if getattr(x, "python_number", False):
        return ndarray.item
    return itemgetter(()) if getattr(x, "scalar", False) else ndarray.copy


def substitute(x: Tree, arrays: Iterable[Any]) -> Tree:
    """The nest ``x`` with ``arrays`` in the places of its arrays and Variables."""
    following = iter(arrays)

    def replace(part: Any) -> Any:
        if isinstance(part, Variable):
            return untracked(next(following))
        return next(following) if isinstance(part, ndarray) else part

    return tree_map(replace, x)
