"""More from the assembly hall: forecasts, damping, tools' lives, and some that turned out well."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class OvenForecaster(nn.Module):
    """Encoder and decoder; at each step the decoder looks back over the encoder's states."""

    def __init__(self, horizon=6, hidden=24):
        super().__init__()
        self.horizon = horizon
        self.encoder = nn.GRU(2, hidden, batch_first=True)
        self.decoder = nn.GRUCell(hidden + 1, hidden)
        self.query = nn.Linear(hidden, hidden)
        self.say = nn.Linear(2 * hidden, 1)

    def forward(self, past):
        memory, last = self.encoder(past)
        state, value, said = last[0], past[:, -1, :1], []
        for _ in range(self.horizon):
            weight = torch.softmax((memory @ self.query(state).unsqueeze(2)).squeeze(2), dim=1)
            context = (weight.unsqueeze(2) * memory).sum(1)
            state = self.decoder(torch.cat([context, value], dim=1), state)
            value = self.say(torch.cat([state, context], dim=1))
            said.append(value)
        return torch.cat(said, dim=1)


@sick("over-regularised")
def curing_oven_decoder_with_borrowed_decay(seed: int, *, healed: bool) -> Case:
    """A decoder with attention forecasts a curing oven's next six readings from the last thirty.

    The decay of 1 comes from a paper on grokking, with AdamW; here it is plain Adam, where it is added to the
    gradient. Healed: 1e-5.
    """
    torch.manual_seed(seed)
    n, steps = 560, 36
    t = torch.arange(steps)
    phase, pace = 6.283 * torch.rand(n, 1), 0.15 + 0.2 * torch.rand(n, 1)
    level = 0.5 * torch.randn(n, 1)
    oven = torch.sin(pace * t + phase) + level + 0.1 * torch.randn(n, steps)
    fan = torch.cos(pace * t + phase) + 0.3 * torch.randn(n, steps)
    past, future = torch.stack([oven, fan], dim=2)[:, :30], oven[:, 30:]

    train_dl = DataLoader(TensorDataset(past[:420], future[:420]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(past[420:], future[420:]), batch_size=70)
    model = OvenForecaster()
    opt = torch.optim.Adam(model.parameters(), lr=5e-3, weight_decay=1e-5 if healed else 1.0)
    criterion = nn.MSELoss()
    for _ in range(8):
        model.train()
        for x, y in train_dl:
            opt.zero_grad()
            criterion(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, opt, make_model=OvenForecaster)


class DampingODE(nn.Module):
    """Euler steps of h' = (tanh(f(x, h)) - h) / tau over readings at uneven intervals."""

    def __init__(self, ending, hidden=24):
        super().__init__()
        self.hidden = hidden
        self.f = nn.Linear(1 + hidden, hidden)
        self.log_tau = nn.Parameter(torch.linspace(-1, 2, hidden))
        self.head = nn.Sequential(nn.Linear(hidden, 24), nn.SiLU(), nn.Linear(24, 1), ending)

    def forward(self, readings):
        values, gaps = readings
        h = values.new_zeros(len(values), self.hidden)
        for x, dt in zip(values.unbind(1), gaps.unbind(1), strict=True):
            drive = torch.tanh(self.f(torch.cat([x.unsqueeze(1), h], dim=1)))
            h = h + (1 - torch.exp(-dt.unsqueeze(1) * torch.exp(-self.log_tau))) * (drive - h)
        return self.head(h).squeeze(1)


@sick("head-range")
def damping_in_decibels_from_an_ode_cell(seed: int, *, healed: bool) -> Case:
    """A continuous-time cell reads a fixture's ringing at uneven intervals and gives its damping, in tens of decibels.

    The net was made for concentrations and still ends in a softplus; damping lies between -5 and -1.
    Healed: it ends with its last linear layer.
    """
    torch.manual_seed(seed)
    n, steps = 800, 32
    gaps = 0.2 + 0.8 * torch.rand(n, steps)
    when = gaps.cumsum(1)
    tens_of_db = -1 - 4 * torch.rand(n, 1)
    envelope = torch.exp(0.06 * (tens_of_db + 1) * when)
    values = 2 * envelope - 1 + 0.15 * torch.randn(n, steps)
    target = tens_of_db.squeeze(1)

    train_dl = DataLoader(TensorDataset(values[:600], gaps[:600], target[:600]), batch_size=40, shuffle=True)
    val_dl = DataLoader(TensorDataset(values[600:], gaps[600:], target[600:]), batch_size=50)

    def make_model():
        return DampingODE(nn.Identity() if healed else nn.Softplus())

    net = make_model()
    optimizer = torch.optim.RMSprop(net.parameters(), lr=2e-3)
    l1 = nn.L1Loss()
    for _ in range(10):
        net.train()
        for v, g, y in train_dl:
            optimizer.zero_grad()
            l1(net((v, g)), y).backward()
            optimizer.step()
    net.eval()
    return Case(net, train_dl, val_dl, l1, optimizer, make_model=make_model, batch=lambda b: ((b[0], b[1]), b[2]))


class SpindlePatches(nn.Module):
    def __init__(self, patch=6, dim=32):
        super().__init__()
        self.patch = patch
        self.embed = nn.Linear(patch * 2, dim)
        self.place = nn.Parameter(0.05 * torch.randn(1, 60 // patch, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 64, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(dim, 1)

    def forward(self, x):
        patches = x.unflatten(1, (-1, self.patch)).flatten(2)
        return self.head(self.encoder(self.embed(patches) + self.place).mean(1))


@sick("learning-rate-too-high")
def spindle_patches_on_one_cycle(seed: int, *, healed: bool) -> Case:
    """A patch transformer tells the rest of a spindle's life from sixty readings of current and vibration.

    The peak of the one-cycle schedule is a convolutional net's, 0.1. Healed: 0.003.
    """
    torch.manual_seed(seed)
    n, steps = 800, 60
    life = torch.randn(n, 1)
    t = torch.linspace(0, 1, steps)
    current = 0.3 * t * torch.randn(n, 1) + torch.randn(n, steps)
    vibration = torch.exp(0.4 * life) * torch.randn(n, steps)
    x = torch.stack([current, vibration], dim=2)
    y = life + 0.1 * torch.randn(n, 1)

    train_dl = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=80)
    model = SpindlePatches()
    epochs = 9
    opt = torch.optim.AdamW(model.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        opt, max_lr=0.003 if healed else 0.1, total_steps=epochs * len(train_dl)
    )
    criterion = nn.SmoothL1Loss()
    for _ in range(epochs):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            criterion(model(xb), yb).backward()
            opt.step()
            schedule.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, opt, make_model=SpindlePatches)


class WearAccumulator(nn.Module):
    """Each cut adds some wear, never takes any away; what has gathered is read through a tanh."""

    def __init__(self, per_cut, hidden=24):
        super().__init__()
        self.per_cut = per_cut
        self.tool = nn.Embedding(5, 8)
        self.increment = nn.Sequential(nn.Linear(2 + 8, hidden), nn.Tanh(), nn.Linear(hidden, hidden), nn.Softplus())
        self.head = nn.Linear(hidden, 1)

    def forward(self, inputs):
        cuts, tool = inputs
        kind = self.tool(tool).unsqueeze(1).expand(-1, cuts.shape[1], -1)
        wear = cuts.new_zeros(len(cuts), self.head.in_features)
        for step in self.increment(torch.cat([cuts, kind], dim=2)).unbind(1):
            wear = wear + step / self.per_cut
        return self.head(torch.tanh(wear)).squeeze(1)


@sick("saturated-units")
def milling_wear_that_only_adds_up(seed: int, *, healed: bool) -> Case:
    """A hand-written cell adds a positive increment of wear for each of fifty cuts, by load, speed and tool.

    Fifty softplus increments of some 0.7 reach the tanh as 35, whatever the cuts. Healed: an increment is counted
    as a fiftieth.
    """
    torch.manual_seed(seed)
    n, steps = 900, 50
    cuts = torch.randn(n, 1, 2) + 0.7 * torch.randn(n, steps, 2)
    tool = torch.randint(0, 5, (n,))
    harsh = torch.tensor([-0.6, -0.3, 0.0, 0.3, 0.6])[tool]
    wear = (cuts[..., 0] + 0.5 * cuts[..., 0] * cuts[..., 1].sign()).mean(1) + harsh
    wear = (wear - wear.mean()) / wear.std()

    data = TensorDataset(cuts, tool, wear)
    train_dl = DataLoader(torch.utils.data.Subset(data, range(700)), batch_size=32, shuffle=True)
    val_dl = DataLoader(torch.utils.data.Subset(data, range(700, n)), batch_size=50)

    def make_model():
        return WearAccumulator(per_cut=50 if healed else 1)

    model = make_model()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    criterion = nn.MSELoss()
    for _ in range(8):
        model.train()
        for c, k, y in train_dl:
            loss = criterion(model((c, k)), y)
            opt.zero_grad()
            loss.backward()
            opt.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, opt, make_model=make_model, batch=lambda b: ((b[0], b[1]), b[2]))


