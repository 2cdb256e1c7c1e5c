"""The textbook's figures of recurrent networks, drawn from graphs that were recorded by running them.

    python -m examples.gallery            # the README's pictures, into examples/pictures
    python -m examples.gallery --all DIR  # all figures, with their sizes and layout times
    python -m examples.gallery --textbook # the figures of chapter 10 of Goodfellow et al., into docs/pictures

Every function here runs a few lines of a model and returns its drawing. Names are set where the
equations have them; all else is found in the graph.
"""

import argparse
import contextlib
import io
import re
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
import nn
from autograd import Parameter, Variable, graph
from examples.shared import textbook
from nn.recurrent import as_variable

HERE = Path(__file__).resolve().parent
T, B, I, H, O = 3, 2, 3, 5, 4  # noqa: E741 - steps, batch, inputs, hidden units, outputs


def constant(*shape: int, name: str | None = None) -> Variable:
    return Variable(np.ones(shape, np.float32), requires_grad=False, name=name)


def weight(*shape: int, name: str) -> Parameter:
    return Parameter(np.full(shape, 0.1, np.float32), name=name)


def called(y: Variable, name: str) -> Variable:
    """``y`` under a name."""
    y.name = name
    return y


# --- small graphs -------------------------------------------------------------------------------


def product() -> graph.Drawing:
    x, y = Variable(2.0, name="x"), Variable(3.0, name="y")
    return graph.draw(called(x * y, "z"))


def logistic_regression() -> graph.Drawing:
    x, w, b = constant(1, I, name="xᵀ"), weight(I, 1, name="w"), weight(1, name="b")
    return graph.draw(called(ag.sigmoid(x @ w + b), "ŷ"))


def relu_layer() -> graph.Drawing:
    X, W, b = constant(4, I, name="X"), weight(I, O, name="W"), weight(O, name="b")
    return graph.draw(called(ag.maximum(X @ W + b, 0.0), "H"))


def weight_used_twice() -> graph.Drawing:
    x, w = constant(1, I, name="x"), weight(I, I, name="w")
    return graph.draw(called(ag.tanh(called(ag.tanh(x @ w), "h₁") @ w), "h₂"))


def weight_decay() -> graph.Drawing:
    """Figure 6.8 (d) of Goodfellow et al. (2016): w is used by the prediction and by its penalty λ Σ w²."""
    X, w, decay = constant(4, I, name="X"), weight(I, 1, name="w"), constant(name="λ")
    return graph.draw({"ŷ": X @ w, "λ Σ w²": decay * (w**2).sum()})


# --- recurrence ---------------------------------------------------------------------------------


def rnn_unrolled() -> graph.Drawing:
    """In the notation of the textbooks, as a plain loop."""
    W_xh, W_hh, b_h = weight(I, H, name="W_xh"), weight(H, H, name="W_hh"), weight(H, name="b_h")
    W_hy, b_y = weight(H, O, name="W_hy"), weight(O, name="b_y")
    h, outputs = constant(B, H, name="h₀"), []
    for t in range(T):
        with ag.step(t):
            x = constant(B, I, name="x")
            h = called(ag.tanh(x @ W_xh + h @ W_hh + b_h), "h")
            outputs.append(called(h @ W_hy + b_y, "y"))
    return graph.draw({f"y{'₀₁₂'[t]}": y for t, y in enumerate(outputs)})


def many_to_one() -> graph.Drawing:
    """A sequence is read, and one answer given at its end, as for the sentiment of a sentence."""
    W_xh, W_hh, W_hy = weight(I, H, name="W_xh"), weight(H, H, name="W_hh"), weight(H, O, name="W_hy")
    h = constant(B, H, name="h₀")
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name="x") @ W_xh + h @ W_hh), "h")
    with ag.step(T - 1):
        return graph.draw(called(h @ W_hy, "y"))


