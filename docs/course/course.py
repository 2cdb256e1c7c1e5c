"""What the chapters of the course share: `check` tells whether an answer is right, `play` shows a page."""

import html
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

EXERCISES: dict[str, Callable[[Any], str | None]] = {}
results: list["Result"] = []  # of all checks so far
OPEN = "put your answer in place of the dots."


@dataclass(frozen=True)
class Result:
    """What `check` found: whether the answer is right, and if not, what to think about."""

    number: str
    answer: Any
    ok: bool
    says: str

    def __repr__(self) -> str:
        if self.answer is ... or self.says == OPEN:
            return f"{self.number}: {OPEN}"
        return f"{self.number} {'is right.' if self.ok else 'is not right yet.'} {self.says}".rstrip()


def exercise(number: str) -> Callable[[Callable], Callable]:
    """Put the function below among the exercises: it gets an answer, and returns what is wrong with it."""

    def put(judge: Callable[[Any], str | None]) -> Callable[[Any], str | None]:
        EXERCISES[number] = judge
        return judge

    return put


def check(number: str, answer: Any) -> Result:
    """The result of the exercise `number` ("4.2") for an answer; an exception in an answer is a wrong one.

    Raises:
        ValueError: there is no exercise of that number.
    """
    import answers  # noqa: F401  fills EXERCISES

    if number not in EXERCISES:
        raise ValueError(f"check expected the number of an exercise, such as '4.2', got {number!r}")
    if answer is ...:
        return Result(number, answer, False, OPEN)
    try:
        wrong = EXERCISES[number](filled(answer))
    except NotImplementedError:
        return Result(number, answer, False, OPEN)
    except Exception as error:  # of a reader's own function, which may do anything
        wrong = f"It raises {type(error).__name__}: {error}"
        if str(error).endswith("object is not callable") and not callable(answer):
            wrong = f"Expected a function, got {type(answer).__name__}."
    results.append(Result(number, answer, wrong is None, wrong or ""))
    return results[-1]


def filled(answer: Any) -> Any:
    """The answer; its functions, alone or in a dict, raise while they return the dots."""
    if isinstance(answer, dict):
        return {name: filled(part) for name, part in answer.items()}
    if not callable(answer):
        return answer

    def call(*args: Any) -> Any:
        if (result := answer(*args)) is ...:
            raise NotImplementedError
        return result

    return call


def same(answer: Any, right: Any, hints: dict[Any, str] | None = None, rtol: float = 1e-3) -> str | None:
    """None if `answer` is the number or array `right`, else what is wrong; `hints` knows wrong numbers."""
    try:
        got, right = np.asarray(getattr(answer, "data", answer)), np.asarray(right)
    except ValueError:  # from NumPy, of lists like [[1], [2, 2]]
        return "Expected rows of one length."
    if got.dtype.kind not in "biuf":
        return f"Expected {'a number' if right.ndim == 0 else 'numbers'}, got {type(answer).__name__}."
    if got.shape != right.shape:
        if right.ndim == 0:
            return f"Expected one number, got an array of shape {got.shape}."
        return f"Expected the shape {right.shape}, got {got.shape}."
    if np.allclose(got, right, rtol=rtol, atol=1e-12):
        return None
    for number, hint in (hints or {}).items():
        if np.allclose(got, number, rtol=rtol, atol=1e-12):
            return hint
    if (right % 1).any() and np.allclose(got, right, rtol=10 * rtol, atol=1e-12):
        return "It is near. Give more digits, or the expression itself."
    return ""


@dataclass(frozen=True)
class Page:
    """A page in a frame of its own, part of what it stands in: no file, no server."""

    text: str = field(repr=False)
    title: str
    height: int

    def _repr_html_(self) -> str:
        return (
            f'<iframe class="page" title="{html.escape(self.title)}" height="{self.height}" loading="lazy"'
            f' style="width: 100%" srcdoc="{html.escape(self.text)}"></iframe>'
        )


def play(page: Any, title: str, height: int = 800) -> Page:
    """Show a page: something with a method `html()`, such as `player.record(loss)`, its text, or a file."""
    if isinstance(page, Path):
        page = page.read_text(encoding="utf-8")
    return Page(page if isinstance(page, str) else page.html(), title, height)


def processes(count: int, script: str) -> str:
    """Run a script in several processes under mpiexec; returns what they print."""
    if importlib.util.find_spec("mpi4py") is None:
        return "Several processes need mpi4py: pip install 'bptt[mpi]'"
    beside = Path(sys.executable).with_name("mpiexec")
    with tempfile.TemporaryDirectory() as folder:
        (file := Path(folder) / "script.py").write_text(script, encoding="utf-8")
        command = [sys.executable, "-W", "ignore", "-m", "mpi4py", str(file)]
        done = subprocess.run(
            [str(beside) if beside.exists() else "mpiexec", "-n", str(count), *command],
            env=os.environ
            | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            capture_output=True,
            text=True,
            timeout=100,
        )
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
