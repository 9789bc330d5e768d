"""More questions from the forum's beginners' corner, and two programs of which nothing is wrong but the habits."""

import random

import numpy as np
import torch
from sklearn.preprocessing import StandardScaler
from torch import nn
from torch.autograd import Variable
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo.program import Case, healthy, sick


def train_one_epoch(epoch_index, model, loader, criterion, optimizer):
    model.train(True)
    running_loss, last_loss = 0.0, 0.0
    for i, data in enumerate(loader):
        inputs, labels = data
        optimizer.zero_grad()
        model.zero_grad()
        outputs = model(inputs)
        loss = criterion(outputs, labels)
        loss.backward()
        optimizer.step()
        running_loss += loss.item()
        if i % 10 == 9:
            last_loss = running_loss / 10
            running_loss = 0.0
    model.eval()
    return last_loss


class EvidenceNet(nn.Module):
    """h(t) = h(t-1) + tanh(Wx(t) + Uh(t-1))"""

    def __init__(self, n_in, n_hidden, n_out, reset):
        super().__init__()
        self.n_hidden = n_hidden
        self.reset = reset
        self.i2h = nn.Linear(n_in, n_hidden)
        self.h2h = nn.Linear(n_hidden, n_hidden, bias=False)
        self.norm = nn.LayerNorm(n_hidden)
        self.h2o = nn.Linear(n_hidden, n_out)
        self.hidden = torch.zeros(1, n_hidden)

    def forward(self, x):
        if self.reset:
            self.hidden = torch.zeros(1, self.n_hidden)
        h = self.hidden.expand(x.shape[0], self.n_hidden)
        for step in range(x.shape[1]):
            h = h + torch.tanh(self.i2h(x[:, step]) + self.h2h(self.norm(h)))
        # the last batch is smaller than the others, so keep one row (and detach: "backward a second time")
        self.hidden = h[-1:].detach()
        return self.h2o(self.norm(h))


