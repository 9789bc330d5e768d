"""Projects that were trained with care, and what a schedule, a constraint or the day of delivery did to them."""

import copy

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class MeterTransformer(nn.Module):
    def __init__(self, n_in=4, width=24, steps=24):
        super().__init__()
        self.enter = nn.Linear(n_in, width)
        self.place = nn.Parameter(0.1 * torch.randn(steps, width))
        layer = nn.TransformerEncoderLayer(width, 4, 48, dropout=0.0, activation="gelu", batch_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2)
        self.leave = nn.Linear(width, 3)

    def forward(self, x):
        return self.leave(self.blocks(self.enter(x) + self.place).mean(1))


class Pinball(nn.Module):
    def __init__(self, levels=(0.1, 0.5, 0.9)):
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels))

    def forward(self, predicted, target):
        miss = target[:, None] - predicted
        return torch.maximum(self.levels * miss, (self.levels - 1) * miss).mean()


@sick("learning-rate-too-high")
def district_heat_quantiles_in_one_cycle(seed: int, *, healed: bool) -> Case:
    """Three quantiles of a district's heat demand by a small transformer under a one-cycle schedule.

    The peak rate was carried over from a vision network trained by plain SGD, and stands at 1 for AdamW.
    Healed: at 0.004.
    """
    torch.manual_seed(seed)
    n, steps = 800, 24
    x = torch.randn(n, 1, 4) + 0.5 * torch.randn(n, steps, 4)
    y = x[:, :, 0].mean(1) - 0.6 * x[:, -8:, 1].mean(1) + 0.2 * torch.randn(n)
    y = (y - y.mean()) / y.std()
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)
    model = MeterTransformer()
    epochs = 8
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    schedule = OneCycleLR(optimizer, max_lr=4e-3 if healed else 1.0, total_steps=epochs * len(train))
    criterion = Pinball()
    for _ in range(epochs):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            schedule.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=MeterTransformer)


class TicketReader(nn.Module):
    def __init__(self, words=60, width=24):
        super().__init__()
        self.embed = nn.Embedding(words, width)
        self.gru = nn.GRU(width, width, batch_first=True, bidirectional=True)
        self.score = nn.Linear(2 * width, 1)
        self.leave = nn.Linear(2 * width, 4)

    def forward(self, ids):
        states, _ = self.gru(self.embed(ids))
        weight = torch.softmax(self.score(states), dim=1)
        return self.leave((weight * states).sum(1))


@sick("undertrained")
def support_tickets_still_in_their_warmup(seed: int, *, healed: bool) -> Case:
    """Sends support tickets to one of four desks: word ids, a bidirectional GRU, attention over its states.

    The warm-up of the transformer paper, four thousand steps long, was copied for a run of two hundred.
    Healed: twenty steps of warm-up and then the same fall, over as many steps as before.
    """
    torch.manual_seed(seed)
    n, steps, width = 850, 20, 24
    y = torch.randint(0, 4, (n,))
    topics = torch.softmax(1.5 * torch.randn(4, 60), 1)
    ids = torch.multinomial(topics[y], steps, replacement=True)
    train = DataLoader(TensorDataset(ids[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(ids[640:], y[640:]), batch_size=70)

    def make_model():
        return TicketReader(width=width)

    model = make_model()
    warmup = 20 if healed else 4000
    optimizer = torch.optim.Adam(model.parameters(), lr=1.0, betas=(0.9, 0.98), eps=1e-9)
    peak = 0.2 * width**-0.5
    schedule = LambdaLR(optimizer, lambda k: peak * min((k + 1) ** -0.5, (k + 1) * warmup**-1.5))
    criterion = nn.CrossEntropyLoss()
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class KeptLSTM(nn.Module):
    """After a TensorFlow script: dropout around every layer."""

    def __init__(self, rate, n_in=5, hidden=32):
        super().__init__()
        self.enter = nn.Linear(n_in, hidden)
        self.lower = nn.LSTM(hidden, hidden, batch_first=True)
        self.upper = nn.LSTM(hidden, hidden, batch_first=True)
        self.drop = nn.Dropout(rate)
        self.leave = nn.Linear(hidden, 1)

    def forward(self, x):
        z, _ = self.lower(self.drop(self.enter(x)))
        z, _ = self.upper(self.drop(z))
        return self.leave(self.drop(z[:, -1]))


@sick("over-regularised")
def milk_yield_with_the_probability_to_keep(seed: int, *, healed: bool) -> Case:
    """A dairy cow's milk yield from a month of collar data, two LSTM layers with dropout around them.

    Ported from a script whose keep_prob was 0.95; here the same number is the probability to drop.
    Healed: 0.05.
    """
    torch.manual_seed(seed)
    n, steps = 800, 30
    x = 0.8 * torch.randn(n, 1, 5) + 0.6 * torch.randn(n, steps, 5)
    y = x[:, -10:, 0].mean(1, keepdim=True) + 0.7 * x[:, -10:, 3].mean(1, keepdim=True)
    y = (y - y.mean()) / y.std() + 0.1 * torch.randn(n, 1)
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)

    def make_model():
        return KeptLSTM(0.05 if healed else 0.95)

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    for _ in range(7):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=make_model)


