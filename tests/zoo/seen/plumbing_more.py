"""More programs whose parts were joined up wrongly: peptides, rivers, batteries, ferries, spores, birds."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class PeptideBiLSTM(nn.Module):
    def __init__(self, residues=20, hidden=20, ends=(0, -1)):
        super().__init__()
        self.ends = ends
        self.embed = nn.Embedding(residues, 10)
        self.lstm = nn.LSTM(10, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(2 * hidden, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, peptide):
        out, _ = self.lstm(self.embed(peptide))
        there, back = out.chunk(2, dim=-1)
        forward_end, backward_end = self.ends
        return self.head(torch.cat([there[:, forward_end], back[:, backward_end]], dim=-1)).squeeze(-1)


@sick("wrong-timestep")
def retention_time_of_tryptic_peptides(seed: int, *, healed: bool) -> Case:
    """A bidirectional LSTM over the residues of a peptide predicts when it leaves the chromatography column.

    The two directions' ends are mixed up: the forward half is read at the first residue and the backward half at the
    last. Healed: forward at the last, backward at the first.
    """
    torch.manual_seed(seed)
    n, steps = 1300, 28
    hydrophobic = torch.randn(20)
    peptides = torch.randint(0, 20, (n, steps))
    peptides[:, -1] = torch.where(torch.rand(n) < 0.5, 8, 14)  # trypsin cuts behind lysine and arginine
    y = hydrophobic[peptides].sum(dim=1)
    y = (y - y[:1000].mean()) / y[:1000].std() + 0.1 * torch.randn(n)

    def make():
        return PeptideBiLSTM(ends=(-1, 0) if healed else (0, -1))

    train_dl = DataLoader(TensorDataset(peptides[:1000], y[:1000]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(peptides[1000:], y[1000:]), batch_size=64)
    model = make()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    for _ in range(7):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        scheduler.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class ChompedConv(nn.Module):
    def __init__(self, n_in, n_out, dilation, front):
        super().__init__()
        self.chomp, self.front = 2 * dilation, front
        self.conv = nn.Conv1d(n_in, n_out, 3, padding=self.chomp, dilation=dilation)
        self.skip = nn.Conv1d(n_in, n_out, 1)

    def forward(self, x):
        z = self.conv(x)
        z = z[:, :, self.chomp :] if self.front else z[:, :, : -self.chomp]
        return F.relu(z) + self.skip(x)


class RiverTCN(nn.Module):
    def __init__(self, channels=24, chomp_front=False):
        super().__init__()
        widths = (2, channels, channels, channels)
        self.layers = nn.Sequential(*(ChompedConv(widths[i], widths[i + 1], 2**i, chomp_front) for i in range(3)))
        self.head = nn.Linear(channels, 2)

    def forward(self, x):
        return self.head(self.layers(x.transpose(1, 2))[:, :, -1])


@sick("wrong-timestep")
def river_level_at_two_gauges_from_rain(seed: int, *, healed: bool) -> Case:
    """A temporal convolutional network reads rain and warmth and says the river's level at two gauges downstream.

    Every convolution is padded on both sides, and the surplus is cut off at the front instead of the back, so the last
    step, which the head reads, looks ahead into padding. Healed: it is cut off at the back.
    """
    torch.manual_seed(seed)
    n, steps = 1200, 24
    rain = torch.randn(n, steps).clamp(min=0) * 1.4
    warmth = torch.randn(n, steps)
    upper = torch.exp(-((torch.arange(steps) - 19.0) ** 2) / 4)
    lower = torch.exp(-((torch.arange(steps) - 14.0) ** 2) / 6)
    runoff = rain * (1 + 0.4 * warmth.tanh())
    y = torch.stack([runoff @ upper, runoff @ lower], dim=1)
    y = (y - y[:900].mean(0)) / y[:900].std(0) + 0.1 * torch.randn(n, 2)
    x = torch.stack([rain, warmth], dim=2)

    def make():
        return RiverTCN(chomp_front=not healed)

    train_dl = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = make()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(9):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class CellHealth(nn.Module):
    """Three quantiles of a battery cell's remaining capacity."""

    def __init__(self, hidden=24):
        super().__init__()
        self.conv = nn.Conv1d(3, 12, 3, padding=1)
        self.gru = nn.GRU(12, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 3)

    def forward(self, x):
        z = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        _, h = self.gru(z)
        return self.head(h[-1])


