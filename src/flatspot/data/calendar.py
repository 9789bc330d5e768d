"""What the calendar says of a moment, known in advance: sines and cosines, so that a day's end meets its beginning."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flatspot.registry import Registry

Phase = Callable[[NDArray[Any]], NDArray[np.float64]]


def _since(times: NDArray[Any], unit: str) -> NDArray[np.float64]:
    """Hours since the unit began."""
    since: NDArray[np.float64] = (times - times.astype(f"datetime64[{unit}]")).astype("timedelta64[us]").astype(float)
    return since / 3.6e9


def _of_year(times: NDArray[Any]) -> NDArray[np.float64]:
    years = times.astype("datetime64[Y]")
    days: NDArray[np.float64] = ((years + 1).astype("datetime64[D]") - years.astype("datetime64[D]")).astype(float)
    return _since(times, "Y") / (24 * days)


CALENDAR: Final[Registry[Phase]] = Registry(
    "calendar feature",
    {
        "minute": lambda times: _since(times, "h"),
        "hour": lambda times: _since(times, "D") / 24,
        "weekday": lambda times: (((times.astype("datetime64[D]").astype(np.int64) + 3) % 7) / 7).astype(np.float64),
        "day": lambda times: (times.astype("datetime64[D]") - times.astype("datetime64[M]")).astype(np.float64) / 31,
        "month": lambda times: (times.astype("datetime64[M]").astype(np.int64) % 12) / 12,
        "year": _of_year,
    },
)
"""How far a stamp is through its hour, day, week (from Monday), month, year by months, or year by days: 0 to 1."""


def calendar_columns(names: Sequence[str]) -> list[str]:
    """The channels that the features make: `hour` makes `hour (sine)` and `hour (cosine)`.

    >>> calendar_columns(["hour"])
    ['hour (sine)', 'hour (cosine)']
    """
    return [f"{name} ({wave})" for name in names for wave in ("sine", "cosine")]


def calendar_values(names: Sequence[str], times: NDArray[Any]) -> NDArray[np.float64]:
    """Those channels at these stamps, `[row, channel]`, between -1 and 1.

    Raises:
        UnknownName: for a feature that the calendar does not have.
    """
    turns = [2 * math.pi * CALENDAR[name](times) for name in names]
    waves = [wave for turn in turns for wave in (np.sin(turn), np.cos(turn))]
    return np.stack(waves, axis=1) if waves else np.zeros((len(times), 0))
