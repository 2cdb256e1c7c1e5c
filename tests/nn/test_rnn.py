"""RNN, GRU and LSTM against stored results of PyTorch: outputs, states and all gradients. Then lengths, empty
sequences, states. `test_rnn_torch` has the grid of arguments, against PyTorch itself."""

import copy
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nn
from autograd import Variable
from tests.golden import make_torch_golden as golden
from tests.golden.make_torch_golden import CASES, LENGTHS, B, H, I, T

TOLERANCE = {np.float32: 1e-5, np.float64: 1e-10}


def run_ours(name, given, *, lengths=None, batch_first=False, bias=True, num_layers=1, bidirectional=False):
    """The same dict as `run_torch`, from our layer."""
    parameters, x, state, gradients = given
    kind, extra = CASES[name]
    module = getattr(nn, kind)(
        I,
        H,
        num_layers,
        bias=bias,
        batch_first=batch_first,
        bidirectional=bidirectional,
        dtype=x.dtype,
        **extra,
    )
    module.load_state_dict(parameters)
    x, state = Variable(x), tuple(Variable(s) for s in state)
    y, last = module(x, state if len(state) > 1 else state[0], lengths=lengths)
    last = last if isinstance(last, tuple) else (last,)
    backward((y, *last), gradients)
    result = {"y": y, **{f"state{i}": s for i, s in enumerate(last)}, "grad x": x.grad}
    result |= {f"grad state{i}": s.grad for i, s in enumerate(state)}
    result |= {f"grad {k}": p.grad for k, p in module.named_parameters()}
    return {k: v.data for k, v in result.items()}


def backward(ys, gradients):
    total = sum((y * g).sum() for y, g in zip(ys, gradients, strict=True))
    total.backward()


def difference(got, want):
    """The largest absolute difference over all entries, which must be the same ones."""
    assert got.keys() == want.keys()
    assert all(got[k].shape == want[k].shape and got[k].dtype == want[k].dtype for k in got)
    return max(float(np.abs(got[k] - want[k]).max()) for k in got)


@pytest.mark.parametrize("name", CASES)
def test_equals_what_torch_gave_when_it_was_asked(name):
    stored = dict(np.load(Path(golden.__file__).parent / f"torch_{name}.npz"))
    parts = {
        prefix: {k.removeprefix(prefix): v for k, v in stored.items() if k.startswith(prefix)}
        for prefix in ("parameter ", "result ", "hx", "gy")
    }
    values = parts["parameter "], stored["x"], tuple(parts["hx"].values()), tuple(parts["gy"].values())
    got = run_ours(name, values, lengths=LENGTHS, num_layers=2, bidirectional=True)
    assert difference(got, parts["result "]) < 1e-12


# --- keywords of the cell -------------------------------------------------------------------------

