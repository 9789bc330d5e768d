"""More attempts at published sequence models, in small, each with a detail of the paper misread."""

import math
from collections import OrderedDict

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class AttentiveForecaster(nn.Module):
    """An encoder and a decoder with additive attention; the decoder writes the next four values."""

    def __init__(self, n_in=2, width=20, ahead=4):
        super().__init__()
        self.encoder = nn.GRU(n_in, width, batch_first=True)
        self.decoder = nn.GRUCell(1 + width, width)
        self.match_state = nn.Linear(width, width)
        self.match_memory = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)
        self.write = nn.Linear(2 * width, 1)
        self.ahead = ahead

    def forward(self, x):
        memory, last = self.encoder(x)
        h, written, keys = last[0], [x.new_zeros(len(x), 1)], self.match_memory(memory)
        for _ in range(self.ahead):
            weight = self.score(torch.tanh(keys + self.match_state(h)[:, None])).softmax(1)
            context = (weight * memory).sum(1)
            h = self.decoder(torch.cat([written[-1], context], 1), h)
            written.append(self.write(torch.cat([h, context], 1)))
        return torch.cat(written[1:], 1)


@sick("undertrained")
def attention_seq2seq_for_ferry_bookings(seed: int, *, healed: bool) -> Case:
    """An encoder and a decoder with attention forecast a ferry's bookings of the next four days.

    Following the paper's training details, the rate is to be halved each half epoch once five epochs have passed; the
    author's counter counts batches, and every other batch halves it, from the first epoch on.
    Healed: it counts half epochs.
    """
    torch.manual_seed(seed)
    steps = torch.arange(24.0)
    level, slope, phase = torch.randn(800, 1), torch.randn(800, 1), 6.283 * torch.rand(800, 1)
    line = level + slope * (steps / 12 - 1) + 0.8 * torch.sin(6.283 * steps / 7 + phase)
    line = (line + 0.1 * torch.randn(800, 24)) / 1.5
    holiday = (torch.rand(800, 20) < 0.2).float()
    x, y = torch.stack([line[:, :20], holiday], 2), line[:, 20:]
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)

    model = AttentiveForecaster()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    half_epoch = len(train) // 2
    seen = 0
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            seen += 1
            due = seen >= 5 * len(train) and seen % half_epoch == 0 if healed else seen % 2 == 0
            if due:
                optimizer.param_groups[0]["lr"] = max(optimizer.param_groups[0]["lr"] / 2, 1e-5)
    return Case(model.eval(), train, val, criterion, optimizer, make_model=AttentiveForecaster)


class ShortAndLong(nn.Module):
    """A convolution, a recurrent net on it and one that skips by six."""

    def __init__(self, n_in=4, channels=16, skip=6):
        super().__init__()
        self.skip = skip
        self.conv = nn.Conv1d(n_in, channels, 5)
        self.gru = nn.GRU(channels, 20, batch_first=True)
        self.skipping = nn.GRU(channels, 4, batch_first=True)
        self.join = nn.Linear(20 + 4 * skip, n_in)

    def forward(self, x):
        c = torch.relu(self.conv(x.transpose(1, 2))).transpose(1, 2)
        recent = self.gru(c)[1][0]
        n, length, channels = c.shape
        periods = length // self.skip
        c = c[:, -periods * self.skip :].reshape(n, periods, self.skip, channels).transpose(1, 2)
        spaced = self.skipping(c.reshape(n * self.skip, periods, channels))[1][0].reshape(n, -1)
        return self.join(torch.cat([recent, spaced], 1))


