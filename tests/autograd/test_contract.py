"""The engine's promises to those who write operations, and what it demands of them.

Signatures are read when a class is made; what is saved follows from them and is released; gradients have
the dtype and shape of what they belong to; leaves that change are noticed; contributions to a weight may
be deferred. Behaviour that users see is in `test_engine`.
"""

import ast
import pickle
import tracemalloc
import weakref
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
import nn
from autograd import Function, Parameter, Variable, grad, gradcheck, no_grad
from autograd.core import Constant, Slot
from autograd.deferred import CHUNK, Deferred, Outer, Scatter, add_at
from autograd.modes import instrumented, local
from autograd.ops import linalg
from autograd.ops.linalg import Uses


class Op(Function):
    """Base of the operations made here."""

    symbol, rule = "f", "none"


# --- signatures --------------------------------------------------------------------------------------


def test_arguments_of_backward_are_what_is_saved():
    class Product(Op):
        def forward(self, a, b, c):
            return a * b * c

        def backward(self, gy, y, c, a):
            return gy * y / a, None, gy * y / c

    a, b, c = Variable(2.0), 3.0, Variable(5.0)
    y = Product()(a, b, c)
    assert y.creator.saved == (y.data, c.data, a.data)
    assert [g.item() for g in grad(y, [a, c])] == [15.0, 6.0]


def test_star_means_all_inputs():
    class Total(Op):
        def forward(self, *xs):
            return sum(x * x for x in xs)

        def backward(self, gy, *xs):
            return tuple(2.0 * gy * x for x in xs)

    class TotalOfOutput(Total):
        def backward(self, gy, y, *xs):
            return tuple(2.0 * gy * x * y / y for x in xs)

    for kind in (Total, TotalOfOutput):
        xs = [Variable(float(n)) for n in range(1, 5)]
        assert [g.item() for g in grad(kind()(*xs), xs)] == [2.0, 4.0, 6.0, 8.0]
        gradcheck(lambda *xs, kind=kind: kind()(*xs), 1.0, 2.0, 3.0, order=2)


def test_star_beside_a_kept_array():
    class Masked(Op):
        mask: np.ndarray

        def forward(self, *xs):
            self.mask = np.array([1.0, 0.0])
            return sum(x * x for x in xs) * self.mask

        def backward(self, gy, mask, *xs):
            return tuple(2.0 * gy * x * mask for x in xs)

    gradcheck(lambda a, b: Masked()(a, b), np.ones(2), np.array([2.0, 3.0]), order=2)


def test_names_are_resolved_over_the_class_hierarchy():
    class Base(Op):
        mask: np.ndarray

        def forward(self, x):
            self.mask = x > 0
            return x * self.mask

    class Child(Base):
        def backward(self, gy, mask):
            return gy * mask

    x = Variable([1.0, -1.0])
    assert_array_equal(grad(Child()(x).sum(), x).data, [1.0, 0.0])


@pytest.mark.parametrize(
    "forward, backward, words",
    [
        (lambda self, x: x, lambda self, gy, z: gy, "asks for 'z'"),
        (lambda self, x: x, lambda self, gy, x, y: gy, "asks for 'y'"),
        (lambda self, y: y, lambda self, gy: gy, "rename the input"),
        (lambda self, gy: gy, lambda self, gy: gy, "rename the input"),
        (lambda self, x: x, lambda self, g: g, "first argument must be gy"),
        (lambda self, x: x, lambda self: None, "first argument must be gy"),
        (lambda self, x: x, lambda self, gy, saved: gy, "asks for 'saved'"),
    ],
)
def test_bad_signatures_are_errors_when_the_class_is_made(forward, backward, words):
    with pytest.raises(TypeError, match=words):
        type("Bad", (Op,), {"forward": forward, "backward": backward})


def test_an_instance_is_used_once():
    f = ag.ops.elementwise.Tanh()
    f(Variable(1.0))
    with pytest.raises(RuntimeError, match="called twice"):
        f(Variable(1.0))


def test_every_backward_of_the_package_is_plain():
    """No backward of an operation asks for the modes of the thread: one definition serves all orders."""
    found = 0
    for path in (Path(ag.__file__).parent / "ops").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name == "backward":
                found += 1
                names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                assert not names & {"local", "no_grad", "enable_grad", "thread"}, path.name
    assert found > 40


# --- several outputs ---------------------------------------------------------------------------------


class SinCos(Op):
    """Two outputs; each one's derivative uses the other."""

    def forward(self, x):
        return np.sin(x), np.cos(x)

    def backward(self, gy, y):
        gs, gc = gy
        s, c = y
        return gs * c - gc * s


def test_several_outputs_come_and_go_as_tuples():
    x = np.array([0.3, 1.2])
    s, c = SinCos()(Variable(x))
    assert s.creator is c.creator and s.creator.multi_output
    assert s.creator.out_shape == ((2,), (2,))
    gradcheck(lambda x: SinCos()(x), x, order=3)


@pytest.mark.parametrize("used", [0, 1])
@pytest.mark.parametrize("create_graph", [False, True])
def test_gradient_of_an_unused_output_is_zeros(used, create_graph):
    x = Variable(np.array([0.3, 1.2], np.float32))
    y = SinCos()(x)[used]
    g = grad(y.sum(), x, create_graph=create_graph)
    assert g.dtype == np.float32
    assert_allclose(g.data, [np.cos, lambda v: -np.sin(v)][used](x.data), rtol=1e-6)


def test_siblings_may_die():
    x = Variable(np.arange(6.0))
    parts = ag.split(x, 3)
    y = (parts[1] * parts[1]).sum()
    del parts
    y.backward()
    assert_array_equal(x.grad.data, [0, 0, 4, 6, 0, 0])


