"""Networks that came with the question "why does it predict the same for everything?": what the code did, and some
that their askers only suspected."""

import math

import numpy as np
import torch
from torch import nn, optim
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from zoo.program import Case, healthy, sick


class RMSELoss(nn.Module):
    def __init__(self, eps=1e-6):
        super().__init__()
        self.eps = eps

    def forward(self, yhat, y):
        return torch.sqrt(torch.mean((yhat - y) ** 2) + self.eps)


class WindParkModule(nn.Module):
    """A LightningModule in all but its base."""

    def __init__(self, n_features=3, hidden_size=32, lr=4e-3):
        super().__init__()
        self.lr = lr
        self.lstm = nn.LSTM(n_features, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)
        self.criterion = RMSELoss()

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        return self.head(h_n[-1])

    def training_step(self, batch):
        x, y = batch
        return self.criterion(self(x), y)

    def configure_optimizers(self):
        return optim.Adam(self.parameters(), lr=self.lr)


@sick("loss-broadcast")
def power_of_a_wind_park_by_rmse(seed: int, *, healed: bool) -> Case:
    """Forecasts a wind park's power from columns of a table, with an RMSE loss found in an answer.

    The model answers (N, 1), the column of targets is (N,), and the loss takes all N times N differences. Healed: the
    targets are given their second axis.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    df = {name: np.zeros(1250) for name in ("wind", "gust", "temperature")}
    for t in range(1, 1250):
        df["wind"][t] = 0.8 * df["wind"][t - 1] + 0.6 * rng.normal()
        df["temperature"][t] = 0.8 * df["temperature"][t - 1] + 0.6 * rng.normal()
        df["gust"][t] = 0.7 * df["wind"][t] + 0.7 * rng.normal()
    df["power"] = 1.2 * np.tanh(df["wind"]) - 0.3 * df["temperature"] + 0.05 * rng.normal(size=1250)
    columns = np.stack([df["wind"], df["gust"], df["temperature"]], axis=1)
    x = np.stack([columns[i : i + 18] for i in range(1230)])
    y = df["power"][17 : 17 + 1230]
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    if healed:
        y = y.unsqueeze(1)
    train_loader = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[930:], y[930:]), batch_size=60)
    model = WindParkModule()
    optimizer = model.configure_optimizers()
    for _ in range(9):
        for batch in train_loader:
            optimizer.zero_grad()
            model.training_step(batch).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, model.criterion, optimizer, WindParkModule)


class PrimerNet(nn.Module):
    """Bases as ids, embedded, read by a GRU; its last step is asked."""

    def __init__(self, batch_first):
        super().__init__()
        self.embedding = nn.Embedding(4, 8)
        self.gru = nn.GRU(8, 24, batch_first=batch_first)
        self.fc1 = nn.Linear(24, 16)
        self.fc2 = nn.Linear(16, 1)

    def forward(self, bases):
        output, _ = self.gru(self.embedding(bases))
        return self.fc2(torch.relu(self.fc1(output[:, -1, :]))).squeeze(1)


@sick("batch-as-time")
def melting_points_of_primers(seed: int, *, healed: bool) -> Case:
    """Predicts a primer's melting point from its bases; ids are (batch, length), and the GRU runs along the batch.

    Each base is read after the same position of the other primers, and the last base alone says little. Healed: the GRU
    is told batch_first.
    """
    torch.manual_seed(seed)
    bases = torch.randint(4, (1000, 22))
    bond = torch.tensor([-1.1, 0.9, 1.2, -0.9])
    stacking = 0.5 * (bases[:, 1:] == bases[:, :-1]).float().sum(1)
    melting = bond[bases].sum(1) + stacking + 0.3 * torch.randn(1000)
    melting = (melting - melting.mean()) / melting.std()
    train = DataLoader(TensorDataset(bases[:750], melting[:750]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(bases[750:], melting[750:]), batch_size=50)
    model = PrimerNet(batch_first=healed)
    loss_fn = nn.SmoothL1Loss()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        for x, y in train:
            loss = loss_fn(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, lambda: PrimerNet(batch_first=healed))


class CnnLstm(nn.Module):
    """A convolution over each frame, an LSTM (time first) over the frames of a clip, three classes."""

    def __init__(self, swap):
        super().__init__()
        self.swap = swap
        self.cnn = nn.Sequential(nn.Conv1d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool1d(2), nn.Flatten())
        self.rnn = nn.LSTM(36, 24)
        self.classifier = nn.Linear(24, 3)

    def forward(self, clips):
        batch_size, timesteps, channels, width = clips.size()
        c_out = self.cnn(clips.view(batch_size * timesteps, channels, width))
        if self.swap:
            r_in = c_out.view(batch_size, timesteps, -1).transpose(0, 1)
        else:
            r_in = c_out.view(timesteps, batch_size, -1)
        r_out, _ = self.rnn(r_in)
        return self.classifier(r_out[-1])


@sick("samples-mixed")
def where_the_dot_is_going(seed: int, *, healed: bool) -> Case:
    """Classifies clips of a moving dot, left, still, right; a CNN on all frames at once, then an LSTM on those.

    The features, clip by clip, are viewed as (time, batch, features), which deals the frames of one clip out to many.
    Healed: they are viewed as (batch, time, features) and transposed.
    """
    torch.manual_seed(seed)
    label = torch.randint(3, (840,))
    start = 4.5 + 3 * torch.rand(840)
    place = start.unsqueeze(1) + 0.45 * (label - 1).unsqueeze(1) * torch.arange(9)
    pixels = torch.exp(-((torch.arange(12) - place.unsqueeze(2)) ** 2)) + 0.1 * torch.randn(840, 9, 12)
    clips = pixels.unsqueeze(2)
    train = DataLoader(TensorDataset(clips[:640], label[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(clips[640:], label[640:]), batch_size=40)
    model = CnnLstm(swap=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: CnnLstm(swap=healed))


class PartNumberClassifier(nn.Module):
    """Keeps its hidden state as an attribute, as tutorials once did."""

    def __init__(self, reset):
        super().__init__()
        self.reset = reset
        self.embed = nn.Embedding(12, 12)
        self.gru = nn.GRU(12, 32, batch_first=True)
        self.out = nn.Linear(32, 3)
        self.hidden = None

    def init_hidden(self, batch_size):
        self.hidden = torch.zeros(1, batch_size, 32)

    def forward(self, chars):
        if self.reset or self.hidden is None or self.hidden.size(1) != chars.size(0):
            self.init_hidden(chars.size(0))
        output, hidden = self.gru(self.embed(chars), self.hidden)
        self.hidden = hidden.detach()
        return self.out(output[:, -1])


@sick("state-leak")
def part_numbers_by_their_first_character(seed: int, *, healed: bool) -> Case:
    """A character-level model says to which of three families a part number belongs; its first character tells.

    The hidden state is an attribute that is detached but never set back, so that each number is read on as the
    continuation of another one and has no beginning. Healed: each batch begins from zeros.
    """
    torch.manual_seed(seed)
    chars = torch.randint(12, (1200, 12))
    family = chars[:, 0] // 4
    train = DataLoader(TensorDataset(chars[:1000], family[:1000]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(chars[1000:], family[1000:]), batch_size=20)
    model = PartNumberClassifier(reset=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: PartNumberClassifier(reset=healed))


class LSTM1(nn.Module):
    """The stock forecaster of a tutorial, typed over."""

    def __init__(self, input_size, hidden_size, num_layers, *, typo):
        super().__init__()
        self.num_layers, self.hidden_size, self.typo = num_layers, hidden_size, typo
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.fc_1 = nn.Linear(hidden_size, 32)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        h_0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        c_0 = torch.zeros(self.num_layers, x.size(0), self.hidden_size)
        _, (h_n, _) = self.lstm(x, (h_0, c_0))
        out = h_0[-1] if self.typo else h_n[-1]
        return self.fc(self.relu(self.fc_1(self.relu(out))))


@sick("input-never-arrives")
def closing_prices_from_h_0(seed: int, *, healed: bool) -> Case:
    """Forecasts tomorrow's close from 20 days of open, high, low, close and volume, all scaled to [0, 1].

    The head is given h_0, the zeros that the LSTM began with, instead of the h_n that it returned. Healed: h_n.
    """
    torch.manual_seed(seed)
    days = 1100
    close, volume = torch.zeros(days), torch.randn(days).abs()
    for day in range(1, days):
        close[day] = 0.95 * close[day - 1] + 0.3 * torch.randn(())
    opened = close.roll(1) + 0.05 * torch.randn(days)
    high = torch.maximum(opened, close) + 0.1 * torch.rand(days)
    low = torch.minimum(opened, close) - 0.1 * torch.rand(days)
    table = torch.stack([opened, high, low, close, volume], dim=1)[1:]
    table = (table - table.min(0).values) / (table.max(0).values - table.min(0).values)
    windows = table[:-1].unfold(0, 20, 1).transpose(1, 2)
    following = table[20:, 3:4]
    order = torch.randperm(len(windows))
    windows, following = windows[order], following[order]
    train = DataLoader(TensorDataset(windows[:800], following[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(windows[800:], following[800:]), batch_size=40)

    def fresh():
        return LSTM1(5, 24, 2, typo=not healed)

    model = fresh()
    criterion = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, fresh)


class TokenTransformer(nn.Module):
    """A transformer in which a learned token gathers the window for the head."""

    def __init__(self, token_last, length=16, d_model=24):
        super().__init__()
        self.token_last = token_last
        self.project = nn.Linear(2, d_model)
        self.token = nn.Parameter(torch.randn(1, 1, d_model))
        self.position = nn.Parameter(0.2 * torch.randn(1, length + 1, d_model))
        layer = nn.TransformerEncoderLayer(d_model, 2, 48, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Linear(d_model, 1)

    def forward(self, x):
        token = self.token.expand(len(x), -1, -1)
        parts = [self.project(x), token] if self.token_last else [token, self.project(x)]
        z = torch.cat(parts, dim=1) + self.position
        mask = nn.Transformer.generate_square_subsequent_mask(z.size(1))
        z = self.encoder(z, mask=mask)
        return self.head(z[:, -1] if self.token_last else z[:, 0])


@sick("wrong-timestep", "input-never-arrives")
def class_token_under_a_causal_mask(seed: int, *, healed: bool) -> Case:
    """Regresses a battery's state of health on voltage and current, with a transformer that reads off a learned token.

    The token stands in front, as in vision, but the mask is causal, as in forecasting: the token sees only itself.
    Healed: the token stands behind the window.
    """
    torch.manual_seed(seed)
    health = torch.randn(900, 1)
    current = torch.randn(900, 16)
    voltage = 0.7 * health - 0.5 * current + 0.4 * torch.randn(900, 16)
    x = torch.stack([voltage, current], dim=2)
    train = DataLoader(TensorDataset(x[:700], health[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], health[700:]), batch_size=50)
    model = TokenTransformer(token_last=healed)
    criterion = nn.MSELoss()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(8):
        for inputs, targets in train:
            loss = criterion(model(inputs), targets)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: TokenTransformer(token_last=healed))


class SineWindows(Dataset):
    """Windows of sines of any phase and of some pitch, and the value that follows each."""

    def __init__(self, count, length):
        t = torch.arange(length + 1)
        pitch = 0.25 + 0.25 * torch.rand(count, 1)
        waves = torch.sin(pitch * t + 2 * math.pi * torch.rand(count, 1)) + 0.05 * torch.randn(count, length + 1)
        self.x, self.y = waves[:, :-1].unsqueeze(2), waves[:, -1:]

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


class SineRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 24, batch_first=True)
        self.linear = nn.Linear(24, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.linear(out[:, -1])


@sick("frozen-weights")
def three_folds_and_one_optimizer(seed: int, *, healed: bool) -> Case:
    """Cross-validates a small RNN on sines; each fold makes a new model, and the last one is kept.

    The optimizer is made once, before the folds, of the parameters of a model that is then replaced. Healed: each fold
    makes its own.
    """
    torch.manual_seed(seed)
    data = SineWindows(600, 14)
    folds = torch.randperm(600).view(3, 200)
    criterion = nn.MSELoss()
    model = SineRNN()
    optimizer = optim.Adam(model.parameters(), lr=6e-3)
    for held_out in range(3):
        if held_out > 0:
            model = SineRNN()
            if healed:
                optimizer = optim.Adam(model.parameters(), lr=6e-3)
        kept = torch.cat([folds[k] for k in range(3) if k != held_out])
        train = DataLoader(Subset(data, kept.tolist()), batch_size=20, shuffle=True)
        val = DataLoader(Subset(data, folds[held_out].tolist()), batch_size=50)
        for _ in range(8):
            for x, y in train:
                optimizer.zero_grad()
                criterion(model(x), y).backward()
                optimizer.step()
    return Case(model, train, val, criterion, optimizer, SineRNN)


class FallDetector(nn.Module):
    """Two layers of GRU on an accelerometer's three axes; one probability."""

    def __init__(self, activation):
        super().__init__()
        self.gru = nn.GRU(3, 16, num_layers=2, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1))
        self.activation = activation

    def forward(self, x):
        _, h = self.gru(x)
        return self.activation(self.dense(h[-1]))


