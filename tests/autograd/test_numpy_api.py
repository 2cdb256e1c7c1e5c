"""NumPy's functions and operators on Variables: what is recorded, what is answered plainly, what raises."""

import inspect
import operator
import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Variable, grad, no_grad
from autograd.numpy_api import FUNCTIONS, PLAIN, PLAIN_UFUNCS, REDUCTIONS, UFUNCS
from autograd.operators import Methods
from tests.cases import numpy_table

A = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.5]])
POSITIVE = np.abs(A) + 0.25


@pytest.fixture
def v():
    return Variable(A)


def check(y, expected, x):
    """y is a tracked Variable with NumPy's value, and a gradient reaches x."""
    ys, values = (y, expected) if isinstance(y, tuple | list) else ([y], [expected])
    for y, value in zip(ys, values, strict=True):
        assert type(y) is Variable and y.requires_grad
        assert y.shape == np.shape(value)
        assert_allclose(y.data, value, rtol=1e-12)
    assert grad(ys, x, gradients=[np.ones(y.shape) for y in ys]).shape == x.shape


# --- functions that are recorded -------------------------------------------------------------------


ELSEWHERE = [
    "ldexp",
    "frexp",
    "arcsin",
    "arccos",
    "arccosh",
    "arctanh",
    "vecmat",
]  # other numbers; they are in the table


@pytest.mark.parametrize(
    "ufunc", [f for f in UFUNCS if f.__name__ not in ELSEWHERE], ids=lambda f: f.__name__
)
def test_ufuncs(ufunc):
    v = Variable(POSITIVE)
    if ufunc.nin == 1:
        check(ufunc(v), ufunc(POSITIVE), v)
        return
    other = POSITIVE.T.copy() if ufunc is np.matmul else POSITIVE[::-1].copy()
    check(ufunc(v, Variable(other)), ufunc(POSITIVE, other), v)
    check(ufunc(v, other), ufunc(POSITIVE, other), v)
    check(ufunc(other, v), ufunc(other, POSITIVE), v)


