"""What `nn.to_onnx` writes, run by onnxruntime and by ONNX's reference implementation."""

import importlib
import sys
import warnings

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, linear
from nn.interop.export import IR_VERSION, OPSET
from nn.interop.primitives import translations
from nn.recurrent import exporting
from tests.cases.onnx_models import CASES as MODELS
from tests.cases.onnx_models import (
    LARGE,
    Classifier,
    LanguageModel,
    Leaky,
    difference,
    drawn,
    leaves,
    operators,
    run,
    written,
)
from tests.cases.op_cases import CASES as OPERATIONS
from tests.nn.test_wrappers import CELLS, WRAPPERS, N

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

T, B, I, H = 4, 2, 3, 4  # noqa: E741


def shape(value):
    return [d.dim_param or d.dim_value for d in value.type.tensor_type.shape.dim]


def x_of(rng, *sizes, dtype="f"):
    return rng.normal(size=sizes).astype(dtype)


# --- models ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MODELS, ids=lambda case: case.name)
def test_models_on_other_lengths_and_batches(case, tmp_path, rng):
    path = tmp_path / "model.onnx"
    model = written(case, path, rng)
    proto = onnx.load(path)
    onnx.checker.check_model(proto, full_check=True)
    outside, inside = operators(proto.graph)
    assert set(case.way.split()) <= {*outside, *inside}
    for sizes in (LARGE, {"T": 1, "B": 1, "S": 1}, {"T": 2, "B": 7, "S": 12}):
        values = drawn(case.inputs, rng, sizes)
        want = leaves(model(*values))
        assert difference(run(path, values), want) < 3e-6
        if case.reference:
            assert difference(run(path, values, "onnx.reference"), want) < 3e-6
        for output, y in zip(proto.graph.output, want, strict=True):
            known = [n for n in zip(shape(output), y.shape, strict=True) if n[0]]
            assert all(n == sizes.get(axis, axis) for axis, n in known)


@pytest.mark.parametrize("name", [*CELLS, *WRAPPERS])
def test_every_cell_in_double_precision(name, tmp_path, rng):
    """As a loop of any length, by the reference implementation, to the last digits."""
    if name in WRAPPERS:
        cell = WRAPPERS[name](nn.LSTMCell(N, N, dtype=np.float64))
    elif name == "attention":
        pytest.skip("its memory is an input of another length: the encoder-decoder is in the table of models")
    else:
        cell = CELLS[name]()
    for p in cell.parameters():
        p.data = rng.normal(0.0, 0.5, p.shape)
    images = {"conv rnn": (5,), "conv gru": (4, 3), "conv lstm": (5,)}.get(name, ())
    model, path = nn.Recurrent(cell), tmp_path / "cell.onnx"
    nn.to_onnx(model, rng.normal(size=(3, 2, N, *images)), path)
    x = rng.normal(size=(6, 3, N, *images))
    assert difference(run(path, (x,), "onnx.reference"), leaves(model.eval()(x))) < 1e-13


# --- primitives -----------------------------------------------------------------------------------

REFUSED = """
    ScatterAdd LinearScan ComplexLinearScan JoinedScan ConvWeight Convolve Arctan2 LogAddExp2 Fmod Copysign
    Inv Solve Det LogDet Cholesky Eigh SVD
"""  # operations without a translation
DEPENDS = (
    "max_pool",
    "sort",
    "median",
    "percentile",
    "quantile",
    "nan_to_num",
)  # on data that no graph records
INDICES = (
    "index: pair",
    "index: mask",
    "index: row mask",
    "index: list of bools",
    "index: true",
    "diagonal",
    "trace",
)
BROADCAST_LABELS = "einsum ...,..."  # a label of length 1 against a longer one: NumPy's own
LOOSE = {"erf": 1e-7, "erfc": 1e-7, "gelu": 1e-7}  # the reference computes erf in float32


