"""Rows put in order: series together, stamps in time, gaps found, mended as asked and told, beside slow twins."""

import math
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.mending import Mending
from flatspot.data.module import SeriesDataModule
from flatspot.data.split import Split
from flatspot.data.tables import read_table
from flatspot.errors import BadInput

START = datetime(2024, 1, 31)
HOUR = timedelta(hours=1)


def frame(rows, **more):
    """Rows of (series, hours since the start, value), as columns."""
    return {
        "shop": [name for name, _, _ in rows],
        "t": [START + hours * HOUR for _, hours, _ in rows],
        "y": [value for _, _, value in rows],
        **more,
    }


def mended(rows, frequency="1h", **mending):
    mend = Mending(frequency=frequency, **mending)
    return read_table(frame(rows), target="y", time="t", group="shop", mending=mend, anew=True)


def by_series(rows):
    """The rows of each series in time order, series in the order of the file."""
    names = dict.fromkeys(name for name, _, _ in rows)
    return {name: sorted(((t, y) for each, t, y in rows if each == name), key=lambda row: row[0]) for name in names}


VALUES = st.none() | st.integers(-9, 9).map(float)


@st.composite
def series_with_gaps(draw, values=VALUES):
    """Rows of up to three series at whole hours, some of them absent; shuffled, each stamp once in a series."""
    rows = []
    for name in draw(st.permutations("abc"))[: draw(st.integers(1, 3))]:
        hours = draw(st.lists(st.integers(0, 14), min_size=1, max_size=8, unique=True))
        rows += [(name, hour, draw(values)) for hour in hours]
    return draw(st.permutations(rows))


@settings(max_examples=100)
@given(series_with_gaps(), st.integers(0, 4), st.sampled_from(["interpolate", "forward_fill"]))
def test_absent_rows_are_put_in_and_longer_gaps_break(rows, most, missing):
    """The twin walks through each series hour by hour."""
    times, values, breaks = [], [], []
    for each in by_series(rows).values():
        before = None
        for hour, value in each:
            absent = 0 if before is None else hour - before - 1
            for step in range(absent if absent <= most else 0):
                times.append(START + (before + 1 + step) * HOUR)
                values.append(np.nan)
            if absent > most:
                breaks.append(len(values))
            times.append(START + hour * HOUR)
            values.append(np.nan if value is None else value)
            before = hour
    panel = mended(rows, missing=missing, max_gap=most, unsorted="sort")
    np.testing.assert_array_equal(panel.values[:, 0], values)
    assert panel.times.tolist() == times
    assert panel.breaks.tolist() == breaks
    assert panel.series == tuple(by_series(rows))
    assert panel.filling.interpolate == (missing == "interpolate")
    added = len(values) - len(rows)
    told = f"{added:,} absent row{'s' * (added > 1)} of 1h put in"
    assert any(note.startswith(told) for note in panel.notes) == (added > 0)


@settings(max_examples=100)
@given(series_with_gaps(), st.integers(0, 4), st.sampled_from(["1h", "none"]))
def test_rows_with_a_missing_value_are_dropped_and_gaps_are_counted(rows, most, frequency):
    """Hours tell what is absent; without a frequency, the rows that were dropped do."""
    values, breaks = [], []
    for each in by_series(rows).values():
        before, dropped = None, 0
        for hour, value in each:
            if value is None:
                dropped += 1
                continue
            gap = dropped if frequency == "none" else hour - before - 1 if before is not None else 0
            if before is not None and gap > most:
                breaks.append(len(values))
            values.append(value)
            before, dropped = hour, 0
    if not values:
        with pytest.raises(BadInput, match="column 'y' has no value in any row"):
            mended(rows, frequency, missing="drop", unsorted="sort")
        return
    panel = mended(rows, frequency, missing="drop", max_gap=most, unsorted="sort")
    assert panel.values[:, 0].tolist() == values
    assert panel.breaks.tolist() == breaks


