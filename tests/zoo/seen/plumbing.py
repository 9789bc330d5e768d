"""Programs whose parts were joined up wrongly: counts, shafts, log lines, pumps, baskets, meters."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


class DispatchCounter(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.hour = nn.Embedding(24, 4)
        self.lstm = nn.LSTM(2 + 4, hidden, batch_first=True)
        self.rate = nn.Linear(hidden, 1)

    def forward(self, x):
        clock = self.hour(x[..., 2].long())
        _, (h, _) = self.lstm(torch.cat([x[..., :2], clock], dim=-1))
        return self.rate(h[-1]).squeeze(-1).exp()


@sick("loss-broadcast")
def ambulance_calls_of_the_next_hour(seed: int, *, healed: bool) -> Case:
    """Counts of emergency calls, hour by hour, forecast by an LSTM under a Poisson likelihood.

    The table's target was taken with double brackets, so it is a column of shape (N, 1), while the model answers (N,);
    the Poisson loss says nothing about it. Healed: the target is taken as a series.
    """
    torch.manual_seed(seed)
    n, steps = 1100, 24
    district = torch.randn(n, 1)
    hours = (torch.randint(0, 24, (n, 1)) + torch.arange(steps + 1)) % 24
    rain = (torch.rand(n, steps + 1) < 0.3).float()
    rate = torch.exp(1.3 + 0.6 * district + 0.4 * torch.sin(6.283 * hours / 24) + 0.2 * rain)
    calls = torch.poisson(rate)
    x = torch.stack([calls[:, :-1] / 10, rain[:, :-1], hours[:, :-1].float()], dim=2)
    table = {"calls": calls[:, -1], "rain": rain[:, -1]}
    y = table["calls"] if healed else torch.stack([table[column] for column in ["calls"]], dim=1)

    train_dl = DataLoader(TensorDataset(x[:800], y[:800]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[800:], y[800:]), batch_size=50)
    model = DispatchCounter()
    criterion = nn.PoissonNLLLoss(log_input=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(8):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=DispatchCounter)


class OrbitBlock(nn.Module):
    def __init__(self, width, **options):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gru = nn.GRU(width, width, **options)

    def forward(self, x):
        return x + self.gru(self.norm(x))[0]


class OrbitNet(nn.Module):
    def __init__(self, width=24, depth=1, **options):
        super().__init__()
        self.lift = nn.Linear(2, width)
        self.blocks = nn.Sequential(*(OrbitBlock(width, **options) for _ in range(depth)))
        self.score = nn.Linear(width, 1)
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        z = self.blocks(self.lift(x))
        weights = torch.softmax(self.score(z), dim=1)
        return self.head((weights * z).sum(dim=1))


@sick("batch-as-time")
def whirl_rate_of_a_shaft_in_its_bearing(seed: int, *, healed: bool) -> Case:
    """Two proximity probes see a shaft's orbit; a residual GRU block with attention pooling tell how fast it whirls.

    The author moved the GRU into a block of its own with `**options` and no longer passes batch_first. Healed: it does.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 20
    whirl = 1.2 * torch.rand(n, 1) - 0.6
    angle = 6.283 * torch.rand(n, 1) + whirl * torch.arange(steps)
    x = torch.stack([angle.cos(), angle.sin()], dim=2) + 0.1 * torch.randn(n, steps, 2)
    y = whirl / 0.35

    def make():
        return OrbitNet(batch_first=True) if healed else OrbitNet()

    train_dl = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=25, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    model = make()
    criterion = nn.L1Loss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=2e-3)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, step_size=3, gamma=0.4)
    for _ in range(5):
        model.train()
        for xb, yb in train_dl:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        scheduler.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class LogLineReader(nn.Module):
    def __init__(self, n_chars=14, width=20, sample_major=False):
        super().__init__()
        self.sample_major = sample_major
        self.chars = nn.Embedding(n_chars, 8)
        self.word_gru = nn.GRU(8, width, batch_first=True)
        self.line_gru = nn.GRU(width, width)
        self.head = nn.Linear(width, 1)

    def forward(self, ids):
        lines, words, letters = ids.shape
        _, spelled = self.word_gru(self.chars(ids.view(lines * words, letters)))
        shape = (lines, words, -1) if self.sample_major else (words, lines, -1)
        line = spelled.view(shape)
        line = line.transpose(0, 1) if self.sample_major else line
        _, read = self.line_gru(line)
        return self.head(read[-1]).squeeze(1)


