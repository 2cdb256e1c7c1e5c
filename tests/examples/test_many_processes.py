"""The example about many processes: a short run, its shares, and when a gradient is complete."""

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

from examples import many_processes as example
from tests.examples.figures import assert_figures


def test_runs_to_its_end_and_draws(capsys, tmp_path, monkeypatch):
    pytest.importorskip("mpi4py", reason="needs mpi4py and mpich, the extra mpi")
    monkeypatch.chdir(tmp_path)
    figures = example.main(["--quick", "--seed", "3"])
    assert_figures(figures)
    for what in ("weights, distance from one", "scan, distance from one"):
        assert list(figures[what]) == ["1 process", "2 processes", "3 processes"]
        assert max(figures[what].values()) < 1e-13
    assert 0 < figures["complete at 90%"]["1 layer"] < 0.3 < figures["complete at 90%"]["4 layers"]
    assert "rows/s" in capsys.readouterr().out
    assert b"<svg" in (tmp_path / "runs/many_processes/many_processes.svg").read_bytes()


def test_a_training_changes_its_weights():
    """Or its distance from another would say nothing."""
    before, after = (np.concatenate([w.ravel() for w in example.trained(None, 0, k)]) for k in (0, 5))
    assert np.abs(after - before).max() > 0.05


@pytest.mark.parametrize("p", [1, 2, 3, 5])
def test_shares_are_unequal_and_all(p):
    rows = [list(range(24))[part] for part in example.shares(24, p)]
    assert sum(rows, []) == list(range(24))
    assert all(rows) and (p == 1 or len(rows[0]) < len(rows[-1]))


def test_the_recurrent_weight_is_complete_last():
    """Only the output layer is complete early: its weight and bias are used by one product each."""
    when, share = example.complete(1, 10)
    assert share[-1] == 1 and 0.9 < when[-1] <= 1 and when[0] < 0.2
    assert (np.diff(when) >= 0).all()
    sizes = [p.size for p in example.Model(32).linear.parameters()]
    whole = sum(p.size for p in example.Model(32).parameters())
    assert np.max(share[when < 0.8]) == pytest.approx(sum(sizes) / whole)
