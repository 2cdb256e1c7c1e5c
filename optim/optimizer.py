"""Optimizer: parameter groups, per-parameter state, and its way into and out of a checkpoint.

A concrete optimizer writes methods about one parameter: `start` makes its memory before the first step,
`numbers` counts a step and computes the numbers that differ from step to step, `update` changes ``p`` and the
arrays of the memory in place. Gradients are read, never written.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd import Parameter, Variable
from autograd.extend import Array, alike, as_array, isarray, to_host

from .clip import clip_grad_norm_

if TYPE_CHECKING:
    from .lr_scheduler import Rates

Group = Mapping[str, Any]  # parameters, and the settings for them by name
Params = Variable | Iterable[Variable | Group]
State = dict[str, Any]  # the memory of one parameter: counts, numbers, arrays of its shape, None


class Optimizer:
    """Base of all optimizers. With the setting ``maximize`` they climb: gradients count with the other sign.

    Args:
        params: Variables, or dicts ``{"params": Variables, "lr": ...}`` whose other entries replace the
            defaults for that group.
        defaults: the settings of a group that does not name its own.

    Raises:
        ValueError: no parameters, one twice, an unknown setting, or one out of range.
        TypeError: something that is no Variable, or does not require grad and is no Parameter.

    What has no gradient, such as a frozen Parameter, is left as it is, and trained once it has one.

    >>> class SignDescent(optim.Optimizer):
    ...     def start(self, p, group):
    ...         return {}
    ...
    ...     def update(self, p, g, state, group):
    ...         p -= group["lr"] * np.sign(g)
    >>> w = nn.Parameter([3.0, -4.0])
    >>> optimizer = SignDescent([w], {"lr": 0.5})
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w.data
    array([ 2.5, -3.5])
    """

    implied: Group = {}  # settings that PyTorch writes out and that are fixed here

    def __init__(self, params: Params, defaults: Group):
        given = [params] if isinstance(params, Variable) else list(params)
        if not given:
            raise ValueError(
                f"{type(self).__name__} got no parameters: is the module empty, or the iterator used up?"
            )
        groups: list[Any] = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, State] = {}  # by the number of the parameter over all groups
        self.defaults = {name: as_number(value) for name, value in defaults.items()}
        self.rates: Rates | None = None  # shared by all schedules of this optimizer
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Group) -> None:
        """Train more parameters, ``group["params"]``, with settings of their own."""
        who = type(self).__name__
        if not isinstance(group, Mapping) or "params" not in group:
            raise ValueError(f"{who} expected groups like {{'params': Variables, 'lr': ...}}, got {group!r}")
        params = group["params"]
        params = [params] if isinstance(params, Variable) else list(params)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Variable):
                raise TypeError(f"{who} expected Variables, got {type(p).__name__}")
            frozen = isinstance(p, Parameter) and p.dtype.kind == "f"
            if not (p.is_leaf and (p.requires_grad or frozen)):
                raise TypeError(f"{who} expected leaves that require grad, got {p.name or 'one'} that is not")
            if id(p) in known:
                raise ValueError(f"{who} got parameter {p.name or p.shape} twice")
            known.add(id(p))
        given = {name: as_number(value) for name, value in group.items() if name != "params"}
        new = {"params": params, **self.defaults, **given}
        if unknown := new.keys() - self.defaults.keys() - {"params", "initial_lr"}:
            raise ValueError(f"{who} has no setting {', '.join(sorted(unknown))}")
        self.check(new)
        self.param_groups.append(new)

    def check(self, group: Group) -> None:
        """Raise ValueError for a setting out of range: negative, infinite, a momentum of 1."""
        who = type(self).__name__
        for name, value in group.items():
            if name == "params":
                continue
            if name in FLAGS:
                if not isinstance(value, bool):
                    raise ValueError(f"{who} expected {name} to be True or False, got {value!r}")
                continue
            numbers = value if name == "betas" and isinstance(value, tuple | list) else (value,)
            if len(numbers) != (2 if name == "betas" else 1) or not all(map(_is_number, numbers)):
                raise ValueError(f"{who} expected {name} to be {_KINDS.get(name, 'a number')}, got {value!r}")
            if min(numbers) < 0:
                raise ValueError(f"{who} expected {name} of at least 0, got {value}")
            if name in ("momentum", "alpha", "rho", "betas") and max(numbers) >= 1:
                raise ValueError(f"{who} expected {name} from 0 to below 1, got {value}")

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with ``set_to_none=False``, set them to zero instead."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else Variable(np.zeros_like(p.data), False)

    def clip_grad_norm_(self, max_norm: float) -> float:
        """`optim.clip_grad_norm_` for all parameters: returns the joint norm of their gradients before."""
        return clip_grad_norm_([p for group in self.param_groups for p in group["params"]], max_norm)

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        for p, g, state, group in self.due():
            self.update(p.data, g, state, {**group, **self.numbers(state, group)})
            p.data = p.data  # a new version: a graph that still needs the old values notices

    def due(self) -> Iterator[tuple[Variable, Array, State, Group]]:
        """Every parameter that has a gradient, with the gradient, its memory and its group."""
        number = 0
        for group in self.param_groups:
            for p in group["params"]:
                if (g := p.grad) is not None:
                    if number not in self.state:
                        self.state[number] = self.start(p.data, group)
                    g = -p.grad.data if group.get("maximize") else p.grad.data
                    yield p, g, self.state[number], group
                number += 1

    def start(self, p: Array, group: Group) -> State:
        """Make the memory of a parameter before its first step: numbers, arrays of its shape, None."""
        raise NotImplementedError(f"{type(self).__name__} must define start(p, group)")

    def numbers(self, state: State, group: Group) -> Group:
        """Count a step in ``state``; return the numbers for it by name, which `update` finds in its group.

        What a schedule or a count changes belongs here. It is computed at every step, also where `capture`
        replays `update`, which computes with arrays, settings and these numbers alone.
        """
        return {"lr": group["lr"]} if "lr" in group else {}

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        """Take one step for one parameter: write into p and the arrays of state, leave g alone."""
        raise NotImplementedError(f"{type(self).__name__} must define update(p, g, state, group)")

    # -- checkpoints

    def state_dict(self) -> dict[str, Any]:
        """Settings and memory by parameter number, copied; in PyTorch's form, ready for `nn.save`."""
        groups, number = [], 0
        for group in self.param_groups:
            n = len(group["params"])
            groups.append({**group, "params": list(range(number, number + n))})
            number += n
        state = {
            number: {name: np.copy(v) if isarray(v) else v for name, v in entries.items()}
            for number, entries in self.state.items()
        }
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` left off; everything is checked before anything changes.

        Its settings replace the present ones. A state dict of PyTorch's optimizer of the same name works too,
        if it uses no setting that is missing here.

        Raises:
            ValueError: it belongs to another optimizer or other parameters, or is no such dict.
        """
        who = f"{type(self).__name__}.load_state_dict"
        try:
            loaded, memory = [dict(g) for g in state_dict["param_groups"]], dict(state_dict["state"])
            sizes = [len(group["params"]) for group in loaded]
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise ValueError(f"{who} expected a dict with 'state' and 'param_groups'") from error
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise ValueError(f"{who} expected groups of {expected} parameters, got {sizes}")

        groups = [self._merged(*pair) for pair in zip(self.param_groups, loaded, strict=True)]
        owners = [(p, group) for group in groups for p in group["params"]]
        state = {}
        for number, entries in memory.items():
            if not isinstance(number, int) or not 0 <= number < len(owners):
                raise ValueError(f"{who} expected parameters 0 to {len(owners) - 1}, got {number!r}")
            p, group = owners[number]
            fresh = self.start(p.data, group)
            if not isinstance(entries, Mapping) or fresh.keys() != entries.keys():
                got = sorted(map(str, entries)) if isinstance(entries, Mapping) else entries
                raise ValueError(f"{who} expected {sorted(fresh)} for parameter {number}, got {got}")
            for name, old in fresh.items():
                fresh[name] = _fitted(f"{who}: {name} of parameter {number}", old, entries[name], p.data)
            state[number] = fresh
        for group, new in zip(self.param_groups, groups, strict=True):
            group.update(new)
        self.state = state

    def _merged(self, group: Group, loaded: Group) -> dict[str, Any]:
        """The settings of ``group``, replaced by those loaded."""
        new = dict(group)
        for name, value in loaded.items():
            if name in self.defaults or name == "initial_lr":
                new[name] = as_number(tuple(value) if isinstance(value, list) else value)
            elif name != "params" and value not in (None, False, self.implied.get(name, False)):
                raise ValueError(f"{type(self).__name__}.load_state_dict: there is no setting {name}={value}")
        self.check(new)
        return new

    def __repr__(self) -> str:
        lines = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(lines)})"


FLAGS = ("amsgrad", "centered", "decoupled_weight_decay", "maximize", "nesterov")
_KINDS = {"betas": "two numbers"}


def as_number(value: Any) -> Any:
    """A NumPy number or 0-d array as a number of Python's; a tuple item by item; anything else as it is."""
    if isinstance(value, tuple):
        return tuple(map(as_number, value))
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value


def _is_number(x: object) -> bool:
    return isinstance(x, int | float | np.integer | np.floating) and math.isfinite(x)


def _fitted(what: str, old: Array | float | None, value: Any, p: Array) -> Array | float | None:
    """``value`` as a copy of the kind of ``old``: a count, a float or an array like p; None may stay None."""
    if value is None and old is None:
        return None
    array = to_host(as_array(value))
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{what} expected numbers, got {array.dtype}")
    if isinstance(old, int):
        if array.size != 1 or not 0 <= array.item() < 2**53:
            raise ValueError(f"{what} expected a count, got {value!r}")
        return int(array.item())
    if isinstance(old, float):
        if array.size != 1 or not math.isfinite(array.item()):
            raise ValueError(f"{what} expected a number, got {value!r}")
        return float(array.item())
    if array.shape != p.shape:
        raise ValueError(f"{what} expected shape {p.shape}, got {array.shape}")
    with np.errstate(over="ignore"):
        return alike(array.astype(p.dtype), p)
