"""Networks long in time or deep in layers: what is lost on the way, what is stuck, and what only looks like it."""

import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


def split(*tensors, at, batch_size):
    """A shuffled loader of the first samples, and one of the others as they come."""
    train = TensorDataset(*(tensor[:at] for tensor in tensors))
    val = TensorDataset(*(tensor[at:] for tensor in tensors))
    return DataLoader(train, batch_size=batch_size, shuffle=True), DataLoader(val, batch_size=batch_size)


class Tower(nn.Module):
    """A GRU, and a tower of sigmoid layers upon it."""

    def __init__(self, floors):
        super().__init__()
        self.gru = nn.GRU(2, 20, batch_first=True)
        layers = []
        for _ in range(floors):
            layers += [nn.Linear(20, 20), nn.Sigmoid()]
        self.tower = nn.Sequential(*layers, nn.Linear(20, 2))

    def forward(self, x):
        return self.tower(self.gru(x)[1].squeeze(0))


@sick("too-deep")
def nine_sigmoid_layers_upon_a_gru(seed: int, *, healed: bool) -> Case:
    """Forecasts where a drifting buoy will be, from fourteen fixes of its course, by a GRU and a tower above it.

    The tower has nine layers of sigmoids, for more power; each of them makes the samples more alike, and above the last
    there is one answer. Healed: one layer.
    """
    torch.manual_seed(seed)
    velocity = torch.randn(800, 1, 2)
    fixes = velocity + 0.8 * torch.randn(800, 14, 2)
    arrival = velocity[:, 0] + 0.15 * torch.randn(800, 2)
    train, val = split(fixes, arrival, at=600, batch_size=25)
    floors = 1 if healed else 9
    model = Tower(floors)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            F.smooth_l1_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, lambda: Tower(floors))


class ChronoLSTM(nn.Module):
    """An LSTM whose forget gates begin open for as long as `memory` steps, and whose input gates begin as far shut."""

    def __init__(self, memory, logarithm):
        super().__init__()
        self.lstm = nn.LSTM(3, 24, batch_first=True)
        self.linear = nn.Linear(24, 1)
        bias = math.log(memory - 1) if logarithm else memory - 1
        with torch.no_grad():
            self.lstm.bias_hh_l0.zero_()
            self.lstm.bias_ih_l0.zero_()
            self.lstm.bias_ih_l0[:24] = -bias
            self.lstm.bias_ih_l0[24:48] = bias

    def forward(self, x):
        outputs, (_, cell) = self.lstm(x)
        return self.linear(outputs[:, -1] + torch.tanh(cell[-1]))


@sick("saturated-units", "bad-init")
def chrono_bias_without_the_logarithm(seed: int, *, healed: bool) -> Case:
    """Foretells a reservoir's level from thirty days of inflow, outflow and rain, by an LSTM made to remember.

    The biases of its gates are set to the length of the memory, where the paper has the logarithm of it: the input
    gates are shut at -29, and their gradient with them. Healed: the logarithm.
    """
    torch.manual_seed(seed)
    days = torch.randn(900, 30, 3)
    level = (days @ torch.tensor([0.6, -0.6, 0.4])).sum(1, keepdim=True) / (30 * 0.88) ** 0.5
    train, val = split(days, level, at=700, batch_size=28)
    model = ChronoLSTM(30, logarithm=healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    mse = nn.MSELoss()
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, lambda: ChronoLSTM(30, logarithm=healed))


class PulseReader(nn.Module):
    """Brightness of a fingertip, step by step through an RNNCell, to the scores of three rhythms."""

    def __init__(self, full_scale):
        super().__init__()
        self.full_scale = full_scale
        self.cell = nn.RNNCell(1, 32)
        self.scores = nn.Linear(32, 3)

    def forward(self, brightness):
        h = brightness.new_zeros(len(brightness), 32)
        total = 0
        for t in range(brightness.shape[1]):
            h = self.cell(self.full_scale * brightness[:, t], h)
            total = total + h
        return self.scores(total / brightness.shape[1])


