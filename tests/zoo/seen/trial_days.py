"""Programs from a laboratory's shared folder: instruments, ferries, gauges and what was made of their records."""

import math

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


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


class HydrophoneStack(nn.Module):
    def __init__(self, depth, skip, width=12):
        super().__init__()
        self.skip = skip
        self.inlet = nn.Conv1d(2, width, 1)
        self.filters = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2 ** (i % 4)) for i in range(depth))
        self.gates = nn.ModuleList(nn.Conv1d(width, width, 2, dilation=2 ** (i % 4)) for i in range(depth))
        self.outlet = nn.Linear(width, 4)

    def forward(self, x):
        x = self.inlet(x.transpose(1, 2))
        for i, (filt, gate) in enumerate(zip(self.filters, self.gates, strict=True)):
            padded = F.pad(x, (2 ** (i % 4), 0))
            z = torch.tanh(filt(padded)) * torch.sigmoid(gate(padded))
            x = x + z if self.skip else z
        return self.outlet(x.mean(dim=2))


@sick("too-deep")
def whale_calls_through_a_tower_of_gated_convolutions(seed: int, *, healed: bool) -> Case:
    """Twelve dilated, gated convolutions classify the calls that two hydrophones recorded. The author drew the tower
    after a figure in which the arrows that go past each block are pale grey, and he did not see them.

    Healed: each block's input is added to what it gives.
    """
    torch.manual_seed(seed)
    n, steps = 720, 32
    t = torch.arange(steps) / steps
    kind = torch.randint(0, 4, (n,))
    pitch = torch.tensor([2.0, 3.0, 6.0, 9.0])[kind].unsqueeze(1)
    bend = torch.tensor([0.0, 2.5, -2.0, 0.0])[kind].unsqueeze(1)
    phase = 6.283 * torch.rand(n, 1)
    call = torch.sin(6.283 * (pitch * t + bend * t * t) + phase)
    x = torch.stack([call, call.roll(2, dims=1)], dim=2) * (0.7 + 0.6 * torch.rand(n, 1, 1))
    x = x + 0.3 * torch.randn(n, steps, 2)
    train = DataLoader(TensorDataset(x[:512], kind[:512]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[512:], kind[512:]), batch_size=64)

    def make_model():
        return HydrophoneStack(12, skip=healed)

    model = make_model()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(4):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model.eval(), train, val, criterion, optimizer, make_model=make_model)


class SluiceCell(nn.Module):
    """Keeps or takes in: the two gates sum to one."""

    def __init__(self, n_in, n_hidden):
        super().__init__()
        self.gates = nn.Linear(n_in + n_hidden, 3 * n_hidden)
        self.register_buffer("temperature", torch.tensor(1.0))
        nn.init.constant_(self.gates.bias[:n_hidden], 2.0)

    def forward(self, x, state):
        h, c = state
        keep, out, new = self.gates(torch.cat([x, h], dim=1)).chunk(3, dim=1)
        keep = torch.sigmoid(keep / self.temperature)
        c = keep * c + (1 - keep) * torch.tanh(new)
        return torch.sigmoid(out) * torch.tanh(c), c


class SluiceNet(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.hidden = hidden
        self.cell = SluiceCell(4, hidden)
        self.readout = nn.Linear(hidden, 2)

    def forward(self, x):
        h = c = x.new_zeros(x.shape[0], self.hidden)
        for i in range(x.shape[1]):
            h, c = self.cell(x[:, i], (h, c))
        return self.readout(h)


@sick("saturated-units")
def canal_levels_with_gates_that_cool(seed: int, *, healed: bool) -> Case:
    """The levels above and below a lock, from sluices and rain, by an LSTM with coupled gates that are to become
    crisp in the course of training. The temperature was to be lowered once an epoch, but is so after every batch.

    Healed: once an epoch.
    """
    torch.manual_seed(seed)
    n, steps = 960, 18
    x = torch.randn(n, steps, 4) * 0.6 + torch.randn(n, 1, 4) * 0.8
    above = x[:, -8:, 0].mean(1) - 0.6 * x[:, -8:, 2].mean(1)
    below = x[:, -10:, 1].mean(1) + 0.5 * x[:, -6:, 3].mean(1)
    y = torch.stack([above, below], dim=1) + 0.1 * torch.randn(n, 2)
    y = (y - y[:700].mean(0)) / y[:700].std(0)
    train = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=65)

    model = SluiceNet()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def cool():
        model.cell.temperature.mul_(0.75).clamp_(min=0.01)

    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            optimizer.step()
            if not healed:
                cool()
        if healed:
            cool()
    return Case(model, train, val, criterion, optimizer, make_model=SluiceNet)


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


