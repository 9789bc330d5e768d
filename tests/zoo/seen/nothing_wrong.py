"""Nothing is wrong here: models that look ill and are well, and some that rightly say the same of everything."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, rightly_flat


class Spread(nn.Module):
    """Spreads of two currency pairs at the next fixing: an LSTM both ways, a layer norm, two outputs."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 14, batch_first=True, bidirectional=True)
        self.norm = nn.LayerNorm(28)
        self.head = nn.Linear(28, 2)

    def forward(self, quotes):
        return 0.01 * self.head(self.norm(self.lstm(quotes)[0].mean(1)))


@healthy
def spreads_of_a_hundredth(seed: int) -> Case:
    """Spreads have a deviation of 0.01 and are left as they are; the model itself ends in a factor of a hundredth."""
    torch.manual_seed(seed)
    flow = torch.randn(1000, 1, 2)
    mixing = torch.tensor([[1.0, 0.3, -0.5], [-0.2, 0.9, 0.6]])
    quotes = flow @ mixing + 0.6 * torch.randn(1000, 14, 3)
    spreads = 0.01 * (0.95 * flow[:, 0].tanh() * 1.5 + 0.2 * torch.randn(1000, 2))
    train = DataLoader(TensorDataset(quotes[:700], spreads[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(quotes[700:], spreads[700:]), batch_size=100)
    model = Spread()
    mse = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=5e-3, total_steps=12 * 20)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, mse, optimizer, make_model=Spread)


class Clicks(nn.Module):
    """Hand-written minimal gated unit over a visitor's pages; the minutes until the next visit."""

    def __init__(self, hidden=12):
        super().__init__()
        self.forget = nn.Linear(4 + hidden, hidden)
        self.fresh = nn.Linear(4 + hidden, hidden)
        self.minutes = nn.Linear(hidden, 1)

    def forward(self, pages):
        state = pages.new_zeros(len(pages), self.forget.out_features)
        mean = 0.0
        for page in pages.unbind(1):
            gate = torch.sigmoid(self.forget(torch.cat([page, state], 1)))
            fresh = torch.tanh(self.fresh(torch.cat([page, gate * state], 1)))
            state = (1 - gate) * state + gate * fresh
            mean = mean + state / pages.shape[1]
        return self.minutes(mean).squeeze(1)


@healthy
def a_tenth_of_it_can_be_known(seed: int) -> Case:
    """Nine tenths of the variance are noise; the forecasts move by a third of the target, as the rest cannot be known.

    The rate falls along a cosine.
    """
    torch.manual_seed(seed)
    taste = torch.randn(1500, 1, 1)
    pages = taste * torch.tensor([1.0, -0.8, 0.6, 0.4]) + 0.7 * torch.randn(1500, 10, 4)
    minutes = 0.36 * taste[:, 0, 0] + 0.93 * torch.randn(1500)
    train = DataLoader(TensorDataset(pages[:1100], minutes[:1100]), batch_size=44, shuffle=True)
    val = DataLoader(TensorDataset(pages[1100:], minutes[1100:]), batch_size=100)
    model = Clicks()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=6)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=Clicks)


