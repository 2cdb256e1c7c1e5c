"""Learning-rate schedules: resumable, with errors that say what is wrong. Their values are in
`test_schedules_reference` and `test_optim_torch`."""

import math

import numpy as np
import pytest

import nn
import optim
from autograd import Variable
from optim import lr_scheduler

CASES = {
    "StepLR": {"step_size": 7, "gamma": 0.3},
    "MultiStepLR": {"milestones": [30, 5, 5, 60], "gamma": 0.5},
    "ExponentialLR": {"gamma": 0.97},
    "CosineAnnealingLR": {"T_max": 20, "eta_min": 0.01},
    "LinearLR": {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 13},
    "CosineAnnealingWarmRestarts": {"T_0": 6, "T_mult": 2, "eta_min": 0.01},
    "OneCycleLR": {"max_lr": [0.5, 0.9], "total_steps": 101, "pct_start": 0.2, "div_factor": 10.0},
    "LambdaLR": {"lr_lambda": lambda t: min(t / 10, 1.0) / (1 + 0.1 * t)},
}


def optimizers():
    """One with two groups."""
    p, q = Variable(np.zeros(3)), Variable(np.zeros(2))
    return optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.7}], lr=0.2, momentum=0.5)


@pytest.mark.parametrize("first", ["optimizer", "scheduler"])
@pytest.mark.parametrize("name", [*CASES, "ReduceLROnPlateau"])
def test_resumes_exactly_in_either_order(name, first, tmp_path):
    def kit():
        optimizer = optimizers()
        return optimizer, getattr(lr_scheduler, name)(optimizer, **CASES.get(name, {"patience": 1}))

    def advance(scheduler, t):
        scheduler.step(*([abs(t - 7)] if name == "ReduceLROnPlateau" else []))
        return scheduler.get_last_lr()

    optimizer, scheduler = kit()
    rates = [advance(scheduler, t) for t in range(40)]
    optimizer, scheduler = kit()
    for t in range(15):
        advance(scheduler, t)
    nn.save({"o": optimizer.state_dict(), "s": scheduler.state_dict()}, tmp_path / "c.npz")
    saved = nn.load(tmp_path / "c.npz")
    optimizer, scheduler = kit()
    loads = [lambda: optimizer.load_state_dict(saved["o"]), lambda: scheduler.load_state_dict(saved["s"])]
    for load in loads if first == "optimizer" else reversed(loads):
        load()
    assert [advance(scheduler, t) for t in range(15, 40)] == rates[15:]


def test_a_scheduler_made_for_a_resumed_optimizer_keeps_the_initial_rate():
    optimizer = optimizers()
    first = lr_scheduler.LinearLR(optimizer, 0.5)
    for _ in range(3):
        first.step()
    resumed = optimizers()
    resumed.load_state_dict(optimizer.state_dict())
    second = lr_scheduler.LinearLR(resumed, 0.5)  # which halves the rate, until it knows better
    second.load_state_dict(first.state_dict())
    assert second.base_lrs == [0.2, 0.7] and second.get_last_lr() == first.get_last_lr()


@pytest.mark.parametrize("damage", [
    {"last_epoch": -1}, {"last_epoch": 1.5}, {"last_epoch": None}, {"last_lr": [0.1]}, {"last_lr": 3},
    {"base_lrs": [0.1, math.nan]}, {"base_lrs": ["a", "b"]}, {"extra": 1},
])  # fmt: skip
def test_a_wrong_state_is_refused_and_changes_nothing(damage):
    scheduler = lr_scheduler.StepLR(optimizers(), 3)
    scheduler.step()
    before = scheduler.state_dict()
    with pytest.raises(ValueError, match="StepLR"):
        scheduler.load_state_dict({**before, "last_epoch": 9, **damage})
    assert scheduler.state_dict() == before
    with pytest.raises(ValueError, match="StepLR"):
        scheduler.load_state_dict(lr_scheduler.ReduceLROnPlateau(scheduler.optimizer).state_dict())


