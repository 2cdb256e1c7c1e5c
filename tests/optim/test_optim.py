"""Optimizers and clipping: memory, checkpoints, errors. Their trajectories are in `test_optim_reference`
and `test_optim_torch`."""

import math

import numpy as np
import pytest

import nn
import optim
from autograd import Parameter, Variable

CASES = {
    "sgd": ("SGD", {"lr": 0.05}),
    "sgd-decay": ("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "sgd-momentum": ("SGD", {"lr": 0.05, "momentum": 0.9, "dampening": 0.3, "weight_decay": 0.01}),
    "sgd-nesterov": ("SGD", {"lr": 0.05, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01}),
    "adagrad": ("Adagrad", {"lr": 0.1, "weight_decay": 0.02}),
    "adagrad-decay": ("Adagrad", {"lr": 0.1, "lr_decay": 0.05, "initial_accumulator_value": 0.3}),
    "adadelta": ("Adadelta", {"lr": 1.5, "rho": 0.8, "weight_decay": 0.02}),
    "rmsprop": ("RMSprop", {"lr": 0.01, "weight_decay": 0.02}),
    "rmsprop-centered": ("RMSprop", {"lr": 0.01, "momentum": 0.7, "centered": True, "alpha": 0.9}),
    "adam": ("Adam", {"lr": 0.02}),
    "adam-decay": ("Adam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1}),
    "adamw": ("AdamW", {"lr": 0.02, "weight_decay": 0.1}),
    "adam-amsgrad": ("Adam", {"lr": 0.05, "betas": (0.7, 0.6), "weight_decay": 0.1, "amsgrad": True}),
    "adamw-amsgrad": ("AdamW", {"lr": 0.05, "betas": (0.7, 0.6), "amsgrad": True}),
    "nadam": ("NAdam", {"lr": 0.02}),
    "nadam-decay": ("NAdam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-6, "weight_decay": 0.1,
                              "momentum_decay": 0.1}),
    "nadam-decoupled": ("NAdam", {"lr": 0.02, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "radam": ("RAdam", {"lr": 0.02}),
    "radam-decay": ("RAdam", {"lr": 0.02, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "radam-decoupled": ("RAdam", {"lr": 0.02, "betas": (0.8, 0.6), "weight_decay": 0.1,
                                  "decoupled_weight_decay": True}),
    **{f"{name}-maximize": (name, {**settings, "lr": 0.02, "maximize": True}) for name, settings in (
        ("SGD", {"momentum": 0.8, "weight_decay": 0.1}), ("Adagrad", {}), ("Adadelta", {}),
        ("RMSprop", {"centered": True}), ("Adam", {"amsgrad": True, "weight_decay": 0.1}), ("AdamW", {}),
        ("NAdam", {"weight_decay": 0.1}), ("RAdam", {}))},
}  # fmt: skip
SHAPES = [(4, 3), (5,), ()]


def gradients(values, t):
    """Gradients at step t of some bumpy function; the second parameter has none in every third step."""
    waves = [np.asarray(np.sin(3 * v + t) + 0.5 * v) for v in values]
    return [None if k == 1 and t % 3 == 2 else g for k, g in enumerate(waves)]


def set_gradients(params, t):
    for p, g in zip(params, gradients([p.data for p in params], t), strict=True):
        p.grad = None if g is None else Variable(g, requires_grad=False)


def start(rng, dtype=np.float64):
    return [Variable(np.asarray(rng.normal(size=s), dtype)) for s in SHAPES]


@pytest.mark.parametrize("case", CASES)
def test_updates_in_place_without_touching_gradients(case, rng):
    name, settings = CASES[case]
    params = start(rng, np.float32)
    arrays = [p.data for p in params]
    optimizer = getattr(optim, name)(params, **{**settings, "lr": np.float64(settings["lr"])})
    for t in range(3):
        set_gradients(params, t)
        for p in params:
            if p.grad is not None:
                p.grad.data.flags.writeable = False
        before = [p.data.copy() for p in params]
        optimizer.step()
        for p, a, b in zip(params, arrays, before, strict=True):
            assert p.data.dtype == np.float32 and np.shares_memory(p.data, a)
            assert (p.grad is None) == np.array_equal(p.data, b)
    for entries in optimizer.state.values():
        for value in entries.values():
            assert not isinstance(value, np.ndarray) or value.dtype == np.float32


def test_step_gives_the_parameter_a_new_version():
    p = Variable(np.ones(3))
    y = (p * p).sum()
    p.grad = Variable(np.ones(3), requires_grad=False)
    optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError):
        y.backward()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam])
def test_frozen_parameters_are_taken_and_left_as_they_are(kind):
    """As PyTorch does it: ``SGD(model.parameters())`` of a model that is frozen in part."""
    model, x = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 1)), np.ones((1, 2), "f")
    model[0].requires_grad_(False)
    before = model.state_dict()
    optimizer = kind(model.parameters(), lr=0.1)

    def step():
        optimizer.zero_grad()
        model(x).sum().backward()
        optimizer.step()
        return {name for name, array in model.state_dict().items() if (array != before[name]).any()}

    assert step() == {"1.weight", "1.bias"} and optimizer.state.keys() == {2, 3}
    model.requires_grad_()
    assert step() == before.keys() and optimizer.state.keys() == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "p", [Variable(1.0) * 2.0, Parameter(1), Parameter(1.0).detach(), Variable(1.0, False)]
)
def test_what_would_never_be_trained_is_refused(p):
    with pytest.raises(TypeError, match="SGD expected leaves that require grad, got one that is not"):
        optim.SGD([p], lr=0.1)


