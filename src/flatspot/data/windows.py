"""Windows over one tensor: nothing is copied until a batch is gathered, by index, in one go."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar, final

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_sequence
from torch.utils.data import Dataset, Sampler

CHUNK: Final = 2**16
"""Numbers of windows that are handed out together."""

T = TypeVar("T")
Batch = tuple[Tensor, ...]


@final
@dataclass(frozen=True)
class Runs:
    """The rows where windows start: stretches of evenly spaced rows.

    Args:
        firsts: the first row of each stretch, rising. counts: windows in it. stride: rows between two of them.
    """

    firsts: NDArray[np.int64]
    counts: NDArray[np.int64]
    stride: int = 1

    def __len__(self) -> int:
        return int(self.counts.sum())

    def starts(self) -> NDArray[np.int64]:
        """The row where each window starts, `[window]`."""
        before = self.counts.cumsum() - self.counts
        within = np.arange(len(self)) - np.repeat(before, self.counts)
        return np.repeat(self.firsts, self.counts) + within * self.stride


def runs_between(
    lows: NDArray[np.int64], highs: NDArray[np.int64], stride: int, allowed: NDArray[np.bool_] | None = None
) -> Runs:
    """Every `stride`-th row from each low up to and with its high.

    Args:
        allowed: whether a window may start at a row; None: at any.
    """
    counts = np.maximum((highs - lows) // stride + 1, 0)
    runs = Runs(lows[counts > 0], counts[counts > 0], stride)
    if allowed is None or not len(runs):
        return runs
    starts = runs.starts()
    starts = starts[allowed[starts]]
    cuts = np.flatnonzero(np.diff(starts) != stride) + 1
    firsts = np.concatenate([[0], cuts]) if len(starts) else cuts
    return Runs(starts[firsts], np.diff(np.append(firsts, len(starts))), stride)


@final
class Windows(Dataset[Batch]):
    """Pairs of an input window and what is to be said of it: the steps that follow, or the label of its last row.

    Args:
        inputs: `[row, channel]`, scaled; shared by all splits, never copied.
        targets: `[row, target]`, scaled; or labels `[row]`. The same rows.
        window: L, the steps of an input. horizon: H, the steps predicted; 0: the label of the window's last row.
        runs: the rows where windows start.
        only: numbers of the windows to serve, again and again until the length is that of all; None: all of them.
        series: where to tell them apart, the first row of each series: a batch then has a third part, the number of
            each window's series.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "row channel"],
        targets: Shaped[Tensor, "row *target"],
        *,
        window: int,
        horizon: int,
        runs: Runs,
        only: Int[Tensor, " window"] | None = None,
        series: Int[Tensor, " series"] | None = None,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.window = window
        self.horizon = horizon
        self.runs = runs
        self._only = only
        self._series = series
        self._ends = torch.from_numpy(runs.counts.cumsum())
        # What is added to a window's number, times the stride, for the row where it starts.
        self._shifts = torch.from_numpy(runs.firsts - (runs.counts.cumsum() - runs.counts) * runs.stride)
        # Overlapping views of every stretch of rows: to pick some copies each in one go, and nothing else.
        self._inputs = _stretches(inputs, window)
        self._targets = _stretches(targets, horizon) if horizon else targets

    def __len__(self) -> int:
        return len(self.runs)

    def __getitem__(self, index: int) -> Batch:
        return tuple(part[0] for part in self.__getitems__([range(len(self))[index]]))

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch at once: x `[batch, window, channel]`, y `[batch, horizon, target]` or labels `[batch]`."""
        first = self.starts(torch.from_numpy(np.asarray(indices)))  # NumPy reads a list ten times faster than torch
        x = self._inputs.index_select(0, first)
        y = self._targets.index_select(0, first + (self.window if self.horizon else self.window - 1))
        return (x, y) if self._series is None else (x, y, self.series_of(first, self._series))

    def starts(self, numbers: Int[Tensor, " batch"]) -> Int[Tensor, " batch"]:
        """The row where each window of these numbers starts."""
        if self._only is not None:
            numbers = self._only[numbers % len(self._only)]
        if len(self._ends) == 1 and self.runs.stride == 1:
            return numbers + self._shifts
        return numbers * self.runs.stride + self._shifts[torch.searchsorted(self._ends, numbers, right=True)]

    @staticmethod
    def series_of(rows: Int[Tensor, " batch"], firsts: Int[Tensor, " series"]) -> Int[Tensor, " batch"]:
        """The number of each row's series."""
        return torch.searchsorted(firsts, rows, right=True) - 1