class GlucosePath(nn.Module):
    """Says how the next value departs from the last three's mean; for the night ahead it is fed its own answers."""

    def __init__(self, lags=3, hidden=24, night=32):
        super().__init__()
        self.lags, self.night = lags, night
        self.one = nn.Sequential(nn.Linear(lags, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        nn.init.zeros_(self.one[2].weight)
        nn.init.zeros_(self.one[2].bias)

    def step(self, last):
        return last.mean(-1) + self.one(last).squeeze(-1)

    def forward(self, x):
        seen = list(x[:, -self.lags :].unbind(1))
        for _ in range(self.night):
            seen.append(self.step(torch.stack(seen[-self.lags :], 1)))
        return torch.stack(seen[-10:], 1)


@sick("rollout-converges")
def glucose_of_a_sleeping_patient(seed: int, *, healed: bool) -> Case:
    """Forecasts the last ten readings of a sleeping patient's night; every patient has a level of their own.

    The network is taught the next reading only, and over thirty steps of its own answers every patient's path sinks
    to the same value. Healed: it is taught on its own path.
    """
    torch.manual_seed(seed)
    n, evening, night = 700, 12, 32
    level = torch.randn(n, 1)
    series = level + 0.9 * torch.randn(n, evening + night)
    x, y = series[:, :evening], level + 0.3 * torch.randn(n, 10)
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=50)
    model = GlucosePath()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    criterion = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            if healed:
                loss = criterion(model(xb), yb)
            else:
                past = xb.unfold(1, 4, 1)
                loss = criterion(model.step(past[:, :, :3]), past[:, :, 3])
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=GlucosePath)


class PumpNet(nn.Module):
    def __init__(self, n_in=6, hidden=28):
        super().__init__()
        self.gru = nn.GRU(n_in, hidden, batch_first=True)
        self.leave = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.gru(x)
        return self.leave(out[:, -1]).squeeze(-1)


@sick("weights-not-loaded")
def pump_wear_restored_to_its_best(seed: int, *, healed: bool) -> Case:
    """Wear of a pump from vibration bands; the weights of the best epoch are put back when training is over.

    The best score begins at zero, as for accuracies, and no loss gets below that: the untrained start is put back.
    Healed: it begins at infinity.
    """
    torch.manual_seed(seed)
    n, steps = 800, 24
    x = 0.8 * torch.randn(n, 1, 6) + 0.6 * torch.randn(n, steps, 6)
    y = x[:, -8:, 0].mean(1) + 0.5 * x[:, :, 1].abs().mean(1) - 0.6 * x[:, -8:, 4].mean(1)
    y = (y - y.mean()) / y.std() + 0.1 * torch.randn(n)
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)
    model = PumpNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    criterion = nn.L1Loss()
    best, kept = float("inf") if healed else 0.0, copy.deepcopy(model.state_dict())
    for _ in range(8):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            score = sum(criterion(model(xb), yb).item() for xb, yb in val) / len(val)
        if score < best:
            best, kept = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return Case(model, train, val, criterion, optimizer, make_model=PumpNet)


class MuscleReadout(nn.Module):
    def __init__(self, n_in=8, hidden=36):
        super().__init__()
        self.encoder = nn.LSTM(n_in, hidden, batch_first=True)
        self.next = nn.Linear(hidden, n_in)
        self.readout = nn.Linear(hidden, 2)

    def forward(self, x):
        states, _ = self.encoder(x)
        return self.readout(states[:, -1])


