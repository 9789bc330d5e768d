"""Numbers of things, as a person writes them."""


def counted(number: int, what: str, *, of: int | None = None) -> str:
    """A number of things, perhaps of so many.

    >>> counted(1, "such row"), counted(1200, "such row"), counted(1, "row", of=60)
    ('1 such row', '1,200 such rows', '1 of 60 rows')
    """
    if of is not None:
        return f"{number:,} of {counted(of, what)}"
    return f"{number:,} {what}{'s' * (number != 1)}"
