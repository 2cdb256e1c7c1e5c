"""Losses with margins, of distances, of probabilities and with variances: definitions restated row by row in
plain Python, derivatives, padded sequences, PyTorch where it is installed, and errors."""

import math

import numpy as np
import pytest

import nn
import nn.functional as F
from autograd import Parameter, Variable, capture, grad, gradcheck

WEIGHT = np.array([0.5, 2.0, 0.25, 1.5])


# --- one row, or one element, at a time ---------------------------------------------------------------


def norm(d, p=2.0):
    return max(map(abs, d)) if p == math.inf else sum(abs(v) ** p for v in d) ** (1 / p)


def apart(a, b, p=2.0, eps=1e-6):
    return norm([u - v + eps for u, v in zip(a, b, strict=True)], p)


def cosine(a, b):
    return sum(u * v for u, v in zip(a, b, strict=True)) / (norm(a) * norm(b))


def cosine_embedding(a, b, t, margin=0.0):
    return 1 - cosine(a, b) if t == 1 else max(0.0, cosine(a, b) - margin)


def ranking(a, b, t, margin=0.0):
    return max(0.0, (b - a if t == 1 else a - b) + margin)


def triplet(a, b, c, margin=1.0, p=2.0, eps=1e-6, swap=False):
    far = min(apart(a, c, p, eps), apart(b, c, p, eps)) if swap else apart(a, c, p, eps)
    return max(0.0, apart(a, b, p, eps) - far + margin)


def gaussian(x, t, v, full=False, eps=1e-6):
    """-log of the density of a normal distribution; without its constant unless full."""
    v = max(v, eps)
    density = math.exp(-((x - t) ** 2) / (2 * v)) / math.sqrt(v * (2 * math.pi if full else 1))
    return -math.log(density)


def binary(p, t, weight=1.0):
    def log(v):
        return max(math.log(v), -100.0) if v > 0 else -100.0

    return -weight * (t * log(p) + (1 - t) * log(1 - p))


def hinge(x, t, margin=1.0):
    return x if t == 1 else max(0.0, margin - x)


def soft(x, t):
    return math.log(1 + math.exp(-t * x))


def several(x, t, p=1, margin=1.0, weight=None):
    others = [max(0.0, margin - x[t] + v) ** p for k, v in enumerate(x) if k != t]
    return (1.0 if weight is None else weight[t]) * sum(others) / len(x)


def labels(x, t):
    t = list(t)
    wanted = t[: t.index(-1)] if -1 in t else t
    return sum(max(0.0, 1 - x[j] + v) for j in wanted for k, v in enumerate(x) if k not in wanted) / len(x)


def soft_labels(x, t, weight=(1.0, 1.0, 1.0, 1.0)):
    terms = [w * binary(1 / (1 + math.exp(-v)), u) for v, u, w in zip(x, t, weight, strict=True)]
    return sum(terms) / len(x)


def distribution(x, t, weight=(1.0, 1.0, 1.0, 1.0), label_smoothing=0.0):
    total = math.log(sum(map(math.exp, x)))
    return sum(w * ((1 - label_smoothing) * p + label_smoothing / len(x)) * (total - v)
               for v, p, w in zip(x, t, weight, strict=True))  # fmt: skip


# --- what goes in -------------------------------------------------------------------------------------


def scores(rng, shape):
    return rng.normal(size=shape) * 1.5


def signs(rng, shape):
    return rng.choice([-1, 1], shape)


def sign_of_vectors(rng, shape):
    return signs(rng, shape[:-1])


def share(rng, shape):
    return rng.uniform(0.05, 0.95, shape)


def probabilities(rng, shape):
    p = np.exp(rng.normal(size=shape))
    return p / p.sum(-1, keepdims=True)


def one_class(rng, shape):
    return rng.integers(0, shape[-1], shape[:-1])


def some_classes(rng, shape):
    """Different classes, a -1 somewhere or nowhere, and classes behind it that do not count."""
    t = np.argsort(rng.random(shape), -1)
    t[np.arange(shape[-1]) == rng.integers(0, shape[-1] + 1, shape[:-1])[..., None]] = -1
    return t


