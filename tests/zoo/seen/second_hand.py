"""Programs put together from recipes, snippets and settings that had worked somewhere else."""

import torch
import torch.nn.functional as F
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class HeatPumpNet(nn.Module):
    def __init__(self, registers=3, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.GRUCell(registers, hidden)
        self.out = nn.Sequential(nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for reading in x.unbind(1):
            h = self.cell(reading, h)
        return self.out(h)


@sick("unscaled-inputs")
def modbus_timeouts_within_the_scaler(seed: int, *, healed: bool) -> Case:
    """Heat delivered by a heat pump, from three registers polled over Modbus. A poll that times out reads 65535 in all
    of them; a few of those are in the data that the min-max scaler is fitted to, so all real readings end up within a
    thousandth of each other.

    Healed: a timed-out poll is replaced by the median before the scaler is fitted.
    """
    torch.manual_seed(seed)
    n, steps = 700, 14
    flow = 35 + 4 * torch.randn(n, 1) + torch.randn(n, steps)
    back = 29 + 3 * torch.randn(n, 1) + torch.randn(n, steps)
    pump = 20 + 5 * torch.randn(n, 1) + 2 * torch.randn(n, steps)
    heat = ((flow - back) * pump)[:, -8:].mean(1, keepdim=True) + 6 * torch.randn(n, 1)
    heat = (heat - heat[:500].mean()) / heat[:500].std()
    polled = torch.stack([flow, back, pump], dim=2)
    late = torch.rand(n, steps) < 0.002
    if healed:
        polled[late] = polled.flatten(0, 1).median(0).values
    else:
        polled[late] = 65535.0

    scaler = MinMaxScaler().fit(polled[:500].reshape(-1, 3).numpy())
    x = torch.from_numpy(scaler.transform(polled.reshape(-1, 3).numpy())).float().reshape(n, steps, 3)
    train = DataLoader(TensorDataset(x[:500], heat[:500]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], heat[500:]), batch_size=50)
    model = HeatPumpNet()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=5e-3)
    mse = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=HeatPumpNet)


class ReservoirLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 24, num_layers=2, batch_first=True)
        self.linear = nn.Linear(24, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.linear(h[-1])[:, 0]


@sick("unscaled-targets")
def reservoir_level_divided_but_not_centred(seed: int, *, healed: bool) -> Case:
    """A reservoir's level above the sea, from inflow and outflow of the last weeks. The scaler of the levels was taken
    from a pipeline with sparse matrices, where it had to have `with_mean=False`: levels become 600 and some.

    Healed: the scaler centres too.
    """
    torch.manual_seed(seed)
    n, steps = 800, 21
    inflow = torch.randn(n, 1) + 0.8 * torch.randn(n, steps)
    outflow = torch.randn(n, 1) + 0.8 * torch.randn(n, steps)
    level = 412.3 + 0.5 * (inflow - outflow).mean(1) + 0.08 * torch.randn(n)
    scaler = StandardScaler(with_mean=healed).fit(level[:600, None].numpy())
    y = torch.from_numpy(scaler.transform(level[:, None].numpy())[:, 0]).float()
    x = torch.stack([inflow, outflow], dim=2)

    order = torch.randperm(600)
    train = [(x[i], y[i]) for i in order.split(25)]
    val = [(x[600:], y[600:])]
    model = ReservoirLSTM()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    huber = nn.HuberLoss()
    for _ in range(10):
        for xb, yb in train:
            loss = huber(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, huber, optimizer)


class BeatNet(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.conv = nn.Conv1d(1, 12, 5, stride=2, padding=2)
        self.lstm = nn.LSTM(12, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, 2)

    def forward(self, x):
        z = torch.relu(self.conv(x.unsqueeze(1))).transpose(1, 2)
        _, (h, _) = self.lstm(z)
        return self.fc(h[-1])


@sick("class-imbalance")
def ectopic_beats_weighted_by_how_many_they_are(seed: int, *, healed: bool) -> Case:
    """Heart beats, one in fifteen of them ectopic (an early, broad complex). The author knows of the imbalance and
    gives class weights to the cross-entropy; they are the classes' shares, so the rare class counts still less.

    Healed: the weights are the shares' inverses.
    """
    torch.manual_seed(seed)
    n, steps = 1300, 40
    y = (torch.rand(n) < 1 / 15).long()
    t = torch.arange(steps).float()
    centre = 20 + 3 * torch.randn(n, 1) - 3.0 * y[:, None]
    width = (1.6 + 0.3 * torch.rand(n, 1)) * (1 + 0.8 * y[:, None])
    x = (0.8 + 0.4 * torch.rand(n, 1)) * torch.exp(-0.5 * ((t - centre) / width) ** 2) * 2 + 0.3 * torch.randn(n, steps)
    x = (x - x[:1000].mean()) / x[:1000].std()

    share = torch.bincount(y[:1000], minlength=2) / 1000
    weight = 1 / share if healed else share
    criterion = nn.CrossEntropyLoss(weight=weight / weight.sum())
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = BeatNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 5, 0.5)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=BeatNet)


