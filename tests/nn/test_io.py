"""Files: what goes in comes out, in both formats; others can read them; errors are clear."""

import io
import json
import math
import os
import struct
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nn

FORMATS = [".npz", ".safetensors"]


@pytest.fixture(params=FORMATS)
def file(request, tmp_path):
    if request.param == ".safetensors":
        pytest.importorskip("safetensors")
    return tmp_path / f"file{request.param}"


def same(a, b):
    """Equal in values, kinds, dtypes and shapes, however deep."""
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, dict):
        return type(b) is dict and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


TREES = {
    "flat": {
        "a": np.arange(3.0),
        "b.c": np.float32([[1, 2]]),
        "0-d": np.array(2.0),
        "empty": np.zeros((0, 3)),
    },
    "dtypes": {d: np.zeros(2, d) for d in ("f2", "f4", "f8", "i1", "i8", "u4", "?", "c8")},
    "order": {"fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "strided": np.arange(10.0)[::3]},
    "no arrays": {"x": 1, "y": "text", "z": None, "w": True},
    "nothing": {},
    "nested": {
        "model": {"w": np.eye(2), "b": np.zeros(2, np.float32)},
        "optimizer": {"state": {0: {"step": 3, "m": np.ones(2)}, 7: {}}, "betas": (0.9, 0.999)},
        "numbers": [math.inf, -math.inf, 1e-320, 0.1, 2**200, -5, True, None, "ünï\u2028\0", [], (), {}],
    },
    "names": {
        "a": {"b": np.ones(1)},
        "a/b": np.ones(2),
        "__tree__": np.ones(3),
        "": np.ones(4),
        "é": np.ones(5),
    },
    "keys": {1: np.ones(1), "1": np.ones(2)},
}


@pytest.mark.parametrize("name", TREES)
def test_what_goes_in_comes_out(name, file):
    nn.save(TREES[name], file)
    back = nn.load(file)
    assert same(TREES[name], back)
    assert [p.name for p in file.parent.iterdir()] == [file.name]
    for value in back.values():
        if isinstance(value, np.ndarray) and value.size:
            value.reshape(-1)[0] = 1  # one's own array, that may be written to


leaves = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(np.arange(3.0))
)
keys = st.text(max_size=5) | st.integers()
trees = st.recursive(
    leaves, lambda s: st.lists(s, max_size=3) | st.dictionaries(keys, s, max_size=3), max_leaves=8
)


@given(st.dictionaries(keys, trees, max_size=4))
def test_any_tree_comes_back(tmp_path_factory, tree):
    path = tmp_path_factory.getbasetemp() / "any.npz"
    nn.save(tree, path)
    assert same(tree, nn.load(path))


