"""From other types of arrays back to NumPy's, where a user asks for it."""

from typing import Any

import numpy as np

from .core import data_of, isarray


def to_host(tree: Any) -> Any:
    """NumPy's arrays for those of other types, and for Variables, in nested dicts, lists and tuples.

    The one way by which the library copies an array from a device; arrays of NumPy's and all else that is in
    the tree stay as they are. `Module.to_arrays` leads in the other direction.

    >>> ag.to_host({"h": Variable([1.0]), "epoch": 3})
    {'h': array([1.]), 'epoch': 3}
    """
    if isinstance(tree, dict):
        return {key: to_host(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        parts = [to_host(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else type(tree)(parts)
    x = data_of(tree)
    if isinstance(x, np.ndarray) or not isarray(x):
        return x
    return x.get() if hasattr(x, "get") else np.asarray(x)  # CuPy's way, and that of most others
