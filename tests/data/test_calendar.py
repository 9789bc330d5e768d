"""What the calendar says, against Python's own, and at the right step."""

import calendar as python_calendar
import math
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flatspot.data.calendar import CALENDAR, calendar_columns, calendar_values
from flatspot.data.module import SeriesDataModule
from flatspot.errors import BadInput

SECONDS = {
    "minute": lambda t: t - t.replace(minute=0, second=0, microsecond=0),
    "hour": lambda t: t - t.replace(hour=0, minute=0, second=0, microsecond=0),
    "year": lambda t: t - t.replace(month=1, day=1, hour=0, minute=0, second=0, microsecond=0),
}
BY_HAND = {
    "minute": lambda t: SECONDS["minute"](t) / timedelta(hours=1),
    "hour": lambda t: SECONDS["hour"](t) / timedelta(days=1),
    "weekday": lambda t: t.weekday() / 7,
    "day": lambda t: (t.day - 1) / 31,
    "month": lambda t: (t.month - 1) / 12,
    "year": lambda t: SECONDS["year"](t) / timedelta(days=366 if python_calendar.isleap(t.year) else 365),
}
moments = st.datetimes(datetime(1850, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC))


def stamps(*moments_of):
    return np.array([each.replace(tzinfo=None) for each in moments_of], "datetime64[us]")


@given(moment=moments)
def test_every_feature_is_what_the_calendar_says(moment):
    assert set(CALENDAR) == set(BY_HAND)
    for name, by_hand in BY_HAND.items():
        turn = 2 * math.pi * by_hand(moment)
        expected = [math.sin(turn), math.cos(turn)]
        np.testing.assert_allclose(calendar_values([name], stamps(moment))[0], expected, atol=1e-9)


@given(moment=moments)
def test_an_hour_after_the_end_of_a_period_is_near_its_end(moment):
    """A step of time is a small step on the circle, over midnight and New Year's Eve too."""
    later = moment + timedelta(minutes=1)
    for name, longest in {"hour": 60 * 24, "year": 60 * 24 * 365}.items():
        one, other = (calendar_values([name], stamps(each))[0] for each in (moment, later))
        assert np.hypot(*(one - other)) <= 2 * math.pi / longest * 1.01


def test_the_ends_of_periods_meet():
    ends = stamps(datetime(2024, 12, 31, 23, 59, 59, 999999, UTC), datetime(2025, 1, 1, tzinfo=UTC))
    for name in ("minute", "hour", "year"):
        before, after = calendar_values([name], ends)
        np.testing.assert_allclose(before, after, atol=1e-6)


def test_no_feature_makes_no_channel():
    assert calendar_columns([]) == []
    assert calendar_values([], stamps(datetime(2024, 1, 1, tzinfo=UTC))).shape == (1, 0)


def test_an_unknown_feature_is_refused_with_the_nearest():
    with pytest.raises(BadInput, match="no calendar feature is called 'weekdy'; did you mean 'weekday'"):
        calendar_values(["weekdy"], stamps(datetime(2024, 1, 1, tzinfo=UTC)))


@pytest.mark.parametrize("horizon", [1, 5])
def test_a_window_knows_the_calendar_of_the_steps_that_it_forecasts(panel_with, horizon):
    panel = panel_with(100, 80, hourly=True)
    data = SeriesDataModule(panel, window=6, horizon=horizon, calendar=["hour", "weekday"], scale="per_series")
    assert data.columns == ("c0", "hour (sine)", "hour (cosine)", "weekday (sine)", "weekday (cosine)")
    later = panel.times + horizon * np.timedelta64(1, "h")
    np.testing.assert_allclose(data.prepared.inputs[:, 1:], calendar_values(["hour", "weekday"], later), atol=1e-6)
    mean, scale = data.input_scaling.table
    assert (mean[:, 1:] == 0).all()
    assert (scale[:, 1:] == 1).all()
    x, _ = data.dataset("train")[0]
    forecast_at = panel.times[6 : 6 + horizon]  # what the last steps of the window tell
    np.testing.assert_allclose(x[-horizon:, 1:3], calendar_values(["hour"], forecast_at), atol=1e-6)


def monthly(panel_with, first):
    months = np.datetime64(first, "M") + np.arange(60)
    return type(panel_with(60))(**(vars(panel_with(60)) | {"frequency": "1mo", "times": months.astype("M8[us]")}))


def test_months_are_led_by_months_and_last_days_stay_last(panel_with):
    panel = monthly(panel_with, "2018-01")
    last_days = type(panel)(**(vars(panel) | {"times": panel.times - np.timedelta64(1, "D")}))
    for each, day in ((panel, 0), (last_days, -1)):
        data = SeriesDataModule(each, window=6, horizon=2, calendar=["month", "day"])
        later = (panel.times.astype("M8[M]") + 2).astype("M8[us]") + day * np.timedelta64(1, "D")
        np.testing.assert_allclose(data.prepared.inputs[:, 1:], calendar_values(["month", "day"], later), atol=1e-6)


def test_rows_without_a_frequency_know_the_calendar_of_their_own_step(panel_with):
    panel = panel_with(100)
    times = np.datetime64("2024-01-01", "us") + np.arange(100) ** 2 * np.timedelta64(7, "m")
    panel = type(panel)(**(vars(panel) | {"times": times}))
    data = SeriesDataModule(panel, window=6, horizon=3, calendar=["hour"])
    np.testing.assert_allclose(data.prepared.inputs[:, 1:], calendar_values(["hour"], times), atol=1e-6)


def test_the_calendar_needs_stamps(panel_with):
    with pytest.raises(BadInput, match=r"data.calendar=\[hour, day\]: made has no time stamps \(data.time\)"):
        SeriesDataModule(panel_with(100), window=6, horizon=3, calendar=["hour", "day"])
