import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn import functional as F

from flatspot.probes.skill import best_constant, skill

SLOW = {
    "mse": (F.mse_loss, lambda y: y.mean(axis=0)),
    "mae": (F.l1_loss, lambda y: np.median(y, axis=0)),
}


@pytest.mark.parametrize("name", SLOW)
@given(seed=st.integers(0, 2**31), size=st.integers(1, 12))
def test_the_best_constant_is_the_one_that_theory_names(name, seed, size):
    loss, expected = SLOW[name]
    y = torch.randn(2 * size + 1, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    np.testing.assert_allclose(best_constant(loss, y), expected(y.numpy()), atol=1e-9)


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
