"""Strangers' batches have their axes in any order, are packed, or come as tuples: the same network, the same answer."""

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence
from torch.utils.data import DataLoader, TensorDataset

import flatspot


class Sees(nn.Module):
    """A recurrent network over `[sample, time, channel]`, however it is given."""

    def __init__(self, read=lambda x: x):
        super().__init__()
        self.read = read
        self.gru = nn.GRU(2, 12, batch_first=True)
        self.head = nn.Linear(12, 1)

    def forward(self, x):
        return self.head(self.gru(self.read(x))[0][:, -1])


class Convolved(nn.Module):
    """Convolutions want channels before time; of one channel the axis is of length one."""

    def __init__(self, channels=2):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv1d(channels, 8, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool1d(1))
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        return self.head(self.layers(x).squeeze(2))


def series(count=480, steps=10, channels=2):
    torch.manual_seed(0)
    x = torch.randn(count, steps, channels) + torch.randn(count, 1, channels)
    return x, x.mean(dim=(1, 2)).unsqueeze(1) * 1.3


def trained(model, pairs, epochs=6, rate=1e-2):
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    for _ in range(epochs):
        for x, y in pairs:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimizer.step()
    return optimizer


def examined(make, pairs, epochs=6, rate=1e-2, batch=None):
    torch.manual_seed(0)
    model = make()
    read = pairs if batch is None else [batch(each) for each in pairs]
    optimizer = trained(model, read[:10], epochs, rate)
    return flatspot.examine(
        model,
        train=pairs[:10],
        val=pairs[10:],
        loss=nn.functional.mse_loss,
        optimizer=optimizer,
        make_model=make,
        batch=batch,
    )


def batches(x, y, size=40):
    return list(zip(x.split(size), y.split(size), strict=True))


def turned(x):
    return x.transpose(1, 2)


@pytest.mark.thorough
@pytest.mark.parametrize("far", [0.0, 500.0])
def test_channels_before_time_are_measured_as_channels(far):
    """The second channel alone is raw; as a step of ten its scale would be no channel's."""
    x, y = series()
    x[..., 1] = x[..., 1] * (1 + far / 10) + far
    beside = examined(Sees, batches(x, y))
    before = examined(lambda: Sees(turned), batches(turned(x).contiguous(), y))
    for report in (beside, before):
        assert report.evidence["sizes/steps"] == 10
        assert report.evidence["sizes/channels"] == 2
    assert before.verdict == beside.verdict
    assert before.evidence["inputs/largest_std"] == pytest.approx(beside.evidence["inputs/largest_std"])
    assert [each.cause for each in before.findings] == [each.cause for each in beside.findings]


@pytest.mark.parametrize("channels", [1, 2])
def test_a_convolution_says_that_channels_come_first(channels):
    x, y = series(channels=channels)
    report = examined(lambda: Convolved(channels), batches(turned(x).contiguous(), y), rate=3e-2)
    assert report.evidence["sizes/steps"] == 10
    assert report.evidence["sizes/channels"] == channels
    assert report.verdict == "healthy"


def test_as_many_channels_as_steps():
    x, y = series(steps=2)
    report = examined(Convolved, batches(turned(x).contiguous(), y), rate=1e-5, epochs=1)
    assert report.evidence["sizes/steps"] == 2
    assert report.findings[0].cause == "undertrained"


class Unpacks(Sees):
    def forward(self, x):
        return self.head(self.gru(x)[1][0])


def packed(pairs):
    return pack_sequence([x for x, _ in pairs], enforce_sorted=False), torch.stack([y for _, y in pairs])


@pytest.mark.parametrize("rate", [1e-2, 1e-6])
def test_packed_sequences(rate):
    x, _ = series()
    lengths = torch.randint(3, 11, (len(x),), generator=torch.Generator().manual_seed(0)).tolist()
    every = [each[:length] for each, length in zip(x, lengths, strict=True)]
    held = [(each, each.mean().reshape(1) * 1.3) for each in every]
    make = DataLoader(held, batch_size=40, collate_fn=packed)
    report = examined(Unpacks, list(make), rate=rate)
    assert report.evidence.get("padding/share", 0) == 0
    assert report.verdict == ("healthy" if rate > 1e-3 else "flat")
    assert [each.cause for each in report.findings[:1]] == ([] if rate > 1e-3 else ["undertrained"])


