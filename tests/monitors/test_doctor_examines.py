"""The Doctor names the cause as a fit ends, of modules that know nothing of flatspot, and changes nothing."""

import logging

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from flatspot import evidence
from flatspot.errors import BadInput
from flatspot.monitors import Doctor, doctor


class Plain(LightningModule):
    """The mean of a random walk, from its steps."""

    def __init__(self, rate=5e-3):
        super().__init__()
        self.rate = rate
        self.encoder = nn.LSTM(1, 16, batch_first=True)
        self.head = nn.Linear(16, 1)

    def forward(self, x):
        states, _ = self.encoder(x)
        return self.head(states[:, -1])

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x).squeeze(-1), y)

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("loss/val", F.mse_loss(self(x).squeeze(-1), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), self.rate)


class Named(Plain):
    """Batches are dicts; the loss is an attribute."""

    def __init__(self):
        super().__init__()
        self.criterion = nn.HuberLoss(delta=0.3)

    def training_step(self, batch, batch_idx):
        return self.criterion(self(batch["x"]).squeeze(-1), batch["y"])

    def validation_step(self, batch, batch_idx):
        pass


class Unvalidated(Plain):
    validation_step = LightningModule.validation_step


class Prepared(Plain):
    """The inputs are scaled in the step."""

    def training_step(self, batch, batch_idx):
        x, y = batch
        return F.mse_loss(self(x / 2).squeeze(-1), y)


class OwnLoss(Plain):
    def training_step(self, batch, batch_idx):
        x, y = batch
        return (self(x).squeeze(-1) - y).abs().pow(1.5).mean()


class ByHand(Plain):
    """Manual optimisation, two optimizers."""

    def __init__(self):
        super().__init__()
        self.automatic_optimization = False

    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        for each in self.optimizers():
            each.zero_grad()
        self.manual_backward(loss)
        for each in self.optimizers():
            each.step()

    def configure_optimizers(self):
        return torch.optim.Adam(self.head.parameters(), 5e-3), torch.optim.Adam(self.encoder.parameters(), 5e-3)


class AsDicts(torch.utils.data.Dataset):
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __len__(self):
        return len(self.y)

    def __getitem__(self, index):
        return {"x": self.x[index], "y": self.y[index]}


def loaders(far=0.0, *, kind=TensorDataset, count=600):
    torch.manual_seed(0)
    x = torch.randn(count, 12, 1).cumsum(dim=1) * 0.3
    y = x.mean(dim=(1, 2))
    shown = x * (3000 if far else 1) + far
    cut = count * 4 // 5
    return (
        DataLoader(kind(shown[:cut], y[:cut]), batch_size=40, shuffle=True),
        DataLoader(kind(shown[cut:], y[cut:]), batch_size=40),
    )


def fitted(module, folder, *data, epochs=8, seed=1, **options):
    torch.manual_seed(seed)
    watching = Doctor(folder, **options)
    trainer = Trainer(
        max_epochs=epochs,
        callbacks=[watching],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
    )
    trainer.fit(module, *data)
    return watching


def test_a_healthy_network_is_nearly_silent(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        watching = fitted(Plain(), tmp_path, *loaders())
    assert watching.report.verdict == "healthy"
    assert not watching.report.findings
    assert not [each for each in caplog.records if each.name == doctor.__name__ and each.levelno > logging.INFO]


def test_unscaled_inputs_are_named_told_and_written_down(tmp_path, caplog):
    watching = fitted(Plain(), tmp_path, *loaders(far=5000.0))
    assert watching.report.findings[0].cause == "unscaled-inputs"
    assert "1. unscaled-inputs" in caplog.text
    (entry,) = [each for each in evidence.read(tmp_path) if each.when == "examined"]
    assert entry.values["trial_inputs/closes"] > 0.4
    assert entry.values["skill/missing"] > 0.35


def test_a_loss_that_is_an_attribute_and_batches_that_are_dicts_are_found(tmp_path):
    watching = fitted(Named(), tmp_path, *loaders(far=5000.0, kind=AsDicts))
    assert watching.report.findings[0].cause == "unscaled-inputs"


def test_without_validation_data_the_training_data_are_judged_and_it_is_said(tmp_path):
    train, _ = loaders()
    watching = fitted(Unvalidated(), tmp_path, train)
    assert watching.report.verdict == "healthy"
    assert "no validation data" in str(watching.report)


def test_a_loss_that_is_not_recognised_is_none(tmp_path):
    watching = fitted(OwnLoss(rate=1e-6), tmp_path, *loaders(), epochs=2)
    assert watching.report.verdict == "flat"
    assert watching.report.not_examined["undertrained"] == (
        "the loss of the step is none that is known here; flatspot.examine(..., loss=) takes any"
    )


def test_inputs_that_are_prepared_in_the_step_are_not_examined(tmp_path, caplog):
    with caplog.at_level(logging.INFO):
        watching = fitted(Prepared(), tmp_path, *loaders(), epochs=1)
    assert watching.report is None
    assert "prepared in the step" in caplog.text


def test_optimisation_by_hand_with_two_optimizers_is_examined(tmp_path):
    watching = fitted(ByHand(), tmp_path, *loaders(far=5000.0))
    assert watching.report.findings[0].cause == "unscaled-inputs"


def test_quick_tries_nothing(tmp_path):
    watching = fitted(Plain(), tmp_path, *loaders(far=5000.0), examine="quick")
    assert not any(name.startswith("trial_") for name in watching.report.evidence)


@pytest.mark.parametrize("far", [0.0, 5000.0])
def test_nothing_is_changed(tmp_path, far):
    kept = []
    for examine in ("full", "none"):
        module = Plain()
        torch.manual_seed(7)
        module = Plain()
        fitted(module, tmp_path / examine, *loaders(far=far), epochs=3, examine=examine)
        optimizer = module.optimizers(use_pl_optimizer=False)
        state = [value for each in optimizer.state.values() for value in each.values()]
        grads = [each.grad for each in module.parameters() if each.grad is not None]
        random = torch.random.get_rng_state()
        kept.append((module.state_dict(), state, grads, random, module.training, dict(module.trainer.callback_metrics)))
    one, other = kept
    assert all(torch.equal(one[0][name], other[0][name]) for name in other[0])
    for place in (1, 2):
        assert len(one[place]) == len(other[place])
        assert all(map(torch.equal, one[place], other[place]))
    assert torch.equal(one[3], other[3])
    assert one[4] == other[4]
    assert one[5] == other[5]


def test_an_examination_that_fails_fails_no_fit(tmp_path, monkeypatch, caplog):
    def broken(*_, **__):
        raise RuntimeError("made up")

    monkeypatch.setattr(doctor, "examined", broken)
    with caplog.at_level(logging.INFO):
        watching = fitted(Plain(), tmp_path, *loaders(), epochs=1)
    assert watching.report is None
    assert "has not examined the network: RuntimeError: made up" in caplog.text


def test_several_processes_are_not_examined_and_it_is_said(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(Trainer, "world_size", property(lambda _: 2))
    with caplog.at_level(logging.INFO):
        watching = fitted(Plain(), tmp_path, *loaders(), epochs=1)
    assert watching.report is None
    assert "several processes" in caplog.text


def test_another_word_is_refused(tmp_path):
    with pytest.raises(BadInput, match="did you mean 'full'"):
        Doctor(tmp_path, examine="ful")