@settings(max_examples=100)
@given(series_with_gaps(st.integers(-9, 9).map(float)), st.sampled_from(["first", "last", "mean"]), st.data())
def test_of_equal_stamps_one_row_is_kept(rows, kept, data):
    again = data.draw(st.lists(st.sampled_from(rows), max_size=6))
    rows = data.draw(st.permutations([*rows, *((name, hour, value + 1) for name, hour, value in again)]))
    expected = []
    for each in by_series(rows).values():  # sorted() is stable: equal stamps stay in the file's order
        for hour in sorted({hour for hour, _ in each}):
            same = [value for at, value in each if at == hour]
            expected.append({"first": same[0], "last": same[-1], "mean": sum(same) / len(same)}[kept])
    panel = mended(rows, "none", duplicates=kept, unsorted="sort")
    np.testing.assert_allclose(panel.values[:, 0], expected, rtol=1e-12)
    left_out = len(rows) - len(expected)
    told = [note for note in panel.notes if f"data.duplicates={kept}" in note]
    assert [note.split()[0] for note in told] == ([f"{left_out}"] if left_out else [])


@settings(max_examples=100)
@given(
    st.lists(st.tuples(st.integers(0, 5), *[st.none() | st.integers(-9, 9).map(float)] * 2), min_size=1, max_size=15),
    st.sampled_from(["first", "last", "mean"]),
)
def test_a_value_that_is_there_stands_in_for_one_that_is_missing(rows, kept):
    """Also one that stands in another row of the same stamp."""
    filled = [[math.nan if value is None else value for value in column] for column in zip(*rows, strict=True)]
    data = {"t": [START + hour * HOUR for hour, _, _ in rows], "y": filled[1], "z": filled[2]}
    same = {}
    for hour, *values in rows:
        same.setdefault(hour, []).append(values)
    expected = []
    for hour in sorted(same):
        columns = [[value for value in column if value is not None] for column in zip(*same[hour], strict=True)]
        mean = {
            "first": lambda some: some[0],
            "last": lambda some: some[-1],
            "mean": lambda some: sum(some) / len(some),
        }
        expected.append([mean[kept](column) if column else np.nan for column in columns])
    mending = Mending(missing="interpolate", max_gap=9, duplicates=kept, unsorted="sort", frequency="none")
    panel = read_table(data, ["y", "z"], time="t", mending=mending, anew=True)
    np.testing.assert_allclose(panel.values, expected, rtol=1e-12)


def months(*names):
    return {"t": [datetime.fromisoformat(name) for name in names], "y": [float(each) for each in range(len(names))]}


def test_absent_months_are_put_in_at_their_last_day():
    given = months("2024-01-31", "2024-02-29", "2024-05-31", "2024-06-30")
    panel = read_table(given, mending=Mending(missing="interpolate"))
    assert [str(time)[:10] for time in panel.times] == [
        "2024-01-31",
        "2024-02-29",
        "2024-03-31",
        "2024-04-30",
        "2024-05-31",
        "2024-06-30",
    ]
    assert panel.frequency == "1mo"


def test_nothing_done_is_nothing_told():
    assert mended([("a", 0, 1.0), ("a", 1, 2.0), ("b", 7, 3.0)]).notes == ()


def test_interleaved_series_may_start_and_end_when_they_like():
    panel = mended([("b", 5, 1.0), ("a", 0, 2.0), ("b", 6, 3.0), ("a", 1, 4.0), ("c", 3, 5.0)])
    assert panel.series == ("b", "a", "c")
    assert panel.lengths.tolist() == [2, 2, 1]
    assert panel.values[:, 0].tolist() == [1, 3, 2, 4, 5]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([("a", 0, 1.0), ("b", 0, 1.0), ("a", 1, 2.0), ("a", 1, 2.0)], "row 4, series 'a': 2024-01-31 01:00:00 comes"),
        ([("a", 3, 1.0), ("b", 0, 1.0), ("a", 1, 2.0)], "row 3, series 'a': 2024-01-31 01:00:00 comes before"),
        ([("a", 0, 1.0), ("b", 0, 1.0), ("b", 3, 2.0), ("a", 1, 2.0)], "row 3, series 'b': 2 absent rows of 1h before"),
        ([("a", 0, 1.0), ("a", 1, 1.0), ("b", 0.5, 1.0), ("b", 1.25, 2.0)], "row 4, series 'b': 2024-01-31 01:15:00"),
    ],
)
def test_a_refused_row_is_named_by_its_place_in_the_file(rows, told):
    with pytest.raises(BadInput, match=told):
        mended(rows)


