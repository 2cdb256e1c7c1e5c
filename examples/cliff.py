"""The cliff in the loss of a recurrent network, and why gradients are clipped there.

    python -m examples.cliff            # two seconds
    python -m examples.cliff --quick    # the same on a coarse grid

One unit without input, x' = w σ(x) + b from x = 0.5, which is to have σ(x) = 0.7 after 50 steps: the smallest
network whose loss has a wall (Pascanu, Mikolov & Bengio 2013; Goodfellow et al. 2016, figure 10.17). For b on
one side of it x settles below 0, on the other above, and in between the smallest change decides. The land
around is almost flat; on the wall the gradient is so large that one step of gradient descent throws w and b
far away, where no slope leads back. Clipping keeps the direction of the gradient, and bounds its length.
"""

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

import autograd as ag
import optim
from examples.shared.measure import Figures, report
from examples.shared.options import arguments

STEPS, RATE, START = 50, 0.1, (4.5, -2.303)  # START is on the wall


def loss(w: Any, b: Any) -> Any:
    """(σ(x_50) - 0.7)² of every pair in w and b, numbers or arrays of one shape."""
    x = w * 0 + 0.5
    for _ in range(STEPS):
        x = w * ag.sigmoid(x) + b
    return (ag.sigmoid(x) - 0.7) ** 2


def descend(limit: float, updates: int) -> np.ndarray:
    """Gradient descent from START, with gradients no longer than limit: rows of w, b, loss and norm."""
    w, b = ag.Parameter(START[0]), ag.Parameter(START[1])
    optimizer, path = optim.SGD([w, b], lr=RATE), []
    for _ in range(updates + 1):
        optimizer.zero_grad()
        height = loss(w, b)
        height.backward()
        path.append((w.item(), b.item(), height.item(), optim.clip_grad_norm_([w, b], limit)))
        optimizer.step()
    return np.array(path, float)


def draw(points: int, ends: dict[str, np.ndarray], path: Path) -> None:
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left = figure.add_subplot(1, 2, 1, projection="3d")
    ws, bs = np.meshgrid(np.linspace(3.5, 5.5, points), np.linspace(-1, 1, points))
    bs += START[1] - 0.62 * (ws - START[0])  # the wall runs about so; a grid along it has no teeth
    left.plot_surface(
        ws, bs, loss(ws, bs).data, cmap="viridis", rcount=points, ccount=points, antialiased=False
    )
    left.view_init(30, 50)
    left.set(xlabel="w", ylabel="b", title="loss")
    right = figure.add_subplot(1, 2, 2)
    ws, bs = np.meshgrid(np.linspace(2, 14, 2 * points), np.linspace(-6, 13, 2 * points))
    right.pcolormesh(ws, bs, loss(ws, bs).data, cmap="viridis")
    for (name, end), colour in zip(ends.items(), ("tab:red", "white"), strict=True):
        right.plot(*end[:2, :2].T, color=colour, marker="o", markersize=4, label=name)
    right.set(xlabel="w", ylabel="b", title="one step from the wall")
    right.legend(facecolor="lightgray")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=180, metadata={"Software": None})


def main(argv: list[str] | None = None) -> Figures:
    options = arguments(argv, "cliff", __doc__, quick="a coarse grid", out="for the picture")
    ends = {"not clipped": descend(np.inf, 200), "clipped to 1": descend(1.0, 200)}
    rows = {"on the wall": ends["not clipped"][0]}
    rows |= {f"{name}, after {k}": end[k] for name, end in ends.items() for k in (1, 200)}
    draw(30 if options.quick else 100, ends, options.out / "cliff.png")
    loss_at, slope_at = ({what: float(row[k]) for what, row in rows.items()} for k in (2, 3))
    return report("gradient descent", {"loss": loss_at, "gradient": slope_at})


if __name__ == "__main__":
    main()
