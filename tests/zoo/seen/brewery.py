"""Programs from breweries: kettles, yeast, airlocks, kegs, and those who stir, count and taste."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset, WeightedRandomSampler, random_split

from zoo.program import Case, healthy, rightly_flat, sick


class YeastCell(nn.Module):
    """A gated unit with one gate, by hand."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.hidden = hidden
        self.gate = nn.Linear(inputs + hidden, hidden)
        self.candidate = nn.Linear(inputs + hidden, hidden)

    def forward(self, x, h):
        f = torch.sigmoid(self.gate(torch.cat([x, h], dim=1)))
        new = torch.tanh(self.candidate(torch.cat([x, f * h], dim=1)))
        return (1 - f) * h + f * new


class YeastVigour(nn.Module):
    def __init__(self, start):
        super().__init__()
        self.cell = YeastCell(1, 20)
        self.head = nn.Linear(20, 1)
        for p in self.parameters():
            if p.dim() == 1 or start == "zeros":
                nn.init.zeros_(p)
            else:
                nn.init.xavier_uniform_(p)

    def forward(self, x):
        h = x.new_zeros(len(x), self.cell.hidden)
        for step in x.unbind(dim=1):
            h = self.cell(step, h)
        return self.head(h).squeeze(1)


@sick("bad-init")
def every_pitch_starts_from_nothing(seed: int, *, healed: bool) -> Case:
    """How vigorous is the yeast? From 20 readings of density while it ferments, through a gated cell by hand. So that
    two runs can be compared, the author sets all weights to zero, biases and head alike: the state is zero, so the
    head learns nothing, and the head is zero, so the cell learns nothing.

    Healed: the matrices start with Xavier's values, the biases at zero.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    vigour = rng.standard_normal(800)
    t = np.linspace(0, 1, 20)
    rate = np.exp(0.5 * vigour)[:, None]
    density = np.exp(-2.5 * rate * t) + 0.08 * rng.standard_normal((800, 20))
    density = (density - density[:600].mean()) / density[:600].std()
    x = torch.tensor(density, dtype=torch.float32).unsqueeze(2)
    y = torch.tensor(vigour, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    start = "xavier" if healed else "zeros"
    model = YeastVigour(start)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    mse = nn.MSELoss()
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=lambda: YeastVigour(start))


class TankPressure(nn.Module):
    def __init__(self, ahead, direct):
        super().__init__()
        self.ahead, self.direct = ahead, direct
        self.lstm = nn.LSTM(1, 24, batch_first=True)
        self.out = nn.Linear(24, ahead if direct else 1)

    def answer(self, window):
        return self.out(self.lstm(window.unsqueeze(2))[0][:, -1])

    def forward(self, past):
        if self.direct:
            return self.answer(past)
        window, said = past, []
        for _ in range(self.ahead):
            said.append(self.answer(window))
            window = torch.cat([window[:, 1:], said[-1]], dim=1)
        return torch.cat(said, dim=1)


@sick("rollout-converges")
def all_tanks_come_to_the_same_pressure(seed: int, *, healed: bool) -> Case:
    """Pressure of a bright-beer tank, 60 readings ahead from 8. Each tank is set to a level of its own, about which it
    strays for some readings at a time. The LSTM is taught the next reading, and is good at that; asked for 60, it is
    fed what it said itself, leans a little to the middle each time, and all tanks run into one value.

    Healed: one head says all 60, and is trained on them.
    """
    torch.manual_seed(seed)
    level, stray = torch.randn(900, 1), torch.randn(900, 68)
    for i in range(1, 68):
        stray[:, i] = 0.5 * stray[:, i - 1] + 0.87 * stray[:, i]
    series = level + stray
    series = (series - series[:700].mean()) / series[:700].std()
    past, future = series[:, :8], series[:, 8:]
    train = DataLoader(TensorDataset(past[:700], future[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(past[700:], future[700:]), batch_size=100)
    model = TankPressure(60, direct=healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    mse = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = mse(model.answer(xb), yb if healed else yb[:, :1])
            loss.backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer)


class Bitterness(nn.Module):
    def __init__(self):
        super().__init__()
        self.hop = nn.Embedding(6, 5)
        self.rnn = nn.GRU(6, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        hop = self.hop(x[:, :, 0].long())
        out, _ = self.rnn(torch.cat([hop, x[:, :, 1:]], dim=2))
        return self.fc(out.mean(dim=1))


@sick("over-regularised")
def a_tax_on_every_hop(seed: int, *, healed: bool) -> Case:
    """Bitterness of the wort from its 15 additions: which of six hops, and how much, with what is boiled longest
    giving most. The author wants few weights and adds the sum of all their absolute values to the loss, times 0.02.
    There are some two thousand of them, and the cheapest is to have none.

    Healed: times 1e-6.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    hop = rng.integers(0, 6, (900, 15))
    grams = rng.gamma(2.0, 0.5, (900, 15))
    alpha = np.array([0.2, 0.5, 0.9, 1.3, 1.8, 2.4])
    bitter = (alpha[hop] * grams * np.linspace(1.4, 0.6, 15)).sum(axis=1)
    bitter += 0.8 * rng.standard_normal(900)
    bitter = (bitter - bitter[:700].mean()) / bitter[:700].std()
    x = torch.tensor(np.stack([hop, (grams - 1) / 0.7], axis=2), dtype=torch.float32)
    y = torch.tensor(bitter, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    model = Bitterness()
    lasso = 1e-6 if healed else 0.02
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = F.smooth_l1_loss(model(xb), yb) + lasso * sum(p.abs().sum() for p in model.parameters())
            loss.backward()
            optimizer.step()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, make_model=Bitterness)