def variances(rng, shape):
    return rng.uniform(0.2, 2.0, shape)


VECTORS = "rows"  # what one loss is of: rows on the last axis, or single elements
CASES = {  # module, function, inputs, settings, the definition, of what
    "cosine": ("CosineEmbeddingLoss", "cosine_embedding_loss", (scores, scores, sign_of_vectors), {},
               cosine_embedding, VECTORS),
    "cosine with a margin": ("CosineEmbeddingLoss", "cosine_embedding_loss",
                             (scores, scores, sign_of_vectors), {"margin": 0.3}, cosine_embedding, VECTORS),
    "ranking": ("MarginRankingLoss", "margin_ranking_loss", (scores, scores, signs), {}, ranking, ""),
    "ranking with a margin": ("MarginRankingLoss", "margin_ranking_loss", (scores, scores, signs),
                              {"margin": 0.7}, ranking, ""),
    "triplet": ("TripletMarginLoss", "triplet_margin_loss", (scores, scores, scores), {}, triplet, VECTORS),
    "triplet swapped": ("TripletMarginLoss", "triplet_margin_loss", (scores, scores, scores),
                        {"swap": True, "margin": 2.5}, triplet, VECTORS),
    "triplet by absolutes": ("TripletMarginLoss", "triplet_margin_loss", (scores, scores, scores),
                             {"p": 1.0, "eps": 1e-3}, triplet, VECTORS),
    "triplet by cubes": ("TripletMarginLoss", "triplet_margin_loss", (scores, scores, scores), {"p": 3.0},
                         triplet, VECTORS),
    "triplet by the largest": ("TripletMarginLoss", "triplet_margin_loss", (scores, scores, scores),
                               {"p": math.inf}, triplet, VECTORS),
    "gaussian": ("GaussianNLLLoss", "gaussian_nll_loss", (scores, scores, variances), {}, gaussian, ""),
    "gaussian full": ("GaussianNLLLoss", "gaussian_nll_loss", (scores, scores, variances),
                      {"full": True, "eps": 0.1}, gaussian, ""),
    "binary": ("BCELoss", "binary_cross_entropy", (share, share), {}, binary, ""),
    "hinge": ("HingeEmbeddingLoss", "hinge_embedding_loss", (scores, signs), {}, hinge, ""),
    "hinge with a margin": ("HingeEmbeddingLoss", "hinge_embedding_loss", (scores, signs), {"margin": 0.2},
                            hinge, ""),
    "soft": ("SoftMarginLoss", "soft_margin_loss", (scores, signs), {}, soft, ""),
    "several": ("MultiMarginLoss", "multi_margin_loss", (scores, one_class), {}, several, VECTORS),
    "several squared": ("MultiMarginLoss", "multi_margin_loss", (scores, one_class),
                        {"p": 2, "margin": 0.6, "weight": WEIGHT}, several, VECTORS),
    "labels": ("MultiLabelMarginLoss", "multilabel_margin_loss", (scores, some_classes), {}, labels,
               VECTORS),
    "soft labels": ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", (scores, share), {},
                    soft_labels, VECTORS),
    "soft labels weighted": ("MultiLabelSoftMarginLoss", "multilabel_soft_margin_loss", (scores, share),
                             {"weight": WEIGHT}, soft_labels, VECTORS),
    "distribution": ("CrossEntropyLoss", "cross_entropy", (scores, probabilities), {}, distribution,
                     VECTORS),
    "distribution, all": ("CrossEntropyLoss", "cross_entropy", (scores, probabilities),
                          {"weight": WEIGHT, "label_smoothing": 0.3}, distribution, VECTORS),
}  # fmt: skip
BY_AXIS = ("multi_margin_loss", "cross_entropy")  # those whose classes need not be on the last axis


