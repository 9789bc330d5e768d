"""The network of all our models: what it says of sequences of any length."""

import inspect

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

from flatspot.models.classifier import Classifier
from flatspot.models.forecaster import Forecaster
from flatspot.models.network import Network
from flatspot.models.regressor import Regressor
from flatspot.nn.cells import CELLS
from flatspot.nn.initial_state import INITIAL_STATES
from flatspot.probes.gradient import parameter_blocks

OPTIONS = [
    {},
    {"bidirectional": True},
    {"num_layers": 2, "residual": True, "bidirectional": True},
    {"layer_norm": True, "head_activation": "tanh"},
]


def network(**options):
    torch.manual_seed(0)
    return Network(2, 3, hidden_size=4, **options)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", ["tanh", "softsign"])
@pytest.mark.parametrize("options", OPTIONS)
@settings(max_examples=5)
@given(lengths=st.lists(st.integers(1, 7), min_size=1, max_size=5))
def test_a_batch_of_any_lengths_gets_what_each_sequence_gets_alone(cell, activation, options, lengths):
    net = network(cell=cell, activation=activation, **options)
    sequences = [torch.randn(length, 2) for length in lengths]
    alone = torch.cat([net(sequence.unsqueeze(0)) for sequence in sequences])
    torch.testing.assert_close(net(pack_sequence(sequences, enforce_sorted=False)), alone)
    by_length = sorted(sequences, key=len, reverse=True)
    torch.testing.assert_close(
        net(pack_sequence(by_length)), torch.cat([net(sequence.unsqueeze(0)) for sequence in by_length])
    )


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", ["tanh", "softsign"])
@pytest.mark.parametrize("padding", [float("nan"), float("inf"), 9.0])
def test_padding_changes_no_output_and_no_gradient(cell, activation, padding):
    net, lengths, found = network(cell=cell, activation=activation, bidirectional=True), torch.tensor([2, 5, 1]), []
    x = torch.randn(3, 5, 2)
    for value in (0.0, padding):
        padded = torch.where((torch.arange(5) < lengths[:, None])[..., None], x, value)
        outputs = net(pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False))
        found.append([outputs, *torch.autograd.grad(outputs.square().sum(), list(net.parameters()))])
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("activation", ["tanh", "softsign"])
def test_each_direction_has_read_the_whole_of_each_sequence_and_nothing_else(activation):
    net = network(cell="gru", activation=activation, bidirectional=True)
    padded, lengths = torch.randn(3, 6, 2, requires_grad=True), torch.tensor([4, 6, 1])
    for half in (slice(4), slice(4, 8)):
        net.head.weight.data.zero_()
        net.head.weight.data[:, half] = 1.0
        outputs = net(pack_padded_sequence(padded, lengths, batch_first=True, enforce_sorted=False))
        (gradient,) = torch.autograd.grad(outputs.sum(), padded)
        assert ((gradient != 0).any(dim=-1) == (torch.arange(6) < lengths[:, None])).all()


@pytest.mark.parametrize("kind", INITIAL_STATES)
@pytest.mark.parametrize("cell", CELLS)
def test_packed_sequences_start_with_any_state_and_train_every_weight(cell, kind):
    net = network(cell=cell, initial_state=kind, num_layers=2, bidirectional=True)
    sequences = pack_sequence([torch.randn(length, 2) for length in (3, 5, 1)], enforce_sorted=False)
    net(sequences).square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("model", [Forecaster, Regressor, Classifier])
def test_every_model_takes_all_that_the_network_takes(model):
    taken, offered = inspect.signature(Network).parameters, inspect.signature(model).parameters
    named = [name for name, parameter in taken.items() if parameter.kind is parameter.KEYWORD_ONLY]
    assert {name: offered[name].default for name in named} == {name: taken[name].default for name in named}


@pytest.mark.parametrize("options", [{}, {"classes": ["a", "b"]}])
def test_gradients_are_told_by_encoder_initial_state_and_head(options):
    models = (Classifier,) if options else (Forecaster, Regressor)
    for model in models:
        built = model(initial_state="learned", **options)
        assert set(parameter_blocks(built)) == {"encoder", "initial_state", "head"}
        stacked = model(num_layers=2, **options)
        assert set(parameter_blocks(stacked)) == {"encoder_l0", "encoder_l1", "head"}
