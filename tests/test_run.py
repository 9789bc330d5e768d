"""A finished run from its folder: forecasts equal the network applied by hand, errors those of the run's own table."""

import json
import math
import shutil
from datetime import timedelta

import numpy as np
import polars as pl
import pytest
import torch
from torch.nn import functional as F

import flatspot
from flatspot.data.calendar import calendar_values
from flatspot.errors import BadInput
from flatspot.evaluate import origins
from flatspot.run import load

HOUR = np.timedelta64(1, "h")
ONE_HOUR = timedelta(hours=1)
WINDOW, HORIZON = 10, 4
SIZES = (f"data.window={WINDOW}", f"data.horizon={HORIZON}")


def waves(rows, seed=0, level=50.0):
    return level + 5 * np.sin(np.arange(rows) / 4) + np.random.default_rng(seed).normal(size=rows)


def hourly(rows=220, start="2024-01-01", every=1):
    times = np.datetime64(start, "us") + np.arange(rows) * every * HOUR
    return pl.DataFrame({"zeit": times, "größe": waves(rows), "other": waves(rows, 1), "text": ["-x"] * rows})


def grouped(lengths=None, start="2024-01-01"):
    frames = [
        pl.DataFrame(
            {
                "shop": [name] * length,
                "time": np.datetime64(start, "us") + np.arange(length) * HOUR,
                "sold": waves(length, seed, level),
            }
        )
        for seed, (name, (length, level)) in enumerate(
            (lengths or {"c": (100, 10), "a": (130, 500), "b": (90, -3)}).items()
        )
    ]
    return pl.concat(frames)


def labelled(count=60, seed=0):
    """Series of 6 to 11 rows; the label is whether their mean is high, and the size is that mean."""
    frames = []
    for number in range(count):
        level = (number % 2) * 4.0
        values = level + np.random.default_rng([seed, number]).normal(size=6 + number % 6)
        size, kind = float(values.mean()), "high" if level else "low"
        frames.append(pl.DataFrame({"id": f"n{number}", "x": values, "kind": kind, "size": size}))
    return pl.concat(frames)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the files of the runs are: a name with a space, and letters that are not ASCII."""
    return tmp_path_factory.mktemp("données été")


@pytest.fixture(scope="module")
def trained(run_of, folder):
    """Runs by the name of their data."""

    def of(name):
        frame, overrides = RUNS[name]
        path = folder / f"{name} file.csv"
        if not path.exists():
            frame.write_csv(path)
        return run_of("data=csv", f"data.path='{path}'", *overrides)

    return of


def monthly(rows=120, shift=0):
    months = np.datetime64("2010-02", "M") + np.arange(rows)
    times = months.astype("M8[D]") + np.timedelta64(shift, "D")
    return pl.DataFrame({"day": times, "y": waves(rows)})


RUNS = {
    "hourly": (
        hourly(),
        (*SIZES, "data.target='größe'", "data.features=[other]", "data.calendar=[hour,weekday]", "data.season=24"),
    ),
    "monthly": (monthly(shift=27), (*SIZES,)),
    "grouped": (
        grouped(),
        (*SIZES, "data.group=shop", "data.target=sold", "data.scale=per_series", "data.scale_target=per_series"),
    ),
    "rows": (
        pl.DataFrame({"a": waves(150), "b": waves(150, 1, -9)}),
        (*SIZES, "data.target=[a,b]", "data.scale_target=minmax"),
    ),
    "gaps": (
        hourly(200).with_columns(größe=pl.when(pl.int_range(pl.len()) % 41 != 7).then("größe")),
        (*SIZES, "data.target='größe'", "data.missing=interpolate", "data.max_gap=2", "data.short=skip"),
    ),
    "dropped": (
        hourly(200).with_columns(größe=pl.when(pl.int_range(pl.len()) % 41 != 7).then("größe")),
        (*SIZES, "data.target='größe'", "data.missing=drop", "data.calendar=[hour]"),
    ),
    "irregular": (
        pl.DataFrame({"time": np.datetime64("2024-01-01", "us") + np.arange(150) ** 2 * HOUR, "y": waves(150)}),
        (*SIZES, "data.frequency=none"),
    ),
    "classes": (labelled(), ("data.group=id", "data.label=kind", "data.features=[x]", "model=classifier")),
    "sizes": (labelled(), ("data.group=id", "data.label=size", "data.features=[x]", "model=regressor")),
    "kinds": (
        hourly().with_columns(kind=pl.Series(np.where(waves(220) > 50, "up", "down"))),
        ("data.window=10", "data.label=kind", "data.features=['größe']", "model=classifier"),
    ),
}


def metrics(run):
    return json.loads((run / "metrics.json").read_text())


@pytest.mark.parametrize("name", RUNS)
def test_evaluating_a_run_gives_the_very_figures_of_its_training(trained, name):
    run = trained(name)
    found = load(run).evaluate()
    kept = metrics(run)

    def finite(scores):
        return {key: None if math.isnan(value) else value for key, value in scores.items()}

    assert finite(found.scores()) == kept["test"]
    assert {baseline: finite(scores) for baseline, scores in found.baseline_scores().items()} == kept["baseline"]
    for figure, value in found.details().items():
        assert json.loads(json.dumps(value).replace("NaN", "null")) == kept[figure]


@pytest.mark.parametrize(
    "overrides",
    [
        ("data=frequency_classes", "data.count=60", "model=classifier"),
        ("data=adding", "data.count=100", "data.steps=10", "model=regressor"),
        (*SIZES, "data=alike", "data.count=3", "data.steps=100"),
    ],
)
def test_runs_on_series_that_are_made_are_evaluated_too(run_of, overrides):
    run = run_of(*overrides)
    assert load(run).evaluate().scores() == pytest.approx(
        {name: math.nan if value is None else value for name, value in metrics(run)["test"].items()}, nan_ok=True
    )


def scaled(run, rows):
    """In the network's units, by the scaling that the checkpoint keeps."""
    return run.model.input_scaling(torch.from_numpy(np.array(rows, float)))


