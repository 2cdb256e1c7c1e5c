"""ONNX models read: language models that PyTorch exported (by `tests.golden.make_interop_files`), cases of
single operators by the ONNX project, and files that are not to be trusted."""

import copy
import io
import re
import tracemalloc
import warnings
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import nn
import optim
from autograd.extend import data_of
from nn.interop.nodes import NODES
from nn.interop.reading import GATES

onnx = pytest.importorskip("onnx")
helper, numpy_helper, FLOAT = onnx.helper, onnx.numpy_helper, onnx.TensorProto.FLOAT
GOLDEN = Path(__file__).parents[1] / "golden"
NUMBERS = np.load(GOLDEN / "torch_lm_numbers.npz")


# --- models of PyTorch ----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "lstm_new", "gru", "rnn"])
def test_language_models_of_pytorch(name):
    """Of both exporters, with two layers, on another batch and length than they were exported with."""
    model = nn.from_onnx(GOLDEN / f"torch_{name}_lm.onnx")
    x, expected = NUMBERS["x"], NUMBERS[name]
    y = model(x)
    assert y.dtype == np.float32
    assert_allclose(y.data, expected, rtol=0, atol=2e-6)
    assert_allclose(
        model(x[:1, :3]).data[:, :1], model(x[:1, :1]).data, rtol=0, atol=1
    ) if name == "gru" else None
    kinds = [type(m).__name__ for m in model.modules()]
    assert kinds.count("Embedding") == 1 and kinds.count("Linear") == 1
    assert kinds.count("Recurrent") == (4 if name == "gru" else 2)


def test_what_was_read_can_be_trained():
    model, x = nn.from_onnx(GOLDEN / "torch_lstm_lm.onnx"), NUMBERS["x"]
    parameters = list(model.parameters())
    assert len(parameters) == 1 + 8 + 2 + 1 + 1  # embedding, two LSTMs, norm, matrix, bias
    optimizer, losses = optim.Adam(parameters, lr=0.05), []
    for _ in range(8):
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(model(x[:, :-1]), x[:, 1:], axis=-1)
        loss.backward()
        assert all(p.grad is not None for p in parameters)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 0.5
    state = model.state_dict()
    fresh = nn.from_onnx(str(GOLDEN / "torch_lstm_lm.onnx"))
    fresh.load_state_dict(state)
    assert np.array_equal(fresh(x).data, model(x).data)


def test_pytorch_itself():
    torch = pytest.importorskip("torch")
    torch.manual_seed(1)
    model = torch.nn.Sequential(
        torch.nn.Linear(3, 5), torch.nn.GELU(), torch.nn.Linear(5, 2), torch.nn.Softmax(-1)
    )
    x, file = torch.randn(4, 3), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter says that there is a newer one
        torch.onnx.export(model, (x,), file, dynamo=False, dynamic_axes={"x": {0: "B"}}, input_names=["x"])
    ours = nn.from_onnx(onnx.load_model_from_string(file.getvalue()))
    assert_allclose(ours(x.numpy()).data, model(x).detach().numpy(), rtol=0, atol=1e-6)
    assert [type(m).__name__ for m in ours.children()] == ["Linear", "Linear"]


# --- models of ours -------------------------------------------------------------------------------

OURS = {
    "LSTM": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True),
    "GRU, batch_first": lambda: nn.GRU(3, 4, batch_first=True),
    "GRU before": lambda: nn.Recurrent(nn.GRUCell(3, 4, reset="before", update="take"), reverse=True),
    "RNN": lambda: nn.RNN(3, 4, nonlinearity="relu", bias=False),
    "peepholes": lambda: nn.Recurrent(nn.PeepholeLSTMCell(3, 4)),
    "norms": lambda: nn.Sequential(
        nn.Linear(3, 4), nn.LayerNorm(4), nn.GELU(), nn.Linear(4, 2), nn.Softmax()
    ),
}


@pytest.mark.parametrize("name", OURS)
def test_there_and_back(name, tmp_path):
    """What `nn.to_onnx` wrote, on lengths and batches of another size."""
    nn.manual_seed(2)
    model, rng = OURS[name]().eval(), np.random.default_rng(0)
    nn.to_onnx(model, rng.standard_normal((5, 2, 3)).astype("f"), tmp_path / "a.onnx")
    x = rng.standard_normal((4, 6, 3)).astype("f")
    ours, back = model(x), nn.from_onnx(tmp_path / "a.onnx")(x)
    y, read = (z[0] if isinstance(z, tuple) else z for z in (ours, back))
    assert_allclose(read.data, y.data, rtol=0, atol=1e-6)


