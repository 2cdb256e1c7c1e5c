"""Record a training step once, then replay it: the same NumPy calls, over memory set aside for them.

Running eagerly makes a graph, walks back over it and allocates every array anew, each time. Where arrays
are small that takes most of the time. But as long as shapes and decisions stay the same, so does the list
of NumPy calls, and no operation needs to know, but those that draw random numbers: a function and the walk
back over its graph run on the traced arrays of `tape` as on any others.
"""

from __future__ import annotations

import gc
import os
import threading
import warnings
from collections.abc import Callable
from functools import cache
from operator import itemgetter
from typing import Any
from weakref import WeakSet

import numpy as np

from .core import Variable, plain, untracked
from .engine import deposit, reverse
from .modes import local
from .sources import Draws, Sources, named
from .tape import CaptureError, Otherwise, Program, Tape, Tree, flat, ndarray, tree_map

KEPT = 8  # recordings of one captured function
MANY = 20  # recordings at which a warning says so, if there were not five calls for each


class Turn:
    """A lock, and which thread holds it or was the last to."""

    def __init__(self) -> None:
        self.lock, self.holder = threading.Lock(), 0
        TURNS.add(self)


TURNS: WeakSet[Turn] = WeakSet()
RECORDING = Turn()  # one at a time in a process, as it puts other arrays into leaves
being_recorded: list[Sources] = []


@cache
def mind_forks() -> None:
    """See that a forked process, which has one thread, waits for no other and finds all leaves whole."""

    def forked() -> None:
        for turn in TURNS:
            if turn.holder != threading.get_ident():
                turn.lock = threading.Lock()
                if turn is RECORDING:
                    for sources in being_recorded:
                        sources.put_back()

    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=forked)


