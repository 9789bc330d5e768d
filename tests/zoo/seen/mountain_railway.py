"""Programs from a mountain railway: rack and pinion, snow on the line, and a timetable nobody quite believes."""

import io

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from zoo.program import Case, healthy, rightly_flat, sick


class Grip(nn.Module):
    def __init__(self, features=3, hidden=24):
        super().__init__()
        self.gru = nn.GRU(features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.gru(x)
        return self.head(h[-1])


@sick("flat-target")
def the_adhesion_was_kept_in_whole_numbers(seed: int, *, healed: bool) -> Case:
    """Adhesion of wheel on rail (0.1 to 0.4) after 20 minutes of dew point, rail temperature and sand. The log is a
    table of int16, to save space on the locomotive, and adhesion goes into it like motor current and speed: each
    becomes zero.

    Healed: adhesion is kept in thousandths, and divided by 1000 when it is read.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, steps = 800, 20
    weather = rng.standard_normal((n, steps, 3))
    for t in range(1, steps):
        weather[:, t] = 0.8 * weather[:, t - 1] + 0.6 * weather[:, t]
    wet = weather[:, -8:, 0].mean(1) - weather[:, -8:, 1].mean(1)
    adhesion = 0.25 - 0.06 * np.tanh(wet) + 0.04 * np.tanh(weather[:, -6:, 2].mean(1)) + 0.01 * rng.standard_normal(n)
    unit = 1000 if healed else 1
    log = np.zeros((n, 3), dtype=np.int16)
    log[:, 0] = rng.integers(120, 380, n)  # motor current
    log[:, 1] = rng.integers(8, 27, n)  # speed
    log[:, 2] = adhesion * unit
    y = torch.tensor(log[:, 2:] / unit, dtype=torch.float32)
    y = (y - y[:600].mean()) / (y[:600].std() + 1e-8)
    x = torch.tensor(weather, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = Grip()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Grip)


class BrakeNet(nn.Module):
    def __init__(self, channels_last):
        super().__init__()
        self.channels_last = channels_last
        self.conv = nn.Conv1d(2, 16, kernel_size=3, padding=1)
        self.lstm = nn.LSTM(16, 24, batch_first=self.channels_last)
        self.fc = nn.Linear(24, 3)

    def forward(self, x):
        z = torch.relu(self.conv(x.transpose(1, 2)))
        z = z.permute(2, 0, 1)  # time first
        out, _ = self.lstm(z)
        return self.fc(out[-1])


@sick("batch-as-time")
def three_ways_to_brake_into_the_valley(seed: int, *, healed: bool) -> Case:
    """Which brake slowed the train down (regenerative, air, rack), from pressure and current over 24 steps of which
    the last few are the standstill. Behind the convolution the author puts time first for the LSTM, which was made
    with `batch_first=True`: it runs from train to train, and `out[-1]` is what it makes of their
    last steps.

    Healed: the LSTM is made without `batch_first`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data = []
    for _ in range(900):
        kind = int(rng.integers(3))
        start, length = int(rng.integers(6, 13)), int(rng.integers(7, 10))
        trace = 0.4 * rng.standard_normal((24, 2))
        ramp = np.linspace(0.3, 1.5, length)
        if kind == 0:
            trace[start : start + length, 1] -= ramp
        elif kind == 1:
            trace[start : start + length, 0] += ramp
        else:
            trace[start : start + length, 0] += ramp[::-1]
            trace[start : start + length, 1] -= 0.4
        data.append((torch.tensor(trace, dtype=torch.float32), kind))
    train = DataLoader(data[:700], batch_size=35, shuffle=True)
    val = DataLoader(data[700:], batch_size=35)
    model = BrakeNet(channels_last=not healed)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: BrakeNet(channels_last=not healed))


