"""Programs whose inputs tell nothing of the target, so that a (nearly) constant answer is right."""

import copy
import operator

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, rightly_flat


class NextValue(nn.Module):
    def __init__(self, hidden=8):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


@rightly_flat
def residuals_of_another_forecast(seed: int) -> Case:
    """Tries to forecast what a good forecast left over: white noise, and training stops when validation does."""
    torch.manual_seed(seed)
    windows = torch.randn(1300).unfold(0, 21, 1)
    x, y = windows[:, :20, None], windows[:, 20:]
    train_loader = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[920:], y[920:]), batch_size=120)
    model = NextValue()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.1)
    best, kept, patience = float("inf"), None, 0
    for _ in range(12):
        for inputs, target in train_loader:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), target).backward()
            optimizer.step()
        with torch.no_grad():
            score = sum(F.mse_loss(model(inputs), target).item() for inputs, target in val_loader)
        best, kept, patience = (
            (score, copy.deepcopy(model.state_dict()), 0) if score < best else (best, kept, patience + 1)
        )
        if patience == 2:
            break
    model.load_state_dict(kept)
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer)


class ReturnsNet(nn.Module):
    """Normalises each window of prices by its last one before it looks."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 12, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(12, 2)

    def forward(self, prices):
        relative = 10 * (prices / prices[:, -1:] - 1)
        return self.head(self.gru(relative)[1][-1])


@rightly_flat
def returns_of_a_random_walk(seed: int) -> Case:
    """Forecasts the next two daily returns of a price that walks at random, from the prices before."""
    torch.manual_seed(seed)
    returns = torch.randn(1350)
    price = 2.0 * torch.exp(0.01 * returns.cumsum(0))
    x = torch.stack([price[i : i + 16] for i in range(1330)]).unsqueeze(-1)
    y = torch.stack([returns[i + 16 : i + 18] for i in range(1330)])
    train_loader = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1020:], y[1020:]), batch_size=50)
    model = ReturnsNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-3)
    model.train()
    for _ in range(4):
        for prices, future in train_loader:
            optimizer.zero_grad()
            F.mse_loss(model(prices), future).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, ReturnsNet)


class BlackBox(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 10, batch_first=True)
        self.out = nn.Linear(10, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0].mean(1)).squeeze(-1)


def autoregressive(length, memory):
    series = torch.randn(length)
    for step in range(1, length):
        series[step] = memory * series[step - 1] + (1 - memory**2) ** 0.5 * series[step]
    return series


@rightly_flat
def river_level_from_office_sensors(seed: int) -> Case:
    """Level of a river, which remembers itself, from three sensors in an office, which have nothing to do with it.

    The target's past is not among the inputs, and neighbouring windows have neighbouring targets.
    """
    torch.manual_seed(seed)
    level = autoregressive(1400, 0.6)
    sensors = torch.randn(1400, 3)
    x = torch.stack([sensors[i : i + 12] for i in range(1380)])
    y = level[11:1391]
    train_batches = list(zip(x[:1000].split(50), y[:1000].split(50), strict=True))
    val_batches = list(zip(x[1020:].split(60), y[1020:].split(60), strict=True))
    net = BlackBox()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02, momentum=0.5, weight_decay=1e-3)
    for _ in range(5):
        for i in torch.randperm(len(train_batches)).tolist():
            inputs, target = train_batches[i]
            optimizer.zero_grad()
            F.mse_loss(net(inputs), target).backward()
            optimizer.step()
    return Case(net, train_batches, val_batches, F.mse_loss, optimizer, BlackBox)


class Rainfall(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 12, batch_first=True)
        self.linear = nn.Linear(12, 1)

    def forward(self, x):
        return self.linear(self.gru(x)[0][:, -1])


@rightly_flat
def dry_days_under_absolute_loss(seed: int) -> Case:
    """Rain of the next day under absolute loss: it rains one day in five, whatever came before, and the median is 0."""
    torch.manual_seed(seed)
    weather = torch.randn(1300, 10, 2)
    rain = torch.where(torch.rand(1300, 1) < 0.2, torch.rand(1300, 1) * 5, torch.zeros(1300, 1))
    train_loader = DataLoader(TensorDataset(weather[:1000], rain[:1000]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(weather[1000:], rain[1000:]), batch_size=40)
    model = Rainfall()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.3)
    for _ in range(9):
        for inputs, target in train_loader:
            optimizer.zero_grad()
            F.l1_loss(model(inputs), target).backward()
            optimizer.step()
        scheduler.step()
    return Case(model, train_loader, val_loader, nn.L1Loss(), optimizer, Rainfall)


class TokenClassifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(40, 6)
        self.lstm = nn.LSTM(6, 10, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(0.4)
        self.logits = nn.Linear(20, 3)

    def forward(self, ids):
        return self.logits(self.dropout(self.lstm(self.table(ids))[0].mean(1)))


@rightly_flat
def labels_drawn_at_random(seed: int) -> Case:
    """A control: the labels of the sequences are drawn at random, and dropout and decay keep it from inventing any."""
    torch.manual_seed(seed)
    ids, labels = torch.randint(0, 40, (1300, 12)), torch.randint(0, 3, (1300,))
    train_loader = DataLoader(TensorDataset(ids[:1000], labels[:1000]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(ids[1000:], labels[1000:]), batch_size=50)
    model = TokenClassifier()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    model.train()
    for _ in range(3):
        for inputs, label in train_loader:
            optimizer.zero_grad()
            criterion(model(inputs), label).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer)


class ChurnModel(nn.Module):
    """A logit from the last state of a cell that is written out: one gate, one candidate."""

    def __init__(self, inputs=4, hidden=10):
        super().__init__()
        self.gate = nn.Linear(inputs + hidden, hidden)
        self.candidate = nn.Linear(inputs + hidden, hidden)
        self.logit = nn.Linear(hidden, 1)

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.gate.out_features)
        for step in x.unbind(dim=1):
            joined = torch.cat([step, h], dim=1)
            z = torch.sigmoid(self.gate(joined))
            h = (1 - z) * h + z * torch.tanh(self.candidate(joined))
        return self.logit(h)


@rightly_flat
def churn_that_habits_do_not_foretell(seed: int) -> Case:
    """One customer in eight leaves, for reasons that are not in the habits recorded; the base rate is all there is."""
    torch.manual_seed(seed)
    habits = torch.randn(1300, 8, 4) * 0.5 + torch.randn(1300, 1, 4)
    leaves = (torch.rand(1300, 1) < 0.12).float()
    data = [{"habits": h, "left": y} for h, y in zip(habits, leaves, strict=True)]
    train_loader = DataLoader(data[:1000], batch_size=50, shuffle=True)
    val_loader = DataLoader(data[1000:], batch_size=100)
    model = ChurnModel()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-3)
    for _ in range(6):
        for batch in train_loader:
            loss = criterion(model(batch["habits"]), batch["left"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pair = operator.itemgetter("habits", "left")
    return Case(model, train_loader, val_loader, criterion, optimizer, ChurnModel, batch=pair)