# --- the cases of the ONNX project ----------------------------------------------------------------

FILES = """
    argmax clip concat constant constantofshape div dropout elu expand flatten gather gatherelements gelu gemm
    gru layernormalization leakyrelu logsoftmax lstm matmul max pow rangeop reducemean reducesum reshape rnn
    shape slice softmax softplus split squeeze sub transpose unsqueeze where
"""
REFUSED = {  # by names of cases, and what is said
    "select_last_index": "has the setting select_last_index",
    "dropout_default_mask": "its output 'z' is computed by no node",
    "training_dropout": "it drops numbers|is computed by no node",
    "dropout_(default|random)_old": "it is of opset 11",
    "layer_normalization": "its output 'Mean' is computed by no node",
}


def cases():
    """Models of one operator, with inputs and outputs; weights are arrays of the file, and not inputs."""
    package = import_module("onnx.backend.test.case.node")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in FILES.split():
            import_module(f"onnx.backend.test.case.node.{name}")
    for case in package._NodeTestCases:
        if case.model is None or len(case.model.graph.node) != 1:
            continue
        (inputs, outputs), (node,) = case.data_sets[0], case.model.graph.node
        arrays = [*inputs, *outputs]
        if node.op_type in {*NODES, *GATES, "Gemm"} and all(type(a) is np.ndarray for a in arrays):
            yield case.name, case.model, inputs, outputs


CASES = {name: rest for name, *rest in cases()}


def with_weights(model, inputs):
    """The weights of a recurrent operator as arrays of the file."""
    changed, left = onnx.ModelProto(), []
    changed.CopyFrom(model)
    (node,) = changed.graph.node
    for info, x in zip(model.graph.input, inputs, strict=True):
        if node.op_type in GATES and list(node.input).index(info.name) in (1, 2, 3, 7):
            changed.graph.initializer.append(numpy_helper.from_array(x, info.name))
        else:
            left.append(x)
    return changed, left


def test_how_many_cases_there_are():
    assert sum(any(word in name for word in ("lstm", "gru", "rnn")) for name in CASES) >= 18
    assert len(CASES) > 150


@pytest.mark.parametrize("name", CASES)
def test_case(name):
    model, inputs, outputs = CASES[name]
    model, inputs = with_weights(model, inputs)
    for pattern, message in REFUSED.items():
        if re.search(pattern, name):
            with pytest.raises(ValueError, match=message):
                nn.from_onnx(model)(*inputs)
            return
    got = nn.from_onnx(model)(*inputs)
    for y, expected in zip(got if isinstance(got, tuple) else (got,), outputs, strict=True):
        y = data_of(y)
        assert y.dtype == expected.dtype and y.shape == expected.shape
        assert_allclose(y, expected, rtol=1e-3, atol=1e-6)


# --- single operators that the cases leave out ----------------------------------------------------


def graph(nodes, inputs, outputs, arrays=(), opset=18, **more):
    """A model of some nodes."""
    infos = [
        [helper.make_tensor_value_info(name, FLOAT, None) for name in names] for names in (inputs, outputs)
    ]
    tensors = [
        a if isinstance(a, onnx.TensorProto) else numpy_helper.from_array(a, n)
        for n, a in dict(arrays).items()
    ]
    made = helper.make_graph(nodes, "g", *infos, tensors)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", opset)], **more)


def node(kind, inputs, outputs, **attributes):
    return helper.make_node(kind, inputs, outputs, name=f"the {kind}", **attributes)


def test_layer_normalization():
    x, w, b = (
        np.random.default_rng(0).standard_normal((3, 2, 5)).astype("f"),
        np.ones(5, "f") * 2,
        np.ones(5, "f"),
    )
    model = graph(
        [node("LayerNormalization", ["x", "w", "b"], ["y"], epsilon=0.5)], ["x"], ["y"], {"w": w, "b": b}
    )
    expected = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 0.5) * 2 + 1
    assert_allclose(nn.from_onnx(model)(x).data, expected, atol=1e-6)


