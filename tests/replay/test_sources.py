"""What a captured function reads beside its arguments is followed, or recorded anew, or refused; and what may
happen around a recording: threads, forks, interrupts, copies, and captured functions within each other."""

import copy
import gc
import os
import pickle
import random
import signal
import threading
import weakref
from collections import OrderedDict, defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import nn
from autograd import CaptureError, Parameter, Variable, capture, no_grad
from tests.cases import fuzz_capture

F64 = {"dtype": np.float64}
X = np.array([1.0, 2.0, 3.0])


def agree(fn, *changes, leaves=(), x=X):
    """Compare a captured fn with fn, gradients too, at first and after each change; gives its recordings."""
    step = capture(fn)
    for change in (lambda: None, lambda: None, *changes):
        change()
        for leaf in leaves:
            leaf.grad = None
        loss = step(x)
        found = [leaf.grad for leaf in leaves]
        for leaf in leaves:
            leaf.grad = None
        expected = fn(x)
        expected.backward()
        assert_allclose(loss.data, expected.data, 1e-12)
        for g, leaf in zip(found, leaves, strict=True):
            assert_allclose(g.data, leaf.grad.data, 1e-12)
    return step.made


# --- leaves that are only read --------------------------------------------------------------------

READ = {
    "compared": lambda q: q > 0,
    "compared by NumPy": lambda q: np.less(0, q),
    "data": lambda q: q.data,
    "element of data": lambda q: q.data[0],
    "item": lambda q: q.data[0].item(),
    "float": lambda q: float(Variable(q.data[0], requires_grad=False)),
    "argmax": lambda q: q.argmax(),
    "argmin by NumPy": lambda q: np.argmin(q),
    "detached": lambda q: q.detach(),
    "isfinite": lambda q: np.isfinite(q) * q.data,
    "sign of data": lambda q: np.sign(q.data),
    "decided": lambda q: 2.0 if q.data[0] > 0 else 3.0,
    "decided by the sum": lambda q: 2.0 if (q > 0).sum() > 1 else 3.0,
    "copied": lambda q: copy.deepcopy(q).data,
}


@pytest.mark.parametrize("read", READ.values(), ids=list(READ))
@pytest.mark.parametrize("kind", [Parameter, Variable, lambda a: Variable(a, requires_grad=False)])
def test_leaves_that_are_only_read_are_followed(read, kind):
    p, q = Parameter(np.ones(3)), kind(np.array([1.0, -1.0, 1.5]))

    def replace():
        q.data = np.array([-2.0, 1.0, 3.0])

    agree(lambda x: (p * x * read(q)).sum(), lambda: np.negative(q.data, out=q.data), replace, leaves=[p])


def test_of_one_element_item_and_truth_are_followed():
    p, q = Parameter(np.ones(3)), Parameter(np.array(2.0))
    agree(
        lambda x: (p * x).sum() * q.item() * (1.0 if q > 0 else 5.0) * (3.0 if q else 1.0),
        *[lambda value=value: q.data.fill(value) for value in (3.0, -1.0, 0.0, 2.0)],
        leaves=[p],
    )


def test_leaves_that_only_hooks_use_are_followed():
    p, by, shift = Parameter(np.ones(3)), Parameter(np.full(3, 2.0)), Parameter(np.full(3, 0.5))

    def fn(x):
        h = p * x
        h.register_hook(lambda g: g * by + shift.data)
        return (h * h).sum()

    def change():
        by.data *= 3.0
        shift.data -= 1.0

    agree(fn, change, change, leaves=[p])


# --- modules --------------------------------------------------------------------------------------


def test_statistics_of_batch_norm_in_evaluation_are_followed():
    x = np.arange(12.0).reshape(4, 3)
    layer = nn.BatchNorm1d(3, **F64).eval()
    state = layer.state_dict()

    def load():
        layer.load_state_dict(state | {"running_mean": np.full(3, 7.0), "running_var": np.full(3, 4.0)})

    def in_place():
        layer.running_var *= 2.0

    agree(lambda x: (layer(x) ** 3).sum(), load, in_place, leaves=[layer.weight, layer.bias], x=x)