@pytest.mark.parametrize(("make", "error", "words"), [
    (lambda o: lr_scheduler.StepLR("o", 3), TypeError, "Optimizer"),
    (lambda o: lr_scheduler.StepLR(o, 0), ValueError, "step_size"),
    (lambda o: lr_scheduler.CosineAnnealingLR(o, 0), ValueError, "T_max"),
    (lambda o: lr_scheduler.LinearLR(o, start_factor=0), ValueError, "factors"),
    (lambda o: lr_scheduler.LambdaLR(o, [abs]), ValueError, "2 functions"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 0), ValueError, "T_0 of at least 1"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2, 0.5), ValueError, "T_mult of at least 1"),
    (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 2).step(-1), ValueError, "epoch of at least 0"),
    (lambda o: lr_scheduler.OneCycleLR(o, 0.1), ValueError, "total_steps, or epochs and steps_per_epoch"),
    (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 0), ValueError, "total_steps of at least 1, got 0"),
    (lambda o: lr_scheduler.OneCycleLR(o, [0.1], 9), ValueError, "2 values of max_lr, got 1"),
    (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, pct_start=1.5), ValueError, "pct_start from 0 to 1"),
    (lambda o: lr_scheduler.OneCycleLR(o, 0.1, 9, anneal_strategy="sin"), ValueError, "'cos' or 'linear'"),
    (lambda o: lr_scheduler.OneCycleLR(optim.Adagrad([Variable(0.0)]), 0.1, 9), ValueError,
     "momentum or betas, got Adagrad: pass cycle_momentum=False"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 3)], [2]), ValueError,
     "one milestone less than schedulers, got 1 for 1"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(o, 3) for _ in range(3)], [4, 4]),
     ValueError, r"milestones that grow from 1, got \[4, 4\]"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.StepLR(optimizers(), 3)], []), ValueError,
     "another optimizer"),
    (lambda o: lr_scheduler.SequentialLR(o, [lr_scheduler.ReduceLROnPlateau(o)], []), ValueError,
     "cannot go on to a ReduceLROnPlateau"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, factor=1.0), ValueError, "factor"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, mode="low"), ValueError, "mode"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, threshold_mode="low"), ValueError, "threshold_mode"),
    (lambda o: lr_scheduler.ReduceLROnPlateau(o, min_lr=[0.1]), ValueError, "min_lr"),
])  # fmt: skip
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make(optimizers())


def test_a_group_added_later_is_reported():
    optimizer = optimizers()
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    optimizer.add_param_group({"params": [Variable(np.zeros(1))]})
    with pytest.raises(ValueError, match="add_param_group"):
        scheduler.step()


# --- factors of 0, and what several schedules share


def rates(optimizer):
    return [group["lr"] for group in optimizer.param_groups]


GATES = {  # factors that are 0 for a while: at first, between, at the end
    "warm-up from 0": lambda t: min(t / 4, 1.0),
    "pause": lambda t: 0.0 if 3 <= t < 6 else 1.0,
    "two pauses": lambda t: 0.5 * (t % 4 in (1, 2)),
    "to 0": lambda t: max(1 - t / 5, 0.0),
}


