"""Record a training step once, then replay it: the same NumPy calls, over memory set aside for them.

An eager step makes a graph, walks back over it and allocates every array anew. Where arrays are small, that
takes most of the time. But as long as shapes and decisions stay the same, so does the list of NumPy calls.
No operation needs to know of the recording, except those that draw random numbers: a function and the walk
back over its graph run on `Traced` arrays as on any others.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any, Generic, ParamSpec, TypeVar

import numpy as np

from ..core import Variable, ndarray
from ..modes import local
from .recording import Gradients, Recording, record, run
from .sources import named
from .traced import CaptureError, Diverged, Tree, tree_map
from .turns import RECORDING, Turn, mind_forks
from .updates import Optimizer, Updates, accumulate

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

KEPT = 8  # recordings of one captured function
MANY = 20  # recordings at which a warning says so, if there were not five calls for each


class capture(Generic[Arguments, Result]):
    """A faster ``fn`` with its backward pass, for a step that is taken many times.

        step = capture(lambda x, y: mse_loss(model(x), y), optimizer, max_norm=1.0)
        for x, y in batches:
            loss = step(x, y)

    Args:
        fn: from arrays to a Variable of one element, the loss, or to a tuple that begins with it. It finds
            its parameters where it always does. Arguments and results may be nested in tuples, lists and
            dicts; arguments that are no arrays count as settings.
        optimizer: the step is a whole one, with ``optimizer.zero_grad()`` before the backward pass and
            ``optimizer.step()`` after it.
        max_norm: of the gradients that the optimizer uses, as in `optim.clip_grad_norm_`.

    A call returns the result of ``fn``, as Variables outside any graph, and adds the gradients of the loss
    to ``grad`` of every leaf, as ``backward()`` does. Under `no_grad` there is no backward pass, and the
    result need not be a loss.

    With an optimizer everything is afterwards as the separate calls would leave it, bit by bit: parameters,
    memory and counts of the optimizer, and in ``grad`` the gradients of this step, clipped. Between calls
    schedules may change rates, and states may be saved and loaded. A setting, a group or a frozen parameter
    that changes is followed. An optimizer of your own is replayed if its ``update`` takes what differs from
    step to step from ``numbers`` (see `optim.Optimizer`), and called as it is if not.

    The first call with new shapes, dtypes or settings runs ``fn`` as it is, then again on other numbers to
    record it, and checks that the recording repeats the first result. Meanwhile no other thread may use the
    parameters. That takes as long as five to twenty steps, and the last `KEPT` recordings are kept: so pass
    as an array whatever changes from call to call, lengths and factors too.

    Later calls replay the recording, and no Python in ``fn`` runs any more. A replay reads the numbers of
    leaves, and of arrays that are attributes of modules, anew, and asks again for every decision that ``fn``
    took by the values of arrays. Where the answer is another, ``fn`` is recorded anew; so it is where a
    parameter, a setting or the mode of a module was changed, or where a name that ``fn`` takes from around
    it means something else. Changes inside lists and dicts, and around functions that ``fn`` calls, are not
    seen; arrays that are neither arguments nor attributes of modules are constants. A module may write into
    arrays of its own, as `BatchNorm1d` does in training; to put another array in their place is an error.

    Arguments reach ``fn`` as copies, and the results are the caller's own. Dropout draws new masks; other
    random numbers have to be arguments. ``zero_grad``, ``backward`` and the optimizer do not belong in
    ``fn``. While an instrument watches (`watch`, `detect_anomaly`), ``fn`` runs as it is. Calls from several
    threads take turns. Methods are captured as ``capture(model.loss)``, or with capture as their decorator,
    which then records for each object. A copy of a captured function, pickled ones included, has no
    recordings.

    Attributes:
        how: what ran the last recorded or replayed call: "table", NumPy's inner loops called from C, or
            "calls", NumPy's functions called from Python. The numbers are the same, bit by bit.
        why: the reason for "calls"; of a "table", which calls are not in it.

    Raises:
        CaptureError: ``fn`` takes the values of an array out of NumPy, changes an array that it was given
            or keeps one, draws random numbers, or does something else that a replay is seen not to repeat.
        TypeError: an argument is a Variable that requires grad, or can change in place and is no array; the
            result does not begin with a Variable; max_norm without an optimizer.
        RuntimeError: the loss has more than one element or does not require grad.

    >>> w = Variable(3.0)
    >>> step = ag.capture(lambda x: w * w * x)
    >>> float(step(np.array(1.0))), float(step(np.array(5.0)))  # recorded, then replayed
    (9.0, 45.0)
    >>> w.grad.data  # of both calls: 2 w + 10 w
    array(36.)
    >>> step = ag.capture(lambda x: (w * x).sum(), optim.SGD([w], lr=0.5))
    >>> _ = step(np.array([2.0, 4.0]))
    >>> w.data, w.grad.data  # 3 - .5 · 6
    (array(0.), array(6.))
    >>> step.how in ("table", "calls")
    True
    """

    bound: tuple[object, str] | None = None  # of a method: the object, and the name of the method

    def __init__(
        self,
        fn: Callable[Arguments, Result],
        optimizer: Optimizer | None = None,
        max_norm: float | None = None,
    ):
        if optimizer is None and max_norm is not None:
            raise TypeError("capture got max_norm without the optimizer of the gradients to clip")
        if optimizer is not None and not hasattr(optimizer, "due"):
            raise TypeError(f"capture expected an optimizer of optim, got {type(optimizer).__name__}")
        self.fn, self.optimizer, self.max_norm = fn, optimizer, max_norm
        self.updates = None if optimizer is None else Updates(optimizer, max_norm)
        self.recordings: list[tuple[Any, Recording]] = []  # with their signatures, the last used first
        self.calls = self.made = 0  # how many calls, and how many recordings for them
        self.turn = Turn()  # the memory of a recording serves one call at a time
        mind_forks()

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
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
        if self.updates is not None and local.thread.recording:
            self.updates.train(gradients)
        else:
            accumulate(gradients)
        return result

    @property
    def how(self) -> str:
        return self.recordings[0][1].program.how if self.recordings else "nothing recorded"

    @property
    def why(self) -> str:
        return self.recordings[0][1].program.why if self.recordings else "nothing recorded"

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method of ``instance``, with recordings of its own."""
        if instance is None or not hasattr(self.fn, "__get__"):
            return self
        method = capture(self.fn.__get__(instance, owner), self.optimizer, self.max_norm)
        method.bound = instance, self.name
        return vars(instance).setdefault(self.name, method)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __reduce__(self) -> Any:
        return (getattr, self.bound) if self.bound else (capture, (self.fn, self.optimizer, self.max_norm))

    def computed(self, key: Any, given: Tree) -> tuple[Tree, Gradients]:
        """Result and gradients: by a replay if there is a recording for it, else by a new recording."""
        self.calls += 1
        for i, (made_for, recording) in enumerate(self.recordings):
            if made_for == key and recording.fits():
                try:
                    replayed = recording.replay(given)
                except Diverged:
                    continue
                self.recordings.insert(0, self.recordings.pop(i))
                return replayed
        with RECORDING.lock:
            RECORDING.holder = threading.get_ident()
            meter = local.thread.meter
            make = record if meter is None else partial(meter.record, record)
            recording, *recorded = make(self.fn, given)
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
    """The arguments that one recording serves: shapes and dtypes of arrays, values of everything else."""
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
