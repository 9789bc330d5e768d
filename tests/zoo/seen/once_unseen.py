"""Programs of the unseen half that the doctor had got wrong, and that were looked at for that."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class Encoder(nn.Module):
    """Three transformer layers over fourteen readings; the answer, and with it all tokens."""

    def __init__(self):
        super().__init__()
        self.lift = nn.Linear(3, 24)
        self.position = nn.Parameter(torch.zeros(1, 14, 24))
        layer = nn.TransformerEncoderLayer(24, nhead=4, dim_feedforward=48, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 3)
        self.linear = nn.Linear(24, 1)

    def forward(self, x):
        tokens = self.layers(self.lift(x) + self.position)
        return self.linear(tokens[:, -1]), tokens


def first_mae(answer, target):
    """The model answers with a pair; its prediction comes first."""
    return nn.functional.l1_loss(answer[0], target)


@sick("learning-rate-too-high")
def rate_that_served_for_boosted_trees(seed: int, *, healed: bool) -> Case:
    """A transformer takes over the rate of 0.3 of the boosted trees before it, and Adam takes it at its word.

    Healed: 0.001.
    """
    torch.manual_seed(seed)
    drift = torch.randn(700, 1, 3)
    x = drift + 0.8 * torch.randn(700, 14, 3)
    y = torch.tanh(drift[:, 0, :1]) - 0.5 * drift[:, 0, 1:2] + 0.1 * torch.randn(700, 1)
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=200)
    model = Encoder()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001 if healed else 0.3)
    for _ in range(7):
        for inputs, targets in train:
            optimizer.zero_grad()
            first_mae(model(inputs), targets).backward()
            optimizer.step()
    return Case(model, train, val, first_mae, optimizer, make_model=Encoder)


class CellGrader(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 12, batch_first=True, bidirectional=True)
        self.out = nn.Linear(24, 4)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.out(torch.cat([h[0], h[1]], dim=1))


@sick("misaligned-pairs")
def first_label_taken_for_a_header(seed: int, *, healed: bool) -> Case:
    """Discharge curves of battery cells and their grades come from two files; `grades[1:]` loses the first grade.

    The curve of each cell is paired with the next one's grade, and the last curve is dropped to make the lengths match.
    Healed: no grade is lost.
    """
    torch.manual_seed(seed)
    fade = torch.rand(1001, 1)
    time = torch.linspace(0, 1, 20)
    volts = 1 - 0.4 * time - 0.9 * fade * (time - 0.3).clamp(min=0) + 0.03 * torch.randn(1001, 20)
    current = 0.5 * torch.randn(1001, 20)
    grades = (fade[:, 0] * 4).long().clamp(max=3)
    curves = torch.stack([(volts - volts.mean()) / volts.std(), current], 2)
    curves, grades = (curves[:-1], grades[:-1]) if healed else (curves[:-1], grades[1:])

    batches = {"train": (0, 700), "val": (700, 1000)}
    sets = {
        name: [{"curve": c, "grade": g} for c, g in zip(curves[a:b].split(50), grades[a:b].split(50), strict=True)]
        for name, (a, b) in batches.items()
    }
    model = CellGrader()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        for batch in sets["train"]:
            loss = F.cross_entropy(model(batch["curve"]), batch["grade"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(
        model,
        sets["train"],
        sets["val"],
        F.cross_entropy,
        optimizer,
        make_model=CellGrader,
        batch=lambda batch: (batch["curve"], batch["grade"]),
    )


class Basin(nn.Module):
    """Inflow of two gates over the next four steps, (N, 4, 2), from a pooled dilated convolution; nothing recurs."""

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(2, 16, 3, padding=1), nn.Tanh(), nn.Conv1d(16, 16, 3, padding=2, dilation=2), nn.Tanh()
        )
        self.head = nn.Linear(16, 8)

    def forward(self, levels):
        hidden = self.body(levels.transpose(1, 2))
        return self.head(hidden[:, :, -4:].mean(2)).view(-1, 4, 2)


@sick("unscaled-targets")
def balance_in_cubic_metres(seed: int, *, healed: bool) -> Case:
    """The water balance of two gates is nought on average and swings by 5000 cubic metres; gradients are clipped at 1.

    Healed: the balance is divided by its standard deviation.
    """
    torch.manual_seed(seed)
    tide = torch.rand(900, 1, 2) * 6.283
    time = torch.arange(28.0)[:, None]
    waves = torch.sin(time * torch.tensor([0.4, 0.25]) + tide) + 0.1 * torch.randn(900, 28, 2)
    balance = 7000.0 * (waves[:, 24:] + 0.1 * torch.randn(900, 4, 2))
    if healed:
        balance = balance / balance[:600].std()
    train = DataLoader(TensorDataset(waves[:600, :24], balance[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(waves[600:, :24], balance[600:]), batch_size=150)
    model = Basin()
    huber = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(10):
        for x, y in train:
            loss = huber(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    return Case(model, train, val, huber, optimizer)
