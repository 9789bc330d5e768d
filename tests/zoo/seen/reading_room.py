"""Questions as beginners put them to a forum: 'it says the same for everything', and all their code below."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick

ALPHABET = "abcdefghijklmnopqrstuvwxyz "
ENDINGS = {0: ["ini", "elli", "otti"], 1: ["ov", "enko", "sky"], 2: ["sen", "dahl", "strom"]}


def fit(net, loader, loss_function, optimiser, n_epochs):
    history = []
    for _ in range(n_epochs):
        net.train()
        running_loss = 0.0
        for inputs, labels in loader:
            optimiser.zero_grad()
            outputs = net(inputs)
            loss = loss_function(outputs, labels)
            loss.backward()
            optimiser.step()
            running_loss += loss.item() * inputs.size(0)
        history.append(running_loss / len(loader.dataset))
    net.eval()
    return history


class SurnameClassifier(nn.Module):
    def __init__(self, vocab_size, emb_dim, hidden_size, n_classes, newest_first):
        super(SurnameClassifier, self).__init__()  # noqa: UP008
        self.hidden_size = hidden_size
        self.newest_first = newest_first
        self.embedding = nn.Embedding(vocab_size, emb_dim)
        self.cell = nn.LSTMCell(emb_dim, hidden_size)
        self.fc1 = nn.Linear(hidden_size, hidden_size)
        self.fc2 = nn.Linear(hidden_size, n_classes)

    def forward(self, x):
        hx = torch.zeros(x.size(0), self.hidden_size)
        cx = torch.zeros(x.size(0), self.hidden_size)
        emb = self.embedding(x)
        states = []
        for i in range(x.size(1)):
            hx, cx = self.cell(emb[:, i, :], (hx, cx))
            if self.newest_first:
                states.insert(0, hx)
            else:
                states.append(hx)
        states = torch.stack(states, dim=1)
        last = states[:, -1, :]
        return self.fc2(torch.tanh(self.fc1(last)))


@sick("wrong-timestep")
def where_a_surname_comes_from(seed: int, *, healed: bool) -> Case:
    """Surnames, filled up with blanks on the left, are sorted into three languages by a loop over an LSTM cell.

    The author once plotted the states with the newest on top, so each is inserted at the front of the list, and the
    last of the list is what the head gets. Healed: each is appended.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    names, labels = [], []
    for _ in range(1000):
        label = int(rng.integers(3))
        stem = "".join(
            rng.choice(list("bcdfgklmnprstvz")) + rng.choice(list("aeiou")) for _ in range(rng.integers(1, 4))
        )
        names.append((stem + rng.choice(list("lmnrt")) + str(rng.choice(ENDINGS[label]))).rjust(14))
        labels.append(label)
    x = torch.tensor([[ALPHABET.index(char) for char in name] for name in names])
    y = torch.tensor(labels)
    train_loader = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=32)

    def make_model():
        return SurnameClassifier(len(ALPHABET), 12, 32, 3, newest_first=not healed)

    model = make_model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.005)
    fit(model, train_loader, criterion, optimizer, 5)
    return Case(model, train_loader, test_loader, criterion, optimizer, make_model=make_model)


class BatteryNet(nn.Module):
    def __init__(self, positive):
        super().__init__()
        self.positive = positive
        self.conv = nn.Conv1d(3, 16, kernel_size=3, padding=1)
        self.lstm = nn.LSTM(16, 24, num_layers=1, batch_first=True)
        self.dense = nn.Linear(24, 16)
        self.out = nn.Linear(16, 1)

    def forward(self, x):
        x = x.permute(0, 2, 1)
        x = F.leaky_relu(self.conv(x))
        x = x.permute(0, 2, 1)
        _, (hn, _) = self.lstm(x)
        x = F.leaky_relu(self.dense(hn[-1]))
        x = self.out(x)
        if self.positive:
            x = F.softplus(x)
        return torch.sigmoid(x)


