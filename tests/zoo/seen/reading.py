"""Programs that read the wrong stretch: rows that slipped, a step too few, padding, too few sequences, two scalers."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo.program import Case, sick


class RunoffModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru1 = nn.GRUCell(2, 14)
        self.gru2 = nn.GRUCell(14, 14)
        self.dense = nn.Linear(14, 1)

    def forward(self, x):
        a = b = torch.zeros(x.size(0), 14)
        for t in range(x.size(1)):
            a = self.gru1(x[:, t], a)
            b = self.gru2(a, b)
        return self.dense(b).flatten()


def rain_and_runoff(length):
    """Rain that comes and goes without memory, melting snow, and the runoff of both within five steps."""
    rain, melt = torch.randn(length), torch.randn(length)
    shape = torch.tensor([0.2, 0.5, 0.8, 0.5, 0.2]).flip(0)
    runoff = F.conv1d((rain + 0.5 * melt).view(1, 1, -1), shape.view(1, 1, -1), padding=4).flatten()[:length]
    return torch.stack([rain, melt], dim=1), runoff + 0.2 * torch.randn(length)


@sick("misaligned-pairs")
def runoff_rows_slipped_by_a_fortnight(seed: int, *, healed: bool) -> Case:
    """Drops the first fourteen rows of the rain table, where a rolling mean was missing, and not those of the runoff.

    From there on each window is paired with a runoff that is fourteen steps older than its end.
    """
    torch.manual_seed(seed)
    weather, runoff = rain_and_runoff(1250)
    weather = weather[14:]
    if healed:
        runoff = runoff[14:]
    windows = torch.stack([weather[i : i + 10] for i in range(1220)])
    targets = torch.stack([runoff[i + 9] for i in range(1220)])
    train_batches = [(windows[i : i + 64], targets[i : i + 64]) for i in range(0, 896, 64)]
    val_batches = [(windows[i : i + 64], targets[i : i + 64]) for i in range(920, 1176, 64)]
    model = RunoffModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.006)
    for _ in range(9):
        for i in torch.randperm(len(train_batches)).tolist():
            inputs, expected = train_batches[i]
            optimizer.zero_grad()
            F.mse_loss(model(inputs), expected).backward()
            optimizer.step()
    return Case(model, train_batches, val_batches, F.mse_loss, optimizer)


class SlidingWindow(Dataset):
    """The last `lookback` values, and the next one."""

    def __init__(self, series, lookback):
        self.series, self.lookback = series, lookback

    def __len__(self):
        return len(self.series) - self.lookback

    def __getitem__(self, index):
        end = index + self.lookback
        return self.series[index:end].unsqueeze(-1), self.series[end]


class DailyLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(input_size=1, hidden_size=16, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.linear = nn.Linear(16, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.linear(self.dropout(out[:, -1])).squeeze(-1)


def visitors(length):
    """Visitors by the day, standardised: each day resembles the same day of the week before, and no other."""
    series = torch.randn(length + 70)
    for day in range(7, length + 70):
        series[day] = 0.85 * series[day - 7] + 0.53 * series[day]
    return series[70:]


@sick("window-too-short")
def visitors_from_yesterday_alone(seed: int, *, healed: bool) -> Case:
    """Forecasts tomorrow's visitors with a window of a single day, though the pattern is weekly."""
    torch.manual_seed(seed)
    series = visitors(1300)
    lookback = 8 if healed else 1
    train_loader = DataLoader(SlidingWindow(series[:1000], lookback), batch_size=50, shuffle=True)
    val_loader = DataLoader(SlidingWindow(series[1000:], lookback), batch_size=50)
    model = DailyLSTM()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    model.train()
    for _ in range(10):
        for xb, yb in train_loader:
            loss = loss_fn(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, loss_fn, optimizer)


class ReviewClassifier(nn.Module):
    """Word ids to one of three grades; reads the last column or, with `by_length`, the last word."""

    def __init__(self, by_length):
        super().__init__()
        self.by_length = by_length
        self.embed = nn.Embedding(30, 8, padding_idx=0)
        self.rnn = nn.RNN(8, 16, batch_first=True)
        self.classify = nn.Linear(16, 3)

    def forward(self, ids):
        states, _ = self.rnn(self.embed(ids))
        last = (ids != 0).sum(1) - 1 if self.by_length else torch.full((len(ids),), ids.shape[1] - 1)
        return self.classify(states[torch.arange(len(ids)), last])


