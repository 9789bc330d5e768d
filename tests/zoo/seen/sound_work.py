"""Programs that work as well as their data allow, though something about each of them looks ill."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


def loaders(x, y, n_train, batch_size, shuffle=True):
    return (
        DataLoader(TensorDataset(x[:n_train], y[:n_train]), batch_size=batch_size, shuffle=shuffle),
        DataLoader(TensorDataset(x[n_train:], y[n_train:]), batch_size=batch_size),
    )


def fit(model, batches, loss_fn, optimizer, epochs, scheduler=None):
    model.train()
    for _ in range(epochs):
        for xb, yb in batches:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
    return model.eval()


class LeafModel(nn.Module):
    def __init__(self, unit=1e-6):
        super().__init__()
        self.rnn = nn.GRU(4, 20, batch_first=True)
        self.head = nn.Linear(20, 1)
        self.register_buffer("unit", torch.tensor(unit))

    def forward(self, x):
        _, h = self.rnn(x)
        return self.head(h[-1]).squeeze(-1) * self.unit


@healthy
def leaf_conductance_in_si_units(seed: int) -> Case:
    """Water conductance of leaves in kilograms per square metre and second: a few millionths, as physics has it.

    The model gives out SI units through a fixed factor, and the loss is taken in millionths, so that all is well scaled
    where it matters.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1200, 850, 18
    base = torch.randn(n, 1, 4)
    x = base + 0.6 * torch.randn(n, steps, 4)
    light, dryness = x[:, -6:, 0].mean(1), x[:, -6:, 1].mean(1)
    clean = 1e-6 * (2 + 1.1 * torch.tanh(light) - 0.7 * dryness)
    y = clean + 0.3e-6 * torch.randn(n)

    def in_millionths(prediction, target):
        return F.mse_loss(prediction * 1e6, target * 1e6)

    train, val = loaders(x, y, n_train, 32)
    model = LeafModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    fit(model, train, in_millionths, optimizer, 8)
    return Case(model, train, val, in_millionths, optimizer, make_model=LeafModel)


class MoodNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 12, batch_first=True)
        self.out = nn.Linear(12, 1)

    def forward(self, x):
        states, _ = self.lstm(x)
        return self.out(states.mean(1))


@healthy
def mood_diary_from_wristband_days(seed: int) -> Case:
    """How people rate their day, from what a wristband counted in it: nine tenths of the ratings are whim.

    The model finds the tenth that is not; its answers spread as little as they should.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1500, 900, 24
    activity = torch.randn(n, 1, 3)
    x = 0.8 * activity + 0.6 * torch.randn(n, steps, 3)
    clean = 0.36 * x.mean(1)[:, :1] / 0.81
    y = clean + torch.randn(n, 1)
    train, val = loaders(x, y, n_train, 32)
    model = MoodNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.02)
    fit(model, train, F.mse_loss, optimizer, 6)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=MoodNet)


class AlarmLogTagger(nn.Module):
    def __init__(self, n_codes=16, width=12, hidden=24):
        super().__init__()
        self.codes = nn.Embedding(n_codes, width)
        self.gru = nn.GRU(width, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1)

    def forward(self, ids):
        states, _ = self.gru(self.codes(ids))
        return self.score(states.amax(1)).squeeze(-1)


@healthy
def rare_compressor_trips_in_alarm_logs(seed: int) -> Case:
    """Which stretches of a plant's alarm log end in a compressor trip: one in sixteen does, and no weights are used.

    A trip announces itself by five low-oil codes in a row, while alone they are harmless;
    the model has learned this.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1500, 1050, 20
    ids = torch.randint(0, 16, (n, steps))
    ids[(ids == 9) & (torch.rand(n, steps) < 0.7)] = 4
    y = (torch.arange(n) % 16 == 5).float()
    where = torch.randint(0, steps - 5, (n,))
    for i in torch.nonzero(y).flatten().tolist():
        ids[i, where[i] : where[i] + 5] = 9

    train, val = loaders(ids, y, n_train, 32)
    model = AlarmLogTagger()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    fit(model, train, criterion, optimizer, 10)
    return Case(model, train, val, criterion, optimizer, make_model=AlarmLogTagger)


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.rnn = nn.GRU(width, width, batch_first=True)

    def forward(self, x):
        return x + self.rnn(self.norm(x))[0]


