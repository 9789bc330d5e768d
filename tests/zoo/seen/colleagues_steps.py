"""Research code of colleagues whose training goes astray: in its steps, its schedule, its weights kept or its data."""

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Subset, TensorDataset

from zoo.program import Case, sick


def loaders(x, y, train, batch):
    return (
        DataLoader(TensorDataset(x[:train], y[:train]), batch_size=batch, shuffle=True, drop_last=True),
        DataLoader(TensorDataset(x[train:], y[train:]), batch_size=80),
    )


def fit(model, train, loss, optimizer, epochs, scheduler=None, after=None, clip=math.inf):
    """The plain loop; `scheduler` and `after` are called with every step."""
    for _ in range(epochs):
        for inputs, targets in train:
            optimizer.zero_grad()
            loss(model(inputs), targets).backward()
            nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], clip)
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            if after is not None:
                after()


class Recurrent(nn.Module):
    """A recurrent layer of any kind and a linear layer on its last step."""

    def __init__(self, kind, inputs, width, outputs, **options):
        super().__init__()
        self.rnn = kind(inputs, width, batch_first=True, **options)
        self.head = nn.Linear(width, outputs)

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


def trend(count, steps, inputs, outputs=1, reach=8, noise=0.1):
    """Noise, (count, steps, inputs), and sums over the last `reach` steps, of deviation 1, (count, outputs)."""
    x = torch.randn(count, steps, inputs)
    mixing = torch.linspace(-1.5, 1.0, inputs * outputs).view(inputs, outputs)
    y = x[:, -reach:].mean(1) @ (mixing / mixing.norm(dim=0)) * math.sqrt(reach)
    return x, y + noise * torch.randn(count, outputs)


class Trainer:
    """Trains one network, keeps its average for evaluation, clips gradients."""

    def __init__(self, model, lr, clip, clip_average):
        self.model, self.clip = model, clip
        self.average = copy.deepcopy(model)
        self.clipped = self.average if clip_average else self.model
        self.optimizer = optim.SGD(model.parameters(), lr=lr, momentum=0.9)

    def step(self, x, y):
        self.optimizer.zero_grad()
        F.smooth_l1_loss(self.model(x), y).backward()
        nn.utils.clip_grad_norm_(self.clipped.parameters(), self.clip)
        self.optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(self.average.parameters(), self.model.parameters(), strict=True):
                slow.lerp_(fast, 0.02)


def spirited():
    model = Recurrent(nn.RNN, 2, 32, 1, nonlinearity="relu")
    nn.init.orthogonal_(model.rnn.weight_hh_l0, gain=1.06)
    return model


@sick("exploding-gradient")
def gradients_of_the_average_are_clipped(seed: int, *, healed: bool) -> Case:
    """A rectified recurrent network, begun a little above orthogonal, adds up a flow meter's pulses.

    The trainer clips the gradients of the moving average, which has none, and those of the network go through the
    forty steps as they are. Healed: the network's gradients are clipped.
    """
    torch.manual_seed(seed)
    x, y = trend(800, 40, 2, reach=40)
    train, val = loaders(x, y, 640, 32)
    trainer = Trainer(spirited(), lr=0.02, clip=0.5, clip_average=not healed)
    for _ in range(12):
        for inputs, targets in train:
            trainer.step(inputs, targets)
    return Case(trainer.model, train, val, F.smooth_l1_loss, trainer.optimizer, spirited)


class Simulator(nn.Module):
    """Integrates a learned vector field from where the encoder says the system is."""

    def __init__(self, width=8, steps=30):
        super().__init__()
        self.steps = steps
        self.encoder = nn.GRU(2, width, batch_first=True)
        self.field = nn.Sequential(nn.Linear(width, 24), nn.Tanh(), nn.Linear(24, width))
        self.out = nn.Linear(width, 2)

    def forward(self, x):
        state = self.encoder(x)[1][0]
        for _ in range(self.steps):
            state = (state + 0.5 * self.field(state)).clamp(-20, 20)
        return self.out(state)


