"""Programs that give out (nearly) one value because nothing better can be said, whatever the model."""

import copy

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, rightly_flat


def loaders(x, y, n_train, batch_size):
    return (
        DataLoader(TensorDataset(x[:n_train], y[:n_train]), batch_size=batch_size, shuffle=True),
        DataLoader(TensorDataset(x[n_train:], y[n_train:]), batch_size=64),
    )


def fit(model, train, val, criterion, optimizer, epochs):
    """Trains for some epochs and goes back to the one that was best on the held-out data."""
    best, kept = float("inf"), copy.deepcopy(model.state_dict())
    for _ in range(epochs):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            held_out = sum(criterion(model(xb), yb).item() * len(yb) for xb, yb in val)
        if held_out < best:
            best, kept = held_out, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return model.eval()


class ReturnsLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.head(h[-1]).squeeze(-1)


@rightly_flat
def coffee_futures_tomorrow(seed: int) -> Case:
    """Tomorrow's return of coffee futures from thirty days of returns and their sizes, in an efficient market.

    Calm and storm follow on each other and could be foretold, but the loss asks for the return, whose sign cannot.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1400, 30, 950
    variance, previous, returns = torch.tensor(1.0), torch.tensor(0.0), []
    for noise in torch.randn(n + steps + 100):
        variance = 0.15 + 0.15 * previous**2 + 0.7 * variance
        previous = variance.sqrt() * noise
        returns.append(previous)
    returns = torch.stack(returns[100:])
    windows = returns.unfold(0, steps, 1)[:n]
    x = torch.stack([windows, windows.abs() - 0.8], dim=2)
    y = returns[steps : steps + n]
    train, val = loaders(x, y, n_train, 32)
    model = ReturnsLSTM()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    fit(model, train, val, criterion, optimizer, 6)
    return Case(model, train, val, criterion, optimizer, make_model=ReturnsLSTM)


class HailGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 20, batch_first=True)
        self.head = nn.Linear(20, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0].mean(1))


@rightly_flat
def hail_claims_by_absolute_error(seed: int) -> Case:
    """Hail damage to a vineyard in the week to come, by the absolute error; in four weeks of five there is none.

    The weather does say whether hail is likelier, but never likelier than not, so the median is nothing every week.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1300, 21, 900
    front = torch.randn(n, 1, 3)
    x = 0.7 * front + 0.7 * torch.randn(n, steps, 3)
    chance = 0.08 + 0.27 * torch.sigmoid(2 * front[:, :, 0])
    damage = torch.distributions.Exponential(1.0).sample((n, 1))
    y = torch.where(torch.rand(n, 1) < chance, damage, torch.zeros(n, 1))
    train, val = loaders(x, y, n_train, 32)
    model = HailGRU()
    criterion = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.75)
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
        schedule.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=HailGRU)


class GeigerRNN(nn.Module):
    def __init__(self, hidden=16):
        super().__init__()
        self.rnn = nn.RNN(1, hidden, batch_first=True)
        self.log_rate = nn.Linear(hidden, 1)

    def forward(self, x):
        _, h = self.rnn(x)
        return self.log_rate(h[-1])


@rightly_flat
def clicks_of_a_tube_in_the_cellar(seed: int) -> Case:
    """How many clicks the next second brings, from those of the last twenty, by the Poisson likelihood.

    The source is steady, and decay does not remember: the mean rate is all there is to know.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1200, 20, 800
    clicks = torch.poisson(torch.full((n + steps,), 4.0))
    x = ((clicks.unfold(0, steps, 1)[:n] - 4) / 2).unsqueeze(-1)
    y = clicks[steps:, None]
    train, val = loaders(x, y, n_train, 32)
    model = GeigerRNN()
    criterion = nn.PoissonNLLLoss(full=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    fit(model, train, val, criterion, optimizer, 6)
    return Case(model, train, val, criterion, optimizer, make_model=GeigerRNN)


class WheelReader(nn.Module):
    def __init__(self, pockets=37):
        super().__init__()
        self.pockets = nn.Embedding(pockets, 8)
        self.gru = nn.GRU(8, 24, batch_first=True)
        self.colour = nn.Linear(24, 3)

    def forward(self, spins):
        return self.colour(self.gru(self.pockets(spins))[0][:, -1])


@rightly_flat
def colour_of_the_next_spin(seed: int) -> Case:
    """Red, black or zero at the next turn of a roulette wheel, from the pockets of the last twelve.

    The wheel is fair. The odds are what the model ends up with.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1400, 12, 950
    spins = torch.randint(0, 37, (n + steps,))
    colours = torch.where(spins == 0, 2, spins % 2)
    x, y = spins.unfold(0, steps, 1)[:n], colours[steps:]
    train, val = loaders(x, y, n_train, 50)
    model = WheelReader()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=1e-4)
    fit(model, train, val, criterion, optimizer, 8)
    return Case(model, train, val, criterion, optimizer, make_model=WheelReader)


