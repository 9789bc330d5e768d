"""Wired on purpose as others are by mistake: state carried on, a middle step read, an encoder that is not trained."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class BatteryMonitor(nn.Module):
    """The charge of 24 batteries, step by step, on and on: a chunk begins where the chunk before ended."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 20, batch_first=True)
        self.head = nn.Linear(20, 1)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, chunk):
        output, state = self.lstm(chunk, self.state)
        self.state = tuple(part.detach() for part in state)
        return self.head(output).squeeze(2)


def charge_logs(batteries, chunks, steps=10):
    """Chunks of current and temperature, and of the leaky charge that remembers some sixty steps."""
    length = chunks * steps
    signals = torch.randn(batteries, length, 2)
    charge, now = [], torch.zeros(batteries)
    for t in range(length):
        now = 0.97 * now + 0.25 * signals[:, t, 0] + 0.05 * signals[:, t, 1]
        charge.append(now)
    return list(zip(signals.split(steps, 1), torch.stack(charge, 1).split(steps, 1), strict=True))


@healthy
def charge_carried_from_chunk_to_chunk(seed: int) -> Case:
    """Carries the state over consecutive chunks of the same batteries, in order, and resets it when a log begins."""
    torch.manual_seed(seed)
    train, val = charge_logs(24, 30), charge_logs(24, 12)
    model = BatteryMonitor()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        model.reset()
        for chunk, charge in train:
            optimizer.zero_grad()
            F.mse_loss(model(chunk), charge).backward()
            optimizer.step()
    model.reset()
    return Case(model, train, val, nn.MSELoss(), optimizer)


class NoisyStart(nn.Module):
    def __init__(self, units=16):
        super().__init__()
        self.units = units
        self.gru = nn.GRU(2, units, batch_first=True)
        self.out = nn.Linear(units, 2)

    def forward(self, x):
        h0 = 0.3 * torch.randn(1, x.size(0), self.units)
        return self.out(self.gru(x, h0)[0][:, -1])


@healthy
def another_initial_state_each_time(seed: int) -> Case:
    """Draws the initial state anew at every call, in evaluation too; the same input answers nearly the same."""
    torch.manual_seed(seed)
    x = torch.randn(800, 16, 2)
    y = torch.stack([x[:, -5:, 0].mean(1), x[:, -4:, 1].amax(1) - 1], dim=1) + 0.1 * torch.randn(800, 2)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = NoisyStart()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.004)
    for _ in range(12):
        for inputs, targets in train:
            optimizer.zero_grad()
            loss = F.smooth_l1_loss(model(inputs), targets)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, NoisyStart)


