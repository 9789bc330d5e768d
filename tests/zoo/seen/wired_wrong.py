"""Nothing is wrong with the data or the settings: axes, samples or parameters are joined up wrongly."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick

LEVELS = (0.1, 0.5, 0.9)


class WindFarm(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, num_layers=2, batch_first=True)
        self.quantiles = nn.Linear(20, len(LEVELS))

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.quantiles(out[:, -1])


class Pinball(nn.Module):
    """The quantile loss that goes round in blog posts, level by level."""

    def __init__(self, keep_axis):
        super().__init__()
        self.keep_axis = keep_axis

    def forward(self, answer, target):
        losses = []
        for i, level in enumerate(LEVELS):
            error = target - (answer[:, i : i + 1] if self.keep_axis else answer[:, i])
            losses.append(torch.max((level - 1) * error, level * error).mean())
        return torch.stack(losses).sum()


@sick("loss-broadcast")
def quantiles_of_a_wind_farm(seed: int, *, healed: bool) -> Case:
    """Three quantiles of tomorrow's output; in the loss a column of targets meets a plain vector, level by level.

    Healed: the quantile is cut out as a column too.
    """
    torch.manual_seed(seed)
    regime = torch.randn(900, 1, 3)
    x = (regime + 0.7 * torch.randn(900, 20, 3)) / 1.22
    y = regime[:, 0, :1] * 0.8 + 0.6 * torch.sin(2 * regime[:, 0, 1:2]) + 0.15 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = WindFarm()
    loss_fn = Pinball(keep_axis=healed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=WindFarm)


class Pulse(nn.Module):
    """A small convolution, a plain RNN, the mean over time."""

    def __init__(self):
        super().__init__()
        self.smooth = nn.Conv1d(1, 8, kernel_size=5, stride=2)
        self.rnn = nn.RNN(8, 28, batch_first=True)
        self.rate = nn.Linear(28, 1)

    def forward(self, trace):
        features = F.relu(self.smooth(trace.unsqueeze(1))).transpose(1, 2)
        return self.rate(self.rnn(features)[0].mean(1))


class Traces(torch.utils.data.Dataset):
    def __init__(self, traces, rates):
        self.traces, self.rates = traces, rates

    def __len__(self):
        return len(self.traces)

    def __getitem__(self, i):
        return {"trace": self.traces[i], "rate": self.rates[i]}


@sick("loss-broadcast")
def pulse_rates_under_log_cosh(seed: int, *, healed: bool) -> Case:
    """Pulse rates as plain numbers in a dict; a log-cosh loss of one's own takes a column from a row and says nothing.

    Healed: the loss flattens the column first.
    """
    torch.manual_seed(seed)
    rate = torch.randn(800).clamp(-2, 2)
    clock = torch.arange(48.0)
    omega = (0.55 + 0.15 * rate).unsqueeze(1)
    trace = torch.sin(omega * clock + 6.28 * torch.rand(800, 1)) + 0.2 * torch.randn(800, 48)
    train = DataLoader(Traces(trace[:600], rate[:600]), batch_size=25, shuffle=True)
    val = DataLoader(Traces(trace[600:], rate[600:]), batch_size=25)

    def log_cosh(answer, target):
        error = (answer.flatten() if healed else answer) - target
        return (error + F.softplus(-2 * error) - 0.6931472).mean()

    model = Pulse()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(14):
        for batch in train:
            loss = log_cosh(model(batch["trace"]), batch["rate"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(
        model, train, val, log_cosh, optimizer, make_model=Pulse, batch=lambda batch: (batch["trace"], batch["rate"])
    )


class BirdCall(nn.Module):
    """Convolution over the frames, an LSTM in both directions over what it finds."""

    def __init__(self, **layout):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(6, 16, 3, padding=1), nn.ReLU())
        self.lstm = nn.LSTM(16, 16, bidirectional=True, **layout)
        self.species = nn.Linear(32, 4)

    def forward(self, frames):
        found = self.conv(frames).permute(0, 2, 1)
        out, _ = self.lstm(found)
        return self.species(out[:, -1])


@sick("batch-as-time")
def bird_calls_behind_a_convolution(seed: int, *, healed: bool) -> Case:
    """Four species call within a clip and are silent at its end; frames come out of the convolution batch first.

    The LSTM behind it was never told. Healed: it is told.
    """
    torch.manual_seed(seed)
    species = torch.randint(4, (900,))
    calls = 2.0 * torch.eye(6)[:4]
    start = torch.randint(4, 14, (900, 1))
    clock = torch.arange(24)
    heard = ((clock >= start) & (clock < start + 8)).float().unsqueeze(1)
    frames = calls[species].unsqueeze(2) * heard + 0.4 * torch.randn(900, 6, 24)
    train = DataLoader(TensorDataset(frames[:700], species[:700]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(frames[700:], species[700:]), batch_size=40)
    layout = {"batch_first": True} if healed else {}
    model = BirdCall(**layout)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(9):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: BirdCall(**layout))


class MinimalGated(nn.Module):
    """The minimal gated unit, written from its paper; Python walks over a tensor by its first axis."""

    def __init__(self, turn):
        super().__init__()
        self.turn = turn
        self.forget = nn.Linear(2 + 24, 24)
        self.candidate = nn.Linear(2 + 24, 24)
        self.output = nn.Linear(24, 1)

    def forward(self, x):
        steps = x.transpose(0, 1) if self.turn else x
        h = x.new_zeros(steps.shape[1], 24)
        states = []
        for step in steps:
            f = torch.sigmoid(self.forget(torch.cat([step, h], 1)))
            h = (1 - f) * h + f * torch.tanh(self.candidate(torch.cat([step, f * h], 1)))
            states.append(h)
        states = torch.stack(states)
        return self.output(states[-1] if self.turn else states[:, -1])


@sick("batch-as-time")
def walking_over_the_first_axis(seed: int, *, healed: bool) -> Case:
    """`for step in x` goes from sample to sample; stacked, the states have just the shape that was expected.

    Healed: the tensor is turned before the walk, and the last state is read.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 16, 2)
    weight = torch.linspace(1.0, 0.4, 16)
    y = (x[:, :, 0] @ weight).unsqueeze(1)
    y = y / y.std() + 0.1 * torch.randn(800, 1)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=20)
    model = MinimalGated(turn=healed)
    loss_fn = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: MinimalGated(turn=healed))


