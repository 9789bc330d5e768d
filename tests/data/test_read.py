"""Reading anybody's table: its numbers, dates and series; what is odd about the rows, mended on request and told."""

import csv as plain_csv
import gzip
import io
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.datasets import DATASETS
from flatspot.data.frequency import Step, infer_frequency, parse_frequency
from flatspot.data.mending import Mending
from flatspot.data.panel import Panel
from flatspot.data.sources import MISSING
from flatspot.data.tables import read_table
from flatspot.errors import BadInput

SHARED = Path(__file__).parents[3] / "shared" / "data"
has_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the real series beside the repository are not here")

GOOD = "day,sales,price,shop\n2024-01-01,3,1.5,a\n2024-01-02,4,1.6,b\n2024-01-03,5,1.7,a\n"


@pytest.fixture
def written(tmp_path):
    def write(text, name="my.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_target_features_and_time_are_read(written):
    panel = read_table(written(GOOD), target="sales", features=["price"], time="day")
    assert panel.columns == ("sales", "price")
    assert panel.targets == ("sales",)
    assert panel.frequency == "1d"
    np.testing.assert_array_equal(panel.values, [[3, 1.5], [4, 1.6], [5, 1.7]])
    assert str(panel.times[0]) == "2024-01-01T00:00:00.000000"


def test_several_targets_stand_first(written):
    panel = read_table(written(GOOD), target=["price", "sales"])
    assert (panel.columns, panel.num_targets) == (("price", "sales"), 2)


def test_what_is_not_said_is_told_from_the_columns(written):
    assert read_table(written(GOOD), target="price", features="all").columns == ("price", "sales")
    assert read_table(written(GOOD), target="sales").times is not None
    assert read_table(written("day,y\n2024-01-01,1\n2024-01-02,2\n")).columns == ("y",)
    assert read_table(written("y\n3\n1\n2\n")).times is None
    assert read_table(written("a,b\n1.5,2024.25\n2.5,2024.5\n"), target="a").times is None


@pytest.mark.parametrize(
    ("stamps", "first"),
    [
        (("2024-01-01", "2024-01-02"), "2024-01-01"),
        (("2024-01-01 10:00", "2024-01-01 11:00"), "2024-01-01T10:00"),
        (("2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z"), "2024-01-01T10:00"),
        (("2024-01-01 10:00:00.250", "2024-01-01 10:00:00.500"), "2024-01-01T10:00:00.250"),
        (("2024/01/01", "2024/01/02"), "2024-01-01"),
        (("2024-01", "2024-02"), "2024-01-01"),
        (("2024-01-01T10:00:00+02:00", "2024-01-01T09:00:00+00:00"), "2024-01-01T08:00"),
        (("1990", "1991"), "1990-01-01"),
        (("1704067200", "1704067260"), "2024-01-01"),
        (("1704067200000", "1704067260000"), "2024-01-01"),
        (("1704067200000000", "1704067260000000"), "2024-01-01"),
        (("1704067200000000000", "1704067260000000000"), "2024-01-01"),
        (("1704067200.5", "1704067201.5"), "2024-01-01T00:00:00.5"),
    ],
)
def test_time_stamps_in_the_usual_forms(written, stamps, first):
    panel = read_table(written(f"t,y\n{stamps[0]},1\n{stamps[1]},2\n"), time="t")
    assert panel.times[0] == np.datetime64(first, "us")
    assert panel.times[0] < panel.times[1]


def test_a_date_in_several_columns(written):
    text = "hour,day,month,year,y\n22,31,12,2023,1\n23,31,12,2023,2\n0,1,1,2024,3\n"
    panel = read_table(written(text), target="y", time=["year", "month", "day", "hour"])
    assert (str(panel.times[2])[:13], panel.frequency) == ("2024-01-01T00", "1h")


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("zipped", [False, True])
def test_other_separators_spaces_blank_lines_and_gzip(written, separator, zipped):
    text = GOOD.replace("3,1.5", " 3 ,1.5").replace("\n2024-01-02", "\n\n2024-01-02").replace(",", separator)
    data = b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()
    panel = read_table(written(gzip.compress(data) if zipped else data, "my.csv.gz"), target="sales", features="price")
    np.testing.assert_array_equal(panel.values, [[3, 1.5], [4, 1.6], [5, 1.7]])


def test_parquet_and_frames_are_read_by_their_types(tmp_path):
    times = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 1, 3), "1d", time_zone="UTC", eager=True)
    frame = pl.DataFrame({"t": times, "y": [1, 2, 3], "on": [True, False, True]})
    frame.write_parquet(tmp_path / "my.parquet")
    for source in (frame, tmp_path / "my.parquet", frame.to_dict()):
        panel = read_table(source, target="y", features=["on"])
        np.testing.assert_array_equal(panel.values, [[1, 1], [2, 0], [3, 1]])
        assert (panel.frequency, str(panel.times[0])[:10]) == ("1d", "2024-01-01")


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(-50, 50)), min_size=2, max_size=40))
def test_interleaved_series_are_put_together_in_the_order_of_the_file(rows):
    frame = {"id": [name for name, _ in rows], "y": [float(y) for _, y in rows], "z": [*range(len(rows))]}
    panel = read_table(frame, target="z", features=[], group="id", anew=True)
    names = list(dict.fromkeys(name for name, _ in rows))
    assert panel.series == tuple(names)
    twin = [[float(number) for number, (name, _) in enumerate(rows) if name == each] for each in names]
    assert panel.lengths.tolist() == [len(each) for each in twin]
    np.testing.assert_array_equal(panel.values[:, 0], np.concatenate(twin))


