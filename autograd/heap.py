"""Keeping freed memory for the next training step, instead of returning it to the system after each.

A training step allocates and frees hundreds of arrays. With its initial settings glibc's malloc asks the
system for every larger block anew, gives the top of the heap back whenever much of it is free, and takes it
again, page by page, in the next step: an eighth to a sixth of the time of an LSTM step. So its two
thresholds are raised on import. The price is that freed memory stays with the process, up to `KEEP`.

Set the environment variable AUTOGRAD_WARM_HEAP to another number of megabytes, or to 0 to leave malloc as
it is. Whoever has set one of glibc's own variables for this is not overruled; other allocators, and other
systems than Linux, are left alone.
"""

import ctypes
import os
import sys

KEEP = 256  # megabytes
LARGEST = 32 << 20  # bytes; glibc takes no larger blocks from the heap
OWN = "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>


def keep_freed_memory() -> None:
    """Make glibc's malloc keep what a training step frees, as far as AUTOGRAD_WARM_HEAP allows.

    Raises:
        ValueError: AUTOGRAD_WARM_HEAP is no number.
    """
    setting = os.environ.get("AUTOGRAD_WARM_HEAP", str(KEEP))
    if not setting.isdecimal():
        raise ValueError(f"AUTOGRAD_WARM_HEAP expected a number of megabytes, 0 for none, got {setting!r}")
    if sys.platform == "linux" and int(setting) and not any(name in os.environ for name in OWN):
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # musl has none
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGEST)
            mallopt(M_TRIM_THRESHOLD, min(int(setting) << 20, 2**31 - 1))
