"""Samples of a loader's data, drawn through its dataset and its collate function: the loader itself is not moved."""

import copy
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

DEPTH: Final = 5
"""How deep generators are looked for in a dataset: a subset of a concatenation of datasets has them at three."""

MANY: Final = 100
"""Datasets in a list that are looked at."""

BATCH: Final = 32
"""Samples of a batch where the loader does not say."""


def drawn(loader: DataLoader[Any], size: int, seed: int) -> Any:
    """A batch of so many samples, in the dataset's order; of a loader whose dataset gives batches, one of these.

    Raises:
        TypeError: for a stream, which has no samples by number.
    """
    numbers = _numbers(loader)
    count = 1 if _gives_batches(loader) and not _by_lists(loader) else size
    picked = [int(each) for each in sorted(random.Random(seed).sample(numbers, min(count, len(numbers))))]  # noqa: S311
    return _collated(loader, picked)


def chosen(loader: DataLoader[Any], most: int) -> tuple[list[int], int]:
    """The numbers of up to so many samples, spread evenly over a loader's dataset, and how many there are.

    Raises:
        TypeError: for a stream, which has no samples by number.
    """
    numbers = sorted(int(each) for each in _numbers(loader))
    places = torch.linspace(0, max(len(numbers) - 1, 0), min(len(numbers), most)).round().long().tolist()
    return [numbers[place] for place in dict.fromkeys(places)] if numbers else [], len(numbers)


def collated(loader: DataLoader[Any], numbers: Sequence[int]) -> Iterator[Any]:
    """Batches of the loader's size of these samples, through its dataset and its collate function."""
    size = 1 if _gives_batches(loader) and not _by_lists(loader) else batch_size_of(loader) or BATCH
    whole = len(numbers) - len(numbers) % size  # who drops the last batch may want each of the same size
    drops = loader.drop_last or getattr(loader.batch_sampler, "drop_last", False)
    for start in range(0, whole if drops and whole else len(numbers), size):
        yield _collated(loader, list(numbers[start : start + size]))


def batch_size_of(loader: DataLoader[Any]) -> int:
    """The samples of a batch, also where a batch sampler says it; 0 where nobody does."""
    return int(loader.batch_size or getattr(loader.batch_sampler, "batch_size", 0) or 0)


def _numbers(loader: DataLoader[Any]) -> Sequence[int]:
    """Those of the samples that the loader draws from: a SubsetRandomSampler shares its dataset with others."""
    if isinstance(loader.dataset, IterableDataset):
        raise TypeError("a stream has no samples by number")
    among = getattr(loader.sampler, "indices", getattr(getattr(loader.batch_sampler, "sampler", None), "indices", None))
    return list(among) if isinstance(among, (Sequence, torch.Tensor, np.ndarray)) else range(len(loader.dataset))  # type: ignore[arg-type]


def _gives_batches(loader: DataLoader[Any]) -> bool:
    return loader.batch_sampler is None


def _by_lists(loader: DataLoader[Any]) -> bool:
    return _gives_batches(loader) and isinstance(loader.sampler, BatchSampler)


def _collated(loader: DataLoader[Any], picked: list[int]) -> Any:
    dataset: Any = _aside(loader.dataset, DEPTH)
    if _by_lists(loader):
        return loader.collate_fn(dataset[picked])
    if _gives_batches(loader):
        return loader.collate_fn(dataset[picked[0]])
    several = getattr(dataset, "__getitems__", None)
    return loader.collate_fn(several(picked) if several else [dataset[number] for number in picked])


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
def generators_kept(held: Any) -> Iterator[None]:
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