@sick("saturated-units")
def brightness_times_65535_in_the_network(seed: int, *, healed: bool) -> Case:
    """Tells three rhythms by the brightness of a fingertip in twenty-four frames, each between 0 and 1.

    The network still multiplies by 65535, as the older one in integers had to: each tanh is held at the rail that the
    sign of its weight says, whatever the brightness. Healed: it multiplies by one.
    """
    torch.manual_seed(seed)
    rhythm = torch.randint(3, (900,))
    rate = torch.tensor([0.0, 0.5, 1.1])[rhythm, None]
    t = torch.arange(24)
    level = torch.tensor([0.3, 0.55, 0.8])[rhythm, None] + 0.05 * torch.randn(900, 1)
    brightness = level + 0.1 * torch.sin(rate * t + 6.28 * torch.rand(900, 1)) + 0.03 * torch.randn(900, 24)
    brightness = brightness.clamp(0.05, 1)[..., None]
    train, val = split(brightness, rhythm, at=700, batch_size=35)
    scale = 1.0 if healed else 65535.0
    model = PulseReader(scale)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.004)
    criterion = nn.CrossEntropyLoss()
    for _ in range(18):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: PulseReader(scale))


class Cortex(nn.Module):
    """A ReLU network after Dale's law: each unit and each fibre either excites or inhibits all that it reaches."""

    def __init__(self, fibres, units, excitatory):
        super().__init__()
        self.w_in = nn.Parameter(0.4 * torch.rand(fibres, units))
        self.w_rec = nn.Parameter(0.4 / units**0.5 * torch.rand(units, units))
        self.bias = nn.Parameter(torch.zeros(units))
        self.register_buffer("sign_in", self.signs(fibres, excitatory))
        self.register_buffer("sign_rec", self.signs(units, excitatory))
        self.motor = nn.Linear(units, 1)

    @staticmethod
    def signs(count, excitatory):
        return torch.where(torch.arange(count) < excitatory * count, 1.0, -1.0)[:, None]

    def forward(self, rates):
        w_in, w_rec = self.sign_in * self.w_in.abs(), self.sign_rec * self.w_rec.abs()
        state = rates.new_zeros(rates.shape[0], len(self.bias))
        for rate in rates.unbind(1):
            state = 0.7 * state + 0.3 * torch.relu(rate @ w_in + state @ w_rec + self.bias)
        return self.motor(state)


@sick("dead-units")
def dale_network_of_inhibition_alone(seed: int, *, healed: bool) -> Case:
    """Decodes the grip of a hand from the firing of ten neurons over 25 bins, by a ReLU network after Dale's law.

    The share of units that excite is written 80 // 100, which is zero. All weights inhibit, the rates are never
    negative, and no unit ever fires. Healed: 80 / 100.
    """
    torch.manual_seed(seed)
    drive = 2 * torch.rand(800, 1, 10)
    rates = torch.poisson(drive.expand(800, 25, 10))
    grip = (drive[:, 0, :6] - 1).sum(1, keepdim=True) / 2**0.5
    train, val = split(rates, grip, at=620, batch_size=31)
    share = 80 / 100 if healed else 80 // 100
    model = Cortex(10, 30, share)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(16):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, lambda: Cortex(10, 30, share))


class Detector(nn.Module):
    """Causal convolutions with growing dilation, then whether an event is in the window; all but its prior is usual."""

    def __init__(self, prior, everywhere):
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv1d(a, 20, 3, dilation=d) for a, d in [(2, 1), (20, 2), (20, 4)])
        self.event = nn.Linear(20, 1)
        for module in self.modules() if everywhere else [self.event]:
            if isinstance(module, nn.Conv1d | nn.Linear):
                nn.init.constant_(module.bias, -math.log((1 - prior) / prior))

    def forward(self, x):
        for layer in self.layers:
            x = F.relu(layer(F.pad(x, (2 * layer.dilation[0], 0))))
        return self.event(x.amax(dim=2))