def test_numbers_of_numpy_become_pythons(file):
    nn.save({"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True)}, file)
    assert same(nn.load(file), {"a": 0.5, "b": 3, "c": True})


def test_numpy_reads_our_npz_and_we_read_numpys(tmp_path):
    state = nn.LSTM(3, 4).state_dict()
    nn.save(state, tmp_path / "ours.npz")
    with np.load(tmp_path / "ours.npz") as theirs:
        assert set(theirs) == set(state) and all(same(theirs[k], state[k]) for k in state)
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "theirs.npz", **state)
        assert same(nn.load(tmp_path / "theirs.npz"), state)


def test_bfloat16_becomes_float32(tmp_path):
    """A file written by hand: sign, eight bits of exponent, seven of the fraction."""
    pytest.importorskip("safetensors")
    numbers = {0x3F80: 1.0, 0xC020: -2.5, 0x4049: 3.140625, 0x7F80: math.inf, 0x0080: 2.0**-126, 0x8000: -0.0}
    data = np.array(list(numbers), "<u2").tobytes()
    header = json.dumps({"x": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, len(data)]}}).encode()
    (tmp_path / "x.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + data)
    (x,) = nn.load(tmp_path / "x.safetensors").values()
    assert x.dtype == np.float32 and x.shape == (2, 3)
    np.testing.assert_array_equal(x.ravel(), np.array(list(numbers.values()), np.float32))


def test_without_the_package_there_is_a_way_out(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    for call in (lambda p: nn.save({"a": np.ones(2)}, p), nn.load):
        with pytest.raises(ImportError, match=r"pip install 'bptt\[interop\]', or use \.npz"):
            call(tmp_path / "x.safetensors")
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_saved_leaves_the_old_file(file):
    nn.save({"a": np.ones(2)}, file)
    old = file.read_bytes()
    bad = [
        {"a": object()}, {"a": {1.5: 2}}, {"a": np.array([None])}, {"a": {"b": {3, 4}}}, {True: 1},
        [np.ones(2)], 5, {"a": nn.Parameter(np.ones(2))},
    ]  # fmt: skip
    if file.suffix == ".safetensors":
        bad += [{"a": np.array(["text"])}, {"a": np.ones(2, complex)}]
    for tree in bad:
        with pytest.raises(TypeError, match="save"):
            nn.save(tree, file)
        assert file.read_bytes() == old and len(list(file.parent.iterdir())) == 1


def test_a_failing_disk_leaves_the_old_file(file, monkeypatch):
    nn.save({"a": np.ones(2)}, file)
    old = file.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        nn.save({"a": np.zeros(2)}, file)
    assert file.read_bytes() == old and len(list(file.parent.iterdir())) == 1


def test_files_that_are_not_there(file):
    with pytest.raises(FileNotFoundError):
        nn.load(file)
    with pytest.raises(FileNotFoundError):
        nn.save({}, file.parent / "none" / file.name)
    with pytest.raises(IsADirectoryError):
        nn.load(file.parent) if file.suffix == ".npz" else nn.load(_directory(file))


def _directory(path):
    path.mkdir()
    return path


def test_a_link_stays_a_link(file):
    nn.save({"a": np.ones(1)}, file)
    link = file.with_name("link" + file.suffix)
    link.symlink_to(file)
    nn.save({"a": np.zeros(1)}, link)
    assert link.is_symlink() and nn.load(file)["a"] == 0


# --- hostile files: well-formed on the outside


def npy(array, **kwargs):
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, **kwargs)
    return buffer.getvalue()


def with_header(header):
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + bytes(24)


def tree(node):
    return npy(np.frombuffer(json.dumps(node).encode(), np.uint8))


HOSTILE = {
    "pickle": {"a.npy": npy(np.array([print]), allow_pickle=True)},
    "huge": {"a.npy": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000,), }")},
    "overflowing": {
        "a.npy": with_header(f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**62}, 4), }}")
    },
    "negative": {"a.npy": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-3,), }")},
    "too long": {"a.npy": npy(np.ones(3)) + b"more"},
    "too short": {"a.npy": npy(np.ones(3))[:-1]},
    "python 2": {"a.npy": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (3L,), }")},
    "code": {"a.npy": with_header("{'descr': __import__('os').system('true'), 'shape': ()}")},
    "no array": {"a.npy": b"hello"},
    "twice": [("a.npy", npy(np.ones(1))), ("a.npy", npy(np.zeros(1)))],
    "no dict": {"__tree__.npy": tree([1, 2])},
    "missing array": {"__tree__.npy": tree({"dict": [["a", {"array": "b"}]]})},
    "unknown kind": {"__tree__.npy": tree({"dict": [["a", {"eval": "1"}]]})},
    "two kinds": {"__tree__.npy": tree({"dict": [], "list": []})},
    "bad key": {"__tree__.npy": tree({"dict": [[1.5, 1]]})},
    "bad float": {"__tree__.npy": tree({"dict": [["a", {"float": "x"}]]})},
    "deep": {"__tree__.npy": npy(np.frombuffer(b"[" * 100_000, np.uint8))},
    "no text": {"__tree__.npy": npy(np.frombuffer(b"\xff\xfe", np.uint8))},
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_hostile_npz_files_are_refused(name, tmp_path):
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        entries = HOSTILE[name]
        for entry in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(*entry)
    with pytest.raises(ValueError, match=r"x\.npz is damaged or"):
        nn.load(tmp_path / "x.npz")


