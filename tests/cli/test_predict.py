"""`flatspot predict`, through its command line."""

from datetime import UTC

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from flatspot.cli.app import app
from flatspot.data.tables import read_table
from flatspot.run import load

HOURS = np.datetime64("2024-01-01", "us") + np.arange(200) * np.timedelta64(1, "h")


def table(rows=200):
    steps = np.arange(rows)
    values = 20 + 3 * np.sin(steps / 4) + np.random.default_rng(0).normal(size=rows)
    return pl.DataFrame({"hour": HOURS[:rows], "y": values})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("daten und läufe")
    table().write_csv(folder / "mine.csv")
    table(60).write_csv(folder / "new rows.csv")
    table(5).write_csv(folder / "short.csv")
    table(60).rename({"y": "z"}).write_csv(folder / "other.csv")
    table(60)[::3].write_csv(folder / "slower.csv")
    return folder


@pytest.fixture(scope="module")
def run(run_of, folder):
    return run_of("data=csv", f"data.path='{folder / 'mine.csv'}'", "data.window=8", "data.horizon=3")


@pytest.fixture
def predict(run, folder, monkeypatch):
    monkeypatch.chdir(folder)

    def called(*arguments, data="new rows.csv", out="forecasts.csv"):
        given = [str(run), "--data", data, "--out", out]
        return CliRunner().invoke(app, ["predict", *given, *arguments])

    return called


@pytest.mark.parametrize("out", ["forecasts.csv", "forecasts.parquet", "vorhersagen für märz.csv"])
@pytest.mark.parametrize("flags", [(), ("--every-origin",)])
def test_forecasts_go_to_a_file_as_python_gives_them(predict, run, folder, out, flags):
    (folder / out).unlink(missing_ok=True)
    done = predict(*flags, out=out)
    assert (done.exit_code, done.stderr) == (0, "")
    every = bool(flags)
    expected = load(run).predict(folder / "new rows.csv", every_origin=every)
    rows = 53 * 3 if every else 3
    columns = "series, target, hour, step, forecast, origin"
    assert done.stdout == f"{out}: {rows} rows: {columns}\n"
    path = folder / out
    written = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, try_parse_dates=True)
    assert written.equals(expected.with_columns(pl.col("step").cast(pl.Int64)))
    assert not list(folder.glob(".*"))


def test_stamps_stand_as_in_the_file_under_their_own_name(predict, folder):
    assert predict().exit_code == 0
    lines = (folder / "forecasts.csv").read_text().splitlines()
    assert lines[0] == "series,target,hour,step,forecast,origin"
    assert lines[1].startswith("new rows,y,2024-01-03T12:00:00,1,")  # as the file has them
    assert lines[1].endswith(",2024-01-03T11:00:00")
    assert len(lines) == 4


EVERY = {
    "1d": np.datetime64("2024-01-01", "us") + np.arange(90) * np.timedelta64(1, "D"),
    "1mo": (np.datetime64("2010-01", "M") + np.arange(90)).astype("M8[us]"),
    "3mo": (np.datetime64("2000-01", "M") + 3 * np.arange(90)).astype("M8[us]"),
    "1y": (np.datetime64("1900", "Y") + np.arange(90)).astype("M8[us]"),
}


def quarter(moment):
    return f"{moment:%Y}Q{(moment.month + 2) // 3}"


FORMS = [
    ("1d", lambda moment: f"{moment:%Y-%m-%d}", "2024-03-31"),
    ("1d", lambda moment: f"{moment:%Y/%m/%d}", "2024/03/31"),
    ("1d", lambda moment: f"{moment:%Y%m%d}", "20240331"),
    ("1d", lambda moment: f"{moment:%Y-%m-%d %H:%M}", "2024-03-31 00:00"),
    ("1d", lambda moment: f"{moment:%Y-%m-%dT%H:%M:%SZ}", "2024-03-31T00:00:00+00:00"),
    ("1d", lambda moment: f"{moment:%d %b %Y}", "2024-03-31"),
    ("1d", lambda moment: str(int(moment.replace(tzinfo=UTC).timestamp())), "1711843200"),
    ("1mo", lambda moment: f"{moment:%Y-%m}", "2017-07"),
    ("1mo", lambda moment: f"{moment:%Y%m}", "201707"),
    ("1mo", lambda moment: f"{moment:%b %Y}", "2017-07"),
    ("3mo", quarter, "2022Q3"),
    ("1y", lambda moment: f"{moment:%Y}", "1990"),
]


