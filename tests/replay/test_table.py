"""Tables of NumPy's inner loops against the calls that they stand for, bit by bit; and what is refused."""

import ctypes
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Variable, capture
from autograd.replay import loops, program, table
from autograd.replay.calls import Tape
from autograd.replay.program import Program
from autograd.replay.table import Table, Writer
from tests.cases import (
    conv_cases,  # noqa: F401  (adds its rows to the table)
    fuzz_table,
)
from tests.cases.op_cases import CASES

ROOT = Path(__file__).parents[2]
BUILT = not isinstance(table.library(), str)
built = pytest.mark.skipif(not BUILT, reason=f"{table.library()}")
F4, F8, I8 = map(np.dtype, ("f4", "f8", "i8"))


def bits(x):
    a = x.data if isinstance(x, Variable) else x
    return a.dtype, a.shape, fuzz_table.bits(a)


def numbers(shape, dtype="f4", seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def programmed(fn, *arrays):
    """A program of ``fn``, which has run once, and the arrays from which it reads."""
    tape, buffers = Tape(), [a.copy() for a in arrays]
    with np.errstate(all="call", call=lambda *_: None):
        y = fn(*map(tape.watch, buffers))
    made = Program(tape, list(y) if isinstance(y, tuple) else [y])
    del y
    made.run()
    return made, buffers


def rows_of(made):
    return [Writer().rows(*table.unpacked(one)) for one in made.calls]


def both_ways(made):
    """The bits of the results by tables and by calls."""
    assert made.how == "table", made.why
    made.block.fill(255)
    made.tables.run()
    found = [bits(a) for a in made.results]
    made.tables, tables = None, made.tables
    made.run()
    made.tables = tables
    return found, [bits(a) for a in made.results]


# --- parts of an array that is joined ---------------------------------------------------------------


def joins_of(made):
    """How many parts each call joins that is left in a program."""
    calls = [table.unpacked(one) for one in made.calls]
    return [len(args[0]) for f, args, _ in calls if f in (np.stack, np.concatenate)]


def same_on_other_numbers(fn, made, buffer):
    for seed in (1, 2):
        buffer[...] = numbers(buffer.shape, seed=seed)
        made.run()
        ys = fn(buffer)
        assert [bits(a) for a in made.results] == [bits(a) for a in (ys if isinstance(ys, tuple) else [ys])]


@pytest.mark.parametrize("join", [np.stack, np.concatenate])
@pytest.mark.parametrize(
    "axis, order, expected",
    [
        (0, "abd", []),
        (0, "accccc", [6]),  # a and the first c are less than half
        (0, "abdccd", [2]),  # c and d are there already
        (0, "cabd", []),
        (-1, "abd", [3]),  # elements of columns lie otherwise
    ],
)
def test_parts_are_computed_in_their_place(join, axis, order, expected):
    def fn(x):
        parts = {name: x * k for name, k in zip("abcd", (1.0, 2.0, 3.0, 4.0), strict=True)}
        return join([parts[name] for name in order], axis=axis) + 0.0, parts["c"] * 2.0

    made, (buffer,) = programmed(fn, numbers((3, 4)))
    assert joins_of(made) == expected
    same_on_other_numbers(fn, made, buffer)


def part_changes_later(x):
    a, b = x * 2.0, x * 3.0
    y = np.stack([a, b])
    a += 1.0
    return y * 1.0, a


def part_changes_before(x):
    a, b = x * 2.0, x * 3.0
    a += b
    return np.stack([a, b]) * 1.0, a


def whole_changes_later(x):
    a, b = x * 2.0, x * 3.0
    y = np.stack([a, b])
    y *= 2.0
    return y, a


def whole_is_there_before(x):
    y = np.stack([x, x])
    z = y * 2.0
    np.stack([x * 2.0, x * 3.0], out=y)
    return y, z


def joined_twice(x):
    parts = [x * float(k) for k in range(5)]
    return np.concatenate(parts[1:4]) * 1.0, np.stack(parts) * 1.0, np.concatenate(parts[3:]) * 1.0


def joined_twice_in_another_order(x):
    parts = [x * float(k) for k in range(5)]
    return np.stack(parts) * 1.0, np.concatenate(parts[::-1]) * 1.0


def joined_rows(x):
    y = x * 2.0
    return np.concatenate([y[:1], y[1:2], y[2:]]) * 1.0, y


def joined_rows_of_two(x):
    y, z = x * 2.0, x * 3.0
    return np.concatenate([y[:1], z[1:]]) * 1.0


def part_of_a_part(x):
    pair = np.concatenate([x * 2.0, x * 3.0])
    return np.concatenate([pair, x * 4.0]) * 1.0, np.concatenate([x * 5.0, pair]) * 1.0, pair


def part_that_is_the_larger(x):
    y = x * 2.0
    small = np.concatenate([y[:1], y[1:2]])
    return np.concatenate([y, y, small, x * 3.0]) * 1.0, small


@pytest.mark.parametrize(
    "fn, expected",
    [
        (part_changes_later, [1]),
        (part_changes_before, []),
        (whole_changes_later, [2]),
        (whole_is_there_before, [2, 2]),
        (joined_twice, []),
        (joined_twice_in_another_order, [5]),
        (joined_rows, []),
        (joined_rows_of_two, [2]),
        (part_of_a_part, [1]),
        (part_that_is_the_larger, [2, 1]),  # it would be a piece of y, had it no place yet
    ],
)
def test_joined_arrays_keep_their_numbers_where_memory_is_shared(fn, expected):
    made, (buffer,) = programmed(fn, numbers((3, 4)))
    assert joins_of(made) == expected
    same_on_other_numbers(fn, made, buffer)


@pytest.mark.parametrize(
    "kind, each", [(nn.RNN, []), (nn.LSTM, [4] * 70)]
)  # the gates' gradients at each step
def test_steps_of_a_layer_lie_where_they_are_joined(kind, each):
    """States and gradients of all steps, in the order of time: for the outputs, and for W_hh 32 at a time."""
    layer, x = kind(3, 4), numbers((70, 2, 3))
    step = capture(lambda x: (layer(x)[0] ** 2).mean())
    step(x)
    assert joins_of(step.recordings[0][1].program) == [*each, 6]  # the state at first, and what is left over


def random_joins(x, rng):
    """Arrays that are computed, changed in place, cut and joined again, in a random order."""
    pool, found = [x * 2.0, x * 3.0], []
    for _ in range(25):
        a = pool[rng.integers(len(pool))]
        kind = rng.integers(5)
        if kind == 0:
            pool.append(a * 1.5 + 1.0)
        elif kind == 1:
            a += 1.0
        elif kind == 2:
            cut = rng.integers(1, len(a) + 1)
            pool += [part for part in (a[:cut], a[cut:]) if len(part)]
        else:
            start, size = rng.integers(len(pool)), rng.integers(1, 5)
            parts = (
                pool[start : start + size]
                if kind == 3
                else [pool[i] for i in rng.integers(len(pool), size=size)]
            )
            if sum(map(len, parts)) < 60:
                pool.append(np.concatenate(parts))
        if rng.random() < 0.3:
            found.append(pool[rng.integers(len(pool))] * 1.0)
    return tuple([*found, *pool])


def test_random_joins():
    left = 0
    for seed in range(150):

        def fn(x, seed=seed):
            return random_joins(x, np.random.default_rng(seed))

        made, (buffer,) = programmed(fn, numbers((3, 4)))
        left += len(joins_of(made))
        same_on_other_numbers(fn, made, buffer)
    assert 0 < left < 1250  # of 1,455


# --- the same bits ---------------------------------------------------------------------------------


@built
@pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])
def test_every_operation_gives_the_bits_of_its_calls(case, monkeypatch):
    outcomes = []
    for on in (True, False):
        monkeypatch.setattr(program, "TABLES", on)
        xs = [Variable(a) for a in case.inputs()]

        def loss(xs=xs):
            ys = case.f(*xs)
            ys = ys if isinstance(ys, tuple | list) else (ys,)
            return sum((y * y).sum() for y in ys), *ys

        step = capture(loss)
        step()
        assert "did not give" not in step.why
        for x in xs:
            x.data *= 1.1
            x.grad = None
        ys = step()
        assert step.how == ("table" if on and step.recordings[0][1].program.tables else "calls")
        assert len(step.recordings) == 1
        outcomes.append([bits(y) for y in ys] + [x.grad is not None and bits(x.grad) for x in xs])
    assert outcomes[0] == outcomes[1]


