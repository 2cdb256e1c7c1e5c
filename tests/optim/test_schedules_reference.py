"""Learning-rate schedules in closed form: the rate in every epoch, from the formulas of PyTorch's
documentation, alone and in chains; and plateaus, which have no formula, restated in plain Python."""

import math

import numpy as np
import pytest

import optim
from autograd import Variable
from optim import lr_scheduler

BASE = 0.2, 0.7


def optimizer():
    """With two groups of different rates."""
    p, q = Variable(np.zeros(3)), Variable(np.zeros(2))
    return optim.SGD([{"params": [p]}, {"params": [q], "lr": BASE[1]}], lr=BASE[0])


def warm_up(t):
    return min(1.0, (t + 1) / 8) / math.sqrt(t + 1)


def restarted(lr, t, first, mult, end):
    """Period after period, until the one in which t lies."""
    period = first
    while t >= period:
        t -= period
        period *= mult
    return end + (lr - end) * (1 + math.cos(math.pi * t / period)) / 2


def cycle(top, t, steps, up, div=25.0, final=1e4, wave=True, three=False):
    """A path through the corners (step, rate), in half waves or straight."""
    corners = [(0, top / div), (up * steps - 1, top)]
    if three:
        corners.append((2 * up * steps - 2, top / div))
    corners.append((steps - 1, top / div / final))
    for (a, low), (b, high) in zip(corners, corners[1:], strict=False):
        if t <= b:
            part = (t - a) / (b - a)
            return low + (high - low) * ((1 - math.cos(math.pi * part)) / 2 if wave else part)
    raise AssertionError


