"""Programs around a weather station: what its sensors say of the next hours, by people who mostly know the weather."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, rightly_flat, sick


def coloured(rows: int, steps: int, memory: float) -> torch.Tensor:
    """Rows of an autoregressive process with unit variance."""
    shocks = torch.randn(rows, steps)
    values = [shocks[:, 0]]
    for step in range(1, steps):
        values.append(memory * values[-1] + math.sqrt(1 - memory**2) * shocks[:, step])
    return torch.stack(values, dim=1)


class RainGauge(nn.Module):
    def __init__(self, positive: bool):
        super().__init__()
        self.positive = positive
        self.gru = nn.GRU(3, 16, batch_first=True, bidirectional=True)
        self.out = nn.Linear(32, 1)

    def forward(self, window):
        states, _ = self.gru(window)
        amount = self.out(states.max(dim=1).values).squeeze(-1)
        return F.softplus(amount) if self.positive else amount


@sick("head-range")
def drizzle_on_a_logarithmic_ruler(seed: int, *, healed: bool) -> Case:
    """Next hour's rain from humidity, pressure tendency and wind. Rain is never negative, so the model ends in a
    softplus. Later the target became log(mm + 0.01), since a few downpours ruled the loss: most hours are below
    nought by now, and nobody thought of the softplus.

    Healed: the logarithm is answered by the linear layer itself.
    """
    torch.manual_seed(seed)
    humidity, tendency, wind = (coloured(800, 16, memory) for memory in (0.9, 0.6, 0.3))
    window = torch.stack([humidity, tendency, wind], dim=2)
    moist = humidity[:, -6:].mean(1) - 0.6 * tendency[:, -4:].mean(1)
    millimetres = torch.exp(-2.2 + 1.1 * moist + 0.4 * torch.randn(800))
    target = torch.log(millimetres + 0.01)

    def batches(rows):
        return [{"window": window[i], "log_mm": target[i]} for i in rows.split(50)]

    train, val = batches(torch.arange(600)), batches(torch.arange(600, 800))
    model = RainGauge(positive=not healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        for batch in train:
            optimizer.zero_grad()
            F.mse_loss(model(batch["window"]), batch["log_mm"]).backward()
            optimizer.step()
    return Case(
        model,
        train,
        val,
        F.mse_loss,
        optimizer,
        make_model=lambda: RainGauge(positive=not healed),
        batch=lambda batch: (batch["window"], batch["log_mm"]),
    )


class ReadingNorm(nn.Module):
    """Normalises each reading over its features, with a gain and a bias."""

    def __init__(self, features: int):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(features))
        self.bias = nn.Parameter(torch.zeros(features))

    def forward(self, x):
        mean, variance = x.mean(-1, keepdim=True), x.var(-1, keepdim=True, unbiased=False)
        return self.gain * (x - mean) / torch.sqrt(variance + 1e-5) + self.bias


class Thermometer(nn.Module):
    def __init__(self, normalise: bool, features: int = 1):
        super().__init__()
        self.norm = ReadingNorm(features) if normalise else nn.Identity()
        self.lstm = nn.LSTM(features, 20, batch_first=True)
        self.next_three = nn.Linear(20, 3)

    def forward(self, x):
        out, _ = self.lstm(self.norm(x))
        return self.next_three(out[:, -1])


@sick("input-never-arrives")
def seven_sensors_became_a_single_thermometer(seed: int, *, healed: bool) -> Case:
    """Three coming temperatures from the last thirty. The model is from a project with seven sensors, where each
    reading was normalised over its sensors; here there is one thermometer, and a lone number less its own mean is
    nought whatever it was.

    Healed: the readings, which are standardised already, go in as they are.
    """
    torch.manual_seed(seed)
    phase = 2 * math.pi * torch.rand(700, 1)
    height = 0.8 + 0.8 * torch.rand(700, 1)
    series = height * torch.sin(2 * math.pi * torch.arange(33) / 24 + phase)
    series = series + 0.25 * torch.randn(series.shape)
    x, y = series[:, :30, None], series[:, 30:]
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=50)
    model = Thermometer(normalise=not healed)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=0.005)
    for _ in range(15):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class FrontSpotter(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.LSTM(2, 32, num_layers=3, batch_first=True)
        self.fc = nn.Linear(32, 3)

    def forward(self, x):
        _, (hidden, _) = self.rnn(x)
        return self.fc(hidden[-1])


@sick("learning-rate-too-high")
def the_warm_up_counts_on_past_one(seed: int, *, healed: bool) -> Case:
    """Cold front, warm front or neither, from pressure and temperature of twenty hours. The warm-up is a LambdaLR
    whose function gives the number of the step, up to 150, where it should give the share of the 150 that is done.

    Healed: the number is divided by 150.
    """
    torch.manual_seed(seed)
    kind = torch.randint(0, 3, (720,))
    onset = torch.randint(3, 15, (720, 1))
    passed = torch.sigmoid((torch.arange(20.0) - onset) * 1.5)
    warming = torch.tensor([-1.5, 1.5, 0.0])[kind][:, None] * passed
    pressure = -1.2 * (kind < 2)[:, None] * torch.exp(-((torch.arange(20.0) - onset) ** 2) / 8)
    x = torch.stack([pressure, warming], dim=2)
    x = x + 0.7 * torch.randn(x.shape)
    train = DataLoader(TensorDataset(x[:540], kind[:540]), batch_size=36, shuffle=True)
    val = DataLoader(TensorDataset(x[540:], kind[540:]), batch_size=36)
    model = FrontSpotter()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    scale = 150 if healed else 1
    warm_up = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(step + 1, 150) / scale)
    for _ in range(12):
        for inputs, labels in train:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
            warm_up.step()
    return Case(model, train, val, F.cross_entropy, optimizer, make_model=FrontSpotter)


class GustForecaster(nn.Module):
    def __init__(self, keep_axis: bool):
        super().__init__()
        self.keep_axis = keep_axis
        self.smooth = nn.Conv1d(2, 8, kernel_size=5, padding=2)
        self.gru = nn.GRU(8, 24, batch_first=True)
        self.hours = nn.Linear(24, 4)

    def forward(self, x):
        states, _ = self.gru(torch.relu(self.smooth(x.mT)).mT)
        return self.hours(states[:, -1:] if self.keep_axis else states[:, -1])


def log_cosh(forecast, truth):
    error = forecast - truth
    return (error + F.softplus(-2 * error) - math.log(2)).mean()


@sick("loss-broadcast")
def a_colon_left_at_the_last_hour(seed: int, *, healed: bool) -> Case:
    """Gusts of the next four hours from forty of wind and pressure, under a log-cosh loss from a blog, which warns
    of nothing. The last state is cut out by `states[:, -1:]`: forecasts are (batch, 1, 4), gusts (batch, 4), and
    each is held against all gusts of its batch.

    Healed: `states[:, -1]`.
    """
    torch.manual_seed(seed)
    pressure = coloured(600, 44, 0.97)
    wind = coloured(600, 44, 0.9)
    gusts = 0.6 * wind[:, 39:40] * torch.tensor([1.0, 0.9, 0.8, 0.7]) - (pressure[:, 39:40] - pressure[:, 31:32])
    gusts = gusts + 0.2 * torch.randn(gusts.shape)
    x = torch.stack([wind, pressure], dim=2)[:, :40]
    train = DataLoader(TensorDataset(x[:450], gusts[:450]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], gusts[450:]), batch_size=45)
    model = GustForecaster(keep_axis=not healed)
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.005)
    for _ in range(10):
        for inputs, targets in train:
            optimizer.zero_grad()
            log_cosh(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, log_cosh, optimizer)


class EvaporationNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 24, batch_first=True)
        self.score = nn.Linear(24, 1)
        self.read = nn.Linear(24, 1)

    def forward(self, day):
        states, _ = self.lstm(day)
        weights = torch.softmax(self.score(states), dim=1)
        return self.read((weights * states).sum(dim=1)).squeeze(1)


@sick("misaligned-pairs")
def a_fortnight_lost_to_dropna(seed: int, *, healed: bool) -> Case:
    """A day's evaporation in the lysimeter from that day's hours of sun, wind and humidity. Humidity comes as the
    departure from its last two weeks, so the first fourteen days were empty and went in `dropna`; the lysimeter's
    table was cut at its end, for the lengths to agree.

    Healed: the lysimeter's first fourteen days go.
    """
    torch.manual_seed(seed)
    hours = torch.stack([coloured(814, 24, memory) for memory in (0.7, 0.8, 0.9)], dim=2)
    sun, wind, humidity = hours.unbind(dim=2)
    evaporation = (sun[:, 8:18].mean(1) - humidity.mean(1) + 0.5 * wind.mean(1)) / 0.9
    evaporation = evaporation + 0.25 * torch.randn(814)
    lysimeter = evaporation[14:] if healed else evaporation[:-14]
    usual = humidity.mean(1).unfold(0, 14, 1).mean(1)[:-1, None]
    days = torch.stack([sun[14:], wind[14:], humidity[14:] - usual], dim=2)
    train = DataLoader(TensorDataset(days[:600], lysimeter[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(days[600:], lysimeter[600:]), batch_size=40)
    model = EvaporationNet()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(6):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=EvaporationNet)


class Barograph(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(1, 12)
        self.out = nn.Linear(12, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), 12)
        for step in x.unbind(dim=1):
            h = self.cell(step, h)
        return self.out(h)


@sick("no-signal")
def asked_the_village_down_the_wind(seed: int, *, healed: bool) -> Case:
    """The coming hour's change of pressure here, from the last twelve changes at a neighbour's. Weather comes from
    the west: the western village has our changes three hours before us, the eastern one four hours after us. The
    eastern one's file was the one at hand.

    Healed: the western village's file.
    """
    torch.manual_seed(seed)
    weather = torch.randn(1100)
    west, here, east = (weather.roll(delay) + 0.3 * torch.randn(1100) for delay in (0, 3, 7))
    neighbour = (west if healed else east)[20:]
    here = here[20:]
    x = neighbour.unfold(0, 12, 1)[:-1, :, None]
    y = here[12:, None]
    train = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(x[811:], y[811:]), batch_size=64)
    model = Barograph()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Barograph)


class TurbineLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, batch_first=True)
        self.fc = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])[:, 0]


@sick("not-finite")
def calm_hours_on_a_logarithmic_axis(seed: int, *, healed: bool) -> Case:
    """A small turbine's yield from a day of wind and temperature; wind enters as its logarithm. The anemometer says
    0.0 in a few calm hours a month. The gates bear minus infinity, so the losses look fine, but the gradients are
    not, and a guard quietly leaves out such steps: all of them.

    Healed: the logarithm is of the wind and a tenth.
    """
    torch.manual_seed(seed)
    speed = torch.exp(1.0 + 0.6 * coloured(640, 24, 0.9))
    speed = torch.where(torch.rand(speed.shape) < 0.012, 0.0, speed)
    temperature = coloured(640, 24, 0.95)
    yields = (speed[:, -5:].mean(1) / 3 - 0.3 * temperature[:, -1]) + 0.15 * torch.randn(640)
    yields = (yields - yields[:480].mean()) / yields[:480].std()
    x = torch.stack([torch.log(speed + 0.1 if healed else speed) - 1, temperature], dim=2)
    train = DataLoader(TensorDataset(x[:480], yields[:480]), batch_size=48, shuffle=True)
    val = DataLoader(TensorDataset(x[480:], yields[480:]), batch_size=48)
    model = TurbineLSTM()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.008)
    for _ in range(18):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            if torch.isfinite(norm):
                optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=TurbineLSTM)


class FogWarning(nn.Module):
    def __init__(self):
        super().__init__()
        self.hour = nn.Embedding(24, 6)
        self.gru = nn.GRU(8, 28, batch_first=True)
        self.fog = nn.Linear(28, 1)

    def forward(self, x):
        clock = self.hour(x[..., 0].long())
        states, _ = self.gru(torch.cat([clock, x[..., 1:]], dim=-1))
        return self.fog(states[:, -1]).squeeze(-1)


@sick("over-regularised")
def a_recipe_from_the_transformer_next_door(seed: int, *, healed: bool) -> Case:
    """Fog within the hour or not, from twelve hours of clock, dew point spread and wind. The recipe's
    `weight_decay=0.3` is a vision transformer's, and meant for AdamW; here it went to Adam, which adds the decay to
    gradients far smaller than itself.

    Healed: AdamW, with the same decay.
    """
    torch.manual_seed(seed)
    spread, wind = coloured(900, 12, 0.85), coloured(900, 12, 0.6)
    clock = (torch.randint(0, 24, (900, 1)) + torch.arange(12)) % 24
    night = torch.cos(2 * math.pi * (clock[:, -1] - 4) / 24)
    odds = 3 * night - 2.5 * spread[:, -3:].mean(1) - 1.5 * wind[:, -3:].mean(1)
    fog = (torch.rand(900) < torch.sigmoid(1.5 * odds)).float()
    x = torch.stack([clock.float(), spread, wind], dim=2)
    train = DataLoader(TensorDataset(x[:700], fog[:700]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], fog[700:]), batch_size=50)
    model = FogWarning()
    criterion = nn.BCEWithLogitsLoss()
    kind = torch.optim.AdamW if healed else torch.optim.Adam
    optimizer = kind(model.parameters(), lr=0.01, weight_decay=0.3)
    for _ in range(14):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=FogWarning)


class WeekAhead(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 16, batch_first=True)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        return self.out(self.rnn(x)[0].mean(dim=1))


@healthy
def a_week_ahead_and_honestly_modest(seed: int) -> Case:
    """Departure of next week's temperature from the season's, from twenty days of sea temperature and snow cover.
    No more than a sixth of its variance is in them, the rest is weather; forecasts spread well under half as wide
    as the truth, and that is what they should do.
    """
    torch.manual_seed(seed)
    sea, snow = coloured(1200, 20, 0.98), coloured(1200, 20, 0.95)
    y = 0.36 * sea.mean(1) - 0.24 * snow.mean(1) + 0.92 * torch.randn(1200)
    x, y = torch.stack([sea, snow], dim=2), y[:, None]
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=60, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=60)
    model = WeekAhead()
    best, best_loss = None, math.inf
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=1e-3)
    for _ in range(10):
        for inputs, targets in train:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), targets).backward()
            optimizer.step()
        with torch.no_grad():
            held_out = sum(F.mse_loss(model(inputs), targets).item() for inputs, targets in val)
        if held_out < best_loss:
            best, best_loss = copy.deepcopy(model.state_dict()), held_out
    model.load_state_dict(best)
    return Case(model, train, val, F.mse_loss, optimizer, make_model=WeekAhead)


class AneroidNet(nn.Module):
    """Takes hectopascals as they are read; knows itself the mean and the spread of its training data."""

    def __init__(self, mean: torch.Tensor, spread: torch.Tensor):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.gru = nn.GRU(1, 20, batch_first=True)
        self.out = nn.Linear(20, 1)

    def forward(self, hectopascals):
        _, h = self.gru((hectopascals - self.mean) / self.spread)
        return 0.01 * torch.tanh(self.out(h[0]))[:, 0]


@healthy
def hectopascals_as_the_barometer_reads_them(seed: int) -> Case:
    """The next six hours' change of pressure in bar, from a day and a half of raw hectopascals. Inputs of 1013 are
    scaled within the model, outputs of thousandths of a bar end in a narrow tanh that is wide enough, and the
    cosine schedule has brought the rate to zero.
    """
    torch.manual_seed(seed)
    swing = torch.rand(600, 1) * 2 * math.pi + 2 * math.pi * torch.arange(42) / 30
    pressure = 1013 + 6 * torch.sin(swing) + 4 * coloured(600, 42, 0.98)
    x, y = pressure[:, :36, None], (pressure[:, 41] - pressure[:, 35]) / 1000
    train = DataLoader(TensorDataset(x[:450], y[:450]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], y[450:]), batch_size=30)
    scale = x[:450].mean(), x[:450].std()
    model = AneroidNet(*scale)
    epochs = 12
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for inputs, targets in train:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), targets).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        cosine.step()
    return Case(model, train, val, F.mse_loss, optimizer, make_model=lambda: AneroidNet(*scale))


class ShowerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.mm = nn.Linear(16, 1)

    def forward(self, x):
        return self.mm(self.gru(x)[0][:, -1])


@rightly_flat
def most_hours_fall_dry(seed: int) -> Case:
    """Millimetres in the coming hour, from ten hours of humidity and cloud, under the absolute error. Showers are
    likelier when it is humid, but never likelier than not: whatever the sky, the median is none.
    """
    torch.manual_seed(seed)
    x = torch.stack([coloured(800, 10, 0.9), coloured(800, 10, 0.7)], dim=2)
    chance = 0.05 + 0.3 * torch.sigmoid(2 * x[:, -1, 0])
    wet = torch.rand(800) < chance
    rain = torch.where(wet, -torch.log(torch.rand(800)), 0.0)[:, None]
    train = DataLoader(TensorDataset(x[:600], rain[:600]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], rain[600:]), batch_size=50)
    model = ShowerNet()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    for _ in range(18):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
        decay.step()
    return Case(model, train, val, criterion, optimizer, make_model=ShowerNet)


class HygrometerNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 12, batch_first=True, bidirectional=True)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(torch.cat([h[0], h[1]], dim=1))[:, 0]


def upper_tenth(forecast, truth):
    return torch.maximum(0.9 * (truth - forecast), 0.1 * (forecast - truth)).mean()


@rightly_flat
def the_hygrometer_stops_at_a_hundred(seed: int) -> Case:
    """The humidity that is passed one hour in ten, by a cloud forest's station, from fourteen hours of humidity and
    wind. The sensor cannot say more than 1.0, and says so in a fifth to two thirds of the hours, whatever came
    before: the upper tenth is 1.0 throughout.
    """
    torch.manual_seed(seed)
    moist, wind = coloured(700, 15, 0.8), coloured(700, 15, 0.5)
    capped = torch.rand(700) < 0.2 + 0.45 * torch.sigmoid(2 * moist[:, -2])
    below = 0.6 + 0.1 * torch.tanh(moist[:, -2]) + 0.12 * torch.randn(700)
    humidity = torch.where(capped, 1.0, below.clamp(max=1.0))
    x = torch.stack([moist, wind], dim=2)[:, :14]
    train = DataLoader(TensorDataset(x[:525], humidity[:525]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[525:], humidity[525:]), batch_size=35)
    model = HygrometerNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    decay = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.75)
    for _ in range(16):
        for inputs, targets in train:
            optimizer.zero_grad()
            upper_tenth(model(inputs), targets).backward()
            optimizer.step()
        decay.step()
    return Case(model, train, val, upper_tenth, optimizer, make_model=HygrometerNet)
