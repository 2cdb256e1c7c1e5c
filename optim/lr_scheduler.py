"""Learning rates that change during training, in PyTorch's names.

A schedule is a factor f(t) of the number t of `step` calls so far: lr = initial_lr · f(t). Several schedules
on one optimizer multiply, and so do changes by hand. Call `step` once per epoch or once per update, as the
numbers given to the schedule count epochs or updates.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, SupportsFloat

from .optimizer import Optimizer


class Rates:
    """The rates of one optimizer, shared by its schedules: lr = free · Π factors, for every parameter group.

    Attributes:
        factors: of each schedule, one number per group.
        free: the rates without any schedule. A factor of 0 hides them and does not lose them.
    """

    def __init__(self, optimizer: Optimizer):
        self.groups = optimizer.param_groups
        self.factors: list[list[float]] = []
        self.free: list[float] = []
        self.found: list[float] = []  # the rates that `apply` has set

    def follow(self) -> None:
        """Take note of rates that were changed by hand; a factor of 0 then counts as 1."""
        for k, group in enumerate(self.groups):
            lr = float(group["lr"])
            if k == len(self.free):
                self.free.append(lr)
                self.found.append(lr)
            elif lr != self.found[k]:
                for own in self.factors:
                    own[k : k + 1] = [f or 1.0 for f in own[k : k + 1]]
                self.free[k], self.found[k] = lr / (self.product(k) or 1.0), lr  # many small ones may vanish

    def apply(self) -> None:
        """Set the learning rate of every group."""
        for k, group in enumerate(self.groups):
            group["lr"] = self.found[k] = self.free[k] * self.product(k)

    def product(self, k: int) -> float:
        """The product of all factors for the k-th group."""
        return math.prod([own[k] for own in self.factors if k < len(own)])


class LRScheduler:
    """Base of all schedules but `ReduceLROnPlateau`; a subclass writes `factor`.

    A rate that is set by hand while a factor is 0 lasts until that schedule steps on.

    Attributes:
        last_epoch: t, how often `step` was called.
        base_lrs: the initial learning rate of every group.
        whole_steps: is t an integer?

    >>> class Sawtooth(optim.lr_scheduler.LRScheduler):
    ...     def factor(self, t, k):
    ...         return 1 - t % 4 / 4
    >>> schedule = Sawtooth(optim.SGD([nn.Parameter([0.0])], lr=4.0))
    >>> for t in range(6):
    ...     print(*schedule.get_last_lr(), end=" ")
    ...     schedule.step()
    4.0 3.0 2.0 1.0 4.0 3.0
    """

    whole_steps = True

    def __init__(self, optimizer: Optimizer):
        self.optimizer = _checked(self, optimizer)
        self.last_epoch: Any = 0
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", float(group["lr"]))
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        if optimizer.rates is None:
            optimizer.rates = Rates(optimizer)
        self.rates: Rates = optimizer.rates
        self.rates.follow()
        self.factors: list[float] = []
        self.rates.factors.append(self.factors)
        self._set()

    def factor(self, t: Any, k: int) -> float:
        """f(t) for the k-th parameter group."""
        raise NotImplementedError(f"{type(self).__name__} must define factor(t, k)")

    def step(self) -> None:
        """Go on to t + 1 and set the learning rate of every group."""
        _same_groups(self, len(self.base_lrs))
        self.rates.follow()
        self.last_epoch += 1
        self._set()

    def _set(self) -> None:
        self.factors[:] = [float(self.factor(self.last_epoch, k)) for k in range(len(self.base_lrs))]
        self.rates.apply()

    def get_last_lr(self) -> list[float]:
        """The present learning rate of every group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The position of the schedule, without its settings."""
        self.rates.follow()
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "factors": list(self.factors),
            "free_lrs": list(self.rates.free),
            "last_lr": self.get_last_lr(),
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` left off, before or after the optimizer's own is loaded.

        Raises:
            ValueError: it belongs to another kind of schedule or another number of groups.
        """
        _check_state(self, state_dict)
        self.last_epoch, self.base_lrs = state_dict["last_epoch"], list(state_dict["base_lrs"])
        self.factors[:] = state_dict["factors"]
        self.rates.free[:], self.rates.found[:] = state_dict["free_lrs"], state_dict["last_lr"]
        for k, group in enumerate(self.optimizer.param_groups):
            group["lr"], group["initial_lr"] = state_dict["last_lr"][k], self.base_lrs[k]


