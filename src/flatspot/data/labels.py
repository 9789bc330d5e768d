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

MOST_CLASSES: Final = 1000
"""More are hardly classes: a number was meant."""


@final
@dataclass(frozen=True)
class Classes:
    """Class names in order, and the number of each label's class."""

    names: tuple[str, ...]
    numbers: NDArray[np.int64]


def classes_of(labels: Labels, source: str, known: Sequence[str] | None = None) -> Classes:
    """The classes that labels name: by number where all are numbers, else by alphabet.

    Args:
        known: the classes of a network that was trained already; None: those that occur.

    Raises:
        BadInput: for one class only, for too many, or for one that is not known.
    """
    found = np.unique(labels.values).tolist()
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
    order = np.argsort(names)
    return Classes(names, order[np.searchsorted(np.asarray(names)[order], labels.values)])


def numbers_of(labels: Labels, source: str) -> NDArray[np.float64]:
    """Labels as numbers, `[label]`.

    Raises:
        BadInput: naming the first that is none.
    """
    try:
        numbers = labels.values.astype(np.float64)
    except ValueError:
        wrong = next(each for each in labels.values.tolist() if not _is_number(each))
        raise BadInput(
            f"{source}: column {labels.column!r}: {wrong!r} is not a number; to predict a class, say model=classifier"
        ) from None
    if not np.isfinite(numbers).all():
        raise BadInput(f"{source}: column {labels.column!r} has a label that is not finite")
    return numbers


def _by_number_or_name(name: str) -> tuple[float, str]:
    return (float(name) if _is_number(name) else math.inf), name


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