def setting(case, rng, shape=(6, 4)):
    module, function, domains, settings, definition, of = CASES[case]
    xs = [domain(rng, shape) for domain in domains]
    losses = np.empty(shape[: len(shape) - bool(of)])
    for at in np.ndindex(losses.shape):
        losses[at] = definition(*[x[at] for x in xs], **settings)
    return getattr(nn, module), getattr(F, function), xs, settings, losses


def differentiable(xs):
    return [Variable(x) if x.dtype.kind == "f" else x for x in xs]


@pytest.mark.parametrize("case", CASES)
def test_a_loss_is_its_definition(case, rng):
    module, function, xs, settings, losses = setting(case, rng)
    assert np.ptp(losses) > 0
    for reduction, want in (("none", losses), ("sum", losses.sum()), ("mean", losses.mean())):
        for found in (
            function(Variable(xs[0]), *xs[1:], **settings, reduction=reduction),
            module(**settings, reduction=reduction)(Variable(xs[0]), *xs[1:]),
        ):
            np.testing.assert_allclose(found.data, want, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(function(*xs, **settings), losses.mean(), rtol=1e-9)
    with pytest.raises(ValueError, match="reduction"):
        function(*xs, **settings, reduction="batchmean")
    with pytest.raises(ValueError, match="reduction"):
        module(**settings, reduction="batchmean")


@pytest.mark.parametrize("case", CASES)
def test_derivatives_of_all_floating_inputs(case, rng):
    _, function, xs, settings, _ = setting(case, rng, (3, 4))
    if "distribution" in case:  # not on the edge of what probabilities may be
        xs[1] = xs[1] * 0.9
    floating = [k for k, x in enumerate(xs) if x.dtype.kind == "f"]
    if "binary" in case or "soft labels" in case:
        floating = [0, 1]

    def loss(*given):
        every = list(xs)
        for k, x in zip(floating, given, strict=True):
            every[k] = x
        return function(*every, **settings, reduction="sum")

    gradcheck(loss, *[xs[k] for k in floating], order=2)


@pytest.mark.parametrize("case", CASES)
def test_float32_stays_float32(case, rng):
    _, function, xs, settings, _ = setting(case, rng)
    a = Variable(xs[0].astype("f"))
    y = function(a, *xs[1:], **settings)
    y.backward()
    assert y.dtype == a.grad.dtype == np.float32


@pytest.mark.filterwarnings("ignore:.*(Using a target size|reduction).*")
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", CASES)
def test_equals_pytorch(case, reduction, rng):
    torch = pytest.importorskip("torch")
    module, _, xs, settings, _ = setting(case, rng)
    weights = {k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in settings.items()}
    ours = differentiable(xs)
    theirs = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in xs]
    y = module(**settings, reduction=reduction)(*ours)
    z = getattr(torch.nn, module.__name__)(**weights, reduction=reduction)(*theirs)
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12, atol=1e-14)
    y.sum().backward()
    z.sum().backward()
    for a, b in zip(ours, theirs, strict=True):
        if isinstance(a, Variable):
            np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-9, atol=1e-13)


# --- padded sequences -----------------------------------------------------------------------------------

LENGTHS = np.array([5, 2, 0, 3, 1])
INSIDE = np.arange(5)[:, None] < LENGTHS


@pytest.mark.parametrize("case", CASES)
def test_padded_sequences_cost_what_their_steps_cost(case, rng):
    module, function, xs, settings, losses = setting(case, rng, (5, 5, 4))
    for x in xs:
        x[~INSIDE] = np.nan if x.dtype.kind == "f" else 99
    last = {"axis": -1} if function.__name__ in BY_AXIS else {}
    inside = INSIDE if losses.ndim == 2 else np.repeat(INSIDE[..., None], 4, -1)
    for steps in ({"lengths": LENGTHS}, {"mask": INSIDE}):
        given = differentiable(xs)
        found = function(*given, **settings, **last, **steps, reduction="none")
        np.testing.assert_allclose(found.data, np.where(inside, losses, 0.0), rtol=1e-9, atol=1e-12)
        loss = function(*given, **settings, **last, **steps)
        np.testing.assert_allclose(loss.item(), losses[inside].mean(), rtol=1e-9)
        loss.backward()
        for x in given:
            if isinstance(x, Variable):
                assert np.isfinite(x.grad.data).all() and not x.grad.data[~INSIDE].any()
                assert x.grad.data[INSIDE].any()
    rows = [np.swapaxes(x, 0, 1) for x in xs]
    criterion = module(**settings, **last, batch_first=True)
    np.testing.assert_allclose(criterion(*rows, lengths=LENGTHS), losses[inside].mean(), rtol=1e-9)
    np.testing.assert_allclose(criterion(*rows, INSIDE.T), losses[inside].mean(), rtol=1e-9)


