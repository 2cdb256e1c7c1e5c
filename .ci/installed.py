"""Draws, plays and trains with the installed packages, in the folder in which it is run."""

import importlib
import pkgutil
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

import autograd as ag
import nn
import optim
from autograd import capture, graph
from autograd.bptt import player
from nn.functional import mse_loss

for package in (ag, nn, optim):
    folder = Path(package.__file__).parent
    assert folder.is_relative_to(sys.prefix), f"{folder} is not installed"
    assert (folder / "py.typed").is_file()
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        importlib.import_module(module.name)
assert version("bptt") == ag.__version__

rng = np.random.default_rng(0)
lstm, head = nn.LSTM(1, 16), nn.Linear(16, 1)
optimizer = optim.Adam([*lstm.parameters(), *head.parameters()], lr=0.02)


def loss_of(x, y):
    return mse_loss(head(lstm(x)[0][-1]), y)


step, losses = capture(loss_of), []
for _ in range(150):
    x = rng.uniform(-1, 1, (5, 16, 1)).astype("f")
    optimizer.zero_grad()
    losses.append(step(x, x.sum(0)).item())
    optimizer.step()
assert step.how == "table", step.why
assert np.mean(losses[-10:]) < 0.2 * np.mean(losses[:10]), losses

with ag.stepwise():
    loss = loss_of(x, x.sum(0))
graph.render(graph.draw(loss, params=lstm), "graph.svg")
player.record(loss, "bptt.html", params=lstm)
assert "<svg" in Path("graph.svg").read_text(encoding="utf-8")
assert "Backpropagation through time" in Path("bptt.html").read_text(encoding="utf-8")
print(f"bptt {ag.__version__} from {sys.prefix}: drawn, played, trained to {losses[-1]:.4f}")
