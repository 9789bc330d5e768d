"""Nothing is wrong with the data or the settings: a state outlives its sample, or the optimizer misses its weights."""

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


class FastWeights(nn.Module):
    """Linear attention in its recurrent form: a matrix of what was seen, asked once at the end."""

    def __init__(self, begin_anew):
        super().__init__()
        self.begin_anew = begin_anew
        self.keys = nn.Linear(3, 16)
        self.values = nn.Linear(3, 16)
        self.query = nn.Parameter(torch.randn(16))
        self.head = nn.Sequential(nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 1))
        self.memory = self.mass = None

    def forward(self, x):
        keys, values = F.elu(self.keys(x)) + 1, self.values(x)
        if self.begin_anew or self.memory is None or len(self.memory) != len(x):
            self.memory, self.mass = x.new_zeros(len(x), 16, 16), x.new_zeros(len(x), 16)
        self.memory = self.memory.detach() + keys.transpose(1, 2) @ values
        self.mass = self.mass.detach() + keys.sum(1)
        query = F.elu(self.query) + 1
        return self.head((query @ self.memory) / (self.mass @ query).unsqueeze(1))


@sick("state-leak")
def memory_matrix_kept_between_calls(seed: int, *, healed: bool) -> Case:
    """Batches are shuffled windows of many looms; the matrix is detached for the next batch, but never emptied.

    Healed: each call begins with an empty matrix.
    """
    torch.manual_seed(seed)
    loom = torch.randn(800, 1, 3)
    x = (loom + torch.randn(800, 15, 3)) / 1.41
    y = 0.9 * loom[:, 0, 1:2] - 0.5 * loom[:, 0, 2:] + 0.2 * torch.randn(800, 1)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True, drop_last=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=32)
    model = FastWeights(healed)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(15):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    model.eval()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: FastWeights(healed))


class Integrators(nn.Module):
    """Leaky integrators that all lose a five-hundredth in each step, and a perceptron behind them."""

    def __init__(self, stateful):
        super().__init__()
        self.stateful = stateful
        self.leak = 0.002
        self.into = nn.Linear(2, 24)
        self.mix = nn.Sequential(nn.LayerNorm(24), nn.Linear(24, 24), nn.SiLU(), nn.Linear(24, 3))
        self.state = None

    def forward(self, x):
        drive = self.into(x) * self.leak**0.5
        carry = self.stateful and self.state is not None and len(self.state) >= len(x)
        state = self.state[: len(x)] if carry else x.new_zeros(len(x), 24)
        for step in drive.unbind(1):
            state = (1 - self.leak) * state + step
        self.state = state.detach()
        return self.mix(state)


@sick("state-leak")
def slow_leak_that_remembers_other_patients(seed: int, *, healed: bool) -> Case:
    """`stateful=True` is kept from a streaming demo, and each shuffled batch of patients starts where others ended.

    Healed: `stateful=False`.
    """
    torch.manual_seed(seed)
    grade = torch.randint(3, (900,))
    effect = torch.tensor([[1.0, 0.0], [-0.6, 0.8], [-0.6, -0.8]])
    x = 0.8 * effect[grade].unsqueeze(1) + torch.randn(900, 22, 2)
    train = DataLoader(TensorDataset(x[:720], grade[:720]), batch_size=36, shuffle=True)
    val = DataLoader(TensorDataset(x[720:], grade[720:]), batch_size=36)
    model = Integrators(stateful=not healed)
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(9):
        for xb, yb in train:
            loss = criterion(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=lambda: Integrators(stateful=not healed))


class Cells(nn.Module):
    """Two layers of LSTM cells, held in a list."""

    def __init__(self, container):
        super().__init__()
        self.cells = container([nn.LSTMCell(2, 20), nn.LSTMCell(20, 20)])
        self.read = nn.Linear(20, 1)

    def forward(self, x):
        states = [None, None]
        for step in x.unbind(1):
            signal = step
            for i, cell in enumerate(self.cells):
                states[i] = cell(signal, states[i])
                signal = states[i][0]
        return self.read(signal)


@sick("frozen-weights")
def cells_in_a_plain_list(seed: int, *, healed: bool) -> Case:
    """Rain reaches a reservoir after a week; the LSTM cells stand in a Python list, where no optimizer sees them.

    Healed: in an `nn.ModuleList`.
    """
    torch.manual_seed(seed)
    x = torch.randn(700, 20, 2)
    y = (x[:, :13, :1].sum(1) - 0.5 * x[:, :13, 1:].sum(1)) / 4
    train = DataLoader(TensorDataset(x[:560], y[:560]), batch_size=28, shuffle=True)
    val = DataLoader(TensorDataset(x[560:], y[560:]), batch_size=70)
    container = nn.ModuleList if healed else list
    model = Cells(container)
    loss_fn = nn.MSELoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(7):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=lambda: Cells(container))


