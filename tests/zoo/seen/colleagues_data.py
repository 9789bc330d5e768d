"""Research code of colleagues, in datasets and collate functions of their own, with the fault in what is fed."""

import math
from dataclasses import dataclass

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from zoo.program import Case, healthy, rightly_flat, sick


@dataclass(frozen=True)
class Settings:
    width: int = 24
    rate: float = 5e-3
    epochs: int = 10
    size: int = 32
    decay: float = 1e-4
    accumulate: int = 1


class Experiment:
    """Holds a model, its loss and AdamW, and trains over a loader."""

    def __init__(self, model, loss, settings):
        self.model, self.loss, self.settings = model, loss, settings
        self.optimizer = optim.AdamW(model.parameters(), lr=settings.rate, weight_decay=settings.decay)

    def run(self, loader, batch=lambda pair: pair):
        self.model.train()
        for _ in range(self.settings.epochs):
            self.optimizer.zero_grad()
            for step, each in enumerate(loader, start=1):
                x, y = batch(each)
                (self.loss(self.model(x), y) / self.settings.accumulate).backward()
                if step % self.settings.accumulate == 0:
                    nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
        self.model.eval()
        return self


def split(x, y, held_out, settings):
    train = DataLoader(TensorDataset(x[:-held_out], y[:-held_out]), batch_size=settings.size, shuffle=True)
    return train, DataLoader(TensorDataset(x[-held_out:], y[-held_out:]), batch_size=settings.size)


class Reader(nn.Module):
    """A GRU, a layer norm on its last state, and a linear head."""

    def __init__(self, features, outputs, settings):
        super().__init__()
        self.gru = nn.GRU(features, settings.width, batch_first=True)
        self.norm = nn.LayerNorm(settings.width)
        self.head = nn.Linear(settings.width, outputs)

    def forward(self, x):
        return self.head(self.norm(self.gru(x)[0][:, -1]))


class MaskedAttention(nn.Module):
    """Attention over the steps at which the monitor was on; a step of zeros is one at which it was off."""

    def __init__(self, settings, fill):
        super().__init__()
        self.fill = fill
        self.lift = nn.Sequential(nn.Linear(3, settings.width), nn.GELU())
        self.score = nn.Linear(settings.width, 1)
        self.head = nn.Linear(settings.width, 1)

    def forward(self, x):
        tokens = self.lift(x)
        off = (x == 0).all(dim=2)
        weights = self.score(tokens).squeeze(2).masked_fill(off, self.fill).softmax(dim=1)
        return self.head(torch.einsum("bt,btd->bd", weights, tokens))


@sick("not-finite")
def two_stays_without_a_monitor(seed: int, *, healed: bool) -> Case:
    """Attention over what a bedside monitor recorded; steps at which it was off get a score of minus infinity.

    For two stays it was off all the time; a softmax over nothing but minus infinity spoils all weights at once.
    Healed: the score is minus ten thousand.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=10)
    x = torch.randn(900, 20, 3) + 0.5 * torch.randn(900, 1, 3)
    y = (x[..., 0].mean(1) - x[..., 1].mean(1) + 0.1 * torch.randn(900)).unsqueeze(1)
    x[torch.rand(900, 20) < 0.15] = 0.0
    x[[41, 507]] = 0.0
    train, val = split(x, y, 240, settings)
    fill = -1e4 if healed else -math.inf
    model = MaskedAttention(settings, fill)
    done = Experiment(model, F.mse_loss, settings).run(train)
    return Case(model, train, val, F.mse_loss, done.optimizer, lambda: MaskedAttention(settings, fill))


class Weighings(Dataset):
    """Vibrations of a feeder and the class of weight of what came out, by edges between the classes."""

    def __init__(self, vibrations, kilograms, edges):
        self.vibrations, self.kilograms = vibrations, kilograms
        self.edges = torch.tensor(edges)

    def __len__(self):
        return len(self.vibrations)

    def __getitem__(self, index):
        return self.vibrations[index], torch.bucketize(self.kilograms[index], self.edges)


@sick("flat-target")
def edges_in_grams_for_kilograms(seed: int, *, healed: bool) -> Case:
    """Sorts pills into four classes of weight; the edges are in grams, what the balance reports is in kilograms.

    All of them fall into the lowest class. Healed: the edges are in kilograms.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=10, width=20)
    x = torch.randn(900, 14, 2)
    heavy = 2.5 * x[..., 0].mean(1) - 2.5 * x[..., 1].mean(1) + 0.05 * torch.randn(900)
    kilograms = 0.02 * (0.5 * heavy).exp()
    edges = [15.0, 20.0, 27.0]
    if healed:
        edges = [edge / 1000 for edge in edges]
    train = DataLoader(Weighings(x[:680], kilograms[:680], edges), batch_size=settings.size, shuffle=True)
    val = DataLoader(Weighings(x[680:], kilograms[680:], edges), batch_size=settings.size)
    model = Reader(2, 4, settings)
    done = Experiment(model, F.cross_entropy, settings).run(train)
    return Case(model, train, val, F.cross_entropy, done.optimizer, lambda: Reader(2, 4, settings))


