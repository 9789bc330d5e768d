"""A mean over batches and processes of unequal size."""

from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from flatspot.probes.moments import widest


@final
class WeightedMean(Metric):
    """The mean of values, each counted by its weight; a NaN stays a NaN.

    torchmetrics' own MeanMetric drops a NaN, or (with `nan_strategy="disable"`, in 1.9) the weights, and looks at
    every value on the host.

    >>> mean = WeightedMean()
    >>> mean.update(torch.tensor(1.0), weight=3)
    >>> mean.update(torch.tensor(5.0), weight=1)
    >>> mean.compute()
    tensor(2., dtype=torch.float64)
    """

    full_state_update = False
    higher_is_better = None
    is_differentiable = False

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", default=torch.zeros(2), dist_reduce_fx="sum")

    def update(self, value: Float[Tensor, ""], weight: int) -> None:
        """Take a batch's mean and the number of its samples."""
        wide = widest(value.detach())
        self.sums = self.sums + torch.stack([wide * weight, torch.full_like(wide, weight)])

    def compute(self) -> Float[Tensor, ""]:
        """The mean over all batches and processes; NaN before the first batch."""
        return self.sums[0] / self.sums[1]