@pytest.mark.parametrize("ufunc", REDUCTIONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("kwargs", [{}, {"axis": 1}, {"axis": None}, {"axis": -1, "keepdims": True}])
def test_reductions_by_ufuncs(ufunc, kwargs, v):
    check(ufunc.reduce(v, **kwargs), ufunc.reduce(A, **kwargs), v)


CALLS = {
    np.sum: [lambda x: np.sum(x, 1), lambda x: np.sum(x, axis=(0, 1), keepdims=True)],
    np.mean: [np.mean, lambda x: np.mean(x, 0)],
    np.var: [np.var, lambda x: np.var(x, axis=1, ddof=1)],
    np.std: [np.std, lambda x: np.std(x, 0, keepdims=True)],
    np.max: [np.max, lambda x: np.max(x, 1)],
    np.amax: [np.amax],
    np.min: [np.min, lambda x: np.min(x, axis=0)],
    np.amin: [np.amin],
    np.prod: [np.prod, lambda x: np.prod(x, 1)],
    np.cumsum: [np.cumsum, lambda x: np.cumsum(x, 1)],
    np.where: [lambda x: np.where(A > 0, x, 0.0), lambda x: np.where([True, False, True], 1.0, x)],
    np.clip: [lambda x: np.clip(x, -1, 1), lambda x: np.clip(x, a_min=None, a_max=A[0])],
    np.dot: [lambda x: np.dot(x, A.T), lambda x: np.dot(A.T, x)],
    np.outer: [lambda x: np.outer(x, [1.0, 2.0])],
    np.einsum: [lambda x: np.einsum("ij,kj->ik", x, A), lambda x: np.einsum("ij->j", x)],
    np.convolve: [lambda x: np.convolve(x[0], A[1]), lambda x: np.convolve(A[0], x[1, :2], mode="same")],
    np.tensordot: [lambda x: np.tensordot(x, A.T, 1), lambda x: np.tensordot(A, x, axes=((0, 1), (0, 1)))],
    np.reshape: [lambda x: np.reshape(x, (3, 2)), lambda x: np.reshape(x, -1)],
    np.ravel: [np.ravel],
    np.transpose: [np.transpose, lambda x: np.transpose(x, axes=(1, 0))],
    np.swapaxes: [lambda x: np.swapaxes(x, 0, 1)],
    np.moveaxis: [lambda x: np.moveaxis(x, 0, -1)],
    np.expand_dims: [lambda x: np.expand_dims(x, 1)],
    np.squeeze: [lambda x: np.squeeze(np.expand_dims(x, 1)), lambda x: np.squeeze(x[:, None], axis=1)],
    np.broadcast_to: [lambda x: np.broadcast_to(x, (4, 2, 3))],
    np.concatenate: [lambda x: np.concatenate([x, A]), lambda x: np.concatenate((A, x, x), axis=1)],
    np.stack: [lambda x: np.stack([x, A], -1)],
    np.split: [lambda x: np.split(x, 3, axis=1), lambda x: np.split(x, [1])],
    np.flip: [np.flip, lambda x: np.flip(x, 1)],
    np.pad: [lambda x: np.pad(x, 1), lambda x: np.pad(x, ((0, 1), (2, 0)), constant_values=3.0)],
    np.roll: [lambda x: np.roll(x, 1), lambda x: np.roll(x, 2, axis=1)],
    np.tile: [lambda x: np.tile(x, (2, 2))],
    np.repeat: [lambda x: np.repeat(x, 2), lambda x: np.repeat(x, [1, 0, 2], axis=1)],
    np.tril: [np.tril, lambda x: np.tril(x, 1)],
    np.triu: [np.triu, lambda x: np.triu(x, k=-1)],
    np.take_along_axis: [lambda x: np.take_along_axis(x, np.argsort(A, 1), 1)],
}
if hasattr(np, "astype"):
    CALLS[np.astype] = [lambda x: np.astype(x, np.float32)]
if hasattr(np, "unstack"):
    CALLS[np.unstack] = [np.unstack, lambda x: np.unstack(x, axis=1)]


@pytest.mark.parametrize("func", CALLS, ids=lambda f: f.__name__)
def test_functions(func, v):
    assert func in FUNCTIONS
    for call in CALLS[func]:
        check(call(v), call(A), v)


# --- the table of all functions ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def statuses():
    return numpy_table.table()


def test_every_function_is_in_the_table():
    """Each public function of NumPy is called in one part of the table, or stands in the other."""
    assert np.lib.NumpyVersion(np.__version__) >= "2.6.0" or numpy_table.unclassified() == []
    names = [*numpy_table.CALLS, *" ".join(numpy_table.OTHERS.values()).split()]
    assert len(names) == len(set(names))


def test_what_is_mapped_is_in_the_table():
    known = {id(numpy_table.look_up(name)) for name in numpy_table.CALLS}
    assert [f.__name__ for f in (*UFUNCS, *FUNCTIONS) if id(f) not in known] == []


def test_nearly_all_functions_with_a_derivative_are_right_and_none_is_wrong(statuses):
    assert {name: what for name, what in statuses.items() if what.startswith("wrong")} == {}
    right = [name for name, what in statuses.items() if what == "right"]
    assert len(right) >= 0.95 * len(statuses)
    assert {name for name, what in statuses.items() if what == "raises"} == set(numpy_table.RAISES)


def test_the_document_tells_the_figures_of_the_table(statuses):
    text = (Path(__file__).parents[2] / "docs/from_numpy.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| (right|raise|without a derivative) \| (\d+) \|", text, re.M))
    others = " ".join(numpy_table.OTHERS.values()).split()
    if not np.__version__.startswith("2.4."):
        pytest.skip("the document is about NumPy 2.4")
    assert int(shown["right"]) == list(statuses.values()).count("right")
    assert int(shown["raise"]) == len(numpy_table.RAISES)
    assert int(shown["without a derivative"]) == sum(numpy_table.look_up(name) is not None for name in others)
    assert all(f"`np.{name}`" in text for name in numpy_table.RAISES)


def test_the_table_notices_what_is_wrong(monkeypatch):
    halved = {np.sin: lambda x: x * 0.5, np.cos: lambda x: Variable(np.cos(x.data))}
    for ufunc, f in halved.items():
        monkeypatch.setitem(UFUNCS, ufunc, f)
    assert numpy_table.status("sin") == "wrong: another value"
    assert "central differences" in numpy_table.status("cos")
    monkeypatch.setitem(UFUNCS, np.cos, lambda x: np.cos(x.data))
    assert numpy_table.status("cos") == "wrong: a result without a gradient"


