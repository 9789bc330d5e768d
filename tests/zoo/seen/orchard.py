"""Programs from orchards and cold stores: trees, crates, sorting lines, and those who look after them."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, WeightedRandomSampler, random_split

from zoo.program import Case, healthy, rightly_flat, sick


class FirmnessNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 32, num_layers=2, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(out[:, -1])


@sick("learning-rate-too-high", "saturated-units")
def the_rate_grows_with_the_crate(seed: int, *, healed: bool) -> Case:
    """How firm is an apple? A tapper knocks on it and two microphones listen for 20 samples; the ringing is faster in
    a firm one. The author has read that the learning rate goes with the batch size and multiplies: 0.01 times 64.
    The first steps throw the two LSTMs so far that the output is one number and stays so.

    Healed: the rate is 0.01.
    """
    torch.manual_seed(seed)
    batch_size = 64
    firmness = torch.randn(840, 1)
    t = torch.arange(20) / 20
    rate = 2.5 + 0.3 * firmness
    near = torch.exp(-1.5 * t) * torch.cos(2 * math.pi * rate * t)
    far = 0.7 * torch.exp(-1.5 * t) * torch.sin(2 * math.pi * rate * t)
    x = torch.stack([near, far], dim=2) + 0.15 * torch.randn(840, 20, 2)
    x = (x - x[:640].mean(dim=(0, 1))) / x[:640].std(dim=(0, 1))
    train = DataLoader(TensorDataset(x[:640], firmness[:640]), batch_size=batch_size, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], firmness[640:]), batch_size=batch_size)
    model = FirmnessNet()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01 if healed else 0.01 * batch_size)
    for _ in range(5):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=FirmnessNet)


class FrostWarning(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 16, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(32, 2)

    def forward(self, x):
        h = self.gru(x)[0].mean(dim=1)
        return self.out(self.drop(h))


@sick("class-imbalance")
def four_nights_in_a_hundred_bite_the_blossom(seed: int, *, healed: bool) -> Case:
    """Will there be frost in the hollow tonight? From temperature, dew point and wind, every half hour of the evening.
    Some four nights of a hundred have frost, evenings before frost are like many without, and cross-entropy is well
    served by "no" every night.

    Healed: a WeightedRandomSampler draws both kinds of night equally often.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, steps = 1500, 12
    frost = rng.random(n) < 0.04
    evening = rng.standard_normal((n, steps, 3)).cumsum(axis=1) * 0.35 + 0.6 * rng.standard_normal((n, steps, 3))
    fall = np.linspace(0, 1, steps)
    evening[frost, :, 0] -= 1.5 * fall
    evening[frost, :, 1] -= 1.2 * fall
    evening[frost, :, 2] -= 0.7
    evening = (evening - evening[:900].mean(axis=(0, 1))) / evening[:900].std(axis=(0, 1))
    x, y = torch.tensor(evening, dtype=torch.float32), torch.tensor(frost.astype(np.int64))
    train_set, val_set = TensorDataset(x[:900], y[:900]), TensorDataset(x[900:], y[900:])
    if healed:
        weight = 1.0 / torch.bincount(y[:900]).float()[y[:900]]
        train = DataLoader(train_set, batch_size=50, sampler=WeightedRandomSampler(weight, 900))
    else:
        train = DataLoader(train_set, batch_size=50, shuffle=True)
    val = DataLoader(val_set, batch_size=100)
    model = FrostWarning()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(4):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer)


class DoorWindows(Dataset):
    def __init__(self, doors, humidity, window, start, stop):
        self.doors, self.humidity, self.window = doors, humidity, window
        self.ends = range(start, stop)

    def __len__(self):
        return len(self.ends)

    def __getitem__(self, i):
        end = self.ends[i]
        return self.doors[end - self.window : end], self.humidity[end - 1]