@built
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_nothing_of_a_recurrent_layer_stays_a_call(kind):
    layer, x = kind(4, 5), numbers((6, 3, 4))
    step = capture(lambda x: (layer(x)[0] ** 2).mean())
    step(x)
    assert step.how == "table" and " 0 stay calls" in step.why


@built
@pytest.mark.parametrize(
    "view", [lambda a: a, lambda a: a[:, 1:], lambda a: a.T], ids=["whole", "part", "turned"]
)
@pytest.mark.parametrize("f", [np.maximum, np.minimum])
def test_extremes_of_a_number_are_taken_by_vectors(f, view):
    """NumPy's loops take a single number one by one: a row before fills an array with it."""
    x, s = numbers((20, 17)), np.array(0.25, "f4")

    def fn(x, s):  # two numbers, one of them computed, by way of the same memory
        return f(view(x), np.float32(0.5)), f(s * s, view(x)), f(view(x), s)

    made, (bx, bs) = programmed(fn, x, s)
    for scale in (1.0, -2.0):
        bx[...], bs[...] = scale * x, scale * s
        found, expected = both_ways(made)
        assert found == expected == [bits(y) for y in fn(bx, bs)]
    rows = [r for r in map(Writer().rows, *zip(*map(table.unpacked, made.calls), strict=True))]
    assert [len(r) for r in rows] == [2, 1, 2, 2]
    assert len(Writer().rows(f, (x[0], s, x[0]), {})) == 1  # so few that a row more takes longer