@pytest.mark.parametrize("gate", GATES)
def test_schedules_multiply_through_factors_of_0(gate):
    """The product of all factors, whatever one of them is: lr = initial_lr · f(t) · g(t) · h(t) · by hand."""
    optimizer = optimizers()
    schedules = [
        lr_scheduler.StepLR(optimizer, 2, 0.5),
        lr_scheduler.LambdaLR(optimizer, GATES[gate]),
        lr_scheduler.ExponentialLR(optimizer, 0.9),
        lr_scheduler.LambdaLR(optimizer, GATES["pause"]),
    ]
    hand = 1.0
    for t in range(12):
        expected = 0.5 ** (t // 2) * GATES[gate](t) * 0.9**t * GATES["pause"](t) * hand
        np.testing.assert_allclose(rates(optimizer), [0.2 * expected, 0.7 * expected], rtol=1e-12, atol=0)
        if expected and t in (2, 8):
            hand *= 3
            for group in optimizer.param_groups:
                group["lr"] *= 3
        for schedule in schedules:
            schedule.step()


def test_schedules_that_step_at_different_times_multiply_through_a_factor_of_0():
    optimizer = optimizers()
    gate = lr_scheduler.LambdaLR(optimizer, lambda t: float(t == 0 or t > 1))
    decay = lr_scheduler.ExponentialLR(optimizer, 0.5)
    gate.step()
    for _ in range(3):
        decay.step()
        assert rates(optimizer) == [0, 0]
    gate.step()
    np.testing.assert_allclose(rates(optimizer), [0.2 / 8, 0.7 / 8], rtol=1e-14)


def test_one_schedule_is_its_closed_form_without_drift():
    optimizer = optimizers()
    schedule = lr_scheduler.LambdaLR(optimizer, lambda t: 1 + math.sin(t))
    for t in range(1, 2000):
        schedule.step()
        assert rates(optimizer) == [0.2 * (1 + math.sin(t)), 0.7 * (1 + math.sin(t))]


def test_a_rate_set_by_hand_while_a_factor_is_0_lasts_until_that_schedule_steps():
    optimizer = optimizers()
    gate = lr_scheduler.LambdaLR(optimizer, lambda t: float(t != 1))
    decay = lr_scheduler.ExponentialLR(optimizer, 0.5)
    gate.step()
    assert rates(optimizer) == [0, 0]
    optimizer.param_groups[0]["lr"] = 0.3
    decay.step()
    assert rates(optimizer) == [0.15, 0]
    gate.step()
    np.testing.assert_allclose(rates(optimizer), [0.15, 0.35], rtol=1e-14)
    ended = lr_scheduler.LinearLR(optimizer, 1.0, 0.0, 1)
    ended.step()
    optimizer.param_groups[1]["lr"] = 0.8  # another schedule after one that has ended at 0
    another = lr_scheduler.ExponentialLR(optimizer, 0.5)
    another.step()
    assert rates(optimizer) == [0, 0.4]


@pytest.mark.parametrize("at", [0, 2, 4, 7])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_several_schedules_resume_exactly_in_any_order(order, at, tmp_path):
    def kit():
        optimizer = optimizers()
        gate = lr_scheduler.LambdaLR(optimizer, GATES["pause"])
        return optimizer, gate, lr_scheduler.StepLR(optimizer, 3, 0.3)

    def advance(kit, t):
        for schedule in kit[1:]:
            schedule.step()
        if t == 1:
            kit[0].param_groups[0]["lr"] *= 1.7
        if t == 3:  # while the gate is shut
            kit[0].param_groups[1]["lr"] = 0.11
        return rates(kit[0])

    first = kit()
    expected = []
    for t in range(12):
        if t == at:
            nn.save({k: part.state_dict() for k, part in enumerate(first)}, tmp_path / "c.npz")
        expected.append(advance(first, t))
    second, saved = kit(), nn.load(tmp_path / "c.npz")
    for k in order:
        second[k].load_state_dict(saved[k])
    assert [advance(second, t) for t in range(at, 12)] == expected[at:]
    assert expected[3] == [0, 0.11] and expected[7][0] > 0


def test_numbers_of_numpys_become_pythons():
    for number in (np.float64, np.float32, np.array):
        optimizer = optim.SGD([Variable(np.zeros(2, np.float32))], lr=number(0.5))
        schedules = [
            lr_scheduler.StepLR(optimizer, 2, number(0.5)),
            lr_scheduler.CosineAnnealingLR(optimizer, 5, number(0.1)),
            lr_scheduler.LinearLR(optimizer, number(0.5), number(0.25), 3),
            lr_scheduler.LambdaLR(optimizer, lambda t, number=number: number(0.5)),
        ]
        plateau = lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=number(0.5), min_lr=number(0))
        for t in range(5):
            if t == 2:
                optimizer.param_groups[0]["lr"] = number(optimizer.param_groups[0]["lr"])
            for schedule in schedules:
                schedule.step()
                assert type(optimizer.param_groups[0]["lr"]) is float
                schedule.load_state_dict(schedule.state_dict())
            plateau.step(number(1.0))
            plateau.load_state_dict(plateau.state_dict())
        assert type(optimizer.param_groups[0]["lr"]) is float


# --- schedules of their own kind


