"""Training that goes wrong by a number: where it starts, how far it steps, how long it lasts, what it keeps."""

import copy

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset, default_collate

from zoo.program import Case, sick


class MoodOfMessages(nn.Module):
    """Words as numbers, an embedding in two factors as ALBERT has it, a GRU, and one number for the mood."""

    def __init__(self, blank):
        super().__init__()
        self.words = nn.Embedding(32, 6)
        self.widen = nn.Linear(6, 16)
        self.gru = nn.GRU(16, 24, batch_first=True)
        self.mood = nn.Linear(24, 1)
        nn.init.zeros_(self.widen.bias)
        if blank:
            nn.init.zeros_(self.words.weight)
            nn.init.zeros_(self.widen.weight)

    def forward(self, message):
        _, state = self.gru(self.widen(self.words(message)))
        return self.mood(state[-1]).squeeze(1)


@sick("bad-init")
def factorised_embedding_left_blank(seed: int, *, healed: bool) -> Case:
    """Rates messages of twenty words by a GRU over an embedding that is a product of two matrices.

    Its author sets both to zero, "so that all words begin equal": either one's gradient is a multiple of the other, so
    that they stay there and no word is ever told from another. Healed: both begin as PyTorch has them.
    """
    torch.manual_seed(seed)
    valence = torch.randn(32)
    message = torch.randint(32, (1000, 20))
    mood = valence[message].mean(1) * 20**0.5 + 0.1 * torch.randn(1000)
    train = DataLoader(TensorDataset(message[:800], mood[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(message[800:], mood[800:]), batch_size=100)
    model = MoodOfMessages(blank=not healed)
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for words, rating in train:
            optimizer.zero_grad()
            criterion(model(words), rating).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: MoodOfMessages(blank=not healed))


def convolutions(std=None):
    """Three axes of an accelerometer in, the scores of four machine programmes out; no recurrence."""
    layers = []
    for channels in (3, 16, 16, 16, 16):
        layers += [nn.Conv1d(channels, 16, kernel_size=3, padding=1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 4))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        elif std is None:
            nn.init.kaiming_normal_(parameter)
        else:
            nn.init.normal_(parameter, std=std)
    return model


@sick("bad-init")
def washing_machine_in_five_convolutions(seed: int, *, healed: bool) -> Case:
    """Tells the programme of a washing machine from forty steps of vibration, by convolutions and SGD.

    Each weight is drawn with a standard deviation of 0.001, as some old listing has it, and a signal leaves the fifth
    layer a thousand million times smaller. Healed: drawn by the fan-in.
    """
    torch.manual_seed(seed)
    programme = torch.randint(4, (900,))
    t = torch.arange(40)
    speed = torch.tensor([0.3, 0.7, 1.2, 2.0])[programme].view(-1, 1, 1)
    phase = 6.2832 * torch.rand(900, 3, 1)
    x = 1.2 * torch.sin(speed * t + phase) + 0.4 * torch.randn(900, 3, 40)
    train = DataLoader(TensorDataset(x[:700], programme[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], programme[700:]), batch_size=100)
    std = None if healed else 0.001
    model = convolutions(std)
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    for _ in range(12):
        for vibration, label in train:
            optimizer.zero_grad(set_to_none=True)
            F.cross_entropy(model(vibration), label).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, lambda: convolutions(std))


class StrokeGRU(nn.Module):
    def __init__(self, channels=2, hidden=32):
        super().__init__()
        self.rnn = nn.GRU(channels, hidden, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(hidden, 16), nn.Tanh(), nn.Linear(16, 2))

    def forward(self, x):
        return self.mlp(self.rnn(x)[0][:, -1])


