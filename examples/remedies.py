"""Vanishing and exploding gradients, and what is done about them: every remedy on one task, measured.

    python -m examples.remedies            # a minute
    python -m examples.remedies --quick    # two seconds, with little to show

"The key(s) to the cabinet ... is/are": the form of the verb was decided 60 words ago, so all of the gradient
has to come back over 60 Jacobians of one step. A product of many like factors is nearly nothing or nearly
infinite: 0.99^1000 = 4e-5, 1.01^1000 = 2e4 (Ng, "Sequence Models"; Goodfellow et al. 2016, 10.7 to 10.11).
Remedies make the factors like 1 (orthogonal or identity matrices, normalisation), the way shorter (skips),
or keep a part of the state out of the product (leaky units, gates that start open). Clipping is for
explosions only: it shortens a step, and brings nothing back that has vanished.
"""

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

import autograd as ag
import nn
import optim
from autograd.bptt import flow
from examples.shared.measure import Figures, report
from examples.shared.options import arguments
from examples.shared.tasks import agreement
from nn import init
from nn.functional import cross_entropy, one_hot

WORDS = 10  # two subjects, eight distractors


def identity(n: int, h: int, scale: float = 1.0) -> nn.Cell:
    cell = nn.IRNNCell(n, h, scale=scale)
    init.normal_(cell.weight_ih, std=0.1)  # its default, 0.001, takes many more updates
    return cell


CELLS = {
    "tanh RNN": nn.RNNCell,
    "orthogonal matrix": lambda n, h: init.per_gate(nn.RNNCell(n, h), "weight_hh", init.orthogonal_),
    "ReLU and identity": identity,
    "layer norm": nn.LayerNormRNNCell,
    "skip of 10 steps": lambda n, h: nn.SkipRNNCell(n, h, lag=10),
    "leaky units": lambda n, h: nn.SCRNCell(n, h // 2, h // 2, alpha=0.98),
    "GRU": nn.GRUCell,
    "GRU, z bias 3": lambda n, h: init.per_gate(nn.GRUCell(n, h), "bias_ih", init.constant_, "z", value=3),
    "LSTM, f bias 1": lambda n, h: nn.LSTMCell(n, h, forget_bias=1.0),
    "LSTM, f bias 3": lambda n, h: nn.LSTMCell(n, h, forget_bias=3.0),
}


class Reader(nn.Module):
    """Words x (T, B) -> scores (B, 2) for both forms of the verb, from the last state alone."""

    def __init__(self, cell: nn.Cell):
        self.recurrent, self.readout = nn.Recurrent(cell), nn.Linear(cell.output_size, 2)

    def forward(self, x: np.ndarray) -> ag.Variable:
        return self.readout(self.recurrent(one_hot(x, WORDS).astype(np.float32))[0][-1])


def norms(model: Reader, T: int, seed: int = 0) -> np.ndarray:
    """|dL/dh|, with c of an LSTM and the sums of layer norm, 0 to T - 1 steps back, relative to the first."""
    x, y = agreement(T, 32, np.random.default_rng([seed, 1]))
    with ag.stepwise():
        found = flow.gradient_flow(cross_entropy(model(x), y))
    by_lag = found.norms[found.layers.index("recurrent")][::-1]
    return by_lag / by_lag[0]


def train(
    model: Reader, T: int, updates: int, optimizer: optim.Optimizer, clip: float, seed: int = 0
) -> tuple[float, list]:
    """The accuracy on held-out sentences afterwards, and the norms of all gradients before clipping."""
    rng, seen = np.random.default_rng(seed), []
    for _ in tqdm(range(updates), leave=False):
        x, y = agreement(T, 32, rng)
        optimizer.zero_grad()
        cross_entropy(model(x), y).backward()
        seen.append(optim.clip_grad_norm_(model.parameters(), clip))
        optimizer.step()
    x, y = agreement(T, 1000, np.random.default_rng([seed, 2]))
    with ag.no_grad():
        return float(np.mean(model(x).data.argmax(-1) == y)), seen


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "remedies", __doc__, quick="few updates", out="for the picture")
    T, updates = (52, 3) if options.quick else (60, 400)
    h = start = ag.Variable(np.ones(2))
    for _ in range(1000):  # the scalar case
        h = h * np.array([0.99, 1.01])
    print("dh_1000/dh_0 of h <- 0.99 h and of h <- 1.01 h:", ag.grad(h.sum(), start).data)
    figures: Figures = {f"gradient left after {k} steps": {} for k in (10, 50)} | {"accuracy": {}}
    axes = Figure(figsize=(8, 4.5), layout="constrained").subplots()
    for name, make in CELLS.items():
        nn.manual_seed(options.seed)
        model = Reader(make(WORDS, 32))
        left = norms(model, T, options.seed)
        axes.plot(left, label=name)
        right, _ = train(model, T, updates, optim.Adam(model.parameters(), lr=2e-3), 1.0, options.seed)
        for column, x in zip(figures.values(), (left[10], left[50], right), strict=True):
            column[name] = float(x)
    singular = agreement(T, 1000, np.random.default_rng([options.seed, 2]))[1] == 0
    figures["accuracy"]["always the singular"] = float(np.mean(singular))
    print(f"\n{'ReLU, 1.1 · identity':22}{'first norm':>11}{'largest':>11}{'last':>11}")
    for name, clip in {"without clipping": np.inf, "clipped to 1": 1.0}.items():
        nn.manual_seed(options.seed)
        model = Reader(identity(WORDS, 32, scale=1.1))
        with np.errstate(invalid="ignore", over="ignore"):  # argmax calls NaN 0
            right, seen = train(model, T, updates, optim.SGD(model.parameters(), lr=0.01), clip, options.seed)
        figures["accuracy"][f"1.1 · identity, {name}"] = right
        print(f"{name:22}{seen[0]:11.1e}{np.nanmax(seen):11.1e}{seen[-1]:11.1e}")
    axes.set(xlabel="steps before the last", ylabel="|dL/dh|, relative", yscale="log", xlim=0)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), frameon=False)
    options.out.mkdir(parents=True, exist_ok=True)
    axes.figure.savefig(options.out / "remedies.svg", metadata={"Date": None})
    print()
    return report(f"agreement over {T} words", figures)


if __name__ == "__main__":
    main()
