"""Forecast errors in original units, by series and by step of the horizon; each series counts once."""

from typing import NamedTuple, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

FIGURES = ("mae", "rmse", "mase", "smape", "r2")


@final
class Scores(NamedTuple):
    """Errors of forecasts, one number or one for each series or step.

    Args:
        mae: mean absolute error. rmse: root mean squared error. Both in original units.
        mase: the MAE in units of the mean change from row to row in the training rows (Hyndman & Koehler 2006); NaN
            where these never change.
        smape: 200 |y - ŷ| / (|y| + |ŷ|) in percent, 0 where both are 0 (Makridakis 1993).
        r2: 1 - Σ(y - ŷ)² / Σ(y - ȳ)², ȳ being each series' own mean at that step; NaN where y never changes.
    """

    mae: Tensor
    rmse: Tensor
    mase: Tensor
    smape: Tensor
    r2: Tensor


@final
class ScoreTable(NamedTuple):
    """The errors over all (each series counts once), `[]`; by step of the horizon, `[horizon]`; by series, `[series]`.

    Several targets: the mean over them, for rmse of the squares. A series without a window has NaN.
    """

    overall: Scores
    by_step: Scores
    by_series: Scores


def score_table(
    predictions: Float[Tensor, "window horizon target"],
    targets: Float[Tensor, "window horizon target"],
    series: Int[Tensor, " window"],
    changes: Float[Tensor, "series target"],
) -> ScoreTable:
    """The errors of forecasts, all in original units. Cost: a few passes over the tensors.

    Args:
        series: the number of each window's series.
        changes: mean absolute change from row to row, of each series and target, in the training rows.

    >>> y = torch.tensor([[[1.0]], [[3.0]]])
    >>> table = score_table(y + 1, y, torch.tensor([0, 0]), torch.tensor([[2.0]]))
    >>> table.overall.mae.item(), table.overall.mase.item(), table.overall.r2.item()
    (1.0, 0.5, 0.0)
    """
    y, error = targets.double(), (predictions.double() - targets.double())
    size = y.abs() + predictions.double().abs()
    percent = torch.where(size == 0, torch.zeros_like(size), 200 * error.abs() / size)
    count = torch.bincount(series, minlength=len(changes)).double()
    mean = _by_series(y, series, count)
    absolute, squared, relative, spread = (
        _by_series(each, series, count) for each in (error.abs(), error.square(), percent, (y - mean[series]).square())
    )
    spread = torch.where(spread > (1e-12 * mean).square(), spread, torch.zeros_like(spread))
    scaled = (
        absolute / torch.where(changes > 0, changes.double(), torch.full_like(changes.double(), torch.nan))[:, None]
    )

    def scores(dims: tuple[int, ...]) -> Scores:
        return Scores(
            mae=absolute.mean(dim=dims),
            rmse=squared.mean(dim=dims).sqrt(),
            mase=scaled.mean(dim=dims),
            smape=relative.mean(dim=dims),
            r2=_r2(squared.sum(dim=dims), spread.sum(dim=dims)),
        )

    by_series, by_cell = scores((1, 2)), scores((2,))
    return ScoreTable(_mean_of(by_series), _mean_of(by_cell), by_series)


def _by_series(x: Tensor, series: Tensor, count: Tensor) -> Tensor:
    """The mean over each series' windows, `[series, horizon, target]`; NaN where it has none."""
    sums = x.new_zeros(len(count), *x.shape[1:]).index_add_(0, series, x)
    return sums / count.view(-1, 1, 1).masked_fill(count.view(-1, 1, 1) == 0, torch.nan)


def _r2(squared: Tensor, spread: Tensor) -> Tensor:
    return 1 - squared / spread.masked_fill(spread == 0, torch.nan)


def _mean_of(by_series: Scores) -> Scores:
    """The mean over the series that have the figure."""
    return Scores(*(each.nanmean(dim=0) for each in by_series))