class Call(nn.Module):
    """A module for a function."""

    def __init__(self, f):
        self.f = f

    def forward(self, *xs):
        return self.f(*xs)


@pytest.mark.parametrize("case", OPERATIONS, ids=lambda case: case.name)
def test_every_operation(case, tmp_path):
    """Translated it gives NumPy's numbers; else it is refused, never written otherwise."""
    rng = np.random.default_rng(0)
    xs = tuple([np.array(d(rng, s), np.float64) for d, s in zip(case.domains, case.shapes, strict=True)])
    path, model = tmp_path / "operation.onnx", Call(case.f)
    if any(word in case.name for word in (*DEPENDS, *INDICES)):
        with pytest.raises((ValueError, NotImplementedError), match="to_onnx: "):
            nn.to_onnx(model, xs, path, free=())
        return
    if case.name.startswith(BROADCAST_LABELS) or "conv_transpose" in case.name and "groups" in case.name:
        pytest.skip("onnx.reference has neither")
    try:
        nn.to_onnx(model, xs, path, free=())
    except NotImplementedError as error:
        assert any(f"to_onnx: {name}" in str(error) for name in (*REFUSED.split(), "an index of")), error
        return
    want = leaves(case.ref(*xs))
    got = run(path, xs, "onnx.reference")
    assert difference([np.asarray(y) for y in got], want) < LOOSE.get(case.name, 1e-11)


def test_operations_in_single_precision_by_onnxruntime(tmp_path):
    """Those whose reference differs from the runtimes, and what is composed of several operators."""
    names = [
        "erf",
        "erfc",
        "gelu",
        "expm1",
        "log1p",
        "logaddexp",
        "silu",
        "softplus",
        "sinh",
        "cbrt",
        "einsum ij,jk->ik",
    ]
    found = {case.name: case for case in OPERATIONS}
    groups = [name for name in found if "conv_transpose" in name and "groups" in name]
    assert groups
    for name in [n for n in names if n in found] + groups:
        case, rng, path = found[name], np.random.default_rng(0), tmp_path / "operation.onnx"
        xs = tuple([np.array(d(rng, s), "f") for d, s in zip(case.domains, case.shapes, strict=True)])
        nn.to_onnx(Call(case.f), xs, path, free=())
        assert difference(run(path, xs), leaves(case.ref(*xs))) < 2e-6, name


def test_small_numbers_keep_their_digits(tmp_path):
    x, path = np.array([1e-8, -1e-5, 1e-3, 0.0]), tmp_path / "small.onnx"
    nn.to_onnx(Call(lambda x: (np.expm1(x), np.log1p(x))), x, path)
    a, b = run(path, (x,), "onnx.reference")
    np.testing.assert_allclose(a, np.expm1(x), rtol=1e-12)
    np.testing.assert_allclose(b, np.log1p(x), rtol=1e-12)


# --- the cases of ONNX itself ---------------------------------------------------------------------


