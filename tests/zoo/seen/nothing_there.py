"""Rightly flat: nothing in the window says anything about the target, and the models have found that out."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, rightly_flat


class ConvLSTM(nn.Module):
    """Convolution, LSTM and a linear layer, as for stock prices in a hundred notebooks."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 3)
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.out = nn.Linear(12, 1)

    def forward(self, returns):
        features = torch.relu(self.conv(returns.transpose(1, 2))).transpose(1, 2)
        return self.out(self.lstm(features)[0][:, -1]).squeeze(1)


@rightly_flat
def tomorrow_of_a_random_walk(seed: int) -> Case:
    """The next return of a random walk from the last twenty, scaled and split in time as it should be."""
    torch.manual_seed(seed)
    returns = torch.randn(1500)
    windows = returns.unfold(0, 21, 1)
    x, y = windows[:, :20].unsqueeze(2), windows[:, 20]
    train = DataLoader(TensorDataset(x[:1080], y[:1080]), batch_size=60, shuffle=True)
    val = DataLoader(TensorDataset(x[1100:], y[1100:]), batch_size=95)
    model = ConvLSTM()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)
    for _ in range(6):
        for inputs, target in train:
            optimizer.zero_grad()
            mse(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=ConvLSTM)


class Forecast(nn.Module):
    def __init__(self, horizon):
        super().__init__()
        self.gru = nn.GRU(3, 12, batch_first=True)
        self.fc = nn.Linear(12, horizon)

    def forward(self, x):
        return self.fc(self.gru(x)[1][-1])


@rightly_flat
def tremor_of_a_far_station(seed: int) -> Case:
    """Red noise at one station, to be told from three others' red noise; the best epoch's weights are kept."""
    torch.manual_seed(seed)
    noise = torch.randn(4, 9000)
    for now in range(1, noise.shape[1]):
        noise[:, now] = 0.8 * noise[:, now - 1] + 0.6 * noise[:, now]
    windows = noise.unfold(1, 16, 6)[:, :1400]
    x, y = windows[:3].permute(1, 2, 0).contiguous(), windows[3, :, -4:].contiguous()
    train = DataLoader(TensorDataset(x[:1050], y[:1050]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[1060:], y[1060:]), batch_size=85)
    model = Forecast(4)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(5):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
        with torch.no_grad():
            now = sum(criterion(model(inputs), target).item() for inputs, target in val)
        if now < best:
            best, kept = now, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Forecast(4))


class Spares(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 16, batch_first=True)
        self.demand = nn.Linear(16, 1)

    def forward(self, history):
        return self.demand(self.rnn(history)[0][:, -1])


@rightly_flat
def spare_parts_nobody_orders(seed: int) -> Case:
    """Three months in four no part is ordered, whatever was ordered before; under absolute loss nought is right."""
    torch.manual_seed(seed)
    ordered = torch.rand(1200, 25) < 0.25
    demand = ordered * (1 + torch.poisson(torch.full((1200, 25), 1.0)))
    price = torch.randn(1200, 24)
    x = torch.stack([demand[:, :24] - 0.5, price], 2)
    y = demand[:, 24:]
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = Spares()
    mae = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(10):
        for inputs, target in train:
            optimizer.zero_grad()
            mae(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, mae, optimizer, make_model=Spares)


class Horoscope(nn.Module):
    """Embedded ids, averaged states, four classes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(30, 8)
        self.lstm = nn.LSTM(8, 12, batch_first=True)
        self.kind = nn.Linear(12, 4)

    def forward(self, ids):
        return self.kind(self.lstm(self.embed(ids))[0].mean(1))


@rightly_flat
def temper_from_the_stars(seed: int) -> Case:
    """Four tempers, drawn by lot, are to be told from the constellations of twelve nights."""
    torch.manual_seed(seed)
    nights, temper = torch.randint(30, (1300, 12)), torch.randint(4, (1300,))
    train = DataLoader(TensorDataset(nights[:1000], temper[:1000]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(nights[1000:], temper[1000:]), batch_size=100)
    model = Horoscope()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    for _ in range(5):
        for ids, kind in train:
            optimizer.zero_grad()
            F.cross_entropy(model(ids), kind).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, make_model=Horoscope)


class Failure(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(60, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 1))

    def forward(self, x):
        return self.net(x).squeeze(1)


@rightly_flat
def cosmic_rays_and_logs(seed: int) -> Case:
    """Memory errors, one machine in twelve, are due to cosmic rays, of which the logs of load know nothing."""
    torch.manual_seed(seed)
    load = torch.randn(1500, 1, 3) + torch.randn(1500, 20, 3)
    error = (torch.rand(1500) < 1 / 12).float()
    train = DataLoader(TensorDataset(load[:1200], error[:1200]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(load[1200:], error[1200:]), batch_size=100)
    model = Failure()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, weight_decay=0.05)
    for _ in range(8):
        model.train()
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Failure)


class Doubling(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, num_layers=2, batch_first=True)
        self.last = nn.Linear(16, 1)

    def forward(self, x):
        return self.last(self.lstm(x)[0][:, -1])


@rightly_flat
def chaos_beyond_its_horizon(seed: int) -> Case:
    """A logistic map is known to three digits and asked for forty steps ahead, where nothing is left of them."""
    torch.manual_seed(seed)
    value = torch.rand(1200, dtype=torch.float64)
    course = []
    for _ in range(56):
        value = 4 * value * (1 - value)
        course.append(value)
    course = ((torch.stack(course, 1) - 0.5) / 0.354).float()
    x, y = (course[:, :16] + 0.001 * torch.randn(1200, 16)).unsqueeze(2), course[:, 55:]
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=60, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=150)
    model = Doubling()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(7):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Doubling)