@pytest.mark.parametrize(("every", "form", "first"), FORMS, ids=[each[2] for each in FORMS])
def test_forecasts_are_read_again_as_they_were_meant(run_of, tmp_path, monkeypatch, every, form, first):
    monkeypatch.chdir(tmp_path)
    times, values = EVERY[every], np.random.default_rng(0).normal(size=90)
    trained_on = tmp_path / "typed.parquet"
    pl.DataFrame({"when": times, "y": values}).write_parquet(trained_on)
    run = _run_on(run_of, every, trained_on)
    written = [form(moment) for moment in times.tolist()]
    frames = [pl.DataFrame({"when": written, "shop": name, "y": values}) for name in ("north", "south")]
    pl.concat(frames).write_csv("rows.csv")
    assert forecast_alone(run, "--data", "rows.csv").exit_code == 0
    found = pl.read_csv("forecasts.csv", infer_schema=False)
    assert found.columns == ["shop", "target", "when", "step", "forecast", "origin"]
    assert found["shop"].to_list() == ["north"] * 3 + ["south"] * 3
    assert found["when"][0] == first
    again = read_table("forecasts.csv", target="forecast", time="when", group="shop")
    later = load(run).predict("rows.csv")["when"]
    assert again.series == ("north", "south")
    assert again.times[:].tolist() == later.cast(pl.Datetime("us")).to_list()
    later_still = read_table("rows.csv", target="y", time="when", group="shop").times[89]
    assert again.times[0] > later_still


def _run_on(run_of, every, path):
    """The same run for all forms of a frequency."""
    keys = ("data.time=when", "data.target=y", "data.group=shop", "data.window=6", "data.horizon=3")
    kept = RUNS.setdefault(every, path)
    if kept is path:
        rows = pl.read_parquet(path)
        pl.concat([rows.with_columns(shop=pl.lit(name)) for name in ("north", "south")]).write_parquet(path)
    return run_of("data=csv", f"data.path='{kept}'", *keys)


RUNS = {}


def test_days_are_days_in_python_too_and_moments_stay_moments(run_of, tmp_path):
    days = pl.DataFrame({"day": EVERY["1d"], "y": np.random.default_rng(0).normal(size=90)})
    days.with_columns(pl.col("day").cast(pl.Date)).write_csv(tmp_path / "days.csv")
    run = load(run_of("data=csv", f"data.path='{tmp_path / 'days.csv'}'", "data.window=6", "data.horizon=3"))
    for rows, kind in (
        (tmp_path / "days.csv", pl.Date),
        (days.with_columns(pl.col("day").cast(pl.Date)), pl.Date),
        (days, pl.Datetime("us")),
    ):
        found = run.predict(rows)
        assert [found.schema[name] for name in ("day", "origin")] == [kind, kind]
        assert str(found["day"][0])[:10] == "2024-03-31"
        assert run.forecast(rows).written()["day"][0] == "2024-03-31"


@pytest.mark.parametrize("taken", ["step", "origin", "forecast"])
def test_a_column_whose_name_is_taken_has_ours(run_of, tmp_path, taken):
    days = pl.DataFrame({taken: EVERY["1d"], "y": np.random.default_rng(0).normal(size=90)})
    days.write_parquet(tmp_path / "days.parquet")
    run = run_of("data=csv", f"data.path='{tmp_path / 'days.parquet'}'", "data.window=6", "data.horizon=3")
    assert load(run).predict().columns == ["series", "target", "time", "step", "forecast", "origin"]


