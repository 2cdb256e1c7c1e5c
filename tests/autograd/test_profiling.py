"""The profiler: calls, bytes and seconds, whose they are, and that it leaves nothing behind."""

import threading
import weakref
from functools import partial

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Function, Variable, profile
from autograd.extend import Outer
from autograd.modes import local
from autograd.replay.calls import expect, maximum, within
from autograd.replay.program import written


class Clock:
    """A clock that stands still unless somebody works."""

    now = 0.0

    def __call__(self):
        return self.now

    def work(self, seconds):
        self.now += seconds


class Work(Function):
    """2 x, in the given seconds forward and backward."""

    def __init__(self, clock, forward, backward=0.0):
        self.clock, self.times = clock, (forward, backward)

    def forward(self, x):
        self.clock.work(self.times[0])
        return x * 2.0

    def backward(self, gy):
        self.clock.work(self.times[1])
        return gy * 2.0


class Play(Work):
    """Another name."""


@pytest.fixture
def clock():
    return Clock()


def seconds(p, by="operation"):
    return {row.name: (row.forward, row.backward) for row in p.rows(by)}


# --- seconds --------------------------------------------------------------------------------------


def test_seconds_of_operations_and_what_is_left(clock):
    x = Variable([1.0, 2.0])
    with profile(clock) as p:
        clock.work(16.0)
        y = Play(clock, 1.0, 2.0)(Work(clock, 4.0, 8.0)(x)).sum()
        clock.work(32.0)
        y.backward()
        clock.work(64.0)
    clock.work(128.0)
    assert seconds(p) == {"Work": (4.0, 8.0), "Play": (1.0, 2.0), "Sum": (0.0, 0.0)}
    assert p.between == 16.0 + 32.0 + 64.0
    assert p.time == 15.0 + 112.0


def test_scopes_and_steps_nest(clock):
    x = Variable(1.0)
    with profile(clock) as p:
        with ag.scope("encoder"):
            x = Work(clock, 1.0)(x)
            for t in range(2):
                with ag.step(t), ag.scope("cell"):
                    x = Work(clock, 2.0, 4.0 * (t + 1))(x)
        with ag.step(1, unit="layer"):
            x = Play(clock, 16.0)(x)
        x.backward()
    assert seconds(p, "scope") == {
        "encoder": (1.0, 0.0),
        "encoder.cell": (4.0, 12.0),
        "top level": (16.0, 0.0),
    }
    assert seconds(p, "step") == {
        "layer = 1": (16.0, 0.0),
        "t = 0": (2.0, 4.0),
        "t = 1": (2.0, 8.0),
        "no step": (1.0, 0.0),
    }
    assert [row.name for row in p.rows("step")] == ["layer = 1", "t = 0", "t = 1", "no step"]


def test_time_inside_another_operation_counts_once(clock):
    def inner(x):
        clock.work(1.0)
        return Work(clock, 2.0, 4.0)(x)

    x = Variable(1.0)
    with profile(clock) as p:
        ag.checkpoint(inner, x).backward()
    # forward: inner once; backward: inner once more, and its way back
    assert seconds(p) == {"Checkpoint": (1.0, 1.0), "Work": (4.0, 4.0)}
    assert p.time == 10.0 and p.between == 0.0


def test_recorded_passes_count_for_the_operations_they_call(clock):
    class Square(Function):
        def forward(self, x):
            clock.work(1.0)
            return x * x

        def backward(self, gy, x):
            clock.work(2.0)
            return Work(clock, 4.0)(gy) * x

    x = Variable(3.0)
    with profile(clock) as p:
        g = ag.grad(Square()(x), x, create_graph=True)
    assert g.item() == 6.0
    assert seconds(p) == {"Square": (1.0, 2.0), "Work": (4.0, 0.0), "Mul": (0.0, 0.0)}