@sick("head-range")
def charge_left_in_a_scooter(seed: int, *, healed: bool) -> Case:
    """From current, voltage and temperature of a ride: the share of charge left, of scooters brought in for the night.

    A softplus (there is no negative charge) came along with the last layer of another script, and a sigmoid for the
    share was put behind it, so no answer is below one half; nearly all of the scooters are. Healed: no softplus.
    """
    torch.manual_seed(seed)
    n, steps = 900, 30
    drain = torch.rand(n, 1)
    current = drain * (1 + 0.5 * torch.randn(n, steps))
    voltage = -torch.cumsum(current, dim=1) / steps + 0.1 * torch.randn(n, steps)
    temp = 0.6 * torch.randn(n, 1) + 0.2 * torch.randn(n, steps)
    x = torch.stack([current - 0.5, voltage * 2 + 0.5, temp], dim=-1)
    y = (0.45 - 0.38 * drain + 0.02 * torch.randn(n, 1)).clamp(0.01, 0.99)
    train_set, val_set = TensorDataset(x[:600], y[:600]), TensorDataset(x[600:], y[600:])
    train_loader = DataLoader(dataset=train_set, batch_size=20, shuffle=True)
    val_loader = DataLoader(dataset=val_set, batch_size=20, shuffle=False)

    net = BatteryNet(positive=not healed)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=0.002)
    fit(net, train_loader, loss_fn, optimizer, 8)
    return Case(net, train_loader, val_loader, loss_fn, optimizer, make_model=lambda: BatteryNet(positive=not healed))


class SleepScore(nn.Module):
    def __init__(self, input_dim=2, hidden_dim=24, keep_graph=False):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.keep_graph = keep_graph
        self.gru_cell = nn.GRUCell(input_dim, hidden_dim)
        self.linear = nn.Linear(hidden_dim, 1)

    def init_hidden(self, batch_size):
        return torch.zeros(batch_size, self.hidden_dim)

    def forward(self, seq):
        batch_size, seq_len, _ = seq.size()
        h = self.init_hidden(batch_size)
        predictions = []
        for t in range(seq_len):
            h = self.gru_cell(seq[:, t], h)
            pred = self.linear(h)
            if not self.keep_graph:
                pred = pred.detach().numpy()
            predictions.append(pred)
        if self.keep_graph:
            return torch.stack(predictions)[-1].squeeze(1)
        # RuntimeError: element 0 of tensors does not require grad -> requires_grad=True
        return torch.tensor(np.array(predictions)[-1].squeeze(1), requires_grad=True)


@sick("frozen-weights")
def how_well_a_night_was_slept(seed: int, *, healed: bool) -> Case:
    """A GRU cell goes over a night's movement and pulse, and the sleeper's own score of the night is to come out.

    The predictions are collected as NumPy arrays, and the tensor made of them is told to require a gradient, as the
    error message had suggested; nothing behind it gets any. Healed: the tensors themselves are collected.
    """
    torch.manual_seed(seed)
    n, steps = 800, 24
    rest = torch.randn(n, 1)
    movement = -0.7 * rest + 0.8 * torch.randn(n, steps)
    pulse = -0.4 * rest + 0.5 * torch.randn(n, 1) + 0.5 * torch.randn(n, steps)
    y = (rest + 0.25 * torch.randn(n, 1)).squeeze()
    x = torch.stack((movement, pulse), dim=2)
    loaders = {
        "train": DataLoader(TensorDataset(x[:600], y[:600]), batch_size=16, shuffle=True),
        "test": DataLoader(TensorDataset(x[600:], y[600:]), batch_size=16),
    }
    model = SleepScore(keep_graph=healed)
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003, weight_decay=1e-6)
    fit(model, loaders["train"], criterion, optimizer, 6)
    return Case(
        model,
        loaders["train"],
        loaders["test"],
        criterion,
        optimizer,
        make_model=lambda: SleepScore(keep_graph=healed),
    )


class QuantileLoss(nn.Module):
    def __init__(self, quantiles, squeeze):
        super().__init__()
        self.quantiles = quantiles
        self.squeeze = squeeze

    def forward(self, preds, target):
        assert not target.requires_grad
        assert preds.size(0) == target.size(0)
        if self.squeeze:
            target = target.squeeze(1)
        losses = []
        for i, q in enumerate(self.quantiles):
            errors = target - preds[:, i]
            losses.append(torch.max((q - 1) * errors, q * errors).mean())
        return sum(losses)


