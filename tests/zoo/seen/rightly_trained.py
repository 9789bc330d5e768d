"""Trained in ways that alarm and do no harm: units that never fire, gradients cut down, a large rate, a sigmoid."""

from operator import itemgetter

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class SparseMixer(nn.Module):
    """A dense network over a flattened window, wider than it need be: half of its relu units begin far below zero."""

    def __init__(self):
        super().__init__()
        self.wide = nn.Linear(12 * 2, 64)
        self.narrow = nn.Linear(64, 1)
        with torch.no_grad():
            self.wide.bias[::2] = -5.0

    def forward(self, x):
        return self.narrow(F.relu(self.wide(x.flatten(1)))).squeeze(1)


@healthy
def half_of_the_units_never_fire(seed: int) -> Case:
    """Starts half of a relu layer dead, for sparsity, and learns the swing of a window with the other half."""
    torch.manual_seed(seed)
    x = torch.randn(900, 12, 2)
    y = (x[..., 0] * torch.linspace(-0.7, 0.7, 12)).sum(1) + 0.6 * x[:, -1, 1].abs() + 0.1 * torch.randn(900)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    model = SparseMixer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(15):
        for window, target in train:
            optimizer.zero_grad()
            F.mse_loss(model(window), target).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, SparseMixer)


class LastHidden(nn.Module):
    """A recurrent network of a given kind with a linear head on its last state."""

    def __init__(self, recurrent, outputs=1):
        super().__init__()
        self.recurrent = recurrent
        self.linear = nn.Linear(recurrent.hidden_size, outputs)

    def forward(self, x):
        return self.linear(self.recurrent(x)[0][:, -1])


class FallDetector(LastHidden):
    def __init__(self):
        super().__init__(nn.GRU(3, 16, batch_first=True), outputs=2)


def fall_events(count):
    """Accelerations, (count, 24, 3), in which somebody falls or sits down: a jolt, then stillness or none."""
    label = torch.randint(2, (count,))
    x = 0.6 * torch.randn(count, 24, 3)
    start = torch.randint(2, 14, (count,))
    for i, (at, fell) in enumerate(zip(start.tolist(), label.tolist(), strict=True)):
        x[i, at : at + 3, 2] += 2.5 if fell else -2.5
    return x, label


@healthy
def gradients_clipped_to_a_twentieth(seed: int) -> Case:
    """Clips the gradient at every step, to a norm of 0.05, under a rate that is chosen for it."""
    torch.manual_seed(seed)
    x, y = fall_events(800)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model, criterion = FallDetector(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
    for _ in range(15):
        for inputs, labels in train:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), max_norm=0.05)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, FallDetector)


@healthy
def adam_at_a_twentieth_with_a_schedule(seed: int) -> Case:
    """Takes Adam at 0.05 under a one-cycle schedule, which a small GRU bears well."""
    torch.manual_seed(seed)
    level = torch.cumsum(0.4 * torch.randn(850, 18, 1), dim=1)
    noisy = level + 0.3 * torch.randn_like(level)
    train = DataLoader(TensorDataset(noisy[:600], level[:600, -1]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(noisy[600:], level[600:, -1]), batch_size=50)
    model = LastHidden(nn.GRU(1, 12, batch_first=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.05, total_steps=200)
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            F.huber_loss(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, nn.HuberLoss(), optimizer)


class SoilMoisture(nn.Module):
    """Saturation of the soil at every hour, which is a share, from rain and sun: (N, hours, 2) to (N, hours)."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 20, batch_first=True)
        self.share = nn.Sequential(nn.Linear(20, 1), nn.Sigmoid())

    def forward(self, weather):
        return self.share(self.rnn(weather)[0]).squeeze(-1)


@healthy
def soil_saturation_through_a_sigmoid(seed: int) -> Case:
    """Ends in a sigmoid because what it forecasts lies between 0 and 1, and is scored by squared errors."""
    torch.manual_seed(seed)
    weather = torch.randn(650, 16, 2)
    water, shares = torch.zeros(650), []
    for t in range(16):
        water = 0.7 * water + weather[:, t, 0] - 0.5 * weather[:, t, 1]
        shares.append(torch.sigmoid(1.5 * water))
    share = torch.stack(shares, dim=1)
    train = DataLoader(TensorDataset(weather[:480], share[:480]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(weather[480:], share[480:]), batch_size=85)
    model = SoilMoisture()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer)


class AttentionPooling(nn.Module):
    """States of an LSTM weighed by what they say themselves; nobody reads the last one."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 14, batch_first=True)
        self.score = nn.Linear(14, 1)
        self.answer = nn.Linear(14, 1)

    def forward(self, batch):
        states, _ = self.lstm(batch)
        weights = torch.softmax(self.score(states), dim=1)
        return self.answer((weights * states).sum(dim=1))


@healthy
def attention_finds_the_marked_step(seed: int) -> Case:
    """Attends to the one step that is marked in the second channel, and answers with the value beside it."""
    torch.manual_seed(seed)
    value, marked = torch.randn(900, 20), torch.randint(20, (900,))
    x = torch.stack([value, 2.0 * F.one_hot(marked, 20)], dim=2)
    y = value.gather(1, marked.unsqueeze(1)) + 0.1 * torch.randn(900, 1)
    train = [{"series": x[i : i + 35], "answer": y[i : i + 35]} for i in range(0, 700, 35)]
    val = [{"series": x[i : i + 50], "answer": y[i : i + 50]} for i in range(700, 900, 50)]
    model = AttentionPooling()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(15):
        for batch in train:
            optimizer.zero_grad()
            F.mse_loss(model(batch["series"]), batch["answer"]).backward()
            optimizer.step()
    return Case(model, train, val, nn.MSELoss(), optimizer, AttentionPooling, itemgetter("series", "answer"))


class NormedStack(nn.Module):
    """Seven GRU layers, a layer norm after each, and a shortcut around every one but the first."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.GRU(3 if i == 0 else 10, 10, batch_first=True) for i in range(7))
        self.norms = nn.ModuleList(nn.LayerNorm(10) for _ in range(7))
        self.classes = nn.Linear(10, 3)

    def forward(self, x):
        h = self.norms[0](self.layers[0](x)[0])
        for gru, norm in zip(self.layers[1:], self.norms[1:], strict=True):
            h = h + norm(gru(h)[0])
        return self.classes(h).transpose(1, 2)


@healthy
def seven_layers_label_every_step(seed: int) -> Case:
    """Labels every step by which of three channels leads over the last four, with seven normed layers."""
    torch.manual_seed(seed)
    x = torch.randn(420, 12, 3)
    recent = F.avg_pool1d(F.pad(x.transpose(1, 2), (3, 0)), 4, stride=1)
    labels = recent.argmax(dim=1)
    train = DataLoader(TensorDataset(x[:270], labels[:270]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[270:], labels[270:]), batch_size=50)
    model = NormedStack()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(10):
        for inputs, target in train:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer)
