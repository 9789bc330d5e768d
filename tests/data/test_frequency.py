"""The step between two rows: read, inferred, taken on, and held against slow and obvious twins."""

import calendar
import itertools
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.frequency import OFF_GRID, Step, infer_frequency, meant_days, parse_frequency, within_series
from flatspot.errors import BadInput

HOUR = timedelta(hours=1)
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 6e7, "h": 3.6e9, "d": 8.64e10, "w": 6.048e11}


def stamps(*texts):
    return np.array(texts, dtype="datetime64[us]")


def infer(times, *lengths):
    return infer_frequency(times, np.array(lengths or [len(times)])).name


def month_later(moment, months, *, at_end):
    """By the calendar: the same day, or the last one."""
    year, month = divmod(moment.year * 12 + moment.month - 1 + months, 12)
    last = calendar.monthrange(year, month + 1)[1]
    return moment.replace(year=year, month=month + 1, day=last if at_end else min(moment.day, last))


STEPS = st.one_of(
    st.builds(
        lambda unit, count: Step(microseconds=int(UNITS[unit]) * count),
        st.sampled_from(list(UNITS)),
        st.integers(1, 60),
    ),
    st.builds(lambda months: Step(months=months), st.sampled_from([1, 2, 3, 6, 12, 24])),
)
STARTS = st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1))


@st.composite
def starts(draw):
    """Any day, or a month's last one."""
    start = draw(STARTS)
    last = calendar.monthrange(start.year, start.month)[1]
    return start.replace(day=last) if draw(st.booleans()) else start


@settings(max_examples=200)
@given(STEPS, starts(), st.lists(st.integers(1, 30), min_size=1, max_size=6))
def test_between_undoes_after(step, start, apart):
    steps = np.concatenate([[0], np.cumsum(apart)])
    times = step.after(np.full(len(steps), np.datetime64(start, "us")), steps)
    assert step.between(times).tolist() == apart


@settings(max_examples=200)
@given(st.integers(1, 24), STARTS, st.integers(0, 40))
def test_months_are_those_of_the_calendar(months, start, count):
    last = calendar.monthrange(start.year, start.month)[1]
    expected = month_later(start, months * count, at_end=start.day == last)
    found = Step(months=months).after(np.array([start], "datetime64[us]"), count)
    assert found.tolist() == [expected]


@settings(max_examples=200)
@given(STEPS, starts(), st.lists(st.integers(1, 3), min_size=1, max_size=8), st.data())
def test_the_step_is_inferred_where_at_least_half_keep_it(step, start, more, data):
    apart = data.draw(st.permutations([1] * (len(more) + 1) + more))
    steps = np.concatenate([[0], np.cumsum(apart)])
    times = step.after(np.full(len(steps), np.datetime64(start, "us")), steps)
    found = infer_frequency(times, np.array([len(times)])).step
    if found != step:  # 28 days or more may be a month, and a month's days may be 28
        assert found is not None
        assert (found.between(times) == apart).all()


@settings(max_examples=100)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=12), st.integers(1, 3), st.booleans())
def test_gaps_are_those_that_a_walk_finds(apart, size, monthly):
    """The twin walks from each stamp, step by step, until it meets the next one or is past it."""
    step = Step(months=size) if monthly else Step(microseconds=size * 3_600_000_000)
    moments = [datetime(2024, 1, 1)]
    for each in apart:
        moments.append(month_later(moments[-1], each, at_end=False) if monthly else moments[-1] + each * HOUR)

    def walked(before, after):
        count = 0
        while before < after:
            before = month_later(before, size, at_end=False) if monthly else before + size * HOUR
            count += 1
        return count if before == after else OFF_GRID

    expected = [walked(*pair) for pair in itertools.pairwise(moments)]
    assert step.between(stamps(*moments)).tolist() == expected


