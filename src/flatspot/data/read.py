"""Read a series from a CSV file: what cannot be used is named by file, row, column and value."""

import codecs
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
    "%Y-%m",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M:%S%#z",
    "%Y-%m-%dT%H:%M:%S%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d",
)
"""How a time stamp may be written: year first. Other orders are ambiguous and refused."""

SHOWN: Final = "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00"

LIKE_A_DATE: Final = r"^\s*\d{1,4}[-./]\d{1,2}([-./]\d{1,4})?([ T].*)?$"
"""What a person would take for a date, whether or not it can be read as one."""

LARGEST: Final = 1e30
"""Numbers beyond this have squares that nothing can add up."""

NO_TIME: Final = "none"
"""`data.time=none`: the rows are in order, whatever their dates say."""


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
    features: Sequence[object] | Literal["all"] | None = (),
    time: str | None = None,
) -> Series:
    """Read the target, further input columns and time stamps from a CSV file with a header line.

    Args:
        path: the file.
        target: the column to predict. None: the only number column.
        features: further input columns, or `"all"` for every number column.
        time: the column of time stamps; `"none"`: row order. None: the first text column that holds dates, else row
            order. Stamps with an offset are read as UTC.

    Raises:
        BadInput: naming the file and the row, column and value that cannot be used.
    """
    frame = _text_frame(Path(path))
    time = _time_column(frame, time, path)
    columns = _chosen_columns(frame, target, features, time, path)
    times = _times(frame[time], path) if time is not None else None
    values = np.column_stack([_numbers(frame[name], path) for name in columns])
    return Series(str(path), tuple(columns), 1, values, times)


def _text_frame(path: Path) -> pl.DataFrame:
    """All cells as text; a blank line is no row."""
    _refuse_unreadable(path)
    try:
        frame = pl.read_csv(path, infer_schema=False, null_values=[""])
    except pl.exceptions.PolarsError as error:
        reason = str(error).strip().splitlines()[0]
        raise BadInput(f"{path}: cannot be read as CSV: {reason}") from error
    frame = frame.rename({name: name.strip() for name in frame.columns}) if _strip_cleanly(frame.columns) else frame
    _refuse_header(frame.columns, path)
    filled = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    if filled.is_empty():
        raise BadInput(f"{path}: has a header line and no rows")
    return filled


def _strip_cleanly(columns: list[str]) -> bool:
    """Whether spaces around the names can be taken away without two becoming one."""
    return len({name.strip() for name in columns}) == len(columns)


def _refuse_unreadable(path: Path) -> None:
    if not path.exists():
        raise BadInput(f"data.path={path}: there is no such file")
    if path.is_dir():
        raise BadInput(f"data.path={path}: is a folder, not a file")
    try:
        with path.open("rb") as file:
            first = file.read(2)
    except OSError as error:
        raise BadInput(f"data.path={path}: cannot be opened: {error.strerror}") from error
    if not first:
        raise BadInput(f"{path}: the file is empty")
    if first in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        raise BadInput(f"{path}: is written in UTF-16; save it as UTF-8")


def _refuse_header(columns: list[str], path: Path) -> None:
    for mark, name in {";": "semicolons", "\t": "tabs", "|": "bars"}.items():
        if len(columns) == 1 and mark in columns[0]:
            raise BadInput(f"{path}: seems to be separated by {name}; commas are needed")
    for column in columns:
        original, twice, _ = column.partition("_duplicated_")  # so polars names the second of two
        if twice and original in columns:
            raise BadInput(f"{path}: has two columns called {original!r}")


def _require_column(frame: pl.DataFrame, name: str, path: str | Path, key: str) -> None:
    if name not in frame.columns:
        raise BadInput(f"{path}: has no column {name!r} ({key}); {nearest(name, frame.columns)}")


def _chosen_columns(
    frame: pl.DataFrame,
    target: str | None,
    features: Sequence[object] | Literal["all"] | None,
    time: str | None,
    path: str | Path,
) -> list[str]:
    target = target if target is not None else _only_number_column(frame, time, path)
    _require_column(frame, target, path, key="data.target")
    further = _number_columns(frame, time) if features == "all" else _names(features)
    for name in further:
        _require_column(frame, name, path, key="data.features")
    return list(dict.fromkeys([target, *further]))


def _names(features: Sequence[object] | None) -> list[str]:
    """One name may be written without brackets, and a name may look like a number."""
    return [features] if isinstance(features, str) else [str(each) for each in features or ()]


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
    _refuse_first(column, numbers.abs() > LARGEST, path, f"is beyond {LARGEST:.0e}")
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


def _time_column(frame: pl.DataFrame, asked: str | None, path: str | Path) -> str | None:
    """The column of time stamps. A column that looks like dates and cannot be read is refused rather than ignored."""
    if asked == NO_TIME and NO_TIME not in frame.columns:
        return None
    if asked is not None:
        _require_column(frame, asked, path, key="data.time")
        return asked
    found = next((name for name in frame.columns if _looks_like_dates(frame[name])), None)
    if found is not None and _format_of(frame[found]) is None:
        raise BadInput(
            f"{path}: column {found!r} looks like dates, but {_filled(frame[found])[0]!r} cannot be read as one; "
            f"write them as {SHOWN}, or say data.time=none for rows in order"
        )
    return found


def _filled(column: pl.Series) -> pl.Series:
    return column.drop_nulls().str.strip_chars()


def _looks_like_dates(column: pl.Series) -> bool:
    """Whether most cells do; a decimal number does not, and eight digits need data.time to be taken for a date."""
    filled = _filled(column)
    numbers = filled.cast(pl.Float64, strict=False).is_not_null()
    return int((filled.str.contains(LIKE_A_DATE) & ~numbers).sum()) * 2 > len(filled)


def _format_of(column: pl.Series) -> str | None:
    """The form that at least half of the cells have, if there is one."""
    filled = _filled(column)
    readable = {form: int(_parsed(filled, form).is_not_null().sum()) for form in DATE_FORMATS}
    best = max(readable, key=lambda form: readable[form])
    return best if readable[best] * 2 >= max(len(filled), 1) else None


def _parsed(column: pl.Series, form: str) -> pl.Series:
    """Moments without a zone; a month is its first day."""
    if form == "%Y-%m":
        column, form = column + "-01", "%Y-%m-%d"
    parsed = column.str.to_datetime(form, strict=False, time_unit="us")
    return parsed.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if form.endswith("z") else parsed


def _times(column: pl.Series, path: str | Path) -> NDArray[Any]:
    """Time stamps in strictly rising order, in the one form that most of them have."""
    _refuse_first(column, column.is_null(), path, "is missing")
    text = column.str.strip_chars()
    form = _format_of(text)
    parsed = _parsed(text, form) if form else pl.Series(column.name, [None] * len(text), dtype=pl.Datetime("us"))
    expected = f"as {SHOWN}" if form is None else f"in the form of the others ({form})"
    _refuse_first(column, parsed.is_null(), path, f"cannot be read as a date {expected}")
    step = parsed.diff().dt.total_microseconds().fill_null(1)
    _refuse_first(column, step <= 0, path, "does not come after the row before")
    return parsed.to_numpy()
