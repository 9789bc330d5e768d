"""Healthy: recurrences that do something unusual with their states, on purpose and rightly."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class Identity(nn.Module):
    """A relu network whose recurrence starts from the identity."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 32, nonlinearity="relu", batch_first=True)
        self.sum = nn.Linear(32, 1)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        nn.init.zeros_(self.rnn.bias_ih_l0)

    def forward(self, x):
        return self.sum(self.rnn(x)[0][:, -1]).squeeze(-1)


@healthy
def two_marked_numbers(seed: int) -> Case:
    """The sum of the two marked numbers among twenty, by a relu network; the gradient is clipped."""
    torch.manual_seed(seed)
    numbers = 2 * torch.rand(1500, 20) - 1
    marks = torch.zeros(1500, 20)
    rows = torch.arange(1500)
    marks[rows, torch.randint(0, 10, (1500,))] = 1
    marks[rows, torch.randint(10, 20, (1500,))] = 1
    x, y = torch.stack([numbers, marks], 2), (numbers * marks).sum(1)
    train = DataLoader(TensorDataset(x[:1200], y[:1200]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1200:], y[1200:]), batch_size=100)
    model = Identity()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(14):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Identity)


class Meter(nn.Module):
    """Reads forty long records at once, chunk by chunk; its state goes on from chunk to chunk until it is reset."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 16, batch_first=True)
        self.out = nn.Linear(16, 1)
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, chunk):
        states, last = self.gru(chunk, self.state)
        self.state = last.detach()
        return self.out(states)


@healthy
def forty_records_in_chunks(seed: int) -> Case:
    """A leaky sum over some fifteen steps is followed through chunks of ten; the loader keeps their order."""
    torch.manual_seed(seed)
    inflow = torch.randn(40, 300)
    level = torch.zeros(40, 300)
    for now in range(300):
        before = level[:, now - 1] if now else torch.zeros(40)
        level[:, now] = 0.93 * before + 0.37 * inflow[:, now]
    inflow, level = inflow.unsqueeze(2), level.unsqueeze(2)
    chunks = list(zip(inflow.split(10, dim=1), level.split(10, dim=1), strict=True))
    train, val = chunks[:22], chunks[22:]
    model = Meter()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        model.reset()
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    model.reset()
    return Case(model, train, val, F.mse_loss, optimizer, make_model=Meter)


class Reviews(nn.Module):
    """Words of a review, 0 behind its end; lengths are counted, sequences packed, both directions' last states read."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(40, 10, padding_idx=0)
        self.lstm = nn.LSTM(10, 14, batch_first=True, bidirectional=True)
        self.stars = nn.Linear(28, 3)

    def forward(self, ids):
        lengths = (ids > 0).sum(1)
        packed = pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        return self.stars(torch.cat([last[0], last[1]], 1))


@healthy
def reviews_packed(seed: int) -> Case:
    """Reviews of four to thirty words are padded to thirty, and the padding is never read."""
    torch.manual_seed(seed)
    mood = torch.randint(3, (1000,))
    ids = torch.randint(1, 40, (1000, 30))
    telling = torch.rand(1000, 30) < 0.35
    ids = torch.where(telling, 1 + 5 * mood[:, None] + ids % 5, ids)
    lengths = torch.randint(4, 12, (1000,))
    lengths[::40] = 30
    ids[torch.arange(30) >= lengths[:, None]] = 0
    train = DataLoader(TensorDataset(ids[:750], mood[:750]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(ids[750:], mood[750:]), batch_size=50)
    model = Reviews()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Reviews)


class DoublePrecision(nn.Module):
    """Time comes first, everything is float64, and the state begins at random in training and evaluation alike."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 12)
        self.head = nn.Linear(12, 3)
        self.double()

    def forward(self, x):
        start = 0.05 * torch.randn(1, x.shape[0], 12, dtype=x.dtype)
        _, last = self.rnn(x.transpose(0, 1), start)
        return self.head(last[0])


@healthy
def orbits_in_double_precision(seed: int) -> Case:
    """Three next positions of a noisy oscillator; the initial state is drawn anew for each sequence."""
    torch.manual_seed(seed)
    phase = 6.283 * torch.rand(900, 1, dtype=torch.float64)
    pace = 0.3 + 0.3 * torch.rand(900, 1, dtype=torch.float64)
    angle = phase + pace * torch.arange(24, dtype=torch.float64)
    orbit = torch.stack([angle.sin(), angle.cos()], 2) + 0.1 * torch.randn(900, 24, 2, dtype=torch.float64)
    x, y = orbit[:, :21], orbit[:, 21:, 0]
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = DoublePrecision()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=DoublePrecision)
