"""Loaders: what they give, that they resume exactly; vocabularies; the synthetic tasks; video."""

import json

import numpy as np
import pytest

import nn
import optim
from autograd import sigmoid
from examples.shared import tasks
from nn import data
from nn.data import BucketLoader, DataLoader, StreamLoader, Vocabulary, characters, words
from nn.functional import binary_cross_entropy_with_logits


def flat(batches):
    """Batches of any structure as nested lists, to compare."""
    return [
        [np.asarray(p).tolist() for p in b] if isinstance(b, tuple) else np.asarray(b).tolist()
        for b in batches
    ]


# --- DataLoader


def test_batches_of_an_array_in_order():
    x = np.arange(14).reshape(7, 2)
    loader = DataLoader(x, 3)
    batches = list(loader)
    assert [len(b) for b in batches] == [3, 3, 1] and len(loader) == 3
    np.testing.assert_array_equal(np.concatenate(batches), x)
    batches[0][:] = -1
    assert x.min() == 0  # a batch is a copy
    assert [len(b) for b in DataLoader(x, 3, drop_last=True)] == [3, 3]
    assert list(DataLoader(x[:0], 3)) == list(DataLoader(x[:2], 3, drop_last=True)) == []


def test_shuffling_takes_every_sample_once_and_anew_each_epoch():
    x = np.arange(50)
    loader = DataLoader((x, x * 10), 8, shuffle=True, rng=0)
    epochs = [[np.concatenate(part) for part in zip(*loader, strict=True)] for _ in range(2)]
    for a, b in epochs:
        assert sorted(a) == list(x) and (b == 10 * a).all()
    assert not np.array_equal(epochs[0][0], epochs[1][0])
    assert flat(loader) != flat(DataLoader((x, x * 10), 8, shuffle=True, rng=1))


def test_any_sequence_and_any_way_to_collate():
    samples = [(np.full(2, i), i, float(i)) for i in range(5)]
    x, i, f = next(iter(DataLoader(samples, 4)))
    assert x.shape == (4, 2) and i.tolist() == [0, 1, 2, 3] and f.dtype == np.float64
    assert list(DataLoader(["a", "b", "c"], 2, collate_fn="".join)) == ["ab", "c"]
    assert flat(DataLoader(range(5), 2)) == [[0, 1], [2, 3], [4]]


def test_arrays_are_collated_by_the_function_that_is_given():
    x, y = np.arange(10).reshape(5, 2), np.arange(5)

    def total(samples):
        return sum(samples)

    def pairs(samples):
        return [(int(a.sum()), int(b)) for a, b in samples]

    assert [b.tolist() for b in DataLoader(x, 2, collate_fn=total)] == [[2, 4], [10, 12], [8, 9]]
    assert list(DataLoader((x, y), 3, collate_fn=pairs)) == [[(1, 0), (5, 1), (9, 2)], [(13, 3), (17, 4)]]
    assert [type(b) for b in DataLoader(x, 5, collate_fn=list)] == [list]
    for plain, collated in zip(
        DataLoader((x, y), 2), DataLoader((x, y), 2, collate_fn=data.stacked), strict=True
    ):
        for a, b in zip(plain, collated, strict=True):
            assert a.dtype == b.dtype and a.tolist() == b.tolist()


def test_samples_that_are_dicts_become_a_dict_of_batches():
    samples = [{"x": np.full(2, k), "y": (k, {"z": 0.5 * k})} for k in range(3)]
    batch = next(iter(DataLoader(samples, 3)))
    assert list(batch) == ["x", "y"] and batch["x"].tolist() == [[0, 0], [1, 1], [2, 2]]
    assert batch["y"][0].tolist() == [0, 1, 2] and batch["y"][1]["z"].tolist() == [0.0, 0.5, 1.0]


