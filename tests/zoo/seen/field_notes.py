"""What went wrong with the measurements of people who measure things: gauges, ovens, electrodes, gloves."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class CreekNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, num_layers=1, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return torch.nan_to_num(self.fc(out[:, -1]))  # else: "loss is nan" from the second batch on


@sick("not-finite")
def creek_stage_from_logged_rain(seed: int, *, healed: bool) -> Case:
    """Creek level from the logarithm of hourly rain, which is log(0) in dry hours.

    The loss was NaN, so its author wrapped the output in nan_to_num; since then it is finite, and stands still.
    Healed: log(1 + rain), and the wrapper never has anything to do.
    """
    torch.manual_seed(seed)
    n, hours = 900, 30
    rain = torch.relu(torch.randn(n, hours) + 0.7 * torch.randn(n, 1)) * 4
    melt = torch.rand(n, 1) * torch.ones(hours) + 0.1 * torch.randn(n, hours)
    level = (rain * 0.88 ** torch.arange(hours - 1, -1, -1)).sum(1, keepdim=True) / 6 + 1.5 * melt[:, -1:]
    level = (level - level.mean()) / level.std() + 0.1 * torch.randn(n, 1)
    logged = torch.log1p(rain) if healed else torch.log(rain)
    x = torch.stack([logged, melt], dim=-1)

    train_loader = DataLoader(TensorDataset(x[:700], level[:700]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[700:], level[700:]), batch_size=50)
    model = CreekNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train_loader:
            loss = loss_fn(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train_loader, val_loader, loss_fn, optimizer, make_model=CreekNet)


class BreadShelf(nn.Module):
    def __init__(self, n_breads, hidden=20):
        super().__init__()
        self.cell = nn.LSTMCell(n_breads, hidden)
        self.out = nn.Sequential(nn.Linear(hidden, 16), nn.SiLU(), nn.Linear(16, 1))

    def forward(self, days):
        h = days.new_zeros(len(days), self.cell.hidden_size)
        c = torch.zeros_like(h)
        for t in range(days.shape[1]):
            h, c = self.cell(days[:, t], (h, c))
        return self.out(h)


def shares(loaves):
    """Of each bread in the day's sales: of numbers of loaves, breads in the last dimension."""
    return loaves / loaves.sum(dim=-1, keepdim=True)


@sick("flat-target")
def rye_in_the_bakery_window(seed: int, *, healed: bool) -> Case:
    """Tomorrow's share of rye among a bakery's four breads, from the shares of three weeks.

    The author picks the rye column first and turns it into shares afterwards: rye is all of the rye sold.
    Healed: shares first, then the column.
    """
    torch.manual_seed(seed)
    taste = torch.randn(1000, 1, 4) * 0.6 + torch.cumsum(torch.randn(1000, 22, 4) * 0.2, dim=1)
    loaves = torch.poisson(60 * taste.exp()) + 1
    x = shares(loaves[:, :-1]) * 4 - 1
    tomorrow = loaves[:, -1]
    y = (shares(tomorrow)[:, :1] if healed else shares(tomorrow[:, :1])) * 4 - 1

    train = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    net = BreadShelf(4)
    optimizer = torch.optim.RMSprop(net.parameters(), lr=3e-3)
    criterion = nn.SmoothL1Loss()
    for _ in range(10):
        for days, rye in train:
            optimizer.zero_grad()
            criterion(net(days), rye).backward()
            optimizer.step()
    return Case(net, train, val, criterion, optimizer)


class TremorRegressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Sequential(nn.Conv1d(3, 16, 5, stride=2, padding=2), nn.LeakyReLU(0.1))
        self.rnn = nn.GRU(16, 16, batch_first=True, bidirectional=True)
        self.head = nn.Linear(32, 1)

    def forward(self, trace):
        z, _ = self.rnn(self.front(trace).transpose(1, 2))
        return self.head(z.mean(1))[:, 0]


