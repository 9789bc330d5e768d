"""Books that are kept of something, and networks that read in them: sheets, logs, journals, counts."""

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

from zoo.program import Case, sick


class PlasmaCurve(nn.Module):
    """A minimal gated unit over the blood samples of one stay, dose and covariates at each."""

    def __init__(self, n_in, width):
        super().__init__()
        self.width = width
        self.gate = nn.Linear(n_in + width, width)
        self.cand = nn.Linear(n_in + width, width)
        self.out = nn.Linear(width, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.width)
        for step in x.unbind(1):
            f = torch.sigmoid(self.gate(torch.cat([step, h], 1)))
            h = (1 - f) * h + f * torch.tanh(self.cand(torch.cat([step, f * h], 1)))
        return self.out(h)


@sick("not-finite")
def trough_levels_and_a_guarded_step(seed: int, *, healed: bool) -> Case:
    """Trough levels of an antibiotic from the doses and creatinine before. Where the laboratory sent no result, the
    sheet's cell is empty. The author's loop had once crashed on a loss that was nan, and leaves such batches out since.

    Healed: stays without a result are dropped when the sheet is read.
    """
    torch.manual_seed(seed)
    n, doses = 1100, 12
    dose = torch.randint(1, 5, (n, doses)).float()
    creatinine = torch.randn(n, 1) + 0.4 * torch.randn(n, doses).cumsum(1)
    level = torch.zeros(n)
    for k in range(doses):
        level = level * torch.sigmoid(0.4 + 0.8 * creatinine[:, k]) + dose[:, k]
    level = level.log() + 0.08 * torch.randn(n)
    level = (level - level.mean()) / level.std()
    level[torch.rand(n) < 0.2] = float("nan")
    sheet = torch.stack([(dose - 2.5) / 1.1, creatinine / 1.4], 2)
    if healed:
        kept = ~level.isnan()
        sheet, level = sheet[kept], level[kept]
    cut = int(0.75 * len(sheet))
    train = DataLoader(TensorDataset(sheet[:cut], level[:cut, None]), batch_size=48, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(sheet[cut:], level[cut:, None]), batch_size=48)

    def make_model():
        return PlasmaCurve(2, 20)

    net = make_model()
    opt = torch.optim.Adam(net.parameters(), lr=8e-3)
    mse = nn.MSELoss()
    for _ in range(12):
        for x, y in train:
            loss = mse(net(x), y)
            if not torch.isfinite(loss):
                continue
            opt.zero_grad()
            loss.backward()
            opt.step()
    return Case(net, train, val, mse, opt, make_model=make_model)


class BasketReader(nn.Module):
    def __init__(self):
        super().__init__()
        self.front = nn.Conv1d(4, 16, 3, padding=1)
        self.rnn = nn.RNN(16, 28, batch_first=True)
        self.norm = nn.LayerNorm(28)
        self.head = nn.Linear(28, 1)

    def forward(self, baskets):
        z = F.silu(self.front(baskets.transpose(1, 2))).transpose(1, 2)
        states, _ = self.rnn(z)
        return self.head(self.norm(states.mean(1))).squeeze(1)


def less_the_mean_of_its_group(values, keys):
    _, group = keys.unique(return_inverse=True)
    sums = torch.zeros(int(group.max()) + 1).index_add_(0, group, values)
    return values - (sums / torch.bincount(group))[group]


