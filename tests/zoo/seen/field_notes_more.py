"""More of what went wrong with the measurements of people who measure things, and two plants that only look ill."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo.program import Case, healthy, sick


class ClimbRate(nn.Module):
    """Two convolutions, a GRU, and its last state beside the last step's features."""

    def __init__(self, channels=12, hidden=20):
        super().__init__()
        self.conv1 = nn.Conv1d(2, channels, 3, padding=1)
        self.conv2 = nn.Conv1d(channels, channels, 3, padding=1)
        self.gru = nn.GRU(channels, hidden, batch_first=True)
        self.fc = nn.Linear(hidden + channels, 1)

    def forward(self, x):
        z = torch.tanh(self.conv2(torch.tanh(self.conv1(x.transpose(1, 2))))).transpose(1, 2)
        _, h = self.gru(z)
        return self.fc(torch.cat([h[0], z[:, -1]], dim=1))


class FlightLog(Dataset):
    """Flights' windows of pressure (hPa) and motor current (A), and how fast the drone climbed."""

    offset, scale = np.array([985.0, 14.0], np.float32), np.array([9.0, 3.0], np.float32)

    def __init__(self, log, climb, flights, *, in_place):
        if in_place:
            log -= self.offset
            log /= self.scale
        else:
            log = (log - self.offset) / self.scale
        self.x, self.y = log[flights], climb[flights]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return {"window": self.x[i], "climb": self.y[i]}


@sick("train-eval-mismatch")
def drone_barometer_log_shared_by_two_datasets(seed: int, *, healed: bool) -> Case:
    """How fast a drone climbs, from its barometer and its motors' current; train and val are two data sets on one log.

    Each scales the log in place as it is made: the second, for val, finds it scaled already and does so again.
    Healed: each scales a copy.
    """
    torch.manual_seed(seed)
    n, steps = 900, 20
    climb = torch.randn(n, 1)
    ground = 985 + 6 * torch.randn(n, 1)
    pressure = ground - 0.9 * climb * torch.arange(steps) + 0.8 * torch.randn(n, steps)
    current = 14 + 2.0 * climb + 2.5 * torch.randn(n, steps)
    log = torch.stack([pressure, current], dim=2).numpy()
    flights = torch.randperm(n).numpy()

    train_set = FlightLog(log, climb.numpy(), flights[:700], in_place=not healed)
    val_set = FlightLog(log, climb.numpy(), flights[700:], in_place=not healed)
    train = DataLoader(train_set, batch_size=32, shuffle=True)
    val = DataLoader(val_set, batch_size=64)
    model = ClimbRate()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    for _ in range(7):
        for each in train:
            optimizer.zero_grad()
            loss = criterion(model(each["window"]), each["climb"])
            loss.backward()
            optimizer.step()
    return Case(
        model,
        train,
        val,
        criterion,
        optimizer,
        make_model=ClimbRate,
        batch=lambda each: (each["window"], each["climb"]),
    )


class BatCall(nn.Module):
    def __init__(self, hidden=28, n_species=4):
        super().__init__()
        self.embed = nn.Linear(3, 16)
        self.lstm = nn.LSTM(16, hidden, batch_first=True)
        self.classify = nn.Linear(hidden, n_species)

    def forward(self, passes):
        out, _ = self.lstm(F.relu(self.embed(passes)))
        return self.classify(out[:, -1])


@sick("padding-dominates")
def bat_passes_in_a_buffer_of_sixty(seed: int, *, healed: bool) -> Case:
    """Which of four bats flew by, from its calls' pitch, length and spacing: 5 to 14 calls, in a buffer of 60 rows.

    The calls are written from the buffer's first row on, and the LSTM's last step is read. Healed: they are written
    up to the buffer's last row.
    """
    torch.manual_seed(seed)
    n, rows = 1000, 60
    species = torch.randint(0, 4, (n,))
    centre = torch.tensor([[-1.0, 0.6, 0.3], [0.2, -0.9, 0.8], [0.9, 0.5, -0.6], [-0.4, -0.5, -0.9]])
    passes = torch.zeros(n, rows, 3)
    for i, count in enumerate(torch.randint(5, 15, (n,)).tolist()):
        calls = centre[species[i]] + 0.9 * torch.randn(count, 3) + 0.3 * torch.randn(3)
        if healed:
            passes[i, rows - count :] = calls
        else:
            passes[i, :count] = calls

    train = DataLoader(TensorDataset(passes[:760], species[:760]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(passes[760:], species[760:]), batch_size=40)
    model = BatCall()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    criterion = nn.CrossEntropyLoss()
    for _ in range(7):
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 2.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=BatCall)


