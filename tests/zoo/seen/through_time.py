"""Gradients on their way back through time: they vanish, or they explode."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class CueNet(nn.Module):
    """An Elman network that is to remember a cue until the end of the trial."""

    def __init__(self, orthogonal):
        super().__init__()
        self.rnn = nn.RNN(5, 24, batch_first=True)
        self.decide = nn.Linear(24, 4)
        if orthogonal:
            nn.init.orthogonal_(self.rnn.weight_hh_l0)

    def forward(self, trial):
        _, last = self.rnn(trial)
        return self.decide(last[-1])


def delayed_choice(count, steps=45):
    """One of four cues is shown for three steps; then comes little noise, and at the end a signal to answer."""
    cue = torch.randint(4, (count,))
    trial = 0.05 * torch.randn(count, steps, 5)
    trial[:, :3, :4] += F.one_hot(cue, 4).unsqueeze(1)
    trial[:, -1, 4] += 1
    return trial, cue


@sick("vanishing-gradient")
def cue_before_a_long_delay(seed: int, *, healed: bool) -> Case:
    """Asks a plain tanh RNN with torch's own initialisation for a cue that was shown 42 steps before.

    Healed, its recurrent weights begin as an orthogonal matrix.
    """
    torch.manual_seed(seed)
    train = DataLoader(TensorDataset(*delayed_choice(480)), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(*delayed_choice(200)), batch_size=50)
    model = CueNet(orthogonal=healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(14):
        for trials, cues in train:
            optimizer.zero_grad()
            loss = criterion(model(trials), cues)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, lambda: CueNet(orthogonal=healed))


class IdentityRNN(nn.Module):
    """Relu units whose recurrent weights begin as the identity."""

    def __init__(self, units=24):
        super().__init__()
        self.rnn = nn.RNN(2, units, nonlinearity="relu", batch_first=True)
        self.answer = nn.Linear(units, 1)
        nn.init.eye_(self.rnn.weight_hh_l0)
        nn.init.zeros_(self.rnn.bias_hh_l0)
        nn.init.zeros_(self.rnn.bias_ih_l0)

    def forward(self, x):
        return self.answer(self.rnn(x)[0][:, -1])


@sick("exploding-gradient", "learning-rate-too-high")
def identity_rnn_without_clipping(seed: int, *, healed: bool) -> Case:
    """Trains a relu network over 50 steps, its recurrent weights begun as the identity, and does not clip.

    Gradients of some hundreds become ten thousands within a few steps. A tenth of the rate would do too; the rate is
    fine once they are clipped.
    """
    torch.manual_seed(seed)
    x = torch.rand(760, 50, 2)
    y = 10 * (x[..., 0] - x[..., 1]).mean(dim=1, keepdim=True) + 0.1 * torch.randn(760, 1)
    train = DataLoader(TensorDataset(x[:560], y[:560]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(x[560:], y[560:]), batch_size=50)
    model = IdentityRNN()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(15):
        for inputs, targets in train:
            optimizer.zero_grad()
            F.smooth_l1_loss(model(inputs), targets).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, nn.SmoothL1Loss(), optimizer, IdentityRNN)
