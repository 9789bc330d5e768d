import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from flatspot.probes.diversity import (
    OutputDiversity,
    distance_from_centre,
    distance_to_nearest,
    diversity_within,
    duplicate_share,
    output_diversity,
)

seeds = st.integers(0, 2**31)


def normal(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def slow(predictions, targets):
    """The obvious twin: one output at a time."""
    p = predictions.double().reshape(len(predictions), -1).numpy()
    y = targets.double().reshape(len(targets), -1).numpy()
    ratios = sorted(p[:, k].std() / y[:, k].std() for k in range(p.shape[1]) if y[:, k].std() > 0)
    by_clock = np.var([p[:, k].mean() for k in range(p.shape[1])])
    by_sample = np.mean([p[:, k].var() for k in range(p.shape[1])])
    flat = sum(ratio < 0.1 for ratio in ratios) / len(ratios)
    return float(np.median(ratios)), ratios[0], flat, by_clock / (by_clock + by_sample)


@given(seed=seeds, samples=st.integers(2, 20), outputs=st.integers(2, 6), shrink=st.floats(0.001, 2))
def test_equals_its_slow_twin(seed, samples, outputs, shrink):
    y = normal(seed, samples, outputs, 1)
    p = shrink * normal(seed + 1, samples, outputs, 1)
    measured = output_diversity(p, y)
    assert tuple(measured) == pytest.approx(slow(p, y), rel=1e-9)


@given(seed=seeds, shift=st.floats(-1e6, 1e6), scale=st.floats(1e-3, 1e3))
def test_neither_a_shift_nor_a_common_scale_moves_it(seed, shift, scale):
    y, p = normal(seed, 30, 4), normal(seed + 1, 30, 4)
    plain = output_diversity(p, y)
    moved = output_diversity(shift + scale * p, shift + scale * y)
    assert moved[:3] == pytest.approx(plain[:3], rel=1e-5)


@given(seed=seeds)
def test_the_order_of_samples_does_not_matter(seed):
    y, p = normal(seed, 30, 4), normal(seed + 1, 30, 4)
    order = torch.randperm(30, generator=torch.Generator().manual_seed(seed))
    assert tuple(output_diversity(p[order], y[order])) == pytest.approx(tuple(output_diversity(p, y)))


def test_an_eleventh_hour_of_flat_outputs_shows_beside_a_healthy_median():
    y = normal(0, 500, 24)
    p = y.clone()
    p[:, :11] = 0
    measured = output_diversity(p, y)
    assert measured.ratio == pytest.approx(1)
    assert measured.flat_share == pytest.approx(11 / 24)
    assert measured.minimum == 0


def test_one_curve_for_every_sample_is_all_clock():
    curve = torch.sin(torch.arange(24.0))
    p = curve + 1e-6 * normal(0, 100, 24)
    measured = output_diversity(p, normal(1, 100, 24))
    assert measured.clock_share > 0.999
    assert measured.ratio < 1e-5


def test_degenerate_inputs_give_nan_or_zero_and_never_fail():
    y = normal(0, 5, 3)
    assert output_diversity(torch.zeros(5, 3), y).ratio == 0
    assert math.isnan(output_diversity(y, torch.ones(5, 3)).ratio)
    assert math.isnan(output_diversity(y[:1], y[:1]).ratio)
    assert math.isnan(output_diversity(y[:0], y[:0]).ratio)
    assert math.isnan(output_diversity(torch.full((5, 3), torch.nan), y).ratio)
    assert math.isnan(output_diversity(y[:, :1], y[:, :1]).clock_share)
    assert output_diversity(y[:, 0], y[:, 0]).ratio == 1


def test_outputs_with_a_constant_target_are_left_out():
    y = normal(0, 50, 2)
    constant = torch.cat([y[:, :1], torch.ones(50, 1)], dim=1)
    assert output_diversity(y, constant).ratio == pytest.approx(1)


@given(seed=seeds, samples=st.integers(2, 30), outputs=st.integers(2, 4), count=st.integers(1, 4))
def test_within_groups_it_is_the_diversity_about_each_groups_mean(seed, samples, outputs, count):
    y, p = normal(seed, samples, outputs, 1), normal(seed + 1, samples, outputs, 1)
    groups = torch.randint(count, (samples,), generator=torch.Generator().manual_seed(seed))
    groups[:2] = groups[0]  # a group of two at least: else nothing varies
    y, p = y + 100 * groups.view(-1, 1, 1), p - 30 * groups.view(-1, 1, 1)
    centred = [x.clone() for x in (p, y)]
    for x in centred:
        for group in groups.unique():
            x[groups == group] -= x[groups == group].mean(dim=0)
    assert tuple(diversity_within(p, y, groups))[:3] == pytest.approx(slow(*centred)[:3], rel=1e-6)


def test_one_constant_a_group_is_varied_over_all_and_flat_within_each():
    groups = torch.arange(5).repeat_interleave(40)
    y = 10.0 * groups.view(-1, 1) + normal(0, 200, 3, dtype=torch.float32)
    p = 10.0 * groups.view(-1, 1).expand(-1, 3)
    assert output_diversity(p, y).ratio > 0.98
    assert diversity_within(p, y, groups).ratio == 0
    assert diversity_within(p, y, groups).flat_share == 1
    assert diversity_within(y, y, groups).ratio == pytest.approx(1)


def test_groups_with_rounding_alone_have_no_diversity():
    groups = torch.arange(3).repeat_interleave(7)
    level = torch.tensor([1e9, 0.1, -273.15], dtype=torch.float64)[groups].view(-1, 1)
    assert diversity_within(level, level + normal(0, 21, 1), groups).ratio < 1e-6


def test_a_single_sample_a_group_leaves_nothing_to_compare():
    y = normal(0, 4, 2)
    assert math.isnan(diversity_within(y, y, torch.arange(4)).ratio)


@given(seed=seeds, samples=st.integers(2, 12), outputs=st.integers(1, 3))
def test_distances_equal_their_slow_twins(seed, samples, outputs):
    p = normal(seed, samples, outputs)
    unit = normal(seed + 1, outputs).abs() + 0.1
    scaled = [row / unit for row in p]
    centre = sum(scaled) / samples
    to_centre = [(row - centre).square().mean().sqrt() for row in scaled]
    nearest = [
        min((a - b).square().mean().sqrt() for j, b in enumerate(scaled) if j != i) for i, a in enumerate(scaled)
    ]
    torch.testing.assert_close(distance_from_centre(p, unit), torch.stack(to_centre))
    torch.testing.assert_close(distance_to_nearest(p, unit), torch.stack(nearest))


def test_duplicates_are_counted_and_near_ones_told_from_far_ones():
    p = torch.tensor([[0.0], [0.0], [1.0], [1.0 + 1e-7], [2.0], [2.001]], dtype=torch.float64)
    assert duplicate_share(p, torch.ones(1, dtype=torch.float64)) == pytest.approx(4 / 6)
    assert math.isnan(duplicate_share(p[:1], torch.ones(1, dtype=torch.float64)))


def test_healthy_outputs_hold_no_duplicates():
    assert duplicate_share(normal(0, 256, 1), torch.ones(1, dtype=torch.float64)) < 0.03


def in_batches(metric, predictions, targets, sizes):
    for p, y in zip(predictions.split(sizes), targets.split(sizes), strict=True):
        metric.update(p, y)
    return metric.compute()


@given(seed=seeds)
def test_the_metric_over_batches_equals_the_function_over_all(seed):
    y, p = normal(seed, 60, 3, 1), 0.3 * normal(seed + 1, 60, 3, 1)
    report = in_batches(OutputDiversity(), p, y, [7, 30, 23])
    assert tuple(report.diversity) == pytest.approx(tuple(output_diversity(p, y)), rel=1e-9)


def test_the_kept_sample_is_bounded_and_favours_nobody():
    metric = OutputDiversity(sample_size=100, seed=1)
    p = torch.arange(2000.0).unsqueeze(1)
    in_batches(metric, p, p, [64] * 31 + [16])
    kept = torch.cat(metric.kept).flatten()
    assert len(kept) == 100
    assert kept.mean().item() == pytest.approx(1000, abs=200)
    assert len(kept.unique()) == 100


def test_after_a_reset_the_same_batches_give_the_same_report():
    metric, p = OutputDiversity(sample_size=10), normal(0, 64, 2)
    first = in_batches(metric, p, p, [32, 32])
    metric.reset()
    second = in_batches(metric, p, p, [32, 32])
    assert first.diversity == second.diversity
    assert torch.equal(first.distances, second.distances)


def test_measuring_moves_nobodys_random_state():
    torch.manual_seed(0)
    in_batches(OutputDiversity(), normal(0, 64, 2), normal(1, 64, 2), [32, 32])
    drawn = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(1), drawn)


@pytest.mark.gpu
def test_on_a_gpu_the_metric_gives_the_same_figures():
    p, y = normal(0, 200, 3), normal(1, 200, 3)
    here = in_batches(OutputDiversity(), p, y, [100, 100])
    there = in_batches(OutputDiversity(), p.cuda(), y.cuda(), [100, 100])
    assert tuple(there.diversity) == pytest.approx(tuple(here.diversity))
    assert there.duplicates == here.duplicates