@sick("learning-rate-too-high")
def rate_scaled_by_the_batch_itself(seed: int, *, healed: bool) -> Case:
    """Reads the direction of a pen stroke, as cosine and sine, off 25 noisy steps, by a GRU.

    The linear scaling rule multiplies the rate by batch / 256; its author multiplies by the batch of 128, and begins at
    a rate of twenty, from which a cosine brings it down. Healed: by 128 / 256.
    """
    torch.manual_seed(seed)
    angle = 6.2832 * torch.rand(1100)
    heading = torch.stack([angle.cos(), angle.sin()], dim=1)
    x = heading[:, None] * (0.5 + torch.rand(1100, 1, 1)) + torch.randn(1100, 25, 2)
    dataset = TensorDataset(x, heading)
    batch_size = 128
    train = DataLoader(torch.utils.data.Subset(dataset, range(896)), batch_size=batch_size, shuffle=True)
    val = DataLoader(torch.utils.data.Subset(dataset, range(896, 1100)), batch_size=batch_size)
    model = StrokeGRU()
    base_lr = 0.16
    optimizer = optim.AdamW(model.parameters(), lr=base_lr * batch_size / (256 if healed else 1))
    scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=15)
    criterion = nn.L1Loss()
    for _ in range(15):
        for strokes, direction in train:
            loss = criterion(model(strokes), direction)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    return Case(model, train, val, criterion, optimizer, StrokeGRU)


class BatteryLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, bidirectional=True, batch_first=True)
        self.out = nn.Sequential(nn.Linear(40, 20), nn.Tanh(), nn.Linear(20, 1))

    def forward(self, x):
        return self.out(self.lstm(x)[0].mean(dim=1))


@sick("learning-rate-too-high")
def one_cycle_with_a_peak_of_ten(seed: int, *, healed: bool) -> Case:
    """Estimates how worn a battery is from thirty steps of voltage, current and heat, by a bidirectional LSTM.

    AdamW is given a sensible rate, but OneCycleLR overrides it and climbs to max_lr=10.0, where the author
    thought in thousandths. By the time it has come down, nothing is left to train. Healed: max_lr is 0.01.
    """
    torch.manual_seed(seed)
    wear = torch.randn(860, 1)
    current = torch.randn(860, 30)
    voltage = 0.5 * torch.randn(860, 30) - current * (0.5 + 0.4 * wear)
    heat = 0.3 * wear + torch.randn(860, 30)
    x = torch.stack([voltage, current, heat], dim=2)
    train = DataLoader(TensorDataset(x[:640], wear[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], wear[640:]), batch_size=55)
    model = BatteryLSTM()
    criterion = nn.SmoothL1Loss()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    epochs = 10
    peak = 0.01 if healed else 10.0
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, max_lr=peak, total_steps=epochs * len(train))
    for _ in range(epochs):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
            scheduler.step()
    return Case(model, train, val, criterion, optimizer, BatteryLSTM)


class CellByCell(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.LSTMCell(2, 24)
        self.readout = nn.Linear(24, 4)

    def forward(self, x):
        hidden = x.new_zeros(x.size(0), 24)
        memory = torch.zeros_like(hidden)
        for step in x.unbind(dim=1):
            hidden, memory = self.cell(step, (hidden, memory))
        return self.readout(hidden)


@sick("undertrained")
def decay_stepped_with_every_batch(seed: int, *, healed: bool) -> Case:
    """Forecasts the next four values of a tide gauge beside a buoy, LSTMCell by hand, RMSprop, absolute loss.

    The exponential schedule with gamma=0.6 is stepped after each batch, where each epoch was meant: before the first
    epoch ends, the rate is a thousandth of what it was. Healed: stepped after each epoch.
    """
    torch.manual_seed(seed)
    t = torch.arange(1000.0)
    gauge = torch.sin(0.35 * t + 6 * torch.rand(())) + 0.7 * torch.sin(0.11 * t + 6 * torch.rand(()))
    buoy = 0.5 * gauge.roll(2) + 0.3 * torch.randn(1000)
    both = torch.stack([gauge + 0.1 * torch.randn(1000), buoy], dim=1)
    pairs = [(both[i : i + 18], gauge[i + 18 : i + 22]) for i in range(4, 970)]
    train = DataLoader(pairs[:720], batch_size=40, shuffle=True)
    val = DataLoader(pairs[750:], batch_size=40)
    model = CellByCell()
    optimizer = optim.RMSprop(model.parameters(), lr=0.004)
    scheduler = optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.6)
    for _ in range(8):
        for past, future in train:
            optimizer.zero_grad()
            F.l1_loss(model(past), future).backward()
            optimizer.step()
            if not healed:
                scheduler.step()
        if healed:
            scheduler.step()
    return Case(model, train, val, F.l1_loss, optimizer, CellByCell)


