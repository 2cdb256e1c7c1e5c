"""What the packages meet when they are imported: another ``autograd``, an interpreter without ctypes."""

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from autograd.installation import check
from tests.cases.costs import calls

ROOT = Path(__file__).parents[2]
OURS, THEIRS = "bptt-0.1.0.dist-info", "autograd-1.9.1.dist-info"
FILES = "autograd/__init__.py,sha256=Vqa1,528\nautograd/core.py,sha256=Qzq6,11985\n"


def record(site, name, lines):
    """Beside the packages, what pip leaves there."""
    folder = site / name
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.4\nName: autograd\nVersion: 1.9.1\n")
    (folder / "RECORD").write_text(lines)


def python(code, *path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, path)), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, env=environment, cwd=path[-1], capture_output=True, text=True)


def test_anothers_files_in_our_folder_are_an_error_that_says_what_to_do(tmp_path):
    for name in ("autograd", "nn", "optim"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    record(tmp_path, OURS, FILES)
    assert python("import nn, optim", tmp_path).returncode == 0
    record(tmp_path, THEIRS, FILES)
    for order in ("ours came last", "theirs came last"):
        for name in ("autograd", "nn", "optim"):
            process = python(f"import {name}", tmp_path)
            if order == "theirs came last" and name == "autograd":
                assert process.returncode == 0  # this is their __init__, in which we have no say
            else:
                message = process.stderr.strip().rpartition("\n")[2]
                assert message.startswith("ImportError: PyPI's autograd 1.9.1"), process.stderr
                assert str(tmp_path / "autograd") in message and "pip uninstall autograd bptt" in message
        (tmp_path / "autograd" / "__init__.py").write_text("def grad(f): ...\n")


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (THEIRS, "autograd_gamma/__init__.py,,\n../autograd/__init__.py,,\n"),
        (THEIRS, "__editable___autograd_1_9_1_finder.py,,\n"),
        ("autograd_gamma-0.5.0.dist-info", FILES),
        (OURS, FILES),
    ],
    ids=["other files", "editable", "other name", "ours"],
)
def test_what_lies_elsewhere_is_no_error(tmp_path, name, lines):
    record(tmp_path, name, lines)
    check(str(tmp_path / "autograd"))


def test_no_metadata_is_no_error(tmp_path):
    (tmp_path / THEIRS).mkdir()
    check(str(tmp_path / "autograd"))
    check(str(tmp_path / "packages.zip" / "autograd"))
    check(str(tmp_path / "nowhere" / "autograd"))


def test_looking_reads_one_list_of_names(tmp_path):
    """One or two calls for each name, and no file is opened; it takes 0.1 ms."""
    for i in range(500):
        (tmp_path / f"package_{i}-1.0.dist-info").mkdir()
    assert calls(lambda: check(str(tmp_path / "autograd"))) < 2 * 500 + 100
    quiet = "import sys, autograd; assert 'importlib.metadata' not in sys.modules"
    assert python(quiet, ROOT).returncode == 0


def test_an_interpreter_without_ctypes_imports_everything_and_works(tmp_path):
    process = python(
        """
import importlib, pkgutil, sys
sys.modules["ctypes"] = sys.modules["_ctypes"] = None  # as where CPython was built without libffi
import numpy as np
import autograd, nn, optim
for package in (autograd, nn, optim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
autograd.keep_freed_memory()
layer = nn.LSTM(2, 3)
y, _ = layer(np.ones((4, 1, 2), "f"))
y.sum().backward()
optim.Adam(layer.parameters()).step()
print(autograd.graph.draw(y.sum(), params=layer).source)
""",
        ROOT,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith("digraph")


def test_whatever_lies_in_the_packages_is_installed():
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["*"]
    for name in ("autograd", "nn", "optim"):
        assert (ROOT / name / "py.typed").is_file()
        files = [
            path for path in (ROOT / name).rglob("*") if path.is_file() and "__pycache__" not in path.parts
        ]
        files = [path for path in files if path.suffix != ".native"]  # is built by the installation
        for path in files:
            assert path.suffix == ".py" or any(path.match(pattern) for pattern in data), path
            assert (path.parent / "__init__.py").is_file(), f"{path.parent} is no package"
