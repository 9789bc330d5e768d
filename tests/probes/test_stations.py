import math
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

from flatspot import nn as ours
from flatspot.models.network import Network
from flatspot.probes.diversity import output_diversity
from flatspot.probes.gates import layer_gates
from flatspot.probes.stations import (
    Station,
    effective_rank,
    first_loss,
    relative_spread,
    state_spread_by_step,
    station_values,
    stations,
)


@pytest.fixture(autouse=True)
def start():
    """Of the weights."""
    torch.manual_seed(0)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def noise(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64).to(dtype)


def slow_spread(values):
    """In numpy, one feature after another."""
    rows = np.asarray(values.double()).reshape(len(values), -1)
    varied = sum(np.var(rows[:, k]) for k in range(rows.shape[1]))
    return math.sqrt(varied / sum(np.mean(rows[:, k] ** 2) for k in range(rows.shape[1])))


def slow_rank(values):
    rows = np.asarray(values.double()).reshape(len(values), -1)
    singular = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
    shares = singular / singular.sum()
    return math.exp(-sum(share * math.log(share) for share in shares if share > 0))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    size=st.integers(2, 9),
    shape=st.sampled_from([(), (1,), (4,), (3, 5)]),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    offset=st.sampled_from([0.0, 10.0]),
)
def test_spread_and_rank_equal_their_slow_twins(seed, size, shape, dtype, offset):
    values = (noise(size, *shape, seed=seed) + offset).to(dtype)
    assert relative_spread(values) == pytest.approx(slow_spread(values))
    rank = effective_rank(values)
    if math.isnan(rank):
        assert relative_spread(values) <= 4 * torch.finfo(dtype).eps
    else:
        assert rank == pytest.approx(slow_rank(values), rel=1e-3)
        assert 1 - 1e-6 <= rank <= min(size - 1, math.prod(shape)) + 1e-3


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), size=st.integers(2, 9), scale=st.floats(1e-30, 1e30))
def test_scale_and_order_do_not_matter_and_an_offset_does(seed, size, scale):
    values = noise(size, 4, seed=seed)
    spread, rank = relative_spread(values), effective_rank(values)
    for same in (scale * values, -values, values[torch.randperm(size, generator=seeded(seed))], values.repeat(2, 1)):
        assert relative_spread(same) == pytest.approx(spread)
        assert effective_rank(same) == pytest.approx(rank, rel=1e-3)
    assert relative_spread(values + 100) < spread
    assert effective_rank(values + 100) == pytest.approx(rank, rel=1e-3)


def test_small_differences_on_a_far_off_mean_are_measured():
    values = noise(200, 3) + 1e9
    assert relative_spread(values) == pytest.approx(1e-9, rel=0.1)
    assert effective_rank(values) == pytest.approx(slow_rank(noise(200, 3)), rel=1e-3)


def test_what_is_the_same_has_no_spread_and_no_directions():
    for values in (torch.full((7, 3), 0.1), torch.zeros(7, 3), torch.full((7, 3), 0.1, dtype=torch.bfloat16)):
        assert relative_spread(values) == 0
        assert math.isnan(effective_rank(values))
    rounded = 1 + 6e-8 * torch.randint(0, 2, (50, 20), generator=seeded(0)).float()
    assert 0 < relative_spread(rounded) < 1e-6
    assert math.isnan(effective_rank(rounded)), "rounding looks as full as can be"


@pytest.mark.parametrize(
    "values", [torch.ones(1, 3), torch.ones(0, 3), torch.ones(3, 0), torch.tensor([0.0, math.nan])]
)
def test_without_samples_or_numbers_there_is_no_figure(values):
    assert math.isnan(relative_spread(values))
    assert math.isnan(effective_rank(values))


def test_the_spread_of_states_by_step():
    states = noise(5, 4, 3)
    states[:, 2] = 1.0
    by_step = state_spread_by_step(states)
    assert by_step.tolist() == pytest.approx([slow_spread(states[:, step]) for step in range(4)])
    assert state_spread_by_step(states[:, :0]).shape == (0,)
    assert state_spread_by_step(states[:1]).isnan().all()


class Net(nn.Module):
    """A forecaster as people write it."""

    def __init__(self, cell=nn.GRU, layers=1, units=8, **options):
        super().__init__()
        self.drop = nn.Dropout(0.5)
        self.rnn = cell(2, units, layers, batch_first=True, **options)
        self.head = nn.Linear(units * (2 if options.get("bidirectional") else 1), 3)

    def forward(self, x):
        return self.head(self.rnn(self.drop(x))[0][:, -1])


def of(found):
    return {station.name: station for station in found}


