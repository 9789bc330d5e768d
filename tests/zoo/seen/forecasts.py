"""Forecasts of single series, as tutorials have them."""

import math

import torch
from torch import nn

from zoo.program import Case, healthy, rightly_flat, sick
from zoo.training import fit, loaders, windows


class Forecast(nn.Module):
    """A recurrent layer and a linear head on its last state."""

    def __init__(self, kind=nn.GRU, hidden=16, horizon=1, layers=1, **options):
        super().__init__()
        self.rnn = kind(1, hidden, layers, batch_first=True, **options)
        self.fc = nn.Linear(hidden * (2 if options.get("bidirectional") else 1), horizon)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


def waves(steps, noise=0.1):
    """Two sines that drift against each other, in noise."""
    t = torch.arange(steps, dtype=torch.float32)
    phase = torch.rand(2) * 2 * math.pi
    return torch.sin(t / 4 + phase[0]) + 0.5 * torch.sin(t / 11 + phase[1]) + noise * torch.randn(steps)


@sick("unscaled-inputs")
def pressure_in_pascal(seed: int, *, healed: bool) -> Case:
    """Air pressure of 101,325 ± 40 Pa goes into an LSTM as it is; only the target was standardised."""
    torch.manual_seed(seed)
    raw = 101_325 + 40 * waves(900)
    x, y = windows(raw, 20)
    y = (y - y[:600].mean()) / y[:600].std()
    if healed:
        x = (x - x[:600].mean()) / x[:600].std()

    def make():
        return Forecast(nn.LSTM)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 10)
    return Case(model, train, val, loss, optimizer, make)


@sick("unscaled-targets")
def passengers_in_thousands(seed: int, *, healed: bool) -> Case:
    """Scaled inputs, but the target is still in heads: 48,000 ± 6,000, and Adam at 1e-3."""
    torch.manual_seed(seed)
    series = waves(900)
    x, y = windows(series, 24)
    if not healed:
        y = 48_000 + 6_000 * y

    def make():
        return Forecast(nn.GRU)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 12)
    return Case(model, train, val, loss, optimizer, make)


@sick("loss-broadcast")
def targets_without_an_axis(seed: int, *, healed: bool) -> Case:
    """Predictions (N, 1) and targets (N,) meet in an absolute loss."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 16)
    y = y if healed else y.squeeze(1)

    def loss(prediction, target):
        return (prediction - target).abs().mean()

    def make():
        return Forecast(nn.RNN)

    model = make()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 10)
    return Case(model, train, val, loss, optimizer, make)


@sick("learning-rate-too-high")
def adam_at_one(seed: int, *, healed: bool) -> Case:
    """Somebody read that larger steps are faster."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 20, 3)

    def make():
        return Forecast(nn.LSTM, horizon=3)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3 if healed else 3.0)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 8)
    return Case(model, train, val, loss, optimizer, make)


@sick("undertrained")
def sgd_at_a_crawl(seed: int, *, healed: bool) -> Case:
    """Plain SGD at 1e-4 for a few epochs."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 16)

    def make():
        return Forecast(nn.GRU)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3 if healed else 1e-4, momentum=0.9)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 8, clip=1.0)
    return Case(model, train, val, loss, optimizer, make)


@sick("over-regularised")
def weight_decay_of_one(seed: int, *, healed: bool) -> Case:
    """AdamW with weight_decay=20, copied from another project's learning rate."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 16)

    def make():
        return Forecast(nn.GRU)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-4 if healed else 20.0)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 10)
    return Case(model, train, val, loss, optimizer, make)


@sick("weights-not-loaded")
def another_instance_answers(seed: int, *, healed: bool) -> Case:
    """The trained weights were saved, and a fresh instance is asked."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 16)

    def make():
        return Forecast(nn.LSTM)

    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 8)
    return Case(model if healed else make(), train, val, loss, optimizer, make)


@healthy
def sensor_in_millivolts(seed: int) -> Case:
    """Targets with a standard deviation of 0.005, and it works."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 16)
    model, loss = Forecast(nn.GRU), nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    train, val = loaders(x, 0.005 * y)
    fit(model, train, loss, optimizer, 20)
    return Case(model, train, val, loss, optimizer, lambda: Forecast(nn.GRU))


@healthy
def mostly_noise(seed: int) -> Case:
    """A tenth of the variance can be known, and D is rightly small."""
    torch.manual_seed(seed)
    x = torch.randn(1400, 12, 1)
    y = 0.4 * x[:, -3:].mean(dim=1) * math.sqrt(3) + torch.randn(1400, 1)
    model, loss = Forecast(nn.GRU, hidden=8), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    train, val = loaders(x, y, train=1000)
    fit(model, train, loss, optimizer, 6)
    return Case(model, train, val, loss, optimizer, lambda: Forecast(nn.GRU, hidden=8))


@healthy
def relu_that_works(seed: int) -> Case:
    """A relu RNN with an identity start."""
    torch.manual_seed(seed)

    def make():
        model = Forecast(nn.RNN, hidden=16, nonlinearity="relu")
        nn.init.eye_(model.rnn.weight_hh_l0)
        return model

    x, y = windows(waves(900), 16)
    model, loss = make(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 10, clip=1.0)
    return Case(model, train, val, loss, optimizer, make)


@healthy
def four_bidirectional_layers(seed: int) -> Case:
    """Deep, and fine."""
    torch.manual_seed(seed)
    x, y = windows(waves(900), 12)

    def make():
        return Forecast(nn.LSTM, hidden=12, layers=3, bidirectional=True)

    model, loss = make(), nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    train, val = loaders(x, y)
    fit(model, train, loss, optimizer, 8)
    return Case(model, train, val, loss, optimizer, make)


@rightly_flat
def what_a_fair_coin_does_next(seed: int) -> Case:
    """What a fair coin does next."""
    torch.manual_seed(seed)
    x, y = windows(torch.randn(1300), 16)
    model, loss = Forecast(nn.GRU, hidden=8), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-2)
    train, val = loaders(x, y, train=1000)
    fit(model, train, loss, optimizer, 3)
    return Case(model, train, val, loss, optimizer, lambda: Forecast(nn.GRU, hidden=8))


@rightly_flat
def rain_mostly_none(seed: int) -> Case:
    """Absolute loss on a target that is zero nine times in ten: the median is zero."""
    torch.manual_seed(seed)
    x = torch.randn(1300, 12, 1)
    y = (torch.rand(1300, 1) < 0.1) * torch.rand(1300, 1) * 5
    model, loss = Forecast(nn.LSTM, hidden=8), nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    train, val = loaders(x, y, train=1000)
    fit(model, train, loss, optimizer, 4)
    return Case(model, train, val, loss, optimizer, lambda: Forecast(nn.LSTM, hidden=8))


@rightly_flat
def slow_noise_beside_slow_noise(seed: int) -> Case:
    """The target drifts by itself; the inputs drift too, and know nothing of it."""
    torch.manual_seed(seed)
    both = torch.randn(2, 1500)
    for at in range(1, 1500):
        both[:, at] += 0.9 * both[:, at - 1]
    x, _ = windows(both[0] / both[0].std(), 12)
    y = (both[1] / both[1].std())[12:].unsqueeze(1)
    model, loss = Forecast(nn.GRU, hidden=4), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=3e-2)
    train, val = loaders(x, y, train=1100)
    fit(model, train, loss, optimizer, 2)
    return Case(model, train, val, loss, optimizer, lambda: Forecast(nn.GRU, hidden=4))
