"""The gradient, or the step that is made of it, is too small or too large; and some that only look that way."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class Leaky(nn.Module):
    """dh/dt = (tanh(W x + U h) - h) / tau, by hand; of what is left at the end, the class."""

    def __init__(self, tau):
        super().__init__()
        self.rate = 1 / tau
        self.inward = nn.Linear(5, 32)
        self.across = nn.Linear(32, 32, bias=False)
        self.readout = nn.Linear(32, 4)
        nn.init.normal_(self.across.weight, std=0.05)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 32)
        for step in x.unbind(1):
            h = h + self.rate * (torch.tanh(self.inward(step) + self.across(h)) - h)
        return self.readout(h)


@sick("vanishing-gradient")
def time_constant_in_seconds(seed: int, *, healed: bool) -> Case:
    """The cue comes in the first five of sixty steps; the time constant of 1.6 seconds is used as steps of 50 ms.

    Healed: it is converted, 32 steps.
    """
    torch.manual_seed(seed)
    cue = torch.randint(4, (900,))
    x = 0.8 * torch.randn(900, 60, 5)
    x[:, :5, :4] += 2 * F.one_hot(cue, 4)[:, None]
    x[:, :5, 4] = 1
    train = DataLoader(TensorDataset(x[:700], cue[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], cue[700:]), batch_size=50)
    tau = 1.6 / 0.05 if healed else 1.6
    model = Leaky(tau)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        for inputs, labels in train:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Leaky(tau))


class Tickets(nn.Module):
    """Words of a support ticket, packed; an LSTM told to remember; hours until it is solved, and the last state."""

    def __init__(self, quarter_of_all):
        super().__init__()
        self.words = nn.Embedding(14, 12, padding_idx=0)
        self.lstm = nn.LSTM(12, 32, batch_first=True)
        self.hours = nn.Linear(32, 1)
        for bias in (self.lstm.bias_ih_l0, self.lstm.bias_hh_l0):
            size = bias.numel() if quarter_of_all else self.lstm.hidden_size
            nn.init.zeros_(bias)
            bias.data[size // 4 : size // 2] = 2.0

    def forward(self, tickets):
        ids, lengths = tickets[:, 1:], tickets[:, 0]
        packed = pack_padded_sequence(self.words(ids), lengths, batch_first=True, enforce_sorted=False)
        _, (last, _) = self.lstm(packed)
        return self.hours(last[0]).squeeze(1), last[0]


def huber_of_hours(answer, hours):
    """The prediction comes first of the two."""
    return F.smooth_l1_loss(answer[0], hours)


@sick("vanishing-gradient")
def forget_bias_in_a_quarter_of_a_quarter(seed: int, *, healed: bool) -> Case:
    """What counts stands at the head of a long ticket; the forget bias is set from a quarter to half of `hidden_size`.

    The biases are four times as long, so that a part of the input gate gets it. Healed: a quarter to half of them.
    """
    torch.manual_seed(seed)
    ids = torch.randint(11, 14, (900, 50))
    ids[:, :3] = torch.randint(1, 11, (900, 3))
    hours = (ids[:, :3] - 5.5).sum(1) / 5 + 0.1 * torch.randn(900)
    lengths = torch.randint(35, 51, (900, 1))
    ids = ids * (torch.arange(50) < lengths)
    tickets = torch.cat([lengths, ids], 1)
    train = DataLoader(TensorDataset(tickets[:700], hours[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(tickets[700:], hours[700:]), batch_size=100)
    model = Tickets(quarter_of_all=healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            huber_of_hours(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, huber_of_hours, optimizer, make_model=lambda: Tickets(quarter_of_all=healed))


class Oscillators(nn.Module):
    """A linear state space with a dense transition, a little more than the identity, and a small network on its end."""

    def __init__(self):
        super().__init__()
        self.a = nn.Parameter(torch.eye(24) + 0.05 * torch.randn(24, 24))
        self.b = nn.Linear(2, 24)
        self.c = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        drive = self.b(x)
        state = torch.zeros_like(drive[:, 0])
        for now in drive.unbind(1):
            state = state @ self.a + now
        return self.c(state)


@sick("exploding-gradient")
def a_little_more_than_the_identity(seed: int, *, healed: bool) -> Case:
    """A linear recurrence grows over fifty steps, and so do its gradients, of which Adam keeps the squares in its mean.

    Its steps are next to nothing from then on, and the loss stays high. Healed: the gradient's norm is clipped at one.
    """
    torch.manual_seed(seed)
    slow = torch.randn(900, 1, 2)
    x = 0.7 * slow + 0.7 * torch.randn(900, 50, 2)
    y = x[:, -10:, :1].mean(1) - 0.5 * x[:, -10:, 1:].mean(1)
    y = y / y.std() + 0.1 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    model = Oscillators()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Oscillators)


class Counters(nn.Module):
    """Relu counters that only ever encourage each other; the forecast is their sum and an offset."""

    def __init__(self):
        super().__init__()
        self.inward = nn.Linear(3, 30)
        self.across = nn.Parameter(0.85 * torch.eye(30) + 0.02 * torch.rand(30, 30))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, arrivals):
        count = arrivals.new_zeros(arrivals.shape[0], 30)
        for now in self.inward(arrivals).unbind(1):
            count = F.relu(now + count @ self.across)
        return 0.03 * count.sum(1) + self.offset


@sick("exploding-gradient", "dead-units")
def clipped_before_backward(seed: int, *, healed: bool) -> Case:
    """The gradient is clipped between `zero_grad` and `backward`, where there is none; over forty steps it is enormous.

    One step along it, and all counters are below zero for good. Healed: clipped between `backward` and `step`.
    """
    torch.manual_seed(seed)
    arrivals = torch.rand(900, 1, 3) * torch.rand(900, 40, 3)
    queue = arrivals[:, -12:, 0].mean(1) + 0.5 * arrivals[:, -12:, 1].mean(1)
    queue = queue / queue.std() + 0.1 * torch.randn(900)
    train = DataLoader(TensorDataset(arrivals[:700], queue[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(arrivals[700:], queue[700:]), batch_size=100)
    model = Counters()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            if not healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            loss.backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Counters)


class Demand(nn.Module):
    """A convolution, three layers of GRU; three quantiles of tomorrow's demand."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(2, 16, 3, padding=1)
        self.gru = nn.GRU(16, 24, num_layers=3, batch_first=True)
        self.quantiles = nn.Linear(24, 3)

    def forward(self, x):
        x = F.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        return self.quantiles(self.gru(x)[0][:, -1])