class ArmGuesser(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(4, 12, 5)
        self.gru = nn.GRU(12, 16, batch_first=True, bidirectional=True)
        self.logit = nn.Linear(32, 1)

    def forward(self, x):
        z = F.gelu(self.front(x.transpose(1, 2))).transpose(1, 2)
        return self.logit(self.gru(z)[0].mean(1)).squeeze(-1)


@rightly_flat
def which_arm_of_the_trial(seed: int) -> Case:
    """Whether a patient was given the drug, from the vital signs of the two days before the draw.

    The arms were drawn by lot, a third to the drug; the authors check whether anything gives it away, and nothing does.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1400, 24, 1000
    patient = torch.randn(n, 1, 4)
    day = torch.sin(torch.arange(steps) * 0.39 + torch.rand(n, 1) * 6.283)[:, :, None]
    x = 0.7 * patient + 0.5 * day + 0.5 * torch.randn(n, steps, 4)
    drug = (torch.rand(n) < 1 / 3).float()
    train, val = loaders(x, drug, n_train, 40)
    model = ArmGuesser()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    fit(model, train, val, criterion, optimizer, 6)
    return Case(model, train, val, criterion, optimizer, make_model=ArmGuesser)


class Corrector(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(1, 16, num_layers=2, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        return self.head(self.gru(x)[0][:, -1]).squeeze(-1)


@rightly_flat
def what_the_load_forecast_left_over(seed: int) -> Case:
    """Tomorrow's error of a good linear forecast of a district's heat load, from forty days of the load itself.

    The load swings slowly and is easy to foretell; the linear model says all of it, and its errors are fresh each day.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1400, 40, 950
    shocks = torch.randn(n + steps + 200)
    load = [torch.tensor(0.0), torch.tensor(0.0)]
    for shock in shocks:
        load.append(1.5 * load[-1] - 0.6 * load[-2] + shock)
    load = torch.stack(load[202:])
    windows, following = load.unfold(0, steps, 1)[:n], load[steps : steps + n]
    design = windows[:n_train, -2:]
    weights = torch.linalg.lstsq(design, following[:n_train, None]).solution
    y = following - (windows[:, -2:] @ weights).squeeze(-1)
    x = ((windows - load.mean()) / load.std()).unsqueeze(-1)
    train, val = loaders(x, y, n_train, 50)
    model = Corrector()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    fit(model, train, val, criterion, optimizer, 5)
    return Case(model, train, val, criterion, optimizer, make_model=Corrector)


class PlanktonLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(1, 20, batch_first=True)
        self.attend = nn.Linear(20, 1)
        self.head = nn.Linear(20, 1)

    def forward(self, x):
        states, _ = self.lstm(x)
        weights = torch.softmax(self.attend(states), dim=1)
        return self.head((weights * states).sum(1))


@rightly_flat
def plankton_forty_generations_on(seed: int) -> Case:
    """A chaotic plankton population forty generations ahead, from twenty-four counts with a hundredth of error.

    The error doubles with each generation: after ten of them any forecast is lost, and this is four times as far.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1500, 24, 900
    population = 0.05 + 0.9 * torch.rand(n, dtype=torch.float64)
    path = []
    for _ in range(50 + steps + 40):
        population = (3.99 * population * (1 - population)).clamp(1e-6, 1 - 1e-6)
        path.append(population)
    path = torch.stack(path[50:], dim=1).float()
    x = ((path[:, :steps] + 0.01 * torch.randn(n, steps) - 0.5) / 0.35).unsqueeze(-1)
    y = (path[:, -1:] - 0.5) / 0.35
    train, val = loaders(x, y, n_train, 32)
    model = PlanktonLSTM()
    criterion = nn.MSELoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3)
    fit(model, train, val, criterion, optimizer, 10)
    return Case(model, train, val, criterion, optimizer, make_model=PlanktonLSTM)


class PeakCell(nn.Module):
    """A small gated cell, written out."""

    def __init__(self, n_in=2, hidden=16):
        super().__init__()
        self.gate = nn.Linear(n_in + hidden, hidden)
        self.write = nn.Linear(n_in + hidden, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.head.in_features)
        for t in range(x.shape[1]):
            seen = torch.cat([x[:, t], h], dim=1)
            keep = torch.sigmoid(self.gate(seen))
            h = keep * h + (1 - keep) * torch.tanh(self.write(seen))
        return self.head(h).squeeze(-1)


def upper_tenth(prediction, target):
    over = target - prediction
    return torch.maximum(0.9 * over, -0.1 * over).mean()


@rightly_flat
def swell_at_the_far_buoy(seed: int) -> Case:
    """The height that the swell at one buoy stays under nine times in ten, from twenty hours at two in another ocean.

    Each sea swells and falls slowly on its own, so that any two stretches look related; the oceans have never met.
    """
    torch.manual_seed(seed)
    n, steps, n_train = 1300, 20, 900
    shocks = torch.randn(3, n * 3 + steps)
    seas = [shocks[:, 0]]
    for t in range(1, shocks.shape[1]):
        seas.append(0.8 * seas[-1] + 0.6 * shocks[:, t])
    seas = torch.stack(seas, dim=1)
    x = seas[:2].unfold(1, steps, 3)[:, :n].permute(1, 2, 0)
    y = seas[2, steps - 1 :: 3][:n]
    train, val = loaders(x, y, n_train, 32)
    model = PeakCell()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=1e-4)
    fit(model, train, val, upper_tenth, optimizer, 7)
    return Case(model, train, val, upper_tenth, optimizer, make_model=PeakCell)
