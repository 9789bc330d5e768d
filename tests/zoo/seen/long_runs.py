"""Projects that were left to train overnight, and what their starts and their updates did to them."""

import math

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class BuoyNet(nn.Module):
    def __init__(self, channels=5, hidden=32, wrong_std=True):
        super().__init__()
        self.front = nn.Conv1d(channels, 16, 5, padding=2)
        self.gru = nn.GRU(16, hidden, num_layers=2, batch_first=True)
        self.out = nn.Linear(hidden, 2)
        for p in self.parameters():
            if p.dim() < 2:
                nn.init.zeros_(p)
                continue
            fan_in, fan_out = p[0].numel(), p.shape[0]
            nn.init.normal_(p, std=2 / (fan_in * fan_out) if wrong_std else math.sqrt(2 / (fan_in + fan_out)))

    def forward(self, x):
        z = torch.tanh(self.front(x.transpose(1, 2))).transpose(1, 2)
        _, h = self.gru(z)
        return self.out(h[-1])


@sick("bad-init")
def sea_ice_buoy_with_home_made_glorot(seed: int, *, healed: bool) -> Case:
    """Drift of a sea-ice buoy from wind and current, a convolution and two GRU layers on top of it.

    The author wrote Glorot's formula from memory and multiplies the fans: all weights begin some ten-thousandths wide.
    Healed: the formula is right, the square root of two over the fans' sum.
    """
    torch.manual_seed(seed)
    n, steps = 900, 30
    base = torch.randn(n, 1, 5)
    x = 0.8 * base + 0.6 * torch.randn(n, steps, 5)
    wind, current = x[:, -12:, 0].mean(1), x[:, -12:, 1].mean(1)
    y = torch.stack([wind + 0.5 * current, current - 0.5 * x[:, -12:, 2].mean(1)], 1)
    y = (y - y.mean(0)) / y.std(0) + 0.1 * torch.randn(n, 2)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=32)

    def make_model():
        return BuoyNet(wrong_std=not healed)

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.MSELoss()
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class CausalStack(nn.Module):
    def __init__(self, depth, width=16):
        super().__init__()
        self.embed = nn.Embedding(21, width)
        self.layers = nn.ModuleList(
            nn.Conv1d(width, width, 3, dilation=2 ** (k % 4), padding=2 ** (k % 4)) for k in range(depth)
        )
        self.classify = nn.Linear(width, 3)

    def forward(self, ids):
        z = self.embed(ids).transpose(1, 2)
        for layer in self.layers:
            z = torch.tanh(layer(z))
        return self.classify(z.mean(2))


@sick("too-deep")
def residues_through_a_tower_of_convolutions(seed: int, *, healed: bool) -> Case:
    """Tells three folds of peptides apart by which residues abound, with dilated convolutions over residue ids.

    The author stacked twenty-two of them for a larger field of view, and has no skip connections.
    Healed: four of them.
    """
    torch.manual_seed(seed)
    n, steps = 900, 32
    y = torch.randint(0, 3, (n,))
    leaning = torch.softmax(1.2 * torch.randn(3, 21), 1)
    ids = torch.multinomial(leaning[y], steps, replacement=True)
    train = DataLoader(TensorDataset(ids[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(ids[640:], y[640:]), batch_size=64)

    def make_model():
        return CausalStack(4 if healed else 22)

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    for _ in range(5):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=make_model)


class SlowCell(nn.Module):
    """A gated unit that notes how slow its gates are, so that slowness can be rewarded."""

    def __init__(self, n_in, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.gates = nn.Linear(n_in + hidden, 2 * hidden)
        self.candidate = nn.Linear(n_in + hidden, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x, with_slowness=False):
        h = x.new_zeros(x.shape[0], self.hidden)
        log_tau = []
        for t in range(x.shape[1]):
            z, r = self.gates(torch.cat([x[:, t], h], 1)).chunk(2, dim=1)
            new = torch.tanh(self.candidate(torch.cat([x[:, t], torch.sigmoid(r) * h], 1)))
            h = torch.lerp(new, h, torch.sigmoid(z))
            log_tau.append(nn.functional.softplus(z))
        score = self.head(h).squeeze(1)
        return (score, torch.stack(log_tau)) if with_slowness else score


@sick("saturated-units")
def tremor_score_with_a_reward_for_slow_gates(seed: int, *, healed: bool) -> Case:
    """Scores tremor from a wrist accelerometer; the loss rewards gates of long time constants, for slow features.

    The reward is summed over steps and units, where it was meant to be averaged: the gates run into one and nothing is
    written. Healed: averaged.
    """
    torch.manual_seed(seed)
    n, steps = 800, 20
    strength = torch.rand(n, 1)
    t = torch.arange(steps) / 25
    wave = strength * torch.sin(6.283 * 4 * t + 6.283 * torch.rand(n, 1))
    x = torch.stack([wave, 0.6 * torch.randn(n, steps) + strength, 0.5 * torch.randn(n, steps)], 2)
    x = (x - x.mean((0, 1))) / x.std((0, 1))
    y = (strength[:, 0] - 0.5) / 0.29 + 0.1 * torch.randn(n)
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)

    def make_model():
        return SlowCell(3)

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    criterion = nn.SmoothL1Loss()
    for _ in range(7):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            score, log_tau = model(xb, with_slowness=True)
            reward = log_tau.mean() if healed else log_tau.sum()
            (criterion(score, yb) - 0.02 * reward).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=make_model)