@pytest.mark.parametrize(
    ("times", "name"),
    [
        (stamps("2024-01-01T00", "2024-01-01T01", "2024-01-01T02"), "1h"),
        (stamps("2024-01-01T00:00", "2024-01-01T00:30", "2024-01-01T01:00"), "30m"),
        (stamps("2024-01-01T00:00:00.1", "2024-01-01T00:00:00.2", "2024-01-01T00:00:00.3"), "100ms"),
        (stamps("2024-02-27", "2024-02-28", "2024-02-29", "2024-03-01"), "1d"),
        (stamps("2024-01-01", "2024-01-08", "2024-01-15"), "1w"),
        (stamps("2024-01-01", "2024-02-01", "2024-03-01"), "1mo"),
        (stamps("2024-01-31", "2024-02-29", "2024-03-31", "2024-04-30"), "1mo"),
        (stamps("2024-01-15T12", "2024-02-15T12", "2024-03-15T12"), "1mo"),
        (stamps("2024-01-01", "2024-04-01", "2024-07-01", "2024-10-01"), "1q"),
        (stamps("2023-12-31", "2024-03-31", "2024-06-30"), "1q"),
        (stamps("2020-01-01", "2021-01-01", "2022-01-01"), "1y"),
        (stamps("2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06"), "1d"),
        (stamps("2024-01-01", "2024-02-01", "2024-06-01", "2024-07-01"), "1mo"),
        (stamps("2024-01-01", "2024-01-29", "2024-02-26"), "4w"),
        (stamps("2024-01-01", "2024-02-10", "2024-02-11", "2024-02-12"), "1d"),
        (stamps("2024-01-01T00:00", "2024-01-01T01:00", "2024-01-01T02:07"), None),
        (stamps("2024-01-01", "2024-01-03", "2024-01-08"), None),
        (stamps("2024-01-30", "2024-02-29", "2024-03-30", "2024-04-30"), "1mo"),
        (stamps("2023-01-29T06", "2023-02-28T06", "2023-03-29T06", "2023-05-29T06"), "1mo"),
        (stamps("2023-02-28", "2023-03-30", "2023-04-30", "2023-05-30"), "1mo"),
        (stamps("2023-01-30", "2023-02-27", "2023-03-30"), None),
        (stamps("2023-01-30T06", "2023-02-28T07", "2023-03-30T06"), None),
        (stamps("2024-01-01"), None),
        (stamps(), None),
    ],
)
def test_the_frequency_of_stamps(times, name):
    assert infer(times) == name


def test_what_lies_between_two_series_tells_nothing():
    days = stamps("2024-01-01", "2024-01-02", "2024-01-03")
    assert infer(np.concatenate([days, days, days[:1] + 7]), 3, 3, 1) == "1d"
    assert within_series(np.array([3, 3, 1])).tolist() == [True, True, False, True, True, False]
    assert infer(np.concatenate([days, days[::2]]), 3, 2) == "1d"
    months = stamps("2024-01-01", "2024-02-01", "2024-03-01")
    assert infer(np.concatenate([months, months + np.timedelta64(31, "D")]), 3, 3) is None  # another day of the month


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("1h", Step(3_600_000_000)),
        ("h", Step(3_600_000_000)),
        (" 15min ", Step(900_000_000)),
        ("15m", Step(900_000_000)),
        ("1D", Step(86_400_000_000)),
        ("2W", Step(2 * 604_800_000_000)),
        ("250ms", Step(250_000)),
        ("1us", Step(1)),
        ("1MO", Step(months=1)),
        ("2q", Step(months=6)),
        ("1y", Step(months=12)),
    ],
)
def test_how_a_frequency_may_be_written(text, step):
    assert parse_frequency(text) == step
    assert parse_frequency(step.name) == step


@pytest.mark.parametrize("text", ["hourly", "", "0h", "-1h", "1.5h", "1M", "M", "1 h 2", "9" * 20 + "d", "2000y", "h1"])
def test_what_is_no_frequency(text):
    with pytest.raises(BadInput, match=rf"^data\.frequency={text}: write a number and a unit"):
        parse_frequency(text)


def test_a_day_that_a_month_has_not_is_its_last_one():
    later = Step(months=1).after(stamps("2024-01-30T06", "2024-01-10T06"), 1)
    assert later.tolist() == [datetime(2024, 2, 29, 6), datetime(2024, 2, 10, 6)]


def test_after_february_the_day_is_again_the_one_that_is_meant():
    months = stamps("2023-01-30T06", "2023-02-28T06")
    month = Step(months=1)
    meant = meant_days(months)[1:]
    assert month.after(months[1:], 1, meant=meant).tolist() == [datetime(2023, 3, 30, 6)]
    assert month.after(months[1:], 1).tolist() == [datetime(2023, 3, 31, 6)]
    assert month.after(months[1:], -1, meant=meant).tolist() == [datetime(2023, 1, 30, 6)]
    assert month.between(months).tolist() == [1]


def test_each_series_has_a_day_of_the_month_of_its_own():
    thirtieths = stamps("2023-01-30", "2023-02-28", "2023-03-30")
    series = [thirtieths, stamps("2022-01-28", "2022-02-28"), stamps("2023-02-28", "2023-03-31"), stamps("2023-05-15")]
    times, lengths = np.concatenate(series), np.array([3, 2, 0, 2, 1])
    assert meant_days(times, lengths).tolist() == [29] * 3 + [27] * 2 + [30] * 2 + [14]
    assert infer(times, *lengths) == "1mo"
    inside = within_series(lengths)
    assert (Step(months=1).between(times, lengths)[inside] == 1).all()
    later = Step(months=1).after(times, 1, meant=meant_days(times, lengths))
    assert [moment.day for moment in later.tolist()] == [28, 30, 30, 28, 28, 31, 30, 15]
