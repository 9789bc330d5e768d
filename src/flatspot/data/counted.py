"""Numbers of things, as a person writes them."""

from collections.abc import Sequence
from typing import Final

from flatspot.errors import BadInput

MOST: Final = 10**15
"""Rows and windows at most: no machine counts so far, and their sums still fit 64 bits."""

SHOWN: Final = 3
"""Names that a sentence lists."""


def counted(number: int, what: str, *, of: int | None = None) -> str:
    """A number of things, perhaps of so many.

    >>> counted(1, "such row"), counted(1200, "such row"), counted(1, "row", of=60)
    ('1 such row', '1,200 such rows', '1 of 60 rows')
    """
    if of is not None:
        return f"{number:,} of {counted(of, what)}"
    return f"{number:,} {what}{'s' * (number != 1)}"


def listed(names: Sequence[str]) -> str:
    """The first of some names.

    >>> listed(["a", "b"]), listed(["a", "b", "c", "d"])
    ("'a', 'b'", "'a', 'b', 'c', ...")
    """
    return ", ".join(map(repr, names[:SHOWN])) + ", ..." * (len(names) > SHOWN)


def refuse_huge(number: int, key: str) -> None:
    """Refuse a count beyond what rows can be.

    Raises:
        BadInput: naming the key.
    """
    if number > MOST:
        raise BadInput(f"{key}={number}: must be at most {MOST:,}")
