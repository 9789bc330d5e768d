"""Networks whose parts were put together wrongly, each in one place."""

import torch
from torch import nn

from zoo.program import Case, healthy, sick
from zoo.training import fit, loaders


def sums(count, steps, channels=1, last=None):
    """Sequences and the scaled sum of their (last) steps."""
    x = torch.randn(count, steps, channels)
    y = x[:, -(last or steps) :].sum(dim=(1, 2)) / ((last or steps) * channels) ** 0.5
    return x, y.unsqueeze(1) + 0.05 * torch.randn(count, 1)


def trained(make, x, y, *, lr=5e-3, epochs=10, loss=None, train=600, batch=32, clip=None):
    model, loss = make(), loss or nn.MSELoss()
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], lr=lr)
    first, second = loaders(x, y, train=train, batch=batch)
    fit(model, first, loss, optimizer, epochs, clip=clip)
    return Case(model, first, second, loss, optimizer, make)


class Turned(nn.Module):
    """Batches stand first, and the layer may not know."""

    def __init__(self, batch_first):
        super().__init__()
        self.lstm = nn.LSTM(1, 16, batch_first=batch_first)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


@sick("batch-as-time")
def batch_first_is_missing(seed: int, *, healed: bool) -> Case:
    """nn.LSTM without batch_first, on batches that stand first."""
    torch.manual_seed(seed)
    x, y = sums(900, 12)
    return trained(lambda: Turned(healed), x, y)


class Scrambled(nn.Module):
    """Channels first from the loader, and a view where a transpose belongs."""

    def __init__(self, right):
        super().__init__()
        self.right, self.gru, self.out = right, nn.GRU(3, 16), nn.Linear(16, 1)

    def forward(self, x):
        steps = x.transpose(0, 1) if self.right else x.reshape(x.shape[1], x.shape[0], x.shape[2])
        return self.out(self.gru(steps)[1][0])


@sick("samples-mixed")
def reshape_for_a_transpose(seed: int, *, healed: bool) -> Case:
    """To bring time first, somebody reshapes."""
    torch.manual_seed(seed)
    x, y = sums(900, 10, 3)
    return trained(lambda: Scrambled(healed), x, y)


class Remembering(nn.Module):
    """Keeps its state between calls, detached."""

    def __init__(self, forgets):
        super().__init__()
        self.forgets, self.rnn, self.fc, self.h = forgets, nn.RNN(1, 16, batch_first=True), nn.Linear(16, 1), None
        with torch.no_grad():
            self.rnn.weight_hh_l0.copy_(torch.eye(16) * 1.1)

    def forward(self, x):
        known = self.h is not None and self.h.shape[1] == len(x) and not self.forgets
        out, h = self.rnn(x, self.h if known else None)
        self.h = h.detach()
        return self.fc(out[:, -1])


