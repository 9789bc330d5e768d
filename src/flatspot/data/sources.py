"""What rows are read from: a CSV file (gzipped too), a Parquet file, a frame; a batch at a time."""

import codecs
import csv
import gzip
import io
import os
import re
import zlib
from array import array
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, final, runtime_checkable

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.counted import counted
from flatspot.errors import UNSHOWABLE, BadInput

BATCH: Final = 131_072
"""Rows that are read at a time."""

SAMPLE: Final = 10_000
"""Rows that are looked at to tell what the columns hold."""

START: Final = 2**21
"""Bytes of a long file that hold them, or as many as fit."""

STRETCH: Final = 2**23
"""Bytes of a file that are read together."""

AHEAD: Final = 2
"""Stretches that are parsed while the last one is in use."""

MOST_OPEN: Final = 2**26
"""Bytes without the end of a row, after which none is looked for."""

FEWEST: Final = 100
"""Fewer lines are too few to tell it."""

LONGEST_LINE: Final = 2**20
"""Bytes of a header line; a longer one is no header."""

FREELY: Final = 2**28
"""Bytes that any compressed file may unpack to."""

FEW_CELLS: Final = 4
"""Rows of a Parquet file that tell how large its cells are."""

INFLATED: Final = 200
"""Times its size that a larger one may: tables of measurements come to 3 to 30, a bomb of zeros to 1,000 and more."""

MISSING: Final = ("", "NA", "N/A", "NaN", "nan", "NAN", "null", "NULL", "None", "#N/A", "?", "-")
"""How a missing value may be written."""

SHOWN_CELL: Final = 60
"""Letters of a cell that a message repeats."""

A_DATE: Final = r"\d{1,4}[-./]\d{1,2}[-./]\d{1,4}"
"""What hardly any column is called."""

JSON: Final = re.compile(r"\s*(\{|\[\s*([{\[]|$))")
"""How a file of JSON begins, by lines or whole."""

GZIP: Final = b"\x1f\x8b"
ZIP: Final = b"PK\x03\x04"
PARQUET: Final = b"PAR1"
SEPARATORS: Final = (",", ";", "\t", "|")
SHOWN_SEPARATORS: Final = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}

IN_QUOTES: Final = "a cell with a quotation mark stands in quotes, and the mark is written twice"

UNREADABLE: Final = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
"""What polars raises for a file that it cannot read: it panics at a damaged one; OSError for one it cannot unzip."""


class Inflated(BadInput):
    """A compressed file that would fill the memory: in no way can it be read."""