OPTIONS = {
    "gru": (nn.GRU, nn.GRUCell, {"reset": "before", "update": "take", "activation": "relu"}),
    "simplified gru": (nn.GRU, nn.GRUCell, {"reset": None, "recurrent_activation": "softplus"}),
    "lstm": (nn.LSTM, nn.LSTMCell, {"activation": "relu", "output_activation": "identity"}),
    "lstm gates": (nn.LSTM, nn.LSTMCell, {"recurrent_activation": "softplus", "proj_size": 2}),
    "rnn": (nn.RNN, nn.RNNCell, {"nonlinearity": "relu", "zero_bias": True}),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_keywords_reach_every_cell_and_change_what_it_computes(name, rng):
    layer_type, cell_type, options = OPTIONS[name]
    layer = layer_type(I, H, 2, bidirectional=True, dtype=np.float64, **options)
    x = rng.normal(size=(T, B, I))
    y, _ = layer(x)
    z, size = x, I
    for k in range(2):
        pair = [cell_type(size, H, dtype=np.float64, **options) for _ in range(2)]
        for cell, end in zip(pair, (f"l{k}", f"l{k}_reverse"), strict=True):
            names = cell.state_dict()
            cell.load_state_dict({n: layer.state_dict()[f"{n}_{end}"] for n in names})
        z, _ = nn.Bidirectional(*pair)(z)
        size = z.shape[-1]
    np.testing.assert_array_equal(y.data, z.data)
    usual = (
        layer_type(I, H, 2, bidirectional=True, dtype=np.float64, proj_size=2)
        if "proj_size" in options
        else (layer_type(I, H, 2, bidirectional=True, dtype=np.float64))
    )
    if options.get("reset", "after") is not None:
        usual.load_state_dict(layer.state_dict())
        assert np.abs(usual(x)[0].data - y.data).max() > 1e-3


def test_an_unknown_keyword_is_refused():
    with pytest.raises(TypeError, match="recurrent_dropout"):
        nn.LSTM(I, H, recurrent_dropout=0.5)


# --- lengths --------------------------------------------------------------------------------------

KINDS = {
    "rnn": lambda **o: nn.RNN(I, H, dtype=np.float64, **o),
    "gru": lambda **o: nn.GRU(I, H, dtype=np.float64, **o),
    "lstm": lambda **o: nn.LSTM(I, H, dtype=np.float64, **o),
    "lstm projected": lambda **o: nn.LSTM(I, H, proj_size=2, dtype=np.float64, **o),
}


def tuple_of(state):
    return state if isinstance(state, tuple) else (state,)


@settings(max_examples=12)
@given(
    kind=st.sampled_from(list(KINDS)),
    layers=st.integers(1, 3),
    bidirectional=st.booleans(),
    lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4),
    extra=st.integers(0, 2),
    seed=st.integers(0, 2**16),
)
def test_a_padded_batch_equals_one_by_one_runs(kind, layers, bidirectional, lengths, extra, seed):
    """Values and gradients, whatever stands in the padding."""
    rng = np.random.default_rng(seed)
    nn.manual_seed(seed)
    module = KINDS[kind](num_layers=layers, bidirectional=bidirectional)
    longest = max(lengths) + extra
    rows = [rng.normal(size=(n, I)) for n in lengths]
    x = np.full((longest, len(rows), I), np.nan)
    for b, r in enumerate(rows):
        x[: len(r), b] = r
    cells, out = layers * (1 + bidirectional), module(np.zeros((1, 1, I)))[0].shape[-1]
    sizes = [s.shape[-1] for s in tuple_of(module(np.zeros((1, 1, I)))[1])]
    gy = rng.normal(size=(longest, len(rows), out))
    h0 = [rng.normal(size=(cells, len(rows), n)) for n in sizes]
    gh = [rng.normal(size=h.shape) for h in h0]

    x, h = Variable(x), [Variable(a) for a in h0]
    y, last = module(x, tuple(h), lengths=lengths)
    backward((y, *tuple_of(last)), (gy, *gh))
    together = {k: p.grad.data for k, p in module.named_parameters()}
    module.zero_grad()

    for b, r in enumerate(rows):
        r, h_b = Variable(r), [Variable(a[:, b]) for a in h0]
        y_b, last_b = module(r, tuple(h_b))  # without a batch axis
        backward((y_b, *tuple_of(last_b)), (gy[: len(r), b], *[g[:, b] for g in gh]))
        np.testing.assert_allclose(y.data[: len(r), b], y_b.data, rtol=0, atol=1e-13)
        assert not y.data[len(r) :, b].any()
        for s, s_b in zip(tuple_of(last), tuple_of(last_b), strict=True):
            np.testing.assert_allclose(s.data[:, b], s_b.data, rtol=0, atol=1e-13)
        np.testing.assert_allclose(x.grad.data[: len(r), b], r.grad.data, rtol=0, atol=1e-12)
        assert not x.grad.data[len(r) :, b].any()
        for s, s_b in zip(h, h_b, strict=True):
            np.testing.assert_allclose(s.grad.data[:, b], s_b.grad.data, rtol=0, atol=1e-12)
    for k, p in module.named_parameters():
        np.testing.assert_allclose(together[k], p.grad.data, rtol=0, atol=1e-12)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("case", ["T=0", "lengths 0"])
