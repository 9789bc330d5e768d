"""Samples of a stranger's loader, as its batches: read through a fresh loader, so that theirs is not moved."""

import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from typing import Any, Final, final

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence
from torch.utils.data import DataLoader, IterableDataset, Subset, SubsetRandomSampler

from flatspot.errors import BadInput, reason
from flatspot.probes.drawing import batch_size_of, chosen, collated, generators_kept
from flatspot.probes.undisturbed import random_states_kept

Batch = Callable[[Any], tuple[Any, Any]]
"""From a loader's batch to (inputs, targets)."""

ENOUGH_BATCHES: Final = 100
MOST_TIMES: Final = 6
"""Batches that are drawn anew, and how often the samples are read for them at most."""

MOST_BATCHES: Final = 10_000
"""Batches that are asked of a loader without a dataset."""


@final
class Unpacked(tuple[Tensor, Tensor]):
    """A `PackedSequence` as samples are kept: `[sample, time, channel]`, filled up with zeros, and the lengths."""

    __slots__ = ()


@final
@dataclass(frozen=True)
class Samples:
    """Some samples of a loader, in its dataset's order and in batches of its size.

    Args:
        batches: (inputs, targets), where inputs are a tensor, or tensors in tuples, lists and dicts.
        notes: what was noticed while they were read, in words.
        every: of how many samples each is one; 1: they follow one another.
        total: samples that the loader has, if known.
        stretch: reads some that follow one another, where these do not and it can be done.
        as_given: reads them in batches of the loader's own size, where these are one smaller.
        mixed: reads them in another order, drawn once, so that batches are made of others; of what has no order none.
        whole: reads the dataset under a random split in its own order, others' part too; None: there is none.
        target: what the targets are called in a batch that is a dict; `""`: they have no name.
    """

    batches: list[tuple[Any, Tensor]]
    notes: tuple[str, ...] = ()
    every: float = 1.0
    total: int | None = None
    stretch: "Callable[[], Samples] | None" = None
    as_given: "Callable[[], Samples] | None" = None
    mixed: "Callable[[], Samples] | None" = None
    whole: "Callable[[], Samples] | None" = None
    target: str = ""
    _joined: list[tuple[Any, Tensor]] = field(default_factory=list)

    def __len__(self) -> int:
        return sum(len(y) for _, y in self.batches)

    @property
    def batch_size(self) -> int:
        """Of the first batch."""
        return len(self.batches[0][1])

    def joined(self) -> tuple[Any, Tensor]:
        """All inputs and targets as one batch; sequences that are shorter are filled up with zeros at their end."""
        if not self._joined:
            counts = [len(y) for _, y in self.batches]
            x = _together([x for x, _ in self.batches], counts)
            self._joined.append((x, _cat([y for _, y in self.batches], 0)))
        return self._joined[0]

    def series(self) -> Tensor:
        """The inputs that are a series, samples first: the first floating tensor of two axes or more, or the first."""
        x, y = self.joined()
        first = series_among(x, len(y))
        return first if sample_axis(first, len(y)) == 0 else first.transpose(0, 1)

    def steps(self) -> Tensor:
        """All steps of the series one under the other, `[step, channel]`; of packed ones those that are no filler."""
        x, y = self.joined()
        series = self.series()
        wide = series.reshape(-1, series.shape[-1]) if series.dim() > 2 else series.reshape(-1, 1)
        lengths = next((each[1] for each in _unpacked_in(x) if each[0] is series_among(x, len(y))), None)
        if lengths is None:
            return wide
        inside = torch.arange(series.shape[1], device=series.device) < lengths.to(series.device).unsqueeze(1)
        return wide[inside.flatten()]

    def beside(self) -> Tensor:
        """The other inputs that are floating numbers, `[sample, number]`; none: of no numbers."""
        x, y = self.joined()
        slot = series_among(x, len(y))
        others = [each for each in leaves(x) if each is not slot and each.is_floating_point()]
        flat = [each.reshape(len(y), -1) for each in others if sample_axis(each, len(y)) == 0]
        return torch.cat([each.float() for each in flat], dim=1) if flat else torch.zeros(len(y), 0)

    def rows(self, numbers: Tensor) -> tuple[Any, Tensor]:
        """Some samples, by their numbers, as a batch."""
        x, y = self.joined()
        return take(x, numbers, len(y)), y[numbers.to(y.device)]

    def moved(self, device: torch.device) -> "Samples":
        """The same on a device."""
        batches = [(mapped(x, lambda each: each.to(device)), y.to(device)) for x, y in self.batches]
        moved = replace(self, batches=batches, _joined=[])
        return moved.reread(lambda samples: samples.moved(device))

    def reread(self, change: "Callable[[Samples], Samples]") -> "Samples":
        """The same, whose other readings are changed too once they are made."""
        return replace(
            self,
            stretch=None if self.stretch is None else partial(_changed, self.stretch, change),
            as_given=None if self.as_given is None else partial(_changed, self.as_given, change),
            mixed=None if self.mixed is None else partial(_changed, self.mixed, change),
            whole=None if self.whole is None else partial(_changed, self.whole, change),
        )

    def parted(self, first: float) -> "tuple[Samples, Samples]":
        """The first share of the batches, and the rest."""
        cut = min(max(round(first * len(self.batches)), 1), len(self.batches) - 1)
        return replace(self, batches=self.batches[:cut], _joined=[]), replace(
            self, batches=self.batches[cut:], _joined=[]
        )

    def consecutive(self) -> "Samples":
        """Samples that follow one another: these, or a stretch of the same loader.

        Raises:
            BadInput: there are none.
        """
        if self.every == 1:
            return self
        if self.stretch is None:
            raise BadInput("the samples do not follow one another, so what lies before a window is not known")
        return self.stretch()


