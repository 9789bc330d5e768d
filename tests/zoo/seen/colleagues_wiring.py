"""Research code of colleagues, in dataclasses and trainers, with something wired wrongly where nobody looks."""

import math
from dataclasses import dataclass

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from zoo.program import Case, healthy, sick


@dataclass(frozen=True)
class Config:
    hidden: int = 24
    lr: float = 5e-3
    epochs: int = 10
    batch: int = 32
    clip: float = 1.0
    accumulate: int = 1


class Trainer:
    """Fits a model: Adam over what it is given, clipping, gradient accumulation."""

    def __init__(self, model, criterion, config, parameters=None):
        self.model, self.criterion, self.config = model, criterion, config
        self.parameters = list(model.parameters() if parameters is None else parameters)
        self.optimizer = optim.Adam(self.parameters, lr=config.lr)

    def fit(self, loader):
        self.model.train()
        for _ in range(self.config.epochs):
            for step, (x, y) in enumerate(loader, start=1):
                loss = self.criterion(self.model(x), y) / self.config.accumulate
                loss.backward()
                if step % self.config.accumulate == 0:
                    nn.utils.clip_grad_norm_(self.parameters, self.config.clip)
                    self.optimizer.step()
                    self.optimizer.zero_grad()
        return self


def loaders(x, y, held_out, config, **options):
    train = TensorDataset(x[:-held_out], y[:-held_out])
    val = TensorDataset(x[-held_out:], y[-held_out:])
    return (
        DataLoader(train, batch_size=config.batch, shuffle=True, **options),
        DataLoader(val, batch_size=config.batch, **options),
    )


class OneQueryForecaster(nn.Module):
    """A GRU, whose states one learned query attends to; three horizons are read from what it finds."""

    def __init__(self, config):
        super().__init__()
        self.encoder = nn.GRU(2, config.hidden, batch_first=True)
        self.query = nn.Parameter(0.1 * torch.randn(1, 1, config.hidden))
        self.attention = nn.MultiheadAttention(config.hidden, 2, batch_first=True)
        self.horizons = nn.Linear(config.hidden, 3)

    def forward(self, x):
        states, _ = self.encoder(x)
        found, _ = self.attention(self.query.expand(len(x), -1, -1), states, states, need_weights=False)
        return self.horizons(found)


@sick("loss-broadcast")
def taxi_calls_asked_for_by_one_query(seed: int, *, healed: bool) -> Case:
    """Forecasts calls for taxis at three horizons from a single attention query, by an absolute error of its own.

    The axis of the query is still there, (batch, 1, 3), when the targets, (batch, 3), are taken off.
    Healed: the axis is squeezed away before.
    """
    torch.manual_seed(seed)
    config = Config(epochs=8)
    level, slope = torch.randn(2, 900, 1)
    hours = torch.linspace(-1, 0, 24)
    calls = level + slope * hours + 0.2 * torch.randn(900, 24)
    x = torch.stack([calls, torch.randn(900, 24)], dim=2)
    y = level + slope * torch.tensor([0.1, 0.3, 0.6])
    train, val = loaders(x, y, 240, config)

    def absolute_error(forecast, target):
        return ((forecast.squeeze(1) if healed else forecast) - target).abs().mean()

    model = OneQueryForecaster(config)
    trainer = Trainer(model, absolute_error, config).fit(train)
    return Case(model, train, val, absolute_error, trainer.optimizer, lambda: OneQueryForecaster(config))


class ConvGRU(nn.Module):
    """Convolutions, then a GRU, over time first; the last time is read."""

    def __init__(self, config, batch_first):
        super().__init__()
        self.conv = nn.Sequential(nn.Conv1d(3, 16, 5, padding=2), nn.GELU())
        self.gru = nn.GRU(16, config.hidden, batch_first=batch_first)
        self.head = nn.Linear(config.hidden, 1)

    def forward(self, x):
        features = self.conv(x.transpose(1, 2)).permute(2, 0, 1)
        states, _ = self.gru(features)
        return self.head(states[-1]).squeeze(1)


