"""Anybody's table as a panel: a file or a frame, what its columns are for, and what may be mended."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from flatspot.data.assemble import assemble, without_constant
from flatspot.data.mending import Mending
from flatspot.data.panel import Keys, LabelPer, Panel
from flatspot.data.read import gather
from flatspot.data.roles import choose_roles
from flatspot.data.sources import as_source
from flatspot.errors import BadInput
from flatspot.registry import nearest


def csv(
    path: str | None = None,
    target: str | Sequence[object] | None = None,
    features: str | Sequence[object] | None = (),
    time: str | bool | Sequence[object] | None = None,
    group: str | None = None,
    label: str | None = None,
    label_per: str | None = None,
    frequency: str | None = None,
    missing: str = "error",
    max_gap: int = 3,
    duplicates: str = "error",
    unsorted: str = "error",
) -> Panel:
    """Anybody's file, CSV (gzipped too) or Parquet. See `read_table` and `Mending` for the keys."""
    if path is None:
        raise BadInput("data=csv needs a file: data=csv data.path=my.csv data.target=column")
    mending = Mending(missing, max_gap, duplicates, unsorted, frequency)
    return read_table(path, target, features, time, group, label, label_per=label_per, mending=mending)


def read_table(
    data: object,
    target: str | Sequence[object] | None = None,
    features: str | Sequence[object] | None = (),
    time: str | bool | Sequence[object] | None = None,
    group: str | None = None,
    label: str | None = None,
    *,
    label_per: str | None = None,
    mending: Mending | None = None,
    anew: bool = False,
    form: str | None = None,
) -> Panel:
    """Read targets, features, time stamps, series and labels from a file or a frame.

    Args:
        data: the path of a CSV or Parquet file; or a frame, or what polars makes one of.
        target: the columns to predict. None: the only column of numbers, or none where there is a label.
        features: further input columns, or `"all"` for every column of numbers.
        time: the column of time stamps, or those of the parts of a date from the year on; `"none"`: row order. None:
            the first column that holds dates, else row order. Stamps with an offset are read as UTC.
        group: the column that names each row's series. None: one series.
        label: the column of labels, for a classifier or regressor.
        label_per: `series` or `window`; None: of series, where no label changes within one.
        mending: what may be done to rows that cannot be used as they stand. None: nothing.
        anew: for a network that is trained already: a constant column is no matter, and labels may be unknown.
        form: of its time stamps, which is tried first.

    Raises:
        BadInput: naming the file and the row, column and value that cannot be used.
    """
    if label_per not in (None, "series", "window"):
        raise BadInput(f"data.label_per={label_per}: {nearest(str(label_per), ['series', 'window'])}")
    mending = replace(mending or Mending(), trained=anew)
    source = as_source(data)
    if anew and label not in source.columns:
        label = None
    roles = choose_roles(
        source, target=target, features=features, time=time, group=group, label=label, anew=anew, form=form
    )
    rows = gather(source, roles, missing=mending.missing != "error", anew=anew)
    per: LabelPer | None = label_per  # type: ignore[assignment] # held above
    panel = assemble(rows, roles, source, mending, per)
    if not anew:
        panel = without_constant(panel, roles)
    panel = replace(panel, keys=Keys(roles.time, roles.group, roles.form, roles.days))
    if group is not None:
        return panel
    return replace(panel, series=(Path(source.name).name.partition(".")[0] or source.name,))
