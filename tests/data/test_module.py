"""What comes after the training rows reaches no training tensor; every window that may be served is, and once."""

import numpy as np
import pytest
import torch
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Filling
from flatspot.data.split import Split
from flatspot.errors import BadInput

SCALINGS = ("standard", "per_series", "robust", "minmax", "none")
FILLINGS = (None, Filling(interpolate=True, most=2), Filling(interpolate=False, most=2))
DATES = Split(val_from="2024-01-04", test_from="2024-01-05 06:00", until="2024-01-07")


def all_of(windows):
    return windows.__getitems__(range(len(windows)))


def test_batches_have_the_shapes_that_the_docs_give(data):
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, y.shape) == ((32, 12, 2), (32, 3, 1))
    assert x.dtype == y.dtype == torch.float32


def test_splits_are_by_time_and_their_targets_do_not_overlap(data, waves):
    assert data.rows == {"train": 280, "val": 60, "test": 60}
    assert data.prepared.borders.tolist() == [[0, 280, 340, 400]]
    scaled = (waves.values[:, 0] - data.target_scaling.mean[0]) / data.target_scaling.scale[0]
    _, y = all_of(data.dataset("val"))
    assert y[0, 0].item() == pytest.approx(scaled[280], abs=1e-5)
    assert y[-1, -1].item() == pytest.approx(scaled[339], abs=1e-5)


def wild(clean, borders, rng, size, *, missing):
    """The same rows up to the end of each series' training rows, and beyond them anything."""
    values = clean.copy()
    for _, val, _, end in borders:
        values[val:end] += size * rng.standard_normal((end - val, values.shape[1]))
        values[val:end] *= rng.choice([1.0, 0.0, -1.0], p=[0.8, 0.1, 0.1], size=(end - val, 1))
        if missing:
            values[val : val + rng.integers(0, 4)] = np.nan
            values[val:end][rng.random((end - val, values.shape[1])) < 0.2] = np.nan
            values[val + 4 : val + 24] = clean[val + 4 : val + 24]  # room for a window
    return values


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    size=st.floats(1.0, 1e6),
    scale=st.sampled_from(SCALINGS),
    scale_target=st.sampled_from(SCALINGS),
    filling=st.sampled_from(FILLINGS),
    split=st.sampled_from([Split(), DATES]),
    lengths=st.lists(st.integers(170, 200), min_size=1, max_size=3),
)
def test_what_comes_after_the_training_rows_moves_nothing_that_is_trained_on(
    panel_with, seed, size, scale, scale_target, filling, split, lengths
):
    """The leak test: validation and test rows are replaced by something wild, and missing too."""
    rng = np.random.default_rng(seed)
    clean = 20 + 3 * rng.standard_normal((sum(lengths), 2))
    if filling:
        clean[rng.random(clean.shape) < 0.03] = np.nan
        clean[: lengths[0]][100] = np.nan
    options = {"window": 5, "horizon": 2, "scale": scale, "scale_target": scale_target, "split": split}
    options["calendar"] = ["hour"]

    def made(values):
        return SeriesDataModule(panel_with(*lengths, values=values, hourly=True, filling=filling), **options)

    one = made(clean)
    other = made(wild(clean, one.prepared.borders, rng, size, missing=filling is not None))
    assert one.input_scaling == other.input_scaling
    assert one.target_scaling == other.target_scaling
    np.testing.assert_allclose(one.naive.means, other.naive.means, rtol=1e-7)
    np.testing.assert_allclose(one.naive.changes, other.naive.changes, rtol=1e-7)
    assert len(one.dataset("train")) == len(other.dataset("train")) > 0
    for ours, theirs in zip(all_of(one.dataset("train")), all_of(other.dataset("train")), strict=True):
        assert torch.equal(ours, theirs)
    for start, val, _, _ in one.prepared.borders:
        assert torch.equal(one.prepared.inputs[start:val], other.prepared.inputs[start:val])
        assert torch.equal(one.prepared.targets[start:val], other.prepared.targets[start:val])


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), filling=st.sampled_from(FILLINGS[1:]))
def test_nothing_after_a_windows_last_row_moves_its_inputs(panel_with, seed, filling):
    """At the moment of a forecast no later value is known, not even one that would help to fill an earlier one."""
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((120, 2))
    values[rng.random(values.shape) < 0.1] = np.nan

    def windows(rows):
        panel = panel_with(120, values=rows, filling=filling)
        data = SeriesDataModule(panel, window=4, horizon=2, scale="none", scale_target="none")
        return dict(zip(data.dataset("test").runs.starts().tolist(), all_of(data.dataset("test"))[0], strict=True))

    whole = windows(values)
    for start in list(whole)[::5]:
        later = values.copy()
        later[start + 4 :] = 1000 * rng.standard_normal(later[start + 4 :].shape)
        assert torch.equal(windows(later)[start], whole[start])