@built
def test_random_programs():
    outcomes = fuzz_table.run(range(60))
    assert outcomes["table"] > 50 and not any(name.startswith("seed") for name in outcomes), outcomes


VIEWS = {
    "as it is": lambda x: x,
    "transposed": lambda x: x.swapaxes(-1, -2),
    "every other": lambda x: x[..., ::2, :],
    "backwards": lambda x: x[..., ::-1],
    "half": lambda x: x[..., :4],
    "broadcast": lambda x: np.broadcast_to(x[..., :1], x.shape),
    "one": lambda x: x[..., :1, :1],
}


@built
@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8), (2, 3, 8, 8)])
def test_views(view, dtype, shape):
    def fn(x, y):
        a, b = VIEWS[view](x), VIEWS[view](y)
        c = np.matmul(a, b.swapaxes(-1, -2))
        d = np.where(a > b, a * b, 0.0)
        return c, d, np.tanh(a), np.stack([a, b], 1), np.concatenate([a, d], -1), d.sum(0), d.max(-1)

    made, buffers = programmed(fn, numbers(shape, dtype), numbers(shape, dtype, 1))
    assert made.how == "table" and sum(rows is None for rows in rows_of(made)) == 0, made.why
    for edges in (numbers(shape, dtype, 2), np.full(shape, np.inf), np.full(shape, 1e-42)):
        buffers[0][...] = edges
        with np.errstate(all="ignore"):
            found, expected = both_ways(made)
        assert found == expected


@built
@pytest.mark.parametrize(
    ("a", "b"), [((5,), (5,)), ((5,), (5, 3)), ((4, 5), (5,)), ((2, 1, 4, 5), (3, 5, 2)), ((2, 4, 5), (5,))]
)
def test_products_of_vectors_and_of_batches(a, b):
    made, buffers = programmed(np.matmul, numbers(a), numbers(b, seed=1))
    buffers[0][...] = numbers(a, seed=2)
    found, expected = both_ways(made)
    assert found == expected and " 0 stay calls" in made.why


# --- what is refused -------------------------------------------------------------------------------


@pytest.mark.parametrize("by", [("int",), ("void *",), ("int", "int")])
@pytest.mark.parametrize("at", [0, 1, 4, 5, 6])
def test_a_struct_shifted_by_a_field_is_not_read(by, at, monkeypatch):
    """Its numbers are wrong, so its pointers are not followed: that could end the process."""
    new = [(f"new{i}", kind) for i, kind in enumerate(by)]
    monkeypatch.setattr(loops, "FIELDS", (*loops.FIELDS[:at], *new, *loops.FIELDS[at:]))
    for ufunc in (np.add, np.matmul, np.tanh):
        assert not loops.describes(loops.head(ufunc), ufunc)


