import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.preprocessing import StandardScaler

from flatspot.nn.scaling import Scaling


@given(mean=st.floats(-1e9, 1e9), spread=st.floats(1e-3, 1e6))
def test_there_and_back_keeps_float32s_share_of_the_spread(mean, spread):
    rows = mean + spread * np.random.default_rng(0).normal(size=(50, 1))
    fitted = StandardScaler().fit(rows)
    scaling = Scaling(1)
    scaling.set(fitted.mean_.tolist(), fitted.scale_.tolist())
    there = scaling(torch.from_numpy(rows))
    np.testing.assert_allclose(there, fitted.transform(rows), atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(scaling.inverse(there), rows, atol=1e-5 * fitted.scale_.item() + 1e-6 * abs(mean) * 1e-9)


def test_it_travels_in_the_state_dict_and_loads_without_code(tmp_path):
    scaling = Scaling(2)
    scaling.set([9065.0, 1e9], [22.0, 1.0])
    torch.save(scaling.state_dict(), tmp_path / "scaling.pt")
    restored = Scaling(2)
    restored.load_state_dict(torch.load(tmp_path / "scaling.pt", weights_only=True))
    assert torch.equal(restored.mean, scaling.mean)
    assert torch.equal(restored.scale, scaling.scale)


def test_casting_the_model_does_not_round_it():
    scaling = Scaling(1)
    scaling.set([123456789.125], [1.0])
    assert scaling.half().mean.item() == 123456789.125


@pytest.mark.parametrize(
    ("mean", "scale", "message"),
    [
        ([0.0], [1.0], "scaling of 2 channels was given 1"),
        ([[0.0], [0.0]], [[1.0], [1.0]], "scaling of 2 channels was given 1"),
        ([[0.0, 0.0], [0.0, 0.0]], [[1.0, 1.0]], "expected sequence of length 2"),
        ([], [], "scaling of 2 channels was given 0"),
    ],
)
def test_the_wrong_number_of_channels_or_series_is_refused(mean, scale, message):
    with pytest.raises(ValueError, match=message):
        Scaling(2).set(mean, scale)


ROWS = ([[9065.0, 0.0], [1e9, 1.0], [-3.0, 2.0]], [[22.0, 1.0], [1.0, 0.5], [7.0, 3.0]])


@given(series=st.lists(st.integers(0, 2), max_size=6), between=st.lists(st.integers(1, 3), max_size=2))
def test_each_sample_is_scaled_as_its_series_alone(series, between):
    scaling, number = Scaling(2), torch.tensor(series, dtype=torch.int64)
    scaling.set(*ROWS)
    x = 1e3 * torch.randn(len(series), *between, 2, dtype=torch.float64)
    there, back = scaling(x, number), scaling.inverse(x, number)
    assert there.dtype == torch.float32
    assert back.dtype == torch.float64
    for sample, each in enumerate(series):
        alone = Scaling(2)
        alone.set(ROWS[0][each], ROWS[1][each])
        assert torch.equal(there[sample], alone(x[sample]))
        assert torch.equal(back[sample], alone.inverse(x[sample]))


def test_a_row_a_series_travels_in_the_state_dict(tmp_path):
    scaling, restored = Scaling(2), Scaling(2)
    scaling.set(*ROWS)
    assert scaling.per_series
    assert (scaling.mean.tolist(), scaling.scale.tolist()) == ROWS
    torch.save(scaling.half().state_dict(), tmp_path / "scaling.pt")
    restored.load_state_dict(torch.load(tmp_path / "scaling.pt", weights_only=True))
    assert torch.equal(restored.mean, scaling.mean)
    assert torch.equal(restored.scale, scaling.scale)


def test_one_series_by_itself_is_scaled_as_all():
    scaling = Scaling(2)
    scaling.set([[1.0, 2.0]], [[3.0, 4.0]])
    assert not scaling.per_series
    assert scaling.mean.tolist() == [1.0, 2.0]
    assert scaling(torch.tensor([[4.0, 6.0]])).tolist() == [[1.0, 1.0]]


def test_a_scaling_that_was_saved_without_series_is_still_read():
    scaling = Scaling(2)
    scaling.load_state_dict({"_extra_state": torch.tensor([[5.0, 6.0], [7.0, 8.0]], dtype=torch.float64)})
    assert (scaling.mean.tolist(), scaling.scale.tolist()) == ([5.0, 6.0], [7.0, 8.0])


def test_samples_of_no_series_are_refused_where_each_is_scaled_by_itself():
    scaling = Scaling(2)
    scaling.set(*ROWS)
    for convert in (scaling, scaling.inverse):
        with pytest.raises(ValueError, match="each of 3 series is scaled by itself: whose are the samples"):
            convert(torch.zeros(3, 2))
