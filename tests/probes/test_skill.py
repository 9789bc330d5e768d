import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from flatspot.probes.skill import best_constant, skill

SLOW = {
    "mse": (F.mse_loss, lambda y: y.mean(axis=0)),
    "mae": (F.l1_loss, lambda y: np.median(y, axis=0)),
}


@pytest.mark.parametrize("name", SLOW)
@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 12))
def test_the_best_constant_is_the_one_that_theory_names(name, seed, size):
    loss, expected = SLOW[name]
    y = torch.randn(2 * size + 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(best_constant(loss, y), expected(y.numpy()), atol=1e-9)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31))
def test_no_constant_of_a_grid_beats_it_under_huber(seed):
    y = 3 * torch.randn(15, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    found = F.huber_loss(best_constant(F.huber_loss, y).expand_as(y), y)
    grid = torch.linspace(-9, 9, 500, dtype=torch.float64)
    assert found <= min(F.huber_loss(value.expand_as(y), y) for value in grid) + 1e-12


def test_for_squared_loss_skill_is_r2():
    y = torch.tensor([[1.0], [2.0], [3.0], [6.0]])
    p = torch.tensor([[1.5], [2.0], [2.0], [5.0]])
    assert skill(F.mse_loss, p, y) == pytest.approx(1 - (0.25 + 0 + 1 + 1) / 14)


def test_a_level_that_moved_is_no_skill():
    y = 10 + torch.randn(50, 1, generator=torch.Generator().manual_seed(0))
    assert skill(F.mse_loss, torch.full_like(y, 10.0), y) < 0.05


def test_a_constant_target_leaves_no_skill_to_have():
    assert math.isnan(skill(F.mse_loss, torch.ones(4, 1), torch.ones(4, 1)))


def test_it_works_where_gradients_are_switched_off():
    y = torch.tensor([[0.0], [2.0]])
    with torch.no_grad():
        assert skill(F.mse_loss, y, y) == 1


def groups_of(seed, size, count):
    """Numbers of groups, each of which has two samples at least."""
    numbers = torch.cat([torch.arange(count).repeat(2), torch.randint(count, (size,), generator=seeded(seed))])
    return numbers[torch.randperm(len(numbers), generator=seeded(seed))]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


LOSSES = {"mse": F.mse_loss, "mae": F.l1_loss, "huber": F.huber_loss}


@pytest.mark.parametrize("name", LOSSES)
@settings(max_examples=10)
@given(seed=st.integers(0, 2**31), size=st.integers(0, 20), count=st.integers(1, 5))
def test_the_best_constant_of_groups_is_that_of_each(name, seed, size, count):
    loss, groups = LOSSES[name], groups_of(seed, size, count)
    y = 100 * groups.view(-1, 1, 1) + torch.randn(len(groups), 2, 1, dtype=torch.float64, generator=seeded(seed))
    found = best_constant(loss, y, groups)
    for number in range(count):
        own = y[groups == number]
        alone = best_constant(loss, own)
        # Between the middle two of an even number any constant is best under the absolute error.
        assert loss(found[number].expand_as(own), own) == pytest.approx(loss(alone.expand_as(own), own).item())
        if name != "mae":
            torch.testing.assert_close(found[number], alone)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31), size=st.integers(0, 20), count=st.integers(1, 5))
def test_the_skill_of_groups_is_over_the_constants_of_each(seed, size, count):
    groups = groups_of(seed, size, count)
    y = 100 * groups.view(-1, 1) + torch.randn(len(groups), 3, dtype=torch.float64, generator=seeded(seed))
    p = y + 0.5 * torch.randn(y.shape, dtype=torch.float64, generator=seeded(seed + 1))
    floor = sum(((y[groups == g] - y[groups == g].mean(dim=0)) ** 2).sum().item() for g in range(count))
    expected = 1 - ((p - y) ** 2).sum().item() / floor
    assert skill(F.mse_loss, p, y, groups) == pytest.approx(expected)
    levels = torch.stack([y[groups == g].mean(dim=0) for g in range(count)])[groups]
    assert skill(F.mse_loss, levels, y, groups) == pytest.approx(0, abs=1e-9)


def test_to_know_the_levels_of_the_groups_is_no_skill():
    groups = torch.arange(2).repeat(50)
    y = 100.0 * groups.view(-1, 1) + torch.randn(100, 1, generator=seeded(0))
    levels = 100.0 * groups.view(-1, 1)
    assert skill(F.mse_loss, levels, y) > 0.99
    assert abs(skill(F.mse_loss, levels, y, groups)) < 0.05


def test_one_group_is_no_group():
    y, p = torch.randn(20, 2, generator=seeded(0)), torch.randn(20, 2, generator=seeded(1))
    one = torch.zeros(20, dtype=torch.long)
    assert skill(F.mse_loss, p, y, one) == pytest.approx(skill(F.mse_loss, p, y))


def test_groups_that_are_constant_leave_no_skill_to_have():
    groups = torch.tensor([0, 0, 1, 1])
    y = torch.tensor([[1.0], [1.0], [5.0], [5.0]])
    assert math.isnan(skill(F.mse_loss, y + 1, y, groups))


def test_a_group_without_a_sample_is_no_matter():
    groups = torch.tensor([0, 0, 2, 2])
    y = torch.tensor([[1.0], [2.0], [5.0], [7.0]])
    assert skill(F.mse_loss, y, y, groups) == 1
    assert skill(F.mse_loss, torch.tensor([[1.5], [1.5], [6.0], [6.0]]), y, groups) == pytest.approx(0)
