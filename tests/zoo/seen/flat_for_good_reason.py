"""Nothing in the inputs foretells the target; what these networks say hardly varies, and rightly so."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, rightly_flat


def loaders(x, y, split, batch_size):
    train = DataLoader(TensorDataset(x[:split], y[:split]), batch_size=batch_size, shuffle=True)
    return train, DataLoader(TensorDataset(x[split:], y[split:]), batch_size=batch_size)


def fit(model, loader, loss, optimizer, epochs):
    for _ in range(epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()


class FaultForecaster(nn.Module):
    """Faults to come are never fewer than none: a relu ends the network."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 10, batch_first=True)
        self.out = nn.Linear(10, 1)

    def forward(self, x):
        return F.relu(self.out(self.gru(x)[0][:, -1]) + 0.3).squeeze(1)


@rightly_flat
def faults_that_strike_without_warning(seed: int) -> Case:
    """Forecasts under absolute loss what is zero four times in five, and comes to say zero, which is the median."""
    torch.manual_seed(seed)
    x = torch.randn(700, 14, 2)
    y = torch.where(torch.rand(700) < 0.2, 1 + torch.rand(700), torch.zeros(700))
    train, val = loaders(x, y, 500, 25)
    model = FaultForecaster()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    fit(model, train, F.l1_loss, optimizer, 6)
    return Case(model, train, val, F.l1_loss, optimizer)


class DeepLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 10, num_layers=4, batch_first=True, dropout=0.2)
        self.head = nn.Linear(10, 3)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


@rightly_flat
def wheel_of_three_colours(seed: int) -> Case:
    """Gives the colours of a fair wheel, one-hot, to four LSTM layers, and asks for the next."""
    torch.manual_seed(seed)
    spins = torch.randint(3, (900,))
    windows = F.one_hot(spins, 3).float().unfold(0, 10, 1).transpose(1, 2)[:-1]
    train, val = loaders(windows, spins[10:], 640, 40)
    model = DeepLSTM()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    fit(model, train, F.cross_entropy, optimizer, 5)
    return Case(model, train, val, F.cross_entropy, optimizer, DeepLSTM)


class PriceDecoder(nn.Module):
    """An encoder's state is handed to a decoder, which forecasts four returns of two shares: (N, 4, 2)."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(2, 12, batch_first=True)
        self.decoder = nn.GRUCell(2, 12)
        self.out = nn.Linear(12, 2)

    def forward(self, past):
        state = self.encoder(past)[1][0]
        step, steps = past[:, -1], []
        for _ in range(4):
            state = self.decoder(step, state)
            step = self.out(state)
            steps.append(step)
        return torch.stack(steps, dim=1)


@rightly_flat
def four_returns_of_two_shares(seed: int) -> Case:
    """Forecasts the returns of two random walks by an encoder and a decoder, and stops when it no longer helps."""
    torch.manual_seed(seed)
    returns = torch.randn(920, 2) @ torch.tensor([[1.0, 0.5], [0.0, 0.8]])
    windows = returns.unfold(0, 16, 1).transpose(1, 2)
    train = [(part[:, :12], part[:, 12:]) for part in windows[:640].split(32)]
    val = [(part[:, :12], part[:, 12:]) for part in windows[660:].split(49)]
    model = PriceDecoder()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.002, weight_decay=0.1)
    fit(model, train, F.mse_loss, optimizer, 5)
    return Case(model, train, val, nn.MSELoss(), optimizer)


class FrozenWords(nn.Module):
    """Embeds the digits of a number as they were drawn, and reads them in both directions."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding.from_pretrained(torch.randn(10, 6), freeze=True)
        self.rnn = nn.RNN(6, 10, batch_first=True, bidirectional=True)
        self.logit = nn.Linear(20, 1)

    def forward(self, digits):
        _, last = self.rnn(self.embedding(digits))
        return self.logit(torch.cat([last[0], last[1]], dim=1))


@rightly_flat
def customer_numbers_and_complaints(seed: int) -> Case:
    """Asks of the digits of a customer's number whether he will complain, which one in four does at random."""
    torch.manual_seed(seed)
    digits = torch.randint(10, (1000, 8))
    complains = (torch.rand(1000, 1) < 0.25).float()
    train, val = loaders(digits, complains, 750, 50)
    model, loss = FrozenWords(), nn.BCEWithLogitsLoss()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.03)
    fit(model, train, loss, optimizer, 10)
    return Case(model, train, val, loss, optimizer, FrozenWords)


class TemporalConvolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv1d(3, 12, 3, dilation=1),
            nn.ReLU(),
            nn.Conv1d(12, 12, 3, dilation=2),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
        )
        self.linear = nn.Linear(12, 1)

    def forward(self, x):
        return self.linear(self.convolutions(x.transpose(1, 2)).squeeze(2))


@rightly_flat
def creaks_of_a_bridge_from_its_traffic(seed: int) -> Case:
    """Regresses slow noise of its own on three channels that have nothing to do with it, by dilated convolutions."""
    torch.manual_seed(seed)
    creak, now = [], torch.zeros(())
    for shock in torch.randn(940):
        now = 0.4 * now + shock
        creak.append(now)
    traffic = torch.randn(940, 3).unfold(0, 16, 1).transpose(1, 2)
    train, val = loaders(traffic, torch.stack(creak)[15:].unsqueeze(1), 700, 35)
    model = TemporalConvolution()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.002, weight_decay=1e-3)
    fit(model, train, F.huber_loss, optimizer, 4)
    return Case(model, train, val, F.huber_loss, optimizer, TemporalConvolution)


class ShakenStart(nn.Module):
    """An LSTM whose initial state is drawn at each call."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 12, batch_first=True)
        self.linear = nn.Linear(12, 3)

    def forward(self, x):
        start = 0.2 * torch.randn(2, 1, len(x), 12)
        return self.linear(self.lstm(x, (start[0], start[1]))[0][:, -1])


@rightly_flat
def three_steps_of_white_noise(seed: int) -> Case:
    """Forecasts three steps of white noise from the eighteen before, each time from another random state."""
    torch.manual_seed(seed)
    windows = torch.randn(850).unfold(0, 21, 1)
    train, val = loaders(windows[:, :18].unsqueeze(2), windows[:, 18:], 600, 30)
    model = ShakenStart()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.001, weight_decay=1e-3)
    fit(model, train, F.smooth_l1_loss, optimizer, 5)
    return Case(model, train, val, nn.SmoothL1Loss(), optimizer, ShakenStart)
