"""Cells: one step of a recurrent network each, written as the equations stand in its docstring.

Shapes: x (B, I), h and c (B, H). Weights are fused over gates as in PyTorch, gates one after the other
along the first axis. The products with x are made by ``project``, for a whole sequence at once; what
``step`` sees as x is W_ih x + b_ih. Nothing here knows about time. Peepholes and layer normalisation
are in `cells_extra`, what can be put around any cell in `wrappers`.
"""

from collections.abc import Callable
from copy import copy
from operator import attrgetter
from typing import Any

import numpy as np

from autograd import Parameter, Variable, addmm, contiguous, lerp, linear, sigmoid, split, transpose

from . import init
from .functional import activation_function
from .recurrent import Cell, State, zeros

Activation = str | Callable[[Any], Any]


class Gate:
    """The rows of a fused parameter that belong to one gate: a view, for initialising and looking.

    ``data`` and ``grad`` are arrays that share memory with the parameter's; initialisers take a Gate
    wherever they take a parameter.
    """

    __slots__ = ("parameter", "rows")

    def __init__(self, parameter: Variable, rows: slice):
        self.parameter, self.rows = parameter, rows

    @property
    def data(self) -> Any:
        return self.parameter.data[self.rows]

    @data.setter
    def data(self, value: Any) -> None:
        self.parameter.data[self.rows] = value
        self.parameter.data = self.parameter.data  # a new version: see Variable.data

    @property
    def grad(self) -> Any:
        return None if self.parameter.grad is None else self.parameter.grad.data[self.rows]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape


class Product:
    """A product with a recurrent weight W (O, H), as it is used over one sequence.

    ``W(h)`` is W h, and ``W(h, x)`` is x + W h, for rows of h (B, H). The weight is transposed once,
    because products with the copy are faster; `VariationalDropout` gives it a mask for h, of ``size`` H.
    """

    __slots__ = ("mask", "weight")

    def __init__(self, weight: Any):
        self.weight = contiguous(transpose(weight))
        self.mask: Any = None

    @property
    def size(self) -> int:
        return self.weight.shape[0]

    def masked(self, mask: Any) -> "Product":
        """The same product, of ``h * mask``."""
        product = copy(self)
        product.mask = mask if self.mask is None else self.mask * mask
        return product

    def __call__(self, h: Any, x: Any = None) -> Any:
        if self.mask is not None:
            h = h * self.mask
        return h @ self.weight if x is None else addmm(x, h, self.weight)


class GatedCell(Cell):
    """Base of cells with fused weights: W_ih (gates*H, I), W_hh (gates*H, H) and both biases."""

    gates: tuple[str, ...] = ("h",)  # in the order of the rows of the weights
    biases = ("bias_ih", "bias_hh")  # two that add up, as in PyTorch and cuDNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = np.float32,
        *,
        activation: Activation = "tanh",
    ):
        if input_size < 0 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__} expected an input_size of at least 0 and a hidden_size of at least 1,"
                f" got {input_size} and {hidden_size}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.activation = activation_function(type(self).__name__, activation)
        self.make_parameters(hidden_size, bias, dtype)
        self.reset_parameters()

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: Any) -> None:
        """Allocate the parameters; recurrent_size is the size of the h that is fed back."""
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = Parameter(np.empty((rows, self.input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, recurrent_size), dtype))
        self.bias_ih = Parameter(np.empty(rows, dtype)) if bias else None
        self.bias_hh = Parameter(np.empty(rows, dtype)) if bias else None

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H, as in PyTorch."""
        for _, p in self._own():
            init.fan_in_uniform_(p, self.hidden_size, rng)

    def gate(self, name: str, gate: str) -> Gate:
        """The part of parameter ``name`` that belongs to ``gate``: ``cell.gate("weight_hh", "f")``.

        Raises:
            ValueError: there is no such gate, or the parameter is missing or not fused over gates.
        """
        who, H = type(self).__name__, self.hidden_size
        if gate not in self.gates:
            raise ValueError(f"{who} has the gates {', '.join(self.gates)}, got {gate!r}")
        try:
            parameter = attrgetter(name)(self)
        except AttributeError:
            parameter = None
        start = self.gates.index(gate) * H
        if not isinstance(parameter, Variable) or parameter.shape[0] < start + H:
            raise ValueError(f"{who} has no parameter {name!r} with rows for gate {gate!r}")
        return Gate(parameter, slice(start, start + H))

    def prepare(self, x: Any) -> Any:
        return Product(self.weight_hh)

    def project(self, x: Any) -> Any:
        """W_ih x + b_ih + b_hh for all gates."""
        bias = None if self.bias_ih is None else self.bias_ih + self.bias_hh
        return linear(x, self.weight_ih, bias)

    def extra_repr(self) -> str:
        parts = [str(self.input_size), str(self.hidden_size)]
        if self.bias_ih is None:
            parts.append("bias=False")
        if (name := getattr(self.activation, "__name__", "?")) != "tanh":
            parts.append(f"activation={name}")
        return ", ".join(parts)


class RNNCell(GatedCell):
    """Elman network:

        h' = tanh(W_ih x + b_ih + W_hh h + b_hh)

    Args:
        nonlinearity: "tanh", "relu", another name or a function: what stands for tanh.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: Activation = "tanh",
        dtype: Any = np.float32,
    ):
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype, activation=nonlinearity)

    def step(self, x: Any, state: State, W: Any) -> State:
        (h,) = state
        return (self.activation(W(h, x)),)


