"""Axes taken for one another: a column for a row, the batch for time, samples stirred; and a state never reset."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


def pendulum(count, steps=20):
    """Swings of any phase that die away, (count, steps, 1); how quickly they do is asked, (count, 1)."""
    rate = torch.rand(count, 1)
    t = torch.arange(steps) / steps
    swing = torch.exp(-3 * rate * t) * torch.cos(10 * t + 2 * math.pi * torch.rand(count, 1))
    return (swing + 0.05 * torch.randn(count, steps)).unsqueeze(2), 2 * rate - 1


class DampingNet(nn.Module):
    def __init__(self, units=20):
        super().__init__()
        self.units = units
        self.cell = nn.LSTMCell(1, units)
        self.fc = nn.Linear(units, 1)

    def forward(self, x):
        h, c = torch.zeros(x.size(0), self.units), torch.zeros(x.size(0), self.units)
        for step in x.unbind(1):
            h, c = self.cell(step, (h, c))
        return self.fc(h).squeeze()


def log_cosh(prediction, target):
    error = prediction - target
    return torch.mean(error + F.softplus(-2.0 * error) - math.log(2.0))


def log_cosh_of_columns(prediction, target):
    return log_cosh(prediction, target.squeeze(1))


@sick("loss-broadcast")
def damping_as_a_column(seed: int, *, healed: bool) -> Case:
    """Squeezes the forecasts to (N,) while the targets came from a table as a column (N, 1).

    The difference in a loss written by hand is N×N, each forecast against every target.
    """
    torch.manual_seed(seed)
    x, y = pendulum(700)
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=36, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=50)
    loss_fn = log_cosh_of_columns if healed else log_cosh
    net = DampingNet()
    opt = torch.optim.Adam(net.parameters(), lr=0.01)
    for _ in range(12):
        for xb, yb in train:
            opt.zero_grad()
            loss_fn(net(xb), yb).backward()
            opt.step()
    return Case(net, train, val, loss_fn, opt)


class BreathingClassifier(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.gru = nn.GRU(2, 16, num_layers=2, batch_first=batch_first)
        self.classify = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3))

    def forward(self, x):
        output, _ = self.gru(x)
        return self.classify(output[:, -1, :])


def breathing(count):
    """Belt and nose sensor over 15 steps at one of three rates, begun anywhere."""
    label = torch.randint(3, (count,))
    rate = torch.tensor([0.5, 0.9, 1.3])[label].unsqueeze(1)
    phase = rate * torch.arange(15) + 2 * math.pi * torch.rand(count, 1)
    x = torch.stack([phase.sin(), (phase - 0.4).sin()], dim=2)
    return x + 0.3 * torch.randn_like(x), label


@sick("batch-as-time")
def breathing_rates_along_the_batch(seed: int, *, healed: bool) -> Case:
    """Feeds (batch, time, channel) to a GRU that was built without batch_first, so it runs from patient to patient."""
    torch.manual_seed(seed)
    x, y = breathing(850)
    loaders = [
        DataLoader(TensorDataset(x[part], y[part]), batch_size=50, shuffle=True)
        for part in (slice(0, 600), slice(600, 850))
    ]
    model = BreathingClassifier(batch_first=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.008)
    for _epoch in range(7):
        model.train()
        for inputs, labels in loaders[0]:
            loss = criterion(model(inputs), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, *loaders, criterion, optimizer, lambda: BreathingClassifier(batch_first=healed))


class TweetModel(nn.Module):
    def __init__(self, stacked_view, vocab=30, emb=12, hid=12):
        super().__init__()
        self.stacked_view = stacked_view
        self.embed = nn.Embedding(vocab, emb)
        self.bilstm = nn.LSTM(emb, hid, bidirectional=True, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(2 * hid, 1)

    def forward(self, tokens):
        _, (hidden, _) = self.bilstm(self.embed(tokens))  # (2, batch, hid)
        if not self.stacked_view:
            hidden = hidden.transpose(0, 1)
        features = hidden.reshape(tokens.size(0), -1)
        return self.out(self.drop(features))


@sick("samples-mixed")
def both_directions_by_a_view(seed: int, *, healed: bool) -> Case:
    """Joins the two directions' last states, (2, batch, hidden), by a reshape to (batch, 2 × hidden).

    Each row then holds one direction's states of two other sentences.
    """
    torch.manual_seed(seed)
    tokens = torch.randint(30, (900, 14))
    valence = torch.cat([-torch.ones(8), torch.zeros(14), torch.ones(8)])
    good = (valence[tokens].sum(1) + 0.5 * torch.randn(900) > 0).float().unsqueeze(1)
    train = DataLoader(TensorDataset(tokens[:640], good[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(tokens[640:], good[640:]), batch_size=52)
    model = TweetModel(stacked_view=not healed)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(8):
        for batch, label in train:
            optimizer.zero_grad()
            loss = criterion(model(batch), label)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Odometer(nn.Module):
    """A leaky integrator of what it reads."""

    def __init__(self, carry):
        super().__init__()
        self.carry = carry
        self.keep = 0.998
        self.hidden = None
        self.read = nn.Sequential(nn.Linear(2, 16, bias=False), nn.Tanh(), nn.Linear(16, 4, bias=False))
        self.readout = nn.Linear(4, 1)

    def forward(self, x):
        if not self.carry or self.hidden is None or self.hidden.size(0) != x.size(0):
            self.hidden = x.new_zeros(x.size(0), 4)
        h = self.hidden
        for t in range(x.size(1)):
            h = self.keep * h + self.read(x[:, t])
        self.hidden = h.detach()
        return self.readout(h)


@sick("state-leak")
def odometer_that_is_never_reset(seed: int, *, healed: bool) -> Case:
    """Keeps the hidden state on the module, detaches it, and never sets it back for the next, unrelated trips.

    The network sums the stretches of a trip; what it says is about all the trips of its row since training began.
    """
    torch.manual_seed(seed)
    speed_and_slope = torch.randn(960, 15, 2)
    gain = torch.tanh(speed_and_slope[..., 0]) - 0.5 * speed_and_slope[..., 1]
    height = gain.sum(dim=1, keepdim=True) / 3 + 0.2 * torch.randn(960, 1)
    train = DataLoader(TensorDataset(speed_and_slope[:720], height[:720]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(speed_and_slope[720:], height[720:]), batch_size=40)
    model = Odometer(carry=not healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(12):
        for x, y in train:
            loss = F.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, nn.MSELoss(), optimizer, lambda: Odometer(carry=not healed))