def one_to_many() -> graph.Drawing:
    """One input starts a sequence, and every output is the next input, as for a tune."""
    W_xh, W_hh, b_h = weight(O, H, name="W_xh"), weight(H, H, name="W_hh"), weight(H, name="b_h")
    W_hy, h, y, outputs = weight(H, O, name="W_hy"), constant(B, H, name="h₀"), constant(B, O, name="x"), []
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(y @ W_xh + (h @ W_hh + b_h)), "h")
            y = called(ag.softmax(h @ W_hy), "y")
            outputs.append(y)
    return graph.draw({f"y{'₀₁₂'[t]}": y for t, y in enumerate(outputs)})


def rnn_folded() -> graph.Drawing:
    W_xh, W_hh, b_h = weight(I, H, name="W_xh"), weight(H, H, name="W_hh"), weight(H, name="b_h")
    h = constant(B, H, name="h₀")
    for _ in range(10):  # no time steps are marked here: the loop is found by its structure
        h = ag.tanh(constant(B, I, name="x") @ W_xh + h @ W_hh + b_h)
    return graph.draw(called(h, "h"), view="folded")


def cell(cell: nn.Cell, parts: str, x: Any = None) -> graph.Drawing:
    """The second of three steps of a cell."""
    xs = np.ones((T, B, I), np.float32) if x is None else x
    state, fixed = cell.initial_state(xs), cell.prepare(xs)
    for t in range(T):
        with ag.step(t):
            state = cell.step(cell.project(as_variable(xs[t], "x")), state, fixed)
            for part, name in zip(state, parts, strict=True):
                part.name = name
    return graph.draw(dict(zip(parts, state, strict=True)), params=cell, steps={1})


def rnn_cell() -> graph.Drawing:
    return cell(nn.RNNCell(I, H), "h")


def gru_cell() -> graph.Drawing:
    return cell(nn.GRUCell(I, H), "h")


def lstm_cell() -> graph.Drawing:
    return cell(nn.LSTMCell(I, H), "hc")


def conv_lstm_cell() -> graph.Drawing:
    images = np.ones((T, 1, 1, 8, 8), np.float32)
    return cell(nn.ConvLSTMCell(1, 2, 3, peephole=(8, 8)), "hc", images)


# --- layers and models --------------------------------------------------------------------------


class Tagger(nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, rnn: Any, features: int = H):
        self.rnn, self.head = rnn, nn.Linear(features, O)

    def forward(self, x: Any) -> Any:
        y, _ = self.rnn(x)
        return self.head(y)


class Translator(nn.Module):
    """An encoder, whose last state starts a decoder."""

    def __init__(self) -> None:
        self.encoder, self.decoder, self.head = nn.RNN(I, H), nn.RNN(O, H), nn.Linear(H, O)

    def forward(self, source: Any, target: Any) -> Any:
        _, state = self.encoder(source)
        y, _ = self.decoder(target, state)
        return self.head(y)


def loss_of(model: nn.Module, *xs: Any) -> Variable:
    """A loss of a model on ones, with everything in its time step."""
    with ag.stepwise():
        y = model(*xs)
    return called(-ag.mean(ag.log_softmax(y)[..., 0]), "L")


def sequence(features: int = I, steps: int = T) -> np.ndarray:
    return np.ones((steps, B, features), np.float32)


def lstm_unrolled() -> graph.Drawing:
    model = Tagger(nn.LSTM(I, H))
    return graph.draw(loss_of(model, sequence()), params=model)


def lstm_folded() -> graph.Drawing:
    model = Tagger(nn.LSTM(I, H))
    return graph.draw(loss_of(model, sequence(steps=100)), params=model, view="folded")


def bidirectional() -> graph.Drawing:
    model = Tagger(nn.RNN(I, H, bidirectional=True), 2 * H)
    return graph.draw(loss_of(model, sequence()), params=model)


def deep() -> graph.Drawing:
    model = Tagger(nn.RNN(I, H, num_layers=2))
    return graph.draw(loss_of(model, sequence()), params=model)


def encoder_decoder() -> graph.Drawing:
    model = Translator()
    return graph.draw(loss_of(model, sequence(steps=2), sequence(O, 2)), params=model)


def modules() -> graph.Drawing:
    model = Tagger(nn.GRU(I, H, num_layers=2, bidirectional=True), 2 * H)
    return graph.draw(loss_of(model, sequence(steps=50)), params=model, view="module")


