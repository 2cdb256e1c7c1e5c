"""The gated recurrent unit: a gate for what to forget, and one for what to renew."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Variable, lerp, linear, split
from autograd.extend import Array, Value

from ..recurrent import State
from .base import Activation, GatedCell, RecurrentWeight

CONVENTIONS = {  # who means which form
    ("after", "keep"): "PyTorch, Keras",
    ("before", "keep"): "Cho, Géron",
    ("before", "take"): "Chung, Ng",
    (None, "take"): "Ng, simplified",
}


class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the form of PyTorch and cuDNN:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z = σ(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))     candidate
        h' = (1 - z) ∘ n + z ∘ h

    The literature has three candidates and two meanings of z. ``reset`` says where r acts:

        "after"    the product with W_hn, as above. The default: one product makes all gates.
        "before"   n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn), the form of the papers and of most
                   courses; weights trained under one form do not fit the other.
        None       n = tanh(W_in x + b_in + W_hn h + b_hn), the simplified GRU: no r at all.

    ``update`` says what z = 1 means:

        "keep"     the old state stays, as above: PyTorch, Keras, Cho et al. (2014), Géron.
        "take"     the new one comes, h' = z ∘ n + (1 - z) ∘ h: Chung et al. (2014), Ng, who calls z Γu.

    As 1 - σ(a) = σ(-a), "take" is no other cell, but one with the rows of gate z negated:
    `nn.conventions.set_update` goes from one to the other. ``convention`` names who writes a form.

    Args:
        reset, update: see above.
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero; by default they are random, as in PyTorch.

    >>> cell, h = nn.GRUCell(2, 3), np.array([[0.1, 0.2, 0.3]], "f")
    >>> _ = nn.init.constant_(cell.gate("bias_ih", "z"), 100.0)  # z = 1: the old state is kept
    >>> cell(np.ones((1, 2), "f"), h).data
    array([[0.1, 0.2, 0.3]], dtype=float32)
    """

    gates: tuple[str, ...] = ("r", "z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        reset: str | None = "after",
        update: str = "keep",
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        if reset not in ("after", "before", None):
            raise ValueError(f"GRUCell expected reset 'after', 'before' or None, got {reset!r}")
        check_update(type(self).__name__, update)
        self.reset, self.update = reset, update
        if reset is None:
            self.gates = "z", "n"
        super().__init__(
            input_size,
            hidden_size,
            bias,
            dtype,
            activation=activation,
            recurrent_activation=recurrent_activation,
            zero_bias=zero_bias,
        )

    @property
    def convention(self) -> str | None:
        """Who writes the equations in this form: PyTorch, Keras, Cho, Géron, Chung or Ng; or None."""
        return CONVENTIONS.get((self.reset, self.update))

    def prepare(self, x: Value) -> Any:
        if self.reset == "before":
            W_rz, W_n = split(self.weight_hh, [2 * self.hidden_size])
            return RecurrentWeight(W_rz), RecurrentWeight(W_n)
        return super().prepare(x)

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """W_ih x + b_ih, the gates and the candidate apart; b_hh too, unless r acts on it."""
        after = self.reset == "after"
        x = linear(x, self.weight_ih, self.bias_ih) if after else super().project(x)
        return split(x, [x.shape[-1] - self.hidden_size], axis=-1)

    def step(self, x: tuple[Variable, ...], state: State, W_hh: Any) -> State:
        σ = self.recurrent_activation
        x_rz, x_n = x
        (h,) = state
        if self.reset == "after":
            h_rz, h_n = split(W_hh.plus(self.bias_hh, h), [2 * self.hidden_size], axis=-1)
            r, z = split(σ(x_rz + h_rz), 2, axis=-1)
            n = self.activation(x_n + r * h_n)
        elif self.reset == "before":
            W_rz, W_n = W_hh
            r, z = split(σ(W_rz.plus(x_rz, h)), 2, axis=-1)
            n = self.activation(W_n.plus(x_n, r * h))
        else:
            x_z, (h_z, h_n) = x_rz, split(W_hh(h), 2, axis=-1)
            z = σ(x_z + h_z)
            n = self.activation(x_n + h_n)
        return (lerp(n, h, z) if self.update == "keep" else lerp(h, n, z),)

    def form(self) -> list[str]:
        convention = [f"convention={self.convention!r}"] if self.convention else []
        return [*super().form(), *form_of(self.reset, self.update), *convention]


def check_update(who: str, update: str) -> None:
    """Raise unless ``update`` is one of the two meanings of z."""
    if update not in ("keep", "take"):
        raise ValueError(
            f"{who} expected update 'keep' (z = 1 keeps the old state) or 'take' (it takes the new one),"
            f" got {update!r}"
        )


def negate_z(cell: GatedCell, rows: Array) -> Array:
    """A copy of ``rows`` (gates·H, ...) of a GRU in which those of gate z are negated."""
    start, negated = cell.gates.index("z") * cell.hidden_size, rows.copy()
    negated[start : start + cell.hidden_size] *= -1
    return negated


def form_of(reset: str | None, update: str) -> list[str]:
    """The keywords of a form of the GRU, as far as they are not the default."""
    keywords = [] if reset == "after" else [f"reset={reset!r}"]
    return keywords if update == "keep" else [*keywords, f"update={update!r}"]
