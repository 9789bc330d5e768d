"""The rows of one series or of many: what every reader and generator gives, and what is split, scaled and cut."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.frequency import infer_frequency

STRETCH: Final = 2**18
"""Rows that are turned into float64 at a time."""

LabelPer = Literal["series", "window"]


@final
@dataclass(frozen=True)
class Series:
    """One series, in original units, in time order: the plain form, for data sets that are made.

    Args:
        name: where it came from, for messages and figures.
        columns: the names of the channels; the targets are the first `num_targets` of them.
        num_targets: how many channels are predicted.
        values: float64 `[time, channel]`, all finite.
        times: `datetime64[us]` `[time]`, equally spaced, or None if the rows have no time stamps.
    """

    name: str
    columns: tuple[str, ...]
    num_targets: int
    values: NDArray[np.float64]
    times: NDArray[Any] | None = None

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the channels that are predicted."""
        return self.columns[: self.num_targets]


@final
@dataclass(frozen=True)
class Labels:
    """What a classifier or regressor is to say.

    Args:
        column: its name.
        per: `series` (one label for each series) or `window` (one for each row; a window has its last row's).
        values: as they were written, `[series]` or `[row]`; empty text where there is none.
        rows: of the file, for messages; None: unknown. where: how a message names one.
    """

    column: str
    per: LabelPer
    values: NDArray[Any]
    rows: NDArray[np.int64] | None = None
    where: Callable[[int], str] = "row {}".format

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them there are."""
        return np.asarray(self.values != "")


@final
@dataclass(frozen=True)
class Filling:
    """How missing values are filled: along the line between their neighbours, or with the last value before them.

    Args:
        interpolate: along the line. most: missing rows in a row that are filled; of more, none is.
    """

    interpolate: bool
    most: int


@final
@dataclass(frozen=True)
class Keys:
    """The columns that say when a row was, in what form (or type: whether that is a date), and of what series it is."""

    time: tuple[str, ...] = ()
    group: str | None = None
    form: str | None = None
    days: bool = False

    @property
    def typed(self) -> bool:
        """Whether its stamps are moments by their type."""
        return len(self.time) == 1 and self.form is None and not self.days


@final
@dataclass(frozen=True)
class Original:
    """The rows as they were before some were left out: splits are made of them, whatever is missing in which.

    Args:
        lengths: rows of each series. times: `[row]`, or None. kept: which rows are left, `[row]`.
    """

    lengths: NDArray[np.int64]
    times: NDArray[Any] | None
    kept: NDArray[np.bool_]


@final
@dataclass(frozen=True)
class Panel:
    """Rows of one or many series, one series after another, each in time order, in original units.

    Args:
        name: where they came from, for messages and figures.
        columns: the names of the channels; the targets are the first `num_targets` of them.
        num_targets: how many channels are predicted; 0 where labels are.
        blocks: the rows less `base`, in stretches `[row, channel]`, all finite (but see `filling`): float64, or
            float32 in a long file.
        base: what was taken from every row of a channel, so that float32 keeps its digits; float64 `[channel]`.
        lengths: rows of each series, in order. series: their names.
        times: `datetime64[us]` `[row]`, or what gives them by index; None if the rows have no time stamps.
        frequency: the step between two rows, as polars writes it (`1h`, `30m`, `1d`, `1mo`); None: rows in order.
        breaks: rows before which too much is missing: no window spans one. Sorted.
        filling: how missing values (NaN) are to be filled, once the splits are known; None: there are none.
        labels: what each series or row is; None for forecasting.
        keys: the columns that were read for the time stamps, and that of the series' names; none where there are none.
        original: the rows before those that miss a value were left out; None: none may be.
        notes: what was done to the rows, a sentence each.
    """

    name: str
    columns: tuple[str, ...]
    num_targets: int
    blocks: list[NDArray[Any]]
    lengths: NDArray[np.int64]
    series: tuple[str, ...]
    base: NDArray[np.float64] | None = None
    times: Any = None  # an array, or what gives its elements by index
    frequency: str | None = None
    breaks: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    filling: Filling | None = None
    labels: Labels | None = None
    keys: Keys = field(default_factory=Keys)
    original: Original | None = None
    notes: tuple[str, ...] = ()

    @property
    def targets(self) -> tuple[str, ...]:
        """The names of the channels that are predicted."""
        return self.columns[: self.num_targets]

    @property
    def rows(self) -> int:
        """Rows of all series together."""
        return int(self.lengths.sum())

    @property
    def firsts(self) -> NDArray[np.int64]:
        """The first row of each series."""
        return np.concatenate([[0], self.lengths.cumsum()[:-1]]).astype(np.int64)

    @property
    def values(self) -> NDArray[np.float64]:
        """All rows in original units, float64 `[row, channel]`. A copy, where there are several blocks."""
        return self.blocks[0] if len(self.blocks) == 1 and self.base is None else np.concatenate([*self.stretches()])

    def stretches(self) -> Iterator[NDArray[np.float64]]:
        """The rows in original units, float64, a stretch at a time."""
        for block in self.blocks:
            for start in range(0, len(block), STRETCH):
                rows = block[start : start + STRETCH]
                yield rows if self.base is None else rows + self.base

    def series_of_rows(self) -> NDArray[np.int64]:
        """The number of each row's series, `[row]`."""
        return np.repeat(np.arange(len(self.lengths)), self.lengths)


def panel_of(series: Series | Panel) -> Panel:
    """A series as a panel of one; a panel as it is."""
    if isinstance(series, Panel):
        return series
    lengths = np.array([len(series.values)])
    frequency = None if series.times is None else infer_frequency(series.times, lengths).name
    return Panel(
        series.name,
        series.columns,
        series.num_targets,
        [series.values],
        lengths,
        (series.name,),
        times=series.times,
        frequency=frequency,
    )
