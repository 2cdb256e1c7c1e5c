"""How a function is recorded, checked against a run as it is, and replayed."""

from __future__ import annotations

import gc
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from ..core import Variable, data_of, untracked
from ..engine import reverse
from ..modes import local
from .calls import Tape
from .program import Program
from .sources import Draws, Sources, named
from .traced import CaptureError, Otherwise, Tree, flat, ndarray, tree_map
from .turns import RECORDING, being_recorded


def way_back(result: Tree) -> dict[Variable, Any]:
    """The gradients of the first part of ``result`` by leaf, where grad mode is on."""
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


def record(fn: Callable[..., Any], given: Tree) -> tuple[Recording, Tree, dict[Variable, Any]]:
    """Run ``fn`` as it is and record it on other numbers: a recording, the result and its gradients."""
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
            more = sources.settle()  # other numbers may have led to what was not read before
        try:
            if starts:  # a replay draws anew: compare it with a run that draws the same
                expected = sources.reading(run, fn, given)
                draws.remember()
                rewind(starts)
            replayed, found = recording.replay(given)
            if draws.since() or drawn - {id(g.bit_generator) for g in starts}:
                raise CaptureError(
                    f"{named(fn)} draws random numbers by itself, which a replay would not: pass them as an"
                    " argument, or draw masks as Dropout does (or did another thread draw some meanwhile?)"
                )
        except Otherwise:  # the other numbers have led elsewhere
            continue
        except CaptureError:
            raise
        except Exception as error:
            raise CaptureError(f"a call of NumPy's in {named(fn)} cannot be repeated: {error!r}") from error
        finally:
            rewind(starts)
        wanted = {leaf: expected[1].get(leaf) for leaf in found}  # not those of leaves made in fn
        check(fn, (replayed, found), (expected[0], wanted))
        sources.remember()
        return recording, result, gradients
    raise CaptureError(
        f"{named(fn)} takes float(), int() or a decision from the values of an array, and another one where"
        " they differ by a little: return the array and do that outside, or use where()"
    )


def run(fn: Callable[..., Any], given: Tree) -> tuple[Tree, dict[Variable, Any]]:
    """The result of ``fn`` as it is, in memory of its own, and the gradients of the loss."""
    args, kwargs = filled(given, copies(given))
    y = fn(*args, **kwargs)
    gradients = way_back(y)
    return filled(y, [a.copy() for a in arrays_in(y)]), gradients


def traced(fn: Callable[..., Any], given: Tree, sources: Sources, other: Any) -> Recording:
    """Note all NumPy calls of ``fn`` and its way back, on ``other`` numbers than those given."""
    tape = Tape()
    buffers = copies(given)
    for buffer in buffers:
        buffer[...] = other(buffer)

    def noted() -> tuple[Tree, dict[Variable, Any]]:
        args, kwargs = filled(given, [tape.watch(buffer) for buffer in buffers])
        with np.errstate(all="call", call=lambda *_: None):  # what fn says itself is part of its calls
            y = fn(*args, **kwargs)
            return y, way_back(y)

    try:
        being_recorded[:] = [sources]
        sources.substitute(tape.watch)
        y, gxs = sources.reading(noted)
        sources.check_substitutes()
        gxs = {leaf: g for leaf, g in gxs.items() if leaf in sources.leaves}  # not those made in fn
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
    if tape.left():
        gc.collect()
    for array in tape.left():
        raise CaptureError(
            f"{named(fn)} keeps an array of shape {array.shape} in a list or an attribute, where a replay"
            " cannot renew it: return it instead"
        )
    return recording


# Recording on other numbers tells what is computed from what is merely kept. They should lead Python where
# the true ones lead it: the same in another order have the same extremes and sums, others are close by.


def reversed_order(a: Any) -> Any:
    b = np.reshape(np.ravel(a)[::-1], a.shape)
    return 0.9 * b + 0.05 if a.dtype.kind == "f" and np.array_equal(a, b) else b


def nearby(a: Any) -> Any:
    return a * (1 + 2**-7) + 2**-9 if a.dtype.kind == "f" else reversed_order(a)


def check(fn: Any, found: Tree, expected: Tree) -> None:
    """Raise unless a replay has brought the numbers of the run as it is."""
    pair = [[data_of(x) for x in flat(tree)] for tree in (found, expected)]
    if len(pair[0]) != len(pair[1]) or not all(map(repeats, *pair)):
        raise CaptureError(
            f"a replay does not repeat the result of {named(fn)}: it draws random numbers by itself (Dropout"
            " may), depends on what it did before, or computes with what capture cannot see, as Variables are"
            " that do not require grad. Do that outside, and pass what comes of it as an argument"
        )


def repeats(a: Any, b: Any) -> bool:
    """Is ``a`` what ``b`` is, up to rounding?"""
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
    """A program, with what its numbers come from and go to."""

    def __init__(self, tape: Tape, buffers: list[Any], y: Tree, gxs: dict[Variable, Any], sources: Sources):
        results = [x for x in flat(y) if isinstance(x, (Variable, ndarray))]
        self.program = Program(tape, [*map(data_of, results), *gxs.values()])
        self.buffers = buffers
        self.result = filled(y, self.program.results[: len(results)])
        self.taken = [as_it_was(x) for x in results]
        self.gradients = dict(zip(gxs, self.program.results[len(results) :], strict=True))
        self.sources = sources
        self.generators = tape.generators  # that replays draw from

    def fits(self) -> bool:
        """Is what fn reads what and where it was? Optimizers write in place."""
        with RECORDING.lock:  # else it may be elsewhere for now
            return self.sources.unchanged()

    def replay(self, given: Tree) -> tuple[Tree, dict[Variable, Any]]:
        """The result and the gradients of the function, in memory that is the caller's."""
        for buffer, x in zip(self.buffers, arrays_in(given), strict=True):
            buffer[...] = x
        before = {g: g.bit_generator.state for g in self.generators}
        try:
            self.program.run()
        except Otherwise:
            rewind(before)  # whoever comes next draws what this replay has drawn for nothing
            raise
        arrays = [take(a) for take, a in zip(self.taken, arrays_in(self.result), strict=True)]
        return filled(self.result, arrays), {leaf: g.copy() for leaf, g in self.gradients.items()}


def rewind(states: dict[np.random.Generator, Any]) -> None:
    """Put generators of random numbers back to where they were."""
    for generator, state in states.items():
        generator.bit_generator.state = state


def copies(given: Tree) -> list[Any]:
    """The arrays of the arguments as the function gets them: contiguous, and not the caller's."""
    for a in arrays_in(given):
        if type(a) not in (ndarray, np.memmap):
            raise CaptureError(f"capture takes arrays of NumPy's own type, got {type(a).__name__}")
    return [np.array(a, order="C") for a in arrays_in(given)]


def arrays_in(x: Tree) -> list[Any]:
    """The arrays of a nest, and those of its Variables, in order."""
    return [data_of(part) for part in flat(x) if isinstance(part, (Variable, ndarray))]


def as_it_was(x: Any) -> Callable[[Any], Any]:
    """How to take a result from a program: as an array, or as the number that the function gives."""
    if getattr(x, "weak", False):
        return ndarray.item
    return itemgetter(()) if getattr(x, "scalar", False) else ndarray.copy


def filled(x: Tree, arrays: list[Any]) -> Tree:
    """The nest x with ``arrays`` in the places of its arrays and Variables."""
    following = iter(arrays)

    def fill(part: Any) -> Any:
        if isinstance(part, Variable):
            return untracked(next(following))
        return next(following) if isinstance(part, ndarray) else part

    return tree_map(fill, x)
