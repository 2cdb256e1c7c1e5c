"""Convolutions of 1, 2 and 3 (or more) axes, pooling, and the true convolution of signal processing.

What layers call a convolution is a cross-correlation. All of them are one trilinear form in an image x,
a weight w and a result z, described by a `Geometry`:

    Σ  x[b, c, s p + d k - before]  w[o, c, k]  z[b, o, p]        over b, c, o, places p and taps k

Its three partial derivatives are the three primitives `Conv` (the z of x and w), `ConvTranspose` (the
x of z and w) and `ConvWeight` (the w of x and z). Each has the other two as its backward, so every
order of derivative is there. Users see channels first, (B, C, *S), as in PyTorch; in memory results have
channels last, which makes the rows of the matrix products contiguous.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from ..core import Array, Function, Operand, Value, alike, as_array
from .elementwise import divide
from .linalg import added
from .shape import as_value, expand_dims, flip, getitem, reshape, shape_of, squeeze
from .signatures import binary, unary, weighted

WORKSPACE = 4 << 20  # bytes of gathered windows at a time, at most; freed before the call returns
CACHE = 1 << 20  # bytes of them that are still in the cache when the product reads them
ENOUGH = 512  # windows that make a product of the best speed
TAPS_FROM = 4  # channels of z per channel of x from which `spread` goes tap by tap: 15 % less work in an LSTM

Size = int | Sequence[int]
Padding = int | str | Sequence[int]
Part = tuple[slice, slice]  # of a result: images, places along the first axis
Plan = tuple[tuple[int, ...], tuple[int, ...], int, list[tuple[Part, int]]]  # see `_plan`


@dataclass(frozen=True)
class Geometry:
    """Which elements a convolution multiplies; every field but the last has one entry per spatial axis."""

    size: tuple[int, ...]  # of the image x
    out: tuple[int, ...]  # of the result z
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    before: tuple[int, ...]  # zeros in front of x; there are as many behind as are needed
    groups: int = 1

    @cached_property
    def reach(self) -> tuple[int, ...]:
        """The length of x that is read along each axis, padding included."""
        sizes = zip(self.out, self.kernel, self.stride, self.dilation, strict=True)
        return tuple([s * (p - 1) + d * (k - 1) + 1 for p, k, s, d in sizes])

    @cached_property
    def read(self) -> tuple[list[slice], list[slice]]:
        """The slices of x that are read and of the reach they fill; a stride may leave out the end of x."""
        axes = list(zip(self.size, self.reach, self.before, strict=True))
        part = [slice(max(0, -b), max(0, min(m, r - b))) for m, r, b in axes]
        return part, [slice(s.start + b, s.stop + b) for s, b in zip(part, self.before, strict=True)]

    @cached_property
    def opposite(self) -> "Geometry":
        """The geometry of the adjoint at stride 1: correlating z with the flipped weight gives x."""
        axes = zip(self.kernel, self.dilation, self.before, strict=True)
        before = tuple([d * (k - 1) - b for k, d, b in axes])
        return replace(self, size=self.out, out=self.size, before=before)

    @cached_property
    def plans(self) -> dict[tuple[int, ...], Plan]:
        """The plans that `_windows` has made so far, by batch, channels and size of an element."""
        return {}

    def places(self, tap: tuple[int, ...]) -> list[slice]:
        """The slices of the reach that a tap multiplies with the places of z."""
        axes = zip(tap, self.out, self.stride, self.dilation, strict=True)
        return [slice(d * k, d * k + s * (p - 1) + 1, s) for k, p, s, d in axes]


# --- the primitives -----------------------------------------------------------------------------


class Conv(Function):
    """c + the z of x (B, C, *S) and w (O, C/groups, *K): shape (B, O, *P); c is broadcast."""

    symbol, rule = "⋆", "gx = gy ⋆ᵀ w, gw = x ⋆ gy, gc = gy"
    broadcasts = True

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, x, w, c=None):
        y = correlate(x, w, self.geometry)
        return y if c is None else added(y, c)

    def backward(self, gy, x, w):
        gx = ConvTranspose(self.geometry)(gy, w) if self.needs(0) else None
        gw = ConvWeight(self.geometry)(x, gy) if self.needs(1) else None
        return (gx, gw, gy)[: len(self.edges)]


class ConvTranspose(Function):
    """The x of z (B, O, *P) and w (O, C/groups, *K): shape (B, C, *S)."""

    symbol, rule = "⋆ᵀ", "gz = gy ⋆ w, gw = gy ⋆ z"

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, z, w):
        return spread(z, w, self.geometry)

    def backward(self, gy, z, w):
        gz = Conv(self.geometry)(gy, w) if self.needs(0) else None
        return gz, ConvWeight(self.geometry)(gy, z) if self.needs(1) else None


class ConvWeight(Function):
    """The w of x (B, C, *S) and z (B, O, *P): shape (O, C/groups, *K)."""

    symbol, rule = "⋆ʷ", "gx = z ⋆ᵀ gy, gz = x ⋆ gy"

    def __init__(self, geometry: Geometry):
        self.geometry = geometry

    def forward(self, x, z):
        return meet(x, z, self.geometry)

    def backward(self, gy, x, z):
        gx = ConvTranspose(self.geometry)(z, gy) if self.needs(0) else None
        return gx, Conv(self.geometry)(x, gy) if self.needs(1) else None


class Convolve(Function):
    """The true convolution of a and v over all axes, at every overlap: y[n] = Σ a[m] v[n - m]."""

    symbol, rule = "∗", "ga = gy ∗ flipped v, gv = gy ∗ flipped a, where all of it overlaps"

    def __init__(self, fft: bool):
        self.fft = fft

    def forward(self, a, v):
        full = tuple([m + n - 1 for m, n in zip(a.shape, v.shape, strict=True)])
        dtype = np.result_type(a, v)
        if self.fft:
            fast = [_smooth(n) for n in full]
            axes = tuple(range(len(fast)))
            product = np.fft.rfftn(a, fast, axes) * np.fft.rfftn(v, fast, axes)
            y = np.fft.irfftn(product, fast, axes)
            return y[tuple(slice(n) for n in full)].astype(dtype, copy=False)
        if v.size > a.size:
            a, v = v, a
        ones = (1,) * v.ndim
        before = tuple([n - 1 for n in v.shape])
        y = correlate(
            a[None, None], np.flip(v)[None, None], Geometry(a.shape, full, v.shape, ones, ones, before, 1)
        )
        return y[0, 0]

    def backward(self, gy, a, v):
        return (
            self._valid(gy, v, a.shape) if self.needs(0) else None,
            self._valid(gy, a, v.shape) if self.needs(1) else None,
        )

    def _valid(self, gy, v, shape):
        inner = [slice(n - 1, n - 1 + m) for n, m in zip(v.shape, shape, strict=True)]
        return Convolve(self.fft)(gy, flip(v))[tuple(inner)]


def _smooth(n: int) -> int:
    """The smallest product of 2s, 3s and 5s that is at least n: a length at which FFTs are fast."""
    while True:
        rest = n
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return n
        n += 1


# --- the three contractions, on arrays ------------------------------------------------------------
# Inside, images are (B, *S, C), with groups (B, *S, G, C/G), and weights are matrices, one per group.


def correlate(x: Array, w: Array, geometry: Geometry) -> Array:
    """The z of x and w: windows of x as rows of a matrix, times w."""
    G, (outputs, C) = geometry.groups, w.shape[:2]
    taps = w.reshape(G, outputs // G, C, -1).transpose(0, 3, 2, 1)
    return _windows_times(x, taps, np.result_type(x, w), geometry)


def _windows_times(x: Array, taps: Array, dtype: np.dtype, geometry: Geometry) -> Array:
    """Windows of x (B, C, *S) times taps (G, K, C/G, O/G): shape (B, O, *P)."""
    G, _, _, outputs = taps.shape
    matrix = taps.reshape(G, -1, outputs)
    y = np.empty_like(_foremost(x, taps), dtype, "C", shape=(x.shape[0], *geometry.out, G * outputs))
    for part, windows in _windows(x, geometry, dtype):
        np.matmul(windows, matrix, out=_rows(y[part], geometry))
    return _channels_first(y)


def meet(x: Array, z: Array, geometry: Geometry) -> Array:
    """The w of x and z: windows of x, transposed, times z."""
    G, outputs, dtype = geometry.groups, z.shape[1], np.result_type(x, z)
    z = _channels_last(z)
    C = x.shape[1] // G
    total = None
    for part, windows in _windows(x, geometry, dtype):
        product = np.matmul(windows.swapaxes(1, 2), _rows(z[part], geometry))
        total = product if total is None else np.add(total, product, out=total)
    if total is None:
        shape = G, math.prod(geometry.kernel) * C, outputs // G
        total = np.zeros_like(_foremost(x, z), dtype, "C", shape=shape)
    w = total.reshape(G, -1, C, outputs // G).transpose(0, 3, 2, 1)
    return w.astype(dtype, "C", copy=False).reshape(outputs, C, *geometry.kernel)


def spread(z: Array, w: Array, geometry: Geometry) -> Array:
    """The x of z and w. At stride 1 it is a correlation again, unless z has many more channels than x, whose
    windows would be too wide; else for every tap, z times w is added where the tap has read."""
    G, (outputs, C), n = geometry.groups, w.shape[:2], len(geometry.size)
    dtype = np.result_type(z, w)
    if set(geometry.stride) == {1} and outputs < TAPS_FROM * C * G:
        flipped = w.reshape(G, outputs // G, C, -1)[..., ::-1].transpose(0, 3, 1, 2)
        return _windows_times(z, flipped, dtype, geometry.opposite)
    rows = _rows(_channels_last(z), geometry)
    reach = np.zeros_like(_foremost(z, w), dtype, "C", shape=(z.shape[0], *geometry.reach, G, C))
    taps = w.reshape(G, outputs // G, C, -1).transpose(3, 0, 1, 2)  # one (G, O/G, C) per tap
    product = np.empty_like(reach, dtype, "C", shape=(rows.shape[1], G, C))
    for tap, matrix in zip(np.ndindex(*geometry.kernel), taps, strict=True):
        np.matmul(rows, matrix.copy(), out=product.swapaxes(0, 1))
        reach[:, *geometry.places(tap)] += product.reshape(z.shape[0], *geometry.out, G, C)
    reach = reach.reshape(*reach.shape[: n + 1], G * C)
    part, where = geometry.read
    if geometry.size == tuple([p.stop - p.start for p in part]):
        return _channels_first(reach[:, *where])
    x = np.zeros_like(reach, dtype, "C", shape=(z.shape[0], *geometry.size, G * C))
    x[:, *part] = reach[:, *where]
    return _channels_first(x)


def _foremost(*arrays: Array) -> Array:
    """The array whose type the result gets: the first that is not NumPy's own, if there is one."""
    return next((a for a in arrays if a.__class__ is not np.ndarray), arrays[0])


