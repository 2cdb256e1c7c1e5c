"""Encoder and decoder for sequences of different lengths, and attention between them.

`AdditiveAttention` reads a memory, `AttentionCell` lets any cell read one in every step, and
`EncoderDecoder` is the whole model for tokens. `generate` and `beam_search` take its ``decode``.
"""

from copy import copy
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable, concatenate, expand_dims, scope, softmax, split, squeeze, tanh
from autograd import sum as sum_
from autograd.extend import Array, Operand, Value, alike

from .cells import GRUCell, Wrapper
from .functional import check_lengths
from .layers import Embedding, Linear
from .module import Module
from .recurrent import Cell, State, as_variable, unroll, zeros
from .rnn import GRU

Memory = tuple[Variable, Variable, Array]  # values, keys, and the mask that is added to the scores
Encoded = tuple[State, Any]  # the state of a decoder's cell, and its Memory or None


class AdditiveAttention(Module):
    """Attention by a small perceptron (Bahdanau, Cho & Bengio 2015):

        e_s = vᵀ tanh(W_q q + W_m m_s)      the score of place s of the memory
        α_s = exp(e_s) / Σ_r exp(e_r)
        context = Σ_s α_s m_s

    Call: ``context, weights = attention(query, memory)`` with query (..., B, Q) and the memory that
    ``remember`` made of values (S, B, M): context (..., B, M), weights (..., S, B).

    >>> attention = nn.AdditiveAttention(query_size=4, memory_size=3, hidden_size=8)
    >>> memory = attention.remember(np.ones((5, 2, 3), "f"), lengths=[5, 2])
    >>> context, weights = attention(np.ones((2, 4), "f"), memory)
    >>> context.shape, weights.data[:, 1]  # two equal places in the second column
    ((2, 3), array([0.5, 0.5, 0. , 0. , 0. ], dtype=float32))
    """

    def __init__(self, query_size: int, memory_size: int, hidden_size: int, dtype: DTypeLike = np.float32):
        self.query_size, self.memory_size, self.hidden_size = query_size, memory_size, hidden_size
        self.of_query = Linear(query_size, hidden_size, bias=False, dtype=dtype)
        self.of_memory = Linear(memory_size, hidden_size, dtype=dtype)
        self.v = Linear(hidden_size, 1, bias=False, dtype=dtype)

    def remember(self, values: Operand, lengths: Operand | None = None) -> Memory:
        """Compute what all queries share: (values, W_m values, 0 or -1e9 for each place).

        Args:
            values: (S, B, M), such as the outputs of an encoder.
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
        mask = np.where(past, -1e9, 0.0).astype(values.dtype)[..., None]
        return values, self.of_memory(values), alike(mask, values)

    def forward(self, query: Operand, memory: Memory) -> tuple[Variable, Variable]:
        values, keys, mask = memory
        e = self.v(tanh(expand_dims(self.of_query(as_variable(query)), -3) + keys))
        weights = softmax(e + mask, axis=-3)
        context = sum_(weights * values, axis=-3)
        return context, squeeze(weights, -1)

    def extra_repr(self) -> str:
        return f"{self.query_size}, {self.memory_size}, {self.hidden_size}"


class AttentionCell(Wrapper):
    """A cell that reads a memory before each of its steps (Bahdanau, Cho & Bengio 2015):

        context = attention(h, memory)
        h' = cell([x context], h)
        y = [h' context]

    The state is (y, h', ...): the output y, then the state of the inner cell.

    Call: ``y, state = Recurrent(cell.over(memory))(x)`` with ``memory = attention.remember(values)``.
    ``attention(queries, memory)`` gives the weights of all steps afterwards; the query of a step is the h
    before it.

    Args:
        cell: takes x and a context side by side, so x has input_size = cell.input_size - memory_size.

    Raises:
        ValueError: the sizes of cell and attention do not fit, or there is no memory yet.

    >>> attention = nn.AdditiveAttention(4, 3, 8)
    >>> cell = nn.AttentionCell(nn.GRUCell(2 + 3, 4), attention)
    >>> memory = attention.remember(np.ones((6, 1, 3), "f"))  # six places
    >>> y, state = nn.Recurrent(cell.over(memory))(np.ones((5, 1, 2), "f"))  # five steps
    >>> y.shape, y.data[0, 0, 4:]  # h and a context of ones
    ((5, 1, 7), array([1., 1., 1.], dtype=float32))
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
        """The same cell, with the same parameters, over this memory."""
        cell = copy(self)
        object.__setattr__(cell, "memory", memory)
        return cell

    @property
    def output_size(self) -> int:
        return self.cell.output_size + self.attention.memory_size

    def check(self, x: Value, single: bool = False) -> None:
        Cell.check(self, x, single)

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", *self.cell.parts

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.output_size), *self.cell.initial_state(x)

    def prepare(self, x: Value) -> Any:
        if self.memory is None:
            raise ValueError("AttentionCell has no memory to look at: use cell.over(attention.remember(m))")
        like = alike(np.zeros((1, x.shape[1], self.cell.input_size), x.dtype), x)
        return self.cell.prepare(like), self.memory

    def project(self, x: Variable) -> Variable:
        return x  # the cell projects x together with a context, which only the step knows

    def step(self, x: Any, state: State, fixed: Any) -> State:
        fixed, memory = fixed
        context, _ = self.attention(state[1], memory)
        inner = self.cell.step(self.cell.project(concatenate([x, context], -1)), state[1:], fixed)
        return concatenate([inner[0], context], -1), *inner


class EncoderDecoder(Module):
    """A sequence of tokens into another one of any length (Cho et al. 2014; Bahdanau et al. 2015):

        m = encoder(source)                    a GRU in both directions: m (S, B, 2H)
        h_0 = tanh(W m_0 + b)                  m_0: the backward half at place 0, which has read everything
        h_t = decoder([y_{t-1} context], h_{t-1})
        logits_t = V [h_t context] + c

    The context is attention(h_{t-1}, m); with attention=False it is missing, and h_0 alone has to carry the
    source. In training the decoder reads the right tokens y_{t-1} (teacher forcing): ``target`` starts
    with a start token, and ``logits[t]`` predict the token after target[t]. To translate, hand ``decode``
    to `nn.generate`:

        generate.beam_search(model.decode, start[None], 20, eos=stop, state=model.encode(source))

    Args:
        source_vocabulary, target_vocabulary: how many tokens there are on either side.
        embedding_size, hidden_size: of both sides; attention has H units as well.

    Call: ``logits = model(source, target, lengths=None)`` with integers source (S, B) and target (T, B),
    lengths (B) of the source, logits (T, B, target_vocabulary).

    >>> model = nn.EncoderDecoder(20, 30, embedding_size=8, hidden_size=16)
    >>> source, target = np.ones((7, 2), int), np.ones((4, 2), int)
    >>> model(source, target, lengths=[7, 5]).shape, model.attend(source, target).shape
    ((4, 2, 30), (4, 7, 2))
    """

    def __init__(
        self,
        source_vocabulary: int,
        target_vocabulary: int,
        embedding_size: int,
        hidden_size: int,
        attention: bool = True,
        dtype: DTypeLike = np.float32,
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

    def encode(self, source: Operand, lengths: Operand | None = None) -> Encoded:
        """The state that ``decode`` starts from: the state of the decoder's cell, and the memory."""
        values, _ = self.encoder(self.source(source), None, lengths)
        _, m_0 = split(values[0], 2, axis=-1)
        h = tanh(self.bridge(m_0))
        if not isinstance(self.decoder, AttentionCell):
            return (h,), None
        y, _ = self.decoder.initial_state(values)
        return (y, h), self.decoder.attention.remember(values, lengths)

    def decode(self, tokens: Operand, state: Encoded) -> tuple[Variable, Encoded]:
        """Tokens (T, B) -> logits (T, B, V) for the token after each of them, and the new state."""
        h, memory = state
        cell = self.decoder.over(memory) if isinstance(self.decoder, AttentionCell) else self.decoder
        x = self.target(tokens)
        with scope("decoder"):
            y, h = unroll(cell, x, h)
        return self.readout(y), (h, memory)

    def attend(self, source: Operand, target: Operand, lengths: Operand | None = None) -> Variable:
        """The weights (T, S, B) of the places of the source for every step of the decoder over ``target``.

        Raises:
            ValueError: the model has no attention.
        """
        if not isinstance(self.decoder, AttentionCell):
            raise ValueError("EncoderDecoder.attend expected a model with attention=True")
        (y, h), memory = self.encode(source, lengths)
        outputs, _ = unroll(self.decoder.over(memory), self.target(target), (y, h))
        queries = concatenate([h[None], outputs[:-1, :, : self.decoder.cell.output_size]])
        return self.decoder.attention(queries, memory)[1]

    def forward(self, source: Operand, target: Operand, lengths: Operand | None = None) -> Variable:
        return self.decode(target, self.encode(source, lengths))[0]
