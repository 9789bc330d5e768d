import math

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flatspot.probes.activations import unit_reports
from flatspot.probes.gates import dead_units, gate_report, layer_gates

X = torch.randn(6, 5, 2, generator=torch.Generator().manual_seed(0))


class Net(nn.Module):
    def __init__(self, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = nn.LSTM(2, 4, batch_first=True, dropout=0.5 if options.get("num_layers", 1) > 1 else 0.0, **options)
        self.squash = nn.Tanh()
        self.fold = nn.ReLU(inplace=True)
        self.unused = nn.ReLU()

    def forward(self, x):
        return self.fold(self.squash(self.rnn(x)[0]))


@pytest.mark.parametrize(
    "options", [{}, {"num_layers": 2}, {"bidirectional": True}], ids=["one", "stacked", "both ways"]
)
def test_recurrent_layers_are_told_by_their_exact_gates(options):
    net = Net(**options).train()
    reports = unit_reports(net, X)
    expected = gate_report(net.rnn, layer_gates(net.rnn, X))
    names = ["rnn"] if len(expected) == 1 else [f"rnn_{name}" for name in expected]
    assert list(reports) == [*names, "squash", "fold"]
    for name, report in zip(names, expected.values(), strict=True):
        assert reports[name].report == report
        assert reports[name].saturated == report.saturated
        assert reports[name].gates["forget"].shape == (6, 5, 4)
    assert net.training


def test_activations_are_counted_as_by_hand():
    """What is written over in place is looked at before."""
    net = Net()
    with torch.no_grad():
        for each in net.rnn.parameters():
            each.mul_(20)
        states = net.rnn(X)[0]
    reports = unit_reports(net, X)
    squashed = states.tanh()
    assert reports["squash"].saturated == pytest.approx((squashed.abs() > 0.99).double().mean().item())
    folded = squashed.relu().flatten(0, 1)
    assert reports["fold"].dead == sum(bool((folded[:, unit] == 0).all()) for unit in range(4)) / 4
    assert math.isnan(reports["fold"].saturated)


@pytest.mark.parametrize(
    ("activation", "low", "high"),
    [(nn.Hardtanh(-2.0, 0.5), -2.0, 0.5), (nn.ReLU6(), 0.0, 6.0), (nn.Sigmoid(), 0.0, 1.0)],
)
def test_rails_stand_where_the_module_has_them(activation, low, high):
    values = 8 * torch.randn(40, 3, generator=torch.Generator().manual_seed(1))
    said = activation(values)
    near = ((said - low) / (high - low) < 0.005) | ((high - said) / (high - low) < 0.005)
    (report,) = unit_reports(nn.Sequential(activation), values).values()
    assert report.saturated == pytest.approx(near.double().mean().item(), abs=0.01)


def test_a_layer_of_ones_own_is_told_by_its_dead_units_alone():
    class Cell(nn.Module):
        def forward(self, x):
            return torch.cat([x, torch.ones(*x.shape[:2], 2)], dim=2), x[:, -1]

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = Cell()

        def forward(self, x):
            return self.cell(x)[0][:, -1]

    reports = unit_reports(Model(), X)
    assert list(reports) == ["cell"]
    assert reports["cell"].dead == 0.5
    assert math.isnan(reports["cell"].saturated)
    assert reports["cell"].gates == {}


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_types(dtype):
    found, expected = (unit_reports(Net().to(each), X.to(each))["rnn"] for each in (dtype, torch.float32))
    assert found.saturated == pytest.approx(expected.saturated, abs=0.02)
    assert found.dead == expected.dead


def test_many_values_are_looked_at_on_fewer_samples(monkeypatch):
    monkeypatch.setattr("flatspot.probes.activations.MOST_VALUES", 2 * 5 * 4)
    assert unit_reports(Net(), X)["rnn"].gates["forget"].shape == (2, 5, 4)
    assert unit_reports(Net(num_layers=2), X)["rnn_l1"].gates["forget"].shape == (2, 5, 4)


@pytest.mark.parametrize("x", [X[:0], X[:1], torch.full_like(X, math.nan)], ids=["none", "one", "nan"])
def test_samples_that_tell_nothing(x):
    report = unit_reports(Net(), x)["squash"]
    assert math.isnan(report.saturated) or len(x) == 1
    assert math.isnan(report.dead) or len(x) == 1
    assert unit_reports(nn.Linear(2, 1), X) == {}


class Mixed(nn.Module):
    """Under autocast the layer is given bfloat16 and has weights of float32."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inner = nn.Linear(2, 3)
        self.rnn = nn.GRU(3, 4, batch_first=True)

    def forward(self, x, state=None):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.rnn(self.inner(x), state)[0]


@pytest.mark.parametrize("state", [None, torch.full((1, 6, 4), 0.5, dtype=torch.bfloat16)], ids=["zeros", "given"])
def test_gates_of_mixed_precision_are_those_of_the_weights(state):
    net = Mixed()
    for inside in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            gates = unit_reports(net, X, ask=lambda x: net(x, state))["rnn"].gates
        expected = layer_gates(net.rnn, net.inner(X), None if state is None else state.float())["l0"]
        for name, values in expected.items():
            assert gates[name].dtype == torch.float32
            torch.testing.assert_close(gates[name], values, rtol=0.02, atol=0.02)


class Decoder(nn.Module):
    """Its own prediction is the next input, written over the last one; the state passes from call to call."""

    def __init__(self, layer, squashed=False, steps=5):
        super().__init__()
        self.rnn, self.squashed, self.steps = layer, squashed, steps
        self.squash = nn.Tanh()
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        given, state, said = x[:, 0].clone(), None, []
        for _ in range(self.steps):
            if isinstance(self.rnn, nn.RNNCellBase):
                state = self.rnn(given, state)
                h = state[0] if isinstance(state, tuple) else state
            else:
                out, state = self.rnn(given.unsqueeze(1), hx=state)
                h = out[:, -1]
            given.copy_(self.head(self.squash(h) if self.squashed else h))
            said.append(given.clone())
        return torch.stack(said, dim=1)


def stepped(net, layer, x):
    """The gates of a layer that is given all steps at once."""
    with torch.no_grad():
        inputs = torch.cat([x[:, :1], net(x)[:, :-1]], dim=1)
    return layer_gates(layer, inputs)


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("form", ["layer", "stacked", "cell"])
def test_a_loop_over_steps_is_told_by_all_of_them(kind, form):
    """By hand: as one layer that is given all steps at once."""
    torch.manual_seed(1)
    layer = getattr(nn, kind)(2, 4, 2 if form == "stacked" else 1, batch_first=True)
    net = Decoder(layer)
    with torch.no_grad():
        for each in net.parameters():
            each.mul_(3)
    expected = stepped(net, layer, X)
    report = gate_report(layer, expected)
    if form == "cell":
        net.rnn = getattr(nn, f"{kind}Cell")(2, 4)
        net.rnn.load_state_dict({name.removesuffix("_l0"): each for name, each in layer.state_dict().items()})
    before = torch.get_rng_state()
    found = unit_reports(net, X)
    assert torch.equal(torch.get_rng_state(), before)
    assert list(found) == [f"rnn_{place}" if form == "stacked" else "rnn" for place in expected]
    for each, place in zip(found.values(), expected, strict=True):
        for name, values in expected[place].items():
            torch.testing.assert_close(each.gates[name], values, rtol=1e-4, atol=1e-5)
        assert each.saturated == pytest.approx(report[place].saturated)
        assert each.dead == report[place].dead
        assert 0 < each.saturated < 1


def test_the_same_activation_in_a_loop_and_after_two_layers():
    """In a loop its units are those of every call; after another layer they are others."""
    torch.manual_seed(1)
    loop = Decoder(nn.GRU(2, 4, batch_first=True), squashed=True)
    with torch.no_grad():
        states = unit_reports(loop, X)["rnn"].gates["state"]
    report = unit_reports(loop, X)["squash"]
    assert report.dead == dead_units(states.tanh()) == 0
    relu = nn.ReLU()
    twice = nn.Sequential(nn.Linear(2, 4), relu, nn.Linear(4, 4), relu, nn.Linear(4, 8), relu)
    with torch.no_grad():
        twice[2].bias.fill_(-100)
        twice[4].bias.fill_(100)
    first = twice[:2](X).detach()
    assert unit_reports(twice, X)["1"].dead == (dead_units(first) * 4 + 4 + 8) / 16


def test_of_many_calls_some_are_looked_at(monkeypatch):
    net = Decoder(nn.GRUCell(2, 4), steps=40)
    every = unit_reports(net, X)["rnn"].gates["state"]
    monkeypatch.setattr("flatspot.probes.activations.MOST_VALUES", 40 * 6 * 4 // 3)
    monkeypatch.setattr("flatspot.probes.activations.LEAST_VALUES", 1)
    assert torch.equal(unit_reports(net, X)["rnn"].gates["state"], every[:, ::4])


class Packs(nn.Module):
    def __init__(self, lengths, sort, **options):
        super().__init__()
        torch.manual_seed(0)
        self.lengths, self.sort = lengths, sort
        self.rnn = nn.LSTM(2, 4, **options)
        self.own = Own()

    def forward(self, x):
        first = self.rnn.batch_first
        x = x if first else x.transpose(0, 1)
        packed = pack_padded_sequence(x, self.lengths, batch_first=first, enforce_sorted=self.sort)
        shape = self.rnn.num_layers * (2 if self.rnn.bidirectional else 1), len(self.lengths), 4
        start = torch.linspace(-1, 1, math.prod(shape)).view(shape)
        out, _ = self.own(self.rnn(packed, (start, -start))[0])
        return pad_packed_sequence(out, batch_first=True)[0]


class Own(nn.Module):
    def forward(self, packed):
        return packed, None


@pytest.mark.parametrize(
    "options",
    [{"batch_first": True}, {}, {"bidirectional": True}, {"num_layers": 2, "bidirectional": True}],
    ids=["one", "time first", "both ways", "stacked"],
)
@pytest.mark.parametrize("lengths", [[5, 5, 4, 2, 2, 1], [2, 5, 1, 5, 4, 2]], ids=["sorted", "not"])
def test_of_packed_sequences_the_steps_that_are_there_are_looked_at(options, lengths):
    """By hand: each sequence by itself."""
    net = Packs(lengths, lengths[0] == 5, **options)
    found = unit_reports(net, X)
    shape = net.rnn.num_layers * (2 if net.rnn.bidirectional else 1), len(lengths), 4
    start = torch.linspace(-1, 1, math.prod(shape)).view(shape)
    net.rnn.batch_first, each_by_itself = True, []
    for number, length in enumerate(lengths):
        state = start[:, number : number + 1]
        each_by_itself.append(layer_gates(net.rnn, X[number : number + 1, :length], (state, -state)))
    for place in each_by_itself[0]:
        report = found[f"rnn_{place}" if len(each_by_itself[0]) > 1 else "rnn"]
        for gate in each_by_itself[0][place]:
            rows = torch.cat([gates[place][gate][0] for gates in each_by_itself])
            assert report.gates[gate].shape == (1, sum(lengths), 4)
            torch.testing.assert_close(report.gates[gate][0].sort(dim=0).values, rows.sort(dim=0).values)
    assert found["own"].dead == 0


@pytest.mark.filterwarnings("ignore")
def test_beside_a_scripted_part_the_others_are_looked_at():
    scripted = torch.jit.script(nn.Sequential(nn.Linear(2, 4), nn.Tanh()))
    reports = unit_reports(nn.Sequential(scripted, nn.Linear(4, 4), nn.Sigmoid()), X)
    assert list(reports) == ["2"]


def test_values_without_an_axis_of_units_are_those_of_one():
    assert unit_reports(nn.Sequential(nn.Flatten(0), nn.ReLU()), -X.abs())["1"].dead == 1


def test_a_cell_of_ones_own_is_told_by_its_dead_units_alone():
    class Cell(nn.GRUCell):
        def forward(self, x, hx=None):
            h = super().forward(x, hx)
            return h * torch.tensor([1.0, 0.0, 1.0, 0.0])

    report = unit_reports(Decoder(Cell(2, 4)), X)["rnn"]
    assert report.dead == 0.5
    assert math.isnan(report.saturated)


def test_what_works_in_place_on_a_layers_output_does_not_touch_its_units():
    net = nn.Module()
    net.rnn, net.fold = nn.GRU(2, 4, batch_first=True), nn.ReLU(inplace=True)
    net.forward = lambda x: net.fold(net.rnn(x)[0])
    expected = layer_gates(net.rnn, X)["l0"]["state"]
    torch.testing.assert_close(unit_reports(net, X)["rnn"].gates["state"], expected)