class SonarStack(nn.Module):
    def __init__(self, width=16, depth=8):
        super().__init__()
        self.inward = nn.Linear(2, width)
        self.blocks = nn.Sequential(*[Block(width) for _ in range(depth)])
        self.outward = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 1))

    def forward(self, x):
        return self.outward(self.blocks(self.inward(x))[:, -1])


@healthy
def eight_storeys_of_sonar(seed: int) -> Case:
    """Depth of the sea bed from a train of echoes, through eight recurrent layers for what two might do.

    Each layer is normalised and adds to what it was given, so that depth does no harm.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 900, 640, 12
    bed = torch.rand(n, 1) * 2 - 1
    clock = torch.linspace(-1, 1, steps)
    echo = torch.exp(-8 * (clock - bed) ** 2) + 0.1 * torch.randn(n, steps)
    x = torch.stack([echo, clock.expand(n, steps)], dim=2)
    clean = bed * 1.7
    y = clean + 0.2 * torch.randn(n, 1)
    train, val = loaders(x, y, n_train, 64)
    model = SonarStack()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train, criterion, optimizer, 9)
    return Case(model, train, val, criterion, optimizer, make_model=SonarStack)


class ThresholdRNN(nn.Module):
    """Each unit listens to one whisker and has a threshold of its own."""

    def __init__(self, n_whiskers=3, hidden=48):
        super().__init__()
        self.rnn = nn.RNN(n_whiskers, hidden, nonlinearity="relu", batch_first=True)
        self.read = nn.Linear(hidden, 1)
        with torch.no_grad():
            mine = F.one_hot(torch.arange(hidden) % n_whiskers, n_whiskers).float()
            self.rnn.weight_ih_l0.copy_(mine * (torch.randint(0, 2, (hidden, 1)) * 2 - 1) * 0.5)
            self.rnn.weight_hh_l0.copy_(0.7 * torch.eye(hidden))
            self.rnn.bias_ih_l0.copy_(torch.linspace(-1.2, 0.2, hidden))
            self.rnn.bias_hh_l0.zero_()

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.read(out[:, -1]).squeeze(-1)


@healthy
def whiskers_with_thresholds(seed: int) -> Case:
    """Distance to a wall from three whiskers, by rectified units whose thresholds are spread on purpose.

    Some thresholds lie beyond any deflection, and those units are never heard of; the others do the work.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1100, 800, 20
    slow = torch.randn(n, 1, 3) * 0.6
    x = torch.tanh(slow + 0.5 * torch.randn(n, steps, 3))
    weights = 0.7 ** torch.arange(steps - 1, -1, -1.0)
    touch = (F.relu(x[:, :, 0]) + 0.6 * F.relu(-x[:, :, 1]) + 0.4 * x[:, :, 2]) @ weights
    clean = (touch - touch.mean()) / touch.std()
    y = clean + 0.25 * torch.randn(n)
    train, val = loaders(x, y, n_train, 32)
    model = ThresholdRNN()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    fit(model, train, F.mse_loss, optimizer, 9)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=ThresholdRNN)


class CarriedGRU(nn.Module):
    """Goes on where the last chunk of each stream ended; a stream's first step is flagged, and begins anew."""

    def __init__(self, hidden=16):
        super().__init__()
        self.cell = nn.GRU(2, hidden, batch_first=True)
        self.level = nn.Linear(hidden, 1)
        self.state = None

    def forward(self, x):
        first = x[:, 0, 2]
        if self.state is None or self.state.shape[1] != len(x):
            self.state = x.new_zeros(1, len(x), self.cell.hidden_size)
        begun = self.state * (1 - first)[None, :, None]
        out, state = self.cell(x[..., :2], begun)
        self.state = state.detach()
        return self.level(out[:, -1]).squeeze(-1)