def test_outputs_of_different_shapes():
    class Both(Op):
        def forward(self, x):
            return x * 2.0, np.sum(x)

        def backward(self, gy):
            return gy[0] * 2.0 + gy[1]

    gradcheck(lambda x: Both()(x), np.ones((2, 3)), order=2)
    x = Variable(np.ones((2, 3)))
    assert_array_equal(grad(Both()(x)[1], x).data, np.ones((2, 3)))


class Parts(Op):
    """Outputs of all kinds, in any order; the place of one that is not floating point is only counted."""

    def __init__(self, *order):
        self.order = order

    def forward(self, x):
        made = {"square": x * x, "cube": x * x * x, "rank": np.argsort(x), "sign": x > 0}
        return tuple([made[name] for name in self.order])

    def backward(self, gy, y, x):
        gx = 0.0 * x
        for name, g, part in zip(self.order, gy, y, strict=True):
            assert g.shape == part.shape and g.dtype == part.dtype
            if name == "square":
                gx = gx + g * 2.0 * x
            if name == "cube":
                gx = gx + g * 3.0 * part / x
        return gx


@pytest.mark.parametrize(
    "order", [("square", "rank"), ("rank", "square"), ("sign", "cube", "rank", "square"), ("cube", "rank")]
)
def test_every_output_is_tracked_by_its_own_dtype(order):
    x = Variable(np.array([2.0, -1.0], np.float32))
    ys = dict(zip(order, Parts(*order)(x), strict=True))
    for name, y in ys.items():
        assert y.requires_grad == (y.dtype == np.float32) == (name in ("square", "cube"))
        assert y.is_leaf == (not y.requires_grad)
    with no_grad():
        assert not any(y.requires_grad for y in Parts(*order)(x))
    derivatives = {"square": 2 * x.data, "cube": 3 * x.data**2}
    second = {"square": np.full(2, 2.0), "cube": 6 * x.data}
    for name in derivatives.keys() & ys.keys():
        for create_graph in (False, True):
            g = grad(ys[name].sum(), x, create_graph=create_graph, retain_graph=True)
            assert g.dtype == np.float32
            assert_allclose(g.data, derivatives[name], rtol=1e-6)
        assert_allclose(grad(g.sum(), x, retain_graph=True).data, second[name], rtol=1e-5)

    node = next(y.creator for y in ys.values() if y.requires_grad)
    assert [dtype.kind for dtype in node.out_dtype] == [y.dtype.kind for y in ys.values()]
    for y in ys.values():
        y.unchain()
    assert node.edges == ()


def test_outputs_without_a_gradient_make_no_node():
    x = Variable(np.array([2.0, -1.0]))
    for y in Parts("rank", "sign")(x):
        assert not y.requires_grad and y.creator is None
    assert Parts()(x) == ()


# --- what is kept --------------------------------------------------------------------------------------


class Threshold(Op):
    mask: np.ndarray

    def forward(self, x):
        self.mask = x > 0
        return x * self.mask

    def backward(self, gy, mask):
        return gy * mask


def test_arrays_put_on_self_are_saved_and_released_with_the_rest():
    x = Variable([1.0, -1.0])
    y = Threshold()(x)
    node = y.creator
    assert "mask" not in vars(node)
    assert_array_equal(node.saved[0], [True, False])
    y.sum().backward()
    assert node.saved is None and "mask" not in vars(node)
    assert_array_equal(x.grad.data, [1.0, 0.0])


@pytest.mark.parametrize("create_graph", [False, True])
def test_arrays_put_on_self_are_constants_at_every_order(create_graph):
    x = Variable([1.0, -1.0])
    types = []

    class Spy(Threshold):
        def backward(self, gy, mask):
            types.append((type(gy), type(mask)))
            return gy * mask

    grad(Spy()(x).sum(), x, create_graph=create_graph)
    assert types == [(Variable if create_graph else np.ndarray, np.ndarray)]


@pytest.mark.parametrize("create_graph", [False, True])
def test_what_a_backward_receives(create_graph):
    """Arrays in a first-order pass, Variables joined to the graph in a recorded one; constants always raw."""
    seen = []

    class Spy(Op):
        def forward(self, a, b, c):
            return a * b * c

        def backward(self, gy, y, a, b, c):
            seen.append((gy, y, a, b, c))
            return gy * b * c, gy * a * c, None

    a, h = Variable(2.0), Variable(1.5) * 2.0
    y = Spy()(a, h, 4.0)
    grad(y * 1.0, a, create_graph=create_graph)
    gy, saved_y, saved_a, saved_h, constant = seen[0]
    assert constant == 4.0 and type(constant) is float
    if create_graph:
        assert isinstance(gy, Variable) and saved_a is a
        assert saved_y.creator is y.creator and saved_h.creator is h.creator
    else:
        assert not any(isinstance(v, Variable) for v in seen[0])
        assert saved_h is h.data and saved_a is a.data


@pytest.mark.parametrize("start", [np.ones(2), [1.0, 1.0], Variable([1.0, 1.0])])
def test_a_first_order_pass_is_raw_whatever_it_is_started_from(start):
    kinds = set()

    class Spy(Op):
        def forward(self, x):
            return x * 2.0

        def backward(self, gy):
            kinds.add(type(gy))
            return gy * 2.0

    x = Variable([1.0, 2.0])
    Spy()(x).backward(start)
    assert kinds == {np.ndarray}
    assert not x.grad.requires_grad


def test_nothing_is_recorded_in_a_first_order_pass():
    x = Variable(np.ones((3, 4)))
    y = ag.sum(ag.softmax(ag.concatenate([x[1:], x[:1] * 2.0])) ** 2)

    class NoCalls:
        def forward(self, node, inputs, outputs):
            raise AssertionError(f"{node.label} was recorded")

        def backward(self, node, gys, gxs):
            pass

    with instrumented(NoCalls()):
        grad(y, x)


