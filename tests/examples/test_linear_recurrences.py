"""The example about linear recurrences: its measurements against what is known of them, and a short run."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import nn
from autograd import no_grad
from examples import linear_recurrences as example
from examples.shared import tasks
from nn.functional import mse_loss
from tests.examples.figures import assert_figures


def test_runs_to_its_end_and_draws(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    figures = example.main(["--quick"])
    assert_figures(figures)
    assert set(figures["adding, squared error"]) == {*example.CELLS, "always the mean"}
    out = capsys.readouterr().out
    assert "µs per step" in out and "Hillis-Steele" in out
    assert b"<svg" in (tmp_path / "runs/linear_recurrences/linear_recurrences.svg").read_bytes()


def test_it_is_listed():
    root = Path(__file__).parents[2]
    out = subprocess.run(
        [sys.executable, "-m", "examples"], cwd=root, capture_output=True, text=True, check=True
    ).stdout
    assert "python -m examples.linear_recurrences" in out


@pytest.mark.parametrize("steps", [1, 7])
def test_what_is_left_of_a_gradient_is_a_product(steps):
    """Of a cell that keeps 0.8 of its state: 0.8^T, in whatever direction."""
    cell = nn.MinGRUCell(4, 6)
    nn.init.zeros_(cell.weight_ih)
    nn.init.constant_(cell.gate("bias_ih", "z"), float(np.log(0.2 / 0.8)))
    found = example.gradient_left(cell, steps, np.random.default_rng(0))
    assert found == pytest.approx(0.8**steps, rel=1e-5)
    lru = nn.LRUCell(4, 6, r_min=0.7, r_max=0.7001)
    assert example.gradient_left(lru, steps, np.random.default_rng(0)) == pytest.approx(0.7**steps, rel=2e-3)


def test_gradients_of_fresh_cells_fade_as_the_table_says():
    nn.manual_seed(0)
    rng = np.random.default_rng(0)
    left = {name: example.gradient_left(make(64, 64), 50, rng) for name, make in example.CELLS.items()}
    assert left["tanh RNN"] < 1e-10 and left["minGRU"] < 1e-9 and left["GRU"] < 1e-8
    assert 0.3 < left["RG-LRU"] < 0.7 and 0.2 < left["LRU"] < 0.6


def test_every_way_to_run_a_layer_is_timed():
    found = example.times(5, 4)
    assert list(found) == ["loop", "scan", "captured loop", "captured scan"]
    assert all(value > 0 for value in found.values())


@pytest.mark.full
@pytest.mark.parametrize(("name", "learns"), [("RG-LRU", True), ("tanh RNN", False)])
def test_who_remembers_adds(name, learns):
    nn.manual_seed(0)
    rng = np.random.default_rng(0)
    model = example.Reader(name, 2, 16, 1)
    curve = example.train(model, mse_loss, lambda: tasks.adding(100, 16, rng), 400)
    x, y = tasks.adding(100, 200, np.random.default_rng(1))
    with no_grad():
        error = float(np.mean((model(x).data - y) ** 2))
    assert len(curve) == 20 and (error < 0.02 if learns else error > 0.1)
