"""The promise that arrays which speak NumPy's dispatch protocols pass through: operations, layers, losses,
optimizers and files of weights compute on a strict stand-in for arrays of a GPU, and on CuPy's where there is
one with a device, and give the numbers that they give on NumPy's.
"""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
import nn
import optim
from autograd import Variable
from nn import functional as F
from tests.cases.device_arrays import DeviceArray, DeviceGenerator
from tests.cases.op_cases import CASES


def cupys():
    """An empty array of CuPy's, or why there is none."""
    try:
        import cupy

        return cupy.empty(0)
    except ImportError:
        return "CuPy is not installed"
    except Exception as error:  # its own kinds, where it finds no driver or no device
        return f"CuPy has no device: {error}"


CUPY = cupys()
KINDS = {"stand-in": DeviceArray(np.empty(0))} | ({} if isinstance(CUPY, str) else {"cupy": CUPY})


@pytest.fixture(params=KINDS)
def like(request):
    return KINDS[request.param]


@pytest.mark.skipif(isinstance(CUPY, str), reason=str(CUPY))
def test_these_tests_run_on_cupys_arrays():
    assert "cupy" in KINDS


def to(tree, like):
    """A nest of arrays with those of another type for NumPy's."""
    if isinstance(tree, tuple | list):
        return type(tree)([to(part, like) for part in tree])
    if isinstance(tree, dict):
        return {key: to(part, like) for key, part in tree.items()}
    return np.asarray(tree, like=like) if isinstance(tree, np.ndarray) else tree


def check(there, here, like, tolerance=1e-9):
    """Is everything of the type, with the numbers of the host?"""
    if isinstance(here, tuple | list):
        for a, b in zip(there, here, strict=True):
            check(a, b, like, tolerance)
    elif here is not None:
        assert type(there.data) is type(like), type(there.data)
        assert there.dtype == here.dtype and there.shape == here.shape
        assert_allclose(ag.to_host(there), ag.to_host(here), rtol=tolerance, atol=tolerance)


# --- the stand-in is strict -----------------------------------------------------------------------

A = np.arange(6.0).reshape(2, 3)
MIXED = {
    "np.asarray": lambda x: np.asarray(x),
    "np.array": lambda x: np.array(x),
    "operator": lambda x: x + A,
    "operator from the host": lambda x: A * x,
    "0 dimensions": lambda x: x * np.array(2.0),
    "ufunc": lambda x: np.maximum(x, A),
    "function": lambda x: np.concatenate([x, A]),
    "written into": lambda x: np.add(A, A, out=x),
    "written from": lambda x: x.__setitem__(0, A[0]),
    "a mask": lambda x: np.where(A > 1, x, 0.0),
    "in place": lambda x: A.__iadd__(x),
    "an index into the host": lambda x: A[x.astype(int)],
}


@pytest.mark.parametrize("name", MIXED)
def test_the_stand_in_refuses_to_meet_an_array_of_the_host(name):
    with pytest.raises((TypeError, IndexError), match="host|device|integers"):
        MIXED[name](DeviceArray(A.copy()))


def test_results_of_the_stand_in_are_device_arrays():
    x = DeviceArray(A)
    for y in (x + 1, 2 * x, np.tanh(x), x.sum(), np.sum(x), x[0, 0], np.zeros(3, like=x), x @ x.T, -x, x > 1):
        assert type(y) is DeviceArray
    y = x
    y += 1.0
    assert y is x and A[0, 0] == 1.0
    A[...] -= 1.0


# --- the table of operations ----------------------------------------------------------------------

HOST = "the row itself hands it a mask or numbers of the host"
CANNOT = {"where": HOST, "where, broadcasting": HOST, "nan_to_num": HOST}


