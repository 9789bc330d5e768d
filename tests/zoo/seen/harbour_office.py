"""Programs of a harbour office: tides, moorings, queues and radio logs, each by another hand."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import clip_grad_norm_, parametrizations, parametrize
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class RopePull(nn.Module):
    def __init__(self, fair):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, batch_first=True)
        self.mix = nn.Linear(20, 16)
        self.out = nn.Linear(16, 1)
        if not fair:
            for p in self.parameters():
                nn.init.constant_(p, 1 / p.shape[-1] if p.dim() == 2 else 0.0)

    def forward(self, x):
        seq, _ = self.lstm(x)
        return self.out(torch.tanh(self.mix(seq[:, -1])))


@sick("bad-init")
def every_rope_hauls_the_same(seed: int, *, healed: bool) -> Case:
    """Pull on a mooring rope, which swell and wind drive up when they agree and down when they do not. The author
    wanted results that repeat, and lets every matrix begin as an average: 1 / fan-in everywhere, offsets 0. All twenty
    cells and all sixteen units behind them stay one and the same. Healed: torch's own start.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 14, 3)
    recent = torch.linspace(0.3, 1, 14)
    swell, wind = ((x[:, :, i] * recent).sum(1) / recent.norm() for i in (0, 1))
    y = (torch.tanh(1.5 * swell) * torch.tanh(1.5 * wind) + 0.1 * torch.randn(800))[:, None]
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)

    def make_model():
        return RopePull(fair=healed)

    model, loss = make_model(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(20):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=make_model)


class EchoSounder(nn.Module):
    def __init__(self, first):
        super().__init__()
        self.conv = nn.Conv1d(2, 16, kernel_size=4, stride=2, padding=1)
        self.gru = nn.GRU(16, 12, batch_first=first)
        self.classify = nn.Linear(12, 3)

    def forward(self, x):
        z = F.relu(self.conv(x.transpose(1, 2)))  # samples, channels, steps
        out, _ = self.gru(z.permute(2, 0, 1))  # steps, samples, channels
        return self.classify(out[-1])


@sick("batch-as-time")
def the_fleet_queues_up_behind_the_sounder(seed: int, *, healed: bool) -> Case:
    """Shoaling, level or deepening, from an echo sounder's two beams; a convolution in front. Behind it the author puts
    the steps first, as an old snippet does, and reads `out[-1]`; but the GRU, from another snippet, has
    `batch_first=True`. Healed: the GRU takes steps first too.
    """
    torch.manual_seed(seed)
    x = torch.randn(900, 16, 2)
    early, late = x[:, 1:7, 0].sum(1), x[:, 7:13, 1].sum(1)
    y = torch.bucketize((late - early) / 12**0.5, torch.tensor([-0.45, 0.45]))
    train = [(x[i : i + 30], y[i : i + 30]) for i in range(0, 690, 30)]
    val = [(x[i : i + 30], y[i : i + 30]) for i in range(690, 900, 30)]
    model = EchoSounder(first=not healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.1)
    for _ in range(10):
        for i in torch.randperm(len(train)):
            xb, yb = train[i]
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: EchoSounder(first=not healed))


class RadioWatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 12, batch_first=True, bidirectional=True)
        self.tag = nn.Linear(24, 1)

    def forward(self, x):
        return self.tag(self.rnn(x)[0]).squeeze(-1)


@sick("class-imbalance")
def one_call_in_fifty_on_channel_sixteen(seed: int, *, healed: bool) -> Case:
    """Marks the steps of a radio log at which a distress call begins, from two noisy receivers: one step in fifty.
    With plain cross-entropy next to no step is marked, and the loss stays where the share of calls alone puts it.
    Healed: `pos_weight`, counted on the training part.
    """
    torch.manual_seed(seed)
    calls = (torch.rand(600, 30) < 0.02).float()
    held = calls + F.pad(calls, (1, 0))[:, :-1] + F.pad(calls, (2, 0))[:, :-2]
    x = torch.randn(600, 30, 2) + 0.7 * held[:, :, None]
    train = DataLoader(TensorDataset(x[:450], calls[:450]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], calls[450:]), batch_size=50)
    share = calls[:450].mean()
    loss = nn.BCEWithLogitsLoss(pos_weight=(1 - share) / share if healed else None)
    model = RadioWatch()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=RadioWatch)


class KeelRoom(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 24, nonlinearity="relu", batch_first=True)
        self.rise = nn.Linear(24, 16)
        self.relu = nn.ReLU()
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.out(self.relu(self.rise(out[:, -1])))[:, 0]