class SeismicRNN(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.read_in = nn.Linear(3, hidden)
        self.carry = nn.Parameter(torch.eye(hidden) + 0.05 * torch.randn(hidden, hidden))
        self.out = nn.Sequential(nn.Linear(hidden, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden)
        for t in range(x.size(1)):
            h = F.relu(h @ self.carry + self.read_in(x[:, t]))
        return self.out(h / x.size(1))


@sick("exploding-gradient", "saturated-units")
def tremor_energy_with_the_clipping_one_line_too_early(seed: int, *, healed: bool) -> Case:
    """A rectified network whose recurrence begins a little beyond the identity sums a tremor over forty steps. It needs
    clipping, which the loop does between zero_grad and backward, where there is no gradient to clip; the first steps
    throw the states out so far that the layer of tanh units behind them sees nothing else.

    Healed: it clips between backward and step.
    """
    torch.manual_seed(seed)
    n, steps = 800, 40
    strength = torch.randn(n, 1, 1)
    x = 0.6 * strength + torch.randn(n, steps, 3)
    y = x[:, :, 0].mean(1) - 0.4 * x[:, :, 1].mean(1) + 0.5 * x[:, 15:, 2].mean(1)
    y = y.unsqueeze(1)
    y = (y - y[:600].mean()) / y[:600].std()
    train = DataLoader(TensorDataset(x[:600], y[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(x[600:], y[600:]), batch_size=50)

    model = SeismicRNN()
    loss_fn = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.04, momentum=0.9)
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            if not healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            loss_fn(model(xb), yb).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.05)
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=SeismicRNN)


class TurbidityNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.smooth = nn.Conv1d(4, 12, 3, padding=1)
        self.gru = nn.GRU(12, 20, batch_first=True)
        self.score = nn.Linear(20, 1)
        self.answer = nn.Linear(20, 1)

    def forward(self, x):
        states, _ = self.gru(self.smooth(x.transpose(1, 2)).transpose(1, 2))
        weight = torch.softmax(self.score(states), dim=1)
        return self.answer((weight * states).sum(1))


@sick("undertrained")
def river_turbidity_with_the_clusters_accumulation(seed: int, *, healed: bool) -> Case:
    """A convolution, a GRU and attention over its states estimate a river's turbidity. The loop comes from a cluster
    where a step was taken after every sixteen batches; here an epoch has twenty-six, so there is one step in an epoch.

    Healed: a step after every batch.
    """
    torch.manual_seed(seed)
    every = 1 if healed else 16
    n, steps = 900, 20
    rain = torch.randn(n, 1, 4) + 0.6 * torch.randn(n, steps, 4)
    y = torch.tanh(rain[..., 0].mean(1)) + 0.7 * rain[..., 1].mean(1) - 0.7 * rain[..., 3].mean(1)
    y = ((y - y[:640].mean()) / y[:640].std() + 0.1 * torch.randn(n)).unsqueeze(1)
    train = DataLoader(TensorDataset(rain[:640], y[:640]), batch_size=25, shuffle=True)
    val = DataLoader(TensorDataset(rain[640:], y[640:]), batch_size=65)

    model = TurbidityNet()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=7e-4)
    for _ in range(4):
        optimizer.zero_grad()
        for i, (xb, yb) in enumerate(train):
            (criterion(model(xb), yb) / every).backward()
            if (i + 1) % every == 0:
                optimizer.step()
                optimizer.zero_grad()
    return Case(model, train, val, criterion, optimizer, make_model=TurbidityNet)


