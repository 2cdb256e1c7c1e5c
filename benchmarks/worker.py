"""The process one candidate runs in, for one case: it waits, does one round when told, and waits again.

The parent writes one JSON object per line to stdin and gets one back. A worker runs in the environment of
its peer, so this file imports only `cases` at the top, and makes the package ``benchmarks`` known without
putting the root of the repository on the path: there, our ``autograd`` would hide the peer of that name.
"""

import gc
import importlib
import importlib.util
import json
import os
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.cases import Case, Task

HERE = Path(__file__).resolve().parent


class Worker:
    """What a worker knows how to do; each method is a command, its arguments those in the JSON object."""

    task: "Task"
    case: "Case"

    def __init__(self, module: str, variant: str, threads: int):
        if hasattr(os, "sched_setaffinity"):  # the only way to give XLA fewer threads than there are cores
            os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
        if module in ("ours", "floor"):
            sys.path.insert(0, str(HERE.parent))
        self.candidate = importlib.import_module(f"benchmarks.candidates.{module}")
        self.variant = variant
        self.versions = self.candidate.start(threads)
        if "Python" in self.versions:
            from benchmarks.machine import python_build

            self.versions["Python"] = python_build()

    def build(self, case: dict[str, Any]) -> dict[str, Any]:
        from benchmarks.cases import Case

        self.case = Case(**{**case, "size": tuple(case["size"])})
        self.task = self._task(self.case)
        return {"versions": self.versions}

    def _task(self, case: "Case") -> "Task":
        from benchmarks.cases import arrays

        return self.candidate.build(self.variant, case, arrays(case))

    def results(self, file: str) -> dict[str, Any]:
        """Compute once, for comparison; the answers go to a file."""
        import numpy as np

        started = time.perf_counter()
        np.savez(file, **self.task.results())
        return {"seconds": time.perf_counter() - started}

    def round(self, repeats: int) -> dict[str, Any]:
        """Time ``repeats`` calls, each for itself."""
        task, seconds = self.task, []
        gc.collect()
        for _ in range(repeats):
            given = () if task.before is None else (task.before(),)
            started = time.perf_counter()
            for _ in range(task.calls):
                task.run(*given)
            seconds.append((time.perf_counter() - started) / task.calls)
            del given
        return {"seconds": seconds}

    def memory(self) -> dict[str, Any]:
        """Peak resident memory above what there was before the first run, after one run and after three."""
        T, *rest = self.case.size
        warm = self._task(replace(self.case, size=(min(T, 2), *rest)))  # libraries, threads, code
        warm.run()
        del warm
        gc.collect()
        reset_peak()
        before = resident("VmRSS")
        self.task.run()
        after_one = resident("VmHWM")
        self.task.run()
        self.task.run()
        return {"bytes": [after_one - before, resident("VmHWM") - before]}


def reset_peak() -> None:
    """Let the kernel's record of the largest resident size start again from the present one (Linux)."""
    Path("/proc/self/clear_refs").write_text("5")


def resident(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) * 1024
    raise OSError(f"/proc/self/status has no {field}")


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever a library prints must not look like an answer
    sys.stdout = sys.stderr
    spec = importlib.util.spec_from_file_location(
        "benchmarks", HERE / "__init__.py", submodule_search_locations=[str(HERE)]
    )
    assert spec is not None
    sys.modules["benchmarks"] = importlib.util.module_from_spec(spec)
    sys.path.remove(str(HERE))

    worker = None
    for line in sys.stdin:
        command = json.loads(line)
        what = command.pop("do")
        try:
            if what == "start":
                worker, answer = Worker(**command), {}
            else:
                answer = getattr(worker, what)(**command)
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
