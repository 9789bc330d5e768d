"""From an assembly hall: presses, screwdrivers, welders, and what people train on their curves."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo.program import Case, sick


class GatedBlock(nn.Module):
    def __init__(self, channels, dilation):
        super().__init__()
        self.reach = 2 * dilation
        self.conv = nn.Conv1d(channels, 2 * channels, 3, dilation=dilation)
        self.mix = nn.Conv1d(channels, channels, 1)

    def forward(self, x):
        filtered, gate = self.conv(F.pad(x, (self.reach, 0))).chunk(2, dim=1)
        return x + self.mix(torch.tanh(filtered) * torch.sigmoid(gate))


class ClampForceNet(nn.Module):
    def __init__(self, gauges=3, channels=16):
        super().__init__()
        self.first = nn.Conv1d(gauges, channels, 1)
        self.blocks = nn.Sequential(*(GatedBlock(channels, 2**i) for i in range(4)))
        self.out = nn.Conv1d(channels, 1, 1)

    def forward(self, x):
        return self.out(self.blocks(self.first(x)))[:, 0, -1]


@sick("unscaled-inputs")
def strain_rosette_in_metres_per_metre(seed: int, *, healed: bool) -> Case:
    """A gated dilated convolution reads a rosette's three gauges and tells how firmly the die was clamped.

    The amplifier delivers strain as it is defined, metres per metre, and so it goes into the net: some
    millionths. Healed: it is divided by the training recordings' spread, gauge by gauge.
    """
    torch.manual_seed(seed)
    n, steps = 800, 48
    force = torch.randn(n, 1)
    onset = torch.randint(4, 30, (n, 1))
    ramp = ((torch.arange(steps) - onset) / 8.0).clamp(0, 1)
    gain = torch.tensor([1.0, -0.3, 0.6]).view(1, 3, 1)
    strain = gain * (force * ramp).unsqueeze(1) + 0.3 * torch.randn(n, 3, steps)
    strain = 1.5e-5 * strain
    if healed:
        spread = strain[:600].std(dim=(0, 2), keepdim=True)
        strain = strain / spread
    target = force.squeeze(1) + 0.1 * torch.randn(n)

    train_dl = DataLoader(TensorDataset(strain[:600], target[:600]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(strain[600:], target[600:]), batch_size=100)
    net = ClampForceNet()
    opt = torch.optim.AdamW(net.parameters(), lr=3e-3)
    huber = nn.HuberLoss()
    for _ in range(6):
        net.train()
        for xb, yb in train_dl:
            opt.zero_grad()
            huber(net(xb), yb).backward()
            opt.step()
    net.eval()
    return Case(net, train_dl, val_dl, huber, opt, make_model=ClampForceNet)


class JointPerceiver(nn.Module):
    """A few learned queries collect what the series, the station's id and the data sheet have to say."""

    def __init__(self, collects=True, dim=24, queries=4):
        super().__init__()
        self.collects = collects
        self.queries = nn.Parameter(0.3 * torch.randn(1, queries, dim))
        self.series_in = nn.Linear(2, dim)
        self.sheet_in = nn.Linear(3, dim)
        self.station_in = nn.Embedding(6, dim)
        self.position = nn.Parameter(0.1 * torch.randn(1, 30, dim))
        self.cross = nn.MultiheadAttention(dim, 4, batch_first=True)
        self.norm = nn.LayerNorm(dim)
        self.feed = nn.Sequential(nn.Linear(dim, 48), nn.GELU(), nn.Linear(48, dim))
        self.head = nn.Linear(queries * dim, 1)

    def forward(self, inputs):
        series = self.series_in(inputs["series"]) + self.position
        sheet, station = self.sheet_in(inputs["sheet"]), self.station_in(inputs["station"])
        tokens = torch.cat([series, sheet.unsqueeze(1), station.unsqueeze(1)], dim=1)
        latent = self.queries.expand(len(tokens), -1, -1)
        source = tokens if self.collects else latent
        latent = latent + self.cross(latent, source, source, need_weights=False)[0]
        latent = latent + self.feed(self.norm(latent))
        return self.head(latent.flatten(1)).squeeze(-1)


class JointDataset(Dataset):
    def __init__(self, n):
        self.series = torch.randn(n, 30, 2) * 0.5 + torch.randn(n, 1, 2)
        self.sheet = torch.randn(n, 3)
        self.station = torch.randint(0, 6, (n,))
        wear = torch.linspace(-1, 1, 6)[self.station]
        self.glue = self.series[:, 10:, 0].mean(1) + 0.5 * self.sheet[:, 1] + wear + 0.1 * torch.randn(n)

    def __len__(self):
        return len(self.glue)

    def __getitem__(self, i):
        return {"series": self.series[i], "sheet": self.sheet[i], "station": self.station[i], "glue": self.glue[i]}


def joint_batch(rows):
    return {key: rows[key] for key in ("series", "sheet", "station")}, rows["glue"]