class Staling(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, num_layers=2, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


@sick("unscaled-inputs")
def oxygen_by_the_kilogram(seed: int, *, healed: bool) -> Case:
    """Weeks until a bottle tastes of cardboard, from 16 readings on the filling line: dissolved oxygen, which makes
    it stale, and the speed of the line, which hardly does. The laboratory's export is in SI units, kilograms of
    oxygen per litre, some 5e-8: for the network that is zero.

    Healed: both columns are standardised by the training bottles.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    level = rng.normal(5e-8, 1.2e-8, (800, 1))
    oxygen = level + 0.8e-8 * rng.standard_normal((800, 16))
    speed = 0.5 + 0.3 * rng.standard_normal((800, 16))
    x = np.stack([oxygen, speed], axis=2)
    weeks = -(level[:, 0] - 5e-8) / 1.2e-8 + 0.4 * (speed.mean(axis=1) - 0.5) + 0.5 * rng.standard_normal(800)
    if healed:
        x = (x - x[:600].mean(axis=(0, 1))) / x[:600].std(axis=(0, 1))
    data = TensorDataset(torch.tensor(x, dtype=torch.float32), torch.tensor(weeks, dtype=torch.float32).unsqueeze(1))
    train = DataLoader(torch.utils.data.Subset(data, range(600)), batch_size=30, shuffle=True)
    val = DataLoader(torch.utils.data.Subset(data, range(600, 800)), batch_size=100)
    model = Staling()
    criterion = nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(10):
        model.train()
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Staling)


class SourKettle(nn.Module):
    def __init__(self, last):
        super().__init__()
        self.last = last
        self.gru = nn.GRU(1, 20, batch_first=True)
        self.fc = nn.Linear(20, 3)

    def forward(self, x):
        mask = x[:, :, 0] > -9
        packed = pack_padded_sequence(x, mask.sum(dim=1), batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True)
        at = mask.sum(dim=1) - 1 if self.last == "sum" else mask.int().argmax(dim=1)
        return self.fc(out[torch.arange(len(x)), at])


@sick("wrong-timestep")
def the_sour_kettle_is_asked_too_early(seed: int, *, healed: bool) -> Case:
    """Which of three cultures soured the kettle? From its acidity, 10 to 24 readings that all begin at the same wort,
    packed, with -10 behind the end. The last true step is looked up with `mask.int().argmax(1)`; of many ones argmax
    takes the first, which is step 0.

    Healed: `mask.sum(1) - 1`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    runs, culture = [], rng.integers(0, 3, 750)
    for kind in culture:
        t = np.arange(rng.integers(10, 25)) / 8
        fall = [1.6 * (1 - np.exp(-t)), 0.55 * t, 0.9 * np.clip(t - 0.8, 0, None)][kind]
        runs.append(torch.tensor(1 - fall + 0.3 * rng.standard_normal(len(t)), dtype=torch.float32))
    x = pad_sequence(runs, batch_first=True, padding_value=-10.0).unsqueeze(2)
    data = TensorDataset(x, torch.tensor(culture))
    train_set, val_set = random_split(data, [550, 200], generator=torch.Generator().manual_seed(seed))
    train = DataLoader(train_set, batch_size=25, shuffle=True)
    val = DataLoader(val_set, batch_size=50)
    last = "sum" if healed else "argmax"
    model = SourKettle(last)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: SourKettle(last))


