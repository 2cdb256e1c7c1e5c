"""Which steps of a batch of sequences count: lengths and masks, checked. Nothing here knows of losses."""

import numpy as np

from autograd.extend import Array, Operand, Value, alike, as_array, to_host


def check_lengths(lengths: Operand, T: int, B: int) -> Array:
    """The lengths of the B rows of a batch as an array of integers from 0 to T, or an error."""
    n = to_host(as_array(lengths))
    if n.shape != (B,):
        raise ValueError(f"lengths expected shape ({B},), one per row of the batch, got {n.shape}")
    if B and n.dtype.kind not in "iu":
        raise TypeError(f"lengths expected integers, got {n.dtype}")
    if B and (n.min() < 0 or n.max() > T):
        raise ValueError(f"lengths expected numbers from 0 to T={T}, got {n.min()} to {n.max()}")
    return n.astype(np.intp, copy=False)


def steps_that_count(
    who: str,
    shape: tuple[int, ...],
    mask: Operand | None,
    lengths: Operand | None,
    batch_first: bool,
    like: Value,
) -> Array | None:
    """Bools over the first axes of an array of this shape, of like's type, from a mask and lengths; None if
    all count.

    Args:
        who: for error messages.
        mask: bools of ``shape``, or of its first axes.
        lengths: (B), for a shape (T, B, ...), or (B, T, ...) if batch_first.

    Raises:
        ValueError: a shape does not fit, or a length is out of range.
        TypeError: the mask is no bools, or the lengths no integers.
    """
    on = None
    if mask is not None:
        on = as_array(mask, like)
        if on.dtype != bool:
            raise TypeError(f"{who} expected a mask of bools, got {on.dtype}: use mask.astype(bool)")
        if on.shape != shape[: on.ndim]:
            raise ValueError(f"{who} expected a mask of shape {shape}, or of its first axes, got {on.shape}")
    if lengths is not None:
        if len(shape) < 2:
            raise ValueError(
                f"{who} expected sequences (T, B, ...) with lengths, got shape {shape}: use mask"
            )
        B, T = shape[:2] if batch_first else shape[1::-1]
        n = check_lengths(lengths, T, B)
        inside = np.arange(T) < n[:, None] if batch_first else np.arange(T)[:, None] < n
        inside = alike(inside, like)
        on = inside if on is None else over(on, 2) & over(inside, on.ndim)
    return on


def over(on: Array, ndim: int) -> Array:
    """``on`` with axes of length 1 appended up to ``ndim`` of them, to be broadcast over later axes."""
    return on.reshape(*on.shape, *[1] * (ndim - on.ndim))
