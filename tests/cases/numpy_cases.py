"""Rows of the table of operations for the functions taken over from NumPy; `op_cases` says what a row is."""

import numpy as np

import autograd as ag
from tests.cases.op_cases import away, binary, distinct, normal, positive, row, unary


def inside(rng, shape):
    """Within ±0.9."""
    return np.asarray(rng.uniform(-0.9, 0.9, shape))


def above_1(rng, shape):
    return np.asarray(rng.uniform(1.2, 3.0, shape))


def fractional(rng, shape):
    """Not near a whole number or a half."""
    return np.asarray(rng.integers(-3, 3, shape) + rng.choice([0.2, 0.3, 0.7, 0.8], shape))


def regular(rng, shape):
    """Square matrices far from singular ones."""
    return rng.standard_normal(shape) + 3.0 * np.eye(shape[-1])


def spread_out(rng, shape):
    """Matrices whose singular values are far from each other and from 0."""
    x = 0.1 * rng.standard_normal(shape)
    k = min(shape[-2:])
    x[..., range(k), range(k)] += np.arange(1.0, k + 1)
    return x


# trigonometric and hyperbolic

unary("tan", ag.tan, lambda x: np.sin(x) / np.cos(x), inside, lambda t, x: x.tan())
unary("sinh", ag.sinh, lambda x: (np.exp(x) - np.exp(-x)) / 2, normal, lambda t, x: x.sinh())
unary("cosh", ag.cosh, lambda x: (np.exp(x) + np.exp(-x)) / 2, normal, lambda t, x: x.cosh())
unary("arcsin", ag.arcsin, lambda x: np.arctan2(x, np.sqrt(1 - x * x)), inside, lambda t, x: x.arcsin())
unary("arccos", ag.arccos, lambda x: np.arctan2(np.sqrt(1 - x * x), x), inside, lambda t, x: x.arccos())
unary("arctan", ag.arctan, lambda x: np.arctan2(x, 1.0), normal, lambda t, x: x.arctan())
unary("arcsinh", ag.arcsinh, lambda x: np.log(x + np.sqrt(x * x + 1)), normal, lambda t, x: x.arcsinh())
unary("arccosh", ag.arccosh, lambda x: np.log(x + np.sqrt(x * x - 1)), above_1, lambda t, x: x.arccosh())
unary("arctanh", ag.arctanh, lambda x: np.log((1 + x) / (1 - x)) / 2, inside, lambda t, x: x.arctanh())
binary("arctan2", ag.arctan2, lambda a, b: np.angle(b + 1j * a), away, away, lambda t, a, b: t.arctan2(a, b))
binary("hypot", ag.hypot, lambda a, b: np.sqrt(a * a + b * b), away, away, lambda t, a, b: t.hypot(a, b))
unary("deg2rad", ag.deg2rad, lambda x: x * np.pi / 180, normal, lambda t, x: x.deg2rad())
unary("rad2deg", ag.rad2deg, lambda x: x * 180 / np.pi, normal, lambda t, x: x.rad2deg())
unary("sinc", ag.sinc, lambda x: np.sin(np.pi * x) / (np.pi * x), away, lambda t, x: x.sinc())

# roots, logarithms, powers

unary("cbrt", ag.cbrt, lambda x: np.sign(x) * np.abs(x) ** (1 / 3), away, None)
unary("log2", ag.log2, lambda x: np.log(x) / np.log(2), positive, lambda t, x: x.log2())
unary("log10", ag.log10, lambda x: np.log(x) / np.log(10), positive, lambda t, x: x.log10())
unary("exp2", ag.exp2, lambda x: 2.0**x, normal, lambda t, x: x.exp2())
binary(
    "logaddexp",
    ag.logaddexp,
    lambda a, b: np.log(np.exp(a) + np.exp(b)),
    normal,
    normal,
    lambda t, a, b: t.logaddexp(a, b),
)
binary(
    "logaddexp2",
    ag.logaddexp2,
    lambda a, b: np.log2(2**a + 2**b),
    normal,
    normal,
    lambda t, a, b: t.logaddexp2(a, b),
)

# remainders, signs, rounding

