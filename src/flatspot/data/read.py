"""The rows of anybody's table as numbers: what cannot be used is named by file, row, column and value."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.faults import Faults
from flatspot.data.roles import DECIMAL_COMMA, OR_IN_ORDER, Roles
from flatspot.data.sources import MISSING, UNREADABLE, CsvFile, Inflated, Source, as_text, shown
from flatspot.data.stamps import PARTS, as_moments, from_parts, joined, parsed
from flatspot.errors import BadInput

LARGEST: Final = 1e30
"""Numbers beyond this have squares that nothing can add up."""

SLAB: Final = 2**25
"""Bytes of memory that are asked for at once: so much is given back to the system as soon as it is free."""

LOOK: Final = 1024
"""Rows of a batch, evenly spread, that tell whether float32 has digits enough for it."""

FINEST: Final = 1e-4
"""What is lost at most of a batch's spread."""

LEVEL: Final = 1000
"""First rows of a long file that tell the level of its channels."""

LONGEST_NAME: Final = 1000
"""Letters of a series' name or a label; a longer one is text that was read by mistake."""

ZONE: Final = r"([+-]\d{2}:?\d{2}|Z)\s*$"
"""How a stamp says how far it is from UTC."""

AT_UTC: Final = r"([+-]00:?00|Z)\s*$"

UTC: Final = (None, "UTC", "Etc/UTC", "GMT", "Z", "+00:00")
"""Zones whose clock is UTC's; None: there is no zone."""

TURNED: Final = "time stamps turned into UTC, from other offsets; dates and forecasts are in UTC too"

STAMPLESS: Final = "is missing; every row needs its time stamp"

FILLING: Final = "fill it with data.missing=interpolate or forward_fill, or leave its row out with data.missing=drop"


@final
@dataclass(frozen=True)
class Regular:
    """Equally spaced stamps of one long series, without an array of them.

    Args:
        start: the first, in microseconds since 1970. step: microseconds. rows: how many.
    """

    start: int
    step: int
    rows: int

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as NumPy's
        """The stamps that an index of NumPy's picks."""
        if isinstance(index, slice):
            return self._stamps(np.arange(*index.indices(self.rows)))
        numbers = np.asarray(index)
        return self._stamps(np.where(numbers < 0, numbers + self.rows, numbers))

    def _stamps(self, numbers: NDArray[np.int64]) -> Any:  # noqa: ANN401 - an array, or one stamp
        return (self.start + self.step * numbers).astype("datetime64[us]")


Times = NDArray[Any] | Regular


@final
@dataclass
class Rows:
    """The rows of a table, as they stand.

    Args:
        blocks: float64, or float32 less `base` in a long file, NaN where a value is missing; `[row, channel]`.
        base: what was taken from every row, `[channel]`.
        times: `datetime64[us]` `[row]`. groups, labels: text, `[row]`. None where there is no such column.
        notes: what was done to them. faults: what cannot be used; the blocks are then none of the table's.
        placed: whether times and groups can be used.
    """

    blocks: list[NDArray[Any]] = field(default_factory=list)
    base: NDArray[np.float64] | None = None
    times: Times | None = None
    groups: pl.Series | None = None
    labels: pl.Series | None = None
    notes: tuple[str, ...] = ()
    faults: Faults = field(default_factory=lambda: Faults(""))
    placed: bool = True

    def __len__(self) -> int:
        return sum(map(len, self.blocks))


def read_rows(source: Source, roles: Roles, *, missing: bool, anew: bool = False) -> Rows:
    """The same as `gather`, of rows that can all be used.

    Raises:
        BadInput: naming the file and the row, column and value of each fault.
    """
    rows = gather(source, roles, missing=missing, anew=anew)
    rows.faults.refuse()
    return rows