def labelled(*rows, **options):
    """Rows of (series, label)."""
    names, labels = zip(*rows, strict=True)
    data = {"id": names, "y": [float(each) for each in range(len(rows))], "kind": labels}
    return read_table(data, group="id", label="kind", time="none", **options).labels


def test_labels_are_of_series_where_none_changes():
    found = labelled(("a", "on"), ("b", "off"), ("a", "on"), ("b", "off"))
    assert (found.column, found.per, found.values.tolist()) == ("kind", "series", ["on", "off"])
    by_window = labelled(("a", "on"), ("b", "off"), ("a", "on"), label_per="window")
    assert (by_window.per, by_window.values.tolist()) == ("window", ["on", "on", "off"])


def test_labels_that_change_are_of_windows_and_go_with_their_rows():
    found = labelled(("a", "1"), ("b", "2"), ("a", "3"), ("b", "4"))
    assert (found.per, found.values.tolist()) == ("window", ["1", "3", "2", "4"])
    data = {"t": [START + HOUR, START], "y": [1.0, 2.0], "kind": ["late", "early"]}
    panel = read_table(data, label="kind", mending=Mending(unsorted="sort"))
    assert panel.labels.values.tolist() == ["early", "late"]


def test_a_series_with_two_labels_is_named_where_each_is_to_have_one():
    with pytest.raises(BadInput, match=r"row 3, series 'a', column 'kind': 'off' is another label than the series' fi"):
        labelled(("a", "on"), ("b", "off"), ("a", "off"), label_per="series")


def test_a_constant_column_is_left_out_of_all_and_told():
    data = {"y": [1.0, 2.0], "same": [3.0, 3.0], "empty": [np.nan, np.nan], "z": [0.0, 1.0]}
    panel = read_table(data, target="y", features="all", time="none", mending=Mending(missing="interpolate"))
    assert panel.columns == ("y", "z")
    assert panel.notes == ("constant in every row, and left out: same, empty",)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"missing": "fill"}, r"data.missing=fill: .*forward_fill"),
        ({"duplicates": "max"}, r"data.duplicates=max: did you mean 'mean'"),
        ({"unsorted": "yes"}, r"data.unsorted=yes: known: error, sort"),
        ({"max_gap": -1}, r"data.max_gap=-1: must be at least 0"),
    ],
)
def test_what_is_no_mending(options, told):
    with pytest.raises(BadInput, match=told):
        Mending(**options)


# Long files: float32 less a level, stamps as a start and a step.


@pytest.fixture
def in_batches(monkeypatch):
    monkeypatch.setattr("flatspot.data.sources.BATCH", 64)


def long_rows(values, gap_at=None):
    hours = np.arange(len(values)) + (np.arange(len(values)) >= gap_at if gap_at else 0)
    return {"t": [START + int(hour) * HOUR for hour in hours], "y": values, "z": np.asarray(values)[::-1]}


LEVELS = (0.0, 1e9, -101_325.0)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("first", [0.0, 1e7, np.nan])
def test_a_long_file_keeps_its_digits_whatever_its_first_row_is(in_batches, level, first):
    values = level + np.random.default_rng(0).normal(size=500)
    values[0] += first
    mending = Mending(missing="interpolate") if np.isnan(first) else Mending()
    panel = read_table(long_rows(values), target="y", features="z", mending=mending)
    assert (panel.base is not None) == (not np.isnan(first))  # to fill missing values takes float64
    np.testing.assert_allclose(panel.values[1:-1, 0], values[1:-1], rtol=0, atol=1e-6)
    np.testing.assert_allclose(panel.values[1:-1, 1], values[::-1][1:-1], rtol=0, atol=1e-6)


def test_a_long_file_of_equal_steps_has_no_array_of_stamps(in_batches):
    data = long_rows(np.arange(500.0))
    panel = read_table(data, target="y")
    assert panel.blocks[0].dtype == np.float32
    assert not isinstance(panel.times, np.ndarray)
    assert panel.times[:].tolist() == data["t"]
    assert panel.times[np.array([3, -1])].tolist() == [data["t"][3], data["t"][-1]]
    assert panel.times[10:12].tolist() == data["t"][10:12]
    assert (len(panel.times), panel.frequency) == (500, "1h")