def test_nothing_to_read_gives_the_initial_state_and_zero_gradients(kind, bidirectional, case, rng):
    module = KINDS[kind](num_layers=2, bidirectional=bidirectional)
    steps, lengths = (0, None) if case == "T=0" else (5, [0, 0])
    x = Variable(rng.normal(size=(steps, 2, I)))
    _, shapes = module(np.zeros((1, 2, I)))
    h0 = tuple(Variable(rng.normal(size=s.shape)) for s in tuple_of(shapes))
    y, last = module(x, h0, lengths=lengths)
    assert y.shape[:2] == (steps, 2) and not y.data.any()
    for a, b in zip(tuple_of(last), h0, strict=True):
        np.testing.assert_array_equal(a.data, b.data)
    (y.sum() + sum(s.sum() for s in tuple_of(last))).backward()
    assert all(not p.grad.data.any() for p in module.parameters())
    assert x.grad.shape == x.shape and not x.grad.data.any()
    assert all((h.grad.data == 1).all() for h in h0)

    y, last = module(x, lengths=lengths)  # without a state of the caller's
    assert not any(s.data.any() for s in tuple_of(last))
    tuple_of(last)[0].sum().backward()
    assert all(not p.grad.data.any() for p in module.parameters())


def test_a_batch_of_no_rows(rng):
    module = nn.LSTM(I, H, 2, bidirectional=True)
    for lengths in (None, []):
        y, (h, c) = module(np.zeros((4, 0, I), np.float32), lengths=lengths)
        assert y.shape == (4, 0, 2 * H) and h.shape == c.shape == (4, 0, H)