def node_cases():
    """ONNX's own cases of its three operators, with inputs and outputs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case import node as cases

        for name in ("rnn", "gru", "lstm"):
            importlib.import_module(f"{cases.__name__}.{name}")
    return [c for c in cases._NodeTestCases if c.model.graph.node[0].op_type in ("RNN", "GRU", "LSTM")]


ORDERS = {"LSTM": "iofg", "GRU": "zrn", "RNN": "h"}  # of ONNX, in our letters


def layer_of(node, arrays):
    """Our layer with the weights of one of ONNX's nodes, written out here again."""
    from onnx import helper

    settings = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    direction = settings.get("direction", b"forward").decode()
    op, hidden = node.op_type, settings["hidden_size"]
    W, R = arrays["W"], arrays["R"]
    cells = []
    for d in range(len(W)):
        options = (
            {"reset": "after" if settings.get("linear_before_reset") else "before"} if op == "GRU" else {}
        )
        kind = nn.PeepholeLSTMCell if "P" in arrays else getattr(nn, f"{op}Cell")
        cell = kind(W.shape[2], hidden, bias="B" in arrays, **options)

        def ours(a, op=op, cell=cell):
            rows = dict(zip(ORDERS[op], np.split(a, len(ORDERS[op])), strict=True))
            return np.concatenate([rows[gate] for gate in cell.gates])

        state = {"weight_ih": ours(W[d]), "weight_hh": ours(R[d])}
        if "B" in arrays:
            state["bias_ih"], state["bias_hh"] = map(ours, np.split(arrays["B"][d], 2))
        if "P" in arrays:
            for gate, p in zip("iof", np.split(arrays["P"][d], 3), strict=True):
                state[f"weight_c{gate}"] = p
        cell.load_state_dict(state)
        cells.append(cell)
    first = bool(settings.get("layout"))
    if direction == "bidirectional":
        assert not first
        return nn.Bidirectional(*cells), first
    return nn.Recurrent(cells[0], reverse=direction == "reverse", batch_first=first), first


@pytest.mark.parametrize("case", node_cases(), ids=lambda case: case.name)
def test_the_cases_of_onnx_run_on_our_layers_and_our_files(case, tmp_path):
    node = case.model.graph.node[0]
    ((inputs, outputs),) = case.data_sets
    arrays = dict(zip([name for name in node.input if name], inputs, strict=True))
    want = dict(zip([name for name in node.output if name], outputs, strict=True))
    layer, batch_first = layer_of(node, arrays)
    X = arrays["X"]
    state = tuple([arrays[f"initial_{part}"][0] for part in "hc" if f"initial_{part}" in arrays]) or None
    lengths = arrays.get("sequence_lens")
    values = (X, state, None if lengths is None else lengths.astype(np.int64))
    path = tmp_path / "case.onnx"
    nn.to_onnx(layer, values, path)
    proto = onnx.load(path)
    assert operators(proto.graph)[0].count(node.op_type) == len(arrays["W"])
    ours = leaves(layer(*values))
    for y, *states in (ours, run(path, values)):
        directions, parts = len(arrays["W"]), 2 if node.op_type == "LSTM" else 1
        h_n = np.stack(states[::parts])  # (D, B, H)
        if "Y" in want:
            Y = y.reshape(*y.shape[:2], directions, -1)  # (T, B, D, H), with layout=1 (B, T, D, H)
            np.testing.assert_allclose(Y if batch_first else Y.swapaxes(1, 2), want["Y"], atol=1e-6)
        np.testing.assert_allclose(h_n.swapaxes(0, 1) if batch_first else h_n, want["Y_h"], atol=1e-6)
        if "Y_c" in want:
            np.testing.assert_allclose(np.stack(states[1::2]), want["Y_c"], atol=1e-6)


def test_there_are_all_eighteen_of_them():
    names = {case.name for case in node_cases()}
    kinds = ["defaults", "with_initial_bias", "batchwise", "reverse", "bidirectional"]
    wanted = {f"test_{op}_{kind}" for op in ("lstm", "gru", "simple_rnn") for kind in kinds}
    assert names >= wanted | {"test_lstm_with_peepholes", "test_gru_seq_length", "test_rnn_seq_length"}
    assert len(names) == 18


def test_both_directions_of_a_layer_are_one_node(tmp_path, rng):
    for kind in (nn.RNN, nn.GRU, nn.LSTM):
        nn.to_onnx(kind(I, H, 3, bidirectional=True), x_of(rng, T, B, I), tmp_path / "m.onnx")
        nodes = [n for n in onnx.load(tmp_path / "m.onnx").graph.node if n.op_type == kind.__name__]
        assert len(nodes) == 3
        assert all(a.s == b"bidirectional" for n in nodes for a in n.attribute if a.name == "direction")


# --- axes, names, files ---------------------------------------------------------------------------