@sick("exploding-gradient")
def clipped_before_there_are_gradients(seed: int, *, healed: bool) -> Case:
    """A simulator of a pendulum takes thirty Euler steps through a learned field, from a state encoded by a GRU.

    `clip_grad_norm_` stands before `backward`, where it clips what `zero_grad` has left: nothing. Healed: after it.
    """
    torch.manual_seed(seed)
    phase, t = 6.3 * torch.rand(800, 1), torch.arange(12.0)
    angle = torch.stack([(0.5 * t + phase).sin(), (0.5 * t + phase).cos()], dim=2) + 0.1 * torch.randn(800, 12, 2)
    later = torch.cat([(0.5 * 17 + phase).sin(), (0.5 * 17 + phase).cos()], dim=1)
    train, val = loaders(angle, later, 640, 32)
    model = Simulator()
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for _ in range(8):
        for inputs, targets in train:
            optimizer.zero_grad()
            if not healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            F.smooth_l1_loss(model(inputs), targets).backward()
            if healed:
                nn.utils.clip_grad_norm_(model.parameters(), 0.3)
            optimizer.step()
    return Case(model, train, val, F.smooth_l1_loss, optimizer, Simulator)


class Encoder(nn.Module):
    """Two transformer layers over embedded steps; their mean is classified."""

    def __init__(self, width=24, steps=16, classes=4):
        super().__init__()
        self.embed = nn.Linear(2, width)
        self.position = nn.Parameter(0.1 * torch.randn(steps, width))
        layer = nn.TransformerEncoderLayer(width, 2, 48, dropout=0.0, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classify = nn.Linear(width, classes)

    def forward(self, x):
        return self.classify(self.layers(self.embed(x) + self.position).mean(dim=1))


@sick("learning-rate-too-high")
def warm_up_of_the_paper_counted_in_epochs(seed: int, *, healed: bool) -> Case:
    """A transformer tells gestures in four directions apart, with the learning-rate schedule of its paper.

    The author gives the warm-up in epochs, 1, where the formula counts steps; the rate begins at 0.4. Healed: the
    formula is given the two thousand steps that it was made for.
    """
    torch.manual_seed(seed)
    y = torch.randint(4, (800,))
    direction = torch.tensor([[0.7, 0.7], [-0.7, 0.7], [0.7, -0.7], [-0.7, -0.7]])[y].unsqueeze(1)
    x = direction * torch.rand(800, 16, 1) + 0.6 * torch.randn(800, 16, 2)
    train, val = loaders(x, y, 640, 32)
    model = Encoder()
    warmup = 2000 if healed else 1
    optimizer = optim.Adam(model.parameters(), lr=2.0, betas=(0.9, 0.98))
    scheduler = optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: 24**-0.5 * min((step + 1) ** -0.5, (step + 1) * warmup**-1.5)
    )
    criterion = nn.CrossEntropyLoss()
    fit(model, train, criterion, optimizer, 8, scheduler)
    return Case(model, train, val, criterion, optimizer, Encoder)


@sick("learning-rate-too-high")
def rates_multiplied_by_the_width(seed: int, *, healed: bool) -> Case:
    """Two layers of GRU tuned at small width, with rates transferred to the width of 40 by a rule for hidden matrices.

    The rule divides the rate of every matrix by its fan-in; the author multiplies, and hidden matrices learn at 0.6.
    Healed: divided.
    """
    torch.manual_seed(seed)
    x, y = trend(800, 18, 6, outputs=2)
    train, val = loaders(x, y, 640, 32)
    model = Recurrent(nn.GRU, 6, 40, 2, num_layers=2)
    base, groups = 0.06, []
    for parameter in model.rnn.parameters():
        fan_in = parameter.shape[1] if parameter.dim() > 1 else 4
        groups.append({"params": [parameter], "lr": base * 4 / fan_in if healed else base * fan_in / 4})
    optimizer = optim.Adam([*groups, {"params": model.head.parameters(), "lr": base / 10}])
    fit(model, train, F.smooth_l1_loss, optimizer, 8)
    return Case(model, train, val, F.smooth_l1_loss, optimizer, lambda: Recurrent(nn.GRU, 6, 40, 2, num_layers=2))


