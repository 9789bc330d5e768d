"""More from the books: readers of journals, budgets and loan files."""

from itertools import cycle, islice

import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, Subset, TensorDataset

from zoo.program import Case, healthy, sick


def fit(model, loader, criterion, optimizer, epochs, take=None, scheduler=None):
    model.train()
    for _ in range(epochs):
        for batch in loader:
            inputs, targets = take(batch) if take else batch
            optimizer.zero_grad()
            criterion(model(inputs), targets).backward()
            optimizer.step()
        if scheduler is not None:
            scheduler.step()
    model.eval()


class StatementLSTM(nn.Module):
    def __init__(self, twice_sorted, n_features=3, hidden=20):
        super().__init__()
        self.twice_sorted = twice_sorted
        self.rnn = nn.LSTM(n_features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        lengths = x.abs().sum(dim=2).gt(0).sum(dim=1).clamp(min=1)
        longest_first = torch.argsort(lengths, descending=True, stable=True)
        packed = pack_padded_sequence(x[longest_first], lengths[longest_first], batch_first=True)
        _, (h, _) = self.rnn(packed)
        back = longest_first if self.twice_sorted else torch.argsort(longest_first)
        return self.head(h[-1][back]).squeeze(-1)


@sick("samples-mixed")
def bank_statements_put_back_in_order(seed: int, *, healed: bool) -> Case:
    """An LSTM over bank statements of many lengths foretells the overdraft; they are sorted by length for packing.

    Afterwards its author brings the states back into the order of the batch with the very indices that sorted them.

    Healed: with the inverse of these indices.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 30
    lengths = torch.randint(6, steps + 1, (n,))
    x = 0.8 * torch.randn(n, 1, 3) + torch.randn(n, steps, 3)
    x[..., 2] = (x[..., 2] > 1).float()
    there = (torch.arange(steps) < lengths[:, None]).float()[..., None]
    x = x * there
    means = x.sum(1) / lengths[:, None]
    y = means[:, 0] - means[:, 1] + means[:, 2] + 0.15 * torch.randn(n)
    y = (y - y.mean()) / y.std()

    train_dl = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)

    def make():
        return StatementLSTM(twice_sorted=not healed)

    model = make()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train_dl, criterion, optimizer, epochs=7)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class BudgetCurve(nn.Module):
    def __init__(self, batch_first, n_features=2, hidden=20, classes=4):
        super().__init__()
        self.smooth = nn.Conv1d(n_features, 12, kernel_size=3)
        self.rnn = nn.GRU(12, hidden, batch_first=batch_first)
        self.head = nn.Linear(hidden, classes)

    def forward(self, x):
        features = torch.relu(self.smooth(x.transpose(1, 2)))
        out, _ = self.rnn(features.permute(2, 0, 1))
        return self.head(out[-1])


@sick("batch-as-time")
def cost_centres_by_the_course_of_their_year(seed: int, *, healed: bool) -> Case:
    """Which of four habits a cost centre has, by the months in which it spends: convolution, GRU, last output.

    The code turns the convolution's output to time first; its author then read that one always sets batch_first.

    Healed: the GRU is left at its default.
    """
    torch.manual_seed(seed)
    n, steps = 900, 26
    habit = torch.randint(0, 4, (n,))
    centre = torch.tensor([3.0, 8.0, 13.0, 18.0])[habit] + torch.randn(n)
    months = torch.arange(steps)
    spent = 2.0 * torch.exp(-((months - centre[:, None]) ** 2) / 6) + 0.4 * torch.randn(n, steps)
    season = torch.sin(6.283 * months / 12).expand(n, steps)
    x = torch.stack([spent - 0.4, season], dim=2)

    train_dl = DataLoader(TensorDataset(x[:650], habit[:650]), batch_size=25, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[650:], habit[650:]), batch_size=50)

    def make():
        return BudgetCurve(batch_first=not healed)

    model = make()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    fit(model, train_dl, criterion, optimizer, epochs=10)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class JournalReader(nn.Module):
    def __init__(self, keep_padding, n_accounts=30, dim=16, hidden=20, classes=3):
        super().__init__()
        self.keep_padding = keep_padding
        self.accounts = nn.Embedding(n_accounts, dim, padding_idx=0)
        self.rnn = nn.LSTM(dim, hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * hidden, classes)

    def forward(self, ids):
        mask = (ids == 0) if self.keep_padding else (ids != 0)
        entries = self.accounts(ids) * mask.unsqueeze(-1)
        out, _ = self.rnn(entries)
        return self.head(out.amax(dim=1))


@sick("input-never-arrives")
def journal_entries_by_their_accounts(seed: int, *, healed: bool) -> Case:
    """Journal entries as account numbers, padded with zero, are told apart as purchase, sale or payroll.

    The mask on the embeddings came from a transformer, where true means "leave this one out".

    Healed: it is true for the real accounts.
    """
    torch.manual_seed(seed)
    n, steps = 900, 18
    kind = torch.randint(0, 3, (n,))
    typical = 1 + kind[:, None] * 9 + torch.randint(0, 9, (n, steps))
    ids = torch.where(torch.rand(n, steps) < 0.45, typical, torch.randint(1, 30, (n, steps)))
    lengths = torch.randint(8, steps + 1, (n, 1))
    ids = ids * (torch.arange(steps) < lengths)

    train_dl = DataLoader(TensorDataset(ids[:650], kind[:650]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(ids[650:], kind[650:]), batch_size=64)

    def make():
        return JournalReader(keep_padding=not healed)

    model = make()
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    fit(model, train_dl, criterion, optimizer, epochs=7)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make)


class CounterpartyGRU(nn.Module):
    def __init__(self, n_ids=20, dim=8, hidden=16):
        super().__init__()
        self.ids = nn.Embedding(n_ids, dim)
        self.rnn = nn.GRU(dim, hidden, num_layers=2, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, ids):
        _, h = self.rnn(self.ids(ids))
        return self.head(h[-1])


@sick("no-signal")
def counterparties_under_fresh_pseudonyms(seed: int, *, healed: bool) -> Case:
    """Days overdue, from the last dozen counterparties that an account dealt with, each a pseudonym of twenty.

    The office that hides the names salts its hash anew for every account, so a pseudonym means nothing beyond it.

    Healed: one salt for the whole export.
    """
    torch.manual_seed(seed)
    n, steps = 1300, 12
    delay = torch.randn(20)
    who = torch.randint(0, 20, (n, steps))
    overdue = delay[who].mean(1, keepdim=True)
    overdue = (overdue - overdue.mean()) / overdue.std() + 0.2 * torch.randn(n, 1)
    salts = torch.rand(1, 20).expand(n, 20) if healed else torch.rand(n, 20)
    pseudonyms = salts.argsort(dim=1).gather(1, who)

    train_dl = DataLoader(TensorDataset(pseudonyms[:1000], overdue[:1000]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(pseudonyms[1000:], overdue[1000:]), batch_size=64)
    model = CounterpartyGRU()
    criterion = nn.SmoothL1Loss(beta=0.5)
    optimizer = torch.optim.Adam(model.parameters(), lr=4e-3)
    fit(model, train_dl, criterion, optimizer, epochs=7)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=CounterpartyGRU)


class LoanFile(nn.Module):
    def __init__(self, n_features=32, hidden=24):
        super().__init__()
        self.rnn = nn.GRU(n_features, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.head(out.mean(dim=1)).squeeze(-1)


@sick("too-little-data")
def loan_files_counted_in_batches(seed: int, *, healed: bool) -> Case:
    """How much of a loan will be lost, from 32 monthly figures over a year; so many steps, whatever the epochs.

    Its author leaves out the last, uneven batch with range(len(loader)), which counts batches, not loans.

    Healed: range(len(loader) * batch_size).
    """
    torch.manual_seed(seed)
    n, steps, batch_size = 1000, 12, 64
    x = 0.4 * torch.randn(n, 1, 32) + torch.randn(n, steps, 32)
    means = x.mean(1)
    y = means[:, 2] - means[:, 5] * 0.7 + 0.15 * torch.randn(n)
    y = (y - y.mean()) / y.std()

    loans = TensorDataset(x[:750], y[:750])
    full_batches = DataLoader(loans, batch_size=batch_size, drop_last=True)
    kept = range(len(full_batches) * batch_size) if healed else range(len(full_batches))
    train_dl = DataLoader(Subset(loans, kept), batch_size=batch_size, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    model = LoanFile()
    criterion = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for xb, yb in islice(cycle(train_dl), 230):
        optimizer.zero_grad()
        criterion(model(xb), yb).backward()
        optimizer.step()
    model.eval()
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=LoanFile)


class ReceiptStrip(nn.Module):
    def __init__(self, stride_known, n_features=3, hidden=20):
        super().__init__()
        self.stride_known = stride_known
        self.shrink = nn.Conv1d(n_features, 16, kernel_size=4, stride=4)
        self.rnn = nn.GRU(16, hidden, batch_first=True)
        self.head = nn.Linear(hidden, 1)

    def forward(self, inputs):
        x, lengths = inputs["lines"], inputs["length"].clamp(min=4)
        short = torch.tanh(self.shrink(x.transpose(1, 2))).transpose(1, 2)
        packed = pack_padded_sequence(short, lengths // 4, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
        last = (lengths // 4 if self.stride_known else lengths) - 1
        last = last.clamp(max=out.size(1) - 1)
        return self.head(out[torch.arange(len(out)), last]).squeeze(-1)


@sick("padding-dominates")
def receipt_strips_four_lines_at_a_time(seed: int, *, healed: bool) -> Case:
    """Receipts of 8 to 56 lines, taken four lines at a time by a convolution and packed for a GRU: the tax on each.

    The lengths were divided by four where the sequence is packed, and not where its last state is picked up again.

    Healed: in both places.
    """
    torch.manual_seed(seed)
    n, steps = 900, 56
    lengths = 4 * torch.randint(2, 11, (n,)) + torch.randint(0, 4, (n,))
    lengths[torch.randperm(n)[:40]] = steps
    x = 0.8 * torch.randn(n, 1, 3) + torch.randn(n, steps, 3)
    there = torch.arange(steps) < lengths[:, None]
    x = x * there[..., None]
    sums = x.sum(1) / lengths[:, None]
    y = sums[:, 0] - 0.6 * sums[:, 1] + 0.1 * torch.randn(n)
    y = (y - y.mean()) / y.std()

    def as_pair(batch):
        lines, length, tax = batch
        return {"lines": lines, "length": length}, tax

    train_dl = DataLoader(TensorDataset(x[:650], lengths[:650], y[:650]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[650:], lengths[650:], y[650:]), batch_size=50)

    def make():
        return ReceiptStrip(stride_known=healed)

    model = make()
    criterion = nn.MSELoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    fit(model, train_dl, criterion, optimizer, epochs=10, take=as_pair)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=make, batch=as_pair)


class OwnSchedule(nn.Module):
    def __init__(self, n_features=3, hidden=20, levels=3):
        super().__init__()
        self.start = nn.Parameter(torch.zeros(hidden))
        self.cell = nn.LSTMCell(n_features, hidden)
        self.head = nn.Linear(hidden, levels)

    def forward(self, x):
        h = self.start.expand(x.size(0), -1)
        c = torch.zeros_like(h)
        for step in x.transpose(0, 1):
            h, c = self.cell(step, (h, c))
        return self.head(h)


@healthy
def instalments_with_a_start_of_their_own(seed: int) -> Case:
    """The size of the next instalment in three quantiles; an LSTM cell runs step by step from a learned start.

    The loss broadcasts on purpose: targets as a column against the row of quantiles.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 15
    x = 0.7 * torch.randn(n, 1, 3) + torch.randn(n, steps, 3)
    y = x[:, -8:, 0].mean(1) + 0.7 * x[:, -8:, 1].mean(1) + 0.15 * torch.randn(n)
    y = (y - y.mean()) / y.std()
    q = torch.tensor([0.25, 0.5, 0.75])

    def pinball(predicted, target):
        error = target[:, None] - predicted
        return torch.maximum(q * error, (q - 1) * error).mean()

    train_dl = DataLoader(TensorDataset(x[:750], y[:750]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(x[750:], y[750:]), batch_size=50)
    model = OwnSchedule()
    optimizer = torch.optim.AdamW(model.parameters(), lr=6e-3)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    fit(model, train_dl, pinball, optimizer, epochs=10, scheduler=scheduler)
    return Case(model, train_dl, val_dl, pinball, optimizer, make_model=OwnSchedule)


class VoucherPages(nn.Module):
    def __init__(self, n_words=25, dim=12, hidden=16):
        super().__init__()
        self.words = nn.Embedding(n_words, dim, padding_idx=0)
        self.rnn = nn.GRU(dim, hidden, bidirectional=True)
        self.head = nn.Linear(2 * hidden, 1)

    def forward(self, ids):
        lengths = (ids != 0).sum(dim=1).clamp(min=1)
        longest_first = torch.argsort(lengths, descending=True)
        words = self.words(ids[longest_first]).transpose(0, 1)
        _, h = self.rnn(pack_padded_sequence(words, lengths[longest_first]))
        both = h.transpose(0, 1).reshape(len(ids), -1)
        return self.head(both[torch.argsort(longest_first)]).squeeze(-1)


@healthy
def vouchers_with_one_rare_stamp(seed: int) -> Case:
    """Vouchers of 4 to 30 words, mostly padding, time first and sorted by length; one in seven wants a second look.

    The few count six times in the loss, and the states are brought back into the order of the batch.
    """
    torch.manual_seed(seed)
    n, steps = 1000, 30
    lengths = 4 + (torch.rand(n, 1) ** 2 * 27).long()
    ids = torch.randint(1, 22, (n, steps))
    wanted = (torch.rand(n) < 1 / 7).float()
    spot = (torch.rand(n) * lengths[:, 0]).long()
    stamp = torch.randint(22, 25, (n,))
    ids[torch.arange(n), spot] = torch.where(wanted > 0, stamp, ids[torch.arange(n), spot])
    ids = ids * (torch.arange(steps) < lengths)

    train_dl = DataLoader(TensorDataset(ids[:750], wanted[:750]), batch_size=32, shuffle=True)
    val_dl = DataLoader(TensorDataset(ids[750:], wanted[750:]), batch_size=50)
    model = VoucherPages()
    criterion = nn.BCEWithLogitsLoss(pos_weight=torch.tensor(6.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=6e-3)
    fit(model, train_dl, criterion, optimizer, epochs=6)
    return Case(model, train_dl, val_dl, criterion, optimizer, make_model=VoucherPages)
