"""Generation: draws follow the distribution, searches find what there is, probabilities add up to one."""

import itertools

import numpy as np
import pytest

import nn
from autograd import Variable, log_softmax
from nn.functional import one_hot
from nn.generate import beam_search, generate, greedy, next_log_probs, sequence_log_prob

V, BOS, EOS = 4, 0, 1


class LM(nn.Module):
    """Embedding, a recurrent layer, Linear; sharp enough for its choices to differ."""

    def __init__(self, layer=nn.LSTM, seed=0, vocabulary=V, dropout=0.0):
        nn.manual_seed(seed)
        self.embedding = nn.Embedding(vocabulary, 5, dtype=np.float64)
        self.recurrent = layer(5, 6, dtype=np.float64)
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(6, vocabulary, dtype=np.float64)
        self.linear.weight.data *= 8

    def forward(self, tokens, state):
        y, state = self.recurrent(self.embedding(tokens), state)
        return self.linear(self.dropout(y)), state


class Stepwise(nn.Module):
    """The same model, one step at a time with a cell."""

    def __init__(self, lm, cell):
        self.lm, self.cell = lm, cell
        cell.load_state_dict({k.removesuffix("_l0"): v for k, v in lm.recurrent.state_dict().items()})

    def forward(self, tokens, state):
        state = self.cell(self.lm.embedding(tokens), state)
        return self.lm.linear(state[0] if isinstance(state, tuple) else state), state


def ending(model, last):
    """The model as one of a finite language: after ``last`` tokens comes EOS."""

    def call(tokens, state):
        t, inner = (0, None) if state is None else state
        logits, inner = model(tokens, inner)
        y = logits.data.copy()
        for k in range(len(y)):
            if t + k >= last:
                y[k] = np.where(np.arange(V) == EOS, 0.0, -np.inf)
        return y, (t + len(y), inner)

    return call


def language(last):
    """All strings of tokens other than EOS, up to a length, with the marks at both ends."""
    others = [k for k in range(V) if k != EOS]
    return [[BOS, *s, EOS] for n in range(last + 1) for s in itertools.product(others, repeat=n)]


# --- log-probabilities


def test_all_strings_together_have_probability_one():
    strings = language(3)
    tokens = np.full((5, len(strings)), EOS)
    for b, s in enumerate(strings):
        tokens[: len(s), b] = s
    lengths = np.array([len(s) for s in strings])
    log_p = sequence_log_prob(ending(LM(), 3), tokens, lengths)
    assert log_p.shape == (1 + 3 + 9 + 27,)
    assert np.exp(log_p).sum() == pytest.approx(1, rel=1e-12)
    assert np.exp(log_p).max() < 0.7  # no string has it all
    one = sequence_log_prob(ending(LM(), 3), np.array(strings[7]))
    assert one == pytest.approx(log_p[7], rel=1e-12)


def test_sequence_log_prob_is_in_the_graph_and_works_stepwise(rng):
    lm, tokens = LM(nn.GRU), rng.integers(0, V, size=(6, 3))
    y = sequence_log_prob(lm, tokens, [6, 2, 4])
    assert isinstance(y, Variable)
    y.sum().backward()
    assert all(p.grad is not None for p in lm.parameters())
    step = Stepwise(lm, nn.GRUCell(5, 6, dtype=np.float64))
    np.testing.assert_allclose(
        sequence_log_prob(step, tokens, [6, 2, 4], stepwise=True).data, y.data, rtol=1e-12
    )
    by_hand = log_softmax(lm(tokens[:1, 1:2], None)[0], -1).data[0, 0, tokens[1, 1]]
    assert y.data[1] == pytest.approx(by_hand, rel=1e-12)
    assert sequence_log_prob(lm, tokens[:1]).tolist() == [0, 0, 0]