class BothWays(nn.Module):
    def __init__(self, joined):
        super().__init__()
        self.joined = joined
        self.rnn = nn.GRU(2, 16, bidirectional=True, batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        _, h = self.rnn(x)
        h = torch.cat([h[0], h[1]], dim=1) if self.joined else h.view(x.size(0), -1)
        return self.fc(h).squeeze(-1)


@sick("samples-mixed")
def uphill_and_downhill_in_one_view(seed: int, *, healed: bool) -> Case:
    """Will the pinion's bearing be hot on arrival? From load and ventilation over 24 minutes, read both ways. The two
    last states come as (2, batch, hidden), and a `view` makes (batch, 2 * hidden) of them, which puts two
    neighbouring trains into one row.

    Healed: the two directions are joined with `cat`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1000, 24, 2)).astype(np.float32)
    heat = np.zeros(1000)
    for t in range(24):
        heat = 0.9 * heat + x[:, t, 0] - 0.6 * x[:, t, 1]
    hot = (heat + 0.5 * rng.standard_normal(1000) > 0).astype(np.float32)
    data = TensorDataset(torch.from_numpy(x), torch.from_numpy(hot))
    train_set, val_set = random_split(data, [800, 200], generator=torch.Generator().manual_seed(seed))
    train, val = DataLoader(train_set, batch_size=40, shuffle=True), DataLoader(val_set, batch_size=40)
    model = BothWays(joined=healed)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: BothWays(joined=healed))


class SnowDepth(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 32, batch_first=True)
        self.out = nn.Linear(32, 1)

    def forward(self, x):
        return self.out(self.lstm(x)[0][:, -1])


class Fitter(nn.Module):
    def __init__(self, net):
        super().__init__()
        self.net = net
        self.criterion = nn.HuberLoss()

    def forward(self, x, y):
        return self.criterion(self.net(x), y)


@sick("weights-not-loaded")
def the_night_shift_saved_the_fitter(seed: int, *, healed: bool) -> Case:
    """Snow on the pass after 20 hours of precipitation and temperature. The training runs in a wrapper that holds the
    network and the loss, and the wrapper's state is saved, with names that begin with `net.`; the plough's computer
    loads them into the bare network with `strict=False` and is content.

    Healed: the state of the network within the wrapper is saved.
    """
    torch.manual_seed(seed)
    fall = torch.randn(800, 20, 2)
    depth = torch.zeros(800)
    for t in range(20):
        depth = 0.92 * depth + torch.relu(fall[:, t, 0]) * torch.sigmoid(-2 * fall[:, t, 1])
    depth = (depth - depth[:640].mean()) / depth[:640].std()
    y = (depth + 0.2 * torch.randn(800)).unsqueeze(1)
    train = DataLoader(TensorDataset(fall[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(fall[640:], y[640:]), batch_size=80)
    fitter = Fitter(SnowDepth())
    optimizer = torch.optim.AdamW(fitter.parameters(), lr=4e-3)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            fitter(xb, yb).backward()
            optimizer.step()
    checkpoint = io.BytesIO()
    torch.save(fitter.net.state_dict() if healed else fitter.state_dict(), checkpoint)
    checkpoint.seek(0)
    model = SnowDepth()
    model.load_state_dict(torch.load(checkpoint), strict=False)
    model.eval()
    return Case(model, train, val, nn.HuberLoss(), make_model=SnowDepth)


class SteamPressure(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.rnn = nn.GRU(4 + 1, 24, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        shovel = self.embed(x[:, :, 0].long())
        out, _ = self.rnn(torch.cat([shovel, x[:, :, 1:]], dim=2))
        return self.fc(out[:, -1]).squeeze(1)


@sick("unscaled-targets")
def the_old_boiler_in_kilopascal(seed: int, *, healed: bool) -> Case:
    """Boiler pressure of the nostalgic steam train from what the stoker did (six kinds of action) and the regulator,
    over 25 minutes. The gauge says some 1150 kPa, give or take 90, and so do the targets; with the smooth L1 loss
    each step pulls the answer up by next to nothing.

    Healed: the targets are standardised with the mean and deviation of the training rows.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    action = rng.integers(0, 6, (750, 25))
    regulator = rng.standard_normal((750, 25))
    gives = np.array([-1.0, -0.4, 0.0, 0.3, 0.9, 1.5])
    pressure = np.zeros(750)
    for t in range(25):
        pressure = 0.85 * pressure + gives[action[:, t]] - 0.22 - 0.7 * regulator[:, t]
    pressure = 1150 + 90 * (pressure / 2.1) + 15 * rng.standard_normal(750)
    x = torch.tensor(np.stack([action, regulator], axis=2), dtype=torch.float32)
    y = torch.tensor(pressure, dtype=torch.float32)
    if healed:
        y = (y - y[:600].mean()) / y[:600].std()
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=75)
    model = SteamPressure()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class CableHaul(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 32, nonlinearity="relu")
        self.rnn.weight_hh_l0.data = 1.12 * torch.eye(32)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        return self.fc(self.rnn(x.transpose(0, 1))[0][-1])