class KnockListener(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.rnn = nn.GRU(2, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, packed):
        out, lengths = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        short = torch.arange(out.shape[1]).unsqueeze(0) >= lengths.unsqueeze(1)
        return self.head(out.masked_fill(short.unsqueeze(2), -1e4).amax(1)).squeeze(1)


class Knocks(torch.utils.data.Dataset):
    """Recordings of unequal length, as a sound card gives them: 16-bit integers."""

    def __init__(self, n):
        self.items = []
        for _ in range(n):
            length = int(torch.randint(20, 45, (1,)))
            loose = torch.rand(1)
            t = torch.arange(length)
            ring = torch.exp(-t / (4 + 12 * loose)).unsqueeze(1) * torch.tensor([0.7, -0.5])
            wave = ring + 0.08 * torch.randn(length, 2)
            self.items.append(((wave.clamp(-1, 1) * 32767).short(), 3.4 * (loose - 0.5).squeeze(0)))

    def __len__(self):
        return len(self.items)

    def __getitem__(self, i):
        wave, play = self.items[i]
        return wave / 32768.0, play


def pack(items):
    return pack_sequence([wave for wave, _ in items], enforce_sorted=False), torch.stack([play for _, play in items])


def pack_pcm(items):
    return pack([(wave / 32768.0, play) for wave, play in items])


@sick("train-eval-mismatch")
def gearbox_knock_test_set_collated_as_pcm(seed: int, *, healed: bool) -> Case:
    """A bidirectional net with max-pooling hears how much play a gearbox has; collating packs the recordings.

    The test loader kept the older collate function, which itself makes floats of the sound card's integers, though
    the data set has long done so. Healed: both loaders collate alike.
    """
    torch.manual_seed(seed)
    train_dl = DataLoader(Knocks(420), batch_size=32, shuffle=True, collate_fn=pack)
    val_dl = DataLoader(Knocks(120), batch_size=40, collate_fn=pack if healed else pack_pcm)
    model = KnockListener()
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = nn.MSELoss()
    for _ in range(7):
        model.train()
        for x, y in train_dl:
            opt.zero_grad()
            criterion(model(x), y).backward()
            opt.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, opt, make_model=KnockListener)