@pytest.mark.parametrize("name", [n for n in numpy_table.CALLS if n not in numpy_table.RAISES])
def test_float32_stays_float32(name, monkeypatch):
    """Also where NumPy widens it, as np.cov does."""
    if numpy_table.look_up(name) is None or name in ("astype", "interp"):
        pytest.skip("younger than this NumPy, or with an operand of float64")
    for key in ("GAPS", "ZEROS"):
        monkeypatch.setitem(numpy_table.PLAIN, key, numpy_table.PLAIN[key].astype(np.float32))
    f, arrays = numpy_table.function(name)
    xs = [Variable(a.astype(np.float32)) for a in arrays]
    ys, expected = f(*xs), f(*arrays)
    for y, value in zip(ys, expected, strict=True):
        assert y.dtype == np.float32
        assert_allclose(y.data, value, rtol=1e-3, atol=1e-4)
    assert all(g.dtype == np.float32 for g in grad([y.sum() for y in ys], xs))


# --- without a gradient every function works ---------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in numpy_table.CALLS if numpy_table.look_up(n) is not None])
def test_functions_of_what_does_not_require_grad(name):
    """Of NumPy's value, whether or not they have a derivative here."""
    f, arrays = numpy_table.function(name)
    found, expected = f(*[Variable(a, requires_grad=False) for a in arrays]), f(*arrays)
    for a, b in zip(found, expected, strict=True):
        assert not isinstance(a, Variable) or not a.requires_grad
        assert_allclose(getattr(a, "data", a) if isinstance(a, Variable) else a, b, rtol=1e-11, atol=1e-13)


def test_what_has_no_operation_gives_plain_arrays(v, tmp_path):
    g = v.detach()
    for f in (
        np.unique_counts, np.histogram, lambda x: np.linalg.qr(x), lambda x: np.sum(x, dtype=np.float32),
        lambda x: np.add(x, 1.0, where=A > 0, out=np.zeros((2, 3))), np.logaddexp.reduce, np.add.accumulate,
        lambda x: np.median(x, overwrite_input=False, axis=0), lambda x: np.unique(x, return_counts=True),
        lambda x: np.einsum("ij->", x, optimize=True), lambda x: np.apply_over_axes(np.sum, x, [0]),
    ):  # fmt: skip
        for a, b in zip(numpy_table.parts(f(g)), numpy_table.parts(f(A)), strict=True):
            assert not isinstance(a, Variable) or f(g).requires_grad is False
            assert_array_equal(a, b)
    total = np.zeros((2, 3))
    total += g
    assert type(total) is np.ndarray
    assert_array_equal(total, A)
    np.savez(tmp_path / "a.npz", g=g, v=v)
    with np.load(tmp_path / "a.npz") as file:
        assert_array_equal(file["g"], file["v"])


@pytest.mark.parametrize(
    "write",
    [
        lambda x: np.fill_diagonal(x, 0.0), lambda x: np.copyto(x, 1.0), lambda x: np.put(x, [0], 1.0),
        lambda x: np.add.at(x, [0], 1.0), lambda x: np.add(A, A, out=x), lambda x: np.sum(A, out=x),
        lambda x: np.putmask(x, A > 0, 1.0),
    ],
)  # fmt: skip
def test_functions_that_write_do_not_write_into_variables(write, v):
    for x in (v, v.detach()):
        before = x.data.copy()
        with pytest.raises(TypeError, match=r"cannot write into a Variable: use .*index_update.*x\.data"):
            write(x)
        assert_array_equal(x.data, before)


def test_a_gradient_is_not_lost_in_a_nest_or_a_keyword(v):
    for call in (
        lambda: np.histogram(A[0], weights=v[0]),
        lambda: np.linalg.lstsq(A, v[:, 0], None),
    ):
        with pytest.raises(TypeError, match="has no derivative here"):
            call()


def test_svd_asks_for_the_reduced_form(v):
    with pytest.raises(TypeError, match="full_matrices=False"):
        np.linalg.svd(v)
    assert np.linalg.svd(v.detach())[2].shape == (3, 3)


def test_the_first_argument_by_its_name(v):
    check(np.sum(a=v, axis=0), A.sum(0), v)
    check(np.linalg.norm(x=v), np.linalg.norm(A), v)


def test_functions_take_variables_in_any_place(v):
    w = Variable(A * 2.0)
    y = np.concatenate([A, v, w[:1]]) @ np.stack([w[0], A[0]], axis=1)
    gv, gw = grad(np.sum(np.where(y.data > 0, y, 0.1 * y)), [v, w])
    assert gv.shape == gw.shape == A.shape


