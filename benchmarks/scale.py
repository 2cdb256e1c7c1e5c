"""``python -m benchmarks scale``: one training in several processes, measured as far as this machine goes.

Beside each measurement stands what the cost model says, which docs/scale.md explains and takes further:

    step(p) = compute(rows per process) + exchange(p, bytes)
    compute(b) = c0 + c1 b                                         fitted to one process
    exchange(p, n) = min(2 (p-1) α + 2 (p-1)/p n/β, log₂p (α + n/β))   a ring, or recursive doubling

Each line is measured in processes of its own, started by mpiexec with one BLAS thread each.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
RANKS = [2**k for k in range(1, 11)]
SIZES = (1, 1000, 30_000, 300_000, 1_000_000)  # float32 numbers in one exchange


class Network(NamedTuple):
    """What carries messages: seconds until the first byte is there, and bytes per second after that."""

    name: str
    latency: float
    bandwidth: float


ASSUMED = [  # what is usual; the shared memory of this machine is measured
    Network("1 Gb/s", 50e-6, 0.117e9),
    Network("10 Gb/s", 20e-6, 1.17e9),
    Network("100 Gb/s", 3e-6, 11.7e9),
]


def exchange(p: int, size: float, network: Network) -> float:
    """Seconds for the sum of p arrays of ``size`` bytes, in every process (Thakur et al. 2005).

    >>> exchange(2, 1e6, Network("", 0.0, 1e9)), exchange(4, 0, Network("", 1e-6, 1e9))
    (0.001, 2e-06)
    """
    ring = 2 * (p - 1) * (network.latency + size / p / network.bandwidth)
    doubling = np.log2(p) * (network.latency + size / network.bandwidth)
    return float(min(ring, doubling))


def simulated(p: int, size: float, network: Network, computed: np.ndarray, rng: np.random.Generator) -> float:
    """Mean seconds of a step with a ring, message by message; processes compute as long as measured ones.

    What the formula leaves out is that all wait for the slowest.
    """
    steps = []
    for _ in range(20):
        at = rng.choice(computed, p)
        for _ in range(2 * (p - 1)):
            at = np.maximum(at, np.roll(at, 1)) + network.latency + size / p / network.bandwidth
        steps.append(at.max())
    return float(np.mean(steps))


class Model(NamedTuple):
    """The cost of a step, fitted to what was measured."""

    fixed: float  # seconds of a step without rows
    per_row: float
    size: float  # bytes of all gradients
    memory: Network  # this machine's

    def compute(self, rows: float) -> float:
        return self.fixed + self.per_row * rows

    def step(self, p: int, rows: float, network: Network) -> float:
        """Seconds of a step of p processes with so many rows in each."""
        return self.compute(rows) + (exchange(p, self.size, network) if p > 1 else 0.0)

    def efficiency(self, p: int, rows: float, batch: float, network: Network) -> float:
        """Rows per second and process with so many in each, against one process with a batch."""
        return rows / self.step(p, rows, network) / (batch / self.compute(batch))


def fitted(seconds: dict[int, float]) -> tuple[float, float]:
    """c0 and c1 of compute(b) = c0 + c1 b, neither below 0, with equal weight for equal relative errors.

    >>> c0, c1 = fitted({1: 3.0, 2: 5.0, 4: 9.0})
    >>> round(c0, 9), round(c1, 9)
    (1.0, 2.0)
    """
    rows, y = np.array(list(seconds), float), np.array(list(seconds.values()))
    (c0, c1), *_ = np.linalg.lstsq(np.stack([1 / y, rows / y], 1), np.ones(len(y)), rcond=None)
    return max(float(c0), 0.0), float(c1)


def of_machine(exchanges: dict[int, float]) -> Network:
    """Latency and bandwidth of two processes on this machine, from the seconds of exchanges by bytes."""
    latency, per_byte = fitted(exchanges)
    return Network("shared memory", latency, 1 / per_byte)


# --- in each process ------------------------------------------------------------------------------


def work(ranks: int, window: int, hidden: int, rounds: int, *batches: int) -> dict[str, Any] | None:
    """Times of training steps, with so many rows in this process, and of exchanges; in rank 0."""
    import nn
    import optim
    from nn.functional import cross_entropy

    comm: Any = None
    if ranks > 1:
        from mpi4py import MPI

        comm = MPI.COMM_WORLD
    rng = np.random.default_rng(0)
    embedding, lstm, head = nn.Embedding(96, 64), nn.LSTM(64, hidden), nn.Linear(hidden, 96)
    params = [p for part in (embedding, lstm, head) for p in part.parameters()]
    optimizer, replicas = optim.Adam(params), optim.Replicas(params, comm)
    found: dict[str, Any] = {"bytes": sum([p.data.nbytes for p in params])}
    found |= {what: {rows: [] for rows in batches} for what in ("alone", "steps", "waiting", "averaging")}

    def step(rows: int, average: bool) -> None:
        x, y = rng.integers(0, 96, (2, window, rows))
        begin = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(head(lstm(embedding(x))[0]), y, axis=-1).backward()
        if average:
            before = time.perf_counter()
            replicas.average(0.0)  # waits for the slowest
            all_here = time.perf_counter()
            replicas.average_gradients(weight=y.size)
            found["waiting"][rows].append(all_here - before)
            found["averaging"][rows].append(time.perf_counter() - all_here)
        optim.clip_grad_norm_(params, 1.0)
        optimizer.step()
        found["steps" if average else "alone"][rows].append(time.perf_counter() - begin)

    for _ in range(rounds):
        for rows in batches:  # in turn, so that what disturbs meets all
            if replicas.rank == 0 and ranks > 1 and rows == max(batches):  # the others sleep
                step(rows, average=False)
            replicas.average(0.0)  # all begin at once
            step(rows, average=True)
    if comm is not None:
        found["exchanges"] = {4 * size: quartile(timed(comm, size, 5 * rounds)) for size in SIZES}
    return found if replicas.rank == 0 else None


def timed(comm: Any, size: int, rounds: int) -> list[float]:
    given, taken, seconds = np.ones(size, "f"), np.empty(size, "f"), []
    for _ in range(rounds):
        comm.Barrier()
        begin = time.perf_counter()
        comm.Allreduce(given, taken)
        seconds.append(time.perf_counter() - begin)
    return seconds


def quartile(seconds: Sequence[float]) -> float:
    """The lower quartile: other programs only ever make it longer."""
    return float(np.percentile(seconds, 25))


# --- in front -------------------------------------------------------------------------------------


def measure(ranks: int, batches: Sequence[int], window: int, hidden: int, rounds: int) -> dict[str, Any]:
    """What `work` gives in so many processes."""
    sizes = [ranks, window, hidden, rounds, *batches]
    command = [
        sys.executable,
        "-W",
        "ignore::RuntimeWarning",
        "-m",
        "benchmarks.scale",
        "--work",
        *map(str, sizes),
    ]
    if ranks > 1:
        here = Path(sys.executable).with_name("mpiexec")
        command = [str(here) if here.exists() else "mpiexec", "-n", str(ranks), *command]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stderr}")
    found: dict[str, Any] = json.loads(done.stdout)
    for key in ("alone", "steps", "averaging", "waiting", "exchanges"):  # JSON has no numbers as keys
        found[key] = {int(k): v for k, v in found.get(key, {}).items()}
    return found


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as Markdown, the first as the head."""
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([lines[0], "| " + " | ".join(["---"] * len(rows[0])) + " |", *lines[1:]])