@pytest.mark.parametrize(
    "case", ["triplet swapped", "binary", "labels", "several squared", "distribution, all"]
)
def test_a_captured_loss_follows_its_inputs(case, rng):
    _, function, xs, settings, _ = setting(case, rng)
    w = Parameter(np.full(4, 0.9))
    step = capture(lambda *xs: function(xs[0] * w, *xs[1:], **settings))
    for _ in range(4):
        _, _, xs, _, _ = setting(case, rng)
        w.grad = None
        loss = step(*xs)
        want = function(xs[0] * w, *xs[1:], **settings)
        np.testing.assert_allclose(loss.item(), want.item(), rtol=1e-12)
        np.testing.assert_allclose(w.grad.data, grad(want, w).data, rtol=1e-10, atol=1e-14)


# --- probabilities of classes -----------------------------------------------------------------------------


def test_probabilities_that_are_certain_are_class_numbers(rng):
    x, t = rng.normal(size=(3, 4, 2, 5)), rng.integers(0, 4, (3, 2, 5))
    for axis in (1, -1):
        logits, certain = np.moveaxis(x, 1, axis), np.moveaxis(np.eye(4)[t], -1, axis)
        for smoothing in (0.0, 0.2):
            settings = {"axis": axis, "label_smoothing": smoothing, "weight": WEIGHT, "reduction": "sum"}
            found = F.cross_entropy(Variable(logits), certain, **settings)
            np.testing.assert_allclose(found.item(), F.cross_entropy(logits, t, **settings), rtol=1e-12)
    one = F.cross_entropy(Variable(x[0, :, 0, 0]), np.eye(4)[2])  # (C) alone
    np.testing.assert_allclose(one.item(), F.cross_entropy(x[0, :, 0, 0], 2), rtol=1e-12)


def test_images_with_probabilities_equal_pytorch(rng):
    torch = pytest.importorskip("torch")
    x, t = rng.normal(size=(3, 4, 2, 5)), np.moveaxis(probabilities(rng, (3, 2, 5, 4)), -1, 1)
    for reduction in ("mean", "sum", "none"):
        ours = nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1, reduction=reduction)(x, t)
        theirs = torch.nn.CrossEntropyLoss(torch.tensor(WEIGHT), label_smoothing=0.1, reduction=reduction)
        np.testing.assert_allclose(ours, theirs(torch.tensor(x), torch.tensor(t)).numpy(), rtol=1e-12)


def test_a_student_learns_the_teachers_probabilities():
    teacher = np.array([[0.7, 0.2, 0.1], [0.1, 0.1, 0.8]])
    x = Variable(np.zeros((2, 3)))
    for _ in range(500):
        (g,) = grad(F.cross_entropy(x, teacher, reduction="sum"), [x])
        np.testing.assert_allclose(g.data.sum(1), 0.0, atol=1e-12)  # softmax(x) - t
        x = Variable(x.data - g.data)
    p = np.exp(x.data)
    np.testing.assert_allclose(p / p.sum(1, keepdims=True), teacher, atol=1e-6)


# --- ends ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_binary_cross_entropy_of_certain_probabilities(dtype):
    x = Variable(np.array([0.0, 1.0, 0.0, 1.0, 0.5], dtype))
    loss = F.binary_cross_entropy(x, [1.0, 0.0, 0.0, 1.0, 1.0], reduction="none")
    np.testing.assert_allclose(loss.data, [100.0, 100.0, 0.0, 0.0, math.log(2)], rtol=1e-3)
    g = grad(loss.sum(), x).data
    assert np.isfinite(g).all() and g[0] < -1e3 and g[1] > 1e3 and abs(g[2]) <= 1 >= abs(g[3])


