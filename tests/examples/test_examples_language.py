"""The examples on language, genes, music and dates: they run, and their data are what they say."""

import itertools
import re
from datetime import datetime

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("mido")

import mido

import nn
from examples import chars_or_words, dates, dna, entities, music, sentiment, word_lm
from nn.generate import greedy
from tests.examples.figures import assert_figures

EXAMPLES = {word_lm: None, entities: None, dna: "dna.svg", music: "music.svg", dates: "dates.svg"}


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.__name__)
def test_runs_to_its_end(example, capsys, tmp_path):
    picture = EXAMPLES[example]
    assert_figures(example.main(["--quick", "--out", str(tmp_path)]))
    assert picture is None or (tmp_path / picture).stat().st_size > 1000
    assert "<svg" in (tmp_path / "graph.svg").read_text(encoding="utf-8")


# --- word_lm --------------------------------------------------------------------------------------


def test_all_strings_and_what_is_longer_have_a_probability_of_one(rng):
    nn.manual_seed(0)
    V, L, start, stop = 4, 3, 2, 3
    rows = [np.array([start, *rng.integers(3, size=4), stop]) for _ in range(5)]
    for model in [word_lm.WordLM(V, 5), word_lm.counted(rows, V, 0.1, True)]:
        ended = [[*s, stop] for n in range(L) for s in itertools.product(range(3), repeat=n)]
        longer = [list(s) for s in itertools.product(range(3), repeat=L)]
        strings = [np.array([start, *s]) for s in ended + longer]
        p = np.exp(word_lm.log_p(model, strings))
        assert p.sum() == pytest.approx(1, abs=1e-5)
        assert 0.01 < p[: len(ended)].sum() < 0.99


def test_a_sentence_has_the_product_of_the_probabilities_of_its_words():
    nn.manual_seed(0)
    model, row = word_lm.WordLM(6, 5), np.array([2, 4, 5, 4, 3])
    steps, state = 0.0, None
    for word, following in itertools.pairwise(row):
        scores, state = model(np.array([[word]]), state)
        z = scores.data[0, 0]
        steps += z[following] - np.log(np.exp(z).sum())
    others = [row, np.array([2, 3])]  # a shorter sentence beside it, padded
    assert word_lm.log_p(model, others)[0] == pytest.approx(steps, abs=1e-5)


def test_the_baselines_count():
    rows = [np.array(row) for row in ([2, 0, 1, 3], [2, 0, 0, 3])]
    p = word_lm.counted(rows, 4, 0.5, True)(np.array([0, 2, 1]), None)[0]
    np.testing.assert_allclose(np.exp(p[0]), np.array([1.5, 1.5, 0.5, 1.5]) / 5)  # after 0: 0, 1, 3
    np.testing.assert_allclose(np.exp(p[1:]).sum(-1), 1)
    p = word_lm.counted(rows, 4, 1.0, False)(np.array([0, 2, 1]), None)[0]
    np.testing.assert_allclose(np.exp(p), np.tile(np.array([4, 2, 1, 3]) / 10, (3, 1)))


def test_every_sentence_has_one_word_that_sounds_like_another(rng):
    for _ in range(200):
        text = word_lm.sentence(rng)
        found = [word for word in text.split() if word in word_lm.ALIKE]
        assert len(found) == 1 and word_lm.swapped(text) != text
        assert word_lm.swapped(word_lm.swapped(text)) == text
        for pair, verbs in word_lm.VERBS.items():  # and it makes sense
            for noun, own in zip(pair, verbs, strict=True):
                assert "and pear" in text or noun not in found or set(own.split()) & set(text.split())


# --- chars_or_words -------------------------------------------------------------------------------


def test_characters_and_words_are_weighed(capsys, tmp_path):
    figures = chars_or_words.main(["--quick", "--out", str(tmp_path)])
    assert_figures(figures)
    assert (tmp_path / "chars_or_words.svg").stat().st_size > 1000
    assert "<svg" in (tmp_path / "graph.svg").read_text(encoding="utf-8")[:2000]
    assert figures["steps"]["characters"] > 3 * figures["steps"]["words"]
    sizes = [p["words"] / p["characters"] for p in (figures["vocabulary"], figures["new names"])]
    assert sizes[0] > 1.5 and 0.1 < sizes[1] < 10


def test_more_words_stand_before_the_word_that_a_verb_decides(rng):
    text = "the cook mended the last pair at home"
    longer = chars_or_words.farther(text, 3, rng).split()
    assert longer[:5] == text.split()[:5] and longer[-3:] == ["pair", "at", "home"]
    assert len(longer) == 11 and set(longer[5:8]) <= set(word_lm.WHICH)
    assert chars_or_words.farther(text, 0, rng) == text


def test_new_names_are_in_no_sentence_of_training(rng):
    texts = chars_or_words.sentences(60, False, [0, 1, 2], rng)
    assert len(set(texts)) == 60 and not any(chars_or_words.UNSEEN & set(t.split()) for t in texts)
    assert all(chars_or_words.UNSEEN & set(t.split()) for t in chars_or_words.sentences(20, True, [0], rng))
    again = chars_or_words.sentences(60, False, [0, 1, 2], np.random.default_rng(0), but=set(texts))
    assert not set(again) & set(texts)


