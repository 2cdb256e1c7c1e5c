"""Every operation, by the table in `op_cases`: values, derivatives, dtypes, shapes, memory discipline.

Then what a table cannot say: ties, extreme values, what raises, and broadcasting and indexing on shapes
that Hypothesis makes up.
"""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Function, Variable, gradcheck, no_grad
from autograd.core import untracked
from autograd.deferred import Deferred
from autograd.engine import grad
from autograd.modes import instrumented, local
from autograd.ops import elementwise
from tests.cases import conv_cases  # noqa: F401  (adds its rows to the table)
from tests.cases.op_cases import CASES

every_case = pytest.mark.parametrize("case", CASES, ids=[c.name for c in CASES])


class Recorder:
    """An instrument that keeps the nodes of a forward pass."""

    def __init__(self):
        self.nodes = []

    def forward(self, node, inputs, outputs):
        self.nodes.append(node)

    def backward(self, node, gys, gxs):
        pass


def tuple_of(ys):
    return ys if isinstance(ys, tuple | list) else (ys,)


def recorded(case, arrays):
    """The leaves, the outputs and the nodes of one call."""
    xs = [Variable(a) for a in arrays]
    with instrumented(Recorder()) as recorder:
        ys = tuple_of(case.f(*xs))
    return xs, ys, recorder.nodes


def gradients(case, arrays, seed=7):
    """The gradients of a fixed random combination of the outputs, as arrays."""
    xs = [Variable(a) for a in arrays]
    ys = tuple_of(case.f(*xs))
    rng = np.random.default_rng(seed)
    starts = [rng.standard_normal(y.shape).astype(y.dtype) for y in ys]
    return [g.data for g in grad(ys, xs, gradients=starts)]


# --- the table ------------------------------------------------------------------------------------


@every_case
def test_value(case):
    for shapes in (case.shapes, *case.also):
        arrays = case.inputs(shapes)
        expected = tuple_of(case.ref(*arrays))
        kinds = {
            "tracked": case.f(*[Variable(a) for a in arrays]),
            "untracked": case.f(*[Variable(a, requires_grad=False) for a in arrays]),
        }
        with no_grad():
            kinds["no_grad"] = case.f(*[Variable(a) for a in arrays])
        for kind, ys in kinds.items():
            for y, value in zip(tuple_of(ys), expected, strict=True):
                assert type(y) is Variable and isinstance(y.data, np.ndarray), kind
                assert y.requires_grad == (kind == "tracked")
                assert y.shape == np.shape(value)
                assert_allclose(y.data, value, rtol=1e-9, atol=1e-12, err_msg=f"{kind} {shapes}")


@every_case
def test_without_variables_it_is_numpy(case):
    arrays = case.inputs()
    for y, value in zip(tuple_of(case.f(*arrays)), tuple_of(case.ref(*arrays)), strict=True):
        assert not isinstance(y, Variable) and isinstance(y, np.ndarray | np.generic)
        assert_allclose(y, value, rtol=1e-9, atol=1e-12)


@every_case
def test_derivatives(case):
    gradcheck(case.f, *case.inputs(), order=case.order)
    for shapes in case.also:
        gradcheck(case.f, *case.inputs(shapes), order=min(case.order, 2))


def freeze(values):
    for value in values:
        if isinstance(value, tuple):
            freeze(value)
        elif isinstance(value, np.ndarray):
            value.flags.writeable = False


def raw(g):
    return g.array() if isinstance(g, Deferred) else g.data if isinstance(g, Variable) else g


@every_case
def test_backward_of_every_node_on_arrays_and_on_variables(case):
    """The same lines give the same numbers both ways, and write into nothing they were given."""
    rng = np.random.default_rng(3)
    for shapes in (case.shapes, *case.also):
        _, _, nodes = recorded(case, case.inputs(shapes))
        for node in nodes:
            freeze(node.saved)
            out = zip(node.out_shape, node.out_dtype, strict=True) if node.multi_output else None
            gy = (
                tuple([rng.standard_normal(s).astype(d) for s, d in out])
                if out is not None
                else np.asarray(rng.standard_normal(node.out_shape).astype(node.out_dtype))
            )
            freeze([gy])
            variables = tuple(map(untracked, gy)) if node.multi_output else untracked(gy)
            local.thread.recording = False
            try:
                on_arrays = tuple_of(node.backward(gy, *node.values()))
            finally:
                local.thread.recording = True
            on_variables = tuple_of(node.backward(variables, *node.values_as_variables()))
            assert len(on_arrays) == len(on_variables) == len(node.edges)
            for a, v in zip(on_arrays, on_variables, strict=True):
                assert (a is None) == (v is None)
                if a is not None:
                    assert not isinstance(a, Variable) and isinstance(v, Variable), node.label
                    assert a.shape == v.shape
                    assert_allclose(raw(a), raw(v), rtol=1e-12, atol=1e-14, err_msg=node.label)