class StepLR(LRScheduler):
    """f(t) = γ^⌊t / step_size⌋: down by a factor every step_size steps.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    8.0 8.0 4.0 4.0 2.0 2.0
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1):
        _at_least_one(self, "step_size", step_size)
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return float(self.gamma ** (t // self.step_size))


class MultiStepLR(LRScheduler):
    """f(t) = γ^(number of milestones up to t).

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.MultiStepLR(optimizer, milestones=[1, 4], gamma=0.5)
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    8.0 4.0 4.0 4.0 2.0 2.0
    """

    def __init__(self, optimizer: Optimizer, milestones: Sequence[int], gamma: float = 0.1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return float(self.gamma ** sum(m <= t for m in self.milestones))


class ExponentialLR(LRScheduler):
    """f(t) = γᵗ.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.5)
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    8.0 4.0 2.0 1.0 0.5 0.25
    """

    def __init__(self, optimizer: Optimizer, gamma: float):
        self.gamma = gamma
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return float(self.gamma**t)


class CosineAnnealingLR(LRScheduler):
    """lr = η_min + (initial_lr - η_min) (1 + cos(π t / T_max)) / 2: half a wave down, then up again.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=3)
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    8.0 6.0 2.0 0.0 2.0 6.0
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0):
        _at_least_one(self, "T_max", T_max)
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return _half_wave(self.base_lrs[k], self.eta_min, t / self.T_max)


class CosineAnnealingWarmRestarts(LRScheduler):
    """lr = η_min + (initial_lr - η_min) (1 + cos(π τ / T)) / 2, and again from τ = 0 after every T steps.

    The first period T is T_0, and each is T_mult times as long as the one before (Loshchilov & Hutter 2017).

    Raises:
        ValueError: T_0 or T_mult is not at least 1.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=2, T_mult=2)
    >>> for t in range(7):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    8.0 4.0 8.0 6.8284 4.0 1.1716 8.0
    """

    whole_steps = False

    def __init__(self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0):
        _at_least_one(self, "T_0", T_0)
        _at_least_one(self, "T_mult", T_mult)
        self.T_0, self.T_mult, self.eta_min = T_0, T_mult, eta_min
        super().__init__(optimizer)

    def factor(self, t: float, k: int) -> float:
        period: float = self.T_0
        if self.T_mult == 1:
            t %= period
        while t >= period:
            t, period = t - period, period * self.T_mult
        return _half_wave(self.base_lrs[k], self.eta_min, t / period)

    def step(self, epoch: float | None = None) -> None:
        """Go on to t + 1, or to ``epoch``, which may lie between two steps: ``epoch + batch / batches``.

        Raises:
            ValueError: epoch is negative, or no number.
        """
        if epoch is not None:
            if not 0 <= epoch < math.inf:
                raise ValueError(f"{type(self).__name__} expected an epoch of at least 0, got {epoch}")
            self.last_epoch = float(epoch) - 1
        super().step()


