"""What a batch needs, held against what the machine has."""

import os
from typing import Final

from flatspot.errors import BadInput

BYTES: Final = 4
"""Of a float32."""


def refuse_large_batch(batch_size: int, windows: int, numbers_each: int, keys: str) -> None:
    """Refuse windows of which one batch alone would not fit in memory.

    Args:
        windows: how many there are. numbers_each: of the inputs and targets of one. keys: what makes them large.

    Raises:
        BadInput: with the gigabytes needed and those of the machine.
    """
    needed, there = min(batch_size, windows) * numbers_each * BYTES, memory()
    if there is not None and needed > there:
        raise BadInput(f"{keys}: one batch needs {needed / 1e9:,.1f} GB, and this machine has {there / 1e9:,.1f} GB")


def memory() -> int | None:
    """Bytes of this machine's memory; None where it does not say."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # Windows
        return None
