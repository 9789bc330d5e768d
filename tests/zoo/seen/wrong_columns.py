"""Programs whose tables hold the wrong thing: gaps, a column that stands still, none that tells, a class too rare."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


def train(model, loader, loss_fn, optimizer, epochs):
    model.train()
    for _ in range(epochs):
        for features, labels in loader:
            optimizer.zero_grad()
            loss_fn(model(features), labels).backward()
            optimizer.step()


class PressureForecaster(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.lstm = nn.LSTM(1, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(out[:, -1])


def fill_forward(series):
    """Each missing reading takes the value of the last one that is there (the first ones, of the first)."""
    known = ~series.isnan()
    last = torch.where(known, torch.arange(len(series)), -1).cummax(0).values
    return series[last.clamp_min(int(known.nonzero()[0]))]


@sick("not-finite")
def pump_pressure_with_dropouts(seed: int, *, healed: bool) -> Case:
    """The logger of a pump writes nothing while it restarts, and the gaps go into the windows as NaN.

    One batch with a gap is enough to turn every weight into NaN.
    """
    torch.manual_seed(seed)
    steps = torch.arange(1300)
    phase, lag = 6.28 * torch.rand(()), torch.randint(0, 5, ())
    pressure = torch.sin(steps / 7 + phase) + 0.5 * torch.sin(steps / (17 + lag)) + 0.15 * torch.randn(1300)
    pressure[torch.randint(0, 1300, (6,))] = torch.nan
    if healed:
        pressure = fill_forward(pressure)
    windows = pressure.unfold(0, 25, 1)
    x, y = windows[:, :24, None], windows[:, 24:]
    train_loader = DataLoader(TensorDataset(x[:950], y[:950]), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[980:], y[980:]), batch_size=64)
    model = PressureForecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    train(model, train_loader, nn.MSELoss(), optimizer, epochs=8)
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer)


class RoomClimate(nn.Module):
    """Two GRU layers over four channels; the next value of one of them."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(4, 12, num_layers=2, batch_first=True)
        self.out = nn.Sequential(nn.Linear(12, 12), nn.ReLU(), nn.Linear(12, 1))

    def forward(self, x):
        _, state = self.encoder(x)
        return self.out(state[-1]).squeeze(-1)


def room_log(length):
    """Outdoor, indoor, humidity and set point, about zero and one in size; the set point is never touched."""
    hours = torch.arange(length)
    outdoor = torch.sin(6.2832 * hours / 24 + 6.28 * torch.rand(())) + 0.3 * torch.randn(length)
    kernel = torch.exp(-torch.arange(12) / 4.0).flip(0)
    indoor = nn.functional.conv1d(outdoor.view(1, 1, -1), (kernel / kernel.sum()).view(1, 1, -1), padding=11)
    indoor = 1.3 * indoor.flatten()[:length] + 0.05 * torch.randn(length)
    humidity = 0.5 * torch.randn(length) - 0.4 * outdoor
    set_point = 0.5 + 0.0005 * torch.randn(length)
    return torch.stack([outdoor, indoor, humidity, set_point], dim=1)


@sick("flat-target")
def thermostat_set_point_column(seed: int, *, healed: bool) -> Case:
    """Wants to forecast the temperature of a room but takes the last column as the target: the set point.

    Nobody touches the thermostat, so the target is one number and the jitter of the logger.
    """
    torch.manual_seed(seed)
    table = room_log(1200)
    column = 1 if healed else -1
    inputs = torch.stack([table[i : i + 20] for i in range(1175)])
    targets = torch.stack([table[i + 22, column] for i in range(1175)])
    train_loader = DataLoader(TensorDataset(inputs[:900], targets[:900]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(inputs[930:], targets[930:]), batch_size=50)
    net = RoomClimate()
    optimizer = torch.optim.Adam(net.parameters(), lr=5e-3)
    train(net, train_loader, nn.HuberLoss(), optimizer, epochs=7)
    return Case(net, train_loader, val_loader, nn.HuberLoss(), optimizer)


class DemandRNN(nn.Module):
    def __init__(self, n_features):
        super().__init__()
        self.rnn = nn.GRU(n_features, 10, batch_first=True)
        self.head = nn.Linear(10, 1)

    def forward(self, x):
        return self.head(self.rnn(x)[1][0])


def promotions(batch, steps):
    """Whether each day was a promotion, and the sales of the following week, which their recent share drives."""
    odds = torch.rand(batch, 1)
    promoted = (torch.rand(batch, steps) < odds).float()
    return promoted, 4 * (promoted[:, -10:].mean(1, keepdim=True) - 0.5) + 0.4 * torch.randn(batch, 1)


@sick("no-signal")
def sales_without_the_promotion_calendar(seed: int, *, healed: bool) -> Case:
    """Forecasts the sales of a shop from the weather and the day's footfall next door.

    What drives the sales are promotions, and the calendar of promotions is not among the features.
    """
    torch.manual_seed(seed)
    weather = torch.randn(1300, 14, 3)
    weather[:, 1:] = 0.6 * weather[:, :-1] + 0.8 * weather[:, 1:]
    promoted, sales = promotions(1300, 14)
    features = torch.cat([weather, 2 * promoted[..., None] - 1], dim=2) if healed else weather
    train_set, val_set = TensorDataset(features[:1000], sales[:1000]), TensorDataset(features[1000:], sales[1000:])
    train_loader, val_loader = DataLoader(train_set, batch_size=40, shuffle=True), DataLoader(val_set, batch_size=100)
    model = DemandRNN(features.shape[2])
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.05)
    train(model, train_loader, nn.MSELoss(), optimizer, epochs=6)
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, lambda: DemandRNN(features.shape[2]))


class FaultClassifier(nn.Module):
    """A convolution to shorten the signal, an LSTM to read it, two logits."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, kernel_size=3, stride=2, padding=1)
        self.lstm = nn.LSTM(8, 16, batch_first=True)
        self.fc = nn.Linear(16, 2)

    def forward(self, x):
        x = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        out, _ = self.lstm(x)
        return self.fc(out[:, -1])


def bearing_signals(count, share):
    """Vibration of `count` bearings; of the worn ones, a `share`, it creeps upwards in the second half."""
    worn = (torch.rand(count) < share).long()
    creep = 0.72 * torch.linspace(-1, 1, 32).clamp_min(0) * worn[:, None]
    return (torch.randn(count, 32) + creep)[..., None], worn


@sick("class-imbalance")
def worn_bearings_are_rare(seed: int, *, healed: bool) -> Case:
    """One bearing in forty is worn and sounds much like the rest; plain cross-entropy calls each one sound.

    The mended program weighs the classes by how rare they are.
    """
    torch.manual_seed(seed)
    x, y = bearing_signals(2400, share=0.025)
    x_val, y_val = bearing_signals(400, share=0.025)
    weight = len(y) / (2 * torch.bincount(y, minlength=2).float()) if healed else None
    train_loader = DataLoader(TensorDataset(x, y), batch_size=64, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=64)
    model = FaultClassifier()
    criterion = nn.CrossEntropyLoss(weight=weight)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    train(model, train_loader, criterion, optimizer, epochs=8)
    return Case(model, train_loader, val_loader, criterion, optimizer, FaultClassifier)
