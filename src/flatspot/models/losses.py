"""Losses by name: what `model.loss=` may say."""

from collections.abc import Callable, Sequence
from typing import Final, final

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional as F

from flatspot.errors import BadInput
from flatspot.probes.skill import Loss
from flatspot.registry import Registry


@final
class CrossEntropy(nn.Module):
    """-log p of the true class, the mean over samples, each counted as many times as the weight of its class says.

    Divided by the samples, not by their weights as `torch.nn.CrossEntropyLoss` divides: however the samples come in
    batches and processes, their loss is the same. Weights whose mean over the training samples is 1 (`balanced`) leave
    its size as it was.

    Args:
        weights: one for each class; None: 1 for all.
    """

    weights: Tensor | None

    def __init__(self, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        values = None if weights is None else torch.tensor(weights)
        self.register_buffer("weights", values, persistent=False)

    def forward(self, logits: Float[Tensor, "sample class"], classes: Int64[Tensor, " sample"]) -> Float[Tensor, ""]:
        """The loss of a batch."""
        weights = None if self.weights is None else self.weights.to(logits)
        return F.cross_entropy(logits, classes, weights, reduction="sum") / len(classes)


LOSSES: Final[Registry[Loss]] = Registry(
    "loss",
    {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss},
)
"""Of numbers."""

CLASS_LOSSES: Final[Registry[Callable[[Sequence[float] | None], nn.Module]]] = Registry(
    "loss", {"cross_entropy": CrossEntropy}
)
"""Of classes: what makes one from the weights of the classes."""


def loss_of_numbers(name: str) -> Loss:
    """The loss of a forecaster or regressor.

    Raises:
        BadInput: for a name that is not known, or of a loss of classes.
    """
    if name in CLASS_LOSSES:
        raise BadInput(f"model.loss={name}: is of classes; this model predicts numbers: {' | '.join(LOSSES)}")
    return LOSSES[name]


def loss_of_classes(name: str, weights: Sequence[float] | None) -> nn.Module:
    """The loss of a classifier.

    Raises:
        BadInput: for a name that is not known, or of a loss of numbers.
    """
    if name in LOSSES:
        raise BadInput(f"model.loss={name}: is of numbers; this model predicts classes: {' | '.join(CLASS_LOSSES)}")
    return CLASS_LOSSES[name](weights)
