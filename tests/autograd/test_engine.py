"""What users do with graphs: backward and grad, hooks, cutting, modes, places, copies, threads, errors.

Rules about how operations are written and what the walk promises them are in `test_contract`.
"""

import copy
import pickle
import sys
import threading

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Parameter, Variable, enable_grad, engine, grad, graph, no_grad
from autograd.modes import instrumented, is_grad_enabled, is_stepwise, local, scope, step, stepwise
from tests.conftest import thread_state


def leaf(*values, name=None):
    return Variable(np.array(values, float), name=name)


# --- making Variables ------------------------------------------------------------------------------


def test_floats_track_by_default_and_integers_never():
    assert Variable(1.0).requires_grad and Variable(np.ones(2, np.float32)).requires_grad
    for data in (1, True, [1, 2], np.arange(3)):
        assert not Variable(data).requires_grad
        with pytest.raises(TypeError, match="floating-point"):
            Variable(data, requires_grad=True)
        with pytest.raises(TypeError, match=r"astype"):
            Variable(data).requires_grad = True
    assert not Variable(1.0, requires_grad=False).requires_grad


def test_data_is_kept_and_not_copied():
    a = np.ones(3)
    assert Variable(a).data is a
    assert isinstance(Variable(2.0).data, np.ndarray)
    assert isinstance(Variable(np.float32(2.0)).data, np.ndarray)


def test_a_variable_of_a_variable_is_an_error():
    with pytest.raises(TypeError, match="detach"):
        Variable(Variable(1.0))


def test_what_python_asks_of_a_variable():
    x = Variable([[1.0, 2.0]], name="x")
    assert len(x) == 1 and x.shape == (1, 2) and x.ndim == 2 and x.size == 2 and x.dtype == np.float64
    assert f"{Variable(2.5):.2f}" == "2.50" and f"{Variable(2.5)}" == "Variable(2.5)"
    assert float(Variable(2.5)) == 2.5 and int(Variable(2.0)) == 2 and Variable(2.5).item() == 2.5
    assert bool(Variable(1.0)) and not bool(Variable(0.0))
    assert x.tolist() == [[1.0, 2.0]]
    with pytest.raises(TypeError, match="0-d"):
        len(Variable(1.0))
    with pytest.raises(ValueError, match="ambiguous"):
        bool(x)


def test_repr_shows_what_matters():
    x = Variable(np.ones(2, np.float32), name="w")
    assert repr(x) == "Variable([1., 1.], dtype=float32, name='w')"
    assert repr(x * 2.0) == "Variable([2., 2.], dtype=float32, creator=Mul)"
    assert repr(Variable(1.0, requires_grad=False)) == "Variable(1., requires_grad=False)"
    assert repr(Parameter(1.0)) == "Parameter(1.)"


# --- backward --------------------------------------------------------------------------------------


def test_gradient_of_an_expression():
    x, y = Variable(3.0), Variable(2.0)
    z = x * x * y + y / x
    z.backward()
    assert x.grad.item() == pytest.approx(2 * 3 * 2 - 2 / 9)
    assert y.grad.item() == pytest.approx(9 + 1 / 3)
    assert isinstance(x.grad, Variable) and not x.grad.requires_grad


def test_diamond_and_reuse_add_up():
    x = Variable(2.0)
    a = x * x
    b = a * 3.0
    c = a * a
    (b + c + x).backward()
    assert x.grad.item() == 3 * 2 * 2 + 4 * 2**3 + 1


