"""Losses as functions and modules: derivatives, dtypes, masks, errors. Their values are
in `test_losses_reference` and `test_losses_torch`."""

import numpy as np
import pytest

import nn.functional as F
import nn.losses as L
from autograd import Variable, grad, gradcheck

W = np.array([0.5, 2.0, 0.0, 1.5])


def data(rng, shape=(3, 4)):
    return rng.normal(size=shape) * 2, rng.normal(size=shape)


def probabilities(rng, shape=(3, 4)):
    """Log-probabilities x and probabilities t, some of them zero."""
    x = rng.normal(size=shape)
    t = np.exp(rng.normal(size=shape)) * (rng.random(shape) > 0.3)
    return x - np.log(np.exp(x).sum(-1, keepdims=True)), t / t.sum(-1, keepdims=True)


def classes(rng, shape=(5, 4)):
    """Logits and class numbers; the second target is ignored."""
    t = rng.integers(0, 4, size=(shape[0], *shape[2:]))
    t[1] = -100
    return rng.normal(size=shape), t


# name, the inputs, the settings
CASES = {
    "mse": ("MSELoss", "mse_loss", data, {}),
    "l1": ("L1Loss", "l1_loss", data, {}),
    "huber": ("HuberLoss", "huber_loss", data, {"delta": 0.7}),
    "smooth l1": ("SmoothL1Loss", "smooth_l1_loss", data, {"beta": 0.7}),
    "smooth l1, beta 0": ("SmoothL1Loss", "smooth_l1_loss", data, {"beta": 0.0}),
    "bce": ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", probabilities, {}),
    "bce weighted": ("BCEWithLogitsLoss", "binary_cross_entropy_with_logits", probabilities,
                     {"weight": W, "pos_weight": W + 1}),
    "kl": ("KLDivLoss", "kl_div", probabilities, {}),
    "kl of logs": ("KLDivLoss", "kl_div", data, {"log_target": True}),
    "nll": ("NLLLoss", "nll_loss", classes, {}),
    "nll weighted": ("NLLLoss", "nll_loss", classes, {"weight": W, "ignore_index": 1}),
    "ce": ("CrossEntropyLoss", "cross_entropy", classes, {}),
    "ce weighted": ("CrossEntropyLoss", "cross_entropy", classes, {"weight": W}),
    "ce ignoring": ("CrossEntropyLoss", "cross_entropy", classes, {"ignore_index": 2}),
    "ce smooth": ("CrossEntropyLoss", "cross_entropy", classes, {"label_smoothing": 0.2}),
    "ce all": ("CrossEntropyLoss", "cross_entropy", classes,
               {"label_smoothing": 0.3, "weight": W, "ignore_index": 0}),
    "ce images": ("CrossEntropyLoss", "cross_entropy", lambda rng: classes(rng, (3, 4, 2, 5)),
                  {"label_smoothing": 0.3, "weight": W}),
}  # fmt: skip


def inputs(make, settings, rng):
    x, t = make(rng)
    if "ignore_index" in settings:
        t = np.where(t == -100, settings["ignore_index"], t)
    return x, t


@pytest.mark.parametrize("case", CASES)
def test_first_and_second_derivatives(case, rng):
    _, function, make, settings = CASES[case]
    x, t = inputs(make, settings, rng)

    def loss(x):
        return getattr(F, function)(x, t, **settings, reduction="sum")

    gradcheck(loss, x, order=2)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32(case, rng):
    module, _, make, settings = CASES[case]
    x, t = inputs(make, settings, rng)
    a = Variable(x.astype(np.float32))
    y = getattr(L, module)(**settings)(a, t)  # with float64 targets and weights
    y.backward()
    assert y.dtype == a.grad.dtype == np.float32


@pytest.mark.parametrize("size", [1e3, 1e30])
def test_huge_inputs_neither_overflow_nor_lose_their_gradient(size):
    x = Variable(np.array([[size, -size], [-size, size]]))
    for loss in (
        F.huber_loss(x, np.zeros((2, 2))),
        F.binary_cross_entropy_with_logits(x, np.ones((2, 2))),
        F.cross_entropy(x, np.array([1, 1])),
    ):
        (g,) = grad(loss, [x])
        assert np.isfinite(loss.item()) and np.isfinite(g.data).all() and g.data.any()


