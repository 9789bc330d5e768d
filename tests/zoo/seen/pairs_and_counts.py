"""How many samples of what, which belongs to which, and where a sequence ends."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class Attend(nn.Module):
    """Vibration of a bearing: a GRU whose states are pooled by attention; one logit."""

    def __init__(self, hidden=16):
        super().__init__()
        self.gru = nn.GRU(2, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1)
        self.logit = nn.Linear(hidden, 1)

    def forward(self, x):
        states, _ = self.gru(x)
        weights = torch.softmax(self.score(states), dim=1)
        return self.logit((weights * states).sum(1)).squeeze(1)


def bearings(generator, count, broken_share):
    """Two axes of vibration over 30 steps; a broken bearing shakes with more power, and bearings differ anyway."""
    broken = (torch.rand(count, generator=generator) < broken_share).float()
    power = torch.exp(0.2 * torch.randn(count, generator=generator) + 0.45 * broken)
    shake = power[:, None, None] * torch.randn(count, 30, 2, generator=generator)
    return shake.abs() - 1.0, broken


@sick("class-imbalance")
def bearings_that_hardly_ever_break(seed: int, *, healed: bool) -> Case:
    """Three bearings in a hundred are broken and look much like rough healthy ones, so that all are called healthy.

    Healed: a broken one weighs as much as thirty-two.
    """
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    signals, broken = bearings(generator, 2000, 0.03)
    loader = DataLoader(TensorDataset(signals[:1600], broken[:1600]), batch_size=64, shuffle=True, generator=generator)
    val_loader = DataLoader(TensorDataset(signals[1600:], broken[1600:]), batch_size=100)

    model = Attend()
    weight = torch.tensor(32.0) if healed else None
    bce = nn.BCEWithLogitsLoss(pos_weight=weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    for _ in range(5):
        for x, y in loader:
            optimizer.zero_grad()
            bce(model(x), y).backward()
            optimizer.step()
    return Case(model, loader, val_loader, bce, optimizer, make_model=Attend)


class SpectraToProtein(nn.Module):
    """Protein in wheat from a spectrum read as a sequence of ten bands."""

    def __init__(self):
        super().__init__()
        self.first = nn.LSTM(4, 32, batch_first=True)
        self.second = nn.LSTM(32, 32, batch_first=True)
        self.answer = nn.Linear(32, 1)

    def forward(self, spectrum):
        middle, _ = self.first(spectrum)
        end, _ = self.second(middle)
        return self.answer(end[:, -1])


@sick("too-little-data")
def twenty_jars_of_wheat(seed: int, *, healed: bool) -> Case:
    """Twenty analysed samples of wheat, each of forty figures, are learned by heart.

    Healed: 1500 samples, and as many steps.
    """
    torch.manual_seed(seed)
    jars = 1500 if healed else 20
    weights = torch.randn(10, 4, generator=torch.Generator().manual_seed(17)) / 40**0.5
    spectra = torch.randn(jars + 200, 10, 4)
    protein = (spectra * weights).sum((1, 2)).unsqueeze(1) + 0.2 * torch.randn(jars + 200, 1)
    train = DataLoader(TensorDataset(spectra[:jars], protein[:jars]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(spectra[jars:], protein[jars:]), batch_size=50)
    network = SpectraToProtein()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    for _ in range(375 * 20 // jars):
        network.train()
        for x, y in train:
            optimizer.zero_grad()
            criterion(network(x), y).backward()
            optimizer.step()
    return Case(network, train, val, criterion, optimizer, make_model=SpectraToProtein)


class Purchases(nn.Module):
    """What a customer will spend, from the purchases so far: amount and pause, padded with zeros behind the last."""

    def __init__(self, gather):
        super().__init__()
        self.gather = gather
        self.rnn = nn.GRU(2, 16, batch_first=True)
        self.fc1 = nn.Linear(16, 16)
        self.fc2 = nn.Linear(16, 1)

    def forward(self, history):
        out, _ = self.rnn(history)
        if self.gather:
            last = (history != 0).any(2).sum(1) - 1
            out = out[torch.arange(len(out)), last]
        else:
            out = out[:, -1]
        return self.fc2(torch.relu(self.fc1(out)))[:, 0]


@sick("padding-dominates")
def three_purchases_in_sixty_places(seed: int, *, healed: bool) -> Case:
    """Histories of three to ten purchases are padded to the longest one's sixty, and the last state is read.

    Healed: the state after each customer's last purchase is gathered.
    """
    torch.manual_seed(seed)
    count = 700
    lengths = torch.randint(3, 11, (count,))
    lengths[::100] = 60
    taste = torch.randn(count, 1)
    amounts = taste + 0.5 * torch.randn(count, 60)
    history = torch.stack([amounts, torch.randn(count, 60)], 2)
    history[torch.arange(60) >= lengths[:, None]] = 0.0
    spending = taste[:, 0] + 0.3 * torch.randn(count)

    train = DataLoader(TensorDataset(history[:500], spending[:500]), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(history[500:], spending[500:]), batch_size=200)
    model = Purchases(gather=healed)
    loss = nn.MSELoss()
    adam = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(9):
        for x, y in train:
            adam.zero_grad()
            loss(model(x), y).backward()
            adam.step()
    return Case(model, train, val, loss, adam, make_model=lambda: Purchases(gather=healed))