class Sentiment(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(20, 12)
        self.gru = nn.GRU(12, 20, batch_first=True, bidirectional=True)
        self.drop = nn.Dropout(0.1)
        self.out = nn.Linear(40, 1)

    def forward(self, ids):
        states, _ = self.gru(self.words(ids))
        return self.out(self.drop(states.mean(1))).squeeze(1)


@sick("frozen-weights")
def one_optimizer_for_all_folds(seed: int, *, healed: bool) -> Case:
    """Cross-validation makes a fresh model for each fold, and steps the optimizer of a model made before the loop.

    Healed: each fold makes its own optimizer too.
    """
    torch.manual_seed(seed)
    ids = torch.randint(20, (600, 12))
    tone = torch.randn(20)
    score = tone[ids].sum(1)
    liked = (score > score.median()).float()
    criterion = nn.BCEWithLogitsLoss()
    model = Sentiment()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    folds = torch.arange(600) % 3
    for fold in range(3):
        inside = folds != fold
        train = DataLoader(TensorDataset(ids[inside], liked[inside]), batch_size=32, shuffle=True)
        val = DataLoader(TensorDataset(ids[~inside], liked[~inside]), batch_size=50)
        model = Sentiment()
        if healed:
            optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        for _ in range(6):
            model.train()
            for xb, yb in train:
                optimizer.zero_grad()
                criterion(model(xb), yb).backward()
                optimizer.step()
        model.eval()
    return Case(model, train, val, criterion, optimizer, make_model=Sentiment)


class Backwards(nn.Module):
    """A GRU from the last reading to the first, turned round again, so that the state at place 0 has seen all."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(2, 16, batch_first=True)
        self.linear = nn.Linear(16, 1)

    def forward(self, x):
        states = self.gru(x.flip(1))[0].flip(1)
        return self.linear(states[:, 0])


@healthy
def read_at_the_first_place(seed: int) -> Case:
    """The state at the first place is read, and rightly so: this network runs from right to left."""
    torch.manual_seed(seed)
    x = torch.randn(800, 18, 2)
    y = x[:, :6, :1].mean(1) * 2 + 0.8 * torch.tanh(x[:, 4:12, 1:].sum(1)) + 0.1 * torch.randn(800, 1)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=80)
    model = Backwards()
    loss_fn = nn.SmoothL1Loss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for xb, yb in train:
            optimizer.zero_grad()
            loss_fn(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, loss_fn, optimizer, make_model=Backwards)


class Strokes(nn.Module):
    """A fixed bank of cosines finds the rhythm, as a cochlea would; a GRU learns what to make of it."""

    def __init__(self):
        super().__init__()
        pitch = torch.linspace(0.3, 2.4, 8).unsqueeze(1)
        wave = torch.cos(pitch * (torch.arange(9.0) - 4)) * torch.hann_window(11)[1:-1]
        self.bank = nn.Conv1d(1, 8, 9, stride=2, bias=False)
        self.bank.weight = nn.Parameter(wave.unsqueeze(1) / 2, requires_grad=False)
        self.gru = nn.GRU(8, 20, batch_first=True)
        self.out = nn.Linear(20, 3)

    def forward(self, sound):
        bands = self.bank(sound.unsqueeze(1)).abs().transpose(1, 2)
        return self.out(self.gru(bands)[1][0])


@healthy
def filter_bank_that_stays_fixed(seed: int) -> Case:
    """Three engines by their sound; the filters take no gradient, are in no optimizer, and need not be."""
    torch.manual_seed(seed)
    engine = torch.randint(3, (750,))
    pitch = torch.tensor([0.5, 1.1, 1.8])[engine].unsqueeze(1)
    sound = torch.sin(pitch * torch.arange(45.0) + 6.28 * torch.rand(750, 1)) + 0.6 * torch.randn(750, 45)
    train = DataLoader(TensorDataset(sound[:600], engine[:600]), batch_size=30, shuffle=True)
    val = DataLoader(TensorDataset(sound[600:], engine[600:]), batch_size=50)
    model = Strokes()
    criterion = nn.CrossEntropyLoss()
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.RMSprop(learning, lr=4e-3)
    for _ in range(9):
        for xb, yb in train:
            optimizer.zero_grad()
            criterion(model(xb), yb).backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer, make_model=Strokes)