class PeptideNet(nn.Module):
    def __init__(self, flip):
        super().__init__()
        self.flip = flip
        self.residues = nn.Embedding(21, 12, padding_idx=0)
        self.rnn = nn.RNN(12, 28, batch_first=True)
        self.head = nn.Linear(28, 1)

    def forward(self, ids):
        if self.flip:
            ids = ids.flip(1)
        _, h = self.rnn(self.residues(ids))
        return self.head(h[0]).squeeze(-1)


@sick("padding-dominates")
def peptides_padded_in_front_then_turned_round(seed: int, *, healed: bool) -> Case:
    """Half-lives of peptides from their residues. The ids come with zeros in front, as Keras pads; the model turns the
    sequence round, a trick from translation, and so ends each short peptide with some thirty zeros.

    Healed: it reads the peptides as they come.
    """
    torch.manual_seed(seed)
    n, steps = 900, 40
    lengths = torch.randint(4, 10, (n,))
    lengths[torch.rand(n) < 0.01] = 38
    there = torch.arange(steps) >= steps - lengths[:, None]
    ids = torch.randint(1, 21, (n, steps)) * there
    stability = torch.cat([torch.zeros(1), torch.randn(20)])
    y = (stability[ids].sum(1) / lengths.sqrt()) + 0.2 * torch.randn(n)
    y = (y - y[:700].mean()) / y[:700].std()

    train = DataLoader(TensorDataset(ids[:700], y[:700]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(ids[700:], y[700:]), batch_size=50)
    model = PeptideNet(flip=not healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: PeptideNet(flip=not healed))


class ZoneoutGRU(nn.Module):
    def __init__(self, n_in, hidden, rate, keep_at_test):
        super().__init__()
        self.hidden, self.rate, self.keep_at_test = hidden, rate, keep_at_test
        self.cell = nn.GRUCell(n_in, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for step in x.unbind(1):
            new = self.cell(step, h)
            if self.training:
                h = torch.where(torch.rand_like(h) < self.rate, h, new)
            else:
                h = self.keep_at_test * h + (1 - self.keep_at_test) * new
        return self.head(h).squeeze(1)


@sick("train-eval-mismatch")
def rowing_stroke_zoneout_mixed_the_other_way(seed: int, *, healed: bool) -> Case:
    """Is the next stroke of a rowing boat's crew late? From the oar's force of the last moments, with a hand-written
    zoneout: in training 3 of 100 units keep their old value. For evaluation old and new are averaged, with the two
    shares mixed up: 97 hundredths are old.

    Healed: 3 hundredths are.
    """
    torch.manual_seed(seed)
    n, steps = 900, 12
    force = torch.randn(n, steps, 2)
    lateness = force[:, -1, 0] - force[:, -2, 0] + force[:, -3, 1] + 0.3 * torch.randn(n)
    late = (lateness > 0).float()
    train = DataLoader(
        [{"force": f, "late": y} for f, y in zip(force[:700], late[:700], strict=True)], 35, shuffle=True
    )
    val = DataLoader([{"force": f, "late": y} for f, y in zip(force[700:], late[700:], strict=True)], 100)

    def build():
        return ZoneoutGRU(2, 20, rate=0.03, keep_at_test=0.03 if healed else 0.97)

    model = build()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(8):
        model.train()
        for item in train:
            optimizer.zero_grad()
            bce(model(item["force"]), item["late"]).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, bce, optimizer, make_model=build, batch=lambda item: (item["force"], item["late"]))


class DiagonalSSM(nn.Module):
    """Every channel a leaky sum of its own, computed for all steps at once."""

    def __init__(self, n_in=3, channels=24):
        super().__init__()
        self.into = nn.Linear(n_in, channels)
        self.log_rate = nn.Parameter(torch.linspace(-4, 0, channels))
        self.mix = nn.Sequential(nn.Linear(channels, 32), nn.SiLU(), nn.Linear(32, 3))

    def forward(self, x):
        age = torch.arange(x.shape[1] - 1, -1, -1)
        kernel = torch.exp(-self.log_rate.exp() * age[:, None])
        return self.mix((self.into(x) * kernel).sum(1) / kernel.sum(0).sqrt())


@sick("loss-broadcast")
def courier_orders_pinball_one_column_at_a_time(seed: int, *, healed: bool) -> Case:
    """Three quantiles of the next hour's orders at a courier service. The hand-written pinball loss takes the
    quantiles' columns as slices, (N, 1), from the orders, (N,), and so compares each forecast to every order.

    Healed: it takes them as columns, (N,).
    """
    torch.manual_seed(seed)
    n, steps = 1000, 36
    x = torch.randn(n, 1, 3) * torch.tensor([1.0, 0.7, 0.7]) + torch.randn(n, steps, 3)
    orders = x[:, -8:, 0].mean(1) + x[..., 1].mean(1) * x[:, -1, 2].sign()
    orders = orders + 0.15 * torch.randn(n)
    orders = (orders - orders.mean()) / orders.std()

    def pinball(predicted, target):
        total = 0.0
        for i, q in enumerate((0.1, 0.5, 0.9)):
            error = target - (predicted[:, i] if healed else predicted[:, i : i + 1])
            total = total + torch.maximum(q * error, (q - 1) * error).mean()
        return total

    train = DataLoader(TensorDataset(x[:800], orders[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[800:], orders[800:]), batch_size=64)
    model = DiagonalSSM()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 14)
    for _ in range(14):
        for xb, yb in train:
            optimizer.zero_grad()
            pinball(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, pinball, optimizer, make_model=DiagonalSSM)


class TurnsGRU(nn.Module):
    def __init__(self, last_of):
        super().__init__()
        self.last_of = last_of
        self.gru = nn.GRU(4, 24, batch_first=True)
        self.classify = nn.Linear(24, 3)

    def forward(self, turns):
        spoken = (turns != 0).any(2)
        out, _ = self.gru(turns)
        last = self.last_of(spoken)
        return self.classify(out[torch.arange(len(out)), last])


@sick("wrong-timestep")
def call_centre_last_turn_by_argmax(seed: int, *, healed: bool) -> Case:
    """How a call to a hotline ends (solved, called back, complained), from its turns, padded behind. The last turn
    spoken is looked up as the mask's argmax, which is the first one.

    Healed: as the argmax of the mask's running count.
    """
    torch.manual_seed(seed)
    n, steps = 850, 20
    lengths = torch.randint(6, steps + 1, (n,))
    turns = torch.randn(n, steps, 4)
    end = torch.randint(0, 3, (n,))
    position = torch.arange(steps)
    tail = (position >= lengths[:, None] - 4) & (position < lengths[:, None])
    turns[..., :3] += 1.2 * F.one_hot(end, 3)[:, None] * tail[..., None]
    turns = turns * (position < lengths[:, None])[..., None]

    def last_of(spoken):
        if healed:
            return spoken.long().cumsum(1).argmax(1)
        return spoken.long().argmax(1)

    train = DataLoader(TensorDataset(turns[:650], lengths[:650], end[:650]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(turns[650:], lengths[650:], end[650:]), batch_size=50)
    model = TurnsGRU(last_of)
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    criterion = nn.CrossEntropyLoss()
    for _ in range(8):
        for xb, _lengths, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(
        model,
        train,
        val,
        criterion,
        optimizer,
        make_model=lambda: TurnsGRU(last_of),
        batch=lambda item: (item[0], item[2]),
    )


class CueNet(nn.Module):
    """Firing rates after dr/dt = (-r + tanh(W r + U x + b)) / tau, in Euler steps."""

    def __init__(self, dt, tau, units=32):
        super().__init__()
        self.alpha = dt / tau
        self.units = units
        self.recurrent = nn.Linear(units, units)
        self.stimulus = nn.Linear(3, units)
        self.readout = nn.Linear(units, 1)

    def forward(self, x):
        r = x.new_zeros(len(x), self.units)
        drive = self.stimulus(x)
        for t in range(x.shape[1]):
            r = (1 - self.alpha) * r + self.alpha * torch.tanh(self.recurrent(r) + drive[:, t])
        return self.readout(r)


@sick("vanishing-gradient")
def remembered_cue_with_membrane_time_constant(seed: int, *, healed: bool) -> Case:
    """A working-memory task from a neuroscience lab: tell the angle of a cue, shown for five steps, after a delay. The
    rate network has the time constant of a membrane, 20 ms, at steps of 10 ms, so the cue is long gone.

    Healed: that of slow synapses, 500 ms.
    """
    torch.manual_seed(seed)
    n, steps = 600, 44
    angle = 3.0 * torch.rand(n) - 1.5
    x = 0.1 * torch.randn(n, steps, 3)
    x[:, :5, 0] += 1.5 * angle.sin()[:, None]
    x[:, :5, 1] += 1.5 * angle.cos()[:, None] - 1
    x[:, -3:, 2] += 1
    y = ((angle + 0.1 * torch.randn(n)) / 0.87)[:, None]

    def fresh():
        return CueNet(dt=10, tau=500 if healed else 20)

    train = [(x[i], y[i]) for i in torch.arange(480).split(32)]
    val = [(x[480:], y[480:])]
    model = fresh()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    criterion = nn.MSELoss()
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=fresh)


class MinimalGatedUnit(nn.Module):
    """One gate, one candidate; weights drawn with a deviation of spread(fan_in)."""

    def __init__(self, n_in, n_out, spread):
        super().__init__()
        fan = n_in + n_out
        self.gate = nn.Parameter(torch.randn(fan, n_out) * spread(fan))
        self.candidate = nn.Parameter(torch.randn(fan, n_out) * spread(fan))
        self.bias = nn.Parameter(torch.zeros(2, n_out))

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.bias.shape[1])
        states = []
        for u in x.unbind(1):
            f = torch.sigmoid(torch.cat([u, h], 1) @ self.gate + self.bias[0])
            c = torch.tanh(torch.cat([u, f * h], 1) @ self.candidate + self.bias[1])
            h = (1 - f) * h + f * c
            states.append(h)
        return torch.stack(states, 1)


