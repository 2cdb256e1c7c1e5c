"""The examples of seeing and hearing: each runs to its end, and its data and baselines are what they say."""

import itertools

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import nn
import optim
from autograd import Variable, grad, jacobian, no_grad
from examples import captions, digit_rows, tones, video
from examples.next_frame import load_digits
from examples.shared import ctc
from examples.shared import digits as scans
from nn.functional import cross_entropy, ctc_loss
from nn.generate import greedy
from tests.examples.figures import assert_figures

EXAMPLES = {captions: "svg", digit_rows: "svg", tones: "svg", video: "png"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_runs_to_its_end(example, tmp_path, capsys):
    assert_figures(example.main(["--quick", "--out", str(tmp_path / "new" / "folder")]))
    name = example.__name__.rpartition(".")[2]
    picture = tmp_path / "new" / "folder" / f"{name}.{EXAMPLES[example]}"
    assert f"wrote {picture}" in capsys.readouterr().out
    assert 5_000 < picture.stat().st_size < 70_000
    assert "<svg" in (tmp_path / "new" / "folder" / "graph.svg").read_text(encoding="utf-8")
    assert f"python -m examples.{name} " in example.__doc__


# --- digits ---------------------------------------------------------------------------------------


def test_no_digit_is_in_both_parts():
    images, digits, unseen, which = scans.labelled_digits()
    assert images.shape == (1497, 8, 8) and unseen.shape == (300, 8, 8)
    assert images.dtype == np.float32 and images.min() == 0 and images.max() == 1
    assert not {d.tobytes() for d in images} & {d.tobytes() for d in unseen}
    assert set(digits) == set(which) == set(range(10))


@pytest.mark.parametrize("pixels", [1, 2, 8])
def test_an_answer_knows_the_rows_above_it_and_no_other(pixels, rng):
    nn.manual_seed(0)
    x = Variable(rng.random((1, 8, 8)).astype(np.float32))
    linear = digit_rows.Rows([nn.Linear(8 * (k + 1), 10) for k in range(8)])
    for model in (digit_rows.Reader(nn.GRU(pixels, 4), pixels), linear):
        for k in (0, 3, 7):
            seen = np.abs(grad(model(x)[k].sum(), x).data[0]).sum(1) > 0
            assert seen.tolist() == [row <= k for row in range(8)]


def test_a_short_training_reads_digits():
    nn.manual_seed(0)
    images, digits, unseen, y = scans.labelled_digits()
    model = digit_rows.Reader(nn.GRU(8, 32), 8)
    digit_rows.train(model, images, digits, 200, noise=0.1)
    with no_grad():
        right = np.mean(model(unseen).data.argmax(-1) == y, axis=1)
    assert right[7] > 0.6 and right[7] > right[0] + 0.2


# --- captions -------------------------------------------------------------------------------------


def picture(*rows):
    return np.array([[c == "#" for c in row] for row in rows], np.float32)


def test_holes_are_counted():
    assert scans.holes(picture("###", "#.#", "###")) == 1
    assert scans.holes(picture("###", "#.#", "###", "#.#", "###")) == 2
    assert scans.holes(picture("###", "#..", "###")) == 0  # open to the border
    assert scans.holes(picture("##..", "#.#.", "###.", "....")) == 0  # and through a corner
    assert scans.holes(np.zeros((3, 3))) == 0


def test_lean_is_a_slope_wherever_the_digit_stands():
    stroke = np.eye(8, dtype=np.float32)
    assert scans.lean(stroke[::-1]) == pytest.approx(1)
    assert scans.lean(stroke) == pytest.approx(-1)
    assert scans.lean(np.pad(stroke[:5, :5][::-1], ((1, 2), (3, 0)))) == pytest.approx(1)
    assert scans.lean(np.eye(8)[[4] * 8]) == pytest.approx(0)


def test_captions_say_what_is_true():
    images, digits, *_ = scans.labelled_digits()
    sentences, usual = scans.captions(images, digits)
    for word, share in (("thin", 0.25), ("bold", 0.25), ("left", 0.25), ("right", 0.25)):
        assert np.mean([word in s.split() for s in sentences]) == pytest.approx(share, abs=0.01)
    for image, digit, sentence in zip(images, digits, sentences, strict=True):
        words = sentence.split()
        assert scans.DIGITS[digit] in words and (words[0] == "an") == (words[1] == "eight")
        assert ("hole" in words, "holes" in words) == (scans.holes(image) == 1, scans.holes(image) >= 2)
    assert scans.captions(images[:9], digits[:9], usual)[0] == sentences[:9]


def test_a_picture_is_enough_to_write_its_caption():
    nn.manual_seed(0)
    images, digits, *_ = scans.labelled_digits()
    images, told = images[:5], scans.captions(images, digits)[0][:5]
    vocabulary = nn.data.Vocabulary.build(told)
    words = nn.pad_sequence([vocabulary.encode(t, bos=True, eos=True) for t in told])
    model = captions.Captioner(len(vocabulary), 32)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(150):
        scores, _ = model(words[:-1], model.look(images))
        y = words[1:].reshape(-1)
        optimizer.zero_grad()
        cross_entropy(scores.reshape(len(y), -1), y, vocabulary.PAD).backward()
        optimizer.step()
    start = np.full((1, 5), vocabulary.BOS)
    written = greedy(model, start, 12, eos=vocabulary.EOS, state=model.look(images)).tokens
    assert len({*told}) > 2 and [vocabulary.decode(w) for w in written.T] == told


def test_scores_of_captions():
    scores = captions.score(["a thin six", "an eight", "a one"], ["a thin six", "a bold eight", "a two"])
    parts = {"all": 1 / 3, "digit": 2 / 3, "ink": 2 / 3, "holes": 1, "lean": 1}
    assert scores == pytest.approx(parts)


# --- tones ----------------------------------------------------------------------------------------


def test_paths_collapse_to_labels():
    assert ctc.collapse([0, 3, 3, 0, 3, 1]) == [3, 3, 1]
    assert ctc.collapse([2, 2, 2]) == [2] and ctc.collapse([0, 0]) == ctc.collapse([]) == []


def test_edits_are_counted():
    assert ctc.edits([], [1, 2]) == ctc.edits([1, 2], []) == 2
    assert ctc.edits(list("kitten"), list("sitting")) == 3
    assert ctc.edits([1, 2, 3], [2, 3, 4]) == 2
    assert ctc.error_rate([[1], [2, 3]], [[1, 1], [2, 3]]) == 0.25


def test_a_wide_beam_finds_the_likeliest_labels(rng):
    for _ in range(10):
        z = 2 * rng.normal(size=(4, 3))
        log_p = z - np.log(np.exp(z).sum(1, keepdims=True))
        each = [y for n in range(5) for y in itertools.product((1, 2), repeat=n)]
        losses = [ctc_loss(log_p, np.array(y, int), 4, len(y), reduction="sum") for y in each]
        assert np.exp(-np.array(losses)).sum() == pytest.approx(1)
        assert tuple(ctc.beam_search(log_p, 100)) == each[int(np.argmin(losses))]
    unsure = np.log([[0.6, 0.4]] * 2)  # the likeliest path is blank, but three paths say 1
    assert ctc.collapse(unsure.argmax(1)) == [] and ctc.beam_search(unsure, 4) == [1]


def test_sounds_are_what_is_said(rng):
    sounds = [tones.speak(rng) for _ in range(60)]
    for spectra, labels, heard in sounds:
        assert spectra.shape == (len(heard), tones.FRAME // 2 + 1)
        assert ctc.collapse(heard) == labels
    x, at = (np.concatenate([sound[k] for sound in sounds]) for k in (0, 2))
    hertz = np.fft.rfftfreq(tones.FRAME, 1 / tones.RATE)
    for k, formants in enumerate(tones.HERTZ, 1):
        loudest = hertz[x[at == k].mean(0).argmax()]
        assert min(abs(np.log(loudest / f)) for f in formants) < np.log(1.25)
        assert x[at == k].mean() > x[at == 0].mean()


def test_the_baseline_hears_clean_templates():
    means = np.eye(4, dtype=np.float32)
    assert tones.nearest(means[[0, 1, 1, 1, 2, 0, 3, 3]], means, 1) == [1, 2, 3]
    assert tones.nearest(means[[0, 1, 1, 1, 2, 0, 3, 3]], means, 2) == [1, 3]
    assert tones.nearest(means[[0, 1, 0]], means, 2) == []


# --- video ----------------------------------------------------------------------------------------


def test_one_digit_goes_its_way_and_the_other_one_jumps(rng):
    point = np.zeros((1, 8, 8), np.float32)
    point[0, 2, 5] = 9.0  # brighter than snow
    x, way = video.clips(40, point, rng)
    assert x.shape == (video.FRAMES, 40, 1, video.SIZE, video.SIZE) and x.dtype == np.float32
    assert set(way) == set(range(8))
    jumps = 0
    for b, k in enumerate(way):
        seen = [{*map(tuple, np.argwhere(frame == 9).tolist())} for frame in x[:, b, 0]]
        paths = [
            [tuple(((start + t * video.WAYS[k]) % video.SIZE).tolist()) for t in range(video.FRAMES)]
            for start in np.array(sorted(seen[0]))
        ]
        assert any(all(at in s for at, s in zip(path, seen, strict=True)) for path in paths)
        jumps += sum(map(len, seen))
    assert jumps > 1.9 * 40 * video.FRAMES


def test_the_rule_is_right_where_nothing_else_moves(rng):
    digit = np.pad(load_digits()[0][0], ((0, 12), (0, 12)))
    start = rng.integers(video.SIZE, size=2)
    x = [[np.roll(digit, start + t * way, (0, 1))[None] for way in video.WAYS] for t in range(video.FRAMES)]
    assert video.rule(np.array(x)).tolist() == list(range(8))


def test_the_answer_depends_on_the_order_of_frames(rng):
    nn.manual_seed(0)
    x, _ = video.clips(2, load_digits()[0], rng)
    model = video.Watcher(4).eval()
    with no_grad():
        scores, reverse = model(x).data, model(x[::-1]).data
    assert scores.shape == (2, 8) and np.abs(scores - reverse).max() > 1e-4


# --- how far back a WaveNet sees ------------------------------------------------------------------


@pytest.mark.parametrize("layers, stacks, kernel", [(1, 1, 2), (2, 1, 2), (4, 1, 2), (2, 2, 2), (3, 1, 3)])
def test_wavenets_receptive_field_is_read_off_the_graph(layers, stacks, kernel, rng):
    nn.manual_seed(0)
    net = nn.WaveNet(1, 1, 8, layers=layers, stacks=stacks, kernel_size=kernel, dtype=np.float64)
    field = 2**layers if (stacks, kernel) == (1, 2) else 1 + stacks * (kernel - 1) * (2**layers - 1)
    assert net.receptive_field == field
    T = field + 3
    J = jacobian(lambda x: net(x[None, None])[0, 0], rng.normal(size=T)).data  # every output, every input
    t, s = np.indices((T, T))
    np.testing.assert_array_equal(J != 0, (s <= t) & (s > t - field))