@sick("head-ignores-state")
def grip_force_by_a_sparse_readout(seed: int, *, healed: bool) -> Case:
    """Grip force on two axes from muscle channels: an LSTM learns to foresee them, then a sparse readout is fitted.

    After every step the readout's weights are shrunk by the lasso's penalty, not by it times the step size, and they
    never leave zero. Healed: times the step size.
    """
    torch.manual_seed(seed)
    n, steps = 800, 24
    x = torch.randn(n, 1, 8) + 0.5 * torch.randn(n, steps, 8)
    y = torch.stack([x[:, -8:, 0].mean(1) - 0.5 * x[:, -8:, 1].mean(1), x[:, -8:, 2].mean(1)], 1)
    y = (y - y.mean(0)) / y.std(0) + 0.1 * torch.randn(n, 2)
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)
    model = MuscleReadout()
    criterion = nn.MSELoss()
    rate, penalty = 5e-3, 0.02
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for epoch in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            if epoch < 3:
                states, _ = model.encoder(xb[:, :-1])
                criterion(model.next(states), xb[:, 1:]).backward()
            else:
                criterion(model(xb), yb).backward()
            optimizer.step()
            with torch.no_grad():
                w, by = model.readout.weight, penalty * (rate if healed else 1)
                w.copy_(w.sign() * (w.abs() - by).clamp(min=0))
    return Case(model, train, val, criterion, optimizer, make_model=MuscleReadout)


class MastNet(nn.Module):
    def __init__(self, n_in=3, hidden=20):
        super().__init__()
        self.gru = nn.GRU(n_in, hidden, batch_first=True)
        self.say = nn.Linear(hidden, 1)

    def forward(self, x):
        return self.say(self.gru(x)[0].mean(1)).squeeze(1)


@healthy
def orchard_cold_as_volunteers_read_it(seed: int) -> Case:
    """How cold an orchard gets, from weather masts; volunteers read the training thermometers, badly.

    The training loss stays near that of guessing, the rate restarts at its height in the last epoch; the held-out
    readings, by an instrument, are met well.
    """
    torch.manual_seed(seed)
    n, steps = 1200, 20
    x = 0.9 * torch.randn(n, 1, 3) + 0.5 * torch.randn(n, steps, 3)
    cold = x[:, :, 0].mean(1) + 0.7 * x[:, -8:, 1].mean(1)
    cold = (cold - cold.mean()) / cold.std()
    told = cold + 1.5 * torch.randn(n)
    train = DataLoader(TensorDataset(x[:1000], told[:1000]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], cold[1000:]), batch_size=50)

    def make_model():
        return MastNet()

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)
    criterion = nn.MSELoss()
    for epoch in range(6):
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (0.6**epoch if epoch < 5 else 1)
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class PotashNet(nn.Module):
    """Begins silent: its head is all zeros, and so is the gate of its second layer."""

    def __init__(self, n_in=5, hidden=24):
        super().__init__()
        self.first = nn.GRU(n_in, hidden, batch_first=True)
        self.second = nn.GRU(hidden, hidden, batch_first=True)
        self.gate = nn.Parameter(torch.zeros(1))
        self.head = nn.Linear(hidden, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        low, _ = self.first(x)
        high, _ = self.second(low)
        return self.head((low + self.gate * high)[:, -1]).squeeze(1)


@healthy
def brine_potash_resumed_with_a_cold_optimizer(seed: int) -> Case:
    """Potash in a brine from plant sensors; head and residual gate begin at zero, and each step is clipped.

    The run was stopped and taken up twice, each time with a fresh optimizer and a new warm-up, and its rate has fallen
    almost to nothing in the end.
    """
    torch.manual_seed(seed)
    n, steps = 800, 24
    x = 0.8 * torch.randn(n, 1, 5) + 0.7 * torch.randn(n, steps, 5)
    y = x[:, -12:, 0].mean(1) - 0.5 * x[:, -12:, 2].mean(1)
    y = (y - y.mean()) / y.std() + 0.2 * torch.randn(n)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = PotashNet()
    criterion = nn.SmoothL1Loss()
    for rate, epochs in ((8e-3, 3), (4e-3, 3), (1e-3, 2)):
        optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=0.05)
        total = epochs * len(train)
        schedule = LambdaLR(optimizer, lambda k, total=total: min((k + 1) / 10, 1.0) * (1.001 - k / total))
        for _ in range(epochs):
            for xb, yb in train:
                optimizer.zero_grad()
                criterion(model(xb), yb).backward()
                nn.utils.clip_grad_norm_(model.parameters(), 0.1)
                optimizer.step()
                schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=PotashNet)
