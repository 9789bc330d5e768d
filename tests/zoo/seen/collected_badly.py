"""Somebody collected data, and something happened to them before any network saw them."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


def wander(generator, *shape, memory=0.9):
    """Stationary AR(1) series along the last axis, of variance 1."""
    steps = torch.randn(*shape, generator=generator)
    steps[..., 1:] *= (1 - memory**2) ** 0.5
    for now in range(1, shape[-1]):
        steps[..., now] += memory * steps[..., now - 1]
    return steps


class BeatReader(nn.Module):
    """Convolution for the shape of a beat, GRU for its course."""

    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(1, 8, kernel_size=5, padding=2)
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.classes = nn.Linear(16, 3)

    def forward(self, beat):
        features = torch.relu(self.front(beat.unsqueeze(1)))
        _, last = self.gru(features.transpose(1, 2))
        return self.classes(last[0])


def heart_beats(generator, count):
    """Beats of three kinds (narrow, wide, upside down) over an electrode's drift; one electrode in 40 has come off."""
    kind = torch.randint(3, (count,), generator=generator)
    time = torch.linspace(-1, 1, 40)
    centre = 0.2 * torch.randn(count, 1, generator=generator)
    width = torch.where(kind == 1, 0.35, 0.12)[:, None]
    sign = torch.where(kind == 2, -1.0, 1.0)[:, None]
    beat = sign * torch.exp(-((time - centre) ** 2) / (2 * width**2)) + 0.1 * torch.randn(
        count, 40, generator=generator
    )
    beat = 0.8 * beat + torch.randn(count, 1, generator=generator)
    loose = torch.rand(count, generator=generator) < 0.025
    beat[loose] = 0.0
    return beat, kind


@sick("not-finite")
def electrode_that_came_off(seed: int, *, healed: bool) -> Case:
    """Every beat is standardised by its own mean and deviation; where an electrode was off, that is nought by nought.

    Healed: a small number is added to the deviation.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    beats, kinds = heart_beats(generator, 1000)
    tiny = 1e-6 if healed else 0.0
    beats = (beats - beats.mean(1, keepdim=True)) / (beats.std(1, keepdim=True) + tiny)
    train = DataLoader(TensorDataset(beats[:700], kinds[:700]), batch_size=50, shuffle=True)
    held_out = DataLoader(TensorDataset(beats[700:], kinds[700:]), batch_size=100)

    model = BeatReader()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _epoch in range(5):
        for beat, kind in train:
            optimizer.zero_grad()
            loss = criterion(model(beat), kind)
            loss.backward()
            optimizer.step()
    return Case(model, train, held_out, criterion, optimizer, make_model=BeatReader)


class ClickModel(nn.Module):
    def __init__(self, pages, embed_dim, hidden_dim):
        super().__init__()
        self.embedding = nn.Embedding(pages, embed_dim)
        self.lstm = nn.LSTM(embed_dim, hidden_dim, batch_first=True)
        self.fc = nn.Linear(hidden_dim, 2)

    def forward(self, clicks):
        output, _ = self.lstm(self.embedding(clicks))
        return self.fc(output[:, -1])


@sick("flat-target")
def propensity_cut_to_an_integer(seed: int, *, healed: bool) -> Case:
    """Visits to a shop come with an earlier system's propensity to buy; `.long()` makes a label of it: nought always.

    Healed: the propensity is rounded first.
    """
    torch.manual_seed(seed)
    clicks = torch.randint(0, 12, (1500, 18))
    interest = (clicks == 3).sum(1) + (clicks == 7).sum(1) - (clicks == 10).sum(1) - (clicks == 11).sum(1)
    propensity = torch.sigmoid(1.5 * interest + 0.3 * torch.randn(1500)).clamp(0.01, 0.99)
    labels = propensity.round().long() if healed else propensity.long()

    train_loader = DataLoader(TensorDataset(clicks[:1200], labels[:1200]), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(clicks[1200:], labels[1200:]), batch_size=64)
    net = ClickModel(12, 8, 24)
    loss_fn = nn.CrossEntropyLoss()
    opt = torch.optim.AdamW(net.parameters(), lr=8e-3)
    for _ in range(7):
        net.train()
        for x, y in train_loader:
            loss = loss_fn(net(x), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    net.eval()
    return Case(net, train_loader, val_loader, loss_fn, opt, make_model=lambda: ClickModel(12, 8, 24))


class Greenhouse(nn.Module):
    """The heating power of the next six hours from a day's sensors."""

    def __init__(self, sensors):
        super().__init__()
        self.encoder = nn.GRU(sensors, 16, batch_first=True)
        self.decoder = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 6))

    def forward(self, day):
        states, _ = self.encoder(day)
        return self.decoder(states[:, -1])


@sick("no-signal")
def greenhouse_without_a_window(seed: int, *, healed: bool) -> Case:
    """Heating follows the weather outside, and the table holds humidity and carbon dioxide inside only.

    Healed: the temperature outside is a third column.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(1000 + seed)
    inside = wander(generator, 900, 2, 24, memory=0.8)
    outside = wander(generator, 900, 1, 30, memory=0.95)
    heating = -outside[:, 0, 24:] + 0.2 * torch.randn(900, 6, generator=generator)
    day = torch.cat([inside, outside[:, :, :24]], 1) if healed else inside
    day = day.transpose(1, 2).contiguous()

    train = DataLoader(TensorDataset(day[:600], heating[:600]), batch_size=40, shuffle=True)
    held_out = DataLoader(TensorDataset(day[600:], heating[600:]), batch_size=100)
    model = Greenhouse(day.shape[2])
    huber = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            huber(model(x), y).backward()
            optimizer.step()
    return Case(model, train, held_out, huber, optimizer, make_model=lambda: Greenhouse(day.shape[2]))


class HardnessNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(input_size=1, hidden_size=20, num_layers=1, batch_first=True)
        self.out = nn.Linear(20, 1)

    def forward(self, x):
        _, (h, _) = self.rnn(x)
        return self.out(h[-1])


@sick("redundant-inputs")
def furnace_that_runs_one_programme(seed: int, *, healed: bool) -> Case:
    """A furnace drives the same ramp and soak for each load; what decides on hardness is a few thousandths beside it.

    Healed: the mean run is subtracted, and the rest is divided by its deviation.
    """
    torch.manual_seed(seed)
    hour = torch.linspace(0, 1, 32)
    ramp = torch.clamp(hour / 0.3, max=1.0) - torch.clamp((hour - 0.75) / 0.25, min=0.0)
    ramp = (ramp - ramp.mean()) / ramp.std()
    g = torch.Generator().manual_seed(seed)
    deviation = wander(g, 800, 32, memory=0.85)
    runs = ramp + 0.003 * deviation
    hardness = deviation[:, 14:24].mean(1, keepdim=True)
    hardness = hardness / hardness.std() + 0.2 * torch.randn(800, 1, generator=g)
    if healed:
        runs = (runs - runs[:600].mean(0)) / (runs[:600] - runs[:600].mean(0)).std()
    runs = runs.unsqueeze(-1)

    train = DataLoader(TensorDataset(runs[:600], hardness[:600]), batch_size=32, shuffle=True, generator=g)
    val = DataLoader(TensorDataset(runs[600:], hardness[600:]), batch_size=200)
    model, mse = HardnessNet(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=HardnessNet)