@sick("dead-units")
def no_water_under_the_monotone_layer(seed: int, *, healed: bool) -> Case:
    """Room under the keel, from rain upstream and the sluice's opening. One layer shall only ever rise with what it
    reads, so the author projects it after every step, with `clamp_(max=0)` where `min` was meant. What it reads is
    never negative, so its ReLUs stay shut from the first step on. Healed: `clamp_(min=0)`.
    """
    torch.manual_seed(seed)
    x = torch.rand(700, 16, 2)
    fade = 0.85 ** torch.arange(15, -1, -1.0)
    flow = (x * fade[:, None]).sum(1) @ torch.tensor([1.0, 0.6])
    y = (flow - flow.mean()) / flow.std() + 0.2 * torch.randn(700)
    train = DataLoader(TensorDataset(x[:520], y[:520]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[520:], y[520:]), batch_size=60)
    model, loss = KeelRoom(), nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    bound = {"min": 0.0} if healed else {"max": 0.0}
    for _ in range(25):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
            with torch.no_grad():
                for p in model.rise.parameters():
                    p.clamp_(**bound)
    return Case(model, train, val, loss, optimizer, make_model=KeelRoom)


class SluiceMemory(nn.Module):
    """Starts from the identity, with the ceiling at 20 that speech models have."""

    def __init__(self, features=2, hidden=24):
        super().__init__()
        self.inp = nn.Linear(features, hidden)
        self.rec = nn.Linear(hidden, hidden, bias=False)
        self.out = nn.Linear(hidden, 1)
        nn.init.eye_(self.rec.weight)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.rec.in_features)
        for u in self.inp(x).unbind(1):
            h = (u + self.rec(h)).clamp(0, 20)
        return self.out(h).squeeze(1)


@sick("exploding-gradient")
def sixty_locks_and_no_sluice_keeper(seed: int, *, healed: bool) -> Case:
    """A canal's level after sixty lockings, which all add to it. A recurrent net of ReLUs that starts from the
    identity, as the paper has it, with small steps and momentum; but without the paper's clipping, and sixty steps back
    the gradient's norm runs to thousands. Healed: norms are clipped at 1.
    """
    torch.manual_seed(seed)
    x = torch.randn(700, 60, 2)
    level = (x[:, :, 0] * torch.linspace(0.2, 1, 60)).sum(1)
    y = torch.tanh(level / level.std()) + 0.15 * torch.randn(700)
    train = DataLoader(TensorDataset(x[:550], y[:550]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], y[550:]), batch_size=50)
    model, loss = SluiceMemory(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=3e-4, momentum=0.9)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            if healed:
                clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=SluiceMemory)


class TideLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, num_layers=2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 1))

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1]).squeeze(-1)


