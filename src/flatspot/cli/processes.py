"""The processes that train one network together: where one of them ends, the others say so and end too.

Lightning's own watch kills the first process without a word, up to five seconds after another one has ended, also where
that one had nothing left to do; and nobody tells the others of the first one's end. gloo's connections break at the
next exchange, those of NCCL wait for minutes.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import Popen
from typing import Any, Final

from lightning import Trainer

from flatspot.cli.folder import FAILED, PATIENCE, record_failure
from flatspot.cli.terminal import painted
from flatspot.errors import ProcessLost

EVERY: Final = 0.5
"""Seconds between two looks."""

HANGS: Final = 10.0
"""Seconds after which a process that has not noticed by itself is ended: it waits for what never comes."""

OBSERVER: Final = "child-process-observer"
"""What Lightning calls the thread that watches the processes that it has begun."""


@contextmanager
def watched(trainer: Trainer, folder: Path) -> Iterator[None]:
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
    watch = _Watch(trainer, folder)
    watch.start()
    try:
        yield
    except BaseException as error:
        lost = watch.lost() if isinstance(error, RuntimeError) else None
        watch.end_others()
        if lost is None:
            raise
        raise lost from error
    finally:
        watch.over.set()


class _Watch(threading.Thread):
    """Looks at the processes that this one has begun, or at the one that has begun it."""

    def __init__(self, trainer: Trainer, folder: Path) -> None:
        super().__init__(daemon=True, name="flatspot-processes")
        self.over = threading.Event()
        self._trainer, self._folder = trainer, folder
        self._parent = os.getppid()
        self._begun: list[Popen[bytes]] = []
        self._seen = threading.Event()
        self._lost: ProcessLost | None = None

    def run(self) -> None:
        """Until one has ended, or it is no matter any more."""
        while not self.over.wait(EVERY):
            self._take_over()
            who = self._who_ended()
            if who is not None:
                self._lost = ProcessLost(f"{who}; this one stops too{self._where_to_go_on()}")
                self._seen.set()
                if not self.over.wait(HANGS):
                    self._leave(self._lost)
                return

    def lost(self) -> ProcessLost | None:
        """What became of another one, where an exchange with it has just failed; None: that was not why."""
        return self._lost if self._seen.wait(PATIENCE) else None

    def end_others(self) -> None:
        """This one fails: nobody is to wait for it."""
        for each in self._begun:
            each.kill()

    def _take_over(self) -> None:
        """Lightning's watch is left without anyone to watch; the list that it was given is ours from now on."""
        launcher: Any = self._trainer.strategy.launcher
        theirs: list[Popen[bytes]] = getattr(launcher, "procs", [])
        if not self._begun and theirs and any(each.name == OBSERVER for each in threading.enumerate()):
            self._begun = launcher.procs = list(theirs)
            theirs.clear()

    def _who_ended(self) -> str | None:
        if not self._trainer.is_global_zero:
            return None if os.getppid() == self._parent else "the first process of the run has ended"
        for number, each in enumerate(self._begun, start=2):
            if code := each.poll():
                how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                return f"process {number} of {self._trainer.world_size} {how}"
        return None

    def _where_to_go_on(self) -> str:
        kept = any((self._folder / "checkpoints").glob("last.ckpt"))
        return ", and resume= goes on from the last epoch that was kept" * kept

    def _leave(self, error: ProcessLost) -> None:
        """From a thread, for the main one waits in a library."""
        self.end_others()
        record_failure(self._folder, error)
        print(painted(f"error: {error}", sys.stderr), file=sys.stderr, flush=True)  # noqa: T201 - whoever is left
        os._exit(FAILED)
