"""Files: nested dicts of arrays, numbers and strings, written atomically, never pickled.

``.npz`` by default; ``.safetensors`` with the package of that name; the files of Keras 3 are read. A flat
dict of arrays (a state dict) is stored entry by entry, so that ``numpy.load``, or any reader of safetensors,
needs no part of this library.
A nested dict is stored as arrays under their paths, and its shape as one JSON text. Both formats carry
checksums: a damaged file is an error, never other numbers. A reader compares the sizes that a file promises
with its length before it takes memory.
"""

import io
import json
import math
import os
import secrets
import stat
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from autograd.extend import isarray

from .interop.hdf5 import read_hdf5

TREE, CHECKSUM = "__tree__", "crc32"  # the entries that hold the JSON text and, in .safetensors, a checksum
ROOM, EXPANSION = 2**26, 100  # compressed entries may take so many bytes, or so many times those of the file

Entries = dict[str, np.ndarray]
Path_ = str | os.PathLike[str]


def save(tree: Mapping[Any, Any], path: Path_) -> None:
    """Write ``tree`` to ``path``; a reader sees the old file or the whole new one, never a part.

    Args:
        tree: a dict of arrays, or nested dicts, lists and tuples of arrays, numbers, strings, None.
        path: the file; ``*.safetensors`` is written in that format, all others as ``.npz``.

    Raises:
        TypeError: something in the tree is none of these, or a key no string or integer.
        OSError: the file cannot be written; an old one is left as it was.
        ImportError: a ``.safetensors`` file, and the package is not installed.

    >>> model = nn.Linear(2, 1)
    >>> nn.save({"model": model.state_dict(), "epoch": 3}, "run.npz")
    >>> saved = nn.load("run.npz")
    >>> saved["epoch"], saved["model"]["weight"].shape
    (3, (1, 2))
    """
    if not isinstance(tree, Mapping):
        raise TypeError(f"save expected a dict, got {type(tree).__name__}")
    entries: Entries = {}
    safe, text = _is_safetensors(path), json.dumps(_pack(tree, "", entries))
    write = _write_safetensors if safe else _write_npz
    if not safe and all(isinstance(v, np.ndarray) for v in tree.values()) and list(tree) == list(entries):
        text = ""  # flat: the entries say it all; .safetensors does not keep their order
    with replacing(path) as file:
        write(file, entries, text)


def load(path: Path_) -> dict[Any, Any]:
    """Read a file that `save` wrote, or any ``.npz`` of plain arrays, or any ``.safetensors`` file, such as
    PyTorch's; or the weights in a ``.keras`` or ``.weights.h5`` file of Keras 3, by their paths in it and in
    Keras' layout, which `nn.keras.load_keras_weights` takes (`nn.from_keras` gives the whole model).

    bfloat16, which NumPy does not have, becomes float32. Compressed arrays, which `save` does not write, may
    become 100 times as large as the file, or 64 MiB: ``numpy.load`` reads larger files that are trusted.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such file, is damaged, would become too large, or holds pickled objects.
        ImportError: a ``.safetensors`` file or one of Keras', and safetensors or h5py is not installed.

    >>> nn.save(nn.GRU(3, 4).state_dict(), "gru.npz")
    >>> other = nn.GRU(3, 4)
    >>> other.load_state_dict(nn.load("gru.npz"))
    >>> np.load("gru.npz")["weight_ih_l0"].shape  # a state dict needs no part of this library
    (12, 3)
    """
    kind = Path(path).suffix
    kind = kind if kind in (".keras", ".h5") else ".safetensors" if _is_safetensors(path) else ".npz"
    data = bytes_of(path)
    if kind == ".h5" and data[:2] == b"PK":
        kind = ".npz"  # as `save` writes under any name
    try:
        if kind == ".keras":
            tree: Any = read_hdf5(members_of_keras(data)["model.weights.h5"])
        elif kind == ".h5":
            tree = read_hdf5(data)
        else:
            entries, text = (_read_safetensors if kind == ".safetensors" else _read_npz)(data)
            tree = _unpack(json.loads(text), entries) if text else entries
        if not isinstance(tree, dict):
            raise ValueError("it holds no dict")
    except ImportError:
        raise
    except Exception as error:  # a damaged file fails in many ways, and all mean the same
        raise ValueError(f"{os.fspath(path)} is damaged or no {kind} file of arrays: {error}") from error
    return tree


