"""Outputs: what a network's last layer means, and the loss that belongs to it.

An output and its loss are one component, so that a probability is never trained on a loss that was made for another.
``Linear`` is for numbers, ``Bernoulli`` for labels, the others for classes: these turn logits into the probability of
each class, in logarithms, so that logits of +-1e4 give finite values and gradients in float32. Shapes: [..., C]
for C classes.

The two Topcat outputs are this project's own reconstructions: the story of Topcat ("total output probability certainty
aware transform") gives no formula.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from notafluke.errors import did_you_mean


class LogProbabilities(NamedTuple):
    """``log p`` and ``log(1 - p)`` of each class, [..., C] each; the second is not taken from the first, so exact."""

    hit: Tensor
    miss: Tensor


class Linear:
    """The numbers as they are: for tasks that predict numbers; the loss is that of the group ``loss``."""

    kind: ClassVar[Literal["numbers"]] = "numbers"

    def own_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Raises ValueError: there is none."""
        raise ValueError("loss=of_output: a linear output has no loss of its own; choose loss=mse or another")

    def values(self, outputs: Tensor) -> Tensor:
        """The numbers."""
        return outputs

    def predictions(self, outputs: Tensor) -> Tensor:
        """The numbers."""
        return outputs

    def caution(self, classes: int) -> str:
        """Nothing needs to be known about numbers."""
        return ""


class Bernoulli:
    """Independent labels, yes or no: ``p_i = 1 / (1 + exp(-x_i))``; the numbers are logits.

    Its loss is the binary cross-entropy, summed over the labels.
    """

    kind: ClassVar[Literal["labels"]] = "labels"

    def own_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy [...] of logits and labels [..., O]."""
        return functional.binary_cross_entropy_with_logits(outputs, targets, reduction="none").sum(-1)

    def values(self, outputs: Tensor) -> Tensor:
        """The probabilities."""
        return outputs.sigmoid()

    def predictions(self, outputs: Tensor) -> Tensor:
        """The logits."""
        return outputs

    def caution(self, classes: int) -> str:
        """Nothing needs to be known about labels."""
        return ""


class ClassOutput(ABC):
    """An output for classes: logits to probabilities, with ``categorical_cross_entropy`` or ``binary_cross_entropy``.

    Both are sums over the classes, one number for each sample: ``-sum t log p`` and
    ``-sum (t log p + (1 - t) log(1 - p))``. Raises ValueError for another loss.
    """

    kind: ClassVar[Literal["classes"]] = "classes"
    losses: ClassVar[tuple[str, ...]] = ("categorical_cross_entropy", "binary_cross_entropy")

    def __init__(self, loss: str) -> None:
        if loss not in self.losses:
            raise ValueError(f"loss={loss}: unknown{did_you_mean(loss, self.losses)}")
        self.loss = loss

    @abstractmethod
    def log_probabilities(self, logits: Tensor) -> LogProbabilities:
        """Logarithms of the probability of each class and of its opposite, for logits [..., C]."""

    def own_loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """The cross-entropy [...] of logits and targets [..., C]."""
        log = self.log_probabilities(outputs)
        hits = targets * log.hit
        if self.loss == "categorical_cross_entropy":
            return -hits.sum(-1)
        return -(hits + (1 - targets) * log.miss).sum(-1)

    def values(self, outputs: Tensor) -> Tensor:
        """The probabilities."""
        return self.log_probabilities(outputs).hit.exp()

    def predictions(self, outputs: Tensor) -> Tensor:
        """The logarithms of the probabilities."""
        return self.log_probabilities(outputs).hit

    def caution(self, classes: int) -> str:
        """What should be known about this output for so many classes; empty where there is nothing."""
        return ""


class Softmax(ClassOutput):
    """``p_i = exp(x_i) / sum_j exp(x_j)`` (Bridle 1990)."""

    def log_probabilities(self, logits: Tensor) -> LogProbabilities:
        """See ClassOutput."""
        return LogProbabilities(torch.log_softmax(logits, -1), log_softmax_miss(logits))


class Sigmoid(ClassOutput):
    """``p_i = 1 / (1 + exp(-x_i))``: each class for itself."""

    def log_probabilities(self, logits: Tensor) -> LogProbabilities:
        """See ClassOutput."""
        return LogProbabilities(functional.logsigmoid(logits), functional.logsigmoid(-logits))


class TopcatMargin(ClassOutput):
    """Topcat as a margin: ``p_i = sigmoid(x_i - max_{j != i} x_j)``, the project's own reconstruction.

    At most one class has more than 1/2. For two classes it is softmax, and its binary cross-entropy is twice the
    categorical one. Where several logits share the maximum they share its gradient.
    """

    def log_probabilities(self, logits: Tensor) -> LogProbabilities:
        """See ClassOutput."""
        margin = logits - largest_other(logits)
        return LogProbabilities(functional.logsigmoid(margin), functional.logsigmoid(-margin))

    def caution(self, classes: int) -> str:
        """See ClassOutput."""
        if classes > 2:
            return ""
        return "for two classes topcat_margin is softmax, and its binary cross-entropy is twice the categorical one"


class TopcatTotal(ClassOutput):
    """Topcat with a total: ``p_i = exp(x_i) / (1 + sum_j exp(x_j))``, the project's own reconstruction.

    The total of all p is the certainty, the rest up to 1 is "none of these": softmax with one more class at logit 0.
    """

    def log_probabilities(self, logits: Tensor) -> LogProbabilities:
        """See ClassOutput."""
        with_none = functional.pad(logits, (0, 1))
        return LogProbabilities(
            torch.log_softmax(with_none, -1)[..., :-1],
            log_softmax_miss(with_none)[..., :-1],
        )


def log_softmax_miss(logits: Tensor) -> Tensor:
    """``log(1 - softmax(x)_i)`` for logits [..., C], C >= 2: the other classes' share, without cancellation.

    Only the class of the largest logit can have more than 1/2; its miss is summed from the others' exponentials, that
    of each other class is ``log1p(-p)`` with p <= 1/2.
    """
    classes = torch.arange(logits.shape[-1], device=logits.device)
    largest = logits.argmax(-1, keepdim=True) == classes
    others = logits.masked_fill(largest, -torch.inf)
    # Each sum of exponentials relative to its own largest term, where small differences have all their digits.
    top, second = logits.amax(-1, keepdim=True).detach(), others.amax(-1, keepdim=True).detach()
    total = torch.logsumexp(logits - top, -1, keepdim=True)
    rest = torch.logsumexp(others - second, -1, keepdim=True)
    small = (others - top - total).exp()
    return torch.where(largest, (second - top) + (rest - total), torch.log1p(-small))


def largest_other(logits: Tensor) -> Tensor:
    """``max_{j != i} x_j`` for each i of logits [..., C], C >= 2, in linear time.

    Gradients are those of ``amax`` over the other logits: several that share the maximum share its gradient.
    """
    largest = logits.amax(-1, keepdim=True)
    tied = logits == largest
    ties = tied.sum(-1, keepdim=True)
    second = logits.masked_fill(tied, -torch.inf).amax(-1, keepdim=True)
    # A logit that ties for the maximum has the other ties for its maximum: their value, their shared gradient.
    others = ((logits * tied).sum(-1, keepdim=True) - logits) / (ties - 1).clamp(min=1)
    of_tied = largest.detach() + (others - others.detach())
    return torch.where(tied, torch.where(ties > 1, of_tied, second), largest)
