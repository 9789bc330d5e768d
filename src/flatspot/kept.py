"""The files of a run folder: looked at before they are read (they may be a stranger's), written whole or not at all."""

import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

from flatspot.errors import BadInput, CannotWrite

MOST_BYTES: Final = 2**28
"""A file beyond this size is none of a run's, but for weights."""

HALF: Final = re.compile(r"\..+\.(json|jsonl|yaml|html|npz|ckpt|csv|parquet)\.\d+")
"""The name of a file that is being written: `beside`."""

SLACK: Final = 2**20
"""Bytes that files without compression may differ by from what they are unpacked to, beside twice their size."""


def own(folder: Path, name: str, most: int = MOST_BYTES) -> Path:
    """A file of the folder, whether or not it is there.

    Args:
        name: below the folder. most: bytes that it may have.

    Raises:
        BadInput: it is a link out of the folder (a stranger's way to have shown what lies elsewhere on this machine),
            no regular file, or too large.
    """
    path = folder / name
    if not path.exists():
        return path
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BadInput(f"{path}: is a link that leads out of the run folder; it is not followed")
    if not path.is_file():
        raise BadInput(f"{path}: is no regular file")
    if path.stat().st_size > most:
        raise BadInput(f"{path}: is larger than any that a run has written")
    return path


def refuse_inflated(path: Path, most: int | None = None) -> None:
    """Refuse an archive that unpacks to more bytes than it may; nothing is unpacked for it.

    Args:
        most: bytes; None: about as many as the file has, as of archives that are not compressed.

    Raises:
        ValueError: it does, or it is no regular file: a pipe would be waited for.
        OSError, BadZipFile: it cannot be read, or is no archive.
    """
    if path.exists() and not path.is_file():
        raise ValueError("it is no regular file")
    allowed = 2 * path.stat().st_size + SLACK if most is None else most
    with ZipFile(path) as held:
        if sum(each.file_size for each in held.infolist()) > allowed:
            raise ValueError("it unpacks to more than any that a run has written")


def refuse_expanded(held: Any) -> None:  # noqa: ANN401 - whatever a checkpoint holds
    """Refuse tensors that say that they are larger than what was kept of them: one number may stand for any many.

    Args:
        held: what a checkpoint held, tables and lists within each other.

    Raises:
        ValueError: there is one.
    """
    if isinstance(held, Mapping):
        for each in held.values():
            refuse_expanded(each)
    elif isinstance(held, (list, tuple, set, frozenset)):
        for each in held:
            refuse_expanded(each)
    elif hasattr(held, "untyped_storage") and held.numel() * held.element_size() > held.untyped_storage().nbytes():
        raise ValueError(f"a tensor of {tuple(held.shape)} is larger than what was kept of it")


def beside(path: Path) -> Path:
    """Where a file is written before it takes its place; a name for each process."""
    return path.with_name(f".{path.name}.{os.getpid()}")


def clear_halves(folder: Path) -> None:
    """Remove what killed processes have left half written in a folder that no other process is at."""
    for each in folder.glob(".*"):
        if HALF.fullmatch(each.name) and each.is_file():
            each.unlink(missing_ok=True)


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a reader, or a crash, meets the old one or the new one and nothing between.

    Args:
        write: writes a file at the path that it is given.

    Raises:
        CannotWrite: naming the file, which is as it was.
    """
    half = beside(path)
    try:
        write(half)
        half.replace(path)
    except BaseException as error:
        with suppress(OSError):
            half.unlink(missing_ok=True)
        told = CannotWrite.of(path, error) if isinstance(error, Exception) else None
        if told is None:
            raise
        raise told from error