@every_case
def test_float32_stays_float32(case):
    for shapes in (case.shapes, *case.also):
        double = case.inputs(shapes)
        single = [a.astype(np.float32) for a in double]
        xs, ys, nodes = recorded(case, single)
        assert all(y.dtype == np.float32 for y in ys)
        for x, g64, g32 in zip(xs, gradients(case, double), gradients(case, single), strict=True):
            assert g32.dtype == x.dtype
            assert_allclose(g32, g64, rtol=2e-3, atol=1e-3)
        for node in nodes:  # nor may an intermediate array be wider and cast back by the walk
            assert node.out_dtype in (np.float32, (np.float32,) * len(tuple_of(node.out_dtype)))
            gy = tuple(np.ones(s, np.float32) for s in node.out_shape) if node.multi_output else None
            gxs = node.backward(gy or np.ones(node.out_shape, np.float32), *node.values())
            for g in tuple_of(gxs):
                assert g is None or g.dtype == np.float32, f"{node.label} computes in {g.dtype}"


@every_case
def test_second_order_float32_stays_float32(case):
    xs = [Variable(a.astype(np.float32)) for a in case.inputs()]
    first = grad([ag.sum(ag.square(y)) for y in tuple_of(case.f(*xs))], xs, create_graph=True)
    assert all(g.dtype == np.float32 for g in first)
    tracked = [ag.sum(ag.square(g)) for g in first if g.requires_grad]
    if tracked:
        second = grad(tracked, xs, allow_unused=True)
        assert all(g is None or g.dtype == np.float32 for g in second)


@every_case
def test_memory_layout_does_not_matter(case):
    """Fortran order, negative and stepped strides, read-only: the same values and gradients."""
    arrays = case.inputs()
    expected_y, expected_g = tuple_of(case.ref(*arrays)), gradients(case, arrays)
    spread = [np.repeat(a[..., None], 2, -1)[..., 0] for a in arrays]
    backward = [np.flip(np.flip(a).copy()) for a in arrays]
    fortran = [np.asfortranarray(a) if a.ndim else a.copy() for a in arrays]
    for layout in (spread, backward, fortran):
        freeze(layout)
        for y, value in zip(tuple_of(case.f(*map(Variable, layout))), expected_y, strict=True):
            assert_allclose(y.data, value, rtol=1e-9, atol=1e-12)
        for g, value in zip(gradients(case, layout), expected_g, strict=True):
            assert_allclose(g, value, rtol=1e-9, atol=1e-12)


@every_case
def test_generic_call_gives_the_same(case, monkeypatch):
    """A class of operations may have a faster ``__call__``; the generic one means the same."""
    arrays = case.inputs()
    ys, gs = tuple_of(case.f(*map(Variable, arrays))), gradients(case, arrays)
    for kind in (elementwise.Unary, elementwise.Binary):
        monkeypatch.setattr(kind, "__call__", Function.__call__)
    for a, b in zip(ys, tuple_of(case.f(*map(Variable, arrays))), strict=True):
        assert_array_equal(a.data, b.data)
    for a, b in zip(gs, gradients(case, arrays), strict=True):
        assert_array_equal(a, b)


def primitives():
    """All classes of `autograd.ops` that are operations themselves, not bases of some."""
    found, stack = [], [Function]
    while stack:
        for kind in stack.pop().__subclasses__():
            stack.append(kind)
            if kind.__module__.startswith("autograd.ops") and hasattr(kind, "forward"):
                found.append(kind)
    return found


@pytest.fixture(scope="module")
def nodes_by_class():
    """One node of each class, also of those that only a recorded backward pass makes."""
    with instrumented(Recorder()) as recorder:
        for case in CASES:
            xs = [Variable(a) for a in case.inputs()]
            grad([ag.sum(y) for y in tuple_of(case.f(*xs))], xs, create_graph=True)
    return {type(node): node for node in recorder.nodes}