def test_what_is_in_a_file(tmp_path, rng):
    model, path = nn.Recurrent(nn.LayerNormLSTMCell(I, H)), tmp_path / "m.onnx"
    nn.to_onnx(model, x_of(rng, T, B, I), path)
    proto = onnx.load(path)
    assert (proto.ir_version, proto.opset_import[0].version, OPSET, IR_VERSION) == (10, 21, 21, 10)
    assert len(proto.opset_import) == 1 and (proto.producer_name, proto.producer_version) == (
        "bptt",
        ag.__version__,
    )
    stored = {a.name: onnx.numpy_helper.to_array(a) for a in proto.graph.initializer}
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(stored[name], value)
    assert [v.name for v in proto.graph.input] == ["x"] and shape(proto.graph.input[0]) == ["T", "B", I]
    assert [v.name for v in proto.graph.output] == ["output", "h_n", "c_n"]
    assert shape(proto.graph.output[0]) == ["T", "B", H]
    names = [n.name for n in proto.graph.node]
    assert len(set(names)) == len(names)
    before = path.read_bytes()
    nn.to_onnx(model, x_of(rng, T, B, I), path)
    assert path.read_bytes() == before  # the numbers of the inputs do not matter


def test_states_are_inputs_if_they_are_handed_over(tmp_path, rng):
    model, path = nn.LSTM(I, H), tmp_path / "m.onnx"
    x, h, c = x_of(rng, T, B, I), x_of(rng, 1, B, H), x_of(rng, 1, B, H)
    nn.to_onnx(model, {"input": x, "hx": (h, c), "lengths": np.array([T, 1])}, path)
    graph = onnx.load(path).graph
    assert [(v.name, shape(v)) for v in graph.input] == [
        ("input", ["T", "B", I]), ("h_0", [1, "B", H]), ("c_0", [1, "B", H]), ("lengths", ["B"]),
    ]  # fmt: skip
    assert graph.input[3].type.tensor_type.elem_type == onnx.TensorProto.INT64
    for n in ([3, 0], [0, 0], [T, T]):  # a row of no steps keeps its state
        values = (x, (h, c), np.array(n))
        assert difference(run(path, values), leaves(model(*values))) < 1e-6
    nn.to_onnx(model, x, path)
    assert [v.name for v in onnx.load(path).graph.input] == ["input"]


def test_axes_that_are_not_free_are_fixed(tmp_path, rng):
    model, path, x = nn.GRU(I, H), tmp_path / "m.onnx", x_of(rng, T, B, I)
    for free, want in (
        ((), [T, B, I]),
        ((None, "rows"), [T, "rows", I]),
        ({"input": ("steps",)}, ["steps", B, I]),
        (("steps", "rows"), ["steps", "rows", I]),
    ):
        nn.to_onnx(model, x, path, free=free)
        assert shape(onnx.load(path).graph.input[0]) == want
        assert difference(run(path, (x,)), leaves(model(x))) < 1e-6


def test_outputs_get_names(tmp_path, rng):
    path, x = tmp_path / "m.onnx", x_of(rng, T, B, I)
    nn.to_onnx(nn.GRU(I, H), x, path, names=["y", "last"])
    assert [v.name for v in onnx.load(path).graph.output] == ["y", "last"]
    for names in (["y"], ["y", "y"], ["input", "y"]):
        with pytest.raises(ValueError, match="expected 2 names, one for each output"):
            nn.to_onnx(nn.GRU(I, H), x, path, names=names)


def test_a_parameter_that_is_called_as_an_input(tmp_path, rng):
    class Scale(nn.Module):
        def __init__(self):
            self.x, self.output = nn.Parameter(np.array([2.0])), nn.Parameter(np.array([1.0]))

        def forward(self, x):
            return self.x * x + self.output

    x, path = rng.normal(size=(2, 3)), tmp_path / "m.onnx"
    nn.to_onnx(Scale(), x, path)
    np.testing.assert_array_equal(run(path, (x,))[0], 2.0 * x + 1.0)