def test_a_late_use_of_an_early_node():
    """Many paths of different length between two nodes: each is gone through once, in order."""
    x = Variable(1.0)
    h, early = x * 1.1, []
    for _ in range(20):
        early.append(h)
        h = ag.sin(h) + early[len(early) // 2] * 0.5
    h.backward()
    eps = 1e-6

    def run(x):
        h, early = x * 1.1, []
        for _ in range(20):
            early.append(h)
            h = np.sin(h) + early[len(early) // 2] * 0.5
        return h

    assert x.grad.item() == pytest.approx((run(1 + eps) - run(1 - eps)) / (2 * eps), rel=1e-6)


def test_leaf_gradients_accumulate_by_rebinding():
    x = leaf(1.0, 2.0)
    (x * x).sum().backward()
    first = x.grad
    kept = first.data.copy()
    (x * x).sum().backward()
    assert x.grad is not first
    assert_array_equal(first.data, kept)
    assert_array_equal(x.grad.data, 2 * kept)


def test_intermediates_get_no_gradient_unless_asked():
    x = leaf(1.0, 2.0)
    h, k = x * 2.0, x * 3.0
    k.retain_grad()
    (h * k).sum().backward()
    assert h.grad is None
    assert_array_equal(k.grad.data, 2 * x.data)


def test_retain_grad_of_an_intermediate_accumulates_like_a_leaf():
    x = leaf(1.0, 2.0)
    h = x * 2.0
    h.retain_grad()
    y = h.sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_array_equal(h.grad.data, [2.0, 2.0])


def test_retain_grad_outlives_the_variable():
    x = leaf(1.0)
    h = x * 2.0
    h.retain_grad()
    node = h.creator
    y = h * h
    del h
    y.sum().backward()
    assert node.annotations[0].grad.item() == 4.0


def test_retain_graph_allows_a_second_pass():
    x = leaf(1.0, 3.0)
    y = (x * x).sum()
    y.backward(retain_graph=True)
    y.backward()
    assert_array_equal(x.grad.data, 4 * x.data)


@pytest.mark.parametrize("f", [lambda x: x * x, lambda x: x + x, lambda x: x @ np.ones((2, 1))])
def test_second_backward_names_the_fix(f):
    y = f(leaf(1.0, 2.0)).sum()
    y.backward()
    with pytest.raises(RuntimeError, match=r"second backward.*retain_graph=True"):
        y.backward()


def test_structure_survives_backward():
    x = leaf(1.0, 2.0)
    y = ag.tanh(x * x).sum()
    y.backward()
    node, labels = y.creator, []
    while isinstance(node, ag.Function):
        labels.append(node.label)
        node = node.edges[0]
    assert labels == ["Sum", "Tanh", "Mul"] and node is x


def test_backward_of_a_vector_needs_a_gradient():
    x = leaf(1.0, 2.0)
    with pytest.raises(RuntimeError, match=r"shape \(2,\).*gradient="):
        (x * x).backward()
    (x * x).backward(np.array([1.0, 0.5]))
    assert_array_equal(x.grad.data, [2.0, 2.0])
    (x * 1.0).backward([1.0, 1.0])
    (x * 1.0).backward(Variable([1.0, 1.0]))
    assert_array_equal(x.grad.data, [4.0, 4.0])


def test_backward_of_one_element_needs_none():
    x = leaf(3.0)
    (x * x).backward()
    assert_array_equal(x.grad.data, [6.0])


@pytest.mark.parametrize("shape", [(3,), (2, 1), (), (1, 2)])
def test_start_of_the_wrong_shape(shape):
    x = leaf(1.0, 2.0)
    with pytest.raises(ValueError, match=r"expected a gradient of shape \(2,\), got"):
        (x * x).backward(np.ones(shape))
    with pytest.raises(ValueError, match=r"grad expected a gradient of shape"):
        grad(x * x, x, gradients=np.ones(shape))


def test_start_of_another_dtype_is_cast():
    x = Variable(np.ones(2, np.float32))
    (x * x).backward(np.ones(2))
    assert x.grad.dtype == np.float32
    assert grad(x * x, x, gradients=[1, 2]).dtype == np.float32


def test_backward_on_a_leaf_or_outside_a_graph():
    with pytest.raises(RuntimeError, match="leaf"):
        Variable(1.0).backward()
    for y in (Variable(1), Variable(1.0).detach() * 2.0, Variable(1.0, requires_grad=False)):
        with pytest.raises(RuntimeError, match="does not require grad"):
            y.backward()


def test_grad_may_be_set_and_reset():
    x = leaf(1.0, 2.0)
    x.grad = Variable(np.ones(2), requires_grad=False)
    (x * x).sum().backward()
    assert_array_equal(x.grad.data, [3.0, 5.0])
    x.grad = None
    assert x.grad is None
    with pytest.raises(TypeError, match="Variable or None"):
        x.grad = np.ones(2)
    with pytest.raises(ValueError, match="shape"):
        x.grad = Variable(np.ones(3))


def test_backward_does_not_touch_what_it_starts_from():
    x = leaf(1.0, 2.0)
    start = np.array([1.0, 2.0])
    y = x + 0.0
    y.backward(start, retain_graph=True)
    y.backward(start)
    assert_array_equal(start, [1.0, 2.0])
    assert_array_equal(x.grad.data, [2.0, 4.0])


# --- memory of gradients ---------------------------------------------------------------------------


class Given(ag.Function):
    """a + b; what it gives back are its saved arrays: one as it is, and a read-only view of the other."""

    symbol, rule = "g", "none"

    def forward(self, a, b):
        return a + b

    def backward(self, gy, a, b):
        return a, np.broadcast_to(b, b.shape)


PROGRAMS = {
    "one gradient for two": lambda a, b: (a + b) * 1.0,
    "straight from the start": lambda a, b: a + b,
    "reshaped": lambda a, b: (a.reshape(3, 1) + b.reshape(3, 1)).reshape(3),
    "transposed": lambda a, b: (a.reshape(3, 1).T + b.reshape(3, 1).T).reshape(3),
    "flipped": lambda a, b: ag.flip(a) + b,
    "split": lambda a, b: ag.concatenate([*ag.split(ag.concatenate([a, b]), 2)])[:3],
    "stacked": lambda a, b: ag.stack([a, b]).sum(0),
    "stretched by a sum": lambda a, b: a.sum() + b.sum() + np.zeros(3),
    "saved arrays": lambda a, b: Given()(a, b),
    "used again": lambda a, b: a + b + a + b,
    "where": lambda a, b: ag.where([True, True, True], a, 0.0) + b,
}


def memories(*held):
    """The arrays of Variables, once it is sure that nobody shares one and all may be written into."""
    arrays = [x.data if isinstance(x, Variable) else x for x in held]
    for i, a in enumerate(arrays):
        assert a.flags.writeable
        assert not any(np.shares_memory(a, b) for b in arrays[:i])
    return arrays


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_are_in_memory_of_their_own(name, create_graph):
    a, b, start = leaf(1.0, 2.0, 3.0), leaf(4.0, 5.0, 6.0), np.array([1.0, 2.0, 3.0])
    h, kept = a * 1.0, []
    y = PROGRAMS[name](h, b)
    h.retain_grad()
    h.register_hook(kept.append)
    b.register_hook(kept.append)
    y.backward(start, retain_graph=True, create_graph=create_graph)
    held = [a.grad, b.grad, h.grad, *kept]
    saved = [part for node in (y.creator, h.creator) for part in node.saved if isinstance(part, np.ndarray)]
    memories(start, a, b, *held)
    assert not any(np.shares_memory(g.data, part) for g in held for part in saved)
    expected = [g.data.copy() for g in held]
    for g in held:
        g.data *= 0.5
    for g, was in zip(held, expected, strict=True):
        assert_array_equal(g.data, was * 0.5)
    found = grad(y, [a, b, h, a], start, create_graph=create_graph, retain_graph=True)
    memories(start, a, b, *held, *kept[2:], *found)
    for g, want in zip(found, [*expected[:3], expected[0]], strict=True):
        assert_array_equal(g.data, want)


def test_halving_one_gradient_halves_one():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    ((a + b) ** 2).sum().backward()
    a.grad.data *= 0.5
    b.grad.data *= 0.5
    assert_array_equal(a.grad.data, [4.0, 6.0])
    assert_array_equal(b.grad.data, [4.0, 6.0])


def test_the_gradient_of_a_sum_can_be_written_into():
    x = Variable(np.ones((2, 3)))
    x.sum().backward()
    x.grad.data += 1.0
    assert_array_equal(x.grad.data, np.full((2, 3), 2.0))


def test_the_start_stays_the_callers():
    x, start = leaf(1.0, 2.0), np.array([1.0, 2.0])
    (x + 0.0).backward(start)
    start[...] = 7.0
    assert_array_equal(x.grad.data, [1.0, 2.0])


def test_a_recorded_gradient_that_is_the_start_itself():
    """It has memory of its own, and leads back to the start all the same, in every mode."""
    x, start = leaf(1.0, 2.0), leaf(1.0, 2.0)
    y = x + 0.0
    with no_grad():
        for _ in range(2):
            y.backward(start, create_graph=True)
    memories(x.grad, start)
    assert_array_equal(grad(x.grad.sum(), start).data, [2.0, 2.0])


def test_a_hook_writes_into_its_own_gradient_only():
    a, b = leaf(1.0, 2.0), leaf(3.0, 4.0)
    h = a * 1.0

    def halve(g):
        g.data *= 0.5

    a.register_hook(halve)
    h.register_hook(halve)
    (h + b).sum().backward()
    assert_array_equal(a.grad.data, [0.25, 0.25])
    assert_array_equal(b.grad.data, [1.0, 1.0])


def test_the_first_gradients_of_a_captured_step_are_their_own_too():
    a, b = Parameter([1.0, 2.0]), Parameter([3.0, 4.0])
    step = ag.capture(lambda x: (a + b + x).sum())
    for _ in range(3):
        a.grad = b.grad = None
        step(np.ones(2))
        memories(a.grad, b.grad)


def test_a_gradient_keeps_its_memory_layout():
    w = Variable(np.ones((3, 2)))
    (np.ones((4, 2)) @ ag.contiguous(w.T)).sum().backward()
    assert w.grad.data.flags.f_contiguous  # as it came, transposed


# --- looking ---------------------------------------------------------------------------------------


def test_looking_changes_nothing():
    def model():
        xs = Variable(np.ones((2, 3)), name="xs")
        w = Variable(np.ones(3))
        parts = [ag.tanh(x * w) for x in xs]
        stacked = ag.stack(parts)
        return xs, w, [*parts, stacked, *ag.unstack(stacked)], ag.stack(ag.unstack(stacked)).sum()

    def look(v):
        repr(v)
        return v.name, v.grad, v.is_leaf, v.creator, v.requires_grad, v.shape, v.data, f"{v}", v.detach()

    _, _, _, untouched = model()
    xs, w, hidden, y = model()
    before = graph.draw(y).source
    assert before == graph.draw(untouched).source
    for v in (xs, w, *hidden, y):
        assert look(v)[:2] == (v.name, None)
        assert v.creator is None or not v.creator.annotations
    assert w._annotations is None
    constant = Variable(1)
    look(constant)
    constant * w
    assert constant._annotations is None
    assert graph.draw(y).source == before
    hidden[0].name = "h"
    assert hidden[0].name == "h" and repr(hidden[0]).count("'h'") == 1


# --- grad ------------------------------------------------------------------------------------------


def test_grad_returns_and_leaves_grad_alone():
    x, y = Variable(3.0), Variable(2.0)
    gx, gy = grad(x * x * y, [x, y])
    assert (gx.item(), gy.item()) == (12.0, 9.0)
    assert x.grad is None and y.grad is None
    assert grad(x * x, x).item() == 6.0


def test_grad_at_intermediates():
    x = Variable(3.0)
    h = x * x
    k = ag.exp(h * 0.1)
    y = k * h
    gh, gk, gx, gy = grad(y, [h, k, x, y], retain_graph=True)
    e = np.exp(0.9)
    assert gk.item() == 9.0 and gy.item() == 1.0
    assert gh.item() == pytest.approx(e + 9.0 * e * 0.1)
    assert gx.item() == pytest.approx(6.0 * gh.item())


def test_grad_at_one_output_of_several():
    x = leaf(1.0, 2.0, 3.0)
    a, b, c = x
    ga, gc = grad(a * b + c * c, [a, c])
    assert (ga.item(), gc.item()) == (2.0, 6.0)


def test_grad_stops_at_its_targets():
    """Behind an intermediate nothing is computed or released: the rest of the pass can follow later."""
    x = Variable(3.0)
    h = x * x
    y = h * h
    g = grad(y, h)
    assert g.item() == 18.0
    h.backward(g)
    assert x.grad.item() == 18.0 * 6.0


def test_grad_does_not_visit_other_branches():
    x, w = Variable(2.0), Variable(3.0)
    side = w * w
    y = x * x + side
    assert grad(y, x).item() == 4.0
    side.backward()  # was not released
    assert w.grad.item() == 6.0


def test_grad_of_several_results_with_starts():
    x = leaf(1.0, 2.0)
    ys = [x * 2.0, (x * x).sum()]
    assert_array_equal(grad(ys, x, gradients=[np.ones(2), 10.0]).data, 2.0 + 20.0 * x.data)


def test_grad_of_a_leaf_and_of_the_same_x_twice():
    x = Variable(2.0)
    assert grad(x, x).item() == 1.0
    a, b = grad(x * x, [x, x])
    assert a.item() == b.item() == 4.0


def test_unused_inputs():
    x, w = Variable(2.0), Variable(3.0, name="w")
    with pytest.raises(RuntimeError, match=r"depends on w.*allow_unused=True"):
        grad(x * x, w)
    gx, gw = grad(x * x, [x, w], allow_unused=True)
    assert gx.item() == 4.0 and gw is None
    with pytest.raises(RuntimeError, match="does not require grad"):
        grad(x * x, Variable(1))


def test_wrong_number_of_starts():
    x = Variable(2.0)
    with pytest.raises(ValueError):
        grad([x * x, x * 2.0], x, gradients=[1.0])


def test_higher_orders():
    x = Variable(0.7)
    derivatives = [np.sin, np.cos, lambda v: -np.sin(v), lambda v: -np.cos(v)]
    y = ag.sin(x)
    for n in range(1, 9):
        y = grad(y, x, create_graph=True)
        assert y.item() == pytest.approx(derivatives[n % 4](0.7))


def test_backward_with_create_graph():
    x = Variable(2.0)
    (x**3).backward(create_graph=True)
    first = x.grad
    assert first.item() == 12.0 and first.requires_grad
    x.grad = None
    first.backward()
    assert x.grad.item() == 12.0


def test_create_graph_keeps_the_first_graph():
    x = Variable(2.0)
    y = x**3
    g = grad(y, x, create_graph=True)
    y.backward()  # nothing was released
    assert g.item() == x.grad.item() == 12.0


def test_gradient_penalty():
    """The gradient of a gradient's norm, through a layer, against a difference."""
    rng = np.random.default_rng(0)
    x, w = Variable(rng.standard_normal((4, 3))), Variable(rng.standard_normal((3, 2)))

    def penalty():
        g = grad(ag.tanh(x @ w).sum(), x, create_graph=True)
        return ag.sum(g * g)

    got = grad(penalty(), w).data
    v = rng.standard_normal(w.shape)
    values = []
    for sign in (1.0, -1.0):
        w.data = w.data + sign * 1e-6 * v
        values.append(penalty().item())
        w.data = w.data - sign * 1e-6 * v
    assert np.sum(got * v) == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-6)


# --- hooks -----------------------------------------------------------------------------------------


def test_hook_fires_once_on_the_finished_sum():
    x = leaf(1.0, 2.0)
    h = x * 2.0
    seen = []
    h.register_hook(lambda g: seen.append(("h", g.data.copy())))
    x.register_hook(lambda g: seen.append(("x", g.data.copy())))
    (h * h + h).sum().backward()
    assert [name for name, _ in seen] == ["h", "x"]
    assert_array_equal(seen[0][1], 2 * h.data + 1)
    assert_array_equal(seen[1][1], 2 * (2 * h.data + 1))


@pytest.mark.parametrize("wrap", [np.asarray, Variable])
def test_hook_may_replace_the_gradient(wrap):
    x = leaf(1.0, 2.0)
    h = x * 2.0
    h.register_hook(lambda g: wrap(g.data * 10.0))
    x.register_hook(lambda g: wrap(g.data + 1.0))
    h.sum().backward()
    assert_array_equal(x.grad.data, [21.0, 21.0])


def test_hooks_run_in_order_and_can_be_removed():
    x = leaf(1.0)
    seen = []
    first = x.register_hook(lambda g: seen.append("first"))
    x.register_hook(lambda g: seen.append("second"))
    (x * 1.0).backward()
    first.remove()
    first.remove()  # twice is fine
    (x * 1.0).backward()
    assert seen == ["first", "second", "second"]


def test_hook_of_one_output_of_several_sees_zeros_of_none():
    x = leaf(1.0, 2.0, 3.0)
    a, b, c = x
    seen = []
    b.register_hook(lambda g: seen.append(g.item()))
    (a * c + b * 5.0).backward()
    assert seen == [5.0]


def test_hook_under_create_graph_records():
    x = Variable(3.0)
    h = x * x
    hook = h.register_hook(lambda g: g * h)
    g = grad(h * 1.0, x, create_graph=True)  # x² · 2x
    hook.remove()
    assert g.item() == 54.0
    assert grad(g, x).item() == pytest.approx(6 * 9.0)


def test_hook_of_a_leaf_given_twice_to_grad_fires_once():
    x = leaf(2.0)
    seen = []
    x.register_hook(lambda g: seen.append(1))
    grad(x * x, [x, x])
    assert seen == [1]


def test_hook_on_what_gets_no_gradient():
    for x in (Variable(1), Variable(1.0, requires_grad=False), Variable(1.0).detach()):
        with pytest.raises(RuntimeError, match="does not require grad"):
            x.register_hook(print)
        with pytest.raises(RuntimeError, match="does not require grad"):
            x.retain_grad()


@pytest.mark.parametrize(
    "hook", [None, 3.0, np.ones(2), Variable(1.0), "print"], ids=lambda hook: type(hook).__name__
)
def test_a_hook_that_cannot_be_called_is_refused_where_it_is_registered(hook):
    x = Variable(np.ones(2), name="W")
    for v, who in ((x, "W"), (x * 2.0, "x")):
        words = f"register_hook on {who} expected a function, got {type(hook).__name__}"
        with pytest.raises(TypeError, match=words):
            v.register_hook(hook)
        assert v.annotated() is None or not v.annotated().hooks
    (x * 2.0).backward(np.ones(2))
    np.testing.assert_array_equal(x.grad.data, 2.0)


def test_hook_of_the_wrong_shape():
    x = leaf(1.0, 2.0)
    x.register_hook(lambda g: np.ones(3))
    with pytest.raises(ValueError, match=r"returned shape \(3,\), expected \(2,\)"):
        x.sum().backward()


def test_hook_keeps_the_dtype():
    x = Variable(np.ones(2, np.float32))
    h = x * 2.0
    h.register_hook(lambda g: np.ones(2))
    x.register_hook(lambda g: np.ones(2))
    h.sum().backward()
    assert x.grad.dtype == np.float32


# --- cutting ---------------------------------------------------------------------------------------


def test_detach_shares_the_array_outside_the_graph():
    x = leaf(1.0, 2.0)
    h = x * 2.0
    d = h.detach()
    assert d.data is h.data and not d.requires_grad and d.is_leaf and h.requires_grad
    (h * d).sum().backward()
    assert_array_equal(x.grad.data, 2 * h.data)


def test_unchain_stops_gradients_of_later_and_earlier_results():
    x = leaf(1.0, 2.0)
    h = x * 2.0
    before = h * h
    h.unchain()
    after = h * x
    assert h.is_leaf and not h.requires_grad and h.creator is None
    (before + after).sum().backward()
    assert_array_equal(x.grad.data, h.data)


def test_unchain_frees_what_is_behind():
    x = leaf(1.0, 2.0)
    h = x * 2.0
    node = h.creator
    kept = h + 1.0
    h.unchain()
    assert node.edges == () and node.saved == ()
    assert kept.requires_grad


def test_unchain_of_one_of_several_outputs_leaves_the_siblings():
    x = leaf(1.0, 2.0, 3.0)
    a, b, c = x * 2.0
    y = a * b + c
    b.unchain()
    y.backward()
    assert_array_equal(x.grad.data, [2 * b.item(), 0.0, 2.0])


def test_unchain_of_all_outputs_frees_the_node():
    x = leaf(1.0, 2.0)
    a, b = x
    node = a.creator
    y = a * b
    a.unchain()
    assert node.edges
    b.unchain()
    assert node.edges == ()
    y.backward()
    assert x.grad is None


def test_unchain_keeps_the_name():
    h = Variable(2.0) * 3.0
    h.name = "h"
    h.unchain()
    assert h.name == "h"


def test_truncated_backpropagation_in_a_live_graph():
    w = Variable(0.9)
    h, ys = Variable(1.0, requires_grad=False), []
    for t in range(6):
        if t == 3:
            h.unchain()
        h = h * w
        ys.append(h)
    ys[-1].backward()
    assert w.grad.item() == pytest.approx(3 * 0.9**5)  # three uses of w since the cut


def test_requires_grad_of_a_result_cannot_be_set():
    y = Variable(1.0) * 2.0
    with pytest.raises(RuntimeError, match="detach"):
        y.requires_grad = False
    x = Variable(1.0)
    x.requires_grad = False
    assert not (x * 2.0).requires_grad
    x.requires_grad = True
    assert (x * 2.0).requires_grad


# --- modes -----------------------------------------------------------------------------------------


def test_no_grad_and_enable_grad_nest():
    x = Variable(2.0)
    assert is_grad_enabled()
    with no_grad():
        assert not is_grad_enabled()
        assert not (x * x).requires_grad
        with enable_grad():
            assert (x * x).requires_grad
        assert not (x * x).requires_grad
    assert (x * x).requires_grad


def test_modes_decorate_functions():
    x = Variable(2.0)

    @no_grad()
    def f(depth):
        assert not is_grad_enabled()
        return f(depth - 1) if depth else x * x

    @enable_grad()
    def g():
        return x * x

    assert not f(3).requires_grad and is_grad_enabled()
    with no_grad():
        assert g().requires_grad


def test_modes_are_restored_after_exceptions():
    with pytest.raises(KeyError), no_grad(), scope("a"), step(1), stepwise():
        raise KeyError
    assert is_grad_enabled() and not is_stepwise()
    assert repr(local.thread.place) == "top level"


@pytest.mark.parametrize("mode", [no_grad(), stepwise(), scope("a"), step(1)])
def test_one_mode_object_may_be_entered_twice(mode, monkeypatch):
    monkeypatch.setattr(local, "thread", type(local.thread)())
    before = thread_state()
    with mode, mode:
        pass
    assert thread_state() == before


def test_stepwise_is_a_flag_for_loops():
    assert not is_stepwise()
    with stepwise():
        assert is_stepwise()


def test_nodes_know_their_scope_and_step():
    x = Variable(2.0)
    with scope("decoder"):
        a = x * x
        with scope("lstm"):
            for t in range(2):
                with step(t):
                    b = x * x
        c = x * x
    d = x * x
    places = [(v.creator.place.scope, v.creator.place.step) for v in (a, b, c, d)]
    assert places == [("decoder", None), ("decoder.lstm", 1), ("decoder", None), ("", None)]
    assert a.creator.place is c.creator.place or places[0] == places[2]


def test_a_recorded_backward_pass_keeps_the_places():
    x = Variable(2.0)
    with scope("cell"), step(4):
        y = ag.tanh(x)
    g = grad(y, x, create_graph=True)
    node = g.creator
    assert (node.place.scope, node.place.step) == ("cell", 4)
    assert repr(local.thread.place) == "top level"


# --- copies ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
@pytest.mark.parametrize("kind", [Variable, Parameter])
def test_leaves_can_be_copied(duplicate, kind):
    for x in (kind([1.0, 2.0], name="w"), kind(np.float32(2.0)), kind(1.0, requires_grad=False)):
        y = duplicate(x)
        assert type(y) is kind and y.name == x.name and y.requires_grad == x.requires_grad
        assert y.dtype == x.dtype and not np.shares_memory(y.data, x.data) and y.is_leaf
        assert_array_equal(y.data, x.data)


def test_a_leaf_copied_twice_in_one_structure_stays_one():
    x = Variable(1.0)
    a, b = copy.deepcopy([x, x])
    assert a is b and a is not x


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy, pickle.dumps])
def test_results_cannot_be_copied(duplicate):
    with pytest.raises(TypeError, match="detach"):
        duplicate(Variable(1.0) * 2.0)


