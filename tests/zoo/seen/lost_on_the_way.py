"""What does not get through: the window to the decoder, late steps to the head, the gradient to the encoder."""

from functools import partial

import torch
from torch import nn, optim
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset, TensorDataset

from zoo.program import Case, sick


class Encoder(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size)

    def forward(self, source):
        _, state = self.lstm(source)
        return state


class Decoder(nn.Module):
    def __init__(self, input_size, hidden_size):
        super().__init__()
        self.lstm = nn.LSTM(input_size, hidden_size)
        self.linear = nn.Linear(hidden_size, input_size)

    def forward(self, step, state=None):
        output, state = self.lstm(step, state)
        return self.linear(output), state


class Seq2Seq(nn.Module):
    """The next `horizon` steps of both tracks, (N, horizon, 2), from a start token of zeros."""

    def __init__(self, horizon, hand_over):
        super().__init__()
        self.horizon, self.hand_over = horizon, hand_over
        self.encoder, self.decoder = Encoder(2, 24), Decoder(2, 24)

    def forward(self, x):
        encoded = self.encoder(x.transpose(0, 1))
        state = encoded if self.hand_over else None
        step, forecast = torch.zeros(1, x.size(0), 2), []
        for _ in range(self.horizon):
            step, state = self.decoder(step, state)
            forecast.append(step)
        return torch.cat(forecast).transpose(0, 1)


class Orbits(Dataset):
    """Points on circles of several sizes, seen for sixteen steps and asked for six more."""

    def __init__(self, count):
        angle = 6.3 * torch.rand(count, 1) + 0.35 * torch.arange(22)
        radius = 0.5 + torch.rand(count, 1)
        self.points = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=2)
        self.points += 0.1 * torch.randn_like(self.points)

    def __len__(self):
        return len(self.points)

    def __getitem__(self, i):
        return {"past": self.points[i, :16], "future": self.points[i, 16:]}


