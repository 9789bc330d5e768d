"""Fill missing values within each part of each series, and say which rows stay holes."""

from typing import NamedTuple, final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from flatspot.data.panel import Panel
from flatspot.data.split import Borders


@final
class Filled(NamedTuple):
    """Rows after missing values were filled.

    Args:
        values: float64 `[row, channel]`, NaN in rows that stay holes.
        holes: rows that no window may hold. looked_ahead: rows that a later value helped to fill. Both `[row]`.
        note: what was done.
    """

    values: NDArray[np.float64]
    holes: NDArray[np.bool_]
    looked_ahead: NDArray[np.bool_]
    note: str


def fill(panel: Panel, borders: Borders) -> Filled | None:
    """Fill the missing values of a panel as its `filling` says; None where there are none.

    Along a line, or with the last value before, up to `most` rows in a row; of a longer gap no row is filled. A line is
    drawn within one part alone: no validation value reaches a training row.

    Args:
        borders: the rows where the parts of each series begin, `[series, 4]`.
    """
    if panel.filling is None:
        return None
    values = panel.values
    lost = np.isnan(values)
    if not lost.any():
        return None
    segments = _segments(panel, borders, within_parts=panel.filling.interpolate)
    filled = np.column_stack(
        [_column(values[:, each], segments, panel.filling.interpolate) for each in range(values.shape[1])]
    )
    long = np.column_stack([_long(lost[:, each], segments, panel.filling.most) for each in range(values.shape[1])])
    filled[long] = np.nan
    holes: NDArray[np.bool_] = np.asarray(np.isnan(filled).any(axis=1))
    mended = lost & ~np.isnan(filled)
    rows: NDArray[np.bool_] = np.asarray(mended.any(axis=1))
    told = "along the line between neighbours" if panel.filling.interpolate else "with the last value before"
    note = f"{mended.sum():,} missing values in {rows.sum():,} of {len(values):,} rows filled {told}"
    if holes.any():
        note += (
            f"; {holes.sum():,} rows in longer gaps (data.max_gap={panel.filling.most}) left out: no window spans one"
        )
    return Filled(filled, holes, rows & panel.filling.interpolate, note)


def _segments(panel: Panel, borders: Borders, *, within_parts: bool) -> NDArray[np.int64]:
    """A number for each stretch of rows that may lend one another a value, `[row]`."""
    cuts = [panel.firsts, panel.breaks, *([borders[:, 1:3].ravel()] if within_parts else [])]
    starts = np.zeros(panel.rows + 1, bool)
    starts[np.concatenate(cuts)] = True
    return starts[:-1].cumsum()


def _column(values: NDArray[np.float64], segments: NDArray[np.int64], interpolate: bool) -> NDArray[np.float64]:
    frame = pl.DataFrame({"value": values, "segment": segments}).with_columns(pl.col("value").fill_nan(None))
    value = pl.col("value")
    filling = value.interpolate() if interpolate else value.forward_fill()
    return frame.select(filling.over("segment").fill_null(np.nan))["value"].to_numpy()


def _long(lost: NDArray[np.bool_], segments: NDArray[np.int64], most: int) -> NDArray[np.bool_]:
    """The rows of gaps of more than `most`."""
    edges = np.flatnonzero(np.diff(lost) | (np.diff(segments) != 0)) + 1
    firsts = np.concatenate([[0], edges])
    sizes = np.diff(np.append(firsts, len(lost)))
    return lost & np.repeat(sizes > most, sizes)
