"""Cheap references: what the inputs allow, without the network in question."""

import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, Final, NamedTuple, final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from flatspot.probes.moments import moments, widest

Batches = Callable[[], Iterable[tuple[Tensor, Tensor]]]

Windows = tuple[Tensor, Tensor]
"""Windows `[sample, time, channel]` and what follows them, `[sample, horizon, target]`."""

Loss = Callable[[Tensor, Tensor], Tensor]

PENALTIES: Final = tuple(10.0**power for power in range(-6, 4))
"""Ridge penalties tried, per training sample and in units of a standardised feature."""

MOST_FEATURES: Final = 2048
"""Steps × channels up to which the covariance is built: its cost grows with the cube of it."""

MOST_OUTPUTS: Final = 4
"""Outputs that trees are grown for, evenly chosen: each has trees of its own."""

MOST_TREES: Final = 100
MOST_GROWN_ON: Final = 5000
"""Samples that trees are grown on, evenly chosen."""

UNITS: Final = 32
BATCH: Final = 64
RATE: Final = 0.01
LOOKS: Final = 10
"""How often a small GRU in training is scored."""

MOST_SCORED: Final = 512
"""Samples that it is scored on, evenly chosen."""

MOST_STEPS: Final = 256
"""Latest steps of a window that a small GRU reads."""


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
    serves all penalties. Of fewer windows than features it is the windows' products, and they are copied. Features
    are standardised by their own spread, so the units of the inputs do not matter. Beyond 2,048 features (steps ×
    channels) the oldest steps are left out.

    Args:
        train, val: each call gives a fresh pass over batches `(x, y)`: x `[sample, time, channel]`,
            y `[sample, horizon, target]`.

    Source: Hoerl & Kennard 1970; Hastie, Tibshirani & Friedman 2009, section 3.4.
    """
    count, centre, outputs, horizon = _centre(train)
    weights_of = (_by_windows if count < len(centre) else _by_features)(train, centre, outputs)

    def fitted(penalty: float) -> Ridge:
        weights = weights_of(penalty)
        return Ridge(weights, outputs - centre @ weights, penalty, horizon)

    return min((fitted(penalty) for penalty in PENALTIES), key=lambda ridge: _squared_error(ridge, val))


def _by_features(train: Batches, centre: Tensor, outputs: Tensor) -> Callable[[float], Tensor]:
    """Weights for a penalty, from the features' covariance."""
    covariance, cross = _covariances(train, centre, outputs)
    usable = _usable(covariance.diagonal().sqrt())
    values, vectors = torch.linalg.eigh(covariance / usable.outer(usable))
    projected = vectors.T @ (cross / usable.unsqueeze(1))
    return lambda penalty: vectors @ (projected / (values.clamp(min=0) + penalty).unsqueeze(1)) / usable.unsqueeze(1)


def _by_windows(train: Batches, centre: Tensor, outputs: Tensor) -> Callable[[float], Tensor]:
    """The same from the windows' products with one another (Saunders, Gammerman & Vovk 1998)."""
    pairs = [(_features(x) - centre, widest(y).flatten(1) - outputs) for x, y in train()]
    x, y = (torch.cat(each) for each in zip(*pairs, strict=True))
    usable = _usable(x.square().mean(dim=0).sqrt())
    x = x / usable
    values, vectors = torch.linalg.eigh(x @ x.T / len(x))
    projected = vectors.T @ y / len(x)

    def weights(penalty: float) -> Tensor:
        shares: Tensor = projected / (values.clamp(min=0) + penalty).unsqueeze(1)
        found: Tensor = x.T @ (vectors @ shares) / usable.unsqueeze(1)
        return found

    return weights


def _usable(spread: Tensor) -> Tensor:
    return torch.where(spread > 0, spread, torch.ones_like(spread))