def admissible(panel, holes, ahead, part, window, horizon, stride):
    """The obvious twin: every start of every series, one by one."""
    barred, broken, found = set(np.flatnonzero(holes)), set(panel.breaks.tolist()), []
    last = window - 1
    for series, first in enumerate(panel.firsts.tolist()):
        fits = []
        for start in range(first, first + int(panel.lengths[series]) - window - horizon + 1):
            rows = range(start, start + window + horizon)
            targets = rows[window:] if horizon else rows[-1:]
            joined = not any(row in broken for row in rows[1:])
            if joined and not barred & set(rows) and all(row in part[series] for row in targets):
                fits.append(start)
        anchor = None
        for start in fits:
            anchor = start if start - 1 not in fits else anchor
            if (start - anchor) % stride == 0 and not ahead[start + last]:
                found.append(start)
    return found


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**31),
    lengths=st.lists(st.integers(30, 60), min_size=1, max_size=4),
    window=st.integers(1, 6),
    horizon=st.integers(1, 4),
    stride=st.integers(1, 4),
    breaks=st.integers(0, 4),
    filling=st.sampled_from(FILLINGS),
)
def test_every_window_that_may_be_served_is_and_once(
    panel_with, seed, lengths, window, horizon, stride, breaks, filling
):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((sum(lengths), 2))
    if filling:
        values[rng.random(values.shape) < 0.06] = np.nan
    cuts = np.unique(rng.integers(1, len(values), size=breaks))
    panel = panel_with(*lengths, values=values, breaks=cuts, filling=filling)
    try:
        data = SeriesDataModule(panel, window=window, horizon=horizon, stride=stride)
    except BadInput:
        reject()  # gaps leave no whole window
    held = data.prepared
    inside = np.zeros(panel.rows, bool)
    for start, end in zip(held.starts, held.ends, strict=True):
        inside[start:end] = True
    ahead = held.barred if held.barred is not None else np.zeros(panel.rows, bool)
    for number, part in enumerate(("train", "val", "test")):
        rows = [range(*border[number : number + 2]) for border in held.borders.tolist()]
        served = data.dataset(part).starts(torch.arange(len(data.dataset(part)))).tolist()
        assert served == admissible(panel, ~inside, ahead, rows, window, horizon, stride)


def test_inputs_may_reach_back_over_a_border_and_targets_may_not(panel_with):
    data = SeriesDataModule(panel_with(100), window=10, horizon=3, scale="none", scale_target="none")
    values = data.prepared.inputs
    x, y = all_of(data.dataset("val"))
    assert torch.equal(x[0], values[60:70])
    assert torch.equal(y[0], values[70:73])
    assert torch.equal(y[-1], values[82:85])
    assert torch.equal(all_of(data.dataset("train"))[1][-1], values[67:70])


def test_several_series_scaled_each_by_itself_tell_whose_each_window_is(panel_with):
    panel = panel_with(40, 55, 48)
    data = SeriesDataModule(panel, window=4, horizon=2, scale_target="per_series")
    _, y, series = all_of(data.dataset("test"))
    starts = data.dataset("test").runs.starts()
    assert series.tolist() == panel.series_of_rows()[starts].tolist()
    assert set(series.tolist()) == {0, 1, 2}
    mean, scale = data.target_scaling.table
    raw = panel.values[starts[7] + 4 : starts[7] + 6]
    np.testing.assert_allclose(y[7].numpy() * scale[series[7]] + mean[series[7]], raw, rtol=1e-5)
    assert len(all_of(SeriesDataModule(panel, window=4, horizon=2).dataset("test"))) == 2


def test_a_series_that_begins_after_training_is_scaled_by_what_comes_before_its_first_forecast(panel_with):
    panel = panel_with(150, 40, hourly=True)
    times = panel.times.copy()
    times[150:] += np.timedelta64(110, "h")
    split = Split(val_from="2024-01-04", test_from="2024-01-05 12:00")
    data = SeriesDataModule(
        type(panel)(**(vars(panel) | {"times": times})),
        window=6,
        horizon=2,
        split=split,
        scale="per_series",
        scale_target="per_series",
    )
    assert data.rows["train"] == 72
    mean, scale = data.input_scaling.table
    assert mean[:, 0] == pytest.approx([panel.values[:72].mean(), panel.values[150:156].mean()])
    assert scale[:, 0] == pytest.approx([panel.values[:72].std(), panel.values[150:156].std()])
    assert data.naive.means[1, 0] == pytest.approx(panel.values[150:156].mean())
    assert data.prepared.notes == ("1 series without training rows: each is scaled by its first 6 rows",)
    assert data.known.trained_until == "2024-01-03T23:00:00.000000"


def test_training_until_is_the_last_training_stamp_of_any_series(panel_with):
    panel = panel_with(100, 60, hourly=True)
    data = SeriesDataModule(panel, window=4, horizon=2)
    assert data.known.trained_until == str(panel.times[69])


def test_a_constant_channel_is_scaled_to_zero(panel_with):
    data = SeriesDataModule(panel_with(100, values=np.full(100, 7.0)), window=5, horizon=1)
    assert data.dataset("train").inputs.abs().max() == 0