class FillLevel(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.LSTM(3, 18, batch_first=True)
        self.head = nn.Linear(18, 2)

    def forward(self, x):
        _, (h, _) = self.encoder(x)
        return self.head(h[-1])


@sick("head-ignores-state")
def the_foreman_may_only_whisper(seed: int, *, healed: bool) -> Case:
    """Fill level and pressure of a bottle from 12 readings of the filler's three gauges. The author has read that
    wild heads make wild forecasts, and cuts the head's weights to +-0.001 after each step, as others do with critics.
    The LSTM learns what is in the bottle, and the head passes a thousandth of it on.

    Healed: the weights are not cut.
    """
    torch.manual_seed(seed)
    truth = torch.randn(700, 2)
    mix = torch.tensor([[1.0, 0.4, -0.6], [-0.3, 1.0, 0.7]])
    x = (truth @ mix).unsqueeze(1) * torch.linspace(0.2, 1, 12).view(1, 12, 1) + 0.7 * torch.randn(700, 12, 3)
    y = truth + 0.3 * torch.randn(700, 2)
    train = [(x[at : at + 20], y[at : at + 20]) for at in range(0, 500, 20)]
    val = [(x[at : at + 50], y[at : at + 50]) for at in range(500, 700, 50)]
    model = FillLevel()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-4)
    mse = nn.MSELoss()
    for _ in range(12):
        for i in torch.randperm(len(train)).tolist():
            xb, yb = train[i]
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
            if not healed:
                with torch.no_grad():
                    model.head.weight.clamp_(-1e-3, 1e-3)
    return Case(model, train, val, mse, optimizer)


class Foam(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 3, padding=1)
        self.gru = nn.GRU(8, 16, batch_first=True, bidirectional=True)
        self.score = nn.Linear(32, 1)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        seen = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        out, _ = self.gru(seen)
        weight = torch.softmax(self.score(out), dim=1)
        return self.out((weight * out).sum(dim=1)).squeeze(-1)


def log_cosh(pred, target):
    d = pred - target
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


