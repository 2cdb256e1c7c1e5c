"""Cells: one step of a recurrent network each, written as the equations stand in its docstring.

Shapes: x (B, I), h and c (B, H). Weights are fused over gates as in PyTorch, gates one after the other
along the first axis. The products with x are made by ``project``, for a whole sequence at once; what
``step`` sees as x is W_ih x + b_ih. Nothing here knows about time.
"""

from typing import Any

import numpy as np

from autograd import Parameter, addmm, contiguous, linear, relu, sigmoid, split, tanh, transpose

from . import init
from .recurrent import Cell, State, zeros


class GatedCell(Cell):
    """Base of cells with fused weights: W_ih (gates*H, I), W_hh (gates*H, H) and both biases."""

    gates = 1

    def __init__(self, input_size: int, hidden_size: int, bias: bool = True, dtype: Any = np.float32):
        if input_size < 0 or hidden_size < 1:
            raise ValueError(
                f"{type(self).__name__} expected sizes of at least 0 and 1, got {input_size} and {hidden_size}"
            )
        self.input_size, self.hidden_size = input_size, hidden_size
        self.make_parameters(hidden_size, bias, dtype)
        self.reset_parameters()

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: Any) -> None:
        """Allocate the parameters; recurrent_size is the size of the h that is fed back."""
        rows = self.gates * self.hidden_size
        self.weight_ih = Parameter(np.empty((rows, self.input_size), dtype))
        self.weight_hh = Parameter(np.empty((rows, recurrent_size), dtype))
        self.bias_ih = Parameter(np.empty(rows, dtype)) if bias else None
        self.bias_hh = Parameter(np.empty(rows, dtype)) if bias else None

    def reset_parameters(self) -> None:
        """Uniform within ±1/√H, as in PyTorch."""
        for p in self.parameters():
            init.fan_in_uniform_(p, self.hidden_size)

    def prepare(self, x: Any) -> Any:
        return contiguous(transpose(self.weight_hh))  # h @ W is faster on the transposed copy

    def project(self, x: Any) -> Any:
        """W_ih x + b_ih + b_hh for all gates."""
        bias = None if self.bias_ih is None else self.bias_ih + self.bias_hh
        return linear(x, self.weight_ih, bias)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias_ih is not None else ", bias=False")


class RNNCell(GatedCell):
    """Elman network:  h' = tanh(W_ih x + b_ih + W_hh h + b_hh),  or relu."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        dtype: Any = np.float32,
    ):
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"RNNCell expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, dtype)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        (h,) = state
        activation = tanh if self.nonlinearity == "tanh" else relu
        return (activation(addmm(x, h, fixed)),)


class GRUCell(GatedCell):
    """Gated recurrent unit (Cho et al. 2014), in the form of PyTorch and cuDNN, where the reset gate acts
    after the matrix product, and z = 1 keeps the old state:

        r = σ(W_ir x + b_ir + W_hr h + b_hr)              reset gate
        z = σ(W_iz x + b_iz + W_hz h + b_hz)              update gate
        n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn))     candidate
        h' = (1 - z) ∘ n + z ∘ h
    """

    gates = 3

    def project(self, x: Any) -> Any:
        """W_ih x + b_ih for all gates; b_hh has to wait, because r acts on it."""
        return linear(x, self.weight_ih, self.bias_ih)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        (h,) = state
        H = self.hidden_size
        a = h @ fixed if self.bias_hh is None else addmm(self.bias_hh, h, fixed)
        (x_rz, x_n), (a_rz, a_n) = split(x, [2 * H], axis=-1), split(a, [2 * H], axis=-1)
        r, z = split(sigmoid(x_rz + a_rz), 2, axis=-1)
        n = tanh(x_n + r * a_n)
        return (n + z * (h - n),)


class LSTMCell(GatedCell):
    """Long short-term memory (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

    [i f g o] = W_ih x + b_ih + W_hh h + b_hh
    i, f, o = σ(i), σ(f), σ(o)      input, forget and output gate
    g = tanh(g)                     candidate
    c' = f ∘ c + i ∘ g              memory
    h' = o ∘ tanh(c')               with proj_size P > 0: W_hr (o ∘ tanh(c')), of size P
    """

    gates = 4

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        proj_size: int = 0,
        dtype: Any = np.float32,
    ):
        if not 0 <= proj_size < hidden_size:
            raise ValueError(
                f"{type(self).__name__} expected proj_size from 0 to below {hidden_size}, got {proj_size}"
            )
        self.proj_size = proj_size
        super().__init__(input_size, hidden_size, bias, dtype)

    def make_parameters(self, recurrent_size: int, bias: bool, dtype: Any) -> None:
        super().make_parameters(self.output_size, bias, dtype)
        if self.proj_size:
            self.weight_hr = Parameter(np.empty((self.proj_size, self.hidden_size), dtype))

    @property
    def output_size(self) -> int:
        return self.proj_size or self.hidden_size

    def initial_state(self, x: Any) -> State:
        return zeros(x, self.output_size), zeros(x, self.hidden_size)

    def step(self, x: Any, state: State, fixed: Any) -> State:
        h, c = state
        i, f, g, o = split(addmm(x, h, fixed), 4, axis=-1)
        i, f, o = sigmoid(i), sigmoid(f), sigmoid(o)
        g = tanh(g)
        c = f * c + i * g
        h = o * tanh(c)
        return (linear(h, self.weight_hr) if self.proj_size else h), c