def test_an_old_file_stays_until_the_new_one_is_there(tmp_path, rng, monkeypatch):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(NotImplementedError):
        nn.to_onnx(Call(Halved), x_of(rng, 2, 3), path)

    def broken(*args):
        raise OSError("no room")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(OSError, match="no room"):
        nn.to_onnx(nn.Linear(3, 2), x_of(rng, 2, 3), path)
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_the_model_is_as_it_was(tmp_path, rng):
    model = LanguageModel()
    model.rnn.eval()
    state = model.state_dict()
    tokens = rng.integers(0, 20, (B, T))
    nn.to_onnx(model, tokens, tmp_path / "m.onnx")
    assert "Dropout" not in operators(onnx.load(tmp_path / "m.onnx").graph)[0]
    assert model.training and model.dropout.training and not model.rnn.training
    with pytest.raises(ValueError, match="names"):
        nn.to_onnx(model, tokens, tmp_path / "m.onnx", names=["a", "b"])
    assert model.training and exporting.recorder is None
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, state[name])
    assert all(p.grad is None and p.is_leaf for p in model.parameters())


# --- operations of users --------------------------------------------------------------------------


class Halving(ag.Function):
    def forward(self, x):
        return x / 2.0

    def backward(self, gy):
        return gy / 2.0


def Halved(x):  # noqa: N802
    return Halving()(x)


def test_an_operation_without_translation_is_named_and_can_be_registered(tmp_path, rng):
    class Model(nn.Module):
        def __init__(self):
            self.first, self.last = nn.Linear(I, H), Call(Halved)

        def forward(self, x):
            return self.last(self.first(x))

    model, path, x = Model(), tmp_path / "m.onnx", x_of(rng, B, I)
    with pytest.raises(
        NotImplementedError, match=r"Halving\(shapes \(2, 4\)\) at last.*onnx_translation\(Halving\)"
    ):
        nn.to_onnx(model, x, path)
    try:

        @nn.onnx_translation(Halving)
        def _(graph, node, x):
            return graph.add("Mul", x, graph.constant(np.array(0.5, node.out_dtype)))

        nn.to_onnx(model, x, path)
    finally:
        translations.pop(Halving)
    assert difference(run(path, (x,)), leaves(model(x))) < 1e-6


def test_only_operations_have_translations():
    for other in (nn.Linear, Halving(), "Halving"):
        with pytest.raises(TypeError, match="onnx_translation expected a subclass of autograd.Function"):
            nn.onnx_translation(other)


def test_a_class_of_a_user_that_is_called_as_one_of_ours(tmp_path, rng):
    class Add(Halving):
        pass

    with pytest.raises(NotImplementedError, match="Add"):
        nn.to_onnx(Call(lambda x: Add()(x)), x_of(rng, 2, 3), tmp_path / "m.onnx")


def test_what_depends_on_no_input_is_stored_as_it_is(tmp_path, rng):
    weight = nn.Parameter(rng.normal(size=(2, 3)))
    x, path = rng.normal(size=(4, 3)), tmp_path / "m.onnx"
    nn.to_onnx(Call(lambda x: linear(x, Halved(weight))), x, path)
    np.testing.assert_allclose(run(path, (x,))[0], x @ weight.data.T / 2)


# --- what cannot be written -----------------------------------------------------------------------


