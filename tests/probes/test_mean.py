import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flatspot.probes.mean import WeightedMean

pairs = st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(1, 100)), min_size=1, max_size=8)


@given(pairs)
def test_it_is_the_mean_over_all_samples(values):
    metric = WeightedMean()
    for value, weight in values:
        metric.update(torch.tensor(value, dtype=torch.float64), weight=weight)
    slow = sum(value * weight for value, weight in values) / sum(weight for _, weight in values)
    assert metric.compute().item() == pytest.approx(slow, rel=1e-9, abs=1e-6)


def test_a_nan_stays_a_nan():
    metric = WeightedMean()
    metric.update(torch.tensor(float("nan")), weight=1)
    metric.update(torch.tensor(1.0), weight=1)
    assert metric.compute().isnan()


def test_a_reset_forgets():
    metric = WeightedMean()
    metric.update(torch.tensor(5.0), weight=1)
    metric.reset()
    metric.update(torch.tensor(1.0), weight=2)
    assert metric.compute() == 1
