"""Cells whose gates do not see h: linear in their state, for any loop and for `Recurrent(cell, scan=True)`.

Each is h' = a ∘ h + b with a and b of x alone, so that dh_T/dh_0 is the product of all a: no weight and no
tanh stand in the way of a gradient, which fades exactly as the state does. How soon that is, |a| decides,
and in that the cells differ. As everywhere, shapes are x (B, I) and h (B, H), and `coefficients` are the
docstring line by line.
"""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, cos, exp, expand_dims, expm1, linear, sin, softplus, split, sqrt
from autograd import sum as sum_
from autograd.extend import Array, Value, alike

from .. import init
from ..random import default_rng
from ..recurrent import LinearCell, State, zeros
from .base import Activation, GatedCell, unless


class LinearGatedCell(GatedCell, LinearCell):
    """Base of linear cells with gates: W_ih (gates*H, I) and b_ih, and nothing that h is multiplied by."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "identity",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
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
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = Parameter(np.empty((rows, self.input_size), dtype))
        self.bias_ih = Parameter(np.empty(rows, dtype)) if bias else None
        self.bias_hh = None

    def fan_in(self, name: str) -> int:
        return max(self.input_size, 1)

    def prepare(self, x: Value) -> Any:
        return None

    def project(self, x: Variable) -> Any:
        """W_ih x + b_ih for all gates."""
        return linear(x, self.weight_ih, self.bias_ih)

    def form(self) -> list[str]:
        form = [part for part in super().form() if not part.startswith("activation=")]
        return [*form, *unless("activation", self.activation, "identity")]


class MinGRUCell(LinearGatedCell):
    """minGRU (Feng et al. 2024, Were RNNs All We Needed?): a GRU whose gate and candidate do not see h.

        z = σ(W_z x + b_z)
        n = W_n x + b_n
        h' = (1 - z) ∘ h + z ∘ n        a = 1 - z, b = z ∘ n

    The paper calls n h̃. At first z is around 1/2, and a state around 2^-t after t steps.

    Args:
        lower_bound: γ of HGRN (Qin et al. 2023): z = (1 - γ) σ(...), so that at least γ of h stays. There it
            grows from layer to layer, so that upper layers remember for longer.
        activation: of n; a name or a function. None by default.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero.

    Raises:
        ValueError: lower_bound is not from 0 to below 1.

    >>> layer = nn.Recurrent(nn.MinGRUCell(2, 3, lower_bound=0.5), scan=True)
    >>> h0 = Variable(np.full((1, 3), 8.0, "f"))
    >>> _, (h,) = layer(np.ones((3, 1, 2), "f"), h0)
    >>> bool((ag.grad(h.sum(), h0).data >= 0.5**3).all())  # at least half of it in each of three steps
    True
    """

    gates = ("z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        lower_bound: float = 0.0,
        activation: Activation = "identity",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
        if not 0 <= lower_bound < 1:
            raise ValueError(f"MinGRUCell expected a lower_bound from 0 to below 1, got {lower_bound}")
        self.lower_bound = lower_bound
        super().__init__(
            input_size,
            hidden_size,
            bias,
            dtype,
            activation=activation,
            recurrent_activation=recurrent_activation,
            zero_bias=zero_bias,
        )

    def coefficients(self, x: Variable, fixed: None) -> tuple[Variable, Variable]:
        x_z, x_n = split(x, 2, axis=-1)
        z = self.recurrent_activation(x_z)
        if self.lower_bound:
            z = z * (1.0 - self.lower_bound)
        n = self.activation(x_n)
        return 1.0 - z, z * n

    def form(self) -> list[str]:
        return [*super().form(), *([f"lower_bound={self.lower_bound}"] if self.lower_bound else [])]


class MinLSTMCell(LinearGatedCell):
    """minLSTM (Feng et al. 2024): forget and input gate of x alone, which share out 1.

        f, i = σ(W_f x + b_f), σ(W_i x + b_i)
        n = W_n x + b_n
        h' = f / (f + i) ∘ h + i / (f + i) ∘ n

    Args:
        activation: of n; a name or a function. None by default.
        recurrent_activation: what stands for σ; positive.
        zero_bias: start with biases of zero.

    >>> layer = nn.Recurrent(nn.MinLSTMCell(2, 3), scan=True)
    >>> y, (h,) = layer(np.ones((1000, 1, 2), "f"))
    >>> y.shape
    (1000, 1, 3)
    """

    gates = ("f", "i", "n")

    def coefficients(self, x: Variable, fixed: None) -> tuple[Variable, Variable]:
        σ = self.recurrent_activation
        x_f, x_i, x_n = split(x, 3, axis=-1)
        f, i = σ(x_f), σ(x_i)
        n = self.activation(x_n)
        return f / (f + i), i / (f + i) * n


class SRUCell(LinearGatedCell):
    """Simple recurrent unit (Lei et al. 2018), in the form without c in its gates:

        f, r = σ(W_f x + b_f), σ(W_r x + b_r)
        c' = f ∘ c + (1 - f) ∘ W_c x
        h' = r ∘ tanh(c') + (1 - r) ∘ x        W_s x for x where I and H differ

    The paper adds v ∘ c to the gates, with which c' is no longer linear in c. The state is (h, c).

    Args:
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for σ.
        zero_bias: start with biases of zero.

    >>> y, (h, c) = nn.Recurrent(nn.SRUCell(4, 4), scan=True)(np.ones((5, 2, 4), "f"))
    >>> y.shape, c.shape
    ((5, 2, 4), (2, 4))
    """

    gates = ("f", "r", "c")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
        *,
        activation: Activation = "tanh",
        recurrent_activation: Activation = "sigmoid",
        zero_bias: bool = False,
    ):
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
        super().make_parameters(recurrent_size, bias, dtype)
        I, H = self.input_size, self.hidden_size  # noqa: E741
        self.weight_skip = None if I == H else Parameter(np.empty((H, I), dtype))

    @property
    def parts(self) -> tuple[str, ...]:
        return "h", "c"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.hidden_size), zeros(x, self.hidden_size)

    def project(self, x: Variable) -> tuple[Variable, Variable]:
        """W_ih x + b_ih for all gates, and x or W_s x."""
        return super().project(x), x if self.weight_skip is None else linear(x, self.weight_skip)

    def coefficients(self, x: Any, fixed: None) -> tuple[Variable, Variable]:
        x_f, _, x_c = split(x[0], 3, axis=-1)
        f = self.recurrent_activation(x_f)
        return f, (1.0 - f) * x_c

    def state_of(self, h: Variable, x: Any, fixed: None) -> State:
        c, skip = h, x[1]
        r = self.recurrent_activation(split(x[0], 3, axis=-1)[1])
        return r * self.activation(c) + (1.0 - r) * skip, c

    def form(self) -> list[str]:
        form = [part for part in super().form() if not part.startswith("activation=")]
        return [*form, *unless("activation", self.activation, "tanh")]


class RGLRUCell(LinearGatedCell):
    """Real-gated linear recurrent unit (De et al. 2024, Griffin): a decay per unit, a gate in its exponent.

        r, i = σ(W_r x + b_r), σ(W_i x + b_i)
        u = W_u x + b_u
        a = σ(Λ)^(8 r)
        h' = a ∘ h + √(1 - a²) ∘ (i ∘ u)

    √(1 - a²) keeps the size of h, whatever a is. W_u is the product that the paper has before the unit, where
    x and h are of one size. Λ (H) is ``decay``: at first σ(Λ)^8 is uniform from 0.9 to 0.999, so that units
    remember for about 10 to 1000 steps.

    Args:
        activation: of u; none by default.
        recurrent_activation: what stands for σ in the gates.
        zero_bias: start with biases of zero.

    >>> cell = nn.RGLRUCell(2, 1000)
    >>> a = 1 / (1 + np.exp(-cell.decay.data)) ** 8
    >>> bool(0.9 < a.min() < 0.91 and 0.99 < a.max() < 0.9991)
    True
    """

    gates = ("r", "i", "u")
    decay: Parameter

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        super().make_parameters(recurrent_size, bias, dtype)
        self.decay = Parameter(np.empty(self.hidden_size, dtype))

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√I, and Λ as above."""
        super().reset_parameters(rng)
        a = default_rng(rng).uniform(0.9, 0.999, self.hidden_size) ** (1 / 8)
        self.decay.data = np.log(a / (1 - a)).astype(self.decay.dtype)

    def prepare(self, x: Value) -> Variable:
        """8 log σ(Λ)."""
        return softplus(-self.decay) * -8.0

    def coefficients(self, x: Variable, fixed: Variable) -> tuple[Variable, Variable]:
        σ = self.recurrent_activation
        x_r, x_i, x_u = split(x, 3, axis=-1)
        r, i, u = σ(x_r), σ(x_i), self.activation(x_u)
        log_a = r * fixed
        return exp(log_a), sqrt(-expm1(2.0 * log_a)) * (i * u)


