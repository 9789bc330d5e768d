"""Networks that came with the question "why does it predict the same for everything?": what was in their data, and
some that had nothing better to say."""

import hashlib
import math

import numpy as np
import torch
from torch import nn, optim
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, rightly_flat, sick


class GreenhouseModel(nn.Module):
    """A LightningModule in all but its base: a bidirectional GRU, the mean over time, one output."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 20, batch_first=True, bidirectional=True)
        self.head = nn.Linear(40, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0].mean(dim=1)).squeeze(-1)

    def training_step(self, batch):
        x, y = batch
        return nn.functional.mse_loss(self(x), y)

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=4e-3)


@sick("unscaled-inputs")
def unix_time_among_the_features(seed: int, *, healed: bool) -> Case:
    """Forecasts a greenhouse's humidity from a table whose first column is the time of each reading.

    All columns become features as they are, the time too: seconds since 1970, some 1.7e9 in every row. Healed: all
    columns are standardised.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = 1100
    df = {"timestamp": 1_700_000_000 + 600.0 * np.arange(rows)}
    vent, sun = np.zeros(rows), np.zeros(rows)
    for t in range(1, rows):
        vent[t] = 0.8 * vent[t - 1] + 0.6 * rng.normal()
        sun[t] = 0.8 * sun[t - 1] + 0.6 * rng.normal()
    df["temperature"] = 0.8 * sun + 0.2 * rng.normal(size=rows)
    df["vent"], df["light"] = vent, sun + 0.3 * rng.normal(size=rows)
    table = np.stack(list(df.values()), axis=1)
    if healed:
        table = (table - table.mean(axis=0)) / table.std(axis=0)
    starts = rng.permutation(rows - 16)
    x = torch.tensor(np.stack([table[i : i + 12] for i in starts]), dtype=torch.float32)
    dryness = [vent[i : i + 12].mean() + 0.7 * sun[i : i + 12].mean() for i in starts]
    y = torch.tensor(np.stack(dryness), dtype=torch.float32)
    y = (y - y.mean()) / y.std() + 0.1 * torch.randn(len(y))
    train_loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=71)
    model = GreenhouseModel()
    optimizer = model.configure_optimizers()
    for _ in range(5):
        for batch in train_loader:
            loss = model.training_step(batch)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.functional.mse_loss, optimizer, GreenhouseModel)


class SplitTimes(nn.Module):
    """A GRU over the first ten kilometres, attention pooling, the times at three later points."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 24, batch_first=True)
        self.score = nn.Linear(24, 1)
        self.head = nn.Linear(24, 3)

    def forward(self, kilometres):
        out, _ = self.gru(kilometres)
        weights = torch.softmax(self.score(out), dim=1)
        return self.head((weights * out).sum(dim=1))


@sick("unscaled-targets")
def marathon_in_seconds(seed: int, *, healed: bool) -> Case:
    """Predicts when a runner passes half, thirty and forty-two kilometres, from pace and pulse over the first ten.

    Pace and pulse are standardised, the times are seconds, in the thousands. Healed: the times are standardised.
    """
    torch.manual_seed(seed)
    fitness = torch.randn(1000, 1)
    pace = fitness + 0.5 * torch.randn(1000, 12)
    pulse = 0.5 * torch.randn(1000, 1) + 0.5 * torch.randn(1000, 12)
    x = torch.stack([pace, pulse], dim=2)
    fade = torch.tensor([0.05, 0.2, 0.35]) * pulse.mean(1, keepdim=True)
    seconds = torch.tensor([6300.0, 9200.0, 13500.0]) * (1 + 0.12 * fitness + 0.12 * fade)
    if healed:
        seconds = (seconds - seconds.mean(0)) / seconds.std(0)
    train = DataLoader(TensorDataset(x[:760], seconds[:760]), batch_size=38, shuffle=True)
    val = DataLoader(TensorDataset(x[760:], seconds[760:]), batch_size=60)
    model = SplitTimes()
    criterion = nn.HuberLoss()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(10):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, SplitTimes)


class BirdNet(nn.Module):
    """A strided convolution before an LSTM; which of four birds."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 12, 5, stride=2)
        self.lstm = nn.LSTM(12, 24, batch_first=True)
        self.fc = nn.Linear(24, 4)

    def forward(self, x):
        features = torch.relu(self.conv(x.unsqueeze(1)))
        out, _ = self.lstm(features.transpose(1, 2))
        return self.fc(out.mean(dim=1))


