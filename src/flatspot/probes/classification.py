"""How well classes are told apart, from the counts of who was taken for whom."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassConfusionMatrix

from flatspot.probes.moments import widest


@final
@dataclass(frozen=True)
class ClassScores:
    """Scores of a classifier; NaN where there was no sample.

    Args:
        accuracy: the share of samples whose class was named.
        balanced_accuracy: the mean of the classes' recalls (of a class's samples, the share that was named), over the
            classes that have samples: always naming one of k classes scores 1/k (Brodersen et al. 2010).
        f1: the mean of the classes' F1, 2·hits / (samples + namings), over the classes that have samples or were named.
        confusion: samples by class, and by the class that was named: `[truth][named]`.
    """

    accuracy: float
    balanced_accuracy: float
    f1: float
    confusion: list[list[int]]


def confusion_counter(classes: int) -> MulticlassConfusionMatrix:
    """Counts samples by true and named class, over batches and processes; its result is for `class_scores`.

    It is updated with logits, probabilities `[sample, class]` or class numbers `[sample]`, and true class numbers.

    >>> counter = confusion_counter(2)
    >>> counter.update(torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([0, 1]))
    >>> class_scores(counter.compute()).accuracy
    0.5
    """
    # To validate its arguments is to ask the device for every batch's labels.
    return MulticlassConfusionMatrix(classes, validate_args=False)


@final
class NamedClasses(Metric):
    """Counts how often each class is named, over batches and processes; its result is the entropy of that histogram.

    H = -Σ p log p in nats: 0 where one class is named for all, log(classes) where all are named as often.

    >>> named = NamedClasses(4)
    >>> named.update(torch.tensor([0, 0, 1, 1]))
    >>> round(named.compute().exp().item(), 3)  # the number of classes that are named
    2.0
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False

    counts: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.add_state("counts", default=torch.zeros(classes), dist_reduce_fx="sum")

    def update(self, named: Int[Tensor, " sample"]) -> None:
        """Take the numbers of the classes that were named."""
        # Beyond 2^24 float32 counts no further; and bincount would wait for the device.
        ones = torch.ones_like(named, dtype=widest(self.counts).dtype)
        self.counts = widest(self.counts).scatter_add(0, named, ones)

    def compute(self) -> Float[Tensor, ""]:
        """The entropy; NaN before the first sample."""
        shares = self.counts / self.counts.sum()
        entropy: Tensor = torch.special.entr(shares).sum()
        return entropy


def class_scores(confusion: Int[Tensor, "class class"]) -> ClassScores:
    """The scores that follow from the counts `[truth, named]`.

    >>> scores = class_scores(torch.tensor([[6, 0], [2, 0]]))
    >>> scores.accuracy, scores.balanced_accuracy
    (0.75, 0.5)
    """
    counts = confusion.to("cpu", torch.float64)
    hits, samples, named = counts.diagonal(), counts.sum(dim=1), counts.sum(dim=0)
    return ClassScores(
        accuracy=(hits.sum() / samples.sum()).item(),
        balanced_accuracy=(hits / samples)[samples > 0].mean().item(),
        f1=(2 * hits / (samples + named))[samples + named > 0].mean().item(),
        confusion=confusion.tolist(),
    )