def test_operations_without_variables_give_plain_arrays():
    for y in (ag.tanh(np.ones(2)), ag.add(1.0, np.ones(2)), ag.concatenate([np.ones(1), np.ones(2)])):
        assert type(y) is np.ndarray
    assert all(type(part) is np.ndarray for part in ag.split(np.ones((4, 2)), 2))
    assert type(ag.scatter_add(np.ones(2), [0, 1], (3,))) is np.ndarray


def test_a_parameter_is_a_variable_in_every_respect():
    p = Parameter(np.array([1.0, 2.0]))
    y = p * p
    in_place = {name for name in vars(Parameter) if name.startswith("__i")}
    assert type(y) is Variable and not vars(Parameter).keys() - in_place - {
        "__module__", "__slots__", "__doc__", "__firstlineno__", "__static_attributes__",
    }  # fmt: skip
    y.sum().backward()
    assert type(p.grad) is Variable
    assert_array_equal(p.grad.data, [2.0, 4.0])


@pytest.mark.parametrize("op", ["+", "-", "*", "/", "//", "%", "**", "@"])
def test_in_place_operators_on_a_parameter_are_errors(op):
    """They would rebind a name and train nothing."""
    p = Parameter(np.ones((2, 2)), name="w")
    before = p.data
    with pytest.raises(
        TypeError, match=r"Parameter w \(2, 2\) .*write p\.data -= lr \* p\.grad\.data, or .*optim"
    ):
        exec(f"p {op}= np.ones((2, 2))", {"np": np, "p": p})
    assert p.data is before
    with no_grad(), pytest.raises(TypeError, match="leave the parameter as it is"):
        exec(f"p {op}= 2.0", {"p": p})


@pytest.mark.parametrize("x", [Variable(2.0), Variable(1.0) * 2.0, Variable(2.0, requires_grad=False)])
def test_in_place_operators_on_any_other_variable_rebind(x):
    start, s = x, x
    for op, value in (("+", 5.0), ("-", 2.0), ("*", 6.0), ("/", 3.0), ("**", 9.0)):
        found = {"s": s, "p": Parameter(np.array(1.0))}
        exec(f"s {op}= {'p + 2' if op != '**' else 2.0}", found)
        assert found["s"].item() == {"+": 5.0, "-": -1.0, "*": 6.0, "/": 2 / 3, "**": 4.0}[op], value
        assert found["s"] is not start and start.item() == 2.0
    s += Parameter(np.array([1.0]))  # a Parameter on the right is an operand
    assert s.data.tolist() == [3.0]


# --- gradients that do not fit -------------------------------------------------------------------------


def bad_op(gradient, wide=False):
    class Bad(Op):
        broadcasts = wide

        def forward(self, a, b):
            return a * b

        def backward(self, gy):
            return gradient(gy)

    return Bad()(Variable(np.ones((2, 3))), Variable(np.ones((2, 3)))).sum()


@pytest.mark.parametrize("count", [1, 3])
def test_wrong_number_of_gradients(count):
    with pytest.raises(ValueError) as caught:
        bad_op(lambda gy: (gy,) * count if count > 1 else gy).backward()
    assert "Bad" in str(caught.value) + "".join(caught.value.__notes__)


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize(
    "gradient, got",
    [
        (lambda gy: gy, "1"),
        (lambda gy: (gy,) * 3, "3"),
        (lambda gy: [gy, gy], "a list"),
        (lambda gy: (), "0"),
    ],
)
def test_gradients_that_are_not_one_per_input(gradient, got, watched):
    """The error names the class and what to return, also while somebody looks."""
    with ag.watch() if watched else no_grad(), ag.enable_grad(), pytest.raises(ValueError) as caught:
        bad_op(gradient).backward()
    expected = "a tuple of 2, a gradient or None for each input"
    assert str(caught.value) == f"Bad.backward expected to return {expected}, got {got}"


def test_a_list_from_an_operation_of_one_input():
    class Double(Op):
        def forward(self, x):
            return x * 2.0

        def backward(self, gy):
            return [gy * 2.0]

    with pytest.raises(ValueError, match=r"Double\.backward expected to return a tuple of 1, .*got a list"):
        Double()(Variable(1.0)).backward()


def test_a_function_without_a_backward():
    """It computes what is not recorded, and says so where it would have to be."""

    class Double(Op):
        def forward(self, x):
            return x * 2.0

    assert Double()(3.0) == 6.0
    with no_grad():
        assert Double()(Variable(3.0)).item() == 6.0
    with pytest.raises(
        TypeError, match=r"Double has a forward and no backward: define backward\(self, gy, \.\.\.\)"
    ):
        Double()(Variable(3.0))
    assert not hasattr(Double, "backward")

    class Whole(Double):
        def backward(self, gy):
            return gy * 2.0

    x = Variable(3.0)
    assert grad(Whole()(x), x).item() == 2.0
    with pytest.raises(AttributeError, match=r"Whole has no attribute 'apply': write Whole\(\)\(x\)"):
        Whole.apply(Variable(1.0))
    with pytest.raises(AttributeError, match=r"Op has no attribute 'forward': define forward\(self, x"):
        Op()(Variable(1.0))


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("shape", [(3, 2), (6,), (3,), (), (2, 1), (2, 2, 3, 1)])
def test_gradient_of_the_wrong_shape(shape, wide):
    """Also of an operation that broadcasts: only axes that were stretched may be summed away."""
    with pytest.raises(ValueError) as caught:
        bad_op(lambda gy: (gy, np.ones(shape)), wide).backward()
    text = str(caught.value) + "".join(getattr(caught.value, "__notes__", ()))
    assert "Bad" in text