class capture:
    """A faster ``fn`` with its backward pass, for a step that is taken many times.

        step = capture(lambda x, y: mse_loss(model(x), y))
        for x, y in batches:
            optimizer.zero_grad()
            loss = step(x, y)  # loss = fn(x, y); loss.backward()
            optimizer.step()

    Args:
        fn: from arrays to a Variable of one element, the loss, or to a tuple that begins with it. It finds
            its parameters where it always does. Arguments and results may be nested in tuples, lists and
            dicts; arguments that are no arrays count as settings.

    A call gives what ``fn`` gives, as Variables outside any graph, and adds the gradients of the loss to
    ``grad`` of every leaf, as ``backward()`` does. Under `no_grad` there is no way back, and the result
    need not be a loss.

    The first call with new shapes, dtypes or settings runs ``fn`` as it is, then again on other numbers to
    record it, and checks that the recording repeats the first result. Meanwhile no other thread may use the
    parameters. That takes as long as ten to thirty steps, and the last `KEPT` recordings are kept: so what
    changes from call to call, lengths and factors too, should be an array.

    Later calls replay, and no Python in ``fn`` runs any more. The numbers of leaves, and of arrays that are
    attributes of modules, are read anew. What ``fn`` decided by the values of arrays is asked again. Where
    the answer is another, ``fn`` is recorded anew; so it is where a parameter, a setting or the mode of a
    module was changed, or where a name that ``fn`` takes from around it means something else. Not seen are
    changes inside lists and dicts, and around functions that ``fn`` calls; arrays that are neither arguments
    nor attributes of modules are constants.

    Arguments reach ``fn`` as copies, and what it returns is the caller's own. Dropout draws new masks; other
    random numbers have to be arguments. ``zero_grad``, ``backward`` and the optimizer belong outside. While
    an instrument watches (`watch`, `detect_anomaly`), ``fn`` runs as it is. Calls from several threads take
    turns. As a decorator of a method, capture records for each object. A copy of a captured function, or
    what was pickled, has no recordings.

    Raises:
        CaptureError: ``fn`` takes the values of an array out of NumPy, changes an array that it was given
            or keeps one, draws random numbers, or does something else that a replay is seen not to repeat.
        TypeError: an argument is a Variable that requires grad, or can change in place and is no array; the
            result does not begin with a Variable.
        RuntimeError: the loss has more than one element or does not require grad.
    """

    bound: tuple[Any, str] | None = None  # of a method: the object, and the name of the method

    def __init__(self, fn: Callable[..., Any]):
        self.fn = fn
        self.recordings: list[tuple[Any, Recording]] = []  # with their signatures, the last used first
        self.calls = self.made = 0  # and how many recordings were made so far
        self.turn = Turn()  # the memory of a recording serves one call at a time
        mind_forks()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if local.thread.reads is not None:
            raise CaptureError(
                f"{named(self.fn)} is captured, and called by a function that is being recorded, perhaps by"
                f" itself: call there what was captured, the attribute fn of the captured {named(self.fn)}"
            )
        given = tree_map(lambda x: np.asarray(x) if isinstance(x, np.generic) else x, (args, kwargs))
        key = local.thread.recording, signature(given)
        if local.thread.instruments:
            result, gradients = run(self.fn, given)
        else:
            with self.turn.lock:
                self.turn.holder = threading.get_ident()
                result, gradients = self.computed(key, given)
        for leaf, g in gradients.items():
            deposit(leaf, g)
        return result

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """The method of ``instance``, with recordings of its own."""
        if instance is None or not hasattr(self.fn, "__get__"):
            return self
        method = capture(self.fn.__get__(instance, owner))
        method.bound = instance, self.name
        return vars(instance).setdefault(self.name, method)

    def __set_name__(self, owner: Any, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return (getattr, self.bound) if self.bound else (capture, (self.fn,))

    def computed(self, key: Any, given: Tree) -> tuple[Tree, dict[Variable, Any]]:
        """Result and gradients: by a replay if there is a recording for it, else by a new recording."""
        self.calls += 1
        for i, (made_for, recording) in enumerate(self.recordings):
            if made_for == key and recording.fits():
                try:
                    replayed = recording.replay(given)
                except Otherwise:
                    continue
                self.recordings.insert(0, self.recordings.pop(i))
                return replayed
        with RECORDING.lock:
            RECORDING.holder = threading.get_ident()
            recording, *recorded = record(self.fn, given)
        self.made += 1
        if self.made == MANY and self.calls < 5 * MANY:
            warnings.warn(
                f"capture has recorded {named(self.fn)} {MANY} times in {self.calls} calls, which is slower"
                " than calling it: pass numbers that change as arrays, and pad to a few shapes",
                RuntimeWarning,
                stacklevel=3,
            )
        self.recordings = [(key, recording), *[r for r in self.recordings if r[1].fits()][: KEPT - 1]]
        return tuple(recorded)


def signature(x: Tree) -> Any:
    """What a recording is good for: shapes and dtypes of arrays, and the values of everything else."""
    if isinstance(x, Variable) and x.requires_grad:
        raise TypeError(
            "capture got an argument that requires grad: let the function find its parameters by itself,"
            " or pass x.detach()"
        )
    if isinstance(x, (Variable, ndarray)):
        return type(x), x.shape, x.dtype
    if isinstance(x, (tuple, list)):
        return type(x), *map(signature, x)
    if isinstance(x, dict):
        return type(x), *[(signature(key), signature(value)) for key, value in x.items()]
    kind = type(x)
    by_identity = kind.__hash__ is object.__hash__ and (hasattr(x, "__dict__") or hasattr(x, "__slots__"))
    if kind.__hash__ is None or (by_identity and not callable(x)):
        raise TypeError(
            f"capture got a {kind.__name__} as an argument, which can change unseen: pass arrays, or settings"
            " that compare by value"
        )
    return type(x), repr(x) if isinstance(x, float) else x  # which tells zeros apart, and no NaNs


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


# --- recording ----------------------------------------------------------------------------------


def record(fn: Callable[..., Any], given: Tree) -> tuple[Recording, Tree, dict[Variable, Any]]:
    """Run ``fn`` as it is and record it on other numbers: a recording, the result and its gradients."""
    sources, draws = Sources(fn, given), Draws()
    result, gradients = sources.reading(run, fn, given)
    drawn = draws.since()
    sources.settle(gradients)
    for other in (reversed_order, nearby):
        draws.remember()
        recording = traced(fn, given, sources, other)
        starts, expected = draws.of(recording.generators), (result, gradients)
        try:
            if starts:  # a replay draws anew: compare it with a run that draws the same
                rewind(starts)
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
    pair = [[plain(x) for x in flat(tree)] for tree in (found, expected)]
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
        self.program = Program(tape, [*map(plain, results), *gxs.values()])
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
    return [plain(part) for part in flat(x) if isinstance(part, (Variable, ndarray))]


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