def test_a_zero_length_row_among_others_keeps_its_own_initial_state(rng):
    module = nn.GRU(I, H, dtype=np.float64)
    h0 = Variable(rng.normal(size=(1, 3, H)))
    y, h = module(rng.normal(size=(4, 3, I)), h0, lengths=[2, 0, 4])
    np.testing.assert_array_equal(h.data[0, 1], h0.data[0, 1])
    y.sum().backward()
    np.testing.assert_array_equal(h0.grad.data[0, 1], 0)
    assert h0.grad.data[0, 0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_unbatched_input_and_batch_first(kind, rng):
    module = KINDS[kind](num_layers=2, bidirectional=True)
    x = rng.normal(size=(5, 1, I))
    y, h = module(x)
    y1, h1 = module(x[:, 0])
    np.testing.assert_array_equal(y.data[:, 0], y1.data)
    np.testing.assert_array_equal(tuple_of(h)[0].data[:, 0], tuple_of(h1)[0].data)
    y2, _ = module(x[:, 0], h1, lengths=3)
    y3, _ = module(x, h, lengths=[3])
    np.testing.assert_array_equal(y3.data[:, 0], y2.data)
    swapped = KINDS[kind](num_layers=2, bidirectional=True, batch_first=True)
    swapped.load_state_dict(module.state_dict())
    x = rng.normal(size=(5, 2, I))
    y, h = module(x, lengths=[4, 5])
    y_b, h_b = swapped(np.swapaxes(x, 0, 1), lengths=[4, 5])
    np.testing.assert_array_equal(np.swapaxes(y.data, 0, 1), y_b.data)
    np.testing.assert_array_equal(tuple_of(h)[0].data, tuple_of(h_b)[0].data)  # states are never swapped


@pytest.mark.parametrize("kind", KINDS)
def test_two_windows_with_the_state_passed_on_equal_one(kind, rng):
    module = KINDS[kind](num_layers=2)
    x = rng.normal(size=(6, 2, I))
    whole, last = module(x)
    first, state = module(x[:2])
    second, state = module(x[2:], nn.detach(state))
    np.testing.assert_allclose(whole.data, np.concatenate([first.data, second.data]), atol=1e-15)
    np.testing.assert_allclose(tuple_of(last)[0].data, tuple_of(state)[0].data, atol=1e-15)


def test_dropout_acts_between_layers_in_training_only(rng):
    module = nn.LSTM(I, H, 2, dropout=0.5, dtype=np.float64)
    x = rng.normal(size=(5, 2, I))
    plain = nn.LSTM(I, H, 2, dtype=np.float64)
    plain.load_state_dict(module.state_dict())
    nn.manual_seed(3)
    a = module(x)[0].data
    nn.manual_seed(3)
    np.testing.assert_array_equal(a, module(x)[0].data)
    assert np.abs(a - module(x)[0].data).max() > 0  # another mask
    np.testing.assert_array_equal(module.eval()(x)[0].data, plain(x)[0].data)
    everything = nn.LSTM(I, H, 2, dropout=1.0, dtype=np.float64)
    everything.load_state_dict(module.state_dict())
    y, (h, _) = everything(x)
    np.testing.assert_allclose(y.data, everything(0 * x + 9)[0].data)  # nothing gets through
    np.testing.assert_array_equal(h.data[0], plain(x)[1][0].data[0])  # and the first layer saw all of x


def test_deep_copies_and_pickles_are_independent(rng):
    import copy
    import pickle

    module = nn.LSTM(I, H, 2, bidirectional=True)
    x = rng.normal(size=(3, 2, I)).astype(np.float32)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        np.testing.assert_array_equal(module(x)[0].data, other(x)[0].data)
        next(other.parameters()).data += 1
        assert np.abs(module(x)[0].data - other(x)[0].data).max() > 0


# --- bad input ------------------------------------------------------------------------------------

X = np.zeros((T, B, I), np.float32)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(I, H)(X[..., :2]), r"LSTM expected input of shape \(T, B, 3\).*got \(7, 3, 2\)"),
        (lambda: nn.LSTM(I, H, batch_first=True)(X[..., :2]), r"LSTM expected input of shape \(B, T, 3\)"),
        (lambda: nn.GRU(I, H)(X[None]), r"GRU expected .* got \(1, 7, 3, 3\)"),
        (lambda: nn.GRU(I, H)(X[0, 0]), r"GRU expected .* got \(3,\)"),
        (lambda: nn.GRU(I, H, 2)(X, np.zeros((1, B, H), "f")), r"GRU .*\[\(2, 3, 4\)\], got \[\(1, 3, 4\)\]"),
        (
            lambda: nn.LSTM(I, H)(X, np.zeros((1, B, H), "f")),
            r"LSTM expected a state of shapes \[.*, .*\], got",
        ),
        (lambda: nn.RNN(I, H)(X, np.zeros((1, 2, H), "f")), r"RNN expected .* got \[\(1, 2, 4\)\]"),
        (lambda: nn.LSTM(I, H)(X, lengths=[1, 2]), r"lengths expected shape \(3,\).* got \(2,\)"),
        (
            lambda: nn.LSTM(I, H)(X, lengths=[1, 2, -1]),
            r"expected numbers from 0 to T=7, got -1 to 2",
        ),
        (lambda: nn.LSTM(I, H)(X, lengths=[1, 2, 8]), r"expected numbers from 0 to T=7, got 1 to 8"),
        (lambda: nn.LSTM(I, H, batch_first=True)(X, lengths=[1, 2, 7]), r"lengths expected shape \(7,\)"),
        (lambda: nn.LSTM(I, H)(X[:0], lengths=[0, 0, 1]), r"from 0 to T=0"),
        (lambda: nn.LSTM(I, H, dropout=1.5), r"LSTM expected a dropout prob"),
        (
            lambda: nn.LSTM(I, H, 2, dropout=1.5),
            r"LSTM expected a dropout probability .* got 1.5",
        ),
        (lambda: nn.GRU(I, H, 0), r"GRU expected at least one layer, got 0"),
        (lambda: nn.RNN(I, H, nonlinearity="sigmoid"), r"RNN expected nonlinearity 'tanh' or 'relu', got"),
        (lambda: nn.LSTM(I, H, proj_size=H), r"LSTMCell expected proj_size from 0 to below 4, got 4"),
        (lambda: nn.RNN(I, 0), r"hidden_size of at least 1"),
    ],
)
def test_bad_values_say_who_expected_and_got(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: nn.LSTM(I, H)(X.astype(np.float64)), "LSTMCell has float32 parameters, got float64 input"),
        (lambda: nn.LSTM(I, H)(X.astype(int)), "got int64 input"),
        (lambda: nn.GRU(I, H)(X, np.zeros((1, B, H))), "GRU expected a float32 state .* got float64"),
        (lambda: nn.LSTM(I, H)(X, lengths=[1.0, 2.0, 3.0]), "lengths expected integers, got float64"),
        (lambda: nn.LSTM(I, H)(X, lengths=[True, True, True]), "lengths expected integers, got bool"),
    ],
)
def test_bad_types_say_who_expected_and_got(call, message):
    with pytest.raises(TypeError, match=message):
        call()


