"""Layers without a notion of time and with something of their own: parameters, buffers or randomness.

Names, arguments, shapes and defaults are PyTorch's. Activations are in `activations`.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import DTypeLike

from autograd import Parameter, Variable, linear, mean, reshape, sqrt
from autograd.extend import Array, Operand, Value, alike, isarray

from . import functional, init
from .module import Module, Weightless


def check_float(who: str, x: Value, weight: Parameter) -> None:
    """Raise unless x has the dtype of the weights: anything else would run, but in another precision."""
    if x.dtype != weight.dtype:
        other = f" or module.to_dtype(np.{x.dtype})" if x.dtype.kind == "f" else ""
        raise TypeError(
            f"{who} has {weight.dtype} parameters, got {x.dtype} input:"
            f" use x.astype(np.{weight.dtype}){other}"
        )


def as_input(x: Any, module: Module) -> Value:
    """What a module was called on: a Variable or an array as it is, of anything else NumPy's array. Numbers
    in lists, which have no dtype of their own, get that of the module's weights."""
    if isinstance(x, Variable) or isarray(x):
        return x
    weight = None if hasattr(x, "__array__") else next(module.parameters(), None)
    return np.asarray(x) if weight is None else alike(np.asarray(x, weight.dtype), weight)


class Linear(Module):
    """y = x Wᵀ + b: x (..., in_features) -> y (..., out_features).

    Raises:
        ValueError: x has another size. TypeError: x has another dtype than the weights.

    >>> layer = nn.Linear(2, 1)
    >>> layer.load_state_dict({"weight": np.array([[10.0, 1.0]]), "bias": np.array([0.5])})
    >>> layer(np.array([[3.0, 4.0]], "f"))
    Variable([[34.5]], dtype=float32, creator=Linear)
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True, dtype: DTypeLike = np.float32):
        self.in_features, self.out_features = in_features, out_features
        self.weight = Parameter(np.empty((out_features, in_features), dtype))
        self.bias = Parameter(np.empty(out_features, dtype)) if bias else None
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Draw weights and biases anew, uniform within ±1/√in_features."""
        init.fan_in_uniform_(self.weight, self.in_features, rng)
        if self.bias is not None:
            init.fan_in_uniform_(self.bias, self.in_features, rng)

    def forward(self, x: Operand) -> Variable:
        x = as_input(x, self)
        if x.ndim == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"Linear expected input of size {self.in_features}, got shape {x.shape}")
        check_float("Linear", x, self.weight)
        return linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


class Embedding(Module):
    """Row i of a table for every index i: indices (...) -> (..., embedding_dim).

    Row padding_idx starts as zeros and gets no gradient.

    Raises:
        TypeError: the indices are no integers. IndexError: an index is negative or not below num_embeddings.

    >>> table = nn.Embedding(10, 3, padding_idx=0)
    >>> y = table([[4, 2, 4, 0]])
    >>> y.shape, y.data[0, 3]
    ((1, 4, 3), array([0., 0., 0.], dtype=float32))
    >>> ag.grad(y.sum(), table.weight).data[:5, 0]  # row 4 was read twice
    array([0., 0., 1., 0., 2.], dtype=float32)
    """

    def __init__(
        self,
        num_embeddings: int,
        embedding_dim: int,
        padding_idx: int | None = None,
        dtype: DTypeLike = np.float32,
    ):
        if padding_idx is not None and not -num_embeddings <= padding_idx < num_embeddings:
            raise ValueError(
                f"Embedding expected padding_idx within {num_embeddings} rows, got {padding_idx}"
            )
        self.num_embeddings, self.embedding_dim = num_embeddings, embedding_dim
        self.padding_idx = None if padding_idx is None else padding_idx % num_embeddings
        self.weight = Parameter(np.empty((num_embeddings, embedding_dim), dtype))
        self.reset_parameters()

    def reset_parameters(self, rng: np.random.Generator | None = None) -> None:
        """Draw the rows anew, standard normal; the row of padding_idx is zero."""
        init.normal_(self.weight, rng=rng)
        if self.padding_idx is not None:
            self.weight.data[self.padding_idx] = 0

    def forward(self, indices: Operand) -> Variable:
        return functional.embedding(indices, self.weight, self.padding_idx)

    def extra_repr(self) -> str:
        padding = "" if self.padding_idx is None else f", padding_idx={self.padding_idx}"
        return f"{self.num_embeddings}, {self.embedding_dim}{padding}"


