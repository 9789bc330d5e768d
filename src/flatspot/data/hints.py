"""What the training rows say about a setting that was left alone: a line each, where there is reason for one."""

from typing import Final

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor

from flatspot.data.answers import training_rows
from flatspot.data.counted import listed
from flatspot.data.frequency import parse_frequency
from flatspot.data.module import SeriesDataModule
from flatspot.data.prepare import Prepared
from flatspot.data.restore import Known
from flatspot.data.scaling import NOTHING, PER_SERIES

SMALL: Final = 1 / 2
"""A series that varies by less than this share of what all rows do is drowned by the others, scaled with them.

Of two shops with a weekly pattern the larger was twice as large: the smaller one varied by 0.41 of all, and a GRU erred
63 % more than where each was scaled by its own.
"""

FEW: Final = 1 / 10
"""The share of such series that is worth a line: one dead sensor among many is none."""

DAY: Final = 86_400_000_000
"""Microseconds."""

YEAR: Final = 12
"""Months."""

SEASONS: Final = {DAY: (7, "a week"), 7 * DAY: (52, "a year")}
"""Rows of a season, by the microseconds between them; of shorter steps it is a day, of months a year."""

LESS: Final = 0.9
"""How much nearer than the last value that of a season before is to the truth, for a line."""

LOOK: Final = 2**18
"""Rows that tell whether there is a season."""

STEPS: Final = 12
"""Steps ahead, evenly spread over the horizon, that tell it."""


def hints(data: SeriesDataModule, season: int | None) -> list[str]:
    """What might be set, and what for; nothing of labels.

    Args:
        season: as it is set.
    """
    if data.task != "forecast":
        return []
    told = [_level(data), None if season is not None else _season(data)]
    return [each for each in told if each is not None]


def _level(data: SeriesDataModule) -> str | None:
    """Series that are scaled together though some of them hardly vary, next to the others.

    They differ so many times in level, or in size: in the units that the network sees, and is judged by in training,
    what a small series does is next to nothing.
    """
    names, known = data.panel.series, data.known
    if known.scale_target in {PER_SERIES, NOTHING} or len(names) < 2:
        return None
    for place, target in enumerate(data.targets):
        whole, own = _spreads(data.prepared, place)
        small = np.flatnonzero((own > 0) & (own < SMALL * whole))
        if len(small) and len(small) >= FEW * len(names):
            which = f"{len(small):,} of {len(names):,} series ({listed([names[each] for each in small])})"
            return (
                f"{which} var{'ies' if len(small) == 1 else 'y'} in {target} by less than half of the std of all, "
                f"which scales them: {_keys(data.known)} scales each by its own"
            )
    return None


def _keys(known: Known) -> str:
    """What is to be typed."""
    inputs = [] if known.scale == PER_SERIES else [f"data.scale={PER_SERIES}"]
    return " ".join([*inputs, f"data.scale_target={PER_SERIES}"])


def _spreads(held: Prepared, place: int) -> tuple[float, NDArray[np.float64]]:
    """The std of a target over the training rows of all series, and of each, `[series]`; as it is scaled."""
    inside = training_rows(held.borders, held.panel.rows)
    values = held.targets[:, place].double().numpy()[inside]
    owners, count = held.panel.series_of_rows()[inside], len(held.panel.series)
    sizes = np.maximum(np.bincount(owners, minlength=count), 1)
    means = np.bincount(owners, values, count) / sizes
    return float(values.std()), np.sqrt(np.bincount(owners, (values - means[owners]) ** 2, count) / sizes)


def _season(data: SeriesDataModule) -> str | None:
    """A season that the frequency suggests and the training rows have."""
    rows, named = _rows_of_season(data.panel.frequency)
    if rows < 2:
        return None
    values, alike = _stretch(data.prepared)
    nearer = _nearer(values, alike, rows, data.horizon)
    if nearer is None or nearer > LESS:
        return None
    return (
        f"the rows have a season of {named}: data.season={rows} adds the forecast that repeats the last one, which "
        f"errs {1 - nearer:.0%} less than persistence on the training rows"
    )


def _rows_of_season(frequency: str | None) -> tuple[int, str]:
    """How many rows it has, and its name; none: below 2."""
    if frequency is None:
        return 0, ""
    step = parse_frequency(frequency)
    if step.months:
        return (YEAR // step.months if YEAR % step.months == 0 else 0), "a year"
    if step.microseconds < DAY:
        return (DAY // step.microseconds if DAY % step.microseconds == 0 else 0), "a day"
    return SEASONS.get(step.microseconds, (0, ""))


def _stretch(held: Prepared) -> tuple[Float[Tensor, " row"], NDArray[np.int64]]:
    """The first target of the first rows, as it is scaled, and the stretch that each is in; -1: no training row."""
    rows = min(held.panel.rows, LOOK)
    numbers = np.full(held.panel.rows, -1)
    for number, (start, end, owner) in enumerate(zip(held.starts, held.ends, held.owners, strict=True)):
        if start >= rows:
            break
        numbers[start : min(end, held.borders[owner, 1])] = number
    return held.targets[:rows, 0], numbers[:rows]


def _nearer(values: Float[Tensor, " row"], alike: NDArray[np.int64], season: int, horizon: int) -> float | None:
    """The error of the value a whole number of seasons before, by that of the last one known; None: too few rows."""
    errors = []
    for step in sorted({round(each) for each in np.linspace(1, horizon, min(horizon, STEPS))}):
        before = season * -(-step // season)
        if before >= len(values):
            return None
        there = torch.from_numpy((alike[before:] == alike[:-before]) & (alike[before:] >= 0))
        errors.append((_change(values, before, before, there), _change(values, step, before, there)))
    seasonal, last = (float(np.mean(each)) for each in zip(*errors, strict=True))
    return seasonal / last if last > 0 else None


def _change(values: Float[Tensor, " row"], lag: int, first: int, there: Bool[Tensor, " later"]) -> float:
    """The mean absolute change over a lag, of the rows from the first one on that are there."""
    changes = (values[first:] - values[first - lag : len(values) - lag])[there]
    return float(changes.abs().double().mean()) if len(changes) else 0.0