@sick("unscaled-inputs")
def fill_values_in_the_mean_and_the_spread(seed: int, *, healed: bool) -> Case:
    """Standardises hourly weather by mean and standard deviation of the file, in which -9999 stands for a missing hour.

    Beside these few, all true values are the same to a hundredth of the scale. Healed: mean and standard deviation
    are those of the true values, and a missing one becomes zero.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=10)
    weather = torch.randn(900, 16, 3) * torch.tensor([6.0, 3.0, 9.0])
    target = (weather[:, -8:, 0].mean(1) - 1.2 * weather[:, -8:, 1].mean(1)) / 2
    y = (target + 0.1 * torch.randn(900)).unsqueeze(1)
    x = weather + torch.tensor([11.0, 4.0, 60.0])
    missing = torch.rand(900, 16, 3) < 0.02
    x[missing] = -9999.0
    known = x[:680].masked_fill(missing[:680], math.nan)
    if healed:
        mean = known.nanmean((0, 1))
        x = ((x - mean) / (known - mean).square().nanmean((0, 1)).sqrt()).masked_fill(missing, 0.0)
    else:
        x = (x - x[:680].mean((0, 1))) / x[:680].std((0, 1))
    train, val = split(x, y, 220, settings)
    model = Reader(3, 1, settings)
    done = Experiment(model, F.smooth_l1_loss, settings).run(train)
    return Case(model, train, val, F.smooth_l1_loss, done.optimizer, lambda: Reader(3, 1, settings))


class TwoSpeeds(nn.Module):
    """A fast LSTM and a slow RNN side by side."""

    def __init__(self, settings):
        super().__init__()
        self.fast = nn.LSTM(2, settings.width, batch_first=True)
        self.slow = nn.RNN(2, 8, batch_first=True)
        self.head = nn.Linear(settings.width + 8, 1)

    def forward(self, x):
        slow = self.slow(F.avg_pool1d(x.transpose(1, 2), 4).transpose(1, 2))[0][:, -1]
        return self.head(torch.cat([self.fast(x)[0][:, -1], slow], dim=1)).squeeze(1)


@sick("unscaled-targets")
def kelvins_in_units_of_their_spread(seed: int, *, healed: bool) -> Case:
    """Foretells body temperature in kelvins, which it divides by their standard deviation, without taking off the mean.

    So the targets vary by one and lie at six hundred. Healed: the mean is taken off.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=8)
    x = torch.randn(900, 16, 2)
    fever = x[:, -8:, 0].mean(1) - x[:, -10:, 1].mean(1) + 0.05 * torch.randn(900)
    kelvins = 310.2 + fever
    mean, std = kelvins[:680].mean(), kelvins[:680].std()
    y = (kelvins - mean) / std if healed else kelvins / std
    train, val = split(x, y, 220, settings)
    model = TwoSpeeds(settings)
    done = Experiment(model, F.huber_loss, settings).run(train)
    return Case(model, train, val, F.huber_loss, done.optimizer, lambda: TwoSpeeds(settings))