@torch.no_grad()
def applied(run, inputs, row=None):
    """The network on one window, back in original units."""
    (outputs,) = run.model(inputs.unsqueeze(0))
    which = None if row is None else torch.tensor([row])
    return run.model.target_scaling.inverse(outputs.unsqueeze(0), which)[0].numpy()


def test_a_forecast_is_the_network_applied_to_the_last_window(trained):
    run, frame = load(trained("hourly")), hourly(83, "2025-03-09 05:00")
    found = run.predict(frame)
    assert found.columns == ["series", "target", "zeit", "step", "forecast", "origin"]
    last = frame[-WINDOW:]
    channels = last.select("größe", "other").to_numpy()
    times = last["zeit"].to_numpy()
    inputs = np.column_stack([channels, calendar_values(["hour", "weekday"], times + HORIZON * HOUR)])
    np.testing.assert_allclose(found["forecast"], applied(run, scaled(run, inputs))[:, 0], rtol=1e-6)
    assert found["step"].to_list() == [1, 2, 3, 4]
    np.testing.assert_array_equal(found["zeit"], times[-1] + np.arange(1, 5) * HOUR)
    assert set(found["origin"]) == {frame["zeit"][-1]}
    assert set(found["target"]) == {"größe"}


@pytest.mark.parametrize("name", ["hourly", "rows", "gaps", "irregular"])
def test_a_forecast_after_every_window_is_the_one_that_the_rows_up_to_it_give(trained, name):
    """What comes later changes no forecast, be it filled in between or not."""
    run, frame = load(trained(name)), RUNS[name][0][:60]
    every = run.predict(frame, every_origin=True)
    origin = sorted(set(every["origin"]))
    for end in (WINDOW, WINDOW + 1, 30, 59, 60):
        alone = run.predict(frame[:end])
        shared = every.filter(pl.col("origin") == alone["origin"][0])
        assert shared.drop("forecast").equals(alone.drop("forecast"))
        np.testing.assert_allclose(shared["forecast"], alone["forecast"], rtol=1e-5)
    assert len(every) == len(origin) * HORIZON * len(run.known.columns[: run.known.targets_first])


def test_no_forecast_begins_on_a_row_that_a_later_one_helped_to_fill(trained):
    frame = RUNS["gaps"][0][:60]
    found = load(trained("gaps")).predict(frame, every_origin=True)
    there = frame[WINDOW - 1 :].filter(pl.col("größe").is_not_null())["zeit"].to_list()
    assert sorted(set(found["origin"])) == there
    assert len(there) < 60 - WINDOW + 1


def test_where_rows_are_dropped_a_forecast_is_of_the_rows_that_follow(trained):
    frame = RUNS["dropped"][0][:60].filter(~pl.int_range(pl.len()).is_in([20, 21]))
    found = load(trained("dropped")).predict(frame, every_origin=True)
    there = frame.filter(pl.col("größe").is_not_null())["zeit"].to_list()
    after = [there[-1] + each * timedelta(hours=1) for each in range(1, HORIZON + 1)]
    rows = [*there, *after]
    for (origin,), steps in found.group_by("origin"):
        place = there.index(origin)
        assert steps["zeit"].to_list() == rows[place + 1 : place + 1 + HORIZON]
    assert found["origin"].n_unique() == len(there) - WINDOW + 1


@pytest.mark.parametrize("mark", ["NA", "", None])
def test_to_predict_takes_no_labels_and_to_evaluate_takes_those_that_there_are(trained, mark):
    run, frame = load(trained("kinds")), hourly(60)
    kinds = ["up" if number % 3 else "down" for number in range(60)]
    some = frame.with_columns(kind=pl.Series(kinds).set(pl.Series([40 < each < 50 for each in range(60)]), mark))
    assert run.predict(some, every_origin=True).equals(run.predict(frame, every_origin=True))
    assert run.evaluate(some).data.dataset("test").runs.counts.tolist() == [32, 10]
    whole = RUNS["classes"][0].with_columns(kind=pl.lit(mark, pl.String))
    assert load(trained("classes")).predict(whole).equals(load(trained("classes")).predict(whole.drop("kind")))


def test_a_lazy_frame_is_forecast_as_its_rows_are(trained):
    run, frame = load(trained("hourly")), hourly(40)
    assert run.predict(frame.lazy()).equals(run.predict(frame))


