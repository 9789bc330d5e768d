"""Time stamps as people write them: dates in one column or in several, or seconds since 1970."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

import numpy as np
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
    "%Y%m%dT%H%M",
    "%Y%m%dT%H%M%S",
    "%Y-%m-%d %H",
    "%Y/%m/%d %H",
    "%Y%m%d %H:%M",
    "%d %B %Y",
    "%d-%B-%Y",
    "%d %B %Y %H:%M",
    "%d-%B-%Y %H:%M",
    "%d %B %Y %H:%M:%S",
    "%d-%B-%Y %H:%M:%S",
    "%B %d, %Y",
    "%B %Y",
    "%B-%Y",
)
"""How a time stamp may be written: year first, or a month by its name. Other orders are ambiguous and refused."""

SHOWN: Final = "2024-01-31, 2024-01-31 13:00 or 2024-01-31T13:00:00"

MONTH: Final = (
    "(jan(uary)?|feb(ruary)?|mar(ch)?|apr(il)?|may|june?|july?|aug(ust)?|sept?(ember)?|oct(ober)?|nov(ember)?|"
    "dec(ember)?)"
)

LIKE_A_DATE: Final = "|".join(
    (
        r"^\s*\d{4}[-./]\d{1,2}([-./]\d{1,2})?([ T].*)?$",
        r"^\s*\d{1,2}[-./]\d{1,2}([-./](\d{4}|\d{2}))?([ T].*)?$",
        r"^\s*\d{8}T\d{4}",
        r"(?i)^\s*(\d{4}[- ]?(q[1-4]|w\d{1,2}(-?[1-7])?)|(q[1-4]|w\d{1,2})[- /]?\d{4})\s*$",
        rf"(?i)^\s*([a-z]{{3,9}},? )?(\d{{1,4}}(st|nd|rd|th)?[-./, ]*)?{MONTH}\b[-./, ]*\d[\d:., +-]*([ap]\.?m\.?)?$",
    )
)
"""What a person would take for a date, whether or not it can be read as one."""

QUARTERS: Final = "quarters (2000Q1)"

WEEKS: Final = "weeks (2020-W01)"

DIGITS: Final[Mapping[str, tuple[str, str]]] = {
    "YYYYMM": (r"^(\d{4})(\d{2})$", "$1-$2-01 00:00:00"),
    "YYYYMMDD": (r"^(\d{4})(\d{2})(\d{2})$", "$1-$2-$3 00:00:00"),
    "YYYYMMDDHH": (r"^(\d{4})(\d{2})(\d{2})(\d{2})$", "$1-$2-$3 $4:00:00"),
    "YYYYMMDDHHMM": (r"^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})$", "$1-$2-$3 $4:$5:00"),
    "YYYYMMDDHHMMSS": (r"^(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})$", "$1-$2-$3 $4:$5:$6"),
}
"""Dates that are whole numbers: how they are told, and how they are written with signs between."""

MEANT_YEARS: Final = (1800, 2100)
"""Years of a date that is one number: with others, it is hardly meant as one."""

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

FIRST: Final = int(np.datetime64("1000-01-01", "us").astype(np.int64))

AFTER_LAST: Final = int(np.datetime64("10000-01-01", "us").astype(np.int64))
"""Microseconds from 1970 to where they begin and end."""

FARTHEST: Final = 3e17
"""Microseconds from 1970 to the year 11,000: what is farther is not even made a date."""

FEWEST_SECONDS: Final = 1e8
"""Seconds since 1970, in 1973: smaller numbers count rows, hours or a spreadsheet's days, or are dates cut short."""

MOSTLY: Final = 0.9
"""Numbers that are years at least: those from 1000 to 2999 of a counter are fewer."""

EPOCH_BOUNDS: Final = (1e11, 1e14, 1e17, float("inf"))
"""What a number of seconds, milliseconds, microseconds or nanoseconds stays below: three thousand years."""

Form = str
"""One of the formats, of DIGITS or of EPOCHS, or QUARTERS, WEEKS or YEARS."""


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
    """The form that all cells have, or that most do and at least half, if there is one."""
    filled = _filled(column)
    most, best = 0, None
    for form in (*DATE_FORMATS, *DIGITS, QUARTERS, WEEKS):
        read = int(parsed(filled, form).is_not_null().sum())
        if read > most:
            most, best = read, form
        if most == len(filled):
            break
    return best if best is not None and most * 2 >= len(filled) else _form_of_numbers(filled)


def is_ambiguous(column: pl.Series, form: Form) -> bool:
    """Whether whole numbers that are valid dates are more likely seconds since 1970, or thousandths of them.

    Ten digits may be 2024-01-31 13:00, or a second of the year 2034. They are dates where at least half of them are
    valid ones of the years 1800 to 2100: of seconds, one in a hundred is. A few may all be valid by chance, as when
    they count up by one; then they are dates if they are equally spaced as dates, or not equally spaced as seconds
    either. What is left is equally spaced as seconds alone.
    """
    if form not in DIGITS:
        return False
    filled = _filled(column)
    other = _form_of_numbers(filled)
    if other is None or len(filled) < 3 or parsed(filled, form).has_nulls():
        return False
    return _equally_spaced(parsed(filled, other)) and not _in_whole_steps(parsed(filled, form))


