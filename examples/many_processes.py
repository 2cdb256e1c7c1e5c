"""One training in several processes: the same numbers, how much sooner, and why not sooner still.

    pip install -e '.[examples,mpi]'
    python -m examples.many_processes            # ten seconds; it calls mpiexec itself
    python -m examples.many_processes --quick

`optim.Replicas` averages gradients by MPI. Shown are: how far the weights of p processes are from those of
one after the same steps, with unequal shares; rows per second; a linear recurrence over a sequence that is
cut in p stretches; and how much of the gradient is complete while the backward pass still runs. That could be
sent early, but a weight that every time step uses is complete only when the walk has arrived at t = 0.
"""

import json
import os
import subprocess
import sys
import time
from argparse import Namespace
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
import nn
import optim
from autograd import Variable
from autograd.graph.reading import Reading, results_of
from examples.shared.figures import save
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from nn.functional import cross_entropy

SYMBOLS = 50


class Model(nn.Module):
    """Which symbol comes next? Numbers (T, B) -> scores (T, B, V)."""

    def __init__(self, hidden: int, layers: int = 1):
        self.embedding, self.lstm = nn.Embedding(SYMBOLS, hidden // 2), nn.LSTM(hidden // 2, hidden, layers)
        self.linear = nn.Linear(hidden, SYMBOLS)

    def forward(self, x: np.ndarray) -> Variable:
        return self.linear(self.lstm(self.embedding(x))[0])


def shares(rows: int, p: int) -> list[slice]:
    """Rows of p processes; with each process there are more of them, by a half of what the first has."""
    ends = np.round(rows * np.cumsum([0, *(2 + np.arange(p))]) / np.sum(2 + np.arange(p))).astype(int)
    return [slice(*pair) for pair in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]


def trained(comm: Any, seed: int, steps: int) -> list[np.ndarray]:
    """The weights after some steps in float64, each process with its share of every batch."""
    nn.manual_seed(seed)
    model, rng = Model(16).to_dtype("f8"), np.random.default_rng(seed)
    optimizer, replicas = optim.SGD(model.parameters(), lr=1.0), optim.Replicas(model.parameters(), comm)
    mine = shares(24, replicas.size)[replicas.rank]
    for _ in range(steps):
        x = rng.integers(0, SYMBOLS, (11, 24))[:, mine]
        optimizer.zero_grad()
        cross_entropy(model(x[:-1]), x[1:], axis=-1).backward()
        replicas.average_gradients(weight=x[1:].size)
        optim.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return [p.data for p in model.parameters()]


def scanned(comm: Any, seed: int) -> np.ndarray:
    """Values and gradients of h_t = a_t h_{t-1} + b_t over 300 steps, each process with a stretch of them."""
    rng = np.random.default_rng(seed)
    a, b, weights = rng.uniform(0.5, 0.99, (300, 4)), rng.normal(size=(300, 4)), rng.normal(size=(300, 4))
    if comm is not None:
        a, b, weights = (np.array_split(x, comm.Get_size())[comm.Get_rank()] for x in (a, b, weights))
    x = [Variable(a), Variable(b)]
    y = ag.linear_scan(*x) if comm is None else ag.linear_scan_across(*x, comm)
    found = np.stack([y.data, *(g.data for g in ag.grad((y * weights).sum(), x))])
    return found if comm is None else np.concatenate(comm.allgather(found), axis=1)


def speed(comm: Any, rows: int, hidden: int, steps: int) -> float:
    """Rows per second of all processes together, when each has so many."""
    model, took = Model(hidden), []
    optimizer, replicas = optim.SGD(model.parameters(), lr=0.1), optim.Replicas(model.parameters(), comm)
    x = np.random.default_rng(0).integers(0, SYMBOLS, (21, rows))
    for _ in range(steps):
        begin = time.perf_counter()
        optimizer.zero_grad()
        cross_entropy(model(x[:-1]), x[1:], axis=-1).backward()
        replicas.average_gradients(weight=x.size)
        optimizer.step()
        took.append(time.perf_counter() - begin)
    return replicas.size * rows / float(np.percentile(took[1:], 25))


def work(given: Namespace) -> dict[str, Any] | None:
    """What each process does; the first tells."""
    from mpi4py import MPI

    comm, p = MPI.COMM_WORLD, MPI.COMM_WORLD.Get_size()
    weights, states = trained(comm, given.seed, 5 if given.quick else 40), scanned(comm, given.seed)
    hidden, steps = (16, 3) if given.quick else (128, 12)
    found = {"one batch": speed(comm, 96 // p, hidden, steps), "one each": speed(comm, 96, hidden, steps)}
    found |= {"weights": np.concatenate([w.ravel() for w in weights]).tolist(), "states": states.tolist()}
    return found if comm.Get_rank() == 0 else None


def start(p: int, given: Namespace) -> dict[str, Any]:
    """Run this program in p processes, with one thread each for matrix products."""
    here = Path(sys.executable).with_name("mpiexec")
    command = [str(here) if here.exists() else "mpiexec", "-n", str(p), sys.executable, "-W", "ignore"]
    command += ["-m", "mpi4py", "-m", "examples.many_processes", "--work", "--seed", str(given.seed)]
    done = subprocess.run(
        [*command, *(["--quick"] if given.quick else [])],
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE, text=True, timeout=600, check=True,
    )  # fmt: skip
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def complete(layers: int, T: int) -> tuple[np.ndarray, np.ndarray]:
    """Shares of the backward pass, and of the gradient's bytes that are complete by then."""
    model = Model(32, layers)
    x = np.random.default_rng(0).integers(0, SYMBOLS, (T + 1, 8))
    loss = cross_entropy(model(x[:-1]), x[1:], axis=-1)
    nodes: Any = sorted(Reading(results_of(loss)).sources, key=attrgetter("number"), reverse=True)
    sizes, last = {id(p): p.size for p in model.parameters()}, dict[int, int]()
    for k, node in enumerate(nodes):  # in the order of the walk
        last.update({id(edge): k + 1 for edge in node.edges if id(edge) in sizes})
    places = sorted((k / len(nodes), sizes[p]) for p, k in last.items())
    when, size = np.array(places).T
    return when, np.cumsum(size) / sum(sizes.values())


def draw(rates: dict[str, dict[int, float]], curves: dict[int, tuple[np.ndarray, np.ndarray]]) -> Any:
    """Rows per second by processes, and the growth of what is complete."""
    from matplotlib.figure import Figure as Canvas

    left, right = Canvas(figsize=(9, 3.6), layout="constrained").subplots(1, 2)
    for name, rate in rates.items():
        left.plot(list(rate), list(rate.values()), "o-", label=name)
    first = rates["one batch"][1]
    left.plot(list(rate), [p * first for p in rate], "k:", lw=1, label="p times one")
    left.set(xlabel="processes", ylabel="rows per second", xticks=list(rate), ylim=0)
    for layers, (when, share) in curves.items():
        x, y = [0, *when, 1], [0, *share, 1]
        right.plot(x, y, drawstyle="steps-post", label=f"{layers} layer{'s' * (layers > 1)}")
    right.set(xlabel="backward pass done", ylabel="gradient complete", xlim=(0, 1), ylim=(0, 1.02))
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
    return left.figure


def main(argv: list[str] | None = None) -> Figures:
    given = arguments(argv, "many_processes", __doc__, out="for the picture", quick="few and small steps",
                      work="what mpiexec starts in each process")  # fmt: skip
    if given.work:
        if (found := work(given)) is not None:
            print(json.dumps(found))
        return {}
    alone = np.concatenate([w.ravel() for w in trained(None, given.seed, 5 if given.quick else 40)])
    states, many = scanned(None, given.seed), {p: start(p, given) for p in (1, 2, 3)}
    curves = {layers: complete(layers, 5 if given.quick else 30) for layers in (1, 2, 4)}
    rates = {name: {p: found[name] for p, found in many.items()} for name in ("one batch", "one each")}
    save(draw(rates, curves), given.out / "many_processes.svg")
    names = {p: f"{p} process{'es' * (p > 1)}" for p in many}
    figures: Figures = {
        "weights, distance from one": {names[p]: float(np.abs(np.array(found["weights"]) - alone).max())
                                       for p, found in many.items()},
        "scan, distance from one": {names[p]: float(np.abs(np.array(found["states"]) - states).max())
                                    for p, found in many.items()},
        "rows/s, one batch": {names[p]: rate for p, rate in rates["one batch"].items()},
        "rows/s, a batch each": {names[p]: rate for p, rate in rates["one each"].items()},
    }  # fmt: skip
    for part in (0.5, 0.9):
        figures[f"complete at {part:.0%}"] = {
            f"{layers} layer{'s' * (layers > 1)}": float(np.max(share[when <= part], initial=0.0))
            for layers, (when, share) in curves.items()
        }
    return report(f"{os.cpu_count()} cores", figures)


if __name__ == "__main__":
    main()
