"""Programs out of workshops, laboratories and utilities: each was put together from parts that fit, by their shapes."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class HourlyLoad(nn.Module):
    def __init__(self, squeeze, n_weather=3, hidden=24):
        super().__init__()
        self.squeeze = squeeze
        self.rnn = nn.GRU(n_weather, hidden, batch_first=True)
        self.per_hour = nn.Sequential(nn.Linear(hidden, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        out, _ = self.rnn(x)
        y = self.per_hour(out)
        return y.squeeze(-1) if self.squeeze else y


def log_cosh(pred, target):
    error = pred - target
    return (error + F.softplus(-2 * error)).mean()


@sick("loss-broadcast")
def heat_demand_of_a_day_in_batches_of_two_dozen(seed: int, *, healed: bool) -> Case:
    """Heat demand of each of 24 hours from that day's weather, 24 days a batch, with a log-cosh loss written by hand.

    The network says (24, 24, 1), the table holds (24, 24); days and hours are equally many, so the difference of the
    two exists, and pairs every hour of the one with a whole day of the other. Healed: the network drops its last axis.
    """
    torch.manual_seed(seed)
    days, hours = 720, 24
    weather = torch.randn(days, 1, 3) + 0.5 * torch.randn(days, hours, 3).cumsum(1) / 3
    demand = torch.zeros(days, hours)
    store = torch.zeros(days)
    for hour in range(hours):
        store = 0.7 * store + 0.3 * (torch.relu(0.5 - weather[:, hour, 0]) + 0.5 * weather[:, hour, 1])
        demand[:, hour] = store + 0.1 * torch.randn(days)
    demand = (demand - demand.mean(0)) / demand.std(0)

    train = DataLoader(TensorDataset(weather[:480], demand[:480]), batch_size=24, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(weather[480:], demand[480:]), batch_size=24, drop_last=True)
    model = HourlyLoad(squeeze=healed)
    opt = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(10):
        for xb, yb in train:
            opt.zero_grad()
            log_cosh(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
    model.eval()
    return Case(model, train, val, log_cosh, opt, make_model=lambda: HourlyLoad(squeeze=healed))


class CapacityWithDoubt(nn.Module):
    """Remaining capacity of a cell and how sure one may be of it."""

    def __init__(self, n_in=2, hidden=16):
        super().__init__()
        self.rnn = nn.LSTM(n_in, hidden, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * hidden, 1)
        self.mean = nn.Linear(2 * hidden, 1)
        self.log_variance = nn.Linear(2 * hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        weights = self.score(out).softmax(dim=1)
        pooled = (weights * out).sum(dim=1)
        return self.mean(pooled), self.log_variance(pooled)


def gaussian_nll(outputs, target):
    mean, log_variance = outputs
    return 0.5 * (log_variance + (target - mean) ** 2 * torch.exp(-log_variance)).mean()


def gaussian_nll_of_columns(outputs, target):
    return gaussian_nll(outputs, target.reshape(-1, 1))


@sick("loss-broadcast")
def battery_capacity_with_a_variance_beside_it(seed: int, *, healed: bool) -> Case:
    """Remaining capacity from a discharge curve (voltage, current), with a mean and a log variance from two heads.

    Both heads say (N, 1), the capacities come as (N,) out of the table, and the likelihood written by hand takes each
    mean against each capacity. Healed: the loss makes a column of the capacities first.
    """
    torch.manual_seed(seed)
    n, steps = 800, 30
    capacity = torch.rand(n) * 1.6 - 0.8
    current = 0.5 * torch.randn(n, steps) + torch.randn(n, 1)
    clock = torch.linspace(-1, 1, steps)
    voltage = -clock * (1.2 - capacity[:, None]) - 0.3 * current + 0.2 * torch.randn(n, steps)
    x = torch.stack([voltage, current], dim=-1)
    y = capacity / 0.46 + 0.1 * torch.randn(n)

    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    criterion = gaussian_nll_of_columns if healed else gaussian_nll
    model = CapacityWithDoubt()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-4)
    scheduler = torch.optim.lr_scheduler.StepLR(opt, step_size=6, gamma=0.4)
    for _ in range(9):
        model.train()
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
        scheduler.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=CapacityWithDoubt)


class MinimalGatedUnit(nn.Module):
    """One gate, written after the paper; goes over whatever `unbind` hands out."""

    def __init__(self, along, n_in=3, hidden=20):
        super().__init__()
        self.along = along
        self.hidden = hidden
        self.forget = nn.Linear(n_in + hidden, hidden)
        self.candidate = nn.Linear(n_in + hidden, hidden)

    def forward(self, x):
        states, h = [], None
        for x_t in x.unbind(self.along):
            h = x_t.new_zeros(len(x_t), self.hidden) if h is None else h
            f = torch.sigmoid(self.forget(torch.cat([x_t, h], dim=1)))
            h = (1 - f) * h + f * torch.tanh(self.candidate(torch.cat([x_t, f * h], dim=1)))
            states.append(h)
        return torch.stack(states, dim=self.along)


class TypistModel(nn.Module):
    def __init__(self, along):
        super().__init__()
        self.unit = MinimalGatedUnit(along)
        self.head = nn.Linear(20, 1)

    def forward(self, x):
        return self.head(self.unit(x)[:, -1])


@sick("batch-as-time")
def typing_fatigue_with_a_unit_that_unbinds(seed: int, *, healed: bool) -> Case:
    """A typist's fatigue from 16 keystrokes (dwell, flight, pressure), by a minimal gated unit written by hand.

    Its loop goes over `x.unbind(0)` of a tensor (batch, time, features): from one typist to the next, keystroke by
    keystroke beside each other. Healed: it unbinds, and stacks, along 1.
    """
    torch.manual_seed(seed)
    n, steps = 960, 16
    fatigue = torch.randn(n)
    x = 0.5 * torch.randn(n, steps, 3)
    x[:, :-3, 0] += fatigue[:, None] * torch.linspace(0.5, 1.0, steps - 3)
    x[:, :-3, 1] += 0.4 * fatigue[:, None]
    y = (fatigue + 0.1 * torch.randn(n)).unsqueeze(1)

    train = DataLoader(TensorDataset(x[:720], y[:720]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(x[720:], y[720:]), batch_size=24)
    model = TypistModel(1 if healed else 0)
    criterion = nn.SmoothL1Loss()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            opt.zero_grad()
            loss.backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt)


class EachStationAlone(nn.Module):
    """One GRU for all stations: every station of every window is a series of its own."""

    def __init__(self, order, hidden=16):
        super().__init__()
        self.order = order
        self.rnn = nn.GRU(1, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        n, steps, stations = x.shape
        series = x.permute(*self.order).reshape(n * stations, steps, 1)
        _, h = self.rnn(series)
        return self.head(h[-1]).view(n, stations)


@sick("samples-mixed")
def ozone_at_five_stations_one_network_for_all(seed: int, *, healed: bool) -> Case:
    """Ozone at five stations, three hours ahead; the stations are folded into the batch so that one GRU serves all.

    They are folded station by station (S, N) and unfolded as if they had been folded window by window (N, S). Healed:
    the permutation puts the windows first.
    """
    torch.manual_seed(seed)
    n, steps, stations, ahead = 500, 20, 5, 3
    clock = torch.arange(steps + ahead).view(1, -1, 1)
    phase = torch.rand(n, 1, stations) * 6.283
    swing = 0.7 + 0.6 * torch.rand(n, 1, stations)
    series = swing * torch.sin(6.283 * clock / 16 + phase) * 1.3 + 0.15 * torch.randn(n, steps + ahead, stations)
    x, y = series[:, :steps], series[:, -1]

    row = torch.arange(n)
    train = DataLoader(TensorDataset(row[:360], x[:360], y[:360]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(row[360:], x[360:], y[360:]), batch_size=28)
    order = (0, 2, 1) if healed else (2, 0, 1)
    model = EachStationAlone(order)
    criterion = nn.MSELoss()
    opt = torch.optim.RMSprop(model.parameters(), lr=4e-3)
    for _ in range(8):
        for _row, xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(
        model, train, val, criterion, opt, make_model=lambda: EachStationAlone(order), batch=lambda b: (b[1], b[2])
    )


class RunningAttention(nn.Module):
    """Linear attention in its recurrent form: sums of keys, and of keys times values, instead of a cache."""

    def __init__(self, forget_between, n_ids=12, width=16):
        super().__init__()
        self.forget_between = forget_between
        self.embed = nn.Embedding(n_ids, width)
        self.query = nn.Parameter(torch.randn(width))
        self.to_kv = nn.Linear(width, 2 * width)
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 24), nn.GELU(), nn.Linear(24, 1))
        self.reset()

    def reset(self):
        self.sums = None

    def forward(self, ids):
        n, _ = ids.shape
        k, v = self.to_kv(self.embed(ids)).chunk(2, dim=-1)
        q, k = F.elu(self.query) + 1, F.elu(k) + 1
        if self.forget_between:
            self.reset()
        if self.sums is None or self.sums[0].shape[0] != n:
            self.sums = k.new_zeros(n, k.shape[2], v.shape[2]), k.new_zeros(n, k.shape[2])
        kv, norm = self.sums
        for t in range(ids.shape[1]):
            kv = kv + k[:, t, :, None] * v[:, t, None, :]
            norm = norm + k[:, t]
        self.sums = kv.detach(), norm.detach()
        answer = torch.einsum("d,nde->ne", q, kv) / (q * norm).sum(1, keepdim=True)
        return self.head(answer).squeeze(1)


@sick("state-leak")
def basket_value_by_running_sums(seed: int, *, healed: bool) -> Case:
    """What a visitor will spend, from the kinds of the last 18 pages, by linear attention written as running sums.

    The sums live on the module, so that pages can be fed one at a time in the shop; `reset()` is there, and in the
    training loop nobody calls it: each batch goes on with the sums of all before. Healed: every window begins anew.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 18
    worth = torch.randn(12)
    taste = torch.softmax(1.5 * torch.randn(n, 12), dim=1)
    ids = torch.multinomial(taste, steps, replacement=True)
    y = worth[ids].mean(1)
    y = (y - y.mean()) / y.std() + 0.1 * torch.randn(n)

    train = DataLoader(TensorDataset(ids[:720], y[:720]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(ids[720:], y[720:]), batch_size=40)
    model = RunningAttention(forget_between=healed)
    criterion = nn.L1Loss()
    opt = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(9):
        model.train()
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=lambda: RunningAttention(forget_between=healed))
