"""The step between two rows: inferred, checked, and taken on into the future."""

import re
from dataclasses import dataclass
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from flatspot.errors import BadInput

MICROSECONDS: Final = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
MONTHS: Final = {"mo": 1, "q": 3, "y": 12}

LONGEST_MONTHS: Final = 12_000

LONGEST: Final = 365_000 * MICROSECONDS["d"]
"""A thousand years from row to row: no one meant that."""

SHORTEST_MONTH: Final = 28 * MICROSECONDS["d"]

DAY: Final = np.timedelta64(1, "D")

LAST_DAY: Final = 30
"""Of the longest months, from 0."""

NO_FREQUENCY: Final = "none"
"""`data.frequency=none`: windows by row order, whatever time lies between the rows."""

OFF_GRID: Final = -1
"""In place of a number of steps: not a whole number of them."""


@final
@dataclass(frozen=True)
class Step:
    """The time from one row to the next: so many microseconds, or so many months.

    >>> Step(months=12).name, Step(microseconds=1_800_000_000).name
    ('1y', '30m')
    """

    microseconds: int = 0
    months: int = 0

    @property
    def name(self) -> str:
        """As polars writes durations."""
        units, size = (MONTHS, self.months) if self.months else (MICROSECONDS, self.microseconds)
        unit = max((unit for unit in units if size % units[unit] == 0), key=lambda unit: units[unit])
        return f"{size // units[unit]}{unit}"

    def after(
        self, times: NDArray[Any], steps: NDArray[np.int64] | int, *, meant: NDArray[np.int64] | None = None
    ) -> NDArray[Any]:
        """The stamps so many steps after others; a month's last day stays a last day.

        Of a day that a month has not, its last day is taken.

        Args:
            meant: the day of the month that each is meant to be on, from `meant_days`; None: as these alone tell.
        """
        if not self.months:
            moved: NDArray[Any] = times + np.asarray(steps) * np.timedelta64(self.microseconds, "us")
            return moved
        months, within = _in_months(times, meant_days(times) if meant is None else meant)
        later = months + np.asarray(steps) * self.months
        stamps: NDArray[Any] = later.astype("datetime64[us]") + np.minimum(within // DAY, _last_day(later)) * DAY
        return stamps + within % DAY

    def between(self, times: NDArray[Any], lengths: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """The steps from each stamp to the next, `[row - 1]`; OFF_GRID where they are no whole number.

        Args:
            lengths: rows of each series; None: they are of one.
        """
        if not self.months:
            apart = np.diff(times).astype(np.int64)
            return np.where(apart % self.microseconds == 0, apart // self.microseconds, OFF_GRID)
        months, within = _in_months(times, meant_days(times, lengths))
        apart = np.diff(_numbers(months))
        fits = (apart % self.months == 0) & (np.diff(within).astype(np.int64) == 0)
        return np.where(fits, apart // self.months, OFF_GRID)


@final
@dataclass(frozen=True)
class Inferred:
    """What the stamps say of their step: None where they are not equally spaced."""

    step: Step | None

    @property
    def name(self) -> str | None:
        """As polars writes durations."""
        return self.step.name if self.step else None


def parse_frequency(text: str) -> Step:
    """The step that `data.frequency=` names: `1h`, `30m`, `15min`, `1d`, `1w`, `1mo`, `1q`, `1y`.

    Raises:
        BadInput: naming the value.

    >>> parse_frequency("15min")
    Step(microseconds=900000000, months=0)
    """
    found = re.fullmatch(r"(\d{0,9})(us|ms|s|min|(?-i:m)|h|d|w|mo|q|y)", text.strip(), re.IGNORECASE)
    count = int(found[1] or 1) if found else 0
    unit = found[2].lower().removesuffix("in") if found else ""
    step = Step(months=count * MONTHS[unit]) if unit in MONTHS else Step(count * MICROSECONDS.get(unit, 0))
    if not count or step.microseconds > LONGEST or step.months > LONGEST_MONTHS:
        raise BadInput(
            f"data.frequency={text}: write a number and a unit, as in 15m, 1h, 1d, 1w, 1mo, 1q, 1y (m is minutes, mo "
            f"months), or {NO_FREQUENCY} for windows by row order"
        )
    return step


def infer_frequency(times: NDArray[Any], lengths: NDArray[np.int64]) -> Inferred:
    """The step that most neighbours keep, if the others are whole multiples of it: then rows are absent between.

    Args:
        times: rising within each series, `datetime64[us]` `[row]`.
        lengths: rows of each series.
    """
    inside = within_series(lengths)
    apart = np.diff(times).astype(np.int64)[inside]
    if not len(apart):
        return Inferred(None)
    months = _monthly(times, lengths, inside) if apart[0] >= SHORTEST_MONTH else None
    if months is not None:
        return Inferred(months)
    if (apart == apart[0]).all():
        return Inferred(Step(microseconds=int(apart[0])))
    usual = _usual(apart)
    return Inferred(Step(microseconds=usual) if usual and not (apart % usual).any() else None)


def within_series(lengths: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which neighbouring rows are of one series, `[row - 1]`."""
    inside = np.ones(max(int(lengths.sum()) - 1, 0), bool)
    lasts = lengths.cumsum()[:-1] - 1
    inside[lasts[(lasts >= 0) & (lasts < len(inside))]] = False  # a series may have been left without rows
    return inside


def _monthly(times: NDArray[Any], lengths: NDArray[np.int64], inside: NDArray[np.bool_]) -> Step | None:
    """Whole months apart: in each series the same day of the month, or its last one, at the same hour."""
    months, within = _in_months(times, meant_days(times, lengths))
    if (np.diff(_numbers(within))[inside] != 0).any():
        return None
    apart = np.diff(_numbers(months))[inside]
    usual = _usual(apart)
    return Step(months=usual) if usual and not (apart % usual).any() else None


def _numbers(moments: NDArray[Any]) -> NDArray[np.int64]:
    """Moments, or spans, as whole numbers of their unit."""
    return moments.astype(np.int64)


def _usual(apart: NDArray[np.int64]) -> int | None:
    """The commonest distance, if at least half of all have it."""
    sizes, counts = np.unique(apart, return_counts=True)
    most = counts.argmax()
    return int(sizes[most]) if sizes[most] > 0 and counts[most] * 2 >= len(apart) else None


def meant_days(times: NDArray[Any], lengths: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
    """The day of the month that each stamp is meant to be on, from 0: the latest of its series.

    Where all of a series are last days, it is the last day of any month.

    Args:
        times: `[row]`, or of any shape if they are of one series. lengths: rows of each series; None: of one.

    >>> meant_days(np.array(["2024-01-30", "2024-02-29"], "datetime64[us]")).tolist()
    [29, 29]
    """
    months, within = _split(times)
    days = within // DAY
    if not days.size:
        return days
    last = days == _last_day(months)
    if lengths is None:
        return np.full(days.shape, LAST_DAY if last.all() else days.max())
    held = lengths[lengths > 0]
    firsts = held.cumsum() - held
    meant = np.where(np.logical_and.reduceat(last, firsts), LAST_DAY, np.maximum.reduceat(days, firsts))
    return np.repeat(meant, held)


def _in_months(times: NDArray[Any], meant: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The month of each stamp, and the time since it began, on the day that is meant where the month has it not."""
    months, within = _split(times)
    last = _last_day(months)
    cut = (within // DAY == last) & (last < meant)
    return months, np.where(cut, meant * DAY + within % DAY, within)


def _split(times: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The month of each stamp, and the time since that month began."""
    months = times.astype("datetime64[M]")
    return months, times - months.astype("datetime64[us]")


def _last_day(months: NDArray[Any]) -> NDArray[np.int64]:
    """The last day of each month, from 0."""
    return _numbers((months + 1).astype("datetime64[D]") - months.astype("datetime64[D]")) - 1