# --- habits from PyTorch ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [nn.RNN, nn.GRU, nn.LSTM, nn.ConvLSTM1d])
def test_dropout_of_a_single_layer_is_a_warning(make):
    with pytest.warns(
        UserWarning, match=rf"{make.__name__}: dropout=0.3 does nothing, as it acts between"
    ) as caught:
        layer = make(I, H, dropout=0.3)
    assert caught[0].filename == __file__ and layer.stack.dropout == 0.0


@pytest.mark.parametrize(
    "make", [lambda: nn.LSTM(I, H, 2, bidirectional=True, proj_size=2), lambda: nn.GRU(I, H, bias=False)]
)
def test_parameters_are_attributes_under_the_names_of_the_state_dict(make):
    layer = make()
    found = dict(layer.named_parameters())
    for name in layer.state_dict():
        assert getattr(layer, name) is found[name]
    for name in ("weight_hh_l2", "weight_hx_l0", "weight_l0", "bias_ih_l0_forward", "stacks"):
        assert not hasattr(layer, name)
    with pytest.raises(AttributeError, match="has no attribute 'flatten_parameters': write x"):
        layer.flatten_parameters()
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other.weight_hh_l0 is dict(other.named_parameters())["weight_hh_l0"] is not layer.weight_hh_l0


def test_a_parameter_of_a_layer_is_replaced_where_it_lies():
    layer, x = nn.GRU(I, H), np.ones((1, 1, I), "f")
    before = layer.state_dict()
    layer.weight_ih_l0 = nn.Parameter(np.zeros((3 * H, I), "f"))
    assert list(layer.state_dict()) == list(before) and not layer.state_dict()["weight_ih_l0"].any()
    layer.weight_hh_l0 = layer.bias_ih_l0 = layer.bias_hh_l0 = None
    assert list(layer.state_dict()) == ["weight_ih_l0"] and not hasattr(layer, "bias_ih_l0")
    layer.bias_ih_l0 = layer.bias_hh_l0 = nn.Parameter(np.ones(3 * H, "f"))  # and back into its place
    layer.weight_hh_l0 = nn.Parameter(np.zeros((3 * H, H), "f"))
    assert list(layer.state_dict()) == list(before) and layer.stack.layers[0].cell.bias_ih is layer.bias_ih_l0
    assert layer(x)[0].data.any()
    with pytest.raises(TypeError, match=r"GRUCell\.weight_ih is a Parameter"):
        layer.weight_ih_l0 = np.ones((3 * H, I))
    other = nn.GRU(I, H)
    other.bias_hh_l0 = other.bias_ih_l0
    assert len(list(other.parameters())) == 3 and other(x)[0].shape == (1, 1, H)


class Scaled(nn.LSTM):
    """A layer with parameters, a buffer and a module of its own."""

    def __init__(self):
        super().__init__(I, H)
        self.scale = nn.Parameter(np.full(H, 2.0, np.float32))
        self.head = nn.Linear(H, 1)
        self.itself = self
        self.register_buffer("seen", np.array(3))

    def forward(self, x):
        return self.head(super().forward(x)[0] * self.scale)


def test_a_subclass_of_a_layer_trains_and_keeps_what_it_adds():
    """They were in no list of parameters, so that no optimizer had them."""
    layer, x = Scaled(), np.ones((2, 1, I), "f")
    names = [
        "weight_ih_l0",
        "weight_hh_l0",
        "bias_ih_l0",
        "bias_hh_l0",
        "scale",
        "seen",
        "head.weight",
        "head.bias",
    ]
    assert list(layer.state_dict()) == names
    assert [name for name, _ in layer.named_parameters()] == [name for name in names if name != "seen"]
    layer(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
    other = nn.Sequential(Scaled())
    other.load_state_dict({f"0.{name}": array for name, array in layer.state_dict().items()})
    np.testing.assert_array_equal(other(x).data, layer(x).data)
