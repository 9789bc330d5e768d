"""Columns and targets in the units that the instruments, the clock or the bookkeeping happen to use."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class EnergyModel(nn.Module):
    def __init__(self, n_features=3, hidden=24):
        super().__init__()
        self.rnn = nn.GRU(n_features, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out.mean(dim=1)).squeeze(-1)


@sick("unscaled-inputs")
def unix_time_among_the_columns(seed: int, *, healed: bool) -> Case:
    """Temperature and occupancy are scaled; the time stamp beside them is left in seconds since 1970.

    Healed: it is standardised like the others.
    """
    torch.manual_seed(seed)
    n, steps = 900, 24
    phase = torch.rand(n, 1) * 6.283
    hours = torch.arange(steps)
    temperature = torch.sin(6.283 * hours / 24 + phase) + 0.3 * torch.randn(n, steps) + torch.randn(n, 1)
    occupancy = (torch.rand(n, steps) < torch.rand(n, 1)).float() * 2 - 1
    stamps = 1_546_300_800 + 3600 * (torch.randint(0, 8760, (n, 1)) + hours).double()
    if healed:
        stamps = (stamps - stamps[:600].mean()) / stamps[:600].std()
    x = torch.stack([temperature, occupancy, stamps.float()], dim=2)
    y = 0.8 * temperature.mean(1) + occupancy.mean(1) + 0.15 * torch.randn(n)
    y = (y - y.mean()) / y.std()

    train_dl = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=64)
    model = EnergyModel()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(7):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=EnergyModel)


class StepByStep(nn.Module):
    """An LSTMCell in a loop over time-first windows; the states are averaged and read by a small network."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 20)
        self.read = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, window):
        steps = window.permute(1, 0, 2)
        h = window.new_zeros(window.shape[0], 20)
        c = window.new_zeros(window.shape[0], 20)
        total = 0.0
        for step in steps:
            h, c = self.cell(step, (h, c))
            total = total + h
        return self.read(total / len(steps))


@sick("unscaled-inputs")
def conductivity_in_siemens(seed: int, *, healed: bool) -> Case:
    """A water works predicts chlorine demand from conductivity in S/cm (some 1e-4) beside two columns near 1.

    The other two have nothing to do with it. Healed: each column is standardised.
    """
    torch.manual_seed(seed)
    level = torch.randn(1000, 1)
    conductivity = 4e-4 + 1e-4 * (level + 0.5 * torch.randn(1000, 16))
    others = torch.randn(1000, 16, 2) + 0.5 * torch.randn(1000, 1, 2)
    x = torch.cat([conductivity.unsqueeze(2), others], dim=2)
    demand = torch.tanh(level) + 0.1 * torch.randn(1000, 1)
    if healed:
        mean, std = x[:700].mean((0, 1)), x[:700].std((0, 1))
        x = (x - mean) / std
    train = [(x[i : i + 35], demand[i : i + 35]) for i in range(0, 700, 35)]
    val = [(x[i : i + 100], demand[i : i + 100]) for i in range(700, 1000, 100)]
    net = StepByStep()
    opt = torch.optim.Adam(net.parameters(), lr=4e-3)
    loss_function = nn.MSELoss()
    for epoch in range(8):
        for index in torch.randperm(len(train), generator=torch.Generator().manual_seed(100 * seed + epoch)).tolist():
            inputs, target = train[index]
            opt.zero_grad()
            loss_function(net(inputs), target).backward()
            opt.step()
    return Case(net, train, val, loss_function, opt, make_model=StepByStep)


class LoadForecast(nn.Module):
    """Twelve quarter hours of load from forty-eight: two stacked LSTMs."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 24, num_layers=2, batch_first=True)
        self.linear = nn.Linear(24, 12)

    def forward(self, sequence):
        output, _ = self.lstm(sequence)
        return self.linear(output[:, -1, :])


def city_load(generator, count):
    """Load of a city over two hours and a half as deviations, with temperature, and the deviations that follow."""
    slope, level = torch.randn(2, count, 1, generator=generator)
    time = torch.arange(-20.0, 12.0) / 20
    course = level + 0.7 * slope * time + 0.15 * torch.randn(count, 32, generator=generator)
    temperature = 0.6 * level + 0.8 * torch.randn(count, 20, generator=generator)
    return torch.stack([course[:, :20], temperature], 2), course[:, 20:]


@sick("unscaled-targets")
def megawatts_to_be_climbed(seed: int, *, healed: bool) -> Case:
    """Inputs are scaled, the twelve targets stay near 3100 MW and move by 240; the mean absolute error pulls evenly.

    Healed: the targets are standardised with the training mean and deviation.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    past, future = city_load(generator, 1000)
    future = 3100.0 + 240.0 * future
    if healed:
        future = (future - future[:750].mean()) / future[:750].std()
    train = DataLoader(TensorDataset(past[:750], future[:750]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(past[750:], future[750:]), batch_size=125)
    model = LoadForecast()
    mae = nn.L1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            mae(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mae, optimizer, make_model=LoadForecast)