@runtime_checkable
class Source(Protocol):
    """Rows in columns."""

    name: str
    columns: Sequence[str]

    def sample(self) -> pl.DataFrame:
        """The first rows, all columns; text where the file is text."""

    def as_written(self, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """All rows in batches, text as it was written: the slow way, which finds the cell."""

    def where(self, row: int) -> str:
        """Where a row stands, for a message; the first row is 1. In a CSV file that is a line, as an editor counts."""


def source_of(path: str | Path) -> Source:
    """The file, looked at.

    Raises:
        BadInput: for what is no CSV and no Parquet file that can be read.
    """
    path = Path(path)
    start = _start_of(path)
    if start.startswith(PARQUET):
        return ParquetFile(path)
    if path.suffix == ".parquet":
        raise BadInput(f"{path}: is no Parquet file, whatever its name says; name a CSV file .csv")
    if start.startswith(ZIP):
        raise BadInput(f"{path}: is a zip archive or an Excel workbook; save the table as CSV or Parquet")
    return CsvFile(path, start)


def _start_of(path: Path) -> bytes:
    try:
        if not path.exists():
            raise BadInput(f"{path}: there is no such file")
        if not path.is_file():
            what = "is a folder, not a file" if path.is_dir() else "is not a regular file"
            raise BadInput(f"{path}: {what}")
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise BadInput(f"{path}: cannot be opened: {error.strerror}") from error
    if not start:
        raise BadInput(f"{path}: the file is empty")
    return start


def refuse_unshowable(names: Iterable[object], what: str) -> None:
    """Names are shown on terminals and pages, where some characters are orders: to recolour, to move, to turn around.

    Args:
        names: of columns, series or classes. what: they are, with the file.

    Raises:
        BadInput: with the name, such characters written as Python's escapes.
    """
    for each in names:
        if isinstance(each, str) and UNSHOWABLE.search(each.replace("\r\n", "\n")):
            raise BadInput(f"{what} {shown(each)} has a control character in its name; write it without")


def shown(cell: object) -> str:
    """A cell as a message repeats it."""
    text = repr(cell[: SHOWN_CELL + 1] if isinstance(cell, str) else cell)
    return text if len(text) <= SHOWN_CELL else f"{text[:SHOWN_CELL]}..."


def as_text(column: pl.Series) -> pl.Series:
    """A column as text without spaces around it, null where a value is missing."""
    text = column.cast(pl.String).str.strip_chars()
    missing = text.is_in(MISSING)
    return text.set(missing, None) if missing.any() else text


def _told(sample: pl.DataFrame) -> pl.DataFrame:
    """The first rows, with null for what stands for a missing value."""
    return sample.with_columns(as_text(column) for column in sample if column.dtype == pl.String)


@final
@dataclass
class Frame:
    """A polars frame, or whatever polars makes one of."""

    frame: pl.DataFrame
    name: str = "the frame"
    columns: Sequence[str] = field(init=False)

    def __post_init__(self) -> None:
        self.columns = self.frame.columns

    def sample(self) -> pl.DataFrame:
        """The first rows."""
        return _told(self.frame.head(SAMPLE))

    def as_written(self, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """All rows in batches."""
        return self.frame.select(columns).iter_slices(BATCH)

    def where(self, row: int) -> str:
        """The row."""
        return f"row {row}"


@final
class ParquetFile:
    """A Parquet file; its columns have types."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        try:
            scanned = pl.scan_parquet(path, glob=False)
            self.columns: Sequence[str] = scanned.collect_schema().names()
            rows = scanned.select(pl.len()).collect().item()  # as its end tells; no row is read for it
        except UNREADABLE as error:
            raise self._broken(error) from error
        _refuse_inflated(path, rows * len(self.columns) * np.dtype(np.float64).itemsize)

    def sample(self) -> pl.DataFrame:
        """The first rows."""
        first = pl.scan_parquet(self._path, glob=False).head(SAMPLE)
        try:
            for name, few in first.head(FEW_CELLS).collect().to_dict().items():
                _refuse_inflated(
                    self._path, int(few.estimated_size()) * SAMPLE // max(len(few), 1), f"its column {name!r}"
                )
            return _told(first.collect())
        except UNREADABLE as error:
            raise self._broken(error) from error

    def as_written(self, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """All rows in batches."""
        read = pl.scan_parquet(self._path, glob=False).select(columns)
        try:
            yield from read.collect_batches(chunk_size=BATCH, maintain_order=True)
        except UNREADABLE as error:
            raise self._broken(error) from error

    def where(self, row: int) -> str:
        """The row."""
        return f"row {row}"

    def _broken(self, error: BaseException) -> BadInput:
        with self._path.open("rb") as file:
            file.seek(-len(PARQUET), os.SEEK_END)
            whole = file.read() == PARQUET
        if not whole:
            return BadInput(f"{self.name}: is cut short: a whole Parquet file ends with PAR1; copy or write it again")
        return BadInput(f"{self.name}: cannot be read as Parquet ({_first_line(error)}); copy or write it again")


@final
class _Unzipped(io.RawIOBase):
    """What a gzipped file holds, as far as it is one that anybody has written.

    Raises:
        Inflated: as soon as it has come to more.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path, self._size = path, 0
        self._file = gzip.open(path, "rb")  # noqa: SIM115 - as long as this one

    def readable(self) -> bool:
        """It is there to be read."""
        return True

    def readinto(self, buffer: Any) -> int:  # noqa: ANN401 - any buffer
        """The next bytes."""
        held = self._file.read(len(buffer))
        self._size += len(held)
        _refuse_inflated(self._path, self._size)
        buffer[: len(held)] = held
        return len(held)

    def close(self) -> None:
        """Both."""
        self._file.close()
        super().close()


def _refuse_inflated(path: Path, size: int, what: str = "") -> None:
    """Refuse a compressed file that comes to so many bytes: it may be made to fill the memory.

    Args:
        what: comes to them; empty: the file.

    Raises:
        Inflated: telling the way out, for a file that one trusts.
    """
    own = path.stat().st_size
    if size > max(FREELY, INFLATED * own):
        subject = f"{path}: {what}" if what else f"{path}:"
        raise Inflated(
            f"{subject} unpacks to more than {size // 2**20:,} MB, {size // own:,} times the file's size, as what is "
            f"made to fill the memory does; if it is your own, unpack it, or write it as CSV"
        )


@final
class CsvFile:
    """A CSV file: UTF-8, one header line, separated by commas, semicolons, tabs or bars."""

    def __init__(self, path: Path, start: bytes) -> None:
        self.name = str(path)
        self._path = path
        self._zipped = start.startswith(GZIP)
        header = self._header_line()
        _refuse_other_text(header, self.name)
        self._separator = _separator(header)
        self.columns: Sequence[str] = _stripped(_cells_of_header(header, self._separator, self.name))
        _refuse_header(self.columns, header, self.name)
        self._known_as = self._by_polars(header)

    def sample(self) -> pl.DataFrame:
        """The first rows, as text."""
        try:
            head = self._filled(self._start()).head(SAMPLE).collect()
        except UNREADABLE as error:
            raise self._unreadable(error) from error
        if head.is_empty():
            raise BadInput(f"{self.name}: has a header line and no rows")
        _refuse_spaces(self.columns, head, self.name)
        _refuse_comment(self.columns, head, self.name)
        return _told(head)

    def typed(self, numbers: Collection[str], others: Collection[str], *, marks: bool = True) -> Iterator[pl.DataFrame]:
        """All rows in batches, the quick way: numbers as float64, null where they are missing.

        With the last column of the file beside them: it tells of rows that are too short. The file is read a stretch at
        a time, the next while the last one is in use: polars' own batches keep 300 MB of a long file in memory.

        Args:
            marks: whether a missing number may be marked (`NA`); if not, it is nothing, and reading a third faster.

        Raises:
            polars.exceptions.PolarsError: where a cell is no number.
        """
        wanted = list(dict.fromkeys([*numbers, *others, self.columns[-1]]))

        def batch(lines: bytes) -> pl.DataFrame:
            return self._scan(numbers, MISSING if marks else (), rows=lines).select(wanted).collect()

        quoted = False
        with ThreadPoolExecutor(AHEAD) as ahead:
            coming: deque[Future[pl.DataFrame]] = deque()
            for lines in self._stretches():
                quoted = quoted or b'"' in lines
                coming.append(ahead.submit(batch, lines))
                if len(coming) > AHEAD:
                    yield coming.popleft().result()
            yield from (each.result() for each in coming)
        if quoted:
            self._refuse_swallowed()

    def as_written(self, columns: Collection[str]) -> Iterator[pl.DataFrame]:
        """All rows in batches, as text; a line of nothing but separators is no row.

        Raises:
            BadInput: for what is no CSV, naming the line where it can be told.
        """
        self._refuse_ragged()
        if not self.even:
            self._refuse_swallowed()
        try:
            yield from self._filled().select(columns).collect_batches(chunk_size=BATCH, maintain_order=True)
        except UNREADABLE as error:
            raise self._unreadable(error) from error

    def where(self, row: int) -> str:
        """The line that a row begins on, the header's included: a cell may hold line breaks, and a line no row."""
        if self._plain:
            return f"line {row + 1}"
        return f"line {self._lines[row - 1]}" if row <= len(self._lines) else f"row {row} of the data"

    @cached_property
    def _lines(self) -> "array[int]":
        """The line that each row begins on, as far as the file can be read."""
        found = array("q")
        with suppress(BadInput):
            found.extend(each.line for each in self._rows(strict=False))
        return found

    @cached_property
    def _plain(self) -> bool:
        """Whether each line below the header is a row; a line of nothing but separators is none."""
        nothing = re.compile(rb"(^|\n)%b+\r?(\n|$)" % re.escape(self._separator.encode()))
        return self.even and not any(nothing.search(lines) for lines in self._stretches())

    def _start(self) -> bytes | None:
        """The lines that a long file begins with; None where the whole is short, or so many bytes hold few rows.

        Asked for the first rows of a long file, polars would read hundreds of megabytes.
        """
        try:
            with self._open() as file:
                start = file.read(START)
        except (OSError, EOFError, zlib.error):
            return None  # polars says what it is
        lines = start.split(b"\n")[:-1]
        closed = np.cumsum([line.count(b'"') for line in lines]) % 2 == 0  # a line break within quotes ends no row
        whole = int(np.flatnonzero(closed)[-1]) + 1 if closed.any() else 0
        return b"\n".join(lines[:whole]) if whole > FEWEST and len(start) == START else None

    def _filled(self, start: bytes | None = None) -> pl.LazyFrame:
        """The rows as text; of one column, a quoted nothing is a missing value and a blank line is none."""
        nothing = pl.all().is_null() if len(self.columns) == 1 else pl.all().fill_null("") == ""
        return self._scan(start=start).filter(~pl.all_horizontal(nothing))

    def _scan(
        self,
        numbers: Collection[str] = (),
        missing: Sequence[str] = (),
        *,
        start: bytes | None = None,
        rows: bytes | None = None,
    ) -> pl.LazyFrame:
        """The whole file; or some bytes of it: its start, or rows alone."""
        kinds = [pl.Float64 if name in numbers else pl.String for name in self.columns]
        if start is None and rows is None and self._zipped:
            self._refuse_to_unpack_at_once()
        scanned = pl.scan_csv(
            start or rows or self._path,
            has_header=rows is None,
            schema=dict(zip(self._known_as, kinds, strict=True)),
            separator=self._separator,
            null_values=list(missing) or None,
            glob=False,
            truncate_ragged_lines=False,
        )
        return scanned.rename(dict(zip(self._known_as, self.columns, strict=True)))

    def _by_polars(self, header: str) -> Sequence[str]:
        """The columns as polars calls them: it leaves a quotation mark that is written twice as it is."""
        try:
            names = pl.read_csv(header.encode(), separator=self._separator, n_rows=0, infer_schema=False).columns
        except UNREADABLE as error:
            raise BadInput(f"{self.name}: its first line cannot be read: {_first_line(error)}") from error
        if len(names) != len(self.columns):
            raise BadInput(f"{self.name}: its first line cannot be read: {IN_QUOTES}")
        return names

    def _open(self) -> io.BufferedIOBase:
        return io.BufferedReader(_Unzipped(self._path)) if self._zipped else self._path.open("rb")

    def _refuse_to_unpack_at_once(self) -> None:
        """What polars does before it looks at a row: see first what it comes to."""
        with suppress(OSError, EOFError, zlib.error), self._open() as file:  # polars says what is wrong with it
            while file.read(STRETCH):
                pass

    def _header_line(self) -> str:
        try:
            with self._open() as file:
                line = file.readline(LONGEST_LINE)
        except (OSError, EOFError, zlib.error) as error:
            raise BadInput(_not_unzipped(self.name, error)) from error
        if line.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise BadInput(f"{self.name}: is written in UTF-16; save it as UTF-8")
        if b"\0" in line:
            raise BadInput(f"{self.name}: is no text file; save the table as CSV or Parquet")
        if len(line) >= LONGEST_LINE:
            raise BadInput(f"{self.name}: its first line is longer than {LONGEST_LINE:,} bytes; a header names columns")
        try:
            return line.decode("utf-8-sig").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise BadInput(_not_utf8(self.name, 1, error)) from error

    @cached_property
    def even(self) -> bool:
        """Whether all lines have as many cells as the header, as far as a count of separators tells.

        Not so where there is a quotation mark: a separator within a cell is none.
        """
        separator, wanted = ord(self._separator), len(self.columns) - 1
        try:
            return wanted > 0 and all(
                b'"' not in lines and bool((_counts(lines, separator) == wanted).all()) for lines in self._stretches()
            )
        except (BadInput, OSError, EOFError, zlib.error):
            return False  # to be told when the rows are read

    def _stretches(self) -> Iterator[bytes]:
        """The rows below the header, some whole ones at a time; a line break within quotes ends no row.

        Raises:
            BadInput: where no quotation mark is closed any more.
        """
        with self._open() as file:
            file.readline()
            while lines := file.read(STRETCH):
                rest = file.readline(MOST_OPEN)
                if b'"' in lines and (lines.count(b'"') + rest.count(b'"')) % 2:
                    rest += _up_to_a_closed_line(file)
                yield lines + rest

    def _refuse_ragged(self) -> None:
        """Read the rows one by one and name the first that is no row of this table."""
        if self.even:
            return
        for each in self._rows(strict=False):
            if len(each.cells) != len(self.columns):
                raise BadInput(self._ragged(each))

    def _refuse_swallowed(self) -> None:
        """Refuse a cell with line breaks that is none: two stray quotation marks swallow the rows between them.

        A mark that closes a cell stands at its end; within one it is written twice.
        """
        if self._has_quoted_breaks():
            for each in self._rows(strict=True, longest=MOST_OPEN):
                if self._holds_a_row(each.cells):
                    told = "a cell in quotes holds whole rows; is a mark left open?"
                    raise BadInput(f"{self.name}: line {each.line}: {told}")

    def _holds_a_row(self, cells: list[str]) -> bool:
        """Whether a line within a cell has as many cells as the header, with numbers wherever its own row has them."""
        numbers = [place for place, cell in enumerate(cells) if _is_number(cell)]
        lines = (line.split(self._separator) for cell in cells if "\n" in cell for line in cell.splitlines()[1:])
        return bool(numbers) and any(
            len(line) == len(cells) and all(_is_number(line[place]) for place in numbers) for line in lines
        )

    def _has_quoted_breaks(self) -> bool:
        try:
            return any(bool((_counts(lines, ord('"')) % 2).any()) for lines in self._stretches())
        except BadInput:
            return True

    def _rows(self, *, strict: bool, longest: int | None = None) -> Iterator["_Row"]:
        """Each row, its number, and the line that it begins on.

        Args:
            strict: refuse what stands after a closing quotation mark, and a cell that is never closed.
            longest: letters of a cell at most; None: as Python's csv has it.
        """
        row, line, before = 0, 2, csv.field_size_limit()
        with self._open() as file:
            lines = csv.reader(self._decoded(file), delimiter=self._separator, strict=strict)
            try:
                csv.field_size_limit(longest or before)
                next(lines)
                for cells in lines:
                    if any(cells) or len(cells) > len(self.columns) or (cells and len(self.columns) == 1):
                        row += 1
                        yield _Row(row, line, cells)
                    line = lines.line_num + 1
            except csv.Error as error:
                raise BadInput(f"{self.name}: line {line}: {_no_row(error)}") from error
            except (OSError, EOFError, zlib.error) as error:
                raise BadInput(_not_unzipped(self.name, error)) from error
            finally:
                csv.field_size_limit(before)

    def _decoded(self, file: io.BufferedIOBase) -> Iterator[str]:
        for number, line in enumerate(file, start=1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise BadInput(_not_utf8(self.name, number, error)) from error

    def _ragged(self, found: "_Row") -> str:
        cells = found.cells
        told = f"{self.name}: line {found.line} has {counted(len(cells), 'cell')}, and the header {len(self.columns)}"
        other = _separator(cells[0]) if len(cells) == 1 else self._separator
        if other in cells[0] and other != self._separator:
            kinds = SHOWN_SEPARATORS
            return f"{told}: it is separated by {kinds[other]}, the header by {kinds[self._separator]}"
        if found.row == 1:
            return f"{told}: {_comment(self.columns[0])}the first line must name the columns"
        if len(cells) < len(self.columns):
            return f"{told}: a missing value is an empty cell"
        decimals = ", and decimals have a point" if self._separator == "," else ""
        return f"{told}: a cell that holds {SHOWN_SEPARATORS[self._separator]} stands in quotes{decimals}"

    def _unreadable(self, error: BaseException) -> BadInput:
        """The row that cannot be read, or else what polars says."""
        try:
            self._refuse_ragged()
            self._refuse_quotes()
        except BadInput as found:
            return found
        return BadInput(f"{self.name}: cannot be read as CSV: {_first_line(error)}")

    def _refuse_quotes(self) -> None:
        """Name the first row whose quotation marks may be why it cannot be read."""
        for each in self._rows(strict=True):
            if any('"' in cell for cell in each.cells):
                raise BadInput(f"{self.name}: line {each.line}: {IN_QUOTES}")


@final
class _Row(NamedTuple):
    row: int
    line: int
    cells: list[str]


def _separator(header: str) -> str:
    """The one that the header has most of, outside quotes."""
    bare = "".join(header.split('"')[::2])
    return max(SEPARATORS, key=bare.count)


def _refuse_other_text(header: str, name: str) -> None:
    """Refuse JSON, and a header that is separated in two ways."""
    if JSON.match(header):
        raise BadInput(f"{name}: is JSON, not CSV; save the table as CSV or Parquet")
    bare = "".join(header.split('"')[::2])
    most = max(bare.count(each) for each in SEPARATORS)
    tied = [SHOWN_SEPARATORS[each] for each in SEPARATORS if most and bare.count(each) == most]
    if len(tied) > 1:
        raise BadInput(
            f"{name}: its first line has as many {tied[0]} as {tied[1]}; separate columns in one way, and put a name "
            f"that holds the other in quotes"
        )


def _refuse_comment(columns: Sequence[str], head: pl.DataFrame, name: str) -> None:
    """A comment with as many cells as the header below it looks like one; a row has a number, a header none."""
    comment = _comment(columns[0])
    cells = [str(cell).strip() for cell in head.row(0)]
    if comment and not any(_is_number(cell) or re.match(A_DATE, cell) for cell in cells):
        raise BadInput(f"{name}: {comment}the first line must name the columns")


def _comment(header: str) -> str:
    """A first line that is a comment, named."""
    return f"{shown(header)} is a comment, and " if header.startswith("#") else ""


def _stripped(written: Sequence[str]) -> list[str]:
    """Names without the spaces around them, where that makes no two the same."""
    names = [name.strip() for name in written]
    return names if len(set(names)) == len(set(written)) else list(written)


def _up_to_a_closed_line(file: io.BufferedIOBase) -> bytes:
    """The lines up to one that closes the quotation mark that is open.

    Raises:
        BadInput: if none does for long: the mark is part of a cell, perhaps.
    """
    lines, size = [], 0
    for line in file:
        lines.append(line)
        size += len(line)
        if line.count(b'"') % 2:
            return b"".join(lines)
        if size > MOST_OPEN:
            raise BadInput("a quotation mark that is not closed")
    return b"".join(lines)


def _counts(lines: bytes, sign: int) -> NDArray[np.int64]:
    r"""How often a sign is in each line; the last one may end without a line break.

    >>> _counts(b"a,b,c\n1,2\n\n", ord(",")).tolist()
    [2, 1, 0]
    """
    signs = np.frombuffer(lines if lines.endswith(b"\n") else lines + b"\n", np.uint8)
    ends, places = np.flatnonzero(signs == ord("\n")), np.flatnonzero(signs == sign)
    return np.diff(np.searchsorted(places, ends), prepend=0)


def _cells_of_header(header: str, separator: str, name: str) -> list[str]:
    if not header.replace("\ufeff", "").strip():
        raise BadInput(f"{name}: its first line is blank; it names the columns")
    if "\r" in header:
        raise BadInput(f"{name}: its lines end as on an old Macintosh (CR); save it with LF or CRLF")
    if header.count('"') % 2:
        raise BadInput(f"{name}: its first line has a quotation mark that is not closed; it names the columns")
    try:
        return next(csv.reader([header], delimiter=separator, strict=True))
    except csv.Error as error:
        raise BadInput(f"{name}: its first line cannot be read: {_no_row(error)}") from error


def _refuse_header(columns: Sequence[str], header: str, name: str) -> None:
    for place, column in enumerate(columns, start=1):
        first = columns.index(column) + 1
        if first != place:
            called = f"called {column!r}" if column else "without a name"
            raise BadInput(f"{name}: columns {first} and {place} are both {called}; each needs a name of its own")
    if all(_is_number(column) or re.match(A_DATE, column) for column in columns):
        raise BadInput(
            f"{name}: has no header line: the first line ({header[:60]}) is a row; write the columns' names above it"
        )


def _refuse_spaces(columns: Sequence[str], head: pl.DataFrame, name: str) -> None:
    """A file that is separated by spaces has one column, as far as the separators tell."""
    if len(columns) > 1:
        return
    words = columns[0].split()
    cells = str(head.item(0, 0)).split()
    if len(words) == len(cells) > 1 and _is_number(cells[-1]):
        raise BadInput(f"{name}: is separated by spaces; separate columns by commas, semicolons, tabs or bars")


def _no_row(error: csv.Error) -> str:
    """What the csv module says, in the words of who wrote the row."""
    told = str(error)
    if "unexpected end" in told:
        return "a quotation mark opens a cell and is never closed"
    if "field limit" in told:
        return f"a cell is longer than {csv.field_size_limit():,} letters; is a quotation mark left open?"
    return IN_QUOTES if "expected after" in told else told


def _not_unzipped(name: str, error: Exception) -> str:
    return f"{name}: cannot be unzipped ({_first_line(error)}); copy or zip it again"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _not_utf8(name: str, line: int, error: UnicodeDecodeError) -> str:
    wrong = error.object[error.start]
    return f"{name}: line {line} is not UTF-8 (byte 0x{wrong:02x}); save the file as UTF-8"


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")


def as_source(data: object) -> Source:
    """A source from a path, a polars frame, or what polars makes a frame of (pandas, Arrow, a mapping of columns)."""
    if isinstance(data, (Frame, ParquetFile, CsvFile)):
        return data
    if isinstance(data, (str, Path)):
        return source_of(data)
    if isinstance(data, pl.DataFrame):
        return Frame(data)
    try:
        return Frame(data.collect() if isinstance(data, pl.LazyFrame) else pl.DataFrame(data))  # type: ignore[arg-type]
    except Exception as error:
        raise BadInput(f"the frame: polars makes no table of a {type(data).__name__}: {_first_line(error)}") from error