def test_a_table_that_is_read_twice_is_one_module():
    table = np.arange(12.0, dtype="f").reshape(4, 3)
    nodes = [
        node("Gather", ["w", "i"], ["a"]),
        helper.make_node("Gather", ["w", "j"], ["b"], name="the second Gather"),
        node("Add", ["a", "b"], ["y"]),
    ]
    model = nn.from_onnx(graph(nodes, ["i", "j"], ["y"], {"w": table}))
    y = model(np.array([1]), np.array([2]))
    assert_allclose(y.data, table[1:2] + table[2:3])
    assert len(list(model.parameters())) == 1
    assert model.inputs == ["i", "j"] and model.outputs == ["y"]
    with pytest.raises(ValueError, match="OnnxModel expected inputs i, j, got 1"):
        model(np.array([1]))


def test_a_copy_has_weights_of_its_own():
    model, x = nn.from_onnx(GOLDEN / "torch_lstm_lm.onnx"), NUMBERS["x"]
    copied = copy.deepcopy(model)
    before = model(x).data
    for p in copied.parameters():
        p.data[...] = 0.0
    assert np.array_equal(model(x).data, before)
    assert_allclose(copied(x).data, -np.log(11), rtol=1e-6)


def test_nodes_of_one_name():
    """Names of nodes need not differ, nor be there."""
    w = np.eye(3, dtype="f")
    model = nn.from_onnx(graph([node("MatMul", ["x", "a"], ["z"]), node("MatMul", ["z", "b"], ["y"])],
                               ["x"], ["y"], {"a": 2 * w, "b": 3 * w}))  # fmt: skip
    assert model(np.ones((1, 3), "f")).data.tolist() == [[6.0, 6.0, 6.0]]
    assert list(model.layers) == ["the MatMul", "y"] and len(list(model.parameters())) == 2


def test_half_precision_and_fields_of_their_own():
    """The other ways in which a file may hold numbers."""
    for kind, dtype in ((FLOAT, "f4"), (onnx.TensorProto.FLOAT16, "f2"), (onnx.TensorProto.DOUBLE, "f8")):
        tensor = helper.make_tensor("w", kind, (3,), [1.0, -2.5, 3.0])  # not raw
        model = nn.from_onnx(graph([node("Add", ["x", "w"], ["y"])], ["x"], ["y"], {"w": tensor}))
        y = model(np.ones(3, dtype))
        assert y.dtype == np.dtype(dtype) and y.data.tolist() == [2.0, -1.5, 4.0]
    tensor = helper.make_tensor("w", onnx.TensorProto.BFLOAT16, (2,), [1.5, -2.0])
    model = nn.from_onnx(graph([node("Add", ["x", "w"], ["y"])], ["x"], ["y"], {"w": tensor}))
    assert model(np.zeros(2, "f")).data.tolist() == [1.5, -2.0]


# --- files that are not to be trusted -------------------------------------------------------------

W, R = np.zeros((1, 8, 3), "f"), np.zeros((1, 8, 2), "f")


def recurrent(kind="LSTM", inputs=("x", "W", "R"), arrays=None, **attributes):
    nodes = [node(kind, list(inputs), ["y"], **({"hidden_size": 2} | attributes))]
    return graph(nodes, ["x"], ["y"], {"W": W, "R": R} if arrays is None else arrays)


def promise(dims, data=bytes(8), kind=FLOAT):
    tensor = onnx.TensorProto(name="w", data_type=kind, raw_data=data)
    tensor.dims.extend(dims)
    return graph([node("Add", ["x", "w"], ["y"])], ["x"], ["y"], {"w": tensor})


def elsewhere(path):
    model = promise([2])
    tensor = model.graph.initializer[0]
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=path)
    return model


def with_function():
    model = graph([node("Relu", ["x"], ["y"])], ["x"], ["y"])
    model.functions.append(
        helper.make_function("mine", "F", ["x"], ["y"], [node("Relu", ["x"], ["y"])], model.opset_import)
    )
    return model


