"""README and documents: Python blocks run as they stand, and what is named exists and is as they say."""

import importlib
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import autograd
import nn
from tests.processes import mpiexec

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DOCUMENTS = {  # by path from the root
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for path in [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
}
BLOCKS = {
    f"{name}, block {number}": block
    for name, text in DOCUMENTS.items()
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", text, re.S))
}


@pytest.mark.parametrize("name", BLOCKS)
def test_block_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "from mpi4py import" in BLOCKS[name]:
        (tmp_path / "train.py").write_text(BLOCKS[name], encoding="utf-8")
        _, shown, _ = mpiexec("-m", "mpi4py", "train.py", cwd=tmp_path)
        assert len(shown.split()) == 3 and (tmp_path / "two.npz").exists()
        return
    code = compile(BLOCKS[name], name, "exec")
    exec(code, {"__name__": "readme"})


def test_training_goes_on_where_it_stopped(tmp_path, monkeypatch, capsys):
    (script,) = [block for block in BLOCKS.values() if "writer.npz" in block]
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
    tour = BLOCKS["README.md, block 0"]
    assert "graph.draw" in tour and len([line for line in tour.splitlines() if line.strip()]) <= 22
    exec(tour, {})
    assert (tmp_path / "tour.svg").read_text(encoding="utf-8").lstrip().startswith("<?xml")


def test_the_readme_is_short():
    assert len(README.splitlines()) <= 150


def test_what_the_readme_says_of_writing_into_arrays():
    assert "`x.data[i] = v` between forward and backward gives wrong gradients, unnoticed" in README
    assert "`a[i] = y` copies a number." in README
    x = autograd.Variable([1.0, 2.0])
    y = (x * x).sum()
    x.data[0] = 5.0
    y.backward()
    assert x.grad.data.tolist() == [10.0, 4.0]  # 2 would be right
    a, v = np.zeros(2), 3.0 * autograd.Variable(2.0)
    a[0] = v
    assert a.tolist() == [6.0, 0.0] and v.requires_grad


def test_pictures_and_files_named_exist():
    for name, text in DOCUMENTS.items():
        text = re.sub(r"```\{code-cell\}.*?```", "", text, flags=re.S)
        links = re.findall(r"\]\(([^)#:]+)\)|src=\"([^\":]+)\"", text)
        for path in map("".join, links):
            assert ((ROOT / name).parent / path).is_file(), f"{name}: {path}"
        for path in re.findall(
            r"(?<![\w/.])((?:autograd|nn|optim|examples|tests|benchmarks|docs)/[\w./]*)", text
        ):
            assert (ROOT / path.rstrip(".")).exists(), f"{name}: {path}"
        for module in re.findall(r"python -m ((?:examples|tests|benchmarks)[\w.]*)", text):
            path = ROOT / module.rstrip(".").replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file() or path.name == "NAME", (
                f"{name}: {module}"
            )


def test_names_in_the_documents_exist():
    files = list((ROOT / "tests").rglob("*.py"))
    known = {path.stem for path in files}
    for path in files:
        known.update(re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.M))
    for name, text in DOCUMENTS.items():
        assert set(re.findall(r"\btest_\w+", text)) <= known, name
    assert len(re.findall(r"^\d+\. \*\*", DOCUMENTS["docs/engine.md"], re.M)) == 39


def test_constants_are_those_of_the_code():
    rows = re.findall(r"^\| `(\w+)` \| `(.*?)` \| `(.*?)\.py` \|", DOCUMENTS["docs/speed.md"], re.M)
    assert len(rows) >= 12
    for name, value, path in rows:
        module = importlib.import_module(path.replace("/", "."))
        assert getattr(module, name) == eval(value), name


def test_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "autograd.__version__"}
    assert f"\n## {autograd.__version__}\n" in DOCUMENTS["CHANGELOG.md"]
    assert f"\nversion: {autograd.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_ci_runs_the_test_command():
    commands = re.findall(r"```sh\n(.*?)```", README, re.S)
    assert sum("-m pytest" in command for command in commands) == 1
    assert "grep -m1 -- '-m pytest' README.md" in (ROOT / ".ci" / "run").read_text()
