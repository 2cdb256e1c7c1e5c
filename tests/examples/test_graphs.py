"""The graphs that examples draw of themselves: the loops give what the models give, and are of their kind."""

import numpy as np
import pytest

pytest.importorskip("tqdm")
pytest.importorskip("matplotlib")
pytest.importorskip("sklearn")
pytest.importorskip("mido")

import nn
from autograd import grad
from examples import captions, entities, sentiment, word_lm
from examples.shared import graphs
from nn.generate import greedy

WORDS = ["film", "was", "good"]


def is_close(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def reaches(output, inputs):
    """Does a gradient come from the output to each of the inputs?"""
    found = grad(output.sum(), inputs, retain_graph=True, allow_unused=True)
    return [g is not None and bool(np.any(g.data)) for g in found]


@pytest.fixture
def inputs(monkeypatch):
    """The inputs that a loop reads, to be looked at afterwards."""
    seen, read = [], graphs.read
    monkeypatch.setattr(graphs, "read", lambda *args: seen.extend(read(*args)) or seen)
    return seen


def test_many_to_one_is_the_last_answer_of_the_model(inputs):
    nn.manual_seed(0)
    model = sentiment.Reader(8)
    tokens = [(word, sentiment.WORDS.encode(word)) for word in WORDS]
    outputs = graphs.many_to_one(tokens, model.embedding, model.gru, model.readout)
    (answer,) = outputs.values()
    is_close(answer.data[0], model(sentiment.WORDS.encode("film was good")[:, None], None).data[-1])
    assert [x.name for x in inputs] == WORDS and reaches(answer, inputs) == [True] * 3
    assert [x.creator.place.step for x in inputs] == [0, 1, 2]
    assert answer.creator.place.step == 2


def test_many_to_many_has_an_output_for_every_input_and_knows_no_later_one(inputs):
    nn.manual_seed(0)
    model = word_lm.WordLM(9, 5)
    tokens = [(str(k), np.array([k])) for k in (3, 1, 4)]
    outputs = graphs.many_to_many(tokens, model.embedding, model.lstm, model.linear)
    is_close(np.stack([y.data for y in outputs.values()]), model(np.array([[3], [1], [4]]))[0].data)
    for t, output in enumerate(outputs.values()):
        assert reaches(output, inputs) == [k <= t for k in range(3)]


def test_in_both_directions_every_output_knows_every_input(inputs):
    nn.manual_seed(0)
    model = entities.Tagger(5, True)
    words = ["He", "met", "Harry"]
    x, capital, lengths = entities.encode([words])
    tokens = [*zip(words, zip(x, capital, strict=True), strict=True)]
    outputs = graphs.many_to_many(tokens, model.see, model.gru, model.readout)
    is_close(np.stack([y.data for y in outputs.values()]), model(x, capital, lengths).data)
    for output in outputs.values():
        assert reaches(output, inputs) == [True] * 3


def test_one_to_many_goes_on_with_what_was_likeliest():
    nn.manual_seed(1)
    model = captions.Captioner(9, 8)
    image = np.random.default_rng(0).random((1, 8, 8)).astype("f")
    state = model.look(image)
    outputs = graphs.one_to_many(
        [("<bos>", np.array([2]))],
        model.embedding,
        model.gru,
        model.readout,
        "abcdefghi".__getitem__,
        state[0],
    )
    expected = greedy(model, np.array([[2]]), 3, state=state).tokens[:, 0]
    assert [y.data.argmax() for y in outputs.values()] == expected.tolist()
    assert list(outputs) == [f"{t}: {'abcdefghi'[k]}" for t, k in enumerate(expected)]
    for output in outputs.values():  # one input: the picture
        assert reaches(output, [model.see[0].weight]) == [True]


def test_without_a_renderer_one_line_says_so(tmp_path, capsys, monkeypatch):
    def render(*_):
        raise RuntimeError("pip install it")

    monkeypatch.setattr(graphs.graph, "render", render)
    model = nn.Linear(2, 1)
    graphs.save_graph({"y": model(np.ones((1, 2), "f"))}, model, tmp_path / "graph.svg")
    assert capsys.readouterr().out == "no graph.svg: pip install it\n"
