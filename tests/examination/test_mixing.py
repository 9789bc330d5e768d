"""Ways in which samples are mixed, and the remedy that fits each."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatspot
from flatspot.examination.patient import Patient
from flatspot.examination.samples import samples_of
from flatspot.examination.wiring import neighbours
from flatspot.rules import RULES


class Mixes(nn.Module):
    def __init__(self, way):
        super().__init__()
        self.way = way
        self.gru = nn.GRU(1, 8, batch_first=way != "time first")
        self.wide = nn.GRU(10, 8, batch_first=True)
        self.attention = nn.MultiheadAttention(8, 2)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0)
        self.norm = nn.BatchNorm1d(8, track_running_stats=False)
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        if self.way == "no batch":
            return self.head(self.wide(x.squeeze(-1))[0])
        if self.way == "view":
            x = x.view(x.shape[1], x.shape[0], 1).transpose(0, 1)
        h = self.gru(x)[0]
        if self.way == "attention":
            h = self.attention(query=h, key=h, value=h)[0]
        if self.way == "layer":
            h = self.layer(h)
        return self.head(self.over_the_batch(h[:, -1]))

    def over_the_batch(self, h):
        ways = {"norm": self.norm, "mean": lambda h: h - h.mean(dim=0), "softmax": lambda h: h.softmax(dim=0)}
        return ways.get(self.way, nn.Identity())(h)


def data():
    torch.manual_seed(0)
    x = torch.randn(400, 10, 1)
    return x, x.mean(dim=1)


def asked(cause, way):
    """What a rule makes of how samples follow others."""
    x, y = data()
    samples = samples_of(DataLoader(TensorDataset(x, y), batch_size=40), None, 400)
    patient = Patient(Mixes(way), samples, samples, make_model=lambda: Mixes(way))
    found = {name.replace("/", "_"): each for name, each in neighbours(patient).items()} | {"skill_missing": 1.0}
    wanted = {name for names in RULES[cause].needs() for name in names}
    return RULES[cause](**{name: each for name, each in found.items() if name in wanted})


@pytest.mark.parametrize(
    ("way", "said", "any_order"),
    [
        ("view", "x.transpose(1, 2)", False),
        ("attention", "nn.MultiheadAttention(width, heads, batch_first=True)", True),
        ("layer", "nn.MultiheadAttention(width, heads, batch_first=True)", True),
        ("norm", "nn.LayerNorm(features)", True),
        ("mean", "over dim=0", True),
        ("softmax", "over dim=0", True),
    ],
)
def test_each_way_of_mixing_has_its_own_remedy(way, said, any_order):
    found = asked("samples-mixed", way)
    assert said in found.try_first
    assert ("in whatever order" in found.seen) is any_order
    assert asked("batch-as-time", way) is None


@pytest.mark.parametrize(("way", "said"), [("time first", "batch_first=True)"), ("no batch", "print(x.shape)")])
def test_what_runs_along_the_batch_is_told_how(way, said):
    assert said in asked("batch-as-time", way).try_first
    assert asked("samples-mixed", way) is None


def test_what_keeps_samples_apart_mixes_none():
    assert asked("samples-mixed", "") is None
    assert asked("batch-as-time", "") is None


def test_the_report_on_attention_over_the_batch_says_batch_first():
    x, y = data()
    train, val = (DataLoader(TensorDataset(x[part], y[part]), batch_size=40) for part in (slice(300), slice(300, None)))
    torch.manual_seed(0)
    model, loss = Mixes("attention"), nn.MSELoss()
    with torch.no_grad():
        model.attention.in_proj_weight.mul_(10)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for a, b in train:
        optimizer.zero_grad()
        loss(model(a), b).backward()
        optimizer.step()
    report = flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer)
    assert "batch_first=True" in {each.cause: each.try_first for each in report.findings}["samples-mixed"]
