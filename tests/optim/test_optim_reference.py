"""Optimizers and clipping against their rules, restated in plain NumPy from the papers and from PyTorch's
documentation: whole trajectories, parameter by parameter.

A rule here is ``rule(p, g, m, **settings) -> p'``; ``m`` is a dict in which it remembers what it likes. The
defaults are PyTorch's.
"""

import math

import numpy as np
import pytest
from numpy import sqrt

import optim
from autograd import Variable
from tests.optim.test_optim import CASES, gradients, set_gradients, start


def sgd(p, g, m, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False):
    g = g + weight_decay * p
    if momentum:
        m["v"] = momentum * m["v"] + (1 - dampening) * g if m else g
        g = g + momentum * m["v"] if nesterov else m["v"]
    return p - lr * g


def adagrad(p, g, m, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0, eps=1e-10):
    g = g + weight_decay * p
    t = m["t"] = m.get("t", 0) + 1
    m["sum"] = m.get("sum", initial_accumulator_value) + g**2
    return p - lr / (1 + (t - 1) * lr_decay) * g / (sqrt(m["sum"]) + eps)


def adadelta(p, g, m, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0):
    g = g + weight_decay * p
    m["g²"] = rho * m.get("g²", 0) + (1 - rho) * g**2
    step = sqrt(m.get("d²", 0) + eps) / sqrt(m["g²"] + eps) * g
    m["d²"] = rho * m.get("d²", 0) + (1 - rho) * step**2
    return p - lr * step


def rmsprop(p, g, m, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0, centered=False):
    g = g + weight_decay * p
    m["g²"] = alpha * m.get("g²", 0) + (1 - alpha) * g**2
    m["g"] = alpha * m.get("g", 0) + (1 - alpha) * g
    step = g / (sqrt(m["g²"] - m["g"] ** 2 if centered else m["g²"]) + eps)
    m["b"] = momentum * m.get("b", 0) + step
    return p - lr * m["b"]


def adam(p, g, m, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, amsgrad=False):
    return adamw(p, g + weight_decay * p, m, lr, betas, eps, 0, amsgrad)


def corrected(m, g, betas):
    """The two averages without their bias, and the number of the step."""
    t = m["t"] = m.get("t", 0) + 1
    m["m"] = betas[0] * m.get("m", 0) + (1 - betas[0]) * g
    m["v"] = betas[1] * m.get("v", 0) + (1 - betas[1]) * g**2
    return m["m"] / (1 - betas[0] ** t), m["v"] / (1 - betas[1] ** t), t


def adamw(p, g, m, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2, amsgrad=False):
    p = p - lr * weight_decay * p
    m_hat, v_hat, t = corrected(m, g, betas)
    m["seen"] = [*m.get("seen", []), m["v"]]
    if amsgrad:  # as in PyTorch, the largest average before its bias is corrected
        v_hat = np.max(m["seen"], axis=0) / (1 - betas[1] ** t)
    return p - lr * m_hat / (sqrt(v_hat) + eps)


def nadam(p, g, m, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, momentum_decay=4e-3,
          decoupled_weight_decay=False):  # fmt: skip
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    _, v_hat, t = corrected(m, g, betas)
    mu = betas[0] * (1 - 0.96 ** (np.arange(1, t + 2) * momentum_decay) / 2)  # up to step t + 1
    m_bar = mu[-1] * m["m"] / (1 - np.prod(mu)) + (1 - mu[-2]) * g / (1 - np.prod(mu[:-1]))
    return p - lr * m_bar / (sqrt(v_hat) + eps)


def radam(p, g, m, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0, decoupled_weight_decay=False):
    if decoupled_weight_decay:
        p = p - lr * weight_decay * p
    else:
        g = g + weight_decay * p
    m_hat, _, t = corrected(m, g, betas)
    end = 2 / (1 - betas[1]) - 1
    rho = end - 2 * t * betas[1] ** t / (1 - betas[1] ** t)
    if rho <= 5:
        return p - lr * m_hat
    r = sqrt((rho - 4) * (rho - 2) * end / ((end - 4) * (end - 2) * rho))
    return p - lr * m_hat * r * sqrt(1 - betas[1] ** t) / (sqrt(m["v"]) + eps)


def uphill(rule):
    """The same for a setting maximize, which turns gradients around."""

    def turned(p, g, m, maximize=False, **settings):
        return rule(p, -g if maximize else g, m, **settings)

    return turned


RULES = {
    "SGD": sgd,
    "Adagrad": adagrad,
    "Adadelta": adadelta,
    "RMSprop": rmsprop,
    "Adam": adam,
    "AdamW": adamw,
    "NAdam": nadam,
    "RAdam": radam,
}
RULES = {name: uphill(rule) for name, rule in RULES.items()}
MORE = {
    "sgd default": ("SGD", {}),
    "sgd damped": ("SGD", {"lr": 0.05, "momentum": 0.6, "dampening": 0.6}),
    "sgd nesterov alone": ("SGD", {"lr": 0.05, "momentum": 0.9, "nesterov": True}),
    "adagrad default": ("Adagrad", {}),
    "adagrad all": ("Adagrad", {"lr": 0.1, "lr_decay": 0.1, "weight_decay": 0.05, "eps": 1e-3,
                                "initial_accumulator_value": 0.1}),
    "adadelta default": ("Adadelta", {}),
    "adadelta eps": ("Adadelta", {"lr": 0.5, "rho": 0.7, "eps": 1e-2}),
    "rmsprop default": ("RMSprop", {}),
    "rmsprop momentum": ("RMSprop", {"lr": 0.01, "momentum": 0.9, "alpha": 0.8, "eps": 1e-2}),
    "rmsprop centered alone": ("RMSprop", {"lr": 0.01, "centered": True, "weight_decay": 0.1}),
    "adam default": ("Adam", {}),
    "adam eps": ("Adam", {"lr": 0.05, "betas": (0.5, 0.7), "eps": 0.1}),
    "adamw default": ("AdamW", {}),
    "adam amsgrad": ("Adam", {"lr": 0.05, "betas": (0.9, 0.3), "amsgrad": True}),
    "nadam default": ("NAdam", {}),
    "radam default": ("RAdam", {}),
    "adamw all": ("AdamW", {"lr": 0.05, "betas": (0.7, 0.9), "eps": 1e-3, "weight_decay": 0.5}),
}  # fmt: skip