class OneCycleLR(LRScheduler):
    """One cycle (Smith & Topin 2018): up to max_lr in a first part of all steps, and down to nearly nothing.

    The rate goes from max_lr / div_factor to max_lr, then to max_lr / div_factor / final_div_factor. The one
    that the optimizer was made with does not count. The momentum (β₁ of Adam) goes the other way.

    Args:
        max_lr: one number, or one per group; so are base_momentum and max_momentum.
        total_steps: of the whole cycle; or epochs times steps_per_epoch.
        pct_start: the part of the steps that go up.
        anneal_strategy: "cos", half a wave, or "linear".
        cycle_momentum: move the momentum too, from max_momentum to base_momentum and back.
        three_phase: come down in as many steps as up, and then to the end.

    Raises:
        ValueError: a setting is out of range, there is no momentum to move, or a step after the last.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], momentum=0.9)
    >>> schedule = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=8.0, total_steps=10)
    >>> for t in range(10):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    0.32 4.16 8.0 7.6039 6.494 4.8901 3.1099 1.5061 0.3962 0.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ):
        groups = _checked(self, optimizer).param_groups
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR expected total_steps, or epochs and steps_per_epoch")
            total_steps = epochs * steps_per_epoch
        _at_least_one(self, "total_steps", total_steps)
        if not 0 <= pct_start <= 1:
            raise ValueError(f"OneCycleLR expected pct_start from 0 to 1, got {pct_start}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(
                f"OneCycleLR expected anneal_strategy 'cos' or 'linear', got {anneal_strategy!r}"
            )
        self.total_steps, self.anneal_strategy = total_steps, anneal_strategy
        self.max_lrs = _per_group(self, "max_lr", max_lr, groups)
        self.momentum_name = (
            ("betas" if "betas" in optimizer.defaults else "momentum") if cycle_momentum else ""
        )
        if cycle_momentum and self.momentum_name not in optimizer.defaults:
            raise ValueError(
                f"OneCycleLR expected an optimizer with momentum or betas, got {type(optimizer).__name__}:"
                " pass cycle_momentum=False"
            )
        low = _per_group(self, "base_momentum", base_momentum, groups)
        high = _per_group(self, "max_momentum", max_momentum, groups)
        up, end = pct_start * total_steps - 1, total_steps - 1.0
        start, last = 1 / div_factor, 1 / (div_factor * final_div_factor)
        # (last step, part of max_lr and of the way from low to high momentum there), after the start
        self.turns = [(0.0, start, 1.0), (up, 1.0, 0.0), (end, last, 1.0)]
        if three_phase:
            self.turns[2:] = [(2 * up, start, 1.0), (end, last, 1.0)]
        self.start, self.momenta = start, list(zip(low, high, strict=True))
        for group, lr in zip(groups, self.max_lrs, strict=True):
            group["lr"] = group["initial_lr"] = lr * start
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return self.between(t, 1) / self.start

    def between(self, t: float, column: int) -> float:
        """What the column of ``turns`` is at step t."""
        i = next((i for i, turn in enumerate(self.turns) if i and t <= turn[0]), len(self.turns) - 1)
        before, after = self.turns[i - 1], self.turns[i]
        done = (t - before[0]) / (after[0] - before[0]) if after[0] != before[0] else 1.0
        if self.anneal_strategy == "cos":
            done = (1 - math.cos(math.pi * done)) / 2
        return before[column] + (after[column] - before[column]) * done

    def step(self) -> None:
        """Go on to t + 1 and set learning rate and momentum of every group.

        Raises:
            ValueError: that were more steps than total_steps.
        """
        if self.last_epoch >= self.total_steps:
            raise ValueError(f"OneCycleLR was made for {self.total_steps} steps, and this is one more")
        super().step()

    def _set(self) -> None:
        super()._set()
        self._set_momentum()

    def _set_momentum(self) -> None:
        """Set the momentum, or the first of two betas, of every group."""
        for group, (low, high) in zip(self.optimizer.param_groups, self.momenta, strict=True):
            momentum = low + (high - low) * self.between(self.last_epoch, 2)
            if self.momentum_name == "betas":
                group["betas"] = momentum, group["betas"][1]
            elif self.momentum_name:
                group["momentum"] = momentum

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` left off, before or after the optimizer's own is loaded.

        Raises:
            ValueError: it belongs to another kind of schedule or another number of groups.
        """
        super().load_state_dict(state_dict)
        self._set_momentum()