def test_nan_after_the_end_of_a_sequence_reaches_neither_its_probability_nor_a_gradient(rng):
    logits, tokens = rng.normal(size=(4, 2, V)), rng.integers(0, V, size=(5, 2))
    logits[2:, 1] = np.nan
    x = Variable(logits)
    y = sequence_log_prob(lambda tokens, state: (x, state), tokens, [5, 3])
    alone = log_softmax(logits[:2, 1], -1)[np.arange(2), tokens[1:3, 1]].sum()
    assert y.data[1] == pytest.approx(alone, rel=1e-12)
    y.sum().backward()
    assert np.isfinite(x.grad.data).all() and not x.grad.data[2:, 1].any()


# --- sampling


@pytest.mark.parametrize("prompt", [[], np.zeros((0, 3), int), np.zeros((0, 3))])
def test_an_empty_prompt_is_the_input_zero(prompt):
    lm, B = LM(), 1 if len(np.shape(prompt)) == 1 else 3
    y, (h, c) = lm.recurrent(np.zeros((1, B, 5)))
    logits = lm.linear(y).data[0]
    found = greedy(lm, prompt, 4)
    np.testing.assert_array_equal(found.tokens[0], logits.argmax(-1).reshape(found.tokens[0].shape))
    expected = log_softmax(logits, -1).max(-1).reshape(found.tokens[0].shape)
    np.testing.assert_allclose(found.log_probs[0], expected, rtol=1e-12)
    rest = greedy(lm, found.tokens[:1], 3, state=(h, c))
    np.testing.assert_array_equal(found.tokens[1:], rest.tokens)
    step = Stepwise(lm, nn.LSTMCell(5, 6, dtype=np.float64))
    np.testing.assert_array_equal(greedy(step, prompt, 4, stepwise=True).tokens, found.tokens)
    np.testing.assert_array_equal(beam_search(lm, prompt, 4, 1).tokens[..., 0], found.tokens)
    assert lm.embedding([1]).data.any()  # as ever


def test_an_empty_prompt_of_one_hot_tokens():
    lm = LM()
    lm.recurrent = nn.GRU(V, 6, dtype=np.float64)
    lm.embedding = lambda tokens: one_hot(tokens, V, float)
    expected = lm.linear(lm.recurrent(np.zeros((1, 1, V)))[0]).data[0, 0]
    found = generate(lm, [], 1, top_k=1)
    assert found.tokens[0] == expected.argmax() and one_hot([2], V).any()


def test_tokens_are_tokens_again_after_an_error():
    with pytest.raises(ValueError, match="expected logits for 1 rows"):
        generate(lambda tokens, state: (np.zeros((3, V)), state), [], 1)
    assert one_hot([2], V).any()


@pytest.mark.parametrize(("settings", "kept"), [
    ({}, 6), ({"temperature": 0.5}, 6), ({"temperature": 3.0}, 6), ({"top_k": 3}, 3), ({"top_p": 0.7}, 3),
    ({"top_k": 4, "top_p": 0.9, "temperature": 1.5}, 4),
])  # fmt: skip
def test_frequencies_follow_the_softmax(settings, kept):
    logits = np.log([0.05, 0.3, 0.1, 0.25, 0.2, 0.1])
    n = 40_000
    model = lambda tokens, state: (np.broadcast_to(logits, (1, n, 6)), state)  # noqa: E731
    result = generate(model, np.zeros((1, n), int), 1, rng=np.random.default_rng(1), **settings)
    p = np.exp(logits / settings.get("temperature", 1))
    p /= p.sum()
    order = np.argsort(-p, kind="stable")
    p[order[settings.get("top_k", 6) :]] = 0
    p /= p.sum()
    if "top_p" in settings:
        enough = np.searchsorted(np.cumsum(p[order]), settings["top_p"]) + 1
        p[order[enough:]] = 0
        p /= p.sum()
    assert np.count_nonzero(p) == kept
    counts = np.bincount(result.tokens[0], minlength=6)
    assert not counts[p == 0].any()
    chi2 = ((counts - n * p)[p > 0] ** 2 / (n * p)[p > 0]).sum()
    assert chi2 < 20.5  # exceeded by chance once in a thousand draws, with five degrees of freedom
    np.testing.assert_allclose(result.log_probs[0], logits[result.tokens[0]])  # under the model itself


