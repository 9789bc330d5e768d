"""What is said of settings that were left alone, and when nothing is."""

import numpy as np
import polars as pl
import pytest

from flatspot.data.hints import hints
from flatspot.data.mending import Mending
from flatspot.data.module import SeriesDataModule
from flatspot.data.tables import read_table


def rows(count=300, every=1, unit="D", period=7, size=5.0, noise=0.5, seed=0):
    """A wave of so many rows, and noise."""
    times = np.datetime64("2024-01-01") + np.arange(count) * np.timedelta64(every, unit)
    wave = size * np.sin(2 * np.pi * np.arange(count) / period)
    return pl.DataFrame(
        {"day": times.astype("M8[us]"), "y": wave + noise * np.random.default_rng(seed).normal(size=count)}
    )


def shops(*sizes, levels=None, **options):
    """Series of the same wave, each so many times as large."""
    frames = [
        rows(seed=number, **options).with_columns(pl.col("y") * size + level, shop=pl.lit(f"s{number}"))
        for number, (size, level) in enumerate(zip(sizes, levels or [100.0] * len(sizes), strict=True))
    ]
    return read_table(pl.concat(frames), target="y", group="shop")


def said(panel, season=1, horizon=3, **options):
    return hints(SeriesDataModule(panel, window=8, horizon=horizon, **options), season)


def of_level(panel, **options):
    return [each for each in said(panel, **options) if "per_series" in each]


def test_small_series_beside_a_large_one_are_named():
    assert of_level(shops(1, 8)) == [
        "1 of 2 series ('s0') varies in y by less than half of the std of all, which scales them: "
        "data.scale=per_series data.scale_target=per_series scales each by its own"
    ]
    (told,) = of_level(shops(1, 1, 20, 1, 1, 1))
    assert told.startswith("5 of 6 series ('s0', 's1', 's3', ...) vary in y by less than half")


def test_series_of_one_size_on_levels_far_apart_are_named_too():
    (told,) = of_level(shops(1, 1, levels=[0, 100]))
    assert told.startswith("2 of 2 series ('s0', 's1') vary in y")


@pytest.mark.parametrize(
    "panel",
    [
        shops(1, 1),
        shops(1, 2),
        shops(1, 1, levels=[100, 101]),
        shops(*[1] * 20, 1e-6),  # one dead sensor among many
        read_table(rows(), target="y"),
    ],
    ids=["alike", "twice as large", "a level apart", "one of many", "one series"],
)
def test_where_series_are_alike_nothing_is_said(panel):
    assert of_level(panel) == []


def test_training_rows_alone_tell():
    frame = rows().with_columns(pl.when(pl.int_range(300) >= 210).then(1000 * pl.col("y")).otherwise("y").alias("y"))
    large = pl.concat([frame.with_columns(shop=pl.lit("late")), rows(seed=1).with_columns(shop=pl.lit("even"))])
    assert of_level(read_table(large, target="y", group="shop")) == []


@pytest.mark.parametrize("scale", ["per_series", "none"])
def test_what_was_chosen_is_not_questioned(scale):
    assert of_level(shops(1, 8), scale=scale, scale_target=scale) == []


def test_the_key_that_is_left_is_named():
    (told,) = of_level(shops(1, 8), scale="per_series", scale_target="standard")
    assert ": data.scale_target=per_series scales" in told


@pytest.mark.parametrize(
    ("made", "key", "named"),
    [
        ({}, 7, "a week"),
        ({"unit": "h", "period": 24}, 24, "a day"),
        ({"unit": "m", "every": 30, "period": 48}, 48, "a day"),
        ({"unit": "D", "every": 7, "period": 52}, 52, "a year"),
    ],
)
@pytest.mark.parametrize("horizon", [1, 3, 60])
def test_a_season_that_the_frequency_suggests_and_the_rows_have_is_named(made, key, named, horizon):
    (told,) = said(read_table(rows(600, **made), target="y"), None, horizon)
    assert told.startswith(
        f"the rows have a season of {named}: data.season={key} adds the forecast that repeats the last"
    )
    assert told.endswith(" less than persistence on the training rows")


def monthly(period):
    months = (np.datetime64("2000-01", "M") + np.arange(200)).astype("M8[us]")
    return read_table(rows(200, period=period).with_columns(day=pl.Series(months)), target="y")


def test_months_have_a_season_of_a_year_if_they_have_one():
    assert "data.season=12 " in said(monthly(12), None)[0]
    assert said(monthly(131), None) == []  # as sunspots have none


@pytest.mark.parametrize(
    "panel",
    [
        read_table(rows(period=60), target="y"),
        read_table(rows(size=0.0), target="y"),
        read_table(rows(unit="D", every=3), target="y"),
        read_table(rows().drop("day"), target="y"),
        read_table(rows(60, unit="m", every=30, period=48), target="y"),  # training ends within the first season
    ],
    ids=["another", "noise", "no usual frequency", "no stamps", "too few"],
)
def test_where_there_is_no_season_nothing_is_said(panel):
    assert said(panel, None) == []


def test_a_season_that_is_set_is_not_questioned():
    assert said(read_table(rows(), target="y"), 30) == []


def test_no_season_is_looked_for_across_gaps_and_series():
    """Each series has one; one after the other, or across what is absent, it is out of step."""
    frame = rows(400).filter(pl.int_range(400) % 40 != 20)
    mended = read_table(frame, target="y", mending=Mending(missing="interpolate", max_gap=0))
    assert len(said(mended, None)) == 1
    assert len(said(shops(1, 1, 1, count=103), None)) == 1


def test_labels_have_neither():
    labelled = pl.concat(
        [rows(20, seed=each).with_columns(id=pl.lit(f"{each}"), kind=pl.lit("ab"[each % 2])) for each in range(40)]
    )
    panel = read_table(labelled, features=["y"], group="id", label="kind")
    assert hints(SeriesDataModule(panel, task="classify"), None) == []
