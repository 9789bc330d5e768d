"""From the rows of a table to a panel: series together, in time order, at one frequency.

What is odd is refused, or mended where the user says so, and told either way.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, final, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.counted import counted, listed, refuse_huge
from flatspot.data.frequency import NO_FREQUENCY, OFF_GRID, Step, infer_frequency, parse_frequency, within_series
from flatspot.data.panel import Filling, LabelPer, Labels, Original, Panel
from flatspot.data.read import Regular, Rows
from flatspot.data.roles import Roles
from flatspot.errors import BadInput
from flatspot.registry import nearest

Missing = Literal["error", "drop", "interpolate", "forward_fill"]
Duplicates = Literal["error", "first", "last", "mean"]
Unsorted = Literal["error", "sort"]

MOST_ABSENT: Final = 50_000_000
"""Rows that are put in for absent ones at most: a stamp of the year 9999 must not fill the memory."""


HOUR: Final = np.timedelta64(1, "h")

ANY_CLOCK: Final = "write the stamps in UTC, or with their offset"

LOOK: Final = 1024
"""Rows that are looked at together."""


@final
@dataclass(frozen=True)
class Mending:
    """What may be done to rows that cannot be used as they stand.

    Args:
        missing: `error`, `drop` (leave out rows with a missing value), `interpolate` or `forward_fill`.
        max_gap: missing rows in a row that may be filled, or dropped with a window going on across them.
        duplicates: of a stamp in one series: `error`, or keep the `first`, the `last` or the `mean`.
        unsorted: `error`, or `sort` the rows of each series by time.
        frequency: between rows, as in `1h`; None: inferred; `none`: windows by row order.
        trained: for a network that is trained already: columns and frequency are settled, and no advice is given to
            choose others. inferred: the frequency that its run inferred; other rows may miss some, and no more.
    """

    missing: str = "error"
    max_gap: int = 3
    duplicates: str = "error"
    unsorted: str = "error"
    frequency: str | None = None
    trained: bool = False
    inferred: str | None = None

    def __post_init__(self) -> None:
        choices = {"missing": Missing, "duplicates": Duplicates, "unsorted": Unsorted}
        for name, kinds in choices.items():
            value, known = getattr(self, name), list(get_args(kinds))
            if value not in known:
                raise BadInput(f"data.{name}={value}: {nearest(str(value), known)}")
        if self.max_gap < 0:
            raise BadInput(f"data.max_gap={self.max_gap}: must be at least 0")
        refuse_huge(self.max_gap, "data.max_gap")

    @property
    def or_by_order(self) -> str:
        """What else may be done with stamps that keep no frequency."""
        return "" if self.trained else "; data.frequency=none takes windows by row order"


@final
@dataclass
class _Table:
    """One array of rows, series after series, while it is put in order."""

    source: str
    values: NDArray[np.float64]
    series: NDArray[np.int64]
    times: NDArray[Any] | None
    labels: NDArray[Any] | None
    row: NDArray[np.int64]  # in the file, for messages

    def taken(self, rows: NDArray[Any]) -> "_Table":
        """The rows that an index picks."""
        times = None if self.times is None else self.times[rows]
        labels = None if self.labels is None else self.labels[rows]
        return _Table(self.source, self.values[rows], self.series[rows], times, labels, self.row[rows])

    def lengths(self, count: int) -> NDArray[np.int64]:
        return np.bincount(self.series, minlength=count)


def assemble(rows: Rows, roles: Roles, source: str, mending: Mending, label_per: LabelPer | None = None) -> Panel:
    """A panel of the rows: each series together and in time order, at one frequency, its gaps known.

    Raises:
        BadInput: naming the file and the row that cannot be used as it stands, and the key that mends it.
    """
    asked = _asked_frequency(mending.frequency, roles, source)
    whole = _as_it_is(rows, roles, source, asked, mending)
    return whole if whole is not None else _mended(rows, roles, source, mending, asked, label_per)


def _asked_frequency(frequency: str | None, roles: Roles, source: str) -> Step | Literal["none"] | None:
    if frequency is None or frequency == NO_FREQUENCY:
        return None if frequency is None else NO_FREQUENCY
    if not roles.time:
        raise BadInput(f"data.frequency={frequency}: {source} has no time stamps; name their column with data.time=")
    return parse_frequency(frequency)


def _as_it_is(
    rows: Rows, roles: Roles, source: str, asked: Step | Literal["none"] | None, mending: Mending
) -> Panel | None:
    """A long file of one whole, equally spaced series: nothing to put in order, and nothing is copied."""
    regular = rows.times is None or isinstance(rows.times, Regular)
    if roles.group or roles.label or not regular or mending.missing != "error" or rows.base is None:
        return None
    step = Step(microseconds=rows.times.step) if isinstance(rows.times, Regular) else None
    if isinstance(asked, Step) and asked != step:
        return None
    blocks, lengths = rows.blocks, np.array([len(rows)])
    frequency = step.name if step is not None and asked != NO_FREQUENCY else None
    panel = Panel(source, roles.channels, len(roles.targets), blocks, lengths, (source,), rows.base, rows.times)
    return replace(panel, frequency=frequency, notes=rows.notes)


def _mended(
    rows: Rows,
    roles: Roles,
    source: str,
    mending: Mending,
    asked: Step | Literal["none"] | None,
    label_per: LabelPer | None,
) -> Panel:
    notes = [*rows.notes]
    table, names = _grouped(rows, source)
    if table.times is not None:
        table = _sorted(table, names, mending, notes)
        table = _distinct(table, names, mending, notes)
    step = _step(table, names, asked, mending, notes)  # before rows are left out: they tell it too
    original, dropped = None, np.zeros(len(table.values), np.int64)
    if mending.missing == "drop":
        _tell_absent(table, step, len(names), mending, notes)
        table, names, dropped, original = _whole_rows(table, names, roles.channels, notes)
    gaps = _gaps(table, step, len(names), dropped)
    _refuse_gaps(table, step, gaps, names, mending)
    fills = mending.missing in {"interpolate", "forward_fill"}
    if fills and step is not None:
        table, gaps = _with_absent_rows(table, step, gaps, mending.max_gap, notes)
    breaks = np.flatnonzero(gaps > mending.max_gap) + 1
    if len(breaks):
        gap, most = counted(len(breaks), "gap"), counted(mending.max_gap, "row")
        notes.append(f"{gap} of more than {most}: no window spans one (data.max_gap)")
    return Panel(
        source,
        roles.channels,
        len(roles.targets),
        [table.values],
        table.lengths(len(names)),
        names,
        times=table.times,
        frequency=step.name if step is not None else None,
        breaks=breaks,
        filling=Filling(mending.missing == "interpolate", mending.max_gap) if fills else None,
        labels=_labels(table, roles, names, label_per),
        original=original,
        notes=tuple(notes),
    )


def _grouped(rows: Rows, source: str) -> tuple[_Table, tuple[str, ...]]:
    """Rows of one series together, series in the order in which they first appear."""
    values = rows.blocks[0] if len(rows.blocks) == 1 else np.concatenate(rows.blocks)
    values = values if rows.base is None else values + rows.base
    count = len(values)
    codes, names = np.zeros(count, np.int64), (source,)
    if rows.groups is not None:
        found = rows.groups.unique(maintain_order=True)
        codes = rows.groups.replace_strict(found, pl.Series(range(len(found))), return_dtype=pl.Int64).to_numpy()
        names = tuple(found.to_list())
    times = None if rows.times is None else rows.times[:]
    labels = None if rows.labels is None else rows.labels.fill_null("").to_numpy().astype(str)
    table = _Table(source, values, codes, times, labels, np.arange(1, count + 1))
    together = (np.diff(codes) >= 0).all()
    return (table if together else table.taken(np.argsort(codes, kind="stable"))), names


def _sorted(table: _Table, names: Sequence[str], mending: Mending, notes: list[str]) -> _Table:
    assert table.times is not None  # noqa: S101 - asked before
    back = np.flatnonzero((np.diff(table.times).astype(np.int64) < 0) & (np.diff(table.series) == 0))
    if not len(back):
        return table
    if mending.unsorted == "error":
        row = int(back[0]) + 1
        raise BadInput(
            f"{_place(table, row, names)}: {_stamp(table, row)} comes before the row before it "
            f"({counted(len(back), 'such row')}){_clock_back(table, row)}; data.unsorted=sort puts them in order"
            f"{_several(names, mending)}"
        )
    order = np.lexsort((table.times, table.series))
    moved = int((order != np.arange(len(order))).sum())
    notes.append(f"{counted(moved, 'row', of=len(order))} put in time order (data.unsorted=sort)")
    return table.taken(order)


def _distinct(table: _Table, names: Sequence[str], mending: Mending, notes: list[str]) -> _Table:
    assert table.times is not None  # noqa: S101 - asked before
    again: NDArray[np.bool_] = np.append(
        [False], (np.diff(table.times).astype(np.int64) == 0) & (np.diff(table.series) == 0)
    )
    if not again.any():
        return table
    if mending.duplicates == "error":
        row = int(again.argmax())
        raise BadInput(
            f"{_place(table, row, names)}: {_stamp(table, row)} comes twice ({counted(int(again.sum()), 'such row')})"
            f"{_clock_back(table, row)}; data.duplicates=first, last or mean keeps one{_several(names, mending)}"
        )
    kept = mending.duplicates
    left_out = counted(int(again.sum()), "row")
    notes.append(f"{left_out} with a stamp of another row left out (data.duplicates={kept})")
    if kept == "last":
        return table.taken(~np.append(again[1:], False))
    values = table.values
    if kept == "mean":
        _refuse_two_labels(table, again, names)
        firsts = np.flatnonzero(~again)
        sizes = np.diff(np.append(firsts, len(again)))
        means = np.add.reduceat(values, firsts, axis=0) / sizes[:, None]
        table = replace(table, values=np.repeat(means, sizes, axis=0))
    return table.taken(~again)


def _refuse_two_labels(table: _Table, again: NDArray[np.bool_], names: Sequence[str]) -> None:
    """Labels have no mean."""
    if table.labels is None:
        return
    other = np.flatnonzero(again[1:] & (table.labels[1:] != table.labels[:-1])) + 1
    if len(other):
        row = int(other[0])
        one, two = str(table.labels[row - 1]), str(table.labels[row])
        raise BadInput(
            f"{_place(table, row, names)}: {_stamp(table, row)} comes twice, with the labels {one!r} and {two!r}, "
            f"which have no mean; data.duplicates=first or last keeps one"
        )


def _tell_absent(table: _Table, step: Step | None, count: int, mending: Mending, notes: list[str]) -> None:
    """What is absent between rows of a step, beside what will be left out."""
    gaps = _gaps(table, step, count, np.zeros(len(table.values), np.int64))
    absent = int(gaps.sum(where=gaps > 0))
    if step is not None and absent:
        most = counted(mending.max_gap, "row")
        notes.append(
            f"{counted(absent, 'absent row')} of {step.name}: windows go on across at most {most} (data.max_gap)"
        )


def _whole_rows(
    table: _Table, names: tuple[str, ...], channels: Sequence[str], notes: list[str]
) -> tuple[_Table, tuple[str, ...], NDArray[np.int64], Original]:
    """Without the rows that miss a value, nor the series that are left without a row.

    Returns:
        the table, the names of its series, how many rows were left out just before each, and the rows as they were.
    """
    there = np.isfinite(table.values)
    whole: NDArray[np.bool_] = np.asarray(there.all(axis=1))
    if not whole.any():
        _refuse_all_missing(table, there, channels)
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


def _refuse_all_missing(table: _Table, there: NDArray[np.bool_], channels: Sequence[str]) -> None:
    """Refuse rows that all miss a value: of one column, if there is one that has none."""
    for place, name in enumerate(channels):
        if not there[:, place].any():
            raise BadInput(f"{table.source}: column {name!r} has no value in any row; name another")
    missing = ", ".join(repr(name) for place, name in enumerate(channels) if not there[:, place].all())
    raise BadInput(
        f"{table.source}: every row misses a value (columns {missing}); data.missing=drop leaves none, interpolate "
        f"fills them"
    )


def _told_without_rows(names: Sequence[str], held: NDArray[np.bool_]) -> str:
    lost = [name for name, stays in zip(names, held, strict=True) if not stays]
    return f"{len(lost):,} of {len(names):,} series without a whole row left out: {listed(lost)}"


def _step(
    table: _Table, names: Sequence[str], asked: Step | Literal["none"] | None, mending: Mending, notes: list[str]
) -> Step | None:
    """The step asked for or inferred; None: rows in order."""
    if table.times is None:
        return None
    if asked == NO_FREQUENCY:
        notes.append("windows by row order, whatever time lies between the rows (data.frequency=none)")
        return None
    if isinstance(asked, Step):
        return asked
    found = infer_frequency(table.times, table.lengths(len(names))).step
    if mending.inferred is not None:
        if found is not None and found.name != mending.inferred:
            raise BadInput(f"{table.source}: its rows are {found.name} apart, and those of the run {mending.inferred}")
        return parse_frequency(mending.inferred)
    inside = within_series(table.lengths(len(names)))
    if found is None and inside.any():
        apart = np.diff(table.times).astype(np.int64)[inside]
        shortest, usual, longest = _spans([int(each) for each in (apart.min(), np.median(apart), apart.max())])
        raise BadInput(
            f"{table.source}: the time stamps are not equally spaced: {shortest} to {longest} apart, mostly about "
            f"{usual}{mending.or_by_order}"
        )
    return found


def _gaps(table: _Table, step: Step | None, count: int, dropped: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rows that are absent between each row and the next of its series, `[row - 1]`; OFF_GRID: no whole number."""
    inside = within_series(table.lengths(count))
    if step is None or table.times is None:
        return np.where(inside, dropped[1:], 0)
    steps = step.between(table.times)
    return np.where(inside, np.where(steps > 0, steps - 1, OFF_GRID), 0)