def _in_whole_steps(moments: pl.Series) -> bool:
    """Whether dates are equally spaced, or whole months apart, which differ in length."""
    months = moments.dt.year().cast(pl.Int64) * 12 + moments.dt.month()
    within = moments - moments.dt.truncate("1mo")
    return _equally_spaced(moments) or (_equally_spaced(months) and within.n_unique() == 1)


def _equally_spaced(moments: pl.Series) -> bool:
    return moments.cast(pl.Int64).diff().drop_nulls().n_unique() == 1


def _form_of_numbers(filled: pl.Series) -> Form | None:
    """Years, or seconds since 1970 (or thousandths of them, and so on); None for numbers that are hardly either."""
    numbers = filled.cast(pl.Float64, strict=False).drop_nulls()
    numbers = numbers.filter(numbers.is_finite())
    if len(numbers) * 2 < len(filled) or not len(filled):
        return None
    years = (numbers >= 1000) & (numbers < 3000) & (numbers == numbers.floor())
    if int(years.sum()) >= MOSTLY * len(numbers):
        return YEARS
    largest = float(numbers.abs().median() or 0)  # type: ignore[arg-type] # a number
    if largest < FEWEST_SECONDS:
        return None
    return next(name for name, bound in zip(EPOCHS, EPOCH_BOUNDS, strict=True) if largest < bound)


def parsed(column: pl.Series, form: Form) -> pl.Series:
    """Moments without a zone, null where a cell has another form; a week, month, quarter or year is its first day.

    Stamps with an offset become UTC.
    """
    if form in EPOCHS:
        return _since_1970(column, EPOCHS[form])
    if form in DIGITS:
        return _of_digits(column, *DIGITS[form])
    if form in _SPELLED_OUT:
        column, form = _SPELLED_OUT[form](column)
    moments = column.str.to_datetime(form, strict=False, time_unit="us", cache=False)  # few stamps come twice
    if form.endswith("z"):
        moments = moments.dt.convert_time_zone("UTC").dt.replace_time_zone(None)
    return _of_four_digits(moments)


def _of_digits(column: pl.Series, told: str, written: str) -> pl.Series:
    whole = column.str.replace(r"\.0*$", "")
    text = whole.set(~whole.str.contains(told), None).str.replace(told, written)
    moments = text.str.to_datetime("%Y-%m-%d %H:%M:%S", strict=False, time_unit="us")
    days_alone = told == DIGITS["YYYYMMDD"][0]  # eight digits are hardly anything else
    meant = moments.dt.year().is_between(*(YEARS_OF_FOUR_DIGITS if days_alone else MEANT_YEARS))
    return _where(moments, meant)


def _quarters(column: pl.Series) -> tuple[pl.Series, Form]:
    year_first = column.str.to_uppercase().str.replace(r"^Q([1-4])[- /]?(\d{4})$", "${2}Q$1")
    quarter = year_first.str.extract(r"^\d{4}[- ]?Q([1-4])$").cast(pl.Int64)
    return year_first.str.slice(0, 4) + "-" + (quarter * 3 - 2).cast(pl.String).str.zfill(2) + "-01", "%Y-%m-%d"


def _weeks(column: pl.Series) -> tuple[pl.Series, Form]:
    told = r"^(\d{4})[- ]?W(\d{2})(?:-?([1-7]))?$"
    year, week, day = (column.str.to_uppercase().str.extract(told, group) for group in (1, 2, 3))
    return year + "-W" + week + "-" + day.fill_null("1"), "%G-W%V-%u"


_SPELLED_OUT: Final[Mapping[Form, Callable[[pl.Series], tuple[pl.Series, Form]]]] = {
    YEARS: lambda column: (column.str.replace(r"\.0*$", "") + "-01-01", "%Y-%m-%d"),
    QUARTERS: _quarters,
    WEEKS: _weeks,
    "%Y-%m": lambda column: (column + "-01", "%Y-%m-%d"),
    "%Y-%m-%d %H": lambda column: (column + ":00", "%Y-%m-%d %H:%M"),
    "%Y/%m/%d %H": lambda column: (column + ":00", "%Y/%m/%d %H:%M"),
    "%B %Y": lambda column: ("1 " + column, "%d %B %Y"),
    "%B-%Y": lambda column: ("1-" + column, "%d-%B-%Y"),
}
"""Of forms that leave out what is needed to read them: the cells with it, and their form then."""


def _of_four_digits(moments: pl.Series) -> pl.Series:
    """Without years that were hardly meant: 24-01-31 is no day of the year 24."""
    numbers = moments.to_physical()
    low, high = numbers.min(), numbers.max()  # their years would take as long as to read them
    if low is None or (low >= FIRST and high < AFTER_LAST):  # type: ignore[operator] # whole numbers
        return moments
    return _where(moments, moments.dt.year().is_between(*YEARS_OF_FOUR_DIGITS))


def _where(moments: pl.Series, meant: pl.Series) -> pl.Series:
    """Without the others; an older polars cannot set a time."""
    return pl.select(pl.when(meant).then(moments).alias(moments.name)).to_series()


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


def joined(columns: Sequence[pl.Series]) -> pl.Series:
    """A date and a clock that stand in two columns, as the text of both; a clock may be an hour alone."""
    texts = [as_text(column) for column in columns]
    return pl.select(pl.concat_str(texts, separator=" ")).to_series().alias(", ".join(each.name for each in columns))


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
