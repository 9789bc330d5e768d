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


def test_the_wrong_number_of_channels_is_refused():
    with pytest.raises(ValueError, match="scaling of 2 channels was given 1"):
        Scaling(2).set([0.0], [1.0])
