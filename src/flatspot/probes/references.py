"""Cheap references: what the inputs allow, without a network."""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple, final

import torch
from jaxtyping import Float
from torch import Tensor

from flatspot.probes.moments import widest

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]

PENALTIES: Final = tuple(10.0**power for power in range(-6, 4))
"""Ridge penalties tried, per training sample and in units of a standardised feature."""

MOST_FEATURES: Final = 2048
"""Steps × channels up to which the covariance is built: its cost grows with the cube of it."""


@final
class Ridge(NamedTuple):
    """A linear map from a flattened window to the horizon."""

    coefficients: Float[Tensor, "feature output"]
    intercept: Float[Tensor, " output"]
    penalty: float
    horizon: tuple[int, ...]

    def predict(self, x: Float[Tensor, "sample time channel"]) -> Float[Tensor, "sample horizon target"]:
        """Forecasts `[sample, horizon, target]` in the units that it was fitted in, float64."""
        flat = _features(x, len(self.coefficients))
        return (flat @ self.coefficients + self.intercept).view(len(x), *self.horizon)


def fit_ridge(train: Batches, val: Batches) -> Ridge:
    """Ridge regression on the flattened window, the penalty chosen by the squared error on validation windows.

    Closed form from the covariance, gathered batch by batch: no window is copied, and one eigendecomposition
    serves all penalties. Features are standardised by their own spread, so the units of the inputs do not
    matter. Beyond 2,048 features (steps × channels) the oldest steps are left out.

    Args:
        train, val: each call gives a fresh pass over batches `(x, y)`: x `[sample, time, channel]`,
            y `[sample, horizon, target]`.

    Source: Hoerl & Kennard 1970; Hastie, Tibshirani & Friedman 2009, section 3.4.
    """
    centre, outputs, horizon = _centre(train)
    covariance, cross = _covariances(train, centre, outputs)
    spread = covariance.diagonal().sqrt()
    usable = torch.where(spread > 0, spread, torch.ones_like(spread))
    values, vectors = torch.linalg.eigh(covariance / usable.outer(usable))
    projected = vectors.T @ (cross / usable.unsqueeze(1))

    def fitted(penalty: float) -> Ridge:
        weights = vectors @ (projected / (values.clamp(min=0) + penalty).unsqueeze(1)) / usable.unsqueeze(1)
        return Ridge(weights, outputs - centre @ weights, penalty, horizon)

    return min((fitted(penalty) for penalty in PENALTIES), key=lambda ridge: _squared_error(ridge, val))


def _features(x: Tensor, most: int = MOST_FEATURES) -> Tensor:
    """The window as one row, its latest steps last; the oldest are cut where there are too many."""
    steps = max(min(most, MOST_FEATURES) // x.shape[2], 1)
    return widest(x[:, -steps:]).flatten(1)


def _centre(train: Batches) -> tuple[Tensor, Tensor, tuple[int, ...]]:
    count, x_sum, y_sum = 0, torch.zeros(()), torch.zeros(())
    horizon: tuple[int, ...] = ()
    for x, y in train():
        count += len(x)
        x_sum = x_sum + _features(x).sum(dim=0)
        y_sum = y_sum + widest(y).flatten(1).sum(dim=0)
        horizon = tuple(y.shape[1:])
    return x_sum / count, y_sum / count, horizon


def _covariances(train: Batches, centre: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    count = 0
    covariance = centre.new_zeros(len(centre), len(centre))
    cross = centre.new_zeros(len(centre), len(outputs))
    for x, y in train():
        deviation = _features(x) - centre
        count += len(x)
        covariance += deviation.T @ deviation
        cross += deviation.T @ (widest(y).flatten(1) - outputs)
    return covariance / count, cross / count


def _squared_error(ridge: Ridge, batches: Batches) -> float:
    return sum((ridge.predict(x) - widest(y)).square().sum().item() for x, y in batches())
