"""Faults that others had too, in other programs: padding, lost rows, bins, signs, averages, chances."""

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, TensorDataset, random_split

from zoo.program import Case, sick
from zoo.training import fit, loaders


class Reader(nn.Module):
    def __init__(self, channels, hidden=20, outputs=1):
        super().__init__()
        self.gru = nn.GRU(channels, hidden, batch_first=True)
        self.head = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1])


class TicketReader(nn.Module):
    def __init__(self, at_the_end):
        super().__init__()
        self.at_the_end = at_the_end
        self.words = nn.Embedding(30, 12, padding_idx=0)
        self.gru = nn.GRU(12, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, ids):
        states, _ = self.gru(self.words(ids))
        last = (ids != 0).sum(dim=1) - 1
        read = states[:, -1] if self.at_the_end else states[torch.arange(len(ids)), last]
        return self.head(read)


@sick("padding-dominates", "wrong-timestep")
def tickets_filled_up_in_front_and_read_by_length(seed: int, *, healed: bool) -> Case:
    """How long a ticket will take, from its words. The tokenizer fills up in front, as decoders like it; the model
    reads the state at `length - 1`, as for filler behind, and there stands filler but for the longest tickets.

    Healed: it reads the last state.
    """
    torch.manual_seed(seed)
    n, steps = 900, 30
    lengths = torch.randint(4, 12, (n,))
    ids = torch.randint(1, 30, (n, steps)) * (torch.arange(steps) >= steps - lengths[:, None])
    weight = torch.cat([torch.zeros(1), torch.randn(29)])
    hours = weight[ids].sum(dim=1, keepdim=True) / lengths[:, None].sqrt() + 0.1 * torch.randn(n, 1)
    train, val = loaders(ids, hours, train=700)

    def make():
        return TicketReader(healed)

    model = make()
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train, loss, optimizer, epochs=8)
    return Case(model, train, val, loss, optimizer, make_model=make)


