"""What a node holds besides its edges: the arrays that are saved for backward, and its settings, as lines."""

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np

from ...core import Function, Variable, isarray
from . import dot

MOST = 4  # parts of a tuple that are written out
LONGEST = 32  # letters of a setting; a longer one is left out


def saved_lines(node: Function) -> tuple[str, ...]:
    """The arrays that ``node`` keeps for backward, by the names of backward's arguments."""
    if node.saved is None:
        return ("released",) if node._names else ()
    found = [(name, list(_arrays(value))) for name, value in _saved(node)]
    lines = [f"saved {dot.clean(name)}: {_few([_size(a.shape) for a in own])}" for name, own in found if own]
    return tuple(lines)


def setting_lines(node: Function) -> tuple[str, ...]:
    """The attributes that ``__init__`` set, as far as they are short."""
    named = {name for cls in type(node).__mro__ for name in _names_in_init(cls)}
    own = {**dict(_saved(node)), **vars(node)}  # what backward asks for by name has moved to ``saved``
    found = [(name, _brief(own[name])) for name in own if name in named and not hasattr(Function, name)]
    lines = [f"{name}={value}" for name, value in found if not name.startswith("_")]
    return tuple([dot.clean(line) for line in sorted(lines) if len(line) <= LONGEST])


def _saved(node: Function) -> Iterator[tuple[str, Any]]:
    """Pairs of a name and what is saved under it; inputs that backward takes as ``*xs`` are xs[0], xs[1]."""
    names, saved = node._names, node.saved or ()
    if names[-1:] != ("*",):
        yield from zip(names, saved, strict=False)  # a released node has names alone
        return
    before = len(names) - 1
    yield from zip(names[:before], saved, strict=False)
    (rest,) = [p for p in inspect.signature(node.backward).parameters.values() if p.kind is p.VAR_POSITIONAL]
    yield from [(f"{rest.name}[{i}]", value) for i, value in enumerate(saved[before:])]


def _arrays(value: Any) -> Iterator[Any]:
    """The arrays in a saved value: itself, or parts of a tuple, such as y of several outputs or an index."""
    for part in value if isinstance(value, tuple) else (value,):
        if isarray(part):
            yield part


def _names_in_init(cls: type) -> tuple[str, ...]:
    """The names of attributes in the code of a class's own ``__init__``."""
    init = inspect.unwrap(vars(cls).get("__init__", object.__init__))
    return init.__code__.co_names if inspect.isfunction(init) else ()


def _brief(value: Any) -> str:
    """A value in a few letters, without addresses: arrays by their shapes, objects by their types."""
    if isinstance(value, Variable) or isarray(value):
        return f"array {_size(value.shape)}"
    if isinstance(value, float | np.floating):
        text = repr(float(value))
        return text if len(text) <= 6 else f"{value:.4g}"
    if value is Ellipsis:
        return "..."
    if value is None or isinstance(value, str | bool | int):
        return repr(value)
    if isinstance(value, np.generic):
        return str(value)
    if isinstance(value, np.dtype):
        return value.name
    if isinstance(value, slice):
        ends = ["" if end is None else _brief(end) for end in (value.start, value.stop)]
        return ":".join([*ends, *([] if value.step is None else [_brief(value.step)])])
    if isinstance(value, tuple | list):
        inner = _few([_brief(part) for part in value[:MOST]], len(value) > MOST)
        return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
    if inspect.isroutine(value) or isinstance(value, type):
        return value.__name__
    return f"{type(value).__name__}(…)"


def _size(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "scalar"


def _few(texts: list[str], more: bool = False) -> str:
    return ", ".join(texts[:MOST]) + (", …" if more or len(texts) > MOST else "")