X = (["x"], ["y"])
HOSTILE = {
    "a promise": (promise([2**37]), r"array 'w' of shape \(137438953472,\) has 8 bytes, not 549,755,813,888"),
    "a negative shape": (promise([-1, -2]), r"has the shape \(-1, -2\)"),
    "an unknown type": (promise([2], kind=onnx.TensorProto.STRING), "array 'w' is of type 8"),
    "another file": (elsewhere("../../etc/passwd"), "array 'w' lies in another file"),
    "a function": (with_function(), "functions of its own"),
    "an unknown operator": (graph([node("If", ["x"], ["y"])], *X), r"node 'the If' \(If\) is an operator"),
    "another domain": (
        graph([helper.make_node("Evil", ["x"], ["y"], domain="evil.org")], *X), "node 'y'.*is of evil.org"),
    "an old opset": (graph([node("Relu", ["x"], ["y"])], *X, opset=11), "it is of opset 11: export it with"),
    "nothing before": (graph([node("Relu", ["z"], ["y"])], *X), "the Relu.*uses 'z', which nothing before"),
    "a circle": (graph([node("Add", ["x", "y"], ["y"])], *X), "the Add.*uses 'y', which nothing before"),
    "a name twice": (graph([node("Relu", ["x"], ["x"])], *X), "the Relu.*gives 'x', which is there already"),
    "no output": (graph([node("Relu", ["x"], ["z"])], *X), "its output 'y' is computed by no node"),
    "a setting": (graph([node("Softmax", ["x"], ["y"], evil=1)], *X), "the Softmax.*has the setting evil"),
    "a large state": (
        recurrent(hidden_size=10**9), r"the LSTM.*has hidden_size=1000000000 and weights for 2"),
    "an empty state": (
        recurrent(arrays={"W": W[:, :0], "R": np.zeros((1, 0, 0), "f")}, hidden_size=0), "hidden_size=0"),
    "a wide input": (
        recurrent(arrays={"W": np.zeros((1, 0, 10**9), "f"), "R": R}), r"of shape \(1, 8, 1000000000\)"),
    "other rows": (recurrent("GRU"), r"the GRU.*expected weights of shape \(1, 6, 3\), got \(1, 8, 3\)"),
    "clip": (recurrent(clip=1.0), "the LSTM.*has the setting clip=1.0"),
    "coupled gates": (recurrent(input_forget=1), "the LSTM.*has the setting input_forget=1"),
    "an activation": (recurrent(activations=["Affine", "Tanh", "Tanh"]), "the LSTM.*activations out of"),
    "one activation": (recurrent(activations=["Tanh"]), "the LSTM.*expected activations out of"),
    "a direction": (recurrent(direction="up"), "the LSTM.*has direction='up'"),
    "computed weights": (recurrent(inputs=("x", "x", "R")), "the LSTM.*has weights that the graph computes"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile(name, tmp_path):
    model, message = HOSTILE[name]
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=rf"a.onnx is damaged or no model.*: .*{message}"):
            nn.from_onnx(tmp_path / "a.onnx")
        assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", ["ConstantOfShape", "Expand", "Range"])
def test_a_node_that_makes_too_much(kind):
    shape = np.array([2**20, 2**20], np.int64)
    nodes = {
        "ConstantOfShape": node(kind, ["s"], ["y"]),
        "Expand": node(kind, ["x", "s"], ["y"]),
        "Range": node(kind, ["zero", "limit", "one"], ["y"]),
    }
    numbers = {name: np.array(value) for name, value in (("zero", 0), ("limit", 2**40), ("one", 1))}
    model = nn.from_onnx(graph([nodes[kind]], ["x"], ["y"], {"s": shape, **numbers}))
    with pytest.raises(ValueError, match="more than 67,108,864 numbers") as caught:
        model(np.ones((), "f"))
    assert caught.value.__notes__ == [f"in node 'the {kind}' ({kind}) of an ONNX model"]


def test_what_is_left_of_a_file(tmp_path):
    data = (GOLDEN / "torch_lstm_lm.onnx").read_bytes()
    for length in (1, 100, len(data) // 2, len(data) - 1):
        (tmp_path / "a.onnx").write_bytes(data[:length])
        with pytest.raises(ValueError, match="is damaged or no model"):
            nn.from_onnx(tmp_path / "a.onnx")
    with pytest.raises(FileNotFoundError):
        nn.from_onnx(tmp_path / "b.onnx")


def test_without_onnx(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'bptt\[interop\]'"):
        nn.from_onnx(GOLDEN / "torch_lstm_lm.onnx")
