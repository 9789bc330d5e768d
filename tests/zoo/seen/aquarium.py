"""Programs from a public aquarium: its tanks, its pumps, its animals, and those who come to see them."""

import copy
import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset, random_split

from zoo.program import Case, healthy, rightly_flat, sick


class DoseCell(nn.Module):
    def __init__(self, averaged):
        super().__init__()
        self.averaged = averaged
        self.weight = nn.Parameter(0.5 * torch.randn(3, 20))
        self.keep = nn.Parameter(torch.full((20,), 4.0))
        self.mix = nn.Linear(20, 16)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        keep = torch.sigmoid(self.keep)
        load = x.new_zeros(len(x), 20)
        for t in range(x.shape[1]):
            dose = x[:, t] @ F.softplus(self.weight)
            load = keep * load + ((1 - keep) * dose if self.averaged else dose)
            state = torch.tanh(load)
        return self.head(torch.tanh(self.mix(state)))


@sick("saturated-units")
def food_only_ever_adds_to_the_load(seed: int, *, healed: bool) -> Case:
    """Nitrate in a tank after 40 hours of food, fish and light, each scaled to 0..1. As none of them can take anything
    away, the author's own cell has positive weights only and adds every hour's dose to a slowly leaking load before
    the tanh: the load stands near 30 in every tank, and the tanh at 1.

    Healed: the load is a leaky average of the doses, not their sum.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.25, 0.9, (800, 1, 3))
    x = np.clip(level + 0.15 * rng.standard_normal((800, 40, 3)), 0, 1)
    recent = x[:, -20:].mean(axis=1)
    y = recent @ np.array([1.0, 0.6, -0.8]) + 0.08 * rng.standard_normal(800)
    y = (y - y[:600].mean()) / y[:600].std()
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=40)
    model = DoseCell(averaged=healed)
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=lambda: DoseCell(averaged=healed))


class PenguinLSTM(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(2, 24, num_layers=2, batch_first=True)
        self.classify = nn.Linear(24, 3)

    def forward(self, steps):
        out, _ = self.lstm(steps)
        return self.classify(out.mean(dim=1))


@sick("frozen-weights")
def every_fold_gets_a_copy(seed: int, *, healed: bool) -> Case:
    """Which of three gaits a penguin goes, from 30 readings of a two-axis accelerometer, in a cross-validation of four
    folds. Each fold trains a fresh deep copy of one network, but the optimizer is made once, before the loop, and
    moves the weights of the original.

    Healed: each fold makes an optimizer for its own copy.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    gait = rng.integers(0, 3, 640)
    speed = np.array([0.5, 1.0, 1.6])[gait][:, None]
    t = np.arange(30)
    phase = speed * t + rng.uniform(0, 2 * math.pi, (640, 1))
    sway = np.array([0.6, 1.2, 0.9])[gait][:, None]
    x = np.stack([np.sin(phase), sway * np.cos(phase)], axis=2) + 0.4 * rng.standard_normal((640, 30, 2))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(gait)
    criterion = nn.CrossEntropyLoss()
    template = PenguinLSTM()
    optimizer = torch.optim.Adam(template.parameters(), lr=8e-3)
    for fold in range(4):
        held_out = torch.arange(640) % 4 == fold
        train = DataLoader(TensorDataset(x[~held_out], y[~held_out]), batch_size=32, shuffle=True)
        val = DataLoader(TensorDataset(x[held_out], y[held_out]), batch_size=80)
        model = copy.deepcopy(template)
        if healed:
            optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
        for _ in range(5):
            for xb, yb in train:
                optimizer.zero_grad()
                criterion(model(xb), yb).backward()
                optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class BottleRecords(Dataset):
    def __init__(self, records, codes, hardness, part):
        self.records, self.codes, self.hardness, self.part = records, codes, hardness, part

    def __len__(self):
        return len(self.codes)

    def __getitem__(self, i):
        row = int(self.codes[i].split("-")[self.part])
        return self.records[row], self.hardness[i]