class Scaled(nn.Module):
    def __init__(self):
        self.linear = nn.Linear(3, 3, **F64)
        self.drop = nn.Dropout(0.5)
        self.scale, self.table = 2.0, np.array([1.0, 2.0, 3.0])

    def forward(self, x):
        y = self.linear(x) * self.scale * np.exp(self.table)
        return (self.drop(y) if self.training else y).sum()


def test_settings_arrays_and_mode_of_modules_are_followed():
    model = Scaled().eval()
    changes = [
        lambda: setattr(model, "scale", 3.0),
        lambda: setattr(model, "table", np.array([0.0, 1.0, 0.0])),
        lambda: model.table.fill(0.5),
        lambda: setattr(model.linear, "weight", Parameter(np.eye(3))),
        lambda: setattr(model, "linear", nn.Linear(3, 3, bias=False, **F64)),
    ]
    agree(model, *changes)
    step = capture(model)
    step(X)
    model.train()
    assert len({step(X).item() for _ in range(30)}) > 1  # dropout acts
    model.eval()
    assert {step(X).item() for _ in range(5)} == {model(X).item()}


def test_the_first_change_of_mode_is_noticed():
    """It adds an attribute to the modules, where there was only that of the class."""
    model, x = nn.Sequential(nn.Linear(3, 4, **F64), nn.Dropout(0.5)), X[None]
    step = capture(lambda x: model(x).sum())
    step(x), step(x)
    assert step.made == 1
    model.eval()
    assert_allclose(step(x).data, model[0](x).data.sum(), 1e-12)
    assert step.made == 2


def test_a_module_that_replaces_its_array_is_refused():
    class Counting(nn.Module):
        def __init__(self):
            self.weight, self.count = Parameter(np.ones(3)), np.zeros(3)

        def forward(self, x):
            self.count = self.count + 1
            return (self.weight * x * self.count).sum()

    model = Counting()
    with pytest.raises(CaptureError, match="replaces the array count"):
        capture(model)(X)
    assert_array_equal(model.count, np.ones(3))  # of the run before recording


FACTOR = 2.0


def test_names_around_the_function_are_followed(monkeypatch):
    import sys

    p, factor = Parameter(np.ones(3)), 2.0

    def change():
        nonlocal factor
        factor = 5.0

    assert agree(lambda x: (p * x).sum() * factor, change, leaves=[p]) == 2
    module = sys.modules[__name__]
    assert agree(lambda x: (p * x).sum() * FACTOR, lambda: monkeypatch.setattr(module, "FACTOR", 3.0)) == 2


def test_results_from_before_are_refused():
    p = Parameter(np.ones(3))
    before = p * 2.0
    with pytest.raises(CaptureError, match="was computed before"):
        capture(lambda x: (before * x).sum())(X)
    with pytest.raises(CaptureError, match="was computed before"):
        capture(lambda x: (p * before.data * x).sum())(X)
    kept = before.detach()
    agree(lambda x: (kept * p * x).sum(), leaves=[p])


def test_gradients_of_leaves_are_refused_and_others_are_not():
    p = Parameter(np.ones(3))
    p.grad = Variable(np.ones(3), requires_grad=False)
    for fn in (
        lambda x: (p * x).sum() * float(p.grad.data[0]),
        lambda x: (p * x).sum() if p.grad is None else (p * x).sum() * 2.0,
    ):
        with pytest.raises(CaptureError, match="uses the grad of a leaf"):
            capture(fn)(X)

    def inner(x):
        a = Variable(x * 2.0)
        y = (a * a).sum()
        y.backward()
        return (p * a.grad.data).sum()

    agree(inner, leaves=[p])


# --- random numbers -------------------------------------------------------------------------------

OWN = np.random.default_rng(3)
PYTHON = random.Random(3)
OLD = np.random.RandomState(3)


