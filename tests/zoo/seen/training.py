"""Programs whose training goes wrong: steps too large or too small, weights pulled to zero, or lost afterwards."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class EchoModel(nn.Module):
    def __init__(self, hidden_size=32):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden_size, batch_first=True)
        self.fc1 = nn.Linear(hidden_size, 16)
        self.fc2 = nn.Linear(16, 1)

    def forward(self, x):
        _, (hidden, _) = self.lstm(x)
        return self.fc2(torch.tanh(self.fc1(hidden[-1])))


def sonar(count):
    """Two channels of an echo of 20 steps, and the distance, which is how much the one lags behind the other."""
    phase, lag = 6.2832 * torch.rand(count, 1), torch.randn(count, 1)
    time = torch.arange(20) / 3
    channels = torch.stack([torch.sin(time + phase), torch.sin(time + phase - 0.5 * lag)], dim=2)
    return channels + 0.1 * torch.randn(count, 20, 2), lag


@sick("learning-rate-too-high")
def sonar_with_a_learning_rate_of_one(seed: int, *, healed: bool) -> Case:
    """Carries a learning rate of 1 over from an example with plain gradient descent to Adam."""
    torch.manual_seed(seed)
    x, y = sonar(1200)
    train_loader = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=60, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=60)
    model = EchoModel()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 if healed else 1.0)
    for _ in range(9):
        model.train()
        for inputs, target in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(inputs), target)
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer, EchoModel)


class Tagger(nn.Module):
    """A label for every step, from a GRU that reads both ways."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 12, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(24, 3)

    def forward(self, x):
        return self.scores(self.gru(x)[0])


def activity(count):
    """Accelerations in three axes, and what a person does at each step: rest, walk or climb, for a while each."""
    change = torch.rand(count, 24) < 0.15
    fresh = torch.randint(0, 3, (count, 24))
    label = fresh.clone()
    for step in range(1, 24):
        label[:, step] = torch.where(change[:, step], fresh[:, step], label[:, step - 1])
    return F.one_hot(label, 3).float() * 1.2 + 0.8 * torch.randn(count, 24, 3), label


def per_step_cross_entropy(scores, labels):
    return F.cross_entropy(scores.reshape(-1, 3), labels.reshape(-1))


@sick("undertrained")
def activity_tagger_at_a_fine_tuning_rate(seed: int, *, healed: bool) -> Case:
    """Copies a fine-tuning recipe, three epochs at 2e-5, for a tagger that starts from nothing.

    The mended program keeps the three epochs and takes steps of a usual size.
    """
    torch.manual_seed(seed)
    x, y = activity(1300)
    train_set = TensorDataset(x[:1000], y[:1000])
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = Tagger()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2 if healed else 2e-5)
    for _ in range(3):
        for inputs, labels in train_loader:
            loss = per_step_cross_entropy(model(inputs), labels)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, per_step_cross_entropy, optimizer, Tagger)


class BreathNet(nn.Module):
    """Convolution, recurrence, attention over the states, one logit."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(1, 8, 5, stride=2, padding=2), nn.ReLU())
        self.gru = nn.GRU(8, 12, batch_first=True)
        self.attention = nn.Linear(12, 1)
        self.logit = nn.Linear(12, 1)

    def forward(self, x):
        states, _ = self.gru(self.conv(x.unsqueeze(1)).transpose(1, 2))
        weights = self.attention(states).softmax(dim=1)
        return self.logit((weights * states).sum(1)).squeeze(-1)


def breaths(count):
    """Airflow over 36 steps; in half of the recordings a breath is missing."""
    apnoea = (torch.rand(count) < 0.5).float()
    time = torch.arange(36)
    flow = torch.sin(time * 0.9 + 6.2832 * torch.rand(count, 1)) * 1.4
    start = torch.randint(4, 22, (count, 1))
    pause = (time >= start) & (time < start + 10) & (apnoea[:, None] > 0)
    return flow * (~pause).float() + 0.2 * torch.randn(count, 36), apnoea


@sick("over-regularised")
def apnoea_under_heavy_weight_decay(seed: int, *, healed: bool) -> Case:
    """Sets the weight decay of Adam to 0.1, where it is added to the gradient, and the weights shrink to nothing."""
    torch.manual_seed(seed)
    x, y = breaths(1300)
    train_loader = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = BreathNet()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01, weight_decay=1e-5 if healed else 0.1)
    for _ in range(6):
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer, BreathNet)


class WindFarm(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.LSTM(3, 20, num_layers=2, batch_first=True)
        self.forecast = nn.Linear(20, 4)

    def forward(self, x):
        return self.forecast(self.layers(x)[0][:, -1])


def wind(length):
    """Three mixtures of slow waves, as turbines along a valley see them."""
    steps = torch.arange(length)[:, None]
    waves = torch.sin(steps / torch.tensor([4.0, 7.0, 13.0]) + 6.2832 * torch.rand(3))
    return waves @ torch.randn(3, 3) / 1.2 + 0.1 * torch.randn(length, 3)


def train_parallel(network, loader):
    """Trains inside a wrapper, as DataParallel does, which puts `module.` before every name it saves."""
    wrapped = nn.ModuleDict({"module": network})
    optimizer = torch.optim.Adam(wrapped.parameters(), lr=0.01)
    for _ in range(9):
        for past, future in loader:
            optimizer.zero_grad()
            F.mse_loss(wrapped["module"](past), future).backward()
            optimizer.step()
    return {"model": copy.deepcopy(wrapped.state_dict()), "optimizer": copy.deepcopy(optimizer.state_dict())}


@sick("weights-not-loaded")
def checkpoint_of_a_parallel_run_not_strict(seed: int, *, healed: bool) -> Case:
    """Loads a checkpoint whose names all begin with `module.`, with strict=False, so that nothing is loaded.

    The optimizer's state does arrive, and the network that answers has never been trained.
    """
    torch.manual_seed(seed)
    farm = wind(1250)
    past = torch.stack([farm[i : i + 16] for i in range(1220)])
    future = torch.stack([farm[i + 16 : i + 20, 0] for i in range(1220)])
    train_loader = DataLoader(TensorDataset(past[:900], future[:900]), batch_size=75, shuffle=True)
    val_loader = DataLoader(TensorDataset(past[940:], future[940:]), batch_size=75)
    checkpoint = train_parallel(WindFarm(), train_loader)
    model = WindFarm()
    names = {name.removeprefix("module.") if healed else name: w for name, w in checkpoint["model"].items()}
    model.load_state_dict(names, strict=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    optimizer.load_state_dict(checkpoint["optimizer"])
    return Case(model, train_loader, val_loader, F.mse_loss, optimizer, WindFarm)
