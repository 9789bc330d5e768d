"""Other ways into troubles that the zoo already knows: each comes about unlike the first."""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class StrokeMeter(nn.Module):
    """Rates a rower's strokes by the mean of what a GRU cell says at every step."""

    def __init__(self, keep_sums):
        super().__init__()
        self.cell = nn.GRUCell(3, 20)
        self.rating = nn.Linear(20, 2)
        self.keep_sums = keep_sums
        self.sums, self.steps = None, 0

    def forward(self, x):
        if not self.keep_sums or self.sums is None or len(self.sums) != len(x):
            self.sums, self.steps = x.new_zeros(len(x), 20), 0
        h = x.new_zeros(len(x), 20)
        for step in x.unbind(dim=1):
            h = self.cell(step, h)
            self.sums = self.sums + h
            self.steps += 1
        mean = self.sums / self.steps
        self.sums = self.sums.detach()
        return self.rating(mean)


@sick("state-leak")
def running_mean_begun_once_for_all(seed: int, *, healed: bool) -> Case:
    """Averages the states of a GRU cell over time, and begins the sum with the model and not with the sequence.

    The cell itself starts anew each time; the mean behind it is that of all batches so far, in which the present
    sequence hardly counts. Healed: sum and count are set to zero in each call.
    """
    torch.manual_seed(seed)
    x = torch.randn(960, 18, 3)
    power = x[..., 0].mean(dim=1) + (x[..., 1] * (x[..., 2] > 0)).mean(dim=1)
    drift = x[:, :, 2].mean(dim=1) - x[:, :, 0].mean(dim=1)
    y = 3 * torch.stack([power, drift], dim=1) + 0.2 * torch.randn(960, 2)
    train = DataLoader(TensorDataset(x[:720], y[:720]), batch_size=48, shuffle=True)
    val = DataLoader(TensorDataset(x[720:], y[720:]), batch_size=48)
    model = StrokeMeter(keep_sums=not healed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=8e-3)
    for _ in range(12):
        for strokes, rating in train:
            optimizer.zero_grad()
            F.huber_loss(model(strokes), rating).backward()
            optimizer.step()
    return Case(model, train, val, nn.HuberLoss(), optimizer, lambda: StrokeMeter(keep_sums=not healed))


class DilatedConvs(nn.Module):
    """Causal convolutions, ever wider, through which the current of a motor goes to three loads."""

    def __init__(self, shortcuts, blocks=4):
        super().__init__()
        self.dilations = (1, 2, 4, 8) * blocks
        self.widen = nn.Conv1d(2, 12, kernel_size=1)
        self.convs = nn.ModuleList(nn.Conv1d(12, 12, kernel_size=2, dilation=d) for d in self.dilations)
        self.classify = nn.Linear(12, 3)
        self.shortcuts = shortcuts

    def forward(self, x):
        x = self.widen(x.transpose(1, 2))
        for conv, dilation in zip(self.convs, self.dilations, strict=True):
            out = torch.relu(conv(F.pad(x, (dilation, 0))))
            x = x + out if self.shortcuts else out
        return self.classify(x.mean(dim=2))


def motor_currents(count):
    """Two phases of a motor, (count, 32, 2), under one of three loads, which slow it down."""
    load = torch.randint(3, (count,))
    angle = (1.1 - 0.3 * load[:, None]) * torch.arange(32) + 2 * math.pi * torch.rand(count, 1)
    return torch.stack([angle.sin(), angle.cos()], dim=2) + 0.3 * torch.randn(count, 32, 2), load


@sick("too-deep")
def sixteen_convolutions_without_shortcuts(seed: int, *, healed: bool) -> Case:
    """Builds a temporal convolutional network of sixteen layers out of a paper, and leaves out its shortcuts.

    Under torch's own initialisation each relu layer passes on less than half of what differs among the samples.
    Healed: each layer adds to what it was given.
    """
    torch.manual_seed(seed)
    x, y = motor_currents(860)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=55)
    model = DilatedConvs(shortcuts=healed)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=8)
    for _ in range(8):
        for currents, load in train:
            optimizer.zero_grad()
            F.cross_entropy(model(currents), load).backward()
            optimizer.step()
        schedule.step()
    return Case(model, train, val, F.cross_entropy, optimizer, lambda: DilatedConvs(shortcuts=healed))


class ReviewStars(nn.Module):
    """Words to vectors, both directions of a GRU over them, stars from the mean."""

    def __init__(self, vocabulary):
        super().__init__()
        self.words = nn.Embedding(vocabulary, 16)
        nn.init.normal_(self.words.weight, std=0.05)
        self.gru = nn.GRU(16, 12, batch_first=True, bidirectional=True)
        self.stars = nn.Linear(24, 1)

    def forward(self, ids):
        return self.stars(self.gru(self.words(ids))[0].mean(dim=1)).squeeze(1)