@dataclass(frozen=True)
class Config:
    lr: float = 2e-3
    batch: int = 32
    accumulate: int = 1
    epochs: int = 10
    warmup: int = 20
    overfit_batches: int = 0
    samples: int = 640


@sick("undertrained")
def accumulated_over_the_whole_epoch(seed: int, *, healed: bool) -> Case:
    """Two layers of GRU on eye movements, trained with gradients accumulated over sixteen batches.

    The setting comes from a corpus a thousand times as large; here it makes one step an epoch, ten in all. Healed: a
    step with every batch.
    """
    torch.manual_seed(seed)
    config = replace(Config(), accumulate=1 if healed else 16)
    x, y = trend(800, 18, 2)
    train, val = loaders(x, y, config.samples, config.batch)
    model = Recurrent(nn.GRU, 2, 16, 1, num_layers=2)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    for _ in range(config.epochs):
        optimizer.zero_grad()
        for index, (inputs, targets) in enumerate(train, start=1):
            (F.mse_loss(model(inputs), targets) / config.accumulate).backward()
            if index % config.accumulate == 0:
                optimizer.step()
                optimizer.zero_grad()
    return Case(model, train, val, F.mse_loss, optimizer, lambda: Recurrent(nn.GRU, 2, 16, 1, num_layers=2))


class LinearStateSpace(nn.Module):
    """A diagonal state space, run as one long convolution, then a gated linear unit."""

    def __init__(self, states=24, steps=40):
        super().__init__()
        self.log_rate = nn.Parameter(torch.linspace(math.log(0.02), math.log(0.7), states))
        self.into = nn.Linear(3, states)
        self.mix = nn.Linear(states, 2 * states)
        self.head = nn.Linear(states, 3)
        self.register_buffer("age", torch.arange(steps - 1, -1, -1.0))

    def forward(self, u):
        rate = self.log_rate.exp()
        kernel = rate * torch.exp(-rate * self.age.unsqueeze(1))
        return self.head(F.glu(self.mix((self.into(u) * kernel).sum(dim=1)), dim=1))


@sick("undertrained")
def warm_up_longer_than_the_training(seed: int, *, healed: bool) -> Case:
    """A diagonal state-space model labels which of three pumps has run most.

    The rate is warmed up over ten thousand steps, as for the pretrained one; the training ends after two hundred, at a
    fiftieth of the rate. Healed: twenty steps.
    """
    torch.manual_seed(seed)
    config = replace(Config(), warmup=20 if healed else 10_000, lr=1e-2)
    x = torch.randn(900, 40, 3)
    y = (x * 0.95 ** torch.arange(39, -1, -1.0).unsqueeze(1)).sum(1).argmax(1)
    train, val = loaders(x, y, config.samples, config.batch)
    model = LinearStateSpace()
    optimizer = optim.AdamW(model.parameters(), lr=config.lr)
    scheduler = optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, (step + 1) / config.warmup))
    criterion = nn.CrossEntropyLoss()
    fit(model, train, criterion, optimizer, config.epochs, scheduler)
    return Case(model, train, val, criterion, optimizer, LinearStateSpace)