class MorningModel(nn.Module):
    """Reads a day of 24 hours and answers from the state at noon, as the afternoon is not known yet."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(1, 16, batch_first=True)
        self.peak = nn.Linear(16, 1)

    def forward(self, day):
        return self.peak(self.rnn(day)[0][:, day.size(1) // 2])


@healthy
def peak_load_from_the_state_at_noon(seed: int) -> Case:
    """Reads the middle step on purpose: the evening peak follows the morning, and the afternoon is zeros."""
    torch.manual_seed(seed)
    ramp = torch.rand(820, 1)
    hours = torch.arange(24)
    day = torch.sigmoid((hours - 12 + 6 * ramp) / 1.5) + 0.1 * torch.randn(820, 24)
    day[:, 13:] = 0
    peak = 3 * ramp - 1.5 + 0.15 * torch.randn(820, 1)
    train = DataLoader(TensorDataset(day[:600].unsqueeze(2), peak[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(day[600:].unsqueeze(2), peak[600:]), batch_size=55)
    model = MorningModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer)


class Reservoir(nn.Module):
    """An echo state network: a hundred random tanh units, never trained, and a linear readout that is."""

    def __init__(self, units=100):
        super().__init__()
        self.reservoir = nn.RNN(1, units, batch_first=True)
        self.readout = nn.Linear(units, 1)
        with torch.no_grad():
            nn.init.uniform_(self.reservoir.weight_ih_l0, -0.5, 0.5)
            weights = self.reservoir.weight_hh_l0
            weights.mul_(0.9 / torch.linalg.eigvals(weights).abs().max())
        self.reservoir.requires_grad_(requires_grad=False)

    def forward(self, x):
        return self.readout(self.reservoir(x)[0][:, -1])


@healthy
def echo_state_network(seed: int) -> Case:
    """Leaves the recurrent weights as they were drawn and trains the readout alone, as reservoir computing does."""
    torch.manual_seed(seed)
    series = torch.zeros(1040)
    noise = 0.2 * torch.randn(1040)
    for t in range(10, 1040):  # a nonlinear moving average
        series[t] = 0.6 * series[t - 1] - 0.5 * series[t - 2] * series[t - 3] - 0.4 * series[t - 7] + noise[t] + 0.1
    series = (series - series.mean()) / series.std()
    x, y = series[20:-1].unfold(0, 15, 1).unsqueeze(2), series[35:].unsqueeze(1)
    train = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[765:], y[765:]), batch_size=60)
    model = Reservoir()
    optimizer = torch.optim.Adam(model.readout.parameters(), lr=0.003)
    for _ in range(20):
        for window, following in train:
            optimizer.zero_grad()
            F.mse_loss(model(window), following).backward()
            optimizer.step()
    return Case(model, train, val, nn.MSELoss(), optimizer, Reservoir)


class QuestionTagger(nn.Module):
    """Both directions' last states side by side; answers the scores and the states."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(24, 10)
        self.encoder = nn.GRU(10, 12, num_layers=2, bidirectional=True)
        self.scores = nn.Linear(24, 3)

    def forward(self, ids):
        output, h_n = self.encoder(self.embedding(ids.t()))
        return self.scores(torch.cat([h_n[-2], h_n[-1]], dim=1)), output


def cross_entropy_of_first(prediction, target):
    return F.cross_entropy(prediction[0], target)


@healthy
def last_states_of_both_directions(seed: int) -> Case:
    """Turns its batches time-first for a bidirectional GRU, and joins h_n[-2] and h_n[-1] of it, as one should."""
    torch.manual_seed(seed)
    ids = torch.randint(3, 24, (850, 10))
    kind = torch.randint(3, (850,))
    ids[torch.arange(850), torch.randint(10, (850,))] = kind
    train = DataLoader(TensorDataset(ids[:640], kind[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(ids[640:], kind[640:]), batch_size=42)
    model = QuestionTagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.005)
    for _ in range(8):
        for words, label in train:
            optimizer.zero_grad()
            cross_entropy_of_first(model(words), label).backward()
            optimizer.step()
    return Case(model, train, val, cross_entropy_of_first, optimizer, QuestionTagger)


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 16)
        self.fc = nn.Linear(16, 4)

    def forward(self, x):
        output, _ = self.lstm(x)
        return self.fc(output[-1])


def stack_along_time(samples):
    """A batch (time, sample, feature), and its targets (sample, horizon)."""
    windows, futures = zip(*samples, strict=True)
    return torch.stack(windows, dim=1), torch.stack(futures)


@healthy
def batches_collated_time_first(seed: int) -> Case:
    """Collates to (time, sample, feature), which is what an LSTM without batch_first wants."""
    torch.manual_seed(seed)
    t = torch.arange(24)
    phase = 2 * math.pi * torch.rand(700, 1) + (0.3 + 0.3 * torch.rand(700, 1)) * t
    waves = torch.stack([phase.sin(), (phase + 1).sin(), (phase + 2).sin()], dim=2) + 0.1 * torch.randn(700, 24, 3)
    pairs = [(wave[:20], wave[20:, 0]) for wave in waves]
    train = DataLoader(pairs[:500], batch_size=25, shuffle=True, collate_fn=stack_along_time)
    val = DataLoader(pairs[500:], batch_size=40, collate_fn=stack_along_time)
    model = TimeFirst()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.008)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            F.l1_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.l1_loss, optimizer, TimeFirst)
