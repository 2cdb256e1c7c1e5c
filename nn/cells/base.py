"""The base of gated cells: fused weights, their rows by gate, and the product with a recurrent weight."""

from collections.abc import Callable
from copy import copy
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, addmm, contiguous, linear, transpose
from autograd.extend import Array, Operand, Value

from .. import init
from ..functional import activation_function
from ..recurrent import Cell

Activation = str | Callable[[Any], Any]  # a name or a function, which may be one of NumPy's


class Gate:
    """The rows of a fused parameter that belong to one gate: a view, for initialising and looking.

    ``data`` and ``grad`` are arrays that share memory with the parameter's; initialisers take a Gate
    wherever they take a parameter.
    """

    __slots__ = ("parameter", "rows")

    def __init__(self, parameter: Variable, rows: slice):
        self.parameter, self.rows = parameter, rows

    @property
    def data(self) -> Array:
        return self.parameter.data[self.rows]

    @data.setter
    def data(self, value: Operand) -> None:
        self.parameter.data[self.rows] = value
        self.parameter.data = self.parameter.data  # a new version: see Variable.data

    @property
    def grad(self) -> Array | None:
        return None if self.parameter.grad is None else self.parameter.grad.data[self.rows]

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape


class RecurrentWeight:
    """A recurrent weight W (O, H) over one sequence: ``W(h)`` is W h, ``W.plus(x, h)`` is x + W h.

    h (B, H), x and the results (B, O). The weight is transposed once, because products with the copy are
    faster; `VariationalDropout` gives it a mask for h, of ``size`` H.

    >>> W, h = nn.RecurrentWeight(Variable([[1.0, 2.0], [3.0, 4.0]])), Variable([[1.0, 0.0]])
    >>> W(h).data  # the first column of W
    array([[1., 3.]])
    >>> W.plus(Variable([[10.0, 20.0]]), h).data
    array([[11., 23.]])
    """

    __slots__ = ("mask", "weight")

    def __init__(self, weight: Variable):
        if weight.ndim != 2:
            raise ValueError(f"RecurrentWeight expected a matrix (O, H), got shape {weight.shape}")
        self.weight: Variable = contiguous(transpose(weight))
        self.mask: Value | None = None

    @property
    def size(self) -> int:
        return self.weight.shape[0]

    def masked(self, mask: Value) -> Self:
        """The same weight, which multiplies ``h * mask`` from now on."""
        weight = copy(self)
        weight.mask = mask if self.mask is None else self.mask * mask
        return weight

    def hidden(self, h: Variable) -> Variable:
        """h under the mask.

        Raises:
            ValueError: it has another size than the weight.
        """
        if h.shape[1] != self.size:
            who = type(self).__name__
            raise ValueError(f"{who} expected h of size {self.size}, as its weight has, got {h.shape}")
        return h if self.mask is None else h * self.mask

    def __call__(self, h: Variable) -> Variable:
        """W h."""
        return self.plus(None, h)

    def plus(self, x: Variable | None, h: Variable) -> Variable:
        """x + W h, where None stands for an x of zeros."""
        if self.mask is not None:
            h = self.hidden(h)
        return h @ self.weight if x is None else addmm(x, h, self.weight)


class GatedCell(Cell):
    """Base of cells with fused weights: W_ih (gates*H, I), W_hh (gates*H, H) and both biases.

    Args:
        activation: what stands for tanh; a name or a function.
        recurrent_activation: what stands for the σ of the gates.
        zero_bias: start with biases of zero; by default they are random, as in PyTorch.

    A subclass names its gates and writes ``step``, which gets W_ih x and both biases as x, and W_hh as a
    `RecurrentWeight`. `gate`, `nn.init.per_gate` and `nn.init.forget_bias_` find the rows of a gate.

    >>> class CoupledCell(nn.GatedCell):
    ...     gates = ("z", "n")
    ...
    ...     def step(self, x, state, W_hh):
    ...         z, n = ag.split(W_hh.plus(x, state[0]), 2, axis=-1)
    ...         return (ag.lerp(state[0], self.activation(n), self.recurrent_activation(z)),)
    >>> cell = CoupledCell(2, 3)
    >>> cell.weight_hh.shape, cell.gate("weight_hh", "n").shape
    ((6, 3), (3, 3))
    """

    gates: tuple[str, ...] = ("h",)  # in the order of the rows of the weights
    biases = ("bias_ih", "bias_hh")  # two that add up, as in PyTorch and cuDNN

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
        if input_size < 0 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__} expected an input_size of at least 0 and a hidden_size of at least 1,"
                f" got {input_size} and {hidden_size}"
            )
        if zero_bias and not bias:
            raise ValueError(f"{type(self).__name__}: zero_bias=True cannot act with bias=False")
        self.input_size, self.hidden_size = input_size, hidden_size
        self.bias, self.zero_bias = bias, zero_bias
        self.activation = activation_function(type(self).__name__, activation)
        self.recurrent_activation = activation_function(type(self).__name__, recurrent_activation)
        self.make_parameters(hidden_size, bias, dtype)
        self.reset_parameters()

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: DTypeLike) -> None:
        """Allocate the parameters; recurrent_size is the size of the h that is fed back."""
        rows = len(self.gates) * self.hidden_size
        self.weight_ih = Parameter(np.empty((rows, self.input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, recurrent_size), dtype))
        self.bias_ih = Parameter(np.empty(rows, dtype)) if bias else None
        self.bias_hh = Parameter(np.empty(rows, dtype)) if bias else None

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Uniform within ±1/√H, as in PyTorch; with zero_bias, biases are zeros."""
        for name, p in self._own():
            if isinstance(p, Parameter):
                init.fan_in_uniform_(p, self.fan_in(name), rng)
        if self.zero_bias:
            for b in (self.bias_ih, self.bias_hh):
                if b is not None:
                    init.zeros_(b)

    def fan_in(self, name: str) -> int:
        """The n of the initial range ±1/√n of parameter ``name``."""
        return self.hidden_size

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

    def prepare(self, x: Value) -> Any:
        return RecurrentWeight(self.weight_hh)

    def project(self, x: Variable) -> Any:
        """W_ih x + b_ih + b_hh for all gates."""
        bias = None if self.bias_ih is None or self.bias_hh is None else self.bias_ih + self.bias_hh
        return linear(x, self.weight_ih, bias)

    def form(self) -> list[str]:
        """The keywords that make this cell another than the default, as ``repr`` shows them."""
        return [
            *([] if self.bias else ["bias=False"]),
            *(["zero_bias=True"] if self.zero_bias else []),
            *unless("activation", self.activation, "tanh"),
            *unless("recurrent_activation", self.recurrent_activation, "sigmoid"),
        ]

    def extra_repr(self) -> str:
        return ", ".join([str(self.input_size), str(self.hidden_size), *self.form()])


def unless(keyword: str, function: Callable[..., Any], default: str) -> list[str]:
    """``["keyword=name of the function"]``, or nothing if that is the default."""
    name = getattr(function, "__name__", "?")
    return [] if name == default else [f"{keyword}={name}"]