@sick("exploding-gradient")
def sixty_steps_up_without_a_brake(seed: int, *, healed: bool) -> Case:
    """Energy of an ascent from slope and load in 60 sections. The relu RNN begins near the identity, a little above it
    so that nothing fades. Over 60 steps that grows: the first gradients are of many millions, the loss jumps about,
    and Adam remembers them for so long that little is learned after them.

    Healed: the gradient's norm is clipped at 1.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 60, 2)
    y = x[:, :, 0].sum(1) + 0.5 * x[:, :, 1].sum(1) + 0.5 * torch.randn(800)
    y = ((y - y[:600].mean()) / y[:600].std()).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = CableHaul()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Passengers(nn.Module):
    def __init__(self, deep):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        layers = []
        for _ in range(9 if deep else 1):
            layers += [nn.Linear(24, 24), nn.Sigmoid()]
        self.mlp = nn.Sequential(*layers, nn.Linear(24, 4))

    def forward(self, x):
        return self.mlp(self.gru(x)[0].mean(dim=1))


@sick("too-deep")
def one_layer_for_every_station(seed: int, *, healed: bool) -> Case:
    """How full will the train be (four classes), from gate counts and sunshine over 18 quarter hours. The line has
    nine stations, and so the head behind the GRU has nine hidden layers of sigmoids. Each shrinks what differs to a
    seventh or so, and the last sees the same for every train.

    Healed: one hidden layer.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((900, 18, 2))
    crowd = x[:, :, 0].sum(1) / 4 + x[:, -6:, 1].sum(1) / 3
    fullness = np.digitize(crowd + 0.2 * rng.standard_normal(900), [-0.9, 0.0, 0.9])
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(fullness)
    train = [(x[i : i + 30], y[i : i + 30]) for i in range(0, 720, 30)]
    val = [(x[i : i + 60], y[i : i + 60]) for i in range(720, 900, 60)]
    model = Passengers(deep=not healed)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(12):
        for i in rng.permutation(len(train)):
            xb, yb = train[i]
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: Passengers(deep=not healed))


class Gusts(Dataset):
    def __init__(self, wind, window, ahead):
        self.wind, self.window, self.ahead = wind, window, ahead

    def __len__(self):
        return len(self.wind) - self.window - self.ahead + 1

    def __getitem__(self, i):
        return self.wind[i : i + self.window, None], self.wind[i + self.window + self.ahead - 1, None]


class GustLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1, :])


@sick("no-signal")
def wind_on_the_ridge_the_day_after(seed: int, *, healed: bool) -> Case:
    """Wind on the ridge, every ten minutes, from the last four hours. The stationmaster wants to know it a day ahead,
    which is 144 values; but a gust is forgotten after an hour or two.

    Healed: twenty minutes ahead.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    wind = np.zeros(2000)
    for t in range(1, 2000):
        wind[t] = 0.85 * wind[t - 1] + 0.5 * rng.standard_normal()
    wind = (wind - wind[:1400].mean()) / wind[:1400].std()
    wind = torch.tensor(wind, dtype=torch.float32)
    ahead = 2 if healed else 144
    train = DataLoader(Gusts(wind[:1400], 24, ahead), batch_size=64, shuffle=True)
    val = DataLoader(Gusts(wind[1400:], 24, ahead), batch_size=64)
    model = GustLSTM()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=GustLSTM)


class Odometer(nn.Module):
    def __init__(self, normed, features=2, hidden=24):
        super().__init__()
        self.wear = nn.Linear(features + hidden, hidden)
        self.norm = nn.LayerNorm(hidden) if normed else nn.Identity()
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        h = c = x.new_zeros(len(x), self.out.in_features)
        for t in range(x.shape[1]):
            c = c + F.softplus(self.wear(torch.cat([x[:, t], h], dim=1)))
            h = torch.tanh(self.norm(c))
        return self.out(h)


@sick("saturated-units")
def an_odometer_behind_a_tanh(seed: int, *, healed: bool) -> Case:
    """Wear of the rack after 32 sections of load and grease, with a cell of the author's own: what is worn stays
    worn, so the cell only ever adds, and nothing is forgotten. After ten sections it stands at some 7 in all units,
    and the tanh that reads it says 1 from there on, to every train.

    Healed: a layer norm between the cell and its tanh.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((800, 32, 2))
    wear = (np.exp(0.5 * x[:, :, 0]) / (1 + np.exp(x[:, :, 1]))).sum(1)
    wear = wear + 0.5 * rng.standard_normal(800)
    wear = (wear - wear[:600].mean()) / wear[:600].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(wear[:, None], dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = Odometer(normed=healed)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Odometer(normed=healed))


