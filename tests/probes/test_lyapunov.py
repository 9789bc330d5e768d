import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flatspot.nn import GRU
from flatspot.nn.cells import cell_named
from flatspot.nn.scan import Scan
from flatspot.probes.lyapunov import lyapunov

seeds = st.integers(0, 2**31)


def normal(seed, *size, dtype=torch.float64):
    return torch.randn(*size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


class Linear(nn.Module):
    """h' = x + W h: the exponent is the log of W's spectral radius, whatever x is. States are `[n, h]`."""

    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight)

    def forward(self, x, state=None):
        state = torch.zeros_like(x[:, 0]) if state is None else state
        outputs = []
        for x_t in x.unbind(dim=1):
            state = x_t + state @ self.weight.T
            outputs.append(state)
        return torch.stack(outputs, dim=1), state


@settings(max_examples=8)
@given(seed=seeds, radius=st.sampled_from([0.3, 0.9, 1.0, 1.1]))
def test_of_a_linear_layer_it_is_the_log_of_the_spectral_radius(seed, radius):
    weight = normal(seed, 4, 4)
    weight = weight @ weight.T  # real eigenvalues: no turning
    values = torch.linalg.eigvalsh(weight)
    weight *= radius / values[-1]
    measured = lyapunov(Linear(weight), normal(seed + 1, 3, 80, 4), seed=seed)
    gap = math.log(values[-2] / values[-1])
    assert measured.exponent == pytest.approx(math.log(radius), abs=max(1e-5, math.exp(40 * gap)))


def test_a_rotation_neither_grows_nor_shrinks():
    angle = torch.tensor(0.3, dtype=torch.float64)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()]).view(2, 2)
    assert lyapunov(Linear(turn), normal(0, 2, 30, 2)).exponent == pytest.approx(0, abs=1e-7)
    assert lyapunov(Linear(0.5 * turn), normal(0, 2, 30, 2)).memory_steps == pytest.approx(1 / math.log(2))