def test_the_same_rows_are_forecast_alike_each_time(predict, folder):
    predict()
    first = (folder / "forecasts.csv").read_bytes()
    predict()
    assert (folder / "forecasts.csv").read_bytes() == first


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"out": "forecasts.xlsx"}, "--out forecasts.xlsx: write to a file that ends in .csv or .parquet"),
        ({"out": "forecasts"}, "--out forecasts: write to a file that ends in .csv or .parquet"),
        ({"out": "nowhere/forecasts.csv"}, "--out nowhere/forecasts.csv: there is no folder nowhere"),
        ({"out": "new rows.csv"}, "--out new rows.csv: is the file to read (--data)"),
        ({"out": "a folder.csv"}, "--out a folder.csv: cannot be written: "),
        ({"data": "nope.csv"}, "nope.csv: there is no such file"),
        ({"data": "."}, "is a folder, not a file"),
        ({"data": "other.csv"}, "other.csv: has no column 'y' (data.target); "),
        ({"data": "slower.csv"}, "slower.csv: its rows are 3h apart, and those of the run 1h"),
        ({"data": "short.csv"}, "short.csv: series 'short' has 5 rows, and a forecast needs 8 (data.window)"),
    ],
)
def test_what_cannot_be_used_is_told_in_a_sentence(predict, folder, options, message):
    (folder / "a folder.csv").mkdir(exist_ok=True)
    before = sorted(folder.iterdir())
    done = predict(**options)
    assert done.exit_code == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert message in line
    assert sorted(folder.iterdir()) == before


def test_a_run_that_is_none_is_told_in_a_sentence(folder):
    given = ["--data", str(folder / "new rows.csv"), "--out", str(folder / "x.csv")]
    done = CliRunner().invoke(app, ["predict", str(folder / "no run"), *given])
    assert (done.exit_code, done.stderr) == (2, f"error: {folder / 'no run'}: there is no such run folder\n")
    done = CliRunner().invoke(app, ["predict", str(folder), *given])
    assert done.exit_code == 2
    assert "holds no checkpoints/best.ckpt: it is no run folder, or its run did not finish an epoch" in done.stderr


def test_the_place_of_bad_input_is_shown_on_request(predict):
    done = predict("--traceback", data="other.csv")
    assert done.exit_code == 2
    assert "Traceback (most recent call last)" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("error: other.csv: has no column 'y'")


def forecast_alone(run, *arguments):
    return CliRunner().invoke(app, ["predict", str(run), *arguments])


def test_without_data_the_runs_own_file_is_read_as_it_is_now(run_of, folder, tmp_path, monkeypatch):
    table().write_csv(folder / "grows.csv")
    run = run_of("data=csv", f"data.path='{folder / 'grows.csv'}'", "data.window=8", "data.horizon=2")
    monkeypatch.chdir(tmp_path)
    assert forecast_alone(run).stdout.startswith(
        f"data    {folder / 'grows.csv'}, the run's own\nforecasts.csv: 2 rows: "
    )
    assert pl.read_csv("forecasts.csv").equals(_written(load(run).forecast(folder / "grows.csv"), tmp_path))
    table(100).write_csv(folder / "grows.csv")
    assert forecast_alone(run, "--force").exit_code == 0
    assert pl.read_csv("forecasts.csv").equals(_written(load(run).forecast(folder / "grows.csv"), tmp_path))
    (folder / "grows.csv").unlink()
    done = forecast_alone(run, "--out", "others.csv")
    told = f"error: {folder / 'grows.csv'}: the run's own file is not there any more; name rows with --data\n"
    assert (done.exit_code, done.stderr) == (2, told)


def _written(made, folder):
    """What `made` is in CSV."""
    made.written().write_csv(folder / "made.csv")
    return pl.read_csv(folder / "made.csv")


