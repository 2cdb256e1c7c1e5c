"""Optimizer: parameter groups, per-parameter state, and its way into and out of a checkpoint.

A concrete optimizer writes `update`, one parameter at a time: it changes ``p.data`` in place and keeps
what it remembers in ``state``. Gradients are read, never written.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from autograd import Variable


class Optimizer:
    """Base of all optimizers.

    Args:
        params: Variables, or dicts ``{"params": Variables, "lr": ...}`` whose other entries replace the
            defaults for that group.
        defaults: the settings of a group that does not name its own.

    Raises:
        ValueError: no parameters, one twice, or a setting out of range.
        TypeError: something that is no Variable, or does not require grad.
    """

    def __init__(self, params: Iterable[Any], defaults: Mapping[str, Any]):
        given = list(params)
        if not given:
            raise ValueError(
                f"{type(self).__name__} got no parameters: is the module empty, or the iterator used up?"
            )
        groups = given if isinstance(given[0], dict) else [{"params": given}]
        self.param_groups: list[dict[str, Any]] = []
        self.state: dict[int, dict[str, Any]] = {}  # by the number of the parameter over all groups
        self._defaults = dict(defaults)
        for group in groups:
            self.add_param_group(group)

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Train more parameters, ``group["params"]``, with settings of their own."""
        params = group["params"]
        params = [params] if isinstance(params, Variable) else list(params)
        known = {id(p) for g in self.param_groups for p in g["params"]}
        for p in params:
            if not isinstance(p, Variable):
                raise TypeError(f"{type(self).__name__} expected Variables, got {type(p).__name__}")
            if not (p.is_leaf and p.requires_grad):
                raise TypeError(
                    f"{type(self).__name__} expected leaves that require grad, got {p.name or 'one'} that is not"
                )
            if id(p) in known:
                raise ValueError(f"{type(self).__name__} got parameter {p.name or p.shape} twice")
            known.add(id(p))
        new = {"params": params, **self._defaults, **{k: v for k, v in group.items() if k != "params"}}
        if unknown := new.keys() - self._defaults.keys() - {"params", "initial_lr"}:
            raise ValueError(f"{type(self).__name__} has no setting {', '.join(sorted(unknown))}")
        self.check(new)
        self.param_groups.append(new)

    def check(self, group: Mapping[str, Any]) -> None:
        """Raise ValueError for a setting that is negative, or a momentum or decay of 1 and more."""
        for name, value in group.items():
            if name in ("lr", "eps", "weight_decay") and not value >= 0:
                raise ValueError(f"{type(self).__name__} expected {name} of at least 0, got {value}")
            if name in ("momentum", "alpha", "rho", "betas"):
                for rate in value if isinstance(value, tuple | list) else (value,):
                    if not 0 <= rate < 1:
                        raise ValueError(
                            f"{type(self).__name__} expected {name} from 0 to below 1, got {value}"
                        )

    def zero_grad(self) -> None:
        """Forget the gradients of all parameters."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        number = 0
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.update(p.data, p.grad.data, self.state.setdefault(number, {}), group)
                    p.data = p.data  # a new version: a graph that still needs the old values notices
                number += 1

    def update(self, p: np.ndarray, g: np.ndarray, state: dict[str, Any], group: dict[str, Any]) -> None:
        """One step for one parameter: write into p, remember in state, leave g alone."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """Settings and memory by parameter number, copied; in PyTorch's form, ready for `nn.save`."""
        groups, number = [], 0
        for group in self.param_groups:
            n = len(group["params"])
            groups.append({**group, "params": list(range(number, number + n))})
            number += n
        state = {k: {name: np.array(v) if isinstance(v, np.ndarray) else v for name, v in s.items()}
                 for k, s in self.state.items()}  # fmt: skip
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue where `state_dict` left off; everything is checked before anything changes.

        Raises:
            ValueError: it belongs to other parameters (number or shape), or is no such dict.
        """
        params = [p for group in self.param_groups for p in group["params"]]
        try:
            groups, memory = list(state["param_groups"]), dict(state["state"])
            sizes = [len(group["params"]) for group in groups]
        except (KeyError, TypeError) as error:
            raise ValueError(f"{type(self).__name__}.load_state_dict: this is no optimizer state") from error
        expected = [len(group["params"]) for group in self.param_groups]
        if sizes != expected:
            raise ValueError(f"{type(self).__name__} expected groups of {expected} parameters, got {sizes}")
        for number, entries in memory.items():
            for name, value in entries.items():
                if not 0 <= number < len(params) or np.ndim(value) and value.shape != params[number].shape:
                    raise ValueError(
                        f"{type(self).__name__}: {name} of parameter {number} does not fit, shape {np.shape(value)}"
                    )
        for group, loaded in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in loaded.items() if k != "params"})
        self.state = {
            number: {k: np.array(v) if np.ndim(v) else v for k, v in entries.items()}
            for number, entries in memory.items()
        }

    def __repr__(self) -> str:
        lines = [", ".join(f"{k}={v}" for k, v in g.items() if k != "params") for g in self.param_groups]
        return f"{type(self).__name__}({'; '.join(lines)})"
