"""The same small LSTM drawn by others and here: the pictures of docs/peers_pictures.md.

    pip install torch torchviz torchview dezero==0.0.13      # and Graphviz, whose `dot` must be on the PATH
    python -m benchmarks.peers_pictures docs/pictures                     # all of them
    python -m benchmarks.peers_pictures docs/pictures peer_ours_cells     # those named

Three steps of an LSTM with two units, and the mean of its squared outputs as the loss.
"""

import sys
from collections.abc import Callable, Collection
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

import autograd as ag
import nn
from autograd import graph

PEERS = "torch", "torchviz", "torchview", "dezero"
T, B, I, H = 3, 1, 2, 2  # noqa: E741 - steps, batch, inputs, hidden units


def torchviz() -> Any:
    """The graph of PyTorch's backward pass: cells in a loop, as a layer is one operation there."""
    import torch
    from torchviz import make_dot

    cell, x = torch.nn.LSTMCell(I, H), torch.ones(T, B, I)
    h, c, outputs = torch.zeros(B, H), torch.zeros(B, H), []
    for t in range(T):
        h, c = cell(x[t], (h, c))
        outputs.append(h)
    return make_dot((torch.stack(outputs) ** 2).mean(), params=dict(cell.named_parameters()))


def torchview() -> Any:
    """The modules and functions that a forward pass called."""
    import torch
    from torchview import draw_graph

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = torch.nn.LSTMCell(I, H)

        def forward(self, x: Any) -> Any:
            h, c, outputs = torch.zeros(B, H), torch.zeros(B, H), []
            for t in range(T):
                h, c = self.cell(x[t], (h, c))
                outputs.append(h)
            return (torch.stack(outputs) ** 2).mean()

    return draw_graph(Model(), input_data=torch.ones(T, B, I), expand_nested=True, device="cpu").visual_graph


def dezero() -> str:
    """Every Variable and Function."""
    np.int = int  # type: ignore[attr-defined]  # gone since NumPy 1.24; its modules ask for it at import
    import dezero.functions as F
    from dezero import layers
    from dezero.utils import get_dot_graph

    lstm, loss = layers.LSTM(H, in_size=I), 0.0
    for _ in range(T):
        h = lstm(np.ones((B, I), np.float32))
        loss = loss + F.sum(h**2) / (T * B * H)
    return str(get_dot_graph(loss, verbose=False))


def ours(view: Any) -> Callable[[], graph.Drawing]:
    def draw() -> graph.Drawing:
        lstm = nn.LSTM(I, H)
        with ag.stepwise():
            y, _ = lstm(np.ones((T, B, I), np.float32))
        loss = ag.mean(ag.square(y))
        loss.name = "L"
        return graph.draw(loss, params=lstm, view=view)

    return draw


PICTURES: dict[str, Callable[[], Any]] = {
    "peer_torchviz": torchviz,
    "peer_torchview": torchview,
    "peer_dezero": dezero,
    "peer_ours_unrolled": ours("unrolled"),
    "peer_ours_folded": ours("folded"),
    "peer_ours_cells": ours("cells"),
}


def main(folder: Path, names: Collection[str]) -> None:
    """Write pictures, and say how large they are and what made them."""
    for name in names or PICTURES:
        path = graph.render(PICTURES[name](), folder / f"{name}.svg")
        print(f"{path.name:24} {path.stat().st_size / 1024:4.0f} kB")
    print(", ".join([f"{name} {version(name)}" for name in PEERS if find_spec(name)]))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