def test_none_is_no_gradient():
    a, b = Variable(2.0), Variable(3.0)

    class First(Op):
        def forward(self, a, b):
            return a * b

        def backward(self, gy, b):
            return gy * b, None

    ga, gb = grad(First()(a, b), [a, b], allow_unused=True)
    assert ga.item() == 3.0 and gb is None


# --- dtype ---------------------------------------------------------------------------------------------

SCALARS = [2, 2.0, True, np.float64(2.0), np.int64(2), np.array(2.0), np.array(2)]


@pytest.mark.parametrize("other", SCALARS, ids=lambda v: f"{type(v).__name__} {v!r}")
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_numbers_never_change_the_dtype(other, dtype):
    x = Variable(np.array([1.0, 2.0], dtype))
    results = [
        x + other, other + x, x - other, other - x, x * other, other * x, x / other, other / x, x**other,
        ag.maximum(x, other), ag.where([True, False], x, other), ag.where([True, False], other, x),
        ag.clip(x, other, None), ag.clip(x, None, other), np.add(x, other), np.multiply(other, x),
        ag.index_update(x, 0, other), ag.power(x, other), ag.divide(other, x),
    ]  # fmt: skip
    for y in results:
        assert y.dtype == dtype
        assert grad(y.sum(), x).dtype == dtype


@pytest.mark.parametrize("other", [2.0, 2, np.float64(2.0), np.array(2.0)])
def test_number_to_a_power_keeps_the_dtype(other):
    x = Variable(np.array([1.0, 2.0], np.float32))
    y = other**x
    assert y.dtype == np.float32
    g = grad(y.sum(), x, create_graph=True)
    assert g.dtype == np.float32 and grad(g.sum(), x).dtype == np.float32


def test_arrays_promote_as_in_numpy_and_gradients_come_back():
    x = Variable(np.ones((2, 3), np.float32))
    w = Variable(np.ones((3, 3), np.float32))
    table = np.ones((2, 3))
    for f in (
        lambda: x * table, lambda: x + table, lambda: table / x, lambda: ag.where(table > 0, x, table),
        lambda: ag.concatenate([x, table]), lambda: table @ w, lambda: ag.linear(table, w),
        lambda: ag.addmm(x[0], table, w), lambda: ag.einsum("ij,jk", table, w), lambda: ag.stack([x, table]),
        lambda: ag.astype(x, np.float64) * table, lambda: ag.outer(x, table), lambda: np.matmul(table, w),
        lambda: ag.astype(w, np.float64)[[0, 0, 2]],
    ):  # fmt: skip
        y = f()
        assert y.dtype == np.float64
        for create_graph in (False, True):
            g = grad(y.sum(), [x, w], allow_unused=True, create_graph=create_graph, retain_graph=True)
            assert all(part is None or part.dtype == np.float32 for part in g)


def test_gradients_are_arrays_and_never_numpy_scalars():
    for x in (Variable(2.0), Variable(np.float32(2.0)), Variable(np.ones(()))):
        h = ag.exp(x)
        h.retain_grad()
        seen = []
        h.register_hook(lambda g, seen=seen: seen.append(g))
        y = ag.sum(h * h)
        y.backward()
        for v in (x, y, h, x.grad, h.grad, *seen):
            assert type(v.data) is np.ndarray
        np.add(x.grad.data, 1.0, out=x.grad.data)


def test_integer_results_are_not_recorded():
    x = Variable(np.array([1.0, 2.0]))
    i = Variable(np.array([1, 2], np.int64))
    assert not (i * i).requires_grad and (i * i).dtype == np.int64
    assert (x * i).requires_grad
    assert not ag.astype(x, int).requires_grad


# --- edges ---------------------------------------------------------------------------------------------


def test_kinds_of_edges():
    x, h = Variable(np.ones(2)), Variable(np.ones(2)) * 2.0
    a, _ = ag.split(h, 2)
    constant = Variable(np.ones(2), requires_grad=False, name="table")
    y = ag.einsum("i,i,j,i,k", x, h, a, constant, np.ones(3))
    leaf, node, slot, named, plain = y.creator.edges
    assert leaf is x and node is h.creator
    assert isinstance(slot, Slot) and slot.node is a.creator and slot.k == 0
    assert isinstance(named, Constant) and (named.name, named.shape) == ("table", (2,))
    assert isinstance(plain, Constant) and (plain.name, plain.shape) == (None, (3,))
    assert (x * 2.5).creator.edges == (x, 2.5) or (x * 2.5).creator.edges[1] == 2.5


def test_nodes_are_numbered_in_the_order_of_calls():
    x = Variable(1.0)
    numbers = [(x * x).creator.number for _ in range(5)]
    assert numbers == sorted(numbers) and len(set(numbers)) == 5


def test_a_node_knows_neither_its_outputs_nor_intermediate_variables():
    x = Variable(np.ones(3))
    y = ag.tanh(x * 2.0)
    for value in vars(y.creator).values():
        assert not isinstance(value, Variable)
    assert isinstance(y.creator.edges[0], Function)


# --- leaves that change ----------------------------------------------------------------------------------


def plus_one(w):
    w.data += 1.0


def other_array(w):
    w.data = w.data * 2.0


def same_numbers(w):
    w.data = w.data.copy()


@pytest.mark.parametrize("change", [plus_one, other_array, same_numbers])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_saved_leaf_that_changed_is_an_error_with_its_name(change, create_graph):
    w = Variable(np.ones(2), name="w")
    y = (w * w).sum()
    change(w)
    with pytest.raises(RuntimeError, match=r"leaf w \(2,\).*Mul"):
        grad(y, w, create_graph=create_graph)