@sick("samples-mixed")
def severity_of_log_lines_spelled_by_letters(seed: int, *, healed: bool) -> Case:
    """Log lines of words of letters: one GRU spells every word, a second one, time first, reads the words of the line.

    Between the two, the words of all lines are viewed as (words, lines, width) though they lie line by line. Healed:
    they are viewed as (lines, words, width) and transposed.
    """
    torch.manual_seed(seed)
    n, words = 900, 9
    severe = (torch.rand(n) < 0.5).float()
    bad = torch.rand(n, words) < (0.1 + 0.6 * severe).unsqueeze(1)
    endings = torch.tensor([[0, 1], [1, 0]])[bad.long()]
    ids = torch.cat([torch.randint(0, 14, (n, words, 3)), endings], dim=2)

    def make():
        return LogLineReader(sample_major=healed)

    train_dl = DataLoader(TensorDataset(ids[:680], severe[:680]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(ids[680:], severe[680:]), batch_size=50)
    model = make()
    criterion = nn.BCEWithLogitsLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(5):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class PumpListener(nn.Module):
    """Made for the edge device: frames may come in pieces, so the average over frames is kept on the module."""

    def __init__(self, bands=8, hidden=24, each_call_anew=False):
        super().__init__()
        self.each_call_anew = each_call_anew
        self.ear = nn.GRUCell(bands, hidden)
        self.head = nn.Sequential(nn.Linear(hidden, 16), nn.ReLU(), nn.Linear(16, 3))
        self.start()

    def start(self):
        self.heard, self.frames = None, 0

    def forward(self, x):
        if self.each_call_anew or (self.heard is not None and len(self.heard) != len(x)):
            self.start()
        total = 0 if self.heard is None else self.heard
        h = x.new_zeros(len(x), self.ear.hidden_size)
        for frame in x.unbind(1):
            h = self.ear(frame, h)
            total = total + h
            self.frames += 1
        self.heard = total.detach()
        return self.head(total / self.frames)


@sick("state-leak")
def pump_sounds_averaged_on_the_edge_device(seed: int, *, healed: bool) -> Case:
    """Spectral frames of a pump go through a GRU cell, and the average of its states names one of three conditions.

    The sum behind the average lives on the module for streaming; nobody calls start() between clips, so it goes on from
    batch to batch. Healed: every call begins a new sum.
    """
    torch.manual_seed(seed)
    n, steps, bands = 1120, 14, 8
    condition = torch.randint(0, 3, (n,))
    x = torch.randn(n, steps, bands) + 0.9 * torch.randn(3, bands)[condition].unsqueeze(1)

    def make():
        return PumpListener(each_call_anew=healed)

    train_dl = DataLoader(TensorDataset(x[:832], condition[:832]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[832:], condition[832:]), batch_size=32)
    model = make()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(7):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class BasketValue(nn.Module):
    def __init__(self, n_items=40, hidden=32):
        super().__init__()
        self.items = nn.Embedding(n_items, 12)
        self.lstm = nn.LSTM(12, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, codes):
        out, _ = self.lstm(self.items(codes.long()))
        return self.head(out.mean(dim=1)).squeeze(-1)


@sick("input-never-arrives")
def till_receipts_as_item_codes(seed: int, *, healed: bool) -> Case:
    """The item codes on a receipt are embedded, and an LSTM guesses how much its customer will spend next month.

    All columns of the table are divided by their range, the codes too; the model makes integers of them for its
    embedding, and gets zeros. Healed: the codes are left as they are.
    """
    torch.manual_seed(seed)
    n, steps, n_items = 1000, 16, 40
    worth = torch.randn(n_items)
    taste = torch.randn(n, 1)
    odds = torch.softmax(0.8 * taste * torch.randn(n_items), dim=1)
    codes = torch.multinomial(odds, steps, replacement=True)
    spend = worth[codes].mean(dim=1)
    spend = (spend - spend[:750].mean()) / spend[:750].std() + 0.2 * torch.randn(n)
    receipts = codes.float() if healed else codes.float() / n_items

    train_dl = DataLoader(TensorDataset(receipts[:750], spend[:750]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(receipts[750:], spend[750:]), batch_size=64)
    model = BasketValue()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3, weight_decay=1e-3)
    for _ in range(8):
        model.train()
        for xb, yb in train_dl:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=BasketValue)


class LatentAttention(nn.Module):
    def __init__(self, width, heads=2):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.mix = nn.Sequential(
            nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, latents, context=None):
        query = self.norm(latents)
        context = query if context is None else context
        latents = latents + self.attention(query, context, context, need_weights=False)[0]
        return latents + self.mix(latents)


class MeterPerceiver(nn.Module):
    def __init__(self, width=24, n_latents=4, depth=2, hand_on=False):
        super().__init__()
        self.hand_on = hand_on
        self.day = nn.GRU(2, width, batch_first=True)
        self.latents = nn.Parameter(0.5 * torch.randn(1, n_latents, width))
        self.layers = nn.ModuleList(LatentAttention(width) for _ in range(depth))
        self.head = nn.Linear(width, 1)

    def forward(self, x):
        states, _ = self.day(x)
        latents = self.latents.expand(len(x), -1, -1)
        for layer in self.layers:
            latents = layer(latents, context=states) if self.hand_on else layer(latents)
        return self.head(latents.mean(dim=1))


@sick("input-never-arrives")
def smart_meter_read_by_latents(seed: int, *, healed: bool) -> Case:
    """A GRU goes over a household's day, four learnt latents look at its states and say what the evening will take.

    The attention layer falls back on its own latents where no context is given, and the model gives it none. Healed:
    the GRU's states are handed on as the context.
    """
    torch.manual_seed(seed)
    n, steps = 900, 24
    habit = torch.randn(n, 1)
    at_home = (torch.rand(n, steps) < torch.sigmoid(habit)).float()
    load = 0.5 * at_home + 0.4 * torch.randn(n, steps) + 0.5 * torch.randn(n, 1)
    x = torch.stack([load, 2 * at_home - 1], dim=2)
    y = (load.mean(1) + 0.8 * at_home.mean(1) + 0.1 * torch.randn(n)).unsqueeze(1)
    y = (y - y[:640].mean()) / y[:640].std()

    def make():
        return MeterPerceiver(hand_on=healed)

    train_dl = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=64)
    model = make()
    criterion = nn.MSELoss()
    epochs = 5
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=6e-3, total_steps=epochs * len(train_dl))
    for _ in range(epochs):
        model.train()
        for xb, yb in train_dl:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
            scheduler.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)