@pytest.mark.parametrize("shift", [0, 27, -1])
def test_a_months_day_stays_and_its_last_day_stays_the_last(trained, shift):
    run = load(trained("monthly"))
    for rows in range(WINDOW, WINDOW + 14):
        found = run.predict(monthly(rows, shift))
        months = np.datetime64("2010-02", "M") + rows + np.arange(HORIZON)
        expected = months.astype("M8[D]") + np.timedelta64(shift, "D")
        assert found["day"].to_list() == expected.tolist()


def test_rows_without_stamps_are_numbered(trained):
    found = load(trained("rows")).predict(RUNS["rows"][0][:35])
    assert found["target"].to_list() == ["a"] * HORIZON + ["b"] * HORIZON
    assert set(found["origin"]) == {35}
    assert found["time"].to_list() == [36, 37, 38, 39] * 2
    assert found["step"].to_list() == [1, 2, 3, 4] * 2


def test_several_targets_come_each_in_its_own_unit(trained):
    run, frame = load(trained("rows")), RUNS["rows"][0][:35]
    found = run.predict(frame)
    by_hand = applied(run, scaled(run, frame[-WINDOW:].to_numpy()))
    np.testing.assert_allclose(found["forecast"], by_hand.T.ravel(), rtol=1e-6)


def test_rows_without_a_frequency_give_forecasts_without_a_time(trained):
    frame = RUNS["irregular"][0][:40]
    found = load(trained("irregular")).predict(frame)
    assert found["time"].null_count() == HORIZON
    assert found.schema["time"] == pl.Datetime("us")
    assert set(found["origin"]) == {frame["time"][-1]}


def test_each_series_is_forecast_by_its_own_scaling_in_the_order_of_the_file(trained):
    run = load(trained("grouped"))
    frame = grouped({"b": (30, -3), "c": (25, 10)}, start="2024-03-01")
    found = run.predict(frame)
    assert found["shop"].to_list() == ["b"] * HORIZON + ["c"] * HORIZON
    ours = run.known.series
    for name in ("b", "c"):
        rows = frame.filter(pl.col("shop") == name)
        which = ours.index(name)
        mean, scale = (np.asarray(each)[which] for each in (run.known.inputs.mean, run.known.inputs.scale))
        inputs = torch.from_numpy((rows["sold"].to_numpy()[-WINDOW:, None] - mean) / scale).float()
        one = found.filter(pl.col("shop") == name)
        np.testing.assert_allclose(one["forecast"], applied(run, inputs, which)[:, 0], rtol=1e-5, atol=1e-5)
        assert one["time"][0] == rows["time"][-1] + (rows["time"][1] - rows["time"][0])


@pytest.mark.parametrize("every_origin", [False, True])
def test_a_series_that_training_has_not_seen_is_scaled_by_itself(trained, every_origin):
    run = load(trained("grouped"))
    plain = grouped({"new": (40, 0)})
    larger = plain.with_columns(pl.lit("newer").alias("shop"), pl.col("sold") * 1000 + 9e5)
    found = run.predict(pl.concat([plain, larger]), every_origin=every_origin)
    one, other = (found.filter(pl.col("shop") == name)["forecast"] for name in ("new", "newer"))
    np.testing.assert_allclose(other, one * 1000 + 9e5, rtol=1e-6)
    assert len(one) == HORIZON * (31 if every_origin else 1)


def test_at_every_origin_an_unseen_series_is_scaled_by_the_past_alone(trained):
    run = load(trained("grouped"))
    frame = grouped({"new": (40, 0)})
    wild = frame.with_columns(pl.when(pl.int_range(40) < 20).then("sold").otherwise(1e6).alias("sold"))
    one, other = (run.predict(each, every_origin=True) for each in (frame, wild))
    early = pl.col("origin") < frame["time"][20]
    assert one.filter(early).equals(other.filter(early))


def test_one_origin_has_one_forecast_of_a_new_series_however_it_is_asked_for(trained):
    run, frame = load(trained("grouped")), grouped({"b": (40, -3), "nwe": (40, 700)})
    every = run.predict(frame, every_origin=True)
    last = every.filter(pl.col("origin") == frame["time"].max())
    alone = run.predict(frame)
    assert last.drop("forecast").equals(alone.drop("forecast"))
    np.testing.assert_allclose(last["forecast"], alone["forecast"], rtol=1e-5)
    module = run.evaluate(frame).data
    windows = module.prepared.scalings.targets.mean
    np.testing.assert_allclose(np.asarray(windows)[1], frame["sold"][40 : 40 + WINDOW].mean())


def test_a_series_that_is_new_to_the_run_is_told(trained):
    run = load(trained("grouped"))
    told = f"1 of 2 series is new to the run ('nwe'): it is scaled by its own first {WINDOW} rows without a gap"
    frame = grouped({"b": (40, -3), "nwe": (40, 700)})
    assert told in run.forecast(frame).notes
    assert told in run.evaluate(frame).data.prepared.notes
    several = run.forecast(grouped(dict.fromkeys("defgh", (40, 5)))).notes
    told = "5 of 5 series are new to the run ('d', 'e', 'f', ...): each is scaled by its own first"
    assert several == (f"{told} {WINDOW} rows without a gap",)
    assert not run.forecast(grouped({"b": (40, -3)})).notes
    assert not load(trained("classes")).forecast(RUNS["classes"][0]).notes


