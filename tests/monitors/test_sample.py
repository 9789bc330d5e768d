"""The fixed sample: drawn by a seed of its own, without touching the loader or anybody's draws."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, TensorDataset

from flatspot.errors import BadInput
from flatspot.monitors import ActivationMonitor, Doctor
from flatspot.monitors.sample import sample_of
from flatspot.monitors.schedule import Doubling


class Noisy(Dataset):
    """Draws at every item, as augmentation does."""

    def __len__(self):
        return 1000

    def __getitem__(self, index):
        return torch.tensor([float(index)]) + 0 * torch.rand(1) + 0 * np.random.random(), torch.zeros(1)


def sample(val=None, train=None, size=8, seed=0):
    real = Trainer(logger=False, enable_checkpointing=False, enable_model_summary=False)
    trainer = SimpleNamespace(
        val_dataloaders=val, train_dataloader=train, precision_plugin=real.precision_plugin, strategy=real.strategy
    )
    real.strategy._lightning_module = LightningModule()
    return sample_of(trainer, real.strategy.lightning_module, size, seed)


def test_it_is_the_same_again_and_spread_over_the_data():
    loader = DataLoader(Noisy(), batch_size=4, shuffle=True)
    state, drawn = torch.get_rng_state(), np.random.get_state()[1].copy()
    first, again, other = sample(loader), sample(loader), sample(loader, seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], drawn)
    assert torch.equal(first[0], again[0])
    assert not torch.equal(first[0], other[0])
    assert len(first[0].unique()) == 8
    assert first[0].max() > 500


def test_validation_data_come_before_training_data():
    train, val = (DataLoader(TensorDataset(torch.full((9, 1), float(fill)), torch.zeros(9, 1))) for fill in (1, 2))
    assert (sample(val, train)[0] == 2).all()
    assert (sample({"a": [val, train]}, train)[0] == 2).all()
    assert (sample(None, train)[0] == 1).all()
    assert sample([], []) is None


def test_a_subset_stays_a_subset():
    loader = DataLoader(Noisy(), sampler=SubsetRandomSampler([3, 5, 7]))
    assert sample(loader)[0].flatten().tolist() == [3, 5, 7]


def test_a_dataset_of_batches_gives_one():
    batches = [(torch.full((6, 2), float(number)), torch.zeros(6)) for number in range(5)]
    assert sample(DataLoader(batches, batch_size=None))[0].shape == (6, 2)


def test_a_dataset_that_refuses_is_none():
    class Refuses(Noisy):
        def __getitem__(self, index):
            raise KeyError(index)

    assert sample(DataLoader(Refuses())) is None


def test_looks_come_at_doubled_steps_also_after_resuming():
    due = Doubling(3)
    assert [step for step in range(1, 30) if due(step)] == [3, 6, 12, 24]
    due.restart()
    assert [step for step in range(7, 30) if due(step)] == [12, 24]
    due.restart()
    assert [step for step in (4, 13, 14, 50) if due(step)] == [13, 50]  # several steps a batch


@pytest.mark.parametrize(
    ("build", "said"),
    [
        (lambda: Doctor(first=0), "first=0"),
        (lambda: Doctor(sample_size=1), "sample_size=1"),
        (lambda: ActivationMonitor(sample_size=0), "sample_size=0"),
    ],
)
def test_sizes_that_cannot_be_are_refused(build, said):
    with pytest.raises(BadInput, match=said):
        build()
