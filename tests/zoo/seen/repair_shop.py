"""Programs from workshops and test benches: engines, bolts, gearboxes, and those who mend them."""

import math

import numpy as np
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class BoltRNN(nn.Module):
    def __init__(self, packed):
        super().__init__()
        self.packed = packed
        self.rnn = nn.RNN(2, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        if self.packed:
            lengths = (x[:, :, 1] != 0).sum(dim=1)
            x = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, h = self.rnn(x)
        return self.fc(h[-1]).squeeze(1)


@sick("padding-dominates")
def torque_curves_in_a_crate_for_the_longest_bolt(seed: int, *, healed: bool) -> Case:
    """Was the thread stripped? From torque and angle while a bolt is tightened, some 8 to 18 readings. All curves go
    through one `pad_sequence`, and a single bolt of a ship's engine took 60: the last hidden state has seen little
    but zeros.

    Healed: the curves are packed by their lengths.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    curves, stripped = [], []
    for i in range(800):
        n = 60 if i == 123 else int(rng.integers(8, 19))
        bad = rng.random() < 0.45
        angle = np.linspace(0.1, 1, n)
        torque = 1.6 * angle - 0.8 + 0.25 * rng.standard_normal(n)
        if bad:
            torque[-n // 4 :] -= rng.uniform(0.6, 1.4)
        curves.append(torch.tensor(np.stack([torque, angle], axis=1), dtype=torch.float32))
        stripped.append(float(bad))
    x, y = pad_sequence(curves, batch_first=True), torch.tensor(stripped)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=40)
    model = BoltRNN(packed=healed)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: BoltRNN(packed=healed))


class Revolution(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 16, batch_first=True, bidirectional=True)
        self.out = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        return self.out(self.gru(x)[0].mean(dim=1))


@sick("redundant-inputs")
def one_engine_idles_through_every_revolution(seed: int, *, healed: bool) -> Case:
    """Valve clearance from the crank's speed over one revolution (36 angles), all from one engine at idle. The
    revolutions are standardised together, so their scale is right, but each is the same wave of four strokes up to
    half a percent.

    Healed: the mean revolution is taken off before the standardising, which leaves what differs.
    """
    torch.manual_seed(seed)
    phase = torch.linspace(0, 2 * math.pi, 36)
    wave = 800 + 40 * torch.sin(2 * phase) + 15 * torch.sin(4 * phase + 1)
    clearance = torch.randn(700, 1)
    knock = torch.exp(-((phase - 3.5) ** 2) / 0.5)
    speed = wave + 0.15 * clearance * knock + 0.05 * torch.randn(700, 36)
    if healed:
        speed = speed - speed[:500].mean(dim=0)
    x = ((speed - speed[:500].mean()) / speed[:500].std()).unsqueeze(2)
    train = DataLoader(TensorDataset(x[:500], clearance[:500]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], clearance[500:]), batch_size=100)
    model = Revolution()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(7):
        for xb, yb in train:
            loss = nn.functional.mse_loss(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, nn.functional.mse_loss, optimizer)


class LoadForecaster(nn.Module):
    def __init__(self, horizon, direct):
        super().__init__()
        self.horizon, self.direct = horizon, direct
        self.gru = nn.GRU(1, 20, batch_first=True)
        self.head = nn.Linear(20, horizon if direct else 1)

    def next_value(self, x):
        return self.head(self.gru(x.unsqueeze(2))[1][0])

    def forward(self, x):
        if self.direct:
            return self.next_value(x)
        window = x
        for _ in range(self.horizon):
            seen = window[:, -x.shape[1] :]
            window = torch.cat([window, self.next_value(seen)], dim=1)
        return window[:, -self.horizon :]


@sick("rollout-converges")
def compressor_load_until_the_end_of_the_shift(seed: int, *, healed: bool) -> Case:
    """Load of a compressor, the next 60 values from the last 20, which are one work cycle; each plant's cycle has a
    shape of its own. The GRU is taught the next value, and what it says is put behind the window for the one after
    it. That is good for a few steps and then settles on a level.

    Healed: one head gives all 60 values, and is trained on them.
    """
    torch.manual_seed(seed)
    t = 2 * math.pi * torch.arange(80) / 20
    waves = torch.stack([t.sin(), t.cos(), (2 * t).sin(), (2 * t).cos()])
    load = torch.randn(800, 4) @ waves + 0.8 * torch.randn(800, 80)
    load = (load - load[:600].mean()) / load[:600].std()
    x, y = load[:, :20], load[:, 20:]
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = LoadForecaster(60, direct=healed)
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = mse(model(xb), yb) if healed else mse(model.next_value(xb), yb[:, :1])
            loss.backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=lambda: LoadForecaster(60, direct=healed))


class BatteryBench(nn.Module):
    def __init__(self, side_by_side):
        super().__init__()
        self.side_by_side = side_by_side
        self.lstm = nn.LSTM(3, 12, batch_first=True, bidirectional=True)
        self.classes = nn.Linear(24, 3)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        h = torch.cat([h[0], h[1]], dim=1) if self.side_by_side else h.view(len(x), -1)
        return self.classes(h)


@sick("samples-mixed")
def battery_bench_reads_both_ways_home(seed: int, *, healed: bool) -> Case:
    """Which of three faults has a battery, from voltage, current and temperature over 20 readings? The two last states
    of a bidirectional LSTM are (2, batch, 12), and `view(batch, 24)` lays two neighbours' states side by side as
    one battery's.

    Healed: the two directions of one battery are concatenated.
    """
    torch.manual_seed(seed)
    fault = torch.randint(0, 3, (900,))
    x = torch.randn(900, 20, 3) + 0.6 * torch.eye(3)[fault].unsqueeze(1)
    train = DataLoader(TensorDataset(x[:700], fault[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], fault[700:]), batch_size=50)
    model = BatteryBench(side_by_side=healed)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: BatteryBench(side_by_side=healed))


class SoundLevel(nn.Module):
    def __init__(self, centred):
        super().__init__()
        self.centred = centred
        self.rnn = nn.GRU(4, 32, batch_first=True)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        frames = x.unfold(1, 10, 10)
        level = 20 * torch.log10(frames.square().mean(dim=3).sqrt() / 2e-5 + 1e-9)
        if self.centred:
            level = (level - 94) / 3
        _, h = self.rnn(level)
        return self.out(h[0])[:, 0]


@sick("saturated-units")
def hall_microphones_in_decibels(seed: int, *, healed: bool) -> Case:
    """Wear of a grinder from four microphones, 60 readings each, standardised. The model itself turns them into sound
    levels in decibels over the threshold of hearing, 94 give or take 3, and the GRU gets those: its gates sit at 0
    or 1.

    Healed: the levels are centred and divided before the GRU.
    """
    torch.manual_seed(seed)
    wear = torch.randn(700)
    rise = torch.linspace(0, 1, 60).unsqueeze(1)
    x = torch.randn(700, 60, 4) * torch.exp(0.35 * wear[:, None, None] * rise * torch.tensor([1.0, 0.5, -0.5, -1.0]))
    x = (x - x[:550].mean(dim=(0, 1))) / x[:550].std(dim=(0, 1))
    train = DataLoader(TensorDataset(x[:550], wear[:550]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], wear[550:]), batch_size=50)
    model = SoundLevel(centred=healed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, nn.functional.mse_loss, optimizer, make_model=lambda: SoundLevel(centred=healed))


class Reception(nn.Module):
    def __init__(self, keep):
        super().__init__()
        self.keep, self.h = keep, None
        self.words = nn.Embedding(12, 8)
        self.gru = nn.GRU(8, 24, batch_first=True)
        self.quote = nn.Linear(24, 1)

    def forward(self, ids):
        h = None if self.h is None else self.h[:, : len(ids)].contiguous()
        _, h = self.gru(self.words(ids), h)
        if self.keep:
            self.h = h.detach()
        return self.quote(h[-1]).squeeze(-1)


@sick("state-leak")
def reception_desk_that_keeps_the_last_customer_in_mind(seed: int, *, healed: bool) -> Case:
    """Price of a repair from a talk of ten words: the first word names the part, and the same words come up later
    without meaning anything. The hidden state is kept on the module, so no talk ever begins: each goes on from one
    of another batch.

    Healed: every talk begins from zeros.
    """
    torch.manual_seed(seed)
    price = torch.randn(12)
    ids = torch.randint(0, 12, (1200, 10))
    y = price[ids[:, 0]] + 0.2 * torch.randn(1200)
    train = DataLoader(TensorDataset(ids[:1000], y[:1000]), batch_size=40, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(ids[1000:], y[1000:]), batch_size=40)
    model = Reception(keep=not healed)
    loss_fn = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss_fn, optimizer)


class Tower(nn.Module):
    def __init__(self, storeys):
        super().__init__()
        layers = [nn.Conv1d(1, 12, 3, padding=1), nn.GELU()]
        for _ in range(storeys - 1):
            layers += [nn.Conv1d(12, 12, 3, padding=1), nn.GELU()]
        self.tower = nn.Sequential(*layers)
        self.lstm = nn.LSTM(12, 16, batch_first=True)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        out, _ = self.lstm(self.tower(x).transpose(1, 2))
        return self.out(out[:, -1])


@sick("too-deep")
def spindle_noise_climbs_twenty_storeys(seed: int, *, healed: bool) -> Case:
    """Play in a spindle's bearing from 24 samples of its vibration. Before the LSTM stand twenty convolutions one upon
    the other, for a paper had as many (and shortcuts, which are left out here): of what the first lets pass,
    nothing arrives.

    Healed: four convolutions.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    play = rng.standard_normal((600, 1))
    t = np.arange(24)
    hum = np.sin(t * 1.1 + rng.uniform(0, 2 * np.pi, (600, 1)))
    vibration = hum * np.exp(0.4 * play) + 0.2 * rng.standard_normal((600, 24))
    x = torch.tensor(vibration / vibration[:450].std(), dtype=torch.float32).unsqueeze(1)
    y = torch.tensor(play, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:450], y[:450]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], y[450:]), batch_size=30)
    storeys = 4 if healed else 20
    model = Tower(storeys)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Tower(storeys))