class LRUCell(LinearCell):
    """Linear recurrent unit (Orvieto et al. 2023): complex numbers that turn and fade, alike at every step.

        λ = e^(-e^ν + i e^θ)        one per unit, |λ| < 1 whatever ν is
        h' = λ ∘ h + e^γ ∘ B x
        y = Re(C h') + D x

    The state is (y, re, im), h being re + i im. No gate and no function: all that is not linear has to stand
    between layers. Where an RNN has a matrix, this has its eigenvalues; they start in a ring, uniform over
    its area, with e^γ = √(1 - |λ|²), which gives h the size of x. B (H, I) and C (O, H) are complex, B_re,
    B_im and so on; D (O, I) is real.

    Args:
        input_size, hidden_size, output_size: I, H and O; O is H by default.
        r_min, r_max: the radii of the ring.
        max_phase: up to which angle eigenvalues start; small for long sequences with slow changes.

    Raises:
        ValueError: a size is too small, or the radii are no radii of a ring in the unit disc.

    >>> cell = nn.LRUCell(2, 1000, r_min=0.9, r_max=0.99)
    >>> λ = cell.eigenvalues()
    >>> bool(0.9 <= np.abs(λ).min() < 0.902 and 0.988 < np.abs(λ).max() <= 0.99)
    True
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        output_size: int | None = None,
        dtype: DTypeLike = np.float32,
        *,
        r_min: float = 0.9,
        r_max: float = 0.999,
        max_phase: float = 2 * np.pi,
    ):
        if input_size < 1 or min(hidden_size, hidden_size if output_size is None else output_size) < 1:
            raise ValueError(
                "LRUCell expected an input_size, a hidden_size and an output_size of at least 1,"
                f" got {input_size}, {hidden_size} and {output_size}"
            )
        if not (0 <= r_min < r_max <= 1 and max_phase > 0):
            raise ValueError(
                "LRUCell expected 0 <= r_min < r_max <= 1 and a max_phase above 0,"
                f" got {r_min}, {r_max} and {max_phase}"
            )
        I, H, O = input_size, hidden_size, hidden_size if output_size is None else output_size  # noqa: E741
        self.input_size, self.hidden_size, self._output_size = I, H, O
        self.r_min, self.r_max, self.max_phase = r_min, r_max, max_phase
        self.nu, self.theta, self.gamma = (Parameter(np.empty(H, dtype)) for _ in range(3))
        self.B_re, self.B_im = (Parameter(np.empty((H, I), dtype)) for _ in range(2))
        self.C_re, self.C_im = (Parameter(np.empty((O, H), dtype)) for _ in range(2))
        self.D = Parameter(np.empty((O, I), dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Eigenvalues uniform over the ring; B, C and D normal, of variance 1/(2 I), 1/H and 1/I."""
        draw, H, dtype = default_rng(rng), self.hidden_size, self.nu.dtype
        square = draw.uniform(self.r_min**2, self.r_max**2, H)
        self.nu.data = np.log(-0.5 * np.log(square)).astype(dtype)
        self.theta.data = np.log(draw.uniform(1e-3 * self.max_phase, self.max_phase, H)).astype(dtype)
        self.gamma.data = (0.5 * np.log(1 - square)).astype(dtype)
        for p, variance in [
            (self.B_re, 0.5 / self.input_size),
            (self.B_im, 0.5 / self.input_size),
            (self.C_re, 1 / H),
            (self.C_im, 1 / H),
            (self.D, 1 / self.input_size),
        ]:
            init.normal_(p, std=variance**0.5, rng=rng)

    def eigenvalues(self) -> Array:
        """λ (H), complex: where they are on the disc."""
        λ: Array = np.exp(-np.exp(self.nu.data) + 1j * np.exp(self.theta.data))
        return λ

    @property
    def output_size(self) -> int:
        return self._output_size

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", "re", "im"

    def initial_state(self, x: Value) -> State:
        return zeros(x, self.output_size), zeros(x, self.hidden_size), zeros(x, self.hidden_size)

    def prepare(self, x: Value) -> tuple[tuple[Variable, Variable], Variable]:
        """λ, and e^γ."""
        size, angle = exp(-exp(self.nu)), exp(self.theta)
        return (size * cos(angle), size * sin(angle)), exp(self.gamma)

    def project(self, x: Variable) -> tuple[Variable, Variable, Variable]:
        """B x, its parts apart, and D x."""
        return linear(x, self.B_re), linear(x, self.B_im), linear(x, self.D)

    def coefficients(self, x: Any, fixed: Any) -> tuple[Any, Any]:
        λ, size = fixed
        return λ, (size * x[0], size * x[1])

    def state_of(self, h: Any, x: Any, fixed: Any) -> State:
        re, im = h
        return linear(re, self.C_re) - linear(im, self.C_im) + x[2], re, im

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.output_size}, r={self.r_min} to {self.r_max}"