def test_stations_are_those_that_a_sample_passes():
    net, x = Net(layers=2, bidirectional=True), noise(9, 5, 2, dtype=torch.float32)
    found = stations(net, x)
    assert [each.name for each in found] == ["input", "drop", "rnn.l0", "rnn.l1", "head", "output"]
    gates, out = layer_gates(net.rnn, x), net.eval()(x).detach()
    for layer in (0, 1):
        forward, backward = gates[f"l{layer}"]["state"][:, -1], gates[f"l{layer}_reverse"]["state"][:, 0]
        last = torch.cat([forward, backward], dim=-1)
        station = of(found)[f"rnn.l{layer}"]
        assert station.spread == pytest.approx(slow_spread(last), rel=1e-4)
        assert station.effective_rank == pytest.approx(slow_rank(last), rel=1e-3)
        assert station.std == pytest.approx(last.double().var(0, correction=0).mean().sqrt().item(), rel=1e-4)
    assert of(found)["input"].spread == pytest.approx(slow_spread(x))
    assert of(found)["output"].spread == pytest.approx(slow_spread(out))
    spreads = [each.spread for each in found]
    assert [each.kept for each in found] == pytest.approx([spreads[0], *(b / a for a, b in pairwise(spreads))])


def test_beside_targets_the_output_is_measured_by_its_diversity():
    net, x, y = Net(), noise(20, 5, 2, dtype=torch.float32), noise(20, 3)
    with torch.no_grad():
        net.head.bias += 9065
    alone, beside = stations(net, x), stations(net, x, targets=y)
    ratio = output_diversity(net.eval()(x).detach(), y).ratio
    assert of(beside)["head"].spread == of(beside)["output"].spread == pytest.approx(ratio)
    assert of(alone)["output"].spread < 1e-3
    assert first_loss(alone) == "head"
    with torch.no_grad():
        net.head.weight *= y.std() / net(x).std()
    assert first_loss(stations(net, x, targets=y)) is None
    of_other_shape = stations(net, x, targets=torch.zeros(20, dtype=torch.long))
    assert of_other_shape == stations(net, x)


def test_the_shape_of_the_output_is_no_matter_to_its_targets():
    net, x, y = nn.Sequential(nn.Linear(2, 3), nn.Unflatten(1, (3, 1))), noise(20, 2, dtype=torch.float32), noise(20, 3)
    found = of(stations(net, x, targets=y.unsqueeze(-1)))
    assert found["0"].spread == found["1"].spread == found["output"].spread
    single = of(stations(nn.Sequential(nn.Linear(2, 1), nn.Flatten(0)), x, targets=y[:, 0]))
    assert single["0"].spread == single["1"].spread == single["output"].spread


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU, nn.LSTM])
def test_an_offset_is_found_at_the_input(cell):
    net, x, y = Net(cell), noise(40, 5, 2, dtype=torch.float32), noise(40, 3)
    assert first_loss(stations(net, 9065 + 22 * x, targets=y)) == "input"
    assert first_loss(stations(net, x)) is None


@pytest.mark.parametrize("cell", [nn.RNN, nn.GRU])
def test_layers_that_take_a_little_each_are_found_out_together(cell):
    net, x = Net(cell, layers=12), noise(40, 5, 2, dtype=torch.float32)
    found = stations(net, x)
    assert all(each.kept > 0.1 for each in found)
    assert first_loss(found) in {f"rnn.l{layer}" for layer in range(2, 7)}
    assert first_loss(stations(Net(cell), x)) is None


def test_a_dead_layer_is_named():
    net = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(inplace=True), nn.Linear(8, 1))
    x, y = noise(40, 2, dtype=torch.float32), noise(40, 1)
    assert first_loss(stations(net, x)) is None
    with torch.no_grad():
        net[2].weight.copy_(-net[2].weight.abs())
        net[2].bias.fill_(-0.01)
    for targets in (None, y):
        found = of(stations(net, x, targets=targets))
        assert found["2"].spread > 0.1, "what works in place does not touch the station before"
        assert found["3"].spread == 0
        assert found["3"].kept == 0
        assert math.isnan(found["4"].kept)
        assert math.isnan(found["4"].effective_rank)
        assert first_loss(list(found.values())) == "3"


def test_a_head_with_small_weights_loses_by_the_targets_alone():
    net, x, y = Net(), noise(40, 5, 2, dtype=torch.float32), noise(40, 3)
    with torch.no_grad():
        net.head.weight *= 1e-4
        net.head.bias.zero_()
    assert first_loss(stations(net, x)) is None, "nothing is lost: the scale is none"
    assert first_loss(stations(net, x, targets=y)) == "head"
    with torch.no_grad():
        net.head.bias.fill_(0.5)
    assert first_loss(stations(net, x)) == "head"