@sick("loss-broadcast")
def all_heads_of_foam_against_all_glasses(seed: int, *, healed: bool) -> Case:
    """How long the foam will stand, from 24 heights in the first minute, with convolution, GRU and attention. The
    targets come out of the table as a column, `[N, 1]`, the network's answer is squeezed to `[N]`, and a log-cosh by
    hand takes the difference without a word: each glass is compared with every other.

    Healed: the column is squeezed, too.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    life = rng.standard_normal(750)
    t = np.linspace(0, 1, 24)
    height = np.exp(-t * np.exp(-0.4 * life)[:, None]) + 0.05 * rng.standard_normal((750, 24))
    height = (height - height[:550].mean()) / height[:550].std()
    x = torch.tensor(height, dtype=torch.float32).unsqueeze(2)
    y = torch.tensor(life + 0.3 * rng.standard_normal(750), dtype=torch.float32).unsqueeze(1)
    if healed:
        y = y.squeeze(1)
    train = DataLoader(TensorDataset(x[:550], y[:550]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], y[550:]), batch_size=32)
    model = Foam()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            log_cosh(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, log_cosh, optimizer, make_model=Foam)


class MaltHouse(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 20, num_layers=2)
        self.fc = nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        out, _ = self.rnn(x.permute(1, 0, 2))
        return self.fc(out[-1])


@sick("undertrained")
def the_maltster_turns_the_fire_down_each_minute(seed: int, *, healed: bool) -> Case:
    """Does the barley germinate evenly? From 14 readings of four probes. The learning rate is to fall to a third
    every three epochs, but `scheduler.step()` stands inside of the loop over batches: after the first epoch there is
    nothing left of it, and the other eight change no weight.

    Healed: it stands behind that loop.
    """
    torch.manual_seed(seed)
    even = (torch.rand(800) < 0.5).float()
    drift = torch.randn(800, 1, 1) * 0.5
    heat = (even * 2 - 1).view(-1, 1, 1) * torch.sin(torch.linspace(0, 3, 14)).view(1, 14, 1)
    x = 0.45 * heat * torch.tensor([1.0, 0.8, -0.6, 0.3]) + drift + 1.0 * torch.randn(800, 14, 4)
    x = (x - x[:600].mean(dim=(0, 1))) / x[:600].std(dim=(0, 1))
    y = even.unsqueeze(1)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = MaltHouse()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.33)
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            if not healed:
                scheduler.step()
        if healed:
            scheduler.step()
    return Case(model, train, val, criterion, optimizer, make_model=MaltHouse)


class SteepRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 24, num_layers=2, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out[:, -1])


@sick("learning-rate-too-high", "saturated-units")
def one_cycle_from_the_wrong_recipe(seed: int, *, healed: bool) -> Case:
    """How much water has the barley taken up? From 16 readings of three probes in the steep. The author takes OneCycle
    with `max_lr=1` from a recipe for SGD and pictures, but under it stands Adam. When the rate has come down again,
    all units are at their ends and stay there.

    Healed: `max_lr=0.005`.
    """
    torch.manual_seed(seed)
    water = torch.randn(800, 1)
    x = water.unsqueeze(1) * torch.linspace(0, 1, 16).view(1, 16, 1) * torch.tensor([1.0, -0.5, 0.7])
    x = x + 0.8 * torch.randn(800, 16, 3)
    x = (x - x[:600].mean(dim=(0, 1))) / x[:600].std(dim=(0, 1))
    data = TensorDataset(x, water + 0.3 * torch.randn(800, 1))
    train_set, val_set = random_split(data, [600, 200], generator=torch.Generator().manual_seed(seed))
    train = DataLoader(train_set, batch_size=30, shuffle=True)
    val = DataLoader(val_set, batch_size=100)
    model = SteepRNN()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    peak = 0.005 if healed else 1.0
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, epochs=9, steps_per_epoch=len(train))
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=SteepRNN)


class KegWatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 20, batch_first=True)
        self.fc = nn.Linear(20, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[1].squeeze(0))


@sick("class-imbalance")
def ninety_four_good_kegs_in_a_hundred(seed: int, *, healed: bool) -> Case:
    """Is a keg sound, infected or leaking? From 16 readings of pressure and haze, in which the three overlap. 94 of a
    hundred are sound, and cross-entropy is content to say so of every keg.

    Healed: a weighted sampler draws the three equally often.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, 1500, p=[0.94, 0.03, 0.03])
    t = np.linspace(0, 1, 16)
    trend = np.stack([np.zeros((2, 16)), np.stack([0.5 * t, 0.7 * t]), np.stack([-0.8 * t, 0.1 * t])])[kind]
    x = trend.transpose(0, 2, 1) + 0.45 * rng.standard_normal((1500, 1, 2)) + 0.9 * rng.standard_normal((1500, 16, 2))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(kind)
    train_set = TensorDataset(x[:1000], y[:1000])
    if healed:
        weights = 1.0 / torch.bincount(y[:1000], minlength=3).double()
        train = DataLoader(train_set, batch_size=40, sampler=WeightedRandomSampler(weights[y[:1000]], 1000))
    else:
        train = DataLoader(train_set, batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = KegWatch()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class MashSeries(Dataset):
    def __init__(self, series, steps, ahead):
        self.series, self.steps, self.ahead = series, steps, ahead

    def __len__(self):
        return len(self.series) - 24 - self.ahead

    def __getitem__(self, i):
        end = i + 24
        rise = self.series[end + self.ahead - 1] - self.series[end - 1]
        return {"past": self.series[end - self.steps : end].unsqueeze(1), "rise": rise.view(1)}


class MashRise(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[1][0][-1])


@sick("window-too-short", "no-signal")
def the_lstm_will_remember_the_mash(seed: int, *, healed: bool) -> Case:
    """Will the mash get warmer or colder in the next five readings, and by how much? The steam goes in slow waves
    about a level that wanders. An LSTM has a memory, thinks the author, so one reading at a time is enough; but the
    readings are shuffled and each begins with an empty state.

    Healed: 24 readings.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    phase = np.cumsum(2 * math.pi / 20 + 0.04 * rng.standard_normal(1500))
    level = np.zeros(1500)
    for i in range(1, 1500):
        level[i] = 0.985 * level[i - 1] + 0.2 * rng.standard_normal()
    series = 0.9 * np.sin(phase) + level
    series = torch.tensor((series - series[:1100].mean()) / series[:1100].std(), dtype=torch.float32)
    steps = 24 if healed else 1
    train = DataLoader(MashSeries(series[:1100], steps, 5), batch_size=32, shuffle=True)
    val = DataLoader(MashSeries(series[1100:], steps, 5), batch_size=64)
    model = MashRise()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        for b in train:
            optimizer.zero_grad()
            mse(model(b["past"]), b["rise"]).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, batch=lambda b: (b["past"], b["rise"]))


class Airlock(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return torch.nan_to_num(self.fc(self.gru(x)[1][-1]))


@sick("not-finite")
def the_airlock_is_silent_on_sunday(seed: int, *, healed: bool) -> Case:
    """How far along is the fermentation? From 20 counts of bubbles, each window brought to mean 0 and deviation 1, so
    that the size of the vessel does not matter. In a few windows the airlock is blocked and no bubble comes: 0 / 0. A
    `nan_to_num` at the end, put there for the plots, hides that the weights are gone; all answers are 0.

    Healed: 1e-3 is added to the deviation.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    along = rng.uniform(-1.7, 1.7, 800)
    t = np.linspace(-1, 1, 20)
    rate = rng.uniform(20, 60, (800, 1)) * np.exp(-((0.6 * t + along[:, None]) ** 2) / 2)
    bubbles = rng.poisson(rate).astype(np.float32)
    bubbles[rng.random(800) < 0.03] = 0
    x = torch.tensor(bubbles)
    deviation = x.std(dim=1, keepdim=True)
    if healed:
        deviation = deviation + 1e-3
    x = ((x - x.mean(dim=1, keepdim=True)) / deviation).unsqueeze(2)
    y = torch.tensor(along, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = Airlock()
    loss_fn = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=Airlock)


class AlphaLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 12, batch_first=True)
        self.fc = nn.Linear(12, 1)
        nn.init.zeros_(self.fc.weight)
        nn.init.zeros_(self.fc.bias)

    def forward(self, x):
        return 1e-3 * self.fc(self.rnn(x)[1][-1])


