"""Optimizers, clipping and schedules equal PyTorch's, step by step; each takes the other's state.

Skipped where PyTorch is not installed.
"""

import math

import numpy as np
import pytest

import nn
import optim
from autograd import Variable
from optim import lr_scheduler
from tests.optim.test_optim import CASES, gradients, set_gradients, start
from tests.optim.test_schedulers import CASES as SCHEDULES

torch = pytest.importorskip("torch")


@pytest.fixture(autouse=True)
def numbers_of_pytorch_in_float64():
    """PyTorch keeps NAdam's product of momenta in its default dtype."""
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize("case", CASES)
def test_trajectory_equals_pytorch(case, rng):
    name, settings = CASES[case]
    ours = start(rng)
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    mine, other = getattr(optim, name)(ours, **settings), getattr(torch.optim, name)(theirs, **settings)
    for t in range(100):
        set_gradients(ours, t)
        for q, g in zip(theirs, gradients([q.detach().numpy() for q in theirs], t), strict=True):
            q.grad = None if g is None else torch.tensor(g)
        mine.step()
        other.step()
        for p, q in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_continues_from_pytorch_and_from_itself(case, rng, tmp_path):
    name, settings = CASES[case]
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in start(rng)]
    other = getattr(torch.optim, name)(theirs, **settings)
    for t in range(20):
        if t == 10:  # half way, we take over their state
            ours = [Variable(q.detach().numpy().copy()) for q in theirs]
            mine = getattr(optim, name)(ours, lr=123.0)
            mine.load_state_dict(other.state_dict())
        if t == 15:  # and again our own, through a file, into fresh objects
            nn.save(mine.state_dict(), tmp_path / "state.npz")
            ours = [Variable(p.data.copy()) for p in ours]
            mine = getattr(optim, name)(ours, lr=123.0)
            mine.load_state_dict(nn.load(tmp_path / "state.npz"))
        for q, g in zip(theirs, gradients([q.detach().numpy() for q in theirs], t), strict=True):
            q.grad = None if g is None else torch.tensor(g)
        other.step()
        if t >= 10:
            set_gradients(ours, t)
            mine.step()
            for p, q in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("case", ["sgd-momentum", "adam", "rmsprop-centered"])
def test_pytorch_takes_our_state(case, rng):
    name, settings = CASES[case]
    ours = start(rng)
    mine = getattr(optim, name)(ours, **settings)
    for t in range(5):
        set_gradients(ours, t)
        mine.step()
    state = mine.state_dict()
    for entries in state["state"].values():
        for key, value in entries.items():
            entries[key] = torch.tensor(float(value) if key == "step" else value)
    theirs = [torch.tensor(p.data.copy(), requires_grad=True) for p in ours]
    other = getattr(torch.optim, name)(theirs, **settings)
    other.load_state_dict(state)
    for q, g in zip(theirs, gradients([q.detach().numpy() for q in theirs], 6), strict=True):
        q.grad = torch.tensor(g)
    set_gradients(ours, 6)
    mine.step()
    other.step()
    for p, q in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 1e3, 0.0])
def test_clip_grad_norm_equals_pytorch(norm_type, max_norm, rng):
    params = [*start(rng), Variable(np.ones(2))]
    grads = [*[rng.normal(size=p.shape) for p in params[:3]], None]
    theirs = [torch.tensor(p.data, requires_grad=True) for p in params]
    for p, q, g in zip(params, theirs, grads, strict=True):
        p.grad = None if g is None else Variable(np.array(g), requires_grad=False)
        q.grad = None if g is None else torch.tensor(g)
    held = params[0].grad.data
    norm = optim.clip_grad_norm_(params, max_norm, norm_type)
    assert norm == pytest.approx(
        torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type).item(), rel=1e-12
    )
    for p, q in zip(params, theirs, strict=True):
        assert (p.grad is None) == (q.grad is None)
        if p.grad is not None:
            np.testing.assert_allclose(p.grad.data, q.grad.numpy(), rtol=1e-12)
    assert np.array_equal(held, grads[0])  # whoever held the old array still has it


# --- schedules


def optimizers():
    """One of ours with two groups, and one of theirs."""
    p, q = Variable(np.zeros(3)), Variable(np.zeros(2))
    ours = optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.7}], lr=0.2, momentum=0.5)
    p, q = torch.zeros(3, requires_grad=True), torch.zeros(2, requires_grad=True)
    return ours, torch.optim.SGD([{"params": [p]}, {"params": [q], "lr": 0.7}], lr=0.2, momentum=0.5)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule_equals_pytorch(name):
    ours, theirs = optimizers()
    mine = getattr(lr_scheduler, name)(ours, **SCHEDULES[name])
    other = getattr(torch.optim.lr_scheduler, name)(theirs, **SCHEDULES[name])
    for t in range(100):
        np.testing.assert_allclose(
            mine.get_last_lr(), other.get_last_lr(), rtol=1e-9, atol=1e-15, err_msg=str(t)
        )
        mine.step()
        other.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