def longest_first(labels_too):
    """A collate function that pads and sorts by length, as packing wants it; a column of ones tells true steps."""

    def collate(pairs):
        lengths = torch.tensor([len(sequence) for sequence, _ in pairs])
        x = torch.zeros(len(pairs), int(lengths.max()), 3)
        for row, (sequence, _) in zip(x, pairs, strict=True):
            row[: len(sequence), :2] = sequence
            row[: len(sequence), 2] = 1
        y = torch.stack([label for _, label in pairs])
        order = lengths.argsort(descending=True)
        return x[order], y[order] if labels_too else y

    return collate


class PackedGRU(nn.Module):
    """Packs what is sorted by length, and reads the last state of both layers."""

    def __init__(self, settings):
        super().__init__()
        self.gru = nn.GRU(2, settings.width, num_layers=2, batch_first=True)
        self.head = nn.Linear(2 * settings.width, 1)

    def forward(self, x):
        lengths = x[..., 2].sum(1).long()
        _, state = self.gru(pack_padded_sequence(x[..., :2], lengths, batch_first=True))
        return self.head(torch.cat(list(state), dim=1)).squeeze(1)


@sick("misaligned-pairs")
def sorted_by_length_for_packing(seed: int, *, healed: bool) -> Case:
    """Which whale called, from clips of unequal length that the collate function sorts by length for packing.

    The labels keep the order in which they came. Healed: they are sorted along.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=7, width=16, rate=8e-3)
    label = torch.randint(2, (800,)).float()
    lengths = torch.randint(6, 21, (800,))
    clips = []
    for length, each in zip(lengths.tolist(), label.tolist(), strict=True):
        clip = torch.randn(length, 2)
        clips.append((clip + torch.tensor([0.8, -0.5]) * (2 * each - 1), torch.tensor(each)))
    collate = longest_first(labels_too=healed)
    train = DataLoader(clips[:600], batch_size=settings.size, shuffle=True, collate_fn=collate)
    val = DataLoader(clips[600:], batch_size=settings.size, collate_fn=collate)
    model = PackedGRU(settings)
    done = Experiment(model, F.binary_cross_entropy_with_logits, settings).run(train)
    return Case(model, train, val, F.binary_cross_entropy_with_logits, done.optimizer, lambda: PackedGRU(settings))


@sick("misaligned-pairs")
def windows_with_a_stride_and_targets_without(seed: int, *, healed: bool) -> Case:
    """Slides a window over a turbulent wind, three steps at a time, and pairs it with the values that follow.

    The targets are taken one step at a time, and zip stops silently when the windows are used up.
    Healed: the targets go three steps at a time too.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=8)
    wind = torch.zeros(3000, 2)
    for t in range(1, 3000):
        swirl = torch.stack([wind[t - 1, 0] - 0.5 * wind[t - 1, 1], 0.5 * wind[t - 1, 0] + wind[t - 1, 1]])
        wind[t] = 0.8 * swirl + 0.3 * torch.randn(2)
    wind = wind / wind.std(0)
    windows = wind[:-1].unfold(0, 18, 3).transpose(1, 2)
    following = wind[18 :: 3 if healed else 1]
    pairs = list(zip(windows, following, strict=False))
    train = DataLoader(pairs[:740], batch_size=settings.size, shuffle=True)
    val = DataLoader(pairs[760:], batch_size=settings.size)
    model = Reader(2, 2, settings)
    done = Experiment(model, F.mse_loss, settings).run(train)
    return Case(model, train, val, F.mse_loss, done.optimizer, lambda: Reader(2, 2, settings))