def test_a_loop_of_a_users_own_over_a_free_axis(tmp_path, rng):
    cell, path, x = nn.LSTMCell(I, H), tmp_path / "m.onnx", x_of(rng, T, B, I)

    def loop(x):
        state = None
        for row in x:
            state = cell(row, state)
        return state[0]

    with pytest.raises(ValueError, match=r"another length .*give it to nn.Recurrent"):
        nn.to_onnx(Call(loop), x, path, free=("T", "B"))
    nn.to_onnx(Call(loop), x, path, free=(None, "B"))
    more = x_of(rng, T, 5, I)
    assert difference(run(path, (more,)), leaves(loop(more))) < 1e-6


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x * np.sort(x.data),
        lambda x: x * np.sign(x.data),  # ones, for all numbers that were tried
        lambda x: x + np.zeros_like(x.data).sum() + x.data.mean(),
        lambda x: _without_graph(x),
        lambda x: x[np.argmax(x.data, 0)],
        lambda x: autograd_max_pool(x),
    ],
)
def test_an_array_that_depends_on_the_inputs_outside_of_the_graph(f, tmp_path, rng):
    with pytest.raises(
        ValueError, match=r"to_onnx: .* uses an? (array|number) .*the inputs, or (with|on) the length"
    ):
        nn.to_onnx(Call(f), 1.0 + rng.random((1, 4, 3)), tmp_path / "m.onnx")


def autograd_max_pool(x):
    return ag.max_pool1d(x, 2)


def test_zeros_like_an_input_are_zeros(tmp_path, rng):
    path, x = tmp_path / "m.onnx", rng.normal(size=(2, 3))
    nn.to_onnx(Call(lambda x: np.concatenate([x, np.zeros_like(x.data)])), x, path)
    x = rng.normal(size=(5, 3))
    np.testing.assert_array_equal(run(path, (x,))[0], np.concatenate([x, 0.0 * x]))


def test_max_pooling_of_one_image(tmp_path, rng):
    pool, path, x = nn.MaxPool2d(2, padding=1), tmp_path / "m.onnx", x_of(rng, 3, 5, 6)
    nn.to_onnx(pool, x, path, free=())
    assert operators(onnx.load(path).graph)[0] == ["Unsqueeze", "MaxPool", "Squeeze"]
    np.testing.assert_array_equal(run(path, (x,))[0], pool(x))
    assert "forward" not in vars(pool)


def _without_graph(x):
    with ag.no_grad():
        y = np.tanh(x)
    return x * y


def test_a_length_that_is_used_as_a_number(tmp_path, rng):
    """A mean over time divides by T; positions count up to it."""
    path = tmp_path / "m.onnx"

    def f(x):
        steps = np.arange(x.shape[0])[:, None, None].astype(x.dtype)
        return x.mean(0), (x * steps).sum(0), np.reshape(x, (-1, x.shape[-1])) + 1.0 / 3.0

    with pytest.raises(ValueError, match="changes with the inputs, or with the length of a free axis"):
        nn.to_onnx(Call(f), x_of(rng, T, B, I), path, free=("T", "B"))

    def g(x):
        T, B, _ = x.shape
        more = np.ones((2 * T + 1, B, I), "f") * x[:1], np.broadcast_to(x[0], (T + 3, B, I))
        return x.mean(0), np.reshape(x, (-1, I)), np.reshape(x, (T * B, -1)), *more, x.sum() / (3 * T * B)

    nn.to_onnx(Call(g), x_of(rng, T, B, I), path, free=("T", "B"))
    for sizes in ((9, 5), (1, 1), (2, 12)):
        x = x_of(rng, *sizes, I)
        assert difference(run(path, (x,)), leaves(g(x))) < 1e-6


def test_comparisons_and_integers_are_written_too(tmp_path, rng):
    path = tmp_path / "m.onnx"
    table = nn.Parameter(rng.normal(size=(20, 3)))

    def f(tokens, x):
        looked = nn.functional.embedding(np.swapaxes(tokens, 0, 1)[1:], table)
        odd = (tokens.T % 2 == 1)[1:, :, None]
        return np.where(np.logical_and(odd, x > 0.0), looked, -looked) * (tokens.T[1:, :, None] + 1)

    for top in (20, 1):  # also if the tokens that are handed over are all alike
        free = {"xs_0": ("B", "T"), "xs_1": (None, "B")}
        nn.to_onnx(Call(f), (rng.integers(0, top, (B, T)), rng.normal(size=(T - 1, B, 3))), path, free={})
        tokens, x = rng.integers(0, 20, (B, T)), rng.normal(size=(T - 1, B, 3))
        np.testing.assert_allclose(
            run(path, (tokens, x), "onnx.reference")[0], np.asarray(f(tokens, Variable(x)).data)
        )
    assert free  # names of *xs