def test_unknown_words_are_spelled_by_the_frequency_of_letters():
    words = nn.data.Vocabulary.build(["ab a"])  # letters a, b, space: 1/2, 1/4, 1/4
    bits = {"a": 1, "b": 2, " ": 2}
    assert chars_or_words.spelling(["ab a"], ["ab bb a", "aab"], words) == pytest.approx(
        sum(bits[c] for c in "bb aab ")
    )


# --- sentiment ------------------------------------------------------------------------------------


def judged(text):
    """What a sentence says, read by rules."""
    opinions = []
    for clause in re.split(r" although | but | and |(?<=\w) the (?=\w+ was)", text.removeprefix("i think ")):
        words = clause.split()
        if good := set(words) & set(sentiment.PRAISE):
            opinions.append(1)
        elif set(words) & set(sentiment.BLAME):
            opinions.append(0)
        assert len(good) <= 1
        if re.search(r"\b(not|never|far from|anything)\b|anything$", clause):
            opinions[-1] = 1 - opinions[-1]
    assert len(opinions) < 2 or (opinions[0] == opinions[1]) == (" and in the end " in text)
    return opinions[0] if " although " in text else opinions[-1]


@pytest.mark.parametrize("kind", sentiment.KINDS)
def test_labels_are_what_the_sentences_say(kind, rng):
    two, negated = sentiment.KINDS[kind]
    for _ in range(200):
        text, liked = sentiment.sentence(two, negated, rng)
        text = text.replace("anything but", "anything")  # a "but" that joins nothing
        assert judged(text) == liked, text
        assert len(re.findall(r"\b(?:not|never|far from|anything)\b", text)) == negated


def test_a_second_of_training_beats_guessing(capsys, tmp_path):
    figures = sentiment.main(["--quick", "--out", str(tmp_path)])
    assert_figures(figures)
    assert (tmp_path / "sentiment.svg").stat().st_size > 1000
    assert "<svg" in (tmp_path / "graph.svg").read_text(encoding="utf-8")
    guessed = figures["one opinion"]["always liked"]
    assert figures["one opinion"]["GRU"] > max(guessed, 1 - guessed) + 0.1


def test_no_held_out_sentence_is_trained_on(rng):
    def texts(held_out):
        x, lengths, _ = sentiment.batch(300, "", held_out, rng)
        return {tuple(column[:n]) for column, n in zip(x.T, lengths, strict=True)}

    assert not texts(True) & texts(False)


# --- entities -------------------------------------------------------------------------------------


def test_names_are_labelled_and_never_known(rng):
    for _ in range(100):
        words, labels = entities.sentence(rng, True)
        assert len(words) == len(labels)
        assert all(word[0].isupper() and word.lower() not in entities.WORDS or not label
                   for word, label in zip(words, labels, strict=True))  # fmt: skip
        assert all(word.lower() in entities.WORDS or word[0].isupper() for word in words)


def test_held_out_names_are_no_training_names(rng):
    def names(held_out):
        said = [entities.sentence(rng, held_out) for _ in range(300)]
        return {word for words, labels in said for word, k in zip(words, labels, strict=True) if k}

    assert len(names(True)) > 50 and not names(True) & names(False)


def test_names_are_found_whole():
    labels = np.array([[1, 0], [1, 1], [0, 2], [1, 2]])
    assert entities.spans(labels, 1) == {(0, 0, 2), (0, 3, 4), (1, 1, 2)}
    assert entities.spans(labels, 2) == {(1, 2, 4)}
    assert entities.spans(labels, 3) == set()
    assert entities.f1({1, 2, 3}, {2, 3, 4, 5, 6}) == pytest.approx(2 * (2 / 3) * (2 / 5) / (2 / 3 + 2 / 5))


@pytest.mark.parametrize("both", [False, True])
def test_only_a_bidirectional_tagger_reads_on(both):
    nn.manual_seed(0)
    model = entities.Tagger(4, both)
    one, other = (model(*entities.encode([text.split()])).data[0, 0]
                  for text in ("Teddy was a president", "Teddy bears are on"))  # fmt: skip
    assert np.allclose(one, other) != both


@pytest.mark.full
@pytest.mark.parametrize("both", [False, True])
def test_whoever_reads_on_finds_names_never_seen(both):
    nn.manual_seed(0)
    model = entities.Tagger(32 if both else 52, both)
    entities.train(model, 130, "tagger")
    words, right = entities.batch(200, True, np.random.default_rng(2))
    found = model(*words).data.argmax(-1) * (np.arange(len(right))[:, None] < words[2])
    scores = [entities.f1(entities.spans(found, k), entities.spans(right, k)) for k in (1, 2, 3)]
    assert min(scores) > 0.95 if both else max(scores) < 0.95


