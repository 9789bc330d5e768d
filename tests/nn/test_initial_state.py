"""The state that a sequence starts with."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from flatspot.models.forecaster import Forecaster
from flatspot.nn.cells import CELLS
from flatspot.nn.initial_state import INITIAL_STATES
from flatspot.registry import UnknownName

X = torch.zeros(64, 5, 2)


def model(initial_state, cell="gru", activation="tanh", **options):
    torch.manual_seed(0)
    return Forecaster(inputs=2, cell=cell, activation=activation, initial_state=initial_state, **options)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("activation", ["tanh", "sin"])
@pytest.mark.parametrize("kind", INITIAL_STATES)
def test_every_kind_starts_every_cell_stacked_and_both_ways(cell, activation, kind):
    forecaster = model(kind, cell, activation, num_layers=2, bidirectional=True, hidden_size=4)
    loss = forecaster(X).square().sum()
    loss.backward()
    assert all(parameter.grad is not None for parameter in forecaster.parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_a_normal_state_is_of_each_sequences_own_in_training_and_zero_in_evaluation(cell):
    forecaster = model("normal", cell)
    drawn = forecaster(X)
    assert len(drawn.unique()) == len(X)
    assert not torch.equal(drawn, forecaster(X))
    torch.testing.assert_close(forecaster.eval()(X), model("zeros", cell)(X))


def test_a_normal_state_is_standard_normal():
    start = INITIAL_STATES["normal"](2, 3, 100)
    h, c = start(torch.zeros(500, 1, 1, dtype=torch.float64))
    assert h.shape == c.shape == (3, 500, 100)
    assert h.dtype == torch.float64
    for part in (h, c):
        assert part.mean().item() == pytest.approx(0, abs=0.02)
        assert part.std().item() == pytest.approx(1, abs=0.02)
    assert not torch.equal(h, c)


def test_the_same_random_state_draws_the_same_states():
    start = INITIAL_STATES["normal"](1, 1, 4)
    torch.manual_seed(3)
    first = start(X)
    torch.manual_seed(3)
    assert torch.equal(first, start(X))


@pytest.mark.parametrize(("kind", "training"), [("learned", True), ("normal", True), ("normal", False)])
def test_packed_sequences_start_as_others_do(kind, training):
    start = INITIAL_STATES[kind](2, 3, 4).train(training)
    sequences = [torch.zeros(length, 1, dtype=torch.float64) for length in (2, 5, 1)]
    torch.manual_seed(3)
    packed = start(pack_sequence(sequences, enforce_sorted=False))
    torch.manual_seed(3)
    padded = start(torch.zeros(3, 5, 1, dtype=torch.float64))
    assert (packed is None) == (padded is None) == (kind == "normal" and not training)
    for one, other in zip(packed or (), padded or (), strict=True):
        assert torch.equal(one, other)
        assert one.dtype == other.dtype


@pytest.mark.parametrize("cell", CELLS)
def test_a_learned_state_starts_at_zero_and_learns(cell):
    forecaster = model("learned", cell)
    torch.testing.assert_close(forecaster(X), model("zeros", cell)(X))
    forecaster(X).sum().backward()
    assert forecaster.network.initial_state.start.grad.abs().sum() > 0
    with torch.no_grad():
        forecaster.network.initial_state.start.fill_(0.5)
    moved = forecaster(X)
    assert len(moved.unique()) == 1
    assert not torch.allclose(moved, model("zeros", cell)(X))


def test_an_unknown_kind_is_named():
    with pytest.raises(UnknownName, match="no initial state is called 'zero'; did you mean 'zeros'"):
        model("zero")