def test_what_is_drawn_from_is_a_distribution(rng):
    logits = rng.normal(size=(20, 9)) * 3
    logits[:, 4] = -np.inf
    logits[3] = 0.0  # all alike
    for temperature, k, p in itertools.product([0.3, 1.0, 1e-300], [None, 1, 5, 100], [None, 1e-9, 0.5, 1.0]):
        y = next_log_probs(logits, temperature, k, p)
        np.testing.assert_allclose(np.exp(y).sum(-1), 1, rtol=1e-12)
        assert (np.isfinite(y).sum(-1) >= 1).all() and (np.isfinite(y).sum(-1) <= (k or 9)).all()
        assert (y.argmax(-1) == logits.argmax(-1)).all()
        if p == 1e-9 or k == 1:
            assert (np.isfinite(y).sum(-1) == 1).all()
    np.testing.assert_allclose(next_log_probs(logits), log_softmax(logits, -1))


def test_generation_with_log_probabilities_and_an_end():
    lm = LM(seed=3)
    result = generate(lm, np.full((1, 40), BOS), 12, eos=EOS, rng=np.random.default_rng(0))
    tokens, lengths, log_probs, _ = result
    N = len(tokens)
    assert tokens.shape == log_probs.shape == (N, 40) and N == lengths.max() <= 12 and lengths.min() < N
    for b in range(40):
        ends = np.flatnonzero(tokens[:, b] == EOS)
        assert lengths[b] == (ends[0] + 1 if len(ends) else N)
        assert (tokens[lengths[b] :, b] == EOS).all() and not log_probs[lengths[b] :, b].any()
    whole = np.concatenate([np.full((1, 40), BOS), tokens])
    np.testing.assert_allclose(log_probs.sum(0), sequence_log_prob(lm, whole, lengths + 1).data, rtol=1e-10)
    again = generate(lm, np.full((1, 40), BOS), 12, eos=EOS, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(tokens, again.tokens)


def test_without_an_end_and_without_length():
    assert generate(LM(), np.array([[2], [3]]), 7).tokens.shape == (7, 1)
    assert generate(LM(), np.array([2, 3]), 7).tokens.shape == (7,)
    assert generate(LM(), np.array([2, 3]), 0).tokens.shape == (0,)


def test_greedy_takes_the_likeliest_and_rows_do_not_touch_each_other():
    lm = LM(nn.GRU, seed=1)
    prompts = np.array([[0, 2, 3, 1], [2, 2, 0, 3]])
    together = greedy(lm, prompts, 8)
    for b in range(4):
        text = prompts[:, b].tolist()
        for _ in range(8):
            text.append(int(lm(np.array(text)[:, None], None)[0].data[-1, 0].argmax()))
        assert greedy(lm, prompts[:, b], 8).tokens.tolist() == together.tokens[:, b].tolist() == text[2:]
    assert len({tuple(t) for t in together.tokens.T}) > 1


def test_goes_on_from_a_state_and_steps_one_by_one():
    lm = LM(nn.LSTM, seed=1)
    whole = greedy(lm, np.array([[0, 2]]), 9)
    first = greedy(lm, np.array([[0, 2]]), 4)
    rest = greedy(lm, first.tokens[-1:], 5, state=first.state)
    np.testing.assert_array_equal(np.concatenate([first.tokens, rest.tokens]), whole.tokens)
    step = Stepwise(lm, nn.LSTMCell(5, 6, dtype=np.float64))
    np.testing.assert_array_equal(greedy(step, np.array([[0, 2]]), 9, stepwise=True).tokens, whole.tokens)


def test_modules_are_evaluated_without_a_graph_and_left_as_they_were():
    lm = LM(dropout=0.5)
    lm.linear.training = False
    results = [generate(lm, np.array([0]), 20, rng=np.random.default_rng(0)) for _ in range(2)]
    np.testing.assert_array_equal(results[0].log_probs, results[1].log_probs)
    assert not results[0].state[0].requires_grad
    assert lm.training and lm.dropout.training and not lm.linear.training

    def broken(tokens, state):
        raise RuntimeError("no")

    lm.forward = broken
    with pytest.raises(RuntimeError):
        generate(lm, np.array([0]), 2)
    assert lm.training and not lm.linear.training


# --- beam search


@pytest.mark.parametrize("layer", [nn.LSTM, nn.RNN])
@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_enough_beams_find_the_likeliest_strings_of_all(layer, penalty):
    model = ending(LM(layer, seed=5), 3)

    def in_rows(tokens, state):
        """`ending` counts steps in a number; here every row of the state has a counter of its own."""
        before = None if state is None else (int(state[0][0]), state[1])
        logits, (t, inner) = model(tokens, before)
        return logits, (np.full(tokens.shape[1], t), inner)

    strings = language(3)
    scores = [float(sequence_log_prob(model, np.array(s))) for s in strings]
    ranked = sorted(zip(scores, strings, strict=True), key=lambda p: -p[0] / (len(p[1]) - 1) ** penalty)
    result = beam_search(in_rows, np.array([BOS]), 4, 80, eos=EOS, length_penalty=penalty)
    for k in range(10):
        n = result.lengths[k]
        assert result.tokens[:n, k].tolist() == ranked[k][1][1:]
        assert result.log_probs[k] == pytest.approx(ranked[k][0], rel=1e-10)
    assert np.exp(result.log_probs).sum() == pytest.approx(1, rel=1e-10)


def test_one_beam_is_greedy_and_more_are_never_worse_here():
    lm = LM(nn.GRU, seed=2)
    prompt = np.array([[0, 2, 3]])
    one, narrow, wide = (beam_search(lm, prompt, 6, k) for k in (1, 3, 12))
    best = greedy(lm, prompt, 6)
    np.testing.assert_array_equal(one.tokens[:, :, 0], best.tokens)
    np.testing.assert_allclose(one.log_probs[:, 0], best.log_probs.sum(0), rtol=1e-10)
    assert (wide.log_probs[:, 0] >= narrow.log_probs[:, 0] - 1e-12).all()
    assert (wide.log_probs[:, 0] > one.log_probs[:, 0]).any()


def test_beams_of_a_batch_are_those_of_its_rows():
    lm = LM(nn.LSTM, seed=7)
    prompt = np.array([[0, 2, 3], [2, 0, 3]])
    batch = beam_search(lm, prompt, 7, 4, eos=EOS)
    assert batch.tokens.shape[1:] == (3, 4) and batch.lengths.shape == batch.log_probs.shape == (3, 4)
    step = Stepwise(lm, nn.LSTMCell(5, 6, dtype=np.float64))
    for b in range(3):
        for alone in (
            beam_search(lm, prompt[:, b], 7, 4, eos=EOS),
            beam_search(step, prompt[:, b], 7, 4, eos=EOS, stepwise=True),
        ):
            np.testing.assert_allclose(alone.log_probs, batch.log_probs[b], rtol=1e-10)
            for k in range(4):
                n = batch.lengths[b, k]
                assert alone.lengths[k] == n
                assert alone.tokens[:n, k].tolist() == batch.tokens[:n, b, k].tolist()
        for k in range(4):
            n = batch.lengths[b, k]
            tokens = np.concatenate([prompt[:, b], batch.tokens[:n, b, k]])
            given = sequence_log_prob(lm, tokens).item() - sequence_log_prob(lm, prompt[:, b]).item()
            assert batch.log_probs[b, k] == pytest.approx(given, rel=1e-9)
        assert len({tuple(batch.tokens[: batch.lengths[b, k], b, k]) for k in range(4)}) == 4


def test_beams_go_on_from_their_state():
    lm = LM(nn.LSTM, seed=7)
    result = beam_search(lm, np.array([0, 2]), 4, 3)
    for k in range(3):
        state = tuple(s[:, k : k + 1] for s in result.state)
        tokens = np.concatenate([[0, 2], result.tokens[:, k]])
        a = greedy(lm, tokens[-1:], 5, state=state)
        np.testing.assert_array_equal(a.tokens, greedy(lm, tokens, 5).tokens)


# --- errors


def flat_model(tokens, state):
    return np.zeros((*tokens.shape, V)), state


def short_model(tokens, state):
    return np.zeros((1, V)), state


def odd_state_model(tokens, state):
    return np.zeros((*tokens.shape, V)), np.zeros((2, 3))


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: sequence_log_prob(flat_model, np.zeros((0, 2), int)), ValueError, "at least one token"),
    (lambda: generate(flat_model, np.zeros((1, 2, 2), int), 3), ValueError, "tokens of shape"),
    (lambda: generate(flat_model, np.zeros(2), 3), TypeError, "integer"),
    (lambda: generate(flat_model, [0], -1), ValueError, "length"),
    (lambda: generate(flat_model, [0], 1, temperature=-1), ValueError, "temperature"),
    (lambda: generate(flat_model, [0], 1, top_k=0), ValueError, "top_k"),
    (lambda: generate(flat_model, [0], 1, top_p=0), ValueError, "top_p"),
    (lambda: generate(short_model, [[0, 0]], 1), ValueError, "logits for 2 rows"),
    (lambda: beam_search(flat_model, [0], 1, 0), ValueError, "beams"),
    (lambda: beam_search(odd_state_model, [0], 2, 2), ValueError, "state_axis"),
    (lambda: sequence_log_prob(flat_model, np.zeros((3, 2), int), [1, 4]), ValueError, "lengths"),
    (lambda: sequence_log_prob(short_model, np.zeros((3, 2), int)), ValueError, "logits"),
])  # fmt: skip
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()


