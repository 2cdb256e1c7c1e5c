"""Every public function of NumPy and numpy.linalg on Variables: right, raises, or wrong.

    python -m tests.cases.numpy_table

`CALLS` has an expression for each function with a derivative. It is evaluated on arrays and on Variables that
require grad. It is right if values agree, every floating-point result requires grad, and gradients to second
order are those of central differences; it raises if a TypeError says that there is no derivative. `OTHERS`
has the functions without one, by reason.
"""

import warnings
from collections import Counter

import numpy as np

from autograd import GradientError, Variable, gradcheck

RNG = np.random.default_rng(5)
INPUTS = {
    "x": np.array([[0.5, -1.5, 2.0], [1.0, 0.25, -0.75]]),
    "y": np.array([[1.25, 0.5, -2.5], [0.75, -0.5, 1.5]]),
    "p": np.array([[1.5, 2.25, 3.0], [1.25, 4.0, 2.0]]),  # above 1
    "u": np.array([[0.5, -0.25, 0.75], [0.1, -0.6, 0.3]]),  # within ±1
    "v": np.array([0.5, 3.0, -1.0, 2.0]),
    "w": np.array([1.0, 0.5, 2.0, -1.5]),
    "s": np.array([[2.0, 0.5, -1.0], [0.25, 3.0, 0.5], [1.0, -0.5, 1.5]]),
    "t": RNG.standard_normal((2, 3, 4)),
    "n": np.array(0.7),
}
PLAIN = {  # what else stands in expressions
    "np": np,
    "la": np.linalg,
    "GAPS": np.array([[0.0, np.nan, 0.0], [0.0, 0.0, 0.0]]),
    "ZEROS": np.array([0.0, 1.0, 1.0, 0.0]),
}
CALLS: dict[str, str] = {
    # ufuncs
    "absolute": "np.absolute(x)",
    "fabs": "np.fabs(x)",
    "add": "np.add(x, y)",
    "subtract": "np.subtract(x, y)",
    "multiply": "np.multiply(x, v[:3])",
    "divide": "np.divide(x, y)",
    "floor_divide": "np.floor_divide(x, y * 1.1)",
    "remainder": "np.remainder(x, y * 1.1)",
    "fmod": "np.fmod(x, y * 1.1)",
    "divmod": "np.divmod(x, y * 1.1)",
    "modf": "np.modf(x * 1.3)",
    "negative": "np.negative(x)",
    "positive": "np.positive(x)",
    "conjugate": "np.conjugate(x)",
    "power": "np.power(p, y)",
    "float_power": "np.float_power(p, y)",
    "sign": "np.sign(x)",
    "copysign": "np.copysign(x, y)",
    "heaviside": "np.heaviside(x, n)",
    "square": "np.square(x)",
    "reciprocal": "np.reciprocal(x)",
    "sqrt": "np.sqrt(p)",
    "cbrt": "np.cbrt(x)",
    "maximum": "np.maximum(x, y)",
    "minimum": "np.minimum(x, y)",
    "fmax": "np.fmax(x, y)",
    "fmin": "np.fmin(x, y)",
    "floor": "np.floor(x * 1.3)",
    "ceil": "np.ceil(x * 1.3)",
    "trunc": "np.trunc(x * 1.3)",
    "rint": "np.rint(x * 1.3)",
    "exp": "np.exp(x)",
    "exp2": "np.exp2(x)",
    "expm1": "np.expm1(x)",
    "log": "np.log(p)",
    "log2": "np.log2(p)",
    "log10": "np.log10(p)",
    "log1p": "np.log1p(p)",
    "logaddexp": "np.logaddexp(x, y)",
    "logaddexp2": "np.logaddexp2(x, y)",
    "ldexp": "np.ldexp(x, [1, 2, -3])",
    "frexp": "np.frexp(x * 1.3)[0]",
    "sin": "np.sin(x)",
    "cos": "np.cos(x)",
    "tan": "np.tan(u)",
    "arcsin": "np.arcsin(u)",
    "arccos": "np.arccos(u)",
    "arctan": "np.arctan(x)",
    "arctan2": "np.arctan2(x, y)",
    "hypot": "np.hypot(x, y)",
    "sinh": "np.sinh(x)",
    "cosh": "np.cosh(x)",
    "tanh": "np.tanh(x)",
    "arcsinh": "np.arcsinh(x)",
    "arccosh": "np.arccosh(p)",
    "arctanh": "np.arctanh(u)",
    "deg2rad": "np.deg2rad(x)",
    "radians": "np.radians(x)",
    "rad2deg": "np.rad2deg(x)",
    "degrees": "np.degrees(x)",
    "matmul": "np.matmul(x, y.T)",
    "vecdot": "np.vecdot(x, y)",
    "matvec": "np.matvec(s, x)",
    "vecmat": "np.vecmat(x, s)",
    # sums, products, statistics
    "sum": "np.sum(x, axis=0)",
    "prod": "np.prod(x, axis=1)",
    "cumsum": "np.cumsum(x, 1)",
    "cumprod": "np.cumprod(x, axis=1)",
    "cumulative_sum": "np.cumulative_sum(x, axis=1, include_initial=True)",
    "cumulative_prod": "np.cumulative_prod(v)",
    "mean": "np.mean(x, 0)",
    "var": "np.var(x, axis=1, ddof=1)",
    "std": "np.std(x, 0)",
    "max": "np.max(x, 1)",
    "amax": "np.amax(x)",
    "min": "np.min(x, axis=0)",
    "amin": "np.amin(x)",
    "ptp": "np.ptp(x, axis=1)",
    "median": "np.median(t, axis=(0, 2))",
    "average": "np.average(x, axis=1, weights=p)",
    "percentile": "np.percentile(t, [10, 55], axis=2)",
    "quantile": "np.quantile(x, 0.3, axis=1, keepdims=True)",
    "cov": "np.cov(x, y)",
    "corrcoef": "np.corrcoef(s)[0, 1:]",
    "nansum": "np.nansum(x + GAPS, axis=1)",
    "nanprod": "np.nanprod(x + GAPS, axis=1)",
    "nancumsum": "np.nancumsum(x + GAPS)",
    "nancumprod": "np.nancumprod(x + GAPS, axis=1)",
    "nanmax": "np.nanmax(x + GAPS, axis=1)",
    "nanmin": "np.nanmin(x + GAPS, axis=0)",
    "nanmean": "np.nanmean(x + GAPS, axis=1)",
    "nanvar": "np.nanvar(x + GAPS, axis=1)",
    "nanstd": "np.nanstd(x + GAPS)",
    "nanmedian": "np.nanmedian(x + GAPS, axis=1)",
    "nanquantile": "np.nanquantile(x + GAPS, [0.2, 0.5], axis=1)",
    "nanpercentile": "np.nanpercentile(x + GAPS, 30, axis=0)",
    "diff": "np.diff(x, axis=1, prepend=y[:, :1])",
    "ediff1d": "np.ediff1d(x, to_end=n)",
    "gradient": "np.gradient(t, 0.5, axis=2, edge_order=2)",
    "trapezoid": "np.trapezoid(x, dx=0.5)",
    "interp": "np.interp(u, [-1.0, 0.0, 0.2, 1.0], v)",
    "unwrap": "np.unwrap(v * 4.0)",
    "convolve": "np.convolve(v, w[:2], mode='same')",
    "correlate": "np.correlate(v, w[:2], 'full')",
    "bincount": "np.bincount([0, 2, 2, 1], weights=v)",
    "histogram": "np.histogram(v, 3, weights=w)[0]",
    "i0": "np.i0(x)",
    "sinc": "np.sinc(x)",
    # products of arrays
    "dot": "np.dot(x, s)",
    "vdot": "np.vdot(x, y)",
    "inner": "np.inner(x, s)",
    "outer": "np.outer(x, v)",
    "tensordot": "np.tensordot(x, y, axes=((0,), (0,)))",
    "einsum": "np.einsum('ij,kj->ik', x, y)",
    "kron": "np.kron(x, v)",
    "cross": "np.cross(x, y)",
    "trace": "np.trace(s, offset=1)",
    # polynomials
    "polyval": "np.polyval(v, n)",
    "polyadd": "np.polyadd(v, w[:2])",
    "polysub": "np.polysub(v[:2], w)",
    "polymul": "np.polymul(v, w)",
    "polyder": "np.polyder(v)",
    "polyint": "np.polyint(v)",
    "poly": "np.poly(v)",
    "polydiv": "np.polydiv(v, w[:2])[0]",
    "polyfit": "np.polyfit(v, w, 2)",
    "vander": "np.vander(v, 3)",
    # ranges
    "linspace": "np.linspace(n, 3.0, 5)",
    "logspace": "np.logspace(n, 2.0, 4)",
    "geomspace": "np.geomspace(n, 2.0, 4)",
    # joining and cutting
    "append": "np.append(x, y, axis=0)",
    "concatenate": "np.concatenate([x, y], axis=1)",
    "stack": "np.stack([x, y], 1)",
    "vstack": "np.vstack([x, v[:3]])",
    "hstack": "np.hstack((x, y))",
    "dstack": "np.dstack([x, y])",
    "column_stack": "np.column_stack([v, w])",
    "block": "np.block([[x, y], [y, x]])",
    "split": "np.split(x, 3, axis=1)",
    "array_split": "np.array_split(v, 3)",
    "vsplit": "np.vsplit(x, 2)",
    "hsplit": "np.hsplit(x, [1])",
    "dsplit": "np.dsplit(t, 2)",
    "unstack": "np.unstack(x, axis=1)",
    "insert": "np.insert(v, [1, 3], w[:2])",
    "delete": "np.delete(x, 1, axis=1)",
    "pad": "np.pad(x, ((0, 1), (2, 0)), constant_values=3.0)",
    "trim_zeros": "np.trim_zeros(v * ZEROS)",
    # picking and ordering
    "take": "np.take(x, [2, 0, 2], axis=1)",
    "take_along_axis": "np.take_along_axis(x, np.array([[1], [0]]), 1)",
    "choose": "np.choose([[0, 1, 0], [1, 1, 0]], [x, y])",
    "compress": "np.compress([True, False, True], x, axis=1)",
    "extract": "np.extract([True, False, True, False], v)",
    "where": "np.where([True, False, True], x, y)",
    "select": "np.select([[True, False, False], [True, True, False]], [x, y], n)",
    "clip": "np.clip(x, -1.0, 1.1)",
    "sort": "np.sort(x, axis=1)",
    "partition": "np.partition(v, 2)",
    "unique": "np.unique(v)",
    "piecewise": "np.piecewise(v, [True, False, True, False], [lambda a: a * a, lambda a: -a])",
    "apply_along_axis": "np.apply_along_axis(np.cumsum, 1, x)",
    "apply_over_axes": "np.apply_over_axes(np.sum, t, [0, 2])",
    # shapes
    "reshape": "np.reshape(x, (3, 2))",
    "ravel": "np.ravel(x)",
    "resize": "np.resize(x, (2, 4))",
    "transpose": "np.transpose(t, (1, 2, 0))",
    "matrix_transpose": "np.matrix_transpose(t)",
    "swapaxes": "np.swapaxes(t, 0, 2)",
    "moveaxis": "np.moveaxis(t, 0, -1)",
    "rollaxis": "np.rollaxis(t, 2)",
    "expand_dims": "np.expand_dims(x, 1)",
    "squeeze": "np.squeeze(x[None])",
    "broadcast_to": "np.broadcast_to(x, (2, 2, 3))",
    "broadcast_arrays": "np.broadcast_arrays(x, v[:3])",
    "atleast_1d": "np.atleast_1d(n)",
    "atleast_2d": "np.atleast_2d(v)",
    "atleast_3d": "np.atleast_3d(x)",
    "meshgrid": "np.meshgrid(v, w[:2])",
    "flip": "np.flip(x, 1)",
    "fliplr": "np.fliplr(x)",
    "flipud": "np.flipud(x)",
    "rot90": "np.rot90(x)",
    "roll": "np.roll(x, 2, axis=1)",
    "tile": "np.tile(x, (2, 2))",
    "repeat": "np.repeat(x, 2)",
    "diag": "np.diag(v, 1)",
    "diagflat": "np.diagflat(x)",
    "diagonal": "np.diagonal(t, 1, 1, 2)",
    "tril": "np.tril(s, 1)",
    "triu": "np.triu(s)",
    # the same numbers, or others near them
    "copy": "np.copy(x)",
    "astype": "np.astype(x, np.float64)",
    "real": "np.real(x)",
    "real_if_close": "np.real_if_close(x)",
    "round": "np.round(x * 1.27, 1)",
    "around": "np.around(x * 1.3)",
    "fix": "np.fix(x * 1.3)",
    "nan_to_num": "np.nan_to_num(x + GAPS, nan=2.0)",
    # numpy.linalg
    "linalg.norm": "la.norm(x, axis=1)",
    "linalg.vector_norm": "la.vector_norm(x, ord=3)",
    "linalg.matrix_norm": "la.matrix_norm(s, ord='nuc')",
    "linalg.cond": "la.cond(s)",
    "linalg.inv": "la.inv(s)",
    "linalg.solve": "la.solve(s, y.T)",
    "linalg.det": "la.det(s)",
    "linalg.slogdet": "la.slogdet(s)[1]",
    "linalg.cholesky": "la.cholesky(s @ s.T)",
    "linalg.eigh": "la.eigh(s + s.T)[0]",
    "linalg.eigvalsh": "la.eigvalsh(s + s.T)",
    "linalg.svd": "la.svd(x, full_matrices=False)[1]",
    "linalg.svdvals": "la.svdvals(x)",
    "linalg.pinv": "la.pinv(x)",
    "linalg.qr": "la.qr(s)[1]",
    "linalg.lstsq": "la.lstsq(y.T, v[:3], None)[0]",
    "linalg.matrix_power": "la.matrix_power(s, -3)",
    "linalg.multi_dot": "la.multi_dot([x, s, y.T])",
    "linalg.matmul": "la.matmul(x, s)",
    "linalg.outer": "la.outer(v, w)",
    "linalg.cross": "la.cross(x, y)",
    "linalg.vecdot": "la.vecdot(x, y)",
    "linalg.tensordot": "la.tensordot(x, s, axes=1)",
    "linalg.tensorinv": "la.tensorinv(s[:, :, None], 1)[:, 0]",
    "linalg.tensorsolve": "la.tensorsolve(s, v[:3])",
    "linalg.trace": "la.trace(s, offset=1)",
    "linalg.diagonal": "la.diagonal(t, offset=1)",
    "linalg.matrix_transpose": "la.matrix_transpose(t)",
}
RAISES = [  # those of them that have no derivative here
    "histogram",
    "i0",
    "piecewise",
    "polydiv",
    "polyfit",
    "linalg.lstsq",
    "linalg.pinv",
    "linalg.qr",
]
OTHERS: dict[str, str] = {
    "answers about values, places, shapes and types": """
        all allclose any argmax argmin argpartition argsort argwhere array_equal array_equiv
        broadcast_shapes can_cast common_type count_nonzero diag_indices diag_indices_from digitize
        equal flatnonzero greater greater_equal isclose iscomplex iscomplexobj isdtype isfinite
        isfortran isin isinf isnan isnat isneginf isposinf isreal isrealobj isscalar issubdtype
        iterable less less_equal lexsort logical_and logical_not logical_or logical_xor
        may_share_memory min_scalar_type mintypecode nanargmax nanargmin ndim nonzero not_equal
        promote_types result_type searchsorted shape shares_memory signbit size spacing
        tril_indices_from triu_indices_from typename linalg.matrix_rank
    """,
    "sets of values, counts and the edges of bins": """
        histogram2d histogram_bin_edges histogramdd intersect1d setdiff1d setxor1d union1d
        unique_all unique_counts unique_inverse unique_values
    """,
    "whole numbers, bits and dates": """
        base_repr binary_repr bitwise_and bitwise_count bitwise_invert bitwise_left_shift
        bitwise_not bitwise_or bitwise_right_shift bitwise_xor busday_count busday_offset
        datetime_as_string datetime_data gcd invert is_busday lcm left_shift packbits
        ravel_multi_index right_shift unpackbits unravel_index
    """,
    "complex numbers, of which Variables have none": """
        angle imag roots sort_complex linalg.eig linalg.eigvals
    """,
    "next to a number lies no slope": "nextafter",
    "made of no Variable": """
        arange array asanyarray asarray asarray_chkfinite ascontiguousarray asfortranarray asmatrix
        bartlett blackman bmat empty empty_like eye from_dlpack frombuffer fromfile fromfunction
        fromiter frompyfunc fromregex fromstring full full_like genfromtxt hamming hanning identity
        indices ix_ kaiser load loadtxt mask_indices nested_iters ones ones_like require tri
        tril_indices triu_indices zeros zeros_like
    """,
    "written into an array": "copyto fill_diagonal place put put_along_axis putmask",
    "names that NumPy takes back": "in1d row_stack trapz",
    "text, files and settings": """
        array2string array_repr array_str einsum_path format_float_positional
        format_float_scientific get_include get_printoptions getbufsize geterr geterrcall info
        printoptions save savetxt savez savez_compressed set_printoptions setbufsize seterr
        seterrcall show_config show_runtime test linalg.test
    """,
}