@pytest.mark.parametrize("held", [0, 1])
def test_a_new_series_that_begins_with_a_gap_is_scaled_by_its_first_whole_window(trained, held):
    """A gap that is too long to fill, with no value before it, or one."""
    run, missing = load(trained("grouped")), 13
    level = grouped({"new": (60, 700)}).with_columns(number=pl.int_range(60))
    holes = (pl.col("number") >= held) & (pl.col("number") < missing)
    gap = level.with_columns(sold=pl.when(~holes).then("sold")).drop("number")
    whole = level[missing:].drop("number")
    for every_origin in (False, True):
        found, expected = (
            run.predict(rows, every_origin=every_origin, missing="forward_fill") for rows in (gap, whole)
        )
        np.testing.assert_allclose(found["forecast"], expected["forecast"], rtol=1e-5)
    scores = [run.evaluate(rows, missing="forward_fill").scores()["mae"] for rows in (gap, whole)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-5)


def test_a_new_series_with_one_label_is_scaled_by_all_of_its_rows(run_of, folder):
    path = folder / "whole.csv"
    labelled().write_csv(path)
    scales = ("data.scale=per_series", "data.scale_target=per_series")
    run = load(run_of("data=csv", f"data.path='{path}'", *RUNS["classes"][1], *scales))
    long = pl.DataFrame({"id": ["long"] * 40, "x": waves(40), "kind": ["high"] * 40})
    other = long.with_columns(id=pl.lit("other"), kind=pl.lit("low"))
    means = run.evaluate(pl.concat([long, other])).data.prepared.scalings.inputs.mean
    np.testing.assert_allclose(means, [[long["x"].mean()]] * 2)


def test_files_and_frames_give_the_same_forecasts(trained, tmp_path):
    run, frame = load(trained("hourly")), hourly(50)
    expected = run.predict(frame)
    frame.write_csv(tmp_path / "neue daten.csv")
    frame.write_parquet(tmp_path / "neue daten.parquet")
    for each in ("neue daten.csv", "neue daten.parquet"):
        for path in (tmp_path / each, str(tmp_path / each)):
            found = run.predict(path)
            assert set(found["series"]) == {"neue daten"}
            assert found.drop("series").equals(expected.drop("series"))
    assert run.predict({name: frame[name].to_list() for name in frame.columns}).equals(expected)


def test_columns_may_stand_in_another_order_and_a_feature_may_be_constant(trained):
    run = load(trained("hourly"))
    frame = hourly(50).with_columns(other=pl.lit(3.0))
    shuffled = frame.select("other", "größe", "text", "zeit")
    assert run.predict(frame).equals(run.predict(shuffled))
    assert run.predict(frame)["forecast"].is_finite().all()
    assert math.isfinite(run.evaluate(frame).scores()["mae"])


@pytest.mark.parametrize(
    ("name", "frame", "message"),
    [
        (
            "hourly",
            hourly(50).rename({"größe": "grösse"}),
            "the frame: has no column 'größe' .*; did you mean 'grösse'",
        ),
        ("hourly", hourly(50).drop("other"), r"the frame: has no column 'other' \(data.features\)"),
        ("hourly", hourly(50, every=2), "the frame: its rows are 2h apart, and those of the run 1h"),
        ("hourly", hourly(50).drop("zeit"), r"the frame: has no column 'zeit' \(data.time\)"),
        ("hourly", hourly(9), "series 'the frame' has 9 rows, and a forecast needs 10"),
        (
            "hourly",
            hourly(50).with_columns(other=pl.when(pl.int_range(50) != 4).then("other")),
            "the frame: row 5, column 'other': the value is missing",
        ),
        ("hourly", hourly(50)[[*range(20), *range(22, 50)]], "2 absent rows of 1h before 2024-01-01 22:00"),
        ("hourly", hourly(50)[::-1], "data.unsorted=sort"),
        ("hourly", pl.concat([hourly(50)] * 2), "2024-01-01 00:00:00 comes before the row before it"),
        ("hourly", hourly(0), "the frame: has no rows"),
        ("hourly", 7, "the frame: polars makes no table of a int"),
        ("hourly", "no such file.csv", "no such file.csv: there is no such file"),
        ("monthly", monthly(50)[::3], "the frame: its rows are 1q apart, and those of the run 1mo"),
        ("grouped", grouped().drop("shop"), r"the frame: has no column 'shop' \(data.group\)"),
        (
            "grouped",
            grouped({"a": (30, 0), "b": (9, 0), "new": (2, 0)}),
            r"2 of 3 series have fewer than 10 rows \('b', 'new'\)",
        ),
        (
            "gaps",
            hourly(50).with_columns(größe=pl.when(pl.int_range(50) < 49).then("größe")),
            "has a gap in its last 10 rows",
        ),
        (
            "gaps",
            hourly(50).with_columns(größe=pl.when(pl.int_range(50) < 0).then("größe")),
            "has a gap in its last 10 rows",
        ),
        ("classes", labelled().drop("x"), "the frame: has no column 'x'"),
    ],
)
def test_rows_that_are_not_like_those_of_the_run_are_refused_by_name(trained, name, frame, message):
    run = load(trained(name))
    with pytest.raises(BadInput, match=message):
        run.predict(frame)