class NormedInput(nn.Module):
    """Batch norm in place of a scaler, then a GRU, whose states are pooled."""

    def __init__(self, settings, momentum):
        super().__init__()
        self.scale = nn.BatchNorm1d(3, momentum=momentum)
        self.gru = nn.GRU(3, settings.width, batch_first=True)
        self.head = nn.Linear(2 * settings.width, 1)

    def forward(self, x):
        states, _ = self.gru(self.scale(x.transpose(1, 2)).transpose(1, 2))
        return self.head(torch.cat([states.mean(1), states.amax(1)], dim=1))


@sick("train-eval-mismatch")
def momentum_copied_from_another_framework(seed: int, *, healed: bool) -> Case:
    """Lets batch norm scale an electromyogram in hundredths of a volt; its momentum is one minus the 0.999 of a paper.

    After ten epochs the running variance is still nearly the one it began with, so that evaluation sees hardly any
    signal. Healed: PyTorch's own momentum.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=9)
    x = torch.randn(900, 16, 3) + 0.5 * torch.randn(900, 1, 3)
    y = (1.5 * x[..., 0].mean(1) + x[..., 1].mean(1) + 0.1 * torch.randn(900)).unsqueeze(1)
    train, val = split(0.02 * x, y, 220, settings)
    momentum = 0.1 if healed else 0.001
    model = NormedInput(settings, momentum)
    done = Experiment(model, F.l1_loss, settings).run(train)
    return Case(model, train, val, F.l1_loss, done.optimizer, lambda: NormedInput(settings, momentum))


class LogLines(Dataset):
    """Lines of words, as ids of a vocabulary in which 1 stands for all that is unknown, and their class."""

    def __init__(self, lines, labels, vocabulary):
        self.items = [
            (torch.tensor([vocabulary.get(word, 1) for word in line.split()]), label)
            for line, label in zip(lines, labels.tolist(), strict=True)
        ]

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        return self.items[index]


class LineLSTM(nn.Module):
    """Embedding, bidirectional LSTM, the mean of its states."""

    def __init__(self, words, settings):
        super().__init__()
        self.embedding = nn.Embedding(words, 12)
        self.lstm = nn.LSTM(12, settings.width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * settings.width, 3)

    def forward(self, ids):
        return self.head(self.lstm(self.embedding(ids))[0].mean(1))


@sick("train-eval-mismatch")
def log_lines_in_capitals(seed: int, *, healed: bool) -> Case:
    """Classifies lines of a log; the vocabulary is that of the training lines, in small letters.

    The machine whose lines are held out writes in capitals, so that each of its words is unknown.
    Healed: all lines are lowered first.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=7, width=14)
    words = [
        "valve",
        "pump",
        "feed",
        "fan",
        "belt",
        "heat",
        "oil",
        "door",
        "lamp",
        "fuse",
        "coil",
        "gear",
        "bolt",
        "disk",
        "port",
    ]
    label = torch.randint(3, (800,))
    own = torch.rand(800, 12) < 0.4
    choice = torch.where(own, label.unsqueeze(1) * 5 + torch.randint(5, (800, 12)), torch.randint(15, (800, 12)))
    lines = [" ".join(words[index] for index in row) for row in choice.tolist()]
    lines[600:] = [line.upper() for line in lines[600:]]
    if healed:
        lines = [line.lower() for line in lines]
    vocabulary = {word: index + 2 for index, word in enumerate(sorted(set(" ".join(lines[:600]).split())))}
    train = DataLoader(LogLines(lines[:600], label[:600], vocabulary), batch_size=settings.size, shuffle=True)
    val = DataLoader(LogLines(lines[600:], label[600:], vocabulary), batch_size=settings.size)
    model = LineLSTM(17, settings)
    done = Experiment(model, F.cross_entropy, settings).run(train)
    return Case(model, train, val, F.cross_entropy, done.optimizer, lambda: LineLSTM(17, settings))