@sick("misaligned-pairs")
def camera_that_dropped_frames_beside_a_force_plate(seed: int, *, healed: bool) -> Case:
    """The force of each stride, from the joints that a camera saw in it. The camera dropped a stride here and there,
    and the plate none; both are read side by side and split at random.

    Healed: the plate's strides are looked up by their time stamps.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 12
    joints = torch.randn(n, 1, 3) + 0.5 * torch.randn(n, steps, 3)
    force = joints[..., 0].mean(dim=1) - 0.5 * joints[..., 1].mean(dim=1) + 0.1 * torch.randn(n)
    seen = torch.rand(n) > 0.025
    strides = joints[seen]
    plate = force[seen] if healed else force[: len(strides)]
    data = TensorDataset(strides, plate.unsqueeze(1))
    train, val = random_split(data, [700, len(data) - 700], torch.Generator().manual_seed(seed))
    train, val = DataLoader(train, 32, shuffle=True), DataLoader(val, 50)
    model = Reader(3)
    loss, optimizer = nn.MSELoss(), torch.optim.AdamW(model.parameters(), lr=5e-3)
    fit(model, train, loss, optimizer, epochs=8)
    return Case(model, train, val, loss, optimizer, make_model=lambda: Reader(3))


@sick("misaligned-pairs")
def shifts_of_a_foundry_paired_with_the_shift_before(seed: int, *, healed: bool) -> Case:
    """The scrap of a shift in a foundry, from its melts. The scrap is booked in the shift that follows; only then all
    is split at random, so that no neighbour stands beside its neighbour any more.

    Healed: scrap is moved back by one before the split.
    """
    torch.manual_seed(seed)
    n, melts = 900, 10
    melt = torch.randn(n, melts, 2) + 0.7 * torch.randn(n, 1, 2)
    scrap = melt.mean(dim=1) @ torch.tensor([1.0, -0.8]) + 0.1 * torch.randn(n)
    booked = scrap if healed else scrap.roll(1)
    data = TensorDataset(melt[1:], booked[1:, None])
    train, val = random_split(data, [650, n - 1 - 650], torch.Generator().manual_seed(seed))
    train, val = DataLoader(train, 32, shuffle=True), DataLoader(val, 50)
    model = Reader(2)
    loss, optimizer = nn.SmoothL1Loss(), torch.optim.Adam(model.parameters(), lr=6e-3)
    fit(model, train, loss, optimizer, epochs=8)
    return Case(model, train, val, loss, optimizer, make_model=lambda: Reader(2))


class Bins(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("edges", torch.arange(-17.5, 40.0, 5.0))
        self.degrees = nn.Embedding(13, 10)
        self.reader = Reader(10)

    def forward(self, x):
        return self.reader(self.degrees(torch.bucketize(x, self.edges)))


@sick("input-never-arrives")
def cabin_temperatures_binned_after_scaling(seed: int, *, healed: bool) -> Case:
    """Frost damage from a fortnight's temperatures, which the model looks up in bins of five degrees. A colleague put
    a min-max scaler in front of everything, and between 0 and 1 there is but one bin.

    Healed: the model is given degrees.
    """
    torch.manual_seed(seed)
    n, days = 900, 14
    degrees = 8 + 4 * torch.randn(n, 1) + 5 * torch.randn(n, days)
    damage = (-degrees).clamp(min=-6).mean(dim=1, keepdim=True)
    damage = (damage - damage[:700].mean()) / damage[:700].std() + 0.1 * torch.randn(n, 1)
    low, high = degrees[:700].min(), degrees[:700].max()
    scaled = ((degrees - low) / (high - low)).clamp(0, 1)
    train, val = loaders(degrees if healed else scaled, damage, train=700)
    model = Bins()
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=6e-3)
    fit(model, train, loss, optimizer, epochs=10)
    return Case(model, train, val, loss, optimizer, make_model=Bins)


class Buyers(nn.Module):
    def __init__(self, to_signs):
        super().__init__()
        self.to_signs = to_signs
        self.reader = Reader(3)

    def forward(self, x):
        said = self.reader(x)
        return torch.where(said > 0, 1.0, -1.0) if self.to_signs else said


@sick("frozen-weights")
def up_or_down_as_plus_or_minus_one(seed: int, *, healed: bool) -> Case:
    """Whether more or fewer will buy tomorrow, as +1 or -1, from three counts of the last days. The model turns its
    answer into a sign before it goes into the loss, and a sign has no slope.

    Healed: the sign is taken where it is shown, not in the model.
    """
    torch.manual_seed(seed)
    n, days = 900, 12
    x = torch.randn(n, 1, 3) + torch.randn(n, days, 3)
    y = torch.where(x[:, -5:, 0].mean(dim=1) - x[:, -5:, 2].mean(dim=1) > 0, 1.0, -1.0).unsqueeze(1)
    train, val = loaders(x, y)

    def make():
        return Buyers(not healed)

    model = make()
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            found = loss(model(xb), yb)
            if found.requires_grad:
                found.backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=make)


@sick("flat-target")
def daily_changes_of_a_monthly_index(seed: int, *, healed: bool) -> Case:
    """What a price index does the day after, from ten days of five indicators. It is published once a month, was
    filled up to days, and then differenced: on all other days it changes by nothing.

    Healed: what an index of each day does is to be foretold.
    """
    torch.manual_seed(seed)
    n, days = 1200, 10
    x = torch.randn(n, days, 5)
    daily = x[:, -3:, 0].mean(dim=1) - 0.7 * x[:, -3:, 1].mean(dim=1) + 0.2 * torch.randn(n)
    index = torch.randn(n).cumsum(dim=0)
    monthly = index[(torch.arange(n) // 30) * 30]
    change = torch.cat([torch.zeros(1), monthly.diff()])
    y = (daily if healed else change).unsqueeze(1)
    train, val = loaders(x, (y - y.mean()) / y.std(), train=900)
    model = Reader(5)
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train, loss, optimizer, epochs=6)
    return Case(model, train, val, loss, optimizer, make_model=lambda: Reader(5))


@sick("weights-not-loaded", "undertrained")
def an_average_with_the_decay_of_a_large_corpus(seed: int, *, healed: bool) -> Case:
    """The yield of a still from its temperatures. What answers is an exponential average of the weights, whose decay
    of 0.9999 is that of a paper with a million steps; here there are some hundred, and it is still where it began.

    Healed: the decay is 0.9.
    """
    torch.manual_seed(seed)
    n, steps = 760, 16
    x = torch.randn(n, 1, 2) + 0.6 * torch.randn(n, steps, 2)
    y = x[..., 0].mean(dim=1, keepdim=True) - 0.6 * x[..., 1].mean(dim=1, keepdim=True) + 0.1 * torch.randn(n, 1)
    train, val = loaders(x, y, train=560, batch=28)
    model = Reader(2)
    averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9 if healed else 0.9999))
    averaged.update_parameters(model)
    loss, optimizer = nn.MSELoss(), torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
            averaged.update_parameters(model)
    averaged.eval()
    return Case(averaged, train, val, loss, optimizer, make_model=lambda: Reader(2))


class Alarm(nn.Module):
    def __init__(self):
        super().__init__()
        self.reader = Reader(2)

    def forward(self, x):
        return self.reader(x).sigmoid()


@sick("class-imbalance")
def rare_alarms_by_squared_errors_of_a_chance(seed: int, *, healed: bool) -> Case:
    """Whether a lift will stop in the next hour, which one hour in thirty does, as a chance, trained by its absolute
    error; the alarm has never been given.

    Healed: hours in which it stops weigh thirty times as much.
    """
    torch.manual_seed(seed)
    n, steps = 1600, 14
    x = torch.randn(n, steps, 2)
    stops = (torch.rand(n) < 1 / 30).float()
    x[..., 0] += 1.4 * stops[:, None] * torch.linspace(0, 1, steps)
    train, val = loaders(x, stops.unsqueeze(1), train=1100)

    def loss(said, true):
        weight = torch.where(true > 0, 30.0 if healed else 1.0, 1.0)
        return (weight * (said - true).abs()).mean()

    model = Alarm()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    fit(model, train, loss, optimizer, epochs=6)
    return Case(model, train, val, loss, optimizer, make_model=Alarm)
