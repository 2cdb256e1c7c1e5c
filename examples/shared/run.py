"""How a program trains: its command line, its folder, checkpoints, a progress bar, Ctrl-C.

A program makes a class of its own of `TrainingRun`, takes one step after the other in a generator, and
leaves the rest to `fit`. Interrupted at any moment, it goes on from its last checkpoint as if never stopped.
"""

import argparse
import math
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
from tqdm import tqdm

import nn
import optim
from autograd import Variable
from examples.shared.measure import Figures
from examples.shared.options import BadInput, Option, Parser, check, fits
from examples.shared.text import Corpus

Shape = tuple[int, ...]

# --- a run and its checkpoints --------------------------------------------------------------------


def is_bits(x: Any) -> bool:
    """Can that be bits per character, if only of a run that diverged?"""
    return type(x) is float and (x != x or x == math.inf or 0 <= x < 1e9)


CHECKPOINT = {  # what `TrainingRun.save` writes; the optimizer and the generator look after their own
    "options": dict,
    "digest": str,
    "model": dict,
    "optimizer": dict,
    "state": (np.ndarray, np.ndarray),
    "random": dict,
    "step": int,
    "training": [is_bits],
    "validation": [(int, is_bits)],
    "best": {"bits": is_bits, "step": int, "model": dict},
}