@sick("dead-units", "bad-init")
def prior_of_the_detector_in_every_layer(seed: int, *, healed: bool) -> Case:
    """Finds short tremors in forty steps of two geophones, by dilated convolutions with ReLU.

    The last bias should begin at the log-odds of a rare event, -4.6, as RetinaNet's does. The loop sets the bias of
    every convolution to that, and none of their units is ever above zero. Healed: of the last layer alone.
    """
    torch.manual_seed(seed)
    tremor = (torch.rand(900, 1) < 0.35).float()
    x = torch.randn(900, 2, 40)
    wave = 2 * torch.sin(torch.arange(8) * 1.2)
    for i, start in enumerate(torch.randint(0, 32, (900,)).tolist()):
        x[i, :, start : start + 8] += tremor[i] * wave
    x = x / x.std()
    train, val = split(x, tremor, at=700, batch_size=35)
    model = Detector(0.01, everywhere=not healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(9):
        for geophones, label in train:
            optimizer.zero_grad()
            bce(model(geophones), label).backward()
            optimizer.step()
    return Case(model, train, val, bce, optimizer, lambda: Detector(0.01, everywhere=not healed))


class Router(nn.Module):
    """An RNN over the words of a letter; it answers from its last state, or from the highest of each unit's."""

    def __init__(self, pooled):
        super().__init__()
        self.pooled = pooled
        self.embedding = nn.Embedding(30, 12)
        self.rnn = nn.RNN(12, 28, batch_first=True)
        self.office = nn.Linear(28, 4)

    def forward(self, letter):
        states, last = self.rnn(self.embedding(letter))
        return self.office(states.amax(dim=1) if self.pooled else last[0])


@sick("vanishing-gradient")
def salutation_fifty_words_ago(seed: int, *, healed: bool) -> Case:
    """Sends a letter of fifty words to one of four offices, which its third word names, by a plain RNN's last state.

    Nothing of a gradient arrives 47 steps back, and the name makes no difference at the end. Healed: each unit answers
    by the highest it was, and the gradient goes there at once.
    """
    torch.manual_seed(seed)
    office = torch.randint(4, (900,))
    letter = torch.randint(4, 30, (900, 50))
    letter[:, 2] = office
    train, val = split(letter, office, at=700, batch_size=35)
    model = Router(pooled=healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for words, label in train:
            optimizer.zero_grad()
            F.cross_entropy(model(words), label).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, lambda: Router(pooled=healed))


class Leaky(nn.Module):
    """A leaky integrator after the textbook, with a step of dt and a time constant of tau."""

    def __init__(self, tau, dt=1.0, units=32):
        super().__init__()
        self.alpha = dt / tau
        self.feed, self.back = nn.Linear(2, units), nn.Linear(units, units, bias=False)
        self.read = nn.Linear(units, 1)

    def forward(self, x):
        u = x.new_zeros(len(x), self.back.in_features)
        for feed in self.feed(x).unbind(1):
            u = (1 - self.alpha) * u + self.alpha * torch.tanh(feed + self.back(u))
        return self.read(u)


def dosing(x):
    """The two columns a model takes of a record of dose, pulse and nurse."""
    record, effect, _ = x
    return record[..., :2], effect


@sick("vanishing-gradient")
def leak_with_a_time_constant_of_one_step(seed: int, *, healed: bool) -> Case:
    """Foretells a drug's effect from doses given in the first ten of 45 minutes, by a hand-written leaky integrator.

    Its time constant is 1.2 steps, in seconds as the neurons' was, so that a dose is forgotten within a few minutes
    and its weights hear nothing of it. Healed: 20 steps.
    """
    torch.manual_seed(seed)
    dose = torch.zeros(800, 45)
    dose[:, :10] = torch.randn(800, 10)
    pulse = torch.randn(800, 45)
    record = torch.stack([dose, pulse, torch.rand(800, 45)], dim=2)
    effect = dose.sum(1, keepdim=True) / 10**0.5 + 0.1 * torch.randn(800, 1)
    train, val = split(record, effect, torch.arange(800), at=600, batch_size=30)
    tau = 20.0 if healed else 1.2
    model = Leaky(tau)
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-4)
    for _ in range(10):
        for batch in train:
            x, y = dosing(batch)
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, lambda: Leaky(tau), batch=dosing)


