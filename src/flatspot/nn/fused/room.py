"""Room for what a layer keeps for its way back, used again by its next step.

Fresh memory can cost more than the arithmetic that fills it: the system hands it over page by page, each zeroed, and
takes it back when it is freed. So large arrays go back to the layer that took them, when the last tensor that uses them
is gone.
"""

import math
import threading
from typing import Any, Final, final

import numpy as np
import torch
from torch import Tensor

LEAST: Final = 1 << 18
"""Bytes from which on memory is kept; what is smaller the C library keeps itself."""


@final
class Room:
    """Large arrays of one layer that no tensor uses any more.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int = 3) -> None:
        self.most = most
        self._free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, like: Tensor, *sizes: int) -> Tensor:
        """A tensor of these sizes, of the kind of another on a CPU, with anything in it."""
        wanted = math.prod(sizes) * like.element_size()
        if wanted < LEAST:
            return like.new_empty(sizes)
        with self._lock:
            fitting = [place for place, each in enumerate(self._free) if wanted <= each.nbytes <= 2 * wanted]
            best = min(fitting, key=lambda place: self._free[place].nbytes, default=None)
            memory = np.empty(wanted, np.uint8) if best is None else self._free.pop(best)
        lent: Any = np.asarray(_Lent(self, memory))[:wanted]
        return torch.from_numpy(lent).view(like.dtype).view(sizes)

    def give_back(self, memory: np.ndarray) -> None:
        """No tensor uses it any more."""
        with self._lock:
            self._free.append(memory)
            del self._free[: -self.most]

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