def _refuse_gaps(
    table: _Table, step: Step | None, gaps: NDArray[np.int64], names: Sequence[str], mending: Mending
) -> None:
    if step is None:
        return
    wrong = np.flatnonzero(gaps == OFF_GRID)
    absent = np.flatnonzero(gaps > 0) if mending.missing == "error" else wrong[:0]
    if len(wrong) or len(absent):
        _refuse_other_step(table, step, names, mending)
    if len(wrong):
        row = int(wrong[0]) + 1
        told = "" if mending.trained else f" (data.frequency={mending.frequency or step.name})"
        raise BadInput(
            f"{_place(table, row, names)}: {_stamp(table, row)} is no whole number of steps of {step.name} after the "
            f"row before{told}{mending.or_by_order}"
        )
    if len(absent):
        row = int(absent[0]) + 1
        raise BadInput(
            f"{_place(table, row, names)}: {counted(int(gaps[absent[0]]), 'absent row')} of {step.name} before "
            f"{_stamp(table, row)} ({counted(len(absent), 'such gap')}){_clock_forward(table, row, step)}; "
            f"data.missing=interpolate or forward_fill puts them in, drop goes on across them{mending.or_by_order}"
        )


def _refuse_other_step(table: _Table, step: Step, names: Sequence[str], mending: Mending) -> None:
    """The rows may be equally spaced, only not as was said."""
    if mending.frequency is None or table.times is None:
        return
    found = infer_frequency(table.times, table.lengths(len(names))).name
    if found not in {None, step.name}:
        raise BadInput(f"data.frequency={mending.frequency}: the rows of {table.source} are {found} apart")


