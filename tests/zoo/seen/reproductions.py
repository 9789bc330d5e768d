"""Attempts at published recurrent and sequence models, in small, each with a detail of the paper misread."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class LegendreMemory(nn.Module):
    """A memory of Legendre coefficients of one scalar, and a small tanh layer that reads it."""

    def __init__(self, order=8, theta=40.0, hidden=20, zero_all=False):
        super().__init__()
        i = torch.arange(order, dtype=torch.float32)
        sign = torch.where(i[:, None] < i[None, :], -1.0, (-1.0) ** (i[:, None] - i[None, :] + 1))
        joint = torch.zeros(order + 1, order + 1)
        joint[:order, :order] = (2 * i[:, None] + 1) * sign / theta
        joint[:order, order] = (2 * i + 1) * (-1.0) ** i / theta
        held = torch.matrix_exp(joint)
        self.register_buffer("a", held[:order, :order].clone())
        self.register_buffer("b", held[:order, order].clone())
        self.encode_input = nn.Parameter(torch.randn(2) * 0.7)
        self.encode_memory = nn.Parameter(torch.zeros(order))
        self.memory_kernel = nn.Linear(order, hidden)
        self.hidden_kernel = nn.Linear(hidden, hidden, bias=False)
        nn.init.xavier_normal_(self.memory_kernel.weight)
        nn.init.orthogonal_(self.hidden_kernel.weight, 0.5)
        if zero_all:
            nn.init.zeros_(self.encode_input)
            nn.init.zeros_(self.memory_kernel.weight)
        self.readout = nn.Linear(hidden, 1)

    def forward(self, x):
        m = x.new_zeros(len(x), len(self.b))
        h = x.new_zeros(len(x), self.hidden_kernel.in_features)
        for step in x.unbind(1):
            u = step @ self.encode_input + m @ self.encode_memory
            m = m @ self.a.T + u[:, None] * self.b
            h = torch.tanh(self.memory_kernel(m) + self.hidden_kernel(h))
        return self.readout(h)


@sick("bad-init")
def legendre_memory_for_reservoir_inflow(seed: int, *, healed: bool) -> Case:
    """A Legendre memory unit predicts a reservoir's inflow from rain and snow melt of some weeks ago.

    The paper starts the memory's own encoder at zero; its reader starts everything that touches the memory there, the
    input's encoder and the kernel that reads the memory, so each waits for the other to move.
    Healed: only the memory's own encoder starts at zero.
    """
    torch.manual_seed(seed)
    days = torch.randn(1100, 44, 2)
    for t in range(1, 44):
        days[:, t] = 0.85 * days[:, t - 1] + 0.53 * days[:, t]
    inflow = 1.4 * (0.8 * days[:, 18:30, 0] + 0.5 * days[:, 18:30, 1]).mean(1, keepdim=True)
    inflow = inflow / inflow.std() + 0.1 * torch.randn(1100, 1)
    train = DataLoader(TensorDataset(days[:800], inflow[:800]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(days[800:], inflow[800:]), batch_size=100)

    def build():
        return LegendreMemory(zero_all=not healed)

    model = build()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=build)


class GatedDilations(nn.Module):
    """Dilated causal convolutions with gated activations, three cycles of four."""

    def __init__(self, channels=12, add_back=True):
        super().__init__()
        self.add_back = add_back
        self.dilations = (1, 2, 4, 8) * 3
        self.inlet = nn.Conv1d(1, channels, 1)
        self.gated = nn.ModuleList(nn.Conv1d(channels, 2 * channels, 2, dilation=d) for d in self.dilations)
        self.mixing = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in self.dilations)
        self.outlet = nn.Linear(channels, 1)

    def forward(self, wave):
        h = self.inlet(wave[:, None])
        for dilation, gated, mixing in zip(self.dilations, self.gated, self.mixing, strict=True):
            filtered, gate = gated(F.pad(h, (dilation, 0))).chunk(2, dim=1)
            z = mixing(torch.tanh(filtered) * torch.sigmoid(gate))
            h = h + z if self.add_back else z
        return self.outlet(h[:, :, -1]).squeeze(1)


@sick("too-deep")
def dilated_stack_hears_bearing_pitch(seed: int, *, healed: bool) -> Case:
    """Twelve gated dilated convolutions in the manner of WaveNet estimate a bearing's speed from its vibration.

    The author took the plus sign in the paper's figure for the join of the skip outputs alone, which a regression has
    no use for, and so each gate's product goes on by itself to the next layer.
    Healed: each layer's output is added to what came into it.
    """
    torch.manual_seed(seed)
    speed = torch.rand(640) * 2 - 1
    clock = torch.arange(36.0)
    wave = torch.sin((0.55 + 0.3 * speed[:, None]) * clock + 6.283 * torch.rand(640, 1)) + 0.15 * torch.randn(640, 36)
    target = speed / speed.std()
    train = DataLoader(TensorDataset(wave[:480], target[:480]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(wave[480:], target[480:]), batch_size=80)

    def build():
        return GatedDilations(add_back=healed)

    model = build()
    loss_fn = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(7):
        for x, y in train:
            optimizer.zero_grad()
            loss_fn(model(x), y).backward()
            optimizer.step()
    return Case(model.eval(), train, val, loss_fn, optimizer, make_model=build)


class RecurrentHighway(nn.Module):
    """Two highway layers within each time step, over one state, with a rectified transform."""

    def __init__(self, n_in=3, width=24, on_gate=True):
        super().__init__()
        self.take_transform = nn.Linear(n_in, width)
        self.take_gate = nn.Linear(n_in, width)
        self.transforms = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        self.gates = nn.ModuleList(nn.Linear(width, width) for _ in range(2))
        for layer in self.gates if on_gate else self.transforms:
            nn.init.constant_(layer.bias, -3.0)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        s = x.new_zeros(len(x), self.out.in_features)
        for step in x.unbind(1):
            for depth, (transform, gate) in enumerate(zip(self.transforms, self.gates, strict=True)):
                h, t = transform(s), gate(s)
                if depth == 0:
                    h, t = h + self.take_transform(step), t + self.take_gate(step)
                t = torch.sigmoid(t)
                s = torch.relu(h) * t + s * (1 - t)
        return self.out(s)


@sick("dead-units")
def recurrent_highway_for_kiln_moisture(seed: int, *, healed: bool) -> Case:
    """A recurrent highway network with rectified transforms estimates the moisture of timber in a kiln.

    The paper starts the biases of the transform gate well below zero; the author gave them to the layer that he calls
    `transform`, under the rectifier. Healed: the gate has them.
    """
    torch.manual_seed(seed)
    probes = 0.7 * torch.randn(900, 26, 3).clamp(-1.6, 1.6) + 0.35 * torch.randn(900, 1, 3).clamp(-1.6, 1.6)
    drift = probes.mean(1)
    moisture = 3.0 * (drift[:, :1] - 0.7 * drift[:, 1:2]) + drift[:, 2:].abs()
    moisture = (moisture - moisture.mean()) / moisture.std()
    train = DataLoader(TensorDataset(probes[:660], moisture[:660]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(probes[660:], moisture[660:]), batch_size=60)

    def build():
        return RecurrentHighway(on_gate=healed)

    net = build()
    criterion = nn.MSELoss()
    opt = torch.optim.Adam(net.parameters(), lr=5e-3)
    for _ in range(5):
        for x, y in train:
            opt.zero_grad()
            criterion(net(x), y).backward()
            nn.utils.clip_grad_norm_(net.parameters(), 2.0)
            opt.step()
    return Case(net.eval(), train, val, criterion, opt, make_model=build)


class PlacedRecurrence(nn.Module):
    """Readings are embedded, their place in the window is added, and a plain recurrent net reads the sum."""

    def __init__(self, n_in=4, width=24, length=40, waves=True):
        super().__init__()
        self.embed = nn.Linear(n_in, width)
        place = torch.arange(length, dtype=torch.float32)[:, None].repeat(1, width)
        if waves:
            angle = place / 10_000 ** (torch.arange(width) // 2 * 2 / width)
            place = torch.where(torch.arange(width) % 2 == 0, angle.sin(), angle.cos())
        self.register_buffer("place", place)
        self.rnn = nn.RNN(width, width, batch_first=True)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        z = (self.embed(x) + self.place) * self.embed.out_features**0.5
        return self.head(self.rnn(z)[0][:, -1]).squeeze(1)


@sick("saturated-units")
def place_in_window_added_for_glucose(seed: int, *, healed: bool) -> Case:
    """A plain recurrent net after an embedding with positions, as in the transformer paper, predicts blood glucose.

    The author read "we add the position to the embedding" and added the position: 0, 1, 2, to 39, in each channel.
    Healed: the paper's sines and cosines of it are added.
    """
    torch.manual_seed(seed)
    signals = torch.randn(960, 40, 4)
    for t in range(1, 40):
        signals[:, t] = 0.8 * signals[:, t - 1] + 0.6 * signals[:, t]
    glucose = signals[:, -4:, 0].mean(1) - 0.6 * signals[:, -6:, 2].mean(1) + 0.3 * signals[:, -1, 1]
    glucose = glucose / glucose.std()
    train = DataLoader(TensorDataset(signals[:720], glucose[:720]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(signals[720:], glucose[720:]), batch_size=80)

    def build():
        return PlacedRecurrence(waves=healed)

    model = build()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=build)


class ChronoTagger(nn.Module):
    """An LSTM whose gates start with memories as long as the window."""

    def __init__(self, longest=40, width=24, classes=3, remember_first=False):
        super().__init__()
        self.lstm = nn.LSTM(3, width, batch_first=True)
        spans = torch.log(1 + torch.rand(width) * (longest - 2))
        nn.init.zeros_(self.lstm.bias_hh_l0)
        with torch.no_grad():
            first, second = (spans, -spans) if remember_first else (-spans, spans)
            self.lstm.bias_ih_l0[:width] = first
            self.lstm.bias_ih_l0[width : 2 * width] = second
            self.lstm.bias_ih_l0[2 * width :] = 0
        self.classify = nn.Linear(width, classes)

    def forward(self, x):
        return self.classify(self.lstm(x)[1][0][-1])


@sick("vanishing-gradient")
def chrono_lstm_recalls_launch_site(seed: int, *, healed: bool) -> Case:
    """An LSTM with chrono initialisation tells from a balloon's whole flight where it was launched, seen at its start.

    The paper writes the forget gate first, PyTorch keeps the input gate's biases first: the long memories went to the
    input gates, and the forget gates got their negatives. Healed: each gate has its own.
    """
    torch.manual_seed(seed)
    site = torch.randint(0, 3, (960,))
    flight = 0.7 * torch.randn(960, 40, 3)
    flight[:, :3] += 1.5 * F.one_hot(site, 3).float()[:, None]
    train = DataLoader(TensorDataset(flight[:720], site[:720]), batch_size=48, shuffle=True)
    val = DataLoader(TensorDataset(flight[720:], site[720:]), batch_size=80)

    def build():
        return ChronoTagger(remember_first=not healed)

    model = build()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=4e-3)
    for _ in range(8):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=build)


class RandomNetwork(nn.Module):
    """A plain tanh network of random connections, all of them learned, read at its last step."""

    def __init__(self, n_in=2, size=40, gain=1.1, share=0.1, sparse=True):
        super().__init__()
        self.drive = nn.Linear(n_in, size)
        links = torch.randn(size, size) * gain / (share * size) ** 0.5
        if sparse:
            links *= torch.rand(size, size) < share
        self.links = nn.Parameter(links)
        self.read = nn.Linear(size, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.read.in_features)
        for drive in self.drive(x).unbind(1):
            h = torch.tanh(drive + h @ self.links.T)
        return self.read(h)


@sick("exploding-gradient")
def random_network_for_grid_frequency(seed: int, *, healed: bool) -> Case:
    """A network begun as in the FORCE paper, then trained through time, predicts a grid's frequency from two feeders.

    The paper divides the variance of its connections by their number into a unit, of which there are a tenth; the
    author took its formula and left out the sentence on sparseness, so ten times as many links have that variance.
    Healed: nine in ten links are zero at the start.
    """
    torch.manual_seed(seed)
    feeders = torch.randn(1200, 44, 2)
    for t in range(1, 44):
        feeders[:, t] = 0.8 * feeders[:, t - 1] + 0.6 * feeders[:, t]
    frequency = (0.5 * feeders[:, -16:-4, 0] + feeders[:, -16:-4, 1]).mean(1, keepdim=True)
    frequency = frequency / frequency.std() + 0.1 * torch.randn(1200, 1)
    train = DataLoader(TensorDataset(feeders[:960], frequency[:960]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(feeders[960:], frequency[960:]), batch_size=80)

    def build():
        return RandomNetwork(sparse=healed)

    model = build()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for _ in range(6):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=build)