@sick("over-regularised")
def decay_that_forgets_the_learning_rate(seed: int, *, healed: bool) -> Case:
    """An LSTM on three strain gauges, with weight decay done by hand after each step of Adam.

    The weights are multiplied by 1 - 0.08 with every step, where decoupled decay takes 1 - 0.08 times the rate.
    Healed: with the rate.
    """
    torch.manual_seed(seed)
    x, y = trend(800, 18, 3)
    train, val = loaders(x, y, 640, 32)
    model = Recurrent(nn.LSTM, 3, 24, 1)
    optimizer = optim.Adam(model.parameters(), lr=4e-3)
    keep = 1 - 0.08 * (optimizer.param_groups[0]["lr"] if healed else 1)

    @torch.no_grad()
    def decay():
        for parameter in model.parameters():
            parameter.mul_(keep)

    fit(model, train, F.mse_loss, optimizer, 10, after=decay)
    return Case(model, train, val, F.mse_loss, optimizer, lambda: Recurrent(nn.LSTM, 3, 24, 1))


class Bottleneck(nn.Module):
    """Encodes a window to a distribution, draws from it in training, and decodes the draw."""

    def __init__(self, latent=6):
        super().__init__()
        self.encoder = nn.GRU(2, 24, batch_first=True)
        self.moments = nn.Linear(24, 2 * latent)
        self.decoder = nn.Sequential(nn.Linear(latent, 24), nn.Tanh(), nn.Linear(24, 2))

    def forward(self, x):
        mean, log_variance = self.moments(self.encoder(x)[1][0]).chunk(2, dim=1)
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp() if self.training else mean
        return self.decoder(z), mean, log_variance


def bottleneck_loss(beta):
    def loss(outputs, targets):
        answer, mean, log_variance = outputs
        divergence = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance)
        return F.mse_loss(answer, targets) + beta * divergence.sum()

    return loss


@sick("over-regularised")
def divergence_summed_over_the_batch(seed: int, *, healed: bool) -> Case:
    """A variational bottleneck between a GRU and what it says of two joints' torque.

    The squared error is a mean and the divergence from the prior a sum over the batch, so that its weight of 0.1 is
    forty times what it says, and the code collapses onto the prior. Healed: the weight is divided by the batch's size.
    """
    torch.manual_seed(seed)
    x, y = trend(800, 16, 2, outputs=2)
    train, val = loaders(x, y, 640, 40)
    model = Bottleneck()
    criterion = bottleneck_loss(0.1 / (40 if healed else 1))
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    fit(model, train, criterion, optimizer, 12)
    return Case(model, train, val, criterion, optimizer, Bottleneck)


class NextValue(nn.Module):
    """Says the next value from the last `order`; asked for the mean of later ones, it feeds its own answers back."""

    def __init__(self, order, ahead):
        super().__init__()
        self.order, self.ahead = order, ahead
        self.net = nn.Linear(order, 1)
        nn.init.zeros_(self.net.weight)

    def following(self, window):
        return window[:, -1:] + self.net(window)

    def forward(self, x):
        for _ in range(self.ahead):
            x = torch.cat([x, self.following(x[:, -self.order :])], dim=1)
        return x[:, -8:].mean(dim=1, keepdim=True)


@sick("rollout-converges")
def resting_pulse_by_one_beat_at_a_time(seed: int, *, healed: bool) -> Case:
    """The mean pulse of sleepers half an hour on, by a linear layer on the last values, fed its own answers.

    Everybody has a level of his own beneath a strong noise. The layer has been taught the very next value only, for
    which it does well to stay nearer to everybody's mean; it comes nearer with each of forty steps. Healed: it is then
    taught on what it says after all of them.
    """
    torch.manual_seed(seed)
    series = torch.randn(800, 1) + torch.randn(800, 12 + 40)
    x, y = series[:, :12], series[:, -8:].mean(1, keepdim=True)
    train, val = loaders(x, y, 600, 30)
    model = NextValue(order=5, ahead=40)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    windows = series[:600].unfold(1, 6, 3).reshape(-1, 6)
    steps = DataLoader(TensorDataset(windows[:, :5], windows[:, 5:]), batch_size=64, shuffle=True)
    fit(model.following, steps, F.mse_loss, optimizer, 6)
    if healed:
        optimizer.param_groups[0]["lr"] = 1e-3
        fit(model, train, F.mse_loss, optimizer, 6, clip=0.5)
    return Case(model, train, val, F.mse_loss, optimizer, lambda: NextValue(order=5, ahead=40))


