"""Nothing is wrong with the data or the settings: what the head reads, or what it may say, is not what was meant."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class Pooled(nn.Module):
    """A GRU, and a learned question that attends over its states."""

    def __init__(self, slip):
        super().__init__()
        self.slip = slip
        self.gru = nn.GRU(4, 16, batch_first=True)
        self.question = nn.Parameter(torch.randn(1, 3, 16))
        self.attention = nn.MultiheadAttention(16, 2, batch_first=True)
        self.output = nn.Linear(3 * 16, 2)

    def forward(self, x):
        states, _ = self.gru(x)
        question = self.question.expand(len(x), -1, -1)
        source = question if self.slip else states
        answer, weights = self.attention(question, source, source)
        return self.output(answer.flatten(1)), weights


def first_mse(answer, target):
    return F.mse_loss(answer[0], target)


@sick("input-never-arrives")
def question_that_attends_to_itself(seed: int, *, healed: bool) -> Case:
    """Two properties of an alloy from its cooling curve; keys and values are the learned question, not the states.

    Healed: they are the states.
    """
    torch.manual_seed(seed)
    alloy = torch.randn(800, 1, 4)
    x = 0.7 * alloy + 0.7 * torch.randn(800, 14, 4)
    y = torch.cat([alloy[:, 0, :1] - 0.6 * alloy[:, 0, 1:2], torch.sin(1.5 * alloy[:, 0, 2:3]) + alloy[:, 0, 3:]], 1)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=40)
    model = Pooled(slip=not healed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            first_mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, first_mse, optimizer, make_model=lambda: Pooled(slip=not healed))


class Tickets(nn.Module):
    """Events of a machine, of any number up to thirty; what lies behind the last is hidden, the last state read."""

    def __init__(self, inverted):
        super().__init__()
        self.inverted = inverted
        self.events = nn.Embedding(12, 10)
        self.lstm = nn.LSTM(10, 20, batch_first=True)
        self.wear = nn.Linear(20, 1)

    def forward(self, inputs):
        ids, lengths = inputs
        inside = torch.arange(ids.shape[1]) < lengths.unsqueeze(1)
        hide = inside if self.inverted else ~inside
        embedded = self.events(ids).masked_fill(hide.unsqueeze(2), 0.0)
        states, _ = self.lstm(embedded)
        return self.wear(states[torch.arange(len(ids)), lengths - 1])


@sick("input-never-arrives")
def mask_the_other_way_round(seed: int, *, healed: bool) -> Case:
    """`masked_fill` fills where the mask is true, and the author's mask is true where there are events.

    Healed: true where there are none.
    """
    torch.manual_seed(seed)
    ids = torch.randint(12, (720, 24))
    lengths = torch.randint(12, 25, (720,))
    harm = torch.linspace(-1.6, 1.6, 12)[torch.randperm(12)]
    recent = (torch.arange(24) >= lengths.unsqueeze(1) - 10) & (torch.arange(24) < lengths.unsqueeze(1))
    wear = ((harm[ids] * recent).sum(1, keepdim=True)) / 3 + 0.1 * torch.randn(720, 1)

    def batches(rows):
        return [(ids[part], lengths[part], wear[part]) for part in rows.split(24)]

    train, val = batches(torch.arange(576)), batches(torch.arange(576, 720))
    model = Tickets(inverted=not healed)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.012)
    for _ in range(12):
        for events, count, target in train:
            optimizer.zero_grad()
            loss_fn(model((events, count)), target).backward()
            optimizer.step()
    return Case(
        model,
        train,
        val,
        loss_fn,
        optimizer,
        make_model=lambda: Tickets(inverted=not healed),
        batch=lambda batch: ((batch[0], batch[1]), batch[2]),
    )


class FromDischarge(nn.Module):
    """Two plain recurrent layers that run from discharge back to admission."""

    def __init__(self, place):
        super().__init__()
        self.place = place
        self.rnn = nn.RNN(3, 24, num_layers=2, batch_first=True)
        self.stay = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        states, _ = self.rnn(torch.flip(x, dims=[1]))
        return self.stay(states[:, self.place])


@sick("wrong-timestep")
def from_discharge_to_admission(seed: int, *, healed: bool) -> Case:
    """Time is flipped before the RNN, and its state is read at place 0, where admission was before the flip.

    Healed: read at the last place, where admission is now.
    """
    torch.manual_seed(seed)
    x = torch.randn(850, 13, 3)
    y = torch.tanh(x[:, :9, :2].sum(2).sum(1, keepdim=True) / 5) * 2 + 0.1 * torch.randn(850, 1)
    train = DataLoader(TensorDataset(x[:680], y[:680]), batch_size=34, shuffle=True)
    val = DataLoader(TensorDataset(x[680:], y[680:]), batch_size=85)
    place = -1 if healed else 0
    model = FromDischarge(place)
    loss_fn = nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(14):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: FromDischarge(place))


class Fraud(nn.Module):
    """A causal convolution network over a series of payments; one number comes out, and becomes a probability."""

    def __init__(self, last):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv1d(3, 16, 4), nn.ReLU(), nn.Conv1d(16, 16, 4, dilation=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1)
        )
        self.score = nn.Linear(16, 1)
        self.last = last

    def forward(self, x):
        return self.last(self.score(self.body(x.transpose(1, 2)).flatten(1)))


@sick("head-range")
def softmax_over_a_single_score(seed: int, *, healed: bool) -> Case:
    """Fraud or not, half and half, as one number; `Softmax(dim=1)` over one number is always one.

    Healed: a sigmoid.
    """
    torch.manual_seed(seed)
    fraud = (torch.rand(900, 1) < 0.5).float()
    rhythm = torch.sin((0.6 + 0.7 * fraud.unsqueeze(2)) * torch.arange(30.0).view(1, -1, 1) + 6 * torch.rand(900, 1, 3))
    x = rhythm + 0.5 * torch.randn(900, 30, 3)
    train = DataLoader(TensorDataset(x[:700], fraud[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], fraud[700:]), batch_size=50)

    def make_model():
        return Fraud(nn.Sigmoid() if healed else nn.Softmax(dim=1))

    model = make_model()
    loss_fn = nn.BCELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(8):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss_fn, optimizer, make_model=make_model)


class Magnitude(nn.Module):
    """Ground motion in three directions; the last layer keeps the answer from ever being absurd."""

    def __init__(self, limit):
        super().__init__()
        self.gru = nn.GRU(3, 20, num_layers=2, batch_first=True)
        self.out = nn.Sequential(nn.Linear(20, 1), nn.Hardtanh(-limit, limit))

    def forward(self, motion):
        states, _ = self.gru(motion)
        return self.out(states[:, -1])


@sick("head-range")
def magnitude_kept_within_hardtanh(seed: int, *, healed: bool) -> Case:
    """Magnitudes lie between one and a half and four; a `Hardtanh()` at the end lets nothing past one.

    Healed: it lets pass what lies within ten.
    """
    torch.manual_seed(seed)
    magnitude = 1.5 + 2.5 * torch.rand(700, 1)
    swing = torch.sin(0.9 * torch.arange(24.0) + 6.28 * torch.rand(700, 1)).unsqueeze(2)
    motion = (magnitude.unsqueeze(2) - 1.0) * swing * torch.tensor([0.8, 0.5, 0.3]) + 0.2 * torch.randn(700, 24, 3)
    train = DataLoader(TensorDataset(motion[:560], magnitude[:560]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(motion[560:], magnitude[560:]), batch_size=70)
    limit = 10.0 if healed else 1.0
    model = Magnitude(limit)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: Magnitude(limit))


class Ranker(nn.Module):
    """A hand-written walk over time-first steps with a GRU cell; one score a sample, as a plain vector."""

    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 20)
        self.score = nn.Linear(20, 1)

    def forward(self, x):
        h = torch.zeros(len(x), 20)
        for step in x.permute(1, 0, 2):
            h = self.cell(step, h)
        return self.score(h)[:, 0]


def all_pairs(score, target):
    """Each sample's score against each other's, and the mean of all against the mean of the targets."""
    pairs = (score[:, None] - score[None, :]) - (target[:, None] - target[None, :])
    return 0.5 * pairs.square().mean() + (score.mean() - target.mean()).square()


@healthy
def every_pair_in_the_loss(seed: int) -> Case:
    """The loss makes an N x N table on purpose: the differences of scores shall be the differences of targets."""
    torch.manual_seed(seed)
    taste = torch.randn(800, 1, 3)
    x = (taste + 0.8 * torch.randn(800, 14, 3)) / 1.28
    y = taste[:, 0] @ torch.tensor([0.8, -0.5, 0.3]) + 0.15 * torch.randn(800)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=80)
    model = Ranker()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            all_pairs(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, all_pairs, optimizer, make_model=Ranker)
