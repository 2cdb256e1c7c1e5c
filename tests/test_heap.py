"""Importing `autograd` keeps freed memory with the process, unless the environment says otherwise."""

import os
import platform
import subprocess
import sys

import pytest

from autograd.heap import OWN, keep_freed_memory

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
    settings = {
        "kept": {"AUTOGRAD_WARM_HEAP": "100"},
        "off": {"AUTOGRAD_WARM_HEAP": "0"},
        "own": {"AUTOGRAD_WARM_HEAP": "100", "MALLOC_TRIM_THRESHOLD_": "131072"},
    }
    counts = {}
    for name, setting in settings.items():
        environment = {k: v for k, v in os.environ.items() if k not in OWN} | setting
        run = subprocess.run([sys.executable, "-c", STEP], env=environment, capture_output=True, check=True)
        counts[name] = int(run.stdout)
    assert counts["kept"] < 100 < 1000 < min(counts["off"], counts["own"])


def test_a_setting_that_is_no_number_is_refused(monkeypatch):
    monkeypatch.setenv("AUTOGRAD_WARM_HEAP", "yes")
    with pytest.raises(ValueError, match="number of megabytes, 0 for none, got 'yes'"):
        keep_freed_memory()
