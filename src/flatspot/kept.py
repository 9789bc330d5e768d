"""What lies in a run folder may be a stranger's: looked at before anything of it is read."""

from pathlib import Path
from typing import Final
from zipfile import ZipFile

from flatspot.errors import BadInput

MOST_BYTES: Final = 2**28
"""A file beyond this size is none of a run's, but for weights."""

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
        ValueError: it does.
        OSError, BadZipFile: it cannot be read, or is no archive.
    """
    allowed = 2 * path.stat().st_size + SLACK if most is None else most
    with ZipFile(path) as held:
        if sum(each.file_size for each in held.infolist()) > allowed:
            raise ValueError("it unpacks to more than any that a run has written")
