"""Files: what goes in comes out, in both formats; others can read them; errors are clear."""

import io
import json
import math
import os
import sys
import zipfile

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


def test_pytorch_reads_our_safetensors_and_we_read_theirs(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    ours, theirs = nn.LSTM(3, 4, 2, bidirectional=True), torch.nn.LSTM(3, 4, 2, bidirectional=True)
    nn.save(ours.state_dict(), tmp_path / "ours.safetensors")
    theirs.load_state_dict(files.load_file(tmp_path / "ours.safetensors"))
    x = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    np.testing.assert_allclose(ours(x)[0].data, theirs(torch.tensor(x))[0].detach().numpy(), atol=1e-6)

    theirs.reset_parameters()
    files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    ours.load_state_dict(nn.load(tmp_path / "theirs.safetensors"))
    np.testing.assert_allclose(ours(x)[0].data, theirs(torch.tensor(x))[0].detach().numpy(), atol=1e-6)


def test_bfloat16_becomes_float32(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    x = torch.tensor([1.0, -2.5, 3.1415926, float("inf"), 1e-40, 1e38])
    files.save_file({"x": x.bfloat16(), "h": x.half()}, tmp_path / "x.safetensors")
    back = nn.load(tmp_path / "x.safetensors")
    np.testing.assert_array_equal(back["x"], x.bfloat16().float().numpy())
    assert back["x"].dtype == np.float32 and back["h"].dtype == np.float16


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
    with zipfile.ZipFile(tmp_path / "x.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        entries = HOSTILE[name]
        for entry in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(*entry)
    with pytest.raises(ValueError, match=r"x\.npz is damaged or"):
        nn.load(tmp_path / "x.npz")


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