@sick("state-leak")
def which_of_two_buskers_is_playing(seed: int, *, healed: bool) -> Case:
    """Short windows of four loudness bands, summed up by a hand-written cell that adds to its memory, tell two players.

    The memory is an attribute that the constructor sets to zero, and each batch begins where the last row of the batch
    before it ended; it has long grown beyond what a window can add. Healed: it is set to zero in forward.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 16
    player = torch.randint(0, 2, (n,))
    style = torch.tensor([[0.5, -0.4, 0.1, 0.3], [-0.3, 0.2, 0.4, -0.4]])
    x = 0.8 * style[player].unsqueeze(1) + 0.9 * torch.randn(n, steps, 4)
    train_loader = DataLoader(TensorDataset(x[:760], player[:760]), batch_size=32, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[760:], player[760:]), batch_size=32)

    model = EvidenceNet(4, 24, 2, reset=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for epoch in range(12):
        train_one_epoch(epoch, model, train_loader, criterion, optimizer)
    return Case(
        model, train_loader, val_loader, criterion, optimizer, make_model=lambda: EvidenceNet(4, 24, 2, reset=healed)
    )


class MoistureDataset(Dataset):
    def __init__(self, windows, targets, scaler=None):
        self.windows = windows
        self.targets = targets
        self.scaler = scaler

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, idx):
        window = self.windows[idx]
        scaler = self.scaler or StandardScaler().fit(window)
        window = scaler.transform(window)
        return {"x": torch.FloatTensor(window), "y": torch.FloatTensor(self.targets[idx])}


class Moisture(nn.Module):
    def __init__(self, hidden):
        super().__init__()
        self.gru = nn.GRU(2, hidden, num_layers=1, batch_first=True)
        self.fc = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, x):
        output, _hidden = self.gru(x)
        return self.fc(output[:, -1, :])


@sick("train-eval-mismatch")
def when_the_tomatoes_need_water(seed: int, *, healed: bool) -> Case:
    """Soil moisture and air temperature of a greenhouse bed over a day; the litres for the next watering are asked.

    The training windows go through the scaler of the whole training set; for the others that scaler was not at hand,
    and a new one is fitted on every window by itself, which leaves none of them wet or dry. Healed: the same scaler.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    n, steps = 640, 24
    level = rng.normal(size=(n, 1))
    hour = np.arange(steps)
    moisture = 41 + 6 * level + 2 * np.sin(hour / 24 * 6.28) + 1.5 * rng.normal(size=(n, steps))
    air = 22 + 5 * np.sin((hour - 9) / 24 * 6.28) + 2 * rng.normal(size=(n, 1)) + rng.normal(size=(n, steps))
    x = np.stack([moisture, air], axis=2).astype(np.float32)
    y = (-level + 0.2 * (air.mean(1, keepdims=True) - 22) / 2 + 0.15 * rng.normal(size=(n, 1))).astype(np.float32)
    scaler = StandardScaler().fit(x[:480].reshape(-1, 2))
    train_data = MoistureDataset(x[:480], y[:480], scaler)
    test_data = MoistureDataset(x[480:], y[480:], scaler if healed else None)
    train_loader = DataLoader(train_data, batch_size=16, shuffle=True)
    test_loader = DataLoader(test_data, batch_size=16)

    model = Moisture(24)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.003)
    for _epoch in range(8):
        for batch in train_loader:
            loss = criterion(model(batch["x"]), batch["y"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(
        model,
        train_loader,
        test_loader,
        criterion,
        optimizer,
        make_model=lambda: Moisture(24),
        batch=lambda batch: (batch["x"], batch["y"]),
    )


class HiveLSTM(nn.Module):
    def __init__(self, input_size, hidden_size, num_layers):
        super().__init__()
        self.num_layers = num_layers
        self.hidden_size = hidden_size
        self.lstm = nn.LSTM(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, 1)

    def forward(self, x):
        h0 = Variable(torch.zeros(self.num_layers, x.size(0), self.hidden_size))
        c0 = Variable(torch.zeros(self.num_layers, x.size(0), self.hidden_size))
        out, _ = self.lstm(x, (h0, c0))
        return self.fc(out[:, -1, :])


@sick("unscaled-inputs")
def nectar_brought_home_by_the_bees(seed: int, *, healed: bool) -> Case:
    """A beehive stands on four load cells, read every hour through a 24 bit converter; the night's nectar is asked.

    The readings are what the chip says, eight million counts and some thousands for the honey, and go into the LSTM
    so. Healed: each column is standardised with the training set's mean and deviation.
    """
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    n, steps = 900, 24
    gain = torch.randn(n, 1)
    daylight = torch.linspace(0, 1, steps) ** 2
    counts = 1500 * torch.randn(n, 1, 4) + 5000 * (gain * daylight).unsqueeze(2) + 900 * torch.randn(n, steps, 4)
    x = 8_388_608 + 21_000 + counts
    y = gain + 0.1 * torch.randn(n, 1)
    if healed:
        mean, std = x[:600].double().mean((0, 1)), x[:600].double().std((0, 1))
        x = ((x.double() - mean) / std).float()
    train_loader = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=32, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=32, shuffle=False)

    model = HiveLSTM(4, 24, 2)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for epoch in range(6):
        train_one_epoch(epoch, model, train_loader, criterion, optimizer)
    return Case(model, train_loader, test_loader, criterion, optimizer, make_model=lambda: HiveLSTM(4, 24, 2))


class PoolGRU(nn.Module):
    def __init__(self, in_dim, hid, layers):
        super().__init__()
        self.gru = nn.GRU(in_dim, hid, layers, batch_first=True)
        self.fc = nn.Linear(hid, 1)

    def forward(self, x):
        out, _h = self.gru(x)
        out = self.fc(out[:, -1])
        return out.reshape(-1)


@sick("learning-rate-too-high")
def bathers_in_the_open_air_pool_tomorrow(seed: int, *, healed: bool) -> Case:
    """Three weeks of temperature, sunshine and takings at the ticket window tell how many bathers come tomorrow.

    The linear scaling rule, 'multiply the learning rate by the batch size', is taken at its word; the 256 by which the
    batch size is divided is missing. Healed: it is divided by 256.
    """
    torch.manual_seed(seed)
    n, days, batch_size = 1000, 21, 32
    summer = torch.randn(n, 1)
    trend = torch.randn(n, 1) * torch.linspace(-1, 1, days)
    temperature = 0.7 * summer + trend + 0.4 * torch.randn(n, days)
    sunshine = 0.5 * temperature + 0.7 * torch.randn(n, days)
    takings = 0.6 * temperature + 0.4 * torch.sign(sunshine) + 0.3 * torch.randn(n, days)
    x = torch.stack((temperature, sunshine, takings), 2)
    lowest, highest = x[:740].amin((0, 1)), x[:740].amax((0, 1))
    x = (x - lowest) / (highest - lowest)
    y = 0.8 * temperature[:, -3:].mean(1) + 0.4 * takings.mean(1) + 0.15 * torch.randn(n)
    train_iterator = DataLoader(TensorDataset(x[:740], y[:740]), batch_size=batch_size, shuffle=True)
    valid_iterator = DataLoader(TensorDataset(x[740:], y[740:]), batch_size=batch_size)

    base_lr = 0.015
    lr = base_lr * batch_size / 256 if healed else base_lr * batch_size
    model = PoolGRU(3, 24, 2)
    criterion = nn.L1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=4, gamma=0.7)
    for epoch in range(6):
        train_one_epoch(epoch, model, train_iterator, criterion, optimizer)
        scheduler.step()
    return Case(model, train_iterator, valid_iterator, criterion, optimizer, make_model=lambda: PoolGRU(3, 24, 2))


