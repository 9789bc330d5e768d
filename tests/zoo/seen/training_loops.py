"""The data are well, the network could do it, and the loop, its settings or its checkpoint are at fault."""

import io

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class NormalisedFlow(nn.Module):
    """Batch normalisation in front of a GRU, so that readings can stay in litres per second."""

    def __init__(self, momentum):
        super().__init__()
        self.norm = nn.BatchNorm1d(2, momentum=momentum)
        self.gru = nn.GRU(2, 20, batch_first=True)
        self.level = nn.Linear(20, 1)

    def forward(self, flow):
        flow = self.norm(flow.transpose(1, 2)).transpose(1, 2)
        return self.level(self.gru(flow)[0][:, -1])


@sick("train-eval-mismatch")
def momentum_from_another_framework(seed: int, *, healed: bool) -> Case:
    """BatchNorm's decay of 0.999 is ported as a momentum of 0.001, so that the running figures never arrive.

    Healed: torch's own 0.1.
    """
    torch.manual_seed(seed)
    slow = torch.randn(900, 1, 2)
    flow = torch.tensor([900.0, 1400.0]) + torch.tensor([18.0, 25.0]) * (slow + 0.4 * torch.randn(900, 18, 2))
    level = (slow[:, :, 0] - 0.7 * slow[:, :, 1]) / 1.22 + 0.2 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(flow[:640], level[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(flow[640:], level[640:]), batch_size=65)
    momentum = 0.1 if healed else 1 - 0.999
    model = NormalisedFlow(momentum)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: NormalisedFlow(momentum))


class RiverGauge(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=True)
        self.dense = nn.Linear(16, 1)

    def forward(self, rain):
        output, _ = self.lstm(rain)
        return self.dense(output[:, -1])


@sick("window-too-short")
def one_hour_of_rain(seed: int, *, healed: bool) -> Case:
    """The river answers to rain five to nine hours ago; the tutorial's reshape gives (samples, 1 step, features).

    Healed: windows of sixteen hours.
    """
    torch.manual_seed(seed)
    rain = torch.randn(1400).clamp(min=0.3) - 0.6
    kernel = torch.tensor([0.3, 0.7, 1.0, 0.7, 0.3])
    river = torch.nn.functional.conv1d(rain.view(1, 1, -1), kernel.flip(0).view(1, 1, -1)).flatten()
    river = torch.cat([torch.zeros(9), river[:-5]])
    river = (river - river.mean()) / river.std() + 0.15 * torch.randn(1400)
    look_back = 16 if healed else 1
    x = rain.unfold(0, look_back, 1).unsqueeze(-1)[16 - look_back :]
    y = river[15:].unsqueeze(-1)
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = RiverGauge()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(15):
        for rainfall, gauge in train:
            optimizer.zero_grad()
            loss = mse(model(rainfall), gauge)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=RiverGauge)


class Mixer(nn.Module):
    """A window of wrist movements, four activities; tokens are attended to, nothing recurs."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(4, 24)
        self.place = nn.Parameter(0.1 * torch.randn(1, 15, 24))
        self.attend = nn.MultiheadAttention(24, 4, batch_first=True)
        self.norm = nn.LayerNorm(24)
        self.classify = nn.Linear(24, 4)

    def forward(self, x):
        tokens = torch.tanh(self.embed(x) + self.place)
        mixed, _ = self.attend(tokens, tokens, tokens, need_weights=False)
        return self.classify(self.norm(tokens + mixed).mean(1))


@sick("undertrained")
def schedule_stepped_each_batch(seed: int, *, healed: bool) -> Case:
    """A rate that should shrink by a tenth each epoch shrinks each batch: `scheduler.step()` is indented too far.

    Healed: it is stepped at the end of an epoch.
    """
    torch.manual_seed(seed)
    activity = torch.randint(4, (1000,))
    rhythm = torch.tensor([0.3, 0.7, 1.1, 1.6])[activity][:, None, None]
    phase = 6.283 * torch.rand(1000, 1, 4)
    x = torch.sin(rhythm * torch.arange(15.0)[:, None] + phase) * (0.5 + 0.4 * rhythm) + 0.2 * torch.randn(1000, 15, 4)
    train_loader = DataLoader(TensorDataset(x[:800], activity[:800]), batch_size=20, shuffle=True)
    val_loader = DataLoader(TensorDataset(x[800:], activity[800:]), batch_size=50)
    net = Mixer()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    for _ in range(12):
        for inputs, labels in train_loader:
            optimizer.zero_grad()
            criterion(net(inputs), labels).backward()
            optimizer.step()
            if not healed:
                scheduler.step()
        if healed:
            scheduler.step()
    return Case(net, train_loader, val_loader, criterion, optimizer, make_model=Mixer)


class Mill(nn.Module):
    """Convolutions halve the window twice, an LSTM reads what is left: wear of a milling tool."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(3, 12, 4, stride=2), nn.ReLU(), nn.Conv1d(12, 12, 4, stride=2), nn.ReLU())
        self.lstm = nn.LSTM(12, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, signals):
        short = self.conv(signals).transpose(1, 2)
        return self.head(self.lstm(short)[1][0].squeeze(0)).squeeze(1)


