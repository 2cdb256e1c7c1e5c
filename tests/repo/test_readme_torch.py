"""What README and docs/from_pytorch.md tell those who come from PyTorch, compared with PyTorch."""

import re
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
import nn
from autograd import Parameter, Variable

torch = pytest.importorskip("torch", reason="compares with PyTorch")


@pytest.fixture
def pair(rng):
    """The same numbers here and there."""
    x = rng.normal(size=(2, 3, 4))
    return Variable(x), torch.tensor(x)


def same(ours, theirs):
    np.testing.assert_allclose(ours.data, theirs.numpy(), rtol=1e-12)


def test_order_of_axes(pair):
    x, t = pair
    same(x.transpose(), t.permute(2, 1, 0))
    same(x.transpose(2, 0, 1), t.permute(2, 0, 1))
    same(x.swapaxes(0, 1), t.transpose(0, 1))


def test_split_counts_parts_and_says_where_to_cut(pair):
    x, t = pair
    for ours, theirs in (
        (ag.split(x, 2, axis=-1), torch.split(t, 2, dim=-1)),  # two parts; parts of length two
        (ag.split(x, 4, axis=-1), torch.split(t, 1, dim=-1)),
        (ag.split(x, [1, 3], axis=-1), torch.split(t, [1, 2, 1], dim=-1)),
    ):
        for a, b in zip(ours, theirs, strict=True):
            same(a, b)


def test_repeat_and_tile(pair):
    x, t = pair
    same(ag.repeat(x, 3, axis=1), t.repeat_interleave(3, dim=1))
    same(ag.tile(x, (1, 3, 1)), t.repeat(1, 3, 1))


def test_pad_begins_with_the_first_axis(pair):
    x, t = pair
    same(ag.pad(x, ((0, 0), (1, 0), (2, 3))), torch.nn.functional.pad(t, (2, 3, 1, 0, 0, 0)))


def test_var_and_std_divide_by_n(pair):
    x, t = pair
    same(ag.var(x), t.var(correction=0))
    same(ag.std(x, axis=1), t.std(dim=1, correction=0))
    same(ag.var(x, axis=1, ddof=1), t.var(dim=1))


def test_max_gives_values_and_shares_the_gradient(pair):
    x, t = pair
    same(ag.max(x, 1), t.max(dim=1).values)
    assert np.array_equal(x.argmax(1), t.max(dim=1).indices.numpy())
    ties = Variable(np.ones((1, 2)))
    ag.max(ties, 1).sum().backward()
    assert ties.grad.data.tolist() == [[0.5, 0.5]]


def test_what_tracks_and_in_which_dtype():
    assert Variable([1.0]).requires_grad and not Variable([1.0], requires_grad=False).requires_grad
    assert Variable([1.0]).dtype == np.float64
    assert {p.dtype for p in nn.LSTM(2, 3).parameters()} == {np.dtype("f")}


def test_in_place_operators_make_a_new_variable(pair):
    x, t = pair
    before, y = x, t
    x += 1.0
    y += 1.0
    assert x is not before and y is t
    p = Parameter(np.ones(2))
    p.data += 1.0
    assert p.data.tolist() == [2.0, 2.0]


PAGE = (Path(__file__).parents[2] / "docs" / "from_pytorch.md").read_text(encoding="utf-8")
TABLE = PAGE[PAGE.index("\n| in PyTorch |") : PAGE.index("\nOf the rest")]
ROWS = [row.split(" | ") for row in re.findall(r"^\| (.*`.*) \|$", TABLE, re.M)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_rows_of_the_page(row, rng):
    """Both halves: what PyTorch's expression is here, and what is called so here."""
    x, w = rng.normal(size=(4, 3, 2)), rng.normal(size=(2, 5))
    found = {
        "torch": torch, "F": torch.nn.functional, "t": torch.tensor(x), "w": torch.tensor(w), "len": len,
        "np": np, "ag": ag, "Variable": Variable,
    }  # fmt: skip
    theirs, ours, also_ours, also_theirs = [re.findall("`(.*?)`", cell)[-1] for cell in row]
    for a, b in ((theirs, ours), (also_theirs, also_ours)):
        expected, got = eval(a, found), eval(b, {**found, "x": Variable(x), "w": w})
        pairs = zip(expected, got, strict=True) if isinstance(expected, tuple) else [(expected, got)]
        for e, g in pairs:
            e, g = (
                np.asarray(v.detach() if isinstance(v, torch.Tensor) else getattr(v, "data", v))
                for v in (e, g)
            )
            assert e.dtype == g.dtype and e.shape == g.shape, (a, b)
            np.testing.assert_allclose(g, e, rtol=1e-12)
    tracking = eval(also_ours, {**found, "x": Variable(x), "w": w})
    assert isinstance(tracking, int | list | tuple) or tracking.requires_grad


def test_no_row_was_overlooked():
    assert len(ROWS) == TABLE.count("\n| `") >= 15