@sick("head-range")
def softmax_over_one_output(seed: int, *, healed: bool) -> Case:
    """Detects falls, half of the samples, with one output and binary cross-entropy.

    A softmax over the one output makes it 1, whatever it was. Healed: a sigmoid.
    """
    torch.manual_seed(seed)
    fell = (torch.rand(800, 1) < 0.5).float()
    shock = 1.6 * fell.unsqueeze(2) * (torch.arange(20) - 8 - torch.randint(7, (800, 1))).unsqueeze(2).clamp(0, 2)
    x = 0.5 * torch.randn(800, 20, 3) + shock * torch.tensor([0.2, -0.6, 1.0])
    train = DataLoader(TensorDataset(x[:600], fell[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], fell[600:]), batch_size=50)

    def fresh():
        return FallDetector(nn.Sigmoid() if healed else nn.Softmax(dim=1))

    model = fresh()
    bce = nn.BCELoss()
    optimizer = optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(6):
        for inputs, targets in train:
            optimizer.zero_grad()
            bce(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, bce, optimizer, fresh)


class DollarForecaster(nn.Module):
    """Takes and answers dollars; scales and unscales them itself."""

    def __init__(self, mean, std):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)
        self.lstm = nn.LSTM(1, 24, batch_first=True)
        self.head = nn.Linear(24, 1)

    def forward(self, dollars):
        out, _ = self.lstm((dollars - self.mean) / self.std)
        return self.mean + self.std * self.head(out[:, -1])


