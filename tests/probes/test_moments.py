import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flatspot.probes.moments import merge, moments

seeds = st.integers(0, 2**31)


def slow(samples):
    """The obvious twin: NumPy over everything at once, in float64."""
    flat = samples.double().reshape(len(samples), -1).numpy()
    return flat.mean(axis=0), flat.std(axis=0)


@given(seed=seeds, sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6), mean=st.floats(-1e9, 1e9))
def test_merged_batches_equal_all_at_once(seed, sizes, mean):
    generator = torch.Generator().manual_seed(seed)
    parts = [mean + torch.randn(size, 2, 3, generator=generator, dtype=torch.float64) for size in sizes]
    total = moments(parts[0])
    for part in parts[1:]:
        total = merge(total, moments(part))
    expected_mean, expected_std = slow(torch.cat(parts))
    np.testing.assert_allclose(total.mean, expected_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(total.std, expected_std, rtol=1e-6, atol=1e-6)
    assert total.size == sum(sizes)


def test_a_mean_of_a_billion_does_not_eat_the_spread():
    samples = 1e9 + torch.randn(10_000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert moments(samples).std.item() == pytest.approx(1, abs=0.02)
    naive = (samples.square().sum() / 10_000 - (samples.sum() / 10_000).square()).item()
    assert abs(naive - 1) > 0.5  # the formula that we do not use


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_any_float_type_is_measured_in_float64(dtype):
    samples = torch.tensor([[1.0], [2.0], [3.0]], dtype=dtype)
    measured = moments(samples)
    assert measured.mean.dtype == torch.float64
    assert measured.mean.item() == 2


def test_degenerate_samples():
    assert moments(torch.ones(1, 2)).std.tolist() == [0, 0]
    assert moments(torch.ones(5)).std.tolist() == [0]
    assert moments(torch.full((3, 1), torch.nan)).mean.isnan().all()
    empty = moments(torch.empty(0, 2))
    assert empty.size == 0
    assert empty.std.isnan().all()
    some = moments(torch.tensor([[1.0, 2.0]]))
    assert torch.equal(merge(empty, some).mean, some.mean)
    assert torch.equal(merge(some, empty).mean, some.mean)