def samples_of(loader: Iterable[Any], batch: Batch | None, most: int) -> Samples:
    """Up to so many samples of a loader, spread evenly over its dataset.

    Of a DataLoader the dataset is read, in batches of its size, through its collate function, in this process: its
    order, workers and generators stay as they are. A stream or a list of batches is read from its beginning; a
    one-shot iterator is consumed, which is noted.

    Raises:
        BadInput: for a loader without a sample, or batches that are not (inputs, targets), which `batch` can mend.
    """
    notes: list[str] = []
    with random_states_kept(), generators_kept(_owners(loader)):
        given, every, total = _batches(loader, most, notes)
        names: list[str] = []
        noting = None if batch is None else partial(_noting, batch, names)
        pairs = list(_limited((_pair(each, noting) for each in given), most))
    if not pairs:
        raise BadInput("the loader gave no batch")
    stretch = as_given = mixed = whole = None
    if isinstance(loader, DataLoader) and not isinstance(loader.dataset, IterableDataset):
        stretch = partial(_stretch, loader, batch, most) if every > 1 else None
        as_given = partial(_as_given, loader, batch, most) if len(pairs[0][1]) < batch_size_of(loader) else None
        mixed = partial(_mixed, loader, batch, most)
        under = _under(loader)
        whole = None if under is None else partial(_stretch, under, batch, most)
    return Samples(pairs, tuple(notes), every, total, stretch, as_given, mixed, whole, next(iter(names), ""))


def _changed(read: Callable[[], Samples], change: Callable[[Samples], Samples]) -> Samples:
    return change(read())