def _features(x: Tensor, most: int = MOST_FEATURES) -> Tensor:
    """The window as one row, its latest steps last; the oldest are cut where there are too many."""
    steps = max(min(most, MOST_FEATURES) // x.shape[2], 1)
    return widest(x[:, -steps:]).flatten(1)


def _centre(train: Batches) -> tuple[int, Tensor, Tensor, tuple[int, ...]]:
    count, x_sum, y_sum = 0, torch.zeros(()), torch.zeros(())
    horizon: tuple[int, ...] = ()
    for x, y in train():
        count += len(x)
        x_sum = x_sum + _features(x).sum(dim=0)
        y_sum = y_sum + widest(y).flatten(1).sum(dim=0)
        horizon = tuple(y.shape[1:])
    return count, x_sum / count, y_sum / count, horizon


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


@final
class Trees(NamedTuple):
    """Boosted trees on a flattened window, those of each output by themselves.

    Args:
        outputs: which of the flattened outputs they predict.
        grown: scikit-learn's regressor of each. counts: how many of its trees are used.
        means: what each answers without a tree.
    """

    outputs: tuple[int, ...]
    grown: tuple[Any, ...]
    counts: tuple[int, ...]
    means: tuple[float, ...]

    def predict(self, x: Float[Tensor, "sample time channel"]) -> Float[Tensor, "sample chosen"]:
        """The chosen outputs, in the units that they were fitted in, float64."""
        flat = _features(x).cpu().numpy()
        together = zip(self.grown, self.counts, self.means, strict=True)
        return torch.from_numpy(np.stack([_after(*each, flat) for each in together], axis=1))


def fit_trees(train: Windows, stop: Windows, *, seed: int = 0) -> Trees:
    """Small boosted trees for up to four outputs, evenly chosen, under squared loss whatever the model's.

    Up to a hundred trees of 15 leaves an output, grown on up to 5,000 samples, evenly chosen. As many are used as are
    best on the samples to stop by, perhaps none. Of a window with more than 2,048 numbers the oldest steps are left
    out. Equal numbers from any number of threads, and nobody's random state moves.

    Args:
        train, stop: windows `[sample, time, channel]` and targets `[sample, horizon, target]`: to grow trees on, and to
            choose their number by.

    Cost: half a second an output on one core, at most.

    Source: Friedman 2001; Ke et al. 2017, as scikit-learn's HistGradientBoostingRegressor has them.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 - it takes a while to import

    rows = _evenly(len(train[0]), MOST_GROWN_ON)
    x, x_stop = (_features(each).cpu().numpy() for each in (train[0][rows], stop[0]))
    y, y_stop = (widest(each).flatten(1).cpu().numpy() for each in (train[1][rows], stop[1]))
    outputs = _evenly(y.shape[1], MOST_OUTPUTS).tolist()
    options = {"max_iter": MOST_TREES, "max_leaf_nodes": 15, "early_stopping": False, "random_state": seed}
    grown = [HistGradientBoostingRegressor(**options).fit(x, y[:, output]) for output in outputs]
    means = y.mean(axis=0)[outputs]
    counts = []
    for each, output, mean in zip(grown, outputs, means, strict=True):
        stages = [np.full(len(x_stop), mean), *each.staged_predict(x_stop)]
        counts.append(int(np.argmin([np.square(stage - y_stop[:, output]).mean() for stage in stages])))
    return Trees(tuple(outputs), tuple(grown), tuple(counts), tuple(means.tolist()))


def _after(grown: Any, count: int, mean: float, flat: np.ndarray) -> np.ndarray:  # noqa: ANN401 - scikit-learn's
    """What so many trees predict together."""
    return next(islice(grown.staged_predict(flat), count - 1, None)) if count else np.full(len(flat), mean)


def _evenly(count: int, most: int) -> Tensor:
    """Numbers of so many things at most, from the first to the last."""
    return torch.linspace(0, count - 1, min(count, most), dtype=torch.float64).round().long()


@final
class SmallGRU(NamedTuple):
    """A small GRU on standardised windows, and how it is reckoned back.

    Args:
        layer, head: its network.
        inputs, outputs: mean and scale of the channels `[2, channel]` and of the flattened outputs `[2, output]`.
    """

    layer: nn.GRU
    head: nn.Linear
    inputs: Float[Tensor, "2 channel"]
    outputs: Float[Tensor, "2 output"]
    horizon: tuple[int, ...]

    def predict(self, x: Float[Tensor, "sample time channel"]) -> Float[Tensor, "sample horizon target"]:
        """Forecasts `[sample, horizon, target]` in the units that it was fitted in, float64."""
        with torch.no_grad():
            return torch.cat([self.answer(self.scaled(part)) for part in torch.split(x, MOST_SCORED)])

    def scaled(self, x: Tensor) -> Float[Tensor, "sample time channel"]:
        """Windows as the network reads them, float32."""
        return ((widest(x[:, -MOST_STEPS:]).cpu() - self.inputs[0]) / self.inputs[1]).float()

    def answer(self, scaled: Float[Tensor, "sample time channel"]) -> Float[Tensor, "sample horizon target"]:
        """Forecasts of scaled windows, with a gradient."""
        answers: Tensor = self.head(self.layer(scaled)[0][:, -1])
        return (answers.double() * self.outputs[1] + self.outputs[0]).view(len(scaled), *self.horizon)


def fit_gru(train: Windows, stop: Windows, loss: Loss, *, steps: int = 600, seed: int = 0) -> SmallGRU:
    """A GRU of 32 units, trained for so many steps of Adam under the user's loss; the best of ten looks stays.

    Batches of 64, a rate of 0.01 that falls to nothing along a cosine, gradients clipped to a norm of 1 (in units of
    the loss of the training mean, which is what it answers before the first step). It reads the last 256 steps of a
    window. The same numbers each time: the budget is in steps, and nobody's random state moves.

    Args:
        train, stop: windows `[sample, time, channel]` and targets `[sample, horizon, target]`: to train on, and to
            choose the best look by.
        loss: from predictions and targets `[sample, horizon, target]`, in their own units, to a number.

    Cost: steps × that of a step, some 5 ms for a window of 48 on one core.
    """
    with torch.inference_mode(mode=False), torch.enable_grad():
        generator = torch.Generator().manual_seed(seed)
        found = _fresh_gru(train, generator)
        _train(found, train, stop, loss, steps, generator)
    return found


def _fresh_gru(train: Windows, generator: torch.Generator) -> SmallGRU:
    """With torch's starting weights, drawn by the generator, and a head that answers the mean."""
    # On the meta device nobody's random numbers are drawn.
    layer = nn.GRU(train[0].shape[2], UNITS, batch_first=True, device="meta").to_empty(device="cpu")
    head = nn.Linear(UNITS, math.prod(train[1].shape[1:]), device="meta").to_empty(device="cpu")
    for weight in layer.parameters():
        nn.init.uniform_(weight, -(UNITS**-0.5), UNITS**-0.5, generator=generator)
    for weight in head.parameters():
        nn.init.zeros_(weight)
    return SmallGRU(layer, head, _units(train[0].flatten(0, 1)), _units(train[1].flatten(1)), tuple(train[1].shape[1:]))


def _units(rows: Float[Tensor, "row column"]) -> Float[Tensor, "2 column"]:
    """Mean and scale of each column, 1 where it is constant."""
    found = moments(rows.cpu())
    return torch.stack([found.mean, torch.where(found.std > 0, found.std, torch.ones_like(found.std))])


def _train(found: SmallGRU, train: Windows, stop: Windows, loss: Loss, steps: int, generator: torch.Generator) -> None:
    x, y = found.scaled(train[0]), widest(train[1]).cpu()
    weights = [*found.layer.parameters(), *found.head.parameters()]
    optimizer = torch.optim.Adam(weights, RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    unit = _unit_of(loss(found.outputs[0].view(found.horizon).expand_as(y), y))
    best, kept = _look(found, stop, loss), _copied(weights)
    for step in range(1, steps + 1):
        batch = torch.randint(len(x), (BATCH,), generator=generator)
        optimizer.zero_grad()
        (loss(found.answer(x[batch]), y[batch]) / unit).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        if step % max(steps // LOOKS, 1) == 0 and (seen := _look(found, stop, loss)) < best:
            best, kept = seen, _copied(weights)
    for weight, one in zip(weights, kept, strict=True):
        weight.data.copy_(one)


def _unit_of(constant: Tensor) -> float:
    """The loss of a constant, where it can be a unit: gradients of any targets are then of one size."""
    value = constant.item()
    return value if value > 0 and math.isfinite(value) else 1.0


def _look(found: SmallGRU, stop: Windows, loss: Loss) -> float:
    rows = _evenly(len(stop[0]), MOST_SCORED)
    return loss(found.predict(stop[0][rows]), widest(stop[1][rows]).cpu()).item()


def _copied(weights: list[nn.Parameter]) -> list[Tensor]:
    return [weight.detach().clone() for weight in weights]
