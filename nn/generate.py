"""Text, or any other sequence, out of a next-token model: sampling, beam search, and log-probabilities.

A model is anything called as ``logits, state = model(tokens, state)``, with integers tokens (T, B), logits
(T, B, V) for the token after each, and a state of None at the beginning. Under ``stepwise=True`` it
takes one step at a time: tokens (B), logits (B, V). A state is a Variable, an array, None, or a nest of
tuples, lists and dicts of them.

Modules run in evaluation mode. Only `sequence_log_prob` records a graph.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from autograd import log_softmax, no_grad, stack, take_along_axis, where
from autograd import sum as sum_
from autograd.extend import Array, Operand, Value, data_of

from .functional import no_tokens
from .module import Module
from .random import default_rng

Model = Callable[[Any, Any], tuple[Any, Any]]


class Generated(NamedTuple):
    """New tokens, time-major, without the prompt.

    Sampling gives tokens and log_probs (N, B) and lengths (B). Beam search gives tokens (N, B, K), lengths
    and log_probs (B, K), the best of the K beams first. For a prompt (T) the axis B is missing.

    Attributes:
        tokens: after its end a row holds ``eos``.
        lengths: the number of new tokens of each row, ``eos`` included.
        log_probs: of each token (of each whole beam) under the model, in nats; 0 after the end.
        state: of the model, before the last token: ``generate(model, tokens[-1:], state=state)`` goes on.

    >>> model = lambda tokens, state: (nn.functional.one_hot((tokens + 1) % 5, 5), state)  # counts
    >>> first = nn.generate.greedy(model, [0], 3)
    >>> first.tokens, nn.generate.greedy(model, first.tokens[-1:], 2, state=first.state).tokens
    (array([1, 2, 3]), array([4, 0]))
    """

    tokens: Array
    lengths: Array
    log_probs: Array
    state: Any


def generate(
    model: Model,
    prompt: Operand,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int | None = None,
    top_p: float | None = None,
    eos: int | None = None,
    state: Any = None,
    rng: np.random.Generator | None = None,
    stepwise: bool = False,
) -> Generated:
    """Continue a prompt by up to ``length`` tokens, each drawn from the model's distribution.

    Args:
        prompt: integers (T, B) or (T), such as ``<bos>``. An empty one, (0, B) or [], stands for the input
            x = 0: in the first step every `Embedding` and `one_hot` of the model gives zeros.
        temperature: logits are divided by it; below 1 the likely becomes likelier, 0 is `greedy`.
        top_k: draw from the k likeliest only.
        top_p: draw from the likeliest only that together have at least this probability.
        eos: a row ends with this token; all rows ended, generation ends.
        state: the model's state before the prompt.
        rng: the source of randomness.

    Raises:
        ValueError: a setting is out of range, or a shape does not fit. TypeError: tokens are no integers.

    >>> model = lambda tokens, state: (np.log([[0.7, 0.3]] * tokens.shape[1]), state)  # heeds nothing
    >>> drawn = nn.generate.generate(model, np.zeros((1, 1000), int), 1)
    >>> drawn.tokens.shape, round((drawn.tokens == 1).mean().item(), 1)
    ((1, 1000), 0.3)
    """
    x, single = _prompt(prompt)
    if length < 0:
        raise ValueError(f"generate expected a length of at least 0, got {length}")
    _check_sampling(temperature, top_k, top_p)
    rng, B = default_rng(rng), x.shape[1]
    rows, ended = np.arange(B), np.zeros(B, bool)
    lengths = np.zeros(B, np.int64)
    tokens, log_probs = np.zeros((length, B), np.int64), np.zeros((length, B))
    n = 0
    with no_grad(), _evaluating(model):
        while n < length and not ended.all():
            logits, state = _advance(model, x, state, stepwise)
            scores = next_log_probs(logits, temperature, top_k, top_p)
            if temperature > 0:  # the largest of scores plus Gumbel noise is a draw from their softmax
                scores = scores + rng.gumbel(size=scores.shape)
            chosen = scores.argmax(-1)
            if eos is not None:
                chosen = np.where(ended, eos, chosen)
            lengths += ~ended
            tokens[n] = chosen
            log_probs[n] = np.where(ended, 0.0, log_softmax(logits, -1)[rows, chosen])
            ended |= chosen == eos if eos is not None else False
            x, n = chosen[None], n + 1
    result = Generated(tokens[:n], lengths, log_probs[:n], state)
    return _without_batch(result) if single else result


def greedy(
    model: Model,
    prompt: Operand,
    length: int,
    *,
    eos: int | None = None,
    state: Any = None,
    stepwise: bool = False,
) -> Generated:
    """Continue a prompt by the likeliest token each time: `generate` at temperature 0.

    >>> model = lambda tokens, state: (nn.functional.one_hot((tokens + 1) % 5, 5), state)  # counts
    >>> nn.generate.greedy(model, [2], 5).tokens
    array([3, 4, 0, 1, 2])
    """
    return generate(model, prompt, length, temperature=0.0, eos=eos, state=state, stepwise=stepwise)


def next_log_probs(
    logits: Operand, temperature: float = 1.0, top_k: int | None = None, top_p: float | None = None
) -> Array:
    """The distribution that `generate` draws from: log-probabilities (B, V) of logits (B, V), or -inf.

    Temperature, top_k and top_p act in this order, each on the tokens that the one before left over; of
    equally likely tokens the first is kept. At temperature 0 only top_k and top_p leave tokens out.

    Raises:
        ValueError: a setting is out of range.

    >>> logits = np.log([[0.5, 0.25, 0.25]])
    >>> np.exp(nn.generate.next_log_probs(logits, temperature=0.5))  # as 4 to 1 to 1
    array([[0.6667, 0.1667, 0.1667]])
    >>> np.exp(nn.generate.next_log_probs(logits, top_k=2))
    array([[0.6667, 0.3333, 0.    ]])
    """
    _check_sampling(temperature, top_k, top_p)
    scores = log_softmax(np.asarray(data_of(logits), np.float64), -1)
    if temperature not in (0, 1):
        with np.errstate(over="ignore"):  # to -inf, next to 0 for the likeliest
            scores = log_softmax((scores - scores.max(-1, keepdims=True)) / temperature, -1)
    if top_k is None and top_p is None:
        return scores
    order = np.argsort(-scores, axis=-1, kind="stable")
    ranked = np.take_along_axis(scores, order, -1)
    if top_k is not None:
        ranked[..., top_k:] = -np.inf
        ranked = log_softmax(ranked, -1)
    if top_p is not None:
        p = np.exp(ranked)
        ranked[np.cumsum(p, -1) - p >= top_p] = -np.inf  # those before it are enough
        ranked = log_softmax(ranked, -1)
    np.put_along_axis(scores, order, ranked, -1)
    return scores


def beam_search(
    model: Model,
    prompt: Operand,
    length: int,
    beams: int,
    *,
    eos: int | None = None,
    length_penalty: float = 0.0,
    state: Any = None,
    state_axis: int | None = None,
    stepwise: bool = False,
) -> Generated:
    """The likeliest continuations of a prompt, up to ``length`` tokens, as far as ``beams`` of them can see.

    In every step each beam is continued by every token, and the ``beams`` likeliest of all are kept. With
    as many beams as there are sequences the search is exact; one beam is `greedy`.

    Args:
        prompt, eos, state, stepwise: as in `generate`.
        beams: K.
        length_penalty: α; the results are ordered by log-probability / lengthᵅ. With 0 the shorter of two
            has the advantage that it is a product of fewer factors.
        state_axis: the axis of all parts of a state along which the rows of a batch lie. By default 1 for
            those with three axes (the states of RNN, GRU and LSTM), and 0 for all others (those of cells).

    Raises:
        ValueError: a setting is out of range, or a state has no such axis of the right length.

    >>> p = np.array([[0.1, 0.5, 0.4], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]])  # p[i, j]: of j after i
    >>> model = lambda tokens, state: (np.log(p)[tokens], state)
    >>> found = nn.generate.beam_search(model, [0], 2, beams=2)
    >>> found.tokens.T, np.exp(found.log_probs)  # greedy would take 1 2
    (array([[2, 1], [1, 2]]), array([0.32, 0.3 ]))
    """
    x, single = _prompt(prompt)
    if length < 0 or beams < 1:
        raise ValueError(f"beam_search expected a length from 0 and beams from 1, got {length} and {beams}")
    B, K = x.shape[1], beams
    scores = np.full((B, K), -np.inf)
    scores[:, 0] = 0.0
    tokens = np.zeros((0, B, K), np.int64)
    ended, lengths = np.zeros((B, K), bool), np.zeros((B, K), np.int64)
    with no_grad(), _evaluating(model):
        for n in range(length):
            if (ended | np.isneginf(scores)).all() and n:
                break
            logits, state = _advance(model, x, state, stepwise)
            if n == 0:  # from here on, row b * K + k is beam k of row b
                logits = np.repeat(logits, K, axis=0)
                state = _rows(state, np.repeat(np.arange(B), K), B, state_axis)
            V = logits.shape[-1]
            ways = np.array(log_softmax(logits, -1)).reshape(B, K, V)
            if eos is not None:  # an ended beam goes on in one way, which costs nothing
                ways[ended] = -np.inf
                ways[ended, eos] = 0.0
            total = (scores[:, :, None] + ways).reshape(B, K * V)
            best = np.argsort(-total, axis=-1, kind="stable")[:, :K]
            scores = np.take_along_axis(total, best, -1)
            parent, chosen = best // V, best % V
            lengths = np.take_along_axis(lengths + ~ended, parent, -1)
            ended = np.take_along_axis(ended, parent, -1)
            tokens = np.take_along_axis(tokens, parent[None], -1)
            tokens = np.concatenate([tokens, chosen[None]])
            if eos is not None:
                ended = ended | (chosen == eos)
            rows = (np.arange(B)[:, None] * K + parent).reshape(-1)
            state = _rows(state, rows, B * K, state_axis)
            x = chosen.reshape(1, B * K)
        ranks = np.argsort(-scores / np.maximum(lengths, 1.0) ** length_penalty, axis=-1, kind="stable")
        if len(tokens):
            state = _rows(state, (np.arange(B)[:, None] * K + ranks).reshape(-1), B * K, state_axis)
    scores, lengths = np.take_along_axis(scores, ranks, -1), np.take_along_axis(lengths, ranks, -1)
    result = Generated(np.take_along_axis(tokens, ranks[None], -1), lengths, scores, state)
    return _without_batch(result) if single else result


def sequence_log_prob(
    model: Model,
    tokens: Operand,
    lengths: Operand | None = None,
    *,
    state: Any = None,
    stepwise: bool = False,
) -> Value:
    """log p of whole sequences given their first token, in nats: Σ log p(tokens[t+1] | tokens[0..t]).

    Args:
        tokens: integers (T, B) or (T), the first of them given, such as ``<bos>``; ``<eos>`` counts like
            any other token.
        lengths: (B), how many tokens of each column belong to it; all by default.

    Returns:
        (B), or a number for tokens (T); a Variable if the model's logits are, and in the graph.

    >>> p = np.array([[0.1, 0.5, 0.4], [0.1, 0.3, 0.6], [0.1, 0.8, 0.1]])  # p[i, j]: of j after i
    >>> model = lambda tokens, state: (np.log(p)[tokens], state)
    >>> np.exp(nn.generate.sequence_log_prob(model, np.array([[0, 0], [1, 2], [2, 1]]), lengths=[3, 2]))
    array([0.3, 0.4])
    """
    x, single = _prompt(tokens)
    T, B = x.shape
    if T == 0:
        raise ValueError("sequence_log_prob expected at least one token, which is given, such as <bos>")
    n = np.full(B, T) if lengths is None else np.asarray(data_of(lengths)).reshape(-1)
    if n.shape != (B,) or n.dtype.kind not in "iu" or (B and not 1 <= n.min() <= n.max() <= T):
        raise ValueError(f"sequence_log_prob expected {B} lengths from 1 to {T}, got {lengths}")
    with _evaluating(model):
        if T == 1:
            return np.zeros(B)[0] if single else np.zeros(B)
        if stepwise:
            steps = []
            for row in x[:-1]:
                logits, state = model(row, state)
                steps.append(logits)
            logits = stack(steps)
        else:
            logits, _ = model(x[:-1], state)
    if tuple(logits.shape[:2]) != (T - 1, B):
        raise ValueError(
            f"sequence_log_prob expected logits ({T - 1}, {B}, V) from the model, got {logits.shape}"
        )
    counts = np.arange(1, T)[:, None] < n
    if not counts.all():
        logits = where(counts[..., None], logits, 0.0)  # after the end it may be anything, NaN too
    each = take_along_axis(log_softmax(logits, -1), x[1:, :, None], -1)[..., 0]
    total = sum_(each if counts.all() else where(counts, each, 0.0), 0)
    return total[0] if single else total


# --- small parts --------------------------------------------------------------------------------


def _check_sampling(temperature: float, top_k: int | None, top_p: float | None) -> None:
    """Raise unless these settings of a draw are in range."""
    if not 0 <= temperature < np.inf:
        raise ValueError(f"expected a temperature of at least 0, got {temperature}")
    if top_k is not None and top_k < 1:
        raise ValueError(f"expected top_k of at least 1, got {top_k}")
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"expected top_p above 0 and up to 1, got {top_p}")


def _prompt(tokens: Operand) -> tuple[Array, bool]:
    """Tokens as an array (T, B), and whether the axis B was missing."""
    x = np.asarray(data_of(tokens))
    if x.ndim not in (1, 2):
        raise ValueError(f"expected tokens of shape (T, B) or (T), got {x.shape}")
    if x.dtype.kind not in "iu" and len(x):
        raise TypeError(f"expected integer tokens, got {x.dtype}")
    return (x[:, None], True) if x.ndim == 1 else (x, False)


def _advance(model: Model, x: Array, state: Any, stepwise: bool) -> tuple[Array, Any]:
    """Feed tokens (T, B), or the input 0 if T is 0: the logits (B, V) after the last, and the new state."""
    if len(x) == 0:
        with no_tokens():
            return _advance(model, np.zeros((1, x.shape[1]), np.int64), state, stepwise)
    if stepwise:
        for row in x:
            logits, state = model(row, state)
    else:
        logits, state = model(x, state)
        if len(logits.shape) == 3:
            logits = logits[-1]
    y = np.asarray(data_of(logits))
    if y.ndim != 2 or len(y) != x.shape[1]:
        raise ValueError(
            f"expected logits for {x.shape[1]} rows from the model, got shape {np.shape(logits)}"
        )
    return y, state


def _rows(state: Any, rows: Array, B: int, axis: int | None) -> Any:
    """The given rows of a state of B rows."""
    if state is None:
        return None
    if isinstance(state, tuple | list):
        return type(state)([_rows(s, rows, B, axis) for s in state])
    if isinstance(state, dict):
        return {name: _rows(s, rows, B, axis) for name, s in state.items()}
    where_rows = axis if axis is not None else 1 if state.ndim == 3 else 0
    if where_rows >= state.ndim or state.shape[where_rows] != B:
        raise ValueError(
            f"expected {B} rows along axis {where_rows} of a state, got shape {state.shape}: use state_axis="
        )
    return state[(slice(None),) * where_rows + (rows,)]


def _without_batch(result: Generated) -> Generated:
    """The result for the one row of a batch, without the axis B."""
    tokens, lengths, log_probs, state = result
    at = 0 if tokens.ndim == 3 else -1  # (B, K), or (N, B)
    return Generated(tokens[:, 0], lengths[0], log_probs[0] if at == 0 else log_probs[:, 0], state)


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Put a module into evaluation mode, and afterwards back into its own."""
    modes = [(m, m.training) for m in model.modules()] if isinstance(model, Module) else []
    try:
        if isinstance(model, Module):
            model.eval()
        yield
    finally:
        for module, training in modes:
            module.training = training