# --- exceptions ------------------------------------------------------------------------------------


class Fails(ag.Function):
    """Raises where it is told to."""

    symbol, rule = "!", "none"

    def __init__(self, where):
        self.where = where

    def forward(self, x):
        if self.where == "forward":
            raise ZeroDivisionError("no way")
        return x * 2.0

    def backward(self, gy):
        if self.where == "backward":
            raise ZeroDivisionError("no way")
        return gy * 2.0


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("where", ["forward", "backward", "hook"])
def test_exceptions_keep_their_type_get_a_note_and_restore_all_modes(where, create_graph):
    x = leaf(1.0, 2.0)

    def hook(g):
        if where == "hook":
            raise ZeroDivisionError("no way")

    before = thread_state()
    with pytest.raises(ZeroDivisionError, match="no way") as caught:
        with scope("net"), step(7):
            h = x * 3.0
            h.register_hook(hook)
            y = Fails(where)(h)
        y.backward(np.ones(2), create_graph=create_graph)
    after = thread_state()
    assert all(after[name] is before[name] for name in before)
    if where != "hook":
        (note,) = caught.value.__notes__
        assert "Fails(shapes (2,))" in note and "net step 7" in note
    assert ("backward" in str(getattr(caught.value, "__notes__", ""))) == (where == "backward")
    assert x.grad is None