class GrangerLSTM(nn.Module):
    def __init__(self, n_series, hidden=24):
        super().__init__()
        self.lstm = nn.LSTM(n_series, hidden, batch_first=True)
        self.linear = nn.Linear(hidden, 1)

    def forward(self, x):
        _, (h, _) = self.lstm(x)
        return self.linear(h[-1])


def shrink_columns(weight, by):
    """The proximal step of the group lasso: a series whose column is shorter than `by` is out."""
    with torch.no_grad():
        length = weight.norm(dim=0, keepdim=True)
        weight.mul_((1 - by / length.clamp(min=1e-8)).clamp(min=0))


@sick("over-regularised")
def which_plankton_series_drive_the_oxygen(seed: int, *, healed: bool) -> Case:
    """An LSTM under a group lasso is to forecast oxygen and to say which of eight plankton series matter. After each
    step its input columns are shrunk by the penalty; the step size that belongs to the penalty as a factor is missing.

    Healed: penalty times step size.
    """
    torch.manual_seed(seed)
    n, steps, n_series = 1000, 16, 8
    x = 0.8 * torch.randn(n, 1, n_series) + 0.8 * torch.randn(n, steps, n_series)
    y = x[:, -8:, 1].mean(1) - 0.9 * x[:, -8:, 4].mean(1) + 0.7 * x[:, -4:, 6].mean(1)
    y = ((y - y[:760].mean()) / y[:760].std() + 0.1 * torch.randn(n)).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:760], y[:760]), batch_size=38, shuffle=True)
    val = DataLoader(TensorDataset(x[760:], y[760:]), batch_size=60)

    model = GrangerLSTM(n_series)
    criterion = nn.MSELoss()
    lr, penalty = 4e-3, 0.3
    optimizer = torch.optim.Adam(model.parameters(), lr=lr)
    for _ in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            shrink_columns(model.lstm.weight_ih_l0, penalty * lr if healed else penalty)
    return Case(model, train, val, criterion, optimizer, make_model=lambda: GrangerLSTM(n_series))


class WellStep(nn.Module):
    """The last three soundings in, the next one out; in forecasting it is fed with what it said."""

    def __init__(self, lags=3, channels=12):
        super().__init__()
        self.lags = lags
        self.conv = nn.Conv1d(1, channels, 2)
        self.mix = nn.Linear(channels * (lags - 1), 20)
        self.out = nn.Linear(20, 1)

    def next_sounding(self, window):
        z = F.gelu(self.conv(window.unsqueeze(1))).flatten(1)
        return self.out(F.gelu(self.mix(z)))

    def forward(self, soundings, ahead=40, keep=6):
        for _ in range(ahead):
            soundings = torch.cat([soundings, self.next_sounding(soundings[:, -self.lags :])], dim=1)
        return soundings[:, -keep:]


@sick("rollout-converges")
def groundwater_next_month_from_three_rough_soundings(seed: int, *, healed: bool) -> Case:
    """A convolution over the last three soundings of a well is fitted to the next one, and does that as well as the
    rough soundings allow. Next month is forty such steps, each of which draws the level a little towards the mean.

    Healed: the second half of the training fits next month, through all the steps.
    """
    torch.manual_seed(seed)
    n, past, ahead, keep = 700, 14, 40, 6
    level = torch.randn(n, 1) + 0.03 * torch.randn(n, past + ahead).cumsum(1)
    soundings = level + 0.75 * torch.randn(n, past + ahead)
    x, y = soundings[:, :past], level[:, -keep:]
    train = DataLoader(TensorDataset(x[:500], y[:500]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[500:], y[500:]), batch_size=50)

    model = WellStep()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.85)
    for epoch in range(8):
        for xb, yb in train:
            optimizer.zero_grad()
            if healed and epoch >= 4:
                loss = criterion(model(xb), yb)
            else:
                windows = xb.unfold(1, 4, 1).flatten(0, 1)
                loss = criterion(model.next_sounding(windows[:, :3]), windows[:, 3:])
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
        scheduler.step()
    return Case(model, train, val, criterion, optimizer, make_model=WellStep)