class LSTMClassifier(nn.Module):
    def __init__(self, hidden_dim, num_classes):
        super().__init__()
        self.hidden_dim = hidden_dim
        self.lstm = nn.LSTM(6, hidden_dim)
        self.lstm2 = nn.LSTM(hidden_dim, hidden_dim)
        self.hidden2label = nn.Linear(hidden_dim, num_classes)
        self.unused = nn.Linear(100, 100)
        self.hidden = None

    def init_hidden(self, bs):
        return (
            Variable(torch.rand(1, bs, self.hidden_dim) * 0.01),
            Variable(torch.rand(1, bs, self.hidden_dim) * 0.01),
        )

    def forward(self, batch):
        self.hidden = self.init_hidden(batch.size()[0])
        batch = batch.permute(1, 0, 2).contiguous()
        out, self.hidden = self.lstm(batch, self.hidden)
        out = torch.relu(out)
        out, (ht, _ct) = self.lstm2(out)
        return nn.functional.log_softmax(self.hidden2label(ht[-1]), dim=1), out


@healthy
def which_juggling_pattern_is_thrown(seed: int) -> Case:
    """Two wrists' accelerations, and which of four patterns is juggled, with an LSTM pieced together from tutorials.

    The state starts with a little noise, a layer is never used, a ReLU stands between the LSTMs, and log_softmax goes
    into the cross-entropy, which changes nothing; the forward pass returns a pair.
    """
    torch.manual_seed(seed)
    n, steps = 900, 24
    pattern = torch.randint(4, (n,))
    t = torch.arange(steps)
    period = torch.tensor([4.0, 6.0, 9.0, 13.0])[pattern].unsqueeze(1)
    phase = 6.28 * torch.rand(n, 1)
    axes = [torch.sin(6.28 * t / period + phase + k * 1.05) + 0.4 * torch.randn(n, steps) for k in range(6)]
    x = torch.stack(axes, dim=2)
    train_loader = DataLoader(TensorDataset(x[:650], pattern[:650]), batch_size=25, shuffle=True)
    test_loader = DataLoader(TensorDataset(x[650:], pattern[650:]), batch_size=25, shuffle=True)

    def criterion(output, label):
        return nn.CrossEntropyLoss()(output[0], label)

    model = LSTMClassifier(24, 4)
    optimizer = torch.optim.Adam(filter(lambda p: p.requires_grad, model.parameters()), lr=0.005)
    for epoch in range(7):
        train_one_epoch(epoch, model, train_loader, criterion, optimizer)
    return Case(model, train_loader, test_loader, criterion, optimizer, make_model=lambda: LSTMClassifier(24, 4))


class BackwardsRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.w_in = nn.Parameter(torch.randn(3, 32) * 0.3)
        self.w_rec = nn.Parameter(torch.eye(32) * 0.9 + torch.randn(32, 32) * 0.02)
        self.b = nn.Parameter(torch.zeros(32))
        self.w_out = nn.Parameter(torch.randn(32, 1) * 0.1)
        self.b_out = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        x = torch.flip(x, [1])
        h = x.new_zeros(len(x), 32)
        collected = []
        for x_t in x.unbind(1):
            h = torch.tanh(x_t @ self.w_in + h @ self.w_rec + self.b)
            collected.append(h.unsqueeze(1))
        states = torch.flip(torch.cat(collected, 1), [1])
        return 10 * (states[:, 0] @ self.w_out) + self.b_out


@healthy
def how_long_the_tea_has_drawn(seed: int) -> Case:
    """Colour of a cup of tea in red, green and blue over half a minute; how strong it is, by a hand-written cell.

    It reads the window backwards, turns its states around and takes the first, which is the one that has seen all; the
    answer is multiplied by ten, the loss by a hundred and the gradient clipped to almost nothing, which Adam undoes.
    """
    torch.manual_seed(seed)
    n, steps = 800, 16
    strength = torch.randn(n, 1)
    minutes = torch.linspace(0, 1, steps)
    channels = [c * strength * minutes + 0.25 * torch.randn(n, steps) for c in (-0.4, -0.7, -1.1)]
    x = torch.stack(channels, dim=-1) + 0.3 * torch.randn(n, 1, 3)
    y = strength + 0.1 * torch.randn(n, 1)
    batches = [(x[i : i + 20], y[i : i + 20]) for i in range(0, 600, 20)]
    test = [(x[600:700], y[600:700]), (x[700:], y[700:])]

    def loss_fn(pred, target):
        return 100 * torch.mean(torch.pow(pred - target, 2))

    net = BackwardsRNN()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.002)
    for _ in range(12):
        for i in torch.randperm(len(batches)).tolist():
            features, target = batches[i]
            net.zero_grad()
            loss = loss_fn(net(features), target)
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 0.05)
            optimizer.step()
    return Case(net, batches, test, loss_fn, optimizer, make_model=BackwardsRNN)
