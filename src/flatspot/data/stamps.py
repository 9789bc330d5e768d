"""Time stamps as people write them: dates in one column or in several, or seconds since 1970."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from flatspot.data.sources import as_text

DATE_FORMATS: Final = (
    "%Y-%m-%d",
    "%Y-%m",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%d %H:%M:%S%.f",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%.f",
    "%Y-%m-%d %H:%M%#z",
    "%Y-%m-%dT%H:%M%#z",
    "%Y-%m-%d %H:%M:%S%#z",
    "%Y-%m-%dT%H:%M:%S%#z",
    "%Y-%m-%d %H:%M:%S%.f%#z",
    "%Y-%m-%dT%H:%M:%S%.f%#z",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y%m%d",
)
"""How a time stamp may be written: year first. Other orders are ambiguous and refused."""

SHOWN: Final = "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00"

LIKE_A_DATE: Final = r"^\s*\d{1,4}[-./]\d{1,2}([-./]\d{1,4})?([ T].*)?$"
"""What a person would take for a date, whether or not it can be read as one."""

PARTS: Final = ("year", "month", "day", "hour", "minute", "second")
"""What the columns of a date that stands in several of them hold, in this order."""

YEARS: Final = "years"

EPOCHS: Final[Mapping[str, float]] = {
    "seconds since 1970": 1e6,
    "milliseconds since 1970": 1e3,
    "microseconds since 1970": 1.0,
    "nanoseconds since 1970": 1e-3,
}
"""Microseconds a unit."""

YEARS_OF_FOUR_DIGITS: Final = (1000, 9999)
"""Fewer digits are a day or half a year, and no machine counts so far."""

FARTHEST: Final = 3e17
"""Microseconds from 1970 to the year 11,000: what is farther is not even made a date."""

EPOCH_BOUNDS: Final = (1e11, 1e14, 1e17, float("inf"))
"""What a number of seconds, milliseconds, microseconds or nanoseconds stays below: three thousand years."""

Form = str
"""One of the formats, YEARS, or one of EPOCHS."""


def is_time(column: pl.Series) -> bool:
    """Whether its type says so; an hour of the day or a time span is no moment."""
    return column.dtype == pl.Date or isinstance(column.dtype, pl.Datetime)


def looks_like_dates(column: pl.Series) -> bool:
    """Whether most cells do; a decimal number does not, and eight digits need data.time to be taken for a date."""
    if is_time(column):
        return True
    if column.dtype != pl.String:
        return False
    filled = _filled(column)
    numbers = filled.cast(pl.Float64, strict=False).is_not_null()
    return int((filled.str.contains(LIKE_A_DATE) & ~numbers).sum()) * 2 > len(filled)


def form_of(column: pl.Series) -> Form | None:
    """The form that at least half of the cells have, if there is one."""
    filled = _filled(column)
    readable = {form: int(parsed(filled, form).is_not_null().sum()) for form in DATE_FORMATS}
    best = max(readable, key=lambda form: readable[form])
    if readable[best] * 2 >= max(len(filled), 1):
        return best
    return _form_of_numbers(filled)


def _form_of_numbers(filled: pl.Series) -> Form | None:
    """Years, or seconds since 1970 (or thousandths of them, and so on)."""
    numbers = filled.cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if len(numbers) * 2 < len(filled) or not len(filled):
        return None
    years = (numbers >= 1000) & (numbers < 3000) & (numbers == numbers.floor())
    if int(years.sum()) * 2 >= len(filled):
        return YEARS
    largest = float(numbers.abs().median() or 0)  # type: ignore[arg-type] # a number
    return next(name for name, bound in zip(EPOCHS, EPOCH_BOUNDS, strict=True) if largest < bound)


def parsed(column: pl.Series, form: Form) -> pl.Series:
    """Moments without a zone, null where a cell has another form; a month or a year is its first day.

    Stamps with an offset become UTC.
    """
    if form in EPOCHS:
        return _since_1970(column, EPOCHS[form])
    if form == YEARS:
        column, form = column.str.replace(r"\.0*$", "") + "-01-01", "%Y-%m-%d"
    if form == "%Y-%m":
        column, form = column + "-01", "%Y-%m-%d"
    moments = column.str.to_datetime(form, strict=False, time_unit="us")
    if form.endswith("z"):
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return _of_four_digits(moments)


def _of_four_digits(moments: pl.Series) -> pl.Series:
    """Without years that were hardly meant: 24-01-31 is no day of the year 24."""
    meant = moments.dt.year().is_between(*YEARS_OF_FOUR_DIGITS)
    return moments if meant.all() else moments.set(~meant, None)


def _since_1970(column: pl.Series, unit: float) -> pl.Series:
    """Whole numbers keep every digit; others are rounded to a microsecond."""
    whole, numbers = column.cast(pl.Int64, strict=False), column.cast(pl.Float64, strict=False)
    near = (numbers * unit).abs() < FARTHEST
    if not near.all():
        whole, numbers = (each.set(~near, None) for each in (whole, numbers))
    if whole.null_count() == numbers.null_count():
        moments = whole * int(unit) if unit >= 1 else whole // int(1 / unit)
    else:
        moments = (numbers * unit).round().cast(pl.Int64, strict=False)
    return _of_four_digits(moments.cast(pl.Datetime("us")))


def as_moments(column: pl.Series) -> pl.Series:
    """A column that holds times already, without a zone; what has one becomes UTC."""
    if isinstance(column.dtype, pl.Datetime) and column.dtype.time_zone is not None:
        column = column.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return column.cast(pl.Datetime("us"))


def from_parts(parts: Sequence[pl.Series]) -> pl.Series:
    """Moments from numbers: year, month, day, hour, minute, second, as many as there are; null where they make none."""
    numbers = [part.cast(pl.Float64, strict=False) for part in parts]
    whole = [part.cast(pl.Int32, strict=False) for part in numbers]
    frame = pl.DataFrame(dict(zip(PARTS, whole, strict=False)))
    exact = pl.all_horizontal([pl.lit(number == integer) for number, integer in zip(numbers, whole, strict=True)])
    rest = {name: pl.col(name) if name in frame.columns else pl.lit(1 if name == "day" else 0) for name in PARTS[2:]}
    in_range = (
        (pl.col("year").is_between(*YEARS_OF_FOUR_DIGITS))
        & pl.col("month").is_between(1, 12)
        & rest["day"].is_between(1, 31)
    )
    in_day = rest["hour"].is_between(0, 23) & rest["minute"].is_between(0, 59) & rest["second"].is_between(0, 59)
    text = pl.format(
        "{}-{}-{} {}:{}:{}",
        pl.col("year").cast(pl.String).str.zfill(4),
        *(expression.cast(pl.String).str.zfill(2) for expression in (pl.col("month"), *rest.values())),
    )
    made = frame.select(pl.when(in_range & in_day & exact).then(text).alias("text"))["text"]
    return made.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")


def _filled(column: pl.Series) -> pl.Series:
    return as_text(column).drop_nulls()
