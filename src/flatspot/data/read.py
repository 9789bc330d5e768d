"""Read a series from a CSV file: what cannot be used is named by file, row, column and value."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.errors import BadInput
from flatspot.registry import nearest

DATE_FORMATS: Final = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%dT%H:%M:%SZ",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d",
)
"""How a time stamp may be written: year first. Other orders are ambiguous and refused."""

SHOWN: Final = "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00"


@final
@dataclass(frozen=True)
class Series:
    """One series, in original units, in time order.

    Args:
        name: where it came from, for messages and figures.
        columns: the names of the channels; the targets are the first `num_targets` of them.
        num_targets: how many channels are predicted.
        values: float64 `[time, channel]`, all finite.
        times: `datetime64[us]` `[time]`, or None if the rows have no time stamps.
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


def read_csv(
    path: str | Path,
    target: str | None = None,
    features: Sequence[str] | Literal["all"] = (),
    time: str | None = None,
) -> Series:
    """Read the target, further input columns and time stamps from a CSV file with a header line.

    Args:
        path: the file.
        target: the column to predict. None: the only number column.
        features: further input columns, or `"all"` for every number column.
        time: the column of time stamps. None: the first text column that holds dates, else row order.

    Raises:
        BadInput: naming the file and the row, column and value that cannot be used.
    """
    frame = _text_frame(Path(path))
    time = time if time is not None else _date_column(frame)
    if time is not None:
        _require_column(frame, time, path, key="data.time")
    columns = _chosen_columns(frame, target, features, time, path)
    times = _times(frame[time], path) if time is not None else None
    values = np.column_stack([_numbers(frame[name], path) for name in columns])
    return Series(str(path), tuple(columns), 1, values, times)


def _text_frame(path: Path) -> pl.DataFrame:
    if not path.exists():
        raise BadInput(f"data.path={path}: there is no such file")
    if path.is_dir():
        raise BadInput(f"data.path={path}: is a folder, not a file")
    if path.stat().st_size == 0:
        raise BadInput(f"{path}: the file is empty")
    try:
        frame = pl.read_csv(path, infer_schema=False, null_values=[""])
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{path}: cannot be read as CSV: {reason}") from error
    if frame.is_empty():
        raise BadInput(f"{path}: has a header line and no rows")
    return frame


def _require_column(frame: pl.DataFrame, name: str, path: str | Path, key: str) -> None:
    if name not in frame.columns:
        raise BadInput(f"{path}: has no column {name!r} ({key}); {nearest(name, frame.columns)}")


def _chosen_columns(
    frame: pl.DataFrame,
    target: str | None,
    features: Sequence[str] | Literal["all"],
    time: str | None,
    path: str | Path,
) -> list[str]:
    target = target if target is not None else _only_number_column(frame, time, path)
    _require_column(frame, target, path, key="data.target")
    further = _number_columns(frame, time) if features == "all" else list(features)
    for name in further:
        _require_column(frame, name, path, key="data.features")
    return list(dict.fromkeys([target, *further]))


def _only_number_column(frame: pl.DataFrame, time: str | None, path: str | Path) -> str:
    numbers = _number_columns(frame, time)
    if len(numbers) == 1:
        return numbers[0]
    if not numbers:
        raise BadInput(f"{path}: has no column of numbers to predict")
    raise BadInput(f"{path}: say which column to predict with data.target=; columns: {', '.join(numbers)}")


def _number_columns(frame: pl.DataFrame, time: str | None) -> list[str]:
    """Columns that are mostly numbers: one text cell in them is an error to report, not a column to drop."""

    def mostly_numbers(column: pl.Series) -> bool:
        filled = column.drop_nulls()
        return int(filled.cast(pl.Float64, strict=False).is_not_null().sum()) * 2 > len(filled)

    return [name for name in frame.columns if name != time and mostly_numbers(frame[name])]


def _numbers(column: pl.Series, path: str | Path) -> NDArray[np.float64]:
    numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    _refuse_first(column, numbers.is_null() & column.is_not_null(), path, "is not a number")
    _refuse_first(column, numbers.is_null(), path, "is missing")
    _refuse_first(column, ~numbers.is_finite(), path, "is not finite")
    return numbers.to_numpy()


def _refuse_first(column: pl.Series, wrong: pl.Series, path: str | Path, complaint: str) -> None:
    if not wrong.any():
        return
    row = wrong.arg_true()[0]
    cell = column[row]
    value = "the value" if cell is None else repr(cell)
    more = wrong.sum() - 1
    others = f" ({more} more such cells in this column)" if more else ""
    raise BadInput(f"{path}: row {row + 1}, column {column.name!r}: {value} {complaint}{others}")


def _date_column(frame: pl.DataFrame) -> str | None:
    for name in frame.columns:
        filled = frame[name].drop_nulls()
        if len(filled) and _is_text_date(filled[0]):
            return name
    return None


def _is_text_date(cell: str) -> bool:
    """Whether a cell is a date; eight digits are taken for a number unless data.time says otherwise."""
    return not cell.strip().isdigit() and _format_of(cell) is not None


def _format_of(cell: str) -> str | None:
    one = pl.Series([cell.strip()])
    fits = (form for form in DATE_FORMATS if _parsed(one, form).is_not_null().all())
    return next(fits, None)


def _parsed(column: pl.Series, form: str) -> pl.Series:
    return column.str.to_datetime(form, strict=False, time_unit="us", time_zone=None)


def _times(column: pl.Series, path: str | Path) -> NDArray[Any]:
    """Time stamps in strictly rising order, in the one form that the first of them has."""
    _refuse_first(column, column.is_null(), path, "is missing")
    text = column.str.strip_chars()
    form = _format_of(text[0])
    parsed = _parsed(text, form) if form else pl.Series(column.name, [None] * len(text), dtype=pl.Datetime("us"))
    expected = f"as {SHOWN}" if form is None else f"in the form of the first one, {text[0]!r}"
    _refuse_first(column, parsed.is_null(), path, f"cannot be read as a date {expected}")
    step = parsed.diff().dt.total_microseconds().fill_null(1)
    _refuse_first(column, step <= 0, path, "does not come after the row before")
    return parsed.to_numpy()