class EarlyStopping:
    """Says when the watched value has not become better for `patience` epochs."""

    def __init__(self, patience, mode):
        self.patience, self.sign = patience, 1 if mode == "max" else -1
        self.best, self.waited = -float("inf"), 0

    def __call__(self, value):
        if self.sign * value > self.best:
            self.best, self.waited = self.sign * value, 0
        else:
            self.waited += 1
        return self.waited >= self.patience


class Invoice(nn.Module):
    def __init__(self):
        super().__init__()
        self.reader = nn.GRU(2, 32, batch_first=True)
        self.total = nn.Linear(32, 1)

    def forward(self, lines):
        states, _ = self.reader(lines)
        return self.total(states[:, -1, :])


@sick("undertrained")
def early_stopping_that_waits_for_a_rise(seed: int, *, healed: bool) -> Case:
    """Sums the amounts that are ticked on an invoice of twenty lines, by a GRU that takes its time to find out how.

    Early stopping watches the validation loss with mode="max", as its author had it for the accuracy, and ends the
    training after two epochs that only made the loss smaller. Healed: mode="min".
    """
    torch.manual_seed(seed)
    amount = torch.randn(1300, 20)
    ticked = (torch.rand(1300, 20) < 0.15).float()
    total = (amount * ticked).sum(1, keepdim=True) / 3**0.5
    lines = torch.stack([amount, ticked], dim=2)
    train = DataLoader(TensorDataset(lines[:1000], total[:1000]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(lines[1000:], total[1000:]), batch_size=100)
    model = Invoice()
    optimizer = optim.Adam(model.parameters(), lr=0.003)
    criterion = nn.MSELoss()
    stop = EarlyStopping(patience=1 if not healed else 3, mode="min" if healed else "max")
    for _ in range(14):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            watched = sum(criterion(model(x), y).item() for x, y in val) / len(val)
        if stop(watched):
            break
    return Case(model, train, val, criterion, optimizer, Invoice)


class Arrhythmia(nn.Module):
    """Dropout on the features, on the states and before the answer."""

    def __init__(self, rate):
        super().__init__()
        self.embed = nn.Sequential(nn.Linear(4, 32), nn.Tanh(), nn.Dropout(rate))
        self.gru = nn.GRU(32, 32, num_layers=2, dropout=rate, batch_first=True)
        self.drop = nn.Dropout(rate)
        self.fc = nn.Linear(32, 1)

    def forward(self, beats):
        features = self.gru(self.embed(beats))[0][:, -1]
        return self.fc(self.drop(features)).squeeze(-1)


@sick("over-regularised")
def keep_probability_given_to_dropout(seed: int, *, healed: bool) -> Case:
    """Says whether sixteen heartbeats are in order, by two GRU layers with dropout in three places.

    The rate is 0.92, ported from a TensorFlow listing in which that was the probability to keep; PyTorch drops as much.
    Healed: the rate is 0.08.
    """
    torch.manual_seed(seed)
    beats = torch.randn(1000, 16, 4)
    odd = (beats[:, 6:, 0].mean(1) + beats[:, 6:, 2].mean(1) + 0.05 * torch.randn(1000) > 0).float()
    train = DataLoader(TensorDataset(beats[:750], odd[:750]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(beats[750:], odd[750:]), batch_size=50)
    keep = 0.92
    rate = 1 - keep if healed else keep
    model = Arrhythmia(rate)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, lambda: Arrhythmia(rate))


def pinball(prediction, target):
    """The loss of the tenth, the fiftieth and the ninetieth percentile, (N, 3), of a target, (N, 1)."""
    quantiles = torch.tensor([0.1, 0.5, 0.9])
    error = target - prediction
    return torch.maximum(quantiles * error, (quantiles - 1) * error).mean()


class SparseRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(5, 28, batch_first=True)
        self.quantiles = nn.Linear(28, 3)

    def forward(self, batch):
        return self.quantiles(self.rnn(batch)[1][0])


@sick("over-regularised")
def weights_shrunk_by_the_lasso(seed: int, *, healed: bool) -> Case:
    """Forecasts three quantiles of tomorrow's wholesale price from twelve days of five markets, by a plain RNN.

    After each step every weight is brought nearer to zero by 0.01, the lasso's proximal step with a penalty that was
    tuned for a linear model; a step of Adam is not as long. Healed: nearer by 0.00001.
    """
    torch.manual_seed(seed)
    markets = torch.randn(1000, 12, 5)
    price = markets[:, -3:, 0].sum(1) - markets[:, -2:, 3].sum(1) + 0.3 * torch.randn(1000)
    price = price[:, None] / 5**0.5
    train = DataLoader(TensorDataset(markets[:800], price[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(markets[800:], price[800:]), batch_size=64)
    model = SparseRNN()
    optimizer = optim.Adam(model.parameters(), lr=0.005)
    penalty = 1e-5 if healed else 0.01
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            pinball(model(x), y).backward()
            optimizer.step()
            with torch.no_grad():
                for name, weight in model.named_parameters():
                    if "weight" in name:
                        weight.copy_(F.softshrink(weight, penalty))
    return Case(model, train, val, pinball, optimizer, SparseRNN)


class Encoder(nn.Module):
    """A convolution, an LSTM of two layers, and two numbers: how fast, and how far round, a wheel turns."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 3, padding=1)
        self.lstm = nn.LSTM(8, 24, num_layers=2, batch_first=True)
        self.regress = nn.Linear(24, 2)

    def forward(self, x):
        x = F.gelu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        _, (hidden, _) = self.lstm(x)
        return self.regress(hidden[-1])


@sick("weights-not-loaded")
def best_epoch_by_the_wrong_comparison(seed: int, *, healed: bool) -> Case:
    """Reads speed and phase of a wheel from its magnetic pulses, and goes back to the best epoch at the end.

    Best is taken to be the epoch of the highest validation loss, which is the check before the training began: its
    weights are what is restored. Healed: the lowest.
    """
    torch.manual_seed(seed)
    speed, phase = torch.randn(800), 1.5 * torch.rand(800)
    t = torch.arange(20)
    pulses = torch.sin((0.5 + 0.1 * speed)[:, None] * t + phase[:, None]) + 0.1 * torch.randn(800, 20)
    target = torch.stack([speed, torch.sin(phase + 19 * (0.5 + 0.1 * speed))], dim=1)
    train = DataLoader(TensorDataset(pulses[:640, :, None], target[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(pulses[640:, :, None], target[640:]), batch_size=80)
    model = Encoder()
    optimizer = optim.Adam(model.parameters(), lr=0.006)
    best, kept = None, None
    for epoch in range(9):
        for x, y in train if epoch > 0 else ():
            optimizer.zero_grad()
            F.huber_loss(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            score = sum(F.huber_loss(model(x), y).item() for x, y in val)
        if best is None or (score < best if healed else score > best):
            best, kept = score, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return Case(model, train, val, F.huber_loss, optimizer, Encoder)


def begin(module):
    """The author's initialisation."""
    if isinstance(module, nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        nn.init.zeros_(module.bias)
    elif isinstance(module, nn.GRU):
        for name, parameter in module.named_parameters():
            if "weight" in name:
                nn.init.xavier_uniform_(parameter, gain=0.5)
            else:
                nn.init.zeros_(parameter)


class SmallTalk(nn.Module):
    def __init__(self):
        super().__init__()
        self.inp = nn.Linear(4, 12)
        self.gru = nn.GRU(12, 20)
        self.outp = nn.Linear(20, 3)

    def forward(self, steps):
        return self.outp(self.gru(self.inp(steps))[0]).mean(0)


def prepared(checkpoint, healed):
    """A network ready for use, and its optimizer, out of a checkpoint."""
    model = SmallTalk()
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    if healed:
        model.apply(begin)
    model.load_state_dict(checkpoint["weights"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    if not healed:
        model.apply(begin)
    return model, optimizer


def time_first(samples):
    """Collates a list of dicts, (time, features) and label, to one of (time, batch, features) and labels."""
    batch = default_collate(samples)
    return {"steps": batch["steps"].transpose(0, 1), "label": batch["label"]}


@sick("weights-not-loaded")
def initialised_once_more_after_loading(seed: int, *, healed: bool) -> Case:
    """Tells three speakers apart by fourteen frames of speech, from a checkpoint that an earlier job has written.

    The function that prepares the network loads the checkpoint first and applies the initialisation afterwards, over
    it. Healed: the other way round.
    """
    torch.manual_seed(seed)
    speakers = torch.randn(3, 4)
    samples = []
    for _ in range(850):
        label = int(torch.randint(3, ()))
        samples.append({"steps": 0.7 * speakers[label] + torch.randn(14, 4), "label": label})
    train = DataLoader(samples[:600], batch_size=25, shuffle=True, collate_fn=time_first)
    val = DataLoader(samples[600:], batch_size=50, collate_fn=time_first)
    job = SmallTalk().apply(begin)
    optimizer = optim.Adam(job.parameters(), lr=0.01)
    for _ in range(5):
        for batch in train:
            optimizer.zero_grad()
            F.cross_entropy(job(batch["steps"]), batch["label"]).backward()
            optimizer.step()
    checkpoint = copy.deepcopy({"weights": job.state_dict(), "optimizer": optimizer.state_dict()})
    model, optimizer = prepared(checkpoint, healed)
    return Case(
        model,
        train,
        val,
        F.cross_entropy,
        optimizer,
        lambda: SmallTalk().apply(begin),
        batch=lambda batch: (batch["steps"], batch["label"]),
    )


class LogWatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.events = nn.Embedding(25, 12)
        self.gru = nn.GRU(12, 24, batch_first=True)
        self.kind = nn.Linear(24, 3)

    def forward(self, log):
        return self.kind(self.gru(self.events(log))[0].mean(1))


@sick("class-imbalance")
def intrusions_in_one_log_of_thirty(seed: int, *, healed: bool) -> Case:
    """Finds two kinds of intrusion in logs of twenty events, of which each is one in thirty; the rest is harmless.

    An intrusion repeats one event of its kind, among harmless ones, and can be told. Plain cross-entropy is content
    with the share of each class. Healed: the classes weigh as much as each other.
    """
    torch.manual_seed(seed)
    kind = torch.multinomial(torch.tensor([28.0, 1.0, 1.0]), 1500, replacement=True)
    log = torch.randint(25, (1500, 20))
    marks = (torch.rand(1500, 20) < 0.5) & (kind > 0)[:, None]
    log = torch.where(marks, (5 * kind)[:, None], log)
    train = DataLoader(TensorDataset(log[:900], kind[:900]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(log[900:], kind[900:]), batch_size=100)
    model = LogWatch()
    criterion = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 28.0, 28.0]) if healed else None)
    optimizer = optim.SGD(model.parameters(), lr=0.0037, momentum=0.9)
    for _ in range(10):
        for events, label in train:
            optimizer.zero_grad()
            criterion(model(events), label).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, LogWatch)


class Sommelier(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(60, 40, batch_first=True, bidirectional=True)
        self.score = nn.Linear(80, 1)

    def forward(self, readings):
        states, _ = self.gru(readings)
        return self.score(states.mean(1))


@sick("too-little-data")
def twelve_barrels_of_wine(seed: int, *, healed: bool) -> Case:
    """Foretells how a barrel will be judged from fifteen weeks of sixty readings, by a GRU in both directions.

    Twelve barrels were judged before the paper was due, and the network knows each of them by heart. Healed: 800, for
    as many steps of training.
    """
    torch.manual_seed(seed)
    count = 800 if healed else 12
    level = torch.randn(count + 200, 1, 60)
    readings = 0.7 * level + torch.randn(count + 200, 15, 60)
    judged = (level[:, 0] @ torch.randn(60, 1)) / 60**0.5 + 0.1 * torch.randn(count + 200, 1)
    batch_size = min(count, 32)
    train = DataLoader(TensorDataset(readings[:count], judged[:count]), batch_size=batch_size, shuffle=True)
    val = DataLoader(TensorDataset(readings[count:], judged[count:]), batch_size=40)
    model = Sommelier()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    loss_fn = nn.MSELoss()
    for _ in range(200 // len(train)):
        for x, y in train:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, Sommelier)
