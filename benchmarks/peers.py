"""The candidates: which module runs them, and which Python has the library they need.

`hips` imports as ``autograd``, as our own package does, and `dezero` needs NumPy before 1.24 (and
matplotlib, which it does not declare), so peers live in environments of their own under ``.bench``, which
git ignores. They are made by

    python -m benchmarks.peers --install            # all of them
    python -m benchmarks.peers --install jax hips

A peer that is in neither its own environment nor the running one is left out of the measurement.
"""

import argparse
import subprocess
import sys
import venv
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".bench"


@dataclass(frozen=True)
class Environment:
    """A library that is compared with: what to import, and what pip is to install for it."""

    imports: str
    requirements: tuple[str, ...]
    alone: bool = False  # never looked for in the running Python
    index: str | None = None  # where else pip should look

    def install_hint(self, name: str) -> str:
        return f"`python -m benchmarks.peers --install {name}` provides it"


# Versions are fixed, so that two results can be compared. PyPI's own torch for Linux brings gigabytes of
# CUDA; "+cpu" asks for the build without.
ENVIRONMENTS = {
    "torch": Environment(
        "torch",
        ("numpy", "torch==2.13.0+cpu" if sys.platform == "linux" else "torch==2.13.0"),
        index="https://download.pytorch.org/whl/cpu",
    ),
    "jax": Environment("jax", ("numpy", "jax", "jaxlib")),
    "dezero": Environment("dezero", ("numpy<1.24", "dezero==0.0.13", "matplotlib"), alone=True),
    "hips": Environment("autograd", ("numpy", "autograd"), alone=True),
    "mygrad": Environment("mygrad", ("numpy", "mygrad"), alone=True),
}


@dataclass(frozen=True)
class Candidate:
    """One row of a result: a library, used in one way."""

    title: str
    module: str  # in benchmarks.candidates
    variant: str = ""
    environment: str | None = None  # a key of ENVIRONMENTS; None: the running Python


CANDIDATES = {
    "ours": Candidate("bptt", "ours"),
    "ours-capture": Candidate("bptt, capture()", "ours", "capture"),
    "ours-table": Candidate("bptt, capture() as a table", "ours", "table"),
    "ours-pause-gc": Candidate("bptt, pause_gc()", "ours", "pause-gc"),
    "ours-create-graph": Candidate("bptt, create_graph", "ours", "create-graph"),
    "floor": Candidate("hand-written NumPy", "floor"),
    "torch-fused": Candidate("torch fused layer", "torch_peer", "fused", "torch"),
    "torch-cell": Candidate("torch cell loop", "torch_peer", "cell", "torch"),
    "torch-ops": Candidate("torch primitives", "torch_peer", "ops", "torch"),
    "torch-cell-create-graph": Candidate(
        "torch cell loop, create_graph", "torch_peer", "cell-create-graph", "torch"
    ),
    "torch-ops-create-graph": Candidate(
        "torch primitives, create_graph", "torch_peer", "ops-create-graph", "torch"
    ),
    "jax": Candidate("jax jit + scan", "jax_peer", "", "jax"),
    "dezero": Candidate("DeZero", "dezero_peer", "", "dezero"),
    "hips": Candidate("HIPS autograd", "hips_peer", "", "hips"),
    "mygrad": Candidate("MyGrad", "mygrad_peer", "", "mygrad"),
}


@cache
def python_of(environment: str | None) -> str | None:
    """The interpreter that has an environment's library, or None when there is none."""
    if environment is None:
        return sys.executable
    e = ENVIRONMENTS[environment]
    own = interpreter(CACHE / environment)
    for python in [own] if e.alone else [own, Path(sys.executable)]:
        if not python.exists():
            continue
        # from the root directory "/", where no package of ours can stand in for the library
        found = subprocess.run([python, "-c", f"import {e.imports}"], cwd="/", capture_output=True)
        if found.returncode == 0:
            return str(python)
    return None


def interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(name: str) -> None:
    """Make the environment of one peer, from scratch."""
    e = ENVIRONMENTS[name]
    CACHE.mkdir(exist_ok=True)
    (CACHE / ".gitignore").write_text("*\n")
    folder = CACHE / name
    venv.create(folder, clear=True, with_pip=True)
    command = [str(interpreter(folder)), "-m", "pip", "install", "--quiet", *e.requirements]
    if e.index:
        command += ["--extra-index-url", e.index]
    print("+", *command, flush=True)
    subprocess.run(command, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__.split("\n")[0])
    parser.add_argument("--install", nargs="*", metavar="PEER", help="make environments (default: all peers)")
    options = parser.parse_args()
    names = options.install or list(ENVIRONMENTS)
    if unknown := [name for name in names if name not in ENVIRONMENTS]:
        parser.error(f"no peer is called {unknown[0]!r}: choose from {', '.join(ENVIRONMENTS)}")
    failed = []
    if options.install is not None:
        for name in names:
            try:
                install(name)
            except (subprocess.CalledProcessError, OSError) as error:
                failed.append(name)
                print(f"{name}: not installed ({error})")
    python_of.cache_clear()
    for name in names:
        print(f"{name}: {python_of(name) or 'missing; ' + ENVIRONMENTS[name].install_hint(name)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
