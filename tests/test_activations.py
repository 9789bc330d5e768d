"""What the table says of an activation is what torch and numerical integration find."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from flatspot.activations import ACTIVATIONS
from flatspot.registry import UnknownName

NAMES = list(ACTIVATIONS)
GRID = torch.linspace(-8, 8, 16_001, dtype=torch.float64)
WEIGHT = (-GRID.square() / 2).exp()
WEIGHT /= WEIGHT.sum()


def mean(values):
    """Over z from N(0, 1)."""
    return (WEIGHT * values).sum().item()


def slope_by_autograd(function, z):
    z = z.clone().requires_grad_()
    return torch.autograd.grad(function(z).sum(), z)[0]


def gradient_growth(row, scale):
    """Mean-field growth of a squared gradient per step, at the variance that the state settles at."""
    variance = 0.25
    for _ in range(3000):
        new = scale**2 * mean(row.function(math.sqrt(variance) * GRID).square()) + 0.25
        if not new < 1e8:
            return math.inf
        if abs(new - variance) < 1e-9 * variance:
            break
        variance = new
    return scale**2 * mean(row.slope(math.sqrt(variance) * GRID).square())


def test_it_holds_what_a_configuration_may_name():
    assert set(NAMES) == {
        *("tanh", "relu", "sigmoid", "leaky_relu", "elu", "selu", "gelu"),
        *("silu", "mish", "softsign", "softplus", "hardtanh", "sin", "identity"),
    }


@pytest.mark.parametrize("name", NAMES)
@given(st.lists(st.floats(-30, 30), min_size=1, max_size=20))
def test_the_slope_is_torchs(name, numbers):
    row = ACTIVATIONS[name]
    z = torch.tensor([*numbers, 0.0, 1.0, -1.0], dtype=torch.float64)
    torch.testing.assert_close(row.slope(z), slope_by_autograd(row.function, z), atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("name", NAMES)
def test_the_slope_keeps_shape_and_precision(name):
    z = torch.randn(3, 2, dtype=torch.float32)
    assert ACTIVATIONS[name].slope(z).dtype == ACTIVATIONS[name].function(z).dtype == torch.float32
    assert ACTIVATIONS[name].slope(z).shape == (3, 2)


@pytest.mark.parametrize("name", NAMES)
def test_the_range_is_tight(name):
    low, high = ACTIVATIONS[name].range
    values = ACTIVATIONS[name].function(torch.linspace(-1e4, 1e4, 2_000_001, dtype=torch.float64))
    assert values.min() >= low - 1e-5
    assert values.max() <= high + 1e-5
    assert math.isinf(low) == (values.min() < -50)
    assert math.isinf(high) == (values.max() > 50)
    assert math.isinf(low) or values.min() == pytest.approx(low, abs=1e-3)
    assert math.isinf(high) or values.max() == pytest.approx(high, abs=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_the_gain_keeps_a_mean_square(name):
    row = ACTIVATIONS[name]
    assert row.gain == pytest.approx(mean(row.function(GRID).square()) ** -0.5, abs=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if ACTIVATIONS[name].recurrent_gain is not None])
def test_the_recurrent_gain_is_where_gradients_stop_dying(name):
    row = ACTIVATIONS[name]
    assert gradient_growth(row, row.recurrent_gain - 0.02) < 1
    assert gradient_growth(row, row.recurrent_gain + 0.02) > 1


def test_no_recurrent_weights_keep_a_sigmoids_gradient_alive():
    assert all(gradient_growth(ACTIVATIONS["sigmoid"], scale) < 1 for scale in np.linspace(0.5, 8, 16))


@pytest.mark.parametrize("name", ["tanh", "relu", "leaky_relu", "selu"])
def test_where_torch_has_a_gain_it_is_another_idea_and_of_the_same_size(name):
    assert ACTIVATIONS[name].gain == pytest.approx(nn.init.calculate_gain(name, 0.01), rel=0.35)


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(UnknownName, match="no activation is called 'rellu'; did you mean 'relu'"):
        ACTIVATIONS["rellu"]