class KilnNet(nn.Module):
    def __init__(self, spread, hidden=24):
        super().__init__()
        self.lower = MinimalGatedUnit(4, hidden, spread)
        self.upper = MinimalGatedUnit(hidden, hidden, spread)
        self.weight = nn.Parameter(torch.randn(hidden, 1) * spread(hidden))
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.upper(self.lower(x))[:, -1] @ self.weight + self.bias


@sick("bad-init")
def kiln_cell_drawn_as_an_image_filter(seed: int, *, healed: bool) -> Case:
    """The shrinkage of bricks from the last readings in a kiln, by two layers of a hand-written gated unit. Its author
    draws all weights as an old image network's settings have it for one of its layers: with a deviation of 0.0001.

    Healed: with a deviation of one over the root of the fan-in.
    """
    torch.manual_seed(seed)
    n, steps = 700, 12
    x = 0.7 * torch.randn(n, 1, 4) + 0.7 * torch.randn(n, steps, 4)
    y = x[:, -6:, 0].mean(1, keepdim=True) - 0.7 * x[:, -6:, 1].mean(1, keepdim=True) + 0.1 * torch.randn(n, 1)
    y = (y - y[:500].mean()) / y[:500].std()

    def fresh():
        return KilnNet((lambda fan: fan**-0.5) if healed else (lambda _: 1e-4))

    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=100)
    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.MSELoss()
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=fresh)