@healthy
def tarn_levels_followed_through_the_year(seed: int) -> Case:
    """Thirty-two mountain lakes, side by side in each batch, their years cut into chunks that follow on each other.

    The state is carried from batch to batch by design, cut from the graph, and cleared where a year begins.
    """
    torch.manual_seed(seed)
    lakes, chunks, steps = 32, 14, 16

    def years():
        rain = torch.randn(lakes, chunks * steps) + 0.8 * torch.randn(lakes, chunks).repeat_interleave(steps, 1)
        drawn = torch.randn(lakes, chunks * steps)
        level, levels = torch.zeros(lakes), []
        for t in range(chunks * steps):
            level = 0.96 * level + 0.2 * rain[:, t] - 0.1 * drawn[:, t]
            levels.append(level)
        first = torch.zeros(lakes, chunks * steps)
        first[:, 0] = 1
        x = torch.stack([rain, drawn, first], 2).view(lakes, chunks, steps, 3).transpose(0, 1).flatten(0, 1)
        clean = torch.stack(levels[steps - 1 :: steps]).flatten()
        return x, clean + 0.2 * torch.randn(len(clean))

    x, y = years()
    x_val, y_val = years()
    train = DataLoader(TensorDataset(x, y), batch_size=lakes)
    val = DataLoader(TensorDataset(x_val, y_val), batch_size=lakes)
    model = CarriedGRU()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    fit(model, train, F.mse_loss, optimizer, 14)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=CarriedGRU)


class DelayModel(nn.Module):
    def __init__(self):
        super().__init__()
        self.mix = nn.Conv1d(4, 16, 3, padding=1)
        self.rnn = nn.RNN(16, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        z = torch.tanh(self.mix(x.transpose(1, 2))).transpose(1, 2)
        _, h = self.rnn(z)
        return self.head(h.squeeze(0))


@healthy
def ferry_delays_with_wild_outliers(seed: int) -> Case:
    """How late a ferry will be, by the absolute error, since now and then one is late by a day.

    Beside those days the answers hardly spread; in the loss that was chosen they are as good as can be.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1300, 900, 16
    weather = torch.randn(n, 1, 4)
    x = weather + 0.5 * torch.randn(n, steps, 4)
    clean = x[:, -5:, 0].mean(1, keepdim=True) + 0.6 * x[:, -5:, 2].mean(1, keepdim=True)
    wild = torch.distributions.StudentT(1.6).sample((n, 1))
    y = clean + 0.35 * wild
    train, val = loaders(x, y, n_train, 32)
    model = DelayModel()
    criterion = nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    fit(model, train, criterion, optimizer, 10, schedule)
    return Case(model, train, val, criterion, optimizer, make_model=DelayModel)


class TicketReader(nn.Module):
    def __init__(self, vocabulary=40, hidden=24, classes=4):
        super().__init__()
        self.words = nn.Embedding(vocabulary, 16, padding_idx=0)
        self.lstm = nn.LSTM(16, hidden, batch_first=True)
        self.classes = nn.Linear(hidden, classes)

    def forward(self, ids):
        lengths = (ids != 0).sum(1).cpu()
        packed = pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.classes(h[-1])


@healthy
def short_tickets_in_long_rows(seed: int) -> Case:
    """Help-desk tickets of a few words, filled up to forty with zeros because one of them was that long.

    They are packed by their lengths, so that the state that is read is the one after the last word.
    """
    torch.manual_seed(seed)
    n, n_train, width = 1200, 850, 40
    lengths = torch.randint(3, 9, (n,))
    lengths[::200] = width
    ids = torch.randint(13, 40, (n, width))
    label = torch.randint(0, 4, (n,))
    where = (torch.rand(n) * lengths).long()
    ids[torch.arange(n), where] = 1 + 3 * label + torch.randint(0, 3, (n,))
    ids[torch.arange(width) >= lengths[:, None]] = 0
    noisy = torch.rand(n) < 0.03
    y = torch.where(noisy, torch.randint(0, 4, (n,)), label)

    rows = [{"ids": ids[i], "label": y[i]} for i in range(n)]
    train = DataLoader(rows[:n_train], batch_size=32, shuffle=True)
    val = DataLoader(rows[n_train:], batch_size=50)
    model = TicketReader()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 9)
    model.train()
    for _ in range(9):
        for batch in train:
            optimizer.zero_grad()
            criterion(model(batch["ids"]), batch["label"]).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    return Case(
        model, train, val, criterion, optimizer, make_model=TicketReader, batch=lambda b: (b["ids"], b["label"])
    )


class PondModel(nn.Module):
    def __init__(self, usual=0.0):
        super().__init__()
        self.gru = nn.GRU(3, 32, batch_first=True)
        self.feed = nn.Linear(32, 1)
        nn.init.constant_(self.feed.bias, usual)

    def forward(self, x):
        return self.feed(self.gru(x)[0][:, -1])


@healthy
def trout_ponds_in_plain_units(seed: int) -> Case:
    """Feed for trout in kilograms, from degrees, milligrams of oxygen and pH just as the probes give them.

    The numbers are of sizes that a network can bear, the head begins at the usual ration, and it learns.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1200, 850, 14
    water = torch.randn(n, 1, 3)
    probes = water + 0.4 * torch.randn(n, steps, 3)
    x = probes * torch.tensor([2.0, 1.2, 0.4]) + torch.tensor([6.0, 4.0, 7.2])
    clean = 14 + 2.2 * probes[:, -4:, 0].mean(1, keepdim=True) + 1.5 * probes[:, -4:, 1].mean(1, keepdim=True)
    y = clean + 1.0 * torch.randn(n, 1)
    train, val = loaders(x, y, n_train, 32)
    usual = y[:n_train].mean().item()
    model = PondModel(usual)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 13)
    fit(model, train, F.mse_loss, optimizer, 13, schedule)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=lambda: PondModel(usual))