@pytest.mark.parametrize(
    "decide",
    [
        lambda: OWN.random() < 0.9,
        lambda: PYTHON.random() < 0.9,
        lambda: OLD.rand() < 0.9,
        lambda: OLD.randn() < 9.0,
        lambda: random.random() < 0.9,
        lambda: np.random.random() < 0.9,
        lambda: nn.random.default_rng().random() < 0.9,
    ],
)
def test_random_decisions_are_refused(decide):
    p, taught = Parameter(np.ones(3)), []

    def fn(x):
        h = p * x
        return (h if decide() else h * 0.5).sum()

    def with_masks(x):
        h = nn.functional.dropout(p * x, 0.5, True)
        return (h if decide() else h * 0.5).sum()

    for _ in range(5):
        for f in (fn, with_masks):
            with pytest.raises(CaptureError, match="draws random numbers by itself"):
                taught.append(capture(f)(X))
    assert not taught


def test_what_only_another_mask_leads_to_is_followed():
    p, q, x = Parameter(np.ones(3)), Parameter(np.full(3, 3.0)), np.full(3, 0.6)
    for seed in range(30):
        own, same = np.random.default_rng(seed), np.random.default_rng(seed)

        def fn(x, generator):
            h = nn.functional.dropout(p * x, 0.5, True, generator)
            return (h * q).sum() if (h > 1.0).sum() > 1 else h.sum()

        step = capture(lambda x, own=own: fn(x, own))
        for k in range(4):
            q.data *= 1.1
            p.grad = q.grad = None
            loss, found = step(x), (p.grad.data, None if q.grad is None else q.grad.data)
            p.grad = q.grad = None
            expected = fn(x, same)
            expected.backward()
            assert_allclose(loss.data, expected.data)
            assert_array_equal(found[0], p.grad.data)
            assert (found[1] is None) == (q.grad is None), (seed, k)


def test_leaves_made_at_every_call_are_refused():
    p, kept = Parameter(np.ones(3)), []

    def fn(x):
        kept.append(Variable(np.ones(3)))
        return (p * x * kept[-1]).sum()

    with pytest.raises(CaptureError, match="makes a leaf at every call"):
        capture(fn)(X)


def test_a_generator_made_inside_is_refused():
    p = Parameter(np.ones(50))
    with pytest.raises(CaptureError, match="make it outside"):
        capture(lambda x: nn.Dropout(0.5, rng=np.random.default_rng(1))(p * x).sum())(np.ones(50))


# --- arguments and results ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fn",
    [
        lambda z: z.real * 2.0 + z.imag,
        lambda z: np.abs(z).strides[0] * z.real,
        lambda z: z.real.item(4) * 1.0 + z.real.item(1, 2) + z.real.item((1, 0)),
        lambda z: z.real.shape[0] * z.real * z.real.flags.c_contiguous,
        lambda z: z.real @ z.real.mT,
        lambda z: sum(row.sum() for row in z.real),
    ],
)
def test_what_arrays_say_of_themselves(fn):
    step = capture(fn)
    for seed in range(3):
        re, im = np.random.default_rng(seed).normal(size=(2, 2, 3))
        with no_grad():
            assert_allclose(step(re + 1j * im), fn(re + 1j * im))


@pytest.mark.parametrize("name", ["base", "data", "ctypes", "flat", "__array_interface__"])
def test_what_leads_to_the_memory_of_an_array_is_refused(name):
    with pytest.raises(CaptureError, match=name), no_grad():
        capture(lambda x: (getattr(x, name), x * 2.0)[1])(X)


@pytest.mark.filterwarnings("ignore:.*shape:DeprecationWarning")  # newer NumPy advises against it too
def test_shapes_are_not_set_in_place():
    def fn(x):
        x.shape = (3, 1)
        return x

    with pytest.raises(CaptureError, match="no setter"), no_grad():
        capture(fn)(X)


def test_nests_keep_their_types():
    pair = OrderedDict(b=X, a=2 * X)
    table = defaultdict(lambda: 7.0, k=X)

    def fn(pair, table):
        assert type(pair) is OrderedDict and type(table) is defaultdict
        first, *_ = pair.values()
        return first * table["missing"] + table["k"], pair

    step = capture(fn)
    with no_grad():
        for _ in range(3):
            y, back = step(pair, table)
            assert_array_equal(y, 8 * X)
            assert type(back) is OrderedDict and list(back) == ["b", "a"]
    assert list(table) == ["k"]