def read_recordings(recordings, labels, key):
    """The files in the order of their names, beside the rows of the table of labels."""
    names = sorted(recordings, key=key)
    return TensorDataset(torch.stack([recordings[name] for name in names]), labels)


@sick("misaligned-pairs")
def recording_10_comes_before_recording_2(seed: int, *, healed: bool) -> Case:
    """Classifies recordings of four birds, one file each; labels are the rows of a table, by number.

    The files are sorted by their names, so that rec_10 comes before rec_2, and nearly all get another one's label.
    Healed: they are sorted by the number in their names.
    """
    torch.manual_seed(seed)
    bird = torch.randint(4, (940,))
    pitch = torch.tensor([0.5, 0.9, 1.4, 2.0])[bird].unsqueeze(1) * (1 + 0.05 * torch.randn(940, 1))
    calls = torch.sin(pitch * torch.arange(40) + 2 * math.pi * torch.rand(940, 1)) + 0.2 * torch.randn(940, 40)
    key = (lambda name: int(name.removeprefix("rec_").removesuffix(".wav"))) if healed else None
    recordings = {f"rec_{i}.wav": calls[i] for i in range(700)}
    held_out = {f"rec_{i}.wav": calls[700 + i] for i in range(240)}
    train = DataLoader(read_recordings(recordings, bird[:700], key), batch_size=28, shuffle=True)
    val = DataLoader(read_recordings(held_out, bird[700:], key), batch_size=60)
    model = BirdNet()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, BirdNet)


class GlucoseLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.linear = nn.Linear(16, 1)

    def forward(self, day):
        _, (h, _) = self.lstm(day)
        return self.linear(h[0])


@sick("train-eval-mismatch")
def each_new_patient_scaled_alone(seed: int, *, healed: bool) -> Case:
    """Estimates long-term sugar from a day of glucose readings, which differ between patients above all in level.

    The scaler was fitted to all of training; as new patients come one by one, it is fitted anew to each one's day,
    which takes the level away. Healed: the scaler of training serves the new patients too.
    """
    torch.manual_seed(seed)
    level = 120 + 25 * torch.randn(900, 1)
    days = level + 35 * torch.randn(900, 24)
    sugar = (level - 120) / 25 + 0.15 * torch.randn(900, 1)
    scaled = (days - days[:700].mean()) / days[:700].std()
    alone = (days - days.mean(1, keepdim=True)) / days.std(1, keepdim=True)
    new = scaled[700:] if healed else alone[700:]
    train = DataLoader(TensorDataset(scaled[:700].unsqueeze(2), sugar[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(new.unsqueeze(2), sugar[700:]), batch_size=50)
    model = GlucoseLSTM()
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(14):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, GlucoseLSTM)


class CanalModel(nn.Module):
    """All steps' outputs of an LSTM, flattened, into two dense layers."""

    def __init__(self, seq_len):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, batch_first=True)
        self.dense = nn.Sequential(nn.Flatten(), nn.Linear(16 * seq_len, 24), nn.ReLU(), nn.Linear(24, 1))

    def forward(self, x):
        return self.dense(self.lstm(x)[0])


@sick("window-too-short")
def water_that_is_twelve_gates_away(seed: int, *, healed: bool) -> Case:
    """Forecasts the inflow at the end of a canal from the gate's discharge and the rain, by sliding windows.

    The water is on its way for ten to thirteen steps, and seq_len is 8, as in the tutorial. Healed: seq_len is 20.
    """
    torch.manual_seed(seed)
    discharge, rain = torch.randn(1100), torch.rand(1100) - 0.5
    inflow = 0.1 * torch.randn(1100)
    for lag, share in ((10, 0.4), (11, 0.6), (12, 0.5), (13, 0.4)):
        inflow[20:] += share * discharge[20 - lag : -lag]
    seq_len = 20 if healed else 8
    table = torch.stack([discharge, rain], dim=1)
    x = torch.stack([table[end - seq_len : end] for end in range(20, 1100)])
    y = inflow[20:].unsqueeze(1)
    train = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[820:], y[820:]), batch_size=65)
    model = CanalModel(seq_len)
    criterion = nn.MSELoss()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(6):
        for inputs, targets in train:
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: CanalModel(seq_len))


class PulseNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 24, num_layers=2, batch_first=True)
        self.out = nn.Linear(24, 3)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


