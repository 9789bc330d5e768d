"""Windows over one tensor: nothing is copied until a batch is gathered, by index, in one go."""

from collections.abc import Iterator, Sequence
from typing import TypeVar, final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.utils.data import Dataset, Sampler

T = TypeVar("T")
Batch = tuple[Tensor, Tensor]


@final
class Windows(Dataset[Batch]):
    """Pairs of an input window and the steps that follow it.

    Args:
        inputs: `[time, channel]`, scaled; shared by all splits, never copied.
        targets: `[time, target]`, scaled; the same rows.
        window: L, the steps of the input. horizon: H, the steps predicted.
        rows: the half-open range of rows that targets may come from. Inputs may reach back before it: the
            past is known when a forecast is made.
        only: numbers of the windows to serve, again and again until the length is that of all; None: all of them.
    """

    def __init__(
        self,
        inputs: Float[Tensor, "time channel"],
        targets: Float[Tensor, "time target"],
        *,
        window: int,
        horizon: int,
        rows: range,
        only: Int[Tensor, " window"] | None = None,
    ) -> None:
        self.inputs = inputs
        self.targets = targets
        self.window = window
        self.horizon = horizon
        self.starts = range(max(rows.start - window, 0), rows.stop - window - horizon + 1)
        self._only = only
        self._input_steps = torch.arange(window)
        self._target_steps = torch.arange(window, window + horizon)

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, index: int) -> Batch:
        x, y = self.__getitems__([range(len(self))[index]])
        return x[0], y[0]

    def __getitems__(self, indices: Sequence[int]) -> Batch:
        """A whole batch at once: x `[batch, window, channel]`, y `[batch, horizon, target]`."""
        numbers = torch.as_tensor(indices)
        if self._only is not None:
            numbers = self._only[numbers % len(self._only)]
        first = numbers.unsqueeze(1) + self.starts.start
        return self.inputs[first + self._input_steps], self.targets[first + self._target_steps]


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
        order = torch.randperm(self.size, generator=epoch_generator(self.seed, self.epoch)).tolist()
        return (order[position] for position in self._own_positions())

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
