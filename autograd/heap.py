"""Keeping freed memory for the next training step, instead of returning it to the system after each.

A training step allocates and frees hundreds of arrays. With its initial settings glibc's malloc gives the
top of the heap back whenever much of it is free, and takes it again, page by page, in the next step: a sixth
of the time of an LSTM step of (T, B, I, H) = (100, 32, 256, 256). But its thresholds adapt: when a block of
up to 32 MB that came straight from the system is freed, blocks of that size come from the heap from then
on, and twice that size may stay in it. So one such block, never written to, is allocated and freed on
import. The price is that up to 64 MB of freed memory stay with the process.

Set the environment variable AUTOGRAD_WARM_HEAP to 0 to leave malloc as it is. Other allocators ignore all
of this.
"""

import os

import numpy as np

LARGEST = (32 << 20) - 8192  # bytes; beyond 32 MB glibc does not adapt any more


def keep_freed_memory() -> None:
    """Make glibc's malloc keep what a training step frees, unless AUTOGRAD_WARM_HEAP=0 forbids it."""
    if os.environ.get("AUTOGRAD_WARM_HEAP", "1") != "0":
        np.empty(LARGEST, np.uint8)  # freed at once
