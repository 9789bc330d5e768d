import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from flatspot.probes.errors import ForecastErrors, forecast_errors, smape


@given(seed=st.integers(0, 2**31), scale=st.floats(1e-3, 1e3))
def test_equals_scikit_learn_in_original_units(seed, scale):
    rng = np.random.default_rng(seed)
    p, y = rng.normal(size=(30, 4, 1)), rng.normal(size=(30, 4, 1))
    metric = ForecastErrors()
    for part in (slice(0, 11), slice(11, 30)):
        metric.update(torch.from_numpy(p[part]), torch.from_numpy(y[part]))
    measured = metric.errors(torch.tensor([scale], dtype=torch.float64))
    flat_p, flat_y = scale * p.reshape(30, 4), scale * y.reshape(30, 4)
    assert measured.mae == pytest.approx(mean_absolute_error(flat_y, flat_p))
    assert measured.rmse == pytest.approx(math.sqrt(mean_squared_error(flat_y, flat_p)))
    assert measured.r2 == pytest.approx(r2_score(flat_y, flat_p, multioutput="variance_weighted"))


def test_several_targets_keep_their_own_units():
    y = torch.zeros(2, 1, 2)
    y[1] = 1
    metric = ForecastErrors()
    metric.update(y + 1, y)
    assert metric.errors(torch.tensor([1.0, 9.0])).mae == 5


def test_a_far_off_mean_does_not_blur_the_errors():
    y = 1e9 + torch.randn(100, 3, 1, dtype=torch.float64)
    measured = forecast_errors(y + 0.5, y)
    assert measured.mae == pytest.approx(0.5)
    assert measured.r2 == pytest.approx(1 - 0.25 / y.var(dim=0, correction=0).mean().item(), rel=1e-3)


@pytest.mark.parametrize("level", [0.0, 0.1, 1e9])
def test_a_constant_target_has_no_r2(level):
    constant = torch.full((1000, 1, 1), level, dtype=torch.float64)
    assert math.isnan(forecast_errors(constant + 1, constant).r2)


def test_a_reset_forgets():
    metric = ForecastErrors()
    metric.update(torch.ones(2, 1, 1), torch.zeros(2, 1, 1))
    metric.reset()
    metric.update(torch.zeros(2, 1, 1), torch.zeros(2, 1, 1))
    assert metric.errors().mae == 0


@given(seed=st.integers(0, 2**31), level=st.sampled_from([0.0, 1e6]))
def test_samples_with_units_of_their_own_are_measured_in_them(seed, level):
    rng = np.random.default_rng(seed)
    p, y = rng.normal(size=(2, 30, 4, 2))
    mean, scale = level + rng.normal(scale=10, size=(30, 2)), rng.uniform(0.1, 50, size=(30, 2))
    metric = ForecastErrors()
    for part in (slice(0, 11), slice(11, 30)):
        units = torch.from_numpy(np.stack([mean[part], scale[part]]))
        metric.update(torch.from_numpy(p[part]), torch.from_numpy(y[part]), units)
    measured = metric.errors()
    flat_p, flat_y = ((each * scale[:, None] + mean[:, None]).reshape(30, 8) for each in (p, y))
    assert measured.mae == pytest.approx(mean_absolute_error(flat_y, flat_p))
    assert measured.rmse == pytest.approx(math.sqrt(mean_squared_error(flat_y, flat_p)))
    assert measured.r2 == pytest.approx(r2_score(flat_y, flat_p, multioutput="variance_weighted"))


def slow_smape(predictions, targets):
    each = [
        0 if p == y == 0 else 200 * abs(p - y) / (abs(p) + abs(y))
        for p, y in zip(predictions.flatten().tolist(), targets.flatten().tolist(), strict=True)
    ]
    return sum(each) / len(each)


@given(values=st.lists(st.tuples(*[st.sampled_from([0.0, 1.0, -2.5, 1e-30, 3e9])] * 2), min_size=1, max_size=12))
def test_smape_is_the_slow_one(values):
    p, y = torch.tensor(values, dtype=torch.float64).T.reshape(2, -1, 1, 1)
    assert smape(p, y) == pytest.approx(slow_smape(p, y))
    assert smape(p, y) == smape(y, p) == smape(4 * p, 4 * y)
    assert 0 <= smape(p, y) <= 200


def test_smape_of_a_forecast_that_is_no_number_is_none():
    assert math.isnan(smape(torch.full((1, 1, 1), torch.nan), torch.zeros(1, 1, 1)))
