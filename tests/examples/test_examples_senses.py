"""The examples of seeing and hearing: each runs to its end, and its data and baselines are what they say."""

import wave

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")

import nn
import optim
from autograd import Variable, grad, jacobian, no_grad
from examples import captions, digit_rows, speech, tones, video
from examples.next_frame import load_digits
from examples.shared import ctc, sounds
from examples.shared import digits as scans
from nn.functional import cross_entropy
from nn.generate import greedy
from tests.examples.figures import assert_figures

EXAMPLES = {captions: "svg", digit_rows: "svg", speech: "svg", tones: "svg", video: "png"}


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


def test_sounds_are_what_is_said(rng):
    said = [sounds.speak(rng) for _ in range(60)]
    for spectra, labels, heard in said:
        assert spectra.shape == (len(heard), sounds.FRAME // 2 + 1)
        assert ctc.collapse(heard) == labels
    x, at = (np.concatenate([sound[k] for sound in said]) for k in (0, 2))
    hertz = np.fft.rfftfreq(sounds.FRAME, 1 / sounds.RATE)
    for k, formants in enumerate(sounds.HERTZ, 1):
        loudest = hertz[x[at == k].mean(0).argmax()]
        assert min(abs(np.log(loudest / f)) for f in formants) < np.log(1.25)
        assert x[at == k].mean() > x[at == 0].mean()


def test_the_baseline_hears_clean_templates():
    means = np.eye(4, dtype=np.float32)
    assert tones.nearest(means[[0, 1, 1, 1, 2, 0, 3, 3]], means, 1) == [1, 2, 3]
    assert tones.nearest(means[[0, 1, 1, 1, 2, 0, 3, 3]], means, 2) == [1, 3]
    assert tones.nearest(means[[0, 1, 0]], means, 2) == []


# --- speech ---------------------------------------------------------------------------------------


def test_tracks_become_two_sine_waves(tmp_path):
    tracks = np.tile([0.5, 1.5, 0.8], (40, 1))
    tracks[20:, 2] = 0
    sound = sounds.synthesise(tracks)
    assert len(sound) == 40 * sounds.HOP
    spectrum = np.abs(np.fft.rfft(sound[: 18 * sounds.HOP]))
    hertz = np.fft.rfftfreq(18 * sounds.HOP, 1 / sounds.RATE)
    assert sorted(hertz[spectrum.argsort()[-2:]]) == pytest.approx([500, 1500], abs=6)
    assert 1.1 < np.abs(sound[: 18 * sounds.HOP]).max() <= 1.6 and not sound[21 * sounds.HOP :].any()
    sounds.write_wav(sound, tmp_path / "new" / "sound.wav")
    with wave.open(str(tmp_path / "new" / "sound.wav")) as file:
        assert file.getparams()[:4] == (1, 2, sounds.RATE, len(sound))
        samples = np.frombuffer(file.readframes(len(sound)), "<i2")
    np.testing.assert_allclose(samples / 32767, sound / np.abs(sound).max(), atol=1e-4)


def test_a_text_is_recited_letter_by_letter(rng):
    for text in sounds.compose(30, False, rng):
        tracks, frames = sounds.recite(text, rng)
        assert len(frames) == len("".join(text)) and frames.sum() == len(tracks)
        assert len(sounds.vowels(text)) == sum(part in sounds.SPELLED for part in text) == len(text) // 2
        at = 0
        for part in text:
            count = frames[at : at + len(part)].sum()
            middle = tracks[frames[:at].sum() :][count - 2]
            at += len(part)
            if part in sounds.SPELLED:
                formants = sounds.HERTZ[sounds.VOWELS.index(sounds.SPELLED[part])]
                np.testing.assert_allclose(1000 * middle[:2], formants, rtol=0.05)
            assert (middle[2] > 0.6) == (part in sounds.SPELLED)


def test_texts_of_the_test_have_syllables_that_training_has_not(rng):
    def syllables(text):
        return set(zip(text[:-1:2], text[1::2], strict=True))

    known = set().union(*map(syllables, sounds.compose(300, False, rng)))
    assert all(syllables(text) - known for text in sounds.compose(50, True, rng))
    assert len(known) > 30


def test_recited_vowels_are_recognised_by_their_spectra(rng):
    """By the baseline of tones, whose means come from chords of other lengths, pitches and noise."""
    spoken = [sounds.speak(rng) for _ in range(150)]
    x, at = (np.concatenate([sound[k] for sound in spoken]) for k in (0, 2))
    means = np.stack([x[at == k].mean(0) for k in range(len(sounds.VOWELS) + 1)])
    texts = sounds.compose(30, False, rng)
    waves = [np.pad(sounds.synthesise(sounds.recite(text, rng)[0]), sounds.FRAME) for text in texts]
    heard = [tones.nearest(sounds.spectra_of(w + 0.3 * rng.standard_normal(len(w))), means, 3) for w in waves]
    assert ctc.error_rate(heard, [*map(sounds.vowels, texts)]) < 0.2


def test_each_letter_is_repeated_for_its_frames(rng):
    nn.manual_seed(0)
    model, texts = speech.Speaker(8), sounds.compose(3, False, rng)
    letters, lengths = sounds.encode(texts)
    frames = nn.pad_sequence([sounds.recite(text, rng)[1] for text in texts])
    tracks, predicted, total = model(letters, lengths, frames)
    assert total.tolist() == frames.sum(0).tolist() and tracks.shape == (total.max(), 3, 3)
    for b, n in enumerate(lengths):  # the others in the batch change nothing
        alone, last, _ = model(letters[:n, b : b + 1], lengths[b : b + 1], frames[:n, b : b + 1])
        np.testing.assert_allclose(tracks.data[: total[b], b], alone.data[:, 0], atol=1e-5)
        np.testing.assert_allclose(predicted.data[:n, b], last.data[:, 0], atol=1e-5)
    assert model(letters, lengths)[2].tolist() == [
        speech.whole(predicted)[:n, b].sum() for b, n in enumerate(lengths)
    ]


@pytest.mark.full
def test_a_short_training_learns_how_letters_sound(rng):
    nn.manual_seed(0)
    said = [(text, *sounds.recite(text, rng)) for text in sounds.compose(100, False, rng)]
    model = speech.Speaker(64)
    speech.train(model, said, 50, rng)
    test = sounds.compose(20, True, rng)
    off = {"network": 0.0, "by letter": 0.0}
    for text, (parts, frames) in zip(test, speech.by_letter(said, test), strict=True):
        truth, n = sounds.recite(text, rng)
        loud = truth[:, 2] > 0.5
        drawn = model(*sounds.encode([text]), n[:, None])[0].data[:, 0]
        steady = np.split(parts, np.cumsum(frames)[:-1])
        mean = np.concatenate([np.tile(p[:1], (k, 1)) for p, k in zip(steady, n, strict=True)])
        for name, tracks in {"network": drawn, "by letter": mean}.items():
            off[name] += float(np.abs(tracks - truth)[loud, :2].mean()) / len(test)
    assert off["network"] < 0.85 * off["by letter"]


# --- video ----------------------------------------------------------------------------------------


def test_one_digit_goes_its_way_and_the_other_one_jumps(rng):
    point = np.zeros((1, 8, 8), np.float32)
    point[0, 2, 5] = 9.0  # brighter than snow
    x, way = video.clips(160, point, rng)
    assert x.shape == (video.FRAMES, 160, 1, video.SIZE, video.SIZE) and x.dtype == np.float32
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
    assert jumps > 1.9 * 160 * video.FRAMES


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
    t, s = np.indices((T, T))
    reached = np.zeros((T, T), bool)  # every output, every input
    for x in rng.normal(size=(5, T)):  # for one alone, all units of a relu may be off
        reached |= jacobian(lambda x: net(x[None, None])[0, 0], x).data != 0
    np.testing.assert_array_equal(reached, (s <= t) & (s > t - field))