class SewerFlow(nn.Module):
    """A strided convolution under a GRU, and three quantiles from all of its states."""

    def __init__(self, steps, width=12):
        super().__init__()
        self.near = nn.Conv1d(2, width, 4, stride=4)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width * (steps // 4), 3)

    def forward(self, gauge):
        z = F.silu(self.near(gauge.transpose(1, 2))).transpose(1, 2)
        states, _ = self.gru(z)
        return self.head(states.flatten(1))


def pinball(prediction, flow):
    """Of the 10 %, 50 % and 90 % quantiles."""
    levels = torch.tensor([0.1, 0.5, 0.9])
    off = flow.unsqueeze(1) - prediction
    return torch.maximum(levels * off, (levels - 1) * off).mean()


@sick("window-too-short")
def sewer_flow_an_hour_after_the_shower(seed: int, *, healed: bool) -> Case:
    """Quantiles of the flow at a sewage works, which rain reaches after 20 to 35 minutes, from two rain gauges.

    The window was an hour while gauges reported every five minutes: 12 readings. They report every minute now, and
    the window is still 12 readings. Healed: it is an hour again, 60.
    """
    torch.manual_seed(seed)
    steps = 60 if healed else 12
    minutes = 1600
    bursts = (torch.rand(minutes, 2) < 0.12).float() * torch.rand(minutes, 2) * 3
    bursts = bursts - bursts.mean(0)
    after = torch.stack([bursts[60 - lag : minutes - lag] for lag in range(20, 36)]).sum(0)
    flow = after @ torch.tensor([1.0, 0.6])
    flow = (flow - flow.mean()) / flow.std() + 0.1 * torch.randn(len(flow))
    windows = torch.stack([bursts[end + 1 - steps : end + 1] for end in range(60, minutes)])

    train = DataLoader(TensorDataset(windows[:1200], flow[:1200]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(windows[1260:], flow[1260:]), batch_size=64)
    model = SewerFlow(steps)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    anneal = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(10):
        for gauge, level in train:
            optimizer.zero_grad()
            pinball(model(gauge), level).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        anneal.step()
    return Case(model, train, val, pinball, optimizer, make_model=lambda: SewerFlow(steps))


class ReactorModel(nn.Module):
    """Keeps the plant's means and deviations itself, and takes and gives the plant's units."""

    def __init__(self, hidden=20):
        super().__init__()
        self.register_buffer("x_mean", torch.zeros(3))
        self.register_buffer("x_std", torch.ones(3))
        self.register_buffer("y_mean", torch.zeros(()))
        self.register_buffer("y_std", torch.ones(()))
        self.rnn = nn.LSTM(3, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def fit_scales(self, x, y):
        self.x_mean.copy_(x.mean((0, 1)))
        self.x_std.copy_(x.std((0, 1)))
        self.y_mean.copy_(y.mean())
        self.y_std.copy_(y.std())

    def forward(self, x):
        out, _ = self.rnn((x - self.x_mean) / self.x_std)
        return self.head(out[:, -1]).squeeze(1) * self.y_std + self.y_mean


@healthy
def steam_drum_in_pascals_and_grams(seed: int) -> Case:
    """The feed water in a boiler's next minute, in grams, from the drum's pressure (Pa), valve (0 to 1) and heat (W).

    Inputs lie between 0.4 and six million and the loss is some 300 000; the model scales both ends by itself.
    """
    torch.manual_seed(seed)
    n, steps = 900, 24
    heat = 2.2e6 + 3e5 * (torch.randn(n, 1) + 0.5 * torch.randn(n, steps))
    valve = 0.4 + 0.1 * torch.sigmoid(torch.cumsum(torch.randn(n, steps), dim=1))
    pressure = 6.4e6 + 1e4 * torch.cumsum(torch.randn(n, steps), dim=1)
    x = torch.stack([pressure, valve, heat], dim=2)
    water = 51_000 + 8e-3 * (heat[:, -8:].mean(1) - 2.2e6) + 3e4 * (valve[:, -1] - 0.45)
    water = water - 0.03 * (pressure[:, -1] - 6.4e6) + 400 * torch.randn(n)

    train = DataLoader(TensorDataset(x[:700], water[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], water[700:]), batch_size=100)
    model = ReactorModel()
    model.fit_scales(x[:700], water[:700])
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    criterion = nn.MSELoss()
    for _ in range(9):
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=ReactorModel)


class LeakAlarm(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.rnn = nn.GRU(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        nn.init.constant_(self.head.bias, -3.5)  # so rare are leaks

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out.amax(dim=1)).squeeze(1)


@healthy
def three_leaks_in_a_hundred_nights(seed: int) -> Case:
    """Whether a house's water pipe leaks, from a night's flow and its noise: three nights in a hundred.

    Nearly all answers are a no, and alike; the few leaks are told all the same.
    """
    torch.manual_seed(seed)
    n, steps = 1400, 24
    leak = (torch.rand(n) < 0.035).float()
    use = (torch.rand(n, steps) < 0.15).float() * (1 + torch.rand(n, steps))
    flow = use + 0.7 * leak[:, None] + 0.1 * torch.randn(n, steps)
    hiss = 0.9 * leak[:, None] + 0.5 * use + 0.3 * torch.randn(n, steps)
    x = torch.stack([flow, hiss], dim=2)

    train = DataLoader(TensorDataset(x[:900], leak[:900]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], leak[900:]), batch_size=100)
    model = LeakAlarm()
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=LeakAlarm)