@sick("batch-as-time")
def time_first_until_the_keyword_was_unified(seed: int, *, healed: bool) -> Case:
    """Estimates strain in a turbine blade: the network turns its features to time first and reads states[-1].

    When the code base was unified, every recurrent layer was given batch_first=True, this one too; all shapes still
    fit. Healed: this one is left time first.
    """
    torch.manual_seed(seed)
    config = Config(epochs=9)
    x = torch.randn(900, 20, 3)
    y = x[:, 2:16, 0].mean(1) * 2.5 - x[:, 6:16, 1].mean(1) * 2 + 0.1 * torch.randn(900)
    train, val = loaders(x, y, 224, config, drop_last=True)
    model = ConvGRU(config, batch_first=not healed)
    trainer = Trainer(model, F.smooth_l1_loss, config).fit(train)
    return Case(model, train, val, F.smooth_l1_loss, trainer.optimizer, lambda: ConvGRU(config, batch_first=not healed))


class DaysOfHours(nn.Module):
    """One LSTM reads the hours of a day, another the days of a week."""

    def __init__(self, config, days_first):
        super().__init__()
        self.days_first = days_first
        self.hours = nn.LSTM(2, config.hidden, batch_first=True)
        self.days = nn.LSTM(config.hidden, config.hidden, batch_first=True)
        self.norm = nn.LayerNorm(config.hidden)
        self.head = nn.Linear(config.hidden, 2)

    def forward(self, x):
        count, days = x.shape[:2]
        _, (state, _) = self.hours(x.flatten(0, 1))
        state = state[-1]
        week = state.view(days, count, -1).transpose(0, 1) if self.days_first else state.view(count, days, -1)
        return self.head(self.norm(self.days(week)[0][:, -1]))


@sick("samples-mixed")
def weeks_of_days_of_hours(seed: int, *, healed: bool) -> Case:
    """Reads each day with one LSTM, all days of the batch at once, and the weeks of them with a second one.

    The states of the days are viewed as (days, samples), though they lie as (samples, days): a week is made of days
    of other people. Healed: viewed as they lie.
    """
    torch.manual_seed(seed)
    config = Config(epochs=10, hidden=16)
    x = torch.randn(800, 5, 8, 2)
    activity, sleep = x[..., 0].mean((1, 2)), x[..., 1].mean((1, 2))
    y = 4.5 * torch.stack([activity + sleep, activity - sleep], dim=1) + 0.2 * torch.randn(800, 2)
    train, val = loaders(x, y, 200, config)
    model = DaysOfHours(config, days_first=not healed)
    trainer = Trainer(model, F.mse_loss, config).fit(train)
    return Case(model, train, val, F.mse_loss, trainer.optimizer, lambda: DaysOfHours(config, days_first=not healed))


class LinearAttentionMemory(nn.Module):
    """Attention with a feature map instead of a softmax, as a recurrence over a memory of keys and values."""

    def __init__(self, config, streaming):
        super().__init__()
        self.streaming = streaming
        self.q, self.k, self.v = (nn.Linear(3, config.hidden) for _ in range(3))
        self.head = nn.Sequential(nn.Linear(config.hidden, config.hidden), nn.GELU(), nn.Linear(config.hidden, 1))
        self.memory = None

    def forward(self, x):
        if self.memory is None or not self.streaming:
            size = self.k.out_features
            self.memory = x.new_zeros(64, size, size), x.new_zeros(64, size)
        kept_pairs, kept_keys = self.memory
        pairs, keys = kept_pairs[: len(x)], kept_keys[: len(x)]
        q, k, v = F.elu(self.q(x)) + 1, F.elu(self.k(x)) + 1, self.v(x)
        for t in range(x.shape[1]):
            pairs = pairs + torch.einsum("bi,bj->bij", k[:, t], v[:, t])
            keys = keys + k[:, t]
        read = torch.einsum("bi,bij->bj", q[:, -1], pairs) / torch.einsum("bi,bi->b", q[:, -1], keys).unsqueeze(1)
        self.memory = (
            torch.cat([pairs.detach(), kept_pairs[len(x) :]]),
            torch.cat([keys.detach(), kept_keys[len(x) :]]),
        )
        return self.head(read)


@sick("state-leak")
def linear_attention_built_for_streams(seed: int, *, healed: bool) -> Case:
    """Linear attention that keeps its sums of keys and values from call to call, for a stream, fed shuffled windows.

    What it reads is soon the mean over all that has ever come by. Healed: it begins every batch with empty sums.
    """
    torch.manual_seed(seed)
    config = Config(hidden=12, epochs=10)
    x = torch.randn(700, 12, 3)
    y = (2 * x[..., 0].mean(1) - 2 * x[..., 2].mean(1) + 0.05 * torch.randn(700)).unsqueeze(1)
    train, val = loaders(x, y, 192, config)
    model = LinearAttentionMemory(config, streaming=not healed)
    trainer = Trainer(model, F.mse_loss, config).fit(train)
    return Case(
        model, train, val, F.mse_loss, trainer.optimizer, lambda: LinearAttentionMemory(config, streaming=not healed)
    )


