"""The scan, stacked and in both directions: torch.nn where torch.nn can, a slow transcription where it cannot."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

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


def packed(x, lengths, **options):
    return pack_padded_sequence(x, torch.tensor(lengths), batch_first=True, enforce_sorted=False, **options)


def outcome(layer, x, lengths, hx):
    """All that a layer makes of packed sequences, and the gradients of everything that it was made from."""
    made_from = [each.detach().clone().requires_grad_() for each in (x, *hx)]
    state = tuple(made_from[1:]) if len(hx) > 1 else made_from[1] if hx else None
    outputs, final = layer(packed(made_from[0], lengths), state)
    parts = [outputs.data, *(final if isinstance(final, tuple) else (final,))]
    loss = sum((part * torch.sin(torch.arange(part.numel())).view_as(part)).sum() for part in parts)
    gradients = torch.autograd.grad(loss, [*made_from, *layer.parameters()])
    return [*parts, *gradients, outputs.batch_sizes, outputs.sorted_indices, outputs.unsorted_indices]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("bidirectional", [False, True])
@settings(max_examples=15)
@given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5),
    inputs=st.integers(1, 3),
    units=st.integers(1, 4),
    layers=st.integers(1, 3),
)
def test_packed_sequences_give_torchs_numbers_and_gradients(cell, bidirectional, lengths, inputs, units, layers):
    native = NATIVE[cell](inputs, units, layers, batch_first=True, bidirectional=bidirectional)
    ours = scan(cell, inputs, units, layers, bidirectional=bidirectional)
    ours.load_state_dict(native.state_dict())
    x = torch.randn(len(lengths), max(lengths), inputs)
    h = torch.randn(layers * (1 + bidirectional), len(lengths), units)
    for hx in ((), (h, h.flip(0)) if cell == "lstm" else (h,)):
        for one, other in zip(outcome(ours, x, lengths, hx), outcome(native, x, lengths, hx), strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-4)


OPTIONS = [{"layer_norm": True}, {"residual": True}, {"bidirectional": True}]
ALL_OPTIONS = {name: value for option in OPTIONS for name, value in option.items()}


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("options", [*OPTIONS, ALL_OPTIONS])
@settings(max_examples=10)
@given(lengths=st.lists(st.integers(1, 6), min_size=1, max_size=5))
def test_a_packed_sequence_gets_what_it_gets_alone(cell, options, lengths):
    layer = scan(
        cell, 2, 3, 2, activation="softsign", **options
    ).double()  # layer norm makes much of float32's rounding
    sequences = [torch.randn(length, 2, dtype=torch.float64) for length in lengths]
    outputs, final = layer(pack_sequence(sequences, enforce_sorted=False))
    padded, found = pad_packed_sequence(outputs, batch_first=True)
    assert found.tolist() == lengths
    for number, sequence in enumerate(sequences):
        alone, end = layer(sequence.unsqueeze(0))
        torch.testing.assert_close(padded[number, : lengths[number]], alone[0])
        for part, expected in zip(*((each if cell == "lstm" else (each,)) for each in (final, end)), strict=True):
            torch.testing.assert_close(part[:, number : number + 1], expected)


@pytest.mark.parametrize("cell", CELLS)
def test_sequences_of_one_length_may_be_packed_or_not(cell):
    layer = scan(cell, 2, 3, 2, dropout=0.5, bidirectional=True)
    x = torch.randn(4, 6, 2)
    torch.manual_seed(1)
    whole, end = layer(x)
    torch.manual_seed(1)
    outputs, final = layer(pack_sequence(list(x)))  # in order already: nothing is permuted
    assert outputs.sorted_indices is None
    assert torch.equal(pad_packed_sequence(outputs, batch_first=True)[0], whole)
    torch.testing.assert_close(final, end, rtol=0, atol=0)


@pytest.mark.parametrize("batch", [1, 3])
def test_an_initial_state_for_another_number_of_packed_sequences_is_refused(batch):
    x = packed(torch.zeros(2, 4, 1), [1, 4])
    with pytest.raises(ValueError, match="the initial state has the shapes"):
        scan("gru", 1, 3)(x, torch.zeros(1, batch, 3))


@pytest.mark.parametrize("cell", CELLS)
def test_packed_sequences_run_under_bfloat16_autocast(cell):
    layer = scan(cell, 2, 4, 2, activation="gelu", layer_norm=True, residual=True, bidirectional=True)
    x = torch.randn(3, 5, 2)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = layer(packed(x, [2, 5, 1]))[0]
    outputs.data.float().sum().backward()
    torch.testing.assert_close(outputs.data.float(), layer(packed(x, [2, 5, 1]))[0].data, atol=0.1, rtol=0.1)
    assert all(parameter.grad.isfinite().all() for parameter in layer.parameters())


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


@pytest.mark.gpu
@pytest.mark.parametrize("cell", CELLS)
def test_a_gpu_gives_the_numbers_of_a_cpu_for_packed_sequences(cell):
    layer = scan(cell, 2, 4, 2, activation="mish", layer_norm=True, bidirectional=True, residual=True)
    x = packed(torch.randn(3, 7, 2), [4, 7, 1])
    here = layer(x)[0].data
    torch.testing.assert_close(layer.cuda()(x.to("cuda"))[0].data.to("cpu"), here, atol=1e-5, rtol=1e-4)