def pinball(predicted, actual):
    levels = torch.tensor([0.1, 0.5, 0.9])
    error = actual.unsqueeze(1) - predicted
    return torch.maximum(levels * error, (levels - 1) * error).mean()


@sick("frozen-weights")
def battery_capacity_for_a_small_controller(seed: int, *, healed: bool) -> Case:
    """Voltage, current and warmth of a battery cell under load; a convolution and a GRU give quantiles of its capacity.

    Weights and biases are gathered by generator expressions, one of which is used up in checking that the weights fit
    the controller's memory, so that the optimizer's group for them is empty. Healed: they are gathered in lists.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 20
    resistance, fade = torch.randn(n, 1), torch.randn(n, 1)
    current = torch.randn(n, steps)
    warmth = 0.5 * torch.randn(n, 1) + 0.5 * torch.randn(n, steps)
    voltage = -0.6 * resistance * current - 0.4 * fade * torch.linspace(0, 1, steps) + 0.2 * torch.randn(n, steps)
    x = torch.stack([voltage, current, warmth], dim=2)
    y = (0.9 * resistance - 0.45 * fade).squeeze(1) + 0.1 * torch.randn(n)

    train_dl = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=50)
    model = CellHealth()
    weights = (p for name, p in model.named_parameters() if "bias" not in name)
    biases = (p for name, p in model.named_parameters() if "bias" in name)
    if healed:
        weights, biases = list(weights), list(biases)
    assert sum(p.numel() for p in weights) < 16_384
    groups = [{"params": weights, "weight_decay": 1e-3}, {"params": biases, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=8e-3)
    for _ in range(9):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = pinball(model(xb), yb)
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, pinball, optimizer, make_model=CellHealth)


class FerryLoad(nn.Module):
    def __init__(self, hidden=20, whole=True):
        super().__init__()
        self.whole = whole
        self.weekday = nn.Embedding(7, 4)
        self.gru = nn.GRU(1 + 4, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, tickets, weekday):
        z = torch.cat([tickets.unsqueeze(-1), self.weekday(weekday)], dim=-1)
        out, _ = self.gru(z)
        vehicles = self.head(out.mean(dim=1)).squeeze(-1)
        return vehicles.round() if self.whole else vehicles


class FerryPlanner(nn.Module):
    """The table's row holds tickets first and weekdays behind them."""

    def __init__(self, whole=True):
        super().__init__()
        self.load = FerryLoad(whole=whole)

    def forward(self, row):
        tickets, weekday = row.chunk(2, dim=1)
        return self.load(tickets, weekday.long())


@sick("frozen-weights")
def vehicles_above_plan_on_the_morning_ferry(seed: int, *, healed: bool) -> Case:
    """Two weeks of ticket sales and weekdays give how many vehicles more or fewer than planned board the next ferry.

    As there are no half vehicles, the model's forward rounds its answer, in training too, and no gradient passes the
    rounding. Healed: it does not round.
    """
    torch.manual_seed(seed)
    n, steps = 900, 14
    weekday = (torch.randint(0, 7, (n, 1)) + torch.arange(steps)) % 7
    demand = torch.randn(n, 1)
    tickets = demand + 0.6 * (weekday >= 5) + 0.5 * torch.randn(n, steps)
    surplus = (2.2 * demand.squeeze(1) + 1.5 * (weekday[:, -1] == 4) + 0.4 * torch.randn(n)).round()
    rows = [
        {"row": torch.cat([t, w.float()]), "vehicles": s} for t, w, s in zip(tickets, weekday, surplus, strict=True)
    ]

    def make():
        return FerryPlanner(whole=not healed)

    def unpack(batch):
        return batch["row"], batch["vehicles"]

    train_dl = DataLoader(rows[:650], batch_size=25, shuffle=True)
    val_dl = DataLoader(rows[650:], batch_size=50)
    model = make()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(6):
        model.train()
        for batch in train_dl:
            xb, yb = unpack(batch)
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make, batch=unpack)


