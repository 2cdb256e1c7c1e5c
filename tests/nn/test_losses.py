"""Losses as functions and modules: derivatives, dtypes, masks, errors. Their values are
in `test_losses_reference` and `test_losses_torch`."""

import numpy as np
import pytest

import nn.functional as F
import nn.losses as L
from autograd import Parameter, Variable, capture, grad, gradcheck

W = np.array([0.5, 2.0, 0.0, 1.5])


def data(rng, shape=(3, 4)):
    return rng.normal(size=shape) * 2, rng.normal(size=shape)


def probabilities(rng, shape=(3, 4)):
    """Log-probabilities x and probabilities t, some of them zero, though never that of the first class."""
    x, positive = rng.normal(size=shape), rng.random(shape) > 0.3
    positive[..., 0] = True
    t = np.exp(rng.normal(size=shape)) * positive
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


# --- sequences: lengths and masks ---------------------------------------------------------------

LENGTHS = np.array([5, 2, 0, 3, 1])  # as many rows as steps, so that a wrong axis is no error of shapes
INSIDE = np.arange(5)[:, None] < LENGTHS


def padded(case, rng):
    """x (T, B, 4) and a target with NaN, or no class number, after the end of each sequence; settings."""
    module, function, make, settings = CASES[case]
    if make in (data, probabilities):
        x, t = make(rng, (5, 5, 4))
        t[~INSIDE] = np.nan
    else:
        x, t = rng.normal(size=(5, 5, 4)), rng.integers(0, 4, size=(5, 5))
        t[1, 0] = settings.get("ignore_index", -100)
        t[~INSIDE] = 99
        settings = {**settings, "axis": -1}
    x[~INSIDE] = np.nan
    return getattr(L, module), getattr(F, function), x, t, settings