# --- what no other test would notice


def test_greedy_ends_at_eos():
    """Against a loop that stops by itself; rows end at different places, and some do not."""
    lm = LM(nn.GRU, seed=1)
    prompts = np.array([[b] for b in range(V)]).T
    result = greedy(lm, prompts, 12, eos=EOS)
    lengths = []
    for b in range(V):
        text = [b]
        while len(text) <= 12 and (len(text) == 1 or text[-1] != EOS):
            text.append(int(lm(np.array(text)[:, None], None)[0].data[-1, 0].argmax()))
        lengths.append(len(text) - 1)
        assert result.tokens[: lengths[b], b].tolist() == text[1:]
        assert (result.tokens[lengths[b] :, b] == EOS).all()
        assert not result.log_probs[lengths[b] :, b].any()
    assert result.lengths.tolist() == lengths
    assert len(set(lengths)) > 1 and max(lengths) == len(result.tokens)


def test_probabilities_of_sequences_are_those_of_the_model_in_evaluation(rng):
    lm, tokens = LM(nn.GRU, dropout=0.5), rng.integers(0, V, size=(6, 3))
    found = [sequence_log_prob(lm, tokens).data for _ in range(2)]
    assert lm.training and lm.dropout.training
    logits = lm.eval()(tokens[:-1], None)[0].data
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    want = np.log(np.take_along_axis(p, tokens[1:, :, None], -1)[..., 0]).sum(0)
    for log_p in found:
        np.testing.assert_allclose(log_p, want, rtol=1e-12)


def test_states_of_beams_are_in_the_order_in_which_beams_are_ranked():
    """Ranked by log-probability / length, which is another order than the search itself had."""
    moved = 0
    for seed in range(6):
        lm = LM(nn.LSTM, seed=seed)
        result = beam_search(lm, np.array([0, 2]), 4, 4, eos=EOS, length_penalty=1.0)
        if (np.diff(result.log_probs) <= 0).all():
            continue  # the order of the search
        moved += 1
        for k in range(4):
            if result.lengths[k] == 4:  # not ended before
                tokens = np.concatenate([[0, 2], result.tokens[:, k]])
                _, want = lm(tokens[:-1, None], None)
                for got, part in zip(result.state, want, strict=True):
                    np.testing.assert_allclose(got[:, k].data, part.data[:, 0], atol=1e-14)
    assert moved