def test_a_leaf_that_is_not_saved_may_change():
    w = Variable(np.ones(2))
    y = (w + 1.0).sum()
    w.data = w.data * 3.0
    y.backward()
    assert_array_equal(w.grad.data, [1.0, 1.0])


def test_writing_through_out_is_noticed_when_the_writer_says_so():
    w = Variable(np.ones(2), name="w")
    y = (w * w).sum()
    np.subtract(w.data, 0.5, out=w.data)
    w.data = w.data
    with pytest.raises(RuntimeError, match="leaf w"):
        y.backward()


def test_a_change_after_backward_is_no_error():
    w = Variable(np.ones(2))
    for _ in range(3):
        (w * w).sum().backward()
        w.data -= 0.1 * w.grad.data
        w.grad = None


# --- views of leaves -------------------------------------------------------------------------------------

VIEWS = {  # of a leaf (2, 2)
    "T": lambda w: w.T,
    "mT": lambda w: w.mT,
    "slice": lambda w: w[:1],
    "index": lambda w: w[1],
    "step": lambda w: w[::-1, ::2],
    "new axis": lambda w: w[:, None],
    "ellipsis": lambda w: w[...],
    "reshape": lambda w: w.reshape(4, 1),
    "ravel": lambda w: w.ravel(),
    "flatten": lambda w: w.flatten(),
    "split": lambda w: ag.split(w, 2)[1],
    "unstack": lambda w: ag.unstack(w, 1)[0],
    "iteration": lambda w: next(iter(w)),
    "flip": ag.flip,
    "swapaxes": lambda w: w.swapaxes(0, 1),
    "moveaxis": lambda w: ag.moveaxis(w, 0, 1),
    "squeeze": lambda w: w[:1].squeeze(0),
    "expand_dims": lambda w: ag.expand_dims(w, 0),
    "broadcast_to": lambda w: ag.broadcast_to(w, (3, 2, 2)),
    "contiguous": ag.contiguous,
    "roll by nothing": lambda w: ag.roll(w.T, 2, 0),
    "NumPy": lambda w: np.transpose(w),
    "einsum": lambda w: ag.einsum("ij->ji", w),
    "view of a view": lambda w: ag.flip(w.T.reshape(2, 1, 2)[:, 0])[1],
    "part of a part": lambda w: ag.unstack(ag.split(w, 1)[0])[0],
    "detached": lambda w: w.detach(),
    "detached view": lambda w: w[0].detach(),
    "view of what is detached": lambda w: w.detach().T,
    "without a graph": no_grad()(lambda w: w.T),
}


def minus_one(w):
    w.data -= 1.0


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
@pytest.mark.parametrize("change", [minus_one, other_array, same_numbers])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_view_of_a_leaf_is_the_leaf(view, change, create_graph):
    w, x = Variable(np.arange(4.0).reshape(2, 2), name="W"), Variable(3.0)
    v = view(w)
    assert np.shares_memory(v.data, w.data)
    y = (v * x).sum()
    change(w)
    with pytest.raises(RuntimeError, match=r"data of leaf W \(2, 2\).* after Mul.* used a view of it"):
        grad(y, x, create_graph=create_graph)


COPIES = {
    "times 1": lambda w: w * 1.0,
    "fancy index": lambda w: w[[0, 1]],
    "fancy columns": lambda w: w[:, [0, 1]],
    "mask": lambda w: w[np.array([True, True])],
    "astype": lambda w: ag.astype(w, np.float64),
    "contiguous": lambda w: ag.contiguous(w.T),
    "reshaped transpose": lambda w: w.T.reshape(4),
    "stack": lambda w: ag.stack([w, w]),
    "product": lambda w: w.reshape(1, 2, 2) @ np.eye(2),  # is reshaped, so a view, but not of w
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_a_copy_of_a_leaf_is_not_the_leaf(copied):
    w, x = Variable(np.arange(4.0).reshape(2, 2)), Variable(3.0)
    v = copied(w)
    before, y = v.data.copy(), (v * x).sum()
    w.data -= 1.0
    assert grad(y, x).item() == before.sum()


def test_a_view_that_nobody_needs_again_may_change():
    w, x = Variable(np.ones((2, 2))), Variable(np.ones((2, 2)))
    y = (w.T + x).sum() + (ag.tanh(w.T)).sum()
    w.data -= 1.0
    assert_array_equal(grad(y, x).data, np.ones((2, 2)))


def test_other_leaves_may_change_and_all_may_after_backward():
    w, other, x = Variable(np.ones((2, 2))), Variable(np.ones((2, 2))), Variable(np.ones((1, 2)))
    for k in range(3):
        y = ag.square(x @ w.T + other[0]).sum()
        other.data -= 1.0
        y.backward()
        w.data -= 0.1
        assert_allclose(y.item(), 2 * (2 * (1 - 0.1 * k) + 1 - k) ** 2)


def test_what_counts_is_the_leaf_when_its_view_is_used():
    """A view made before an update shows the new numbers, and is used with them."""
    w, x = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)))
    wt = w.T
    w.data -= 1.0
    y = ag.square(x @ wt).sum()
    assert_array_equal(grad(y, x, retain_graph=True).data, 2 * (x.data @ wt.data) @ w.data)
    w.data -= 1.0
    with pytest.raises(RuntimeError, match="leaf W"):
        grad(y, x)
    w, x = Variable(np.eye(2)), Variable(np.ones((1, 2)))
    wt = w.T
    w.data = w.data * 3.0  # wt has the old memory now, and w's is another
    y = ag.square(x @ wt).sum()
    w.data -= 1.0
    assert_array_equal(grad(y, x).data, np.full((1, 2), 2.0))