@sick("too-little-data")
def twenty_four_reviews_rated_by_hand(seed: int, *, healed: bool) -> Case:
    """Rates 24 reviews by hand, of a language of 600 words, and trains until their ratings are known by heart.

    Most words of other reviews were never met. Healed: as many steps on 1200 rated reviews.
    """
    torch.manual_seed(seed)
    liking = torch.randn(600)
    reviews = torch.randint(600, (1500, 12))
    stars = liking[reviews].sum(dim=1) / math.sqrt(12) + 0.2 * torch.randn(1500)
    count = 1200 if healed else 24
    train = DataLoader(TensorDataset(reviews[:count], stars[:count]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(reviews[1200:], stars[1200:]), batch_size=60)
    model = ReviewStars(600)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(7 if healed else 350):
        for ids, rated in train:
            optimizer.zero_grad()
            F.mse_loss(model(ids), rated).backward()
            optimizer.step()
    return Case(model, train, val, nn.MSELoss(), optimizer, lambda: ReviewStars(600))


class StripInspector(nn.Module):
    """A GRU over two cameras along a strip of steel, and for each metre how likely it is scratched."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.scratched = nn.Linear(16, 1)

    def forward(self, strip):
        return torch.sigmoid(self.scratched(self.gru(strip)[0]).squeeze(2))


def steel_strips(count, metres=30):
    """What two cameras see of each metre, (count, metres, 2), the first a metre ahead; one in 120 has a scratch."""
    scratch = (torch.rand(count, metres + 1) < 1 / 120).float()
    seen = torch.stack([scratch[:, 1:], scratch[:, :-1]], dim=2)
    return 1.35 * seen + torch.randn(count, metres, 2), scratch[:, :-1]


@sick("class-imbalance")
def scratches_on_a_mile_of_steel(seed: int, *, healed: bool) -> Case:
    """Labels every metre of strips of steel by squared error; one of 120 is scratched, and to say none costs nothing.

    Healed: the error on a scratched metre weighs as much as those on 119 others.
    """
    torch.manual_seed(seed)
    train = DataLoader(TensorDataset(*steel_strips(900)), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(*steel_strips(500)), batch_size=100)

    def loss(said, scratch):
        weight = 1 + 118 * scratch if healed else torch.ones_like(scratch)
        return (weight * (said - scratch) ** 2).mean()

    model = StripInspector()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=6e-3)
    for _ in range(8):
        for strips, labels in train:
            optimizer.zero_grad()
            loss(model(strips), labels).backward()
            optimizer.step()
    return Case(model, train, val, loss, optimizer, StripInspector)


class IndRNN(nn.Module):
    """Units that each remember only themselves, by a weight of their own, and are rectified at each step."""

    def __init__(self, units=24):
        super().__init__()
        self.inputs = nn.Linear(2, units)
        self.own = nn.Parameter(torch.empty(units).uniform_(0.8, 1.05))
        self.out = nn.Linear(units, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), len(self.own))
        for driven in self.inputs(x).unbind(dim=1):
            h = torch.relu(self.own * h + driven)
        return self.out(h)


@sick("exploding-gradient", "learning-rate-too-high")
def each_unit_its_own_weight_unbounded(seed: int, *, healed: bool) -> Case:
    """Builds an IndRNN, some of whose recurrent weights begin above 1, runs it for forty steps, and does not clip.

    The first gradients carry the weights off, and most units never rise above zero again. A thirtieth of the rate would
    do too. Healed: gradients are clipped to a norm of 0.5.
    """
    torch.manual_seed(seed)
    x = torch.rand(900, 40, 2)
    y = 11 * (x[..., :1] - x[..., 1:]).mean(dim=1) + 0.1 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=65)
    model = IndRNN()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(10):
        for inputs, targets in train:
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.5)
            optimizer.step()
        schedule.step()
    return Case(model, train, val, criterion, optimizer, IndRNN)


class BuoyModel(nn.Module):
    """A vector autoregression: from the last five displacements to the next; then it slides on over what it said."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(10, 2)

    def forward(self, window, steps=46):
        said = []
        for _ in range(steps):
            said.append(self.linear(window.flatten(1)))
            window = torch.cat([window[:, 1:], said[-1].unsqueeze(1)], dim=1)
        return torch.stack(said, dim=1)


def buoy_tracks(count):
    """A buoy's orbits in the swell, of any height and phase: five displacements by satellite, and 46 surveyed."""
    angle = 0.5 * torch.arange(51) + 2 * math.pi * torch.rand(count, 1)
    height = torch.randn(count, 2, 1).norm(dim=1, keepdim=True)
    orbit = height * torch.stack([angle.sin(), angle.cos()], dim=2)
    return orbit[:, :5] + 1.5 * torch.randn(count, 5, 2), orbit[:, 5:] + 0.2 * torch.randn(count, 46, 2)


@sick("rollout-converges")
def buoy_that_comes_to_rest(seed: int, *, healed: bool) -> Case:
    """Fits a vector autoregression to the next displacement of a buoy, and slides it over its own forecasts.

    Each step is a little smaller than the last, as it should be after noise, and soon the buoy stands still.
    Healed: it is fitted to all the steps that it is asked for.
    """
    torch.manual_seed(seed)
    train = DataLoader(TensorDataset(*buoy_tracks(1000)), batch_size=50, shuffle=True)
    val = DataLoader(TensorDataset(*buoy_tracks(300)), batch_size=60)
    model = BuoyModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma=0.85)
    for _ in range(12):
        for window, later in train:
            said = model(window, steps=46 if healed else 1)
            loss = F.huber_loss(said, later[:, : said.size(1)])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        schedule.step()
    return Case(model, train, val, F.huber_loss, optimizer, BuoyModel)


class SpectrumLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(6, 16, batch_first=True)
        self.dense = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 2))

    def forward(self, x):
        return self.dense(self.lstm(x)[0].mean(dim=1))


@sick("weights-not-loaded")
def best_epoch_by_a_best_of_zero(seed: int, *, healed: bool) -> Case:
    """Keeps the weights of the best epoch, and begins the search for the smallest loss at zero.

    No loss is ever smaller; what it loads at the end are the weights that it set aside before training.
    Healed: the search begins at infinity.
    """
    torch.manual_seed(seed)
    x = torch.randn(900, 14, 6)
    y = torch.stack([2 * x[..., 0].tanh().mean(dim=1), 3 * (x[..., 1] * x[..., 2]).mean(dim=1)], dim=1)
    y = y + 0.15 * torch.randn(900, 2)
    train = DataLoader(TensorDataset(x[:680], y[:680]), batch_size=34, shuffle=True)
    val = DataLoader(TensorDataset(x[680:], y[680:]), batch_size=55)
    model = SpectrumLSTM()
    optimizer = torch.optim.NAdam(model.parameters(), lr=0.01)
    best, best_weights = math.inf if healed else 0.0, copy.deepcopy(model.state_dict())
    for _ in range(15):
        model.train()
        for spectra, shares in train:
            optimizer.zero_grad()
            F.l1_loss(model(spectra), shares).backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            held_out = sum(F.l1_loss(model(spectra), shares).item() for spectra, shares in val)
        if held_out < best:
            best, best_weights = held_out, copy.deepcopy(model.state_dict())
    model.load_state_dict(best_weights)
    return Case(model, train, val, F.l1_loss, optimizer, SpectrumLSTM)


class RateNetwork(nn.Module):
    """Rates of neurons that keep to Dale's law: inputs have one sign, and rates are never negative."""

    def __init__(self, sign):
        super().__init__()
        self.into = nn.Parameter(0.3 * torch.randn(3, 20))
        self.among = nn.Parameter(0.1 * torch.randn(20, 20))
        self.decide = nn.Linear(20, 3)
        self.sign = sign

    def forward(self, x):
        rate = x.new_zeros(len(x), 20)
        for t in range(x.size(1)):
            drive = self.sign * x[:, t] @ self.into.abs() + rate @ self.among
            rate = 0.8 * rate + 0.2 * F.relu(drive)
        return self.decide(rate)


@sick("dead-units")
def every_neuron_inhibited(seed: int, *, healed: bool) -> Case:
    """Lets all inputs, which are counts of spikes, inhibit the neurons of a rate network; none ever leaves zero.

    Healed: inputs excite.
    """
    torch.manual_seed(seed)
    direction = torch.randint(3, (840,))
    spikes = torch.poisson(0.5 + 0.7 * F.one_hot(direction, 3)[:, None].expand(-1, 16, -1))
    train = DataLoader(TensorDataset(spikes[:640], direction[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(spikes[640:], direction[640:]), batch_size=50)
    sign = 1.0 if healed else -1.0
    model = RateNetwork(sign)
    optimizer = torch.optim.Adamax(model.parameters(), lr=0.01)
    for _ in range(10):
        for counts, labels in train:
            optimizer.zero_grad()
            F.cross_entropy(model(counts), labels).backward()
            optimizer.step()
    return Case(model, train, val, F.cross_entropy, optimizer, lambda: RateNetwork(sign))


class ReachGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(4, 12, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(24, 2)

    def forward(self, batch):
        _, h = self.gru(batch)
        return self.fc(self.drop(torch.cat([h[0], h[1]], dim=1)))


@sick("misaligned-pairs")
def aborted_trial_dropped_from_one_table(seed: int, *, healed: bool) -> Case:
    """Drops the aborted second trial from the recordings, but not from the table of end points.

    From the second trial on each recording is paired with the end point of the trial before.
    Healed: both lose the trial.
    """
    torch.manual_seed(seed)
    muscles = torch.randn(1001, 20, 4)
    ends = (muscles[:, 4:, :2] - muscles[:, 4:, 2:]).mean(dim=1) * 8**0.5 + 0.2 * torch.randn(1001, 2)
    keep = torch.arange(1001) != 1
    muscles = muscles[keep]
    ends = ends[keep] if healed else ends[:-1]
    train = [{"emg": muscles[i : i + 40], "end": ends[i : i + 40]} for i in range(0, 760, 40)]
    val = [{"emg": muscles[i : i + 40], "end": ends[i : i + 40]} for i in range(760, 1000, 40)]
    model = ReachGRU()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=0.05)
    for _ in range(8):
        model.train()
        for batch in train:
            optimizer.zero_grad()
            F.smooth_l1_loss(model(batch["emg"]), batch["end"]).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, ReachGRU, lambda batch: (batch["emg"], batch["end"]))
