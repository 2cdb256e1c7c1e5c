"""Does the suite notice small mistakes? Puts each of `cases.mutants` into a copy of the project and tests it.

    python -m tests.mutate                     all of them, two at a time
    python -m tests.mutate --only schedul      those whose file or description has this in it
    python -m tests.mutate --list              what there is, and whether each text is still in its place

A mutant is killed when a test fails. The tests of its own file come first; if it survives them, the whole
suite runs (`python -m pytest`, as the README says). Ends with 0 if all were killed, with 1 if one survived,
and with 2 if a text is not found exactly once or the tests fail without any mutant.
"""

import argparse
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from tests.cases.mutants import MUTANTS

ROOT = Path(__file__).resolve().parents[1]
PARALLEL = 2
LIMIT, LIMIT_ALL = 240, 1200  # seconds for the tests of one file, and for the whole suite

WRITERS = ["export", "operators", "pooling", "primitives", "recording", "scan"]  # of ONNX files
TESTS = {  # where the tests of a file are, tests/FOLDER/test_NAME.py; the longest beginning of a path counts
    "docs/": "repo/course",
    "nn/": "nn/module nn/layers",
    "nn/loss_functions.py": "nn/losses_reference nn/losses nn/margin_losses",
    "nn/losses.py": "nn/losses_reference nn/losses nn/margin_losses",
    "nn/margin_losses.py": "nn/margin_losses",
    "nn/masks.py": "nn/losses nn/recurrent",
    "nn/ctc.py": "nn/losses_reference nn/ctc",
    "nn/functional.py": "nn/layers_reference nn/functional nn/layers",
    "nn/layers.py": "nn/inputs nn/layers_reference nn/layers",
    "nn/activations.py": "nn/layers_reference",
    "nn/init.py": "nn/layers_reference nn/init",
    "nn/cells/": "nn/cells nn/init nn/rnn nn/recurrent",
    "nn/cells/peephole.py": "nn/cells nn/init",
    "nn/cells/normalised.py": "nn/cells nn/init",
    "nn/cells/conv.py": "nn/convrnn",
    "nn/cells/literature.py": "nn/literature nn/init",
    "nn/cells/wrappers.py": "nn/recurrent nn/wrappers",
    "nn/cells/minimal.py": "nn/cells nn/literature nn/init nn/wrappers",
    "nn/cells/linear.py": "nn/linear_cells",
    "nn/cells/memory.py": "nn/linear_cells",
    "nn/cells/highway.py": "nn/literature nn/wrappers nn/init",
    "nn/cells/errata.py": "nn/cells nn/errata",
    "nn/conventions.py": "nn/conventions",
    "nn/states.py": "nn/states",
    "nn/recurrent.py": "nn/recurrent nn/rnn nn/linear_cells bptt/truncation",
    "nn/rnn.py": "nn/rnn nn/recurrent",
    "nn/conv.py": "nn/layers_reference ops/conv",
    "nn/wavenet.py": "nn/literature ops/conv",
    **dict.fromkeys([f"nn/interop/{name}.py" for name in WRITERS], "nn/onnx"),
    "nn/tree.py": "nn/literature nn/init",
    "nn/attention.py": "nn/literature",
    "nn/keras.py": "nn/keras",
    "nn/interop/hdf5.py": "nn/keras_files",
    "nn/interop/nodes.py": "nn/from_onnx",
    "nn/interop/reading.py": "nn/from_onnx",
    "nn/interop/keras_files.py": "nn/keras_files",
    "nn/module.py": "nn/module nn/io nn/other_arrays",
    "nn/containers.py": "nn/module",
    "nn/random.py": "nn/init nn/other_arrays",
    "nn/summaries.py": "nn/summaries",
    "nn/io.py": "nn/io nn/checkpoint_files",
    "nn/data.py": "nn/data optim/replicas",
    "nn/metrics.py": "nn/metrics",
    "nn/windows.py": "nn/windows",
    "nn/generate.py": "nn/generate",
    "optim/": "optim/optim_reference optim/optim",
    "optim/norms.py": "optim/norms",
    "optim/replicas.py": "optim/replicas",
    "optim/lr_scheduler.py": "optim/schedules_reference optim/schedulers",
    "autograd/ops/error_function.py": "ops/numerics",
    "autograd/missing.py": "autograd/missing autograd/contract",
    "autograd/operators.py": "autograd/contract",
    "autograd/host.py": "nn/other_arrays",
    "autograd/deferred.py": "nn/other_arrays",
    "autograd/numpy_api.py": "autograd/numpy_api",
    "autograd/ops/ufuncs.py": "ops/numpy_edges autograd/numpy_api ops/ops",
    "autograd/ops/matrix.py": "ops/numpy_edges ops/ops",
    "autograd/ops/statistics.py": "ops/numpy_edges ops/ops",
    "autograd/ops/arrange.py": "ops/numpy_edges ops/ops",
    "autograd/graph/": "graph/draw graph/fold graph/query",
    "autograd/bptt/flow/": "bptt/flow bptt/truncation",
    "autograd/graph/fold.py": "graph/fold graph/draw",
    "autograd/graph/loops.py": "graph/fold graph/draw",
    "autograd/graph/picture/labels.py": "graph/fold graph/draw",
    "autograd/graph/picture/positions.py": "graph/repeated",
    "autograd/graph/picture/repeated.py": "graph/repeated",
    "autograd/graph/query.py": "graph/query",
    "autograd/graph/picture/heat.py": "graph/heat graph/draw",
    "autograd/graph/picture/flows.py": "graph/heat graph/draw",
    "autograd/graph/picture/layout.py": "graph/heat graph/draw",
    "autograd/graph/picture/diff.py": "graph/query",
    "autograd/graph/picture/marks.py": "graph/marks",
    "autograd/graph/equations/": "graph/equations",
    "autograd/graph/lanes.py": "graph/cells",
    "autograd/graph/series.py": "graph/cells",
    "autograd/graph/picture/backward.py": "graph/backward_formulas",
    "autograd/graph/picture/formula.py": "graph/backward_formulas graph/draw",
    "autograd/graph/picture/framed.py": "graph/backward_formulas graph/draw",
    "autograd/graph/picture/render.py": "graph/backward_formulas graph/draw",
    "autograd/graph/picture/cells_view.py": "graph/cells",
    "autograd/graph/picture/finish.py": "graph/cells",
    "autograd/graph/picture/grid.py": "graph/cells examples/gallery",
    "autograd/graph/picture/heat_of_cells.py": "graph/cells",
    "autograd/graph/picture/names.py": "graph/cells graph/draw graph/fold",
    "autograd/graph/picture/paths.py": "graph/cells",
    "autograd/ops/scan.py": "bptt/scans ops/ops optim/replicas",
    "autograd/bptt/scans.py": "bptt/scans",
    "autograd/bptt/formulas.py": "bptt/formulas",
    "autograd/bptt/derivations.py": "bptt/derivations bptt/formulas",
    "autograd/replay/": "replay/capture replay/sources",
    "autograd/replay/table.py": "replay/table",
    "autograd/replay/loops.py": "replay/table",
    "autograd/replay/updates.py": "replay/updates",
    "autograd/bptt/rtrl.py": "bptt/rtrl",
    "benchmarks/": "repo/benchmarks",
    "autograd/profiling.py": "autograd/profiling graph/times",
    "autograd/graph/picture/times.py": "graph/times",
    "autograd/replay/program.py": "replay/table autograd/profiling replay/capture",
    "autograd/replay/joined.py": "replay/table",
    "autograd/replay/calls.py": "replay/capture replay/sources autograd/profiling",
    "autograd/checking/anomaly.py": "autograd/anomaly",
    "autograd/bptt/report.py": "bptt/report",
    "autograd/bptt/player.py": "bptt/player",
    "autograd/bptt/live/": "bptt/live bptt/live_page",
    "autograd/graph/tables.py": "bptt/shown",
    "autograd/bptt/plotting.py": "bptt/flow",
    "autograd/bptt/gating.py": "bptt/shown",
    "autograd/bptt/flow/inputs.py": "bptt/shown",
    "autograd/bptt/film/": "bptt/player",
}
LEFT_OUT = shutil.ignore_patterns(  # what git ignores
    ".git", ".venv", "venv", ".bench", ".*cache", ".hypothesis", "__pycache__", "*.egg-info", "runs", "out"
)  # fmt: skip