def test_fields_in_another_order_are_not_read(monkeypatch):
    nin, nout, *others = loops.FIELDS
    monkeypatch.setattr(loops, "FIELDS", (nout, nin, *others))
    assert not loops.describes(loops.head(np.add), np.add)


def test_a_head_is_that_of_its_ufunc():
    assert loops.layout_is_known()
    assert loops.describes(loops.head(np.sin), np.sin)
    assert not loops.describes(loops.head(np.add), np.tanh)
    assert not loops.describes(loops.head(np.sin), np.cos)  # the same numbers, another name


def test_an_unknown_layout_leaves_the_calls(monkeypatch):
    monkeypatch.setattr(table, "layout_is_known", lambda: False)
    made, _ = programmed(lambda x: np.tanh(x) + x, numbers((3, 4)))
    assert made.how == "calls" and made.tables is None and made.why


@pytest.mark.parametrize("wrong", [(np.subtract, (F4,) * 3), (np.add, (F8,) * 3), (np.maximum, (F4,) * 3)])
def test_the_loop_of_something_else_is_found_out(wrong):
    found = loops.search(*wrong)
    assert not loops.trusted(found, np.add, (F4,) * 3)
    assert loops.trusted(loops.search(np.add, (F4,) * 3), np.add, (F4,) * 3)


def test_a_wrong_loop_is_not_given_out(monkeypatch):
    wrong = loops.search(np.subtract, (F4,) * 3)
    monkeypatch.setattr(loops, "search", lambda *_: wrong)
    assert loops.loop_of.__wrapped__(np.add, (F4,) * 3) is None


def test_a_loop_that_computes_single_elements_in_another_way_is_found_out(monkeypatch):
    @ctypes.CFUNCTYPE(None, *[ctypes.POINTER(ctypes.c_ssize_t)] * 3, ctypes.c_void_p)
    def negate(args, dims, steps, _):
        n, last_bit = dims[0], dims[0] == 1
        for i in range(n):
            x, y = [ctypes.c_double.from_address(args[j] + i * steps[j]) for j in range(2)]
            y.value = -np.nextafter(x.value, np.inf) if last_bit else -x.value

    odd = loops.Loop(ctypes.cast(negate, ctypes.c_void_p).value, 0)
    monkeypatch.setattr(loops, "search", lambda *_: odd)
    assert loops.loop_of.__wrapped__(np.negative, (F8, F8)) == odd._replace(anyhow=False)
    monkeypatch.undo()
    assert loops.loop_of.__wrapped__(np.negative, (F8, F8)).anyhow


def test_a_loop_of_products_in_another_precision_is_found_out():
    assert loops.trusted_product(loops.search(np.matmul, (F4,) * 3), F4)
    assert not loops.trusted_product(loops.search(np.matmul, (np.dtype("i4"),) * 3), F4)


@pytest.mark.parametrize(
    ("ufunc", "dtypes"),
    [
        (np.power, (I8, I8, I8)),  # its loop may raise an error of Python's
        (np.add, (np.dtype(object),) * 3),
        (np.add, (np.dtype("M8[s]"), np.dtype("m8[s]"), np.dtype("M8[s]"))),
        (np.add, (np.dtype(">f4"),) * 3),
        (np.add, (F4, F8, F8)),  # NumPy casts
        (np.add, (np.dtype("f2"),) * 3),
        (np.vecdot if hasattr(np, "vecdot") else np.add, (F4,) * 2),
        (np.frompyfunc(lambda x: x, 1, 1), (F4, F4)),
        (np.modf, (F4, F4, F4)),
    ],
)
def test_dtypes_and_ufuncs_that_no_table_takes(ufunc, dtypes):
    assert loops.loop_of(ufunc, dtypes) is None


@built
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: np.add(x[1:], x[:-1], out=x[1:]),
        lambda x: np.add(x, x[::-1], out=x),
        lambda x: np.multiply(x, x.T, out=x),
        lambda x: np.matmul(x, x, out=x),
        lambda x: np.copyto(x[1:], x[:-1]),
        lambda x: np.sum(x, 0, out=x[0]),
        lambda x: np.concatenate([x[1:], x[:1]], out=x),
    ],
    ids=["shifted", "reversed", "transposed", "product", "copy", "sum", "joined"],
)
def test_arrays_that_overlap_stay_calls(fn):
    def into_a_copy(x):
        y = x.copy()
        fn(y)
        return y * 1.0

    made, _ = programmed(into_a_copy, numbers((6, 6)))
    copied, overlapping, last = rows_of(made)
    assert copied and last and overlapping is None
    found, expected = both_ways(made)
    assert found == expected


