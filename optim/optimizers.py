"""Update rules in PyTorch's names and conventions, from the simplest to the most elaborate.

Each docstring states the rule, and `update` follows it in place: besides its memory, a rule needs one
array of scratch the size of one parameter (Adadelta two, NAdam three, weight decay and maximize one more).
"""

import math
from typing import Any

import numpy as np

from autograd.extend import Array

from .optimizer import Group, Optimizer, Params, State


class SGD(Optimizer):
    """Stochastic gradient descent:  v' = μ v + (1-τ) g,  p' = p - lr v'.

    With momentum μ = 0, v' is g. The first v' is g, whatever the dampening τ. Nesterov's form steps along
    g + μ v'. Weight decay λ adds λ p to g.

    >>> w = nn.Parameter([3.0])
    >>> optimizer = optim.SGD([w], lr=0.1, momentum=0.9)
    >>> for _ in range(2):  # v = 6, then .9 · 6 + 2 · 2.4
    ...     optimizer.zero_grad()
    ...     (w * w).sum().backward()
    ...     optimizer.step()
    >>> w.data
    array([1.38])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "momentum": momentum, "dampening": dampening,
                                  "weight_decay": weight_decay, "nesterov": nesterov,
                                  "maximize": maximize})  # fmt: skip

    def check(self, group: Group) -> None:
        super().check(group)
        if group["nesterov"] and (group["momentum"] == 0 or group["dampening"] != 0):
            raise ValueError("SGD expected a momentum and no dampening with nesterov=True")

    def start(self, p: Array, group: Group) -> State:
        return {"momentum_buffer": None}

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        g = with_decay(p, g, group)
        momentum, v = group["momentum"], state["momentum_buffer"]
        if momentum == 0:
            p -= scaled(g, group["lr"])
            return
        if v is None:
            v = state["momentum_buffer"] = np.copy(g)
        else:
            v *= momentum
            v += scaled(g, 1 - group["dampening"])
        if group["nesterov"]:
            scratch = scaled(v, momentum)
            scratch += g
            scratch *= group["lr"]
        else:
            scratch = scaled(v, group["lr"])
        p -= scratch


class Adagrad(Optimizer):
    """Adagrad (Duchi et al. 2011):  s' = s + g²,  p' = p - lr / (1 + (t-1) η) · g / (√s' + ε).

    s starts at ``initial_accumulator_value``; η is ``lr_decay``. Weight decay λ adds λ p to g.

    >>> w = nn.Parameter([3.0, -100.0])
    >>> optimizer = optim.Adagrad([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # g / |g| in the first step
    >>> w.data
    array([  2.5, -99.5])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        lr_decay: float = 0.0,
        weight_decay: float = 0.0,
        initial_accumulator_value: float = 0.0,
        eps: float = 1e-10,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "lr_decay": lr_decay, "weight_decay": weight_decay, "eps": eps,
                                  "initial_accumulator_value": initial_accumulator_value,
                                  "maximize": maximize})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        return {"step": 0, "sum": np.full_like(p, group["initial_accumulator_value"])}

    def numbers(self, state: State, group: Group) -> Group:
        state["step"] += 1
        return {"rate": group["lr"] / (1 + (state["step"] - 1) * group["lr_decay"])}

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        g = with_decay(p, g, group)
        s = state["sum"]
        scratch = np.empty_like(p)
        np.multiply(g, g, out=scratch)
        s += scratch
        np.sqrt(s, out=scratch)
        scratch += group["eps"]
        np.divide(g, scratch, out=scratch)
        scratch *= group["rate"]
        p -= scratch


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012), with running means of squares of gradients, s, and of steps, u:

    s' = ρ s + (1-ρ) g²,  d = √(u + ε) / √(s' + ε) · g,  u' = ρ u + (1-ρ) d²,  p' = p - lr d.
    Weight decay λ adds λ p to g.

    >>> w = nn.Parameter([3.0])
    >>> optimizer = optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # √ε g / √(.1 g²): no learning rate to choose, and a slow start
    >>> w.data - 3.0
    array([-0.0032])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay,
                                  "maximize": maximize})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        return {"step": 0, "square_avg": np.zeros_like(p), "acc_delta": np.zeros_like(p)}

    def numbers(self, state: State, group: Group) -> Group:
        state["step"] += 1
        return super().numbers(state, group)

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        g = with_decay(p, g, group)
        rho, eps = group["rho"], group["eps"]
        s, u = state["square_avg"], state["acc_delta"]
        scratch, d = np.empty_like(p), np.empty_like(p)
        average_squares(s, g, rho, scratch)
        np.add(s, eps, out=scratch)
        np.add(u, eps, out=d)
        d /= scratch
        np.sqrt(d, out=d)
        d *= g
        average_squares(u, d, rho, scratch)
        d *= group["lr"]
        p -= d