@pytest.mark.parametrize("kind", primitives(), ids=lambda kind: kind.__name__)
def test_primitive_has_a_row_a_symbol_and_a_rule(kind, nodes_by_class):
    assert kind in nodes_by_class, f"no row of op_cases uses {kind.__name__}"
    assert kind.symbol and kind.rule and nodes_by_class[kind].symbol


def test_every_public_operation_has_a_row_and_a_docstring():
    names = " ".join(case.name for case in CASES)
    different = {"astype": "cast", "getitem": "index"}
    for name in (*ag.ops.__all__, *ag.linalg.__all__):
        assert different.get(name, name) in names, f"no row of op_cases is named after {name}"
        assert getattr(ag, name, None) is None or getattr(ag, name).__doc__


@pytest.mark.parametrize("kind", primitives(), ids=lambda kind: kind.__name__)
def test_release_leaves_no_array_on_the_node(kind, nodes_by_class):
    node = nodes_by_class[kind]
    kept = {name for name, value in vars(node).items() if holds_array(value)}
    assert kept <= {"saved"}, f"{kind.__name__} keeps arrays as {kept}"


def holds_array(value):
    if isinstance(value, tuple | list):
        return any(map(holds_array, value))
    return isinstance(value, Variable | np.ndarray) and not isinstance(value, Variable)


# --- any shapes ------------------------------------------------------------------------------------

BROADCASTING = {
    "add": (ag.add, np.add),
    "divide": (lambda a, b: ag.divide(a, b + 3.0), lambda a, b: a / (b + 3.0)),
    "multiply": (ag.multiply, np.multiply),
    "maximum": (ag.maximum, np.maximum),
    "power": (lambda a, b: ag.power(a + 3.0, b), lambda a, b: (a + 3.0) ** b),
    "where": (lambda a, b: ag.where(b.data > 0, a, b), lambda a, b: np.where(b > 0, a, b)),
}


@pytest.mark.parametrize("name", BROADCASTING)
@given(shapes=hnp.mutually_broadcastable_shapes(num_shapes=2, max_dims=4, max_side=3, min_side=0))
def test_broadcasting(name, shapes):
    f, ref = BROADCASTING[name]
    rng = np.random.default_rng(1)
    a, b = (np.asarray(rng.uniform(-2.0, 2.0, s)) for s in shapes.input_shapes)
    u, v = Variable(a), Variable(b)
    y = f(u, v)
    assert y.shape == shapes.result_shape
    assert_allclose(y.data, ref(a, b))
    gradcheck(f, a, b, order=2)
    g, h = grad(y, [u, v], gradients=np.ones(y.shape))
    assert (g.shape, h.shape) == (a.shape, b.shape)


@given(data=st.data())
def test_matmul_of_any_shapes(data):
    shapes = data.draw(hnp.mutually_broadcastable_shapes(signature="(m?,n),(n,p?)->(m?,p?)", max_side=3))
    a, b = (np.asarray(np.random.default_rng(2).standard_normal(s)) for s in shapes.input_shapes)
    assert_allclose(ag.matmul(Variable(a), Variable(b)).data, np.matmul(a, b), atol=1e-12)
    gradcheck(ag.matmul, a, b, order=2)


def indices(shape):
    """Everything that may stand in brackets behind an array of ``shape``."""
    basic = hnp.basic_indices(shape, allow_newaxis=True, allow_ellipsis=True)
    repeated = hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=4))
    return st.one_of(basic, repeated, hnp.arrays(bool, shape), st.lists(st.integers(-shape[0], shape[0] - 1)))