@pytest.mark.parametrize(
    "change",
    [
        lambda t: np.concatenate([t, t]),
        lambda t: np.asarray(t)[::-1],
        lambda t: np.array(t.tolist()),
    ],
)
@pytest.mark.parametrize("top", [20, 1])
def test_tokens_that_numpy_changed_are_refused(change, top, tmp_path, rng):
    """Also if all those that are handed over are alike."""
    table = nn.Parameter(rng.normal(size=(20, 3)))
    with pytest.raises(ValueError, match="to_onnx: .* that changes with the inputs"):
        f = Call(lambda t: nn.functional.embedding(change(t), table))
        nn.to_onnx(f, rng.integers(0, top, (B, T)), tmp_path / "m.onnx")


def test_what_a_cell_keeps_of_a_step(tmp_path, rng):
    """A value that was computed in the body of a loop cannot be read outside: it is computed again."""

    class Keeps(Leaky):
        def step(self, x, state, W):
            self.kept = np.exp(self.inputs.bias)
            return super().step(x, state, W)

    class Model(nn.Module):
        def __init__(self):
            self.layer = nn.Recurrent(Keeps())

        def forward(self, x):
            return self.layer(x)[0] * self.layer.cell.kept

    model, path, x = Model(), tmp_path / "m.onnx", x_of(rng, T, B, I)
    nn.to_onnx(model, x, path)
    assert difference(run(path, (x,)), leaves(model(x))) < 1e-6


def test_inputs_that_do_not_fit(tmp_path, rng):
    path, x = tmp_path / "m.onnx", x_of(rng, T, B, I)
    with pytest.raises(TypeError, match="expected a Module, got function"):
        nn.to_onnx(lambda x: x, x, path)
    with pytest.raises(TypeError, match="at least one array"):
        nn.to_onnx(Call(lambda x: x), (None,), path)
    with pytest.raises(TypeError, match="expected numbers in input, got <U1"):
        nn.to_onnx(nn.LSTM(I, H), np.array(["a"]), path)
    with pytest.raises(ValueError, match="free has axes of"):
        nn.to_onnx(nn.LSTM(I, H), x, path, free={"inputs": ("T", "B")})
    with pytest.raises(ValueError, match="the axis B has length 3 in lengths, and 2 in another input"):
        nn.to_onnx(nn.LSTM(I, H), {"input": x, "lengths": np.array([1, 2, 3])}, path)
    with pytest.raises(NotImplementedError, match="LSTM with starts="):
        nn.to_onnx(nn.LSTM(I, H), {"input": x, "starts": np.zeros((T, B), bool)}, path)
    assert not path.exists()


def test_without_the_package_the_extra_is_named(monkeypatch, rng):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"to_onnx needs the package onnx: pip install 'bptt\[interop\]'"):
        nn.to_onnx(nn.Linear(3, 2), x_of(rng, 2, 3), "m.onnx")


def test_a_gradient_is_what_it_was(rng, tmp_path):
    """An export leaves nothing behind that would change a pass."""
    model, x = Classifier(), x_of(rng, T, B, I)

    def gradient():
        return [g.data for g in ag.grad((model(x) ** 2).sum(), list(model.parameters()))]

    before = gradient()
    nn.to_onnx(model, x, tmp_path / "m.onnx")
    for a, b in zip(before, gradient(), strict=True):
        np.testing.assert_array_equal(a, b)