def test_one_cycle_ends_and_moves_the_momentum():
    optimizer = optimizers()
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, epochs=5, steps_per_epoch=4)
    momenta = []
    for _ in range(20):
        momenta.append(optimizer.param_groups[1]["momentum"])
        schedule.step()
    assert momenta[0] == 0.95 and min(momenta) == 0.85 == momenta[5] and momenta[19] == pytest.approx(0.95)
    with pytest.raises(ValueError, match="made for 20 steps, and this is one more"):
        schedule.step()
    optimizer = optimizers()
    schedule = lr_scheduler.OneCycleLR(optimizer, 1.0, 11, pct_start=1.0)  # PyTorch divides by 0
    for _ in range(10):
        schedule.step()
    assert rates(optimizer) == pytest.approx([1.0, 1.0])
    still = optim.SGD([Variable(0.0)], lr=0.1, momentum=0.5)
    lr_scheduler.OneCycleLR(still, 1.0, 10, cycle_momentum=False).step()
    assert still.param_groups[0]["momentum"] == 0.5


def test_momentum_of_one_cycle_resumes():
    def kit():
        optimizer = optim.Adam([Variable(0.0)], betas=(0.5, 0.7))
        return optimizer, lr_scheduler.OneCycleLR(optimizer, 1.0, 10)

    optimizer, schedule = kit()
    for _ in range(4):
        schedule.step()
    other, resumed = kit()
    assert other.param_groups[0]["betas"] == (0.95, 0.7)
    resumed.load_state_dict(schedule.state_dict())
    assert other.param_groups[0]["betas"] == optimizer.param_groups[0]["betas"] != (0.95, 0.7)


def sequence(optimizer):
    return lr_scheduler.SequentialLR(
        optimizer,
        [
            lr_scheduler.LinearLR(optimizer, 0.1, total_iters=4),
            lr_scheduler.ExponentialLR(optimizer, 0.5),
            lr_scheduler.LambdaLR(optimizer, lambda t: 1 / (1 + t)),
        ],
        [4, 9],
    )


def test_schedules_in_sequence_and_what_multiplies_with_them():
    optimizer = optimizers()
    another = lr_scheduler.StepLR(optimizer, 6, 0.3)
    schedule = sequence(optimizer)
    hand = 1.0
    for t in range(15):
        part = 0.1 + 0.9 * t / 4 if t < 4 else 0.5 ** (t - 4) if t < 9 else 1 / (t - 8)
        expected = part * 0.3 ** (t // 6) * hand
        np.testing.assert_allclose(rates(optimizer), [0.2 * expected, 0.7 * expected], rtol=1e-12)
        assert schedule.schedulers[(t >= 4) + (t >= 9)].last_epoch == t - (0 if t < 4 else 4 if t < 9 else 9)
        if t == 5:
            hand = 3.0
            for group in optimizer.param_groups:
                group["lr"] *= 3
        schedule.step()
        another.step()


@pytest.mark.parametrize("at", [0, 3, 4, 6, 9, 12])
def test_a_sequence_resumes_exactly(at, tmp_path):
    optimizer = optimizers()
    schedule = sequence(optimizer)
    expected = []
    for t in range(15):
        if t == at:
            nn.save({"o": optimizer.state_dict(), "s": schedule.state_dict()}, tmp_path / "c.npz")
        schedule.step()
        expected.append(rates(optimizer))
    saved = nn.load(tmp_path / "c.npz")
    optimizer = optimizers()
    schedule = sequence(optimizer)
    schedule.load_state_dict(saved["s"])
    optimizer.load_state_dict(saved["o"])
    for t in range(at, 15):
        schedule.step()
        assert rates(optimizer) == expected[t]


def test_restarts_between_steps_resume(tmp_path):
    def kit():
        optimizer = optimizers()
        return optimizer, lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 3, 2)

    optimizer, schedule = kit()
    schedule.step(1.5)
    np.testing.assert_allclose(rates(optimizer), [0.1, 0.35], rtol=1e-12)
    nn.save(schedule.state_dict(), tmp_path / "c.npz")
    schedule.step()
    second, resumed = kit()
    resumed.load_state_dict(nn.load(tmp_path / "c.npz"))
    resumed.step()
    assert rates(second) == rates(optimizer)
    np.testing.assert_allclose(rates(second)[0], 0.2 * (1 + math.cos(math.pi * 2.5 / 3)) / 2)
    with pytest.raises(ValueError, match="last_epoch"):
        resumed.load_state_dict({**schedule.state_dict(), "last_epoch": -0.5})