def test_a_view_of_two_leaves_in_one_memory():
    flat = np.arange(8.0)
    a, b = Variable(flat[:4].reshape(2, 2), name="A"), Variable(flat[4:].reshape(2, 2), name="B")
    y = (a.T * b.T).sum()
    b.data += 1.0
    with pytest.raises(RuntimeError, match="leaf B"):
        grad(y, a)


class Same(Op):
    """What it got; saves what it gives."""

    def forward(self, x):
        return x

    def backward(self, gy, y):
        return gy * y / y


@pytest.mark.parametrize("shape", [(2,), (1, 2)])
@pytest.mark.parametrize("f", [lambda w: Same()(w), lambda w: Same()(w[...])])
def test_an_output_that_is_saved_and_is_the_leaf(f, shape):
    w = Variable(np.ones(shape), name="W")
    y = f(w).sum()
    w.data += 1.0
    with pytest.raises(RuntimeError, match="leaf W"):
        grad(y, w)


def test_a_long_chain_of_views_and_what_is_kept_for_it():
    w, x = Variable(np.ones((2, 2)), name="W"), Variable(np.ones((2, 2)))
    v = w
    for _ in range(30_000):
        v = v.T
    y = (v * x).sum()
    w.data -= 1.0
    with pytest.raises(RuntimeError, match="leaf W"):
        y.backward()


def test_leaves_are_stored_where_a_saved_array_lies_in_their_memory():
    w, x = Variable(np.ones((2, 2))), Variable(np.ones((2, 2)))
    wt = w.T
    using = wt * 2.0 * 1.0, wt * (x * 1.0)
    for y in (wt, wt + x, ag.contiguous(wt), ag.tanh(wt), using[0]):
        assert not y.creator.leaves
    for y, leaves in ((w * x, [w, x]), (x @ w, [x, w]), (x @ wt, [x, w]), (using[1], [w])):
        assert list(map(id, y.creator.leaves)) == list(map(id, leaves))
        assert all(data() is leaf.data for leaf, data in y.creator.leaves.items())


class Windows(ag.Function):
    """Overlapping pairs of a vector: a view with an object between it and the array."""

    def forward(self, x):
        return np.lib.stride_tricks.sliding_window_view(x, 2)

    def backward(self, gy):
        return np.append(gy[:, 0], 0.0) + np.insert(gy[:, 1], 0, 0.0)


def test_windows_of_a_leaf_are_views_of_it():
    w = Variable(np.arange(4.0), name="W")
    y = (Windows()(w) ** 2.0).sum()
    w.data *= 3.0
    with pytest.raises(RuntimeError, match="leaf W.* a view of it"):
        y.backward()


def test_a_second_order_pass_knows_views_too():
    w, x = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)))
    (g,) = grad(((x @ w.T) ** 3).sum(), [x], create_graph=True)
    w.data -= 1.0
    with pytest.raises(RuntimeError, match="leaf W"):
        grad(g.sum(), x)


def test_a_checkpoint_knows_views_too():
    w, x = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)))
    y = ag.checkpoint(lambda x, v: ag.square(x @ v), x, w.T).sum()
    w.data -= 1.0
    with pytest.raises(RuntimeError, match="leaf W"):
        grad(y, x)


def test_a_leaf_that_a_hook_changes_before_its_view_is_needed():
    w, x = Variable(np.eye(2), name="W"), Variable(np.ones((1, 2)))
    h = x @ w.T
    h.register_hook(lambda g: minus_one(w))
    with pytest.raises(RuntimeError, match="leaf W"):
        ag.square(h).sum().backward()


def test_old_data_of_a_leaf_is_not_kept_alive():
    w, x = Variable(np.ones((100, 100))), Variable(np.ones((100, 100)))
    kept = []
    for _ in range(2):
        y = (w.T * x).sum()
        y.backward()
        kept.append(y)
        old = weakref.ref(w.data)
        w.data = w.data * 0.5
        assert old() is None


def test_tied_weights_of_a_layer():
    """The output layer of a language model multiplies by the transposed embedding."""
    embedding, tokens = nn.Embedding(7, 3), np.array([1, 2, 1])
    for tied in (lambda h: h @ embedding.weight.T, lambda h: ag.linear(h, embedding.weight)):
        loss = nn.functional.cross_entropy(tied(ag.tanh(embedding(tokens))), tokens)
        embedding.weight.data -= 0.1
        with pytest.raises(RuntimeError, match=r"data of leaf.*\(7, 3\)"):
            loss.backward()


def test_batch_normalisation():
    layer, x = nn.BatchNorm1d(2), Variable(np.ones((3, 2, 4), np.float32))
    y = ag.square(layer(x)).sum()
    layer.weight.data -= 0.5
    with pytest.raises(RuntimeError, match=r"data of leaf.*\(2,\)"):
        y.backward()


# --- deferred contributions ------------------------------------------------------------------------------


def outer(rng, lead=(5,)):
    return Outer(rng.standard_normal((*lead, 3)), rng.standard_normal((*lead, 4)))


def scatter(rng):
    return Scatter((3, 4), np.array([0, 2, 0]), rng.standard_normal((3, 4)))


def test_contributions_of_all_kinds_add_up(rng):
    parts = []
    for n in range(3 * CHUNK + 5):
        parts += [outer(rng), outer(rng, (2, 3)), outer(rng, ()), scatter(rng)][: 1 + n % 4]
        if n % 7 == 0:
            parts.append(rng.standard_normal((3, 4)))
    expected = sum(p.array() if isinstance(p, Deferred) else p for p in parts)
    for order in (parts, parts[::-1], [parts[-1], *parts[:-1]]):
        total = order[0]
        for part in order[1:]:
            total = total + part
        assert isinstance(total, Deferred)
        assert_allclose(total.array(), expected, rtol=1e-12)
    left, right = outer(rng) + scatter(rng), scatter(rng) + outer(rng)
    values = left.array() + right.array()
    assert_allclose((left + right).array(), values)