WAYS = {  # how the layer was called: what the loss is told, and whether x and target are (B, T, ...)
    "lengths": ({"lengths": LENGTHS}, False),
    "lengths of rows": ({"lengths": LENGTHS.tolist(), "batch_first": True}, True),
    "mask": ({"mask": INSIDE}, False),
    "mask of rows": ({"mask": INSIDE.T}, True),
    "both": ({"mask": INSIDE | (np.arange(5)[:, None] > 3), "lengths": LENGTHS + [0, 0, 4, 1, 0]}, False),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", [case for case in CASES if case != "ce images"])
def test_padded_sequences_cost_what_each_costs_alone(case, way, rng):
    _, function, x, t, settings = padded(case, rng)
    steps, batch_first = WAYS[way]
    a = Variable(x.swapaxes(0, 1).copy() if batch_first else x)
    target = t.swapaxes(0, 1) if batch_first else t
    alone = Variable(np.where(INSIDE[..., None], x, 0.0))
    rows = [(alone[:n, b], t[:n, b]) for b, n in enumerate(LENGTHS) if n]
    losses = [function(*row, **settings, reduction="none") for row in rows]

    none = function(a, target, **settings, **steps, reduction="none").data
    none = none.swapaxes(0, 1) if batch_first else none
    for loss, b in zip(losses, np.flatnonzero(LENGTHS), strict=True):
        np.testing.assert_allclose(none[: LENGTHS[b], b], loss.data, rtol=1e-12)
    assert not none[~INSIDE].any()

    total = sum(loss.sum() for loss in losses)
    counting = sum(loss.size for loss in losses)
    if t.dtype.kind == "i":
        weights = settings.get("weight", np.ones(4))
        counted = t[INSIDE & (t != settings.get("ignore_index", -100))]
        counting = weights[counted].sum()
    for reduction, expected in (("sum", total), ("mean", total / counting)):
        loss = function(a, target, **settings, **steps, reduction=reduction)
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        (g,), (h,) = grad(loss, [a]), grad(expected, [alone], retain_graph=True)
        np.testing.assert_allclose(g.data.swapaxes(0, 1) if batch_first else g.data, h.data, atol=1e-14)
        assert not h.data[~INSIDE].any() and h.data[INSIDE].any()


@pytest.mark.parametrize("case", ["mse", "l1", "huber", "smooth l1", "bce weighted", "kl", "nll", "ce all"])
def test_modules_take_lengths_and_masks_too(case, rng):
    module, function, x, t, settings = padded(case, rng)
    some = INSIDE & (np.arange(5)[:, None] > 0)
    expected = function(x, t, **settings, mask=some)
    np.testing.assert_allclose(module(**settings)(x, t, some), expected)
    np.testing.assert_allclose(module(**settings)(x, t, some, LENGTHS), expected)
    rows = module(**settings, batch_first=True)
    x, t = x.swapaxes(0, 1), t.swapaxes(0, 1)
    np.testing.assert_allclose(rows(x, t, lengths=LENGTHS), function(x, t, **settings, mask=INSIDE.T))
    assert "batch_first=True" in repr(rows) and "batch_first" not in repr(module(**settings))


def test_a_mask_may_choose_elements(rng):
    x, t = data(rng, (5, 3, 4))
    mask = rng.random((5, 3, 4)) > 0.4
    x[~mask] = np.nan
    a = Variable(x)
    loss = F.mse_loss(a, t, mask=mask)
    np.testing.assert_allclose(loss.item(), np.mean((x - t)[mask] ** 2), rtol=1e-12)
    np.testing.assert_allclose(grad(loss, a).data, np.where(mask, 2 * (x - t) / mask.sum(), 0.0), rtol=1e-12)
    np.testing.assert_allclose(
        F.mse_loss(a, t, mask=mask, lengths=[5, 0, 2], reduction="sum").item(),
        sum(((x - t)[:n, b] ** 2)[mask[:n, b]].sum() for b, n in ((0, 5), (2, 2))),
        rtol=1e-12,
    )


def test_batchmean_of_sequences_is_the_divergence_per_step(rng):
    _, _, x, t, _ = padded("kl", rng)
    found = F.kl_div(Variable(x), t, "batchmean", lengths=LENGTHS).item()
    np.testing.assert_allclose(
        found, F.kl_div(Variable(x[INSIDE]), t[INSIDE], "batchmean").item(), rtol=1e-12
    )


def test_nan_of_a_target_reaches_no_gradient(rng):
    _, function, x, t, _ = padded("mse", rng)
    target = Variable(t)
    (g,) = grad(function(Variable(x), target, lengths=LENGTHS), [target])
    assert np.isfinite(g.data).all() and not g.data[~INSIDE].any()


def test_nan_where_a_target_is_ignored(rng):
    x, t = rng.normal(size=(3, 4)), np.array([0, -100, 2])
    x[1] = np.nan
    a = Variable(x)
    loss = F.cross_entropy(a, t)
    np.testing.assert_allclose(loss.item(), F.cross_entropy(x[[0, 2]], t[[0, 2]]).item(), rtol=1e-12)
    g = grad(loss, a).data
    assert np.isfinite(g).all() and not g[1].any()


def test_a_captured_loss_follows_its_lengths(rng):
    _, function, x, t, settings = padded("ce all", rng)
    x, t, w = np.nan_to_num(x), np.where(t == 99, 1, t), Parameter(rng.normal(size=(5, 1, 4)))
    step = capture(lambda x, n: function(x + w, t, **settings, lengths=n))
    for lengths in ([5, 2, 1, 3, 1], LENGTHS, [1, 2, 0, 3, 1], [5, 1, 0, 3, 1]):
        after = np.arange(5)[:, None] >= np.array(lengths)
        logits = np.where(after[..., None], np.nan, x)
        w.grad = None
        loss = step(logits, np.array(lengths))
        expected = function(logits + w, t, **settings, lengths=lengths)
        np.testing.assert_allclose(loss.item(), expected.item(), rtol=1e-12)
        np.testing.assert_allclose(w.grad.data, grad(expected, w).data, rtol=1e-12)
        assert np.isfinite(w.grad.data).all()


def test_the_last_axis_holds_the_classes_of_sequences(rng):
    x, t = rng.normal(size=(6, 3, 4)), rng.integers(0, 4, size=(6, 3))
    expected = F.cross_entropy(x.reshape(18, 4), t.reshape(18))
    np.testing.assert_allclose(F.cross_entropy(x, t, axis=-1), expected, rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(x, t, axis=2), expected, rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(x, t, lengths=[6, 6, 6]), expected, rtol=1e-12)
    np.testing.assert_allclose(F.cross_entropy(x.swapaxes(1, 2), t), expected, rtol=1e-12)  # PyTorch's
    rows = F.cross_entropy(x.swapaxes(0, 1), t.T, lengths=[6, 6, 6], batch_first=True)
    np.testing.assert_allclose(rows, expected, rtol=1e-12)
    np.testing.assert_allclose(
        F.cross_entropy(x.swapaxes(1, 2), t, axis=1, lengths=[6, 6, 6]), expected, rtol=1e-12
    )


X, T = Variable(np.zeros((3, 4))), np.array([0, 1, 2])
S = Variable(np.zeros((3, 2, 4)))


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: F.mse_loss(X, np.zeros((3, 1))), ValueError, "mse_loss expected a target of x's shape"),
    (lambda: F.mse_loss(X, X, "avg"), ValueError, "reduction"),
    (lambda: F.huber_loss(X, X, delta=0), ValueError, "delta"),
    (lambda: F.kl_div(X, np.zeros(4)), ValueError, "kl_div"),
    (lambda: F.cross_entropy(X, T[:2]), ValueError, r"\(3,\)"),
    (lambda: F.cross_entropy(X, T + 2), IndexError, "0 to 3"),
    (lambda: F.cross_entropy(X, -T), IndexError, "0 to 3"),
    (lambda: F.cross_entropy(X, T * 1.0), TypeError, "integers"),
    (lambda: F.cross_entropy(X, T, W), TypeError, "integer, got ndarray: pass weight= by its name"),
    (lambda: F.nll_loss(X, T, None), TypeError, "nll_loss expected ignore_index to be an integer"),
    (lambda: F.cross_entropy(X, X.data, W), TypeError, "cross_entropy expected ignore_index to be"),
    (lambda: F.cross_entropy(X, T, weight=W[:3]), ValueError, "one weight per class"),
    (lambda: F.cross_entropy(X, T, label_smoothing=1.1), ValueError, "label_smoothing"),
    (lambda: F.cross_entropy(X, T, mask=np.ones(3)), TypeError, "bools"),
    (lambda: F.cross_entropy(X, T, mask=np.ones((3, 1), bool)), ValueError, "mask"),
    (lambda: F.cross_entropy(X, T, mask=np.zeros(3, bool)), ValueError, "no target counts"),
    (lambda: F.cross_entropy(S, np.zeros((3, 2), int)), ValueError, r"\(3, 4\).*\(3, 2\): .* use axis=-1"),
    (lambda: F.cross_entropy(S, np.zeros((3, 2), int), axis=3), ValueError, "axis of the classes"),
    (lambda: F.cross_entropy(S, np.zeros((3, 2), int), lengths=[3, 4]), ValueError, "0 to T=3"),
    (lambda: F.cross_entropy(S, np.zeros((3, 2), int), lengths=[3, 2, 1]), ValueError, r"shape \(2,\)"),
    (lambda: F.cross_entropy(X, T, lengths=[3]), ValueError, "cross_entropy expected sequences"),
    (lambda: F.mse_loss(S, S, mask=np.ones((2, 3), bool)), ValueError, "mse_loss expected a mask of shape"),
    (lambda: F.mse_loss(S, S, mask=np.ones((3, 2))), TypeError, "mse_loss expected a mask of bools"),
    (lambda: F.mse_loss(S, S, lengths=[0, 0]), ValueError, "mse_loss: no target counts"),
    (lambda: F.nll_loss(X, T, reduction="batchmean"), ValueError, "reduction"),
    (lambda: L.MSELoss("avg"), ValueError, "MSELoss"),
])  # fmt: skip
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
