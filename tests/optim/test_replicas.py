"""Training in two and three processes against one; what ends them all; what each is given of the data."""

import re
import sys
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import autograd as ag
import nn
import optim
from autograd import Variable
from nn.data import BucketLoader, DataLoader, StreamLoader
from optim import replicas as optim_replicas
from tests.cases import replicas_cases as cases
from tests.processes import mpiexec


@pytest.fixture(scope="module", params=[2, 3], ids="{} ranks".format)
def found(request, tmp_path_factory):
    """What the trainings and checks of `cases` give in so many processes."""
    folder = tmp_path_factory.mktemp("replicas")
    mpiexec("-m", "tests.cases.replicas_cases", folder, ranks=request.param)
    return {"size": request.param, "folder": folder, **nn.load(folder / f"found-{request.param}.npz")}


def assert_close(found, expected, atol):
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, rtol=0, atol=atol, err_msg=name)


# --- equal to one process -------------------------------------------------------------------------


@pytest.mark.parametrize("name", cases.TRAININGS)
def test_many_processes_train_as_one_does(found, name):
    expected, _ = cases.train(None, **cases.TRAININGS[name])
    begun = cases.train(None, **cases.TRAININGS[name] | {"steps": 0})[0]
    assert np.abs(expected["linear.weight"] - begun["linear.weight"]).max() > 0.02
    assert_close(found[name], expected, 1e-6 if name == "mixed dtypes" else 2e-14)
    assert {n: x.dtype for n, x in found[name].items()} == {n: x.dtype for n, x in expected.items()}


def test_gradients_of_several_windows_are_averaged_once(found):
    assert_close(found["accumulated"], cases.accumulated(None), 2e-14)


def test_a_training_is_resumed_from_the_file_of_rank_0(found):
    """To the bit on as many processes; up to rounding, on another number."""
    through, halves = found["through"], found["resumed"]
    for name in through.keys() - {"losses"}:
        assert halves[name].tobytes() == through[name].tobytes(), name
    half = nn.load(found["folder"] / f"half-{found['size']}.npz")
    alone, _ = cases.train(None, optimizer=optim.Adam, given=half, steps=cases.STEPS // 2)
    assert_close(found["resumed"], alone, 1e-11)


def test_the_mean_is_that_of_the_formula(found):
    size, got = found["size"], found["average_by_hand"]
    weights = 10.0 ** np.arange(size)
    assert got["total"] == weights.sum()
    mean = (weights * (np.arange(size) + 1)).sum() / weights.sum()
    np.testing.assert_allclose(got["p"], np.arange(6.0).reshape(2, 3).T * mean, rtol=1e-15)
    np.testing.assert_allclose(got["q"], np.full(4, 10 / weights.sum()), rtol=1e-7)
    ranks = np.arange(size)
    np.testing.assert_allclose(got["average"], [(ranks**2).sum() / ranks.sum(), 1.0], rtol=1e-15)
    assert np.isnan(got["nothing"])
    row = [rank for rank in range(size) for _ in range(rank + 1)]
    assert got["gathered"].tolist() == [row, row]


# --- what differs ---------------------------------------------------------------------------------


def test_one_bit_of_drift_is_found_and_named(found):
    message = found["drift"]["message"]
    assert f"parameter 1, bias is another in rank {found['size'] - 1} than in rank 0" in message
    assert found["drift"]["same"]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "shape",
            "got parameter 0, weight: (2, 3) float32 in rank 0 and parameter 0, weight: (3, 3) float32",
        ),
        ("dtype", "parameter 0: (2,) float32 in rank 0 and parameter 0: (2,) float64"),
        ("number", "no parameter more in rank 0 and parameter 1: (2,) float64"),
        ("place", "rank 0 is at average_gradients of 0 numbers while rank {last} is at check of 0 numbers"),
        ("size", "rank 0 is at average of 2 numbers while rank {last} is at average of 3 numbers"),
        ("loaders", "4 batches of 8 samples in rank 0 and 4 batches of 7 samples in rank {last}"),
    ],
)
def test_ranks_that_differ_are_refused(found, name, words):
    assert words.format(last=found["size"] - 1) in found["refused"][name]