def _stretches(rows: Tensor, length: int) -> Tensor:
    """Every stretch of so many rows, `[row, length, ...]`: a view, which copies nothing."""
    shape, strides = rows.shape[1:], rows.stride()
    count = max(len(rows) - length + 1, 0)
    return rows.as_strided((count, length, *shape), (strides[0], *strides), rows.storage_offset())


@final
class Sequences(Dataset[tuple[PackedSequence, Tensor]]):
    """Whole series of unequal length, each with a label: x a packed batch, y `[batch]` or `[batch, 1, target]`.

    Args:
        inputs: `[row, channel]`, scaled. labels: of all series, `[series, *target]`.
        firsts, lengths: of the series to serve: the rows that are read. numbers: which of all series each is.
        only: as `Windows` has it.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "row channel"],
        labels: Shaped[Tensor, "series *target"],
        *,
        firsts: NDArray[np.int64],
        lengths: NDArray[np.int64],
        numbers: NDArray[np.int64],
        only: Int[Tensor, " window"] | None = None,
    ) -> None:
        self.inputs = inputs
        self.labels = labels
        self.numbers = torch.from_numpy(numbers)
        self._firsts, self._lengths = firsts, lengths
        self._only = only

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> tuple[PackedSequence, Tensor]:
        x, y = self.__getitems__([range(len(self))[index]])
        return x, y[0]

    def __getitems__(self, indices: Sequence[int]) -> tuple[PackedSequence, Tensor]:
        """A whole batch at once."""
        numbers = torch.from_numpy(np.asarray(indices))
        if self._only is not None:
            numbers = self._only[numbers % len(self._only)]
        spans = ((int(self._firsts[each]), int(self._lengths[each])) for each in numbers.tolist())
        rows = [self.inputs[first : first + length] for first, length in spans]
        return pack_sequence(rows, enforce_sorted=False), self.labels[self.numbers[numbers]]


def as_is(batch: T) -> T:
    """Collate nothing: `__getitems__` has already built the batch."""
    return batch


@final
class EpochSampler(Sampler[int]):
    """The order of epoch e, derived from (seed, e) alone; shared out over processes.

    Lightning calls `set_epoch`. Where processes share an epoch, each takes every `world_size`-th index. A
    shuffled epoch is cut so that all have equally many (DDP needs equal steps); an unshuffled one is neither
    padded nor cut, so that every sample is counted once.
    """

    def __init__(self, size: int, *, seed: int, shuffle: bool, rank: int = 0, world_size: int = 1) -> None:
        self.size = size
        self.seed = seed
        self.shuffle = shuffle
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch's order comes next."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._own_positions())

    def __iter__(self) -> Iterator[int]:
        if not self.shuffle:
            return iter(self._own_positions())
        kind = torch.int32 if self.size < 2**31 else torch.int64  # the same order in half the memory
        order = torch.randperm(self.size, generator=epoch_generator(self.seed, self.epoch), dtype=kind)
        own = order[self.rank : self.size - self.size % self.world_size : self.world_size]
        # A long epoch's order as Python's numbers would take more memory than its rows.
        return (number for chunk in torch.split(own, CHUNK) for number in chunk.tolist())

    def _own_positions(self) -> range:
        end = self.size - self.size % self.world_size if self.shuffle else self.size
        return range(self.rank, end, self.world_size)


def epoch_generator(seed: int, epoch: int) -> torch.Generator:
    """A generator for epoch e of a run with this seed: neighbouring seeds and epochs share no stream."""
    return torch.Generator().manual_seed(epoch_seed(seed, epoch))


def epoch_seed(seed: int, epoch: int, rank: int = 0) -> int:
    """A 63-bit seed from (seed, epoch, rank), the same in every process and on every machine.

    Mixed by NumPy's SeedSequence (O'Neill 2015), so that (0, 1) and (1, 0) have nothing in common.
    """
    mixed = np.random.SeedSequence([seed, epoch, rank]).generate_state(1, np.uint64)
    return int(mixed[0] >> np.uint64(1))
