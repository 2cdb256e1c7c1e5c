"""What the Γr of one set of notes does to an LSTM in training: `python -m tests.cases.relevance_lstm`.

Prints, for each of five seeds, the mean squared error of the adding problem (1/6 is a guess) and the largest
number in an output. 16 units, sequences of 30, 600 updates with batches of 32; about two minutes.
"""

import numpy as np

import nn
import optim
from autograd import no_grad
from examples.shared import tasks

CELLS = {
    "LSTMCell": nn.LSTMCell,
    "LSTMCell, h' = o ∘ c'": lambda *sizes: nn.LSTMCell(*sizes, output_activation="identity"),
    "RelevanceLSTMCell": nn.RelevanceLSTMCell,
}


def trained(make, seed, steps=30, updates=600):
    """(error, largest output) on 1000 new sequences."""
    nn.manual_seed(seed)
    rng, layer, readout = np.random.default_rng(seed), nn.Recurrent(make(2, 16)), nn.Linear(16, 1)
    parameters = [*layer.parameters(), *readout.parameters()]
    optimizer = optim.Adam(parameters, lr=0.01)
    for _ in range(updates):
        x, y = tasks.adding(steps, 32, rng)
        optimizer.zero_grad()
        ((readout(layer(x)[0][-1]) - y) ** 2).mean().backward()
        optim.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
    x, y = tasks.adding(steps, 1000, np.random.default_rng(99))
    with no_grad():
        h, _ = layer(x)
        return np.mean((readout(h[-1]).data - y) ** 2), np.abs(h.data).max()


if __name__ == "__main__":
    for name, make in CELLS.items():
        runs = [trained(make, seed) for seed in range(5)]
        print(f"{name:24}", "  ".join([f"{error:.4f} {largest:4.1f}" for error, largest in runs]))