@sick("input-never-arrives")
def decoder_without_the_encoders_state(seed: int, *, healed: bool) -> Case:
    """An encoder and a decoder whose state is not handed from the one to the other; the decoder starts from zeros."""
    torch.manual_seed(seed)
    train = DataLoader(Orbits(480), batch_size=32, shuffle=True)
    val = DataLoader(Orbits(160), batch_size=32)
    model = Seq2Seq(horizon=6, hand_over=healed)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(8):
        for batch in train:
            loss = F.mse_loss(model(batch["past"]), batch["future"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    make = partial(Seq2Seq, horizon=6, hand_over=healed)
    return Case(model, train, val, F.mse_loss, optimizer, make, batch=lambda b: (b["past"], b["future"]))


class Fermentation(nn.Module):
    """Runs a GRU cell over the hours and keeps all its states."""

    def __init__(self, newest_first):
        super().__init__()
        self.newest_first = newest_first
        self.cell = nn.GRUCell(3, 20)
        self.head = nn.Sequential(nn.LayerNorm(20), nn.Linear(20, 1))

    def forward(self, hours):
        state, states = torch.zeros(len(hours), 20), []
        for hour in hours.unbind(1):
            state = self.cell(hour, state)
            if self.newest_first:
                states.insert(0, state)
            else:
                states.append(state)
        return self.head(states[-1])


@sick("wrong-timestep")
def newest_state_put_in_front(seed: int, *, healed: bool) -> Case:
    """Puts each new state in front of the list of states, and gives the head the list's last, which is the oldest."""
    torch.manual_seed(seed)
    sensors = torch.randn(900, 14, 3)
    growth = torch.sigmoid(sensors[..., 0] + sensors[..., 1]) - 0.3 * sensors[..., 2]
    alcohol = (growth - 0.5).mean(dim=1, keepdim=True) * 8
    alcohol = alcohol + 0.2 * torch.randn_like(alcohol)
    train = [(sensors[i : i + 40], alcohol[i : i + 40]) for i in range(0, 680, 40)]
    val = [(sensors[i : i + 55], alcohol[i : i + 55]) for i in range(680, 900, 55)]
    net = Fermentation(newest_first=not healed)
    loss_function = nn.SmoothL1Loss()
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for _ in range(12):
        for x, y in train:
            net.zero_grad()
            loss_function(net(x), y).backward()
            optimizer.step()
    return Case(net, train, val, loss_function, optimizer)


class FeatureModel(nn.Module):
    """A price from the words of an advertisement."""

    def __init__(self, through_numpy):
        super().__init__()
        self.through_numpy = through_numpy
        self.emb = nn.Embedding(40, 8)
        self.rnn = nn.GRU(8, 16, batch_first=True)
        self.regressor = nn.Linear(16, 1)

    def forward(self, ids):
        features = self.rnn(self.emb(ids))[0][:, -1]
        if self.through_numpy:
            features = torch.from_numpy(features.detach().numpy().copy())
        return self.regressor(features).squeeze(1)


@sick("frozen-weights")
def features_through_numpy(seed: int, *, healed: bool) -> Case:
    """Turns the encoder's features into a NumPy array and back before the head, where the gradient ends."""
    torch.manual_seed(seed)
    ids = torch.randint(40, (900, 20))
    price = torch.linspace(-1, 1, 40)[ids].sum(1) / 2 + 0.2 * torch.randn(900)
    train = DataLoader(TensorDataset(ids[:700], price[:700]), batch_size=35, shuffle=True)
    val = DataLoader(TensorDataset(ids[700:], price[700:]), batch_size=100)
    model = FeatureModel(through_numpy=not healed)
    optimizer = optim.Adam(model.parameters(), lr=0.01)
    for _ in range(12):
        for x, y in train:
            optimizer.zero_grad()
            F.l1_loss(model(x), y).backward()
            optimizer.step()
    return Case(model, train, val, F.l1_loss, optimizer, lambda: FeatureModel(through_numpy=not healed))


class PowerQuality(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(input_size=2, hidden_size=16, num_layers=2, batch_first=True)
        self.output = nn.Linear(16, 4)

    def forward(self, x):
        _, (h_n, _) = self.lstm(x)
        return self.output(h_n[-1])


def disturbances(count):
    """Voltage and current over 20 steps with a sag or swell in either, at some time in the first half: four classes."""
    kind = torch.randint(4, (count,))
    start = torch.randint(1, 7, (count, 1))
    steps = torch.arange(20)
    event = ((steps >= start) & (steps < start + 4)).float()
    x = 0.4 * torch.randn(count, 20, 2)
    sign = (2.0 * (kind % 2) - 1).unsqueeze(1)
    x[..., 0] += event * sign * (kind < 2).float().unsqueeze(1) * 3
    x[..., 1] += event * sign * (kind >= 2).float().unsqueeze(1) * 3
    return x, kind


def parameter_groups(model, by_suffix):
    """Weights decay and biases do not."""
    named = list(model.named_parameters())
    if by_suffix:
        weights = [p for name, p in named if name.endswith("weight")]
        biases = [p for name, p in named if name.endswith("bias")]
    else:
        weights = [p for name, p in named if "weight" in name]
        biases = [p for name, p in named if "bias" in name]
    return [{"params": weights, "weight_decay": 1e-4}, {"params": biases, "weight_decay": 0.0}]


@sick("frozen-weights")
def groups_that_miss_the_lstm(seed: int, *, healed: bool) -> Case:
    """Sorts the parameters into groups by names that end in "weight" or "bias".

    An LSTM's are called weight_ih_l0 and so on, so that the optimizer holds nothing but the output layer.
    """
    torch.manual_seed(seed)
    x, y = disturbances(900)
    train = DataLoader(TensorDataset(x[:640], y[:640]), batch_size=32, shuffle=True)
    val = DataLoader(TensorDataset(x[640:], y[640:]), batch_size=130)
    model = PowerQuality()
    criterion = nn.CrossEntropyLoss()
    optimizer = optim.AdamW(parameter_groups(model, by_suffix=not healed), lr=0.01)
    for _ in range(12):
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = criterion(model(inputs), labels)
            loss.backward()
            optimizer.step()
    return Case(model, train, val, criterion, optimizer)
