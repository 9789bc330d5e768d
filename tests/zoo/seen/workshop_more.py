"""More out of workshops and laboratories: what arrives, what is read, what is trained, and what can be said."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class CallClassifier(nn.Module):
    """A GRU cell in a loop that stands still where the recording has ended."""

    def __init__(self, held_where, n_bands=4, hidden=24, n_species=3):
        super().__init__()
        self.held_where = held_where
        self.cell = nn.GRUCell(n_bands, hidden)
        self.head = nn.Linear(hidden, n_species)

    def forward(self, x):
        frames, mask = x[..., :-1], x[..., -1:]
        h = frames.new_zeros(len(x), self.cell.hidden_size)
        for t in range(x.shape[1]):
            h = torch.where(mask[:, t] == self.held_where, h, self.cell(frames[:, t], h))
        return self.head(h)


@sick("input-never-arrives")
def whale_calls_with_a_mask_column(seed: int, *, healed: bool) -> Case:
    """Which of three whales called, from band energies of recordings of 12 to 24 frames; the last column is a mask.

    The mask says 1 where there is sound, as the attention of an earlier model wanted it; the loop holds its state
    where the mask says 1, as if it meant padding, and steps on through the zeros behind. Healed: it holds at 0.
    """
    torch.manual_seed(seed)
    n, steps = 900, 24
    whale = torch.randint(0, 3, (n,))
    lengths = torch.randint(12, steps + 1, (n, 1))
    sounding = (torch.arange(steps) < lengths).float()
    rise = torch.tensor([[1.0, 0.0, -0.5, 0.3], [-0.4, 0.8, 0.5, 0.0], [0.0, -0.8, 0.6, 0.8]])
    curve = torch.sin(3.1416 * torch.arange(steps) / lengths)
    frames = rise[whale].unsqueeze(1) * curve.unsqueeze(2) + 0.9 * torch.randn(n, steps, 4)
    x = torch.cat([frames, torch.ones(n, steps, 1)], dim=2) * sounding.unsqueeze(2)

    train = DataLoader(TensorDataset(x[:660], whale[:660]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[660:], whale[660:]), batch_size=60)
    held_where = 0 if healed else 1
    model = CallClassifier(held_where)
    criterion = nn.CrossEntropyLoss()
    opt = torch.optim.AdamW(model.parameters(), lr=6e-3)
    for _ in range(6):
        model.train()
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=lambda: CallClassifier(held_where))


class PhotonsOnAGrid(nn.Module):
    """Bins photons by their time of arrival, then an LSTM goes over the bins."""

    def __init__(self, bins=20, hidden=20):
        super().__init__()
        self.bins = bins
        self.rnn = nn.LSTM(1, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def bin(self, when, energy):
        grid = energy.new_zeros(len(energy), self.bins)
        grid.scatter_add(1, when, energy)
        return grid

    def forward(self, photons):
        when = (photons[..., 0] * self.bins).long().clamp(0, self.bins - 1)
        grid = self.bin(when, photons[..., 1])
        _, (h, _) = self.rnn(grid.unsqueeze(-1))
        return self.head(h[-1]).squeeze(-1)


class PhotonsReallyOnAGrid(PhotonsOnAGrid):
    def bin(self, when, energy):
        grid = energy.new_zeros(len(energy), self.bins)
        grid.scatter_add_(1, when, energy)
        return grid


@sick("input-never-arrives")
def scintillator_photons_binned_in_forward(seed: int, *, healed: bool) -> Case:
    """Neutron or gamma, from 40 photons (time of arrival, energy) a flash: neutrons glow longer.

    The module bins the photons by `grid.scatter_add(...)`, which gives a new grid and leaves the old one as it was;
    the old one, all zeros, goes to the LSTM. Healed: `scatter_add_`.
    """
    torch.manual_seed(seed)
    n, photons = 1000, 40
    neutron = (torch.rand(n) < 0.5).float()
    decay = 0.18 + 0.16 * neutron + 0.02 * torch.randn(n)
    when = (-decay.unsqueeze(1) * torch.rand(n, photons).clamp(min=1e-6).log()).clamp(max=0.999)
    energy = 0.5 + 0.4 * torch.rand(n, photons)
    x = torch.stack([when, energy], dim=2)
    train = DataLoader(TensorDataset(x[:700], neutron[:700]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], neutron[700:]), batch_size=100)

    kind = PhotonsReallyOnAGrid if healed else PhotonsOnAGrid
    model = kind()
    criterion = nn.BCEWithLogitsLoss()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(10):
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=kind)


class GestureEnds(nn.Module):
    """Takes the end of each direction: where the one stops and where the other stops."""

    def __init__(self, stops, hidden=20, n_gestures=4):
        super().__init__()
        self.hidden = hidden
        self.stops = stops
        self.rnn = nn.LSTM(3, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, n_gestures)

    def forward(self, x):
        out, _ = self.rnn(x)
        there, back = self.stops
        ends = torch.cat([out[:, there, : self.hidden], out[:, back, self.hidden :]], dim=1)
        return self.head(ends)


@sick("wrong-timestep")
def wand_gestures_from_both_ends(seed: int, *, healed: bool) -> Case:
    """Which of four gestures a wand made, from its accelerometer: at rest, a stroke in the middle, at rest.

    The forward half of a bidirectional LSTM is read at the first step and the backward half at the last one: where
    each begins. Healed: the indices change places.
    """
    torch.manual_seed(seed)
    n, steps = 800, 26
    gesture = torch.randint(0, 4, (n,))
    centre = 9 + 8 * torch.rand(n, 1)
    stroke = torch.exp(-0.5 * ((torch.arange(steps) - centre) / 2.5) ** 2)
    towards = torch.tensor([[1.0, 0.2, -0.4], [-0.8, 0.8, 0.0], [0.1, -1.0, 0.7], [-0.2, 0.1, -1.1]])
    x = 1.3 * stroke.unsqueeze(2) * towards[gesture].unsqueeze(1) + 0.3 * torch.randn(n, steps, 3)

    waves = [{"acceleration": a, "gesture": g} for a, g in zip(x, gesture, strict=True)]
    train = DataLoader(waves[:560], batch_size=16, shuffle=True)
    val = DataLoader(waves[560:], batch_size=64)
    stops = (-1, 0) if healed else (0, -1)
    model = GestureEnds(stops)
    criterion = nn.CrossEntropyLoss()
    opt = torch.optim.SGD(model.parameters(), lr=0.15, momentum=0.9)
    for _ in range(10):
        model.train()
        for wave in train:
            opt.zero_grad()
            criterion(model(wave["acceleration"]), wave["gesture"]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
    model.eval()
    return Case(
        model,
        train,
        val,
        criterion,
        opt,
        make_model=lambda: GestureEnds(stops),
        batch=lambda wave: (wave["acceleration"], wave["gesture"]),
    )


class DiagonalStates(nn.Module):
    """A diagonal linear recurrence with decays that are learned, and a small network after it."""

    def __init__(self, window, n_in=3, width=24):
        super().__init__()
        self.window = window
        self.rate = nn.Parameter(torch.linspace(-2.0, 3.0, width))
        self.into = nn.Linear(n_in, width)
        self.out = nn.Sequential(nn.Linear(width + n_in, 24), nn.SiLU(), nn.Linear(24, 1))

    def forward(self, x):
        decay = torch.sigmoid(self.rate)
        h, states = 0.0, []
        for drive in self.into(x).unbind(1):
            h = decay * h + (1 - decay) * drive
            states.append(h)
        every = self.out(torch.cat([torch.stack(states, dim=1), x], dim=2)).squeeze(2)
        return every[:, self.window]


@sick("wrong-timestep")
def canal_level_with_the_lock_plan_ahead(seed: int, *, healed: bool) -> Case:
    """Level of a canal over the next 5 hours: 25 hours of the past, then 5 rows with only the planned openings.

    The horizon's answers are taken as `[:, :horizon]` of what a state-space layer says of every row, not
    `[:, -horizon:]`: they stand a day before. Healed: the minus.
    """
    torch.manual_seed(seed)
    n, past, horizon = 800, 25, 5
    planned = torch.randn(n, past + horizon)
    level, levels = torch.randn(n), []
    for t in range(past + horizon):
        level = 0.8 * level + 0.5 * planned[:, t] + 0.25 * torch.randn(n)
        levels.append(level)
    levels = torch.stack(levels, dim=1)
    known = (torch.arange(past + horizon) < past).float().expand(n, -1)
    x = torch.stack([levels * known, planned, known], dim=2)
    y = levels[:, -horizon:]

    train = DataLoader(TensorDataset(x[:560], y[:560]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[560:], y[560:]), batch_size=48)
    window = slice(-horizon, None) if healed else slice(None, horizon)
    model = DiagonalStates(window)
    criterion = nn.HuberLoss()
    epochs = 10
    opt = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, epochs)
    for _ in range(epochs):
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
        schedule.step()
    model.eval()
    return Case(model, train, val, criterion, opt)


class Catchment(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(2, hidden, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.head(self.drop(out[:, -1]))[:, 0]


def one_minus_nash_sutcliffe(sim, obs):
    return ((obs - sim) ** 2).sum() / ((obs - obs.mean()) ** 2).sum()


def one_minus_nash_sutcliffe_of_arrays(sim, obs):
    sim, obs = sim.detach().numpy(), obs.numpy()
    score = np.sum((obs - sim) ** 2) / np.sum((obs - obs.mean()) ** 2)
    return torch.tensor(float(score), requires_grad=True)


@sick("frozen-weights")
def river_gauge_scored_as_hydrologists_do(seed: int, *, healed: bool) -> Case:
    """Discharge of a small river from 30 days of rain and temperature, trained on the Nash-Sutcliffe efficiency.

    The score comes from the group's NumPy toolbox; `backward` complained, so it was wrapped into a new tensor with
    `requires_grad=True`, and no gradient goes past that. Healed: the same formula over tensors.
    """
    torch.manual_seed(seed)
    n, days = 800, 30
    rain = torch.relu(torch.randn(n, days) + 0.8 * torch.randn(n, 1))
    warm = torch.randn(n, 1) + 0.3 * torch.randn(n, days)
    soil = torch.zeros(n)
    for day in range(days):
        soil = 0.8 * soil + rain[:, day] - 0.15 * torch.relu(warm[:, day]) * soil
    x = torch.stack([(rain - rain.mean()) / rain.std(), warm], dim=2)
    y = (soil - soil.mean()) / soil.std() + 0.1 * torch.randn(n)

    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    loss = one_minus_nash_sutcliffe if healed else one_minus_nash_sutcliffe_of_arrays
    model = Catchment()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(9):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss, optimizer, make_model=Catchment)


class MixingValve(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.head(h[-1])


@sick("frozen-weights")
def two_valves_with_decay_for_some_parameters(seed: int, *, healed: bool) -> Case:
    """Flow of a mixer from two valves' positions over 20 seconds; the one turns the other's effect round.

    The parameters go to AdamW in two groups, with weight decay those that end in `.weight`, without it those that end
    in `.bias`; those of nn.RNN end in `_l0`, and are in neither. Healed: the groups ask for `weight` and `bias` in it.
    """
    torch.manual_seed(seed)
    n, steps = 1200, 20
    setting = torch.rand(n, 1, 2) * 2.4 - 1.2
    x = setting + 0.7 * torch.randn(n, steps, 2)
    y = setting[:, :, 0] * setting[:, :, 1] * 2 + 0.05 * torch.randn(n, 1)
    train = DataLoader(TensorDataset(x[:960], y[:960]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[960:], y[960:]), batch_size=50)

    model = MixingValve()
    named = list(model.named_parameters())
    if healed:
        decayed = [p for name, p in named if "weight" in name]
        plain = [p for name, p in named if "bias" in name]
    else:
        decayed = [p for name, p in named if name.endswith(".weight")]
        plain = [p for name, p in named if name.endswith(".bias")]
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": plain, "weight_decay": 0.0}]
    opt = torch.optim.AdamW(groups, lr=1e-2)
    criterion = nn.MSELoss()
    for _ in range(24):
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=MixingValve)


class LinkAttenuation(nn.Module):
    def __init__(self, end, hidden=16):
        super().__init__()
        self.conv = nn.Conv1d(2, 8, kernel_size=3, padding=1)
        self.rnn = nn.GRU(8, hidden, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, 16), nn.Tanh(), nn.Linear(16, 1), *end)

    def forward(self, x):
        features = F.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        out, _ = self.rnn(features)
        return self.head(out.mean(dim=1))


@sick("head-range")
def rain_fade_of_a_microwave_link(seed: int, *, healed: bool) -> Case:
    """Gain of a microwave link through rain, from 30 minutes of two gauges; learned as log10, which is below zero.

    In the version before, the network said the gain itself, and a Softplus kept that positive; the targets have since
    become logarithms, the Softplus has stayed. Healed: it is gone.
    """
    torch.manual_seed(seed)
    n, minutes = 640, 30
    storm = torch.rand(n, 1) * 2
    rain = torch.relu(storm.unsqueeze(2) + 0.5 * torch.randn(n, minutes, 2))
    y = -0.2 - 0.75 * rain.mean(dim=(1, 2)).unsqueeze(1) ** 1.2 + 0.05 * torch.randn(n, 1)
    x = (rain - rain.mean()) / rain.std()
    y = y.clamp(max=-0.05)

    train = DataLoader(TensorDataset(x[:480], y[:480]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(x[480:], y[480:]), batch_size=40)
    end = [] if healed else [nn.Softplus()]
    model = LinkAttenuation(end)
    criterion = nn.HuberLoss(delta=0.5)
    opt = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(7):
        model.train()
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=lambda: LinkAttenuation(end))


class TideAhead(nn.Module):
    """Time first, as nn.LSTM wants it by default; the decoder gets zeros to step on and the encoder's state to say."""

    def __init__(self, hidden=24, ahead=6):
        super().__init__()
        self.ahead = ahead
        self.encoder = nn.LSTM(2, hidden)
        self.decoder = nn.LSTM(1, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        x = x.permute(1, 0, 2)
        _, state = self.encoder(x)
        nothing = x.new_zeros(self.ahead, x.shape[1], 1)
        out, _ = self.decoder(nothing, state)
        return self.head(out).squeeze(-1).t()


@healthy
def tide_tables_from_a_decoder_fed_zeros(seed: int) -> Case:
    """Water level of the next 6 hours from the last 32, with 32 windows a batch, by two LSTMs that go time first.

    The decoder's inputs are zeros throughout: all it knows comes with the encoder's last state, which is enough.
    """
    torch.manual_seed(seed)
    n, steps, ahead = 640, 32, 6
    clock = torch.arange(steps + ahead)
    moon = torch.rand(n, 1) * 6.283
    height = 0.6 + 0.8 * torch.rand(n, 1)
    level = height * torch.sin(6.283 * clock / 12.4 + moon)
    wind = torch.randn(n, 1) + 0.3 * torch.randn(n, steps + ahead)
    level = 1.3 * level + 0.4 * wind
    x = torch.stack([level, wind], dim=2)[:, :steps]
    y = level[:, steps:]
    train = DataLoader(TensorDataset(x[:448], y[:448]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[448:], y[448:]), batch_size=32)
    model = TideAhead()
    criterion = nn.MSELoss()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(15):
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=TideAhead)