def _channels_last(x: Array) -> Array:
    return x.transpose(0, *range(2, x.ndim), 1)


def _channels_first(x: Array) -> Array:
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _rows(z: Array, geometry: Geometry) -> Array:
    """z (..., O) as (G, places, O/G)."""
    G = geometry.groups
    return z.reshape(math.prod(z.shape[:-1]), G, z.shape[-1] // G).swapaxes(0, 1)


def _windows(x: Array, geometry: Geometry, dtype: np.dtype) -> Iterator[tuple[Part, Array]]:
    """Yield each part of the result with the windows of x that it is computed from, (G, places, K C/G).

    A part is as large as `WORKSPACE` allows.
    """
    G, (B, C) = geometry.groups, x.shape[:2]
    key = B, C, dtype.itemsize, WORKSPACE
    plan = geometry.plans.get(key)
    if plan is None:
        plan = geometry.plans[key] = _plan(geometry, B, C, dtype.itemsize)
    shape, strides, width, parts = plan
    image = _laid_out(x, geometry, dtype)
    if image.__class__ is np.ndarray:
        view: Array = np.ndarray(shape, dtype, image, 0, strides)
    else:
        view = _view(image, geometry)
    for part, count in parts:
        yield part, view[:, *part].reshape(G, count, width)


def _view(x: Array, geometry: Geometry) -> Array:
    """The view of x (B, *reach, C) that `_plan` describes, by functions that dispatch on its type."""
    n, G = len(geometry.size), geometry.groups
    axes = zip(geometry.kernel, geometry.dilation, strict=True)
    spans = tuple([d * (k - 1) + 1 for k, d in axes])
    view = np.lib.stride_tricks.sliding_window_view(x, spans, tuple(range(1, n + 1)))
    skip, spread = ([slice(None, None, k) for k in ks] for ks in (geometry.stride, geometry.dilation))
    view = view[:, *skip, :, *spread]
    view = view.reshape(*view.shape[: n + 1], G, x.shape[-1] // G, *geometry.kernel)
    return view.transpose(n + 1, *range(n + 1), *range(n + 3, 2 * n + 3), n + 2)


def _plan(geometry: Geometry, B: int, C: int, itemsize: int) -> Plan:
    """How `_windows` looks at an image (B, *reach, C): shape, strides, width of a window, and the parts."""
    G, steps = geometry.groups, [C * itemsize]
    for n in reversed(geometry.reach):
        steps.append(steps[-1] * n)
    image, *axes = reversed(steps)
    places = [s * n for s, n in zip(geometry.stride, axes, strict=True)]
    taps = [d * n for d, n in zip(geometry.dilation, axes, strict=True)]
    shape = G, B, *geometry.out, *geometry.kernel, C // G
    strides = C // G * itemsize, image, *places, *taps, itemsize
    width = math.prod(geometry.kernel) * C // G
    row = math.prod(geometry.out[1:])  # places at one place along the first axis
    first, size = geometry.out[0], max(1, row * width * G * itemsize)
    space = min(WORKSPACE, max(CACHE, ENOUGH * size // max(1, row)))
    images = max(1, space // (size * first))
    step = max(1, space // size) if images == 1 else first
    parts = []
    for b in range(0, B, images):
        for p in range(0, first, step):
            count = (min(B, b + images) - b) * (min(first, p + step) - p) * row
            parts.append(((slice(b, b + images), slice(p, p + step)), count))
    return shape, strides, width, parts


def _laid_out(x: Array, geometry: Geometry, dtype: np.dtype) -> Array:
    """x (B, C, *S) as (B, *reach, C) in contiguous memory, with zeros around it; x itself where it is so."""
    x = _channels_last(x)
    if geometry.reach == geometry.size and not any(geometry.before):
        return x.astype(dtype, "C", copy=False)
    part, where = geometry.read
    y = np.zeros_like(x, dtype, "C", shape=(x.shape[0], *geometry.reach, x.shape[-1]))
    y[:, *where] = x[:, *part]
    return y


# --- what users call: convolutions ----------------------------------------------------------------


@weighted
def conv1d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Padding = 0,
    dilation: Size = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Cross-correlation over one axis: x (B, C, L), weight (O, C/groups, K), bias (O) -> (B, O, P).

    y[b, o, p] = bias[o] + Σ weight[o, c, k] x[b, c, stride p + dilation k - padding], zeros outside x.
    As in PyTorch, the weight is not flipped; `convolve` is the convolution of mathematics.

    Args:
        x: an image per row of the batch, or one without a batch axis, (C, L).
        padding: zeros at both ends, per axis; "valid" (none), "same" (as many as keep the size, at stride
            1; an odd one goes behind), or "causal" (all in front: y at p reads x up to stride p).
        groups: into how many parts to split the channels; each output sees those of its own part.

    Raises:
        ValueError: ranks, channels or groups do not fit, a number is out of range, or the result would
            have no elements along an axis.

    >>> x, difference = Variable([[1.0, 2.0, 4.0, 8.0]]), Variable([[[-1.0, 1.0]]])
    >>> ag.conv1d(x, difference)  # one channel, no batch
    Variable([[1., 2., 4.]], creator=Reshape)
    >>> ag.conv1d(x, difference, padding="causal").data
    array([[1., 1., 2., 4.]])
    """
    return conv(1, x, weight, bias, stride, padding, dilation, groups)


@weighted
def conv2d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Padding = 0,
    dilation: Size = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Cross-correlation over two axes: x (B, C, H, W), weight (O, C/groups, *K) -> (B, O, *P).

    Arguments and errors are those of `conv1d`; sizes are one number, or one per axis.

    >>> images, weight = np.zeros((8, 3, 32, 32)), Variable(np.zeros((16, 3, 5, 5)))
    >>> ag.conv2d(images, weight, padding="same").shape, ag.conv2d(images, weight, stride=2).shape
    ((8, 16, 32, 32), (8, 16, 14, 14))
    """
    return conv(2, x, weight, bias, stride, padding, dilation, groups)


@weighted
def conv3d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Padding = 0,
    dilation: Size = 1, groups: int = 1,
) -> Value:  # fmt: skip
    """Cross-correlation over three axes: x (B, C, D, H, W), weight (O, C/groups, *K) -> (B, O, *P).

    Arguments and errors are those of `conv1d`; sizes are one number, or one per axis.

    >>> ag.conv3d(Variable(np.zeros((2, 3, 4, 8, 8))), np.zeros((6, 3, 2, 3, 3))).shape
    (2, 6, 3, 6, 6)
    """
    return conv(3, x, weight, bias, stride, padding, dilation, groups)


@weighted
def conv_transpose1d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size = 0,
    output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Value:  # fmt: skip
    """The adjoint of `conv1d` with respect to its input: x (B, C, L), weight (C, O/groups, K) -> (B, O, P).

    P = (L - 1) stride - 2 padding + dilation (K - 1) + output_padding + 1. A strided convolution maps
    several sizes to one; output_padding says which of them to go back to. It adds no zeros.

    Raises:
        ValueError: as for `conv1d`, and for an output_padding not below stride or dilation.

    >>> x, weight = Variable([[1.0, 10.0]]), Variable([[[1.0, 2.0, 3.0]]])
    >>> ag.conv_transpose1d(x, weight, stride=2).data
    array([[ 1.,  2., 13., 20., 30.]])
    """
    return conv_transpose(1, x, weight, bias, stride, padding, output_padding, groups, dilation)


@weighted
def conv_transpose2d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size = 0,
    output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Value:  # fmt: skip
    """The adjoint of `conv2d` with respect to its input; see `conv_transpose1d`.

    >>> x, weight = Variable(np.zeros((8, 16, 14, 14))), np.zeros((16, 3, 5, 5))
    >>> ag.conv_transpose2d(x, weight, stride=2, output_padding=1).shape
    (8, 3, 32, 32)
    """
    return conv_transpose(2, x, weight, bias, stride, padding, output_padding, groups, dilation)


@weighted
def conv_transpose3d(
    x: Operand, weight: Operand, bias: Operand | None = None, stride: Size = 1, padding: Size = 0,
    output_padding: Size = 0, groups: int = 1, dilation: Size = 1,
) -> Value:  # fmt: skip
    """The adjoint of `conv3d` with respect to its input; see `conv_transpose1d`.

    >>> ag.conv_transpose3d(Variable(np.zeros((2, 6, 3, 6, 6))), np.zeros((6, 3, 2, 3, 3))).shape
    (2, 3, 4, 8, 8)
    """
    return conv_transpose(3, x, weight, bias, stride, padding, output_padding, groups, dilation)


def conv(
    n: int, x: Operand, weight: Operand, bias: Operand | None, stride: Size, padding: Padding, dilation: Size,
    groups: int,
) -> Any:  # fmt: skip
    """Convolution over n axes, which `conv1d`, `conv2d` and `conv3d` call.

    Here a bias may also be anything that broadcasts against the result, instead of one number per
    output channel: recurrent cells add the part of the step that came from the input.

    >>> from autograd.extend import conv
    >>> conv(1, np.array([[1.0, 2.0, 4.0]]), Variable([[[-1.0, 1.0]]]), None, 1, 0, 1, 1).data
    array([[1., 2.]])
    """
    single = len(shape_of(x)) == n + 1
    geometry = conv_geometry(
        n, shape_of(x), shape_of(weight), *map(_key, (stride, padding, dilation)), groups
    )
    if bias is not None and len(shape_of(bias)) != n + 2:
        bias = _column(f"conv{n}d", bias, shape_of(weight)[0], n)
    x = expand_dims(x, 0) if single else x
    y = Conv(geometry)(x, weight) if bias is None else Conv(geometry)(x, weight, bias)
    return squeeze(y, 0) if single else y


def conv_transpose(
    n: int, x: Operand, weight: Operand, bias: Operand | None, stride: Size, padding: Size,
    output_padding: Size, groups: int, dilation: Size,
) -> Any:  # fmt: skip
    """Transposed convolution over n axes, which `conv_transpose1d`, `2d` and `3d` call.

    >>> from autograd.extend import conv_transpose
    >>> conv_transpose(1, np.array([[1.0, 2.0]]), Variable([[[-1.0, 1.0]]]), None, 1, 0, 0, 1, 1).data
    array([[-1., -1.,  2.]])
    """
    single = len(shape_of(x)) == n + 1
    sizes = map(_key, (stride, padding, output_padding, dilation))
    geometry = conv_transpose_geometry(n, shape_of(x), shape_of(weight), *sizes, groups)
    y = ConvTranspose(geometry)(expand_dims(x, 0) if single else x, weight)
    if bias is not None:
        y = y + _column(f"conv_transpose{n}d", bias, shape_of(weight)[1] * groups, n)
    return squeeze(y, 0) if single else y


@binary
def convolve(a: Operand, v: Operand, mode: str = "full", method: str = "auto") -> Value:
    """The convolution of mathematics: y[n] = Σ a[m] v[n - m], over all axes of a and v.

    (1, 2, 3) ∗ (4, 5, 6) = (4, 13, 28, 27, 18), as polynomials multiply. `conv1d` and its like, which
    layers use, do not flip the second operand: they are cross-correlations.

    Args:
        a, v: arrays with the same number of axes.
        mode: "full": every overlap, sizes add up to m + n - 1; "same": the middle of it, of the larger
            size along each axis; "valid": where all of the smaller one overlaps.
        method: "direct" sums, "fft" goes through Fourier transforms, whose rounding errors are relative
            to the largest element of the result; "auto" takes what is likely to be faster.

    Raises:
        ValueError: different numbers of axes, an operand without elements, an unknown mode or method.

    >>> ag.convolve(Variable([1.0, 2.0, 3.0]), [4.0, 5.0, 6.0]).data
    array([ 4., 13., 28., 27., 18.])
    """
    a, v = as_value(a), as_value(v)
    if a.ndim != v.ndim or not a.ndim or not a.size or not v.size:
        raise ValueError(
            f"convolve expected two arrays with elements and as many axes as each other,"
            f" got shapes {a.shape} and {v.shape}"
        )
    if method not in ("auto", "direct", "fft"):
        raise ValueError(f"convolve expected method 'auto', 'direct' or 'fft', got {method!r}")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"convolve expected mode 'full', 'same' or 'valid', got {mode!r}")
    floating = np.result_type(a.dtype, v.dtype).kind == "f"
    y = Convolve(method == "fft" or (method == "auto" and floating and min(a.size, v.size) > FFT_FROM))(a, v)
    if mode == "full":
        return y
    inner = []
    for m, n in zip(a.shape, v.shape, strict=True):
        small, large = sorted((m, n))
        inner.append(
            slice((small - 1) // 2, (small - 1) // 2 + large) if mode == "same" else slice(small - 1, large)
        )
    return y[tuple(inner)]


FFT_FROM = 100  # elements in the smaller operand


# --- what users call: pooling ---------------------------------------------------------------------


@unary
def max_pool1d(
    x: Value, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False,
) -> Value:  # fmt: skip
    """The largest element of every window: x (B, C, L) or (C, L) -> (..., P). Of equal ones, the first
    gets the gradient, as in PyTorch.

    Args:
        stride: from window to window; kernel_size by default.
        padding: how far windows may begin before x and end behind it, at most half of kernel_size.
        ceil_mode: let a last window begin in x that ends behind the padding.

    Raises:
        ValueError: the rank does not fit, a number is out of range, or the result would have no elements
            along an axis.

    >>> x = Variable([[1.0, 5.0, 2.0, 2.0]])
    >>> y = ag.max_pool1d(x, 2)
    >>> y.data, ag.grad(y.sum(), x).data
    (array([[5., 2.]]), array([[0., 1., 1., 0.]]))
    """
    return max_pool(1, x, kernel_size, stride, padding, dilation, ceil_mode)


@unary
def max_pool2d(
    x: Value, kernel_size: Size, stride: Size | None = None, padding: Size = 0, dilation: Size = 1,
    ceil_mode: bool = False,
) -> Value:  # fmt: skip
    """The largest element of every window: x (B, C, H, W) or (C, H, W); see `max_pool1d`.

    >>> ag.max_pool2d(Variable(np.arange(16.0).reshape(1, 4, 4)), 2).data
    array([[[ 5.,  7.],
            [13., 15.]]])
    """
    return max_pool(2, x, kernel_size, stride, padding, dilation, ceil_mode)


@unary
def avg_pool1d(
    x: Value, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:  # fmt: skip
    """The mean of every window: x (B, C, L) or (C, L) -> (..., P).

    Args:
        count_include_pad: does padding count as zeros in the mean, or not at all? What a last window of
            ceil_mode has behind the padding never counts.

    Other arguments and errors are those of `max_pool1d`.

    >>> ag.avg_pool1d(Variable([[1.0, 5.0, 2.0, 4.0]]), 2).data
    array([[3., 3.]])
    """
    return avg_pool(1, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


@unary
def avg_pool2d(
    x: Value, kernel_size: Size, stride: Size | None = None, padding: Size = 0, ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Value:  # fmt: skip
    """The mean of every window: x (B, C, H, W) or (C, H, W); see `avg_pool1d`.

    >>> ag.avg_pool2d(Variable(np.arange(16.0).reshape(1, 4, 4)), 2).data
    array([[[ 2.5,  4.5],
            [10.5, 12.5]]])
    """
    return avg_pool(2, x, kernel_size, stride, padding, ceil_mode, count_include_pad)


def max_pool(
    n: int, x: Value, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> Value:
    """Maximum pooling over n axes: an indexed read of the largest elements."""
    x = as_value(x)
    geometry = _pooling(f"max_pool{n}d", n, x, kernel_size, stride, padding, dilation, ceil_mode)
    data = as_array(x)
    lead, before = data.shape[:-n], geometry.before
    first = np.indices(geometry.out).reshape(n, -1, 1)
    taps = np.indices(geometry.kernel).reshape(n, 1, -1)
    axes = zip(first, taps, geometry.stride, geometry.dilation, before, geometry.size, strict=True)
    # where the windows look, (places, taps) per axis; outside x they look at the nearest element in it
    looks = [(s * p + d * k - b, m) for p, k, s, d, b, m in axes]
    outside = np.any([(at < 0) | (at >= m) for at, m in looks], axis=0)
    inside = [np.clip(at, 0, m - 1) for at, m in looks]
    every: Any = (slice(None), *inside)
    seen = data.reshape(math.prod(lead), *geometry.size)[every]
    if outside.any():
        seen = np.where(alike(outside, seen), -np.inf, seen)
    best = np.argmax(seen, axis=-1)  # (images, places)
    read = [np.take_along_axis(alike(at[None], best), best[..., None], 2) for at in inside]
    index = [at.reshape(*lead, *geometry.out) for at in read]
    grid = np.ogrid[tuple(slice(m) for m in (*lead, *geometry.out))][: len(lead)]
    return getitem(x, (*grid, *index))


def avg_pool(
    n: int,
    x: Value,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    count_include_pad: bool,
) -> Value:
    """Average pooling over n axes: a convolution with ones, divided by the counts."""
    x = as_value(x)
    geometry = _pooling(f"avg_pool{n}d", n, x, kernel_size, stride, padding, 1, ceil_mode)
    shape = shape_of(x)
    ones = alike(np.ones((1, 1, *geometry.kernel), x.dtype), x)
    y = Conv(geometry)(reshape(x, (math.prod(shape[:-n]), 1, *shape[-n:])), ones)
    count: Any = np.ones((), x.dtype)
    for i, (m, p, k, s, b) in enumerate(
        zip(geometry.size, geometry.out, geometry.kernel, geometry.stride, geometry.before, strict=True)
    ):
        start = s * np.arange(p) - b
        first, last = (start, m + b) if count_include_pad else (np.maximum(start, 0), m)
        along = (np.minimum(start + k, last) - first).astype(x.dtype)
        count = count * along.reshape(-1, *[1] * (n - 1 - i))
    return reshape(divide(y, alike(count, x)), (*shape[:-n], *geometry.out))


def _pooling(
    who: str,
    n: int,
    x: Value,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Geometry:
    if len(shape_of(x)) not in (n + 1, n + 2):
        raise ValueError(f"{who} expected x of shape {_shapes(n)}, got {shape_of(x)}")
    size, kernel = shape_of(x)[-n:], per_axis(who, "kernel_size", n, kernel_size, 1)
    strides = kernel if stride is None else per_axis(who, "stride", n, stride, 1)
    dilations, before = per_axis(who, "dilation", n, dilation, 1), per_axis(who, "padding", n, padding, 0)
    if any(2 * b > k for b, k in zip(before, kernel, strict=True)):
        raise ValueError(f"{who} expected padding of at most half of kernel_size {kernel}, got {padding}")
    out = []
    for m, b, k, s, d in zip(size, before, kernel, strides, dilations, strict=True):
        room = m + 2 * b - d * (k - 1) - 1
        p = -(-room // s) if ceil_mode else room // s
        out.append(p if ceil_mode and p * s >= m + b else p + 1)  # the last window begins before the end
    _check_out(who, tuple(out), size, kernel)
    return Geometry(size, tuple(out), kernel, strides, dilations, before, 1)


# --- arguments ------------------------------------------------------------------------------------


@lru_cache(1024, typed=True)  # the checks cost as much as a small convolution
def conv_geometry(
    n: int,
    shape: tuple[int, ...],
    weight: tuple[int, ...],
    stride: Size,
    padding: Padding,
    dilation: Size,
    groups: int,
) -> Geometry:
    """The geometry of a convolution over n axes, of x and a weight of these shapes, or a ValueError."""
    who = f"conv{n}d"
    _check_ranks(who, n, shape, weight)
    (outputs, C), kernel, size = weight[:2], weight[2:], shape[-n:]
    _check_groups(who, groups, outputs, "output channels")
    if shape[-n - 1] != C * groups:
        raise ValueError(
            f"{who} expected x with {C * groups} channels for weight {weight} in {groups} groups,"
            f" got shape {shape}"
        )
    stride, dilation = per_axis(who, "stride", n, stride, 1), per_axis(who, "dilation", n, dilation, 1)
    before, behind = pads(who, n, padding, kernel, stride, dilation)
    axes = zip(size, before, behind, kernel, stride, dilation, strict=True)
    out = tuple([(m + b + e - d * (k - 1) - 1) // s + 1 for m, b, e, k, s, d in axes])
    _check_out(who, out, size, kernel)
    return Geometry(size, out, kernel, stride, dilation, before, groups)


@lru_cache(1024, typed=True)
def conv_transpose_geometry(
    n: int, shape: tuple[int, ...], weight: tuple[int, ...], stride: Size, padding: Size,
    output_padding: Size, dilation: Size, groups: int,
) -> Geometry:  # fmt: skip
    """The geometry of a transposed convolution: z and a weight have these shapes, and its x is the result."""
    who = f"conv_transpose{n}d"
    _check_ranks(who, n, shape, weight)
    C, kernel, size = weight[0], weight[2:], shape[-n:]
    _check_groups(who, groups, C, "input channels")
    if shape[-n - 1] != C:
        raise ValueError(f"{who} expected x with {C} channels for weight {weight}, got shape {shape}")
    stride, dilation = per_axis(who, "stride", n, stride, 1), per_axis(who, "dilation", n, dilation, 1)
    before = per_axis(who, "padding", n, padding, 0)
    extra = per_axis(who, "output_padding", n, output_padding, 0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise ValueError(
            f"{who} expected output_padding below stride {stride} or dilation {dilation}, got {extra}"
        )
    axes = zip(size, before, extra, kernel, stride, dilation, strict=True)
    out = tuple([(m - 1) * s - 2 * b + d * (k - 1) + e + 1 for m, b, e, k, s, d in axes])
    _check_out(who, out, size, kernel)
    return Geometry(out, size, kernel, stride, dilation, before, groups)


def _key(size: Any) -> Any:
    """A size made hashable, for the caches above."""
    return tuple(size) if isinstance(size, list) else size


def per_axis(who: str, name: str, n: int, value: Size, least: int) -> tuple[int, ...]:
    """``value`` as n integers of at least ``least``, or a ValueError.

    >>> from autograd.extend import per_axis
    >>> per_axis("conv2d", "stride", 2, 3, least=1)
    (3, 3)
    """
    values = tuple(value) if isinstance(value, Sequence) else (value,) * n
    integers = all(isinstance(v, int | np.integer) and v >= least for v in values)
    if len(values) != n or not integers:
        raise ValueError(
            f"{who} expected {name} as an integer of at least {least} or {n} of them, got {value!r}"
        )
    return tuple([int(v) for v in values])


def pads(
    who: str, n: int, padding: Padding, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Zeros in front of and behind each axis.

    >>> from autograd.extend import pads
    >>> pads("conv1d", 1, "same", kernel=(4,), stride=(1,), dilation=(1,))
    ((1,), (2,))
    """
    if not isinstance(padding, str):
        before = per_axis(who, "padding", n, padding, 0)
        return before, before
    spans = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    none = (0,) * n
    if padding == "valid":
        return none, none
    if padding == "causal":
        return tuple(spans), none
    if padding != "same":
        raise ValueError(f"{who} expected padding 'valid', 'same', 'causal' or integers, got {padding!r}")
    if any(s != 1 for s in stride):
        raise ValueError(f"{who}: padding 'same' expected stride 1, got {tuple(stride)}")
    return tuple([s // 2 for s in spans]), tuple([s - s // 2 for s in spans])


def _shapes(n: int) -> str:
    axes = ", ".join("DHW"[-n:] if n > 1 else "L")
    return f"(B, C, {axes}) or (C, {axes})"


def _check_ranks(who: str, n: int, shape: tuple[int, ...], weight: tuple[int, ...]) -> None:
    if len(weight) != n + 2 or 0 in weight:
        raise ValueError(f"{who} expected a weight of {n + 2} axes with elements, got shape {weight}")
    if len(shape) not in (n + 1, n + 2):
        raise ValueError(f"{who} expected x of shape {_shapes(n)}, got {shape}")


def _check_groups(who: str, groups: int, channels: int, what: str) -> None:
    if not isinstance(groups, int | np.integer) or groups < 1 or channels % groups:
        raise ValueError(f"{who} expected groups that divide {channels} {what}, got {groups!r}")


def _check_out(who: str, out: Sequence[int], size: Sequence[int], kernel: Sequence[int]) -> None:
    if any(p < 1 for p in out):
        raise ValueError(
            f"{who}: an image of size {tuple(size)} under a kernel of {tuple(kernel)} gives a result of size"
            f" {tuple(max(p, 0) for p in out)}: expected at least 1 along each axis; pad more, or take a"
            " smaller kernel, dilation or stride"
        )


def _column(who: str, bias: Operand, channels: int, n: int) -> Value:
    """A bias (O) as it broadcasts against (B, O, *P)."""
    if shape_of(bias) != (channels,):
        raise ValueError(f"{who} expected a bias of shape ({channels},), got {shape_of(bias)}")
    return reshape(bias, (channels, *[1] * n))
