"""What tells rows from other rows, in a few numbers: whether a run's file is still the one that it was trained on."""

from collections.abc import Iterator
from typing import Final

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

CHUNK: Final = 2**16
"""Rows that are looked at together."""

SAME: Final = 1e-9
"""Rounding, as a share of a column's size: another number of threads adds up in another order.

Less than one row in a hundred million that has changed by its column's size.
"""


def signature_of(*tables: Tensor) -> list[list[float]]:
    """The mean and the mean absolute change from row to row of each column, `[2][column]`.

    A row that is changed, moved, added or left out changes one of them, by as much as the errors of forecasts change.

    Args:
        tables: `[row, *column]`.

    >>> signature_of(torch.tensor([[1.0], [2.0], [6.0]]))
    [[3.0], [2.5]]
    """
    found = [_signature(table.flatten(1) if table.dim() > 1 else table.unsqueeze(1)) for table in tables]
    both: list[list[float]] = torch.cat(found, dim=1).tolist()
    return both


def same_signature(one: list[list[float]], other: list[list[float]]) -> bool:
    """Whether two are of the same rows, but for rounding.

    >>> same_signature([[3.0], [2.5]], [[3.0 + 1e-9], [2.5]]), same_signature([[3.0], [2.5]], [[3.1], [2.5]])
    (True, False)
    """
    ours, theirs = torch.tensor(one, dtype=torch.float64), torch.tensor(other, dtype=torch.float64)
    if ours.shape != theirs.shape:
        return False
    return bool(((ours - theirs).abs() <= SAME * ours.abs().sum(dim=0)).all())


def _signature(table: Shaped[Tensor, "row column"]) -> Float[Tensor, "2 column"]:
    total = torch.zeros(2, table.shape[1], dtype=torch.float64)
    for rows in _overlapping(table):
        total[0] += rows[1:].sum(dim=0, dtype=torch.float64)
        total[1] += rows.diff(dim=0).abs_().sum(dim=0, dtype=torch.float64)
    total[0] += table[:1].double().sum(dim=0)
    return total / torch.tensor([[max(len(table), 1)], [max(len(table) - 1, 1)]])


def _overlapping(table: Tensor) -> Iterator[Tensor]:
    """Stretches of rows, each beginning with the last row of the one before."""
    return (table[first : first + CHUNK + 1] for first in range(0, max(len(table) - 1, 0), CHUNK))