# --- gradients ----------------------------------------------------------------------------------


def vanishing_gradient() -> graph.Drawing:
    rng = np.random.default_rng(1)
    W = Variable(0.5 * rng.normal(size=(3, 3)), name="W")
    U = Variable(rng.normal(size=(2, 3)), name="U")
    h = Variable(np.zeros((1, 3)), requires_grad=False, name="h₀")
    for t in range(5):
        with ag.step(t):
            x = Variable(rng.normal(size=(1, 2)), requires_grad=False, name="x")
            h = called(ag.tanh(x @ U + h @ W), "h")
    loss = called((h * h).sum(), "L")
    with ag.watch() as watch:
        loss.backward()
    return graph.draw(loss, watch=watch)


def double_backward() -> graph.Drawing:
    x = Variable(2.0, name="x")
    y = ag.sin(x * x)
    first = ag.grad(y, x, create_graph=True)
    second = ag.grad(first, x, create_graph=True)
    return graph.draw({"y": y, "y′": first, "y″": second}, show={"order"})


def one_more_detach() -> graph.Drawing:
    W, U = Variable(np.eye(3), name="W"), Variable(np.ones((2, 3)), name="U")

    def run(cut: int | None) -> Variable:
        h = Variable(np.zeros((1, 3)), requires_grad=False, name="h₀")
        for t in range(3):
            with ag.step(t):
                if t == cut:
                    h = h.detach()
                h = ag.tanh(Variable(np.ones((1, 2)), requires_grad=False, name="x") @ U + h @ W)
        return called(h, "h")

    return graph.diff(run(None), run(2))


def tour() -> str:
    """The picture that the README's first block of Python makes."""
    readme = (HERE.parent / "README.md").read_text(encoding="utf-8")
    code = re.findall(r"```python\n(.*?)```", readme, re.S)[0]
    quiet = contextlib.redirect_stdout(io.StringIO())
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder), quiet:
        exec(code, {"__name__": "readme"})
        return Path("tour.svg").read_text(encoding="utf-8")


def write_textbook(folder: Path) -> None:
    """Draw the figures of `textbook`, and write the page that shows them."""
    pictures = folder / "pictures"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, figure in textbook.FIGURES.items():
        path = graph.render(figure.make(), pictures / f"{name}.svg")
        print(f"{path.name:28} {path.stat().st_size / 1024:4.0f} kB")
    (folder / "gallery.md").write_text(textbook.page(), encoding="utf-8")


FIGURES: dict[str, Callable[[], graph.Drawing]] = {
    f.__name__: f
    for f in (
        *(product, logistic_regression, relu_layer, weight_used_twice, weight_decay),
        *(rnn_unrolled, many_to_one, one_to_many, rnn_folded, rnn_cell, gru_cell, lstm_cell, conv_lstm_cell),
        *(lstm_unrolled, lstm_folded, bidirectional, deep, encoder_decoder, modules),
        *(vanishing_gradient, double_backward, one_more_detach),
    )
}
README = ("rnn_unrolled", "lstm_cell", "lstm_folded", "vanishing_gradient", "encoder_decoder", "modules")


def main(arguments: list[str] | None = None) -> None:
    """Draw, and say how large everything is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--all", metavar="DIR", type=Path, help="draw all figures into this folder")
    parser.add_argument("--textbook", action="store_true", help="docs/gallery.md and its pictures")
    options = parser.parse_args(arguments)
    if options.textbook:
        write_textbook(HERE.parent / "docs")
        return
    folder = options.all or HERE / "pictures"
    folder.mkdir(parents=True, exist_ok=True)
    for name in FIGURES if options.all else README:
        drawing = FIGURES[name]()
        start = time.perf_counter()
        path = graph.render(drawing, folder / f"{name}.svg")
        seconds = time.perf_counter() - start
        vertices = len(re.findall(r"^\s*[vnyme]\d\w* \[", drawing.source, re.M))
        print(f"{path.name:24} {vertices:4} vertices, laid out in {seconds:.2f} s")
    (folder / "tour.svg").write_text(tour(), encoding="utf-8")
    print("tour.svg")


if __name__ == "__main__":
    main()
