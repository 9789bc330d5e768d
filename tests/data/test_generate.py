"""Made series: what the docstrings say of the best possible model is what a reference or an oracle reaches."""

import inspect
from math import comb
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from omegaconf import OmegaConf

from flatspot.data.generate import (
    adding,
    alike,
    ar,
    delay,
    frequency_classes,
    random_walk,
    regimes,
    sines,
    white_noise,
)
from flatspot.data.panel import panel_of
from flatspot.errors import BadInput
from flatspot.probes.references import fit_ridge

CONF = Path(__file__).parents[2] / "conf" / "data"

EVERY = [sines, delay, ar, regimes, random_walk, white_noise, alike, adding, frequency_classes]
PANELS = {
    alike: {"count": 6, "steps": 50},
    adding: {"count": 6, "steps": 50},
    frequency_classes: {"count": 6, "longest": 50},
}
"""Small ones: the others are."""


def each_series(made):
    """The rows of each series, `[time, channel]`."""
    panel = panel_of(made)
    return np.split(panel.values, panel.lengths.cumsum()[:-1])


def pairs(rows, targets, window, horizon):
    """Every window of a stretch, `[sample, window, channel]`, and what follows it, `[sample, horizon, target]`."""
    both = sliding_window_view(rows, window + horizon, axis=0).swapaxes(1, 2)
    return both[:, :window], both[:, window:, :targets]