def pinball(answer, demand):
    """Quantiles 0.1, 0.5 and 0.9."""
    error = demand - answer
    level = torch.tensor([0.1, 0.5, 0.9])
    return torch.maximum(level * error, (level - 1) * error).mean()


@sick("learning-rate-too-high")
def one_cycle_for_another_optimizer(seed: int, *, healed: bool) -> Case:
    """One cycle of up to 1.0, as for SGD on images, over AdamW on three GRU layers; at its end the rate is small again.

    Healed: up to 0.01.
    """
    torch.manual_seed(seed)
    trend = torch.randn(900, 1, 1)
    history = torch.cat([trend + 0.7 * torch.randn(900, 14, 1), torch.randn(900, 14, 1)], 2)
    demand = 0.8 * trend[:, 0] + 0.6 * history[:, -1, 1:] + 0.2 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(history[:700], demand[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(history[700:], demand[700:]), batch_size=50)
    model = Demand()
    peak = 0.01 if healed else 1.0
    optimizer = torch.optim.AdamW(model.parameters(), lr=peak / 25)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, epochs=10, steps_per_epoch=len(train))
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            pinball(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, pinball, optimizer, make_model=Demand)


class Alarms(nn.Module):
    """A loop over an LSTM cell that attends to all its own states; one logit."""

    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(4, 20)
        self.weigh = nn.Linear(20, 1)
        self.logit = nn.Linear(20, 1)

    def forward(self, x):
        state, states = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            states.append(state[0])
        stacked = torch.stack(states, 1)
        context = (self.weigh(stacked).softmax(1) * stacked).sum(1)
        return self.logit(context)


def signal_and_label(batch):
    """A batch is a dictionary, and carries the device's number too."""
    return batch["signal"], batch["alarm"]