class Titration(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 8, 3, padding=1)
        self.gru = nn.GRU(8, 20, batch_first=True)
        self.out = nn.Linear(20, 1)

    def forward(self, curve):
        features = torch.relu(self.conv(curve.transpose(1, 2))).transpose(1, 2)
        return self.out(self.gru(features)[1][-1]).squeeze(-1)


@sick("redundant-inputs")
def the_hall_is_taken_for_the_bottle(seed: int, *, healed: bool) -> Case:
    """Hardness of the water in 700 bottles from their titration curves (25 readings). A bottle's code is `T-07-0312`,
    for hall 7 and bottle 312, and the Dataset looks the curve up by the first number. All bottles come from hall 7,
    so that each of them is shown with curve 7.

    Healed: the curve is looked up by the second number.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    hardness = rng.standard_normal(700)
    dose = np.linspace(-2, 2, 25)
    curves = np.tanh(2 * (dose - 0.5 * hardness[:, None])) + 0.1 * rng.standard_normal((700, 25))
    order = rng.permutation(700)
    codes = [f"T-07-{bottle:04d}" for bottle in order]
    records = torch.tensor(curves, dtype=torch.float32).unsqueeze(2)
    target = torch.tensor(hardness[order], dtype=torch.float32)
    part = 2 if healed else 1
    train = DataLoader(BottleRecords(records, codes[:520], target[:520], part), batch_size=26, shuffle=True)
    val = DataLoader(BottleRecords(records, codes[520:], target[520:], part), batch_size=60)
    model = Titration()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    loss_fn = nn.SmoothL1Loss()
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=Titration)


class QuarantineRNN(nn.Module):
    def __init__(self, orthogonal):
        super().__init__()
        self.rnn = nn.RNN(2, 32, batch_first=True)
        self.fc = nn.Linear(32, 1)
        if orthogonal:
            nn.init.orthogonal_(self.rnn.weight_hh_l0)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


@sick("vanishing-gradient")
def what_the_fish_weighed_on_arrival(seed: int, *, healed: bool) -> Case:
    """What a fish weighed when it came, from 60 days of quarantine. It shows in what it eats in the first four days;
    what it eats afterwards is the same diet for all, with some noise. A plain RNN with its usual weights reads the
    days, and of the first ones nothing is left at the end, nor does any gradient come back to them.

    Healed: the recurrent weights begin orthogonal.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal(900)
    eaten = 0.2 * rng.standard_normal((900, 60))
    eaten[:, :4] = weight[:, None] + 0.4 * rng.standard_normal((900, 4))
    light = 0.3 * rng.standard_normal((900, 60))
    x = torch.tensor(np.stack([eaten, light], axis=2), dtype=torch.float32)
    y = torch.tensor(weight, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    model = QuarantineRNN(orthogonal=healed)
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: QuarantineRNN(orthogonal=healed))


class OctopusNet(nn.Module):
    def __init__(self, momentum):
        super().__init__()
        self.embed = nn.Embedding(12, 10)
        self.gru = nn.GRU(10, 16, batch_first=True, bidirectional=True)
        self.norm = nn.BatchNorm1d(32, momentum=momentum)
        self.out = nn.Linear(32, 4)

    def forward(self, tokens):
        states, _ = self.gru(self.embed(tokens))
        return self.out(self.norm(states.mean(dim=1)))