binary("mod", ag.mod, lambda a, b: a - b * np.floor(a / b), normal, away, lambda t, a, b: t.remainder(a, b))
binary("fmod", ag.fmod, lambda a, b: a - b * np.trunc(a / b), normal, away, lambda t, a, b: t.fmod(a, b))
binary("floor_divide", ag.floor_divide, lambda a, b: np.floor(a / b), normal, away, None)
binary(
    "copysign", ag.copysign, lambda a, b: np.abs(a) * np.sign(b), away, away, lambda t, a, b: t.copysign(a, b)
)
unary("floor", ag.floor, lambda x: -((-x) // 1.0) - 1, fractional, lambda t, x: x.floor())
unary("ceil", ag.ceil, lambda x: x // 1.0 + 1, fractional, lambda t, x: x.ceil())
unary("trunc", ag.trunc, lambda x: np.sign(x) * (np.abs(x) // 1.0), fractional, lambda t, x: x.trunc())
unary("round", ag.round, lambda x: (x + 0.5) // 1.0, fractional, lambda t, x: x.round())
unary(
    "round to decimals",
    lambda x: ag.round(x / 10, 1),
    lambda x: (x + 0.5) // 1.0 / 10,
    fractional,
    lambda t, x: (x / 10).round(decimals=1),
)
unary("copy", ag.copy, lambda x: x, normal, lambda t, x: x.clone())
ODD = np.array([0.0, np.nan, np.inf, -np.inf])
row(
    "nan_to_num",
    lambda x: ag.nan_to_num(ag.where(ODD == 0, x, ODD.astype(x.dtype)), 2.0, 3.0, 4.0),
    lambda x: np.stack([x[:, 0], *(np.full(3, n) for n in (2.0, 3.0, 4.0))], 1),
    (normal, (3, 4)),
)
binary("fmax", ag.fmax, np.fmax, normal, normal, lambda t, a, b: t.fmax(a, b))
binary("fmin", ag.fmin, np.fmin, normal, normal, lambda t, a, b: t.fmin(a, b))
binary("heaviside", ag.heaviside, lambda a, b: (np.sign(a) + 1) / 2 + 0 * b, away, normal, None)

# joining, cutting, picking, ordering

for name, f, ref, torch in [
    ("atleast_1d", ag.atleast_1d, np.atleast_1d, lambda t, x: t.atleast_1d(x)),
    ("atleast_2d", ag.atleast_2d, np.atleast_2d, lambda t, x: t.atleast_2d(x)),
    ("atleast_3d", ag.atleast_3d, np.atleast_3d, lambda t, x: t.atleast_3d(x)),
    ("ravel", ag.ravel, np.ravel, lambda t, x: x.ravel()),
    (
        "array_split",
        lambda x: ag.array_split(x, 3, -1),
        lambda x: tuple(np.array_split(x, 3, -1)),
        lambda t, x: t.tensor_split(x, 3, -1),
    ),
    ("take", lambda x: ag.take(x, [[2, 0], [0, -1]], 1), lambda x: np.take(x, [[2, 0], [0, -1]], 1), None),
    (
        "take of all",
        lambda x: ag.take(x, [5, 5, 0]),
        lambda x: x.ravel()[[5, 5, 0]],
        lambda t, x: t.take(x, t.tensor([5, 5, 0])),
    ),
    ("take around", lambda x: ag.take(x, [3, -4], 1, mode="wrap"), lambda x: x[:, [0, 2]], None),
    ("take within", lambda x: ag.take(x, [7, -4], 1, mode="clip"), lambda x: x[:, [2, 0]], None),
    (
        "diagonal",
        lambda x: ag.diagonal(x, 1, 2, 1),
        lambda x: np.diagonal(x, 1, 2, 1),
        lambda t, x: t.diagonal(x, 1, 2, 1),
    ),
    ("trace", lambda x: ag.trace(x, -1, 1, 2), lambda x: np.einsum("ijj->i", x[:, 1:, :2]), None),
    (
        "diff",
        lambda x: ag.diff(x, 2, 1),
        lambda x: x[:, 2:] - 2 * x[:, 1:-1] + x[:, :-2],
        lambda t, x: t.diff(x, 2, 1),
    ),
    (
        "diff with ends",
        lambda x: ag.diff(x, prepend=0.0, append=x[..., :1]),
        lambda x: np.diff(x, prepend=0.0, append=x[..., :1]),
        None,
    ),
    ("matrix_transpose", ag.matrix_transpose, lambda x: np.einsum("abc->acb", x), lambda t, x: x.mT),
    ("cumprod", lambda x: ag.cumprod(x, 2), lambda x: np.cumprod(x, 2), lambda t, x: x.cumprod(2)),
    ("cumprod of all", ag.cumprod, lambda x: np.cumprod(x), lambda t, x: x.ravel().cumprod(0)),
    ("average", ag.average, np.mean, lambda t, x: x.mean()),
]:
    row(name, f, ref, (normal, (2, 3, 4)), torch=torch)
for name, f, ref, torch in [
    ("sort", ag.sort, np.sort, lambda t, x: x.sort(-1)[0]),
    ("sort along 0", lambda x: ag.sort(x, 0), lambda x: np.sort(x, 0), lambda t, x: x.sort(0)[0]),
    ("sort of all", lambda x: ag.sort(x, None), lambda x: np.sort(x, None), lambda t, x: x.ravel().sort()[0]),
    ("median", ag.median, np.median, lambda t, x: x.quantile(0.5)),
    (
        "median over axes",
        lambda x: ag.median(x, (0, 2), True),
        lambda x: np.median(x, (0, 2), keepdims=True),
        None,
    ),
    (
        "quantile",
        lambda x: ag.quantile(x, [0.15, 0.6], 1),
        lambda x: np.quantile(x, [0.15, 0.6], 1),
        lambda t, x: x.quantile(t.tensor([0.15, 0.6], dtype=x.dtype), 1),
    ),
    ("percentile", lambda x: ag.percentile(x, 35, -1), lambda x: np.quantile(x, 0.35, -1), None),
    (
        "ptp",
        lambda x: ag.ptp(x, 1),
        lambda x: np.max(x, 1) - np.min(x, 1),
        lambda t, x: x.amax(1) - x.amin(1),
    ),
]:
    row(name, f, ref, (distinct, (2, 3, 4)), torch=torch)
row(
    "cumprod with zeros",
    ag.cumprod,
    np.cumprod,
    (lambda rng, shape: np.array([2.0, 0.0, 3.0, 0.0, 5.0]), (5,)),
)
row(
    "diag of a vector",
    lambda x: ag.diag(x, -1),
    lambda x: np.diag(x, -1),
    (normal, (3,)),
    torch=lambda t, x: x.diag(-1),
    also=(((0,),),),
)
row(
    "diag of a matrix",
    lambda x: ag.diag(x, 1),
    lambda x: np.diag(x, 1),
    (normal, (3, 4)),
    torch=lambda t, x: x.diag(1),
    also=(((2, 1),),),
)
for name, f, ref, torch in [
    (
        "vstack",
        lambda a, b: ag.vstack([a, b]),
        lambda a, b: np.vstack([a, b]),
        lambda t, a, b: t.vstack([a, b]),
    ),
    (
        "hstack",
        lambda a, b: ag.hstack([a, b]),
        lambda a, b: np.hstack([a, b]),
        lambda t, a, b: t.hstack([a, b]),
    ),
    (
        "dstack",
        lambda a, b: ag.dstack([a, b]),
        lambda a, b: np.dstack([a, b]),
        lambda t, a, b: t.dstack([a, b]),
    ),
    (
        "column_stack",
        lambda a, b: ag.column_stack([a, b]),
        lambda a, b: np.column_stack([a, b]),
        lambda t, a, b: t.column_stack([a, b]),
    ),
    ("append", ag.append, lambda a, b: np.concatenate([a.ravel(), b.ravel()]), None),
]:
    row(name, f, ref, (normal, (3, 2)), (normal, (3, 2)), torch=torch, also=(((3,), (3,)),))
row(
    "append along an axis",
    lambda a, b: ag.append(a, b, 1),
    lambda a, b: np.append(a, b, 1),
    (normal, (3, 2)),
    (normal, (3, 1)),
)
row(
    "meshgrid",
    lambda a, b: ag.meshgrid(a, b),
    lambda a, b: tuple(np.meshgrid(a, b)),
    (normal, (3,)),
    (normal, (2,)),
    torch=lambda t, a, b: t.meshgrid(a, b, indexing="xy"),
)
row(
    "meshgrid, sparse and by index",
    lambda a, b: ag.meshgrid(a, b, sparse=True, indexing="ij"),
    lambda a, b: (a[:, None], b[None]),
    (normal, (3,)),
    (normal, (2,)),
)
row(
    "average by weights",
    lambda a, b: ag.average(a, 1, b),
    lambda a, b: (a * b).sum(1) / b.sum(1),
    (normal, (3, 4)),
    (positive, (3, 4)),
)
row(
    "average by weights of an axis",
    lambda a, b: ag.average(a, 1, b),
    lambda a, b: (a @ b) / b.sum(),
    (normal, (3, 4)),
    (positive, (4,)),
)

# products

for a, b in [((3,), (3,)), ((2, 3), (4, 3)), ((), (3,)), ((2, 3), (3,))]:
    row(f"inner {a} {b}", ag.inner, np.inner, (normal, a), (normal, b), torch=lambda t, a, b: t.inner(a, b))
for a, b in [((2, 3), (3, 2)), ((3,), (2, 2)), ((), (2,)), ((2, 1, 2), (3, 2))]:
    row(f"kron {a} {b}", ag.kron, np.kron, (normal, a), (normal, b), torch=lambda t, a, b: t.kron(a, b))
row(
    "cross",
    ag.cross,
    np.cross,
    (normal, (2, 3)),
    (normal, (2, 3)),
    torch=lambda t, a, b: t.linalg.cross(a, b),
    also=(((3,), (2, 3)), ((4, 1, 3), (2, 3)), ((3,), (3,))),
)
row(
    "cross along 0",
    lambda a, b: ag.cross(a, b, axis=0),
    lambda a, b: np.cross(a, b, axis=0),
    (normal, (3, 2)),
    (normal, (3, 2)),
)

# numpy.linalg, of one matrix and of a batch

L = ag.linalg
MATRICES = ((3, 3), (2, 3, 3))


def symmetric(x):
    return x + np.swapaxes(x, -1, -2)


def definite(x):
    return np.matmul(x, np.swapaxes(x, -1, -2))


for shape in MATRICES:
    for name, f, ref, torch in [
        (
            "inv",
            L.inv,
            lambda x: np.linalg.solve(x, np.broadcast_to(np.eye(3), x.shape)),
            lambda t, x: t.linalg.inv(x),
        ),
        ("det", L.det, lambda x: np.prod(np.linalg.eigvals(x), -1).real, lambda t, x: t.linalg.det(x)),
        (
            "slogdet",
            lambda x: L.slogdet(x).logabsdet,
            lambda x: np.log(np.abs(np.linalg.det(x))),
            lambda t, x: t.linalg.slogdet(x)[1],
        ),
        (
            "cholesky",
            lambda x: L.cholesky(definite(x)),
            lambda x: np.linalg.cholesky(definite(x)),
            lambda t, x: t.linalg.cholesky(x @ x.mT),
        ),
        (
            "cholesky, upper",
            lambda x: L.cholesky(definite(x), upper=True),
            lambda x: np.swapaxes(np.linalg.cholesky(definite(x)), -1, -2),
            lambda t, x: t.linalg.cholesky(x @ x.mT, upper=True),
        ),
        (
            "matrix_power",
            lambda x: L.matrix_power(x, 5),
            lambda x: x @ x @ x @ x @ x,
            lambda t, x: t.linalg.matrix_power(x, 5),
        ),
        (
            "matrix_power of the inverse",
            lambda x: L.matrix_power(x, -2),
            lambda x: np.linalg.inv(x) @ np.linalg.inv(x),
            lambda t, x: t.linalg.matrix_power(x, -2),
        ),
    ]:
        row(f"{name} {shape}", f, ref, (regular, shape), torch=torch)
    row(
        f"eigvalsh {shape}",
        lambda x: L.eigvalsh(symmetric(x)),
        lambda x: np.linalg.eigvalsh(symmetric(x)),
        (spread_out, shape),
        torch=lambda t, x: t.linalg.eigvalsh(x + x.mT),
    )
    row(
        f"eigh {shape}",
        lambda x: eigh_squares(L.eigh, x),
        lambda x: eigh_squares(np.linalg.eigh, x),
        (spread_out, shape),
        torch=lambda t, x: eigh_squares(t.linalg.eigh, x),
    )
for shape in ((3, 3), (4, 2), (2, 2, 3)):
    row(
        f"svd {shape}",
        lambda x: svd_squares(L.svd, x),
        lambda x: svd_squares(np.linalg.svd, x),
        (spread_out, shape),
        torch=lambda t, x: svd_squares(t.linalg.svd, x),
    )
    row(
        f"svdvals {shape}",
        L.svdvals,
        lambda x: np.linalg.svd(x, compute_uv=False),
        (spread_out, shape),
        torch=lambda t, x: t.linalg.svdvals(x),
    )
for a, b in [((3, 3), (3,)), ((3, 3), (3, 2)), ((2, 3, 3), (3, 2)), ((3, 3), (2, 3, 2))]:
    row(
        f"solve {a} {b}",
        L.solve,
        lambda a, b: np.linalg.inv(a) @ b,
        (regular, a),
        (normal, b),
        torch=lambda t, a, b: t.linalg.solve(a, b),
    )


def eigh_squares(eigh, x):
    """What does not depend on the signs of the eigenvectors."""
    w, v = eigh(x + np.swapaxes(x, -1, -2) if not hasattr(x, "mT") else x + x.mT)
    return w, v * v


def svd_squares(svd, x):
    u, s, vh = svd(x, full_matrices=False)
    return u * u, s, vh * vh


row(
    "multi_dot",
    lambda *xs: L.multi_dot(xs),
    lambda a, b, c: a @ b @ c,
    (normal, (2, 3)),
    (normal, (3, 4)),
    (normal, (4,)),
    torch=None,
)
for name, options, keywords in [
    ("norm", {}, {}),
    ("norm of rows", {"axis": 1}, {"dim": 1}),
    ("norm 1", {"ord": 1, "axis": -1}, {"ord": 1, "dim": -1}),
    ("norm 3", {"ord": 3, "axis": 0, "keepdims": True}, {"ord": 3, "dim": 0, "keepdim": True}),
    ("norm inf", {"ord": np.inf, "axis": 1}, {"ord": np.inf, "dim": 1}),
    ("norm -inf", {"ord": -np.inf, "axis": 1}, {"ord": -np.inf, "dim": 1}),
    ("norm -2", {"ord": -2, "axis": 0}, {"ord": -2, "dim": 0}),
    ("norm 0.5", {"ord": 0.5, "axis": 1}, {"ord": 0.5, "dim": 1}),
    ("norm 0", {"ord": 0, "axis": 1}, {"ord": 0, "dim": 1}),
    ("norm of matrices, fro", {"ord": "fro"}, {"ord": "fro"}),
    ("norm of matrices, 1", {"ord": 1}, {"ord": 1}),
    ("norm of matrices, -inf", {"ord": -np.inf}, {"ord": -np.inf}),
    ("norm of matrices, 2", {"ord": 2}, {"ord": 2}),
    ("norm of matrices, -2", {"ord": -2}, {"ord": -2}),
    ("norm of matrices, nuc", {"ord": "nuc", "keepdims": True}, {"ord": "nuc", "keepdim": True}),
]:
    row(
        name,
        lambda x, options=options: L.norm(x, **options),
        lambda x, options=options: np.linalg.norm(x, **options),
        (distinct, (3, 4)),
        torch=None if name == "norm 0" else lambda t, x, keywords=keywords: t.linalg.norm(x, **keywords),
    )
row(
    "norm of an array",
    L.norm,
    lambda x: np.sqrt(np.sum(x * x)),
    (normal, (2, 3, 2)),
    torch=lambda t, x: t.linalg.norm(x),
    also=(((4,),), ((1, 1),)),
)
row(
    "norm of matrices in a batch",
    lambda x: L.norm(x, 1, (0, 2)),
    lambda x: np.linalg.norm(x, 1, (0, 2)),
    (distinct, (2, 3, 4)),
    torch=lambda t, x: t.linalg.norm(x, 1, (0, 2)),
)
row(
    "vector_norm",
    lambda x: L.vector_norm(x, axis=(0, 2), ord=3),
    lambda x: (np.abs(x) ** 3).sum((0, 2)) ** (1 / 3),
    (away, (2, 3, 4)),
    torch=lambda t, x: t.linalg.vector_norm(x, 3, (0, 2)),
)
row(
    "matrix_norm",
    lambda x: L.matrix_norm(x, ord=1, keepdims=True),
    lambda x: np.abs(x).sum(1, keepdims=True).max(2, keepdims=True),
    (distinct, (2, 3, 4)),
    torch=lambda t, x: t.linalg.matrix_norm(x, 1, keepdim=True),
)
