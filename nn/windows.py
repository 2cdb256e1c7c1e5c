"""Counts the windows of a stream in one graph, and warns when a state is never detached.

Training backward through such a graph is an error of its own (its saved arrays are gone), but a model that
only runs forward, or retains its graphs, takes more memory and time with every window. The count belongs to
the node that computed a state: one look at each call of a recurrent layer, none at a step or in the engine.
"""

import warnings
from typing import Any
from weakref import WeakKeyDictionary

from autograd import Function, Variable

_limit: int | None = 100
_spans: WeakKeyDictionary[Function, int] = WeakKeyDictionary()  # of a state: the windows in its graph


def warn_after_windows(limit: int | None) -> int | None:
    """Set how many windows of a stream one graph may span without a UserWarning; returns the limit before.

    A window is a call of a recurrent layer, of two steps or more, on the state of the call before. With
    ``nn.detach`` between them each window has a graph of its own. The limit is 100; None means no warning.

    Raises:
        ValueError: the limit is below 1.

    >>> before = nn.warn_after_windows(None)  # a graph over many windows is meant
    >>> before, nn.warn_after_windows(before)
    (100, None)
    """
    global _limit
    if limit is not None and limit < 1:
        raise ValueError(f"warn_after_windows expected a limit of at least 1 or None, got {limit}")
    before, _limit = _limit, limit
    return before


def count_windows(who: str, given: Any, last: Any, steps: int, cut: bool = False) -> None:
    """Note how many windows the graph of the state ``last`` spans: one more than ``given``, unless cut."""
    behind = 0 if cut else max([_spans.get(node, 0) for node in _nodes(given)], default=0)
    windows = behind + (steps > 1)
    for node in _nodes(last):
        _spans[node] = windows
    if _limit is not None and steps > 1 and windows == _limit + 1:
        warnings.warn(
            f"{who}: one graph spans {windows} windows, and grows with every further one: carry"
            " nn.detach(state) from window to window, run under no_grad, or, if this is meant, call"
            " nn.warn_after_windows(None)",
            stacklevel=4,  # where the layer was called
        )


def _nodes(state: Any) -> list[Function]:
    """The nodes that computed the parts of a state."""
    if isinstance(state, tuple | list):
        return [node for part in state for node in _nodes(part)]
    node = state.creator if isinstance(state, Variable) else None
    return [] if node is None else [node]