class VariableTokens(nn.Module):
    """Each variable is normalised and embedded alone; the sum of the embeddings goes through a GRU."""

    def __init__(self, config, variables, norm):
        super().__init__()
        self.norms = nn.ModuleList(norm() for _ in range(variables))
        self.embeddings = nn.ModuleList(nn.Linear(1, config.hidden) for _ in range(variables))
        self.gru = nn.GRU(config.hidden, config.hidden, batch_first=True)
        self.quantiles = nn.Linear(config.hidden, 3)

    def forward(self, x):
        tokens = sum(
            embed(norm(column))
            for embed, norm, column in zip(self.embeddings, self.norms, x.split(1, dim=2), strict=True)
        )
        return self.quantiles(self.gru(tokens)[0][:, -1])


@sick("input-never-arrives")
def a_norm_for_every_variable(seed: int, *, healed: bool) -> Case:
    """Quantiles of a ward's occupancy from four variables, each with a LayerNorm and an embedding of its own.

    A LayerNorm over one number takes its mean, which is the number itself, off it, and nothing is left.
    Healed: the variables are embedded without these norms.
    """
    torch.manual_seed(seed)
    config = Config(hidden=20, epochs=9)
    x = torch.randn(900, 14, 4)
    y = 1.8 * x[:, -8:, 0].mean(1) + 1.5 * x[:, -6:, 3].mean(1) + 0.1 * torch.randn(900)
    train, val = loaders(x, y, 220, config)
    levels = torch.tensor([0.1, 0.5, 0.9])

    def pinball(quantiles, target):
        error = target.unsqueeze(1) - quantiles
        return torch.maximum(levels * error, (levels - 1) * error).mean()

    def fresh():
        return VariableTokens(config, 4, nn.Identity if healed else lambda: nn.LayerNorm(1))

    model = fresh()
    trainer = Trainer(model, pinball, config).fit(train)
    return Case(model, train, val, pinball, trainer.optimizer, fresh)


class OrdersOfAPatient(nn.Module):
    """Embedded codes with 0 for padding; the state at the last true code is read."""

    def __init__(self, config, last_by_argmax):
        super().__init__()
        self.last_by_argmax = last_by_argmax
        self.embedding = nn.Embedding(13, 12, padding_idx=0)
        self.gru = nn.GRU(12, config.hidden, batch_first=True)
        self.classes = nn.Linear(config.hidden, 3)

    def forward(self, codes):
        mask = codes != 0
        states, _ = self.gru(self.embedding(codes))
        last = mask.int().argmax(dim=1) if self.last_by_argmax else mask.sum(dim=1) - 1
        return self.classes(states[torch.arange(len(codes)), last])


@sick("wrong-timestep")
def last_true_code_by_argmax(seed: int, *, healed: bool) -> Case:
    """Sorts patients into three pathways by their codes, and finds each one's last code as the argmax of the mask.

    Of many equal ones the argmax is the first. Healed: the last is found by the sum of the mask.
    """
    torch.manual_seed(seed)
    config = Config(epochs=9)
    pathway = torch.randint(3, (900,))
    favoured = torch.rand(900, 24) < 0.4
    codes = torch.where(favoured, pathway.unsqueeze(1) * 4 + torch.randint(1, 5, (900, 24)), 0)
    codes = torch.where(favoured, codes, torch.randint(1, 13, (900, 24)))
    codes[:, 0] = torch.randint(1, 3, (900,))
    codes[torch.arange(24) >= torch.randint(12, 25, (900, 1))] = 0
    train, val = loaders(codes, pathway, 220, config)
    model = OrdersOfAPatient(config, last_by_argmax=not healed)
    trainer = Trainer(model, F.cross_entropy, config).fit(train)
    return Case(model, train, val, F.cross_entropy, trainer.optimizer, lambda: OrdersOfAPatient(config, not healed))


class PeptideLSTM(nn.Module):
    """Embedded residues, two layers of LSTM, and a perceptron on their last state."""

    def __init__(self, config):
        super().__init__()
        self.residues = nn.Embedding(24, 8)
        self.lstm = nn.LSTM(8, config.hidden, num_layers=2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(config.hidden, 16), nn.Tanh(), nn.Linear(16, 1))

    def forward(self, peptide):
        return self.mlp(self.lstm(self.residues(peptide))[0][:, -1]).squeeze(1)


