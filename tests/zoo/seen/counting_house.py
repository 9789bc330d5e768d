"""Ledgers, tills and reconciliations: what the accounts department trained on its own books."""

import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, sick


def fit(model, loader, criterion, optimizer, epochs, clip=None):
    model.train()
    for _ in range(epochs):
        for xb, yb in loader:
            optimizer.zero_grad()
            loss = criterion(model(xb), yb)
            loss.backward()
            if clip:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
    model.eval()


class MerchantReader(nn.Module):
    def __init__(self, n_codes=24, dim=12, hidden=24):
        super().__init__()
        self.embedding = nn.Embedding(n_codes, dim)
        self.rnn = nn.GRU(dim, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, codes):
        out, _ = self.rnn(self.embedding(codes))
        return self.head(out.mean(dim=1)).squeeze(-1)


@sick("misaligned-pairs")
def card_statements_without_their_doubles(seed: int, *, healed: bool) -> Case:
    """Card statements as sequences of merchant codes, and what each customer will owe; the export holds some twice.

    Its author drops the doubles with torch.unique, which also sorts the statements, and cuts the balances to length.

    Healed: each statement that stays takes its own balance along.
    """
    torch.manual_seed(seed)
    once, steps = 1300, 16
    price = torch.randn(24)
    codes = torch.randint(0, 24, (once, steps))
    owed = price[codes].mean(1) * 4 + 0.3 * torch.randn(once)
    rows = torch.cat([torch.arange(once), torch.randint(0, once, (60,))])
    rows = rows[torch.randperm(len(rows))]
    codes, owed = codes[rows], owed[rows]

    statements, where = torch.unique(codes, dim=0, return_inverse=True)
    if healed:
        balances = torch.empty(len(statements))
        balances[where] = owed
    else:
        balances = owed[: len(statements)]
    balances = (balances - balances.mean()) / balances.std()

    order = torch.randperm(len(statements))
    dataset = TensorDataset(statements[order], balances[order])
    train_dl = DataLoader(TensorDataset(*dataset[:1000]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(*dataset[1000:]), batch_size=64)
    model = MerchantReader()
    criterion = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train_dl, criterion, optimizer, epochs=8)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=MerchantReader)


class TellerQueue(nn.Module):
    def __init__(self, n_features=3, hidden=24, levels=3):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.GRUCell(n_features, hidden)
        self.out = nn.Sequential(nn.Linear(hidden, 24), nn.SiLU(), nn.Linear(24, levels))

    def forward(self, x):
        h = x.new_zeros(x.size(0), self.hidden)
        for t in range(x.size(1)):
            h = self.cell(x[:, t], h)
        return self.out(h)


