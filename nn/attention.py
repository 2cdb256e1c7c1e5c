"""Encoder and decoder for sequences of different lengths, and attention between them.

`AdditiveAttention` looks through a memory, `AttentionCell` lets any cell do so in every step, and
`EncoderDecoder` is the whole model for tokens. `generate` and `beam_search` take its ``decode``.
"""

from copy import copy
from typing import Any

import numpy as np

from autograd import concatenate, expand_dims, scope, softmax, split, squeeze, tanh
from autograd import sum as sum_

from .cells import GRUCell, Wrapper
from .functional import check_lengths
from .layers import Embedding, Linear
from .module import Module
from .recurrent import Cell, State, as_variable, unroll, zeros
from .rnn import GRU

Memory = tuple[Any, Any, Any]


class AdditiveAttention(Module):
    """Attention by a small perceptron (Bahdanau, Cho & Bengio 2015):

        e_s = vᵀ tanh(W_q q + W_m m_s)      how well place s of the memory fits the query
        α_s = exp(e_s) / Σ_r exp(e_r)
        context = Σ_s α_s m_s

    Call: ``context, weights = attention(query, memory)`` with query (..., B, Q) and the memory that
    ``remember`` gave for values (S, B, M): context (..., B, M), weights (..., S, B).
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int, dtype: Any = np.float32):
        self.query_size, self.memory_size, self.hidden_size = query_size, memory_size, hidden_size
        self.of_query = Linear(query_size, hidden_size, bias=False, dtype=dtype)
        self.of_memory = Linear(memory_size, hidden_size, dtype=dtype)
        self.v = Linear(hidden_size, 1, bias=False, dtype=dtype)

    def remember(self, values: Any, lengths: Any = None) -> Memory:
        """What does not depend on the query: (values, W_m values, 0 or -1e9 for each place).

        Args:
            values: (S, B, M), for one the outputs of an encoder.
            lengths: (B), how many places of each column count; the others get a weight of zero.

        Raises:
            ValueError: values of another size, or lengths that do not fit.
        """
        values = as_variable(values, "memory")
        if values.ndim != 3 or values.shape[2] != self.memory_size:
            raise ValueError(
                f"AdditiveAttention expected a memory of shape (S, B, {self.memory_size}), got {values.shape}"
            )
        S, B = values.shape[:2]
        past = np.zeros((S, B), bool)
        if lengths is not None:
            past = np.arange(S)[:, None] >= check_lengths(lengths, S, B)
        return values, self.of_memory(values), np.where(past, -1e9, 0.0).astype(values.dtype)[..., None]

    def forward(self, query: Any, memory: Memory) -> tuple[Any, Any]:
        values, keys, mask = memory
        e = self.v(tanh(expand_dims(self.of_query(as_variable(query)), -3) + keys))
        weights = softmax(e + mask, axis=-3)
        context = sum_(weights * values, axis=-3)
        return context, squeeze(weights, -1)

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, {self.hidden_size}"


class AttentionCell(Wrapper):
    """A cell that looks through a memory before each of its steps (Bahdanau, Cho & Bengio 2015):

        context = attention(h, memory)
        h' = cell([x context], h)
        y = [h' context]

    The state is (y, h', ...): the output y has room for both, and the cell's own state comes behind it.

    Call: ``y, state = Recurrent(cell.over(memory))(x)`` with ``memory = attention.remember(values)``.
    The weights of all steps are there to be looked at afterwards: ``attention(queries, memory)``, where the
    query of a step is h before it.

    Args:
        cell: takes x and a context side by side, so x has input_size = cell.input_size - memory_size.

    Raises:
        ValueError: the sizes of cell and attention do not fit, or there is no memory yet.
    """

    memory: Memory | None = None

    def __init__(self, cell: Cell, attention: AdditiveAttention):
        super().__init__(cell)
        self.attention = attention
        self.input_size = cell.input_size - attention.memory_size
        if self.input_size < 0 or cell.output_size != attention.query_size:
            raise ValueError(
                f"AttentionCell expected a cell with an input_size of at least {attention.memory_size} and an"
                f" output_size of {attention.query_size}, got {cell.input_size} and {cell.output_size}"
            )

    def over(self, memory: Memory) -> "AttentionCell":
        """The same cell, with the same parameters, looking at this memory."""
        cell = copy(self)
        object.__setattr__(cell, "memory", memory)
        return cell

    @property
    def output_size(self) -> int:
        return self.cell.output_size + self.attention.memory_size

    def check(self, x: Any, single: bool = False) -> None:
        Cell.check(self, x, single)

    def initial_state(self, x: Any) -> State:
        return zeros(x, self.output_size), *self.cell.initial_state(x)

    def prepare(self, x: Any) -> Any:
        if self.memory is None:
            raise ValueError("AttentionCell has no memory to look at: use cell.over(attention.remember(m))")
        like = np.zeros((1, x.shape[1], self.cell.input_size), x.dtype)
        return self.cell.prepare(like), self.memory

    def project(self, x: Any) -> Any:
        return x  # the cell's projection is of x and a context, and so waits for the step

    def step(self, x: Any, state: State, fixed: Any) -> State:
        fixed, memory = fixed
        context, _ = self.attention(state[1], memory)
        inner = self.cell.step(self.cell.project(concatenate([x, context], -1)), state[1:], fixed)
        return concatenate([inner[0], context], -1), *inner


class EncoderDecoder(Module):
    """A sequence of tokens into another one of any other length (Cho et al. 2014; Bahdanau et al. 2015):

        m = encoder(source)                    a GRU in both directions: m (S, B, 2H)
        h_0 = tanh(W m_0 + b)                  of its backward half, which has read all at place 0
        h_t = decoder([y_{t-1} context], h_{t-1})
        logits_t = V [h_t context] + c

    The context is attention(h_{t-1}, m); with attention=False it is missing, and h_0 alone has to carry the
    source. In training the decoder is given the right tokens y_{t-1} (teacher forcing): ``target`` starts
    with a start token, and ``logits[t]`` is about the token after target[t]. To translate, hand ``decode``
    to `nn.generate`:

        generate.beam_search(model.decode, start[None], 20, eos=stop, state=model.encode(source))

    Args:
        source_vocabulary, target_vocabulary: how many tokens there are on either side.
        embedding_size, hidden_size: of both sides; attention has H units as well.

    Call: ``logits = model(source, target, lengths=None)`` with integers source (S, B) and target (T, B),
    lengths (B) of the source, logits (T, B, target_vocabulary).
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        attention: bool = True,
        dtype: Any = np.float32,
    ):
        E, H = embedding_size, hidden_size
        self.source = Embedding(source_vocabulary, E, dtype=dtype)
        self.target = Embedding(target_vocabulary, E, dtype=dtype)
        self.encoder = GRU(E, H, bidirectional=True, dtype=dtype)
        self.bridge = Linear(H, H, dtype=dtype)
        self.decoder: Cell
        if attention:
            cell = GRUCell(E + 2 * H, H, dtype=dtype)
            self.decoder = AttentionCell(cell, AdditiveAttention(H, 2 * H, H, dtype))
        else:
            self.decoder = GRUCell(E, H, dtype=dtype)
        self.readout = Linear(self.decoder.output_size, target_vocabulary, dtype=dtype)

    def encode(self, source: Any, lengths: Any = None) -> tuple[State, Any]:
        """The state that ``decode`` starts from: of the decoder's cell, and the memory to look at."""
        values, _ = self.encoder(self.source(source), None, lengths)
        _, m_0 = split(values[0], 2, axis=-1)
        h = tanh(self.bridge(m_0))
        if not isinstance(self.decoder, AttentionCell):
            return (h,), None
        y, _ = self.decoder.initial_state(values)
        return (y, h), self.decoder.attention.remember(values, lengths)

    def decode(self, tokens: Any, state: tuple[State, Any]) -> tuple[Any, tuple[State, Any]]:
        """Tokens (T, B) -> logits (T, B, V) for the token after each of them, and the new state."""
        state, memory = state
        cell = self.decoder.over(memory) if isinstance(self.decoder, AttentionCell) else self.decoder
        x = self.target(tokens)
        with scope("decoder"):
            y, state = unroll(cell, x, state)
        return self.readout(y), (state, memory)

    def attend(self, source: Any, target: Any, lengths: Any = None) -> Any:
        """The weights (T, S, B) with which the decoder looks at the source while it reads ``target``.

        Raises:
            ValueError: the model has no attention.
        """
        if not isinstance(self.decoder, AttentionCell):
            raise ValueError("EncoderDecoder.attend expected a model with attention=True")
        (y, h), memory = self.encode(source, lengths)
        outputs, _ = unroll(self.decoder.over(memory), self.target(target), (y, h))
        queries = concatenate([h[None], outputs[:-1, :, : self.decoder.cell.output_size]])
        return self.decoder.attention(queries, memory)[1]

    def forward(self, source: Any, target: Any, lengths: Any = None) -> Any:
        return self.decode(target, self.encode(source, lengths))[0]
