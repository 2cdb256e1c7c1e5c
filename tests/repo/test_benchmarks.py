"""The benchmark suite runs, compares what it times, and says clearly what it cannot do."""

import json

import numpy as np
import pytest

import autograd
from benchmarks import cases, peers, report, runner
from benchmarks.__main__ import main
from benchmarks.candidates import floor, ours


def test_one_case_from_end_to_end(tmp_path, capsys):
    assert main(["lstm-S1", "--quick", "--peers", "floor", "--out", str(tmp_path)]) == 0
    text = (tmp_path / "results.md").read_text(encoding="utf-8")
    assert capsys.readouterr().out.startswith(text)
    assert "| bptt | 1.00 (1.00)" in text and "| hand-written NumPy |" in text and "2 threads" in text
    data = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    (case,) = data["cases"]
    assert case["name"] == "lstm-S1"
    assert set(case["candidates"]) == {"ours", "ours-capture", "floor"}
    for measured in case["candidates"].values():
        assert measured["quartile"] > 0 and measured["difference"] <= runner.TOLERANCE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lstm-S9"], "no case is called 'lstm-S9': choose from lstm-S1"),
        (["--peers", "tensorflow"], "no peer is called 'tensorflow': choose from dezero"),
        (["--rounds", "-1"], "expect at least 1"),
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
    measured = {"ours": {"seconds": [2.0, 2.0]}, "floor": {"failed": "it broke"}, "jax": {"seconds": [1.0]}}
    result = {
        "name": "lstm-S1",
        "kind": "backward",
        "group": "lstm",
        "label": "S1",
        "size": [1, 2, 3, 4],
        "candidates": measured,
    }
    report.summarize([result])
    text = report.markdown(runner.machine(2), [result], {})
    assert "| hand-written NumPy | failed |" in text and "failed in lstm-S1: it broke" in text
    assert "| jax jit + scan | 0.50 (0.50) · 1 s |" in text