@pytest.mark.parametrize(
    "lengths, sizes",
    [([7, 3], [7, 3]), ([0.7, 0.3], [7, 3]), ([0.5, 0.25, 0.25], [6, 2, 2]), ([1.0], [10]),
     ([10, 0], [10, 0]), ([1 / 3] * 3, [4, 3, 3])],
)  # fmt: skip
def test_a_random_split_has_every_sample_once(lengths, sizes):
    x, y = np.arange(10), np.arange(10) ** 2
    parts = data.random_split((x, y), lengths, rng=1)
    assert [len(a) for a, _ in parts] == sizes and all((b == a**2).all() for a, b in parts)
    assert sorted(np.concatenate([a for a, _ in parts]).tolist()) == list(range(10))
    assert [a.tolist() for a in data.random_split(x, lengths, rng=1)] == [a.tolist() for a, _ in parts]
    samples = [(k, {"y": k * k}) for k in range(10)]
    for part, (a, _) in zip(data.random_split(samples, lengths, rng=1), parts, strict=True):
        assert [k for k, _ in part] == a.tolist() and len(part) == len(a) and list(part[1:]) == list(part)[1:]
        if len(part):
            k, rest = next(iter(DataLoader(part, len(part))))
            assert k.tolist() == a.tolist() and (rest["y"] == k * k).all()
    if len(sizes) > 1 and sizes[1]:
        assert parts[0][0].tolist() != sorted(parts[0][0].tolist())  # at random
        assert data.random_split(x, lengths, rng=2)[0].tolist() != parts[0][0].tolist()


def test_random_splits_that_do_not_add_up():
    for lengths in ([5, 4], [0.5, 0.4], [11, -1], [2.5, 7.5], [], [0.5, 0.5, 0.5, -0.5]):
        with pytest.raises(ValueError, match="random_split expected lengths that add up to 10, or fractions"):
            data.random_split(np.arange(10), lengths)
    with pytest.raises(ValueError, match=r"random_split expected arrays of one length, got \[10, 9\]"):
        data.random_split((np.arange(10), np.arange(9)), [5, 5])


@pytest.mark.parametrize(
    "samples, error, words",
    [
        ([{"x": 1}, {"x": 1, "y": 2}], ValueError, r"dicts of one form, got \['x'\] and \['x', 'y'\]"),
        ([{"x": 1}, 2], TypeError, "samples of one kind, got dict, int"),
        ([(1, 2), 3], TypeError, "samples of one kind, got int, tuple"),
        ([None, None], TypeError, "got NoneType: pass a collate_fn"),
        ([object(), object()], TypeError, "got object: pass a collate_fn"),
        ([{1, 2}, {3}], TypeError, "got set: pass a collate_fn"),
    ],
)
def test_samples_that_make_no_batch(samples, error, words):
    """They came as arrays of objects."""
    with pytest.raises(error, match=words):
        next(iter(DataLoader(samples, 2)))


def test_the_default_seed_comes_from_the_default_generator():
    def order():
        nn.manual_seed(5)
        return flat(DataLoader(np.arange(30), 7, shuffle=True))

    assert order() == order()


LOADERS = {
    "array": lambda rng: DataLoader(np.arange(23), 4, shuffle=True, rng=rng),
    "in order": lambda rng: DataLoader(np.arange(23), 4, rng=rng),
    "drop last": lambda rng: DataLoader((np.arange(23), np.ones(23)), 4, True, True, rng=rng),
    "buckets": lambda rng: BucketLoader([np.arange(n % 7) for n in range(23)], 4, True, pool=2, rng=rng),
    "stream": lambda rng: StreamLoader(np.arange(100), 4, 5),
}


@pytest.mark.parametrize("kind", LOADERS)
def test_resumes_exactly_after_every_batch(kind, tmp_path):
    loader = LOADERS[kind](3)
    whole, states = [], [loader.state_dict()]
    for _ in range(3):
        for batch in loader:
            whole.append(batch)
            states.append(loader.state_dict())
    whole = flat(whole)
    for k, state in enumerate(states):
        nn.save(state, tmp_path / "s.npz")
        resumed = LOADERS[kind](99)
        resumed.load_state_dict(nn.load(tmp_path / "s.npz"))
        assert resumed.state_dict() == state
        rest = []
        while len(rest) < len(whole) - k:
            rest += flat(resumed)
        assert rest == whole[k:]


def test_leaving_an_epoch_early_begins_a_new_one():
    loader = DataLoader(np.arange(20), 4, shuffle=True, rng=0)
    for _ in loader:
        break
    assert sorted(np.concatenate(list(loader))) == list(range(20))


@pytest.mark.parametrize("damage", [
    {"position": -1}, {"position": 7}, {"position": 1.0}, {"position": None}, {"rng": {}}, {"rng": None},
    {"rng": {"bit_generator": "MT19937", "state": 3}}, {"more": 1},
])  # fmt: skip
def test_a_wrong_state_is_refused_and_changes_nothing(damage):
    loader = LOADERS["array"](3)
    iterator = iter(loader)
    next(iterator)
    before = loader.state_dict()
    with pytest.raises(ValueError, match="DataLoader"):
        loader.load_state_dict({**before, **damage})
    assert loader.state_dict() == before