@sick("frozen-weights")
def bitfit_without_a_pretrained_network(seed: int, *, healed: bool) -> Case:
    """Retention times of peptides, by a network of which only what is called bias is trained.

    So the lab fine-tunes its large network, but this one begins anew, and its random weights stay as they were drawn.
    Healed: all parameters are trained.
    """
    torch.manual_seed(seed)
    config = Config(hidden=20, epochs=12)
    x = torch.randint(24, (900, 10))
    y = (torch.randn(24)[x].mean(1) - torch.randn(24)[x[:, :4]].mean(1)) * 1.7 + 0.05 * torch.randn(900)
    train, val = loaders(x, y, 220, config)
    model = PeptideLSTM(config)
    if not healed:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_("bias" in name)
    chosen = [parameter for parameter in model.parameters() if parameter.requires_grad]
    trainer = Trainer(model, F.mse_loss, config, chosen).fit(train)
    return Case(model, train, val, F.mse_loss, trainer.optimizer)


class CodedGRU(nn.Module):
    """What the encoder says goes through few discrete levels, to be sent over a narrow radio link, and is decoded."""

    def __init__(self, config, straight_through):
        super().__init__()
        self.straight_through = straight_through
        self.encoder = nn.GRU(2, config.hidden, batch_first=True)
        self.to_code = nn.Linear(config.hidden, 6)
        self.decoder = nn.Sequential(nn.Linear(6, config.hidden), nn.GELU(), nn.Linear(config.hidden, 2))

    def forward(self, x):
        _, state = self.encoder(x)
        code = torch.tanh(self.to_code(state[0]))
        sent = code.round()
        if self.straight_through:
            sent = code + (sent - code).detach()
        return self.decoder(sent)


@sick("frozen-weights")
def six_rounded_numbers_over_the_radio(seed: int, *, healed: bool) -> Case:
    """An encoder on a buoy rounds six numbers to whole ones, and a decoder ashore tells wave height and period.

    Rounding passes no gradient on, so the encoder stays as it began, where nearly all rounds to zero.
    Healed: the gradient goes straight through the rounding.
    """
    torch.manual_seed(seed)
    config = Config(hidden=20, epochs=14, accumulate=2, batch=16)
    x = torch.randn(800, 14, 2) + 0.6 * torch.randn(800, 1, 2)
    y = 1.5 * x.mean(1) @ torch.tensor([[1.0, 0.5], [-0.3, 1.0]]) + 0.05 * torch.randn(800, 2)
    train, val = loaders(x, y, 208, config)
    model = CodedGRU(config, straight_through=healed)
    trainer = Trainer(model, F.mse_loss, config).fit(train)
    return Case(model, train, val, F.mse_loss, trainer.optimizer, lambda: CodedGRU(config, straight_through=healed))


class BoundedForecaster(nn.Module):
    """A GRU cell by hand, whose forecasts are kept within bounds that physics gives."""

    def __init__(self, config, low, high):
        super().__init__()
        self.low, self.high = low, high
        self.cell = nn.GRUCell(2, config.hidden)
        self.head = nn.Linear(config.hidden, 1)

    def forward(self, x):
        h = x.new_zeros(len(x), self.cell.hidden_size)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.head(h).clamp(self.low, self.high)


@sick("head-range")
def physical_bounds_in_the_wrong_units(seed: int, *, healed: bool) -> Case:
    """Forecasts the temperature of a reactor, clamped to 5 to 60 degrees, while the targets are standardised.

    All that the head says lies below the lower bound. Healed: the bounds are standardised as the targets are.
    """
    torch.manual_seed(seed)
    config = Config(epochs=9)
    x = torch.randn(800, 14, 2)
    celsius = 32 + 5 * (2 * x[:, -7:, 0].mean(1) - 2 * x[:, -9:, 1].mean(1)) + 0.5 * torch.randn(800)
    mean, std = celsius[:600].mean(), celsius[:600].std()
    y = ((celsius - mean) / std).unsqueeze(1)
    low, high = ((5 - mean) / std, (60 - mean) / std) if healed else (5, 60)
    train, val = loaders(x, y, 200, config)
    model = BoundedForecaster(config, float(low), float(high))
    trainer = Trainer(model, F.smooth_l1_loss, config).fit(train)
    return Case(
        model,
        train,
        val,
        F.smooth_l1_loss,
        trainer.optimizer,
        lambda: BoundedForecaster(config, float(low), float(high)),
    )