CELLS = st.one_of(
    st.floats(allow_nan=False).map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from([*MISSING, "inf", "x", "1,5", "2024-01-01", " 7 ", "1e400", "Ω", '"', "1_000"]),
)


def slowly(text, columns):
    """What Python's own reader makes of these columns; of one column, a quoted nothing is a row, a blank line none."""
    header, *rows = plain_csv.reader(io.StringIO(text))
    rows = [row for row in rows if any(row) or (row and len(header) == 1)]
    cells = [[row[header.index(column)].strip() for column in columns] for row in rows]
    return np.array([[math.nan if cell in MISSING else float(cell) for cell in row] for row in cells])


@settings(max_examples=150)
@given(st.data())
def test_a_random_table_is_read_as_written_or_refused_by_name(tmp_path_factory, data):
    width = data.draw(st.integers(1, 3))
    clean = data.draw(st.booleans())
    cells = st.floats(-1e6, 1e6).map(repr) if clean else CELLS
    rows = data.draw(st.lists(st.lists(cells, min_size=width, max_size=width if clean else 4), min_size=2, max_size=8))
    text = io.StringIO()
    plain_csv.writer(text, lineterminator="\n").writerows([[f"c{each}" for each in range(width)], *rows])
    path = tmp_path_factory.mktemp("random") / "my.csv"
    path.write_text(text.getvalue(), encoding="utf-8")
    try:
        panel = read_table(path, "c0", "all", "none", mending=Mending(missing="interpolate"), anew=True)
    except BadInput as refused:
        assert "my.csv" in str(refused)
        assert all(line.startswith(("  also ", "  and ")) for line in str(refused).split("\n")[1:])
        assert not clean
        return
    np.testing.assert_array_equal(panel.values, slowly(text.getvalue(), panel.columns))


