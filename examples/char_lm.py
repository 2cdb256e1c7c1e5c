"""A character-level language model, trained by truncated backpropagation through time.

    python -m examples.char_lm                                  # learn to write like Python's own library
    python -m examples.char_lm --text novel.txt --steps 3000    # or like any UTF-8 file
    python -m examples.char_lm --resume runs/char_lm/last.npz   # go on, or only sample: --prompt "class "

From top to bottom: the model, the training loop, what it has learned, the n-gram models that it has to
beat, the text, checkpoints, the pictures, the command line.
"""

import argparse
import hashlib
import importlib.util
import math
import platform
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import autograd
import nn
import optim
from autograd import Variable, graph
from examples.options import BadInput, Option, Parser, check, fits, read_text
from nn.functional import cross_entropy

# --- the model ----------------------------------------------------------------------------------


class CharLM(nn.Module):
    """Embedding, LSTM, Linear: from the characters so far to scores for the next one."""

    def __init__(self, characters: int, embedding: int, hidden: int, layers: int = 1, dropout: float = 0.0):
        self.embedding = nn.Embedding(characters, embedding)
        self.lstm = nn.LSTM(embedding, hidden, layers, dropout=dropout if layers > 1 else 0.0)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(hidden, characters)

    def forward(self, x: np.ndarray, state: Any = None) -> tuple[Variable, Any]:
        """Characters x (T, B) and the state so far -> scores (T, B, V) and the new state."""
        y, state = self.lstm(self.embedding(x), state)
        return self.linear(self.dropout(y)), state


def loss_of(scores: Variable, y: np.ndarray) -> Variable:
    """Mean cross-entropy, in nats, of the characters y (T, B) under scores (T, B, V)."""
    return cross_entropy(scores.reshape(y.size, -1), y.reshape(y.size))


# --- truncated backpropagation through time -----------------------------------------------------