@pytest.mark.parametrize("rows", [9, 50])
def test_rows_without_one_whole_window_have_no_origin(trained, rows):
    gaps = hourly(rows).with_columns(größe=pl.when(pl.int_range(rows) % 8 < 5).then("größe"))
    with pytest.raises(BadInput, match=f"the frame: {rows} rows hold no whole window of 10"):
        load(trained("gaps")).predict(gaps, every_origin=True)


def test_short_series_are_skipped_where_the_run_skipped_them(run_of, folder):
    path = folder / "short.csv"
    grouped({"a": (100, 0), "b": (5, 0), "c": (90, 0)}).write_csv(path)
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, "data.group=shop", "data.short=skip"))
    assert run.known.series == ("a", "c")
    found = run.predict(grouped({"a": (30, 0), "b": (9, 0)}))
    assert set(found["shop"]) == {"a"}
    with pytest.raises(BadInput, match="every series has fewer than 10 rows"):
        run.predict(grouped({"a": (3, 0), "b": (9, 0)}))


def test_another_file_is_evaluated_over_all_its_origins(trained):
    run, frame = load(trained("hourly")), hourly(70, "2025-06-01")
    found = run.evaluate(frame)
    assert len(found.series) == 70 - WINDOW - HORIZON + 1
    every = run.predict(frame, every_origin=True)
    truth = dict(zip(frame["zeit"], frame["größe"], strict=True))
    known = every.filter(pl.col("zeit") <= frame["zeit"][-1])
    whole = known.filter(pl.len().over("origin") == HORIZON)
    error = [abs(row["forecast"] - truth[row["zeit"]]) for row in whole.iter_rows(named=True)]
    assert found.scores()["mae"] == pytest.approx(np.mean(error), rel=1e-6)
    own = run.evaluate().data
    assert found.baseline_scores()["mean"]["mae"] == pytest.approx(
        np.mean([abs(own.naive.means[0, 0] - truth[each]) for each in whole["zeit"]]), rel=1e-5
    )


def test_the_rows_that_were_trained_on_evaluate_alike_from_the_file(trained, folder):
    """The windows of the test split, from the whole file: the same forecasts, to the last digit."""
    run = load(trained("grouped"))
    own, whole = run.evaluate(), run.evaluate(folder / "grouped file.csv")
    places = {row: number for number, row in enumerate(origins(whole.data.every_window("test")).tolist())}
    chosen = [places[row] for row in origins(own.data.every_window("test")).tolist()]
    torch.testing.assert_close(whole.outputs[chosen], own.outputs)
    torch.testing.assert_close(whole.targets[chosen], own.targets)


def test_a_classifier_names_classes_with_their_probabilities(trained):
    run = load(trained("classes"))
    fresh = labelled(12, seed=1)
    found = run.predict(fresh.drop("kind", "size"))
    assert found.columns == ["id", "class", "probability high", "probability low"]
    assert found["id"].to_list() == [f"n{number}" for number in range(12)]
    for row in found.iter_rows(named=True):
        values = fresh.filter(pl.col("id") == row["id"])["x"].to_numpy()[:, None]
        with torch.no_grad():
            shares = F.softmax(run.model(scaled(run, values).unsqueeze(0))[0], dim=-1).numpy()
        assert [row["probability high"], row["probability low"]] == pytest.approx(shares.tolist(), rel=1e-5)
        assert row["class"] == ["high", "low"][shares.argmax()]
    scores = run.evaluate(fresh).scores()
    truth = fresh.group_by("id", maintain_order=True).first()["kind"]
    assert scores["accuracy"] == pytest.approx((found["class"] == truth).mean())


def test_a_regressor_says_numbers_in_the_units_of_its_labels(trained):
    run = load(trained("sizes"))
    fresh = labelled(12, seed=1)
    found = run.predict(fresh)
    assert found.columns == ["id", "prediction"]
    for row in found.iter_rows(named=True):
        values = fresh.filter(pl.col("id") == row["id"])["x"].to_numpy()[:, None]
        assert row["prediction"] == pytest.approx(applied(run, scaled(run, values))[0, 0], rel=1e-5)
    truth = fresh.group_by("id", maintain_order=True).first()["size"]
    assert run.evaluate(fresh).scores()["mae"] == pytest.approx((found["prediction"] - truth).abs().mean(), rel=1e-5)


def test_a_window_is_classed_at_its_last_row(trained):
    run, frame = load(trained("kinds")), hourly(30)
    last, every = run.predict(frame), run.predict(frame, every_origin=True)
    assert last.columns == ["series", "origin", "class", "probability down", "probability up"]
    assert (len(last), len(every)) == (1, 21)
    assert every[-1].drop("probability down", "probability up").equals(last.drop("probability down", "probability up"))
    np.testing.assert_allclose(every["probability up"][-1], last["probability up"][0], rtol=1e-5)
    assert last["origin"][0] == frame["zeit"][-1]


