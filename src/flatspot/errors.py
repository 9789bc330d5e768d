"""What goes wrong by the user's hand: one sentence, no traceback."""

import errno
import re
from typing import Final

BETWEEN: Final = "\n  "
"""Between the faults of one file."""

UNSHOWABLE: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Control characters but for tabs and the ends of lines, and those that turn a text around: a terminal obeys them."""


class BadInput(Exception):  # noqa: N818 - it names what is wrong, as the reader meets it
    """Something that the user gave cannot be used: a file, a cell, a key, a value.

    The message is one sentence that names it, on one line: what does not print in the user's own words (a line break
    in a cell, a control character) is written as Python escapes it. Of a file with several faults each has a line. The
    command line prints it and exits with 2.
    """

    def __init__(self, message: str, *more: str) -> None:
        """With the sentence, and those of further faults."""
        super().__init__(BETWEEN.join(map(_printable, (message, *more))))

    def __reduce__(self) -> tuple[type["BadInput"], tuple[str, ...]]:
        """For another process."""
        return type(self), tuple(str(self).split(BETWEEN))


class CannotWrite(OSError):  # noqa: N818 - it names what happened
    """A file of a run cannot be written: the disk is full, the folder is gone or read-only.

    The message is one sentence that names the file. What stood in its place before is still there.
    """

    def __str__(self) -> str:
        """The sentence."""
        why = "the folder is gone" if self.errno == errno.ENOENT else self.strerror
        return _printable(f"{self.filename}: cannot be written: {why}")

    @classmethod
    def of(cls, path: object, error: BaseException) -> "CannotWrite | None":
        """In the system's words, which may stand behind a library's own; None: it was not the system's doing."""
        behind: BaseException | None = error
        while behind is not None and not isinstance(behind, OSError):
            behind = behind.__cause__ or behind.__context__
        return None if behind is None else cls(behind.errno or 0, behind.strerror or str(behind), str(path))


class ProcessLost(RuntimeError):  # noqa: N818 - it names what happened
    """Of the processes that train one network together another one has ended: this one cannot go on by itself."""


def _printable(text: str) -> str:
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)


def showable(text: str) -> str:
    r"""Text from a stranger's files as a terminal may have it.

    >>> showable("a\x1b[31mb")
    'a\\u001b[31mb'
    """
    return UNSHOWABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def reason(error: BaseException) -> str:
    """Why something ended, in the words of its error."""
    if isinstance(error, BadInput | CannotWrite | ProcessLost):
        return str(error)
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    if isinstance(error, SystemExit):
        return f"ended with exit code {error.code}"
    return f"{type(error).__name__}: {error}"
