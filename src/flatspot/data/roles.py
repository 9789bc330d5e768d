"""What each column of a table is for: targets, features, time, series, label."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal, final
from unicodedata import normalize

import polars as pl

from flatspot.data.sources import Source, as_text, refuse_unshowable, shown
from flatspot.data.stamps import (
    FEWEST_SECONDS,
    PARTS,
    SHOWN,
    Form,
    form_of,
    is_ambiguous,
    is_time,
    joined,
    looks_like_dates,
    parsed,
)
from flatspot.errors import BadInput
from flatspot.registry import nearest

OR_IN_ORDER: Final = ", or say data.time=none for rows in order"

NO_TIME: Final = "none"
"""`data.time=none`: the rows are in order, whatever their dates say."""

DECIMAL_COMMA: Final = r"^\s*[+-]?\d[\d.]*,[\d.,]*\d\s*$"
"""A number with a comma: before its decimals, or between its thousands."""

Names = str | int | float | Sequence[object] | None


@final
@dataclass(frozen=True)
class Roles:
    """The columns of a table by their use.

    Args:
        targets: what is predicted; none where there is a label.
        features: further inputs. all_features: whether they are all that were left.
        time: the column of time stamps, or those of the parts of a date; none: row order.
        form: how stamps are written; None: as parts, or as a type that is a time already. days: whether that is a date.
        group: the column that names each row's series. label: the column of labels.
    """

    targets: tuple[str, ...]
    features: tuple[str, ...] = ()
    all_features: bool = False
    time: tuple[str, ...] = ()
    form: Form | None = None
    group: str | None = None
    label: str | None = None
    days: bool = False

    @property
    def channels(self) -> tuple[str, ...]:
        """What a window holds, the targets first."""
        return self.targets + self.features

    @property
    def others(self) -> tuple[str, ...]:
        """What is read beside the channels."""
        return (*self.time, *(name for name in (self.group, self.label) if name is not None))


def choose_roles(
    source: Source,
    *,
    target: Names = None,
    features: Names | Literal["all"] = (),
    time: Names = None,
    group: str | None = None,
    label: str | None = None,
    anew: bool = False,
    form: Form | None = None,
) -> Roles:
    """What the columns are for, as far as the user says, and else as the first rows tell.

    Args:
        anew: of a network that is trained already: a target that is not named is not looked for.
        form: of its time stamps, which is tried first.

    Raises:
        BadInput: naming the file and the column, for one that is not there or has two roles.
    """
    sample = source.sample()
    table = _Table(source, sample, form)
    group = None if group is None else table.found(group, "data.group")
    label = None if label is None else table.found(label, "data.label")
    named = [] if features == "all" else names_of(features)
    said = Roles(tuple(names_of(target)), tuple(named), time=table.asked_time(time), group=group, label=label)
    _refuse_two_roles(said, source.name)
    stamps, read_as = table.time(time, without=(group, label), anew=anew)
    roles = Roles((), time=stamps, form=read_as, group=group, label=label)
    targets = table.targets(names_of(target), roles, anew=anew)
    everything = features == "all" or (label is not None and not named)
    found = [table.found(name, "data.features") for name in named]
    further = table.numbers(without=(*targets, *roles.others)) if everything else found
    days = len(stamps) == 1 and sample[stamps[0]].dtype == pl.Date
    chosen = Roles(tuple(targets), tuple(further), everything, stamps, read_as, group, label, days)
    _refuse_two_roles(chosen, source.name)
    if not chosen.channels:
        raise BadInput(f"{source.name}: has no column of numbers to read")
    refuse_unshowable((*chosen.channels, *stamps, group, label), f"{source.name}: the column")
    return chosen


def columns_of_numbers(source: Source) -> list[str]:
    """The columns that are mostly numbers and hold no dates, as far as the first rows tell."""
    sample = source.sample()
    numbers = _Table(source, sample, None).numbers(without=())
    return [name for name in numbers if not looks_like_dates(sample[name])]


def names_of(names: Names) -> list[str]:
    """One name may be written without brackets, and a name may look like a number.

    >>> names_of("sales"), names_of([2019, "sales"]), names_of(2019), names_of(None)
    (['sales'], ['2019', 'sales'], ['2019'], [])
    """
    if names is None or (isinstance(names, Iterable) and not isinstance(names, str)):
        return [str(each) for each in names or ()]
    return [str(names)]


@final
class _Table:
    """The first rows of a table, and what they tell."""

    def __init__(self, source: Source, sample: pl.DataFrame, form: Form | None) -> None:
        self.name = source.name
        self.sample = sample
        self.columns = list(source.columns)
        self._where = source.where
        self._known_form = form

    def found(self, name: str, key: str) -> str:
        """The name of a column as the file has it: an é may be one letter, or an e and an accent."""
        alike = [each for each in self.columns if normalize("NFC", each) == normalize("NFC", name)]
        if name in self.columns or len(alike) != 1:
            self.require(name, key)
            return name
        return alike[0]

    def require(self, name: str, key: str) -> None:
        if name not in self.columns:
            raise BadInput(f"{self.name}: has no column {name!r} ({key}); {nearest(name, self.columns)}")

    def numbers(self, without: Sequence[str | None]) -> list[str]:
        """Columns that are mostly numbers: one text cell in them is an error to report, not a column to drop.

        A column without a name holds row numbers, as other programs write them.
        """
        return [name for name in self.columns if name and name not in without and _mostly_numbers(self.sample[name])]

    def targets(self, asked: list[str], roles: Roles, *, anew: bool) -> list[str]:
        """Those asked for, or the only column of numbers; none where there is a label."""
        asked = [self.found(name, "data.target") for name in asked]
        if asked and roles.label is not None:
            raise BadInput(f"data.target={', '.join(asked)}: with data.label={roles.label} there is no other target")
        if asked or anew or roles.label is not None:
            return asked
        numbers = self.numbers(without=roles.others)
        if len(numbers) == 1:
            return numbers
        if not numbers:
            raise BadInput(f"{self.name}: has no column of numbers to predict; columns: {', '.join(self.columns)}")
        raise BadInput(f"{self.name}: say which column to predict with data.target=; columns: {', '.join(numbers)}")

    def time(self, asked: Names, without: Sequence[str | None], *, anew: bool) -> tuple[tuple[str, ...], Form | None]:
        """The column or columns of time stamps, and how they are written.

        Where no column of dates can be read, one that looks like dates is refused rather than ignored.
        """
        names = list(self.asked_time(asked))
        if asked is not None and not names:
            return (), None
        if len(names) > 1:
            return self._several(names)
        if names:
            return (names[0],), self._form(names[0], asked=True, or_none=not anew)
        like = [name for name in self.columns if name not in without and looks_like_dates(self.sample[name])]
        found = next((name for name in like if self._is_read(name)), like[0] if like else None)
        return ((found,), self._form(found, asked=False, or_none=not anew)) if found is not None else ((), None)

    def asked_time(self, asked: Names) -> tuple[str, ...]:
        """The columns that are named; none where row order is asked for, or none is named."""
        if isinstance(asked, bool) and str(asked) not in self.columns:
            raise BadInput(
                f"data.time={str(asked).lower()}: name the column of time stamps, or say none for rows in order; "
                f"columns: {', '.join(self.columns)}"
            )
        names = names_of(asked)
        by_order = names == [NO_TIME] and NO_TIME not in self.columns
        return () if by_order else tuple(self.found(name, "data.time") for name in names)

    def _form_of(self, column: pl.Series) -> Form | None:
        """The form of the run's stamps, if at least half of these have it too; else the one that these have."""
        known = self._known_form
        if known is not None:
            filled = as_text(column).drop_nulls()
            if len(filled) and int(parsed(filled, known).is_not_null().sum()) * 2 >= len(filled):
                return known
        return form_of(column)

    def _is_read(self, name: str) -> bool:
        return is_time(self.sample[name]) or self._form_of(self.sample[name]) is not None

    def _several(self, names: list[str]) -> tuple[tuple[str, ...], Form | None]:
        """A date and its clock, or the parts of a date."""
        if len(names) > 2:
            return _in_order(names), None
        both = joined([self.sample[name] for name in names])
        form = self._form_of(both)
        if form is None and looks_like_dates(self.sample[names[0]]):
            told = f"{self._shown(both)} cannot be read as a date and its clock"
            raise BadInput(f"{self.name}: {told} (data.time); write them as 2024-01-31 and 13:00")
        return (_in_order(names), None) if form is None else (tuple(names), form)

    def _form(self, name: str, *, asked: bool, or_none: bool) -> Form | None:
        column = self.sample[name]
        if is_time(column):
            return None
        if column.dtype != pl.String and not column.dtype.is_numeric():
            raise BadInput(f"{self.name}: column {name!r} is data.time, and holds {column.dtype}, not dates")
        form = self._form_of(column)
        if form is None:
            numbers = _mostly_numbers(column)
            rest = OR_IN_ORDER if or_none and (numbers or not asked) else ""
            told = f" or as seconds since 1970, from {FEWEST_SECONDS:,.0f} on" if numbers else ""
            raise BadInput(f"{self.name}: {self._unread(column, asked=asked)}{told}; write them as {SHOWN}{rest}")
        if is_ambiguous(column, form):
            raise BadInput(
                f"{self.name}: {self._shown(column)} is a date ({form}) or a number of seconds since 1970; write dates "
                f"as {SHOWN}"
            )
        return form

    def _unread(self, column: pl.Series, *, asked: bool) -> str:
        """The first cell of a column that cannot be read as dates."""
        row, cell = _first(column)
        told = "is data.time" if asked else "looks like dates"
        return f"{self._where(row + 1)}, column {column.name!r} {told}, but {cell} cannot be read as a date"

    def _shown(self, column: pl.Series) -> str:
        row, cell = _first(column)
        return f"{self._where(row + 1)}, column {column.name!r}: {cell}"


