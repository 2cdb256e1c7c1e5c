"""What the table cannot say of the functions taken over from NumPy: ties, zeros, NaN, infinities, errors."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import autograd as ag
from autograd import Variable, grad, gradcheck


def slope(f, x):
    x = Variable(np.asarray(x, float))
    return grad(ag.sum(f(x)), x).data


# --- where derivatives are a choice -----------------------------------------------------------------


def test_norms_at_zero_have_the_derivative_zero():
    for f in (
        ag.linalg.norm, lambda x: ag.linalg.norm(x, 3), lambda x: ag.linalg.vector_norm(x),
        lambda x: ag.linalg.norm(x, 1), lambda x: ag.hypot(x, 0.0),
    ):  # fmt: skip
        assert_array_equal(slope(f, np.zeros(3)), np.zeros(3))
    x = Variable([[3.0, 4.0], [0.0, 0.0]])
    g = grad(ag.sum(ag.linalg.norm(x, axis=1)), x, create_graph=True)
    assert_allclose(g.data, [[0.6, 0.8], [0.0, 0.0]])
    assert np.isfinite(grad(ag.sum(g), x).data).all()


def test_of_equal_elements_the_order_decides():
    assert_array_equal(slope(lambda x: ag.sort(x) * [1.0, 2.0, 3.0], [5.0, 5.0, 1.0]), [2.0, 3.0, 1.0])
    assert_array_equal(slope(ag.median, [2.0, 2.0, 2.0]), [0.0, 1.0, 0.0])
    assert_array_equal(slope(np.unique, [2.0, 1.0, 2.0]), [1.0, 1.0, 0.0])
    assert_array_equal(slope(ag.ptp, [1.0, 4.0, 4.0, 1.0]), [-0.5, 0.5, 0.5, -0.5])
    assert_array_equal(slope(lambda x: ag.fmax(x, 1.0), [1.0, 2.0, np.nan]), [0.5, 1.0, 0.0])


def test_what_is_constant_between_jumps_has_the_derivative_zero_at_jumps_too():
    for f in (ag.floor, ag.ceil, ag.trunc, ag.round, np.rint, np.fix, lambda x: x // 1.0):
        assert_array_equal(slope(f, [1.0, -2.0, 0.5, 0.0]), np.zeros(4))
    assert_array_equal(slope(lambda x: x % 1.0, [1.0, 0.25]), [1.0, 1.0])


def test_remainders_in_both_orders():
    v, a = Variable([7.5, -7.5]), np.array([7.5, -7.5])
    for other in (2.0, 2, np.array([2.0, -3.0])):
        assert_array_equal((v % other).data, a % other)
        assert_array_equal((v // other).data, a // other)
        assert_array_equal((other % v).data, other % a)
        assert_array_equal((other // v).data, other // a)
    b = Variable([2.0, 2.0])
    assert_array_equal(grad(ag.sum(v % b), b).data, [-3.0, 4.0])
    assert_array_equal(grad(ag.sum(np.fmod(v, b)), b).data, [-3.0, 3.0])


def test_running_sums_and_products_of_one_number_are_vectors():
    for f in (ag.cumsum, ag.cumprod):
        for axis in (None, 0, -1):
            assert f(Variable(3.0), axis).shape == (1,)
            assert slope(lambda x, f=f, axis=axis: f(x, axis), 3.0) == 1.0


def test_order_statistics_of_nothing():
    for shape, axis, expected in (((0,), None, ()), ((0, 3), 0, (3,)), ((2, 0), 1, (2,)), ((0, 2), 1, (0,))):
        y = ag.median(Variable(np.ones(shape)), axis)
        assert y.shape == expected and np.isnan(y.data).all()


def test_running_products_through_zeros_to_second_order():
    for x in ([0.0, 2.0, 0.0, 3.0, 5.0], [1.0, 0.0], [0.0], [4.0, 3.0, 2.0]):
        gradcheck(ag.cumprod, np.array(x), order=2)


# --- NaN and infinities -----------------------------------------------------------------------------


def test_nan_and_infinity_come_out_as_in_numpy():
    rows = np.array([[1.0, np.nan, 2.0], [np.inf, 1.0, 2.0], [-np.inf, np.inf, 0.0], [3.0, np.inf, np.inf]])
    for f in (
        lambda m, x: m.median(x, axis=1), lambda m, x: m.sort(x, axis=1), lambda m, x: m.nan_to_num(x),
        lambda m, x: m.fmax(x, 1.5), lambda m, x: m.nanmax(x, axis=1), lambda m, x: m.nanmedian(x, axis=1),
        lambda m, x: m.nansum(x[0]), lambda m, x: m.nanmean(x[0]), lambda m, x: m.modf(x)[0],
        lambda m, x: m.interp(x[0], [0.0, 1.5], [1.0, 3.0]),
    ):  # fmt: skip
        assert_array_equal(f(np, Variable(rows)).data, f(np, rows))
    assert_array_equal(slope(lambda x: ag.median(x, 1), rows[3:]), [[0.0, 1.0, 0.0]])


def test_a_row_of_nan():
    nothing = np.full((1, 3), np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        for name in ("nanmean", "nanvar", "nanstd", "nanmax", "nanmin", "nanmedian"):
            assert np.isnan(getattr(np, name)(Variable(nothing), axis=1).data).all(), name


def test_logaddexp_counts_minus_infinity_as_zero():
    a, b = Variable([-np.inf, 0.0, 1000.0]), Variable([-np.inf, -np.inf, 1000.0])
    y = ag.logaddexp(a, b)
    assert_allclose(y.data, [-np.inf, 0.0, 1000.0 + np.log(2.0)])
    for x, expected in ((a, [0.0, 1.0, 0.5]), (b, [0.0, 0.0, 0.5])):
        assert_allclose(grad(ag.sum(ag.logaddexp(a, b)), x).data, expected)


def test_nothing_overflows_on_the_way():
    for f in (ag.arctan, ag.arcsinh):
        assert_allclose(slope(f, [1e200]), [{ag.arctan: 0.0, ag.arcsinh: 1e-200}[f]], atol=1e-300)
    assert_allclose(slope(ag.arccosh, [1e200]), [1e-200])
    assert_allclose(slope(lambda x: ag.hypot(x, 1e200), [1e200]), [np.sqrt(0.5)])
    assert_allclose(slope(lambda x: ag.arctan2(x, 1e-200), [1e-200]), [5e199])
    near = 1.0 - 2.0**-50
    assert_allclose(slope(ag.arcsin, [near]), [1.0 / np.sqrt(2.0**-49 - 2.0**-100)])


# --- matrices ---------------------------------------------------------------------------------------


def test_equal_eigenvalues_and_singular_values():
    """Their sum, the trace, has a derivative although the vectors have none."""
    x = Variable(np.eye(3))
    assert_allclose(grad(ag.sum(ag.linalg.eigvalsh(x)), x).data, np.eye(3))
    assert_allclose(grad(ag.linalg.norm(x, "nuc"), x).data, np.eye(3))


def test_the_gradient_of_a_symmetric_matrix_is_symmetric():
    m = np.array([[4.0, 1.0], [1.0, 3.0]])
    for f in (ag.linalg.cholesky, ag.linalg.eigvalsh, lambda x: ag.linalg.cholesky(x, upper=True)):
        g = slope(lambda x, f=f: f(x) * np.arange(1.0, 3.0), m)
        assert_allclose(g, g.T)
        step = 1e-6 * np.array([[0.3, 0.7], [0.7, -0.2]])
        up, down = [np.sum(f(m + s * step) * np.arange(1.0, 3.0)) for s in (1, -1)]
        assert np.sum(g * step) == pytest.approx((up - down) / 2, rel=1e-5)


def test_a_singular_matrix():
    x = Variable(np.ones((2, 2)))
    assert ag.linalg.det(x).item() == 0.0
    with pytest.raises(np.linalg.LinAlgError, match="Singular"):
        ag.linalg.det(x).backward()
    for f in (ag.linalg.inv, lambda x: ag.linalg.solve(x, x)):
        with pytest.raises(np.linalg.LinAlgError) as caught:
            f(x)
        assert "(2, 2)" in "".join(caught.value.__notes__)


def test_named_results():
    x = Variable([[0.0, 2.0], [1.0, 0.0]])
    result = np.linalg.slogdet(x)
    assert result.sign.data == -1.0 and not result.sign.requires_grad and result.logabsdet.requires_grad
    assert np.linalg.eigh(x + x.T).eigenvalues.shape == (2,)
    assert np.linalg.svd(x, full_matrices=False).S.shape == (2,)
    assert type(ag.linalg.slogdet(x.data).sign) is np.float64


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda x: ag.linalg.inv(x), np.linalg.LinAlgError, "square matrices (..., N, N), got shape (2, 3)"),
        (lambda x: ag.linalg.norm(x, "nuc", 1), ValueError, "'nuc'"),
        (lambda x: ag.linalg.norm(x, 7, (0, 1)), ValueError, "got 7"),
        (lambda x: ag.linalg.norm(x[None], 2), ValueError, "or axis"),
        (lambda x: ag.linalg.norm(x[None], 2, (0, 1, 2)), ValueError, "axis=(0, 1, 2)"),
        (lambda x: ag.cross(x, x[:, :2]), ValueError, "(2, 2)"),
        (lambda x: ag.diag(x[None]), ValueError, "(1, 2, 3)"),
        (lambda x: ag.average(x, 1, [1.0, 2.0]), ValueError, "got (2,) with axis=1"),
        (lambda x: ag.average(x, 1, [0.0, 0.0, 0.0]), ZeroDivisionError, "not 0"),
        (lambda x: ag.quantile(x, 1.5), ValueError, "between 0 and 1"),
        (lambda x: ag.percentile(x, 101), ValueError, "between 0 and 100"),
        (lambda x: ag.quantile(x, 0.5, method="nearest"), ValueError, "'nearest'"),
        (lambda x: ag.diff(x, -1), ValueError, "got -1"),
        (lambda x: ag.array_split(x, 0), ValueError, "got 0"),
        (lambda x: ag.meshgrid(x, indexing="yx"), ValueError, "'yx'"),
        (lambda x: ag.take(x, 7), IndexError, "out of bounds"),
        (lambda x: ag.matrix_transpose(x[0]), ValueError, "(3,)"),
        (lambda x: np.gradient(x, 1.0, 2.0, 3.0), TypeError, "got 3"),
        (lambda x: np.geomspace(x[0, 0], -1.0), ValueError, "one sign"),
        (lambda x: np.insert(x, 0, x[0], axis=0), TypeError, "[i]"),
        (lambda x: np.hsplit(x, 2), ValueError, "divide 3, got 2"),
        (lambda x: np.vdot(x, x[0]), ValueError, "(1, 6), (3, 1)"),
        (lambda x: np.linalg.vecdot(x, x[:, :1]), ValueError, "got 3 and 1"),
        (lambda x: np.vander(x), ValueError, "vander on a Variable expected a vector"),
        (lambda x: np.correlate(x, x), ValueError, "correlate on a Variable expected a vector"),
        (lambda x: np.polymul(x, x), ValueError, "polymul on a Variable expected a vector"),
        (lambda x: np.trim_zeros(x), ValueError, "got shape (2, 3)"),
        (lambda x: np.choose([0, 2], [x[0, :2], x[1, :2]]), ValueError, "below 2"),
    ],
)
def test_errors_name_what_was_expected(call, error, words):
    with pytest.raises(error) as caught:
        call(Variable(np.ones((2, 3))))
    assert words in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", ())])


# --- settings that the table does not try -----------------------------------------------------------

X = np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]])
V = np.array([0.5, 3.0, -1.0, 2.0])
SETTINGS = {
    "correlate, shorter first": lambda m, x, v: m.correlate(v[:2], v, "same"),
    "correlate, valid": lambda m, x, v: m.correlate(v, v[:2]),
    "rot90 back": lambda m, x, v: m.rot90(x, -1),
    "rot90 twice": lambda m, x, v: m.rot90(x, 2),
    "rollaxis to": lambda m, x, v: m.rollaxis(x[None], 2, 1),
    "vander, rising": lambda m, x, v: m.vander(v, 3, True),
    "cov of columns": lambda m, x, v: m.cov(x, rowvar=False, bias=True),
    "cov of a vector": lambda m, x, v: m.cov(v),
    "corrcoef of two": lambda m, x, v: m.corrcoef(x, x[::-1])[0],
    "trapezoid at points": lambda m, x, v: m.trapezoid(v, m.sort(v)),
    "trapezoid at rows": lambda m, x, v: m.trapezoid(x, m.sort(x, axis=1), axis=1),
    "gradient at points": lambda m, x, v: m.gradient(v, np.array([0.0, 1.0, 3.0, 3.5])),
    "gradient of both axes": lambda m, x, v: m.stack(m.gradient(x, 0.5)),
    "insert one": lambda m, x, v: m.insert(v, 1, v[0]),
    "insert rows": lambda m, x, v: m.insert(x, [1, 1], x[0], axis=0),
    "delete flat": lambda m, x, v: m.delete(x, [1, 3]),
    "trim in front": lambda m, x, v: m.trim_zeros(v * [0.0, 1.0, 1.0, 0.0], "f"),
    "block of vectors": lambda m, x, v: m.block([v, 1.0]),
    "interp beyond": lambda m, x, v: m.interp(v, [0.0, 1.0], x[0, :2], left=7.0),
    "ediff1d": lambda m, x, v: m.ediff1d(x, to_begin=x[0, 0]),
    "apply_along_axis, longer": lambda m, x, v: m.apply_along_axis(lambda r: m.outer(r, r), 0, x),
    "apply_along_axis, a number": lambda m, x, v: m.apply_along_axis(m.sum, 0, x),
    "polysub of other lengths": lambda m, x, v: m.polysub(v[:2], v),
    "polyder twice": lambda m, x, v: m.polyder(v, 2),
    "linspace of vectors": lambda m, x, v: m.linspace(v, 1.0, 3, endpoint=False),
    "geomspace below 0": lambda m, x, v: m.geomspace(v[2], -8.0, 4),
    "average and weights": lambda m, x, v: m.stack(m.average(x, axis=0, weights=[1.0, 2.0], returned=True)),
    "average and number": lambda m, x, v: m.average(x, axis=0, returned=True)[0],
    "cond 1": lambda m, x, v: m.linalg.cond(x[:, :2], 1),
    "tensorsolve, axes": lambda m, x, v: m.linalg.tensorsolve(x[:, :2][None], v[:2], axes=(0,)),
    "matrix_power 0": lambda m, x, v: m.linalg.matrix_power(x[:, :2], 0) + x[:, :2],
    "nanstd, all equal": lambda m, x, v: m.nanstd(x * 0.0 + 1.0) + v,
    "bincount, longer": lambda m, x, v: m.bincount([0, 3, 3, 1], v, 6),
    "cumulative_sum of all": lambda m, x, v: m.cumulative_sum(v),
    "select, default": lambda m, x, v: m.select([[True, False, False]], [x]),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings(name):
    f = SETTINGS[name]
    if name.startswith(("trapezoid", "cumulative")) and not hasattr(np, name.partition(" ")[0]):
        pytest.skip("younger than this NumPy")
    y = f(np, Variable(X), Variable(V))
    assert_allclose(y.data, f(np, X, V), rtol=1e-11, atol=1e-13)
    gradcheck(lambda x, v: f(np, x, v), X, V, order=2)