def test_derivatives_through_numpy_functions():
    """A user's own function, written for NumPy, differentiated as it is."""

    def numpys(x):
        h = np.tanh(x @ x.T) + np.exp(-np.sum(x * x, axis=1, keepdims=True))
        return np.mean(np.square(h - np.max(h, axis=0)))

    v = Variable(A)
    assert numpys(v).item() == pytest.approx(numpys(A))
    g = grad(numpys(v), v).data
    d = np.random.default_rng(0).standard_normal(A.shape)
    assert np.sum(g * d) == pytest.approx((numpys(A + 1e-6 * d) - numpys(A - 1e-6 * d)) / 2e-6, rel=1e-6)


# --- operators -------------------------------------------------------------------------------------

BINARY = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow]


@pytest.mark.parametrize("op", BINARY, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [2, 2.5, True, np.float64(1.5), np.int64(2), POSITIVE[0], POSITIVE])
def test_operators_in_both_orders(op, other):
    v = Variable(POSITIVE)
    check(op(v, other), op(POSITIVE, other), v)
    check(op(other, v), op(other, POSITIVE), v)


def test_matrix_product_in_both_orders(v):
    check(v @ A.T, A @ A.T, v)
    check(A.T @ v, A.T @ A, v)
    check(np.ones(2) @ v, np.ones(2) @ A, v)
    check(v @ [1.0, 2.0, 3.0], A @ [1.0, 2.0, 3.0], v)
    check([[1.0, 2.0]] @ v, [[1.0, 2.0]] @ A, v)


def test_unary_operators(v):
    check(-v, -A, v)
    check(abs(v), abs(A), v)
    check(+v * 1.0, A, v)


def test_in_place_operators_rebind(v):
    before, w = v.data.copy(), v
    w += 1.0
    w *= 2.0
    assert w is not v
    assert_array_equal(v.data, before)
    check(w, (A + 1.0) * 2.0, v)


def test_methods_match_numpys(v):
    for name, args in {
        "sum": (1,), "mean": (0,), "var": (), "std": (), "max": (1,), "min": (), "prod": (0,), "cumsum": (1,),
        "clip": (-1, 1), "dot": (A.T,), "swapaxes": (0, 1), "squeeze": (), "repeat": (2, 1), "flatten": (),
        "ravel": (), "transpose": (1, 0), "reshape": (3, 2),
    }.items():  # fmt: skip
        check(getattr(v, name)(*args), getattr(A, name)(*args), v)
    check(v.T, A.T, v)
    check(v.mT, A.mT, v)
    check(v.reshape((3, -1)), A.reshape((3, -1)), v)
    check(v.transpose((1, 0)), A.T, v)
    check(v.transpose(), A.T, v)
    assert v.astype(np.float32).dtype == np.float32
    assert_array_equal(v.argmax(1), A.argmax(1))
    assert_array_equal(v.argmin(), A.argmin())
    assert v.tolist() == A.tolist()


def test_every_method_is_bound():
    for name in vars(Methods):
        if not name.startswith("__") or name in ("__add__", "__iter__", "__eq__"):
            assert name in vars(Variable), name


def test_iteration_is_unstacking(v):
    rows = list(v)
    assert len(rows) == 2 and len({row.creator for row in rows}) == 1
    check(rows[0] * rows[1], A[0] * A[1], v)
    with pytest.raises(TypeError, match="0-d"):
        iter(Variable(1.0))


# --- plain answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_comparisons_give_arrays(name, v):
    op = getattr(operator, name)
    for a, b in ((v, 0.5), (0.5, v), (v, A[::-1]), (A[::-1], v), (v, Variable(A[::-1]))):
        result = op(a, b)
        expected = op(getattr(a, "data", a) if isinstance(a, Variable) else a,
                      getattr(b, "data", b) if isinstance(b, Variable) else b)  # fmt: skip
        assert type(result) is np.ndarray and result.dtype == bool
        assert_array_equal(result, expected)


def test_hash_is_identity(v):
    w = Variable(A)
    assert len({v, w, v}) == 2 and {v: 1}[v] == 1