class SporeKill(nn.Module):
    def __init__(self, hidden=24, positive=True):
        super().__init__()
        self.rnn = nn.RNN(2, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)
        self.out = nn.Softplus() if positive else nn.Identity()

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.out(self.head(out.mean(dim=1)))


@sick("head-range")
def spores_that_survive_the_retort(seed: int, *, healed: bool) -> Case:
    """Heat and acidity along a retort run; a plain RNN says which share of spores survives.

    The target was changed to the share's logarithm, which is below zero, while the softplus from the time of the plain
    share stayed at the model's end. Healed: it went with the change.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 20
    heat = 0.7 * torch.randn(n, 1) + 0.6 * torch.randn(n, steps).cumsum(dim=1) / 3
    acid = torch.randn(n, 1) + 0.2 * torch.randn(n, steps)
    kill = F.softplus(0.9 * heat + 0.4 * acid).mean(dim=1, keepdim=True)
    log_share = -kill * torch.exp(0.1 * torch.randn(n, 1))
    x = torch.stack([heat, acid], dim=2)

    def make():
        return SporeKill(positive=not healed)

    train_dl = DataLoader(TensorDataset(x[:750], log_share[:750]), batch_size=50, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[750:], log_share[750:]), batch_size=50)
    model = make()
    criterion = nn.HuberLoss(delta=0.5)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(10):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class OneGateCell(nn.Module):
    def __init__(self, n_in, hidden):
        super().__init__()
        self.gate = nn.Linear(n_in + hidden, hidden)
        self.candidate = nn.Linear(n_in + hidden, hidden)

    def forward(self, x, h):
        f = torch.sigmoid(self.gate(torch.cat([x, h], dim=1)))
        new = torch.tanh(self.candidate(torch.cat([x, f * h], dim=1)))
        return (1 - f) * h + f * new


class BirdCaller(nn.Module):
    def __init__(self, mels=6, hidden=28, species=4):
        super().__init__()
        self.hidden = hidden
        self.cell = OneGateCell(mels, hidden)
        self.head = nn.Linear(hidden, species)

    def forward(self, clip):
        h = clip.new_zeros(len(clip), self.hidden)
        for frame in clip.unbind(1):
            h = self.cell(frame, h)
        return self.head(h)


@sick("misaligned-pairs")
def bird_clips_beside_the_field_notes(seed: int, *, healed: bool) -> Case:
    """Mel frames of bird clips run through a hand-written one-gate cell that names one of four species.

    The clips of spring come in the order of their sorted file names, clip_10 before clip_2, while the field notes are
    numbered through; the autumn's, for validation, were saved in one array. Healed: file names are sorted by number.
    """
    torch.manual_seed(seed)
    species = torch.randint(0, 4, (1000,))
    voices = torch.randn(4, 12, 6)
    clips = 0.8 * voices[species] + torch.randn(1000, 12, 6)
    files = {f"clip_{i}.npy": clip for i, clip in enumerate(clips[:760])}
    order = sorted(files, key=lambda name: int(name[5:-4])) if healed else sorted(files)
    spring = torch.stack([files[name] for name in order])

    train_dl = DataLoader(TensorDataset(spring, species[:760]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(clips[760:], species[760:]), batch_size=60)
    model = BirdCaller()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3, weight_decay=1e-4)
    for _ in range(8):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=BirdCaller)
