"""What naive forecasts rest on: each series' training mean, and how much it changes from row to row."""

from typing import NamedTuple, final

import numpy as np
import torch
from numpy.typing import NDArray

from flatspot.data.prepare import Prepared


@final
class Naive(NamedTuple):
    """Of each series and target, over given rows, in original units: `[series, target]`.

    Args:
        means: the mean. changes: the mean absolute change from a row to the next; NaN where there is none.
    """

    means: NDArray[np.float64]
    changes: NDArray[np.float64]


def naive_of(prepared: Prepared, spans: NDArray[np.int64]) -> Naive:
    """The mean and the mean change over the rows `[start, stop)` of each series."""
    if len(spans) == len(prepared.starts) == 1 and prepared.starts[0] <= spans[0, 0]:
        return _naive_of_one(prepared, *map(int, spans[0]))
    rows = len(prepared.targets)
    marks = np.zeros(rows + 1, np.int8)
    marks[prepared.starts] += 1
    marks[prepared.ends] -= 1
    whole = marks[:-1].cumsum(dtype=np.int8) > 0
    values = prepared.targets.numpy().astype(np.float64)
    apart = np.abs(np.diff(values, axis=0, append=0.0))
    joined = whole & np.append(whole[1:], False)
    joined[prepared.ends - 1] = False
    means = _mean_over(values, whole, spans)
    changes = _mean_over(apart, joined, np.stack([spans[:, 0], np.maximum(spans[:, 1] - 1, spans[:, 0])], axis=1))
    mean, scale = prepared.scalings.targets.table
    return Naive(means * scale + mean, changes * scale)


def _naive_of_one(prepared: Prepared, start: int, stop: int) -> Naive:
    """The same of one series without a gap: nothing is copied but a column."""
    rows = prepared.targets[start:stop]
    mean, scale = prepared.scalings.targets.table
    means = rows.mean(dim=0, dtype=torch.float64).numpy() if len(rows) else np.full(rows.shape[1], np.nan)
    apart = rows.diff(dim=0).abs_()
    changes = apart.mean(dim=0, dtype=torch.float64).numpy() if len(apart) else np.full(rows.shape[1], np.nan)
    return Naive(means * scale + mean, changes * scale)


def _mean_over(values: NDArray[np.float64], chosen: NDArray[np.bool_], spans: NDArray[np.int64]) -> NDArray[np.float64]:
    """The mean of the chosen rows within each span; NaN where there are none."""
    cuts = spans.ravel()
    padded = np.append(np.where(chosen[:, None], values, 0.0), np.zeros((1, values.shape[1])), axis=0)
    sums = np.add.reduceat(padded, cuts)[::2]
    counts = np.add.reduceat(np.append(chosen, False).astype(np.int64), cuts)[::2]
    counts = np.where(spans[:, 0] == spans[:, 1], 0, counts)
    return np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], np.nan)
