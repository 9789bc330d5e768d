"""What somebody was told, or remembered from elsewhere, about schedules, dropout, pairs, padding and checkpoints."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class WindQuantiles(nn.Module):
    """Three quantiles of a wind park's power: two stacked LSTMs, the second half as wide."""

    def __init__(self):
        super().__init__()
        self.wide = nn.LSTM(3, 24, batch_first=True)
        self.narrow = nn.LSTM(24, 12, batch_first=True)
        self.quantiles = nn.Linear(12, 3)

    def forward(self, weather):
        return self.quantiles(self.narrow(self.wide(weather)[0])[0][:, -1])


def pinball(answer, power):
    """Quantile loss at a tenth, a half and nine tenths; `power` is (N, 1)."""
    level = torch.tensor([0.1, 0.5, 0.9])
    miss = power - answer
    return torch.maximum(level * miss, (level - 1) * miss).mean()


@sick("undertrained")
def warmup_of_a_larger_model(seed: int, *, healed: bool) -> Case:
    """A linear warm-up over 4000 steps is taken over from a language model's recipe, and training ends after 160.

    Healed: it lasts 20 steps.
    """
    torch.manual_seed(seed)
    front = torch.randn(900, 1, 3)
    weather = front + 0.7 * torch.randn(900, 16, 3)
    power = torch.tanh(front[:, 0, :1]) + 0.5 * front[:, 0, 1:2] + 0.1 * torch.randn(900, 1)
    power = (power - power.mean()) / power.std()
    train = DataLoader(TensorDataset(weather[:640], power[:640]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(weather[640:], power[640:]), batch_size=65)
    model = WindQuantiles()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    warmup = 20 if healed else 4000
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / warmup))
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            pinball(model(x), y).backward()
            optimizer.step()
            schedule.step()
    return Case(model, train, val, pinball, optimizer, make_model=WindQuantiles)


class Tickets(nn.Module):
    """Words of a support ticket to its department."""

    def __init__(self, drop):
        super().__init__()
        self.embed = nn.Embedding(24, 16)
        self.drop = nn.Dropout(drop)
        self.gru = nn.GRU(16, 24, batch_first=True)
        self.hidden = nn.Linear(24, 24)
        self.department = nn.Linear(24, 3)

    def forward(self, words):
        states, _ = self.gru(self.drop(self.embed(words)))
        hidden = torch.tanh(self.hidden(self.drop(states[:, -1])))
        return self.department(self.drop(hidden))