FORMS = {  # settings and the rate in epoch t for a group that starts with lr
    "StepLR": ({"step_size": 7, "gamma": 0.3}, lambda lr, t: lr * 0.3 ** (t // 7)),
    "StepLR default": ({"step_size": 3}, lambda lr, t: lr * 0.1 ** (t // 3)),
    "MultiStepLR": ({"milestones": [30, 5, 5, 12], "gamma": 0.5},
                    lambda lr, t: lr * 0.5 ** (2 * (t >= 5) + (t >= 12) + (t >= 30))),
    "ExponentialLR": ({"gamma": 0.97}, lambda lr, t: lr * 0.97**t),
    "CosineAnnealingLR": ({"T_max": 10, "eta_min": 0.01},
                          lambda lr, t: 0.01 + (lr - 0.01) * (1 + math.cos(math.pi * t / 10)) / 2),
    "LinearLR": ({"start_factor": 0.25, "end_factor": 0.75, "total_iters": 13},
                 lambda lr, t: lr * (0.25 + 0.5 * min(t, 13) / 13)),
    "LinearLR default": ({}, lambda lr, t: lr * (1 / 3 + 2 / 3 * min(t, 5) / 5)),
    "CosineAnnealingWarmRestarts": ({"T_0": 4, "T_mult": 3, "eta_min": 0.01},
                                    lambda lr, t: restarted(lr, t, 4, 3, 0.01)),
    "CosineAnnealingWarmRestarts alike": ({"T_0": 7}, lambda lr, t: restarted(lr, t, 7, 1, 0.0)),
    "OneCycleLR": ({"max_lr": 0.5, "total_steps": 50}, lambda lr, t: cycle(0.5, t, 50, 0.3)),
    "OneCycleLR of each group": ({"max_lr": [0.5, 0.1], "epochs": 5, "steps_per_epoch": 10,
                                  "anneal_strategy": "linear", "div_factor": 5.0, "final_div_factor": 20.0},
                                 lambda lr, t: cycle(0.5 if lr == BASE[0] else 0.1, t, 50, 0.3, 5.0, 20.0,
                                                     False)),
    "OneCycleLR in three": ({"max_lr": 0.5, "total_steps": 60, "three_phase": True, "pct_start": 0.4},
                            lambda lr, t: cycle(0.5, t, 60, 0.4, three=True)),
    "LambdaLR warm up": ({"lr_lambda": warm_up}, lambda lr, t: lr * warm_up(t)),
    "LambdaLR of each group": ({"lr_lambda": [lambda t: 1 / (t + 1), lambda t: 0.5**t]},
                               lambda lr, t: lr * (1 / (t + 1) if lr == BASE[0] else 0.5**t)),
    "LambdaLR restarts": ({"lr_lambda": lambda t: (1 + math.cos(math.pi * (t % 6) / 6)) / 2},
                          lambda lr, t: lr * (1 + math.cos(math.pi * (t % 6) / 6)) / 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_rate_in_every_epoch(name):
    settings, form = FORMS[name]
    owner = optimizer()
    schedule = getattr(lr_scheduler, name.split()[0])(owner, **settings)
    for t in range(45):
        want = [form(lr, t) for lr in BASE]
        np.testing.assert_allclose(schedule.get_last_lr(), want, rtol=1e-10, atol=1e-15, err_msg=f"epoch {t}")
        assert [group["lr"] for group in owner.param_groups] == schedule.get_last_lr()
        schedule.step()
        assert schedule.last_epoch == t + 1


def test_schedules_on_one_optimizer_multiply_and_leave_changes_by_hand():
    owner = optimizer()
    chain = [
        lr_scheduler.LinearLR(owner, 0.1, total_iters=10),
        lr_scheduler.StepLR(owner, 20, 0.5),
        lr_scheduler.ExponentialLR(owner, 0.99),
    ]
    by_hand = 1.0
    for t in range(60):
        factor = (0.1 + 0.9 * min(t, 10) / 10) * 0.5 ** (t // 20) * 0.99**t
        want = [BASE[0] * factor * by_hand, BASE[1] * factor]
        np.testing.assert_allclose([g["lr"] for g in owner.param_groups], want, rtol=1e-10)
        if t == 30:
            owner.param_groups[0]["lr"] *= 3
            by_hand = 3.0
        for schedule in chain:
            schedule.step()


# --- plateaus ---------------------------------------------------------------------------------------


def plateau(measures, lr, better, patience=10, factor=0.1, cooldown=0, min_lr=0.0, eps=1e-8):
    """The rate after every measure; ``better(new, best)`` says what counts."""
    rates, best, bad, resting = [], None, 0, 0
    for measure in measures:
        if best is None or better(measure, best):
            best, bad = measure, 0
        else:
            bad += 1
        if resting:
            resting, bad = resting - 1, 0
        if bad == patience + 1:
            if lr - max(lr * factor, min_lr) > eps:
                lr = max(lr * factor, min_lr)
            resting, bad = cooldown, 0
        rates.append(lr)
    return rates


PLATEAUS = {
    "default": ({}, lambda new, best: new < best * (1 - 1e-4)),
    "impatient": ({"patience": 0, "factor": 0.5}, lambda new, best: new < best * (1 - 1e-4)),
    "patience": ({"patience": 2, "factor": 0.5}, lambda new, best: new < best * (1 - 1e-4)),
    "cooldown": ({"patience": 1, "cooldown": 3, "factor": 0.7}, lambda new, best: new < best * (1 - 1e-4)),
    "relative": ({"patience": 1, "threshold": 0.2, "factor": 0.8}, lambda new, best: new < best * 0.8),
    "absolute": ({"patience": 1, "threshold": 0.2, "threshold_mode": "abs", "factor": 0.8},
                 lambda new, best: new < best - 0.2),
    "max": ({"mode": "max", "patience": 2, "threshold": 0.1, "factor": 0.8},
            lambda new, best: new > best * 1.1),
    "max absolute": ({"mode": "max", "patience": 2, "threshold": 0.1, "threshold_mode": "abs", "factor": 0.8},
                     lambda new, best: new > best + 0.1),
    "bounded": ({"patience": 0, "factor": 0.5, "min_lr": 0.03}, lambda new, best: new < best * (1 - 1e-4)),
    "small steps": ({"patience": 0, "factor": 0.5, "eps": 0.02}, lambda new, best: new < best * (1 - 1e-4)),
}  # fmt: skip


@pytest.mark.parametrize("name", PLATEAUS)
def test_plateau_is_its_restatement(name, rng):
    settings, better = PLATEAUS[name]
    measures = [2.0 + math.exp(-t / 8) * (-1 if "max" in name else 1) + 0.15 * e
                for t, e in enumerate(rng.normal(size=70))]  # fmt: skip
    schedule = lr_scheduler.ReduceLROnPlateau(optimizer(), **settings)
    kept = {k: v for k, v in settings.items() if k in ("patience", "factor", "cooldown", "min_lr", "eps")}
    want = [plateau(measures, lr, better, **kept) for lr in BASE]
    assert len(set(want[0])) > 1
    for t, measure in enumerate(measures):
        schedule.step(measure)
        np.testing.assert_allclose(schedule.get_last_lr(), [w[t] for w in want], rtol=1e-12, err_msg=str(t))


def test_a_plateau_by_hand():
    """With a patience of 2 the third epoch without improvement reduces; a cooldown of 2 makes two free."""
    owner = optimizer()
    schedule = lr_scheduler.ReduceLROnPlateau(owner, patience=2, factor=0.5, cooldown=2)
    rates = []
    for measure in [1.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.4, 0.4]:
        schedule.step(measure)
        rates.append(round(owner.param_groups[0]["lr"] / BASE[0], 6))
    assert rates == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25]
    for measure in (
        math.nan,
    ) * 6:  # no number is better than nothing: four of them count again, then it rests
        schedule.step(measure)
    assert owner.param_groups[0]["lr"] < 0.25 * BASE[0]