class Dropout(Weightless):
    """Zero each element with probability p and scale the rest by 1/(1-p), in training mode only.

    >>> layer, x = nn.Dropout(0.5), np.ones(100)
    >>> np.unique(layer(x)), np.unique(layer.eval()(x))
    (array([0., 2.]), array([1.]))
    """

    def __init__(self, p: float = 0.5, rng: np.random.Generator | None = None):
        if not 0 <= p <= 1:
            raise ValueError(f"Dropout expected a probability between 0 and 1, got {p}")
        self.p, self.rng = p, rng

    def forward(self, x: Operand) -> Value:
        return functional.dropout(as_input(x, self), self.p, self.training, self.rng)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class Normalisation(Module):
    """Base of `LayerNorm` and `BatchNorm1d`: a layer that need not have weights."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, x: Variable) -> Variable: ...
        @overload
        def __call__(self, x: Operand) -> Value: ...
        def __call__(self, x: Operand) -> Any: ...


class LayerNorm(Normalisation):
    """Each sample to zero mean and unit variance over its last axes, then scaled and shifted:

        y = (x - mean) / √(variance + eps) ∘ weight + bias

    Args:
        normalized_shape: the last axes of x, or the size of the last one.
        elementwise_affine: are there a weight and a bias? ``bias=False`` leaves out the second only.

    Raises:
        ValueError: the last axes of x are not normalized_shape.
        TypeError: x has another dtype than the weights.

    >>> y = nn.LayerNorm(2)(np.array([[1.0, 3.0], [-50.0, 50.0]], "f"))
    >>> y.data
    array([[-1.,  1.],
           [-1.,  1.]], dtype=float32)
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
        self.normalized_shape, self.eps = shape, eps
        self.weight = Parameter(np.empty(shape, dtype)) if elementwise_affine else None
        self.bias = Parameter(np.empty(shape, dtype)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to ones and the bias to zeros."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Operand) -> Value:
        x = as_input(x, self)
        if self.weight is not None:
            check_float("LayerNorm", x, self.weight)
        return functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.weight is not None}"


class BatchNorm1d(Normalisation):
    """Each feature to zero mean and unit variance over the batch, then scaled and shifted.

    x (N, C) or (N, C, L). In training mode with the statistics of the batch, of which running averages
    are kept (buffers running_mean, running_var: the unbiased one); in evaluation mode with those.

    Args:
        momentum: the weight of the newest batch in the running averages; None counts all alike.
        affine: are there a weight and a bias?
        track_running_stats: without, evaluation mode takes the statistics of its batch too.

    Raises:
        ValueError: x has another shape, or in training mode one value per feature alone.
        TypeError: x has another dtype than the weights.

    >>> layer = nn.BatchNorm1d(1, momentum=None)
    >>> layer(np.array([[10.0], [30.0]], "f")).data.ravel()
    array([-1.,  1.], dtype=float32)
    >>> layer.eval()(np.array([[20.0]], "f")).data  # the running mean
    array([[0.]], dtype=float32)
    """

    running_mean: Array
    running_var: Array
    num_batches_tracked: Array

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        dtype: DTypeLike = np.float32,
    ):
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        self.weight = Parameter(np.ones(num_features, dtype)) if affine else None
        self.bias = Parameter(np.zeros(num_features, dtype)) if affine else None
        if track_running_stats:
            self.register_buffer("running_mean", np.zeros(num_features, dtype))
            self.register_buffer("running_var", np.ones(num_features, dtype))
            self.register_buffer("num_batches_tracked", np.array(0, np.int64))

    def forward(self, x: Operand) -> Value:
        x = as_input(x, self)
        if x.ndim not in (2, 3) or x.shape[1] != self.num_features:
            C = self.num_features
            raise ValueError(f"BatchNorm1d expected x of shape (N, {C}) or (N, {C}, L), got {x.shape}")
        if self.weight is not None:
            check_float("BatchNorm1d", x, self.weight)
        kept = (1, -1, 1)[: x.ndim]  # a row of features, to be broadcast against x
        if self.training or not self.track_running_stats:
            axes = (0, 2)[: x.ndim - 1]
            count = x.size // max(self.num_features, 1)
            if self.training and count < 2:
                who = type(self).__name__
                raise ValueError(f"{who} expected more than one value per feature, got shape {x.shape}")
            m = mean(x, axes, keepdims=True)
            d = x - m
            v = mean(d * d, axes, keepdims=True)
            if self.training and self.track_running_stats:
                self.track(
                    functional.data_of(m).ravel(), functional.data_of(v).ravel() * (count / (count - 1))
                )
        else:
            d, v = x - self.running_mean.reshape(kept), self.running_var.reshape(kept)
        y = d / sqrt(v + self.eps)
        y = y if self.weight is None else y * reshape(self.weight, kept)
        return y if self.bias is None else y + reshape(self.bias, kept)

    def track(self, m: Array, v: Array) -> None:
        """Move the running averages towards the statistics of one more batch."""
        self.num_batches_tracked += 1
        new = self.momentum if self.momentum is not None else 1.0 / self.num_batches_tracked
        for average, batch in ((self.running_mean, m), (self.running_var, v)):
            old = np.multiply(average, 1 - new, dtype=average.dtype)
            np.copyto(average, old + np.multiply(batch, new, dtype=average.dtype))

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"


class Flatten(Weightless):
    """Axes start_dim to end_dim as one.

    >>> nn.Flatten()(np.zeros((2, 3, 4, 5))).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1):
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Operand) -> Value:
        x = as_input(x, self)
        start, end = self.start_dim % x.ndim, self.end_dim % x.ndim
        return reshape(x, (*x.shape[:start], -1, *x.shape[end + 1 :]))


class Identity(Weightless):
    """x itself.

    >>> nn.Sequential(nn.Linear(2, 3), nn.Identity())(np.ones((1, 2), "f")).shape
    (1, 3)
    """

    def forward(self, x: Value) -> Value:
        return x