def ms(seconds: float) -> str:
    return f"{1e3 * seconds:.3g}"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scale", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add(
        "--ranks",
        type=int,
        nargs="+",
        default=None,
        metavar="N",
        help="processes (default: 2 up to all cores)",
    )
    add("--batch", type=int, default=64, metavar="N", help="rows of the whole batch (%(default)s)")
    add("--window", type=int, default=32, metavar="N", help="steps of the LSTM (%(default)s)")
    add("--hidden", type=int, default=256, metavar="N", help="its units (%(default)s)")
    add("--rounds", type=int, default=30, metavar="N", help="steps of every kind (%(default)s)")
    options = parser.parse_args(arguments)
    ranks = options.ranks or range(2, max(2, len(os.sched_getaffinity(0))) + 1)
    batch, sizes = options.batch, (options.window, options.hidden, options.rounds)
    if batch % 8 or batch < 8 or options.rounds < 2 or min(ranks) < 2:
        parser.error("--batch expects a multiple of 8, --rounds and --ranks at least 2")

    one = measure(1, [batch // 8, batch // 4, batch // 2, batch, 2 * batch], *sizes)
    many = {p: measure(p, [max(batch // p, 1), batch], *sizes) for p in ranks}
    c0, c1 = fitted({rows: quartile(seconds) for rows, seconds in one["steps"].items()})
    memory = of_machine(many[min(ranks)]["exchanges"])
    model = Model(c0, c1, one["bytes"], memory)
    print(f"one process: {ms(c0)} ms + {1e6 * c1:.0f} µs per row; {model.size / 4:,.0f} float32 gradients")
    print(f"shared memory: {1e6 * memory.latency:.1f} µs, then {memory.bandwidth / 1e9:.2f} GB/s")
    print(f"\nMeasured, lower quartiles of {options.rounds}, beside the model:\n")
    print(beside_the_model({1: one, **many}, batch, model))
    print(f"\nEfficiency by the model, {16 * batch} rows shared by all:\n")
    print(predicted(model, lambda p: 16 * batch / p, 16 * batch))
    print(f"\nEfficiency by the model, {batch} rows in each process:\n")
    print(predicted(model, lambda p: batch, batch))
    print(f"\nSimulated rings, {batch} rows in each process, each as quick as one of the steps measured:\n")
    print(of_rings(model, np.array(one["steps"][batch])))
    return 0


def beside_the_model(found: dict[int, dict[str, Any]], batch: int, model: Model) -> str:
    """What was measured by the number of processes, with one batch shared by all and with one in each."""
    head = "processes, rows in each, step (ms), model, waiting, averaging, model, efficiency, model"
    lines = [head.split(", ")]
    for p, times in found.items():
        alone = quartile(times["alone" if p > 1 else "steps"][batch]) / batch  # in the same minute
        for rows in times["steps"] if p > 1 else [batch]:
            step, waiting, averaging = (
                quartile(times[what][rows]) for what in ("steps", "waiting", "averaging")
            )
            cost = exchange(p, model.size, model.memory) if p > 1 else 0.0
            numbers = [step, model.step(p, rows, model.memory), waiting, averaging, cost]
            efficiency = [alone * rows / step, model.efficiency(p, rows, batch, model.memory)]
            lines.append([str(p), str(rows), *map(ms, numbers), *(f"{x:.2f}" for x in efficiency)])
    return table(lines)


def predicted(model: Model, rows: Callable[[int], float], batch: int) -> str:
    """The efficiency of 2 to 1,024 processes, as long as each has a row."""
    networks = [model.memory, *ASSUMED]
    lines = [["processes", *(network.name for network in networks)]]
    for p in RANKS:
        if rows(p) >= 1:
            lines.append([str(p), *(f"{model.efficiency(p, rows(p), batch, n):.2f}" for n in networks)])
    return table(lines)


def of_rings(model: Model, computed: np.ndarray) -> str:
    """The efficiency of simulated steps."""
    networks, rng = [model.memory, *ASSUMED], np.random.default_rng(0)
    lines = [["processes", *(network.name for network in networks)]]
    for p in (2, 16, 128, 1024):
        steps = [simulated(p, model.size, network, computed, rng) for network in networks]
        lines.append([str(p), *(f"{computed.mean() / step:.2f}" for step in steps)])
    return table(lines)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        result = work(*map(int, sys.argv[2:]))
        if result is not None:
            print(json.dumps(result))
    else:
        sys.exit(main())