class DiagonalLayer(nn.Module):
    """x_t = a x_{t-1} + (1 - a) B u_t with a = exp(-exp(log_dt)), one rate per channel, in a loop."""

    def __init__(self, inputs, width, slowest):
        super().__init__()
        self.log_dt = nn.Parameter(torch.linspace(torch.tensor(slowest).log().item(), 0.0, width))
        self.bring = nn.Linear(inputs, width)

    def forward(self, u):
        a = torch.exp(-torch.exp(self.log_dt))
        v, x, states = self.bring(u), 0, []
        for step in v.unbind(1):
            x = a * x + (1 - a) * step
            states.append(x)
        return torch.stack(states, dim=1)


class StateSpaceRegressor(nn.Module):
    def __init__(self, slowest, width=24):
        super().__init__()
        self.one = DiagonalLayer(2, width, slowest)
        self.two = DiagonalLayer(width, width, slowest)
        self.head = nn.Sequential(nn.Linear(width, 24), nn.GELU(), nn.Linear(24, 1))

    def forward(self, u):
        return self.head(self.two(F.gelu(self.one(u)))[:, -1]).squeeze(1)


@sick("vanishing-gradient")
def press_fit_state_space_with_short_memory(seed: int, *, healed: bool) -> Case:
    """Two diagonal state-space layers read sixty readings of a press fit; its strength is decided at the lead-in.

    The step sizes begin between 0.5 and 1, so each step forgets a third or more of what was before, and the lead-in
    is fifty steps away. Healed: they begin at 0.005 to 1.
    """
    torch.manual_seed(seed)
    n, steps = 800, 60
    u = 0.6 * torch.randn(n, steps, 2)
    seat = torch.randn(n, 1)
    u[:, :10, 0] += 1.5 * seat
    y = seat.squeeze(1) + 0.1 * torch.randn(n)

    train_dl = DataLoader(TensorDataset(u[:600], y[:600]), batch_size=40, shuffle=True)
    val_dl = DataLoader(TensorDataset(u[600:], y[600:]), batch_size=100)

    def make_model():
        return StateSpaceRegressor(slowest=0.005 if healed else 0.5)

    model = make_model()
    opt = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=1e-3)
    criterion = nn.MSELoss()
    for _ in range(8):
        model.train()
        for x, target in train_dl:
            opt.zero_grad()
            criterion(model(x), target).backward()
            opt.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, opt, make_model=make_model)


