"""Scalings against scikit-learn's, on the training rows, and back."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler, RobustScaler, StandardScaler

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Filling, Panel
from flatspot.data.scaling import SCALINGS
from flatspot.errors import BadInput
from flatspot.evaluate import original

THEIRS = {
    "standard": StandardScaler(),
    "robust": RobustScaler(),
    "minmax": MinMaxScaler(),
    "none": FunctionTransformer(),
}


def training_rows(data):
    return np.concatenate([np.arange(start, val) for start, val, *_ in data.prepared.borders])


def made(values, lengths, channels, **options):
    panel = Panel(
        "made",
        tuple(f"c{number}" for number in range(channels)),
        1,
        [np.array(block) for block in values],
        np.array(lengths),
        tuple(f"s{number}" for number in range(len(lengths))),
    )
    return SeriesDataModule(panel, window=5, horizon=2, **options)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    name=st.sampled_from(sorted(THEIRS)),
    lengths=st.lists(st.integers(60, 90), min_size=1, max_size=3),
    level=st.floats(-1e4, 1e4),
    spread=st.floats(0.1, 1e3),
)
def test_every_scaling_is_scikit_learns_on_the_training_rows(seed, name, lengths, level, spread):
    values = level + spread * np.random.default_rng(seed).standard_t(3, size=(sum(lengths), 3))
    data = made([values], lengths, 3, scale=name, scale_target="none" if name != "none" else "standard")
    scaler = THEIRS[name].fit(values[training_rows(data)])
    tolerance = 1e-4 if name == "none" else 2e-5
    np.testing.assert_allclose(data.prepared.inputs, scaler.transform(values), rtol=1e-5, atol=tolerance)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), name=st.sampled_from(sorted(THEIRS)), cut=st.integers(1, 99))
def test_rows_in_several_blocks_are_scaled_like_rows_in_one(seed, name, cut):
    values = 100 + np.random.default_rng(seed).normal(size=(100, 2))
    one = made([values], [100], 2, scale=name)
    two = made([values[:cut], values[cut:]], [100], 2, scale=name)
    for ours, theirs in zip(one.input_scaling.table, two.input_scaling.table, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
    torch.testing.assert_close(one.prepared.inputs, two.prepared.inputs)


@pytest.mark.parametrize("name", sorted(SCALINGS))
def test_rows_kept_less_a_base_are_scaled_like_whole_ones(name):
    values = 1000 + np.random.default_rng(0).normal(size=(100, 2))
    base = values[0].copy()
    names, lengths = ("a", "b"), np.array([100])
    narrow = Panel("made", names, 1, [(values - base).astype(np.float32)], lengths, ("s",), base=base)
    whole = Panel("made", names, 1, [values], lengths, ("s",))
    ours, theirs = (
        SeriesDataModule(each, window=5, horizon=2, scale=name, scale_target=name) for each in (narrow, whole)
    )
    torch.testing.assert_close(ours.prepared.inputs, theirs.prepared.inputs, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(ours.input_scaling.table, theirs.input_scaling.table, rtol=1e-6)


@settings(max_examples=40)
@given(seed=st.integers(0, 2**31), lengths=st.lists(st.integers(30, 60), min_size=1, max_size=5))
def test_scaling_per_series_is_a_scaler_for_each(seed, lengths):
    rng = np.random.default_rng(seed)
    blocks = [rng.normal(rng.uniform(-1e3, 1e3), rng.uniform(0.1, 100), size=(length, 2)) for length in lengths]
    data = made([np.concatenate(blocks)], lengths, 2, scale="per_series", scale_target="per_series")
    expected = []
    for block, (start, val, *_) in zip(blocks, data.prepared.borders, strict=True):
        expected.append(StandardScaler().fit(block[: val - start]).transform(block))
    np.testing.assert_allclose(data.prepared.inputs, np.concatenate(expected), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(data.prepared.targets, np.concatenate(expected)[:, :1], rtol=1e-5, atol=1e-5)
    assert np.shape(data.target_scaling.mean) == (len(lengths), 1)


def test_missing_values_that_stay_are_passed_over():
    values = np.random.default_rng(0).normal(size=(100, 2))
    values[10:20] = np.nan
    panel = Panel("made", ("a", "b"), 1, [values], np.array([100]), ("s",), filling=Filling(True, 2))
    for name in ("standard", "per_series", "robust", "minmax"):
        data = SeriesDataModule(panel, window=5, horizon=2, scale=name)
        scaler = THEIRS["standard" if name == "per_series" else name].fit(values[:70])
        whole = np.isfinite(values).all(axis=1)
        np.testing.assert_allclose(data.prepared.inputs[whole], scaler.transform(values[whole]), atol=1e-5)


@pytest.mark.parametrize("name", sorted(SCALINGS))
@pytest.mark.parametrize("lengths", [(90,), (60, 70, 50)])
def test_scaled_targets_come_back_in_original_units(panel_with, name, lengths):
    panel = panel_with(*lengths, channels=3, targets=2)
    data = SeriesDataModule(panel, window=4, horizon=3, scale_target=name)
    windows = data.dataset("val")
    _, y, *_ = windows.__getitems__(range(len(windows)))
    starts = windows.runs.starts()
    series = torch.from_numpy(panel.series_of_rows()[starts])
    raw = np.stack([panel.values[start + 4 : start + 7, :2] for start in starts])
    np.testing.assert_allclose(original(data, y, series), raw, rtol=1e-6, atol=1e-5)


def test_training_rows_are_standardised(data):
    train = data.prepared.inputs[:280]
    assert train.mean(dim=0).abs().max() < 1e-5
    assert (train.std(dim=0, correction=0) - 1).abs().max() < 1e-5


@pytest.mark.parametrize("name", ["standard", "per_series", "robust", "minmax"])
def test_an_offset_of_a_billion_keeps_its_digits(panel_with, name):
    plain = np.random.default_rng(0).normal(size=(300, 1))
    near, far = (
        SeriesDataModule(panel_with(300, values=values), window=5, horizon=1, scale=name, scale_target=name)
        for values in (plain, 1e9 + plain)
    )
    torch.testing.assert_close(far.prepared.inputs, near.prepared.inputs, rtol=0, atol=1e-5)
    assert len(far.prepared.inputs.unique()) == 300


@pytest.mark.parametrize("name", ["standard", "per_series", "robust", "minmax"])
@pytest.mark.parametrize("level", [0.0, 0.1, -7.0, 1e9])
def test_a_constant_channel_is_divided_by_one(panel_with, name, level):
    values = np.column_stack([np.random.default_rng(0).normal(size=120), np.full(120, level)])
    data = SeriesDataModule(panel_with(60, 60, values=values), window=5, horizon=1, scale=name)
    assert data.prepared.inputs[:, 1].abs().max() < 1e-6
    _, scale = data.input_scaling.table
    assert (scale[:, 1] == 1).all()


def test_a_channel_that_first_moves_after_training_is_shifted_and_not_stretched(panel_with):
    values = np.random.default_rng(0).normal(size=(100, 2))
    values[:70, 1] = 5.0
    data = SeriesDataModule(panel_with(100, values=values), window=5, horizon=1)
    np.testing.assert_allclose(data.prepared.inputs[70:, 1], values[70:, 1] - 5, rtol=1e-5)


def test_targets_are_no_copy_where_they_scale_like_the_inputs(panel_with):
    alike = SeriesDataModule(panel_with(100, channels=2), window=5, horizon=1).prepared
    apart = SeriesDataModule(panel_with(100, channels=2), window=5, horizon=1, scale_target="minmax").prepared
    assert alike.targets.data_ptr() == alike.inputs.data_ptr()
    assert apart.targets.data_ptr() != apart.inputs.data_ptr()
    torch.testing.assert_close(alike.inputs, apart.inputs)
    assert apart.targets[:70].min() == 0
    assert apart.targets[:70].max() == 1


@pytest.mark.parametrize("filling", [None, Filling(interpolate=True, most=3)])
def test_spending_gives_the_same_tensors_and_empties_the_panel(panel_with, filling):
    values = np.random.default_rng(0).normal(size=(100, 2))
    if filling:
        values[5] = np.nan
    kept, spent = (panel_with(100, values=values, filling=filling) for _ in range(2))
    one = SeriesDataModule(kept, window=5, horizon=1)
    other = SeriesDataModule(spent, window=5, horizon=1, spend=True)
    assert torch.equal(one.prepared.inputs, other.prepared.inputs)
    assert one.known == other.known
    assert len(kept.blocks) == 1
    np.testing.assert_array_equal(kept.values, values)
    assert spent.blocks == other.panel.blocks == []


def test_unscaled_numbers_finer_than_float32_are_refused(panel_with):
    values = np.random.default_rng(0).normal(size=(300, 1))
    with pytest.raises(BadInput, match=r"column 'c0': its changes are finer than float32 can hold"):
        SeriesDataModule(panel_with(300, values=1e9 + values), window=5, horizon=1, scale_target="none")
    plain = panel_with(300, values=9065 + 22 * values)
    SeriesDataModule(plain, window=5, horizon=1, scale="none", scale_target="none")