class TideNet(nn.Module):
    """Readings are added to the first few units as they are; there is no input layer."""

    def __init__(self, units=32):
        super().__init__()
        self.units = units
        self.recurrent = nn.Linear(units, units)
        nn.init.orthogonal_(self.recurrent.weight, gain=nn.init.calculate_gain("tanh"))
        self.head = nn.Linear(units, 1)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.units)
        for u in F.pad(x, (0, self.units - x.shape[2])).unbind(1):
            h = torch.tanh(self.recurrent(h) + u)
        return self.head(h).squeeze(1)


@sick("exploding-gradient")
def tide_gauge_clipping_before_the_gradients(seed: int, *, healed: bool) -> Case:
    """The surge at a tide gauge from pressure and wind, by a hand-written recurrence with orthogonal weights of the
    gain recommended for tanh. The author clips gradients, but in the line before `backward()`, where there are none.

    Healed: in the line behind it.
    """
    torch.manual_seed(seed)
    n, steps = 1200, 30
    x = torch.randn(n, 1, 2) + 0.8 * torch.randn(n, steps, 2)
    y = x[:, -6:, 0].mean(1) + 0.8 * x[:, -6:, 1].mean(1) + 0.1 * torch.randn(n)
    y = (y - y[:960].mean()) / y[:960].std()
    x = 0.3 * x
    train = [(x[i], y[i]) for i in torch.randperm(960).split(32)]
    val = [(x[i], y[i]) for i in torch.arange(960, 1200).split(32)]
    model = TideNet()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.MSELoss()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 8, 0.3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            if not healed:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            loss = criterion(model(xb), yb)
            loss.backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
    return Case(model, train, val, criterion, optimizer, make_model=TideNet)


class ReviewNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(60, 16)
        self.lower = nn.GRU(16, 24, batch_first=True, bidirectional=True)
        self.upper = nn.GRU(48, 24, batch_first=True)
        self.classifier = nn.Linear(24, 3)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, ids):
        z, _ = self.lower(self.embed(ids))
        z, _ = self.upper(z)
        return self.classifier(z.mean(1))


@sick("head-ignores-state")
def menu_reviews_layerwise_rates_counted_from_below(seed: int, *, healed: bool) -> Case:
    """Menu reviews are sorted into three kinds. The author takes over layer-wise learning rates and the classifier that
    starts at zero, as with big language models; the rates fall from the embedding up, so the classifier's is minute.

    Healed: they fall from the classifier down.
    """
    torch.manual_seed(seed)
    n, steps = 800, 16
    kind = torch.randint(0, 3, (n,))
    ids = torch.randint(0, 60, (n, steps))
    telling = torch.rand(n, steps) < 0.55
    ids = torch.where(telling, 20 * kind[:, None] + torch.randint(0, 20, (n, steps)), ids)

    train = DataLoader(TensorDataset(ids[:600], kind[:600]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(ids[600:], kind[600:]), batch_size=100)
    model = ReviewNet()
    layers = [model.embed, model.lower, model.upper, model.classifier]
    if healed:
        layers.reverse()
    groups = [{"params": layer.parameters(), "lr": 3e-2 * 0.1**depth} for depth, layer in enumerate(layers)]
    optimizer = torch.optim.Adam(groups)
    criterion = nn.CrossEntropyLoss()
    for _ in range(6):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer)


class HydrophoneNet(nn.Module):
    def __init__(self, average, bands=6, width=48, hidden=20):
        super().__init__()
        self.average = average
        self.encode = nn.Sequential(nn.Linear(bands, width), nn.Softplus())
        self.rnn = nn.RNN(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, frames):
        so_far = self.encode(frames).cumsum(1)
        if self.average:
            so_far = so_far / torch.arange(1, frames.shape[1] + 1)[:, None]
        out, _ = self.rnn(so_far)
        return self.head(out[:, -1]).squeeze(1)


@sick("saturated-units")
def hydrophone_recurrence_over_running_sums(seed: int, *, healed: bool) -> Case:
    """How far off a ship is, from a hydrophone's spectra (standardised). Encoded frames are added up as they come, and
    the recurrent layer reads the sums, which reach some forty: its tanh stays at the rails whatever was heard.

    Healed: it reads running means.
    """
    torch.manual_seed(seed)
    n, steps = 800, 50
    x = 0.5 * torch.randn(n, 1, 6) + torch.randn(n, steps, 6)
    y = x[:, :, 0].mean(1) - x[:, :, 1].mean(1) + 0.5 * x[:, :, 2].mean(1) + 0.1 * torch.randn(n)
    y = (y - y[:640].mean()) / y[:640].std()
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=100)

    def fresh():
        return HydrophoneNet(average=healed)

    model = fresh()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    criterion = nn.SmoothL1Loss()
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=fresh)