@pytest.mark.parametrize(
    ("name", "fresh", "message"),
    [
        ("classes", labelled(12).drop("kind"), r"the frame: has no column 'kind' \(data.label\) to evaluate against"),
        ("sizes", labelled(12).drop("size"), r"the frame: has no column 'size' \(data.label\) to evaluate against"),
        (
            "classes",
            labelled(12).with_columns(kind=pl.lit("middling")),
            r"column 'kind': 'middling' is no class that the network knows \(high, low\)",
        ),
        ("sizes", labelled(12).with_columns(size=pl.lit("large")), "column 'size': 'large' is not a number"),
        ("hourly", hourly(WINDOW + HORIZON - 1), "the frame: has no window to evaluate"),
    ],
)
def test_what_there_is_nothing_to_score_against_is_refused_by_name(trained, name, fresh, message):
    with pytest.raises(BadInput, match=message):
        load(trained(name)).evaluate(fresh)


def test_a_changed_or_moved_file_of_the_run_is_refused_with_the_way_out(run_of, folder):
    path = folder / "moving.csv"
    frame = hourly()
    frame.write_csv(path)
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, "data.target='größe'"))
    before = run.evaluate().scores()
    frame.with_columns(größe=pl.when(pl.int_range(220) == 3).then(70.0).otherwise("größe")).write_csv(path)
    with pytest.raises(
        BadInput, match=r"moving.csv: its rows are not those of the run any more; give the rows to evaluate with --data"
    ):
        run.evaluate()
    path.unlink()
    with pytest.raises(BadInput, match=r"moving.csv: there is no such file; give the rows to evaluate with --data"):
        run.evaluate()
    frame.write_csv(path)
    assert run.evaluate().scores() == before


def changed(row, **columns):
    return hourly().with_columns(
        pl.when(pl.int_range(220) == row).then(value).otherwise(name).alias(name) for name, value in columns.items()
    )


@pytest.mark.parametrize(
    "frame",
    [
        changed(215, größe=70.0),
        changed(200, other=70.0),
        changed(215, größe=waves(220)[215] + 1e-4),
        hourly(219),
        hourly(221),
        hourly().with_columns(pl.col("größe") * 2 + 1),
        hourly().with_columns(größe=pl.col("größe").head(200).append(pl.col("größe").tail(20).reverse())),
    ],
)
def test_rows_that_have_changed_anywhere_are_noticed(run_of, folder, frame):
    path = folder / "changing.csv"
    hourly().write_csv(path)
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, "data.target='größe'", "data.features=[other]"))
    frame.write_csv(path)
    with pytest.raises(BadInput, match=r"changing.csv: its rows are not those of the run any more"):
        run.evaluate()


def test_rounding_is_no_other_row(trained, monkeypatch):
    run = load(trained("grouped"))
    kept = run.known.plain()
    for name in ("inputs", "targets"):
        kept[name]["mean"] = (np.asarray(kept[name]["mean"]) * (1 + 1e-13)).tolist()
    kept["signature"] = (np.asarray(kept["signature"]) * (1 - 1e-12)).tolist()
    monkeypatch.setattr(run, "known", type(run.known).of(kept))
    assert run.evaluate().scores()["mae"] == pytest.approx(metrics(run.folder)["test"]["mae"])


def test_changed_labels_are_noticed(run_of, folder):
    path, frame = folder / "labels.csv", RUNS["classes"][0]
    frame.write_csv(path)
    run = load(run_of("data=csv", f"data.path='{path}'", *RUNS["classes"][1]))
    swapped = {"n0": "high", "n1": "low"}
    frame.with_columns(kind=pl.col("id").replace_strict(swapped, default=pl.col("kind"))).write_csv(path)
    with pytest.raises(BadInput, match=r"labels.csv: its rows are not those of the run any more"):
        run.evaluate()


def test_what_a_run_was_told_of_its_stamps_holds_for_other_rows(run_of, folder):
    path = folder / "stamps.csv"
    sparse = hourly(300)[sorted({*range(0, 300, 2), *range(150, 300)})]
    sparse.with_columns(saved=pl.lit("2024-05-05")).write_csv(path)
    keys = ("data.target='größe'", "data.frequency=1h", "data.missing=interpolate", "data.time=zeit")
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, *keys))
    fresh = hourly(60)[::2].select(pl.lit("2024-05-05").alias("saved"), "zeit", "größe")
    assert run.predict(fresh)["zeit"][0] == fresh["zeit"][-1] + ONE_HOUR
    assert run.evaluate(fresh).data.panel.rows == 59


def test_the_stamps_that_were_found_are_those_of_other_rows_too(trained):
    run = load(trained("hourly"))
    fresh = hourly(40).select(pl.lit("2020-01-01").alias("first"), "zeit", "größe", "other")
    assert run.predict(fresh)["zeit"][0] == fresh["zeit"][-1] + ONE_HOUR


def test_one_trained_group_lends_its_scaling_to_no_other(run_of, folder):
    path = folder / "one group.csv"
    grouped({"a": (150, 500)}).write_csv(path)
    keys = ("data.group=shop", "data.target=sold", "data.scale=per_series", "data.scale_target=per_series")
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, *keys))
    fresh = grouped({"b": (40, -3)})
    moved = fresh.with_columns(pl.col("sold") + 1000)
    np.testing.assert_allclose(run.predict(moved)["forecast"], run.predict(fresh)["forecast"] + 1000, rtol=1e-4)