def split_pairs(made, window, horizon):
    """Windows of the first 70 % of each series, of the next 15 %, and of the last."""
    parts = [[], [], []]
    for rows in each_series(made):
        borders = [len(rows) * 70 // 100, len(rows) * 85 // 100]
        for part, stretch in zip(parts, np.split(rows, borders), strict=True):
            part.append(pairs(stretch, panel_of(made).num_targets, window, horizon))
    return [[torch.tensor(np.concatenate(each)) for each in zip(*part, strict=True)] for part in parts]


def ridge_errors(train, val, test):
    """Squared errors of ridge over the test windows, `[sample, horizon, target]`."""
    ridge = fit_ridge(lambda: [train], lambda: [val])
    return (ridge.predict(test[0]) - test[1]).square()


def ridge_r2(made, window, horizon):
    """Of ridge on the window, over the test windows, for each step ahead."""
    parts = split_pairs(made, window, horizon)
    errors, truth = ridge_errors(*parts), parts[-1][1]
    return (1 - errors.mean(dim=(0, 2)) / truth.var(dim=(0, 2), correction=0)).numpy()


def slow_sines(steps, frequencies, amplitudes, phases):
    values = []
    for t in range(steps):
        total = 0.0
        for f, a, p in zip(frequencies, amplitudes, phases, strict=True):
            total += a * np.sin(2 * np.pi * (f * t + p))
        values.append(total)
    return np.array(values)


@given(
    st.lists(
        st.tuples(st.floats(0.01, 0.49), st.floats(-5, 5), st.floats(-1, 1)),
        min_size=1,
        max_size=4,
        unique_by=lambda wave: wave[0],
    )
)
def test_sines_are_a_sum_of_sines(waves):
    frequencies, amplitudes, phases = zip(*waves, strict=True)
    made = sines(60, frequencies, amplitudes, phases, noise=0.0)
    np.testing.assert_allclose(made.values[:, 0], slow_sines(60, frequencies, amplitudes, phases), atol=1e-8)


@pytest.mark.parametrize("noise", [0.1, 0.5])
def test_the_best_forecast_of_sines_is_reached_by_a_reference(noise):
    best = 1 - noise**2 / (noise**2 + 1)
    reached = ridge_r2(sines(6000, noise=noise), window=100, horizon=12)
    assert best - 0.03 < reached.mean() < best + 0.02


def test_one_amplitude_and_phase_serve_all():
    one, each = sines(amplitudes=[2.0], phases=[0.1]), sines(amplitudes=[2.0, 2.0], phases=[0.1, 0.1])
    np.testing.assert_array_equal(one.values, each.values)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_the_best_forecast_of_a_delay_is_reached_where_the_window_holds_the_draw(noise):
    reached = ridge_r2(delay(8000, lag=4, noise=noise), window=3, horizon=6)
    held = [1 <= step <= 4 < step + 3 for step in range(1, 7)]
    assert held == [False, True, True, True, False, False]
    for r2, there in zip(reached, held, strict=True):
        assert r2 == pytest.approx(1 / (1 + noise**2) if there else 0.0, abs=0.03)


@given(st.integers(1, 50), st.integers(0, 5))
def test_a_delay_is_its_input_so_many_steps_ago(lag, seed):
    made = delay(100, lag=lag, series_seed=seed)
    delayed, given_input = made.values.T
    np.testing.assert_array_equal(delayed[lag:], given_input[:-lag])
    assert made.targets == ("delayed",)


def best_of_ar(coefficients, horizon, terms=2000):
    """1 - Σ_{j<h} ψ_j² / Σ_j ψ_j² for each step ahead, the ψ_j one by one."""
    psi = [1.0]
    for j in range(1, terms):
        psi.append(sum(c * psi[j - i] for i, c in enumerate(coefficients, start=1) if i <= j))
    squares = np.square(psi)
    return 1 - squares.cumsum()[:horizon] / squares.sum()


# Of 60,000 steps 9,000 are test rows. With memories of up to ten steps they are worth some 1,000 independent ones: R²
# is known to 0.02 or so.
@pytest.mark.parametrize("coefficients", [(0.9,), (-0.5,), (0.5, -0.3), (1.5, -0.8), (0.0, 0.0, 0.8)])
def test_the_best_forecast_of_an_autoregression_is_reached_by_a_reference(coefficients):
    reached = ridge_r2(ar(60_000, coefficients, noise=3.0), window=len(coefficients), horizon=5)
    np.testing.assert_allclose(reached, best_of_ar(coefficients, 5), atol=0.05)


def test_the_best_forecast_of_one_lag_is_its_power():
    np.testing.assert_allclose(best_of_ar((0.9,), 10), 0.9 ** (2 * np.arange(1, 11)))
    assert best_of_ar((0.9,), 10)[[0, 9]] == pytest.approx([0.81, 0.12], abs=0.005)


@given(
    st.lists(st.floats(-0.3, 0.3), min_size=1, max_size=3), st.floats(0.1, 100), st.integers(1, 80), st.integers(0, 5)
)
def test_an_autoregression_is_its_own_past_and_white_noise(coefficients, noise, steps, seed):
    made = ar(steps, coefficients, noise, series_seed=seed).values[:, 0]
    shocks = white_noise(steps, noise, series_seed=seed).values[:, 0]
    for t in range(len(coefficients), steps):
        past = sum(c * made[t - i] for i, c in enumerate(coefficients, start=1))
        assert made[t] == pytest.approx(past + shocks[t], abs=1e-9 * noise)


def test_an_autoregression_is_stationary_from_its_first_step():
    firsts = [ar(1, (0.9,), series_seed=seed).values.item() for seed in range(600)]
    assert np.var(firsts) == pytest.approx(1 / (1 - 0.9**2), rel=0.2)


@pytest.mark.parametrize("switch", [0.02, 0.2, 0.9])
def test_the_best_forecast_of_regimes_is_bounded_by_an_oracle_and_nearly_reached(switch):
    made, states = (regimes(40_000, switch=switch, noise=noise) for noise in (0.1, 0.0))
    state, truth = pairs(states.values, 1, 1, 5)[0], pairs(made.values, 1, 1, 5)[1]
    ahead = np.arange(1, 6)[:, None]
    errors = np.square(truth - (1 - 2 * switch) ** ahead * state).mean(axis=(0, 2))
    best = (1 - 2 * switch) ** (2 * ahead[:, 0]) / (1 + 0.1**2)
    np.testing.assert_allclose(1 - errors / truth.var(), best, atol=0.03)
    np.testing.assert_allclose(ridge_r2(made, window=3, horizon=5), best, atol=0.05)


def test_no_forecast_of_regimes_deep_in_noise_passes_the_bound():
    bound = (1 - 2 * 0.02) ** 2 / (1 + 2.0**2)
    assert 0.05 < ridge_r2(regimes(40_000, noise=2.0), window=30, horizon=1) < bound


@given(st.floats(0.01, 1), st.floats(0.1, 10), st.integers(0, 5))
def test_regimes_without_noise_are_two_levels(switch, level, seed):
    values = regimes(50, level, switch, noise=0.0, series_seed=seed).values
    np.testing.assert_array_equal(np.abs(values), level)


def test_regimes_change_as_often_as_they_are_told():
    values = regimes(20_000, switch=0.1, noise=0.0).values[:, 0]
    assert (values[1:] != values[:-1]).mean() == pytest.approx(0.1, abs=0.01)
    assert {regimes(1, noise=0.0, series_seed=seed).values.item() for seed in range(20)} == {-1.0, 1.0}


@pytest.mark.parametrize(("noise", "drift"), [(1.0, 0.0), (3.0, 0.5)])
def test_nothing_beats_the_last_value_of_a_random_walk(noise, drift):
    parts = split_pairs(random_walk(40_000, noise, drift, scales=[2.0]), window=5, horizon=4)
    x, y = parts[-1]
    ahead = torch.arange(1, 5)[:, None]
    errors = (x[:, -1:, :] + 2 * ahead * drift - y).square().mean(dim=(0, 2))
    np.testing.assert_allclose(errors, 4 * ahead[:, 0] * noise**2, rtol=0.06)
    assert (ridge_errors(*parts).mean(dim=(0, 2)) > 0.99 * errors).all()


@given(st.floats(0, 10), st.floats(-5, 5), st.integers(2, 50))
def test_a_random_walk_moves_by_drift_and_noise(noise, drift, steps):
    walk = random_walk(steps, noise, drift).values
    np.testing.assert_allclose(np.diff(walk, axis=0), drift + noise * white_noise(steps).values[1:], atol=1e-9)


def test_nothing_predicts_white_noise():
    made = white_noise(20_000, noise=2.0)
    assert made.values.std() == pytest.approx(2.0, rel=0.02)
    np.testing.assert_allclose(ridge_r2(made, window=10, horizon=5), 0.0, atol=0.02)


@pytest.mark.parametrize("diversity", [0.0, 0.1, 0.7, 1.0])
def test_the_correlation_of_series_that_are_alike_says_how_much(diversity):
    values = np.concatenate(each_series(alike(4, 40_000, diversity, coefficient=0.5)), axis=1)
    between = np.corrcoef(values.T)[np.triu_indices(4, k=1)]
    np.testing.assert_allclose(between, 1 - diversity**2, atol=0.03)
    np.testing.assert_allclose(values.std(axis=0), 1.0, atol=0.02)


def test_series_without_diversity_are_one():
    first, *others = each_series(alike(diversity=0.0))
    assert len(others) == 19
    for other in others:
        np.testing.assert_array_equal(other, first)


# Without diversity one series counts, however many there are: 3,000 test rows, worth some 300.
@pytest.mark.parametrize("diversity", [0.0, 0.1, 1.0])
@pytest.mark.parametrize("coefficient", [0.9, -0.5])
def test_the_best_forecast_of_series_that_are_alike_is_reached_whatever_the_diversity(diversity, coefficient):
    made = alike(5, 20_000, diversity, coefficient)
    best = coefficient ** (2 * np.arange(1, 6))
    np.testing.assert_allclose(ridge_r2(made, window=2, horizon=5), best, atol=0.08)


def test_series_that_are_alike_are_stationary_from_their_first_step():
    firsts = [rows[0, 0] for rows in each_series(alike(4000, 2, diversity=1.0, coefficient=0.99))]
    assert np.var(firsts) == pytest.approx(1.0, rel=0.1)


def labels_as_numbers(made):
    return np.array([float(text) for text in made.labels.values])


@given(st.integers(1, 20), st.integers(2, 31), st.integers(0, 5))
def test_the_label_of_adding_is_the_sum_of_the_two_marked_values(count, steps, seed):
    made = adding(count, steps, series_seed=seed)
    assert (made.labels.column, made.labels.per, made.num_targets) == ("sum", "series", 0)
    for rows, label in zip(each_series(made), labels_as_numbers(made), strict=True):
        value, marker = rows.T
        early, late = np.flatnonzero(marker)
        assert early < steps // 2 <= late
        assert set(marker) <= {0.0, 1.0}
        assert label == value[early] + value[late]


def test_the_best_constant_for_adding_is_wrong_by_a_sixth():
    sums = labels_as_numbers(adding(20_000, 4))
    assert np.square(sums - 1).mean() == pytest.approx(1 / 6, rel=0.03)


@pytest.mark.parametrize("steps", [4, 10, 50])
def test_a_linear_map_adds_hardly_anything(steps):
    made = adding(20_000, steps)
    x = torch.tensor(made.values).view(20_000, steps, 2)
    y = torch.tensor(labels_as_numbers(made)).view(-1, 1, 1)
    train, val, test = zip(x.split([14_000, 3000, 3000]), y.split([14_000, 3000, 3000]), strict=True)
    r2 = 1 - ridge_errors(train, val, test).mean() / test[1].var()
    assert r2.item() == pytest.approx(2 / steps, abs=0.04)


def loudest(rows, frequencies):
    """The class whose frequency has the largest power in the periodogram."""
    time = np.arange(len(rows))
    powers = [abs(np.exp(-2j * np.pi * frequency * time) @ rows[:, 0]) for frequency in frequencies]
    return f"f={frequencies[np.argmax(powers)]}"


def accuracy(made, frequencies):
    found = [loudest(rows, frequencies) for rows in each_series(made)]
    return (np.array(found) == made.labels.values).mean()


def best_accuracy(lengths, classes, noise):
    """What the docstring says, averaged over the lengths."""
    wrong = sum(
        (-1) ** (k + 1) * comb(classes - 1, k) / (k + 1) * np.exp(-k / (k + 1) * lengths / (4 * noise**2))
        for k in range(1, classes)
    )
    return 1 - wrong.mean()


def test_the_default_frequency_classes_can_be_told_apart():
    made = frequency_classes()
    assert accuracy(made, (0.05, 0.1, 0.2)) == 1.0
    assert best_accuracy(made.lengths, 3, 0.3) == pytest.approx(1.0, abs=1e-15)


# The accuracy over 3,000 series is known to 0.009; in 40 steps frequencies 0.05 apart are not quite orthogonal.
@pytest.mark.parametrize(
    ("frequencies", "noise", "told"),
    [
        ((0.05, 0.1, 0.2), 2.0, 6 / 7),
        ((0.05, 0.1, 0.2), 3.0, 2 / 3),
        ((0.05, 0.1, 0.2), 100.0, 1 / 3),
        ((0.1, 0.3), 2.0, 0.91),
        ((0.05, 0.1, 0.15, 0.2, 0.3), 2.0, 0.8),
    ],
)
def test_the_best_accuracy_for_frequency_classes_is_reached_by_the_periodogram(frequencies, noise, told):
    made = frequency_classes(3000, frequencies, noise=noise)
    best = best_accuracy(made.lengths, len(frequencies), noise)
    assert best == pytest.approx(told, abs=0.02)
    assert accuracy(made, frequencies) == pytest.approx(best, abs=0.03)


@given(st.integers(3, 40), st.integers(1, 30), st.integers(0, 30), st.integers(0, 5))
def test_frequency_classes_are_balanced_sines_of_many_lengths(count, shortest, more, seed):
    frequencies = [0.05, 0.1, 0.2]
    made = frequency_classes(count, frequencies, shortest, shortest + more, noise=0.0, series_seed=seed)
    assert made.lengths.dtype == np.int64
    assert shortest <= made.lengths.min() <= made.lengths.max() <= shortest + more
    sizes = [(made.labels.values == f"f={frequency}").sum() for frequency in frequencies]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    for rows, label in zip(each_series(made), made.labels.values, strict=True):
        # A sine follows from its last two values (Prony).
        wave, turn = rows[:, 0], 2 * np.pi * float(label.removeprefix("f="))
        np.testing.assert_allclose(wave[2:], 2 * np.cos(turn) * wave[1:-1] - wave[:-2], atol=1e-9)


def test_every_length_and_class_comes_up_anywhere():
    made = frequency_classes(600, shortest=4, longest=6)
    assert set(made.lengths) == {4, 5, 6}
    assert len(set(made.labels.values[:50])) == 3
    assert (made.labels.column, made.labels.per, made.num_targets) == ("class", "series", 0)


@pytest.mark.parametrize("make", PANELS)
def test_the_series_of_a_panel_are_numbered(make):
    made = make(**PANELS[make])
    assert made.series == tuple(f"series-000{number}" for number in range(1, 7))
    assert len(made.lengths) == 6
    assert made.rows == len(made.values)
    assert made.name == make.__name__
    assert alike(10_000, 1).series[::9999] == ("series-00001", "series-10000")


@pytest.mark.parametrize("make", EVERY)
@settings(max_examples=10)
@given(scale=st.floats(0.01, 100), sign=st.sampled_from([-1, 1]), offset=st.floats(-1e4, 1e4))
def test_scales_and_offsets_come_last(make, scale, sign, offset):
    options = PANELS.get(make, {"steps": 100})
    plain, moved = make(**options), make(scales=[sign * scale], offsets=[offset], **options)
    np.testing.assert_allclose(moved.values, sign * scale * plain.values + offset, atol=1e-9)
    assert make in (adding, frequency_classes) or moved.targets == moved.columns[:1]


@pytest.mark.parametrize("make", [delay, adding])
def test_each_channel_may_have_its_own_scale_and_offset(make):
    moved, plain = make(scales=[2.0, -3.0], offsets=[0.0, 5.0]), make()
    np.testing.assert_array_equal(moved.values, plain.values * [2.0, -3.0] + [0.0, 5.0])


def test_a_label_keeps_its_scale():
    np.testing.assert_array_equal(adding(scales=[9.0]).labels.values, adding().labels.values)


@pytest.mark.parametrize("make", EVERY)
def test_a_series_depends_on_its_seed_alone(make):
    options = PANELS.get(make, {"noise": 1.0})
    one, again, other = (panel_of(make(series_seed=seed, **options)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.values, again.values)
    if one.labels:
        np.testing.assert_array_equal(one.labels.values, again.labels.values)
        assert list(one.labels.values) != list(other.labels.values)
    assert one.values.shape != other.values.shape or not np.allclose(one.values, other.values)


@pytest.mark.parametrize("make", EVERY)
def test_every_knob_stands_in_the_yaml_with_its_default(make):
    knobs = OmegaConf.to_container(OmegaConf.load(CONF / f"{make.__name__}.yaml"))
    defaults = {name: each.default for name, each in inspect.signature(make).parameters.items()}
    assert knobs.pop("name") == make.__name__
    assert {name: knobs[name] for name in knobs if name not in {"window", "horizon"}} == {
        name: list(value) if isinstance(value, tuple) else value for name, value in defaults.items()
    }


NAN, INFINITE = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (sines, {"frequencies": []}, r"data.frequencies=\[\]: give one or more"),
        (sines, {"frequencies": [0.1, 0.1]}, r"data.frequencies=\[0.1, 0.1\]: give one or more, each another"),
        (sines, {"frequencies": [0.5]}, "data.frequencies: 0.5 is not between 0 and 0.5"),
        (sines, {"frequencies": [0.0]}, "data.frequencies: 0.0 is not between 0 and 0.5"),
        (sines, {"amplitudes": [1.0, 2.0, 3.0]}, "data.amplitudes: 3 of them for 2 data.frequencies"),
        (sines, {"phases": [NAN]}, "data.phases=.*: must be finite"),
        (delay, {"lag": 0}, "data.lag=0: must lie between 1 and 2399"),
        (delay, {"lag": 10, "steps": 10}, "data.lag=10: must lie between 1 and 9"),
        (ar, {"coefficients": [1.0]}, r"data.coefficients=\[1.0\]: not stationary: its largest root is 1 and must be"),
        (ar, {"coefficients": [0.5, 0.6]}, r"data.coefficients=\[0.5, 0.6\]: not stationary: .* is 1.06"),
        (ar, {"coefficients": []}, r"data.coefficients=\[\]: give one or more finite numbers"),
        (ar, {"coefficients": [NAN]}, r"data.coefficients=\[nan\]: give one or more finite numbers"),
        (ar, {"noise": 0.0}, "data.noise=0.0: must be above 0"),
        (white_noise, {"noise": 0.0}, "data.noise=0.0: must be above 0"),
        (white_noise, {"noise": INFINITE}, "data.noise=inf: must be above 0, and at most 1e.30"),
        (regimes, {"switch": 0.0}, "data.switch=0.0: must be above 0"),
        (regimes, {"switch": 1.1}, "data.switch=1.1: must lie between 0 and 1$"),
        (regimes, {"level": 0.0}, "data.level=0.0: must be above 0"),
        (random_walk, {"drift": NAN}, "data.drift=nan: must lie between -1e.30 and 1e.30"),
        (alike, {"diversity": -0.1}, "data.diversity=-0.1: must lie between 0 and 1$"),
        (alike, {"diversity": 1.5}, "data.diversity=1.5: must lie between 0 and 1$"),
        (alike, {"coefficient": 1.0}, "data.coefficient=1.0: must lie between -0.9999 and 0.9999"),
        (alike, {"count": 0}, "data.count=0: must lie between 1 and"),
        (alike, {"count": 20_000, "steps": 3000}, "data.count=20000 × data.steps=3000: must be at most 50,000,000"),
        (adding, {"steps": 1}, "data.steps=1: must be at least 2"),
        (adding, {"count": 10**6, "steps": 51}, "data.count=1000000 × data.steps=51: must be at most 50,000,000"),
        (frequency_classes, {"frequencies": [0.1]}, r"data.frequencies=\[0.1\]: give two or more"),
        (frequency_classes, {"shortest": 81}, "data.shortest=81: must lie between 1 and data.longest=80"),
        (frequency_classes, {"shortest": 0}, "data.shortest=0: must lie between 1 and data.longest=80"),
        (frequency_classes, {"longest": 0}, "data.longest=0: must lie between 1 and"),
        (frequency_classes, {"count": 2}, "data.count=2: must be at least 3, one series for each of the classes"),
        (frequency_classes, {"count": 10**6}, "data.count=1000000 × data.longest=80: must be at most 50,000,000"),
    ],
)
def test_what_cannot_be_made_is_named(make, options, message):
    with pytest.raises(BadInput, match=message):
        make(**options)