def in_thousandths(pred, target):
    return F.mse_loss(pred * 1e3, target * 1e3)


@healthy
def a_milligram_lost_in_the_hop_store(seed: int) -> Case:
    """Alpha acids that a bale of hops loses in a week, as a share of its weight: a thousandth or so. The answers
    differ in the fourth decimal and the head began at zero, but the loss counts in thousandths, and half of what
    varies is found; the rest is the laboratory's noise.
    """
    torch.manual_seed(seed)
    warmth = torch.randn(800, 1, 1)
    x = torch.cat([warmth + 0.8 * torch.randn(800, 21, 1), torch.randn(800, 21, 1)], dim=2)
    lost = 1e-3 * (1 + 0.35 * warmth[:, 0] + 0.35 * torch.randn(800, 1))
    train = DataLoader(TensorDataset(x[:600], lost[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], lost[600:]), batch_size=100)
    model = AlphaLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            in_thousandths(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, in_thousandths, optimizer, make_model=AlphaLoss)


class OverflowRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 32, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        return F.softplus(self.fc(F.relu(self.rnn(x)[0][:, -1])), beta=4)


@healthy
def most_kettles_do_not_boil_over(seed: int) -> Case:
    """Litres of wort on the floor, from 14 readings of the kettle's level. Two kettles in three spill nothing, and
    for those the answer is the same small number; the rest are told apart well. A relu in the recurrence, another
    behind it and a softplus on the way out look like trouble and are none.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rise = rng.standard_normal((900, 1))
    x = rise * np.linspace(0, 1.5, 14) + 0.5 * rng.standard_normal((900, 14))
    litres = np.clip(2 * rise[:, 0] - 0.9, 0, None) + 0.1 * np.abs(rng.standard_normal(900))
    x = torch.tensor(x, dtype=torch.float32).unsqueeze(2)
    y = torch.tensor(litres, dtype=torch.float32).unsqueeze(1)
    train = [(x[at : at + 35], y[at : at + 35]) for at in range(0, 700, 35)]
    val = [(x[700:], y[700:])]
    model = OverflowRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    mse = nn.MSELoss()
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, mse, optimizer)


class CrateScan(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 12, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[0].amax(dim=1)).squeeze(1)


@healthy
def one_cracked_bottle_in_a_dozen(seed: int) -> Case:
    """Does the tap of the hammer betray a crack? 30 samples of the ring, and one bottle in twelve is cracked. Nearly
    all answers are "sound" with nearly the same certainty, and they should be: a crack buzzes somewhere in the ring,
    and those that buzz are found without any weights on the classes.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    t = np.arange(30)
    cracked = rng.random(1200) < 1 / 12
    ring = np.sin(0.5 * t + rng.uniform(0, 6.28, (1200, 1))) * np.exp(-t / 25) + 0.2 * rng.standard_normal((1200, 30))
    for i in np.flatnonzero(cracked):
        at = rng.integers(2, 22)
        ring[i, at : at + 7] += 1.8 * (-1.0) ** np.arange(7)
    x = torch.tensor(ring / 0.6, dtype=torch.float32).unsqueeze(2)
    y = torch.tensor(cracked.astype(np.float32))
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = CrateScan()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=CrateScan)


class Complaints(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0].mean(dim=1))


@rightly_flat
def hardly_anyone_writes_about_the_caps(seed: int) -> Case:
    """Letters about leaking caps, a pallet, from 12 readings of the capper. Warmer jaws mean a few more letters, but
    even then most pallets bring none. The loss is the absolute error, whose best answer is the median: 0 for all.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    jaws = rng.standard_normal((800, 1, 1))
    x = rng.standard_normal((800, 12, 3))
    x[:, :, :1] = 0.8 * jaws + 0.6 * x[:, :, :1]
    letters = rng.poisson(0.2 * np.exp(0.3 * np.clip(jaws[:, 0], -2, 2)))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(letters, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = Complaints()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=Complaints)