class Swing(nn.Module):
    """A residual network through time by hand: each step adds to the state what a tanh makes of input and state."""

    def __init__(self, units=32):
        super().__init__()
        self.inward = nn.Linear(2, units)
        self.back = nn.Linear(units, units, bias=False)
        self.head = nn.Linear(units, 1)
        nn.init.uniform_(self.back.weight, -0.15, 0.15)

    def forward(self, x):
        state = x.new_zeros(x.size(0), self.back.in_features)
        for step in self.inward(x).unbind(1):
            state = state + torch.tanh(step + self.back(state))
        return self.head(torch.tanh(state / 10))


@sick("exploding-gradient", "learning-rate-too-high")
def residual_through_forty_swings_unclipped(seed: int, *, healed: bool) -> Case:
    """Reads the mean push on a swing off forty steps, by a hand-written recurrence of residuals, and SGD with momentum.

    Every step multiplies the gradient by more than one, and some become a hundred times as large as others; the first
    of them throw the weights where each unit is at one rail for all samples. Healed: clipped to a norm of 0.3.
    """
    torch.manual_seed(seed)
    push = torch.randn(800, 1)
    x = torch.stack([0.7 * push + torch.randn(800, 40), torch.randn(800, 40)], dim=2)
    train, val = split(x, push, at=600, batch_size=30)
    model = Swing()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.15, momentum=0.9)
    criterion = nn.HuberLoss()
    epochs = 8
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * len(train))
    for _ in range(epochs):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
            scheduler.step()
    return Case(model, train, val, criterion, optimizer, Swing)


class NextOfFour(nn.Module):
    """Says the next value of a series from the last four, and goes on from what it said; answers from the 21st on."""

    def __init__(self, horizon=40):
        super().__init__()
        self.horizon = horizon
        self.net = nn.Sequential(nn.Linear(4, 24), nn.SiLU(), nn.Linear(24, 1))

    def days(self, past):
        window, forecast = past, []
        for _ in range(self.horizon):
            forecast.append(self.net(window))
            window = torch.cat([window[:, 1:], forecast[-1]], dim=1)
        return torch.cat(forecast, dim=1)

    def forward(self, past):
        return self.days(past)[:, 20:]