@sick("input-never-arrives")
def glue_joint_queries_that_ask_each_other(seed: int, *, healed: bool) -> Case:
    """Learned queries are to gather from the series, the data sheet and the station how much glue a joint takes.

    When the block for self-attention was copied to make the one for cross-attention, keys and values stayed the
    queries' own. Healed: keys and values are the tokens of what was measured.
    """
    torch.manual_seed(seed)
    train_dl = DataLoader(JointDataset(800), batch_size=32, shuffle=True)
    val_dl = DataLoader(JointDataset(250), batch_size=50)

    def make_model():
        return JointPerceiver(collects=healed)

    model = make_model()
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    criterion = nn.MSELoss()
    for _ in range(8):
        model.train()
        for rows in train_dl:
            inputs, glue = joint_batch(rows)
            loss = criterion(model(inputs), glue)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make_model, batch=joint_batch)


class ScrewGPT(nn.Module):
    """Causal, so that the same net may later be run while the screw still turns. Time first: (T, N, 2)."""

    def __init__(self, read=-1, dim=24):
        super().__init__()
        self.read = read
        self.embed = nn.Linear(2, dim)
        self.position = nn.Parameter(0.1 * torch.randn(40, 1, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 48, dropout=0.05, norm_first=True)
        self.body = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(40))
        self.classify = nn.Linear(dim, 3)

    def forward(self, curve):
        hidden = self.body(self.embed(curve) + self.position, mask=self.mask)
        return self.classify(hidden[self.read])


@sick("wrong-timestep")
def screw_curves_pooled_as_bert_does(seed: int, *, healed: bool) -> Case:
    """A causal transformer sorts torque curves into seated, stripped and cross-threaded.

    The head came from a BERT classifier, which takes position 0; here position 0 sees the first reading only.
    Healed: the head takes the last position.
    """
    torch.manual_seed(seed)
    n, steps = 560, 40
    kind = torch.randint(0, 3, (n,))
    t = torch.arange(steps).view(-1, 1)
    knee = torch.randint(14, 24, (n,)).view(1, -1)
    seated = ((t - knee) / 12.0).clamp(min=0)
    stripped = ((t - knee) / 12.0).clamp(0, 0.5) - ((t - knee - 10) / 10.0).clamp(min=0)
    crossed = (t / 24.0).clamp(max=1.0).expand(-1, n)
    torque = torch.stack([seated, stripped, crossed])[kind, :, torch.arange(n)].T
    angle = t / 20.0 - 1 + 0.1 * torch.randn(steps, n)
    curves = torch.stack([torque + 0.2 * torch.randn(steps, n), angle], dim=2)

    train = [(curves[:, i : i + 32], kind[i : i + 32]) for i in range(0, 384, 32)]
    val = [(curves[:, i : i + 44], kind[i : i + 44]) for i in range(384, 560, 44)]

    def make_model():
        return ScrewGPT(read=-1 if healed else 0)

    net = make_model()
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)
    sched = torch.optim.lr_scheduler.StepLR(opt, 3, gamma=0.5)
    for _ in range(5):
        net.train()
        for i in torch.randperm(len(train)).tolist():
            x, y = train[i]
            opt.zero_grad()
            F.cross_entropy(net(x), y).backward()
            opt.step()
        sched.step()
    net.eval()
    return Case(net, train, val, F.cross_entropy, opt, make_model=make_model)


class WeldTwins(nn.Module):
    """One encoder for both electrodes' current; the head says whether they wear in the same direction."""

    def __init__(self, hidden=24):
        super().__init__()
        self.front = nn.Conv1d(2, 16, 5, stride=2)
        self.rnn = nn.GRU(16, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(2 * hidden, 32), nn.ReLU(), nn.Linear(32, 1))

    def encode(self, series):
        return self.rnn(torch.relu(self.front(series)).transpose(1, 2))[1][-1]

    def forward(self, pair):
        left, right = pair
        return self.head(torch.cat([self.encode(left), self.encode(right)], dim=1)).squeeze(1)


@sick("frozen-weights")
def weld_electrode_twins_in_two_groups(seed: int, *, healed: bool) -> Case:
    """A Siamese net tells from two electrodes' currents whether both drift in the same direction.

    Matrices were to be decayed, vectors not; the second group overwrote the first, for want of a plus sign, and
    only the biases are optimised. Healed: both groups are handed over.
    """
    torch.manual_seed(seed)
    n, steps = 900, 40
    drift = torch.randn(2, n, 1).sign() * (0.6 + torch.rand(2, n, 1))
    course = drift * torch.linspace(-1, 1, steps) + 0.4 * torch.randn(2, n, steps)
    volts = 0.5 * torch.randn(2, n, steps)
    left, right = torch.stack([course, volts], dim=2)
    same = (drift[0] * drift[1] > 0).float().squeeze(1)

    train_dl = DataLoader(TensorDataset(left[:700], right[:700], same[:700]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(left[700:], right[700:], same[700:]), batch_size=50)
    model = WeldTwins()
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    groups = [{"params": matrices, "weight_decay": 1e-2}]
    if healed:
        groups += [{"params": vectors, "weight_decay": 0.0}]
    else:
        groups = [{"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=5e-3)
    criterion = nn.BCEWithLogitsLoss()
    for _ in range(7):
        model.train()
        for a, b, label in train_dl:
            optimizer.zero_grad()
            criterion(model((a, b)), label).backward()
            optimizer.step()
    model.eval()
    return Case(
        model, train_dl, val_dl, criterion, optimizer, make_model=WeldTwins, batch=lambda b: ((b[0], b[1]), b[2])
    )
