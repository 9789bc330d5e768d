"""What is suggested says the names that the parts of the user's own model have."""

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import flatspot
from flatspot import evidence
from flatspot.diagnosis import consult
from flatspot.errors import BadInput
from flatspot.examination.naming import names_of, parts_of
from flatspot.examination.patient import Patient
from flatspot.examination.samples import samples_of
from flatspot.monitors import Doctor
from flatspot.rules import RULES


class Gauge(nn.Module):
    def __init__(self, *, cut=False):
        super().__init__()
        self.cut = cut
        self.history = nn.GRU(1, 2, batch_first=True)
        self.readout = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))

    def forward(self, x):
        h = self.history(x)[0][:, -1]
        return self.readout(h.detach() if self.cut else h)


def data(count=500):
    torch.manual_seed(0)
    x = torch.randn(count, 8, 1)
    return x, 2 * x.mean(dim=1)


def loaders():
    x, y = data()
    train = DataLoader(TensorDataset(x[:400], y[:400]), batch_size=40, shuffle=True)
    return train, DataLoader(TensorDataset(x[400:], y[400:]), batch_size=40)


def report(model, weights, make_model=Gauge, epochs=2):
    train, val = loaders()
    optimizer, loss = torch.optim.Adam(weights, lr=1e-2), nn.MSELoss()
    for _ in range(epochs):
        for a, b in train:
            optimizer.zero_grad()
            loss(model(a), b).backward()
            optimizer.step()
    return flatspot.examine(model, train=train, val=val, loss=loss, optimizer=optimizer, make_model=make_model)


def frozen(found):
    (finding,) = [each for each in found.findings if each.cause == "frozen-weights"]
    return finding


def still(make_model=Gauge):
    """One whose recurrent layer, as it is drawn, says next to nothing."""
    torch.manual_seed(1)
    model = make_model()
    with torch.no_grad():
        model.history.weight_ih_l0.mul_(1e-3)
    return model


def test_weights_that_are_fixed_are_freed_by_name():
    model = still()
    model.history.requires_grad_(False)
    held = frozen(report(model, model.parameters(), epochs=15))
    assert "(history) are fixed (requires_grad=False)" in held.seen
    assert held.try_first == "model.history.requires_grad_(True)"


def test_weights_that_are_fixed_and_left_out_need_an_optimizer_too():
    model = still()
    model.history.requires_grad_(False)
    found = frozen(report(model, [each for each in model.parameters() if each.requires_grad], epochs=15))
    freed, optimizer = found.try_first.split("; ")
    assert freed == "model.history.requires_grad_(True)"
    assert optimizer == "optimizer = torch.optim.Adam(model.parameters())"


def test_weights_that_the_optimizer_lacks_are_added_by_name():
    model = still()
    found = frozen(report(model, model.readout.parameters()))
    assert found.try_first == "optimizer.add_param_group({'params': model.history.parameters()})"


def test_where_the_gradient_is_cut_it_says_behind_which_part():
    model = still(lambda: Gauge(cut=True))
    found = frozen(report(model, model.parameters(), lambda: Gauge(cut=True)))
    assert found.try_first == "no .detach(), .data, .item() or torch.no_grad() between model.history and the loss"


class Lit(LightningModule):
    def __init__(self):
        super().__init__()
        self.net = still(lambda: Gauge(cut=True))

    def training_step(self, batch, batch_idx):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, batch_idx):
        self.net(batch[0])

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-2)


def test_of_a_submodule_that_predicts_the_name_is_that_in_the_module(trainer_options, tmp_path):
    doctor = Doctor(tmp_path)
    Trainer(**trainer_options | {"max_epochs": 1, "callbacks": [doctor]}).fit(Lit(), *loaders())
    assert "between model.net.history and the loss" in frozen(doctor.report).try_first
    (examined,) = [each for each in evidence.read(tmp_path) if each.when == "examined"]
    assert examined.names["head/name"] == "net.readout.2"
    assert examined.names["recurrent/name"] == "net.history"


class Numbered(nn.Module):
    """A child called `0`, which no index finds."""

    def __init__(self):
        super().__init__()
        self.add_module("0", nn.Linear(8, 1))

    def forward(self, x):
        return getattr(self, "0")(x.squeeze(-1))


@pytest.mark.parametrize(
    ("model", "names"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(8, 1)), {"head/name": "1"}),
        (Numbered(), {}),
        (nn.Flatten(), {}),
    ],
)
def test_only_what_python_finds_has_a_name(model, names):
    x, y = data(50)
    samples = samples_of([(x, y)], None, 50)
    assert names_of(Patient(model, samples, samples), {}) == names


def test_the_largest_parts_are_named():
    model = Gauge()
    names = {name for name, _ in model.named_parameters()}
    assert parts_of(model, names) == [""]
    assert parts_of(model, names - {"readout.2.bias"}) == ["history", "readout.0", "readout.2.weight"]
    assert parts_of(model, set()) == []


class Records(torch.utils.data.Dataset):
    def __init__(self, x, load):
        self.x, self.load = x, load

    def __len__(self):
        return len(self.x)

    def __getitem__(self, at):
        return {"series": self.x[at], "number": at, "load": self.load[at]}


def records(load=0.0):
    x, y = data()
    shown = 9000 + 20 * y if load else torch.zeros_like(y)
    return [DataLoader(Records(x[part], shown[part]), batch_size=40) for part in (slice(400), slice(400, None))]


@pytest.mark.parametrize(
    ("batch", "said"),
    [
        (lambda b: (b["series"], b["load"]), "of load (line"),
        (lambda b: (b["series"], b["load"].squeeze(-1)), "of load (line"),
        (lambda b: (b["series"], b["load"] + 0), "over the training samples (line"),
    ],
)
def test_targets_are_called_as_the_batch_calls_them(batch, said):
    train, val = records()
    found = flatspot.examine(Gauge(), train=train, val=val, batch=batch)
    (flat,) = [each for each in found.findings if each.cause == "flat-target"]
    assert said in flat.seen
    assert ("note: the targets are 'load' of each batch" in str(found)) is ("of load" in said)


def test_targets_of_a_level_are_called_by_their_name():
    evidence_of = {"targets/mean": 9000.0, "targets/std": 20.0, "skill/missing": 1.0, "trial_targets/closes": 0.9}
    asked = {"unscaled-targets": RULES["unscaled-targets"]}
    (found,), _ = consult(asked, evidence_of, None, {"targets/name": "load"})
    assert found.seen.startswith("targets (load) that lie 9000 from 0")


def test_a_batch_that_is_a_dict_is_refused_with_its_own_keys():
    train, val = records()
    with pytest.raises(BadInput) as refused:
        flatspot.examine(Gauge(), train=train, val=val)
    said = str(refused.value)
    assert "a batch of type dict with 'series', 'number', 'load' is not (inputs, targets)" in said
    assert "say how with batch=lambda b: (b['series'], b['load'])" in said
    with pytest.raises(BadInput, match="what batch= made of a batch of type dict with 'series', 'number', 'load'"):
        flatspot.examine(Gauge(), train=train, val=val, batch=lambda b: b["series"])
