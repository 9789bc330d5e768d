"""Denormal numbers taken for zeros: states and gradients that die away make some CPUs many times slower.

The processor's flag is one thread's. torch's own threads have it from the thread that first gave them work, at that
moment, and keep it; a backward pass on a CPU runs in the thread that asked for it; a forked process inherits, a spawned
one does not (docs/layers.md). The fused engine sets it in its own threads, whatever this says.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import torch

log = logging.getLogger(__name__)

SHARED: Final = 2**18
"""Numbers enough for torch to give each of its threads some."""


@contextmanager
def flushed() -> Iterator[None]:
    """Denormals are zeros in this thread, and in those that it first gives work; afterwards in it as before.

    >>> with flushed():
    ...     flushes()
    True
    """
    before = flushes()
    torch.set_flush_denormal(True)
    try:
        if flushes() and not flushes(SHARED):
            log.info("torch's threads were at work before: they go on with denormals, and may be slow where states die")
        yield
    finally:
        torch.set_flush_denormal(before)


def flushes(numbers: int = 1) -> bool:
    """Whether denormals are zeros in this thread, or with many numbers in all that torch shares them among."""
    halved = torch.full((numbers,), torch.finfo(torch.float32).tiny) / 2
    return not halved.view(torch.int32).any()  # compared as numbers, they would be zeros again