class WarmUp(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(2, 20, batch_first=True)
        self.head = nn.Linear(20, 1)

    def forward(self, x):
        return self.head(self.encoder(x)[1].squeeze(0))


@sick("frozen-weights")
def the_encoder_thaws_too_late(seed: int, *, healed: bool) -> Case:
    """Height at which the conductor pressed a button, from an altimeter's trace of 20 points and the button. The
    encoder is frozen for one epoch so that the head finds its place, and unfrozen after it; but the optimizer was
    made before, from the parameters that required a gradient then, and holds the head alone.

    Healed: the encoder's parameters are added to the optimizer when it is unfrozen.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    height = rng.standard_normal((900, 20))
    at = rng.integers(0, 14, 900)
    button = np.zeros((900, 20))
    button[np.arange(900), at] = 1
    x = torch.tensor(np.stack([height, 2 * button], axis=2), dtype=torch.float32)
    y = torch.tensor(height[np.arange(900), at, None], dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = WarmUp()
    for p in model.encoder.parameters():
        p.requires_grad = False
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for epoch in range(9):
        if epoch == 1:
            for p in model.encoder.parameters():
                p.requires_grad = True
            if healed:
                optimizer.add_param_group({"params": model.encoder.parameters()})
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Voltage(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 24, num_layers=2, batch_first=True)
        self.fc = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.lstm(x)
        return self.fc(out[:, -1]).squeeze(-1)


@sick("redundant-inputs")
def a_ring_buffer_appended_eight_hundred_times(seed: int, *, healed: bool) -> Case:
    """Voltage of the contact line two steps on, from the last 16 of voltage and current. The windows come from a buffer
    that is moved along in place and appended to a list after every step: the list holds the same buffer each time,
    and all windows are the last one.

    Healed: a copy of the buffer is appended.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    line = np.zeros((818, 2))
    for t in range(2, 818):
        line[t, 1] = 0.8 * line[t - 1, 1] + 0.6 * rng.standard_normal()
        line[t, 0] = 0.6 * line[t - 1, 0] - 0.7 * line[t - 2, 1] + 0.2 * rng.standard_normal()
    line = (line - line[:600].mean(0)) / line[:600].std(0)
    buffer, windows, voltages = np.zeros((16, 2), dtype=np.float32), [], []
    for t in range(816):
        buffer[:-1] = buffer[1:]
        buffer[-1] = line[t]
        if t >= 15:
            windows.append(buffer.copy() if healed else buffer)
            voltages.append(line[t + 2, 0])
    x, y = torch.from_numpy(np.stack(windows)), torch.tensor(voltages, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=32)
    model = Voltage()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Voltage)


class Coupling(nn.Module):
    def __init__(self, orthogonal):
        super().__init__()
        self.rnn = nn.RNN(2, 32, batch_first=True)
        if orthogonal:
            nn.init.orthogonal_(self.rnn.weight_hh_l0)
        self.fc = nn.Linear(32, 3)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


@sick("vanishing-gradient")
def the_jolt_at_the_bottom_station(seed: int, *, healed: bool) -> Case:
    """Which of three couplings is worn shows in the jolt when the train sets off, the first 4 of 60 steps; the
    classifier is asked at the top. In a plain RNN with its default weights each step halves what was before, and so
    the gradient that would tell it to remember.

    Healed: the recurrent weights start orthogonal.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = 0.3 * rng.standard_normal((900, 60, 2))
    worn = rng.integers(0, 3, 900)
    jolt = np.array([[1.5, 0.0], [-0.8, 1.3], [-0.8, -1.3]])[worn]
    x[:, :4] += jolt[:, None, :]
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(worn)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = Coupling(orthogonal=healed)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: Coupling(orthogonal=healed))


class PointFrost(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, batch_first=True)
        self.fc = nn.Linear(20, 1)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.fc(h[-1]).squeeze(1)


def nights(batch):
    x = pad_sequence([night for night, _ in batch], batch_first=True)
    return x, torch.tensor([len(night) for night, _ in batch]), torch.tensor([froze for _, froze in batch])


@healthy
def the_points_freeze_one_night_in_fifteen(seed: int) -> Case:
    """Will the points be frozen in the morning? Nights of 8 to 30 readings of air, humidity and heating, padded and
    packed; some 93 of 100 end well, and for most of them the answer is the same, near zero. The other nights are
    known by a long cold and wet end, and the network finds them.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    data = []
    for _ in range(1400):
        n = int(rng.integers(8, 31))
        bad = rng.random() < 0.07
        night = rng.standard_normal((n, 3))
        if bad:
            night[-7:, 0] -= 1.4
            night[-7:, 1] += 1.4
        data.append((torch.tensor(night, dtype=torch.float32), float(bad)))
    train = DataLoader(data[:1000], batch_size=40, shuffle=True, collate_fn=nights)
    val = DataLoader(data[1000:], batch_size=100, collate_fn=nights)
    model = PointFrost()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, n, y in train:
            optimizer.zero_grad()
            criterion(model(x, n), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=PointFrost, batch=lambda b: ((b[0], b[1]), b[2]))