class Mutant(NamedTuple):
    file: str
    what: str
    right: str
    wrong: str
    after: str = ""  # where the right text stands several times: what the one that is meant comes after

    def applied(self, text: str) -> str:
        """The text of the file with the mistake in it."""
        before, _, rest = text.partition(self.after) if self.after else ("", "", text)
        return before + self.after + rest.replace(self.right, self.wrong, 1)

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def misplaced(mutant: Mutant) -> str:
    """What is wrong with a mutant whose text is not in its place, or is no Python; "" if all is well."""
    path = ROOT / mutant.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if mutant.after and text.count(mutant.after) != 1:
        return f"{mutant}\n  expected exactly once in {mutant.file}: {mutant.after}"
    found = text.count(mutant.right)
    if (found == 1 or found and mutant.after) and "\n" not in mutant.right:
        try:
            compile(mutant.applied(text), mutant.file, "exec")
        except SyntaxError as error:
            return f"{mutant}\n  is no mistake that Python can run: {error}"
        return ""
    message = f"{mutant}\n  expected exactly once in {mutant.file}, found {found} times: {mutant.right}"
    lines = {line.strip(): n for n, line in enumerate(text.splitlines(), 1)}
    near = get_close_matches(mutant.right, list(lines), 3, 0.3)
    return "\n".join([message, *[f"  line {lines[line]} is like it: {line}" for line in near]])