def test_what_comes_back_was_not_lost():
    shift = nn.Linear(2, 2)
    with torch.no_grad():
        shift.weight.copy_(torch.eye(2))
        shift.bias.fill_(1e3)
    net = nn.Sequential(shift, nn.BatchNorm1d(2), nn.Linear(2, 2, bias=False))
    x = noise(40, 2, dtype=torch.float32)
    net(x)
    for _ in range(100):
        net[1](shift(x))
    found = stations(net, x)
    assert of(found)["0"].kept < 0.01
    assert first_loss(found) is None


def station(name, spread):
    return Station(name, spread, 1.0, 1.0, 1.0)


def test_the_first_loss():
    def named(*spreads, factor=10.0):
        return first_loss([station(str(place), spread) for place, spread in enumerate(spreads)], factor)

    assert named() is None
    assert named(0.9, 0.8, 0.7) is None
    assert named(0.9, 0.08, 0.001) == "1"
    assert named(0.9, 0.08, 0.001, factor=100.0) == "2"
    assert named(0.9, 0.4, 0.2, 0.08, 0.04) == "3", "little by little"
    assert named(0.05, 0.04, 0.03) == "0", "the input differs too little itself"
    assert named(0.05, 0.8, 0.03) == "2"
    assert named(0.3, 0.05, 0.04) is None, "not ten times less than the input"
    assert named(0.9, math.nan, 0.01) == "2"
    assert named(math.nan, math.nan) is None
    assert named(0.9, 0.0, 0.0) == "1"
    assert named(0.0, 0.0) == "0"


class Branches(nn.Module):
    """A branch beside the way, time first, a cell in a loop, more than one output, no tensor at all."""

    def __init__(self):
        super().__init__()
        self.position = nn.Embedding(5, 3)
        self.nothing = nn.Identity()
        self.rnn = nn.LSTM(3, 4)
        self.cell = nn.GRUCell(4, 4)
        self.output = nn.Linear(4, 2)
        self.calls = []

    def forward(self, x):
        self.nothing(None)
        x = x + self.position(torch.arange(5)).unsqueeze(0).expand(len(x), -1, -1)
        states, _ = self.rnn(x.transpose(0, 1))
        h = None
        for step in states:
            h = self.cell(step, h)
        self.calls.append(len(x))
        return {"y": self.output(h), "states": states}


def test_samples_are_found_where_time_comes_first_and_side_branches_are_left_out():
    model, x = Branches(), noise(8, 5, 3, dtype=torch.float32)
    found = stations(model, x)
    assert [each.name for each in found] == ["input", "rnn.l0", "cell", "output_", "output"]
    with torch.no_grad():
        last = model(x)["y"]
    assert of(found)["output_"].spread == of(found)["output"].spread == pytest.approx(slow_spread(last), rel=1e-4)
    # With as many samples as steps one is left out, so that they are told apart.
    assert stations(model, x[:5], targets=noise(5, 2)) == stations(model, x[:4], targets=noise(5, 2)[:4])