def test_zero_grad_may_set_gradients_to_zero():
    p, q = Variable(np.ones(3, "f")), Variable(np.ones(3))
    optimizer = optim.SGD([p, q], lr=0.1)
    (p * p).sum().backward()
    optimizer.zero_grad(set_to_none=False)
    assert p.grad.data.tolist() == [0.0] * 3 and p.grad.dtype == np.float32 and q.grad is None
    optimizer.zero_grad(set_to_none=True)
    assert p.grad is None


def test_groups_have_settings_of_their_own():
    a, b, c = (Variable(np.zeros(2)) for _ in range(3))
    optimizer = optim.SGD([{"params": [a]}, {"params": b, "lr": 0.5}], lr=0.1)
    optimizer.add_param_group({"params": [c], "lr": 2.0})
    for p in (a, b, c):
        p.grad = Variable(np.ones(2), requires_grad=False)
    optimizer.step()
    assert (a.data[0], b.data[0], c.data[0]) == (-0.1, -0.5, -2.0)
    assert [g["params"] for g in optimizer.state_dict()["param_groups"]] == [[0], [1], [2]]
    optimizer.zero_grad()
    assert a.grad is b.grad is c.grad is None


def test_state_dict_is_a_copy(rng):
    params = start(rng)
    optimizer = optim.Adam(params)
    set_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    state["state"][0]["exp_avg"][...] = 99
    state["param_groups"][0]["lr"] = 99
    assert optimizer.state[0]["exp_avg"].max() < 1 and optimizer.param_groups[0]["lr"] == 1e-3


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.pop("state"),
        lambda s: s.update(param_groups=3),
        lambda s: s.update(param_groups=[np.zeros(3)]),
        lambda s: s["param_groups"].append({"params": []}),
        lambda s: s["param_groups"][0].update(lr=-1.0),
        lambda s: s["param_groups"][0].update(lr="fast"),
        lambda s: s["param_groups"][0].update(betas=np.ones(2)),
        lambda s: s["param_groups"][0].update(amsgrad=True),
        lambda s: s["param_groups"][0].update(weight_decay=math.nan),
        lambda s: s["state"].update({7: s["state"][0]}),
        lambda s: s["state"].update({"0": s["state"][0]}),
        lambda s: s["state"][0].pop("exp_avg"),
        lambda s: s["state"][0].update(extra=1),
        lambda s: s["state"][0].update(exp_avg=np.zeros(2)),
        lambda s: s["state"][0].update(exp_avg=None),
        lambda s: s["state"][0].update(exp_avg=np.array(["a"])),
        lambda s: s["state"][0].update(step=-1),
        lambda s: s["state"][0].update(step=math.nan),
        lambda s: s["state"].update({0: 5}),
    ],
)
def test_a_wrong_state_is_refused_and_changes_nothing(damage, rng):
    params = start(rng)
    optimizer = optim.Adam(params, lr=0.5)
    set_gradients(params, 0)
    optimizer.step()
    wrong = optimizer.state_dict()
    wrong["param_groups"][0]["eps"] = 0.25
    wrong["state"][0]["step"] = 77
    damage(wrong)
    with pytest.raises(ValueError, match="Adam"):
        optimizer.load_state_dict(wrong)
    assert optimizer.param_groups[0]["eps"] == 1e-8 and optimizer.state[0]["step"] == 1
    assert optimizer.param_groups[0]["params"][0] is params[0]