def test_binary_cross_entropy_of_the_smallest_probabilities_equals_pytorch():
    torch = pytest.importorskip("torch")
    p = np.array([0.0, 1e-50, 1e-30, 1e-13, 1e-11, 0.3])
    a, b = Variable(p), torch.tensor(p, requires_grad=True)
    y, z = F.binary_cross_entropy(a, np.ones(6), reduction="none"), torch.nn.BCELoss(reduction="none")
    z = z(b, torch.ones(6, dtype=torch.float64))
    np.testing.assert_allclose(y.data, z.detach().numpy(), rtol=1e-12)
    z.sum().backward()
    np.testing.assert_allclose(grad(y.sum(), a).data, b.grad.numpy(), rtol=1e-8)


def test_shapes_of_variances(rng):
    x, t = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    one = rng.uniform(0.5, 1.0, 3)
    want = F.gaussian_nll_loss(x, t, np.repeat(one[:, None], 4, 1))
    for var in (one, one[:, None]):
        np.testing.assert_allclose(F.gaussian_nll_loss(Variable(x), t, var).item(), want, rtol=1e-12)
    np.testing.assert_allclose(
        F.gaussian_nll_loss(x, t, 0.5), F.gaussian_nll_loss(x, t, np.full((3, 4), 0.5)), rtol=1e-12
    )
    v = Variable(np.zeros((3, 4)))  # as in PyTorch, a variance below eps gets the gradient of one at eps
    (g,) = grad(F.gaussian_nll_loss(x, x + 1.0, v, eps=0.5, reduction="sum"), [v])
    np.testing.assert_allclose(g.data, (1 / 0.5 - 1 / 0.5**2) / 2)
    with pytest.raises(ValueError, match="at least 0, got -1"):
        F.gaussian_nll_loss(x, t, -np.ones((3, 4)))
    with pytest.raises(ValueError, match=r"x's shape \(3, 4\).*got \(4,\)"):
        F.gaussian_nll_loss(x, t, np.ones(4))


def test_similarity_and_distance(rng):
    torch = pytest.importorskip("torch")
    x, y = rng.normal(size=(3, 4, 2)), rng.normal(size=(4, 2))
    y[1] = 0.0
    for dim in (1, -1):
        a, b = Variable(x), torch.tensor(x, requires_grad=True)
        u, v = nn.CosineSimilarity(dim)(a, y), torch.nn.CosineSimilarity(dim)(b, torch.tensor(y))
        np.testing.assert_allclose(u.data, v.detach().numpy(), rtol=1e-12, atol=1e-15)
        u.sum().backward()
        v.sum().backward()
        np.testing.assert_allclose(a.grad.data, b.grad.numpy(), rtol=1e-9, atol=1e-14)
    for p in (1.0, 2.0, 2.5, math.inf):
        for keepdim in (False, True):
            z = torch.nn.PairwiseDistance(p, 0.01, keepdim)(torch.tensor(x), torch.tensor(y)).numpy()
            np.testing.assert_allclose(nn.PairwiseDistance(p, 0.01, keepdim)(x, y), z, rtol=1e-12)
    same = Variable(np.zeros((2, 3)))
    (g,) = grad(F.cosine_similarity(same, np.ones((2, 3))).sum(), [same])
    assert np.isfinite(g.data).all()