def gather(source: Source, roles: Roles, *, missing: bool, anew: bool = False) -> Rows:
    """All rows that the roles name, in the order of the file, and what of them cannot be used.

    The quick way lets polars read numbers as numbers. Where it meets a cell that is none, the slow way reads the text
    and names the cell, or finds that it can be read after all (spaces around a number, a blank line).

    Args:
        source: the file or frame. roles: what its columns are for.
        missing: whether a number may be missing.
        anew: for a network that is trained already: a label may be missing, and what is a stamp is settled.

    Raises:
        BadInput: naming the file, and the line or column that cannot be read at all.
    """
    if isinstance(source, CsvFile):
        for marks in (False, True) if missing else (False,):
            quick = source.typed(roles.channels, roles.others, marks=marks)
            try:
                return _collected(
                    quick, source, roles, _Reader(source.name, str, missing=missing, anew=anew), quick=True
                )
            except Inflated:
                raise
            except (BadInput, *UNREADABLE):
                pass  # the next way may read it, and the last one says why it cannot be read
    batches = source.as_written([*roles.channels, *roles.others])
    return _collected(
        batches, source, roles, _Reader(source.name, source.where, missing=missing, anew=anew), quick=False
    )


def _collected(
    batches: Iterator[pl.DataFrame], source: Source, roles: Roles, reader: "_Reader", *, quick: bool
) -> Rows:
    kept = _Kept(roles)
    for batch in batches:
        if not len(batch):
            continue
        if quick and batch[source.columns[-1]].has_nulls():
            _refuse_short(source, batch)
        kept.add(batch, reader)
        if quick:
            reader.faults.refuse()
    if not reader.row:
        raise BadInput(f"{source.name}: has no rows")
    return kept.rows(reader)


@final
class _Kept:
    """Collects what the roles name. Where there are faults, no numbers are kept: they would not be used."""

    def __init__(self, roles: Roles) -> None:
        self._roles = roles
        self._blocks, self._times = _Blocks(narrow=roles.group is None), _Stamps()
        self._texts: dict[str, list[pl.Series]] = {name: [] for name in (roles.group, roles.label) if name}

    def add(self, batch: pl.DataFrame, reader: "_Reader") -> None:
        """Take the next rows."""
        columns = reader.numbers(batch, self._roles.channels)
        stamps = reader.moments(batch, self._roles) if self._roles.time else None
        for name, kept in self._texts.items():
            kept.append(reader.text(batch, name) if name == self._roles.group else reader.label(batch, name))
        if not reader.faults:
            self._blocks.add(columns)
        if stamps is not None and reader.placed:
            self._times.add(stamps)
        reader.row += len(batch)

    def rows(self, reader: "_Reader") -> Rows:
        """All of them."""
        roles = self._roles
        blocks = [np.zeros((reader.row, 1))] if reader.faults else self._blocks.blocks
        groups, labels = (pl.concat(self._texts[name]) if name else None for name in (roles.group, roles.label))
        return Rows(
            blocks,
            None if reader.faults else self._blocks.base,
            self._times.all() if roles.time and reader.placed else None,
            groups,
            labels,
            (TURNED,) if reader.turned else (),
            reader.faults,
            reader.placed,
        )


def _refuse_short(source: Source, batch: pl.DataFrame) -> None:
    """To polars a row that is too short, or blank, is one with missing values at its end.

    Raises:
        BadInput: if there may be such a row: the slow way tells.
    """
    nothing = batch.select(pl.all_horizontal(pl.all().is_null()).any()).item()
    if nothing or not isinstance(source, CsvFile) or not source.even:
        raise BadInput("perhaps a short row")