class RMSprop(Optimizer):
    """RMSprop (Tieleman & Hinton 2012):  s' = α s + (1-α) g²,  p' = p - lr g / (√s' + ε).

    Centred, with a running mean m' = α m + (1-α) g, the root is of s' - m'². With momentum μ the step is
    along v' = μ v + g / (√s' + ε). Weight decay λ adds λ p to g.

    >>> w = nn.Parameter([3.0, -100.0])
    >>> optimizer = optim.RMSprop([w], lr=0.5, alpha=0.75)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # g / √(.25 g²) in the first step
    >>> w.data
    array([  2., -99.])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "alpha": alpha, "eps": eps, "weight_decay": weight_decay,
                                  "momentum": momentum, "centered": centered,
                                  "maximize": maximize})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        state = {"step": 0, "square_avg": np.zeros_like(p)}
        if group["momentum"]:
            state["momentum_buffer"] = np.zeros_like(p)
        if group["centered"]:
            state["grad_avg"] = np.zeros_like(p)
        return state

    def numbers(self, state: State, group: Group) -> Group:
        state["step"] += 1
        return super().numbers(state, group)

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        g = with_decay(p, g, group)
        alpha = group["alpha"]
        s = state["square_avg"]
        scratch = np.empty_like(p)
        average_squares(s, g, alpha, scratch)
        if group["centered"]:
            m = state["grad_avg"]
            average(m, g, alpha, scratch)
            np.multiply(m, m, out=scratch)
            np.subtract(s, scratch, out=scratch)
            np.maximum(scratch, 0, out=scratch)  # a variance that rounding made negative
            np.sqrt(scratch, out=scratch)
        else:
            np.sqrt(s, out=scratch)
        scratch += group["eps"]
        np.divide(g, scratch, out=scratch)
        if group["momentum"]:
            v = state["momentum_buffer"]
            v *= group["momentum"]
            v += scratch
            np.copyto(scratch, v)
        scratch *= group["lr"]
        p -= scratch


class Adam(Optimizer):
    """Adam (Kingma & Ba 2015), with bias-corrected first and second moments of the gradient:

    m' = β₁ m + (1-β₁) g,  v' = β₂ v + (1-β₂) g²,  p' = p - lr m̂ / (√v̂ + ε),
    m̂ = m' / (1-β₁ᵗ),  v̂ = v' / (1-β₂ᵗ).  Weight decay λ adds λ p to g.

    With ``amsgrad`` (Reddi et al. 2018) v̂ is made of the largest v' so far: no step grows again.

    >>> w = nn.Parameter([3.0, -100.0])
    >>> optimizer = optim.Adam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # g / |g| in the first step
    >>> w.data
    array([  2.5, -99.5])
    """

    decoupled = False

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "amsgrad": amsgrad, "maximize": maximize})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        state = moments(p)
        if group["amsgrad"]:
            state["max_exp_avg_sq"] = np.zeros_like(p)
        return state

    def numbers(self, state: State, group: Group) -> Group:
        return corrections(state, group)

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        scratch = np.empty_like(p)
        _, m, v = averages(p, g, state, group, self.decoupled, scratch)
        if group["amsgrad"]:
            v = np.maximum(state["max_exp_avg_sq"], v, out=state["max_exp_avg_sq"])
        root_of_average(v, group, scratch)
        np.divide(m, scratch, out=scratch)
        scratch *= group["rate"]
        p -= scratch


class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2019): p shrinks by lr λ p before the step.

    >>> w = nn.Parameter([3.0, -100.0])
    >>> optimizer = optim.AdamW([w], lr=0.5, weight_decay=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # .95 w, then g / |g|
    >>> w.data
    array([  2.35, -94.5 ])
    """

    decoupled = True
    implied = {"decoupled_weight_decay": True}

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, maximize=maximize)