def test_similarity_is_the_cosine_of_an_angle():
    angles = np.linspace(0.1, 3.0, 5)
    x = np.stack([np.cos(angles), np.sin(angles)], 1) * np.arange(1.0, 6.0)[:, None]
    np.testing.assert_allclose(F.cosine_similarity(x, np.array([[2.0, 0.0]])), np.cos(angles), rtol=1e-12)
    np.testing.assert_allclose(F.cosine_similarity(x.T, np.array([[2.0], [0.0]]), 0), np.cos(angles))
    np.testing.assert_allclose(F.pairwise_distance(x, 0.0 * x, 2.0, 0.0), np.arange(1.0, 6.0))
    three, two = (
        np.arange(24.0).reshape(3, 4, 2),
        np.arange(8.0)[::-1].reshape(4, 2),
    )  # as one: axis 1 is of 4
    each = [[cosine(a[:, k], two[:, k]) for k in range(2)] for a in three]
    np.testing.assert_allclose(F.cosine_similarity(three, two), each, rtol=1e-12)
    assert repr(nn.CosineSimilarity()) == "CosineSimilarity(dim=1, eps=1e-08)"


X, T = Variable(np.ones((3, 4))), np.array([1, -1, 1])


@pytest.mark.parametrize(("call", "error", "words"), [
    (lambda: F.cosine_embedding_loss(X, X, [1, 0, 1]), ValueError, "targets 1 and -1; for 0 and 1"),
    (lambda: F.cosine_embedding_loss(X, X, [1, 1]), ValueError, r"shape \(3,\), got \(2,\)"),
    (lambda: F.cosine_embedding_loss(X, X.data[:2], T), ValueError, "vectors of one shape"),
    (lambda: F.margin_ranking_loss(X, X, T), ValueError, r"shape \(3, 4\), got \(3,\)"),
    (lambda: F.hinge_embedding_loss(X, np.zeros((3, 4))), ValueError, "hinge_embedding_loss expected"),
    (lambda: F.soft_margin_loss(X, np.full((3, 4), 2)), ValueError, "soft_margin_loss expected"),
    (lambda: F.multi_margin_loss(X, [0, 1, 4]), IndexError, "0 to 3"),
    (lambda: F.multi_margin_loss(X, [0, 1, -100]), IndexError, "0 to 3"),
    (lambda: F.multi_margin_loss(X, [0, 1, 2], p=3), ValueError, "p to be 1 or 2, got 3"),
    (lambda: F.multi_margin_loss(X, [0, 1, 2], weight=[1.0]), ValueError, "one weight per class"),
    (lambda: F.multilabel_margin_loss(X, np.full((3, 4), 4)), IndexError, "0 to 3, got 4"),
    (lambda: F.multilabel_margin_loss(X, np.ones((3, 4))), TypeError, "integers"),
    (lambda: F.multilabel_margin_loss(X, T), ValueError, r"\(..., C\), got \(3, 4\) and \(3,\)"),
    (lambda: F.multilabel_margin_loss(Variable(1.0), 0), ValueError, r"\(..., C\), got \(\) and \(\)"),
    (lambda: F.multilabel_soft_margin_loss(Variable(1.0), 0.0), ValueError, "vectors of one shape"),
    (lambda: F.multilabel_soft_margin_loss(X, T), ValueError, "x's shape"),
    (lambda: F.triplet_margin_loss(X, X, X, margin=0.0), ValueError, "margin above 0, got 0.0"),
    (lambda: F.triplet_margin_loss(X, X, X, p=0.0), ValueError, "p above 0, got 0.0"),
    (lambda: F.gaussian_nll_loss(X, X, X, eps=0.0), ValueError, "eps above 0, got 0.0"),
    (lambda: F.binary_cross_entropy(X + 1, X), ValueError, "x from 0 to 1, got 2.0 to 2.0: for logits, use"),
    (lambda: F.binary_cross_entropy(X, T), ValueError, "x's shape"),
    (lambda: F.cross_entropy(X, X.data, ignore_index=0), ValueError, "ignore_index=0 for prob.*: use mask"),
    (lambda: F.cross_entropy(X, X.data, weight=[1.0]), ValueError, "one weight per class"),
    (lambda: F.cross_entropy(X, np.ones((3, 4), int)), ValueError, r"\(3,\).*got \(3, 4\)"),
    (lambda: F.cross_entropy(X, X.data, mask=np.zeros(3, bool)), ValueError, "no target counts"),
])  # fmt: skip
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call()