def test_exception_in_a_leaf_hook_restores_all_modes():
    x = leaf(1.0)

    def hook(g):
        raise KeyError("hook")

    x.register_hook(hook)
    before = thread_state()
    with pytest.raises(KeyError):
        (x * x).backward()
    after = thread_state()
    assert all(after[name] is before[name] for name in before)


def test_graph_is_usable_after_a_failed_pass():
    x = leaf(1.0)
    h = x * 3.0
    y = h * h
    failing = h.register_hook(lambda g: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward(retain_graph=True)
    failing.remove()
    y.backward()
    assert_array_equal(x.grad.data, [18.0])


# --- instruments -----------------------------------------------------------------------------------


class Log:
    def __init__(self):
        self.lines = []

    def forward(self, node, inputs, outputs):
        self.lines.append(("forward", node.label, [np.shape(a) for a in inputs], [y.shape for y in outputs]))

    def backward(self, node, gys, gxs):
        kinds = {type(g) for g in (*gys, *gxs) if g is not None}
        assert len(kinds) == 1 and kinds <= {np.ndarray, Variable}, kinds
        self.lines.append(("backward", node.label, [g.shape for g in gys], [np.shape(g) for g in gxs]))


@pytest.mark.parametrize("create_graph", [False, True])
def test_instruments_see_every_call_and_finished_gradients(create_graph):
    x, w, b = (Variable(np.ones(s)) for s in [(2, 3), (3, 4), (4,)])
    with instrumented(Log()) as log:
        h = x @ w + b
        a, _ = ag.split(h, 2, axis=1)
        with no_grad():
            h * 2.0  # not recorded, not seen
        grad(ag.sum(a * 2.0), [x, w, b], create_graph=create_graph)
    forward = [line[1] for line in log.lines if line[0] == "forward"]
    assert forward[:5] == ["MatMul", "Add", "Split", "Mul", "Sum"]
    backward = {line[1]: line[2:] for line in log.lines if line[0] == "backward"}
    assert backward["Split"] == ([(2, 2), (2, 2)], [(2, 4)])
    assert backward["Add"] == ([(2, 4)], [(2, 4), (4,)])
    assert backward["MatMul"] == ([(2, 4)], [(2, 3), (3, 4)])
    assert backward["Mul"] == ([(2, 2)], [(2, 2), ()])


def test_instruments_do_not_change_the_gradients():
    def run():
        x, w = Variable(np.arange(6.0).reshape(2, 3)), Variable(np.arange(9.0).reshape(3, 3) / 9)
        h = x
        for _ in range(40):
            h = ag.tanh(h @ w) + w[0]
        h.sum().backward()
        return x.grad.data, w.grad.data

    expected = run()
    with instrumented(Log()):
        observed = run()
    for a, b in zip(observed, expected, strict=True):
        assert_allclose(a, b, rtol=1e-12)


def test_uses_of_a_leaf_are_seen_one_by_one():
    class Uses:
        def __init__(self):
            self.grads = []

        def forward(self, node, inputs, outputs):
            pass

        def backward(self, node, gys, gxs):
            uses = zip(node.edges, gxs, strict=True)
            self.grads += [(node.place.step, g) for edge, g in uses if edge is w]

    w, h = Variable(0.5), Variable(1.0)
    with instrumented(Uses()) as uses:
        y = h
        for t in range(5):
            with step(t):
                y = y * w
        y.backward()
    assert [t for t, _ in uses.grads] == [4, 3, 2, 1, 0]
    assert sum(float(g) for _, g in uses.grads) == w.grad.item() == 5 * 0.5**4


# --- threads ---------------------------------------------------------------------------------------


def train(seed, steps=15):
    """A small model from its own seed: losses and final weights."""
    rng = np.random.default_rng(seed)
    w, v = Parameter(rng.standard_normal((3, 8)) * 0.5), Parameter(rng.standard_normal((8, 1)) * 0.5)
    x = rng.standard_normal((16, 3))
    target = np.sin(x.sum(1, keepdims=True))
    losses = []
    for t in range(steps):
        with scope(f"model{seed}"), step(t):
            h = x @ w
            for _ in range(6):
                h = ag.tanh(h * 1.1)
            loss = ag.mean(ag.square(h @ v - target))
        with no_grad():
            assert not (w * 2.0).requires_grad
        loss.backward()
        for p in (w, v):
            p.data = p.data - 0.1 * p.grad.data
            p.grad = None
        losses.append(loss.item())
    return losses, w.data, v.data


def test_eight_threads_give_what_one_gives():
    expected = [train(seed) for seed in range(8)]
    results = [None] * 8
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        results[seed] = train(seed)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for (losses, w, v), (their_losses, their_w, their_v) in zip(expected, results, strict=True):
        assert losses == their_losses and losses[-1] < losses[0]
        assert_array_equal(w, their_w)
        assert_array_equal(v, their_v)


def in_threads(count, work):
    """Run ``work(k)`` in so many threads that switch all the time; whatever it raised is raised."""
    start, raised = threading.Barrier(count), []

    def run(k):
        start.wait()
        try:
            work(k)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=run, args=(k,), daemon=True) for k in range(count)]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(interval)
    assert not any(thread.is_alive() for thread in threads), "a deadlock"
    if raised:
        raise raised[0]


