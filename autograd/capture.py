"""Record a training step once, then replay it: the same NumPy calls, over memory set aside for them.

Running eagerly makes a graph, walks back over it and allocates every array anew, each time. Where arrays
are small that takes most of the time. But as long as shapes and decisions stay the same, so does the list
of NumPy calls, and no operation needs to know: a function and the walk back over its graph run on the
traced arrays of `tape` as on any others.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable
from operator import itemgetter
from typing import Any

import numpy as np

from .core import Variable, plain, untracked
from .engine import deposit, reverse
from .modes import local
from .tape import CaptureError, Otherwise, Program, Tape, Tree, bare, flat, ndarray, tree_map

KEPT = 8  # recordings of one captured function


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
    record it, and checks that the recording repeats the first result. Meanwhile no other thread may use
    the parameters. Later calls replay, and no Python in ``fn`` runs any
    more: what it decided stays decided, ``train()`` and ``eval()`` included. Only what it decided by the
    values of arrays is asked again; where the answer is another, ``fn`` is recorded anew, as it is where the
    data of a leaf has been replaced by another array. Variables that do not require grad, and arrays that
    are no arguments, are constants: do not change them. Dropout draws new masks; other random numbers have
    to be arguments. The optimizer belongs outside. While an instrument watches (`watch`, `detect_anomaly`),
    ``fn`` runs as it is.

    Raises:
        CaptureError: ``fn`` takes the values of an array out of NumPy, changes an array that it was given
            or keeps one, draws random numbers, or does something else that a replay is seen not to repeat.
        TypeError: an argument is a Variable that requires grad, or can change in place and is no array; the
            result does not begin with a Variable.
        RuntimeError: the loss has more than one element or does not require grad.
    """

    def __init__(self, fn: Callable[..., Any]):
        self.fn = fn
        self.recordings: list[tuple[Any, Recording]] = []  # with their signatures, the last used first
        self._lock = threading.Lock()  # the memory of a recording serves one call at a time

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        given = args, kwargs
        key = local.thread.recording, signature(given)
        if local.thread.instruments:
            result = self.fn(*args, **kwargs)
            gradients = way_back(result)
        else:
            with self._lock:
                result, gradients = self.computed(key, given)
        for leaf, g in gradients.items():
            deposit(leaf, g)
        return tree_map(lambda x: untracked(x._data) if isinstance(x, Variable) else x, result)

    def computed(self, key: Any, given: Tree) -> tuple[Tree, dict[Variable, Any]]:
        """Result and gradients: by a replay if there is a recording for it, else by a new recording."""
        for i, (made_for, recording) in enumerate(self.recordings):
            if made_for == key and recording.fits():
                try:
                    replayed = recording.replay(given)
                except Otherwise:
                    continue
                self.recordings.insert(0, self.recordings.pop(i))
                return replayed
        recording, *recorded = record(self.fn, given)
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
        return dict, *[(signature(key), signature(value)) for key, value in x.items()]
    hash(x)  # what can change in place is no setting
    return type(x), repr(x) if isinstance(x, float) else x  # which tells zeros apart, and no NaNs


def way_back(result: Tree) -> dict[Variable, Any]:
    """The gradients of the first part of ``result`` by leaf, where grad mode is on."""
    if not local.thread.recording:
        return {}
    loss = result[0] if isinstance(result, (tuple, list)) and result else result
    if not isinstance(loss, Variable):
        raise TypeError(f"capture expected the function to return a loss, got {type(loss).__name__}")
    return reverse("capture", loss)


# --- recording ----------------------------------------------------------------------------------


def record(fn: Callable[..., Any], given: Tree) -> tuple[Recording, Tree, dict[Variable, Any]]:
    """Run ``fn`` as it is and record it on other numbers: a recording, the result and its gradients."""
    args, kwargs = given
    for x in flat(given):
        if isinstance(plain(x), ndarray) and type(plain(x)) not in (ndarray, np.memmap):
            raise CaptureError(f"capture takes arrays of NumPy's own type, got {type(plain(x)).__name__}")
    used: dict[Variable, None] = {}  # a set with an order
    outer = local.thread.leaves
    try:
        local.thread.leaves = used
        result = fn(*args, **kwargs)
    finally:
        local.thread.leaves = outer
    gradients = way_back(result)
    leaves = list(dict.fromkeys([*used, *gradients]))

    for other in (reversed_order, nearby):
        recording = traced(fn, given, leaves, other)
        expected = result, gradients
        try:
            if recording.generators:  # then a replay draws anew: compare it with a run that draws the same
                recording.rewind()
                expected = (y := fn(*args, **kwargs)), way_back(y)
                recording.rewind()
            replayed, found = recording.replay(given)
        except Otherwise:  # the other numbers have led elsewhere
            continue
        except Exception as error:
            raise CaptureError("a call of NumPy's in the function cannot be repeated") from error
        finally:
            recording.rewind()
        check((replayed, found), (expected[0], {leaf: expected[1].get(leaf) for leaf in found}))
        return recording, result, gradients
    raise CaptureError(
        "the function decides by the values of its arrays, and otherwise on numbers that differ by a little:"
        " decide outside of it, or use where()"
    )