def test_a_deferred_gradient_is_shared_out_among_its_uses(clock):
    class Slow(Outer):
        __slots__ = ()

        @staticmethod
        def join(parts):
            clock.work(12.0)
            return Outer.join(parts)

    class Product(Function):
        def forward(self, x, w):
            return x @ w

        def backward(self, gy, x, w):
            clock.work(1.0)
            return gy @ w.T, Slow(x, gy)

    x, w = Variable(np.ones((2, 3))), Variable(np.ones((3, 3)))
    uses = []
    with profile(clock) as p:
        for t in range(3):
            with ag.step(t):
                x = Product()(x, w)
                uses.append(x.creator)
        x.sum().backward()
    assert seconds(p, "step") == {**{f"t = {t}": (0.0, 1.0 + 4.0) for t in range(3)}, "no step": (0.0, 0.0)}
    assert [p.seconds(node) for node in uses] == [5.0, 5.0, 5.0]
    assert p.between == 0.0
    (row,) = [row for row in p.rows() if row.name == "Product"]
    assert row.backward_calls == 3
    assert row.nbytes == 3 * 2 * 3 * 8 + 3 * 2 * 3 * 8 + 3 * 3 * 8  # results, gradients of x, one of w


def test_seconds_of_a_node(clock):
    x = Variable(1.0)
    before = Work(clock, 1.0)(x)
    with profile(clock) as p:
        y = Work(clock, 2.0, 4.0)(before)
        z = y * 2.0
        z.backward(retain_graph=True)
        z.backward()
    assert p.seconds(y) == 2.0 + 2 * 4.0 == p.seconds(y.creator)
    assert p.seconds(z) == 0.0
    assert p.seconds(before) == 0.0  # backward alone, which takes no time here
    assert p.seconds(Work(clock, 1.0)(x)) is None
    with pytest.raises(ValueError, match="expected a computed Variable or a Function, got a leaf"):
        p.seconds(x)


def test_an_operation_that_raises_is_counted_and_the_clock_goes_on(clock):
    class Fails(Function):
        def forward(self, x):
            clock.work(1.0)
            raise ValueError("no")

        def backward(self, gy):
            raise AssertionError

    with profile(clock) as p:
        with pytest.raises(ValueError, match="no"):
            Fails()(Variable(1.0))
        clock.work(2.0)
        Work(clock, 4.0)(Variable(1.0))
    assert seconds(p) == {"Fails": (1.0, 0.0), "Work": (4.0, 0.0)} and p.between == 2.0


def test_a_pass_that_cannot_be_repeated_leaves_the_clock_right(clock):
    y = Work(clock, 1.0)(Variable(1.0)) * Variable(2.0)
    y.backward()
    with profile(clock) as p:
        with pytest.raises(RuntimeError, match="second backward pass"):
            y.backward()
        clock.work(2.0)
    assert p.between == 2.0 and p.time == 2.0


def test_profiles_nest(clock):
    x = Variable(1.0)
    with profile(clock) as outer:
        Work(clock, 1.0)(x)
        with profile(clock) as inner:
            Work(clock, 2.0, 4.0)(x).backward()
            clock.work(8.0)
    assert seconds(inner) == {"Work": (2.0, 4.0)} and inner.between == 8.0
    assert seconds(outer) == {"Work": (3.0, 4.0)} and outer.between == 8.0


def test_entered_again_it_adds_up(clock):
    p = profile(clock)
    for _ in range(2):
        with p:
            Work(clock, 1.0)(Variable(1.0))
        clock.work(5.0)
    assert seconds(p) == {"Work": (2.0, 0.0)} and p.time == 2.0
    with p, pytest.raises(RuntimeError, match="entered already: make one for each"):
        p.__enter__()


def test_the_default_clock_runs():
    with profile() as p:
        (Variable(np.ones(100)) * 2.0).sum().backward()
    assert p.time > p.between > 0 and all(row.seconds > 0 for row in p.rows())


# --- calls ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [1, 40])
def test_calls_of_an_lstm_are_those_of_its_equations(T):
    lstm = nn.LSTM(3, 4)
    with profile() as p:
        lstm(np.ones((T, 2, 3), "f"))[0].sum().backward()
    calls = {row.name: (row.calls, row.backward_calls) for row in p.rows()}
    each = {name: calls[name] for name in ("AddMM", "Sigmoid", "Tanh", "Mul", "Split")}
    assert each == {
        "AddMM": (T, T),
        "Sigmoid": (3 * T, 3 * T),  # i, f, o
        "Tanh": (2 * T, 2 * T),
        "Mul": (3 * T, 3 * T),
        "Split": (T, T),
    }
    assert sum(row.calls for row in p.rows("step")) == sum(n for n, _ in calls.values())
    scopes = {row.name: row.calls for row in p.rows("scope")}
    assert set(scopes) == {"l0", "top level"} and sum(scopes.values()) == sum(n for n, _ in calls.values())


