"""Arrays out of an HDF5 file, as Keras 3 writes one for its weights.

Only what lies in the file itself is read: groups under hard links, each once, and arrays of plain numbers
that are stored as they are. External and soft links, data in other files, compression and other filters,
which may be plugins, are errors; so is an array that promises more numbers than are stored, before memory is
taken for it. Parsing the file is h5py's.
"""

import io
import math
from typing import Any

import numpy as np

from autograd.extend import Array


def read_hdf5(data: bytes) -> dict[str, Array]:
    """All arrays of a file by path, in natural order, a forward layer before a backward one.

    Raises:
        ValueError: the file holds something that is not read here. ImportError: h5py is not installed.
    """
    try:
        import h5py
    except ImportError as error:
        raise ImportError("Keras' weights need the package h5py: pip install 'bptt[interop]'") from error

    arrays: dict[str, Array] = {}
    seen: set[Any] = set()  # addresses of groups: hard links may lead in circles
    left = len(data)
    with h5py.File(io.BytesIO(data), "r") as file:
        waiting: list[tuple[str, Any]] = [("", file)]
        while waiting:
            path, group = waiting.pop()
            address = h5py.h5o.get_info(group.id).addr
            if address in seen:
                raise ValueError(f"{path} is a group that another path leads to as well")
            seen.add(address)
            for name in group:
                here = f"{path}/{name}" if path else name
                if type(group.get(name, getlink=True)) is not h5py.HardLink:
                    raise ValueError(f"{here} is a link, and may lead out of the file")
                item = group[name]
                if isinstance(item, h5py.Group):
                    waiting.append((here, item))
                elif isinstance(item, h5py.Dataset):
                    left -= _stored(here, item, left)
                    array: Array = item[()]
                    arrays[here] = np.asarray(array, array.dtype.newbyteorder("="))
                else:
                    raise ValueError(f"{here} is neither a group nor an array")
    return {path: arrays[path] for path in sorted(arrays, key=_order)}


def _stored(path: str, dataset: Any, left: int) -> int:
    """The bytes of an array that is stored in the file as it is; of at most ``left`` bytes."""
    if dataset.dtype.kind not in "fiub" or dataset.shape is None:
        raise ValueError(f"{path} expected an array of numbers, got {dataset.dtype}")
    plan = dataset.id.get_create_plist()
    if dataset.is_virtual or plan.get_external_count():
        raise ValueError(f"{path} lies in other files")
    if plan.get_nfilters():
        raise ValueError(f"{path} is compressed or filtered, as Keras does not write it")
    size: int = math.prod(dataset.shape) * dataset.dtype.itemsize
    if size > min(dataset.id.get_storage_size(), left):
        raise ValueError(f"{path} of shape {dataset.shape} needs {size:,} bytes, which the file has not")
    return size


def _order(path: str) -> list[tuple[int, str]]:
    """A key by which 10 comes behind 2, and a backward layer behind the forward one, as in Keras."""
    parts = path.replace("/backward_layer/", "/forward_layer~/").split("/")
    return [(int(part), "") if part.isdecimal() else (0, part) for part in parts]