class SequentialLR(LRScheduler):
    """One schedule after another, each from its own t = 0: the next one at every milestone.

    Args:
        schedulers: of this optimizer; from now on they are stepped from here alone.
        milestones: the steps at which the second begins, the third, ...; one less than schedulers.

    Raises:
        ValueError: the numbers do not fit, milestones do not grow, a schedule is another optimizer's, or
            one that does not go by f(t) alone.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> warm_up = optim.lr_scheduler.LinearLR(optimizer, 0.25, total_iters=3)
    >>> decay = optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    >>> schedule = optim.lr_scheduler.SequentialLR(optimizer, [warm_up, decay], milestones=[3])
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    2.0 4.0 6.0 8.0 4.0 2.0
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRScheduler], milestones: Sequence[int]):
        parts, starts = list(schedulers), [0, *milestones]
        _checked(self, optimizer)
        if len(parts) != len(starts):
            raise ValueError(
                f"SequentialLR expected one milestone less than schedulers, got {len(starts) - 1}"
                f" for {len(parts)}"
            )
        if any(a >= b for a, b in pairwise(starts)):
            raise ValueError(f"SequentialLR expected milestones that grow from 1, got {starts[1:]}")
        for part in parts:
            if not isinstance(part, LRScheduler) or isinstance(part, OneCycleLR):
                raise ValueError(f"SequentialLR cannot go on to a {type(part).__name__}: step it by itself")
            if part.optimizer is not optimizer:
                raise ValueError(f"SequentialLR got a {type(part).__name__} of another optimizer")
        self.schedulers, self.starts = parts, starts
        rates = parts[0].rates
        rates.follow()
        rates.factors[:] = [own for own in rates.factors if all(own is not part.factors for part in parts)]
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        i = bisect_right(self.starts, t) - 1
        part = self.schedulers[i]
        part.last_epoch = t - self.starts[i]
        return part.factor(part.last_epoch, k)


class LinearLR(LRScheduler):
    """f from start_factor to end_factor in total_iters equal steps, then constant. Made for warm-up.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.LinearLR(optimizer, start_factor=0.25, total_iters=3)
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    2.0 4.0 6.0 8.0 8.0 8.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
    ):
        if not 0 < start_factor <= 1 or not 0 <= end_factor <= 1:
            raise ValueError(f"LinearLR expected factors from 0 to 1, got {start_factor} and {end_factor}")
        _at_least_one(self, "total_iters", total_iters)
        self.start_factor, self.end_factor, self.total_iters = start_factor, end_factor, total_iters
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        done = min(t / self.total_iters, 1.0)
        return self.start_factor + (self.end_factor - self.start_factor) * done


class LambdaLR(LRScheduler):
    """f is any function of t, or a list of functions, one per parameter group.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=12.0)
    >>> schedule = optim.lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t))
    >>> for t in range(6):
    ...     print(round(schedule.get_last_lr()[0], 4), end=" ")
    ...     schedule.step()
    12.0 6.0 4.0 3.0 2.4 2.0
    """

    def __init__(
        self, optimizer: Optimizer, lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]]
    ):
        groups = len(_checked(self, optimizer).param_groups)
        self.lr_lambdas = [lr_lambda] * groups if callable(lr_lambda) else list(lr_lambda)
        if len(self.lr_lambdas) != groups:
            raise ValueError(f"LambdaLR expected {groups} functions, got {len(self.lr_lambdas)}")
        super().__init__(optimizer)

    def factor(self, t: int, k: int) -> float:
        return float(self.lr_lambdas[k](t))


class ReduceLROnPlateau:
    """Multiply the learning rate by ``factor`` when a measure has not improved for ``patience`` steps.

    Args:
        mode: "min" or "max", the better direction of the measure.
        patience: how many steps without improvement are tolerated.
        threshold, threshold_mode: what counts as better: best · (1 ∓ threshold) for "rel", best ∓ threshold
            for "abs".
        cooldown: steps after a reduction in which nothing is counted.
        min_lr: a lower bound, one number or one per group.
        eps: smaller reductions are not made.

    Raises:
        ValueError: factor is not below 1, or a mode or the number of bounds is wrong.

    >>> optimizer = optim.SGD([nn.Parameter([0.0])], lr=8.0)
    >>> schedule = optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=1)
    >>> for loss in [3.0, 2.0, 2.0, 2.1, 1.0]:  # two steps without improvement
    ...     schedule.step(loss)
    >>> optimizer.param_groups[0]["lr"]
    4.0
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0.0,
        eps: float = 1e-8,
    ):
        self.optimizer = _checked(self, optimizer)
        if not 0 <= factor < 1:
            raise ValueError(f"ReduceLROnPlateau expected factor from 0 to below 1, got {factor}")
        if mode not in ("min", "max"):
            raise ValueError(f"ReduceLROnPlateau expected mode 'min' or 'max', got {mode!r}")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(
                f"ReduceLROnPlateau expected threshold_mode 'rel' or 'abs', got {threshold_mode!r}"
            )
        self.min_lrs = _per_group(self, "min_lr", min_lr, optimizer.param_groups)
        self.mode, self.factor, self.patience = mode, float(factor), patience
        self.cooldown, self.eps = cooldown, eps
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.last_epoch = self.num_bad_epochs = self.cooldown_counter = 0
        self.best = math.inf if mode == "min" else -math.inf

    def step(self, metrics: SupportsFloat) -> None:
        """Take note of the measure, a number, and reduce the learning rates if it is time."""
        _same_groups(self, len(self.min_lrs))
        measure = float(metrics)
        self.last_epoch += 1
        if self.is_better(measure):
            self.best, self.num_bad_epochs = measure, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
            for group, bound in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                new = max(float(group["lr"]) * self.factor, bound)
                if group["lr"] - new > self.eps:
                    group["lr"] = new

    def is_better(self, measure: float) -> bool:
        """Is the measure better than the best so far, by more than the threshold?"""
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * measure < sign * self.best * (1 - sign * self.threshold)
        return sign * measure < sign * self.best - self.threshold

    def get_last_lr(self) -> list[float]:
        """The present learning rate of every group."""
        return [float(group["lr"]) for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """The position of the schedule, without its settings."""
        names = ("last_epoch", "num_bad_epochs", "cooldown_counter", "best")
        return {**{name: getattr(self, name) for name in names}, "last_lr": self.get_last_lr()}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue where `state_dict` left off, before or after the optimizer's own is loaded.

        Raises:
            ValueError: it belongs to another kind of schedule or another number of groups.
        """
        _check_state(self, state_dict)
        for name, value in state_dict.items():
            if name != "last_lr":
                setattr(self, name, value)
        for group, lr in zip(self.optimizer.param_groups, state_dict["last_lr"], strict=True):
            group["lr"] = lr


