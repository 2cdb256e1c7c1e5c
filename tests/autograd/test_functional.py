"""vjp, jvp, jacobian, hessian, hvp: values against formulas, PyTorch's conventions, errors."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import autograd as ag
from autograd import Variable, grad, no_grad
from autograd.functional import hessian, hvp, jacobian, jvp, vjp

W = np.arange(6.0).reshape(2, 3) / 3 - 1
A = np.array([[2.0, 1.0, 0.0], [-1.0, 3.0, 0.5], [0.0, 1.0, 1.0]])


def layer(x, w):
    return ag.tanh(w @ x)


@pytest.fixture
def point(rng):
    return rng.standard_normal(3), rng.standard_normal((2, 3))


# --- the textbook's derivatives ------------------------------------------------------------------


def test_linear_map_has_its_matrix_as_jacobian():
    assert_allclose(jacobian(lambda x: W @ x, np.ones(3)).data, W)
    assert_allclose(jacobian(lambda x: x @ W, np.ones(2)).data, W.T)


def test_output_of_a_linear_map_by_its_matrix():
    """y = W x: ∂y_j/∂W_ik is x_k where i = j, else 0, a tensor of three indices."""
    x = np.array([1.0, 2.0, 3.0])
    J = jacobian(lambda w: w @ x, W)
    assert J.shape == (2, 2, 3)
    assert_allclose(J.data, np.einsum("ji,k->jik", np.eye(2), x))


def test_a_row_times_a_matrix_by_the_matrix():
    """Y = X W: ∂Y_ij/∂W_kl is X_ik where j = l, else 0; of one row of X, an index less."""
    x, w = np.array([1.0, 2.0, 3.0]), W.T
    J = jacobian(lambda w: x @ w, w)
    assert J.shape == (2, 3, 2)
    assert_allclose(J.data, np.einsum("ik,j->ijk", np.eye(2), x))
    X = np.stack([x, -x, x * x, np.ones(3)])
    J = jacobian(lambda w: X @ w, w)
    assert_allclose(J.data, np.einsum("jl,ik->ijkl", np.eye(2), X))


def test_batch_of_rows():
    """Y = X W: ∂Y_ij/∂X_kl is W_lj where i = k; rows do not mix."""
    J = jacobian(lambda x: x @ W.T, np.ones((4, 3)))
    assert_allclose(J.data, np.einsum("ik,jl->ijkl", np.eye(4), W))


def test_elementwise_function_has_a_diagonal_jacobian(rng):
    x = rng.standard_normal(4)
    assert_allclose(jacobian(ag.tanh, x).data, np.diag(1 - np.tanh(x) ** 2))


def test_softmax(rng):
    x = rng.standard_normal(4)
    y = np.exp(x) / np.exp(x).sum()
    assert_allclose(jacobian(ag.softmax, x).data, np.diag(y) - np.outer(y, y))


def test_quadratic_form_has_a_constant_hessian(rng):
    x = rng.standard_normal(3)
    assert_allclose(hessian(lambda x: x @ A @ x, x).data, A + A.T)


# --- shapes and several inputs or outputs ----------------------------------------------------------


def test_jacobian_of_several_inputs_and_outputs(point):
    x, w = point
    (jx, jw), (kx, kw) = jacobian(lambda x, w: (layer(x, w), ag.sum(x * x)), x, w)
    assert (jx.shape, jw.shape, kx.shape, kw.shape) == ((2, 3), (2, 2, 3), (3,), (2, 3))
    assert_allclose(jx.data, (1 - np.tanh(w @ x) ** 2)[:, None] * w)
    assert_allclose(kx.data, 2 * x)
    assert_allclose(kw.data, 0.0)


def test_jacobian_of_odd_shapes():
    assert jacobian(ag.exp, 0.5).shape == ()
    assert jacobian(lambda x: ag.stack([x, 2.0 * x]), 0.5).shape == (2,)
    assert jacobian(ag.exp, np.ones((0, 2))).shape == (0, 2, 0, 2)
    assert jacobian(lambda x: x[:0], np.ones(2)).shape == (0, 2)
    assert jacobian(ag.exp, np.ones((2, 1), np.float32)).dtype == np.float32


def test_hessian_of_several_inputs(point):
    x, w = point
    h = hessian(lambda x, w: ag.sum(layer(x, w)), x, w)
    assert [[b.shape for b in row] for row in h] == [[(3, 3), (3, 2, 3)], [(2, 3, 3), (2, 3, 2, 3)]]
    assert_allclose(h[0][1].data, np.moveaxis(h[1][0].data, -1, 0))


def test_hessian_of_a_linear_function_is_zero():
    h = hessian(ag.sum, np.ones(3))
    assert h.shape == (3, 3)
    assert_allclose(h.data, 0.0)


def test_pullback_rows_are_the_jacobian(point):
    x, w = point
    y, pull = vjp(layer, x, w)
    jx, jw = jacobian(layer, x, w)
    assert_allclose(y.data, np.tanh(w @ x))
    for v in (np.array([1.0, 0.0]), np.array([0.5, -2.0])):  # any number of times
        gx, gw = pull(v)
        assert_allclose(gx.data, v @ jx.data)
        assert_allclose(gw.data, np.einsum("j,jkl->kl", v, jw.data))


def test_pullback_of_several_outputs():
    (_, _), pull = vjp(lambda x: (x * 2.0, ag.sum(x * x)), np.array([1.0, 2.0]))
    for g in (pull(np.ones(2), np.array(3.0)), pull((np.ones(2), 3.0))):
        assert_allclose(g.data, [2 + 6, 2 + 12])


def test_jvp_is_the_jacobian_times_the_direction(point, rng):
    x, w = point
    u, v = rng.standard_normal(3), rng.standard_normal((2, 3))
    y, t = jvp(layer, (x, w), (u, v))
    jx, jw = jacobian(layer, x, w)
    assert_allclose(y.data, np.tanh(w @ x))
    assert_allclose(t.data, jx.data @ u + np.einsum("jkl,kl->j", jw.data, v))


def test_jvp_is_exact():
    x = np.array([0.3, 1e8])
    _, t = jvp(lambda x: x * x, x, np.ones(2))
    assert np.array_equal(t.data, 2 * x)


def test_jvp_of_several_outputs_some_constant():
    (y, z), (ty, tz) = jvp(lambda x: (x * x, x.detach() * 1.0), np.array([3.0]), np.array([2.0]))
    assert (y.item(), z.item(), ty.item(), tz.item()) == (9.0, 3.0, 12.0, 0.0)


def test_hvp_is_the_hessian_times_the_direction(point, rng):
    x, w = point

    def f(x, w):
        return ag.sum(ag.square(layer(x, w)) * x[:2])

    u, v = rng.standard_normal(3), rng.standard_normal((2, 3))
    y, (hx, hw) = hvp(f, (x, w), (u, v))
    (xx, xw), (wx, ww) = hessian(f, x, w)
    assert_allclose(y.data, f(x, w))
    assert_allclose(hx.data, xx.data @ u + np.einsum("akl,kl->a", xw.data, v))
    assert_allclose(hw.data, wx.data @ u + np.einsum("ijkl,kl->ij", ww.data, v))
    _, h = hvp(lambda x: f(x, w), x, u)
    assert_allclose(h.data, xx.data @ u)


def test_forward_over_a_recurrence():
    """The derivative of 50 steps in one direction, against a difference."""

    def run(w):
        h = Variable(np.ones(3))
        for _ in range(50):
            h = ag.tanh(h @ w)
        return h

    w, v = A / 4, A.T / 7
    _, t = jvp(run, w, v)
    assert_allclose(t.data, (run(w + 1e-6 * v).data - run(w - 1e-6 * v).data) / 2e-6, rtol=1e-6, atol=1e-12)


# --- graphs --------------------------------------------------------------------------------------


def test_nothing_is_left_behind(point):
    x, w = map(Variable, point)
    for result in (jacobian(layer, x, w)[0], vjp(layer, x, w)[0], jvp(layer, (x, w), (x, w))[1]):
        assert not result.requires_grad
    assert x.grad is None and w.grad is None


def test_closures_are_not_mistaken_for_inputs():
    """Only what passes through f's argument counts, also where f uses a Variable made of the same x."""
    x = Variable(3.0)
    shadow = x * x
    assert jacobian(lambda x: x * shadow, x).item() == 9.0
    assert jacobian(lambda x: x * shadow, x, create_graph=True).item() == 9.0