def _first(column: pl.Series) -> tuple[int, str]:
    """The place of the first cell that is not missing, and the cell."""
    filled = column.is_not_null()
    row = int(filled.arg_true()[0]) if filled.any() else 0
    return row, shown(str(column[row]).strip())


def _in_order(names: list[str]) -> tuple[str, ...]:
    """The parts of a date by their names, where they are named so; else as they are given."""
    lower = {name.lower(): name for name in names}
    if len(names) > len(PARTS):
        raise BadInput(f"data.time=[{', '.join(names)}]: a date has at most {len(PARTS)} parts: {', '.join(PARTS)}")
    named = [lower[part] for part in PARTS if part in lower]
    if len(named) < len(names):
        return tuple(names)
    left_out = [part for part in PARTS[: len(names)] if part not in lower]
    if left_out:
        raise BadInput(f"data.time=[{', '.join(names)}]: leaves out {left_out[0]}; a date has all parts from year on")
    return tuple(named)


def _mostly_numbers(column: pl.Series) -> bool:
    if column.dtype.is_numeric() or column.dtype == pl.Boolean:
        return True
    if column.dtype != pl.String:
        return False
    filled = column.drop_nulls()
    numbers = filled.cast(pl.Float64, strict=False).is_not_null() | filled.str.contains(DECIMAL_COMMA)
    return int(numbers.sum()) * 2 > len(filled)


def _refuse_two_roles(roles: Roles, source: str) -> None:
    named = {
        "data.target": roles.targets,
        "data.features": roles.features,
        "data.time": roles.time,
        "data.group": (roles.group,) if roles.group else (),
        "data.label": (roles.label,) if roles.label else (),
    }
    taken: dict[str, str] = {}
    for key, names in named.items():
        for name in names:
            if taken.get(name) == "data.target" and key == "data.features":
                raise BadInput(f"data.features: {name!r} is data.target; its past is among the inputs already")
            if taken.get(name) == key:
                raise BadInput(f"{key}: {name!r} is named twice; once is enough")
            if name in taken:
                raise BadInput(f"{source}: column {name!r} is both {taken[name]} and {key}; a column has one use")
            taken[name] = key