def slide(stream, length, ahead, copy):
    """What a ring buffer of `length` held after each new value of the stream, and the `ahead` values that followed."""
    buffer = np.zeros(length, dtype=np.float32)
    windows, targets = [], []
    for i in range(len(stream) - ahead):
        buffer[:-1] = buffer[1:]
        buffer[-1] = stream[i]
        if i >= length - 1:
            windows.append(buffer.copy() if copy else buffer)
            targets.append(stream[i + 1 : i + 1 + ahead])
    x, y = np.stack(windows), np.stack(targets).astype(np.float32)
    return TensorDataset(torch.from_numpy(x).unsqueeze(2), torch.from_numpy(y))


@sick("redundant-inputs")
def one_buffer_appended_again_and_again(seed: int, *, healed: bool) -> Case:
    """Forecasts three steps of a pulse wave from windows collected with a buffer through which the stream is shifted.

    The list holds the same buffer many times, and all windows are what it held at the end. Healed: a copy is appended.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    phase = np.cumsum(0.35 + 0.05 * rng.normal(size=1000))
    stream = np.sin(phase) + 0.3 * np.sin(2 * phase) + 0.05 * rng.normal(size=1000)
    train = DataLoader(slide(stream[:750], 16, 3, copy=healed), batch_size=32, shuffle=True)
    val = DataLoader(slide(stream[750:], 16, 3, copy=healed), batch_size=50)
    model = PulseNet()
    criterion = nn.SmoothL1Loss()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, PulseNet)


class LotteryLSTM(nn.Module):
    """The last draws of three digits, and the next."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 24, batch_first=True)
        self.dropout = nn.Dropout(0.1)
        self.dense = nn.Linear(24, 3)

    def forward(self, draws):
        _, (h, _) = self.lstm(draws)
        return self.dense(self.dropout(h[-1]))


@sick("no-signal")
def numbers_of_the_next_draw(seed: int, *, healed: bool) -> Case:
    """Predicts the next three digits of a lottery from its last 15 draws, in the hope that they follow from them.

    The draws are independent. Healed: those of a worn machine, whose balls fall near where they fell before.
    """
    torch.manual_seed(seed)
    drawn = torch.randint(10, (1000, 3)).float()
    if healed:
        where = torch.zeros(1000, 3)
        for draw in range(1, 1000):
            where[draw] = 0.93 * where[draw - 1] + 0.37 * torch.randn(3)
        drawn = (4.5 + 2.4 * where).round().clamp(0, 9)
    drawn = (drawn - drawn.mean(0)) / drawn.std(0)
    windows, following = drawn[:-1].unfold(0, 15, 1).transpose(1, 2), drawn[15:]
    order = torch.randperm(len(windows))
    windows, following = windows[order], following[order]
    train = DataLoader(TensorDataset(windows[:750], following[:750]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(windows[750:], following[750:]), batch_size=47)
    model = LotteryLSTM()
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(8):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, LotteryLSTM)