@sick("rollout-converges")
def wells_forecast_from_their_own_forecasts(seed: int, *, healed: bool) -> Case:
    """Forecasts a well's level, day by day, from four noisy soundings; the last twenty of forty days are asked for.

    It is trained for the next day alone, where it is right to say less than it sees; some weeks on, all wells have
    come to one level. Healed: it is trained on all forty.
    """
    torch.manual_seed(seed)
    level = torch.randn(900, 1)
    soundings = level + 1.2 * torch.randn(900, 4)
    days = level + 0.2 * torch.randn(900, 40)
    train, val = split(soundings, days[:, 20:], days, at=650, batch_size=26)
    model = NextOfFour()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    for _ in range(8):
        for past, _, following in train:
            trained = model.days(past) if healed else model.net(past)
            loss = F.mse_loss(trained, following[:, : trained.shape[1]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, NextOfFour, batch=lambda batch: batch[:2])


class SolarFarm(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 16, 5)
        self.lstm = nn.LSTM(16, 8, batch_first=True, bidirectional=True)
        self.head = nn.Linear(16, 2)

    def forward(self, x):
        features = torch.tanh(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.head(self.lstm(features)[0].mean(1))


@sick("head-ignores-state", "over-regularised")
def decay_of_a_hundred_for_the_head(seed: int, *, healed: bool) -> Case:
    """Foretells the yield of two solar fields from a day of cloud, sun and heat, by a convolution and an LSTM.

    The head is in a group of its own, for which its author wrote a decay of 1e2 instead of 1e-2: at every step AdamW
    takes half of the head's weights away. Healed: 1e-2.
    """
    torch.manual_seed(seed)
    weather = torch.randn(850, 1, 3) + torch.randn(850, 24, 3)
    sun = weather.mean(1) @ torch.randn(3, 2) / 3**0.5
    yields = sun + 0.1 * torch.randn(850, 2)
    train, val = split(weather, yields, at=650, batch_size=26)
    model = SolarFarm()
    body = [*model.conv.parameters(), *model.lstm.parameters()]
    groups = [
        {"params": body, "weight_decay": 0.0},
        {"params": model.head.parameters(), "lr": 0.005, "weight_decay": 1e-2 if healed else 1e2},
    ]
    optimizer = torch.optim.AdamW(groups, lr=0.002)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, SolarFarm)


class Translator(nn.Module):
    """A GRU of three layers; the head begins at zero, as is done for a head that is put on anew."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(nn.GRU(a, 20, batch_first=True) for a in (2, 20, 20))
        self.head = nn.Linear(20, 3)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        for layer in self.layers:
            x = layer(x)[0]
        return self.head(x.mean(1))


def layerwise_groups(model, lr, decay, backwards):
    """A group for each layer and the head; the rate falls by `decay` with each one, from the head on down."""
    parts = [*model.layers, model.head]
    if not backwards:
        parts.reverse()
    return [{"params": part.parameters(), "lr": lr * decay**i} for i, part in enumerate(parts)]


@sick("head-ignores-state")
def layerwise_rates_from_the_wrong_end(seed: int, *, healed: bool) -> Case:
    """Tells three kinds of gait from twenty steps of a gyroscope, a new head of zeros upon three GRU layers.

    The rate is to fall from the head down; the list is walked from the bottom up, and the head has what was meant for
    the lowest layer, a millionth part of the rate: it stays at zero. Healed: walked from the head.
    """
    torch.manual_seed(seed)
    kind = torch.randint(3, (800,))
    mean = torch.tensor([[1.0, 0.0], [-0.5, 0.9], [-0.5, -0.9]])[kind][:, None]
    x = 0.8 * mean + torch.randn(800, 20, 2)
    train, val = split(x, kind, at=600, batch_size=30)
    model = Translator()
    optimizer = torch.optim.Adam(layerwise_groups(model, 0.02, 0.01, backwards=not healed))
    for _ in range(8):
        for gyroscope, label in train:
            optimizer.zero_grad()
            F.cross_entropy(model(gyroscope), label).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, Translator)


class Latch(nn.Module):
    """A gated cell by hand: a sharp gate that either keeps the state or takes a new one, at its rails."""

    def __init__(self, units=16):
        super().__init__()
        self.gate, self.new = nn.Linear(2, units), nn.Linear(2, units)
        self.state_of_valve = nn.Linear(units, 1)

    def forward(self, x):
        gates, news = torch.sigmoid(8 * self.gate(x)), torch.tanh(4 * self.new(x))
        state = torch.zeros_like(news[:, 0])
        for gate, new in zip(gates.unbind(1), news.unbind(1), strict=True):
            state = state + gate * (new - state)
        return self.state_of_valve(state)


@healthy
def valve_that_remembers_its_last_command(seed: int) -> Case:
    """Says whether a valve is open, which the last of a few commands in forty steps decides.

    Gates and states of the hand-written cell are at their rails at nearly every step, as a memory of commands must be.
    """
    torch.manual_seed(seed)
    command = (torch.rand(900, 40) < 0.1).float()
    command[:, 0] = 1
    sense = 2.0 * torch.randint(2, (900, 40)) - 1
    when = (command * torch.arange(40)).argmax(1)
    is_open = (sense[torch.arange(900), when] > 0).float()[:, None]
    x = torch.stack([command, sense], dim=2)
    train, val = split(x, is_open, at=700, batch_size=35)
    model = Latch()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(15):
        for inputs, label in train:
            optimizer.zero_grad()
            bce(model(inputs), label).backward()
            optimizer.step()
    return Case(model, train, val, bce, optimizer, Latch)


class Insurer(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.claim = nn.Linear(24, 1)

    def forward(self, x):
        return self.claim(self.gru(x)[0][:, -1])


@healthy
def claims_with_a_heavy_tail(seed: int) -> Case:
    """Foretells insurance claims from twenty months of warnings, by a GRU under squared errors.

    The noise of the claims has two or three degrees of freedom, and so a batch in many has a gradient ten times the
    usual; they are clipped, and it learns.
    """
    torch.manual_seed(seed)
    months = torch.randn(1200, 20, 2)
    expected = months[:, -8:, 0].sum(1, keepdim=True) / 8**0.5
    noise = torch.distributions.StudentT(2.5).sample((1200, 1))
    claims = 1.5 * expected + 0.3 * noise
    train, val = split(months, claims, at=900, batch_size=16)
    model = Insurer()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.004)
    criterion = nn.MSELoss()
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, Insurer)


class Mixer(nn.Module):
    """Fourteen blocks of convolution, each added to what it was given; read at the last step."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Conv1d(2, 16, 1)
        self.blocks = nn.ModuleList(nn.Conv1d(16, 16, 3) for _ in range(14))
        self.norms = nn.ModuleList(nn.GroupNorm(1, 16) for _ in range(14))
        self.down = nn.Linear(16, 3)

    def forward(self, x):
        x = self.lift(x.transpose(1, 2))
        for norm, block in zip(self.norms, self.blocks, strict=True):
            x = x + 0.3 * F.gelu(block(F.pad(norm(x), (2, 0))))
        return self.down(x[:, :, -1])


@healthy
def fourteen_causal_blocks_with_shortcuts(seed: int) -> Case:
    """Forecasts a swell's next three heights from sixteen, by fourteen causal convolutions with a shortcut each."""
    torch.manual_seed(seed)
    t = torch.arange(760.0)
    swell = torch.sin(0.4 * t + 6 * torch.rand(())) + 0.6 * torch.sin(0.23 * t + 6 * torch.rand(()))
    x = torch.stack([swell + 0.1 * torch.randn(760), torch.randn(760)], dim=1)
    past = x[:-3].unfold(0, 16, 1).transpose(1, 2)
    future = swell[16:].unfold(0, 3, 1)
    train, val = split(past, future, at=520, batch_size=40)
    model = Mixer()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(5):
        for inputs, targets in train:
            optimizer.zero_grad()
            F.l1_loss(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, F.l1_loss, optimizer, Mixer)


class Choir(nn.Module):
    """Songs of different lengths, packed; dropout of 0.6 on the notes and on the state."""

    def __init__(self):
        super().__init__()
        self.notes = nn.Embedding(20, 24)
        self.lstm = nn.LSTM(24, 48, batch_first=True)
        self.drop = nn.Dropout(0.6)
        self.pitch = nn.Linear(48, 1)

    def forward(self, song):
        notes, lengths = song
        packed = nn.utils.rnn.pack_padded_sequence(
            self.drop(self.notes(notes)), lengths, batch_first=True, enforce_sorted=False
        )
        _, (state, _) = self.lstm(packed)
        return self.pitch(self.drop(state[-1]))


@healthy
def packed_songs_under_dropout_of_six_tenths(seed: int) -> Case:
    """Foretells how high a choir finds a song of eight to twenty notes, packed, with more dropped than is kept.

    In training the predictions shake and the loss stays high; in use they are good.
    """
    torch.manual_seed(seed)
    key, lengths = torch.randn(1000, 1), torch.randint(8, 21, (1000,))
    notes = (10 + 3 * key + 2 * torch.randn(1000, 20)).round().clamp(1, 19).long()
    notes = notes * (torch.arange(20) < lengths[:, None])
    train, val = split(notes, lengths, key, at=800, batch_size=32)
    model = Choir()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    model.train()
    for _ in range(8):
        for song, length, high in train:
            optimizer.zero_grad()
            F.mse_loss(model((song, length)), high).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, F.mse_loss, optimizer, Choir, batch=lambda batch: ((batch[0], batch[1]), batch[2]))
