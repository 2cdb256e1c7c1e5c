"""Rows of the table of operations for convolution and pooling; `op_cases` says what a row is.

The reference is the definition: a sum over taps, written with padded copies and strided slices.
"""

import numpy as np

import autograd as ag
from autograd.ops.conv import ConvWeight, Geometry
from tests.cases.op_cases import distinct, normal, row


def correlation(x, w, c=0.0, stride=1, padding=0, dilation=1, groups=1):
    """Σ w[o, c, k] x[b, c, stride p + dilation k - padding] (+ c); padding is (before, behind)."""
    n = w.ndim - 2
    before, behind = padding if isinstance(padding, tuple) else (padding, padding)
    x = np.pad(x, [(0, 0), (0, 0), *[(before, behind)] * n])
    out = [(m - dilation * (k - 1) - 1) // stride + 1 for m, k in zip(x.shape[2:], w.shape[2:], strict=True)]
    x, w = (np.split(a, groups, axis) for a, axis in ((x, 1), (w, 0)))
    y = 0.0
    for tap in np.ndindex(*w[0].shape[2:]):
        at = tuple(
            slice(dilation * k, dilation * k + stride * (p - 1) + 1, stride)
            for k, p in zip(tap, out, strict=True)
        )
        parts = [
            np.einsum(
                "bc...,oc->bo...", a[(slice(None), slice(None), *at)], b[(slice(None), slice(None), *tap)]
            )
            for a, b in zip(x, w, strict=True)
        ]
        y = y + np.concatenate(parts, 1)
    return y + np.reshape(c, (-1, *[1] * n))


def transposed(z, w, c=0.0, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """Every element of z lays the weight, times itself, onto the result."""
    n = w.ndim - 2
    full = [stride * (m - 1) + dilation * (k - 1) + 1 for m, k in zip(z.shape[2:], w.shape[2:], strict=True)]
    y = np.zeros((z.shape[0], w.shape[1] * groups, *[m + output_padding for m in full]), z.dtype)
    per = z.shape[1] // groups
    for p in np.ndindex(*z.shape[2:]):
        for g in range(groups):
            stamp = np.einsum(
                "bi,io...->bo...", z[(slice(None), slice(g * per, g * per + per), *p)], w[g * per :][:per]
            )
            at = tuple(
                slice(stride * i, stride * i + dilation * (k - 1) + 1, dilation)
                for i, k in zip(p, w.shape[2:], strict=True)
            )
            y[(slice(None), slice(g * w.shape[1], (g + 1) * w.shape[1]), *at)] += stamp
    inner = tuple(slice(padding, m - padding) for m in y.shape[2:])
    return y[(slice(None), slice(None), *inner)] + np.reshape(c, (-1, *[1] * n))


def windows(x, n, kernel, stride, padding, fill):
    """x (..., *S) -> (..., *P, taps)."""
    x = np.pad(x, [(0, 0)] * (x.ndim - n) + [(padding, padding)] * n, constant_values=fill)
    view = np.lib.stride_tricks.sliding_window_view(x, (kernel,) * n, tuple(range(-n, 0)))
    view = view[(..., *[slice(None, None, stride)] * n, *[slice(None)] * n)]
    return view.reshape(*view.shape[:-n], kernel**n)


def in_torch(torch, name):
    return getattr(torch.nn.functional, name)


IMAGES = {1: (2, 4, 6), 2: (2, 4, 5, 4), 3: (1, 2, 4, 3, 3)}
for n, image in IMAGES.items():
    conv, adjoint = getattr(ag, f"conv{n}d"), getattr(ag, f"conv_transpose{n}d")
    C = image[1]
    for name, options in {
        "": {},
        "strided": {"stride": 2, "padding": 1},
        "dilated": {"dilation": 2, "padding": 2},
        "in groups": {"groups": 2, "padding": 1, "stride": 2},
    }.items():
        groups = options.get("groups", 1)
        inputs = (normal, image), (normal, (4, C // groups, *[2] * n)), (normal, (4,))
        row(f"conv{n}d {name}", lambda *xs, f=conv, o=options: f(*xs, **o),
            lambda *xs, o=options: correlation(*xs, **o), *inputs,
            torch=lambda t, *xs, n=n, o=options: in_torch(t, f"conv{n}d")(*xs, **o))  # fmt: skip
        inputs = (normal, image), (normal, (C, 2, *[2] * n)), (normal, (2 * groups,))
        row(f"conv_transpose{n}d {name}", lambda *xs, f=adjoint, o=options: f(*xs, **o),
            lambda *xs, o=options: transposed(*xs, **o), *inputs,
            torch=lambda t, *xs, n=n, o=options: in_torch(t, f"conv_transpose{n}d")(*xs, **o))  # fmt: skip
row("conv2d without bias, of one image", lambda x, w: ag.conv2d(x, w, padding="same"),
    lambda x, w: correlation(x[None], w, padding=1)[0], (normal, (2, 4, 3)), (normal, (3, 2, 3, 3)),
    torch=lambda t, x, w: t.nn.functional.conv2d(x, w, padding="same"))  # fmt: skip
row(
    "conv2d of no images",
    lambda x, w: ag.conv2d(x, w),
    correlation,
    (normal, (0, 2, 4, 3)),
    (normal, (3, 2, 2, 2)),
)
row("conv1d causal", lambda x, w: ag.conv1d(x, w, padding="causal", dilation=2),
    lambda x, w: correlation(x, w, padding=(4, 0), dilation=2),
    (normal, (2, 2, 5)), (normal, (3, 2, 3)))  # fmt: skip


def met(x, z):
    """Σ x[b, c, 2 p + k - 1] z[b, o, p] for three taps k."""
    x = np.pad(x, ((0, 0), (0, 0), (1, 1)))
    taps = [x[:, :, k : k + 2 * z.shape[2] - 1 : 2] for k in range(3)]
    return np.stack([np.einsum("bcp,bop->oc", tap, z) for tap in taps], -1)


row("gradient of a conv weight",
    lambda x, z: ConvWeight(Geometry((7,), (4,), (3,), (2,), (1,), (1,), 1))(x, z), met,
    (normal, (2, 3, 7)), (normal, (2, 2, 4)), also=(((0, 3, 7), (0, 2, 4)),))  # fmt: skip

for method in ("direct", "fft"):
    row(f"convolve {method}", lambda a, v, m=method: ag.convolve(a, v, method=m), np.convolve,
        (normal, (6,)), (normal, (3,)), also=(((3,), (6,)), ((1,), (4,))))  # fmt: skip
row("convolve, over two axes", ag.convolve,
    lambda a, v: sum(v[i, j] * np.pad(a, ((i, 1 - i), (j, 2 - j))) for i in range(2) for j in range(3)),
    (normal, (4, 3)), (normal, (2, 3)))  # fmt: skip
for mode in ("same", "valid"):
    row(f"convolve {mode}", lambda a, v, m=mode: ag.convolve(a, v, m),
        lambda a, v, m=mode: np.convolve(a, v, m), (normal, (6,)), (normal, (3,)),
        also=(((6,), (2,)), ((2,), (5,)), ((4,), (4,))))  # fmt: skip

for n in (1, 2):
    for k, stride, padding in [(2, 2, 0), (3, 2, 1), (2, 1, 1)]:
        image = (2, 3, 7, 6)[: n + 2]
        max_pool, avg_pool = getattr(ag, f"max_pool{n}d"), getattr(ag, f"avg_pool{n}d")
        settings = {"kernel_size": k, "stride": stride, "padding": padding}
        row(f"max_pool{n}d {k} {stride} {padding}",
            lambda x, f=max_pool, o=settings: f(x, **o),
            lambda x, n=n, k=k, s=stride, p=padding: windows(x, n, k, s, p, -np.inf).max(-1),
            (distinct, image), also=((image[1:],), ((0, *image[1:]),)),
            torch=lambda t, x, n=n, o=settings: in_torch(t, f"max_pool{n}d")(x, **o))  # fmt: skip
        row(f"avg_pool{n}d {k} {stride} {padding}",
            lambda x, f=avg_pool, o=settings: f(x, **o),
            lambda x, n=n, k=k, s=stride, p=padding: windows(x, n, k, s, p, 0.0).mean(-1),
            (normal, image), also=((image[1:],), ((0, *image[1:]),)),
            torch=lambda t, x, n=n, o=settings: in_torch(t, f"avg_pool{n}d")(x, **o))  # fmt: skip