class TrainingRun:
    """A training run of an LSTM that reads a text, with everything that decides how it goes on."""

    # What a program says of itself:
    name: ClassVar[str]  # of its module; of its folder in runs/
    about: ClassVar[str]  # a line for --help
    table: ClassVar[Mapping[str, Option]]  # its numbers
    quick: ClassVar[Mapping[str, Any]]  # their defaults under --quick
    fixed: ClassVar[Sequence[str]]  # the options that cannot change on the way

    def __init__(
        self, options: SimpleNamespace, corpus: Corpus, model: nn.Module, optimizer: optim.Optimizer
    ):
        self.options, self.corpus, self.model, self.optimizer = options, corpus, model, optimizer
        self.replicas = optim.Replicas(model.named_parameters(), communicator() if options.replicas else None)
        self.step = 0
        self.state: Any = None  # (h, c) at the end of the last window
        self.training: list[float] = []  # bits per character, after every step
        self.validation: list[tuple[int, float]] = []  # steps and bits per character
        self.best: dict[str, Any] = {"bits": math.inf, "step": 0, "model": model.state_dict()}

    @staticmethod
    def shapes(options: Mapping[str, Any]) -> tuple[dict[str, Shape], Shape]:
        """The shapes of some weights by their names, and that of h and c, with these options.

        A checkpoint has to have them before a model is made: numbers in a damaged file must take no memory.
        """
        raise NotImplementedError

    def reseed(self) -> None:
        """Give each of several processes its own random numbers for the coming step, so masks of dropout."""
        if self.replicas.size > 1:
            nn.manual_seed(self.replicas.seed(self.options.seed, self.step))

    def save(self, path: Path) -> None:
        """Write a checkpoint; a file that is there stays whole until the new one is.

        Of several processes the first writes, with the state of all their streams.
        """
        text = self.options.text and str(Path(self.options.text).resolve())
        fixed = {name: getattr(self.options, name) for name in self.fixed}
        tree = {
            "options": {**fixed, "steps": self.options.steps, "text": text},
            "digest": self.corpus.digest,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": self.state and tuple(self.replicas.gather(part.data, axis=1) for part in self.state),
            "random": nn.get_rng_state(),
            "step": self.step,
            "training": self.training,
            "validation": self.validation,
            "best": self.best,
        }
        if self.replicas.rank == 0:
            nn.save(tree, path)

    @classmethod
    def load(cls, path: str) -> dict[str, Any]:
        """What `save` wrote, or BadInput; whatever takes memory has been found to be there."""
        try:
            saved = nn.load(path)
        except OSError as error:
            raise BadInput(f"--resume {path} cannot be read ({error.strerror}): check the path") from None
        except ValueError:  # it is damaged, or something else altogether
            saved = {}
        names = {**dict.fromkeys([*cls.fixed, "steps", "text"], object), "quick": bool}
        if not (
            fits(saved, CHECKPOINT)
            and fits(saved["options"], names)
            and type(saved["options"]["text"]) in (str, type(None))
        ):
            raise BadInput(f"--resume {path} is damaged or no checkpoint of this program: name a last.npz")
        options, model = saved["options"], saved["model"]
        try:
            check(options, cls.table)
        except BadInput as error:
            raise BadInput(f"--resume {path} is damaged: {error}") from None
        weights, state = cls.shapes(options)
        if any(getattr(model.get(name), "shape", None) != shape for name, shape in weights.items()):
            raise BadInput(f"--resume {path} has the weights of another model: start anew")
        if not (
            all(part.shape == state and part.dtype == np.float32 for part in saved["state"])
            and 0 < saved["step"] == len(saved["training"]) <= options["steps"]
            and (saved["validation"] or saved["step"] < options["steps"])
        ):
            raise BadInput(f"--resume {path} is damaged: its parts do not fit together")
        return saved

    def restore(self, saved: dict[str, Any]) -> None:
        """Go on as the saved run would have."""
        path = self.options.resume
        if saved["digest"] != self.corpus.digest:
            raise BadInput(f"--resume {path} learned another text than {self.corpus.title}: give that one")
        try:
            self.model.load_state_dict(saved["best"]["model"])
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            nn.set_rng_state(saved["random"])
        except (KeyError, ValueError):
            raise BadInput(f"--resume {path} has the weights of another model: start anew") from None
        rank, size = self.replicas.rank, self.replicas.size  # of the streams, this process has a part
        parts = [np.array_split(s, size, axis=1)[rank] for s in saved["state"]]
        self.state = tuple(Variable(s, requires_grad=False) for s in parts)
        self.step, self.best = saved["step"], saved["best"]
        self.training, self.validation = saved["training"], saved["validation"]

    @classmethod
    def read_options(cls, arguments: Sequence[str] | None) -> tuple[SimpleNamespace, dict[str, Any] | None]:
        """The command line, completed by the checkpoint that it names and by defaults; that checkpoint."""
        parser = Parser(
            prog=f"python -m examples.{cls.name}", description=cls.about, argument_default=argparse.SUPPRESS
        )
        add, out = parser.add_argument, f"runs/{cls.name}"
        add("--text", metavar="FILE", help="UTF-8 text to learn (default: the standard library's source)")
        add("--out", metavar="DIR", help=f"folder for all files (default {out}, or where --resume is)")
        add("--resume", metavar="FILE", help="go on from a last.npz; other options keep their values")
        add("--prompt", help="what samples begin with")
        for name, option in cls.table.items():
            option.add(name, parser)
        add("--quick", action="store_true", help="a small model and 20,000 characters: a few seconds")
        add("--replicas", action="store_true", help="share the streams among the processes of mpiexec")
        given = vars(parser.parse_args(arguments))
        check(given, cls.table)

        saved = cls.load(given["resume"]) if "resume" in given else None
        options: dict[str, Any] = {
            "text": None,
            "prompt": None,
            "quick": False,
            "replicas": False,
            "out": out,
        }
        options |= {name: option.default for name, option in cls.table.items()}
        options |= cls.quick if given.get("quick") else {}
        if saved:
            options |= saved["options"] | {"out": str(Path(given["resume"]).parent)}
            for name in cls.fixed:
                if given.get(name, options[name]) != options[name]:
                    raise BadInput(
                        f"--resume {given['resume']} has --{name} {options[name]}, not {given[name]}:"
                        " leave that option out, or start anew without --resume"
                    )
            if given.get("steps", math.inf) < options["steps"]:
                raise BadInput(
                    f"--resume {given['resume']} goes to --steps {options['steps']}: only more will do"
                )
        return SimpleNamespace(**options | given), saved


# --- the loop -------------------------------------------------------------------------------------


