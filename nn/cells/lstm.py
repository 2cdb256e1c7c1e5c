"""Long short-term memory."""

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, linear, split
from autograd.extend import Value

from .. import init
from ..functional import activation_function
from ..recurrent import State, zeros
from .base import Activation, GatedCell, RecurrentWeight, unless


class LSTMCell(GatedCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

        [i f g o] = W_ih x + b_ih + W_hh h + b_hh
        i, f, o = σ(i), σ(f), σ(o)      input, forget and output gate
        g = tanh(g)                     candidate
        c' = f ∘ c + i ∘ g              memory
        h' = o ∘ tanh(c')               with proj_size P > 0: W_hr (o ∘ tanh(c')), of size P

    Some courses leave out the last tanh; ``output_activation="identity"`` is their form. The default
    is that of PyTorch, Keras and the original paper, which keeps h within ±1. Where courses name the
    gates Γu, Γf, Γo and the candidate c̃, they are i, f, o and g; some swap the names of update and forget
    gate, and c' tells which is which: f stands at c, i at g. A form in which the gates look at c
    instead of h is `PeepholeLSTMCell`; none of the three gates acts inside the candidate in any paper.

    Args:
        proj_size: P; h has this size then, and c keeps H.
        activation: what stands for tanh in g; a name or a function.
        output_activation: what stands for tanh in h'.
        recurrent_activation: what stands for σ in the gates.
        forget_bias: start with this bias in the forget gate; by default it is random, as in PyTorch.
        zero_bias: start with zeros in all biases, but for a forget_bias.

    >>> cell = nn.LSTMCell(2, 3, forget_bias=1.0)
    >>> h, c = cell(np.ones((5, 2), "f"))  # one step of five rows, from a state of zeros
    >>> h.shape, c.shape, cell.gate("bias_ih", "f").data
    ((5, 3), (5, 3), array([1., 1., 1.], dtype=float32))
    """

    gates = ("i", "f", "g", "o")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        output_activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        forget_bias: float | None = None,
        zero_bias: bool = False,
    ):
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{type(self).__name__} expected proj_size from 0 to below {hidden_size}, got {proj_size}"
            )
        if forget_bias is not None and not bias:
            raise ValueError(f"{type(self).__name__}: forget_bias={forget_bias} cannot act with bias=False")
        self.proj_size, self.forget_bias = proj_size, forget_bias
        self.output_activation = activation_function(type(self).__name__, output_activation)
        super().__init__(
            input_size,
            hidden_size,
            bias,
            dtype,
            activation=activation,
            recurrent_activation=recurrent_activation,
            zero_bias=zero_bias,
        )

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(self.output_size, bias, dtype)
        if self.proj_size:
            self.weight_hr = Parameter(np.empty((self.proj_size, self.hidden_size), dtype))

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        super().reset_parameters(rng)
        if self.forget_bias is not None:
            init.forget_bias_(self, self.forget_bias)

    @property
    def output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.output_size), zeros(x, self.hidden_size)

    def step(self, x: Variable, state: State, W_hh: RecurrentWeight) -> State:
        σ = self.recurrent_activation
        h, c = state
        i, f, g, o = split(W_hh.plus(x, h), 4, axis=-1)
        i, f, o = σ(i), σ(f), σ(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(c)
        return (linear(h, self.weight_hr) if self.proj_size else h), c

    def form(self) -> list[str]:
        return [
            *super().form(),
            *([f"proj_size={self.proj_size}"] if self.proj_size else []),
            *unless("output_activation", self.output_activation, "tanh"),
        ]