def tests_of(file: str) -> list[str]:
    """The files that test a file."""
    names = TESTS[max((start for start in TESTS if file.startswith(start)), key=len)].split()
    return ["tests/{}/test_{}.py".format(*name.split("/")) for name in names]


def run(tree: Path, tests: list[str], limit: float) -> tuple[bool, str]:
    """Do the tests pass in a copy, and if not, which was the first to fail?"""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=no", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=limit
        )
    except subprocess.TimeoutExpired:
        return False, f"took more than {limit} s"
    told = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return done.returncode == 0, told[0].split(" - ")[0] if told else f"pytest ended with {done.returncode}"


def trial(tree: Path, mutant: Mutant, moment: int) -> tuple[bool, str]:
    """Does one mutant live, and which test says so?"""
    path = tree / mutant.file
    right = path.read_text(encoding="utf-8")

    def write(text: str, moment: int) -> None:
        path.write_text(text, encoding="utf-8")
        os.utime(path, (moment, moment))  # Python compiles anew what has another time

    write(mutant.applied(right), moment)
    try:
        lives, test = run(tree, tests_of(mutant.file), LIMIT)
        return run(tree, [], LIMIT_ALL) if lives else (lives, test)
    finally:
        write(right, moment + 1)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.mutate", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument(
        "--only", metavar="PATTERN", default="", help="those with this in file or description"
    )
    parser.add_argument("--list", action="store_true", help="list them and check their places, run nothing")
    options = parser.parse_args()
    every = [Mutant(file, *rest) for file, own in MUTANTS.items() for rest in own]
    mutants = [m for m in every if options.only.lower() in str(m).lower()]
    if options.list:
        print("\n".join(map(str, mutants)))
    if not mutants:
        parser.error(f"no mutant has {options.only!r} in its file or description")
    wrong = [message for m in mutants if (message := misplaced(m))]
    if wrong:
        print(*wrong, sep="\n", file=sys.stderr)
        print(f"{len(wrong)} of {len(mutants)} mutants have to be brought up to date", file=sys.stderr)
        return 2
    if options.list:
        print(f"{len(mutants)} mutants, all in their places")
        return 0

    began, lock, survivors = time.monotonic(), threading.Lock(), []
    with tempfile.TemporaryDirectory(prefix="mutate") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for i in range(PARALLEL):
            trees.put(Path(shutil.copytree(ROOT, Path(folder, str(i)), ignore=LEFT_OUT)))
        tree = trees.get()
        own = sorted({t for m in mutants for t in tests_of(m.file)}) if options.only else []
        passes, test = run(tree, own, LIMIT_ALL)
        trees.put(tree)
        if not passes:
            print(f"the tests fail without any mutant: {test}", file=sys.stderr)
            return 2

        def one(job: tuple[int, Mutant]) -> None:
            number, mutant = job
            tree, start = trees.get(), time.monotonic()
            try:
                lives, test = trial(tree, mutant, 2 * number)
            finally:
                trees.put(tree)
            with lock:
                survivors.extend([mutant] if lives else [])
                told = f"SURVIVED  {mutant}" if lives else f"killed    {mutant}  [{test}]"
                print(f"{time.monotonic() - start:6.1f} s  {told}", flush=True)

        with ThreadPoolExecutor(PARALLEL) as pool:
            list(pool.map(one, enumerate(mutants, 1)))
    minutes = (time.monotonic() - began) / 60
    print(*[f"survived: {m}" for m in survivors], sep="\n")
    print(f"{len(mutants) - len(survivors)} of {len(mutants)} mutants killed in {minutes:.1f} min"
          f" by Python {sys.version.split()[0]} {with_torch()}")  # fmt: skip
    return 1 if survivors else 0


def with_torch() -> str:
    """Which of the tests against PyTorch ran."""
    code = "import torch; print('with PyTorch', torch.__version__)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    return told.stdout.strip() or "without PyTorch"


if __name__ == "__main__":
    sys.exit(main())