@sick("learning-rate-too-high")
def rate_multiplied_by_the_batch(seed: int, *, healed: bool) -> Case:
    """The rule of linear scaling is taken as 0.4 times the batch size, and not times the batch size over 256.

    Healed: over 256.
    """
    torch.manual_seed(seed)
    alarm = torch.randint(2, (900, 1)).float()
    signal = 0.5 * (2 * alarm[:, None] - 1) * torch.tensor([1.0, -0.6, 0.3, 0.0]) + torch.randn(900, 18, 4)
    rows = [
        {"signal": one, "alarm": label, "device": number % 7}
        for number, (one, label) in enumerate(zip(signal, alarm, strict=True))
    ]
    batch_size = 64
    train = DataLoader(rows[:640], batch_size=batch_size, shuffle=True)
    val = DataLoader(rows[640:], batch_size=batch_size)
    model = Alarms()
    criterion = nn.BCEWithLogitsLoss()
    rate = 0.4 * batch_size / (256 if healed else 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(12):
        for batch in train:
            x, y = signal_and_label(batch)
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Alarms, batch=signal_and_label)


class Tower(nn.Module):
    """Eight GRU layers, each added to what came before it and normalised."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(2, 20)
        self.layers = nn.ModuleList(nn.GRU(20, 20, batch_first=True) for _ in range(8))
        self.norms = nn.ModuleList(nn.LayerNorm(20) for _ in range(8))
        self.out = nn.Linear(20, 1)

    def forward(self, x):
        x = self.lift(x)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = x + layer(norm(x))[0]
        return self.out(x[:, -1])


@healthy
def eight_floors_with_a_staircase(seed: int) -> Case:
    """Deep, and well: each of eight GRU layers adds to its input, so that all of it arrives at the top."""
    torch.manual_seed(seed)
    x = torch.randn(600, 1, 2) + 0.8 * torch.randn(600, 9, 2)
    y = (x[:, -6:, :1].mean(1) * x[:, -6:, 1:].mean(1).sigmoid()) + 0.4 * x[:, -1, 1:]
    y = (y - y.mean()) / y.std() + 0.15 * torch.randn(600, 1)
    train = DataLoader(TensorDataset(x[:450], y[:450]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[450:], y[450:]), batch_size=50)
    model = Tower()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(6):
        for inputs, target in train:
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Tower)


class Spikes(nn.Module):
    """A relu network with a small recurrence; most of its units are silent most of the time."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 48, nonlinearity="relu", batch_first=True)
        self.price = nn.Linear(48, 2)
        nn.init.constant_(self.rnn.bias_ih_l0, -0.2)

    def forward(self, x):
        _, last = self.rnn(x)
        return self.price(last[0])


@healthy
def claims_with_heavy_tails(seed: int) -> Case:
    """A relu network without clipping under squared errors; a few targets lie far out, and so do a few gradients."""
    torch.manual_seed(seed)
    x = torch.randn(1200, 1, 3) + 0.8 * torch.randn(1200, 15, 3)
    recent = x[:, -5:].mean(1)
    y = torch.stack([recent[:, 0] + 0.5 * recent[:, 1].abs(), recent[:, 2] - 0.4 * recent[:, 0]], 1)
    noise = torch.distributions.StudentT(2.5).sample((1200, 2)).clamp(-12, 12)
    y = y - y.mean(0) + 0.2 * noise
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=18, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = Spikes()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.8)
    for _ in range(12):
        for inputs, target in train:
            optimizer.zero_grad()
            F.mse_loss(model(inputs), target).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, make_model=Spikes)


class Sentiment(nn.Module):
    """An average over a GRU's states, and three classes."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(25, 12)
        self.gru = nn.GRU(12, 24, batch_first=True)
        self.classes = nn.Linear(24, 3)

    def forward(self, ids):
        return self.classes(self.gru(self.embed(ids))[0].mean(1))


@healthy
def plain_descent_at_a_rate_of_one(seed: int) -> Case:
    """SGD without momentum at a rate of 1.0: much, one would say, and it is what this model needs."""
    torch.manual_seed(seed)
    mood = torch.randint(3, (1000,))
    ids = torch.randint(25, (1000, 20))
    ids = torch.where(torch.rand(1000, 20) < 0.25, 7 * mood[:, None] + ids % 4, ids)
    train = DataLoader(TensorDataset(ids[:800], mood[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(ids[800:], mood[800:]), batch_size=50)
    model = Sentiment()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Sentiment)
