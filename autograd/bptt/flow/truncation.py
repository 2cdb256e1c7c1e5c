"""Truncated backpropagation through time as it runs in training: forward on, back a bounded way, again.

The graph is cut in place behind the window, so that the window bounds the memory, and the values of the
forward pass are those of the whole sequence. The table of the full gradient tells the error of the cut
without any further pass: `Decomposition.truncated` and `Decomposition.bias`.
"""

from collections import deque

from ... import modes
from ...core import Variable
from ..rtrl import State, Step, parts_of


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
    if not 1 <= k1 <= k2:
        raise ValueError(f"truncated_bptt expected 1 <= k1 <= k2, got k1={k1} and k2={k2}")
    values: list[float] = []
    window: list[Variable] = []  # the newest losses
    states = deque([state], k2 + 1)  # the newest, and those up to k2 steps back
    for t in range(T):
        with modes.step(t):
            state, loss = step(t, state)
        states.append(state)
        window.append(loss)
        values.append(float(loss))
        if (t + 1) % k1 == 0 or t == T - 1:
            back = k2 - k1 + len(window)
            if len(states) > back:
                for part in parts_of(states[-1 - back]):
                    if not part.is_leaf:  # a leaf has no steps behind it, and goes on requiring grad
                        part.unchain()
            total = window[0]
            for loss in window[1:]:
                total = total + loss
            if total.requires_grad:
                total.backward(retain_graph=True)  # the next window goes through some of it again
            window = []
    return values