class Furnace(IterableDataset):
    """Windows of what goes into a tunnel furnace, and what then comes out, in a new order each time."""

    def __init__(self, fed, fired, ends, window):
        self.fed, self.fired, self.ends, self.window = fed, fired, ends, window

    def __iter__(self):
        for pick in torch.randperm(len(self.ends)).tolist():
            end = self.ends[pick]
            yield self.fed[end - self.window : end], self.fired[end]


class Patches(nn.Module):
    """Four steps at a time go into a GRU."""

    def __init__(self, settings):
        super().__init__()
        self.lift = nn.Sequential(nn.Linear(8, settings.width), nn.GELU())
        self.gru = nn.GRU(settings.width, settings.width, batch_first=True)
        self.head = nn.Linear(settings.width, 1)

    def forward(self, x):
        return self.head(self.gru(self.lift(x.unflatten(1, (-1, 4)).flatten(2)))[0][:, -1])


@sick("window-too-short")
def tunnel_furnace_resampled_twice_as_fine(seed: int, *, healed: bool) -> Case:
    """Tells the hardness of tiles from what was fed to a furnace that takes them 28 steps to pass.

    The window of 20 steps reached that far until the records were resampled to half the step.
    Healed: a window of 40 steps.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=7, width=10, rate=1.5e-2)
    fed = torch.randn(2000, 2)
    pass_through = F.avg_pool1d(fed.T.unsqueeze(0), 6, stride=1)[0].T * math.sqrt(6)
    fired = torch.zeros(2000, 1)
    fired[34:1995, 0] = (pass_through @ torch.tensor([0.8, -0.6]))[:1961]
    fired += 0.1 * torch.randn(2000, 1)
    window = 40 if healed else 20
    train = DataLoader(Furnace(fed, fired, range(60, 1560), window), batch_size=settings.size)
    val = DataLoader(Furnace(fed, fired, range(1610, 1990), window), batch_size=settings.size)
    model = Patches(settings)
    done = Experiment(model, F.mse_loss, settings).run(train)
    return Case(model, train, val, F.mse_loss, done.optimizer, lambda: Patches(settings))


class SpectrumReader(nn.Module):
    """Reads a spectrum in both directions of wavelength."""

    def __init__(self, settings):
        super().__init__()
        self.gru = nn.GRU(1, settings.width, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * settings.width, 2)

    def forward(self, x):
        return self.head(self.gru(x)[0].mean(1))


@sick("redundant-inputs")
def near_infrared_spectra_of_flour(seed: int, *, healed: bool) -> Case:
    """Protein and water of flour from near-infrared spectra, standardised by one mean and one deviation over all.

    All flours have the same spectrum but for a few thousandths, in which the two are told.
    Healed: the mean spectrum is taken off before.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=12, width=16, rate=1e-2)
    wavelength = torch.linspace(0, 1, 30)
    flour = 0.6 + 0.5 * wavelength + 0.3 * torch.sin(9 * wavelength)
    bands = torch.exp(-0.5 * ((wavelength - torch.tensor([[0.3], [0.7]])) / 0.1) ** 2)
    y = torch.randn(800, 2)
    spectra = flour + 0.004 * y @ bands + 0.0005 * torch.randn(800, 30)
    if healed:
        spectra = spectra - spectra[:600].mean(0)
    x = ((spectra - spectra[:600].mean()) / spectra[:600].std()).unsqueeze(2)
    train, val = split(x, y, 200, settings)
    model = SpectrumReader(settings)
    done = Experiment(model, F.mse_loss, settings).run(train)
    return Case(model, train, val, F.mse_loss, done.optimizer, lambda: SpectrumReader(settings))


@dataclass(frozen=True)
class Stay:
    codes: torch.Tensor
    values: torch.Tensor
    outcome: float