def test_no_gradient_is_lost_between_threads():
    w, hooked, v = Parameter([0.0]), Parameter([0.0]), Parameter([1.0])
    hooked.register_hook(lambda g: g * 2.0)
    h = v * 1.0
    h.retain_grad()
    ys = [(h + w * 1.0) + hooked * 1.0 for _ in range(8)]

    def work(k):
        for _ in range(250):
            ys[k].backward(retain_graph=True)

    in_threads(8, work)
    assert (w.grad.item(), hooked.grad.item(), h.grad.item(), v.grad.item()) == (2000, 4000, 2000, 2000)


def test_many_threads_deposit_in_one_leaf():
    w, one = Parameter([0.0]), np.ones(1)

    def work(k):
        for _ in range(2_000):
            engine.accumulate_grad(w, one)

    in_threads(8, work)
    assert w.grad.item() == 16_000


def test_what_several_threads_attach_to_a_variable_is_all_there():
    leaves = [leaf(1.0) for _ in range(500)]
    computed = [x * 1.0 for x in leaves]

    def work(k):
        for v in (*leaves, *computed):
            v.register_hook(lambda g: None)

    in_threads(4, work)
    assert (
        {len(x._annotations.hooks) for x in leaves}
        == {len(y.creator.annotations[0].hooks) for y in computed}
        == {4}
    )