class DalesRNN(nn.Module):
    """Rate neurons that obey Dale's law: what comes in excites, half of the cells inhibit."""

    def __init__(self, n_in=8, hidden=40):
        super().__init__()
        self.w_in = nn.Parameter(torch.rand(hidden, n_in) / n_in)
        self.w_rec = nn.Parameter(torch.rand(hidden, hidden) / hidden)
        sign = torch.ones(hidden)
        sign[-hidden // 2 :] = -1
        self.register_buffer("sign", sign)
        self.readout = nn.Linear(hidden, 2)

    def forward(self, x):
        r = x.new_zeros(x.shape[0], self.w_rec.shape[0])
        for t in range(x.shape[1]):
            drive = x[:, t] @ self.w_in.abs().T + r @ (self.w_rec.abs() * self.sign).T
            r = 0.7 * r + 0.3 * torch.relu(drive)
        return self.readout(r)


@sick("dead-units", "unscaled-inputs")
def song_of_two_finches_in_decibels_below_full_scale(seed: int, *, healed: bool) -> Case:
    """Which of two finches sings, from band levels, with a network of excitatory and inhibitory rate neurons.

    The levels are decibels below full scale over sixty, so never above zero, and the input weights are never below it.
    Healed: the levels are counted up from the noise floor.
    """
    torch.manual_seed(seed)
    n, steps = 700, 20
    y = torch.randint(0, 2, (n,))
    tilt = torch.linspace(-1, 1, 8)
    db = -30 + 9 * (2 * y - 1)[:, None, None] * tilt + 7 * torch.randn(n, 1, 8) + 6 * torch.randn(n, steps, 8)
    x = db.clamp(-60, -0.5) / 60
    if healed:
        x = x + 1
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=50)
    model = DalesRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.CrossEntropyLoss()
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=DalesRNN)


class RatePopulation(nn.Module):
    """Rate neurons in continuous time, by Euler's steps of `dt` over a time constant `tau`."""

    def __init__(self, tau, n_in=3, hidden=32, dt=10.0):
        super().__init__()
        self.alpha = dt / tau
        self.inputs = nn.Linear(n_in, hidden)
        self.recurrent = nn.Linear(hidden, hidden, bias=False)
        nn.init.normal_(self.recurrent.weight, std=0.3 / hidden**0.5)
        self.choice = nn.Linear(hidden, 1)

    def forward(self, x):
        v = x.new_zeros(x.shape[0], self.recurrent.in_features)
        for t in range(x.shape[1]):
            v = (1 - self.alpha) * v + self.alpha * (self.recurrent(torch.tanh(v)) + self.inputs(x[:, t]))
        return self.choice(torch.tanh(v)).squeeze(1)