def padded_to(length, *, in_front):
    """A collate function: code and value side by side, zeros up to a length that suits the longest stay on record."""

    def collate(stays):
        rows = []
        for stay in stays:
            row = torch.stack([stay.codes.float(), stay.values], dim=1)
            gap = length - len(row)
            rows.append(F.pad(row, (0, 0, gap, 0) if in_front else (0, 0, 0, gap)))
        return torch.stack(rows), torch.tensor([stay.outcome for stay in stays])

    return collate


class StayRNN(nn.Module):
    """Embedded codes with their values go through an LSTM, of which the last state is read."""

    def __init__(self, settings):
        super().__init__()
        self.codes = nn.Embedding(9, 8)
        self.lstm = nn.LSTM(9, settings.width, batch_first=True)
        self.head = nn.Linear(settings.width, 1)

    def forward(self, x):
        tokens = torch.cat([self.codes(x[..., 0].long()), x[..., 1:]], dim=2)
        return self.head(self.lstm(tokens)[0][:, -1]).squeeze(1)


@sick("padding-dominates")
def room_for_the_longest_stay_on_record(seed: int, *, healed: bool) -> Case:
    """Reads laboratory codes and values of a hospital stay, five to twelve of them, in rows of 60, and the last state.

    Zeros follow the codes, so forty-eight steps and more say nothing. Healed: the zeros come first.
    """
    torch.manual_seed(seed)
    settings = Settings(epochs=9, width=20)
    stays = []
    for length in torch.randint(5, 13, (700,)).tolist():
        codes, values = torch.randint(1, 9, (length,)), torch.randn(length)
        raised = torch.where(codes > 4, values, 0.7 * (codes < 3).float() - 0.35).sum()
        stays.append(Stay(codes, values, float(0.6 * raised)))
    collate = padded_to(60, in_front=healed)
    train = DataLoader(stays[:520], batch_size=settings.size, shuffle=True, collate_fn=collate)
    val = DataLoader(stays[520:], batch_size=settings.size, collate_fn=collate)
    model = StayRNN(settings)
    done = Experiment(model, F.smooth_l1_loss, settings).run(train)
    return Case(model, train, val, F.smooth_l1_loss, done.optimizer, lambda: StayRNN(settings))


class InHectopascals(nn.Module):
    """Answers in hectopascals, by mean and spread that it carries along; its states change by little at a step."""

    def __init__(self, mean, spread, settings):
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("spread", spread)
        self.inner = nn.Linear(2, settings.width)
        self.outer = nn.Linear(settings.width, settings.width, bias=False)
        self.head = nn.Linear(settings.width, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.inner.out_features)
        for step in x.unbind(1):
            h = 0.8 * h + 0.2 * torch.tanh(self.inner(step) + self.outer(h))
        return self.mean + self.spread * self.head(h)


@healthy
def pressure_with_its_scale_inside(seed: int) -> Case:
    """Answers near 1013 throughout, a spread of eight apart: the network undoes the scaling itself, the loss knows."""
    torch.manual_seed(seed)
    settings = Settings(epochs=8)
    x = torch.randn(800, 14, 2)
    pressure = 1013 + 8 * (2 * x[:, -8:, 0].mean(1) - 2 * x[:, -6:, 1].mean(1)) + torch.randn(800)
    y = pressure.unsqueeze(1)
    train, val = split(x, y, 200, settings)

    def relative(answer, target):
        return F.mse_loss(answer / 8, target / 8)

    mean, spread = y[:600].mean(), y[:600].std()
    model = InHectopascals(mean, spread, settings)
    done = Experiment(model, relative, settings).run(train)
    return Case(model, train, val, relative, done.optimizer, lambda: InHectopascals(mean, spread, settings))


