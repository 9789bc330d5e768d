"""Rows while they are put in order: series after series, each in time order, each stamp once."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.counted import counted, listed
from flatspot.data.faults import Faults
from flatspot.data.mending import Mending, several
from flatspot.data.panel import Original
from flatspot.errors import BadInput

HOUR: Final = np.timedelta64(1, "h")

TIME: Final = "the time axis"
"""In place of a column, of faults."""

MANY: Final = 0.1
"""A share of rows with a stamp of another one, from which on they are hardly rows of one series."""

ANY_CLOCK: Final = "write the stamps in UTC, or with their offset"


@final
@dataclass
class Table:
    """One array of rows, series after series, while it is put in order."""

    source: str
    values: NDArray[np.float64]
    series: NDArray[np.int64]
    times: NDArray[Any] | None
    labels: NDArray[Any] | None
    row: NDArray[np.int64]  # in the file, for messages
    where: Callable[[int], str]  # how a message names one

    def taken(self, rows: NDArray[Any]) -> "Table":
        """The rows that an index picks."""
        times = None if self.times is None else self.times[rows]
        labels = None if self.labels is None else self.labels[rows]
        return Table(self.source, self.values[rows], self.series[rows], times, labels, self.row[rows], self.where)

    def lengths(self, count: int) -> NDArray[np.int64]:
        """Rows of each of so many series."""
        return np.bincount(self.series, minlength=count)


def place(table: Table, row: int, names: Sequence[str]) -> str:
    """Where a row stands, for a message."""
    series = f", series {names[table.series[row]]!r}" if len(names) > 1 else ""
    return f"{table.where(int(table.row[row]))}{series}"


def stamp_of(table: Table, row: int) -> str:
    """A row's stamp, for a message."""
    assert table.times is not None  # noqa: S101 - asked before
    return str(table.times[row]).removesuffix(".000000").replace("T", " ")


def in_time_order(table: Table, names: Sequence[str], mending: Mending, notes: list[str], faults: Faults) -> Table:
    """The rows of each series by their stamps.

    Unless `mending` sorts them, the first row that comes before the one before it is a fault; what else there is to
    find is looked for in the sorted rows. Not so where a clock explains it.
    """
    assert table.times is not None  # noqa: S101 - asked before
    back = np.flatnonzero((np.diff(table.times).astype(np.int64) < 0) & (np.diff(table.series) == 0))
    if not len(back):
        return table
    if mending.unsorted == "error":
        row = int(back[0]) + 1
        clock = _clock_back(table, row)
        told = (
            f"{place(table, row, names)}: {stamp_of(table, row)} comes before the row before it "
            f"({counted(len(back), 'such row')}){clock}; data.unsorted=sort puts them in order"
        )
        faults.add((TIME, "unsorted"), int(table.row[row]), told, hint=several(names, mending))
        if clock:
            faults.refuse()
    order = np.lexsort((table.times, table.series))
    moved = int((order != np.arange(len(order))).sum())
    notes.append(f"{counted(moved, 'row', of=len(order))} put in time order (data.unsorted=sort)")
    return table.taken(order)


def distinct(table: Table, names: Sequence[str], mending: Mending, notes: list[str], faults: Faults) -> Table:
    """One row for each stamp of a series, of rows in time order; a value that is there stands in for a missing one.

    Unless `mending` keeps one, the first stamp that comes twice is a fault. Nothing else is then looked for where a
    clock explains it, or where there are so many that the file may hold several series.
    """
    assert table.times is not None  # noqa: S101 - asked before
    again: NDArray[np.bool_] = np.append(
        [False], (np.diff(table.times).astype(np.int64) == 0) & (np.diff(table.series) == 0)
    )
    if not again.any():
        return table
    how = mending.duplicates
    if how == "error":
        _find_twice(table, again, names, mending, faults)
        return table.taken(np.flatnonzero(~again))
    if how == "mean":
        _refuse_two_labels(table, again, names)
    left_out = counted(int(again.sum()), "row")
    notes.append(f"{left_out} with a stamp of another row left out (data.duplicates={how})")
    firsts = np.flatnonzero(~again)
    labels = (
        None if table.labels is None else _one_of_each(table.labels[:, None], table.labels != "", firsts, how)[:, 0]
    )
    kept = table.taken(np.append(firsts[1:], len(again)) - 1 if how == "last" else firsts)
    values = _one_of_each(table.values, np.isfinite(table.values), firsts, how)
    taken = int((np.isnan(kept.values) & np.isfinite(values)).sum())
    if taken:
        notes.append(f"{counted(taken, 'missing value')} taken from another row with the same stamp")
    return replace(kept, values=values, labels=labels)


def _find_twice(table: Table, again: NDArray[np.bool_], names: Sequence[str], mending: Mending, faults: Faults) -> None:
    row, clock = int(again.argmax()), _clock_back(table, int(again.argmax()))
    told = (
        f"{place(table, row, names)}: {stamp_of(table, row)} comes twice ({counted(int(again.sum()), 'such row')})"
        f"{clock}; data.duplicates=first, last or mean keeps one"
    )
    faults.add((TIME, "twice"), int(table.row[row]), told, hint=several(names, mending))
    if clock or again.mean() > MANY:
        faults.refuse()