def test_one_contribution_is_the_definition(rng):
    a, b = rng.standard_normal((2, 5, 3)), rng.standard_normal((2, 5, 4))
    assert_allclose(Outer(a, b).array(), np.einsum("tbi,tbo->io", a, b))
    g = rng.standard_normal((3, 4))
    expected = np.zeros((3, 4))
    np.add.at(expected, [0, 2, 0], g)
    assert_allclose(Scatter((3, 4), np.array([0, 2, 0]), g).array(), expected)


def test_zero_rows_or_columns(rng):
    assert_array_equal(Outer(np.ones((0, 3)), np.ones((0, 4))).array(), np.zeros((3, 4)))
    assert Outer(np.ones((2, 5, 0)), np.ones((2, 5, 4))).array().shape == (0, 4)
    assert_array_equal(Scatter((3,), np.zeros(0, int), np.zeros(0)).array(), np.zeros(3))


@pytest.mark.parametrize(
    "index, repeated",
    [
        (np.array([0, 0, 1]), [2.0, 1.0, 0.0]), (1, [0.0, 1.0, 0.0]), (slice(0, 2), [1.0, 1.0, 0.0]),
        (np.array([True, False, True]), [1.0, 0.0, 1.0]), (..., [1.0, 1.0, 1.0]), ((), [1.0, 1.0, 1.0]),
    ],
)  # fmt: skip
def test_add_at(index, repeated):
    out = np.zeros(3)
    add_at(out, index, np.ones_like(out[index]))
    assert_array_equal(out, repeated)


def test_a_weight_shared_by_an_embedding_and_a_linear_layer(rng):
    """Contributions of different kinds meet on one leaf, over more uses than are joined at a time."""
    table, tokens = rng.standard_normal((6, 4)), rng.integers(0, 6, (CHUNK + 9, 3))

    def loss(w):
        total, h = 0.0, 0.1
        for t in range(len(tokens)):
            h = ag.tanh(w[tokens[t]] + h)
            total = total + ag.sum(ag.log_softmax(ag.linear(h, w))[:, 0]) + w[0, 0] * w[1].sum()
        return total

    gradcheck(loss, table)
    w = Variable(table)
    (deferred,) = [grad(loss(w), w)]
    recorded = grad(loss(w), w, create_graph=True)
    assert_allclose(deferred.data, recorded.data, rtol=1e-10)
    for hooked in (False, True):
        seen = []
        if hooked:
            w.register_hook(lambda g, seen=seen: seen.append(g.data))
        w.grad = None
        loss(w).backward()
        assert_allclose(w.grad.data, deferred.data, rtol=1e-12)
        assert all(type(g) is np.ndarray for g in seen) and len(seen) == hooked


def test_deferred_contributions_to_an_intermediate(rng):
    """A weight that is computed once and used at every step: the sum is an array when its node is reached."""
    w0, x = rng.standard_normal((3, 3)), rng.standard_normal((2, 3))

    def loss(w):
        wt, h = ag.transpose(w) * 0.5, x
        for _ in range(CHUNK + 3):
            h = ag.tanh(h @ wt)
        return ag.sum(h) + ag.sum(wt[0]) + ag.sum(ag.square(wt))

    gradcheck(loss, w0, order=2)
    w = Variable(w0)
    wt = ag.transpose(w) * 0.5
    wt.retain_grad()
    seen = []
    wt.register_hook(lambda g: seen.append(type(g.data)))
    ag.sum(ag.tanh(ag.tanh(x @ wt) @ wt)).backward()
    assert seen == [np.ndarray] and type(wt.grad.data) is np.ndarray


def test_nothing_is_deferred_when_the_pass_is_recorded(rng):
    x, w = Variable(rng.standard_normal((2, 3))), Variable(rng.standard_normal((3, 4)))
    for f in (lambda: x @ w, lambda: ag.linear(x, w.T), lambda: w[[0, 0]], lambda: ag.addmm(w[0], x, w)):
        y = f()
        gy = Variable(np.ones(y.shape), requires_grad=False)
        gxs = y.creator.backward(gy, *y.creator.values_as_variables())
        for g in gxs if isinstance(gxs, tuple) else (gxs,):
            assert isinstance(g, Variable)


@pytest.mark.parametrize("columns", [3, 2**15])  # summed late, and at once
def test_a_bias_that_meets_several_shapes(columns, rng):
    """Its gradient is the sum over every element it was added to or multiplied with."""
    b0 = rng.standard_normal(columns)
    xs = [rng.standard_normal((*lead, columns)) for lead in [(2,), (), (2, 1), (3, 2), (2,)] * 10]
    b = Variable(b0)
    for x in xs:
        ((x + b) * (x * 0.5)).sum().backward()  # one pass each
    once = Variable(b0)
    sum([((x + once) * (x * 0.5)).sum() for x in xs]).backward()  # one pass for all
    (recorded,) = grad(sum([((x + b) * (x * 0.5)).sum() for x in xs]), [b], create_graph=True)
    want = sum(0.5 * x.reshape(-1, columns).sum(0) for x in xs)
    for got in (b.grad, once.grad, recorded):
        assert_allclose(got.data, want, atol=1e-12)
    scale = Variable(np.array(2.0))
    sum([(x * scale).sum() for x in xs]).backward()
    assert_allclose(scale.grad.data, sum(x.sum() for x in xs), atol=1e-9)