@pytest.mark.parametrize("make", EVERY)
def test_what_no_series_can_be_made_with_is_named(make):
    size, of = ("longest", "") if make is frequency_classes else ("steps", "s" if make in (delay, adding) else "")
    count = 2 if of else 1
    for options, message in [
        ({size: 0}, f"data.{size}=0: must lie between 1 and"),
        ({size: 10**10}, f"data.{size}=10000000000: must lie between 1 and 50,000,000"),
        ({"series_seed": -1}, "data.series_seed=-1: must be at least 0"),
        ({"scales": [0.0]}, r"data.scales=\[0.0.*\]: must not be 0"),
        ({"scales": [NAN]}, r"data.scales=\[nan.*\]: must be finite"),
        ({"offsets": [INFINITE]}, r"data.offsets=\[inf.*\]: must be finite"),
        ({"offsets": [1.0, 2.0, 3.0]}, f"data.offsets: 3 of them for {count} channel{of}; one each, or one for all"),
        ({"scales": []}, f"data.scales: 0 of them for {count} channel{of}"),
    ]:
        with pytest.raises(BadInput, match=message):
            make(**options)


@pytest.mark.parametrize("make", [sines, delay, regimes, random_walk, frequency_classes])
@pytest.mark.parametrize("noise", [-1.0, NAN, INFINITE])
def test_a_std_that_is_none_is_named(make, noise):
    with pytest.raises(BadInput, match=f"data.noise={noise}: must be a finite number of at least 0"):
        make(noise=noise)