@sick("train-eval-mismatch")
def a_momentum_from_the_other_framework(seed: int, *, healed: bool) -> Case:
    """Which of four toys an octopus plays with, from 20 of its movements (12 kinds). The batch norm under the head has
    a momentum of 0.0005, since it was 0.9995 in the framework this was ported from. The running variance is still
    nearly 1 after training, while the pooled states vary by a few hundredths: all is well until `model.eval()`.

    Healed: a momentum of 0.1.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    toy = rng.integers(0, 4, 900)
    habits = 0.5 * np.ones((4, 12)) + 0.6 * np.kron(np.eye(4), np.ones(3))
    habits = habits / habits.sum(axis=1, keepdims=True)
    moves = np.stack([rng.choice(12, size=20, p=habits[kind]) for kind in toy])
    data = TensorDataset(torch.tensor(moves), torch.tensor(toy))
    first, second = random_split(data, [700, 200], generator=torch.Generator().manual_seed(seed))
    train = DataLoader(first, batch_size=35, shuffle=True)
    val = DataLoader(second, batch_size=50)
    model = OctopusNet(momentum=0.1 if healed else 0.0005)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for _ in range(5):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, criterion, optimizer)


class TurnstileNet(nn.Module):
    def __init__(self, reset):
        super().__init__()
        self.reset = reset
        self.inp = nn.Linear(2, 24)
        self.rec = nn.Linear(24, 24)
        self.head = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 1))
        self.h = None

    def forward(self, x):
        if self.h is None or self.reset:
            self.h = x.new_zeros(1, 24)
        h = self.h.expand(len(x), -1)
        for t in range(x.shape[1]):
            h = h + 0.5 * torch.tanh(self.inp(x[:, t]) + 0.1 * self.rec(h))
        self.h = h.detach().mean(dim=0, keepdim=True)
        return self.head(h).squeeze(1)


@sick("state-leak")
def the_tunnel_never_empties(seed: int, *, healed: bool) -> Case:
    """How many people stand in the glass tunnel, from 16 minutes of two turnstiles, every window of a day of its own.
    The author's cell adds to its state (a skip through time), and the state is kept on the module: each batch
    begins where the one before ended, on the average. Soon that is all the state there is.

    Healed: the state begins at zero for each batch.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    flow = 0.7 * rng.standard_normal((800, 16, 2)) + 0.4 * rng.standard_normal((800, 1, 2))
    people = (flow[:, :, 0] - flow[:, :, 1]).sum(axis=1)
    people = people / people[:600].std() + 0.2 * rng.standard_normal(800)
    x, y = torch.tensor(flow, dtype=torch.float32), torch.tensor(people, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=32)
    model = TurnstileNet(reset=healed)
    huber = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            huber(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, huber, optimizer, make_model=lambda: TurnstileNet(reset=healed))