def test_infinite_logits_of_steps_that_do_not_count(rng):
    x, t = rng.normal(size=(3, 4)), np.array([0, 1, 2])
    x[1, :2] = -np.inf  # of the target, too: the loss of this step is infinite
    a = Variable(x)
    loss = F.cross_entropy(a, t, mask=np.array([True, False, True]))
    loss.backward()
    assert (
        np.isfinite(loss.item())
        and np.isfinite(a.grad.data).all()
        and not a.grad.data[1].any()
        and a.grad.data[0].any()
    )


def test_a_mask_is_the_same_as_leaving_steps_out(rng):
    x, t = rng.normal(size=(6, 3, 4)), rng.integers(0, 4, size=(6, 3))
    mask = np.arange(6)[:, None] < np.array([6, 2, 4])
    a, b = Variable(x.reshape(18, 4)), Variable(x[mask])
    for settings in ({}, {"weight": W + 0.1}, {"label_smoothing": 0.1}):
        y = F.cross_entropy(a, t.reshape(18), mask=mask.reshape(18), **settings)
        z = F.cross_entropy(b, t[mask], **settings)
        np.testing.assert_allclose(y.item(), z.item(), rtol=1e-12)
        (gy,), (gz,) = grad(y, [a]), grad(z, [b])
        np.testing.assert_allclose(gy.data.reshape(6, 3, 4)[mask], gz.data, rtol=1e-12)
        assert not gy.data.reshape(6, 3, 4)[~mask].any()
    both = F.cross_entropy(a, np.where(t == 0, -100, t).reshape(18), mask=mask.reshape(18), reduction="sum")
    np.testing.assert_allclose(
        both.item(), F.cross_entropy(b, t[mask], ignore_index=0, reduction="sum").item()
    )


def test_targets_may_be_variables_and_get_gradients(rng):
    x, t = data(rng)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss, F.binary_cross_entropy_with_logits):
        gradcheck(loss, x, t)
    logp, p = probabilities(rng)
    gradcheck(F.kl_div, logp, p + 0.1)


def test_kl_is_zero_only_for_equal_distributions(rng):
    x, t = probabilities(rng)
    t = np.exp(x)
    assert F.kl_div(Variable(x), t, "batchmean").item() == pytest.approx(0, abs=1e-15)
    assert F.kl_div(Variable(np.roll(x, 1)), t, "batchmean").item() > 0


def test_weights_are_state_but_not_trained():
    loss = L.CrossEntropyLoss(weight=W)
    assert list(loss.state_dict()) == ["weight"] and not list(loss.parameters())
    other = L.CrossEntropyLoss(weight=np.ones(4))
    other.load_state_dict(loss.state_dict())
    np.testing.assert_array_equal(other.weight, W)
    assert repr(L.HuberLoss(delta=2.0)) == "HuberLoss(reduction='mean', delta=2.0)"


X, T = Variable(np.zeros((3, 4))), np.array([0, 1, 2])


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: F.mse_loss(X, np.zeros((3, 1))), ValueError, "mse_loss expected a target of x's shape"),
    (lambda: F.mse_loss(X, X, "avg"), ValueError, "reduction"),
    (lambda: F.huber_loss(X, X, delta=0), ValueError, "delta"),
    (lambda: F.kl_div(X, np.zeros(4)), ValueError, "kl_div"),
    (lambda: F.cross_entropy(X, T[:2]), ValueError, r"\(3,\)"),
    (lambda: F.cross_entropy(X, T + 2), IndexError, "0 to 3"),
    (lambda: F.cross_entropy(X, -T), IndexError, "0 to 3"),
    (lambda: F.cross_entropy(X, T * 1.0), TypeError, "integers"),
    (lambda: F.cross_entropy(X, T, weight=W[:3]), ValueError, "one weight per class"),
    (lambda: F.cross_entropy(X, T, label_smoothing=1.1), ValueError, "label_smoothing"),
    (lambda: F.cross_entropy(X, T, mask=np.ones(3)), TypeError, "bools"),
    (lambda: F.cross_entropy(X, T, mask=np.ones((3, 1), bool)), ValueError, "mask"),
    (lambda: F.cross_entropy(X, T, mask=np.zeros(3, bool)), ValueError, "no target counts"),
    (lambda: F.nll_loss(X, T, reduction="batchmean"), ValueError, "reduction"),
    (lambda: L.MSELoss("avg"), ValueError, "MSELoss"),
])  # fmt: skip
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
