"""The example about brackets: its text, its measurements on models of known answers, and a short run."""

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")

import nn
from autograd import Variable
from examples import brackets as example
from tests.examples.figures import assert_figures


def test_runs_to_its_end_and_draws(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert_figures(example.main(["--quick"]))
    assert b"<svg" in (tmp_path / "runs/brackets/brackets.svg").read_bytes()
    assert "<svg" in (tmp_path / "runs/brackets/graph.svg").read_text(encoding="utf-8")


def test_every_closing_bracket_is_that_of_the_newest_open_one(rng):
    """Taking out "()", "[]" and "{}" again and again leaves opening brackets alone."""
    for _ in range(50):
        read = example.text(rng)
        assert len(read) == example.LENGTH and set(read) <= set(example.ALPHABET)
        left = "".join(c for c in read if c not in "abcde")
        for _ in range(example.LENGTH):
            for pair in ("()", "[]", "{}"):
                left = left.replace(pair, "")
        assert set(left) <= set(example.OPENING) and len(left) <= example.DEEPEST


def test_pairs_and_depths_by_hand():
    assert example.pairs("a(b[c])[") == {5: 3, 6: 1}
    assert list(example.depths("a(b[c])[")) == [0, 1, 1, 2, 2, 1, 0, 1]


class Known:
    """Closes the bracket that ``position`` names, whatever else it reads; sure, but not beyond all doubt."""

    def __init__(self, position):
        self.position = position

    def __call__(self, x):
        seen = Variable(np.eye(len(example.ALPHABET))[x])
        kinds = len(example.OPENING)
        first = example.ALPHABET.index(example.OPENING[0])
        told = 3.0 * seen[self.position, :, first : first + kinds]
        zeros = np.zeros((x.shape[1], len(example.ALPHABET) - kinds))
        scores = np.concatenate([zeros, told], axis=-1)
        return np.stack([scores] * len(x)), np.zeros((*x.shape, 1)), seen


def test_gradients_and_exchanges_point_where_a_known_model_looks():
    read = "a(b[c]d)e"
    assert example.closed_rightly(Known(3), [read]) == 0.5  # right about ], wrong about )
    norms = example.looked_back(Known(3), read)[0].norms
    assert norms.shape == (2, 8) and (np.delete(norms, 3, axis=1) == 0).all() and (norms[:, 3] > 0).all()
    found = example.exchanged(Known(3), read)
    P = np.exp(3.0) / (np.exp(3.0) + 2)
    assert found[0, 3] == pytest.approx(np.log(P) - np.log((1 - P) / 2))  # of ], when [ was another
    assert found[1, 3] < 1e-12 and (found[:, 1] == 0).all()  # ) could only win; ( is not looked at
    assert example.pointing(found, read) == [True, False]


def test_the_best_unit_is_found():
    class Counting:
        def __call__(self, x):
            depth = np.stack(
                [example.depths("".join(example.ALPHABET[i] for i in row)) for row in x.T], axis=1
            )
            return None, Variable(np.stack([np.cos(x * 7.0), -2.0 * depth], axis=-1)), None

    rng = np.random.default_rng(0)
    assert example.counting(Counting(), [example.text(rng) for _ in range(3)]) == pytest.approx(1.0)


def test_the_gates_of_the_model_are_found():
    nn.manual_seed(0)
    model = example.Model(8)
    figure = example.draw(model, "a(b[c]d)e(a)")
    top, middle, below = figure.axes[:3]
    assert top.images[0].get_array().shape == (8, 12)
    assert middle.images[0].get_array().shape == below.images[0].get_array().shape == (3, 11)
    assert [t.get_text() for t in middle.get_yticklabels()] == ["] at 5", ") at 7", ") at 11"]
