"""Time stamps as people write them."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.stamps import (
    DATE_FORMATS,
    EPOCHS,
    YEARS,
    as_moments,
    form_of,
    from_parts,
    is_ambiguous,
    looks_like_dates,
    parsed,
)

MOMENTS = st.datetimes(datetime(1000, 1, 1), datetime(9999, 12, 30))


def written(moment, form):
    """By Python: fractions of a second and offsets as the form has them."""
    text = moment.strftime(form.replace("%.f", ".%f").replace("%#z", "+00:00"))
    return text.replace(moment.strftime("%Y"), f"{moment.year:04}", 1)


def known_by(moment, form):
    """As much of a moment as a form can tell."""
    shortest = {
        "%d": {"day": 1},
        "%H": {"hour": 0},
        "%M": {"minute": 0},
        "%S": {"second": 0},
        "%.f": {"microsecond": 0},
    }
    for part, value in shortest.items():
        if part not in form:
            moment = moment.replace(**value)
    return moment


@pytest.mark.parametrize("form", DATE_FORMATS)
@settings(max_examples=20)
@given(moments=st.lists(MOMENTS, min_size=1, max_size=5))
def test_each_form_is_read_as_python_writes_it(form, moments):
    column = pl.Series([written(moment, form) for moment in moments])
    assert parsed(column, form).to_list() == [known_by(moment, form) for moment in moments]


@pytest.mark.parametrize(("unit", "a_second"), [*zip(EPOCHS, (1, 10**3, 10**6, 10**9), strict=True)])
@settings(max_examples=20)
@given(seconds=st.integers(10**9, 2 * 10**9), microsecond=st.integers(0, 999_999))
def test_epochs_keep_every_digit_that_they_have(unit, a_second, seconds, microsecond):
    digits = microsecond * a_second // 10**6
    column = pl.Series([str(seconds * a_second + digits)])
    assert form_of(column) == unit
    expected = timedelta(seconds=seconds, microseconds=digits * 10**6 // a_second)
    assert parsed(column, unit).item() == datetime(1970, 1, 1) + expected


def test_fractions_of_a_second_since_1970():
    assert parsed(pl.Series(["1700000000.25", "1700000000"]), "seconds since 1970").to_list() == [
        datetime(2023, 11, 14, 22, 13, 20, 250_000),
        datetime(2023, 11, 14, 22, 13, 20),
    ]


def test_an_offset_is_turned_into_utc():
    column = pl.Series(["2024-01-01 10:00:00+02:00", "2024-01-01 09:00:00+00:00", "2024-01-01 10:00:00Z"])
    form = form_of(column)
    assert [moment.hour for moment in parsed(column, form)] == [8, 9, 10]


@pytest.mark.parametrize(
    ("cells", "form"),
    [
        (["2024-01", "2024-02"], "%Y-%m"),
        (["2023", "2024"], YEARS),
        (["2023.0", "2024.0"], YEARS),
        (["20240101", "20240102"], "YYYYMMDD"),
        (["2024-01-01 10:00", "oops", "2024-01-01 11:00"], "%Y-%m-%d %H:%M"),
        (["2024-01-01T10:00+01:00"], "%Y-%m-%dT%H:%M%#z"),
        (["10:00", "11:00"], None),
        (["01/31/2024", "02/01/2024"], None),
        (["31-12-24", "01-01-25"], None),
        (["24-01-31", "24-02-01"], None),
        (["inf", "INF", "+nan"], None),
        ([], None),
    ],
)
def test_the_form_of_most_cells_is_the_form(cells, form):
    assert form_of(pl.Series(cells, dtype=pl.String)) == form


def test_a_year_is_its_first_day_and_a_month_too():
    assert parsed(pl.Series(["2023.0", "2024"]), YEARS).to_list() == [datetime(2023, 1, 1), datetime(2024, 1, 1)]
    assert parsed(pl.Series(["2024-02"]), "%Y-%m").to_list() == [datetime(2024, 2, 1)]


@pytest.mark.parametrize(
    ("cells", "dates"),
    [
        (["2024-01-01", "2024-01-02"], True),
        (["31.12.2023", "1.1.2024"], True),
        (["2024-01-01 10:00", "", "2024-01-01 11:00"], True),
        (["1.5", "2.25"], False),
        (["20240101", "20240102"], False),
        (["1700000000"], False),
        (["10:00"], False),
        (["a-b"], False),
        ([], False),
    ],
)
def test_what_looks_like_dates(cells, dates):
    assert looks_like_dates(pl.Series(cells, dtype=pl.String)) == dates


@pytest.mark.parametrize("kind", [pl.Time, pl.Duration("us"), pl.Int64, pl.Boolean])
def test_an_hour_of_the_day_and_a_span_are_no_dates(kind):
    assert not looks_like_dates(pl.Series([None], dtype=kind))


def test_types_that_are_times_are_taken_as_they_are():
    moment = datetime(2024, 1, 1, 10)
    zoned = pl.Series([moment]).dt.replace_time_zone("Europe/Berlin")
    assert as_moments(zoned).to_list() == [datetime(2024, 1, 1, 9)]
    assert as_moments(pl.Series([moment]).dt.cast_time_unit("ns")).to_list() == [moment]
    assert as_moments(pl.Series([moment.date()])).to_list() == [datetime(2024, 1, 1)]


@settings(max_examples=40)
@given(st.lists(st.text(max_size=25) | st.floats().map(repr) | st.integers().map(str), min_size=1, max_size=4))
def test_whatever_stands_in_a_cell_it_is_a_moment_or_nothing(cells):
    column = pl.Series(cells)
    for form in (*DATE_FORMATS, *EPOCHS, YEARS):
        for moment in parsed(column, form).drop_nulls():
            assert 1000 <= moment.year <= 9999
    looks_like_dates(column)
    form_of(column)


NUMBERS = st.integers(-3, 70) | st.sampled_from([2023, 2024, 999, 1000, 10_000])


@settings(max_examples=200)
@given(st.lists(st.tuples(*[NUMBERS] * 6), min_size=1, max_size=4), st.integers(2, 6))
def test_a_date_in_columns_is_what_python_makes_of_it(rows, count):
    def by_python(numbers):
        year, month, day, *rest = (*numbers[:count], *(1, 1, 1)[count:])
        try:
            return datetime(year, month, day, *rest) if year >= 1000 else None
        except ValueError:
            return None

    rows = [(2024, *row[1:]) for row in rows]
    parts = [pl.Series([row[part] for row in rows]) for part in range(count)]
    expected = [by_python(row) for row in rows]
    assert from_parts(parts).to_list() == expected
    assert from_parts([part.cast(pl.String) for part in parts]).to_list() == expected


def test_half_a_day_and_a_year_of_two_digits_are_no_date():
    assert from_parts([pl.Series([2024, 2024, 24]), pl.Series([1, 1, 1]), pl.Series([4.0, 4.5, 4.0])]).to_list() == [
        datetime(2024, 1, 4),
        None,
        None,
    ]


def test_moments_become_numpy_microseconds():
    assert parsed(pl.Series(["2024-01-01"]), "%Y-%m-%d").to_numpy().dtype == np.dtype("datetime64[us]")


def numbered(start, form, step, rows=60):
    return pl.Series([f"{start + each * step:{form}}" for each in range(rows)])


HOURLY = datetime(2024, 1, 31), timedelta(hours=1)


@pytest.mark.parametrize(
    ("form", "digits", "step"),
    [
        ("YYYYMMDDHH", "%Y%m%d%H", timedelta(hours=1)),
        ("YYYYMMDDHHMM", "%Y%m%d%H%M", timedelta(minutes=15)),
        ("YYYYMMDDHHMMSS", "%Y%m%d%H%M%S", timedelta(seconds=20)),
        ("YYYYMMDD", "%Y%m%d", timedelta(days=1)),
    ],
)
@pytest.mark.parametrize("tail", ["", ".0"])
def test_whole_numbers_that_are_dates(form, digits, step, tail):
    column = numbered(datetime(2024, 1, 31), digits, step) + tail
    assert form_of(column) == form
    assert parsed(column, form).to_list() == [datetime(2024, 1, 31) + each * step for each in range(60)]
    assert not is_ambiguous(column, form)


def test_months_as_whole_numbers():
    column = pl.Series([str(year * 100 + month) for year in (2023, 2024) for month in range(1, 13)])
    assert form_of(column) == "YYYYMM"
    assert parsed(column, "YYYYMM").dt.strftime("%Y%m").to_list() == column.to_list()
    assert not is_ambiguous(column, "YYYYMM")


@pytest.mark.parametrize("start", [1_500_000_000, 1_800_010_100, 1_900_000_000, 2_024_013_113])
@pytest.mark.parametrize("step", [1, 60, 300, 3600, 86_400])
def test_seconds_since_1970_are_no_dates(start, step):
    column = pl.Series([str(start + each * step) for each in range(100)])
    assert form_of(column) == "seconds since 1970"


@pytest.mark.parametrize(
    "cells",
    [
        [*range(3500)],  # rows by number: more than half of them could be years
        [*range(0, 36_000, 60)],
        [45_292 + each for each in range(60)],  # days of a spreadsheet
        [45_292 + each / 24 for each in range(60)],
        [240_101 + each for each in range(28)],  # YYMMDD
        [31_012_024, 1_022_024],  # DDMMYYYY
        [1960 + each / 12 for each in range(60)],
        [each * 1_000_000 for each in range(60)],
    ],
)
def test_numbers_that_are_hardly_seconds_since_1970_are_no_dates(cells):
    assert form_of(pl.Series(cells).cast(pl.String)) is None


@pytest.mark.parametrize("first", ["17720101", "20900101", "99991201"])
def test_eight_digits_are_a_day_of_any_year_of_four_digits(first):
    start = datetime.strptime(first, "%Y%m%d")
    cells = [f"{start + timedelta(days=each):%Y%m%d}" for each in range(20)]
    assert form_of(pl.Series(cells)) == "YYYYMMDD"
    assert parsed(pl.Series(cells), "YYYYMMDD").to_list() == [start + timedelta(days=each) for each in range(20)]


def test_years_may_hold_a_cell_that_is_none():
    assert form_of(pl.Series(["850", *(str(each) for each in range(1900, 1930)), "?"])) == YEARS


def test_one_bad_date_makes_no_seconds_of_the_others():
    column = numbered(*HOURLY[:1], "%Y%m%d%H", HOURLY[1]).set(
        pl.Series([each == 7 for each in range(60)]), "2024013199"
    )
    assert form_of(column) == "YYYYMMDDHH"
    assert parsed(column, "YYYYMMDDHH").null_count() == 1


@pytest.mark.parametrize(
    ("numbers", "ambiguous"),
    [
        ([2024013121, 2024013122, 2024013123], False),  # hours, or seconds: both equally spaced
        ([2024013100, 2024013112, 2024020100, 2024020112], False),  # half days; no number of seconds keeps
        ([2024010112, 2024010212, 2024010312], False),  # days
        ([2024010100, 2024010109, 2024010118, 2024010127], False),  # the last is no hour
        ([2024010100, 2024020100, 2024030100], False),  # months
        ([2024010100, 2024020101, 2024030102], True),  # 10,001 s, or a month and an hour
    ],
)
def test_what_may_be_both_is_told(numbers, ambiguous):
    column = pl.Series([str(each) for each in numbers])
    form = form_of(column)
    assert is_ambiguous(column, form) == ambiguous


@pytest.mark.parametrize(
    ("cells", "moments"),
    [
        (["2000Q1", "2000Q4", "2001Q1"], ["2000-01-01", "2000-10-01", "2001-01-01"]),
        (["2000-Q2", "2000 q3"], ["2000-04-01", "2000-07-01"]),
        (["Q1 2000", "Q3/2000"], ["2000-01-01", "2000-07-01"]),
        (["2020-W01", "2020-W53", "2021W01"], ["2019-12-30", "2020-12-28", "2021-01-04"]),
        (["2020-W01-3", "2020W022"], ["2020-01-01", "2020-01-07"]),
        (["01 Jan 2024", "31 January 2024"], ["2024-01-01", "2024-01-31"]),
        (["1-Mar-2024", "02-MAR-2024"], ["2024-03-01", "2024-03-02"]),
        (["Jan 2024", "February 2024"], ["2024-01-01", "2024-02-01"]),
        (["Jan 1, 2024", "May 31, 2024"], ["2024-01-01", "2024-05-31"]),
        (["01 Jan 2024 13:00"], ["2024-01-01 13:00"]),
        (["20240131T130000"], ["2024-01-31 13:00"]),
        (["2024-01-31 7"], ["2024-01-31 07:00"]),
    ],
)
def test_quarters_weeks_and_months_by_name_are_seen_and_read(cells, moments):
    column = pl.Series(cells)
    assert looks_like_dates(column)
    assert parsed(column, form_of(column)).to_list() == [datetime.fromisoformat(each) for each in moments]


@pytest.mark.parametrize("cell", ["31.01.2024", "1/31/2024", "01-Jan-24", "Jan-24", "Mon, 01 Jan 2024", "1st Jan 2024"])
def test_what_looks_like_a_date_and_may_be_several_is_seen_and_not_read(cell):
    column = pl.Series([cell])
    assert looks_like_dates(column)
    assert form_of(column) is None


@pytest.mark.parametrize("cell", ["1.2.3", "10.0.0.1", "2021-W60x", "Q5", "May", "Marble 12", "12.5", "20240131"])
def test_what_does_not_look_like_a_date(cell):
    assert not looks_like_dates(pl.Series([cell]))