# --- shares of the data ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rows", "buckets"])
def test_every_row_is_in_one_share(found, name):
    """Of 23 rows, in batches of 4 and one of 3, in two orders, which are those of rank 0's seed."""
    nn.manual_seed(0)
    loader = DataLoader(np.arange(23), 4, shuffle=True)
    if name == "buckets":
        loader = BucketLoader([np.full(1 + k % 5, k) for k in range(23)], 4, shuffle=True)
    ranks = found["shared"][name]
    assert [len(batches) for batches in ranks] == [12] * found["size"]
    for epoch in range(2):
        whole = [rows for batch in zip(*ranks, strict=True) for own in batch for rows in own]
        assert sorted(whole[epoch * 23 : (epoch + 1) * 23]) == list(range(23))
    assert all(max(map(len, batch)) - min(map(len, batch)) <= 1 for batch in zip(*ranks, strict=True))
    assert len(set(found["shared"][f"{name}, states"])) == 1
    if name == "rows":
        first = [batch.tolist() for _ in range(2) for batch in loader]
        assert [sum(batch, []) for batch in zip(*ranks, strict=True)] == first


def test_every_stream_is_in_one_share(found):
    whole = [x[0].tolist() for x, _ in StreamLoader(np.arange(41), 5, 3)] * 2
    assert [sum(rows, []) for rows in zip(*found["shared"]["streams"], strict=True)] == whole
    assert len(set(found["shared"]["streams, states"])) == 1


@pytest.mark.parametrize("samples", [0, 1, 7, 24])
@pytest.mark.parametrize("batch_size", [1, 5, 8])
@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_shares_of_any_size(samples, batch_size, size):
    """As many batches everywhere; together those of one process, row by row; at most one row apart."""
    whole = [batch.tolist() for batch in DataLoader(np.arange(samples), batch_size, shuffle=True, rng=3)]
    loader = DataLoader(np.arange(samples), batch_size, shuffle=True, rng=3)
    parts = [[[] if b is None else b.tolist() for b in loader.share(rank, size)] for rank in range(size)]
    assert [sum(rows, []) for rows in zip(*parts, strict=True)] == whole
    assert all(max(map(len, rows)) - min(map(len, rows)) <= 1 for rows in zip(*parts, strict=True))
    assert loader.state_dict() == DataLoader(np.arange(samples), batch_size, rng=3).state_dict()  # untouched


def test_shares_that_there_are_not():
    with pytest.raises(ValueError, match=r"DataLoader.share expected a rank from 0 to 1, got 2"):
        DataLoader(np.arange(4)).share(2, 2)
    with pytest.raises(ValueError, match=r"StreamLoader.share expected at least 3 streams, got 2"):
        StreamLoader(np.arange(9), 2, 2).share(0, 3)


# --- time in shares -------------------------------------------------------------------------------