class Packs(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = ours.LSTM(2, 4, batch_first=True, engine="scan")
        self.head = nn.Linear(4, 1)

    def forward(self, x):
        lengths = torch.arange(len(x), 0, -1).clamp(max=x.shape[1])
        _, (h, _) = self.rnn(pack_padded_sequence(x, lengths, batch_first=True))
        return self.head(h[-1]), h


def test_packed_sequences_are_measured_by_their_final_states():
    model, x = Packs(), noise(9, 5, 2, dtype=torch.float32)
    found = stations(model, x)
    assert [each.name for each in found] == ["input", "rnn.l0", "head", "output"]
    assert of(found)["rnn.l0"].spread == pytest.approx(slow_spread(model(x)[1][0].detach()), rel=1e-4)


def test_our_other_layers_are_stations_a_layer_too():
    network = Network(2, 3, cell="gru", activation="relu", hidden_size=4, num_layers=2, layer_norm=True, residual=True)
    found = stations(network, noise(9, 5, 2, dtype=torch.float32))
    assert [each.name for each in found] == ["input", "encoder.l0", "encoder.l1", "head", "output"]


def test_a_layer_by_itself_and_another_way_of_asking():
    layer, x = nn.GRU(2, 4, 2, batch_first=True), noise(9, 5, 2, dtype=torch.float32)
    assert [each.name for each in stations(layer, x)] == ["input", "own.l0", "own.l1", "output"]
    asked = stations(layer, x, ask=lambda given: layer(given[:, :3])[0][:, -1])
    assert of(asked)["output"].spread == of(asked)["own.l1"].spread


def test_numbers_of_classes_are_inputs():
    model = nn.Sequential(nn.Embedding(6, 3), nn.Flatten(), nn.Linear(12, 2))
    found = stations(model, torch.randint(0, 6, (9, 4), generator=seeded(0)))
    assert [each.name for each in found] == ["input", "0", "1", "2", "output"]
    assert all(each.spread > 0.1 for each in found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_every_precision(dtype):
    found = stations(Net().to(dtype), noise(9, 5, 2, dtype=dtype), targets=noise(9, 3))
    assert all(0 < each.spread < 2 and each.effective_rank >= 1 for each in found)


@pytest.mark.parametrize("x", [torch.ones(1, 5, 2), torch.full((6, 5, 2), math.nan)])
def test_one_sample_and_numbers_that_are_none_have_no_figure(x):
    found = stations(Net(), x, targets=torch.ones(len(x), 3))
    assert all(math.isnan(each.spread) and math.isnan(each.effective_rank) for each in found)
    assert first_loss(found) is None


def test_no_samples_have_no_figure():
    found = stations(nn.Sequential(nn.Linear(2, 3)), torch.ones(0, 2), targets=torch.ones(0, 3))
    assert all(math.isnan(each.spread) for each in found)


class Draws(Net):
    """Leaves behind whatever a call can."""

    def __init__(self):
        super().__init__(nn.LSTM)
        self.norm = nn.BatchNorm1d(3)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        self.seen = x
        return self.norm(super().forward(x)) + torch.rand(())


@pytest.mark.parametrize("training", [False, True])
def test_nothing_is_left_behind(training):
    model, x = Draws().train(training), noise(9, 5, 2, dtype=torch.float32)
    model(x).sum().backward()

    def everything():
        held = [each.clone() for each in [*model.state_dict().values(), *(each.grad for each in model.parameters())]]
        hooks = [len(part._forward_hooks) for part in model.modules()]
        draws = torch.get_rng_state().tolist(), np.random.get_state()[1].tolist()
        return held, (hooks, draws, [part.training for part in model.modules()], model.calls, id(model.seen))

    before, python = everything(), random.getstate()
    stations(model, x, targets=noise(9, 3))
    after = everything()
    assert python[0] == random.getstate()[0]
    assert all(torch.equal(one, other) for one, other in zip(before[0], after[0], strict=True))
    assert before[1] == after[1]


@pytest.mark.gpu
def test_on_a_gpu_the_stations_are_those_of_the_host():
    net, x, y = Net(layers=2), noise(9, 5, 2, dtype=torch.float32), noise(9, 3)
    expected = stations(net, x, targets=y)
    found = stations(net.cuda(), x.cuda(), targets=y)
    assert [each[1:] for each in found] == [pytest.approx(each[1:], rel=1e-3) for each in expected]


class Rows(nn.Module):
    """Steps become rows; as many units as one might ask for samples."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 64, batch_first=True)
        self.mix = nn.Linear(64, 64)
        self.head = nn.Linear(64, 3)

    def forward(self, x):
        h = self.rnn(x)[0]
        mixed = self.mix(h.reshape(-1, 64)).reshape(h.shape)
        return self.head(mixed[:, -1])


def test_units_are_not_taken_for_as_many_samples():
    model, x, y = Rows(), noise(64, 5, 2, dtype=torch.float32), noise(64, 3)
    found = stations(model, x, targets=y)
    assert [each.name for each in found] == ["input", "rnn.l0", "head", "output"]
    assert found == stations(model, x[:63], targets=y[:63])


class Wide(nn.Module):
    """A sequence of 32 channels; the answer is as long."""

    def __init__(self):
        super().__init__()
        self.mix = nn.Linear(1, 32)
        self.back = nn.Linear(32, 1)

    def forward(self, x):
        return self.back(self.mix(x)).squeeze(-1)


def test_of_a_wide_station_a_bounded_number_of_features_is_kept():
    model, x = Wide(), noise(7, 5000, 1, dtype=torch.float32)
    with torch.no_grad():
        model.mix.weight[16:] = 0
    values = station_values(model, x)
    assert {name: each.shape[1:].numel() for name, each in values.items()} == {
        "input": 5000,
        "mix": 4096,
        "back": 4096,
        "output": 5000,
    }
    whole = model.mix(x).detach()
    assert relative_spread(values["mix"]) == pytest.approx(relative_spread(whole), rel=0.02)
    constant = (values["mix"] == values["mix"][:1]).all(dim=0).double().mean()
    assert constant == pytest.approx(0.5, abs=0.01), "each channel has its share"
    found = of(stations(model, x, targets=noise(7, 5000)))
    assert found["back"].spread == found["output"].spread, "the answer is looked at whole"


@pytest.mark.filterwarnings("ignore")
def test_beside_a_scripted_part_the_others_are_stations():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 4), nn.Tanh()))
    found = stations(nn.Sequential(scripted, nn.Linear(4, 4), nn.Linear(4, 1)), noise(9, 2, dtype=torch.float32))
    assert [each.name for each in found] == ["input", "1", "2", "output"]