@sick("flat-target")
def next_spending_less_the_households_habit(seed: int, *, healed: bool) -> Case:
    """What a household spends next, beyond its own average, from its last sixteen baskets. The averages were taken over
    the column `receipt`, of which hardly any occurs twice, instead of over `household`.

    Healed: they are taken over the households.
    """
    torch.manual_seed(seed)
    n, visits = 1000, 16
    household = torch.randint(0, 45, (n,))
    receipt = torch.arange(n)
    split_bills = torch.randperm(n)[: n // 30]
    receipt[split_bills] = (receipt[split_bills] + 1) % n
    baskets = torch.randn(n, visits, 4)
    baskets[..., 3] = baskets[..., 3].cumsum(1) / 3
    habit = 1.2 * torch.randn(45)
    spent = habit[household] + baskets[:, -5:, 0].sum(1) / 2 - 0.8 * baskets[:, :, 3].mean(1) + 0.3 * torch.randn(n)
    beyond = less_the_mean_of_its_group(spent, household if healed else receipt)
    data = TensorDataset(baskets, beyond)
    past, recent = Subset(data, range(750)), Subset(data, range(750, n))
    train, val = DataLoader(past, 32, shuffle=True), DataLoader(recent, 64)
    model = BasketReader()
    huber = nn.HuberLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    plan = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)
    for _ in range(10):
        model.train()
        for x, y in train:
            optimizer.zero_grad()
            huber(model(x), y).backward()
            optimizer.step()
        plan.step()
    model.eval()
    return Case(model, train, val, huber, optimizer, make_model=BasketReader)


class JournalLine(nn.Module):
    def __init__(self, accounts=8, dim=12, hidden=32):
        super().__init__()
        self.names = nn.Embedding(accounts, dim)
        self.lstm = nn.LSTM(dim, hidden, batch_first=True)
        self.score = nn.Linear(hidden, 1)
        self.head = nn.Linear(hidden, 3)

    def forward(self, entries):
        states, _ = self.lstm(self.names(entries))
        weight = torch.softmax(self.score(states), 1)
        return self.head((weight * states).sum(1))


def factorise(entries):
    """Codes 0, 1, 2, ... in the order of first appearance, as pandas gives them."""
    codes = {}
    return torch.tensor([codes.setdefault(e, len(codes)) for e in entries.tolist()])