def test_missing_values_are_mended_on_request(trained):
    run = load(trained("hourly"))
    fresh = hourly(40).with_columns(größe=pl.when(pl.int_range(40) != 20).then("größe"))
    with pytest.raises(BadInput, match=r"row 21, column 'größe': the value is missing"):
        run.predict(fresh)
    assert len(run.predict(fresh, missing="interpolate")) == HORIZON
    assert len(run.evaluate(fresh, missing="forward_fill").series)
    with pytest.raises(BadInput, match=r"data.missing=mend: "):
        run.predict(fresh, missing="mend")
    with pytest.raises(BadInput, match=r"data.missing=drop: is for other rows \(--data\); the run's own are mended"):
        run.evaluate(missing="drop")
    with pytest.raises(BadInput, match=r"data.frequency=2h: cannot be said of other rows; known: duplicates, max_gap"):
        run.predict(fresh, frequency="2h")


def test_other_rows_are_mended_in_every_way_that_those_of_a_run_are(trained):
    run, rows = load(trained("hourly")), hourly(40)
    twice = pl.concat([rows[:20], rows[19:]])
    backwards = rows.reverse()
    with pytest.raises(BadInput, match=r"comes twice \(1 such row\); data.duplicates=first, last or mean keeps one$"):
        run.predict(twice)
    with pytest.raises(BadInput, match=r"data.unsorted=sort puts them in order$"):
        run.predict(backwards)
    expected = run.predict(rows)
    assert run.predict(twice, duplicates="last").equals(expected)
    assert run.predict(backwards, unsorted="sort").equals(expected)
    assert run.evaluate(twice, duplicates="first").scores() == run.evaluate(rows).scores()


def test_rows_may_be_absent_as_often_as_not_and_are_of_the_runs_frequency(trained):
    """Every third row is absent: as many neighbours are two hours apart as one."""
    run, rows = load(trained("hourly")), hourly(61)
    found = run.forecast(rows.filter(pl.int_range(61) % 3 != 1), missing="interpolate")
    assert "20 absent rows of 1h put in, to be filled" in found.notes
    assert found.frame["zeit"][0] == rows["zeit"][-1] + ONE_HOUR
    absent = rows.filter(~pl.int_range(61).is_in([30, 31]))
    told = r"row 31: 2 absent rows of 1h before 2024-01-02 08:00:00 \(1 such gap\); data.missing=interpolate or "
    with pytest.raises(BadInput, match=told + "forward_fill puts them in, drop goes on across them$"):
        run.predict(absent)
    with pytest.raises(BadInput, match="its rows are 2h apart, and those of the run 1h"):
        run.predict(rows[::2], missing="interpolate")
    shifted = rows.with_columns(
        pl.when(pl.int_range(61) == 7).then(pl.col("zeit") + timedelta(minutes=7)).otherwise("zeit")
    )
    with pytest.raises(
        BadInput, match=r"row 8: 2024-01-01 07:07:00 is no whole number of steps of 1h after the row before$"
    ):
        run.predict(shifted)
    with pytest.raises(BadInput, match=r"row 3, column 'zeit': the value is missing; every row needs its time stamp$"):
        run.predict(rows.with_columns(pl.when(pl.int_range(61) != 2).then("zeit")))


def test_the_form_of_the_runs_stamps_is_that_of_other_rows(run_of, folder):
    """Weeks in seconds since 1970: about 1970 these are small, and by themselves would count rows."""
    path = folder / "weeks.csv"
    weeks = np.datetime64("1966-01-03", "s") + np.arange(1200) * np.timedelta64(7, "D")
    frame = pl.DataFrame({"t": weeks.astype(np.int64), "y": waves(1200)})
    frame.write_csv(path)
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, "data.time=t", "data.target=y"))
    slices = frame[180:260]
    assert slices["t"].abs().max() < 1e8
    found = run.predict(slices)
    assert found["t"][0] == weeks[260].astype(object)


def test_a_series_that_is_too_short_is_left_out_on_request(trained):
    run, frame = load(trained("grouped")), grouped({"b": (40, -3), "c": (3, 10)})
    with pytest.raises(BadInput, match=r"1 of 2 series have fewer .* data.short=skip leaves them out"):
        run.predict(frame)
    assert set(run.predict(frame, short="skip")["shop"]) == {"b"}
    assert len(run.evaluate(frame, short="skip").data.panel.series) == 1


def test_a_gap_that_is_no_number_is_refused(trained):
    with pytest.raises(BadInput, match=r"data.max_gap=2: must be a whole number"):
        load(trained("hourly")).predict(hourly(40), max_gap="2")


@pytest.mark.parametrize("missing", ["error", "drop"])
def test_no_other_column_is_asked_for_where_columns_are_settled(trained, missing):
    empty = hourly(40).with_columns(other=pl.lit(None, pl.Float64))
    with pytest.raises(BadInput, match=r"column 'other' has no value (in any row|from row 1 to 40)$"):
        load(trained("hourly")).predict(empty, missing=missing)


def test_an_empty_column_of_labels_is_told_from_one_that_is_not_there(trained):
    run, rows = load(trained("classes")), labelled(4)
    with pytest.raises(BadInput, match=r"column 'kind' \(data.label\) is empty: there is nothing to evaluate against"):
        run.evaluate(rows.with_columns(kind=pl.lit(None, pl.String)))