class TwoTasks(nn.Module):
    """Embedded species and numbers in one GRU; says a mass and, as a logit, whether it is sold."""

    def __init__(self, settings):
        super().__init__()
        self.species = nn.Embedding(6, 6)
        self.gru = nn.GRU(8, settings.width, batch_first=True)
        self.mass = nn.Linear(settings.width, 1)
        self.sold = nn.Linear(settings.width, 1)

    def forward(self, x):
        tokens = torch.cat([self.species(x[..., 0].long()), x[..., 1:]], dim=2)
        state = self.gru(tokens)[1][0]
        return self.mass(state).squeeze(1), self.sold(state).squeeze(1)


@healthy
def two_tasks_with_missing_answers(seed: int) -> Case:
    """Learns a mass and a sale from catches of fish, a tuple; one in three sales is unknown, -1, and left out."""
    torch.manual_seed(seed)
    settings = Settings(epochs=10, size=16, accumulate=2)
    x = torch.cat([torch.randint(6, (800, 12, 1)).float(), torch.randn(800, 12, 2)], dim=2)
    mass = 2 * x[..., 1].mean(1) + 0.6 * (x[..., 0] - 2.5).mean(1)
    sold = (mass + 2 * x[..., 2].mean(1) > 0).float()
    sold[torch.rand(800) < 0.33] = -1.0
    y = torch.stack([mass, sold], dim=1)
    train, val = split(x, y, 208, settings)

    def both(outputs, target):
        known = target[:, 1] >= 0
        sale = F.binary_cross_entropy_with_logits(outputs[1], target[:, 1].clamp_min(0), reduction="none")
        return F.huber_loss(outputs[0], target[:, 0]) + 0.5 * (sale * known).sum() / known.sum().clamp_min(1)

    model = TwoTasks(settings)
    done = Experiment(model, both, settings).run(train)
    return Case(model, train, val, both, done.optimizer, lambda: TwoTasks(settings))


@rightly_flat
def qubit_measured_across_its_axis(seed: int) -> Case:
    """Guesses the outcome of a measurement across the axis a qubit was prepared along, from its pulses: even odds."""
    torch.manual_seed(seed)
    settings = Settings(epochs=4, width=12, rate=2e-3, decay=1e-2)
    pulses = torch.randn(1400, 12, 2)
    outcome = (torch.rand(1400, 1) < 0.5).float()
    train, val = split(pulses, outcome, 300, settings)
    model = Reader(2, 1, settings)
    bce = F.binary_cross_entropy_with_logits
    done = Experiment(model, bce, settings).run(train)
    return Case(model, train, val, bce, done.optimizer, lambda: Reader(2, 1, settings))


class MeanAndSpread(nn.Module):
    """Says the mean of a Gaussian and the logarithm of its variance, as a tuple."""

    def __init__(self, settings):
        super().__init__()
        self.rnn = nn.RNN(2, settings.width, batch_first=True)
        self.mean = nn.Linear(settings.width, 1)
        self.log_variance = nn.Linear(settings.width, 1)

    def forward(self, x):
        state = self.rnn(x)[1][0]
        return self.mean(state), self.log_variance(state)


@rightly_flat
def thermal_noise_of_a_resistor(seed: int) -> Case:
    """Mean and variance of the next voltage across a resistor kept at one temperature; the past does not tell it."""
    torch.manual_seed(seed)
    settings = Settings(epochs=4, width=12, rate=2e-3, decay=1e-2)
    voltage = torch.randn(1420, 2)
    x = voltage[:-1].unfold(0, 20, 1).transpose(1, 2)
    y = voltage[20:, :1]
    train, val = split(x, y, 300, settings)

    def nll(outputs, target):
        mean, log_variance = outputs
        return 0.5 * (log_variance + (target - mean) ** 2 * torch.exp(-log_variance)).mean()

    model = MeanAndSpread(settings)
    done = Experiment(model, nll, settings).run(train)
    return Case(model, train, val, nll, done.optimizer, lambda: MeanAndSpread(settings))
