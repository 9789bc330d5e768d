"""From the rows of a table to a panel: series together, in time order, at one frequency.

What is odd is refused, or mended where the user says so, and told either way.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.counted import counted
from flatspot.data.frequency import NO_FREQUENCY, Step, parse_frequency
from flatspot.data.gaps import find_gaps, gaps_of, step_of, tell_absent, with_absent_rows
from flatspot.data.mending import Mending
from flatspot.data.ordered import Table, distinct, in_time_order, place, whole_rows
from flatspot.data.panel import Filling, LabelPer, Labels, Panel
from flatspot.data.read import Regular, Rows
from flatspot.data.roles import Roles
from flatspot.data.sources import Source, refuse_unshowable
from flatspot.errors import BadInput

LOOK: Final = 1024
"""Rows that are looked at together."""


def assemble(rows: Rows, roles: Roles, source: Source, mending: Mending, label_per: LabelPer | None = None) -> Panel:
    """A panel of the rows: each series together and in time order, at one frequency, its gaps known.

    Raises:
        BadInput: naming the file and the rows that cannot be used as they stand, those that were found before among
            them, and the keys that mend them.
    """
    if rows.faults and not rows.placed:
        rows.faults.refuse()
    asked = _asked_frequency(mending.frequency, roles, source.name)
    whole = None if rows.faults else _as_it_is(rows, roles, source.name, asked, mending)
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
    source: Source,
    mending: Mending,
    asked: Step | Literal["none"] | None,
    label_per: LabelPer | None,
) -> Panel:
    notes, faults = [*rows.notes], rows.faults
    table, names = _grouped(rows, source)
    if table.times is not None:
        table = in_time_order(table, names, mending, notes, faults)
        table = distinct(table, names, mending, notes, faults)
    step = step_of(table, names, asked, mending, notes, faults)  # before rows are left out: they tell it too
    original, dropped = None, np.zeros(len(table.values), np.int64)
    if mending.missing == "drop" and not faults:
        tell_absent(table, step, len(names), mending, notes)
        table, names, dropped, original = whole_rows(table, names, roles.channels, mending, notes)
    gaps = gaps_of(table, step, len(names), dropped)
    find_gaps(table, step, gaps, names, mending, faults)
    faults.refuse()
    fills = mending.missing in {"interpolate", "forward_fill"}
    if fills and step is not None:
        table, gaps = with_absent_rows(table, step, gaps, mending.max_gap, notes)
    breaks = np.flatnonzero(gaps > mending.max_gap) + 1
    if len(breaks):
        gap, most = counted(len(breaks), "gap"), counted(mending.max_gap, "row")
        notes.append(f"{gap} of more than {most}: no window spans one (data.max_gap)")
    return Panel(
        source.name,
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


def _grouped(rows: Rows, source: Source) -> tuple[Table, tuple[str, ...]]:
    """Rows of one series together, series in the order in which they first appear."""
    values = rows.blocks[0] if len(rows.blocks) == 1 else np.concatenate(rows.blocks)
    values = values if rows.base is None else values + rows.base
    count = len(values)
    codes, names = np.zeros(count, np.int64), (source.name,)
    if rows.groups is not None:
        found = rows.groups.unique(maintain_order=True)
        codes = rows.groups.replace_strict(found, pl.Series(range(len(found))), return_dtype=pl.Int64).to_numpy()
        names = tuple(found.to_list())
        refuse_unshowable(names, f"{source.name}: the series")
    if rows.labels is not None:
        refuse_unshowable(rows.labels.unique(maintain_order=True).to_list(), f"{source.name}: the label")
    times = None if rows.times is None else rows.times[:]
    labels = None if rows.labels is None else rows.labels.fill_null("").to_numpy().astype(str)
    table = Table(source.name, values, codes, times, labels, np.arange(1, count + 1), source.where)
    together = (np.diff(codes) >= 0).all()
    return (table if together else table.taken(np.argsort(codes, kind="stable"))), names


def _labels(table: Table, roles: Roles, names: Sequence[str], per: LabelPer | None) -> Labels | None:
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
        return Labels(roles.label, "window", table.labels, table.row, table.where)
    return Labels(roles.label, "series", table.labels[firsts], table.row[firsts], table.where)


def _refuse_changing(table: Table, roles: Roles, names: Sequence[str], changing: NDArray[np.int64]) -> None:
    """A label that is to be of its whole series, and is not."""
    if len(names) == 1:
        raise BadInput(f"data.label_per=series: {table.source} has one series; say which by data.group=")
    assert table.labels is not None  # noqa: S101 - asked before
    row = int(changing[0])
    raise BadInput(
        f"{table.source}: {place(table, row, names)}, column {roles.label!r}: {str(table.labels[row])!r} is another "
        f"label than the series' first; data.label_per=window takes the last row's"
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