def windows_of(text: np.ndarray, streams: int, length: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Cut a text into parallel streams, and these into windows: pairs x, y (T, B), y one character on.

    Stream b is the b-th part of the text; row b of a window continues row b of the window before.
    """
    n = (len(text) - 1) // streams
    x = text[: n * streams].reshape(streams, n).T
    y = text[1 : n * streams + 1].reshape(streams, n).T
    return [(x[t : t + length], y[t : t + length]) for t in range(0, n, length)]


def train(run: "Run", text: np.ndarray) -> Iterator[float]:
    """Take the remaining steps of a run; yields the loss after each one, when the run may be saved."""
    options, model, optimizer = run.options, run.model, run.optimizer
    windows = windows_of(text, options.batch, options.window)
    windows = [(x, y) for x, y in windows if len(x) == options.window]
    while run.step < options.steps:
        position = run.step % len(windows)
        x, y = windows[position]
        scores, run.state = model(x, run.state if position else None)  # every pass begins anew
        loss = loss_of(scores, y)

        optimizer.zero_grad()
        loss.backward()
        optim.clip_grad_norm_(model.parameters(), options.clip)
        optimizer.param_groups[0]["lr"] = options.lr * (1 - run.step / options.steps)  # down to 0
        optimizer.step()

        run.state = nn.detach(run.state)  # its values go on to the next window, its graph ends here
        run.step += 1
        yield loss.item()


# --- what it has learned ------------------------------------------------------------------------

STREAMS = 32  # of the validation text; each starts from a state of zeros


@autograd.no_grad()
def bits_per_character(model: CharLM, text: np.ndarray) -> float:
    """What predicting a text costs: the mean of -log2 p(next character)."""
    model.eval()
    state, bits, count = None, 0.0, 0
    for x, y in windows_of(text, STREAMS, 64):
        scores, state = model(x, state)
        bits += loss_of(scores, y).item() / math.log(2) * y.size
        count += y.size
    model.train()
    return bits / count


@autograd.no_grad()
def sample(
    model: CharLM, prompt: np.ndarray, length: int, temperatures: Sequence[float], seed: int
) -> np.ndarray:
    """Continue a prompt (T,) by ``length`` characters, at each temperature: one row per temperature.

    A character with score s is drawn with probability softmax(s / temperature); 0 takes the likeliest.
    """
    model.eval()
    rng = np.random.default_rng(seed)
    temperature = np.maximum(np.array(temperatures), 1e-6)[:, None]
    x = np.repeat(prompt[:, None], len(temperatures), axis=1)
    text, state = [x], None
    for _ in range(length):
        scores, state = model(x, state)
        noise = rng.gumbel(size=scores.shape[1:])  # the largest of s + Gumbel noise is a softmax draw
        x = np.argmax(scores.data[-1] / temperature + noise, axis=1)[None]
        text.append(x)
    model.train()
    return np.concatenate(text).T


# --- the models to beat -------------------------------------------------------------------------


def ngram_bits(n: int, training: np.ndarray, validation: np.ndarray, characters: int) -> float:
    """Bits per character of ``validation`` (all but its first) under an n-gram model of ``training``.

    p(c | the n-1 characters before) = (how often both occur + 1) / (how often these n-1 do + V).
    """

    def grams(text: np.ndarray) -> np.ndarray:  # each run of n characters as one number
        return np.lib.stride_tricks.sliding_window_view(text, n) @ characters ** np.arange(n)[::-1]

    def count(found: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        found = np.sort(found)
        return np.searchsorted(found, wanted, "right") - np.searchsorted(found, wanted, "left")

    found = grams(training)
    wanted = grams(np.concatenate([training, validation])[len(training) + 2 - n :])
    both, context = count(found, wanted), count(found // characters, wanted // characters)
    return float(-np.log2((both + 1) / (context + characters)).mean())


# --- the text -----------------------------------------------------------------------------------

MODULES = """argparse bdb calendar cmd collections configparser contextlib copy csv difflib fileinput
    functools gzip json.decoder json.encoder optparse pprint queue random selectors shutil socketserver
    string tempfile textwrap threading timeit trace"""


class Corpus(NamedTuple):
    """A text as numbers; its last tenth is for validation."""

    title: str
    digest: str
    vocabulary: str  # number k is vocabulary[k]; taken from the whole text, so that nothing is unknown
    training: np.ndarray
    validation: np.ndarray

    def encode(self, text: str) -> np.ndarray:
        if unknown := sorted(set(text) - set(self.vocabulary)):
            raise BadInput(f"--prompt has {unknown[0]!r}, which the text never uses: leave it out")
        return np.array([self.vocabulary.index(c) for c in text])

    def decode(self, numbers: np.ndarray) -> str:
        return "".join(self.vocabulary[k] for k in numbers)


def standard_library() -> str:
    """The source text of MODULES, of those that this Python has."""
    texts = []
    for name in MODULES.split():
        try:
            spec = importlib.util.find_spec(name)
            texts.append(Path(str(spec and spec.origin)).read_text(encoding="utf-8"))
        except (ImportError, OSError):
            continue
    return "".join(texts)


def read_corpus(options: SimpleNamespace) -> Corpus:
    """The text that the options name, checked."""
    if options.text is None:
        title, text = f"the standard library of Python {platform.python_version()}", standard_library()
    else:
        title, text = options.text, read_text(options.text)
    if options.quick:
        text = text[:20_000]
    cut = len(text) * 9 // 10
    least = max(options.batch * options.window + 1, 9 * STREAMS + 9)
    if cut < least:
        raise BadInput(
            f"{title} has {len(text):,} characters, {options.batch} streams of {options.window} need"
            f" {least * 10 // 9 + 1:,}: give a longer text, or a smaller --batch or --window"
        )
    digest = hashlib.sha256(text.encode()).hexdigest()
    codes, numbers = np.unique(np.frombuffer(text.encode("utf-32-le"), np.uint32), return_inverse=True)
    end = len(text) - (len(text) - cut - 1) % STREAMS  # so that all models are asked the same characters
    return Corpus(title, digest, "".join(map(chr, codes)), numbers[:cut], numbers[cut:end])


# --- checkpoints --------------------------------------------------------------------------------

FIXED = ("quick", "hidden", "layers", "embedding", "dropout", "batch", "window", "lr", "clip", "seed")


def is_bits(x: Any) -> bool:
    """Can that be bits per character, if only of a run that diverged?"""
    return type(x) is float and (x != x or x == math.inf or 0 <= x < 1e9)


CHECKPOINT = {  # what `Run.save` writes; the optimizer and the generator look after their own
    "options": {**dict.fromkeys([*FIXED, "steps", "text"], object), "quick": bool},
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


class Run:
    """A training run, with everything that decides how it goes on."""

    def __init__(self, options: SimpleNamespace, corpus: Corpus):
        self.options, self.corpus = options, corpus
        nn.manual_seed(options.seed)
        self.model = CharLM(
            len(corpus.vocabulary), options.embedding, options.hidden, options.layers, options.dropout
        )
        self.optimizer = optim.Adam(self.model.parameters(), lr=options.lr)
        self.step = 0
        self.state: Any = None  # (h, c) at the end of the last window
        self.training: list[float] = []  # bits per character, after every step
        self.validation: list[tuple[int, float]] = []  # steps and bits per character
        self.best: dict[str, Any] = {"bits": math.inf, "step": 0, "model": self.model.state_dict()}

    def save(self, path: Path) -> None:
        """Write a checkpoint; a file that is there stays whole until the new one is."""
        text = self.options.text and str(Path(self.options.text).resolve())
        fixed = {name: getattr(self.options, name) for name in FIXED}
        tree = {
            "options": {**fixed, "steps": self.options.steps, "text": text},
            "digest": self.corpus.digest,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "state": None if self.state is None else tuple(part.data for part in self.state),
            "random": nn.get_rng_state(),
            "step": self.step,
            "training": self.training,
            "validation": self.validation,
            "best": self.best,
        }
        nn.save(tree, path)

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
        self.state = tuple(Variable(s, requires_grad=False) for s in saved["state"])
        self.step, self.best = saved["step"], saved["best"]
        self.training, self.validation = saved["training"], saved["validation"]


def load_checkpoint(path: str) -> dict[str, Any]:
    """What `Run.save` wrote, or BadInput; whatever takes memory has been found to be there."""
    try:
        saved = nn.load(path)
    except OSError as error:
        raise BadInput(f"--resume {path} cannot be read ({error.strerror}): check the path") from None
    except ValueError:  # it is damaged, or something else altogether
        saved = {}
    if not (fits(saved, CHECKPOINT) and type(saved["options"]["text"]) in (str, type(None))):
        raise BadInput(f"--resume {path} is damaged or no checkpoint of this program: name a last.npz")
    options, model = saved["options"], saved["model"]
    try:
        check(options, OPTIONS)
    except BadInput as error:
        raise BadInput(f"--resume {path} is damaged: {error}") from None
    layers, H = options["layers"], options["hidden"]
    shapes = {f"lstm.weight_hh_l{k}": (4 * H, H) for k in range(layers)}
    shapes["lstm.weight_ih_l0"] = 4 * H, options["embedding"]
    if any(getattr(model.get(name), "shape", None) != shape for name, shape in shapes.items()):
        raise BadInput(f"--resume {path} has the weights of another model: start anew")
    state = layers, options["batch"], H
    if not (
        all(part.shape == state and part.dtype == np.float32 for part in saved["state"])
        and 0 < saved["step"] == len(saved["training"]) <= options["steps"]
        and (saved["validation"] or saved["step"] < options["steps"])
    ):
        raise BadInput(f"--resume {path} is damaged: its parts do not fit together")
    return saved


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


def fit(run: Run, folder: Path) -> bool:
    """Train with a progress bar, validate and save on the way; False after Ctrl-C."""
    steps, size = run.options.steps, run.options.batch * run.options.window
    every = min(math.ceil(steps / 12), EVERY)
    calm = 0.2 if sys.stderr.isatty() else 10  # seconds between two updates of the bar
    bar = tqdm(total=steps * size, initial=run.step * size, unit="char", unit_scale=True, mininterval=calm)
    with bar, polite_interrupt() as asked:
        for loss in train(run, run.corpus.training):
            run.training.append(loss / math.log(2))
            bar.set_postfix_str(f"loss {loss:.3f}, {run.training[-1]:.3f} bits/char", refresh=False)
            bar.update(size)
            if run.step % every == 0 or run.step == steps:
                bits = bits_per_character(run.model, run.corpus.validation)
                run.validation.append((run.step, bits))
                if bits < run.best["bits"]:
                    run.best = {"bits": bits, "step": run.step, "model": run.model.state_dict()}
                    nn.save(run.best["model"], folder / "best.npz")
                run.save(folder / "last.npz")
                recent = np.mean(run.training[-every:])
                bar.write(f"step {run.step:6,}   training {recent:.3f}   validation {bits:.3f} bits/char")
            if asked and run.step < steps:
                run.save(folder / "last.npz")
                return False
    return True


# --- pictures -----------------------------------------------------------------------------------


def draw_graph(model: CharLM, text: np.ndarray, path: Path) -> None:
    """Draw the graph behind the loss of the first three characters of a text."""
    with autograd.stepwise():
        scores, _ = model(text[:3, None])
        loss = loss_of(scores, text[1:4, None])
    graph.render(graph.draw({"loss": loss}, params=model), path)


def draw_loss(run: Run, baselines: dict[str, float], path: Path) -> None:
    """Draw bits per character over the run, with the n-gram models as levels."""
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    FigureCanvasSVG(figure)
    axes = figure.add_subplot()

    def level(name: str, bits: float, color: str) -> None:  # a label in the right margin
        axes.annotate(f"{name} {bits:.2f}", (1.01, bits), color=color, va="center",
                      xycoords=axes.get_yaxis_transform())  # fmt: skip

    for name, bits in baselines.items():
        axes.axhline(bits, color="0.6", lw=1, ls="--")
        level(name, bits, "0.4")
    size = run.options.batch * run.options.window
    few = max(1, len(run.training) // 100)  # steps that make one point of the curve
    training = [np.mean(run.training[i : i + few]) for i in range(0, len(run.training), few)]
    axes.plot((np.arange(len(training)) + 0.5) * few * size, training, color="C0", lw=1.5, label="training")
    steps, validation = np.array(run.validation).T
    axes.plot(steps * size, validation, "o-", color="C1", lw=2, ms=5, label="validation")
    level("LSTM", run.best["bits"], "C1")
    axes.set(xlabel="characters read", ylabel="bits per character", xlim=0)
    axes.xaxis.set_major_formatter(EngFormatter())
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


# --- the command line ---------------------------------------------------------------------------


OPTIONS = {
    "hidden": Option(256, 1, 8192, "size of the LSTM's state"),
    "layers": Option(1, 1, 16, "LSTM layers on top of each other"),
    "embedding": Option(64, 1, 8192, "size of a character's vector"),
    "dropout": Option(0.0, 0, 0.99, "share of the outputs that is zeroed in training"),
    "batch": Option(64, 1, 10**6, "streams read in parallel"),
    "window": Option(32, 1, 10**6, "characters per stream and step; gradients go back no further"),
    "steps": Option(1400, 1, 10**6, "updates of the weights"),
    "lr": Option(6e-3, 0, 100, "learning rate at the first step; it falls to 0 along a straight line"),
    "clip": Option(1.0, 1e-9, 1e9, "largest norm of the gradient"),
    "seed": Option(0, 0, 2**32 - 1, "of weights, dropout and samples"),
    "length": Option(400, 1, 10**6, "characters per sample"),
    "temperature": Option([0.5, 0.7, 1.0], 0, 1000, "of the samples, one each; 0 takes the likeliest"),
}
QUICK = {"hidden": 32, "embedding": 16, "batch": 8, "window": 16, "steps": 60, "lr": 0.02, "length": 80}


def read_options(arguments: Sequence[str] | None) -> tuple[SimpleNamespace, dict[str, Any] | None]:
    """The command line, completed by the checkpoint that it names and by defaults; and that checkpoint."""
    parser = Parser(
        prog="python -m examples.char_lm",
        description="Train a character-level LSTM by truncated backpropagation through time.",
        argument_default=argparse.SUPPRESS,
    )
    add = parser.add_argument
    add("--text", metavar="FILE", help="UTF-8 text to learn (default: the standard library's source)")
    add("--out", metavar="DIR", help="folder for all files (default runs/char_lm, or where --resume is)")
    add("--resume", metavar="FILE", help="go on from a last.npz; other options keep their values")
    add("--prompt", help="what samples begin with")
    for name, option in OPTIONS.items():
        option.add(name, parser)
    add("--quick", action="store_true", help="a small model and 20,000 characters: a few seconds")
    given = vars(parser.parse_args(arguments))
    check(given, OPTIONS)

    saved = load_checkpoint(given["resume"]) if "resume" in given else None
    options: dict[str, Any] = {"text": None, "prompt": None, "quick": False, "out": "runs/char_lm"}
    options |= {name: option.default for name, option in OPTIONS.items()}
    options |= QUICK if given.get("quick") else {}
    if saved:
        options |= saved["options"] | {"out": str(Path(given["resume"]).parent)}
        for name in FIXED:
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


def make_folder(path: str) -> Path:
    """The folder for results, made and tried out."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise BadInput(f"--out {path} cannot be written ({error.strerror}): name another folder") from None
    return Path(path)


def walk(arguments: Sequence[str] | None) -> int:
    """The whole way, from the text to samples and pictures."""
    began = time.perf_counter()
    options, saved = read_options(arguments)
    corpus = read_corpus(options)
    run = Run(options, corpus)
    if saved:
        run.restore(saved)
    prompt = options.prompt or ("def " if options.text is None else corpus.decode(corpus.validation[:20]))
    start = corpus.encode(prompt)
    folder = make_folder(options.out)
    last = folder / "last.npz"

    characters, weights = len(corpus.vocabulary), sum(p.size for p in run.model.parameters())
    print(f"text    {corpus.title}, {characters} different characters")
    print(f"        {len(corpus.training):,} to learn from, the last {len(corpus.validation):,} to validate")
    print(f"model   {run.model.lstm!r}, {weights:,} weights")
    if run.step < options.steps:
        first, clock = run.step, time.perf_counter()
        finished = fit(run, folder)
        seconds = time.perf_counter() - clock
        speed = (run.step - first) * options.batch * options.window / seconds
        print(f"{run.step - first:,} steps in {seconds:.0f} s, {speed:,.0f} characters per second")
        if not finished:
            print(f"stopped; to go on:  python -m examples.char_lm --resume {shlex.quote(str(last))}")
            return 130

    run.model.load_state_dict(run.best["model"])
    orders = {"unigram": 1, "bigram": 2, "trigram": 3}
    baselines = {
        name: ngram_bits(n, corpus.training, corpus.validation, characters) for name, n in orders.items()
    }
    print("\nvalidation         bits per character")
    for name, bits in {**baselines, f"LSTM, step {run.best['step']:,}": run.best["bits"]}.items():
        print(f"  {name:18}{bits:10.3f}")

    rows = sample(run.model, start, options.length, options.temperature, options.seed)
    heads = [f"--- temperature {t:g} ".ljust(78, "-") for t in options.temperature]
    text = "".join(f"{head}\n{corpus.decode(row)}\n" for head, row in zip(heads, rows, strict=True))
    (folder / "sample.txt").write_text(text, encoding="utf-8")
    print(f"\n{text}")

    draw_loss(run, baselines, folder / "loss.svg")
    try:
        draw_graph(run.model, corpus.validation, folder / "graph.svg")
    except RuntimeError as error:  # nothing here can render it
        print(f"no graph.svg: {error}")
    print(
        f"{time.perf_counter() - began:.0f} s in all; see {folder}: "
        + ", ".join(sorted(p.name for p in folder.glob("[!.]*")))
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the example; returns the exit status."""
    try:
        return walk(arguments)
    except BadInput as error:
        print(f"char_lm: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # the disk is full, for one
        print(f"char_lm: {error}; the checkpoint saved last is whole, --resume goes on", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; --resume goes on from the last.npz in the output folder", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a sample may hold anything
    sys.exit(main())
