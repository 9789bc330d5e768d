"""How the time steps of a batch follow one another, for a kernel: one length, or packed; forwards or from the end."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True)
class Steps:
    """The steps of a batch in the order in which they are taken.

    Rows are of all sequences, one time step after another, the longest sequences first.

    Args:
        sizes: sequences at each time step, from the first step on. backwards: whether they are read from their ends.
        arrays: for each step taken: its first row, its sequences, the first row of the step before it, and how many of
            its sequences have one there. int64 `[step]`.
        before: the row before each row, `[row]`; for a sequence's first step `rows` and the number of the sequence.
            None where that is a shift by the batch.
        last: the row of each sequence's last step taken, `[sequence]`; None where they stand together.
    """

    sizes: tuple[int, ...]
    backwards: bool
    arrays: tuple[Tensor, Tensor, Tensor, Tensor]
    before: Tensor | None
    last: Tensor | None

    @cached_property
    def addresses(self) -> tuple[int, ...]:
        """Of the arrays."""
        return tuple(each.data_ptr() for each in self.arrays)

    @property
    def count(self) -> int:
        """Time steps."""
        return len(self.sizes)

    @property
    def samples(self) -> int:
        """Sequences."""
        return self.sizes[0]

    @cached_property
    def rows(self) -> int:
        """Of all sequences together."""
        return sum(self.sizes)


@final
@dataclass(frozen=True)
class Stretch:
    """Some of the steps taken, one after another: which, and the rows that are theirs, each `[start, stop)`."""

    steps: tuple[int, int]
    rows: tuple[int, int]


@lru_cache(maxsize=256)
def stretches(sizes: tuple[int, ...], *, backwards: bool, most: int) -> list[Stretch]:
    """All steps in the order in which they are taken, in stretches of so many rows at most, or of one step.

    >>> stretches((3, 2, 2, 1), backwards=False, most=5)
    [Stretch(steps=(0, 2), rows=(0, 5)), Stretch(steps=(2, 4), rows=(5, 8))]
    """
    found, start, held = [], 0, 0
    taken = sizes[::-1] if backwards else sizes
    for step, size in enumerate(taken):
        if step > start and held + size > most:
            found.append((start, step, held))
            start, held = step, 0
        held += size
    found.append((start, len(sizes), held))
    edges, done = [], 0
    for first, last, rows in found:
        span = (sum(sizes) - done - rows, sum(sizes) - done) if backwards else (done, done + rows)
        edges.append(Stretch((first, last), span))
        done += rows
    return edges


@lru_cache(maxsize=256)
def steps_of(sizes: tuple[int, ...], *, backwards: bool) -> Steps:
    """The steps of a batch with so many sequences at each time step, of which there are no more later on.

    >>> steps = steps_of((2, 1), backwards=False)
    >>> [each.tolist() for each in steps.arrays], steps.before.tolist(), steps.last.tolist()
    ([[0, 2], [2, 1], [0, 0], [0, 1]], [3, 4, 0], [2, 1])
    """
    count = len(sizes)
    firsts = [0, *accumulate(sizes)][:-1]
    order = range(count)[::-1] if backwards else range(count)
    size, first = torch.tensor([sizes[time] for time in order]), torch.tensor([firsts[time] for time in order])
    before = torch.cat([first.new_zeros(1), first[:-1]])
    has_before = torch.minimum(torch.cat([size.new_zeros(1), size[:-1]]), size)
    arrays = (first, size, before, has_before)
    if sizes[0] == sizes[-1]:
        return Steps(sizes, backwards, arrays, None, None)
    rows, place = sum(sizes), torch.zeros(sum(sizes), dtype=torch.int64)
    last = torch.zeros(sizes[0], dtype=torch.int64)
    for start, held, start_before, held_before in zip(*(each.tolist() for each in arrays), strict=True):
        place[start : start + held_before] = torch.arange(start_before, start_before + held_before)
        place[start + held_before : start + held] = rows + torch.arange(held_before, held)
        last[:held] = torch.arange(start, start + held)
    return Steps(sizes, backwards, arrays, place, last)
