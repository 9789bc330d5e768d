"""Time stamps as text: as they stand in the file whose rows they follow."""

from collections.abc import Mapping
from typing import Final

import polars as pl

from flatspot.data.stamps import EPOCHS, QUARTERS, WEEKS, YEARS, Form, parsed

DAY: Final = "%Y-%m-%d"

CLOCK: Final = "%Y-%m-%d %H:%M:%S"

PATTERNS: Final[Mapping[Form, str]] = {
    "YYYYMM": "%Y%m",
    "YYYYMMDD": "%Y%m%d",
    "YYYYMMDDHH": "%Y%m%d%H",
    "YYYYMMDDHHMM": "%Y%m%d%H%M",
    "YYYYMMDDHHMMSS": "%Y%m%d%H%M%S",
    YEARS: "%Y",
    WEEKS: "%G-W%V",
    "%B %Y": "%Y-%m",
    "%B-%Y": "%Y-%m",
}
"""Of forms that are no pattern by themselves, and of months by name, which may be written in many ways."""


def as_written(stamps: pl.Series, form: Form | None) -> pl.Series:
    """Stamps as text in a form that can be read again, and means the same.

    Where they have none, or more digits than it holds: a date, with a clock where one is needed.

    Args:
        stamps: dates, or moments in UTC. form: of the file; None: it has types, or its dates stand in several columns.
    """
    moments = stamps.cast(pl.Datetime("us"))
    if form is not None:
        text = _in_form(moments, form)
        if text is not None and parsed(text, _read_as(form)).equals(moments):
            return text
    return moments.dt.to_string(_precise(moments))


def whole_days(stamps: pl.Series) -> bool:
    """Whether none of them has a clock."""
    return bool((stamps.cast(pl.Datetime("us")) == stamps.dt.truncate("1d")).all())


def _in_form(moments: pl.Series, form: Form) -> pl.Series | None:
    if form in EPOCHS:
        return _since_1970(moments, EPOCHS[form])
    if form == QUARTERS:
        return pl.select(pl.format("{}Q{}", moments.dt.year(), moments.dt.quarter())).to_series().alias(moments.name)
    pattern = PATTERNS.get(form, form)
    if "%B" in pattern:
        return None
    return moments.dt.to_string(pattern.replace("%#z", "+00:00"))


def _read_as(form: Form) -> Form:
    pattern = PATTERNS.get(form, "")
    return "%Y-%m" if pattern == "%Y-%m" else form


def _since_1970(moments: pl.Series, unit: float) -> pl.Series:
    """Whole numbers: what is lost of a moment between them is found when they are read again."""
    numbers = moments.to_physical()
    whole = numbers // int(unit) if unit >= 1 else numbers * int(1 / unit)
    return whole.cast(pl.String)


def _precise(moments: pl.Series) -> str:
    """The shortest pattern that loses nothing."""
    if whole_days(moments):
        return DAY
    return CLOCK if bool((moments == moments.dt.truncate("1s")).all()) else f"{CLOCK}%.6f"
