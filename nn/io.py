"""Files: nested dicts of arrays, numbers and strings in one ``.npz``, written atomically, never pickled.

A flat dict of arrays (a state dict) is stored entry by entry, so that ``numpy.load`` reads it without
this library. Anything nested stores its arrays under their paths and its shape as one JSON text.
"""

import json
import math
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

TREE = "__tree__"  # the entry that holds the JSON text


def save(tree: Mapping[Any, Any], path: str | os.PathLike[str]) -> None:
    """Write ``tree`` to ``path``; a reader sees the old file or the whole new one, never a part.

    Args:
        tree: a dict of arrays, or nested dicts, lists and tuples of arrays, numbers, strings, None.
        path: the file, by custom ``*.npz``.

    Raises:
        TypeError: something in the tree is none of these, or a key no string or integer.
        OSError: the file cannot be written; an old one is left as it was.
    """
    if not isinstance(tree, Mapping):
        raise TypeError(f"save expected a dict, got {type(tree).__name__}")
    entries: dict[str, np.ndarray] = {}
    text = json.dumps(_pack(tree, "", entries))
    flat = all(isinstance(value, np.ndarray) for value in tree.values()) and list(tree) == list(entries)
    if not flat:
        entries[TREE] = np.frombuffer(text.encode(), np.uint8)
    path = Path(os.path.realpath(path))  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
                for name, array in entries.items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                        np.lib.format.write_array(entry, array, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> dict[Any, Any]:
    """Read what `save` wrote, or any ``.npz`` of plain arrays.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, is damaged, or holds pickled objects.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                entries = {}
                for name in archive.namelist():
                    with archive.open(name) as entry:
                        array = np.lib.format.read_array(entry, allow_pickle=False)
                        if entry.read(1):  # to the end, where the checksum is compared
                            raise ValueError(f"{name} is longer than its array")
                    entries[name.removesuffix(".npy")] = array
            if TREE not in entries:
                return entries
            text = entries.pop(TREE).tobytes().decode()
            tree = _unpack(json.loads(text), entries)
        except Exception as error:  # a damaged file fails in many ways, and all mean the same
            raise ValueError(f"{os.fspath(path)} is damaged or no .npz file of arrays: {error}") from error
    if not isinstance(tree, dict):
        raise ValueError(f"{os.fspath(path)} holds no dict")
    return tree


def _pack(tree: Any, path: str, entries: dict[str, np.ndarray]) -> Any:
    """``tree`` as JSON; its arrays go to ``entries`` and leave their path behind."""
    if isinstance(tree, np.generic):
        tree = tree.item()
    if isinstance(tree, np.ndarray):
        if tree.dtype.hasobject:
            raise TypeError(f"save: {path} is an array of Python objects")
        name = _free(path, entries)
        entries[name] = tree
        return {"array": name}
    if isinstance(tree, Mapping):
        at = f"{path}/" if path else ""
        return {"dict": [[_key(k), _pack(v, f"{at}{k}", entries)] for k, v in tree.items()]}
    if isinstance(tree, list | tuple):
        kind = "tuple" if isinstance(tree, tuple) else "list"
        return {kind: [_pack(v, f"{path}/{i}", entries) for i, v in enumerate(tree)]}
    if isinstance(tree, float) and not math.isfinite(tree):
        return {"float": repr(tree)}
    if tree is None or isinstance(tree, bool | int | float | str):
        return tree
    raise TypeError(
        f"save: {path or 'the tree'} is a {type(tree).__name__}: expected arrays, numbers or text"
        + (" (use .data of a Variable)" if hasattr(tree, "data") else "")
    )


def _free(name: str, entries: Mapping[str, Any]) -> str:
    """``name`` as it can stand in a zip file, changed where something else has it already."""
    name = name.replace("\0", "")  # where names in a zip file end
    while name in entries or name == TREE:
        name += "'"
    return name


def _key(key: Any) -> Any:
    if isinstance(key, str) or type(key) is int:
        return key
    raise TypeError(f"save: keys are strings or integers, got {key!r}")


def _unpack(node: Any, entries: dict[str, np.ndarray]) -> Any:
    if not isinstance(node, dict):
        return node
    ((kind, value),) = node.items()
    if kind == "array":
        return entries[value]
    if kind == "float":
        return float(value)
    if kind == "dict":
        return {_key(key): _unpack(v, entries) for key, v in value}
    if kind not in ("list", "tuple"):
        raise ValueError(f"it names an unknown kind {kind!r}")
    items = [_unpack(v, entries) for v in value]
    return tuple(items) if kind == "tuple" else items