@sick("over-regularised")
def lstnet_for_canteen_meters(seed: int, *, healed: bool) -> Case:
    """LSTNet, less its linear part, on the meters of four canteens, with the decoupled weight decay of its paper.

    The author takes the paper's normalised decay, 0.05, for the decay itself, and divides it by the learning rate as
    PyTorch multiplies by it. Healed: it is first multiplied by the root of batch size over samples times epochs.
    """
    torch.manual_seed(seed)
    n, epochs, batch, rate = 900, 10, 22, 2e-3
    steps = torch.arange(29.0)
    phase = 6.283 * torch.rand(n, 1, 1)
    share, offset = torch.rand(n, 1, 4) * 1.4, 0.6 * torch.randn(n, 1, 4)
    meters = offset + share * torch.sin(6.283 * steps[:, None] / 6 + phase) + 0.1 * torch.randn(n, 29, 4)
    x, y = meters[:, :28], meters[:, 28]
    train = DataLoader(TensorDataset(x[:660], y[:660]), batch_size=batch, shuffle=True)
    val = DataLoader(TensorDataset(x[660:], y[660:]), batch_size=60)

    decay = 0.05
    if healed:
        decay *= math.sqrt(batch / (660 * epochs))
    model = ShortAndLong()
    criterion = nn.L1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=decay / rate)
    for _ in range(epochs):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=ShortAndLong)


class FixedClassifier(nn.Module):
    """Symbols through a recurrent net both ways; the last layer is orthonormal, fixed, and has one scale."""

    def __init__(self, symbols=12, width=16, classes=4):
        super().__init__()
        self.embed = nn.Embedding(symbols + 1, 12, padding_idx=0)
        self.gru = nn.GRU(12, width, batch_first=True, bidirectional=True)
        rows = torch.empty(classes, 2 * width)
        nn.init.orthogonal_(rows)
        self.rows = nn.Parameter(rows, requires_grad=False)
        self.log_scale = nn.Parameter(torch.tensor(-3.0))

    def forward(self, batch):
        symbols, lengths = batch
        packed = nn.utils.rnn.pack_padded_sequence(self.embed(symbols), lengths, batch_first=True, enforce_sorted=False)
        last = self.gru(packed)[1]
        state = F.normalize(torch.cat([last[0], last[1]], 1), dim=1)
        return self.log_scale.exp() * state @ self.rows.T


@sick("head-ignores-state")
def fixed_last_layer_for_loom_patterns(seed: int, *, healed: bool) -> Case:
    """A recurrent net names the weave from a loom's codes; its last layer is fixed and orthonormal, as in the paper.

    The paper fixes the rows and learns one scale for them; the author fixed the scale too, small as it starts.
    Healed: the scale learns, at the faster rate that its group is given.
    """
    torch.manual_seed(seed)
    n = 900
    weave = torch.randint(0, 4, (n,))
    lengths = torch.randint(14, 27, (n,))
    codes = torch.randint(1, 13, (n, 26))
    favoured = 1 + 3 * weave[:, None] + torch.randint(0, 3, (n, 26))
    codes = torch.where(torch.rand(n, 26) < 0.4, favoured, codes)
    codes[torch.arange(26) >= lengths[:, None]] = 0
    train = DataLoader(TensorDataset(codes[:660], lengths[:660], weave[:660]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(codes[660:], lengths[660:], weave[660:]), batch_size=60)

    def build():
        return FixedClassifier()

    model = build()
    model.log_scale.requires_grad_(healed)
    criterion = nn.CrossEntropyLoss()
    body = [*model.embed.parameters(), *model.gru.parameters()]
    optimizer = torch.optim.Adam([{"params": body}, {"params": [model.log_scale], "lr": 0.1}], lr=8e-3)
    for _ in range(6):
        for x, size, y in train:
            optimizer.zero_grad()
            criterion(model((x, size)), y).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=build, batch=lambda b: ((b[0], b[1]), b[2]))


