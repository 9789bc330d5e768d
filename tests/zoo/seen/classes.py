"""Classifiers, dicts of batches, and data that are not what they seem."""

import torch
from torch import nn
from torch.utils.data import DataLoader

from zoo.program import Case, healthy, rightly_flat, sick
from zoo.training import fit, loaders


class Classify(nn.Module):
    """A GRU and scores of classes."""

    def __init__(self, inputs=1, classes=2, hidden=16):
        super().__init__()
        self.gru, self.fc = nn.GRU(inputs, hidden, batch_first=True), nn.Linear(hidden, classes)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, -1])


def trained(make, x, y, *, loss=None, lr=5e-3, epochs=10, train=600, decay=0.0, batch=32):
    model, loss = make(), loss or nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=lr, weight_decay=decay)
    first, second = loaders(x, y, train=train, batch=batch)
    fit(model, first, loss, optimizer, epochs)
    return Case(model, first, second, loss, optimizer, make)


@sick("flat-target")
def the_status_column(seed: int, *, healed: bool) -> Case:
    """The target is the column that says 'ok' in every row."""
    torch.manual_seed(seed)
    x = torch.randn(800, 10, 2)
    y = x[:, :, 0].sum(dim=1, keepdim=True) / 10**0.5 if healed else torch.full((800, 1), 3.0)
    return trained(lambda: Classify(2, 1), x, y, loss=nn.MSELoss(), lr=1e-2)


@sick("no-signal")
def the_other_sensor(seed: int, *, healed: bool) -> Case:
    """The sensor that would tell is not among the features."""
    torch.manual_seed(seed)
    x = torch.randn(1400, 8, 3)
    y = x[:, :, 2].sum(dim=1, keepdim=True) / 8**0.5
    x = x if healed else x[:, :, :2]
    return trained(
        lambda: Classify(x.shape[2], 1, 8),
        x,
        y,
        loss=nn.MSELoss(),
        lr=5e-3 if healed else 1e-3,
        epochs=10 if healed else 2,
        train=1000,
        decay=0.0 if healed else 1e-2,
    )


@sick("not-finite")
def a_gap_in_the_log(seed: int, *, healed: bool) -> Case:
    """The logarithm of a zero reading."""
    torch.manual_seed(seed)
    raw = torch.rand(800, 10, 1)
    raw[37, 4] = 0.0
    x = torch.log(raw + (0.01 if healed else 0.0))
    y = raw.mean(dim=1) * 4
    return trained(lambda: Classify(1, 1), x, y, loss=nn.MSELoss(), lr=1e-2, epochs=12)


@sick("redundant-inputs")
def one_curve_for_all(seed: int, *, healed: bool) -> Case:
    """All windows are one large daily curve; what tells them apart is a thousandth of it, unless it is taken away."""
    torch.manual_seed(seed)
    curve = 5 * torch.sin(torch.arange(24.0) / 4).view(1, 24, 1)
    own = torch.randn(900, 24, 1)
    x = own * (1.0 if healed else 0.002) + (0 if healed else curve)
    y = own[:, -6:].sum(dim=1) / 6**0.5
    return trained(lambda: Classify(1, 1), x, y, loss=nn.MSELoss(), epochs=8)


@sick("misaligned-pairs")
def only_inputs_shuffled(seed: int, *, healed: bool) -> Case:
    """The training inputs were shuffled, their targets were not."""
    torch.manual_seed(seed)
    x = torch.randn(1200, 8, 2)
    y = x[:, :, 0].sum(dim=1, keepdim=True) / 8**0.5
    if not healed:
        x[:800] = x[torch.randperm(800)]
    return trained(
        lambda: Classify(2, 1), x, y, loss=nn.MSELoss(), train=800, epochs=4 if not healed else 8, decay=1e-3
    )


@sick("train-eval-mismatch")
def scaled_by_hand_in_training_only(seed: int, *, healed: bool) -> Case:
    """Training windows were standardised, held-out ones are as the sensor gives them."""
    torch.manual_seed(seed)
    x = 40 + 6 * torch.randn(900, 10, 1)
    y = (x - 40).sum(dim=1) / 6 / 10**0.5
    x[:600] = (x[:600] - 40) / 6
    if healed:
        x[600:] = (x[600:] - 40) / 6
    return trained(lambda: Classify(1, 1), x, y, loss=nn.MSELoss(), epochs=8)


