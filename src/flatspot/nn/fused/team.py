"""Threads that run a kernel together: torch's own, if its OpenMP library is GNU's, else some of ours.

Threads of OpenMP that have nothing to do keep their core busy for a while, waiting for more; others would have to share
it with them. And torch's are waiting already, so that they begin at once.
"""

import contextlib
import ctypes
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, Final

import torch

NAMES: Final = ("libgomp.so.1", "libgomp*.so*")
"""Of GNU's OpenMP library: its own, and files beside torch."""


def together(function: int, argument: int, threads: int) -> None:
    """Run a function in so many threads at once, this one among them, and wait for all.

    Args:
        function, argument: addresses. It is called with the argument by every thread, or by fewer if there are fewer.
        threads: at least one.
    """
    parallel = _parallel() if threads > 1 and _of_this_process() else None
    if parallel is not None:
        parallel(function, argument, threads, 0)
        return
    call = _callable(function)
    started = [_helpers(os.getpid(), threads - 1).submit(call, argument) for _ in range(threads - 1)]
    call(argument)
    for each in started:
        each.result()


@cache
def _parallel() -> Callable[[int, int, int, int], None] | None:
    """What OpenMP begins a parallel region with, of the library that torch has loaded; None: there is none."""
    if not hasattr(os, "RTLD_NOLOAD"):
        return None
    beside = sorted(Path(torch.__file__).parent.glob(f"lib/{NAMES[1]}"))
    for name in (NAMES[0], *map(str, beside)):
        with contextlib.suppress(OSError, AttributeError):
            found: Any = ctypes.CDLL(name, mode=os.RTLD_NOLOAD).GOMP_parallel
            found.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint)
            found.restype = None
            return found  # type: ignore[no-any-return]
    return None


def _of_this_process() -> bool:
    """Whether threads of OpenMP can be had: a process that was forked has lost them, and would wait for ever."""
    forked = multiprocessing.parent_process() is not None and multiprocessing.get_start_method(True) != "spawn"
    return not forked and _first_process() == os.getpid()


@cache
def _first_process() -> int:
    return os.getpid()


_ = _first_process()


@lru_cache(maxsize=4096)
def _callable(function: int) -> Callable[[int], None]:
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(function)


@lru_cache(maxsize=1)
def _helpers(process: int, count: int) -> ThreadPoolExecutor:  # noqa: ARG001 - a forked process has none of its parent's
    return ThreadPoolExecutor(count, thread_name_prefix="flatspot-fused")