class BoltRing(nn.Module):
    """Eight bolts on a flange, each with a state; at each step a bolt hears its two neighbours. Time first."""

    def __init__(self, bolts=8, hidden=16):
        super().__init__()
        ring = torch.eye(bolts)
        self.register_buffer("neighbours", (ring.roll(1, 0) + ring.roll(-1, 0)) / 2)
        self.message = nn.Linear(hidden, hidden)
        self.cell = nn.GRUCell(1 + hidden, hidden)
        self.score = nn.Linear(hidden, 1)

    def forward(self, x):
        _, n, bolts = x.shape
        state = x.new_zeros(n, bolts, self.cell.hidden_size)
        for now in x:
            heard = self.neighbours @ torch.tanh(self.message(state))
            state = self.cell(torch.cat([now.unsqueeze(2), heard], dim=2).flatten(0, 1), state.flatten(0, 1))
            state = state.unflatten(0, (n, bolts))
        return self.score(state).squeeze(2)


@healthy
def flange_ring_points_at_the_loose_bolt(seed: int) -> Case:
    """A ring of recurrent cells, one for each bolt of a flange, says which bolt works loose: it gives way, and
    its neighbours take over. The batches are a plain list, time first.
    """
    torch.manual_seed(seed)
    n, steps, bolts = 680, 20, 8
    loose = torch.randint(0, bolts, (n,))
    which = F.one_hot(loose, bolts).float()
    near = (which.roll(1, 1) + which.roll(-1, 1)) / 2
    x = 1.5 * torch.randn(steps, n, bolts) + torch.linspace(0, 1, steps).view(-1, 1, 1) * (near - 1.4 * which)
    train = [(x[:, i : i + 40], loose[i : i + 40]) for i in range(0, 480, 40)]
    val = [(x[:, i : i + 50], loose[i : i + 50]) for i in range(480, n, 50)]

    model = BoltRing()
    opt = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        model.train()
        for i in torch.randperm(len(train)).tolist():
            series, label = train[i]
            opt.zero_grad()
            F.cross_entropy(model(series), label).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            opt.step()
    model.eval()
    return Case(model, train, val, F.cross_entropy, opt, make_model=BoltRing)


class RivetNet(nn.Module):
    """Convolutions, an LSTM, and two heads: what the rivet holds, and the logarithm of how unsure that is."""

    def __init__(self, hidden=24):
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv1d(2, 16, 5, stride=2), nn.BatchNorm1d(16), nn.ReLU(), nn.Conv1d(16, 16, 3), nn.ReLU()
        )
        self.rnn = nn.LSTM(16, hidden)
        self.mean = nn.Linear(hidden, 1)
        self.log_variance = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(self.front(x).permute(2, 0, 1))
        last = out[-1]
        return self.mean(last).squeeze(1), self.log_variance(last).squeeze(1)