@pytest.mark.parametrize("case", [*CASES, *MORE])
def test_trajectory_follows_the_rule(case, rng):
    """Sixty steps of three parameters, of which the second has no gradient in every third step."""
    name, settings = {**CASES, **MORE}[case]
    params = start(rng)
    values, memories = [p.data.copy() for p in params], [{} for _ in params]
    optimizer = getattr(optim, name)(params, **settings)
    for t in range(60):
        set_gradients(params, t)
        given = gradients(values, t)
        optimizer.step()
        for k, g in enumerate(given):
            if g is not None:
                values[k] = RULES[name](values[k], g, memories[k], **settings)
            np.testing.assert_allclose(params[k].data, values[k], rtol=1e-10, atol=1e-12, err_msg=f"step {t}")


def test_first_steps_by_hand():
    """One parameter, p = 1 with gradient 2, and the numbers that a reader can follow."""
    for make, want in [
        (lambda p: optim.SGD(p, lr=0.1), [0.8, 0.6]),
        (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.5), [0.75, 0.5125]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.5), [0.8, 0.5]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.5, dampening=0.5), [0.8, 0.6]),
        (lambda p: optim.SGD(p, lr=0.1, momentum=0.5, nesterov=True), [0.7, 0.35]),
        (lambda p: optim.Adagrad(p, lr=0.1), [0.9, 0.9 - 0.1 / math.sqrt(2)]),
        (lambda p: optim.RMSprop(p, lr=0.1, alpha=0.75), [0.8, 0.8 - 0.1 * 2 / math.sqrt(1.75)]),
        (lambda p: optim.Adam(p, lr=0.1), [0.9, 0.8]),
        (lambda p: optim.AdamW(p, lr=0.1, weight_decay=0.5), [0.85, 0.7075]),
        (lambda p: optim.SGD(p, lr=0.1, weight_decay=0.5, maximize=True), [1.15, 1.2925]),
        (lambda p: optim.RAdam(p, lr=0.1), [0.8, 0.6]),
    ]:
        p = Variable(np.array([1.0]))
        optimizer = make([p])
        for value in want:
            p.grad = Variable(np.array([2.0]), requires_grad=False)
            optimizer.step()
            assert p.data[0] == pytest.approx(value, abs=1e-7), optimizer


def test_a_loaded_state_brings_its_settings():
    p = Variable(np.ones(2))
    slow, fast = optim.Adam([p], lr=0.25, betas=(0.5, 0.75)), optim.Adam([p], lr=1.0)
    fast.load_state_dict(slow.state_dict())
    assert fast.param_groups[0]["lr"] == 0.25 and fast.param_groups[0]["betas"] == (0.5, 0.75)


# --- clipping ---------------------------------------------------------------------------------------


def clipped(grads, max_norm, p):
    """(norm, gradients): all elements as one vector, scaled by max / (norm + 1e-6) if that is below 1."""
    elements = np.abs(np.concatenate([g.ravel() for g in grads]))
    norm = elements.max() if p == math.inf else (elements**p).sum() ** (1 / p)
    scale = min(1.0, max_norm / (norm + 1e-6))
    return norm, [g * scale for g in grads]


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 0.5, 3.5, math.inf])
@pytest.mark.parametrize("max_norm", [0.0, 0.25, 4.0, 1e3])
def test_gradients_are_scaled_by_their_joint_norm(norm_type, max_norm, rng):
    params = start(rng)
    grads = [rng.normal(size=p.shape) - 0.8 for p in params]  # the largest in absolute value is negative
    for p, g in zip(params, grads, strict=True):
        p.grad = Variable(np.array(g), requires_grad=False)
    want_norm, want = clipped(grads, max_norm, norm_type)
    assert optim.clip_grad_norm_(params, max_norm, norm_type) == pytest.approx(want_norm, rel=1e-12)
    for p, g in zip(params, want, strict=True):
        np.testing.assert_allclose(p.grad.data, g, rtol=1e-12)


@pytest.mark.parametrize(("norm_type", "norm"), [(2.0, 5.0), (1.0, 7.0), (math.inf, 4.0)])
def test_clipping_of_a_right_angled_triangle(norm_type, norm):
    p, q = Variable(np.zeros(1)), Variable(np.zeros(2))
    p.grad = Variable(np.array([-4.0]), requires_grad=False)
    q.grad = Variable(np.array([0.0, 3.0]), requires_grad=False)
    assert optim.clip_grad_norm_([p, q], norm / 2, norm_type) == pytest.approx(norm)
    np.testing.assert_allclose([*p.grad.data, *q.grad.data], [-2.0, 0.0, 1.5], rtol=1e-6)
