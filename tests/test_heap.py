"""Importing `autograd` keeps freed memory with the process, unless the environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from autograd.heap import keep_freed_memory

STEP = """
import resource
import numpy as np
import autograd

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(50_000, np.float32) for _ in range(100)]  # 20 MB, as a training step would
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults(), faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc has these thresholds")
def test_freed_memory_is_kept_unless_forbidden():
    counts = {}
    for value in "0", "100":
        environment = {**os.environ, "AUTOGRAD_WARM_HEAP": value}
        run = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, check=True)
        counts[value] = int(run.stdout)
    assert counts["100"] < 100 < 1000 < counts["0"]


def test_a_setting_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("AUTOGRAD_WARM_HEAP", "yes")
    with pytest.raises(ValueError, match="number of megabytes, 0 for none, got 'yes'"):
        keep_freed_memory()