def _clock_forward(table: _Table, row: int, step: Step) -> str:
    """Whether it looks like a clock put forward for summer: an hour that is absent on a Sunday night."""
    assert table.times is not None  # noqa: S101 - gaps are between stamps
    before, after = table.times[row - 1], table.times[row]
    if after - before - np.timedelta64(step.microseconds, "us") == HOUR and _is_sunday_night(after):
        return f", as by a clock put forward for summer: {ANY_CLOCK}"
    return ""


def _clock_back(table: _Table, row: int) -> str:
    """Whether it looks like a clock put back for winter: an hour that comes twice on a Sunday night."""
    assert table.times is not None  # noqa: S101 - asked before
    before, after = table.times[row - 1], table.times[row]
    hourly = bool((after - after.astype("datetime64[D]")).astype(np.int64))
    if hourly and before - after < HOUR and _is_sunday_night(after):
        return f", as by a clock put back for winter: {ANY_CLOCK}"
    return ""


def _is_sunday_night(moment: np.datetime64) -> bool:
    day = moment.astype("datetime64[D]")
    return bool((day.astype(np.int64) + 4) % 7 == 0 and moment - day <= 4 * HOUR)


def _several(names: Sequence[str], mending: Mending) -> str:
    """What may be wrong as well, where nothing tells series apart."""
    if len(names) > 1 or mending.trained:
        return ""
    return "; if the file holds several series, data.group= names their column"