# --- sizes and places: what the length of a file contradicts


STATES = {
    "flat": {"a": np.float32([1, 2]), "é": np.arange(3), "none": np.zeros((0, 2)), "b": np.array(7.0)},
    "tree": {"a": {"w": np.ones(2), 0: [1.5]}},
}


@pytest.mark.parametrize("name", STATES)
def test_every_bit_of_the_directory(name, tmp_path):
    """Flipped, it makes an error or, in a date or the number of a version, no difference."""
    path, state = tmp_path / "x.npz", STATES[name]
    nn.save(state, path)
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        start = archive.start_dir
    refused = 0
    for place in range(start, len(data)):
        for bit in range(8):
            bad = bytearray(data)
            bad[place] ^= 1 << bit
            path.write_bytes(bad)
            try:
                back = nn.load(path)
            except ValueError:
                refused += 1
            else:
                assert same(back, state), (place - start, bit)
    assert refused > 0.5 * 8 * (len(data) - start)


def test_every_lost_piece_of_a_file(tmp_path):
    path = tmp_path / "x.npz"
    nn.save(STATES["flat"], path)
    data = path.read_bytes()
    for k in range(0, len(data), 5):
        path.write_bytes(data[:k])
        with pytest.raises(ValueError, match="damaged"):
            nn.load(path)
    # a directory without its second entry, and an end record that agrees with it
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        at, cut = archive.start_dir + 46 + len("a.npy"), 46 + len("é.npy".encode())
    forged = bytearray(data[:at] + data[at + cut :])
    for place in (8, 10):  # the number of entries, twice
        forged[len(forged) - 22 + place] -= 1
    forged[len(forged) - 10 : len(forged) - 6] = (
        int.from_bytes(data[len(data) - 10 : len(data) - 6], "little") - cut
    ).to_bytes(4, "little")
    with zipfile.ZipFile(io.BytesIO(forged)) as archive:
        assert archive.namelist() == ["a.npy", "none.npy", "b.npy"]  # nobody else notices
    path.write_bytes(forged)
    with pytest.raises(ValueError, match=r"before none\.npy is something that its directory does not list"):
        nn.load(path)
    path.write_bytes(b"more" + data)
    with pytest.raises(ValueError, match="damaged"):
        nn.load(path)


def test_what_numpy_writes_into_a_pipe_is_read(tmp_path):
    """Sizes stand behind such entries then, as they are not known before."""

    class Pipe(io.BytesIO):
        def seekable(self):
            return False

        def seek(self, *_):
            raise io.UnsupportedOperation

        tell = seek

    for write in (np.savez, np.savez_compressed):
        pipe = Pipe()
        write(pipe, **STATES["flat"])
        (tmp_path / "x.npz").write_bytes(pipe.getvalue())
        assert same(nn.load(tmp_path / "x.npz"), STATES["flat"])


def zeros_npy(count):
    """The header of an array of so many bytes."""
    return with_header(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({count},), }}")[:-24]