@built
def test_a_row_of_arrays_apart_is_no_plan_for_arrays_that_overlap():
    def fn(x, y):
        a, b = x.copy(), y.copy()
        np.add(a[1:], b[:-1], out=a[1:])
        np.add(a[1:], a[:-1], out=a[1:])
        return a * b

    made, _ = programmed(fn, numbers((6, 6)), numbers((6, 6), seed=1))
    assert " 1 stay calls" in made.why
    found, expected = both_ways(made)
    assert found == expected


@built
def test_an_array_may_be_written_into_itself():
    def fn(x):
        y = x.copy()
        np.add(y, x, out=y)
        np.multiply(y, y, out=y)
        return np.tanh(y)

    made, _ = programmed(fn, numbers((6, 6)))
    assert all(rows_of(made))
    found, expected = both_ways(made)
    assert found == expected


@built
def test_a_table_with_other_numbers_is_not_used(monkeypatch):
    right = loops.loop_of(np.subtract, (F4,) * 3)
    monkeypatch.setattr(table, "loop_of", lambda *_: right)
    made, buffers = programmed(lambda x, y: np.add(x, y), numbers((3, 4)), numbers((3, 4), seed=1))
    assert made.how == "calls" and "did not give" in made.why
    assert np.array_equal(made.results[0], buffers[0] + buffers[1])


@built
@pytest.mark.parametrize(("side", "kept"), [(15, 0), (17, 1)])  # calls of the loop: 225, and 289
def test_copies_of_many_short_pieces_stay_calls(side, kept):
    made, _ = programmed(lambda x: np.copy(x[:side, :side, :3]) * 2.0, numbers((20, 20, 5)))
    assert f"{kept} stay calls of NumPy" in made.why


@built
def test_sums_in_another_order_stay_calls(monkeypatch):
    monkeypatch.setattr(table, "same", lambda a, b: False)
    made, _ = programmed(lambda x: np.sum(x, axis=0) * 2.0, numbers((7, 13)))
    assert "1 stay calls of NumPy: 1 sum" in made.why
    table.reduces.cache_clear()


@built
def test_loops_that_depend_on_the_layout_are_used_only_as_numpy_uses_them(monkeypatch):
    loop = loops.loop_of(np.tanh, (F4, F4))._replace(anyhow=False)
    monkeypatch.setattr(table, "loop_of", lambda *_: loop)
    x = numbers((6, 8))
    ways = ((x, True), (x.T, True), (x[:, :4], False), (x[::2, 0], False), (x[1, :1], False), (x[1:2], True))
    for a, taken in ways:
        assert (Writer().elementwise(np.tanh, [a, np.empty_like(a)], 0) is not None) == taken
    assert Writer().elementwise(np.tanh, [x.T, np.empty((8, 6), "f4")], 0) is None  # in another order
    backwards = x.ravel()[::-1]
    assert Writer().elementwise(np.tanh, [backwards, backwards], 0) is None


def test_without_a_library_the_calls_run(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "library", table.library.__wrapped__)
    monkeypatch.setattr(table, "LIBRARY", tmp_path / "nothing")
    step = capture(lambda x: Variable(x, requires_grad=False).sum())
    with ag.no_grad():
        step(numbers(3))
    assert step.how == "calls" and "table.c" in step.why
    (tmp_path / "text").write_text("no library")
    monkeypatch.setattr(table, "LIBRARY", tmp_path / "text")
    assert "does not load" in table.library()


def test_how_and_why_before_the_first_call():
    step = capture(lambda x: x)
    assert step.how == step.why == "nothing recorded"


# --- what NumPy has to say -------------------------------------------------------------------------


def overflow(x):
    return np.maximum(np.exp(x * 100.0), 0.5)  # comparisons clear the flags of the processor