def test_errors_of_loaders():
    for call, words_ in (
        (lambda: DataLoader(np.ones(3), 0), "batch_size"),
        (lambda: DataLoader((np.ones(3), np.ones(4)), 2), "one length"),
        (lambda: BucketLoader([np.ones(())], 2), "arrays"),
        (lambda: BucketLoader([np.ones(1)], 2, pool=0), "pool"),
        (lambda: BucketLoader([(np.ones(1), 1)], 2, padding_value=[0]), "2 padding values"),
        (lambda: StreamLoader(np.ones(4), 4, 2), "at least 5 elements"),
        (lambda: StreamLoader(np.ones(9), 4, 0), "window"),
    ):
        with pytest.raises(ValueError, match=words_):
            call()


# --- buckets


@pytest.mark.parametrize("shuffle", [False, True])
def test_buckets_pad_sequences_of_similar_length(shuffle, rng):
    lengths = rng.integers(1, 60, size=200)
    samples = [(np.full((n, 2), i, np.float32), np.full(n, i), i) for i, n in enumerate(lengths)]
    loader = BucketLoader(samples, 8, shuffle, padding_value=(0, -100, 0), pool=10, rng=0)
    seen, cells, order = [], 0, []
    for x, steps, label, n in loader:
        T, B = steps.shape
        assert x.shape == (T, B, 2) and x.dtype == np.float32 and n.max() == T and T >= 1
        assert steps.dtype == np.int64
        for b in range(B):
            assert n[b] == lengths[label[b]]
            assert (x[: n[b], b] == label[b]).all() and (x[n[b] :, b] == 0).all()
            assert (steps[: n[b], b] == label[b]).all() and (steps[n[b] :, b] == -100).all()
        seen += label.tolist()
        order.append(T)
        cells += T * B
    assert sorted(seen) == list(range(200))
    assert cells < 1.15 * lengths.sum()  # random batches need about 1.9 times the cells
    assert (order == sorted(order)) == (not shuffle)


def test_buckets_of_bare_sequences_and_empty_ones():
    x, n = next(iter(BucketLoader([np.arange(3), np.arange(0), np.arange(1)], 3)))
    assert x.T.tolist() == [[0, 0, 0], [0, 0, 0], [0, 1, 2]] and n.tolist() == [0, 1, 3]
    assert list(BucketLoader([], 3)) == []


# --- streams


@pytest.mark.parametrize("N, B, k", [(100, 4, 5), (101, 4, 7), (12, 3, 50), (5, 4, 1)])
def test_streams_continue_from_window_to_window(N, B, k):
    s = np.arange(N)
    windows = list(StreamLoader(s, B, k))
    x, y = (np.concatenate(part) for part in zip(*windows, strict=True))
    n = (N - 1) // B
    assert len(windows) == len(StreamLoader(s, B, k)) and x.shape == y.shape == (n, B)
    np.testing.assert_array_equal(y, x + 1)
    np.testing.assert_array_equal(x.T.reshape(-1), s[: n * B])
    assert all(len(w[0]) == k for w in StreamLoader(s, B, k, drop_last=True))


def test_streams_of_vectors(rng):
    s = rng.normal(size=(21, 3))
    x, y = next(iter(StreamLoader(s, 2, 4)))
    np.testing.assert_array_equal(x[:, 1], s[10:14])
    np.testing.assert_array_equal(y[:, 0], s[1:5])


# --- vocabulary

TEXT = "the cat, the dog and the cat's tail: don't!"


def test_tokenizers():
    assert words(TEXT) == ["the", "cat", ",", "the", "dog", "and", "the", "cat's", "tail", ":", "don't", "!"]
    assert words("Größe_3 und 漢字!") == ["Größe_3", "und", "漢字", "!"]
    assert "".join(characters(TEXT)) == TEXT


