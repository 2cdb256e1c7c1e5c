"""Replays against running eagerly: every operation, cell and loss; then what may change between calls, and
what cannot be captured."""

import gc
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
import nn
import nn.functional as F
import optim
from autograd import CaptureError, Function, Variable, capture, no_grad
from autograd.malloc import glibc, release_freed_memory
from autograd.replay import recording
from autograd.replay.capture import KEPT
from tests.cases import (
    conv_cases,  # noqa: F401  (adds its rows to the table)
    numpy_table,
)
from tests.cases.op_cases import CASES
from tests.nn import test_cells, test_literature, test_losses

F64 = {"dtype": np.float64}


def tuple_of(ys):
    return ys if isinstance(ys, tuple | list) else (ys,)


def compare(fn, leaves, first, second):
    """Record on ``first``, change the leaves, replay on ``second``: the results and gradients of a run."""
    step = capture(fn)
    step(*first)
    for leaf in leaves:
        leaf.data *= 1.1
        leaf.grad = None
    replayed, gradients = tuple_of(step(*second)), [leaf.grad for leaf in leaves]
    assert len(step.recordings) == 1  # it was a replay
    for leaf in leaves:
        leaf.grad = None
    expected = tuple_of(fn(*second))
    expected[0].backward()
    for a, b in zip(replayed, expected, strict=True):
        assert_allclose(a.data, b.data, 1e-10, 1e-12)
        assert not a.requires_grad
    for g, leaf in zip(gradients, leaves, strict=True):
        assert (g is None) == (leaf.grad is None)
        if g is not None:
            assert_allclose(g.data, leaf.grad.data, 1e-9, 1e-11)


# --- the same numbers -----------------------------------------------------------------------------


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_every_operation(case):
    xs = [Variable(a) for a in case.inputs()]

    def loss():
        ys = tuple_of(case.f(*xs))
        return sum((y * y).sum() for y in ys), *ys

    compare(loss, xs, (), ())


@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_every_operation_on_arguments_and_without_a_way_back(case):
    step = capture(case.f)
    with no_grad():
        step(*[Variable(a, requires_grad=False) for a in case.inputs()])
        new = [Variable(a, requires_grad=False) for a in case.inputs(seed=1)]
        for a, b in zip(tuple_of(step(*new)), tuple_of(case.f(*new)), strict=True):
            assert_allclose(a.data, b.data, 1e-12)
    assert len(step.recordings) == 1


@pytest.mark.parametrize("name", [n for n in numpy_table.CALLS if n not in numpy_table.RAISES])
def test_functions_of_numpy(name):
    if numpy_table.look_up(name) is None:
        pytest.skip("younger than this NumPy")
    f, arrays = numpy_table.function(name)
    xs = [Variable(a.copy()) for a in arrays]

    def loss():
        ys = f(*xs)
        return sum((y * y).sum() for y in ys), *ys

    step = capture(loss)
    step()
    for x in xs:
        x.data *= 1.01  # 1.1 would lead over kinks
        x.grad = None
    replayed, gradients = step(), [x.grad for x in xs]
    assert len(step.recordings) == 1
    for x in xs:
        x.grad = None
    expected = loss()
    expected[0].backward()
    for a, b in zip(replayed, expected, strict=True):
        assert_allclose(a.data, b.data, 1e-10, 1e-12)
    for g, x in zip(gradients, xs, strict=True):
        assert_allclose(g.data, x.grad.data, 1e-9, 1e-11)


CELLS = {
    name: factory
    for table in (test_cells.CASES, test_literature.CASES)
    for name, (factory, _) in table.items()
}


@pytest.mark.parametrize("name", CELLS)
def test_every_cell(name, rng):
    layer = nn.Recurrent(CELLS[name]())
    xs = rng.normal(size=(2, 4, 3, layer.cell.input_size))
    compare(lambda x: (layer(x)[0] ** 2).sum(), list(layer.parameters()), xs[:1], xs[1:])