def test_operations_that_record_nothing_are_seen():
    with profile() as p, ag.no_grad():
        x = Variable(np.ones(3)) * 2.0
        ag.tanh(np.ones(3))  # plain NumPy
    assert not x.requires_grad
    assert [(row.name, row.calls, row.backward_calls) for row in p.rows()] == [("Mul", 1, 0)]


def test_a_thread_of_its_own_is_not_seen():
    def elsewhere():
        (Variable(1.0) * 2.0).backward()

    with profile() as p:
        thread = threading.Thread(target=elsewhere)
        thread.start()
        thread.join()
        Variable(1.0) + 1.0
    assert [row.name for row in p.rows()] == ["Add"]


def test_each_thread_has_its_own():
    found, barrier = {}, threading.Barrier(2)

    def count(n):
        with profile() as p:
            barrier.wait()
            x = Variable(1.0)
            for _ in range(n):
                x = x * 2.0
            x.backward()
            barrier.wait()
        found[n] = p

    threads = [threading.Thread(target=count, args=(n,)) for n in (30, 70)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: [(r.calls, r.backward_calls) for r in p.rows()] for n, p in found.items()} == {
        30: [(30, 30)],
        70: [(70, 70)],
    }


# --- bytes ----------------------------------------------------------------------------------------


def nbytes(f, *xs):
    with profile() as p:
        ag.grad(f(*xs).sum(), list(xs))
    return {row.name: row.nbytes for row in p.rows()}


def test_bytes_of_results_and_gradients():
    x, w = Variable(np.ones((4, 3))), Variable(np.ones((3, 5)))
    found = nbytes(lambda x, w: ag.matmul(x, w), x, w)
    assert found == {"MatMul": 8 * (4 * 5 + 4 * 3 + 3 * 5), "Sum": 8}  # the gradient of a sum is a view


def test_views_take_no_bytes():
    x = Variable(np.ones((4, 6)))
    found = nbytes(lambda x: x.T.reshape(3, 8) * 2.0, x)
    assert found["Transpose"] == 0
    assert found["Reshape"] == 8 * 24  # of a transposed array it is a copy, and its gradient a view
    assert found["Mul"] == 2 * 8 * 24


def test_memory_of_several_outputs_counts_once():
    x = Variable(np.ones((4, 6), "f"))
    found = nbytes(lambda x: ag.split(x, 2)[0] * 2.0, x)
    assert found["Split"] == 4 * 24  # two views forward, one array back


def test_bytes_by_scope_add_up():
    with profile() as p:
        nn.LSTM(3, 4)(np.ones((50, 2, 3), "f"))[0].sum().backward()
    assert sum(r.nbytes for r in p.rows("scope")) == sum(r.nbytes for r in p.rows("step")) > 0


# --- captured functions ---------------------------------------------------------------------------


class Ticks:
    """A clock that goes on by a second whenever somebody looks."""

    now = 0.0

    def __call__(self):
        self.now += 1.0
        return self.now


