import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.probes.shrinkage import excess_flatness, murphy


def pair(seed, size, outputs=3):
    generator = torch.Generator().manual_seed(seed)
    p, y = torch.randn(2, size, outputs, 1, dtype=torch.float64, generator=generator)
    return 0.5 * y + p + 1, y


def slow(predictions, targets):
    """One output after another, with numpy's own correlation."""
    parts = []
    for k in range(predictions[0].numel()):
        p, y = (np.asarray(each.double().flatten(1)[:, k]) for each in (predictions, targets))
        r = np.corrcoef(p, y)[0, 1]
        parts.append(((p.mean() - y.mean()) ** 2, (p.std() - y.std()) ** 2, 2 * p.std() * y.std() * (1 - r)))
    return tuple(np.mean(parts, axis=0))


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(2, 20),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
)
def test_the_parts_equal_their_slow_twin_and_sum_to_the_error(seed, size, dtype):
    p, y = (each.to(dtype) for each in pair(seed, size))
    found = murphy(p, y)
    assert found == pytest.approx(slow(p, y), abs=1e-12)
    assert sum(found) == pytest.approx((p.double() - y.double()).square().mean().item())


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3), shift=st.sampled_from([-7.0, 1e9]))
def test_shift_scale_and_order(seed, scale, shift):
    p, y = pair(seed, 12)
    found = murphy(p, y)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(seed))
    assert murphy(p[order], y[order]) == pytest.approx(found)
    assert murphy(scale * p, scale * y) == pytest.approx([scale**2 * part for part in found])
    assert murphy(p + shift, y + shift) == pytest.approx(found, rel=1e-5, abs=1e-6)


def test_each_part_has_its_specimen():
    _, y = pair(0, 50)
    assert murphy(y + 2, y) == pytest.approx((4, 0, 0), abs=1e-12)
    flat = murphy(y.mean(dim=0).expand_as(y), y)
    assert flat == pytest.approx((0, y.var(dim=0, correction=0).mean().item(), 0), abs=1e-12)
    turned = murphy(2 * y.mean(dim=0) - y, y)
    assert turned == pytest.approx((0, 0, 4 * y.var(dim=0, correction=0).mean().item()), abs=1e-12)


def test_the_best_forecast_is_as_flat_as_its_skill():
    signal, noise = torch.randn(2, 4000, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    y = 0.3 * signal + noise
    r2 = 1 - (y - 0.3 * signal).square().sum().item() / (y - y.mean()).square().sum().item()
    ratio = ((0.3 * signal).std() / y.std()).item()
    assert excess_flatness(r2, ratio) == pytest.approx(0, abs=0.01)
    assert excess_flatness(r2, 0.0) == r2


def test_without_samples_or_numbers_there_is_no_figure():
    empty = torch.zeros(0, 2)
    assert all(math.isnan(part) for part in murphy(empty, empty))
    holed = torch.tensor([[0.0], [math.nan]])
    assert all(math.isnan(part) for part in murphy(holed, torch.zeros(2, 1)))
    assert murphy(torch.ones(1, 2), torch.zeros(1, 2)) == (1, 0, 0)
    assert math.isnan(excess_flatness(math.nan, 0.1))
