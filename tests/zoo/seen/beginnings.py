"""Networks that are beaten before they start: initialised too small, stacked too deep, stuck at rails, never active."""

import math

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


def bats(count):
    """Calls of bats, (count, 24, 1), that rise or fall in pitch; how steeply they do is asked, (count, 1)."""
    slope = 2 * torch.rand(count, 1) - 1
    t = torch.arange(24) / 24
    phase = 2 * math.pi * (torch.rand(count, 1) + 2 * t + slope * t * t)
    return (phase.sin() + 0.05 * torch.randn(count, 24)).unsqueeze(2), 1.7 * slope


class ChirpNet(nn.Module):
    def __init__(self, tiny):
        super().__init__()
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(24, 24), nn.Tanh(), nn.Linear(24, 1))
        if tiny:
            for parameter in self.parameters():
                nn.init.normal_(parameter, mean=0.0, std=1e-3)

    def forward(self, x):
        return self.mlp(self.gru(x)[0][:, -1])


@sick("bad-init")
def every_parameter_of_a_thousandth(seed: int, *, healed: bool) -> Case:
    """Draws all parameters from a normal distribution of standard deviation 0.001.

    The products of such layers are too small for the gradient to lead anywhere but to the mean.
    """
    torch.manual_seed(seed)
    x, y = bats(800)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = ChirpNet(tiny=not healed)
    criterion = nn.MSELoss()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(15):
        for inputs, targets in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs), targets)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: ChirpNet(tiny=not healed))


class TrafficLSTM(nn.Module):
    """Vehicles an hour on three lanes, and those of the next three hours on the first."""

    def __init__(self, depth):
        super().__init__()
        self.lstm = nn.LSTM(3, 8, num_layers=depth, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, lanes):
        return self.head(self.lstm(lanes)[0][:, -1])


@sick("too-deep")
def twelve_lstm_layers(seed: int, *, healed: bool) -> Case:
    """Stacks twelve LSTM layers without a shortcut, so that the lanes hardly differ above the last; two are enough."""
    torch.manual_seed(seed)
    hours = torch.arange(1010.0)
    flow = torch.stack([torch.sin(2 * math.pi * (hours + 2 * lane) / 24) for lane in range(3)], dim=1)
    flow = 0.8 * flow + 0.6 * torch.sin(2 * math.pi * hours / 17).unsqueeze(1) + 0.2 * torch.randn(1010, 3)
    windows = flow[:-3].unfold(0, 8, 1).transpose(1, 2)
    following = flow[8:, 0].unfold(0, 3, 1)
    count = len(following)
    train = DataLoader(TensorDataset(windows[:700], following[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(windows[720:count], following[720:]), batch_size=64)
    model = TrafficLSTM(depth=2 if healed else 12)
    optimizer = optim.Adam(model.parameters(), lr=0.003)
    for _ in range(7):
        for x, y in train:
            loss = F.l1_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, F.l1_loss, optimizer, lambda: TrafficLSTM(depth=2 if healed else 12))


class ClockedRNN(nn.Module):
    """Appends the time of day to each quarter-hour's glucose and insulin."""

    def __init__(self, minutes_per_unit):
        super().__init__()
        self.register_buffer("clock", torch.arange(20) * 15 / minutes_per_unit)
        self.rnn = nn.RNN(3, 16, batch_first=True)
        self.linear = nn.Linear(16, 2)

    def forward(self, x):
        clock = self.clock.expand(len(x), -1).unsqueeze(2)
        return self.linear(self.rnn(torch.cat([x, clock], dim=2))[1].squeeze(0))


@sick("saturated-units")
def minutes_appended_to_every_step(seed: int, *, healed: bool) -> Case:
    """Appends the minute, 0 to 285, to each step of scaled inputs inside the model, where days were meant.

    The minute holds every tanh at one of its rails, the same for all samples.
    """
    torch.manual_seed(seed)
    x = torch.randn(900, 20, 2)
    trend = torch.stack([x[:, -6:, 0].mean(1), x[:, -6:, 0].mean(1) - x[:, -6:, 1].mean(1)], dim=1)
    high = (trend + 0.1 * torch.randn(900, 2) > 0).float()
    train = DataLoader(TensorDataset(x[:680], high[:680]), batch_size=34, shuffle=True)
    val = DataLoader(TensorDataset(x[680:], high[680:]), batch_size=110)
    minutes = 1440 if healed else 1
    model = ClockedRNN(minutes)
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(12):
        for inputs, labels in train:
            optimizer.zero_grad()
            bce(model(inputs), labels).backward()
            optimizer.step()
    return Case(model, train, val, bce, optimizer, lambda: ClockedRNN(minutes))


class SpikeSorter(nn.Module):
    """Units that are silent below a threshold, their activity summed, one of four neurons answered."""

    def __init__(self, threshold):
        super().__init__()
        self.filters = nn.Conv1d(2, 16, kernel_size=5, padding=2)
        self.fire = nn.Threshold(threshold, 0.0)
        self.decode = nn.Linear(16, 4)

    def forward(self, voltage):
        spikes = self.fire(self.filters(voltage))
        return self.decode(spikes.mean(dim=2))


def extracellular(count):
    """Two electrodes over 32 steps; a neuron's spike has its own sign on each of them, at any time."""
    neuron = torch.randint(4, (count,))
    voltage = 0.3 * torch.randn(count, 2, 32)
    shape = torch.tensor([0.5, 1.5, 2.0, 1.5, 0.5])
    signs = torch.stack([2.0 * (neuron % 2) - 1, 2.0 * (neuron // 2) - 1], dim=1)
    for i, start in enumerate(torch.randint(0, 27, (count,)).tolist()):
        voltage[i, :, start : start + 5] += signs[i, :, None] * shape
    return voltage, neuron


@sick("dead-units")
def threshold_that_nothing_reaches(seed: int, *, healed: bool) -> Case:
    """Takes the threshold of its firing units, 30, from a paper in millivolts; no unit of the network ever fires.

    In units of the scaled voltage it is 0.3.
    """
    torch.manual_seed(seed)
    x, y = extracellular(840)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=50)
    threshold = 0.3 if healed else 30.0
    model = SpikeSorter(threshold)
    optimizer = optim.NAdam(model.parameters(), lr=0.02)
    for _ in range(15):
        for voltage, neuron in train:
            optimizer.zero_grad()
            F.cross_entropy(model(voltage), neuron).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, lambda: SpikeSorter(threshold))