class Gearbox(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(4, 32, batch_first=True)
        self.fc = nn.Linear(32, 2)

    def forward(self, x):
        return self.fc(self.rnn(x)[0].mean(dim=1))


@sick("too-little-data")
def seven_gearboxes_cut_into_many_slices(seed: int, *, healed: bool) -> Case:
    """Good or worn, from four accelerometers over 16 readings. There are 420 windows, but of seven gearboxes, each with
    its own levels at the sensors: it learns which one it is, and knows nothing to say of the gearboxes held out.

    Healed: as many windows, of 210 gearboxes.
    """
    torch.manual_seed(seed)
    boxes = 210 if healed else 7

    def windows(boxes, each):
        worn = torch.arange(boxes) % 2
        own = torch.randn(boxes, 1, 1, 4)
        own[..., 0] = 0.4 * own[..., 0] + 1.2 * (worn.view(-1, 1, 1) - 0.5)
        x = own + 0.5 * torch.randn(boxes, each, 16, 4)
        return TensorDataset(x.flatten(0, 1), worn.repeat_interleave(each))

    train = DataLoader(windows(boxes, 420 // boxes), batch_size=30, shuffle=True)
    val = DataLoader(windows(60, 4), batch_size=60)
    model = Gearbox()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Gearbox)


class Handrails(nn.Module):
    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(2, 16)
        self.norms = nn.ModuleList(nn.LayerNorm(16) for _ in range(7))
        self.layers = nn.ModuleList(nn.GRU(16, 16, batch_first=True) for _ in range(7))
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        x = self.lift(x)
        for norm, gru in zip(self.norms, self.layers, strict=True):
            x = x + gru(norm(x))[0]
        return self.out(x[:, -1])


@healthy
def lathe_drift_up_seven_flights_with_handrails(seed: int) -> Case:
    """A lathe's drift from temperature and load over 12 readings, by seven GRU layers, each with a norm before it and a
    way round it. So many are not needed, but with the shortcuts they do no harm.
    """
    torch.manual_seed(seed)
    x = torch.randn(500, 12, 2)
    y = x[:, -6:, 0].mean(dim=1, keepdim=True) * 2 + x[:, -3:, 1].mean(dim=1, keepdim=True) + 0.3 * torch.randn(500, 1)
    train = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[400:], y[400:]), batch_size=50)
    model = Handrails()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    mse = nn.MSELoss()
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=Handrails)