@settings(max_examples=100)
@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused_by_name(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "my.csv"
    path.write_bytes(content)
    try:
        assert isinstance(read_table(path, features="all"), Panel)
    except BadInput as refused:
        assert "my.csv" in str(refused)


def test_a_long_file_keeps_its_digits_in_half_the_memory(written, monkeypatch):
    monkeypatch.setattr("flatspot.data.sources.STRETCH", 1000)
    stamps = np.datetime64("2024-01-01", "s") + 60 * np.arange(400)
    values = 1e9 + np.random.default_rng(0).normal(size=400)
    rows = "".join(f"{stamp},{value!r}\n" for stamp, value in zip(stamps, values.tolist(), strict=True))
    panel = read_table(written("t,y\n" + rows))
    assert panel.blocks[0].dtype == np.float32
    assert len(panel.times) == 400
    assert panel.times[399] == stamps[399]
    assert panel.frequency == "1m"
    np.testing.assert_allclose(panel.values[:, 0], values, rtol=0, atol=1e-6)


HOURS = "t,y\n2024-01-01 00:00,1\n2024-01-01 01:00,\n2024-01-01 02:00,3\n2024-01-01 04:00,5\n2024-01-01 09:00,6\n"


def test_missing_and_absent_rows_are_put_in_to_be_filled(written):
    panel = read_table(written(HOURS), mending=Mending(missing="interpolate", max_gap=1))
    np.testing.assert_array_equal(panel.values[:, 0], [1, np.nan, 3, np.nan, 5, 6])
    assert panel.filling is not None
    assert panel.breaks.tolist() == [5]
    assert any("1 absent row of 1h put in" in note for note in panel.notes)


def test_rows_with_a_missing_value_are_dropped_and_long_gaps_break(written):
    panel = read_table(written(HOURS), mending=Mending(missing="drop", max_gap=1))
    assert panel.values[:, 0].tolist() == [1, 3, 5, 6]
    assert panel.breaks.tolist() == [3]
    assert panel.notes[1].startswith("1 of 5 rows with a missing value left out")


@pytest.mark.parametrize(("kept", "value"), [("first", 2.0), ("last", 4.0), ("mean", 3.0)])
def test_of_a_stamp_that_comes_twice_one_is_kept(written, kept, value):
    text = "t,y\n2024-01-01,1\n2024-01-02,2\n2024-01-02,4\n2024-01-03,5\n"
    panel = read_table(written(text), mending=Mending(duplicates=kept))
    assert panel.values[:, 0].tolist() == [1, value, 5]
    assert panel.notes[0].startswith("1 row with a stamp of another row left out")


def test_unsorted_rows_are_sorted_on_request(written):
    panel = read_table(written("t,y\n2024-01-02,2\n2024-01-01,1\n"), mending=Mending(unsorted="sort"))
    assert panel.values[:, 0].tolist() == [1, 2]
    assert "put in time order" in panel.notes[0]


def test_irregular_stamps_are_taken_in_row_order_on_request(written):
    text = "t,y\n2024-01-01 00:00,1\n2024-01-02 00:00,2\n2024-01-07 11:13,4\n2024-01-07 11:20,5\n"
    panel = read_table(written(text), mending=Mending(frequency="none"))
    assert panel.frequency is None
    assert "windows by row order" in panel.notes[0]


UNITS = ("us", "ms", "s", "m", "h", "d", "w", "mo", "q", "y")


@given(st.sampled_from(UNITS), st.integers(1, 20), st.lists(st.integers(1, 5), min_size=3, max_size=10))
def test_steps_after_and_between_are_inverse(unit, count, jumps):
    step = parse_frequency(f"{count}{unit}")
    start = np.array([np.datetime64("2019-01-01", "us")])
    times = np.concatenate([step.after(start, int(each)) for each in np.cumsum(jumps)])
    assert step.between(times).tolist() == jumps[1:]
    assert parse_frequency(step.name) == step


@pytest.mark.parametrize("frequency", ["1h", "30m", "1d", "1w", "1mo", "1q", "1y"])
@pytest.mark.parametrize("start", ["2020-01-01", "2020-01-31"])
def test_the_frequency_is_inferred_and_absent_rows_do_not_hide_it(frequency, start):
    step = parse_frequency(frequency)
    times = step.after(np.repeat(np.datetime64(start, "us"), 24), np.arange(24)) if start.endswith("01") else None
    if times is None:
        times = step.after(np.datetime64("2020-02-01", "us") + np.zeros(24, "timedelta64[us]"), np.arange(24))
        times = times - np.timedelta64(1, "D")
    whole = infer_frequency(times, np.array([24]))
    gappy = infer_frequency(np.delete(times, [4, 5, 11]), np.array([21]))
    assert whole.name == gappy.name
    assert whole.step is not None
    assert whole.step.between(times).tolist() == [1] * 23
    if start.endswith("01"):
        assert whole.name == Step(step.microseconds, step.months).name


@has_shared
@pytest.mark.parametrize(
    ("name", "arguments", "shape"),
    [
        ("sunspots_monthly", {}, (2820, 1, "1mo")),
        ("ETTh1", {"target": "OT", "features": "all"}, (17420, 1, "1h")),
        ("electricity_hourly", {}, (26304, 1, "1h")),
        (
            "parking_half_hourly",
            {
                "target": "Occupancy",
                "group": "SystemCodeNumber",
                "mending": Mending(frequency="none", duplicates="last"),
            },
            (35501, 30, None),
        ),
        (
            "beijing_pm_hourly",
            {"target": "pm2.5", "time": ["year", "month", "day", "hour"], "mending": Mending(missing="interpolate")},
            (43824, 1, "1h"),
        ),
    ],
)
def test_the_real_files_are_read(name, arguments, shape):
    panel = read_table(SHARED / f"{name}.csv", **arguments)
    assert (panel.rows, len(panel.series), panel.frequency) == shape


def test_the_bundled_series_has_its_name_and_dates():
    panel = DATASETS["sunspots"]()
    assert (panel.name, panel.rows, panel.series) == ("sunspots", 2820, ("sunspots",))
    assert str(panel.times[-1])[:10] == "1983-12-01"


def columns(**more):
    rows = 60
    days = [f"2024-{1 + each // 28:02}-{1 + each % 28:02}" for each in range(rows)]
    return {"y": [float(each * each % 7) for each in range(rows)], "day": days} | more


@pytest.mark.parametrize("cell", ["1.2.3", "10.0.0.1", "3/4", "31.01.2024"])
def test_what_resembles_dates_stands_in_no_dates_way(cell):
    data = {"v": [cell] * 60} | columns()
    panel = read_table(data, target="y", mending=Mending(frequency="none"))
    assert str(panel.times[0]).startswith("2024-01-01")


def test_a_date_and_its_clock_in_two_columns():
    hours = range(60)
    dates = [f"2024-01-{1 + each // 24:02}" for each in hours]
    for clock in ([f"{each % 24:02}:00" for each in hours], [each % 24 for each in hours]):
        panel = read_table({"y": [float(each) for each in hours], "d": dates, "c": clock}, target="y", time=["d", "c"])
        assert (panel.frequency, str(panel.times[25])[:16]) == ("1h", "2024-01-02T01:00")
    whole = {"y": [float(each) for each in hours], "d": [int(each.replace("-", "")) for each in dates]}
    assert read_table(whole | {"c": [f"{each % 24}:00" for each in hours]}, "y", (), ["d", "c"]).frequency == "1h"
    parts = {"y": [1.0, 2.0, 3.0], "year": [2023, 2023, 2024], "month": [11, 12, 1]}
    assert read_table(parts, "y", (), ["year", "month"]).frequency == "1mo"
    typed = pl.DataFrame({"y": [float(each) for each in hours], "t": pl.Series(dates).str.to_date()})
    typed = typed.with_columns(c=pl.Series([datetime(2024, 1, 1, each % 24).time() for each in hours]))
    assert read_table(typed, target="y", time=["t", "c"]).frequency == "1h"
    with pytest.raises(BadInput, match=r"row 1, column 'd, c': '2024-01-01 noon' cannot be read as a date and its clo"):
        read_table({"y": [1.0, 2.0], "d": dates[:2], "c": ["noon", "one"]}, target="y", time=["d", "c"])


@pytest.mark.parametrize("time", [True, False])
def test_time_is_no_yes_or_no(time):
    with pytest.raises(BadInput, match=r"data\.time=(true|false): name the column .* columns: y, day"):
        read_table(columns(), target="y", time=time)


def test_a_name_is_found_however_its_accents_are_written():
    data = {"e\u0301": [1.0, 2.0], "day": ["2024-01-01", "2024-01-02"], "o\u0308": ["a", "a"]}
    panel = read_table(data, target="\u00e9", group="\u00f6")
    assert panel.columns == ("e\u0301",)


def test_a_lazy_frame_is_collected():
    frame = pl.DataFrame({"y": [1.0, 2.0]})
    assert read_table(frame.lazy()).values.tolist() == [[1.0], [2.0]]
    with pytest.raises(BadInput, match="the frame: polars makes no table of a LazyFrame"):
        read_table(frame.lazy().select(pl.col("z")))


TURNED = ("time stamps turned into UTC, from other offsets; dates and forecasts are in UTC too",)


@pytest.mark.parametrize(("offset", "notes"), [("+02:00", TURNED), ("+00:00", ()), ("Z", ()), ("", ())])
def test_stamps_that_are_turned_into_utc_are_told_once(offset, notes):
    stamps = [f"2024-01-01 {each:02}:00{offset}" for each in range(24)]
    assert read_table({"y": [float(each) for each in range(24)], "t": stamps}, target="y").notes == notes


@pytest.mark.parametrize(("zone", "notes"), [("Europe/Paris", TURNED), ("UTC", ()), (None, ())])
def test_so_are_those_of_a_frame_with_a_zone(zone, notes):
    frame = pl.DataFrame({"t": np.datetime64("2024-01-01", "us") + np.arange(24) * np.timedelta64(1, "h")})
    frame = frame.with_columns(pl.col("t").dt.replace_time_zone(zone), y=pl.int_range(24))
    assert read_table(frame, target="y").notes == notes


def long_rows(rows=140_000):
    rng = np.random.default_rng(0)
    return pl.DataFrame({"y": rng.normal(size=rows).round(4), "z": rng.normal(size=rows).round(4)})


def test_first_rows_far_from_all_others_take_no_digits_from_them(tmp_path, monkeypatch):
    monkeypatch.setattr("flatspot.data.sources.STRETCH", 50_000)
    frame = long_rows(10_000).with_columns(y=pl.when(pl.int_range(pl.len()) < 1000).then(-99_999_999.0).otherwise("y"))
    frame.write_csv(tmp_path / "my.csv")
    panel = read_table(str(tmp_path / "my.csv"), target="y", features="all")
    np.testing.assert_allclose(panel.values, frame.to_numpy(), atol=1e-7)


def test_a_long_file_keeps_the_digits_of_small_changes_at_a_high_level(tmp_path, monkeypatch):
    monkeypatch.setattr("flatspot.data.sources.STRETCH", 50_000)
    frame = long_rows(10_000).with_columns(pl.col("y") + 1e9)
    frame.write_csv(tmp_path / "my.csv")
    panel = read_table(str(tmp_path / "my.csv"), target="y", features="all")
    assert {block.dtype for block in panel.blocks} == {np.dtype(np.float32)}
    np.testing.assert_allclose(panel.values, frame.to_numpy(), atol=1e-6)


@pytest.mark.parametrize("size", [1, 7, 64, 2**23])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("zipped", [False, True])
def test_wherever_a_file_is_cut_its_rows_are_the_same(tmp_path, monkeypatch, size, ending, zipped):
    monkeypatch.setattr("flatspot.data.sources.STRETCH", size)
    names = ['"a"', '"one\nor ""two"""', "ß", '"x, y"', "z"] * 4
    lines = ["shop,y", *(f"{name},{number}.5" for number, name in enumerate(names))]
    path = tmp_path / ("my.csv.gz" if zipped else "my.csv")
    content = ending.join(lines).encode()
    path.write_bytes(gzip.compress(content) if zipped else content)
    panel = read_table(path, target="y", group="shop")
    assert panel.series == ("a", 'one\nor "two"', "ß", "x, y", "z")
    assert sorted(panel.values[:, 0]) == [number + 0.5 for number in range(20)]


def test_holes_in_the_last_column_are_no_short_rows(tmp_path, monkeypatch):
    frame = long_rows(500).with_columns(z=pl.when(pl.int_range(pl.len()) % 7 != 3).then("z"))
    frame.write_csv(tmp_path / "my.csv")
    keys = {"target": "y", "features": "all", "mending": Mending("interpolate")}
    slowly = read_table(str(tmp_path / "my.csv"), **keys).values
    monkeypatch.setattr("flatspot.data.sources.CsvFile.as_written", lambda *_: pytest.fail("the slow way"))
    np.testing.assert_array_equal(read_table(str(tmp_path / "my.csv"), **keys).values, slowly)
    np.testing.assert_array_equal(np.isnan(slowly), np.isnan(frame.to_numpy()))


@pytest.mark.parametrize(
    ("line", "message"),
    [("1.5", "line 4 has 1 cell, and the header 2: a missing value is an empty cell"), ("1,2,3", "line 4 has 3 cells")],
)
def test_a_short_or_long_row_among_holes_is_named(tmp_path, line, message):
    (tmp_path / "my.csv").write_text(f"y,z\n1,2\n2,\n{line}\n4,5\n")
    with pytest.raises(BadInput, match=message):
        read_table(str(tmp_path / "my.csv"), target="y", features="all", mending=Mending("interpolate"))


def test_a_blank_line_among_holes_is_no_row(tmp_path):
    (tmp_path / "my.csv").write_text("y,z\n1,2\n2,\n\n,\n4,5\n")
    assert read_table(str(tmp_path / "my.csv"), target="y", features="all", mending=Mending("interpolate")).rows == 3
