"""Healthy: dropout, shared weights, long windows and correlated columns, where they do no harm."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class NextNote(nn.Module):
    """Scores the next note at each step with the embedding's own weights."""

    def __init__(self, notes=12, width=24):
        super().__init__()
        self.embed = nn.Embedding(notes, width)
        self.gru = nn.GRU(width, width, batch_first=True)
        self.score = nn.Linear(width, notes)
        self.score.weight = self.embed.weight

    def forward(self, melody):
        return self.score(self.gru(self.embed(melody))[0]).transpose(1, 2)


@healthy
def melodies_with_tied_weights(seed: int) -> Case:
    """Each note follows from the two before it by a rule, with one mistake in ten; input and output share weights."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    melody = torch.randint(12, (900, 17), generator=generator)
    mistake = torch.rand(900, 17, generator=generator) < 0.1
    for now in range(2, 17):
        rule = (melody[:, now - 1] + 1 + 4 * (melody[:, now - 2] > 5)) % 12
        melody[:, now] = torch.where(mistake[:, now], melody[:, now], rule)
    train = DataLoader(TensorDataset(melody[:700, :-1], melody[:700, 1:]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(melody[700:, :-1], melody[700:, 1:]), batch_size=100)
    model = NextNote()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=NextNote)


class Dropping(nn.Module):
    def __init__(self, p=0.5):
        super().__init__()
        self.lstm = nn.LSTM(4, 32, batch_first=True)
        self.head = nn.Sequential(nn.Dropout(p), nn.Linear(32, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 1))

    def forward(self, x):
        return self.head(self.lstm(x)[0].mean(1))


@healthy
def half_of_it_dropped(seed: int) -> Case:
    """Half of the states are dropped in training and weights decay, and it learns well for all that."""
    torch.manual_seed(seed)
    dose = torch.randn(900, 1, 4)
    x = dose + torch.randn(900, 15, 4)
    y = torch.sin(1.2 * dose[:, 0, :1]) + 0.5 * dose[:, 0, 1:2] + 0.1 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(x[:650], y[:650]), batch_size=26, shuffle=True)
    val = DataLoader(TensorDataset(x[650:], y[650:]), batch_size=125)
    model = Dropping()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    for _ in range(10):
        model.train()
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Dropping)


class Valve(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 12, batch_first=True)
        self.open = nn.Linear(12, 1)

    def forward(self, x):
        return self.open(self.lstm(x)[0][:, -1])[:, 0]


@healthy
def only_the_last_minutes_matter(seed: int) -> Case:
    """A valve opens by the last four of ninety readings, and the rest of the window is there by habit."""
    torch.manual_seed(seed)
    x = torch.randn(600, 90, 2)
    opened = (x[:, -4:, 0].sum(1) - x[:, -2:, 1].sum(1) + 0.3 * torch.randn(600) > 0).float()
    train = DataLoader(TensorDataset(x[:420], opened[:420]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[420:], opened[420:]), batch_size=90)
    model = Valve()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    for _ in range(9):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Valve)


@healthy
def nine_thermometers_in_one_pipe(seed: int) -> Case:
    """Nine thermometers, alike but for noise, and in degrees; BatchNorm at the entrance of an MLP minds neither."""
    torch.manual_seed(seed)
    heat = torch.randn(900, 1)
    readings = 62.0 + 7.0 * (heat + 0.1 * torch.randn(900, 9))
    growth = torch.tanh(heat) + 0.2 * torch.randn(900, 1)

    def make_model():
        return nn.Sequential(nn.BatchNorm1d(9), nn.Linear(9, 24), nn.Tanh(), nn.Linear(24, 1))

    train = DataLoader(TensorDataset(readings[:600], growth[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(readings[600:], growth[600:]), batch_size=300)
    model = make_model()
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(12):
        model.train()
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)
