"""Healthy: targets that are tiny, noisy or rare, and models that say as much about them as can be said."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class Strain(nn.Module):
    """A hand-written cell of one gate, read by a linear layer that begins small, for the strain is small."""

    def __init__(self, hidden=16):
        super().__init__()
        self.hidden = hidden
        self.gate = nn.Linear(2 + hidden, hidden)
        self.new = nn.Linear(2 + hidden, hidden)
        self.read = nn.Linear(hidden, 1)
        nn.init.normal_(self.read.weight, std=0.001)
        nn.init.zeros_(self.read.bias)

    def forward(self, loads):
        state = loads.new_zeros(len(loads), self.hidden)
        for step in loads.unbind(1):
            both = torch.cat([step, state], 1)
            gate = torch.sigmoid(self.gate(both))
            state = gate * state + (1 - gate) * torch.tanh(self.new(both))
        return self.read(state)


@healthy
def strain_of_a_bridge(seed: int) -> Case:
    """Strain in millimetres per metre moves by some thousandths, and nobody scaled it; it is learned all the same."""
    torch.manual_seed(seed)
    lorries = torch.randn(900, 1, 2)
    loads = lorries + 0.6 * torch.randn(900, 12, 2)
    strain = 0.003 * (lorries[:, 0, :1] + 0.5 * lorries[:, 0, 1:]) + 0.001 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(loads[:650], strain[:650]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(loads[650:], strain[650:]), batch_size=125)
    model = Strain()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.8)
    for _ in range(16):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
        scheduler.step()
    return Case(model, train, val, mse, optimizer, make_model=Strain)


class Yield(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 10, batch_first=True)
        self.fc = nn.Linear(10, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.fc(h[-1])


@healthy
def harvest_mostly_luck(seed: int) -> Case:
    """A seventh of a field's yield follows from the weather of spring, the rest is luck; the forecasts hardly move."""
    torch.manual_seed(seed)
    spring = torch.randn(1900, 1, 2)
    weather = spring + 0.5 * torch.randn(1900, 10, 2)
    harvest = 0.4 * spring[:, 0, :1] + 0.92 * torch.randn(1900, 1)
    train = DataLoader(TensorDataset(weather[:1500], harvest[:1500]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(weather[1500:], harvest[1500:]), batch_size=100)
    model = Yield()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    for _ in range(6):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Yield)


class Alarm(nn.Module):
    """Largest answer of a bank of filters along the window, and a linear layer: two classes."""

    def __init__(self):
        super().__init__()
        self.filters = nn.Conv1d(1, 12, 7)
        self.classes = nn.Linear(12, 2)

    def forward(self, signal):
        return self.classes(torch.relu(self.filters(signal.transpose(1, 2))).amax(2))


@healthy
def rare_and_plain_to_see(seed: int) -> Case:
    """One window in sixteen holds a glitch, and no glitch looks like noise; plain cross-entropy learns it."""
    torch.manual_seed(seed)
    glitch = (torch.rand(1600) < 1 / 16).long()
    signal = 0.5 * torch.randn(1600, 32)
    start = torch.randint(0, 25, (1600,))
    shape = 3 * torch.tensor([0.5, 1.0, 1.0, -1.0, -1.0, -0.5])
    for row in glitch.nonzero().flatten().tolist():
        signal[row, start[row] : start[row] + 6] += shape
    x = signal.unsqueeze(2)
    train = DataLoader(TensorDataset(x[:1200], glitch[:1200]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1200:], glitch[1200:]), batch_size=100)
    model = Alarm()
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for inputs, labels in train:
            optimizer.zero_grad()
            loss_fn(model(inputs), labels).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=Alarm)


class CloudCover(nn.Module):
    """A share of the sky: the output ends in a sigmoid, as it should."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 16, batch_first=True)
        self.share = nn.Sequential(nn.Linear(16, 4), nn.Sigmoid())

    def forward(self, sky):
        return self.share(self.lstm(sky)[0][:, -1])


@healthy
def share_of_the_sky(seed: int) -> Case:
    """Cloud cover of the next four hours lies between 0 and 1; the loss is the mean absolute error."""
    torch.manual_seed(seed)
    front = torch.randn(900, 1)
    speed = 0.5 * torch.randn(900, 1)
    hours = torch.arange(-15.0, 5.0) / 5
    cover = torch.sigmoid(2 * front + speed * hours + 0.3 * torch.randn(900, 20))
    dew = front + torch.randn(900, 20)
    sky = torch.stack([4 * cover - 2, dew, torch.randn(900, 20)], 2)[:, :16]
    later = cover[:, 16:]
    train = DataLoader(TensorDataset(sky[:600], later[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(sky[600:], later[600:]), batch_size=100)
    model = CloudCover()
    mae = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            mae(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mae, optimizer)
