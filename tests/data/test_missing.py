"""Missing values: filled along a line or with the last value before, within reason, and never from the future."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.missing import fill
from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Filling, Labels
from flatspot.data.split import Split, borders_of
from flatspot.errors import BadInput


def slow(values, first, end, cuts, part_ends, filling):
    """The obvious twin, for one column of one series: every gap by itself."""
    filled, row = values.copy(), first
    while row < end:
        if not np.isnan(values[row]):
            row += 1
            continue
        # Nothing is lent over a cut; a gap seen from one part ends where the part does.
        stop = row + 1
        while stop < end and np.isnan(values[stop]) and stop not in cuts:
            stop += 1
        before = None if row == first or row in cuts else row - 1
        after = None if stop == end or stop in cuts else stop
        for lost in range(row, stop):
            part_end = min(each for each in part_ends if each > lost)
            if min(stop, part_end) - row > filling.most or before is None:
                continue
            if not filling.interpolate:
                filled[lost] = values[before]
            elif after is not None:
                filled[lost] = values[before] + (values[after] - values[before]) * (lost - before) / (after - before)
        row = stop
    return filled


@settings(max_examples=80)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(5, 40), min_size=1, max_size=3),
    interpolate=st.booleans(),
    most=st.integers(0, 4),
    share=st.floats(0.05, 0.7),
    breaks=st.integers(0, 3),
)
def test_filling_equals_a_slow_loop(panel_with, seed, lengths, interpolate, most, share, breaks):
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(sum(lengths), 2))
    values[rng.random(values.shape) < share] = np.nan
    values[0, 0] = np.nan
    filling = Filling(interpolate=interpolate, most=most)
    cuts = np.unique(rng.integers(1, len(values), size=breaks))
    panel = panel_with(*lengths, values=values, filling=filling, breaks=cuts)
    borders = borders_of(panel, Split(val_share=0.3, test_share=0.3))
    found = fill(panel, borders)
    expected = values.copy()
    for first, val, test, end in borders.tolist():
        inner = {val, test} if interpolate else set()
        for column in range(2):
            apart = (first, end, inner | set(cuts.tolist()), (val, test, end), filling)
            expected[first:end, column] = slow(values[:, column], *apart)[first:end]
    np.testing.assert_allclose(found.values, expected, atol=1e-12)
    np.testing.assert_array_equal(found.holes, np.isnan(expected).any(axis=1))
    mended = np.isnan(values) & np.isfinite(expected)
    np.testing.assert_array_equal(found.looked_ahead, mended.any(axis=1) & interpolate)
    count, rows = mended.sum(), mended.any(axis=1).sum()
    told = f"{count:,} missing value{'' if count == 1 else 's'} in {rows:,} of {len(values):,} rows filled"
    assert found.note.startswith(told) == bool(count)


def lone(panel_with, filling, *lost, rows=100):
    values = np.arange(float(rows)) ** 1.5
    values[list(lost)] = np.nan
    panel = panel_with(rows, values=values, filling=filling)
    return SeriesDataModule(panel, window=4, horizon=2, scale="none", scale_target="none")


def test_no_line_is_drawn_over_a_border(panel_with):
    data = lone(panel_with, Filling(interpolate=True, most=3), 69)
    assert data.prepared.borders[0, 1] == 70
    assert data.prepared.ends[0] == 69
    assert data.dataset("train").runs.starts()[-1] == 69 - 6


def test_no_line_is_drawn_from_rows_that_are_left_out(panel_with):
    values = np.arange(100.0)
    values[59] = np.nan
    panel = panel_with(100, values=values, hourly=True, filling=Filling(interpolate=True, most=3))
    data = SeriesDataModule(panel, window=4, horizon=2, split=Split(until="2024-01-03 12:00"))
    assert data.prepared.borders[0, 3] == 60
    assert data.prepared.ends[0] == 59


def test_a_missing_value_after_the_training_rows_makes_no_training_gap_longer(panel_with):
    filling = Filling(interpolate=False, most=3)
    short, long = lone(panel_with, filling, 68, 69), lone(panel_with, filling, 68, 69, 70, 71, 72)
    assert short.prepared.inputs[66:70, 0].tolist() == long.prepared.inputs[66:70, 0].tolist()
    assert short.prepared.inputs[68, 0] == short.prepared.inputs[67, 0] != 0
    assert len(short.dataset("train")) == len(long.dataset("train"))
    assert long.prepared.starts.tolist() == [0, 73]  # five rows are too many for validation


def test_no_window_ends_on_a_row_that_a_later_value_helped_to_fill(panel_with):
    line, last = (lone(panel_with, Filling(interpolate=each, most=3), 30, 31, 50) for each in (True, False))
    all_ends = set(range(3, 68))
    assert set((line.dataset("train").runs.starts() + 3).tolist()) == all_ends - {30, 31, 50}
    assert set((last.dataset("train").runs.starts() + 3).tolist()) == all_ends
    x, y = line.dataset("train").__getitems__(range(len(line.dataset("train"))))
    assert len(x) == len(y) == len(all_ends) - 3


def test_no_window_holds_a_row_of_a_longer_gap(panel_with):
    data = lone(panel_with, Filling(interpolate=True, most=2), 30, 31, 32)
    for start in data.dataset("train").runs.starts():
        assert not {30, 31, 32} & set(range(start, start + 6))
    assert len(data.dataset("train")) == (30 - 5) + (70 - 33 - 5)
    assert "3 rows in longer gaps (data.max_gap=2) left out: no window spans one" in data.prepared.notes[0]


def test_the_naive_changes_skip_holes(panel_with):
    values = np.random.default_rng(0).normal(size=100)
    values[[0, 1, 2, 30, 31, 32]] = np.nan
    data = SeriesDataModule(
        panel_with(100, values=values, filling=Filling(interpolate=True, most=2)), window=4, horizon=2
    )
    train = values[:70]
    apart = np.abs(np.diff(train))
    assert data.naive.means[0, 0] == pytest.approx(np.nanmean(train), rel=1e-5)
    assert data.naive.changes[0, 0] == pytest.approx(np.nanmean(apart), rel=1e-5)


def test_holes_at_the_beginning_alone_count_in_no_mean(panel_with):
    values = 50 + np.random.default_rng(0).normal(size=100)
    values[:5] = np.nan
    panel = panel_with(100, values=values, filling=Filling(interpolate=False, most=2))
    data = SeriesDataModule(panel, window=4, horizon=2, scale="none", scale_target="none")
    assert data.naive.means[0, 0] == pytest.approx(values[5:70].mean(), rel=1e-5)
    assert data.naive.changes[0, 0] == pytest.approx(np.abs(np.diff(values[5:70])).mean(), rel=1e-4)


def test_where_nothing_is_missing_nothing_is_told(panel_with):
    data = SeriesDataModule(panel_with(100, filling=Filling(interpolate=True, most=2)), window=4, horizon=2)
    assert data.prepared.notes == ()
    assert data.prepared.barred is None


@pytest.mark.parametrize(
    ("lost", "message"),
    [
        (lambda values: values[:75, :1], "made: column 'c0' has no value in the training rows"),
        (
            lambda values: np.diagonal(values.reshape(50, 2, 2), axis1=1, axis2=2),
            "made: every training row misses a value",
        ),
        (lambda values: values[2:70:3], "made: gaps leave no whole window in the train split"),
        (lambda values: values[71:85], "made: gaps leave no whole window in the val split"),
    ],
)
def test_too_little_is_left(panel_with, lost, message):
    values = np.random.default_rng(0).normal(size=(100, 2))
    chosen = lost(values)
    chosen.flags.writeable = True
    chosen[...] = np.nan
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(panel_with(100, values=values, filling=Filling(interpolate=True, most=0)), window=4, horizon=2)


def test_a_whole_series_with_a_gap_is_refused_by_name(panel_with):
    labels = Labels("kind", "series", np.array(["a", "b"] * 20))
    values = np.random.default_rng(0).normal(size=400)
    values[51:53] = np.nan
    lengths = [10] * 40

    def made(most):
        filling = Filling(interpolate=True, most=most)
        panel = panel_with(*lengths, values=values, targets=0, labels=labels, filling=filling)
        return SeriesDataModule(panel, task="classify")

    assert len(made(2).dataset("train")) == 28
    with pytest.raises(BadInput, match=r"made: series 's5' has a gap that is not filled \(data.missing, data.max_gap"):
        made(1)