def traced(fn: Callable[..., Any], given: Tree, leaves: list[Variable], other: Any) -> Recording:
    """Note all NumPy calls of ``fn`` and its way back, on ``other`` numbers than those given."""
    tape = Tape()
    buffers = [np.array(plain(x)) for x in flat(given) if isinstance(x, (Variable, ndarray))]
    for buffer in buffers:
        buffer[...] = other(buffer)
    arrays = {leaf: leaf._data for leaf in leaves}
    try:
        for leaf, a in arrays.items():
            leaf._data = tape.watch(a)
        args, kwargs = filled(given, [tape.watch(buffer) for buffer in buffers])
        with np.errstate(all="call", call=lambda *_: None):  # what fn says itself is part of its calls
            y = fn(*args, **kwargs)
            gxs = {leaf: g for leaf, g in way_back(y).items() if leaf in arrays}  # not those made in fn
        if any(layout(bare(leaf._data)) != layout(a) for leaf, a in arrays.items()):
            raise CaptureError("the function replaces the data of a leaf: do that outside of it")
        recording = Recording(tape, buffers, y, gxs, arrays)
    except CaptureError:
        raise
    except Exception as error:
        raise CaptureError(
            "the function runs as it is, but not while its use of NumPy is noted, on other numbers"
        ) from error
    finally:
        for leaf, a in arrays.items():
            leaf._data = a
    del args, kwargs, y, gxs
    if tape.left():
        gc.collect()
    for array in tape.left():
        raise CaptureError(
            f"the function keeps an array of shape {array.shape} where a replay cannot renew it: return it"
        )
    return recording


# Recording on other numbers tells what is computed from what is merely kept. They should lead Python where
# the true ones lead it: the same in another order have the same extremes and sums, others are close by.


def reversed_order(a: Any) -> Any:
    b = np.reshape(np.ravel(a)[::-1], a.shape)
    return 0.9 * b + 0.05 if a.dtype.kind == "f" and np.array_equal(a, b) else b


def nearby(a: Any) -> Any:
    return a * (1 + 2**-7) + 2**-9 if a.dtype.kind == "f" else reversed_order(a)


def check(found: Tree, expected: Tree) -> None:
    """Raise unless a replay has brought the numbers of the run as it is."""
    pair = [[plain(x) for x in flat(tree)] for tree in (found, expected)]
    if len(pair[0]) != len(pair[1]) or not all(map(repeats, *pair)):
        raise CaptureError(
            "a replay does not repeat the result: the function draws random numbers, depends on what it did"
            " before, or computes with what capture cannot see, such as Variables that do not require grad."
            " Do that outside, and pass what comes of it as an argument"
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

    def __init__(
        self, tape: Tape, buffers: list[Any], y: Tree, gxs: dict[Variable, Any], leaves: dict[Variable, Any]
    ):
        results = [x for x in flat(y) if isinstance(x, (Variable, ndarray))]
        self.program = Program(tape, [*map(plain, results), *gxs.values()])
        self.buffers = buffers
        self.result = filled(y, self.program.results[: len(results)])
        self.taken = [as_it_was(x) for x in results]
        self.gradients = dict(zip(gxs, self.program.results[len(results) :], strict=True))
        self.layouts = {leaf: layout(a) for leaf, a in leaves.items()}
        self.generators = tape.generators

    def fits(self) -> bool:
        """Are the leaves where they were? Optimizers write in place."""
        return all([layout(leaf._data) == at for leaf, at in self.layouts.items()]) and all(
            [leaf._edge is None for leaf in self.gradients]
        )

    def replay(self, given: Tree) -> tuple[Tree, dict[Variable, Any]]:
        """The result and the gradients of the function, in memory that is the caller's."""
        arrays = [plain(x) for x in flat(given) if isinstance(x, (Variable, ndarray))]
        for buffer, x in zip(self.buffers, arrays, strict=True):
            buffer[...] = x
        self.program.run()
        found = [plain(x) for x in flat(self.result) if isinstance(x, (Variable, ndarray))]
        arrays = [take(a) for take, a in zip(self.taken, found, strict=True)]
        return filled(self.result, arrays), {leaf: g.copy() for leaf, g in self.gradients.items()}

    def rewind(self) -> None:
        """Put the generators of random numbers where the recording found them."""
        for generator, state in self.generators.items():
            generator.bit_generator.state = state


def layout(a: Any) -> Any:
    """Where in memory the elements of ``a`` are, and what they are."""
    facts = a.__array_interface__
    return facts["data"][0], facts["shape"], facts["strides"], facts["typestr"]


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
