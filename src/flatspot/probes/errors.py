"""Forecast errors in original units, accumulated over batches and processes."""

from dataclasses import dataclass
from typing import final

import torch
from jaxtyping import Float
from torch import Tensor
from torchmetrics import Metric

from flatspot.probes.moments import Moments, merge, moments, widest


@final
@dataclass(frozen=True)
class Errors:
    """Errors over all samples and steps of the horizon.

    Args:
        mae: mean absolute error. rmse: root mean squared error. Both in the target's units (several targets:
            the mean over them, for rmse of the squares).
        r2: 1 - Σ(y - ŷ)² / Σ(y - ȳ)², ȳ being each output's own mean over the samples; NaN if y is constant.
    """

    mae: float
    rmse: float
    r2: float


def forecast_errors(
    predictions: Float[Tensor, "sample horizon target"], targets: Float[Tensor, "sample horizon target"]
) -> Errors:
    """The errors of predictions in original units.

    >>> y = torch.tensor([[[1.0]], [[3.0]]])
    >>> forecast_errors(y + 1, y)
    Errors(mae=1.0, rmse=1.0, r2=0.0)
    """
    return _errors_of(_sums_of(predictions, targets))


def smape(
    predictions: Float[Tensor, "sample horizon target"], targets: Float[Tensor, "sample horizon target"]
) -> float:
    """Symmetric mean absolute percentage error, in percent of original units: 0 to 200.

    The mean of 200·|y - ŷ| / (|y| + |ŷ|), counting 0 where both are 0. It depends on where 0 lies: for temperatures
    and scaled values it says nothing.

    Source: Makridakis 1993, with absolute values below the line as in the M4 competition (Makridakis et al. 2020).

    >>> smape(torch.tensor([[[1.0], [0.0]]]), torch.tensor([[[3.0], [0.0]]]))
    50.0
    """
    ours, y = widest(predictions), widest(targets)
    size = ours.abs() + y.abs()
    share = (ours - y).abs() / torch.where(size > 0, size, torch.ones_like(size))
    return (200 * share).mean().item()


@final
class ForecastErrors(Metric):
    """Sums of errors and moments of the targets, per output; scaled to original units when asked.

    Errors need the scale and not the mean of the target, so batches are taken in the network's units and no
    batch is moved or rescaled: but where series have scales of their own, and a sample's errors count by its own.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False

    sums: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.add_state("sums", default=torch.empty(0), dist_reduce_fx=None)

    def update(self, predictions: Tensor, targets: Tensor, units: Tensor | None = None) -> None:
        """Take a batch: `[sample, horizon, target]`, in any unit.

        Args:
            predictions, targets: on one device.
            units: the mean and scale of each sample's targets, `[2, sample, target]`, on that device: what is taken is
                then in original units, and `errors` needs no scale. R² needs the means, up to a constant.
        """
        batch = _sums_of(predictions.detach(), targets, units)
        self.sums = _added(self.sums, batch) if self.sums.numel() else batch

    def compute(self) -> Float[Tensor, "figure horizon target"]:
        """Per output: Σ|e|, Σe², n, mean and M2 of y, over all batches and processes."""
        if self.sums.dim() < 4:
            return self.sums
        total = self.sums[0]
        for other in self.sums[1:]:
            total = _added(total, other)
        return total

    def errors(self, scale: Float[Tensor, " target"] | None = None) -> Errors:
        """The errors in original units: `scale` is the target's units per unit of the network."""
        return _errors_of(self.compute(), scale)


def _sums_of(predictions: Tensor, targets: Tensor, units: Tensor | None = None) -> Tensor:
    """Per output: Σ|e|, Σe², n, mean and M2 of y, as one tensor `[5, horizon, target]` that processes can gather."""
    y = widest(targets)
    error = widest(predictions) - y
    if units is not None:
        mean, scale = widest(units).unsqueeze(2)
        y, error = y * scale + mean, error * scale
    size, means, m2 = moments(y)
    shape = error.shape[1:]
    about_y = [size.expand(shape), means.view(shape), m2.view(shape)]
    return torch.stack([error.abs().sum(dim=0), error.square().sum(dim=0), *about_y])


def _errors_of(sums: Tensor, scale: Tensor | None = None) -> Errors:
    absolute, squared, size, _, _ = sums
    unit = torch.ones_like(sums[0, 0]) if scale is None else scale.to(sums)
    return Errors(
        mae=(absolute / size * unit).mean().item(),
        rmse=(squared / size * unit.square()).mean().sqrt().item(),
        r2=(1 - (squared * unit.square()).sum() / _spread_of(sums, unit)).item(),
    )


def _spread_of(sums: Tensor, unit: Tensor) -> Tensor:
    """Σ(y - ȳ)² in original units; NaN where y is constant but for rounding."""
    _, _, size, mean, m2 = sums
    rounding = size * (1e-12 * mean).square()
    spread = (m2 * unit.square()).sum()
    return torch.where((m2 > rounding).any(), spread, torch.full_like(spread, torch.nan))


def _added(a: Tensor, b: Tensor) -> Tensor:
    y = merge(Moments(a[2].max(), a[3], a[4]), Moments(b[2].max(), b[3], b[4]))
    return torch.stack([a[0] + b[0], a[1] + b[1], a[2] + b[2], y.mean, y.m2])