def _one_of_each(values: NDArray[Any], there: NDArray[np.bool_], firsts: NDArray[np.int64], how: str) -> NDArray[Any]:
    """Of the rows from each first one on, one: column by column the first or last value that is there, or the mean.

    Args:
        values: `[row, column]`. there: which are no missing ones.
    """
    there = there.reshape(values.shape)
    if how == "mean" and values.dtype.kind == "f":
        sums = np.add.reduceat(np.where(there, values, 0.0), firsts, axis=0)
        counts = np.add.reduceat(there.astype(np.int64), firsts, axis=0)
        means: NDArray[Any] = np.divide(sums, counts, out=np.full(sums.shape, np.nan), where=counts > 0)
        return means
    rows, columns = np.arange(len(values))[:, None], np.arange(values.shape[1])
    if how == "last":
        chosen = np.maximum.reduceat(np.where(there, rows, -1), firsts, axis=0)
    else:
        chosen = np.minimum.reduceat(np.where(there, rows, len(values)), firsts, axis=0)
    picked: NDArray[Any] = values[np.where((chosen < 0) | (chosen == len(values)), firsts[:, None], chosen), columns]
    return picked


def _refuse_two_labels(table: Table, again: NDArray[np.bool_], names: Sequence[str]) -> None:
    """Labels have no mean."""
    if table.labels is None:
        return
    known = np.flatnonzero(table.labels != "")
    labels, stamps = table.labels[known], (~again).cumsum()[known]
    other = np.flatnonzero((stamps[1:] == stamps[:-1]) & (labels[1:] != labels[:-1])) + 1
    if len(other):
        row = int(known[other[0]])
        one, two = str(labels[other[0] - 1]), str(labels[other[0]])
        raise BadInput(
            f"{table.source}: {place(table, row, names)}: {stamp_of(table, row)} comes twice, with the labels {one!r} "
            f"and {two!r}, which have no mean; data.duplicates=first or last keeps one"
        )


def whole_rows(
    table: Table, names: tuple[str, ...], channels: Sequence[str], mending: Mending, notes: list[str]
) -> tuple[Table, tuple[str, ...], NDArray[np.int64], Original]:
    """Without the rows that miss a value, nor the series that are left without a row.

    Returns:
        the table, the names of its series, how many rows were left out just before each, and the rows as they were.
    """
    there = np.isfinite(table.values)
    whole: NDArray[np.bool_] = np.asarray(there.all(axis=1))
    if not whole.any():
        _refuse_all_missing(table, there, channels, mending)
    if not whole.all():
        left_out = counted(int((~whole).sum()), "row", of=len(whole))
        notes.append(f"{left_out} with a missing value left out (data.missing=drop)")
    lengths = table.lengths(len(names))
    held = np.bincount(table.series[whole], minlength=len(names)) > 0
    if not held.all():
        notes.append(_told_without_rows(names, held))
    mine = held[table.series]
    original = Original(lengths[held], None if table.times is None else table.times[mine], whole[mine])
    left = table.taken(whole)
    left = replace(left, series=(held.cumsum() - 1)[left.series])
    before = np.diff(np.flatnonzero(whole), prepend=-1) - 1
    return left, tuple(name for name, stays in zip(names, held, strict=True) if stays), before, original


def _refuse_all_missing(table: Table, there: NDArray[np.bool_], channels: Sequence[str], mending: Mending) -> None:
    """Refuse rows that all miss a value: of one column, if there is one that has none."""
    another = "" if mending.trained else "; name another"
    for place, name in enumerate(channels):
        if not there[:, place].any():
            raise BadInput(f"{table.source}: column {name!r} has no value in any row{another}")
    missing = ", ".join(repr(name) for place, name in enumerate(channels) if not there[:, place].all())
    raise BadInput(
        f"{table.source}: every row misses a value (columns {missing}); data.missing=drop leaves none, interpolate "
        f"fills them"
    )


def _told_without_rows(names: Sequence[str], held: NDArray[np.bool_]) -> str:
    lost = [name for name, stays in zip(names, held, strict=True) if not stays]
    return f"{len(lost):,} of {len(names):,} series without a whole row left out: {listed(lost)}"


def _clock_back(table: Table, row: int) -> str:
    """Whether it looks like a clock put back for winter: an hour that comes twice on a Sunday night."""
    assert table.times is not None  # noqa: S101 - asked before
    before, after = table.times[row - 1], table.times[row]
    hourly = bool((after - after.astype("datetime64[D]")).astype(np.int64))
    if hourly and before - after < HOUR and is_sunday_night(after):
        return f", as by a clock put back for winter: {ANY_CLOCK}"
    return ""


def is_sunday_night(moment: np.datetime64) -> bool:
    """Whether clocks are put forward or back at such a time."""
    day = moment.astype("datetime64[D]")
    return bool((day.astype(np.int64) + 4) % 7 == 0 and moment - day <= 4 * HOUR)
