"""A character-level language model, trained by truncated backpropagation through time.

    python -m examples.char_lm                                  # learn to write like Python's own library
    python -m examples.char_lm --text novel.txt --steps 3000    # or like any UTF-8 file
    python -m examples.char_lm --resume runs/char_lm/last.npz   # go on, or only sample: --prompt "class "
    OPENBLAS_NUM_THREADS=1 mpiexec -n 2 python -m mpi4py -m examples.char_lm --replicas    # in two processes

From top to bottom: the model, a step, the loop, what it has learned, a sample, the command line. The text is
read in shared/text.py; checkpoints, the progress bar and Ctrl-C are in shared/run.py.
"""

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

import nn
import optim
from autograd import Variable, graph, no_grad, stepwise
from examples.shared.figures import draw_loss
from examples.shared.measure import Figures, report
from examples.shared.options import Option
from examples.shared.run import TrainingRun, fit, make_folder, program
from examples.shared.text import STREAMS, Corpus, baselines, read_corpus, write_samples
from nn.data import StreamLoader
from nn.functional import cross_entropy
from nn.generate import generate


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


def step(run: "Run", x: np.ndarray, y: np.ndarray) -> float:
    """Learn to say y (T, B) after x (T, B), one window of every stream; returns the loss."""
    scores, state = run.model(x, run.state)
    loss = loss_of(scores, y)

    run.optimizer.zero_grad()
    loss.backward()
    run.replicas.average_gradients(weight=y.size)  # of several processes; of one they stay as they are
    optim.clip_grad_norm_(run.model.parameters(), run.options.clip)
    run.optimizer.param_groups[0]["lr"] = run.options.lr * (1 - run.step / run.options.steps)  # down to 0
    run.optimizer.step()

    run.state = nn.detach(state)  # its values go on to the next window, its graph ends here
    run.step += 1
    return run.replicas.average(loss.item(), weight=y.size)


def train(run: "Run", text: np.ndarray) -> Iterator[float]:
    """Take the remaining steps of a run; yields the loss after each one, when the run may be saved."""
    windows = run.replicas.share(StreamLoader(text, run.options.batch, run.options.window, drop_last=True))
    windows.load_state_dict(windows.state_dict() | {"position": run.step % len(windows)})
    while run.step < run.options.steps:
        if run.step % len(windows) == 0:
            run.state = None  # the streams begin anew
        for x, y in islice(windows, run.options.steps - run.step):  # an epoch, or what is left of it
            run.reseed()
            yield step(run, x, y)


# --- what it has learned ------------------------------------------------------------------------


@no_grad()
def bits_per_character(model: CharLM, text: np.ndarray) -> float:
    """What predicting a text costs: the mean of -log2 p(next character)."""
    model.eval()
    state, bits, count = None, 0.0, 0
    for x, y in StreamLoader(text, STREAMS, 64):
        scores, state = model(x, state)
        bits += loss_of(scores, y).item() / math.log(2) * y.size
        count += y.size
    model.train()
    return bits / count


def sample(model: CharLM, start: np.ndarray, length: int, temperatures: list[float], seed: int) -> np.ndarray:
    """Continue characters (T) by ``length`` more, at each temperature: one row per temperature."""
    rng = np.random.default_rng(seed)
    texts = [generate(model, start, length, temperature=t, rng=rng).tokens for t in temperatures]
    return np.stack([np.concatenate([start, text]) for text in texts])


def draw_graph(model: CharLM, text: np.ndarray, path: Path) -> None:
    """Draw the graph behind the loss of the first three characters of a text."""
    with stepwise():
        loss = loss_of(model(text[:3, None])[0], text[1:4, None])
    graph.render(graph.draw({"loss": loss}, params=model), path)


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
FIXED = ("quick", "hidden", "layers", "embedding", "dropout", "batch", "window", "lr", "clip", "seed")


class Run(TrainingRun):
    """A training run of a CharLM, which can be saved and resumed."""

    model: CharLM
    name, table, quick, fixed = "char_lm", OPTIONS, QUICK, FIXED
    about = "Train a character-level LSTM by truncated backpropagation through time."

    def __init__(self, options: SimpleNamespace, corpus: Corpus):
        nn.manual_seed(options.seed)
        sizes = len(corpus.vocabulary), options.embedding, options.hidden, options.layers
        model = CharLM(*sizes, options.dropout)
        super().__init__(options, corpus, model, optim.Adam(model.parameters(), lr=options.lr))

    @staticmethod
    def shapes(options: Mapping[str, Any]) -> Any:
        layers, H = options["layers"], options["hidden"]
        weights = {f"lstm.weight_hh_l{k}": (4 * H, H) for k in range(layers)}
        weights["lstm.weight_ih_l0"] = 4 * H, options["embedding"]
        return weights, (layers, options["batch"], H)


@program(Run.name)
def main(arguments: Sequence[str] | None = None) -> Figures:
    """The whole way, from the text to samples and pictures."""
    began = time.perf_counter()
    options, saved = Run.read_options(arguments)
    corpus = read_corpus(options)
    run = Run(options, corpus)
    if saved:
        run.restore(saved)
    model, training, validation = run.model, corpus.training, corpus.validation
    default = "def " if options.text is None else corpus.decode(validation[:20])
    start = corpus.encode(default if options.prompt is None else options.prompt)
    folder = make_folder(options.out)

    print(f"text    {corpus.title}, {len(corpus.vocabulary)} different characters")
    print(f"        {len(training):,} to learn from, the last {len(validation):,} to validate")
    print(f"model   {model.lstm!r}, {sum(p.size for p in model.parameters()):,} weights")
    fit(run, train(run, training), partial(bits_per_character, model, validation), folder)
    if run.replicas.rank > 0:
        return {}
    model.load_state_dict(run.best["model"])
    ngrams = baselines(corpus)
    print(f"the best weights are those of step {run.best['step']:,}\n")
    figures = report("validation", {"bits per character": {**ngrams, "LSTM": run.best["bits"]}})

    rows = sample(model, start, options.length, options.temperature, options.seed)
    write_samples(rows, options.temperature, corpus, folder / "sample.txt")

    draw_loss(run, ngrams, folder / "loss.svg")
    try:
        draw_graph(model, validation, folder / "graph.svg")
    except RuntimeError as error:  # nothing here can render it
        print(f"no graph.svg: {error}")
    seconds, files = time.perf_counter() - began, sorted(p.name for p in folder.glob("[!.]*"))
    print(f"{seconds:.0f} s in all; see {folder}: {', '.join(files)}")
    return figures


if __name__ == "__main__":
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]  # a sample may hold anything
    sys.exit(main())