@pytest.mark.parametrize("wrong", [math.nan, math.inf, "one", np.ones(2)])
def test_a_number_in_a_state_is_checked(wrong, rng):
    params = start(rng)
    optimizer = optim.NAdam(params)
    set_gradients(params, 0)
    optimizer.step()
    state = optimizer.state_dict()
    assert 0 < state["state"][0]["mu_product"] < 1
    state["state"][0]["mu_product"] = wrong
    with pytest.raises(ValueError, match="mu_product of parameter 0 expected"):
        optimizer.load_state_dict(state)


def test_maximize_climbs():
    for name in ("SGD", "Adagrad", "Adadelta", "RMSprop", "Adam", "AdamW", "NAdam", "RAdam"):
        p = Variable(np.zeros(2))
        optimizer = getattr(optim, name)([p], lr=0.1, maximize=True)
        for _ in range(20):
            p.grad = Variable(2 * (np.array([1.0, -1.0]) - p.data), requires_grad=False)
            optimizer.step()  # towards the top of -(p - [1, -1])²
        assert p.data[0] > 0 > p.data[1], name


def test_amsgrad_steps_do_not_grow_after_a_large_gradient():
    p = Variable(np.zeros(1))
    optimizer = optim.Adam([p], lr=0.1, betas=(0.0, 0.5), amsgrad=True)
    steps = []
    for g in [100.0, *[1.0] * 30]:
        p.grad = Variable(np.array([g]), requires_grad=False)
        before = p.data.copy()
        optimizer.step()
        steps.append((before - p.data).item())
    np.testing.assert_allclose(steps[-1], 0.1 / np.sqrt(0.5 * 100.0**2), rtol=1e-6)  # the largest v is 5000


def test_state_of_another_optimizer_is_refused(rng):
    params = start(rng)
    adagrad = optim.Adagrad(params)
    set_gradients(params, 0)
    adagrad.step()
    with pytest.raises(ValueError, match="Adam"):
        optim.Adam(params).load_state_dict(adagrad.state_dict())


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: optim.SGD([]), ValueError, "no parameters"),
        (lambda p: optim.SGD([p, p]), ValueError, "twice"),
        (lambda p: optim.SGD([p.data]), TypeError, "ndarray"),
        (lambda p: optim.SGD([p * 2]), TypeError, "leaves"),
        (lambda p: optim.SGD([p], lr=-1), ValueError, "lr"),
        (lambda p: optim.SGD([p], lr=math.nan), ValueError, "lr"),
        (lambda p: optim.SGD([p], momentum=1.0), ValueError, "momentum"),
        (lambda p: optim.SGD([p], nesterov=True), ValueError, "nesterov"),
        (lambda p: optim.SGD([{"params": [p], "nesterov": True}]), ValueError, "nesterov"),
        (lambda p: optim.SGD([{"params": [p], "speed": 1}]), ValueError, "speed"),
        (lambda p: optim.SGD([{"lr": 1}]), ValueError, "params"),
        (lambda p: optim.Adam([p], betas=(0.9, 1.0)), ValueError, "betas"),
        (lambda p: optim.Adam([p], betas=0.9), ValueError, "two numbers"),
        (lambda p: optim.RMSprop([p], alpha=-0.1), ValueError, "alpha"),
        (lambda p: optim.Adam([p], amsgrad=1), ValueError, "amsgrad to be True or False, got 1"),
        (lambda p: optim.SGD([p], maximize=None), ValueError, "maximize to be True or False"),
        (lambda p: optim.NAdam([p], momentum_decay=-1.0), ValueError, "momentum_decay of at least 0"),
    ],
)
def test_errors(make, error, words):
    with pytest.raises(error, match=words):
        make(Variable(np.ones(2)))


# --- clipping


def test_clip_grad_norm_of_huge_and_tiny_gradients():
    p = Variable(np.zeros(4, np.float32))
    for size in (1e30, 1e-30):
        p.grad = Variable(np.full(4, size, np.float32), requires_grad=False)
        assert optim.clip_grad_norm_(p, 1.0) == pytest.approx(2 * size, rel=1e-6)
        assert p.grad.dtype == np.float32
    p.grad = Variable(np.full(4, 1e30, np.float32), requires_grad=False)
    optim.clip_grad_norm_([p], 1.0)
    np.testing.assert_allclose(p.grad.data, 0.5, rtol=1e-5)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_clip_grad_norm_of_nonfinite_gradients(bad):
    p = Variable(np.zeros(2))
    p.grad = Variable(np.array([bad, 1.0]), requires_grad=False)
    with pytest.raises(RuntimeError, match="norm of the gradients"):
        optim.clip_grad_norm_([p], 1.0, error_if_nonfinite=True)
    assert p.grad.data[1] == 1.0
    norm = optim.clip_grad_norm_([p], 1.0)
    assert math.isnan(norm) if math.isnan(bad) else norm == math.inf
    assert math.isnan(p.grad.data[0])