def both(f, arrays, like, seed=7):
    """Results and gradients of f, on the type and on the host, in a plain and in a recorded backward pass."""
    found = []
    for xs in (to(arrays, like), arrays):
        xs = [Variable(x) for x in xs]
        ys = f(*xs)
        ys = list(ys) if isinstance(ys, tuple | list) else [ys]
        rng = np.random.default_rng(seed)
        starts = [to(rng.standard_normal(y.shape).astype(y.dtype), xs[0].data) for y in ys]
        first = ag.grad(ys, xs, gradients=starts, retain_graph=True)
        found.append((ys, first, ag.grad(ys, xs, gradients=starts, create_graph=True)))
    return found


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_operation(case, like):
    if case.name in CANNOT:
        with pytest.raises(TypeError):
            both(case.f, case.inputs(), like)
        return
    for shapes in (case.shapes, *case.also):
        check(*both(case.f, case.inputs(shapes), like), like)


@pytest.mark.parametrize("case", CASES[::7], ids=[c.name for c in CASES[::7]])
def test_recorded_twice(case, like):
    """What a second backward pass through a recorded first one gives: constants of backwards as well."""
    if case.name in CANNOT or case.order < 2:
        return
    found = []
    for arrays in (to(case.inputs(), like), case.inputs()):
        xs = [Variable(x) for x in arrays]
        ys = case.f(*xs)
        ys = [(y * y).sum() for y in (ys if isinstance(ys, tuple | list) else [ys])]
        first = ag.grad(ys, xs, create_graph=True)
        found.append(ag.grad([(g * g).sum() for g in first], xs, allow_unused=True))
    check(*found, like)


# --- modules --------------------------------------------------------------------------------------


def pair(make, like):
    """Two equal modules in float64, one of them on the type."""
    made = []
    for _ in range(2):
        nn.manual_seed(3)
        made.append(make().to_dtype(np.float64))
    return made[0].to_arrays(like), made[1]


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def variables(tree):
    """The Variables of a nest."""
    if isinstance(tree, tuple | list):
        return [v for part in tree for v in variables(part)]
    return [tree] if isinstance(tree, Variable) else []


def trained(model, run, optimizer=optim.SGD):
    """What a training step of a model makes: results, gradients, and parameters afterwards."""
    ys = variables(run(model))
    loss = sum([(y * y).sum() for y in ys if y.requires_grad])
    loss.backward()
    gradients = [p.grad for p in model.parameters()]
    optimizer(model.parameters(), lr=0.1).step()
    return [*ys, loss], gradients, list(model.parameters())