def _with_absent_rows(
    table: _Table, step: Step, gaps: NDArray[np.int64], most: int, notes: list[str]
) -> tuple[_Table, NDArray[np.int64]]:
    """Put in rows of missing values where gaps are short enough to be filled."""
    short = np.where((gaps > 0) & (gaps <= most), gaps, 0)
    added = int(short.sum())
    if not added:
        return table, gaps
    if added > MOST_ABSENT:
        row = int(short.argmax()) + 1
        raise BadInput(
            f"{table.source}: {added:,} absent rows of {step.name} are too many to put in, most of them before row "
            f"{table.row[row]} ({_stamp(table, row)}); lower data.max_gap"
        )
    notes.append(f"{counted(added, 'absent row')} of {step.name} put in, to be filled")
    copies = np.append(short, 0) + 1
    longer = table.taken(np.repeat(np.arange(len(copies)), copies))
    ends = copies.cumsum()
    within = np.arange(ends[-1]) - np.repeat(ends - copies, copies)
    assert longer.times is not None  # noqa: S101 - there is a step
    times = step.after(longer.times, within)
    values = np.where((within > 0)[:, None], np.nan, longer.values)
    wide = np.zeros(len(values) - 1, np.int64)
    wide[ends[:-1] - 1] = np.where(short > 0, 0, gaps)
    labels = None if longer.labels is None else np.where(within > 0, "", longer.labels)
    return replace(longer, times=times, values=values, labels=labels), wide