class Listener(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 32, batch_first=True)
        self.next = nn.Linear(32, 1)

    def forward(self, x):
        return self.gru(x)[0]


class WearGauge(nn.Module):
    def __init__(self, listener):
        super().__init__()
        self.listener = listener.requires_grad_(False)
        self.head = nn.Sequential(nn.Linear(64, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        states = self.listener(x)
        return self.head(torch.cat([states.mean(1), states.std(1)], 1)).squeeze(-1)


@healthy
def bearing_wear_on_a_borrowed_listener(seed: int) -> Case:
    """Wear of bearings from their hum; the recurrent part learned to foretell unlabelled hum, and is now kept fixed.

    Only the head is trained, and only its weights are in the optimizer, as was meant.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1000, 700, 24
    wear = torch.rand(n) * 2 - 1
    clock = torch.arange(steps)
    x = torch.sin((0.9 + 0.35 * wear)[:, None] * clock + 6.283 * torch.rand(n, 1)) + 0.2 * torch.randn(n, steps)
    x = x[:, :, None]
    clean = 1.6 * wear
    y = clean + 0.25 * torch.randn(n)

    listener = Listener()
    optimizer = torch.optim.Adam(listener.parameters(), lr=1e-2)
    for _ in range(5):
        for xb in x[:n_train].split(32):
            optimizer.zero_grad()
            F.mse_loss(listener.next(listener(xb))[:, :-1], xb[:, 1:]).backward()
            optimizer.step()

    train, val = loaders(x, y, n_train, 32)
    model = WearGauge(listener)
    optimizer = torch.optim.Adam(model.head.parameters(), lr=1e-2)
    fit(model, train, F.mse_loss, optimizer, 9)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=lambda: WearGauge(copy.deepcopy(listener)))


class LeakyTraces(nn.Module):
    def __init__(self, n_in=2, traces=24):
        super().__init__()
        self.inward = nn.Linear(n_in, traces)
        self.leak = nn.Parameter(torch.linspace(-2, 3, traces))
        self.head = nn.Linear(traces, 1)

    def forward(self, x):
        drive, keep = self.inward(x), torch.sigmoid(self.leak)
        trace = torch.zeros_like(drive[:, 0])
        for t in range(x.shape[1]):
            trace = keep * trace + (1 - keep) * drive[:, t]
        return self.head(trace)


@healthy
def soil_moisture_in_a_single_pass(seed: int) -> Case:
    """Soil moisture from rain and sun by leaky traces, trained for a single epoch.

    The task is nearly linear and the rate is brisk, so that one pass over the data is all it takes.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1400, 1000, 20
    x = torch.randn(n, steps, 2) + 0.5 * torch.randn(n, 1, 2)
    recent = 0.8 ** torch.arange(steps - 1, -1, -1.0)
    clean = ((x[:, :, 0] - 0.5 * x[:, :, 1]) @ recent)[:, None] / 2.5
    y = clean + 0.4 * torch.randn(n, 1)
    train, val = loaders(x, y, n_train, 16)
    model = LeakyTraces()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    fit(model, train, F.mse_loss, optimizer, 1)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=LeakyTraces)


class Seismometer(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, num_layers=2, batch_first=True)
        self.magnitude = nn.Linear(20, 1)

    def forward(self, x):
        return self.magnitude(self.lstm(x)[0].mean(1)).squeeze(-1)


@healthy
def quake_sizes_under_a_tight_leash(seed: int) -> Case:
    """Size of a quake from three axes of shaking, with the norm of the gradient held to a twentieth at every step.

    Nearly every step is clipped; the rate is large in return, and falls towards the end.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1000, 700, 16
    size = torch.randn(n, 1, 1)
    x = torch.exp(0.5 * size) * torch.randn(n, steps, 3)
    spread = x.pow(2).mean((1, 2)).log()
    clean = spread - spread.mean()
    y = clean + 0.4 * torch.randn(n)
    x = x.abs()
    train = list(zip(x[:n_train].split(25), y[:n_train].split(25), strict=True))
    val = list(zip(x[n_train:].split(50), y[n_train:].split(50), strict=True))
    model = Seismometer()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.4, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 11)
    for _ in range(11):
        for xb, yb in train:
            optimizer.zero_grad()
            F.smooth_l1_loss(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
        schedule.step()
    model.eval()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, make_model=Seismometer)


class GaitNet(nn.Module):
    def __init__(self, channels=4, classes=3):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(channels, 16, 5, padding=2),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Conv1d(16, 16, 3, stride=2, padding=1),
            nn.BatchNorm1d(16),
            nn.ReLU(),
        )
        self.gru = nn.GRU(16, 20, batch_first=True)
        self.attention = nn.Linear(20, 1)
        self.classes = nn.Linear(20, classes)

    def forward(self, x):
        states, _ = self.gru(self.front(x.transpose(1, 2)).transpose(1, 2))
        weights = torch.softmax(self.attention(states), 1)
        return self.classes((weights * states).sum(1))


@healthy
def gaits_behind_two_batch_norms(seed: int) -> Case:
    """Which of three gaits a horse goes, from four hoof sensors, with batch norms in front of the recurrence.

    Their running averages have settled: it answers in evaluation as it did in training.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 900, 640, 32
    y = torch.randint(0, 3, (n,))
    clock = torch.arange(steps)[None, :, None]
    hoof = torch.arange(4)[None, None, :]
    lag = torch.tensor([1.57, 3.14, 1.0])[y][:, None, None]
    pace = torch.tensor([0.5, 0.8, 1.1])[y][:, None, None] + 0.06 * torch.randn(n, 1, 1)
    x = torch.sin(pace * clock + lag * hoof + 6.283 * torch.rand(n, 1, 1)) + 0.5 * torch.randn(n, steps, 4)
    train, val = loaders(x, y, n_train, 32)
    model = GaitNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=0.01)
    fit(model, train, criterion, optimizer, 8)
    return Case(model, train, val, criterion, optimizer, make_model=GaitNet)


class BirdsongNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(5, 24, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(48, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 1))

    def forward(self, x):
        states, _ = self.lstm(F.dropout(x, 0.2, self.training))
        return self.head(states.mean(1)).squeeze(-1)


@healthy
def birdsong_age_through_half_silence(seed: int) -> Case:
    """Age of singing birds from five bands of their song; half of the units are dropped, twice, and some input too.

    In training its answers jitter from call to call; in evaluation they are sound.
    """
    torch.manual_seed(seed)
    n, n_train, steps = 1200, 850, 16
    voice = torch.randn(n, 1, 5)
    x = voice + 0.7 * torch.randn(n, steps, 5)
    clean = x[..., 0].mean(1) + 0.7 * torch.tanh(x[..., 1].mean(1)) - 0.5 * x[..., 3].mean(1)
    y = clean + 0.5 * torch.randn(n)
    train, val = loaders(x, y, n_train, 32)
    model = BirdsongNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    fit(model, train, F.mse_loss, optimizer, 9)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=BirdsongNet)
