"""Labels as numbers: classes by name, or what a regressor is to say."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, final

import numpy as np
from numpy.typing import NDArray

from flatspot.data.panel import Labels
from flatspot.errors import BadInput

Task = Literal["forecast", "classify", "regress"]

NO_CLASS: Final = -1
"""In place of a class's number: there is no label."""

LARGEST: Final = 1e30
"""Numbers beyond this have squares that nothing can add up."""

MOST_CLASSES: Final = 1000
"""More are hardly classes: a number was meant."""


@final
@dataclass(frozen=True)
class Classes:
    """Class names in order, and the number of each label's class, or NO_CLASS."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]


def classes_of(labels: Labels, source: str, known: Sequence[str] | None = None) -> Classes:
    """The classes that labels name: by number where all are numbers, else by alphabet.

    Args:
        known: the classes of a network that was trained already; None: those that occur.

    Raises:
        BadInput: for one class only, for too many, or for one that is not known.
    """
    found = np.unique(labels.values[labels.known]).tolist()
    names = tuple(known) if known is not None else tuple(sorted(found, key=_by_number_or_name))
    if len(names) < 2:
        raise BadInput(
            f"{source}: column {labels.column!r} has one class only, {names[0]!r}: there is nothing to tell apart"
        )
    if len(names) > MOST_CLASSES:
        raise BadInput(
            f"{source}: column {labels.column!r} has {len(names):,} different labels; to predict a number, "
            f"say model=regressor"
        )
    strange = [name for name in found if name not in names]
    if strange:
        raise BadInput(
            f"{source}: column {labels.column!r}: {strange[0]!r} is no class that the network knows "
            f"({', '.join(names[:10])})"
        )
    numbers = np.full(len(labels.values), NO_CLASS)
    order = np.argsort(names)
    numbers[labels.known] = order[np.searchsorted(np.asarray(names)[order], labels.values[labels.known])]
    return Classes(names, numbers)


def numbers_of(labels: Labels, source: str) -> NDArray[np.float64]:
    """Labels as numbers, `[label]`; NaN where there is none.

    Raises:
        BadInput: naming the first that is none.
    """
    numbers = np.full(len(labels.values), np.nan)
    try:
        numbers[labels.known] = labels.values[labels.known].astype(np.float64)
    except ValueError:
        wrong = next(place for place in np.flatnonzero(labels.known) if not _is_number(labels.values[place]))
        told = "is not a number; to predict a class, say model=classifier"
        raise BadInput(_named(labels, int(wrong), source, told)) from None
    _refuse(labels, labels.known & ~np.isfinite(numbers), source, "is not finite; a label is a number")
    _refuse(labels, np.abs(numbers) > LARGEST, source, f"is beyond {LARGEST:.0e}; give the column in a larger unit")
    return numbers


def _refuse(labels: Labels, wrong: NDArray[np.bool_], source: str, told: str) -> None:
    if wrong.any():
        raise BadInput(_named(labels, int(wrong.argmax()), source, told))


def _named(labels: Labels, place: int, source: str, told: str) -> str:
    row = "" if labels.rows is None else f"{labels.where(int(labels.rows[place]))}, "
    return f"{source}: {row}column {labels.column!r}: {str(labels.values[place])!r} {told}"


def _by_number_or_name(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else math.inf), name


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
