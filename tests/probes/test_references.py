import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge as SlowRidge
from sklearn.preprocessing import StandardScaler

from flatspot.probes.references import PENALTIES, fit_ridge


def batches(x, y, size=16):
    return lambda: zip(torch.from_numpy(x).split(size), torch.from_numpy(y).split(size), strict=True)


def made(seed, samples=80, steps=5, channels=2, offset=0.0):
    rng = np.random.default_rng(seed)
    x = offset + rng.normal(size=(samples, steps, channels)) * [1.0, 50.0]
    weights = rng.normal(size=(steps * channels, 3))
    y = (StandardScaler().fit_transform(x.reshape(samples, -1)) @ weights)[:, :, None]
    return x, y + rng.normal(size=y.shape)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), offset=st.sampled_from([0.0, 9065.0]))
def test_equals_scikit_learn_with_the_same_penalty(seed, offset):
    x, y = made(seed, offset=offset)
    train, val = slice(0, 60), slice(60, 80)
    ours = fit_ridge(batches(x[train], y[train]), batches(x[val], y[val]))
    scaler = StandardScaler().fit(x[train].reshape(60, -1))
    flat = [scaler.transform(x[part].reshape(-1, 10)) for part in (train, val)]
    slow = SlowRidge(alpha=60 * ours.penalty).fit(flat[0], y[train, :, 0])
    predicted = ours.predict(torch.from_numpy(x[val]))
    np.testing.assert_allclose(predicted[:, :, 0], slow.predict(flat[1]), atol=1e-6)

    def error(penalty):
        return np.square(
            SlowRidge(alpha=60 * penalty).fit(flat[0], y[train, :, 0]).predict(flat[1]) - y[val, :, 0]
        ).sum()

    assert error(ours.penalty) == pytest.approx(min(error(penalty) for penalty in PENALTIES), rel=1e-6)


def test_a_linear_rule_is_found_and_noise_is_not():
    x, y = made(0, samples=400)
    rng = np.random.default_rng(1)
    noise = rng.normal(size=y.shape)
    for targets, low, high in ((y, 0.8, 1.0), (noise, -0.1, 0.05)):
        ridge = fit_ridge(batches(x[:250], targets[:250]), batches(x[250:320], targets[250:320]))
        left = np.square(ridge.predict(torch.from_numpy(x[320:])).numpy() - targets[320:]).sum()
        skill = 1 - left / np.square(targets[320:] - targets[320:].mean(axis=0)).sum()
        assert low < skill < high


def test_a_constant_feature_does_no_harm():
    x, y = made(0)
    x[:, :, 1] = 7.0
    ridge = fit_ridge(batches(x[:60], y[:60]), batches(x[60:], y[60:]))
    assert ridge.predict(torch.from_numpy(x)).isfinite().all()


def test_a_window_too_wide_keeps_its_latest_steps():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40, 2500, 1))
    y = x[:, -1:, :]
    ridge = fit_ridge(batches(x[:30], y[:30]), batches(x[30:], y[30:]))
    assert len(ridge.coefficients) == 2048
    assert ridge.predict(torch.from_numpy(x)).shape == (40, 1, 1)
