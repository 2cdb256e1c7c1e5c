"""Losses as modules, in PyTorch's names: an object keeps the settings of a function of `functional`.

A weight is part of the state dict and is not trained. All are called as ``loss = criterion(x, target)``, for
sequences with ``mask=`` or ``lengths=`` (see `loss_functions`); some take three inputs, and `CTCLoss` the
lengths of both. `CosineSimilarity` and `PairwiseDistance` are here too.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from autograd import Variable
from autograd.extend import Array, Operand, Value

from . import functional as F
from .module import Module

Steps = Operand | None  # a mask, or lengths


class _Loss(Module):
    """Base of losses: keeps its settings under their names, weights as buffers."""

    reductions: tuple[str, ...] = ("mean", "sum", "none")

    def __init__(self, **settings: Any):
        if (r := settings["reduction"]) not in self.reductions:
            raise ValueError(
                f"{type(self).__name__} expected a reduction out of {self.reductions}, got {r!r}"
            )
        self._settings = tuple(settings)
        for name, value in settings.items():
            if name in ("weight", "pos_weight") and value is not None:
                self.register_buffer(name, np.array(value, float))
            else:
                setattr(self, name, value)

    def settings(self) -> dict[str, Any]:
        """The settings by name, as the function takes them."""
        return {name: getattr(self, name) for name in self._settings}

    def extra_repr(self) -> str:
        shown = {k: v for k, v in self.settings().items() if v is not None and (k != "batch_first" or v)}
        return ", ".join(f"{k}={v!r}" for k, v in shown.items())


class _Comparison(_Loss):
    """Base of losses that compare x with a target: ``criterion(x, target, mask=None, lengths=None)``."""

    function: Callable[..., Any]  # of `functional`

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, x: Variable, target: Operand, mask: Steps = None, lengths: Steps = None
        ) -> Variable: ...
        @overload
        def __call__(self, x: Array, target: Operand, mask: Steps = None, lengths: Steps = None) -> Value: ...
        def __call__(self, x: Value, target: Operand, mask: Steps = None, lengths: Steps = None) -> Any: ...

    def forward(self, x: Value, target: Operand, mask: Steps = None, lengths: Steps = None) -> Value:
        y: Value = type(self).function(x, target, **self.settings(), mask=mask, lengths=lengths)
        return y


class MSELoss(_Comparison):
    """Mean squared error, see `functional.mse_loss`.

    >>> nn.MSELoss()(Variable([1.0, 5.0]), [1.0, 2.0]).item()
    4.5
    >>> x = Variable(np.ones((4, 2, 3)))  # two sequences, of four steps and one; each step costs 1
    >>> nn.MSELoss("sum")(x, np.zeros((4, 2, 3)), lengths=[4, 1]).item() / 3
    5.0
    """

    function = F.mse_loss

    def __init__(self, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(reduction=reduction, batch_first=batch_first)


class L1Loss(_Comparison):
    """Mean absolute error, see `functional.l1_loss`.

    >>> nn.L1Loss()(Variable([1.0, 5.0]), [1.0, 2.0]).item()
    1.5
    """

    function = F.l1_loss

    def __init__(self, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(reduction=reduction, batch_first=batch_first)


class HuberLoss(_Comparison):
    """Squared for small errors, absolute for large ones, see `functional.huber_loss`.

    >>> nn.HuberLoss("none")(Variable([1.0, 10.0]), [0.0, 0.0]).data
    array([0.5, 9.5])
    """

    function = F.huber_loss

    def __init__(self, reduction: str = "mean", delta: float = 1.0, *, batch_first: bool = False):
        super().__init__(reduction=reduction, delta=delta, batch_first=batch_first)


class SmoothL1Loss(_Comparison):
    """Huber's loss divided by beta, see `functional.smooth_l1_loss`.

    >>> nn.SmoothL1Loss("none", beta=2.0)(Variable([1.0, 10.0]), [0.0, 0.0]).data
    array([0.25, 9.  ])
    """

    function = F.smooth_l1_loss

    def __init__(self, reduction: str = "mean", beta: float = 1.0, *, batch_first: bool = False):
        super().__init__(reduction=reduction, beta=beta, batch_first=batch_first)


class BCEWithLogitsLoss(_Comparison):
    """Binary cross-entropy of logits, see `functional.binary_cross_entropy_with_logits`.

    >>> loss = nn.BCEWithLogitsLoss(pos_weight=3.0)(Variable([0.0]), [1.0])
    >>> round(ag.exp(loss).item(), 4)  # 3 log 2
    8.0
    """

    function = F.binary_cross_entropy_with_logits

    def __init__(
        self,
        weight: Operand | None = None,
        reduction: str = "mean",
        pos_weight: Operand | None = None,
        *,
        batch_first: bool = False,
    ):
        super().__init__(weight=weight, reduction=reduction, pos_weight=pos_weight, batch_first=batch_first)


class BCELoss(_Comparison):
    """Binary cross-entropy of probabilities, see `functional.binary_cross_entropy`.

    >>> round(ag.exp(nn.BCELoss()(Variable([0.25]), [1.0])).item(), 4)
    4.0
    """

    function = F.binary_cross_entropy

    def __init__(self, weight: Operand | None = None, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(weight=weight, reduction=reduction, batch_first=batch_first)


class CrossEntropyLoss(_Comparison):
    """Cross-entropy of logits and class numbers or probabilities, see `functional.cross_entropy`.

    >>> loss = nn.CrossEntropyLoss(ignore_index=0)(Variable(np.zeros((3, 4))), [1, 0, 2])
    >>> round(ag.exp(loss).item(), 4)  # the mean of log 4 and log 4
    4.0
    """

    function = F.cross_entropy

    def __init__(
        self,
        weight: Operand | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        label_smoothing: float = 0.0,
        *,
        batch_first: bool = False,
        axis: int | None = None,
    ):
        super().__init__(
            weight=weight,
            ignore_index=ignore_index,
            reduction=reduction,
            label_smoothing=label_smoothing,
            batch_first=batch_first,
            axis=axis,
        )


class NLLLoss(_Comparison):
    """Negative log-likelihood of log-probabilities and class numbers, see `functional.nll_loss`.

    >>> loss = nn.NLLLoss(reduction="sum")(Variable(np.log([[0.25, 0.75], [0.5, 0.5]])), [1, 0])
    >>> round(ag.exp(-loss).item(), 4)  # .75 · .5
    0.375
    """

    function = F.nll_loss

    def __init__(
        self,
        weight: Operand | None = None,
        ignore_index: int = -100,
        reduction: str = "mean",
        *,
        batch_first: bool = False,
        axis: int | None = None,
    ):
        super().__init__(
            weight=weight, ignore_index=ignore_index, reduction=reduction, batch_first=batch_first, axis=axis
        )


class KLDivLoss(_Comparison):
    """Kullback-Leibler divergence of log-probabilities and probabilities, see `functional.kl_div`.

    >>> p = np.array([[0.5, 0.5]])
    >>> nn.KLDivLoss("batchmean")(Variable(np.log(p)), p).item()
    0.0
    """

    function = F.kl_div
    reductions = ("mean", "batchmean", "sum", "none")

    def __init__(self, reduction: str = "mean", log_target: bool = False, *, batch_first: bool = False):
        super().__init__(reduction=reduction, log_target=log_target, batch_first=batch_first)


class HingeEmbeddingLoss(_Comparison):
    """Distances, and whether they should be small, see `functional.hinge_embedding_loss`.

    >>> nn.HingeEmbeddingLoss(reduction="none")(Variable([0.25, 0.25]), [1, -1]).data
    array([0.25, 0.75])
    """

    function = F.hinge_embedding_loss

    def __init__(self, margin: float = 1.0, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(margin=margin, reduction=reduction, batch_first=batch_first)


class SoftMarginLoss(_Comparison):
    """Logistic loss of scores and targets 1 or -1, see `functional.soft_margin_loss`.

    >>> round(ag.exp(nn.SoftMarginLoss()(Variable([0.0]), [-1])).item(), 4)
    2.0
    """

    function = F.soft_margin_loss

    def __init__(self, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(reduction=reduction, batch_first=batch_first)


class MultiMarginLoss(_Comparison):
    """Hinge loss of scores and class numbers, see `functional.multi_margin_loss`.

    >>> nn.MultiMarginLoss(reduction="sum")(Variable([[1.0, 0.5, -3.0]]), [0]).item() * 3
    0.5
    """

    function = F.multi_margin_loss

    def __init__(
        self,
        p: int = 1,
        margin: float = 1.0,
        weight: Operand | None = None,
        reduction: str = "mean",
        *,
        batch_first: bool = False,
        axis: int | None = None,
    ):
        super().__init__(
            p=p, margin=margin, weight=weight, reduction=reduction, batch_first=batch_first, axis=axis
        )


class MultiLabelMarginLoss(_Comparison):
    """Hinge loss of scores and lists of class numbers, see `functional.multilabel_margin_loss`.

    >>> nn.MultiLabelMarginLoss()(Variable([0.0, 2.0, 0.5]), [1, 2, -1]).item() * 3
    0.5
    """

    function = F.multilabel_margin_loss

    def __init__(self, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(reduction=reduction, batch_first=batch_first)


class MultiLabelSoftMarginLoss(_Comparison):
    """Mean binary cross-entropy over classes, see `functional.multilabel_soft_margin_loss`.

    >>> loss = nn.MultiLabelSoftMarginLoss()(Variable([[0.0, 1000.0]]), [[1.0, 1.0]])
    >>> round(ag.exp(2 * loss).item(), 4)
    2.0
    """

    function = F.multilabel_soft_margin_loss

    def __init__(self, weight: Operand | None = None, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(weight=weight, reduction=reduction, batch_first=batch_first)


class _ThreeInputs(_Loss):
    """Base of losses of three inputs: ``criterion(a, b, c, mask=None, lengths=None)``."""

    function: Callable[..., Any]  # of `functional`

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, a: Variable, b: Operand, c: Operand, mask: Steps = None, lengths: Steps = None
        ) -> Variable: ...
        @overload
        def __call__(
            self, a: Array, b: Operand, c: Operand, mask: Steps = None, lengths: Steps = None
        ) -> Value: ...
        def __call__(
            self, a: Value, b: Operand, c: Operand, mask: Steps = None, lengths: Steps = None
        ) -> Any: ...

    def forward(self, a: Value, b: Operand, c: Operand, mask: Steps = None, lengths: Steps = None) -> Value:
        y: Value = type(self).function(a, b, c, **self.settings(), mask=mask, lengths=lengths)
        return y


class CosineEmbeddingLoss(_ThreeInputs):
    """``criterion(x1, x2, target)`` of vectors and targets 1 or -1, see `functional.cosine_embedding_loss`.

    >>> nn.CosineEmbeddingLoss()(Variable([[1.0, 0.0]]), np.array([[0.0, 1.0]]), [1]).item()
    1.0
    """

    function = F.cosine_embedding_loss

    def __init__(self, margin: float = 0.0, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(margin=margin, reduction=reduction, batch_first=batch_first)


class MarginRankingLoss(_ThreeInputs):
    """``criterion(x1, x2, target)``, the order of two scores, see `functional.margin_ranking_loss`.

    >>> nn.MarginRankingLoss(margin=1.0)(Variable([2.0]), [1.5], [1]).item()
    0.5
    """

    function = F.margin_ranking_loss

    def __init__(self, margin: float = 0.0, reduction: str = "mean", *, batch_first: bool = False):
        super().__init__(margin=margin, reduction=reduction, batch_first=batch_first)


class TripletMarginLoss(_ThreeInputs):
    """``criterion(anchor, positive, negative)`` of vectors, see `functional.triplet_margin_loss`.

    >>> a, p, n = np.array([[0.0, 0.0]]), np.array([[3.0, 4.0]]), np.array([[0.0, 5.5]])
    >>> round(nn.TripletMarginLoss()(Variable(a), p, n).item(), 4)
    0.5
    """

    function = F.triplet_margin_loss

    def __init__(
        self,
        margin: float = 1.0,
        p: float = 2.0,
        eps: float = 1e-6,
        swap: bool = False,
        reduction: str = "mean",
        *,
        batch_first: bool = False,
    ):
        super().__init__(margin=margin, p=p, eps=eps, swap=swap, reduction=reduction, batch_first=batch_first)


class GaussianNLLLoss(_ThreeInputs):
    """``criterion(x, target, var)`` of means and variances, see `functional.gaussian_nll_loss`.

    >>> nn.GaussianNLLLoss()(Variable([3.0]), [1.0], [1.0]).item()
    2.0
    """

    function = F.gaussian_nll_loss

    def __init__(
        self, *, full: bool = False, eps: float = 1e-6, reduction: str = "mean", batch_first: bool = False
    ):
        super().__init__(full=full, eps=eps, reduction=reduction, batch_first=batch_first)


class _Distance(Module):
    """Base of modules of two arrays: ``distance(x1, x2)``."""

    if TYPE_CHECKING:

        @overload
        def __call__(self, x1: Variable, x2: Operand) -> Variable: ...
        @overload
        def __call__(self, x1: Array, x2: Variable) -> Variable: ...
        @overload
        def __call__(self, x1: Array, x2: Array) -> Array: ...
        def __call__(self, x1: Value, x2: Operand) -> Any: ...


class CosineSimilarity(_Distance):
    """The cosine of the angle between vectors, see `functional.cosine_similarity`.

    >>> nn.CosineSimilarity()(np.array([[1.0, 0.0]]), np.array([[1.0, 1.0]]))
    array([0.7071])
    """

    def __init__(self, dim: int = 1, eps: float = 1e-8):
        self.dim, self.eps = dim, eps

    def forward(self, x1: Value, x2: Operand) -> Value:
        return F.cosine_similarity(x1, x2, self.dim, self.eps)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, eps={self.eps}"


class PairwiseDistance(_Distance):
    """The p-norm of differences over the last axis, see `functional.pairwise_distance`.

    >>> nn.PairwiseDistance()(np.array([[3.0, 4.0]]), np.zeros((1, 2)))
    array([5.])
    """

    def __init__(self, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False):
        self.p, self.eps, self.keepdim = p, eps, keepdim

    def forward(self, x1: Value, x2: Operand) -> Value:
        return F.pairwise_distance(x1, x2, self.p, self.eps, self.keepdim)

    def extra_repr(self) -> str:
        return f"p={self.p}, eps={self.eps}, keepdim={self.keepdim}"


class CTCLoss(_Loss):
    """Label sequences without known alignment, see `functional.ctc_loss`.

    >>> log_probs = Variable(np.log(np.full((2, 1, 3), 1 / 3)))  # two steps, one row, two labels and a blank
    >>> loss = nn.CTCLoss()(log_probs, [[1]], [2], [1])
    >>> round(9 * ag.exp(-loss).item(), 4)  # of nine paths: 1 1, blank 1 and 1 blank
    3.0
    """

    if TYPE_CHECKING:

        @overload
        def __call__(
            self, log_probs: Variable, targets: Operand, input_lengths: Operand, target_lengths: Operand
        ) -> Variable: ...
        @overload
        def __call__(
            self, log_probs: Array, targets: Operand, input_lengths: Operand, target_lengths: Operand
        ) -> Array: ...
        def __call__(
            self, log_probs: Value, targets: Operand, input_lengths: Operand, target_lengths: Operand
        ) -> Any: ...

    def __init__(self, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False):
        super().__init__(blank=blank, reduction=reduction, zero_infinity=zero_infinity)

    def forward(
        self, log_probs: Value, targets: Operand, input_lengths: Operand, target_lengths: Operand
    ) -> Value:
        return F.ctc_loss(log_probs, targets, input_lengths, target_lengths, **self.settings())