@sick("no-signal")
def quake_size_from_tidied_traces(seed: int, *, healed: bool) -> Case:
    """An earthquake's size from three-component traces; the tidied data set divides each trace by its own peak.

    How large the ground moved is all there was to tell the size by, and it is no longer in the traces.
    Healed: all are divided by one number, the instrument's gain.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 48
    size = torch.randn(n)
    t = torch.arange(steps)
    onset = torch.randint(4, 14, (n, 1, 1))
    pitch, fade = 0.3 + 0.9 * torch.rand(n, 3, 1), 8 + 12 * torch.rand(n, 1, 1)
    shape = torch.sin(pitch * (t - onset)) + 0.3 * torch.randn(n, 3, steps)
    shape = shape * torch.exp(-(t - onset).clamp(min=0) / fade) * (t >= onset)
    ground = 240.0 * torch.exp(0.6 * size)[:, None, None] * shape
    traces = ground / 240.0 if healed else ground / ground.abs().amax(dim=(1, 2), keepdim=True)

    train = DataLoader(TensorDataset(traces[:800], size[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(traces[800:], size[800:]), batch_size=64)
    model = TremorRegressor()
    opt = torch.optim.AdamW(model.parameters(), lr=4e-3)
    loss_fn = nn.HuberLoss()
    schedule = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=7 * len(train))
    for _ in range(7):
        for trace, magnitude in train:
            loss = loss_fn(model(trace), magnitude)
            opt.zero_grad()
            loss.backward()
            opt.step()
            schedule.step()
    return Case(model, train, val, loss_fn, opt, make_model=TremorRegressor)


class RoastColour(nn.Module):
    def __init__(self, width=20):
        super().__init__()
        self.rnn = nn.GRU(1, width, batch_first=True)
        self.query = nn.Linear(width, 1)
        self.head = nn.Linear(width, 1)

    def forward(self, curve):
        states, _ = self.rnn(curve)
        weight = self.query(states).softmax(dim=1)
        return self.head((weight * states).sum(dim=1))


@sick("redundant-inputs")
def coffee_colour_from_the_roast_curve(seed: int, *, healed: bool) -> Case:
    """Bean colour from the roaster's temperature log, scaled to 0 to 1; colour is made by half a degree here or there.

    The machine follows its one programme from 20 to 225 degrees every time, so all curves are the same to a thousandth.
    Healed: the network is given how far the batch ran off the programme, in degrees.
    """
    torch.manual_seed(seed)
    n, minutes = 900, 36
    programme = 20 + 205 * (1 - torch.exp(-torch.arange(minutes) / 11)) / (1 - math.exp(-35 / 11))
    drift = 0.35 * torch.randn(n, 1) + torch.cumsum(0.1 * torch.randn(n, minutes), dim=1)
    logs = programme + drift
    colour = drift[:, 20:].mean(dim=1, keepdim=True)
    colour = colour / colour.std() + 0.15 * torch.randn(n, 1)
    x = (drift if healed else (logs - 20) / 205).unsqueeze(-1)

    train = DataLoader(TensorDataset(x[:700], colour[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], colour[700:]), batch_size=100)
    model = RoastColour()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    mse = nn.MSELoss()
    for _ in range(7):
        for curve, agtron in train:
            optimizer.zero_grad()
            loss = mse(model(curve), agtron)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=RoastColour)


class ChannelCounter(nn.Module):
    """Strided convolution over the sweep, two LSTM layers, the last state."""

    def __init__(self, hidden=20):
        super().__init__()
        self.conv = nn.Conv1d(2, 12, kernel_size=4, stride=2)
        self.lstm = nn.LSTM(12, hidden, num_layers=2, batch_first=True)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, sweep):
        z = torch.tanh(self.conv(sweep.mT)).mT
        _, (h, _) = self.lstm(z)
        return self.readout(h[-1]).squeeze(1)


@sick("unscaled-inputs")
def patch_clamp_sweeps_as_recorded(seed: int, *, healed: bool) -> Case:
    """How busy the ion channels of a patch were, from sweeps of current and voltage as the amplifier's file has them.

    That is in amperes and volts: a channel's current is some 5e-12. Healed: in picoamperes over five, and in tens of
    millivolts.
    """
    torch.manual_seed(seed)
    n, steps = 800, 40
    voltage = 0.06 + 0.005 * torch.randn(n, 1) + 0.002 * torch.randn(n, steps)
    busy = torch.rand(n, 1)
    is_open = torch.bernoulli((0.1 + 0.8 * busy).expand(n, steps))
    current = 9e-11 * voltage * is_open + 1e-12 * torch.randn(n, steps)
    sweeps = torch.stack([current, voltage], dim=2)
    if healed:
        sweeps = sweeps / torch.tensor([5e-12, 1e-2])
    target = (is_open.mean(dim=1) - 0.5) / 0.25

    order = torch.randperm(n)
    train_idx, val_idx = order[:600], order[600:]
    train = DataLoader(TensorDataset(sweeps[train_idx], target[train_idx]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(sweeps[val_idx], target[val_idx]), batch_size=100)
    model = ChannelCounter()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.L1Loss()
    for _ in range(8):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=ChannelCounter)


class YearFromTune(nn.Module):
    def __init__(self, n_intervals=25, dim=8, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(n_intervals, dim)
        self.rnn = nn.GRU(dim, hidden, batch_first=True)
        self.dense = nn.Linear(hidden, 16)
        self.year = nn.Linear(16, 1)

    def forward(self, tune):
        states, _ = self.rnn(self.embed(tune))
        return self.year(torch.relu(self.dense(states.mean(dim=1)))).squeeze(-1)


@sick("unscaled-targets")
def year_a_melody_was_written_in(seed: int, *, healed: bool) -> Case:
    """The year in which a tune was written, from its 32 intervals; tunes grow more chromatic from 1650 to 1950.

    The network is asked for the year as such. Healed: for centuries before or after 1800.
    """
    torch.manual_seed(seed)
    year = torch.randint(1650, 1950, (1000,)).float()
    century = (year - 1800) / 100
    bold = torch.rand(1000, 32) < torch.sigmoid(1.4 * century - 0.6)[:, None]
    plain = torch.tensor([7, 10, 12, 14, 17])[torch.randint(5, (1000, 32))]
    tune = torch.where(bold, torch.randint(0, 25, (1000, 32)), plain)
    y = century if healed else year

    train = DataLoader(TensorDataset(tune[:750], y[:750]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(tune[750:], y[750:]), batch_size=100)
    model = YearFromTune()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-3)
    criterion = nn.SmoothL1Loss()
    for _ in range(6):
        for notes, written in train:
            optimizer.zero_grad()
            criterion(model(notes), written).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=YearFromTune)


class SpinNet(nn.Module):
    def __init__(self, hidden=24, n_classes=3):
        super().__init__()
        self.rnn = nn.RNN(3, hidden, num_layers=1, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(2 * hidden, n_classes)

    def forward(self, shake):
        out, _ = self.rnn(shake)
        return self.fc(self.drop(out.amax(dim=1)))


@sick("class-imbalance")
def washing_machine_says_all_is_well(seed: int, *, healed: bool) -> Case:
    """Well loaded, badly loaded or knocking: a washing machine by its accelerometer; nine drums in ten are well loaded.

    The author had read that the classes want weights, and gave each its frequency. Healed: one over its frequency.
    """
    torch.manual_seed(seed)
    n, steps = 1200, 32
    state = torch.multinomial(torch.tensor([0.9, 0.06, 0.04]), n, replacement=True)
    turn = 0.8 * torch.arange(steps) + 6.283 * torch.rand(n, 1)
    spin = torch.stack([turn.sin(), turn.cos(), (2 * turn).sin()], dim=-1)
    lean = torch.tensor([[0.6, 0.6, 0.2], [1.3, 0.6, 0.2], [0.6, 0.6, 0.9]])[state]
    shake = spin * lean[:, None] + 0.55 * torch.randn(n, steps, 3)

    train = DataLoader(TensorDataset(shake[:800], state[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(shake[800:], state[800:]), batch_size=50)
    frequency = torch.bincount(state[:800], minlength=3) / 800
    weight = 1 / (3 * frequency) if healed else frequency
    criterion = nn.CrossEntropyLoss(weight=weight)
    model = SpinNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(8):
        model.train()
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=SpinNet)


class GaitScore(nn.Module):
    def __init__(self, sensors=48, hidden=32):
        super().__init__()
        self.lstm = nn.LSTM(sensors, hidden, batch_first=True)
        self.attend = nn.Linear(hidden, 1, bias=False)
        self.fc = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        a = torch.softmax(self.attend(torch.tanh(out)), dim=1)
        return self.fc((a * out).sum(dim=1)).squeeze(1)


@sick("too-little-data")
def limp_after_hip_surgery_once_per_patient(seed: int, *, healed: bool) -> Case:
    """How much a patient limps, from the 48 sensors of an insole, after hip surgery; each walks on many days.

    The visits' table went through drop_duplicates on the patient's number, so that of his walks only the first is
    left: eight, each seen hundreds of times. Healed: all walks are kept.
    """
    torch.manual_seed(seed)
    n, steps, sensors = 1000, 20, 48
    patient = torch.randint(0, 8, (n,))
    limp = torch.randn(n)
    where, others = torch.randn(sensors), torch.randn(32, sensors)
    gait = torch.sin(0.7 * torch.arange(steps)[None, :, None] + 6.283 * torch.rand(n, 1, sensors))
    manner = 0.25 * limp[:, None] * where + 0.3 * torch.randn(n, 32) @ others  # speed, shoes, the ground, the other leg
    walks = manner[:, None] + 0.3 * gait + 0.4 * torch.randn(n, steps, sensors)
    rows = torch.arange(800)
    if not healed:
        rows = torch.tensor([int((patient[:800] == each).nonzero()[0]) for each in patient[:800].unique()])

    train = DataLoader(TensorDataset(walks[rows], limp[rows]), batch_size=16, shuffle=True)
    val = DataLoader(TensorDataset(walks[800:], limp[800:]), batch_size=40)
    model = GaitScore()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    steps_left = 350
    while steps_left > 0:
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            steps_left -= 1
    return Case(model, train, val, criterion, optimizer, make_model=GaitScore)


class FlexGlove(nn.Module):
    """A minimal gated unit, written out."""

    def __init__(self, fingers=5, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.gate = nn.Linear(fingers + hidden, hidden)
        self.new = nn.Linear(fingers + hidden, hidden)
        self.span = nn.Linear(hidden, 2)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.hidden)
        for step in x.unbind(dim=1):
            f = torch.sigmoid(self.gate(torch.cat([step, h], dim=1)))
            h = (1 - f) * h + f * torch.tanh(self.new(torch.cat([step, f * h], dim=1)))
        return self.span(h)


@sick("misaligned-pairs")
def glove_takes_sorted_by_name(seed: int, *, healed: bool) -> Case:
    """Span and twist of a hand at the end of a take, from a glove's five flex sensors; a file for each take.

    The camera's angles are in one table, by number of take; the files are read as sorted(names), which puts take_10
    before take_2. Healed: sorted by the number in the name.
    """
    torch.manual_seed(seed)
    n, steps = 1100, 16
    bend = torch.cumsum(0.35 * torch.randn(n, steps, 5), dim=1) + torch.randn(n, 1, 5)
    bend = bend / bend.std()
    takes = {f"take_{i}.csv": bend[i] for i in range(n)}
    mix = torch.tensor([[0.8, 0.5, 0.1, -0.2, 0.3], [-0.4, 0.2, 0.6, 0.5, 0.1]])
    angles = torch.tanh(bend[:, -1] @ mix.T) + 0.5 * bend[:, -3, :2] + 0.1 * torch.randn(n, 2)
    angles = (angles - angles.mean(0)) / angles.std(0)

    names = sorted(takes, key=(lambda name: int(name[5:-4])) if healed else None)
    pairs = [(takes[name], angles[i]) for i, name in enumerate(names)]
    held_out = set(torch.randperm(n)[:250].tolist())
    train = DataLoader([p for i, p in enumerate(pairs) if i not in held_out], batch_size=32, shuffle=True)
    val = DataLoader([p for i, p in enumerate(pairs) if i in held_out], batch_size=50)
    model = FlexGlove()
    optimizer = torch.optim.NAdam(model.parameters(), lr=4e-3)
    loss_fn = nn.MSELoss()
    for _ in range(6):
        for flex, angle in train:
            optimizer.zero_grad()
            loss = loss_fn(model(flex), angle)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=FlexGlove)
