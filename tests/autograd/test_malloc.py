"""Importing the library leaves the process as it was; `keep_freed_memory` makes malloc keep what is freed."""

import os
import platform
import subprocess
import sys

import pytest

from autograd.malloc import OWN

GLIBC = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has these thresholds"
)

MEMORY = """
import ctypes, resource
import numpy as np
import autograd, nn, optim
{call}

def megabytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

before = megabytes()
large, small = [], []
for _ in range(20):
    large.append(np.ones(20_000_000, np.int8))
    small.append(np.ones(200_000, np.int8))
del large
print(megabytes() - before)
ctypes.CDLL(None).malloc_trim(0)
print(megabytes() - before)
"""

PROCESS = """
import decimal, gc, locale, logging, os, random, signal, sys, threading, warnings
import graphviz
import numpy as np

def state():
    legacy = np.random.get_state()
    return {
        "signals": [signal.getsignal(s) for s in signal.valid_signals()],
        "warnings": list(warnings.filters),
        "NumPy": (np.geterr(), np.geterrcall(), np.get_printoptions(), np.getbufsize()),
        "random": (random.getstate(), legacy[1].tolist(), legacy[2:]),
        "garbage collector": (gc.isenabled(), gc.get_threshold(), gc.get_debug(), list(gc.callbacks)),
        "hooks": (sys.excepthook, sys.displayhook, sys.unraisablehook, threading.excepthook, sys.gettrace()),
        "limits": (sys.getrecursionlimit(), sys.getswitchinterval()),
        "paths": (list(sys.path), list(sys.meta_path), list(sys.path_hooks), os.getcwd()),
        "environment": dict(os.environ),
        "threads": threading.enumerate(),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimal": repr(decimal.getcontext()),
        "files": len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0,
    }

before = state()
import autograd, nn, optim
import autograd.bptt, autograd.graph
after = state()
assert list(before) == [name for name in before if before[name] == after[name]], (before, after)
"""


def run(code, **settings):
    environment = {k: v for k, v in os.environ.items() if k not in OWN} | settings
    process = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert process.returncode == 0, process.stderr
    return [float(line) for line in process.stdout.split()]


def test_importing_changes_nothing_in_the_process():
    run(PROCESS)


@GLIBC
def test_freed_memory_is_given_back_unless_asked_to_keep_it():
    """Of 20 times 20 MB and 200 kB with the large ones freed."""
    call = "autograd.keep_freed_memory()"
    imported, _ = run(MEMORY.format(call=""))
    kept, trimmed = run(MEMORY.format(call=call))
    overruled, _ = run(MEMORY.format(call=call), MALLOC_MMAP_THRESHOLD_="131072")
    assert max(imported, trimmed, overruled) < 30 < 380 < kept
