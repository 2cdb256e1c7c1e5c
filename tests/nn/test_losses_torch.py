"""Losses equal PyTorch's: values and gradients. Skipped where PyTorch is not installed."""

import numpy as np
import pytest

import nn.functional as F
import nn.losses as L
from autograd import Variable, log_softmax
from tests.nn.test_ctc import batch
from tests.nn.test_losses import CASES, inputs

torch = pytest.importorskip("torch")


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")  # PyTorch, about kl_div
@pytest.mark.parametrize(
    ("case", "reduction"),
    [(c, r) for c in CASES for r in ("mean", "sum", "none", "batchmean") if r != "batchmean" or "kl" in c],
)
def test_equals_pytorch(case, reduction, rng):
    module, function, make, settings = CASES[case]
    x, t = inputs(make, settings, rng)
    theirs = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    a, b = Variable(x), torch.tensor(x, requires_grad=True)
    y = getattr(L, module)(**settings, reduction=reduction)(a, t)
    z = getattr(torch.nn, module)(**theirs, reduction=reduction)(b, torch.tensor(t))
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-14)
    again = getattr(F, function)(a, t, **settings, reduction=reduction)
    np.testing.assert_array_equal(y.data, again.data)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("layout", ["padded", "one row"])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_ctc_equals_pytorch(reduction, layout, rng):
    x, targets, n, m = batch(rng)
    if layout == "one row":
        targets = np.concatenate([t[:k] for t, k in zip(targets, m, strict=True)])
    a, b = Variable(x), torch.tensor(x, requires_grad=True)
    y = L.CTCLoss(reduction=reduction)(log_softmax(a, -1), targets, n, m)
    z = torch.nn.CTCLoss(reduction=reduction)(
        b.log_softmax(-1), torch.tensor(targets), torch.tensor(n), torch.tensor(m)
    )
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12)
    y.sum().backward()
    z.sum().backward()
    np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-9, atol=1e-13)


def test_impossible_targets_cost_nothing_with_zero_infinity(rng):
    x, targets, n, m = batch(rng)
    n[2] = 5  # two repetitions need two blanks, so six steps
    y = F.ctc_loss(log_softmax(Variable(x), -1), targets, n, m, zero_infinity=True)
    z = torch.nn.functional.ctc_loss(
        torch.tensor(x).log_softmax(-1), *map(torch.tensor, (targets, n, m)), zero_infinity=True
    )
    assert y.item() == pytest.approx(z.item(), rel=1e-12)
