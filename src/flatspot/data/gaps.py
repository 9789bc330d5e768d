"""The step between rows, and the rows that are absent: told, refused, or put in to be filled."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flatspot.data.counted import counted
from flatspot.data.faults import Faults
from flatspot.data.frequency import (
    NO_FREQUENCY,
    OFF_GRID,
    Step,
    infer_frequency,
    meant_days,
    parse_frequency,
    within_series,
)
from flatspot.data.mending import Mending
from flatspot.data.ordered import ANY_CLOCK, HOUR, TIME, Table, is_sunday_night, place, stamp_of
from flatspot.errors import BadInput

MOST_ABSENT: Final = 50_000_000
"""Rows that are put in for absent ones at most: a stamp of the year 9999 must not fill the memory."""


def step_of(
    table: Table,
    names: Sequence[str],
    asked: Step | Literal["none"] | None,
    mending: Mending,
    notes: list[str],
    faults: Faults,
) -> Step | None:
    """The step asked for or inferred; None: rows in order.

    Raises:
        BadInput: for stamps that are not equally spaced, or not as those of the run; with the faults found before.
    """
    if table.times is None:
        return None
    if asked == NO_FREQUENCY:
        notes.append("windows by row order, whatever time lies between the rows (data.frequency=none)")
        return None
    if isinstance(asked, Step):
        return asked
    found = infer_frequency(table.times, table.lengths(len(names))).step
    if mending.inferred is not None:
        expected = parse_frequency(mending.inferred)
        lengths = table.lengths(len(names))
        fits = (expected.between(table.times, lengths)[within_series(lengths)] == 1).all()
        if found is not None and found != expected and not fits:
            raise BadInput(f"{table.source}: its rows are {found.name} apart, and those of the run {expected.name}")
        return expected
    inside = within_series(table.lengths(len(names)))
    if found is None and inside.any():
        apart = np.diff(table.times).astype(np.int64)[inside]
        shortest, usual, longest = _spans([int(each) for each in (apart.min(), np.median(apart), apart.max())])
        told = (
            f"the time stamps are not equally spaced: {shortest} to {longest} apart, mostly about "
            f"{usual}{mending.or_by_order}"
        )
        faults.add((TIME, "spacing"), len(table.row), told)
        faults.refuse()
    return found


def gaps_of(table: Table, step: Step | None, count: int, dropped: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are absent between each row and the next of its series, `[row - 1]`; OFF_GRID: no whole number."""
    inside = within_series(table.lengths(count))
    if step is None or table.times is None:
        return np.where(inside, dropped[1:], 0)
    steps = step.between(table.times, table.lengths(count))
    return np.where(inside, np.where(steps > 0, steps - 1, OFF_GRID), 0)


def tell_absent(table: Table, step: Step | None, count: int, mending: Mending, notes: list[str]) -> None:
    """What is absent between rows of a step, beside what will be left out."""
    gaps = gaps_of(table, step, count, np.zeros(len(table.values), np.int64))
    absent = int(gaps.sum(where=gaps > 0))
    if step is not None and absent:
        most = counted(mending.max_gap, "row")
        notes.append(
            f"{counted(absent, 'absent row')} of {step.name}: windows go on across at most {most} (data.max_gap)"
        )


def find_gaps(
    table: Table, step: Step | None, gaps: NDArray[np.int64], names: Sequence[str], mending: Mending, faults: Faults
) -> None:
    """Find stamps off the grid, and absent rows that are not to be mended: the first of each is a fault.

    Raises:
        BadInput: for a frequency that is not that of the rows.
    """
    if step is None:
        return
    wrong = np.flatnonzero(gaps == OFF_GRID)
    absent = np.flatnonzero(gaps > 0) if mending.missing == "error" else wrong[:0]
    if (len(wrong) or len(absent)) and not faults:
        _refuse_other_step(table, step, names, mending)
    if len(wrong):
        row = int(wrong[0]) + 1
        told = "" if mending.trained else f" (data.frequency={mending.frequency or step.name})"
        told = (
            f"{place(table, row, names)}: {stamp_of(table, row)} is no whole number of steps of {step.name} after the "
            f"row before{told}{mending.or_by_order}"
        )
        faults.add((TIME, "off the grid"), int(table.row[row]), told)
    if len(absent):
        row = int(absent[0]) + 1
        told = (
            f"{place(table, row, names)}: {counted(int(gaps[absent[0]]), 'absent row')} of {step.name} before "
            f"{stamp_of(table, row)} ({counted(len(absent), 'such gap')}){_clock_forward(table, row, step)}; "
            f"data.missing=interpolate or forward_fill puts them in, drop goes on across them{mending.or_by_order}"
        )
        faults.add((TIME, "absent"), int(table.row[row]), told)