def bytes_of(path: Path_) -> bytes:
    """The content of a regular file."""
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # a device may have no end, a pipe no beginning
        raise ValueError(f"{os.fspath(path)} is no regular file")
    return Path(path).read_bytes()


@contextmanager
def replacing(path: Path_) -> Iterator[IO[bytes]]:
    """Open a new binary file that replaces ``path`` when the block ends well, and is deleted otherwise."""
    path = Path(os.path.realpath(path))  # a link stays one
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


# --- .npz: a zip file of .npy files, each with a checksum ---------------------------------------


def _write_npz(file: IO[bytes], entries: Entries, text: str) -> None:
    if text:
        entries = {**entries, TREE: np.frombuffer(text.encode(), np.uint8)}
    with zipfile.ZipFile(file, "w", allowZip64=True) as archive:
        for name, array in entries.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, array, allow_pickle=False)


def _read_npz(data: bytes) -> tuple[Entries, str]:
    entries: Entries = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_places(archive, data)
        _check_sizes(archive, len(data))
        for member in archive.infolist():
            name = member.filename.removesuffix(".npy")
            if name in entries:
                raise ValueError(f"it has two entries {name}")
            entries[name] = _read_npy(archive, member)
    text = entries.pop(TREE).tobytes().decode() if TREE in entries else ""
    return entries, text


def members_of_keras(data: bytes) -> dict[str, bytes]:
    """What is in a ``.keras`` file, by name: a zip file of three members. Nothing is unpacked to the disk."""
    members: dict[str, bytes] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        _check_sizes(archive, len(data))
        for member in archive.infolist():
            name = member.filename
            if name not in ("config.json", "metadata.json", "model.weights.h5") or name in members:
                raise ValueError(f"it has an entry {name!r}, which is not read here, or has it twice")
            with archive.open(member) as entry:
                members[name] = entry.read()
    if len(members) != 3:
        raise ValueError(f"it lacks an entry: {', '.join(members) or 'none'} is all there is")
    return members


def _check_places(archive: zipfile.ZipFile, data: bytes) -> None:
    """Raise unless the entries of the directory fill the file: a reader would miss one that is not listed."""
    members = sorted(archive.infolist(), key=lambda member: member.header_offset)
    end = len(data) - 22 - len(archive.comment)  # where the end record is, with the number of entries
    if int.from_bytes(data[end + 10 : end + 12], "little") != min(len(members), 0xFFFF):
        raise ValueError("its directory does not list as many entries as its end record counts")
    starts, place = {0}, 0
    for member in members:
        place = member.header_offset
        if place not in starts:
            raise ValueError(f"before {member.filename} is something that its directory does not list")
        _, _, flags, method, *_, name, extra = struct.unpack("<4s5H3L2H", data[place : place + 30])
        if (flags, method) != (member.flag_bits, member.compress_type):
            raise ValueError(f"{member.filename} is another entry than its directory says")
        place += 30 + name + extra + member.compress_size
        starts = {place + more for more in (12, 16, 20, 24)} if flags & 8 else {place}  # a data descriptor
    if archive.start_dir not in starts:
        raise ValueError("before its directory is something that it does not list")


def _check_sizes(archive: zipfile.ZipFile, length: int) -> None:
    """Raise unless the sizes in the directory are in proportion to the length of the file."""
    total = 0
    for member in archive.infolist():
        if member.compress_type == zipfile.ZIP_STORED:
            if member.file_size != member.compress_size:
                raise ValueError(f"{member.filename} is not as long as its directory says")
        elif member.compress_type != zipfile.ZIP_DEFLATED or member.filename == f"{TREE}.npy":
            raise ValueError(f"{member.filename} is compressed as neither nn.save nor NumPy does")
        else:
            total += member.file_size
    if total > max(ROOM, EXPANSION * length):
        raise ValueError(
            f"its compressed entries would take {total:,} bytes, more than {EXPANSION} times the file: if you"
            " trust it, numpy.load reads it"
        )


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """Read one .npy file; compare its header with its size before asking memory for the array."""
    with archive.open(member) as entry:
        version = np.lib.format.read_magic(entry)
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # NumPy warns of headers that look like Python 2
            read = np.lib.format.read_array_header_1_0
            shape, _, dtype = (read if version == (1, 0) else np.lib.format.read_array_header_2_0)(entry)
        size = member.file_size - entry.tell()
    if math.prod(shape) * dtype.itemsize != size:
        raise ValueError(f"{member.filename} has {size} bytes, which is not what {dtype} {shape} needs")
    with archive.open(member) as entry:
        array = np.lib.format.read_array(entry, allow_pickle=False)
        entry.read(1)  # to the end, where the checksum is compared
    return array