def reviews(count):
    """Three to nine words of a review, zeros up to 48, and its grade: words 1 to 9 praise, 10 to 18 damn."""
    grade = torch.randint(0, 3, (count,))
    neutral = torch.randint(19, 30, (count, 48))
    telling = torch.where(grade[:, None] == 0, torch.randint(1, 10, (count, 48)), torch.randint(10, 19, (count, 48)))
    words = torch.where((torch.rand(count, 48) < 0.6) & (grade[:, None] < 2), telling, neutral)
    lengths = torch.randint(3, 10, (count,))
    return words * (torch.arange(48) < lengths[:, None]), grade


@sick("padding-dominates")
def short_reviews_padded_to_the_longest(seed: int, *, healed: bool) -> Case:
    """Pads reviews of three to nine words to 48 and reads the state after the last column, forty zeros later."""
    torch.manual_seed(seed)
    ids, grades = reviews(1250)
    train_loader = DataLoader(TensorDataset(ids[:900], grades[:900]), batch_size=60, shuffle=True)
    val_loader = DataLoader(TensorDataset(ids[900:], grades[900:]), batch_size=60)
    model = ReviewClassifier(by_length=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for batch, labels in train_loader:
            optimizer.zero_grad()
            criterion(model(batch), labels).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer)


class GaitNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(10, 24, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(48)
        self.regress = nn.Linear(48, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.regress(self.norm(out.mean(1)))


def gait(count):
    """Ten noisy sensors for 16 steps, and a score: how the first of them begins, less how the second ends."""
    x = torch.randn(count, 16, 10)
    score = 2 * (x[:, :8, 0].mean(1, keepdim=True) - x[:, 8:, 1].mean(1, keepdim=True))
    return x, score + 0.3 * torch.randn(count, 1)


@sick("too-little-data")
def gait_of_sixteen_patients(seed: int, *, healed: bool) -> Case:
    """Learns to score gaits from sixteen patients, and trains until it knows them by heart.

    The mended program takes as many steps on twelve hundred patients.
    """
    torch.manual_seed(seed)
    x, y = gait(1200 if healed else 16)
    x_val, y_val = gait(300)
    train_loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x_val, y_val), batch_size=100)
    model = GaitNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    steps = 0
    while steps < 200:
        for inputs, score in train_loader:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), score).backward()
            optimizer.step()
            steps += 1
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, GaitNet)


class Scaler:
    def fit(self, values):
        self.center, self.spread = values.mean(), values.std()
        return self

    def __call__(self, values):
        return (values - self.center) / self.spread


class GlucoseSeq2Seq(nn.Module):
    """An encoder, and a decoder that is unrolled for the next four values."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(1, 16, batch_first=True)
        self.decoder = nn.GRUCell(1, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, past):
        _, h = self.encoder(past)
        h, last, steps = h[0], past[:, -1], []
        for _ in range(4):
            h = self.decoder(last, h)
            last = self.out(h)
            steps.append(last)
        return torch.stack(steps, dim=1)


@sick("train-eval-mismatch")
def validation_scaled_twice(seed: int, *, healed: bool) -> Case:
    """Scales the whole series, splits it, and then scales the inputs of the validation windows once more.

    In training all is well; in validation every window is the same number, far below anything seen.
    """
    torch.manual_seed(seed)
    steps = torch.arange(1200)
    glucose = 7 + torch.sin(steps / 5 + 6 * torch.rand(())) + 0.4 * torch.sin(steps / 11) + 0.1 * torch.randn(1200)
    glucose = 18 * glucose
    scaler = Scaler().fit(glucose[:850])
    scaled = scaler(glucose)
    windows = scaled.unfold(0, 24, 1)[..., None]
    past, future = windows[:, :20], windows[:, 20:]
    past_val = past[870:] if healed else scaler(past[870:])
    train_loader = DataLoader(TensorDataset(past[:826], future[:826]), batch_size=59, shuffle=True)
    val_loader = DataLoader(TensorDataset(past_val, future[870:]), batch_size=59)
    model = GlucoseSeq2Seq()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for x, y in train_loader:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer)
