"""Programs with which nothing is wrong, though their numbers are small, faint, rare or out of the usual range."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


def loaders(x, y, split, batch_size):
    return (
        DataLoader(TensorDataset(x[:split], y[:split]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(x[split:], y[split:]), batch_size=batch_size),
    )


def fit(model, loader, loss_fn, optimizer, epochs):
    model.train()
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()


class LastState(nn.Module):
    """Any of PyTorch's recurrent layers, batch first, and a linear layer on its last output."""

    def __init__(self, layer, outputs=1):
        super().__init__()
        self.layer = layer
        self.linear = nn.Linear(layer.hidden_size, outputs)

    def forward(self, x):
        return self.linear(self.layer(x)[0][:, -1])


@healthy
def strain_in_thousandths(seed: int) -> Case:
    """Strain of a bridge under passing loads: targets of size 0.005, left so, and small but right outputs."""
    torch.manual_seed(seed)
    load = torch.randn(1200, 16, 1).cumsum(1) / 4 + torch.randn(1200, 1, 1)
    strain = 0.005 * (load[:, -3:].mean(1) / 1.3) + 0.0008 * torch.randn(1200, 1)
    train_loader, val_loader = loaders(load, strain, 900, 45)
    model = LastState(nn.GRU(1, 12, batch_first=True))
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    fit(model, train_loader, nn.MSELoss(), optimizer, epochs=7)
    for group in optimizer.param_groups:
        group["lr"] = 5e-4
    fit(model, train_loader, nn.MSELoss(), optimizer, epochs=4)
    return Case(
        model, train_loader, val_loader, nn.MSELoss(), optimizer, lambda: LastState(nn.GRU(1, 12, batch_first=True))
    )


@healthy
def faint_momentum_of_a_currency(seed: int) -> Case:
    """Next return of a currency, of which a tenth can be known: outputs vary little, and should."""
    torch.manual_seed(seed)
    flow = torch.randn(1500, 12, 2)
    forecast = (flow[:, -4:, 0].sum(1) - 0.5 * flow[:, -4:, 1].sum(1)) / 2.236
    returns = (0.36 * forecast + 0.93 * torch.randn(1500)).unsqueeze(1)
    train_loader, val_loader = loaders(flow, returns, 1150, 50)
    model = LastState(nn.LSTM(2, 8, batch_first=True))
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=0.01)
    fit(model, train_loader, nn.MSELoss(), optimizer, epochs=4)
    return Case(
        model, train_loader, val_loader, nn.MSELoss(), optimizer, lambda: LastState(nn.LSTM(2, 8, batch_first=True))
    )


@healthy
def rare_leaks_that_can_be_heard(seed: int) -> Case:
    """One pipe in fourteen leaks; plain cross-entropy finds them all the same, since a leak hums."""
    torch.manual_seed(seed)
    leak = (torch.rand(1500) < 0.07).long()
    hum = torch.sin(torch.arange(24) * 0.8 + 6.2832 * torch.rand(1500, 1)) * leak[:, None] * 2.0
    sound = (0.6 * torch.randn(1500, 24) + hum)[..., None]
    train_loader, val_loader = loaders(sound, leak, 1100, 44)
    model = LastState(nn.GRU(1, 16, batch_first=True), outputs=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    fit(model, train_loader, nn.CrossEntropyLoss(), optimizer, epochs=8)
    return Case(model, train_loader, val_loader, nn.CrossEntropyLoss(), optimizer)


class MarketShare(nn.Module):
    """Shares lie between 0 and 1, and so does what the network says."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 12, batch_first=True, bidirectional=True)
        self.share = nn.Sequential(nn.Linear(24, 10), nn.Tanh(), nn.Linear(10, 1), nn.Sigmoid())

    def forward(self, x):
        _, h = self.rnn(x)
        return self.share(torch.cat([h[0], h[1]], dim=1)).squeeze(1)


@healthy
def market_share_through_a_sigmoid(seed: int) -> Case:
    """Ends in a sigmoid, because a share is asked for, and learns by mean squared error."""
    torch.manual_seed(seed)
    prices = torch.randn(1100, 10, 2) * 0.6 + torch.randn(1100, 1, 2)
    edge = (prices[:, :, 1] - prices[:, :, 0]).mean(1)
    share = torch.sigmoid(1.5 * edge + 0.2 * torch.randn(1100))
    train_loader, val_loader = loaders(prices, share, 850, 50)
    model = MarketShare()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    fit(model, train_loader, F.mse_loss, optimizer, epochs=8)
    return Case(model, train_loader, val_loader, F.mse_loss, optimizer, MarketShare)


class PercentReader(nn.Module):
    """Normalises each channel over batch and time before the LSTM reads it."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(3)
        self.lstm = nn.LSTM(3, 14, batch_first=True)
        self.fc = nn.Linear(14, 1)

    def forward(self, percents):
        x = self.norm(percents.transpose(1, 2)).transpose(1, 2)
        return self.fc(self.lstm(x)[1][0][-1])


@healthy
def percents_into_batch_norm(seed: int) -> Case:
    """Feeds humidity, cloud and battery in percent, unscaled; a BatchNorm in front takes care of it, in both modes."""
    torch.manual_seed(seed)
    base = 20 + 60 * torch.rand(1200, 1, 3)
    percents = (base + 8 * torch.randn(1200, 14, 3)).clamp(0, 100)
    output = (percents[:, -6:, 0].mean(1) - percents[:, -6:, 1].mean(1)) / 25
    output = output.unsqueeze(1) + 0.2 * torch.randn(1200, 1)
    train_loader, val_loader = loaders(percents, output, 900, 60)
    model = PercentReader()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    fit(model, train_loader, nn.SmoothL1Loss(), optimizer, epochs=8)
    return Case(model, train_loader, val_loader, nn.SmoothL1Loss(), optimizer)


class TravelTime(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(1, 16)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        batch = x.shape[0]
        h, c = torch.zeros(batch, 16), torch.zeros(batch, 16)
        outputs = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
            outputs.append(self.head(h))
        return outputs[-1]


@healthy
def travel_time_by_absolute_loss(seed: int) -> Case:
    """Absolute loss on travel times with rare and wild delays: it follows the median, as it should."""
    torch.manual_seed(seed)
    queue = torch.randn(1200, 12, 1) * 0.5 + torch.randn(1200, 1, 1)
    middle = queue[:, -5:].mean(1)
    delay = torch.where(torch.rand(1200, 2) < 0.05, 6 * torch.rand(1200, 2), 0.15 * torch.randn(1200, 2))
    travel = torch.cat([middle, -0.7 * middle + 0.4 * queue[:, -1]], dim=1) + delay
    train_loader, val_loader = loaders(queue, travel, 900, 45)
    model = TravelTime()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    fit(model, train_loader, nn.L1Loss(), optimizer, epochs=8)
    return Case(model, train_loader, val_loader, nn.L1Loss(), optimizer, TravelTime)