class TakesAPair(Sees):
    def forward(self, inputs):
        x, scale = inputs
        return super().forward(x) * scale


class TakesTwo(Sees):
    def forward(self, x, scale):
        return super().forward(x) * scale


class TakesARecord(Sees):
    def forward(self, record):
        return super().forward(record["x"])


@pytest.mark.parametrize("make", [TakesAPair, TakesTwo, TakesARecord])
def test_a_tuple_or_a_dict_is_handed_on_as_the_model_takes_it(make):
    x, y = series()

    def batch(pair):
        one = {"x": pair[0]} if make is TakesARecord else (pair[0], torch.ones(len(pair[1]), 1))
        return one, pair[1]

    torch.manual_seed(0)
    model = make()
    pairs = batches(x, y)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(6):
        for pair in pairs[:10]:
            held, wanted = batch(pair)
            optimizer.zero_grad()
            nn.functional.mse_loss(model(*held) if make is TakesTwo else model(held), wanted).backward()
            optimizer.step()
    report = flatspot.examine(model, train=pairs[:10], val=pairs[10:], loss=nn.functional.mse_loss, batch=batch)
    assert report.verdict == "healthy"
    assert report.evidence["skill/val"] > 0.8


@pytest.mark.thorough
def test_a_loss_that_needs_as_many_samples_as_steps_is_asked_in_such_batches():
    """(10, 10, 1) beside (10, 10) pairs every step of the one with every sample of the other."""
    x, _ = series(steps=10)
    y = x.sum(dim=2).cumsum(dim=1) / 4

    class Each(Sees):
        def forward(self, x):
            return self.head(self.gru(x)[0])

    torch.manual_seed(0)
    model = Each()
    train, val = (
        DataLoader(TensorDataset(x[part], y[part]), batch_size=10) for part in (slice(0, 400), slice(400, 480))
    )

    def loss(said, true):
        return (said - true).square().mean()

    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        for inputs, wanted in train:
            optimizer.zero_grad()
            loss(model(inputs), wanted).backward()
            optimizer.step()
    report = flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer, make_model=Each)
    assert report.findings[0].cause == "loss-broadcast"
    assert "changes with their shape" in report.findings[0].seen


class Carries(Sees):
    """Its state is made for batches of forty and no others."""

    def __init__(self):
        super().__init__()
        self.register_buffer("first", torch.zeros(1, 40, 12))

    def forward(self, x):
        return self.head(self.gru(x, self.first)[0][:, -1])


def test_a_model_for_one_size_of_batch_and_a_loader_that_drops_the_rest():
    x, y = series(count=500)
    torch.manual_seed(0)
    model = Carries()
    optimizer = trained(model, batches(x[:400], y[:400]))
    train, val = (
        DataLoader(TensorDataset(x[part], y[part]), batch_size=40, drop_last=True)
        for part in (slice(0, 400), slice(400, 500))
    )
    report = flatspot.examine(model, train=train, val=val, loss=nn.functional.mse_loss, optimizer=optimizer)
    assert report.verdict == "healthy"


def test_a_batch_sampler_over_a_part_of_the_data():
    """The other part has targets that are all wrong."""
    x, y = series()
    everything = TensorDataset(x, torch.cat([y[:400], -y[400:]]))
    sampler = torch.utils.data.BatchSampler(torch.utils.data.SubsetRandomSampler(range(300)), 30, drop_last=False)
    held_out = DataLoader(torch.utils.data.Subset(everything, range(300, 400)), batch_size=50)
    torch.manual_seed(0)
    model = Sees()
    trained(model, batches(x[:300], y[:300]))
    train = DataLoader(everything, batch_sampler=sampler)
    report = flatspot.examine(model, train=train, val=held_out, loss=nn.functional.mse_loss)
    assert report.evidence["sizes/train"] == 300
    assert report.evidence["sizes/batch"] == 30
    assert report.evidence["skill/train"] > 0.8