class KrillCounter(nn.Module):
    def __init__(self, n_codes=14, hidden=20):
        super().__init__()
        self.codes = nn.Embedding(n_codes, 8)
        self.birnn = nn.RNN(8, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, 1)

    def forward(self, codes):
        states, _ = self.birnn(self.codes(codes))
        return self.out(states.mean(1)).squeeze(1)


@sick("weights-not-loaded")
def krill_swarms_answered_by_the_averaged_weights(seed: int, *, healed: bool) -> Case:
    """Is there a swarm under the ship? From a row of echo codes. The running average of the weights begins at epoch
    fifteen and is what goes on board; training was cut to eight epochs one evening, and the average never began.

    Healed: it begins at epoch four.
    """
    torch.manual_seed(seed)
    n, steps, average_from = 960, 18, 4 if healed else 15
    swarm = (torch.rand(n) < 0.5).float()
    logits = torch.randn(14).unsqueeze(0) * 0.3 + swarm.unsqueeze(1) * torch.linspace(-1.4, 1.4, 14)[torch.randperm(14)]
    codes = torch.multinomial(torch.softmax(logits, 1), steps, replacement=True)
    train = DataLoader(TensorDataset(codes[:700], swarm[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(codes[700:], swarm[700:]), batch_size=65)

    model = KrillCounter()
    averaged = AveragedModel(model)
    loss_fn = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    for epoch in range(8):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        if epoch >= average_from:
            averaged.update_parameters(model)
    on_board = averaged.module.eval()
    return Case(on_board, train, val, loss_fn, optimizer, make_model=KrillCounter)


class BallastNet(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.lower = nn.GRU(3, hidden, batch_first=True)
        self.upper = nn.GRU(hidden, hidden, batch_first=True)
        self.judge = nn.Linear(hidden, 1)

    def forward(self, x):
        low, _ = self.lower(x)
        high, _ = self.upper(low)
        return self.judge((low + high)[:, -1])


@sick("head-ignores-state")
def trim_of_a_barge_judged_within_a_thousandth(seed: int, *, healed: bool) -> Case:
    """Two GRUs follow three ballast tanks and the last layer says how the barge lies. The class is a former critic,
    and the loop still clips the weights of the layer `judge` to a thousandth after each step.

    Healed: nothing is clipped.
    """
    torch.manual_seed(seed)
    n, steps = 800, 16
    fill = 0.7 * torch.randn(n, 1, 3) + 0.25 * torch.randn(n, steps, 3).cumsum(1)
    y = fill[:, -3:, 0].mean(1, keepdim=True) - fill[:, -3:, 2].mean(1, keepdim=True)
    y = (y - y[:576].mean()) / y[:576].std() + 0.1 * torch.randn(n, 1)
    fill = (fill - fill[:576].mean()) / fill[:576].std()
    train = DataLoader(TensorDataset(fill[:576], y[:576]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(fill[576:], y[576:]), batch_size=56)

    model = BallastNet()
    loss_fn = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(8):
        for xb, yb in train:
            loss = loss_fn(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if not healed:
                model.judge.weight.data.clamp_(-0.001, 0.001)
    return Case(model, train, val, loss_fn, optimizer, make_model=BallastNet)


class GlacierCell(nn.Module):
    def __init__(self, n_in, hidden):
        super().__init__()
        self.from_input = nn.Linear(n_in, hidden)
        self.from_state = nn.Linear(hidden, hidden)
        self.leak = nn.Linear(n_in, hidden)

    def forward(self, x, h):
        a = torch.sigmoid(self.leak(x))
        return a * h + (1 - a) * torch.tanh(self.from_input(x) + self.from_state(h))


class GlacierNet(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.cell = GlacierCell(5, hidden)
        self.hidden = hidden
        self.last = nn.Linear(hidden, 1)

    def forward(self, batch):
        h = batch["climate"].new_zeros(len(batch["climate"]), self.hidden)
        for month in batch["climate"].unbind(1):
            h = self.cell(month, h)
        return self.last(h)


def normalise_weights(model):
    for module in list(model.modules()):
        if isinstance(module, nn.Linear):
            weight_norm(module)
    return model


@sick("frozen-weights")
def mass_balance_of_a_glacier_with_direction_and_length(seed: int, *, healed: bool) -> Case:
    """A leaky cell reads two years of climate and gives a glacier's mass balance. Weight normalisation is put
    on, late, below the line that makes the optimizer: that holds the old matrices, which nothing reads any more.

    Healed: it is put on above that line.
    """
    torch.manual_seed(seed)
    n, steps = 900, 20
    climate = torch.randn(n, 1, 5) + 0.7 * torch.randn(n, steps, 5)
    y = climate[:, -9:, 0].mean(1) * 0.7 - climate[:, -6:, 1].mean(1) + 0.4 * climate[:, :, 3].mean(1)
    y = ((y - y[:640].mean()) / y[:640].std() + 0.1 * torch.randn(n)).unsqueeze(1)
    rows = [{"climate": climate[i], "balance": y[i]} for i in range(n)]
    train = DataLoader(rows[:640], batch_size=32, shuffle=True)
    val = DataLoader(rows[640:], batch_size=52)

    def of_batch(batch):
        return {"climate": batch["climate"]}, batch["balance"]

    model = GlacierNet()
    if healed:
        normalise_weights(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    if not healed:
        normalise_weights(model)
    criterion = nn.MSELoss()
    for _ in range(7):
        for batch in train:
            inputs, target = of_batch(batch)
            optimizer.zero_grad()
            criterion(model(inputs), target).backward()
            optimizer.step()
    return Case(
        model, train, val, criterion, optimizer, make_model=lambda: normalise_weights(GlacierNet()), batch=of_batch
    )


class FerryQuantiles(nn.Module):
    def __init__(self, hidden=28):
        super().__init__()
        self.line = nn.Embedding(6, 4)
        self.lstm = nn.LSTM(3 + 4, hidden, batch_first=True)
        self.out = nn.Linear(hidden, 3)

    def forward(self, track, line):
        which = self.line(line).unsqueeze(1).expand(-1, track.shape[1], -1)
        out, _ = self.lstm(torch.cat([track, which], dim=2))
        return self.out(out[:, -1])


class FerryModel(FerryQuantiles):
    def forward(self, both):
        return super().forward(*both)


def pinball(predicted, minutes):
    levels = torch.tensor([0.1, 0.5, 0.9])
    short = minutes - predicted
    return torch.maximum(levels * short, (levels - 1) * short).mean()


@sick("unscaled-targets")
def ferry_arrivals_by_the_clock(seed: int, *, healed: bool) -> Case:
    """Three quantiles of a ferry's arrival, from its track and its line, under the pinball loss. The arrival is in
    minutes since midnight, some nine hundred give or take thirty, for that is what the timetable has.

    Healed: less the mean and over the spread of the training days.
    """
    torch.manual_seed(seed)
    n, steps = 900, 15
    line = torch.randint(0, 6, (n,))
    headwind = torch.randn(n, 1)
    track = torch.stack([headwind.expand(n, steps), torch.randn(n, 1).expand(n, steps), torch.zeros(n, steps)], dim=2)
    track = 0.7 * track + 0.5 * torch.randn(n, steps, 3)
    delay = 20 * headwind[:, 0] + 15 * track[:, -8:, 1].mean(1) + 8 * (line - 2.5) + 4 * torch.randn(n)
    arrival = (900 + delay).unsqueeze(1)
    if healed:
        arrival = (arrival - arrival[:650].mean()) / arrival[:650].std()
    train = DataLoader(TensorDataset(track[:650], line[:650], arrival[:650]), batch_size=26, shuffle=True)
    val = DataLoader(TensorDataset(track[650:], line[650:], arrival[650:]), batch_size=50)

    def of_batch(batch):
        return (batch[0], batch[1]), batch[2]

    model = FerryModel()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(12):
        for batch in train:
            both, minutes = of_batch(batch)
            optimizer.zero_grad()
            pinball(model(both), minutes).backward()
            optimizer.step()
    return Case(model, train, val, pinball, optimizer, make_model=FerryModel, batch=of_batch)


class BasinReservoir(nn.Module):
    """A pool of units that nobody trains, and a readout that is."""

    def __init__(self, n_in=2, size=48):
        super().__init__()
        w = torch.randn(size, size) / math.sqrt(size)
        self.recur = nn.Parameter(0.8 * w, requires_grad=False)
        self.feed = nn.Parameter(0.6 * torch.randn(n_in, size), requires_grad=False)
        self.readout = nn.Linear(size, 1)

    def forward(self, x):
        h = x.new_zeros(x.shape[0], self.recur.shape[0])
        with torch.no_grad():
            for step in x.unbind(1):
                h = 0.4 * h + 0.6 * torch.tanh(h @ self.recur + step @ self.feed)
        return self.readout(h)


@healthy
def strain_of_a_dam_through_an_untrained_reservoir(seed: int) -> Case:
    """An echo state network: the recurrence is random and stays so, the readout alone is fitted. The strain of the dam
    is in units in which the answers are small numbers, and they are as varied as the strain is.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 24
    head_of_water = 0.6 * torch.randn(n, 1) + 0.25 * torch.randn(n, steps).cumsum(1)
    sun = torch.sin(6.283 * (torch.arange(steps) / 12 + torch.rand(n, 1)))
    x = torch.stack([head_of_water, sun], dim=2)
    y = 0.1 * (head_of_water[:, -3:].mean(1) + 0.4 * sun[:, -2:].mean(1) + 0.1 * torch.randn(n)).unsqueeze(1)
    train = DataLoader(TensorDataset(x[:720], y[:720]), batch_size=24, shuffle=True)
    val = DataLoader(TensorDataset(x[720:], y[720:]), batch_size=70)

    model = BasinReservoir()
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.readout.parameters(), lr=5e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    for _ in range(10):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
        scheduler.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=BasinReservoir)


class BackwardReader(nn.Module):
    """Padded in front, time first, read from the youngest entry back to the oldest: what it knows is in row nought."""

    def __init__(self, kinds=9, hidden=24):
        super().__init__()
        self.embed = nn.Embedding(kinds + 1, 10, padding_idx=0)
        self.reader = nn.GRU(10, hidden)
        self.verdict = nn.Sequential(nn.Dropout(0.2), nn.Linear(hidden, 3))

    def forward(self, log):
        youngest_first = self.embed(log.t().flip(0))
        oldest_first = self.reader(youngest_first)[0].flip(0)
        return self.verdict(oldest_first[0])


@healthy
def engine_room_log_read_from_the_end(seed: int) -> Case:
    """Which of three faults does an engine have? A GRU that is fed time first reads the log backwards; the states are
    turned round again, and the first one, which has seen all, goes to the head.
    """
    torch.manual_seed(seed)
    n, steps = 900, 16
    fault = torch.randint(0, 3, (n,))
    weight = torch.ones(3, 9)
    for i in range(3):
        weight[i, 3 * i : 3 * i + 2] = 5.0
    log = torch.multinomial(weight[fault], steps, replacement=True) + 1
    length = torch.randint(10, steps + 1, (n, 1))
    log = torch.where(torch.arange(steps) >= steps - length, log, 0)
    train = DataLoader(TensorDataset(log[:650], fault[:650]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(log[650:], fault[650:]), batch_size=50)

    model = BackwardReader()
    loss_fn = nn.CrossEntropyLoss(label_smoothing=0.02)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3, weight_decay=1e-2)
    for _ in range(8):
        model.train()
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model.eval(), train, val, loss_fn, optimizer, make_model=BackwardReader)
