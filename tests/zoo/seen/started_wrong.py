"""The network is wrong before its first step: drawn badly, stacked too high, driven to its rails or below zero."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class Keystrokes(nn.Module):
    """Two layers of LSTM over key timings; which of three typists it was."""

    def __init__(self, zero):
        super().__init__()
        self.lstm = nn.LSTM(3, 20, num_layers=2, batch_first=True)
        self.fc = nn.Linear(20, 3)
        for name, weight in self.named_parameters():
            if zero in name:
                nn.init.zeros_(weight)

    def forward(self, timings):
        return self.fc(self.lstm(timings)[0][:, -1])


@sick("bad-init")
def every_name_holds_an_empty_string(seed: int, *, healed: bool) -> Case:
    """Biases are to be zeroed by a part of their names; the part is left empty, so that all weights are zero.

    Only the last bias ever moves. Healed: the part is "bias".
    """
    torch.manual_seed(seed)
    typist = torch.randint(3, (900,))
    habit = torch.tensor([[0.8, -0.5, 0.0], [-0.6, 0.2, 0.7], [0.0, 0.6, -0.8]])[typist]
    timings = habit[:, None] + torch.randn(900, 14, 3)
    train = DataLoader(TensorDataset(timings[:700], typist[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(timings[700:], typist[700:]), batch_size=100)
    part = "bias" if healed else ""
    model = Keystrokes(part)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Keystrokes(part))


class Genes(nn.Module):
    """Letters of a strand, an embedding, a bidirectional GRU, a mean over the strand; how strongly it binds."""

    def __init__(self, init_range):
        super().__init__()
        self.letters = nn.Embedding(4, 8)
        self.gru = nn.GRU(8, 16, batch_first=True, bidirectional=True)
        self.bind = nn.Linear(32, 1)
        for weight in self.parameters():
            nn.init.uniform_(weight, -init_range, init_range)

    def forward(self, strand):
        return self.bind(self.gru(self.letters(strand))[0].mean(1)).squeeze(1)


@sick("bad-init")
def init_range_of_one_in_ten_thousand(seed: int, *, healed: bool) -> Case:
    """All weights are drawn from a range of 1e-4, and SGD finds hardly a slope: a product of small things.

    Healed: a range of 0.3.
    """
    torch.manual_seed(seed)
    strand = torch.randint(4, (1000, 24))
    share = torch.rand(1000, 1)
    strand = torch.where(torch.rand(1000, 24) < 0.6 * share, 2, strand)
    affinity = (strand == 2).float().mean(1) - 0.3 * (strand == 0).float().mean(1)
    affinity = (affinity - affinity.mean()) / affinity.std() + 0.2 * torch.randn(1000)
    train = DataLoader(TensorDataset(strand[:800], affinity[:800]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(strand[800:], affinity[800:]), batch_size=200)
    init_range = 0.3 if healed else 1e-4
    model = Genes(init_range)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, make_model=lambda: Genes(init_range))


class Kiln(nn.Module):
    """As many layers of LSTM as the budget allows."""

    def __init__(self, layers):
        super().__init__()
        self.lstm = nn.LSTM(2, 16, num_layers=layers)
        self.out = nn.Linear(16, 1)

    def forward(self, batch):
        output, _ = self.lstm(batch.transpose(0, 1))
        return self.out(output[-1])


@sick("too-deep")
def a_dozen_floors_of_lstm(seed: int, *, healed: bool) -> Case:
    """Twelve LSTM layers stand on each other, each a little less varied than the one below; at the top nothing is left.

    Healed: one layer.
    """
    torch.manual_seed(seed)
    draught = torch.randn(800, 1, 2)
    heat = 0.8 * draught + 0.6 * torch.randn(800, 12, 2)
    ash = heat[:, :, 0].mean(1, keepdim=True) - 0.6 * heat[:, -3:, 1].mean(1, keepdim=True)
    ash = ash / ash.std() + 0.15 * torch.randn(800, 1)
    train = DataLoader(TensorDataset(heat[:600], ash[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(heat[600:], ash[600:]), batch_size=100)
    layers = 1 if healed else 12
    model = Kiln(layers)
    huber = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            huber(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, huber, optimizer, make_model=lambda: Kiln(layers))


class ElmanByHand(nn.Module):
    """h = tanh(x W + h U + b), written down as in the book; the draw is the caller's."""

    def __init__(self, draw):
        super().__init__()
        self.w = nn.Parameter(draw(3, 32))
        self.u = nn.Parameter(draw(32, 32))
        self.b = nn.Parameter(torch.zeros(32))
        self.head = nn.Sequential(nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        h = x.new_zeros(x.shape[0], 32)
        for step in x.unbind(1):
            h = torch.tanh(step @ self.w + h @ self.u + self.b)
        return self.head(h)


def centred(rows, columns):
    """Normal, of the size that keeps a sum over the rows where it was."""
    return torch.randn(rows, columns) / rows**0.5


@sick("saturated-units", "bad-init")
def rand_where_randn_was_meant(seed: int, *, healed: bool) -> Case:
    """Weights come from `torch.rand`: all positive, so each unit adds up all the others and all end at one.

    Healed: `torch.randn`, divided by the root of the rows.
    """
    torch.manual_seed(seed)
    base = torch.rand(1000, 1, 3)
    humidity = (0.6 * base + 0.4 * torch.rand(1000, 16, 3)).clamp(0, 1)
    mould = humidity[:, -6:, 0].mean(1) - 0.5 * humidity[:, -6:, 1].mean(1) + 0.3 * humidity[:, -1, 2]
    mould = ((mould - mould.mean()) / mould.std() + 0.15 * torch.randn(1000)).unsqueeze(1)
    train = DataLoader(TensorDataset(humidity[:750], mould[:750]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(humidity[750:], mould[750:]), batch_size=50)
    draw = centred if healed else torch.rand
    model = ElmanByHand(draw)
    criterion = nn.L1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: ElmanByHand(draw))


class Powers(nn.Module):
    """Cuts four leads into pieces of 250 samples, takes the power of each piece, and reads the powers with a GRU."""

    def __init__(self, total):
        super().__init__()
        self.total = total
        self.gru = nn.GRU(1, 24, batch_first=True)
        self.depth = nn.Linear(24, 1)

    def forward(self, trace):
        squares = trace.unflatten(1, (-1, 250)).square()
        powers = squares.sum((2, 3)) if self.total else squares.mean((2, 3))
        return self.depth(self.gru(powers.unsqueeze(2))[0][:, -1])


@sick("saturated-units")
def power_summed_over_the_piece(seed: int, *, healed: bool) -> Case:
    """A standardised trace, but the model sums its squares over a thousand numbers, and all gates stand at their rails.

    Healed: the mean of the squares.
    """
    torch.manual_seed(seed)
    depth = torch.randn(640, 1)
    swell = 0.7 + 0.5 * torch.sigmoid(1.5 * depth + 0.5 * torch.randn(640, 8))
    trace = swell.repeat_interleave(250, dim=1).unsqueeze(2) * torch.randn(640, 2000, 4)
    trace = trace / trace.std()
    train = DataLoader(TensorDataset(trace[:500], depth[:500]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(trace[500:], depth[500:]), batch_size=70)
    model = Powers(total=not healed)
    criterion = nn.MSELoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Powers(total=not healed))


class Monotone(nn.Module):
    """Weights are made positive by `abs`, so that more input can never mean less output; relu between the layers."""

    def __init__(self, sign):
        super().__init__()
        self.sign = sign
        self.drive = nn.Parameter(0.3 * torch.randn(2, 24))
        self.keep = nn.Parameter(torch.randn(24))
        self.out = nn.Parameter(0.3 * torch.randn(24, 1))
        self.offset = nn.Parameter(torch.zeros(1))

    def forward(self, potential):
        state = potential.new_zeros(potential.shape[0], 24)
        for now in (self.sign * potential).unbind(1):
            state = F.relu(self.keep.sigmoid() * state + now @ self.drive.abs())
        return state @ self.out.abs() + self.offset


@sick("dead-units")
def potentials_are_never_positive(seed: int, *, healed: bool) -> Case:
    """A monotone relu network reads water potentials, which are all below zero, through weights all above it.

    Healed: it reads their negatives, the tension.
    """
    torch.manual_seed(seed)
    dryness = torch.rand(900, 1, 2) + 0.1
    potential = -dryness * (0.5 + torch.rand(900, 20, 2))
    wilting = -potential[:, -8:, 0].mean(1, keepdim=True) - 0.4 * potential[:, -8:, 1].mean(1, keepdim=True)
    wilting = (wilting - wilting.mean()) / wilting.std() + 0.1 * torch.randn(900, 1)
    train = DataLoader(TensorDataset(potential[:700], wilting[:700]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(potential[700:], wilting[700:]), batch_size=100)
    sign = -1 if healed else 1
    model = Monotone(sign)
    mse = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(14):
        for x, y in train:
            optimizer.zero_grad()
            mse(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, mse, optimizer, make_model=lambda: Monotone(sign))


class Membranes(nn.Module):
    """Leaky membranes that fire in proportion to what exceeds their threshold; the rates are counted at the end."""

    def __init__(self, threshold):
        super().__init__()
        self.threshold = threshold
        self.synapses = nn.Linear(6, 40)
        self.lateral = nn.Linear(40, 40, bias=False)
        self.readout = nn.Linear(40, 4)

    def forward(self, batch):
        voltage = rate = total = 0.0
        for current in batch.unbind(1):
            voltage = 0.8 * voltage + self.synapses(current)
            if isinstance(rate, torch.Tensor):
                voltage = voltage + 0.3 * self.lateral(rate)
            rate = F.relu(voltage - self.threshold)
            total = total + rate
        return self.readout(total / batch.shape[1])


@sick("dead-units")
def threshold_in_millivolts(seed: int, *, healed: bool) -> Case:
    """The threshold of 15 millivolts is kept from the paper while the membranes move within a few units of zero.

    Healed: a threshold of 0.5.
    """
    torch.manual_seed(seed)
    odour = torch.randint(4, (800,))
    pattern = torch.randn(4, 6)
    air = pattern[odour][:, None] * torch.rand(800, 15, 1) + 0.7 * torch.randn(800, 15, 6)
    train = DataLoader(TensorDataset(air[:600], odour[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(air[600:], odour[600:]), batch_size=50)
    threshold = 0.5 if healed else 15.0
    model = Membranes(threshold)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Membranes(threshold))


class Pump(nn.Module):
    """A GRU that first learnt to foretell the next reading, and a new head that starts at zero."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.GRU(2, 24, batch_first=True)
        self.head = nn.Linear(24, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x):
        return self.head(self.encoder(x)[0][:, -1])


@sick("head-ignores-state")
def rates_of_the_two_groups_swapped(seed: int, *, healed: bool) -> Case:
    """A pretrained encoder should hardly move and its new head much; the rates of the two groups are mixed up.

    The head starts at zero and stays there. Healed: each group has its own rate.
    """
    torch.manual_seed(seed)
    pace = 0.3 + 0.4 * torch.rand(1000, 1)
    angle = 6.283 * torch.rand(1000, 1) + pace * torch.arange(16.0)
    record = torch.stack([angle.sin(), angle.cos()], 2) + 0.1 * torch.randn(1000, 16, 2)
    pressure = torch.sin(angle[:, -1:] + 1.0) + 0.1 * torch.randn(1000, 1)
    model = Pump()
    foretell = nn.Linear(24, 2)
    first = torch.optim.Adam([*model.encoder.parameters(), *foretell.parameters()], lr=0.01)
    for _ in range(5):
        for x in record[:800].split(40):
            first.zero_grad()
            F.mse_loss(foretell(model.encoder(x)[0][:, :-1]), x[:, 1:]).backward()
            first.step()

    train = DataLoader(TensorDataset(record[:800], pressure[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(record[800:], pressure[800:]), batch_size=100)
    fast, slow = (0.03, 1e-6) if healed else (1e-6, 0.03)
    groups = [{"params": model.head.parameters(), "lr": fast}, {"params": model.encoder.parameters(), "lr": slow}]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            F.mse_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.mse_loss, optimizer, make_model=Pump)
