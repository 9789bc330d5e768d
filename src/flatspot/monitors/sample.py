"""A fixed sample of a loader's data, drawn with a seed of its own, through its dataset and its collate function."""

from collections.abc import Iterator, Mapping
from typing import Any

from lightning import LightningModule, Trainer
from torch.utils.data import DataLoader

from flatspot.probes.drawing import drawn, generators_kept
from flatspot.probes.undisturbed import random_states_kept


def sample_of(trainer: Trainer, module: LightningModule, size: int, seed: int) -> Any:
    """A batch of samples spread over the validation data (of the first loader), else over the training data.

    It is moved to the module's device as Lightning moves a batch. The loader itself is not asked: its order, its
    workers, the random states and the generators that a dataset keeps stay as they are. All processes draw the same.

    Returns:
        The batch; None where there is no dataset to draw from by number (a stream, a loader that is no DataLoader), or
        where its items cannot be drawn or put together by themselves.
    """
    for loaders in (trainer.val_dataloaders, trainer.train_dataloader):
        loader = next(loaders_in(loaders), None)
        if loader is None:
            continue
        with random_states_kept(module), generators_kept((loader.dataset, loader.collate_fn)):
            try:
                return _moved(trainer, module, drawn(loader, size, seed))
            except Exception:  # noqa: BLE001, S112 - a stranger's data may want to be asked in their own way
                continue
    return None


def _moved(trainer: Trainer, module: LightningModule, batch: Any) -> Any:
    batch = trainer.precision_plugin.convert_input(batch)
    batch = module._on_before_batch_transfer(batch, dataloader_idx=0)
    return trainer.strategy.batch_to_device(batch, dataloader_idx=0)


def loaders_in(held: Any) -> Iterator[DataLoader[Any]]:
    """The loaders in what a Trainer holds: one, several, or some by name."""
    if isinstance(held, DataLoader):
        yield held
    elif isinstance(held, (list, tuple)):
        for each in held:
            yield from loaders_in(each)
    elif isinstance(held, Mapping):
        yield from loaders_in(list(held.values()))