# --- dna ------------------------------------------------------------------------------------------


def test_genes_start_and_stop_in_frame(rng):
    def by_hand(s):
        labels, at = [0] * len(s), 0
        while at < len(s):
            stops = [k for k in range(at + 3, len(s) - 2, 3) if s[k : k + 3] in ("TAA", "TAG", "TGA")]
            if s[at : at + 3] == "ATG" and stops:
                labels[at : stops[0] + 3] = [1] * (stops[0] + 3 - at)
                at = stops[0] + 3
            else:
                at += 1
        return labels

    assert dna.inside("AGCCCCTGTGAGGAACTAG").sum() == 0  # no start
    assert dna.inside("CATGCCCTAGC").tolist() == [0, *[1] * 9, 0]
    assert dna.inside("CATGCCTAGC").sum() == 0  # a stop, but in another frame
    x, y = dna.batch(60, 200, rng)
    for column, labels in zip(x.T, y.T, strict=True):
        sequence = "".join(dna.BASES[k // 4 % 4] for k in column)
        assert labels.tolist() == by_hand(sequence)
        np.testing.assert_array_equal(dna.triplets(sequence), column)


def test_labellers_are_of_one_size():
    sizes = [sum(p.size for p in m.parameters()) for m in (dna.Labeller(48, False), dna.Labeller(32, True))]
    assert max(sizes) / min(sizes) < 1.05


@pytest.mark.full
@pytest.mark.parametrize("both", [False, True])
def test_whoever_reads_on_knows_if_a_gene_stops(both):
    nn.manual_seed(0)
    model = dna.Labeller(32 if both else 48, both)
    dna.train(model, 15, 150, "labeller")
    x, y = dna.batch(15, 300, np.random.default_rng(1))
    score = dna.f1(model(x).data > 0, y)
    assert dna.f1(y >= 0, y) + 0.1 < score  # better than to say that all is a gene
    assert score > 0.85 if both else score < 0.75


# --- music ----------------------------------------------------------------------------------------


def test_songs_keep_the_rules(rng):
    for _ in range(100):
        tune = music.song(rng)
        starts = music.quavers(tune)
        assert starts[-1] == 64 and set(range(0, 64, 8)) <= set(starts) and tune[-1] == "c4"
        bars = [music.bar(tune, k) for k in range(8)]
        assert bars[0] == bars[2] == bars[6] and bars[3] == bars[7] and sum(bars, []) == tune
        assert set(tune) <= set(music.NOTES)


def test_a_tune_can_be_read_back_from_its_file(tmp_path):
    tune = ["e2", "G1", "c'3", "c4"]
    music.write_midi(tune, tmp_path / "tune.mid")
    file = mido.MidiFile(tmp_path / "tune.mid")
    now, sounding, heard = 0, {}, []
    for message in file.tracks[0]:
        now += message.time
        if message.type == "note_on":
            sounding[message.note] = now
        elif message.type == "note_off":
            heard.append((message.note, sounding.pop(message.note), now))
    assert file.ticks_per_beat == 480 and not sounding
    assert heard == [(64, 0, 480), (55, 480, 720), (72, 720, 1440), (60, 1440, 2400)]


# --- dates ----------------------------------------------------------------------------------------


def test_dates_are_the_same_day_in_both_languages(rng):
    patterns = [
        "%d %B %Y",
        "%A, %d. %b %Y",
        "%m/%d/%y",
        "%B %d, %Y",
        "%Y.%m.%d",
        "the %d of %B %Y",
        "%b %d %y",
    ]
    for text, answer in dates.pairs(dates.DAYS, 200, rng):
        text, found = re.sub(r"(?<=\d)(st|nd|rd|th)\b", "", text), []
        for pattern in patterns:
            try:
                found.append(datetime.strptime(text, pattern).date())
            except ValueError:
                continue
        assert len(found) == 1
        year = found[0].year - 100 * (found[0].year >= 2050)
        assert found[0].replace(year=year).isoformat() == answer


def test_edit_distances():
    def slow(a, b):
        if not a or not b:
            return len(a) + len(b)
        return min(slow(a[1:], b) + 1, slow(a, b[1:]) + 1, slow(a[1:], b[1:]) + (a[0] != b[0]))

    texts = ["1950", "May 5", "195", "Ma 05"]
    source, lengths, _ = dates.arrays([(text, "") for text in texts])
    assert dates.distances("May 50", source, lengths).tolist() == [slow("May 50", text) for text in texts]


def test_one_beam_is_greedy_and_padding_changes_nothing():
    nn.manual_seed(0)
    model = nn.EncoderDecoder(len(dates.CHARACTERS), len(dates.CHARACTERS), 4, 8)
    texts = ["3 May 1979", "Sunday, 12. Aug 2001"]
    source, _, target = dates.arrays([(texts[0], "")])
    alone = greedy(model.decode, target[:1], 11, eos=3, state=model.encode(source)).tokens[:, 0]
    assert dates.translate(model, texts, 1)[0] == dates.CHARACTERS.decode(alone)