@pytest.mark.parametrize("reverse", [False, True])
def test_a_scan_over_stretches_is_that_of_the_whole(found, reverse):
    """Values, gradients and second derivatives, of stretches of 4, 10 and 9 steps, or 14 and 9."""
    a, b, weights = sequences = cases.sequences()
    y = np.zeros_like(b)
    h = np.zeros((2, 3))
    for t in range(23)[:: -1 if reverse else 1]:
        y[:, t] = h = a[:, t] * h + b[:, t]
    a, b = map(Variable, sequences[:2])
    whole = ag.linear_scan(a, b, axis=1, reverse=reverse)
    ga, gb = ag.grad((whole * whole * weights).sum(), [a, b], create_graph=True)
    twice = ag.grad((ga * ga * weights + gb * gb).sum(), [a, b])
    expected = [y, *(g.data for g in (ga, gb, *twice))]
    for got, want in zip(found["scanned"][f"reverse={reverse}"], expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    assert "without capture" in found["scanned"]["captured"]


def test_a_stretch_has_a_step():
    with pytest.raises(ValueError, match="at least one step in every process"):
        ag.linear_scan_across(np.ones((0, 2)), np.ones((0, 2)), None)


# --- one process ----------------------------------------------------------------------------------


def test_one_process_changes_nothing():
    w = nn.Parameter([1.0, 2.0])
    hook, grad = sys.excepthook, Variable(np.ones(2))
    replicas = optim.Replicas([("w", w)])
    w.grad = grad
    assert replicas.average_gradients(3) == 3.0 and w.grad is grad
    assert (replicas.rank, replicas.size) == (0, 1) and sys.excepthook is hook
    loader, x = DataLoader(np.arange(3)), np.ones(2)
    assert replicas.share(loader) is loader and replicas.gather(x) is x
    assert replicas.average(2.5) == 2.5 and np.isnan(replicas.average(2.5, weight=0))
    replicas.check()
    assert replicas.seed(1) != replicas.seed(2) and "mpi4py" not in vars(sys.modules["optim.replicas"])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: optim.Replicas([], timeout=0), ValueError, "timeout above 0 seconds, got 0"),
        (lambda: optim.Replicas([np.ones(2)]), TypeError, "float32 or float64, got ndarray"),
        (lambda: optim.Replicas([Variable(np.arange(2))]), TypeError, "got Variable of int64"),
        (lambda: optim.Replicas([]).average_gradients(-1), ValueError, "weight of at least 0, got -1"),
        (
            lambda: optim.Replicas([]).average(1.0, np.inf),
            ValueError,
            "average expected a weight of at least 0",
        ),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- the end of one is the end of all -------------------------------------------------------------


PLAINLY, BY_MPI4PY = [], ["-m", "mpi4py"]


@pytest.mark.parametrize(
    ("how", "words", "start"),
    [
        (how, words, start)
        for how, words, starts in [
            ("raise", "ValueError: a rank fails\n", (PLAINLY, BY_MPI4PY)),
            ("kill", "KILLED|Killed|signal 9", (PLAINLY, BY_MPI4PY)),
            ("exit", "waits in average_gradients for rank 1, which has ended before", (PLAINLY, BY_MPI4PY)),
            ("leave", "waits in average_gradients for rank 1, which has ended before", (PLAINLY,)),
            ("constructor", "TypeError: Replicas expected Variables", (PLAINLY,)),
            ("fewer", "has waited in average_gradients for 1 s without all others coming", (BY_MPI4PY,)),
        ]
        for start in starts
    ],
)
def test_no_process_outlives_another(how, words, start, tmp_path):
    ranks = 3 if how == "leave" else 2
    said, printed, seconds = mpiexec(
        *start, "-m", "tests.cases.replicas_cases", tmp_path, how, ranks=ranks, check=False
    )
    assert re.search(words, printed if how == "kill" else said), said  # of a signal, mpiexec speaks
    assert "Replicas: rank" in said or how == "kill"
    assert seconds < 20


def test_more_threads_than_cores_are_warned_of():
    rows = [("here", [0, 1], 2), ("here", [0, 1], 2), ("there", [0], 1)]
    comm = SimpleNamespace(allgather=lambda mine: rows)
    replicas = optim.Replicas([])
    for rank, warned in enumerate([True, False, False]):
        replicas._comm, replicas.rank = comm, rank
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            replicas._warn_of_threads()
        assert [("4 threads" in str(w.message), "2 cores" in str(w.message)) for w in caught] == [
            (True, True)
        ] * warned
        assert not caught or "OPENBLAS_NUM_THREADS=1 before" in str(caught[0].message)


@pytest.mark.parametrize(
    ("said", "threads"),
    [
        ({}, 4),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OPENBLAS_NUM_THREADS": "1"}, 1),
        ({"OMP_NUM_THREADS": "64"}, 4),
        ({"OMP_NUM_THREADS": "2,1"}, 4),
    ],
)
def test_threads_are_those_that_the_environment_names(said, threads, monkeypatch):
    for name in optim_replicas.THREADS:
        monkeypatch.delenv(name, raising=False)
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert optim_replicas._threads(4) == threads