def test_a_hook_may_go_back_through_another_graph_and_in_other_threads():
    """No lock is held while it runs: neither it nor other threads have to wait."""
    x, z = leaf(1.0), leaf(2.0)

    def hook(g):
        (z * z).sum().backward()
        in_threads(2, lambda k: (x * 3.0).backward() if k else (z * 5.0).backward())

    handle = x.register_hook(lambda g: (handle.remove(), hook(g))[0])
    (x * 1.0).backward()
    assert (x.grad.item(), z.grad.item()) == (1 + 3, 4 + 5)


def test_modes_belong_to_a_thread():
    seen = []
    with no_grad(), scope("here"):
        thread = threading.Thread(target=lambda: seen.append((is_grad_enabled(), local.thread.place.scope)))
        thread.start()
        thread.join()
    assert seen == [(True, "")]


def test_an_unused_output_has_no_gradient_to_hook_or_keep():
    a, b = ag.split(Variable(np.ones(4)), 2)
    b.retain_grad()
    seen = []
    b.register_hook(seen.append)
    for _ in range(2):
        a.sum().backward(retain_graph=True)
    assert b.grad is None and not seen


def test_unchain_in_a_hook_of_its_own():
    x = Variable(np.ones(3))
    y = ag.tanh(x)
    y.register_hook(lambda g: y.unchain())
    (y + x).sum().backward()
    np.testing.assert_array_equal(x.grad.data, np.ones(3))


def test_a_start_off_every_path_is_not_visited():
    x, other = Variable(np.ones(2)), Variable(np.ones(2))
    y1, y2 = x * 2.0, other * 2.0
    seen = []
    y2.register_hook(seen.append)
    (g,) = grad([y1, y2], [x], gradients=[np.ones(2), np.ones(2)])
    assert not seen and np.array_equal(g.data, [2.0, 2.0])


def test_an_interrupt_while_a_pass_is_prepared_changes_nothing(monkeypatch):
    y = Variable(np.ones(2)).sum()
    monkeypatch.setattr(engine, "_ancestors", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        y.backward()
    assert local.thread.recording and local.thread.sink is None


@pytest.mark.parametrize("layout", ["C", "F"])
def test_a_gradient_given_in_another_memory_layout(layout, rng):
    a, g = rng.standard_normal((2, 3, 4)), rng.standard_normal((2, 3, 4))
    x = Variable(np.moveaxis(a, 0, 1))
    (x * 2.0).backward(np.array(np.moveaxis(g, 0, 1), order=layout))
    np.testing.assert_array_equal(x.grad.data, 2 * np.moveaxis(g, 0, 1))