def test_numbers_follow_frequency():
    v = Vocabulary.build(TEXT)
    assert v.tokens[:4] == ["<pad>", "<unk>", "<bos>", "<eos>"] and v.tokens[4] == "the"
    assert v.tokens[5:] == sorted(v.tokens[5:]) and len(v) == 4 + 10
    assert Vocabulary.build(["b a", "a c"]).tokens[4:] == ["a", "b", "c"]
    assert Vocabulary.build(TEXT, max_size=6).tokens[4:] == ["the", "!"]
    assert Vocabulary.build(TEXT, min_count=2).tokens[4:] == ["the"]
    assert Vocabulary.build("aab", "character").tokens[4:] == ["a", "b"]


@pytest.mark.parametrize("tokenizer", ["word", "character"])
def test_encoding_there_and_back(tokenizer):
    v = Vocabulary.build(TEXT, tokenizer)
    numbers = v.encode(TEXT, bos=True, eos=True)
    assert numbers[0] == v.BOS and numbers[-1] == v.EOS and numbers.dtype == np.int64
    assert v.decode(np.append(numbers, [v.PAD, 7])) == (
        TEXT if tokenizer == "character" else " ".join(words(TEXT))
    )
    assert v.decode([v.BOS, v.UNK], specials=True).replace(" ", "") == "<bos><unk>"
    assert v.encode("zebra 漢").tolist()[-1] == v.UNK and len(v.encode("")) == 0
    assert ("the" in v) == (tokenizer == "word")
    with pytest.raises(IndexError, match="decode"):
        v.decode([len(v)])


def test_a_vocabulary_survives_a_file(tmp_path):
    v = Vocabulary.build(TEXT + ' "漢\n\u2028', "character")
    v.save(tmp_path / "v.json")
    again = Vocabulary.load(tmp_path / "v.json")
    assert again.tokens == v.tokens and again.tokenizer == v.tokenizer
    assert [p.name for p in tmp_path.iterdir()] == ["v.json"]


@pytest.mark.parametrize("content", [
    b"", b"{", b"[]", b"\xff\xfe", b'{"tokens": 3, "tokenizer": "word"}',
    json.dumps({"tokens": ["a"], "tokenizer": "word"}).encode(),
    json.dumps({"tokens": [*Vocabulary.SPECIALS, "a", "a"], "tokenizer": "word"}).encode(),
    json.dumps({"tokens": [*Vocabulary.SPECIALS, 3], "tokenizer": "word"}).encode(),
    json.dumps({"tokens": [*Vocabulary.SPECIALS, "a"], "tokenizer": "os.system"}).encode(),
    b"[" * 100_000,
])  # fmt: skip
def test_a_damaged_vocabulary_is_refused(content, tmp_path):
    (tmp_path / "v.json").write_bytes(content)
    with pytest.raises(ValueError, match="v.json"):
        Vocabulary.load(tmp_path / "v.json")


def test_errors_of_vocabularies(tmp_path):
    for call, error in (
        (lambda: Vocabulary(["a", "a"]), ValueError),
        (lambda: Vocabulary(["<pad>"]), ValueError),
        (lambda: Vocabulary([3]), TypeError),
        (lambda: Vocabulary([], "sentence"), ValueError),
        (lambda: Vocabulary.build("a", max_size=3), ValueError),
        (lambda: Vocabulary.load(tmp_path / "none.json"), OSError),
    ):
        with pytest.raises(error):
            call()


# --- tasks


def test_adding(rng):
    x, y = tasks.adding(20, 500, rng)
    assert x.shape == (20, 500, 2) and y.shape == (500, 1) and x.dtype == y.dtype == np.float32
    np.testing.assert_allclose((x[:, :, 0] * x[:, :, 1]).sum(0), y[:, 0], rtol=1e-6)
    assert (x[:10, :, 1].sum(0) == 1).all() and (x[10:, :, 1].sum(0) == 1).all()
    assert np.mean((y - 1) ** 2) == pytest.approx(1 / 6, abs=0.03)


def test_copy(rng):
    x, y = tasks.copy(30, 4, rng, symbols=5, length=7)
    assert x.shape == y.shape == (44, 4)
    np.testing.assert_array_equal(x[:7], y[-7:])
    assert x[:7].min() >= 1 and x[:7].max() <= 5 and not y[:-7].any()
    assert (x[36] == 6).all() and not x[7:36].any() and not x[37:].any()


def test_parity(rng):
    x, y = tasks.parity(50, 6, rng)
    assert x.shape == (50, 6, 1) and y.shape == (50, 6)
    state = np.zeros(6, int)
    for t in range(50):
        state ^= x[t, :, 0].astype(int)
        np.testing.assert_array_equal(y[t], state)


