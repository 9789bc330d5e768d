"""Programs that feed or ask for numbers of a size that networks do not like, and one whose samples hardly differ."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class Standardizer:
    """Mean and standard deviation of each column of the training rows."""

    def fit(self, rows):
        flat = rows.reshape(-1, rows.shape[-1])
        self.mean, self.std = flat.mean(0), flat.std(0)
        return self

    def transform(self, rows):
        return (rows - self.mean) / self.std


class IndexRNN(nn.Module):
    def __init__(self, input_size=1, hidden_size=24):
        super().__init__()
        self.hidden_size = hidden_size
        self.rnn = nn.RNN(input_size, hidden_size, batch_first=True)
        self.fc = nn.Linear(hidden_size, 1)

    def forward(self, x):
        h0 = torch.zeros(1, x.size(0), self.hidden_size)
        out, _ = self.rnn(x, h0)
        return self.fc(out[:, -1, :])


def share_index(length):
    """A share index at about nine thousand points, which returns to its mean within a day or so."""
    shocks = torch.randn(length)
    level = torch.zeros(length)
    for step in range(1, length):
        level[step] = 0.95 * level[step - 1] + 0.31 * shocks[step]
    return 9000 + 130 * torch.rand(()) + 22 * level


@sick("unscaled-inputs")
def share_index_in_points(seed: int, *, healed: bool) -> Case:
    """Forecasts an index that moves by some points about nine thousand, and scales only what it asks for.

    The first product throws every tanh to its rail.
    """
    torch.manual_seed(seed)
    points = share_index(1150)
    split = 900
    target_scaler = Standardizer().fit(points[:split, None])
    inputs = target_scaler.transform(points[:, None]) if healed else points[:, None]
    scaled = target_scaler.transform(points[:, None])
    x = torch.stack([inputs[i : i + 15] for i in range(1134)])
    y = torch.stack([scaled[i + 15] for i in range(1134)])
    train_loader = DataLoader(TensorDataset(x[:870], y[:870]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[split:], y[split:]), batch_size=32)
    model = IndexRNN()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for _ in range(8):
        for xb, yb in train_loader:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer, IndexRNN)


class CropModel(nn.Module):
    """A cell called step by step over pressure in pascal, radiation in watts a square metre and soil moisture."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 20)
        self.yield_ = nn.Linear(20, 1)

    def forward(self, fields):
        h = c = fields.new_zeros(fields.shape[0], 20)
        for step in fields.unbind(1):
            h, c = self.cell(step, (h, c))
        return self.yield_(h).squeeze(1)


def field_season(count):
    """Weekly pressure anomaly, radiation and moisture of some fields, and their yields, which moisture decides."""
    wet = 0.1 + 0.8 * torch.rand(count, 1)
    moisture = (wet + 0.05 * torch.randn(count, 12)).clamp(0, 1)
    pressure = 2500 * torch.randn(count, 12)
    radiation = 400 * torch.randn(count, 12)
    crop = 4 * (moisture.mean(1) - 0.5) + 0.2 * torch.randn(count)
    return torch.stack([pressure, radiation, moisture], dim=2), crop


@sick("unscaled-inputs")
def soil_moisture_beside_pascals(seed: int, *, healed: bool) -> Case:
    """Puts soil moisture (0 to 1) beside pressure anomalies in pascal and radiation in watts, all as they come.

    The yield hangs on the moisture, which no unit can see beside the others.
    """
    torch.manual_seed(seed)
    x, y = field_season(1200)
    if healed:
        x = Standardizer().fit(x[:900]).transform(x)
    train_batches = list(zip(x[:900].split(30), y[:900].split(30), strict=True))
    val_batches = list(zip(x[900:].split(100), y[900:].split(100), strict=True))
    net = CropModel()
    opt = torch.optim.RMSprop(net.parameters(), lr=2e-3)
    for _ in range(7):
        for fields, crop in train_batches:
            opt.zero_grad()
            F.smooth_l1_loss(net(fields), crop).backward()
            opt.step()
    return Case(net, train_batches, val_batches, F.smooth_l1_loss, opt, CropModel)


class PowerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.output = nn.Linear(16, 3)

    def forward(self, x):
        return self.output(self.gru(x)[0][:, -1])


def household_load(length):
    """Standardised temperature and activity by the hour, and the load in watts that they cause, 19 kW or so."""
    hours = torch.arange(length)
    temperature = torch.sin(6.2832 * hours / 24 + torch.rand(())) + 0.2 * torch.randn(length)
    activity = torch.sin(6.2832 * hours / 12 + 6 * torch.rand(())) + 0.2 * torch.randn(length)
    load = 19000 + 2000 * torch.rand(()) + 1500 * (activity - temperature) + 300 * torch.randn(length)
    return torch.stack([temperature, activity], dim=1), load


@sick("unscaled-targets")
def household_load_in_watts(seed: int, *, healed: bool) -> Case:
    """Three hours of a household's load, in watts, asked of a network that starts at zero and steps by a thousandth."""
    torch.manual_seed(seed)
    weather, load = household_load(1300)
    if healed:
        load = (load - load[:1000].mean()) / load[:1000].std()
    x = torch.stack([weather[i : i + 18] for i in range(1279)])
    y = torch.stack([load[i + 18 : i + 21] for i in range(1279)])
    train_loader = DataLoader(TensorDataset(x[:960], y[:960]), batch_size=48, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=48)
    model = PowerNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(9):
        model.train()
        for xb, yb in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, PowerNet)


class EnergyBalance(nn.Module):
    """Reads both ways and pools over time."""

    def __init__(self, size=10):
        super().__init__()
        self.read = nn.RNN(1, size, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * size, 1)

    def forward(self, series):
        states, _ = self.read(series)
        return self.head(states.mean(dim=1))


@sick("unscaled-targets")
def energy_balance_in_kilojoules(seed: int, *, healed: bool) -> Case:
    """The balance of a day is asked for in kilojoules: about zero on average, but thousands either way.

    Under absolute loss each step moves the output by a little whatever the distance, and it never gets there.
    """
    torch.manual_seed(seed)
    gain = torch.randn(1200, 1, 1) + 0.6 * torch.randn(1200, 24, 1)
    balance = 5000 * gain.mean(1) + 400 * torch.randn(1200, 1)
    if healed:
        balance = balance / balance[:900].std()
    train_loader = DataLoader(TensorDataset(gain[:900], balance[:900]), batch_size=60, shuffle=True)
    val_loader = DataLoader(TensorDataset(gain[900:], balance[900:]), batch_size=100)
    model = EnergyBalance()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.L1Loss()
    for _ in range(9):
        for series, target in train_loader:
            loss = criterion(model(series), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer)


class ResponseReader(nn.Module):
    """The response of a structure to a hammer's blow, read by two layers of tanh."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 16, num_layers=2, batch_first=True)
        self.damage = nn.Linear(16, 1)

    def forward(self, x):
        return self.damage(self.rnn(x)[0][:, -1])


@sick("redundant-inputs")
def every_blow_of_the_hammer_alike(seed: int, *, healed: bool) -> Case:
    """Asks how worn a beam is from its response to a blow, and every response is the same curve but for a hundredth.

    The mended program looks at what differs between the beams: the response less the mean response, on its own scale.
    """
    torch.manual_seed(seed)
    time = torch.arange(40) / 40
    wear = torch.randn(1150, 1)
    ring = torch.exp(-3 * time) * torch.sin(30 * time + 6.28 * torch.rand(()))
    response = 1.5 * ring + 0.012 * wear * torch.sin(9 * time) + 0.006 * torch.randn(1150, 40)
    if healed:
        rest = response - response[:850].mean(0)
        response = rest / rest[:850].std()
    dataset = TensorDataset(response[..., None], wear)
    train_loader = DataLoader(torch.utils.data.Subset(dataset, range(850)), batch_size=50, shuffle=True)
    val_loader = DataLoader(torch.utils.data.Subset(dataset, range(850, 1150)), batch_size=50)
    model = ResponseReader()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(7):
        for x, y in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, ResponseReader)
