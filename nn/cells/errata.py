"""Cells that stand in notes and in no paper: here to be measured."""

from autograd import Variable, split
from autograd.extend import Value

from ..recurrent import State, zeros
from .base import GatedCell, RecurrentWeight


class RelevanceLSTMCell(GatedCell):
    """An erratum: the LSTM with the relevance gate Γr of a GRU, as one set of course notes prints it.

        r, i, f, o = σ(W_i x + b_i + W_h c + b_h), each with weights of its own     Γr, Γu, Γf and Γo
        g = tanh(W_ig x + b_ig + W_hg (r ∘ c) + b_hg)                               c̃
        c' = f ∘ c + i ∘ g
        h' = o ∘ c'

    The lines of the GRU were copied: there c is the output. What that changes against `LSTMCell`:

    - c stands where h stands in the LSTM, so the output is not fed back: dc'/dh = 0, and what the gate o does
      in one step no later step can know.
    - A fifth block of weights, 1.25 times as many as the LSTM has, and g waits for r: two products per step
      one after the other.
    - The products see the memory itself, which no tanh keeps within ±1, and neither is h'.

    The state is (h, c). Arguments are those of `GRUCell` without ``reset`` and ``update``.

    >>> cell, x, c = nn.RelevanceLSTMCell(2, 3), np.ones((1, 2), "f"), np.ones((1, 3), "f")
    >>> np.array_equal(cell(x, (0 * c, c))[1].data, cell(x, (9 * c, c))[1].data)  # h does not matter
    True
    """

    gates = ("r", "i", "f", "o", "g")

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, self.hidden_size)

    def prepare(self, x: Value) -> tuple[RecurrentWeight, RecurrentWeight]:
        W_rifo, W_g = split(self.weight_hh, [4 * self.hidden_size])
        return RecurrentWeight(W_rifo), RecurrentWeight(W_g)

    def project(self, x: Variable) -> tuple[Variable, Variable]:
        """W_ih x + b_ih + b_hh, the gates and the candidate apart."""
        return split(super().project(x), [4 * self.hidden_size], axis=-1)

    def step(self, x: tuple[Variable, Variable], state: State, fixed: tuple[RecurrentWeight, ...]) -> State:
        σ, (W_rifo, W_g) = self.recurrent_activation, fixed
        x_rifo, x_g = x
        _, c = state
        r, i, f, o = split(σ(W_rifo.plus(x_rifo, c)), 4, axis=-1)
        g = self.activation(W_g.plus(x_g, r * c))
        c = f * c + i * g
        return o * c, c
