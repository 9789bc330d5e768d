"""Programs with which nothing is wrong, though they are deep, tied, stateful, dropped out or time first."""

import operator

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy


class ResidualStack(nn.Module):
    """Eight recurrent layers, each of which adds to what the one before it said."""

    def __init__(self, width=12, depth=8):
        super().__init__()
        self.enter = nn.Linear(1, width)
        self.layers = nn.ModuleList(nn.RNN(width, width, batch_first=True) for _ in range(depth))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(depth))
        self.leave = nn.Linear(width, 1)

    def forward(self, x):
        x = self.enter(x)
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))[0]
        return self.leave(x[:, -1])


@healthy
def eight_residual_layers(seed: int) -> Case:
    """Eight layers of tanh on windows of ten steps, which residual connections keep alive."""
    torch.manual_seed(seed)
    steps = torch.arange(1100)
    series = torch.sin(steps / 3 + 6 * torch.rand(())) + 0.7 * torch.sin(steps / 8) + 0.15 * torch.randn(1100)
    windows = series.unfold(0, 11, 1)
    x, y = windows[:, :10, None], windows[:, 10:]
    train_loader = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=80, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[820:], y[820:]), batch_size=90)
    model = ResidualStack()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(5):
        for past, following in train_loader:
            optimizer.zero_grad()
            F.mse_loss(model(past), following).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, ResidualStack)


class Accumulator(nn.Module):
    """A relu RNN that starts as an accumulator: the identity, and small input weights."""

    def __init__(self, size=20):
        super().__init__()
        self.rnn = nn.RNN(2, size, nonlinearity="relu", batch_first=True)
        self.total = nn.Linear(size, 1)
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(torch.eye(size))
            self.rnn.weight_ih_l0.normal_(0, 0.15)
            self.rnn.bias_ih_l0.zero_()
            self.rnn.bias_hh_l0.zero_()

    def forward(self, x):
        out, hidden = self.rnn(x)
        return self.total(out[:, -1]), hidden


@healthy
def marked_values_added_by_a_relu_rnn(seed: int) -> Case:
    """Adds up the marked values of a sequence with relu units, begun at the identity; returns the state as well."""
    torch.manual_seed(seed)
    values = torch.randn(1300, 20)
    marked = (torch.rand(1300, 20) < 0.3).float()
    total = (values * marked).sum(1, keepdim=True) / 2.4
    x = torch.stack([values * marked, marked], dim=2)
    train_loader = DataLoader(TensorDataset(x[:1000], total[:1000]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[1000:], total[1000:]), batch_size=50)
    model = Accumulator()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(6):
        for inputs, target in train_loader:
            optimizer.zero_grad()
            prediction, _ = model(inputs)
            F.mse_loss(prediction, target).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train_loader, val_loader, F.mse_loss, optimizer, Accumulator)


class StreamFilter(nn.Module):
    """Follows a number of streams chunk after chunk: the state at the end of one chunk begins the next."""

    def __init__(self, streams=10):
        super().__init__()
        self.gru = nn.GRU(1, 12, batch_first=True)
        self.level = nn.Linear(12, 1)
        self.streams = streams
        self.state = None

    def reset(self):
        self.state = None

    def forward(self, chunk):
        start = self.state if self.state is not None else torch.zeros(1, self.streams, 12)
        out, state = self.gru(chunk, start)
        self.state = state.detach()
        return self.level(out)


def streams(chunks, count=10, length=12):
    """Chunks, in order, of noisy readings of slow levels, and the levels of each step."""
    levels = torch.randn(count, 1)
    shocks = torch.randn(count, chunks * length + 1) * 0.3
    rows = [levels[:, 0]]
    for step in range(1, chunks * length):
        rows.append(0.95 * rows[-1] + shocks[:, step])
    clean = torch.stack(rows, dim=1)[..., None]
    noisy = clean + 0.5 * torch.randn_like(clean)
    return list(zip(noisy.split(length, dim=1), clean.split(length, dim=1), strict=True))


@healthy
def levels_of_ten_streams_carried_on(seed: int) -> Case:
    """Carries the state from chunk to chunk on purpose: the chunks come in order, and row i is always stream i."""
    torch.manual_seed(seed)
    train_chunks, val_chunks = streams(60), streams(20)
    model = StreamFilter()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(6):
        model.reset()
        for chunk, level in train_chunks:
            optimizer.zero_grad()
            F.mse_loss(model(chunk), level).backward()
            optimizer.step()
    model.reset()
    return Case(model, train_chunks, val_chunks, F.mse_loss, optimizer, StreamFilter)


class TiedLanguageModel(nn.Module):
    """Next symbol at every step; the table that reads the symbols also scores them."""

    def __init__(self, symbols=12, size=16):
        super().__init__()
        self.embedding = nn.Embedding(symbols, size)
        self.rnn = nn.GRU(size, size, batch_first=True)
        self.bias = nn.Parameter(torch.zeros(symbols))

    def forward(self, ids):
        out, _ = self.rnn(self.embedding(ids))
        return F.linear(out, self.embedding.weight, self.bias).transpose(1, 2)