def test_create_graph_differentiates_again():
    x = Variable(np.array([1.0, 2.0]))
    j = jacobian(lambda x: x**3, x, create_graph=True)
    assert_allclose(grad(j.sum(), x).data, 6 * x.data)
    y, pull = vjp(lambda x: x**3, x, create_graph=True)
    assert_allclose(grad(pull(np.ones(2)).sum(), x, retain_graph=True).data, 6 * x.data)
    assert_allclose(grad(y.sum(), x).data, 3 * x.data**2)
    _, t = jvp(lambda x: x**3, x, np.ones(2), create_graph=True)
    assert_allclose(grad(t.sum(), x).data, 6 * x.data)
    _, h = hvp(lambda x: ag.sum(x**4), x, np.ones(2), create_graph=True)
    assert_allclose(grad(h.sum(), x).data, 24 * x.data)
    h = hessian(lambda x: ag.sum(x**4), x, create_graph=True)
    assert_allclose(grad(h.sum(), x).data, 24 * x.data)


def test_create_graph_reaches_variables_of_the_closure():
    w = Variable(2.0)
    j = jacobian(lambda x: w * x * x, np.array([1.0, 3.0]), create_graph=True)
    assert grad(j.sum(), w).item() == 8.0


def test_create_graph_of_an_intermediate():
    a = Variable(2.0)
    x = a * a
    j = jacobian(lambda x: x * x, x, create_graph=True)
    assert grad(j, a).item() == 8.0


def test_works_inside_no_grad():
    with no_grad():
        assert jacobian(ag.square, 3.0).item() == 6.0
        assert hessian(ag.square, 3.0).item() == 2.0
        assert jvp(ag.square, 3.0, 1.0)[1].item() == 6.0
        assert hvp(ag.square, 3.0, 1.0)[1].item() == 2.0
        assert vjp(ag.square, 3.0)[1](1.0).item() == 6.0


# --- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda: jacobian(lambda x: x.data, np.ones(2)), TypeError, "returns Variables"),
        (lambda: vjp(lambda x: None, np.ones(2)), TypeError, "NoneType"),
        (lambda: jacobian(ag.exp, np.arange(3)), TypeError, "floating-point"),
        (lambda: hessian(ag.exp, np.ones(2)), ValueError, "one element, got shape (2,)"),
        (lambda: hvp(ag.exp, np.ones(2), np.ones(2)), ValueError, "one element"),
        (lambda: jvp(ag.exp, np.ones(2), np.ones(3)), ValueError, "[(2,)], got [(3,)]"),
        (lambda: jvp(ag.add, (np.ones(2), 1.0), np.ones(2)), ValueError, "directions"),
        (lambda: vjp(ag.exp, np.ones(2))[1](np.ones(3)), ValueError, "shape (2,), got (3,)"),
        (lambda: vjp(ag.exp, np.ones(2))[1](1.0, 2.0), ValueError, "1 arrays, one per output, got 2"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error) as caught:
        call()
    assert words in str(caught.value)