class Overwritten(nn.Module):
    """A hand-written cell; one line begins the state anew after the loop."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong, self.cell, self.fc = wrong, nn.GRUCell(1, 16), nn.Linear(16, 1)

    def forward(self, x):
        h = torch.zeros(len(x), 16)
        for step in x.unbind(1):
            h = self.cell(step, h)
        if self.wrong:
            h = torch.zeros(len(x), 16)
        return self.fc(h)


@sick("input-never-arrives")
def state_begun_anew(seed: int, *, healed: bool) -> Case:
    """After the loop the state is zeros again."""
    torch.manual_seed(seed)
    x, y = sums(900, 10)
    return trained(lambda: Overwritten(not healed), x, y)


class Reads(nn.Module):
    """Reads one step of the output."""

    def __init__(self, step):
        super().__init__()
        self.step, self.gru, self.fc = step, nn.GRU(1, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[0][:, self.step])


@sick("wrong-timestep")
def first_step_read(seed: int, *, healed: bool) -> Case:
    """output[:, 0] where output[:, -1] was meant."""
    torch.manual_seed(seed)
    x, y = sums(900, 12, last=6)
    return trained(lambda: Reads(-1 if healed else 0), x, y)


class Cut(nn.Module):
    """An encoder in front of a head, with a detach between."""

    def __init__(self, cut):
        super().__init__()
        self.cut = cut
        self.encoder = nn.GRU(1, 16, batch_first=True)
        with torch.no_grad():
            self.encoder.weight_ih_l0.mul_(0.02)
        self.head = nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        h = self.encoder(x)[0][:, -1]
        return self.head(h.detach() if self.cut else h)


@sick("frozen-weights")
def detached_for_speed(seed: int, *, healed: bool) -> Case:
    """A detach that was put in to save memory."""
    torch.manual_seed(seed)
    x, y = sums(900, 16, last=16)
    return trained(lambda: Cut(not healed), x, y, epochs=14)


class Positive(nn.Module):
    """A relu behind the head, since prices are positive; but these are standardised."""

    def __init__(self, linear):
        super().__init__()
        self.linear, self.rnn, self.fc = linear, nn.LSTM(1, 16, batch_first=True), nn.Linear(16, 1)

    def forward(self, x):
        said = self.fc(self.rnn(x)[0][:, -1])
        return said if self.linear else torch.relu(said - 1)


@sick("head-range")
def relu_behind_the_head(seed: int, *, healed: bool) -> Case:
    """Standardised targets behind a relu, which dies."""
    torch.manual_seed(seed)
    x, y = sums(900, 12)
    return trained(lambda: Positive(healed), x, y - 1.0)


@sick("bad-init")
def weights_of_zero(seed: int, *, healed: bool) -> Case:
    """All weights begin at zero 'to be neutral'."""
    torch.manual_seed(seed)
    x, y = sums(900, 12)

    def make():
        model = Reads(-1)
        for each in model.parameters() if not healed else ():
            nn.init.constant_(each, 0.0)
        return model

    return trained(make, x, y)


@sick("saturated-units", "bad-init")
def weights_of_ten(seed: int, *, healed: bool) -> Case:
    """Recurrent weights with a standard deviation of ten: every tanh is at its rail."""
    torch.manual_seed(seed)
    x, y = sums(900, 16)

    def make():
        model = Reads(-1)
        model.gru = nn.RNN(1, 16, batch_first=True)
        if not healed:
            nn.init.normal_(model.gru.weight_hh_l0, std=10.0)
            nn.init.constant_(model.gru.bias_hh_l0, 60.0)
        return model

    return trained(make, x, y, epochs=12)


class Perceptron(nn.Module):
    """Three relu layers over the flattened window."""

    def __init__(self, bias):
        super().__init__()
        self.net = nn.Sequential(
            nn.Flatten(), nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 1)
        )
        nn.init.constant_(self.net[3].bias, bias)

    def forward(self, x):
        return self.net(x)


@sick("dead-units", "bad-init")
def biases_far_below_zero(seed: int, *, healed: bool) -> Case:
    """A bias of -20 in the middle: no unit there is ever above zero."""
    torch.manual_seed(seed)
    x, y = sums(900, 12)
    return trained(lambda: Perceptron(0.0 if healed else -20.0), x, y)


class Recall(nn.Module):
    """Says at the end what came first."""

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.fc = kind(1, 16, batch_first=True), nn.Linear(16, 1)
        if kind is nn.GRU:
            with torch.no_grad():
                self.rnn.bias_hh_l0[16:32] = 3.0
        else:
            with torch.no_grad():
                self.rnn.weight_hh_l0.mul_(0.5)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


@sick("vanishing-gradient")
def first_of_forty(seed: int, *, healed: bool) -> Case:
    """A small tanh RNN has to recall what stood forty steps ago."""
    torch.manual_seed(seed)
    x = torch.randn(1100, 40, 1) * 0.3
    x[:, :2] += torch.randn(1100, 1, 1)
    y = x[:, :2].mean(dim=1)
    return trained(lambda: Recall(nn.GRU if healed else nn.RNN), x, y, train=800, lr=1e-2, epochs=10)


class Growing(nn.Module):
    """A relu recurrence whose weights grow what they carry."""

    def __init__(self, clipped):
        super().__init__()
        self.rnn, self.fc = nn.RNN(1, 16, nonlinearity="relu", batch_first=True), nn.Linear(16, 1)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=1.25)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Silent(nn.Module):
    """A head that begins at nothing, in a group with hardly any rate."""

    def __init__(self):
        super().__init__()
        self.gru, self.fc = nn.GRU(1, 24, batch_first=True), nn.Linear(24, 1)
        nn.init.zeros_(self.fc.weight)

    def forward(self, x):
        return self.fc(self.gru(x)[1][0])


@sick("head-ignores-state", "over-regularised")
def head_held_down(seed: int, *, healed: bool) -> Case:
    """The head alone has a weight decay so strong that it stays at nothing."""
    torch.manual_seed(seed)
    x, y = sums(900, 8)
    model, loss = Silent(), nn.MSELoss()
    groups = [
        {"params": model.gru.parameters()},
        {"params": model.fc.parameters(), "weight_decay": 0.0 if healed else 300.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=3e-3, weight_decay=0.0)
    first, second = loaders(x, y)
    fit(model, first, loss, optimizer, 10)
    return Case(model, first, second, loss, optimizer, Silent)


@healthy
def frozen_embedding_that_works(seed: int) -> Case:
    """A random projection is fixed on purpose, and the rest learns well."""
    torch.manual_seed(seed)
    x, y = sums(900, 10)

    def make():
        model = nn.ModuleDict(
            {"project": nn.Linear(1, 8), "rnn": nn.GRU(8, 16, batch_first=True), "fc": nn.Linear(16, 1)}
        )
        model["project"].requires_grad_(False)
        model.forward = lambda x: model["fc"](model["rnn"](model["project"](x))[0][:, -1])
        return model

    return trained(make, x, y, lr=1e-2)


class Stateful(nn.Module):
    """Carries its state over consecutive chunks of one series, on purpose."""

    def __init__(self):
        super().__init__()
        self.gru, self.fc, self.h = nn.GRU(1, 16, batch_first=True), nn.Linear(16, 1), None

    def forward(self, x):
        known = self.h is not None and self.h.shape[1] == len(x)
        out, h = self.gru(x, self.h if known else None)
        self.h = h.detach()
        return self.fc(out[:, -1])


@healthy
def stateful_by_design(seed: int) -> Case:
    """The state is carried; what is asked for is in the window all the same."""
    torch.manual_seed(seed)
    x, y = sums(928, 8)
    return trained(Stateful, x, y, train=640, lr=1e-2)


@healthy
def middle_step_on_purpose(seed: int) -> Case:
    """The target is known half way, and that is where the head reads."""
    torch.manual_seed(seed)
    x = torch.randn(900, 12, 1)
    y = x[:, :7].sum(dim=1) / 7**0.5
    return trained(lambda: Reads(6), x, y, lr=1e-2)