class WhaleAttention(nn.Module):
    def __init__(self, hears):
        super().__init__()
        self.hears = hears
        self.lstm = nn.LSTM(3, 24, batch_first=True)
        self.position = nn.Parameter(0.1 * torch.randn(1, 40, 24))
        self.query = nn.Parameter(torch.randn(1, 1, 24))
        self.attend = nn.MultiheadAttention(24, 2, batch_first=True)
        self.head = nn.Sequential(nn.Linear(24, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        states, _ = self.lstm(x)
        memory = self.position.expand_as(states)
        if self.hears:
            memory = memory + states
        summary, _ = self.attend(self.query.expand(len(x), -1, -1), memory, memory)
        return self.head(summary[:, 0])


@sick("input-never-arrives")
def the_song_is_asked_only_where_it_stands(seed: int, *, healed: bool) -> Case:
    """Is it a whale's call or a pump, from 40 frames of three bands under water. Attention with one learned query
    is to read an LSTM's states with positions added to them, but the line makes the positions as large as the states
    and stops there: keys and values are the positions alone.

    Healed: the states are added.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    call = rng.integers(0, 2, 800)
    sound = rng.standard_normal((800, 40, 3))
    for i in np.flatnonzero(call):
        at = rng.integers(3, 25)
        sound[i, at : at + 12, 1] += np.linspace(1.0, 2.5, 12)
    x, y = torch.tensor(sound, dtype=torch.float32), torch.tensor(call, dtype=torch.float32).unsqueeze(1)
    batches = [(x[at : at + 32], y[at : at + 32]) for at in range(0, 608, 32)]
    held_out = [(x[at : at + 32], y[at : at + 32]) for at in range(608, 800, 32)]
    model = WhaleAttention(hears=healed)
    bce = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(10):
        for i in rng.permutation(len(batches)):
            xb, yb = batches[i]
            optimizer.zero_grad()
            bce(model(xb), yb).backward()
            optimizer.step()
    return Case(model, batches, held_out, bce, optimizer)


class CopperLSTM(nn.Module):
    def __init__(self, positive):
        super().__init__()
        self.lstm = nn.LSTM(4, 32, batch_first=True)
        self.drop = nn.Dropout(0.1)
        self.fc = nn.Linear(32, 6)
        self.positive = nn.Softplus() if positive else nn.Identity()

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.positive(self.fc(self.drop(h[-1])))


@sick("head-range")
def no_concentration_is_below_nought(seed: int, *, healed: bool) -> Case:
    """Copper in the invertebrates' tank for the next six hours from 24 hours of four probes. A concentration cannot be
    negative, says the author, and puts a softplus at the end; but the target is the logarithm to base ten, which
    lies between -3 and -0.1.

    Healed: the head is linear.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    level = np.zeros(1030)
    for t in range(1, 1030):
        level[t] = 0.93 * level[t - 1] + 0.35 * rng.standard_normal()
    logs = -1.4 + 0.4 * level / level[:800].std()
    probes = level[:, None] / level[:800].std() * np.array([1.0, -0.7, 0.5, 0.0]) + 0.4 * rng.standard_normal((1030, 4))
    x = np.stack([probes[t : t + 24] for t in range(1000)])
    y = np.stack([logs[t + 24 : t + 30] for t in range(1000)])
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:770], y[:770]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=50)
    model = CopperLSTM(positive=not healed)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    model.train()
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss_fn, optimizer)


class FeedingNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.cell = nn.GRUCell(3, 24)
        self.out = nn.Linear(24, 1)

    def forward(self, x):
        h = torch.zeros(x.size(0), 24)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return self.out(h).view(-1)


@sick("flat-target")
def shares_in_a_column_of_whole_numbers(seed: int, *, healed: bool) -> Case:
    """What share of the squid the sharks leave, from 20 readings of three cameras. The shares are written one by one
    into an array that was made with `dtype=int`, and NumPy cuts each of them down to 0.

    Healed: an array of floats.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    hunger = rng.standard_normal(700)
    gain = np.array([0.8, -0.5, 0.3])
    cameras = hunger[:, None, None] * gain + 0.8 * rng.standard_normal((700, 20, 3))
    left = np.zeros(700, dtype=float if healed else int)
    for i in range(700):
        left[i] = 1 / (1 + math.exp(1.5 * hunger[i] + 0.3 * rng.standard_normal()))
    x, y = torch.tensor(cameras, dtype=torch.float32), torch.tensor(left, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:550], y[:550]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], y[550:]), batch_size=50)
    model = FeedingNet()
    mse = nn.MSELoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=FeedingNet)


class PumpRNN(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 24, batch_first=True)
        self.out = nn.Linear(24, 1)
        nn.init.orthogonal_(self.rnn.weight_hh_l0, gain=nn.init.calculate_gain("tanh"))

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


@sick("exploding-gradient")
def a_gain_of_five_thirds_fifty_times(seed: int, *, healed: bool) -> Case:
    """Wear of a pump from 50 readings of its current and its hum, of which each says little. The recurrent weights are
    orthogonal with the gain that the library gives for tanh, 5/3, so the gradient grows on its way back through time:
    its norm is 50 to 300 at the first batches, in between thousands, and a few such steps throw the network off.

    Healed: the gradient's norm is clipped.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    wear = rng.standard_normal(700)
    x = 0.15 * wear[:, None, None] * np.array([1.0, -0.6]) + 0.4 * rng.standard_normal((700, 50, 2))
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(wear, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:550], y[:550]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[550:], y[550:]), batch_size=50)
    model = PumpRNN()
    mse = nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.2)
            optimizer.step()
    return Case(model, train, val, mse, optimizer)