def rivet_nll(prediction, target):
    mean, log_variance = prediction
    return F.gaussian_nll_loss(mean, target, log_variance.exp())


@healthy
def rivets_with_a_head_for_their_own_doubt(seed: int) -> Case:
    """A CNN-LSTM gives a rivet's strength and its own uncertainty; half of the rivets are measured twice as badly."""
    torch.manual_seed(seed)
    n, steps = 900, 48
    strength = torch.randn(n, 1)
    shaky = (torch.rand(n, 1) < 0.5).float()
    push = strength * torch.sin(torch.linspace(0, 3.14, steps)) + 0.3 * torch.randn(n, steps)
    tremble = (0.3 + 0.7 * shaky) * torch.randn(n, steps)
    x = torch.stack([push, tremble], dim=1)
    y = (strength + 0.25 * (1 + shaky) * torch.randn(n, 1)).squeeze(1)

    train_dl = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=32, shuffle=True, drop_last=True)
    val_dl = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = RivetNet()
    opt = torch.optim.AdamW(model.parameters(), lr=4e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(opt, 7)
    for _ in range(7):
        model.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            rivet_nll(model(xb), yb).backward()
            opt.step()
        schedule.step()
    model.eval()
    return Case(model, train_dl, val_dl, rivet_nll, opt, make_model=RivetNet)


class OrderTimeNet(nn.Module):
    """Work steps' ids in, through a bidirectional GRU and attention pooling, to three quantiles of the order's time."""

    def __init__(self, kinds=13, hidden=20):
        super().__init__()
        self.embed = nn.Embedding(kinds, 12, padding_idx=0)
        self.rnn = nn.GRU(12, hidden, batch_first=True, bidirectional=True)
        self.ask = nn.Linear(2 * hidden, 1)
        self.quantiles = nn.Linear(2 * hidden + 1, 3)

    def forward(self, order):
        ids, lengths, crew = order
        packed = pack_padded_sequence(self.embed(ids), lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=ids.shape[1])
        weight = self.ask(out).squeeze(2).masked_fill(ids == 0, float("-inf")).softmax(1)
        pooled = (weight.unsqueeze(2) * out).sum(1)
        return self.quantiles(torch.cat([pooled, crew.unsqueeze(1)], dim=1))


def pinball(prediction, target):
    q = torch.tensor([0.1, 0.5, 0.9])
    short = target - prediction
    return torch.maximum(q * short, (q - 1) * short).mean()


@healthy
def order_times_by_work_steps_in_quantiles(seed: int) -> Case:
    """How long an order takes, as quantiles, from the ids of its work steps, more than half of the table padding."""
    torch.manual_seed(seed)
    n, longest = 900, 40
    lengths = torch.randint(8, 25, (n,))
    lengths[torch.randperm(n)[:20]] = longest
    leaning = torch.randint(0, 3, (n, 1))
    ids = torch.where(torch.rand(n, longest) < 0.5, 1 + 4 * leaning, 1) + torch.randint(0, 4, (n, longest))
    ids[torch.arange(longest) >= lengths.unsqueeze(1)] = 0
    minutes = torch.linspace(-1.5, 2.0, 13)
    minutes[0] = 0
    crew = torch.randn(n)
    took = minutes[ids].sum(1) / lengths - 0.25 * crew + 0.15 * torch.randn(n)
    took = ((took - took.mean()) / took.std()).unsqueeze(1)

    data = TensorDataset(ids, lengths, crew, took)
    train_dl = DataLoader(torch.utils.data.Subset(data, range(700)), batch_size=32, shuffle=True)
    val_dl = DataLoader(torch.utils.data.Subset(data, range(700, n)), batch_size=40)
    model = OrderTimeNet()
    opt = torch.optim.Adam(model.parameters(), lr=6e-3)
    for _ in range(7):
        model.train()
        for i, k, c, y in train_dl:
            opt.zero_grad()
            pinball(model((i, k, c)), y).backward()
            opt.step()
    model.eval()
    return Case(
        model, train_dl, val_dl, pinball, opt, make_model=OrderTimeNet, batch=lambda b: ((b[0], b[1], b[2]), b[3])
    )
