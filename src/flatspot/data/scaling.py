"""Scalings by name, fitted on training rows alone: what `data.scale=` and `data.scale_target=` may say."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any, Final, final

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.preprocessing import MinMaxScaler, RobustScaler

from flatspot.probes.moments import merge, moments
from flatspot.registry import Registry

Block = NDArray[np.float64]
Blocks = Iterable[Block]
Fit = Callable[[Iterator[Block]], tuple[Block, Block]]

PER_SERIES: Final = "per_series"
NOTHING: Final = "none"

ROUNDING: Final = 1e-6
"""Of sums that were added up in another order, as a share of what was added up."""


@final
@dataclass(frozen=True)
class ChannelScaling:
    """What is taken from each channel and what it is divided by, in original units: `(x - mean) / scale`.

    `[channel]`; with `per_series`, `[series][channel]`.
    """

    mean: list[Any]
    scale: list[Any]

    @cached_property
    def table(self) -> tuple[Block, Block]:
        """Mean and scale as arrays `[series, channel]`; one row where all series share them."""
        return np.atleast_2d(np.asarray(self.mean, float)), np.atleast_2d(np.asarray(self.scale, float))

    def same(self, other: "ChannelScaling") -> bool:
        """Whether the other has these numbers, but for rounding."""
        (mean, scale), (mean_too, scale_too) = self.table, other.table
        if mean.shape != mean_too.shape:
            return False
        level = np.abs(mean - mean_too) <= ROUNDING * (np.abs(mean) + scale)
        return bool(level.all() and (np.abs(scale - scale_too) <= ROUNDING * scale).all())


def _standard(blocks: Iterator[Block]) -> tuple[Block, Block]:
    whole = reduce(merge, (moments(torch.from_numpy(block)) for block in blocks))
    mean, spread = whole.mean.numpy(), whole.std.numpy()
    return mean, np.where(_counts(spread, mean), spread, 1.0)


def _minmax(blocks: Iterator[Block]) -> tuple[Block, Block]:
    scaler = MinMaxScaler()
    for block in blocks:
        scaler.partial_fit(block)
    return scaler.data_min_.astype(float), 1 / scaler.scale_.astype(float)


def _robust(blocks: Iterator[Block]) -> tuple[Block, Block]:
    scaler = RobustScaler().fit(np.concatenate(list(blocks)))
    return scaler.center_.astype(float), scaler.scale_.astype(float)


def _none(blocks: Iterator[Block]) -> tuple[Block, Block]:
    channels = next(blocks).shape[1]
    return np.zeros(channels), np.ones(channels)


SCALINGS: Final[Registry[Fit]] = Registry(
    "scaling",
    {"standard": _standard, PER_SERIES: _standard, "robust": _robust, "minmax": _minmax, NOTHING: _none},
)
"""Mean and std; those of each series; median and quartiles' distance; least value and range; nothing.

The numbers of scikit-learn's StandardScaler, RobustScaler and MinMaxScaler; mean and std are merged block by block
(Chan, Golub & LeVeque 1979), six times as fast on a long file. A channel that is constant in the training rows is
divided by 1.
"""


def fit_scaling(name: str, blocks: Iterator[NDArray[Any]], base: Block | float = 0.0) -> ChannelScaling:
    """The scaling of that name, fitted on blocks of whole training rows `[row, channel]`.

    Args:
        base: what was taken from each channel of the blocks.

    Raises:
        UnknownName: if there is no such scaling.
    """
    mean, scale = SCALINGS[name](blocks)
    level = mean if name == NOTHING else mean + base
    return ChannelScaling(level.tolist(), scale.tolist())


def fit_per_series(values: Block, spans: NDArray[np.int64]) -> ChannelScaling:
    """Mean and std of each series over its training rows `[start, stop)`; 1 for a std of nothing.

    Args:
        values: `[row, channel]`, NaN where missing. spans: the training rows of each series, `[series, 2]`.
    """
    mean = _means(values, spans)
    centred = values - np.repeat(mean, _reach(spans, len(values)), axis=0)
    spread = np.sqrt(_means(centred**2, spans))
    return ChannelScaling(mean.tolist(), np.where(_counts(spread, mean), spread, 1.0).tolist())


def _counts(spread: Block, mean: Block) -> NDArray[np.bool_]:
    """Whether a spread is more than rounding."""
    return spread > 1e-12 * np.abs(mean)


def _reach(edges: NDArray[np.int64], rows: int) -> NDArray[np.int64]:
    """Rows from the start of each span to that of the next one; before the first one, they are the first one's."""
    return np.diff(np.concatenate([[0], edges[1:, 0], [rows]]))


def _means(values: Block, edges: NDArray[np.int64]) -> Block:
    """The mean over each span, by running sums of each series alone; NaN is passed over, and nothing's mean is 0."""
    finite = np.isfinite(values)
    cuts = edges.ravel()
    sums = np.add.reduceat(np.append(np.where(finite, values, 0.0), [[0.0] * values.shape[1]], axis=0), cuts)[::2]
    counts = np.add.reduceat(np.append(finite, [[False] * values.shape[1]], axis=0).astype(np.int64), cuts)[::2]
    empty = (edges[:, 0] == edges[:, 1])[:, None]
    return np.where(empty, 0.0, sums) / np.maximum(np.where(empty, 0, counts), 1)