class SealTalk(nn.Module):
    def __init__(self, batch_first):
        super().__init__()
        self.embed = nn.Embedding(16, 12)
        self.gru = nn.GRU(12, 32, batch_first=batch_first)
        self.fc = nn.Linear(32, 2)

    def forward(self, words):
        time_first = self.embed(words).permute(1, 0, 2)
        out, _ = self.gru(time_first)
        return self.fc(out[-1])


@sick("batch-as-time")
def the_commands_are_turned_once_too_often(seed: int, *, healed: bool) -> Case:
    """Does the seal get its herring, from a sequence of 12 signs: it does if the trainer's `yes` (sign 3) came up more
    often than the `no` (sign 5). The model turns the batch to time first and hands it to a GRU that was told
    `batch_first=True`: it walks from seal to seal, and only the last sign of each is read.

    Healed: the GRU is made without `batch_first`.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 16, (1200, 12))
    lean = rng.integers(0, 2, 1200)
    for i in range(1200):
        at = rng.choice(11, size=4, replace=False)
        signs[i, at] = np.where(rng.random(4) < 0.85, 3, 5) if lean[i] else np.where(rng.random(4) < 0.85, 5, 3)
    score = (signs == 3).sum(axis=1) - (signs == 5).sum(axis=1)
    x, y = torch.tensor(signs), torch.tensor((score > 0).astype(np.int64))
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=30)
    model = SealTalk(batch_first=not healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: SealTalk(batch_first=not healed))


class TideTagger(nn.Module):
    def __init__(self, viewed):
        super().__init__()
        self.viewed = viewed
        self.lstm = nn.LSTM(2, 20, bidirectional=True)
        self.fc = nn.Linear(40, 3)

    def forward(self, x):
        n, steps, _ = x.shape
        out, _ = self.lstm(x.transpose(0, 1))
        logits = self.fc(out)
        logits = logits.reshape(n, steps, 3) if self.viewed else logits.transpose(0, 1)
        return logits.transpose(1, 2)


@sick("samples-mixed")
def the_tide_pool_is_reshaped_back(seed: int, *, healed: bool) -> Case:
    """Each of 24 steps of an artificial tide pool is to be tagged as rising, standing or falling water. The LSTM wants
    time first, so the batch is transposed on its way in; on its way out it is reshaped to the old sizes, which gives
    every window other windows' tags.

    Healed: it is transposed back.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    moves = np.zeros((700, 24), dtype=np.int64)
    for i in range(700):
        t = 0
        while t < 24:
            length = int(rng.integers(4, 10))
            moves[i, t : t + length] = rng.integers(0, 3)
            t += length
    level = np.cumsum(moves - 1, axis=1) * 0.3 + 0.3 * rng.standard_normal((700, 24))
    swell = rng.standard_normal((700, 24))
    x, y = torch.tensor(np.stack([level, swell], axis=2), dtype=torch.float32), torch.tensor(moves)
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=25)
    model = TideTagger(viewed=not healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)