def test_arguments_that_can_change_are_refused():
    class Config:
        scale = 2.0

    class Slotted:
        __slots__ = ("scale",)

    step = capture(lambda x, c: x * 2.0)
    with no_grad():
        for c in (Config(), Slotted(), SimpleNamespace(scale=2.0), bytearray(b"a"), {1, 2}):
            with pytest.raises(TypeError, match="can change unseen"):
                step(X, c)
        for c in (None, "a", 1, 2.5, (1, "b"), frozenset([1]), np.float32, np.tanh, len, np.dtype("f"), ...):
            assert_array_equal(step(X, c), 2 * X)


def test_a_module_as_an_argument_is_followed():
    models = [nn.Linear(3, 1, **F64) for _ in range(2)]
    step = capture(lambda model, x: model(x).sum())
    for _ in range(2):
        for model in models:
            assert_allclose(step(model, X).data, model(X).sum().data)
            model.weight.data *= 2.0
    assert len(step.recordings) == 2


def test_the_first_call_too_keeps_memory_apart():
    w, x = Parameter(np.ones(3)), X.copy()
    step = capture(lambda x: ((w * x).sum(), x, w, w.data))
    for _ in range(3):
        _, given, leaf, data = step(x)
        for a in (given, leaf.data, data):
            assert not np.shares_memory(a, x) and not np.shares_memory(a, w.data)

    def doubles(x):
        x *= 2.0
        return w * x

    with pytest.raises(CaptureError, match="multiply writes into"), no_grad():
        capture(doubles)(x)
    assert_array_equal(x, X)


# --- around a recording ---------------------------------------------------------------------------


def test_captured_functions_do_not_nest():
    w = Parameter(np.ones(3))
    inner = capture(lambda x: (w * x).sum())
    inner(X)

    again = capture(lambda x: again(x))
    for fn in (lambda x: inner(x) * 1.0, again.fn):
        with pytest.raises(CaptureError, match="by a function that is being recorded"):
            capture(fn)(X)
    with pytest.raises(CaptureError, match="by a function that is being recorded"):
        again(X)
    agree(lambda x: inner.fn(x) * 2.0, leaves=[w])


class Trainer:
    def __init__(self, scale):
        self.w, self.scale = Parameter(np.ones(3)), scale

    @capture
    def step(self, x):
        return (self.w * x).sum() * self.scale


def test_methods_are_captured_for_each_object():
    trainers = [Trainer(2.0), Trainer(3.0)]
    for _ in range(3):
        assert [trainer.step(X).item() for trainer in trainers] == [12.0, 18.0]
    assert trainers[0].step is trainers[0].step is not trainers[1].step
    assert isinstance(Trainer.step, capture)
    trainers[0].scale = 5.0
    assert trainers[0].step(X).item() == 30.0
    assert_array_equal(trainers[1].w.grad.data, 9 * X)


class Scorer(nn.Module):
    def __init__(self, scale):
        self.linear, self.scale = nn.Linear(3, 1, bias=False, **F64), scale

    def loss(self, x):  # not by way of forward
        return (self.linear.weight * x).sum() * self.scale

    @capture
    def score(self, x):
        return self.loss(x) * (1.0 if self.training else 2.0)


def test_bound_methods_of_modules_are_captured():
    models = [Scorer(2.0), Scorer(3.0)]
    steps = [capture(model.loss) for model in models]
    for factor in (1.0, 1.0, 4.0):
        for model, step in zip(models, steps, strict=True):
            model.scale *= factor
            model.linear.weight.data += 1.0
            model.linear.weight.grad = None
            assert step(X).item() == model.loss(X).item()
            assert_array_equal(model.linear.weight.grad.data, [model.scale * X])
    for model in models:
        for mode in (True, True, False, True):
            model.train(mode)
            assert model.score(X).item() == model.loss(X).item() * (1 if mode else 2)
        assert [name for name, _ in model.named_parameters()] == ["linear.weight"]


