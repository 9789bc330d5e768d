"""How the time steps of a batch follow one another, for a kernel: one length, or packed; forwards or from the end."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import final

import numpy as np
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
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
    before: Tensor | None
    last: Tensor | None

    @cached_property
    def addresses(self) -> tuple[int, ...]:
        """Of the arrays."""
        return tuple(each.ctypes.data for each in self.arrays)

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


@lru_cache(maxsize=256)  # made of NumPy's arrays: a tensor that is made under torch.func could not be used again
def steps_of(sizes: tuple[int, ...], *, backwards: bool) -> Steps:
    """The steps of a batch with so many sequences at each time step, of which there are no more later on.

    >>> steps = steps_of((2, 1), backwards=False)
    >>> [each.tolist() for each in steps.arrays], steps.before.tolist(), steps.last.tolist()
    ([[0, 2], [2, 1], [0, 0], [0, 1]], [3, 4, 0], [2, 1])
    """
    taken = np.array(sizes[::-1] if backwards else sizes, dtype=np.int64)
    firsts = np.array([0, *accumulate(sizes)][:-1], dtype=np.int64)
    first = np.ascontiguousarray(firsts[::-1]) if backwards else firsts
    before = np.concatenate([np.zeros(1, np.int64), first[:-1]])
    has_before = np.minimum(np.concatenate([np.zeros(1, np.int64), taken[:-1]]), taken)
    arrays = (first, taken, before, has_before)
    if sizes[0] == sizes[-1]:
        return Steps(sizes, backwards, arrays, None, None)
    rows, place = sum(sizes), np.zeros(sum(sizes), np.int64)
    last = np.zeros(sizes[0], np.int64)
    for start, held, start_before, held_before in zip(*(each.tolist() for each in arrays), strict=True):
        place[start : start + held_before] = np.arange(start_before, start_before + held_before)
        place[start + held_before : start + held] = rows + np.arange(held_before, held)
        last[:held] = np.arange(start, start + held)
    return Steps(sizes, backwards, arrays, torch.from_numpy(place), torch.from_numpy(last))
