"""A fixed sample of a loader's data, drawn with a seed of its own, through its dataset and its collate function."""

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from lightning import LightningModule, Trainer
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

from flatspot.probes.undisturbed import random_states_kept

DEPTH: Final = 5
"""How deep generators are looked for in a dataset: a subset of a concatenation of datasets has them at three."""

MANY: Final = 100
"""Datasets in a list that are looked at."""


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
        with random_states_kept(module), _generators_kept((loader.dataset, loader.collate_fn)):
            try:
                return _moved(trainer, module, _drawn(loader, size, seed))
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


def _drawn(loader: DataLoader[Any], size: int, seed: int) -> Any:
    dataset: Any = _aside(loader.dataset, DEPTH)
    if isinstance(dataset, IterableDataset):
        raise TypeError("a stream has no samples by number")
    among = getattr(loader.sampler, "indices", None)  # a SubsetRandomSampler shares its dataset with others
    numbers = list(among) if isinstance(among, (list, tuple, torch.Tensor)) else range(len(dataset))
    several = getattr(dataset, "__getitems__", None)
    in_batches = loader.batch_sampler is None
    by_lists = in_batches and isinstance(loader.sampler, BatchSampler)
    count = 1 if in_batches and not by_lists else size
    chosen = [int(each) for each in sorted(random.Random(seed).sample(numbers, min(count, len(numbers))))]  # noqa: S311
    if by_lists:
        return loader.collate_fn(dataset[chosen])
    if in_batches:
        return loader.collate_fn(dataset[chosen[0]])
    return loader.collate_fn(several(chosen) if several else [dataset[number] for number in chosen])


def _aside(dataset: Any, depth: int) -> Any:
    """A shallow copy of a dataset and of those inside it: a file that it opens at its first item is the copy's.

    Workers that are forked later would share the file, and its place in it, with this process.
    """
    if not isinstance(dataset, Dataset) or not depth:
        return dataset
    try:
        other = copy.copy(dataset)
        for name, held in vars(dataset).items():
            if isinstance(held, Dataset):
                setattr(other, name, _aside(held, depth - 1))
            elif isinstance(held, list) and held and all(isinstance(each, Dataset) for each in held[:MANY]):
                setattr(other, name, [_aside(each, depth - 1) for each in held])
    except Exception:  # noqa: BLE001 - it does not want to be copied
        return dataset
    return other


@contextmanager
def _generators_kept(held: Any) -> Iterator[None]:
    """Inside, a dataset and a collate function may draw from generators of their own, which come back."""
    restorers = [_restorer(each) for each in _generators(held, DEPTH)]
    try:
        yield
    finally:
        for restore in restorers:
            restore()


def _generators(held: Any, depth: int) -> Iterator[Any]:
    if isinstance(held, (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)):
        yield held
    elif depth and isinstance(held, (list, tuple)) and len(held) < 100:
        for each in held:
            yield from _generators(each, depth - 1)
    elif depth and hasattr(held, "__dict__") and not isinstance(held, (torch.Tensor, type)):
        owned = [
            getattr(held, "__self__", None),
            *(cell.cell_contents for cell in getattr(held, "__closure__", None) or ()),
        ]
        for each in [*vars(held).values(), *owned]:
            yield from _generators(each, depth - 1)


def _restorer(generator: Any) -> Callable[[], Any]:
    if hasattr(generator, "set_state"):  # torch.Generator and NumPy's RandomState
        return partial(generator.set_state, generator.get_state())
    if isinstance(generator, np.random.Generator):
        return partial(setattr, generator.bit_generator, "state", generator.bit_generator.state)
    return partial(generator.setstate, generator.getstate())