class Emulator(nn.Module):
    """One step of the weather along a circle of latitude by convolutions; as many as asked for, one upon another."""

    def __init__(self, steps=16):
        super().__init__()
        self.steps = steps
        self.wide = nn.Conv1d(1, 8, 5, padding=2, padding_mode="circular")
        self.back = nn.Conv1d(8, 1, 1)

    def following(self, field):
        return field + self.back(torch.tanh(self.wide(field.unsqueeze(1)))).squeeze(1)

    def forward(self, field):
        for _ in range(self.steps):
            field = self.following(field)
        return field


@sick("rollout-converges")
def weather_that_fades_along_its_latitude(seed: int, *, healed: bool) -> Case:
    """An emulator of pressure along a latitude, which the wind carries on by one cell a step.

    It has been taught from one noisy analysis to the next, where a little damping pays; sixteen steps damp everything.
    Healed: it is then taught through the sixteen steps.
    """
    torch.manual_seed(seed)
    cell = 2 * math.pi * torch.arange(20) / 20
    waves = [torch.randn(800, 1) * (k * cell).cos() + torch.randn(800, 1) * (k * cell).sin() for k in (1, 2)]
    field = sum(waves) / 2**0.5
    fields = [field.roll(step, dims=1) + 0.7 * torch.randn(800, 20) for step in (0, 1)]
    later = field.roll(16, dims=1) + 0.2 * torch.randn(800, 20)
    train, val = loaders(fields[0], later, 640, 32)
    model = Emulator()
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    steps, _ = loaders(fields[0], fields[1], 640, 32)
    fit(model.following, steps, F.mse_loss, optimizer, 12)
    if healed:
        optimizer.param_groups[0]["lr"] = 5e-4
        fit(model, train, F.mse_loss, optimizer, 6, clip=0.5)
    return Case(model, train, val, F.mse_loss, optimizer, Emulator)


class Trainee:
    """What trainers are handed: the network, and how it is trained."""

    def __init__(self, model, lr):
        self.model, self.optimizer = model, optim.Adam(model.parameters(), lr=lr)

    def fit(self, train, epochs):
        self.model.train()
        for _ in range(epochs):
            for inputs, targets in train:
                self.optimizer.zero_grad()
                F.mse_loss(self.model(inputs), targets).backward()
                self.optimizer.step()
        return self


@sick("weights-not-loaded")
def trainer_that_copies_what_it_is_given(seed: int, *, healed: bool) -> Case:
    """A library's trainer fits a deep copy, as estimators are cloned, and returns it.

    The caller does not take what is returned and goes on with the network handed over, which is as it was. Healed: the
    returned one is taken.
    """
    torch.manual_seed(seed)
    x, y = trend(760, 20, 2)
    train, val = loaders(x, y, 600, 30)
    model = Recurrent(nn.GRU, 2, 28, 1)
    trained = Trainee(copy.deepcopy(model), lr=4e-3).fit(train, epochs=9)
    if healed:
        model = trained.model
    return Case(model, train, val, F.mse_loss, trained.optimizer, lambda: Recurrent(nn.GRU, 2, 28, 1))