def _mixed(loader: DataLoader[Any], batch: Batch | None, most: int) -> Samples:
    """The same in orders that are drawn, several times where that gives few batches.

    What a collate function does to a batch, it does to any.
    """
    with random_states_kept(), generators_kept(_owners(loader)):
        numbers, total = chosen(loader, most)
        few = max(len(numbers) // max(batch_size_of(loader), 1), 1)
        generator, held = torch.Generator().manual_seed(0), []
        for _ in range(min(math.ceil(ENOUGH_BATCHES / few), MOST_TIMES)):
            order = torch.randperm(len(numbers), generator=generator).tolist()
            held += [_pair(each, batch) for each in collated(loader, [numbers[at] for at in order])]
        return Samples(held, total=total)


def _as_given(loader: DataLoader[Any], batch: Batch | None, most: int) -> Samples:
    """The same in batches of the loader's size, whatever other axis is as long."""
    with random_states_kept(), generators_kept(_owners(loader)):
        numbers, total = chosen(loader, most)
        pairs = [_pair(each, batch) for each in collated(loader, numbers)]
        stretch = partial(_stretch, loader, batch, most) if total > len(numbers) else None
        return Samples(pairs, every=total / max(len(numbers), 1), total=total, stretch=stretch)


def _stretch(loader: DataLoader[Any], batch: Batch | None, most: int) -> Samples:
    """As many samples from the middle of the dataset, each the next one's neighbour."""
    with random_states_kept(), generators_kept(_owners(loader)):
        numbers, total = chosen(loader, sys.maxsize)
        begin = max((total - most) // 2, 0)
        held = _told_apart(loader, numbers[begin : begin + most])
        return Samples([_pair(each, batch) for each in held], total=total)


def _under(loader: DataLoader[Any]) -> DataLoader[Any] | None:
    """A loader over the dataset that a random split was drawn from, in its own order; None: it was none."""
    dataset, drawn = loader.dataset, isinstance(loader.sampler, SubsetRandomSampler)
    while isinstance(dataset, Subset):
        drawn |= list(dataset.indices) != sorted(dataset.indices)
        dataset = dataset.dataset
    if not drawn or loader.batch_sampler is None:
        return None
    size = batch_size_of(loader)
    return DataLoader(dataset, batch_size=size, collate_fn=loader.collate_fn, drop_last=loader.drop_last)


def _owners(loader: Any) -> tuple[Any, ...]:
    return (loader.dataset, loader.collate_fn) if isinstance(loader, DataLoader) else ()


def _batches(loader: Any, most: int, notes: list[str]) -> tuple[Iterator[Any], float, int | None]:
    """Batches; of how many samples each sample is one; and how many there are."""
    if not isinstance(loader, DataLoader):
        if iter(loader) is loader:
            notes.append("the loader is an iterator, which can be read only once: its first batches are used up")
        return islice(iter(loader), MOST_BATCHES), 1.0, None
    if isinstance(loader.dataset, IterableDataset):
        fresh = DataLoader(loader.dataset, batch_size=loader.batch_size, collate_fn=loader.collate_fn)
        return islice(iter(fresh), MOST_BATCHES), 1.0, None
    numbers, total = chosen(loader, most)
    return _told_apart(loader, numbers), total / max(len(numbers), 1), total


def _told_apart(loader: DataLoader[Any], numbers: list[int]) -> Iterator[Any]:
    """Batches of the loader's size; one smaller where the inputs' first two axes are both as long as that."""
    size = batch_size_of(loader)
    first = next(collated(loader, numbers[:size]), None)
    held = [each for each in leaves(first) if each.dim() > 1]
    alike = size > 3 and any(each.shape[0] == each.shape[1] == size for each in held)
    if not alike or loader.batch_sampler is None:
        return collated(loader, numbers)
    smaller = DataLoader(loader.dataset, batch_size=size - 1, collate_fn=loader.collate_fn, drop_last=loader.drop_last)
    return collated(smaller, numbers)


def _limited(pairs: Iterable[tuple[Any, Tensor]], most: int) -> Iterator[tuple[Any, Tensor]]:
    seen = 0
    for x, y in pairs:
        if len(y):
            yield x, y
        seen += len(y)
        if seen >= most:
            return


def _pair(held: Any, batch: Batch | None) -> tuple[Any, Tensor]:
    try:
        x, y = batch(held) if batch is not None else held
        y = torch.as_tensor(y)  # of a dict it is a name
    except Exception as error:
        raise BadInput(_how_to_say(held, error, given=batch is not None)) from error
    if not y.dim():
        raise BadInput("targets of a batch have no axis for the samples: [sample, ...] wanted")
    x = unpacked(x)
    x = mapped(x, _copied) if any(True for _ in leaves(x)) else torch.as_tensor(x)
    return x, y.detach().clone()


def _how_to_say(held: Any, error: Exception, *, given: bool) -> str:
    """That a batch is no pair, and how to make one of it: of a dict by its own keys."""
    keys = list(held) if isinstance(held, Mapping) else []
    whole = f" with {', '.join(map(repr, keys))}" if keys else ""
    taken = "what batch= made of a batch" if given else "a batch"
    pair = f"b[{keys[0]!r}], b[{keys[-1]!r}]" if len(keys) > 1 else "x, y"
    how = "" if given else f": say how with batch=lambda b: ({pair})"
    return f"{taken} of type {type(held).__name__}{whole} is not (inputs, targets) ({reason(error)}){how}"


def _noting(batch: Batch, names: list[str], held: Any) -> tuple[Any, Any]:
    """A batch as it is read, noting under which key a dict has its targets; `""`: they were made of several, say."""
    x, y = batch(held)
    if isinstance(held, Mapping):
        names.append(next((str(key) for key, each in held.items() if _the_same(each, y)), ""))
    return x, y


def _the_same(each: Any, y: Any) -> bool:
    """Whether targets are these numbers, seen in another shape perhaps."""
    if not (isinstance(each, Tensor) and isinstance(y, Tensor)):
        return each is y
    return each is y or (each.numel() == y.numel() > 0 and each.data_ptr() == y.data_ptr() != 0)


def _copied(each: Tensor) -> Tensor:
    return each.detach().clone()


def unpacked(held: Any) -> Any:
    """The same with packed sequences laid out, at any depth of tuples, lists and dicts."""
    if isinstance(held, PackedSequence):
        return Unpacked(pad_packed_sequence(held, batch_first=True))
    return _with_parts(held, unpacked)


def packed(held: Any) -> Any:
    """The same with what was laid out packed again."""
    if isinstance(held, Unpacked):
        return pack_padded_sequence(held[0], held[1].to("cpu"), batch_first=True, enforce_sorted=False)
    return _with_parts(held, packed)


def _unpacked_in(held: Any) -> Iterator[Unpacked]:
    if isinstance(held, Unpacked):
        yield held
    elif isinstance(held, Mapping):
        for each in held.values():
            yield from _unpacked_in(each)
    elif isinstance(held, (tuple, list)):
        for each in held:
            yield from _unpacked_in(each)


def any_packed(held: Any) -> bool:
    """Whether there is one that was laid out."""
    return any(True for _ in _unpacked_in(held))


def _with_parts(held: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(held, Mapping):
        return {name: change(each) for name, each in held.items()}
    if isinstance(held, (tuple, list)):
        parts = [change(each) for each in held]
        if hasattr(held, "_fields"):
            return type(held)(*parts)
        return parts if isinstance(held, list) else Unpacked(parts) if isinstance(held, Unpacked) else tuple(parts)
    return held


def leaves(held: Any) -> Iterator[Tensor]:
    """The tensors in tuples, lists and dicts, at any depth, in their order."""
    if isinstance(held, Tensor):
        yield held
    elif isinstance(held, Mapping):
        for each in held.values():
            yield from leaves(each)
    elif isinstance(held, (tuple, list)):
        for each in held:
            yield from leaves(each)


def mapped(held: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same with its tensors changed, at any depth of tuples, lists and dicts.

    >>> mapped({"x": [torch.ones(1), 3]}, lambda each: 2 * each)
    {'x': [tensor([2.]), 3]}
    """
    return change(held) if isinstance(held, Tensor) else _with_parts(held, partial(mapped, change=change))


def sample_axis(each: Tensor, count: int) -> int | None:
    """The axis of the samples: the first or the second; None: it has none.

    >>> sample_axis(torch.zeros(24, 32, 1), 32)
    1
    """
    return next((axis for axis in range(min(each.dim(), 2)) if each.shape[axis] == count), None)


def series_among(x: Any, count: int) -> Tensor:
    """The series among the inputs of so many samples: of the floating ones the first with the most axes, or the first.

    Raises:
        BadInput: no input has an entry for each sample.
    """
    found = [each for each in leaves(x) if sample_axis(each, count) is not None]
    if not found:
        raise BadInput("no input has one entry for each target")
    floats = [each for each in found if each.is_floating_point() and each.dim() > 1]
    return max(floats, key=lambda each: each.dim()) if floats else found[0]


def take(x: Any, numbers: Tensor, count: int) -> Any:
    """Some of so many samples, by their numbers."""

    def some(each: Tensor) -> Tensor:
        axis = sample_axis(each, count)
        return each if axis is None else each.index_select(axis, numbers.to(each.device))

    return mapped(x, some)


def _together(parts: list[Any], counts: list[int]) -> Any:
    first = parts[0]
    if isinstance(first, Tensor):
        axis = sample_axis(first, counts[0])
        return first if axis is None else _cat(parts, axis)
    if isinstance(first, Mapping):
        return {name: _together([each[name] for each in parts], counts) for name in first}
    if isinstance(first, (tuple, list)):
        joined = iter([_together(list(each), counts) for each in zip(*parts, strict=True)])
        return _with_parts(first, lambda _: next(joined))
    return first


def _cat(parts: list[Tensor], axis: int) -> Tensor:
    """One after another; where other axes differ in length, filled up with zeros."""
    sizes = [max(each.shape[at] for each in parts) for at in range(parts[0].dim())]
    filled = [each if _fits(each, sizes, axis) else _filled(each, sizes, axis) for each in parts]
    return torch.cat(filled, dim=axis)


def _fits(each: Tensor, sizes: list[int], axis: int) -> bool:
    return all(size == each.shape[at] for at, size in enumerate(sizes) if at != axis)


def _filled(each: Tensor, sizes: list[int], axis: int) -> Tensor:
    wanted = [each.shape[at] if at == axis else size for at, size in enumerate(sizes)]
    whole = each.new_zeros(wanted)
    whole[tuple(slice(0, size) for size in each.shape)] = each
    return whole
