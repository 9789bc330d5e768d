import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import Ridge as SlowRidge
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from flatspot.probes.references import PENALTIES, fit_gru, fit_ridge, fit_trees


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


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31), offset=st.sampled_from([0.0, 9065.0]))
def test_fewer_windows_than_features_give_the_same_line(seed, offset):
    x, y = made(seed, samples=50, steps=20, offset=offset)
    train, val = slice(0, 30), slice(30, 50)
    ours = fit_ridge(batches(x[train], y[train]), batches(x[val], y[val]))
    scaler = StandardScaler().fit(x[train].reshape(30, -1))
    flat = [scaler.transform(x[part].reshape(-1, 40)) for part in (train, val)]
    slow = SlowRidge(alpha=30 * ours.penalty).fit(flat[0], y[train, :, 0])
    np.testing.assert_allclose(ours.predict(torch.from_numpy(x[val]))[:, :, 0], slow.predict(flat[1]), atol=1e-5)


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


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def product(samples=400, outputs=6, dtype=torch.float32):
    """Two steps multiplied, which a straight line cannot see; the last output is noise."""
    x = torch.randn(samples, 4, 1, generator=seeded(0)).to(dtype)
    y = (x[:, 1] * x[:, 2]).unsqueeze(1).repeat(1, outputs, 1) + 0.1
    y[:, -1] = torch.randn(samples, 1, generator=seeded(1))
    return (x[:250], y[:250]), (x[250:320], y[250:320]), (x[320:], y[320:])


def r2(predictions, targets):
    rows, y = predictions.flatten(1).double(), targets.flatten(1).double()
    return (1 - (rows - y).square().sum(dim=0) / (y - y.mean(dim=0)).square().sum(dim=0)).tolist()


def test_trees_find_a_product_for_outputs_chosen_evenly():
    train, stop, (x, y) = product()
    trees = fit_trees(train, stop)
    assert trees.outputs == (0, 2, 3, 5)
    predictions = trees.predict(x)
    assert predictions.shape == (80, 4)
    found = r2(predictions, y[:, trees.outputs])
    assert min(found[:3]) > 0.4
    assert found[3] == pytest.approx(0, abs=0.1)
    assert trees.counts[3] < trees.counts[0]


def test_trees_equal_scikit_learns_with_the_number_that_is_best_to_stop_by():
    train, stop, (x, _) = product(outputs=1)
    trees = fit_trees(train, stop, seed=3)
    errors = []
    for count in (1, 40, 100):
        slow = HistGradientBoostingRegressor(
            max_iter=count, max_leaf_nodes=15, early_stopping=False, random_state=3
        ).fit(train[0].flatten(1).double().numpy(), train[1].flatten().double().numpy())
        errors.append(np.square(slow.predict(stop[0].flatten(1).numpy()) - stop[1].flatten().numpy()).mean())
        if count == trees.counts[0]:
            np.testing.assert_allclose(trees.predict(x)[:, 0], slow.predict(x.flatten(1).numpy()))
    best = np.square(trees.predict(stop[0])[:, 0].numpy() - stop[1].flatten().numpy()).mean()
    assert best <= min(errors) + 1e-12


def test_without_a_signal_trees_and_gru_have_no_skill():
    x, y = torch.randn(300, 4, 1, generator=seeded(0)), 7 + torch.randn(300, 1, 1, generator=seeded(1))
    train, stop, held = ((x[part], y[part]) for part in (slice(0, 200), slice(200, 250), slice(250, 300)))
    for each in (fit_trees(train, stop), fit_gru(train, stop, F.mse_loss, steps=30)):
        assert -0.5 < r2(each.predict(held[0]), held[1])[0] < 0.1


def test_a_gru_counts_sign_changes():
    x = torch.randn(700, 8, 1, generator=seeded(0))
    y = (x[:, 1:].sign() != x[:, :-1].sign()).float().sum(dim=1, keepdim=True)
    train, stop, held = ((x[part], y[part]) for part in (slice(0, 500), slice(500, 600), slice(600, 700)))
    gru = fit_gru(train, stop, F.mse_loss, steps=300)
    assert r2(gru.predict(held[0]), held[1])[0] > 0.5


def following():
    """The last step again, with some noise: what a few steps learn."""
    x = torch.randn(330, 4, 1, generator=seeded(0))
    y = x[:, -1:] + 0.3 * torch.randn(330, 1, 1, generator=seeded(1))
    return (x[:250], y[:250]), (x[250:320], y[250:320]), (x[320:], y[320:])


def units(windows, scale, shift):
    x, y = windows
    return 1e3 * x.double() + 9065, scale * y.double() + shift


@pytest.mark.parametrize("loss", [F.mse_loss, F.l1_loss])
@pytest.mark.parametrize(("scale", "shift"), [(1e-6, 0.0), (1.0, 1e9), (1e6, 0.0)])
def test_units_do_not_matter_to_trees_and_gru(loss, scale, shift):
    train, stop, (x, y) = following()
    there = [units(each, scale, shift) for each in (train, stop)]
    far = units((x, x), 1.0, 0.0)[0]
    plain, scaled = fit_gru(train, stop, loss, steps=30), fit_gru(*there, loss, steps=30)
    assert r2(plain.predict(x), y)[0] > 0.5
    torch.testing.assert_close((scaled.predict(far) - shift) / scale, plain.predict(x), atol=1e-2, rtol=1e-2)
    trees, again = fit_trees(train, stop), fit_trees(*there)
    torch.testing.assert_close((again.predict(far) - shift) / scale, trees.predict(x), atol=1e-3, rtol=1e-3)


def test_references_are_the_same_again_and_move_no_random_state():
    train, stop, (x, _) = following()
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    with torch.inference_mode():
        first, other = fit_gru(train, stop, F.mse_loss, steps=5), fit_gru(train, stop, F.mse_loss, steps=5, seed=1)
        again = fit_gru(train, stop, F.mse_loss, steps=5)
    assert torch.equal(first.predict(x), again.predict(x))
    assert not torch.equal(first.predict(x), other.predict(x))
    assert torch.equal(fit_trees(train, stop).predict(x), fit_trees(train, stop).predict(x))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])


def test_a_gru_without_a_step_answers_the_mean_and_few_samples_do_no_harm():
    train, stop, (x, y) = product(samples=330, outputs=2)
    still = fit_gru(train, stop, F.mse_loss, steps=0).predict(x)
    torch.testing.assert_close(still, train[1].double().mean(dim=0).expand(still.shape))
    one = (x[:1], y[:1])
    assert fit_gru(one, one, F.mse_loss, steps=3).predict(x).isfinite().all()
    assert fit_trees(one, one).predict(x).isfinite().all()