def test_agreement(rng):
    x, y = tasks.agreement(12, 300, rng, words=3)
    assert x.shape == (12, 300) and set(y) == {0, 1} and set(x[1:].ravel()) == {2, 3, 4}
    np.testing.assert_array_equal(x[0], y)


def test_sine(rng):
    x, y = tasks.sine(60, 5, rng)
    assert x.shape == y.shape == (60, 5, 1) and x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(x[1:], y[:-1])
    a = (x[2:] + x[:-2]) / (2 * x[1:-1])  # x(t+1) + x(t-1) = 2 cos(ω) x(t)
    clear = np.abs(x[1:-1]) > 0.3
    assert np.ptp(np.where(clear, a, np.nanmedian(a, 0)), axis=0).max() < 1e-3
    noisy, clean = tasks.sine(60, 5, rng, noise=0.2)
    assert np.std(noisy[1:] - clean[:-1]) == pytest.approx(0.2, rel=0.2)


@pytest.mark.parametrize("call", [
    lambda r: tasks.adding(1, 2, r), lambda r: tasks.copy(0, 2, r), lambda r: tasks.agreement(3, 2, r, 0),
])  # fmt: skip
def test_errors_of_tasks(call, rng):
    with pytest.raises(ValueError, match="needs"):
        call(rng)


# --- video --------------------------------------------------------------------------------------


def test_squares_are_whole_and_bounce_off_the_walls(rng):
    clips = data.moving_squares(40, 6, size=12, side=3, rng=rng)
    assert clips.shape == (40, 6, 1, 12, 12) and clips.dtype == np.float32
    rows, columns = clips[:, :, 0].max(3), clips[:, :, 0].max(2)  # (T, B, 12)
    for shadow in (rows, columns):
        np.testing.assert_array_equal(shadow.sum(-1), 3)
        place = shadow.argmax(-1)  # (T, B), of the upper or left edge
        np.testing.assert_array_equal(clips.sum((2, 3, 4)), 9)
        assert place.min() == 0 and place.max() == 9
        steps, straight = np.diff(place, axis=0), (place > 2) & (place < 7)
        assert set(np.unique(steps)) <= {-2, -1, 0, 1, 2} and np.abs(steps).max(0).min() >= 1
        inside = straight[:-2] & straight[1:-1] & straight[2:]
        assert inside.any() and (steps[1:] == steps[:-1])[inside].all()


def test_bouncing_images_keep_their_pixels_and_the_brighter_one_shows(rng):
    images = rng.random((3, 2, 4, 4), np.float32)
    clips = data.bouncing(images, 8, 9, np.random.default_rng(5))
    places = data.bouncing_points(8, 6, 5, np.random.default_rng(5)).reshape(8, 3, 2, 2)
    for t, b in np.ndindex(8, 3):
        layers = np.zeros((2, 9, 9), np.float32)
        for layer, image, (r, c) in zip(layers, images[b], places[t, b], strict=True):
            layer[r : r + 4, c : c + 4] = image
        np.testing.assert_array_equal(clips[t, b, 0], layers.max(0))


@pytest.mark.parametrize("shape", [(2, 4, 4), (2, 1, 4, 3), (2, 1, 9, 9)])
def test_images_that_cannot_bounce(shape):
    with pytest.raises(ValueError, match="bouncing expected images"):
        data.bouncing(np.ones(shape), 3, 9)


def test_a_convolutional_lstm_predicts_squares_better_than_the_last_frame(rng):
    layer, head = nn.ConvLSTM2d(1, 8, 5), nn.Conv2d(8, 1, 3, padding="same")
    optimizer = optim.Adam([*layer.parameters(), *head.parameters()], lr=0.02)

    def scores(frames):
        y, _ = layer(frames)
        return head(y.reshape(-1, *y.shape[2:])).reshape(frames.shape)

    for _ in range(40):
        clips = data.moving_squares(8, 8, size=8, side=3, rng=rng)
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(scores(clips[:-1]), clips[1:]).backward()
        optimizer.step()
    clips = data.moving_squares(8, 20, size=8, side=3, rng=rng)
    wrong = (sigmoid(scores(clips[:-1])).data - clips[1:])[1:]
    copied = (clips[:-1] - clips[1:])[1:]
    assert np.mean(wrong**2) < 0.7 * np.mean(copied**2)
