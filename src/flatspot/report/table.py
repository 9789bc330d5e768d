"""Columns that line up in a terminal."""

from collections.abc import Collection, Sequence


def aligned(rows: Sequence[Sequence[str]], *, left: Collection[int] = (0,)) -> list[str]:
    r"""Lines of a table: the first row is its head, with a rule below.

    Args:
        rows: cells as text, each row of the same length.
        left: the columns that line up at their left edge; the others do at their right.

    >>> print("\n".join(aligned([["cell", "MAE"], ["gru", "1.5"]])))
    cell  MAE
    ─────────
    gru   1.5
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(_padded(row, widths, left)).rstrip() for row in rows]
    return [lines[0], "─" * max(map(len, lines)), *lines[1:]]


def _padded(row: Sequence[str], widths: Sequence[int], left: Collection[int]) -> list[str]:
    return [
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