class StrokeRNN(nn.Module):
    """Strokes of a pen, read to the end of the row by a plain RNN; three scores."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 24, batch_first=True)
        self.scores = nn.Linear(24, 3)

    def forward(self, strokes):
        out, _ = self.rnn(strokes)
        return self.scores(out[:, -1])


class PadTo:
    """Collates sequences of any length into rows of 60, as a framework left behind did, or behind the sequences."""

    def __init__(self, before):
        self.before = before

    def __call__(self, samples):
        sequences, labels = zip(*samples, strict=True)
        if self.before:
            padded = pad_sequence([*(s.flip(0) for s in sequences), torch.zeros(60, 2)], batch_first=True).flip(1)
        else:
            padded = pad_sequence([*sequences, torch.zeros(60, 2)], batch_first=True)
        return padded[:-1], torch.stack(labels)


@sick("padding-dominates")
def strokes_padded_the_other_way_than_in_keras(seed: int, *, healed: bool) -> Case:
    """Tells strokes to the left, to the right and round, 5 to 12 points each, in rows of 60, with pad_sequence.

    Keras had padded in front; pad_sequence pads behind, and what the RNN is asked for comes after fifty zeros. Healed:
    the zeros are in front again.
    """
    torch.manual_seed(seed)
    samples = []
    for _ in range(700):
        label, length = torch.randint(3, ()), int(torch.randint(5, 13, ()))
        steps = torch.randn(length, 2) * 0.5
        steps[:, 0] += (label - 1) * 0.8
        steps[:, 1] += (label == 1) * 0.8
        samples.append((steps, label))
    collate = PadTo(before=healed)
    train = DataLoader(samples[:520], batch_size=26, shuffle=True, collate_fn=collate)
    val = DataLoader(samples[520:], batch_size=60, collate_fn=collate)
    model = StrokeRNN()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, StrokeRNN)


def pinball(prediction, target):
    error = target - prediction
    return torch.maximum(0.1 * error, -0.9 * error).mean()


class QuantileGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 16, batch_first=True)
        self.q10 = nn.Linear(16, 1)

    def forward(self, x):
        return self.q10(self.gru(x)[1].squeeze(0))


@rightly_flat
def tenth_percentile_of_a_steady_noise(seed: int) -> Case:
    """Answers the value that tomorrow's error stays above nine times of ten; errors are independent and equally wide.

    That value is the same on each day, and asked for as a margin of safety.
    """
    torch.manual_seed(seed)
    errors = torch.randn(1300)
    x, y = errors[:-1].unfold(0, 12, 1).unsqueeze(2), errors[12:].unsqueeze(1)
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[1020:], y[1020:]), batch_size=67)
    model = QuantileGRU()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        for inputs, targets in train:
            optimizer.zero_grad()
            pinball(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, pinball, optimizer, QuantileGRU)


class GeigerLSTM(nn.Module):
    """The logarithm of the counts to be expected."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.log_rate = nn.Linear(16, 1)

    def forward(self, counts):
        return self.log_rate(self.lstm(torch.log1p(counts))[0][:, -1])


@rightly_flat
def clicks_of_a_geiger_counter(seed: int) -> Case:
    """Forecasts the clicks of the next ten seconds from those before, under a Poisson likelihood.

    The source decays too slowly for anybody to notice, and clicks come independently: the rate is all there is to know.
    """
    torch.manual_seed(seed)
    clicks = torch.poisson(torch.full((1250,), 5.0))
    x, y = clicks[:-1].unfold(0, 20, 1).unsqueeze(2), clicks[20:].unsqueeze(1)
    train = DataLoader(TensorDataset(x[:950], y[:950]), batch_size=38, shuffle=True)
    val = DataLoader(TensorDataset(x[970:], y[970:]), batch_size=65)
    model = GeigerLSTM()
    criterion = nn.PoissonNLLLoss()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(6):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, GeigerLSTM)


class GroupGuesser(nn.Module):
    def __init__(self):
        super().__init__()
        self.pages = nn.Embedding(9, 8)
        self.gru = nn.GRU(8, 16, batch_first=True)
        self.logit = nn.Linear(16, 1)

    def forward(self, visits):
        return self.logit(self.gru(self.pages(visits))[0].mean(1))


@rightly_flat
def which_arm_of_an_a_a_test(seed: int) -> Case:
    """Tries to tell the two arms of a test apart by the pages that people visited; both arms got the same site.

    A half for everyone is the answer that shows that people were assigned fairly.
    """
    torch.manual_seed(seed)
    habits = torch.rand(1200, 9).softmax(1)
    visits = torch.multinomial(habits, 14, replacement=True)
    arm = (torch.randperm(1200) % 2).float().unsqueeze(1)
    train = DataLoader(TensorDataset(visits[:900], arm[:900]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(visits[900:], arm[900:]), batch_size=60)
    model = GroupGuesser()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(4):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, GroupGuesser)


class CharRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(16, 12)
        self.rnn = nn.RNN(12, 24, batch_first=True)
        self.decode = nn.Linear(24, 16)

    def forward(self, chars):
        return self.decode(self.rnn(self.embed(chars))[0][:, -1])


@rightly_flat
def next_character_of_a_digest(seed: int) -> Case:
    """A character-level model on the hexadecimal digests of a file's lines; which of 16 comes next, given 12.

    It was asked whether the digest is any good: all characters are equally likely, whatever came before.
    """
    torch.manual_seed(seed)
    lines = [hashlib.sha256(f"{seed}, line {i}".encode()).hexdigest() for i in range(320)]
    ids = torch.tensor([[int(char, 16) for char in line] for line in lines])
    windows = ids.unfold(1, 13, 13).reshape(-1, 13)
    x, y = windows[:, :12], windows[:, 12]
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=70)
    model = CharRNN()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(4):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, CharRNN)