def slow(layer, x):
    """The obvious twin: QR of the products of a tanh layer's Jacobians diag(1 - h²) W, sample by sample."""
    w_in, w, b_in, b = (each.detach().double().numpy() for each in layer.parameters())
    exponents = []
    for sample in x.double().numpy():
        h, q, growth = np.zeros(len(w)), np.eye(len(w)), []
        for t, x_t in enumerate(sample):
            h = np.tanh(w_in @ x_t + b_in + w @ h + b)
            if t:
                q, r = np.linalg.qr(np.diag(1 - h**2) @ w @ q)
                growth.append(np.log(abs(r[0, 0])))
        exponents.append(np.mean(growth[len(growth) // 2 :]))
    return np.mean(exponents)


@pytest.mark.parametrize("gain", [0.5, 1.2, 4.0])
def test_of_a_tanh_layer_it_is_that_of_the_products_of_jacobians(gain):
    torch.manual_seed(1)
    layer, x = nn.RNN(2, 5, batch_first=True), normal(0, 4, 300, 2, dtype=torch.float32)
    nn.init.normal_(layer.weight_hh_l0, std=gain / math.sqrt(5))
    measured = lyapunov(layer, x)
    assert measured.exponent == pytest.approx(slow(layer, x), abs=2e-3)


def test_the_same_direction_gives_the_jacobians_figure_to_six_digits():
    """With one unit there is one direction only."""
    layer, x = nn.RNN(2, 1, batch_first=True), normal(0, 3, 12, 2, dtype=torch.float32)
    assert lyapunov(layer, x).exponent == pytest.approx(slow(layer, x), abs=1e-6)


LAYERS = {
    "rnn": nn.RNN(2, 3, batch_first=True),
    "relu": nn.RNN(2, 8, nonlinearity="relu", batch_first=True),
    "stacked": nn.GRU(2, 3, num_layers=2, dropout=0.5, batch_first=True),
    "lstm": nn.LSTM(2, 4, proj_size=3, batch_first=True),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_layers_of_torch_are_measured_whatever_the_order_of_time_and_samples(layer):
    x = normal(0, 3, 20, 2, dtype=torch.float32)
    measured = lyapunov(layer, x)
    assert -5 < measured.exponent < 0
    assert measured.memory_steps == -1 / measured.exponent
    layer.batch_first = False
    try:
        assert lyapunov(layer, x.transpose(0, 1)) == measured
    finally:
        layer.batch_first = True


def test_an_lstm_remembers_as_long_as_its_forget_gates_say():
    """Gates that are shut to everything but the cell: c' = sigmoid(bias) c."""
    layer = nn.LSTM(1, 3, batch_first=True)
    for each in layer.parameters():
        each.data.zero_()
    layer.bias_hh_l0.data[3:6] = 3.0
    measured = lyapunov(layer, torch.zeros(2, 40, 1))
    assert measured.exponent == pytest.approx(-math.log1p(math.exp(-3)), abs=1e-6)


@settings(max_examples=5)
@given(seed=seeds)
def test_the_figure_is_the_mean_over_samples_in_any_order(seed):
    """With one unit there is no direction to be drawn."""
    layer, x = nn.RNN(2, 1, batch_first=True), normal(seed, 4, 12, 2, dtype=torch.float32)
    each = [lyapunov(layer, sample.unsqueeze(0)).exponent for sample in x]
    assert lyapunov(layer, x.flip(0)).exponent == pytest.approx(np.mean(each), abs=1e-6)


def test_inputs_far_from_zero_do_no_harm():
    weight = torch.diag(torch.tensor([0.9, 0.1], dtype=torch.float64))
    assert lyapunov(Linear(weight), 1e9 + normal(0, 4, 50, 2)).exponent == pytest.approx(math.log(0.9), abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_any_float_type_is_worked_out_in_float64(dtype):
    layer, x = nn.GRU(2, 3, batch_first=True).to(dtype), normal(0, 2, 10, 2, dtype=dtype)
    wide = nn.GRU(2, 3, batch_first=True).double()
    wide.load_state_dict(layer.state_dict())
    assert lyapunov(layer, x) == lyapunov(wide, x.double())


def test_where_there_is_no_figure_there_is_none():
    layer = nn.RNN(2, 3, batch_first=True)
    for x in (torch.ones(2, 2, 2), torch.ones(0, 9, 2), torch.full((2, 9, 2), torch.nan)):
        assert all(map(math.isnan, lyapunov(layer, x)))
    unstable = lyapunov(Linear(torch.eye(2, dtype=torch.float64) * 2), torch.ones(1, 9, 2))
    assert unstable.exponent == pytest.approx(math.log(2))
    assert math.isnan(unstable.memory_steps)


def test_a_difference_that_dies_has_an_exponent_of_minus_infinity():
    dead = nn.RNN(2, 3, nonlinearity="relu", batch_first=True)
    dead.bias_hh_l0.data.fill_(-100)
    assert lyapunov(dead, torch.ones(2, 9, 2)) == (-math.inf, 0, 1)


def test_samples_whose_difference_dies_are_counted_and_the_others_measured():
    """One unit h' = relu(x + h / 2), which an x of -100 shuts for a step."""
    layer = nn.RNN(1, 1, nonlinearity="relu", batch_first=True)
    for name, value in {"weight_ih_l0": 1.0, "weight_hh_l0": 0.5, "bias_ih_l0": 0.0, "bias_hh_l0": 0.0}.items():
        getattr(layer, name).data.fill_(value)
    x = torch.ones(4, 9, 1)
    x[2, 5] = -100
    measured = lyapunov(layer, x)
    assert measured.exponent == pytest.approx(math.log(0.5), abs=1e-6)
    assert measured.lost == 0.25


class KeepsItsStart(nn.Module):
    """Begins from a tensor that is neither a parameter nor a buffer."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.start = layer, torch.full((1, 2, 3), 0.1)

    def forward(self, x, state=None):
        return self.layer(x, self.start if state is None else state)


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated")
def test_weights_that_a_hook_makes_and_tensors_that_are_attributes_are_copied():
    layer, x = nn.GRU(2, 3, batch_first=True), normal(0, 2, 12, 2, dtype=torch.float32)
    expected = lyapunov(KeepsItsStart(layer), x)
    assert expected.exponent < 0
    nn.utils.weight_norm(layer, "weight_hh_l0")
    for _ in range(2):
        assert lyapunov(KeepsItsStart(layer), x) == pytest.approx(expected, rel=1e-4)
        layer(x)


def test_a_state_that_goes_both_ways_is_refused():
    both = nn.GRU(2, 3, batch_first=True, bidirectional=True)
    for layer in (both, Scan(cell_named("gru"), torch.tanh, 2, 3, bidirectional=True)):
        with pytest.raises(ValueError, match="bidirectional=True"):
            lyapunov(layer, torch.ones(1, 5, 2))


def test_our_layers_have_the_figure_of_torchs():
    layer, x = nn.GRU(2, 3, batch_first=True), normal(0, 3, 12, 2, dtype=torch.float32)
    for ours in (GRU(2, 3, batch_first=True), Scan(cell_named("gru"), torch.tanh, 2, 3)):
        ours.load_state_dict(layer.state_dict())
        assert lyapunov(ours, x) == pytest.approx(lyapunov(layer, x), abs=1e-6)


class RandomStart(nn.GRU):
    """Draws, counts and keeps; `batch_first` as torch's."""

    def forward(self, x, state=None):
        self.calls = getattr(self, "calls", 0) + 1
        start = torch.randn(1, x.shape[1], 3).to(x) if state is None else state
        self.out, state = super().forward(x, start)
        return self.out, state


def test_layer_hooks_and_random_states_are_left_alone():
    layer, x = RandomStart(2, 3), torch.randn(6, 2, 2)
    layer(x)[0].sum().backward()
    seen = []
    layer.register_forward_hook(lambda *_: seen.append(1))
    weights = [each.clone() for each in layer.parameters()]
    gradients = [each.grad.clone() for each in layer.parameters()]
    draws = torch.get_rng_state()
    first = lyapunov(layer, x)
    assert torch.equal(torch.get_rng_state(), draws)
    assert lyapunov(layer, x) == first
    assert (seen, layer.calls, layer.training) == ([], 1, True)
    assert all(map(torch.equal, layer.parameters(), weights))
    assert all(torch.equal(each.grad, old) for each, old in zip(layer.parameters(), gradients, strict=True))
    layer(x)
    assert seen == [1]
