import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from flatspot.probes.errors import forecast_errors, smape
from flatspot.probes.scores import FIGURES, score_table

seeds = st.integers(0, 2**31)


def mean_of(values):
    """The mean of those that are there."""
    there = [value for value in values if not math.isnan(value)]
    return sum(there) / len(there) if there else math.nan


def slow_cell(p, y, change):
    """One series at one step, of one target: window by window."""
    if not len(y):
        return dict.fromkeys(("mae", "mse", "mase", "smape", "squared", "spread"), math.nan)
    error = [abs(a - b) for a, b in zip(p, y, strict=True)]
    relative = [200 * e / (abs(a) + abs(b)) if e else 0.0 for e, a, b in zip(error, p, y, strict=True)]
    return {
        "mae": sum(error) / len(y),
        "mse": sum(e * e for e in error) / len(y),
        "mase": sum(error) / len(y) / change if change > 0 else math.nan,
        "smape": sum(relative) / len(y),
        "squared": sum(e * e for e in error) / len(y),
        "spread": sum((b - sum(y) / len(y)) ** 2 for b in y) / len(y),
    }


def together(cells):
    """Cells of one series: figures are means over steps and targets."""
    means = {name: sum(cell[name] for cell in cells) / len(cells) for name in cells[0]}
    return {
        "mae": means["mae"],
        "rmse": math.sqrt(means["mse"]),
        "mase": means["mase"],
        "smape": means["smape"],
        "r2": 1 - means["squared"] / means["spread"] if means["spread"] else math.nan,
    }


def slow(p, y, series, changes):
    p, y, count, steps = p.numpy(), y.numpy(), len(changes), range(y.shape[1])
    cell = {
        (s, h, k): slow_cell(p[series == s, h, k], y[series == s, h, k], changes[s, k])
        for s in range(count)
        for h in steps
        for k in range(y.shape[2])
    }

    def cells(s, h):
        return [cell[s, h, k] for k in range(y.shape[2])]

    by_series = [together([each for h in steps for each in cells(s, h)]) for s in range(count)]
    by_step = [[together(cells(s, h)) for s in range(count)] for h in steps]
    return (
        {name: mean_of([each[name] for each in by_series]) for name in FIGURES},
        {name: [mean_of([each[name] for each in row]) for row in by_step] for name in FIGURES},
        {name: [each[name] for each in by_series] for name in FIGURES},
    )