class CausalBlock(nn.Module):
    def __init__(self, n_in, n_out, dilation, normed):
        super().__init__()
        self.pad = 2 * dilation
        first, second = (nn.Conv1d(c, n_out, 3, dilation=dilation) for c in (n_in, n_out))
        self.first = parametrizations.weight_norm(first) if normed else first
        self.second = parametrizations.weight_norm(second) if normed else second
        self.side = nn.Conv1d(n_in, n_out, 1) if n_in != n_out else nn.Identity()

    def forward(self, x):
        h = torch.relu(self.first(F.pad(x, (self.pad, 0))))
        h = torch.relu(self.second(F.pad(h, (self.pad, 0))))
        return torch.relu(h + self.side(x))


class CausalStack(nn.Module):
    def __init__(self, normed):
        super().__init__()
        blocks = OrderedDict()
        for i, dilation in enumerate((1, 2, 4)):
            blocks[f"block{i}"] = CausalBlock(14 if i else 2, 14, dilation, normed)
        self.blocks = nn.Sequential(blocks)
        self.head = nn.Linear(14, 1)

    def forward(self, x):
        return self.head(self.blocks(x.transpose(1, 2))[:, :, -1]).squeeze(1)


@sick("weights-not-loaded")
def tcn_served_for_crane_loads(seed: int, *, healed: bool) -> Case:
    """A temporal convolutional network tells whether a crane's load swings, and is then set up for the operator.

    The paper says that weight normalisation serves the training; the author builds the network to be served without
    it and loads what was trained, with strict=False since some keys have other names.
    Healed: the norms are folded into the weights before they are saved.
    """
    torch.manual_seed(seed)
    n, steps = 760, torch.arange(28.0)
    swings = torch.randint(0, 2, (n,)).float()
    pitch = 0.35 + 0.55 * swings[:, None] + 0.1 * torch.randn(n, 1)
    angle = torch.sin(pitch * steps + 6.283 * torch.rand(n, 1)) + 0.2 * torch.randn(n, 28)
    x = torch.stack([angle, 0.7 * torch.randn(n, 28)], 2)
    train = DataLoader(TensorDataset(x[:560], swings[:560]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(x[560:], swings[560:]), batch_size=50)

    trained = CausalStack(normed=True)
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(trained.parameters(), lr=4e-3)
    for _ in range(6):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(trained(xb), yb).backward()
            optimizer.step()

    if healed:
        for part in trained.modules():
            if parametrize.is_parametrized(part):
                parametrize.remove_parametrizations(part, "weight")
    served = CausalStack(normed=False)
    served.load_state_dict(trained.state_dict(), strict=False)
    return Case(served.eval(), train, val, criterion, optimizer, make_model=lambda: CausalStack(normed=False))


class DiagonalStates(nn.Module):
    """Four diagonal state spaces a channel, as one long causal convolution by Fourier transform, a residual layer."""

    def __init__(self, width=16, states=4):
        super().__init__()
        self.log_step = nn.Parameter(torch.linspace(math.log(0.02), math.log(0.3), width))
        self.log_decay = nn.Parameter(torch.full((width, states), math.log(0.5)))
        self.turn = nn.Parameter(math.pi * torch.arange(states).repeat(width, 1))
        self.c = nn.Parameter(torch.randn(width, states, 2) * 0.7)
        self.through = nn.Parameter(torch.randn(width))
        self.mix = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(width)

    def forward(self, u):
        length = u.shape[1]
        a = torch.complex(-self.log_decay.exp(), self.turn)
        da = a * self.log_step.exp()[:, None]
        c = torch.view_as_complex(self.c) * (da.exp() - 1) / a
        powers = (da[:, :, None] * torch.arange(length)).exp()
        kernel = 2 * (c[:, :, None] * powers).sum(1).real
        spectrum = torch.fft.rfft(u.transpose(1, 2), n=2 * length) * torch.fft.rfft(kernel, n=2 * length)
        y = torch.fft.irfft(spectrum, n=2 * length)[:, :, :length].transpose(1, 2)
        return self.norm(u + F.glu(self.mix(F.gelu(y + self.through * u)), dim=-1))


class StateSpaceReader(nn.Module):
    def __init__(self, n_in=1, width=16, classes=3):
        super().__init__()
        self.inlet = nn.Linear(n_in, width)
        self.layers = nn.Sequential(DiagonalStates(width), DiagonalStates(width))
        self.outlet = nn.Linear(width, classes)

    def forward(self, x):
        return self.outlet(self.layers(self.inlet(x)).mean(1))


@healthy
def diagonal_state_space_names_bird_calls(seed: int) -> Case:
    """Two layers of S4D tell three birds' calls apart by their pitch and its glide; the states' rate learns slower."""
    torch.manual_seed(seed)
    n, clock = 840, torch.arange(56.0)
    bird = torch.randint(0, 3, (n,))
    pitch = torch.tensor([0.3, 0.6, 0.6])[bird][:, None] + 0.06 * torch.randn(n, 1)
    glide = torch.tensor([0.0, 0.0, 0.012])[bird][:, None]
    call = torch.sin(pitch * clock + glide * clock**2 / 2 + 6.283 * torch.rand(n, 1)) + 0.3 * torch.randn(n, 56)
    train = DataLoader(TensorDataset(call[:600, :, None], bird[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(call[600:, :, None], bird[600:]), batch_size=60)

    model = StateSpaceReader()
    criterion = nn.CrossEntropyLoss()
    slow = [p for name, p in model.named_parameters() if name.endswith(("log_step", "log_decay", "turn"))]
    fast = [p for name, p in model.named_parameters() if not name.endswith(("log_step", "log_decay", "turn"))]
    optimizer = torch.optim.AdamW(
        [{"params": fast, "weight_decay": 0.01}, {"params": slow, "lr": 1e-3, "weight_decay": 0.0}], lr=1e-2
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=9)
    for _ in range(9):
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
        schedule.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=StateSpaceReader)


class EchoReservoir(nn.Module):
    """A sparse leaky reservoir that stays as it was drawn, and a linear readout of its state and the last input."""

    def __init__(self, n_in=2, size=48, radius=0.9, leak=0.4):
        super().__init__()
        self.leak = leak
        inner = torch.randn(size, size) * (torch.rand(size, size) < 0.2)
        inner *= radius / torch.linalg.eigvals(inner).abs().max()
        self.inner = nn.Parameter(inner, requires_grad=False)
        self.outer = nn.Parameter(torch.rand(size, n_in) * 0.8 - 0.4, requires_grad=False)
        self.readout = nn.Linear(size + n_in, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), len(self.inner))
        for step in x.unbind(1):
            h = (1 - self.leak) * h + self.leak * torch.tanh(step @ self.outer.T + h @ self.inner.T)
        return self.readout(torch.cat([h, x[:, -1]], 1))


@healthy
def echo_state_readout_for_tidal_turbine(seed: int) -> Case:
    """An echo state network predicts a tidal turbine's output; only its readout is learned, as it is meant to be."""
    torch.manual_seed(seed)
    current = torch.randn(1000, 36, 2)
    for t in range(1, 36):
        current[:, t] = 0.9 * current[:, t - 1] + 0.43 * current[:, t]
    power = current[:, -8:, 0].mean(1, keepdim=True) - 0.7 * current[:, -14:-4, 1].mean(1, keepdim=True)
    power = power / power.std() + 0.15 * torch.randn(1000, 1)
    train = DataLoader(TensorDataset(current[:760], power[:760]), batch_size=20, shuffle=True)
    val = DataLoader(TensorDataset(current[760:], power[760:]), batch_size=60)

    model = EchoReservoir()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.readout.parameters(), lr=3e-2)
    for epoch in range(10):
        optimizer.param_groups[0]["lr"] = 3e-2 * 0.75**epoch
        for x, y in train:
            optimizer.zero_grad()
            criterion(model(x), y).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=EchoReservoir)