@sick("padding-dominates")
def zeros_behind_short_words(seed: int, *, healed: bool) -> Case:
    """Short sequences are filled up to 60 steps with zeros, and the last state is read; healed, zeros come first."""
    torch.manual_seed(seed)
    lengths = torch.randint(3, 9, (900,))
    x, y = torch.zeros(900, 60, 1), torch.zeros(900, 1)
    for row, length in enumerate(lengths):
        own = torch.randn(length, 1)
        place = slice(60 - length, 60) if healed else slice(0, length)
        x[row, place] = own
        y[row] = own.sum() / 2.3

    class Last(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.fc = nn.RNN(1, 16, batch_first=True), nn.Linear(16, 1)
            with torch.no_grad():
                self.rnn.weight_hh_l0.mul_(0.7)

        def forward(self, x):
            return self.fc(self.rnn(x)[1][0])

    return trained(Last, x, y, loss=nn.MSELoss(), epochs=6)


@sick("window-too-short")
def one_step_of_a_season(seed: int, *, healed: bool) -> Case:
    """The target repeats what was eight steps ago, and the window has two."""
    torch.manual_seed(seed)
    noise = torch.randn(1300)
    series = noise.clone()
    steps = 12 if healed else 2
    x = torch.stack([series[at - steps : at] for at in range(12, 1300)]).unsqueeze(-1)
    y = torch.stack([series[at - 8] for at in range(12, 1300)]).unsqueeze(1) + 0.1 * torch.randn(1288, 1)
    return trained(
        lambda: Classify(1, 1),
        x,
        y,
        loss=nn.MSELoss(),
        train=900,
        epochs=10 if healed else 3,
        lr=1e-2 if healed else 3e-3,
    )


class Softmaxed(nn.Module):
    """Probabilities into a loss that wants scores."""

    def __init__(self, scores):
        super().__init__()
        self.scores, self.lstm, self.fc = scores, nn.LSTM(1, 12, batch_first=True), nn.Linear(12, 6)

    def forward(self, x):
        scores = self.fc(self.lstm(x)[0][:, -1])
        return scores if self.scores else torch.sigmoid(scores - 6).softmax(dim=1)


@sick("head-range")
def sigmoid_then_softmax_then_cross_entropy(seed: int, *, healed: bool) -> Case:
    """Two activations stand between the scores and a loss that wants scores."""
    torch.manual_seed(seed)
    x = torch.randn(1000, 8, 1)
    y = torch.bucketize(x.sum(dim=(1, 2)), torch.tensor([-2.7, -1.2, 0.0, 1.2, 2.7]))
    return trained(lambda: Softmaxed(healed), x, y, train=700, epochs=10)


@healthy
def one_in_ten_and_learnable(seed: int) -> Case:
    """Imbalanced, and told apart well."""
    torch.manual_seed(seed)
    y = (torch.rand(1200) < 0.1).long()
    x = torch.randn(1200, 10, 1) + 1.5 * y.view(-1, 1, 1)
    return trained(Classify, x, y, train=900)


@healthy
def words_in_dicts(seed: int) -> Case:
    """Ids of words, an embedding, batches as dicts, a yes or no with logits."""
    torch.manual_seed(seed)
    ids = torch.randint(0, 20, (900, 12))
    label = ((ids < 5).sum(dim=1) > 2).float()
    items = [{"ids": row, "label": each} for row, each in zip(ids, label, strict=True)]
    first = DataLoader(items[:600], batch_size=32, shuffle=True)
    second = DataLoader(items[600:], batch_size=32)

    def make():
        return nn.Sequential(
            nn.Embedding(20, 8), nn.Flatten(), nn.Linear(96, 16), nn.ReLU(), nn.Linear(16, 1), nn.Flatten(0)
        )

    model, loss = make(), nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(15):
        for each in first:
            optimizer.zero_grad()
            loss(model(each["ids"]), each["label"]).backward()
            optimizer.step()
    return Case(model, first, second, loss, optimizer, make, lambda each: (each["ids"], each["label"]))


@rightly_flat
def labels_at_random(seed: int) -> Case:
    """A rare label that nobody could foretell."""
    torch.manual_seed(seed)
    x, y = torch.randn(1200, 8, 2), (torch.rand(1200) < 0.2).long()
    return trained(lambda: Classify(2, hidden=8), x, y, train=900, epochs=3, lr=1e-3, decay=1e-2)