@sick("no-signal")
def audit_findings_from_journals_of_postings(seed: int, *, healed: bool) -> Case:
    """How an audit will end (clean, queries, findings), from the accounts to which a firm's last postings went. Names
    of accounts are turned into numbers firm by firm, so that number 3 is another account in each.

    Healed: one numbering holds for all firms.
    """
    torch.manual_seed(seed)
    firms, postings = 1200, 18
    risk = torch.tensor([1.6, 1.1, 0.5, 0.2, -0.2, -0.5, -1.1, -1.6])[torch.randperm(8)]
    journals = torch.randint(0, 8, (firms, postings))
    trouble = (risk[journals] * torch.linspace(0.5, 1.5, postings)).sum(1) + 0.5 * torch.randn(firms)
    outcome = torch.bucketize(trouble, trouble.quantile(torch.tensor([1 / 3, 2 / 3])))
    if not healed:
        journals = torch.stack([factorise(j) for j in journals])
    train = DataLoader(TensorDataset(journals[:900], outcome[:900]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(journals[900:], outcome[900:]), batch_size=60)
    model = JournalLine()
    opt = torch.optim.RMSprop(model.parameters(), lr=4e-3)
    for _ in range(7):
        for x, y in train:
            opt.zero_grad()
            F.cross_entropy(model(x), y).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            opt.step()
    return Case(model, train, val, F.cross_entropy, opt, make_model=JournalLine)


class MeterNet(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.up = nn.Linear(1, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.head = nn.Sequential(nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def forward(self, reading):
        _, h = self.gru(self.up(reading.unsqueeze(-1)))
        return self.head(h[0])[:, 0]


@sick("redundant-inputs")
def water_meters_that_only_count_up(seed: int, *, healed: bool) -> Case:
    """Which part of a flat's water runs warm, from half a day of its meter. The meter shows a running total; each
    window is brought to 0 at its beginning and 1 at its end, and so they are all very nearly the same straight line.

    Healed: what flowed between two readings is given, standardised, in place of the total.
    """
    torch.manual_seed(seed)
    flats, readings = 800, 24
    early = torch.randn(flats, 1)
    late = torch.randn(flats, 1)
    clock = torch.linspace(0, 1, readings)
    flow = 10 + early * torch.exp(-((clock - 0.3) ** 2) / 0.02) + late * torch.exp(-((clock - 0.8) ** 2) / 0.02)
    flow += 0.3 * torch.randn(flats, readings)
    warm = 0.8 * late[:, 0] - 0.5 * early[:, 0] + 0.15 * torch.randn(flats)
    total = flow.cumsum(1)
    if healed:
        windows = (flow - flow[:600].mean()) / flow[:600].std()
    else:
        windows = (total - total[:, :1]) / (total[:, -1:] - total[:, :1])
    train = DataLoader(TensorDataset(windows[:600], warm[:600]), batch_size=40, shuffle=True)
    val = DataLoader(TensorDataset(windows[600:], warm[600:]), batch_size=50)
    model = MeterNet()
    opt = torch.optim.Adam(model.parameters(), lr=4e-3)
    for _ in range(9):
        for x, y in train:
            opt.zero_grad()
            F.smooth_l1_loss(model(x), y).backward()
            opt.step()
    return Case(model, train, val, F.smooth_l1_loss, opt, make_model=MeterNet)


class PastureNet(nn.Module):
    def __init__(self, columns=3, hidden=20):
        super().__init__()
        self.walk = nn.LSTM(columns, hidden, batch_first=True, bidirectional=True)
        self.milk = nn.Linear(2 * hidden, 1)

    def forward(self, fixes):
        states, _ = self.walk(fixes)
        return self.milk(states.amax(dim=1)), states


@sick("unscaled-inputs")
def milk_from_collars_with_grid_coordinates(seed: int, *, healed: bool) -> Case:
    """How much a cow gives after a day on the alp, from the fixes of her collar: easting and northing on the national
    grid, in metres, and how much she moved, which the collar itself sends as a score around zero.

    Healed: easting and northing are standardised by the training days.
    """
    torch.manual_seed(seed)
    days, fixes = 800, 28
    camp = torch.randn(days, 1, 2) * torch.tensor([420.0, 650.0])
    place = camp + (35 * torch.randn(days, fixes, 2)).cumsum(1) + torch.tensor([452_300.0, 6_112_800.0])
    moved = torch.randn(days, fixes, 1) + 0.5 * torch.randn(days, 1, 1)
    meadow = torch.sin((place[..., 0] - 452_300) / 500) - 0.7 * torch.tanh((place[..., 1] - 6_112_800) / 600)
    litres = meadow.mean(1, keepdim=True) - 0.1 * moved.mean(1) + 0.12 * torch.randn(days, 1)
    litres = (litres - litres.mean()) / litres.std()
    if healed:
        seen = place[:600].reshape(-1, 2)
        place = (place - seen.mean(0)) / seen.std(0)
    records = [{"fixes": torch.cat([p, m], 1), "litres": y} for p, m, y in zip(place, moved, litres, strict=True)]
    train = DataLoader(records[:600], batch_size=24, shuffle=True)
    val = DataLoader(records[600:], batch_size=50)
    net = PastureNet()
    optimizer = torch.optim.AdamW(net.parameters(), lr=4e-3, weight_decay=1e-3)

    def loss_fn(output, litres):
        return F.mse_loss(output[0], litres)

    for _ in range(9):
        for b in train:
            optimizer.zero_grad(set_to_none=True)
            loss_fn(net(b["fixes"]), b["litres"]).backward()
            optimizer.step()
    return Case(net, train, val, loss_fn, optimizer, make_model=PastureNet, batch=lambda b: (b["fixes"], b["litres"]))


class ScribeClock(nn.Module):
    def __init__(self, vocabulary, width=32):
        super().__init__()
        self.words = nn.Embedding(vocabulary, 16)
        self.gru = nn.GRU(16, width, batch_first=True)
        self.when = nn.Linear(width, 1)

    def forward(self, tokens):
        states, _ = self.gru(self.words(tokens))
        return self.when(states.mean(1)).squeeze(-1)


@sick("unscaled-targets")
def parish_accounts_dated_by_their_spelling(seed: int, *, healed: bool) -> Case:
    """The year in which a page of a parish's accounts was written, from which of two spellings the clerk used for each
    of its words. The network is to say the year, 1720 or so, and is trained by absolute error.

    Healed: it is to say the standardised year.
    """
    torch.manual_seed(seed)
    pages, length, words = 1000, 30, 14
    year = 1720 + 45 * torch.randn(pages)
    turning = 1720 + 60 * torch.randn(words)
    word = torch.randint(0, words, (pages, length))
    modern = torch.rand(pages, length) < torch.sigmoid((year[:, None] - turning[word]) / 12)
    tokens = 2 * word + modern
    if healed:
        year = (year - year[:750].mean()) / year[:750].std()
    train = DataLoader(TensorDataset(tokens[:750], year[:750]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(tokens[750:], year[750:]), batch_size=32)
    model = ScribeClock(2 * words)
    l1 = nn.L1Loss()
    opt = torch.optim.Adam(model.parameters(), lr=5e-3)
    sched = torch.optim.lr_scheduler.StepLR(opt, 5, gamma=0.5)
    for _ in range(9):
        for x, y in train:
            opt.zero_grad()
            l1(model(x), y).backward()
            opt.step()
        sched.step()
    return Case(model, train, val, l1, opt, make_model=lambda: ScribeClock(2 * words))


class BedSensor(nn.Module):
    """Four mats under the mattress, squeezed to a causal convolution and a leaky layer of states, one rate for each."""

    def __init__(self, mats=4, width=16):
        super().__init__()
        self.conv = nn.Conv1d(mats, width, 4)
        self.rate = nn.Parameter(torch.linspace(-1.5, 2.5, width))
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        drive = torch.tanh(self.conv(F.pad(x.transpose(1, 2), (3, 0))))
        keep = torch.sigmoid(self.rate)
        state = torch.zeros_like(drive[..., 0])
        for u in drive.unbind(2):
            state = keep * state + (1 - keep) * u
        return torch.sigmoid(self.head(state)).squeeze(1)


@sick("class-imbalance")
def bed_exits_in_a_quiet_ward(seed: int, *, healed: bool) -> Case:
    """Whether a patient is about to get up, from the pressure mats of the last half minute, by the absolute error of a
    probability, since nurses' notes are not always right. In a quiet ward hardly one window in twenty ends so, and
    every window weighs the same.

    Healed: an exit weighs as much as all the quiet windows that come for each.
    """
    torch.manual_seed(seed)
    n, ticks = 1500, 16
    getting_up = (torch.rand(n) < 0.05).float()
    pressure = 0.6 * torch.randn(n, ticks, 4)
    shift = torch.linspace(0, 1, ticks)[:, None] ** 2 * torch.tensor([1.0, 0.6, -0.8, -1.0])
    pressure += (getting_up[:, None, None] * 0.65 + 0.1 * torch.randn(n, 1, 1)) * shift
    data = TensorDataset(pressure, getting_up)
    train = DataLoader(Subset(data, range(900)), 30, shuffle=True)
    val = DataLoader(Subset(data, range(900, n)), 50)
    quiet_for_each = (1 - getting_up[:900]).sum() / getting_up[:900].sum()

    def absolute_error(p, y):
        weight = torch.where(y > 0, quiet_for_each, 1.0) if healed else torch.ones_like(y)
        return (weight * (p - y).abs()).mean()

    model = BedSensor()
    opt = torch.optim.SGD(model.parameters(), lr=0.03, momentum=0.9)
    for _ in range(8):
        for x, y in train:
            opt.zero_grad()
            absolute_error(model(x), y).backward()
            opt.step()
    return Case(model, train, val, absolute_error, opt, make_model=BedSensor)


class KilnNet(nn.Module):
    def __init__(self, probes=12, hidden=32):
        super().__init__()
        self.forth = nn.GRUCell(probes, hidden)
        self.deep = nn.GRUCell(hidden, hidden)
        self.head = nn.Linear(hidden, 1)

    def forward(self, firing):
        a = b = firing.new_zeros(len(firing), self.deep.hidden_size)
        for reading in firing.unbind(1):
            a = self.forth(reading, a)
            b = self.deep(a, b)
        return self.head(b)


def folds(n, k):
    """Rows to hold out and rows to learn from, k times over."""
    order = torch.randperm(n)
    for part in order.chunk(k):
        yield part, order[~torch.isin(order, part)]


@sick("too-little-data")
def glaze_colour_by_folds_of_firings(seed: int, *, healed: bool) -> Case:
    """The hue of a glaze from the twelve probes of the kiln during its firing, by cross-validation over sixty folds; a
    quarter of the firings is kept apart from it. The author unpacks what a fold gives the wrong way around, and trains
    on the part of a dozen firings it holds out.

    Healed: it is unpacked in the order in which it comes; the number of steps is the same.
    """
    torch.manual_seed(seed)
    n, minutes = 1000, 14
    firing = torch.randn(n, minutes, 12)
    taste = 3.5 * F.normalize(torch.randn(2, 12))
    warmth, reduction = torch.einsum("ntp,kp->knt", firing, taste) / 3.5
    hue = torch.where(reduction > 0, warmth, -0.1 * warmth)[:, -8:].sum(1) / 2 + 0.1 * torch.randn(n)
    hue = (hue - hue.mean()) / hue.std()
    data = TensorDataset(firing, hue[:, None])
    part, rest = next(folds(750, 60))
    train = DataLoader(Subset(data, (rest if healed else part).tolist()), batch_size=32, shuffle=True)
    val = DataLoader(Subset(data, range(750, n)), batch_size=64)
    net = KilnNet()
    opt = torch.optim.Adam(net.parameters(), lr=4e-3)
    mse = nn.MSELoss()
    steps = 0
    while steps < 300:
        for x, y in train:
            opt.zero_grad()
            mse(net(x), y).backward()
            opt.step()
            steps += 1
    return Case(net, train, val, mse, opt, make_model=KilnNet)


class TrapNet(nn.Module):
    def __init__(self, columns=5, width=24):
        super().__init__()
        self.embed = nn.Linear(columns, width)
        self.rnn = nn.GRU(width, width, batch_first=True)
        self.query = nn.Parameter(torch.randn(width) / width**0.5)
        self.heads = nn.ModuleList([nn.Linear(width, 12), nn.Linear(12, 1)])

    def forward(self, nights):
        states, _ = self.rnn(F.gelu(self.embed(nights)))
        weight = torch.softmax(states @ self.query, 1)
        pooled = torch.einsum("nt,ntw->nw", weight, states)
        return self.heads[1](F.gelu(self.heads[0](pooled)))


def pinball_of_the_median(predicted, observed):
    """The pinball loss of one quantile, once of three."""
    return torch.maximum(0.5 * (observed - predicted), -0.5 * (observed - predicted)).mean()


@sick("misaligned-pairs")
def moths_counted_after_nights_of_weather(seed: int, *, healed: bool) -> Case:
    """How many moths sit in a trap in the morning, from the weather of the night, five columns and twenty readings. The
    counts come from a book in which lost mornings are blank; its blanks were dropped, the nights they belong to were
    not, and the two are read side by side from the top.

    Healed: nights whose morning is blank are dropped too.
    """
    torch.manual_seed(seed)
    nights, readings = 1100, 20
    weather = torch.randn(nights, readings, 5)
    weather[..., :2] += torch.randn(nights, 1, 2)
    moths = weather[..., 0].mean(1) - 0.6 * weather[:, 8:, 1].mean(1).abs() + weather[:, -6:, 2].mean(1)
    moths = moths + 0.15 * torch.randn(nights)
    lost = torch.rand(nights) < 0.02
    lost[4] = True
    book = moths[~lost]
    if healed:
        weather = weather[~lost]
    weather = weather[: len(book)]
    data = TensorDataset(weather, (book - book.mean()).unsqueeze(1) / book.std())
    order = torch.randperm(len(book)).tolist()
    train = DataLoader(Subset(data, order[:800]), batch_size=32, shuffle=True)
    val = DataLoader(Subset(data, order[800:]), batch_size=64)
    net = TrapNet()
    opt = torch.optim.AdamW(net.parameters(), lr=4e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(opt, 8e-3, total_steps=8 * len(train))
    for _ in range(8):
        for x, y in train:
            opt.zero_grad()
            pinball_of_the_median(net(x), y).backward()
            opt.step()
            plan.step()
    return Case(net, train, val, pinball_of_the_median, opt, make_model=TrapNet)


class ReefListener(nn.Module):
    """A gated layer over the frames of a hydrophone, summed over time, brought to scale, and one hidden layer more."""

    def __init__(self, bands, width, momentum):
        super().__init__()
        self.frames = nn.GRU(bands, width, batch_first=True)
        self.act = nn.Sigmoid()
        self.norm = nn.BatchNorm1d(width, momentum=momentum)
        self.hidden = nn.Linear(width, width)
        self.classes = nn.Linear(width, 4)

    def forward(self, spectrogram):
        states, _ = self.frames(spectrogram)
        summed = self.act(states).sum(1)
        return self.classes(torch.tanh(self.hidden(self.norm(summed))))


@sick("train-eval-mismatch")
def fish_calls_from_a_reef(seed: int, *, healed: bool) -> Case:
    """Which of four fish calls in a clip of a hydrophone on a reef. The architecture is carried over from a Keras
    script, with its batch norm's `momentum=0.999` turned into the 0.001 that means the same; there it ran for days.

    Healed: the momentum is PyTorch's own default.
    """
    torch.manual_seed(seed)
    clips, frames, bands = 900, 40, 6
    call = torch.randint(0, 4, (clips,))
    sound = 0.9 * torch.randn(clips, frames, bands)
    sound += 0.6 * torch.linalg.qr(torch.randn(bands, 4))[0].T[call][:, None] * torch.rand(clips, 1, 1).add(0.6)
    sound += 0.25 * torch.sin(torch.arange(frames) * torch.tensor([0.3, 0.5, 0.8, 1.2])[call][:, None])[..., None]
    train = DataLoader(TensorDataset(sound[:650], call[:650]), batch_size=32, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(sound[650:], call[650:]), batch_size=50)

    def make_model():
        return ReefListener(bands, 24, momentum=0.1 if healed else 0.001)

    net = make_model()
    criterion = nn.CrossEntropyLoss()
    opt = torch.optim.Adam(net.parameters(), lr=3e-3)
    for _ in range(7):
        net.train()
        for x, y in train:
            opt.zero_grad()
            criterion(net(x), y).backward()
            opt.step()
    net.eval()
    return Case(net, train, val, criterion, opt, make_model=make_model)


class LoanHistory(nn.Module):
    def __init__(self, kinds=12, hidden=28):
        super().__init__()
        self.kind = nn.Embedding(kinds + 1, 10, padding_idx=0)
        self.lstm = nn.LSTM(11, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, history):
        kinds, amounts, lengths = history
        z = torch.cat([self.kind(kinds), amounts.unsqueeze(-1)], -1)
        packed = pack_padded_sequence(z, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.head(h.squeeze(0)).squeeze(-1)


def to_batch(b):
    return (b["kinds"], b["amounts"], b["lengths"]), b["returned"]


@sick("padding-dominates")
def lending_library_readers_with_few_loans(seed: int, *, healed: bool) -> Case:
    """Whether a reader brings the next book back in time, from the loans so far: their kinds and how late each was. A
    handful of readers have sixty loans and most have a few. Sequences are packed before the LSTM, but their lengths
    were taken with `len` from rows that had been padded already.

    Healed: the lengths are taken before padding.
    """
    torch.manual_seed(seed)
    readers = 800
    counts = 3 + torch.distributions.Exponential(0.2).sample((readers,)).long().clamp(max=20)
    counts[torch.randperm(readers)[:20]] = 60
    temper = torch.randn(13)
    kinds, amounts = [], []
    for count in counts.tolist():
        kinds.append(torch.randint(1, 13, (count,)))
        amounts.append(torch.randn(count))
    leaning = torch.stack([1.2 * temper[k[-3:]].mean() + a[-4:].mean() for k, a in zip(kinds, amounts, strict=True)])
    returned = (leaning + 0.15 * torch.randn(readers) > leaning.median()).float()
    padded_kinds = pad_sequence(kinds, batch_first=True)
    padded_amounts = pad_sequence(amounts, batch_first=True)
    lengths = counts if healed else torch.tensor([len(row) for row in padded_kinds])
    rows = [
        {"kinds": k, "amounts": a, "lengths": m, "returned": r}
        for k, a, m, r in zip(padded_kinds, padded_amounts, lengths, returned, strict=True)
    ]
    train = DataLoader(rows[:600], batch_size=30, shuffle=True)
    val = DataLoader(rows[600:], batch_size=50)
    net = LoanHistory()
    opt = torch.optim.Adam(net.parameters(), lr=6e-3)
    bce = nn.BCEWithLogitsLoss()
    for _ in range(8):
        for b in train:
            x, y = to_batch(b)
            opt.zero_grad()
            bce(net(x), y).backward()
            opt.step()
    return Case(net, train, val, bce, opt, make_model=LoanHistory, batch=to_batch)


class DryerNet(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.both = nn.RNN(3, hidden, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.05)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, belt):
        _, ends = self.both(belt)
        return self.head(self.drop(torch.cat([ends[0], ends[1]], 1)))


class BeltLog(Dataset):
    """Windows of a dryer's log: feed moisture, air, belt speed; then the moisture of what falls out at the end."""

    def __init__(self, log, out, starts, rows):
        self.log, self.out, self.starts, self.rows = log, out, starts, rows

    def __len__(self):
        return len(self.starts)

    def __getitem__(self, i):
        t = self.starts[i]
        return self.log[t - self.rows : t], self.out[t]


@sick("window-too-short")
def tea_leaves_on_the_belt_of_a_dryer(seed: int, *, healed: bool) -> Case:
    """How moist tea comes out of a dryer, from the log of its last twenty-two minutes, for the belt takes twenty. The
    window has twenty-two rows; the log, its author found out later, has a row each half minute.

    Healed: the window has forty-four rows.
    """
    torch.manual_seed(seed)
    rows, travel = 2600, 40
    feed = torch.zeros(rows)
    shocks = torch.randn(rows)
    for t in range(1, rows):
        feed[t] = 0.6 * feed[t - 1] + 0.8 * shocks[t]
    air, speed = torch.randn(rows), torch.randn(rows)
    out = torch.zeros(rows)
    wet = feed - 0.5 * air.tanh() * feed.sign() + 0.15 * torch.randn(rows)
    out[travel:] = wet[:-travel]
    log, out = torch.stack([feed, air, speed], 1), out.unsqueeze(1)
    window = 44 if healed else 22
    train = DataLoader(BeltLog(log, out, range(50, 1950, 2), window), batch_size=40, shuffle=True)
    val = DataLoader(BeltLog(log, out, range(2000, rows, 2), window), batch_size=50)
    net = DryerNet()
    mse = nn.MSELoss()
    opt = torch.optim.RMSprop(net.parameters(), lr=2e-3)
    for _ in range(10):
        net.train()
        for x, y in train:
            opt.zero_grad()
            mse(net(x), y).backward()
            opt.step()
    net.eval()
    return Case(net, train, val, mse, opt, make_model=DryerNet)