class Buoys(nn.Module):
    """One GRU for three buoys: their series go through it as one large batch, then side by side into the head."""

    def __init__(self, back_in_order):
        super().__init__()
        self.back_in_order = back_in_order
        self.gru = nn.GRU(1, 18, batch_first=True)
        self.head = nn.Sequential(nn.Linear(3 * 18, 24), nn.Tanh(), nn.Linear(24, 1))

    def forward(self, x):
        count = len(x)
        stacked = torch.cat([x[:, :, buoy, None] for buoy in range(3)])
        last = self.gru(stacked)[1][-1]
        last = last.view(3, count, 18).transpose(0, 1) if self.back_in_order else last.view(count, 3, 18)
        return self.head(last.reshape(count, 3 * 18))


@sick("samples-mixed")
def three_buoys_through_one_encoder(seed: int, *, healed: bool) -> Case:
    """Series are concatenated buoy by buoy, and the states come back viewed as if they were sample by sample.

    Healed: viewed as they were concatenated, then transposed.
    """
    torch.manual_seed(seed)
    swell = torch.randn(900, 1, 3)
    x = (swell + 0.6 * torch.randn(900, 24, 3)) / 1.17
    y = swell[:, 0] @ torch.tensor([[0.7], [-0.6], [0.5]]) + 0.1 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(x[:720], y[:720]), batch_size=48, shuffle=True)
    val = DataLoader(TensorDataset(x[720:], y[720:]), batch_size=60)
    model = Buoys(healed)
    loss_fn = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: Buoys(healed))
