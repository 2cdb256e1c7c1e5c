"""The parent's side: one worker per candidate, each doing one round in turn, and what comes of it.

Whatever slows the machine down for a while slows all candidates down alike, so ratios within a run mean
something where seconds do not. Every candidate gets a fresh process for every case: what one case left in
an allocator must not help the next. Results are plain dicts, as they go into results.json.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from .candidates.ours import replays_tables
from .cases import Arrays, Case
from .machine import blas, python_build
from .peers import CANDIDATES, ENVIRONMENTS, python_of

TOLERANCE = 1e-4  # of the largest element of each result; float32 sums in another order
BUDGET = 40.0  # seconds per candidate and case, after which LEAST rounds are enough
LEAST = 3


class WorkerError(RuntimeError):
    """A candidate could not do what it was told."""


class Worker:
    """A worker process; `ask` sends it a command and waits for the answer.

    Between two commands the process is stopped: the threads of OpenBLAS, OpenMP and XLA go on spinning for
    a while when they have nothing to do, and would slow down whoever is measured next.
    """

    def __init__(self, name: str, threads: int, log: Path):
        candidate = CANDIDATES[name]
        python = python_of(candidate.environment)
        assert python is not None
        env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
        for library in ("OMP", "OPENBLAS", "MKL", "VECLIB_MAXIMUM", "NUMEXPR"):
            env[f"{library}_NUM_THREADS"] = str(threads)
        self.log = log
        with log.open("w") as errors:
            self.process = subprocess.Popen(
                [python, str(Path(__file__).with_name("worker.py"))],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                cwd="/",
                env=env,
                text=True,
            )
        self.send("start", module=candidate.module, variant=candidate.variant, threads=threads)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.communicate()

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.process.poll() is None:
            self.process.send_signal(getattr(signal, name))

    def send(self, what: str, **arguments: Any) -> None:
        assert self.process.stdin is not None
        self._signal("SIGCONT")
        try:
            self.process.stdin.write(json.dumps({"do": what, **arguments}) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # it has ended; receive() says why

    def receive(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self._signal("SIGSTOP")
        if not line:
            tail = self.log.read_text().strip().splitlines()[-1:]
            raise WorkerError(f"ended with code {self.process.wait()}: {' '.join(tail)}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        self.send(what, **arguments)
        return self.receive()


def choose(peers: Sequence[str] | None) -> tuple[set[str], dict[str, str]]:
    """The candidates that can run, ours always among them, and why the others cannot, by peer.

    Raises:
        ValueError: no candidate or peer has such a name.
    """
    known = {*CANDIDATES, *ENVIRONMENTS}
    for peer in peers or ():
        if peer not in known:
            raise ValueError(f"no peer is called {peer!r}: choose from {', '.join(sorted(known))}")
    wanted, missing = set(), {}
    for name, candidate in CANDIDATES.items():
        environment = candidate.environment
        if candidate.module != "ours" and peers is not None and not {name, environment} & set(peers):
            continue
        if candidate.variant == "table" and not replays_tables():
            missing[name] = "replays make NumPy calls here; `capture(...).why` tells the reason"
        elif python_of(environment) is None:
            assert environment is not None
            missing[environment] = ENVIRONMENTS[environment].install_hint(environment)
        else:
            wanted.add(name)
    return wanted, missing


def measure(
    case: Case, names: Iterable[str], rounds: int, threads: int, tick: Callable[[str], None], shortest: float
) -> dict[str, Any]:
    """One case by all candidates: {"name", "kind", ..., "candidates": {name: measurement}}.

    A round takes ``shortest`` seconds at least, if calls are short.

    A measurement has "seconds" (all timings) or "bytes" (peaks after one and three runs), "versions" and
    "difference" (from our results, relative); or only "failed", a line that says why there is none.
    """
    found: dict[str, dict[str, Any]] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bptt-bench-")))
        chosen = [name for name in case.candidates if name in names]
        workers = {n: stack.enter_context(Worker(n, threads, folder / f"{n}.log")) for n in chosen}

        def everyone(do: Callable[[str, Worker], None]) -> None:
            for name, worker in list(workers.items()):
                try:
                    do(name, worker)
                except WorkerError as error:
                    found[name] = {"failed": str(error)}
                    del workers[name]

        def build(name: str, worker: Worker) -> None:
            worker.receive()  # the answer to "start"
            found[name] = worker.ask("build", case=asdict(case))

        def peak(name: str, worker: Worker) -> None:
            tick(f"{case.name} {name}")
            found[name] |= worker.ask("memory")

        def compare(name: str, worker: Worker) -> None:
            tick(f"{case.name} {name}")
            file = folder / f"{name}.npz"
            worker.ask("results", file=str(file))
            found[name]["difference"] = difference(_load(file), _load(folder / "ours.npz"))

        everyone(build)
        if case.kind == "memory":
            everyone(peak)
        everyone(compare)
        if case.kind != "memory":
            _take_turns(case, workers, found, rounds, shortest, tick, everyone)
    about = {"group": case.group, "label": case.label, "threads": threads}
    return {**asdict(case), **about, "candidates": found}


def _take_turns(
    case: Case,
    workers: dict[str, Worker],
    found: dict[str, dict[str, Any]],
    rounds: int,
    shortest: float,
    tick: Callable[[str], None],
    everyone: Callable[[Callable[[str, Worker], None]], None],
) -> None:
    """Rounds in turn; how many calls make a round, a first one has to tell."""
    repeats: dict[str, int] = {}

    def calibrate(name: str, worker: Worker) -> None:
        seconds = worker.ask("round", repeats=2)["seconds"][-1]
        calls = 1000 // case.size[0] if case.kind == "chain" else 1
        repeats[name] = int(np.clip(shortest / (seconds * max(calls, 1)), 1, 30))
        found[name]["seconds"] = []

    def one_round(name: str, worker: Worker) -> None:
        seconds = found[name]["seconds"]
        if len(seconds) >= LEAST and sum(seconds) > BUDGET and case.kind != "chain":
            return
        seconds += worker.ask("round", repeats=repeats[name])["seconds"]

    everyone(calibrate)
    for r in range(rounds):
        tick(f"{case.name} round {r + 1}")
        everyone(one_round)


def _load(file: Path) -> Arrays:
    if not file.exists():
        raise WorkerError("nothing to compare with: our own results are missing")
    with np.load(file) as loaded:
        return dict(loaded)


def difference(got: Arrays, expected: Arrays) -> float:
    """The largest difference of any result, relative to the largest element of that result.

    Raises:
        WorkerError: it is larger than TOLERANCE, or something else was computed.
    """
    if got.keys() != expected.keys():
        raise WorkerError(f"computed {', '.join(got)} instead of {', '.join(expected)}")
    worst = 0.0
    for name, right in expected.items():
        if got[name].shape != right.shape:
            raise WorkerError(f"{name} has shape {got[name].shape}, ours {right.shape}")
        error = float(np.abs(got[name] - right).max() / (np.abs(right).max() + 1e-30))
        if not error <= TOLERANCE:
            raise WorkerError(f"{name} differs from ours by {error:.1e}, tolerance {TOLERANCE:.0e}")
        worst = max(worst, error)
    return worst


def machine(threads: Sequence[int]) -> dict[str, Any]:
    """Where and when this was measured."""
    import platform

    cpu = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {
        "date": time.strftime("%Y-%m-%d %H:%M"),
        "cpu": cpu,
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": list(threads),
        "system": platform.platform(),
        "python": python_build(),
        "blas": blas(),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
    }
