"""Starts Python in several processes."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def mpiexec(*command, ranks=2, limit=60, check=True, cwd=ROOT):
    """Run Python under mpiexec with one BLAS thread each: standard error and output, and the seconds.

    A test is skipped where there is no MPI. With ``check=False`` the command has to fail.
    """
    pytest.importorskip("mpi4py", reason="many processes need mpi4py and mpich, the extra mpi")
    beside = Path(sys.executable).with_name("mpiexec")  # of the wheel
    start = beside if beside.exists() else shutil.which("mpiexec")
    if start is None:
        pytest.skip("many processes need an mpiexec, as mpich has, of the extra mpi")
    python = [sys.executable, "-W", "ignore::RuntimeWarning"]  # of more processes than cores
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    begin = time.monotonic()
    done = subprocess.run(
        [start, "-n", str(ranks), *python, *map(str, command)],
        cwd=cwd,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path},
        timeout=limit,
        capture_output=True,
        text=True,
    )
    assert (done.returncode == 0) == check, done.stderr
    return done.stderr, done.stdout, time.monotonic() - begin
