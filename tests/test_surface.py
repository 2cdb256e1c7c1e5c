"""The public surface: what `import autograd` brings, and when."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import autograd as ag

ROOT = Path(__file__).parent.parent


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


def test_capture_is_no_module():
    assert find_spec("autograd.capture") is None and callable(ag.capture)
    assert issubclass(ag.CaptureError, RuntimeError)