def test_none_leaves_original_units(waves):
    data = SeriesDataModule(waves, window=12, horizon=3, scale="none", scale_target="none")
    x, y = data.dataset("train")[0]
    np.testing.assert_allclose(x, waves.values[:12], rtol=1e-6)
    np.testing.assert_allclose(y[:, 0], waves.values[12:15, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, "data.window=0: must be at least 1"),
        ({"horizon": 0}, "data.horizon=0: must be at least 1"),
        ({"stride": 0}, "data.stride=0: must be at least 1"),
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"scale": "standart"}, "no scaling is called 'standart'; did you mean 'standard'"),
        ({"scale_target": "robus"}, "no scaling is called 'robus'; did you mean 'robust'"),
        ({"window": 280}, r"waves: 280 rows reach the train split, and one window needs 283 \(data.window=280 \+"),
        ({"horizon": 61, "window": 1}, r"61 rows reach the val split, and one window needs 62"),
        ({"task": "classify", "horizon": None}, "model=classifier: needs labels: say their column with data.label="),
        ({"train_windows": 267}, "data.train_windows=267: must lie between 1 and 266, the windows in the training"),
        ({"train_windows": 3, "train_windows_from": "end"}, "no choice of training windows is called 'end'"),
        ({"calendar": ["huor"]}, "no calendar feature is called 'huor'; did you mean 'hour'"),
        ({"short": "skipp"}, "data.short=skipp: did you mean 'skip'"),
    ],
)
def test_what_cannot_be_used_is_named(waves, options, message):
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(waves, **({"window": 12, "horizon": 3} | options))


def test_short_series_are_named_and_skipped_on_request(panel_with):
    panel = panel_with(60, 5, 70, 3, hourly=True, breaks=np.array([30, 62, 100]))
    with pytest.raises(BadInput, match=r"2 of 4 series have fewer than 6 rows \('s1', 's3'\); .* data.short=skip"):
        SeriesDataModule(panel, window=4, horizon=2)
    data = SeriesDataModule(panel, window=4, horizon=2, short="skip")
    assert data.panel.series == ("s0", "s2")
    assert data.panel.lengths.tolist() == [60, 70]
    assert data.panel.breaks.tolist() == [30, 95]
    assert "2 of 4 series have fewer than 6 rows ('s1', 's3'): left out" in data.prepared.notes[0]
    original = np.concatenate([panel.values[:60], panel.values[65:135]])
    mean, scale = data.input_scaling.table
    np.testing.assert_allclose(data.prepared.inputs.numpy() * scale + mean, original, rtol=1e-5)
    np.testing.assert_array_equal(data.panel.times, np.concatenate([panel.times[:60], panel.times[65:135]]))
    spent = SeriesDataModule(panel_with(60, 5, 70, 3), window=4, horizon=2, short="skip", spend=True)
    assert torch.equal(spent.prepared.inputs, data.prepared.inputs)
    with pytest.raises(BadInput, match="every series has fewer than 80 rows"):
        SeriesDataModule(panel, window=78, horizon=2, short="skip")


def test_a_batch_that_no_memory_holds_is_refused_with_both_numbers(waves, monkeypatch):
    monkeypatch.setattr("flatspot.data.memory.memory", lambda: 2000)
    message = r"data.batch_size=64 × data.window=12 \+ data.horizon=3: one batch needs .* GB, and this machine has"
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(waves, window=12, horizon=3)


def test_gaps_that_leave_no_window_are_told_with_the_split(panel_with):
    values = np.random.default_rng(0).normal(size=(100, 1))
    values[2:70:3] = np.nan
    panel = panel_with(100, values=values, filling=Filling(interpolate=True, most=0))
    with pytest.raises(BadInput, match=r"made: gaps leave no whole window in the train split \(data.window=5"):
        SeriesDataModule(panel, window=5, horizon=2)


def test_a_loader_draws_nothing_from_the_global_state(data):
    torch.manual_seed(0)
    list(data.train_dataloader())
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def _lists(kept):
    return {name: each.tolist() if isinstance(each, torch.Tensor) else each for name, each in kept.items()}


def test_what_a_checkpoint_keeps_is_plain(panel_with, tmp_path):
    data = SeriesDataModule(
        panel_with(60, 70, hourly=True), window=4, horizon=2, scale="per_series", calendar=["hour"], source={"a": [1]}
    )
    torch.save(data.state_dict(), tmp_path / "kept.pt")
    kept = torch.load(tmp_path / "kept.pt", weights_only=True)
    assert type(data.known).of(kept) == data.known
    assert kept["columns"] == ["c0"]
    assert kept["frequency"] == "1h"
    assert _lists(kept["inputs"]) == {"mean": data.input_scaling.mean, "scale": data.input_scaling.scale}
    with pytest.raises(BadInput, match="the checkpoint keeps no data of flatspot's: "):
        type(data.known).of({"columns": ["a"]})