def test_made_series_are_told_apart_by_a_column_of_their_own(run_of):
    run = load(run_of("data=alike", "data.count=3", "data.steps=120", *SIZES))
    fresh = pl.DataFrame({"series": ["u"] * 40 + ["v"] * 30, run.known.columns[0]: waves(70)})
    assert run.predict(fresh)["series"].unique(maintain_order=True).to_list() == ["u", "v"]


def test_whole_series_have_one_answer_each(trained):
    with pytest.raises(BadInput, match="each series has one label, and so one answer"):
        load(trained("classes")).predict(labelled(4), every_origin=True)


def test_the_labels_of_rows_to_predict_are_not_read(trained):
    fresh = labelled(4).with_columns(kind=pl.lit(None, pl.String))
    assert len(load(trained("classes")).predict(fresh)) == 4


def test_dates_are_no_matter_where_the_run_had_none(trained):
    fresh = hourly(50).rename({"größe": "a", "other": "b"})
    assert load(trained("rows")).predict(fresh)["time"].to_list()[:2] == [51, 52]


def test_a_series_that_begins_after_training_is_evaluated_like_the_others(run_of, folder):
    path = folder / "late.csv"
    early, late = grouped({"early": (150, 0)}), grouped({"late": (40, 900)}, start="2024-01-05 14:00")
    pl.concat([early, late]).write_csv(path)
    dates = ("data.val_from=2024-01-04", "data.test_from='2024-01-05 12:00'")
    keys = ("data.group=shop", "data.scale=per_series", "data.scale_target=per_series")
    run = load(run_of("data=csv", f"data.path='{path}'", *SIZES, *keys, *dates))
    found = run.evaluate()
    assert set(found.details()["by_series"]) == {"early", "late"}
    assert found.scores() == metrics(run.folder)["test"]
    assert run.known.trained_until == "2024-01-03T23:00:00.000000"


@pytest.fixture
def copied(trained, tmp_path):
    return shutil.copytree(trained("rows"), tmp_path / "copy")


def test_a_run_may_be_moved_and_is_loaded_by_the_public_name(copied):
    assert flatspot.load(str(copied)).evaluate().scores() == metrics(copied)["test"]


def test_a_run_is_loaded_without_its_other_files(copied):
    for each in ("config.yaml", ".hydra/config.yaml", "metrics.json", "evidence.jsonl"):
        (copied / each).unlink()
    assert len(load(copied).predict(RUNS["rows"][0])) == 2 * HORIZON


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (shutil.rmtree, "copy: there is no such run folder"),
        (lambda run: shutil.rmtree(run / "checkpoints"), "copy: holds no checkpoints/best.ckpt: it is no run folder"),
        (
            lambda run: (run / "checkpoints/best.ckpt").write_bytes((run / "checkpoints/best.ckpt").read_bytes()[:999]),
            "best.ckpt: cannot be read as a checkpoint of this version: ",
        ),
        (
            lambda run: (run / "checkpoints/best.ckpt").write_text("weights"),
            "best.ckpt: cannot be read as a checkpoint of this version: ",
        ),
        (
            lambda run: torch.save([1], run / "checkpoints/best.ckpt"),
            "best.ckpt: cannot be read as a checkpoint of this version: ",
        ),
        (
            lambda run: torch.save({"state_dict": {}}, run / "checkpoints/best.ckpt"),
            "best.ckpt: cannot be read as a checkpoint of this version: ",
        ),
        (lambda run: forget(run, "state_dict"), "best.ckpt: cannot be read as a checkpoint of this version: "),
    ],
)
def test_what_is_no_whole_run_is_refused_by_name(copied, harm, message):
    harm(copied)
    with pytest.raises(BadInput, match=message):
        load(copied)


def forget(run, key):
    path = run / "checkpoints/best.ckpt"
    kept = torch.load(path, weights_only=True)
    kept[key] = {}
    torch.save(kept, path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:50]),
        lambda path: path.write_text(""),
    ],
)
def test_a_missing_reference_is_named(copied, harm):
    harm(copied / "ridge.npz")
    with pytest.raises(BadInput, match=r"ridge.npz: cannot be read as the run's reference: "):
        load(copied).evaluate()
    assert len(load(copied).predict(RUNS["rows"][0])) == 2 * HORIZON


def test_the_reference_of_another_run_is_refused(copied, trained):
    shutil.copy(trained("hourly") / "ridge.npz", copied / "ridge.npz")
    with pytest.raises(BadInput, match=r"ridge.npz: is the reference of another run"):
        load(copied).evaluate()


@pytest.mark.parametrize("key", ["a key of tomorrow's", "source", "inputs"])
def test_a_checkpoint_of_another_version_is_told_so(copied, key):
    path = copied / "checkpoints/best.ckpt"
    kept = torch.load(path, weights_only=True)
    kept["SeriesDataModule"][key] = {}
    torch.save(kept, path)
    with pytest.raises(BadInput, match=r"best.ckpt: cannot be read as a checkpoint of this version: "):
        load(copied)


def test_the_lightning_module_alone_tells_what_it_was_trained_on(trained):
    run = load(trained("grouped"))
    kept = torch.load(run.folder / "checkpoints/best.ckpt", weights_only=True)["SeriesDataModule"]
    assert (kept["columns"], kept["series"], kept["frequency"]) == (["sold"], ["c", "a", "b"], "1h")
    assert kept["source"]["data"]["group"] == "shop"
