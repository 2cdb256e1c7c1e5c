"""Truncated backpropagation through time as it runs in training: forward on, back a bounded way, again.

The graph is cut in place behind the window, so that the window bounds the memory, and the values of the
forward pass are those of the whole sequence. The table of the full gradient tells the error of the cut
without any further pass: `Decomposition.truncated` and `Decomposition.bias`.
"""

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from ... import modes
from ..plotting import axes
from ..rtrl import State, Step, parts_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def truncated_bptt(step: Step, state: State, T: int, k1: int, k2: int) -> list[float]:
    """Run ``T`` steps; after every k1 of them take the newest k1 losses back through k2 steps.

    A window of k1 steps goes back to k2 - k1 steps before its first one; so does a shorter one at the end.

    Args:
        step: ``(t, state) -> (state, loss)``, one step of any model; a state is a Variable or a nest of
            tuples and lists of them, a loss has one element.
        k1, k2: how often, and how far; 1 <= k1 <= k2, because a loss further back than the cut would be
            lost (Williams & Peng 1990). k1 = k2 is the usual training in windows, with the gradient of
            `nn.Recurrent` with ``truncate=k1``, and of windows with a detached state between them.

    Gradients are added to ``.grad`` of the leaves; returns the values of the losses.

    Raises:
        ValueError: not 1 <= k1 <= k2.

    >>> w = Variable(0.5)
    >>> def step(t, h):
    ...     h = w * h
    ...     return h, h * 1.0
    >>> bptt.truncated_bptt(step, Variable(1.0), T=3, k1=1, k2=2)  # the losses w, w², w³
    [0.5, 0.25, 0.125]
    >>> w.grad.data  # 1 + 2 w + 2 w² instead of 1 + 2 w + 3 w²
    array(2.5)
    """
    _check(k1, k2, "truncated_bptt")
    values: list[float] = []
    states = deque([state], k2 + 1)  # the newest, and those up to k2 steps back
    for first, start, end in windows(T, k1, k2):
        losses = []
        for t in range(start, end):
            with modes.step(t):
                state, loss = step(t, state)
            states.append(state)
            losses.append(loss)
            values.append(float(loss))
        if first >= 0:
            for part in parts_of(states[first - end - 1]):
                if not part.is_leaf:  # a leaf has no steps behind it, and goes on requiring grad
                    part.unchain()
        total = losses[0]
        for loss in losses[1:]:
            total = total + loss
        if total.requires_grad:
            total.backward(retain_graph=True)  # the next window goes through some of it again
    return values


class Window(NamedTuple):
    """One backward pass of `truncated_bptt`: the losses of steps start <= t < end, back to step ``first``.

    Below 0, ``first`` says that the window reaches beyond the first step: nothing is cut.
    """

    first: int
    start: int
    end: int


def windows(T: int, k1: int, k2: int) -> list[Window]:
    """The windows of truncated BPTT over T steps: after every k1 of them the newest losses, k2 steps back.

    Raises:
        ValueError: not 1 <= k1 <= k2.

    >>> [tuple(window) for window in bptt.flow.windows(T=5, k1=2, k2=3)]
    [(-1, 0, 2), (1, 2, 4), (3, 4, 5)]
    """
    _check(k1, k2, "windows")
    return [Window(start + k1 - k2, start, min(start + k1, T)) for start in range(0, T, k1)]


def plot_windows(T: int, k1: int, k2: int, ax: "Axes | None" = None) -> "Axes":
    """Brackets over time, one per window: its losses, and how far back they go. Returns matplotlib axes.

    >>> ax = bptt.flow.plot_windows(T=12, k1=2, k2=5)
    >>> len(ax.patches)  # six windows, each a bar for its losses and one for the steps before these
    12
    """
    found = windows(T, k1, k2)
    ax = axes(ax, 8.0, 0.6 + 0.3 * len(found))
    for row, (first, start, end) in enumerate(found):
        first = max(first, 0)
        bars = [
            ("its losses", start, end, "C1"),
            ("steps that their gradient passes as well", first, start, "C0"),
        ]
        for words, left, right, colour in bars:
            label = words if row == 0 else None
            ax.barh(row, right - left, left=left - 0.5, height=0.5, color=colour, label=label)
        low, high = row - 0.35, row + 0.35
        for left, to in ((first, 1), (end, -1)):  # the feet of a bracket
            ax.plot(
                [left - 0.5 + 0.1 * to, left - 0.5, left - 0.5, left - 0.5 + 0.1 * to],
                [low, low, high, high],
                "k",
                lw=1,
            )
    ax.set(xlabel="step", ylabel="backward pass", xlim=(-0.7, T - 0.3), ylim=(len(found) - 0.4, -0.6))
    ax.set_title(
        f"k₁ = {k1}: a pass every {k1} steps; k₂ = {k2}: through at most {k2} steps", fontsize="medium"
    )
    ax.legend(loc="lower left")
    return ax


def _check(k1: int, k2: int, who: str) -> None:
    if not 1 <= k1 <= k2:
        raise ValueError(f"{who} expected 1 <= k1 <= k2, got k1={k1} and k2={k2}")