@sick("over-regularised")
def decay_meant_for_another_optimizer(seed: int, *, healed: bool) -> Case:
    """AdamW's weight decay of 0.1 is copied into Adam, where it joins the gradient and is divided by its size.

    Healed: 1e-5.
    """
    torch.manual_seed(seed)
    wear = torch.rand(800, 1, 1)
    time = torch.arange(40.0)
    cut = torch.sin(0.9 * time + 6.283 * torch.rand(800, 3, 1)) * (0.4 + 1.8 * wear) + 0.3 * torch.randn(800, 3, 40)
    target = ((wear - 0.5) / 0.289).flatten() + 0.1 * torch.randn(800)
    train = DataLoader(TensorDataset(cut[:600], target[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(cut[600:], target[600:]), batch_size=100)
    model = Mill()
    huber = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-5 if healed else 0.1)
    for _ in range(12):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            huber(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, huber, optimizer, make_model=Mill)


class Sleep(nn.Module):
    """Stage of sleep for each of twenty epochs of a night: logits (N, 3, T)."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 20, batch_first=True, bidirectional=True)
        self.stages = nn.Linear(40, 3)

    def forward(self, night):
        return self.stages(self.gru(night)[0]).transpose(1, 2)


class Trainer(nn.Module):
    """Holds the network and its loss, as training frameworks do."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        self.criterion = nn.CrossEntropyLoss()

    def forward(self, night, stages):
        return self.criterion(self.network(night), stages)


@sick("weights-not-loaded")
def prefix_in_the_checkpoint(seed: int, *, healed: bool) -> Case:
    """A wrapper's checkpoint is read by the bare network with `strict=False`; all its keys begin with `network.`.

    The optimizer's state is restored and says that it took all its steps. Healed: the prefix is stripped.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    stages = torch.randint(3, (700, 5), generator=generator).repeat_interleave(4, dim=1)
    powers = torch.eye(4)[stages] - 0.25 + 0.9 * torch.randn(700, 20, 4, generator=generator)
    train = DataLoader(TensorDataset(powers[:500], stages[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(powers[500:], stages[500:]), batch_size=50)
    trainer = Trainer(Sleep())
    optimizer = torch.optim.Adam(trainer.parameters(), lr=5e-3)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            trainer(x, y).backward()
            optimizer.step()
    file = io.BytesIO()
    torch.save({"weights": trainer.state_dict(), "optimizer": optimizer.state_dict()}, file)

    file.seek(0)
    checkpoint = torch.load(file, weights_only=True)
    served = Sleep()
    weights = checkpoint["weights"]
    if healed:
        weights = {name.removeprefix("network."): value for name, value in weights.items()}
    served.load_state_dict(weights, strict=False)
    resumed = torch.optim.Adam(served.parameters(), lr=5e-3)
    resumed.load_state_dict(checkpoint["optimizer"])
    served.eval()
    return Case(served, train, val, nn.CrossEntropyLoss(), resumed, make_model=Sleep)