@built
def test_warnings_and_errors_are_numpys():
    made, (x,) = programmed(overflow, np.full((3, 4), 0.1, "f4"))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.run()
        assert not caught and made.how == "table"
        x[0, 0] = 2.0
        made.run()
        assert [str(one.message) for one in caught] == ["overflow encountered in exp"]
        with np.errstate(over="ignore"):
            made.run()
        assert len(caught) == 1 and np.isinf(made.results[0][0, 0])
    with np.errstate(over="raise"), pytest.raises(FloatingPointError, match="overflow encountered in exp"):
        made.run()
    told = []
    with np.errstate(over="call", call=lambda *what: told.append(what)):
        made.run()
    assert len(told) == 1
    x[0, 0] = -1.0  # denormals: of underflow NumPy is silent, unless it is asked
    made.run()
    with np.errstate(under="raise"), pytest.raises(FloatingPointError, match="underflow encountered in exp"):
        made.run()


@built
def test_calls_between_tables_warn_once():
    def fn(x):
        return np.tanh(np.log10(np.tanh(x), dtype="f8"))  # in another precision: a call

    made, (x,) = programmed(fn, np.ones((3, 4), "f4"))
    assert "1 stay calls of NumPy: 1 log10" in made.why
    x[0, 0] = 0.0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        made.run()
    assert [str(one.message) for one in caught] == ["divide by zero encountered in log10"]


@built
def test_what_the_function_ignores_is_ignored():
    def fn(x):
        with np.errstate(divide="ignore"):
            y = np.divide(1.0, x)
        return np.multiply(y, x)

    made, (x,) = programmed(fn, np.ones((3, 4), "f4"))
    assert " 0 stay" in made.why
    x[0, 0] = 0.0
    with np.errstate(all="raise"), pytest.raises(FloatingPointError, match="invalid value .* multiply"):
        made.run()
    with np.errstate(all="raise", invalid="ignore"):
        assert made.tables.run()  # there is nothing of which NumPy would tell
        made.run()
    assert np.isnan(made.results[0][0, 0])


@built
def test_draws_are_made_once():
    layer = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5, rng=np.random.default_rng(0)), nn.Linear(4, 1))
    twin = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5, rng=np.random.default_rng(0)), nn.Linear(4, 1))
    twin.load_state_dict(layer.state_dict())
    step, x = capture(lambda x: np.exp(layer(x)).sum()), numbers((5, 4))
    with np.errstate(over="ignore"):
        for factor in (1, 1, 1e4, 1):  # the third overflows, and is made anew by calls where that is heard
            with np.errstate(over="warn"), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = step(x * np.float32(factor))
            expected = np.exp(twin(x * np.float32(factor))).sum()
            np.testing.assert_allclose(found.data, expected.data, 1e-5)
    assert step.how == "table"


# --- threads ---------------------------------------------------------------------------------------


@built
def test_threads_replay_different_recordings_at_once():
    """Each has its own memory; none waits for Python's lock while its table runs."""
    layers = [nn.GRU(4, 6) for _ in range(4)]
    steps = [capture(lambda x, layer=layer: (layer(x)[0] ** 2).sum()) for layer in layers]
    xs = [numbers((5, 3, 4), seed=seed) for seed in range(20)]
    expected = [[bits(step(x)) for x in xs] for step in steps]
    found = [[] for _ in steps]

    def run(i):
        for _ in range(10):
            found[i].append([bits(steps[i](x)) for x in xs])

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(steps))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(step.how == "table" for step in steps)
    assert all(found[i] == [expected[i]] * 10 for i in range(len(steps)))


@built
def test_a_table_runs_without_pythons_lock():
    assert type(table.library()) is ctypes.CDLL  # not PyDLL
    assert not table.library().run_rows._flags_ & ctypes._FUNCFLAG_PYTHONAPI


# --- the library -----------------------------------------------------------------------------------


@built
def test_rows_walk_over_outer_axes():
    """Every element once, whatever the axes; against indices counted by NumPy."""
    x, y = np.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5), np.zeros((5, 2, 4, 3))
    views = [x.transpose(3, 0, 2, 1), y]
    loop = loops.loop_of(np.negative, (F8, F8))
    Table([table.row(loop, 0, *table.along(views))]).run()
    np.testing.assert_array_equal(y, -x.transpose(3, 0, 2, 1))


@built
def test_the_library_needs_nothing_of_python():
    if sys.platform != "linux":
        pytest.skip("asks nm")
    names = subprocess.run(["nm", "-D", str(table.LIBRARY)], capture_output=True, text=True, check=False)
    if names.returncode == 0:
        assert "run_rows" in names.stdout and "Py" not in names.stdout
