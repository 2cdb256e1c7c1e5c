"""Figures that several examples draw or write."""

from pathlib import Path
from typing import Any

import numpy as np

from examples.shared.run import TrainingRun


def save(figure: Any, path: Path) -> None:
    """Write a picture, its text as text, into a folder that need not exist."""
    import matplotlib

    path.parent.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        figure.savefig(path, dpi=180)
    print(f"wrote {path}")


def draw_loss(run: TrainingRun, baselines: dict[str, float], path: Path) -> None:
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