class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the form of PyTorch and cuDNN:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z = σ(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))     candidate
        h' = (1 - z) ∘ n + z ∘ h

    The literature has three candidates and two meanings of z. ``reset`` says where r acts:

        "after"    the product with W_hn, as above. The default: one product makes all gates.
        "before"   n = tanh(W_in x + b_in + W_hn (r ∘ h) + b_hn), the form of Cho et al. and of most
                   courses; weights trained under one form do not fit the other.
        None       n = tanh(W_in x + b_in + W_hn h + b_hn), the simplified GRU: no r at all.

    Here z = 1 keeps the old state, as in PyTorch and Keras. Cho's first paper and courses that write
    h' = Γ ∘ n + (1 - Γ) ∘ h mean Γ = 1 - z. As 1 - σ(a) = σ(-a), that is no other cell: negate the rows
    of gate z in all weights and biases to go from one to the other.

    Args:
        reset: see above.
        activation: what stands for tanh; a name or a function.
    """

    gates: tuple[str, ...] = ("r", "z", "n")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        dtype: Any = np.float32,
        *,
        reset: str | None = "after",
        activation: Activation = "tanh",
    ):
        if reset not in ("after", "before", None):
            raise ValueError(f"GRUCell expected reset 'after', 'before' or None, got {reset!r}")
        self.reset = reset
        if reset is None:
            self.gates = "z", "n"
        super().__init__(input_size, hidden_size, bias, dtype, activation=activation)

    def prepare(self, x: Any) -> Any:
        if self.reset == "before":
            W_rz, W_n = split(self.weight_hh, [2 * self.hidden_size])
            return Product(W_rz), Product(W_n)
        return super().prepare(x)

    def project(self, x: Any) -> Any:
        """W_ih x + b_ih, the gates and the candidate apart; b_hh too, unless r acts on it."""
        after = self.reset == "after"
        x = linear(x, self.weight_ih, self.bias_ih) if after else super().project(x)
        return split(x, [x.shape[-1] - self.hidden_size], axis=-1)

    def step(self, x: Any, state: State, W: Any) -> State:
        x_gates, x_n = x
        (h,) = state
        if self.reset == "after":
            a_gates, a_n = split(W(h, self.bias_hh), [2 * self.hidden_size], axis=-1)
            r, z = split(sigmoid(x_gates + a_gates), 2, axis=-1)
            n = x_n + r * a_n
        elif self.reset == "before":
            W_rz, W_n = W
            r, z = split(sigmoid(W_rz(h, x_gates)), 2, axis=-1)
            n = W_n(r * h, x_n)
        else:
            a_z, a_n = split(W(h), 2, axis=-1)
            z = sigmoid(x_gates + a_z)
            n = x_n + a_n
        n = self.activation(n)
        return (lerp(n, h, z),)

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.reset == "after" else f", reset={self.reset!r}")


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
        forget_bias: start with this bias in the forget gate; by default it is random, as in PyTorch.
    """

    gates = ("i", "f", "g", "o")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        dtype: Any = np.float32,
        *,
        activation: Activation = "tanh",
        output_activation: Activation = "tanh",
        forget_bias: float | None = None,
    ):
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{type(self).__name__} expected proj_size from 0 to below {hidden_size}, got {proj_size}"
            )
        if forget_bias is not None and not bias:
            raise ValueError(f"{type(self).__name__}: forget_bias={forget_bias} cannot act with bias=False")
        self.proj_size, self.forget_bias = proj_size, forget_bias
        self.output_activation = activation_function(type(self).__name__, output_activation)
        super().__init__(input_size, hidden_size, bias, dtype, activation=activation)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: Any) -> None:
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

    def initial_state(self, x: Any) -> State:
        return zeros(x, self.output_size), zeros(x, self.hidden_size)

    def step(self, x: Any, state: State, W: Any) -> State:
        h, c = state
        i, f, g, o = split(W(h, x), 4, axis=-1)
        i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
        g = self.activation(g)
        c = f * c + i * g
        h = o * self.output_activation(c)
        return (linear(h, self.weight_hr) if self.proj_size else h), c

    def extra_repr(self) -> str:
        parts = [super().extra_repr()]
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        if (name := getattr(self.output_activation, "__name__", "?")) != "tanh":
            parts.append(f"output_activation={name}")
        return ", ".join(parts)
