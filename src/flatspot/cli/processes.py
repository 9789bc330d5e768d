"""The processes that train one network together: where one of them ends, the others say so and end too.

Lightning's own watch kills the first process without a word, up to five seconds after another one has ended, also where
that one had nothing left to do; and nobody tells the others of the first one's end. gloo's connections break at the
next exchange, those of NCCL wait for minutes.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen
from typing import TYPE_CHECKING, Any, Final

from flatspot.cli.folder import FAILED, first_process, record_failure
from flatspot.cli.terminal import painted
from flatspot.errors import ProcessLost

if TYPE_CHECKING:
    from lightning import Trainer

EVERY: Final = 0.5
"""Seconds between two looks."""

HANGS: Final = 10.0
"""Seconds after which a process that has not noticed by itself is ended: it waits for what never comes."""

TO_WRITE: Final = 5.0
"""Seconds that such a process has to write down why."""

OBSERVER: Final = "child-process-observer"
"""What Lightning calls the thread that watches the processes that it has begun."""

FIRST: Final = "FLATSPOT_FIRST_PROCESS"
"""The variable that tells those that the first process begins its number: it may be gone before they look."""

EXCHANGE: Final = ("gloo", "nccl", "connection closed by peer", "connection reset by peer", "broken pipe")
"""Words in the error of an exchange with a process that is no more."""


def follow_first(folder: Path) -> None:
    """From now on, in a process that the first one has begun: end where that one does, already while importing."""
    if not first_process() and FIRST in os.environ:
        _Watch(folder, None, int(os.environ[FIRST])).start()


@contextmanager
def watched(trainer: "Trainer", folder: Path) -> Iterator[None]:
    """Inside, where another process of the run ends, this one does too, within seconds; outside it is by itself.

    Args:
        folder: of the run.

    Raises:
        ProcessLost: naming the one that has ended, where an exchange with it has failed. A process that waits for it
            and hears nothing writes down why, and leaves with the exit code of a failure.
    """
    if trainer.world_size == 1:
        yield
        return
    watch = _Watch(folder, trainer, int(os.environ.get(FIRST, os.getppid())))
    if trainer.is_global_zero:
        os.environ[FIRST] = str(os.getpid())
    watch.start()
    try:
        yield
    except BaseException as error:
        lost = watch.lost() if _of_an_exchange(error) else None
        watch.end_others()
        if lost is None:
            raise
        raise lost from error
    finally:
        watch.end()
        if trainer.is_global_zero:
            os.environ.pop(FIRST, None)


def _of_an_exchange(error: BaseException) -> bool:
    """Whether it is what one meets where another process has ended; any other error is this one's own."""
    from torch.distributed import DistError

    told = str(error).lower()
    return isinstance(error, DistError) or (isinstance(error, RuntimeError) and any(each in told for each in EXCHANGE))


class _Watch(threading.Thread):
    """Looks at the processes that this one has begun, or at the one that has begun it.

    Args:
        folder: of the run. trainer: whose launcher begins others; None: there is none yet.
        parent: the process that has begun this one.
    """

    def __init__(self, folder: Path, trainer: "Trainer | None", parent: int) -> None:
        super().__init__(daemon=True, name="flatspot-processes")
        self._folder, self._trainer, self._parent = folder, trainer, parent
        self._first = first_process() if trainer is None else bool(trainer.is_global_zero)
        self._begun: list[Popen[bytes]] = []
        self._over, self._seen = threading.Event(), threading.Event()
        self._leaving = threading.Lock()
        self._lost: ProcessLost | None = None

    def run(self) -> None:
        """Until one has ended, or it is no matter any more."""
        while not self._over.wait(EVERY):
            self._take_over()
            who = self._who_ended()
            if who is not None:
                self._lost = ProcessLost(f"{who}; this one stops too{self._where_to_go_on()}")
                self._seen.set()
                self._over.wait(HANGS)
                with self._leaving:
                    if not self._over.is_set():
                        self._leave(self._lost)
                return

    def end(self) -> None:
        """It is no matter any more: after this nothing is ended."""
        with self._leaving:
            self._over.set()

    def lost(self) -> ProcessLost | None:
        """What became of another one, where an exchange with it has just failed; None: that was not why."""
        return self._lost if self._seen.wait(HANGS - 2 * EVERY) else None

    def end_others(self) -> None:
        """This one fails: nobody is to wait for it."""
        for each in {*self._begun, *self._of_launcher()}:
            each.kill()

    def _of_launcher(self) -> list[Popen[bytes]]:
        launcher: Any = None if self._trainer is None else self._trainer.strategy.launcher
        return getattr(launcher, "procs", [])

    def _take_over(self) -> None:
        """Lightning's watch is left without anyone to watch; the list that it was given is ours from now on."""
        theirs = self._of_launcher()
        if not self._begun and theirs and any(each.name == OBSERVER for each in threading.enumerate()):
            assert self._trainer is not None  # noqa: S101 - whose launcher it is
            launcher: Any = self._trainer.strategy.launcher
            self._begun = launcher.procs = list(theirs)
            theirs.clear()

    def _who_ended(self) -> str | None:
        for number, each in enumerate(self._begun, start=2):
            if code := each.poll():
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                return f"process {number} of {len(self._begun) + 1} {how}"
        orphaned = not self._first and os.getppid() != self._parent
        return "the first process of the run has ended" if orphaned else None

    def _where_to_go_on(self) -> str:
        kept = (self._folder / "checkpoints" / "last.ckpt").exists()
        return ", and resume= goes on from the last epoch that was kept" * kept

    def _leave(self, error: ProcessLost) -> None:
        """From a thread, for the main one waits in a library, perhaps with the lock of a log."""
        try:
            self.end_others()
            writing = threading.Thread(target=record_failure, args=(self._folder, error), daemon=True)
            writing.start()
            writing.join(TO_WRITE)
            with suppress(OSError, ValueError):  # of a pipe that nobody reads any more
                print(painted(f"error: {error}", sys.stderr), file=sys.stderr, flush=True)  # noqa: T201 - whoever is left
        finally:
            os._exit(FAILED)
