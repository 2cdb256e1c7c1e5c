"""Initialisers: each fills a parameter, or an array, in place and returns it. They never touch the graph.

Names and formulas are PyTorch's, LeCun's pair is named as in Keras. Recurrent weights are fused over
gates, and an orthogonal or scaled initialiser means something else on the fused matrix than on each
gate; so `per_gate` applies any of them to one gate after the other. Glorot and Bengio add fan-in and
fan-out; some notes print a product in place of the sum, which makes weights far too small.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import numpy as np

from autograd.extend import Operand, alike, as_array, isarray

from .module import Module
from .random import default_rng

__all__ = [
    "calculate_gain",
    "constant_",
    "eye_",
    "fan_in_uniform_",
    "forget_bias_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "lecun_normal_",
    "lecun_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "per_gate",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]

Rng = np.random.Generator | None


class Target(Protocol):
    """A Parameter, a Gate of one, or an array."""

    data: Any

    @property
    def shape(self) -> tuple[int, ...]: ...


P = TypeVar("P", bound=Target)
M = TypeVar("M", bound=Module)


def _fill(p: P, values: Operand) -> P:
    if isarray(p):
        np.copyto(p, alike(as_array(values), p))  # type: ignore[arg-type]
        return p
    p.data[...] = alike(as_array(values), p)
    p.data = p.data  # a new version: see Variable.data
    return p


# --- the same distribution whatever the shape ---------------------------------------------------


def uniform_(p: P, a: float = 0.0, b: float = 1.0, rng: Rng = None) -> P:
    """Uniform on [a, b).

    >>> w = nn.init.uniform_(nn.Parameter(np.empty(1000)), -1.0, 3.0)
    >>> bool(w.data.min() >= -1), bool(w.data.max() < 3)
    (True, True)
    """
    return _fill(p, default_rng(rng).uniform(a, b, p.shape))


def normal_(p: P, mean: float = 0.0, std: float = 1.0, rng: Rng = None) -> P:
    """Normal with the given mean and standard deviation.

    >>> w = nn.init.normal_(nn.Parameter(np.empty(100_000)), mean=2.0, std=0.5)
    >>> np.round([w.data.mean(), w.data.std()], 1)
    array([2. , 0.5])
    """
    return _fill(p, default_rng(rng).normal(mean, std, p.shape))


def constant_(p: P, value: float) -> P:
    """The same value everywhere.

    >>> nn.init.constant_(nn.Parameter(np.empty(2)), 3.0).data
    array([3., 3.])
    """
    return _fill(p, value)


def zeros_(p: P) -> P:
    """Zeros.

    >>> nn.init.zeros_(nn.Parameter(np.empty(2))).data
    array([0., 0.])
    """
    return _fill(p, 0.0)


def ones_(p: P) -> P:
    """Ones.

    >>> nn.init.ones_(nn.Parameter(np.empty(2))).data
    array([1., 1.])
    """
    return _fill(p, 1.0)


def eye_(p: P) -> P:
    """The identity matrix; with ones on the main diagonal also where p is not square.

    >>> nn.init.eye_(nn.Parameter(np.empty((2, 3)))).data
    array([[1., 0., 0.],
           [0., 1., 0.]])
    """
    _need_matrix("eye_", p)
    rows, columns = p.shape
    return _fill(p, np.eye(rows, columns))


def orthogonal_(p: P, gain: float = 1.0, rng: Rng = None) -> P:
    """A random matrix with orthonormal rows or columns, whichever are fewer, times gain (Saxe et al. 2013).

    More than two axes count as (first, product of the rest).

    >>> w = nn.init.orthogonal_(nn.Parameter(np.empty((3, 5))), gain=2.0).data
    >>> np.allclose(w @ w.T, 4 * np.eye(3))
    True
    """
    _fans("orthogonal_", p)
    rows, columns = p.shape[0], math.prod(p.shape[1:])
    q, r = np.linalg.qr(default_rng(rng).normal(size=(max(rows, columns), min(rows, columns))))
    q = q * np.where(np.diag(r) < 0, -1.0, 1.0)  # makes the distribution uniform over such matrices
    return _fill(p, gain * (q if rows >= columns else q.T).reshape(p.shape))


# --- scaled by the number of inputs and outputs -------------------------------------------------


def xavier_uniform_(p: P, gain: float = 1.0, rng: Rng = None) -> P:
    """Uniform with variance gain² 2/(fan_in + fan_out) (Glorot & Bengio 2010), for tanh and sigmoid.

    >>> w = nn.init.xavier_uniform_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 2 / (200 + 300)
    0.004
    """
    return _scaled_uniform(p, gain * math.sqrt(2.0 / sum(_fans("xavier_uniform_", p))), rng)


def xavier_normal_(p: P, gain: float = 1.0, rng: Rng = None) -> P:
    """Normal with variance gain² 2/(fan_in + fan_out) (Glorot & Bengio 2010), for tanh and sigmoid.

    >>> w = nn.init.xavier_normal_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 2 / (200 + 300)
    0.004
    """
    return normal_(p, 0.0, gain * math.sqrt(2.0 / sum(_fans("xavier_normal_", p))), rng)


def kaiming_uniform_(
    p: P, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> P:
    """Uniform with variance gain²/fan (He et al. 2015); 2/fan_in by default, for relu.

    >>> w = nn.init.kaiming_uniform_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 2 / 200
    0.01
    """
    return _scaled_uniform(p, _kaiming_std("kaiming_uniform_", p, a, mode, nonlinearity), rng)


def kaiming_normal_(
    p: P, a: float = 0.0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", rng: Rng = None
) -> P:
    """Normal with variance gain²/fan (He et al. 2015); 2/fan_in by default, for relu.

    >>> w = nn.init.kaiming_normal_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 2 / 200
    0.01
    """
    return normal_(p, 0.0, _kaiming_std("kaiming_normal_", p, a, mode, nonlinearity), rng)


def lecun_uniform_(p: P, rng: Rng = None) -> P:
    """Uniform with variance 1/fan_in (LeCun et al. 1998).

    >>> w = nn.init.lecun_uniform_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 1 / 200
    0.005
    """
    return _scaled_uniform(p, math.sqrt(1.0 / _fans("lecun_uniform_", p)[0]), rng)


def lecun_normal_(p: P, rng: Rng = None) -> P:
    """Normal with variance 1/fan_in (LeCun et al. 1998).

    >>> w = nn.init.lecun_normal_(nn.Parameter(np.empty((300, 200))))
    >>> round(float(w.data.var()), 4)  # 1 / 200
    0.005
    """
    return normal_(p, 0.0, math.sqrt(1.0 / _fans("lecun_normal_", p)[0]), rng)


def fan_in_uniform_(p: P, fan_in: int, rng: Rng = None) -> P:
    """Uniform within ±1/√fan_in, PyTorch's default for linear and recurrent layers.

    >>> w = nn.init.fan_in_uniform_(nn.Parameter(np.empty((300, 100))), 100).data
    >>> round(float(abs(w).max()), 4)  # 1 / √100
    0.1
    """
    bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0.0
    return uniform_(p, -bound, bound, rng)


def calculate_gain(nonlinearity: str, param: float = 0.01) -> float:
    """The factor by which weights grow to make up for what an activation takes away.

    Args:
        nonlinearity: "linear", "sigmoid", "tanh", "relu", "leaky_relu" or "selu".
        param: the negative slope of leaky_relu.

    >>> round(nn.init.calculate_gain("relu"), 4)
    1.4142
    """
    gains = {
        "linear": 1.0,
        "sigmoid": 1.0,
        "tanh": 5 / 3,
        "relu": math.sqrt(2.0),
        "leaky_relu": math.sqrt(2.0 / (1 + param**2)),
        "selu": 3 / 4,
    }
    if nonlinearity not in gains:
        raise ValueError(f"calculate_gain expected one of {', '.join(gains)}, got {nonlinearity!r}")
    return gains[nonlinearity]


def _kaiming_std(who: str, p: Target, a: float, mode: str, nonlinearity: str) -> float:
    fan_in, fan_out = _fans(who, p)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"{who} expected mode 'fan_in' or 'fan_out', got {mode!r}")
    return calculate_gain(nonlinearity, a) / math.sqrt(fan_in if mode == "fan_in" else fan_out)


def _scaled_uniform(p: P, std: float, rng: Rng) -> P:
    return uniform_(p, -math.sqrt(3.0) * std, math.sqrt(3.0) * std, rng)


def _fans(who: str, p: Target) -> tuple[int, int]:
    """(fan_in, fan_out) of a weight (out, in, ...): the axes after the second belong to both."""
    if len(p.shape) < 2 or 0 in p.shape:
        raise ValueError(f"{who} expected a weight of shape (out, in, ...), got {p.shape}")
    field = math.prod(p.shape[2:])
    return p.shape[1] * field, p.shape[0] * field


def _need_matrix(who: str, p: Target) -> None:
    if len(p.shape) != 2:
        raise ValueError(f"{who} expected a matrix, got shape {p.shape}")


# --- one gate at a time -------------------------------------------------------------------------


def per_gate(
    module: M,
    name: str,
    initialiser: Callable[..., Any],
    gates: Iterable[str] | None = None,
    **options: Any,
) -> M:
    """Apply an initialiser to every gate by itself, in every cell of ``module`` that has the parameter.

    Args:
        module: a cell, or anything that contains cells (`nn.LSTM`, a whole model).
        name: a parameter of the cells that is fused over gates, such as "weight_hh" or "bias_ih".
        gates: which ones, by name (``"f"``); all by default.
        options: passed on to the initialiser, each time.

    Returns:
        ``module``.

    Raises:
        ValueError: no cell in ``module`` has such a parameter or such a gate.

    >>> lstm = nn.init.per_gate(nn.LSTM(3, 4), "weight_hh", nn.init.orthogonal_)
    >>> W_f = lstm.state_dict()["weight_hh_l0"][4:8]  # each of the four matrices is orthogonal
    >>> np.allclose(W_f @ W_f.T, np.eye(4), atol=1e-6)
    True
    """
    cells: list[Any] = [
        m for m in module.modules() if getattr(m, "gates", ()) and hasattr(m, name.split(".")[0])
    ]
    if not cells:
        raise ValueError(f"per_gate found no cell with a parameter {name!r} in {type(module).__name__}")
    _need_rows("per_gate", cells)
    for cell in cells:
        for gate in cell.gates if gates is None else gates:
            initialiser(cell.gate(name, gate), **options)
    return module


def _need_rows(who: str, cells: Iterable[Any]) -> None:
    """Raise unless all cells know which rows of their parameters belong to a gate."""
    for cell in cells:
        if not hasattr(cell, "gate"):
            raise TypeError(
                f"{who} cannot tell the gates {', '.join(cell.gates)} of {type(cell).__name__} apart:"
                " let it subclass nn.GatedCell, or write into its parameters"
            )


def forget_bias_(module: M, value: float = 1.0) -> M:
    """Set the bias of every forget gate in ``module``, the sum of the cell's two biases.

    A forget gate that starts open lets gradients through from the first update on (Gers et al. 2000,
    Jozefowicz et al. 2015). PyTorch's default is a random bias around 0.

    >>> nn.init.forget_bias_(nn.LSTMCell(3, 2), 1.0).gate("bias_ih", "f").data
    array([1., 1.], dtype=float32)
    """
    cells: list[Any] = [m for m in module.modules() if "f" in getattr(m, "gates", ())]
    if not cells:
        raise ValueError(f"forget_bias_ found no cell with a forget gate in {type(module).__name__}")
    _need_rows("forget_bias_", cells)
    for cell in cells:
        first, second = cell.biases
        constant_(cell.gate(first, "f"), value)
        zeros_(cell.gate(second, "f"))
    return module