class SelectiveSSMCell(LinearCell):
    """Selective state space model with a diagonal A (Gu & Dao 2023, the S6 of Mamba), small:

        [u δ B C] = W_ih x
        Δ = softplus(δ + b_Δ)                 how long this input lasts, per channel
        s' = e^(Δ A) ∘ s + Δ u B              (H, N): N numbers for each of H channels; A = -e^(log A)
        y = s' C + D ∘ u

    A large Δ forgets and reads, a Δ near 0 passes over x: what is kept depends on what is read. The state is
    (y, s). W_u is Mamba's projection into the block; its convolution and its gate after the unit are layers
    of their own.

    Args:
        input_size, hidden_size, state_size: I, H and N.
        min_step, max_step: between which softplus(b_Δ) starts, uniform in its logarithm.

    >>> y, (_, s) = nn.Recurrent(nn.SelectiveSSMCell(2, 3, 4), scan=True)(np.ones((5, 1, 2), "f"))
    >>> y.shape, s.shape
    ((5, 1, 3), (1, 3, 4))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        state_size: int = 16,
        dtype: DTypeLike = np.float32,
        *,
        min_step: float = 0.001,
        max_step: float = 0.1,
    ):
        if min(input_size, hidden_size, state_size) < 1:
            raise ValueError(
                "SelectiveSSMCell expected an input_size, a hidden_size and a state_size of at least 1,"
                f" got {input_size}, {hidden_size} and {state_size}"
            )
        I, H, N = input_size, hidden_size, state_size  # noqa: E741
        self.input_size, self.hidden_size, self.state_size = I, H, N
        self.min_step, self.max_step = min_step, max_step
        self.weight_ih = Parameter(np.empty((2 * H + 2 * N, I), dtype))
        self.bias_step = Parameter(np.empty(H, dtype))
        self.log_A = Parameter(np.empty((H, N), dtype))
        self.D = Parameter(np.empty(H, dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """W_ih uniform within ±1/√I, A = -1, -2, ... -N in every channel, D ones."""
        init.fan_in_uniform_(self.weight_ih, self.input_size, rng)
        low, high = np.log(self.min_step), np.log(self.max_step)
        first = np.exp(default_rng(rng).uniform(low, high, self.hidden_size))
        self.bias_step.data = np.log(np.expm1(first)).astype(self.D.dtype)  # the inverse of softplus
        self.log_A.data = np.tile(np.log(np.arange(1, self.state_size + 1)), (self.hidden_size, 1)).astype(
            self.D.dtype
        )
        init.ones_(self.D)

    @property
    def parts(self) -> tuple[str, ...]:
        return "y", "s"

    def initial_state(self, x: Value) -> State:
        s = alike(np.zeros((x.shape[1], self.hidden_size, self.state_size), x.dtype), x)
        return zeros(x, self.hidden_size), Variable(s, requires_grad=False, name="0")

    def prepare(self, x: Value) -> Variable:
        """A."""
        return -exp(self.log_A)

    def project(self, x: Variable) -> tuple[Variable, ...]:
        """u, Δ, B and C."""
        H, N = self.hidden_size, self.state_size
        u, step, B, C = split(linear(x, self.weight_ih), [H, 2 * H, 2 * H + N], axis=-1)
        return u, softplus(step + self.bias_step), B, C

    def coefficients(self, x: Any, fixed: Variable) -> tuple[Variable, Variable]:
        (u, step, B, _), A = x, fixed
        return exp(expand_dims(step, -1) * A), expand_dims(step * u, -1) * expand_dims(B, -2)

    def state_of(self, h: Variable, x: Any, fixed: Variable) -> State:
        u, _, _, C = x
        return sum_(h * expand_dims(C, -2), axis=-1) + self.D * u, h

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, {self.state_size}"