def test_copies_and_pickles_of_what_holds_a_captured_function():
    first = Trainer(2.0)
    first.step(X)
    for second in (copy.deepcopy(first), pickle.loads(pickle.dumps(first))):
        second.w.data *= 2.0
        second.w.grad = None
        assert second.step(X).item() == 24.0
        assert_array_equal(second.w.grad.data, 2 * X)
    first.w.grad = None
    assert first.step(X).item() == 12.0
    assert copy.copy(first.step) is first.step
    step = copy.copy(capture(first.step.fn))
    assert step(X).item() == 12.0 and len(step.recordings) == 1


def test_threads_that_record_over_shared_parameters():
    w, errors = Parameter(np.ones(50)), []
    data = w.data

    def work(k):
        try:
            for i in range(6):
                step = capture(lambda x: (w * x * k).sum())
                if step(np.full(50, float(i))).item() != 50.0 * i * k:
                    errors.append((k, i))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert w.data is data


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # from Python 3.12 on, with threads
@pytest.mark.parametrize("forks", ["another thread", "the function itself"])
def test_a_fork_while_a_captured_call_runs(forks):
    w, running, forked = Parameter(np.ones(3)), threading.Event(), threading.Event()
    calls, children = [], []

    def fn(x):
        calls.append(1)
        if len(calls) == 2:  # the leaves hold other arrays now
            running.set()
            if forks == "another thread":
                assert forked.wait(10)
            elif (pid := os.fork()) == 0:
                os._exit(0 if type(w._data) is not np.ndarray else 1)
            else:
                children.append(pid)
        return (w * x).sum()

    step = capture(fn)
    thread = threading.Thread(target=step, args=(X,))
    thread.start()
    assert running.wait(10)
    if forks == "another thread":
        pid = os.fork()
        if pid == 0:
            signal.alarm(5)
            right = type(w.data) is np.ndarray and step(X).item() == 6.0 and capture(fn)(2 * X).item() == 12.0
            os._exit(0 if right else 1)
        children.append(pid)
        forked.set()
    thread.join()
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0]
    assert type(w.data) is np.ndarray and step(X).item() == 6.0


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs timers")
def test_interrupts_while_recording_are_not_swallowed_and_leave_nothing_behind():
    layer, x = nn.LSTM(3, 4), np.ones((3, 2, 3), np.float32)
    norm = nn.BatchNorm1d(4).eval()
    arrays = [p.data for p in layer.parameters()] + [norm.running_mean]
    before = [a.copy() for a in arrays]
    seen = caught = 0
    gc.collect()
    callbacks, gc.callbacks[:] = gc.callbacks[:], []  # and so it is in one of these, as Hypothesis has

    def interrupt(_, frame):
        nonlocal seen
        while frame:
            if (
                frame.f_code.co_filename == weakref.__file__
            ):  # Python swallows what is raised in a callback of these
                return signal.setitimer(signal.ITIMER_REAL, 1e-4)
            frame = frame.f_back
        seen += 1
        raise KeyboardInterrupt

    outer = signal.signal(signal.SIGALRM, interrupt)
    rng, errors = np.random.default_rng(0), np.geterr()
    try:
        for _ in range(60):
            step = capture(lambda x: norm(layer(x)[0][0]).sum())
            try:
                signal.setitimer(signal.ITIMER_REAL, float(rng.uniform(1e-4, 3e-2)))
                step(x)
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                caught += 1
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
            now = [p.data for p in layer.parameters()] + [norm.running_mean]
            assert all(a is b for a, b in zip(now[:-1], arrays[:-1], strict=True))
            assert type(now[-1]) is np.ndarray
    finally:
        signal.signal(signal.SIGALRM, outer)
        gc.callbacks[:] = callbacks
        np.seterr(**errors)  # an interrupt as `with np.errstate` is left leaves what it had set
        np.seterrcall(None)
    assert seen == caught > 5
    for a, b in zip(arrays, before, strict=True):
        assert_array_equal(a, b)
    layer.zero_grad()
    step = capture(lambda x: norm(layer(x)[0][0]).sum())
    assert_allclose(step(x).data, norm(layer(x)[0][0]).sum().data, 1e-6)


def test_random_functions():
    outcomes = fuzz_capture.run(range(100, 125))
    assert set(outcomes) == {"replayed", "recorded at every call", "refused"}, outcomes