# --- .safetensors -------------------------------------------------------------------------------

DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?", "C64": "<c8",
          "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
          "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1"}  # fmt: skip


def _is_safetensors(path: Path_) -> bool:
    """Does the name ask for that format? Then the package has to be there."""
    if Path(path).suffix != ".safetensors":
        return False
    try:
        import safetensors  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{os.fspath(path)} needs the package safetensors: pip install 'bptt[interop]', or use .npz"
        ) from error
    return True


def _write_safetensors(file: IO[bytes], entries: Entries, text: str) -> None:
    from safetensors.numpy import save as to_bytes

    names = {np.dtype(d).newbyteorder("="): name for name, d in DTYPES.items() if name != "BF16"}
    plain: Entries = {}
    for name, array in entries.items():
        native = array.dtype.newbyteorder("=")
        if native not in names:
            raise TypeError(
                f"save: {name} is of dtype {array.dtype}, which .safetensors cannot hold: use .npz"
            )
        plain[name] = np.asarray(array, native.newbyteorder("<"), order="C")
    file.write(to_bytes(plain, {CHECKSUM: _checksum(plain, text), TREE: text}))


def _read_safetensors(data: bytes) -> tuple[Entries, str]:
    from safetensors import deserialize

    entries: Entries = {}
    for name, tensor in deserialize(data):
        if tensor["dtype"] not in DTYPES:
            raise ValueError(f"{name} is of dtype {tensor['dtype']}, which is not known here")
        array = np.frombuffer(tensor["data"], DTYPES[tensor["dtype"]]).reshape(tensor["shape"])
        if tensor["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        entries[name] = array if sys.byteorder == "little" else array.astype(array.dtype.newbyteorder("="))
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    about = header.get("__metadata__", {})
    text = about.get(TREE, "")
    if CHECKSUM in about and about[CHECKSUM] != _checksum(entries, text):
        raise ValueError("its checksum does not fit")
    return entries, text


def _checksum(entries: Entries, text: str) -> str:
    """CRC-32 over names, dtypes, shapes and bytes of all arrays, and the text."""
    crc = zlib.crc32(text.encode())
    for name in sorted(entries):
        array = entries[name].astype(entries[name].dtype.newbyteorder("<"), copy=False)
        crc = zlib.crc32(f"{name} {array.dtype.str} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.tobytes(), crc)
    return f"{crc:08x}"


# --- trees --------------------------------------------------------------------------------------


def _pack(tree: Any, path: str, entries: Entries) -> Any:
    """``tree`` as JSON, with paths in place of its arrays, which go to ``entries``."""
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
        + (
            " (use autograd.to_host for arrays of another type than NumPy's)"
            if isarray(tree)
            else " (use .data of a Variable)"
            if hasattr(tree, "data")
            else ""
        )
    )


def _free(name: str, entries: Entries) -> str:
    """``name`` as a zip file can hold it, with a mark behind it if another entry has it."""
    name = name.replace("\0", "")  # where names in a zip file end
    while name in entries or name == TREE:
        name += "'"
    return name


def _key(key: Any) -> str | int:
    """A key that JSON keeps as it is, or an error."""
    if isinstance(key, str) or type(key) is int:
        return key
    raise TypeError(f"save: keys are strings or integers, got {key!r}")


def _unpack(node: Any, entries: Entries) -> Any:
    """The tree of a JSON text, with its arrays."""
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