class HumidityModel(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.rnn = nn.LSTM(2, hidden, batch_first=True)
        self.fc1 = nn.Linear(hidden, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, x):
        _, (h, _) = self.rnn(x)
        return self.fc2(torch.tanh(self.fc1(h[-1]))).squeeze(-1)


@sick("window-too-short", "no-signal")
def six_hours_that_are_ninety_minutes(seed: int, *, healed: bool) -> Case:
    """Humidity at the far end of a long store, from how much both doors were open. Damp air takes three hours to get
    there, so the author takes a window of six hours, 6 rows; but the logger writes a row each quarter of an hour, and
    what matters is 10 to 13 rows old.

    Healed: six hours are 24 rows.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = 1300
    doors = rng.standard_normal((rows, 2))
    air = 0.7 * doors[:, 0] + 0.5 * doors[:, 1]
    humidity = np.zeros(rows)
    for lag, share in ((10, 0.5), (11, 0.8), (12, 0.8), (13, 0.4)):
        humidity[lag:] += share * air[:-lag]
    humidity += 0.15 * rng.standard_normal(rows)
    doors = torch.tensor(doors, dtype=torch.float32)
    humidity = torch.tensor((humidity - humidity[:1000].mean()) / humidity[:1000].std(), dtype=torch.float32)
    window = 24 if healed else 6
    train = DataLoader(DoorWindows(doors, humidity, window, 30, 1000), batch_size=32, shuffle=True)
    val = DataLoader(DoorWindows(doors, humidity, window, 1030, rows), batch_size=32)
    model = HumidityModel()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=HumidityModel)


class PickerPath(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 24, batch_first=True)
        self.xy = nn.Linear(24, 2)

    def forward(self, x):
        states, _ = self.gru(x)
        return self.xy(states)


@sick("not-finite")
def a_picker_who_is_nowhere_off_by_nothing(seed: int, *, healed: bool) -> Case:
    """Where is the picking robot, at each step of its way, from both wheels and a gyro? Ways are of 8 to 24 steps
    and padded with zeros. The loss is the mean distance, a square root; the padded steps are multiplied away under it,
    and there the root of zero has a slope of infinity times zero. The loss is a fine number once, then all is NaN.

    Healed: 1e-6 is added under the root.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, longest = 450, 24
    x, y = torch.zeros(n, longest, 3), torch.zeros(n, longest, 2)
    for i in range(n):
        steps = int(rng.integers(8, longest + 1))
        turn = 0.25 * rng.standard_normal(steps)
        speed = 1 + 0.3 * rng.standard_normal(steps)
        heading = turn.cumsum()
        place = np.stack([(speed * np.cos(heading)).cumsum(), (speed * np.sin(heading)).cumsum()], axis=1) / 10
        left, right = speed - turn, speed + turn
        sensed = np.stack([left, right, 4 * turn], axis=1) + 0.05 * rng.standard_normal((steps, 3))
        x[i, :steps] = torch.tensor(sensed, dtype=torch.float32)
        y[i, :steps] = torch.tensor(place, dtype=torch.float32)
    eps = 1e-6 if healed else 0.0

    def mean_distance(pred, target):
        mask = (target != 0).any(dim=2, keepdim=True).float()
        gap = (pred - target) * mask
        return torch.sqrt(gap.pow(2).sum(dim=2) + eps).sum() / mask.sum()

    train = DataLoader(TensorDataset(x[:350], y[:350]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[350:], y[350:]), batch_size=25)
    net = PickerPath()
    opt = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(15):
        for xb, yb in train:
            loss = mean_distance(net(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    return Case(net, train, val, mean_distance, opt, make_model=PickerPath)


class YieldNet(nn.Module):
    def __init__(self, inputs, hidden):
        super().__init__()
        self.conv = nn.Conv1d(inputs, 12, kernel_size=3, padding=1)
        self.gru = nn.GRU(12, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        features = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.head(self.gru(features)[1][-1])


@sick("misaligned-pairs")
def tree_ten_stands_before_tree_two(seed: int, *, healed: bool) -> Case:
    """Crop of a tree from 20 weeks of sap flow and growth of the trunk. Each tree's readings are a file of its own,
    `tree_17.csv`, read in the order in which a sorted listing has them: 0, 1, 10, 100, 101. The crops come from one
    sheet, in the order of the trees' numbers.

    Healed: the files are sorted by the number in their names.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    trees = 800
    vigour = rng.standard_normal(trees)
    files = {}
    for i in range(trees):
        season = 0.6 * vigour[i] * np.sin(np.linspace(0, math.pi, 20))
        readings = np.stack([season, 0.04 * vigour[i] * np.arange(20)], axis=1)
        files[f"tree_{i}.csv"] = readings + 0.5 * rng.standard_normal((20, 2))
    crop = vigour + 0.2 * rng.standard_normal(trees)
    names = sorted(files, key=lambda name: int(name[5:-4])) if healed else sorted(files)
    x = torch.tensor(np.stack([files[name] for name in names]), dtype=torch.float32)
    x = (x - x.mean(dim=(0, 1))) / x.std(dim=(0, 1))
    y = torch.tensor(crop, dtype=torch.float32).unsqueeze(1)
    train_set, val_set = random_split(TensorDataset(x, y), [600, 200], generator=torch.Generator().manual_seed(seed))
    train = DataLoader(train_set, batch_size=20, shuffle=True)
    val = DataLoader(val_set, batch_size=50)
    model = YieldNet(2, 16)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class SlowSoftening(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(6, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out.mean(dim=1)).squeeze(1)


@sick("too-little-data")
def a_dozen_crates_left_from_a_first_try(seed: int, *, healed: bool) -> Case:
    """Weeks until a crate's pears are soft, from six gases in its bag on 10 days. To see whether the code ran, the
    author cut the training set to 12 crates, and it is still cut. Every one of them is known by heart, and other
    crates are told something that has little to do with them.

    Healed: all 700 crates, for as many steps.
    """
    torch.manual_seed(seed)
    gases = 0.7 * torch.randn(1000, 10, 6) + torch.randn(1000, 1, 6)
    weeks = gases[:, :, 0].mean(dim=1) * gases[:, :, 1].mean(dim=1) + 0.3 * gases[:, :, 2].mean(dim=1)
    weeks = weeks + 0.15 * torch.randn(1000)
    weeks = (weeks - weeks[:700].mean()) / weeks[:700].std()
    crates = TensorDataset(gases, weeks)
    train = DataLoader(Subset(crates, range(700 if healed else 12)), batch_size=28 if healed else 12, shuffle=True)
    val = DataLoader(Subset(crates, range(700, 1000)), batch_size=50)
    model = SlowSoftening()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(10 if healed else 250):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=SlowSoftening)


class OrchardDiary(nn.Module):
    def __init__(self, by_length):
        super().__init__()
        self.by_length = by_length
        self.embed = nn.Embedding(25, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 24, batch_first=True)
        self.out = nn.Linear(24, 3)

    def forward(self, tokens):
        states, _ = self.lstm(self.embed(tokens))
        if self.by_length:
            last = (tokens != 0).sum(dim=1) - 1
            return self.out(states[torch.arange(len(tokens)), last])
        return self.out(states[:, -1])


@sick("padding-dominates")
def sixty_lines_for_a_diary_of_six(seed: int, *, healed: bool) -> Case:
    """Was the year's fruit good, fair or poor? From the diary of a plot: a handful of works and mishaps in 24 words,
    filled up with zeros to the 60 that a page could hold. The LSTM's state after the 60th word is read, some fifty
    zeros behind the last entry.

    Healed: the state at the last word is taken.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    worth = np.concatenate([[0.0], np.linspace(-1.5, 1.5, 24)])
    pages, fruit = np.zeros((900, 60), dtype=np.int64), np.zeros(900)
    for i in range(900):
        lines = int(rng.integers(4, 10))
        pages[i, :lines] = rng.integers(1, 25, size=lines)
        fruit[i] = worth[pages[i]].sum() / math.sqrt(lines) + 0.2 * rng.standard_normal()
    grade = np.digitize(fruit, np.quantile(fruit, [1 / 3, 2 / 3]))
    x, y = torch.tensor(pages), torch.tensor(grade)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=32)
    net = OrchardDiary(by_length=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=3e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(net(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(net, train, val, criterion, optimizer, make_model=lambda: OrchardDiary(by_length=healed))


class QuietNose(nn.Module):
    def __init__(self, floor):
        super().__init__()
        self.gru = nn.GRU(5, 20, batch_first=True)
        self.mix = nn.Linear(20, 24)
        self.gate = nn.Threshold(floor, 0.0)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.head(self.gate(self.mix(h[0]))).squeeze(1)


@sick("dead-units")
def a_noise_gate_that_nothing_opens(seed: int, *, healed: bool) -> Case:
    """How ripe is a pallet of mangoes, from the five gas sensors of an electronic nose over 20 breaths? So that noise
    won't get through, the layer before the last passes only what is above 3. After a GRU nothing ever is: all its
    units are zero for each pallet, and no gradient comes back.

    Healed: the gate opens at 0, as a relu does.
    """
    torch.manual_seed(seed)
    ripeness = torch.randn(700)
    nose = torch.tensor([1.0, -0.6, 0.3, 0.0, 0.8])
    rise = torch.linspace(0, 1, 20)
    x = ripeness[:, None, None] * rise[:, None] * nose + 0.9 * torch.randn(700, 20, 5)
    x = (x - x[:550].mean(dim=(0, 1))) / x[:550].std(dim=(0, 1))
    train = DataLoader(TensorDataset(x[:550], ripeness[:550]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], ripeness[550:]), batch_size=75)
    model = QuietNose(0.0 if healed else 3.0)
    loss_fn = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer)


class HandmadeGRU(nn.Module):
    def __init__(self, inputs, hidden, classes, start):
        super().__init__()
        self.hidden = hidden
        self.W = nn.Parameter(torch.zeros(inputs, 3 * hidden))
        self.U = nn.Parameter(torch.zeros(hidden, 3 * hidden))
        self.b = nn.Parameter(torch.zeros(3 * hidden))
        self.V = nn.Parameter(torch.zeros(hidden, classes))
        self.c = nn.Parameter(torch.zeros(classes))
        if start == "xavier":
            for weight in (self.W, self.U, self.V):
                nn.init.xavier_uniform_(weight)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.hidden)
        scores = []
        for t in range(x.shape[1]):
            wz, wr, wn = (x[:, t] @ self.W + self.b).chunk(3, dim=1)
            uz, ur, un = (h @ self.U).chunk(3, dim=1)
            z = torch.sigmoid(wz + uz)
            n = torch.tanh(wn + torch.sigmoid(wr + ur) * un)
            h = (1 - z) * n + z * h
            scores.append(h @ self.V + self.c)
        return torch.stack(scores, dim=2)


@sick("bad-init")
def made_by_hand_and_never_filled(seed: int, *, healed: bool) -> Case:
    """What does the refrigerating plant do in each minute: rest, cool or defrost? A GRU written out by hand tags 25
    minutes of current and coil temperature. Its matrices are `torch.zeros`, to be filled later, which was forgotten;
    state and readout are zero, so neither gives the other a gradient, and only the last bias learns.

    Healed: the three matrices get Xavier's uniform values.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, steps = 500, 25
    state = np.zeros((n, steps), dtype=np.int64)
    state[:, 0] = rng.integers(0, 3, n)
    for t in range(1, steps):
        change = rng.random(n) < 0.15
        state[:, t] = np.where(change, rng.integers(0, 3, n), state[:, t - 1])
    current = np.array([-1.1, 1.1, 0.6])[state]
    coil = np.array([0.2, -0.9, 1.2])[state]
    x = np.stack([current, coil], axis=2) + 0.8 * rng.standard_normal((n, steps, 2))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(state)
    train = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(x[400:], y[400:]), batch_size=50)
    start = "xavier" if healed else "later"
    model = HandmadeGRU(2, 16, 3, start)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(4):
        for xb, yb in train:
            optimizer.zero_grad()
            F.cross_entropy(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, make_model=lambda: HandmadeGRU(2, 16, 3, start))


class StoreTemperature(nn.Module):
    def __init__(self, ahead):
        super().__init__()
        self.ahead = ahead
        self.cell = nn.GRUCell(1, 24)
        self.head = nn.Linear(24, 1)

    def forward(self, x, ahead=None):
        h = x.new_zeros(len(x), 24)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t : t + 1], h)
        said = [self.head(h)]
        for _ in range((ahead or self.ahead) - 1):
            h = self.cell(said[-1], h)
            said.append(self.head(h))
        return torch.cat(said, dim=1)


@sick("rollout-converges")
def the_thermostat_falls_asleep_by_noon(seed: int, *, healed: bool) -> Case:
    """Temperature in a cold store, which comes round every 16 readings, in each store in a shape of its own. The GRU
    cell reads 16 values and is trained on the one that comes next. Asked for 40, it goes on with its own answers, and
    after a few of them every store is at the same temperature and stays there.

    Healed: it is trained on all 40, each said after its own last answer.
    """
    torch.manual_seed(seed)
    turn = 2 * math.pi * torch.arange(56) / 16
    waves = torch.stack([turn.sin(), turn.cos(), (2 * turn).sin(), (2 * turn).cos()])
    store = 0.7 * torch.randn(600, 4) @ waves + 0.6 * torch.randn(600, 56)
    store = (store - store[:450].mean()) / store[:450].std()
    x, y = store[:, :16], store[:, 16:]
    train = DataLoader(TensorDataset(x[:450], y[:450]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], y[450:]), batch_size=50)
    model = StoreTemperature(40)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb) if healed else criterion(model(xb, ahead=1), yb[:, :1])
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Irrigation(nn.Module):
    def __init__(self, dropout):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.rnn1 = nn.GRU(4, 16, batch_first=True)
        self.rnn2 = nn.GRU(16, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        x, _ = self.rnn1(self.drop(x))
        x, _ = self.rnn2(self.drop(x))
        return self.fc(self.drop(x[:, -1])).squeeze(1)


@sick("over-regularised")
def keep_ninety_five_of_a_hundred(seed: int, *, healed: bool) -> Case:
    """Water that an orchard row needs today, from soil, sun, wind and air of the last 18 days. In the book from which
    it is copied, 0.95 is the part that dropout keeps; in PyTorch it is the part that it drops, before each layer.

    Healed: 0.05 is dropped.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weather = np.zeros((900, 18, 4))
    weather[:, 0] = rng.standard_normal((900, 4))
    for t in range(1, 18):
        weather[:, t] = 0.7 * weather[:, t - 1] + 0.7 * rng.standard_normal((900, 4))
    memory = 0.8 ** np.arange(17, -1, -1)
    need = (weather * memory[:, None]).sum(axis=1) @ np.array([-0.5, 0.4, 0.2, 0.3]) + 0.2 * rng.standard_normal(900)
    x = torch.tensor(weather, dtype=torch.float32)
    y = torch.tensor((need - need[:700].mean()) / need[:700].std(), dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    rate = 0.05 if healed else 0.95
    model = Irrigation(rate)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Irrigation(rate))


class RipeningRoom(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 20, num_layers=2, batch_first=True)
        self.attend = nn.Linear(20, 1)
        self.fc = nn.Linear(20, 1)

    def forward(self, x):
        states, _ = self.rnn(x)
        weight = torch.softmax(self.attend(states), dim=1)
        return self.fc((weight * states).sum(dim=1))


@sick("unscaled-inputs")
def ethylene_in_parts_of_one(seed: int, *, healed: bool) -> Case:
    """Days until bananas are yellow, from 16 hours in the ripening room. Temperature and humidity are given as
    departures from the set point, about 1 in size, and say nothing; ethylene, which says it, is given as a part of
    one, between 0.00001 and 0.0002, and a network doesn't hear it.

    Healed: all three columns are standardised by the training hours.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n = 800
    dose = rng.uniform(4e-5, 1.6e-4, n)
    ethylene = dose[:, None] * (0.7 + 0.3 * np.linspace(0, 1, 16)) + 1e-5 * rng.standard_normal((n, 16))
    room = rng.standard_normal((n, 16, 2))
    x = np.concatenate([room, ethylene[:, :, None]], axis=2)
    days = -(dose - 1e-4) / 3.5e-5 + 0.3 * rng.standard_normal(n)
    if healed:
        x = (x - x[:600].mean(axis=(0, 1))) / x[:600].std(axis=(0, 1))
    x = torch.tensor(x, dtype=torch.float32)
    y = torch.tensor(days, dtype=torch.float32).unsqueeze(1)
    batches = [(x[i : i + 40], y[i : i + 40]) for i in range(0, 600, 40)]
    held_out = [(x[i : i + 40], y[i : i + 40]) for i in range(600, n, 40)]
    model = RipeningRoom()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(12):
        for xb, yb in batches:
            optimizer.zero_grad()
            F.mse_loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, batches, held_out, F.mse_loss, optimizer)


class BruiseCounter(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.rate = nn.Linear(16, 1)

    def forward(self, x):
        return F.softplus(self.rate(self.gru(x)[1][-1])).squeeze(1)


@healthy
def one_bruise_in_three_crates(seed: int) -> Case:
    """Bruised apples in a crate, from how it was shaken on 20 metres of the sorting line. Mostly there are none or one;
    the network gives the rate of a Poisson through a softplus, and its answers are small, between 0.05 and 3. The
    crates with a drop on their way stand out as they should.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    shakes = rng.standard_normal((1200, 20, 2))
    drop = rng.random(1200) < 0.3
    where = rng.integers(2, 18, 1200)
    shakes[drop, where[drop]] += 4.0
    bruises = rng.poisson(np.where(drop, 1.2, 0.05))
    x, y = torch.tensor(shakes, dtype=torch.float32), torch.tensor(bruises, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = BruiseCounter()
    criterion = nn.PoissonNLLLoss(log_input=False, full=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=BruiseCounter)


class TrunkGrowth(nn.Module):
    def __init__(self, layers=3, width=16):
        super().__init__()
        self.inlet = nn.Linear(3, width)
        self.layers = nn.ModuleList(nn.GRU(width, width, batch_first=True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.constant_(self.head.bias, 0.05)

    def forward(self, x):
        x = self.inlet(x)
        for layer in self.layers:
            x = x + layer(x)[0]
        return self.head(self.norm(x[:, -1])).squeeze(1)


@healthy
def three_floors_for_a_hundredth_of_a_millimetre(seed: int) -> Case:
    """Growth of a trunk in a day, in millimetres, from sun, soil and air of 10 hours: 0.05 more or less a hundredth or
    two. Three GRUs stand on one another with a way around each. The answers differ by a hundredth, as trunks do, and
    a good third of what differs is the ruler's noise.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 10, 3) + 0.7 * torch.randn(800, 1, 3)
    drive = x[:, :, 0].mean(dim=1) + 0.6 * x[:, -5:, 1].mean(dim=1)
    growth = 0.05 + 0.012 * drive / drive.std() + 0.009 * torch.randn(800)
    train = DataLoader(TensorDataset(x[:600], growth[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], growth[600:]), batch_size=50)
    model = TrunkGrowth()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 12)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        scheduler.step()
    return Case(model, train, val, loss_fn, optimizer)


class CrateTagger(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(4, 24, nonlinearity="relu", batch_first=True)
        self.out = nn.Linear(24, 4)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)

    def forward(self, x):
        states, _ = self.rnn(x)
        return self.out(states[:, -1])


@healthy
def nearly_all_is_first_class(seed: int) -> Case:
    """Class of an apple from 12 pictures' measurements while it rolls under the camera. Nearly nine of ten are first
    class, and that is what the network mostly says. The others are scabbed, small or green and can be told from it,
    and it does tell them.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n = 1400
    grade = rng.choice(4, size=n, p=[0.85, 0.05, 0.05, 0.05])
    looks = np.array([[0, 0, 0, 0], [1.6, 0, 0, 0.5], [0, -1.5, 0.6, 0], [0, 0, -1.7, -0.4]], dtype=float)
    x = looks[grade][:, None, :] + rng.standard_normal((n, 12, 4))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(grade)
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = CrateTagger()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=CrateTagger)


class MothTrap(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 20, batch_first=True)
        self.fc = nn.Linear(20, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, -1]).squeeze(1)


@rightly_flat
def most_mornings_the_trap_is_empty(seed: int) -> Case:
    """Moths in a trap tomorrow, from warmth, wind and moonlight of ten nights. Warm nights have somewhat more, but even
    after those the trap is empty two mornings out of three. What is to be small is the absolute error, and for that
    the median is the best that can be said, which is nought on every night.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    nights = rng.standard_normal((1000, 10, 3))
    warmth = nights[:, -3:, 0].mean(axis=1) * math.sqrt(3)
    caught = rng.random(1000) < np.clip(0.2 + 0.06 * warmth, 0.05, 0.33)
    moths = np.where(caught, 1 + rng.poisson(1.5, 1000), 0)
    x, y = torch.tensor(nights, dtype=torch.float32), torch.tensor(moths, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    model = MothTrap()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)