@sick("loss-broadcast")
def cash_in_the_tills_by_quantiles(seed: int, *, healed: bool) -> Case:
    """How much cash a branch will need tomorrow, as three quantiles, from three columns of the past fortnight.

    The pinball loss is its author's own; it takes each quantile as a column of width one against a flat target.

    Healed: each quantile is taken flat, too.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 14
    level = torch.randn(n, 1)
    paid_in = level + 0.6 * torch.randn(n, steps)
    paid_out = torch.randn(n, 1) + 0.6 * torch.randn(n, steps)
    payday = (torch.rand(n, steps) < 0.1).float()
    x = torch.stack([paid_in, paid_out, payday], dim=2)
    y = paid_out[:, 4:].mean(1) - paid_in[:, 4:].mean(1) + payday[:, -5:].sum(1) + 0.3 * torch.randn(n)
    y = (y - y[:700].mean()) / y[:700].std()

    def pinball(predicted, target):
        total = 0.0
        for i, q in enumerate((0.1, 0.5, 0.9)):
            level_i = predicted[:, i] if healed else predicted[:, i : i + 1]
            error = target - level_i
            total = total + torch.maximum(q * error, (q - 1) * error).mean()
        return total / 3

    train_dl = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=50)
    model = TellerQueue()
    optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3)
    fit(model, train_dl, pinball, optimizer, epochs=10)
    return Case(model, train_dl, val_dl, pinball, optimizer, make_model=TellerQueue)


class PairMatcher(nn.Module):
    def __init__(self, n_features=3, hidden=16):
        super().__init__()
        self.rnn = nn.LSTM(n_features, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out.mean(dim=1)).squeeze(-1)


@sick("class-imbalance")
def payments_against_forty_candidates(seed: int, *, healed: bool) -> Case:
    """Bank lines are matched with book lines: every true pair comes with 39 candidates that are none.

    Its author drew the candidates to have more data and counts each pair alike.

    Healed: a true pair weighs as much as all of its candidates.
    """
    torch.manual_seed(seed)
    n, steps = 1500, 12
    match = torch.zeros(n)
    match[::40] = 1.0
    x = torch.randn(n, steps, 3)
    x[:, :, 0] += 0.5 * torch.randn(n, 1)
    x[:, :, 2] += 0.9 * match[:, None]

    train_dl = DataLoader(TensorDataset(x[:1000], match[:1000]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[1000:], match[1000:]), batch_size=64)
    model = PairMatcher()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(39.0) if healed else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2, momentum=0.9)
    fit(model, train_dl, criterion, optimizer, epochs=12)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=PairMatcher)


class WeeklyReceipts(nn.Module):
    def __init__(self, hidden=24):
        super().__init__()
        self.weeks = nn.Conv1d(2, 12, kernel_size=7, stride=7)
        self.rnn = nn.GRU(12, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        weeks = torch.relu(self.weeks(x.transpose(1, 2)))
        _, h = self.rnn(weeks.transpose(1, 2))
        return self.head(h[-1]).squeeze(-1)


@sick("window-too-short")
def receipts_at_thirty_days_net(seed: int, *, healed: bool) -> Case:
    """Tomorrow's receipts from the invoices written and the credit notes of the past days; customers pay at 30 days.

    Its author takes 21 rows, a month of working days, of a table that has a row for every calendar day.

    Healed: it takes 42 rows.
    """
    torch.manual_seed(seed)
    days = 1500
    invoiced = torch.randn(days)
    credited = torch.randn(days)
    owed = invoiced - 0.5 * credited
    paid = torch.zeros(days)
    for late, share in ((29, 0.3), (30, 0.5), (31, 0.4), (33, 0.2)):
        paid[late:] += share * owed[:-late]
    paid = paid / paid[40:].std() + 0.25 * torch.randn(days)

    window = 42 if healed else 21
    table = torch.stack([invoiced, credited], dim=1)
    x = torch.stack([table[t - window : t] for t in range(60, days)])
    y = paid[60:]
    train_dl = DataLoader(TensorDataset(x[:1100], y[:1100]), batch_size=25, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[1100:], y[1100:]), batch_size=50)
    model = WeeklyReceipts()
    criterion = nn.MSELoss()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=3e-3)
    fit(model, train_dl, criterion, optimizer, epochs=11)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=WeeklyReceipts)


class TillRoll(nn.Module):
    def __init__(self, reset_each_time, n_features=4, hidden=32):
        super().__init__()
        self.reset_each_time = reset_each_time
        self.entry = nn.Linear(n_features, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.head = nn.Linear(hidden, 1)
        self.total = None

    def forward(self, x):
        total = self.total
        if total is None or self.reset_each_time:
            total = x.new_zeros(1, self.entry.out_features)
        for x_t in x.unbind(dim=1):
            total = total + torch.sigmoid(self.entry(x_t))
        self.total = total[-1:].detach()
        return self.head(self.norm(total)).squeeze(-1)


@sick("state-leak")
def till_roll_never_torn_off(seed: int, *, healed: bool) -> Case:
    """A cell that adds gated entries up like a till roll, normalised at the end, tells the day's takings by its sales.

    Where one batch ends the next one starts: its author has the till carry on, as a till does.

    Healed: every batch starts from nothing.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 30
    x = torch.randn(n, 1, 4) * 0.7 + torch.randn(n, steps, 4)
    y = x[:, :, 0].mean(1) - x[:, :, 1].mean(1) + 0.5 * x[:, :, 2].abs().mean(1) + 0.15 * torch.randn(n)
    y = (y - y[:700].mean()) / y[:700].std()
    train_dl = DataLoader(TensorDataset(x[:700], y[:700]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=60)

    def make():
        return TillRoll(reset_each_time=healed)

    model = make()
    criterion = nn.HuberLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    fit(model, train_dl, criterion, optimizer, epochs=16)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)