class Evaporation(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(3, 24, batch_first=True)
        self.out = nn.Linear(24, 1)
        nn.init.zeros_(self.out.bias)

    def forward(self, x):
        return 0.01 * self.out(self.lstm(x)[0][:, -1])


@healthy
def metres_that_the_lagoon_loses_in_an_hour(seed: int) -> Case:
    """Evaporation from the lagoon in the next hour, in metres, as the meter writes it: a few thousandths. The answers
    differ by a thousandth from day to day and look like one number. The head is scaled for it, and they are right.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weather = rng.standard_normal((800, 1, 3)) + 0.5 * rng.standard_normal((800, 18, 3))
    warm, damp, wind = weather.mean(axis=1).T
    lost = 0.004 + 0.0008 * warm - 0.0006 * damp + 0.0004 * warm * wind + 0.0003 * rng.standard_normal(800)
    x, y = torch.tensor(weather, dtype=torch.float32), torch.tensor(lost, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=100)
    model = Evaporation()
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            mse(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=Evaporation)


class LeakWatch(nn.Module):
    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(2, 32, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(32, 1)

    def forward(self, x):
        return self.fc(self.rnn(x)[0].amax(dim=1)).squeeze(1)


@healthy
def one_pane_in_fourteen_leaks(seed: int) -> Case:
    """Does a pane leak, from 24 readings of damp and of pressure? One in fourteen does, there are no class weights, and
    most answers are the same firm no. But a leak shows in a damp spell with the pressure falling, and those are found.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    leaks = rng.random(1400) < 0.07
    x = 0.7 * rng.standard_normal((1400, 24, 2))
    for i in np.flatnonzero(leaks):
        at = rng.integers(2, 17)
        x[i, at : at + 7, 0] += 1.6
        x[i, at : at + 7, 1] -= 1.3
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(leaks, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:1000], y[:1000]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(x[1000:], y[1000:]), batch_size=100)
    model = LeakWatch()
    bce = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            bce(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model, train, val, bce, optimizer)


class QueueNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Linear(2, 24)
        self.layers = nn.ModuleList(nn.GRU(24, 24, batch_first=True) for _ in range(3))
        self.head = nn.Linear(24, 1)

    def forward(self, x):
        z = self.first(x)
        for layer in self.layers:
            z = z + layer(z)[0]
        return self.head(z[:, -1]).squeeze(1)


def nine_in_ten(said, was):
    short = was - said
    return torch.maximum(0.9 * short, -0.1 * short).mean()


@healthy
def how_long_the_queue_may_get(seed: int) -> Case:
    """The length that the queue at the otters stays under in nine cases of ten, from 12 quarters of an hour. Three GRUs
    on top of one another, each added to what it read, under a pinball loss. Most of a queue is chance, and the answers
    lie far above the usual one; what they say of the width of the chance is so.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    crowd = rng.uniform(-1, 1, 1200)
    x = crowd[:, None, None] * np.array([1.0, -0.5]) + 0.5 * rng.standard_normal((1200, 12, 2))
    queue = 0.6 * crowd + (0.7 + 0.65 * crowd) * rng.standard_normal(1200)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(queue, dtype=torch.float32)
    train = DataLoader(TensorDataset(x[:900], y[:900]), batch_size=45, shuffle=True)
    val = DataLoader(TensorDataset(x[900:], y[900:]), batch_size=100)
    model = QueueNet()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            nine_in_ten(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, nine_in_ten, optimizer, make_model=QueueNet)


class SpawnGRU(nn.Module):
    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        return self.fc(self.gru(x)[1][-1])


@rightly_flat
def coral_spawns_on_few_nights(seed: int) -> Case:
    """Spawn of a coral tank in a night, from 30 evenings of moonlight and warmth, under the absolute loss. Both say how
    likely it is to spawn, but never more likely than not, so the middle of what can come is no spawn at all, and the
    network answers zero.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    moon = rng.standard_normal(900)
    x = moon[:, None, None] * np.array([0.8, 0.5]) + 0.8 * rng.standard_normal((900, 30, 2))
    chance = 0.1 + 0.2 / (1 + np.exp(-2 * moon))
    spawn = np.where(rng.random(900) < chance, rng.gamma(3.0, 0.5, 900), 0.0)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(spawn, dtype=torch.float32).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = SpawnGRU()
    mae = nn.L1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            mae(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, mae, optimizer, make_model=SpawnGRU)