def deflated(count):
    packer = zlib.compressobj(1, zlib.DEFLATED, -15)
    header, part = zeros_npy(count), bytes(2**20)
    data, crc = packer.compress(header), zlib.crc32(header)
    for _ in range(count // 2**20):
        data += packer.compress(part)
        crc = zlib.crc32(part, crc)
    return data + packer.flush(), crc, len(header) + count


def one_entry(data, crc, size, method=8, name=b"a.npy"):
    """A .npz file with one entry of which the headers say what they are told."""
    facts = struct.pack("<5H3L2H", 20, 0, method, 0, 33, crc, len(data), size, len(name), 0)
    local = b"PK\3\4" + facts + name + data
    directory = b"PK\1\2" + struct.pack("<H", 20) + facts + bytes(10) + bytes(4) + name
    return local + directory + b"PK\5\6" + struct.pack("<4H2LH", 0, 0, 1, 1, len(directory), len(local), 0)


def peak_of(path, words):
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=words):
            nn.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_small_file_takes_little_memory_whatever_it_promises(tmp_path):
    """Zeros are compressed a thousandfold: a file of 2 MB could ask for 2 GB, and for half a minute."""
    path, (data, crc, size) = tmp_path / "x.npz", deflated(2**27)
    assert len(data) < 2**20
    path.write_bytes(one_entry(data, crc, size))
    with np.load(path) as trusted:
        assert trusted["a"].nbytes == 2**27  # it is well-formed
    assert peak_of(path, "would take 134,217,857 bytes, more than 100 times the file") < 2**22
    for lie in (10**15, 2**31, 200, 129):  # of the directory, about what the data become
        path.write_bytes(one_entry(data, crc, min(lie, 2**32 - 2)))
        assert peak_of(path, "damaged") < 2**22
    small, crc, size = deflated(2**22)
    path.write_bytes(one_entry(small, crc, size))
    assert nn.load(path)["a"].nbytes == 2**22  # though it is a thousand times the file
    path.write_bytes(one_entry(small, crc, size, name=b"__tree__.npy"))
    assert peak_of(path, "compressed as neither") < 2**20
    path.write_bytes(one_entry(small, crc ^ 1, size))
    with pytest.raises(ValueError, match="CRC"):
        nn.load(path)
    path.write_bytes(one_entry(zeros_npy(2**40), zlib.crc32(zeros_npy(2**40)), 129, 0))
    assert peak_of(path, "has 0 bytes, which is not what uint8") < 2**20
    for method, words in (
        (0, "not as long as"),
        (12, "compressed as neither"),
        (14, "compressed as neither"),
    ):
        path.write_bytes(one_entry(small, crc, size, method))
        assert peak_of(path, words) < 2**20


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_file_without_an_end_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")
    for path in ("/dev/zero", tmp_path / "pipe.npz"):
        with pytest.raises(ValueError, match="is no regular file"):
            nn.load(path)


# --- the same for .safetensors


def safetensors_bytes(header, data=b""):
    text = json.dumps(header).encode() if isinstance(header, dict) else header
    return len(text).to_bytes(8, "little") + text + data


@pytest.mark.parametrize("data", [
    b"", b"\0" * 8, b"\xff" * 100, safetensors_bytes(b"[" * 5000), safetensors_bytes(b"{}")[:9],
    safetensors_bytes({"a": {"dtype": "F64", "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    safetensors_bytes({"a": {"dtype": "F64", "shape": [2**40], "data_offsets": [0, 8]}}, bytes(8)),
    safetensors_bytes({"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
                       "b": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, bytes(8)),
    safetensors_bytes({"a": {"dtype": "F8_E4M3", "shape": [8], "data_offsets": [0, 8]}}, bytes(8)),
    safetensors_bytes({"__metadata__": {"__tree__": '{"dict": [["a", {"array": "b"}]]}'}}),
    safetensors_bytes({"__metadata__": {"crc32": "00000000"},
                       "a": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
])  # fmt: skip
def test_hostile_safetensors_files_are_refused(data, tmp_path):
    pytest.importorskip("safetensors")
    (tmp_path / "x.safetensors").write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.safetensors is damaged or"):
        nn.load(tmp_path / "x.safetensors")


def test_a_changed_number_in_safetensors_is_noticed(tmp_path):
    pytest.importorskip("safetensors")
    path = tmp_path / "x.safetensors"
    nn.save({"a": np.zeros((2, 3), np.float32)}, path)
    good = path.read_bytes()
    for bad in (
        good[:-1] + b"\1",
        good.replace(b'"F32"', b'"I32"'),
        good.replace(b"[2,3]", b"[3,2]"),
        good.replace(b'"a"', b'"b"'),
    ):
        assert bad != good
        path.write_bytes(bad)
        with pytest.raises(ValueError, match="checksum"):
            nn.load(path)
