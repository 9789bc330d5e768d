"""Split each series by time into training, validation and test rows; or whole series, where each has one label."""

import re
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.panel import Original, Panel
from flatspot.errors import BadInput

Part = Literal["train", "val", "test"]

PARTS: Final[tuple[Part, ...]] = ("train", "val", "test")

DATE: Final = r"\d{4}-\d\d(-\d\d([ T]\d\d(:\d\d(:\d\d(\.\d{1,6})?)?)?)?)?"
"""Year first; without an offset: stamps that have one are read as UTC."""

Borders = NDArray[np.int64]
"""The rows where training, validation and test begin and the test ends, for each series: `[series, 4]`."""


@final
@dataclass(frozen=True)
class Split:
    """Where the parts begin: by shares of each series' rows, or by dates.

    Args:
        val_share, test_share: of the rows of each series, the last ones (of the series, where each has one label).
        val_from, test_from: dates from which on targets are for validation and test, in place of the shares.
        until: a date from which on rows are left out.
        seed: which series go where, where each has one label.
    """

    val_share: float = 0.15
    test_share: float = 0.15
    val_from: str | None = None
    test_from: str | None = None
    until: str | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("val_share", "test_share"):
            if not 0 < getattr(self, name) < 1:
                raise BadInput(f"data.{name}={getattr(self, name)}: must lie between 0 and 1")
        if self.val_share + self.test_share >= 1:
            raise BadInput(
                f"data.val_share={self.val_share} and data.test_share={self.test_share} leave no rows to train on"
            )
        if (self.val_from is None) != (self.test_from is None):
            given, other = ("val_from", "test_from") if self.val_from is not None else ("test_from", "val_from")
            raise BadInput(f"data.{given}={getattr(self, given)}: say where the other part begins, with data.{other}=")

    @property
    def by_date(self) -> bool:
        """Whether the parts begin at dates."""
        return self.val_from is not None


def borders_of(panel: Panel, split: Split) -> Borders:
    """Where each series' parts begin, `[series, 4]`.

    Raises:
        BadInput: for dates that cannot be read, overlap, or are asked of rows without time stamps.
    """
    if panel.original is not None:
        return _of_original(panel, panel.original, split)
    firsts = panel.firsts
    ends = firsts + panel.lengths if split.until is None else _rows_before(panel, split.until, "until")
    if split.by_date:
        _refuse_overlap(split)
        val = _rows_before(panel, str(split.val_from), "val_from")
        test = _rows_before(panel, str(split.test_from), "test_from")
        return np.stack([firsts, np.minimum(val, ends), np.minimum(test, ends), ends], axis=1)
    rows = ends - firsts
    test = ends - np.rint(rows * split.test_share).astype(np.int64)
    val = test - np.rint(rows * split.val_share).astype(np.int64)
    return np.stack([firsts, val, test, ends], axis=1)


def _of_original(panel: Panel, original: Original, split: Split) -> Borders:
    """As among the rows before some were left out: what is missing in later rows moves no border of earlier ones."""
    borders = borders_of(replace(panel, lengths=original.lengths, times=original.times, original=None), split)
    kept_before = np.append(0, original.kept.cumsum())
    moved: Borders = kept_before[borders]
    if (moved[:, 0] == moved[:, 1]).all() and (borders[:, 0] < borders[:, 1]).any():
        raise BadInput(
            f"{panel.name}: every training row misses a value; data.missing=drop leaves none, interpolate fills them"
        )
    return moved


def _refuse_overlap(split: Split) -> None:
    dates = {name: getattr(split, name) for name in ("val_from", "test_from", "until") if getattr(split, name)}
    moments = [(name, parse_date(text, name)) for name, text in dates.items()]
    for (before, one), (after, other) in pairwise(moments):
        if one >= other:
            raise BadInput(f"data.{before}={dates[before]} must come before data.{after}={dates[after]}")


def parse_date(text: str, key: str) -> np.datetime64:
    """A date or moment, year first.

    Raises:
        BadInput: naming the key.
    """
    moment = None
    if re.fullmatch(DATE, str(text)):
        try:
            moment = np.datetime64(str(text).replace(" ", "T"), "us")
        except ValueError:
            moment = None
    if moment is None or np.isnat(moment):
        raise BadInput(f"data.{key}={text}: is no date; write it as 2024-01-31 or '2024-01-31 13:00'")
    return moment


def _rows_before(panel: Panel, date: str, key: str) -> NDArray[np.int64]:
    """The first row of each series that is not before the date."""
    moment = parse_date(date, key)
    if panel.times is None:
        raise BadInput(f"data.{key}={date}: {panel.name} has no time stamps (data.time)")
    times = panel.times[:]
    _refuse_outside(panel.name, times, moment, f"data.{key}={date}")
    earlier = np.concatenate([[0], (times < moment).cumsum()])
    firsts = panel.firsts
    return firsts + earlier[firsts + panel.lengths] - earlier[firsts]  # type: ignore[no-any-return]


def _refuse_outside(name: str, times: NDArray[Any], moment: np.datetime64, asked: str) -> None:
    """A date outside the rows leaves a part without any."""
    first, last = times.min(), times.max()
    if moment > last and "until" not in asked:
        raise BadInput(f"{asked}: the last row of {name} is of {_written(last)}")
    if moment <= first:
        raise BadInput(f"{asked}: the first row of {name} is of {_written(first)}, and training rows come before")


def _written(moment: np.datetime64) -> str:
    return str(moment).removesuffix(".000000").removesuffix("T00:00:00").replace("T", " ")


def parts_of_series(panel: Panel, split: Split, classes: NDArray[np.int64] | None) -> NDArray[np.int64]:
    """Which part each series is of, `[series]`: 0 training, 1 validation, 2 test; each class by the same shares.

    Raises:
        BadInput: if dates are asked for, or a part would be empty.
    """
    if split.by_date or split.until is not None:
        raise BadInput("data.val_from, data.test_from and data.until: whole series are split, where each has one label")
    generator = np.random.default_rng(split.seed)
    order = generator.permutation(len(panel.lengths))
    parts = np.zeros(len(order), np.int64)
    kinds = np.zeros(len(order), np.int64) if classes is None else classes
    for kind in np.unique(kinds):
        members = order[kinds[order] == kind]
        test = round(len(members) * split.test_share)
        val = round(len(members) * split.val_share)
        parts[members[:test]] = 2
        parts[members[test : test + val]] = 1
    for number, part in enumerate(PARTS):
        if not (parts == number).any():
            raise BadInput(f"{panel.name}: {len(order)} series leave none for the {part} split")
    return parts