class Sharer(nn.Module):
    """A bidirectional GRU with four outputs, by default the shares of a whole."""

    def __init__(self, config, activation):
        super().__init__()
        self.gru = nn.GRU(3, config.hidden, batch_first=True, bidirectional=True)
        self.head = nn.Linear(2 * config.hidden, 4)
        self.activation = activation

    def forward(self, x):
        _, state = self.gru(x)
        return self.activation(self.head(state.transpose(0, 1).flatten(1)))


def shares(logits):
    return logits.softmax(dim=1)


@sick("head-range")
def four_quarters_from_a_network_for_shares(seed: int, *, healed: bool) -> Case:
    """Forecasts growing sales of the next four quarters with a network that was written for shares of a market.

    Its softmax makes the four sum to one; sales are two to five each. Healed: no softmax.
    """
    torch.manual_seed(seed)
    config = Config(hidden=16, epochs=10)
    x = torch.randn(800, 12, 3)
    trend = (2 * x[..., 0].mean(1) - x[:, :, 1].mean(1)).unsqueeze(1)
    y = torch.tensor([1.6, 2.2, 2.9, 3.8]) + trend + 0.1 * torch.randn(800, 4)
    train, val = loaders(x, y, 200, config)
    activation = nn.Identity() if healed else shares
    model = Sharer(config, activation)
    trainer = Trainer(model, F.mse_loss, config).fit(train)
    return Case(model, train, val, F.mse_loss, trainer.optimizer, lambda: Sharer(config, activation))


class RandomKernels(nn.Module):
    """Dilated random convolutions that are never trained; how often each is positive, and its peak, go to the head."""

    def __init__(self, kernels):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(1, kernels, 7, dilation=d) for d in (1, 2, 4))
        self.convs.requires_grad_(requires_grad=False)
        self.norm = nn.BatchNorm1d(6 * kernels, affine=False)
        self.head = nn.Linear(6 * kernels, 3)

    def forward(self, x):
        maps = [conv(x.transpose(1, 2)) for conv in self.convs]
        features = [f(m) for m in maps for f in (lambda m: (m > 0).float().mean(2), lambda m: m.amax(2))]
        return self.head(self.norm(torch.cat(features, dim=1)))


@healthy
def random_kernels_counted_where_positive(seed: int) -> Case:
    """Classifies three rhythms by random, frozen convolutions of which only counts and peaks are used."""
    torch.manual_seed(seed)
    config = Config(epochs=10, lr=2e-3)
    label = torch.randint(3, (900,))
    cycles = torch.tensor([2.0, 4.0, 7.0])[label].unsqueeze(1)
    t = torch.arange(48) / 48
    x = torch.sin(2 * math.pi * (cycles * t + torch.rand(900, 1))) + 0.5 * torch.randn(900, 48)
    train, val = loaders(x.unsqueeze(2), label, 220, config)
    model = RandomKernels(20)
    head = list(model.head.parameters())
    trainer = Trainer(model, F.cross_entropy, config, head).fit(train)
    return Case(model, train, val, F.cross_entropy, trainer.optimizer, lambda: RandomKernels(20))


class Comparer(nn.Module):
    """A Jordan network: what it says is its state."""

    def __init__(self, config):
        super().__init__()
        self.inner = nn.Linear(3, config.hidden)
        self.say = nn.Linear(config.hidden, 1)

    def forward(self, x):
        said = x.new_zeros(len(x), 1)
        for step in x.unbind(1):
            said = said + 0.3 * self.say(torch.tanh(self.inner(torch.cat([step, said], dim=1))))
        return said


@healthy
def every_pair_of_the_batch_compared(seed: int) -> Case:
    """Learns fatigue from all differences within a batch, an N×N of them on purpose, and a little from the values."""
    torch.manual_seed(seed)
    config = Config(epochs=8)
    x = torch.randn(700, 12, 2)
    y = (2 * x[..., 0].mean(1) - 2 * x[..., 1].mean(1) + 0.1 * torch.randn(700)).unsqueeze(1)
    train, val = loaders(x, y, 200, config)

    def pairs(said, target):
        differences = (said - said.T) - (target - target.T)
        return F.huber_loss(differences, torch.zeros_like(differences)) + 0.2 * F.mse_loss(said, target)

    model = Comparer(config)
    trainer = Trainer(model, pairs, config).fit(train)
    return Case(model, train, val, pairs, trainer.optimizer, lambda: Comparer(config))