@sick("over-regularised")
def keep_probability_of_the_old_days(seed: int, *, healed: bool) -> Case:
    """Code for TensorFlow 1 says `keep_prob = 0.95`; ported, it becomes `nn.Dropout(0.95)`, at three places.

    Healed: `nn.Dropout(0.05)`.
    """
    torch.manual_seed(seed)
    department = torch.randint(3, (1100,))
    words = torch.randint(24, (1100, 14))
    telling = torch.rand(1100, 14) < 0.4
    words = torch.where(telling, 8 * department[:, None] + words % 8, words)
    train = DataLoader(TensorDataset(words[:800], department[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(words[800:], department[800:]), batch_size=100)
    drop = 1 - 0.95 if healed else 0.95
    model = Tickets(drop)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Tickets(drop))


class DiagonalState(nn.Module):
    """A linear recurrence with a decay for each channel, and a small network on its last state."""

    def __init__(self, channels=24):
        super().__init__()
        self.enter = nn.Linear(2, channels)
        self.decay = nn.Parameter(torch.linspace(0.5, 4.0, channels))
        self.answer = nn.Sequential(nn.Linear(channels, 24), nn.GELU(), nn.Linear(24, 1))

    def forward(self, signal):
        keep = torch.sigmoid(self.decay)
        drive = (1 - keep) * self.enter(signal)
        state = torch.zeros_like(drive[:, 0])
        for step in drive.unbind(1):
            state = keep * state + step
        return self.answer(state)


@sick("weights-not-loaded")
def best_loss_that_began_at_zero(seed: int, *, healed: bool) -> Case:
    """The best weights are kept and restored at the end; but the best loss so far begins at 0, which none falls below.

    What was kept is the copy from before the first epoch. Healed: it begins at infinity.
    """
    torch.manual_seed(seed)
    cause = torch.randn(800, 1, 2)
    signal = cause + torch.randn(800, 24, 2)
    target = torch.sin(cause[:, 0, :1]) + cause[:, 0, 1:] + 0.1 * torch.randn(800, 1)
    train = DataLoader(TensorDataset(signal[:600], target[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(signal[600:], target[600:]), batch_size=100)
    model = DiagonalState()
    mse = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    best_loss = float("inf") if healed else 0.0
    best_state = copy.deepcopy(model.state_dict())
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
        with torch.no_grad():
            val_loss = sum(mse(model(x), y).item() for x, y in val) / len(val)
        if val_loss < best_loss:
            best_loss, best_state = val_loss, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_state)
    model.eval()
    return Case(model, train, val, mse, optimizer, make_model=DiagonalState)


class Gait(nn.Module):
    """Walking speed and step length from a belt's sensors, by an RNN that reads both ways."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(3, 16, batch_first=True, bidirectional=True)
        self.out = nn.Linear(32, 2)

    def forward(self, x):
        return self.out(self.rnn(x)[0].mean(1))


class Zipped:
    """Two loaders, side by side: the inputs of the one and the targets of the other."""

    def __init__(self, inputs, targets):
        self.inputs, self.targets = inputs, targets

    def __len__(self):
        return len(self.inputs)

    def __iter__(self):
        return zip(self.inputs, self.targets, strict=True)


@sick("misaligned-pairs")
def two_loaders_zipped(seed: int, *, healed: bool) -> Case:
    """Inputs and targets have a loader each, both with `shuffle=True`, and are zipped; each shuffles for itself.

    Healed: neither shuffles.
    """
    torch.manual_seed(seed)
    walk = torch.randn(760, 1, 2)
    mixing = torch.tensor([[1.0, 0.5, -0.6], [0.2, -1.0, 0.8]])
    belt = walk @ mixing + 0.8 * torch.randn(760, 20, 3)
    gait = walk[:, 0] + 0.2 * torch.randn(760, 2)
    train = Zipped(
        DataLoader(belt[:560], batch_size=28, shuffle=not healed),
        DataLoader(gait[:560], batch_size=28, shuffle=not healed),
    )
    val = Zipped(DataLoader(belt[560:], batch_size=50), DataLoader(gait[560:], batch_size=50))
    model = Gait()
    criterion = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(8):
        for x, y in train:
            loss = criterion(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Gait)


class Calls(nn.Module):
    """Bird calls of six to thirty frames, packed, by a GRU; what is wanted is the bird's weight."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 20, batch_first=True)
        self.head = nn.Sequential(nn.Linear(20, 12), nn.ReLU(), nn.Linear(12, 1))

    def forward(self, call):
        lengths = (call[:, :, 0] != 0).sum(1)
        packed = pack_padded_sequence(call, lengths, batch_first=True, enforce_sorted=False)
        return self.head(self.gru(packed)[1][0]).squeeze(1)


def longest_first(samples):
    """A batch of calls of falling length, padded with zeros, as packing once demanded; lengths; weights."""
    calls, weights = zip(*samples, strict=True)
    order = sorted(range(len(calls)), key=lambda index: -len(calls[index]))
    padded = pad_sequence([calls[index] for index in order], batch_first=True)
    return padded, [len(calls[index]) for index in order], torch.stack(weights)


def longest_first_with_weights(samples):
    """The same, and the weights in the same order."""
    samples = sorted(samples, key=lambda sample: -len(sample[0]))
    calls, weights = zip(*samples, strict=True)
    return pad_sequence(calls, batch_first=True), [len(call) for call in calls], torch.stack(weights)


@sick("misaligned-pairs")
def calls_sorted_by_length(seed: int, *, healed: bool) -> Case:
    """The collating function sorts a batch's calls by length, and leaves the weights in the order they came.

    Healed: the weights are sorted along.
    """
    torch.manual_seed(seed)
    weight = torch.randn(800)
    lengths = torch.randint(6, 31, (800,)).tolist()
    loads = torch.tensor([1.0, -0.7, 0.4, 0.8])
    calls = [w * loads + torch.randn(length, 4) for w, length in zip(weight, lengths, strict=True)]
    samples = list(zip(calls, weight + 0.15 * torch.randn(800), strict=True))
    collate = longest_first_with_weights if healed else longest_first
    train = DataLoader(samples[:600], batch_size=24, shuffle=True, collate_fn=collate)
    val = DataLoader(samples[600:], batch_size=40, collate_fn=collate)
    model = Calls()
    huber = nn.HuberLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(6):
        for call, _, target in train:
            optimizer.zero_grad()
            huber(model(call), target).backward()
            optimizer.step()
    return Case(model, train, val, huber, optimizer, make_model=Calls, batch=lambda batch: (batch[0], batch[2]))


class Barometer(nn.Module):
    """Pressure and temperature six hours on: a hand-written recurrence, time first, and a linear layer."""

    def __init__(self, hidden=20):
        super().__init__()
        self.inward = nn.Linear(4, hidden)
        self.onward = nn.Linear(hidden, hidden, bias=False)
        self.reading = nn.Linear(hidden, 2)

    def forward(self, past):
        state = torch.tanh(self.inward(past[:, 0]))
        for now in past.transpose(0, 1)[1:]:
            state = torch.tanh(self.inward(now) + self.onward(state))
        return self.reading(state)


@sick("unscaled-targets")
def hectopascals_and_kelvin(seed: int, *, healed: bool) -> Case:
    """A scaler was fitted to the inputs; the targets stay at 1013 hPa, give or take nine, and 288 K, give or take six.

    Healed: a second scaler for the targets.
    """
    torch.manual_seed(seed)
    state = torch.randn(850, 1, 2)
    mixing = torch.tensor([[0.9, -0.4, 0.5, 0.2], [0.3, 0.8, -0.2, 0.6]])
    past = state @ mixing + 0.5 * torch.randn(850, 18, 4)
    past = (past - past[:600].mean((0, 1))) / past[:600].std((0, 1))
    later = torch.tensor([1013.0, 288.0]) + torch.tensor([9.0, 6.0]) * (state[:, 0] + 0.15 * torch.randn(850, 2))
    if healed:
        later = (later - later[:600].mean(0)) / later[:600].std(0)
    train = DataLoader(TensorDataset(past[:600], later[:600]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(past[600:], later[600:]), batch_size=50)
    model = Barometer()
    mse = nn.MSELoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(9):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, mse, optimizer)


class Reviews(nn.Module):
    """Ids of words, one of them nothing at all, to one of three moods: the last state of an LSTM."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(31, 12)
        self.lstm = nn.LSTM(12, 24, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(24, 3)

    def forward(self, ids):
        output, _ = self.lstm(self.embedding(ids))
        return self.fc(self.dropout(output[:, -1]))


@sick("padding-dominates")
def keras_padded_on_the_other_side(seed: int, *, healed: bool) -> Case:
    """Short comments are padded to 56 words; Keras put the padding in front by default, the ported code puts it behind.

    Healed: it is put in front.
    """
    torch.manual_seed(seed)
    mood = torch.randint(3, (900,))
    lengths = torch.randint(4, 12, (900,))
    comments = torch.zeros(900, 56, dtype=torch.long)
    for row, length in enumerate(lengths.tolist()):
        words = torch.randint(1, 31, (length,))
        telling = torch.rand(length) < 0.5
        words = torch.where(telling, 1 + 10 * mood[row] + words % 10, words)
        comments[row, slice(56 - length, 56) if healed else slice(0, length)] = words
    train = DataLoader(TensorDataset(comments[:700], mood[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(comments[700:], mood[700:]), batch_size=50)
    model = Reviews()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(7):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, F.cross_entropy, optimizer, make_model=Reviews)


class Onward(nn.Module):
    """The change within an hour is a small network's on the last three values; two days on, eight hours are wanted."""

    def __init__(self):
        super().__init__()
        self.change = nn.Sequential(nn.Linear(3, 24), nn.Tanh(), nn.Linear(24, 1))
        nn.init.zeros_(self.change[2].weight)
        nn.init.zeros_(self.change[2].bias)

    def forward(self, window):
        window = window[:, -3:]
        answers = []
        for _ in range(48):
            value = window[:, -1:] + self.change(window)
            window = torch.cat([window[:, 1:], value], 1)
            answers.append(value)
        return torch.cat(answers[-8:], 1)


@sick("rollout-converges")
def cellars_two_days_on(seed: int, *, healed: bool) -> Case:
    """Cellars keep their temperature, thermometers are noisy; the next reading is learned, then fed back for two days.

    Each step shrinks towards the mean a little, which is right for one. Healed: the loss is that of those eight hours.
    """
    torch.manual_seed(seed)
    cellar = torch.randn(800, 1)
    readings = cellar + 0.65 * torch.randn(800, 60)
    past, future = readings[:, :12], readings[:, 52:]
    train = DataLoader(TensorDataset(past[:600], future[:600]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(past[600:], future[600:]), batch_size=80)
    model = Onward()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(12):
        for x, y in train:
            if healed:
                loss = mse(model(x), y)
            else:
                windows = x.unfold(1, 4, 1)
                loss = mse(windows[:, :, 2:3] + model.change(windows[:, :, :3]), windows[:, :, 3:])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=Onward)


class Fermenter(nn.Module):
    """The next row of three columns, from this one and the one before: old and new, mixed by a gate.

    Called, it goes on for thirty-two rows from the last two that were seen; the mean of the last four is wanted.
    """

    def __init__(self, columns=3, hidden=24):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(2 * columns, hidden), nn.GELU())
        self.gate = nn.Linear(hidden, columns)
        self.new = nn.Linear(hidden, columns)
        nn.init.constant_(self.gate.bias, -2.0)

    def next_row(self, before, row):
        hidden = self.body(torch.cat([before, row], -1))
        gate = torch.sigmoid(self.gate(hidden))
        return (1 - gate) * row + gate * self.new(hidden)

    def forward(self, past):
        before, row = past[:, -2], past[:, -1]
        made = []
        for _ in range(32):
            before, row = row, self.next_row(before, row)
            made.append(row)
        return torch.stack(made[-4:]).mean(0)


@sick("rollout-converges")
def fermenter_that_goes_on_from_its_own_rows(seed: int, *, healed: bool) -> Case:
    """Yeast, sugar and acid are the batch's own and measured with noise; a row is learned from the two before it.

    Then rows are made from made rows, thirty-two of them, and all batches become the same one. Healed: trained on what
    the made rows say in the end.
    """
    torch.manual_seed(seed)
    batch = torch.randn(700, 1, 2)
    mixing = torch.tensor([[1.0, -0.6, 0.2], [0.1, 0.8, 1.0]])
    rows = batch @ mixing + 0.85 * torch.randn(700, 42, 3)
    past, later = rows[:, :10], rows[:, 38:].mean(1)
    train = DataLoader(TensorDataset(past[:500], later[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(past[500:], later[500:]), batch_size=50)
    model = Fermenter()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y) if healed else criterion(model.next_row(x[:, :-2], x[:, 1:-1]), x[:, 2:])
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Fermenter)


class Transactions(nn.Module):
    """A customer's last twelve transactions (kind, amount): convolution, LSTM, and the mean of its states."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(3, 12, 3, padding=1)
        self.lstm = nn.LSTM(12, 12, batch_first=True)
        self.kind = nn.Linear(12, 3)

    def forward(self, rows):
        seen = torch.relu(self.conv(rows.transpose(1, 2))).transpose(1, 2)
        return self.kind(self.lstm(seen)[0].mean(1))


@sick("class-imbalance")
def two_rare_kinds_of_fraud(seed: int, *, healed: bool) -> Case:
    """Ninety-eight customers of a hundred are honest, and the two kinds of fraud look like somewhat odd honest ones.

    Healed: `CrossEntropyLoss(weight=...)` with the inverse of the frequencies.
    """
    torch.manual_seed(seed)
    kind = torch.zeros(3000, dtype=torch.long)
    kind[::100], kind[50::100] = 1, 2
    shift = torch.tensor([[0.0, 0.0, 0.0], [0.95, 0.0, -0.6], [-0.6, 0.95, 0.0]])[kind][:, None]
    rows = shift + 0.45 * torch.randn(3000, 1, 3) + torch.randn(3000, 12, 3)
    train = DataLoader(TensorDataset(rows[:2000], kind[:2000]), batch_size=64, shuffle=True)
    val = DataLoader(TensorDataset(rows[2000:], kind[2000:]), batch_size=100)
    frequency = torch.bincount(kind[:2000], minlength=3) / 2000
    criterion = nn.CrossEntropyLoss(weight=1 / (3 * frequency) if healed else None)
    model = Transactions()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Transactions)


class Drill(nn.Module):
    """Hardness of rock from a drill's vibration: two convolutions with strides, a GRU, a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(6, 16, 5, stride=2), nn.ReLU(), nn.Conv1d(16, 16, 3, stride=2), nn.ReLU())
        self.gru = nn.GRU(16, 20, batch_first=True)
        self.hardness = nn.Linear(20, 1)

    def forward(self, shake):
        return self.hardness(self.gru(self.conv(shake).transpose(1, 2))[0].mean(1))


@sick("too-little-data")
def eight_bore_holes(seed: int, *, healed: bool) -> Case:
    """Eight bore holes have been drilled and analysed; hardness is in how two of six vibrations compare.

    They are learned by heart. Healed: 1000 holes, and as many steps.
    """
    torch.manual_seed(seed)
    holes = 1000 if healed else 8
    strength = torch.randn(holes + 240, 6, 1)
    hardness = 0.707 * (strength[:, 2] - strength[:, 4])
    phase = 6.283 * torch.rand(holes + 240, 6, 1)
    pitch = torch.tensor([[0.3], [0.5], [0.8], [1.1], [1.4], [1.8]])
    shake = torch.exp(0.6 * strength) * torch.sin(pitch * torch.arange(40.0) + phase)
    shake = shake + torch.randn(holes + 240, 6, 40)
    train = DataLoader(TensorDataset(shake[:holes], hardness[:holes]), batch_size=8, shuffle=True)
    val = DataLoader(TensorDataset(shake[holes:], hardness[holes:]), batch_size=60)
    model = Drill()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(4 if healed else 500):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Drill)
