"""The figures of chapter 10 of Goodfellow et al. (2016) and their relatives, each from a recorded graph.

Every function runs a few lines of a network and returns its drawing; `FIGURES` has them with a sentence each.
`python -m examples.gallery --textbook` writes them to docs/pictures and docs/gallery.md.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import autograd as ag
import nn
from autograd import Parameter, Variable, graph
from nn.recurrent import as_variable

T, B, I, H, O = 4, 1, 2, 3, 2  # noqa: E741 - steps, batch, inputs, hidden units, outputs


def constant(*shape: int, name: str) -> Variable:
    return Variable(np.ones(shape), requires_grad=False, name=name)


def weights(**shapes: tuple[int, ...]) -> list[Parameter]:
    rng = np.random.default_rng(0)
    return [Parameter(0.5 * rng.normal(size=shape), name=name) for name, shape in shapes.items()]


def called(y: Variable, name: str) -> Variable:
    y.name = name
    return y


def square_error(o: Variable, t: int) -> Variable:
    return called(ag.square(o - constant(B, O, name=f"y{t}")).sum(), "L")


def cells(y: Any, params: Any = None, **more: Any) -> graph.Drawing:
    return graph.draw(y, params=params, view="cells", **more)


# --- recurrence, figures 10.1 to 10.6 -----------------------------------------------------------


def dynamical_system() -> graph.Drawing:
    (theta,) = weights(θ=(H, H))
    s = constant(B, H, name="s0")
    for t in range(T):
        with ag.step(t):
            s = called(ag.tanh(s @ theta), "s")
    return cells(s)


def without_outputs() -> graph.Drawing:
    U, W = weights(U=(I, H), W=(H, H))
    h = constant(B, H, name="h0")
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
    return cells(h, show={"folded"})


def with_outputs(steps: int = T) -> list[Variable]:
    """The losses of the network of figure 10.3, and its weights after them."""
    U, W, V = weights(U=(I, H), W=(H, H), V=(H, O))
    h, losses = constant(B, H, name="h0"), []
    for t in range(steps):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
            losses.append(square_error(called(h @ V, "o"), t))
    return [*losses, U, W, V]


def hidden_to_hidden() -> graph.Drawing:
    return cells(with_outputs()[:T], show={"folded"})


def output_to_hidden() -> graph.Drawing:
    U, W, V = weights(U=(I, H), W=(O, H), V=(H, O))
    o, losses = constant(B, O, name="o0"), []
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + o @ W), "h")
            o = called(h @ V, "o")
            losses.append(square_error(o, t))
    return cells(losses, show={"folded"})


def one_output_at_the_end() -> graph.Drawing:
    U, W, V = weights(U=(I, H), W=(H, H), V=(H, O))
    h = constant(B, H, name="h0")
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
    with ag.step(T - 1):
        return cells(square_error(called(h @ V, "o"), T - 1))


def fed_back(forced: bool) -> graph.Drawing:
    """A network that reads its last output, or the right one in its place."""
    U, W, V = weights(U=(I, H), W=(O, H), V=(H, O))
    o, losses = constant(B, O, name="o0"), []
    for t in range(T):
        with ag.step(t):
            last = constant(B, O, name="ŷ") if forced else o
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + last @ W), "h")
            o = called(h @ V, "o")
            losses.append(square_error(o, t))
    return cells(losses)


def teacher_forcing() -> graph.Drawing:
    return fed_back(forced=True)


def free_running() -> graph.Drawing:
    return fed_back(forced=False)


# --- figures 10.9 to 10.16 ----------------------------------------------------------------------


def reading_its_targets(one_vector: bool) -> graph.Drawing:
    """A network whose next step reads the target of this one; x is the same in all steps, or one in each."""
    R, W, V, U = weights(**{"R" if one_vector else "U": (I, H)}, W=(H, H), V=(H, O), y=(O, H))
    U.name = "U" if one_vector else "R"
    x, y = constant(B, I, name="x"), None
    h, losses = constant(B, H, name="h0"), []
    for t in range(T):
        with ag.step(t):
            a = (x if one_vector else constant(B, I, name=f"x{t}")) @ R + h @ W
            h = called(ag.tanh(a if y is None else a + y @ U), "h")
            y = constant(B, O, name=f"y{t}")
            losses.append(called(ag.square(called(h @ V, "o") - y).sum(), "L"))
    return cells(losses)


def vector_to_sequence() -> graph.Drawing:
    return reading_its_targets(one_vector=True)


def conditioned_on_outputs() -> graph.Drawing:
    return reading_its_targets(one_vector=False)


class Tagger(nn.Module):
    """A recurrent layer and a linear one."""

    def __init__(self, rnn: nn.Module, features: int):
        self.rnn, self.head = rnn, nn.Linear(features, O)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0])


def tagged(rnn: nn.Module, features: int, steps: int = T, **more: Any) -> graph.Drawing:
    model = Tagger(rnn, features)
    with ag.stepwise():
        y = model(np.ones((steps, B, I), np.float32))
    return cells(called(-ag.mean(ag.log_softmax(y)[..., 0]), "L"), model, **more)


def bidirectional() -> graph.Drawing:
    return tagged(nn.RNN(I, H, bidirectional=True), 2 * H)


def encoder_decoder() -> graph.Drawing:
    U, W, S, R, V = weights(U=(I, H), W=(H, H), S=(H, H), R=(O, H), V=(H, O))
    h = constant(B, H, name="h0")
    with ag.scope("encoder"):
        for t in range(T):
            with ag.step(t):
                h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
    s, losses = called(ag.tanh(h @ S), "C"), []
    with ag.scope("decoder"):
        for t in range(3):
            with ag.step(t):
                s = called(ag.tanh(constant(B, O, name=f"y{t}") @ R + s @ W), "s")
                losses.append(called(ag.square(s @ V).sum(), "L"))
    return cells(losses)


def attention() -> graph.Drawing:
    model = nn.EncoderDecoder(9, 9, I, H)
    with ag.stepwise():
        return cells(model(np.ones((4, B), int), np.ones((3, B), int)), model)


def deep() -> graph.Drawing:
    """Figure 10.13 a: groups of hidden units in an order."""
    U, W, R, Q, V = weights(U=(I, H), W=(H, H), R=(H, H), Q=(H, H), V=(H, O))
    h, z, outputs = constant(B, H, name="h0"), constant(B, H, name="z0"), []
    for t in range(T):
        with ag.step(t):
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
            z = called(ag.tanh(h @ R + z @ Q), "z")
            outputs.append(called(z @ V, "y"))
    return cells(outputs, show={"folded"})


def deep_transition(skip: bool = False) -> graph.Drawing:
    """Figure 10.13 b: between two states stands a layer more; with ``skip``, c: and a way around it."""
    U, W, Q, V = weights(U=(I, H), W=(H, H), Q=(H, H), V=(H, O))
    h, outputs = constant(B, H, name="h0"), []
    for t in range(T):
        with ag.step(t):
            x = constant(B, I, name=f"x{t}")
            z = called(ag.tanh(h @ Q), "z")
            h = called(ag.tanh(x @ U + z @ W + h if skip else x @ U + z @ W), "h")
            outputs.append(called(h @ V, "y"))
    return cells(outputs, show={"folded"})


def deep_with_skips() -> graph.Drawing:
    return deep_transition(skip=True)


def recursive() -> graph.Drawing:
    layer = nn.Recursive(nn.RecursiveCell(I, H))
    x = np.ones((4, I), np.float32)
    return cells(called(ag.square(layer(((x[0], x[1]), (x[2], x[3])))[0]).sum(), "L"), layer)


def one_step(cell: nn.Cell, parts: str, **more: Any) -> graph.Drawing:
    """The second of three steps of a cell."""
    xs = np.ones((3, B, I), np.float32)
    state, fixed = cell.initial_state(xs), cell.prepare(xs)
    for t in range(3):
        with ag.step(t):
            state = cell.step(cell.project(as_variable(xs[t], "x")), state, fixed)
            for part, name in zip(state, parts, strict=True):
                part.name = name
    return graph.draw(dict(zip(parts, state, strict=True)), params=cell, steps={1}, **more)


def lstm_cell() -> graph.Drawing:
    return one_step(nn.LSTMCell(I, H, bias=False), "hc", hide={"parameter", "mover"})


# --- backward, and what is not in the book ------------------------------------------------------


def rnn_cell_backward() -> graph.Drawing:
    return one_step(nn.RNNCell(I, H), "h", show={"backward"})


def lstm_cell_backward() -> graph.Drawing:
    return one_step(nn.LSTMCell(I, H, bias=False), "hc", show={"backward"}, hide={"parameter", "mover"})


class Dilated(nn.Module):
    """Causal convolutions, the dilation doubled from each to the next."""

    def __init__(self, layers: int):
        self.layers = [nn.CausalConv1d(1, 1, 2, dilation=2**k) for k in range(layers)]

    def forward(self, x: Any) -> Any:
        for layer in self.layers[:-1]:
            x = ag.tanh(layer(x))
        return self.layers[-1](x)


def dilated_wavenet() -> graph.Drawing:
    model = Dilated(4)
    x = Variable(np.ones((1, 1, 16), np.float32), name="x")
    y = model(x)
    last = called(y[0, 0, 15], "y15")
    return cells([last], model, paths=(last, x))


def truncated_windows() -> graph.Drawing:
    U, W, V = weights(U=(I, H), W=(H, H), V=(H, O))
    h, losses = constant(B, H, name="h0"), []
    for t in range(6):
        with ag.step(t):
            h = h.detach() if t == 3 else h
            h = called(ag.tanh(constant(B, I, name=f"x{t}") @ U + h @ W), "h")
            losses.append(called(ag.square(h @ V).sum(), "L"))
    return cells(losses)


def paths_of_one_gradient() -> graph.Drawing:
    *losses, U, _, _ = with_outputs()
    return cells(losses, paths=(losses[2], U))


def vanishing_gradient() -> graph.Drawing:
    *losses, _, _, _ = with_outputs(6)
    loss = losses[-1]
    with ag.watch() as watch:
        loss.backward()
    return cells(loss, watch=watch)


class Figure(NamedTuple):
    """A figure, what it stands for, and what it shows."""

    make: Callable[[], graph.Drawing]
    title: str
    words: str


def _figure(make: Callable[[], graph.Drawing], title: str, words: str) -> tuple[str, Figure]:
    return make.__name__, Figure(make, title, words)


FIGURES: dict[str, Figure] = dict(
    [
        _figure(
            dynamical_system,
            "Figure 10.1",
            "A dynamical system unfolded: every state is the same function θ of the one before.",
        ),
        _figure(
            without_outputs,
            "Figure 10.2",
            "A recurrent network without outputs: it takes in x and hands its state on.",
        ),
        _figure(
            hidden_to_hidden,
            "Figure 10.3",
            "An output, a target and a loss at every step; U, W and V are the same at each.",
        ),
        _figure(
            output_to_hidden,
            "Figure 10.4",
            "Only the output goes to the next step: less powerful, and its steps can be trained apart.",
        ),
        _figure(one_output_at_the_end, "Figure 10.5", "A sequence is read, and one answer given at its end."),
        _figure(
            teacher_forcing,
            "Figure 10.6, training",
            "Teacher forcing: the next step reads the right output ŷ; no gradient flows from step to step.",
        ),
        _figure(
            free_running,
            "Figure 10.6, use",
            "Free running: the next step reads what the network said itself.",
        ),
        _figure(
            vector_to_sequence,
            "Figure 10.9",
            "One vector x is an input of every step, as the picture of a caption is; y is a step's target and"
            " the next one's input. (In the book, y at t is the target of step t − 1.)",
        ),
        _figure(
            conditioned_on_outputs,
            "Figure 10.10",
            "State and last output both go on: outputs may depend on each other, given x. In training,"
            " the right output y stands for the last one.",
        ),
        _figure(
            bidirectional,
            "Figure 10.11",
            "Two directions: at every step the output knows all that is before and all that comes after.",
        ),
        _figure(encoder_decoder, "Figure 10.12", "An encoder reads, C is all that the decoder gets of it."),
        _figure(
            attention,
            "Attention",
            "Bahdanau's answer to the bottleneck C: every step of the decoder reads all of the source.",
        ),
        _figure(
            deep,
            "Figure 10.13 a",
            "A deep recurrent network: the states h of one layer are the inputs of the next, z. The book has"
            " the folded form, on the left.",
        ),
        _figure(
            deep_transition,
            "Figure 10.13 b",
            "A layer more, z, from state to state: longer paths through time. Such layers may also stand"
            " before and after h.",
        ),
        _figure(deep_with_skips, "Figure 10.13 c", "A way around that layer makes the paths short again."),
        _figure(
            recursive,
            "Figure 10.14",
            "A recursive network: a tree in place of a chain, U shared by all its nodes.",
        ),
        _figure(
            lstm_cell,
            "Figure 10.16",
            "One step of an LSTM: the state c runs through it, only multiplied by f and added to.",
        ),
        _figure(
            rnn_cell_backward,
            "Ng's RNN cell, backward",
            "What every operation gives back, from its rule: dh ∘ (1 − h²) goes to W, U, b and to h before.",
        ),
        _figure(
            lstm_cell_backward,
            "Ng's LSTM cell, backward",
            "dc collects what comes through h and from the next step, and goes on to i, g, f and c before.",
        ),
        _figure(
            dilated_wavenet,
            "Dilated convolutions",
            "What one output of four layers sees: 16 places, as the dilation doubles.",
        ),
        _figure(
            truncated_windows,
            "Truncated windows",
            "Truncation after three steps: the state goes on, its gradient does not.",
        ),
        _figure(
            paths_of_one_gradient,
            "dL₂/dU",
            "The three paths by which U reaches the loss of step 2: terms of one sum.",
        ),
        _figure(
            vanishing_gradient,
            "A gradient through time",
            "The last loss alone: what arrives at h shrinks with every step back.",
        ),
    ]
)


INTRODUCTION = """# Gallery

The figures of chapter 10 of Goodfellow, Bengio and Courville, *Deep Learning* (2016), and some that every
course draws. Nothing here is drawn by hand: [`textbook`](../examples/shared/textbook.py) runs a few lines of
each network, and `graph.draw(..., view="cells")` reads the graph that was recorded.
`python -m examples.gallery --textbook` makes them; with `theme="dark"` and `size="slide"` they fit a lecture.
"""


def page() -> str:
    """The text of docs/gallery.md."""
    parts = [
        f"\n## {figure.title}\n\n{figure.words}\n\n![{figure.title}](pictures/{name}.svg)\n"
        for name, figure in FIGURES.items()
    ]
    return INTRODUCTION + "".join(parts)