class ShiftBook(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(3, 16)
        self.out = nn.Linear(16, 1)
        self.state = None

    def forward(self, x):
        begins = x[:, 0, 2:]
        if self.state is None or len(self.state[0]) != len(x):
            self.state = x.new_zeros(len(x), 16), x.new_zeros(len(x), 16)
        h, c = (s * (1 - begins) for s in self.state)
        said = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
            said.append(self.out(h))
        self.state = h.detach(), c.detach()
        return torch.cat(said, dim=1)


@healthy
def night_shift_reads_the_book_of_the_day_shift(seed: int) -> Case:
    """Heat of 24 furnaces at every reading, from burner and door: a slow sum of both. Each furnace's long record comes
    in pieces of 10, in order, and the state is carried from piece to piece; a third column is 1 where a record
    begins, and there the state is wiped.
    """
    torch.manual_seed(seed)

    def records(pieces):
        n = 10 * pieces
        x = torch.randn(24, n, 2)
        heat, heats = torch.zeros(24), []
        for t in range(n):
            heat = 0.85 * heat + 0.5 * x[:, t, 0] - 0.25 * x[:, t, 1]
            heats.append(heat + 0.2 * torch.randn(24))
        begins = torch.zeros(24, n, 1)
        begins[:, 0] = 1
        x, y = torch.cat([x, begins], dim=2), torch.stack(heats, dim=1)
        return [(x[:, i : i + 10], y[:, i : i + 10]) for i in range(0, n, 10)]

    train, val = records(30), records(10)
    model = ShiftBook()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        for x, y in train:
            loss = nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, nn.functional.mse_loss, optimizer)


class Estimate(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 64, nonlinearity="relu", batch_first=True)
        self.out = nn.Linear(64, 1)
        nn.init.eye_(self.rnn.weight_hh_l0)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1]).squeeze(1)


@healthy
def few_hands_of_sixty_four_price_the_repair(seed: int) -> Case:
    """Price of a repair from hours, parts and travel over 8 days, by a relu RNN that begins from the identity. A
    penalty on the activations silences most of its 64 units for good; the rest do the work as well as it can be
    done.
    """
    torch.manual_seed(seed)
    x = torch.randn(700, 8, 3)
    y = (x[:, :, 0].clamp(min=0) + 0.5 * x[:, :, 1]).mean(dim=1) * 3 + 0.3 * torch.randn(700)
    y = (y - y[:550].mean()) / y[:550].std()
    train = DataLoader(TensorDataset(x[:550], y[:550]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], y[550:]), batch_size=50)
    model = Estimate()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(30):
        for xb, yb in train:
            states, _ = model.rnn(xb)
            loss = criterion(model.out(states[:, -1]).squeeze(1), yb) + 3.0 * states.abs().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Estimate)