def test_schedules_on_one_optimizer_multiply_as_in_pytorch():
    pairs = [
        [m.LinearLR(o, 0.1, total_iters=10), m.StepLR(o, 20, 0.5), m.ExponentialLR(o, 0.99)]
        for m, o in zip((lr_scheduler, torch.optim.lr_scheduler), optimizers(), strict=True)
    ]
    for t in range(100):
        if t == 50:
            for kit in pairs:
                kit[0].optimizer.param_groups[0]["lr"] *= 3  # by hand
        for kit in pairs:
            for schedule in kit:
                schedule.step()
        rates = [[g["lr"] for g in kit[0].optimizer.param_groups] for kit in pairs]
        np.testing.assert_allclose(*rates, rtol=1e-9)


@pytest.mark.parametrize("settings", [
    {"patience": 2},
    {"mode": "max", "patience": 1, "cooldown": 3, "factor": 0.5},
    {"threshold": 0.05, "threshold_mode": "abs", "patience": 0, "min_lr": [0.01, 0.05]},
    {"mode": "max", "threshold": 0.3, "threshold_mode": "abs", "patience": 3, "eps": 0.02},
])  # fmt: skip
def test_plateau_equals_pytorch(settings, rng):
    ours, theirs = optimizers()
    mine = lr_scheduler.ReduceLROnPlateau(ours, **settings)
    other = torch.optim.lr_scheduler.ReduceLROnPlateau(theirs, **settings)
    reduced = 0
    for t, noise in enumerate(rng.normal(size=100)):
        measure = math.nan if t == 40 else math.exp(-t / 10) + 0.1 * noise
        before = mine.get_last_lr()
        mine.step(measure)
        other.step(measure)
        assert mine.get_last_lr() == pytest.approx(other.get_last_lr(), rel=1e-12)
        reduced += mine.get_last_lr() != before
    assert reduced >= 1


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
@pytest.mark.parametrize("settings", [
    {},
    {"three_phase": True},
    {"anneal_strategy": "linear", "pct_start": 0.5, "base_momentum": [0.5, 0.6], "max_momentum": 0.9},
    {"pct_start": 0.1, "div_factor": 3.0, "final_div_factor": 7.0},
    {"pct_start": 0.0},
])  # fmt: skip
@pytest.mark.parametrize("kind", ["SGD", "Adam"])
def test_one_cycle_moves_rate_and_momentum_as_pytorch(kind, settings):
    kits = []
    for library, p, q in (
        (optim, Variable(np.zeros(3)), Variable(np.zeros(2))),
        (torch.optim, torch.zeros(3, requires_grad=True), torch.zeros(2, requires_grad=True)),
    ):
        more = {"momentum": 0.5} if kind == "SGD" else {}
        owner = getattr(library, kind)([{"params": [p]}, {"params": [q]}], lr=0.3, **more)
        schedule = library.lr_scheduler.OneCycleLR(
            owner, [1.0, 2.0], epochs=4, steps_per_epoch=10, **settings
        )
        kits.append((owner, schedule))
    for t in range(41):
        for name in ("lr", "momentum" if kind == "SGD" else "betas"):
            ours, theirs = ([group[name] for group in owner.param_groups] for owner, _ in kits)
            np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-15, err_msg=f"{name} at {t}")
        for _, schedule in kits if t < 40 else ():
            schedule.step()


@pytest.mark.filterwarnings("ignore:(Detected call of `lr_scheduler|The epoch parameter)")
def test_sequences_of_schedules_equal_pytorch():
    kits = []
    for m, owner in zip((lr_scheduler, torch.optim.lr_scheduler), optimizers(), strict=True):
        parts = [m.LinearLR(owner, 0.1, total_iters=5), m.CosineAnnealingWarmRestarts(owner, 4, 2, 0.01),
                 m.ExponentialLR(owner, 0.9), m.LambdaLR(owner, lambda t: 1 / (1 + t))]  # fmt: skip
        kits.append((owner, m.SequentialLR(owner, parts, [5, 20, 30])))
    for t in range(60):
        rates = [[group["lr"] for group in owner.param_groups] for owner, _ in kits]
        np.testing.assert_allclose(*rates, rtol=1e-9, err_msg=str(t))
        for _, schedule in kits:
            schedule.step()


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler")
def test_restarts_between_steps_equal_pytorch():
    kits = [
        (owner, m.CosineAnnealingWarmRestarts(owner, 3, 2, 0.02))
        for m, owner in zip((lr_scheduler, torch.optim.lr_scheduler), optimizers(), strict=True)
    ]
    for t in [0.25, 0.5, None, None, 2.75, 3.0, 3.5, 8.75, 9.0, None, 30.3]:
        for _, schedule in kits:
            schedule.step(t)
        np.testing.assert_allclose(kits[0][1].get_last_lr(), kits[1][1].get_last_lr(), rtol=1e-9)
