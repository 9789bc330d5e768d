import math

import pytest
import torch
from torch import nn

from flatspot.probes.activations import unit_reports
from flatspot.probes.gates import gate_report, layer_gates

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
