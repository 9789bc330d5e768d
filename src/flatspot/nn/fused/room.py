"""Room for what a layer keeps for its way back, used again by its next step.

Fresh memory can cost more than the arithmetic that fills it: the system hands it over page by page, each zeroed, and
takes it back when it is freed. So large arrays go back to the layer that took them, when the last tensor that uses them
is gone, and are freed when the layer does not want them again.
"""

import math
from itertools import count
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor

LEAST: Final = 1 << 18
"""Bytes from which on memory is kept; what is smaller the C library keeps itself."""

PATIENCE: Final = 64
"""Times that other room is taken, after which an array that was not wanted is freed."""


@final
class Room:
    """Large arrays of one layer that no tensor uses any more.

    There is no lock: memory may come back while some is taken, when Python collects garbage in between.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = 3) -> None:
        self.most = most
        self._free: dict[int, tuple[int, np.ndarray]] = {}  # when it came back, and what
        self._numbers = count()
        self._taken = 0

    def take(self, like: Tensor, *sizes: int) -> Tensor:
        """A tensor of these sizes, of the kind of another on a CPU, with anything in it."""
        self._taken += 1
        wanted = math.prod(sizes) * like.element_size()
        for number, (since, _) in list(self._free.items()):
            if self._taken - since > PATIENCE:
                self._free.pop(number, None)
        if wanted < LEAST:
            return like.new_empty(sizes)
        sized = [(each.nbytes, number) for number, (_, each) in list(self._free.items())]
        _, best = min((each for each in sized if wanted <= each[0] <= 2 * wanted), default=(0, -1))
        _, memory = self._free.pop(best, (0, None))
        lent: Any = np.asarray(_Lent(self, np.empty(wanted, np.uint8) if memory is None else memory))
        return torch.from_numpy(lent[:wanted]).view(like.dtype).view(sizes)

    def give_back(self, memory: np.ndarray) -> None:
        """No tensor uses it any more."""
        self._free[next(self._numbers)] = self._taken, memory
        for number in list(self._free)[: -self.most]:
            self._free.pop(number, None)

    def __deepcopy__(self, memo: object) -> "Room":
        return type(self)(self.most)

    def __reduce__(self) -> "tuple[type[Room], tuple[int]]":
        return type(self), (self.most,)


@final
class _Lent:
    """Memory as NumPy sees it, which goes back when nothing refers to it any more."""

    def __init__(self, room: Room, memory: np.ndarray) -> None:
        self._room, self._memory = room, memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        self._room.give_back(self._memory)
