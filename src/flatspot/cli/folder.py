"""The files of a run folder, each written whole or not at all."""

import json
import logging
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Literal

import flatspot
from flatspot.errors import BadInput, CannotWrite, reason
from flatspot.kept import write_whole

log = logging.getLogger(__name__)

State = Literal["running", "done", "failed"]

STOPPED: Final = "stopped (SIGTERM)"

PATIENCE: Final = 2.0
"""Seconds that a process waits for one that is about to end."""

FAILED: Final = 3
"""The exit code of what went wrong by no fault of what was given."""

SIGTERM_CODE: Final = 143

INTERRUPTED: Final = ("interrupted", STOPPED)
"""Why a run ended that did not fail by itself."""


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, meets the old one or the new one and nothing between."""
    write_whole(path, lambda half: half.write_text(text, encoding="utf-8"))


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write JSON that any reader takes: no NaN, no infinity."""
    write_text(path, json.dumps(content, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def shown(folder: Path) -> str:
    """The folder as one would type it from here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def first_process() -> bool:
    """Whether this is the process that writes; Lightning numbers those that it starts."""
    return os.environ.get("LOCAL_RANK", "0") == "0" and os.environ.get("NODE_RANK", "0") == "0"


def write_status(folder: Path, state: State, why: str | None = None) -> None:
    """Write `status.json`: running, done, or failed and why. Only the first process of a run does."""
    if first_process():
        said = {"status": state} | ({"why": why} if why else {})
        write_json(folder / "status.json", {**said, "flatspot": flatspot.__version__})


def record_failure(folder: Path, error: BaseException) -> None:
    """Into the folder, not onto the screen: that is for the command to say, once.

    What cannot be written there, on a full disk or into a folder that is gone, must not stand for what went wrong.
    """
    why = STOPPED if isinstance(error, SystemExit) and error.code == SIGTERM_CODE else reason(error)
    with suppress(CannotWrite):
        write_status(folder, "failed", why)
    text = why if isinstance(error, BadInput) else "".join(traceback.format_exception(error))
    record = log.makeRecord(log.name, logging.ERROR, __file__, 0, text, (), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(record)


def end_at_sigterm() -> Any:  # noqa: ANN401 - as `signal` has it
    """A scheduler must not take a killed run for a done one.

    Returns:
        What was done at the signal before; None: this thread hears no signals.
    """
    if threading.current_thread() is not threading.main_thread():
        return None
    return signal.signal(signal.SIGTERM, _end)


def _end(*_: object) -> None:
    sys.exit(SIGTERM_CODE)


@contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Inside, no other process runs a job in the folder; one that is killed lets go of it.

    Raises:
        BadInput: another one does.
    """
    if not first_process():
        yield
        return
    from filelock import FileLock, Timeout  # a quarter of what `--help` takes

    lock = FileLock(folder / ".lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise BadInput(f"{shown(folder)}: another process is at this run") from None
    except (OSError, NotImplementedError):  # a file system without locks: as it was before there were any
        yield
        return
    try:
        yield
    finally:
        lock.release()