def communicator() -> Any:
    """The processes that mpiexec has started; what others than the first print goes nowhere."""
    try:
        from mpi4py import MPI
    except ImportError as error:
        raise BadInput(f"--replicas needs MPI, pip install -e '.[mpi]': {error}") from None
    if MPI.COMM_WORLD.rank > 0:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return MPI.COMM_WORLD


@contextmanager
def polite_interrupt() -> Iterator[list[bool]]:
    """Inside, the first Ctrl-C only puts something into the list; a second one interrupts at once."""
    asked: list[bool] = []

    def ask(*_: object) -> None:
        asked.append(True)
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


EVERY = 250  # steps between two checkpoints at most; a short run makes twelve


class Stopped(Exception):
    """Ctrl-C was pressed, and the run is saved."""


def fit(run: TrainingRun, losses: Iterator[float], validate: Callable[[], float], folder: Path) -> None:
    """Take the steps that are left, each giving its loss in nats, with a progress bar.

    On the way the model is validated, in bits per character, the run is saved to ``last.npz``, and the best
    weights so far to ``best.npz``. Of several processes the first does that; Ctrl-C in any is one in all.

    Raises:
        Stopped: after Ctrl-C, when the run is saved.
    """
    if run.step == run.options.steps:
        return
    first, began, finished = run.step, time.perf_counter(), True
    steps, size = run.options.steps, run.options.batch * run.options.window
    every = min(math.ceil(steps / 12), EVERY)
    calm = 0.2 if sys.stderr.isatty() else 10  # seconds between two updates of the bar
    bar = tqdm(total=steps * size, initial=first * size, unit="char", unit_scale=True, mininterval=calm,
               disable=run.replicas.rank > 0)  # fmt: skip
    first_process = run.replicas.rank == 0
    with bar, polite_interrupt() as asked:
        for loss in losses:
            run.training.append(loss / math.log(2))
            bar.set_postfix_str(f"loss {loss:.3f}, {run.training[-1]:.3f} bits/char", refresh=False)
            bar.update(size)
            if run.step % every == 0 or run.step == steps:
                run.replicas.check()
                if first_process:
                    bits = validate()
                    run.validation.append((run.step, bits))
                    if bits < run.best["bits"]:
                        run.best = {"bits": bits, "step": run.step, "model": run.model.state_dict()}
                        nn.save(run.best["model"], folder / "best.npz")
                    recent = np.mean(run.training[-every:])
                    bar.write(f"step {run.step:6,}   training {recent:.3f}   validation {bits:.3f} bits/char")
                run.save(folder / "last.npz")
            if run.replicas.average(bool(asked)) and run.step < steps:
                run.save(folder / "last.npz")
                finished = False
                break
    seconds = time.perf_counter() - began
    speed = (run.step - first) * size / seconds
    print(f"{run.step - first:,} steps in {seconds:.0f} s, {speed:,.0f} characters per second")
    if not finished:
        last = shlex.quote(str(folder / "last.npz"))
        print(f"stopped; to go on:  python -m examples.{run.name} --resume {last}")
        raise Stopped


# --- around it ------------------------------------------------------------------------------------


def make_folder(path: str) -> Path:
    """The folder for results, made and tried out."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise BadInput(f"--out {path} cannot be written ({error.strerror}): name another folder") from None
    return Path(path)


def program(name: str) -> Callable[[Callable[..., Figures]], Callable[..., int]]:
    """Decorate a main function: it gives an exit status, and what stops it becomes one line on stderr."""

    def decorate(main: Callable[..., Figures]) -> Callable[..., int]:
        @wraps(main)
        def guarded(arguments: Sequence[str] | None = None) -> int:
            try:
                main(arguments)
                return 0
            except Stopped:
                return 130
            except BadInput as error:
                print(f"{name}: {error}", file=sys.stderr)
                return 2
            except OSError as error:  # the disk is full, for one
                print(
                    f"{name}: {error}; the checkpoint saved last is whole, --resume goes on", file=sys.stderr
                )
                return 2
            except KeyboardInterrupt:
                print("interrupted; --resume goes on from the last.npz in the output folder", file=sys.stderr)
                return 130

        return guarded

    return decorate