@pytest.mark.parametrize(
    "keys", [("data=sines", "data.steps=300"), ("data=adding", "data.count=60", "model=regressor")]
)
def test_without_data_made_series_are_forecast_after_their_end(run_of, keys, tmp_path, monkeypatch):
    shape = () if "model=regressor" in keys else ("data.window=8", "data.horizon=3")
    run = run_of(*keys, *shape)
    monkeypatch.chdir(tmp_path)
    done = forecast_alone(run, "--out", "x.parquet")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.startswith(f"data    {keys[0][5:]}, the run's own\nx.parquet: ")
    written = pl.read_parquet("x.parquet")
    assert written.columns[0] == "series"
    assert np.isfinite(written[:, -1 if shape == () else "forecast"].to_numpy()).all()
    assert forecast_alone(run, "data.missing=drop", "--out", "x.csv").stderr == (
        "error: data.missing=drop: is for other rows (--data); the run's own are mended as they were\n"
    )


def test_a_file_of_forecasts_is_not_written_over_in_silence(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert forecast_alone(run).exit_code == 0
    (tmp_path / "forecasts.csv").write_text("mine")
    done = forecast_alone(run)
    told = "error: forecasts.csv: is there already; --force writes over it, and --out names another file\n"
    assert (done.exit_code, done.stderr, (tmp_path / "forecasts.csv").read_text()) == (2, told, "mine")
    for flags in (("--force",), ("--out", "forecasts.csv")):
        done = forecast_alone(run, *flags)
        assert done.exit_code == 0
        assert "note    forecasts.csv was there, and is written over" in done.stdout.splitlines()
    assert not (tmp_path / "forecasts.csv").read_text().startswith("mine")


def test_what_is_our_own_fault_is_told_as_such(predict, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("flatspot.run.forecast", broken)
    done = predict()
    assert done.exit_code == 3
    assert "RuntimeError: a bug" in done.stderr
    monkeypatch.setattr("flatspot.run.forecast", interrupted)
    assert (predict().exit_code, predict().stderr) == (130, "error: interrupted\n")


def interrupted(*_, **__):
    raise KeyboardInterrupt


def test_what_was_done_to_the_rows_is_told(predict, folder):
    frame = pl.read_csv(folder / "new rows.csv")
    holes = frame.with_columns(pl.when(pl.int_range(pl.len()) != 9).then(pl.last()).alias(frame.columns[-1]))
    holes.write_csv(folder / "holes.csv")
    done = predict("data.missing=interpolate", data="holes.csv")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[0] == (
        f"note    1 missing value in 1 of {len(frame)} rows filled along the line between neighbours"
    )


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (
            "data.frequency=none",
            "data.frequency=none: other rows are read as those of the run, but for some data keys; known: "
            "duplicates, max_gap, missing, short, unsorted",
        ),
        (
            "data.misssing=drop",
            "data.misssing=drop: other rows are read as those of the run, but for some data keys; did you mean "
            "'missing'? (known: duplicates, max_gap, missing, short, unsorted)",
        ),
        ("new.csv", "new.csv: name other rows by --data new.csv"),
        ("data.path=new.csv", "data.path=new.csv: name other rows by --data new.csv"),
        (
            "missing=drop",
            "missing=drop: other rows are read as those of the run, but for some data keys; did you mean "
            "'data.missing'? (known: data.duplicates, data.max_gap, data.missing, data.short, data.unsorted)",
        ),
        ("data.max_gap=few", "data.max_gap=few: must be a whole number"),
        ("data.max_gap=-1", "data.max_gap=-1: must be at least 0"),
        (
            "data.missing=dorp",
            "data.missing=dorp: did you mean 'drop'? (known: drop, error, forward_fill, interpolate)",
        ),
    ],
)
def test_what_cannot_be_said_of_other_rows_is_refused(predict, typed, told):
    done = predict(typed)
    assert done.exit_code == 2
    assert done.stderr == f"error: {told}\n"