def _refuse_other_step(table: Table, step: Step, names: Sequence[str], mending: Mending) -> None:
    """The rows may be equally spaced, only not as was said."""
    if mending.frequency is None or table.times is None:
        return
    found = infer_frequency(table.times, table.lengths(len(names))).name
    if found not in {None, step.name}:
        raise BadInput(f"data.frequency={mending.frequency}: the rows of {table.source} are {found} apart")


def _clock_forward(table: Table, row: int, step: Step) -> str:
    """Whether it looks like a clock put forward for summer: an hour that is absent on a Sunday night."""
    assert table.times is not None  # noqa: S101 - gaps are between stamps
    before, after = table.times[row - 1], table.times[row]
    if after - before - np.timedelta64(step.microseconds, "us") == HOUR and is_sunday_night(after):
        return f", as by a clock put forward for summer: {ANY_CLOCK}"
    return ""


def with_absent_rows(
    table: Table, step: Step, gaps: NDArray[np.int64], most: int, notes: list[str]
) -> tuple[Table, NDArray[np.int64]]:
    """Put in rows of missing values where gaps are short enough to be filled.

    Returns:
        the longer table, and the gaps that are left in it.

    Raises:
        BadInput: for more than a memory holds.
    """
    short = np.where((gaps > 0) & (gaps <= most), gaps, 0)
    added = int(short.sum())
    if not added:
        return table, gaps
    if added > MOST_ABSENT:
        row = int(short.argmax()) + 1
        raise BadInput(
            f"{table.source}: {added:,} absent rows of {step.name} are too many to put in, most of them before "
            f"{table.where(int(table.row[row]))} ({stamp_of(table, row)}); lower data.max_gap"
        )
    notes.append(f"{counted(added, 'absent row')} of {step.name} put in, to be filled")
    copies = np.append(short, 0) + 1
    longer = table.taken(np.repeat(np.arange(len(copies)), copies))
    ends = copies.cumsum()
    within = np.arange(ends[-1]) - np.repeat(ends - copies, copies)
    assert longer.times is not None  # noqa: S101 - there is a step
    meant = meant_days(longer.times, np.unique(longer.series, return_counts=True)[1]) if step.months else None
    times = step.after(longer.times, within, meant=meant)
    values = np.where((within > 0)[:, None], np.nan, longer.values)
    wide = np.zeros(len(values) - 1, np.int64)
    wide[ends[:-1] - 1] = np.where(short > 0, 0, gaps)
    labels = None if longer.labels is None else np.where(within > 0, "", longer.labels)
    return replace(longer, times=times, values=values, labels=labels), wide


def _spans(microseconds: Sequence[int]) -> list[str]:
    """Times as a person says them, with as many digits as tell them apart.

    >>> _spans([1_800_000_000, 90_061_000_000]), _spans([3_599_000_000, 3_600_000_000])
    (['30 min', '25 h'], ['59.98 min', '60 min'])
    """
    different = len(set(microseconds))
    shown = ([_span(each, digits) for each in microseconds] for digits in range(3, 18))
    return next((texts for texts in shown if len(set(texts)) == different), [f"{each:,} us" for each in microseconds])


def _span(microseconds: int, digits: int) -> str:
    for unit, size in {"days": 86_400, "h": 3600, "min": 60, "s": 1}.items():
        count = microseconds / (size * 1e6)
        if count >= 2:
            return f"{count:.{digits}g} {unit}"
    return f"{microseconds / 1e6:.{digits}g} s"