@settings(max_examples=40)
@given(
    seed=seeds,
    windows=st.integers(1, 25),
    horizon=st.integers(1, 4),
    targets=st.integers(1, 3),
    count=st.integers(1, 5),
)
def test_the_table_equals_slow_loops(seed, windows, horizon, targets, count):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.normal(5, 3, size=(windows, horizon, targets)))
    p = y + torch.from_numpy(rng.normal(size=y.shape))
    p[0] = y[0] = 0.0
    series = torch.from_numpy(rng.integers(count, size=windows))
    changes = torch.from_numpy(rng.choice([0.0, 0.5, 2.0, np.nan], size=(count, targets)))
    table = score_table(p, y, series, changes)
    overall, by_step, by_series = slow(p, y, series.numpy(), changes.numpy())
    for name in FIGURES:
        np.testing.assert_allclose(getattr(table.overall, name), overall[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(getattr(table.by_step, name), by_step[name], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(getattr(table.by_series, name), by_series[name], rtol=1e-9, atol=1e-12)


@settings(max_examples=30)
@given(seed=seeds, windows=st.integers(2, 30), horizon=st.integers(1, 4))
def test_of_one_series_the_figures_are_those_of_all_windows(seed, windows, horizon):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.normal(5, 3, size=(windows, horizon, 2)))
    p = y + torch.from_numpy(rng.normal(size=y.shape))
    found = score_table(p, y, torch.zeros(windows, dtype=torch.long), torch.ones(1, 2)).overall
    plain = forecast_errors(p, y)
    assert (found.mae.item(), found.rmse.item()) == pytest.approx((plain.mae, plain.rmse))
    assert found.r2.item() == pytest.approx(plain.r2)
    assert found.smape.item() == pytest.approx(smape(p, y))
    assert found.mase.item() == pytest.approx(plain.mae)


def test_each_series_counts_once_however_long():
    y = torch.zeros(100, 1, 1)
    p = torch.cat([torch.full((99, 1, 1), 1.0), torch.full((1, 1, 1), 5.0)])
    series = torch.tensor([0] * 99 + [1])
    table = score_table(p, y, series, torch.tensor([[1.0], [10.0]]))
    assert table.overall.mae.item() == 3
    assert table.overall.mase.item() == pytest.approx((1 + 0.5) / 2)
    assert table.overall.rmse.item() == 3
    assert table.by_series.mae.tolist() == [1, 5]


def test_levels_of_the_series_explain_nothing():
    """R² is within each series: to name its mean is no merit."""
    y = torch.randn(60, 1, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    series = torch.arange(3).repeat_interleave(20)
    y += 1000 * series.view(-1, 1, 1)
    p = torch.stack([y[series == each].mean() for each in range(3)])[series].view(-1, 1, 1)
    assert score_table(p, y, series, torch.ones(3, 1)).overall.r2.item() == pytest.approx(0, abs=1e-9)


def test_what_is_not_there_is_nan_and_leaves_the_others():
    y = torch.tensor([1.0, 3.0, 7.0, 7.0]).view(-1, 1, 1)
    series = torch.tensor([0, 0, 2, 2])
    table = score_table(y + 1, y, series, torch.tensor([[2.0], [1.0], [0.0]]))
    assert table.by_series.mae.tolist()[::2] == [1, 1]
    assert math.isnan(table.by_series.mae[1])  # no window
    assert table.by_series.mase[0] == 0.5
    assert math.isnan(table.by_series.mase[2])  # never changes in training
    assert table.by_series.r2[0] == 0
    assert math.isnan(table.by_series.r2[2])  # never changes here
    assert (table.overall.mae, table.overall.mase, table.overall.r2) == (1, 0.5, 0)


@pytest.mark.parametrize("level", [0.1, 1e9, -273.15])
def test_rounding_is_no_spread(level):
    y = torch.full((7, 2, 1), level, dtype=torch.float64)
    table = score_table(y + 1, y, torch.zeros(7, dtype=torch.long), torch.ones(1, 1))
    assert math.isnan(table.overall.r2)


def test_no_window_at_all_leaves_no_figure():
    table = score_table(torch.zeros(0, 2, 1), torch.zeros(0, 2, 1), torch.zeros(0, dtype=torch.long), torch.ones(1, 1))
    assert all(math.isnan(figure) for figure in table.overall)


def test_nan_among_the_forecasts_shows():
    y = torch.ones(3, 1, 1)
    table = score_table(y * torch.nan, y, torch.zeros(3, dtype=torch.long), torch.ones(1, 1))
    assert math.isnan(table.overall.mae)
    assert math.isnan(table.overall.rmse)


@settings(max_examples=30)
@given(seed=seeds, offset=st.floats(-1e6, 1e6), size=st.floats(1e-2, 1e3))
def test_an_offset_moves_no_error_and_a_unit_only_those_that_have_one(seed, offset, size):
    rng = np.random.default_rng(seed)
    y = torch.from_numpy(rng.normal(size=(20, 2, 1)))
    p = y + torch.from_numpy(rng.normal(size=y.shape))
    series = torch.from_numpy(np.arange(20) % 2)
    plain = score_table(p, y, series, torch.ones(2, 1)).overall
    moved = score_table(size * p + offset, size * y + offset, series, torch.full((2, 1), size)).overall
    for name, factor in {"mae": size, "rmse": size, "mase": 1, "r2": 1}.items():
        expected = factor * getattr(plain, name).item()
        assert getattr(moved, name).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_a_forecast_that_is_no_number_has_no_good_figure():
    y = torch.tensor([[[1.0]], [[3.0]]])
    found = score_table(torch.full_like(y, math.nan), y, torch.tensor([0, 0]), torch.tensor([[2.0]])).overall
    assert all(each.isnan() for each in found)