LAYERS = {
    "bidirectional": (lambda: nn.LSTM(4, 3, 2, bidirectional=True, **F64), (5, 3, 4)),
    "batch first": (lambda: nn.GRU(4, 3, batch_first=True, **F64), (3, 5, 4)),
    "truncated": (lambda: nn.Recurrent(nn.LSTMCell(4, 3, **F64), truncate=2), (5, 3, 4)),
    "images in 1 d": (lambda: nn.ConvLSTM1d(2, 3, 3, **F64), (3, 2, 2, 5)),
    "images in 2 d": (lambda: nn.ConvGRU2d(2, 3, 3, **F64), (3, 2, 2, 5, 4)),
    "images in 3 d": (lambda: nn.ConvRNN3d(2, 3, 3, **F64), (2, 1, 2, 3, 4, 3)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers(name, rng):
    make, shape = LAYERS[name]
    layer, xs = make(), rng.normal(size=(2, *LAYERS[name][1]))
    compare(lambda x: (layer(x)[0] ** 2).sum(), list(layer.parameters()), xs[:1], xs[1:])
    with ag.stepwise():
        compare(lambda x: (layer(x)[0] ** 2).sum(), list(layer.parameters()), xs[:1], xs[1:])


def test_states_and_lengths_as_arguments(rng):
    layer = nn.LSTM(4, 3, bidirectional=True, **F64)

    def fn(x, state, lengths):
        y, (h, c) = layer(x, state, lengths)
        return (y * y).sum() + (h * c).sum(), (h, c)

    x, h, c = rng.normal(size=(2, 5, 3, 4)), rng.normal(size=(2, 2, 3, 3)), rng.normal(size=(2, 2, 3, 3))
    for lengths in ([5, 0, 2], [2, 5, 0]):  # settings; as an array their order may change between calls
        step = capture(fn)
        loss, state = step(x[0], (h[0], c[0]), lengths)
        expected, (h1, c1) = fn(x[0], (h[0], c[0]), lengths)
        assert_allclose(loss.data, expected.data)
        assert_allclose(state[1].data, c1.data)
    arrays = np.array([5, 0, 2]), np.array([2, 5, 0])
    compare(lambda *args: fn(*args)[0], list(layer.parameters()), (x[0], (h[0], c[0]), arrays[0]),
            (x[1], (h[1], c[1]), arrays[1]))  # fmt: skip


WEIGHTED = {
    name: case
    for name, case in test_losses.CASES.items()
    if case[2] in (test_losses.data, test_losses.probabilities)
}


@pytest.mark.parametrize("name", WEIGHTED)
def test_losses_with_targets_as_arguments(name):
    _, loss, make, settings = WEIGHTED[name]
    (x, t1), (_, t2) = make(np.random.default_rng(1)), make(np.random.default_rng(2))
    x = Variable(x)
    compare(lambda t: getattr(F, loss)(x * 1.0, t, **settings), [x], [t1], [t2])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("padded", [True, False])
def test_ctc_with_lengths_as_arguments(reduction, padded, rng):
    x = Variable(rng.normal(size=(6, 3, 5)))
    labels = rng.integers(1, 5, (2, 3, 3))
    n, m = np.array([[6, 5, 4], [4, 6, 6]]), np.array([[3, 1, 2], [0, 3, 3]])

    def fn(labels, n, m):
        return F.ctc_loss(ag.log_softmax(x, -1), labels, n, m, reduction=reduction)

    if not padded:  # all in one row
        labels = [
            np.concatenate([row[:k] for row, k in zip(*pair, strict=True)])
            for pair in zip(labels, m, strict=True)
        ]
    compare(fn, [x], (labels[0], n[0], m[0]), (labels[1], n[1], m[1]))


SETTINGS = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "weighted": {"weight": np.arange(1, 8.0)},
    "summed": {"reduction": "sum"},
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("kind", ["all", "ignored", "masked"])
def test_class_numbers_as_arguments(name, kind, rng):
    x = Variable(rng.normal(size=(6, 7)))
    t = rng.integers(0, 7, (2, 6))
    masks = np.ones((2, 6), bool)
    if kind == "ignored":
        t[0, 1] = t[1, 2] = t[1, 5] = -100
    if kind == "masked":
        masks = rng.random((2, 6)) > 0.4
    mask = {"mask": None} if kind != "masked" else {}

    def fn(t, m):
        return F.cross_entropy(x * 1.0, t, **({"mask": m} | mask | SETTINGS[name]))

    compare(fn, [x], (t[0], masks[0]), (t[1], masks[1]))


def test_gradients_inside_the_function(rng):
    layer = nn.Linear(4, 4, **F64)

    def penalty(x):
        x = Variable(x)
        y = (layer(x) ** 3).sum()
        g = ag.grad(y, x, create_graph=True)
        return y + (g * g).sum()

    xs = rng.normal(size=(2, 3, 4))
    compare(penalty, list(layer.parameters()), xs[:1], xs[1:])


def test_checkpoint_inside_the_function(rng):
    layer, xs = nn.LSTM(4, 3, **F64), rng.normal(size=(2, 5, 3, 4))
    compare(
        lambda x: (ag.checkpoint(lambda x: layer(x)[0], x) ** 2).sum(),
        list(layer.parameters()),
        xs[:1],
        xs[1:],
    )


class CharacterModel(nn.Module):
    def __init__(self):
        self.embedding = nn.Embedding(7, 4, **F64)
        self.lstm = nn.LSTM(4, 5, num_layers=2, **F64)
        self.linear = nn.Linear(5, 7, **F64)

    def forward(self, x, target):
        y = self.linear(self.lstm(self.embedding(x))[0])
        return F.cross_entropy(y.reshape(-1, 7), target.reshape(-1))


def test_a_character_model_learns_the_same(rng):
    text = rng.integers(0, 7, (8, 9, 3))
    results = []
    for captured in (False, True):
        nn.manual_seed(0)
        model = CharacterModel()
        optimizer = optim.AdamW(model.parameters(), lr=0.01)
        schedule = optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
        step = capture(model)
        losses = []
        for part in text:
            x, target = part[:-1], part[1:]
            optimizer.zero_grad()
            if captured:
                loss = step(x, target)
            else:
                loss = model(x, target)
                loss.backward()
            optim.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        assert len(step.recordings) == captured
        results.append((losses, model.state_dict()))
    assert_allclose(results[1][0], results[0][0], 1e-12)
    for name, array in results[0][1].items():
        assert_allclose(results[1][1][name], array, 1e-11, 1e-13, err_msg=name)


def test_dtypes_are_those_of_a_run(rng):
    w = Variable(rng.normal(size=3).astype(np.float32))
    count = np.array(3.0)  # a float64 of no axes never widens
    step = capture(lambda x, n: ((w * x) * 2.0 / n.sum().item()).sum())
    for _ in range(2):
        loss = step(np.ones(3, np.float32), count)
        assert loss.dtype == np.float32 and w.grad.dtype == np.float32
    assert_allclose(loss.data, 2 / 3 * w.data.sum(), 1e-6)


def test_masks_are_drawn_anew_at_every_call(rng):
    """In the order of a run: two generators with one seed, one for each."""
    generators = [np.random.default_rng(5) for _ in range(2)]
    xs, models = rng.normal(size=(4, 5, 2, 3)), []
    for own in generators:
        nn.manual_seed(0)
        cell = nn.VariationalDropout(nn.Zoneout(nn.LSTMCell(3, 4, **F64), 0.3, own), 0.2, 0.4, own)
        models.append(nn.Sequential(nn.Dropout(0.5, rng=own), nn.Recurrent(cell)))
    step = capture(lambda x: (models[0](x)[0] ** 2).sum())
    for x in [*xs, xs[0]]:
        replayed = step(x)
        expected = (models[1](x)[0] ** 2).sum()
        expected.backward()
        assert_allclose(replayed.data, expected.data)
        assert generators[0].bit_generator.state == generators[1].bit_generator.state
    for p, q in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert_allclose(p.grad.data, q.grad.data, 1e-11)
    assert len(step.recordings) == 1

    def decides(rng):
        drop = nn.Dropout(0.5, rng=rng)
        return lambda x: drop(w * x).sum() * (2.0 if x.sum() > 0 else 3.0)

    w, (fn, run) = Variable(np.ones(3)), map(decides, generators)
    step = capture(fn)
    for k in (1, -1, 1, -1, -2, 3):  # a replay that comes to the other decision has drawn already
        assert_allclose(step(k * np.arange(1.0, 4)).data, run(k * np.arange(1.0, 4)).data)
    assert len(step.recordings) == 2

    drop = nn.Dropout(0.5)  # by the default generator
    w = Variable(np.ones(3))
    step, seen = capture(lambda x: drop(w * x).sum()), []
    for seed in (1, 2, 1):
        nn.manual_seed(seed)
        seen.append([step(np.arange(3.0)).item() for _ in range(20)])
    assert seen[0] == seen[2] != seen[1]


# --- between calls --------------------------------------------------------------------------------


@pytest.fixture
def model(rng):
    return nn.Linear(3, 1, **F64)


@pytest.fixture
def xs(rng):
    return rng.normal(size=(4, 5, 3))


def test_a_replay_runs_no_python_of_the_function_and_makes_no_graph(model, xs, monkeypatch):
    calls = []

    def fn(x):
        calls.append(1)
        return model(x).sum()

    step = capture(fn)
    step(xs[0])
    assert len(calls) == 2  # as it is, and to record it
    monkeypatch.setattr(Function, "__call__", None)
    for x in xs:
        assert_allclose(step(x).data, (x @ model.weight.data.T + model.bias.data).sum())
    assert len(calls) == 2


def test_gradients_add_up_as_in_backward(model, xs):
    step = capture(lambda x: model(x).sum())
    step(xs[0])
    step(xs[1])
    assert_allclose(model.weight.grad.data, xs[:2].sum((0, 1))[None])
    for x in xs[2:]:  # what a replay gives is not touched by the next
        model.zero_grad()
        step(x)
        first, kept = model.weight.grad, model.weight.grad.data.copy()
        step(xs[0])
        assert_array_equal(first.data, kept)


def test_results_are_the_callers_own(model, xs):
    step = capture(lambda x: (model(x).sum(), {"y": model(x), "x": x, "w": model.weight}))
    step(xs[0])
    loss, out = step(xs[1])
    kept = {
        name: value.copy() if isinstance(value, np.ndarray) else value.data.copy()
        for name, value in out.items()
    }
    assert isinstance(out["y"], Variable) and isinstance(out["x"], np.ndarray)
    out["x"][...] = 7  # neither later calls
    model.weight.data[...] = 0
    step(xs[2])
    for name in ("y", "w"):  # nor parameters change them
        assert_array_equal(out[name].data, kept[name])
    assert_allclose(step(xs[1])[1]["x"], xs[1])


def test_new_shapes_dtypes_and_settings_are_recorded_anew(xs):
    w = Variable(np.ones(3))
    step = capture(lambda x, scale=1.0, names=(): (w * x * scale).sum())
    for n, args in enumerate(
        [(xs[0],), (xs[0, :2],), (xs[0, :2].astype(np.float32),), (xs[0], 2), (xs[0], 2.0), (xs[0], True)], 1
    ):
        w.grad = None
        scale = args[1] if len(args) > 1 else 1.0
        assert_allclose(step(*args).data, (args[0] * scale).sum(), 1e-6)
        assert_allclose(w.grad.data, args[0].sum(0) * scale, 1e-6)
        assert len(step.recordings) == n
    step(xs[1])
    step(xs[1], scale=2.0)
    assert len(step.recordings) == 7  # by name is another way to call
    for k in range(KEPT + 2):
        step(xs[0], 10.0 + k)
    assert len(step.recordings) == KEPT
    with pytest.raises(TypeError, match="got a set"):
        step(xs[0], names={1})


def test_decisions_by_values_are_made_again():
    w = Variable(np.array([2.0]))

    def settle(x):
        h = w * x
        while (abs(h) > 1).any():
            h = h * 0.5
        return h.sum() if x.sum() > 0 else (h * h).sum()

    step = capture(settle)
    for x, recordings in [(3.0, 1), (3.2, 1), (9.0, 2), (-3.0, 3), (3.1, 3), (-3.3, 3), (8.5, 3)]:
        w.grad = None
        loss = step(np.array([x]))
        g, w.grad = w.grad, None
        assert len(step.recordings) == recordings
        expected = settle(np.array([x]))
        expected.backward()
        assert_allclose([loss.data, g.data[0]], [expected.data, w.grad.data[0]])


def test_results_that_change_shape_with_the_values(xs):
    w = Variable(np.ones((5, 3)))
    step = capture(lambda x: (w[x > 0] ** 2).sum())
    for x in xs:
        w.grad = None
        assert_allclose(step(x).data, (x > 0).sum())
        assert_array_equal(w.grad.data, 2.0 * (x > 0))


def test_indices_are_checked_at_every_call():
    table = nn.Embedding(5, 2, **F64)
    step = capture(lambda i: (table(i) ** 2).sum())
    step(np.array([0, 4, 2]))
    step(np.array([1, 1, 3]))
    for wrong in (5, -1):
        with pytest.raises(IndexError, match="from 0 to 4"):
            step(np.array([0, wrong, 2]))
    assert len(step.recordings) == 1


def test_leaves_that_move_are_found_again(model, xs):
    step = capture(lambda x: model(x).sum())
    for k, change in enumerate([
        lambda: None,
        lambda: model.load_state_dict({"weight": np.full((1, 3), 2.0), "bias": np.zeros(1)}),
        lambda: setattr(model.weight, "data", np.full((1, 3), 3.0)),
        lambda: model.to_dtype(np.float32),
    ]):  # fmt: skip
        change()
        model.zero_grad()
        x = xs[k].astype(model.weight.dtype)
        assert_allclose(step(x).data, model(x).sum().data, 1e-5)
        assert_allclose(model.weight.grad.data, x.sum(0)[None], 1e-5)
    for frozen in (True, False, True):
        model.bias.requires_grad = not frozen
        model.zero_grad()
        step(x)
        assert (model.bias.grad is None) == frozen and model.weight.grad is not None
    model.bias.data[...] = 5.0  # a frozen parameter is read at every call
    assert_allclose(step(x).data, model(x).sum().data, 1e-5)


def test_without_a_way_back(model, xs):
    step = capture(lambda x: model(x))
    with no_grad():
        step(xs[0])
        y = step(xs[1])
    assert_allclose(y.data, xs[1] @ model.weight.data.T + model.bias.data)
    assert model.weight.grad is None
    with no_grad():  # the weights are read anew
        model.weight.data *= 2.0
        assert_allclose(step(xs[1]).data, model(xs[1]).data)
    with pytest.raises(RuntimeError, match="sum"):
        step(xs[1])


def test_hooks_of_leaves_run_at_every_call(model, xs):
    norms = []
    model.weight.register_hook(lambda g: norms.append(abs(g.data).sum()) or g * 2.0)
    step = capture(lambda x: model(x).sum())
    for x in xs:
        model.zero_grad()
        step(x)
        assert_allclose(model.weight.grad.data, 2.0 * x.sum(0)[None])
    assert_allclose(norms, abs(xs.sum(1)).sum(-1))


def test_instruments_see_a_run(model, xs):
    step = capture(lambda x: model(x).sum())
    step(xs[0])
    model.zero_grad()
    with ag.watch() as watch:
        loss = step(xs[1])
    (use,) = watch.uses(model.weight)
    assert_allclose(use.grad, xs[1].sum(0)[None])
    assert_allclose(model.weight.grad.data, use.grad)
    assert not loss.requires_grad


def test_numpy_scalars_are_arrays_and_many_recordings_are_a_warning(model, xs):
    step = capture(lambda x, factor: (model(x) * factor).sum())
    for k in range(30):
        assert_allclose(step(xs[0], np.float64(k)).data, (model(xs[0]) * k).sum().data, 1e-12, 1e-12)
    assert len(step.recordings) == 1
    with pytest.warns(RuntimeWarning, match="recorded <lambda> 20 times in 49 calls"):
        for k in range(19):
            step(xs[0], float(k))


def test_threads_take_turns():
    w = Variable(np.full(50_000, 0.5))

    def fn(x):
        for _ in range(20):
            x = x * w + x
        return x

    step, wrong = capture(fn), []
    inputs = np.arange(4.0)[:, None] * np.ones(50_000)

    def work(x):
        with no_grad():
            for _ in range(5):
                if not np.allclose(step(x).data, x * 1.5**20):
                    wrong.append(1)

    with no_grad():
        step(Variable(inputs[0], requires_grad=False))
    threads = [threading.Thread(target=work, args=(Variable(x, requires_grad=False),)) for x in inputs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_memory_is_shared_and_freed():
    w = Variable(np.ones(1000))

    def chain(x):
        y = w * x
        for _ in range(50):
            y = y * 1.01
        return y.sum()

    gc.disable()
    try:
        step = capture(chain)
        step(np.ones(1000))
        ((_, recorded),) = step.recordings
        assert recorded.program.nbytes < 6 * 8000  # of about a hundred arrays
        reference = weakref.ref(recorded)
        del step, recorded
        assert reference() is None
    finally:
        gc.enable()


def test_memory_of_a_large_recording_goes_back_before_the_first_replay(monkeypatch):
    w, released = Variable(np.ones(100_000)), []
    monkeypatch.setattr(recording, "release_freed_memory", lambda: released.append(1))
    for limit, times in ((10_000_000, 0), (100_000, 1)):
        monkeypatch.setattr(recording, "LARGEST", limit)
        step = capture(lambda x: (w * x * x).sum())
        step(np.ones(100_000))
        step(np.ones(100_000))
        assert len(released) == times


@pytest.mark.skipif(glibc("malloc_trim") is None, reason="needs glibc")
def test_freed_memory_is_released():
    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    arrays = [np.ones(12_000) for _ in range(1000)]
    kept = arrays[::100]  # what is free lies between blocks in use
    del arrays
    before = resident()
    release_freed_memory()
    assert before - resident() > 50_000_000
    assert kept[0][0] == 1.0


# --- what cannot be captured ----------------------------------------------------------------------


def refused(fn, match, *args, error=CaptureError):
    with pytest.raises(error, match=match):
        capture(fn)(*args)


def test_what_is_refused(model, xs):
    x, kept = xs[0], []
    before = {name: array.copy() for name, array in model.state_dict().items()}
    rng = np.random.default_rng(0)

    def changes(x):
        x *= 2.0
        return model(x).sum()

    def writes(x):
        total = np.zeros(5)
        total += x.sum(-1)
        return model(x).sum()

    refused(lambda x: (model(x) * rng.random()).sum(), "draws random numbers", x)
    refused(lambda x: (model(x), kept.append(model(x)))[0].sum(), "keeps an array of shape", x)
    refused(changes, "multiply writes into an array", x)
    refused(writes, "add writes into an array", x)
    refused(lambda x: model(x).sum() * sum(x.ravel().tolist()), "tolist reads the values", x)
    refused(lambda x: model(x).sum() * int(1e6 * x[0, 0]), "takes float", x)
    refused(lambda x: np.atleast_1d(x, 3.0)[1].sum() * model(x).sum(), "atleast_1d gives views and new", x)
    refused(lambda x: (model.zero_grad(), model(x).sum())[1], "leave zero_grad", x)
    refused(lambda x: model(x).sum() * len(f"{x.sum().item():.2f}"), "__format__ reads", x)
    refused(lambda x: model(x), "one element, got shape", x, error=RuntimeError)
    refused(lambda x: 3.0, "begins with a loss, got float", x, error=TypeError)
    refused(lambda x: model(x).sum(), "requires grad", Variable(x), error=TypeError)
    for name, array in model.state_dict().items():
        assert_array_equal(array, before[name])
    assert all(type(p.data) is np.ndarray for p in model.parameters())


@pytest.mark.parametrize("momentum", [0.1, None])
def test_batch_norm_keeps_its_averages(momentum, xs):
    layers = [nn.BatchNorm1d(3, momentum=momentum, **F64) for _ in range(2)]
    step = capture(lambda x: (layers[0](x) ** 3).sum())
    kept = layers[0].running_mean
    for k, x in enumerate([*xs, *xs]):
        if k == 5:
            assert layers[0].running_mean is kept and step.made == 1
            for layer in layers:
                layer.load_state_dict({"running_mean": np.ones(3)}, strict=False)
        expected = (layers[1](x) ** 3).sum()
        assert_array_equal(step(x).data, expected.data)
        for name, array in layers[1].state_dict().items():
            assert_array_equal(layers[0].state_dict()[name], array, err_msg=name)
    assert step.made == 2  # other arrays were loaded
    for layer in layers:
        layer.eval()
    assert_array_equal(step(xs[0]).data, (layers[1](xs[0]) ** 3).sum().data)


class Tracker(nn.Module):
    """Writes into an array of its own, in several ways, and reads it."""

    def __init__(self, write):
        self.weight, self.total, self.write = nn.Parameter(np.ones(3)), np.zeros(3), write

    def forward(self, x):
        before = self.total * 1.0
        self.write(self, x.sum(0))
        return (self.weight * x * (before + 2.0 * self.total)).sum()


def add_in_place(module, m):
    module.total += m


def set_elements(module, m):
    module.total[1:] = m[1:]
    module.total[0] += m[1]


def write_by_name(module, m):
    np.multiply(module.total, 0.5, out=module.total)
    np.add.at(module.total, [0, 0, 1], m)


@pytest.mark.parametrize("write", [add_in_place, set_elements, write_by_name])
def test_arrays_of_modules_are_written(write, xs):
    modules = [Tracker(write) for _ in range(2)]
    step = capture(modules[0])
    for x in xs:
        for module in modules:
            module.zero_grad()
        expected = modules[1](x)
        expected.backward()
        assert_allclose(step(x).data, expected.data, 1e-12)
        assert_allclose(modules[0].total, modules[1].total, 1e-12)
        assert_allclose(modules[0].weight.grad.data, modules[1].weight.grad.data, 1e-12)
    assert step.made == 1


def write_into_a_view(module, m):
    row = module.total[:2]
    row += m[:2]


def write_into_shared_memory(module, m):
    module.other = module.total[::-1]
    module.total += m


@pytest.mark.parametrize("write", [write_into_a_view, write_into_shared_memory])
def test_arrays_of_modules_that_are_not_written_as_a_whole_are_refused(write, xs):
    modules = [Tracker(write) for _ in range(2)]
    for module in modules:
        module.other = module.total[::-1]
    refused(modules[0], "add writes into an array", xs[0])
    modules[1](xs[0])
    assert_array_equal(modules[0].total, modules[1].total)  # as the run left it
    assert type(modules[0].total) is np.ndarray


def test_functions_that_make_several_arrays_are_made_again(xs):
    w = Variable(np.ones(3))

    def fn(x):
        q, r = np.linalg.qr(x)
        sign, size = np.linalg.slogdet(r[:2, :2])  # two scalars
        return (w * (q @ r)[0]).sum() * size * sign

    compare(fn, [w], xs[:1], xs[1:2])


def test_an_error_in_the_function_leaves_the_leaves_as_they_were(model, xs):
    before = model.weight.data.copy()
    array = model.weight.data

    def fails(x):
        if fails.runs:
            raise KeyboardInterrupt
        fails.runs = 1
        return model(x).sum()

    fails.runs = 0
    refused(fails, None, xs[0], error=KeyboardInterrupt)
    assert model.weight.data is array
    assert_array_equal(array, before)


# --- what looks as if it replays and does not ----------------------------------------------------


def numbers(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def replays(f, *inputs):
    """Does every call of a captured f under no_grad give what f gives?"""
    step = capture(f)
    with no_grad():
        for xs in inputs:
            for a, b in zip(tuple_of(step(*xs)), tuple_of(f(*[x.copy() for x in xs])), strict=True):
                a, b = (x.data if isinstance(x, Variable) else np.asarray(x) for x in (a, b))
                assert a.dtype == b.dtype
                assert_allclose(a, b, 1e-12, strict=True)


MASKS = [(numbers(k, 3, 4), np.arange(12).reshape(3, 4) % (k + 1) == 0) for k in range(3)]  # first, all True


@pytest.mark.parametrize(
    "f",
    [
        lambda a, m: a - np.asarray(a).max(),
        lambda a, m: a / np.asarray(m).sum(),
        lambda a, m: a * np.array(0.5 + 0 * a)[0, 0],
        lambda a, m: a * np.eye(2)[m.astype(int)].sum((0, 1))[1],
        lambda a, m: a + np.full((3, 4), a[0, 0]),
        lambda a, m: a if np.asarray(m).all() else -a,
        lambda a, m: a if np.asarray(~m).any() else -a,
        lambda a, m: (a, np.float64(a[0, 0])),
        lambda a, m: a * a.flat[0],
        lambda a, m: np.nan_to_num(np.log(a), copy=False),
        lambda a, m: np.dot(a, a.T, np.empty_like(a, shape=(3, 3))),
        lambda a, m: np.frompyfunc(float, 1, 1)(a),
    ],
)
def test_what_cannot_be_seen_is_an_error(f):
    with pytest.raises(CaptureError), no_grad(), np.errstate(invalid="ignore"):
        capture(f)(*MASKS[0])


def swapped(a, m):
    y = a * 1.0
    before = y[0, 0]
    y[0, 0] = y[1, 1]
    y[1, 1] = before
    return y


def counted(a, m):
    n = total = m.sum()
    n += 1
    share = m.sum().item() * 0.5
    share += 1
    return a.astype(np.float32) * share, n, total


def joined_over_old(a, m):
    whole = np.concatenate([a, a])
    parts = [a + 1, a + 2]
    old = whole * 2
    np.concatenate(parts, out=whole)
    return whole, old


def failed_write(a, m):
    y = a * 2
    try:
        y[0] = a[:2]
    except ValueError:
        y[0] = 1
    return y


@pytest.mark.parametrize(
    "f",
    [
        swapped,
        counted,
        joined_over_old,
        failed_write,
        lambda a, m: np.concatenate([a + 1, a * 2], 1),
        lambda a, m: np.concatenate([a + 1, a * 2], axis=None),
        lambda a, m: np.concatenate(np.stack([a, a * 2]) + 1),
        lambda a, m: np.stack(a + 1),
        lambda a, m: np.trim_zeros(np.ravel(m) * 1.0),
        lambda a, m: np.emath.sqrt(a + 2.5),
        lambda a, m: np.float_power(np.abs(a.astype(np.float32)), 0.1),
        lambda a, m: np.sum(a.astype(np.float32), dtype=np.float64),
        lambda a, m: np.reshape(a + 1, (4, 3), "F"),
        lambda a, m: (a[m].sum().item(), np.max(a), a),
    ],
)
def test_results_and_dtypes_are_those_of_the_function(f):
    replays(f, *MASKS[1:], *MASKS)


def test_zeros_have_signs():
    step = capture(lambda x, s: x * np.copysign(1.0, s))
    with no_grad():
        assert [step(np.ones(1), s)[0] for s in (0.0, -0.0, 0.0)] == [1, -1, 1]


@pytest.mark.parametrize("grad", [True, False])
def test_leaves_without_a_gradient_are_followed(grad):
    w, aside = Variable(numbers(0, 3)), Variable(numbers(1, 3, 3))

    def f(x):
        with no_grad():
            teacher = ag.contiguous(aside.T) * aside
        return (x @ (teacher.detach() + w)).sum(), (x @ aside).detach()

    step, x = capture(f), numbers(2, 2, 3)
    changes = [lambda: None, lambda: aside.data.fill(2.0)]
    changes += [
        lambda: setattr(aside, "data", numbers(3, 3, 3)),
        lambda: setattr(aside, "data", aside.data.T),
    ]
    with ag.enable_grad() if grad else no_grad():
        for change in changes:
            change()
            for a, b in zip(step(x), f(x), strict=True):
                assert_allclose(a.data, b.data, 1e-12)


def test_data_replaced_inside_is_an_error_and_undone():
    w = Variable(np.ones(3))

    def f(x):
        w.data = w.data / np.sum(w.data)
        return (x * w).sum()

    with pytest.raises(CaptureError, match="leaf"):
        capture(f)(numbers(0, 3))
    assert_array_equal(w.data, np.full(3, 1 / 3))


def test_read_only_leaves_replay():
    w = Variable(numbers(0, 3))
    w.data.flags.writeable = False
    step = capture(lambda x: (x * w).sum())
    for k in range(3):
        w.grad = None
        step(numbers(k, 3))
        assert_array_equal(w.grad.data, numbers(k, 3))


def test_errors_that_the_function_ignores_are_ignored_in_replays():
    step, x = capture(lambda x: ag.logsumexp(x, -1)), np.full((2, 3), -np.inf)
    with no_grad():
        for _ in range(2):
            assert_array_equal(step(Variable(x, requires_grad=False)).data, [-np.inf] * 2)
        step = capture(np.exp)
        step(np.zeros(2))
        with pytest.warns(RuntimeWarning, match="overflow"):
            step(np.full(2, 1e9))


def test_arrays_that_mean_more_are_refused():
    with pytest.raises(CaptureError, match="MaskedArray"), no_grad():
        capture(lambda x: x.sum())(np.ma.array([1.0, 2.0], mask=[False, False]))


@pytest.mark.parametrize("result", [(), {}, 1.0, None])
def test_without_a_loss_there_is_no_way_back(result):
    with pytest.raises(TypeError, match="a loss"):
        capture(lambda: result)()


def test_other_results_are_compared_as_well():
    calls = []

    def f(x):
        calls.append(None)
        return x * 2, len(calls)

    with pytest.raises(CaptureError, match="repeat"), no_grad():
        capture(f)(np.ones(3))


def test_what_raises_only_in_the_recording_is_a_capture_error():
    w, before = Variable(numbers(0, 3)), numbers(0, 3)

    def f(x):
        if not isinstance(w.data.tolist(), list):
            raise AssertionError
        return (w * x).sum()

    with pytest.raises(CaptureError, match="tolist"):
        capture(f)(np.ones(3))
    calls = []

    def g(x):
        calls.append(None)
        if len(calls) == 2:
            raise KeyError("on other numbers")
        return (w * x).sum()

    step = capture(g)
    with pytest.raises(CaptureError) as caught:
        step(np.ones(3))
    assert isinstance(caught.value.__cause__, KeyError)
    assert_array_equal(w.data, before)
    assert type(w.data) is np.ndarray and w.grad is None


def test_comparisons_are_noted_from_both_sides():
    replays(
        lambda a, m: (
            a == 1,
            np.ones(4) != a,
            a == a.T.T,
            np.float64(0) == a,
            a[0, 0] != a[1, 1],
            m == np.ones(4),
            a < 0,
        ),
        *MASKS,
    )
