import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.data.module import SeriesDataModule
from flatspot.data.panel import Series
from flatspot.errors import BadInput


def series_of(values):
    values = np.asarray(values, dtype=np.float64).reshape(len(values), -1)
    return Series("made", tuple(f"c{i}" for i in range(values.shape[1])), 1, values)


def test_batches_have_the_shapes_that_the_docs_give(data):
    x, y = next(iter(data.train_dataloader()))
    assert (x.shape, y.shape) == ((32, 12, 2), (32, 3, 1))
    assert x.dtype == y.dtype == torch.float32


def test_splits_are_by_time_and_their_targets_do_not_overlap(data, waves):
    assert [data.rows[part] for part in ("train", "val", "test")] == [range(280), range(280, 340), range(340, 400)]
    scaled = (waves.values[:, 0] - data.target_scaling.mean[0]) / data.target_scaling.scale[0]
    _, y = data.dataset("val").__getitems__(range(len(data.dataset("val"))))
    assert y[0, 0].item() == pytest.approx(scaled[280], abs=1e-5)
    assert y[-1, -1].item() == pytest.approx(scaled[339], abs=1e-5)


@settings(max_examples=20)
@given(st.integers(0, 2**31), st.floats(1.0, 1e6))
def test_what_comes_after_the_training_rows_moves_no_scale(seed, size):
    """The leak test: validation and test rows are replaced by something wild, and the scaling stays."""
    rng = np.random.default_rng(seed)
    clean = rng.normal(size=(200, 2))
    wild = clean.copy()
    wild[140:] += size * rng.normal(size=(60, 2))
    options = {"window": 5, "horizon": 2}
    one, other = (SeriesDataModule(series_of(values), **options) for values in (clean, wild))
    assert one.input_scaling == other.input_scaling
    assert one.target_scaling == other.target_scaling
    for index in range(len(one.dataset("train"))):
        assert torch.equal(one.dataset("train")[index][0], other.dataset("train")[index][0])


def test_training_rows_are_standardised(data):
    train = data.dataset("train").inputs[:280]
    assert train.mean(dim=0).abs().max() < 1e-5
    assert (train.std(dim=0, correction=0) - 1).abs().max() < 1e-5


def test_an_offset_of_a_billion_keeps_its_digits():
    values = 1e9 + np.random.default_rng(0).normal(size=(300, 1))
    scaled = SeriesDataModule(series_of(values), window=5, horizon=1).dataset("train").inputs[:210]
    assert scaled.std().item() == pytest.approx(1, abs=0.02)
    assert len(scaled.unique()) > 200


def test_a_constant_channel_is_scaled_to_zero():
    data = SeriesDataModule(series_of(np.full(100, 7.0)), window=5, horizon=1)
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
        ({"batch_size": 0}, "data.batch_size=0"),
        ({"val_share": 0.0}, "data.val_share=0.0: must lie between 0 and 1"),
        ({"val_share": 0.6, "test_share": 0.5}, "leave no rows to train on"),
        ({"scale": "standart"}, "no scaling is called 'standart'; did you mean 'standard'"),
        ({"scale_target": "robust"}, "no scaling is called 'robust'"),
        ({"window": 280}, r"280 rows reach the train split, and one window needs 283"),
        ({"horizon": 61, "window": 1}, r"61 rows reach the val split, and one window needs 62"),
    ],
)
def test_what_cannot_be_used_is_named(waves, options, message):
    with pytest.raises(BadInput, match=message):
        SeriesDataModule(waves, **({"window": 12, "horizon": 3} | options))


def test_a_loader_draws_nothing_from_the_global_state(data):
    torch.manual_seed(0)
    list(data.train_dataloader())
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


def test_unscaled_numbers_finer_than_float32_are_refused():
    values = 1e9 + np.random.default_rng(0).normal(size=(300, 1))
    with pytest.raises(BadInput, match=r"column 'c0': its changes are finer than float32 can hold"):
        SeriesDataModule(series_of(values), window=5, horizon=1, scale_target="none")
    SeriesDataModule(series_of(9065 + 22 * (values - 1e9)), window=5, horizon=1, scale="none", scale_target="none")
