"""Values and gradients of every operation that PyTorch has are those that it gave when it was asked."""

from pathlib import Path

import numpy as np
import pytest

from autograd import Variable, grad
from tests.cases.op_cases import CASES
from tests.golden.make_torch_golden import seed_of

GOLDEN = Path(__file__).parents[1] / "golden"

with np.load(GOLDEN / "torch_ops.npz") as file:
    NAMES, ENDS, VALUES = file["names"].tolist(), file["ends"], file["values"]
STORED = dict(zip(NAMES, np.split(VALUES, ENDS[:-1]), strict=True))
ROWS = [case for case in CASES if case.torch is not None]


def test_all_rows_are_stored():
    missing = {case.name for case in ROWS} ^ STORED.keys()
    assert not missing, f"run python -m tests.golden.make_torch_golden, with PyTorch: {sorted(missing)}"


@pytest.mark.parametrize("case", ROWS, ids=[case.name for case in ROWS])
def test_value_and_gradients(case):
    rest = STORED[case.name]

    def taken(shape):
        nonlocal rest
        n = int(np.prod(shape))
        array, rest = rest[:n].reshape(shape), rest[n:]
        return array

    xs = [Variable(taken(shape).copy()) for shape in case.shapes]
    ys = case.f(*xs)
    ys = ys if isinstance(ys, tuple) else (ys,)
    for y in ys:
        np.testing.assert_allclose(y.data, taken(y.shape), rtol=1e-10, atol=1e-12)
    for g, x in zip(grad(ys, xs, gradients=[seed_of(y.shape) for y in ys]), xs, strict=True):
        np.testing.assert_allclose(g.data, taken(x.shape), rtol=1e-10, atol=1e-12)
    assert not rest.size