def test_a_weight_is_transposed_once_per_backward_pass(rng, monkeypatch):
    made = []
    monkeypatch.setattr(linalg, "Uses", lambda w: made.append(Uses(w)) or made[-1])
    w0, v0 = rng.standard_normal((2, 4, 4))
    for uses in (1, 2, 3, 9):
        made.clear()
        w, v, h = Variable(w0), Variable(v0), Variable(rng.standard_normal((2, 4)))
        y = h
        for _ in range(uses):
            y = (y @ w) @ v
        (gh,) = grad(y, [h], gradients=np.ones((2, 4)))
        copies = [use.copy for use in made if use.copy is not None]
        assert len(copies) == (2 if uses >= linalg.OFTEN else 0)  # one per weight that is used often
        assert all(copy.flags.c_contiguous for copy in copies)
        assert local.thread.pass_cache is None
        assert_allclose(gh.data, np.ones((2, 4)) @ np.linalg.matrix_power(w0 @ v0, uses).T, rtol=1e-10)


def test_weights_that_are_computed_anew_are_not_kept_for_their_transpose(rng):
    """They are released as the pass goes on, like everything else."""
    h, w = Variable(np.ones((1, 100))), Variable(rng.standard_normal((100, 100)) / 50)
    held = []
    tracemalloc.start()
    y = first = h * 1.0
    for k in range(30):
        y = y @ (w * (1.0 + k))
    first.register_hook(lambda g: held.append(tracemalloc.get_traced_memory()[0]))
    grad(y, [h], gradients=np.ones((1, 100)))
    tracemalloc.stop()
    assert held[0] < 10 * w.data.nbytes


def test_backward_by_hand_keeps_nothing():
    w = Variable(np.eye(3))
    node = (Variable(np.ones((2, 3))) @ w).creator
    for _ in range(6):
        assert_array_equal(node.backward(np.ones((2, 3)), *node.values())[0], np.ones((2, 3)))
    w.data[...] = 5 * np.eye(3)
    assert_array_equal(node.backward(np.ones((2, 3)), *node.values())[0], np.full((2, 3), 5.0))


def test_an_equal_dtype_that_is_another_object(rng):
    """Unpickled arrays have one; the contributions to their weight are joined all the same."""
    joined = []
    w = Variable(pickle.loads(pickle.dumps(rng.standard_normal((3, 3)).astype(np.float32))))
    assert w.dtype == np.float32 and w.dtype is not np.dtype(np.float32)
    h = np.ones((2, 3), np.float32)
    for _ in range(CHUNK):
        h = h @ w
    with pytest.MonkeyPatch.context() as patch:
        join = Outer.join
        patch.setattr(Outer, "join", staticmethod(lambda parts: joined.append(len(parts)) or join(parts)))
        h.sum().backward()
    assert joined == [CHUNK]


def test_a_product_of_many_rows_does_not_wait(rng):
    """It would hold its arrays, and its own product is as fast as a joined one."""
    w = Variable(rng.standard_normal((3, 2)))
    few, many = (Variable(rng.standard_normal((rows, 3))) @ w for rows in (1023, 1024))
    assert isinstance(few.creator.backward(np.ones((1023, 2)), *few.creator.values())[1], Outer)
    assert isinstance(many.creator.backward(np.ones((1024, 2)), *many.creator.values())[1], np.ndarray)


def test_a_deferred_gradient_of_another_dtype_is_cast():
    w = Variable(np.ones((3, 2), np.float32))
    y = np.ones((4, 3)) @ w + np.ones((4, 3)) @ w
    y.sum().backward()
    assert w.grad.dtype == np.float32
    assert_array_equal(w.grad.data, np.full((3, 2), 8.0))


# --- modes inside a pass -----------------------------------------------------------------------------------


@pytest.mark.parametrize("create_graph", [False, True])
def test_recording_inside_a_pass(create_graph):
    seen = []

    class Spy(Op):
        def forward(self, x):
            return x * 1.0

        def backward(self, gy):
            seen.append((local.thread.recording, local.thread.sink is not None))
            return gy

    x = Variable(1.0)
    with no_grad():
        pass
    grad(Spy()(x), x, create_graph=create_graph)
    assert seen == [(create_graph, True)]
    assert local.thread.recording and local.thread.sink is None


def test_backward_inside_no_grad():
    x = Variable(2.0)
    y = x**3
    with no_grad():
        assert grad(y, x, retain_graph=True).item() == 12.0
        g = grad(y, x, create_graph=True)
    assert g.requires_grad and grad(g, x).item() == 12.0


def test_a_pass_inside_a_hook():
    """A whole other graph may be built and differentiated while a pass runs."""
    x, z = Variable(2.0), Variable(3.0)
    h = x * x

    def hook(g):
        with ag.enable_grad():
            inner = grad(z * z, z)
        return g.data * inner.data

    h.register_hook(hook)
    assert grad(h * 1.0, x).item() == 6.0 * 4.0
    assert local.thread.recording and local.thread.sink is None


# --- what must not happen in silence ------------------------------------------------------------------


@pytest.mark.parametrize("f", [ag.sum, ag.mean, ag.max, lambda x: ag.linear([x], [x])])
def test_operations_take_lists_as_numpy_does(f):
    assert_allclose(f([1.0, 2.0]), f(np.array([1.0, 2.0])))


@pytest.mark.parametrize(
    "other", [np.array([1j, 2.0]), np.array([1.0, 2.0], object)], ids=["complex", "object"]
)
def test_constants_that_would_end_the_graph_in_silence_raise(other):
    with pytest.raises(TypeError, match="expected numbers"):
        Variable([1.0, 2.0]) * other


def test_grad_leaves_retained_gradients_alone():
    x = Variable([1.0, 2.0])
    h = x * 2.0
    h.retain_grad()
    grad((h * h).sum(), x)
    assert h.grad is None


def test_data_of_a_tracking_leaf_stays_floating_point():
    p = Parameter([1.0, 2.0])
    with pytest.raises(TypeError, match="floating-point"):
        p.data = np.array([1, 2])
