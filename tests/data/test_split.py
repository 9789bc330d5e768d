"""Where the parts of each series begin."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Labels
from flatspot.data.split import Split, borders_of, parse_date, parts_of_series
from flatspot.errors import BadInput

DAY = np.timedelta64(1, "D")


@given(
    lengths=st.lists(st.integers(1, 300), min_size=1, max_size=6),
    val=st.floats(0.01, 0.49),
    test=st.floats(0.01, 0.49),
)
def test_shares_are_of_the_rows_of_each_series(panel_with, lengths, val, test):
    panel = panel_with(*lengths)
    borders = borders_of(panel, Split(val_share=val, test_share=test))
    first = 0
    for length, border in zip(lengths, borders.tolist(), strict=True):
        end = first + length
        in_test, in_val = round(length * test), round(length * val)
        assert border == [first, end - in_test - in_val, end - in_test, end]
        first = end


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(1, 60), min_size=1, max_size=5))
def test_dates_part_every_series_by_its_own_stamps(panel_with, seed, lengths):
    rng = np.random.default_rng(seed)
    panel = panel_with(*lengths, hourly=True)
    starts = rng.integers(-100, 200, size=len(lengths)) * np.timedelta64(1, "h")
    times = panel.times + np.repeat(starts, lengths)
    panel = type(panel)(**(vars(panel) | {"times": times}))
    assume(times.min() < np.datetime64("2024-01-02") and times.max() >= np.datetime64("2024-01-03T07:30"))
    split = Split(val_from="2024-01-02", test_from="2024-01-03 07:30", until="2024-01-06")
    borders = borders_of(panel, split)
    owner = panel.series_of_rows()
    for row, stamp in enumerate(times.astype("datetime64[s]").tolist()):
        text = stamp.isoformat()
        part = sum(text >= date for date in ("2024-01-02T00:00", "2024-01-03T07:30", "2024-01-06T00:00"))
        begin, val, test, end = borders[owner[row]]
        assert part == sum(row >= each for each in (val, test, end))
        assert row >= begin


def test_rows_from_until_on_are_in_no_part_and_shares_are_of_the_others(panel_with):
    panel = panel_with(100, hourly=True)
    data = SeriesDataModule(panel, window=4, horizon=2, split=Split(until="2024-01-03 12:00"))
    assert data.prepared.borders.tolist() == [[0, 42, 51, 60]]
    assert sum(data.rows.values()) == 60
    _, y = data.dataset("test")[-1]
    mean, scale = data.target_scaling.table
    np.testing.assert_allclose(y.numpy() * scale + mean, panel.values[58:60], rtol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val_share": 0.0}, "data.val_share=0.0: must lie between 0 and 1"),
        ({"test_share": 1.0}, "data.test_share=1.0: must lie between 0 and 1"),
        ({"test_share": float("nan")}, "data.test_share=nan: must lie between 0 and 1"),
        ({"val_share": 0.6, "test_share": 0.5}, "data.val_share=0.6 and data.test_share=0.5 leave no rows to train on"),
        ({"val_from": "2024-01-02"}, "data.val_from=2024-01-02: say where the other part begins, with data.test_from="),
        ({"test_from": "2024-01-02"}, "data.test_from=2024-01-02: say where the other part .* data.val_from="),
        (
            {"val_from": "2024-01-03", "test_from": "2024-01-02"},
            "data.val_from=2024-01-03 must come before data.test_from=2024-01-02",
        ),
        (
            {"val_from": "2024-01-02", "test_from": "2024-01-02"},
            "data.val_from=2024-01-02 must come before data.test_from=2024-01-02",
        ),
        (
            {"val_from": "2024-01-02", "test_from": "2024-01-03", "until": "2024-01-03"},
            "data.test_from=2024-01-03 must come before data.until=2024-01-03",
        ),
        ({"until": "tomorrow"}, "data.until=tomorrow: is no date; write it as 2024-01-31 or '2024-01-31 13:00'"),
        ({"until": "31.12.2024"}, "data.until=31.12.2024: is no date"),
        ({"until": "2024-13-01"}, "data.until=2024-13-01: is no date"),
        ({"until": "2024-01-02T00:00+02:00"}, r"data.until=2024-01-02T00:00\+02:00: is no date"),
        ({"until": "2023-12-31"}, "data.until=2023-12-31: the first row of made is of 2024-01-01"),
        ({"val_from": "2023-01-01", "test_from": "2024-01-03"}, "data.val_from=2023-01-01: the first row of made"),
        ({"val_from": "2024-01-03", "test_from": "2025-01-03"}, "data.test_from=2025-01-03: the last row of made"),
    ],
)
def test_what_splits_nothing_is_named(panel_with, options, message):
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(panel_with(100, hourly=True), window=4, horizon=2, split=Split(**options))


def test_a_date_needs_stamps(panel_with):
    split = Split(val_from="2024-01-02", test_from="2024-01-03")
    with pytest.raises(BadInput, match=r"data.val_from=2024-01-02: made has no time stamps \(data.time\)"):
        borders_of(panel_with(100), split)


def test_a_date_is_read_to_the_microsecond():
    assert parse_date("2024-02", "until") == np.datetime64("2024-02-01")
    assert parse_date("2024-02-29 13:45:10.5", "until") == np.datetime64("2024-02-29T13:45:10.500000")


@given(seed=st.integers(0, 100), sizes=st.lists(st.integers(7, 60), min_size=2, max_size=4))
def test_whole_series_are_split_by_class(panel_with, seed, sizes):
    classes = np.random.default_rng(seed).permutation(np.repeat(np.arange(len(sizes)), sizes))
    panel = panel_with(*[3] * len(classes))
    parts = parts_of_series(panel, Split(seed=seed), classes)
    for number, size in enumerate(sizes):
        of_class = np.bincount(parts[classes == number], minlength=3)
        part = round(0.15 * size)
        assert of_class.tolist() == [size - 2 * part, part, part]
    np.testing.assert_array_equal(parts, parts_of_series(panel, Split(seed=seed), classes))


def test_the_split_of_whole_series_hangs_on_its_seed_alone(panel_with):
    panel = panel_with(*[3] * 200)
    one, again, other = (parts_of_series(panel, Split(seed=seed), None) for seed in (0, 0, 1))
    assert one.tolist() == again.tolist() != other.tolist()
    assert np.bincount(one).tolist() == [140, 30, 30]


@pytest.mark.parametrize(
    ("split", "count", "message"),
    [
        (Split(val_from="2024-01-02", test_from="2024-01-03"), 20, "whole series are split, where each has one label"),
        (Split(until="2024-01-03"), 20, "data.val_from, data.test_from and data.until: whole series are split"),
        (Split(), 3, "made: 3 series leave none for the val split"),
    ],
)
def test_whole_series_that_cannot_be_split_are_refused(panel_with, split, count, message):
    labels = Labels("sum", "series", np.arange(count).astype(str))
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(panel_with(*[3] * count, targets=0, hourly=True, labels=labels), task="regress", split=split)


@pytest.mark.parametrize(
    ("dates", "told"),
    [
        (("2030-01-01", "2031-01-01"), r"data\.val_from=2030-01-01: the last row of made is of 2024-01-03 11:00:00"),
        (("2024-01-02", "2031-01-01"), r"data\.test_from=2031-01-01: the last row of made is of 2024-01-03 11:00:00"),
        (("2020-01-01", "2024-01-02"), r"data\.val_from=2020-01-01: the first row of made is of 2024-01-01, and tr"),
    ],
)
def test_a_date_outside_the_rows_is_named_by_its_key(panel_with, dates, told):
    val, test = dates
    with pytest.raises(BadInput, match=told):
        borders_of(panel_with(60, hourly=True), Split(val_from=val, test_from=test))
