"""Models that `nn.to_onnx` writes, run on other lengths and batches than they were written with.

    python -m tests.cases.onnx_models

prints a table: how each model is written, its nodes (those in bodies of loops after a +), and the largest
difference of an output, relative to 1 or to the output where that is larger. A dash: the evaluator cannot.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import nn

F, H = 3, 4


def f(*shape):
    """A function that draws floats of a shape in which T, B, S stand for lengths."""
    return lambda rng, sizes: rng.normal(size=[sizes.get(n, n) for n in shape]).astype("f")


def tokens(*shape):
    return lambda rng, sizes: rng.integers(0, 20, [sizes.get(n, n) for n in shape])


def lengths(axis):
    """From 0 to the length of an axis, and once the whole of it."""

    def draw(rng, sizes):
        n = rng.integers(0, sizes[axis] + 1, sizes["B"])
        n[0] = sizes[axis]
        return n

    return draw


@dataclass(frozen=True)
class Case:
    """A model, what it is called on, and what is handed to `to_onnx` beside it."""

    name: str
    make: Callable[[], Any]
    inputs: tuple[Any, ...]
    way: str  # the operators that have to be there
    reference: bool = True  # onnx.reference has no sequence_lens, no Scan backwards and no Relu in an RNN
    options: Any = None


class LanguageModel(nn.Module):
    """Tokens (B, T) to log-probabilities."""

    def __init__(self):
        self.embedding = nn.Embedding(20, 6)
        self.dropout = nn.Dropout(0.5)
        self.rnn = nn.LSTM(6, H, batch_first=True)
        self.readout = nn.Linear(H, 20)

    def forward(self, x):
        y, _ = self.rnn(self.dropout(self.embedding(x)))
        return nn.LogSoftmax(-1)(self.readout(y))


class Classifier(nn.Module):
    """A sequence to classes, from the mean, the largest and the last of the outputs."""

    def __init__(self):
        self.rnn, self.readout = nn.GRU(F, H, bidirectional=True), nn.Linear(6 * H, 5)

    def forward(self, x):
        y, _ = self.rnn(x)
        return nn.Softmax(-1)(self.readout(np.concatenate([y.mean(0), y.max(0), y[-1]], -1)))


class Leaky(nn.Cell):
    """A cell that somebody wrote: two parts of state, one a count, and a comparison."""

    def __init__(self):
        self.input_size = self.hidden_size = F
        self.inputs, self.state = nn.Linear(F, F), nn.Linear(F, F, bias=False)

    def initial_state(self, x):
        h = np.zeros((x.shape[1], F), x.dtype)
        return nn.recurrent.as_variable(h), nn.recurrent.as_variable(np.zeros((x.shape[1], 1), np.int64))

    def prepare(self, x):
        return nn.RecurrentWeight(self.state.weight)

    def project(self, x):
        return self.inputs(x)

    def step(self, x, state, W):
        h, t = state
        new = np.tanh(W.plus(x, h))
        return np.where(t % 2 == 0, new, np.where(new > h, new, 0.5 * h)), t + 1


class Pair(nn.Module):
    """Attention over a memory of another length, with nothing recurrent."""

    def __init__(self):
        self.attention = nn.AdditiveAttention(H, F, 5)

    def forward(self, query, memory):
        return self.attention(query, self.attention.remember(memory))


def translator():
    return nn.EncoderDecoder(20, 20, 6, H)


def recurrent(cell, **options):
    return lambda: nn.Recurrent(cell(F, H), **options)


X, BT = (f("T", "B", F),), (f("B", "T", F),)
BIDIRECTIONAL = {"num_layers": 2, "bidirectional": True}
CASES = [
    Case("MLP", lambda: nn.Sequential(nn.Linear(F, 8), nn.GELU(), nn.Linear(8, 2)), (f("B", F),), "Gemm Erf"),
    Case(
        "activations",
        lambda: nn.Sequential(nn.ELU(), nn.LeakyReLU(), nn.SiLU(), nn.Softplus(), nn.Sigmoid(), nn.ReLU()),
        (f("B", F),),
        "Greater Where",
    ),
    Case(
        "LayerNorm, BatchNorm1d",
        lambda: nn.Sequential(nn.LayerNorm(F), nn.Linear(F, 8), nn.BatchNorm1d(8), nn.Dropout(0.5)),
        (f("B", F),),
        "ReduceSum Sqrt",
    ),
    Case(
        "CNN",
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3, stride=2, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.AvgPool2d(2),
            nn.ConvTranspose2d(4, 2, 3, stride=2), nn.Flatten(), nn.Linear(50, 3),
        ),
        (f("B", 2, 8, 8),),
        "Conv ConvTranspose",
    ),  # fmt: skip
    Case(
        "CNN with max pooling",
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3), nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.Flatten(2), nn.MaxPool1d(2, 3, 1, 2)
        ),
        (f("B", 2, 8, 8),),
        "Conv MaxPool",
    ),  # fmt: skip
    Case(
        "causal Conv1d of any length",
        lambda: nn.Sequential(nn.CausalConv1d(2, 4, 3), nn.Tanh(), nn.Conv1d(4, 2, 3, padding=1)),
        (f("B", 2, "T"),),
        "Conv",
        options={"free": ("B", None, "T")},
    ),
    Case("RNN", lambda: nn.RNN(F, H), X, "RNN"),
    Case("RNN with relu", lambda: nn.RNN(F, H, nonlinearity="relu"), X, "RNN", reference=False),
    Case("RNN, 2 layers, 2 directions", lambda: nn.RNN(F, H, **BIDIRECTIONAL), X, "RNN"),
    Case("GRU", lambda: nn.GRU(F, H), X, "GRU"),
    Case("GRU as in the papers", lambda: nn.GRU(F, H, reset="before", update="take"), X, "GRU"),
    Case("GRU, 2 layers, 2 directions", lambda: nn.GRU(F, H, **BIDIRECTIONAL), X, "GRU"),
    Case("LSTM", lambda: nn.LSTM(F, H), X, "LSTM"),
    Case("LSTM (B, T), no biases", lambda: nn.LSTM(F, H, bias=False, batch_first=True), BT, "LSTM"),
    Case("LSTM, one sequence", lambda: nn.LSTM(F, H), (f("T", F),), "LSTM"),
    Case("LSTM, 2 layers, 2 directions", lambda: nn.LSTM(F, H, **BIDIRECTIONAL), X, "LSTM"),
    Case(
        "LSTM with states and lengths",
        lambda: nn.LSTM(F, H, **BIDIRECTIONAL),
        (*X, (f(4, "B", H), f(4, "B", H)), lengths("T")),
        "LSTM",
        reference=False,
    ),
    Case("GRU with lengths", lambda: nn.GRU(F, H), (*X, f(1, "B", H), lengths("T")), "GRU", reference=False),
    Case("LSTM with projection", lambda: nn.LSTM(F, H, proj_size=2), X, "Scan"),
    Case("peephole LSTM, backwards", recurrent(nn.PeepholeLSTMCell, reverse=True), X, "LSTM"),
    Case("LayerNorm LSTM cell", recurrent(nn.LayerNormLSTMCell), X, "Scan"),
    Case(
        "LayerNorm GRU cell, backwards",
        recurrent(nn.LayerNormGRUCell, reverse=True),
        X,
        "Scan",
        reference=False,
    ),
    Case("Elman cell with lengths", recurrent(nn.LayerNormRNNCell), (*X, None, lengths("T")), "Scan"),
    Case("linear recurrence (LRU)", lambda: nn.Recurrent(nn.LRUCell(F, 6, H), scan=True), X, "Scan"),
    Case("selective state space", lambda: nn.Recurrent(nn.SelectiveSSMCell(F, 4)), X, "Scan"),
    Case("clockwork", lambda: nn.Recurrent(nn.ClockworkCell(F, H, (1, 3))), X, "Scan"),
    Case("a user's cell", lambda: nn.Recurrent(Leaky()), X, "Scan"),
    Case(
        "stack of different layers",
        lambda: nn.Stacked(
            [nn.Bidirectional(nn.LSTMCell(F, H), nn.GRUCell(F, H)), nn.Zoneout(nn.MGUCell(2 * H, H))]
        ),
        X,
        "LSTM GRU Scan",
    ),
    Case("ConvLSTM", lambda: nn.ConvLSTM2d(2, 3, 3, peephole=(5, 6)), (f("T", "B", 2, 5, 6),), "Scan Conv"),
    Case("language model (B, T)", LanguageModel, (tokens("B", "T"),), "Gather LSTM"),
    Case("classifier", Classifier, X, "GRU ReduceMax"),
    Case(
        "attention",
        Pair,
        (f("T", "B", H), f("S", "B", F)),
        "Softmax",
        options={"free": {"query": ("T", "B"), "memory": ("S", "B")}},
    ),
    Case("encoder-decoder", translator, (tokens("S", "B"), tokens("T", "B")), "GRU Scan"),
    Case(
        "encoder-decoder with lengths",
        translator,
        (tokens("S", "B"), tokens("T", "B"), lengths("S")),
        "GRU Scan Where",
        reference=False,
    ),
]  # fmt: skip
SMALL, LARGE = {"T": 4, "B": 2, "S": 3}, {"T": 9, "B": 5, "S": 7}


def drawn(inputs, rng, sizes):
    """The inputs of a case, with lengths."""
    return tuple([drawn(x, rng, sizes) if isinstance(x, tuple) else x and x(rng, sizes) for x in inputs])


def leaves(nest):
    """The arrays in nested tuples and lists, without None."""
    if isinstance(nest, tuple | list):
        return [x for part in nest for x in leaves(part)]
    return (
        []
        if nest is None
        else [np.asarray(getattr(nest, "data", nest) if hasattr(nest, "creator") else nest)]
    )


def written(case, path, rng):
    """Write the model of a case; the model, with weights that make its parts matter."""
    model = case.make()
    for p in model.parameters():
        p.data = rng.normal(0.0, 0.5, p.shape).astype(p.dtype)
    nn.to_onnx(model, drawn(case.inputs, rng, SMALL), path, **(case.options or {}))
    return model.eval()


def run(path, values, evaluator="onnxruntime"):
    """The outputs that an evaluator computes from a file."""
    import onnx
    import onnxruntime
    from onnx.reference import ReferenceEvaluator

    proto = onnx.load(path)
    feeds = dict(zip([i.name for i in proto.graph.input], leaves(values), strict=True))
    if evaluator == "onnx.reference":
        return ReferenceEvaluator(proto).run(None, feeds)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, feeds)


def difference(got, want):
    """The largest difference, relative to 1 or the largest of the output."""
    assert [a.shape for a in got] == [b.shape for b in want]
    return max(
        [
            float(np.max(np.abs(a - b), initial=0.0) / np.max(np.abs(b), initial=1.0))
            for a, b in zip(got, want, strict=True)
        ]
    )


def operators(graph):
    """The operators of a graph, and those in the bodies of its loops."""
    names = [node.op_type for node in graph.node]
    inner = [
        name
        for node in graph.node
        for a in node.attribute
        if a.HasField("g")
        for name in sum(operators(a.g), [])
    ]
    return names, inner


def main(folder="/tmp"):
    """Print the table."""
    import onnx

    print(f"{'model':32} {'way':22} {'nodes':>8} {'onnxruntime':>12} {'onnx.reference':>15}")
    for case in CASES:
        rng, path = np.random.default_rng(0), f"{folder}/model.onnx"
        model = written(case, path, rng)
        values = drawn(case.inputs, rng, LARGE)
        want = leaves(model(*values))
        outside, inside = operators(onnx.load(path).graph)
        nodes = f"{len(outside)}+{len(inside)}" if inside else f"{len(outside)}"
        reference = f"{difference(run(path, values, 'onnx.reference'), want):.1e}" if case.reference else "-"
        runtime = f"{difference(run(path, values), want):.1e}"
        print(f"{case.name:32} {case.way:22} {nodes:>8} {runtime:>12} {reference:>15}")


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        main(folder)