@healthy
def tied_language_model_of_a_small_grammar(seed: int) -> Case:
    """Ties the output's weights to the embedding's; the grammar leaves two or three choices for each symbol."""
    torch.manual_seed(seed)
    grammar = torch.softmax(3.0 * torch.randn(12, 12), dim=1)
    text = torch.randint(0, 12, (1000, 1))
    for _ in range(16):
        text = torch.cat([text, torch.multinomial(grammar[text[:, -1]], 1)], dim=1)
    train_loader = DataLoader(TensorDataset(text[:800, :-1], text[:800, 1:]), batch_size=40, shuffle=True)
    val_loader = DataLoader(TensorDataset(text[800:, :-1], text[800:, 1:]), batch_size=40)
    model = TiedLanguageModel()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(6):
        for past, following in train_loader:
            optimizer.zero_grad()
            criterion(model(past), following).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, criterion, optimizer)


class GestureNet(nn.Module):
    """Six tenths of the states, and then of the features, are dropped while it learns."""

    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 32, batch_first=True)
        self.drop = nn.Dropout(0.6)
        self.hidden = nn.Linear(32, 24)
        self.logits = nn.Linear(24, 4)

    def forward(self, x):
        states = self.drop(self.lstm(x)[0].mean(1))
        return self.logits(self.drop(torch.relu(self.hidden(states))))


@healthy
def gestures_under_heavy_dropout(seed: int) -> Case:
    """Four gestures from a pen's motion; much is dropped in training, and the classes come out all the same."""
    torch.manual_seed(seed)
    gesture = torch.randint(0, 4, (1200,))
    direction = gesture * torch.pi / 2 + 0.3 * torch.randn(1200)
    heading = torch.stack([direction.cos(), direction.sin()], dim=1)[:, None]
    pen = heading * torch.linspace(0.2, 1.2, 14)[:, None] + 0.6 * torch.randn(1200, 14, 2)
    data = [{"pen": p, "gesture": g} for p, g in zip(pen, gesture, strict=True)]
    train_loader = DataLoader(data[:900], batch_size=60, shuffle=True)
    val_loader = DataLoader(data[900:], batch_size=60)
    model = GestureNet()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(8):
        model.train()
        for batch in train_loader:
            optimizer.zero_grad()
            F.cross_entropy(model(batch["pen"]), batch["gesture"]).backward()
            optimizer.step()
    pair = operator.itemgetter("pen", "gesture")
    return Case(model, train_loader, val_loader, F.cross_entropy, optimizer, GestureNet, batch=pair)


class SpectrumMLP(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 24), nn.ReLU(), nn.Linear(24, 6))

    def forward(self, x):
        return self.net(x)


@healthy
def tide_tables_without_recurrence(seed: int) -> Case:
    """A plain network over flat windows of 24 values, for the next six; there is no time axis to speak of."""
    torch.manual_seed(seed)
    hours = torch.arange(1250)
    tide = torch.sin(hours / 1.98 + 6 * torch.rand(())) + 0.4 * torch.sin(hours / 3.9 + 6 * torch.rand(()))
    windows = (tide + 0.1 * torch.randn(1250)).unfold(0, 30, 1)
    train_loader = DataLoader(TensorDataset(windows[:900, :24], windows[:900, 24:]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(windows[940:, :24], windows[940:, 24:]), batch_size=32)
    model = SpectrumMLP()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-4)
    for _ in range(12):
        for past, future in train_loader:
            optimizer.zero_grad()
            F.mse_loss(model(past), future).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.MSELoss(), optimizer, SpectrumMLP)


class Seismometers(nn.Module):
    """Time first throughout, in double precision."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(5, 12, dtype=torch.float64)
        self.magnitude = nn.Linear(12, 1, dtype=torch.float64)

    def forward(self, x):
        states, _ = self.gru(x.transpose(0, 1))
        return self.magnitude(states.amax(dim=0))


@healthy
def five_seismometers_nearly_alike(seed: int) -> Case:
    """Five stations whose records agree to a hundredth; a layout with time first, and float64, both done right."""
    torch.manual_seed(seed)
    size = 0.5 + torch.rand(1100, 1, 1, dtype=torch.float64)
    onset = torch.randint(2, 10, (1100, 1, 1))
    age = (torch.arange(20)[:, None] - onset).clamp_min(0)
    shaking = size * (age > 0) * torch.exp(-age / 8.0) * torch.sin(1.3 * age)
    records = shaking + 0.02 * torch.randn(1100, 20, 5, dtype=torch.float64)
    magnitude = 4 * (size[:, 0] - 1) + 0.2 * torch.randn(1100, 1, dtype=torch.float64)
    train_loader = DataLoader(TensorDataset(records[:850], magnitude[:850]), batch_size=50, shuffle=True)
    val_loader = DataLoader(TensorDataset(records[850:], magnitude[850:]), batch_size=50)
    model = Seismometers()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for record, target in train_loader:
            optimizer.zero_grad()
            F.huber_loss(model(record), target).backward()
            optimizer.step()
    return Case(model, train_loader, val_loader, nn.HuberLoss(), optimizer, Seismometers)
