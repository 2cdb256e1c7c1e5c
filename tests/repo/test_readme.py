"""The README's Python blocks run as they stand, and its commands are those that CI runs."""

import re
from pathlib import Path

import pytest

import nn

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_block_runs(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = compile(BLOCKS[number], f"README.md, block {number}", "exec")
    exec(code, {"__name__": "readme"})


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    (script,) = [block for block in BLOCKS if "writer.npz" in block]
    assert len(script.splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    losses = []
    for _ in range(2):
        nn.manual_seed(0)
        exec(script, {})
        losses.append(float(capsys.readouterr().out.split()[0]))
    assert losses[1] < 0.5 * losses[0]


def test_the_tour_is_short_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tour = BLOCKS[0]
    assert "graph.draw" in tour and len([line for line in tour.splitlines() if line.strip()]) <= 22
    exec(tour, {})
    assert (tmp_path / "tour.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_pictures_and_files_named_exist():
    for path in re.findall(r"!\[.*?\]\((.*?)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"^((?:autograd|nn|optim|examples)/\S*)  ", README, re.M):
        assert (ROOT / path).exists(), path


def test_ci_runs_the_test_command():
    commands = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert sum("-m pytest" in command for command in commands) == 1
    assert "grep -m1 -- '-m pytest' README.md" in (ROOT / ".ci" / "run").read_text()
