"""Files that PyTorch wrote (`tests.golden.make_interop_files`), and what holds for every format: what leaves
is in one piece, what enters takes no memory before its sizes are checked."""

import os
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nn

GOLDEN = Path(__file__).parents[1] / "golden"


def test_safetensors_of_pytorch_without_pytorch():
    pytest.importorskip("safetensors")
    state = nn.load(GOLDEN / "torch_lstm.safetensors")
    assert_array_equal(state.pop("half"), np.array([1.5, -2.0, 3.140625], "f"))  # bfloat16
    assert state.pop("count") == 7
    lstm = nn.LSTM(3, 4, num_layers=2, bidirectional=True)
    lstm.load_state_dict(state)
    numbers = np.load(GOLDEN / "torch_lstm_file.npz")
    assert_allclose(lstm(numbers["x"])[0].data, numbers["y"], rtol=0, atol=1e-6)


def test_safetensors_there_and_back(tmp_path):
    torch = pytest.importorskip("torch")
    files = pytest.importorskip("safetensors.torch")
    theirs = torch.nn.GRU(2, 3, bidirectional=True)
    files.save_file(theirs.state_dict(), tmp_path / "theirs.safetensors")
    ours = nn.GRU(2, 3, bidirectional=True)
    ours.load_state_dict(nn.load(tmp_path / "theirs.safetensors"))
    nn.save(ours.state_dict(), tmp_path / "ours.safetensors")
    back = files.load_file(tmp_path / "ours.safetensors")
    assert back.keys() == theirs.state_dict().keys()
    assert all(torch.equal(back[name], p) for name, p in theirs.state_dict().items())


# --- what leaves ----------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
def test_an_interrupted_write_leaves_the_old_file(suffix, tmp_path, monkeypatch):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"a{suffix}"
    nn.save({"w": np.ones(3)}, path)
    before = path.read_bytes()

    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        nn.save({"w": np.zeros(3)}, path)
    assert path.read_bytes() == before and os.listdir(tmp_path) == [path.name]


# --- what enters ----------------------------------------------------------------------------------


def npz(path):
    """Promises a terabyte in the header of its array."""
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }".ljust(117) + b"\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "a.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(8)
        )


def safetensors(path):
    pytest.importorskip("safetensors")
    header = b'{"a":{"dtype":"F64","shape":[137438953472],"data_offsets":[0,8]}}'
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))


def weights_h5(path):
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (2**37,), "f8")


def keras(path):
    weights_h5(path.with_suffix(".h5"))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("metadata.json", "{}")
        archive.write(path.with_suffix(".h5"), "model.weights.h5")


PROMISES = {".npz": npz, ".safetensors": safetensors, ".weights.h5": weights_h5, ".keras": keras}


@pytest.mark.parametrize("suffix", PROMISES)
def test_a_promise_of_a_terabyte_takes_no_memory(suffix, tmp_path):
    path = tmp_path / f"a{suffix}"
    PROMISES[suffix](path)
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="is damaged or no") as caught:
            nn.load(path)
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()
    assert not isinstance(caught.value.__cause__, MemoryError)