def test_clip_grad_norm_without_gradients_and_with_wrong_bounds():
    p, empty = Variable(np.zeros(2)), Variable(np.zeros((0, 3)))
    empty.grad = Variable(np.zeros((0, 3)), requires_grad=False)
    assert optim.clip_grad_norm_([p], 1.0) == 0.0 == optim.clip_grad_norm_([p, empty], 1.0, math.inf)
    for call in (
        lambda: optim.clip_grad_norm_([p], -1.0),
        lambda: optim.clip_grad_norm_([p], math.nan),
        lambda: optim.clip_grad_norm_([p], 1.0, norm_type=0),
        lambda: optim.clip_grad_value_([p], -1.0),
    ):
        with pytest.raises(ValueError, match="clip_grad"):
            call()


def test_clip_grad_value():
    p, q = Variable(np.zeros(3, np.float32)), Variable(np.zeros(()))
    p.grad = Variable(np.array([-3, 0.25, 9], np.float32), requires_grad=False)
    q.grad = Variable(np.array(-7.0), requires_grad=False)
    held = p.grad.data
    optim.clip_grad_value_([p, q], np.float64(0.5))
    np.testing.assert_array_equal(p.grad.data, np.array([-0.5, 0.25, 0.5], np.float32))
    assert p.grad.dtype == np.float32 and q.grad.data == -0.5 and held[2] == 9


# --- numbers of NumPy's as settings


NUMBERS = {"scalar": np.float64, "half": np.float32, "without axes": lambda x: np.array(x, np.float64)}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_clipping_by_a_number_of_numpys_keeps_the_dtype(dtype, kind):
    number = NUMBERS[kind]
    for clip in (
        lambda p: optim.clip_grad_norm_([p], number(0.1)),
        lambda p: optim.clip_grad_norm_([p], number(0.1), norm_type=number(3)),
        lambda p: optim.clip_grad_norm_([p], np.int64(1), norm_type=number(math.inf)),
        lambda p: optim.clip_grad_value_([p], number(0.1)),
    ):
        p = Variable(np.zeros(3, dtype))
        p.grad = Variable(np.array([3, -4, 5], dtype), requires_grad=False)
        result = clip(p)
        assert (
            p.grad.dtype == dtype and np.abs(p.grad.data).max() <= 1 and type(result) in (float, type(None))
        )


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("case", CASES)
def test_settings_by_numbers_of_numpys_are_pythons(case, kind, rng):
    """Given, loaded or set by hand: the same trajectory in float32, and settings that can be saved."""
    name, settings = CASES[case]

    def numpys(value):
        if isinstance(value, tuple):
            return tuple(map(numpys, value))
        return np.bool_(value) if isinstance(value, bool) else NUMBERS[kind](value)

    def plain(value):
        return tuple(map(plain, value)) if isinstance(value, tuple) else numpys(value).item()

    first = start(rng, np.float32)
    kits = []
    for change in (plain, numpys):
        params = [Variable(p.data.copy()) for p in first]
        kits.append((params, getattr(optim, name)(params, **{k: change(v) for k, v in settings.items()})))
    for t in range(6):
        for params, optimizer in kits:
            set_gradients(params, t)
            optimizer.step()
            for p in params:
                assert p.data.dtype == np.float32
        for p, q in zip(kits[0][0], kits[1][0], strict=True):
            if t < 4:
                np.testing.assert_array_equal(p.data, q.data)
            else:  # a factor set by hand is multiplied in its own precision
                np.testing.assert_allclose(p.data, q.data, rtol=1e-5, atol=1e-7)
        if t == 1:
            for _, optimizer in kits:
                group = optimizer.param_groups[0]
                assert all(type(v) in (float, bool, tuple) for k, v in group.items() if k != "params")
                assert all(type(v) is float for v in group.get("betas", ()))
                state = optimizer.state_dict()
                state["param_groups"][0]["lr"] = numpys(0.03)
                optimizer.load_state_dict(state)
                assert type(group["lr"]) is float
        if t == 3:
            kits[0][1].param_groups[0]["lr"] = 0.04
            kits[1][1].param_groups[0]["lr"] = NUMBERS[kind](0.04)
    for entries in kits[1][1].state.values():
        assert all(v.dtype == np.float32 for v in entries.values() if isinstance(v, np.ndarray))
