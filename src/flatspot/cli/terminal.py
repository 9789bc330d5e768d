"""What a terminal gets beside the words: colours, and a sign that something is being worked at."""

import logging
import os
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TextIO, final

if TYPE_CHECKING:
    from rich.status import Status
    from tqdm import tqdm

DELAY: Final = 2.0
"""Seconds after which a wait is worth a word."""

GOOD, BAD, CAUSE, SOFT, END = "\033[32m", "\033[31m", "\033[1m", "\033[2m", "\033[0m"

PAINTED: Final = (
    (re.compile(r"^(verdict +)?(healthy|rightly-flat)(?=: )", re.MULTILINE), rf"\1{GOOD}\2{END}"),
    (re.compile(r"^(verdict +)?(flat|shrunken|varied-but-wrong)(?=: )", re.MULTILINE), rf"\1{BAD}\2{END}"),
    (re.compile(r"^(finding +|\d+\. )([a-z-]+)", re.MULTILINE), rf"\1{CAUSE}\2{END}"),
    (re.compile(r"^( +)(seen|means|try first)(?= )", re.MULTILINE), rf"\1{SOFT}\2{END}"),
    (re.compile(r"^(note|data|model|engine)(?= )", re.MULTILINE), rf"{SOFT}\1{END}"),
    (re.compile(r"^(error)(?=: )", re.MULTILINE), rf"{BAD}\1{END}"),
)
"""What has a colour, and which: verdicts by what they are, causes bold, labels faint."""


def takes_colours(stream: TextIO) -> bool:
    """Whether it is a terminal that shows them, and nobody has said that they are not wanted (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def painted(text: str, stream: TextIO) -> str:
    """The text as the stream is to have it: as it is, where that takes no colours.

    >>> import io
    >>> painted("flat: the outputs are nearly the same for every input", io.StringIO())
    'flat: the outputs are nearly the same for every input'
    """
    if takes_colours(stream):
        for pattern, colours in PAINTED:
            text = pattern.sub(colours, text)
    return text


def paint_logging() -> None:
    """From now on what is logged to a terminal has colours, and to a pipe that nobody reads any more nothing.

    A log file's lines have no colours.
    """
    for handler in logging.getLogger().handlers:
        if type(handler) is logging.StreamHandler and not isinstance(handler.formatter, _Painting):
            handler.setFormatter(_Painting(handler.formatter, handler.stream))
            handler.handleError = partial(_failed, handler)  # type: ignore[method-assign]


def _failed(handler: "logging.StreamHandler[TextIO]", record: logging.LogRecord) -> None:
    """Of `flatspot train | head` the training goes on, and its log, when `head` has had enough."""
    if isinstance(sys.exc_info()[1], BrokenPipeError):
        handler.setStream(Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - as long as the handler
    else:
        logging.StreamHandler.handleError(handler, record)


class _Painting(logging.Formatter):
    def __init__(self, theirs: logging.Formatter | None, stream: TextIO) -> None:
        super().__init__()
        self._theirs = theirs or logging.Formatter()
        self._stream = stream

    def format(self, record: logging.LogRecord) -> str:
        return painted(self._theirs.format(record), self._stream)


def _attended() -> bool:
    """Whether somebody looks at the screen: it is a terminal, and none of a machine's that builds and tests."""
    return sys.stderr.isatty() and not os.environ.get("CI")


def _hushed() -> bool:
    """Whether this is one job of many, whose lines the screen does not get."""
    handlers = logging.getLogger().handlers
    return any(type(each) is logging.StreamHandler and each.level > logging.INFO for each in handlers)


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Inside, a terminal says what is being worked at, once that has taken two seconds; a pipe or a file hears nothing.

    Args:
        what: as in `reading my.csv`.
    """
    if not _attended() or _hushed():
        yield
        return
    shown: list[Status] = []
    over = threading.Lock()

    def show() -> None:
        from rich.console import Console  # takes a while, and most work is quicker

        with over:
            if not ended:
                shown.append(Console(stderr=True).status(what))
                shown[0].start()

    ended: list[bool] = []
    timer = threading.Timer(DELAY, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        with over:
            ended.append(True)
            for each in shown:
                each.stop()


@final
class JobsBar:
    """A bar over jobs that run one after the other, on a terminal; each job's own stands below it.

    A pipe, a file, and jobs that run elsewhere get the lines alone.

    Args:
        total: jobs; None: nobody knows, and so there is none.
    """

    def __init__(self, total: int | None = None) -> None:
        self._total = total
        self._bar: tqdm[Any] | None = None

    def show(self) -> None:
        """A job begins."""
        if self._total is None or not _attended():
            return
        if self._bar is None:
            from tqdm import tqdm  # only where there is a terminal

            self._bar = tqdm(total=self._total, unit="job", desc="sweep", leave=False, dynamic_ncols=True)
        self._bar.refresh()

    def say(self, told: str) -> None:
        """A job has ended: say so in a line of its own. Until the next one the bar is gone, and others may speak."""
        if self._bar is not None:
            self._bar.n += 1
            self._bar.clear()
        print(told, flush=True)  # noqa: T201 - the command's answer

    def close(self) -> None:
        """All jobs have ended."""
        if self._bar is not None:
            self._bar.close()
        self._bar = None