class NAdam(Optimizer):
    """Adam with Nesterov's momentum (Dozat 2016), which steps along the coming average, not the last one:

    p' = p - lr ((1-μₜ) g / (1 - Πμ) + μₜ₊₁ m' / (1 - Πμ μₜ₊₁)) / (√v̂ + ε),

    with m', v' and v̂ as in `Adam`, μₜ = β₁ (1 - .96^(t ψ) / 2) and Πμ the product of μ₁ to μₜ. ψ is
    ``momentum_decay``. Weight decay λ adds λ p to g; decoupled, p shrinks by lr λ p before the step.

    >>> w = nn.Parameter([3.0])
    >>> optimizer = optim.NAdam([w], lr=0.5, momentum_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # 1 + .45 · .1 / (1 - .45²): μ is .45 in every step
    >>> w.data - 3.0
    array([-0.5282])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "momentum_decay": momentum_decay, "maximize": maximize,
                                  "decoupled_weight_decay": decoupled_weight_decay})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        return {**moments(p), "mu_product": 1.0}

    def numbers(self, state: State, group: Group) -> Group:
        numbers, t = corrections(state, group), state["step"]
        lr, beta1, psi = group["lr"], group["betas"][0], group["momentum_decay"]
        mu, coming = (beta1 * (1 - 0.5 * 0.96 ** (k * psi)) for k in (t, t + 1))
        product = state["mu_product"] = state["mu_product"] * mu
        along_g, along_m = lr * (1 - mu) / (1 - product), lr * coming / (1 - product * coming)
        return {**numbers, "along_g": along_g, "along_m": along_m}

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        scratch = np.empty_like(p)
        g, m, v = averages(p, g, state, group, group["decoupled_weight_decay"], scratch)
        root_of_average(v, group, scratch)
        d = scaled(g, group["along_g"])
        d += scaled(m, group["along_m"])
        np.divide(d, scratch, out=d)
        p -= d


class RAdam(Optimizer):
    """Adam that does without v̂ until it is reliable (Liu et al. 2020), with its moments m' and v̂:

    p' = p - lr rₜ m̂ / √v̂ where ρₜ > 5, else p' = p - lr m̂,
    ρ∞ = 2 / (1-β₂) - 1,  ρₜ = ρ∞ - 2 t β₂ᵗ / (1-β₂ᵗ),  rₜ² = (ρₜ-4) (ρₜ-2) ρ∞ / ((ρ∞-4) (ρ∞-2) ρₜ).

    As in PyTorch, ε is added to √v'. Weight decay λ adds λ p to g; decoupled, p shrinks by lr λ p before
    the step.

    >>> w = nn.Parameter([3.0, -100.0])
    >>> optimizer = optim.RAdam([w], lr=0.5)
    >>> (w * w).sum().backward()
    >>> optimizer.step()  # plain momentum in the first five steps: w - lr g
    >>> w.data
    array([0., 0.])
    """

    def __init__(
        self,
        params: Params,
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        *,
        maximize: bool = False,
    ):
        super().__init__(params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay,
                                  "decoupled_weight_decay": decoupled_weight_decay,
                                  "maximize": maximize})  # fmt: skip

    def start(self, p: Array, group: Group) -> State:
        return moments(p)

    def numbers(self, state: State, group: Group) -> Group:
        numbers, t, beta2 = corrections(state, group), state["step"], group["betas"][1]
        last = 2 / (1 - beta2) - 1
        rho = last - 2 * t * beta2**t / (1 - beta2**t)
        rate = numbers["rate"]
        if rho > 5:
            rate *= math.sqrt((rho - 4) * (rho - 2) * last / ((last - 4) * (last - 2) * rho))
            rate *= numbers["root"]
        return {**numbers, "rate": rate, "rectified": rho > 5}

    def update(self, p: Array, g: Array, state: State, group: Group) -> None:
        scratch = np.empty_like(p)
        _, m, v = averages(p, g, state, group, group["decoupled_weight_decay"], scratch)
        if group["rectified"]:
            np.sqrt(v, out=scratch)
            scratch += group["eps"]
            np.divide(m, scratch, out=scratch)
            scratch *= group["rate"]
        else:
            np.multiply(m, group["rate"], out=scratch)
        p -= scratch


# --- parts of several rules; arrays keep their dtype whatever kind of number a setting is -------


def scaled(x: Array, factor: float) -> Array:
    """A new array, factor times x."""
    return np.multiply(x, factor, out=np.empty_like(x))


def with_decay(p: Array, g: Array, group: Group) -> Array:
    """g + λ p, a new array; g itself when the group has no weight decay λ."""
    if not group["weight_decay"]:
        return g
    decayed = scaled(p, group["weight_decay"])
    decayed += g
    return decayed


def moments(p: Array) -> State:
    """The memory of Adam and its relatives: averages of gradients and of their squares."""
    return {"step": 0, "exp_avg": np.zeros_like(p), "exp_avg_sq": np.zeros_like(p)}


def corrections(state: State, group: Group) -> dict[str, Any]:
    """Count a step of Adam or a relative; gives lr / (1 - β₁ᵗ), √(1 - β₂ᵗ) and 1 - lr λ."""
    state["step"] += 1
    t, lr, (beta1, beta2) = state["step"], group["lr"], group["betas"]
    return {
        "rate": lr / (1 - beta1**t),
        "root": math.sqrt(1 - beta2**t),
        "shrinkage": 1 - lr * group["weight_decay"],
    }


def averages(
    p: Array, g: Array, state: State, group: Group, decoupled: bool, scratch: Array
) -> tuple[Array, Array, Array]:
    """Begin a step of Adam or a relative: weight decay, then m' and v'. Gives g + λ p, m' and v'."""
    beta1, beta2 = group["betas"]
    if decoupled:
        p *= group["shrinkage"]
    else:
        g = with_decay(p, g, group)
    m, v = state["exp_avg"], state["exp_avg_sq"]
    average(m, g, beta1, scratch)
    average_squares(v, g, beta2, scratch)
    return g, m, v


def root_of_average(v: Array, group: Group, out: Array) -> None:
    """√v̂ + ε with v̂ = v / (1 - β₂ᵗ)."""
    np.sqrt(v, out=out)
    out /= group["root"]
    out += group["eps"]


def average(m: Array, x: Array, rate: float, scratch: Array) -> None:
    """m' = rate m + (1 - rate) x, in place."""
    np.subtract(x, m, out=scratch)
    scratch *= 1 - rate
    m += scratch


def average_squares(s: Array, x: Array, rate: float, scratch: Array) -> None:
    """s' = rate s + (1 - rate) x², in place."""
    np.multiply(x, x, out=scratch)
    scratch *= 1 - rate
    s *= rate
    s += scratch
