"""The public surface: what `import autograd` brings, and when."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType

import pytest

import autograd as ag
import nn
import optim

ROOT = Path(__file__).parents[2]


def test_graph_and_bptt_are_attributes_imported_at_first_use():
    code = """
import sys
import autograd
assert not [name for name in sys.modules if name.startswith(("autograd.graph", "autograd.bptt", "graphviz"))]
assert {"bptt", "graph"} <= set(dir(autograd))
autograd.graph.draw
assert "autograd.bptt" not in sys.modules
autograd.bptt.decompose, autograd.bptt.player.record
try:
    autograd.grahp
except AttributeError as error:
    assert str(error) == "module 'autograd' has no attribute 'grahp'"
else:
    raise AssertionError
"""
    process = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr


@pytest.mark.parametrize("package", [ag, ag.graph, ag.bptt, nn, optim], ids=lambda package: package.__name__)
def test_no_module_hides_behind_an_object_of_its_name(package):
    """``import autograd.capture as c`` would give the object: there is no such module."""
    public = package.__all__ if hasattr(package, "__all__") else dir(package)
    objects = [name for name in public if not isinstance(getattr(package, name), ModuleType)]
    assert [name for name in objects if find_spec(f"{package.__name__}.{name}")] == []