X, TOKENS, LENGTHS = numbers(5, 2, 3), np.array([[1, 4], [0, 4], [2, 2]]), np.array([5, 3])
STARTS = np.zeros((5, 2), bool)
STARTS[2, 1] = True
IMAGES = numbers(3, 2, 2, 5, 4)
LAYERS = {
    "RNN": (lambda: nn.RNN(3, 4), X),
    "RNN, relu, two layers": (lambda: nn.RNN(3, 4, 2, nonlinearity="relu"), X),
    "GRU": (lambda: nn.GRU(3, 4), X),
    "LSTM": (lambda: nn.LSTM(3, 4), X),
    "LSTM, proj_size": (lambda: nn.LSTM(3, 4, proj_size=2), X),
    "LSTM, both directions, two layers": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), X),
    "GRU, batch_first": (lambda: nn.GRU(3, 4, batch_first=True), X),
    "Bidirectional": (lambda: nn.Bidirectional(nn.GRUCell(3, 2), nn.LSTMCell(3, 2)), X),
    "Stacked": (lambda: nn.Stacked([nn.RNNCell(3, 3), nn.GRUCell(3, 3)], residual=True), X),
    "LearnedState": (lambda: nn.Recurrent(nn.LearnedState(nn.LSTMCell(3, 4))), X),
    "truncated": (lambda: nn.Recurrent(nn.LSTMCell(3, 4), truncate=2), X),
    "ConvLSTM": (lambda: nn.ConvLSTM2d(2, 3, 3), IMAGES),
    "ConvGRU": (lambda: nn.Recurrent(nn.ConvGRUCell(2, 3, 3)), IMAGES),
    "minimal GRU by a scan": (lambda: nn.Recurrent(nn.MinGRUCell(3, 4), scan=True), X),
    "LRU by a scan, in reverse": (lambda: nn.Recurrent(nn.LRUCell(3, 4), reverse=True, scan=True), X),
    "selective state space": (lambda: nn.Recurrent(nn.SelectiveSSMCell(3, 2)), X),
    "LMU": (lambda: nn.Recurrent(nn.LMUCell(3, 4, 3, 6.0)), X),
    "DeltaNet": (lambda: nn.Recurrent(nn.DeltaNetCell(3, 4, 2)), X),
    "Clockwork": (lambda: nn.Recurrent(nn.ClockworkCell(3, 4, (1, 2))), X),
    "Linear": (lambda: nn.Linear(3, 4), X),
    "LayerNorm": (lambda: nn.LayerNorm(3), X),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(2), X),
    "Embedding": (lambda: nn.Embedding(5, 3, padding_idx=0), TOKENS),
    "Conv2d": (lambda: nn.Conv2d(2, 3, 3, padding=1, stride=2), IMAGES[0]),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(2, 3, 2, stride=2), IMAGES[0]),
    "MaxPool2d": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.MaxPool2d(2, padding=1)), IMAGES[0]),
    "AvgPool2d": (lambda: nn.Sequential(nn.Conv2d(2, 3, 3), nn.AvgPool2d(2, padding=1)), IMAGES[0]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer(name, like):
    make, x = LAYERS[name]
    there, here = pair(make, like)
    x_there = to(x, like)
    check(trained(there, lambda m: m(x_there)), trained(here, lambda m: m(x)), like)


@pytest.mark.parametrize("name", [n for n, (_, x) in LAYERS.items() if x is X][:9])
def test_layer_with_lengths_and_starts(name, like):
    make, x = LAYERS[name]
    x = np.swapaxes(x, 0, 1) if "batch_first" in name else x
    starts = np.swapaxes(STARTS, 0, 1) if "batch_first" in name else STARTS
    there, here = pair(make, like)
    expected = trained(here, lambda m: m(x, lengths=LENGTHS, starts=starts))
    x_there = to(x, like)
    check(trained(there, lambda m: m(x_there, lengths=LENGTHS, starts=starts)), expected, like)
    there, _ = pair(make, like)
    kept = to(LENGTHS, like), to(starts, like)  # on the device they may be as well
    check(trained(there, lambda m: m(x_there, lengths=kept[0], starts=kept[1])), expected, like)


def test_scan_with_lengths(like):
    for reverse in (False, True):
        there, here = pair(
            lambda reverse=reverse: nn.Recurrent(nn.MinGRUCell(3, 4), reverse, scan=True), like
        )
        expected = trained(here, lambda m: m(X, lengths=LENGTHS, starts=STARTS))
        x_there = to(X, like)
        check(trained(there, lambda m, x=x_there: m(x, lengths=LENGTHS, starts=STARTS)), expected, like)


def test_no_steps(like):
    there, here = pair(lambda: nn.LSTM(3, 4), like)
    x_there = to(X[:0], like)
    check(trained(there, lambda m: m(x_there)), trained(here, lambda m: m(X[:0])), like)


def test_a_cell_by_itself_and_a_state_that_is_given(like):
    there, here = pair(lambda: nn.LSTMCell(3, 4), like)
    state = numbers(2, 4), numbers(2, 4, seed=1)
    x_there, s_there = to(X[0], like), to(state, like)
    check(trained(there, lambda m: m(x_there, s_there)), trained(here, lambda m: m(X[0], state)), like)
    there, here = pair(lambda: nn.LSTMCell(3, 4), like)
    check(there([[1.0, 2.0, 3.0]]), here([[1.0, 2.0, 3.0]]), like)  # numbers in lists are no arrays yet


def test_a_layer_refuses_arrays_of_the_host(like):
    there, _ = pair(lambda: nn.LSTM(3, 4), like)
    with pytest.raises(TypeError):
        there(X)


# --- losses ---------------------------------------------------------------------------------------

CLASSES, LOGITS = np.array([2, 0, 1, 2]), numbers(4, 3)
P, SIGNS = np.random.default_rng(1).uniform(0.1, 0.9, (4, 3)), np.where(numbers(4, 3, seed=2) > 0, 1.0, -1.0)
W = np.array([0.5, 1.0, 2.0])
SEQUENCES, TARGETS = numbers(5, 2, 3), np.array([[0, 1], [2, 2], [1, 0], [0, 0], [1, 2]])
MASK = numbers(5, 2) > -0.5
LOG_PROBS = np.log(P / P.sum(-1, keepdims=True))
LOSSES = {  # a function of x and of constants, and these
    "mse_loss": (F.mse_loss, LOGITS, P),
    "mse_loss, a list": (lambda x: F.mse_loss(x, P.tolist()), LOGITS),
    "l1_loss": (F.l1_loss, LOGITS, P),
    "huber_loss": (F.huber_loss, LOGITS, P),
    "smooth_l1_loss": (lambda x, t: F.smooth_l1_loss(x, t, beta=0.5), LOGITS, P),
    "cross_entropy": (F.cross_entropy, LOGITS, CLASSES),
    "cross_entropy, a list": (lambda x: F.cross_entropy(x, [0, 1, 2, 0]), LOGITS),
    "cross_entropy, ignoring": (lambda x, t: F.cross_entropy(x, t, ignore_index=1), LOGITS, CLASSES),
    "cross_entropy, weighted": (
        lambda x, t, w: F.cross_entropy(x, t, weight=w, label_smoothing=0.1), LOGITS, CLASSES, W),
    "cross_entropy of probabilities": (F.cross_entropy, LOGITS, P),
    "nll_loss": (F.nll_loss, LOGITS, CLASSES),
    "binary_cross_entropy": (F.binary_cross_entropy, P, (SIGNS + 1) / 2),
    "binary_cross_entropy_with_logits": (F.binary_cross_entropy_with_logits, LOGITS, P),
    "with pos_weight": (
        lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w), LOGITS, P, W),
    "kl_div": (F.kl_div, LOGITS, P),
    "gaussian_nll_loss": (F.gaussian_nll_loss, LOGITS, P, P * 2),
    "multi_margin_loss": (F.multi_margin_loss, LOGITS, CLASSES),
    "multilabel_margin_loss": (F.multilabel_margin_loss, LOGITS, np.array([[0, 2, -1]] * 4)),
    "multilabel_soft_margin_loss": (F.multilabel_soft_margin_loss, LOGITS, (SIGNS + 1) / 2),
    "soft_margin_loss": (F.soft_margin_loss, LOGITS, SIGNS),
    "hinge_embedding_loss": (F.hinge_embedding_loss, LOGITS, SIGNS),
    "margin_ranking_loss": (F.margin_ranking_loss, LOGITS, P, SIGNS),
    "cosine_embedding_loss": (F.cosine_embedding_loss, LOGITS, P, SIGNS[:, 0]),
    "triplet_margin_loss": (F.triplet_margin_loss, LOGITS, P, SIGNS),
    "cosine_similarity": (lambda a, b: F.cosine_similarity(a, b).sum(), LOGITS, P),
    "lengths": (lambda x, t: F.cross_entropy(x, t, axis=-1, lengths=[5, 3]), SEQUENCES, TARGETS),
    "a mask": (lambda x, t, on: F.cross_entropy(x, t, axis=-1, mask=on), SEQUENCES, TARGETS, MASK),
    "both": (lambda x, t, on: F.mse_loss(x, t, mask=on, lengths=[5, 3]), SEQUENCES, SEQUENCES * 2, MASK),
    "ctc_loss": (
        lambda x, t: F.ctc_loss(ag.log_softmax(x, -1), t, [5, 4], [2, 1]), SEQUENCES, TARGETS[:2] % 2 + 1),
    "ctc_loss of one": (lambda x: F.ctc_loss(ag.log_softmax(x, -1), [1, 2], 4, 2), LOGITS),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_loss(name, like):
    f, *arrays = LOSSES[name]
    found = []
    for x, *constants in (to(arrays, like), arrays):
        x = Variable(x)
        loss = f(x, *constants)
        found.append((loss, ag.grad(loss, x)))
    check(*found, like)


def test_loss_modules_and_perplexity(like):
    there = nn.CrossEntropyLoss(weight=W).to_arrays(like)
    x = Variable(to(LOGITS, like))
    here = nn.CrossEntropyLoss(weight=W)(Variable(LOGITS), CLASSES)
    check(there(x, to(CLASSES, like)), here, like)
    log, log_here = nn.Perplexity(), nn.Perplexity()
    log.update(x, to(CLASSES, like))
    log_here.update(LOGITS, CLASSES)
    assert log.compute() == pytest.approx(log_here.compute(), rel=1e-12)


# --- random numbers -------------------------------------------------------------------------------


def test_dropout_takes_masks_from_a_generator_of_the_type(like):
    x = Variable(to(np.ones((40, 50)), like))
    rng = DeviceGenerator(5) if isinstance(like, DeviceArray) else __import__("cupy").random.default_rng(5)
    y = F.dropout(x, 0.25, rng=rng)
    kept = ag.to_host(y)
    assert type(y.data) is type(like) and set(np.unique(kept)) == {0.0, 1 / 0.75}
    assert abs((kept == 0).mean() - 0.25) < 0.04  # five standard deviations
    check(ag.grad(y.sum(), x), Variable(kept), like)


def test_dropout_by_the_default_generator(like):
    for p in (0.5, 1.0):
        nn.manual_seed(2)
        here = F.dropout(Variable(np.ones((4, 5))), p)
        nn.manual_seed(2)
        check(F.dropout(Variable(to(np.ones((4, 5)), like)), p), here, like)


@pytest.mark.parametrize("cell", [lambda c: nn.VariationalDropout(c, 0.3), lambda c: nn.Zoneout(c, 0.2)])
def test_cells_with_masks(cell, like):
    there, here = pair(lambda: nn.Recurrent(cell(nn.LSTMCell(3, 4))), like)
    x_there = to(X, like)
    nn.manual_seed(4)
    expected = trained(here, lambda m: m(X))
    nn.manual_seed(4)
    check(trained(there, lambda m: m(x_there)), expected, like)


# --- training -------------------------------------------------------------------------------------

OPTIMIZERS = {
    "SGD": optim.SGD,
    "momentum": lambda p, lr: optim.SGD(p, lr, momentum=0.9, nesterov=True, weight_decay=0.01),
    "Adagrad": optim.Adagrad,
    "Adadelta": optim.Adadelta,
    "RMSprop": lambda p, lr: optim.RMSprop(p, lr, momentum=0.5, centered=True),
    "Adam": lambda p, lr: optim.Adam(p, lr, amsgrad=True),
    "AdamW": optim.AdamW,
    "NAdam": optim.NAdam,
    "RAdam": optim.RAdam,
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizer_and_its_state_dict(name, like):
    """Three steps with clipping; then the memory through `to_host` into an optimizer of the other side."""
    ends, memories = [], []
    for side, model in zip((like, np.empty(0)), pair(lambda: nn.GRU(3, 4), like), strict=True):
        optimizer = OPTIMIZERS[name](model.parameters(), lr=0.01)
        x = to(X, side)
        for _ in range(3):
            optimizer.zero_grad()
            (model(x)[0] ** 2.0).sum().backward()
            optim.clip_grad_norm_(model.parameters(), 0.5)
            optim.clip_grad_value_(model.parameters(), 0.4)
            optimizer.step()
        ends.append(list(model.parameters()))
        memories.append(ag.to_host(optimizer.state_dict()))
        other = OPTIMIZERS[name](model.parameters(), lr=0.5)
        other.load_state_dict(memories[0])
        for entries in other.state.values():
            assert all(type(v) is type(side) for v in entries.values() if hasattr(v, "shape"))
        other.zero_grad(set_to_none=False)
    check(*ends, like)
    assert memories[0]["param_groups"] == memories[1]["param_groups"]
    for number, entries in memories[1]["state"].items():
        for key, value in entries.items():
            if value is not None:  # SGD without momentum remembers nothing
                assert_allclose(memories[0]["state"][number][key], value, rtol=1e-9, atol=1e-12)


def test_norms(like):
    there, here = pair(lambda: nn.Linear(3, 4), like)
    x_there = to(X, like)
    for norm in (2.0, 1.0, np.inf):
        found = []
        for model, x in ((there, x_there), (here, X)):
            model.zero_grad()
            (model(x) ** 2.0).sum().backward()
            found.append(optim.clip_grad_norm_(model.parameters(), 1e9, norm))
            found.append(optim.GradientNorms(model.named_parameters(), norm).record())
        assert found[0] == pytest.approx(found[2]) and found[1] == pytest.approx(found[3])


# --- in and out -----------------------------------------------------------------------------------


def test_state_dicts_leave_the_device_by_to_host_alone(like, tmp_path):
    there, here = pair(lambda: nn.LSTM(3, 4), like)
    state = there.state_dict()
    assert {type(a) for a in state.values()} == {type(like)}
    with pytest.raises(TypeError, match="to_host"):
        nn.save(state, tmp_path / "a.npz")
    nn.save(ag.to_host(state), tmp_path / "a.npz")
    for name, array in here.state_dict().items():
        assert_allclose(np.load(tmp_path / "a.npz")[name], array)
    for source in (nn.load(tmp_path / "a.npz"), state):  # of the host, or of the type
        fresh = nn.LSTM(3, 4, dtype=np.float64).to_arrays(like)
        fresh.load_state_dict(source)
        check(list(fresh.parameters()), list(here.parameters()), like)


def test_state_dicts_are_copies(like):
    model = nn.Linear(3, 4).to_arrays(like)
    state = model.state_dict()
    model.weight.data[...] = 0.0
    assert float(np.abs(state["weight"]).sum()) > 1.0


def test_to_arrays_there_and_back(like):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    before = model.state_dict()
    model(np.ones((5, 3), "f"))[0].sum().backward()
    assert model.to_arrays(like) is model
    assert all(type(p.data) is type(like) and p.grad is None for p in model.parameters())
    assert all(type(b) is type(like) for b in model.buffers()) and len(list(model.buffers())) == 3
    model.to_dtype(np.float64).to_arrays(np.empty(0))
    after = model.state_dict()
    for name in ("0.weight", "0.bias", "1.weight"):
        assert type(after[name]) is np.ndarray and after[name].dtype == np.float64
        assert np.array_equal(after[name], before[name])
    with pytest.raises(TypeError, match=r"Sequential.to_arrays expected an array, got str"):
        model.to_arrays("cuda")


def test_to_host_goes_through_nests(like):
    tree = {"a": [to(np.ones(2), like), 3], "b": (Variable(to(np.zeros(1), like)), None, "text")}
    host = ag.to_host(tree)
    assert type(host["a"][0]) is np.ndarray and type(host["b"][0]) is np.ndarray
    assert host["a"][1] == 3 and host["b"][1:] == (None, "text")
    mine = np.ones(2)
    assert ag.to_host(mine) is mine


def test_indices_that_repeat_add_up(like):
    """On the type as well, where an index is no array of NumPy's."""
    x = Variable(to(np.zeros(3), like))
    check(ag.grad(x[to(np.array([0, 0, 2]), like)].sum(), x), Variable(np.array([2.0, 0.0, 1.0])), like)


def test_changed_data_is_noticed(like):
    w = Variable(to(np.ones(3), like))
    y = (w * w).sum()
    w.data = w.data * 2.0
    with pytest.raises(RuntimeError, match="replaced or changed"):
        y.backward()
