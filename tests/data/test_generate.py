"""Made series: what the docstrings say of the best possible forecast is what a reference reaches."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flatspot.data.generate import delay, sines
from flatspot.data.module import SeriesDataModule
from flatspot.errors import BadInput
from flatspot.examine import batches
from flatspot.probes.references import fit_ridge


def ridge_r2(series, window, horizon):
    """Of ridge on the window, over the test windows."""
    data = SeriesDataModule(series, window=window, horizon=horizon)
    ridge = fit_ridge(lambda: batches(data, "train"), lambda: batches(data, "val"))
    found = torch.cat([ridge.predict(x) for x, _ in batches(data, "test")])
    truth = torch.cat([y for _, y in batches(data, "test")])
    return (1 - (found - truth).square().mean(dim=(0, 2)) / truth.var(dim=(0, 2), correction=0)).numpy()


def slow_sines(steps, frequencies, amplitudes, phases, offset):
    values = []
    for t in range(steps):
        total = offset
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
    ),
    st.floats(-1e4, 1e4),
)
def test_sines_are_a_sum_of_sines(waves, offset):
    frequencies, amplitudes, phases = zip(*waves, strict=True)
    made = sines(60, frequencies, amplitudes, phases, noise=0.0, offset=offset)
    expected = slow_sines(60, frequencies, amplitudes, phases, offset)
    np.testing.assert_allclose(made.values[:, 0], expected, atol=1e-8)


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


@pytest.mark.parametrize("make", [sines, delay])
def test_a_series_depends_on_its_seed_alone(make):
    np.testing.assert_array_equal(make().values, make().values)
    other = make(series_seed=1, noise=1.0)
    assert not np.allclose(other.values, make(noise=1.0).values)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (sines, {"frequencies": []}, r"data.frequencies=\[\]: give one or more"),
        (sines, {"frequencies": [0.1, 0.1]}, r"data.frequencies=\[0.1, 0.1\]: give one or more, each another"),
        (sines, {"frequencies": [0.5]}, "data.frequencies: 0.5 is not between 0 and 0.5"),
        (sines, {"frequencies": [0.0]}, "data.frequencies: 0.0 is not between 0 and 0.5"),
        (sines, {"amplitudes": [1.0, 2.0, 3.0]}, "data.amplitudes: 3 of them for 2 data.frequencies"),
        (sines, {"phases": [float("nan")]}, "data.phases=.*: must be finite"),
        (sines, {"noise": -1.0}, "data.noise=-1.0: must be a finite number of at least 0"),
        (sines, {"offset": float("inf")}, "data.offset=inf: must be a finite number$"),
        (sines, {"steps": 0}, "data.steps=0: must lie between 1 and"),
        (delay, {"lag": 0}, "data.lag=0: must lie between 1 and 2399"),
        (delay, {"lag": 10, "steps": 10}, "data.lag=10: must lie between 1 and 9"),
        (delay, {"series_seed": -1}, "data.series_seed=-1: must be at least 0"),
    ],
)
def test_what_cannot_be_made_is_named(make, options, message):
    with pytest.raises(BadInput, match=message):
        make(**options)