def test_replays_are_timed_call_by_call():
    w = ag.Parameter(np.ones((3, 2)))

    def loss_of(x):
        for t in range(2):
            with ag.scope("inner"), ag.step(t):
                x = ag.tanh(x) * w
        return x.sum()

    step, x = ag.capture(loss_of), np.full((3, 2), 0.5)
    with profile(Ticks()) as p:
        loss = step(x)
    assert [(row.name, row.calls, row.forward) for row in p.rows()] == [("recording by capture", 1, 1.0)]
    first, w.grad = w.grad.data, None
    with profile(Ticks()) as p:
        assert step(x).item() == loss.item()
    assert np.array_equal(w.grad.data, first)
    rows = {row.name: row for row in p.rows()}
    # The first tanh, of a plain array, is no operation. Back: from both products to w, from the last one to
    # the tanh before it, whose square, difference from 1 and product with the gradient are three calls.
    assert {name: (row.calls, row.backward_calls) for name, row in rows.items()} == {
        "Tanh, captured": (1, 3),
        "Mul, captured": (2, 3),
        "Sum, captured": (1, 0),  # its gradient is a view
    }
    assert {name: row.nbytes for name, row in rows.items()} == {
        "Tanh, captured": 4 * 48,
        "Mul, captured": 5 * 48,
        "Sum, captured": 8,
    }
    assert all((row.forward, row.backward) == (row.calls, row.backward_calls) for row in rows.values())
    assert {row.name: row.calls + row.backward_calls for row in p.rows("step")} == {
        "t = 0": 1 + 1,
        "t = 1": 2 + 5,
        "no step": 1,
    }
    assert {row.name for row in p.rows("scope")} == {"inner", "top level"}


@pytest.mark.parametrize("T", [3, 40])
def test_products_of_a_captured_weight_belong_to_its_layer(T):
    lstm, x = nn.LSTM(3, 4), np.ones((T, 2, 3), "f")
    step = ag.capture(lambda x: (lstm(x)[0] ** 2.0).sum())
    expected = step(x).item()
    gradients = [p.grad.data.copy() for p in lstm.parameters()]
    lstm.zero_grad()
    with profile() as p:
        assert step(x).item() == expected
    assert all(np.array_equal(p.grad.data, g) for p, g in zip(lstm.parameters(), gradients, strict=True))
    rows = {row.name: row for row in p.rows()}
    assert rows["Sigmoid, captured"].calls % (3 * T) == 0 < rows["AddMM, captured"].backward_calls
    assert {row.name for row in p.rows("scope")} == {"l0", "top level"}


def test_a_replay_that_diverges_is_recorded_anew_and_the_clock_goes_on():
    w = ag.Parameter(np.ones(2))
    step = ag.capture(lambda x: (w * x).sum() if x.sum() > 0 else (w * x * x).sum())
    step(np.ones(2))
    with profile(Ticks()) as p:
        assert step(-np.ones(2)).item() == 2.0
    assert "recording by capture" in {row.name for row in p.rows()}
    with profile() as p:
        step(-np.ones(2))
    assert {row.name: row.calls for row in p.rows()}["Mul, captured"] == 2


def test_calls_that_a_replay_leaves_out():
    """Parts of a stack are computed where it has them, and what follows is still what it was."""
    w = ag.Parameter(np.ones(2))
    step, x = ag.capture(lambda x: ag.tanh(ag.stack([x * w, x + w])).sum()), np.ones(2)
    step(x)
    with profile() as p:
        step(x)
    calls = {row.name: row.calls for row in p.rows()}
    assert "Stack, captured" not in calls
    assert [calls[f"{name}, captured"] for name in ("Mul", "Add", "Tanh", "Sum")] == [1, 1, 1, 1]


def test_bytes_that_calls_write():
    a, b = np.ones((3, 2)), np.ones((3, 2), "f")
    made = [(np.multiply, a, a, a), (np.copyto, b, a, "unsafe"), (partial(np.sum, out=b[0], axis=0), a)]
    made += [(maximum, a, a, b), (expect, 1.0, np.sum, (a,), {}), (np.add.at, b, [0], 1.0)]
    made += [(within, {"divide": "ignore"}, np.divide, a, a, a), (partial(np.frexp, out=(a, b)), a)]
    assert list(map(written, made)) == [48, 24, 8, 24, 0, 24, 48, 72]


# --- numbers stay the same, and nothing is left ---------------------------------------------------


@pytest.mark.parametrize("layer", ["LSTM", "GRU"])
def test_gradients_are_bit_by_bit_those_of_a_pass_without_it(layer):
    model, x = getattr(nn, layer)(3, 4), np.ones((70, 2, 3), "f")

    def gradients():
        model.zero_grad()
        model(x)[0].sum().backward()
        return [p.grad.data for p in model.parameters()]

    expected = gradients()
    with profile():
        found = gradients()
    assert all(map(np.array_equal, found, expected))


