"""`loss/train` is the mean over the samples of an epoch, however the epoch ends, and is there as its callbacks end."""

import pytest
import torch
from lightning import Callback, Trainer
from torch.utils.data import DataLoader, IterableDataset


class Twin(Callback):
    """The slow and obvious way: every batch's loss and size, and what is known of the epoch as it ends."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.losses, self.sizes, self.found, self.wanted = [], [], [], []

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx):
        self.losses.append(outputs["loss"].item() * trainer.accumulate_grad_batches)  # Lightning has divided it
        self.sizes.append(len(batch[1]))
        trainer.should_stop = trainer.should_stop or trainer.global_step == self.stop_at

    def on_train_epoch_end(self, trainer, module):
        weighed = sum(loss * size for loss, size in zip(self.losses, self.sizes, strict=True))
        self.wanted.append(weighed / sum(self.sizes))
        self.found.append(trainer.callback_metrics["loss/train"].item())
        self.losses, self.sizes = [], []


class Endless(IterableDataset):
    """Batches of unequal size, of a number that no one knows."""

    def __iter__(self):
        generator = torch.Generator().manual_seed(0)
        for size in (4, 7, 1, 5):
            yield torch.randn(size, 12, 2, generator=generator), torch.randn(size, 3, 1, generator=generator)


CASES = {
    "a ragged last batch": {},
    "fewer batches than there are": {"limit_train_batches": 3},
    "a last step in mid-epoch": {"max_steps": 7, "accumulate_grad_batches": 2},
    "validation within the epoch": {"val_check_interval": 2},
    "one epoch": {"max_epochs": 1},
}


def fitted(forecaster, options, loader, **kwargs):
    twin = Twin(kwargs.pop("stop_at", None))
    trainer = Trainer(**options | {"max_epochs": 3} | kwargs, callbacks=[twin])
    trainer.fit(forecaster, **loader)
    assert twin.found == pytest.approx(twin.wanted, rel=1e-6)
    return twin


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_mean_over_the_samples(forecaster, data, trainer_options, case):
    twin = fitted(forecaster, trainer_options, {"datamodule": data}, **CASES[case])
    assert len(twin.found) >= 1


@pytest.mark.parametrize("least", [None, 2])
def test_it_is_when_a_callback_ends_the_fit_in_mid_epoch(forecaster, data, trainer_options, least):
    """With `min_epochs` the fit goes on for a while after it was asked to end."""
    twin = fitted(forecaster, trainer_options, {"datamodule": data}, stop_at=3, min_epochs=least)
    assert len(twin.found) == (least or 1)


def test_it_is_where_nobody_knows_how_many_batches_there_are(forecaster, trainer_options):
    loader = DataLoader(Endless(), batch_size=None)
    assert len(fitted(forecaster, trainer_options, {"train_dataloaders": loader, "val_dataloaders": loader}).found) == 3


def test_an_epoch_that_is_broken_off_leaves_nothing_to_the_next_fit(forecaster, data, trainer_options):
    class Breaks(Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step == 2:
                raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        Trainer(**trainer_options | {"max_epochs": 1}, callbacks=[Breaks()]).fit(forecaster, datamodule=data)
    fitted(forecaster, trainer_options, {"datamodule": data}, max_epochs=1)