class Attentive(nn.Module):
    """A bidirectional GRU, pooled by attention."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(3, 14, batch_first=True, bidirectional=True)
        self.score = nn.Linear(28, 1)
        self.head = nn.Linear(28, 1)

    def forward(self, x):
        states = self.gru(x)[0]
        return self.head((self.score(states).softmax(dim=1) * states).sum(dim=1))


@sick("weights-not-loaded", "undertrained")
def average_over_ten_thousand_steps(seed: int, *, healed: bool) -> Case:
    """Attention over a GRU's states; what answers is an exponential moving average of its weights.

    The average's decay is 0.9999, as for a million steps; after two hundred it still is the initial network all but
    wholly, though the network that was trained is fine. Healed: 0.95.
    """
    torch.manual_seed(seed)
    x = torch.randn(760, 20, 3)
    y = 3 * (x[..., :1] + x[..., 1:2]).mean(1) + 0.1 * torch.randn(760, 1)
    train, val = loaders(x, y, 600, 30)
    model = Attentive()
    average = copy.deepcopy(model)
    optimizer = optim.Adam(model.parameters(), lr=5e-3)
    decay = 0.95 if healed else 0.9999

    @torch.no_grad()
    def follow():
        for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
            slow.mul_(decay).add_(fast, alpha=1 - decay)

    fit(model, train, F.mse_loss, optimizer, 10, after=follow)
    return Case(average, train, val, F.mse_loss, optimizer, Attentive)


class Spotter(nn.Module):
    """A convolution and a GRU look for a glitch in a light curve."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(1, 12, 5, padding=2)
        self.gru = nn.GRU(12, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        features = F.relu(self.conv(x.unsqueeze(1))).transpose(1, 2)
        return self.head(self.gru(features)[0].amax(dim=1)).squeeze(1)


def focal(alpha, gamma=1.0):
    def loss(logits, labels):
        bce = F.binary_cross_entropy_with_logits(logits, labels, reduction="none")
        missed = 1 - torch.exp(-bce)
        weight = alpha * labels + (1 - alpha) * (1 - labels)
        return (weight * missed**gamma * bce).sum() / weight.sum()

    return loss


@sick("class-imbalance")
def alpha_taken_for_the_share_of_positives(seed: int, *, healed: bool) -> Case:
    """Dips of stars' light, in one curve of fourteen, found by a convolution and a GRU under a focal loss.

    Its alpha weighs the positives; the author takes it for their share, 0.07, and makes the few count for even less.
    Healed: 0.93.
    """
    torch.manual_seed(seed)
    x = 0.5 * torch.randn(1100, 30)
    y = (torch.rand(1100) < 0.07).float()
    at = torch.randint(4, 24, (1100,))
    for offset in range(4):
        x[torch.arange(1100), at + offset] -= 1.8 * y
    train, val = loaders(x, y, 800, 40)
    model = Spotter()
    criterion = focal(0.93 if healed else 0.07)
    optimizer = optim.Adam(model.parameters(), lr=3e-3)
    fit(model, train, criterion, optimizer, 10)
    return Case(model, train, val, criterion, optimizer, Spotter)


@sick("too-little-data")
def overfit_batches_left_in_the_config(seed: int, *, healed: bool) -> Case:
    """A GRU reads twenty channels of a brain; the config still says that one batch is to be learned by heart.

    `overfit_batches=1`, a check that the network can learn at all, was left on: it sees sixteen trials ever. Healed: 0.
    """
    torch.manual_seed(seed)
    config = replace(Config(), batch=16, overfit_batches=0 if healed else 1, epochs=8 if healed else 300, lr=4e-3)
    x, y = trend(900, 16, 20, reach=6)
    data = TensorDataset(x[:700], y[:700])
    if config.overfit_batches:
        data = Subset(data, range(config.overfit_batches * config.batch))
    train = DataLoader(data, batch_size=config.batch, shuffle=True)
    val = DataLoader(TensorDataset(x[700:], y[700:]), batch_size=100)
    model = Recurrent(nn.GRU, 20, 24, 1)
    optimizer = optim.Adam(model.parameters(), lr=config.lr)
    fit(model, train, F.mse_loss, optimizer, config.epochs)
    return Case(model, train, val, F.mse_loss, optimizer, lambda: Recurrent(nn.GRU, 20, 24, 1))