class QueueForecaster(nn.Module):
    def __init__(self, n_quantiles):
        super().__init__()
        self.rnn = nn.RNN(input_size=1, hidden_size=32, num_layers=2, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(32, n_quantiles)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(self.drop(out[:, -1]))


@sick("loss-broadcast")
def waiting_time_at_the_bakery(seed: int, *, healed: bool) -> Case:
    """The last half hour's queue at a counter gives the next minutes' wait, as three quantiles.

    The loss goes quantile by quantile, each a column of shape (N,), while the waits come as (N, 1): every guess is held
    against every customer. Healed: the waits are squeezed.
    """
    torch.manual_seed(seed)
    length, window = 1300, 30
    noise = 0.35 * torch.randn(length)
    series = [0.0, 0.0]
    for t in range(2, length):
        series.append(1.75 * series[-1] - 0.82 * series[-2] + noise[t].item())
    series = torch.tensor(series)
    series = (series - series[:900].mean()) / series[:900].std()
    x = torch.stack([series[i : i + window] for i in range(length - window)]).unsqueeze(-1)
    y = series[window:].unsqueeze(-1)
    train_dataset = TensorDataset(x[:870], y[:870])
    test_dataset = TensorDataset(x[870 + window :], y[870 + window :])
    train_loader = DataLoader(train_dataset, batch_size=32, shuffle=True, drop_last=True)
    test_loader = DataLoader(test_dataset, batch_size=32)

    quantiles = [0.1, 0.5, 0.9]
    model = QueueForecaster(len(quantiles))
    criterion = QuantileLoss(quantiles, squeeze=healed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    fit(model, train_loader, criterion, optimizer, 8)
    return Case(
        model, train_loader, test_loader, criterion, optimizer, make_model=lambda: QueueForecaster(len(quantiles))
    )


class PositionalEncoding(nn.Module):
    def __init__(self, d_model, add, max_len=200):
        super().__init__()
        self.add = add
        position = torch.arange(max_len).unsqueeze(1)
        div_term = torch.exp(torch.arange(0, d_model, 2) * (-np.log(10000.0) / d_model))
        pe = torch.zeros(max_len, 1, d_model)
        pe[:, 0, 0::2] = torch.sin(position * div_term)
        pe[:, 0, 1::2] = torch.cos(position * div_term)
        self.register_buffer("pe", pe)

    def forward(self, x):
        pe = self.pe[: x.size(0)].expand_as(x)
        if self.add:
            return x + pe
        return pe


class WashingMachineTransformer(nn.Module):
    def __init__(self, add_positions, d_model=16):
        super().__init__()
        self.inp = nn.Linear(2, d_model)
        self.pos = PositionalEncoding(d_model, add_positions)
        self.enc = nn.TransformerEncoderLayer(d_model, nhead=2, dim_feedforward=32, dropout=0.05)
        self.gru = nn.GRU(d_model, 24)
        self.out = nn.Linear(24, 1)

    def forward(self, src):
        src = src.transpose(0, 1)  # (S, N, E)
        src = self.inp(src) * np.sqrt(16)
        src = self.pos(src)
        memory = self.enc(src)
        output, _ = self.gru(memory)
        return self.out(output[-1])


@sick("input-never-arrives")
def laundry_weighed_by_its_vibration(seed: int, *, healed: bool) -> Case:
    """Vibration and motor current of a spin cycle go through an attention layer and a GRU; the drum's load is asked.

    The positions were typed off a tutorial without their sum: the module returns the encoding of the positions, in
    the input's shape, in place of the input. Healed: `x + pe`.
    """
    torch.manual_seed(seed)
    n, steps = 700, 20
    load = torch.randn(n, 1)
    t = torch.linspace(0, 1, steps)
    current = 0.8 * load * t + 0.3 * torch.randn(n, steps)
    vibration = torch.exp(0.4 * load) * torch.sin(18 * t + 6.28 * torch.rand(n, 1)) * 0.7
    x = torch.stack([current, vibration], -1)
    y = load + 0.1 * torch.randn(n, 1)
    trainloader = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    testloader = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=25, shuffle=False)

    model = WashingMachineTransformer(add_positions=healed)
    criterion = nn.MSELoss(reduction="mean")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    fit(model, trainloader, criterion, optimizer, 8)
    return Case(
        model,
        trainloader,
        testloader,
        criterion,
        optimizer,
        make_model=lambda: WashingMachineTransformer(add_positions=healed),
    )
