"""Programs from a laboratory's shared folder: instruments, ferries, gauges and what was made of their records."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class MooringCell(nn.Module):
    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.forget = nn.Linear(n_in + n_hidden, n_hidden)
        self.candidate = nn.Linear(n_in + n_hidden, n_hidden)

    def forward(self, x, h):
        f = torch.sigmoid(self.forget(torch.cat([x, h], dim=1)))
        new = torch.tanh(self.candidate(torch.cat([x, f * h], dim=1)))
        return (1 - f) * h + f * new


class MooringNet(nn.Module):
    def __init__(self, scale_of, n_hidden=24):
        super().__init__()
        self.n_hidden = n_hidden
        self.embed = nn.Linear(3, 16)
        self.cell = MooringCell(16, n_hidden)
        self.neck = nn.Linear(n_hidden, 16)
        self.head = nn.Linear(16, 1)
        for p in self.parameters():
            if p.dim() == 2:
                nn.init.normal_(p, std=scale_of(p))
            else:
                nn.init.zeros_(p)

    def forward(self, x):
        h = x.new_zeros(len(x), self.n_hidden)
        for step in torch.tanh(self.embed(x)).unbind(1):
            h = self.cell(step, h)
        return self.head(torch.tanh(self.neck(h)))


@sick("bad-init")
def tension_of_a_mooring_line_from_the_buoys_motion(seed: int, *, healed: bool) -> Case:
    """A minimal gated cell reads heave, surge and wind and says how taut the line is. The author draws all weights
    himself and divides by the number of entries of the matrix, where he had meant the number of its columns.

    Healed: the spread comes from the columns.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 14
    swell = torch.randn(n, 1)
    t = torch.arange(steps)
    heave = swell + 0.5 * torch.sin(0.9 * t + 6.283 * torch.rand(n, 1)) + 0.3 * torch.randn(n, steps)
    surge = 0.7 * torch.randn(n, 1) + 0.7 * torch.randn(n, steps)
    wind = torch.randn(n, steps)
    x = torch.stack([heave, surge, wind], dim=2)
    y = heave[:, -6:].mean(1, keepdim=True) + 0.8 * surge[:, -5:].mean(1, keepdim=True) + 0.1 * torch.randn(n, 1)
    y = (y - y[:750].mean()) / y[:750].std()
    train = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)

    def make_model():
        if healed:
            return MooringNet(lambda w: 1 / math.sqrt(w.shape[1]))
        return MooringNet(lambda w: 1 / w.numel())

    model = make_model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    loss_fn = nn.MSELoss()
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = loss_fn(model(xb), yb)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=make_model)


class SparseCodeRNN(nn.Module):
    """Iterative thresholding, one iteration a frame; the codes start where the last frame left them."""

    def __init__(self, n_in, n_atoms, threshold):
        super().__init__()
        self.encode = nn.Linear(n_in, n_atoms, bias=False)
        self.inhibit = nn.Linear(n_atoms, n_atoms, bias=False)
        self.threshold = threshold
        self.read = nn.Linear(n_atoms, 1)

    def forward(self, frames):
        code = frames.new_zeros(frames.shape[0], self.inhibit.in_features)
        for frame in frames.unbind(1):
            code = F.relu(0.5 * code + self.encode(frame) + self.inhibit(code) - self.threshold)
        return self.read(code).squeeze(1)


@sick("dead-units")
def sparse_codes_of_chromatograph_frames(seed: int, *, healed: bool) -> Case:
    """A concentration out of the frames of a chromatograph, through non-negative sparse codes that are refined from
    frame to frame. The threshold of 8 is the paper's, whose frames went from 0 to 255; here they are standardised.

    Healed: a threshold of 0.05.
    """
    torch.manual_seed(seed)
    n, steps, channels = 900, 15, 6
    amount = torch.randn(n, 1)
    profile = torch.tensor([1.0, 0.8, 0.2, -0.4, 0.0, 0.6])
    drift = 0.4 * torch.randn(n, 1, channels)
    x = amount.unsqueeze(2) * profile + drift + 0.7 * torch.randn(n, steps, channels)
    x = (x - x[:650].mean((0, 1))) / x[:650].std((0, 1))
    y = (amount + 0.1 * torch.randn(n, 1)).squeeze(1)
    train = DataLoader(TensorDataset(x[:650], y[:650]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[650:], y[650:]), batch_size=50)

    def make_model():
        return SparseCodeRNN(channels, 32, 0.05 if healed else 8.0)

    model = make_model()
    loss_fn = nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=make_model)
