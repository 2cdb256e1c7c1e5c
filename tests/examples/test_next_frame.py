"""The example of next-frame prediction: its sequences, its baselines, and a short run from end to end."""

import math

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import nn
from autograd import Variable, grad
from examples import next_frame as example
from examples.shared.measure import number
from tests.examples.figures import assert_figures


@pytest.fixture(scope="module")
def digits():
    return example.load_digits()


def test_digits_are_real_and_none_is_in_both_parts(digits):
    training, test = digits
    assert training.shape == (1497, 8, 8) and test.shape == (300, 8, 8)
    assert min(training.min(), test.min()) == 0.0 and max(training.max(), test.max()) == 1.0
    both = {d.tobytes() for d in training} & {d.tobytes() for d in test}
    assert not both


def test_sequences_show_two_digits(rng, digits):
    frames = example.bounce(rng, digits[0], 5, 3, 20)
    assert frames.shape == (5, 3, 1, 20, 20) and frames.dtype == np.float32
    assert frames.min() == 0 and frames.max() <= 1
    apart = frames[0, 0, 0].sum()
    assert all(0.4 * apart < f.sum() <= 2.5 * apart for f in frames[:, 0, 0])
    assert np.any(frames[0] != frames[1])


def test_baselines():
    t = np.arange(4, dtype=float).reshape(4, 1, 1, 1, 1) / 4
    rising = np.broadcast_to(t, (4, 1, 1, 2, 2))
    assert np.array_equal(example.copy(rising), rising)
    assert np.allclose(example.extrapolate(rising)[1:], rising[1:] + 0.25)
    assert example.errors(example.extrapolate, rising).squared < 1e-9
    assert math.isclose(example.errors(example.copy, rising).squared, 1 / 16, rel_tol=1e-6)
    half = example.errors(lambda x: np.full_like(x, 0.5), rising)
    assert math.isclose(half.cross_entropy, math.log(2))


def test_doubt_helps_the_baselines(rng, digits):
    frames = example.bounce(rng, digits[0], 5, 20, 20)
    doubt = example.best_doubt(example.copy, frames)
    best = example.errors(example.copy, frames, doubt).cross_entropy
    assert best < 0.5 * example.errors(example.copy, frames).cross_entropy
    assert all(best <= example.errors(example.copy, frames, d).cross_entropy for d in (1e-3, 0.01, 0.3))


def test_cross_entropy_is_that_of_probabilities(rng):
    z, y = rng.standard_normal((3, 4)), rng.random((3, 4))
    p = 1 / (1 + np.exp(-z))
    expected = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))
    assert math.isclose(example.cross_entropy(Variable(z), y).item(), expected)


def test_model_sees_no_later_frame(rng):
    nn.manual_seed(0)
    model = example.NextFrame(4).eval()
    x = Variable(rng.random((4, 1, 1, 8, 8)).astype(np.float32))
    scores, _ = model(x)
    assert scores.shape == x.shape
    reads = np.abs(grad(scores[1].sum(), x).data).sum(axis=(1, 2, 3, 4))
    assert np.all(reads[:2] > 0) and np.all(reads[2:] == 0)


def test_dreaming_goes_on_from_the_state(rng):
    nn.manual_seed(0)
    model = example.NextFrame(4).eval()
    x = rng.random((3, 2, 1, 8, 8)).astype(np.float32)
    dreamt = example.dream(model, x, 2)
    first = example.predictor(model)(x)[-1:]
    assert np.allclose(dreamt[0], first[0], atol=1e-6)
    again = example.predictor(model)(np.concatenate([x, first]))[-1]
    assert np.allclose(dreamt[1], again, atol=1e-6)


def test_a_quick_run_beats_both_baselines_and_writes_its_files(tmp_path, capsys):
    from PIL import Image

    result = example.main(["--quick", "--steps", "45", "--out", str(tmp_path / "new" / "folder")])
    assert_figures(result)
    for column in result.values():
        assert column["ConvLSTM"] < min(column["last frame again"], column["last change again"])
    said = capsys.readouterr().out
    assert all(number(error) in said for column in result.values() for error in column.values())
    folder = tmp_path / "new" / "folder"
    assert sorted(p.name for p in folder.iterdir()) == ["frames.gif", "frames.png", "graph.svg", "model.npz"]
    with Image.open(folder / "frames.gif") as film:
        assert film.n_frames == 2 * example.QUICK.length - 1
    with Image.open(folder / "frames.png") as sheet:
        assert np.asarray(sheet.convert("L")).std() > 20
    assert "<svg" in (folder / "graph.svg").read_text(encoding="utf-8")[:2000]
    saved = nn.load(folder / "model.npz")
    example.NextFrame(example.QUICK.hidden).load_state_dict(saved)


def test_bad_input(capsys):
    with pytest.raises(SystemExit):
        example.main(["--steps", "0"])
    assert "--steps expected at least 1, got 0" in capsys.readouterr().err
