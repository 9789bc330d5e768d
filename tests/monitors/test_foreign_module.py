"""Monitors dropped into projects that know nothing of flatspot."""

import logging

import pytest
import torch
from lightning import LightningModule, Trainer
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from flatspot.monitors import GradientNormMonitor, OutputDiversityMonitor


class LitRNN(LightningModule):
    """As a tutorial writes it."""

    def __init__(self):
        super().__init__()
        self.rnn = nn.RNN(1, 16, batch_first=True)
        self.fc = nn.Linear(16, 1)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out[:, -1, :])

    def training_step(self, batch, batch_idx):
        x, y = batch
        loss = F.mse_loss(self(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, batch_idx):
        x, y = batch
        self.log("val_loss", F.mse_loss(self(x), y))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=1e-3)


class ThroughChild(LitRNN):
    """The network is a child, and the module has no forward of its own."""

    def __init__(self):
        super().__init__()
        self.model = nn.Sequential(nn.Flatten(), nn.Linear(10, 1))
        self.criterion = nn.MSELoss()

    def training_step(self, batch, batch_idx):
        x, y = batch
        return self.criterion(self.model(x), y)

    def validation_step(self, batch, batch_idx):
        self.log("val_loss", self.criterion(self.model(batch[0]), batch[1]))


def loader(targets=None, shuffle=False):
    x = torch.randn(100, 10, 1, generator=torch.Generator().manual_seed(0))
    y = x.sum(dim=1) if targets is None else targets
    return DataLoader(TensorDataset(x, y), batch_size=16, shuffle=shuffle)


@pytest.fixture
def fit(trainer_options):
    def run(module, monitors, train=None, val=None, **options):
        options = trainer_options | {"use_distributed_sampler": True, "max_epochs": 2} | options
        trainer = Trainer(callbacks=monitors, **options)
        trainer.fit(module, train or loader(), val or loader())
        return trainer

    return run


@pytest.mark.parametrize("module", [LitRNN, ThroughChild])
def test_they_find_predictions_and_blocks_by_themselves(module, fit):
    torch.manual_seed(0)
    trainer = fit(module(), [OutputDiversityMonitor(), GradientNormMonitor()])
    measured = trainer.callback_metrics
    for part in ("train", "val"):
        assert 0 < measured[f"diversity/ratio_{part}"] < 2
    assert measured["gradient/total"] > 0


def test_a_network_gone_flat_shows_as_flat(fit):
    torch.manual_seed(0)
    module = LitRNN()
    nn.init.zeros_(module.fc.weight)
    module.configure_optimizers = lambda: torch.optim.SGD(module.fc.parameters(), lr=0.0)
    measured = fit(module, [OutputDiversityMonitor()]).callback_metrics
    assert measured["diversity/ratio_val"] == 0
    assert measured["diversity/flat_share_val"] == 1
    assert measured["diversity/duplicates_val"] == 1


def test_validation_of_its_own_is_left_alone(trainer_options):
    trainer = Trainer(callbacks=[OutputDiversityMonitor(), GradientNormMonitor()], **trainer_options)
    trainer.validate(LitRNN(), loader(), verbose=False)
    assert "diversity/ratio_val" not in trainer.callback_metrics


def test_outputs_of_changing_length_are_said_and_not_fatal(fit, caplog):
    class Varying(torch.utils.data.Dataset):
        def __len__(self):
            return 8

        def __getitem__(self, index):
            length = 5 + index // 4  # the second length comes when the first has filled a whole chunk
            return torch.randn(300, length, 1), torch.randn(300, length, 1)

    class Sequence(LitRNN):
        def forward(self, x):
            return self.fc(self.rnn(x)[0])

    varying = DataLoader(Varying(), batch_size=None)
    with caplog.at_level(logging.WARNING):
        fit(Sequence(), [OutputDiversityMonitor()], train=varying, val=varying)
    assert "OutputDiversityMonitor" in caplog.text


def test_of_several_validation_loaders_the_first_is_measured(trainer_options):
    class TwoLoaders(LitRNN):
        def validation_step(self, batch, batch_idx, dataloader_idx=0):
            self.log("val_loss", F.mse_loss(self(batch[0]), batch[1]))

    def ratio(loaders):
        torch.manual_seed(0)
        trainer = Trainer(max_epochs=1, callbacks=[OutputDiversityMonitor()], **trainer_options)
        trainer.fit(TwoLoaders(), loader(), loaders)
        return trainer.callback_metrics["diversity/ratio_val"]

    other = DataLoader(TensorDataset(1000 * torch.randn(50, 10, 1), torch.randn(50, 1)), batch_size=16)
    assert ratio([loader(), other]) == ratio([loader()])