@healthy
def a_loss_of_a_million_square_dollars(seed: int) -> Case:
    """Forecasts a coin's price, tens of thousands of dollars, under a squared loss whose values are frightful.

    The model subtracts the mean from what it is given and adds it to what it answers, and its forecasts are good.
    """
    torch.manual_seed(seed)
    swing = torch.zeros(1000)
    for hour in range(2, 1000):
        swing[hour] = 1.6 * swing[hour - 1] - 0.68 * swing[hour - 2] + 0.3 * torch.randn(())
    price = 41_000 + 5_500 * swing / swing.std()
    windows, following = price[:-1].unfold(0, 20, 1).unsqueeze(2), price[20:].unsqueeze(1)
    train = DataLoader(TensorDataset(windows[:700], following[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(windows[720:], following[720:]), batch_size=52)
    model = DollarForecaster(price[:720].mean(), price[:720].std())
    loss_fn = nn.MSELoss()
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        for x, y in train:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    fresh = [price[:720].mean(), price[:720].std()]
    return Case(model, train, val, loss_fn, optimizer, lambda: DollarForecaster(*fresh))


class Seq2Seq(nn.Module):
    """The encoder's state, then a decoder fed with its own last answer; zero begins."""

    def __init__(self, horizon=6, hidden=28):
        super().__init__()
        self.horizon = horizon
        self.encoder = nn.GRU(1, hidden, batch_first=True)
        self.decoder = nn.GRUCell(1, hidden)
        self.out = nn.Linear(hidden, 1)

    def forward(self, src):
        _, hidden = self.encoder(src)
        hidden = hidden.squeeze(0)
        token = torch.zeros(src.size(0), 1)
        outputs = []
        for _ in range(self.horizon):
            hidden = self.decoder(token, hidden)
            token = self.out(hidden)
            outputs.append(token)
        return torch.cat(outputs, dim=1)


@healthy
def decoder_that_begins_with_a_zero(seed: int) -> Case:
    """Forecasts six steps of sines with an encoder and a decoder; its asker suspects the zero that begins it.

    All that is known of the window comes in the state, which is enough.
    """
    torch.manual_seed(seed)
    t = torch.arange(24)
    pitch, phase = 0.3 + 0.3 * torch.rand(900, 1), 2 * math.pi * torch.rand(900, 1)
    waves = torch.sin(pitch * t + phase) + 0.05 * torch.randn(900, 24)
    src, trg = waves[:, :18].unsqueeze(2), waves[:, 18:]
    train = DataLoader(TensorDataset(src[:720], trg[:720]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(src[720:], trg[720:]), batch_size=60)
    model = Seq2Seq()
    criterion = nn.L1Loss()
    optimizer = optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            loss = criterion(model(x), y)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, Seq2Seq)


class MachineStates(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 20)
        self.fc = nn.Linear(20, 4)

    def forward(self, x):
        x = x.permute(1, 0, 2)
        out, _ = self.lstm(x)
        return self.fc(out[-1])


@healthy
def twenty_five_by_twenty_five(seed: int) -> Case:
    """Tells four states of a machine from 25 readings, in batches of 25, with an LSTM that has no batch_first.

    The axes are swapped before the LSTM, and the last step is read from the first axis, as it should be; that batch and
    window are equally long would hide the contrary.
    """
    torch.manual_seed(seed)
    state = torch.randint(4, (900,))
    means = torch.tensor([[0.5, 0.0, 0.0, -0.5], [0.0, 0.5, -0.5, 0.0], [-0.5, 0.0, 0.5, 0.0], [0.0, -0.5, 0.0, 0.5]])
    x = means[state].unsqueeze(1) + torch.randn(900, 25, 4)
    train = DataLoader(TensorDataset(x[:700], state[:700]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], state[700:]), batch_size=25)
    model = MachineStates()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(6):
        for inputs, labels in train:
            optimizer.zero_grad()
            criterion(model(inputs), labels).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, MachineStates)


class BackwardReader(nn.Module):
    """Of a bidirectional GRU only what its backward direction knows at the first step."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 20, batch_first=True, bidirectional=True)
        self.head = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 1), nn.Softplus())

    def forward(self, x):
        out, _ = self.gru(x)
        return self.head(out[:, 0, 20:])


@healthy
def first_step_of_the_backward_direction(seed: int) -> Case:
    """Estimates how much rain a storm still holds from its first half hour, newest minute first.

    The first step is read, but of the backward direction, which has seen all minutes by then; and a softplus ends it,
    for what is asked cannot be negative. A third of the answers are zero.
    """
    torch.manual_seed(seed)
    rate = torch.randn(900, 30, 2)
    rate[:, :, 0] += 0.8 * torch.randn(900, 1)
    rest = 1.5 * (rate[:, :, 0].mean(1, keepdim=True) + 0.4 * rate[:, :10, 1].mean(1, keepdim=True) + 0.4)
    rest = (rest + 0.1 * torch.randn(900, 1)).clamp(min=0)
    train = DataLoader(TensorDataset(rate[:700], rest[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(rate[700:], rest[700:]), batch_size=50)
    model = BackwardReader()
    criterion = nn.HuberLoss()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, BackwardReader)