def test_a_weight_with_gradients_of_two_kinds():
    """An embedding and a linear layer share it, over more uses than are joined at a time."""
    w, tokens = Variable(np.arange(12.0).reshape(6, 2) / 12), np.arange(40 * 3).reshape(40, 3) % 6

    def loss():
        total = 0.0
        for t in tokens:
            total = total + ag.tanh(ag.linear(ag.tanh(w[t]), w)).sum()
        return total

    expected = ag.grad(loss(), w)
    with profile():
        found = ag.grad(loss(), w)
    assert np.array_equal(found.data, expected.data)


def test_nothing_is_left():
    before = local.thread.meter
    with pytest.raises(ZeroDivisionError), profile() as p:
        y = ag.tanh(Variable(1.0))
        raise ZeroDivisionError
    assert local.thread.meter is before is None
    node = weakref.ref(y.creator)
    assert set(vars(node())) == set(vars(ag.tanh(Variable(1.0)).creator))
    del y
    assert node() is None and [row.name for row in p.rows()] == ["Tanh"]


def test_a_graph_is_freed_inside():
    with profile():
        y = ag.tanh(Variable(np.ones(2)))
        node = weakref.ref(y.creator)
        del y
        assert node() is None


def test_together_with_a_watch(clock):
    x = Variable(2.0)
    with profile(clock) as p, ag.watch() as seen:
        Work(clock, 1.0, 2.0)(x).backward()
    assert seconds(p) == {"Work": (1.0, 2.0)} and float(seen.uses(x)[0].grad) == 2.0


# --- tables ---------------------------------------------------------------------------------------


@pytest.fixture
def found(clock):
    x = Variable(np.ones(500))
    with profile(clock) as p:
        for seconds in (0.25, 0.25):
            x = Work(clock, seconds, 0.0005)(x)
        x = Play(clock, 0.3, 0.000_012)(x)
        clock.work(0.2)
        x.sum().backward()
    return p


def test_a_table_is_text_with_the_whole_at_its_end(found):
    assert found.table().splitlines() == repr(found).splitlines() == [
        "operation           calls  backward calls    time      %  forward  backward    bytes",
        "Work                    2               2  501 ms   50.0   500 ms   1.00 ms  16.0 kB",
        "Play                    1               1  300 ms   30.0   300 ms   12.0 µs  8.00 kB",
        "Sum                     1               1     0 s    0.0      0 s       0 s      8 B",
        "between operations                         200 ms   20.0",
        "total                   4               4  1.00 s  100.0   800 ms   1.01 ms  24.0 kB",
    ]  # fmt: skip


def test_orders_and_limits(found):
    names = {sort: [row.name for row in found.rows(sort=sort)] for sort in ("time", "calls", "bytes", "name")}
    assert names == {
        "time": ["Work", "Play", "Sum"],
        "calls": ["Work", "Play", "Sum"],
        "bytes": ["Work", "Play", "Sum"],
        "name": ["Play", "Sum", "Work"],
    }
    assert [row.name for row in found.rows(limit=1)] == ["Work"]
    rest, between, total = found.table(limit=1).splitlines()[-3:]
    assert rest.split() == [
        "2",
        "more",
        "2",
        "2",
        "300",
        "ms",
        "30.0",
        "300",
        "ms",
        "12.0",
        "µs",
        "8.01",
        "kB",
    ]
    assert between.startswith("between") and total.split()[1:3] == ["4", "4"]
    assert " more" not in found.table(limit=3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "module"}, r"by to be one of \('operation', 'scope', 'step'\), got 'module'"),
        ({"sort": "size"}, "sort to be one of .*'bytes'.*, got 'size'"),
        ({"limit": 0}, "a limit of at least 1, got 0"),
    ],
)
def test_errors_say_what_there_is(arguments, message):
    with pytest.raises(ValueError, match=message):
        profile().table(**arguments)


def test_an_empty_profile_has_a_table():
    with profile(Clock()) as p:
        pass
    assert p.rows() == [] and p.table().splitlines()[-1].split()[:3] == ["total", "0", "0"]
    assert p.time == 0.0