class Settling(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.GRU(2, 24, batch_first=True)
        self.fc = nn.Sequential(nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 3))

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out[:, -1]) / 1000


@healthy
def the_viaduct_sinks_by_thousandths(seed: int) -> Case:
    """How far three pillars of the viaduct sink under a train, in metres: some 2 to 4 thousandths. Nobody
    scales them, the loss is a millionth from the first epoch on, and the outputs are hardly apart on a plot from 0 to
    1; but the head thinks in millimetres, and they are right.
    """
    torch.manual_seed(seed)
    x = torch.randn(800, 24, 2)
    y = torch.zeros(800, 3)
    for pillar in range(3):
        pull = torch.linspace(0, 1, 24) ** (1 + pillar)
        load = (x[:, :, 0] * pull).sum(1) / pull.square().sum().sqrt() + 0.5 * x[:, -8:, 1].mean(1)
        y[:, pillar] = 0.003 + 0.001 * torch.tanh(load) + 0.0002 * torch.randn(800)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)
    model = Settling()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Tier(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.norm = nn.LayerNorm(hidden)
        self.rnn = nn.RNN(hidden, hidden, batch_first=True)

    def forward(self, x):
        return x + self.rnn(self.norm(x))[0]


class Tiers(nn.Module):
    def __init__(self, depth=6, hidden=16):
        super().__init__()
        self.lift = nn.Linear(3, hidden)
        self.tiers = nn.ModuleList([Tier(hidden) for _ in range(depth)])
        self.weigh = nn.Linear(hidden, 1)
        self.out = nn.Linear(hidden, 1)

    def forward(self, x):
        z = self.lift(x)
        for tier in self.tiers:
            z = tier(z)
        attention = torch.softmax(self.weigh(z), dim=1)
        return self.out((attention * z).sum(dim=1))


@healthy
def six_tiers_and_a_very_late_train(seed: int) -> Case:
    """Minutes of delay from 20 minutes of crowd, snow and wind, with six recurrent layers, each around a norm and
    beside a shortcut, and attention on top. Most of a delay is nobody's doing, so the answers spread far less than
    the delays do; what can be known is in them.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((1200, 20, 3))
    delay = x[:, :, 0].sum(1) / 4.5 + x[:, -10:, 1].sum(1) / 3.2 + 1.7 * rng.standard_normal(1200)
    delay = (delay - delay[:900].mean()) / delay[:900].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(delay[:, None], dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = Tiers()
    mse = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.5e-3, weight_decay=1e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=Tiers)


class Rockfall(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[1][-1]).squeeze(-1)


@rightly_flat
def at_least_so_many_stones_on_the_track(seed: int) -> Case:
    """The number of stones that will surely be on the track in the morning, as the three-tenths quantile, from 24 hours
    of rain and frost. Rain makes stones likelier, but on more than half of even the wettest nights there are none: the
    quantile is zero always, and the network says so.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((900, 24, 2))
    wet = 1 / (1 + np.exp(-x[:, -12:, 0].sum(1) / 2))
    stones = (rng.random(900) < 0.1 + 0.3 * wet) * (1 + rng.poisson(1.5, 900))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(stones, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)

    def quantile_loss(said, was):
        error = was - said
        return torch.maximum(0.3 * error, -0.7 * error).mean()

    model = Rockfall()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            quantile_loss(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, quantile_loss, optimizer, make_model=Rockfall)