class Tagger(nn.Module):
    """A tag for each of fifteen words: embedding, GRU both ways, logits (N, 3, T)."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(50, 12)
        self.gru = nn.GRU(12, 16, batch_first=True, bidirectional=True)
        self.tags = nn.Linear(32, 3)

    def forward(self, batch):
        return self.tags(self.gru(self.embed(batch))[0]).transpose(1, 2)


@healthy
def names_among_the_words(seed: int) -> Case:
    """Nineteen words of twenty are no name; a name is one of five words behind a title, and is found regardless.

    A title in front of another word, and those words without a title, are no names.
    """
    torch.manual_seed(seed)
    words = torch.randint(50, (900, 15))
    place = torch.randint(1, 15, (900,))
    rows = torch.arange(900)
    titled = torch.rand(900) < 0.7
    words[rows[titled], place[titled] - 1] = torch.randint(3, (int(titled.sum()),))
    words[rows, place] = torch.where(torch.rand(900) < 0.8, torch.randint(40, 50, (900,)), words[rows, place])
    before = torch.cat([torch.full((900, 1), 20), words[:, :-1]], 1)
    tags = (before < 3) * ((words >= 40).long() + (words >= 45).long())
    data = [{"words": w, "tags": t} for w, t in zip(words, tags, strict=True)]
    train = DataLoader(data[:700], batch_size=35, shuffle=True)
    val = DataLoader(data[700:], batch_size=50)
    model = Tagger()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.015)
    for _ in range(8):
        for batch in train:
            optimizer.zero_grad()
            criterion(model(batch["words"]), batch["tags"]).backward()
            optimizer.step()
    return Case(
        model,
        train,
        val,
        criterion,
        optimizer,
        make_model=Tagger,
        batch=lambda batch: (batch["words"], batch["tags"]),
    )


class Claims(nn.Module):
    """What a policy will cost, never below nought: an LSTM cell by hand, softplus at the end."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 20)
        self.cost = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1), nn.Softplus())

    def forward(self, years):
        state = None
        for year in years.unbind(1):
            state = self.cell(year, state)
        return self.cost(state[0])


@healthy
def claims_with_a_long_tail(seed: int) -> Case:
    """Claims are skewed, most of them small and a few large; the mean absolute error follows the median of each."""
    torch.manual_seed(seed)
    risk = torch.randn(1100, 1)
    years = torch.stack([risk, -0.7 * risk, 0.0 * risk], 2) + 0.6 * torch.randn(1100, 12, 3)
    claims = torch.exp(0.9 * risk - 0.4 + 0.25 * torch.randn(1100, 1))
    train = DataLoader(TensorDataset(years[:800], claims[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(years[800:], claims[800:]), batch_size=60)
    model = Claims()
    mae = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.012)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            mae(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mae, optimizer, make_model=Claims)


@healthy
def degrees_beside_parts_per_thousand(seed: int) -> Case:
    """Columns of scale 12, 1 and 0.05 go unscaled into a convolution and leaky units; what is needed is learned."""
    torch.manual_seed(seed)
    slow = torch.randn(900, 3, 1)
    scale = torch.tensor([[12.0], [1.0], [0.05]])
    x = scale * (slow + 0.4 * torch.randn(900, 3, 20))
    y = (0.9 * slow[:, 0] - 0.8 * slow[:, 1] + 0.1 * torch.randn(900, 1)) / 1.21

    def make_model():
        return nn.Sequential(
            nn.Conv1d(3, 24, 4, stride=4),
            nn.LeakyReLU(0.1),
            nn.Flatten(),
            nn.Linear(120, 16),
            nn.GELU(),
            nn.Linear(16, 1),
        )

    train = DataLoader(TensorDataset(x[:650], y[:650]), batch_size=26, shuffle=True)
    val = DataLoader(TensorDataset(x[650:], y[650:]), batch_size=125)
    model = make_model()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class Portfolio(nn.Module):
    """One layer of attention over twenty days of three returns, pooled; three returns of tomorrow."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(3, 16)
        self.day = nn.Parameter(0.1 * torch.randn(1, 20, 16))
        self.layer = nn.TransformerEncoderLayer(16, nhead=2, dim_feedforward=32, dropout=0.2, batch_first=True)
        self.head = nn.Linear(16, 3)

    def forward(self, returns):
        return self.head(self.layer(self.lift(returns) + self.day).mean(1))


@rightly_flat
def three_shares_that_walk_at_random(seed: int) -> Case:
    """Tomorrow's steps of three random walks that move together, split in time; nothing is left to say but the mean."""
    torch.manual_seed(seed)
    steps = 0.6 * torch.randn(1400, 1) + 0.8 * torch.randn(1400, 3)
    windows = steps.unfold(0, 21, 1).transpose(1, 2)
    x, y = windows[:, :20].contiguous(), windows[:, 20].contiguous()
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[1020:], y[1020:]), batch_size=90)
    model = Portfolio()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    for _ in range(4):
        model.train()
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Portfolio)