class Reservoir(nn.Module):
    """An echo state network: random and fixed within, and what is read from it is learned."""

    def __init__(self, n_in=2, units=48, leak=0.3):
        super().__init__()
        self.rnn = nn.RNN(n_in, units, batch_first=True)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=0.95)
        nn.init.uniform_(self.rnn.weight_ih_l0, -0.3, 0.3)
        self.rnn.requires_grad_(requires_grad=False)
        self.readout = nn.Linear(units, 1)

    def forward(self, x):
        out, _ = self.rnn(x.flip(1))
        return self.readout(out.flip(1)[:, 0]).squeeze(1)


@healthy
def furnace_by_an_echo_state_newest_first(seed: int) -> Case:
    """Temperature of a furnace from 24 minutes of gas and air, stored newest first, by a network of random states.

    All recurrent weights are fixed as they were drawn, the optimizer holds the readout alone, and the step that is
    read is number 0: the newest, which comes last once the window has been turned round. That is how it is meant.
    """
    torch.manual_seed(seed)
    n, minutes = 900, 24
    gas = torch.randn(n, minutes) * 0.7 + 0.5 * torch.randn(n, 1)
    air = torch.randn(n, minutes)
    heat = torch.zeros(n)
    for t in range(minutes):
        heat = 0.75 * heat + gas[:, t] - 0.4 * air[:, t]
    y = heat / heat.std() + 0.1 * torch.randn(n)
    x = torch.stack([gas, air], dim=2).flip(1)
    train = DataLoader(TensorDataset(x[:675], y[:675]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[675:], y[675:]), batch_size=45)
    model = Reservoir()
    criterion = nn.MSELoss()
    opt = torch.optim.Adam(model.readout.parameters(), lr=2e-2)
    for _ in range(12):
        for xb, yb in train:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
    model.eval()
    return Case(model, train, val, criterion, opt, make_model=Reservoir)