def public():
    """All functions, each under the first of its names."""
    found = {}
    for prefix, module in (("", np), ("linalg.", np.linalg)):
        for name in dir(module):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of names that go
                thing = getattr(module, name)
            if not name.startswith("_") and callable(thing) and not isinstance(thing, type):
                found[prefix + name] = thing
    return found


def look_up(name):
    """The function of a name, None if this NumPy has none."""
    module, _, name = name.rpartition(".")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return getattr(np.linalg if module else np, name, None)


def unclassified():
    """Names of functions that neither table has, nor has under another name."""
    names = [*CALLS, *" ".join(OTHERS.values()).split()]
    known = {id(look_up(name)) for name in names}
    return sorted(name for name, thing in public().items() if id(thing) not in known)


def parts(result):
    return list(result) if isinstance(result, tuple | list) else [result]


def function(name):
    """The expression of a name as a function, with results in a tuple, and the arrays for it."""
    code = compile(CALLS[name], name, "eval")
    used = [key for key in INPUTS if key in code.co_names]

    def f(*values):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"numpy\.fix is deprecated")  # since 2.5
            return tuple(parts(eval(code, {**PLAIN, **dict(zip(used, values, strict=True))})))

    return f, [INPUTS[key] for key in used]


def status(name):
    """One of "right", "raises", and what is wrong."""
    f, arrays = function(name)
    try:
        found = f(*map(Variable, arrays))
    except TypeError as error:
        return "raises" if "has no derivative here" in str(error) else f"wrong: {error}"
    expected = f(*arrays)
    for a, b in zip(found, expected, strict=True):
        if not isinstance(a, Variable) or not a.requires_grad:
            return "wrong: a result without a gradient"
        if a.shape != np.shape(b) or not np.allclose(a.data, b, 1e-11, 1e-13):
            return "wrong: another value"
    try:
        gradcheck(f, *arrays, order=2)
    except GradientError as error:
        return f"wrong: {error}"
    return "right"


def table():
    """name -> status, of the functions that this NumPy has."""
    return {name: status(name) for name in CALLS if look_up(name) is not None}


def main():
    found = table()
    for name, what in sorted(found.items(), key=lambda pair: (pair[1] == "right", pair)):
        if what != "right":
            print(f"{name:28} {what}")
    counts = Counter(what.partition(":")[0] for what in found.values())
    print(f"{len(found)} functions with a derivative: {counts['right']} right, {counts['raises']} raise, "
          f"{counts['wrong']} wrong; {counts['right'] / len(found):.1%} right")  # fmt: skip
    for reason, names in OTHERS.items():
        print(f"{sum(look_up(name) is not None for name in names.split()):4} without: {reason}")
    print(f"NumPy {np.__version__}; in neither list: {' '.join(unclassified()) or 'none'}")


if __name__ == "__main__":
    main()