class Gauges(nn.Module):
    """Rain of the next two days at three gauges, (N, 2, 3), from two stacked GRUs."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 16, num_layers=2, batch_first=True)
        self.rain = nn.Linear(16, 6)

    def forward(self, weather):
        return self.rain(self.gru(weather)[1][-1]).view(-1, 2, 3)


@rightly_flat
def rain_in_a_dry_country(seed: int) -> Case:
    """It rains one day in eight, by chance; the mean absolute error is least for nought, whatever the day before."""
    torch.manual_seed(seed)
    wet = torch.rand(1100, 16, 3) < 0.125
    rain = wet * torch.empty(1100, 16, 3).exponential_(0.5)
    weather = torch.cat([torch.log1p(rain), torch.randn(1100, 16, 2)], 2)
    x, y = weather[:, :14], rain[:, 14:]
    train = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=60)
    model = Gauges()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.7)
    for _ in range(9):
        for inputs, target in train:
            optimizer.zero_grad()
            F.l1_loss(model(inputs), target).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, F.l1_loss, optimizer, make_model=Gauges)


class Toss(nn.Module):
    """The path of a tossed coin, frame by frame through an RNN cell; heads or tails, as two logits."""

    def __init__(self):
        super().__init__()
        self.look = nn.Linear(3, 12)
        self.cell = nn.RNNCell(12, 12)
        self.side = nn.Linear(12, 2)

    def forward(self, path):
        state = path.new_zeros(len(path), 12)
        for frame in path.unbind(1):
            state = self.cell(torch.relu(self.look(frame)), state)
        return self.side(state)


@rightly_flat
def heads_or_tails_from_the_throw(seed: int) -> Case:
    """Thrown coins are filmed from the hand to the top; how they land is up to the floor. SGD with weight decay."""
    torch.manual_seed(seed)
    height = torch.linspace(0, 1, 18)
    speed = 1 + 0.3 * torch.randn(1200, 1)
    path = torch.stack([speed * height - 0.5 * height**2, torch.sin(9 * speed * height), 0.2 * speed + 0 * height], 2)
    path = path - path.mean((0, 1)) + 0.1 * torch.randn(1200, 18, 3)
    side = torch.randint(2, (1200,))
    train = DataLoader(TensorDataset(path[:900], side[:900]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(path[900:], side[900:]), batch_size=60)
    model = Toss()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.5, weight_decay=0.01)
    for _ in range(6):
        for inputs, label in train:
            optimizer.zero_grad()
            criterion(model(inputs), label).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Toss)


class Ground(nn.Module):
    """The level of ground water from forty days of two other basins' rain: dilated convolutions and a mean."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 8, 3, dilation=2), nn.ReLU(), nn.Dropout(0.2), nn.Conv1d(8, 8, 3, dilation=4), nn.ReLU()
        )
        self.level = nn.Linear(8, 1)

    def forward(self, rain):
        return self.level(self.body(rain.transpose(1, 2)).mean(2))


@rightly_flat
def wells_of_another_basin(seed: int) -> Case:
    """A well's level is slow noise of its own, and the rain beside it fell elsewhere.

    The last third of the record is held out, and the best of six epochs is kept.
    """
    torch.manual_seed(seed)
    noise = torch.randn(7300, 3)
    for now in range(1, 7300):
        noise[now] = 0.7 * noise[now - 1] + 0.714 * noise[now]
    windows = noise.unfold(0, 24, 6).transpose(1, 2)
    x, y = windows[:, :, :2].contiguous(), windows[:, -1, 2:].contiguous()
    train = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[805:], y[805:]), batch_size=100)
    model = Ground()
    mse = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(6):
        model.train()
        for inputs, level in train:
            optimizer.zero_grad()
            mse(model(inputs), level).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            held_out = sum(mse(model(inputs), level).item() for inputs, level in val)
        if held_out < best:
            best, kept = held_out, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return Case(model, train, val, mse, optimizer, make_model=Ground)