def _checked(scheduler: object, optimizer: Any) -> Optimizer:
    """The optimizer, or TypeError for anything else."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(scheduler).__name__} expected an Optimizer, got {type(optimizer).__name__}")
    return optimizer


def _per_group(
    scheduler: object, name: str, value: float | Sequence[float], groups: list[Any]
) -> list[float]:
    """One number for every group."""
    numbers = list(map(float, value)) if isinstance(value, Sequence) else [float(value)] * len(groups)
    if len(numbers) != len(groups):
        raise ValueError(
            f"{type(scheduler).__name__} expected {len(groups)} values of {name}, got {len(numbers)}"
        )
    return numbers


def _half_wave(base: float, end: float, done: float) -> float:
    """The factor of a rate that goes from base to end in half a wave, of which a part is done."""
    wave = (1 + math.cos(math.pi * done)) / 2
    return wave + end / base * (1 - wave) if base else 1.0


def _at_least_one(scheduler: object, name: str, value: int) -> None:
    """Raise unless this setting is at least 1."""
    if not value >= 1:
        raise ValueError(f"{type(scheduler).__name__} expected {name} of at least 1, got {value}")


def _same_groups(scheduler: "LRScheduler | ReduceLROnPlateau", groups: int) -> None:
    """Raise unless the optimizer still has as many groups."""
    if len(scheduler.optimizer.param_groups) != groups:
        raise ValueError(
            f"{type(scheduler).__name__} was made for {groups} parameter groups, the optimizer now has"
            f" {len(scheduler.optimizer.param_groups)}: make the scheduler after add_param_group"
        )


def _check_state(scheduler: "LRScheduler | ReduceLROnPlateau", state: Any) -> None:
    """Raise ValueError unless ``state`` has the names, kinds and lengths of the scheduler's own state."""
    who, own = f"{type(scheduler).__name__}.load_state_dict", scheduler.state_dict()
    if not isinstance(state, Mapping) or state.keys() != own.keys():
        got = sorted(map(str, state)) if isinstance(state, Mapping) else type(state).__name__
        raise ValueError(f"{who} expected {sorted(own)}, got {got}")
    for name, old in own.items():
        value = state[name]
        if isinstance(old, list):
            fits = isinstance(value, list | tuple) and len(value) == len(old) and all(map(_is_rate, value))
        elif name == "best":
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        elif isinstance(scheduler, LRScheduler) and not scheduler.whole_steps:
            fits = _is_rate(value)
        else:
            fits = type(value) is int and value >= 0
        if not fits:
            raise ValueError(f"{who} expected {name} like {old}, got {value!r}")


def _is_rate(x: object) -> bool:
    return isinstance(x, int | float) and not isinstance(x, bool) and 0 <= x < math.inf
