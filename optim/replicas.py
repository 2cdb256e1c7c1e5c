"""One training in many processes: each has the model and a share of every batch; gradients are averaged.

What carries the numbers is MPI, by any communicator with the interface of mpi4py's; nothing here imports it.
Neither model nor optimizer is wrapped: equal parameters, moved by equal gradients, stay equal.
"""

import atexit
import hashlib
import math
import os
import platform
import sys
import time
import warnings
from collections.abc import Iterable
from typing import Any, NoReturn, TypeVar

import numpy as np

from autograd import Variable
from autograd.extend import Array

Params = Variable | Iterable[Variable | tuple[str, Variable]]
Loader = TypeVar("Loader")
MEETINGS = ("check", "average_gradients", "average", "gather", "share", "the constructor")
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "BLIS_NUM_THREADS", "OMP_NUM_THREADS")


class Replicas:
    """Keeps the parameters of all processes equal, by giving all the mean of their gradients.

        from mpi4py import MPI

        replicas = optim.Replicas(model.parameters(), MPI.COMM_WORLD)  # all start with the numbers of rank 0
        for x, y in replicas.share(loader):  # the rows of this process
            loss = cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            replicas.average_gradients(weight=len(y))  # now they are those of the whole batch
            optim.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()

    ``mpiexec -n 2 python -m mpi4py train.py`` runs two processes. Every process calls the same methods of its
    Replicas in the same order. Buffers, such as the averages of `BatchNorm1d`, stay each process's own.

    No process waits for ever. Each call first finds out whether all are there: if one has ended, by an
    exception, `sys.exit` or a signal, or does not come within ``timeout``, all end, and stderr says why. So
    while more than one process takes part, an exception that nobody catches ends all of them.

    Args:
        params: Variables, or pairs of a name and a Variable, the same in every process.
        comm: an mpi4py communicator, which is duplicated; with None, or of one process, nothing is exchanged.
        timeout: seconds that a process may wait for the others, such as for rank 0 to validate.

    Attributes:
        rank, size: the number of this process, and how many there are.

    Raises:
        ValueError: ranks have other parameters, or timeout is not above 0.
        TypeError: a parameter is no Variable of float32 or float64.

    >>> w = nn.Parameter([2.0, 4.0])
    >>> replicas = optim.Replicas([w])  # one process: the same program, and nothing to do
    >>> (w * w).sum().backward()
    >>> replicas.average_gradients(weight=16), w.grad.data
    (16.0, array([4., 8.]))
    """

    def __init__(self, params: Params, comm: Any = None, timeout: float = 300.0):
        if not timeout > 0:
            raise ValueError(f"Replicas expected a timeout above 0 seconds, got {timeout}")
        self.timeout = float(timeout)
        self.rank: int = 0 if comm is None else comm.Get_rank()
        self.size: int = 1 if comm is None else comm.Get_size()
        self._comm = comm
        if self.size > 1:
            self._end_together()
        self.names, self.params = [], []
        for number, entry in enumerate([params] if isinstance(params, Variable) else params):
            name, p = entry if isinstance(entry, tuple) else (getattr(entry, "name", None), entry)
            if not isinstance(p, Variable) or p.dtype not in (np.float32, np.float64):
                got = f"{type(p).__name__} of {p.dtype}" if isinstance(p, Variable) else type(p).__name__
                raise TypeError(f"Replicas expected Variables of float32 or float64, got {got}")
            self.names.append(f"parameter {number}" + (f", {name}" if name else ""))
            self.params.append(p)
        if self.size == 1:
            return
        dtype = np.result_type(np.float32, *[p.dtype for p in self.params])
        size = sum([p.size for p in self.params])
        self._given, self._sum = np.empty(size, dtype), np.empty(size, dtype)
        self._flags, self._met, self._left = 0, 0, dict[int, int]()
        self._wait(comm.Ibarrier(), "the constructor", listen=False)
        self._comm = comm.Dup()
        atexit.register(self._leave)
        self._compare()
        self._warn_of_threads()
        for p in self.params:
            data = np.array(p.data, order="C")
            self._comm.Bcast(data, root=0)
            p.data[...] = data.reshape(p.shape)
            p.data = p.data  # a new version: a graph that still needs the old values notices
        self._flags = len(self.params)

    def average_gradients(self, weight: float = 1.0) -> float:
        """Replace all gradients by their mean over the processes, Σ w g / Σ w; returns Σ w.

        g is the gradient of this process's mean loss, w = ``weight`` the number of what that is a mean of:
        rows, or steps that count. Then the mean is the gradient of one process with all shares. With weight 0
        a process takes part without giving anything; if all do, 0 is returned and no gradient changes. A
        parameter has a gradient afterwards if it had one in any process. Call it after the last `backward` of
        a step and before clipping; new arrays replace the gradients.

        Raises:
            ValueError: weight is negative, infinite or NaN.

        >>> optim.Replicas([nn.Parameter([1.0])]).average_gradients(weight=0)
        0.0
        """
        weight = _checked("average_gradients", weight)
        if self.size == 1:
            return weight
        own = [p.grad is not None and weight > 0 for p in self.params]
        table = self._meet("average_gradients", weight=weight, flags=own)
        total = float(table[:, 2].sum())
        if total == 0:
            return 0.0
        places: list[slice | None] = []  # of each parameter in the buffer, if any process has its gradient
        end = 0
        for p, gives, there in zip(self.params, own, np.any(table[:, 3:], axis=0), strict=True):
            places.append(slice(end, end + p.size) if there else None)
            if there:
                g = p.grad.data if gives and p.grad is not None else 0.0
                out = self._given[end : end + p.size].reshape(p.shape)
                np.multiply(g, weight / total, out=out, casting="same_kind")
                end += p.size
        self._comm.Allreduce(self._given[:end], self._sum[:end])
        for p, place in zip(self.params, places, strict=True):
            if place is None:
                p.grad = None
            else:
                p.grad = Variable(self._sum[place].reshape(p.shape).astype(p.dtype), requires_grad=False)
        return total

    def average(self, x: Any, weight: float = 1.0) -> Any:
        """The mean Σ w x / Σ w over the processes, of a number or an array: of a loss to report.

        With weight 0 this process's x does not count, NaN neither; if no x counts, the mean is NaN.

        Raises:
            ValueError: weight is negative, infinite or NaN. RuntimeError: x is of another size elsewhere.

        >>> optim.Replicas([]).average(0.5, weight=16)
        0.5
        """
        weight, x = _checked("average", weight), np.asarray(x, np.float64)
        total, found = weight, x
        if self.size > 1:
            total = float(self._meet("average", x.size, weight)[:, 2].sum())
            given, found = np.ascontiguousarray(x * weight if weight else np.zeros_like(x)), np.empty(x.shape)
            self._comm.Allreduce(given, found)
            found = found / total if total else found
        found = found if total else np.full_like(found, np.nan)
        return found if found.ndim else float(found)

    def gather(self, x: Array, axis: int = 0) -> Array:
        """The arrays of all processes, joined along an axis in the order of ranks, in every process.

        >>> optim.Replicas([]).gather(np.ones((2, 3)), axis=1).shape
        (2, 3)
        """
        if self.size == 1:
            return np.asarray(x)
        self._meet("gather")
        return np.concatenate(self._comm.allgather(np.asarray(x)), axis)

    def check(self) -> None:
        """Compare the parameters of all processes, bit by bit; call it now and then, as before saving.

        Raises:
            RuntimeError: they have drifted apart; the first such parameter is named.

        >>> optim.Replicas([nn.Parameter([1.0])]).check()
        """
        if self.size == 1:
            return
        self._meet("check")
        table = self._comm.allgather(
            [hashlib.blake2b(p.data.tobytes(), digest_size=16).digest() for p in self.params]
        )
        for name, *found in zip(self.names, *table, strict=True):
            if others := [rank for rank, digest in enumerate(found) if digest != found[0]]:
                raise RuntimeError(
                    f"Replicas: {name} is another in {_ranks(others)} than in rank 0: has a step been taken"
                    " there without average_gradients, by another learning rate, or from another checkpoint?"
                )

    def share(self, loader: Loader) -> Loader:
        """A loader that gives this process its part of every batch of ``loader``, a loader of `nn.data`.

        All processes take the order of rank 0's loader. They get equally many batches, together all rows
        and none twice: rows of a `DataLoader` or `BucketLoader`, streams of a `StreamLoader`. Where a batch
        has fewer rows than there are processes, some get None: call ``average_gradients(weight=0)`` for it.
        The state dict of the new loader is the same in all processes, and serves any number of them. Any
        object with a ``share(rank, size)``, a state dict and a length serves.

        Raises:
            ValueError: there are fewer streams than processes, or ranks have loaders of other lengths.

        >>> loader = nn.data.DataLoader(np.arange(4), batch_size=2)
        >>> [batch.tolist() for batch in optim.Replicas([]).share(loader)]
        [[0, 1], [2, 3]]
        """
        if self.size == 1:
            return loader
        self._meet("share")
        given: Any = loader
        lengths = self._comm.allgather((len(given), getattr(given, "samples", None)))
        if others := [rank for rank, length in enumerate(lengths) if length != lengths[0]]:
            here, there = [f"{n} batches" + (f" of {of} samples" if of else "")
                           for n, of in (lengths[0], lengths[others[0]])]  # fmt: skip
            raise ValueError(
                f"Replicas.share expected the same loader everywhere, got {here} in rank 0 and {there} in"
                f" rank {others[0]}: give every process the whole data"
            )
        shared: Any = given.share(self.rank, self.size)
        shared.load_state_dict(self._comm.bcast(shared.state_dict(), root=0))
        result: Loader = shared
        return result

    def seed(self, *numbers: int) -> int:
        """A seed of this process's own, for dropout masks that differ from rank to rank.

        Made of ``numbers``, such as the seed of the run and the step, and the rank: set anew at every step,
        it needs no place in a checkpoint.

        >>> replicas = optim.Replicas([])
        >>> replicas.seed(0, 17) == replicas.seed(0, 17) != replicas.seed(0, 18)
        True
        """
        return int(np.random.SeedSequence([*numbers, self.rank]).generate_state(1, np.uint64)[0])

    # -- meeting, waiting and ending

    def _meet(self, what: str, size: int = 0, weight: float = 0.0, flags: Iterable[bool] = ()) -> Array:
        """Wait until all are here and for the same; a row for each process: what, size, weight, flags."""
        mine = np.zeros(3 + self._flags)
        mine[:3] = MEETINGS.index(what), size, weight
        if flags:
            mine[3:] = list(flags)
        table = np.empty((self.size, len(mine)))
        self._met += 1
        self._wait(self._comm.Iallgather(mine, table), what)
        for rank, (kind, length) in enumerate(table[:, :2].astype(int).tolist()):
            if (kind, length) != (int(table[0, 0]), int(table[0, 1])):
                places = [f"{MEETINGS[int(k)]} of {int(n)} numbers" for k, n in table[[0, rank], :2]]
                raise RuntimeError(
                    f"Replicas: rank 0 is at {places[0]} while rank {rank} is at {places[1]}: every process"
                    " has to call the same methods in the same order"
                )
        return table

    def _wait(self, request: Any, what: str, listen: bool = True) -> None:
        """Until a request is done; or end all, because one has left or the time is over."""
        begin = time.monotonic()
        while not request.Test():
            waited = time.monotonic() - begin
            if waited < 1e-3:
                getattr(os, "sched_yield", lambda: None)()  # there may be fewer cores than processes
                continue
            time.sleep(min(waited / 10, 0.01))
            if listen:
                self._listen()
                if late := [rank for rank, met in self._left.items() if met < self._met]:
                    self._end(f"waits in {what} for {_ranks(late)}, which has ended before")
            if waited > self.timeout:
                self._end(
                    f"has waited in {what} for {self.timeout:g} s without all others coming: does every"
                    " process take as many steps? A longer timeout= waits longer"
                )

    def _listen(self) -> None:
        """Note which processes have ended, and how many meetings they took part in."""
        while self._comm.Iprobe():
            rank, met = self._comm.recv()
            self._left[rank] = met

    def _end_together(self) -> None:
        """Let an exception that nobody catches end all processes."""
        before = sys.excepthook

        def hook(kind: Any, error: Any, trace: Any) -> None:
            before(kind, error, trace)
            self._end(f"has failed with {kind.__name__}")

        sys.excepthook = hook

    def _leave(self) -> None:
        """At the end of this process: tell the others, and wait until they end too, as MPI would."""
        others = [rank for rank in range(self.size) if rank != self.rank]
        self._sent = [self._comm.isend((self.rank, self._met), dest=rank) for rank in others]
        # python -m mpi4py ends all where the status is not 0, once this returns
        end = time.monotonic() + (10 if "mpi4py.run" in sys.modules else math.inf)
        while len(self._left) < len(others) and time.monotonic() < end:
            self._listen()
            time.sleep(0.001)

    def _end(self, why: str) -> NoReturn:
        """End all processes, and say why."""
        sys.stdout.flush()
        print(
            f"Replicas: rank {self.rank} of {self.size} {why}. All processes end.",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(0.5)  # mpiexec drops what it has not yet read when it ends the processes
        self._comm.Abort(1)
        raise SystemExit(1)

    # -- at the start

    def _compare(self) -> None:
        """Raise ValueError unless all ranks have parameters of the same shapes and dtypes."""
        self._meet("the constructor")
        kinds = [f"{name}: {p.shape} {p.dtype}" for name, p in zip(self.names, self.params, strict=True)]
        table = self._comm.allgather(kinds)
        for rank, others in enumerate(table):
            if others != table[0]:
                pairs = zip([*table[0], "no parameter more"], [*others, "no parameter more"], strict=False)
                here, there = next(pair for pair in pairs if pair[0] != pair[1])
                raise ValueError(
                    f"Replicas expected the same parameters in all ranks, got {here} in rank 0 and {there} in"
                    f" rank {rank}: make the model of the same sizes everywhere"
                )

    def _warn_of_threads(self) -> None:
        """Warn where the processes of one machine have more threads for products than it has cores."""
        cores = (
            sorted(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else range(os.cpu_count() or 1)
        )
        table = self._comm.allgather((platform.node(), list(cores), _threads(len(cores))))
        here = [(cores, threads) for node, cores, threads in table if node == table[self.rank][0]]
        there, threads = len({core for cores, _ in here for core in cores}), sum([n for _, n in here])
        if threads > there and self.rank == next(
            r for r, row in enumerate(table) if row[0] == table[self.rank][0]
        ):
            warnings.warn(
                f"{len(here)} processes on {platform.node()} have {threads} threads for matrix products and"
                f" {there} cores: that can be 30 times slower. Set"
                f" OPENBLAS_NUM_THREADS={max(1, there // len(here))} before Python starts"
                + (", and start fewer processes" if len(here) > there else ""),
                RuntimeWarning,
                stacklevel=3,
            )


def _threads(cores: int) -> int:
    """The threads of BLAS, as far as the environment tells: as many as there are cores if it says nothing."""
    for name in THREADS:
        if (value := os.environ.get(name, "")).isdigit() and int(value) > 0:
            return min(int(value), cores)
    return cores


def _checked(who: str, weight: float) -> float:
    if not (0 <= weight < math.inf):
        raise ValueError(f"{who} expected a weight of at least 0, got {weight}")
    return float(weight)


def _ranks(numbers: list[int]) -> str:
    return f"rank {', '.join(map(str, numbers))}"