@final
class _Blocks:
    """Collects blocks; those of a long file as float32 less a level, in slabs that the system takes back whole.

    That is half the memory, and all the digits that a network sees. Not so where there are groups: another series may
    have another level.
    """

    def __init__(self, *, narrow: bool) -> None:
        self.blocks: list[NDArray[Any]] = []
        self.base: NDArray[np.float64] | None = None
        self._narrow = narrow
        self._slab = np.empty((0, 0), np.float32)
        self._used = 0

    def add(self, columns: Sequence[NDArray[np.float64]]) -> None:
        """Take the next rows, channel by channel."""
        if not self._narrow or (self.base is None and not self.blocks):
            self.blocks.append(np.column_stack(columns))
            return
        if self.base is None:
            first = self.blocks.pop()
            self.base = _level(first[: min(LEVEL, len(first) // 4 + 1)])
            self._keep(first.T)
        self._keep(columns)

    def _keep(self, columns: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> None:
        """Half the digits, but where the rows lie so far from the level that these would not do."""
        assert self.base is not None  # noqa: S101 - set before
        if any(
            _far(column[:: max(len(column) // LOOK, 1)] - base) for column, base in zip(columns, self.base, strict=True)
        ):
            self.blocks.append(np.column_stack(list(columns)) - self.base)
            self._slab, self._used = self._slab[:0], 0
        else:
            self._fill(columns)

    def _fill(self, columns: Sequence[NDArray[np.float64]] | NDArray[np.float64]) -> None:
        assert self.base is not None  # noqa: S101 - set before
        done, count = 0, len(columns[0])
        while done < count:
            if self._used == len(self._slab):
                self._slab = np.empty((max(SLAB // (4 * len(columns)), 1), len(columns)), np.float32)
                self._used = 0
                self.blocks.append(self._slab[:0])
            fits = min(count - done, len(self._slab) - self._used)
            for channel, column in enumerate(columns):
                self._slab[self._used : self._used + fits, channel] = column[done : done + fits] - self.base[channel]
            done, self._used = done + fits, self._used + fits
            self.blocks[-1] = self._slab[: self._used]


def _far(residual: NDArray[np.float64]) -> bool:
    """Whether float32 is too coarse for most of these, so far from the level as they are."""
    found = residual[np.isfinite(residual)]
    if len(found) < 2:
        return False
    halves = np.diff(np.quantile(found, (0.25, 0.5, 0.75)))  # the narrower one: the other may hold odd ones
    spread = halves[halves > 0].min(initial=np.inf) if halves.any() else found.std()
    return bool(spread > 0 and np.spacing(np.float32(np.median(np.abs(found)))) > FINEST * spread)


def _level(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The median of each channel, as far as it has values: the first row may be an odd one, or missing.

    Only first rows tell it, which are training rows: no later one is to move a bit of another.
    """
    filled = [column[np.isfinite(column)] for column in rows.T]
    return np.array([np.median(column) if len(column) else 0.0 for column in filled])


@final
class _Stamps:
    """Collects stamps; of a long file that is equally spaced, the first, the step and the number are enough."""

    def __init__(self) -> None:
        self._kept: list[NDArray[Any]] = []
        self._regular: Regular | None = None

    def add(self, stamps: NDArray[Any]) -> None:
        """Take the next batch."""
        if len(self._kept) == 1:
            self._regular = _regular(self._kept[0])
        longer = _continued(self._regular, stamps) if self._regular else None
        if longer is None:
            self._kept = [*([self._regular[:]] if self._regular else self._kept), stamps]
        else:
            self._kept = []
        self._regular = longer

    def all(self) -> Times:
        """Those of all batches."""
        return self._regular if self._regular is not None else np.concatenate(self._kept)


def _regular(stamps: NDArray[Any]) -> Regular | None:
    """The stamps as start and step, if they are equally spaced and rising."""
    numbers = stamps.astype(np.int64)
    apart = np.diff(numbers)
    if not len(apart) or apart[0] <= 0 or (apart != apart[0]).any():
        return None
    return Regular(int(numbers[0]), int(apart[0]), len(numbers))


def _continued(regular: Regular, stamps: NDArray[Any]) -> Regular | None:
    """Both together, if the stamps go on where it ended."""
    longer = Regular(regular.start, regular.step, regular.rows + len(stamps))
    return longer if (longer[regular.rows :] == stamps).all() else None


@final
class _Reader:
    """Turns batches into numbers and moments, and finds the cells that are none.

    Args:
        name: of the file. where: how a row is told; the quick way, whose words nobody reads, does not look for it.
        missing: whether a number may be missing.
        anew: whether a label may, and data.time is settled.
    """

    def __init__(self, name: str, where: Callable[[int], str], *, missing: bool, anew: bool) -> None:
        self.faults = Faults(name)
        self.placed = True  # whether each row has its stamp and its series
        self.row = 0
        self._name, self._where = name, where
        self.turned = False  # whether a stamp was turned into UTC
        self._missing = missing
        self._anew = anew
        self._stampless = STAMPLESS if anew else STAMPLESS + OR_IN_ORDER

    def numbers(self, batch: pl.DataFrame, channels: tuple[str, ...]) -> list[NDArray[np.float64]]:
        """The channels of a batch, float64, NaN where a value is missing."""
        return [self._channel(batch[name]) for name in channels]

    def _channel(self, column: pl.Series) -> NDArray[np.float64]:
        if column.dtype == pl.Float64 and not column.null_count():  # asking polars more would wait for its reader
            values = column.to_numpy()
            if _within_bounds(values):
                return values
        numbers = self._number_column(column)
        values = numbers.to_numpy()
        if _within_bounds(values):
            return values
        if not self._missing and not self._is_empty(column, numbers):
            self._refuse(column, numbers.is_null(), f"is missing; {FILLING}")
        self._refuse(column, numbers.is_infinite(), "is not finite; a missing value is an empty cell or NA")
        self._refuse(
            column,
            (numbers.abs() > LARGEST) & numbers.is_finite(),
            f"is beyond {LARGEST:.0e}; give the column in a larger unit",
        )
        return values

    def _is_empty(self, column: pl.Series, numbers: pl.Series) -> bool:
        """Whether a column has no value in these rows: that is not mended by filling it, and is a fault of its own."""
        empty = numbers.null_count() == len(numbers) > 1
        if empty:
            rows = f"{self._where(self.row + 1)} to {self._where(self.row + len(numbers)).split()[-1]}"
            another = "" if self._anew else "; name another"
            told = f"column {column.name!r} has no value from {rows}{another}"
            self.faults.add((column.name, f"empty from {rows}"), self.row + 1, told)
        return empty

    def moments(self, batch: pl.DataFrame, roles: Roles) -> NDArray[Any]:
        """The time stamps of a batch."""
        columns = [batch[name] for name in roles.time]
        for column in columns:
            self._refuse(column, column.is_null(), self._stampless, key=True)
        if len(columns) > 1:
            moments = self._from_parts(columns) if roles.form is None else self._parsed(joined(columns), roles.form)
        elif roles.form is None:
            moments = as_moments(columns[0])
            self.turned |= getattr(columns[0].dtype, "time_zone", None) not in UTC
        else:
            moments = self._parsed(columns[0], roles.form)
        return moments.to_numpy()

    def text(self, batch: pl.DataFrame, name: str) -> pl.Series:
        """The names of series in a batch."""
        text = self._text(batch[name])
        self._refuse(batch[name], text.is_null(), "is missing; every row needs its series", key=True)
        return text

    def label(self, batch: pl.DataFrame, name: str) -> pl.Series:
        """The labels in a batch."""
        text = self._text(batch[name])
        if not self._anew:
            self._refuse(batch[name], text.is_null(), "is missing; every row needs a label")
        return text

    def _text(self, column: pl.Series) -> pl.Series:
        if column.dtype.is_nested() or column.dtype in {pl.Binary, pl.Object}:
            raise BadInput(f"{self._name}: column {column.name!r} holds {column.dtype}, not names")
        text = as_text(column)
        self._refuse(column, text.str.len_chars() > LONGEST_NAME, f"is longer than {LONGEST_NAME:,} letters")
        return text

    def _number_column(self, column: pl.Series) -> pl.Series:
        if column.dtype == pl.String:
            return self._numbers_of_text(column)
        if column.dtype == pl.Float64:
            return column.fill_nan(None) if column.is_nan().any() else column
        if not (column.dtype.is_numeric() or column.dtype in {pl.Boolean, pl.Null}):
            raise BadInput(f"{self._name}: column {column.name!r} holds {column.dtype}, not numbers")
        return column.cast(pl.Float64).fill_nan(None)

    def _numbers_of_text(self, column: pl.Series) -> pl.Series:
        text = as_text(column)
        numbers = text.cast(pl.Float64, strict=False)
        wrong = numbers.is_null() & text.is_not_null()
        if wrong.any():
            self._refuse(column, wrong, f"is not a number{_rather(text.filter(wrong)[0])}", kind="text")
            numbers = numbers.set(wrong, 0.0)  # it is no missing one
        return numbers.fill_nan(None)

    def _from_parts(self, columns: list[pl.Series]) -> pl.Series:
        columns = [as_text(column) for column in columns]
        for column in columns:
            self._refuse(column, column.is_null(), self._stampless, key=True)
        moments = from_parts(columns)
        names = ", ".join(column.name for column in columns)
        written = pl.select(pl.concat_str(columns, separator="-")).to_series().alias(names)
        told = f"is no date; it is read as {'-'.join(PARTS[: len(columns)])}"
        self._refuse(written, moments.is_null() & written.is_not_null(), told, key=True)
        return moments

    def _parsed(self, column: pl.Series, form: str) -> pl.Series:
        text = column.cast(pl.String)
        moments = parsed(text, form)
        if form.endswith("z") and not self.turned:
            self.turned = not text.str.contains(AT_UTC).all()
        if moments.has_nulls():  # spaces, perhaps: to take them away from every cell would cost as much as the rest
            text = text.str.strip_chars()
            moments = parsed(text, form)
        if moments.has_nulls():
            missing = text.is_in(MISSING)
            self._refuse(column, missing, self._stampless, key=True)
            unread = moments.is_null() & text.is_not_null() & ~missing
            unread &= ~self._of_other_zones(column, text, unread, zoned=form.endswith("z"))
            read = text.filter(moments.is_not_null())
            like = f" written like {read[0]!r}" if len(read) else ""
            self._refuse(column, unread, f"cannot be read as a date{like}", kind="no date", key=True)
        return moments

    def _of_other_zones(self, column: pl.Series, text: pl.Series, unread: pl.Series, *, zoned: bool) -> pl.Series:
        """Which stamps cannot be read because others say how far they are from UTC, and they do not, or they alone."""
        has_zone = text.str.contains(ZONE).fill_null(zoned)
        other = unread & (has_zone != zoned)
        if not has_zone.any():
            other = other & False
        told = "has no UTC offset, and others have one" if zoned else "has a UTC offset, and others have none"
        self._refuse(column, other, f"{told}; write all stamps in one way", key=True)
        return other

    def _refuse(
        self, column: pl.Series, wrong: pl.Series, complaint: str, *, kind: str | None = None, key: bool = False
    ) -> None:
        """Find a fault, if any cell is wrong.

        Args:
            complaint: what is wrong with it. kind: the same, where the words differ from cell to cell.
            key: whether it leaves a row without its stamp or its series.
        """
        if not wrong.any():
            return
        self.placed = self.placed and not key
        row = wrong.arg_true()[0]
        cell = column[row]
        value = "the value" if cell is None or str(cell).strip() in MISSING else shown(cell)
        told = f"{self._where(self.row + row + 1)}, column {column.name!r}: {value} {complaint}"
        self.faults.add((column.name, kind or complaint), self.row + row + 1, told, cells=int(wrong.sum()))


def _within_bounds(values: NDArray[np.float64]) -> bool:
    """Whether all are numbers that can be used; neither is so of a NaN."""
    return bool(values.min() >= -LARGEST and values.max() <= LARGEST)


def _rather(cell: str) -> str:
    """What would be right in place of a cell that is no number."""
    if re.match(DECIMAL_COMMA, cell):
        return "; write decimals with a point, and thousands without a comma"
    if any(letter.isdigit() for letter in cell):
        return "; write the number alone, as 1234.5"
    return "; a missing value is an empty cell or NA"
