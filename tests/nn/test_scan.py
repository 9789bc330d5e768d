"""The scan, stacked and in both directions: torch.nn where torch.nn can, a slow transcription where it cannot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from flatspot.activations import ACTIVATIONS
from flatspot.nn.cells import CELLS
from flatspot.nn.layer import build_layer
from flatspot.nn.scan import Scan

NATIVE = {"rnn": nn.RNN, "gru": nn.GRU, "lstm": nn.LSTM}
TANH = ACTIVATIONS["tanh"].function


def scan(cell, *sizes, activation="tanh", **options):
    torch.manual_seed(0)
    return Scan(CELLS[cell], ACTIVATIONS[activation].function, *sizes, **options)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@settings(max_examples=10)
@given(
    batch=st.integers(1, 4), time=st.integers(1, 6), inputs=st.integers(1, 3), units=st.integers(1, 4), data=st.data()
)
def test_stacked_and_both_ways_it_is_torchs(cell, bidirectional, batch, time, inputs, units, data):
    layers = data.draw(st.integers(1, 3))
    native = NATIVE[cell](inputs, units, layers, batch_first=True, bidirectional=bidirectional)
    ours = scan(cell, inputs, units, layers, bidirectional=bidirectional)
    ours.load_state_dict(native.state_dict())
    x = torch.randn(batch, time, inputs)
    h = torch.randn(layers * (1 + bidirectional), batch, units)
    state = (h, h.flip(0)) if cell == "lstm" else h
    for hx in (None, state):
        torch.testing.assert_close(ours(x, hx), native(x, hx), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_the_same_seed_gives_torchs_starting_weights(cell):
    ours = scan(cell, 2, 3, 2, bidirectional=True)
    torch.manual_seed(0)
    native = NATIVE[cell](2, 3, 2, batch_first=True, bidirectional=True)
    assert [name for name, _ in ours.named_parameters()] == [name for name, _ in native.named_parameters()]
    for one, other in zip(ours.parameters(), native.parameters(), strict=True):
        assert torch.equal(one, other)


def normalised(gate, weight, bias):
    spread = gate.var(unbiased=False) + 1e-5
    return (gate - gate.mean()) / spread.sqrt() * weight + bias


@pytest.mark.parametrize("cell", CELLS)
def test_layer_norm_is_over_the_units_of_each_gate_at_each_step(cell):
    layer = scan(cell, 2, 3, layer_norm=True).double()
    for name, parameter in layer.named_parameters():
        if name.startswith("norm"):
            nn.init.normal_(parameter)
    w = {name.removesuffix("_l0"): value.detach() for name, value in layer.named_parameters()}
    x = torch.randn(2, 4, 2, dtype=torch.float64)
    expected = torch.stack([torch.stack(normed_sequence(cell, w, each)) for each in x])
    torch.testing.assert_close(layer(x)[0], expected)


def normed_sequence(cell, w, x):
    h = c = torch.zeros(3, dtype=torch.float64)
    outputs = []
    for x_t in x:
        from_input = (w["weight_ih"] @ x_t + w["bias_ih"]).view(-1, 3)
        from_state = (w["weight_hh"] @ h + w["bias_hh"]).view(-1, 3)

        def gate(number, reset=1.0, a=from_input, b=from_state):
            return normalised(a[number] + reset * b[number], w["norm_weight"][number], w["norm_bias"][number])

        if cell == "rnn":
            h = gate(0).tanh()
        elif cell == "gru":
            r, z = gate(0).sigmoid(), gate(1).sigmoid()
            h = (1 - z) * gate(2, r).tanh() + z * h
        else:
            c = gate(1).sigmoid() * c + gate(0).sigmoid() * gate(2).tanh()
            h = gate(3).sigmoid() * c.tanh()
        outputs.append(h)
    return outputs


@pytest.mark.parametrize("cell", CELLS)
def test_residual_adds_each_later_layers_input_to_its_output(cell):
    layer = scan(cell, 2, 3, 3, residual=True)
    x = torch.randn(2, 5, 2)
    expected = x
    for number in range(3):
        alone = Scan(CELLS[cell], TANH, 2 if number == 0 else 3, 3)
        weights = {name: value for name, value in layer.state_dict().items() if name.endswith(f"_l{number}")}
        alone.load_state_dict({name.replace(f"_l{number}", "_l0"): value for name, value in weights.items()})
        out = alone(expected)[0]
        expected = out if number == 0 else expected + out
    torch.testing.assert_close(layer(x)[0], expected)


def test_dropout_acts_between_layers_and_in_training_alone():
    layer = scan("gru", 1, 64, 2, dropout=0.5)
    x = torch.randn(2, 5, 1)
    assert not torch.equal(layer(x)[0], layer(x)[0])
    layer.eval()
    assert torch.equal(layer(x)[0], layer(x)[0])
    one_layer = scan("gru", 1, 64, 1, dropout=0.5)
    assert torch.equal(one_layer(x)[0], one_layer(x)[0])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("option", ["layer_norm", "residual", "bidirectional"])
def test_every_option_changes_the_outputs(cell, option):
    plain, changed = scan(cell, 2, 4, 2), scan(cell, 2, 4, 2, **{option: True})
    x = torch.randn(2, 5, 2)
    assert not torch.allclose(plain(x)[0], changed(x)[0][..., :4])


@pytest.mark.parametrize("cell", CELLS)
def test_in_both_directions_each_half_sees_only_its_own_side(cell):
    layer = scan(cell, 1, 4, 1, bidirectional=True, activation="softsign")
    x = torch.randn(2, 6, 1)
    changed = x.clone()
    changed[:, 3:] += 1
    before, after = layer(x)[0], layer(changed)[0]
    assert torch.equal(before[:, :3, :4], after[:, :3, :4])
    assert not torch.allclose(before[:, :3, 4:], after[:, :3, 4:])
    changed = x.clone()
    changed[:, :3] += 1
    after = layer(changed)[0]
    assert torch.equal(before[:, 3:, 4:], after[:, 3:, 4:])


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_both_engines_take_any_state_that_the_other_gives(cell, activation):
    layer = build_layer(CELLS[cell], ACTIVATIONS[activation], 2, 3)
    x = torch.randn(2, 6, 2)
    whole, last = layer(x)
    first, state = layer(x[:, :2])
    second, end = layer(x[:, 2:], state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)
    torch.testing.assert_close(end, last)


@pytest.mark.parametrize(
    ("cell", "shapes"),
    [("gru", [(1, 5, 3)]), ("gru", [(3, 5, 3)]), ("gru", [(2, 1, 3)]), ("gru", [(2, 5, 3)] * 2), ("lstm", [(2, 5, 3)])],
)
def test_an_initial_state_of_another_shape_is_refused(cell, shapes):
    parts = tuple(torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match="the initial state has the shapes"):
        scan(cell, 1, 3, 2)(torch.zeros(5, 4, 1), parts if len(parts) > 1 else parts[0])


def test_bfloat16_autocast_runs():
    layer = scan("lstm", 2, 4, 2, activation="gelu", layer_norm=True, residual=True)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(torch.randn(2, 5, 2))[0]
    outputs.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


@pytest.mark.gpu
@pytest.mark.parametrize("cell", CELLS)
def test_a_gpu_gives_the_numbers_of_a_cpu(cell):
    layer = scan(cell, 2, 4, 2, activation="mish", layer_norm=True, bidirectional=True, residual=True)
    x = torch.randn(3, 7, 2)
    here = layer(x)[0]
    torch.testing.assert_close(layer.cuda()(x.cuda())[0].to("cpu"), here, atol=1e-5, rtol=1e-4)
