"""TensorBoard's event file, written in the run folder without a thread of its own; no chart is worth a run."""

import logging
import os
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, final

from tensorboard.compat.proto.event_pb2 import Event, SessionLog, SourceMetadata
from tensorboard.summary.writer.record_writer import RecordWriter
from torch.utils.tensorboard.writer import FileWriter, SummaryWriter

from flatspot.errors import reason

log = logging.getLogger(__name__)

SECONDS: Final = 10.0
"""After these what was written is handed to the system with the next event, so that TensorBoard sees it."""


@final
class EventFile:
    """What a `FileWriter` writes to.

    TensorBoard's own has a thread, which ends with the first error; from then on each event raises, and the tenth waits
    for the thread forever. It also flushes by the wall clock, which somebody may set back. Here an event is written as
    it comes, and where one cannot be, that is said once, and the run goes on without.

    Args:
        folder: in which the file is made.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._records: RecordWriter | None = None
        self.lost = False
        self._flushed = time.monotonic()
        self._try(self._open)

    def get_logdir(self) -> str:
        """The folder."""
        return self._folder

    def add_event(self, event: Event) -> None:
        """Write an event."""
        held = self._records
        if held is not None:
            self._try(lambda: held.write(event.SerializeToString()))
        if time.monotonic() - self._flushed > SECONDS:
            self.flush()

    def flush(self) -> None:
        """Hand it to the system."""
        self._flushed = time.monotonic()
        if self._records is not None:
            self._try(self._records.flush)

    def close(self) -> None:
        """Hand it to the system, and let go of the file."""
        if self._records is not None:
            self._try(self._records.close)
        self._records = None

    def reopen(self) -> None:
        """Nothing: a new file is made where one is asked for again."""

    def _open(self) -> None:
        made = f"events.out.tfevents.{int(time.time()):010d}.{socket.gethostname()}.{os.getpid()}"
        taken = sum(1 for _ in Path(self._folder).glob(f"{made}.*"))
        file = (Path(self._folder) / f"{made}.{taken}").open("xb")
        self._records = RecordWriter(file)
        source = SourceMetadata(writer="flatspot")
        self.add_event(Event(wall_time=time.time(), file_version="brain.Event:2", source_metadata=source))
        self.flush()

    def _try(self, write: Callable[[], object]) -> None:
        try:
            write()
        except OSError as error:
            log.warning("TensorBoard's event file is no longer written, and the run goes on: %s", reason(error))
            held, self._records, self.lost = self._records, None, True
            with suppress(OSError):  # what it still holds cannot be written either
                if held is not None:
                    held.close()


@final
class _FileWriter(FileWriter):
    """Torch's, which makes events, before a file of ours."""

    def __init__(self, folder: str) -> None:
        self.event_writer = EventFile(folder)


@final
class Events(SummaryWriter):
    """Torch's SummaryWriter, writing into an `EventFile`.

    Args:
        folder: in which the file is made. begun: the optimizer steps of a run that goes on: TensorBoard passes over
            what older files say of later ones.
    """

    def __init__(self, folder: str, begun: int) -> None:
        super().__init__(folder)
        if begun:
            started = SessionLog(status=SessionLog.START)
            self._get_file_writer().add_event(Event(step=begun, session_log=started))

    def _get_file_writer(self) -> FileWriter:
        """Torch asks it for the file, and again after it was closed."""
        held: FileWriter | None = self.file_writer
        if held is None:
            before: _FileWriter | None = vars(self).get("_made")  # none yet where torch's constructor asks
            held = before if before is not None and before.event_writer.lost else _FileWriter(self.log_dir)
            vars(self).update(_made=held, file_writer=held, all_writers={self.log_dir: held})
        return held
