"""Files of Keras 3, which `tests.golden.make_keras_files` wrote with what Keras computes; hostile ones."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nn
from nn.keras import load_keras_weights

h5py = pytest.importorskip("h5py")
GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = np.load(GOLDEN / "keras_numbers.npz")
CHAIN = GOLDEN / "keras_chain.keras"


# --- real files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["chain", "others"])
def test_a_model_computes_what_keras_computes(name):
    model = nn.from_keras(GOLDEN / f"keras_{name}.keras")
    y = model(NUMBERS[f"{name}_x"])
    assert y.dtype == np.float32
    assert_allclose(y.data, NUMBERS[f"{name}_y"], rtol=0, atol=1e-6)
    y.sum().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_dropout_acts_in_training():
    model = nn.from_keras(CHAIN).train()
    x = NUMBERS["chain_x"]
    assert not np.array_equal(model(x).data, model(x).data)
    assert np.array_equal(model.eval()(x).data, model(x).data)


def test_weights_by_their_paths():
    for path in (GOLDEN / "keras_recurrent.weights.h5", str(GOLDEN / "keras_recurrent.weights.h5")):
        weights = nn.load(path)
    assert {path: a.shape for path, a in weights.items()} == {
        "layers/lstm/cell/vars/0": (3, 8), "layers/lstm/cell/vars/1": (2, 8),
        "layers/lstm_1/cell/vars/0": (2, 12), "layers/lstm_1/cell/vars/1": (3, 12),
        "layers/lstm_1/cell/vars/2": (12,),
    }  # fmt: skip
    arrays = list(weights.values())
    options = {"activation": "relu", "output_activation": "relu", "recurrent_activation": "tanh"}
    first = nn.Recurrent(nn.LSTMCell(3, 2, bias=False, **options), batch_first=True)
    second = nn.LSTM(2, 3, batch_first=True)
    load_keras_weights(first, arrays[:2])
    load_keras_weights(second, arrays[2:])
    y, _ = second(first(NUMBERS["recurrent_x"])[0])
    assert_allclose(y.data, NUMBERS["recurrent_y"], rtol=0, atol=1e-6)


def test_weights_of_a_model_in_the_order_of_keras():
    paths = list(nn.load(CHAIN))
    assert [p for p in paths if "bidirectional" in p] == [
        f"layers/bidirectional/{way}_layer/cell/vars/{k}" for way in ("forward", "backward") for k in range(3)
    ]


def test_a_file_of_save_under_the_suffix_h5(tmp_path):
    nn.save({"w": np.arange(3.0)}, tmp_path / "w.h5")
    assert nn.load(tmp_path / "w.h5")["w"].tolist() == [0.0, 1.0, 2.0]


# --- files that are not to be trusted -------------------------------------------------------------


def hdf5(write):
    """The bytes of a file that ``write`` fills."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        write(file)
    return buffer.getvalue()


def in_circles(file):
    file.create_group("a")["b"] = file["/"]


def in_other_files(file):
    file.create_dataset("a", (2,), "f4", external=[("/etc/hostname", 0, 8)])


def virtual(file):
    layout = h5py.VirtualLayout((2,), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "a", (2,))
    file.create_virtual_dataset("a", layout)


def one_array_often(file):
    file["a"] = np.zeros(1000)
    for k in range(100):
        file[f"b{k}"] = file["a"]