@sick("vanishing-gradient")
def monkey_compares_two_flutters_after_a_delay(seed: int, *, healed: bool) -> Case:
    """A model of a monkey: a flutter early, a noisy delay, then a choice that goes by the early flutter.

    The rate neurons have a membrane's time constant, twenty milliseconds at steps of ten; the delay is four hundred.
    Healed: four hundred, as of slow synapses.
    """
    torch.manual_seed(seed)
    n, steps = 800, 48
    flutter = torch.randn(n)
    x = 0.3 * torch.randn(n, steps, 3)
    x[:, 2:8, 0] += flutter[:, None]
    x[:, -3:, 2] += 1
    y = (flutter > 0).float()
    train = DataLoader(TensorDataset(x[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[576:], y[576:]), batch_size=32)

    def make_model():
        return RatePopulation(tau=400.0 if healed else 20.0)

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class DiagonalStates(nn.Module):
    """Two layers of diagonal linear states with a gelu between, read at the end."""

    def __init__(self, slow, n_in=4, width=24):
        super().__init__()
        self.enter = nn.Linear(n_in, width)
        pole = torch.logit(torch.linspace(0.9, 0.995, width)) if slow else torch.zeros(width)
        self.poles = nn.ParameterList([nn.Parameter(pole.clone()) for _ in range(2)])
        self.mix = nn.ModuleList([nn.Linear(width, width) for _ in range(2)])
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        u = self.enter(x)
        for pole, mix in zip(self.poles, self.mix, strict=True):
            a, s, states = torch.sigmoid(pole), torch.zeros_like(u[:, 0]), []
            for t in range(u.shape[1]):
                s = a * s + torch.sqrt(1 - a * a) * u[:, t]
                states.append(s)
            u = nn.functional.gelu(mix(torch.stack(states, 1)))
        return self.leave(u[:, -1]).squeeze(1)


@sick("vanishing-gradient")
def crystal_yield_from_its_seeding_phase(seed: int, *, healed: bool) -> Case:
    """The yield of a batch crystalliser, settled in the first dozen of fifty steps, by diagonal state-space layers.

    The poles' logits start at zero, thus each state halves at every step and what was sown is gone at the end.
    Healed: the poles start spread between 0.9 and 0.995, as the papers have it.
    """
    torch.manual_seed(seed)
    n, steps = 800, 50
    x = 0.7 * torch.randn(n, steps, 4)
    sown = torch.randn(n, 2)
    x[:, :12, 0] += sown[:, :1]
    x[:, :12, 1] += sown[:, 1:]
    y = sown[:, 0] + 0.4 * sown[:, 1] + 0.1 * torch.randn(n)
    y = (y - y.mean()) / y.std()
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=40)

    def make_model():
        return DiagonalStates(slow=healed)

    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-4)
    criterion = nn.HuberLoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)


class TideNet(nn.Module):
    def __init__(self, hidden=32, gain=1.6):
        super().__init__()
        self.rnn = nn.RNN(3, hidden, batch_first=True)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=gain)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out[:, -1]).squeeze(1)


@sick("exploding-gradient")
def tidal_surge_clipped_in_the_wrong_place(seed: int, *, healed: bool) -> Case:
    """The surge at a tidal gauge, by an Elman network whose recurrent matrix begins lively.

    The author clips gradients, but before the backward pass, where zero_grad has just emptied them.
    Healed: between the backward pass and the step.
    """
    torch.manual_seed(seed)
    n, steps = 700, 40
    weather = torch.randn(n, 1, 3)
    x = 0.5 * weather + 0.5 * torch.randn(n, steps, 3)
    x[:, -4:] = 0.7 * torch.randn(n, 4, 3)
    y = weather[:, 0, 0] + 0.5 * weather[:, 0, 1]
    y = (y - y.mean()) / y.std()
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=40)
    model = TideNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.MSELoss()
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            if not healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            criterion(model(xb), yb).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=TideNet)


class SteeredCell(nn.Module):
    """What comes in steers how strongly the state drives itself."""

    def __init__(self, n_in, hidden):
        super().__init__()
        self.drive = nn.Linear(n_in, hidden)
        self.steer = nn.Linear(n_in, hidden)
        self.inner = nn.Linear(hidden, hidden, bias=False)
        nn.init.orthogonal_(self.inner.weight, gain=1.4)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.inner.in_features)
        for step in x.unbind(1):
            h = torch.tanh(self.drive(step) + (1 + self.steer(step)) * self.inner(h))
        return h


@sick("exploding-gradient")
def loom_tension_in_a_steered_cell(seed: int, *, healed: bool) -> Case:
    """Warp and weft tension of a loom from its drives, with a hand-written multiplicative cell and plain SGD.

    Clipping was set up when the model was only its output layer, and still clips that layer's gradients alone.
    Healed: those of the whole model.
    """
    torch.manual_seed(seed)
    n, steps = 700, 40
    load = torch.randn(n, 1, 4)
    x = 0.6 * load + 0.4 * torch.randn(n, steps, 4)
    x[:, -3:] = 0.7 * torch.randn(n, 3, 4)
    y = torch.stack([load[:, 0, 0] + 0.5 * load[:, 0, 1], load[:, 0, 2]], 1)
    y = (y - y.mean(0)) / y.std(0)
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=40)

    def make_model():
        return nn.Sequential(SteeredCell(4, 40), nn.Linear(40, 2))

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
    criterion = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_norm_((model if healed else model[1]).parameters(), 0.5)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=make_model)