@pytest.mark.parametrize("ufunc", sorted(PLAIN_UFUNCS, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_plain_ufuncs(ufunc, v):
    args, raw = ((v,), (A,)) if ufunc.nin == 1 else ((v, A[::-1]), (A, A[::-1]))
    result = ufunc(*args)
    assert type(result) is np.ndarray
    assert_array_equal(result, ufunc(*raw))


@pytest.mark.parametrize("func", sorted(PLAIN, key=lambda f: f.__name__), ids=lambda f: f.__name__)
def test_plain_functions(func, v, tmp_path):
    more = {
        np.can_cast: (np.float64,), np.full_like: (2.0,), np.isclose: (A,), np.allclose: (A,),
        np.array_equal: (A,), np.shares_memory: (A,), np.may_share_memory: (A,),
        np.result_type: (np.float32,), np.array_equiv: (A,), np.argpartition: (1,), np.isin: (A,),
        np.digitize: ([0.0, 1.0],), np.searchsorted: ([0.0, 1.0],),
    }.get(func, ())  # fmt: skip
    if func in (np.save, np.savez, np.savez_compressed, np.savetxt):
        func(tmp_path / "file", v)
        assert len(list(tmp_path.iterdir())) == 1
        return
    given = {np.searchsorted: np.arange(3.0), np.diag_indices_from: np.eye(3)}.get(func, A)
    v = Variable(given)
    if func is np.can_cast:
        assert np.can_cast(np.float32, np.float64)
        return
    result, expected = func(v, *more), func(given, *more)
    assert not isinstance(result, Variable) and type(result) is type(expected)
    if func is not np.empty_like:
        assert_array_equal(result, expected)


def test_shape_queries(v):
    assert np.shape(v) == (2, 3) and np.ndim(v) == 2 and np.size(v) == 6
    assert np.result_type(v, 1.0) == np.float64
    assert type(np.zeros_like(v)) is np.ndarray and np.ones_like(v, dtype=int).dtype == int
    assert [list(part) for part in np.where(v)] == [list(part) for part in np.nonzero(A)]


# --- what raises ---------------------------------------------------------------------------------------


def into_array(v):
    arr = np.ones((2, 3))
    arr += v


def element_of_array(v):
    arr = np.ones((2, 3))
    arr[0] = v[0]


REFUSED = {
    "arr += v": (into_array, r"np\.add .*use arr = arr \+ v"),
    "out": (lambda v: np.multiply(v, v, out=np.ones((2, 3))), r"np\.multiply"),
    "where": (lambda v: np.add(v, v, where=A > 0), r"np\.add .*where="),
    "dtype": (lambda v: np.add(v, v, dtype=np.float32), r"np\.add .*dtype="),
    "out of a comparison": (lambda v: np.less(v, v, out=np.ones((2, 3), bool)), r"np\.less"),
    "where of a test": (lambda v: np.isnan(v, where=A > 0), r"np\.isnan .*where="),
    "accumulate": (lambda v: np.add.accumulate(v), r"np\.add\.accumulate"),
    "outer": (lambda v: np.multiply.outer(v, v), r"np\.multiply\.outer"),
    "at": (lambda v: np.add.at(np.ones(3), [0], v[0, :1]), r"np\.add\.at"),
    "reduceat": (lambda v: np.add.reduceat(v, [0]), r"np\.add\.reduceat"),
    "reduce, where": (lambda v: np.add.reduce(v, where=A > 0), r"np\.add\.reduce .*take where="),
    "reduce, initial": (lambda v: np.add.reduce(v, axis=1, initial=3.0), r"np\.add\.reduce .*take initial="),
    "reduce of another ufunc": (lambda v: np.logaddexp.reduce(v), r"np\.logaddexp\.reduce"),
    "binary ufunc": (lambda v: np.nextafter(A, v), r"np\.nextafter"),
    "function": (np.i0, r"np\.i0"),
    "function of two": (lambda v: np.polydiv(v[0], A[1]), r"np\.polydiv"),
    "linalg": (np.linalg.qr, r"np\.linalg\.qr"),
    "unique, counts": (lambda v: np.unique(v, return_counts=True), r"np\.unique .*return_counts="),
    "sum, out": (lambda v: np.sum(v, out=np.ones(())), r"np\.sum .*out="),
    "sum, where": (lambda v: np.sum(v, where=A > 0), r"np\.sum .*where="),
    "sum, dtype": (lambda v: np.sum(v, dtype=np.float32), r"np\.sum .*dtype="),
    "sum, dtype by position": (lambda v: np.sum(v, 0, np.float32), r"np\.sum .*2 positional"),
    "var, dtype by position": (lambda v: np.var(v, 0, np.float32), r"np\.var .*2 positional"),
    "reshape, order": (lambda v: np.reshape(v, (3, 2), order="F"), r"np\.reshape .*order="),
    "reshape, order by position": (lambda v: np.reshape(v, (3, 2), "F"), r"np\.reshape .*positional"),
    "concatenate, out": (lambda v: np.concatenate([v, v], out=np.ones((4, 3))), r"np\.concatenate .*out="),
    "einsum, optimize": (lambda v: np.einsum("ij->", v, optimize=True), r"np\.einsum .*optimize="),
    "argument that is a Variable": (lambda v: np.interp(0.5, A[0], v[0], period=2.0), r"np\.interp"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_everything_else_raises_and_names_itself_and_the_way_out(name, v):
    call, words = REFUSED[name]
    with pytest.raises(TypeError, match=words) as caught:
        call(v)
    assert any(way in str(caught.value) for way in ("x.data", "use arr = arr + v", "positional"))


def test_keywords_that_say_what_numpy_does_without_them_are_taken(v):
    check(np.reshape(v, (3, 2), order="C"), A.reshape(3, 2), v)
    check(np.nan_to_num(v, copy=True), A, v)
    check(np.einsum("ij->i", v, optimize=False), A.sum(1), v)
    check(np.clip(v, min=-1.0, max=1.0), A.clip(-1, 1), v)
    for call in (
        lambda: np.nan_to_num(v, copy=False),
        lambda: np.ravel(v, order="F"),
        lambda: np.meshgrid(v[0], v[0], copy=False),
    ):
        with pytest.raises(TypeError, match=r"does not take (copy|order)="):
            call()


def test_settings_that_an_operation_does_not_know_are_numpys_where_no_gradient_is_asked_for(v):
    for f in (
        lambda x: np.pad(x, 1, mode="edge"), lambda x: np.quantile(x, 0.3, method="nearest"),
        lambda x: np.insert(x, 0, 7.0, axis=0), lambda x: np.geomspace(x, -4.0 + 0.0j, 3),
        lambda x: np.max(x, initial=9.0), lambda x: np.ravel(x, order="F"),
        lambda x: np.cov(x, aweights=[1, 2, 3]),
    ):  # fmt: skip
        result = f(v.detach())
        assert type(result) is not Variable
        assert_array_equal(result, f(A))
        with pytest.raises((TypeError, ValueError)):
            f(v)
    with pytest.raises(ValueError, match="dimensions"):
        np.concatenate([v.detach(), A[0]])


def test_keywords_that_are_none_are_taken(v):
    check(np.sum(v, axis=None, dtype=None, out=None), A.sum(), v)
    check(np.mean(v, 0, dtype=None), A.mean(0), v)


def test_becoming_an_array_raises_while_tracking(v):
    for call in (
        np.asarray,
        np.array,
        lambda v: np.array([v, v]),
        lambda v: np.asarray([v[0], v[1]]),
        element_of_array,
    ):
        with pytest.raises((TypeError, ValueError), match=r"x\.detach\(\)|sequence"):
            call(v)
    for untracked in (v.detach(), Variable([1, 2])):
        assert_array_equal(np.asarray(untracked), untracked.data)
    with no_grad():
        assert np.asarray(v * 2.0).shape == (2, 3)
    with pytest.raises(TypeError, match="detach"):
        np.asarray(v)


def test_writing_into_a_variable_names_the_functional_write(v):
    with pytest.raises(TypeError, match=r"index_update"):
        v[0] = 1.0


def test_what_is_no_number_raises(v):
    for other in ("a", None, [None], object(), np.array(["a"]), 1j):
        with pytest.raises(TypeError):
            v + other
        with pytest.raises(TypeError):
            other + v


def test_no_table_overlaps():
    assert not UFUNCS.keys() & PLAIN_UFUNCS and not FUNCTIONS.keys() & PLAIN
    assert all(isinstance(f, np.ufunc) for f in (*UFUNCS, *PLAIN_UFUNCS, *REDUCTIONS))


def test_the_core_of_numpys_names_is_there():
    """What this package calls like NumPy's is reachable through NumPy too, and takes the same first names."""
    for name in ag.ops.__all__:
        theirs = getattr(np, name, None)
        if theirs is not None and name not in ("linear",):
            assert theirs in UFUNCS or theirs in FUNCTIONS, name
            if theirs in FUNCTIONS:
                assert inspect.signature(getattr(ag, name)).parameters