HOSTILE = {
    "an external link": (lambda f: f.__setitem__("a", h5py.ExternalLink("/etc/x.h5", "/")), "lead out"),
    "a soft link": (lambda f: f.__setitem__("a", h5py.SoftLink("/")), "a is a link"),
    "groups in circles": (in_circles, "a/b is a group that another path leads to"),
    "numbers in other files": (in_other_files, "lies in other files"),
    "a virtual array": (virtual, "lies in other files"),
    "compressed": (lambda f: f.create_dataset("a", data=np.zeros(10**6), compression="gzip"), "compressed"),
    "a promise": (lambda f: f.create_dataset("a", (10**6, 10**6), "f8"), "8,000,000,000,000 bytes"),
    "a promise in chunks": (
        lambda f: f.create_dataset("a", (10**6, 10**6), "f8", chunks=(10, 10)), "8,000,000,000,000 bytes"),
    "one array often": (one_array_often, "which the file has not"),
    "text": (lambda f: f.__setitem__("a", "text"), "expected an array of numbers"),
    "nothing": (lambda f: f.__setitem__("a", h5py.Empty("f8")), "expected an array of numbers"),
    "records": (lambda f: f.__setitem__("a", np.zeros(2, [("x", "f4")])), "expected an array of numbers"),
    "a type": (lambda f: f.__setitem__("a", np.dtype("f8")), "neither a group nor an array"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_hdf5(name, tmp_path):
    write, message = HOSTILE[name]
    (tmp_path / "a.weights.h5").write_bytes(hdf5(write))
    with pytest.raises(ValueError, match=rf"a.weights.h5 is damaged or no .h5 file of arrays: .*{message}"):
        nn.load(tmp_path / "a.weights.h5")


@pytest.mark.parametrize("path", [CHAIN, GOLDEN / "keras_recurrent.weights.h5"], ids=["keras", "h5"])
def test_what_is_left_of_a_file(path, tmp_path):
    data = path.read_bytes()
    cut = tmp_path / path.name
    for length in (0, 1, 7, 8, 100, 1000, len(data) // 2, len(data) - 1):
        cut.write_bytes(data[:length])
        with pytest.raises(ValueError, match="is damaged or no"):
            nn.load(cut)


def rewritten(members=None, config=None, compress=zipfile.ZIP_STORED, **more):
    """The file of the chain with other members, or after ``config(settings)``."""
    with zipfile.ZipFile(CHAIN) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    if config is not None:
        settings = json.loads(content["config.json"])
        config(settings["config"]["layers"])
        content["config.json"] = json.dumps(settings).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compress) as archive:
        for name, data in (content | (members or {})).items():
            if data is not None:
                archive.writestr(name, data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "members, message",
    [
        ({"../../evil": b""}, "an entry '../../evil', which is not read"),
        ({"/etc/passwd": b""}, "an entry '/etc/passwd'"),
        ({"assets/code.py": b""}, "an entry 'assets/code.py'"),
        ({"model.weights.h5": None}, "lacks an entry"),
        ({"config.json": b"[]"}, "list indices"),
        ({"config.json": b'{"class_name": "Sequential", "config": {"layers": []}}'}, "which no layer has"),
        ({"config.json": b'{"class_name": "Lambda", "config": {}}'}, "expected a Sequential or a Functional"),
        ({"config.json": b"[" * 10**5}, "recursion"),
    ],
)  # fmt: skip
def test_hostile_members(members, message, tmp_path):
    (tmp_path / "a.keras").write_bytes(rewritten(members))
    with pytest.raises(ValueError, match=message):
        nn.from_keras(tmp_path / "a.keras")


def test_a_bomb_is_not_unpacked(tmp_path):
    bomb = rewritten({"config.json": b" " * 10**8}, compress=zipfile.ZIP_DEFLATED)
    assert len(bomb) < 200_000
    (tmp_path / "a.keras").write_bytes(bomb)
    for read in (nn.from_keras, nn.load):
        with pytest.raises(ValueError, match=r"compressed entries would take 100,0\d\d,\d\d\d bytes"):
            read(tmp_path / "a.keras")


def changed(k, **settings):
    """A change of the settings of layer k; its class, if it is among them."""

    def change(layers):
        for name, value in settings.items():
            target = layers[k] if name in layers[k] else layers[k]["config"]
            target[name] = value

    return change


SETTINGS = {
    "code": (changed(4, class_name="Lambda"), r"layer 'gru' \(Lambda\) is of a kind that is not known"),
    "a class of one's own": (changed(4, registered_name="mine>GRU"), r"layer 'gru' \(GRU\) is of a kind"),
    "an activation of one's own": (
        changed(4, activation={"class_name": "function", "config": "os.system"}), "an activation out"),
    "another activation": (changed(4, activation="hard_sigmoid"), "'gru'.*got 'hard_sigmoid'"),
    "masks": (changed(1, mask_zero=True), "'tokens'.*has the setting mask_zero=True"),
    "states": (changed(4, stateful=True), "'gru'.*stateful=True"),
    "states given back": (changed(4, return_state=True), "'gru'.*return_state=True"),
    "half precision": (
        changed(4, dtype={"config": {"name": "mixed_float16"}}), "'gru'.*computes in mixed precision"),
    "more units": (changed(4, units=10**9), r"'gru'.*expected weights of shapes \[\(6, 3000000000\)"),
    "no units": (changed(4, units=0), "'gru'.*has units=0"),
    "units as text": (changed(4, units="5"), "'gru'.*has units='5'"),
    "truth as text": (changed(4, use_bias="no"), "'gru'.*has use_bias='no'"),
    "a large table": (changed(1, input_dim=10**9), r"'tokens'.*\[\(1000000000, 4\)\], got \[\(9, 4\)\]"),
    "one bias": (changed(4, reset_after=False), r"'gru'.*\(15,\)\], got .*\(2, 15\)\]"),
    "no bias": (changed(7, use_bias=False), r"layer 'dense' \(Dense\) expected weights of shapes"),
    "another merge": (changed(2, merge_mode="max"), "'bidirectional'.*expected merge_mode"),
    "a layer twice": (lambda layers: layers.append(layers[7]), "expected weights|list index"),
    "a layer less": (lambda layers: layers.pop(6), "weights which no layer has: layers/simple_rnn/cell"),
}  # fmt: skip


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_are_not_known(name, tmp_path):
    config, message = SETTINGS[name]
    (tmp_path / "a.keras").write_bytes(rewritten(config=config))
    with pytest.raises(ValueError, match=rf"a.keras is damaged or no model of layers.*{message}"):
        nn.from_keras(tmp_path / "a.keras")


def test_a_model_that_is_no_chain(tmp_path):
    with zipfile.ZipFile(GOLDEN / "keras_others.keras") as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(content["config.json"])
    settings["config"]["layers"][-1]["inbound_nodes"][0]["args"][0]["config"]["keras_history"][0] = "x"
    (tmp_path / "a.keras").write_bytes(rewritten(content | {"config.json": json.dumps(settings).encode()}))
    with pytest.raises(ValueError, match="layer 'dense_2' does not follow the one before it alone"):
        nn.from_keras(tmp_path / "a.keras")


def test_without_h5py(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    for read in (nn.load, nn.from_keras):
        with pytest.raises(ImportError, match=r"pip install 'bptt\[interop\]'"):
            read(CHAIN)