def _labels(table: _Table, roles: Roles, names: Sequence[str], per: LabelPer | None) -> Labels | None:
    """One label a series where it never changes within one, else one a row."""
    if table.labels is None or roles.label is None:
        return None
    known = np.flatnonzero(table.labels != "")
    if not len(known):
        return None
    owners, places = np.unique(table.series[known], return_index=True)
    firsts = np.searchsorted(table.series, np.arange(len(names)))
    firsts[owners] = known[places]
    changing = known[table.labels[known] != table.labels[firsts][table.series[known]]]
    constant = not len(changing) and len(names) > 1
    if per == "series" and not constant:
        _refuse_changing(table, roles, names, changing)
    if per == "window" or not constant:
        return Labels(roles.label, "window", table.labels, table.row)
    return Labels(roles.label, "series", table.labels[firsts], table.row[firsts])


def _refuse_changing(table: _Table, roles: Roles, names: Sequence[str], changing: NDArray[np.int64]) -> None:
    """A label that is to be of its whole series, and is not."""
    if len(names) == 1:
        raise BadInput(f"data.label_per=series: {table.source} has one series; say which by data.group=")
    assert table.labels is not None  # noqa: S101 - asked before
    row = int(changing[0])
    raise BadInput(
        f"{_place(table, row, names)}, column {roles.label!r}: {str(table.labels[row])!r} is another label than "
        f"the series' first; data.label_per=window takes the last row's"
    )


def without_constant(panel: Panel, roles: Roles) -> Panel:
    """Refuse a target or a named feature that never changes; leave such a column out of `all` of them."""
    if panel.rows < 2:
        return panel
    constant = [name for name, varies in zip(panel.columns, _varying(panel), strict=True) if not varies]
    if not constant:
        return panel
    value = _first_value(panel, panel.columns.index(constant[0]))
    if value is None and constant[0] in roles.channels and not (roles.all_features and constant[0] in roles.features):
        raise BadInput(f"{panel.name}: column {constant[0]!r} has no value in any row; name another")
    if constant[0] in roles.targets or not roles.all_features:
        key = "data.target" if constant[0] in roles.targets else "data.features"
        told = "there is nothing to predict" if constant[0] in roles.targets else "it tells nothing"
        raise BadInput(f"{panel.name}: column {constant[0]!r} ({key}) is {value:g} in every row: {told}")
    kept = [index for index, name in enumerate(panel.columns) if name not in constant]
    if not kept:
        raise BadInput(f"{panel.name}: every column of numbers is constant")
    return replace(
        panel,
        columns=tuple(panel.columns[index] for index in kept),
        blocks=[block[:, kept] for block in panel.blocks],
        base=None if panel.base is None else panel.base[kept],
        notes=(*panel.notes, f"constant in every row, and left out: {', '.join(constant)}"),
    )


def _first_value(panel: Panel, channel: int) -> float | None:
    """The first value of a channel that is not missing; None where all are."""
    columns = (rows[:, channel] for rows in panel.stretches())
    return next((float(column[np.isfinite(column)][0]) for column in columns if np.isfinite(column).any()), None)


def _varying(panel: Panel) -> NDArray[np.bool_]:
    """Whether each channel has two values; most are told by the first rows."""
    varying = np.zeros(len(panel.columns), bool)
    first = np.full(len(panel.columns), np.nan)
    for block in panel.blocks:
        for start in range(0, len(block), LOOK):
            rows = block[start : start + LOOK]
            first = np.where(np.isnan(first), np.fmin.reduce(rows, axis=0), first)
            varying |= ((rows != first) & ~np.isnan(rows)).any(axis=0)
            if varying.all():
                return varying
    return varying


def _place(table: _Table, row: int, names: Sequence[str]) -> str:
    series = f", series {names[table.series[row]]!r}" if len(names) > 1 else ""
    return f"{table.source}: row {table.row[row]}{series}"


def _stamp(table: _Table, row: int) -> str:
    assert table.times is not None  # noqa: S101 - asked before
    return str(table.times[row]).removesuffix(".000000").replace("T", " ")


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