@pytest.mark.parametrize("gap_at", [1, 63, 64, 65, 200, 499])
def test_a_gap_anywhere_in_a_long_file_is_found(in_batches, gap_at):
    data = long_rows(np.arange(500.0), gap_at)
    with pytest.raises(BadInput, match=f"row {gap_at + 1}: 1 absent row of 1h before"):
        read_table(data, target="y")
    panel = read_table(data, target="y", mending=Mending(missing="drop", max_gap=0))
    assert panel.times[:].tolist() == data["t"]
    assert panel.breaks.tolist() == [gap_at]


# Rows that are left out.

SIZES = {"window": 4, "horizon": 2}


def hourly(values, absent=(), start=START, **more):
    """Hours of a number, without those that are absent; further columns by name."""
    kept = [hour for hour in range(len(values)) if hour not in absent]
    columns = {"t": [start + hour * HOUR for hour in kept], "y": [values[hour] for hour in kept]}
    return columns | {name: [column[hour] for hour in kept] for name, column in more.items()}


def noise(rows=60):
    return np.random.default_rng(rows).normal(size=rows).tolist()


def dropping(data, **options):
    return read_table(data, target="y", mending=Mending(missing="drop"), **options)


@pytest.mark.parametrize("lost", ["a", "b", "c"])
def test_a_series_without_a_whole_row_is_left_out_and_told(lost):
    rows = [(name, hour, None if name == lost else float(hour * hour % 7)) for name in "abc" for hour in range(30)]
    panel = mended(rows, missing="drop")
    kept = tuple(name for name in "abc" if name != lost)
    assert (panel.series, panel.lengths.tolist()) == (kept, [30, 30])
    assert panel.notes == (
        "30 of 90 rows with a missing value left out (data.missing=drop)",
        f"1 of 3 series without a whole row left out: '{lost}'",
    )
    assert len(SeriesDataModule(panel, **SIZES).dataset("test")) > 0


def test_labels_stay_with_their_series_where_one_is_left_out():
    y = [np.nan if name == "b" else float(row) for name in "abc" for row in range(3)]
    data = {"id": [*"aaabbbccc"], "y": y, "kind": [*"xxxzzzyyy"]}
    panel = read_table(data, group="id", label="kind", time="none", mending=Mending(missing="drop"))
    assert (panel.series, panel.labels.values.tolist()) == (("a", "c"), ["x", "y"])


@pytest.mark.parametrize("split", [Split(), Split(val_from="2024-02-01 18:00", test_from="2024-02-02")])
@pytest.mark.parametrize("scale", ["standard", "robust", "per_series"])
def test_what_is_missing_in_later_rows_changes_no_training_number(split, scale):
    whole = noise()
    holed = [None if hour in {43, 44, 52, 53, 59} else value for hour, value in enumerate(whole)]
    one, two = (
        SeriesDataModule(dropping(hourly(values)), split=split, scale=scale, scale_target=scale, **SIZES)
        for values in (whole, holed)
    )
    assert one.input_scaling == two.input_scaling
    assert one.target_scaling == two.target_scaling
    assert one.prepared.borders[0, 1] == two.prepared.borders[0, 1] == 42
    pairs = [module.dataset("train") for module in (one, two)]
    assert len(pairs[0]) == len(pairs[1])
    for number in range(len(pairs[0])):
        assert all(torch.equal(a, b) for a, b in zip(pairs[0][number], pairs[1][number], strict=True))


def test_short_series_are_skipped_beside_rows_that_are_left_out():
    lengths = {"a": 40, "b": 3, "c": 40}
    rows = [(name, hour, None if hour == 38 else float(hour)) for name, many in lengths.items() for hour in range(many)]
    module = SeriesDataModule(mended(rows, missing="drop"), short="skip", **SIZES)
    assert module.panel.series == ("a", "c")
    assert module.prepared.borders.tolist() == [[0, 28, 34, 39], [39, 67, 73, 78]]