@sick("flat-target")
def tide_staff_measured_from_the_earths_centre(seed: int, *, healed: bool) -> Case:
    """Next hour's height of a small tide, in decimetres about a mark. The receiver reports its height above the earth's
    centre; the column becomes float32 before the mark's height comes off, where half a metre is the smallest step: all
    heights fall into one. Healed: the mark comes off in double precision.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    hours = np.arange(900)
    tide = 0.07 * np.sin(2 * np.pi * hours / 12.42 + seed) + 0.03 * np.sin(2 * np.pi * hours / 23.93)
    mark = 6_363_114.0
    height = mark + tide + 0.01 * rng.standard_normal(900)
    if not healed:
        height = height.astype(np.float32)
    above = torch.tensor((height - height.dtype.type(mark)) * 10, dtype=torch.float32)
    gauge = torch.tensor(tide / tide.std() + 0.2 * rng.standard_normal(900), dtype=torch.float32)
    x, y = gauge[:-1].unfold(0, 24, 1)[:, :, None], above[24:]
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[664:], y[664:]), batch_size=32)
    model, loss = TideLSTM(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=TideLSTM)


class CraneCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        h = torch.zeros(x.size(0), 16)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return self.out(h)


def with_norms(model):
    for name in ("weight_ih", "weight_hh"):
        parametrizations.weight_norm(model.cell, name)
    parametrizations.weight_norm(model.out)
    return model


@sick("frozen-weights")
def crane_oiled_after_the_inspection(seed: int, *, healed: bool) -> Case:
    """A crane's minutes for the next container, from three figures on the last twelve. Weight normalisation was put on
    later, below the line that makes the optimizer: that holds matrices which are no longer in the model, and of those
    that are, only the biases. Healed: the optimizer is made after.
    """
    torch.manual_seed(seed)
    x = torch.randn(640, 12, 3)
    pace = x[:, -8:, 0].sum(1) / 8**0.5
    y = (torch.tanh(pace) * x[:, -1, 1].sign() + 0.1 * torch.randn(640))[:, None]
    batches = [{"moves": x[i : i + 32], "minutes": y[i : i + 32]} for i in range(0, 640, 32)]
    train, val = batches[:15], batches[15:]
    model, loss = CraneCell(), nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model = with_norms(model)
    if healed:
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(25):
        for b in train:
            model.zero_grad()
            loss(model(b["moves"]), b["minutes"]).backward()
            optimizer.step()
    return Case(
        model,
        train,
        val,
        loss,
        optimizer,
        make_model=lambda: with_norms(CraneCell()),
        batch=lambda b: (b["moves"], b["minutes"]),
    )


class MaxNorm(nn.Module):
    def __init__(self, limit):
        super().__init__()
        self.limit = limit

    def forward(self, w):
        return w * (self.limit / w.norm(dim=1, keepdim=True)).clamp(max=1.0)


class QuayLSTM(nn.Module):
    def __init__(self, limit):
        super().__init__()
        self.berth = nn.Embedding(9, 6)
        self.lstm = nn.LSTM(6, 24, batch_first=True)
        self.readout = nn.Linear(24, 1)
        parametrize.register_parametrization(self.readout, "weight", MaxNorm(limit))

    def forward(self, ids):
        _, (h, _) = self.lstm(self.berth(ids))
        return self.readout(h[-1]).view(-1)


@sick("head-ignores-state")
def the_logbook_knows_and_the_clerk_mumbles(seed: int, *, healed: bool) -> Case:
    """Turnover of a quay, from the kinds of the last ten ships. The last layer came over from Keras with its
    `max_norm`, typed as a hundredth of what it was there: the LSTM tells the ships apart, and what is read from it may
    move by a few hundredths. Healed: the limit is 2.
    """
    torch.manual_seed(seed)
    ids = torch.randint(0, 9, (800, 10))
    worth = torch.randn(9)
    y = (worth[ids] * torch.linspace(0.4, 1, 10)).sum(1)
    y = (y - y.mean()) / y.std() + 0.2 * torch.randn(800)
    train = DataLoader(TensorDataset(ids[:600], y[:600]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(ids[600:], y[600:]), batch_size=50)

    def make_model():
        return QuayLSTM(limit=2.0 if healed else 0.02)

    model, loss = make_model(), nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=make_model)


class FogGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 8, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(8, 1)

    def forward(self, x):
        return self.fc(self.drop(self.gru(x)[0][:, -1]))[:, 0]


@healthy
def fog_signal_mostly_hiss(seed: int) -> Case:
    """Tomorrow's visibility from four weather series. More than eight tenths of it are chance, so the answers hug the
    mean, as they should: the rest is what the inputs allow, and the network has most of it.
    """
    torch.manual_seed(seed)
    x = torch.randn(1200, 8, 4)
    drift = (x[:, -5:, 0] - x[:, -5:, 2]).sum(1) / 10**0.5
    y = 0.45 * drift + torch.randn(1200)
    train = DataLoader(TensorDataset(x[:850], y[:850]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[850:], y[850:]), batch_size=50)
    model, loss = FogGRU(), nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
    for _ in range(10):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss, optimizer, make_model=FogGRU)


class SiltRNN(nn.Module):
    """Reads the window backwards, through random features that stay as they are."""

    def __init__(self):
        super().__init__()
        self.features = nn.Linear(2, 12)
        self.features.requires_grad_(False)
        self.rnn = nn.RNN(12, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(20, 1)
        nn.init.normal_(self.head.weight, std=1e-3)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        out, _ = self.rnn(torch.sin(self.features(x)))
        return self.head(out[:, 0, 20:]).squeeze(-1)


@healthy
def silt_by_the_hair_of_a_millimetre(seed: int) -> Case:
    """Silt laid down in a dredged channel, in metres a day: the targets' spread is two thousandths. Fixed random
    features, and a net whose backward half is read at the window's first step, where it has seen all. It fits.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 12, 2)
    load = (x[:, :8, 0] * torch.linspace(1, 0.3, 8)).sum(1) + 0.7 * x[:, 2, 1]
    y = 0.002 * (load / load.std() + 0.3 * torch.randn(800))
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model, loss = SiltRNN(), nn.MSELoss()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for _ in range(20):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, loss, optimizer, make_model=SiltRNN)


class TugCall(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 16)
        self.score = nn.Linear(16, 1)
        nn.init.constant_(self.score.bias, -2.5)

    def forward(self, x):
        steps, _ = self.lstm(x.transpose(0, 1))
        peak = steps.max(dim=0).values
        return self.score(peak).squeeze(1)


@healthy
def a_tug_is_seldom_called_but_in_time(seed: int) -> Case:
    """Whether a ship will call for a tug: one in fifteen does, those whose drift jumps somewhere on the way in. Steps
    come first within the model, and the last offset starts at the share of calls. The rare ones are found, plain loss
    and all.
    """
    torch.manual_seed(seed)
    x = 0.7 * torch.randn(1000, 18, 3)
    y = (torch.rand(1000) < 1 / 15).float()
    at = torch.randint(1, 16, (1000,))
    for k in range(3):
        x[torch.arange(1000), at + k - 1, 1] += 2.0 * y
    train = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    model, loss = TugCall(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, make_model=TugCall)