@given(data=st.data())
def test_indexing_reads_and_adds_like_numpy(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(indices(shape))
    a = np.random.default_rng(4).standard_normal(shape)
    numpys = np.asarray(index, dtype=int) if isinstance(index, list) else index
    x = Variable(a)
    y = x[index]
    assert_array_equal(y.data, a[numpys])
    g = np.random.default_rng(5).standard_normal(y.shape)
    expected = np.zeros(shape)
    np.add.at(expected, numpys, g)
    assert_allclose(grad(y, x, gradients=g).data, expected)
    assert_allclose(ag.scatter_add(g, index, shape), expected)
    gradcheck(lambda x: ag.square(x)[index], a, order=2)


@given(data=st.data())
def test_index_update_writes_like_numpy(data):
    shape = data.draw(hnp.array_shapes(max_dims=3, max_side=4))
    index = data.draw(st.one_of(hnp.basic_indices(shape, allow_newaxis=True), hnp.arrays(bool, shape)))
    a = np.random.default_rng(6).standard_normal(shape)
    value = np.asarray(np.random.default_rng(7).standard_normal(a[index].shape))
    expected = a.copy()
    expected[index] = value
    before = a.copy()
    assert_array_equal(ag.index_update(Variable(a), index, Variable(value)).data, expected)
    assert_array_equal(a, before)
    gradcheck(lambda x, v: ag.index_update(x, index, v) * 2.0, a, value, order=2)


# --- kinks, ties and extreme values ------------------------------------------------------------------


@pytest.mark.parametrize("f", [ag.max, ag.min])
def test_ties_of_a_reduction_share_the_gradient(f):
    x = Variable(np.array([[1.0, 1.0, 1.0], [2.0, 0.0, 2.0]]) * (1 if f is ag.max else -1))
    f(x, axis=1).sum().backward()
    assert_allclose(x.grad.data, [[1 / 3] * 3, [0.5, 0.0, 0.5]])


@pytest.mark.parametrize("f", [ag.maximum, ag.minimum])
def test_ties_of_two_arrays_share_the_gradient(f):
    a, b = Variable([1.0, 2.0]), Variable([1.0, 2.0])
    f(a, b).sum().backward()
    assert_array_equal(a.grad.data, [0.5, 0.5])
    assert_array_equal(b.grad.data, [0.5, 0.5])


def test_derivatives_at_kinks():
    at_zero = Variable(np.zeros(2))
    for f in (ag.relu, ag.absolute, ag.sign):
        assert_array_equal(grad(f(at_zero).sum(), at_zero).data, [0.0, 0.0])
    assert_array_equal(grad(ag.clip(at_zero, 0, 1).sum(), at_zero).data, [1.0, 1.0])
    x = Variable(np.array([0.0, -1.0, 2.0]))
    assert_array_equal(grad((x**0).sum(), x).data, [0.0, 0.0, 0.0])
    assert_array_equal(grad((x**1).sum(), x).data, [1.0, 1.0, 1.0])
    assert_array_equal(grad((x**2).sum(), x).data, [0.0, -2.0, 4.0])
    assert_array_equal(grad((x ** np.array([0.0, 2.0, 1.0])).sum(), x).data, [0.0, -2.0, 1.0])


def test_second_derivative_of_a_sixth_power_written_as_products():
    """Saved values are differentiated too: d²/dx² x⁶ = 30 x⁴."""
    x = Variable(2.0)
    y = ag.square(x * x * x)
    g = grad(y, x, create_graph=True)
    assert grad(g, x).item() == pytest.approx(480.0)


def test_nothing_overflows():
    big = Variable(np.array([-1e4, 0.0, 1e4]))
    assert_array_equal(ag.sigmoid(big).data, [0.0, 0.5, 1.0])
    assert_allclose(ag.softplus(big).data, [0.0, np.log(2.0), 1e4])
    assert_allclose(ag.softmax(big).data, [0.0, 0.0, 1.0])
    assert_allclose(ag.log_softmax(big).data, [-2e4, -1e4, 0.0])
    assert ag.logsumexp(big).item() == 1e4
    for f in (ag.sigmoid, ag.softplus, ag.softmax, ag.log_softmax, ag.logsumexp, ag.silu, ag.elu, ag.tanh):
        assert np.isfinite(grad(ag.sum(f(big)), big).data).all(), f.__name__


def test_logsumexp_counts_minus_infinity_as_zero():
    x = Variable(np.array([[-np.inf, 0.0], [-np.inf, -np.inf]]))
    y = ag.logsumexp(x, axis=1)
    assert_array_equal(y.data, [0.0, -np.inf])
    assert_array_equal(grad(y, x, gradients=np.ones(2)).data, [[0.0, 1.0], [0.0, 0.0]])


def test_prod_through_zeros():
    x = Variable(np.array([0.0, 2.0, 3.0]))
    assert_array_equal(grad(ag.prod(x), x).data, [6.0, 0.0, 0.0])
    x = Variable(np.array([0.0, 0.0, 3.0]))
    assert_array_equal(grad(ag.prod(x), x).data, [0.0, 0.0, 0.0])


def test_int_results_are_constants():
    x = Variable(np.array([1.5, -2.5]))
    y = ag.astype(x, np.int64)
    assert y.dtype == np.int64 and not y.requires_grad and y.creator is None


def test_casting_gives_the_gradient_back_in_the_input_dtype():
    x = Variable(np.array([1.5, -2.5], np.float32))
    y = ag.astype(x, np.float64)
    assert y.dtype == np.float64
    (y * y).sum().backward()
    assert x.grad.dtype == np.float32
    assert_array_equal(x.grad.data, [3.0, -5.0])


def test_index_update_of_nothing_gives_x():
    x = Variable(np.ones((2, 3)))
    assert_array_equal(ag.index_update(x, slice(5, 9), 7.0).data, x.data)


def test_index_update_of_integers_and_by_numbers():
    x = Variable(np.arange(3, dtype=np.float32))
    y = ag.index_update(x, 1, 5)
    assert y.dtype == np.float32
    assert_array_equal(y.data, [0.0, 5.0, 2.0])
    assert_array_equal(ag.index_update(np.arange(3), 1, 7), [0, 7, 2])


def test_unstacking_nothing():
    assert ag.unstack(Variable(np.ones((0, 3)))) == ()
    assert list(Variable(np.ones((0, 3)))) == []


def test_integer_variables_index():
    x, i = Variable(np.arange(4.0)), Variable(np.array([1, 1, 3]))
    assert_array_equal(grad(x[i].sum(), x).data, [0.0, 2.0, 0.0, 1.0])
    assert_array_equal(grad(x[x.data > 1.5].sum(), x).data, [0.0, 0.0, 1.0, 1.0])


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda x: ag.matmul(x, 2.0), ValueError, "use *"),
        (lambda x: x @ np.ones((4, 2)), ValueError, "MatMul(shapes (2, 3), (4, 2))"),
        (lambda x: ag.linear(x, np.ones((4, 2))), ValueError, "(2, 3) and (4, 2)"),
        (lambda x: ag.linear(x, np.ones(3)), ValueError, "(2, 3) and (3,)"),
        (lambda x: x + np.ones(4), ValueError, "Add(shapes (2, 3), (4,))"),
        (lambda x: ag.split(x, 2, 1), ValueError, "length 3, got 2"),
        (lambda x: ag.split(x, [2, 1], 1), ValueError, "increasing"),
        (lambda x: ag.unstack(x.sum()), TypeError, "0-d"),
        (lambda x: ag.pad(x, 1, "edge"), TypeError, "'edge'"),
        (lambda x: ag.einsum("ij,jk", x), ValueError, "expected 2 operands"),
        (lambda x: ag.tensordot(x, np.ones((2, 2)), 1), ValueError, "equal lengths"),
        (lambda x: ag.take_along_axis(x, [0], 1), ValueError, "2 axes"),
        (lambda x: ag.sum(x, 2), ValueError, "axis 2"),
        (lambda x: ag.swapaxes(x, 0, 2), ValueError, "axis 2"),
        (lambda x: ag.reshape(x, 5), ValueError, "Reshape(shapes (2, 3))"),
        (lambda x: x[2], IndexError, "out of bounds"),
        (lambda x: x["a"], IndexError, ""),
        (lambda x: x + "a", TypeError, "expected numbers"),
        (lambda x: x * None, TypeError, "expected numbers"),
    ],
)
def test_errors_name_the_shapes(call, error, words):
    with pytest.raises(error) as caught:
        call(Variable(np.ones((2, 3))))
    assert words in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


@pytest.mark.parametrize("x", [3, 0.3, True, np.array([1, 2, 3]), np.array([True, False]), np.float32(0.5)])
@pytest.mark.parametrize(
    ("op", "reference"),
    [
        (ag.sigmoid, lambda x: 1 / (1 + np.exp(-x))),
        (ag.silu, lambda x: x / (1 + np.exp(-x))),
        (ag.softplus, lambda x: np.log1p(np.exp(x))),
        (ag.tanh, np.tanh),
        (ag.relu, lambda x: np.maximum(x, 0)),
        (ag.exp, np.exp),
    ],
)
def test_of_numbers_that_are_no_floats(op, reference, x):
    want = reference(np.asarray(x, np.float64))
    np.testing.assert_allclose(op(x), want, rtol=1e-2 if np.asarray(x).dtype == bool else 1e-6)
    y = op(Variable(np.asarray(x), requires_grad=False))
    np.testing.assert_allclose(y.data, want, rtol=1e-2 if np.asarray(x).dtype == bool else 1e-6)