def test_rows_that_miss_values_up_to_validation_leave_nothing_to_train_on():
    values = [None if hour < 45 else float(hour) for hour in range(60)]
    with pytest.raises(BadInput, match=r"every training row misses a value; data\.missing=drop leaves none"):
        SeriesDataModule(dropping(hourly(values)), **SIZES)


def test_absent_rows_are_told_where_rows_are_dropped():
    values = noise()
    values[30] = None
    panel = dropping(hourly(values, absent=(10, 11, 20)))
    assert panel.notes == (
        "3 absent rows of 1h: windows go on across at most 3 rows (data.max_gap)",
        "1 of 57 rows with a missing value left out (data.missing=drop)",
    )


def test_the_calendar_is_that_of_the_rows_to_be_predicted_whatever_is_absent_between():
    values = noise()
    values[21] = None
    panel = dropping(hourly(values, absent=(10, 11, 30, 31, 32, 33, 34)))
    module = SeriesDataModule(panel, calendar=["hour"], **SIZES)
    hours = [[time.hour for time in panel.times[part].tolist()] for part in (slice(0, 27), slice(27, None))]
    ahead = [[*each[2:], (each[-1] + 1) % 24, (each[-1] + 2) % 24] for each in hours]
    expected = np.sin(2 * np.pi * np.concatenate(ahead) / 24)
    assert module.columns == ("y", "hour (sine)", "hour (cosine)")
    assert panel.breaks.tolist() == [27]
    np.testing.assert_allclose(module.prepared.inputs[:, 1], expected, atol=1e-6)


LABELS = {"label": "kind", "label_per": "window", "time": "t"}


@pytest.mark.parametrize("missing", ["interpolate", "forward_fill"])
@pytest.mark.parametrize(("task", "kinds"), [("classify", "abc"), ("regress", "123")])
def test_a_row_that_was_put_in_has_no_label_and_ends_no_window(missing, task, kinds):
    labels = [kinds[hour % 3] for hour in range(60)]
    data = hourly(noise(), absent=(10, 11, 50), kind=labels)
    panel = read_table(data, mending=Mending(missing=missing), **LABELS)
    assert panel.labels.values.tolist() == ["" if hour in {10, 11, 50} else labels[hour] for hour in range(60)]
    module = SeriesDataModule(panel, window=4, task=task, scale_target="none")
    ends = module.dataset("train").runs.starts() + 3
    assert set(ends) == set(range(3, 42)) - {10, 11}
    served = torch.stack([module.dataset("train")[number][1] for number in range(len(ends))]).flatten()
    assert served.tolist() == [kinds.index(labels[end]) + (task == "regress") for end in ends]


def test_equal_stamps_with_two_labels_have_no_mean():
    data = {"t": [START, START, START + HOUR], "y": [1.0, 3.0, 4.0], "kind": ["a", "b", "a"]}
    with pytest.raises(BadInput, match=r"row 2: .* comes twice, with the labels 'a' and 'b', which have no mean"):
        read_table(data, mending=Mending(duplicates="mean"), **LABELS)
    kept = read_table(data, mending=Mending(duplicates="last"), **LABELS)
    assert kept.labels.values.tolist() == ["b", "a"]
    one = read_table(data | {"kind": ["", "b", "a"]}, mending=Mending(duplicates="mean"), anew=True, **LABELS)
    assert one.labels.values.tolist() == ["b", "a"]
    same = read_table(data | {"kind": ["a", "a", "b"]}, mending=Mending(duplicates="mean"), **LABELS)
    assert (same.labels.values.tolist(), same.values[:, 0].tolist()) == (["a", "b"], [2.0, 4.0])


@pytest.mark.parametrize("mark", ["NA", "nan", "?", "", None])
def test_a_missing_label_is_refused_but_where_a_trained_network_predicts(mark):
    data = {"t": [START, START + HOUR], "y": [1.0, 2.0], "kind": ["a", mark]}
    with pytest.raises(BadInput, match="row 2, column 'kind': the value is missing; every row needs a label"):
        read_table(data, **LABELS)
    assert read_table(data, anew=True, **LABELS).labels.values.tolist() == ["a", ""]
    assert read_table(data | {"kind": [mark, mark]}, anew=True, **LABELS).labels is None
